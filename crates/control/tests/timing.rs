//! Times like AWS's (decision 0055): what is shown meanwhile, what packets may use, and what comes when the time has come.

mod common;
mod things;

use common::*;
use control::tick::{next, tick};
use control::timing::Wait;
use control::{Timing, federation, plan};
use model::intent::VpcSlice;
use model::*;
use stream::{Condition, Report};
use things::*;

fn slow() -> Harness {
    let mut cloud = Harness::new();
    cloud.config.timing = Timing::new(1.0);
    cloud
}

/// Time goes on, and what is due by then is done.
fn wait(cloud: &mut Harness, millis: i64) {
    cloud.now = cloud.now + Duration::millis(millis);
    for _ in 0..100 {
        let mut changes = tick(&cloud.world, &cloud.config, cloud.now);
        cloud.world = cloud.world.apply(&changes);
        let heard = federation::deliver_here(&cloud.world, &cloud.config, cloud.now);
        cloud.world = cloud.world.apply(&heard);
        changes.extend(heard);
        if changes.is_empty() {
            return;
        }
    }
    panic!("the region does not come to rest");
}

/// Nothing has changed a moment before the time has come, and all is over then.
fn wait_for(cloud: &mut Harness, wait_for: Wait, seen: impl Fn(&mut Harness) -> String, words: [&str; 2]) {
    assert_eq!(seen(cloud), words[0], "{wait_for:?}");
    wait(cloud, wait_for.seconds() * 1000 - 1);
    assert_eq!(seen(cloud), words[0], "{wait_for:?}, a millisecond before its time");
    wait(cloud, 1);
    assert_eq!(seen(cloud), words[1], "{wait_for:?}");
}

fn slice(cloud: &Harness, vpc: &str) -> VpcSlice {
    plan::vpc_slice(cloud.config.region, &cloud.world, vpc.parse().unwrap()).unwrap()
}

/// One text of what an action describes; `-` where it is not there.
fn seen(cloud: &mut Harness, query: &str, name: &str) -> String {
    match cloud.call(ALICE, query) {
        Ok(document) => texts(&document, name).pop().unwrap_or_else(|| "-".into()),
        Err(error) => error.code.into_owned(),
    }
}

fn peered(cloud: &mut Harness) -> (String, String) {
    let (own, peer) = (vpc(cloud, ALICE, "10.0.0.0/16"), vpc(cloud, ALICE, "10.1.0.0/16"));
    let query = format!("Action=CreateVpcPeeringConnection&VpcId={own}&PeerVpcId={peer}");
    let made = cloud.ok(ALICE, &query);
    assert_eq!(text(&made, "code"), "initiating-request");
    (text(&made, "vpcPeeringConnectionId"), own)
}

fn peering_status(cloud: &mut Harness, id: &str) -> String {
    seen(cloud, &format!("Action=DescribeVpcPeeringConnections&VpcPeeringConnectionId.1={id}"), "code")
}

#[test]
fn a_peering_passes_through_every_state_and_carries_nothing_but_when_active() {
    let mut cloud = slow();
    let (id, own) = peered(&mut cloud);
    let status = |cloud: &mut Harness| peering_status(cloud, &id);
    let act = |cloud: &mut Harness, verb: &str| {
        cloud.call(ALICE, &format!("Action={verb}VpcPeeringConnection&VpcPeeringConnectionId={id}")).map(drop)
    };
    assert_eq!(act(&mut cloud, "Accept").unwrap_err().code, "InvalidStateTransition");
    wait_for(&mut cloud, Wait::PeeringRequest, status, ["initiating-request", "pending-acceptance"]);
    act(&mut cloud, "Accept").unwrap();
    assert!(slice(&cloud, &own).peers.is_empty(), "nothing passes while it is provisioning");
    wait_for(&mut cloud, Wait::PeeringProvision, status, ["provisioning", "active"]);
    assert_eq!(slice(&cloud, &own).peers.len(), 1);
    act(&mut cloud, "Delete").unwrap();
    assert!(slice(&cloud, &own).peers.is_empty(), "nothing passes while it is deleting");
    assert_eq!(act(&mut cloud, "Delete").unwrap_err().code, "InvalidStateTransition");
    wait_for(&mut cloud, Wait::PeeringDelete, status, ["deleting", "deleted"]);
    let described = cloud.ok(ALICE, &format!("Action=DescribeVpcPeeringConnections&VpcPeeringConnectionId.1={id}"));
    assert_eq!(text(&described, "message"), format!("Deleted by {ALICE}"));
}

