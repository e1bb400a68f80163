//! Analyses of access scopes through the API: which paths are findings, which are not, and what bounds an analysis.

mod common;
mod things;

use std::collections::BTreeSet;

use common::*;
use control::federation;
use control::tick::tick;
use things::UNKNOWN;

/// Two of Alice's VPCs, peered and routed, each with an instance: whatever a group lets in may come over.
struct Two {
    cloud: Harness,
    a: Side,
    b: Side,
    pcx: String,
    calls: u32,
}

#[derive(Clone)]
struct Side {
    account: &'static str,
    vpc: String,
    subnet: String,
    table: String,
    acl: String,
    group: String,
    instance: String,
    interface: String,
}

fn side(cloud: &mut Harness, account: &'static str, net: &str) -> Side {
    let vpc = things::vpc(cloud, account, &format!("10.{net}.0.0/16"));
    let subnet = things::subnet(cloud, account, &vpc, &format!("10.{net}.1.0/24"));
    let of_vpc = |cloud: &mut Harness, action: &str, id: &str| {
        text(&cloud.ok(account, &format!("Action={action}&Filter.1.Name=vpc-id&Filter.1.Value.1={vpc}")), id)
    };
    let table = of_vpc(cloud, "DescribeRouteTables", "routeTableId");
    let acl = of_vpc(cloud, "DescribeNetworkAcls", "networkAclId");
    let group = format!("Action=CreateSecurityGroup&GroupName=g&GroupDescription=d&VpcId={vpc}");
    let group = text(&cloud.ok(account, &group), "groupId");
    let mut side = Side { account, vpc, subnet, table, acl, group, instance: String::new(), interface: String::new() };
    (side.instance, side.interface) = run(cloud, &side, &format!("10.{net}.1.10"));
    side
}

fn run(cloud: &mut Harness, side: &Side, address: &str) -> (String, String) {
    let made = cloud.ok(
        side.account,
        &format!(
            "Action=RunInstances&ImageId=ami-{UNKNOWN}&MinCount=1&MaxCount=1&SubnetId={}&SecurityGroupId.1={}&PrivateIpAddress={address}",
            side.subnet, side.group
        ),
    );
    (text(&made, "instanceId"), text(&made, "networkInterfaceId"))
}

fn two(owner: &'static str) -> Two {
    let mut cloud = Harness::new();
    cloud.config.quotas.vpcs = 20;
    let (a, b) = (side(&mut cloud, ALICE, "0"), side(&mut cloud, owner, "1"));
    let mut two = Two { cloud, a: a.clone(), b: b.clone(), pcx: String::new(), calls: 0 };
    two.pcx = two.peer(&a, &b);
    let pcx = format!("VpcPeeringConnectionId={}", two.pcx);
    two.route(&a, "10.1.0.0/16", &pcx);
    two.route(&b, "10.0.0.0/16", &pcx);
    two
}

impl Two {
    fn settle(&mut self) {
        for _ in 0..100 {
            let Harness { world, config, now } = &self.cloud;
            let mut changes = federation::deliver_here(world, config, *now);
            changes.extend(tick(world, config, *now));
            if changes.is_empty() {
                return;
            }
            self.cloud.world = self.cloud.world.apply(&changes);
        }
        panic!("the region does not come to rest");
    }

    fn peer(&mut self, from: &Side, to: &Side) -> String {
        let (vpc, peer, owner) = (&from.vpc, &to.vpc, to.account);
        let ask = format!("Action=CreateVpcPeeringConnection&VpcId={vpc}&PeerVpcId={peer}&PeerOwnerId={owner}");
        let pcx = text(&self.cloud.ok(from.account, &ask), "vpcPeeringConnectionId");
        self.settle();
        self.cloud.ok(to.account, &format!("Action=AcceptVpcPeeringConnection&VpcPeeringConnectionId={pcx}"));
        self.settle();
        pcx
    }

    fn route(&mut self, side: &Side, to: &str, target: &str) {
        let table = &side.table;
        self.cloud
            .ok(side.account, &format!("Action=CreateRoute&RouteTableId={table}&DestinationCidrBlock={to}&{target}"));
    }

    fn allow(&mut self, side: &Side, protocol: &str, ports: (u16, u16), from: &str) {
        let (group, (first, last)) = (&side.group, ports);
        self.cloud.ok(
            side.account,
            &format!(
                "Action=AuthorizeSecurityGroupIngress&GroupId={group}&IpPermissions.1.IpProtocol={protocol}\
                 &IpPermissions.1.FromPort={first}&IpPermissions.1.ToPort={last}&IpPermissions.1.IpRanges.1.CidrIp={from}"
            ),
        );
    }

    fn deny(&mut self, side: &Side, is_egress: bool, port: u16) {
        self.cloud.ok(
            side.account,
            &format!(
                "Action=CreateNetworkAclEntry&NetworkAclId={}&RuleNumber=7&Protocol=6&RuleAction=deny&Egress={is_egress}\
                 &CidrBlock=0.0.0.0/0&PortRange.From={port}&PortRange.To={port}",
                side.acl
            ),
        );
    }

    /// An Internet gateway for the side, with the default route to it.
    fn gateway(&mut self, side: &Side) -> String {
        let made = self.cloud.ok(side.account, "Action=CreateInternetGateway");
        let gateway = text(&made, "internetGatewayId");
        let attach = format!("Action=AttachInternetGateway&InternetGatewayId={gateway}&VpcId={}", side.vpc);
        self.cloud.ok(side.account, &attach);
        self.route(side, "0.0.0.0/0", &format!("GatewayId={gateway}"));
        gateway
    }

