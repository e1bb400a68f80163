//! A record on disk is a promise for years: one of each kind, as it is written today, must read back for ever.
//!
//! The golden file changes only by addition: a new field with a default, a new kind. To write it anew after such a change, run
//! this test with `PEERWAY_GOLDEN=write`, and read the difference.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::access_scope::{AccessScopeFindings, AccessScopePath, HeaderStatement, PathStatement, ResourceStatement};
use model::account_region::BlockPublicAccess;
use model::credential::{AccessKey, ClientToken, ClientTokenKey, Secret, Session};
use model::federation::{Clock, Member, Message, Mirror, OutboxEntry};
use model::flow_log::{DestinationOptions, FileFormat, LogDestination, LogDestinationType};
use model::insights::{
    AclRule, Component, Explanation, Findings, PacketHeader, PathComponent, PathEnd, PathFilter, PathResource,
    PortRange,
};
use model::metadata::MetadataDefaults;
use model::peering::REQUEST_LIFE;
use model::vpc::{CidrAssociation, HostnameType, NetworkAclAssociation, RouteTableAssociation, SubnetIpv6};
use model::*;

fn id<Id: ResourceId>(n: u128) -> Id {
    Id::from_random(0x0123_4567_89ab_cdef_0000 | n)
}

fn owner() -> AccountId {
    "000000000042".parse().unwrap()
}

fn region() -> Region {
    "us-east-1".parse().unwrap()
}

fn now() -> Time {
    Time::parse("2026-01-15T12:00:00Z").unwrap()
}

fn tags() -> Tags {
    BTreeMap::from([("Name".to_string(), "a \"quoted\" name".to_string())])
}

fn peering() -> Arc<Peering> {
    let side = |n, region, cidr: &str| PeeringSide {
        owner: owner(),
        vpc: id(n),
        region,
        cidrs: vec![cidr.parse().unwrap()],
        ipv6_cidrs: vec!["2001:db8::/56".parse().unwrap()],
        options: PeeringOptions { allow_dns_resolution_from_remote_vpc: n == 1 },
        has_dns_names: true,
        version: 3,
    };
    Arc::new(Peering {
        id: id(7),
        requester: side(1, region(), "10.16.0.0/16"),
        accepter: side(2, "eu-west-1".parse().unwrap(), "10.17.0.0/16"),
        status: PeeringStatus::Active,
        message: "Active".into(),
        created: now(),
        expires: now() + REQUEST_LIFE,
        ended: Some((now(), Some(owner()))),
        tags: BTreeMap::from([(owner(), tags())]),
    })
}

fn vpc() -> Vpc {
    Vpc {
        id: id(1),
        owner: owner(),
        cidrs: vec![CidrAssociation { id: id(1), cidr: "10.16.0.0/16".parse().unwrap() }],
        ipv6_cidrs: vec![CidrAssociation { id: id(2), cidr: "2001:db8::/56".parse().unwrap() }],
        main: RouteTableAssociation { id: id(1), route_table: id(1) },
        default_group: id(1),
        default_acl: id(1),
        dhcp_options: Some(id(1)),
        is_default: false,
        instance_tenancy: "default".into(),
        enable_dns_support: true,
        enable_dns_hostnames: false,
        enable_network_address_usage_metrics: false,
        tags: tags(),
    }
}

fn subnet() -> Subnet {
    Subnet {
        id: id(1),
        vpc: id(1),
        owner: owner(),
        zone: Zone::all(region()).next().unwrap(),
        cidr: "10.16.1.0/24".parse().unwrap(),
        ipv6: Some(SubnetIpv6 { id: id(1), cidr: "2001:db8::/64".parse().unwrap() }),
        route_table: Some(RouteTableAssociation { id: id(2), route_table: id(2) }),
        network_acl: NetworkAclAssociation { id: id(1), network_acl: id(1) },
        is_default_for_zone: false,
        map_public_ip_on_launch: false,
        assign_ipv6_address_on_creation: true,
        enable_dns64: false,
        private_dns_hostname_type: HostnameType::IpName,
        enable_resource_name_dns_a_record: false,
        enable_resource_name_dns_aaaa_record: false,
        tags: tags(),
    }
}

