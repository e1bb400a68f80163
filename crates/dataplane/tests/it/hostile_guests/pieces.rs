//! What headers hide, and what pieces hide (cases 20, 23, 25, 27, 32-34).

use super::socket;
use crate::world::cloud::*;
use crate::world::pair::{Datagrams, Pair};
use crate::world::{Host, Outcome, link, to_router};
use dataplane::DATAGRAMS_PER_PORT;
use model::{Domain, Scope};
use policy::Denied;
use wire::esp::{next_header, sealed_len};
use wire::vnet::VnetHeader;
use wire::{Malformed, TcpFlags, build, checksum};

/// Three pieces of a datagram to B1.
fn pieces(is_v6: bool, dport: u16, id: u32) -> Vec<Vec<u8>> {
    let whole = build::udp(to_router(A1), socket(A1, is_v6, 40_000), socket(B1, is_v6, dport), &[7; 4000]);
    build::fragments(&whole, id, 1376)
}

#[test]
fn a_server_in_pieces_is_a_server() {
    let mut host = Host::new(Cloud::open());
    for is_v6 in [false, true] {
        let (server, client) = if is_v6 { (547, 546) } else { (67, 68) };
        let offer = build::udp(link(A1, A2), socket(A1, is_v6, server), socket(A2, is_v6, client), &[7; 600]);
        let cut = build::fragments(&offer, 1, 256);
        assert_eq!(host.send(A1, &cut[1]).code(), "held");
        assert_eq!(host.send(A1, &cut[0]).code(), "D35");
        assert_eq!(host.send(A1, &cut[2]).code(), "held", "without a first one they stay where they are");
    }
    host.pass_time(dataplane::FRAGMENT_LIFE);
    host.worker.handle_timeout(host.now);
    let counters = host.counters(A1);
    assert_eq!((counters.denied(&Denied::RogueServer).packets, counters.denied(&Denied::Fragment).packets), (2, 4));
    assert_eq!(host.counters(A2).delivered.packets, 0);
}

/// A datagram that another link began is none of this one's, whatever address stands in it.
#[test]
fn pieces_of_two_links_never_meet() {
    let mut pair = Pair::new(Cloud::guarded());
    let foreign = Domain { from: id(99), to: vpc_id(B), scope: Scope::Peering(id(2)) };
    pair.agree(0, foreign);
    let liar = pair.outbound[0].last().unwrap().clone();
    let lie = |frame: &[u8]| -> Vec<Datagrams> {
        let inner = &frame[14..];
        let mut datagram = vec![0; sealed_len(inner.len())];
        datagram[16..][..inner.len()].copy_from_slice(inner);
        let first = liar.reserve(1, 1).unwrap();
        let len = liar.seal(first, &mut datagram, inner.len(), next_header::IPV4);
        vec![(datagram, len as u16)]
    };
    let honest = |pair: &mut Pair, frame: &[u8]| {
        assert_eq!(pair.send(A1, &VnetHeader::default(), frame), Outcome::Sealed);
        pair.take(0)
    };
    let cut = pieces(false, 53, 1);
    let first = honest(&mut pair, &cut[0]);
    assert_eq!(pair.give(1, &first).len(), 1);
    assert_eq!(pair.give(1, &lie(&cut[1])), [], "A1 did not say this");
    let rest = [honest(&mut pair, &cut[1]), honest(&mut pair, &cut[2])].concat();
    assert_eq!(pair.give(1, &rest).len(), 2, "and what it did say is not spoilt by it");
    // Nor does a lie that comes first decide about the truth.
    let cut = pieces(false, 53, 2);
    assert_eq!(pair.give(1, &lie(&cut[0])), []);
    let all: Vec<_> = cut.iter().flat_map(|piece| honest(&mut pair, piece)).collect();
    assert_eq!(pair.give(1, &all).len(), 3);
}

