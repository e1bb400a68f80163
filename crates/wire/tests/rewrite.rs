//! Law of translation: a packet that was rewritten is, byte for byte, the one that is built with those ends.

use proptest::prelude::*;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use wire::ethernet::Link;
use wire::icmp::{self, v4};
use wire::rewrite::{Ends, Rewrite};
use wire::udp::Ports;
use wire::vnet::VnetHeader;
use wire::{Ip, MacAddr, Packet, TcpFlags, build, checksum};

const LINK: Link = Link { src: MacAddr([2, 0, 0, 0, 0, 9]), dst: MacAddr([2, 0, 0, 0, 0, 1]) };

#[derive(Clone, Copy, Debug)]
enum Protocol {
    Tcp,
    Udp,
    Echo { is_request: bool },
    Other,
}

fn protocol() -> impl Strategy<Value = Protocol> {
    prop_oneof![
        Just(Protocol::Tcp),
        Just(Protocol::Udp),
        any::<bool>().prop_map(|is_request| Protocol::Echo { is_request }),
        Just(Protocol::Other),
    ]
}

fn ends() -> impl Strategy<Value = Ends> {
    any::<([u8; 4], [u8; 4], u16, u16)>().prop_map(|(src, dst, sport, dport)| Ends {
        src: src.into(),
        dst: dst.into(),
        ports: Some(Ports { src: sport, dst: dport }),
    })
}

fn payload() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>(), 0..300)
}

fn frame(protocol: Protocol, ends: &Ends, payload: &[u8]) -> Vec<u8> {
    let ports = ends.ports.unwrap();
    let (src, dst) = (IpAddr::V4(ends.src), IpAddr::V4(ends.dst));
    let (from, to) = (SocketAddr::new(src, ports.src), SocketAddr::new(dst, ports.dst));
    match protocol {
        Protocol::Tcp => build::tcp(LINK, from, to, TcpFlags::ACK, payload),
        Protocol::Udp => build::udp(LINK, from, to, payload),
        Protocol::Echo { is_request } => build::icmp_echo(LINK, src, dst, is_request, ports.src, 7, payload),
        Protocol::Other => build::ip(LINK, src, dst, 47, payload),
    }
}

fn ip_of(frame: &[u8]) -> Ip {
    *Packet::parse(frame).unwrap().ip().unwrap()
}

fn rewritten(header: &VnetHeader, frame: &[u8], rewrite: &Rewrite) -> Vec<u8> {
    let mut frame = frame.to_vec();
    let ip = rewrite.apply(header, &ip_of(frame.as_slice()), &mut frame);
    assert_eq!(ip, ip_of(&frame), "what it says it is now");
    frame
}

