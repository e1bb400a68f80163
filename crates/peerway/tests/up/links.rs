//! Several simulated hosts: what goes between them is sealed, for exactly as long as something permits it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::common::api::Client;
use crate::common::eventually;
use crate::common::machine::Traces;
use crate::common::running::*;

const CIPHER: &str = "AES-256-GCM";
/// What ESP in UDP leaves of 1,500 bytes.
const INNER_MTU: usize = 1438;

/// A guest with both families, and where it runs.
#[derive(Clone, Debug)]
struct Spread {
    guest: Guest,
    ipv6: String,
    vpc: String,
    host: String,
}

/// A network of both families, and so many guests in it.
pub(super) fn dual_stack(client: &mut Client, prefix: &str, count: usize) -> (Network, String, Vec<(Guest, String)>) {
    let query = format!("Action=CreateVpc&CidrBlock={prefix}.0.0/16&AmazonProvidedIpv6CidrBlock=true");
    let vpc = client.ok(&query).text("vpcId");
    let block = client.ok(&format!("Action=DescribeVpcs&VpcId.1={vpc}")).text("ipv6CidrBlock");
    let ipv6 = block.replace("/56", "/64");
    let query = format!("Action=CreateSubnet&VpcId={vpc}&CidrBlock={prefix}.1.0/24&Ipv6CidrBlock={ipv6}");
    let subnet = client.ok(&query).text("subnetId");
    let query = format!(
        "Action=RunInstances&ImageId=ami-12345678&MinCount={count}&MaxCount={count}&SubnetId={subnet}&Ipv6AddressCount=1"
    );
    let ids = client.ok(&query).texts("instanceId");
    let guest = |id: String| {
        let shown = described(client, &id);
        (Guest { address: shown.text("privateIpAddress"), id }, shown.text("ipv6Address"))
    };
    let guests: Vec<_> = ids.into_iter().map(guest).collect();
    guests.iter().for_each(|(guest, _)| wait_for_state(client, &guest.id, "running"));
    admit(client, &vpc, "0.0.0.0/0");
    let query = format!("Action=DescribeSecurityGroups&Filter.1.Name=vpc-id&Filter.1.Value.1={vpc}");
    let group = client.ok(&query).text("groupId");
    client.ok(&format!(
        "Action=AuthorizeSecurityGroupIngress&GroupId={group}&IpPermissions.1.IpProtocol=-1&IpPermissions.1.Ipv6Ranges.1.CidrIpv6=::/0"
    ));
    (Network { vpc, subnet }, block, guests)
}

fn route_ipv6(client: &mut Client, vpc: &str, block: &str, peering: &str) {
    let query = format!("Action=DescribeRouteTables&Filter.1.Name=vpc-id&Filter.1.Value.1={vpc}");
    let table = client.ok(&query).text("routeTableId");
    client.ok(&format!(
        "Action=CreateRoute&RouteTableId={table}&DestinationIpv6CidrBlock={block}&VpcPeeringConnectionId={peering}"
    ));
}

fn status(up: &Up, arguments: &[&str]) -> Value {
    let output = peerway().args(["status", "--output", "json", "--data"]).arg(&up.data).args(arguments).output();
    let output = output.expect("it starts");
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn hosts_of(up: &Up) -> BTreeMap<String, String> {
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let all = status(up, &[]);
    all.as_array().expect("a list").iter().map(|one| (text(&one["instance"]), text(&one["host"]))).collect()
}

/// One end of a link: whose, with whom, from which VPC to which, which way.
type End = (String, String, String, String, String);

/// The links of which something was sealed or opened.
fn used(up: &Up) -> BTreeSet<End> {
    let all = status(up, &["--links"]);
    let rows = all.as_array().expect("a list").iter().filter(|row| row["packets"].as_u64() > Some(0));
    rows.map(|row| {
        assert_eq!(row["is_post_quantum"], true, "{row}");
        assert!(row["cipher"].as_str().is_some_and(|cipher| cipher.contains(CIPHER)), "{row}");
        assert_eq!(row["path_mtu"], INNER_MTU, "{row}");
        let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("{value} in {row}")).to_owned();
        let domain = &row["domain"];
        (text(&row["of"]), text(&row["host"]), text(&domain["from"]), text(&domain["to"]), text(&row["direction"]))
    })
    .collect()
}

