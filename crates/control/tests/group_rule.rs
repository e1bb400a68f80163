//! Rules of security groups through the API (spec 6.2, 6.3).

mod common;
mod groups;
mod things;

use common::*;
use groups::*;
use things::*;

#[test]
fn each_peer_is_a_rule_and_rules_of_one_kind_are_shown_joined() {
    let mut net = Net::new();
    let document = net.ok(
        "AuthorizeSecurityGroupIngress",
        &format!(
            "{TCP22}&IpPermissions.1.IpRanges.1.CidrIp=10.9.8.7/8&IpPermissions.1.IpRanges.1.Description=all+of+ten\
             &IpPermissions.1.IpRanges.4.CidrIp=192.168.0.0/16&IpPermissions.1.Ipv6Ranges.1.CidrIpv6=2001:db8::/32\
             &IpPermissions.1.Groups.1.GroupId={}&IpPermissions.2.IpProtocol=17&IpPermissions.2.FromPort=53&IpPermissions.2.ToPort=53\
             &IpPermissions.2.IpRanges.1.CidrIp=10.0.0.0/8\
             &TagSpecification.1.ResourceType=security-group-rule&TagSpecification.1.Tag.1.Key=Name&TagSpecification.1.Tag.1.Value=x",
            net.group
        ),
    );
    assert_eq!(texts(&document, "securityGroupRuleId").len(), 5);
    assert_eq!(texts(&document, "value"), ["x"; 5]);
    assert_eq!(texts(&document, "ipProtocol"), ["tcp", "tcp", "tcp", "tcp", "udp"]);
    assert_eq!(texts(&document, "isEgress"), ["false"; 5]);
    assert_eq!(text(&document, "cidrIpv4"), "10.0.0.0/8");
    assert_eq!(text(&document, "description"), "all of ten");
    let rule = text(&document, "securityGroupRuleId");
    assert_eq!(
        text(&document, "securityGroupRuleArn"),
        format!("arn:aws:ec2:us-east-1:{ALICE}:security-group-rule/{rule}")
    );

    let shown = net.shown();
    assert_eq!(texts(&shown, "ipProtocol"), ["tcp", "udp", "-1"]);
    assert_eq!(texts(&shown, "cidrIp"), ["10.0.0.0/8", "192.168.0.0/16", "10.0.0.0/8", "0.0.0.0/0"]);
    assert_eq!((text(&shown, "cidrIpv6"), text(&shown, "userId")), ("2001:db8::/32".into(), ALICE.into()));
    assert_eq!((text(&shown, "fromPort"), text(&shown, "toPort")), ("22".into(), "22".into()));
    for absent in ["vpcPeeringConnectionId", "peeringStatus", "groupPairVpcId"] {
        assert!(texts(&shown, absent).is_empty(), "{absent}: the group is of the same VPC");
    }
    assert_eq!(texts(&shown, "vpcId").len(), 1);
}

#[test]
fn protocols_and_ports_are_those_of_the_packets() {
    let mut net = Net::new();
    let with = |protocol: &str, ports: &str| {
        format!("IpPermissions.1.IpRanges.1.CidrIp=10.0.0.0/8&IpPermissions.1.IpProtocol={protocol}{ports}")
    };
    let ports = |from: i32, to: i32| format!("&IpPermissions.1.FromPort={from}&IpPermissions.1.ToPort={to}");
    for (protocol, given, name, from, to) in [
        ("6", ports(0, 65535), "tcp", 0, 65535),
        ("UDP", ports(7, 7), "udp", 7, 7),
        ("icmp", ports(8, -1), "icmp", 8, -1),
        ("1", ports(-1, -1), "icmp", -1, -1),
        ("58", String::new(), "icmpv6", -1, -1),
        ("50", ports(1, 2), "50", -1, -1),
        ("-1", ports(1, 2), "-1", -1, -1),
    ] {
        let document = net.ok("AuthorizeSecurityGroupIngress", &with(protocol, &given));
        let shown = (text(&document, "ipProtocol"), text(&document, "fromPort"), text(&document, "toPort"));
        assert_eq!(shown, (name.into(), from.to_string(), to.to_string()), "{protocol}");
    }
    for (protocol, given) in [
        ("tcp", String::new()),
        ("tcp", "&IpPermissions.1.FromPort=1".into()),
        ("tcp", ports(2, 1)),
        ("udp", ports(-1, -1)),
        ("tcp", ports(0, 65536)),
        ("icmp", String::new()),
        ("icmp", ports(256, 0)),
        ("icmp", ports(-1, 3)),
        ("icmpv6", ports(0, -2)),
        ("256", ports(1, 1)),
        ("", ports(1, 1)),
        ("gre", ports(1, 1)),
        ("tcp", "&IpPermissions.1.FromPort=x".into()),
    ] {
        assert_eq!(
            net.code("AuthorizeSecurityGroupIngress", &with(protocol, &given)),
            "InvalidParameterValue",
            "{protocol}{given}"
        );
    }
    let error = net.error("AuthorizeSecurityGroupIngress", "IpPermissions.1.IpRanges.1.CidrIp=10.0.0.0/8");
    let text = "Invalid value 'null' for protocol. VPC security group rules must specify protocols explicitly.";
    assert_eq!((&*error.code, &*error.message), ("InvalidParameterValue", text));
    let error = net.error("AuthorizeSecurityGroupIngress", &with("tcp", ""));
    assert_eq!(error.message, "Invalid value for portRange. Must specify both from and to ports with TCP/UDP.");
}

