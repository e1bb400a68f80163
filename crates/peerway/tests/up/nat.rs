//! NAT gateways: guests without addresses of their own outside reach others, as the gateway, and nobody reaches them.

use crate::common::api::Client;
use crate::common::eventually;
use crate::common::running::*;

/// Answers every connection to port 8000 with the address that it came from.
const SERVER: &str = "
import socket
server = socket.create_server((\"0.0.0.0\", 8000))
while True:
    connection, client = server.accept()
    connection.sendall(client[0].encode())
    connection.close()
";

/// Counts what comes to port 8001, until it ends, and says so.
const COUNTER: &str = "
import socket
server = socket.create_server((\"0.0.0.0\", 8001))
while True:
    connection, client = server.accept()
    count = 0
    while True:
        data = connection.recv(65536)
        if not data:
            break
        count += len(data)
    connection.sendall(str(count).encode())
    connection.close()
";

fn python(up: &Up, guest: &Guest, program: &str) -> Option<String> {
    let output = up.exec(&guest.id, &["python3", "-c", program]);
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn serve(up: &Up, guest: &Guest, program: &str) {
    assert!(!program.contains('\''), "it is quoted");
    up.sh(&guest.id, &format!("setsid python3 -c '{program}' </dev/null >/dev/null 2>&1 & echo"));
}

/// The address that the server there says that it sees.
fn seen_by(up: &Up, from: &Guest, address: &str) -> Option<String> {
    let program = "import socket; s = socket.create_connection((\"SERVER\", 8000), 2); print(s.makefile().read())";
    python(up, from, &program.replace("SERVER", address))
}

fn counted_by(up: &Up, from: &Guest, address: &str) -> Option<String> {
    let program = "
import socket
s = socket.create_connection((\"SERVER\", 8001), 5)
s.sendall(bytes(3000000))
s.shutdown(socket.SHUT_WR)
print(s.makefile().read())
";
    python(up, from, &program.replace("SERVER", address))
}

/// A subnet of a VPC whose only way out is the gateway, and guests in it.
fn room(client: &mut Client, vpc: &str, block: &str, gateway: &str, count: usize) -> Vec<Guest> {
    let subnet = client.ok(&format!("Action=CreateSubnet&VpcId={vpc}&CidrBlock={block}")).text("subnetId");
    let table = client.ok(&format!("Action=CreateRouteTable&VpcId={vpc}")).text("routeTableId");
    client.ok(&format!("Action=AssociateRouteTable&RouteTableId={table}&SubnetId={subnet}"));
    let route = "DestinationCidrBlock=0.0.0.0/0&NatGatewayId=";
    client.ok(&format!("Action=CreateRoute&RouteTableId={table}&{route}{gateway}"));
    guests(client, &subnet, count, "")
}

fn private_gateway(client: &mut Client, subnet: &str) -> (String, String) {
    let made = client.ok(&format!("Action=CreateNatGateway&ConnectivityType=private&SubnetId={subnet}"));
    assert_eq!(made.text("state"), "available");
    (made.text("natGatewayId"), made.text("privateIp"))
}

/// Over a peering with the gateway's address, from several hosts, in streams, pieces and pings; and what asks unasked is dropped.
#[test]
fn a_private_gateway_speaks_for_a_subnet_over_a_peering() {
    let place = Place::new();
    let up = Up::start(&place, &["--hosts", "3"]);
    let (mut alice, mut bob) = (up.client(ALICE), up.client(BOB));
    let (here, there) = (network(&mut alice, "10.16"), network(&mut bob, "10.17"));
    let pcx = peer(&mut alice, &mut bob, &here.vpc, &there.vpc);
    route(&mut alice, &here.vpc, "10.17.0.0/16", &pcx);
    route(&mut bob, &there.vpc, "10.16.0.0/16", &pcx);
    let (gateway, own) = private_gateway(&mut alice, &here.subnet);
    let inside = room(&mut alice, &here.vpc, "10.16.200.0/24", &gateway, 3);
    let server = guests(&mut bob, &there.subnet, 1, "").remove(0);
    // The gateway's address alone is let in.
    admit(&mut bob, &there.vpc, &format!("{own}/32"));
    serve(&up, &server, SERVER);
    serve(&up, &server, COUNTER);
    for guest in &inside {
        let seen = || seen_by(&up, guest, &server.address) == Some(own.clone());
        eventually("the server answers, and sees the gateway", seen);
        assert_eq!(counted_by(&up, guest, &server.address).as_deref(), Some("3000000"), "streams are cut and merged");
        up.sh(&guest.id, &format!("ping -c1 -W2 {}", server.address));
    }
    let refused = "
import socket
s = socket.socket(type=socket.SOCK_DGRAM)
s.settimeout(5)
s.connect((\"SERVER\", 9))
s.send(b\"x\" * 4000)
try:
    s.recv(1)
except ConnectionRefusedError:
    print(\"refused\")
";
    let refused = python(&up, &inside[0], &refused.replace("SERVER", &server.address));
    assert_eq!(refused.as_deref(), Some("refused"), "pieces go there, and the error about them comes home");
    assert!(!up.reaches(&server.id, &own), "the gateway answers nobody");
    assert!(!up.reaches(&server.id, &inside[0].address), "B's rules or none: A's group admits nobody from there");

    alice.ok(&format!("Action=DeleteNatGateway&NatGatewayId={gateway}"));
    assert_eq!(seen_by(&up, &inside[0], &server.address), None, "when the answer comes packets follow it");
    up.stop();
}

/// The cloud's own internet: guests without public addresses get out as the gateway's Elastic IP address, and nobody gets in.
#[test]
fn a_public_gateway_lets_out_as_its_elastic_address_and_nobody_in() {
    let place = Place::new();
    let up = Up::start(&place, &["--hosts", "2"]);
    let (mut alice, mut bob) = (up.client(ALICE), up.client(BOB));
    let (here, there) = (network(&mut alice, "10.16"), network(&mut bob, "10.16"));
    for (client, network) in [(&mut alice, &here), (&mut bob, &there)] {
        let gateway = client.ok("Action=CreateInternetGateway").text("internetGatewayId");
        client.ok(&format!("Action=AttachInternetGateway&InternetGatewayId={gateway}&VpcId={}", network.vpc));
        let query = format!("Action=DescribeRouteTables&Filter.1.Name=vpc-id&Filter.1.Value.1={}", network.vpc);
        let table = client.ok(&query).text("routeTableId");
        let route = format!("RouteTableId={table}&DestinationCidrBlock=0.0.0.0/0&GatewayId={gateway}");
        client.ok(&format!("Action=CreateRoute&{route}"));
    }
    let held = alice.ok("Action=AllocateAddress&Domain=vpc");
    let (allocation, elastic) = (held.text("allocationId"), held.text("publicIp"));
    let make = format!("Action=CreateNatGateway&SubnetId={}&AllocationId={allocation}", here.subnet);
    let gateway = alice.ok(&make).text("natGatewayId");
    let inside = room(&mut alice, &here.vpc, "10.16.200.0/24", &gateway, 2);
    bob.ok(&format!("Action=ModifySubnetAttribute&SubnetId={}&MapPublicIpOnLaunch.Value=true", there.subnet));
    let server = guests(&mut bob, &there.subnet, 1, "").remove(0);
    let public = described(&mut bob, &server.id).text("ipAddress");
    admit(&mut bob, &there.vpc, &format!("{elastic}/32"));
    serve(&up, &server, SERVER);
    serve(&up, &server, COUNTER);
    for guest in &inside {
        let seen = || seen_by(&up, guest, &public) == Some(elastic.clone());
        eventually("the server answers, and sees the Elastic IP address", seen);
        assert_eq!(counted_by(&up, guest, &public).as_deref(), Some("3000000"));
        up.sh(&guest.id, &format!("ping -c1 -W2 {public}"));
    }
    admit(&mut alice, &here.vpc, "0.0.0.0/0");
    assert!(!up.reaches(&server.id, &elastic), "what nobody inside asked for is dropped");
    up.stop();
}
