//! The underlay of simulated hosts and UDP sockets on it.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use linux::capture::FRAME_LEN_MAX;
use linux::namespace::{self, in_netns};
use linux::netlink::{LinkChange, Netlink, Route};
use linux::poll::{Interest, Poll, readable};
use linux::udp::{RecvBatch, SENDER_PORTS, UdpSocket, is_too_big};
use linux::underlay::{DEVICE, SWITCH_DEVICE, Underlay, UnderlayError};

use crate::Test;
use crate::capture::{captured, open};
use crate::support::eventually;

pub(crate) const TESTS: &[Test] = &[
    ("links::a_run_arrives_as_a_run", a_run_arrives_as_a_run),
    ("links::small_runs_and_odd_ends", small_runs_and_odd_ends),
    ("links::long_runs_take_several_calls", long_runs_take_several_calls),
    ("links::a_device_that_cannot_cut_is_no_obstacle", a_device_that_cannot_cut_is_no_obstacle),
    ("links::a_socket_that_cannot_cut_falls_back_for_good", a_socket_that_cannot_cut_falls_back_for_good),
    ("links::too_big_is_told", too_big_is_told),
    ("links::a_router_can_lower_the_path_mtu", a_router_can_lower_the_path_mtu),
    ("links::sockets_share_a_port", sockets_share_a_port),
    ("links::senders_have_ports_of_their_own", senders_have_ports_of_their_own),
    ("links::nothing_is_allocated_per_call", nothing_is_allocated_per_call),
    ("links::hosts_reach_each_other", hosts_reach_each_other),
    ("links::an_underlay_leads_nowhere_else", an_underlay_leads_nowhere_else),
    ("links::nothing_is_left_of_an_underlay", nothing_is_left_of_an_underlay),
];

pub(crate) const PORT: u16 = 4500;

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// The addresses of a host: one of each family.
fn addresses(host: usize) -> [IpAddr; 2] {
    [ip(&format!("198.18.0.{}", host + 1)), ip(&format!("fd00:18::{}", host + 1))]
}

pub(crate) fn underlay(hosts: usize, mtu: u32) -> Underlay {
    let place = |host| addresses(host).map(|a| (a, if a.is_ipv4() { 24 } else { 64 })).to_vec();
    Underlay::create(&(0..hosts).map(place).collect::<Vec<_>>(), mtu).expect("an underlay")
}

pub(crate) fn bind(underlay: &Underlay, host: usize, family: usize) -> UdpSocket {
    let address = SocketAddr::new(addresses(host)[family], PORT);
    in_netns(&underlay.hosts[host].netns, || UdpSocket::bind(address)).expect("entered").expect("bound")
}

pub(crate) fn sender(underlay: &Underlay, host: usize, family: usize) -> UdpSocket {
    let address = addresses(host)[family];
    in_netns(&underlay.hosts[host].netns, || UdpSocket::sender(address)).expect("entered").expect("bound")
}

/// Two hosts: a sender on the first and a receiver on the second.
pub(crate) fn pair(family: usize, mtu: u32) -> (Underlay, UdpSocket, UdpSocket) {
    let underlay = underlay(2, mtu);
    let (sender, receiver) = (sender(&underlay, 0, family), bind(&underlay, 1, family));
    (underlay, sender, receiver)
}

/// Bytes that tell where they were.
pub(crate) fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n % 251) as u8 ^ (n / 251) as u8).collect()
}

/// What arrives until there are `datagrams`: for each message its datagrams' lengths, and all bytes one after another.
fn receive(socket: &UdpSocket, datagrams: usize, headroom: usize) -> (Vec<Vec<usize>>, Vec<u8>) {
    let (mut batch, mut runs, mut all) = (RecvBatch::new(32, headroom), Vec::<Vec<usize>>::new(), Vec::new());
    while runs.iter().map(Vec::len).sum::<usize>() < datagrams {
        assert!(readable(socket, Duration::from_secs(5)).expect("poll"), "{runs:?} of {datagrams} came");
        let count = socket.recv_batch(&mut batch).expect("received");
        assert!(count > 0, "it was readable");
        let before = runs.len();
        for message in batch.messages() {
            let bytes = &message.bytes[headroom..];
            runs.push(bytes.chunks(message.segment.into()).map(<[u8]>::len).collect());
            all.extend_from_slice(bytes);
        }
        assert_eq!(runs.len() - before, count);
    }
    (runs, all)
}

