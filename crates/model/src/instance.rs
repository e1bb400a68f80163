//! Instances (spec 8.6): here a sandbox on a host; image and type are labels.

use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

use crate::{
    AccountId, HostId, ImageId, InstanceId, MetadataOptions, PrivateDnsNameOptions, ReservationId, SubnetId, Tags,
    Time, Volume, VpcId, Zone,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InstanceState {
    Pending,
    Running,
    ShuttingDown,
    Terminated,
    Stopping,
    Stopped,
}

impl InstanceState {
    /// The code of the wire: pending 0, running 16, shutting-down 32, terminated 48, stopping 64, stopped 80.
    pub fn code(self) -> i32 {
        match self {
            Self::Pending => 0,
            Self::Running => 16,
            Self::ShuttingDown => 32,
            Self::Terminated => 48,
            Self::Stopping => 64,
            Self::Stopped => 80,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::ShuttingDown => "shutting-down",
            Self::Terminated => "terminated",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
        }
    }

    /// A host should be running it.
    pub fn is_wanted(self) -> bool {
        matches!(self, Self::Pending | Self::Running)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    pub id: InstanceId,
    pub owner: AccountId,
    pub reservation: ReservationId,
    pub launch_index: u32,
    pub image: ImageId,
    pub instance_type: String,
    pub vpc: VpcId,
    pub subnet: SubnetId,
    pub zone: Zone,
    /// The host that carries it; `None` in a control plane without hosts, where instances are records only.
    pub host: Option<HostId>,
    pub state: InstanceState,
    /// Why it last changed state: a code such as `Client.UserInitiatedShutdown` and a text.
    pub state_reason: Option<(String, String)>,
    /// When a user last asked it to stop or end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_asked: Option<Time>,
    pub launched: Time,
    /// When it ended; it stays visible for about an hour more.
    pub terminated: Option<Time>,
    /// The decoded bytes that run as the first program at each start.
    #[serde(with = "crate::bytes")]
    pub user_data: Vec<u8>,
    #[serde(default, skip_serializing_if = "MetadataOptions::is_default")]
    pub metadata: MetadataOptions,
    pub key_name: Option<String>,
    /// The public half of that key pair as it was at the launch, as a line of `authorized_keys`: what becomes of the key pair is nothing
    /// to the instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_key: Option<String>,
    pub client_token: Option<String>,
    pub disable_api_termination: bool,
    pub disable_api_stop: bool,
    /// `stop` or `terminate`: what becomes of it when it shuts itself down.
    pub shutdown_behavior: String,
    #[serde(default, skip_serializing_if = "PrivateDnsNameOptions::is_default")]
    pub private_dns: PrivateDnsNameOptions,
    #[serde(default, skip_serializing_if = "InstanceOptions::is_default")]
    pub options: InstanceOptions,
    /// The root volume first; none of an instance that was made before they were recorded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<Volume>,
    /// Grows with every start, so that a host knows a restart from a running one.
    pub starts: u32,
    pub tags: Tags,
}

/// What clients set and read back, and nothing here acts on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceOptions {
    /// Detailed monitoring is on.
    #[serde(default)]
    pub monitoring: bool,
    /// `standard` or `unlimited`; `None`: as its type has it.
    #[serde(default)]
    pub cpu_credits: Option<String>,
    /// `default` or `disabled`; `None`: default.
    #[serde(default)]
    pub auto_recovery: Option<String>,
    /// `default` or `disabled`; `None`: default.
    #[serde(default)]
    pub reboot_migration: Option<String>,
    #[serde(default)]
    pub ebs_optimized: bool,
    /// `None`: as the image has it, which is on.
    #[serde(default)]
    pub ena_support: Option<bool>,
    /// `simple`, once it was set; it cannot be unset.
    #[serde(default)]
    pub sriov_net_support: Option<String>,
    /// The ARN of an instance profile. Instances get no credentials of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_profile: Option<String>,
    /// Cores, and threads of each; an instance has its host's processors all the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpus: Option<(u32, u32)>,
    /// `open`, `none` or `capacity-reservations-only`; `None`: open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity_preference: Option<String>,
}

impl InstanceOptions {
    /// Nothing was set.
    pub fn is_default(&self) -> bool {
        *self == InstanceOptions::default()
    }
}
