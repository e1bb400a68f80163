//! Somebody out on the internet, for paths that begin or end at an Internet gateway: a VPC that nobody has, whose one interface has the
//! public addresses that are asked about, lets everything in and out, and answers. So the law judges such a packet as any other.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};

use model::intent::{Endpoint, VpcSlice};
use model::vpc::{CidrAssociation, HostnameType, NetworkAclAssociation, RouteTableAssociation};
use model::{
    AccountId, AclAction, Cidr, ConnectionTracking, Destination, Direction, InterfaceKind, IpProtocol, Ipv4Cidr,
    Ipv6Cidr, MacAddr, NetworkAcl, NetworkAclEntry, NetworkInterface, NetworkInterfaceId, Ports, PublicAssociation,
    Region, ResourceId, Route, RouteOrigin, RouteTable, RouteTarget, RulePeer, SecurityGroup, SecurityGroupRule,
    SecurityGroupRuleId, Subnet, Tags, Time, Vpc, VpcId, Zone,
};

use crate::Network;
use crate::mend::NEW_GATEWAY;

/// The VPC that stands for the rest of the internet: no real one has this id.
pub const OUTSIDE: VpcId = VpcId::FIRST;
/// Its interface.
pub const OUTSIDE_INTERFACE: NetworkInterfaceId = NetworkInterfaceId::FIRST;

/// As many addresses as its block has room for.
const ADDRESSES_MAX: usize = 200;

impl Network {
    /// The same, with somebody on the internet who has these public addresses, whoever has them here.
    #[must_use]
    pub fn with_outside(mut self, addresses: &[IpAddr], region: Region, zone: Zone) -> Network {
        let mut slice = slice(region, zone);
        let mut interface = NetworkInterface::clone(&slice.endpoints[0].interface);
        for (address, number) in addresses.iter().take(ADDRESSES_MAX).zip(4..) {
            match address {
                IpAddr::V6(address) => interface.ipv6_addresses.push(*address),
                IpAddr::V4(public) => {
                    let private = Ipv4Addr::new(10, 0, 0, number);
                    interface.private_ips.push(private);
                    interface.public.push(PublicAssociation { private, public: *public, elastic: None });
                }
            }
        }
        let host = self.any_host().or_else(|| "outside".parse().ok());
        slice.endpoints = Vec::from([Endpoint { interface: Arc::new(interface), host, is_up: true }]);
        self.add(slice);
        self
    }

    /// The address from which somebody outside sends, for the public one that everybody else sees.
    pub fn outside_address(&self, public: IpAddr) -> Option<IpAddr> {
        let interface = &self.endpoint(OUTSIDE_INTERFACE)?.interface;
        match public {
            IpAddr::V6(_) => interface.owns(public).then_some(public),
            IpAddr::V4(public) => {
                interface.public.iter().find(|mapped| mapped.public == public).map(|mapped| mapped.private.into())
            }
        }
    }
}

