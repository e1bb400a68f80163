//! No request costs more for what else there is in the region: a counting allocator says so, in a small cloud and in a large one.

mod common;

use control::handle;
use ec2::{Caller, Node, Request};
use model::*;

use common::*;

const SMALL: usize = 16;
const LARGE: usize = 400;
/// Trees are deeper where there is more; a thousand allocations are less than any look at everything takes.
const MORE_MAX: u64 = 300;

/// VPCs with a subnet, three interfaces and an instance each, every one peered with the next.
fn cloud(vpcs: usize) -> Harness {
    let mut cloud = Harness::new();
    let all = usize::MAX;
    let quotas = &mut cloud.config.quotas;
    (quotas.vpcs, quotas.security_groups, quotas.network_interfaces, quotas.instances) = (all, all, all, all);
    (quotas.internet_gateways, quotas.outstanding_peering_requests) = (all, all);
    let mut before = None;
    for n in 0..vpcs {
        let mut make = |query: String, name: &str| text(&cloud.ok(ALICE, &query), name);
        let block = format!("10.{}.{}", n / 200, n % 200);
        let tag = |kind: &str| {
            format!(
                "TagSpecification.1.ResourceType={kind}&TagSpecification.1.Tag.1.Key=Name&TagSpecification.1.Tag.1.Value=n{n}"
            )
        };
        let vpc = make(format!("Action=CreateVpc&CidrBlock={block}.0/24&{}", tag("vpc")), "vpcId");
        let subnet =
            make(format!("Action=CreateSubnet&VpcId={vpc}&CidrBlock={block}.0/25&{}", tag("subnet")), "subnetId");
        make(format!("Action=CreateSecurityGroup&VpcId={vpc}&GroupName=web&GroupDescription=web"), "groupId");
        for _ in 0..2 {
            make(
                format!("Action=CreateNetworkInterface&SubnetId={subnet}&{}", tag("network-interface")),
                "networkInterfaceId",
            );
        }
        make(
            format!("Action=RunInstances&ImageId=ami-0123456789abcdef0&MinCount=1&MaxCount=1&SubnetId={subnet}"),
            "instanceId",
        );
        if let Some(before) = before {
            make(format!("Action=CreateVpcPeeringConnection&VpcId={vpc}&PeerVpcId={before}"), "vpcPeeringConnectionId");
            cloud.world = cloud.world.apply(&control::federation::deliver_here(&cloud.world, &cloud.config, cloud.now));
        }
        before = Some(vpc);
    }
    cloud
}

