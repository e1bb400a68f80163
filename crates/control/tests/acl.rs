//! Network ACLs through the API (spec ch. 7).

mod common;
mod things;

use common::*;
use model::*;
use things::*;

/// A VPC of Alice's with a subnet and an ACL of its own.
struct Net {
    cloud: Harness,
    vpc: String,
    subnet: String,
    acl: String,
}

impl Net {
    fn new() -> Net {
        let mut cloud = Harness::new();
        let vpc = vpc(&mut cloud, ALICE, "10.0.0.0/16");
        let subnet = subnet(&mut cloud, ALICE, &vpc, "10.0.0.0/24");
        let acl = acl(&mut cloud, &vpc);
        Net { cloud, vpc, subnet, acl }
    }

    fn default(&self) -> String {
        self.cloud.world.find::<Vpc>(&self.vpc.parse().unwrap()).unwrap().default_acl.to_string()
    }

    fn association(&self) -> String {
        self.cloud.world.find::<Subnet>(&self.subnet.parse().unwrap()).unwrap().network_acl.id.to_string()
    }

    fn entry(&self, action: &str, rest: &str) -> String {
        format!("Action={action}NetworkAclEntry&NetworkAclId={}&{rest}", self.acl)
    }

    fn create(&mut self, rest: &str) {
        let query = self.entry("Create", rest);
        assert_eq!(text(&self.cloud.ok(ALICE, &query), "return"), "true");
    }

    fn code(&mut self, action: &str, rest: &str) -> String {
        let query = self.entry(action, rest);
        self.cloud.code(ALICE, &query)
    }

    fn shown(&mut self) -> String {
        self.cloud.ok(ALICE, &format!("Action=DescribeNetworkAcls&NetworkAclId.1={}", self.acl))
    }
}

fn acl(cloud: &mut Harness, vpc: &str) -> String {
    text(&cloud.ok(ALICE, &format!("Action=CreateNetworkAcl&VpcId={vpc}")), "networkAclId")
}

/// Rule 100 in: TCP 80 from anywhere.
const HTTP: &str =
    "RuleNumber=100&Protocol=6&RuleAction=allow&Egress=false&CidrBlock=0.0.0.0/0&PortRange.From=80&PortRange.To=80";

#[test]
fn a_new_acl_has_only_the_rules_that_deny() {
    let mut net = Net::new();
    let document = net.shown();
    assert_eq!(texts(&document, "ruleNumber"), ["32767", "32767"]);
    assert_eq!(texts(&document, "egress"), ["true", "false"]);
    assert_eq!(texts(&document, "ruleAction"), ["deny", "deny"]);
    assert_eq!(
        (texts(&document, "protocol"), texts(&document, "cidrBlock")),
        (vec!["-1".into(); 2], vec!["0.0.0.0/0".into(); 2])
    );
    assert_eq!((text(&document, "default"), text(&document, "ownerId")), ("false".into(), ALICE.into()));
    assert!(texts(&document, "subnetId").is_empty());

    net.cloud.ok(ALICE, &format!("Action=AssociateVpcCidrBlock&VpcId={}&AmazonProvidedIpv6CidrBlock=true", net.vpc));
    assert_eq!(texts(&net.shown(), "ruleNumber"), ["32767", "32768", "32767", "32768"]);
    assert_eq!(texts(&net.shown(), "ipv6CidrBlock"), ["::/0", "::/0"]);
}

#[test]
fn a_vpcs_own_acl_lets_everything_pass_and_stays() {
    let mut net = Net::new();
    let default = net.default();
    let document = net.cloud.ok(ALICE, &format!("Action=DescribeNetworkAcls&NetworkAclId.1={default}"));
    assert_eq!(texts(&document, "ruleNumber"), ["100", "32767", "100", "32767"]);
    assert_eq!((text(&document, "default"), text(&document, "subnetId")), ("true".into(), net.subnet.clone()));
    assert_eq!(text(&document, "networkAclAssociationId"), net.association());
    assert_eq!(
        net.cloud.code(ALICE, &format!("Action=DeleteNetworkAcl&NetworkAclId={default}")),
        "InvalidParameterValue"
    );
}

