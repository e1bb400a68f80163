//! Tenancy, ClassicLink, block public access, reservations in subnets and VPN gateways through the API.

mod common;
mod things;

use common::*;
use things::*;

#[test]
fn tenancy_goes_back_to_default_and_nowhere_else() {
    let mut cloud = Harness::new();
    let made = cloud.ok(ALICE, "Action=CreateVpc&CidrBlock=10.0.0.0/16&InstanceTenancy=dedicated");
    let query = format!("Action=ModifyVpcTenancy&VpcId={}&InstanceTenancy", text(&made, "vpcId"));
    assert_eq!(cloud.code(ALICE, &format!("{query}=dedicated")), "InvalidParameterValue");
    assert_eq!(cloud.code(BOB, &format!("{query}=default")), "InvalidVpcID.NotFound");
    cloud.ok(ALICE, &format!("{query}=default"));
    assert_eq!(text(&cloud.ok(ALICE, "Action=DescribeVpcs"), "instanceTenancy"), "default");
}

#[test]
fn nobody_has_classic_link() {
    let mut cloud = Harness::new();
    let id = vpc(&mut cloud, ALICE, "10.0.0.0/16");
    let shown = cloud.ok(ALICE, "Action=DescribeVpcClassicLink");
    assert_eq!((text(&shown, "vpcId"), text(&shown, "classicLinkEnabled")), (id.clone(), "false".into()));
    let on = "Filter.1.Name=is-classic-link-enabled&Filter.1.Value.1=true";
    assert!(texts(&cloud.ok(ALICE, &format!("Action=DescribeVpcClassicLink&{on}")), "vpcId").is_empty());
    let shown = cloud.ok(ALICE, &format!("Action=DescribeVpcClassicLinkDnsSupport&VpcIds.1={id}"));
    assert_eq!(text(&shown, "classicLinkDnsSupported"), "false");
    assert_eq!(cloud.code(BOB, &format!("Action=DescribeVpcClassicLink&VpcId.1={id}")), "InvalidVpcID.NotFound");
}

#[test]
fn block_public_access_is_each_accounts_own() {
    let mut cloud = Harness::new();
    let shown = cloud.ok(ALICE, "Action=DescribeVpcBlockPublicAccessOptions");
    assert_eq!(
        (text(&shown, "state"), text(&shown, "internetGatewayBlockMode")),
        ("default-state".into(), "off".into())
    );
    let change = "Action=ModifyVpcBlockPublicAccessOptions&InternetGatewayBlockMode";
    assert_eq!(cloud.code(ALICE, &format!("{change}=some")), "InvalidParameterValue");
    let changed = cloud.ok(ALICE, &format!("{change}=block-ingress"));
    assert_eq!(text(&changed, "state"), "update-complete");
    let mode = |cloud: &mut Harness, account| {
        text(&cloud.ok(account, "Action=DescribeVpcBlockPublicAccessOptions"), "internetGatewayBlockMode")
    };
    assert_eq!((mode(&mut cloud, ALICE), mode(&mut cloud, BOB)), ("block-ingress".into(), "off".into()));
}

#[test]
fn addresses_that_are_set_aside_are_given_only_to_who_asks() {
    let mut cloud = Harness::new();
    let vpc = vpc(&mut cloud, ALICE, "10.0.0.0/16");
    let subnet = subnet(&mut cloud, ALICE, &vpc, "10.0.1.0/27");
    let create = format!("Action=CreateSubnetCidrReservation&SubnetId={subnet}&ReservationType=explicit&Cidr");
    let id = text(&cloud.ok(ALICE, &format!("{create}=10.0.1.16/28&Description=d")), "subnetCidrReservationId");
    for (cidr, code) in [
        ("10.0.2.0/28", "InvalidParameterValue"),
        ("10.0.1.16/30", "InvalidParameterValue"),
        ("10.0.1.0/26", "InvalidParameterValue"),
        ("2001:db8::/64", "InvalidParameterValue"),
        ("x", "InvalidParameterValue"),
    ] {
        assert_eq!(cloud.code(ALICE, &format!("{create}={cidr}")), code, "{cidr}");
    }
    // 16 addresses less the four reserved ones are left to be given out.
    let new = format!("Action=CreateNetworkInterface&SubnetId={subnet}");
    for _ in 0..12 {
        let address = text(&cloud.ok(ALICE, &new), "privateIpAddress");
        let last: u8 = address.rsplit('.').next().unwrap().parse().unwrap();
        assert!(last < 16, "{address} is set aside");
    }
    assert_eq!(cloud.code(ALICE, &new), "InsufficientFreeAddressesInSubnet");
    cloud.ok(ALICE, &format!("{new}&PrivateIpAddress=10.0.1.20"));
    let shown = cloud.ok(ALICE, &format!("Action=GetSubnetCidrReservations&SubnetId={subnet}"));
    assert_eq!(
        (texts(&shown, "cidr"), text(&shown, "reservationType")),
        (vec!["10.0.1.16/28".into()], "explicit".into())
    );
    cloud.ok(ALICE, &format!("Action=CreateTags&ResourceId.1={id}&Tag.1.Key=k&Tag.1.Value=v"));
    let delete = format!("Action=DeleteSubnetCidrReservation&SubnetCidrReservationId={id}");
    assert_eq!(cloud.code(BOB, &delete), "InvalidSubnetCidrReservationID.NotFound");
    assert_eq!(text(&cloud.ok(ALICE, &delete), "value"), "v");
    cloud.ok(ALICE, &new);
}

