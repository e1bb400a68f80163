//! The cache is only speed: with it, without it, and with it dropped at any moment, every frame meets the same fate, and connection
//! tracking knows the same (architecture ch. 4).

use std::net::SocketAddr;

use dataplane::Config;
use model::{Direction, Duration, IpProtocol, Ports};
use proptest::prelude::*;
use wire::{TcpFlags, build, icmp};

use crate::world::cloud::*;
use crate::world::{Host, link, to_router};

/// One thing that happens.
#[derive(Clone, Debug)]
enum Event {
    Tcp { pair: usize, reverse: bool, sport: u16, dport: u16, flags: u8, routed: bool },
    Udp { pair: usize, reverse: bool, sport: u16, dport: u16 },
    Ping { pair: usize, reverse: bool, request: bool },
    Unreachable { pair: usize, reverse: bool, sport: u16, dport: u16 },
    Other { pair: usize, reverse: bool },
    Pass { ms: i64 },
    Change { what: usize },
    Drop,
    Sweep,
}

const PAIRS: [(Guest, Guest); 4] = [(A1, B1), (A1, A2), (A3, B2), (A1, A3)];
const FLAGS: [u8; 8] = [0x10, 0x10, 0x10, 0x18, 0x02, 0x12, 0x11, 0x04];
const SPANS: [i64; 9] = [0, 1, 1, 5, 999, 9_999, 29_999, 30_001, 60_000];

fn event() -> impl Strategy<Value = Event> {
    let ports = || (40_000_u16..40_002, prop::sample::select(vec![53_u16, 443]));
    let flow = || (0..PAIRS.len(), any::<bool>(), ports());
    prop_oneof![
        10 => (flow(), prop::sample::select(FLAGS.to_vec()), prop::bool::weighted(0.2)).prop_map(
            |((pair, reverse, (sport, dport)), flags, routed)| Event::Tcp { pair, reverse, sport, dport, flags, routed }
        ),
        10 => flow().prop_map(|(pair, reverse, (sport, dport))| Event::Udp { pair, reverse, sport, dport }),
        2 => (flow(), any::<bool>()).prop_map(|((pair, reverse, _), request)| Event::Ping { pair, reverse, request }),
        2 => flow().prop_map(|(pair, reverse, (sport, dport))| Event::Unreachable { pair, reverse, sport, dport }),
        2 => flow().prop_map(|(pair, reverse, _)| Event::Other { pair, reverse }),
        6 => prop::sample::select(SPANS.to_vec()).prop_map(|ms| Event::Pass { ms }),
        2 => (0_usize..9).prop_map(|what| Event::Change { what }),
        1 => Just(Event::Drop),
        1 => Just(Event::Sweep),
    ]
}

fn change(cloud: &mut Cloud, what: usize) {
    let within = |protocol, ports, block| rule(Direction::Ingress, protocol, ports, of_block(block));
    match what {
        0 => cloud.rules(B, vec![]),
        1 => *cloud = Cloud::open(),
        2 => *cloud = Cloud::guarded(),
        3 => cloud.delete_peering(),
        4 => cloud.acl(A, Direction::Ingress, 1, deny("10.17.0.0/16")),
        5 => cloud.rules(A, vec![within(IpProtocol::UDP, Ports::Any, "0.0.0.0/0")]),
        6 => cloud.endpoint(B1).is_up ^= true,
        7 => cloud.acl(A, Direction::Egress, 1, deny("10.16.0.0/16")),
        _ => cloud.interface(A1).source_dest_check ^= true,
    }
}

/// The frame and its sender.
fn frame_of(event: &Event) -> Option<(Guest, Vec<u8>)> {
    let ends = |pair: usize, reverse: bool| {
        let (x, y) = PAIRS[pair];
        if reverse { (y, x) } else { (x, y) }
    };
    let sockets = |from: Guest, to: Guest, reverse: bool, sport, dport| {
        let (sport, dport) = if reverse { (dport, sport) } else { (sport, dport) };
        (SocketAddr::new(from.v4().into(), sport), SocketAddr::new(to.v4().into(), dport))
    };
    Some(match *event {
        Event::Tcp { pair, reverse, sport, dport, flags, routed } => {
            let (from, to) = ends(pair, reverse);
            let (src, dst) = sockets(from, to, reverse, sport, dport);
            let link = if routed { to_router(from) } else { link(from, to) };
            (from, build::tcp(link, src, dst, TcpFlags(flags), &[]))
        }
        Event::Udp { pair, reverse, sport, dport } => {
            let (from, to) = ends(pair, reverse);
            let (src, dst) = sockets(from, to, reverse, sport, dport);
            (from, build::udp(link(from, to), src, dst, b"x"))
        }
        Event::Ping { pair, reverse, request } => {
            let (from, to) = ends(pair, reverse);
            (from, build::icmp_echo(link(from, to), from.v4().into(), to.v4().into(), request, 1, 1, b"x"))
        }
        Event::Unreachable { pair, reverse, sport, dport } => {
            let (from, to) = ends(pair, reverse);
            let (src, dst) = sockets(to, from, !reverse, sport, dport);
            let about = build::udp(link(to, from), src, dst, b"x");
            let fields = icmp::Fields { kind: 3, code: 3, rest: [0; 4] };
            (from, build::icmp(link(from, to), from.v4().into(), to.v4().into(), fields, &about[14..]))
        }
        Event::Other { pair, reverse } => {
            let (from, to) = ends(pair, reverse);
            (from, build::ip(link(from, to), from.v4().into(), to.v4().into(), 47, &[0; 8]))
        }
        _ => return None,
    })
}

