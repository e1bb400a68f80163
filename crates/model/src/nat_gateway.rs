//! NAT gateways and egress-only internet gateways: ways out that nobody outside can begin with (spec 8.8).

use alloc::string::String;
use alloc::vec::Vec;
use core::net::Ipv4Addr;
use serde::{Deserialize, Serialize};

use crate::{
    AccountId, AddressAssociationId, AllocationId, EgressOnlyInternetGatewayId, HostId, NatGatewayId,
    NetworkInterfaceId, SubnetId, Tags, Time, VpcId,
};

/// Translates source addresses of its VPC. What addresses it has, its interface says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NatGateway {
    pub id: NatGatewayId,
    pub owner: AccountId,
    pub vpc: VpcId,
    pub subnet: SubnetId,
    pub connectivity: Connectivity,
    pub state: NatGatewayState,
    /// Why it failed: AWS's code and its text.
    pub failure: Option<(String, String)>,
    /// There while it is available.
    pub interface: Option<NetworkInterfaceId>,
    /// What it had at its end, or was to have; empty while its interface says it.
    pub ended_with: Vec<NatGatewayAddress>,
    /// The host that translates; `None` in a control plane without hosts.
    pub host: Option<HostId>,
    pub created: Time,
    /// When it was deleted or failed; it stays visible for about an hour more.
    pub ended: Option<Time>,
    pub tags: Tags,
}

/// Where a NAT gateway's packets go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Connectivity {
    /// The internet: each of its addresses has an Elastic IP address.
    Public,
    /// Other networks that the VPC is connected with.
    Private,
}

impl Connectivity {
    /// The word of the API.
    pub fn code(self) -> &'static str {
        match self {
            Connectivity::Public => "public",
            Connectivity::Private => "private",
        }
    }
}

/// No state lasts but these: what AWS shows between them takes no time here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NatGatewayState {
    Available,
    Failed,
    Deleted,
}

impl NatGatewayState {
    /// The word of the API.
    pub fn code(self) -> &'static str {
        match self {
            NatGatewayState::Available => "available",
            NatGatewayState::Failed => "failed",
            NatGatewayState::Deleted => "deleted",
        }
    }
}

/// An address that a gateway had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NatGatewayAddress {
    pub interface: Option<NetworkInterfaceId>,
    pub private: Option<Ipv4Addr>,
    pub public: Option<Ipv4Addr>,
    pub allocation: Option<AllocationId>,
    pub association: Option<AddressAssociationId>,
}

/// Lets IPv6 packets out of a VPC, and in only what answers them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EgressOnlyInternetGateway {
    pub id: EgressOnlyInternetGatewayId,
    pub owner: AccountId,
    pub vpc: VpcId,
    pub created: Time,
    pub tags: Tags,
}
