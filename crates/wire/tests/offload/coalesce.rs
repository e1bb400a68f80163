//! What is joined can be cut again, and what differs is not joined.

use crate::build::{ETHERNET_LEN, Super, put_checksums, super_packet};
use proptest::prelude::*;
use wire::checksum::TransportSum::{self, Partial, Whole};
use wire::coalesce::{Fit, HEADERS_LEN_MAX, Kind, RUN_LEN_MAX, Run, SEGMENTS_MAX};
use wire::segment::Segments;
use wire::vnet::{GsoType, VnetHeader};
use wire::{EmitError, Ip};

/// A caller with one run, which lays each packet over the end of it.
fn join(packets: &[Vec<u8>]) -> Vec<(VnetHeader, Vec<u8>)> {
    join_as(packets, Whole)
}

fn join_as(packets: &[Vec<u8>], sums: TransportSum) -> Vec<(VnetHeader, Vec<u8>)> {
    let (mut out, mut current) = (Vec::new(), None::<(Run, Vec<u8>)>);
    for packet in packets {
        if let Some((run, buffer)) = &mut current {
            let at = buffer.len() - run.header_len();
            let saved = buffer.split_off(at);
            assert!(saved.len() <= HEADERS_LEN_MAX);
            buffer.extend(packet);
            let fit = run.fit(&buffer[at..], sums);
            if let Fit::Joins(piece) = fit {
                assert!(!run.is_full());
                buffer[at..at + saved.len()].copy_from_slice(&saved);
                run.append(piece);
                continue;
            }
            buffer.truncate(at);
            buffer.extend(saved);
        }
        out.extend(current.take().map(finish));
        match Run::start(packet, sums) {
            Some(run) => current = Some((run, packet.clone())),
            None => out.push((VnetHeader::default(), packet.clone())),
        }
    }
    out.extend(current.map(finish));
    out
}

fn finish((run, mut buffer): (Run, Vec<u8>)) -> (VnetHeader, Vec<u8>) {
    assert_eq!(run.len(), buffer.len());
    let mut short = buffer[1..].to_vec();
    let refused = EmitError::NoRoom { need: buffer.len(), have: buffer.len() - 1 };
    assert_eq!(run.finish(&mut short, ETHERNET_LEN as u16), Err(refused));
    assert_eq!(short, buffer[1..]);
    let vnet = run.finish(&mut buffer, ETHERNET_LEN as u16).unwrap();
    (vnet, buffer)
}

fn cut((vnet, packet): &(VnetHeader, Vec<u8>)) -> Vec<Vec<u8>> {
    if !vnet.is_super_frame() {
        assert!(!vnet.needs_csum);
        return vec![packet.clone()];
    }
    let frame = [&[0; ETHERNET_LEN][..], packet].concat();
    let segments = Segments::new(vnet, &Ip::parse(packet).unwrap(), &frame, u16::MAX).unwrap();
    (0..segments.count())
        .map(|index| {
            let mut out = vec![0; segments.len_of(index)];
            segments.write(index, &mut out).unwrap();
            out
        })
        .collect()
}

/// An id under DF means nothing (RFC 6864 4.1); one that stands still is cut again into counting ones.
fn without_free_id(packet: &[u8]) -> Vec<u8> {
    let mut packet = packet.to_vec();
    if packet[0] >> 4 == 4 && packet[6] & 0x40 != 0 {
        packet[4..6].fill(0);
        packet[10..12].fill(0);
    }
    packet
}

fn assert_nothing_is_lost(packets: &[Vec<u8>]) -> usize {
    let joined = join(packets);
    let again: Vec<_> = joined.iter().flat_map(cut).map(|packet| without_free_id(&packet)).collect();
    let before: Vec<_> = packets.iter().map(|packet| without_free_id(packet)).collect();
    assert_eq!(again, before);
    joined.len()
}

