//! "Why can't A reach B" over the Worlds: who is meant by a name, who may know what, and calls not made yet.

mod common;
mod things;

use std::collections::BTreeMap;

use common::*;
use control::reach::explain;
use ec2::reach::{ExplainReachability, ReachResult};
use ec2::{Caller, Error};
use model::{NetworkInterface, PeeringId, PeeringStatus, Vpc};
use things::{subnet, vpc};

/// Alice's VPC A with `web` and `cache`, Bob's VPC B with `db`; nothing between the two.
struct Two {
    cloud: Harness,
    a: String,
    b: String,
    web: String,
    db: String,
    web_address: String,
    db_address: String,
}

const OPERATOR: &str = "000000000000";

fn run(cloud: &mut Harness, account: &str, subnet: &str, name: &str) -> (String, String) {
    let answer = cloud.ok(
        account,
        &format!(
            "Action=RunInstances&ImageId=ami-12345678&MinCount=1&MaxCount=1&SubnetId={subnet}&TagSpecification.1.ResourceType=instance&\
             TagSpecification.1.Tag.1.Key=Name&TagSpecification.1.Tag.1.Value={name}"
        ),
    );
    (text(&answer, "instanceId"), text(&answer, "privateIpAddress"))
}

impl Two {
    fn new() -> Two {
        let mut cloud = Harness::new();
        let (a, b) = (vpc(&mut cloud, ALICE, "10.16.0.0/16"), vpc(&mut cloud, BOB, "10.17.0.0/16"));
        let (sa, sb) = (subnet(&mut cloud, ALICE, &a, "10.16.1.0/24"), subnet(&mut cloud, BOB, &b, "10.17.1.0/24"));
        let (web, web_address) = run(&mut cloud, ALICE, &sa, "web");
        run(&mut cloud, ALICE, &sa, "cache");
        let (db, db_address) = run(&mut cloud, BOB, &sb, "db");
        Two { cloud, a, b, web, db, web_address, db_address }
    }

    fn ask_with(&self, account: &str, request: &ExplainReachability) -> Result<ReachResult, Error> {
        let regions =
            BTreeMap::from([(self.cloud.config.region, (self.cloud.world.clone(), self.cloud.config.clone()))]);
        explain(&regions, &Caller::root(account.parse().unwrap()), request, seed(), self.cloud.now)
    }

    fn ask(&self, account: &str, source: &str, destination: &str) -> Result<ReachResult, Error> {
        self.ask_with(account, &question(source, destination))
    }

    fn error(&self, account: &str, source: &str, destination: &str) -> String {
        let error = self.ask(account, source, destination).unwrap_err();
        format!("{}: {}", error.code, error.message)
    }

    fn sender(&self, source: &str) -> String {
        self.ask(OPERATOR, source, "10.99.0.1").unwrap().answers[0].source_address.clone()
    }

    fn peer(&mut self, status: PeeringStatus) -> PeeringId {
        things::peering(&mut self.cloud, &self.a, &self.b, status)
    }
}

fn question(source: &str, destination: &str) -> ExplainReachability {
    ExplainReachability {
        source: source.into(),
        destination: destination.into(),
        protocol: None,
        destination_port: None,
        source_port: None,
        ip_version: None,
        one_way: None,
        what_if: Vec::new(),
    }
}

fn reasons(result: &ReachResult) -> Vec<String> {
    let blockers = result.answers.iter().flat_map(|answer| &answer.cases).flat_map(|case| &case.blockers);
    blockers.map(|blocker| blocker.reason.clone().unwrap_or("hidden".into())).collect()
}

#[test]
fn ends_are_found_by_all_their_names() {
    let two = Two::new();
    let address = two.web_address.clone();
    let interface = two.cloud.world.all::<NetworkInterface>().find(|eni| eni.primary_ip().to_string() == address);
    let interface = interface.unwrap().id.to_string();
    let dashed = address.replace('.', "-");
    for name in [
        two.web.clone(),
        interface,
        "web".into(),
        address.clone(),
        format!("{address}@{}", two.a),
        format!("ip-{dashed}"),
        format!("ip-{dashed}.ec2.internal"),
        format!("{}.ec2.internal", two.web),
    ] {
        assert_eq!(two.sender(&name), address, "{name}");
    }
}