fn route_table() -> RouteTable {
    let route = |destination, target| Route { destination, target, origin: RouteOrigin::CreateRoute };
    let block = |text: &str| Destination::Cidr(text.parse().unwrap());
    RouteTable {
        id: id(1),
        vpc: id(1),
        owner: owner(),
        routes: vec![
            Route::local("10.16.0.0/16".parse().unwrap()),
            route(block("10.17.0.0/16"), RouteTarget::Peering(id(7))),
            route(Destination::PrefixList(id(1)), RouteTarget::NetworkInterface(id(1))),
            route(block("::/0"), RouteTarget::InternetGateway(id(1))),
        ],
        tags: tags(),
    }
}

fn security_group() -> SecurityGroup {
    let rule = |n, direction, ports, peer| SecurityGroupRule {
        id: id(n),
        direction,
        protocol: IpProtocol::TCP,
        ports,
        peer,
        description: Some("d".into()),
        tags: tags(),
    };
    let group = RulePeer::Group { group: id(3), owner: owner(), vpc: id(2), peering: Some(id(7)) };
    let rules = [
        rule(1, Direction::Ingress, Ports::Range { from: 80, to: 443 }, RulePeer::Cidr("0.0.0.0/0".parse().unwrap())),
        rule(2, Direction::Egress, Ports::Any, group),
        rule(3, Direction::Ingress, Ports::Icmp { kind: Some(8), code: None }, RulePeer::PrefixList(id(4))),
    ];
    SecurityGroup {
        id: id(1),
        vpc: id(1),
        owner: owner(),
        name: "web".into(),
        description: "d".into(),
        rules: rules.into_iter().map(|rule| (rule.id, rule)).collect(),
        tags: tags(),
    }
}

fn network_acl() -> NetworkAcl {
    let cidr = "::/0".parse().unwrap();
    let entry = NetworkAclEntry { protocol: IpProtocol::All, action: AclAction::Deny, cidr, ports: Ports::Any };
    NetworkAcl {
        id: id(1),
        vpc: id(1),
        owner: owner(),
        is_default: false,
        ingress: BTreeMap::from([(100, entry.clone())]),
        egress: BTreeMap::from([(32_766, entry)]),
        tags: tags(),
    }
}

fn interface() -> NetworkInterface {
    let (id_of_attachment, instance) = (id(1), id(1));
    NetworkInterface {
        id: id(1),
        subnet: id(1),
        vpc: id(1),
        owner: owner(),
        zone: Zone::all(region()).next().unwrap(),
        mac: MacAddr([2, 0, 0, 0, 0, 1]),
        description: String::new(),
        private_ips: vec!["10.16.1.10".parse().unwrap()],
        ipv6_addresses: vec!["2001:db8::10".parse().unwrap()],
        has_primary_ipv6: true,
        public: vec![PublicAssociation {
            private: "10.16.1.10".parse().unwrap(),
            public: "203.0.113.25".parse().unwrap(),
            elastic: Some((id(1), id(1))),
        }],
        kind: InterfaceKind::NatGateway,
        groups: BTreeSet::from([id(1)]),
        source_dest_check: true,
        connection_tracking: ConnectionTracking { udp_timeout: Some(60), ..ConnectionTracking::default() },
        attachment: Some(Attachment {
            id: id_of_attachment,
            instance,
            device_index: 0,
            attached: now(),
            delete_on_termination: true,
            ena: EnaOptions { srd_enabled: Some(true), srd_udp_enabled: Some(false), queue_count: Some(4) },
            public_at_start: true,
        }),
        created: now(),
        tags: tags(),
    }
}

fn instance() -> Instance {
    Instance {
        id: id(1),
        owner: owner(),
        reservation: id(1),
        launch_index: 0,
        image: id(1),
        instance_type: "t3.micro".into(),
        vpc: id(1),
        subnet: id(1),
        zone: Zone::all(region()).next().unwrap(),
        host: Some("local".parse().unwrap()),
        state: InstanceState::ShuttingDown,
        state_reason: Some(("Client.UserInitiatedShutdown".into(), "m".into())),
        stop_asked: Some(now()),
        launched: now(),
        terminated: Some(now()),
        user_data: b"#!/bin/sh\n".to_vec(),
        metadata: MetadataOptions { requires_token: true, hop_limit: 2, ..MetadataOptions::default() },
        key_name: Some("k".into()),
        public_key: Some("ssh-ed25519 AAAA k".into()),
        client_token: Some("t".into()),
        disable_api_termination: false,
        disable_api_stop: false,
        shutdown_behavior: "stop".into(),
        private_dns: PrivateDnsNameOptions {
            hostname_type: HostnameType::ResourceName,
            enable_resource_name_dns_a_record: true,
            enable_resource_name_dns_aaaa_record: true,
        },
        options: InstanceOptions { monitoring: true, ..InstanceOptions::default() },
        volumes: vec![volume()],
        starts: 1,
        tags: tags(),
    }
}