#[test]
fn between_regions_a_message_waits_with_all_that_is_said_later_of_the_same_peering() {
    let mut cloud = slow();
    let own = vpc(&mut cloud, ALICE, "10.0.0.0/16");
    let ask =
        format!("Action=CreateVpcPeeringConnection&VpcId={own}&PeerVpcId=vpc-0123456789abcdef0&PeerRegion=eu-west-1");
    cloud.ok(ALICE, &ask);
    // The VPC goes, and with it its request: the other region must not hear of the end first.
    cloud.ok(ALICE, &format!("Action=DeleteVpc&VpcId={own}"));
    let outbox = |cloud: &Harness| federation::outbox(&cloud.world, cloud.config.region, federation::ENTRIES_MAX);
    assert_eq!((cloud.world.outbox.size(), outbox(&cloud).len()), (2, 0));
    wait(&mut cloud, Wait::PeeringRequest.seconds() * 1000);
    let sent: Vec<u64> = outbox(&cloud).values().flatten().map(|entry| entry.sequence).collect();
    assert_eq!(sent, [0, 1], "in their order");
}

#[test]
fn a_nat_gateway_holds_what_it_uses_until_it_is_gone() {
    let mut cloud = slow();
    let vpc = vpc(&mut cloud, ALICE, "10.0.0.0/16");
    let subnet = subnet(&mut cloud, ALICE, &vpc, "10.0.1.0/24");
    let made = cloud.ok(ALICE, &format!("Action=CreateNatGateway&SubnetId={subnet}&ConnectivityType=private"));
    assert_eq!(text(&made, "state"), "pending");
    let id = text(&made, "natGatewayId");
    let state = |cloud: &mut Harness| {
        let described = cloud.ok(ALICE, &format!("Action=DescribeNatGateways&NatGatewayId.1={id}"));
        let state = text(&described, "state");
        let filtered = format!("Action=DescribeNatGateways&Filter.1.Name=state&Filter.1.Value.1={state}");
        assert_eq!(
            texts(&cloud.ok(ALICE, &filtered), "natGatewayId"),
            std::slice::from_ref(&id),
            "filters see the same"
        );
        state
    };
    let in_use = |cloud: &Harness| (slice(cloud, &vpc).nat_gateways.len(), slice(cloud, &vpc).endpoints[0].is_up);
    assert_eq!(in_use(&cloud), (0, false), "no packet while it is pending");
    wait_for(&mut cloud, Wait::NatGateway, state, ["pending", "available"]);
    assert_eq!(in_use(&cloud), (1, true));
    let delete = format!("Action=DeleteNatGateway&NatGatewayId={id}");
    cloud.ok(ALICE, &delete);
    assert_eq!(in_use(&cloud), (0, false), "no packet while it is deleting");
    wait(&mut cloud, 1000);
    // Once more: it neither fails nor begins anew.
    cloud.ok(ALICE, &delete);
    assert_eq!(cloud.code(ALICE, &format!("Action=DeleteSubnet&SubnetId={subnet}")), "DependencyViolation");
    wait(&mut cloud, Wait::NatGatewayDelete.seconds() * 1000 - 1001);
    assert_eq!(state(&mut cloud), "deleting");
    wait(&mut cloud, 1);
    assert_eq!(state(&mut cloud), "deleted");
    cloud.ok(ALICE, &format!("Action=DeleteSubnet&SubnetId={subnet}"));
}

