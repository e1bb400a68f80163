//! VPCs through the API (spec ch. 2).

mod common;
mod things;

use std::collections::BTreeSet;

use common::*;
use model::*;
use things::*;

#[test]
fn a_vpc_comes_with_its_default_objects() {
    let mut cloud = Harness::new();
    let document = cloud.ok(ALICE, "Action=CreateVpc&CidrBlock=10.0.3.1/16&TagSpecification.1.ResourceType=vpc&TagSpecification.1.Tag.1.Key=Name&TagSpecification.1.Tag.1.Value=a");
    assert_eq!(text(&document, "cidrBlock"), "10.0.0.0/16");
    assert_eq!(text(&document, "state"), "pending");
    assert_eq!(text(&document, "value"), "a");
    assert_eq!(
        (cloud.world.route_tables.size(), cloud.world.security_groups.size(), cloud.world.network_acls.size()),
        (1, 1, 1)
    );
    let shown = cloud.ok(ALICE, "Action=DescribeVpcs");
    assert_eq!(text(&shown, "state"), "available");
    assert_eq!(text(&shown, "dhcpOptionsId"), cloud.world.dhcp_options.keys().next().unwrap().to_string());
    assert_eq!(text(&shown, "ownerId"), ALICE);
}

#[test]
fn blocks_that_no_vpc_may_have() {
    let mut cloud = Harness::new();
    for (block, code) in [
        ("10.0.0.0/15", "InvalidVpc.Range"),
        ("10.0.0.0/29", "InvalidVpc.Range"),
        ("0.1.0.0/16", "InvalidVpc.Range"),
        ("127.0.0.0/16", "InvalidVpc.Range"),
        ("169.254.0.0/16", "InvalidVpc.Range"),
        ("224.0.0.0/16", "InvalidVpc.Range"),
        ("240.0.0.0/16", "InvalidVpc.Range"),
        ("10.0.0.0", "InvalidParameterValue"),
        ("fd00::/56", "InvalidParameterValue"),
    ] {
        assert_eq!(cloud.code(ALICE, &format!("Action=CreateVpc&CidrBlock={block}")), code, "{block}");
    }
    assert_eq!(cloud.code(ALICE, "Action=CreateVpc"), "MissingParameter");
    for free in ["10.0.0.0/16", "8.8.0.0/28", "100.64.0.0/16"] {
        vpc(&mut cloud, ALICE, free);
    }
}

#[test]
fn parameters_that_nothing_here_can_honour_are_refused_by_name() {
    let mut cloud = Harness::new();
    for (parameter, code) in [
        ("Ipv6Pool=ipv6pool-ec2-1", "InvalidPoolID.NotFound"),
        ("Ipv4IpamPoolId=ipam-pool-1", "InvalidIpamPoolId.NotFound"),
        ("Ipv6IpamPoolId=ipam-pool-1", "InvalidIpamPoolId.NotFound"),
        ("Ipv6CidrBlock=2001:db8::/56", "MissingParameter"),
        ("InstanceTenancy=host", "InvalidParameterValue"),
        ("TagSpecification.1.ResourceType=subnet&TagSpecification.1.Tag.1.Key=a", "InvalidParameterValue"),
    ] {
        assert_eq!(
            cloud.code(ALICE, &format!("Action=CreateVpc&CidrBlock=10.0.0.0/16&{parameter}")),
            code,
            "{parameter}"
        );
    }
}

#[test]
fn the_quota_is_each_accounts_own() {
    let mut cloud = Harness::new();
    for _ in 0..5 {
        vpc(&mut cloud, ALICE, "10.0.0.0/16");
    }
    let error = cloud.error(ALICE, "Action=CreateVpc&CidrBlock=10.0.0.0/16");
    assert_eq!(
        (error.code.as_ref(), error.message.as_str()),
        ("VpcLimitExceeded", "The maximum number of VPCs has been reached.")
    );
    vpc(&mut cloud, BOB, "10.0.0.0/16");
}

