//! Volumes of an instance: what clients set and read back (spec 8.6). The files of an instance are on its host, whatever they say.

use alloc::string::String;
use serde::{Deserialize, Serialize};

use crate::{Tags, VolumeId};

/// One volume. It comes with its instance and ends with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    pub id: VolumeId,
    /// `/dev/xvda`.
    pub device: String,
    /// In GiB.
    pub size: u32,
    /// `gp3`, `gp2`, `io1`, `io2`, `st1`, `sc1` or `standard`.
    pub kind: String,
    pub iops: Option<u32>,
    /// In MiB/s; of `gp3` only.
    pub throughput: Option<u32>,
    pub encrypted: bool,
    pub kms_key: Option<String>,
    /// What it was made from.
    pub snapshot: Option<String>,
    pub delete_on_termination: bool,
    pub tags: Tags,
}
