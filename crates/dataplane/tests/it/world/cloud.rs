//! A small cloud made by hand: VPC A (10.16.0.0/16) and VPC B (10.17.0.0/16), peered, each with two subnets, and the edits that tests
//! make. Everything is IPv4 and IPv6.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use model::federation::Member;
use model::flow_log::{LogDestination, LogDestinationType};
use model::intent::{Endpoint, Peer, VpcSlice};
use model::vpc::{CidrAssociation, NetworkAclAssociation, RouteTableAssociation, SubnetIpv6};
use model::*;
use policy::{Internet, Tables};

/// One id of any kind from a number.
pub(crate) fn id<I: ResourceId>(n: u32) -> I {
    I::from_random(u128::from(n))
}

pub(crate) fn cidr(text: &str) -> Cidr {
    text.parse().unwrap()
}

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// An interface as tests name it: its number is also the last octet of its addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Guest {
    pub(crate) vpc: u32,
    pub(crate) subnet: u32,
    pub(crate) number: u8,
}

impl Guest {
    pub(crate) fn eni(self) -> NetworkInterfaceId {
        id(self.vpc * 1000 + self.subnet * 100 + u32::from(self.number))
    }

    pub(crate) fn v4(self) -> Ipv4Addr {
        Ipv4Addr::new(10, octet(self.vpc), octet(self.subnet), self.number)
    }

    /// Its public address in [`Cloud::on_internet`].
    pub(crate) fn public(self) -> Ipv4Addr {
        Ipv4Addr::new(203, 0, octet(self.vpc), octet(self.subnet) * 100 + self.number)
    }

    pub(crate) fn v6(self) -> Ipv6Addr {
        Ipv6Addr::new(0x2001, 0xdb8, part(self.vpc), part(self.subnet), 0, 0, 0, u16::from(self.number))
    }

    pub(crate) fn address(self, is_v6: bool) -> IpAddr {
        if is_v6 { self.v6().into() } else { self.v4().into() }
    }

    pub(crate) fn mac(self) -> wire::MacAddr {
        wire::MacAddr([2, 0, 0, octet(self.vpc), octet(self.subnet), self.number])
    }
}

fn octet(n: u32) -> u8 {
    u8::try_from(n).unwrap()
}

fn part(n: u32) -> u16 {
    u16::try_from(n).unwrap()
}

pub(crate) const A: u32 = 16;
pub(crate) const B: u32 = 17;
pub(crate) const A1: Guest = Guest { vpc: A, subnet: 1, number: 10 };
pub(crate) const A2: Guest = Guest { vpc: A, subnet: 1, number: 11 };
pub(crate) const A3: Guest = Guest { vpc: A, subnet: 2, number: 10 };
pub(crate) const B1: Guest = Guest { vpc: B, subnet: 1, number: 10 };
pub(crate) const B2: Guest = Guest { vpc: B, subnet: 2, number: 10 };
pub(crate) const GUESTS: [Guest; 5] = [A1, A2, A3, B1, B2];

pub(crate) fn vpc_id(vpc: u32) -> VpcId {
    id(vpc)
}

pub(crate) fn group_id(vpc: u32) -> SecurityGroupId {
    id(vpc)
}

pub(crate) fn pcx() -> PeeringId {
    id(1)
}

pub(crate) fn host(n: u8) -> HostId {
    format!("host-{n}").parse().unwrap()
}

fn owner() -> AccountId {
    "111111111111".parse().unwrap()
}

fn region() -> Region {
    "us-east-1".parse().unwrap()
}

/// The slices of both VPCs.
#[derive(Clone)]
pub(crate) struct Cloud {
    pub(crate) slices: BTreeMap<u32, VpcSlice>,
}

/// A rule of a security group for everybody's addresses or a block's.
pub(crate) fn rule(direction: Direction, protocol: IpProtocol, ports: Ports, peer: RulePeer) -> SecurityGroupRule {
    SecurityGroupRule { id: id(0), direction, protocol, ports, peer, description: None, tags: Tags::new() }
}

pub(crate) fn of_block(block: &str) -> RulePeer {
    RulePeer::Cidr(cidr(block))
}

pub(crate) fn port(number: u16) -> Ports {
    Ports::Range { from: number, to: number }
}

impl Cloud {
    /// Routes both ways, network ACLs that allow all, and groups that let everything out and in from anywhere - so nothing is tracked
    /// but ICMP.
    pub(crate) fn open() -> Cloud {
        let slices = [A, B].map(|vpc| (vpc, slice(vpc)));
        let mut cloud = Cloud { slices: slices.into_iter().collect() };
        for vpc in [A, B] {
            let all = |direction, block| rule(direction, IpProtocol::All, Ports::Any, of_block(block));
            cloud.rules(
                vpc,
                vec![
                    all(Direction::Egress, "0.0.0.0/0"),
                    all(Direction::Egress, "::/0"),
                    all(Direction::Ingress, "0.0.0.0/0"),
                    all(Direction::Ingress, "::/0"),
                ],
            );
        }
        cloud
    }

