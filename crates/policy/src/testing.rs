//! A cloud in a few lines, for tests: VPCs, subnets, interfaces, peerings, rules, and the slices that agents would get.
//!
//! Ids count up, so a test sees the same ids in each run. A name or block that cannot be parsed is a mistake of the test and panics.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::IpAddr;
use core::str::FromStr;

use model::federation::Member;
use model::intent::{Endpoint, Peer, VpcSlice};
use model::vpc::{CidrAssociation, HostnameType, NetworkAclAssociation, RouteTableAssociation, SubnetIpv6};
use model::{
    AclAction, Cidr, Destination, Direction, EgressOnlyInternetGatewayId, HostId, InternetGatewayId, IpProtocol,
    MacAddr, NatGatewayId, NetworkAcl, NetworkAclEntry, NetworkInterface, NetworkInterfaceId, Peering, PeeringId,
    PeeringOptions, PeeringSide, PeeringStatus, Ports, PrefixListId, PublicAssociation, PublicHolder, PublicIpv6,
    PublicPlace, Region, ResourceId, Route, RouteOrigin, RouteTable, RouteTarget, RulePeer, SecurityGroup,
    SecurityGroupId, SecurityGroupRule, SecurityGroupRuleId, Subnet, SubnetId, Tags, Time, Vpc, VpcId, Zone,
};

use crate::{Internet, Tables};

/// Where a [`Lab`] puts what is not told a place.
pub const REGION: &str = "us-east-1";
pub const HOST: &str = "host-1";
const OWNER: &str = "111111111111";

/// Parses a text of the test's own.
///
/// # Panics
/// If it is not one.
pub fn p<T: FromStr<Err: core::fmt::Debug>>(text: &str) -> T {
    match text.parse() {
        Ok(value) => value,
        Err(error) => panic!("{text}: {error:?}"),
    }
}

/// A small cloud. `slices` holds each VPC's own part; [`Lab::compile`] adds what peers see of each other.
#[derive(Clone, Debug, Default)]
pub struct Lab {
    pub slices: BTreeMap<VpcId, VpcSlice>,
    count: u128,
}

impl Lab {
    fn id<I: ResourceId>(&mut self) -> I {
        self.count += 1;
        I::from_random(self.count)
    }

    /// A VPC with a main route table of local routes, a default group (all from itself, all out) and an ACL that allows all.
    pub fn vpc(&mut self, blocks: &[&str]) -> VpcId {
        let id: VpcId = self.id();
        let (main, group, acl) = (self.id(), self.id(), self.id());
        let mut vpc = Vpc {
            id,
            owner: p(OWNER),
            cidrs: Vec::new(),
            ipv6_cidrs: Vec::new(),
            main: RouteTableAssociation { id: self.id(), route_table: main },
            default_group: group,
            default_acl: acl,
            dhcp_options: None,
            is_default: false,
            instance_tenancy: "default".into(),
            enable_dns_support: true,
            enable_dns_hostnames: false,
            enable_network_address_usage_metrics: false,
            tags: Tags::new(),
        };
        for block in blocks {
            match p(block) {
                Cidr::V4(cidr) => vpc.cidrs.push(CidrAssociation { id: self.id(), cidr }),
                Cidr::V6(cidr) => vpc.ipv6_cidrs.push(CidrAssociation { id: self.id(), cidr }),
            }
        }
        let routes = vpc.blocks().map(Route::local).collect();
        let slice = VpcSlice {
            region: p(REGION),
            subnets: Vec::new(),
            route_tables: Vec::from([Arc::new(RouteTable {
                id: main,
                vpc: id,
                owner: vpc.owner,
                routes,
                tags: Tags::new(),
            })]),
            security_groups: Vec::new(),
            network_acls: Vec::from([Arc::new(self.open_acl(acl, id))]),
            endpoints: Vec::new(),
            internet_gateways: Vec::new(),
            flow_logs: Vec::new(),
            peerings: Vec::new(),
            peers: Vec::new(),
            dhcp_options: None,
            hosted_zones: Vec::new(),
            resource_names: BTreeMap::new(),
            prefix_lists: BTreeMap::new(),
            nat_gateways: BTreeMap::new(),
            egress_only_internet_gateways: Vec::new(),
            vpc: Arc::new(vpc),
        };
        self.slices.insert(id, slice);
        self.put_group(group, id, "default");
        let own = self.member_of(group);
        self.allow(group, Direction::Ingress, IpProtocol::All, Ports::Any, own);
        self.allow_all(group, Direction::Egress);
        id
    }

