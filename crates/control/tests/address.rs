//! Public addresses through the API: Elastic IP addresses, those assigned at launch, and what hosts are told of them (spec 8.7-8.9).

mod common;
mod things;

use std::collections::BTreeMap;

use common::*;
use model::*;
use stream::{Condition, Report};
use things::*;

/// A VPC with an Internet gateway and a subnet 10.0.1.0/24 of Alice's.
struct Net {
    cloud: Harness,
    vpc: String,
    subnet: String,
    gateway: String,
}

fn net() -> Net {
    let mut cloud = Harness::new();
    let vpc = vpc(&mut cloud, ALICE, "10.0.0.0/16");
    let subnet = subnet(&mut cloud, ALICE, &vpc, "10.0.1.0/24");
    let gateway = text(&cloud.ok(ALICE, "Action=CreateInternetGateway"), "internetGatewayId");
    cloud.ok(ALICE, &format!("Action=AttachInternetGateway&InternetGatewayId={gateway}&VpcId={vpc}"));
    Net { cloud, vpc, subnet, gateway }
}

impl Net {
    fn ok(&mut self, query: &str) -> String {
        self.cloud.ok(ALICE, query)
    }

    fn code(&mut self, query: &str) -> String {
        self.cloud.code(ALICE, query)
    }

    /// An allocation and its address.
    fn allocate(&mut self) -> (String, String) {
        let made = self.ok("Action=AllocateAddress&Domain=vpc");
        assert_eq!(text(&made, "domain"), "vpc");
        (text(&made, "allocationId"), text(&made, "publicIp"))
    }

    /// An instance and its one interface.
    fn run(&mut self, more: &str) -> (String, String) {
        let subnet =
            if more.contains("NetworkInterface.1") { String::new() } else { format!("&SubnetId={}", self.subnet) };
        let query = format!("Action=RunInstances&ImageId=ami-0123456789abcdef0&MinCount=1&MaxCount=1{subnet}{more}");
        let made = self.ok(&query);
        (text(&made, "instanceId"), text(&made, "networkInterfaceId"))
    }

    /// AssociatePublicIpAddress for a new interface.
    fn public(&self, wanted: bool) -> String {
        let subnet = &self.subnet;
        format!(
            "&NetworkInterface.1.DeviceIndex=0&NetworkInterface.1.SubnetId={subnet}&NetworkInterface.1.AssociatePublicIpAddress={wanted}"
        )
    }

    fn public_ip(&mut self, instance: &str) -> Option<String> {
        let shown = self.ok(&format!("Action=DescribeInstances&InstanceId.1={instance}"));
        texts(&shown, "ipAddress").pop()
    }
}

