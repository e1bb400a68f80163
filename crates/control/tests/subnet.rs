//! Subnets through the API (spec ch. 3).

mod common;
mod things;

use common::*;
use model::*;
use things::*;

#[test]
fn a_subnet_has_all_that_clients_read() {
    let mut cloud = Harness::new();
    let id = vpc(&mut cloud, ALICE, "10.0.0.0/16");
    let made = cloud.ok(ALICE, &format!("Action=CreateSubnet&VpcId={id}&CidrBlock=10.0.1.7/24&AvailabilityZone=us-east-1b&TagSpecification.1.ResourceType=subnet&TagSpecification.1.Tag.1.Key=Name&TagSpecification.1.Tag.1.Value=s"));
    let subnet = text(&made, "subnetId");
    for (name, value) in [
        ("cidrBlock", "10.0.1.0/24"),
        ("state", "available"),
        ("vpcId", &id),
        ("ownerId", ALICE),
        ("availabilityZone", "us-east-1b"),
        ("availabilityZoneId", "use1-az2"),
        ("availableIpAddressCount", "251"),
        ("defaultForAz", "false"),
        ("mapPublicIpOnLaunch", "false"),
        ("assignIpv6AddressOnCreation", "false"),
        ("enableDns64", "false"),
        ("ipv6Native", "false"),
        ("hostnameType", "ip-name"),
        ("enableResourceNameDnsARecord", "false"),
        ("subnetArn", &format!("arn:aws:ec2:us-east-1:{ALICE}:subnet/{subnet}")),
        ("value", "s"),
    ] {
        assert_eq!(text(&made, name), value, "{name}");
    }
    let by_id =
        cloud.ok(ALICE, &format!("Action=CreateSubnet&VpcId={id}&CidrBlock=10.0.2.0/28&AvailabilityZoneId=use1-az3"));
    assert_eq!(
        (text(&by_id, "availabilityZone"), text(&by_id, "availableIpAddressCount")),
        ("us-east-1c".into(), "11".into())
    );
    let vpc = cloud.world.find::<Vpc>(&id.parse().unwrap()).unwrap();
    assert!(cloud.world.all::<Subnet>().all(|subnet| subnet.network_acl.network_acl == vpc.default_acl));
}

#[test]
fn addresses_in_use_are_not_available() {
    let mut cloud = Harness::new();
    let id = vpc(&mut cloud, ALICE, "10.0.0.0/16");
    let subnet = subnet(&mut cloud, ALICE, &id, "10.0.0.0/24");
    let eni = interface(&mut cloud, &subnet, "10.0.0.9", None);
    let shown = cloud.ok(ALICE, &format!("Action=DescribeSubnets&SubnetId.1={subnet}"));
    assert_eq!(text(&shown, "availableIpAddressCount"), "250");
    let found = cloud.ok(ALICE, "Action=DescribeSubnets&Filter.1.Name=available-ip-address-count&Filter.1.Value.1=250");
    assert_eq!(texts(&found, "subnetId"), [subnet.as_str()]);
    let error = cloud.error(ALICE, &format!("Action=DeleteSubnet&SubnetId={subnet}"));
    assert_eq!(error.code, "DependencyViolation");
    assert_eq!(error.message, format!("The subnet '{subnet}' has dependencies and cannot be deleted."));
    cloud.world = cloud.world.apply(&[Change::Delete(Key::NetworkInterface(eni))]);
    cloud.ok(ALICE, &format!("Action=DeleteSubnet&SubnetId={subnet}"));
    assert_eq!(cloud.code(ALICE, &format!("Action=DescribeSubnets&SubnetId.1={subnet}")), "InvalidSubnetID.NotFound");
}