    fn open_acl(&mut self, id: model::NetworkAclId, vpc: VpcId) -> NetworkAcl {
        let entry = |block| NetworkAclEntry {
            protocol: IpProtocol::All,
            action: AclAction::Allow,
            cidr: p(block),
            ports: Ports::Any,
        };
        let entries = BTreeMap::from([(100, entry("0.0.0.0/0")), (101, entry("::/0"))]);
        NetworkAcl {
            id,
            vpc,
            owner: p(OWNER),
            is_default: true,
            ingress: entries.clone(),
            egress: entries,
            tags: Tags::new(),
        }
    }

    /// A subnet of one IPv4 block and perhaps an IPv6 one, under the VPC's main table and default ACL.
    pub fn subnet(&mut self, vpc: VpcId, blocks: &[&str]) -> SubnetId {
        let id = self.id();
        let of = |cidr: Option<Cidr>| cidr.unwrap_or_else(|| panic!("no block in {blocks:?}"));
        let Cidr::V4(cidr) = of(blocks.first().map(|b| p(b))) else {
            panic!("the first block of {blocks:?} must be IPv4")
        };
        let ipv6 = blocks.get(1).map(|block| SubnetIpv6 { id: self.id(), cidr: p(block) });
        let network_acl = NetworkAclAssociation { id: self.id(), network_acl: self.slices[&vpc].vpc.default_acl };
        let subnet = Subnet {
            id,
            vpc,
            owner: p(OWNER),
            zone: zone(self.slices[&vpc].region),
            cidr,
            ipv6,
            route_table: None,
            network_acl,
            is_default_for_zone: false,
            map_public_ip_on_launch: false,
            assign_ipv6_address_on_creation: false,
            enable_dns64: false,
            private_dns_hostname_type: HostnameType::IpName,
            enable_resource_name_dns_a_record: false,
            enable_resource_name_dns_aaaa_record: false,
            tags: Tags::new(),
        };
        self.slice(vpc).subnets.push(Arc::new(subnet));
        id
    }

    /// An interface that is up, on [`HOST`], in the VPC's default group.
    pub fn interface(&mut self, subnet: SubnetId, addresses: &[&str]) -> NetworkInterfaceId {
        let id: NetworkInterfaceId = self.id();
        let random = u64::try_from(self.count).unwrap_or_default();
        let slice = self.slice_of(|slice| slice.subnets.iter().any(|s| s.id == subnet));
        let mut interface = NetworkInterface {
            id,
            subnet,
            vpc: slice.vpc.id,
            owner: p(OWNER),
            zone: zone(slice.region),
            mac: MacAddr::from_random(random),
            description: String::new(),
            private_ips: Vec::new(),
            ipv6_addresses: Vec::new(),
            has_primary_ipv6: false,
            public: Vec::new(),
            kind: model::InterfaceKind::Interface,
            groups: BTreeSet::from([slice.vpc.default_group]),
            source_dest_check: true,
            connection_tracking: model::ConnectionTracking::default(),
            attachment: None,
            created: Time::EPOCH,
            tags: Tags::new(),
        };
        for address in addresses {
            match p(address) {
                IpAddr::V4(a) => interface.private_ips.push(a),
                IpAddr::V6(a) => interface.ipv6_addresses.push(a),
            }
        }
        slice.endpoints.push(Endpoint { interface: Arc::new(interface), host: Some(p(HOST)), is_up: true });
        id
    }

