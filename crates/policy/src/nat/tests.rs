//! The table against one that only has a list, and each of AWS's sentences about it.

use super::*;
use crate::flow::protocol;
use alloc::vec::Vec;
use model::ResourceId;
use proptest::prelude::*;

fn gateway(n: u128) -> NetworkInterfaceId {
    NetworkInterfaceId::from_random(n)
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn at(seconds: i64) -> Time {
    Time::EPOCH + Duration::seconds(seconds)
}

const SMALL: NatLimits = NatLimits {
    mappings: 12,
    mappings_per_gateway: 8,
    ports_per_destination: 3,
    idle: Duration::seconds(350),
    closed: Duration::seconds(10),
};

fn table() -> NatTable {
    NatTable::new(SMALL, 7)
}

fn udp(src: &str, sport: u16, dst: &str, dport: u16) -> Flow {
    Flow::udp(ip(src), sport, ip(dst), dport)
}

fn tcp(src: &str, sport: u16, dst: &str, flags: TcpFlags) -> Flow {
    Flow::tcp(ip(src), sport, ip(dst), 443, flags)
}

fn ports(flow: &Flow) -> (u16, u16) {
    (flow.key().sport, flow.key().dport)
}

const X: &str = "10.0.1.10";
const R: &str = "198.51.100.7";

/// What a list knows: whose conversation it is, what it is outside, until when, and who has ended it.
#[derive(Clone, Debug)]
struct Known {
    gateway: u128,
    inside: FlowKey,
    outside: FlowKey,
    expires: Time,
    ended: [bool; 2],
}

fn go_on(known: &mut Known, flow: &Flow, side: usize, now: Time) {
    let flags = tcp_flags(flow);
    if side == 0 && flags.is_opening() {
        known.ended = [false; 2];
    }
    let was_closed = known.ended == [true; 2];
    if flags.contains(TcpFlags::RST) {
        known.ended = [true; 2];
    } else if flags.contains(TcpFlags::FIN) {
        known.ended[side] = true;
    }
    if known.ended != [true; 2] {
        known.expires = now + SMALL.idle;
    } else if !was_closed {
        known.expires = now + SMALL.closed;
    }
}

fn any_flow() -> impl Strategy<Value = Flow> {
    let address = |last: u8| IpAddr::V4(Ipv4Addr::new(10, 0, 1, last));
    let remote = |last: u8| IpAddr::V4(Ipv4Addr::new(198, 51, 100, last));
    let flags = prop_oneof![Just(0x02_u8), Just(0x10), Just(0x11), Just(0x04), Just(0x12)];
    (0_u8..3, 1_u8..4, 1_u8..3, 0_u16..3, 0_u16..2, flags).prop_map(move |(kind, x, r, sport, dport, flags)| {
        let (src, dst) = (address(x), remote(r));
        match kind {
            0 => Flow::tcp(src, 40_000 + sport, dst, 80 + dport, TcpFlags(flags)),
            1 => Flow::udp(src, 40_000 + sport, dst, 53 + dport),
            _ => Flow::icmp(src, dst, if dport == 0 { 8 } else { 0 }, 0, sport, None),
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn agrees_with_a_list(
        steps in prop::collection::vec((any_flow(), 0_u128..2, 0_u8..10, 0_i64..120, 0_usize..12), 1..120),
    ) {
        let own = [[ip("10.0.9.1"), ip("10.0.9.2")], [ip("10.0.9.3"), ip("10.0.9.3")]];
        let (mut table, mut list, mut now) = (table(), Vec::<Known>::new(), Time::EPOCH);
        for (flow, n, what, wait, which) in steps {
            now = now + Duration::seconds(wait);
            let own = if n == 0 { &own[0][..] } else { &own[1][..1] };
            if what == 9 {
                table.expire(now, 5);
                list.retain(|known| known.expires > now);
            }
            list.retain(|known| known.expires > now || known.inside != flow.key());
            if what < 6 {
                let is_it = |known: &Known| known.gateway == n && known.inside == flow.key() && known.expires > now;
                let known = list.iter().position(is_it);
                match (table.outbound(gateway(n), own, &flow, now), known) {
                    (Ok(outside), Some(at)) => {
                        prop_assert_eq!(outside.key(), list[at].outside);
                        go_on(&mut list[at], &flow, 0, now);
                    }
                    (Ok(outside), None) => {
                        prop_assert!(begins(&flow), "{:?}", flow);
                        let key = outside.key();
                        prop_assert!(own.contains(&key.src) && NAT_PORTS.contains(&key.sport));
                        prop_assert_eq!((key.dst, key.dport, key.protocol), (flow.dst, flow.key().dport, flow.protocol));
                        let live = list.iter().filter(|known| known.gateway == n && known.expires > now);
                        let same = live.filter(|known| {
                            let FlowKey { src, dst, protocol, dport, .. } = known.outside;
                            (src, dst, protocol, dport) == (key.src, key.dst, key.protocol, key.dport)
                        });
                        let same: Vec<u16> = same.map(|known| known.outside.sport).collect();
                        prop_assert!(!same.contains(&key.sport), "a port for two");
                        prop_assert!(same.len() < 3, "more ports than there are for a destination");
                        let mut known = Known { gateway: n, inside: flow.key(), outside: key, expires: now, ended: [false; 2] };
                        go_on(&mut known, &flow, 0, now);
                        list.push(known);
                    }
                    (Err(NatCause::Forgotten), known) => prop_assert!(known.is_none() && !begins(&flow)),
                    (Err(NatCause::NoPort), known) => {
                        let live = list.iter().filter(|known| known.gateway == n && known.expires > now);
                        let key = flow.key();
                        let same = live.filter(|known| (known.outside.dst, known.outside.protocol, known.outside.dport) == (key.dst, key.protocol, key.dport));
                        prop_assert!(known.is_none() && same.count() >= 3 * own.len());
                    }
                    (Err(NatCause::Full), known) => {
                        let of_gateway = list.iter().filter(|known| known.gateway == n && known.expires > now).count();
                        let all = list.iter().filter(|known| known.expires > now).count();
                        prop_assert!(known.is_none() && (of_gateway >= 8 || all >= 12));
                    }
                    (Err(other), _) => prop_assert!(false, "{:?}", other),
                }
            } else {
                // An answer to something, or a stranger's packet.
                let Some(known) = list.get(which).cloned() else { continue };
                let mut answer = known.outside.reversed();
                if what == 7 {
                    answer.sport ^= 1;
                }
                let flags = tcp_flags(&flow);
                let packet = match answer.protocol {
                    protocol::TCP => Flow::tcp(answer.src, answer.sport, answer.dst, answer.dport, flags),
                    protocol::UDP => Flow::udp(answer.src, answer.sport, answer.dst, answer.dport),
                    _ => Flow::icmp(answer.src, answer.dst, answer.dport as u8, 0, answer.sport, None),
                };
                let own = [ip("10.0.9.1"), ip("10.0.9.2"), ip("10.0.9.3")];
                let found = list.iter_mut().find(|other| {
                    other.gateway == known.gateway && other.outside == packet.key().reversed() && other.expires > now
                });
                match (table.inbound(gateway(known.gateway), &own, &packet, now), found) {
                    (Ok(inside), Some(known)) => {
                        prop_assert_eq!(inside.key(), known.inside.reversed());
                        go_on(known, &packet, 1, now);
                    }
                    (Err(NatCause::NoMapping), None) => {}
                    (other, known) => prop_assert!(false, "{:?} {:?}", other, known),
                }
            }
            prop_assert!(table.len() <= 12);
        }
    }
}

#[test]
fn a_reply_comes_home_and_only_from_where_it_was_asked() {
    let (mut table, own) = (table(), [ip("10.0.9.1")]);
    let out = table.outbound(gateway(1), &own, &udp(X, 5000, R, 53), at(0)).unwrap();
    assert_eq!((out.src, out.dst, ports(&out).1), (own[0], ip(R), 53));
    let port = ports(&out).0;
    let answer = |from: &str, sport, to| Flow::udp(ip(from), sport, own[0], to);
    let back = table.inbound(gateway(1), &own, &answer(R, 53, port), at(1)).unwrap();
    assert_eq!(back, udp(R, 53, X, 5000));
    for (packet, why) in [
        (answer("198.51.100.8", 53, port), "another address"),
        (answer(R, 54, port), "another port"),
        (answer(R, 53, port ^ 1), "another port of the gateway's"),
    ] {
        assert_eq!(table.inbound(gateway(1), &own, &packet, at(1)), Err(NatCause::NoMapping), "{why}");
    }
    assert_eq!(table.inbound(gateway(2), &own, &answer(R, 53, port), at(1)), Err(NatCause::NoMapping), "not its own");
}

#[test]
fn idle_for_350_seconds_is_over_and_a_packet_either_way_is_not_idle() {
    let (mut table, own) = (table(), [ip("10.0.9.1")]);
    let syn = tcp(X, 5000, R, TcpFlags::SYN);
    let out = table.outbound(gateway(1), &own, &syn, at(0)).unwrap();
    let ack = tcp(X, 5000, R, TcpFlags::ACK);
    assert_eq!(table.outbound(gateway(1), &own, &ack, at(349)).map(|flow| ports(&flow)), Ok(ports(&out)));
    let answer = Flow::tcp(ip(R), 443, own[0], ports(&out).0, TcpFlags::ACK);
    assert!(table.inbound(gateway(1), &own, &answer, at(349 + 349)).is_ok());
    let idle = at(349 + 349 + 350);
    assert_eq!(table.inbound(gateway(1), &own, &answer, idle), Err(NatCause::NoMapping));
    assert_eq!(table.outbound(gateway(1), &own, &ack, idle), Err(NatCause::Forgotten));
    assert!(table.outbound(gateway(1), &own, &syn, idle).is_ok(), "it may begin again");
}

#[test]
fn what_has_ended_leaves_soon() {
    for ends in [&[(0, TcpFlags(0x11)), (1, TcpFlags(0x11))][..], &[(1, TcpFlags(0x14))], &[(0, TcpFlags(0x04))]] {
        let (mut table, own) = (table(), [ip("10.0.9.1")]);
        let out = table.outbound(gateway(1), &own, &tcp(X, 5000, R, TcpFlags::SYN), at(0)).unwrap();
        for (side, flags) in ends {
            let said = match side {
                0 => table.outbound(gateway(1), &own, &tcp(X, 5000, R, *flags), at(1)),
                _ => table.inbound(gateway(1), &own, &Flow::tcp(ip(R), 443, own[0], ports(&out).0, *flags), at(1)),
            };
            assert!(said.is_ok());
        }
        let mut last = |seconds| table.outbound(gateway(1), &own, &tcp(X, 5000, R, TcpFlags::ACK), at(seconds));
        assert!(last(10).is_ok(), "the last acknowledgement passes");
        assert_eq!(last(11), Err(NatCause::Forgotten), "and does not make it live longer: {ends:?}");
    }
    let (mut table, own) = (table(), [ip("10.0.9.1")]);
    table.outbound(gateway(1), &own, &tcp(X, 5000, R, TcpFlags::SYN), at(0)).unwrap();
    table.outbound(gateway(1), &own, &tcp(X, 5000, R, TcpFlags(0x11)), at(1)).unwrap();
    assert!(table.outbound(gateway(1), &own, &tcp(X, 5000, R, TcpFlags::ACK), at(300)).is_ok(), "half of it goes on");
}

#[test]
fn an_identifier_stands_for_a_ping() {
    let (mut table, own) = (table(), [ip("10.0.9.1")]);
    let ask = |x: &str| Flow::icmp(ip(x), ip(R), 8, 0, 77, None);
    let one = table.outbound(gateway(1), &own, &ask(X), at(0)).unwrap();
    let two = table.outbound(gateway(1), &own, &ask("10.0.1.11"), at(0)).unwrap();
    assert_ne!(one, two, "two guests with one identifier");
    let answer = Flow::icmp(ip(R), own[0], 0, 0, two.key().sport, None);
    let back = table.inbound(gateway(1), &own, &answer, at(1)).unwrap();
    assert_eq!(back, Flow::icmp(ip(R), ip("10.0.1.11"), 0, 0, 77, None));
    let question = Flow::icmp(ip(R), own[0], 8, 0, two.key().sport, None);
    assert_eq!(table.inbound(gateway(1), &own, &question, at(1)), Err(NatCause::NoMapping), "a question is no answer");
    let unasked = Flow::icmp(ip(X), ip(R), 0, 0, 78, None);
    assert_eq!(table.outbound(gateway(1), &own, &unasked, at(1)), Err(NatCause::Forgotten));
}

#[test]
fn an_error_finds_whom_it_is_about() {
    let (mut table, own) = (table(), [ip("10.0.9.1")]);
    let sent = udp(X, 5000, R, 53);
    let out = table.outbound(gateway(1), &own, &sent, at(0)).unwrap();
    let router = "203.0.113.9";
    let error = |src: &str, dst: IpAddr, about| Flow::icmp(ip(src), dst, 3, 3, 0, Some(about));
    let home = table.inbound(gateway(1), &own, &error(router, own[0], out.key()), at(1)).unwrap();
    assert_eq!(home, error(router, ip(X), sent.key()));
    // And the inside's own, about what came in.
    let came = udp(R, 53, X, 5000);
    let gone = table.outbound(gateway(1), &own, &error(X, ip(R), came.key()), at(1)).unwrap();
    let Flow { src, dst, .. } = gone;
    assert_eq!((src, dst), (own[0], ip(R)));
    assert_eq!(gone.l4, L4::IcmpError { kind: 3, code: 3, embedded: out.key().reversed() });
    for (packet, why) in [
        (error(router, own[0], udp("10.0.9.1", 1, R, 53).key()), "no such conversation"),
        (error(router, ip("10.0.9.2"), out.key()), "not to who sent that"),
        (Flow::icmp(ip(router), own[0], 3, 3, 0, None), "nobody knows about what"),
    ] {
        assert_eq!(table.inbound(gateway(1), &own, &packet, at(1)), Err(NatCause::NoMapping), "{why}");
    }
}

#[test]
fn each_destination_has_its_ports_and_each_gateway_its_share() {
    let (mut table, own) = (table(), [ip("10.0.9.1")]);
    let mut out = |sport, dst: &str, dport| table.outbound(gateway(1), &own, &udp(X, sport, dst, dport), at(0));
    assert!((1..=3).all(|sport| out(sport, R, 53).is_ok()));
    assert_eq!(out(4, R, 53), Err(NatCause::NoPort));
    assert!((1..=3).all(|sport| out(sport, R, 54).is_ok()), "another port is another destination");
    assert!((1..=2).all(|sport| out(sport, "198.51.100.8", 53).is_ok()), "another address too");
    assert_eq!(out(9, "198.51.100.9", 53), Err(NatCause::Full));
    assert!(table.outbound(gateway(2), &[ip("10.0.9.2")], &udp(X, 1, R, 53), at(0)).is_ok(), "its neighbour has room");
    let two = [ip("10.0.9.1"), ip("10.0.9.5")];
    table.keep_only(|_| false);
    assert!(table.is_empty());
    let all: Vec<_> = (1..=6).map(|sport| table.outbound(gateway(1), &two, &udp(X, sport, R, 53), at(0))).collect();
    assert!(all.iter().all(Result::is_ok), "a second address, as many ports again");
    assert_eq!(table.outbound(gateway(1), &two, &udp(X, 7, R, 53), at(0)), Err(NatCause::NoPort));
}

#[test]
fn a_whole_destination_of_55_000() {
    let limits = NatLimits { mappings: 60_000, mappings_per_gateway: 60_000, ..NatLimits::default() };
    let (mut table, own) = (NatTable::new(limits, 7), [ip("10.0.9.1")]);
    let sent = |n: u32| udp(&alloc::format!("10.1.{}.{}", n % 4, n % 251 + 1), (n / 2) as u16, R, 53);
    let mut seen = alloc::collections::BTreeSet::new();
    let mut done = 0;
    for n in 0..130_000 {
        match table.outbound(gateway(1), &own, &sent(n), at(0)) {
            Ok(flow) => {
                done += usize::from(seen.insert(ports(&flow).0));
            }
            Err(cause) => assert_eq!((cause, done), (NatCause::NoPort, 55_000)),
        }
    }
    assert_eq!((done, seen.first() >= Some(&1024)), (55_000, true));
}

#[test]
fn an_address_that_left_takes_its_mappings_along() {
    let mut table = table();
    let (old, new) = ([ip("10.0.9.1")], [ip("10.0.9.2")]);
    let syn = table.outbound(gateway(1), &old, &tcp(X, 1, R, TcpFlags::SYN), at(0)).unwrap();
    assert_eq!(table.outbound(gateway(1), &new, &tcp(X, 1, R, TcpFlags::ACK), at(1)), Err(NatCause::Forgotten));
    let answer = Flow::tcp(ip(R), 443, old[0], ports(&syn).0, TcpFlags::SYN_ACK);
    assert_eq!(table.inbound(gateway(1), &new, &answer, at(1)), Err(NatCause::NoMapping));
    let again = table.outbound(gateway(1), &new, &udp(X, 1, R, 53), at(1)).unwrap();
    assert_eq!(again.src, new[0]);
}

#[test]
fn only_what_has_ports_or_an_identifier_over_ipv4_is_translated() {
    let (mut table, own) = (table(), [ip("10.0.9.1")]);
    let gre = Flow::other(ip(X), ip(R), 47);
    assert_eq!(table.outbound(gateway(1), &own, &gre, at(0)), Err(NatCause::Protocol));
    let v6 = Flow::udp(ip("2001:db8::1"), 1, ip("2001:db8::2"), 2);
    assert_eq!(table.outbound(gateway(1), &own, &v6, at(0)), Err(NatCause::Protocol));
    assert_eq!(table.outbound(gateway(1), &[ip("2001:db8::9")], &udp(X, 1, R, 2), at(0)), Err(NatCause::NoPort));
}
