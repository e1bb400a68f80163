use std::fs;

use dataplane::FlowId;
use model::flow_log::{LogDestination, LogDestinationType};
use model::intent::{Endpoint, VpcSlice};
use model::vpc::{CidrAssociation, NetworkAclAssociation, RouteTableAssociation};
use model::{
    ConnectionTracking, Direction, LogFormat, LoggedResource, MacAddr, NetworkInterface, ResourceId, Subnet, Tags,
    TrafficType, Vpc, Zone,
};

use super::*;

fn id<Id: ResourceId>(n: u128) -> Id {
    Id::from_random(n)
}

fn here() -> HostId {
    "host-1".parse().unwrap()
}

fn at(seconds: i64) -> Time {
    Time::from_unix_millis(seconds * 1000)
}

fn log(n: u128, resource: LoggedResource, traffic: TrafficType) -> FlowLog {
    FlowLog {
        id: id(n),
        owner: "111111111111".parse().unwrap(),
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
        format: "${interface-id} ${packets} ${start} ${end} ${action} ${log-status}".parse::<LogFormat>().unwrap(),
        max_aggregation_interval: 600,
        created: Time::EPOCH,
        client_token: None,
        tags: Tags::new(),
    }
}

fn interface(n: u128) -> NetworkInterface {
    NetworkInterface {
        id: id(n),
        subnet: id(1),
        vpc: id(1),
        owner: "111111111111".parse().unwrap(),
        zone: zone(),
        mac: MacAddr([2, 0, 0, 0, 0, n as u8]),
        description: String::new(),
        private_ips: vec![std::net::Ipv4Addr::new(10, 0, 0, n as u8)],
        ipv6_addresses: Vec::new(),
        has_primary_ipv6: false,
        public: Vec::new(),
        kind: model::InterfaceKind::Interface,
        groups: BTreeSet::new(),
        source_dest_check: true,
        attachment: None,
        connection_tracking: ConnectionTracking::default(),
        created: Time::EPOCH,
        tags: Tags::new(),
    }
}

fn zone() -> Zone {
    "us-east-1a".parse().unwrap()
}

/// Interfaces 1 and 2 are here, the second one is down; 3 is elsewhere.
fn intent(logs: &[FlowLog]) -> Intent {
    let endpoint = |n: u128, host: &str, is_up| Endpoint {
        interface: Arc::new(interface(n)),
        host: Some(host.parse().unwrap()),
        is_up,
    };
    let vpc = Vpc {
        id: id(1),
        owner: "111111111111".parse().unwrap(),
        cidrs: vec![CidrAssociation { id: id(1), cidr: "10.0.0.0/16".parse().unwrap() }],
        ipv6_cidrs: Vec::new(),
        main: RouteTableAssociation { id: id(1), route_table: id(1) },
        default_group: id(1),
        default_acl: id(1),
        dhcp_options: None,
        is_default: false,
        instance_tenancy: "default".into(),
        enable_dns_support: true,
        enable_dns_hostnames: false,
        enable_network_address_usage_metrics: false,
        tags: Tags::new(),
    };
    let subnet = Subnet {
        id: id(1),
        vpc: id(1),
        owner: vpc.owner,
        zone: zone(),
        cidr: "10.0.0.0/24".parse().unwrap(),
        ipv6: None,
        route_table: None,
        network_acl: NetworkAclAssociation { id: id(1), network_acl: id(1) },
        is_default_for_zone: false,
        map_public_ip_on_launch: false,
        assign_ipv6_address_on_creation: false,
        enable_dns64: false,
        private_dns_hostname_type: model::vpc::HostnameType::IpName,
        enable_resource_name_dns_a_record: false,
        enable_resource_name_dns_aaaa_record: false,
        tags: Tags::new(),
    };
    let slice = VpcSlice {
        region: "us-east-1".parse().unwrap(),
        vpc: Arc::new(vpc),
        subnets: vec![Arc::new(subnet)],
        route_tables: Vec::new(),
        security_groups: Vec::new(),
        network_acls: Vec::new(),
        endpoints: vec![endpoint(1, "host-1", true), endpoint(2, "host-1", false), endpoint(3, "host-2", true)],
        internet_gateways: Vec::new(),
        hosted_zones: Vec::new(),
        resource_names: BTreeMap::new(),
        prefix_lists: BTreeMap::new(),
        nat_gateways: BTreeMap::new(),
        egress_only_internet_gateways: Vec::new(),
        flow_logs: logs.iter().cloned().map(Arc::new).collect(),
        peerings: Vec::new(),
        peers: Vec::new(),
        dhcp_options: None,
    };
    Intent { vpcs: BTreeMap::from([(id(1), Arc::new(slice))]), ..Intent::default() }
}

fn record(interface: u128, rejected: Option<u8>) -> FlowRecord {
    let flow = FlowId {
        interface: id(interface),
        direction: Direction::Ingress,
        src: "10.0.0.9".parse().unwrap(),
        dst: "10.0.0.1".parse().unwrap(),
        protocol: 17,
        src_port: 9,
        dst_port: 53,
        rejected,
    };
    let (first, last) = (at(100), at(130));
    FlowRecord {
        flow,
        packets: 5,
        bytes: 500,
        first,
        last,
        tcp_flags: 0,
        passage: dataplane::Passage::None,
        evidence: None,
    }
}