#[test]
fn what_is_no_permission_is_refused() {
    let mut net = Net::new();
    for (rest, code) in [
        ("", "MissingParameter"),
        (TCP22, "MissingParameter"),
        (&format!("{TCP22}&IpPermissions.1.Groups.1.UserId={ALICE}"), "MissingParameter"),
        (&format!("{TCP22}&IpPermissions.1.IpRanges.1.Description=x"), "MissingParameter"),
        (&format!("{TCP22}&IpPermissions.1.IpRanges.1.CidrIp=2001:db8::/32"), "InvalidParameterValue"),
        (&format!("{TCP22}&IpPermissions.1.Ipv6Ranges.1.CidrIpv6=10.0.0.0/8"), "InvalidParameterValue"),
        (
            &format!("{TCP22}&IpPermissions.1.IpRanges.1.CidrIp=10.0.0.0/8&IpPermissions.1.IpRanges.1.Description=%3F"),
            "InvalidParameterValue",
        ),
        (&format!("{TCP22}&IpPermissions.1.PrefixListIds.1.PrefixListId=pl-{UNKNOWN}"), "InvalidPrefixListID.NotFound"),
        (&format!("{TCP22}&IpPermissions.1.Groups.1.GroupId=sg-{UNKNOWN}"), "InvalidGroup.NotFound"),
        (&format!("{TCP22}&IpPermissions.1.Groups.1.GroupName=nobody"), "InvalidGroup.NotFound"),
        (&format!("{TCP22}&IpPermissions.1.Groups.1.GroupId={BOB}/sg-{UNKNOWN}"), "InvalidGroupId.Malformed"),
        (&format!("{TCP22}&IpPermissions.1.IpRanges.1.CidrIp=10.0.0.0/8&GroupName=web"), "InvalidParameterCombination"),
        (
            &format!("{TCP22}&IpPermissions.1.IpRanges.1.CidrIp=10.0.0.0/8&CidrIp=10.0.0.0/8"),
            "InvalidParameterCombination",
        ),
        ("IpProtocol=-1&CidrIp=10.0.0.0/8&SourceSecurityGroupName=web", "InvalidParameterCombination"),
    ] {
        assert_eq!(net.code("AuthorizeSecurityGroupIngress", rest), code, "{rest}");
    }
    let foreign = format!("Action=AuthorizeSecurityGroupIngress&GroupId={}&IpProtocol=-1&CidrIp=10.0.0.0/8", net.group);
    assert_eq!(net.cloud.code(BOB, &foreign), "InvalidGroup.NotFound");
    assert_eq!(net.code("AuthorizeSecurityGroupEgress", "IpProtocol=-1&CidrIp=10.0.0.0/8"), "InvalidParameterValue");
}

