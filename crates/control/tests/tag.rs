//! Tags through the API (spec 1.4).

mod common;
mod things;

use common::*;
use model::*;
use things::*;

/// One of each kind that can have tags: its id and the API's word for the kind.
fn one_of_each(cloud: &mut Harness) -> Vec<(String, &'static str)> {
    let vpc_id = vpc(cloud, ALICE, "10.0.0.0/16");
    let bobs = vpc(cloud, BOB, "10.1.0.0/16");
    let subnet_id = subnet(cloud, ALICE, &vpc_id, "10.0.0.0/24");
    let (instance_id, eni) = instance(cloud, &subnet_id, "10.0.0.9");
    let pcx = peering(cloud, &vpc_id, &bobs, PeeringStatus::PendingAcceptance);
    let gateway = text(&cloud.ok(ALICE, "Action=CreateInternetGateway"), "internetGatewayId");
    let vpc = Vpc::clone(cloud.world.find::<Vpc>(&vpc_id.parse().unwrap()).unwrap());
    let rule = *cloud.world.find::<SecurityGroup>(&vpc.default_group).unwrap().rules.keys().next().unwrap();
    vec![
        (vpc_id, "vpc"),
        (subnet_id, "subnet"),
        (vpc.main.route_table.to_string(), "route-table"),
        (vpc.default_group.to_string(), "security-group"),
        (rule.to_string(), "security-group-rule"),
        (vpc.default_acl.to_string(), "network-acl"),
        (eni.to_string(), "network-interface"),
        (instance_id.to_string(), "instance"),
        (gateway, "internet-gateway"),
        (vpc.dhcp_options.unwrap().to_string(), "dhcp-options"),
        (pcx.to_string(), "vpc-peering-connection"),
    ]
}

#[test]
fn every_kind_takes_and_loses_tags() {
    let mut cloud = Harness::new();
    let things = one_of_each(&mut cloud);
    let ids = |things: &[(String, &str)]| {
        things.iter().enumerate().map(|(n, (id, _))| format!("&ResourceId.{}={id}", n + 1)).collect::<String>()
    };
    let before = cloud.world.clone();
    cloud.ok(ALICE, &format!("Action=CreateTags{}&Tag.1.Key=Name&Tag.1.Value=x&Tag.2.Key=Empty", ids(&things)));
    for (id, kind) in &things {
        let shown = cloud.ok(ALICE, &format!("Action=DescribeTags&Filter.1.Name=resource-id&Filter.1.Value.1={id}"));
        assert_eq!(
            (texts(&shown, "key"), texts(&shown, "value")),
            (vec!["Empty".into(), "Name".into()], vec![String::new(), "x".into()]),
            "{kind}"
        );
        let shown = cloud.ok(ALICE, &format!("Action=DescribeTags&Filter.1.Name=resource-type&Filter.1.Value.1={kind}&Filter.2.Name=key&Filter.2.Value.1=Name&Filter.3.Name=value&Filter.3.Value.1=x"));
        assert_eq!(texts(&shown, "resourceId"), [id.as_str()], "{kind}");
        let shown = cloud.ok(ALICE, &format!("Action=DescribeTags&Filter.1.Name=resource-type&Filter.1.Value.1={kind}&Filter.2.Name=tag:Name&Filter.2.Value.1=x"));
        assert_eq!(texts(&shown, "resourceId"), [id.as_str()], "{kind}");
    }
    assert_eq!(texts(&cloud.ok(BOB, "Action=DescribeTags"), "resourceId").len(), 0);
    // Another value stays, the right one goes, none at all takes all.
    cloud.ok(
        ALICE,
        &format!("Action=DeleteTags{}&Tag.1.Key=Name&Tag.1.Value=y&Tag.2.Key=Empty&Tag.2.Value=", ids(&things)),
    );
    assert_eq!(texts(&cloud.ok(ALICE, "Action=DescribeTags"), "key"), vec!["Name"; things.len()]);
    cloud.ok(ALICE, &format!("Action=DeleteTags{}&Tag.1.Key=Name", ids(&things[..2])));
    assert_eq!(texts(&cloud.ok(ALICE, "Action=DescribeTags"), "key").len(), things.len() - 2);
    cloud.ok(ALICE, &format!("Action=DeleteTags{}", ids(&things)));
    assert_eq!(texts(&cloud.ok(ALICE, "Action=DescribeTags"), "key").len(), 0);
    assert_eq!(cloud.world.vpcs, before.vpcs);
}