/// What a sender makes of a super-frame whose checksums the receiver's device may finish.
fn partial_pieces(vnet: &VnetHeader, frame: &[u8]) -> Vec<Vec<u8>> {
    let ip = Ip::parse(&frame[ETHERNET_LEN..]).unwrap();
    let segments = Segments::new(vnet, &ip, frame, u16::MAX).unwrap().with_partial_sums();
    assert_eq!(segments.sums(), Partial);
    let piece = |index| {
        let mut out = vec![0; segments.len_of(index)];
        segments.write(index, &mut out).unwrap();
        out
    };
    (0..segments.count()).map(piece).collect()
}

/// A plain super-packet whose pieces make one run.
fn one_run() -> impl Strategy<Value = Super> {
    super_packet(true).prop_map(|mut spec| {
        spec.payload.push(1);
        spec.gso_size = spec.gso_size.max(spec.payload.len().div_ceil(SEGMENTS_MAX) as u16);
        spec
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn the_pieces_of_a_super_frame_join_to_it(spec in one_run()) {
        let packets = spec.packets();
        let joined = join(&packets);
        prop_assert_eq!(joined.len(), 1);
        let (vnet, packet) = &joined[0];
        if packets.len() == 1 {
            prop_assert_eq!((vnet, packet), (&VnetHeader { data_valid: true, ..VnetHeader::default() }, &packets[0]));
        } else {
            let (expected, frame) = spec.frame();
            prop_assert_eq!((vnet, &packet[..]), (&expected, &frame[ETHERNET_LEN..]));
        }
    }

    #[test]
    fn pieces_with_partial_sums_join_to_the_same(spec in one_run()) {
        let (vnet, frame) = spec.frame();
        let pieces = partial_pieces(&vnet, &frame);
        let joined = join_as(&pieces, Partial);
        prop_assert_eq!(joined.len(), 1);
        let (header, packet) = &joined[0];
        if pieces.len() == 1 {
            let expected = VnetHeader::partial_sum(!spec.tcp, (ETHERNET_LEN + spec.l4()) as u16);
            prop_assert_eq!((header, packet), (&expected, &pieces[0]));
        } else {
            prop_assert_eq!((header, &packet[..]), (&vnet, &frame[ETHERNET_LEN..]));
        }
        // What is said of them decides: the same bytes with the other word, or one of each, are never one.
        prop_assert!(Run::start(&pieces[0], Whole).is_none());
        let whole = spec.packets();
        prop_assert!(Run::start(&whole[0], Partial).is_none());
        if pieces.len() > 1 {
            let run = Run::start(&pieces[0], Partial).unwrap();
            prop_assert_eq!(run.fit(&whole[1], Whole), Fit::Follows);
        }
    }

    #[test]
    fn a_change_of_one_header_byte_is_never_lost(
        spec in one_run(),
        which in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        change in 1u8..,
        honest in any::<bool>(),
    ) {
        let mut packets = spec.packets();
        let before = join(&packets).len();
        let packet = &mut packets[which.index(before.max(1))];
        let at = at.index(spec.header_len());
        packet[at] ^= change;
        if honest {
            put_checksums(packet);
        }
        assert_nothing_is_lost(&packets);
    }

    #[test]
    fn a_changed_field_in_the_middle_is_not_joined(
        spec in one_run(),
        which in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        change in 1u8..,
    ) {
        let mut packets = spec.packets();
        prop_assume!(packets.len() >= 2);
        let which = 1 + which.index(packets.len() - 1);
        let at = at.index(spec.header_len());
        let before = packets[which].clone();
        packets[which][at] ^= change;
        put_checksums(&mut packets[which]);
        // The checksum fields themselves are put right again; a push only ends the run.
        let is_same = packets[which] == before;
        let is_push = spec.tcp && at == spec.l4() + 13 && change == 0x08;
        // The second of two packets may as well keep the first one's id.
        let is_id = !spec.v6 && at / 2 == 2 && which == 1;
        prop_assume!(!is_same && !is_push && !is_id);
        prop_assert!(assert_nothing_is_lost(&packets) > 1);
    }

    #[test]
    fn a_damaged_byte_is_never_joined(spec in one_run(), which in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let mut packets = spec.packets();
        let which = which.index(packets.len());
        let at = at.index(packets[which].len());
        packets[which][at] ^= 1 << bit;
        let joined = join(&packets);
        // IPv6 has no header checksum: of its fixed header only addresses and lengths are covered.
        let is_covered = !spec.v6 || at >= 8;
        if is_covered {
            let alone = (VnetHeader::default(), packets[which].clone());
            prop_assert!(joined.contains(&alone), "a damaged packet is delivered by itself, as it came");
        }
        assert_nothing_is_lost(&packets);
    }

    #[test]
    fn interleaved_flows_are_not_mixed(specs in proptest::collection::vec(one_run(), 2..4), order in proptest::collection::vec(any::<prop::sample::Index>(), 0..60)) {
        let mut flows: Vec<_> = specs.iter().map(|spec| spec.packets().into_iter()).collect();
        let packets: Vec<_> = order.iter().filter_map(|index| flows[index.index(specs.len())].next()).collect();
        assert_nothing_is_lost(&packets);
    }

    #[test]
    fn constant_ids_are_joined_under_df_only(mut spec in one_run()) {
        spec.v6 = false;
        let ids: Vec<_> = spec.packets().into_iter().map(|mut packet| {
            packet[4..6].copy_from_slice(&spec.id.to_be_bytes());
            put_checksums(&mut packet);
            packet
        }).collect();
        let expected = if spec.dont_fragment { 1 } else { ids.len() };
        prop_assert_eq!(assert_nothing_is_lost(&ids), expected);
    }

    #[test]
    fn any_bytes_are_taken(
        spec in one_run(),
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        head in prop::sample::select(vec![&[][..], &[0x45], &[0x60], &[0x45, 0, 0, 0, 0, 0, 0, 0, 0, 6]]),
    ) {
        let bytes = [head, &bytes].concat();
        prop_assert!(Run::start(&bytes, Whole).is_none(), "nobody guesses two checksums");
        let run = Run::start(&spec.packets()[0], Whole).unwrap();
        prop_assert!(!matches!(run.fit(&bytes, Whole), Fit::Joins(_)));
        for end in 0..120 {
            let packet = &spec.packets()[0];
            prop_assert!(!matches!(run.fit(&packet[..end.min(packet.len() - 1)], Whole), Fit::Joins(_)));
        }
    }
}

fn spec(v6: bool, tcp: bool, payload: usize, gso_size: u16) -> Super {
    Super {
        v6,
        tcp,
        ip_options: 0,
        tcp_options: vec![],
        dont_fragment: true,
        traffic_class: 0,
        ttl: 64,
        flow_label: 0,
        id: 0,
        addresses: ([10; 16], [11; 16]),
        ports: (1000, 2000),
        seq: 7,
        ack: 5,
        flags: 0x10,
        window: 100,
        urgent: 0,
        payload: vec![1; payload],
        gso_size,
    }
}

#[test]
fn runs_are_bounded() {
    let lens = |spec: &Super| -> Vec<usize> { join(&spec.packets()).iter().map(|(_, packet)| packet.len()).collect() };
    assert_eq!(lens(&spec(false, false, 6500, 100)), [28 + 6400, 28 + 100], "64 packets");
    let rest = spec(true, true, 65000, 10000);
    assert_eq!(lens(&rest), [60 + 65000], "the last and shorter one has room where another of full size has none");
    let mut over = spec(true, true, 60000, 10000).packets();
    over.push(rest.packet(&[1; 5476], 0, 7 + 60000, 0x10));
    let joined: Vec<_> = join(&over).iter().map(|(_, packet)| packet.len()).collect();
    assert_eq!(joined, [60 + 60000, 60 + 5476], "one byte too many");
    let exact = spec(false, true, RUN_LEN_MAX - 40, 13099);
    assert_eq!((RUN_LEN_MAX - 40) % 13099, 0);
    assert_eq!(lens(&exact), [RUN_LEN_MAX]);
}

#[test]
fn what_a_run_says_of_itself() {
    let packets = spec(false, true, 250, 100).packets();
    let mut run = Run::start(&packets[0], Whole).unwrap();
    assert_eq!((run.kind(), run.header_len(), run.len(), run.count(), run.is_full()), (Kind::TcpV4, 40, 140, 1, false));
    for (packet, is_full) in packets[1..].iter().zip([false, true]) {
        let Fit::Joins(piece) = run.fit(packet, Whole) else { panic!("it joins") };
        assert_eq!(piece.payload(), 40..packet.len());
        run.append(piece);
        assert_eq!(run.is_full(), is_full, "a shorter one is the last");
    }
    assert_eq!((run.len(), run.count()), (290, 3));
    for (v6, tcp, kind) in [(true, true, Kind::TcpV6), (false, false, Kind::UdpV4), (true, false, Kind::UdpV6)] {
        let run = Run::start(&spec(v6, tcp, 100, 100).packets()[0], Whole).unwrap();
        assert_eq!((run.kind(), run.kind().is_udp()), (kind, !tcp));
    }
}

#[test]
fn a_push_ends_a_run_and_is_kept() {
    let pushed = Super { flags: 0x18, ..spec(false, true, 200, 100) };
    let mut packets = pushed.packets();
    packets.extend(Super { seq: 207, id: 2, ..pushed }.packets());
    let joined = join(&packets);
    let flags: Vec<_> = joined.iter().map(|(vnet, packet)| (vnet.gso_type, packet[33])).collect();
    assert_eq!(flags, [(GsoType::TcpV4, 0x18); 2]);
}

#[test]
fn a_first_packet_that_is_pushed_is_the_last() {
    let base = spec(false, true, 300, 100);
    let mut packets = base.packets();
    packets[0][33] |= 0x08;
    put_checksums(&mut packets[0]);
    let run = Run::start(&packets[0], Whole).unwrap();
    assert!(run.is_full());
    assert_eq!(run.fit(&packets[1], Whole), Fit::Follows);
    assert_eq!(assert_nothing_is_lost(&packets), 2);
}

#[test]
fn ids_count_or_stand_still_and_never_change_their_mind() {
    let runs = |dont_fragment: bool, ids: &[u16]| {
        let base = Super { dont_fragment, ..spec(false, true, 100 * ids.len(), 100) };
        let packets: Vec<_> = (0u32..)
            .zip(base.payload.chunks(100))
            .zip(ids)
            .map(|((index, chunk), id)| base.packet(chunk, *id, 7 + index * 100, 0x10))
            .collect();
        join(&packets).iter().map(|(vnet, packet)| (vnet.is_super_frame(), packet.len() - 40)).collect::<Vec<_>>()
    };
    for dont_fragment in [false, true] {
        assert_eq!(runs(dont_fragment, &[5, 6, 7]), [(true, 300)]);
        assert_eq!(runs(dont_fragment, &[0xffff, 0, 1]), [(true, 300)], "around the end");
        assert_eq!(runs(dont_fragment, &[5, 6, 5]), [(true, 200), (false, 100)], "counting, then still");
        assert_eq!(runs(dont_fragment, &[5, 7]), [(false, 100), (false, 100)], "one is missing");
        assert_eq!(runs(dont_fragment, &[5, 4]), [(false, 100), (false, 100)], "backwards");
    }
    assert_eq!(runs(true, &[5, 5, 5]), [(true, 300)]);
    assert_eq!(runs(true, &[5, 5, 7]), [(true, 200), (false, 100)], "still, then counting");
    assert_eq!(runs(false, &[5, 5]), [(false, 100), (false, 100)], "two fragments could meet in one datagram");
}

/// The packet with its last two payload bytes, or its id, chosen so that the checksum at `at` is a zero.
fn with_zero_checksum(packet: &[u8], tuned: usize, at: usize) -> Vec<u8> {
    let mut packet = packet.to_vec();
    packet[tuned..tuned + 2].fill(0);
    put_checksums(&mut packet);
    let needed: [u8; 2] = packet[at..at + 2].try_into().unwrap();
    packet[tuned..tuned + 2].copy_from_slice(&needed);
    put_checksums(&mut packet);
    packet
}

#[test]
fn a_zero_in_the_form_that_a_cut_would_not_write_is_not_joined() {
    // IPv4 header, TCP over both, UDP over both: the field, what to tune, the form that is written, the other.
    let cases = [
        (false, true, 10, 4, [0, 0], [0xff, 0xff]),
        (false, true, 36, 138, [0, 0], [0xff, 0xff]),
        (true, true, 56, 158, [0, 0], [0xff, 0xff]),
        (false, false, 26, 126, [0xff, 0xff], [0, 0]),
        (true, false, 46, 146, [0xff, 0xff], [0, 0]),
    ];
    for (v6, tcp, at, tuned, written, other) in cases {
        let mut packet = with_zero_checksum(&spec(v6, tcp, 100, 100).packets()[0], tuned, at);
        assert_eq!(packet[at..at + 2], written, "{v6} {tcp} {at}");
        assert!(Run::start(&packet, Whole).is_some());
        packet[at..at + 2].copy_from_slice(&other);
        assert!(Run::start(&packet, Whole).is_none(), "{v6} {tcp} {at}");
    }
}

#[test]
fn who_follows_and_who_is_a_stranger() {
    for (v6, tcp) in [(false, false), (false, true), (true, false), (true, true)] {
        let base = spec(v6, tcp, 200, 100);
        let packets = base.packets();
        let run = Run::start(&packets[0], Whole).unwrap();
        assert!(matches!(run.fit(&packets[1], Whole), Fit::Joins(_)));
        let fit = |other: &Super| run.fit(&other.packets()[1], Whole);
        assert_eq!(fit(&Super { ttl: 63, ..base.clone() }), Fit::Follows);
        assert_eq!(fit(&Super { ip_options: 1, ..base.clone() }), Fit::Follows);
        assert_eq!(run.fit(&base.packet(&[1; 101], 1, 107, 0x10), Whole), Fit::Follows, "longer than the first");
        assert_eq!(fit(&Super { ports: (1000, 2001), ..base.clone() }), Fit::Stranger);
        assert_eq!(fit(&Super { ports: (1001, 2000), ..base.clone() }), Fit::Stranger);
        assert_eq!(fit(&Super { addresses: ([10; 16], [12; 16]), ..base.clone() }), Fit::Stranger);
        assert_eq!(fit(&Super { tcp: !tcp, ..base.clone() }), Fit::Stranger);
        assert_eq!(fit(&Super { v6: !v6, ..base.clone() }), Fit::Stranger);
        assert_eq!(run.fit(&[], Whole), Fit::Stranger);
        if !v6 {
            let mut fragment = packets[1].clone();
            fragment[7] = 1;
            fragment[20..24].fill(0);
            put_checksums(&mut fragment);
            assert_eq!(run.fit(&fragment, Whole), Fit::Follows, "what stands there are no ports");
            assert!(Run::start(&fragment, Whole).is_none());
        }
    }
}

#[test]
fn what_cannot_begin_a_run() {
    let base = spec(false, true, 100, 100);
    let starts = |spec: &Super| Run::start(&spec.packets()[0], Whole).is_some();
    assert!(starts(&base) && starts(&Super { flags: 0x18, ..base.clone() }));
    for bit in [0x01, 0x02, 0x04, 0x20, 0x40, 0x80] {
        assert!(!starts(&Super { flags: 0x10 | bit, ..base.clone() }), "{bit:#x}");
    }
    assert!(!starts(&Super { flags: 0, ..base.clone() }), "without ack");
    for reserved in [1, 2, 4, 8] {
        let mut packet = base.packets().remove(0);
        packet[32] |= reserved;
        put_checksums(&mut packet);
        assert!(Run::start(&packet, Whole).is_none(), "the bits beside the data offset, accurate ecn's too");
    }
    assert!(!starts(&Super { payload: vec![], ..base.clone() }), "nothing to join");
    assert!(!starts(&Super { ip_options: 1, ..base.clone() }));
    assert!(!starts(&Super { ip_options: 1, v6: true, ..base.clone() }));
    for v6 in [false, true] {
        let mut unchecked = spec(v6, false, 100, 100).packets().remove(0);
        let at = if v6 { 46 } else { 26 };
        unchecked[at..at + 2].fill(0);
        assert!(Run::start(&unchecked, Whole).is_none(), "a datagram without a checksum");
        let mut padded = spec(v6, true, 100, 100).packets().remove(0);
        padded.push(0);
        assert!(Run::start(&padded, Whole).is_none(), "bytes behind the packet");
    }
}
