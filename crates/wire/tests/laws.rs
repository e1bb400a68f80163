//! Laws of the frame parser: it takes any bytes, and it finds again what the builders put in.

use proptest::prelude::*;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use wire::ethernet::Link;
use wire::{Kind, MacAddr, Malformed, Packet, TcpFlags, Transport, build, checksum, fuzz, ip, reply, vnet};

/// Most cases hit the first check that fails, so a case is cheap and many are needed.
const CASES: u32 = 2000;

fn link() -> impl Strategy<Value = Link> {
    any::<([u8; 6], [u8; 6])>().prop_map(|(src, dst)| Link { src: MacAddr(src), dst: MacAddr(dst) })
}

fn addresses() -> impl Strategy<Value = (IpAddr, IpAddr)> {
    prop_oneof![
        any::<([u8; 4], [u8; 4])>().prop_map(|(a, b)| (Ipv4Addr::from(a).into(), Ipv4Addr::from(b).into())),
        any::<([u8; 16], [u8; 16])>().prop_map(|(a, b)| (Ipv6Addr::from(a).into(), Ipv6Addr::from(b).into())),
    ]
}

fn payload() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>(), 0..300)
}

fn seed() -> impl Strategy<Value = Vec<u8>> {
    proptest::sample::select(fuzz::seeds()).prop_map(|(_, bytes)| bytes)
}