#[test]
fn vpcs_subnets_and_their_blocks() {
    let mut cloud = slow();
    let made = cloud.ok(ALICE, "Action=CreateVpc&CidrBlock=10.0.0.0/16");
    assert_eq!(text(&made, "state"), "pending");
    let vpc = text(&made, "vpcId");
    let vpcs = format!("Action=DescribeVpcs&VpcId.1={vpc}");
    let has = |cloud: &mut Harness, filter: &str, value: &str| {
        let query = format!("{vpcs}&Filter.1.Name={filter}&Filter.1.Value.1={value}");
        texts(&cloud.ok(ALICE, &query), "vpcId").len() == 1
    };
    assert!(has(&mut cloud, "state", "pending"));
    wait(&mut cloud, Wait::Vpc.seconds() * 1000);
    assert!(has(&mut cloud, "state", "available"));

    let more = cloud.ok(ALICE, &format!("Action=AssociateVpcCidrBlock&VpcId={vpc}&CidrBlock=10.1.0.0/16"));
    let block = text(&more, "associationId");
    let associating = |cloud: &mut Harness| has(cloud, "cidr-block-association.state", "associating").to_string();
    let in_block = format!("Action=CreateSubnet&VpcId={vpc}&CidrBlock=10.1.1.0/24");
    assert_eq!(cloud.code(ALICE, &in_block), "InvalidSubnet.Range");
    wait_for(&mut cloud, Wait::VpcBlock, associating, ["true", "false"]);
    let subnet = text(&cloud.ok(ALICE, &in_block), "subnetId");
    let disassociate = format!("Action=DisassociateVpcCidrBlock&AssociationId={block}");
    assert_eq!(cloud.code(ALICE, &disassociate), "DependencyViolation");
    let subnets = format!("Action=DescribeSubnets&SubnetId.1={subnet}");
    let state = |cloud: &mut Harness| text(&cloud.ok(ALICE, &subnets), "state");
    wait_for(&mut cloud, Wait::Subnet, state, ["pending", "available"]);
    cloud.ok(ALICE, &format!("Action=DeleteSubnet&SubnetId={subnet}"));
    assert_eq!(text(&cloud.ok(ALICE, &disassociate), "state"), "disassociating");
    assert_eq!(cloud.code(ALICE, &in_block), "InvalidSubnet.Range", "no new one in a block that goes");
    let blocks = |cloud: &mut Harness| texts(&cloud.ok(ALICE, &vpcs), "associationId").len().to_string();
    wait_for(&mut cloud, Wait::VpcBlock, blocks, ["2", "1"]);
    assert_eq!(cloud.code(ALICE, &disassociate), "InvalidVpcCidrBlockAssociationID.NotFound");
}

#[test]
fn the_ipv6_block_of_a_subnet() {
    let mut cloud = slow();
    let vpc =
        text(&cloud.ok(ALICE, "Action=CreateVpc&CidrBlock=10.0.0.0/16&AmazonProvidedIpv6CidrBlock=true"), "vpcId");
    let subnet = subnet(&mut cloud, ALICE, &vpc, "10.0.1.0/24");
    wait(&mut cloud, 10_000);
    let pool = text(&cloud.ok(ALICE, &format!("Action=DescribeVpcs&VpcId.1={vpc}")), "ipv6CidrBlock");
    let block = pool.replace("/56", "/64");
    let query = format!("Action=AssociateSubnetCidrBlock&SubnetId={subnet}&Ipv6CidrBlock={block}");
    let id = text(&cloud.ok(ALICE, &query), "associationId");
    let state = |cloud: &mut Harness| {
        let found = cloud.ok(ALICE, &format!("Action=DescribeSubnets&SubnetId.1={subnet}"));
        let document = roxmltree::Document::parse(&found).unwrap();
        let state = document.descendants().find(|node| node.tag_name().name() == "ipv6CidrBlockState");
        state.map_or("-".into(), |node| node.first_element_child().unwrap().text().unwrap().to_owned())
    };
    wait_for(&mut cloud, Wait::SubnetBlock, state, ["associating", "associated"]);
    let disassociate = format!("Action=DisassociateSubnetCidrBlock&AssociationId={id}");
    cloud.ok(ALICE, &disassociate);
    wait_for(&mut cloud, Wait::SubnetBlock, state, ["disassociating", "-"]);
}

