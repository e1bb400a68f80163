//! Route tables and routes through the API (spec ch. 4).

mod common;
mod things;

use common::*;
use model::*;
use things::*;

/// A VPC 10.0.0.0/16 with the subnet 10.0.0.0/24 and a table of its own.
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
        let subnet = subnet(&mut cloud, ALICE, &vpc, "10.0.0.0/24");
        let table = table(&mut cloud, ALICE, &vpc);
        Net { cloud, vpc, subnet, table }
    }

    fn main_table(&mut self) -> (String, String) {
        let query = format!(
            "Action=DescribeRouteTables&Filter.1.Name=association.main&Filter.1.Value.1=true&Filter.2.Name=vpc-id&Filter.2.Value.1={}",
            self.vpc
        );
        let shown = self.cloud.ok(ALICE, &query);
        // A table's id stands again in its association.
        assert_eq!(texts(&shown, "routeSet").len(), 1);
        (text(&shown, "routeTableId"), text(&shown, "routeTableAssociationId"))
    }

    fn gateway(&mut self, attach: bool) -> String {
        let id = text(&self.cloud.ok(ALICE, "Action=CreateInternetGateway"), "internetGatewayId");
        if attach {
            self.cloud.ok(ALICE, &format!("Action=AttachInternetGateway&InternetGatewayId={id}&VpcId={}", self.vpc));
        }
        id
    }

    fn route(&mut self, action: &str, destination: &str, target: &str) -> Result<(), (String, String)> {
        let family = if destination.contains(':') { "DestinationIpv6CidrBlock" } else { "DestinationCidrBlock" };
        let query = format!("Action={action}&RouteTableId={}&{family}={destination}&{target}", self.table);
        let before = self.cloud.world.clone();
        self.cloud.call(ALICE, &query).map(drop).map_err(|error| {
            assert_eq!(self.cloud.world, before);
            (error.code.into_owned(), error.message)
        })
    }

    fn create(&mut self, destination: &str, target: &str) -> Result<(), (String, String)> {
        self.route("CreateRoute", destination, target)
    }

    fn code(&mut self, destination: &str, target: &str) -> String {
        self.create(destination, target).unwrap_err().0
    }

    fn state(&mut self, destination: &str) -> String {
        let shown = self.cloud.ok(ALICE, &format!("Action=DescribeRouteTables&RouteTableId.1={}", self.table));
        let document = roxmltree::Document::parse(&shown).unwrap();
        let child = |node: roxmltree::Node<'_, '_>, name: &str| {
            node.children().find(|n| n.tag_name().name() == name).and_then(|n| n.text().map(str::to_owned))
        };
        let is_it =
            |node: &roxmltree::Node<'_, '_>| child(*node, "destinationCidrBlock").as_deref() == Some(destination);
        let route = document.descendants().find(is_it).unwrap();
        child(route, "state").unwrap()
    }
}

const DIFFERENT: &str = "belong to different networks";
const UNSUPPORTED: &str = "Route target is not supported. This route only supports interface and instance targets.";

#[test]
fn a_table_begins_with_the_local_routes() {
    let mut net = Net::new();
    let made = net.cloud.ok(ALICE, &format!("Action=CreateRouteTable&VpcId={}&TagSpecification.1.ResourceType=route-table&TagSpecification.1.Tag.1.Key=Name&TagSpecification.1.Tag.1.Value=r", net.vpc));
    for (name, value) in [
        ("destinationCidrBlock", "10.0.0.0/16"),
        ("gatewayId", "local"),
        ("origin", "CreateRouteTable"),
        ("state", "active"),
        ("ownerId", ALICE),
        ("value", "r"),
    ] {
        assert_eq!(text(&made, name), value);
    }
    assert_eq!(texts(&made, "routeTableAssociationId").len(), 0);
    assert_eq!(net.cloud.code(BOB, &format!("Action=CreateRouteTable&VpcId={}", net.vpc)), "InvalidVpcID.NotFound");
    assert_eq!(net.cloud.code(ALICE, "Action=CreateRouteTable"), "MissingParameter");
    net.cloud.config.quotas.route_tables_per_vpc = 3;
    assert_eq!(net.cloud.code(ALICE, &format!("Action=CreateRouteTable&VpcId={}", net.vpc)), "RouteTableLimitExceeded");
}

