//! What requests find where they look for it is what a look at everything finds (`describe.rs`, `model::lookup`).

mod common;

use std::collections::BTreeSet;

use control::Cloud;
use control::describe::{Describe, Query, passes};
use ec2::page::Page;
use ec2::{Caller, Filter, IdCodes};
use model::*;

use common::*;

/// Of every kind so many for each account: where there are few, nobody looks anything up.
const BUNDLES: u8 = 5;

fn cloud() -> Harness {
    let mut cloud = Harness::new();
    let quotas = &mut cloud.config.quotas;
    (quotas.vpcs, quotas.internet_gateways, quotas.elastic_ips, quotas.vpn_gateways) = (100, 100, 100, 100);
    for account in [ALICE, BOB] {
        let mut before = None;
        for n in 0..BUNDLES {
            let vpc = bundle(&mut cloud, account, n);
            if let Some(before) = before {
                let request = format!("Action=CreateVpcPeeringConnection&VpcId={vpc}&PeerVpcId={before}");
                let id = text(&cloud.ok(account, &request), "vpcPeeringConnectionId");
                cloud.world =
                    cloud.world.apply(&control::federation::deliver_here(&cloud.world, &cloud.config, cloud.now));
                cloud
                    .ok(account, &format!("Action=CreateTags&ResourceId.1={id}&Tag.1.Key=Name&Tag.1.Value=peering{n}"));
                if n % 2 == 0 {
                    cloud.ok(account, &format!("Action=AcceptVpcPeeringConnection&VpcPeeringConnectionId={id}"));
                }
                let table = main_table(&mut cloud, account, &vpc);
                let route =
                    format!("RouteTableId={table}&DestinationCidrBlock=10.99.0.0/16&VpcPeeringConnectionId={id}");
                cloud.ok(account, &format!("Action=CreateRoute&{route}"));
            }
            before = Some(vpc);
        }
        cloud.ok(account, "Action=CreateDefaultVpc");
    }
    cloud
}

fn main_table(cloud: &mut Harness, account: &str, vpc: &str) -> String {
    let filters =
        format!("Filter.1.Name=vpc-id&Filter.1.Value.1={vpc}&Filter.2.Name=association.main&Filter.2.Value.1=true");
    text(&cloud.ok(account, &format!("Action=DescribeRouteTables&{filters}")), "routeTableId")
}