fn insights_path() -> NetworkInsightsPath {
    let end = |resource| PathEnd { owner: owner(), resource };
    let filter = PathFilter {
        source_address: Some("10.17.1.10".parse().unwrap()),
        source_ports: Some(PortRange { from: 1024, to: 65535 }),
        destination_address: None,
        destination_ports: None,
    };
    NetworkInsightsPath {
        id: id(1),
        owner: owner(),
        created: now(),
        source: end(PathResource::Instance(id(1))),
        destination: Some(end(PathResource::Peering(id(1)))),
        source_ip: None,
        destination_ip: Some("10.18.1.10".parse().unwrap()),
        protocol: IpProtocol::TCP,
        destination_port: Some(443),
        filter_at_source: None,
        filter_at_destination: Some(filter),
        tags: tags(),
    }
}

/// What is absent in it is absent in the record, and reads back all the same.
fn insights_analysis() -> NetworkInsightsAnalysis {
    let component = Component { id: "i-1".into(), arn: "arn".into(), name: Some("n".into()) };
    let header = PacketHeader {
        protocol: "6".into(),
        source_addresses: vec!["10.17.1.10/32".into()],
        source_ports: vec![PortRange::ALL],
        ..PacketHeader::default()
    };
    let stage =
        PathComponent { sequence: 1, component: component.clone(), inbound: Some(header), ..PathComponent::default() };
    let rule = AclRule { cidr: "0.0.0.0/0".into(), protocol: "all".into(), number: 100, ..AclRule::default() };
    let explanation = Explanation {
        code: "SUBNET_ACL_RESTRICTION".into(),
        acl: Some(component),
        acl_rule: Some(rule),
        ..Explanation::default()
    };
    let findings = Findings {
        path_found: Some(false),
        forward: vec![stage],
        explanations: vec![explanation],
        suggested_accounts: vec![owner()],
        ..Findings::default()
    };
    NetworkInsightsAnalysis {
        id: id(1),
        owner: owner(),
        path: id(1),
        started: now(),
        additional_accounts: vec![owner()],
        filter_in: vec!["arn".into()],
        filter_out: Vec::new(),
        findings,
        tags: tags(),
    }
}

fn access_scope() -> NetworkInsightsAccessScope {
    let resources = |texts: &[&str]| ResourceStatement {
        resources: texts.iter().map(|text| (*text).into()).collect(),
        resource_types: Vec::new(),
    };
    let header = HeaderStatement {
        source_addresses: vec!["10.17.1.10".parse().unwrap(), "10.17.2.0/24".parse().unwrap()],
        destination_ports: vec!["22".parse().unwrap(), "1000-2000".parse().unwrap()],
        destination_prefix_lists: vec!["pl-3456789abcdef0001".into()],
        protocols: vec![IpProtocol::TCP],
        ..HeaderStatement::default()
    };
    let gateways =
        ResourceStatement { resource_types: vec!["AWS::EC2::InternetGateway".into()], resources: Vec::new() };
    let source = PathStatement { header: Some(header), resources: Some(resources(&["vpc-3456789abcdef0001"])) };
    let destination = PathStatement { header: None, resources: Some(gateways) };
    let path = AccessScopePath { source: Some(source), destination: Some(destination), through: None };
    let through = Some(resources(&["nat-3456789abcdef0001"]));
    NetworkInsightsAccessScope {
        id: id(1),
        owner: owner(),
        created: now(),
        match_paths: vec![path],
        exclude_paths: vec![AccessScopePath { through, ..AccessScopePath::default() }],
        tags: tags(),
    }
}

