//! Egress-only internet gateways: IPv6 gets out, what answers gets in, and nothing else does, on one host and between two.

use std::collections::BTreeSet;

use serde_json::Value;

use super::links::dual_stack;
use crate::common::api::Client;
use crate::common::eventually;
use crate::common::running::*;

/// Answers every connection to port 8000 with the address that it came from.
const SERVER: &str = "
import socket
server = socket.create_server((\"::\", 8000), family=socket.AF_INET6)
while True:
    connection, client = server.accept()
    connection.sendall(client[0].encode())
    connection.close()
";

/// Sends three million bytes to port 8001, and says how many were counted there.
const COUNTED: &str = "
import socket
s = socket.create_connection((\"SERVER\", 8001), 5)
s.sendall(bytes(3000000))
s.shutdown(socket.SHUT_WR)
print(s.makefile().read())
";

const COUNTER: &str = "
import socket
server = socket.create_server((\"::\", 8001), family=socket.AF_INET6)
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

fn serve(up: &Up, guest: &Guest, program: &str) {
    assert!(!program.contains('\''), "it is quoted");
    up.sh(&guest.id, &format!("setsid python3 -c '{program}' </dev/null >/dev/null 2>&1 & echo"));
}

fn python(up: &Up, guest: &Guest, program: &str) -> Option<String> {
    let output = up.exec(&guest.id, &["python3", "-c", program]);
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The address that the server there says that it sees.
fn seen_by(up: &Up, from: &Guest, address: &str) -> Option<String> {
    let program = "import socket; s = socket.create_connection((\"SERVER\", 8000), 2); print(s.makefile().read())";
    python(up, from, &program.replace("SERVER", address))
}

fn route_out(client: &mut Client, vpc: &str, target: &str) {
    let query = format!("Action=DescribeRouteTables&Filter.1.Name=vpc-id&Filter.1.Value.1={vpc}");
    let table = client.ok(&query).text("routeTableId");
    client.ok(&format!("Action=CreateRoute&RouteTableId={table}&DestinationIpv6CidrBlock=::/0&{target}"));
}

fn status(up: &Up, arguments: &[&str]) -> Vec<Value> {
    let output = peerway().args(["status", "--output", "json", "--data"]).arg(&up.data).args(arguments).output();
    let output = output.expect("it starts");
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).expect("a list")
}

/// Packets that were refused for this reason at the interface of an instance.
fn refused(up: &Up, instance: &str, reason: &str) -> u64 {
    let rows = status(up, &["--drops", "--of", instance, "--reason", reason]);
    rows.iter().map(|row| row["packets"].as_u64().expect("a number")).sum()
}

#[test]
fn ipv6_gets_out_and_only_what_answers_gets_in() {
    let place = Place::new();
    let up = Up::start(&place, &["--hosts", "2"]);
    let (mut alice, mut bob) = (up.client(ALICE), up.client(BOB));
    let (here, _, inside) = dual_stack(&mut alice, "10.16", 2);
    let (there, _, mut outside) = dual_stack(&mut bob, "10.17", 1);
    let (server, server_ipv6) = outside.remove(0);
    let hosts: BTreeSet<String> = status(&up, &[]).iter().map(|row| row["host"].to_string()).collect();
    assert_eq!(hosts.len(), 2, "one of the two inside is on the server's host, the other one is not");

    let query = format!("Action=CreateEgressOnlyInternetGateway&VpcId={}", here.vpc);
    let egress_only = alice.ok(&query).text("egressOnlyInternetGatewayId");
    route_out(&mut alice, &here.vpc, &format!("EgressOnlyInternetGatewayId={egress_only}"));
    let gateway = bob.ok("Action=CreateInternetGateway").text("internetGatewayId");
    bob.ok(&format!("Action=AttachInternetGateway&InternetGatewayId={gateway}&VpcId={}", there.vpc));
    route_out(&mut bob, &there.vpc, &format!("GatewayId={gateway}"));

    serve(&up, &server, SERVER);
    serve(&up, &server, COUNTER);
    for (guest, ipv6) in &inside {
        let seen = || seen_by(&up, guest, &server_ipv6) == Some(ipv6.clone());
        eventually("the server answers, and sees the guest's own address", seen);
        let counted = python(&up, guest, &COUNTED.replace("SERVER", &server_ipv6));
        assert_eq!(counted.as_deref(), Some("3000000"), "streams pass");
        up.sh(&guest.id, &format!("ping -6 -c1 -W2 -s 4000 {server_ipv6}"));

        // However open the groups are: what nobody inside asked for is dropped, and counted where it was for.
        serve(&up, guest, SERVER);
        eventually("it listens", || seen_by(&up, guest, ipv6) == Some(ipv6.clone()));
        let before = refused(&up, &guest.id, "D30");
        assert_eq!(seen_by(&up, &server, ipv6), None, "a connection from outside");
        let probe = format!("ping -6 -c1 -W1 {ipv6}");
        assert!(!up.exec(&server.id, &["sh", "-c", &probe]).status.success(), "a ping from outside");
        assert!(refused(&up, &guest.id, "D30") >= before + 2, "both are counted: {:?}", status(&up, &["--drops"]));
    }

    alice.ok(&format!("Action=DeleteEgressOnlyInternetGateway&EgressOnlyInternetGatewayId={egress_only}"));
    for (guest, _) in &inside {
        assert_eq!(seen_by(&up, guest, &server_ipv6), None, "when the answer comes packets follow it");
        assert!(refused(&up, &guest.id, "D09") > 0, "its route is a blackhole");
    }
    up.stop();
}