#[test]
fn a_client_token_makes_one_table() {
    let mut net = Net::new();
    let other = vpc(&mut net.cloud, ALICE, "10.9.0.0/16");
    let query = format!("Action=CreateRouteTable&VpcId={}&ClientToken=t1", net.vpc);
    let (first, again) = (net.cloud.ok(ALICE, &query), net.cloud.ok(ALICE, &query));
    assert_eq!(first, again);
    // A query that is sent again is signed again.
    for signed in ["X-Amz-Date=1&X-Amz-Signature=1", "X-Amz-Date=2&X-Amz-Signature=2&DryRun=false"] {
        assert_eq!(net.cloud.ok(ALICE, &format!("{query}&{signed}")), first, "{signed}");
    }
    assert_eq!(text(&first, "clientToken"), "t1");
    assert_eq!(
        net.cloud.code(ALICE, &format!("Action=CreateRouteTable&VpcId={other}&ClientToken=t1")),
        "IdempotentParameterMismatch"
    );
    assert_eq!(net.cloud.code(ALICE, &format!("{query}{}", "x".repeat(64))), "InvalidParameterValue");
}

#[test]
fn associations_follow_the_subnet() {
    let mut net = Net::new();
    let (subnet, table) = (net.subnet.clone(), net.table.clone());
    let effective = |cloud: &Harness| {
        let subnet = cloud.world.find::<Subnet>(&subnet.parse().unwrap()).unwrap();
        subnet.effective_route_table(cloud.world.find::<Vpc>(&subnet.vpc).unwrap()).to_string()
    };
    let (main, main_association) = net.main_table();
    assert_eq!(effective(&net.cloud), main);
    let query = format!("Action=AssociateRouteTable&RouteTableId={table}&SubnetId={subnet}");
    let made = net.cloud.ok(ALICE, &query);
    assert_eq!((text(&made, "state"), effective(&net.cloud)), ("associated".into(), table.clone()));
    assert_eq!(net.cloud.code(ALICE, &query), "Resource.AlreadyAssociated");
    let error = net.cloud.error(ALICE, &format!("Action=DeleteRouteTable&RouteTableId={table}"));
    assert_eq!(
        (error.code.as_ref(), error.message),
        ("DependencyViolation", format!("The routeTable '{table}' has dependencies and cannot be deleted."))
    );
    assert_eq!(net.cloud.code(ALICE, &format!("Action=DeleteRouteTable&RouteTableId={main}")), "DependencyViolation");

    let first = text(&made, "associationId");
    let replaced =
        net.cloud.ok(ALICE, &format!("Action=ReplaceRouteTableAssociation&AssociationId={first}&RouteTableId={main}"));
    let second = text(&replaced, "newAssociationId");
    assert_ne!(first, second);
    assert_eq!(effective(&net.cloud), main);
    assert_eq!(
        net.cloud.code(ALICE, &format!("Action=DisassociateRouteTable&AssociationId={first}")),
        "InvalidAssociationID.NotFound"
    );
    assert_eq!(
        net.cloud.code(BOB, &format!("Action=DisassociateRouteTable&AssociationId={second}")),
        "InvalidAssociationID.NotFound"
    );
    assert_eq!(
        net.cloud.code(ALICE, &format!("Action=DisassociateRouteTable&AssociationId={main_association}")),
        "InvalidParameterValue"
    );
    net.cloud.ok(ALICE, &format!("Action=DisassociateRouteTable&AssociationId={second}"));

    // The main association moves to the other table; the one that was main may go.
    net.cloud.ok(
        ALICE,
        &format!("Action=ReplaceRouteTableAssociation&AssociationId={main_association}&RouteTableId={table}"),
    );
    assert_eq!((net.main_table().0, effective(&net.cloud)), (table.clone(), table.clone()));
    net.cloud.ok(ALICE, &format!("Action=DeleteRouteTable&RouteTableId={main}"));
    assert_eq!(
        net.cloud.code(ALICE, &format!("Action=DescribeRouteTables&RouteTableId.1={main}")),
        "InvalidRouteTableID.NotFound"
    );
    assert_eq!(net.cloud.code(ALICE, &format!("Action=DeleteRouteTable&RouteTableId={table}")), "DependencyViolation");
}

