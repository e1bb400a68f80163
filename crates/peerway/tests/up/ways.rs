//! Ways that packets take: through a middlebox, to one of two peers with the same addresses, and where prefix lists and
//! memberships say, from one moment to the next.

use crate::common::api::Client;
use crate::common::eventually;
use crate::common::running::*;

/// One of the counters of IPv4 that a guest's kernel keeps, by its name in `/proc/net/snmp`.
fn counter(up: &Up, guest: &Guest, name: &str) -> u64 {
    let text = up.sh(&guest.id, "cat /proc/net/snmp");
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("Ip: "));
    let (names, values) = (lines.next().expect("names"), lines.next().expect("values"));
    let at = names.split(' ').position(|found| found == name).expect("a counter of that name");
    values.split(' ').nth(at).and_then(|value| value.parse().ok()).expect("a number")
}

/// How much a counter of a guest grows while something happens.
fn growth(up: &Up, guest: &Guest, name: &str, happens: impl FnOnce()) -> u64 {
    let before = counter(up, guest, name);
    happens();
    counter(up, guest, name) - before
}

fn wait_until_lost(up: &Up, from: &Guest, to: &Guest) {
    eventually(&format!("{} reaches {} no more", from.id, to.address), || !up.reaches(&from.id, &to.address));
}

fn interface_of(client: &mut Client, guest: &Guest) -> String {
    described(client, &guest.id).text("networkInterfaceId")
}

/// A subnet of the VPC with a route table of its own, and one guest in it.
fn room(client: &mut Client, vpc: &str, block: &str) -> (String, Guest) {
    let subnet = client.ok(&format!("Action=CreateSubnet&VpcId={vpc}&CidrBlock={block}")).text("subnetId");
    let table = client.ok(&format!("Action=CreateRouteTable&VpcId={vpc}")).text("routeTableId");
    client.ok(&format!("Action=AssociateRouteTable&RouteTableId={table}&SubnetId={subnet}"));
    (table, guests(client, &subnet, 1, "").remove(0))
}

fn guest_at(client: &mut Client, subnet: &str, address: &str) -> Guest {
    let query = format!(
        "Action=RunInstances&ImageId=ami-12345678&MinCount=1&MaxCount=1&SubnetId={subnet}&PrivateIpAddress={address}"
    );
    let guest = Guest { id: client.ok(&query).text("instanceId"), address: address.into() };
    wait_for_state(client, &guest.id, "running");
    guest
}

fn new_group(client: &mut Client, vpc: &str, name: &str) -> String {
    let query = format!("Action=CreateSecurityGroup&VpcId={vpc}&GroupName={name}&GroupDescription=d");
    client.ok(&query).text("groupId")
}

/// Any protocol, from whatever the last part says.
fn rule(action: &str, group: &str, peer: &str) -> String {
    format!("Action={action}SecurityGroupIngress&GroupId={group}&IpPermissions.1.IpProtocol=-1&IpPermissions.1.{peer}")
}

fn wear(client: &mut Client, guest: &Guest, group: &str) {
    let interface = interface_of(client, guest);
    client.ok(&format!(
        "Action=ModifyNetworkInterfaceAttribute&NetworkInterfaceId={interface}&SecurityGroupId.1={group}"
    ));
}

