//! Two hosts: what one seals the other opens, judges and delivers, and nothing else.

use std::net::SocketAddr;

use crate::world::cloud::*;
use crate::world::pair::{FAR, Pair, TUNNEL_MTU, address, host_id, inside, peering};
use crate::world::{Host, Outcome, link, router, to_router};
use model::{Domain, Duration, Scope};
use policy::Denied;
use proptest::prelude::*;
use tunnel::{LinkDirection, Permits};
use wire::esp::{next_header, sealed_len};
use wire::vnet::{GsoType, VnetHeader};
use wire::{TcpFlags, build};

const PLAIN: VnetHeader = VnetHeader {
    needs_csum: false,
    data_valid: false,
    gso_type: GsoType::None,
    ecn: false,
    hdr_len: 0,
    gso_size: 0,
    csum_start: 0,
    csum_offset: 0,
};

fn socket(guest: Guest, is_v6: bool, port: u16) -> SocketAddr {
    SocketAddr::new(guest.address(is_v6), port)
}

fn udp(from: Guest, to: Guest, is_v6: bool, payload: &[u8]) -> Vec<u8> {
    build::udp(link(from, to), socket(from, is_v6, 40_000), socket(to, is_v6, 53), payload)
}

fn stream(from: Guest, to: Guest, is_v6: bool, payload: &[u8], size: u16) -> (VnetHeader, Vec<u8>) {
    build::tcp_super_frame(to_router(from), socket(from, is_v6, 40_000), socket(to, is_v6, 5201), payload, size)
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n * 7 + n / 251) as u8).collect()
}

#[test]
fn both_ways_both_families_with_the_right_link_addresses() {
    let mut pair = Pair::new(Cloud::open());
    for is_v6 in [false, true] {
        for (from, to) in FAR.into_iter().flat_map(|far| [(A1, far), (far, A1)]) {
            let sent = udp(from, to, is_v6, b"hello");
            let delivered = pair.carry(from, &PLAIN, &sent);
            let [(reached, _, frame)] = &delivered[..] else { panic!("{delivered:?}") };
            assert_eq!(*reached, to);
            assert_eq!(frame[..6], to.mac().octets());
            assert_eq!(frame[6..12], router(to).octets());
            assert_eq!(frame[12..], sent[12..], "nothing but the link addresses changes");
        }
    }
}

#[test]
fn a_neighbour_on_another_host_is_still_a_neighbour() {
    let mut pair = Pair::without_keys(Cloud::open());
    // A2 moves: same subnet as A1, other host.
    pair.edit(|cloud| cloud.place(A2, host_id(1)));
    let want = match pair.send(A1, &PLAIN, &udp(A1, A2, false, b"x")) {
        Outcome::Held => pair.wants(0)[0],
        other => panic!("{other:?}"),
    };
    assert_eq!((want.domain, want.host), (inside(A), host_id(1)));
}

#[test]
fn a_super_frame_is_cut_sealed_and_made_whole_again() {
    for is_v6 in [false, true] {
        let mut pair = Pair::new(Cloud::open());
        let payload = pattern(50_000);
        // More than the tunnel takes: cut anew to fit.
        for size in [1000, 1300, 9000] {
            let (header, frame) = stream(A1, B1, is_v6, &payload, size);
            assert_eq!(pair.send(A1, &header, &frame), Outcome::Sealed);
            let batch = pair.take(0);
            for (bytes, segment) in &batch {
                assert!(usize::from(*segment) <= usize::from(TUNNEL_MTU) + 38, "what the underlay takes");
                assert!(bytes.len() <= 65_507);
                let is_clear =
                    bytes.windows(16).any(|window| payload.windows(16).step_by(997).any(|part| part == window));
                assert!(!is_clear, "no guest byte in clear");
            }
            let delivered = pair.give(1, &batch);
            let got: Vec<u8> =
                delivered.iter().flat_map(|(_, _, frame)| frame[frame_headers(is_v6)..].to_vec()).collect();
            assert_eq!(got, payload);
            assert!(delivered.len() <= 2, "merged: {}", delivered.len());
            assert!(delivered.iter().all(|(to, header, _)| *to == B1 && header.gso_type != GsoType::None));
        }
        assert_eq!(pair.hosts[1].counters(B1).denied_total().packets, 0);
    }
}

fn frame_headers(is_v6: bool) -> usize {
    14 + if is_v6 { 40 } else { 20 } + 20
}