#[test]
fn the_short_form_and_names_work_for_the_default_vpc() {
    let mut net = Net::new();
    let by_name =
        "Action=AuthorizeSecurityGroupIngress&GroupName=web&IpProtocol=tcp&FromPort=80&ToPort=81&CidrIp=10.0.0.0/8";
    assert_eq!(net.cloud.code(ALICE, by_name), "InvalidGroup.NotFound");
    assert_eq!(net.cloud.code(ALICE, "Action=DescribeSecurityGroups&GroupName.1=web"), "InvalidGroup.NotFound");
    net.make_default();
    assert_eq!(text(&net.cloud.ok(ALICE, by_name), "toPort"), "81");
    let document = net.ok("AuthorizeSecurityGroupIngress", "IpProtocol=-1&SourceSecurityGroupName=web");
    assert_eq!(texts(&document, "groupId"), [net.group.clone(), net.group.clone()]);
    assert_eq!(text(&net.cloud.ok(ALICE, "Action=DescribeSecurityGroups&GroupName.1=web"), "groupId"), net.group);
    net.ok("RevokeSecurityGroupIngress", "IpProtocol=-1&SourceSecurityGroupName=web");
    net.cloud.ok(ALICE, &by_name.replace("Authorize", "Revoke"));
    net.cloud.ok(ALICE, "Action=DeleteSecurityGroup&GroupName=web");
}

#[test]
fn a_duplicate_refuses_the_whole_request() {
    let mut net = Net::new();
    let range = |n: u8, cidr: &str| format!("&IpPermissions.1.IpRanges.{n}.CidrIp={cidr}");
    net.allow(&format!("{TCP22}{}", range(1, "10.0.0.0/8")));
    for rest in [
        format!(
            "{TCP22}{}{}&IpPermissions.1.IpRanges.2.Description=other",
            range(1, "11.0.0.0/8"),
            range(2, "10.0.0.1/8")
        ),
        format!("{TCP22}{}{}", range(1, "12.0.0.0/8"), range(2, "12.0.0.0/8")),
        format!(
            "IpPermissions.1.IpProtocol=6&IpPermissions.1.FromPort=22&IpPermissions.1.ToPort=22{}",
            range(1, "10.0.0.0/8")
        ),
    ] {
        assert_eq!(net.code("AuthorizeSecurityGroupIngress", &rest), "InvalidPermission.Duplicate", "{rest}");
    }
    let own = format!("{TCP22}&IpPermissions.1.Groups.1.GroupId={}", net.group);
    net.allow(&own);
    let with_user = format!("{own}&IpPermissions.1.Groups.1.UserId={ALICE}");
    let error = net.error("AuthorizeSecurityGroupIngress", &with_user);
    assert_eq!(&*error.code, "InvalidPermission.Duplicate");
    assert!(
        error.message.contains(&format!("peer: {}, TCP, from port: 22, to port: 22, ALLOW", net.group)),
        "{}",
        error.message
    );
    // The other direction has rules of its own.
    net.ok("AuthorizeSecurityGroupEgress", &own);
}

#[test]
fn the_quota_counts_directions_and_families_apart() {
    let mut net = Net::new();
    net.cloud.config.quotas.rules_per_security_group = 3;
    let v4 = |n: u8| format!("{TCP22}&IpPermissions.1.IpRanges.1.CidrIp=10.{n}.0.0/16");
    let v6 = |n: u8| format!("{TCP22}&IpPermissions.1.Ipv6Ranges.1.CidrIpv6=2001:db8:{n}::/48");
    (0..2).for_each(|n| drop((net.allow(&v4(n)), net.allow(&v6(n)))));
    // A group counts in both families.
    let own = format!("{TCP22}&IpPermissions.1.Groups.1.GroupId={}", net.group);
    net.allow(&own);
    for full in [v4(9), v6(9)] {
        assert_eq!(net.code("AuthorizeSecurityGroupIngress", &full), "RulesPerSecurityGroupLimitExceeded");
    }
    net.ok("AuthorizeSecurityGroupEgress", &v4(9));
    let many: String = (0..7).map(|n| format!("&IpPermissions.1.IpRanges.{n}.CidrIp=10.{n}.0.0/16")).collect();
    assert_eq!(
        net.code("AuthorizeSecurityGroupEgress", &format!("{TCP22}{many}")),
        "RulesPerSecurityGroupLimitExceeded"
    );
    // A block that becomes a group counts in the other family too.
    net.ok("RevokeSecurityGroupIngress", &own);
    let third = net.allow(&v6(3));
    let fourth = net.allow(&v4(3));
    let to_group =
        |rule: &str| format!("{}&SecurityGroupRule.1.SecurityGroupRule.ReferencedGroupId=", modify(rule, "tcp", 22));
    let group = net.group.clone();
    assert_eq!(
        net.code("ModifySecurityGroupRules", &format!("{}{group}", to_group(&fourth))),
        "RulesPerSecurityGroupLimitExceeded"
    );
    net.ok("RevokeSecurityGroupIngress", &format!("SecurityGroupRuleId.1={third}"));
    net.ok("ModifySecurityGroupRules", &format!("{}{group}", to_group(&fourth)));
    // With a smaller quota later on, what is there stays and may change.
    net.cloud.config.quotas.rules_per_security_group = 1;
    net.ok("ModifySecurityGroupRules", &format!("{}{group}", to_group(&fourth).replace("Port=22", "Port=23")));
}