fn slice(region: Region, zone: Zone) -> VpcSlice {
    let owner = AccountId::OPERATOR;
    let tags = Tags::new();
    let block = Ipv4Cidr::host(Ipv4Addr::new(10, 0, 0, 0));
    let block = Ipv4Cidr::new(block.network(), 24).unwrap_or(block);
    let vpc = Vpc {
        id: OUTSIDE,
        owner,
        cidrs: Vec::from([CidrAssociation { id: ResourceId::FIRST, cidr: block }]),
        ipv6_cidrs: Vec::new(),
        main: RouteTableAssociation { id: ResourceId::FIRST, route_table: ResourceId::FIRST },
        default_group: ResourceId::FIRST,
        default_acl: ResourceId::FIRST,
        dhcp_options: None,
        is_default: false,
        instance_tenancy: "default".into(),
        enable_dns_support: false,
        enable_dns_hostnames: false,
        enable_network_address_usage_metrics: false,
        tags: tags.clone(),
    };
    let subnet = Subnet {
        id: ResourceId::FIRST,
        vpc: OUTSIDE,
        owner,
        zone,
        cidr: block,
        ipv6: None,
        route_table: None,
        network_acl: NetworkAclAssociation { id: ResourceId::FIRST, network_acl: ResourceId::FIRST },
        is_default_for_zone: false,
        map_public_ip_on_launch: false,
        assign_ipv6_address_on_creation: false,
        enable_dns64: false,
        private_dns_hostname_type: HostnameType::IpName,
        enable_resource_name_dns_a_record: false,
        enable_resource_name_dns_aaaa_record: false,
        tags: tags.clone(),
    };
    let everything = [Cidr::V4(Ipv4Cidr::ALL), Cidr::V6(Ipv6Cidr::ALL)];
    let out = |cidr| Route {
        destination: Destination::Cidr(cidr),
        target: RouteTarget::InternetGateway(NEW_GATEWAY),
        origin: RouteOrigin::CreateRoute,
    };
    let routes = vpc.blocks().map(Route::local).chain(everything.map(out)).collect();
    let route_table = RouteTable { id: ResourceId::FIRST, vpc: OUTSIDE, owner, routes, tags: tags.clone() };
    let allow = |cidr| NetworkAclEntry { protocol: IpProtocol::All, action: AclAction::Allow, cidr, ports: Ports::Any };
    let entries: BTreeMap<u16, NetworkAclEntry> = (100..).zip(everything.map(allow)).collect();
    let acl = NetworkAcl {
        id: ResourceId::FIRST,
        vpc: OUTSIDE,
        owner,
        is_default: true,
        ingress: entries.clone(),
        egress: entries,
        tags: tags.clone(),
    };
    let ways = [Direction::Ingress, Direction::Egress].into_iter().flat_map(|way| everything.map(|cidr| (way, cidr)));
    let rules = (1..).zip(ways).map(|(number, (direction, cidr))| {
        let id = SecurityGroupRuleId::from_random(number);
        let (protocol, ports, peer) = (IpProtocol::All, Ports::Any, RulePeer::Cidr(cidr));
        (id, SecurityGroupRule { id, direction, protocol, ports, peer, description: None, tags: Tags::new() })
    });
    let group = SecurityGroup {
        id: ResourceId::FIRST,
        vpc: OUTSIDE,
        owner,
        name: "default".into(),
        description: String::new(),
        rules: rules.collect(),
        tags: tags.clone(),
    };
    let interface = NetworkInterface {
        id: OUTSIDE_INTERFACE,
        subnet: subnet.id,
        vpc: OUTSIDE,
        owner,
        zone,
        mac: MacAddr::from_random(0),
        description: String::new(),
        private_ips: Vec::new(),
        ipv6_addresses: Vec::new(),
        has_primary_ipv6: false,
        public: Vec::new(),
        kind: InterfaceKind::Interface,
        groups: BTreeSet::from([group.id]),
        source_dest_check: true,
        connection_tracking: ConnectionTracking::default(),
        attachment: None,
        created: Time::EPOCH,
        tags,
    };
    VpcSlice {
        region,
        vpc: Arc::new(vpc),
        subnets: Vec::from([Arc::new(subnet)]),
        route_tables: Vec::from([Arc::new(route_table)]),
        security_groups: Vec::from([Arc::new(group)]),
        network_acls: Vec::from([Arc::new(acl)]),
        endpoints: Vec::from([Endpoint { interface: Arc::new(interface), host: None, is_up: true }]),
        internet_gateways: Vec::from([NEW_GATEWAY]),
        flow_logs: Vec::new(),
        peerings: Vec::new(),
        peers: Vec::new(),
        dhcp_options: None,
        hosted_zones: Vec::new(),
        resource_names: BTreeMap::new(),
        prefix_lists: BTreeMap::new(),
        nat_gateways: BTreeMap::new(),
        egress_only_internet_gateways: Vec::new(),
    }
}
