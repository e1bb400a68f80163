//! Key pairs: the public halves of SSH keys, by name. The private half of one that was made here is shown once and kept nowhere.

use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

use crate::{AccountId, KeyPairId, Tags, Time};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyType {
    Rsa,
    Ed25519,
}

impl KeyType {
    /// The word of the API.
    pub fn name(self) -> &'static str {
        match self {
            KeyType::Rsa => "rsa",
            KeyType::Ed25519 => "ed25519",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyPair {
    pub id: KeyPairId,
    pub owner: AccountId,
    /// One of a name in an account and region.
    pub name: String,
    pub key_type: KeyType,
    /// As the API shows it; which digest of what it is depends on type and origin.
    pub fingerprint: String,
    /// The public key as SSH sends it (RFC 4253, 6.6).
    pub public_key: Vec<u8>,
    pub created: Time,
    pub tags: Tags,
}
