//! One public host name, whoever asks, with real packets and clients that know nothing of it (spec 9.4, 5.7; users' case 46): `getent`
//! says where it leads, `curl` what the server there saw. And suffixes of the operator's own, wherever a name is shown or resolved.

use crate::common::api::Client;
use crate::common::eventually;
use crate::common::running::*;

/// Bob, in Alice's region.
const BOB_NEAR: (&str, &str) = ("222222222222", "us-east-1");

/// Answers every request with the address that it came from.
const SERVER: &str = "
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = self.client_address[0].encode()
        self.send_response(200)
        self.send_header(\"Content-Length\", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
http.server.ThreadingHTTPServer((\"0.0.0.0\", 80), Handler).serve_forever()
";

/// A VPC with host names, a gateway and a web server with an Elastic IP address, open to everybody.
struct Site {
    network: Network,
    guest: Guest,
    public: String,
    name: String,
}

fn site(up: &Up, client: &mut Client, prefix: &str) -> Site {
    let network = network(client, prefix);
    let vpc = &network.vpc;
    let gateway = client.ok("Action=CreateInternetGateway").text("internetGatewayId");
    client.ok(&format!("Action=AttachInternetGateway&InternetGatewayId={gateway}&VpcId={vpc}"));
    let query = format!("Action=DescribeRouteTables&Filter.1.Name=vpc-id&Filter.1.Value.1={vpc}");
    let table = client.ok(&query).text("routeTableId");
    client.ok(&format!("Action=CreateRoute&RouteTableId={table}&DestinationCidrBlock=0.0.0.0/0&GatewayId={gateway}"));
    set(client, vpc, "EnableDnsHostnames", true);
    admit(client, vpc, "0.0.0.0/0");
    let guest = guests(client, &network.subnet, 1, "").remove(0);
    let held = client.ok("Action=AllocateAddress&Domain=vpc");
    let (allocation, public) = (held.text("allocationId"), held.text("publicIp"));
    client.ok(&format!("Action=AssociateAddress&AllocationId={allocation}&InstanceId={}", guest.id));
    let name = described(client, &guest.id).text("dnsName");
    up.sh(&guest.id, &format!("setsid python3 -c '{SERVER}' </dev/null >/dev/null 2>&1 & echo"));
    Site { network, guest, public, name }
}

fn set(client: &mut Client, vpc: &str, attribute: &str, value: bool) {
    client.ok(&format!("Action=ModifyVpcAttribute&VpcId={vpc}&{attribute}.Value={value}"));
}

/// What `getent` says.
fn resolves(up: &Up, guest: &Guest, name: &str) -> Option<String> {
    let output = up.exec(&guest.id, &["getent", "ahostsv4", name]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.split_whitespace().next().map(str::to_owned).filter(|_| output.status.success())
}

/// What `curl` brings: whom the server saw.
fn seen_by(up: &Up, from: &Guest, name: &str) -> Option<String> {
    let output = up.exec(&from.id, &["curl", "-s", "-m", "5", &format!("http://{name}/")]);
    assert_ne!(output.status.code(), Some(127), "this machine has no curl to ask with: {output:?}");
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The name leads to the public address, and the server sees the asker's public one.
#[track_caller]
fn assert_outside(up: &Up, from: &Site, to: &Site, why: &str) {
    let wanted = (Some(to.public.clone()), Some(from.public.clone()));
    eventually(why, || (resolves(up, &from.guest, &to.name), seen_by(up, &from.guest, &to.name)) == wanted);
}

/// The name leads to the private address, and the server sees the asker's own.
#[track_caller]
fn assert_inside(up: &Up, from: &Site, to: &Site, why: &str) {
    let wanted = (Some(to.guest.address.clone()), Some(from.guest.address.clone()));
    eventually(why, || (resolves(up, &from.guest, &to.name), seen_by(up, &from.guest, &to.name)) == wanted);
}

fn allow(client: &mut Client, pcx: &str, side: &str, value: bool) {
    client.ok(&format!(
        "Action=ModifyVpcPeeringConnectionOptions&VpcPeeringConnectionId={pcx}\
         &{side}PeeringConnectionOptions.AllowDnsResolutionFromRemoteVpc={value}"
    ));
}

/// An active peering with routes, requested by Alice in us-east-1.
fn join(alice: &mut Client, bob: &mut Client, here: &Site, there: &Site, blocks: (&str, &str)) -> String {
    let query = format!(
        "Action=CreateVpcPeeringConnection&VpcId={}&PeerVpcId={}&PeerOwnerId={}&PeerRegion={}",
        here.network.vpc, there.network.vpc, BOB.0, bob.region
    );
    let pcx = alice.ok(&query).text("vpcPeeringConnectionId");
    let describe = format!("Action=DescribeVpcPeeringConnections&VpcPeeringConnectionId.1={pcx}");
    eventually("the request arrives", || {
        let filter = format!(
            "Action=DescribeVpcPeeringConnections&Filter.1.Name=vpc-peering-connection-id&Filter.1.Value.1={pcx}"
        );
        bob.ok(&filter).0.contains("<code>pending-acceptance</code>")
    });
    bob.ok(&format!("Action=AcceptVpcPeeringConnection&VpcPeeringConnectionId={pcx}"));
    for client in [&mut *alice, &mut *bob] {
        eventually("the peering is active", || client.ok(&describe).0.contains("<code>active</code>"));
    }
    route(alice, &here.network.vpc, blocks.1, &pcx);
    route(bob, &there.network.vpc, blocks.0, &pcx);
    pcx
}

/// Both sides' options and switches, each by itself, for a peering across regions and for one inside a region; on three hosts.
#[test]
fn a_host_name_is_public_before_the_peering_and_private_where_its_owner_allows_it() {
    let place = Place::new();
    let up = Up::start(&place, &["--hosts", "3"]);
    let (mut alice, mut bob, mut near) = (up.client(ALICE), up.client(BOB), up.client(BOB_NEAR));
    let a = site(&up, &mut alice, "10.16");
    let (b, c) = (site(&up, &mut bob, "10.17"), site(&up, &mut near, "10.18"));
    let dashed = b.public.replace('.', "-");
    assert_eq!(b.name, format!("ec2-{dashed}.eu-west-1.compute.amazonaws.com"));
    assert_eq!(c.name, format!("ec2-{}.compute-1.amazonaws.com", c.public.replace('.', "-")));
    for (from, to) in [(&a, &b), (&b, &a), (&a, &c), (&c, &a), (&b, &c)] {
        assert_outside(&up, from, to, "before any peering it leads over the cloud's internet");
    }
    assert_eq!(
        resolves(&up, &b.guest, &b.name),
        Some(b.guest.address.clone()),
        "its own VPC knows its private address"
    );

    for (other, client, block) in [(&b, &mut bob, "10.17.0.0/16"), (&c, &mut near, "10.18.0.0/16")] {
        let across = client.region;
        let pcx = join(&mut alice, client, &a, other, ("10.16.0.0/16", block));
        assert_outside(&up, &a, other, &format!("{across}: a peering alone changes no name"));
        assert_outside(&up, other, &a, &format!("{across}: nor there"));
        allow(client, &pcx, "Accepter", true);
        assert_inside(&up, &a, other, &format!("{across}: the accepter's names lead over the peering"));
        assert_outside(
            &up,
            other,
            &a,
            &format!("{across}: and the requester's do not, for that is its own side's to say"),
        );
        allow(&mut alice, &pcx, "Requester", true);
        assert_inside(&up, other, &a, &format!("{across}: now they do"));
        allow(client, &pcx, "Accepter", false);
        assert_outside(&up, &a, other, &format!("{across}: the accepter's option ends it for its own names"));
        assert_inside(&up, other, &a, &format!("{across}: and for no others"));
        allow(client, &pcx, "Accepter", true);
        assert_inside(&up, &a, other, &format!("{across}: on again"));

        // All four switches (spec 5.7.2), of either side.
        set(client, &other.network.vpc, "EnableDnsHostnames", false);
        assert_outside(&up, &a, other, &format!("{across}: without the owner's host names its option has no effect"));
        assert_outside(&up, other, &a, &format!("{across}: and who gives no names sees none of a peer's"));
        set(client, &other.network.vpc, "EnableDnsHostnames", true);
        assert_inside(&up, &a, other, &format!("{across}: the option was kept"));
        set(&mut alice, &a.network.vpc, "EnableDnsHostnames", false);
        assert_outside(&up, &a, other, &format!("{across}: the asker's switch counts as well"));
        set(&mut alice, &a.network.vpc, "EnableDnsHostnames", true);
        assert_inside(&up, &a, other, &format!("{across}: all four are on"));
        if across == BOB.1 {
            continue;
        }
        // A is the peer of both: names follow no chain.
        assert_outside(&up, &b, &c, "B is no peer of C");
        alice.ok(&format!("Action=DeleteVpcPeeringConnection&VpcPeeringConnectionId={pcx}"));
        assert_outside(&up, &a, other, "the end of the peering ends it");
        assert_outside(&up, other, &a, "on both sides");
    }
    assert_inside(&up, &a, &b, "and of no other peering");
    up.stop();
}

/// A host that carries nothing of a VPC is told of its public addresses all the same, though they are all that changed.
#[test]
fn a_name_is_known_at_once_on_hosts_where_nothing_else_changes() {
    let place = Place::new();
    let up = Up::start(&place, &["--hosts", "2"]);
    let (mut alice, mut bob) = (up.client(ALICE), up.client(BOB));
    let (a, mut b) = (site(&up, &mut alice, "10.16"), site(&up, &mut bob, "10.17"));
    assert_outside(&up, &a, &b, "the first address");
    let held = bob.ok("Action=AllocateAddress&Domain=vpc");
    bob.ok(&format!("Action=AssociateAddress&AllocationId={}&InstanceId={}", held.text("allocationId"), b.guest.id));
    let before = b.name.clone();
    (b.public, b.name) = (held.text("publicIp"), described(&mut bob, &b.guest.id).text("dnsName"));
    assert_ne!(b.name, before);
    assert_eq!(resolves(&up, &a.guest, &b.name), Some(b.public.clone()), "when the answer comes, names follow it");
    assert_outside(&up, &a, &b, "and packets");
    up.stop();
}

/// Spec 9.2: the suffixes are the operator's; what is shown is what resolves, also at the next start, which need not name them again.
#[test]
fn suffixes_are_the_operators_and_are_remembered() {
    let place = Place::new();
    let words = ["--private-suffix", "inside.example", "--public-suffix", "Outside.Example."];
    let up = Up::start(&place, &[&words[..], &["--public-suffix-us-east-1", "here.example"]].concat());
    let (mut alice, mut bob) = (up.client(ALICE), up.client(BOB));
    let (a, b) = (site(&up, &mut alice, "10.16"), site(&up, &mut bob, "10.17"));
    assert_eq!(a.name, format!("ec2-{}.here.example", a.public.replace('.', "-")));
    assert_eq!(b.name, format!("ec2-{}.eu-west-1.outside.example", b.public.replace('.', "-")));
    assert_outside(&up, &a, &b, "it leads where it says");
    assert_eq!(resolves(&up, &a.guest, &a.name), Some(a.guest.address.clone()));
    let private = described(&mut alice, &a.guest.id).text("privateDnsName");
    assert_eq!(private, format!("ip-{}.us-east-1.inside.example", a.guest.address.replace('.', "-")));
    assert_eq!(resolves(&up, &a.guest, &private), Some(a.guest.address.clone()));
    assert_eq!(
        resolves(&up, &a.guest, private.split('.').next().unwrap()),
        Some(a.guest.address.clone()),
        "by its label"
    );
    assert!(up.sh(&a.guest.id, "cat /etc/resolv.conf").contains("search us-east-1.inside.example"));
    assert_eq!(up.sh(&a.guest.id, "hostname -f"), private);
    for (path, name) in [("public-hostname", &a.name), ("local-hostname", &private)] {
        let told = up.sh(&a.guest.id, &format!("curl -s -m 5 http://169.254.169.254/latest/meta-data/{path}"));
        assert_eq!(told, *name, "{path}");
    }
    let aws = a.name.replace("here.example", "compute-1.amazonaws.com");
    assert_eq!(resolves(&up, &a.guest, &aws), None, "AWS's suffix is nobody's");
    up.stop();

    let up = Up::start(&place, &[]);
    let mut alice = up.client(ALICE);
    wait_for_state(&mut alice, &a.guest.id, "running");
    assert_eq!(described(&mut alice, &a.guest.id).text("dnsName"), a.name, "nobody named them again");
    let own = Some(a.guest.address.clone());
    eventually("it resolves", || resolves(&up, &a.guest, &a.name) == own);
    up.stop();

    let up = Up::start(&place, &["--private-suffix", "other.example"]);
    let mut alice = up.client(ALICE);
    wait_for_state(&mut alice, &a.guest.id, "running");
    let now = described(&mut alice, &a.guest.id);
    assert_eq!(now.text("dnsName"), format!("ec2-{}.compute-1.amazonaws.com", a.public.replace('.', "-")), "made anew");
    let private = private.replace("inside", "other");
    assert_eq!(now.text("privateDnsName"), private);
    eventually("it resolves", || resolves(&up, &a.guest, &private) == own);
    assert!(
        up.sh(&a.guest.id, "cat /etc/resolv.conf").contains("search us-east-1.other.example"),
        "the default set followed"
    );
    up.stop();
}