/// A VPC with one of everything in it.
fn bundle(cloud: &mut Harness, account: &str, n: u8) -> String {
    let mut make = |query: String, name: &str| text(&cloud.ok(account, &query), name);
    let tags = |kind: &str| {
        format!(
            "TagSpecification.1.ResourceType={kind}&TagSpecification.1.Tag.1.Key=Name&TagSpecification.1.Tag.1.Value={kind}{n}"
        )
    };
    let vpc = make(
        format!("Action=CreateVpc&CidrBlock=10.{n}.0.0/16&AmazonProvidedIpv6CidrBlock=true&{}", tags("vpc")),
        "vpcId",
    );
    let mut subnet = |block: u8| {
        make(format!("Action=CreateSubnet&VpcId={vpc}&CidrBlock=10.{n}.{block}.0/24&{}", tags("subnet")), "subnetId")
    };
    let (near, far) = (subnet(1), subnet(2));
    let options = make(
        "Action=CreateDhcpOptions&DhcpConfiguration.1.Key=domain-name&DhcpConfiguration.1.Value.1=example.com".into(),
        "dhcpOptionsId",
    );
    make(format!("Action=AssociateDhcpOptions&DhcpOptionsId={options}&VpcId={vpc}"), "return");
    let gateway = make(format!("Action=CreateInternetGateway&{}", tags("internet-gateway")), "internetGatewayId");
    make(format!("Action=AttachInternetGateway&InternetGatewayId={gateway}&VpcId={vpc}"), "return");
    let eigw = make(format!("Action=CreateEgressOnlyInternetGateway&VpcId={vpc}"), "egressOnlyInternetGatewayId");
    let list = make(
        format!(
            "Action=CreateManagedPrefixList&PrefixListName=list{n}&MaxEntries=2&AddressFamily=IPv4&Entry.1.Cidr=10.77.0.0/16"
        ),
        "prefixListId",
    );
    let group = make(
        format!(
            "Action=CreateSecurityGroup&VpcId={vpc}&GroupName=web{n}&GroupDescription=for+the+web&{}",
            tags("security-group")
        ),
        "groupId",
    );
    let ingress = format!(
        "Action=AuthorizeSecurityGroupIngress&GroupId={group}&IpPermissions.1.IpProtocol=tcp&IpPermissions.1.FromPort=80&IpPermissions.1.ToPort=80"
    );
    let rule = make(format!("{ingress}&IpPermissions.1.Groups.1.GroupId={group}"), "securityGroupRuleId");
    make(format!("{ingress}&IpPermissions.1.PrefixListIds.1.PrefixListId={list}"), "return");
    make(format!("Action=CreateTags&ResourceId.1={rule}&Tag.1.Key=Name&Tag.1.Value=rule{n}"), "return");
    let interface = make(
        format!(
            "Action=CreateNetworkInterface&SubnetId={near}&SecurityGroupId.1={group}&Description=for+{n}&Ipv6AddressCount=0&{}",
            tags("network-interface")
        ),
        "networkInterfaceId",
    );
    let instance = make(
        format!(
            "Action=RunInstances&ImageId=ami-0123456789abcdef0&InstanceType=t3.micro&MinCount=1&MaxCount=1&SubnetId={near}&{}",
            tags("instance")
        ),
        "instanceId",
    );
    let other = make(format!("Action=CreateNetworkInterface&SubnetId={near}"), "networkInterfaceId");
    make(
        format!("Action=AttachNetworkInterface&NetworkInterfaceId={other}&InstanceId={instance}&DeviceIndex=1"),
        "attachmentId",
    );
    let address = make("Action=AllocateAddress".into(), "allocationId");
    make(format!("Action=AssociateAddress&AllocationId={address}&NetworkInterfaceId={other}"), "associationId");
    let nat = make(
        format!("Action=CreateNatGateway&SubnetId={far}&ConnectivityType=private&{}", tags("natgateway")),
        "natGatewayId",
    );
    let table = make(format!("Action=CreateRouteTable&VpcId={vpc}&{}", tags("route-table")), "routeTableId");
    for route in [
        format!("DestinationCidrBlock=0.0.0.0/0&GatewayId={gateway}"),
        format!("DestinationCidrBlock=10.78.0.0/16&NatGatewayId={nat}"),
        format!("DestinationCidrBlock=10.79.0.0/16&NetworkInterfaceId={interface}"),
        format!("DestinationIpv6CidrBlock=::/0&EgressOnlyInternetGatewayId={eigw}"),
        format!("DestinationPrefixListId={list}&GatewayId={gateway}"),
    ] {
        make(format!("Action=CreateRoute&RouteTableId={table}&{route}"), "return");
    }
    make(format!("Action=AssociateRouteTable&RouteTableId={table}&SubnetId={near}"), "associationId");
    let edge = make(format!("Action=CreateRouteTable&VpcId={vpc}"), "routeTableId");
    make(format!("Action=AssociateRouteTable&RouteTableId={edge}&GatewayId={gateway}"), "associationId");
    let acl = make(format!("Action=CreateNetworkAcl&VpcId={vpc}&{}", tags("network-acl")), "networkAclId");
    let used = make(
        format!("Action=DescribeNetworkAcls&Filter.1.Name=association.subnet-id&Filter.1.Value.1={far}"),
        "networkAclId",
    );
    assert_ne!(used, acl);
    let association = cloud.world.subnets[&far.parse().unwrap()].network_acl.id;
    let mut make = |query: String, name: &str| text(&cloud.ok(account, &query), name);
    make(
        format!("Action=ReplaceNetworkAclAssociation&AssociationId={association}&NetworkAclId={acl}"),
        "newAssociationId",
    );
    for (kind, id) in [("VPC", &vpc), ("Subnet", &near), ("NetworkInterface", &interface)] {
        make(
            format!(
                "Action=CreateFlowLogs&ResourceType={kind}&ResourceId.1={id}&TrafficType=ALL&LogDestinationType=s3&LogDestination=arn:aws:s3:::logs"
            ),
            "item",
        );
    }
    make(
        format!("Action=CreateNetworkInsightsPath&Source={interface}&Destination={other}&Protocol=tcp&ClientToken={n}"),
        "networkInsightsPathId",
    );
    make(
        format!(
            "Action=CreateNetworkInsightsAccessScope&MatchPath.1.Source.ResourceStatement.Resource.1={vpc}&ClientToken={n}"
        ),
        "networkInsightsAccessScopeId",
    );
    let vpn = make("Action=CreateVpnGateway&Type=ipsec.1".into(), "vpnGatewayId");
    make(format!("Action=AttachVpnGateway&VpnGatewayId={vpn}&VpcId={vpc}"), "vpcId");
    make(format!("Action=EnableVgwRoutePropagation&GatewayId={vpn}&RouteTableId={table}"), "return");
    make(
        format!(
            "Action=CreateNetworkInterfacePermission&NetworkInterfaceId={interface}&AwsAccountId=333333333333&Permission=INSTANCE-ATTACH"
        ),
        "networkInterfacePermissionId",
    );
    vpc
}