#[test]
fn associations_stay_inside_a_vpc() {
    let mut net = Net::new();
    let (_, main_association) = net.main_table();
    let other = vpc(&mut net.cloud, ALICE, "10.9.0.0/16");
    let foreign = table(&mut net.cloud, ALICE, &other);
    let (subnet, own) = (net.subnet.clone(), net.table.clone());
    let error = net.cloud.error(ALICE, &format!("Action=AssociateRouteTable&RouteTableId={foreign}&SubnetId={subnet}"));
    assert_eq!(
        (error.code.as_ref(), error.message),
        ("InvalidParameterValue", format!("route table {foreign} and subnet {subnet} {DIFFERENT}"))
    );
    let association = text(
        &net.cloud.ok(ALICE, &format!("Action=AssociateRouteTable&RouteTableId={own}&SubnetId={subnet}")),
        "associationId",
    );
    for id in [&association, &main_association] {
        let error = net
            .cloud
            .error(ALICE, &format!("Action=ReplaceRouteTableAssociation&AssociationId={id}&RouteTableId={foreign}"));
        assert!(error.code == "InvalidParameterValue" && error.message.ends_with(DIFFERENT), "{}", error.message);
    }
    let gateway = net.gateway(true);
    for (rest, code) in [
        (String::new(), "MissingParameter"),
        (format!("&SubnetId={subnet}&GatewayId={gateway}"), "InvalidParameterCombination"),
        (format!("&GatewayId=igw-{UNKNOWN}"), "InvalidGatewayID.NotFound"),
        (format!("&SubnetId=subnet-{UNKNOWN}"), "InvalidSubnetID.NotFound"),
    ] {
        assert_eq!(
            net.cloud.code(ALICE, &format!("Action=AssociateRouteTable&RouteTableId={own}{rest}")),
            code,
            "{rest}"
        );
    }
    assert_eq!(
        net.cloud.code(BOB, &format!("Action=AssociateRouteTable&RouteTableId={own}&SubnetId={subnet}")),
        "InvalidRouteTableID.NotFound"
    );
    assert_eq!(
        net.cloud.code(ALICE, "Action=DescribeRouteTables&RouteTableId.1=rtb-x"),
        "InvalidRouteTableId.Malformed"
    );
    assert_eq!(net.cloud.code(ALICE, "Action=DescribeRouteTables&MaxResults=101"), "InvalidParameterValue");
}

#[test]
fn one_destination_and_one_target() {
    let mut net = Net::new();
    let gateway = net.gateway(true);
    let target = format!("GatewayId={gateway}");
    assert_eq!(net.code("0.0.0.0/0", ""), "MissingParameter");
    assert_eq!(
        net.code("0.0.0.0/0", &format!("{target}&VpcPeeringConnectionId=pcx-{UNKNOWN}")),
        "InvalidParameterCombination"
    );
    assert_eq!(
        net.code("0.0.0.0/0", &format!("{target}&DestinationIpv6CidrBlock=::/0")),
        "InvalidParameterCombination"
    );
    let table = net.table.clone();
    assert_eq!(net.cloud.code(ALICE, &format!("Action=CreateRoute&RouteTableId={table}&{target}")), "MissingParameter");
    let wrong =
        net.cloud.error(ALICE, &format!("Action=CreateRoute&RouteTableId={table}&{target}&DestinationCidrBlock=::/0"));
    assert_eq!(wrong.code, "InvalidParameterValue");
    assert_eq!(
        wrong.message,
        "Value (::/0) for parameter destinationCidrBlock is invalid. This is not a valid CIDR block."
    );
    assert_eq!(net.code("0.0.0.0/0&DestinationIpv6CidrBlock=0.0.0.0/0", &target), "InvalidParameterValue");
    assert_eq!(
        net.cloud.code(
            ALICE,
            &format!("Action=CreateRoute&RouteTableId={table}&{target}&DestinationPrefixListId=pl-{UNKNOWN}")
        ),
        "InvalidPrefixListID.NotFound"
    );
    assert_eq!(
        net.cloud
            .code(BOB, &format!("Action=CreateRoute&RouteTableId={table}&{target}&DestinationCidrBlock=0.0.0.0/0")),
        "InvalidRouteTableID.NotFound"
    );
    for reserved in ["169.254.168.0/22", "169.254.170.2/32", "fd00:ec2::/32", "fd00:ec2::253/128"] {
        assert_eq!(net.code(reserved, &target), "InvalidParameterValue", "{reserved}");
    }
    for wide in ["169.254.0.0/16", "0.0.0.0/0", "::/0", "10.0.0.0/8"] {
        net.create(wide, &target).unwrap();
    }
    assert_eq!(
        net.create("10.3.3.3/8", &target).unwrap_err(),
        ("RouteAlreadyExists".into(), "The route identified by 10.0.0.0/8 already exists.".into())
    );
    assert_eq!(net.code("10.0.0.0/7", "GatewayId=local"), "InvalidParameterValue");
}

