//! Two VPCs, a peering, and what their resolvers say.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;
use std::sync::Arc;

use dns::{Answer, Resolver, Transport};
use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RecordType};
use model::federation::Member;
use model::intent::{Endpoint, Intent, Peer, VpcSlice};
use model::vpc::{CidrAssociation, RouteTableAssociation};
use model::{
    AccountId, Cidr, ConnectionTracking, HostedZone, InterfaceKind, MacAddr, NameSuffixes, NetworkInterface, Peering,
    PeeringId, PeeringSide, PeeringStatus, PublicHolder, PublicPlace, RecordSet, Region, ResourceId, ResourceName,
    Tags, Time, Vpc, VpcId, Zone,
};

/// An address of the own VPC, of the peer, and of the peer outside RFC 1918; what stands for the first two outside.
pub(crate) const OWN: &str = "10.0.0.5";
pub(crate) const THEIRS: &str = "10.1.0.5";
pub(crate) const THEIRS_SHARED: &str = "100.64.0.5";
pub(crate) const OWN_PUBLIC: &str = "203.0.113.5";
pub(crate) const THEIRS_PUBLIC: &str = "203.0.113.25";
pub(crate) const INSTANCE: &str = "i-0123456789abcdef0";
const REGION: &str = "us-east-1";

/// Parses a text of the test's own.
pub(crate) fn p<T: FromStr>(text: &str) -> T {
    text.parse().unwrap_or_else(|_| panic!("{text} cannot be read"))
}

pub(crate) struct Cloud {
    pub(crate) slices: BTreeMap<VpcId, VpcSlice>,
    /// Where is asked, and its peer.
    pub(crate) own: VpcId,
    pub(crate) peer: VpcId,
    pcx: PeeringId,
    pub(crate) public: BTreeMap<Ipv4Addr, Arc<PublicPlace>>,
    pub(crate) names: Arc<NameSuffixes>,
}

impl Cloud {
    /// Everything is on, in one region; nobody allows anything over the peering. `asks_first`: the own VPC requested it.
    pub(crate) fn new(asks_first: bool) -> Cloud {
        let (own, peer, pcx) = (id(1), id(2), id(1));
        let ours = slice(own, &["10.0.0.0/16", "2001:db8:a::/56"], &[&[OWN, "2001:db8:a::5"]]);
        let blocks = ["10.1.0.0/16", "100.64.0.0/16", "2001:db8:b::/56"];
        let theirs = slice(peer, &blocks, &[&[THEIRS, "2001:db8:b::5"], &[THEIRS_SHARED]]);
        let side = |slice: &VpcSlice| PeeringSide::of(&slice.vpc, slice.region);
        let (requester, accepter) = if asks_first { (&ours, &theirs) } else { (&theirs, &ours) };
        let peering = Arc::new(Peering {
            id: pcx,
            requester: side(requester),
            accepter: side(accepter),
            status: PeeringStatus::Active,
            message: String::new(),
            created: Time::EPOCH,
            expires: Time::EPOCH,
            ended: None,
            tags: BTreeMap::new(),
        });
        let place = |vpc, slice: &VpcSlice, private: &str| {
            let interface = slice.endpoints[0].interface.id;
            let holder = PublicHolder { vpc, interface, private: p(private), host: None, has_gateway: true };
            Arc::new(PublicPlace { region: p(REGION), holder: Some(holder) })
        };
        let free = Arc::new(PublicPlace { region: p(REGION), holder: None });
        let public = BTreeMap::from([
            (p(OWN_PUBLIC), place(own, &ours, OWN)),
            (p(THEIRS_PUBLIC), place(peer, &theirs, THEIRS)),
            (p("203.0.113.99"), free),
        ]);
        let mut slices = BTreeMap::from([(own, ours), (peer, theirs)]);
        slices.values_mut().for_each(|slice| slice.peerings.push(peering.clone()));
        Cloud { slices, own, peer, pcx, public, names: Arc::default() }
    }

    pub(crate) fn slice(&mut self, vpc: VpcId) -> &mut VpcSlice {
        self.slices.get_mut(&vpc).unwrap()
    }

    /// Another VPC, peered with nobody.
    pub(crate) fn stranger(&mut self) -> VpcId {
        let stranger = id(9);
        self.slices.insert(stranger, slice(stranger, &["10.9.0.0/16"], &[]));
        stranger
    }

    pub(crate) fn set_status(&mut self, status: PeeringStatus) {
        self.edit_peering(|peering| peering.status = status);
    }