pub(crate) fn exchange(from: &UdpSocket, to: &UdpSocket, len: usize, segment: u16) -> Vec<Vec<usize>> {
    let sent = pattern(len);
    from.send(to.local(), &sent, segment).expect("sent");
    let (runs, all) = receive(to, len.div_ceil(segment.into()), 0);
    assert!(all == sent, "all bytes arrive in order");
    runs
}

fn a_run_arrives_as_a_run() {
    for family in [0, 1] {
        let (_underlay, sender, receiver) = pair(family, 1500);
        let sent = pattern(44 * 1400);
        sender.send(receiver.local(), &sent, 1400).expect("sent");
        assert!(readable(&receiver, Duration::from_secs(5)).expect("poll"));
        let mut batch = RecvBatch::new(8, 64);
        assert_eq!(receiver.recv_batch(&mut batch).expect("received"), 1, "one message");
        let message = batch.messages().next().expect("it");
        assert_eq!((message.from, message.segment), (sender.local(), 1400));
        assert_eq!(message.bytes.len(), 64 + 44 * 1400, "the headroom and all");
        assert!(message.bytes[64..] == sent);
        // The headroom is the caller's to write into.
        message.bytes[..64].fill(9);
        assert_eq!(sender.segments_max(), 128);
        assert_eq!(receiver.recv_batch(&mut batch).expect("nothing"), 0, "nothing waits");
        assert_eq!(batch.messages().count(), 0, "what was there is gone");
    }
}

fn small_runs_and_odd_ends() {
    let (_underlay, sender, receiver) = pair(0, 1500);
    assert_eq!(exchange(&sender, &receiver, 100, 100), [vec![100]]);
    assert_eq!(exchange(&sender, &receiver, 99, 100), [vec![99]]);
    assert_eq!(exchange(&sender, &receiver, 101, 100), [vec![100, 1]]);
    assert_eq!(exchange(&sender, &receiver, 250, 100), [vec![100, 100, 50]]);
    assert_eq!(exchange(&sender, &receiver, 128, 1), [vec![1; 128]]);
    assert_eq!(exchange(&sender, &receiver, 1472, 1472), [vec![1472]]);
    // A datagram of nothing, which anybody can send, is a message like others.
    let empty = rustix::net::sendto(&sender, &[], rustix::net::SendFlags::empty(), &receiver.local());
    assert_eq!(empty, Ok(0));
    assert!(readable(&receiver, Duration::from_secs(5)).expect("poll"));
    let mut batch = RecvBatch::new(1, 16);
    assert_eq!(receiver.recv_batch(&mut batch).expect("received"), 1);
    let message = batch.messages().next().expect("it");
    assert_eq!((message.bytes.len(), message.segment), (16, 1));
}

fn long_runs_take_several_calls() {
    let (_underlay, sender, receiver) = pair(0, 1500);
    // 46 of 1400 bytes fit into the longest datagram; 128 segments are the most.
    let runs = exchange(&sender, &receiver, 100 * 1400 + 7, 1400);
    assert_eq!(runs.iter().map(Vec::len).collect::<Vec<_>>(), [46, 46, 9]);
    let runs = exchange(&sender, &receiver, 300 * 64, 64);
    assert_eq!(runs.iter().map(Vec::len).collect::<Vec<_>>(), [128, 128, 44]);
    assert_eq!(sender.segments_max(), 128);
    // More messages than one batch holds.
    for number in 0..100 {
        sender.send(receiver.local(), &pattern(10 + number), 1400).expect("sent");
    }
    let (runs, _) = receive(&receiver, 100, 0);
    assert_eq!(runs.concat(), (10..110).collect::<Vec<_>>());
}