#[test]
fn targets_that_are_not_there() {
    let mut net = Net::new();
    let detached = net.gateway(false);
    let other = vpc(&mut net.cloud, ALICE, "10.9.0.0/16");
    let far = subnet(&mut net.cloud, ALICE, &other, "10.9.0.0/24");
    let (far_instance, far_interface) = instance(&mut net.cloud, &far, "10.9.0.9");
    let bobs = vpc(&mut net.cloud, BOB, "10.8.0.0/16");
    let bobs_subnet = subnet(&mut net.cloud, BOB, &bobs, "10.8.0.0/24");
    let (bobs_instance, bobs_interface) = instance(&mut net.cloud, &bobs_subnet, "10.8.0.9");
    let foreign = peering(&mut net.cloud, &other, &bobs, PeeringStatus::Active);
    let table = net.table.clone();
    for (target, code, message) in [
        (
            format!("GatewayId=igw-{UNKNOWN}"),
            "InvalidGatewayID.NotFound",
            format!("The gateway ID 'igw-{UNKNOWN}' does not exist"),
        ),
        (
            format!("GatewayId=vgw-{UNKNOWN}"),
            "InvalidGatewayID.NotFound",
            format!("The gateway ID 'vgw-{UNKNOWN}' does not exist"),
        ),
        (
            "GatewayId=x".into(),
            "InvalidInternetGatewayId.Malformed",
            "Invalid id: \"x\" (expecting \"igw-...\")".into(),
        ),
        (
            format!("GatewayId={detached}"),
            "InvalidParameterValue",
            format!("route table {table} and network gateway {detached} {DIFFERENT}"),
        ),
        (
            format!("VpcPeeringConnectionId=pcx-{UNKNOWN}"),
            "InvalidVpcPeeringConnectionID.NotFound",
            format!("The vpcPeeringConnection ID 'pcx-{UNKNOWN}' does not exist"),
        ),
        (
            format!("VpcPeeringConnectionId={foreign}"),
            "InvalidParameterValue",
            format!("route table {table} and network gateway {foreign} {DIFFERENT}"),
        ),
        (
            format!("NetworkInterfaceId={bobs_interface}"),
            "InvalidNetworkInterfaceID.NotFound",
            format!("The networkInterface ID '{bobs_interface}' does not exist"),
        ),
        (
            format!("NetworkInterfaceId={far_interface}"),
            "InvalidParameterValue",
            format!("route table {table} and interface {far_interface} {DIFFERENT}"),
        ),
        (
            format!("InstanceId={far_instance}"),
            "InvalidParameterValue",
            format!("route table {table} and instance {far_instance} {DIFFERENT}"),
        ),
        (
            format!("InstanceId={bobs_instance}"),
            "InvalidInstanceID.NotFound",
            format!("The instance ID '{bobs_instance}' does not exist"),
        ),
        (
            format!("NatGatewayId=nat-{UNKNOWN}"),
            "InvalidNatGatewayID.NotFound",
            format!("The natGateway ID 'nat-{UNKNOWN}' does not exist"),
        ),
        (
            format!("TransitGatewayId=tgw-{UNKNOWN}"),
            "InvalidTransitGatewayID.NotFound",
            format!("The transitGateway ID 'tgw-{UNKNOWN}' does not exist"),
        ),
        (
            format!("EgressOnlyInternetGatewayId=eigw-{UNKNOWN}"),
            "InvalidEgressOnlyInternetGatewayId.NotFound",
            format!("The egress-only internet gateway ID 'eigw-{UNKNOWN}' does not exist"),
        ),
        (
            format!("VpcEndpointId=vpce-{UNKNOWN}"),
            "InvalidVpcEndpointId.NotFound",
            format!("The vpcEndpoint ID 'vpce-{UNKNOWN}' does not exist"),
        ),
        (
            "CarrierGatewayId=cagw-1".into(),
            "InvalidCarrierGatewayID.NotFound",
            "The carrierGateway ID 'cagw-1' does not exist".into(),
        ),
        (
            "LocalGatewayId=lgw-1".into(),
            "InvalidLocalGatewayID.NotFound",
            "The localGateway ID 'lgw-1' does not exist".into(),
        ),
        ("CoreNetworkArn=a".into(), "InvalidCoreNetworkArn.NotFound", "The core network ARN 'a' does not exist".into()),
        ("OdbNetworkArn=a".into(), "InvalidOdbNetworkArn.NotFound", "The ODB network ARN 'a' does not exist".into()),
    ] {
        assert_eq!(net.create("172.20.0.0/16", &target).unwrap_err(), (code.into(), message));
    }
}

