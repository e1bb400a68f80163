//! How a verdict came about: each stage, the object that decided there, and what it said.
//!
//! The data plane hands in `()`, which costs nothing; the analyser a `Vec<Step>`, which is the ladder of hops (spec 12.2.3).

use alloc::vec::Vec;
use core::net::IpAddr;

use model::{
    AclAction, Cidr, Direction, EgressOnlyInternetGatewayId, HostId, InternetGatewayId, NatGatewayId, NetworkAclId,
    NetworkInterfaceId, PeeringId, PeeringStatus, RouteTableId, RouteTarget, SecurityGroupId, SecurityGroupRuleId,
    SubnetId, VpcId,
};

use crate::{Denied, Track, Tracked};

/// Where steps go.
pub trait Trail {
    fn step(&mut self, step: Step);
}

impl Trail for () {
    #[inline(always)]
    fn step(&mut self, _: Step) {}
}

impl Trail for Vec<Step> {
    fn step(&mut self, step: Step) {
        self.push(step);
    }
}

/// One stage of the packet walk, in the order of spec 11.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The interface that the packet leaves or reaches.
    Interface { direction: Direction, interface: NetworkInterfaceId, subnet: SubnetId, vpc: VpcId },
    /// What connection tracking knew.
    Tracking { interface: NetworkInterfaceId, seen: Option<Tracked> },
    /// The security group rule that admits; `None`: the groups were not asked, the flow is tracked.
    Group { direction: Direction, interface: NetworkInterfaceId, rule: Option<RuleRef>, track: Track },
    /// Source and destination are neighbours in this subnet: neither network ACL nor route table is asked.
    OnLink { subnet: SubnetId },
    /// The network ACL rule that decides.
    Acl { direction: Direction, acl: NetworkAclId, number: u16, action: AclAction },
    /// The longest matching route.
    Route { table: RouteTableId, destination: Cidr, target: RouteTarget, state: RouteState },
    /// The peering that is crossed, as this side sees it.
    Peering { direction: Direction, peering: PeeringId, status: PeeringStatus },
    /// The Internet gateway that the packet leaves or enters its VPC by, and the public address that stands for the sender or
    /// the receiver; `None`: none does.
    Gateway { direction: Direction, gateway: InternetGatewayId, public: Option<IpAddr> },
    /// The egress-only Internet gateway that the packet leaves its VPC by, or that what answers comes in by.
    EgressOnly { direction: Direction, gateway: EgressOnlyInternetGatewayId },
    /// The NAT gateway that the packet came to, which sends it on with other addresses and ports.
    Nat { gateway: NatGatewayId, interface: NetworkInterfaceId },
    /// The interface that gets the packet, and where it is.
    Destination { interface: NetworkInterfaceId, vpc: VpcId, host: Option<HostId> },
    /// Always the last step of a refusal.
    Denied(Denied),
}

/// A rule and the group it stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuleRef {
    pub group: SecurityGroupId,
    pub rule: SecurityGroupRuleId,
}

/// A route's state, computed (spec 4.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteState {
    Active,
    Blackhole,
}