#[test]
fn associations_of_route_tables() {
    let mut cloud = slow();
    let vpc = vpc(&mut cloud, ALICE, "10.0.0.0/16");
    let subnet = subnet(&mut cloud, ALICE, &vpc, "10.0.1.0/24");
    let table = table(&mut cloud, ALICE, &vpc);
    let associate = format!("Action=AssociateRouteTable&RouteTableId={table}&SubnetId={subnet}");
    let id = text(&cloud.ok(ALICE, &associate), "associationId");
    let state = |cloud: &mut Harness| {
        let found = cloud.ok(ALICE, &format!("Action=DescribeRouteTables&RouteTableId.1={table}"));
        let document = roxmltree::Document::parse(&found).unwrap();
        let state = document.descendants().find(|node| node.tag_name().name() == "associationState");
        state.map_or("-".into(), |node| node.first_element_child().unwrap().text().unwrap().to_owned())
    };
    let follows = |cloud: &Harness| {
        slice(cloud, &vpc).subnets[0].route_table.map(|association| association.route_table.to_string())
    };
    assert_eq!(follows(&cloud), Some(table.clone()), "packets never have another one in between");
    wait_for(&mut cloud, Wait::RouteTableAssociation, state, ["associating", "associated"]);
    cloud.ok(ALICE, &format!("Action=DisassociateRouteTable&AssociationId={id}"));
    assert_eq!(cloud.code(ALICE, &format!("Action=DeleteRouteTable&RouteTableId={table}")), "DependencyViolation");
    wait_for(&mut cloud, Wait::RouteTableAssociation, state, ["disassociating", "-"]);
    assert_eq!(follows(&cloud), None);
    cloud.ok(ALICE, &format!("Action=DeleteRouteTable&RouteTableId={table}"));
    // The main association cannot go, now or later.
    let main = text(
        &cloud.ok(ALICE, &format!("Action=DescribeRouteTables&Filter.1.Name=vpc-id&Filter.1.Value.1={vpc}")),
        "routeTableAssociationId",
    );
    assert_eq!(
        cloud.code(ALICE, &format!("Action=DisassociateRouteTable&AssociationId={main}")),
        "InvalidParameterValue"
    );
}

#[test]
fn what_is_needed_again_by_then_stays() {
    let mut cloud = slow();
    let vpc = vpc(&mut cloud, ALICE, "10.0.0.0/16");
    let subnet = subnet(&mut cloud, ALICE, &vpc, "10.0.1.0/24");
    let gateway = text(&cloud.ok(ALICE, "Action=CreateInternetGateway"), "internetGatewayId");
    let attach = |verb: &str| format!("Action={verb}InternetGateway&InternetGatewayId={gateway}&VpcId={vpc}");
    cloud.ok(ALICE, &attach("Attach"));
    let state = |cloud: &mut Harness| {
        seen(cloud, &format!("Action=DescribeInternetGateways&InternetGatewayId.1={gateway}"), "state")
    };
    let has_gateway = |cloud: &Harness| slice(cloud, &vpc).internet_gateways.len() == 1;
    assert!(!has_gateway(&cloud));
    wait_for(&mut cloud, Wait::InternetGateway, state, ["attaching", "available"]);
    assert!(has_gateway(&cloud));
    cloud.ok(ALICE, &attach("Detach"));
    assert!(!has_gateway(&cloud));
    let address = text(&cloud.ok(ALICE, "Action=AllocateAddress&Domain=vpc"), "allocationId");
    let interface =
        text(&cloud.ok(ALICE, &format!("Action=CreateNetworkInterface&SubnetId={subnet}")), "networkInterfaceId");
    let associate = format!("Action=AssociateAddress&AllocationId={address}&NetworkInterfaceId={interface}");
    let association = text(&cloud.ok(ALICE, &associate), "associationId");
    wait_for(&mut cloud, Wait::InternetGateway, state, ["detaching", "available"]);
    assert!(has_gateway(&cloud));
    cloud.ok(ALICE, &format!("Action=DisassociateAddress&AssociationId={association}"));
    cloud.ok(ALICE, &attach("Detach"));
    wait_for(&mut cloud, Wait::InternetGateway, state, ["detaching", "-"]);
    assert_eq!(cloud.code(ALICE, &attach("Detach")), "Gateway.NotAttached");
}

