//! Every reason for which a packet can be refused (spec 11.5), each with a real packet: put into a guest's device, judged by the running
//! agent, counted at the interface where it was decided, shown by `peerway status --drops` and by the metrics.
//!
//! Not here: D10, D11 and D18, to which nothing that the API allows leads (dataplane/tests/it/forward.rs, `each_side_believes_only_its_own_view`,
//! doctors a slice), and D24 to D31 and D38, which belong to what does not exist yet.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::frames::{self, DONT_FRAGMENT, IPV4, MORE_FRAGMENTS, Mac, Wire, ethernet, ipv4, udp};
use crate::common::api::Client;
use crate::common::eventually;
use crate::common::running::*;

/// How long a packet may take to be counted: one that waits for keys takes three seconds.
const PATIENCE: Duration = Duration::from_secs(20);

/// A guest as its packets have it.
struct Actor {
    id: String,
    eni: String,
    address: Ipv4Addr,
    mac: Mac,
    host: String,
    netns: OwnedFd,
}

/// What the test has at hand. `x` sends; `near` and `far` are in the peer, on its host and on the other one; `other` is its neighbour.
struct Scene {
    up: Up,
    alice: Client,
    x: Actor,
    other: Actor,
    near: Actor,
    far: Actor,
    a: Network,
    c: Network,
    pcx: String,
    router: Mac,
    wire: Wire,
    metrics: SocketAddr,
    /// Source ports: a flow that was tracked is asked about no more.
    next_port: Cell<u16>,
}

/// Packets by interface (`-`: nobody's) and reason.
type Counts = BTreeMap<(String, String), u64>;

fn rows(up: &Up, arguments: &[&str]) -> Vec<Value> {
    let output = peerway().args(["status", "--output", "json", "--data"]).arg(&up.data).args(arguments).output();
    let output = output.expect("it starts");
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).expect("a list")
}

fn counts(up: &Up) -> Counts {
    let mut counts = Counts::new();
    for row in rows(up, &["--drops"]) {
        let text = |name: &str| row[name].as_str().unwrap_or("-").to_owned();
        assert!(row["text"].as_str().is_some_and(|text| text.len() > 5), "{row}");
        assert!(row["look"].as_str().is_some_and(|look| look.len() > 5), "{row}");
        *counts.entry((text("interface"), text("reason"))).or_default() += row["packets"].as_u64().expect("a number");
    }
    counts
}

/// An account's peering between two of its own VPCs, active.
fn peer_own(alice: &mut Client, a: &str, b: &str) -> String {
    let query = format!("Action=CreateVpcPeeringConnection&VpcId={a}&PeerVpcId={b}");
    let pcx = alice.ok(&query).text("vpcPeeringConnectionId");
    alice.ok(&format!("Action=AcceptVpcPeeringConnection&VpcPeeringConnectionId={pcx}"));
    pcx
}

fn first(client: &mut Client, action: &str, vpc: &str, element: &str) -> String {
    client.ok(&format!("Action={action}&Filter.1.Name=vpc-id&Filter.1.Value.1={vpc}")).text(element)
}