#[test]
fn an_address_is_held_mapped_moved_and_given_back() {
    let mut net = net();
    let (allocation, public) = net.allocate();
    assert!(public.starts_with("203.0.113.") || public.starts_with("198.51.100.") || public.starts_with("192.0.2."));
    let (x, eni_x) = net.run("");
    let (y, eni_y) = net.run("");
    let map = |to: &str| format!("Action=AssociateAddress&AllocationId={allocation}{to}");
    let private = text(&net.ok(&format!("Action=DescribeInstances&InstanceId.1={x}")), "privateIpAddress");
    let first = text(&net.ok(&map(&format!("&InstanceId={x}"))), "associationId");
    assert!(first.starts_with("eipassoc-"));
    let again = text(&net.ok(&map(&format!("&NetworkInterfaceId={eni_x}"))), "associationId");
    assert_eq!(again, first, "said twice is said once");
    let shown = net.ok(&format!("Action=DescribeAddresses&AllocationId.1={allocation}"));
    for (name, value) in [
        ("publicIp", &public),
        ("associationId", &first),
        ("instanceId", &x),
        ("networkInterfaceId", &eni_x),
        ("networkInterfaceOwnerId", &ALICE.to_owned()),
        ("privateIpAddress", &private),
    ] {
        assert_eq!(text(&shown, name), *value, "{name}");
        let filter = match name {
            "publicIp" => "public-ip",
            "associationId" => "association-id",
            "instanceId" => "instance-id",
            "networkInterfaceId" => "network-interface-id",
            "networkInterfaceOwnerId" => "network-interface-owner-id",
            _ => "private-ip-address",
        };
        let query = format!("Action=DescribeAddresses&Filter.1.Name={filter}&Filter.1.Value.1=");
        assert_eq!(texts(&net.ok(&format!("{query}{value}")), "allocationId"), [allocation.as_str()], "{filter}");
        assert!(texts(&net.ok(&format!("{query}nothing")), "allocationId").is_empty(), "{filter}");
    }

    // To another interface: only if that was not forbidden.
    let refused = net.cloud.error(ALICE, &map(&format!("&NetworkInterfaceId={eni_y}&AllowReassociation=false")));
    assert_eq!(
        (refused.code.as_ref(), refused.message),
        (
            "Resource.AlreadyAssociated",
            format!("resource {allocation} is already associated with associate-id {first}")
        )
    );
    let moved = text(&net.ok(&map(&format!("&InstanceId={y}"))), "associationId");
    assert_ne!(moved, first);
    assert_eq!(net.public_ip(&x), None);
    assert_eq!(net.public_ip(&y), Some(public.clone()));
    assert_eq!(net.code(&format!("Action=DisassociateAddress&AssociationId={first}")), "InvalidAssociationID.NotFound");

    // A second one on the same private address takes the first one's place; both stay held.
    let (second, other) = net.allocate();
    let query = format!("Action=AssociateAddress&AllocationId={second}&InstanceId={y}");
    assert_eq!(net.code(&format!("{query}&AllowReassociation=false")), "Resource.AlreadyAssociated");
    let association = text(&net.ok(&query), "associationId");
    assert_eq!(net.public_ip(&y), Some(other));
    net.ok(&format!("Action=ReleaseAddress&AllocationId={allocation}"));

    assert_eq!(net.code(&format!("Action=ReleaseAddress&AllocationId={second}")), "InvalidIPAddress.InUse");
    net.ok(&format!("Action=DisassociateAddress&AssociationId={association}"));
    net.ok(&format!("Action=DisassociateAddress&AssociationId={association}"));
    let others = net.cloud.code(BOB, &format!("Action=DisassociateAddress&AssociationId={association}"));
    assert_eq!(others, "InvalidAssociationID.NotFound", "said twice is said once, to its owner");
    net.ok(&format!("Action=ReleaseAddress&AllocationId={second}"));
    assert_eq!(net.code(&format!("Action=DescribeAddresses&AllocationId.1={second}")), "InvalidAllocationID.NotFound");
    assert!(texts(&net.ok("Action=DescribeAddresses"), "publicIp").is_empty());
}