    fn public(&mut self, interface: &str) -> String {
        let made = self.cloud.ok(ALICE, "Action=AllocateAddress&Domain=vpc");
        let allocation = text(&made, "allocationId");
        let associate = format!("Action=AssociateAddress&AllocationId={allocation}&NetworkInterfaceId={interface}");
        self.cloud.ok(ALICE, &associate);
        text(&made, "publicIp")
    }

    /// What a scope of these paths finds now.
    fn ask(&mut self, paths: &str) -> Seen {
        self.ask_as(ALICE, paths)
    }

    fn ask_as(&mut self, account: &str, paths: &str) -> Seen {
        self.calls += 1;
        let token = self.calls;
        let create = format!("Action=CreateNetworkInsightsAccessScope&ClientToken={token}&{paths}");
        let scope = text(&self.cloud.ok(account, &create), "networkInsightsAccessScopeId");
        let action = "StartNetworkInsightsAccessScopeAnalysis";
        let start = format!("Action={action}&ClientToken={token}&NetworkInsightsAccessScopeId={scope}");
        let id = text(&self.cloud.ok(account, &start), "networkInsightsAccessScopeAnalysisId");
        let describe = "DescribeNetworkInsightsAccessScopeAnalyses";
        let analysis =
            self.cloud.ok(account, &format!("Action={describe}&NetworkInsightsAccessScopeAnalysisId.1={id}"));
        let findings = "GetNetworkInsightsAccessScopeAnalysisFindings";
        let findings = self.cloud.ok(account, &format!("Action={findings}&NetworkInsightsAccessScopeAnalysisId={id}"));
        Seen { id, analysis, findings }
    }
}

/// An analysis as it is shown.
struct Seen {
    id: String,
    analysis: String,
    findings: String,
}

impl Seen {
    /// Each finding's first and last interface or gateway or peering, protocol, and destination ports.
    fn short(&self) -> BTreeSet<String> {
        let is_end = |id: &&String| ["eni-", "igw-", "pcx-"].iter().any(|prefix| id.starts_with(prefix));
        let finding = |item: roxmltree::Node<'_, '_>| {
            let ids = ids(item);
            let (first, last) = (ids.iter().find(is_end).unwrap(), ids.iter().rfind(is_end).unwrap());
            let text = |node: Option<roxmltree::Node<'_, '_>>| node.unwrap().text().unwrap().to_owned();
            let named = |name: &str, within: roxmltree::Node<'_, '_>| {
                within
                    .children()
                    .find(|node| node.tag_name().name() == name)
                    .and_then(|node| node.text())
                    .unwrap()
                    .to_owned()
            };
            let protocol = item.descendants().filter(|node| {
                node.tag_name().name() == "protocol"
                    && node.parent().is_some_and(|header| header.tag_name().name().ends_with("boundHeader"))
            });
            let ports = item.descendants().find(|node| node.tag_name().name() == "destinationPortRangeSet").unwrap();
            let ports: Vec<String> =
                ports.children().map(|range| format!("{}-{}", named("from", range), named("to", range))).collect();
            format!("{first} {last} {} {}", text(protocol.into_iter().next()), ports.join(","))
        };
        assert_eq!(text(&self.analysis, "status"), "succeeded", "{}", self.analysis);
        let document = roxmltree::Document::parse(&self.findings).unwrap();
        let items = items(&document);
        let found: BTreeSet<String> = items.iter().map(|item| finding(*item)).collect();
        let expected = if items.is_empty() { "false" } else { "true" };
        assert_eq!(text(&self.analysis, "findingsFound"), expected, "{}", self.analysis);
        assert_eq!(found.len(), items.len(), "a finding is there twice: {}", self.findings);
        found
    }

    /// The components of the only finding.
    fn components(&self) -> Vec<String> {
        let document = roxmltree::Document::parse(&self.findings).unwrap();
        let items = items(&document);
        assert_eq!(items.len(), 1, "{}", self.findings);
        ids(items[0])
    }

    fn failure(&self) -> String {
        assert_eq!(text(&self.analysis, "status"), "failed", "{}", self.analysis);
        assert_eq!(text(&self.analysis, "findingsFound"), "unknown");
        assert_eq!(text(&self.findings, "analysisStatus"), "failed");
        assert_eq!(texts(&self.findings, "findingId").len(), 0);
        text(&self.analysis, "statusMessage")
    }
}

fn items<'d, 'i>(document: &'d roxmltree::Document<'i>) -> Vec<roxmltree::Node<'d, 'i>> {
    let set = document.descendants().find(|node| node.tag_name().name() == "analysisFindingSet").unwrap();
    set.children().collect()
}

fn ids(finding: roxmltree::Node<'_, '_>) -> Vec<String> {
    let set = finding.children().find(|node| node.tag_name().name() == "findingComponentSet").unwrap();
    let component = |item: roxmltree::Node<'_, '_>| {
        let found = item.children().find(|node| node.tag_name().name() == "component").unwrap();
        found.children().find(|node| node.tag_name().name() == "id").unwrap().text().unwrap().to_owned()
    };
    set.children().map(component).collect()
}

fn set<const N: usize>(findings: [String; N]) -> BTreeSet<String> {
    BTreeSet::from(findings)
}

fn source(list: &str, resource: &str) -> String {
    format!("{list}.Source.ResourceStatement.Resource.1={resource}")
}

fn destination(list: &str, resource: &str) -> String {
    format!("{list}.Destination.ResourceStatement.Resource.1={resource}")
}