impl Scene {
    fn set(place: &Place) -> Scene {
        let port = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its address");
        let up = Up::start(place, &["--hosts", "2", "--underlay-mtu", "1500", "--metrics", &port.to_string()]);
        let mut alice = up.client(ALICE);
        let (a, c) = (network(&mut alice, "10.16"), network(&mut alice, "10.17"));
        let pcx = peer_own(&mut alice, &a.vpc, &c.vpc);
        route(&mut alice, &a.vpc, "10.17.0.0/16", &pcx);
        route(&mut alice, &c.vpc, "10.16.0.0/16", &pcx);
        let in_a = guests(&mut alice, &a.subnet, 2, "");
        let in_c = guests(&mut alice, &c.subnet, 2, "");
        let statuses = rows(&up, &[]);
        let mut actor = |guest: &Guest| {
            let status = statuses.iter().find(|row| row["instance"] == *guest.id).expect("it runs");
            let pid = status["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok()).expect("a pid");
            let shown = described(&mut alice, &guest.id);
            Actor {
                id: guest.id.clone(),
                eni: shown.text("networkInterfaceId"),
                address: guest.address.parse().expect("an address"),
                mac: mac(&shown.text("macAddress")),
                host: status["host"].as_str().expect("a host").to_owned(),
                netns: linux::namespace::of_process(pid).expect("its network"),
            }
        };
        let [x, other] = [actor(&in_a[0]), actor(&in_a[1])];
        let [first, second] = [actor(&in_c[0]), actor(&in_c[1])];
        let (near, far) = if first.host == x.host { (first, second) } else { (second, first) };
        assert!(near.host == x.host && far.host != x.host && other.host != x.host, "they are spread");
        eventually("its device is up", || up.exec(&x.id, &["ip", "link", "show", "eth0", "up"]).stdout.len() > 10);
        let shown =
            up.exec(&x.id, &["sh", "-c", "ping -c1 -W1 10.16.1.1 >/dev/null; ip -4 neigh show 10.16.1.1"]).stdout;
        let shown = String::from_utf8_lossy(&shown).into_owned();
        let router = shown.split_whitespace().skip_while(|word| *word != "lladdr").nth(1);
        let router = mac(router.unwrap_or_else(|| panic!("no router in `{shown}`")));
        let wire = Wire::open(&x.netns, "eth0");
        Scene { up, alice, x, other, near, far, a, c, pcx, router, wire, metrics: port, next_port: Cell::new(40_000) }
    }

    /// From `x` to an address, by its router.
    fn packet(&self, dst: Ipv4Addr, dst_port: u16) -> Vec<u8> {
        self.packet_of(self.x.address, dst, dst_port)
    }

    fn packet_of(&self, src: Ipv4Addr, dst: Ipv4Addr, dst_port: u16) -> Vec<u8> {
        let src_port = self.next_port.replace(self.next_port.get() + 1);
        self.frame(IPV4, &ipv4(src, dst, 1, DONT_FRAGMENT, &udp(src_port, dst_port, b"hello")))
    }

    fn frame(&self, kind: u16, payload: &[u8]) -> Vec<u8> {
        ethernet(self.router, self.x.mac, kind, payload)
    }

    /// Sends the frames; exactly `expected` packets are refused for this reason at this interface, and nothing else is refused anywhere.
    /// What guests' kernels say by themselves is D04.
    #[track_caller]
    fn shows(&self, reason: &str, eni: &str, frames: &[Vec<u8>], expected: u64) {
        let before = counts(&self.up);
        for frame in frames {
            assert!(self.wire.send(frame), "the device is full");
        }
        let key = (eni.to_owned(), reason.to_owned());
        let at = |counts: &Counts, key: &(String, String)| counts.get(key).copied().unwrap_or_default();
        let mut after = before.clone();
        let deadline = Instant::now() + PATIENCE;
        while at(&after, &key) < at(&before, &key) + expected {
            assert!(Instant::now() < deadline, "no {expected} {reason} at {eni}: {before:?}, then {after:?}");
            std::thread::sleep(Duration::from_millis(20));
            after = counts(&self.up);
        }
        let is_chatter = |key: &(String, String)| key.1 == "D04";
        let others = after.iter().filter(|(other, _)| **other != key && !is_chatter(other));
        let more: Vec<_> = others.filter(|(other, count)| **count > at(&before, other)).collect();
        assert!(more.is_empty(), "besides {reason} at {eni}: {more:?}");
        if !is_chatter(&key) {
            assert_eq!(at(&after, &key) - at(&before, &key), expected, "{reason} at {eni}");
        }
    }

    fn ok(&mut self, query: &str) -> crate::common::api::Answer {
        self.alice.ok(query)
    }

    /// What only the frame itself is wrong with.
    fn the_frame(&mut self) {
        let (x, near, other) = (&self.x, self.near.address, &self.other);
        let good = self.packet(near, 7);
        let mut foreign_mac = good.clone();
        foreign_mac[11] ^= 1;
        self.shows("D01", &x.eni, &[foreign_mac], 1);
        self.shows("D03", &x.eni, &[self.packet_of("10.16.1.99".parse().unwrap(), near, 7)], 1);
        self.shows("D04", &x.eni, &[self.packet(Ipv4Addr::new(224, 0, 0, 251), 5353)], 1);
        let mut lies = good.clone();
        lies[17] += 9;
        self.shows("D32", &x.eni, &[lies, good[..30].to_vec()], 2);
        let mut tagged = good.clone();
        tagged.splice(12..12, [0x81, 0, 0, 5]);
        self.shows("D33", &x.eni, &[tagged, self.frame(0x88cc, &[0; 50]), self.frame(38, &[0; 50])], 3);
        let offer = ipv4(x.address, other.address, 1, 0, &udp(67, 68, b"offer"));
        let claim = frames::arp(x.mac, x.address, x.address);
        self.shows("D35", &x.eni, &[ethernet(other.mac, x.mac, IPV4, &offer), claim], 2);
        // The guest believes in more than what sealing leaves, and is told.
        self.up.sh(&x.id, "ip link set dev eth0 mtu 1500");
        let large = self.frame(IPV4, &ipv4(x.address, self.far.address, 1, DONT_FRAGMENT, &udp(40_000, 9, &[7; 1472])));
        self.shows("D16", &x.eni, &[large], 1);
    }

    /// Where no route and no owner is; nothing leads to the machine either.
    fn the_way(&mut self) {
        let eni = self.x.eni.clone();
        self.shows("D08", &eni, &[self.packet("192.0.2.1".parse().unwrap(), 7)], 1);
        self.shows("D14", &eni, &[self.packet("10.17.1.200".parse().unwrap(), 7)], 1);
        // The underlay, where the agents listen; the API's port at the guest's own loopback.
        let underlay = |host: u8| self.packet(Ipv4Addr::new(198, 18, 0, host), 4500);
        self.shows("D08", &eni, &[underlay(1), underlay(2)], 2);
        let api = format!("exec 3<>/dev/tcp/127.0.0.1/{}", self.up.address.port());
        let output = self.up.exec(&self.x.id, &["bash", "-c", &api]);
        assert!(String::from_utf8_lossy(&output.stderr).contains("refused"), "{output:?}");

        let (a, pcx) = (self.a.vpc.clone(), self.pcx.clone());
        route(&mut self.alice, &a, "10.19.0.0/16", &pcx);
        self.shows("D12", &eni, &[self.packet("10.19.0.1".parse().unwrap(), 7)], 1);
        let gone = network(&mut self.alice, "10.18");
        let ended = peer_own(&mut self.alice, &a, &gone.vpc);
        route(&mut self.alice, &a, "10.18.0.0/16", &ended);
        self.ok(&format!("Action=DeleteVpcPeeringConnection&VpcPeeringConnectionId={ended}"));
        self.shows("D09", &eni, &[self.packet("10.18.1.10".parse().unwrap(), 7)], 1);
        let table = first(&mut self.alice, "DescribeRouteTables", &a, "routeTableId");
        let gateway = self.ok("Action=CreateInternetGateway").text("internetGatewayId");
        self.ok(&format!("Action=AttachInternetGateway&InternetGatewayId={gateway}&VpcId={a}"));
        self.ok(&format!("Action=CreateRoute&RouteTableId={table}&DestinationCidrBlock=0.0.0.0/0&GatewayId={gateway}"));
        self.the_gateway();

        let check = format!("Action=ModifyNetworkInterfaceAttribute&NetworkInterfaceId={eni}&SourceDestCheck.Value=");
        self.ok(&format!("{check}false"));
        self.shows("D13", &eni, &[self.packet_of("192.0.2.7".parse().unwrap(), self.near.address, 7)], 1);
        self.ok(&format!("{check}true"));
        let other = self.other.eni.clone();
        self.ok(&format!(
            "Action=CreateRoute&RouteTableId={table}&DestinationCidrBlock=198.51.100.0/24&NetworkInterfaceId={other}"
        ));
        self.shows("D21", &other, &[self.packet("198.51.100.1".parse().unwrap(), 7)], 1);
    }

    /// What an Internet gateway refuses: who has no public address, private destinations, public ones that stand for nobody.
    fn the_gateway(&mut self) {
        let (eni, x) = (self.x.eni.clone(), self.x.id.clone());
        let held = self.ok("Action=AllocateAddress&Domain=vpc").text("publicIp");
        self.shows("D28", &eni, &[self.packet(held.parse().unwrap(), 7)], 1);
        let own = self.ok("Action=AllocateAddress&Domain=vpc").text("allocationId");
        let mapped =
            self.ok(&format!("Action=AssociateAddress&AllocationId={own}&InstanceId={x}")).text("associationId");
        self.shows("D29", &eni, &[self.packet("10.77.0.1".parse().unwrap(), 7)], 1);
        self.shows("D29", &eni, &[self.packet("100.100.0.1".parse().unwrap(), 7)], 1);
        self.shows("D30", &eni, &[self.packet(held.parse().unwrap(), 7)], 1);
        // No address of this cloud: the underlay's own are as far away as any.
        self.shows("D14", &eni, &[self.packet("198.18.0.2".parse().unwrap(), 4500)], 1);
        self.ok(&format!("Action=DisassociateAddress&AssociationId={mapped}"));
        self.shows("D28", &eni, &[self.packet(held.parse().unwrap(), 7)], 1);
    }

    /// Groups and ACLs of both ends.
    fn the_filters(&mut self) {
        let (eni, near) = (self.x.eni.clone(), self.near.eni.clone());
        self.shows("D22", &near, &[self.packet(self.near.address, 9)], 1);
        // The rule names a group that is deleted by then.
        let (a, c) = (self.a.vpc.clone(), self.c.vpc.clone());
        let query = format!("Action=CreateSecurityGroup&GroupName=gone&GroupDescription=gone&VpcId={a}");
        let gone = self.ok(&query).text("groupId");
        let group_c = first(&mut self.alice, "DescribeSecurityGroups", &c, "groupId");
        let ingress = format!("Action=AuthorizeSecurityGroupIngress&GroupId={group_c}&IpPermissions.1.IpProtocol=udp");
        self.ok(&format!(
            "{ingress}&IpPermissions.1.FromPort=7777&IpPermissions.1.ToPort=7777&IpPermissions.1.Groups.1.GroupId={gone}"
        ));
        self.ok(&format!("Action=DeleteSecurityGroup&GroupId={gone}"));
        self.shows("D23", &near, &[self.packet(self.near.address, 7777)], 1);
        self.ok(&format!(
            "{ingress}&IpPermissions.1.FromPort=9&IpPermissions.1.ToPort=9&IpPermissions.1.IpRanges.1.CidrIp=10.16.0.0/16"
        ));

        let group_a = first(&mut self.alice, "DescribeSecurityGroups", &a, "groupId");
        let all =
            format!("GroupId={group_a}&IpPermissions.1.IpProtocol=-1&IpPermissions.1.IpRanges.1.CidrIp=0.0.0.0/0");
        self.ok(&format!("Action=RevokeSecurityGroupEgress&{all}"));
        self.shows("D05", &eni, &[self.packet(self.near.address, 9)], 1);
        self.ok(&format!("Action=AuthorizeSecurityGroupEgress&{all}"));
        for (vpc, egress, block, reason, at) in
            [(&a, true, "10.17.0.0/16", "D07", &eni), (&c, false, "10.16.0.0/16", "D19", &near)]
        {
            let acl = first(&mut self.alice, "DescribeNetworkAcls", vpc, "networkAclId");
            let entry = format!("NetworkAclId={acl}&RuleNumber=1&Egress={egress}");
            self.ok(&format!("Action=CreateNetworkAclEntry&{entry}&Protocol=-1&RuleAction=deny&CidrBlock={block}"));
            self.shows(reason, at, &[self.packet(self.near.address, 9)], 1);
            self.ok(&format!("Action=DeleteNetworkAclEntry&{entry}"));
        }
    }

    /// Bounds: pieces, questions, devices, tracked flows.
    fn the_bounds(&mut self) {
        let (eni, near) = (&self.x.eni, &self.near);
        let whole = udp(40_000, 9, &[7; 1600]);
        let piece = |id: u16, from: usize, to: usize, more: bool| {
            let place = u16::try_from(from / 8).unwrap() | if more { MORE_FRAGMENTS } else { 0 };
            self.frame(IPV4, &ipv4(self.x.address, near.address, id, place, &whole[from..to]))
        };
        let overlapping = [piece(5, 0, 800, true), piece(5, 792, 1600, true), piece(5, 1600, 1608, false)];
        self.shows("D34", eni, &overlapping, 2);
        // Down inside; its agent finds nobody to give it to.
        self.up.sh(&near.id, "ip link set dev eth0 down");
        self.shows("D37", &near.eni, &[self.packet(near.address, 9)], 1);
        self.up.sh(&near.id, "ip link set dev eth0 up");

        let question = frames::arp(self.x.mac, self.x.address, Ipv4Addr::new(10, 16, 1, 1));
        self.flood("D36", eni, 20_000, |_| question.clone());
        // To ports that the receiver does not admit: it tracks nothing, and the sender does. What it tracks at most is a share of the host's.
        self.flood("D06", eni, 1_000_000, |n| {
            let (src_port, dst_port) = (1 + n % 60_000, 10 + n / 60_000);
            let ports = (u16::try_from(src_port).unwrap(), u16::try_from(dst_port).unwrap());
            let datagram = udp(ports.0, ports.1, b"");
            self.frame(IPV4, &ipv4(self.x.address, near.address, 1, DONT_FRAGMENT, &datagram))
        });
    }

    /// Sends until the reason was counted.
    fn flood(&self, reason: &str, eni: &str, most: u32, frame: impl Fn(u32) -> Vec<u8>) {
        let key = (eni.to_owned(), reason.to_owned());
        for n in 0..most {
            if !self.wire.send(&frame(n)) {
                std::thread::yield_now();
            }
            if n % 64 == 0 {
                // The queue of a device has a thousand places.
                std::thread::sleep(Duration::from_micros(50));
            }
            if n % 10_000 == 9_999 && counts(&self.up).contains_key(&key) {
                return;
            }
        }
        panic!("{most} frames, and no {reason} at {eni}: {:?}", counts(&self.up));
    }

    /// Between hosts: no keys, and datagrams that do not open.
    fn the_links(&self) {
        let here = underlay_of(&self.up, &self.x.host);
        let set = |is_up: bool| {
            let work = || {
                linux::netlink::Netlink::open().and_then(|mut netlink| netlink.set_up(linux::underlay::DEVICE, is_up))
            };
            linux::namespace::in_netns(&here, work).expect("entered").expect("set");
        };
        set(false);
        self.shows("D15", &self.x.eni, &[self.packet(self.far.address, 9)], 1);
        set(true);
        eventually("the hosts have keys", || {
            self.wire.send(&self.packet(self.far.address, 9));
            let links = rows(&self.up, &["--links"]);
            links.iter().any(|link| link["packets"].as_u64() > Some(0) && link["of"] == *self.x.host)
        });
        let wire = Wire::open(&here, linux::underlay::DEVICE);
        // Datagrams to UDP port 4500 from this host, without the checksum that a device would have filled in.
        let is_sealed =
            |frame: &Vec<u8>| frame.len() > 60 && frame[23] == 17 && frame[36..38] == 4500_u16.to_be_bytes();
        let mut sealed = Vec::new();
        eventually("a datagram between hosts", || {
            self.wire.send(&self.packet(self.far.address, 9));
            sealed.extend(wire.seen().into_iter().filter(is_sealed));
            !sealed.is_empty()
        });
        let mut replayed = sealed.swap_remove(0);
        replayed[40..42].fill(0);
        let (mut forged, mut unknown) = (replayed.clone(), replayed.clone());
        *forged.last_mut().expect("bytes") ^= 1;
        // A number that was not seen yet, in the header and in the IV that repeats it.
        forged[48..50].copy_from_slice(&[0x10, 0]);
        forged[56..58].copy_from_slice(&[0x10, 0]);
        unknown[42..46].copy_from_slice(&[0xfe, 0xdc, 0xba, 0x98]);
        let causes = |up: &Up| -> BTreeSet<String> {
            let rows = rows(up, &["--drops", "--reason", "D17"]);
            let cause =
                |row: &Value| row["cause"].as_str().expect("a cause").split(',').next().unwrap_or_default().to_owned();
            rows.iter().inspect(|row| assert_eq!(row["host"], *self.far.host)).map(cause).collect()
        };
        assert_eq!(causes(&self.up), BTreeSet::new());
        for frame in [&replayed, &forged, &unknown] {
            assert!(wire.send(frame));
        }
        let all = ["not authentic", "replayed", "unknown SPI"].map(str::to_owned).into();
        eventually("all three are counted", || causes(&self.up) == all);
        let output = peerway().args(["status", "--links", "--data"]).arg(&self.up.data).output().expect("it starts");
        let shown = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(shown.contains("unknown SPI") && shown.contains("D17"), "{shown}");
    }

    /// An instance that has ended, as a receiver.
    fn the_stopped(&mut self) {
        let far = self.far.id.clone();
        self.ok(&format!("Action=StopInstances&InstanceId.1={far}"));
        wait_for_state(&mut self.alice, &far, "stopped");
        // Nothing is plugged in there any more, so its host counts it for itself.
        self.shows("D20", "-", &[self.packet(self.far.address, 9)], 1);
    }

    /// An instance that ends, as a sender that does not.
    fn the_ending(&self) {
        let frame = self.packet(self.near.address, 9);
        let (is_over, wire) = (AtomicBool::new(false), &self.wire);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    let _ = rustix::io::write(wire.as_fd(), &frame);
                }
            });
            let x = self.x.id.clone();
            let mut client = self.up.client(ALICE);
            client.ok(&format!("Action=StopInstances&InstanceId.1={x}"));
            wait_for_state(&mut client, &x, "stopped");
            is_over.store(true, Ordering::Relaxed);
        });
        let nobodys = ("-".to_owned(), "D02".to_owned());
        assert!(counts(&self.up).contains_key(&nobodys), "{:?}", counts(&self.up));
    }
}