    /// As [`Cloud::open`], but B lets in only TCP 443, UDP 53 and ping, each from A's blocks, so that every flow is tracked; A lets
    /// nothing in.
    pub(crate) fn guarded() -> Cloud {
        let mut cloud = Cloud::open();
        let out = |block| rule(Direction::Egress, IpProtocol::All, Ports::Any, of_block(block));
        let within = |protocol, ports, block| rule(Direction::Ingress, protocol, ports, of_block(block));
        let ping = |kind| Ports::Icmp { kind: Some(kind), code: None };
        cloud.rules(A, vec![out("0.0.0.0/0"), out("::/0")]);
        let (v4, v6) = ("10.16.0.0/16", "2001:db8:10::/48");
        cloud.rules(
            B,
            vec![
                out("0.0.0.0/0"),
                out("::/0"),
                within(IpProtocol::TCP, port(443), v4),
                within(IpProtocol::UDP, port(53), v4),
                within(IpProtocol::ICMP, ping(8), v4),
                within(IpProtocol::TCP, port(443), v6),
                within(IpProtocol::UDP, port(53), v6),
                within(IpProtocol::ICMPV6, ping(128), v6),
            ],
        );
        cloud
    }

    /// As [`Cloud::open`], without peering routes; each VPC has an Internet gateway and every guest a public address.
    pub(crate) fn on_internet() -> Cloud {
        let mut cloud = Cloud::open();
        for vpc in [A, B] {
            cloud.slice(vpc).internet_gateways.push(id(vpc));
            cloud.routes(vpc, |routes| {
                routes.retain(|route| route.target == RouteTarget::Local);
                let target = RouteTarget::InternetGateway(id(vpc));
                routes.extend(["0.0.0.0/0", "::/0"].map(|block| route(block, target)));
            });
        }
        GUESTS.into_iter().for_each(|guest| cloud.map_public(guest, &guest.public().to_string()));
        cloud
    }

    pub(crate) fn map_public(&mut self, guest: Guest, public: &str) {
        let association = PublicAssociation { private: guest.v4(), public: public.parse().unwrap(), elastic: None };
        self.interface(guest).public = vec![association];
    }

    /// What can be reached through Internet gateways.
    pub(crate) fn internet(&self) -> Internet {
        let (mut v4, mut v6) = (BTreeMap::new(), BTreeMap::new());
        for slice in self.slices.values() {
            let has_gateway = !slice.internet_gateways.is_empty();
            for Endpoint { interface, host, .. } in &slice.endpoints {
                let (vpc, host) = (slice.vpc.id, *host);
                for at in &interface.public {
                    let holder = PublicHolder { vpc, interface: interface.id, private: at.private, host, has_gateway };
                    let place = PublicPlace { region: slice.region, holder: Some(holder) };
                    v4.insert(at.public, Arc::new(place));
                }
                for address in interface.ipv6_addresses.iter().filter(|_| has_gateway) {
                    v6.insert(*address, Arc::new(PublicIpv6 { vpc, interface: interface.id, host }));
                }
            }
        }
        Internet::new(&v4, &v6)
    }

    /// The law's tables of all of it.
    pub(crate) fn tables(&self, generation: u64) -> Tables {
        Tables::compile(self.slices.values(), generation).with_internet(Arc::new(self.internet()))
    }

    pub(crate) fn slice(&mut self, vpc: u32) -> &mut VpcSlice {
        self.slices.get_mut(&vpc).unwrap()
    }

    pub(crate) fn rules(&mut self, vpc: u32, rules: Vec<SecurityGroupRule>) {
        let group = Arc::make_mut(&mut self.slice(vpc).security_groups[0]);
        let numbered = rules.into_iter().zip(1..).map(|(rule, n)| (id(n), SecurityGroupRule { id: id(n), ..rule }));
        group.rules = numbered.collect();
    }

    /// A flow log of everything in both VPCs.
    pub(crate) fn logged(mut self) -> Cloud {
        for vpc in [A, B] {
            self.log(vpc, LoggedResource::Vpc(vpc_id(vpc)), TrafficType::All);
        }
        self
    }

    pub(crate) fn log(&mut self, vpc: u32, resource: LoggedResource, traffic: TrafficType) {
        let log = FlowLog {
            id: id(vpc),
            owner: owner(),
            resource,
            traffic,
            destination: LogDestination {
                kind: LogDestinationType::S3,
                destination: None,
                log_group_name: None,
                deliver_logs_permission_arn: None,
                deliver_cross_account_role: None,
                options: None,
            },
            format: LogFormat::default(),
            max_aggregation_interval: 600,
            created: Time::EPOCH,
            client_token: None,
            tags: Tags::new(),
        };
        self.slice(vpc).flow_logs.push(Arc::new(log));
    }

