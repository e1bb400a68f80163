//! Through Internet gateways, in bytes: who gets what from whom, between guests of one host and of two (spec 8.7-8.9).

use std::net::{IpAddr, SocketAddr};

use crate::world::cloud::*;
use crate::world::pair::{Pair, internet, peering, place};
use crate::world::{Host, Outcome, router, to_router};
use dataplane::Want;
use policy::Denied;
use tunnel::{LinkDirection, Permits};
use wire::esp::{HEADER_LEN, next_header, sealed_len};
use wire::ethernet::Link;
use wire::vnet::{GsoType, VnetHeader};
use wire::{Packet, TcpFlags, build, icmp};

/// Source and destination of a packet from X to Y's public address, as X sends it and as Y gets it.
fn ends(x: Guest, y: Guest, is_v6: bool) -> [(IpAddr, IpAddr); 2] {
    if is_v6 {
        return [(x.v6().into(), y.v6().into()); 2];
    }
    [(x.v4().into(), y.public().into()), (x.public().into(), y.v4().into())]
}

fn to_guest(guest: Guest) -> Link {
    Link { src: router(guest), dst: guest.mac() }
}

/// Every kind of packet that a checksum covers otherwise.
fn packets(link: Link, (src, dst): (IpAddr, IpAddr)) -> Vec<Vec<u8>> {
    let (a, b) = (SocketAddr::new(src, 40_000), SocketAddr::new(dst, 53));
    vec![
        build::udp(link, a, b, b"question"),
        build::tcp(link, a, b, TcpFlags::SYN, b""),
        build::tcp(link, a, b, TcpFlags::ACK, b"odd"),
        build::icmp_echo(link, src, dst, true, 7, 1, b"ping"),
        build::ip(link, src, dst, 47, b"tunnel"),
    ]
}

#[test]
fn whoever_gets_it_sees_public_sources_and_its_own_address() {
    let mut host = Host::new(Cloud::on_internet());
    for (x, y) in [(A1, B1), (B2, A3), (A1, A3), (A1, A2), (A1, A1)] {
        for is_v6 in [false, true] {
            if is_v6 && x.vpc == y.vpc {
                continue;
            }
            let [sent, got] = ends(x, y, is_v6);
            for (frame, expected) in packets(to_router(x), sent).iter().zip(packets(to_guest(y), got)) {
                // Twice: the second one is remembered.
                for _ in 0..2 {
                    let (to, bytes) = host.send(x, frame).delivered();
                    assert_eq!((to, bytes), (y, expected.clone()), "{x:?} to {y:?}");
                }
            }
        }
    }
    assert!(host.counters(A1).cache_hits > 0);
}

#[test]
fn super_frames_and_unfinished_checksums_stay_so() {
    let mut host = Host::new(Cloud::on_internet());
    let [(src, dst), (public, private)] = ends(A1, B1, false);
    let at = |address, port| SocketAddr::new(address, port);
    let tcp = |link, src, dst| build::tcp_super_frame(link, at(src, 1), at(dst, 2), &[7; 20_000], 1400);
    let udp = |link, src, dst| build::udp_super_frame(link, at(src, 1), at(dst, 2), &[7; 20_000], 1200);
    let one = |link, src, dst| build::with_partial_checksum(&build::udp(link, at(src, 1), at(dst, 2), b"x"));
    type Make<'a> = &'a dyn Fn(Link, IpAddr, IpAddr) -> (VnetHeader, Vec<u8>);
    for make in [&tcp as Make<'_>, &udp, &one] {
        let (header, frame) = make(to_router(A1), src, dst);
        let expected = make(to_guest(B1), public, private);
        let Outcome::Delivered(B1, got) = host.send_with(A1, &header, &frame) else { panic!("not delivered") };
        assert_eq!((header, got), expected);
    }
}

#[test]
fn errors_speak_of_packets_as_their_senders_know_them() {
    let mut cloud = Cloud::on_internet();
    // What is tracked lets its errors in, and nothing else.
    let egress = |block| rule(model::Direction::Egress, model::IpProtocol::All, model::Ports::Any, of_block(block));
    cloud.rules(A, vec![egress("0.0.0.0/0")]);
    let mut host = Host::new(cloud);
    let [(src, dst), (public, private)] = ends(A1, B1, false);
    let (a, b) = (SocketAddr::new(src, 40_000), SocketAddr::new(dst, 53));
    let question = build::udp(to_router(A1), a, b, b"question");
    let (_, arrived) = host.send(A1, &question).delivered();
    let unreachable = icmp::Fields { kind: icmp::v4::UNREACHABLE, code: 3, rest: [0; 4] };
    let error = build::icmp(to_router(B1), private, public, unreachable, &arrived[14..]);
    let (to, heard) = host.send(B1, &error).delivered();
    let expected = build::icmp(to_guest(A1), dst, src, unreachable, &question[14..]);
    assert_eq!((to, heard), (A1, expected));
    let unasked = build::udp(to_router(B1), SocketAddr::new(private, 53), SocketAddr::new(public, 40_001), b"x");
    assert_eq!(host.send(B1, &unasked).code(), "D22", "what nobody asked for is not let in");
}