#[test]
fn names_of_nothing_and_of_several_are_refused() {
    let mut two = Two::new();
    let c = vpc(&mut two.cloud, ALICE, "10.16.0.0/16");
    let sc = subnet(&mut two.cloud, ALICE, &c, "10.16.1.0/24");
    run(&mut two.cloud, ALICE, &sc, "twin");
    run(&mut two.cloud, ALICE, &sc, "twin");
    assert!(two.error(ALICE, "twin", "cache").contains("It means 2 things"));
    let twin = two.web_address.clone();
    if !two
        .cloud
        .world
        .all::<NetworkInterface>()
        .any(|eni| eni.vpc.to_string() == c && eni.primary_ip().to_string() == twin)
    {
        two.cloud.ok(ALICE, &format!("Action=CreateNetworkInterface&SubnetId={sc}&PrivateIpAddress={twin}"));
    }
    let error = two.error(ALICE, &twin, "cache");
    assert!(error.contains("It means 2 things") && error.contains(&c), "{error}");
    assert_eq!(two.sender(&format!("{twin}@{c}")), twin);
    for (source, destination, expected) in [
        ("nobody", "web", "InvalidParameterValue: Value (nobody)"),
        ("10.77.0.1", "web", "Nothing that you may know of"),
        ("web", "i-0123456789abcdef0", "InvalidInstanceID.NotFound"),
        ("eni-0123456789abcdef0", "web", "InvalidNetworkInterfaceID.NotFound"),
        ("10.16.1.4@vpc-0123456789abcdef0", "web", "in that VPC"),
        ("web@home", "web", "Before the @"),
        ("", "web", "MissingParameter"),
        ("web", "ip-10-17-1-4.eu-west-1.compute.internal", "Nothing that you may know of"),
    ] {
        let error = two.error(ALICE, source, destination);
        assert!(error.contains(expected), "{source} {destination}: {error}");
    }
}

#[test]
fn what_is_anothers_does_not_exist() {
    let mut two = Two::new();
    let (db, db_address) = (two.db.clone(), two.db_address.clone());
    assert_eq!(
        two.error(ALICE, "web", &db),
        format!("InvalidInstanceID.NotFound: The instance ID '{db}' does not exist")
    );
    assert!(two.error(ALICE, "web", "db").contains("Nothing that you may know of"));
    assert!(two.error(ALICE, &db_address, "web").contains("Nothing that you may know of"));
    // Without an active peering an address in Bob's VPC is like one in nobody's, even while Bob is asked.
    for status in [PeeringStatus::PendingAcceptance, PeeringStatus::Deleted] {
        let pcx = two.peer(status);
        let route = format!(
            "Action=CreateRoute&RouteTableId={}&DestinationCidrBlock=10.17.0.0/16&VpcPeeringConnectionId={pcx}",
            two.cloud.world.find::<Vpc>(&two.a.parse().unwrap()).unwrap().main.route_table
        );
        let _ = two.cloud.call(ALICE, &route);
        let told = |address: &str| {
            let result = two.ask(ALICE, "web", address).unwrap();
            let case = &result.answers[0].cases[0];
            let mends: Vec<_> = case.blockers.iter().map(|blocker| blocker.mends.len()).collect();
            (reasons(&result), case.complete, mends, case.forward.len())
        };
        assert_eq!(told(&db_address), told("10.17.1.200"), "{status}");
        assert_eq!(told(&db_address).0.len(), 1);
    }
    // The operator sees it all.
    assert_eq!(two.ask(OPERATOR, "web", "db").unwrap().answers[0].destination_address, db_address);
}

#[test]
fn what_the_other_account_must_do_is_told() {
    let mut two = Two::new();
    let pcx = two.peer(PeeringStatus::PendingAcceptance);
    let table = two.cloud.world.find::<Vpc>(&two.a.parse().unwrap()).unwrap().main.route_table;
    two.cloud.ok(
        ALICE,
        &format!(
            "Action=CreateRoute&RouteTableId={table}&DestinationCidrBlock=10.17.0.0/16&VpcPeeringConnectionId={pcx}"
        ),
    );
    let result = two.ask(ALICE, "web", &two.db_address).unwrap();
    let blocker = &result.answers[0].cases[0].blockers[0];
    assert_eq!(blocker.reason.as_deref(), Some("D09"));
    assert_eq!(blocker.mends[0].account, BOB.parse().unwrap());
    assert!(
        blocker.mends[0].aws_cli.contains(&format!("accept-vpc-peering-connection --vpc-peering-connection-id {pcx}"))
    );
}