    /// Puts a guest on a host, in every view of it.
    pub(crate) fn place(&mut self, guest: Guest, host: HostId) {
        self.endpoint(guest).host = Some(host);
        for peer in self.slices.values_mut().flat_map(|slice| &mut slice.peers) {
            for member in peer.members.iter_mut().filter(|member| member.interface == guest.eni()) {
                member.host = Some(host);
            }
        }
    }

    /// What stops being true when the peering is deleted (spec 5.11): its state in both views, and what each side knows of the other.
    pub(crate) fn delete_peering(&mut self) {
        for vpc in [A, B] {
            let slice = self.slice(vpc);
            Arc::make_mut(&mut slice.peerings[0]).status = PeeringStatus::Deleted;
            slice.peers.clear();
        }
    }

    pub(crate) fn routes(&mut self, vpc: u32, edit: impl FnOnce(&mut Vec<Route>)) {
        edit(&mut Arc::make_mut(&mut self.slice(vpc).route_tables[0]).routes);
    }

    pub(crate) fn acl(&mut self, vpc: u32, direction: Direction, number: u16, entry: NetworkAclEntry) {
        Arc::make_mut(&mut self.slice(vpc).network_acls[0]).entries_mut(direction).insert(number, entry);
    }

    pub(crate) fn endpoint(&mut self, guest: Guest) -> &mut Endpoint {
        self.slice(guest.vpc).endpoints.iter_mut().find(|endpoint| endpoint.interface.id == guest.eni()).unwrap()
    }

    pub(crate) fn interface(&mut self, guest: Guest) -> &mut NetworkInterface {
        Arc::make_mut(&mut self.endpoint(guest).interface)
    }

    pub(crate) fn arcs(&self) -> Vec<Arc<VpcSlice>> {
        self.slices.values().cloned().map(Arc::new).collect()
    }
}

pub(crate) fn deny(block: &str) -> NetworkAclEntry {
    NetworkAclEntry { protocol: IpProtocol::All, action: AclAction::Deny, cidr: cidr(block), ports: Ports::Any }
}

pub(crate) fn route(block: &str, target: RouteTarget) -> Route {
    Route { destination: Destination::Cidr(cidr(block)), target, origin: RouteOrigin::CreateRoute }
}

pub(crate) fn v4_block(vpc: u32) -> Ipv4Cidr {
    format!("10.{vpc}.0.0/16").parse().unwrap()
}

pub(crate) fn v6_block(vpc: u32) -> Ipv6Cidr {
    format!("2001:db8:{vpc:x}::/48").parse().unwrap()
}

fn side(vpc: u32) -> PeeringSide {
    PeeringSide {
        version: 1,
        cidrs: vec![v4_block(vpc)],
        ipv6_cidrs: vec![v6_block(vpc)],
        ..PeeringSide::unknown(owner(), vpc_id(vpc), region())
    }
}

fn slice(vpc: u32) -> VpcSlice {
    let other = if vpc == A { B } else { A };
    let to_peer = |block: Cidr| route(&block.to_string(), RouteTarget::Peering(pcx()));
    let routes = vec![
        Route::local(v4_block(vpc).into()),
        Route::local(v6_block(vpc).into()),
        to_peer(v4_block(other).into()),
        to_peer(v6_block(other).into()),
    ];
    let peering = Peering {
        id: pcx(),
        requester: side(A),
        accepter: side(B),
        status: PeeringStatus::Active,
        message: "Active".into(),
        created: Time::EPOCH,
        expires: Time::EPOCH,
        ended: None,
        tags: BTreeMap::new(),
    };
    let members = GUESTS.iter().filter(|guest| guest.vpc == other).map(|guest| member(*guest)).collect();
    VpcSlice {
        region: region(),
        vpc: Arc::new(vpc_of(vpc)),
        subnets: [1, 2].map(|number| Arc::new(subnet(vpc, number))).into(),
        route_tables: vec![Arc::new(RouteTable {
            id: id(vpc),
            vpc: vpc_id(vpc),
            owner: owner(),
            routes,
            tags: Tags::new(),
        })],
        security_groups: vec![Arc::new(SecurityGroup {
            id: group_id(vpc),
            vpc: vpc_id(vpc),
            owner: owner(),
            name: "default".into(),
            description: "default VPC security group".into(),
            rules: BTreeMap::new(),
            tags: Tags::new(),
        })],
        network_acls: vec![Arc::new(acl_of(vpc))],
        endpoints: GUESTS.iter().filter(|guest| guest.vpc == vpc).map(|guest| endpoint(*guest)).collect(),
        internet_gateways: Vec::new(),
        flow_logs: Vec::new(),
        peerings: vec![Arc::new(peering)],
        peers: vec![Peer { peering: pcx(), vpc: vpc_id(other), members, groups: vec![group_id(other)] }],
        dhcp_options: Some(Arc::new(default_options())),
        hosted_zones: Vec::new(),
        resource_names: BTreeMap::new(),
        prefix_lists: BTreeMap::new(),
        nat_gateways: BTreeMap::new(),
        egress_only_internet_gateways: Vec::new(),
    }
}

