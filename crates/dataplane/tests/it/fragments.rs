//! Packets in pieces (spec 11.5, users' cases 32 and 33).

use std::net::SocketAddr;

use dataplane::DATAGRAMS_PER_PORT;
use model::{Direction, Duration};
use policy::Denied;
use wire::vnet::{GsoType, VnetHeader};
use wire::{TcpFlags, build};

use crate::world::cloud::*;
use crate::world::{Host, MTU, link, router, to_router};

fn pieces(is_v6: bool, dport: u16, id: u32, size: usize) -> Vec<Vec<u8>> {
    let socket = |guest: Guest, port| SocketAddr::new(guest.address(is_v6), port);
    build::fragments(&build::udp(to_router(A1), socket(A1, 40_000), socket(B1, dport), &[7; 4000]), id, size)
}

#[test]
fn later_fragments_inherit_the_first_ones_verdict() {
    let mut host = Host::new(Cloud::guarded());
    for is_v6 in [false, true] {
        for (dport, code) in [(53, "ok"), (54, "D22")] {
            let codes: Vec<_> = pieces(is_v6, dport, 1, 1400).iter().map(|frame| host.send(A1, frame).code()).collect();
            assert_eq!(codes, [code; 3], "{dport}");
        }
    }
    assert_eq!(host.counters(B1).denied.iter().map(|traffic| traffic.packets).sum::<u64>(), 6);
}

#[test]
fn fragments_that_come_first_wait_and_then_meet_the_same_fate() {
    let mut host = Host::new(Cloud::guarded());
    for is_v6 in [false, true] {
        let frames = pieces(is_v6, 53, 1, 1400);
        assert_eq!(host.send(A1, &frames[2]).code(), "held");
        assert_eq!(host.send(A1, &frames[1]).code(), "held");
        assert!(host.transmits().is_empty());
        assert_eq!(host.send(A1, &frames[0]).code(), "ok");
        let sent = host.transmits();
        assert_eq!(sent.iter().map(|(to, _)| *to).collect::<Vec<_>>(), [B1, B1]);
        for ((_, out), kept) in sent.iter().zip([&frames[2], &frames[1]]) {
            assert_eq!(out[..12], [B1.mac().octets(), router(B1).octets()].concat());
            assert_eq!(out[12..], kept[12..]);
        }
        let frames = pieces(is_v6, 54, 2, 1400);
        assert_eq!(host.send(A1, &frames[1]).code(), "held");
        assert_eq!(host.send(A1, &frames[0]).code(), "D22");
        assert_eq!(host.send(A1, &frames[2]).code(), "D22");
        assert!(host.transmits().is_empty());
    }
    assert_eq!(host.counters(B1).denied_total().packets, 6);
    assert_eq!(host.counters(B1).delivered.packets, 6);
}

#[test]
fn waiting_ends_after_thirty_seconds_with_a_counter() {
    let mut host = Host::new(Cloud::guarded());
    let frames = pieces(false, 53, 1, 1400);
    assert_eq!(host.send(A1, &frames[1]).code(), "held");
    host.pass_time(Duration::seconds(29));
    host.worker.handle_timeout(host.now);
    assert_eq!(host.counters(A1).denied_total().packets, 0);
    host.pass_time(Duration::seconds(1));
    host.worker.handle_timeout(host.now);
    let counted = host.counters(A1).denied(&Denied::Fragment);
    assert_eq!((counted.packets, counted.bytes), (1, frames[1].len() as u64));
    host.transmits();
    assert_eq!(host.send(A1, &frames[0]).code(), "ok");
    assert!(host.transmits().is_empty());
}

#[test]
fn overlap_ends_the_datagram() {
    let mut host = Host::new(Cloud::open());
    let frames = pieces(false, 53, 1, 1400);
    let shifted = pieces(false, 53, 1, 1408);
    assert_eq!(host.send(A1, &frames[0]).code(), "ok");
    assert_eq!(host.send(A1, &frames[0]).code(), "D34", "twice is an overlap");
    for frame in [&frames[1], &shifted[1], &frames[2]] {
        assert_eq!(host.send(A1, frame).code(), "D34");
    }
    assert_eq!(host.send(A1, &pieces(false, 53, 2, 1400)[0]).code(), "ok", "another datagram");
}

#[test]
fn a_fragment_that_hides_or_overwrites_the_ports_is_refused() {
    let mut host = Host::new(Cloud::open());
    let (src, dst) = (SocketAddr::new(A1.v4().into(), 1), SocketAddr::new(B1.v4().into(), 443));
    let segment = build::tcp(to_router(A1), src, dst, TcpFlags::SYN, &[0; 64]);
    let tiny = build::fragments(&segment, 1, 8);
    assert_eq!(host.send(A1, &tiny[0]).code(), "D34");
    assert_eq!(host.send(A1, &tiny[1]).code(), "D34", "an offset of 8 writes over TCP's header");
    let v6 = build::tcp(
        to_router(A1),
        SocketAddr::new(A1.v6().into(), 1),
        SocketAddr::new(B1.v6().into(), 443),
        TcpFlags::SYN,
        &[0; 64],
    );
    let twice = build::with_extension(&build::fragments(&v6, 1, 48)[0], 44, &[0, 0, 0, 1, 0, 0, 0, 9]);
    assert_eq!(host.send(A1, &twice).code(), "D32", "a second fragment header");
}

