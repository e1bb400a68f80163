//! NAT gateways and egress-only internet gateways through the API (spec 8.8, 4.3, 4.6, ch. 13).

mod common;
mod things;

use std::collections::BTreeMap;

use common::*;
use model::*;
use things::*;

struct Net {
    cloud: Harness,
    vpc: String,
    subnet: String,
    table: String,
}

impl Net {
    fn new() -> Net {
        let mut cloud = Harness::new();
        let vpc = vpc(&mut cloud, ALICE, "10.0.0.0/16");
        let subnet = subnet(&mut cloud, ALICE, &vpc, "10.0.1.0/24");
        let table = table(&mut cloud, ALICE, &vpc);
        Net { cloud, vpc, subnet, table }
    }

    fn with_gateway() -> Net {
        let mut net = Net::new();
        let gateway = text(&net.cloud.ok(ALICE, "Action=CreateInternetGateway"), "internetGatewayId");
        let attach = format!("Action=AttachInternetGateway&InternetGatewayId={gateway}&VpcId={}", net.vpc);
        net.cloud.ok(ALICE, &attach);
        net
    }

    fn address(&mut self) -> (String, String) {
        let made = self.cloud.ok(ALICE, "Action=AllocateAddress&Domain=vpc");
        (text(&made, "allocationId"), text(&made, "publicIp"))
    }

    fn create(&mut self, rest: &str) -> String {
        self.cloud.ok(ALICE, &format!("Action=CreateNatGateway&SubnetId={}&{rest}", self.subnet))
    }

    fn refused(&mut self, rest: &str) -> String {
        self.cloud.code(ALICE, &format!("Action=CreateNatGateway&SubnetId={}&{rest}", self.subnet))
    }

    fn private(&mut self) -> String {
        text(&self.create("ConnectivityType=private"), "natGatewayId")
    }

    fn describe(&mut self, id: &str) -> String {
        self.cloud.ok(ALICE, &format!("Action=DescribeNatGateways&NatGatewayId.1={id}"))
    }

    fn delete(&mut self, id: &str) {
        self.cloud.ok(ALICE, &format!("Action=DeleteNatGateway&NatGatewayId={id}"));
    }

    fn interface_of(&mut self, id: &str) -> String {
        let document = self.describe(id);
        text(&document, "networkInterfaceId")
    }

    fn route(&mut self, destination: &str, target: &str) -> Result<String, ec2::Error> {
        let query = format!("Action=CreateRoute&RouteTableId={}&{destination}&{target}", self.table);
        self.cloud.call(ALICE, &query)
    }

    fn routes(&mut self) -> String {
        self.cloud.ok(ALICE, &format!("Action=DescribeRouteTables&RouteTableId.1={}", self.table))
    }
}