#[test]
fn what_cannot_be_mapped_says_why() {
    let mut net = net();
    let (allocation, public) = net.allocate();
    let (x, eni) = net.run("");
    let map = |more: &str| format!("Action=AssociateAddress&AllocationId={allocation}{more}");
    for (query, code) in [
        (map(""), "MissingParameter"),
        (map(&format!("&InstanceId={x}&NetworkInterfaceId={eni}")), "InvalidParameterCombination"),
        (map("&InstanceId=i-00000000000000099"), "InvalidInstanceID.NotFound"),
        (map("&NetworkInterfaceId=eni-00000000000000099"), "InvalidNetworkInterfaceID.NotFound"),
        (map(&format!("&NetworkInterfaceId={eni}&PrivateIpAddress=10.0.1.99")), "InvalidParameterValue"),
        (format!("Action=AssociateAddress&PublicIp={public}&InstanceId={x}"), "InvalidParameterCombination"),
        (
            format!("Action=AssociateAddress&AllocationId=eipalloc-00000000000000099&InstanceId={x}"),
            "InvalidAllocationID.NotFound",
        ),
        ("Action=AssociateAddress&AllocationId=eipalloc-x&InstanceId=i-1".into(), "InvalidAllocationID.Malformed"),
        ("Action=DisassociateAddress".into(), "MissingParameter"),
        ("Action=DisassociateAddress&AssociationId=eipassoc-00000000000000099".into(), "InvalidAssociationID.NotFound"),
        (format!("Action=DisassociateAddress&PublicIp={public}"), "InvalidParameterValue"),
        ("Action=ReleaseAddress".into(), "MissingParameter"),
        (format!("Action=ReleaseAddress&PublicIp={public}"), "InvalidParameterValue"),
        ("Action=DescribeAddresses&PublicIp.1=198.51.100.250".into(), "InvalidAddress.NotFound"),
        ("Action=AllocateAddress&Domain=standard".into(), "InvalidParameterValue"),
        ("Action=AllocateAddress&PublicIpv4Pool=ipv4pool-ec2-1".into(), "InvalidParameterValue"),
        ("Action=AllocateAddress&NetworkBorderGroup=eu-west-1".into(), "InvalidParameterValue"),
        (format!("Action=AllocateAddress&Address={public}"), "InvalidAddress.NotFound"),
        ("Action=AllocateAddress&Address=8.8.8.8".into(), "InvalidAddress.NotFound"),
    ] {
        assert_eq!(net.code(&query), code, "{query}");
    }
    // Another account sees none of it.
    for query in [
        map(&format!("&InstanceId={x}")),
        format!("Action=ReleaseAddress&AllocationId={allocation}"),
        format!("Action=DescribeAddresses&AllocationId.1={allocation}"),
        format!("Action=ModifyAddressAttribute&AllocationId={allocation}&DomainName=a.example"),
    ] {
        assert_eq!(net.cloud.code(BOB, &query), "InvalidAllocationID.NotFound", "{query}");
    }
    // Two interfaces: which one is meant?
    let second = net.ok(&format!("Action=CreateNetworkInterface&SubnetId={}", net.subnet.clone()));
    let second = text(&second, "networkInterfaceId");
    net.ok(&format!("Action=AttachNetworkInterface&NetworkInterfaceId={second}&InstanceId={x}&DeviceIndex=1"));
    assert_eq!(net.code(&map(&format!("&InstanceId={x}"))), "InvalidInstanceID");
    net.ok(&map(&format!("&NetworkInterfaceId={second}")));
    net.ok(&format!("Action=TerminateInstances&InstanceId.1={x}"));
    assert_eq!(net.code(&map(&format!("&InstanceId={x}"))), "InvalidInstanceID");
}

#[test]
fn a_vpc_without_a_gateway_maps_nothing_and_one_that_maps_keeps_it() {
    let mut net = net();
    let (allocation, _) = net.allocate();
    let (x, _) = net.run("");
    let (gateway, vpc) = (net.gateway.clone(), net.vpc.clone());
    let detach = format!("Action=DetachInternetGateway&InternetGatewayId={gateway}&VpcId={vpc}");
    let map = format!("Action=AssociateAddress&AllocationId={allocation}&InstanceId={x}");
    let association = text(&net.ok(&map), "associationId");
    let refused = net.cloud.error(ALICE, &detach);
    assert_eq!(refused.code, "DependencyViolation");
    assert!(refused.message.contains("has some mapped public address(es)"), "{}", refused.message);
    net.ok(&format!("Action=DisassociateAddress&AssociationId={association}"));
    net.ok(&detach);
    let refused = net.cloud.error(ALICE, &map);
    assert_eq!(
        (refused.code.as_ref(), refused.message),
        ("Gateway.NotAttached", format!("Network {vpc} is not attached to any internet gateway"))
    );
}

