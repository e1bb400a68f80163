//! What one host must do: the slice of every World that its endpoints can see (architecture ch. 4).

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::{Ipv4Addr, Ipv6Addr};
use serde::{Deserialize, Serialize};

use crate::federation::Member;
use crate::*;

/// Everything that decides about packets of one VPC, whole.
///
/// A host that carries an endpoint of the VPC has it; so the fate of a packet that leaves or enters here is decided here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VpcSlice {
    pub region: Region,
    pub vpc: Arc<Vpc>,
    pub subnets: Vec<Arc<Subnet>>,
    /// Whole: with the local routes.
    pub route_tables: Vec<Arc<RouteTable>>,
    pub security_groups: Vec<Arc<SecurityGroup>>,
    pub network_acls: Vec<Arc<NetworkAcl>>,
    pub endpoints: Vec<Endpoint>,
    pub internet_gateways: Vec<InternetGatewayId>,
    /// Of the VPC, its subnets and its interfaces.
    #[serde(default)]
    pub flow_logs: Vec<Arc<FlowLog>>,
    /// Every peering in which the VPC is a side, in any state, as its own region sees it.
    pub peerings: Vec<Arc<Peering>>,
    /// The members of the VPCs at the other end of the active ones.
    pub peers: Vec<Peer>,
    pub dhcp_options: Option<Arc<DhcpOptions>>,
    /// The private hosted zones that hold in the VPC, whoever owns them.
    #[serde(default)]
    pub hosted_zones: Vec<Arc<HostedZone>>,
    /// The resource names that resolve, by the interface that they lead to.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub resource_names: BTreeMap<NetworkInterfaceId, ResourceName>,
    /// The blocks of every prefix list that a rule or a route of the VPC names.
    #[serde(default)]
    pub prefix_lists: BTreeMap<PrefixListId, Vec<Cidr>>,
    /// The available NAT gateways, and the interface of each, which is among the endpoints.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub nat_gateways: BTreeMap<NatGatewayId, NetworkInterfaceId>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub egress_only_internet_gateways: Vec<EgressOnlyInternetGatewayId>,
}

/// An interface, where it is and whether packets may pass.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    pub interface: Arc<NetworkInterface>,
    pub host: Option<HostId>,
    /// Attached to an instance that is pending or running, or of an available NAT gateway.
    pub is_up: bool,
}

/// A VPC at the other end of an active peering.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    pub peering: PeeringId,
    pub vpc: VpcId,
    pub members: Vec<Member>,
    /// Groups of that VPC that still exist; a rule naming another is stale. Empty across regions (spec 6.5.3).
    pub groups: Vec<SecurityGroupId>,
}

/// All that an agent is told; whole, each time (law 7). What travels is only what differs, by digest: see `stream`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// Per region, the revision of the World that this was made from.
    pub revisions: BTreeMap<Region, u64>,
    pub vpcs: BTreeMap<VpcId, Arc<VpcSlice>>,
    /// The instances that this host carries and that have not ended, wanted or not.
    pub instances: BTreeMap<InstanceId, Arc<Instance>>,
    /// The other hosts that carry what those VPCs can see.
    #[serde(default)]
    pub hosts: BTreeMap<HostId, Arc<Host>>,
    /// Every public IPv4 address that is allocated in this cloud.
    #[serde(default)]
    pub public: BTreeMap<Ipv4Addr, Arc<PublicPlace>>,
    /// The IPv6 addresses of all VPCs that have an Internet gateway; empty where none of this host's VPCs has one.
    #[serde(default)]
    pub public_ipv6: BTreeMap<Ipv6Addr, Arc<PublicIpv6>>,
    /// What the cloud's own names end with.
    #[serde(default, skip_serializing_if = "is_aws")]
    pub names: Arc<NameSuffixes>,
}

fn is_aws(names: &Arc<NameSuffixes>) -> bool {
    names.is_aws()
}
