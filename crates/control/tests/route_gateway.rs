//! Route tables of internet gateways: recorded, with the routes that they may have (spec 4.7, decision 0028).

mod common;
mod things;

use common::*;
use model::*;
use things::*;

struct Net {
    cloud: Harness,
    vpc: String,
    subnet: String,
    table: String,
    gateway: String,
}

impl Net {
    fn new() -> Net {
        let mut cloud = Harness::new();
        let vpc = vpc(&mut cloud, ALICE, "10.0.0.0/16");
        let subnet = subnet(&mut cloud, ALICE, &vpc, "10.0.1.0/24");
        let table = table(&mut cloud, ALICE, &vpc);
        let gateway = text(&cloud.ok(ALICE, "Action=CreateInternetGateway"), "internetGatewayId");
        Net { cloud, vpc, subnet, table, gateway }
    }

    fn attach(&mut self) {
        let query = format!("Action=AttachInternetGateway&InternetGatewayId={}&VpcId={}", self.gateway, self.vpc);
        self.cloud.ok(ALICE, &query);
    }

    fn associate(&self) -> String {
        format!("Action=AssociateRouteTable&RouteTableId={}&GatewayId={}", self.table, self.gateway)
    }

    fn route(&self, action: &str, rest: &str) -> String {
        format!("Action={action}&RouteTableId={}&{rest}", self.table)
    }

    fn shown(&mut self) -> String {
        self.cloud.ok(ALICE, &format!("Action=DescribeRouteTables&RouteTableId.1={}", self.table))
    }
}

#[test]
fn a_gateway_has_one_table_and_lets_it_go() {
    let mut net = Net::new();
    let query = net.associate();
    let error = net.cloud.error(ALICE, &query);
    assert_eq!(error.code, "InvalidParameterValue");
    assert!(error.message.ends_with("belong to different networks"), "{}", error.message);
    net.attach();
    assert_eq!(net.cloud.code(BOB, &query), "InvalidRouteTableID.NotFound");
    let id = text(&net.cloud.ok(ALICE, &query), "associationId");
    assert_eq!(net.cloud.code(ALICE, &query), "Resource.AlreadyAssociated");
    let shown = net.shown();
    for (name, value) in [("gatewayId", "local"), ("routeTableAssociationId", &id), ("main", "false")] {
        assert_eq!(text(&shown, name), value);
    }
    assert!(texts(&shown, "gatewayId").contains(&net.gateway) && texts(&shown, "subnetId").is_empty());
    let by =
        format!("Action=DescribeRouteTables&Filter.1.Name=association.gateway-id&Filter.1.Value.1={}", net.gateway);
    assert_eq!(texts(&net.cloud.ok(ALICE, &by), "routeSet").len(), 1);
    // In use.
    assert_eq!(net.cloud.code(ALICE, &net.route("DeleteRouteTable", "")), "DependencyViolation");
    // Another table in its place.
    let other = table(&mut net.cloud, ALICE, &net.vpc.clone());
    let replace =
        |id: &str, table: &str| format!("Action=ReplaceRouteTableAssociation&AssociationId={id}&RouteTableId={table}");
    let elsewhere = vpc(&mut net.cloud, ALICE, "10.9.0.0/16");
    let foreign = table(&mut net.cloud, ALICE, &elsewhere);
    assert_eq!(net.cloud.code(ALICE, &replace(&id, &foreign)), "InvalidParameterValue");
    let new = text(&net.cloud.ok(ALICE, &replace(&id, &other)), "newAssociationId");
    assert_eq!(net.cloud.code(ALICE, &replace(&id, &other)), "InvalidAssociationID.NotFound");
    net.cloud.ok(ALICE, &net.route("DeleteRouteTable", ""));
    net.cloud.ok(ALICE, &format!("Action=DisassociateRouteTable&AssociationId={new}"));
    assert_eq!(net.cloud.code(ALICE, &replace(&new, &other)), "InvalidAssociationID.NotFound");
    // A gateway that goes takes its association along.
    net.table = other;
    net.cloud.ok(ALICE, &net.associate());
    let detach = format!("Action=DetachInternetGateway&InternetGatewayId={}&VpcId={}", net.gateway, net.vpc);
    net.cloud.ok(ALICE, &detach);
    net.cloud.ok(ALICE, &net.route("DeleteRouteTable", ""));
}

#[test]
fn only_the_vpcs_own_blocks_lead_to_interfaces_there() {
    let mut net = Net::new();
    net.attach();
    let other = vpc(&mut net.cloud, ALICE, "10.1.0.0/16");
    let pcx = peering(&mut net.cloud, &net.vpc, &other, PeeringStatus::Active);
    let interface = interface(&mut net.cloud, &net.subnet, "10.0.1.10", None);
    let abroad = format!("DestinationCidrBlock=10.1.0.0/16&VpcPeeringConnectionId={pcx}");
    let outside = format!("DestinationCidrBlock=192.0.2.0/24&NetworkInterfaceId={interface}");
    let inside = format!("DestinationCidrBlock=10.0.1.0/24&NetworkInterfaceId={interface}");
    let made = net.cloud.ok(ALICE, "Action=CreateManagedPrefixList&PrefixListName=x&AddressFamily=IPv4&MaxEntries=1");
    let to_list = format!("DestinationPrefixListId={}&NetworkInterfaceId={interface}", text(&made, "prefixListId"));
    // What is there from before stands in the way.
    let delete = |rest: &str| rest.split('&').next().unwrap_or_default().to_owned();
    for rest in [&abroad, &outside, &to_list] {
        net.cloud.ok(ALICE, &net.route("CreateRoute", rest));
        assert_eq!(net.cloud.code(ALICE, &net.associate()), "InvalidParameterValue", "{rest}");
        net.cloud.ok(ALICE, &net.route("DeleteRoute", &delete(rest)));
    }
    // A replaced local route and a subnet's do not.
    let local = format!("DestinationCidrBlock=10.0.0.0/16&NetworkInterfaceId={interface}");
    net.cloud.ok(ALICE, &net.route("ReplaceRoute", &local));
    net.cloud.ok(ALICE, &net.route("CreateRoute", &inside));
    net.cloud.ok(ALICE, &net.associate());
    // Nothing else is added.
    for rest in [&abroad, &outside, &to_list] {
        assert_eq!(net.cloud.code(ALICE, &net.route("CreateRoute", rest)), "InvalidParameterValue", "{rest}");
    }
    net.cloud.ok(ALICE, &net.route("DeleteRoute", &delete(&inside)));
    net.cloud.ok(ALICE, &net.route("CreateRoute", &inside));
    net.cloud.ok(ALICE, &net.route("ReplaceRoute", "DestinationCidrBlock=10.0.0.0/16&LocalTarget=true"));
}