fn a_device_that_cannot_cut_is_no_obstacle() {
    let (underlay, sender, receiver) = pair(0, 1500);
    let off = |names: &[&'static str]| names.iter().map(|name| (*name, false)).collect::<Vec<_>>();
    underlay.set_features(&off(&["tx-udp-segmentation"])).expect("off");
    // The stack cuts: the datagrams arrive one by one, as from a network card that merges nothing.
    assert_eq!(exchange(&sender, &receiver, 10_000, 1400).len(), 8);
    // Nor can the device sum: older kernels refuse to cut then, and so it happens here.
    underlay.set_features(&off(&["tx-checksum-ip-generic"])).expect("off");
    assert_eq!(exchange(&sender, &receiver, 10_000, 1400).concat(), [vec![1400; 7], vec![200]].concat());
}

/// `SO_NO_CHECK`, one of the reasons for which the kernel does not cut.
fn forbid_cutting(socket: &UdpSocket) {
    let on: libc::c_int = 1;
    let (fd, len) = (socket.as_fd().as_raw_fd(), size_of_val(&on) as libc::socklen_t);
    // SAFETY: the pointer and length are those of `on`.
    let code = unsafe { libc::setsockopt(fd, libc::SOL_SOCKET, libc::SO_NO_CHECK, (&raw const on).cast(), len) };
    assert_eq!(code, 0);
}

fn a_socket_that_cannot_cut_falls_back_for_good() {
    let (_underlay, sender, receiver) = pair(0, 1500);
    forbid_cutting(&sender);
    assert_eq!(sender.segments_max(), 128);
    // One datagram needs no cutting, and says nothing about it.
    assert_eq!(exchange(&sender, &receiver, 500, 1400), [vec![500]]);
    assert_eq!(sender.segments_max(), 128);
    // Too big is not a refusal to cut: it is not remembered as one.
    let error = sender.send(receiver.local(), &pattern(4000), 1473).expect_err("too big");
    assert!(is_too_big(&error) && sender.segments_max() == 128, "{error}");
    // Nor is a datagram that cannot be sent at all.
    let nowhere = SocketAddr::new(receiver.local().ip(), 0);
    let error = sender.send(nowhere, &pattern(200), 100).expect_err("port 0");
    assert!(error.kind() == std::io::ErrorKind::InvalidInput && sender.segments_max() == 128, "{error}");
    // The same batch goes out one by one, also when it takes both rungs and several calls.
    let runs = exchange(&sender, &receiver, 200 * 64 + 1, 64);
    assert_eq!(runs.concat(), [vec![64; 200], vec![1]].concat());
    assert_eq!(sender.segments_max(), 1);
    let runs = exchange(&sender, &receiver, 5 * 1400 + 3, 1400);
    assert_eq!(runs.concat(), [vec![1400; 5], vec![3]].concat());
    let error = sender.send(receiver.local(), &pattern(4000), 1473).expect_err("too big");
    assert!(is_too_big(&error), "{error}");
}

fn too_big_is_told() {
    for (family, overhead) in [(0, 28), (1, 48)] {
        for mtu in [1500, 9000] {
            let (_underlay, sender, receiver) = pair(family, mtu);
            let fits = u16::try_from(mtu).expect("small") - overhead;
            assert_eq!(sender.path_mtu(receiver.local().ip()).expect("known"), mtu);
            for count in [1, 3] {
                let bytes = pattern(usize::from(fits + 1) * count);
                let error = sender.send(receiver.local(), &bytes, fits + 1).expect_err("one byte too many");
                assert!(is_too_big(&error), "{error}");
                assert_eq!(
                    exchange(&sender, &receiver, usize::from(fits) * count, fits),
                    [vec![usize::from(fits); count]]
                );
            }
            assert_eq!(sender.segments_max(), 128, "nothing was held against cutting");
        }
    }
    let (_underlay, sender, _receiver) = pair(0, 1500);
    let error = sender.send("198.19.0.1:4500".parse().expect("an address"), b"x", 1).expect_err("no route");
    assert!(!is_too_big(&error), "{error}");
    assert!(sender.path_mtu(ip("198.19.0.1")).is_err(), "no route");
    assert!(sender.path_mtu(ip("fd00::1")).is_err(), "the other family");
}

/// Three hosts, of which the one in the middle forwards to a narrower link.
fn a_router_can_lower_the_path_mtu() {
    let near = underlay(2, 1500);
    let far = namespace::create().expect("a namespace");
    in_netns(&near.hosts[1].netns, || {
        let mut netlink = Netlink::open().expect("netlink");
        netlink.add_veth("narrow0", "narrow0", Some(far.as_fd())).expect("a pair");
        netlink.set("narrow0", &LinkChange { up: Some(true), mtu: Some(1300), ..LinkChange::default() }).expect("up");
        netlink.add_address("narrow0", ip("198.19.0.1"), 24, true).expect("added");
        std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").expect("forwarding");
    })
    .expect("entered");
    let default = |gateway: &str, device: &str| Route {
        destination: (ip("0.0.0.0"), 0),
        gateway: Some(ip(gateway)),
        device: device.to_owned(),
        onlink: false,
    };
    let receiver = in_netns(&far, || {
        let mut netlink = Netlink::open().expect("netlink");
        netlink.set("narrow0", &LinkChange { up: Some(true), mtu: Some(1300), ..LinkChange::default() }).expect("up");
        netlink.add_address("narrow0", ip("198.19.0.2"), 24, true).expect("added");
        netlink.wait_running("narrow0", Duration::from_secs(5)).expect("running");
        netlink.add_route(&default("198.19.0.1", "narrow0")).expect("added");
        UdpSocket::bind("198.19.0.2:4500".parse().expect("an address")).expect("bound")
    });
    let receiver = receiver.expect("entered");
    let running = || Netlink::open().expect("netlink").wait_running("narrow0", Duration::from_secs(5));
    in_netns(&near.hosts[1].netns, running).expect("entered").expect("running");
    let sender = in_netns(&near.hosts[0].netns, || {
        Netlink::open().expect("netlink").add_route(&default("198.18.0.2", DEVICE)).expect("added");
        UdpSocket::sender(ip("198.18.0.1")).expect("bound")
    });
    let sender = sender.expect("entered");
    assert_eq!(sender.path_mtu(receiver.local().ip()).expect("known"), 1500);
    // The router throws it away and says so: it is too big from then on, and what fits is known.
    sender.send(receiver.local(), &pattern(1472), 1472).expect("the device takes it");
    eventually("the router's word", || sender.path_mtu(receiver.local().ip()).expect("known") == 1300);
    for (len, segment) in [(1472, 1472), (2 * 1400, 1400)] {
        let error = sender.send(receiver.local(), &pattern(len), segment).expect_err("too big");
        assert!(is_too_big(&error), "{error}");
    }
    assert_eq!(exchange(&sender, &receiver, 3 * 1272, 1272).concat(), [1272; 3]);
    assert_eq!(sender.segments_max(), 128);
}

fn sockets_share_a_port() {
    let underlay = underlay(2, 1500);
    let receivers = [bind(&underlay, 1, 0), bind(&underlay, 1, 0)];
    let mut poll = Poll::new().expect("epoll");
    for (token, receiver) in receivers.iter().enumerate() {
        poll.add(receiver, token as u64, Interest::READ).expect("added");
    }
    // With 64 flows, all of them on one socket are a matter of 1 in 2^63.
    let senders: Vec<_> = (0..64).map(|_| sender(&underlay, 0, 0)).collect();
    let (mut got, mut batch) = ([0_usize; 2], RecvBatch::new(64, 0));
    for _ in 0..2 {
        for sender in &senders {
            sender.send(receivers[0].local(), &sender.local().port().to_be_bytes(), 2).expect("sent");
        }
    }
    let (mut events, mut owner) = (Vec::new(), std::collections::BTreeMap::new());
    while got.iter().sum::<usize>() < 128 {
        poll.wait(&mut events, Some(Duration::from_secs(5))).expect("wait");
        assert!(!events.is_empty(), "{got:?} came");
        for event in &events {
            let number = event.token as usize;
            got[number] += receivers[number].recv_batch(&mut batch).expect("received");
            for message in batch.messages() {
                assert_eq!(message.bytes, message.from.port().to_be_bytes());
                assert_eq!(*owner.entry(message.from).or_insert(number), number, "a flow stays where it is");
            }
        }
    }
    assert!(got.iter().all(|count| *count > 0), "{got:?}");
    // Somebody without the option cannot have the port, nor one with SO_REUSEADDR alone.
    let stranger = in_netns(&underlay.hosts[1].netns, || {
        let family = rustix::net::AddressFamily::INET;
        let fd = rustix::net::socket(family, rustix::net::SocketType::DGRAM, None).expect("a socket");
        rustix::net::sockopt::set_socket_reuseaddr(&fd, true).expect("set");
        rustix::net::bind(&fd, &receivers[0].local())
    });
    assert_eq!(stranger.expect("entered"), Err(rustix::io::Errno::ADDRINUSE));
}

fn senders_have_ports_of_their_own() {
    let underlay = underlay(1, 1500);
    let mut ports = std::collections::BTreeSet::new();
    for family in [0, 1] {
        let senders: Vec<_> = (0..32).map(|_| sender(&underlay, 0, family)).collect();
        for sender in &senders {
            assert!(SENDER_PORTS.contains(&sender.local().port()) && sender.local().ip() == addresses(0)[family]);
        }
        let own: std::collections::BTreeSet<_> = senders.iter().map(|s| s.local().port()).collect();
        assert_eq!(own.len(), 32, "no two have one");
        ports.extend(own);
    }
    assert!(ports.len() > 48, "chosen at random: {ports:?}");
    let elsewhere = in_netns(&underlay.hosts[0].netns, || UdpSocket::sender(ip("198.18.0.99"))).expect("entered");
    let text = elsewhere.expect_err("not here").to_string();
    assert_eq!(text, "cannot bind the address of a udp socket on `198.18.0.99:0`");
    // Whatever is sent to a sender does not pile up.
    let (flooder, target) = (sender(&underlay, 0, 0), sender(&underlay, 0, 0));
    for _ in 0..64 {
        flooder.send(target.local(), &pattern(1400), 1400).expect("sent");
    }
    let mut batch = RecvBatch::new(64, 0);
    assert!(target.recv_batch(&mut batch).expect("received") < 8);
    // Root has what it asks for, whatever the machine's limit; the kernel doubles it for its own records.
    let receiver = bind(&underlay, 0, 0);
    let sizes = [
        rustix::net::sockopt::socket_recv_buffer_size(&receiver).expect("known"),
        rustix::net::sockopt::socket_send_buffer_size(&flooder).expect("known"),
    ];
    assert_eq!(sizes, [16 << 20; 2]);
}

fn nothing_is_allocated_per_call() {
    let (_underlay, sender, receiver) = pair(1, 1500);
    let (sent, mut batch) = (pattern(20 * 1400), RecvBatch::new(16, 32));
    let mut round = || {
        sender.send(receiver.local(), &sent, 1400).expect("sent");
        assert!(readable(&receiver, Duration::from_secs(5)).expect("poll"));
        assert!(receiver.recv_batch(&mut batch).expect("received") > 0);
        assert_eq!(batch.messages().map(|m| m.bytes.len()).sum::<usize>(), 32 + 20 * 1400);
    };
    round();
    assert_eq!(allocation_counter::measure(&mut round).count_total, 0);
    forbid_cutting(&sender);
    let sent = || drop(sender.send(receiver.local(), &sent, 1400));
    assert_eq!(allocation_counter::measure(sent).count_total, 0);
}

fn hosts_reach_each_other() {
    for (count, mtu) in [(2, 1500), (2, 9000), (3, 1500), (3, 9000), (5, 1280)] {
        let start = Instant::now();
        let underlay = underlay(count, mtu);
        assert_eq!(underlay.switch.is_some(), count != 2);
        for family in [0, 1] {
            let sockets: Vec<_> = (0..count).map(|host| bind(&underlay, host, family)).collect();
            let largest = u16::try_from(mtu).expect("small") - if family == 0 { 28 } else { 48 };
            for (from, to) in (0..count).flat_map(|from| (0..count).map(move |to| (from, to))) {
                // The very first packets pass, in order and in one piece.
                let runs = exchange(&sockets[from], &sockets[to], 3 * usize::from(largest), largest);
                assert_eq!(runs.concat(), [usize::from(largest); 3], "{from} to {to}, mtu {mtu}");
            }
        }
        assert!(start.elapsed() < Duration::from_secs(20), "{count} hosts took {:?}", start.elapsed());
    }
}

fn an_underlay_leads_nowhere_else() {
    let before = in_netns(namespace::current().expect("ours"), names).expect("entered");
    for count in [1, 2, 3] {
        let underlay = underlay(count, 1500);
        for (number, host) in underlay.hosts.iter().enumerate() {
            assert_eq!(in_netns(&host.netns, names).expect("entered"), ["lo", DEVICE]);
            let elsewhere = sender(&underlay, number, 0).send("192.0.2.1:9".parse().expect("an address"), b"x", 1);
            assert_eq!(elsewhere.map_err(|e| e.kind()), Err(std::io::ErrorKind::NetworkUnreachable));
            assert_eq!(host.addresses.iter().map(|(a, _)| *a).collect::<Vec<_>>(), addresses(number));
        }
        if let Some(switch) = &underlay.switch {
            let ports = (0..count).map(|number| format!("port{number}"));
            let expected: Vec<_> =
                ["lo".to_owned()].into_iter().chain(ports).chain([SWITCH_DEVICE.to_owned()]).collect();
            assert_eq!(in_netns(switch, names).expect("entered"), expected);
            let addresses = in_netns(switch, || Netlink::open().expect("netlink").addresses().expect("listed"));
            let global = addresses.expect("entered").into_iter().find(|a| !is_link_local(a.address));
            assert_eq!(global, None, "a switch has no address");
        }
    }
    assert_eq!(in_netns(namespace::current().expect("ours"), names).expect("entered"), before, "nothing out here");
    let refused = Underlay::create(&[vec![(ip("198.18.0.1"), 24)], vec![(ip("198.18.0.2"), 99)]], 1500);
    assert!(matches!(refused, Err(UnderlayError::Netlink(_))), "a prefix of 99 bits");
}

fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local())
}