#[test]
fn a_public_gateway_has_an_interface_with_an_elastic_address() {
    let mut net = Net::with_gateway();
    let (allocation, public) = net.address();
    let tags =
        "TagSpecification.1.ResourceType=natgateway&TagSpecification.1.Tag.1.Key=Name&TagSpecification.1.Tag.1.Value=n";
    let made = net.create(&format!("AllocationId={allocation}&ClientToken=once&{tags}"));
    let id = text(&made, "natGatewayId");
    for (name, value) in [
        ("state", "available"),
        ("connectivityType", "public"),
        ("allocationId", &allocation),
        ("publicIp", &public),
        ("isPrimary", "true"),
        ("status", "succeeded"),
        ("value", "n"),
        ("clientToken", "once"),
    ] {
        assert_eq!(text(&made, name), value, "{name}");
    }
    let again = net.create(&format!("AllocationId={allocation}&ClientToken=once&{tags}"));
    assert_eq!(text(&again, "natGatewayId"), id, "said twice is made once");
    let interface = text(&made, "networkInterfaceId");
    let shown = net.cloud.ok(ALICE, &format!("Action=DescribeNetworkInterfaces&NetworkInterfaceId.1={interface}"));
    for (name, value) in [
        ("interfaceType", "nat_gateway"),
        ("requesterManaged", "true"),
        ("status", "in-use"),
        ("sourceDestCheck", "false"),
        ("publicIp", &public),
        ("description", &format!("Interface for NAT Gateway {id}")),
    ] {
        assert_eq!(text(&shown, name), value, "{name}");
    }
    assert!(texts(&shown, "groupId").is_empty());
    // Who looks for them finds it, and it is no user's to change.
    let filter = "Action=DescribeNetworkInterfaces&Filter.1.Name=interface-type&Filter.1.Value.1=nat_gateway";
    assert_eq!(texts(&net.cloud.ok(ALICE, filter), "networkInterfaceId"), std::slice::from_ref(&interface));
    for query in [
        format!("Action=DeleteNetworkInterface&NetworkInterfaceId={interface}"),
        format!("Action=ModifyNetworkInterfaceAttribute&NetworkInterfaceId={interface}&SourceDestCheck.Value=true"),
        format!("Action=AssignPrivateIpAddresses&NetworkInterfaceId={interface}&SecondaryPrivateIpAddressCount=1"),
        format!("Action=UnassignPrivateIpAddresses&NetworkInterfaceId={interface}&PrivateIpAddress.1=10.0.1.9"),
        format!("Action=DisassociateAddress&AssociationId={}", text(&made, "associationId")),
    ] {
        assert_eq!(net.cloud.code(ALICE, &query), "OperationNotPermitted", "{query}");
    }
    for query in [format!("Action=DeleteSubnet&SubnetId={}", net.subnet), format!("Action=DeleteVpc&VpcId={}", net.vpc)]
    {
        assert_eq!(net.cloud.code(ALICE, &query), "DependencyViolation", "{query}");
    }
    let release = format!("Action=ReleaseAddress&AllocationId={allocation}");
    assert_eq!(net.cloud.code(ALICE, &release), "InvalidIPAddress.InUse");

    net.delete(&id);
    let gone = net.describe(&id);
    for (name, value) in [("state", "deleted"), ("publicIp", &public), ("networkInterfaceId", &interface)] {
        assert_eq!(text(&gone, name), value, "{name}");
    }
    assert_eq!(texts(&gone, "deleteTime").len(), 1);
    let look = format!("Action=DescribeNetworkInterfaces&NetworkInterfaceId.1={interface}");
    assert_eq!(net.cloud.code(ALICE, &look), "InvalidNetworkInterfaceID.NotFound");
    net.delete(&id);
    net.cloud.ok(ALICE, &release);
    net.cloud.ok(ALICE, &format!("Action=DeleteSubnet&SubnetId={}", net.subnet));
}

#[test]
fn what_aws_finds_wrong_late_leaves_a_gateway_that_failed() {
    let mut net = Net::new();
    let (allocation, _) = net.address();
    let failed = net.create(&format!("AllocationId={allocation}"));
    for (name, value) in [
        ("state", "failed"),
        ("failureCode", "Gateway.NotAttached"),
        ("failureMessage", &format!("Network {} has no Internet gateway attached", net.vpc)),
        ("allocationId", &allocation),
        ("status", "failed"),
    ] {
        assert_eq!(text(&failed, name), value, "{name}");
    }
    assert!(texts(&failed, "networkInterfaceId").is_empty());
    let mut net = Net::with_gateway();
    let (allocation, _) = net.address();
    net.create(&format!("AllocationId={allocation}"));
    let second = net.create(&format!("AllocationId={allocation}"));
    assert_eq!(text(&second, "failureCode"), "Resource.AlreadyAssociated");
    let small = subnet(&mut net.cloud, ALICE, &net.vpc.clone(), "10.0.2.0/28");
    for _ in 0..11 {
        net.cloud.ok(ALICE, &format!("Action=CreateNetworkInterface&SubnetId={small}"));
    }
    let full = net.cloud.ok(ALICE, &format!("Action=CreateNatGateway&SubnetId={small}&ConnectivityType=private"));
    assert_eq!(text(&full, "failureCode"), "InsufficientFreeAddressesInSubnet");
    assert_eq!(text(&full, "state"), "failed");
}

