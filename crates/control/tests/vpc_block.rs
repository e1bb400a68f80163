//! The blocks of a VPC through the API (spec 2.3, 5.4.5).

mod common;
mod things;

use common::*;
use model::federation::Message;
use model::*;
use things::*;

fn add(cloud: &mut Harness, vpc: &str, block: &str) -> Result<String, String> {
    let added = cloud.call(ALICE, &format!("Action=AssociateVpcCidrBlock&VpcId={vpc}&CidrBlock={block}"));
    added.map(|document| text(&document, "associationId")).map_err(|error| error.code.into_owned())
}

#[test]
fn a_block_comes_with_local_routes_and_goes_with_them() {
    let mut cloud = Harness::new();
    let id = vpc(&mut cloud, ALICE, "10.0.0.0/16");
    table(&mut cloud, ALICE, &id);
    let block = add(&mut cloud, &id, "10.2.0.0/16").unwrap();
    let locals = |cloud: &Harness| {
        let of = |table: &RouteTable| {
            let routes = all_routes(cloud, table).into_iter().filter(|r| r.target == RouteTarget::Local);
            routes.map(|r| r.destination.to_string()).collect::<Vec<_>>()
        };
        cloud.world.all::<RouteTable>().map(|table| of(table)).collect::<Vec<_>>()
    };
    assert_eq!(locals(&cloud), vec![["10.0.0.0/16", "10.2.0.0/16"]; 2]);
    let gone = cloud.ok(ALICE, &format!("Action=DisassociateVpcCidrBlock&AssociationId={block}"));
    assert_eq!((text(&gone, "state"), text(&gone, "cidrBlock")), ("disassociating".into(), "10.2.0.0/16".into()));
    assert_eq!(locals(&cloud), vec![["10.0.0.0/16"]; 2]);
    assert_eq!(
        cloud.code(ALICE, &format!("Action=DisassociateVpcCidrBlock&AssociationId={block}")),
        "InvalidVpcCidrBlockAssociationID.NotFound"
    );
}

/// The most that the store takes in one transaction, as etcd.
const TRANSACTION_MAX: usize = 128;

/// How many records a request changes.
fn changed(cloud: &mut Harness, query: &str) -> usize {
    let before = cloud.world.clone();
    cloud.ok(ALICE, query);
    let after: Vec<Resource> = cloud.world.resources().collect();
    let kept = before.resources().filter(|resource| after.contains(resource)).count();
    after.len().max(before.resources().count()) - kept
}

#[test]
fn a_block_comes_and_goes_however_many_tables_and_requests_there_are() {
    let mut cloud = Harness::new();
    let id = vpc(&mut cloud, ALICE, "10.0.0.0/16");
    let tables: Vec<String> = (0..199).map(|_| table(&mut cloud, ALICE, &id)).collect();
    for n in 0..150 {
        let asks = vpc(&mut cloud, &format!("{:012}", 500 + n), "10.7.0.0/16");
        peering(&mut cloud, &asks, &id, PeeringStatus::PendingAcceptance);
    }
    let added = format!("Action=AssociateVpcCidrBlock&VpcId={id}&CidrBlock=10.2.0.0/16");
    assert_eq!(changed(&mut cloud, &added), 1);
    assert!(
        changed(&mut cloud, &format!("Action=AssociateVpcCidrBlock&VpcId={id}&AmazonProvidedIpv6CidrBlock=true")) <= 3
    );
    let shown = cloud.ok(ALICE, &format!("Action=DescribeRouteTables&RouteTableId.1={}", tables[7]));
    assert_eq!(texts(&shown, "gatewayId"), ["local", "local", "local"]);
    // Hosts are told whole tables.
    let slice = control::plan::vpc_slice(cloud.config.region, &cloud.world, id.parse().unwrap()).unwrap();
    assert!(slice.route_tables.len() == 200 && slice.route_tables.iter().all(|table| table.routes.len() == 3));
    assert!(slice.route_tables.iter().flat_map(|table| &table.routes).all(|route| route.target == RouteTarget::Local));

    let block = cloud.world.find::<Vpc>(&id.parse().unwrap()).unwrap().cidrs[1].id;
    let gone = changed(&mut cloud, &format!("Action=DisassociateVpcCidrBlock&AssociationId={block}"));
    assert!(gone < TRANSACTION_MAX && gone == 1, "{gone}");
}