#[test]
fn fragments_are_translated_each_in_whatever_order() {
    let (x, y) = (A1, B1);
    let [sent, got] = ends(x, y, false);
    let whole = |link, (src, dst)| build::udp(link, SocketAddr::new(src, 40_000), SocketAddr::new(dst, 53), &[7; 1000]);
    let pieces = build::fragments(&whole(to_router(x), sent), 9, 400);
    let expected = build::fragments(&whole(to_guest(y), got), 9, 400);
    let mut host = Host::new(Cloud::on_internet());
    for (piece, expected) in pieces.iter().zip(&expected) {
        assert_eq!(host.send(x, piece).delivered(), (y, expected.clone()));
    }
    let mut host = Host::new(Cloud::on_internet());
    assert_eq!(host.send(x, &pieces[1]), Outcome::Held);
    assert_eq!(host.send(x, &pieces[0]).delivered(), (y, expected[0].clone()));
    assert_eq!(host.transmits(), [(y, expected[1].clone())]);
}

#[test]
fn what_a_mapping_or_a_gateway_loses_is_lost_at_once() {
    let udp = |y: Guest| {
        let (a, b) = (SocketAddr::new(A1.v4().into(), 40_000), SocketAddr::new(y.public().into(), 53));
        build::udp(to_router(A1), a, b, b"x")
    };
    let mut host = Host::new(Cloud::on_internet());
    host.send(A1, &udp(B1)).delivered();
    host.edit(|cloud| cloud.interface(B1).public.clear());
    assert_eq!(host.send(A1, &udp(B1)).code(), "D14", "given back: no address of this cloud");
    host.send(A1, &udp(B2)).delivered();
    host.edit(|cloud| cloud.slice(B).internet_gateways.clear());
    assert_eq!(host.send(A1, &udp(B2)), Outcome::Denied(Denied::GatewayNoMapping { address: B2.public().into() }));
    host.send(A1, &udp(A3)).delivered();
    host.edit(|cloud| cloud.interface(A1).public.clear());
    assert_eq!(host.send(A1, &udp(A3)).code(), "D28");
    host.edit(|cloud| cloud.slice(A).internet_gateways.clear());
    assert_eq!(host.send(A1, &udp(A3)).code(), "D09");
}

/// A pair with keys for the internet between the two VPCs alone.
fn pair() -> Pair {
    let mut pair = Pair::without_keys(Cloud::on_internet());
    for (from, domain) in [(0, internet(A, B)), (1, internet(B, A)), (0, internet(A, A)), (1, internet(A, A))] {
        pair.agree(from, domain);
    }
    pair
}

#[test]
fn between_hosts_each_gateway_does_its_half() {
    let mut pair = pair();
    for (x, y) in [(A1, B1), (B1, A1), (A1, A3), (B2, A2)] {
        for is_v6 in [false, true] {
            if is_v6 && x.vpc == y.vpc {
                continue;
            }
            let [sent, got] = ends(x, y, is_v6);
            for (frame, expected) in packets(to_router(x), sent).iter().zip(packets(to_guest(y), got)) {
                let delivered = pair.carry(x, &VnetHeader::default(), frame);
                let [(to, header, bytes)] = &delivered[..] else { panic!("{delivered:?}") };
                assert_eq!((*to, header.needs_csum, bytes), (y, false, &expected), "{x:?} to {y:?}");
            }
        }
    }
    // A stream is cut, and merged again.
    let [(src, dst), (public, private)] = ends(A1, B1, false);
    let (a, b) = (SocketAddr::new(src, 1), SocketAddr::new(dst, 2));
    let (header, frame) = build::tcp_super_frame(to_router(A1), a, b, &[7; 20_000], 1380);
    let delivered = pair.carry(A1, &header, &frame);
    let [(to, header, bytes)] = &delivered[..] else { panic!("{} frames", delivered.len()) };
    let packet = Packet::parse(bytes).unwrap();
    let ip = packet.ip().unwrap();
    assert_eq!((*to, header.gso_type, ip.src, ip.dst), (B1, GsoType::TcpV4, public, private));
    assert!(ip.payload_bytes(bytes).iter().all(|byte| *byte == 7) && ip.payload_bytes(bytes).len() == 20_000);
    // And a datagram in pieces.
    let whole = build::udp(to_router(A1), a, b, &[7; 1000]);
    let expected = build::udp(to_guest(B1), SocketAddr::new(public, 1), SocketAddr::new(private, 2), &[7; 1000]);
    let got: Vec<Vec<u8>> = build::fragments(&whole, 5, 400)
        .iter()
        .flat_map(|piece| pair.carry(A1, &VnetHeader::default(), piece))
        .map(|(_, _, bytes)| bytes)
        .collect();
    assert_eq!(got, build::fragments(&expected, 5, 400));
}