/// From and to network interfaces, whichever.
const ANY: &str = "MatchPath.1.Source.ResourceStatement.ResourceType.1=AWS::EC2::NetworkInterface\
                   &MatchPath.1.Destination.ResourceStatement.ResourceType.1=AWS::EC2::NetworkInterface";

const NOBODY: [String; 0] = [];

#[test]
fn a_way_that_the_rules_permit_is_a_finding() {
    let mut two = two(ALICE);
    let (a, b, pcx) = (two.a.clone(), two.b.clone(), two.pcx.clone());
    assert_eq!(two.ask(ANY).short(), set(NOBODY), "no group lets anything in");
    two.allow(&b, "tcp", (80, 90), "10.0.0.0/16");
    let seen = two.ask(ANY);
    assert_eq!(seen.short(), set([format!("{} {} 6 80-90", a.interface, b.interface)]));
    assert_eq!(
        seen.components(),
        [&a.instance, &a.interface, &a.group, &a.acl, &a.table, &pcx, &b.acl, &b.group, &b.interface, &b.instance]
            .map(Clone::clone)
    );
    let shown = |name: &str| text(&seen.findings, name);
    assert_eq!(shown("findingId"), "AnalysisFinding-1");
    assert_eq!(shown("analysisStatus"), "succeeded");
    assert_eq!(texts(&seen.findings, "networkInsightsAccessScopeAnalysisId"), [seen.id.clone(), seen.id.clone()]);
    assert_eq!(shown("networkInsightsAccessScopeId"), text(&seen.analysis, "networkInsightsAccessScopeId"));
    assert_eq!(texts(&seen.findings, "sequenceNumber"), (1..=10).map(|n| n.to_string()).collect::<Vec<_>>());
    assert!(
        seen.findings.contains("<sourcePortRangeSet><item><from>0</from><to>65535</to></item></sourcePortRangeSet>")
    );
    assert!(seen.findings.contains("10.1.1.10/32"), "{}", seen.findings);
    assert_eq!(text(&seen.analysis, "analyzedEniCount"), "2");
    // The rules of an ACL count, of each side, and divide the ports.
    two.deny(&a, true, 85);
    assert_eq!(two.ask(ANY).short(), set([format!("{} {} 6 80-84,86-90", a.interface, b.interface)]));
    two.deny(&b, false, 90);
    assert_eq!(two.ask(ANY).short(), set([format!("{} {} 6 80-84,86-89", a.interface, b.interface)]));
    // One way counts: that nothing comes home is no matter.
    let unroute = format!("Action=DeleteRoute&RouteTableId={}&DestinationCidrBlock=10.0.0.0/16", b.table);
    two.cloud.ok(ALICE, &unroute);
    assert_eq!(two.ask(ANY).short().len(), 1);
    // An analysis is of its moment.
    two.cloud.ok(ALICE, &format!("Action=DeleteVpcPeeringConnection&VpcPeeringConnectionId={pcx}"));
    two.settle();
    let again = "GetNetworkInsightsAccessScopeAnalysisFindings";
    let again = format!("Action={again}&NetworkInsightsAccessScopeAnalysisId={}", seen.id);
    assert_eq!(two.cloud.ok(ALICE, &again), seen.findings);
    assert_eq!(two.ask(ANY).short(), set(NOBODY));
}

#[test]
fn each_protocol_and_each_rule_is_a_way_of_its_own() {
    let mut two = two(ALICE);
    let (a, b) = (two.a.clone(), two.b.clone());
    two.allow(&b, "tcp", (80, 80), "10.0.0.0/16");
    two.allow(&b, "tcp", (443, 443), "10.0.0.0/16");
    two.allow(&b, "udp", (53, 53), "10.0.0.0/16");
    let way = |rest: &str| format!("{} {} {rest}", a.interface, b.interface);
    let seen = two.ask(ANY);
    assert_eq!(seen.short(), set([way("6 80-80"), way("6 443-443"), way("17 53-53")]));
    assert_eq!(texts(&seen.findings, "findingId"), ["AnalysisFinding-1", "AnalysisFinding-2", "AnalysisFinding-3"]);
    // Page by page the same, and a token is for its own analysis only.
    let other = two.ask(ANY);
    let page = |id: &str, token: &str| {
        let action = "GetNetworkInsightsAccessScopeAnalysisFindings";
        format!("Action={action}&NetworkInsightsAccessScopeAnalysisId={id}&MaxResults=2{token}")
    };
    let first = two.cloud.ok(ALICE, &page(&seen.id, ""));
    let token = format!("&NextToken={}", text(&first, "nextToken"));
    let rest = two.cloud.ok(ALICE, &page(&seen.id, &token));
    assert_eq!(texts(&first, "findingId"), ["AnalysisFinding-1", "AnalysisFinding-2"]);
    assert_eq!((texts(&rest, "findingId"), texts(&rest, "nextToken").len()), (vec!["AnalysisFinding-3".into()], 0));
    assert_eq!(two.cloud.code(ALICE, &page(&other.id, &token)), "InvalidNextToken");
    let exclude = |port: &str| format!("{ANY}&ExcludePath.1.Destination.PacketHeaderStatement.{port}");
    assert_eq!(two.ask(&exclude("DestinationPort.1=443")).short(), set([way("6 80-80"), way("17 53-53")]));
    assert_eq!(two.ask(&exclude("Protocol.1=tcp")).short(), set([way("17 53-53")]));
    let only = |at: &str, rest: &str| format!("{ANY}&MatchPath.1.{at}.PacketHeaderStatement.{rest}");
    assert_eq!(two.ask(&only("Source", "Protocol.1=udp")).short(), set([way("17 53-53")]));
    assert_eq!(two.ask(&only("Source", "DestinationPort.1=400-500")).short(), set([way("6 443-443")]));
    assert_eq!(two.ask(&only("Destination", "DestinationPort.1=80")).short(), set([way("6 80-80")]));
}

