//! Public addresses and Internet gateways: who reaches whom from outside, as whom, and for how long.

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

/// A network with a way out, one guest in it that has a public address, and that address.
struct Site {
    network: Network,
    gateway: String,
    guest: Guest,
    public: String,
}

fn gateway(client: &mut Client, vpc: &str) -> String {
    let gateway = client.ok("Action=CreateInternetGateway").text("internetGatewayId");
    client.ok(&format!("Action=AttachInternetGateway&InternetGatewayId={gateway}&VpcId={vpc}"));
    let query = format!("Action=DescribeRouteTables&Filter.1.Name=vpc-id&Filter.1.Value.1={vpc}");
    let table = client.ok(&query).text("routeTableId");
    client.ok(&format!("Action=CreateRoute&RouteTableId={table}&DestinationCidrBlock=0.0.0.0/0&GatewayId={gateway}"));
    gateway
}

fn site(client: &mut Client, prefix: &str) -> Site {
    let network = network(client, prefix);
    let gateway = gateway(client, &network.vpc);
    client.ok(&format!("Action=ModifySubnetAttribute&SubnetId={}&MapPublicIpOnLaunch.Value=true", network.subnet));
    let guest = guests(client, &network.subnet, 1, "").remove(0);
    let public = described(client, &guest.id).text("ipAddress");
    Site { network, gateway, guest, public }
}

/// Runs a program inside an instance; what it printed, if it succeeded.
fn python(up: &Up, guest: &Guest, program: &str) -> Option<String> {
    let output = up.exec(&guest.id, &["python3", "-c", program]);
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The address that the server there says that it sees.
fn seen_by(up: &Up, from: &Guest, address: &str) -> Option<String> {
    let program = "import socket; s = socket.create_connection((\"SERVER\", 8000), 2); print(s.makefile().read())";
    python(up, from, &program.replace("SERVER", address))
}

fn serve(up: &Up, guest: &Guest, program: &str) {
    assert!(!program.contains('\''), "it is quoted");
    up.sh(&guest.id, &format!("setsid python3 -c '{program}' </dev/null >/dev/null 2>&1 & echo"));
}

/// The mission's other half: from outside it is seen as its public address, over a peering as its own; in two regions, on three hosts.
#[test]
fn a_server_sees_public_sources_from_outside_and_private_ones_over_a_peering() {
    let place = Place::new();
    let up = Up::start(&place, &["--hosts", "3"]);
    let (mut alice, mut bob) = (up.client(ALICE), up.client(BOB));
    let (here, there) = (site(&mut alice, "10.16"), site(&mut bob, "10.17"));
    assert_ne!(here.public, there.public);
    serve(&up, &there.guest, SERVER);
    assert_eq!(seen_by(&up, &here.guest, &there.public), None, "no rule of the server's admits it");
    admit(&mut bob, &there.network.vpc, &format!("{}/32", here.public));
    eventually("it answers from outside", || seen_by(&up, &here.guest, &there.public) == Some(here.public.clone()));
    assert_eq!(seen_by(&up, &here.guest, &there.guest.address), None, "its private address is not on the internet");

    // Peered: the private address leads there, and the source is the private one.
    let pcx = peer(&mut alice, &mut bob, &here.network.vpc, &there.network.vpc);
    route(&mut alice, &here.network.vpc, "10.17.0.0/16", &pcx);
    route(&mut bob, &there.network.vpc, "10.16.0.0/16", &pcx);
    admit(&mut bob, &there.network.vpc, "10.16.0.0/16");
    let own = Some(here.guest.address.clone());
    eventually("it answers over the peering", || seen_by(&up, &here.guest, &there.guest.address) == own);
    assert_eq!(seen_by(&up, &here.guest, &there.public), Some(here.public.clone()), "the public address still does");

    // In pieces, an error about what nobody listens to, and a stream.
    admit(&mut bob, &there.network.vpc, "0.0.0.0/0");
    up.sh(&here.guest.id, &format!("ping -c1 -W2 -s 4000 {}", there.public));
    let refused = "
import socket
s = socket.socket(type=socket.SOCK_DGRAM)
s.settimeout(5)
s.connect((\"SERVER\", 9))
s.send(b\"x\")
try:
    s.recv(1)
except ConnectionRefusedError:
    print(\"refused\")
";
    let refused = python(&up, &here.guest, &refused.replace("SERVER", &there.public));
    assert_eq!(refused.as_deref(), Some("refused"), "the error speaks of the packet as it was sent");
    let count = "
import socket
server = socket.create_server((\"0.0.0.0\", 8001))
c, a = server.accept()
n = 0
while True:
    b = c.recv(65536)
    if not b:
        break
    n += len(b)
c.sendall(str(n).encode())
c.close()
";
    serve(&up, &there.guest, count);
    let send = "
import socket, time
for n in range(50):
    try:
        s = socket.create_connection((\"SERVER\", 8001), 2)
        break
    except OSError:
        time.sleep(0.1)
s.sendall(bytes(3000000))
s.shutdown(socket.SHUT_WR)
print(s.makefile().read())
";
    let counted = python(&up, &here.guest, &send.replace("SERVER", &there.public));
    assert_eq!(counted.as_deref(), Some("3000000"), "streams are cut and merged");
    up.stop();
}

/// What is taken away is gone at once: the mapping, the gateway; and what comes back is another address.
#[test]
fn what_leads_outside_is_cut_at_once() {
    let place = Place::new();
    let up = Up::start(&place, &[]);
    let mut alice = up.client(ALICE);
    let (x, y) = (site(&mut alice, "10.16"), site(&mut alice, "10.17"));
    admit(&mut alice, &y.network.vpc, "0.0.0.0/0");
    up.wait_until_reached(&x.guest.id, &y.public);
    up.wait_until_reached(&y.guest.id, &y.public);
    let held = alice.ok("Action=AllocateAddress&Domain=vpc");
    let (allocation, elastic) = (held.text("allocationId"), held.text("publicIp"));
    let map = format!("Action=AssociateAddress&AllocationId={allocation}&InstanceId={}", y.guest.id);
    let association = alice.ok(&map).text("associationId");
    assert!(up.reaches(&x.guest.id, &elastic), "when the answer comes packets follow it");
    assert!(!up.reaches(&x.guest.id, &y.public), "what was assigned at launch is gone");
    alice.ok(&format!("Action=DisassociateAddress&AssociationId={association}"));
    assert!(!up.reaches(&x.guest.id, &elastic));
    let association = alice.ok(&map).text("associationId");
    assert!(up.reaches(&x.guest.id, &elastic));

    // The sender's own comes and goes with its instance.
    alice.ok(&format!("Action=StopInstances&InstanceId.1={}", x.guest.id));
    wait_for_state(&mut alice, &x.guest.id, "stopped");
    alice.ok(&format!("Action=StartInstances&InstanceId.1={}", x.guest.id));
    wait_for_state(&mut alice, &x.guest.id, "running");
    let anew = described(&mut alice, &x.guest.id).text("ipAddress");
    assert_ne!(anew, x.public, "another address with another start");
    up.wait_until_reached(&x.guest.id, &elastic);

    let detach = format!("Action=DetachInternetGateway&InternetGatewayId={}&VpcId={}", y.gateway, y.network.vpc);
    assert_eq!(alice.refused(&detach).code, "DependencyViolation");
    alice.ok(&format!("Action=DisassociateAddress&AssociationId={association}"));
    alice.ok(&detach);
    assert!(!up.reaches(&x.guest.id, &elastic));
    up.stop();
}