    /// The DNS switches of a VPC.
    pub(crate) fn switch(&mut self, vpc: VpcId, support: bool, hostnames: bool) {
        let of_vpc: &mut Vpc = Arc::make_mut(&mut self.slice(vpc).vpc);
        (of_vpc.enable_dns_support, of_vpc.enable_dns_hostnames) = (support, hostnames);
        let has_names = of_vpc.has_dns_names();
        self.edit_peering(|peering| {
            let side = peering.side_of(vpc).unwrap();
            peering.side_mut(side).has_dns_names = has_names;
        });
    }

    /// The option of a side.
    pub(crate) fn allow(&mut self, vpc: VpcId, allow: bool) {
        self.edit_peering(|peering| {
            let side = peering.side_of(vpc).unwrap();
            peering.side_mut(side).options.allow_dns_resolution_from_remote_vpc = allow;
        });
    }

    pub(crate) fn edit_peering(&mut self, edit: impl Fn(&mut Peering)) {
        for slice in self.slices.values_mut() {
            slice.peerings.iter_mut().for_each(|peering| edit(Arc::make_mut(peering)));
        }
    }

    /// Moves the peer.
    pub(crate) fn move_peer(&mut self, region: &str) {
        let peer = self.peer;
        self.slice(peer).region = p(region);
        self.edit_peering(|peering| {
            let side = peering.side_of(peer).unwrap();
            peering.side_mut(side).region = p(region);
        });
        let place = Arc::make_mut(self.public.get_mut(&p(THEIRS_PUBLIC)).unwrap());
        place.region = p(region);
    }

    /// What a host is told that carries both VPCs.
    pub(crate) fn intent(&self) -> Intent {
        let mut vpcs = self.slices.clone();
        for (here, there) in [(self.own, self.peer), (self.peer, self.own)] {
            let (Some(slice), Some(other)) = (vpcs.get_mut(&here), self.slices.get(&there)) else { continue };
            if slice.peerings.iter().all(|peering| peering.status != PeeringStatus::Active) {
                continue;
            }
            let members = other.endpoints.iter().map(|endpoint| Member {
                interface: endpoint.interface.id,
                addresses: endpoint.interface.addresses().collect(),
                groups: BTreeSet::new(),
                host: None,
                resource_name: other.resource_names.get(&endpoint.interface.id).copied(),
            });
            slice.peers.push(Peer { peering: self.pcx, vpc: there, members: members.collect(), groups: Vec::new() });
        }
        let vpcs = vpcs.into_iter().map(|(id, slice)| (id, Arc::new(slice))).collect();
        Intent { vpcs, public: self.public.clone(), names: self.names.clone(), ..Intent::default() }
    }

    pub(crate) fn resolver(&self) -> Resolver {
        Resolver::default().renew(&Arc::new(self.intent()))
    }

    /// What the own VPC's resolver says about a name.
    pub(crate) fn ask(&self, name: &str, kind: RecordType) -> Said {
        ask(&self.resolver(), self.own, name, kind)
    }

    /// Gives the first interface of a VPC a resource name.
    pub(crate) fn name(&mut self, vpc: VpcId, a: bool, aaaa: bool) {
        let slice = self.slice(vpc);
        let interface = slice.endpoints[0].interface.id;
        slice.resource_names.insert(interface, ResourceName { instance: p(INSTANCE), a, aaaa });
    }

    /// A private zone of the own VPC.
    pub(crate) fn zone(&mut self, name: &str, records: &[(&str, model::RecordType, &[&str])]) {
        let set = |values: &[&str]| RecordSet { ttl: 300, values: values.iter().map(ToString::to_string).collect() };
        let zone = HostedZone {
            id: "Z0123456789ABCDEFGHIJ".into(),
            owner: p("111111111111"),
            name: name.into(),
            comment: String::new(),
            caller_reference: "r".into(),
            vpcs: BTreeSet::from([(p::<Region>(REGION), self.own)]),
            authorized: BTreeSet::new(),
            records: records.iter().map(|(name, kind, values)| (((*name).into(), *kind), set(values))).collect(),
            created: Time::EPOCH,
            tags: BTreeMap::new(),
        };
        self.slice(self.own).hosted_zones.push(Arc::new(zone));
    }
}

impl Cloud {
    /// A little of everything.
    pub(crate) fn for_fuzzing() -> Cloud {
        use model::RecordType as Kind;
        let mut cloud = Cloud::new(true);
        cloud.allow(cloud.peer, true);
        cloud.name(cloud.own, true, true);
        cloud.zone(
            "corp.example.",
            &[
                ("www.corp.example.", Kind::A, &["10.0.0.80"]),
                ("round.corp.example.", Kind::Cname, &["about.corp.example."]),
                ("about.corp.example.", Kind::Cname, &["round.corp.example."]),
                ("out.corp.example.", Kind::Cname, &["www.example.com."]),
                ("\\052.wild.corp.example.", Kind::Txt, &["\"a text\""]),
            ],
        );
        cloud
    }
}