#[test]
fn statements_tell_packets_apart_that_no_rule_does() {
    let mut two = two(ALICE);
    let (a, b) = (two.a.clone(), two.b.clone());
    two.allow(&b, "tcp", (1000, 2000), "10.0.0.0/16");
    let way = |ports: &str| set([format!("{} {} 6 {ports}", a.interface, b.interface)]);
    let header = |list: &str, rest: &str| format!("{list}.PacketHeaderStatement.{rest}");
    let asked = |paths: &[String]| format!("{ANY}&{}", paths.join("&"));
    let within = asked(&[header("MatchPath.1.Source", "DestinationPort.1=1500-3000")]);
    assert_eq!(two.ask(&within).short(), way("1500-2000"));
    let without = asked(&[header("ExcludePath.1.Destination", "DestinationPort.1=1200-1300")]);
    assert_eq!(two.ask(&without).short(), way("1000-1199,1301-2000"));
    let sources = asked(&[header("MatchPath.1.Source", "SourcePort.1=1024-4000")]);
    let seen = two.ask(&sources);
    assert_eq!(seen.short(), way("1000-2000"));
    assert!(
        seen.findings.contains("<sourcePortRangeSet><item><from>1024</from><to>4000</to></item></sourcePortRangeSet>")
    );
    let none =
        asked(&[header("MatchPath.1.Source", "SourcePort.1=7"), header("ExcludePath.1.Source", "SourcePort.1=0-9")]);
    assert_eq!(two.ask(&none).short(), set(NOBODY));
    for (rest, is_found) in [
        ("SourceAddress.1=10.0.0.0/16", true),
        ("SourceAddress.1=10.0.1.10", true),
        ("SourceAddress.1=10.0.1.11&MatchPath.1.Source.PacketHeaderStatement.SourceAddress.2=10.0.1.10", true),
        ("SourceAddress.1=10.0.1.11", false),
        ("DestinationAddress.1=10.1.1.10", true),
        ("DestinationAddress.1=10.1.1.11", false),
    ] {
        let seen = two.ask(&asked(&[header("MatchPath.1.Source", rest)])).short();
        assert_eq!(seen.len(), usize::from(is_found), "{rest}");
    }
    // A list of blocks, by id or by ARN.
    let list =
        "Action=CreateManagedPrefixList&PrefixListName=l&AddressFamily=IPv4&MaxEntries=5&Entry.1.Cidr=10.0.1.0/24";
    let list = text(&two.cloud.ok(ALICE, list), "prefixListId");
    let arn = format!("arn:aws:ec2:us-east-1:{ALICE}:prefix-list/{list}");
    for (rest, is_found) in [
        (format!("SourcePrefixList.1={list}"), true),
        (format!("SourcePrefixList.1={arn}"), true),
        (format!("DestinationPrefixList.1={list}"), false),
    ] {
        let seen = two.ask(&asked(&[header("MatchPath.1.Source", &rest)])).short();
        assert_eq!(seen.len(), usize::from(is_found), "{rest}");
    }
    for list in [format!("pl-{UNKNOWN}"), arn.replace(ALICE, BOB), arn.replace("us-east-1", "eu-west-1")] {
        let failure = two.ask(&asked(&[header("MatchPath.1.Source", &format!("SourcePrefixList.1={list}"))])).failure();
        assert!(failure.contains(&format!("missing component {list}")), "{failure}");
    }
}

#[test]
fn ends_are_meant_by_what_they_belong_to() {
    let mut two = two(ALICE);
    let (a, b) = (two.a.clone(), two.b.clone());
    two.allow(&a, "tcp", (22, 22), "10.0.0.0/8");
    two.allow(&b, "tcp", (22, 22), "10.0.0.0/8");
    let (_, third) = run(&mut two.cloud, &a, "10.0.1.11");
    let way = |from: &str, to: &str| format!("{from} {to} 6 22-22");
    let (to_b, between) = (
        [way(&a.interface, &b.interface), way(&third, &b.interface)],
        [way(&a.interface, &third), way(&third, &a.interface)],
    );
    let back = [way(&b.interface, &a.interface), way(&b.interface, &third)];
    let all: BTreeSet<String> = [&to_b[..], &between, &back].concat().into_iter().collect();
    assert_eq!(two.ask(ANY).short(), all);
    assert_eq!(two.ask(&source("MatchPath.1", &a.vpc)).short(), [&to_b[..], &between].concat().into_iter().collect());
    for resource in [&b.vpc, &b.subnet, &b.group, &b.instance, &b.interface] {
        assert_eq!(two.ask(&destination("MatchPath.1", resource)).short(), set(to_b.clone()), "{resource}");
        assert_eq!(two.ask(&source("MatchPath.1", resource)).short(), set(back.clone()), "{resource}");
        let both = format!("{}&{}", source("MatchPath.1", &a.interface), destination("MatchPath.1", resource));
        assert_eq!(two.ask(&both).short(), set([to_b[0].clone()]), "{resource}");
        let excluded = format!("{ANY}&{}", destination("ExcludePath.1", resource));
        assert_eq!(two.ask(&excluded).short(), [&between[..], &back].concat().into_iter().collect(), "{resource}");
    }
    let arn = format!("arn:aws:ec2:us-east-1:{ALICE}:vpc/{}", b.vpc);
    assert_eq!(two.ask(&destination("MatchPath.1", &arn)).short(), set(to_b.clone()));
    // An exclude path leaves out what all of it says, no more.
    let one = format!("{ANY}&{}&{}", source("ExcludePath.1", &third), destination("ExcludePath.1", &b.vpc));
    let mut rest = all.clone();
    rest.remove(&to_b[1]);
    assert_eq!(two.ask(&one).short(), rest);
    // Each match path adds.
    let several = format!("{}&{}", source("MatchPath.1", &b.vpc), destination("MatchPath.2", &b.vpc));
    assert_eq!(two.ask(&several).short(), [&to_b[..], &back].concat().into_iter().collect());
    for (kind, found) in
        [("Instance", 6), ("Subnet", 6), ("VPC", 6), ("SecurityGroup", 6), ("TransitGatewayAttachment", 0)]
    {
        let query = format!("MatchPath.1.Source.ResourceStatement.ResourceType.1=AWS::EC2::{kind}");
        assert_eq!(two.ask(&query).short().len(), found, "{kind}");
    }
}