/// Spec 4.3.2, 8.4, 6.5.5: routes for whole subnets lead to an instance that forwards; who sent is lost on the way.
#[test]
fn a_middlebox_forwards_and_group_references_end_there() {
    let place = Place::new();
    let up = Up::start(&place, &[]);
    let mut alice = up.client(ALICE);
    let vpc = alice.ok("Action=CreateVpc&CidrBlock=10.16.0.0/16").text("vpcId");
    let (to_right, x) = room(&mut alice, &vpc, "10.16.1.0/24");
    let (to_left, y) = room(&mut alice, &vpc, "10.16.2.0/24");
    let (_, middle) = room(&mut alice, &vpc, "10.16.3.0/24");
    // X and Y are of one group that admits its own members; the middlebox admits the VPC.
    let (inner, outer) = (new_group(&mut alice, &vpc, "inner"), new_group(&mut alice, &vpc, "outer"));
    alice.ok(&rule("Authorize", &inner, &format!("Groups.1.GroupId={inner}")));
    alice.ok(&rule("Authorize", &outer, "IpRanges.1.CidrIp=10.16.0.0/16"));
    for (guest, group) in [(&x, &inner), (&y, &inner), (&middle, &outer)] {
        wear(&mut alice, guest, group);
    }
    up.wait_until_reached(&x.id, &y.address);
    up.sh(
        &middle.id,
        "echo 1 > /proc/sys/net/ipv4/ip_forward; for name in all eth0; do echo 0 > /proc/sys/net/ipv4/conf/$name/rp_filter; done",
    );

    let via = interface_of(&mut alice, &middle);
    for (table, block) in [(&to_right, "10.16.2.0/24"), (&to_left, "10.16.1.0/24")] {
        alice.ok(&format!(
            "Action=CreateRoute&RouteTableId={table}&DestinationCidrBlock={block}&NetworkInterfaceId={via}"
        ));
    }
    // The middlebox checks its destinations, as every interface does.
    wait_until_lost(&up, &x, &y);
    assert_eq!(growth(&up, &middle, "InReceives", || assert!(!up.reaches(&x.id, &y.address))), 0);
    alice.ok(&format!("Action=ModifyNetworkInterfaceAttribute&NetworkInterfaceId={via}&SourceDestCheck.Value=false"));
    // It forwards, and Y does not know who sent, though the address is its fellow member's.
    eventually("the middlebox forwards", || {
        growth(&up, &middle, "ForwDatagrams", || assert!(!up.reaches(&x.id, &y.address))) > 0
    });
    assert!(!up.reaches(&x.id, &y.address));
    // A block admits what a reference does not, there and back through the middlebox.
    let by_block = rule("Authorize", &inner, "IpRanges.1.CidrIp=10.16.1.0/24");
    alice.ok(&by_block);
    up.wait_until_reached(&x.id, &y.address);
    let there_and_back = growth(&up, &middle, "ForwDatagrams", || assert!(up.reaches(&x.id, &y.address)));
    assert!(there_and_back >= 2, "{there_and_back}");
    // A middlebox that stops forwarding is in the way still.
    up.sh(&middle.id, "echo 0 > /proc/sys/net/ipv4/ip_forward");
    assert!(!up.reaches(&x.id, &y.address));
    // Without the routes the reference holds as before.
    alice.ok(&by_block.replace("Authorize", "Revoke"));
    for (table, block) in [(&to_right, "10.16.2.0/24"), (&to_left, "10.16.1.0/24")] {
        alice.ok(&format!("Action=DeleteRoute&RouteTableId={table}&DestinationCidrBlock={block}"));
    }
    up.wait_until_reached(&x.id, &y.address);
    up.stop();
}

/// An active peering of two of the client's own VPCs.
fn own_peering(client: &mut Client, a: &str, b: &str) -> String {
    let query = format!("Action=CreateVpcPeeringConnection&VpcId={a}&PeerVpcId={b}");
    let pcx = client.ok(&query).text("vpcPeeringConnectionId");
    let describe = format!("Action=DescribeVpcPeeringConnections&VpcPeeringConnectionId.1={pcx}");
    eventually("the request waits", || client.ok(&describe).0.contains("<code>pending-acceptance</code>"));
    client.ok(&format!("Action=AcceptVpcPeeringConnection&VpcPeeringConnectionId={pcx}"));
    eventually("the peering is active", || client.ok(&describe).0.contains("<code>active</code>"));
    pcx
}

/// Spec 5.9, appendix B.11: A's own table tells two peers with the same addresses apart, and answers follow it too, not the
/// peering that the question came over.
#[test]
fn two_peers_with_the_same_addresses() {
    let place = Place::new();
    let up = Up::start(&place, &[]);
    let mut alice = up.client(ALICE);
    let (a, b, c) = (network(&mut alice, "10.16"), network(&mut alice, "10.17"), network(&mut alice, "10.17"));
    let x = guests(&mut alice, &a.subnet, 1, "").remove(0);
    let [y, z] = [&b, &c].map(|net| guest_at(&mut alice, &net.subnet, "10.17.1.10"));
    let [to_b, to_c] = [&b, &c].map(|net| own_peering(&mut alice, &a.vpc, &net.vpc));
    admit(&mut alice, &a.vpc, "10.17.0.0/16");
    for (net, pcx) in [(&b, &to_b), (&c, &to_c)] {
        admit(&mut alice, &net.vpc, "10.16.0.0/16");
        route(&mut alice, &net.vpc, "10.16.0.0/16", pcx);
    }
    let host = format!("{}/32", y.address);
    route(&mut alice, &a.vpc, "10.17.0.0/16", &to_c);
    route(&mut alice, &a.vpc, &host, &to_b);
    up.wait_until_reached(&x.id, &y.address);

    let got = |guest: &Guest, happens: &dyn Fn()| growth(&up, guest, "InDelivers", happens);
    let asks = || assert!(up.reaches(&x.id, &y.address));
    assert_eq!(got(&z, &asks), 0, "the longer route leads to B alone");
    assert!(got(&y, &asks) > 0);
    // C's question arrives; its answer goes to B.
    let unanswered = || assert!(!up.reaches(&z.id, &x.address));
    assert!(got(&x, &unanswered) > 0);
    assert!(got(&y, &unanswered) > 0);
    assert!(up.reaches(&y.id, &x.address));
    // Another target for the longer one, and it is the other way about.
    let query = format!("Action=DescribeRouteTables&Filter.1.Name=vpc-id&Filter.1.Value.1={}", a.vpc);
    let table = alice.ok(&query).text("routeTableId");
    alice.ok(&format!(
        "Action=ReplaceRoute&RouteTableId={table}&DestinationCidrBlock={host}&VpcPeeringConnectionId={to_c}"
    ));
    eventually("B's questions are answered no more", || !up.reaches(&y.id, &x.address));
    up.wait_until_reached(&x.id, &z.address);
    assert_eq!(got(&y, &asks), 0);
    assert!(up.reaches(&z.id, &x.address));
    up.stop();
}