fn run(cloud: &mut Harness, subnet: &str) -> String {
    let query = format!("Action=RunInstances&ImageId=ami-0123456789abcdef0&MinCount=1&MaxCount=1&SubnetId={subnet}");
    let made = cloud.ok(ALICE, &query);
    assert_eq!(text(&made, "name"), "pending");
    text(&made, "instanceId")
}

fn instance_state(cloud: &Harness, id: &str) -> String {
    cloud.world.find::<Instance>(&id.parse().unwrap()).unwrap().state.name().to_owned()
}

#[test]
fn an_instance_that_is_a_record() {
    let mut cloud = slow();
    let vpc = vpc(&mut cloud, ALICE, "10.0.0.0/16");
    let subnet = subnet(&mut cloud, ALICE, &vpc, "10.0.1.0/24");
    let id = run(&mut cloud, &subnet);
    let state = |cloud: &mut Harness| instance_state(cloud, &id);
    let is_up = |cloud: &Harness| slice(cloud, &vpc).endpoints[0].is_up;
    let act =
        |cloud: &mut Harness, verb: &str| drop(cloud.ok(ALICE, &format!("Action={verb}Instances&InstanceId.1={id}")));
    assert!(!is_up(&cloud));
    wait_for(&mut cloud, Wait::InstanceStart, state, ["pending", "running"]);
    assert!(is_up(&cloud));
    let statuses = format!("Action=DescribeInstanceStatus&InstanceId.1={id}");
    let checks = |cloud: &mut Harness| seen(cloud, &statuses, "status");
    assert_eq!(checks(&mut cloud), "initializing");
    wait(&mut cloud, (Wait::StatusChecks.seconds() - Wait::InstanceStart.seconds()) * 1000 - 1);
    assert_eq!(checks(&mut cloud), "initializing");
    wait(&mut cloud, 1);
    assert_eq!(checks(&mut cloud), "ok");
    act(&mut cloud, "Stop");
    wait(&mut cloud, 1000);
    act(&mut cloud, "Stop");
    wait(&mut cloud, Wait::InstanceStop.seconds() * 1000 - 1001);
    assert_eq!(state(&mut cloud), "stopping");
    assert_eq!(cloud.code(ALICE, &format!("Action=StartInstances&InstanceId.1={id}")), "IncorrectInstanceState");
    wait(&mut cloud, 1);
    assert_eq!(state(&mut cloud), "stopped");
    act(&mut cloud, "Start");
    wait_for(&mut cloud, Wait::InstanceStart, state, ["pending", "running"]);
    act(&mut cloud, "Terminate");
    assert_eq!(cloud.world.network_interfaces.size(), 1, "its interface is there until it is terminated");
    wait_for(&mut cloud, Wait::InstanceEnd, state, ["shutting-down", "terminated"]);
    assert_eq!(cloud.world.network_interfaces.size(), 0);
}

#[test]
fn an_instance_that_a_host_carries_lies_still_while_it_is_pending() {
    let mut cloud = slow();
    let host: HostId = "local".parse().unwrap();
    cloud.config.hosts = vec![host];
    let vpc = vpc(&mut cloud, ALICE, "10.0.0.0/16");
    let subnet = subnet(&mut cloud, ALICE, &vpc, "10.0.1.0/24");
    let id = run(&mut cloud, &subnet);
    let told = |cloud: &Harness| {
        let worlds = [(cloud.config.region, cloud.world.clone())].into();
        plan::intent(&worlds, host).instances[&id.parse().unwrap()].state
    };
    let report = |cloud: &mut Harness, condition: Condition| {
        let report = Report { instance: id.parse().unwrap(), starts: 1, condition };
        let changes = control::report::receive(&cloud.world, host, &report, cloud.now);
        cloud.world = cloud.world.apply(&changes);
    };
    assert_eq!(told(&cloud), InstanceState::Stopped);
    wait(&mut cloud, Wait::InstanceStart.seconds() * 1000);
    assert_eq!(told(&cloud), InstanceState::Pending, "now the host is to start it");
    report(&mut cloud, Condition::Running);
    assert_eq!(instance_state(&cloud, &id), "running");
    for (verb, wait_for, condition, before, after) in [
        ("Stop", Wait::InstanceStop, Condition::Stopped, "stopping", "stopped"),
        ("Terminate", Wait::InstanceEnd, Condition::Terminated, "shutting-down", "terminated"),
    ] {
        cloud.ok(ALICE, &format!("Action={verb}Instances&InstanceId.1={id}"));
        assert_eq!(told(&cloud).name(), before, "the host ends it at once");
        report(&mut cloud, condition.clone());
        assert_eq!(instance_state(&cloud, &id), before, "its word is early");
        wait(&mut cloud, wait_for.seconds() * 1000);
        assert_eq!(instance_state(&cloud, &id), before, "the host says it again");
        report(&mut cloud, condition);
        assert_eq!(instance_state(&cloud, &id), after);
    }
}