#[test]
fn an_account_has_five_and_a_region_has_what_its_pools_have() {
    let mut net = net();
    for _ in 0..5 {
        net.allocate();
    }
    let refused = net.cloud.error(ALICE, "Action=AllocateAddress");
    let message = "The maximum number of addresses has been reached.";
    assert_eq!((&*refused.code, &*refused.message, refused.status), ("AddressLimitExceeded", message, 400));
    net.cloud.ok(BOB, "Action=AllocateAddress");
    net.cloud.config.quotas.elastic_ips = 1000;
    net.cloud.config.public_pools = vec!["203.0.113.8/30".parse().unwrap()];
    let mut got: Vec<String> = (0..3).map(|_| text(&net.cloud.ok(BOB, "Action=AllocateAddress"), "publicIp")).collect();
    got.sort();
    got.dedup();
    let pool = net.cloud.config.public_pools[0];
    let is_of_pool = |a: &ElasticAddress| pool.contains(a.public);
    let free = 4 - net.cloud.world.all::<ElasticAddress>().filter(|a| is_of_pool(a)).count();
    assert_eq!(got.len(), 3, "{got:?}");
    for _ in 0..free {
        net.cloud.ok(BOB, "Action=AllocateAddress");
    }
    let refused = net.cloud.error(BOB, "Action=AllocateAddress");
    assert_eq!((refused.code.as_ref(), refused.status), ("InsufficientAddressCapacity", 500));
    // One that is given back rests for a minute.
    let held = net.cloud.world.all::<ElasticAddress>().find(|a| a.owner == BOB.parse().unwrap() && is_of_pool(a));
    let held = held.unwrap().id;
    net.cloud.ok(BOB, &format!("Action=ReleaseAddress&AllocationId={held}"));
    assert_eq!(net.cloud.code(BOB, "Action=AllocateAddress"), "InsufficientAddressCapacity");
    net.cloud.now = net.cloud.now + Duration::seconds(60);
    let due = control::tick::next(&net.cloud.world, &net.cloud.config).unwrap();
    assert_eq!(due, net.cloud.now);
    let changes = control::tick(&net.cloud.world, &net.cloud.config, net.cloud.now);
    net.cloud.world = net.cloud.world.apply(&changes);
    assert_eq!(net.cloud.world.all::<RestingAddress>().count(), 0, "and is forgotten then");
    net.cloud.ok(BOB, "Action=AllocateAddress");
}

#[test]
fn at_launch_the_subnet_says_unless_the_launch_does() {
    let mut net = net();
    let (plain, _) = net.run("");
    assert_eq!(net.public_ip(&plain), None);
    let (asked, _) = net.run(&net.public(true));
    assert!(net.public_ip(&asked).is_some());
    let modify = format!("Action=ModifySubnetAttribute&SubnetId={}&MapPublicIpOnLaunch.Value=true", net.subnet);
    net.ok(&modify);
    let (by_subnet, eni) = net.run("");
    let public = net.public_ip(&by_subnet).expect("the subnet says so");
    let (not, _) = net.run(&net.public(false));
    assert_eq!(net.public_ip(&not), None);
    let shown = net.ok(&format!("Action=DescribeNetworkInterfaces&NetworkInterfaceId.1={eni}"));
    assert_eq!((text(&shown, "publicIp"), text(&shown, "ipOwnerId")), (public.clone(), "amazon".into()));
    assert!(texts(&shown, "allocationId").is_empty());
    assert!(texts(&net.ok("Action=DescribeAddresses"), "publicIp").is_empty(), "it is nobody's to hold");
    for filter in ["association.public-ip", "addresses.association.public-ip"] {
        let query = format!("Action=DescribeNetworkInterfaces&Filter.1.Name={filter}&Filter.1.Value.1={public}");
        assert_eq!(texts(&net.ok(&query), "networkInterfaceId"), [eni.as_str()], "{filter}");
    }
    for filter in
        ["ip-address", "network-interface.addresses.association.public-ip", "network-interface.association.public-ip"]
    {
        let query = format!("Action=DescribeInstances&Filter.1.Name={filter}&Filter.1.Value.1={public}");
        assert_eq!(texts(&net.ok(&query), "reservationId").len(), 1, "{filter}");
    }
    // An interface that exists, one beside another, one that is not the first.
    let subnet = net.subnet.clone();
    let run = "Action=RunInstances&ImageId=ami-0123456789abcdef0&MinCount=1&MaxCount=1";
    let free = text(&net.ok(&format!("Action=CreateNetworkInterface&SubnetId={subnet}")), "networkInterfaceId");
    for more in [
        format!(
            "&NetworkInterface.1.DeviceIndex=0&NetworkInterface.1.NetworkInterfaceId={free}&NetworkInterface.1.AssociatePublicIpAddress=true"
        ),
        format!("{}&NetworkInterface.2.DeviceIndex=1&NetworkInterface.2.SubnetId={subnet}", net.public(true)),
        format!(
            "&NetworkInterface.1.DeviceIndex=1&NetworkInterface.1.SubnetId={subnet}&NetworkInterface.1.AssociatePublicIpAddress=true"
        ),
    ] {
        assert_eq!(net.code(&format!("{run}{more}")), "InvalidParameterCombination", "{more}");
    }
    let two = format!(
        "&NetworkInterface.1.DeviceIndex=0&NetworkInterface.1.SubnetId={subnet}&NetworkInterface.2.DeviceIndex=1&NetworkInterface.2.SubnetId={subnet}"
    );
    let (two, _) = net.run(&two);
    assert_eq!(net.public_ip(&two), None, "of two interfaces none is the one");
}