    /// An active peering, requested by the first.
    pub fn peering(&mut self, a: VpcId, b: VpcId) -> PeeringId {
        let id = self.id();
        let side = |slice: &VpcSlice| PeeringSide {
            version: 1,
            owner: slice.vpc.owner,
            vpc: slice.vpc.id,
            region: slice.region,
            cidrs: slice.vpc.cidrs.iter().map(|a| a.cidr).collect(),
            ipv6_cidrs: slice.vpc.ipv6_cidrs.iter().map(|a| a.cidr).collect(),
            options: PeeringOptions::default(),
            has_dns_names: slice.vpc.has_dns_names(),
        };
        let peering = Arc::new(Peering {
            id,
            requester: side(&self.slices[&a]),
            accepter: side(&self.slices[&b]),
            status: PeeringStatus::Active,
            message: "Active".into(),
            created: Time::EPOCH,
            expires: Time::EPOCH,
            ended: None,
            tags: BTreeMap::new(),
        });
        for vpc in [a, b] {
            self.slice(vpc).peerings.push(peering.clone());
        }
        id
    }

    /// Both sides' view of a peering.
    pub fn set_status(&mut self, peering: PeeringId, status: PeeringStatus) {
        for slice in self.slices.values_mut() {
            for record in slice.peerings.iter_mut().filter(|record| record.id == peering) {
                Arc::make_mut(record).status = status;
            }
        }
    }

    /// A route in the VPC's main table.
    pub fn route(&mut self, vpc: VpcId, destination: &str, target: RouteTarget) {
        self.add_route(vpc, Destination::Cidr(p(destination)), target);
    }

    fn add_route(&mut self, vpc: VpcId, destination: Destination, target: RouteTarget) {
        let main = self.slices[&vpc].vpc.main.route_table;
        let route = Route { destination, target, origin: RouteOrigin::CreateRoute };
        let mut tables = self.slice(vpc).route_tables.iter_mut();
        let table = tables.find(|table| table.id == main).unwrap_or_else(|| panic!("{vpc} has no main table"));
        Arc::make_mut(table).routes.push(route);
    }

    /// A prefix list of these blocks, for rules and routes of the VPC.
    pub fn prefix_list(&mut self, vpc: VpcId, blocks: &[&str]) -> PrefixListId {
        let id = self.id();
        self.set_prefix_list(vpc, id, blocks);
        id
    }

    /// Other blocks for a prefix list of the VPC.
    pub fn set_prefix_list(&mut self, vpc: VpcId, list: PrefixListId, blocks: &[&str]) {
        self.slice(vpc).prefix_lists.insert(list, blocks.iter().map(|block| p(block)).collect());
    }

    /// A route to the blocks of a prefix list, in the VPC's main table.
    pub fn route_to_list(&mut self, vpc: VpcId, list: PrefixListId, target: RouteTarget) {
        self.add_route(vpc, Destination::PrefixList(list), target);
    }

    /// Routes to each other's blocks over the peering, in both main tables.
    pub fn route_both(&mut self, peering: PeeringId) {
        let ends: Vec<VpcId> =
            self.slices.values().filter(|s| s.peerings.iter().any(|p| p.id == peering)).map(|s| s.vpc.id).collect();
        for (vpc, other) in [(ends[0], ends[1]), (ends[1], ends[0])] {
            let blocks: Vec<Cidr> = self.slices[&other].vpc.blocks().collect();
            for block in blocks {
                self.route(vpc, &alloc::format!("{block}"), RouteTarget::Peering(peering));
            }
        }
    }

    /// A group without rules.
    pub fn group(&mut self, vpc: VpcId) -> SecurityGroupId {
        let id: SecurityGroupId = self.id();
        self.put_group(id, vpc, &alloc::format!("{id}"));
        id
    }

    fn put_group(&mut self, id: SecurityGroupId, vpc: VpcId, name: &str) {
        let group = SecurityGroup {
            id,
            vpc,
            owner: p(OWNER),
            name: name.into(),
            description: String::new(),
            rules: BTreeMap::new(),
            tags: Tags::new(),
        };
        self.slice(vpc).security_groups.push(Arc::new(group));
    }

    /// The members of a group, as a rule names them.
    pub fn member_of(&mut self, group: SecurityGroupId) -> RulePeer {
        let slice = self.slice_of(|slice| slice.security_groups.iter().any(|g| g.id == group));
        RulePeer::Group { group, owner: slice.vpc.owner, vpc: slice.vpc.id, peering: None }
    }

