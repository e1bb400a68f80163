//! Access keys and sessions (spec 1.5, 1.6). Secrets never reach a log: `Debug` hides them.

use alloc::string::String;
use core::fmt;
use serde::{Deserialize, Serialize};

use crate::{AccountId, Time};

/// A text that must not be printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// What a signature is checked against.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessKey {
    /// `AKIA...` for a long-term key, `ASIA...` for a session's.
    pub id: String,
    pub secret: Secret,
    pub account: AccountId,
    pub created: Time,
    /// It is known, and lets nobody in.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub is_disabled: bool,
    /// Only temporary keys have one.
    pub session: Option<Session>,
}

/// What AssumeRole or GetSessionToken gave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    pub token: Secret,
    pub expires: Time,
    /// `None`: the account itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Empty where there is no role.
    pub name: String,
}

/// What a client token stands for (spec 1.3.12).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientToken {
    pub key: ClientTokenKey,
    /// A digest of the request's parameters: the same token with other parameters is refused.
    pub parameters: u64,
    /// The id of what the first request made.
    pub made: String,
    pub created: Time,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ClientTokenKey {
    pub account: AccountId,
    pub operation: String,
    pub token: String,
}

impl fmt::Display for ClientTokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The token is the user's and may hold a slash; it stands last.
        write!(f, "{}/{}/{}", self.account, self.operation, self.token)
    }
}