#[test]
fn a_block_that_comes_again_comes_without_the_target_that_it_had() {
    let mut cloud = Harness::new();
    let id = vpc(&mut cloud, ALICE, "10.0.0.0/16");
    let (table, subnet) = (table(&mut cloud, ALICE, &id), subnet(&mut cloud, ALICE, &id, "10.0.0.0/24"));
    let (_, eni) = instance(&mut cloud, &subnet, "10.0.0.9");
    let block = add(&mut cloud, &id, "10.2.0.0/16").unwrap();
    let replace = format!("Action=ReplaceRoute&RouteTableId={table}&DestinationCidrBlock=10.2.0.0/16");
    cloud.ok(ALICE, &format!("{replace}&NetworkInterfaceId={eni}"));
    let target = |cloud: &Harness| {
        let routes = all_routes(cloud, cloud.world.find::<RouteTable>(&table.parse().unwrap()).unwrap());
        routes.into_iter().find(|route| route.destination.to_string() == "10.2.0.0/16").map(|route| route.target)
    };
    assert_eq!(target(&cloud), Some(RouteTarget::NetworkInterface(eni)));
    cloud.ok(ALICE, &format!("Action=DisassociateVpcCidrBlock&AssociationId={block}"));
    assert_eq!(target(&cloud), None);
    assert_eq!(cloud.code(ALICE, &format!("{replace}&LocalTarget=true")), "InvalidParameterValue");
    add(&mut cloud, &id, "10.2.0.0/16").unwrap();
    assert_eq!(target(&cloud), Some(RouteTarget::Local));
}

#[test]
fn the_restriction_table_holds_unless_it_is_off() {
    // The first block, the others before, the one to add: may it?
    for (primary, more, added, may) in [
        ("10.0.0.0/16", "", "172.16.0.0/16", false),
        ("10.0.0.0/16", "", "192.168.0.0/16", false),
        ("10.0.0.0/16", "", "198.19.0.0/16", false),
        ("10.0.0.0/16", "", "10.2.0.0/16", true),
        ("10.0.0.0/16", "", "8.8.0.0/16", true),
        ("10.0.0.0/16", "", "100.64.0.0/16", true),
        ("10.1.0.0/16", "", "10.0.0.0/16", false),
        ("10.0.0.0/24", "", "10.0.1.0/24", false),
        ("10.2.0.0/16", "", "10.0.0.0/16", true),
        ("172.16.0.0/16", "", "10.0.0.0/16", false),
        ("172.16.0.0/16", "", "192.168.0.0/16", false),
        ("172.16.0.0/16", "", "172.31.0.0/16", false),
        ("172.16.0.0/16", "", "198.19.0.0/16", false),
        ("172.16.0.0/16", "", "172.17.0.0/16", true),
        ("192.168.0.0/24", "", "10.0.0.0/16", false),
        ("192.168.0.0/24", "", "172.16.0.0/16", false),
        ("192.168.0.0/24", "", "198.19.0.0/16", false),
        ("192.168.0.0/24", "", "192.168.1.0/24", true),
        ("198.19.0.0/24", "", "10.0.0.0/16", false),
        ("198.19.0.0/24", "", "172.16.0.0/16", false),
        ("198.19.0.0/24", "", "192.168.0.0/16", false),
        ("198.19.0.0/24", "", "8.8.0.0/16", true),
        ("8.8.0.0/16", "", "10.0.0.0/16", false),
        ("100.64.0.0/16", "", "192.168.0.0/16", false),
        ("100.64.0.0/16", "", "198.19.0.0/16", false),
        ("100.64.0.0/16", "", "8.8.0.0/16", true),
        ("10.0.0.0/16", "8.8.0.0/16", "10.3.0.0/16", true),
        ("10.0.0.0/16", "8.8.0.0/16", "172.16.0.0/16", false),
    ] {
        let mut cloud = Harness::new();
        let id = vpc(&mut cloud, ALICE, primary);
        if !more.is_empty() {
            add(&mut cloud, &id, more).unwrap();
        }
        let answer = add(&mut cloud, &id, added);
        assert_eq!(
            answer.as_ref().err().map(String::as_str),
            (!may).then_some("InvalidVpc.Range"),
            "{primary} {more} + {added}"
        );
        cloud.config.restrict_cidr_associations = false;
        if !may {
            assert!(add(&mut cloud, &id, added).is_ok(), "{primary} + {added}");
        }
    }
}