#[test]
fn what_was_assigned_goes_with_a_stop_and_comes_anew_with_a_start() {
    let mut net = net();
    let host: HostId = "host-1".parse().unwrap();
    net.cloud.config.hosts = vec![host];
    let tell = |net: &mut Net, id: &str, starts: u32, condition: Condition| {
        let report = Report { instance: id.parse().unwrap(), starts, condition };
        let changes = control::report::receive(&net.cloud.world, host, &report, net.cloud.now);
        net.cloud.world = net.cloud.world.apply(&changes);
    };
    let (x, eni) = net.run(&net.public(true));
    tell(&mut net, &x, 1, Condition::Running);
    let first = net.public_ip(&x).unwrap();
    let stop = format!("Action=StopInstances&InstanceId.1={x}");
    let start = format!("Action=StartInstances&InstanceId.1={x}");
    net.ok(&stop);
    assert_eq!(net.public_ip(&x), None);
    let resting: Vec<String> = net.cloud.world.all::<RestingAddress>().map(|a| a.public.to_string()).collect();
    assert_eq!(resting, [first.as_str()]);
    tell(&mut net, &x, 1, Condition::Stopped);
    net.ok(&start);
    let second = net.public_ip(&x).expect("a new one");
    assert_ne!(second, first);
    // An Elastic IP address takes its place, for good, and stays over a stop.
    let (allocation, elastic) = net.allocate();
    net.ok(&format!("Action=AssociateAddress&AllocationId={allocation}&InstanceId={x}"));
    assert!(net.cloud.world.resting_addresses.contains_key(&second.parse().unwrap()));
    tell(&mut net, &x, 2, Condition::Running);
    net.ok(&stop);
    tell(&mut net, &x, 2, Condition::Stopped);
    assert_eq!(net.public_ip(&x), Some(elastic.clone()));
    net.ok(&start);
    assert_eq!(net.public_ip(&x), Some(elastic.clone()));
    // It shuts itself down, or fails: the same as stopped.
    let shown = net.ok(&format!("Action=DescribeNetworkInterfaces&NetworkInterfaceId.1={eni}"));
    net.ok(&format!("Action=DisassociateAddress&AssociationId={}", text(&shown, "associationId")));
    assert_eq!(net.public_ip(&x), None, "until it starts again");
    tell(&mut net, &x, 3, Condition::Running);
    net.ok(&stop);
    tell(&mut net, &x, 3, Condition::Stopped);
    net.ok(&start);
    let third = net.public_ip(&x).expect("as it was launched");
    tell(&mut net, &x, 4, Condition::Ended);
    assert_eq!(net.public_ip(&x), None);
    assert!(net.cloud.world.resting_addresses.contains_key(&third.parse().unwrap()));
    net.ok(&start);
    let fourth = net.public_ip(&x).unwrap();
    net.ok(&format!("Action=TerminateInstances&InstanceId.1={x}"));
    assert_eq!(net.public_ip(&x), None, "while it still shuts down");
    tell(&mut net, &x, 5, Condition::Terminated);
    assert!(net.cloud.world.resting_addresses.contains_key(&fourth.parse().unwrap()));
    let shown = net.ok(&format!("Action=DescribeAddresses&AllocationId.1={allocation}"));
    assert!(texts(&shown, "associationId").is_empty());
}