    pub fn allow(
        &mut self,
        group: SecurityGroupId,
        direction: Direction,
        protocol: IpProtocol,
        ports: Ports,
        peer: RulePeer,
    ) -> SecurityGroupRuleId {
        let id = self.id();
        let rule = SecurityGroupRule { id, direction, protocol, ports, peer, description: None, tags: Tags::new() };
        self.edit_group(group, |group| {
            group.rules.insert(id, rule.clone());
        });
        id
    }

    /// Everything, from or to every address.
    pub fn allow_all(&mut self, group: SecurityGroupId, direction: Direction) {
        for block in ["0.0.0.0/0", "::/0"] {
            self.allow(group, direction, IpProtocol::All, Ports::Any, RulePeer::Cidr(p(block)));
        }
    }

    /// TCP to one port from a block.
    pub fn allow_tcp(&mut self, group: SecurityGroupId, port: u16, from: &str) -> SecurityGroupRuleId {
        let ports = Ports::Range { from: port, to: port };
        self.allow(group, Direction::Ingress, IpProtocol::TCP, ports, RulePeer::Cidr(p(from)))
    }

    pub fn edit_group(&mut self, group: SecurityGroupId, mut edit: impl FnMut(&mut SecurityGroup)) {
        let slice = self.slice_of(|slice| slice.security_groups.iter().any(|g| g.id == group));
        for found in slice.security_groups.iter_mut().filter(|g| g.id == group) {
            edit(Arc::make_mut(found));
        }
    }

    pub fn edit_interface(&mut self, interface: NetworkInterfaceId, edit: impl FnOnce(&mut NetworkInterface)) {
        edit(Arc::make_mut(&mut self.endpoint(interface).interface));
    }

    /// The interface with its place and state.
    pub fn endpoint(&mut self, interface: NetworkInterfaceId) -> &mut Endpoint {
        let slice = self.slice_of(|slice| slice.endpoints.iter().any(|e| e.interface.id == interface));
        let mut endpoints = slice.endpoints.iter_mut();
        endpoints.find(|e| e.interface.id == interface).unwrap_or_else(|| panic!("{interface} is not in this lab"))
    }

    pub fn set_groups(&mut self, interface: NetworkInterfaceId, groups: &[SecurityGroupId]) {
        self.edit_interface(interface, |interface| interface.groups = groups.iter().copied().collect());
    }

    /// Gives the subnet an ACL of its own, which starts as one that allows all, and edits it.
    pub fn edit_acl(&mut self, subnet: SubnetId, edit: impl FnOnce(&mut NetworkAcl)) {
        let id = self.id();
        let vpc = self.slice_of(|slice| slice.subnets.iter().any(|s| s.id == subnet)).vpc.id;
        let mut acl = self.open_acl(id, vpc);
        edit(&mut acl);
        let slice = self.slice(vpc);
        slice.network_acls.push(Arc::new(acl));
        for found in slice.subnets.iter_mut().filter(|s| s.id == subnet) {
            Arc::make_mut(found).network_acl.network_acl = id;
        }
    }

    /// Gives the subnet a route table of its own with only the local routes, for [`Lab::route`]'s like on that subnet alone.
    pub fn own_table(&mut self, subnet: SubnetId, routes: &[(&str, RouteTarget)]) {
        let (id, association) = (self.id(), self.id());
        let slice = self.slice_of(|slice| slice.subnets.iter().any(|s| s.id == subnet));
        let more = routes.iter().map(|(destination, target)| Route {
            destination: Destination::Cidr(p(destination)),
            target: *target,
            origin: RouteOrigin::CreateRoute,
        });
        let routes = slice.vpc.blocks().map(Route::local).chain(more).collect();
        let table = RouteTable { id, vpc: slice.vpc.id, owner: slice.vpc.owner, routes, tags: Tags::new() };
        slice.route_tables.push(Arc::new(table));
        for found in slice.subnets.iter_mut().filter(|s| s.id == subnet) {
            Arc::make_mut(found).route_table = Some(RouteTableAssociation { id: association, route_table: id });
        }
    }

    pub fn internet_gateway(&mut self, vpc: VpcId) -> InternetGatewayId {
        let id = self.id();
        self.slice(vpc).internet_gateways.push(id);
        id
    }

