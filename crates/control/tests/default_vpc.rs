//! The default VPC through the API (spec 2.5).

mod common;

use common::*;
use model::*;

/// A region where every account has a default VPC.
fn cloud() -> Harness {
    let mut cloud = Harness::new();
    cloud.config.default_vpc = true;
    cloud
}

fn default_vpc(cloud: &mut Harness, account: &str) -> String {
    text(&cloud.ok(account, "Action=DescribeVpcs&Filter.1.Name=is-default&Filter.1.Value.1=true"), "vpcId")
}

#[test]
fn the_first_use_makes_it_whole() {
    let mut cloud = cloud();
    let shown = cloud.ok(ALICE, "Action=DescribeVpcs");
    let vpc = text(&shown, "vpcId");
    assert_eq!(texts(&shown, "vpcId"), [vpc.as_str()]);
    assert_eq!((text(&shown, "cidrBlock"), text(&shown, "isDefault")), ("172.31.0.0/16".into(), "true".into()));
    let names = cloud.ok(ALICE, &format!("Action=DescribeVpcAttribute&VpcId={vpc}&Attribute=enableDnsHostnames"));
    assert_eq!(text(&names, "value"), "true");
    let subnets = cloud.ok(ALICE, "Action=DescribeSubnets");
    let blocks: std::collections::BTreeSet<_> = texts(&subnets, "cidrBlock").into_iter().collect();
    assert_eq!(blocks.into_iter().collect::<Vec<_>>(), ["172.31.0.0/20", "172.31.16.0/20", "172.31.32.0/20"]);
    let zones: std::collections::BTreeSet<_> = texts(&subnets, "availabilityZone").into_iter().collect();
    assert_eq!(zones.len(), 3);
    assert_eq!(texts(&subnets, "defaultForAz"), ["true"; 3]);
    assert_eq!(texts(&subnets, "mapPublicIpOnLaunch"), ["true"; 3]);
    let gateways = cloud.ok(ALICE, "Action=DescribeInternetGateways");
    assert_eq!(text(&gateways, "vpcId"), vpc);
    let tables = cloud.ok(ALICE, "Action=DescribeRouteTables");
    assert_eq!(texts(&tables, "destinationCidrBlock"), ["172.31.0.0/16", "0.0.0.0/0"]);
    assert_eq!(texts(&tables, "state").iter().filter(|state| *state == "active").count(), 2);
    assert_eq!(texts(&tables, "gatewayId")[1], text(&gateways, "internetGatewayId"));
    let attributes = cloud.ok(ALICE, "Action=DescribeAccountAttributes&AttributeName.1=default-vpc");
    assert_eq!(text(&attributes, "attributeValue"), vpc);
    assert_eq!(texts(&cloud.ok(ALICE, "Action=DescribeSecurityGroups"), "groupName").first().unwrap(), "default");
}

#[test]
fn each_account_has_one_and_it_is_made_once() {
    let mut cloud = cloud();
    let alices = default_vpc(&mut cloud, ALICE);
    let before: Vec<Resource> = cloud.world.resources().collect();
    assert_eq!(default_vpc(&mut cloud, ALICE), alices);
    assert!(cloud.world.resources().eq(before), "a second use makes nothing");
    assert_ne!(default_vpc(&mut cloud, BOB), alices);
    assert_eq!(cloud.code(BOB, &format!("Action=DescribeVpcs&VpcId.1={alices}")), "InvalidVpcID.NotFound");
    assert_eq!(cloud.world.vpcs.size(), 2);
}

#[test]
fn a_request_that_fails_or_only_tries_makes_nothing() {
    let mut cloud = cloud();
    assert_eq!(cloud.code(ALICE, "Action=DescribeVpcs&DryRun=true"), "DryRunOperation");
    assert_eq!(cloud.code(ALICE, "Action=DeleteVpc&VpcId=vpc-0123456789abcdef0"), "InvalidVpcID.NotFound");
    assert_eq!(cloud.world.vpcs.size(), 0);
    // A write that needs it finds it.
    cloud.ok(ALICE, "Action=CreateSecurityGroup&GroupName=web&GroupDescription=d");
    assert_eq!(cloud.world.vpcs.size(), 1);
}

#[test]
fn without_it_accounts_begin_empty() {
    let mut cloud = Harness::new();
    assert!(texts(&cloud.ok(ALICE, "Action=DescribeVpcs"), "vpcId").is_empty());
    let launch = "Action=RunInstances&ImageId=ami-0123456789abcdef0&MinCount=1&MaxCount=1";
    assert_eq!(cloud.code(ALICE, launch), "VPCIdNotSpecified");
    cloud.ok(ALICE, "Action=CreateDefaultVpc");
    cloud.ok(ALICE, launch);
    // Turned on later, there is nothing left to make.
    cloud.config.default_vpc = true;
    default_vpc(&mut cloud, ALICE);
    assert_eq!(cloud.world.vpcs.size(), 1);
}

fn delete(cloud: &mut Harness, vpc: &str) {
    for subnet in texts(&cloud.ok(ALICE, "Action=DescribeSubnets"), "subnetId") {
        cloud.ok(ALICE, &format!("Action=DeleteSubnet&SubnetId={subnet}"));
    }
    let gateway = text(&cloud.ok(ALICE, "Action=DescribeInternetGateways"), "internetGatewayId");
    cloud.ok(ALICE, &format!("Action=DetachInternetGateway&InternetGatewayId={gateway}&VpcId={vpc}"));
    cloud.ok(ALICE, &format!("Action=DeleteInternetGateway&InternetGatewayId={gateway}"));
    cloud.ok(ALICE, &format!("Action=DeleteVpc&VpcId={vpc}"));
}