#[test]
fn an_interface_that_comes_and_goes() {
    let mut cloud = slow();
    let vpc = vpc(&mut cloud, ALICE, "10.0.0.0/16");
    let subnet = subnet(&mut cloud, ALICE, &vpc, "10.0.1.0/24");
    let instance = run(&mut cloud, &subnet);
    wait(&mut cloud, 20_000);
    let made = cloud.ok(ALICE, &format!("Action=CreateNetworkInterface&SubnetId={subnet}"));
    let id = text(&made, "networkInterfaceId");
    let interfaces = format!("Action=DescribeNetworkInterfaces&NetworkInterfaceId.1={id}");
    let statuses = |cloud: &mut Harness| texts(&cloud.ok(ALICE, &interfaces), "status").join(" ");
    assert_eq!(statuses(&mut cloud), "available");
    let attach = format!("Action=AttachNetworkInterface&NetworkInterfaceId={id}&InstanceId={instance}&DeviceIndex=1");
    let attachment = text(&cloud.ok(ALICE, &attach), "attachmentId");
    let is_up = |cloud: &Harness| {
        let endpoints = slice(cloud, &vpc).endpoints;
        endpoints.iter().find(|endpoint| endpoint.interface.id.to_string() == id).unwrap().is_up
    };
    assert!(!is_up(&cloud));
    wait_for(&mut cloud, Wait::Attach, statuses, ["attaching in-use", "attached in-use"]);
    assert!(is_up(&cloud));
    cloud.ok(ALICE, &format!("Action=DetachNetworkInterface&AttachmentId={attachment}"));
    assert!(!is_up(&cloud));
    assert_eq!(
        cloud.code(ALICE, &format!("Action=DeleteNetworkInterface&NetworkInterfaceId={id}")),
        "InvalidParameterValue"
    );
    wait_for(&mut cloud, Wait::Detach, statuses, ["detaching in-use", "available"]);
    cloud.ok(ALICE, &format!("Action=DeleteNetworkInterface&NetworkInterfaceId={id}"));
}

