//! What is on its way from one state to the next (spec ch. 2-5, 8): only where a cloud takes as long for it as AWS does.
//!
//! A thing that has a passage is shown by its word, and packets do not use it yet, or no longer; without one it is settled, which
//! all things are at once unless an operator asks for more.

use alloc::string::{String, ToString};
use core::fmt::Display;
use serde::{Deserialize, Serialize};

use crate::{AccountId, Time, World};

/// One thing on its way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passage {
    /// Its id, or what names it inside the thing that holds it: `i-.../status`.
    pub subject: String,
    pub owner: AccountId,
    pub phase: Phase,
    /// When it is settled, or goes.
    pub until: Time,
}

/// The word that is shown meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    Pending,
    Running,
    Initializing,
    Associating,
    Attaching,
    CreateInProgress,
    ModifyInProgress,
    RestoreInProgress,
    UpdateInProgress,
    Stopping,
    ShuttingDown,
    Disassociating,
    Detaching,
    Deleting,
    DeleteInProgress,
}

impl Phase {
    /// The word of the API.
    pub fn code(self) -> &'static str {
        match self {
            Phase::Pending => "pending",
            Phase::Running => "running",
            Phase::Initializing => "initializing",
            Phase::Associating => "associating",
            Phase::Attaching => "attaching",
            Phase::CreateInProgress => "create-in-progress",
            Phase::ModifyInProgress => "modify-in-progress",
            Phase::RestoreInProgress => "restore-in-progress",
            Phase::UpdateInProgress => "update-in-progress",
            Phase::Stopping => "stopping",
            Phase::ShuttingDown => "shutting-down",
            Phase::Disassociating => "disassociating",
            Phase::Detaching => "detaching",
            Phase::Deleting => "deleting",
            Phase::DeleteInProgress => "delete-in-progress",
        }
    }

    /// What is still there goes when the time has come.
    pub fn is_end(self) -> bool {
        use Phase as P;
        matches!(
            self,
            P::Stopping | P::ShuttingDown | P::Disassociating | P::Detaching | P::Deleting | P::DeleteInProgress
        )
    }
}

impl World {
    /// What this thing is doing; `None`: it is settled.
    pub fn phase_of(&self, subject: impl Display) -> Option<Phase> {
        // Most clouds have none, and every interface is asked about.
        if self.passages.is_empty() {
            return None;
        }
        self.passages.get(&subject.to_string()).map(|passage| passage.phase)
    }

    /// It is neither on its way in nor on its way out.
    pub fn is_settled(&self, subject: impl Display) -> bool {
        self.phase_of(subject).is_none()
    }
}