#[test]
fn blocks_zones_and_families_that_do_not_fit() {
    let mut cloud = Harness::new();
    let id = vpc(&mut cloud, ALICE, "10.0.0.0/16");
    subnet(&mut cloud, ALICE, &id, "10.0.0.0/24");
    for (rest, code) in [
        ("CidrBlock=10.1.0.0/24", "InvalidSubnet.Range"),
        ("CidrBlock=10.0.0.0/15", "InvalidSubnet.Range"),
        ("CidrBlock=10.0.9.0/29", "InvalidSubnet.Range"),
        ("CidrBlock=10.0.0.128/25", "InvalidSubnet.Conflict"),
        ("CidrBlock=10.0.0.0/16", "InvalidSubnet.Conflict"),
        ("CidrBlock=10.0.9.0", "InvalidParameterValue"),
        ("", "MissingParameter"),
        ("CidrBlock=10.0.9.0/24&AvailabilityZone=us-east-1z", "InvalidParameterValue"),
        ("CidrBlock=10.0.9.0/24&AvailabilityZone=use1-az1", "InvalidParameterValue"),
        ("CidrBlock=10.0.9.0/24&AvailabilityZoneId=us-east-1a", "InvalidParameterValue"),
        (
            "CidrBlock=10.0.9.0/24&AvailabilityZoneId=use1-az1&AvailabilityZone=us-east-1a",
            "InvalidParameterCombination",
        ),
        ("CidrBlock=10.0.9.0/24&Ipv6Native=true", "InvalidParameterCombination"),
        ("Ipv6Native=true", "MissingParameter"),
        ("Ipv6Native=true&Ipv6CidrBlock=2001:db8::/64", "UnsupportedOperation"),
        ("Ipv4IpamPoolId=ipam-pool-1", "InvalidIpamPoolId.NotFound"),
        ("CidrBlock=10.0.9.0/24&Ipv6CidrBlock=2001:db8::/64", "InvalidSubnet.Range"),
        (
            "CidrBlock=10.0.9.0/24&TagSpecification.1.ResourceType=vpc&TagSpecification.1.Tag.1.Key=a",
            "InvalidParameterValue",
        ),
    ] {
        assert_eq!(cloud.code(ALICE, &format!("Action=CreateSubnet&VpcId={id}&{rest}")), code, "{rest}");
    }
    let error = cloud.error(ALICE, &format!("Action=CreateSubnet&VpcId={id}&CidrBlock=10.0.0.0/25"));
    assert_eq!(error.message, "The CIDR '10.0.0.0/25' conflicts with another subnet");
    let error =
        cloud.error(ALICE, &format!("Action=CreateSubnet&VpcId={id}&CidrBlock=10.0.9.0/24&AvailabilityZone=nowhere"));
    assert!(error.message.contains("us-east-1a, us-east-1b, us-east-1c"), "{}", error.message);
    assert_eq!(
        cloud.code(BOB, &format!("Action=CreateSubnet&VpcId={id}&CidrBlock=10.0.9.0/24")),
        "InvalidVpcID.NotFound"
    );
    // A subnet as large as the VPC is legal, and blocks that came later count.
    let other = vpc(&mut cloud, ALICE, "10.0.0.0/24");
    subnet(&mut cloud, ALICE, &other, "10.0.0.0/24");
    cloud.ok(ALICE, &format!("Action=AssociateVpcCidrBlock&VpcId={other}&CidrBlock=10.3.0.0/16"));
    subnet(&mut cloud, ALICE, &other, "10.3.0.0/20");
    cloud.config.quotas.subnets_per_vpc = 2;
    assert_eq!(
        cloud.code(ALICE, &format!("Action=CreateSubnet&VpcId={other}&CidrBlock=10.3.16.0/20")),
        "SubnetLimitExceeded"
    );
}

#[test]
fn ipv6_comes_and_goes() {
    let mut cloud = Harness::new();
    let made = cloud.ok(ALICE, "Action=CreateVpc&CidrBlock=10.0.0.0/16&AmazonProvidedIpv6CidrBlock=true");
    let (id, block) = (text(&made, "vpcId"), text(&made, "ipv6CidrBlock"));
    let block: Ipv6Cidr = block.parse().unwrap();
    let part = |n: u128, len: u8| Ipv6Cidr::new(block.nth(n << 64).unwrap(), len).unwrap();
    let a = text(
        &cloud
            .ok(ALICE, &format!("Action=CreateSubnet&VpcId={id}&CidrBlock=10.0.0.0/24&Ipv6CidrBlock={}", part(1, 64))),
        "subnetId",
    );
    let b = subnet(&mut cloud, ALICE, &id, "10.0.1.0/24");
    let give = |block: Ipv6Cidr, subnet: &str| {
        format!("Action=AssociateSubnetCidrBlock&SubnetId={subnet}&Ipv6CidrBlock={block}")
    };
    assert_eq!(cloud.code(ALICE, &give(part(1, 64), &b)), "InvalidSubnet.Conflict");
    assert_eq!(cloud.code(ALICE, &give(part(16, 62), &b)), "InvalidSubnet.Range");
    assert_eq!(cloud.code(ALICE, &give(part(2, 64), &a)), "CidrLimitExceeded");
    assert_eq!(cloud.code(BOB, &give(part(2, 64), &b)), "InvalidSubnetID.NotFound");
    assert_eq!(
        cloud.code(ALICE, &format!("Action=ModifySubnetAttribute&SubnetId={b}&AssignIpv6AddressOnCreation.Value=true")),
        "InvalidParameterValue"
    );
    assert_eq!(
        cloud.code(ALICE, &format!("Action=ModifySubnetAttribute&SubnetId={b}&EnableDns64.Value=true")),
        "InvalidParameterValue"
    );
    let given = cloud.ok(ALICE, &give(part(16, 60), &b));
    assert_eq!((text(&given, "state"), text(&given, "subnetId")), ("associating".into(), b.clone()));
    let association = text(&given, "associationId");
    cloud.ok(ALICE, &format!("Action=ModifySubnetAttribute&SubnetId={b}&AssignIpv6AddressOnCreation.Value=true"));

    let eni = interface(&mut cloud, &b, "10.0.1.9", None);
    let mut with_ipv6 = NetworkInterface::clone(cloud.world.find::<NetworkInterface>(&eni).unwrap());
    with_ipv6.ipv6_addresses = vec![part(16, 60).nth(9).unwrap()];
    put(&mut cloud, with_ipv6);
    let leave = format!("Action=DisassociateSubnetCidrBlock&AssociationId={association}");
    assert_eq!(cloud.code(ALICE, &leave), "DependencyViolation");
    cloud.world = cloud.world.apply(&[Change::Delete(Key::NetworkInterface(eni))]);
    assert_eq!(cloud.code(BOB, &leave), "InvalidSubnetCidrBlockAssociationID.NotFound");
    cloud.ok(ALICE, &leave);
    assert!(!cloud.world.find::<Subnet>(&b.parse().unwrap()).unwrap().assign_ipv6_address_on_creation);
    assert_eq!(cloud.code(ALICE, &leave), "InvalidSubnetCidrBlockAssociationID.NotFound");
    assert_eq!(cloud.code(ALICE, &format!("Action=AssociateSubnetCidrBlock&SubnetId={b}")), "MissingParameter");
}