/// As every VPC of us-east-1 has them at first.
fn default_options() -> DhcpOptions {
    let option = |key: &str, value: &str| (key.to_owned(), vec![value.to_owned()]);
    let configuration = vec![option("domain-name", "ec2.internal"), option("domain-name-servers", "AmazonProvidedDNS")];
    DhcpOptions { id: id(1), owner: owner(), configuration, tags: Tags::new() }
}

fn vpc_of(vpc: u32) -> Vpc {
    Vpc {
        id: vpc_id(vpc),
        owner: owner(),
        cidrs: vec![CidrAssociation { id: id(vpc), cidr: v4_block(vpc) }],
        ipv6_cidrs: vec![CidrAssociation { id: id(vpc + 100), cidr: v6_block(vpc) }],
        main: RouteTableAssociation { id: id(vpc), route_table: id(vpc) },
        default_group: group_id(vpc),
        default_acl: id(vpc),
        dhcp_options: None,
        is_default: false,
        instance_tenancy: "default".into(),
        enable_dns_support: true,
        enable_dns_hostnames: false,
        enable_network_address_usage_metrics: false,
        tags: Tags::new(),
    }
}

fn zone() -> Zone {
    "us-east-1a".parse().unwrap()
}

pub(crate) fn subnet_id(vpc: u32, number: u32) -> SubnetId {
    id(vpc * 10 + number)
}

fn subnet(vpc: u32, number: u32) -> Subnet {
    let v6 = format!("2001:db8:{vpc:x}:{number}::/64").parse().unwrap();
    Subnet {
        id: subnet_id(vpc, number),
        vpc: vpc_id(vpc),
        owner: owner(),
        zone: zone(),
        cidr: format!("10.{vpc}.{number}.0/24").parse().unwrap(),
        ipv6: Some(SubnetIpv6 { id: id(vpc * 10 + number), cidr: v6 }),
        route_table: None,
        network_acl: NetworkAclAssociation { id: id(vpc * 10 + number), network_acl: id(vpc) },
        is_default_for_zone: false,
        map_public_ip_on_launch: false,
        assign_ipv6_address_on_creation: true,
        enable_dns64: false,
        private_dns_hostname_type: vpc::HostnameType::IpName,
        enable_resource_name_dns_a_record: false,
        enable_resource_name_dns_aaaa_record: false,
        tags: Tags::new(),
    }
}

fn acl_of(vpc: u32) -> NetworkAcl {
    let allow = |block| NetworkAclEntry { action: AclAction::Allow, ..deny(block) };
    let entries: BTreeMap<u16, NetworkAclEntry> = [(100, allow("0.0.0.0/0")), (101, allow("::/0"))].into();
    NetworkAcl {
        id: id(vpc),
        vpc: vpc_id(vpc),
        owner: owner(),
        is_default: true,
        ingress: entries.clone(),
        egress: entries,
        tags: Tags::new(),
    }
}

fn endpoint(guest: Guest) -> Endpoint {
    let interface = NetworkInterface {
        id: guest.eni(),
        subnet: subnet_id(guest.vpc, guest.subnet),
        vpc: vpc_id(guest.vpc),
        owner: owner(),
        zone: zone(),
        mac: MacAddr(guest.mac().0),
        description: String::new(),
        private_ips: vec![guest.v4()],
        ipv6_addresses: vec![guest.v6()],
        has_primary_ipv6: false,
        public: Vec::new(),
        kind: InterfaceKind::Interface,
        groups: BTreeSet::from([group_id(guest.vpc)]),
        source_dest_check: true,
        connection_tracking: ConnectionTracking::default(),
        attachment: None,
        created: Time::EPOCH,
        tags: Tags::new(),
    };
    Endpoint { interface: Arc::new(interface), host: Some(host(1)), is_up: true }
}

fn member(guest: Guest) -> Member {
    Member {
        interface: guest.eni(),
        addresses: vec![guest.v4().into(), guest.v6().into()],
        groups: BTreeSet::from([group_id(guest.vpc)]),
        host: Some(host(1)),
        resource_name: None,
    }
}
