//! Rules that name groups, over peerings and after them (spec 5.11, 6.5, 6.6; scenarios B.6 and B.7).

mod common;
mod groups;
mod things;

use common::*;
use groups::{TCP22, group};
use model::*;
use things::*;

/// Alice's VPC with the group `web` and Bob's with the group `db`, peered.
struct Net {
    cloud: Harness,
    alice: String,
    bob: String,
    web: String,
    db: String,
    peering: PeeringId,
}

impl Net {
    fn new() -> Net {
        let mut cloud = Harness::new();
        let alice = vpc(&mut cloud, ALICE, "10.0.0.0/16");
        let bob = vpc(&mut cloud, BOB, "10.1.0.0/16");
        let web = group(&mut cloud, ALICE, &alice, "web");
        let db = group(&mut cloud, BOB, &bob, "db");
        let peering = peering(&mut cloud, &alice, &bob, PeeringStatus::Active);
        Net { cloud, alice, bob, web, db, peering }
    }

    /// Bob lets Alice's group in, or tries to.
    fn allow(&mut self, pair: &str) -> Result<String, ec2::Error> {
        let query = format!("Action=AuthorizeSecurityGroupIngress&GroupId={}&{TCP22}{}", self.db, pairs(pair));
        self.cloud.call(BOB, &query)
    }

    fn refusal(&mut self, pair: &str) -> (String, String) {
        let error = self.allow(pair).expect_err(pair);
        (error.code.into_owned(), error.message)
    }

    fn web(&self) -> String {
        format!("GroupId={}&UserId={ALICE}", self.web)
    }

    fn shown(&mut self) -> String {
        self.cloud.ok(BOB, &format!("Action=DescribeSecurityGroups&GroupId.1={}", self.db))
    }

    fn stale(&mut self) -> String {
        self.cloud.ok(BOB, &format!("Action=DescribeStaleSecurityGroups&VpcId={}", self.bob))
    }

    fn references(&mut self) -> String {
        self.cloud.ok(ALICE, &format!("Action=DescribeSecurityGroupReferences&GroupId.1={}", self.web))
    }
}

/// `A=1&B=2` as members of the first pair of the first permission.
fn pairs(pair: &str) -> String {
    pair.split('&').map(|member| format!("&IpPermissions.1.Groups.1.{member}")).collect()
}

fn unknown(group: &str) -> (String, String) {
    ("InvalidGroup.NotFound".into(), format!("The security group '{group}' does not exist"))
}

#[test]
fn a_peers_group_is_named_with_its_owner_and_shown_with_its_peering() {
    let mut net = Net::new();
    let document = net.allow(&net.web()).unwrap();
    let named = roxmltree::Document::parse(&document).unwrap();
    let info = named.descendants().find(|node| node.tag_name().name() == "referencedGroupInfo").unwrap();
    let members: Vec<_> = info.children().map(|node| (node.tag_name().name(), node.text().unwrap())).collect();
    let pcx = net.peering.to_string();
    let wanted = [
        ("userId", ALICE),
        ("groupId", net.web.as_str()),
        ("vpcId", net.alice.as_str()),
        ("vpcPeeringConnectionId", pcx.as_str()),
        ("peeringStatus", "active"),
    ];
    assert_eq!(members, wanted);
    let joined: String = wanted.iter().map(|(name, value)| format!("<{name}>{value}</{name}>")).collect();
    let groups = format!(
        "<ipProtocol>tcp</ipProtocol><fromPort>22</fromPort><toPort>22</toPort><groups><item>{joined}</item></groups>"
    );
    assert!(net.shown().contains(&groups), "{}", net.shown());
    assert!(texts(&net.shown(), "groupName") == ["db"], "a peer's group has no name here");

    let by_name = "Action=DescribeSecurityGroups&Filter.1.Name=ip-permission.group-name&Filter.1.Value.1=web";
    assert!(texts(&net.cloud.ok(BOB, by_name), "groupId").is_empty(), "another account's name is not told by a filter");
    let error = net.allow(&format!("{}&VpcPeeringConnectionId={pcx}", net.web())).unwrap_err();
    assert_eq!(error.code, "InvalidPermission.Duplicate", "naming the peering makes no other rule");
}