#[test]
fn the_first_packet_waits_for_the_keys_of_the_internet() {
    let mut pair = Pair::without_keys(Cloud::on_internet());
    // Those of the peering are other ones.
    pair.agree(0, peering(A, B));
    let [sent, got] = ends(A1, B1, false);
    let frame = packets(to_router(A1), sent).remove(0);
    assert_eq!(pair.send(A1, &VnetHeader::default(), &frame), Outcome::Held);
    let host = crate::world::pair::host_id(1);
    assert_eq!(pair.wants(0), [Want { domain: internet(A, B), host, shard: 0 }]);
    pair.agree(0, internet(A, B));
    assert_eq!(pair.release(0), [Outcome::Sealed]);
    let batch = pair.take(0);
    let delivered = pair.give(1, &batch);
    assert_eq!(delivered[0].2, packets(to_guest(B1), got).remove(0), "translated once");
}

/// What a host seals that lies, as the receiver sees it.
fn lie(src: &str, dst: &str, edit: impl Fn(&mut Cloud)) -> (usize, &'static str) {
    let mut pair = pair();
    pair.hosts[1].cloud = pair.hosts[0].cloud.clone();
    pair.edit(&edit);
    let (a, b) = (SocketAddr::new(ip(src), 1), SocketAddr::new(ip(dst), 53));
    let packet = &build::udp(to_router(A1), a, b, b"x")[14..];
    let mut datagram = vec![0; sealed_len(packet.len())];
    datagram[HEADER_LEN..][..packet.len()].copy_from_slice(packet);
    let sa = pair.outbound[0].iter().find(|sa| sa.identity().domain == internet(A, B)).unwrap();
    let number = sa.reserve(1, packet.len() as u64).unwrap();
    let family = if ip(src).is_ipv4() { next_header::IPV4 } else { next_header::IPV6 };
    let len = sa.seal(number, &mut datagram, packet.len(), family) as u16;
    let delivered = pair.give(1, &[(datagram, len)]).len();
    let here = GUESTS.into_iter().filter(|guest| place(*guest) == 1).map(|guest| pair.hosts[1].counters(guest));
    let mut counters = here.chain([pair.hosts[1].shared.stray_counters()]);
    let of = |counters: dataplane::Counters| {
        let at = counters.denied.iter().position(|denied| denied.packets > 0)?;
        Some(Denied::ALL[at].code)
    };
    (delivered, counters.find_map(of).unwrap_or("ok"))
}

#[test]
fn a_host_that_lies_is_not_believed() {
    let (x, y) = (A1.public().to_string(), B1.public().to_string());
    let a3 = A3.public().to_string();
    let (y_private, b2) = (B1.v4().to_string(), B2.public().to_string());
    assert_eq!(lie(&x, &y, |_| ()), (1, "ok"));
    for (src, dst, expected) in [
        // Of its own VPC, but on the other host; of the receiver's own; nobody's; not translated.
        (a3.as_str(), y.as_str(), "D18"),
        (&b2, &y, "D18"),
        ("203.0.113.77", &y, "D18"),
        ("10.16.1.10", &y, "D29"),
        // To a private address, another VPC's public one, one that stands for nobody.
        (&x, &y_private, "D30"),
        (&x, &a3, "D30"),
        (&x, "203.0.113.77", "D30"),
    ] {
        assert_eq!(lie(src, dst, |_| ()), (0, expected), "{src} to {dst}");
    }
    assert_eq!(lie(&x, &y, |cloud| cloud.slice(B).internet_gateways.clear()), (0, "D30"));
    assert_eq!(lie(&x, &y, |cloud| cloud.slice(A).internet_gateways.clear()), (0, "D18"));
    assert_eq!(lie(&x, &y, |cloud| cloud.interface(A1).public.clear()), (0, "D18"));
    let (x, y) = (A1.v6().to_string(), B1.v6().to_string());
    assert_eq!(lie(&x, &y, |_| ()), (1, "ok"));
    assert_eq!(lie(&A3.v6().to_string(), &y, |_| ()), (0, "D18"));
}

#[test]
fn keys_of_the_internet_are_for_hosts_that_are_on_it() {
    let mut pair = pair();
    let says = |pair: &Pair, domain| {
        let host = crate::world::pair::host_id(0);
        pair.entitled(1).permits(LinkDirection::Receiving, host, domain)
    };
    assert!(says(&pair, internet(A, B)) && says(&pair, internet(A, A)));
    assert!(!says(&pair, internet(B, A)), "the host has no guest of B");
    pair.edit(|cloud| {
        cloud.slice(A).internet_gateways.clear();
    });
    assert!(!says(&pair, internet(A, B)), "nothing of A is on the internet");
    pair.edit(|cloud| {
        cloud.slice(A).internet_gateways.push(id(A));
        for guest in [A1, A2] {
            let interface = cloud.interface(guest);
            interface.public.clear();
            interface.ipv6_addresses.clear();
        }
    });
    assert!(!says(&pair, internet(A, B)), "nothing of A on that host");
}