fn mac(text: &str) -> Mac {
    let octets: Vec<u8> = text.split(':').map(|octet| u8::from_str_radix(octet, 16).expect("hex")).collect();
    octets.try_into().expect("six octets")
}

/// The network namespace of a simulated host, found by its address among those that the process holds.
fn underlay_of(up: &Up, host: &str) -> OwnedFd {
    let number: u8 = host.strip_prefix("host-").and_then(|number| number.parse().ok()).expect("host-N");
    let address = std::net::IpAddr::from([198, 18, 0, number]);
    for entry in std::fs::read_dir(format!("/proc/{}/fd", up.pid())).expect("readable").flatten() {
        let is_netns = std::fs::read_link(entry.path()).is_ok_and(|link| link.to_string_lossy().starts_with("net:["));
        let Some(netns) = is_netns.then(|| std::fs::File::open(entry.path()).ok()).flatten() else { continue };
        let addresses = linux::namespace::in_netns(&netns, || linux::netlink::Netlink::open()?.addresses());
        if addresses.expect("entered").expect("addresses").iter().any(|there| there.address == address) {
            return netns.into();
        }
    }
    panic!("no namespace has {address}");
}

#[test]
fn every_reason_is_counted_where_it_was_decided() {
    let place = Place::new();
    let mut scene = Scene::set(&place);
    scene.the_links();
    scene.the_frame();
    scene.the_way();
    scene.the_filters();
    scene.the_stopped();
    scene.the_bounds();
    let before = counts(&scene.up);
    the_metrics_say_the_same(&scene, &before);
    scene.the_ending();
    let counted: BTreeSet<String> =
        counts(&scene.up).into_keys().chain(before.into_keys()).map(|(_, reason)| reason).collect();
    let elsewhere = ["D10", "D11", "D18", "D24", "D25", "D26", "D27", "D31", "D38", "D39"];
    let all = (1..=39).map(|number| format!("D{number:02}"));
    let missing: Vec<_> =
        all.filter(|reason| !counted.contains(reason) && !elsewhere.contains(&reason.as_str())).collect();
    assert_eq!(missing, Vec::<String>::new());
    scene.up.stop();
}