#[test]
fn a_flood_over_a_link_ends_after_thirty_seconds() {
    let mut pair = Pair::new(Cloud::guarded());
    let bound = u32::from(DATAGRAMS_PER_PORT);
    let carry = |pair: &mut Pair, frame: &[u8]| pair.carry(A1, &VnetHeader::default(), frame).len();
    for id in 0..bound {
        // Of one half the second pieces arrive alone, of the other the first ones.
        let cut = pieces(false, 53, id);
        let sent: Vec<_> = cut[..2]
            .iter()
            .flat_map(|piece| {
                assert_eq!(pair.send(A1, &VnetHeader::default(), piece), Outcome::Sealed);
                pair.take(0)
            })
            .collect();
        pair.give(1, &sent[usize::from(id % 2 == 0)..][..1]);
        // What it holds at home must not stop it.
        pair.hosts[0].pass_time(dataplane::FRAGMENT_LIFE);
        pair.hosts[0].worker.handle_timeout(pair.hosts[0].now);
    }
    assert_eq!(carry(&mut pair, &pieces(false, 53, bound)[0]), 0, "all places are taken");
    pair.hosts[0].pass_time(dataplane::FRAGMENT_LIFE);
    pair.hosts[0].worker.handle_timeout(pair.hosts[0].now);
    let before = pair.hosts[1].counters(B1).denied(&Denied::Fragment);
    pair.hosts[1].pass_time(dataplane::FRAGMENT_LIFE);
    pair.hosts[1].worker.handle_timeout(pair.hosts[1].now);
    let swept = pair.hosts[1].counters(B1).denied(&Denied::Fragment).packets - before.packets;
    let whole: usize = pieces(false, 53, 1 << 15).iter().map(|piece| carry(&mut pair, piece)).sum();
    assert_eq!(whole, 3, "after that they are free again");
    assert_eq!(swept, u64::from(bound / 2), "what waited for a first one is counted");
}

#[test]
fn who_comes_next_inherits_no_pieces() {
    let mut host = Host::new(Cloud::guarded());
    let cut = pieces(false, 53, 1);
    // One datagram whose first piece was allowed, one of which a later piece waits.
    assert_eq!(host.send(A1, &cut[0]).code(), "ok");
    assert_eq!(host.send(A1, &pieces(false, 53, 2)[1]).code(), "held");
    // The interface goes; another one with its addresses takes the port.
    host.cloud.interface(A1).id = id(9_999);
    let slices = host.cloud.arcs();
    let slices = || slices.iter().map(|slice| &**slice);
    let next = dataplane::Binding { interface: id(9_999), ..crate::world::binding(A1, crate::world::MTU) };
    let others = GUESTS.iter().skip(1).map(|guest| crate::world::binding(*guest, crate::world::MTU));
    let bindings: Vec<_> = std::iter::once(next).chain(others).collect();
    let tables = policy::Tables::compile(slices(), host.shared.generation() + 1);
    host.shared.apply(std::sync::Arc::new(tables), dataplane::Ports::new(slices(), &bindings));
    assert_eq!(host.send(A1, &cut[1]).code(), "held", "its first one is the old one's");
    let mut first = pieces(false, 53, 2).swap_remove(0);
    first[6..12].copy_from_slice(&A1.mac().octets());
    host.send(A1, &first);
    assert_eq!(host.transmits(), [], "what the old one said is not sent for the new one");
}

/// Options of an IPv6 header that say nothing.
const PADDING: [u8; 8] = [0, 0, 1, 4, 0, 0, 0, 0];

#[test]
fn extensions_hide_no_port() {
    const HOP_BY_HOP: u8 = 0;
    const DESTINATION_OPTIONS: u8 = 60;
    let mut host = Host::new(Cloud::guarded());
    for (port, code) in [(53, "ok"), (54, "D22")] {
        let plain = build::udp(to_router(A1), socket(A1, true, 1), socket(B1, true, port), b"x");
        let once = build::with_extension(&plain, DESTINATION_OPTIONS, &PADDING);
        let twice = build::with_extension(&once, HOP_BY_HOP, &PADDING);
        for frame in [&plain, &once, &twice] {
            assert_eq!(host.send(A1, frame).code(), code, "{port}");
        }
        for cut in build::fragments(
            &build::udp(to_router(A1), socket(A1, true, 1), socket(B1, true, port), &[7; 3000]),
            5,
            1200,
        ) {
            assert_eq!(host.send(A1, &build::with_extension(&cut, HOP_BY_HOP, &PADDING)).code(), code, "{port}");
        }
    }
    let plain = build::udp(to_router(A1), socket(A1, true, 1), socket(B1, true, 53), b"x");
    // Mobility, host identity, shim6, two for experiments: each would carry on with a header that nobody reads.
    for unknown in [135, 139, 140, 253, 254] {
        assert_eq!(host.send(A1, &build::with_extension(&plain, unknown, &PADDING)).code(), "D32", "{unknown}");
    }
    // A protocol that nobody knows is judged as what it is.
    let strange = build::ip(to_router(A1), A1.v6().into(), B1.v6().into(), 200, &plain[54..]);
    assert_eq!(host.send(A1, &strange).code(), "D22");
}