#[test]
fn ipv6_blocks_are_distinct_and_open_the_defaults() {
    let mut cloud = Harness::new();
    cloud.config.ipv6_pool = "2001:db8:7::/54".parse().unwrap();
    let mut blocks = BTreeSet::new();
    for _ in 0..4 {
        let document = cloud.ok(ALICE, "Action=CreateVpc&CidrBlock=10.0.0.0/16&AmazonProvidedIpv6CidrBlock=true");
        blocks.insert(text(&document, "ipv6CidrBlock"));
        assert_eq!(text(&document, "networkBorderGroup"), "us-east-1");
    }
    let expected = ["", "100", "200", "300"]
        .map(|part| if part.is_empty() { "2001:db8:7::/56".into() } else { format!("2001:db8:7:{part}::/56") });
    assert_eq!(blocks, BTreeSet::from(expected));
    // The pool is empty, whoever asks.
    assert_eq!(
        cloud.code(BOB, "Action=CreateVpc&CidrBlock=10.0.0.0/16&AmazonProvidedIpv6CidrBlock=true"),
        "InsufficientAddressCapacity"
    );
    for (acl, group) in cloud.world.all::<NetworkAcl>().zip(cloud.world.all::<SecurityGroup>()) {
        assert_eq!(acl.ingress.keys().chain(acl.egress.keys()).collect::<Vec<_>>(), [&100, &101, &100, &101]);
        assert_eq!(group.rules(Direction::Egress).count(), 2);
        assert_eq!(group.rules(Direction::Ingress).count(), 1);
    }
    assert!(cloud.world.all::<RouteTable>().all(|table| all_routes(&cloud, table).len() == 2));
}

#[test]
fn ipv6_added_later_leaves_rules_that_were_changed() {
    let mut cloud = Harness::new();
    let (plain, changed) = (vpc(&mut cloud, ALICE, "10.0.0.0/16"), vpc(&mut cloud, ALICE, "10.1.0.0/16"));
    let id: VpcId = changed.parse().unwrap();
    let of_changed = Vpc::clone(cloud.world.find::<Vpc>(&id).unwrap());
    let mut acl = NetworkAcl::clone(cloud.world.find::<NetworkAcl>(&of_changed.default_acl).unwrap());
    acl.ingress.clear();
    let mut group = SecurityGroup::clone(cloud.world.find::<SecurityGroup>(&of_changed.default_group).unwrap());
    group.rules.retain(|_, rule| rule.direction == Direction::Ingress);
    put(&mut cloud, acl);
    put(&mut cloud, group);
    for (vpc, ingress, egress, rules) in [(&plain, 2, 2, 3), (&changed, 0, 2, 1)] {
        let added =
            cloud.ok(ALICE, &format!("Action=AssociateVpcCidrBlock&VpcId={vpc}&AmazonProvidedIpv6CidrBlock=true"));
        assert_eq!(text(&added, "state"), "associating");
        let vpc = cloud.world.find::<Vpc>(&vpc.parse().unwrap()).unwrap();
        let acl = cloud.world.find::<NetworkAcl>(&vpc.default_acl).unwrap();
        assert_eq!((acl.ingress.len(), acl.egress.len()), (ingress, egress));
        assert_eq!(cloud.world.find::<SecurityGroup>(&vpc.default_group).unwrap().rules.len(), rules);
    }
}

#[test]
fn anothers_vpc_reads_as_unknown() {
    let mut cloud = Harness::new();
    let id = vpc(&mut cloud, ALICE, "10.0.0.0/16");
    for action in [
        "DeleteVpc&VpcId=",
        "DescribeVpcs&VpcId.1=",
        "DescribeVpcAttribute&Attribute=enableDnsSupport&VpcId=",
        "AssociateVpcCidrBlock&CidrBlock=10.9.0.0/16&VpcId=",
        "ModifyVpcAttribute&EnableDnsSupport.Value=true&VpcId=",
    ] {
        let foreign = cloud.error(BOB, &format!("Action={action}{id}"));
        let unknown = cloud.error(BOB, &format!("Action={action}vpc-{UNKNOWN}"));
        assert_eq!(foreign.code, "InvalidVpcID.NotFound");
        assert_eq!(foreign.message, unknown.message.replace(&format!("vpc-{UNKNOWN}"), &id));
        assert_eq!(cloud.code(BOB, &format!("Action={action}vpc-x")), "InvalidVpcID.Malformed");
    }
    assert_eq!(texts(&cloud.ok(BOB, "Action=DescribeVpcs"), "vpcId"), [""; 0]);
}