#[test]
fn calls_are_tried_and_nothing_is_kept() {
    let two = Two::new();
    let main = |vpc: &str| two.cloud.world.find::<Vpc>(&vpc.parse().unwrap()).unwrap().main.route_table;
    let group = two.cloud.world.find::<Vpc>(&two.b.parse().unwrap()).unwrap().default_group;
    let route = |account: &str, vpc: &str, block: &str| {
        format!(
            r#"{{"Action": "CreateRoute", "Account": "{account}", "RouteTableId": "{}", "DestinationCidrBlock": "{block}", "VpcPeeringConnectionId": "${{1:vpcPeeringConnectionId}}"}}"#,
            main(vpc)
        )
    };
    let mut request = question("web", "db");
    request.what_if = vec![
        format!(
            r#"{{"Action": "CreateVpcPeeringConnection", "Account": "{ALICE}", "Region": "us-east-1", "VpcId": "{}", "PeerVpcId": "{}", "PeerOwnerId": "{BOB}"}}"#,
            two.a, two.b
        ),
        format!(
            r#"{{"Action": "AcceptVpcPeeringConnection", "Account": "{BOB}", "VpcPeeringConnectionId": "${{1:vpcPeeringConnectionId}}"}}"#
        ),
        route(ALICE, &two.a, "10.17.0.0/16"),
        route(BOB, &two.b, "10.16.0.0/16"),
        format!(
            r#"{{"Action": "AuthorizeSecurityGroupIngress", "Account": "{BOB}", "GroupId": "{group}", "IpPermissions": [{{"IpProtocol": "icmp", "FromPort": -1, "ToPort": -1, "IpRanges": [{{"CidrIp": "10.16.0.0/16"}}]}}]}}"#
        ),
    ];
    let before = two.cloud.world.clone();
    let result = two.ask_with(OPERATOR, &request).unwrap();
    assert_eq!((result.reachable, result.reachable_now), (true, Some(false)), "{result:#?}");
    assert_eq!(two.cloud.world, before);

    let refused = |account: &str, call: &str| {
        let mut request = question("web", "cache");
        request.what_if = vec![call.into()];
        let error = two.ask_with(account, &request).unwrap_err();
        format!("{}: {}", error.code, error.message)
    };
    for (account, call, expected) in [
        (
            ALICE,
            format!(r#"{{"Action": "CreateVpc", "Account": "{BOB}", "CidrBlock": "10.0.0.0/16"}}"#),
            "AccessDenied: WhatIf call 1:",
        ),
        (ALICE, r#"{"Action": "CreateVpc", "CidrBlock": "300.0.0.0/16"}"#.into(), "WhatIf call 1:"),
        (ALICE, r#"{"Action": "CreateVpc", "Region": "mars-1", "CidrBlock": "10.0.0.0/16"}"#.into(), "no such region"),
        (ALICE, r#"["Action"]"#.into(), "A call is a JSON object"),
        (ALICE, "{".into(), "It is no JSON"),
        (ALICE, r#"{"Action": "DeleteVpc", "VpcId": "${1:vpcId}"}"#.into(), "names nothing in an earlier answer"),
        (ALICE, r#"{"Action": "CreateVpc", "A": [[[[[[[[[["x"]]]]]]]]]]}"#.into(), "nested too deeply"),
    ] {
        let error = refused(account, &call);
        assert!(error.contains(expected), "{call}: {error}");
    }
    let mut many = question("web", "cache");
    many.what_if = vec!["{}".into(); 201];
    assert!(two.ask_with(ALICE, &many).unwrap_err().message.contains("At most 200"));
}

type Change = fn(&mut ExplainReachability);

#[test]
fn ports_protocols_and_families_are_checked() {
    let two = Two::new();
    let verdict = |change: Change| {
        let mut request = question("web", "cache");
        change(&mut request);
        two.ask_with(ALICE, &request)
    };
    // The default group lets its members in.
    assert_eq!(verdict(|_| {}).unwrap().verdict, "REACHABLE");
    let open = verdict(|request| request.protocol = Some("tcp".into())).unwrap();
    assert_eq!(open.answers[0].cases.len(), 1);
    assert_eq!(open.answers[0].cases[0].destination_ports.as_deref(), Some("0-65535"));
    assert_eq!(open.answers[0].cases[0].source_ports.as_deref(), Some("32768-60999"));
    let changes: [(Change, &str); 6] = [
        (|request| request.protocol = Some("http".into()), "Use tcp, udp, icmp"),
        (|request| request.destination_port = Some("80".into()), "has no ports"),
        (
            |request| {
                request.protocol = Some("tcp".into());
                request.destination_port = Some("9-1".into());
            },
            "1-1024",
        ),
        (|request| request.ip_version = Some(5), "It is 4 or 6"),
        (|request| request.ip_version = Some(6), "has no IPv6 address"),
        (
            |request| {
                request.destination = "10.16.1.4".into();
                request.ip_version = Some(6);
            },
            "is no address of IP version 6",
        ),
    ];
    for (change, expected) in changes {
        let error = verdict(change).unwrap_err();
        assert!(error.message.contains(expected), "{}", error.message);
    }
}