    /// A NAT gateway with an interface of its own.
    pub fn nat_gateway(&mut self, subnet: SubnetId, addresses: &[&str]) -> (NatGatewayId, NetworkInterfaceId) {
        let interface = self.interface(subnet, addresses);
        self.edit_interface(interface, |interface| {
            interface.kind = model::InterfaceKind::NatGateway;
            interface.source_dest_check = false;
            interface.groups.clear();
        });
        let id = self.id();
        let slice = self.slice_of(|slice| slice.subnets.iter().any(|s| s.id == subnet));
        slice.nat_gateways.insert(id, interface);
        (id, interface)
    }

    pub fn egress_only_internet_gateway(&mut self, vpc: VpcId) -> EgressOnlyInternetGatewayId {
        let id = self.id();
        self.slice(vpc).egress_only_internet_gateways.push(id);
        id
    }

    /// Moves the whole VPC to another region, the peerings' records included.
    pub fn set_region(&mut self, vpc: VpcId, region: &str) {
        let region: Region = p(region);
        self.slice(vpc).region = region;
        for slice in self.slices.values_mut() {
            for record in &mut slice.peerings {
                let record = Arc::make_mut(record);
                if let Some(side) = record.side_of(vpc) {
                    record.side_mut(side).region = region;
                }
            }
        }
    }

    pub fn slice(&mut self, vpc: VpcId) -> &mut VpcSlice {
        self.slices.get_mut(&vpc).unwrap_or_else(|| panic!("{vpc} is not in this lab"))
    }

    fn slice_of(&mut self, is: impl Fn(&VpcSlice) -> bool) -> &mut VpcSlice {
        self.slices.values_mut().find(|slice| is(slice)).unwrap_or_else(|| panic!("not in this lab"))
    }

    /// The slices as agents get them: with the members of active peers.
    pub fn complete(&self) -> BTreeMap<VpcId, VpcSlice> {
        let peer = |own: &VpcSlice, peering: &Peering| {
            let side = peering.side_of(own.vpc.id).filter(|_| peering.status == PeeringStatus::Active)?;
            let other = self.slices.get(&peering.side(side.other()).vpc)?;
            let here = !peering.is_inter_region();
            let member = |e: &Endpoint| Member {
                interface: e.interface.id,
                addresses: e.interface.addresses().collect(),
                groups: if here { e.interface.groups.clone() } else { BTreeSet::new() },
                host: e.host,
                resource_name: None,
            };
            let groups = other.security_groups.iter().filter(|_| here).map(|g| g.id).collect();
            Some(Peer {
                peering: peering.id,
                vpc: other.vpc.id,
                members: other.endpoints.iter().map(member).collect(),
                groups,
            })
        };
        let whole = |slice: &VpcSlice| {
            let peers = slice.peerings.iter().filter_map(|peering| peer(slice, peering)).collect();
            VpcSlice { peers, ..slice.clone() }
        };
        self.slices.iter().map(|(id, slice)| (*id, whole(slice))).collect()
    }

    /// Tables of all VPCs.
    pub fn compile(&self) -> Tables {
        Tables::compile(self.complete().values(), 1).with_internet(Arc::new(self.internet()))
    }

    /// Gives a private address of an interface a public one.
    pub fn map_public(&mut self, interface: NetworkInterfaceId, private: &str, public: &str) {
        let (private, public) = (p(private), p(public));
        let endpoint = self.endpoint(interface);
        let association = PublicAssociation { private, public, elastic: None };
        Arc::make_mut(&mut endpoint.interface).public.push(association);
    }

    /// What can be reached through the Internet gateways of these VPCs.
    pub fn internet(&self) -> Internet {
        let (mut public, mut ipv6) = (BTreeMap::new(), BTreeMap::new());
        for slice in self.slices.values() {
            let has_gateway = !slice.internet_gateways.is_empty();
            for Endpoint { interface, host, .. } in &slice.endpoints {
                let (vpc, host) = (slice.vpc.id, *host);
                public.extend(interface.public.iter().map(|at| {
                    let holder = PublicHolder { vpc, interface: interface.id, private: at.private, host, has_gateway };
                    (at.public, Arc::new(PublicPlace { region: slice.region, holder: Some(holder) }))
                }));
                let place = Arc::new(PublicIpv6 { vpc, interface: interface.id, host });
                let gets_out = has_gateway || !slice.egress_only_internet_gateways.is_empty();
                let addresses = interface.ipv6_addresses.iter().filter(|_| gets_out);
                ipv6.extend(addresses.map(|address| (*address, place.clone())));
            }
        }
        Internet::new(&public, &ipv6)
    }