#[test]
fn names_follow_the_vpcs_switches() {
    let mut net = net();
    let (x, _) = net.run(&net.public(true));
    let public = net.public_ip(&x).unwrap();
    let query = format!("Action=DescribeInstances&InstanceId.1={x}");
    assert_eq!(text(&net.ok(&query), "dnsName"), "");
    net.ok(&format!("Action=ModifyVpcAttribute&VpcId={}&EnableDnsHostnames.Value=true", net.vpc.clone()));
    let name = format!("ec2-{}.compute-1.amazonaws.com", public.replace('.', "-"));
    let shown = net.ok(&query);
    assert_eq!(text(&shown, "dnsName"), name);
    assert!(texts(&shown, "publicDnsName").iter().all(|shown| *shown == name));
    let by_name = format!("Action=DescribeInstances&Filter.1.Name=dns-name&Filter.1.Value.1={name}");
    assert_eq!(texts(&net.ok(&by_name), "instanceId").first(), Some(&x));
    net.ok(&format!("Action=ModifyVpcAttribute&VpcId={}&EnableDnsHostnames.Value=false", net.vpc.clone()));
    assert_eq!(text(&net.ok(&query), "dnsName"), "");
}

#[test]
fn an_address_that_leaves_its_interface_stands_for_nothing() {
    let mut net = net();
    let (_, eni) = net.run("&PrivateIpAddress=10.0.1.20");
    let (allocation, public) = net.allocate();
    net.ok(&format!("Action=AssignPrivateIpAddresses&NetworkInterfaceId={eni}&PrivateIpAddress.1=10.0.1.50"));
    let map = format!("Action=AssociateAddress&AllocationId={allocation}&NetworkInterfaceId={eni}");
    net.ok(&format!("{map}&PrivateIpAddress=10.0.1.50"));
    let shown = net.ok(&format!("Action=DescribeAddresses&PublicIp.1={public}"));
    assert_eq!(text(&shown, "privateIpAddress"), "10.0.1.50");
    net.ok(&format!("Action=UnassignPrivateIpAddresses&NetworkInterfaceId={eni}&PrivateIpAddress.1=10.0.1.50"));
    let shown = net.ok(&format!("Action=DescribeAddresses&PublicIp.1={public}"));
    assert!(texts(&shown, "associationId").is_empty());
    // And with an interface that is deleted.
    let free = net.ok(&format!("Action=CreateNetworkInterface&SubnetId={}", net.subnet.clone()));
    let free = text(&free, "networkInterfaceId");
    net.ok(&format!("Action=AssociateAddress&AllocationId={allocation}&NetworkInterfaceId={free}"));
    net.ok(&format!("Action=DeleteNetworkInterface&NetworkInterfaceId={free}"));
    net.ok(&format!("Action=ReleaseAddress&AllocationId={allocation}"));
}

#[test]
fn a_reverse_name_is_recorded() {
    let mut net = net();
    let (allocation, public) = net.allocate();
    let list = format!("Action=DescribeAddressesAttribute&Attribute=domain-name&AllocationId.1={allocation}");
    assert!(texts(&net.ok(&list), "publicIp").is_empty());
    let modify = format!("Action=ModifyAddressAttribute&AllocationId={allocation}&DomainName=");
    for wrong in ["", "localhost", "a..example", "-x y.example", "räuber.example"] {
        let code = net.code(&format!("{modify}{wrong}"));
        assert!(["InvalidParameterValue", "MissingParameter"].contains(&code.as_str()), "{wrong}: {code}");
    }
    let made = net.ok(&format!("{modify}mail.example.com"));
    assert_eq!((text(&made, "publicIp"), text(&made, "ptrRecord")), (public.clone(), "mail.example.com.".into()));
    assert_eq!(text(&net.ok(&list), "ptrRecord"), "mail.example.com.");
    let reset = format!("Action=ResetAddressAttribute&AllocationId={allocation}&Attribute=");
    assert_eq!(net.code(&format!("{reset}name")), "InvalidParameterValue");
    net.ok(&format!("{reset}domain-name"));
    assert!(texts(&net.ok(&list), "publicIp").is_empty());
}