fn modify(rule: &str, protocol: &str, port: u16) -> String {
    format!(
        "SecurityGroupRule.1.SecurityGroupRuleId={rule}&SecurityGroupRule.1.SecurityGroupRule.IpProtocol={protocol}\
         &SecurityGroupRule.1.SecurityGroupRule.FromPort={port}&SecurityGroupRule.1.SecurityGroupRule.ToPort={port}"
    )
}

#[test]
fn revoking_is_all_or_nothing() {
    let mut net = Net::new();
    let ten = format!("{TCP22}&IpPermissions.1.IpRanges.1.CidrIp=10.0.0.0/8");
    let rule = net.allow(&format!("{ten}&IpPermissions.1.IpRanges.1.Description=x"));
    for rest in [
        format!("{ten}&IpPermissions.1.IpRanges.2.CidrIp=11.0.0.0/8"),
        ten.replace("ToPort=22", "ToPort=23"),
        ten.replace("tcp", "udp"),
        ten.replace("IpRanges.1.CidrIp=10.0.0.0/8", "Ipv6Ranges.1.CidrIpv6=::/0"),
        ten.replace("IpRanges.1.CidrIp=10.0.0.0/8", &format!("PrefixListIds.1.PrefixListId=pl-{UNKNOWN}")),
        ten.replace("IpRanges.1.CidrIp=10.0.0.0/8", &format!("Groups.1.GroupId=sg-{UNKNOWN}")),
    ] {
        let error = net.error("RevokeSecurityGroupIngress", &rest);
        assert_eq!(&*error.code, "InvalidPermission.NotFound", "{rest}");
        assert_eq!(error.message, "The specified rule does not exist in this security group.");
    }
    assert_eq!(net.code("RevokeSecurityGroupEgress", &ten), "InvalidPermission.NotFound");
    assert_eq!(
        net.code("RevokeSecurityGroupEgress", &format!("SecurityGroupRuleId.1={rule}")),
        "InvalidSecurityGroupRuleId.NotFound"
    );
    let unknown = format!("SecurityGroupRuleId.1={rule}&SecurityGroupRuleId.2=sgr-{UNKNOWN}");
    assert_eq!(net.code("RevokeSecurityGroupIngress", &unknown), "InvalidSecurityGroupRuleId.NotFound");
    assert_eq!(
        net.code("RevokeSecurityGroupIngress", "SecurityGroupRuleId.1=x"),
        "InvalidSecurityGroupRuleId.Malformed"
    );
    assert_eq!(
        net.code("RevokeSecurityGroupIngress", &format!("{ten}&SecurityGroupRuleId.1={rule}")),
        "InvalidParameterCombination"
    );
    assert_eq!(net.code("RevokeSecurityGroupIngress", ""), "MissingParameter");

    // The default VPC makes no difference (spec 6.2 leaves that to us).
    net.make_default();
    assert_eq!(
        net.code("RevokeSecurityGroupIngress", &format!("{ten}&IpPermissions.1.IpRanges.2.CidrIp=11.0.0.0/8")),
        "InvalidPermission.NotFound"
    );

    let document = net.ok("RevokeSecurityGroupIngress", &ten);
    assert_eq!(texts(&document, "securityGroupRuleId"), [rule]);
    assert_eq!((text(&document, "cidrIpv4"), text(&document, "description")), ("10.0.0.0/8".into(), "x".into()));
    assert_eq!(net.code("RevokeSecurityGroupIngress", &ten), "InvalidPermission.NotFound");
    // What Terraform does with every new group.
    let all = |range: &str| format!("IpPermissions.1.IpProtocol=-1&IpPermissions.1.{range}");
    let document = net.ok("RevokeSecurityGroupEgress", &all("IpRanges.1.CidrIp=0.0.0.0/0"));
    assert_eq!((text(&document, "isEgress"), text(&document, "fromPort")), ("true".into(), "-1".into()));
    assert_eq!(net.code("RevokeSecurityGroupEgress", &all("Ipv6Ranges.1.CidrIpv6=::/0")), "InvalidPermission.NotFound");
}