fn list(client: &mut Client, name: &str) -> String {
    let query = format!("Action=CreateManagedPrefixList&PrefixListName={name}&AddressFamily=IPv4&MaxEntries=5");
    client.ok(&query).text("prefixListId")
}

fn change(client: &mut Client, list: &str, what: &str) {
    client.ok(&format!("Action=ModifyManagedPrefixList&PrefixListId={list}&{what}"));
}

/// Spec 4.8, 6.5.6: what a list holds and who bears a group decides about the next packet.
#[test]
fn lists_and_memberships_hold_from_one_packet_to_the_next() {
    let place = Place::new();
    let up = Up::start(&place, &[]);
    let mut alice = up.client(ALICE);
    let (a, b) = (network(&mut alice, "10.16"), network(&mut alice, "10.17"));
    let x = guests(&mut alice, &a.subnet, 1, "").remove(0);
    let y = guests(&mut alice, &b.subnet, 1, "").remove(0);
    let pcx = own_peering(&mut alice, &a.vpc, &b.vpc);
    route(&mut alice, &b.vpc, "10.16.0.0/16", &pcx);
    let (blocks, clients) = (list(&mut alice, "blocks"), list(&mut alice, "clients"));
    let web = new_group(&mut alice, &b.vpc, "web");
    wear(&mut alice, &y, &web);

    // The way there is a list of the route's, the admission one of the rule's.
    let query = format!("Action=DescribeRouteTables&Filter.1.Name=vpc-id&Filter.1.Value.1={}", a.vpc);
    let table = alice.ok(&query).text("routeTableId");
    let to_list = format!("RouteTableId={table}&DestinationPrefixListId={blocks}");
    alice.ok(&format!("Action=CreateRoute&{to_list}&VpcPeeringConnectionId={pcx}"));
    let by_list = rule("Authorize", &web, &format!("PrefixListIds.1.PrefixListId={clients}"));
    alice.ok(&by_list);
    assert!(!up.reaches(&x.id, &y.address), "both lists are empty");
    change(&mut alice, &blocks, "AddEntry.1.Cidr=10.17.0.0/16");
    assert_eq!(growth(&up, &y, "InDelivers", || assert!(!up.reaches(&x.id, &y.address))), 0);
    change(&mut alice, &clients, &format!("AddEntry.1.Cidr={}/32", x.address));
    up.wait_until_reached(&x.id, &y.address);
    change(&mut alice, &blocks, "RemoveEntry.1.Cidr=10.17.0.0/16");
    wait_until_lost(&up, &x, &y);
    alice.ok(&format!(
        "Action=RestoreManagedPrefixListVersion&PrefixListId={blocks}&PreviousVersion=2&CurrentVersion=3"
    ));
    up.wait_until_reached(&x.id, &y.address);
    change(&mut alice, &clients, &format!("RemoveEntry.1.Cidr={}/32", x.address));
    wait_until_lost(&up, &x, &y);

    // A group of the peer's, and who is in it.
    let members = new_group(&mut alice, &a.vpc, "members");
    alice.ok(&rule("Authorize", &web, &format!("Groups.1.GroupId={members}")));
    assert!(!up.reaches(&x.id, &y.address), "X is no member yet");
    wear(&mut alice, &x, &members);
    up.wait_until_reached(&x.id, &y.address);
    let other = new_group(&mut alice, &a.vpc, "other");
    wear(&mut alice, &x, &other);
    wait_until_lost(&up, &x, &y);
    up.stop();
}