#[test]
fn datagrams_of_one_flow_travel_and_arrive_together() {
    let mut pair = Pair::new(Cloud::open());
    let payload = pattern(20_000);
    let (src, dst) = (socket(A1, false, 9), socket(B1, false, 53));
    let (header, frame) = build::udp_super_frame(to_router(A1), src, dst, &payload, 500);
    let delivered = pair.carry(A1, &header, &frame);
    let [(B1, header, frame)] = &delivered[..] else { panic!("{}", delivered.len()) };
    assert_eq!((header.gso_type, header.gso_size), (GsoType::UdpL4, 500));
    assert_eq!(frame[42..], payload);
    // Many small ones share one send.
    for n in 0..40_u8 {
        assert_eq!(pair.send(A1, &PLAIN, &udp(A1, B1, false, &[n; 64])), Outcome::Sealed);
    }
    let batch = pair.take(0);
    assert_eq!(batch.len(), 1);
    let delivered = pair.give(1, &batch);
    assert_eq!(delivered.iter().map(|(_, _, frame)| frame.len() - 42).sum::<usize>(), 40 * 64);
}

#[test]
fn interleaved_streams_keep_their_order() {
    let mut pair = Pair::new(Cloud::open());
    let payload = pattern(4000);
    let mut expected = [Vec::new(), Vec::new()];
    for n in 0..6 {
        for (at, to) in [B1, B2].into_iter().enumerate() {
            let part = &payload[n * 600..][..600];
            expected[at].extend_from_slice(part);
            let (src, dst) = (socket(A1, false, 1), socket(to, false, 2));
            let fields = wire::tcp::Fields {
                src_port: src.port(),
                dst_port: dst.port(),
                seq: (n * 600) as u32,
                ack: 1,
                flags: TcpFlags::ACK,
                window: 500,
            };
            let addresses = wire::Addresses::of(src.ip(), dst.ip());
            let frame = build::tcp_segment(to_router(A1), addresses, fields, part);
            assert_eq!(pair.send(A1, &PLAIN, &frame), Outcome::Sealed);
        }
    }
    let batch = pair.take(0);
    let mut got = [Vec::new(), Vec::new()];
    for (to, _, frame) in pair.give(1, &batch) {
        got[usize::from(to == B2)].extend_from_slice(&frame[54..]);
    }
    assert_eq!(got, expected);
}

#[test]
fn without_keys_packets_wait_and_never_go_in_clear() {
    let mut pair = Pair::without_keys(Cloud::open());
    for n in 0..3_u8 {
        assert_eq!(pair.send(A1, &PLAIN, &udp(A1, B1, false, &[n])), Outcome::Held);
    }
    assert!(pair.take(0).is_empty());
    let wants = pair.wants(0);
    assert_eq!(wants.len(), 1, "asked once: {wants:?}");
    assert_eq!((wants[0].domain, wants[0].host, wants[0].shard), (peering(A, B), host_id(1), 0));
    assert_eq!(pair.release(0), []);
    pair.agree(0, peering(A, B));
    assert_eq!(pair.release(0), [Outcome::Sealed, Outcome::Sealed, Outcome::Sealed]);
    let batch = pair.take(0);
    let order: Vec<u8> = pair.give(1, &batch).iter().flat_map(|(_, _, frame)| frame[42..].to_vec()).collect();
    assert_eq!(order, [0, 1, 2]);
}

#[test]
fn a_packet_that_waited_is_tracked_once() {
    let mut pair = Pair::without_keys(Cloud::guarded());
    pair.agree(0, peering(A, B));
    let (a, b) = (socket(A1, false, 7), socket(B1, false, 443));
    assert_eq!(pair.carry(A1, &PLAIN, &build::tcp(link(A1, B1), a, b, TcpFlags::SYN, b"")).len(), 1);
    pair.edit(|cloud| cloud.rules(B, vec![]));
    // Both open at once: allowed as the first answer to a tracked SYN, and as a second one not.
    let answer = build::tcp(link(B1, A1), b, a, TcpFlags::SYN, b"");
    assert_eq!(pair.send(B1, &PLAIN, &answer), Outcome::Held);
    pair.agree(1, peering(B, A));
    assert_eq!(pair.release(1), [Outcome::Sealed]);
    assert_eq!(pair.send(B1, &PLAIN, &answer).code(), "D05");
}

