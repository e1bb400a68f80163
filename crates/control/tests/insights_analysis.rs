//! Network Insights analyses through the API (spec 12.2): every explanation from a configuration that has the fault, and the
//! components of a way that is open.

mod common;
mod things;

use std::collections::BTreeMap;

use common::*;
use control::{federation, tick};
use model::*;
use things::{UNKNOWN, put};

/// Alice's client 10.0.1.10 and somebody's web server 10.1.1.20, in two VPCs that are peered and routed, with groups that let
/// them talk on port 80.
struct Pair {
    cloud: Harness,
    client: Side,
    web: Side,
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

fn side(cloud: &mut Harness, account: &'static str, net: &str, host: u8) -> Side {
    let vpc = things::vpc(cloud, account, &format!("10.{net}.0.0/16"));
    let subnet = things::subnet(cloud, account, &vpc, &format!("10.{net}.1.0/24"));
    let of_vpc = |cloud: &mut Harness, action: &str, id: &str| {
        text(&cloud.ok(account, &format!("Action={action}&Filter.1.Name=vpc-id&Filter.1.Value.1={vpc}")), id)
    };
    let table = of_vpc(cloud, "DescribeRouteTables", "routeTableId");
    let acl = of_vpc(cloud, "DescribeNetworkAcls", "networkAclId");
    let group = format!("Action=CreateSecurityGroup&GroupName=g&GroupDescription=d&VpcId={vpc}");
    let group = text(&cloud.ok(account, &group), "groupId");
    let (instance, interface) = run(cloud, account, &subnet, &group, &format!("10.{net}.1.{host}"));
    Side { account, vpc, subnet, table, acl, group, instance, interface }
}

fn run(cloud: &mut Harness, account: &str, subnet: &str, group: &str, address: &str) -> (String, String) {
    let made = cloud.ok(
        account,
        &format!(
            "Action=RunInstances&ImageId=ami-{UNKNOWN}&MinCount=1&MaxCount=1&SubnetId={subnet}&SecurityGroupId.1={group}\
             &PrivateIpAddress={address}"
        ),
    );
    (text(&made, "instanceId"), text(&made, "networkInterfaceId"))
}

fn pair(owner: &'static str) -> Pair {
    let mut cloud = Harness::new();
    cloud.config.quotas.vpcs = 20;
    let (client, web) = (side(&mut cloud, ALICE, "0", 10), side(&mut cloud, owner, "1", 20));
    let mut pair = Pair { cloud, client, web, pcx: String::new(), calls: 0 };
    let (client, web) = (pair.client.clone(), pair.web.clone());
    pair.pcx = pair.peer(&client, &web);
    let pcx = pair.pcx.clone();
    pair.route(&client, "10.1.0.0/16", &format!("VpcPeeringConnectionId={pcx}"));
    pair.route(&web, "10.0.0.0/16", &format!("VpcPeeringConnectionId={pcx}"));
    pair.allow(&web, "tcp", 80, "10.0.0.0/16");
    pair
}

impl Pair {
    fn ok(&mut self, account: &str, query: &str) -> String {
        self.cloud.ok(account, query)
    }

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
        let pcx = text(&self.ok(from.account, &ask), "vpcPeeringConnectionId");
        self.settle();
        self.ok(to.account, &format!("Action=AcceptVpcPeeringConnection&VpcPeeringConnectionId={pcx}"));
        self.settle();
        pcx
    }

    fn route(&mut self, side: &Side, to: &str, target: &str) {
        let table = &side.table;
        self.ok(side.account, &format!("Action=CreateRoute&RouteTableId={table}&DestinationCidrBlock={to}&{target}"));
    }

    fn unroute(&mut self, side: &Side, to: &str) {
        let table = &side.table;
        self.ok(side.account, &format!("Action=DeleteRoute&RouteTableId={table}&DestinationCidrBlock={to}"));
    }

    fn rule(&mut self, side: &Side, verb: &str, query: &str) {
        self.ok(side.account, &format!("Action={verb}&GroupId={}&IpPermissions.1.{query}", side.group));
    }

    fn allow(&mut self, side: &Side, protocol: &str, port: u16, from: &str) {
        let ports = format!("IpPermissions.1.FromPort={port}&IpPermissions.1.ToPort={port}");
        let query = format!("IpProtocol={protocol}&{ports}&IpPermissions.1.IpRanges.1.CidrIp={from}");
        self.rule(side, "AuthorizeSecurityGroupIngress", &query);
    }

    fn deny(&mut self, side: &Side, number: u16, is_egress: bool, ports: &str) {
        let (from, to) = ports.split_once('-').unwrap();
        self.ok(
            side.account,
            &format!(
                "Action=CreateNetworkAclEntry&NetworkAclId={}&RuleNumber={number}&Protocol=6&RuleAction=deny&Egress={is_egress}\
                 &CidrBlock=0.0.0.0/0&PortRange.From={from}&PortRange.To={to}",
                side.acl
            ),
        );
    }

    /// Client to web on port 80, seen by the client's account.
    fn ask(&mut self) -> Seen {
        let (from, to) = (self.client.clone(), self.web.clone());
        let arn = format!("arn:aws:ec2:us-east-1:{}:instance/{}", to.account, to.instance);
        self.ask_for(&format!("Source={}&Destination={arn}&Protocol=tcp&DestinationPort=80", from.instance), "")
    }

    fn ask_for(&mut self, path: &str, via: &str) -> Seen {
        self.ask_as(ALICE, path, via)
    }

    fn ask_as(&mut self, account: &str, path: &str, via: &str) -> Seen {
        self.calls += 1;
        let token = self.calls;
        let made = self.ok(account, &format!("Action=CreateNetworkInsightsPath&ClientToken={token}&{path}"));
        let path = text(&made, "networkInsightsPathId");
        let start =
            format!("Action=StartNetworkInsightsAnalysis&ClientToken={token}&NetworkInsightsPathId={path}{via}");
        let started = self.ok(account, &start);
        assert_eq!((text(&started, "status"), texts(&started, "networkPathFound").len()), ("running".into(), 0));
        let id = text(&started, "networkInsightsAnalysisId");
        let shown = format!("Action=DescribeNetworkInsightsAnalyses&NetworkInsightsAnalysisId.1={id}");
        Seen(self.ok(account, &shown))
    }
}

/// An analysis as it is shown.
struct Seen(String);

impl Seen {
    fn is_found(&self) -> bool {
        assert_eq!(text(&self.0, "status"), "succeeded", "{}", self.0);
        text(&self.0, "networkPathFound") == "true"
    }

    /// The ids of the components of one way, in order.
    fn ids(&self, set: &str) -> Vec<String> {
        self.read(|document| {
            let set = document.descendants().find(|node| node.tag_name().name() == set).unwrap();
            let component = |item: roxmltree::Node<'_, '_>| {
                let found = item.children().find(|node| node.tag_name().name() == "component").unwrap();
                found.children().find(|node| node.tag_name().name() == "id").unwrap().text().unwrap().to_owned()
            };
            set.children().map(component).collect()
        })
    }

    /// The explanations, each by the paths of its texts: `routeTable.id`.
    fn explanations(&self) -> Vec<BTreeMap<String, String>> {
        self.read(|document| {
            let analysis = document.descendants().find(|node| node.tag_name().name() == "networkInsightsAnalysisSet");
            let analysis = analysis.unwrap().first_child().unwrap();
            let set = analysis.children().find(|node| node.tag_name().name() == "explanationSet").unwrap();
            set.children().map(|item| flat(item, "")).collect()
        })
    }