#[test]
fn nothing_of_anothers_can_be_tagged() {
    let mut cloud = Harness::new();
    for (id, kind) in one_of_each(&mut cloud) {
        for action in ["CreateTags", "DeleteTags"] {
            let query = format!("Action={action}&ResourceId.1={id}&Tag.1.Key=mine");
            if kind == "vpc-peering-connection" {
                let stranger = cloud.error("333333333333", &query);
                assert_eq!(
                    (stranger.code.as_ref(), stranger.message),
                    (
                        "InvalidVpcPeeringConnectionID.NotFound",
                        format!("The vpcPeeringConnection ID '{id}' does not exist")
                    )
                );
            } else {
                let code = cloud.code(BOB, &query);
                assert!(code.ends_with(".NotFound"), "{kind}: {code}");
                let unknown = format!("{}-{UNKNOWN}", id.rsplit_once('-').unwrap().0);
                assert_eq!(code, cloud.code(BOB, &query.replace(&id, &unknown)));
            }
        }
    }
}

#[test]
fn each_side_of_a_peering_has_its_own() {
    let mut cloud = Harness::new();
    let (a, b) = (vpc(&mut cloud, ALICE, "10.0.0.0/16"), vpc(&mut cloud, BOB, "10.1.0.0/16"));
    let pcx = peering(&mut cloud, &a, &b, PeeringStatus::InitiatingRequest);
    let tag = |value: &str| format!("Action=CreateTags&ResourceId.1={pcx}&Tag.1.Key=Side&Tag.1.Value={value}");
    cloud.ok(ALICE, &tag("requester"));
    assert_eq!(cloud.code(BOB, &tag("accepter")), "InvalidVpcPeeringConnectionID.NotFound");
    set_status(&mut cloud, pcx, PeeringStatus::PendingAcceptance);
    cloud.ok(BOB, &tag("accepter"));
    assert_eq!(texts(&cloud.ok(ALICE, "Action=DescribeTags"), "value"), ["requester"]);
    assert_eq!(texts(&cloud.ok(BOB, "Action=DescribeTags"), "value"), ["accepter"]);
    cloud.ok(BOB, &format!("Action=DeleteTags&ResourceId.1={pcx}"));
    assert_eq!(texts(&cloud.ok(ALICE, "Action=DescribeTags"), "value"), ["requester"]);
    // The same account's side in another region has a record, and tags, of its own there.
    let mut far = Peering::clone(cloud.world.find::<Peering>(&pcx).unwrap());
    far.requester.region = "eu-west-1".parse().unwrap();
    put(&mut cloud, far);
    assert_eq!(cloud.code(ALICE, &tag("x")), "InvalidVpcPeeringConnectionID.NotFound");
}

#[test]
fn keys_values_and_ids_that_do_not_do() {
    let mut cloud = Harness::new();
    let id = vpc(&mut cloud, ALICE, "10.0.0.0/16");
    let one = |id: &str, rest: &str| format!("Action=CreateTags&ResourceId.1={id}&{rest}");
    for (query, code) in [
        (one(&id, ""), "MissingParameter"),
        ("Action=CreateTags&Tag.1.Key=a".into(), "MissingParameter"),
        ("Action=DeleteTags".into(), "MissingParameter"),
        (one(&id, "Tag.1.Key=aws:x"), "InvalidTagKey.Malformed"),
        (one(&id, "Tag.1.Key=a&Tag.2.Key=a"), "InvalidParameterValue"),
        (one(&id, &format!("Tag.1.Key={}", "k".repeat(128))), "InvalidParameterValue"),
        (one(&id, &format!("Tag.1.Key=a&Tag.1.Value={}", "v".repeat(257))), "InvalidParameterValue"),
        (one("vpc-x", "Tag.1.Key=a"), "InvalidVpcID.Malformed"),
        (one(&format!("vpc-{UNKNOWN}"), "Tag.1.Key=a"), "InvalidVpcID.NotFound"),
        (one(&format!("sgr-{UNKNOWN}"), "Tag.1.Key=a"), "InvalidSecurityGroupRuleId.NotFound"),
        (one("pcx-x", "Tag.1.Key=a"), "InvalidVpcPeeringConnectionId.Malformed"),
        (one(&format!("nat-{UNKNOWN}"), "Tag.1.Key=a"), "InvalidNatGatewayID.NotFound"),
        (one("unicorn-1", "Tag.1.Key=a"), "InvalidID"),
        (one("vpc", "Tag.1.Key=a"), "InvalidID"),
    ] {
        assert_eq!(cloud.code(ALICE, &query), code, "{query}");
    }
    let tags =
        |from: usize, to: usize| (from..to).map(|n| format!("Tag.{}.Key=k{n}", n + 1)).collect::<Vec<_>>().join("&");
    assert_eq!(cloud.code(ALICE, &one(&id, &tags(0, 51))), "TagLimitExceeded");
    cloud.ok(ALICE, &one(&id, &tags(0, 50)));
    cloud.ok(ALICE, &one(&id, "Tag.1.Key=k0&Tag.1.Value=again"));
    assert_eq!(cloud.code(ALICE, &one(&id, "Tag.1.Key=more")), "TagLimitExceeded");
    // One wrong id of several: none is tagged.
    assert_eq!(
        cloud.code(ALICE, &format!("{}&ResourceId.2=subnet-{UNKNOWN}", one(&id, "Tag.1.Key=k0&Tag.1.Value=b"))),
        "InvalidSubnetID.NotFound"
    );
}