#[test]
fn peerings_in_each_state() {
    use PeeringStatus as S;
    for status in S::ALL {
        let mut net = Net::new();
        let bobs = vpc(&mut net.cloud, BOB, "10.8.0.0/16");
        let pcx = peering(&mut net.cloud, &net.vpc.clone(), &bobs, status);
        let answer = net.create("10.8.0.0/16", &format!("VpcPeeringConnectionId={pcx}"));
        assert_eq!(answer.is_ok(), status.is_live(), "{status}");
        if status.is_live() {
            assert_eq!(net.state("10.8.0.0/16"), if status == S::Active { "active" } else { "blackhole" }, "{status}");
        } else {
            assert_eq!(answer.unwrap_err().0, "InvalidVpcPeeringConnectionID.NotFound", "{status}");
        }
    }
    // A request that has not reached the accepter is not there for it.
    let mut net = Net::new();
    let bobs = vpc(&mut net.cloud, BOB, "10.8.0.0/16");
    let pcx = peering(&mut net.cloud, &bobs, &net.vpc.clone(), S::InitiatingRequest);
    assert_eq!(
        net.code("10.8.0.0/16", &format!("VpcPeeringConnectionId={pcx}")),
        "InvalidVpcPeeringConnectionID.NotFound"
    );
    // Nor is one whose other end, in another region, is the caller's.
    let other = vpc(&mut net.cloud, ALICE, "10.9.0.0/16");
    let pcx = peering(&mut net.cloud, &bobs, &other, S::Active);
    let mut far = Peering::clone(net.cloud.world.find::<Peering>(&pcx).unwrap());
    far.accepter.region = "eu-west-1".parse().unwrap();
    put(&mut net.cloud, far);
    assert_eq!(
        net.code("10.8.0.0/16", &format!("VpcPeeringConnectionId={pcx}")),
        "InvalidVpcPeeringConnectionID.NotFound"
    );
}

#[test]
fn a_route_turns_with_its_target() {
    let mut net = Net::new();
    let (vpc_id, subnet_id) = (net.vpc.clone(), net.subnet.clone());
    let bobs = vpc(&mut net.cloud, BOB, "10.8.0.0/16");
    let pcx = peering(&mut net.cloud, &vpc_id, &bobs, PeeringStatus::PendingAcceptance);
    net.create("0.0.0.0/0", &format!("VpcPeeringConnectionId={pcx}")).unwrap();
    for (status, state) in [(PeeringStatus::Active, "active"), (PeeringStatus::Deleted, "blackhole")] {
        set_status(&mut net.cloud, pcx, status);
        assert_eq!(net.state("0.0.0.0/0"), state);
    }
    net.cloud.world = net.cloud.world.apply(&[Change::Delete(Key::Peering(pcx))]);
    assert_eq!(net.state("0.0.0.0/0"), "blackhole");
    let shown = net.cloud.ok(ALICE, &format!("Action=DescribeRouteTables&RouteTableId.1={}", net.table));
    assert_eq!(text(&shown, "vpcPeeringConnectionId"), pcx.to_string());

    let (instance_id, eni) = instance(&mut net.cloud, &subnet_id, "10.0.0.9");
    net.create("172.16.0.0/12", &format!("InstanceId={instance_id}")).unwrap();
    let shown = net.cloud.ok(
        ALICE,
        &format!("Action=DescribeRouteTables&Filter.1.Name=route.instance-id&Filter.1.Value.1={instance_id}"),
    );
    assert_eq!((text(&shown, "networkInterfaceId"), text(&shown, "instanceOwnerId")), (eni.to_string(), ALICE.into()));
    assert_eq!(net.state("172.16.0.0/12"), "active");
    let running = Instance::clone(net.cloud.world.find::<Instance>(&instance_id).unwrap());
    put(&mut net.cloud, Instance { state: InstanceState::Stopped, ..running.clone() });
    assert_eq!(net.state("172.16.0.0/12"), "blackhole");
    put(&mut net.cloud, running);
    let attached = NetworkInterface::clone(net.cloud.world.find::<NetworkInterface>(&eni).unwrap());
    put(&mut net.cloud, NetworkInterface { attachment: None, ..attached });
    assert_eq!(net.state("172.16.0.0/12"), "blackhole");

    let gateway = net.gateway(true);
    net.create("8.8.8.8/32", &format!("GatewayId={gateway}")).unwrap();
    assert_eq!(net.state("8.8.8.8/32"), "active");
    net.cloud.ok(ALICE, &format!("Action=DetachInternetGateway&InternetGatewayId={gateway}&VpcId={vpc_id}"));
    assert_eq!(net.state("8.8.8.8/32"), "blackhole");
}