#[test]
fn what_is_wrong_at_once_is_refused_at_once() {
    let mut net = Net::with_gateway();
    let (allocation, _) = net.address();
    for (rest, code) in [
        (String::new(), "MissingParameter"),
        ("ConnectivityType=transit".into(), "InvalidParameterValue"),
        (format!("ConnectivityType=private&AllocationId={allocation}"), "InvalidParameterCombination"),
        (format!("AllocationId=eipalloc-{UNKNOWN}"), "InvalidAllocationID.NotFound"),
        (format!("AllocationId={allocation}&SecondaryPrivateIpAddressCount=1"), "InvalidParameterCombination"),
        ("ConnectivityType=private&AvailabilityMode=regional".into(), "UnsupportedOperation"),
        ("ConnectivityType=private&PrivateIpAddress=10.0.9.9".into(), "InvalidParameterValue"),
        ("ConnectivityType=private&SecondaryPrivateIpAddressCount=8".into(), "PrivateIpAddressLimitExceeded"),
        (
            "ConnectivityType=private&TagSpecification.1.ResourceType=vpc&TagSpecification.1.Tag.1.Key=a".into(),
            "InvalidParameterValue",
        ),
    ] {
        assert_eq!(net.refused(&rest), code, "{rest}");
    }
    let create = |subnet: &str| format!("Action=CreateNatGateway&ConnectivityType=private&SubnetId={subnet}");
    assert_eq!(net.cloud.code(ALICE, &create(&format!("subnet-{UNKNOWN}"))), "InvalidSubnetID.NotFound");
    let foreign = create(&net.subnet.clone());
    assert_eq!(net.cloud.code(BOB, &foreign), "InvalidSubnetID.NotFound");
    for action in ["DeleteNatGateway&NatGatewayId=", "DescribeNatGateways&NatGatewayId.1="] {
        assert_eq!(net.cloud.code(ALICE, &format!("Action={action}nat-{UNKNOWN}")), "NatGatewayNotFound");
        assert_eq!(net.cloud.code(ALICE, &format!("Action={action}nat-x")), "NatGatewayMalformed");
        let own = net.private();
        assert_eq!(net.cloud.code(BOB, &format!("Action={action}{own}")), "NatGatewayNotFound");
    }
}

#[test]
fn five_in_a_zone_and_those_that_ended_do_not_count() {
    let mut net = Net::new();
    let made: Vec<String> = (0..5).map(|_| net.private()).collect();
    assert_eq!(net.refused("ConnectivityType=private"), "NatGatewayLimitExceeded");
    net.delete(&made[0]);
    net.private();
    let filter = format!(
        "Action=DescribeNatGateways&Filter.1.Name=state&Filter.1.Value.1=available&Filter.2.Name=subnet-id&Filter.2.Value.1={}",
        net.subnet
    );
    assert_eq!(texts(&net.cloud.ok(ALICE, &filter), "natGatewayId").len(), 5);
    net.cloud.now = net.cloud.now + Duration::seconds(59 * 60);
    let changes = control::tick(&net.cloud.world, &net.cloud.config, net.cloud.now);
    net.cloud.world = net.cloud.world.apply(&changes);
    // Visible for an hour.
    net.delete(&made[0]);
    net.cloud.now = net.cloud.now + Duration::seconds(60);
    let changes = control::tick(&net.cloud.world, &net.cloud.config, net.cloud.now);
    net.cloud.world = net.cloud.world.apply(&changes);
    assert_eq!(
        net.cloud.code(ALICE, &format!("Action=DeleteNatGateway&NatGatewayId={}", made[0])),
        "NatGatewayNotFound"
    );
}

