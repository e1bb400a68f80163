//! Paths that users ask about and what was found out about them (spec 12.2).
//!
//! A path is a standing question; an analysis is an answer of one moment: a record of what the rules were then, which no later
//! change of a rule touches. So its findings are texts, and name things that may be gone.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::IpAddr;
use serde::{Deserialize, Serialize};

use crate::{
    AccountId, InsightsAnalysisId, InsightsPathId, InstanceId, InternetGatewayId, IpProtocol, NetworkInterfaceId,
    PeeringId, Tags, Time,
};

/// What a path begins or ends at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum PathResource {
    Instance(InstanceId),
    NetworkInterface(NetworkInterfaceId),
    InternetGateway(InternetGatewayId),
    Peering(PeeringId),
}

impl PathResource {
    /// The word for its kind in an ARN.
    pub fn kind(&self) -> &'static str {
        match self {
            PathResource::Instance(_) => "instance",
            PathResource::NetworkInterface(_) => "network-interface",
            PathResource::InternetGateway(_) => "internet-gateway",
            PathResource::Peering(_) => "vpc-peering-connection",
        }
    }
}

impl fmt::Display for PathResource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PathResource::Instance(id) => id.fmt(f),
            PathResource::NetworkInterface(id) => id.fmt(f),
            PathResource::InternetGateway(id) => id.fmt(f),
            PathResource::Peering(id) => id.fmt(f),
        }
    }
}

/// A resource and whose it is: another account's may be named by its ARN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathEnd {
    pub owner: AccountId,
    pub resource: PathResource,
}

/// Ports, both ends included, `from <= to`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortRange {
    pub from: u16,
    pub to: u16,
}

impl PortRange {
    pub const ALL: PortRange = PortRange { from: 0, to: u16::MAX };

    /// The ports that are in both.
    pub fn and(self, other: PortRange) -> Option<PortRange> {
        let (from, to) = (self.from.max(other.from), self.to.min(other.to));
        (from <= to).then_some(PortRange { from, to })
    }
}

/// The packets that a path is about, at one of its ends; what is `None` is not asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathFilter {
    pub source_address: Option<IpAddr>,
    pub source_ports: Option<PortRange>,
    pub destination_address: Option<IpAddr>,
    pub destination_ports: Option<PortRange>,
}

/// A standing question: can packets of this kind come from there to there?
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkInsightsPath {
    pub id: InsightsPathId,
    pub owner: AccountId,
    pub created: Time,
    pub source: PathEnd,
    /// `None`: whatever has the destination address.
    pub destination: Option<PathEnd>,
    pub source_ip: Option<IpAddr>,
    pub destination_ip: Option<IpAddr>,
    /// TCP or UDP.
    pub protocol: IpProtocol,
    pub destination_port: Option<u16>,
    pub filter_at_source: Option<PathFilter>,
    pub filter_at_destination: Option<PathFilter>,
    pub tags: Tags,
}

/// An answer to a path, as of one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkInsightsAnalysis {
    pub id: InsightsAnalysisId,
    pub owner: AccountId,
    pub path: InsightsPathId,
    pub started: Time,
    pub additional_accounts: Vec<AccountId>,
    /// ARNs that the path must go through.
    pub filter_in: Vec<String>,
    /// ARNs that the path must not go through.
    pub filter_out: Vec<String>,
    pub findings: Findings,
    pub tags: Tags,
}

/// Nothing is lost where an absent member is left out of the record.
fn is_absent<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

macro_rules! findings {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* })*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
            #[serde(default)]
            pub struct $name {
                $($(#[$field_doc])* #[serde(skip_serializing_if = "is_absent")] pub $field: $type,)*
            }
        )*
    };
}

