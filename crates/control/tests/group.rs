//! Security groups through the API (spec 6.1, 6.2).

mod common;
mod groups;
mod things;

use common::*;
use groups::*;
use model::*;
use things::*;

#[test]
fn a_new_group_lets_everything_out_and_nothing_in() {
    let mut net = Net::new();
    let document = net.shown();
    let one = roxmltree::Document::parse(&document).unwrap();
    let node = |name: &str| one.descendants().find(|node| node.tag_name().name() == name).unwrap();
    assert_eq!(node("ipPermissions").children().count(), 0);
    assert_eq!(node("ipPermissionsEgress").children().count(), 1);
    assert_eq!((text(&document, "ipProtocol"), text(&document, "cidrIp")), ("-1".into(), "0.0.0.0/0".into()));
    assert!(texts(&document, "fromPort").is_empty());
    assert_eq!(text(&document, "ownerId"), ALICE);
    assert_eq!(
        text(&document, "securityGroupArn"),
        format!("arn:aws:ec2:us-east-1:{ALICE}:security-group/{}", net.group)
    );
}

#[test]
fn in_a_vpc_with_ipv6_a_new_group_lets_ipv6_out_too() {
    let mut net = Net::new();
    net.cloud.ok(ALICE, &format!("Action=AssociateVpcCidrBlock&VpcId={}&AmazonProvidedIpv6CidrBlock=true", net.vpc));
    net.group = group(&mut net.cloud, ALICE, &net.vpc.clone(), "six");
    assert_eq!(text(&net.shown(), "cidrIpv6"), "::/0");
}

#[test]
fn names_are_one_of_a_kind_in_a_vpc_and_some_are_taken() {
    let mut net = Net::new();
    let other = vpc(&mut net.cloud, ALICE, "10.1.0.0/16");
    group(&mut net.cloud, ALICE, &other, "web");
    let long = "a".repeat(256);
    for (name, code) in [
        ("WEB", "InvalidGroup.Duplicate"),
        ("web++", "InvalidGroup.Duplicate"),
        ("default", "InvalidGroup.Reserved"),
        ("Default", "InvalidGroup.Reserved"),
        ("sg-x", "InvalidParameterValue"),
        ("a%3Fb", "InvalidParameterValue"),
        (&long, "InvalidParameterValue"),
        ("", "MissingParameter"),
    ] {
        assert_eq!(net.cloud.code(ALICE, &create(&net.vpc, name)), code, "{name}");
    }
    let described = |description: &str| {
        format!("Action=CreateSecurityGroup&VpcId={other}&GroupName=x&GroupDescription={description}")
    };
    assert_eq!(net.cloud.code(ALICE, &described("")), "MissingParameter");
    assert_eq!(net.cloud.code(ALICE, &described("%C3%A9")), "InvalidParameterValue");
    let tagged =
        format!("{}&TagSpecification.1.ResourceType=vpc&TagSpecification.1.Tag.1.Key=a", create(&net.vpc, "x"));
    assert_eq!(net.cloud.code(ALICE, &tagged), "InvalidParameterValue");
}

#[test]
fn a_group_needs_a_vpc_of_its_owner() {
    let mut net = Net::new();
    assert_eq!(net.cloud.code(BOB, &create(&net.vpc, "x")), "InvalidVpcID.NotFound");
    let without = "Action=CreateSecurityGroup&GroupName=x&GroupDescription=d";
    assert_eq!(net.cloud.code(ALICE, without), "VPCIdNotSpecified");
    net.make_default();
    net.cloud.ok(ALICE, without);
    assert_eq!(net.cloud.code(BOB, without), "VPCIdNotSpecified");
    net.cloud.config.quotas.security_groups = 3;
    assert_eq!(net.cloud.code(ALICE, &create(&net.vpc, "y")), "SecurityGroupLimitExceeded");
}