#[test]
fn what_is_not_there_fails_the_analysis() {
    let mut two = two(BOB);
    let (a, b) = (two.a.clone(), two.b.clone());
    for resource in [
        format!("vpc-{UNKNOWN}"),
        format!("tgw-attach-{UNKNOWN}"),
        // Another account's reads as unknown, by ARN too.
        b.vpc.clone(),
        b.interface.clone(),
        format!("arn:aws:ec2:us-east-1:{BOB}:vpc/{}", b.vpc),
        format!("arn:aws:ec2:us-east-1:{BOB}:vpc/{}", a.vpc),
        format!("arn:aws:ec2:eu-west-1:{ALICE}:vpc/{}", a.vpc),
        format!("arn:aws:resource-groups:us-east-1:{ALICE}:group/bastions"),
    ] {
        let failure = two.ask(&source("MatchPath.1", &resource)).failure();
        assert_eq!(
            failure,
            format!(
                "The request failed due to missing component {resource}: you have no such resource in this region. \
                 Create a scope that names one that is there"
            )
        );
        let excluded = format!("{ANY}&{}", destination("ExcludePath.1", &resource));
        assert!(two.ask(&excluded).failure().contains(&resource));
    }
    let through = format!("{ANY}&ExcludePath.1.ThroughResource.1.ResourceStatement.Resource.1=nat-{UNKNOWN}");
    assert!(two.ask(&through).failure().contains("nat-"));
}

#[test]
fn another_accounts_side_is_no_end() {
    let mut two = two(BOB);
    let (a, b, pcx) = (two.a.clone(), two.b.clone(), two.pcx.clone());
    two.allow(&a, "tcp", (22, 22), "10.0.0.0/8");
    two.allow(&b, "tcp", (22, 22), "10.0.0.0/8");
    let seen = two.ask(ANY);
    assert_eq!((seen.short(), text(&seen.analysis, "analyzedEniCount")), (set(NOBODY), "1".into()));
    // The path ends at the peering: what is behind it is its owner's.
    let seen = two.ask(&source("MatchPath.1", &a.vpc));
    let ways = set(["6", "17"].map(|protocol| format!("{} {pcx} {protocol} 0-65535", a.interface)));
    assert_eq!(seen.short(), ways);
    for theirs in [&b.vpc, &b.subnet, &b.group, &b.instance, &b.interface, &b.table, &b.acl] {
        let named = |id: &String| seen.findings.contains(id.as_str());
        // The peering's component says whose VPC is at its other end, as in an analysis of a path.
        assert!(!named(theirs) || *theirs == b.vpc, "{theirs}: {}", seen.findings);
    }
    assert!(!seen.findings.contains("10.1.1.10"), "{}", seen.findings);
    let theirs = two.ask_as(BOB, &source("MatchPath.1", &b.vpc));
    assert_eq!(theirs.short().len(), 2);
    assert!(!theirs.findings.contains(&a.interface));
}