/// Requests about one VPC in the middle of the others.
fn requests(cloud: &Harness) -> Vec<String> {
    let vpc = cloud.world.vpcs.values().find(|vpc| vpc.tags["Name"] == "n7").unwrap();
    let subnet = cloud.world.by::<Subnet>(By::id(vpc.id)).next().unwrap().id;
    let instance = cloud.world.by::<Instance>(By::id(vpc.id)).next().unwrap().id;
    let interfaces = || cloud.world.by::<NetworkInterface>(By::id(vpc.id));
    let interface = interfaces().find(|interface| interface.attachment.is_none()).unwrap();
    let attached = interfaces().find(|interface| interface.attachment.is_some()).unwrap();
    let group = cloud.world.by::<SecurityGroup>(By::id(vpc.id)).find(|group| !group.is_default()).unwrap().id;
    let peering = cloud.world.peerings_of(vpc.id).find(|peering| peering.requester.vpc == vpc.id).unwrap().id;
    let (id, address) = (vpc.id, interface.primary_ip());
    let filter = |name: &str, value: &dyn std::fmt::Display| format!("Filter.1.Name={name}&Filter.1.Value.1={value}");
    let of_vpc = filter("vpc-id", &id);
    let mut requests: Vec<String> = [
        format!("DescribeVpcs&VpcId.1={id}"),
        format!("DescribeVpcs&{}", filter("tag:Name", &"n7")),
        format!("DescribeNetworkInterfaces&{}", filter("private-ip-address", &address)),
        format!("DescribeNetworkInterfaces&{}", filter("subnet-id", &subnet)),
        format!("DescribeNetworkInterfaces&{}", filter("group-id", &group)),
        format!("DescribeNetworkInterfaces&{}", filter("attachment.instance-id", &instance)),
        format!("DescribeInstances&{}", filter("private-ip-address", &attached.primary_ip())),
        format!("DescribeInstances&{}", filter("network-interface.network-interface-id", &attached.id)),
        format!("DescribeInstanceStatus&InstanceId.1={instance}"),
        format!("DescribeVpcPeeringConnections&{}", filter("requester-vpc-info.vpc-id", &id)),
        format!("DescribeSecurityGroupRules&{}", filter("group-id", &group)),
        format!("DescribeTags&{}", filter("resource-id", &id)),
        format!("DescribeTags&{}", filter("value", &"n7")),
        format!("DescribeStaleSecurityGroups&VpcId={id}"),
        format!("DescribeSecurityGroupReferences&GroupId.1={group}"),
        format!("GetSecurityGroupsForVpc&VpcId={id}"),
        "CreateVpc&CidrBlock=10.200.0.0/16".into(),
        format!("CreateSubnet&VpcId={id}&CidrBlock={}/26", vpc.primary_cidr().nth(128).unwrap()),
        format!("CreateNetworkInterface&SubnetId={subnet}"),
        format!("DeleteNetworkInterface&NetworkInterfaceId={}", interface.id),
        format!("AttachNetworkInterface&NetworkInterfaceId={}&InstanceId={instance}&DeviceIndex=1", interface.id),
        format!("CreateSecurityGroup&VpcId={id}&GroupName=db&GroupDescription=db"),
        format!("DeleteSecurityGroup&GroupId={group}"),
        format!("CreateRouteTable&VpcId={id}"),
        format!("CreateTags&ResourceId.1={}&Tag.1.Key=a&Tag.1.Value=b", interface.id),
        format!("RunInstances&ImageId=ami-0123456789abcdef0&MinCount=1&MaxCount=1&SubnetId={subnet}"),
        format!("TerminateInstances&InstanceId.1={instance}"),
        format!("AcceptVpcPeeringConnection&VpcPeeringConnectionId={peering}"),
        format!("DeleteVpcPeeringConnection&VpcPeeringConnectionId={peering}"),
        "AllocateAddress".into(),
        "CreateInternetGateway".into(),
    ]
    .into();
    for action in ["Subnets", "RouteTables", "NetworkAcls", "SecurityGroups", "NetworkInterfaces", "Instances"] {
        requests.push(format!("Describe{action}&{of_vpc}"));
    }
    requests
}

/// Allocations for the answer and for the World after it.
fn cost(cloud: &Harness, query: &str) -> u64 {
    let node = Node::parse(format!("Version=2016-11-15&Action={query}").as_bytes()).unwrap();
    let caller = Caller::root(ALICE.parse().unwrap());
    let request = Request::parse(&node).unwrap();
    let seed = seed();
    let measured = allocation_counter::measure(|| {
        let outcome = handle(&cloud.world, &caller, request, &cloud.config, seed, cloud.now);
        let outcome = outcome.unwrap_or_else(|error| panic!("{query}: {} {}", error.code, error.message));
        let world = cloud.world.apply(&outcome.changes);
        drop((outcome.reply.render("r"), world));
    });
    measured.count_total
}

#[test]
fn a_request_costs_no_more_in_a_large_cloud() {
    let (small, large) = (cloud(SMALL), cloud(LARGE));
    for (in_small, in_large) in requests(&small).iter().zip(requests(&large)) {
        let (less, more) = (cost(&small, in_small), cost(&large, &in_large));
        assert!(more <= less + MORE_MAX, "{in_large}: {more} allocations among {LARGE} VPCs, {less} among {SMALL}");
    }
}

/// What a host must do is found without a look at what others must.
#[test]
fn a_hosts_intent_costs_no_more_in_a_large_cloud() {
    let host: HostId = "host-1".parse().unwrap();
    let cost = |vpcs: usize| {
        let mut cloud = cloud(vpcs);
        cloud.config.hosts = [host].into();
        let subnet = cloud.world.subnets.values().find(|subnet| subnet.tags["Name"] == "n7").unwrap().id;
        cloud.ok(
            ALICE,
            &format!("Action=RunInstances&ImageId=ami-0123456789abcdef0&MinCount=1&MaxCount=1&SubnetId={subnet}"),
        );
        let worlds = [(cloud.config.region, cloud.world)].into();
        let measured = allocation_counter::measure(|| assert_eq!(control::plan::intent(&worlds, host).vpcs.len(), 1));
        measured.count_total
    };
    let (less, more) = (cost(SMALL), cost(LARGE));
    assert!(more <= less + MORE_MAX, "{more} allocations among {LARGE} VPCs, {less} among {SMALL}");
}