#[test]
fn tags_are_on_addresses_as_on_anything() {
    let mut net = net();
    let made = net.ok(
        "Action=AllocateAddress&TagSpecification.1.ResourceType=elastic-ip&TagSpecification.1.Tag.1.Key=Name&TagSpecification.1.Tag.1.Value=web",
    );
    let id = text(&made, "allocationId");
    let by_tag = "Action=DescribeAddresses&Filter.1.Name=tag:Name&Filter.1.Value.1=web";
    assert_eq!(texts(&net.ok(by_tag), "allocationId"), [id.as_str()]);
    net.ok(&format!("Action=CreateTags&ResourceId.1={id}&Tag.1.Key=Name&Tag.1.Value=db"));
    assert!(texts(&net.ok(by_tag), "allocationId").is_empty());
    let shown = net.ok(&format!("Action=DescribeTags&Filter.1.Name=resource-id&Filter.1.Value.1={id}"));
    assert_eq!((text(&shown, "resourceType"), text(&shown, "value")), ("elastic-ip".into(), "db".into()));
}

/// What every host is told of the internet, and of whom it must know to reach it.
#[test]
fn hosts_hear_of_every_public_address_of_the_cloud() {
    let mut net = net();
    let hosts: [HostId; 2] = ["host-1", "host-2"].map(|name| name.parse().unwrap());
    net.cloud.config.hosts = hosts.to_vec();
    for host in hosts {
        let key = KeyFingerprint([7; 32]);
        put(&mut net.cloud, Host { id: host, underlay: "198.18.0.1:4500".parse().unwrap(), key });
    }
    let (held, _) = net.allocate();
    let held = net.cloud.world.find::<ElasticAddress>(&held.parse().unwrap()).unwrap().public;
    let (x, _) = net.run(&net.public(true));
    let public = net.public_ip(&x).unwrap().parse().unwrap();
    let (other, y) = {
        let other = vpc(&mut net.cloud, BOB, "10.0.0.0/16");
        let subnet = subnet(&mut net.cloud, BOB, &other, "10.0.1.0/24");
        let run = format!("Action=RunInstances&ImageId=ami-0123456789abcdef0&MinCount=1&MaxCount=1&SubnetId={subnet}");
        (other, text(&net.cloud.ok(BOB, &run), "instanceId"))
    };
    let host_of = |net: &Net, id: &str| net.cloud.world.find::<Instance>(&id.parse().unwrap()).unwrap().host.unwrap();
    let (at_x, at_y) = (host_of(&net, &x), host_of(&net, &y));
    assert_ne!(at_x, at_y);
    let intent = |net: &Net, host| {
        let worlds = BTreeMap::from([(net.cloud.config.region, net.cloud.world.clone())]);
        control::plan::intent(&worlds, host)
    };
    let seen = intent(&net, at_y);
    assert_eq!(seen.public.keys().copied().collect::<std::collections::BTreeSet<_>>(), [held, public].into());
    assert_eq!(seen.public[&held].holder, None);
    let holder = seen.public[&public].holder.as_ref().unwrap();
    let interface = net.cloud.world.find::<NetworkInterface>(&holder.interface).unwrap();
    assert_eq!((holder.host, holder.has_gateway, holder.private), (Some(at_x), true, interface.primary_ip()));
    assert!(seen.hosts.is_empty(), "without a gateway there is nobody to talk to");
    let gateway = text(&net.cloud.ok(BOB, "Action=CreateInternetGateway"), "internetGatewayId");
    net.cloud.ok(BOB, &format!("Action=AttachInternetGateway&InternetGatewayId={gateway}&VpcId={other}"));
    assert_eq!(intent(&net, at_y).hosts.keys().copied().collect::<Vec<_>>(), [at_x]);
}