#[test]
fn what_is_recorded_takes_its_time_too() {
    let mut cloud = slow();
    let vpc = vpc(&mut cloud, ALICE, "10.0.0.0/16");
    let other = text(&cloud.ok(ALICE, "Action=CreateVpc&CidrBlock=10.1.0.0/16"), "vpcId");
    let subnet = subnet(&mut cloud, ALICE, &vpc, "10.0.1.0/24");

    let list = text(
        &cloud.ok(ALICE, "Action=CreateManagedPrefixList&PrefixListName=a&MaxEntries=5&AddressFamily=IPv4"),
        "prefixListId",
    );
    let lists = format!("Action=DescribeManagedPrefixLists&PrefixListId.1={list}");
    let state = |cloud: &mut Harness| seen(cloud, &lists, "state");
    wait_for(&mut cloud, Wait::PrefixList, state, ["create-in-progress", "create-complete"]);
    cloud.ok(ALICE, &format!("Action=ModifyManagedPrefixList&PrefixListId={list}&PrefixListName=b"));
    wait_for(&mut cloud, Wait::PrefixList, state, ["modify-in-progress", "modify-complete"]);
    let gone = cloud.ok(ALICE, &format!("Action=DeleteManagedPrefixList&PrefixListId={list}"));
    assert_eq!(text(&gone, "state"), "delete-in-progress");
    wait_for(&mut cloud, Wait::PrefixList, state, ["delete-in-progress", "InvalidPrefixListID.NotFound"]);

    let group = format!("Action=CreateSecurityGroup&VpcId={vpc}&GroupName=g&GroupDescription=g");
    let group = text(&cloud.ok(ALICE, &group), "groupId");
    let act = |verb: &str| format!("Action={verb}SecurityGroupVpc&GroupId={group}&VpcId={other}");
    cloud.ok(ALICE, &act("Associate"));
    let state = |cloud: &mut Harness| seen(cloud, "Action=DescribeSecurityGroupVpcAssociations", "state");
    wait_for(&mut cloud, Wait::GroupVpc, state, ["associating", "associated"]);
    cloud.ok(ALICE, &act("Disassociate"));
    wait_for(&mut cloud, Wait::GroupVpc, state, ["disassociating", "-"]);

    let gateway = text(&cloud.ok(ALICE, "Action=CreateVpnGateway&Type=ipsec.1"), "vpnGatewayId");
    let gateways = format!("Action=DescribeVpnGateways&VpnGatewayId.1={gateway}");
    let states = |cloud: &mut Harness| texts(&cloud.ok(ALICE, &gateways), "state").join(" ");
    wait_for(&mut cloud, Wait::VpnGateway, states, ["pending", "available"]);
    let act = |verb: &str| format!("Action={verb}VpnGateway&VpnGatewayId={gateway}&VpcId={vpc}");
    cloud.ok(ALICE, &act("Attach"));
    wait_for(&mut cloud, Wait::VpnGatewayAttachment, states, ["attaching available", "attached available"]);
    cloud.ok(ALICE, &act("Detach"));
    wait_for(&mut cloud, Wait::VpnGatewayAttachment, states, ["detaching available", "available"]);

    let image = text(&cloud.ok(ALICE, "Action=RegisterImage&Name=mine"), "imageId");
    let state = |cloud: &mut Harness| seen(cloud, &format!("Action=DescribeImages&ImageId.1={image}"), "imageState");
    wait_for(&mut cloud, Wait::Image, state, ["pending", "available"]);

    cloud.ok(ALICE, "Action=ModifyVpcBlockPublicAccessOptions&InternetGatewayBlockMode=off");
    let state = |cloud: &mut Harness| seen(cloud, "Action=DescribeVpcBlockPublicAccessOptions", "state");
    wait_for(&mut cloud, Wait::BlockPublicAccess, state, ["update-in-progress", "update-complete"]);

    let instance = run(&mut cloud, &subnet);
    wait(&mut cloud, 60_000);
    cloud.ok(ALICE, &format!("Action=ModifyInstanceMetadataOptions&InstanceId={instance}&HttpTokens=required"));
    let state = |cloud: &mut Harness| {
        let found = cloud.ok(ALICE, &format!("Action=DescribeInstances&InstanceId.1={instance}"));
        let document = roxmltree::Document::parse(&found).unwrap();
        let options = document.descendants().find(|node| node.tag_name().name() == "metadataOptions").unwrap();
        options.children().find(|node| node.tag_name().name() == "state").unwrap().text().unwrap().to_owned()
    };
    wait_for(&mut cloud, Wait::MetadataOptions, state, ["pending", "applied"]);

    let eni = |cloud: &mut Harness| {
        text(&cloud.ok(ALICE, &format!("Action=CreateNetworkInterface&SubnetId={subnet}")), "networkInterfaceId")
    };
    let (from, to) = (eni(&mut cloud), eni(&mut cloud));
    let path = format!("Action=CreateNetworkInsightsPath&Source={from}&Destination={to}&Protocol=tcp&ClientToken=t");
    let path = text(&cloud.ok(ALICE, &path), "networkInsightsPathId");
    let start = format!("Action=StartNetworkInsightsAnalysis&NetworkInsightsPathId={path}&ClientToken=t");
    cloud.ok(ALICE, &start);
    let analyses = "Action=DescribeNetworkInsightsAnalyses";
    let status = |cloud: &mut Harness| {
        let document = cloud.ok(ALICE, analyses);
        format!("{} {}", text(&document, "status"), texts(&document, "networkPathFound").len())
    };
    wait_for(&mut cloud, Wait::Analysis, status, ["running 0", "succeeded 1"]);

    let scope =
        "Action=CreateNetworkInsightsAccessScope&MatchPath.1.Source.ResourceStatement.ResourceType.1=AWS::EC2::VPC";
    let scope = text(&cloud.ok(ALICE, &format!("{scope}&ClientToken=t")), "networkInsightsAccessScopeId");
    // A group that lets its own members in, and two instances in it.
    run(&mut cloud, &subnet);
    wait(&mut cloud, 60_000);
    let action = "StartNetworkInsightsAccessScopeAnalysis";
    let started = cloud.ok(ALICE, &format!("Action={action}&NetworkInsightsAccessScopeId={scope}&ClientToken=t"));
    let id = text(&started, "networkInsightsAccessScopeAnalysisId");
    let status = |cloud: &mut Harness| {
        let document = cloud.ok(ALICE, "Action=DescribeNetworkInsightsAccessScopeAnalyses");
        let action = "GetNetworkInsightsAccessScopeAnalysisFindings";
        let findings = cloud.ok(ALICE, &format!("Action={action}&NetworkInsightsAccessScopeAnalysisId={id}"));
        assert_eq!(text(&findings, "analysisStatus"), text(&document, "status"));
        let is_shown = !texts(&findings, "findingId").is_empty();
        format!("{} {} {is_shown}", text(&document, "status"), texts(&document, "findingsFound").len())
    };
    wait_for(&mut cloud, Wait::Analysis, status, ["running 0 false", "succeeded 1 true"]);
    let analysis = cloud.world.network_insights_access_scope_analyses.values().next().unwrap();
    assert_eq!(analysis.ended, analysis.started + Duration::seconds(Wait::Analysis.seconds()));
}