#[test]
fn making_one_needs_a_vpc_room_and_a_fresh_token() {
    let mut net = Net::new();
    assert_eq!(net.cloud.code(BOB, &format!("Action=CreateNetworkAcl&VpcId={}", net.vpc)), "InvalidVpcID.NotFound");
    assert_eq!(net.cloud.code(ALICE, "Action=CreateNetworkAcl"), "MissingParameter");
    let once = format!("Action=CreateNetworkAcl&VpcId={}&ClientToken=t", net.vpc);
    let (first, second) = (net.cloud.ok(ALICE, &once), net.cloud.ok(ALICE, &once));
    assert_eq!(text(&first, "networkAclId"), text(&second, "networkAclId"));
    assert_eq!(text(&second, "clientToken"), "t");
    let tagged = "&TagSpecification.1.ResourceType=network-acl&TagSpecification.1.Tag.1.Key=Name&TagSpecification.1.Tag.1.Value=x";
    assert_eq!(net.cloud.code(ALICE, &format!("{once}{tagged}")), "IdempotentParameterMismatch");
    net.cloud.config.quotas.network_acls_per_vpc = 3;
    assert_eq!(net.cloud.code(ALICE, &format!("Action=CreateNetworkAcl&VpcId={}", net.vpc)), "NetworkAclLimitExceeded");
    net.cloud.ok(ALICE, &once);
    net.cloud.config.quotas.network_acls_per_vpc = 4;
    let document = net.cloud.ok(ALICE, &format!("Action=CreateNetworkAcl&VpcId={}{tagged}", net.vpc));
    assert_eq!(text(&document, "value"), "x");
}

#[test]
fn entries_are_shown_as_they_were_given() {
    let mut net = Net::new();
    net.create(HTTP);
    net.create("RuleNumber=90&Protocol=icmp&RuleAction=deny&Egress=false&CidrBlock=10.9.8.7/8&Icmp.Type=3&Icmp.Code=4");
    net.create("RuleNumber=32766&Protocol=58&RuleAction=allow&Egress=true&Ipv6CidrBlock=2001:db8::1/32&Icmp.Type=-1&Icmp.Code=-1");
    net.create(
        "RuleNumber=1&Protocol=-1&RuleAction=allow&Egress=true&CidrBlock=0.0.0.0/0&PortRange.From=1&PortRange.To=2",
    );
    let document = net.shown();
    assert_eq!(texts(&document, "ruleNumber"), ["1", "32766", "32767", "90", "100", "32767"]);
    assert_eq!(texts(&document, "protocol"), ["-1", "58", "-1", "1", "6", "-1"]);
    assert_eq!(texts(&document, "cidrBlock"), ["0.0.0.0/0", "0.0.0.0/0", "10.0.0.0/8", "0.0.0.0/0", "0.0.0.0/0"]);
    assert_eq!(text(&document, "ipv6CidrBlock"), "2001:db8::/32");
    assert_eq!(
        (texts(&document, "type"), texts(&document, "code")),
        (vec!["-1".into(), "3".into()], vec!["-1".into(), "4".into()])
    );
    assert_eq!((texts(&document, "from"), texts(&document, "to")), (vec!["80".to_string()], vec!["80".to_string()]));
}

#[test]
fn what_is_no_entry_is_refused() {
    let mut net = Net::new();
    let without = |part: &str| {
        assert!(HTTP.contains(part), "{part}");
        HTTP.replace(part, "X=")
    };
    let with = |part: &str, other: &str| without(part).replace("X=", other);
    let icmp = |rest: &str| with("&PortRange.From=80&PortRange.To=80", rest).replace("Protocol=6", "Protocol=1");
    for (rest, code) in [
        (with("RuleNumber=100", "RuleNumber=0"), "InvalidParameterValue"),
        (with("RuleNumber=100", "RuleNumber=-1"), "InvalidParameterValue"),
        (with("RuleNumber=100", "RuleNumber=32767"), "InvalidParameterValue"),
        (with("RuleNumber=100", "RuleNumber=65637"), "InvalidParameterValue"),
        (without("RuleNumber=100"), "MissingParameter"),
        (with("Protocol=6", "Protocol=tcpx"), "InvalidParameterValue"),
        (without("Protocol=6"), "MissingParameter"),
        (with("RuleAction=allow", "RuleAction=permit"), "InvalidParameterValue"),
        (without("RuleAction=allow"), "MissingParameter"),
        (without("Egress=false"), "MissingParameter"),
        (without("CidrBlock=0.0.0.0/0"), "MissingParameter"),
        (with("CidrBlock=0.0.0.0/0", "CidrBlock=x"), "InvalidParameterValue"),
        (with("CidrBlock=0.0.0.0/0", "CidrBlock=0.0.0.0/0&Ipv6CidrBlock=::/0"), "InvalidParameterValue"),
        (without("PortRange.From=80"), "MissingParameter"),
        (without("PortRange.To=80"), "MissingParameter"),
        (with("PortRange.To=80", "PortRange.To=79"), "InvalidParameterValue"),
        (with("PortRange.To=80", "PortRange.To=65536"), "InvalidParameterValue"),
        (icmp(""), "MissingParameter"),
        (icmp("&Icmp.Type=8"), "MissingParameter"),
        (icmp("&Icmp.Code=0"), "MissingParameter"),
        (icmp("&Icmp.Type=-1&Icmp.Code=0"), "InvalidParameterValue"),
        (icmp("&Icmp.Type=256&Icmp.Code=0"), "InvalidParameterValue"),
        (
            icmp("").replace("Protocol=1", "Protocol=58").replace("CidrBlock=0.0.0.0/0", "Ipv6CidrBlock=::/0"),
            "MissingParameter",
        ),
    ] {
        assert_eq!(net.code("Create", &rest), code, "{rest}");
        assert_eq!(net.code("Replace", &rest), code, "{rest}");
    }
    net.create(&icmp("").replace("Protocol=1", "Protocol=58"));
}