#[test]
fn groups_in_use_and_default_groups_stay() {
    let mut net = Net::new();
    let default = net.cloud.world.find::<Vpc>(&net.vpc.parse().unwrap()).unwrap().default_group;
    assert_eq!(net.cloud.code(ALICE, &format!("Action=DeleteSecurityGroup&GroupId={default}")), "CannotDelete");
    assert_eq!(
        net.cloud.code(BOB, &format!("Action=DeleteSecurityGroup&GroupId={}", net.group)),
        "InvalidGroup.NotFound"
    );
    assert_eq!(net.cloud.code(ALICE, "Action=DeleteSecurityGroup"), "MissingParameter");

    let subnet = subnet(&mut net.cloud, ALICE, &net.vpc.clone(), "10.0.0.0/24");
    let worn = interface(&mut net.cloud, &subnet, "10.0.0.9", None);
    let interface = NetworkInterface::clone(net.cloud.world.find::<NetworkInterface>(&worn).unwrap());
    put(&mut net.cloud, NetworkInterface { groups: [net.group.parse().unwrap()].into(), ..interface });
    let error = net.error("DeleteSecurityGroup", "");
    assert_eq!(
        (&*error.code, error.message),
        ("DependencyViolation", format!("resource {} has a dependent object", net.group))
    );
    net.cloud.world = net.cloud.world.apply(&[Change::Delete(Key::NetworkInterface(worn))]);

    // Itself it may name, another group of the VPC may not.
    net.allow(&format!("{TCP22}&IpPermissions.1.Groups.1.GroupId={}", net.group));
    let first = net.group.clone();
    net.group = group(&mut net.cloud, ALICE, &net.vpc.clone(), "other");
    net.allow(&format!("{TCP22}&IpPermissions.1.Groups.1.GroupId={first}"));
    assert_eq!(net.cloud.code(ALICE, &format!("Action=DeleteSecurityGroup&GroupId={first}")), "DependencyViolation");
    net.ok("DeleteSecurityGroup", "");
    let document = net.cloud.ok(ALICE, &format!("Action=DeleteSecurityGroup&GroupId={first}"));
    assert_eq!((text(&document, "return"), text(&document, "groupId")), ("true".into(), first.clone()));
    assert_eq!(
        net.cloud.code(ALICE, &format!("Action=DescribeSecurityGroups&GroupId.1={first}")),
        "InvalidGroup.NotFound"
    );
}

#[test]
fn groups_are_found_by_what_they_and_their_rules_have() {
    let mut net = Net::new();
    let own = net.group.clone();
    net.allow(&format!(
        "IpPermissions.1.IpProtocol=tcp&IpPermissions.1.FromPort=80&IpPermissions.1.ToPort=90&IpPermissions.1.IpRanges.1.CidrIp=10.0.0.0/8\
         &IpPermissions.1.Ipv6Ranges.1.CidrIpv6=2001:db8::/32&IpPermissions.1.Groups.1.GroupId={own}"
    ));
    net.ok(
        "AuthorizeSecurityGroupEgress",
        &format!("{TCP22}&IpPermissions.1.Groups.1.GroupId={own}&IpPermissions.1.Ipv6Ranges.1.CidrIpv6=fd00::/8"),
    );
    net.cloud.ok(ALICE, &format!("Action=CreateTags&ResourceId.1={own}&Tag.1.Key=Name&Tag.1.Value=w"));
    let id = own.as_str();
    let vpc = net.vpc.clone();
    for (name, value, other) in [
        ("description", "d", "e"),
        ("group-id", id, "sg-x"),
        ("group-name", "we?", "W*"),
        ("vpc-id", vpc.as_str(), "vpc-x"),
        ("tag:Name", "w", "v"),
        ("ip-permission.cidr", "10.0.0.0/8", "0.0.0.0/0"),
        ("ip-permission.from-port", "80", "22"),
        ("ip-permission.to-port", "90", "22"),
        ("ip-permission.protocol", "tcp", "udp"),
        ("ip-permission.ipv6-cidr", "2001:db8::/32", "fd00::/8"),
        ("ip-permission.group-id", id, "sg-x"),
        ("ip-permission.group-name", "web", "x"),
        ("ip-permission.user-id", ALICE, BOB),
        ("ip-permission.prefix-list-id", "", "*"),
        ("egress.ip-permission.cidr", "0.0.0.0/0", "10.0.0.0/8"),
        ("egress.ip-permission.from-port", "22", "80"),
        ("egress.ip-permission.to-port", "22", "90"),
        ("egress.ip-permission.protocol", "-1", "udp"),
        ("egress.ip-permission.ipv6-cidr", "fd00::/8", "2001:db8::/32"),
        ("egress.ip-permission.group-id", id, "sg-x"),
        ("egress.ip-permission.group-name", "web", "x"),
        ("egress.ip-permission.user-id", ALICE, BOB),
        ("egress.ip-permission.prefix-list-id", "", "*"),
        ("owner-id", ALICE, BOB),
    ] {
        let query = |value: &str| {
            format!(
                "Action=DescribeSecurityGroups&Filter.1.Name={name}&Filter.1.Value.1={value}&Filter.2.Name=group-id&Filter.2.Value.1={id}"
            )
        };
        let hits = texts(&net.cloud.ok(ALICE, &query(value)), "groupName").len();
        assert_eq!(hits, usize::from(!value.is_empty()), "{name}={value}");
        assert!(texts(&net.cloud.ok(ALICE, &query(other)), "groupName").is_empty(), "{name}={other}");
    }
    assert_eq!(
        net.cloud.code(ALICE, "Action=DescribeSecurityGroups&Filter.1.Name=x&Filter.1.Value.1=y"),
        "InvalidParameterValue"
    );
    assert!(texts(&net.cloud.ok(BOB, "Action=DescribeSecurityGroups"), "groupName").is_empty());
    assert_eq!(net.cloud.code(BOB, &format!("Action=DescribeSecurityGroups&GroupId.1={id}")), "InvalidGroup.NotFound");
}