#[test]
fn filters_find_vpcs() {
    let mut cloud = Harness::new();
    let a = vpc(&mut cloud, ALICE, "10.0.0.0/16");
    vpc(&mut cloud, ALICE, "10.1.0.0/16");
    let added = cloud.ok(ALICE, &format!("Action=AssociateVpcCidrBlock&VpcId={a}&CidrBlock=10.2.0.0/16"));
    let (v4, v6) = (
        text(&added, "associationId"),
        cloud.ok(ALICE, &format!("Action=AssociateVpcCidrBlock&VpcId={a}&AmazonProvidedIpv6CidrBlock=true")),
    );
    let (v6, block) = (text(&v6, "associationId"), text(&v6, "ipv6CidrBlock"));
    cloud.ok(ALICE, &format!("Action=CreateTags&ResourceId.1={a}&Tag.1.Key=Name&Tag.1.Value=web"));
    cloud.ok(ALICE, &format!("Action=AssociateDhcpOptions&DhcpOptionsId=default&VpcId={a}"));
    for (name, value) in [
        ("cidr", "10.0.*"),
        ("cidr-block", "10.0.0.0/16"),
        ("cidr-block-association.cidr-block", "10.2.0.0/16"),
        ("cidr-block-association.association-id", &v4),
        ("ipv6-cidr-block-association.association-id", &v6),
        ("ipv6-cidr-block-association.ipv6-cidr-block", &block),
        ("ipv6-cidr-block-association.state", "associated"),
        ("ipv6-cidr-block-association.ipv6-pool", "Amazon"),
        ("dhcp-options-id", "default"),
        ("vpc-id", &a),
        ("tag:Name", "web"),
        ("tag-key", "Name"),
    ] {
        let found = cloud.ok(ALICE, &format!("Action=DescribeVpcs&Filter.1.Name={name}&Filter.1.Value.1={value}"));
        assert_eq!(texts(&found, "vpcId"), [a.as_str()], "{name}");
    }
    for (name, value) in [
        ("isDefault", "false"),
        ("state", "available"),
        ("owner-id", ALICE),
        ("cidr-block-association.state", "associated"),
    ] {
        let found = cloud.ok(ALICE, &format!("Action=DescribeVpcs&Filter.1.Name={name}&Filter.1.Value.1={value}"));
        assert_eq!(texts(&found, "vpcId").len(), 2, "{name}");
    }
    assert_eq!(
        cloud.code(ALICE, "Action=DescribeVpcs&Filter.1.Name=cidr-blok&Filter.1.Value.1=x"),
        "InvalidParameterValue"
    );
}

#[test]
fn attributes_change_one_at_a_time_and_in_order() {
    let mut cloud = Harness::new();
    let id = vpc(&mut cloud, ALICE, "10.0.0.0/16");
    let shown = |cloud: &mut Harness, name: &str| {
        text(&cloud.ok(ALICE, &format!("Action=DescribeVpcAttribute&VpcId={id}&Attribute={name}")), "value")
    };
    assert_eq!(
        (shown(&mut cloud, "enableDnsSupport"), shown(&mut cloud, "enableDnsHostnames")),
        ("true".into(), "false".into())
    );
    let modify = format!("Action=ModifyVpcAttribute&VpcId={id}");
    cloud.ok(ALICE, &format!("{modify}&EnableDnsHostnames.Value=true"));
    assert_eq!(cloud.code(ALICE, &format!("{modify}&EnableDnsSupport.Value=false")), "InvalidParameterValue");
    cloud.ok(ALICE, &format!("{modify}&EnableDnsHostnames.Value=false"));
    cloud.ok(ALICE, &format!("{modify}&EnableDnsSupport.Value=false"));
    assert_eq!(cloud.code(ALICE, &format!("{modify}&EnableDnsHostnames.Value=true")), "InvalidParameterValue");
    cloud.ok(ALICE, &format!("{modify}&EnableNetworkAddressUsageMetrics.Value=true"));
    assert_eq!(
        (shown(&mut cloud, "enableDnsSupport"), shown(&mut cloud, "enableNetworkAddressUsageMetrics")),
        ("false".into(), "true".into())
    );
    assert_eq!(cloud.code(ALICE, &modify), "InvalidParameterCombination");
    assert_eq!(
        cloud.code(ALICE, &format!("{modify}&EnableDnsSupport.Value=true&EnableDnsHostnames.Value=false")),
        "InvalidParameterCombination"
    );
    assert_eq!(cloud.code(ALICE, &format!("{modify}&EnableDnsSupport=true")), "MissingParameter");
    assert_eq!(
        cloud.code(ALICE, &format!("Action=DescribeVpcAttribute&VpcId={id}&Attribute=enableDns")),
        "InvalidParameterValue"
    );
    assert_eq!(cloud.code(ALICE, &format!("Action=DescribeVpcAttribute&VpcId={id}")), "MissingParameter");
}