#[test]
fn overlap_size_routes_and_quota() {
    let mut cloud = Harness::new();
    let id = vpc(&mut cloud, ALICE, "10.4.0.0/16");
    for wrong in ["10.4.1.0/24", "10.4.0.0/16", "10.5.0.0/29", "10.0.0.0/8", "127.0.0.0/16"] {
        assert_eq!(add(&mut cloud, &id, wrong).unwrap_err(), "InvalidVpc.Range", "{wrong}");
    }
    let error = cloud.error(ALICE, &format!("Action=AssociateVpcCidrBlock&VpcId={id}&CidrBlock=10.4.1.0/24"));
    assert!(error.message.contains("conflict"), "{}", error.message);

    let gateway = text(&cloud.ok(ALICE, "Action=CreateInternetGateway"), "internetGatewayId");
    cloud.ok(ALICE, &format!("Action=AttachInternetGateway&InternetGatewayId={gateway}&VpcId={id}"));
    let table = table(&mut cloud, ALICE, &id);
    cloud.ok(
        ALICE,
        &format!("Action=CreateRoute&RouteTableId={table}&DestinationCidrBlock=10.6.0.0/20&GatewayId={gateway}"),
    );
    for taken in ["10.6.0.0/20", "10.6.0.0/16"] {
        assert_eq!(add(&mut cloud, &id, taken).unwrap_err(), "InvalidVpc.Range", "{taken}");
    }
    assert!(add(&mut cloud, &id, "10.6.1.0/24").is_ok());
    for block in ["10.7.0.0/16", "10.8.0.0/16", "10.9.0.0/16"] {
        add(&mut cloud, &id, block).unwrap();
    }
    assert_eq!(add(&mut cloud, &id, "10.10.0.0/16").unwrap_err(), "CidrLimitExceeded");
    let ipv6 = format!("Action=AssociateVpcCidrBlock&VpcId={id}&AmazonProvidedIpv6CidrBlock=true");
    for _ in 0..5 {
        cloud.ok(ALICE, &ipv6);
    }
    assert_eq!(cloud.code(ALICE, &ipv6), "CidrLimitExceeded");
    assert_eq!(cloud.code(ALICE, &format!("{ipv6}&CidrBlock=10.11.0.0/16")), "InvalidParameterCombination");
    assert_eq!(cloud.code(ALICE, &format!("Action=AssociateVpcCidrBlock&VpcId={id}")), "MissingParameter");
    assert_eq!(
        cloud.code(ALICE, &format!("Action=AssociateVpcCidrBlock&VpcId={id}&Ipv6Pool=x")),
        "InvalidPoolID.NotFound"
    );
}

#[test]
fn what_may_not_be_taken_away() {
    let mut cloud = Harness::new();
    let id = vpc(&mut cloud, ALICE, "10.0.0.0/16");
    let primary = cloud.world.find::<Vpc>(&id.parse().unwrap()).unwrap().cidrs[0].id;
    let leave = |cloud: &mut Harness, id: &str| {
        cloud.code(ALICE, &format!("Action=DisassociateVpcCidrBlock&AssociationId={id}"))
    };
    let error = cloud.error(ALICE, &format!("Action=DisassociateVpcCidrBlock&AssociationId={primary}"));
    assert_eq!(error.code, "OperationNotPermitted");
    assert_eq!(
        error.message,
        format!(
            "The vpc CIDR block with association ID {primary} may not be disassociated. It is the primary IPv4 CIDR block of the VPC"
        )
    );

    let ipv4 = add(&mut cloud, &id, "10.2.0.0/16").unwrap();
    let added = cloud.ok(ALICE, &format!("Action=AssociateVpcCidrBlock&VpcId={id}&AmazonProvidedIpv6CidrBlock=true"));
    let (ipv6, block) = (text(&added, "associationId"), text(&added, "ipv6CidrBlock").replace("/56", "/64"));
    let inside = text(
        &cloud.ok(ALICE, &format!("Action=CreateSubnet&VpcId={id}&CidrBlock=10.2.1.0/24&Ipv6CidrBlock={block}")),
        "subnetId",
    );
    assert_eq!(
        (leave(&mut cloud, &ipv4), leave(&mut cloud, &ipv6)),
        ("DependencyViolation".into(), "DependencyViolation".into())
    );
    cloud.ok(ALICE, &format!("Action=DeleteSubnet&SubnetId={inside}"));
    assert_eq!(
        cloud.code(BOB, &format!("Action=DisassociateVpcCidrBlock&AssociationId={ipv4}")),
        "InvalidVpcCidrBlockAssociationID.NotFound"
    );
    cloud.ok(ALICE, &format!("Action=DisassociateVpcCidrBlock&AssociationId={ipv4}"));
    let gone = cloud.ok(ALICE, &format!("Action=DisassociateVpcCidrBlock&AssociationId={ipv6}"));
    assert_eq!(text(&gone, "associationId"), ipv6);
    let main = cloud.world.find::<Vpc>(&id.parse().unwrap()).unwrap().main.route_table;
    assert_eq!(all_routes(&cloud, cloud.world.find::<RouteTable>(&main).unwrap()).len(), 1);
    assert_eq!(leave(&mut cloud, "vpc-cidr-assoc-x"), "InvalidVpcCidrBlockAssociationID.Malformed");
}