fn access_scope_analysis() -> NetworkInsightsAccessScopeAnalysis {
    let found = AccessScopeFindings {
        warning: Some("w".into()),
        interfaces: 7,
        findings: vec![insights_analysis().findings.forward],
        ..AccessScopeFindings::default()
    };
    NetworkInsightsAccessScopeAnalysis {
        id: id(1),
        owner: owner(),
        scope: id(1),
        started: now(),
        ended: now(),
        found,
        tags: tags(),
    }
}

fn mirror() -> Mirror {
    let member = Member {
        interface: id(2),
        addresses: vec!["10.17.1.10".parse().unwrap()],
        groups: BTreeSet::new(),
        host: Some("local".parse().unwrap()),
        resource_name: Some(ResourceName { instance: id(2), a: true, aaaa: false }),
    };
    Mirror { vpc: id(2), region: region(), revision: 9, members: vec![member] }
}

fn access_key() -> AccessKey {
    let session = Session { token: Secret("t".into()), expires: now(), role: Some("r".into()), name: "n".into() };
    AccessKey {
        id: "ASIAEXAMPLE".into(),
        secret: Secret("s".into()),
        account: owner(),
        created: now(),
        is_disabled: true,
        session: Some(session),
    }
}

fn role() -> Role {
    Role {
        arn: "arn:aws:iam::111111111111:role/netops".parse().unwrap(),
        trusted: [Principal::Account(owner()), "arn:aws:iam::222222222222:role/deploy".parse().unwrap()].into(),
        external_id: Some("once".into()),
        session_max: Duration::hours(1),
        created: now(),
    }
}

fn client_token() -> ClientToken {
    let key = ClientTokenKey { account: owner(), operation: "RunInstances".into(), token: "a/b".into() };
    ClientToken { key, parameters: 42, made: "r-1".into(), created: now() }
}

fn flow_log() -> FlowLog {
    let options = DestinationOptions {
        file_format: FileFormat::Parquet,
        hive_compatible_partitions: true,
        per_hour_partition: false,
    };
    FlowLog {
        id: id(1),
        owner: owner(),
        resource: LoggedResource::Subnet(id(1)),
        traffic: TrafficType::Reject,
        destination: LogDestination {
            kind: LogDestinationType::S3,
            destination: Some("arn:aws:s3:::b/p".into()),
            log_group_name: None,
            deliver_logs_permission_arn: None,
            deliver_cross_account_role: None,
            options: Some(options),
        },
        format: "${srcaddr} ${bytes} ${peerway-reason}".parse().unwrap(),
        max_aggregation_interval: 60,
        created: now(),
        client_token: Some("t".into()),
        tags: tags(),
    }
}

fn hosted_zone() -> HostedZone {
    HostedZone {
        id: "Z0123456789ABCDEFGHIJ".into(),
        owner: owner(),
        name: "corp.example.".into(),
        comment: "ours".into(),
        caller_reference: "once".into(),
        vpcs: [(region(), id(1))].into(),
        authorized: [(region(), id(2))].into(),
        records: [(
            ("www.corp.example.".into(), RecordType::A),
            RecordSet { ttl: 60, values: vec!["10.16.1.10".into()] },
        )]
        .into(),
        created: now(),
        tags: tags(),
    }
}

fn nat_gateway() -> NatGateway {
    NatGateway {
        id: id(1),
        owner: owner(),
        vpc: id(1),
        subnet: id(1),
        connectivity: Connectivity::Public,
        state: NatGatewayState::Deleted,
        failure: Some(("Gateway.NotAttached".into(), "a text".into())),
        interface: Some(id(1)),
        ended_with: vec![NatGatewayAddress {
            interface: Some(id(1)),
            private: Some("10.16.1.10".parse().unwrap()),
            public: Some("203.0.113.25".parse().unwrap()),
            allocation: Some(id(1)),
            association: Some(id(1)),
        }],
        host: Some("local".parse().unwrap()),
        created: now(),
        ended: Some(now()),
        tags: tags(),
    }
}

fn egress_only_internet_gateway() -> EgressOnlyInternetGateway {
    EgressOnlyInternetGateway { id: id(1), owner: owner(), vpc: id(1), created: now(), tags: tags() }
}

fn elastic_address() -> ElasticAddress {
    ElasticAddress {
        id: id(1),
        owner: owner(),
        public: "203.0.113.25".parse().unwrap(),
        allocated: now(),
        domain_name: Some("mail.example.com.".into()),
        tags: tags(),
    }
}