#[test]
fn an_interface_that_is_not_plugged_in_still_names_its_first_reason() {
    let mut pair = Pair::new(Cloud::guarded());
    let frame = |port| build::udp(link(A1, B1), socket(A1, false, 7), socket(B1, false, port), b"x");
    pair.unplug(B1);
    for (port, code) in [(54, "D22"), (53, "D20")] {
        assert_eq!(pair.carry(A1, &PLAIN, &frame(port)).len(), 0);
        let denied = pair.hosts[1].shared.stray_counters().denied;
        let seen = Denied::ALL.iter().zip(&denied).filter(|(_, seen)| seen.packets > 0).map(|(reason, _)| reason.code);
        assert!(seen.clone().any(|seen| seen == code), "{code} is not among {:?}", seen.collect::<Vec<_>>());
    }
}

#[test]
fn who_waits_too_long_or_is_one_too_many_is_counted() {
    let mut pair = Pair::without_keys(Cloud::open());
    let held = (0..20).filter(|n| pair.send(A1, &PLAIN, &udp(A1, B1, false, &[*n])) == Outcome::Held).count();
    assert_eq!(held, 16);
    assert_eq!(pair.hosts[0].counters(A1).denied(&Denied::NoSecureChannel).packets, 4);
    pair.hosts[0].pass_time(Duration::seconds(3));
    assert!(pair.hosts[0].worker.poll_timeout().0 <= pair.hosts[0].now);
    assert_eq!(pair.release(0), []);
    assert_eq!(pair.hosts[0].counters(A1).denied(&Denied::NoSecureChannel).packets, 20);
    assert!(pair.take(0).is_empty());
}

#[test]
fn each_end_judges_its_half_and_counts_it_at_home() {
    let mut pair = Pair::new(Cloud::guarded());
    let frame = |to, port| build::udp(link(A1, to), socket(A1, false, 7), socket(to, false, port), b"x");
    assert_eq!(pair.carry(A1, &PLAIN, &frame(B1, 53)).len(), 1);
    assert_eq!(pair.carry(A1, &PLAIN, &frame(B1, 54)).len(), 0);
    assert_eq!(pair.hosts[1].counters(B1).denied[21].packets, 1, "D22");
    assert_eq!(pair.hosts[0].counters(A1).denied_total().packets, 0);
    // The answer to a tracked flow passes though no rule of A1 lets it in.
    let answer = build::udp(link(B1, A1), socket(B1, false, 53), socket(A1, false, 7), b"y");
    assert_eq!(pair.carry(B1, &PLAIN, &answer).len(), 1);
    pair.edit(|cloud| cloud.rules(A, vec![]));
    assert_eq!(pair.send(A1, &PLAIN, &frame(B2, 53)).code(), "D05", "what may not leave is not sealed");
}

#[test]
fn a_packet_that_does_not_fit_the_path_gets_the_routers_word() {
    let mut pair = Pair::new(Cloud::open());
    for is_v6 in [false, true] {
        let fits = usize::from(TUNNEL_MTU) - if is_v6 { 48 } else { 28 };
        assert_eq!(pair.carry(A1, &PLAIN, &udp(A1, B1, is_v6, &pattern(fits))).len(), 1);
        let long = udp(A1, B1, is_v6, &pattern(fits + 1));
        let answer = pair.send(A1, &PLAIN, &long).answer();
        let said = if is_v6 {
            u32::from_be_bytes(answer[58..62].try_into().unwrap())
        } else {
            u32::from(u16::from_be_bytes(answer[40..42].try_into().unwrap()))
        };
        assert_eq!(said, u32::from(TUNNEL_MTU));
        assert!(pair.take(0).is_empty());
    }
    assert_eq!(pair.hosts[0].counters(A1).denied(&Denied::TooBig { mtu: 0 }).packets, 2);
    // A super-frame of datagrams is not cut smaller: that would be other datagrams.
    let (src, dst) = (socket(A1, false, 9), socket(B1, false, 53));
    let (header, frame) = build::udp_super_frame(to_router(A1), src, dst, &pattern(4000), 1420);
    assert_eq!(pair.send(A1, &header, &frame).code(), "answered");
}