/// What a resolver said.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Said {
    /// Addresses and other data, as text.
    Data(Vec<String>),
    /// The name is there, the type is not.
    Nothing,
    NoName,
    Code(ResponseCode),
    Silence,
}

pub(crate) fn data(values: &[&str]) -> Said {
    Said::Data(values.iter().map(ToString::to_string).collect())
}

pub(crate) fn query(name: &str, kind: RecordType) -> Message {
    let mut message = Message::new(99, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
    message
}

pub(crate) fn ask(resolver: &Resolver, vpc: VpcId, name: &str, kind: RecordType) -> Said {
    match resolver.answer(vpc, &query(name, kind).to_vec().unwrap(), Transport::Udp, false) {
        Answer::Now(bytes) => read(&bytes),
        Answer::Silence => Said::Silence,
        Answer::Ask(ask) => panic!("asks somebody else: {ask:?}"),
    }
}

pub(crate) fn read(bytes: &[u8]) -> Said {
    let message = Message::from_vec(bytes).unwrap();
    let values: Vec<String> = message.answers.iter().map(|record| record.data.to_string()).collect();
    match message.metadata.response_code {
        ResponseCode::NoError if values.is_empty() => Said::Nothing,
        ResponseCode::NoError => Said::Data(values),
        ResponseCode::NXDomain if values.is_empty() => Said::NoName,
        code => Said::Code(code),
    }
}

fn id<I: ResourceId>(n: u128) -> I {
    I::from_random(n)
}

/// A VPC with its interfaces, by their addresses, and nothing that is about packets.
fn slice(vpc: VpcId, blocks: &[&str], interfaces: &[&[&str]]) -> VpcSlice {
    let owner: AccountId = p("111111111111");
    let (mut cidrs, mut ipv6_cidrs) = (Vec::new(), Vec::new());
    for block in blocks {
        match p(block) {
            Cidr::V4(cidr) => cidrs.push(CidrAssociation { id: id(1), cidr }),
            Cidr::V6(cidr) => ipv6_cidrs.push(CidrAssociation { id: id(1), cidr }),
        }
    }
    let endpoint = |(n, addresses): (u8, &&[&str])| {
        let addresses: Vec<IpAddr> = addresses.iter().map(|address| p(address)).collect();
        let interface = NetworkInterface {
            id: id(u128::from(n) << 32 | vpc.to_bytes().iter().fold(0, |sum, byte| sum << 1 | u128::from(*byte))),
            subnet: id(1),
            vpc,
            owner,
            zone: Zone::all(p(REGION)).next().unwrap(),
            mac: MacAddr([2, 0, 0, 0, 0, n]),
            description: String::new(),
            private_ips: addresses
                .iter()
                .filter_map(|a| if let IpAddr::V4(v4) = a { Some(*v4) } else { None })
                .collect(),
            ipv6_addresses: addresses
                .iter()
                .filter_map(|a| if let IpAddr::V6(v6) = a { Some(*v6) } else { None })
                .collect(),
            public: Vec::new(),
            kind: InterfaceKind::Interface,
            groups: BTreeSet::new(),
            source_dest_check: true,
            has_primary_ipv6: false,
            connection_tracking: ConnectionTracking::default(),
            attachment: None,
            created: Time::EPOCH,
            tags: Tags::new(),
        };
        Endpoint { interface: Arc::new(interface), host: None, is_up: true }
    };
    VpcSlice {
        region: p(REGION),
        vpc: Arc::new(Vpc {
            id: vpc,
            owner,
            cidrs,
            ipv6_cidrs,
            main: RouteTableAssociation { id: id(1), route_table: id(1) },
            default_group: id(1),
            default_acl: id(1),
            dhcp_options: None,
            is_default: false,
            instance_tenancy: "default".into(),
            enable_dns_support: true,
            enable_dns_hostnames: true,
            enable_network_address_usage_metrics: false,
            tags: Tags::new(),
        }),
        subnets: Vec::new(),
        route_tables: Vec::new(),
        security_groups: Vec::new(),
        network_acls: Vec::new(),
        endpoints: (1_u8..).zip(interfaces).map(endpoint).collect(),
        internet_gateways: Vec::new(),
        egress_only_internet_gateways: Vec::new(),
        nat_gateways: BTreeMap::new(),
        flow_logs: Vec::new(),
        peerings: Vec::new(),
        peers: Vec::new(),
        dhcp_options: None,
        hosted_zones: Vec::new(),
        resource_names: BTreeMap::new(),
        prefix_lists: BTreeMap::new(),
    }
}
