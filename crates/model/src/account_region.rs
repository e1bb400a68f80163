//! What an account is in a region, beside what it owns there.

use alloc::collections::BTreeSet;
use alloc::string::String;
use serde::{Deserialize, Serialize};

use crate::metadata::MetadataDefaults;
use crate::{AccountId, SecurityGroupId, Tags, Time, VpcId};

/// An account's own switches in a region.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountRegion {
    pub account: AccountId,
    /// When its default VPC was made at its first use; one that is deleted later is not made again.
    pub default_vpc_made: Option<Time>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block_public_access: Option<BlockPublicAccess>,
    #[serde(default, skip_serializing_if = "MetadataDefaults::is_default")]
    pub metadata_defaults: MetadataDefaults,
}

impl AccountRegion {
    /// One that has done nothing yet.
    pub fn new(account: AccountId) -> AccountRegion {
        AccountRegion {
            account,
            default_vpc_made: None,
            block_public_access: None,
            metadata_defaults: MetadataDefaults::default(),
        }
    }
}

/// Block public access as the account chose it; recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockPublicAccess {
    /// `off`, `block-bidirectional` or `block-ingress`.
    pub mode: String,
    pub changed: Time,
}

/// The VPCs beside its own in which a security group can be used (spec 6.1.5).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecurityGroupVpcs {
    pub group: SecurityGroupId,
    pub owner: AccountId,
    pub vpcs: BTreeSet<VpcId>,
}

/// A log group of CloudWatch Logs: recorded, so that a flow log can name it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogGroup {
    pub owner: AccountId,
    pub name: String,
    pub created: Time,
    /// `None`: kept for ever.
    pub retention_in_days: Option<u32>,
    /// `STANDARD` or `INFREQUENT_ACCESS`.
    pub class: String,
    pub kms_key: Option<String>,
    pub tags: Tags,
}

impl LogGroup {
    /// What it is found by: names are an account's own.
    pub fn key(owner: AccountId, name: &str) -> String {
        alloc::format!("{owner}:{name}")
    }
}