#[test]
fn a_path_ends_at_a_peering_that_is_named() {
    let mut two = two(ALICE);
    let (a, b, pcx) = (two.a.clone(), two.b.clone(), two.pcx.clone());
    // Within the account a path goes on to whom it is for.
    assert_eq!(two.ask(&source("MatchPath.1", &a.vpc)).short(), set(NOBODY));
    let into = |more: &str| format!("{}&{}{more}", source("MatchPath.1", &a.vpc), destination("MatchPath.1", &pcx));
    let way = |protocol: &str, ports: &str| format!("{} {pcx} {protocol} {ports}", a.interface);
    let both = set([way("6", "0-65535"), way("17", "0-65535")]);
    assert_eq!(two.ask(&into("")).short(), both);
    let kind = "MatchPath.1.Destination.ResourceStatement.ResourceType.1=AWS::EC2::VPCPeeringConnection";
    assert_eq!(two.ask(&format!("{}&{kind}", source("MatchPath.1", &a.vpc))).short(), both);
    let tcp = two.ask(&into("&MatchPath.1.Source.PacketHeaderStatement.Protocol.1=tcp"));
    assert_eq!(tcp.components(), [&a.instance, &a.interface, &a.group, &a.acl, &a.table, &pcx].map(Clone::clone));
    // Rules that tell the peer's addresses apart are tried each: one address that gets in is enough.
    let revoke = format!(
        "Action=RevokeSecurityGroupEgress&GroupId={}&IpPermissions.1.IpProtocol=-1&IpPermissions.1.IpRanges.1.CidrIp=0.0.0.0/0",
        a.group
    );
    two.cloud.ok(ALICE, &revoke);
    assert_eq!(two.ask(&into("")).short(), set(NOBODY));
    let one = format!(
        "Action=AuthorizeSecurityGroupEgress&GroupId={}&IpPermissions.1.IpProtocol=tcp&IpPermissions.1.FromPort=443\
         &IpPermissions.1.ToPort=443&IpPermissions.1.IpRanges.1.CidrIp=10.1.200.0/24",
        a.group
    );
    two.cloud.ok(ALICE, &one);
    assert_eq!(two.ask(&into("")).short(), set([way("6", "443-443")]));
    let excluded = "&ExcludePath.1.Destination.PacketHeaderStatement.DestinationAddress.1";
    assert_eq!(two.ask(&into(&format!("{excluded}=10.1.200.0/25"))).short().len(), 1, "the other half is left");
    assert_eq!(two.ask(&into(&format!("{excluded}=10.1.200.0/24"))).short(), set(NOBODY));
    // What comes out of it cannot be said: then nothing found is not nothing there.
    let seen = two.ask(&format!("{}&{}", source("MatchPath.1", &pcx), destination("MatchPath.1", &b.vpc)));
    assert_eq!(
        (text(&seen.analysis, "status"), text(&seen.analysis, "findingsFound")),
        ("succeeded".into(), "unknown".into())
    );
    assert!(text(&seen.analysis, "warningMessage").contains("not analysed from there"), "{}", seen.analysis);
}

#[test]
fn who_gets_in_from_the_internet() {
    let mut two = two(ALICE);
    let a = two.a.clone();
    let gateway = two.gateway(&a);
    let kind = |list: &str| format!("{list}.ResourceStatement.ResourceType.1=AWS::EC2::InternetGateway");
    let into = kind("MatchPath.1.Source");
    assert_eq!(two.ask(&into).short(), set(NOBODY), "nobody has a public address");
    let public = two.public(&a.interface);
    assert_eq!(two.ask(&into).short(), set(NOBODY), "the group lets nobody in");
    two.allow(&a, "tcp", (22, 22), "198.51.100.0/24");
    let way = |ports: &str| set([format!("{gateway} {} 6 {ports}", a.interface)]);
    let seen = two.ask(&into);
    assert_eq!(seen.short(), way("22-22"));
    assert_eq!(seen.components(), [&gateway, &a.acl, &a.group, &a.interface, &a.instance].map(Clone::clone));
    assert!(seen.findings.contains(&format!("{public}/32")) && seen.findings.contains("198.51.100."));
    assert_eq!(two.ask(&source("MatchPath.1", &gateway)).short(), way("22-22"));
    // The trusted range is left out: all of it, a part of it, or another one.
    let except = |block: &str| format!("{into}&ExcludePath.1.Source.PacketHeaderStatement.SourceAddress.1={block}");
    assert_eq!(two.ask(&except("198.51.100.0/24")).short(), set(NOBODY));
    assert_eq!(two.ask(&except("198.51.100.0/25")).short(), way("22-22"));
    assert_eq!(two.ask(&except("55.3.0.0/16")).short(), way("22-22"));
    // The receiver's address, before and behind the gateway.
    for (address, is_found) in [(public.as_str(), true), ("10.0.1.10", true), ("10.0.1.11", false)] {
        let to = format!("{into}&MatchPath.1.Source.PacketHeaderStatement.DestinationAddress.1={address}");
        assert_eq!(two.ask(&to).short().len(), usize::from(is_found), "{address}");
    }
    // What rules tell apart elsewhere is one way here.
    two.allow(&a, "tcp", (80, 80), "0.0.0.0/0");
    assert_eq!(two.ask(&into).short(), way("22-22").into_iter().chain(way("80-80")).collect());
    // The other VPC's interfaces are not behind this gateway.
    let b = two.b.clone();
    assert_eq!(two.ask(&format!("{into}&{}", destination("MatchPath.1", &b.vpc))).short(), set(NOBODY));
}