    fn codes(&self) -> Vec<String> {
        self.explanations().iter().map(|explanation| explanation["explanationCode"].clone()).collect()
    }

    /// The stage of this component on the way there.
    fn stage(&self, id: &str) -> BTreeMap<String, String> {
        self.read(|document| {
            let set = document.descendants().find(|node| node.tag_name().name() == "forwardPathComponentSet").unwrap();
            let found = set.children().map(|item| flat(item, "")).find(|item| item["component.id"] == id);
            found.unwrap_or_else(|| panic!("no {id} in {}", self.0))
        })
    }

    /// The components of one way, each by the paths of its texts.
    fn components(&self, set: &str) -> Vec<BTreeMap<String, String>> {
        self.read(|document| {
            let set = document.descendants().find(|node| node.tag_name().name() == set).unwrap();
            set.children().map(|item| flat(item, "")).collect()
        })
    }

    fn read<T>(&self, read: impl FnOnce(&roxmltree::Document<'_>) -> T) -> T {
        read(&roxmltree::Document::parse(&self.0).unwrap())
    }
}

fn flat(node: roxmltree::Node<'_, '_>, path: &str) -> BTreeMap<String, String> {
    let mut texts = BTreeMap::new();
    for child in node.children().filter(roxmltree::Node::is_element) {
        let path = if path.is_empty() {
            child.tag_name().name().into()
        } else {
            format!("{path}.{}", child.tag_name().name())
        };
        if let Some(text) = child.text() {
            texts.entry(path.clone()).or_insert_with(|| text.to_owned());
        }
        for (path, text) in flat(child, &path) {
            texts.entry(path).or_insert(text);
        }
    }
    texts
}

#[track_caller]
fn holds(found: &BTreeMap<String, String>, wanted: &[(&str, &str)]) {
    for (path, value) in wanted {
        assert_eq!(found.get(*path).map(String::as_str), Some(*value), "{path} in {found:#?}");
    }
}

#[test]
fn an_open_way_is_shown_there_and_back() {
    let mut pair = pair(ALICE);
    let seen = pair.ask();
    let Pair { client, web, pcx, .. } = &pair;
    assert!(seen.is_found(), "{}", seen.0);
    assert_eq!(seen.codes(), [] as [&str; 0]);
    assert_eq!(
        seen.ids("forwardPathComponentSet"),
        [
            &client.instance,
            &client.interface,
            &client.group,
            &client.acl,
            &client.table,
            pcx,
            &web.acl,
            &web.group,
            &web.interface,
            &web.instance,
        ]
        .map(Clone::clone)
    );
    assert_eq!(
        seen.ids("returnPathComponentSet"),
        [&web.instance, &web.interface, &web.acl, &web.table, pcx, &client.acl, &client.interface, &client.instance]
            .map(Clone::clone)
    );
    let arn = |kind: &str, id: &str| format!("arn:aws:ec2:us-east-1:{ALICE}:{kind}/{id}");
    holds(
        &seen.stage(&client.instance),
        &[("sequenceNumber", "1"), ("component.arn", &arn("instance", &client.instance))],
    );
    holds(
        &seen.stage(&client.interface),
        &[
            ("attachedTo.id", &client.instance),
            ("outboundHeader.protocol", "6"),
            ("outboundHeader.sourceAddressSet.item", "10.0.1.10/32"),
            ("outboundHeader.destinationAddressSet.item", "10.1.1.20/32"),
            ("outboundHeader.destinationPortRangeSet.item.from", "80"),
            ("outboundHeader.destinationPortRangeSet.item.to", "80"),
            ("subnet.id", &client.subnet),
            ("vpc.arn", &arn("vpc", &client.vpc)),
        ],
    );
    holds(
        &seen.stage(&client.group),
        &[
            ("securityGroupRule.direction", "egress"),
            ("securityGroupRule.cidr", "0.0.0.0/0"),
            ("securityGroupRule.protocol", "-1"),
        ],
    );
    holds(
        &seen.stage(&client.acl),
        &[
            ("aclRule.ruleNumber", "100"),
            ("aclRule.egress", "true"),
            ("aclRule.protocol", "all"),
            ("aclRule.ruleAction", "allow"),
            ("aclRule.cidr", "0.0.0.0/0"),
        ],
    );
    holds(
        &seen.stage(&client.table),
        &[
            ("routeTableRoute.destinationCidr", "10.1.0.0/16"),
            ("routeTableRoute.vpcPeeringConnectionId", pcx),
            ("routeTableRoute.origin", "CreateRoute"),
            ("routeTableRoute.state", "active"),
        ],
    );
    holds(&seen.stage(pcx), &[("sourceVpc.id", &client.vpc), ("destinationVpc.id", &web.vpc)]);
    holds(
        &seen.stage(&web.group),
        &[
            ("securityGroupRule.direction", "ingress"),
            ("securityGroupRule.cidr", "10.0.0.0/16"),
            ("securityGroupRule.portRange.from", "80"),
            ("securityGroupRule.protocol", "tcp"),
        ],
    );
    holds(&seen.stage(&web.instance), &[("sequenceNumber", "10")]);
}

#[test]
fn routes_that_are_missing_or_lead_nowhere() {
    let mut all = pair(ALICE);
    let (client, web, pcx) = (all.client.clone(), all.web.clone(), all.pcx.clone());
    all.unroute(&client, "10.1.0.0/16");
    let seen = all.ask();
    assert!(!seen.is_found());
    assert_eq!(seen.codes(), ["NO_ROUTE_TO_DESTINATION"]);
    holds(
        &seen.explanations()[0],
        &[("routeTable.id", &client.table), ("vpc.id", &client.vpc), ("address", "10.1.1.20")],
    );
    // What only the mended table would have is not shown.
    let table = seen.stage(&client.table);
    assert_eq!(table.get("routeTableRoute.state"), None, "{table:?}");
    holds(&table, &[("explanationSet.item.explanationCode", "NO_ROUTE_TO_DESTINATION")]);

    all.route(&client, "10.1.0.0/16", &format!("VpcPeeringConnectionId={pcx}"));
    all.unroute(&web, "10.0.0.0/16");
    let seen = all.ask();
    assert_eq!(seen.codes(), ["NO_ROUTE_TO_DESTINATION"]);
    holds(&seen.explanations()[0], &[("routeTable.id", &web.table), ("vpc.id", &web.vpc)]);
    // Nothing answers a datagram.
    let udp = format!("Source={}&Destination={}&Protocol=udp&DestinationPort=53", client.interface, web.interface);
    all.allow(&web, "udp", 53, "0.0.0.0/0");
    let seen = all.ask_for(&udp, "");
    assert!(seen.is_found());
    assert_eq!(seen.ids("returnPathComponentSet"), [] as [&str; 0]);

    // Both ends at once: every blocker is told.
    all.unroute(&client, "10.1.0.0/16");
    assert_eq!(all.ask().codes(), ["NO_ROUTE_TO_DESTINATION"; 2]);

    let mut gone = pair(ALICE);
    let (client, pcx) = (gone.client.clone(), gone.pcx.clone());
    gone.ok(ALICE, &format!("Action=DeleteVpcPeeringConnection&VpcPeeringConnectionId={pcx}"));
    gone.settle();
    let seen = gone.ask();
    assert_eq!(seen.codes()[0], "BAD_STATE_ROUTE");
    holds(
        &seen.explanations()[0],
        &[
            ("routeTable.id", &client.table),
            ("routeTableRoute.destinationCidr", "10.1.0.0/16"),
            ("routeTableRoute.state", "blackhole"),
            ("routeTableRoute.vpcPeeringConnectionId", &pcx),
            ("vpcPeeringConnection.id", &pcx),
            ("state", "blackhole"),
        ],
    );
    holds(&seen.stage(&client.table), &[("routeTableRoute.state", "blackhole")]);

    // Nothing joins the two.
    let mut apart = pair(ALICE);
    let (client, other) = (apart.client.clone(), side(&mut apart.cloud, ALICE, "2", 9));
    let seen = apart.ask_for(&format!("Source={}&Destination={}&Protocol=tcp", client.interface, other.interface), "");
    assert_eq!(seen.codes()[0], "DISCONNECTED_VPCS");
    holds(&seen.explanations()[0], &[("sourceVpc.id", &client.vpc), ("destinationVpc.id", &other.vpc)]);
}

#[test]
fn groups_that_do_not_match() {
    let mut pair = pair(ALICE);
    let (client, web) = (pair.client.clone(), pair.web.clone());
    let https = format!("Source={}&Destination={}&Protocol=tcp&DestinationPort=443", client.interface, web.interface);
    let seen = pair.ask_for(&https, "");
    assert_eq!(seen.codes(), ["ENI_SG_RULES_MISMATCH"]);
    holds(
        &seen.explanations()[0],
        &[
            ("direction", "ingress"),
            ("networkInterface.id", &web.interface),
            ("securityGroupSet.item.id", &web.group),
            ("subnet.id", &web.subnet),
            ("vpc.id", &web.vpc),
        ],
    );
    let group = seen.stage(&web.group);
    assert!(!group.keys().any(|key| key.starts_with("securityGroupRule")), "{group:?}");

    let rule = "IpProtocol=tcp&IpPermissions.1.FromPort=80&IpPermissions.1.ToPort=80&IpPermissions.1.IpRanges.1.CidrIp=10.0.0.0/16";
    pair.rule(&web, "RevokeSecurityGroupIngress", rule);
    pair.rule(&client, "RevokeSecurityGroupEgress", "IpProtocol=-1&IpPermissions.1.IpRanges.1.CidrIp=0.0.0.0/0");
    let seen = pair.ask();
    assert_eq!(seen.codes(), ["SG_HAS_NO_RULES", "SG_HAS_NO_RULES"]);
    let directions: Vec<_> = seen.explanations().iter().map(|found| found["direction"].clone()).collect();
    assert_eq!(directions, ["egress", "ingress"]);
    holds(
        &seen.explanations()[0],
        &[("networkInterface.id", &client.interface), ("securityGroupSet.item.id", &client.group)],
    );
}

#[test]
fn a_reference_to_a_group_that_is_gone() {
    let mut pair = pair(BOB);
    let (client, web) = (pair.client.clone(), pair.web.clone());
    let rule = "IpProtocol=tcp&IpPermissions.1.FromPort=80&IpPermissions.1.ToPort=80&IpPermissions.1.IpRanges.1.CidrIp=10.0.0.0/16";
    pair.rule(&web, "RevokeSecurityGroupIngress", rule);
    let of_group = format!(
        "IpProtocol=tcp&IpPermissions.1.FromPort=80&IpPermissions.1.ToPort=80&IpPermissions.1.Groups.1.GroupId={}&IpPermissions.1.Groups.1.UserId={ALICE}",
        client.group
    );
    pair.rule(&web, "AuthorizeSecurityGroupIngress", &of_group);
    let arn = format!("arn:aws:ec2:us-east-1:{ALICE}:network-interface/{}", client.interface);
    let path = format!("Source={arn}&Destination={}&Protocol=tcp&DestinationPort=80", web.interface);
    let seen = pair.ask_as(BOB, &path, "");
    assert!(seen.is_found(), "{}", seen.0);
    holds(&seen.stage(&web.group), &[("securityGroupRule.securityGroupId", &client.group)]);
    // The group goes with its only rule's meaning; the client keeps the default group.
    let vpc = pair.cloud.world.find::<Vpc>(&client.vpc.parse().unwrap()).unwrap().default_group;
    pair.ok(
        ALICE,
        &format!(
            "Action=ModifyNetworkInterfaceAttribute&NetworkInterfaceId={}&SecurityGroupId.1={vpc}",
            client.interface
        ),
    );
    pair.ok(ALICE, &format!("Action=DeleteSecurityGroup&GroupId={}", client.group));
    let seen = pair.ask_as(BOB, &path, "");
    assert!(!seen.is_found());
    assert_eq!(seen.codes(), ["UNKNOWN_PEERED_SGS"]);
    holds(
        &seen.explanations()[0],
        &[("direction", "ingress"), ("securityGroup.id", &client.group), ("securityGroupSet.item.id", &web.group)],
    );
}

#[test]
fn a_middlebox_is_on_the_way_and_loses_the_sender() {
    let mut pair = pair(ALICE);
    let (client, web, pcx) = (pair.client.clone(), pair.web.clone(), pair.pcx.clone());
    let subnet = things::subnet(&mut pair.cloud, ALICE, &client.vpc, "10.0.2.0/24");
    let table = things::table(&mut pair.cloud, ALICE, &client.vpc);
    pair.ok(ALICE, &format!("Action=AssociateRouteTable&RouteTableId={table}&SubnetId={subnet}"));
    let (box_instance, middlebox) = run(&mut pair.cloud, ALICE, &subnet, &client.group, "10.0.2.7");
    pair.ok(
        ALICE,
        &format!("Action=ModifyNetworkInterfaceAttribute&NetworkInterfaceId={middlebox}&SourceDestCheck.Value=false"),
    );
    pair.allow(&client, "tcp", 80, "10.0.1.0/24");
    pair.unroute(&client, "10.1.0.0/16");
    pair.route(&client, "10.1.0.0/16", &format!("NetworkInterfaceId={middlebox}"));
    let mut behind = client.clone();
    behind.table.clone_from(&table);
    pair.route(&behind, "10.1.0.0/16", &format!("VpcPeeringConnectionId={pcx}"));
    let seen = pair.ask();
    assert!(seen.is_found(), "{}", seen.0);
    assert_eq!(
        seen.ids("forwardPathComponentSet"),
        [
            &client.instance,
            &client.interface,
            &client.group,
            &client.acl,
            &client.table,
            &client.acl,
            &client.group,
            &middlebox,
            &box_instance,
            &middlebox,
            &client.group,
            &client.acl,
            &table,
            &pcx,
            &web.acl,
            &web.group,
            &web.interface,
            &web.instance,
        ]
        .map(Clone::clone)
    );
    holds(
        &seen.stage(&client.table),
        &[("routeTableRoute.networkInterfaceId", &middlebox), ("routeTableRoute.instanceId", &box_instance)],
    );
    let cidr = "IpProtocol=tcp&IpPermissions.1.FromPort=80&IpPermissions.1.ToPort=80&IpPermissions.1.IpRanges.1.CidrIp=10.0.0.0/16";
    pair.rule(&web, "RevokeSecurityGroupIngress", cidr);
    let of_group = format!(
        "IpProtocol=tcp&IpPermissions.1.FromPort=80&IpPermissions.1.ToPort=80&IpPermissions.1.Groups.1.GroupId={}",
        client.group
    );
    pair.rule(&web, "AuthorizeSecurityGroupIngress", &of_group);
    let seen = pair.ask();
    assert_eq!(seen.codes(), ["SG_REFERENCES_NOT_PRESERVED"]);
    holds(
        &seen.explanations()[0],
        &[
            ("direction", "ingress"),
            ("securityGroup.id", &client.group),
            ("securityGroupSet.item.id", &web.group),
            ("securityGroupRule.securityGroupId", &client.group),
        ],
    );
}

#[test]
fn acls_on_both_sides_and_both_ways() {
    let cases = [
        ("out of the client's subnet", true, true, "80-80"),
        ("into the server's subnet", false, false, "80-80"),
        ("out of the server's subnet", false, true, "1024-65535"),
        ("into the client's subnet", true, false, "1024-65535"),
    ];
    for (place, is_clients, is_egress, ports) in cases {
        let mut pair = pair(ALICE);
        let side = if is_clients { pair.client.clone() } else { pair.web.clone() };
        pair.deny(&side, 50, is_egress, ports);
        let path = format!(
            "Source={}&Destination={}&Protocol=tcp&FilterAtSource.DestinationPortRange.FromPort=80\
             &FilterAtSource.DestinationPortRange.ToPort=80&FilterAtSource.SourcePortRange.FromPort=40000\
             &FilterAtSource.SourcePortRange.ToPort=41000",
            pair.client.interface, pair.web.interface
        );
        let seen = pair.ask_for(&path, "");
        assert!(!seen.is_found(), "{place}");
        assert_eq!(seen.codes(), ["SUBNET_ACL_RESTRICTION"], "{place}");
        holds(
            &seen.explanations()[0],
            &[
                ("direction", if is_egress { "egress" } else { "ingress" }),
                ("acl.id", &side.acl),
                ("aclRule.ruleNumber", "50"),
                ("aclRule.ruleAction", "deny"),
                ("aclRule.protocol", "6"),
                ("aclRule.portRange.from", ports.split_once('-').unwrap().0),
                ("subnet.id", &side.subnet),
                ("vpc.id", &side.vpc),
            ],
        );
    }
    // The denial behind all rules has no record.
    let mut pair = pair(ALICE);
    let web = pair.web.clone();
    pair.ok(ALICE, &format!("Action=DeleteNetworkAclEntry&NetworkAclId={}&RuleNumber=100&Egress=false", web.acl));
    let seen = pair.ask();
    assert_eq!(seen.codes(), ["SUBNET_ACL_RESTRICTION"]);
    holds(
        &seen.explanations()[0],
        &[("aclRule.ruleNumber", "32767"), ("aclRule.cidr", "0.0.0.0/0"), ("aclRule.protocol", "all")],
    );
}

#[test]
fn interfaces_and_addresses_that_cannot_be() {
    let mut pair = pair(ALICE);
    let (client, web, pcx) = (pair.client.clone(), pair.web.clone(), pair.pcx.clone());
    let source = format!("Source={}&Protocol=tcp", client.interface);
    let to = |address: &str| format!("{source}&FilterAtSource.DestinationAddress={address}");

    let seen = pair.ask_for(&to("10.1.1.99"), "");
    assert_eq!(seen.codes(), ["NO_POSSIBLE_DESTINATION"]);
    holds(&seen.explanations()[0], &[("address", "10.1.1.99"), ("addressSet.item", "10.1.1.99/32")]);

    let seen = pair.ask_for(&to("224.0.0.1"), "");
    assert_eq!(seen.codes(), ["PROTOCOL_RESTRICTION"]);

    pair.route(&client, "0.0.0.0/0", &format!("VpcPeeringConnectionId={pcx}"));
    let seen = pair.ask_for(&to("8.8.8.8"), "");
    assert_eq!(seen.codes(), ["PCX_REQUIRES_ADDRESS_IN_VPC_CIDR"]);
    holds(
        &seen.explanations()[0],
        &[
            ("vpcPeeringConnection.id", &pcx),
            ("address", "8.8.8.8"),
            ("cidrSet.item", "10.1.0.0/16"),
            ("vpc.id", &web.vpc),
            ("packetField", "DESTINATION_ADDRESS"),
        ],
    );

    let forged = format!("{source}&Destination={}&SourceIp=10.0.1.77", web.interface);
    let seen = pair.ask_for(&forged, "");
    assert_eq!(seen.codes()[0], "ENI_SOURCE_DEST_CHECK_RESTRICTION");
    holds(
        &seen.explanations()[0],
        &[("networkInterface.id", &client.interface), ("address", "10.0.1.77"), ("packetField", "SOURCE_ADDRESS")],
    );

    let seen = pair.ask_for(&format!("{source}&Destination={}&SourceIp=2001:db8::1", web.interface), "");
    assert_eq!(seen.codes(), ["ENI_ADDRESS_RESTRICTION"]);
    holds(&seen.explanations()[0], &[("networkInterface.id", &web.interface)]);

    pair.ok(ALICE, &format!("Action=StopInstances&InstanceId.1={}", web.instance));
    let seen = pair.ask();
    assert_eq!(seen.codes()[0], "BAD_STATE");
    holds(&seen.explanations()[0], &[("component.id", &web.interface), ("state", "stopped")]);
    pair.ok(ALICE, &format!("Action=StopInstances&InstanceId.1={}", client.instance));
    let seen = pair.ask();
    assert_eq!(seen.codes(), ["BAD_STATE", "BAD_STATE"]);
    pair.ok(ALICE, &format!("Action=TerminateInstances&InstanceId.1={}", web.instance));
    let seen = pair.ask();
    assert_eq!(seen.codes(), ["UNKNOWN_DESTINATION"]);
    holds(&seen.explanations()[0], &[("component.id", &web.instance)]);
    pair.ok(ALICE, &format!("Action=TerminateInstances&InstanceId.1={}", client.instance));
    assert_eq!(pair.ask().codes(), ["NO_SOURCE_OR_DESTINATION"]);
}

#[test]
fn a_route_to_another_peer_with_the_same_addresses() {
    for owner in [ALICE, BOB] {
        let mut pair = pair(ALICE);
        let (client, web) = (pair.client.clone(), pair.web.clone());
        let twin = side(&mut pair.cloud, owner, "1", 20);
        let other = pair.peer(&client, &twin);
        pair.route(&client, "10.1.1.20/32", &format!("VpcPeeringConnectionId={other}"));
        pair.route(&twin, "10.0.0.0/16", &format!("VpcPeeringConnectionId={other}"));
        pair.allow(&twin, "tcp", 80, "10.0.0.0/16");
        let seen = pair.ask();
        assert!(!seen.is_found());
        assert_eq!(seen.codes()[0], "HIGHER_PRIORITY_ROUTE");
        let found = &seen.explanations()[0];
        holds(
            found,
            &[
                ("routeTable.id", &client.table),
                ("routeTableRoute.destinationCidr", "10.1.1.20/32"),
                ("vpcPeeringConnection.id", &other),
            ],
        );
        // Another account's interface is not named.
        let named = (owner == ALICE).then_some(&twin.interface);
        assert_eq!(found.get("networkInterface.id"), named);
        assert_eq!(seen.0.contains(&twin.interface), owner == ALICE);
        // To whoever has the address the way is open.
        let by_address = format!(
            "Source={}&Protocol=tcp&FilterAtSource.DestinationAddress=10.1.1.20\
             &FilterAtSource.DestinationPortRange.FromPort=80&FilterAtSource.DestinationPortRange.ToPort=80",
            client.interface
        );
        let seen = pair.ask_for(&by_address, "");
        assert!(seen.is_found());
        assert_eq!(seen.ids("forwardPathComponentSet").contains(&twin.interface), owner == ALICE);
        assert!(!seen.ids("forwardPathComponentSet").contains(&web.interface));
    }
}

#[test]
fn each_interface_of_an_instance_is_tried() {
    let mut pair = pair(ALICE);
    let (client, web) = (pair.client.clone(), pair.web.clone());
    let subnet = things::subnet(&mut pair.cloud, ALICE, &client.vpc, "10.0.2.0/24");
    let table = things::table(&mut pair.cloud, ALICE, &client.vpc);
    pair.ok(ALICE, &format!("Action=AssociateRouteTable&RouteTableId={table}&SubnetId={subnet}"));
    let made = format!(
        "Action=CreateNetworkInterface&SubnetId={subnet}&PrivateIpAddress=10.0.2.10&SecurityGroupId.1={}",
        client.group
    );
    let second = text(&pair.ok(ALICE, &made), "networkInterfaceId");
    let (instance, attach) = (&client.instance, "Action=AttachNetworkInterface&DeviceIndex=1");
    pair.ok(ALICE, &format!("{attach}&NetworkInterfaceId={second}&InstanceId={instance}"));
    let path = format!("Source={instance}&Destination={}&Protocol=tcp&DestinationPort=80", web.instance);
    assert!(pair.ask_for(&path, "").is_found());
    // The one that has the address is meant.
    let seen = pair.ask_for(&format!("{path}&SourceIp=10.0.2.10"), "");
    assert_eq!(seen.codes(), ["NO_ROUTE_TO_DESTINATION"]);
    holds(&seen.explanations()[0], &[("routeTable.id", &table)]);
    // Now only the second gets there.
    pair.unroute(&client, "10.1.0.0/16");
    let behind = Side { table, ..client.clone() };
    let target = format!("VpcPeeringConnectionId={}", pair.pcx);
    pair.route(&behind, "10.1.0.0/16", &target);
    let seen = pair.ask_for(&path, "");
    assert!(seen.is_found(), "{}", seen.0);
    assert_eq!(seen.ids("forwardPathComponentSet")[1], second);
}

#[test]
fn a_reply_that_goes_to_another_peer() {
    let mut pair = pair(ALICE);
    let web = pair.web.clone();
    let twin = side(&mut pair.cloud, ALICE, "0", 10);
    let other = pair.peer(&twin, &web);
    pair.route(&web, "10.0.1.0/24", &format!("VpcPeeringConnectionId={other}"));
    pair.rule(&twin, "AuthorizeSecurityGroupIngress", "IpProtocol=-1&IpPermissions.1.IpRanges.1.CidrIp=10.1.0.0/16");
    let seen = pair.ask();
    assert_eq!(seen.codes()[0], "HIGHER_PRIORITY_ROUTE");
    holds(
        &seen.explanations()[0],
        &[
            ("networkInterface.id", &twin.interface),
            ("routeTable.id", &web.table),
            ("routeTableRoute.destinationCidr", "10.0.1.0/24"),
        ],
    );
}

/// The client's VPC has an Internet gateway and a route to it.
fn with_gateway(pair: &mut Pair) -> String {
    let client = pair.client.clone();
    let gateway = text(&pair.ok(ALICE, "Action=CreateInternetGateway"), "internetGatewayId");
    pair.ok(ALICE, &format!("Action=AttachInternetGateway&InternetGatewayId={gateway}&VpcId={}", client.vpc));
    pair.route(&client, "0.0.0.0/0", &format!("GatewayId={gateway}"));
    gateway
}

/// Maps a new Elastic IP address to an interface.
fn with_address(pair: &mut Pair, interface: &str) -> String {
    let made = pair.ok(ALICE, "Action=AllocateAddress&Domain=vpc");
    let (allocation, public) = (text(&made, "allocationId"), text(&made, "publicIp"));
    pair.ok(ALICE, &format!("Action=AssociateAddress&AllocationId={allocation}&NetworkInterfaceId={interface}"));
    public
}

#[test]
fn a_way_out_needs_a_public_address() {
    let mut pair = pair(ALICE);
    let client = pair.client.clone();
    let gateway = with_gateway(&mut pair);
    let out = format!("Source={}&Protocol=tcp&FilterAtSource.DestinationAddress=1.1.1.1", client.interface);
    let seen = pair.ask_for(&out, "");
    // With an address, it would find nobody: that one is none of this cloud.
    assert_eq!(seen.codes(), ["IGW_PUBLIC_IP_ASSOCIATION_FOR_EGRESS", "NO_POSSIBLE_DESTINATION"]);
    holds(&seen.explanations()[0], &[("internetGateway.id", &gateway)]);
    // To the gateway itself, whoever is behind it.
    let out = format!("Source={}&Destination={gateway}&Protocol=tcp&DestinationPort=443", client.instance);
    let seen = pair.ask_for(&out, "");
    assert_eq!(seen.codes(), ["IGW_PUBLIC_IP_ASSOCIATION_FOR_EGRESS"]);
    let public = with_address(&mut pair, &client.interface);
    let seen = pair.ask_for(&out, "");
    assert!(seen.is_found(), "{}", seen.0);
    let Side { instance, interface, group, acl, table, .. } = client.clone();
    assert_eq!(
        seen.ids("forwardPathComponentSet"),
        [&instance, &interface, &group, &acl, &table, &gateway].map(Clone::clone)
    );
    assert_eq!(seen.ids("returnPathComponentSet"), [&gateway, &acl, &interface, &instance].map(Clone::clone));
    let last = seen.components("forwardPathComponentSet").pop().unwrap();
    holds(
        &last,
        &[
            ("inboundHeader.sourceAddressSet.item", "10.0.1.10/32"),
            ("outboundHeader.sourceAddressSet.item", &format!("{public}/32")),
        ],
    );
    let home = seen.components("returnPathComponentSet").remove(0);
    holds(
        &home,
        &[
            ("inboundHeader.destinationAddressSet.item", &format!("{public}/32")),
            ("outboundHeader.destinationAddressSet.item", "10.0.1.10/32"),
        ],
    );
    // The sender may be named by its public address, and the way must lead there.
    let named = format!("{out}&SourceIp={public}");
    assert!(pair.ask_for(&named, "").is_found());
    pair.unroute(&client, "0.0.0.0/0");
    let seen = pair.ask_for(&out, "");
    assert_eq!(seen.codes(), ["NO_ROUTE_TO_DESTINATION"]);
    // Detached, nothing leads anywhere.
    let mapped = text(&pair.ok(ALICE, &format!("Action=DescribeAddresses&PublicIp.1={public}")), "associationId");
    pair.ok(ALICE, &format!("Action=DisassociateAddress&AssociationId={mapped}"));
    pair.ok(ALICE, &format!("Action=DetachInternetGateway&InternetGatewayId={gateway}&VpcId={}", client.vpc));
    let seen = pair.ask_for(&out, "");
    assert_eq!(seen.codes(), ["UNASSOCIATED_COMPONENT"]);
    holds(&seen.explanations()[0], &[("internetGateway.id", &gateway)]);
}

#[test]
fn a_way_in_by_a_gateway_asks_the_receivers_rules() {
    let mut pair = pair(ALICE);
    let client = pair.client.clone();
    let gateway = with_gateway(&mut pair);
    let into = format!("Source={gateway}&Destination={}&Protocol=tcp&DestinationPort=22", client.instance);
    let seen = pair.ask_for(&into, "");
    assert_eq!(seen.codes(), ["IGW_PRIVATE_IP_ASSOCIATION_FOR_INGRESS"]);
    holds(
        &seen.explanations()[0],
        &[("internetGateway.id", &gateway), ("networkInterface.id", &client.interface), ("direction", "ingress")],
    );
    let public = with_address(&mut pair, &client.interface);
    let seen = pair.ask_for(&into, "");
    assert_eq!(seen.codes(), ["SG_HAS_NO_RULES"], "{}", seen.0);
    pair.allow(&client, "tcp", 22, "198.51.100.0/24");
    // Some of the internet is let in: the path is found, and shows who.
    let seen = pair.ask_for(&into, "");
    assert!(seen.is_found(), "{}", seen.0);
    let Side { instance, interface, group, acl, table, .. } = client.clone();
    assert_eq!(seen.ids("forwardPathComponentSet"), [&gateway, &acl, &group, &interface, &instance].map(Clone::clone));
    assert_eq!(seen.ids("returnPathComponentSet"), [&instance, &interface, &acl, &table, &gateway].map(Clone::clone));
    let first = seen.components("forwardPathComponentSet").remove(0);
    holds(
        &first,
        &[
            ("inboundHeader.destinationAddressSet.item", &format!("{public}/32")),
            ("outboundHeader.destinationAddressSet.item", "10.0.1.10/32"),
        ],
    );
    assert!(format!("{first:?}").contains("198.51.100."), "{first:?}");
    // Who is named is meant.
    let seen = pair.ask_for(&format!("{into}&SourceIp=8.8.8.8"), "");
    assert_eq!(seen.codes(), ["ENI_SG_RULES_MISMATCH"]);
    let seen = pair.ask_for(&format!("{into}&SourceIp=10.9.9.9"), "");
    assert_eq!(seen.codes(), ["IGW_SOURCE_ADDRESS_NOT_IN_RFC1918_INGRESS"]);
    // The reply must get out again.
    pair.unroute(&client, "0.0.0.0/0");
    assert_eq!(pair.ask_for(&into, "").codes(), ["NO_ROUTE_TO_DESTINATION"]);
    // Another VPC's interface is not behind this gateway.
    let web = pair.web.clone();
    let seen = pair.ask_for(&format!("Source={gateway}&Destination={}&Protocol=tcp", web.instance), "");
    assert_eq!(seen.codes(), ["CANNOT_ROUTE"]);
}

#[test]
fn a_way_through_a_nat_gateway_shows_it_with_both_headers() {
    let mut pair = pair(ALICE);
    let client = pair.client.clone();
    let gateway = with_gateway(&mut pair);
    let public = things::subnet(&mut pair.cloud, ALICE, &client.vpc, "10.0.9.0/24");
    let table = text(&pair.ok(ALICE, &format!("Action=CreateRouteTable&VpcId={}", client.vpc)), "routeTableId");
    pair.ok(ALICE, &format!("Action=AssociateRouteTable&RouteTableId={table}&SubnetId={public}"));
    let default = "DestinationCidrBlock=0.0.0.0/0";
    pair.ok(ALICE, &format!("Action=CreateRoute&RouteTableId={table}&{default}&GatewayId={gateway}"));
    let allocation = text(&pair.ok(ALICE, "Action=AllocateAddress&Domain=vpc"), "allocationId");
    let made = pair.ok(ALICE, &format!("Action=CreateNatGateway&SubnetId={public}&AllocationId={allocation}"));
    let (nat, eni) = (text(&made, "natGatewayId"), text(&made, "networkInterfaceId"));
    pair.unroute(&client, "0.0.0.0/0");
    pair.route(&client, "0.0.0.0/0", &format!("NatGatewayId={nat}"));
    let out = format!("Source={}&Destination={gateway}&Protocol=tcp&DestinationPort=443", client.instance);
    let seen = pair.ask_for(&out, "");
    assert!(seen.is_found(), "{}", seen.0);
    let Side { instance, interface, group, acl, table: private, .. } = client.clone();
    assert_eq!(
        seen.ids("forwardPathComponentSet"),
        [&instance, &interface, &group, &acl, &private, &acl, &eni, &nat, &eni, &acl, &table, &gateway]
            .map(Clone::clone)
    );
    let at = seen.components("forwardPathComponentSet").into_iter().find(|at| at["component.id"] == nat);
    holds(&at.unwrap(), &[("inboundHeader.sourceAddressSet.item", "10.0.1.10/32"), ("attachedTo.id", &eni)]);
    assert_eq!(
        seen.ids("returnPathComponentSet"),
        [&gateway, &acl, &eni, &nat, &eni, &acl, &table, &acl, &interface, &instance].map(Clone::clone)
    );
}

#[test]
fn a_way_into_a_peering_ends_there() {
    let mut pair = pair(BOB);
    let (client, pcx) = (pair.client.clone(), pair.pcx.clone());
    let path = format!("Source={}&Destination={pcx}&Protocol=tcp", client.instance);
    let seen = pair.ask_for(&path, "");
    assert!(seen.is_found(), "{}", seen.0);
    assert_eq!(
        seen.ids("forwardPathComponentSet"),
        [&client.instance, &client.interface, &client.group, &client.acl, &client.table, &pcx].map(Clone::clone)
    );
    assert_eq!(seen.ids("returnPathComponentSet"), [] as [&str; 0]);
    assert!(pair.ask_for(&format!("{path}&DestinationIp=10.1.200.1"), "").is_found());
    // One port that gets out is enough.
    pair.rule(&client, "RevokeSecurityGroupEgress", "IpProtocol=-1&IpPermissions.1.IpRanges.1.CidrIp=0.0.0.0/0");
    let https = "IpProtocol=tcp&IpPermissions.1.FromPort=443&IpPermissions.1.ToPort=443&IpPermissions.1.IpRanges.1.CidrIp=0.0.0.0/0";
    pair.rule(&client, "AuthorizeSecurityGroupEgress", https);
    assert!(pair.ask_for(&path, "").is_found());
    assert_eq!(pair.ask_for(&format!("{path}&DestinationPort=80"), "").codes(), ["ENI_SG_RULES_MISMATCH"]);
    pair.route(&client, "0.0.0.0/0", &format!("VpcPeeringConnectionId={pcx}"));
    let seen = pair.ask_for(&format!("{path}&DestinationIp=8.8.8.8&DestinationPort=443"), "");
    assert_eq!((seen.is_found(), seen.codes()), (false, vec!["PCX_REQUIRES_ADDRESS_IN_VPC_CIDR".to_string()]));
    pair.unroute(&client, "0.0.0.0/0");
    pair.unroute(&client, "10.1.0.0/16");
    assert!(pair.ask_for(&path, "").codes().contains(&"NO_ROUTE_TO_DESTINATION".to_string()));
    // A source of which nothing can be said is no finding.
    let seen = pair.ask_for(&format!("Source={pcx}&Destination={}&Protocol=tcp", client.instance), "");
    assert_eq!(text(&seen.0, "status"), "failed");
    assert!(text(&seen.0, "statusMessage").contains(&pcx));
    assert_eq!(texts(&seen.0, "networkPathFound").len(), 0);
    // A route to somewhere else is no way into this peering.
    let other = side(&mut pair.cloud, ALICE, "2", 9);
    let second = pair.peer(&client, &other);
    pair.route(&client, "10.1.0.0/16", &format!("VpcPeeringConnectionId={second}"));
    assert!(!pair.ask_for(&path, "").is_found());
}

#[test]
fn another_accounts_side_is_hidden() {
    let mut pair = pair(BOB);
    let (client, web, pcx) = (pair.client.clone(), pair.web.clone(), pair.pcx.clone());
    let seen = pair.ask();
    assert!(seen.is_found(), "{}", seen.0);
    assert_eq!(
        seen.ids("forwardPathComponentSet"),
        [&client.instance, &client.interface, &client.group, &client.acl, &client.table, &pcx, &web.instance]
            .map(Clone::clone)
    );
    assert_eq!(
        seen.ids("returnPathComponentSet"),
        [&web.instance, &client.acl, &client.interface, &client.instance].map(Clone::clone)
    );
    for secret in [&web.acl, &web.group, &web.table, &web.subnet, &web.interface] {
        assert!(!seen.0.contains(secret.as_str()), "{secret} in {}", seen.0);
    }
    // What blocks there is told as that it is there; each of two blockers is told once.
    let rule = "IpProtocol=tcp&IpPermissions.1.FromPort=80&IpPermissions.1.ToPort=80&IpPermissions.1.IpRanges.1.CidrIp=10.0.0.0/16";
    pair.rule(&web, "RevokeSecurityGroupIngress", rule);
    pair.deny(&web, 50, false, "80-80");
    let seen = pair.ask();
    assert!(!seen.is_found());
    assert_eq!(seen.codes(), ["UNKNOWN_RESOURCE"]);
    holds(
        &seen.explanations()[0],
        &[("componentAccount", BOB), ("componentRegion", "us-east-1"), ("vpc.id", &web.vpc)],
    );
    assert_eq!(text(&seen.0, "suggestedAccountSet"), "");
    assert!(seen.0.contains(&format!("<suggestedAccountSet><item>{BOB}</item>")), "{}", seen.0);
    for secret in [&web.acl, &web.group, &web.table, &web.subnet, &web.interface] {
        assert!(!seen.0.contains(secret.as_str()), "{secret} in {}", seen.0);
    }
    // Its owner sees it.
    let source = format!("arn:aws:ec2:us-east-1:{ALICE}:instance/{}", client.instance);
    let seen =
        pair.ask_as(BOB, &format!("Source={source}&Destination={}&Protocol=tcp&DestinationPort=80", web.instance), "");
    assert_eq!(seen.codes(), ["SUBNET_ACL_RESTRICTION", "SG_HAS_NO_RULES"]);
    assert!(!seen.0.contains(&client.group) && !seen.0.contains(&client.table), "{}", seen.0);

    // Without a peering, what is there and what is not read alike.
    let stranger = side(&mut pair.cloud, BOB, "3", 30);
    let ask = |pair: &mut Pair, id: &str| {
        let path = format!(
            "Source={}&Destination=arn:aws:ec2:us-east-1:{BOB}:network-interface/{id}&Protocol=tcp",
            client.interface
        );
        let seen = pair.ask_for(&path, "");
        assert_eq!(seen.codes(), ["UNKNOWN_DESTINATION"]);
        seen.explanations()[0].values().map(|text| text.replace(id, "")).collect::<Vec<_>>()
    };
    let nobody = format!("eni-{UNKNOWN}");
    assert_eq!(ask(&mut pair, &stranger.interface), ask(&mut pair, &nobody));
    // One's own interface in another's name is nobody's either.
    let (_, own) = run(&mut pair.cloud, ALICE, &client.subnet, &client.group, "10.0.1.30");
    ask(&mut pair, &own);
}

#[test]
fn a_way_out_of_the_region_is_not_followed() {
    let mut pair = pair(ALICE);
    let (client, pcx) = (pair.client.clone(), pair.pcx.clone());
    let mut abroad = Peering::clone(pair.cloud.world.find::<Peering>(&pcx.parse().unwrap()).unwrap());
    abroad.id = PeeringId::from_random(77);
    abroad.accepter.vpc = VpcId::from_random(78);
    abroad.accepter.region = "eu-west-1".parse().unwrap();
    abroad.accepter.cidrs = vec!["10.9.0.0/16".parse().unwrap()];
    let id = abroad.id;
    put(&mut pair.cloud, abroad);
    pair.route(&client, "10.9.0.0/16", &format!("VpcPeeringConnectionId={id}"));
    let path = format!("Source={}&Protocol=tcp&FilterAtSource.DestinationAddress=10.9.1.1", client.interface);
    let seen = pair.ask_for(&path, "");
    assert!(!seen.is_found());
    assert_eq!(seen.codes(), ["UNSUPPORTED_COMPONENT"]);
    holds(&seen.explanations()[0], &[("vpcPeeringConnection.id", &id.to_string()), ("componentRegion", "eu-west-1")]);
    assert!(text(&seen.0, "warningMessage").contains("eu-west-1"));
    assert_eq!(seen.ids("forwardPathComponentSet").last(), Some(&id.to_string()));
    // Up to the peering it can be asked.
    let seen = pair.ask_for(&format!("Source={}&Destination={id}&Protocol=tcp", client.interface), "");
    assert!(seen.is_found(), "{}", seen.0);
}

#[test]
fn one_port_of_a_range_is_enough_and_is_named() {
    let mut pair = pair(ALICE);
    let (client, web) = (pair.client.clone(), pair.web.clone());
    let path = format!("Source={}&Destination={}&Protocol=tcp", client.interface, web.interface);
    let seen = pair.ask_for(&path, "");
    assert!(seen.is_found(), "{}", seen.0);
    holds(
        &seen.stage(&client.interface),
        &[
            ("outboundHeader.destinationPortRangeSet.item.from", "80"),
            ("outboundHeader.destinationPortRangeSet.item.to", "80"),
            ("outboundHeader.sourcePortRangeSet.item.to", "65535"),
        ],
    );
    let range = |from: u16, to: u16| {
        format!(
            "{path}&FilterAtSource.DestinationPortRange.FromPort={from}&FilterAtSource.DestinationPortRange.ToPort={to}"
        )
    };
    assert!(pair.ask_for(&range(70, 90), "").is_found());
    let seen = pair.ask_for(&range(81, 90), "");
    assert!(!seen.is_found());
    assert_eq!(seen.codes(), ["ENI_SG_RULES_MISMATCH"]);
    // Only from these ports do replies come home.
    pair.deny(&client, 50, false, "0-39999");
    pair.deny(&client, 51, false, "41000-65535");
    let seen = pair.ask();
    assert!(seen.is_found());
    let stage = seen.stage(&client.interface);
    holds(
        &stage,
        &[
            ("outboundHeader.sourcePortRangeSet.item.from", "40000"),
            ("outboundHeader.sourcePortRangeSet.item.to", "40999"),
        ],
    );
    let disagree = format!(
        "{}&FilterAtDestination.DestinationPortRange.FromPort=1&FilterAtDestination.DestinationPortRange.ToPort=2",
        range(70, 90)
    );
    assert_eq!(pair.ask_for(&disagree, "").codes(), ["FILTER_AT_DESTINATION_DESTINATION_PORT_RANGE"]);
}

#[test]
fn components_that_the_way_must_have_or_not_have() {
    let mut pair = pair(ALICE);
    let (client, web, pcx) = (pair.client.clone(), pair.web.clone(), pair.pcx.clone());
    let path = format!("Source={}&Destination={}&Protocol=tcp&DestinationPort=80", client.instance, web.instance);
    let arn = |kind: &str, id: &str| format!("arn:aws:ec2:us-east-1:{ALICE}:{kind}/{id}");
    let crossing = arn("vpc-peering-connection", &pcx);
    let elsewhere = arn("vpc-peering-connection", &format!("pcx-{UNKNOWN}"));
    for (via, is_found) in [
        (format!("&FilterInArn.1={crossing}"), true),
        (format!("&FilterInArn.1={crossing}&FilterInArn.2={elsewhere}"), false),
        (format!("&FilterOutArn.1={elsewhere}"), true),
        (format!("&FilterOutArn.1={crossing}"), false),
    ] {
        let seen = pair.ask_for(&path, &via);
        assert_eq!(seen.is_found(), is_found, "{via}");
        if !is_found {
            assert_eq!(seen.codes(), ["COMPONENT_FILTER_RESTRICTION"], "{via}");
        }
    }
    let path = text(&pair.ok(ALICE, "Action=DescribeNetworkInsightsPaths&MaxResults=1"), "networkInsightsPathId");
    let start =
        |more: &str| format!("Action=StartNetworkInsightsAnalysis&ClientToken=t&NetworkInsightsPathId={path}&{more}");
    for wrong in [
        "FilterInArn.1=pcx-1",
        "FilterOutArn.1=arn:aws:ec2:x",
        "FilterInArn.1=arn:aws:ec2:r:a:k/%22",
        "AdditionalAccount.1=7",
    ] {
        assert_eq!(pair.cloud.code(ALICE, &start(wrong)), "InvalidParameterValue", "{wrong}");
    }
    let many: Vec<String> = (1..=101).map(|n| format!("FilterInArn.{n}={crossing}")).collect();
    assert_eq!(pair.cloud.code(ALICE, &start(&many.join("&"))), "InvalidParameterValue");
}

#[test]
fn analyses_are_kept_found_and_deleted() {
    let mut pair = pair(ALICE);
    let seen = pair.ask();
    let (id, path) = (text(&seen.0, "networkInsightsAnalysisId"), text(&seen.0, "networkInsightsPathId"));
    assert_eq!(
        text(&seen.0, "networkInsightsAnalysisArn"),
        format!("arn:aws:ec2:us-east-1:{ALICE}:network-insights-analysis/{id}")
    );
    assert_eq!(text(&seen.0, "startDate"), "2026-01-15T12:00:00.000Z");
    // A record of then: a change of the rules changes nothing.
    let client = pair.client.clone();
    pair.unroute(&client, "10.1.0.0/16");
    let describe = |more: &str| format!("Action=DescribeNetworkInsightsAnalyses&{more}");
    let again = pair.ok(ALICE, &describe(&format!("NetworkInsightsAnalysisId.1={id}")));
    assert_eq!(text(&again, "networkPathFound"), "true");
    let blocked = pair.ask();
    let other = text(&blocked.0, "networkInsightsAnalysisId");
    for (query, wanted) in [
        (format!("NetworkInsightsPathId={path}"), vec![&id]),
        ("Filter.1.Name=path-found&Filter.1.Value.1=false".into(), vec![&other]),
        ("Filter.1.Name=status&Filter.1.Value.1=running".into(), vec![]),
        ("AnalysisStartTime=2026-01-15T12:00:01Z".into(), vec![]),
        ("AnalysisEndTime=2026-01-15T11:59:59Z".into(), vec![]),
    ] {
        assert_eq!(
            texts(&pair.ok(ALICE, &describe(&query)), "networkInsightsAnalysisId"),
            wanted.into_iter().cloned().collect::<Vec<_>>(),
            "{query}"
        );
    }
    let page = pair.ok(ALICE, &describe("MaxResults=1"));
    let next = text(&page, "nextToken");
    let rest = pair.ok(ALICE, &describe(&format!("MaxResults=1&NextToken={next}")));
    assert_eq!((texts(&page, "networkInsightsAnalysisId").len(), texts(&rest, "nextToken").len()), (1, 0));
    assert_ne!(text(&page, "networkInsightsAnalysisId"), text(&rest, "networkInsightsAnalysisId"));
    for (query, code) in [
        (describe(&format!("NetworkInsightsAnalysisId.1=nia-{UNKNOWN}")), "InvalidNetworkInsightsAnalysisId.NotFound"),
        (describe("NetworkInsightsAnalysisId.1=nia-1"), "InvalidNetworkInsightsAnalysisId.Malformed"),
        (describe(&format!("NetworkInsightsAnalysisId.1={id}&MaxResults=5")), "InvalidParameterCombination"),
        (describe(&format!("NetworkInsightsPathId=nip-{UNKNOWN}")), "InvalidNetworkInsightsPathId.NotFound"),
        (describe("Filter.1.Name=x&Filter.1.Value.1=y"), "InvalidParameterValue"),
        (
            format!("Action=DeleteNetworkInsightsPath&NetworkInsightsPathId={path}"),
            "AnalysisExistsForNetworkInsightsPath",
        ),
        (
            format!("Action=DeleteNetworkInsightsAnalysis&NetworkInsightsAnalysisId=nia-{UNKNOWN}"),
            "InvalidNetworkInsightsAnalysisId.NotFound",
        ),
        (format!("Action=StartNetworkInsightsAnalysis&NetworkInsightsPathId={path}"), "MissingParameter"),
        (
            format!("Action=StartNetworkInsightsAnalysis&ClientToken=t&NetworkInsightsPathId=nip-{UNKNOWN}"),
            "InvalidNetworkInsightsPathId.NotFound",
        ),
    ] {
        assert_eq!(pair.cloud.code(ALICE, &query), code, "{query}");
    }
    for query in [
        describe(&format!("NetworkInsightsAnalysisId.1={id}")),
        format!("Action=DeleteNetworkInsightsAnalysis&NetworkInsightsAnalysisId={id}"),
    ] {
        assert_eq!(pair.cloud.code(BOB, &query), "InvalidNetworkInsightsAnalysisId.NotFound");
    }
    pair.ok(ALICE, &format!("Action=DeleteNetworkInsightsAnalysis&NetworkInsightsAnalysisId={id}"));
    pair.ok(ALICE, &format!("Action=DeleteNetworkInsightsPath&NetworkInsightsPathId={path}"));
    // The other one goes by itself, after 120 days.
    let day = Duration::hours(24);
    (0..119).for_each(|_| pair.cloud.now = pair.cloud.now + day);
    pair.settle();
    assert!(pair.cloud.world.network_insights_analyses.contains_key(&other.parse().unwrap()));
    pair.cloud.now = pair.cloud.now + day;
    assert!(tick::next(&pair.cloud.world, &pair.cloud.config).unwrap() <= pair.cloud.now);
    pair.settle();
    assert_eq!(pair.cloud.world.network_insights_analyses.size(), 0);
}