#[test]
fn an_instance_is_a_target_by_its_only_interface() {
    let mut net = Net::new();
    let subnet = net.subnet.clone();
    let (one, eni) = instance(&mut net.cloud, &subnet, "10.0.0.9");
    interface(&mut net.cloud, &subnet, "10.0.0.10", Some(one));
    assert_eq!(net.code("172.16.0.0/12", &format!("InstanceId={one}")), "InvalidInstanceID");
    let (two, only) = instance(&mut net.cloud, &subnet, "10.0.0.11");
    net.cloud.world = net.cloud.world.apply(&[Change::Delete(Key::NetworkInterface(only))]);
    assert_eq!(net.code("172.16.0.0/12", &format!("InstanceId={two}")), "InvalidInstanceID");
    net.create("172.16.0.0/12", &format!("NetworkInterfaceId={eni}")).unwrap();
}

#[test]
fn inside_the_vpc_only_whole_subnets_to_interfaces() {
    let mut net = Net::new();
    let (vpc_id, subnet_id) = (net.vpc.clone(), net.subnet.clone());
    let (_, eni) = instance(&mut net.cloud, &subnet_id, "10.0.0.9");
    let bobs = vpc(&mut net.cloud, BOB, "10.8.0.0/16");
    let pcx = peering(&mut net.cloud, &vpc_id, &bobs, PeeringStatus::Active);
    let gateway = net.gateway(true);
    for target in [format!("VpcPeeringConnectionId={pcx}"), format!("GatewayId={gateway}")] {
        for inside in ["10.0.0.0/16", "10.0.0.0/24", "10.0.77.0/24"] {
            assert_eq!(
                net.create(inside, &target).unwrap_err(),
                ("InvalidParameterValue".into(), UNSUPPORTED.into()),
                "{inside}"
            );
        }
    }
    let target = format!("NetworkInterfaceId={eni}");
    assert_eq!(net.code("10.0.0.0/25", &target), "InvalidParameterValue");
    assert_eq!(net.code("10.0.0.0/16", &target), "InvalidParameterValue");
    net.create("10.0.0.0/24", &target).unwrap();
    // Replacing it obeys the same rule; wider than the VPC is free.
    assert_eq!(
        net.route("ReplaceRoute", "10.0.0.0/24", &format!("VpcPeeringConnectionId={pcx}")).unwrap_err().1,
        UNSUPPORTED
    );
    net.create("10.0.0.0/8", &format!("VpcPeeringConnectionId={pcx}")).unwrap();

    // A subnet as large as its VPC: the local route is there already.
    let small = vpc(&mut net.cloud, ALICE, "10.30.0.0/24");
    let whole = subnet(&mut net.cloud, ALICE, &small, "10.30.0.0/24");
    net.table = table(&mut net.cloud, ALICE, &small);
    let (_, eni) = instance(&mut net.cloud, &whole, "10.30.0.9");
    assert_eq!(net.code("10.30.0.0/24", &format!("NetworkInterfaceId={eni}")), "RouteAlreadyExists");
}