#[test]
fn one_that_was_deleted_comes_back_only_when_asked_for() {
    let mut cloud = cloud();
    let vpc = default_vpc(&mut cloud, ALICE);
    assert_eq!(cloud.code(ALICE, "Action=CreateDefaultVpc"), "DefaultVpcAlreadyExists");
    delete(&mut cloud, &vpc);
    assert!(texts(&cloud.ok(ALICE, "Action=DescribeVpcs"), "vpcId").is_empty());
    assert_eq!(cloud.code(ALICE, "Action=CreateDefaultSubnet&AvailabilityZone=us-east-1a"), "DefaultVpcDoesNotExist");
    let made = cloud.ok(ALICE, "Action=CreateDefaultVpc");
    assert_eq!(text(&made, "isDefault"), "true");
    assert_eq!(cloud.world.subnets.size(), 3);
}

#[test]
fn it_counts_as_a_vpc() {
    let mut cloud = cloud();
    cloud.config.quotas.vpcs = 1;
    assert_eq!(cloud.code(ALICE, "Action=CreateVpc&CidrBlock=10.0.0.0/16"), "VpcLimitExceeded");
    let vpc = default_vpc(&mut cloud, ALICE);
    delete(&mut cloud, &vpc);
    cloud.ok(ALICE, "Action=CreateVpc&CidrBlock=10.0.0.0/16");
    assert_eq!(cloud.code(ALICE, "Action=CreateDefaultVpc"), "VpcLimitExceeded");
}

#[test]
fn default_subnets_are_made_anew_where_there_is_room() {
    let mut cloud = cloud();
    let vpc = default_vpc(&mut cloud, ALICE);
    let query = "Action=CreateDefaultSubnet&AvailabilityZone=us-east-1b";
    assert_eq!(cloud.code(ALICE, query), "DefaultSubnetAlreadyExistsInAvailabilityZone");
    assert_eq!(cloud.code(ALICE, "Action=CreateDefaultSubnet"), "MissingParameter");
    assert_eq!(cloud.code(ALICE, "Action=CreateDefaultSubnet&AvailabilityZone=mars-1a"), "InvalidParameterValue");
    let shown = cloud.ok(ALICE, "Action=DescribeSubnets&Filter.1.Name=availability-zone&Filter.1.Value.1=us-east-1b");
    cloud.ok(ALICE, &format!("Action=DeleteSubnet&SubnetId={}", text(&shown, "subnetId")));
    // What it had is taken by another subnet meanwhile.
    cloud.ok(ALICE, &format!("Action=CreateSubnet&VpcId={vpc}&CidrBlock={}", "172.31.16.0/24"));
    let made = cloud.ok(ALICE, query);
    assert_eq!((text(&made, "cidrBlock"), text(&made, "defaultForAz")), ("172.31.48.0/20".into(), "true".into()));
    assert_eq!(text(&made, "mapPublicIpOnLaunch"), "true");
}

#[test]
fn a_launch_takes_from_it_what_it_does_not_say() {
    let mut cloud = cloud();
    let vpc = default_vpc(&mut cloud, ALICE);
    let launch = "Action=RunInstances&ImageId=ami-0123456789abcdef0&MinCount=1&MaxCount=1";
    let made = cloud.ok(ALICE, launch);
    assert_eq!((text(&made, "vpcId"), text(&made, "availabilityZone")), (vpc.clone(), "us-east-1a".into()));
    let made = cloud.ok(ALICE, &format!("{launch}&Placement.AvailabilityZone=us-east-1c"));
    assert_eq!(text(&made, "availabilityZone"), "us-east-1c");
    let made = cloud.ok(ALICE, &format!("{launch}&NetworkInterface.1.DeviceIndex=0"));
    assert_eq!(text(&made, "vpcId"), vpc);
    cloud.ok(ALICE, "Action=CreateSecurityGroup&GroupName=web&GroupDescription=d");
    let made = cloud.ok(ALICE, &format!("{launch}&SecurityGroup.1=web"));
    assert!(texts(&made, "groupName").contains(&"web".to_string()));
    assert_eq!(cloud.code(ALICE, &format!("{launch}&SecurityGroup.1=none")), "InvalidGroup.NotFound");
    let subnet = text(&cloud.ok(ALICE, "Action=DescribeSubnets"), "subnetId");
    assert_eq!(
        cloud.code(ALICE, &format!("{launch}&SecurityGroup.1=web&SubnetId={subnet}")),
        "InvalidParameterCombination"
    );
    let other = text(&cloud.ok(BOB, "Action=DescribeVpcs"), "vpcId");
    for subnet in texts(&cloud.ok(BOB, "Action=DescribeSubnets"), "subnetId") {
        cloud.ok(BOB, &format!("Action=DeleteSubnet&SubnetId={subnet}"));
    }
    let refused = cloud.error(BOB, launch);
    assert_eq!(refused.code, "MissingInput");
    assert!(refused.message.contains(&other), "{}", refused.message);
}