#[test]
fn pages_and_filters_of_describe_tags() {
    let mut cloud = Harness::new();
    let id = vpc(&mut cloud, ALICE, "10.0.0.0/16");
    cloud.ok(
        ALICE,
        &format!(
            "Action=CreateTags&ResourceId.1={id}&{}",
            (1..=7).map(|n| format!("Tag.{n}.Key=k{n}&Tag.{n}.Value=v")).collect::<Vec<_>>().join("&")
        ),
    );
    let first = cloud.ok(ALICE, "Action=DescribeTags&MaxResults=5");
    let rest = cloud.ok(ALICE, &format!("Action=DescribeTags&MaxResults=5&NextToken={}", text(&first, "nextToken")));
    let keys = [texts(&first, "key"), texts(&rest, "key")].concat();
    assert_eq!(keys, (1..=7).map(|n| format!("k{n}")).collect::<Vec<_>>());
    assert_eq!(texts(&rest, "nextToken").len(), 0);
    assert_eq!(
        texts(&cloud.ok(ALICE, "Action=DescribeTags&Filter.1.Name=key&Filter.1.Value.1=k1&Filter.1.Value.2=k2"), "key")
            .len(),
        2
    );
    assert_eq!(
        cloud.code(ALICE, "Action=DescribeTags&Filter.1.Name=colour&Filter.1.Value.1=x"),
        "InvalidParameterValue"
    );
    assert_eq!(cloud.code(ALICE, "Action=DescribeTags&MaxResults=4"), "InvalidParameterValue");
}

/// Tags at creation count together, however many specifications they come in.
#[test]
fn specifications_of_one_type_are_one_set_of_tags() {
    let mut cloud = Harness::new();
    let specification = |number: usize, keys: std::ops::Range<usize>| {
        let tags = keys.enumerate().map(|(n, key)| format!("&TagSpecification.{number}.Tag.{}.Key=k{key}", n + 1));
        format!("&TagSpecification.{number}.ResourceType=vpc{}", tags.collect::<String>())
    };
    let create = |a, b| format!("Action=CreateVpc&CidrBlock=10.0.0.0/16{}{}", specification(1, a), specification(2, b));
    assert_eq!(texts(&cloud.ok(ALICE, &create(0..30, 30..50)), "key").len(), 50);
    assert_eq!(cloud.code(ALICE, &create(0..30, 30..51)), "TagLimitExceeded");
    let twice = cloud.error(ALICE, &create(0..2, 1..3));
    assert_eq!(
        (twice.code.as_ref(), twice.message.as_str()),
        ("InvalidParameterValue", "Duplicate tag key 'k1' specified.")
    );
}

/// A line break of DOS in a value is the user's.
#[test]
fn a_carriage_return_comes_back() {
    let mut cloud = Harness::new();
    let vpc = vpc(&mut cloud, ALICE, "10.0.0.0/16");
    cloud.ok(ALICE, &format!("Action=CreateTags&ResourceId.1={vpc}&Tag.1.Key=note&Tag.1.Value=a%0D%0Ab%09c"));
    assert_eq!(text(&cloud.ok(ALICE, "Action=DescribeTags"), "value"), "a\r\nb\tc");
}