#[test]
fn numbers_are_taken_replaced_and_freed_in_each_direction() {
    let mut net = Net::new();
    net.cloud.config.quotas.entries_per_network_acl = 1;
    assert_eq!(net.code("Replace", HTTP), "InvalidNetworkAclEntry.NotFound");
    net.create(HTTP);
    assert_eq!(net.code("Create", HTTP), "NetworkAclEntryAlreadyExists");
    assert_eq!(net.code("Create", &HTTP.replace("=100", "=101")), "NetworkAclEntryLimitExceeded");
    let egress = HTTP.replace("Egress=false", "Egress=true");
    assert_eq!(net.code("Replace", &egress), "InvalidNetworkAclEntry.NotFound");
    net.create(&egress);
    let query = net.entry("Replace", &HTTP.replace("allow", "deny"));
    net.cloud.ok(ALICE, &query);
    assert_eq!(texts(&net.shown(), "ruleAction"), ["allow", "deny", "deny", "deny"]);
    for (rest, code) in [
        ("RuleNumber=32767&Egress=false", "InvalidParameterValue"),
        ("RuleNumber=101&Egress=false", "InvalidNetworkAclEntry.NotFound"),
        ("RuleNumber=100", "MissingParameter"),
        ("Egress=false", "MissingParameter"),
    ] {
        assert_eq!(net.code("Delete", rest), code, "{rest}");
    }
    let delete = net.entry("Delete", "RuleNumber=100&Egress=true");
    assert_eq!(net.cloud.code(BOB, &delete), "InvalidNetworkAclID.NotFound");
    assert_eq!(text(&net.cloud.ok(ALICE, &delete), "return"), "true");
    assert_eq!(net.cloud.code(ALICE, &delete), "InvalidNetworkAclEntry.NotFound");
    assert_eq!(texts(&net.shown(), "ruleNumber"), ["32767", "100", "32767"]);
    for action in ["Create", "Replace"] {
        let query = net.entry(action, &HTTP.replace("=100", "=7"));
        assert_eq!(net.cloud.code(BOB, &query), "InvalidNetworkAclID.NotFound", "{action}");
    }
}

#[test]
fn a_subnet_has_one_acl_and_changes_it_under_a_new_association() {
    let mut net = Net::new();
    let old = net.association();
    let replace = |association: &str, acl: &str| {
        format!("Action=ReplaceNetworkAclAssociation&AssociationId={association}&NetworkAclId={acl}")
    };
    let new = text(&net.cloud.ok(ALICE, &replace(&old, &net.acl)), "newAssociationId");
    assert_eq!((new.clone(), old != new), (net.association(), true));
    assert_eq!(text(&net.shown(), "subnetId"), net.subnet);
    assert_eq!(
        text(&net.cloud.ok(ALICE, &replace(&new, &net.acl)), "newAssociationId"),
        new,
        "the same again changes nothing"
    );
    let error = net.cloud.error(ALICE, &format!("Action=DeleteNetworkAcl&NetworkAclId={}", net.acl));
    assert_eq!(error.code, "DependencyViolation");

    let other = vpc(&mut net.cloud, ALICE, "10.1.0.0/16");
    let far = acl(&mut net.cloud, &other);
    assert_eq!(
        text(&net.cloud.ok(ALICE, &replace(&old, &net.acl)), "newAssociationId"),
        new,
        "whoever lost the answer asks again"
    );
    for (association, acl, code) in [
        (old.as_str(), net.default(), "InvalidAssociationID.NotFound"),
        ("x", net.acl.clone(), "InvalidAssociationID.Malformed"),
        (&new, format!("acl-{UNKNOWN}"), "InvalidNetworkAclID.NotFound"),
        (&new, far, "InvalidParameterValue"),
    ] {
        assert_eq!(net.cloud.code(ALICE, &replace(association, &acl)), code, "{association} {acl}");
    }
    assert_eq!(net.cloud.code(BOB, &replace(&new, &net.acl)), "InvalidAssociationID.NotFound");

    let default = net.default();
    net.cloud.ok(ALICE, &replace(&new, &default));
    assert_eq!(net.cloud.code(ALICE, &replace(&old, &net.acl)), "InvalidAssociationID.NotFound", "it is so no more");
    assert_eq!(
        net.cloud.code(BOB, &format!("Action=DeleteNetworkAcl&NetworkAclId={}", net.acl)),
        "InvalidNetworkAclID.NotFound"
    );
    net.cloud.ok(ALICE, &format!("Action=DeleteNetworkAcl&NetworkAclId={}", net.acl));
    assert_eq!(
        net.cloud.code(ALICE, &format!("Action=DescribeNetworkAcls&NetworkAclId.1={}", net.acl)),
        "InvalidNetworkAclID.NotFound"
    );
}