#[test]
fn fragments_follow_their_first_one_over_the_link() {
    let mut pair = Pair::new(Cloud::guarded());
    let whole = build::udp(to_router(A1), socket(A1, false, 9), socket(B1, false, 53), &pattern(4000));
    let pieces = build::fragments(&whole, 1, 1400);
    let mut batch = Vec::new();
    for piece in &pieces {
        assert_eq!(pair.send(A1, &PLAIN, piece), Outcome::Sealed);
        batch.extend(pair.take(0));
    }
    batch.reverse();
    let delivered = pair.give(1, &batch);
    assert_eq!(delivered.len(), pieces.len(), "later ones waited for the first");
    assert!(delivered.iter().all(|(to, _, _)| *to == B1));
    let refused = build::udp(to_router(A1), socket(A1, false, 9), socket(B1, false, 54), &pattern(4000));
    let mut batch = Vec::new();
    for piece in &build::fragments(&refused, 2, 1400) {
        assert_eq!(pair.send(A1, &PLAIN, piece), Outcome::Sealed);
        batch.extend(pair.take(0));
    }
    assert_eq!(pair.give(1, &batch), []);
}

/// The first datagram of a link, in pieces: in order, and with the first fragment behind another.
#[test]
fn all_fragments_of_a_datagram_wait_for_keys_and_go_out_in_order() {
    // In which order they come, and at which units of 8 bytes those lie that go out.
    for (order, expected) in [([0, 1, 2], [0, 175, 350]), ([1, 0, 2], [0, 175, 350]), ([2, 1, 0], [0, 350, 175])] {
        let mut pair = Pair::without_keys(Cloud::guarded());
        let whole = build::udp(to_router(A1), socket(A1, false, 9), socket(B1, false, 53), &pattern(4000));
        let pieces = build::fragments(&whole, 1, 1400);
        for at in order {
            assert_eq!(pair.send(A1, &PLAIN, &pieces[at]), Outcome::Held);
        }
        assert!(pair.take(0).is_empty());
        assert_eq!((pair.wants(0).len(), pair.release(0)), (1, vec![]));
        pair.agree(0, peering(A, B));
        assert_eq!(pair.release(0), vec![Outcome::Sealed; 3], "{order:?}");
        let batch = pair.take(0);
        let delivered = pair.give(1, &batch);
        let offset = |frame: &[u8]| u16::from_be_bytes([frame[20], frame[21]]) & 0x1fff;
        let offsets: Vec<u16> = delivered.iter().map(|(_, _, frame)| offset(frame)).collect();
        assert_eq!(offsets, expected, "{order:?}");
        assert_eq!(pair.hosts[0].counters(A1).denied_total().packets, 0);
        // Nothing of it is left, and the next datagram of that number is another one.
        for piece in &pieces {
            assert_eq!(pair.send(A1, &PLAIN, piece), Outcome::Sealed);
        }
    }
}

#[test]
fn fragments_take_no_more_room_than_other_frames_and_wait_no_longer() {
    let mut pair = Pair::without_keys(Cloud::open());
    let denied = |pair: &Pair| pair.hosts[0].counters(A1).denied(&Denied::NoSecureChannel).packets;
    let whole = build::udp(to_router(A1), socket(A1, false, 9), socket(B1, false, 53), &pattern(20_000));
    let pieces = build::fragments(&whole, 1, 800);
    assert_eq!(pieces.len(), 26);
    let held = pieces.iter().filter(|piece| pair.send(A1, &PLAIN, piece) == Outcome::Held).count();
    assert_eq!((held, denied(&pair)), (16, 10));
    // Another one whose first fragment finds no room is refused as a whole.
    let other = build::fragments(&whole, 2, 1400);
    assert!(other.iter().all(|piece| pair.send(A1, &PLAIN, piece).code() == "D15"));
    pair.hosts[0].pass_time(Duration::seconds(3));
    assert_eq!(pair.release(0), []);
    assert_eq!(denied(&pair), 26 + other.len() as u64);
    pair.agree(0, peering(A, B));
    assert_eq!(pair.release(0), []);
}