/// The ends of links that packets of these pairs, and their answers, must use.
fn expected<'a>(pairs: impl Iterator<Item = (&'a Spread, &'a Spread)>) -> BTreeSet<End> {
    let mut ends = BTreeSet::new();
    for (a, b) in pairs.filter(|(a, b)| a.host != b.host) {
        for (from, to) in [(a, b), (b, a)] {
            let end = |of: &Spread, other: &Spread, direction: &str| {
                (of.host.clone(), other.host.clone(), from.vpc.clone(), to.vpc.clone(), direction.to_owned())
            };
            ends.extend([end(from, to, "Sending"), end(to, from, "Receiving")]);
        }
    }
    ends
}

/// ICMP, and TCP to a port where nobody listens, which is answered too.
const BOTH: &str = "for a in \"$@\"; do ping -c1 -W2 \"$a\" >/dev/null || { echo \"no ping to $a\"; exit 1; }
bash -c 'exec 3<>/dev/tcp/$0/9' \"$a\" 2>&1 | grep -q refused || { echo \"no TCP to $a\"; exit 1; }; done";

fn reaches_all(up: &Up, from: &Spread, all: &[Spread]) -> Result<(), String> {
    let others = all.iter().filter(|to| to.guest.id != from.guest.id);
    let addresses: Vec<&str> = others.flat_map(|to| [to.guest.address.as_str(), to.ipv6.as_str()]).collect();
    let output = up.exec(&from.guest.id, &[&["sh", "-c", BOTH, "probe"], &addresses[..]].concat());
    if output.status.success() { Ok(()) } else { Err(format!("{from:?}: {output:?}")) }
}

#[test]
fn three_hosts_carry_two_peered_networks_and_stop_when_the_peering_goes() {
    let place = Place::new();
    let up = Up::start(&place, &["--hosts", "3", "--underlay-mtu", "1500"]);
    let (mut alice, mut bob) = (up.client(ALICE), up.client(BOB));
    let (a, block_a, guests_a) = dual_stack(&mut alice, "10.16", 3);
    let (b, block_b, guests_b) = dual_stack(&mut bob, "10.17", 3);
    let pcx = peer(&mut alice, &mut bob, &a.vpc, &b.vpc);
    route(&mut alice, &a.vpc, "10.17.0.0/16", &pcx);
    route(&mut bob, &b.vpc, "10.16.0.0/16", &pcx);
    route_ipv6(&mut alice, &a.vpc, &block_b, &pcx);
    route_ipv6(&mut bob, &b.vpc, &block_a, &pcx);
    let hosts = hosts_of(&up);
    let spread = |vpc: &str, guests: Vec<(Guest, String)>| {
        let place = |(guest, ipv6): (Guest, String)| Spread {
            host: hosts[&guest.id].clone(),
            vpc: vpc.to_owned(),
            ipv6,
            guest,
        };
        guests.into_iter().map(place).collect::<Vec<_>>()
    };
    let all = [spread(&a.vpc, guests_a), spread(&b.vpc, guests_b)].concat();
    let used_hosts: BTreeSet<&String> = all.iter().map(|one| &one.host).collect();
    assert_eq!(used_hosts.len(), 3, "{all:?}");

    // One pair first: no link but its own is used.
    let far = all.iter().find(|to| to.vpc == b.vpc && to.host != all[0].host).expect("somebody elsewhere");
    up.wait_until_reached(&all[0].guest.id, &far.guest.address);
    assert_eq!(used(&up), expected([(&all[0], far)].into_iter()));
    for from in &all {
        eventually("all pairs reach each other", || reaches_all(&up, from, &all).is_ok());
    }
    let pairs = || all.iter().flat_map(|a| all.iter().map(move |b| (a, b)));
    assert_eq!(used(&up), expected(pairs()));

    // An open flow ends with the peering, and its keys at both ends.
    let ping = ["ping", "-D", "-i", "0.1", "-w", "6", &far.guest.address];
    let mut command = up.exec_command(&all[0].guest.id, &ping);
    let open = command.stdout(std::process::Stdio::piped()).spawn().expect("it starts");
    std::thread::sleep(Duration::from_secs(2));
    bob.ok(&format!("Action=DeleteVpcPeeringConnection&VpcPeeringConnectionId={pcx}"));
    let deleted = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a clock").as_secs_f64();
    std::thread::sleep(Duration::from_secs(1));
    let rows = status(&up, &["--links"]);
    let of_peering: Vec<&Value> =
        rows.as_array().expect("a list").iter().filter(|row| row["domain"]["from"] != row["domain"]["to"]).collect();
    assert_eq!(of_peering, Vec::<&Value>::new());
    let output = open.wait_with_output().expect("it ends");
    let text = String::from_utf8_lossy(&output.stdout);
    let stamp = |line: &str| line.strip_prefix('[')?.split_once(']')?.0.parse::<f64>().ok();
    let answers: Vec<f64> =
        text.lines().filter(|line| line.contains("icmp_seq=") && line.contains("time=")).filter_map(stamp).collect();
    assert!(answers.len() > 10 && answers.iter().all(|at| *at < deleted + 1.0), "deleted at {deleted}:\n{text}");
    for (from, to) in pairs().filter(|(a, b)| a.vpc == b.vpc && a.guest.id != b.guest.id).take(4) {
        assert!(up.reaches(&from.guest.id, &to.ipv6), "the rest goes on");
    }
    let ids: Vec<String> = all.iter().map(|one| one.guest.id.clone()).collect();
    let traces = Traces::of(up.pid(), &ids);
    up.stop();
    assert_eq!(traces.left(), Vec::<String>::new());
}