#[test]
fn a_group_out_of_reach_is_refused_and_a_foreign_one_reads_as_unknown() {
    let mut net = Net::new();
    let web = net.web.clone();
    assert_eq!(net.refusal(&format!("GroupId={web}")), unknown(&web), "foreign account without UserId");
    assert_eq!(net.refusal(&format!("GroupId={web}&UserId=333333333333")), unknown(&web), "wrong account");
    let never = format!("sg-{UNKNOWN}");
    assert_eq!(net.refusal(&format!("GroupId={never}&UserId={ALICE}")), unknown(&never));
    for status in PeeringStatus::ALL.into_iter().filter(|status| *status != PeeringStatus::Active) {
        let peering = net.peering;
        set_status(&mut net.cloud, peering, status);
        assert_eq!(net.refusal(&net.web()), unknown(&web), "{status}");
    }
    // Both VPCs are Bob's: he may know that the group is there.
    let other = vpc(&mut net.cloud, BOB, "10.2.0.0/16");
    let own = group(&mut net.cloud, BOB, &other, "own");
    let apart =
        ("InvalidGroup.NotFound".into(), "You have specified two resources that belong to different networks.".into());
    assert_eq!(net.refusal(&format!("GroupId={own}")), apart);
    let bob = net.bob.clone();
    peering(&mut net.cloud, &other, &bob, PeeringStatus::Active);
    net.allow(&format!("GroupId={own}")).unwrap();
}

#[test]
fn a_named_peering_must_be_the_one_between_the_two() {
    let mut net = Net::new();
    let other = vpc(&mut net.cloud, BOB, "10.2.0.0/16");
    let bob = net.bob.clone();
    let own = group(&mut net.cloud, BOB, &other, "own");
    let second = peering(&mut net.cloud, &other, &bob, PeeringStatus::Active);
    let third = vpc(&mut net.cloud, ALICE, "10.3.0.0/16");
    let alice = net.alice.clone();
    let foreign = peering(&mut net.cloud, &third, &alice, PeeringStatus::Active);
    let over = |net: &Net, id: &str| format!("{}&VpcPeeringConnectionId={id}", net.web());
    for id in [foreign.to_string(), format!("pcx-{UNKNOWN}")] {
        assert_eq!(net.refusal(&over(&net, &id)).0, "InvalidVpcPeeringConnectionID.NotFound");
    }
    let web = net.web.clone();
    assert_eq!(net.refusal(&over(&net, &second.to_string())), unknown(&web));
    let apart = "You have specified two resources that belong to different networks.";
    let peering = net.peering;
    assert_eq!(net.refusal(&format!("GroupId={own}&VpcPeeringConnectionId={peering}")).1, apart);
    let db = net.db.clone();
    assert_eq!(
        net.refusal(&format!("GroupId={db}&VpcPeeringConnectionId={peering}")).1,
        apart,
        "its own VPC needs none"
    );
    net.allow(&over(&net, &peering.to_string())).unwrap();
}

#[test]
fn a_rule_goes_stale_with_the_peering_and_revives_with_a_new_one() {
    let mut net = Net::new();
    net.allow(&net.web()).unwrap();
    assert!(texts(&net.stale(), "groupId").is_empty());
    assert_eq!(text(&net.references(), "vpcPeeringConnectionId"), net.peering.to_string());
    assert_eq!(text(&net.references(), "referencingVpcId"), net.bob);
    assert!(!net.references().contains(&net.db), "the referencing group is not told");

    let peering = net.peering;
    set_status(&mut net.cloud, peering, PeeringStatus::Deleted);
    let stale = net.stale();
    assert_eq!(texts(&stale, "groupId"), [net.db.clone(), net.web.clone()]);
    assert_eq!((text(&stale, "peeringStatus"), text(&stale, "groupName")), ("deleted".into(), "db".into()));
    assert_eq!((text(&stale, "description"), text(&stale, "fromPort")), ("d".into(), "22".into()));
    assert!(texts(&net.references(), "groupId").is_empty());
    assert_eq!(text(&net.shown(), "peeringStatus"), "deleted");
    net.cloud.world = net.cloud.world.apply(&[Change::Delete(Key::Peering(peering))]);
    assert_eq!(
        (text(&net.stale(), "peeringStatus"), text(&net.stale(), "vpcPeeringConnectionId")),
        ("deleted".into(), peering.to_string())
    );

    let (alice, bob) = (net.alice.clone(), net.bob.clone());
    let again = things::peering(&mut net.cloud, &bob, &alice, PeeringStatus::Active);
    assert!(texts(&net.stale(), "groupId").is_empty());
    assert_eq!(
        (text(&net.shown(), "vpcPeeringConnectionId"), text(&net.shown(), "peeringStatus")),
        (again.to_string(), "active".into())
    );
}

