//! Regions, zones and account attributes through the API (spec 1.1).

mod common;

use common::*;

#[test]
fn regions() {
    let mut cloud = Harness::new();
    let all = cloud.ok(ALICE, "Action=DescribeRegions&AllRegions=true");
    assert_eq!(texts(&all, "regionName"), ["eu-west-1", "us-east-1"]);
    assert_eq!(texts(&all, "regionEndpoint"), ["ec2.eu-west-1.amazonaws.com", "ec2.us-east-1.amazonaws.com"]);
    assert_eq!(texts(&all, "optInStatus"), ["opt-in-not-required"; 2]);
    for query in [
        "RegionName.1=eu-west-1",
        "Filter.1.Name=region-name&Filter.1.Value.1=eu-*",
        "Filter.1.Name=endpoint&Filter.1.Value.1=*eu-west-1*",
    ] {
        assert_eq!(
            texts(&cloud.ok(ALICE, &format!("Action=DescribeRegions&{query}")), "regionName"),
            ["eu-west-1"],
            "{query}"
        );
    }
    assert_eq!(
        texts(
            &cloud.ok(ALICE, "Action=DescribeRegions&Filter.1.Name=opt-in-status&Filter.1.Value.1=opted-in"),
            "regionName"
        )
        .len(),
        0
    );
    assert_eq!(cloud.code(ALICE, "Action=DescribeRegions&RegionName.1=mars-north-1"), "InvalidParameterValue");
    for unknown in ["x", "tag:a", "tag-key"] {
        assert_eq!(
            cloud.code(ALICE, &format!("Action=DescribeRegions&Filter.1.Name={unknown}&Filter.1.Value.1=x")),
            "InvalidParameterValue"
        );
    }
}

#[test]
fn zones() {
    let mut cloud = Harness::in_region("eu-west-1");
    let all = cloud.ok(ALICE, "Action=DescribeAvailabilityZones");
    assert_eq!(texts(&all, "zoneName"), ["eu-west-1a", "eu-west-1b", "eu-west-1c"]);
    assert_eq!(texts(&all, "zoneId"), ["euw1-az1", "euw1-az2", "euw1-az3"]);
    for (name, value) in [
        ("zoneState", "available"),
        ("zoneType", "availability-zone"),
        ("regionName", "eu-west-1"),
        ("groupName", "eu-west-1-zg-1"),
        ("networkBorderGroup", "eu-west-1"),
        ("optInStatus", "opt-in-not-required"),
    ] {
        assert_eq!(text(&all, name), value);
    }
    for query in [
        "ZoneName.1=eu-west-1b",
        "ZoneId.1=euw1-az2",
        "Filter.1.Name=zone-id&Filter.1.Value.1=euw1-az2",
        "Filter.1.Name=zone-name&Filter.1.Value.1=*b&Filter.2.Name=state&Filter.2.Value.1=available",
    ] {
        assert_eq!(
            texts(&cloud.ok(ALICE, &format!("Action=DescribeAvailabilityZones&{query}")), "zoneName"),
            ["eu-west-1b"],
            "{query}"
        );
    }
    assert_eq!(
        texts(
            &cloud.ok(
                ALICE,
                "Action=DescribeAvailabilityZones&Filter.1.Name=opt-in-status&Filter.1.Value.1=opt-in-not-required"
            ),
            "zoneName"
        )
        .len(),
        3
    );
    for wrong in ["ZoneName.1=us-east-1a", "ZoneName.1=euw1-az1", "ZoneId.1=use1-az1"] {
        assert_eq!(
            cloud.code(ALICE, &format!("Action=DescribeAvailabilityZones&{wrong}")),
            "InvalidZone.NotFound",
            "{wrong}"
        );
    }
    assert_eq!(
        cloud.code(ALICE, "Action=DescribeAvailabilityZones&Filter.1.Name=x&Filter.1.Value.1=y"),
        "InvalidParameterValue"
    );
}

#[test]
fn account_attributes() {
    let mut cloud = Harness::new();
    let all = cloud.ok(ALICE, "Action=DescribeAccountAttributes");
    assert_eq!(texts(&all, "attributeName").len(), 6);
    let one = |cloud: &mut Harness, name: &str| {
        text(&cloud.ok(ALICE, &format!("Action=DescribeAccountAttributes&AttributeName.1={name}")), "attributeValue")
    };
    assert_eq!((one(&mut cloud, "supported-platforms"), one(&mut cloud, "default-vpc")), ("VPC".into(), "none".into()));
    cloud.config.quotas.instances = 7;
    assert_eq!(one(&mut cloud, "max-instances"), "7");
    cloud.config.quotas.elastic_ips = 8;
    assert_eq!((one(&mut cloud, "vpc-max-elastic-ips"), one(&mut cloud, "max-elastic-ips")), ("8".into(), "8".into()));
    assert_eq!(cloud.code(ALICE, "Action=DescribeAccountAttributes&AttributeName.1=x"), "InvalidParameterValue");
}
