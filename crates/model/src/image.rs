//! Machine images that an account registered. They are labels: any image id runs the sandbox.

use alloc::string::String;
use serde::{Deserialize, Serialize};

use crate::{AccountId, ImageId, Tags, Time};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisteredImage {
    pub id: ImageId,
    pub owner: AccountId,
    /// One of a name in an account and region.
    pub name: String,
    pub description: String,
    pub architecture: String,
    /// `None`: the owner's id and the name.
    pub location: Option<String>,
    pub root_device_name: String,
    pub virtualization_type: String,
    pub ena_support: bool,
    pub boot_mode: Option<String>,
    pub imds_support: Option<String>,
    pub tpm_support: Option<String>,
    pub created: Time,
    pub tags: Tags,
}