#[test]
fn peerings_have_a_say() {
    let mut cloud = Harness::new();
    let (a, b) = (vpc(&mut cloud, ALICE, "10.0.0.0/16"), vpc(&mut cloud, BOB, "10.5.0.0/16"));
    let pcx = peering(&mut cloud, &a, &b, PeeringStatus::Active);
    assert_eq!(add(&mut cloud, &a, "10.5.1.0/24").unwrap_err(), "InvalidVpc.Range");
    let added = add(&mut cloud, &a, "10.6.0.0/16").unwrap();
    let shown = |cloud: &Harness| cloud.world.find::<Peering>(&pcx).unwrap().requester.cidrs.len();
    assert_eq!(shown(&cloud), 2);
    cloud.ok(ALICE, &format!("Action=DisassociateVpcCidrBlock&AssociationId={added}"));
    assert_eq!(shown(&cloud), 1);

    set_status(&mut cloud, pcx, PeeringStatus::PendingAcceptance);
    for block in ["10.6.0.0/16", "10.5.1.0/24"] {
        assert_eq!(add(&mut cloud, &a, block).unwrap_err(), "OperationNotPermitted");
    }
    set_status(&mut cloud, pcx, PeeringStatus::Deleted);
    add(&mut cloud, &a, "10.5.1.0/24").unwrap();

    // Asked, and then overlapping: the request fails; asked and apart: it stays.
    let (c, d) = (vpc(&mut cloud, BOB, "10.20.0.0/16"), vpc(&mut cloud, BOB, "10.21.0.0/16"));
    let (first, second) = (
        peering(&mut cloud, &c, &a, PeeringStatus::PendingAcceptance),
        peering(&mut cloud, &d, &a, PeeringStatus::PendingAcceptance),
    );
    add(&mut cloud, &a, "10.20.7.0/24").unwrap();
    assert_eq!(cloud.world.find::<Peering>(&first).unwrap().status, PeeringStatus::Failed);
    assert_eq!(cloud.world.find::<Peering>(&second).unwrap().status, PeeringStatus::PendingAcceptance);
    assert_eq!(cloud.world.outbox.size(), 0);
}

#[test]
fn the_other_region_hears_of_it() {
    let mut cloud = Harness::new();
    let (a, b) = (vpc(&mut cloud, ALICE, "10.0.0.0/16"), vpc(&mut cloud, BOB, "10.5.0.0/16"));
    let pcx = peering(&mut cloud, &a, &b, PeeringStatus::Active);
    let mut far = Peering::clone(cloud.world.find::<Peering>(&pcx).unwrap());
    far.accepter.region = "eu-west-1".parse().unwrap();
    put(&mut cloud, far);
    add(&mut cloud, &a, "10.6.0.0/16").unwrap();
    let sent = cloud.world.outbox.values().next().unwrap();
    assert_eq!(sent.to.to_string(), "eu-west-1");
    assert!(matches!(&sent.message, Message::Changed { peering, side } if *peering == pcx && side.cidrs.len() == 2));

    set_status(&mut cloud, pcx, PeeringStatus::PendingAcceptance);
    cloud.ok(ALICE, &format!("Action=DeleteVpc&VpcId={a}"));
    assert_eq!(cloud.world.find::<Peering>(&pcx).unwrap().status, PeeringStatus::Deleting);
    assert!(matches!(cloud.world.outbox.last().unwrap().1.message, Message::Deleted { peering, .. } if peering == pcx));
}