#[test]
fn routes_are_replaced_and_deleted() {
    let mut net = Net::new();
    let (subnet, table) = (net.subnet.clone(), net.table.clone());
    let (gateway, (_, eni)) = (net.gateway(true), instance(&mut net.cloud, &subnet, "10.0.0.9"));
    let (igw, interface) = (format!("GatewayId={gateway}"), format!("NetworkInterfaceId={eni}"));
    let error = net.route("ReplaceRoute", "0.0.0.0/0", &igw).unwrap_err();
    assert_eq!(
        error,
        (
            "InvalidParameterValue".into(),
            "There is no route defined for '0.0.0.0/0' in the route table. Use CreateRoute instead.".into()
        )
    );
    net.create("0.0.0.0/0", &igw).unwrap();
    net.create("::/0", &igw).unwrap();
    net.route("ReplaceRoute", "0.0.0.0/0", &interface).unwrap();
    assert_eq!(
        net.route("ReplaceRoute", "0.0.0.0/0", &format!("GatewayId=igw-{UNKNOWN}")).unwrap_err().0,
        "InvalidGatewayID.NotFound"
    );
    assert_eq!(net.route("ReplaceRoute", "0.0.0.0/0", "LocalTarget=true").unwrap_err().0, "InvalidParameterValue");
    assert_eq!(net.route("ReplaceRoute", "0.0.0.0/0", "LocalTarget=false").unwrap_err().0, "MissingParameter");

    // The local route's target may be an interface, and local again.
    assert_eq!(net.route("ReplaceRoute", "10.0.0.0/16", &igw).unwrap_err().1, UNSUPPORTED);
    net.route("ReplaceRoute", "10.0.0.0/16", &interface).unwrap();
    let stored = |net: &Net| RouteTable::clone(net.cloud.world.find::<RouteTable>(&table.parse().unwrap()).unwrap());
    let local = |net: &Net| all_routes(&net.cloud, &stored(net))[0];
    assert_eq!(
        (local(&net).target, local(&net).origin),
        (RouteTarget::NetworkInterface(eni), RouteOrigin::CreateRouteTable)
    );
    net.route("ReplaceRoute", "10.0.0.0/16", "LocalTarget=true").unwrap();
    assert_eq!(local(&net).target, RouteTarget::Local);
    assert!(
        stored(&net).routes.iter().all(|route| route.origin == RouteOrigin::CreateRoute),
        "what follows is not stored"
    );

    let error = net.route("DeleteRoute", "10.0.0.0/16", "").unwrap_err();
    assert_eq!(
        error,
        ("InvalidParameterValue".into(), format!("cannot remove local route 10.0.0.0/16 in route table {table}"))
    );
    let error = net.route("DeleteRoute", "10.0.0.0/8", "").unwrap_err();
    assert_eq!(
        error,
        (
            "InvalidRoute.NotFound".into(),
            format!("no route with destination-cidr-block 10.0.0.0/8 in route table {table}")
        )
    );
    let error = net.route("DeleteRoute", "fd00::/8", "").unwrap_err();
    assert_eq!(error.1, format!("no route with destination-ipv6-cidr-block fd00::/8 in route table {table}"));
    net.route("DeleteRoute", "0.0.0.0/0", "").unwrap();
    net.route("DeleteRoute", "::/0", "").unwrap();
    assert_eq!(net.route("DeleteRoute", "::/0", "").unwrap_err().0, "InvalidRoute.NotFound");
    assert_eq!(net.cloud.code(ALICE, &format!("Action=DeleteRoute&RouteTableId={table}")), "MissingParameter");
}

