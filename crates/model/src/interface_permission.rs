//! What an account lets others do with its interfaces (EC2's network interface permissions).

use alloc::string::String;
use serde::{Deserialize, Serialize};

use crate::{AccountId, InterfacePermissionId, NetworkInterfaceId, Time};

/// What is permitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InterfaceUse {
    InstanceAttach,
    EipAssociate,
}

impl InterfaceUse {
    /// The words of the API.
    pub const ALL: [InterfaceUse; 2] = [InterfaceUse::InstanceAttach, InterfaceUse::EipAssociate];

    pub fn name(self) -> &'static str {
        match self {
            InterfaceUse::InstanceAttach => "INSTANCE-ATTACH",
            InterfaceUse::EipAssociate => "EIP-ASSOCIATE",
        }
    }
}

/// To whom.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Grantee {
    Account(AccountId),
    /// A service by its name.
    Service(String),
}

/// One permission; it goes with its interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfacePermission {
    pub id: InterfacePermissionId,
    /// The interface's owner.
    pub owner: AccountId,
    pub interface: NetworkInterfaceId,
    pub grantee: Grantee,
    pub permission: InterfaceUse,
    pub created: Time,
}