/// Ethernet and ICMP header in front of a quote of so many bytes.
fn error(src: Ipv4Addr, dst: Ipv4Addr, quoted: &[u8], keep: usize) -> Vec<u8> {
    let fields = icmp::Fields { kind: v4::UNREACHABLE, code: 1, rest: [0; 4] };
    build::icmp(LINK, src.into(), dst.into(), fields, &quoted[14..quoted.len().min(14 + keep)])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn a_whole_packet_is_as_if_built_anew(
        protocol in protocol(),
        (old, new) in (ends(), ends()),
        payload in payload(),
    ) {
        let rewrite = Rewrite { ends: new, quoted: None };
        let got = rewritten(&VnetHeader::default(), &frame(protocol, &old, &payload), &rewrite);
        prop_assert_eq!(got, frame(protocol, &new, &payload));
    }

    #[test]
    fn what_is_left_to_the_receiver_is_left_right(
        is_tcp in any::<bool>(),
        (old, new) in (ends(), ends()),
        payload in payload(),
    ) {
        let protocol = if is_tcp { Protocol::Tcp } else { Protocol::Udp };
        let (header, old) = build::with_partial_checksum(&frame(protocol, &old, &payload));
        let (_, new_frame) = build::with_partial_checksum(&frame(protocol, &new, &payload));
        let rewrite = Rewrite { ends: new, quoted: None };
        prop_assert_eq!(rewritten(&header, &old, &rewrite), new_frame);
    }

    #[test]
    fn an_error_and_what_it_quotes(
        protocol in protocol(),
        (old, new) in (ends(), ends()),
        (from, to) in any::<([u8; 4], [u8; 4])>(),
        (new_from, new_to) in any::<([u8; 4], [u8; 4])>(),
        payload in payload(),
        // Not through the middle of a checksum, which would be half right.
        keep in (28_usize..120).prop_filter("half a checksum", |keep| *keep != 37),
    ) {
        let before = error(from.into(), to.into(), &frame(protocol, &old, &payload), keep);
        let ends = Ends { src: new_from.into(), dst: new_to.into(), ports: None };
        let got = rewritten(&VnetHeader::default(), &before, &Rewrite { ends, quoted: Some(new) });
        let ip = ip_of(&got);
        prop_assert!(icmp::checksum_is_valid(ip.addresses(), ip.l4_bytes(&got)));
        // A cut quote has the checksum of the whole one: that of the packet built anew, if it is there.
        prop_assert_eq!(got, error(ends.src, ends.dst, &frame(protocol, &new, &payload), keep));
    }

    #[test]
    fn fragments_become_the_fragments_of_the_new_packet(
        (old, new) in (ends(), ends()),
        payload in proptest::collection::vec(any::<u8>(), 100..300),
    ) {
        let pieces = build::fragments(&frame(Protocol::Udp, &old, &payload), 7, 64);
        let wanted = build::fragments(&frame(Protocol::Udp, &new, &payload), 7, 64);
        let rewrite = Rewrite { ends: new, quoted: None };
        for (piece, wanted) in pieces.iter().zip(&wanted) {
            prop_assert_eq!(&rewritten(&VnetHeader::default(), piece, &rewrite), wanted);
        }
    }

    #[test]
    fn a_wrong_checksum_stays_wrong(
        protocol in prop_oneof![Just(Protocol::Tcp), Just(Protocol::Echo { is_request: true })],
        (old, new) in (ends(), ends()),
        payload in payload(),
        wrong in 1_u16..0xffff,
    ) {
        let at = 34 + match protocol { Protocol::Tcp => 16, _ => 2 };
        let mut before = frame(protocol, &old, &payload);
        let sum = u16::from_be_bytes([before[at], before[at + 1]]).wrapping_add(wrong);
        before[at..at + 2].copy_from_slice(&sum.to_be_bytes());
        let is_right = |frame: &[u8]| {
            let (ip, l4) = (ip_of(frame), ip_of(frame).l4);
            let pseudo = match protocol {
                Protocol::Tcp => checksum::pseudo_header(ip.addresses(), ip.protocol, ip.end() - l4),
                _ => checksum::Sum::new(),
            };
            pseudo.plus(ip.l4_bytes(frame)).partial() == 0xffff
        };
        prop_assume!(!is_right(&before));
        let got = rewritten(&VnetHeader::default(), &before, &Rewrite { ends: new, quoted: None });
        prop_assert!(!is_right(&got));
    }
}

#[test]
fn a_datagram_without_a_checksum_gets_none() {
    let old = Ends { src: [10, 0, 0, 1].into(), dst: [10, 1, 0, 1].into(), ports: Some(Ports { src: 1, dst: 2 }) };
    let new = Ends { src: [10, 0, 0, 9].into(), ports: Some(Ports { src: 9, dst: 2 }), ..old };
    let mut before = frame(Protocol::Udp, &old, b"x");
    before[40..42].fill(0);
    let got = rewritten(&VnetHeader::default(), &before, &Rewrite { ends: new, quoted: None });
    assert_eq!(got[40..42], [0, 0]);
}

#[test]
fn ipv6_stays_as_it_is() {
    let sent = build::udp(LINK, "[2001:db8::1]:1".parse().unwrap(), "[2001:db8::2]:2".parse().unwrap(), b"x");
    let ends = Ends { src: [10, 0, 0, 1].into(), dst: [10, 0, 0, 2].into(), ports: None };
    let mut frame = sent.clone();
    Rewrite { ends, quoted: None }.apply(&VnetHeader::default(), &ip_of(&sent), &mut frame);
    assert_eq!(frame, sent);
}