fn prefix_list() -> PrefixList {
    let entry = |block: &str, description: Option<&str>| (block.parse().unwrap(), description.map(Into::into));
    PrefixList {
        id: id(1),
        owner: owner(),
        name: "corporate".into(),
        family: AddressFamily::Ipv4,
        max_entries: 20,
        version: 2,
        entries: BTreeMap::from([entry("10.9.0.0/16", Some("d")), entry("10.8.0.0/16", None)]),
        state: PrefixListState::Restored,
        tags: tags(),
    }
}

fn key_pair() -> KeyPair {
    KeyPair {
        id: id(1),
        owner: owner(),
        name: "ops".into(),
        key_type: KeyType::Ed25519,
        fingerprint: "x=".into(),
        public_key: vec![0, 0, 0, 11],
        created: now(),
        tags: tags(),
    }
}

fn image() -> RegisteredImage {
    RegisteredImage {
        id: id(1),
        owner: owner(),
        name: "golden".into(),
        description: "d".into(),
        architecture: "arm64".into(),
        location: Some("bucket/manifest.xml".into()),
        root_device_name: "/dev/sda1".into(),
        virtualization_type: "hvm".into(),
        ena_support: true,
        boot_mode: Some("uefi".into()),
        imds_support: Some("v2.0".into()),
        tpm_support: None,
        created: now(),
        tags: tags(),
    }
}

fn vpn_gateway() -> VpnGateway {
    VpnGateway {
        id: id(1),
        owner: owner(),
        vpc: Some(id(1)),
        amazon_side_asn: 64_512,
        zone: Zone::all(region()).next(),
        propagates_to: [id(1)].into(),
        tags: tags(),
    }
}

fn reservation() -> SubnetCidrReservation {
    SubnetCidrReservation {
        id: id(1),
        owner: owner(),
        subnet: id(1),
        cidr: "10.16.1.16/28".parse().unwrap(),
        kind: ReservationType::Explicit,
        description: Some("d".into()),
        tags: tags(),
    }
}

fn volume() -> Volume {
    Volume {
        id: id(1),
        device: "/dev/xvda".into(),
        size: 8,
        kind: "gp3".into(),
        iops: Some(3000),
        throughput: Some(125),
        encrypted: false,
        kms_key: None,
        snapshot: Some("snap-00000000000000001".into()),
        delete_on_termination: true,
        tags: tags(),
    }
}

fn account_region() -> AccountRegion {
    let block_public_access = Some(BlockPublicAccess { mode: "block-ingress".into(), changed: now() });
    let metadata_defaults = MetadataDefaults { requires_token: Some(true), ..MetadataDefaults::default() };
    AccountRegion { account: owner(), default_vpc_made: Some(now()), block_public_access, metadata_defaults }
}

fn name_suffixes() -> NameSuffixes {
    let public = Suffixes::aws_public().chosen(None, Some("cloud.example".parse().unwrap()));
    NameSuffixes::new(Suffixes::aws_private(), public).unwrap()
}

fn log_group() -> LogGroup {
    LogGroup {
        owner: owner(),
        name: "/vpc/flows".into(),
        created: now(),
        retention_in_days: Some(7),
        class: "STANDARD".into(),
        kms_key: None,
        tags: tags(),
    }
}