fn told(log: &FlowLog, records: &Records, is_whole: bool) -> Vec<String> {
    let coverage = Coverage::of(&intent(std::slice::from_ref(log)), here());
    let text = lines(log, &coverage, records, (at(90), at(150)), is_whole);
    text.lines().map(Into::into).collect()
}

fn name(n: u128) -> NetworkInterfaceId {
    id(n)
}

#[test]
fn a_flow_log_gets_the_lines_that_it_asks_for() {
    let records =
        Records { flows: vec![record(1, None), record(1, Some(21)), record(3, None)], skipped: BTreeMap::new() };
    let accepted = format!("{} 5 100 130 ACCEPT OK", name(1));
    let rejected = format!("{} 5 100 130 REJECT OK", name(1));
    let nothing = format!("{} - 90 150 - NODATA", name(1));
    let of_vpc = LoggedResource::Vpc(id(1));
    assert_eq!(told(&log(1, of_vpc, TrafficType::All), &records, true), [accepted.clone(), rejected.clone()]);
    assert_eq!(told(&log(1, of_vpc, TrafficType::Accept), &records, true), [accepted]);
    let of_one = LoggedResource::NetworkInterface(id(1));
    assert_eq!(told(&log(1, of_one, TrafficType::Reject), &records, true), [rejected]);
    let elsewhere = LoggedResource::NetworkInterface(id(3));
    assert_eq!(told(&log(1, elsewhere, TrafficType::All), &records, true), [""; 0], "another host's to tell");
    // Nothing to tell is told too, once the interval is over, of who is up.
    let of_subnet = LoggedResource::Subnet(id(1));
    assert_eq!(told(&log(1, of_subnet, TrafficType::All), &Records::default(), true), [nothing]);
    assert_eq!(told(&log(1, of_subnet, TrafficType::All), &Records::default(), false), [""; 0]);
}

#[test]
fn what_was_skipped_is_told_beside_what_was_not() {
    let skipped = BTreeMap::from([(id(1), 7), (id(3), 7)]);
    let records = Records { flows: vec![record(1, None)], skipped };
    let log = log(1, LoggedResource::Vpc(id(1)), TrafficType::All);
    let expected = [format!("{} 5 100 130 ACCEPT OK", name(1)), format!("{} - 90 150 - SKIPDATA", name(1))];
    assert_eq!(told(&log, &records, true), expected);
}

fn board(data: &Path) -> FlowLogs {
    let config = dataplane::Config::new(here(), 1);
    FlowLogs::start(Arc::new(dataplane::Shared::new(config)), here(), data).unwrap()
}

#[test]
fn other_flow_logs_end_the_interval_and_other_interfaces_do_not() {
    let data = tempfile::tempdir().unwrap();
    let flow_logs = board(data.path());
    let of_vpc = |n| log(n, LoggedResource::Vpc(id(1)), TrafficType::All);
    let begun = || flow_logs.board.state().begun;
    let subjects = || flow_logs.board.state().coverage.subjects.len();
    let before = begun();
    std::thread::sleep(Duration::from_millis(5));
    flow_logs.follow(&intent(&[]));
    assert_eq!((begun(), subjects()), (before, 0));
    flow_logs.follow(&intent(&[of_vpc(1)]));
    let after = begun();
    assert!(after > before);
    assert_eq!(subjects(), 2);
    std::thread::sleep(Duration::from_millis(5));
    // Who goes within the interval still has its lines in it.
    let mut fewer = intent(&[of_vpc(1)]);
    let slice = Arc::make_mut(fewer.vpcs.get_mut(&id(1)).unwrap());
    slice.endpoints.clear();
    flow_logs.follow(&fewer);
    assert_eq!((begun(), subjects()), (after, 2));
    flow_logs.follow(&intent(&[of_vpc(1), of_vpc(2)]));
    assert!(begun() > after);
    flow_logs.stop();
    assert!(fs::read_dir(data.path().join("flow-logs")).is_err(), "nothing was counted, nothing is written");
}

#[test]
fn what_cannot_wait_is_skipped_and_said_so() {
    let data = tempfile::tempdir().unwrap();
    let flow_logs = board(data.path());
    let of_vpc = |n| log(n, LoggedResource::Vpc(id(1)), TrafficType::All);
    flow_logs.follow(&intent(&[of_vpc(1)]));
    {
        // The writer waits for this lock.
        let mut state = flow_logs.board.state();
        for _ in 0..BATCHES_MAX + 1 {
            flow_logs.board.cut(&mut state, false);
        }
        assert_eq!(state.waiting.len(), BATCHES_MAX);
        assert_eq!(state.lost, BTreeSet::from([id(1)]), "whoever is down counts nothing");
    }
    flow_logs.stop();
    let mut found = String::new();
    let mut folders = vec![data.path().join("flow-logs")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            match entry.file_type().unwrap().is_dir() {
                true => folders.push(entry.path()),
                false => found.push_str(&fs::read_to_string(entry.path()).unwrap()),
            }
        }
    }
    let lines: Vec<&str> = found.lines().collect();
    assert_eq!(lines[0], "interface-id packets start end action log-status");
    assert_eq!(lines.len(), 2, "{found}");
    assert!(lines[1].starts_with(&name(1).to_string()) && lines[1].ends_with(" SKIPDATA"), "{found}");
}