#[test]
fn descriptions_come_and_go() {
    let mut net = Net::new();
    let ten = format!("{TCP22}&IpPermissions.1.IpRanges.1.CidrIp=10.0.0.0/8");
    let rule = net.allow(&ten);
    let action = "UpdateSecurityGroupRuleDescriptionsIngress";
    net.ok(action, &format!("{ten}&IpPermissions.1.IpRanges.1.Description=one"));
    assert_eq!(texts(&net.rules(""), "description"), ["one"]);
    let by_id = format!("SecurityGroupRuleDescription.1.SecurityGroupRuleId={rule}");
    net.ok(action, &format!("{by_id}&SecurityGroupRuleDescription.1.Description=two"));
    assert_eq!(texts(&net.rules(""), "description"), ["two"]);
    net.ok(action, &by_id);
    assert!(texts(&net.rules(""), "description").is_empty());
    for (action, rest, code) in [
        (action, format!("{by_id}&SecurityGroupRuleDescription.1.Description=%22"), "InvalidParameterValue"),
        (action, format!("{by_id}&{ten}"), "InvalidParameterCombination"),
        (action, String::new(), "MissingParameter"),
        (action, ten.replace("10.0.0.0", "11.0.0.0"), "InvalidPermission.NotFound"),
        ("UpdateSecurityGroupRuleDescriptionsEgress", ten.clone(), "InvalidPermission.NotFound"),
        ("UpdateSecurityGroupRuleDescriptionsEgress", by_id.clone(), "InvalidSecurityGroupRuleId.NotFound"),
    ] {
        assert_eq!(net.code(action, &rest), code, "{rest}");
    }
    let everything = "IpPermissions.1.IpProtocol=-1&IpPermissions.1.IpRanges.1.CidrIp=0.0.0.0/0&IpPermissions.1.IpRanges.1.Description=out";
    net.ok("UpdateSecurityGroupRuleDescriptionsEgress", everything);
    assert_eq!(texts(&net.shown(), "description"), ["out"]);
}

#[test]
fn a_rule_changes_whole_and_keeps_its_id() {
    let mut net = Net::new();
    let first = net.allow(&format!(
        "{TCP22}&IpPermissions.1.IpRanges.1.CidrIp=10.0.0.0/8&IpPermissions.1.IpRanges.1.Description=x"
    ));
    let second = net.allow(&format!("{TCP22}&IpPermissions.1.IpRanges.1.CidrIp=11.0.0.0/8"));
    let cidr = |cidr: &str| format!("&SecurityGroupRule.1.SecurityGroupRule.CidrIpv4={cidr}");
    net.ok("ModifySecurityGroupRules", &format!("{}{}", modify(&first, "udp", 53), cidr("12.1.1.1/8")));
    let shown = net.rules(&format!("SecurityGroupRuleId.1={first}"));
    assert_eq!(
        (text(&shown, "ipProtocol"), text(&shown, "cidrIpv4"), text(&shown, "fromPort")),
        ("udp".into(), "12.0.0.0/8".into(), "53".into())
    );
    assert!(texts(&shown, "description").is_empty(), "what is not given is gone");

    let base = modify(&first, "tcp", 22);
    let member = "&SecurityGroupRule.1.SecurityGroupRule";
    for (rest, code) in [
        (format!("{base}{}", cidr("11.0.0.0/8")), "InvalidPermission.Duplicate"),
        (base.clone(), "MissingParameter"),
        (format!("{base}{}{member}.CidrIpv6=::/0", cidr("1.0.0.0/8")), "InvalidParameterCombination"),
        (format!("{base}{}{member}.ReferencedGroupId={}", cidr("1.0.0.0/8"), net.group), "InvalidParameterCombination"),
        (format!("{base}{member}.CidrIpv6=::/0"), "InvalidParameterValue"),
        (format!("{base}{member}.PrefixListId=pl-{UNKNOWN}"), "InvalidPrefixListID.NotFound"),
        (format!("{base}{member}.ReferencedGroupId=sg-{UNKNOWN}"), "InvalidGroup.NotFound"),
        (
            format!("{}{}", modify(&first, "tcp", 1).replace("ToPort=1", "ToPort=0"), cidr("1.0.0.0/8")),
            "InvalidParameterValue",
        ),
        (
            format!("{}{}", modify(&format!("sgr-{UNKNOWN}"), "tcp", 1), cidr("1.0.0.0/8")),
            "InvalidSecurityGroupRuleId.NotFound",
        ),
        (String::new(), "MissingParameter"),
        (
            format!(
                "{base}{0}&{1}{2}",
                cidr("1.0.0.0/8"),
                base.replace("Rule.1.", "Rule.2."),
                cidr("2.0.0.0/8").replace("Rule.1.", "Rule.2.")
            ),
            "InvalidParameterValue",
        ),
    ] {
        assert_eq!(net.code("ModifySecurityGroupRules", &rest), code, "{rest}");
    }
    let error = net.error("ModifySecurityGroupRules", &base);
    assert_eq!(
        error.message,
        "The request must contain exactly one of: cidrIp, cidrIpv6, prefixListId, or referencedGroupId"
    );
    // Two rules may change places: only the end counts.
    net.ok("ModifySecurityGroupRules", &format!("{base}{}", cidr("12.0.0.0/8")));
    let swap = format!(
        "{base}{}&{}{}",
        cidr("11.0.0.0/8"),
        modify(&second, "tcp", 22).replace("Rule.1.", "Rule.2."),
        cidr("12.0.0.0/8").replace("Rule.1.", "Rule.2.")
    );
    net.ok("ModifySecurityGroupRules", &swap);
    let shown = net.rules(&format!("SecurityGroupRuleId.1={second}"));
    assert_eq!(text(&shown, "cidrIpv4"), "12.0.0.0/8");
    let foreign = format!("Action=ModifySecurityGroupRules&GroupId={}&{base}{}", net.group, cidr("1.0.0.0/8"));
    assert_eq!(net.cloud.code(BOB, &foreign), "InvalidGroup.NotFound");
}