#[test]
fn a_group_that_only_a_peer_names_may_go_and_its_rule_stays_to_be_taken_away() {
    let mut net = Net::new();
    net.allow(&net.web()).unwrap();
    net.cloud.ok(ALICE, &format!("Action=DeleteSecurityGroup&GroupId={}", net.web));
    let stale = net.stale();
    assert_eq!((text(&stale, "peeringStatus"), texts(&stale, "staleIpPermissionsEgress").len()), ("active".into(), 1));

    // A change of the rule may keep its group; the description shows that it went through.
    let rules = net
        .cloud
        .ok(BOB, &format!("Action=DescribeSecurityGroupRules&Filter.1.Name=group-id&Filter.1.Value.1={}", net.db));
    let ids = texts(&rules, "securityGroupRuleId");
    let ingress = ids.iter().zip(texts(&rules, "isEgress")).find(|(_, egress)| egress == "false").unwrap().0;
    let member = "SecurityGroupRule.1.SecurityGroupRule";
    let modify = format!(
        "Action=ModifySecurityGroupRules&GroupId={}&SecurityGroupRule.1.SecurityGroupRuleId={ingress}&{member}.IpProtocol=tcp\
         &{member}.FromPort=22&{member}.ToPort=22&{member}.Description=old&{member}.ReferencedGroupId=",
        net.db
    );
    net.cloud.ok(BOB, &format!("{modify}{}", net.web));
    assert_eq!(text(&net.shown(), "description"), "old");
    let fresh = group(&mut net.cloud, ALICE, &net.alice.clone(), "fresh");
    net.cloud.ok(BOB, &format!("{modify}{fresh}"));
    assert_eq!(net.cloud.code(BOB, &format!("{modify}{}", net.web)), "InvalidGroup.NotFound");
    assert!(texts(&net.stale(), "groupId").is_empty());
    net.cloud.ok(ALICE, &format!("Action=DeleteSecurityGroup&GroupId={fresh}"));

    let revoke = |pair: &str| format!("Action=RevokeSecurityGroupIngress&GroupId={}&{TCP22}{}", net.db, pairs(pair));
    let (without, with) = (revoke(&format!("GroupId={fresh}")), revoke(&format!("GroupId={fresh}&UserId={ALICE}")));
    assert_eq!(net.cloud.code(BOB, &without), "InvalidPermission.NotFound");
    let document = net.cloud.ok(BOB, &with);
    assert_eq!(text(&document, "referencedGroupId"), fresh);
    assert!(texts(&net.stale(), "groupId").is_empty());
}

#[test]
fn a_reference_from_a_peer_of_the_same_account_keeps_no_group_either() {
    let mut net = Net::new();
    let other = vpc(&mut net.cloud, BOB, "10.2.0.0/16");
    let own = group(&mut net.cloud, BOB, &other, "own");
    let bob = net.bob.clone();
    peering(&mut net.cloud, &other, &bob, PeeringStatus::Active);
    net.allow(&format!("GroupId={own}")).unwrap();
    net.cloud.ok(BOB, &format!("Action=DeleteSecurityGroup&GroupId={own}"));
    assert_eq!(texts(&net.stale(), "groupId"), [net.db.clone(), own]);
}

#[test]
fn references_inside_a_vpc_are_neither_listed_nor_stale() {
    let mut net = Net::new();
    let other = group(&mut net.cloud, ALICE, &net.alice.clone(), "other");
    net.cloud.ok(
        ALICE,
        &format!(
            "Action=AuthorizeSecurityGroupEgress&GroupId={other}&{TCP22}{}",
            pairs(&format!("GroupId={}", net.web))
        ),
    );
    assert!(texts(&net.references(), "groupId").is_empty());
    let stale = net.cloud.ok(ALICE, &format!("Action=DescribeStaleSecurityGroups&VpcId={}", net.alice));
    assert!(texts(&stale, "groupId").is_empty());
}

#[test]
fn only_owners_ask() {
    let mut net = Net::new();
    for (query, code) in [
        (format!("Action=DescribeSecurityGroupReferences&GroupId.1={}", net.web), "InvalidGroup.NotFound"),
        ("Action=DescribeSecurityGroupReferences".into(), "MissingParameter"),
        (format!("Action=DescribeStaleSecurityGroups&VpcId={}", net.alice), "InvalidVpcID.NotFound"),
        ("Action=DescribeStaleSecurityGroups".into(), "MissingParameter"),
        (format!("Action=DescribeStaleSecurityGroups&VpcId={}&MaxResults=256", net.bob), "InvalidParameterValue"),
        (format!("Action=DescribeStaleSecurityGroups&VpcId={}&NextToken=x", net.bob), "InvalidNextToken"),
    ] {
        assert_eq!(net.cloud.code(BOB, &query), code, "{query}");
    }
}