#[test]
fn addresses_come_and_go() {
    let mut net = Net::new();
    let id = net.private();
    let assign = |rest: &str| format!("Action=AssignPrivateNatGatewayAddress&NatGatewayId={id}&{rest}");
    let added = net.cloud.ok(ALICE, &assign("PrivateIpAddress.1=10.0.1.50"));
    assert_eq!((text(&added, "privateIp"), text(&added, "isPrimary")), ("10.0.1.50".into(), "false".into()));
    net.cloud.ok(ALICE, &assign("PrivateIpAddressCount=2"));
    assert_eq!(texts(&net.describe(&id), "privateIp").len(), 4);
    assert_eq!(net.cloud.code(ALICE, &assign("PrivateIpAddressCount=5")), "PrivateIpAddressLimitExceeded");
    assert_eq!(net.cloud.code(ALICE, &assign("")), "InvalidParameterCombination");
    let unassign = |rest: &str| format!("Action=UnassignPrivateNatGatewayAddress&NatGatewayId={id}&{rest}");
    let shown = net.describe(&id);
    let primary = format!("PrivateIpAddress.1={}", text(&shown, "privateIp"));
    assert_eq!(net.cloud.code(ALICE, &unassign(&primary)), "InvalidParameterValue");
    let wrong = "PrivateIpAddress.1=10.0.1.50&MaxDrainDurationSeconds=0";
    assert_eq!(net.cloud.code(ALICE, &unassign(wrong)), "InvalidParameterValue");
    net.cloud.ok(ALICE, &unassign("PrivateIpAddress.1=10.0.1.50"));
    assert!(!texts(&net.describe(&id), "privateIp").contains(&"10.0.1.50".into()));
    let associate = format!("Action=AssociateNatGatewayAddress&NatGatewayId={id}&AllocationId.1=eipalloc-{UNKNOWN}");
    assert_eq!(net.cloud.code(ALICE, &associate), "UnsupportedOperation", "a private one has no Elastic IP addresses");

    let mut net = Net::with_gateway();
    let (first, _) = net.address();
    let (second, public) = net.address();
    let id = text(&net.create(&format!("AllocationId={first}")), "natGatewayId");
    let associate = format!("Action=AssociateNatGatewayAddress&NatGatewayId={id}&AllocationId.1={second}");
    let added = net.cloud.ok(ALICE, &associate);
    assert_eq!((text(&added, "publicIp"), text(&added, "allocationId")), (public, second.clone()));
    assert_eq!(net.cloud.code(ALICE, &associate), "Resource.AlreadyAssociated");
    assert_eq!(texts(&net.describe(&id), "publicIp").len(), 2);
    let disassociate = |association: &str| {
        format!("Action=DisassociateNatGatewayAddress&NatGatewayId={id}&AssociationId.1={association}")
    };
    let shown = net.describe(&id);
    let associations = texts(&shown, "associationId");
    assert_eq!(
        net.cloud.code(ALICE, &disassociate(&associations[0])),
        "InvalidParameterValue",
        "the primary one stays"
    );
    assert_eq!(net.cloud.code(ALICE, &disassociate(&format!("eipassoc-{UNKNOWN}"))), "InvalidAssociationID.NotFound");
    net.cloud.ok(ALICE, &disassociate(&associations[1]));
    net.cloud.ok(ALICE, &format!("Action=ReleaseAddress&AllocationId={second}"));
    net.delete(&id);
    assert_eq!(net.cloud.code(ALICE, &associate), "IncorrectState");
}

#[test]
fn routes_lead_to_a_gateway_until_it_ends() {
    let mut net = Net::new();
    let id = net.private();
    let target = format!("NatGatewayId={id}");
    net.route("DestinationCidrBlock=0.0.0.0/0", &target).unwrap();
    // Its own subnet's traffic too (spec 4.3.2), and under the forgiving name.
    net.route("DestinationCidrBlock=10.0.1.0/24", &target).unwrap();
    net.route("DestinationCidrBlock=172.16.0.0/12", &format!("GatewayId={id}")).unwrap();
    let shown = net.routes();
    assert_eq!(texts(&shown, "natGatewayId"), [&*id; 3]);
    assert!(!texts(&shown, "state").contains(&"blackhole".into()));
    let wrong = net.route("DestinationIpv6CidrBlock=::/0", &target).unwrap_err();
    assert_eq!(wrong.code, "InvalidParameterValue");
    let other = vpc(&mut net.cloud, ALICE, "10.1.0.0/16");
    let there = subnet(&mut net.cloud, ALICE, &other, "10.1.1.0/24");
    let made = net.cloud.ok(ALICE, &format!("Action=CreateNatGateway&ConnectivityType=private&SubnetId={there}"));
    let foreign = net.route("DestinationCidrBlock=9.0.0.0/8", &format!("NatGatewayId={}", text(&made, "natGatewayId")));
    let foreign = foreign.unwrap_err();
    assert_eq!(foreign.code, "InvalidParameterValue");
    assert!(foreign.message.ends_with("belong to different networks"), "{}", foreign.message);
    net.delete(&id);
    let shown = net.routes();
    let holes = texts(&shown, "state").into_iter().filter(|state| state == "blackhole").count();
    assert_eq!((texts(&shown, "natGatewayId").len(), holes), (3, 3), "the routes stay, as blackholes");
    let gone = net.route("DestinationCidrBlock=8.0.0.0/8", &target).unwrap_err();
    assert_eq!(gone.code, "InvalidNatGatewayID.NotFound");
}