#[test]
fn acls_are_found_by_what_they_and_their_entries_have() {
    let mut net = Net::new();
    let query =
        format!("Action=ReplaceNetworkAclAssociation&AssociationId={}&NetworkAclId={}", net.association(), net.acl);
    net.cloud.ok(ALICE, &query);
    net.create(HTTP);
    net.create("RuleNumber=90&Protocol=1&RuleAction=deny&Egress=true&CidrBlock=10.0.0.0/8&Icmp.Type=3&Icmp.Code=4");
    net.create(
        "RuleNumber=91&Protocol=17&RuleAction=deny&Egress=true&Ipv6CidrBlock=fd00::/8&PortRange.From=1&PortRange.To=2",
    );
    let (association, acl, subnet, vpc) = (net.association(), net.acl.clone(), net.subnet.clone(), net.vpc.clone());
    for (name, value, other) in [
        ("association.association-id", association.as_str(), "x"),
        ("association.network-acl-id", acl.as_str(), "x"),
        ("association.subnet-id", subnet.as_str(), "x"),
        ("default", "false", "true"),
        ("entry.cidr", "10.0.0.0/8", "10.0.0.0/9"),
        ("entry.egress", "true", "yes"),
        ("entry.icmp.code", "4", "3"),
        ("entry.icmp.type", "3", "4"),
        ("entry.ipv6-cidr", "fd00::/8", "::/0"),
        ("entry.port-range.from", "80", "2"),
        ("entry.port-range.to", "2", "1"),
        ("entry.protocol", "tcp", "50"),
        ("entry.protocol", "6", "58"),
        ("entry.rule-action", "allow", "x"),
        ("entry.rule-number", "32767", "32768"),
        ("network-acl-id", acl.as_str(), "x"),
        ("owner-id", ALICE, BOB),
        ("vpc-id", vpc.as_str(), "x"),
    ] {
        let query = |value: &str| {
            format!(
                "Action=DescribeNetworkAcls&Filter.1.Name={name}&Filter.1.Value.1={value}&Filter.2.Name=network-acl-id&Filter.2.Value.1={acl}"
            )
        };
        assert_eq!(texts(&net.cloud.ok(ALICE, &query(value)), "vpcId").len(), 1, "{name}={value}");
        assert!(texts(&net.cloud.ok(ALICE, &query(other)), "vpcId").is_empty(), "{name}={other}");
    }
    assert_eq!(
        net.cloud.code(ALICE, "Action=DescribeNetworkAcls&Filter.1.Name=entry&Filter.1.Value.1=y"),
        "InvalidParameterValue"
    );
    assert_eq!(
        net.cloud.code(BOB, &format!("Action=DescribeNetworkAcls&NetworkAclId.1={acl}")),
        "InvalidNetworkAclID.NotFound"
    );
    assert!(texts(&net.cloud.ok(BOB, "Action=DescribeNetworkAcls"), "vpcId").is_empty());
    let main =
        "Action=DescribeNetworkAcls&Filter.1.Name=default&Filter.1.Value.1=true&Filter.2.Name=vpc-id&Filter.2.Value.1=";
    let document = net.cloud.ok(ALICE, &format!("{main}{vpc}"));
    assert_eq!(texts(&document, "default"), ["true"]);
}