#[test]
fn attributes_change_one_at_a_time() {
    let mut cloud = Harness::new();
    let id = vpc(&mut cloud, ALICE, "10.0.0.0/16");
    let subnet = subnet(&mut cloud, ALICE, &id, "10.0.0.0/24");
    let modify = format!("Action=ModifySubnetAttribute&SubnetId={subnet}");
    for (change, name, value) in [
        ("MapPublicIpOnLaunch.Value=true", "mapPublicIpOnLaunch", "true"),
        ("PrivateDnsHostnameTypeOnLaunch=resource-name", "hostnameType", "resource-name"),
        ("EnableResourceNameDnsARecordOnLaunch.Value=true", "enableResourceNameDnsARecord", "true"),
        ("EnableResourceNameDnsAAAARecordOnLaunch.Value=true", "enableResourceNameDnsAAAARecord", "true"),
        ("MapPublicIpOnLaunch.Value=false", "mapPublicIpOnLaunch", "false"),
    ] {
        cloud.ok(ALICE, &format!("{modify}&{change}"));
        assert_eq!(text(&cloud.ok(ALICE, "Action=DescribeSubnets"), name), value, "{change}");
    }
    assert_eq!(cloud.code(ALICE, &modify), "InvalidParameterCombination");
    assert_eq!(
        cloud.code(ALICE, &format!("{modify}&MapPublicIpOnLaunch.Value=true&EnableDns64.Value=false")),
        "InvalidParameterCombination"
    );
    assert_eq!(cloud.code(ALICE, &format!("{modify}&PrivateDnsHostnameTypeOnLaunch=name")), "InvalidParameterValue");
    assert_eq!(cloud.code(BOB, &format!("{modify}&MapPublicIpOnLaunch.Value=true")), "InvalidSubnetID.NotFound");
}

#[test]
fn filters_and_pages() {
    let mut cloud = Harness::new();
    let (id, other) = (vpc(&mut cloud, ALICE, "10.0.0.0/16"), vpc(&mut cloud, ALICE, "10.0.0.0/16"));
    let a = text(
        &cloud.ok(ALICE, &format!("Action=CreateSubnet&VpcId={id}&CidrBlock=10.0.1.0/24&AvailabilityZone=us-east-1c")),
        "subnetId",
    );
    for n in 2..8 {
        subnet(&mut cloud, ALICE, &other, &format!("10.0.{n}.0/24"));
    }
    for (name, value) in [
        ("availability-zone", "us-east-1c"),
        ("availabilityZone", "us-east-1c"),
        ("availability-zone-id", "use1-az3"),
        ("cidr-block", "10.0.1.0/24"),
        ("cidrBlock", "10.0.1.*"),
        ("subnet-id", &a),
        ("subnet-arn", &format!("*{a}")),
        ("vpc-id", &id),
    ] {
        let found = cloud.ok(ALICE, &format!("Action=DescribeSubnets&Filter.1.Name={name}&Filter.1.Value.1={value}"));
        assert_eq!(texts(&found, "subnetId"), [a.as_str()], "{name}");
    }
    let first = cloud.ok(ALICE, "Action=DescribeSubnets&MaxResults=5");
    let rest = cloud.ok(ALICE, &format!("Action=DescribeSubnets&MaxResults=5&NextToken={}", text(&first, "nextToken")));
    assert_eq!(
        (texts(&first, "subnetId").len(), texts(&rest, "subnetId").len(), texts(&rest, "nextToken").len()),
        (5, 2, 0)
    );
    assert_eq!(cloud.code(ALICE, "Action=DescribeSubnets&MaxResults=4"), "InvalidParameterValue");
    assert_eq!(cloud.code(ALICE, "Action=DescribeSubnets&NextToken=x"), "InvalidNextToken");
    assert_eq!(
        cloud.code(ALICE, &format!("Action=DescribeSubnets&MaxResults=5&SubnetId.1={a}")),
        "InvalidParameterCombination"
    );
    assert_eq!(
        cloud.code(ALICE, "Action=DescribeSubnets&Filter.1.Name=nope&Filter.1.Value.1=x"),
        "InvalidParameterValue"
    );
}