fn names() -> Vec<String> {
    let mut names: Vec<_> =
        Netlink::open().expect("netlink").links().expect("links").into_iter().map(|l| l.name).collect();
    names.sort();
    names
}

/// A cable from a namespace of our own into each that is looked at: when that one dies, its end of the cable dies, and
/// ours with it.
fn nothing_is_left_of_an_underlay() {
    for count in [2, 3] {
        let watch = namespace::create().expect("a namespace");
        let underlay = underlay(count, 1500);
        let places: Vec<&OwnedFd> = underlay.hosts.iter().map(|h| &h.netns).chain(&underlay.switch).collect();
        let watched = places.len();
        in_netns(&watch, || {
            let mut netlink = Netlink::open().expect("netlink");
            for (number, place) in places.iter().enumerate() {
                netlink.add_veth(&format!("w{number}"), "watch", Some(place.as_fd())).expect("a pair");
            }
        })
        .expect("entered");
        let left = || in_netns(&watch, names).expect("entered").len() - 1;
        // A socket in there keeps its host; nothing else does.
        let socket = bind(&underlay, 0, 0);
        drop(underlay);
        eventually("all but one are gone", || left() == 1);
        std::thread::sleep(Duration::from_millis(50));
        assert_eq!((left(), watched), (1, if count == 2 { 2 } else { 4 }));
        drop(socket);
        eventually("all are gone", || left() == 0);
    }
}

/// As a user without privileges: buffers as large as the machine allows, all else the same.
pub(crate) fn without_privileges() {
    drop(underlay(3, 1500));
    let (underlay, sender, receiver) = pair(0, 1500);
    let capture = open(&underlay.hosts[1].netns, DEVICE);
    underlay.set_features(&[("rx-gro", true)]).expect("set");
    assert_eq!(exchange(&sender, &receiver, 3 * 1400, 1400).concat(), [1400; 3]);
    assert_eq!(captured(&capture, FRAME_LEN_MAX).len(), 1);
    let limit = std::fs::read_to_string("/proc/sys/net/core/rmem_max").expect("readable");
    let limit: usize = limit.trim().parse().expect("a number");
    let len = rustix::net::sockopt::socket_recv_buffer_size(&receiver).expect("known");
    assert_eq!(len, 2 * limit.min(8 << 20), "the kernel doubles it");
}