#[test]
fn headers_that_divert_are_malformed() {
    let mut host = Host::new(Cloud::open());
    let v6 = build::udp(to_router(A1), socket(A1, true, 1), socket(B1, true, 53), b"x");
    for kind in [0, 2, 3, 4, 253] {
        let routed = build::with_extension(&v6, 43, &[0, 0, kind, 1, 0, 0, 0, 0]);
        assert_eq!(host.send(A1, &routed).code(), "D32", "a routing header of type {kind}");
    }
    // Loose and strict source routes, 12 bytes of options.
    let plain = build::udp(to_router(A1), socket(A1, false, 1), socket(B1, false, 53), b"x");
    for option in [131, 137] {
        let options = [option, 11, 4, 10, 17, 2, 10, 10, 17, 1, 10, 0];
        let mut frame = [&plain[..34], &options, &plain[34..]].concat();
        frame[14] = 0x48;
        let total = (frame.len() - 14) as u16;
        frame[16..18].copy_from_slice(&total.to_be_bytes());
        assert_eq!(host.send(A1, &with_sum(frame, 46)).code(), "D32", "option {option}");
    }
    let denied = host.counters(A1).denied(&Denied::Malformed);
    assert_eq!(denied.packets, 7);
}

/// With the checksum of an IPv4 header that ends there put right.
fn with_sum(mut frame: Vec<u8>, end: usize) -> Vec<u8> {
    frame[24..26].fill(0);
    let sum = checksum::of(&frame[14..end]);
    frame[24..26].copy_from_slice(&sum.to_be_bytes());
    frame
}

#[test]
fn headers_that_lie_are_malformed() {
    let mut host = Host::new(Cloud::open());
    let segment = build::tcp(to_router(A1), socket(A1, false, 1), socket(B1, false, 443), TcpFlags::SYN, b"data");
    let changed = |at: usize, value: &[u8]| {
        let mut frame = segment.clone();
        frame[14 + at..][..value.len()].copy_from_slice(value);
        with_sum(frame, 34)
    };
    let longer = [0xff, 0xff];
    let mut wrong_sum = segment.clone();
    wrong_sum[24] ^= 1;
    let lies = [
        ("a header of 4 words", changed(0, &[0x44])),
        ("a header beyond the packet", changed(0, &[0x4f])),
        ("version 6", changed(0, &[0x65])),
        ("a length of nothing", changed(2, &[0, 0])),
        ("a length below the header", changed(2, &[0, 19])),
        ("a length beyond the frame", changed(2, &longer)),
        ("protocol 0", changed(9, &[0])),
        ("a wrong sum", wrong_sum),
        ("a segment without its header", changed(2, &[0, 30])),
        ("a data offset below its header", changed(20 + 12, &[0x10])),
        ("a data offset beyond it", changed(20 + 12, &[0xf0])),
    ];
    for (what, frame) in &lies {
        assert_eq!(host.send(A1, frame).code(), "D32", "{what}");
    }
    let denied = host.counters(A1).denied(&Denied::Malformed);
    assert_eq!(denied.packets, lies.len() as u64);
    // The law would refuse none of them: it never saw them.
    assert_eq!(host.send(A1, &segment).code(), "ok");
    assert_eq!(wire::Packet::parse(&lies[6].1), Err(Malformed::ProtocolZero));
}
