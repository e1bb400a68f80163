//! Elastic network interfaces (spec 8.1-8.5).

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use serde::{Deserialize, Serialize};

use crate::{
    AccountId, AttachmentId, InstanceId, NetworkInterfaceId, PublicAssociation, SecurityGroupId, SubnetId, Tags, Time,
    VpcId, Zone,
};

/// An Ethernet address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MacAddr(pub [u8; 6]);

impl MacAddr {
    /// A locally administered unicast address from random bits.
    pub fn from_random(random: u64) -> MacAddr {
        let [_, _, _, b, c, d, e, f] = random.to_be_bytes();
        MacAddr([0x02, b, c, d, e, f])
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    pub id: AttachmentId,
    pub instance: InstanceId,
    /// 0 is the primary interface, which cannot be detached.
    pub device_index: u32,
    pub attached: Time,
    pub delete_on_termination: bool,
    #[serde(default, skip_serializing_if = "EnaOptions::is_default")]
    pub ena: EnaOptions,
    /// The primary address gets a public one at each start of the instance, and loses it when that stops (spec 8.6).
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub public_at_start: bool,
}

/// What AWS's network adapters may be told; recorded, and without effect here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnaOptions {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub srd_enabled: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub srd_udp_enabled: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_count: Option<u32>,
}

impl EnaOptions {
    /// Nothing was said.
    pub fn is_default(&self) -> bool {
        *self == EnaOptions::default()
    }
}

/// How long an interface's flows are tracked without a packet, in seconds, where it is not as for all (spec 6.4.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionTracking {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcp_established_timeout: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub udp_stream_timeout: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub udp_timeout: Option<u32>,
}

impl ConnectionTracking {
    /// Nothing is set: all is as for all.
    pub fn is_default(&self) -> bool {
        *self == ConnectionTracking::default()
    }
}

/// What an interface is for; the others than `Interface` are made and ended by what they serve.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InterfaceKind {
    #[default]
    Interface,
    NatGateway,
}

impl InterfaceKind {
    /// An instance's, or nobody's yet.
    pub fn is_ordinary(&self) -> bool {
        *self == InterfaceKind::Interface
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkInterface {
    pub id: NetworkInterfaceId,
    pub subnet: SubnetId,
    pub vpc: VpcId,
    pub owner: AccountId,
    pub zone: Zone,
    pub mac: MacAddr,
    pub description: String,
    /// The primary address is first and never changes.
    pub private_ips: Vec<Ipv4Addr>,
    pub ipv6_addresses: Vec<Ipv6Addr>,
    /// The first IPv6 address is the primary one and stays with the interface.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub has_primary_ipv6: bool,
    /// What stands for which of the private addresses outside; at most one each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub public: Vec<PublicAssociation>,
    #[serde(default, skip_serializing_if = "InterfaceKind::is_ordinary")]
    pub kind: InterfaceKind,
    pub groups: BTreeSet<SecurityGroupId>,
    pub source_dest_check: bool,
    #[serde(default, skip_serializing_if = "ConnectionTracking::is_default")]
    pub connection_tracking: ConnectionTracking,
    pub attachment: Option<Attachment>,
    pub created: Time,
    pub tags: Tags,
}

impl NetworkInterface {
    pub fn primary_ip(&self) -> Ipv4Addr {
        self.private_ips[0]
    }

    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        let v4 = self.private_ips.iter().copied().map(IpAddr::V4);
        v4.chain(self.ipv6_addresses.iter().copied().map(IpAddr::V6))
    }

    pub fn owns(&self, address: IpAddr) -> bool {
        self.addresses().any(|own| own == address)
    }
}