#[test]
fn hosts_are_told_of_the_gateway_and_where_it_is() {
    let mut net = Net::new();
    net.cloud.config.hosts = vec!["host-1".parse().unwrap()];
    let id: NatGatewayId = net.private().parse().unwrap();
    let interface: NetworkInterfaceId = net.interface_of(&id.to_string()).parse().unwrap();
    let worlds = BTreeMap::from([(net.cloud.config.region, net.cloud.world.clone())]);
    let intent = control::plan::intent(&worlds, "host-1".parse().unwrap());
    let slice = &intent.vpcs[&net.vpc.parse().unwrap()];
    assert_eq!(slice.nat_gateways, BTreeMap::from([(id, interface)]));
    let endpoint = slice.endpoints.iter().find(|endpoint| endpoint.interface.id == interface).unwrap();
    assert_eq!((endpoint.is_up, endpoint.host), (true, Some("host-1".parse().unwrap())));
    assert!(control::plan::intent(&worlds, "host-2".parse().unwrap()).vpcs.is_empty());
    net.delete(&id.to_string());
    let worlds = BTreeMap::from([(net.cloud.config.region, net.cloud.world.clone())]);
    assert!(control::plan::intent(&worlds, "host-1".parse().unwrap()).vpcs.is_empty());
}

#[test]
fn an_egress_only_gateway_lives_in_its_vpc() {
    let mut net = Net::new();
    let create = format!("Action=CreateEgressOnlyInternetGateway&VpcId={}&ClientToken=t", net.vpc);
    let made = net.cloud.ok(ALICE, &create);
    let id = text(&made, "egressOnlyInternetGatewayId");
    assert_eq!((text(&made, "state"), text(&made, "vpcId")), ("attached".into(), net.vpc.clone()));
    assert_eq!(text(&net.cloud.ok(ALICE, &create), "egressOnlyInternetGatewayId"), id);
    let target = format!("EgressOnlyInternetGatewayId={id}");
    net.route("DestinationIpv6CidrBlock=::/0", &target).unwrap();
    let wrong = net.route("DestinationCidrBlock=0.0.0.0/0", &target).unwrap_err();
    assert_eq!(wrong.code, "InvalidParameterValue");
    assert_eq!(texts(&net.routes(), "egressOnlyInternetGatewayId"), std::slice::from_ref(&id));
    assert_eq!(net.cloud.code(ALICE, &format!("Action=DeleteVpc&VpcId={}", net.vpc)), "DependencyViolation");
    net.cloud.ok(ALICE, &format!("Action=CreateTags&ResourceId.1={id}&Tag.1.Key=Name&Tag.1.Value=e"));
    let found =
        net.cloud.ok(ALICE, "Action=DescribeEgressOnlyInternetGateways&Filter.1.Name=tag:Name&Filter.1.Value.1=e");
    assert_eq!(texts(&found, "egressOnlyInternetGatewayId"), std::slice::from_ref(&id));
    let delete = format!("Action=DeleteEgressOnlyInternetGateway&EgressOnlyInternetGatewayId={id}");
    assert_eq!(net.cloud.code(BOB, &delete), "InvalidEgressOnlyInternetGatewayId.NotFound");
    assert_eq!(text(&net.cloud.ok(ALICE, &delete), "returnCode"), "true");
    assert!(texts(&net.routes(), "state").contains(&"blackhole".into()));
    let foreign = format!("Action=CreateEgressOnlyInternetGateway&VpcId={}", net.vpc);
    assert_eq!(net.cloud.code(BOB, &foreign), "InvalidVpcID.NotFound");
    for _ in 0..5 {
        net.cloud.ok(ALICE, &foreign);
    }
    assert_eq!(net.cloud.code(ALICE, &foreign), "EgressOnlyInternetGatewayLimitExceeded");
}

/// The addresses of a gateway rest like those of any interface (decision 0039).
#[test]
fn what_a_gateway_gives_back_goes_to_others_last() {
    let mut net = Net::new();
    let resting = |net: &Net| -> Vec<String> {
        let notes = net.cloud.world.all::<ReleasedAddresses>();
        notes.flat_map(|note| note.addresses.keys()).map(ToString::to_string).collect()
    };
    let id = net.private();
    let assign = "Action=AssignPrivateNatGatewayAddress&PrivateIpAddress.1=10.0.1.50";
    net.cloud.ok(ALICE, &format!("{assign}&NatGatewayId={id}"));
    let unassign = "Action=UnassignPrivateNatGatewayAddress&PrivateIpAddress.1=10.0.1.50";
    net.cloud.ok(ALICE, &format!("{unassign}&NatGatewayId={id}"));
    assert_eq!(resting(&net), ["10.0.1.50"]);
    let primary = text(&net.describe(&id), "privateIp");
    net.delete(&id);
    assert!(resting(&net).contains(&primary));
}