fn filter(name: &str, values: &[&str]) -> Filter {
    Filter { name: name.to_owned(), values: values.iter().map(|value| (*value).to_owned()).collect() }
}

/// Each filter with each value that something has there, alone, among others and as a pattern; and by ids, page by page.
fn check<E: Describe>(cloud: &Cloud<'_>) -> usize
where
    E::Id: IdCodes,
{
    let all: Vec<_> = cloud.world().all::<E>().filter(|found| found.is_visible(cloud)).collect();
    let ids = |found: &[std::sync::Arc<E>]| found.iter().map(|found| found.id()).collect::<Vec<_>>();
    let mut asked: BTreeSet<(String, String)> = BTreeSet::new();
    for found in &all {
        for name in E::FILTERS {
            asked.extend(found.values(cloud, name).into_iter().map(|value| ((*name).to_owned(), value)));
        }
        for (key, value) in found.tags(cloud) {
            asked.insert((format!("tag:{key}"), value.clone()));
            asked.extend([("tag-key".into(), key.clone()), ("tag-value".into(), value.clone())]);
        }
    }
    asked.extend(E::FILTERS.iter().map(|name| ((*name).to_owned(), "nothing".to_owned())));
    let mut last = "nothing".to_owned();
    for (name, value) in &asked {
        let pattern = format!("{}*", value.replace(['*', '?', '\\'], "?"));
        for values in [&[value.as_str()][..], &[value.as_str(), &last, "nothing"], &[&pattern]] {
            let filters = [filter(name, values)];
            let expected: Vec<E::Id> = all
                .iter()
                .filter(|found| passes(&filters, found.tags(cloud), |name| found.values(cloud, name)))
                .map(|found| found.id())
                .collect();
            let whole = Query { ids: &[], filters: &filters, page: Page::default() };
            let (found, _) = cloud.select::<E>(whole, 1..=1000).unwrap();
            assert_eq!(ids(&found), expected, "{} {name} {values:?}", E::KIND);
            let (mut pages, mut token) = (Vec::new(), None::<String>);
            loop {
                let page = Page { max_results: Some(2), next_token: token.as_deref() };
                let (found, next) = cloud.select::<E>(Query { page, ..whole }, 1..=1000).unwrap();
                pages.extend(ids(&found));
                token = next;
                if token.is_none() {
                    break;
                }
            }
            assert_eq!(pages, expected, "{} {name} {values:?}, page by page", E::KIND);
        }
        last.clone_from(value);
    }
    for found in all.windows(2) {
        let two = [found[1].id(), found[0].id(), found[1].id()];
        let (found, _) = cloud.select::<E>(Query { ids: &two, filters: &[], page: Page::default() }, 1..=1000).unwrap();
        assert_eq!(ids(&found), [two[1], two[0]], "{}", E::KIND);
    }
    all.len()
}

macro_rules! check_all {
    ($cloud:expr, $($kind:ident),+) => {
        $(assert!(check::<$kind>($cloud) >= usize::from(BUNDLES) - 1, stringify!($kind));)+
    };
}

#[test]
fn who_looks_something_up_finds_what_a_look_at_everything_finds() {
    let harness = cloud();
    for account in [ALICE, BOB] {
        let caller = Caller::root(account.parse().unwrap());
        let cloud = Cloud::new(&harness.world, &caller, &harness.config, seed(), harness.now, 0);
        check_all!(
            &cloud,
            Vpc,
            Subnet,
            RouteTable,
            SecurityGroup,
            NetworkAcl,
            NetworkInterface,
            Instance,
            InternetGateway,
            NatGateway,
            EgressOnlyInternetGateway,
            DhcpOptions,
            FlowLog,
            NetworkInsightsPath,
            Peering,
            PrefixList,
            VpnGateway,
            ElasticAddress,
            InterfacePermission
        );
    }
}

#[test]
fn tags_and_rules_come_page_by_page_in_order() {
    let mut cloud = cloud();
    for (action, item) in [("DescribeTags", "resourceId"), ("DescribeSecurityGroupRules", "securityGroupRuleId")] {
        let all = texts(&cloud.ok(ALICE, &format!("Action={action}")), item);
        assert!(all.len() > 20 && all.is_sorted(), "{all:?}");
        let (mut pages, mut token) = (Vec::new(), String::new());
        loop {
            let page = cloud.ok(ALICE, &format!("Action={action}&MaxResults=7{token}"));
            pages.extend(texts(&page, item));
            match texts(&page, "nextToken").pop() {
                Some(next) => token = format!("&NextToken={next}"),
                None => break,
            }
        }
        assert_eq!(pages, all);
    }
}

#[test]
fn tags_are_found_by_what_they_are_and_by_whose_they_are() {
    let mut cloud = cloud();
    let all = cloud.ok(ALICE, "Action=DescribeTags");
    let [ids, values] = ["resourceId", "value"].map(|name| texts(&all, name));
    let mut ask = |name: &str, value: &str| {
        texts(
            &cloud.ok(ALICE, &format!("Action=DescribeTags&Filter.1.Name={name}&Filter.1.Value.1={value}")),
            "resourceId",
        )
    };
    for (id, value) in ids.iter().zip(&values) {
        assert_eq!(ask("resource-id", id), std::slice::from_ref(id));
        let same: Vec<_> =
            ids.iter().zip(&values).filter(|(_, other)| *other == value).map(|(id, _)| id.clone()).collect();
        assert_eq!(ask("value", value), same);
        assert_eq!(ask("tag:Name", value), same);
    }
    assert_eq!(ask("key", "Name"), ids);
    assert_eq!(ask("key", "N*"), ids);
    assert_eq!(ask("key", "name"), Vec::<String>::new());
    let rules: Vec<_> = ids.iter().filter(|id| id.starts_with("sgr-")).cloned().collect();
    assert_eq!((ask("resource-type", "security-group-rule"), rules.len()), (rules.clone(), usize::from(BUNDLES)));
    let of_group = |id: &str| format!("Action=DescribeSecurityGroupRules&{id}");
    let by_id = cloud.ok(ALICE, &of_group(&format!("SecurityGroupRuleId.1={}", rules[0])));
    assert_eq!(texts(&by_id, "securityGroupRuleId"), [rules[0].clone()]);
    let group = text(&by_id, "groupId");
    for filter in [
        format!("Filter.1.Name=group-id&Filter.1.Value.1={group}"),
        "Filter.1.Name=tag-key&Filter.1.Value.1=Name".into(),
    ] {
        let found = texts(&cloud.ok(ALICE, &of_group(&filter)), "securityGroupRuleId");
        assert!(found.contains(&rules[0]) && found.len() < 10, "{filter}: {found:?}");
    }
    let error = cloud.code(BOB, &of_group(&format!("SecurityGroupRuleId.1={}", rules[0])));
    assert_eq!(error, "InvalidSecurityGroupRuleId.NotFound");
}