#[test]
fn a_link_that_is_waited_for_is_asked_for_again_by_time_alone() {
    let mut pair = Pair::without_keys(Cloud::open());
    let frame = udp(A1, B1, false, b"x");
    assert_eq!(pair.send(A1, &PLAIN, &frame), Outcome::Held);
    assert_eq!(pair.wants(0).len(), 1);
    pair.agree(0, peering(A, B));
    assert_eq!(pair.release(0), [Outcome::Sealed]);
    // Its keys are gone again within the second, and no packet follows this one.
    pair.outbound[0].clear();
    pair.connect();
    pair.hosts[0].pass_time(Duration::millis(300));
    assert_eq!(pair.send(A1, &PLAIN, &frame), Outcome::Held);
    assert_eq!(pair.wants(0), []);
    let mut asked = 0;
    for _ in 0..100 {
        let Host { worker, now, .. } = &mut pair.hosts[0];
        let (due, _) = worker.poll_timeout();
        *now = (*now).max(due);
        worker.handle_timeout(*now);
        asked += pair.wants(0).len();
        pair.release(0);
        assert!(pair.hosts[0].worker.poll_timeout().0 > pair.hosts[0].now, "it sleeps");
    }
    assert_eq!(asked, 3, "each second; 3.3 s after the first packet it is gone");
}

#[test]
fn a_datagram_opens_once() {
    let mut pair = Pair::new(Cloud::open());
    assert_eq!(pair.send(A1, &PLAIN, &udp(A1, B1, false, b"once")), Outcome::Sealed);
    let batch = pair.take(0);
    assert_eq!(pair.give(1, &batch).len(), 1);
    assert_eq!(pair.give(1, &batch).len(), 0);
    assert_eq!(pair.inbound[1][0].replayed(), 1);
    let mut changed = batch.clone();
    changed[0].0[20] ^= 1;
    assert_eq!(pair.give(1, &changed).len(), 0);
}

#[test]
fn an_unknown_association_is_told_of() {
    let mut pair = Pair::new(Cloud::open());
    pair.send(A1, &PLAIN, &udp(A1, B1, false, b"x"));
    let batch = pair.take(0);
    pair.inbound[1].clear();
    pair.connect();
    assert_eq!(pair.give(1, &batch), []);
    assert_eq!(pair.hosts[1].worker.poll_unknown(), Some((address(0), 256)));
    assert_eq!(pair.hosts[1].shared.stray_datagrams().unknown_spi, 1);
}

/// Users' abuse cases 1-4: a host with valid keys for one domain lies about what is inside.
#[test]
fn a_host_speaks_only_for_the_interfaces_that_it_carries() {
    let lies: [(&str, Domain, Guest, Guest, &str); 5] = [
        ("another host's interface", peering(A, B), A3, B1, "D18"),
        ("an address that nobody owns", peering(A, B), Guest { number: 99, ..A1 }, B1, "D18"),
        ("a VPC that is not the sender's", peering(A, B), B2, B1, "D18"),
        ("a guest of another VPC than the link's", peering(A, B), A1, A3, "D14"),
        ("the VPC itself, over the peering's link", inside(A), A1, B1, "D14"),
    ];
    for (what, domain, from, to, code) in lies {
        let mut pair = Pair::without_keys(Cloud::open());
        pair.agree(0, domain);
        let frame = udp(from, to, false, b"lie");
        let sa = pair.outbound[0][0].clone();
        let mut datagram = vec![0; sealed_len(frame.len() - 14)];
        datagram[16..][..frame.len() - 14].copy_from_slice(&frame[14..]);
        let first = sa.reserve(1, 100).unwrap();
        let len = sa.seal(first, &mut datagram, frame.len() - 14, next_header::IPV4);
        assert_eq!(pair.give(1, &[(datagram, len as u16)]), [], "{what}");
        let denied = |counters: dataplane::Counters| {
            Denied::ALL.iter().zip(counters.denied).find(|(_, seen)| seen.packets > 0).map(|(reason, _)| reason.code)
        };
        let seen = FAR.iter().find_map(|guest| denied(pair.hosts[1].counters(*guest)));
        let seen = seen.or(denied(pair.hosts[1].shared.stray_counters()));
        assert_eq!(seen, Some(code), "{what}");
    }
}