/// The guests' device, and a router that says what does not fit.
#[test]
fn a_guest_may_send_what_sealing_leaves() {
    let place = Place::new();
    let up = Up::start(&place, &["--hosts", "2", "--underlay-mtu", "1500"]);
    let mut alice = up.client(ALICE);
    let network = network(&mut alice, "10.16");
    let guests = guests(&mut alice, &network.subnet, 4, "");
    let hosts = hosts_of(&up);
    let from = &guests[0];
    let to = guests.iter().find(|to| hosts[&to.id] != hosts[&from.id]).expect("somebody elsewhere");
    up.wait_until_reached(&from.id, &to.address);
    assert_eq!(up.sh(&from.id, "cat /sys/class/net/eth0/mtu"), INNER_MTU.to_string());
    // A guest that believes in more is told.
    up.sh(&from.id, "ip link set dev eth0 mtu 1500");
    let ping = |size: usize| {
        let payload = (size - 28).to_string();
        let output = up.exec(&from.id, &["ping", "-c1", "-W2", "-M", "do", "-s", &payload, &to.address]);
        (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    };
    let (passes, text) = ping(INNER_MTU);
    assert!(passes, "{text}");
    let (passes, text) = ping(INNER_MTU + 1);
    assert!(!passes && text.contains("Frag needed") && text.contains(&INNER_MTU.to_string()), "{text}");
    let shown = status(&up, &[]).to_string();
    assert!(shown.contains("D16"), "{shown}");
    up.stop();

    let place = Place::new();
    let up = Up::start(&place, &["--hosts", "2", "--underlay-mtu", "9500"]);
    let mut alice = up.client(ALICE);
    let network = crate::common::running::network(&mut alice, "10.16");
    let guest = crate::common::running::guests(&mut alice, &network.subnet, 1, "").remove(0);
    eventually("the device is there", || up.exec(&guest.id, &["ip", "link", "show", "eth0"]).status.success());
    assert_eq!(up.sh(&guest.id, "cat /sys/class/net/eth0/mtu"), "9001");
    up.stop();
}

#[test]
fn two_clouds_of_several_hosts_and_a_crash() {
    let places = [Place::new(), Place::new()];
    let mut ups = places.each_ref().map(|place| Up::start(place, &["--hosts", "2"]));
    let guests = ups.each_ref().map(|up| {
        let mut alice = up.client(ALICE);
        let network = network(&mut alice, "10.16");
        let guests = guests(&mut alice, &network.subnet, 2, "");
        let hosts = hosts_of(up);
        assert_ne!(hosts[&guests[0].id], hosts[&guests[1].id], "they are spread");
        guests
    });
    let pass = |up: &Up, guests: &[Guest]| {
        up.wait_until_reached(&guests[0].id, &guests[1].address);
        up.wait_until_reached(&guests[1].id, &guests[0].address);
        assert_eq!(used(up).len(), 4, "two ends of two links");
    };
    ups.iter().zip(&guests).for_each(|(up, guests)| pass(up, guests));

    // The first crashes; nobody calls anything, and the second does not notice.
    let first = std::mem::replace(&mut ups[0], Up::start(&Place::new(), &["--no-packets"]));
    let ids: Vec<String> = guests[0].iter().map(|guest| guest.id.clone()).collect();
    let traces = Traces::of(first.pid(), &ids);
    first.kill();
    assert!(ups[1].reaches(&guests[1][0].id, &guests[1][1].address));
    let again = Up::start(&places[0], &["--hosts", "2"]);
    pass(&again, &guests[0]);
    assert_eq!(traces.left_processes(), Vec::<String>::new());
    let traces = Traces::of(again.pid(), &ids);
    again.stop();
    assert_eq!(traces.left(), Vec::<String>::new());
    pass(&ups[1], &guests[1]);
    ups.into_iter().for_each(Up::stop);
}