/// AWS is forgiving about the name of the target, and clients rely on it; the route shows it under its own.
#[test]
fn a_gateway_id_may_name_any_kind_of_target() {
    let mut net = Net::new();
    let (vpc_id, table) = (net.vpc.clone(), net.table.clone());
    let bobs = vpc(&mut net.cloud, BOB, "10.8.0.0/16");
    let pcx = peering(&mut net.cloud, &vpc_id, &bobs, PeeringStatus::Active);
    net.create("10.8.0.0/16", &format!("GatewayId={pcx}")).unwrap();
    net.create("10.9.0.0/16", &format!("VpcPeeringConnectionId={pcx}")).unwrap();
    let gateway = net.gateway(true);
    net.route("ReplaceRoute", "10.9.0.0/16", &format!("GatewayId={gateway}")).unwrap();
    net.route("ReplaceRoute", "10.9.0.0/16", &format!("GatewayId={pcx}")).unwrap();
    let shown = net.cloud.ok(ALICE, &format!("Action=DescribeRouteTables&RouteTableId.1={table}"));
    assert_eq!(texts(&shown, "vpcPeeringConnectionId"), [pcx.to_string(), pcx.to_string()]);
    assert_eq!(texts(&shown, "gatewayId"), ["local"]);

    let (c, d) = (vpc(&mut net.cloud, ALICE, "10.20.0.0/16"), vpc(&mut net.cloud, ALICE, "10.21.0.0/16"));
    let foreign = peering(&mut net.cloud, &c, &d, PeeringStatus::Active);
    let error = net.create("10.20.0.0/16", &format!("GatewayId={foreign}")).unwrap_err();
    assert_eq!(error.1, format!("route table {table} and network gateway {foreign} {DIFFERENT}"));
    for (id, code) in [
        (format!("pcx-{UNKNOWN}"), "InvalidVpcPeeringConnectionID.NotFound"),
        (format!("nat-{UNKNOWN}"), "InvalidNatGatewayID.NotFound"),
        (format!("tgw-{UNKNOWN}"), "InvalidTransitGatewayID.NotFound"),
        (format!("eigw-{UNKNOWN}"), "InvalidEgressOnlyInternetGatewayId.NotFound"),
        (format!("vgw-{UNKNOWN}"), "InvalidGatewayID.NotFound"),
    ] {
        assert_eq!(net.code("10.30.0.0/16", &format!("GatewayId={id}")), code, "{id}");
    }
    assert_eq!(
        net.code("10.30.0.0/16", &format!("GatewayId={pcx}&VpcPeeringConnectionId={pcx}")),
        "InvalidParameterCombination"
    );
    // What an association is with is a gateway indeed.
    let error = net.cloud.code(ALICE, &format!("Action=AssociateRouteTable&RouteTableId={table}&GatewayId={pcx}"));
    assert!(error.ends_with(".Malformed"), "{error}");
}

#[test]
fn each_family_has_its_quota() {
    let mut net = Net::new();
    net.cloud.config.quotas.routes_per_table = 2;
    let target = format!("GatewayId={}", net.gateway(true));
    for destination in ["11.0.0.0/8", "12.0.0.0/8", "fc00::/8", "fe00::/8"] {
        net.create(destination, &target).unwrap();
    }
    for destination in ["13.0.0.0/8", "ff00::/8"] {
        assert_eq!(net.code(destination, &target), "RouteLimitExceeded");
    }
}

#[test]
fn filters_find_tables() {
    let mut net = Net::new();
    let (table, subnet, vpc_id) = (net.table.clone(), net.subnet.clone(), net.vpc.clone());
    let bobs = vpc(&mut net.cloud, BOB, "10.8.0.0/16");
    let pcx = peering(&mut net.cloud, &vpc_id, &bobs, PeeringStatus::PendingAcceptance);
    net.create("10.8.0.0/16", &format!("VpcPeeringConnectionId={pcx}")).unwrap();
    let gateway = net.gateway(true);
    net.create("::/0", &format!("GatewayId={gateway}")).unwrap();
    let association = text(
        &net.cloud.ok(ALICE, &format!("Action=AssociateRouteTable&RouteTableId={table}&SubnetId={subnet}")),
        "associationId",
    );
    for (name, value) in [
        ("association.route-table-association-id", association.as_str()),
        ("association.subnet-id", &subnet),
        ("association.route-table-id", &table),
        ("association.main", "false"),
        ("route-table-id", &table),
        ("route.destination-cidr-block", "10.8.0.0/16"),
        ("route.destination-ipv6-cidr-block", "::/0"),
        ("route.gateway-id", &gateway),
        ("route.origin", "CreateRoute"),
        ("route.state", "blackhole"),
        ("route.vpc-peering-connection-id", &pcx.to_string()),
    ] {
        let shown =
            net.cloud.ok(ALICE, &format!("Action=DescribeRouteTables&Filter.1.Name={name}&Filter.1.Value.1={value}"));
        assert!(texts(&shown, "routeSet").len() == 1 && text(&shown, "routeTableId") == table, "{name}");
    }
    for (name, value) in
        [("vpc-id", vpc_id.as_str()), ("owner-id", ALICE), ("route.gateway-id", "local"), ("route.state", "active")]
    {
        let shown =
            net.cloud.ok(ALICE, &format!("Action=DescribeRouteTables&Filter.1.Name={name}&Filter.1.Value.1={value}"));
        assert_eq!(texts(&shown, "routeSet").len(), 2, "{name}");
    }
    assert_eq!(
        net.cloud.code(ALICE, "Action=DescribeRouteTables&Filter.1.Name=main&Filter.1.Value.1=true"),
        "InvalidParameterValue"
    );
    assert_eq!(texts(&net.cloud.ok(BOB, "Action=DescribeRouteTables"), "routeSet").len(), 1);
}