/// The status and the body of an answer.
fn get(address: SocketAddr, path: &str, headers: &str) -> (u16, String) {
    let mut connection = TcpStream::connect(address).expect("connected");
    let request = format!("GET {path} HTTP/1.1\r\n{headers}connection: close\r\n\r\n");
    connection.write_all(request.as_bytes()).expect("sent");
    let mut answer = String::new();
    connection.read_to_string(&mut answer).expect("text");
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    let body = answer.split_once("\r\n\r\n").expect("a body").1.to_owned();
    (status, body)
}

fn the_metrics_say_the_same(scene: &Scene, counts: &Counts) {
    let host = format!("host: {}\r\n", scene.metrics);
    let (status, page) = get(scene.metrics, "/metrics", &host);
    assert_eq!(status, 200);
    let mut described = BTreeSet::new();
    for line in page.lines() {
        if let Some(kind) = line.strip_prefix("# TYPE ") {
            described.insert(kind.split(' ').next().expect("a name").to_owned());
        } else if !line.starts_with('#') {
            let name = line.split(['{', ' ']).next().expect("a name");
            let base = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix));
            let is_described = described.contains(name) || base.is_some_and(|base| described.contains(base));
            assert!(is_described, "{line}");
            assert!(line.rsplit(' ').next().is_some_and(|value| value.parse::<f64>().is_ok()), "{line}");
        }
    }
    let manual = include_str!("../../../../docs/operating/metrics.md");
    for name in &described {
        assert!(manual.contains(&format!("| `{name}` |")), "{name} is not in metrics.md");
    }
    for ((eni, reason), packets) in counts.iter().filter(|((eni, _), _)| eni != "-") {
        let found = page.lines().find(|line| {
            line.starts_with("peerway_dropped_packets_total{")
                && line.contains(&format!("interface=\"{eni}\""))
                && line.contains(&format!("reason=\"{reason}\""))
        });
        let value: u64 = found.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or_default();
        assert!(value >= *packets, "{eni} {reason}: {value} < {packets}");
    }
    for part in [
        "peerway_stray_drops_total{host=",
        "cause=\"unknown SPI\"",
        "cause=\"replayed\"} 1",
        "cause=\"not_authentic\"} 1",
        "peerway_api_requests_total{service=\"ec2\",action=\"CreateVpc\",outcome=\"ok\"} 3",
        "peerway_api_request_duration_seconds_count{service=\"ec2\",action=\"CreateVpc\"} 3",
        "peerway_host_connected{host=\"host-1\"} 1",
        "peerway_store_transactions_total{region=\"us-east-1\"}",
        "peerway_tracked_flows_limit{host=\"host-1\",scope=\"interface\"} 131072",
        &format!("peerway_running_instances{{host=\"{}\"}} 2", scene.x.host),
    ] {
        assert!(page.contains(part), "no {part} in\n{page}");
    }
    // Nothing of what anybody said: no addresses, no accounts, no keys.
    for secret in [ALICE.0, "10.16.", "10.17.", "198.18.", "AKIA"] {
        assert!(!page.contains(secret), "{secret} in\n{page}");
    }
    assert_eq!(get(scene.metrics, "/", &host).0, 404);
    assert_eq!(get(scene.metrics, "/metrics", "host: evil.example:9477\r\n").0, 403, "a name that leads here");
    assert_eq!(get(scene.metrics, "/metrics", "").0, 403, "none at all");
    assert_eq!(get(scene.metrics, "/metrics", &format!("{host}origin: http://evil.example\r\n")).0, 403, "a web page");
}
