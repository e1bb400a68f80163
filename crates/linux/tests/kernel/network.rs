//! TAP devices, links, addresses and routes.

use std::io::IoSlice;
use std::io::{Read, Write};
use std::net::{IpAddr, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use linux::namespace::{self, in_netns};
use linux::netlink::{Ethtool, LinkChange, MAIN_TABLE, Netlink, Route, Rule};
use linux::poll::{Event, Interest, Poll};
use linux::tap::{self, FRAME_BUFFER_LEN, Offloads, Tap};

use crate::Test;
use crate::support::eventually;

pub(crate) const TESTS: &[Test] = &[
    ("network::a_new_namespace_is_empty", a_new_namespace_is_empty),
    ("network::super_frames_pass_between_two_taps", super_frames_pass_between_two_taps),
    ("network::the_offload_ladder_has_rungs", the_offload_ladder_has_rungs),
    ("network::a_deleted_tap_is_told", a_deleted_tap_is_told),
    ("network::a_persistent_tap_waits_for_the_next", a_persistent_tap_waits_for_the_next),
    ("network::links_addresses_and_routes", links_addresses_and_routes),
    ("network::a_source_has_a_table_of_its_own", a_source_has_a_table_of_its_own),
    ("network::errors_name_device_and_operation", errors_name_device_and_operation),
    ("network::bridges_have_ports", bridges_have_ports),
    ("network::super_frames_of_a_tap_keep_its_limit", super_frames_of_a_tap_keep_its_limit),
    ("network::features_are_switched_and_said", features_are_switched_and_said),
];

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn a_new_namespace_is_empty() {
    let netns = namespace::create().expect("a namespace");
    assert!(!namespace::same(netns.as_fd(), namespace::current().expect("ours").as_fd()).expect("stat"));
    let links = in_netns(&netns, || Netlink::open().expect("netlink").links().expect("links")).expect("entered");
    assert_eq!(links.iter().map(|l| (l.name.as_str(), l.up)).collect::<Vec<_>>(), [("lo", false)]);
}

use std::os::fd::AsFd;

/// A TAP with an address in a namespace of its own.
fn guest(name: &str, address: &str, queues: usize) -> (std::os::fd::OwnedFd, Tap) {
    let netns = namespace::create().expect("a namespace");
    let tap = in_netns(&netns, || {
        let tap = Tap::create(name, queues, &Offloads::LADDER).expect("a tap");
        let mut netlink = Netlink::open().expect("netlink");
        netlink.set_up("lo", true).expect("lo");
        let change = LinkChange { up: Some(true), mtu: Some(9001), ..LinkChange::default() };
        netlink.set(name, &change).expect("up");
        netlink.add_address(name, ip(address), 24, true).expect("an address");
        tap
    });
    (netns, tap.expect("entered"))
}

/// Copies frames both ways until `stop`; the length of the longest.
fn splice(a: &Tap, b: &Tap, stop: &std::sync::atomic::AtomicBool) -> usize {
    let mut poll = Poll::new().expect("epoll");
    let queues: Vec<_> = a.queues.iter().chain(&b.queues).collect();
    for (token, queue) in queues.iter().enumerate() {
        poll.add(queue, token as u64, Interest::READ).expect("added");
    }
    let (mut events, mut buffer, mut longest) = (Vec::<Event>::new(), vec![0; FRAME_BUFFER_LEN], 0);
    while !stop.load(std::sync::atomic::Ordering::Relaxed) {
        poll.wait(&mut events, Some(Duration::from_millis(20))).expect("wait");
        for event in &events {
            let from = event.token as usize;
            let to = if from < a.queues.len() { &b.queues[0] } else { &a.queues[0] };
            while let Ok(len) = queues[from].read(&mut buffer) {
                longest = longest.max(len);
                let (head, tail) = buffer[..len].split_at(20);
                match to.writev(&[IoSlice::new(head), IoSlice::new(tail)]) {
                    Ok(written) => assert_eq!(written, len),
                    Err(error) => assert!(tap::is_down(&error), "{error}"),
                }
            }
        }
    }
    longest
}

fn super_frames_pass_between_two_taps() {
    const TOTAL: usize = 8 << 20;
    let ((left, a), (right, b)) = (guest("eth0", "10.77.0.1", 2), guest("eth0", "10.77.0.2", 1));
    assert!(a.offloads.checksum && a.offloads.tso4 && a.offloads.tso6, "{:?}", a.offloads);
    let stop = std::sync::atomic::AtomicBool::new(false);
    let longest = std::thread::scope(|scope| {
        let splicer = scope.spawn(|| splice(&a, &b, &stop));
        let listener = in_netns(&right, || TcpListener::bind("10.77.0.2:80")).expect("entered").expect("bound");
        let receiver = scope.spawn(move || {
            let (mut stream, _) = listener.accept().expect("a connection");
            let mut bytes = Vec::new();
            stream.read_to_end(&mut bytes).expect("all");
            bytes
        });
        let mut stream = in_netns(&left, || TcpStream::connect("10.77.0.2:80")).expect("entered").expect("connected");
        let sent: Vec<u8> = (0..TOTAL).map(|n| (n % 251) as u8).collect();
        stream.write_all(&sent).expect("sent");
        drop(stream);
        assert!(receiver.join().expect("received") == sent, "all bytes arrive as sent");
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        splicer.join().expect("spliced")
    });
    assert!(longest > 20_000, "the longest frame had {longest} bytes: no super-frames");
}

fn the_offload_ladder_has_rungs() {
    let netns = namespace::create().expect("a namespace");
    for (number, rung) in Offloads::LADDER.into_iter().enumerate() {
        let name = format!("t{number}");
        let tap = in_netns(&netns, || Tap::create(&name, 1, &[rung])).expect("entered").expect("a tap");
        assert_eq!(tap.offloads, rung);
    }
    // ECN without TSO is what the kernel refuses on every machine: the ladder goes on.
    let refused = Offloads { tso4: false, tso6: false, ..Offloads::LADDER[1] };
    let refused = Offloads { checksum: false, ..refused };
    let ladder = [refused, Offloads::LADDER[2]];
    let tap = in_netns(&netns, || Tap::create("t9", 1, &ladder)).expect("entered").expect("a tap");
    assert_eq!(tap.offloads, Offloads::LADDER[2]);
    let error = in_netns(&netns, || Tap::create("t9", 1, &ladder)).expect("entered").expect_err("taken");
    assert!(error.to_string().contains("tap `t9`"), "{error}");
}

fn a_deleted_tap_is_told() {
    let (netns, tap) = guest("eth0", "10.77.0.1", 1);
    let (queue, mut poll) = (&tap.queues[0], Poll::new().expect("epoll"));
    poll.add(queue, 1, Interest::READ).expect("added");
    let mut buffer = vec![0; FRAME_BUFFER_LEN];
    while queue.read(&mut buffer).is_ok() {}
    in_netns(&netns, || {
        let mut netlink = Netlink::open().expect("netlink");
        netlink.set_up("eth0", false).expect("down");
        let error = queue.write(&[0; 74]).expect_err("down");
        assert!(tap::is_down(&error) && !tap::is_gone(&error), "{error}");
        netlink.delete("eth0").expect("deleted");
    })
    .expect("entered");
    let mut events = Vec::new();
    poll.wait(&mut events, Some(Duration::from_secs(5))).expect("wait");
    assert!(events.iter().any(|e| e.closed), "{events:?}");
    for error in [queue.read(&mut buffer).expect_err("gone"), queue.write(&[0; 74]).expect_err("gone")] {
        assert!(tap::is_gone(&error), "{error}");
    }
    // Its owner makes another.
    in_netns(&netns, || Tap::create("eth0", 1, &Offloads::LADDER)).expect("entered").expect("a tap");
}

fn a_persistent_tap_waits_for_the_next() {
    for queues in [1, 2] {
        let (netns, tap) = guest("eth0", "10.77.0.1", queues);
        let link = || in_netns(&netns, || Netlink::open().expect("netlink").link("eth0")).expect("entered");
        let attach = |queues| in_netns(&netns, || Tap::attach("eth0", queues, &Offloads::LADDER)).expect("entered");
        tap.persist().expect("persistent");
        let before = link().expect("there");
        assert!(queues > 1 || attach(1).is_err(), "it has its one queue");
        drop(tap);
        let after = link().expect("it stays");
        assert_eq!((before.mac, before.index, after.up, after.running), (after.mac, after.index, true, false));
        // Only what is not there can be made, and only what was made like this be attached to.
        in_netns(&netns, || Tap::create("eth0", queues, &Offloads::LADDER)).expect("entered").expect_err("taken");
        attach(3 - queues).expect_err("another kind of queues");
        let tap = attach(queues).expect("attached");
        assert!(tap.offloads.tso4 && tap.queues.len() == queues);
        let socket = in_netns(&netns, || UdpSocket::bind("10.77.0.1:0")).expect("entered").expect("bound");
        let mut buffer = vec![0; FRAME_BUFFER_LEN];
        eventually("a frame comes", || {
            socket.send_to(b"x", "10.77.0.9:9").expect("sent");
            tap.queues.iter().any(|queue| queue.read(&mut buffer).is_ok_and(|len| len > 10 && buffer[22..24] == [8, 6]))
        });
        assert_eq!(link().expect("there").mac, before.mac);
        drop(tap);
        in_netns(&netns, || Netlink::open().expect("netlink").delete("eth0")).expect("entered").expect("deleted");
        let error = attach(queues).expect_err("gone");
        assert!(link().is_err(), "an attempt to attach leaves nothing: {error}");
    }
    let null = std::fs::File::options().read(true).write(true).open("/dev/null").expect("null");
    assert!(tap::TapQueue::received(null.into()).is_err());
}

fn links_addresses_and_routes() {
    let (left, right) = (namespace::create().expect("a namespace"), namespace::create().expect("a namespace"));
    let start = Instant::now();
    in_netns(&left, || {
        let mut netlink = Netlink::open().expect("netlink");
        netlink.add_veth("veth0", "far0", Some(right.as_fd())).expect("a pair");
        let change = LinkChange {
            up: Some(true),
            mtu: Some(1400),
            mac: Some([2, 0, 0, 0, 0, 7]),
            name: Some("uplink"),
            gso_max_size: Some(20_000),
            gro_max_size: Some(30_000),
            arp: Some(false),
            netns: None,
        };
        netlink.set("veth0", &change).expect("changed");
        let link = netlink.link("uplink").expect("found");
        assert_eq!((link.mtu, link.mac, link.up), (1400, Some([2, 0, 0, 0, 0, 7]), true));
        assert_eq!((link.gso_max_size, link.gso_ipv4_max_size.unwrap_or(20_000)), (Some(20_000), 20_000));
        netlink.add_address("uplink", ip("10.9.0.1"), 24, false).expect("v4");
        netlink.add_address("uplink", ip("fd00::1"), 64, true).expect("v6");
        let addresses = netlink.addresses().expect("listed");
        let v6 = addresses.iter().find(|a| a.address == ip("fd00::1")).expect("there");
        assert_eq!((v6.link, v6.prefix_len, v6.tentative), (link.index, 64, false));
        let error = netlink.wait_local(ip("fd00::2"), Duration::from_millis(20)).expect_err("not ours");
        assert_eq!(error.to_string(), "cannot see packets to `fd00::2` end here");
        let route = |destination: &str, len, gateway: Option<&str>, onlink| Route {
            destination: (ip(destination), len),
            gateway: gateway.map(ip),
            device: "uplink".to_owned(),
            onlink,
        };
        for route in [
            route("0.0.0.0", 0, Some("10.9.0.254"), false),
            route("192.0.2.0", 24, Some("198.51.100.1"), true),
            route("203.0.113.9", 32, None, false),
            route("::", 0, Some("fd00::fe"), false),
            route("2001:db8::", 32, Some("fe80::1"), true),
        ] {
            netlink.add_route(&route).expect("added");
            netlink.add_route(&route).expect("replaced");
            netlink.delete_route(&route).expect("deleted");
            assert!(netlink.delete_route(&route).is_err(), "it is gone");
        }
        netlink.delete_address("uplink", ip("10.9.0.1"), 24).expect("deleted");
        assert!(!netlink.addresses().expect("listed").iter().any(|a| a.address == ip("10.9.0.1")));
        netlink.set("uplink", &LinkChange { netns: Some(right.as_fd()), ..LinkChange::default() }).expect("moved");
        assert!(netlink.link("uplink").is_err(), "it is elsewhere");
    })
    .expect("entered");
    let names = in_netns(&right, || {
        let mut netlink = Netlink::open().expect("netlink");
        let names: Vec<_> = netlink.links().expect("links").into_iter().map(|l| l.name).collect();
        netlink.delete("far0").expect("deleted");
        assert_eq!(netlink.links().expect("links").len(), 1, "its peer went with it");
        names
    });
    let mut names = names.expect("entered");
    names.sort();
    assert_eq!(names, ["far0", "lo", "uplink"]);
    assert!(start.elapsed() < Duration::from_secs(5));
}

/// Whether the device is asked to resolve a neighbour, of the frames that wait in it.
fn asks_for_a_neighbour(tap: &Tap) -> bool {
    let mut buffer = vec![0; FRAME_BUFFER_LEN];
    let ethertype = tap::VNET_HEADER_LEN + 12;
    let mut asks = false;
    while let Ok(len) = tap.queues[0].read(&mut buffer) {
        asks |= buffer[..len].get(ethertype..ethertype + 2) == Some(&[0x08, 0x06]);
    }
    asks
}

fn a_source_has_a_table_of_its_own() {
    let (netns, first) = guest("eth0", "10.77.0.1", 1);
    let second = in_netns(&netns, || Tap::create("eth1", 1, &Offloads::LADDER)).expect("entered").expect("a tap");
    let route = |gateway: &str, device: &str| Route {
        destination: (ip("0.0.0.0"), 0),
        gateway: Some(ip(gateway)),
        device: device.into(),
        onlink: true,
    };
    let rules = [
        Rule { priority: 10_001, from: (ip("10.78.0.1"), 32), to: Some((ip("10.99.0.0"), 16)), table: 10_001 },
        Rule { priority: 10_001, from: (ip("2001:db8::1"), 128), to: None, table: 10_001 },
    ];
    in_netns(&netns, || {
        let mut netlink = Netlink::open().expect("netlink");
        netlink.set_up("eth1", true).expect("up");
        netlink.add_address("eth1", ip("10.78.0.1"), 24, true).expect("an address");
        netlink.add_route(&route("10.77.0.254", "eth0")).expect("a route");
        netlink.add_route_to(10_001, 0, &route("10.78.0.254", "eth1")).expect("a route");
        assert_eq!(netlink.rules().expect("listed"), [], "the kernel's own rules have no source");
        for rule in &rules {
            netlink.add_rule(rule).expect("a rule");
            assert!(netlink.add_rule(rule).is_err(), "it is there");
        }
        let mut there = netlink.rules().expect("listed");
        there.sort();
        assert_eq!(there, rules);
    })
    .expect("entered");
    let send = || {
        let socket = in_netns(&netns, || UdpSocket::bind("10.78.0.1:0")).expect("entered").expect("bound");
        socket.send_to(b"x", "10.99.0.1:9").expect("sent");
    };
    send();
    eventually("the second device is asked", || asks_for_a_neighbour(&second));
    assert!(!asks_for_a_neighbour(&first));
    // Without the rule the main table holds; and there a lower metric.
    in_netns(&netns, || {
        let mut netlink = Netlink::open().expect("netlink");
        for rule in &rules {
            netlink.delete_rule(rule).expect("deleted");
        }
        assert_eq!(netlink.rules().expect("listed"), []);
        netlink.add_route_to(MAIN_TABLE, 7, &route("10.78.0.253", "eth1")).expect("a second route");
    })
    .expect("entered");
    send();
    eventually("the first device is asked", || asks_for_a_neighbour(&first));
}

fn errors_name_device_and_operation() {
    let netns = namespace::create().expect("a namespace");
    in_netns(&netns, || {
        let mut netlink = Netlink::open().expect("netlink");
        let text = netlink.set_up("none0", true).expect_err("missing").to_string();
        assert_eq!(text, "cannot find link `none0`");
        let change = LinkChange { mtu: Some(7), ..LinkChange::default() };
        netlink.add_veth("v0", "v1", None).expect("a pair");
        let text = netlink.set("v0", &change).expect_err("too small").to_string();
        assert_eq!(text, "cannot set mtu 7 of link `v0`");
        let text = netlink.add_veth("v0", "v2", None).expect_err("taken").to_string();
        assert_eq!(text, "cannot make veth pair `v0` and `v2`");
        netlink.add_address("v0", ip("10.0.0.1"), 8, false).expect("added");
        let text = netlink.add_address("v0", ip("10.0.0.1"), 8, false).expect_err("twice").to_string();
        assert_eq!(text, "cannot add address 10.0.0.1/8 to link `v0`");
    })
    .expect("entered");
}

fn bridges_have_ports() {
    let netns = namespace::create().expect("a namespace");
    in_netns(&netns, || {
        let mut netlink = Netlink::open().expect("netlink");
        netlink.add_bridge("br0").expect("a bridge");
        netlink.add_veth("v0", "v1", None).expect("a pair");
        netlink.set_master("v0", Some("br0")).expect("a port");
        for name in ["br0", "v0"] {
            netlink.set_up(name, true).expect("up");
        }
        let text = netlink.wait_running("v0", Duration::from_millis(20)).expect_err("no carrier").to_string();
        assert_eq!(text, "cannot see a carrier on link `v0`");
        assert!(!netlink.link("br0").expect("there").running);
        netlink.set_up("v1", true).expect("up");
        for name in ["v0", "v1", "br0"] {
            netlink.wait_running(name, Duration::from_secs(5)).expect("running");
        }
        netlink.set_master("v0", None).expect("no port");
        eventually("the bridge has no carrier", || !netlink.link("br0").expect("there").running);
        let text = netlink.set_master("v0", Some("v1")).expect_err("no bridge").to_string();
        assert_eq!(text, "cannot make link `v0` a port of v1");
        let text = netlink.add_bridge("br0").expect_err("taken").to_string();
        assert_eq!(text, "cannot make bridge `br0`");
    })
    .expect("entered");
}

fn super_frames_of_a_tap_keep_its_limit() {
    const TOTAL: usize = 4 << 20;
    const LIMIT: u32 = 30_000;
    let ((left, a), (right, b)) = (guest("eth0", "10.77.0.1", 1), guest("eth0", "10.77.0.2", 1));
    for netns in [&left, &right] {
        in_netns(netns, || {
            let mut netlink = Netlink::open().expect("netlink");
            assert!(netlink.set_gso_max_size("eth0", LIMIT).expect("limited"), "this kernel knows the limit");
            let link = netlink.link("eth0").expect("there");
            assert_eq!((link.gso_max_size, link.gso_ipv4_max_size.unwrap_or(LIMIT)), (Some(LIMIT), LIMIT));
            let error = netlink.set_gso_max_size("eth0", 1 << 30).expect_err("too much");
            assert_eq!(error.to_string(), "cannot set gso_max_size 1073741824 of link `eth0`");
        })
        .expect("entered");
    }
    let stop = std::sync::atomic::AtomicBool::new(false);
    let longest = std::thread::scope(|scope| {
        let splicer = scope.spawn(|| splice(&a, &b, &stop));
        let listener = in_netns(&right, || TcpListener::bind("10.77.0.2:80")).expect("entered").expect("bound");
        let receiver = scope.spawn(move || {
            let (mut stream, _) = listener.accept().expect("a connection");
            std::io::copy(&mut stream, &mut std::io::sink()).expect("all")
        });
        let mut stream = in_netns(&left, || TcpStream::connect("10.77.0.2:80")).expect("entered").expect("connected");
        stream.write_all(&vec![7; TOTAL]).expect("sent");
        drop(stream);
        assert_eq!(receiver.join().expect("received"), TOTAL as u64);
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        splicer.join().expect("spliced")
    });
    // The limit is of the packet; the frame has the virtio-net and Ethernet headers as well.
    assert!((9_100..=LIMIT as usize + 24).contains(&longest), "the longest frame had {longest} bytes");
}

fn features_are_switched_and_said() {
    let netns = namespace::create().expect("a namespace");
    in_netns(&netns, || {
        Netlink::open().expect("netlink").add_veth("v0", "v1", None).expect("a pair");
        let mut ethtool = Ethtool::open().expect("ethtool");
        let before = ethtool.features("v0").expect("listed");
        assert!(before.contains("tx-udp-segmentation") && before.contains("tx-tcp-segmentation"), "{before:?}");
        let change = [("tx-udp-segmentation", false), ("rx-gro", false), ("rx-udp-gro-forwarding", true)];
        ethtool.set_features("v0", &change).expect("changed");
        let mut wanted = before.clone();
        wanted.extend(["rx-udp-gro-forwarding".to_owned()]);
        wanted.retain(|feature| !["tx-udp-segmentation", "rx-gro"].contains(&feature.as_str()));
        assert_eq!(ethtool.features("v0").expect("listed"), wanted, "these and no others");
        assert_eq!(ethtool.features("v1").expect("listed"), before, "not the other end");
        ethtool.set_features("v0", &[("tx-udp-segmentation", true)]).expect("changed back");
        let error = ethtool.set_features("v0", &[("tx-nonsense", true)]).expect_err("unknown");
        assert_eq!(error.to_string(), "cannot set tx-nonsense on of link `v0`");
        let error = ethtool.set_features("v0", &[("netns-local", true)]).expect_err("fixed");
        assert_eq!(error.to_string(), "cannot set netns-local on of link `v0`");
        let text = ethtool.features("none0").expect_err("missing").to_string();
        assert_eq!(text, "cannot list the features of link `none0`");
    })
    .expect("entered");
}