#[test]
fn a_deleted_peering_ends_what_was_permitted_at_both_ends() {
    let mut pair = Pair::new(Cloud::open());
    assert!(pair.entitled(1).permits(LinkDirection::Receiving, host_id(0), peering(A, B)));
    pair.send(A1, &PLAIN, &udp(A1, B1, false, b"late"));
    let under_way = pair.take(0);
    pair.edit(Cloud::delete_peering);
    assert_eq!(pair.send(A1, &PLAIN, &udp(A1, B1, false, b"x")).code(), "D09");
    assert_eq!(pair.give(1, &under_way), [], "what was under way is refused by the receiver's own view");
    assert!(!pair.entitled(1).permits(LinkDirection::Receiving, host_id(0), peering(A, B)));
    assert!(!pair.entitled(0).permits(LinkDirection::Sending, host_id(1), peering(A, B)));
    let within = Domain { from: vpc_id(A), to: vpc_id(A), scope: Scope::Vpc };
    assert!(pair.entitled(1).permits(LinkDirection::Receiving, host_id(0), within), "the rest of the VPC lives");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever the underlay brings: nothing is delivered, nothing panics.
    #[test]
    fn nothing_that_is_not_sealed_gets_in(
        datagrams in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..300), 1_u16..300), 0..20),
        known in any::<bool>(),
    ) {
        let mut pair = Pair::new(Cloud::open());
        let batch: Vec<_> = datagrams.into_iter().map(|(mut bytes, segment)| {
            if known && bytes.len() > 4 {
                bytes[..4].copy_from_slice(&256_u32.to_be_bytes());
            }
            (bytes, segment)
        }).collect();
        prop_assert_eq!(pair.give(1, &batch), []);
    }

    /// Any inner bytes, well sealed: no panic, and what comes out is a frame that the kernel takes.
    #[test]
    fn whatever_an_honest_key_seals_is_judged(inner in prop::collection::vec(any::<u8>(), 0..200), next_header in any::<u8>()) {
        let mut pair = Pair::new(Cloud::open());
        let sa = pair.outbound[0][0].clone();
        let mut datagram = vec![0; sealed_len(inner.len())];
        datagram[16..][..inner.len()].copy_from_slice(&inner);
        let first = sa.reserve(1, 100).unwrap();
        let len = sa.seal(first, &mut datagram, inner.len(), next_header);
        pair.give(1, &[(datagram, len as u16)]);
    }
}

#[test]
fn checksums_stay_unfinished_only_where_the_receiver_takes_them_so() {
    for (partial_sums, is_v6) in [(true, false), (true, true), (false, false), (false, true)] {
        let mut pair = Pair::without_keys(Cloud::open());
        let identity = tunnel::Identity { spi: 300, domain: peering(A, B), host: host_id(1), shard: 0, partial_sums };
        pair.agree_on(0, identity, 7);
        // One segment left to the device, by itself: the receiving device finishes it.
        let payload = pattern(900);
        let (header, frame) = stream(A1, B1, is_v6, &payload, 1000);
        let delivered = pair.carry(A1, &header, &frame);
        let [(B1, header, got)] = &delivered[..] else { panic!("{delivered:?}") };
        assert_eq!((header.needs_csum, header.gso_type), (partial_sums, GsoType::None), "{is_v6}");
        assert_eq!(got[frame_headers(is_v6)..], payload);
        assert_eq!(wire::Packet::parse(got).map(|packet| header.check(&packet)), Ok(Ok(())));
        // A checksum that is there stays as it is, right or wrong.
        let mut whole = udp(A1, B1, is_v6, b"hello");
        let last = whole.len() - 1;
        whole[last] ^= 1;
        let delivered = pair.carry(A1, &PLAIN, &whole);
        let [(B1, header, got)] = &delivered[..] else { panic!("{delivered:?}") };
        assert!(!header.needs_csum && !header.data_valid);
        assert_eq!(got[12..], whole[12..]);
    }
}

#[test]
fn a_packet_that_has_no_sum_to_finish_is_malformed() {
    let mut pair = Pair::without_keys(Cloud::open());
    pair.agree(0, peering(A, B));
    let echo = build::icmp_echo(link(A1, B1), A1.address(false), B1.address(false), true, 1, 1, b"x");
    let inner = &echo[14..];
    let sa = pair.outbound[0][0].clone();
    let mut packet = vec![0; sealed_len(inner.len())];
    packet[16..16 + inner.len()].copy_from_slice(inner);
    let sequence = sa.reserve(1, inner.len() as u64).unwrap();
    sa.seal(sequence, &mut packet, inner.len(), next_header::IPV4_PARTIAL);
    let len = packet.len() as u16;
    assert!(pair.give(1, &[(packet, len)]).is_empty());
    let drops = pair.hosts[1].shared.stray_counters();
    assert!(drops.denied_total().packets == 1, "{drops:?}");
}
