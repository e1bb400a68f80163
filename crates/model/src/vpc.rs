//! VPCs, their subnets, and what is attached to a VPC as a whole (spec ch. 2, 3, 8.8).
//!
//! Exactly-one rules hold by construction: a VPC names its one main route table, a subnet its one network ACL and at most
//! one route table of its own.

use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};
use serde::{Deserialize, Serialize};

use crate::{
    AccountId, Cidr, DhcpOptionsId, InternetGatewayId, Ipv4Cidr, Ipv6Cidr, NetworkAclAssociationId, NetworkAclId,
    RouteTableAssociationId, RouteTableId, SecurityGroupId, SubnetCidrAssociationId, SubnetId, Tags, Time,
    VpcCidrAssociationId, VpcId, Zone,
};

/// A block that belongs to a VPC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CidrAssociation<C> {
    pub id: VpcCidrAssociationId,
    pub cidr: C,
}

/// A route table in use; the id names the use, not the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteTableAssociation {
    pub id: RouteTableAssociationId,
    pub route_table: RouteTableId,
}

/// A network ACL in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkAclAssociation {
    pub id: NetworkAclAssociationId,
    pub network_acl: NetworkAclId,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vpc {
    pub id: VpcId,
    pub owner: AccountId,
    /// The primary block is first and never leaves.
    pub cidrs: Vec<CidrAssociation<Ipv4Cidr>>,
    pub ipv6_cidrs: Vec<CidrAssociation<Ipv6Cidr>>,
    pub main: RouteTableAssociation,
    pub default_group: SecurityGroupId,
    pub default_acl: NetworkAclId,
    /// `None`: the set named `default`, that is none at all.
    pub dhcp_options: Option<DhcpOptionsId>,
    pub is_default: bool,
    /// `default` or `dedicated`; recorded only.
    pub instance_tenancy: String,
    pub enable_dns_support: bool,
    pub enable_dns_hostnames: bool,
    pub enable_network_address_usage_metrics: bool,
    pub tags: Tags,
}

impl Vpc {
    pub fn primary_cidr(&self) -> Ipv4Cidr {
        self.cidrs[0].cidr
    }

    /// Every block of either family, IPv4 first.
    pub fn blocks(&self) -> impl Iterator<Item = Cidr> {
        let v4 = self.cidrs.iter().map(|a| Cidr::V4(a.cidr));
        v4.chain(self.ipv6_cidrs.iter().map(|a| Cidr::V6(a.cidr)))
    }

    pub fn contains(&self, address: IpAddr) -> bool {
        self.blocks().any(|block| block.contains(address))
    }

    /// The cloud's own names are given and resolve here: that needs both switches (spec 9.3).
    pub fn has_dns_names(&self) -> bool {
        self.enable_dns_support && self.enable_dns_hostnames
    }

    /// Where the VPC's resolver answers: the primary block's address plus two (spec 9.1).
    pub fn resolver(&self) -> Ipv4Addr {
        self.primary_cidr().nth(2).unwrap_or(self.primary_cidr().network())
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subnet {
    pub id: SubnetId,
    pub vpc: VpcId,
    pub owner: AccountId,
    pub zone: Zone,
    pub cidr: Ipv4Cidr,
    pub ipv6: Option<SubnetIpv6>,
    /// `None`: the VPC's main table holds.
    pub route_table: Option<RouteTableAssociation>,
    pub network_acl: NetworkAclAssociation,
    pub is_default_for_zone: bool,
    pub map_public_ip_on_launch: bool,
    pub assign_ipv6_address_on_creation: bool,
    pub enable_dns64: bool,
    pub private_dns_hostname_type: HostnameType,
    pub enable_resource_name_dns_a_record: bool,
    pub enable_resource_name_dns_aaaa_record: bool,
    pub tags: Tags,
}

/// A subnet's IPv6 block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubnetIpv6 {
    pub id: SubnetCidrAssociationId,
    pub cidr: Ipv6Cidr,
}

/// What a new instance's host name is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum HostnameType {
    #[default]
    IpName,
    ResourceName,
}

impl Subnet {
    pub fn contains(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(a) => self.cidr.contains(a),
            IpAddr::V6(a) => self.ipv6.is_some_and(|v6| v6.cidr.contains(a)),
        }
    }

    /// The VPC router's address in this subnet: the second one (spec 3.5).
    pub fn router(&self) -> Ipv4Addr {
        self.cidr.nth(1).unwrap_or(self.cidr.network())
    }

    /// No interface may have these: the first four addresses and the last (spec 3.5).
    pub fn is_reserved(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(a) => {
                let first = u32::from(self.cidr.network());
                (first..first.saturating_add(4)).contains(&a.into()) || a == self.cidr.last()
            }
            IpAddr::V6(a) => self.ipv6.is_some_and(|v6| {
                let first = u128::from(v6.cidr.network());
                (first..first.saturating_add(4)).contains(&a.into()) || a == v6.cidr.last()
            }),
        }
    }

    /// The table that decides for packets from this subnet.
    pub fn effective_route_table(&self, vpc: &Vpc) -> RouteTableId {
        self.route_table.map_or(vpc.main.route_table, |association| association.route_table)
    }
}

/// A set of DHCP options; immutable once made (spec 2.6).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DhcpOptions {
    pub id: DhcpOptionsId,
    pub owner: AccountId,
    /// Option name (`domain-name-servers`) to its values, in the user's order.
    pub configuration: Vec<(String, Vec<String>)>,
    pub tags: Tags,
}

/// A way to this cloud's internet: addresses are translated there, one for one and without memory (spec 8.8).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InternetGateway {
    pub id: InternetGatewayId,
    pub owner: AccountId,
    pub vpc: Option<VpcId>,
    /// The table for what comes in (spec 4.7). It is recorded: what comes in goes straight to its interface.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route_table: Option<RouteTableAssociation>,
    pub created: Time,
    pub tags: Tags,
}