#[test]
fn a_subnet_takes_its_reservations_with_it() {
    let mut cloud = Harness::new();
    let vpc = vpc(&mut cloud, ALICE, "10.0.0.0/16");
    let subnet = subnet(&mut cloud, ALICE, &vpc, "10.0.1.0/24");
    cloud.ok(
        ALICE,
        &format!("Action=CreateSubnetCidrReservation&SubnetId={subnet}&ReservationType=prefix&Cidr=10.0.1.16/28"),
    );
    cloud.ok(ALICE, &format!("Action=DeleteSubnet&SubnetId={subnet}"));
    assert_eq!(cloud.world.subnet_cidr_reservations.size(), 0);
}

#[test]
fn the_life_of_a_vpn_gateway() {
    let mut cloud = Harness::new();
    let (a, b) = (vpc(&mut cloud, ALICE, "10.0.0.0/16"), vpc(&mut cloud, ALICE, "10.1.0.0/16"));
    let table = table(&mut cloud, ALICE, &a);
    for (wrong, code) in [
        ("Type=ipsec.2", "InvalidParameterValue"),
        ("Type=ipsec.1&AmazonSideAsn=1", "InvalidParameterValue"),
        ("Type=ipsec.1&AmazonSideAsn=x", "InvalidParameterValue"),
        ("AmazonSideAsn=64512", "MissingParameter"),
    ] {
        assert_eq!(cloud.code(ALICE, &format!("Action=CreateVpnGateway&{wrong}")), code, "{wrong}");
    }
    let made = cloud.ok(ALICE, "Action=CreateVpnGateway&Type=ipsec.1&AmazonSideAsn=4200000000&AvailabilityZone=");
    assert_eq!((text(&made, "state"), text(&made, "amazonSideAsn")), ("available".into(), "4200000000".into()));
    let id = text(&made, "vpnGatewayId");
    let on = format!("Action=EnableVgwRoutePropagation&GatewayId={id}&RouteTableId={table}");
    assert_eq!(cloud.code(ALICE, &on), "Gateway.NotAttached");
    let at = |action: &str, vpc: &str| format!("Action={action}&VpnGatewayId={id}&VpcId={vpc}");
    assert_eq!(text(&cloud.ok(ALICE, &at("AttachVpnGateway", &a)), "state"), "attached");
    assert_eq!(cloud.code(ALICE, &at("AttachVpnGateway", &b)), "VpnGatewayAttachmentLimitExceeded");
    let rival = text(&cloud.ok(ALICE, "Action=CreateVpnGateway&Type=ipsec.1"), "vpnGatewayId");
    assert_eq!(
        cloud.code(ALICE, &format!("Action=AttachVpnGateway&VpnGatewayId={rival}&VpcId={a}")),
        "InvalidParameterValue"
    );
    cloud.ok(ALICE, &on);
    let propagates = |cloud: &mut Harness| {
        let shown = cloud.ok(ALICE, &format!("Action=DescribeRouteTables&RouteTableId.1={table}"));
        shown.contains(&format!("<propagatingVgwSet><item><gatewayId>{id}</gatewayId></item></propagatingVgwSet>"))
    };
    assert!(propagates(&mut cloud));
    assert_eq!(cloud.code(ALICE, &format!("Action=DeleteVpnGateway&VpnGatewayId={id}")), "IncorrectState");
    cloud.ok(ALICE, &format!("Action=DisableVgwRoutePropagation&GatewayId={id}&RouteTableId={table}"));
    assert!(!propagates(&mut cloud));
    cloud.ok(ALICE, &on);
    cloud.ok(ALICE, &format!("Action=DeleteRouteTable&RouteTableId={table}"));
    assert!(cloud.world.vpn_gateways.values().all(|gateway| gateway.propagates_to.is_empty()), "nothing dangles");
    assert_eq!(cloud.code(ALICE, &format!("Action=DeleteVpc&VpcId={a}")), "DependencyViolation");
    assert_eq!(cloud.code(ALICE, &at("DetachVpnGateway", &b)), "InvalidVpnGatewayAttachment.NotFound");
    cloud.ok(ALICE, &at("DetachVpnGateway", &a));
    cloud.ok(ALICE, &format!("Action=DeleteVpc&VpcId={a}"));
    cloud.ok(ALICE, &format!("Action=DeleteVpnGateway&VpnGatewayId={id}"));
    assert_eq!(
        cloud.code(ALICE, &format!("Action=DescribeVpnGateways&VpnGatewayId.1={id}")),
        "InvalidVpnGatewayID.NotFound"
    );
}

#[test]
fn classic_link_is_told_in_order_whatever_the_order_of_the_question() {
    let mut cloud = Harness::new();
    let mut all: Vec<String> = (0..5).map(|n| vpc(&mut cloud, ALICE, &format!("10.{n}.0.0/16"))).collect();
    all.sort();
    let backwards: String = all.iter().rev().enumerate().map(|(n, id)| format!("&VpcIds.{}={id}", n + 1)).collect();
    let twice = format!("{backwards}&VpcIds.6={}", all[0]);
    let shown = cloud.ok(ALICE, &format!("Action=DescribeVpcClassicLinkDnsSupport{twice}"));
    assert_eq!(texts(&shown, "vpcId"), all);
}