fn ip_of(frame: &[u8]) -> wire::Ip {
    match Packet::parse(frame).map(|packet| packet.kind) {
        Ok(Kind::Ip(ip)) => ip,
        other => panic!("a valid frame is {other:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(CASES))]

    #[test]
    fn any_bytes_are_taken(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        fuzz::frame(&bytes);
    }

    #[test]
    fn any_change_of_a_valid_frame_is_taken(
        mut bytes in seed(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        keep in any::<prop::sample::Index>(),
        cut in any::<bool>(),
    ) {
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if cut {
            bytes.truncate(keep.index(bytes.len()));
        }
        fuzz::frame(&bytes);
    }

    #[test]
    fn tcp_is_found_again(
        link in link(),
        (src, dst) in addresses(),
        ports in any::<(u16, u16)>(),
        flags in any::<u8>(),
        payload in payload(),
    ) {
        let (from, to) = (SocketAddr::new(src, ports.0), SocketAddr::new(dst, ports.1));
        let frame = build::tcp(link, from, to, TcpFlags(flags), &payload);
        let packet = Packet::parse(&frame).unwrap();
        prop_assert_eq!((packet.src_mac, packet.dst_mac), (link.src, link.dst));
        let ip = ip_of(&frame);
        prop_assert_eq!((ip.src, ip.dst, ip.protocol, ip.ttl), (src, dst, ip::protocol::TCP, 64));
        let transport = Transport::Tcp { src_port: ports.0, dst_port: ports.1, flags: TcpFlags(flags) };
        prop_assert_eq!((ip.transport, ip.fragment, ip.embedded), (transport, None, None));
        prop_assert_eq!(ip.payload_bytes(&frame), &payload[..]);
        let sum = checksum::pseudo_header(ip.addresses(), ip.protocol, ip.l4_bytes(&frame).len());
        prop_assert_eq!(sum.plus(ip.l4_bytes(&frame)).partial(), 0xffff);
    }

    #[test]
    fn udp_is_found_again_whatever_pads_it(
        link in link(),
        (src, dst) in addresses(),
        ports in any::<(u16, u16)>(),
        payload in payload(),
        padding in 0usize..50,
    ) {
        let (from, to) = (SocketAddr::new(src, ports.0), SocketAddr::new(dst, ports.1));
        let mut frame = build::udp(link, from, to, &payload);
        frame.resize(frame.len() + padding, 0xee);
        let ip = ip_of(&frame);
        prop_assert_eq!(ip.transport, Transport::Udp { src_port: ports.0, dst_port: ports.1 });
        prop_assert_eq!(ip.payload_bytes(&frame), &payload[..]);
        let sum = checksum::pseudo_header(ip.addresses(), ip.protocol, ip.l4_bytes(&frame).len());
        prop_assert_eq!(sum.plus(ip.l4_bytes(&frame)).partial(), 0xffff);
    }

    #[test]
    fn echo_is_found_again(
        link in link(),
        (src, dst) in addresses(),
        request in any::<bool>(),
        id in any::<u16>(),
        payload in payload(),
    ) {
        let frame = build::icmp_echo(link, src, dst, request, id, 1, &payload);
        let ip = ip_of(&frame);
        let kind = match (src.is_ipv4(), request) {
            (true, true) => 8,
            (true, false) => 0,
            (false, true) => 128,
            (false, false) => 129,
        };
        prop_assert_eq!(ip.transport, Transport::Icmp { kind, code: 0, id: Some(id) });
        prop_assert_eq!(ip.payload_bytes(&frame), &payload[..]);
        prop_assert!(wire::icmp::checksum_is_valid(ip.addresses(), ip.l4_bytes(&frame)));
    }

    #[test]
    fn fragments_join_to_the_whole(
        link in link(),
        (src, dst) in addresses(),
        payload in proptest::collection::vec(any::<u8>(), 41..2000),
        size in 48usize..600,
        id in any::<u16>(),
    ) {
        let whole = build::udp(link, SocketAddr::new(src, 1), SocketAddr::new(dst, 2), &payload);
        let mut joined = Vec::new();
        let fragments = build::fragments(&whole, id.into(), size);
        for (index, frame) in fragments.iter().enumerate() {
            let ip = ip_of(frame);
            if fragments.len() == 1 {
                prop_assert_eq!(ip.fragment, None);
            } else {
                let fragment = ip.fragment.unwrap();
                prop_assert_eq!((fragment.id, fragment.offset as usize), (u32::from(id), joined.len()));
                prop_assert_eq!(fragment.more, index + 1 < fragments.len());
                prop_assert_eq!(ip.transport == Transport::InFirstFragment, index > 0);
            }
            prop_assert_eq!((ip.src, ip.dst), (src, dst));
            joined.extend_from_slice(ip.l4_bytes(frame));
        }
        prop_assert_eq!(joined, ip_of(&whole).l4_bytes(&whole));
    }

    #[test]
    fn an_error_names_the_flow_it_is_about(link in link(), (src, dst) in addresses(), payload in payload()) {
        let frame = build::udp(link, SocketAddr::new(src, 1000), SocketAddr::new(dst, 53), &payload);
        let packet = Packet::parse(&frame).unwrap();
        let router = if src.is_ipv4() { "10.0.0.1".parse().unwrap() } else { "fe80::1".parse().unwrap() };
        let mut buffer = [0; 14 + 1280];
        let answered = reply::too_big(&mut buffer, link.dst, router, &packet, &frame, 1400).unwrap();
        let may = packet.ip().unwrap().may_cause_icmp_error();
        prop_assert_eq!(answered.is_some(), may);
        if let Some(len) = answered {
            let error = ip_of(&buffer[..len]);
            let embedded = error.embedded.unwrap();
            prop_assert_eq!((error.src, error.dst), (router, src));
            prop_assert_eq!((embedded.src, embedded.dst, embedded.protocol), (src, dst, ip::protocol::UDP));
            prop_assert_eq!(embedded.transport, Transport::Udp { src_port: 1000, dst_port: 53 });
        }
    }

    #[test]
    fn a_left_checksum_is_finished_as_the_sender_would_have(
        link in link(),
        (src, dst) in addresses(),
        payload in payload(),
        tcp in any::<bool>(),
    ) {
        let (src, dst) = (SocketAddr::new(src, 1000), SocketAddr::new(dst, 53));
        let whole = if tcp {
            build::tcp(link, src, dst, TcpFlags::ACK, &payload)
        } else {
            build::udp(link, src, dst, &payload)
        };
        let (mut header, mut frame) = build::with_partial_checksum(&whole);
        let packet = Packet::parse(&frame).unwrap();
        prop_assert_eq!(header.check(&packet), Ok(()));
        header.finish_checksum(&mut frame, packet.ip().unwrap());
        // TCP knows two forms of zero.
        if frame != whole {
            let ip = packet.ip().unwrap();
            let sum = checksum::pseudo_header(ip.addresses(), ip.protocol, ip.end() - ip.l4).plus(ip.l4_bytes(&frame));
            prop_assert!(tcp && sum.partial() == 0xffff);
        }
        prop_assert_eq!(header, vnet::VnetHeader::default());
    }

    #[test]
    fn a_damaged_ipv4_header_never_passes(at in 0usize..20, bit in 0u8..8) {
        let (src, dst) = ("10.16.1.10:40000".parse().unwrap(), "10.17.1.10:443".parse().unwrap());
        let mut frame = build::tcp(Link { src: MacAddr::ZERO, dst: MacAddr::ZERO }, src, dst, TcpFlags::SYN, &[]);
        frame[14 + at] ^= 1 << bit;
        prop_assert!(Packet::parse(&frame).is_err_and(|refused| refused.class() == wire::Class::Malformed));
    }

    #[test]
    fn a_cut_frame_never_passes(link in link(), (src, dst) in addresses(), keep in any::<prop::sample::Index>()) {
        let frame = build::udp(link, SocketAddr::new(src, 1), SocketAddr::new(dst, 2), b"payload");
        let cut = &frame[..keep.index(frame.len())];
        prop_assert!(matches!(
            Packet::parse(cut),
            Err(Malformed::ShortFrame | Malformed::ShortIpHeader | Malformed::TotalLength)
        ));
    }
}