#[test]
fn who_gets_out_to_the_internet_and_through_what() {
    let mut two = two(ALICE);
    let a = two.a.clone();
    let gateway = two.gateway(&a);
    let out = format!(
        "MatchPath.1.Destination.ResourceStatement.ResourceType.1=AWS::EC2::InternetGateway\
         &MatchPath.1.Source.PacketHeaderStatement.Protocol.1=tcp&{}",
        "MatchPath.1.Source.PacketHeaderStatement.DestinationPort.1=443"
    );
    assert_eq!(two.ask(&out).short(), set(NOBODY));
    let public = two.public(&a.interface);
    // What rules tell apart elsewhere is one way here.
    two.allow(&a, "tcp", (22, 22), "55.3.0.0/16");
    let way = |from: &str| format!("{from} {gateway} 6 443-443");
    let seen = two.ask(&out);
    assert_eq!(seen.short(), set([way(&a.interface)]));
    assert_eq!(seen.components(), [&a.instance, &a.interface, &a.group, &a.acl, &a.table, &gateway].map(Clone::clone));
    for (at, address, is_found) in [
        ("Source", "10.0.1.10", true),
        ("Source", public.as_str(), false),
        ("Destination", "10.0.1.10", true),
        ("Destination", public.as_str(), true),
    ] {
        let from = format!("{out}&MatchPath.2.{at}.PacketHeaderStatement.SourceAddress.1={address}");
        let from = from.replace("MatchPath.1.Destination.Res", "MatchPath.2.Destination.Res");
        let from = from.replace("MatchPath.1.Source", "MatchPath.2.Source").replace("MatchPath.2", "MatchPath.1");
        assert_eq!(two.ask(&from).short().len(), usize::from(is_found), "{at} {address}");
    }
    // A private subnet behind a NAT gateway, whose own interface is no end.
    let private = things::subnet(&mut two.cloud, ALICE, &a.vpc, "10.0.2.0/24");
    let made = two.cloud.ok(ALICE, "Action=AllocateAddress&Domain=vpc");
    let allocation = text(&made, "allocationId");
    let nat = format!("Action=CreateNatGateway&SubnetId={}&AllocationId={allocation}", a.subnet);
    let nat = text(&two.cloud.ok(ALICE, &nat), "natGatewayId");
    let table = things::table(&mut two.cloud, ALICE, &a.vpc);
    let associate = format!("Action=AssociateRouteTable&RouteTableId={table}&SubnetId={private}");
    two.cloud.ok(ALICE, &associate);
    let behind = Side { subnet: private, table, ..a.clone() };
    two.route(&behind, "0.0.0.0/0", &format!("NatGatewayId={nat}"));
    let (_, hidden) = run(&mut two.cloud, &behind, "10.0.2.10");
    assert_eq!(two.ask(&out).short(), set([way(&a.interface), way(&hidden)]));
    let through = "ThroughResource.1.ResourceStatement";
    for nats in [format!("Resource.1={nat}"), "ResourceType.1=AWS::EC2::NatGateway".into()] {
        assert_eq!(two.ask(&format!("{out}&ExcludePath.1.{through}.{nats}")).short(), set([way(&a.interface)]));
        assert_eq!(two.ask(&format!("{out}&MatchPath.1.{through}.{nats}")).short(), set([way(&hidden)]));
    }
    let peerings = "ResourceType.1=AWS::EC2::VPCPeeringConnection";
    assert_eq!(two.ask(&format!("{out}&ExcludePath.1.{through}.{peerings}")).short().len(), 2);
}

#[test]
fn a_path_through_a_peering_can_be_left_out() {
    let mut two = two(ALICE);
    let (a, b, pcx) = (two.a.clone(), two.b.clone(), two.pcx.clone());
    two.allow(&b, "tcp", (22, 22), "10.0.0.0/8");
    let (_, third) = run(&mut two.cloud, &b, "10.1.1.11");
    assert_eq!(two.ask(&destination("MatchPath.1", &third)).short().len(), 2);
    let through = "ExcludePath.1.ThroughResource.1.ResourceStatement.Resource.1";
    let near = two.ask(&format!("{}&{through}={pcx}", destination("MatchPath.1", &third)));
    assert_eq!(near.short(), set([format!("{} {third} 6 22-22", b.interface)]));
    assert!(!near.findings.contains(&a.interface));
}

#[test]
fn a_middlebox_is_on_the_way_with_its_own_groups() {
    let mut two = two(ALICE);
    let a = two.a.clone();
    // 10.0.2.10 to 10.0.1.10 by way of an instance in between, whose group lets port 80 of 80 to 81 through.
    let (left, middle) =
        ["10.0.2.0/24", "10.0.3.0/24"].map(|block| things::subnet(&mut two.cloud, ALICE, &a.vpc, block)).into();
    let table = things::table(&mut two.cloud, ALICE, &a.vpc);
    two.cloud.ok(ALICE, &format!("Action=AssociateRouteTable&RouteTableId={table}&SubnetId={left}"));
    let group = format!("Action=CreateSecurityGroup&GroupName=m&GroupDescription=d&VpcId={}", a.vpc);
    let group = text(&two.cloud.ok(ALICE, &group), "groupId");
    let between = Side { subnet: middle, group, ..a.clone() };
    let (_, middlebox) = run(&mut two.cloud, &between, "10.0.3.10");
    let attribute = "Action=ModifyNetworkInterfaceAttribute";
    two.cloud.ok(ALICE, &format!("{attribute}&NetworkInterfaceId={middlebox}&SourceDestCheck.Value=false"));
    let sender = Side { subnet: left, table, ..a.clone() };
    let (_, from) = run(&mut two.cloud, &sender, "10.0.2.10");
    two.route(&sender, "10.0.1.0/24", &format!("NetworkInterfaceId={middlebox}"));
    two.allow(&a, "tcp", (80, 81), "10.0.2.10/32");
    two.allow(&between, "tcp", (80, 80), "10.0.2.10/32");
    let seen = two.ask(&format!("{}&{}", source("MatchPath.1", &from), destination("MatchPath.1", &a.interface)));
    assert_eq!(seen.short(), set([format!("{from} {} 6 80-80", a.interface)]));
    assert!(seen.components().contains(&middlebox));
}

#[test]
fn each_address_of_an_interface_is_tried() {
    let mut two = two(ALICE);
    let (a, b) = (two.a.clone(), two.b.clone());
    for (interface, address) in [(&a.interface, "10.0.1.77"), (&b.interface, "10.1.1.77")] {
        let assign = "Action=AssignPrivateIpAddresses";
        two.cloud.ok(ALICE, &format!("{assign}&NetworkInterfaceId={interface}&PrivateIpAddress.1={address}"));
    }
    two.allow(&b, "tcp", (22, 22), "10.0.1.77/32");
    let seen = two.ask(ANY);
    assert_eq!(seen.short(), set([format!("{} {} 6 22-22", a.interface, b.interface)]));
    assert!(seen.findings.contains("10.0.1.77/32"));
    let to =
        |address: &str| format!("{ANY}&MatchPath.1.Destination.PacketHeaderStatement.DestinationAddress.1={address}");
    assert_eq!(two.ask(&to("10.1.1.77")).short().len(), 1);
    assert_eq!(two.ask(&to("10.1.1.78")).short().len(), 0);
}