#[test]
fn the_next_tick_is_when_something_arrives() {
    let mut cloud = slow();
    let began = cloud.now;
    let made = vpc(&mut cloud, ALICE, "10.0.0.0/16");
    assert_eq!(next(&cloud.world, &cloud.config), Some(began + Duration::seconds(Wait::Vpc.seconds())));
    wait(&mut cloud, 1000);
    cloud.ok(
        ALICE,
        &format!("Action=CreateVpcPeeringConnection&VpcId={made}&PeerVpcId=vpc-0123456789abcdef0&PeerOwnerId={BOB}"),
    );
    let due = cloud.now + Duration::seconds(Wait::PeeringRequest.seconds());
    assert_eq!(next(&cloud.world, &cloud.config), Some(due));
}

#[test]
fn a_factor_makes_all_of_it_shorter() {
    let mut cloud = Harness::new();
    cloud.config.timing = Timing::new(0.1);
    vpc(&mut cloud, ALICE, "10.0.0.0/16");
    wait(&mut cloud, 99);
    assert_eq!(cloud.world.passages.size(), 1);
    wait(&mut cloud, 1);
    assert_eq!(cloud.world.passages.size(), 0);
}

#[test]
fn without_the_flag_nothing_is_ever_on_its_way() {
    let mut cloud = Harness::new();
    let (id, own) = peered(&mut cloud);
    wait(&mut cloud, 0);
    cloud.ok(ALICE, &format!("Action=AcceptVpcPeeringConnection&VpcPeeringConnectionId={id}"));
    wait(&mut cloud, 0);
    assert_eq!(peering_status(&mut cloud, &id), "active");
    let subnet = subnet(&mut cloud, ALICE, &own, "10.0.1.0/24");
    let nat = format!("Action=CreateNatGateway&SubnetId={subnet}&ConnectivityType=private");
    let nat = text(&cloud.ok(ALICE, &nat), "natGatewayId");
    cloud.ok(ALICE, &format!("Action=DeleteNatGateway&NatGatewayId={nat}"));
    cloud.ok(ALICE, &format!("Action=DeleteVpcPeeringConnection&VpcPeeringConnectionId={id}"));
    assert_eq!(peering_status(&mut cloud, &id), "deleted");
    assert_eq!((cloud.world.passages.size(), cloud.world.outbox.size()), (0, 0));
}