findings! {
    /// What an analysis came to.
    Findings {
        /// Why nothing could be found out; the other members are empty then.
        failure: Option<String>,
        /// What the findings do not cover.
        warning: Option<String>,
        /// `None` only of a failed analysis.
        path_found: Option<bool>,
        forward: Vec<PathComponent>,
        back: Vec<PathComponent>,
        explanations: Vec<Explanation>,
        suggested_accounts: Vec<AccountId>,
    }

    /// A thing on the way.
    Component {
        id: String,
        arn: String,
        /// Its tag `Name`.
        name: Option<String>,
    }

    /// The packets at one point of the way: blocks such as `10.0.0.4/32`.
    PacketHeader {
        /// A number, as text.
        protocol: String,
        source_addresses: Vec<String>,
        source_ports: Vec<PortRange>,
        destination_addresses: Vec<String>,
        destination_ports: Vec<PortRange>,
    }

    /// The rule of a network ACL that decided.
    AclRule {
        cidr: String,
        egress: bool,
        ports: Option<PortRange>,
        /// `all`, or a number.
        protocol: String,
        /// `allow` or `deny`.
        action: String,
        number: u32,
    }

    /// The rule of a security group that admitted.
    GroupRule {
        cidr: Option<String>,
        /// `ingress` or `egress`.
        direction: String,
        /// The group that the rule names.
        group: Option<String>,
        ports: Option<PortRange>,
        prefix_list: Option<String>,
        /// `-1`, or a name.
        protocol: String,
    }

    /// The route that was taken; one destination and one target are there.
    RouteUsed {
        destination_cidr: Option<String>,
        destination_prefix_list: Option<String>,
        egress_only_internet_gateway: Option<String>,
        gateway: Option<String>,
        instance: Option<String>,
        nat_gateway: Option<String>,
        network_interface: Option<String>,
        origin: String,
        transit_gateway: Option<String>,
        peering: Option<String>,
        state: String,
    }

    /// A remark that blocks nothing.
    AdditionalDetail {
        kind: String,
    }

    /// One stage of the way.
    PathComponent {
        /// From 1.
        sequence: u32,
        component: Component,
        attached_to: Option<Component>,
        acl_rule: Option<AclRule>,
        group_rule: Option<GroupRule>,
        route: Option<RouteUsed>,
        inbound: Option<PacketHeader>,
        outbound: Option<PacketHeader>,
        subnet: Option<Component>,
        vpc: Option<Component>,
        source_vpc: Option<Component>,
        destination_vpc: Option<Component>,
        details: Vec<AdditionalDetail>,
        explanations: Vec<Explanation>,
    }

    /// Why packets do not pass: a code, and what it is about.
    Explanation {
        code: String,
        /// `ingress` or `egress`.
        direction: Option<String>,
        component: Option<Component>,
        component_account: Option<AccountId>,
        component_region: Option<String>,
        state: Option<String>,
        /// The member of the packet's header that the code is about.
        packet_field: Option<String>,
        address: Option<String>,
        addresses: Vec<String>,
        cidrs: Vec<String>,
        port_ranges: Vec<PortRange>,
        acl: Option<Component>,
        acl_rule: Option<AclRule>,
        security_group: Option<Component>,
        security_groups: Vec<Component>,
        group_rule: Option<GroupRule>,
        route_table: Option<Component>,
        route: Option<RouteUsed>,
        network_interface: Option<Component>,
        internet_gateway: Option<Component>,
        nat_gateway: Option<Component>,
        peering: Option<Component>,
        subnet: Option<Component>,
        vpc: Option<Component>,
        source_vpc: Option<Component>,
        destination_vpc: Option<Component>,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_ranges_have_what_is_in_both() {
        let range = |from, to| PortRange { from, to };
        for (a, b, both) in [
            (range(80, 90), PortRange::ALL, Some(range(80, 90))),
            (range(80, 90), range(90, 99), Some(range(90, 90))),
            (range(80, 90), range(91, 99), None),
        ] {
            assert_eq!((a.and(b), b.and(a)), (both, both));
        }
    }
}