#[test]
fn interfaces_that_carry_nothing_are_no_findings() {
    let mut two = two(ALICE);
    let (a, b) = (two.a.clone(), two.b.clone());
    two.allow(&b, "tcp", (22, 22), "10.0.0.0/8");
    assert_eq!(two.ask(ANY).short().len(), 1);
    two.cloud.ok(ALICE, &format!("Action=StopInstances&InstanceId.1={}", a.instance));
    two.settle();
    assert_eq!(two.ask(ANY).short(), set(NOBODY));
}

#[test]
fn pairs_are_bounded() {
    let mut two = two(ALICE);
    let a = two.a.clone();
    for n in 0..128_u32 {
        let address = format!("10.0.{}.{}", 2 + n / 200, 1 + n % 200);
        things::interface(&mut two.cloud, &a.subnet, &address, None);
    }
    let within = format!("{}&{}", source("MatchPath.1", &a.vpc), destination("MatchPath.1", &a.vpc));
    let failure = two.ask(&within).failure();
    assert!(failure.contains("16641 pairs") && failure.contains("at most 16384") && failure.contains("several scopes"));
    // Named sources or destinations are the way out.
    let narrow = format!("{}&{}", source("MatchPath.1", &a.interface), destination("MatchPath.1", &a.vpc));
    assert_eq!(two.ask(&narrow).short(), set(NOBODY));
}

#[test]
fn packets_are_bounded() {
    let mut two = two(ALICE);
    let (a, b) = (two.a.clone(), two.b.clone());
    two.allow(&b, "tcp", (0, 65535), "10.0.0.0/8");
    let ports = |name: &str| -> String {
        let port = |n: usize| format!("&ExcludePath.1.Source.PacketHeaderStatement.{name}.{n}={}", n * 4);
        (1..=240).map(port).collect()
    };
    let many = format!("{}{}{}", source("MatchPath.1", &a.vpc), ports("SourcePort"), ports("DestinationPort"));
    let failure = two.ask(&format!("{many}&{}", destination("MatchPath.1", &b.vpc))).failure();
    assert!(failure.contains("more than 65536 packets") && failure.contains("several scopes"), "{failure}");
    let one =
        format!("{}{}&{}", source("MatchPath.1", &a.vpc), ports("SourcePort"), destination("MatchPath.1", &b.vpc));
    assert_eq!(text(&two.ask(&one).analysis, "status"), "succeeded");
}

#[test]
fn interfaces_of_the_vpcs_are_bounded() {
    let mut two = two(ALICE);
    let (a, b) = (two.a.clone(), two.b.clone());
    for n in 0..2500_u32 {
        let address = |net: u32| format!("10.{net}.{}.{}", 2 + n / 200, 1 + n % 200);
        things::interface(&mut two.cloud, &a.subnet, &address(0), None);
        things::interface(&mut two.cloud, &b.subnet, &address(1), None);
    }
    let one = |from: &Side, to: &Side| {
        format!("{}&{}", source("MatchPath.1", &from.interface), destination("MatchPath.1", &to.interface))
    };
    let both = format!("{}&{}", one(&a, &b), one(&b, &a).replace("MatchPath.1", "MatchPath.2"));
    let failure = two.ask(&both).failure();
    assert!(failure.contains("10004 network interfaces") && failure.contains("at most 10000"), "{failure}");
    assert_eq!(two.ask(&one(&a, &b)).short(), set(NOBODY));
}

#[test]
fn findings_are_bounded_and_it_is_said() {
    let mut two = two(ALICE);
    let a = two.a.clone();
    two.allow(&a, "tcp", (0, 65535), "10.0.0.0/8");
    for n in 11..31 {
        run(&mut two.cloud, &a, &format!("10.0.1.{n}"));
    }
    let seen = two.ask(&source("MatchPath.1", &a.vpc));
    assert_eq!([text(&seen.analysis, "status"), text(&seen.analysis, "findingsFound")], ["succeeded", "true"]);
    assert!(text(&seen.analysis, "warningMessage").contains("more findings than one analysis keeps"));
    let kept = texts(&seen.findings, "findingId").len();
    assert!((50..420).contains(&kept), "{kept}");
    let record = two.cloud.world.network_insights_access_scope_analyses.values().next().unwrap();
    assert!(serde_json::to_vec(&**record).unwrap().len() < 513 * 1024);
}

#[test]
fn too_many_classes_of_addresses_are_said() {
    let mut two = two(ALICE);
    let a = two.a.clone();
    two.gateway(&a);
    two.public(&a.interface);
    let blocks: String = (1..=70)
        .map(|n| format!("&ExcludePath.1.Source.PacketHeaderStatement.SourceAddress.{n}=55.{n}.0.0/16"))
        .collect();
    let seen = two.ask(&format!(
        "MatchPath.1.Source.ResourceStatement.ResourceType.1=AWS::EC2::InternetGateway\
         &ExcludePath.1.Destination.PacketHeaderStatement.DestinationPort.1=1{blocks}"
    ));
    assert_eq!([text(&seen.analysis, "status"), text(&seen.analysis, "findingsFound")], ["succeeded", "unknown"]);
    assert!(text(&seen.analysis, "warningMessage").contains("too many addresses apart"), "{}", seen.analysis);
}