#[test]
fn everything_inside_holds_a_vpc() {
    let mut cloud = Harness::new();
    let id = vpc(&mut cloud, ALICE, "10.0.0.0/16");
    let message = format!("The vpc '{id}' has dependencies and cannot be deleted.");
    let refused = |cloud: &mut Harness| {
        let error = cloud.error(ALICE, &format!("Action=DeleteVpc&VpcId={id}"));
        assert_eq!((error.code.as_ref(), &error.message), ("DependencyViolation", &message));
    };
    let subnet = subnet(&mut cloud, ALICE, &id, "10.0.0.0/24");
    refused(&mut cloud);
    cloud.ok(ALICE, &format!("Action=DeleteSubnet&SubnetId={subnet}"));

    let table = table(&mut cloud, ALICE, &id);
    refused(&mut cloud);
    cloud.ok(ALICE, &format!("Action=DeleteRouteTable&RouteTableId={table}"));

    let gateway = text(&cloud.ok(ALICE, "Action=CreateInternetGateway"), "internetGatewayId");
    cloud.ok(ALICE, &format!("Action=AttachInternetGateway&InternetGatewayId={gateway}&VpcId={id}"));
    refused(&mut cloud);
    cloud.ok(ALICE, &format!("Action=DetachInternetGateway&InternetGatewayId={gateway}&VpcId={id}"));

    let vpc = Vpc::clone(cloud.world.find::<Vpc>(&id.parse().unwrap()).unwrap());
    let group = SecurityGroup::clone(cloud.world.find::<SecurityGroup>(&vpc.default_group).unwrap());
    put(&mut cloud, SecurityGroup { id: SecurityGroupId::from_random(7), name: "web".into(), ..group });
    refused(&mut cloud);
    cloud.world = cloud.world.apply(&[Change::Delete(Key::SecurityGroup(SecurityGroupId::from_random(7)))]);

    let acl = NetworkAcl::clone(cloud.world.find::<NetworkAcl>(&vpc.default_acl).unwrap());
    put(&mut cloud, NetworkAcl { id: NetworkAclId::from_random(7), is_default: false, ..acl });
    refused(&mut cloud);
    cloud.world = cloud.world.apply(&[Change::Delete(Key::NetworkAcl(NetworkAclId::from_random(7)))]);

    cloud.ok(ALICE, &format!("Action=DeleteVpc&VpcId={id}"));
    assert_eq!((cloud.world.vpcs.size(), cloud.world.route_tables.size()), (0, 0));
    assert_eq!((cloud.world.security_groups.size(), cloud.world.network_acls.size()), (0, 0));
    assert_eq!(cloud.code(ALICE, &format!("Action=DescribeVpcs&VpcId.1={id}")), "InvalidVpcID.NotFound");
}

#[test]
fn peerings_hold_a_vpc_or_go_with_it() {
    use PeeringStatus as S;
    // The state, whether the requester's VPC may go, whether the accepter's may, and what becomes of the peering then.
    for (status, requester_may, accepter_may, after) in [
        (S::Active, false, false, S::Active),
        (S::Provisioning, false, false, S::Provisioning),
        (S::PendingAcceptance, true, false, S::Deleted),
        (S::InitiatingRequest, true, true, S::Failed),
        (S::Rejected, true, true, S::Rejected),
        (S::Deleted, true, true, S::Deleted),
    ] {
        for (side, may) in [(0, requester_may), (1, accepter_may)] {
            let mut cloud = Harness::new();
            let (a, b) = (vpc(&mut cloud, ALICE, "10.0.0.0/16"), vpc(&mut cloud, BOB, "10.1.0.0/16"));
            let pcx = peering(&mut cloud, &a, &b, status);
            let (account, id) = [(ALICE, &a), (BOB, &b)][side];
            let query = format!("Action=DeleteVpc&VpcId={id}");
            if may {
                cloud.ok(account, &query);
                let now = cloud.world.find::<Peering>(&pcx).unwrap().status;
                assert_eq!(now, if side == 0 { after } else { status }, "{status}");
            } else {
                assert_eq!(cloud.code(account, &query), "DependencyViolation", "{status}");
            }
        }
    }
}