/// What was seen, event by event.
fn play(events: &[Event], cache_lines: usize, drops: bool) -> Vec<(String, usize)> {
    let mut host = Host::with(Cloud::guarded(), Config { cache_lines, ..crate::world::config() });
    let mut step = |event: &Event| {
        match *event {
            Event::Pass { ms } => host.pass_time(Duration::millis(ms)),
            Event::Change { what } => host.edit(|cloud| change(cloud, what)),
            Event::Drop if drops => host.worker.drop_cache(),
            Event::Sweep => host.worker.handle_timeout(host.now),
            _ => {}
        }
        let seen = frame_of(event).map(|(from, frame)| format!("{:?}", host.send(from, &frame)));
        (seen.unwrap_or_default(), host.shared.flows())
    };
    events.iter().map(&mut step).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_cache_changes_no_verdict_and_no_tracked_flow(events in prop::collection::vec(event(), 1..120)) {
        let without = play(&events, 0, false);
        prop_assert_eq!(&play(&events, 1024, false), &without, "remembered");
        prop_assert_eq!(&play(&events, 1024, true), &without, "dropped now and then");
        prop_assert_eq!(&play(&events, 4, false), &without, "too small");
    }
}

fn udp(from: (Guest, u16), to: (Guest, u16)) -> Vec<u8> {
    let socket = |(guest, port): (Guest, u16)| SocketAddr::new(guest.v4().into(), port);
    build::udp(link(from.0, to.0), socket(from), socket(to), b"x")
}

#[test]
fn an_exchange_within_one_millisecond_is_told_in_full() {
    let mut host = Host::new(Cloud::guarded());
    let (question, answer) = (udp((A1, 1), (B1, 53)), udp((B1, 53), (A1, 1)));
    for _ in 0..2 {
        host.send(A1, &question).delivered();
        host.send(B1, &answer).delivered();
    }
    host.edit(|cloud| cloud.rules(B, vec![]));
    host.pass_time(Duration::seconds(179));
    assert_eq!(host.send(B1, &answer).code(), "ok", "two questions and answers are a stream: 180 s (spec 6.4.4)");
}

#[test]
fn packets_a_millisecond_apart_each_keep_the_flow() {
    let mut host = Host::new(Cloud::guarded());
    let question = udp((A1, 1), (B1, 53));
    for _ in 0..3 {
        host.send(A1, &question).delivered();
        host.pass_time(Duration::millis(1));
    }
    host.edit(|cloud| cloud.rules(B, vec![]));
    host.pass_time(Duration::millis(29_998));
    assert_eq!(host.send(A1, &question).code(), "ok", "29,999 ms after the last one");
    host.pass_time(Duration::seconds(30));
    assert_eq!(host.send(A1, &question).code(), "D22");
}

#[test]
fn through_the_router_is_another_way_than_to_a_neighbour() {
    let mut cloud = Cloud::open();
    cloud.acl(A, Direction::Egress, 1, deny("10.16.0.0/16"));
    let mut host = Host::new(cloud);
    let on_link = udp((A1, 1), (A2, 53));
    let mut routed = on_link.clone();
    routed[..6].copy_from_slice(&to_router(A1).dst.octets());
    for _ in 0..2 {
        assert_eq!(host.send(A1, &on_link).code(), "ok");
        assert_eq!(host.send(A1, &routed).code(), "D07");
    }
}

#[test]
fn a_remembered_flow_is_not_asked_about_again_until_the_tables_change() {
    let mut host = Host::new(Cloud::guarded());
    let frame = udp((A1, 1), (B1, 53));
    let lookups = |host: &Host| (host.counters(A1).cache_hits, host.counters(A1).cache_misses);
    for _ in 0..3 {
        host.send(A1, &frame).delivered();
    }
    assert_eq!(lookups(&host), (1, 2), "first it was new, now it is tracked: another verdict to remember");
    host.pass_time(Duration::millis(1));
    for _ in 0..3 {
        host.send(A1, &frame).delivered();
    }
    assert_eq!(lookups(&host), (4, 2));
    host.pass_time(Duration::seconds(20));
    host.send(A1, &frame).delivered();
    assert_eq!(lookups(&host), (5, 2));
    host.apply();
    host.send(A1, &frame).delivered();
    assert_eq!(lookups(&host), (5, 3));
}