    /// Tables of the VPCs that have an interface on this host: what its agent has.
    pub fn compile_for(&self, host: HostId) -> Tables {
        let slices = self.complete();
        let is_here = |slice: &&VpcSlice| slice.endpoints.iter().any(|e| e.host == Some(host));
        Tables::compile(slices.values().filter(is_here), 1).with_internet(Arc::new(self.internet()))
    }
}

fn zone(region: Region) -> Zone {
    Zone::all(region).next().unwrap_or_else(|| panic!("{region} has no zone"))
}

/// Random blocks, rules and packets that often meet each other.
#[cfg(test)]
pub(crate) mod arbitrary {
    use super::*;
    use crate::{Flow, TcpFlags};
    use core::net::{Ipv4Addr, Ipv6Addr};
    use model::{Ipv4Cidr, Ipv6Cidr};
    use proptest::prelude::*;

    fn v4() -> impl Strategy<Value = Ipv4Addr> {
        (0_u32..4, 0_u32..4).prop_map(|(net, host)| Ipv4Addr::from(0x0a00_0000 | net << 16 | host))
    }

    fn v6() -> impl Strategy<Value = Ipv6Addr> {
        (0_u128..4, 0_u128..4).prop_map(|(net, host)| Ipv6Addr::from(0xfd00_u128 << 112 | net << 64 | host))
    }

    pub(crate) fn block() -> impl Strategy<Value = Cidr> {
        prop_oneof![
            (v4(), prop_oneof![Just(0_u8), Just(8), Just(16), 28_u8..=32])
                .prop_map(|(a, len)| Cidr::V4(Ipv4Cidr::new(a, len).unwrap())),
            (v6(), prop_oneof![Just(0_u8), Just(8), Just(64), 124_u8..=128])
                .prop_map(|(a, len)| Cidr::V6(Ipv6Cidr::new(a, len).unwrap())),
        ]
    }

    fn small(max: u8) -> impl Strategy<Value = Option<u8>> {
        prop::option::of(0..max)
    }

    pub(crate) fn protocol_and_ports() -> impl Strategy<Value = (IpProtocol, Ports)> {
        let ports = prop_oneof![
            Just(Ports::Any),
            Just(Ports::Range { from: 0, to: u16::MAX }),
            (0_u16..6, 0_u16..4).prop_map(|(from, more)| Ports::Range { from, to: from + more }),
        ];
        // ICMP types 0 to 8 occur in flows; a code without a type cannot be made through the API but must not be misread.
        let types = (small(9), small(3)).prop_map(|(kind, code)| Ports::Icmp { kind, code });
        prop_oneof![
            2 => Just((IpProtocol::All, Ports::Any)),
            4 => (prop_oneof![Just(6), Just(17)], ports).prop_map(|(n, ports)| (IpProtocol::Number(n), ports)),
            2 => (prop_oneof![Just(1), Just(58)], types).prop_map(|(n, ports)| (IpProtocol::Number(n), ports)),
            1 => prop_oneof![Just(47), Just(50)].prop_map(|n| (IpProtocol::Number(n), Ports::Any)),
        ]
    }

    pub(crate) fn flow() -> impl Strategy<Value = Flow> {
        let ends = prop_oneof![
            (v4(), v4()).prop_map(|(a, b)| (IpAddr::V4(a), IpAddr::V4(b))),
            (v6(), v6()).prop_map(|(a, b)| (IpAddr::V6(a), IpAddr::V6(b))),
        ];
        (ends, 0_u8..4, 0_u16..8, 0_u16..8, 0_u8..32, 0_u8..3).prop_map(
            |((src, dst), what, sport, dport, flags, code)| match what {
                0 => Flow::tcp(src, sport, dst, dport, TcpFlags(flags)),
                1 => Flow::udp(src, sport, dst, dport),
                2 => Flow::icmp(src, dst, flags % 9, code, dport, None),
                _ => Flow::other(src, dst, if code == 0 { 47 } else { 50 }),
            },
        )
    }
}