#[test]
fn rules_are_listed_one_by_one_in_pages() {
    let mut net = Net::new();
    let ranges: String = (0..8).map(|n| format!("&IpPermissions.1.IpRanges.{n}.CidrIp=10.{n}.0.0/16")).collect();
    let rule = net.allow(&format!("{TCP22}{ranges}"));
    let group = net.group.clone();
    let of_group = format!("Filter.1.Name=group-id&Filter.1.Value.1={group}");
    let first = net.rules(&format!("{of_group}&MaxResults=5"));
    let second = net.rules(&format!("{of_group}&MaxResults=5&NextToken={}", text(&first, "nextToken")));
    let mut ids = [texts(&first, "securityGroupRuleId"), texts(&second, "securityGroupRuleId")].concat();
    assert_eq!((ids.len(), texts(&second, "nextToken").len()), (9, 0));
    ids.dedup();
    assert_eq!(ids.len(), 9);

    net.cloud.ok(ALICE, &format!("Action=CreateTags&ResourceId.1={rule}&Tag.1.Key=Name&Tag.1.Value=w"));
    for filter in [
        format!("security-group-rule-id&Filter.1.Value.1={rule}"),
        "tag:Name&Filter.1.Value.1=w".into(),
        "tag-key&Filter.1.Value.1=Name".into(),
    ] {
        assert_eq!(
            texts(&net.rules(&format!("Filter.1.Name={filter}")), "securityGroupRuleId"),
            [rule.as_str()],
            "{filter}"
        );
    }
    for (rest, code) in [
        (format!("SecurityGroupRuleId.1=sgr-{UNKNOWN}"), "InvalidSecurityGroupRuleId.NotFound"),
        (format!("SecurityGroupRuleId.1={rule}&MaxResults=5"), "InvalidParameterCombination"),
        ("MaxResults=4".into(), "InvalidParameterValue"),
        ("Filter.1.Name=vpc-id&Filter.1.Value.1=x".into(), "InvalidParameterValue"),
        ("NextToken=x".into(), "InvalidNextToken"),
    ] {
        assert_eq!(net.cloud.code(ALICE, &format!("Action=DescribeSecurityGroupRules&{rest}")), code, "{rest}");
    }
    let foreign = format!("Action=DescribeSecurityGroupRules&SecurityGroupRuleId.1={rule}");
    let error = net.cloud.error(BOB, &foreign);
    assert_eq!(
        (&*error.code, error.message),
        ("InvalidSecurityGroupRuleId.NotFound", format!("The security group rule ID '{rule}' does not exist"))
    );
}