#[test]
fn extension_headers_behind_the_fragment_header_count_as_its_data() {
    let mut host = Host::new(Cloud::open());
    let socket = |guest: Guest, port| SocketAddr::new(guest.v6().into(), port);
    let options = [0, 0, 1, 4, 0, 0, 0, 0];
    let whole =
        build::with_extension(&build::udp(to_router(A1), socket(A1, 1), socket(B1, 53), &[7; 2000]), 60, &options);
    let first_part = 1400;
    let data = whole[14 + 40..].to_vec();
    let cut = |offset: usize, more: bool, chunk: &[u8]| {
        let place = (offset as u16) | u16::from(more);
        let fragment_header = [60, 0, (place >> 8) as u8, place as u8, 0, 0, 0, 9];
        build::ip(to_router(A1), A1.v6().into(), B1.v6().into(), 44, &[&fragment_header[..], chunk].concat())
    };
    assert_eq!(host.send(A1, &cut(0, true, &data[..first_part])).code(), "ok");
    assert_eq!(host.send(A1, &cut(first_part, false, &data[first_part..])).code(), "ok");
    assert_eq!(host.send(A1, &cut(first_part, false, &data[first_part..])).code(), "held", "the datagram was complete");
    assert_eq!(host.send(A1, &cut(0, true, &data[..first_part + 8])).code(), "D34", "its last eight bytes overlap");
}

#[test]
fn a_flood_of_ids_is_bounded_per_port() {
    let mut host = Host::new(Cloud::open());
    let firsts = |guest: Guest, n: u32| {
        let socket = |guest: Guest, port| SocketAddr::new(guest.v4().into(), port);
        let whole = build::udp(link(guest, B1), socket(guest, 1), socket(B1, 2), &[7; 2000]);
        (0..n).map(move |id| build::fragments(&whole, id, 1400).remove(0)).collect::<Vec<_>>()
    };
    let bound = u32::from(DATAGRAMS_PER_PORT);
    let codes: Vec<_> = firsts(A1, bound + 5).iter().map(|frame| host.send(A1, frame).code()).collect();
    assert_eq!(codes.iter().filter(|code| **code == "ok").count(), bound as usize);
    assert_eq!(codes[bound as usize..], ["D34"; 5]);
    assert_eq!(host.send(A2, &firsts(A2, 1)[0]).code(), "ok", "another port has its own share");
    for id in 0..10_000 {
        for frame in pieces(false, 53, (1 << 15) | (id % 1000), 1400) {
            assert_eq!(host.send(A3, &frame).code(), "D01");
        }
    }
}

#[test]
fn complete_datagrams_leave_nothing_behind() {
    let mut host = Host::new(Cloud::open());
    for id in 0..1000 {
        for frame in pieces(id % 2 == 0, 53, id, 1400) {
            assert_eq!(host.send(A1, &frame).code(), "ok", "{id}");
        }
    }
}

#[test]
fn new_tables_judge_what_still_comes_of_a_datagram() {
    let mut host = Host::new(Cloud::open());
    let frames = pieces(false, 53, 1, 1400);
    assert_eq!(host.send(A1, &frames[0]).code(), "ok");
    host.edit(|cloud| cloud.acl(A, Direction::Egress, 1, deny("10.17.0.0/16")));
    assert_eq!(host.send(A1, &frames[1]).code(), "D07");
    host.edit(|cloud| cloud.slice(A).network_acls = Cloud::open().slice(A).network_acls.clone());
    assert_eq!(host.send(A1, &frames[2]).code(), "ok");
}

#[test]
fn fragments_are_no_super_frames_and_leave_no_checksum_open() {
    let mut host = Host::new(Cloud::open());
    let frame = &pieces(false, 53, 1, 1400)[0];
    let headers = [
        VnetHeader { needs_csum: true, csum_start: 34, csum_offset: 6, ..VnetHeader::default() },
        VnetHeader {
            gso_type: GsoType::UdpL4,
            gso_size: 1000,
            needs_csum: true,
            csum_start: 34,
            csum_offset: 6,
            ..VnetHeader::default()
        },
    ];
    for header in headers {
        assert_eq!(host.send_with(A1, &header, frame).code(), "D32");
    }
}

#[test]
fn ipv6_fragments_too_long_for_the_way_are_refused_and_the_first_one_is_told() {
    let mut host = Host::new(Cloud::open());
    host.mtu = |guest| if guest == B1 { 1300 } else { MTU };
    host.apply();
    let frames = pieces(true, 53, 1, 1400);
    assert_eq!(host.send(A1, &frames[0]).code(), "answered");
    assert_eq!(host.send(A1, &frames[1]).code(), "D16", "of a later fragment nothing is said");
    assert_eq!(host.send(A1, &pieces(true, 53, 2, 1200)[0]).code(), "ok");
    assert_eq!(host.send(A1, &pieces(false, 53, 2, 1400)[0]).code(), "ok", "ipv4 fragments may be cut again");
}