fn one_of_each() -> Vec<Resource> {
    let association = RouteTableAssociation { id: id(3), route_table: id(3) };
    let gateway = InternetGateway {
        id: id(1),
        owner: owner(),
        vpc: Some(id(1)),
        route_table: Some(association),
        created: now(),
        tags: tags(),
    };
    let configuration = vec![("domain-name".into(), vec!["x".into()])];
    let request = Message::Request { peering: peering() };
    vec![
        Resource::Vpc(Arc::new(vpc())),
        Resource::Subnet(Arc::new(subnet())),
        Resource::RouteTable(Arc::new(route_table())),
        Resource::SecurityGroup(Arc::new(security_group())),
        Resource::NetworkAcl(Arc::new(network_acl())),
        Resource::NetworkInterface(Arc::new(interface())),
        Resource::Instance(Arc::new(instance())),
        Resource::InternetGateway(Arc::new(gateway)),
        Resource::NatGateway(Arc::new(nat_gateway())),
        Resource::EgressOnlyInternetGateway(Arc::new(egress_only_internet_gateway())),
        Resource::DhcpOptions(Arc::new(DhcpOptions { id: id(1), owner: owner(), configuration, tags: tags() })),
        Resource::FlowLog(Arc::new(flow_log())),
        Resource::NetworkInsightsPath(Arc::new(insights_path())),
        Resource::NetworkInsightsAnalysis(Arc::new(insights_analysis())),
        Resource::Peering(peering()),
        Resource::Mirror(Arc::new(mirror())),
        Resource::OutboxEntry(Arc::new(OutboxEntry { sequence: 3, to: region(), message: request, held: None })),
        Resource::AccessKey(Arc::new(access_key())),
        Resource::Account(Arc::new(Account { id: owner(), name: "network".into(), created: now() })),
        Resource::Role(Arc::new(role())),
        Resource::ClientToken(Arc::new(client_token())),
        Resource::Clock(Arc::new(Clock { ahead_ms: 1000 })),
        Resource::NameSuffixes(Arc::new(name_suffixes())),
        Resource::Host(Arc::new(Host {
            id: "local".parse().unwrap(),
            underlay: "198.18.0.1:4500".parse().unwrap(),
            key: KeyFingerprint([7; 32]),
        })),
        Resource::PrefixList(Arc::new(prefix_list())),
        Resource::InterfacePermission(Arc::new(InterfacePermission {
            id: id(1),
            owner: owner(),
            interface: id(1),
            grantee: Grantee::Account(owner()),
            permission: InterfaceUse::InstanceAttach,
            created: now(),
        })),
        Resource::ReleasedAddresses(Arc::new(ReleasedAddresses {
            subnet: id(1),
            addresses: BTreeMap::from([("10.16.1.11".parse().unwrap(), now())]),
        })),
        Resource::ElasticAddress(Arc::new(elastic_address())),
        Resource::RestingAddress(Arc::new(RestingAddress { public: "203.0.113.26".parse().unwrap(), released: now() })),
        Resource::HostedZone(Arc::new(hosted_zone())),
        Resource::PrefixListHistory(Arc::new(PrefixListHistory {
            list: id(1),
            versions: BTreeMap::from([(1, prefix_list().entries)]),
        })),
        Resource::KeyPair(Arc::new(key_pair())),
        Resource::RegisteredImage(Arc::new(image())),
        Resource::VpnGateway(Arc::new(vpn_gateway())),
        Resource::SubnetCidrReservation(Arc::new(reservation())),
        Resource::SecurityGroupVpcs(Arc::new(SecurityGroupVpcs { group: id(1), owner: owner(), vpcs: [id(2)].into() })),
        Resource::AccountRegion(Arc::new(account_region())),
        Resource::LogGroup(Arc::new(log_group())),
        Resource::NetworkInsightsAccessScope(Arc::new(access_scope())),
        Resource::NetworkInsightsAccessScopeAnalysis(Arc::new(access_scope_analysis())),
        Resource::Passage(Arc::new(Passage {
            subject: "nat-00000000000000001".into(),
            owner: owner(),
            phase: Phase::Deleting,
            until: now(),
        })),
    ]
}

#[test]
fn what_is_written_today_reads_back_for_ever() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/records.json");
    let today = one_of_each();
    let lines: Vec<String> = today.iter().map(|resource| serde_json::to_string(resource).unwrap()).collect();
    let written = lines.join("\n") + "\n";
    if std::env::var("PEERWAY_GOLDEN").is_ok_and(|word| word == "write") {
        std::fs::write(path, &written).unwrap();
    }
    let golden = std::fs::read_to_string(path).expect("the golden file is there");
    let read = |line: &str| serde_json::from_str::<Resource>(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    assert_eq!(golden.lines().map(read).collect::<Vec<_>>(), today, "an old record has another meaning today");
    assert_eq!(golden, written, "records are written otherwise than before");
}

#[test]
fn every_kind_is_among_them() {
    let kinds: BTreeSet<&str> = one_of_each().iter().map(|resource| resource.key().kind()).collect();
    assert_eq!(kinds.len(), one_of_each().len(), "a kind is there twice");
    assert_eq!(kinds.len(), World::KINDS, "a kind was added: add one of it to the list");
}
