//! What the frame parser refuses and why, case by case: the abuse cases 19, 23, 29-36 of the users' list, as far as bytes alone decide.

use std::net::{IpAddr, SocketAddr};
use wire::ethernet::Link;
use wire::icmp::{self, v4, v6};
use wire::ipv6::extension;
use wire::{Class, Embedded, Fragment, Ip, Kind, MacAddr, Malformed, Packet, TcpFlags, Transport, build, checksum, ip};

const LINK: Link = Link { src: MacAddr([2, 0, 0, 0, 0, 9]), dst: MacAddr([2, 0, 0, 0, 0, 1]) };
const PADDING: [u8; 8] = [0, 0, 1, 4, 0, 0, 0, 0];

fn at(text: &str) -> SocketAddr {
    text.parse().expect("an address and a port")
}

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn v4_syn() -> Vec<u8> {
    build::tcp(LINK, at("10.16.1.10:40000"), at("10.17.1.10:443"), TcpFlags::SYN, b"0123456789abcdef")
}

fn v6_syn() -> Vec<u8> {
    build::tcp(LINK, at("[2001:db8::a]:40000"), at("[2001:db8::b]:443"), TcpFlags::SYN, b"0123456789abcdef")
}

fn udp(payload: &[u8]) -> Vec<u8> {
    build::udp(LINK, at("10.16.1.10:40000"), at("10.17.1.10:53"), payload)
}

fn parsed(frame: &[u8]) -> Ip {
    *Packet::parse(frame).expect("a good frame").ip().expect("an ip packet")
}

#[track_caller]
fn refused(frame: &[u8], why: Malformed, class: Class) {
    assert_eq!(Packet::parse(frame), Err(why));
    assert_eq!(why.class(), class, "{why}");
}

/// Overwrites bytes of the IPv4 header and puts its checksum right.
fn v4_changed(mut frame: Vec<u8>, at: usize, value: &[u8]) -> Vec<u8> {
    frame[14 + at..][..value.len()].copy_from_slice(value);
    frame[24..26].fill(0);
    let sum = checksum::of(&frame[14..34]);
    frame[24..26].copy_from_slice(&sum.to_be_bytes());
    frame
}

/// Overwrites bytes of the transport header.
fn l4_changed(mut frame: Vec<u8>, at: usize, value: &[u8]) -> Vec<u8> {
    let start = parsed(&frame).l4 + at;
    frame[start..][..value.len()].copy_from_slice(value);
    frame
}

#[test]
fn frames_that_are_not_carried() {
    let not_carried = |frame: &[u8], why| refused(frame, why, Class::NotCarried);
    not_carried(&build::with_vlan(&v4_syn(), 7), Malformed::Vlan);
    let ethertype = |value: u16| {
        let mut frame = v4_syn();
        frame[12..14].copy_from_slice(&value.to_be_bytes());
        frame
    };
    not_carried(&ethertype(0x88a8), Malformed::Vlan);
    for length in [0, 38, 1500, 0x05ff] {
        not_carried(&ethertype(length), Malformed::Llc);
    }
    // MPLS, NSH, LLDP, PPPoE, a loopback test, RARP.
    for other in [0x8847, 0x894f, 0x88cc, 0x8864, 0x9000, 0x8035, 0x0600] {
        not_carried(&ethertype(other), Malformed::Ethertype(other));
    }
}

#[test]
fn a_frame_says_what_it_is_padded_or_not() {
    let mut frame = v4_syn();
    let before = Packet::parse(&frame).unwrap();
    assert_eq!((before.src_mac, before.dst_mac), (LINK.src, LINK.dst));
    let ip = parsed(&frame);
    assert_eq!((ip.l3, ip.l4, ip.payload, ip.total_length, ip.end()), (14, 34, 54, 56, 70));
    assert_eq!((ip.ttl, ip.dont_fragment, ip.fragment, ip.embedded), (64, true, None, None));
    assert_eq!(ip.payload_bytes(&frame), b"0123456789abcdef");
    frame.extend([0xff; 9]);
    assert_eq!(Packet::parse(&frame), Ok(before));
    let six = parsed(&v6_syn());
    assert_eq!((six.l4, six.payload, six.total_length, six.dont_fragment), (54, 74, 76, true));
}

#[test]
fn ip_headers_that_lie_about_lengths() {
    let malformed = |frame: &[u8], why| refused(frame, why, Class::Malformed);
    malformed(&[0; 13], Malformed::ShortFrame);
    malformed(&v4_syn()[..33], Malformed::ShortIpHeader);
    malformed(&v4_syn()[..69], Malformed::TotalLength);
    malformed(&v6_syn()[..89], Malformed::TotalLength);
    malformed(&v4_changed(v4_syn(), 2, &[0, 19]), Malformed::TotalLength);
    malformed(&v4_changed(v4_syn(), 2, &[0, 0]), Malformed::TotalLength);
    malformed(&v4_changed(v4_syn(), 0, &[0x44]), Malformed::HeaderLength);
    malformed(&v4_changed(v4_syn(), 0, &[0x65]), Malformed::Version);
    malformed(&v4_changed(v4_syn(), 9, &[0]), Malformed::ProtocolZero);
    let mut bad = v4_syn();
    bad[24] ^= 0x10;
    malformed(&bad, Malformed::HeaderChecksum);
    let mut four_in_six = v4_syn();
    four_in_six[12..14].copy_from_slice(&[0x86, 0xdd]);
    four_in_six.resize(100, 0);
    malformed(&four_in_six, Malformed::Version);
}

#[test]
fn transport_headers_that_lie() {
    let malformed = |frame: &[u8], why| refused(frame, why, Class::Malformed);
    malformed(&l4_changed(v4_syn(), 12, &[0x40]), Malformed::TcpHeader);
    malformed(&l4_changed(v4_syn(), 12, &[0xf0]), Malformed::TcpHeader);
    let short = |protocol, len| build::ip(LINK, address("10.0.0.1"), address("10.0.0.2"), protocol, &vec![0; len]);
    malformed(&short(ip::protocol::TCP, 19), Malformed::TcpHeader);
    malformed(&short(ip::protocol::UDP, 7), Malformed::UdpHeader);
    malformed(&short(ip::protocol::ICMP, 7), Malformed::IcmpHeader);
    malformed(&l4_changed(udp(b"abc"), 4, &[0, 12]), Malformed::UdpHeader);
    malformed(&l4_changed(udp(b"abc"), 4, &[0, 7]), Malformed::UdpHeader);
    malformed(&l4_changed(udp(b"abc"), 4, &[0, 0]), Malformed::UdpHeader);
    let trailing = l4_changed(udp(b"abc"), 4, &[0, 10]);
    assert_eq!(parsed(&trailing).payload_bytes(&trailing), b"ab", "what a datagram does not count is not its payload");
}

#[test]
fn protocols_without_ports_pass_as_what_they_are() {
    for protocol in [2, 4, 41, 47, 50, 51, 58, 89, 132, 255] {
        let ip = parsed(&build::ip(LINK, address("10.0.0.1"), address("10.0.0.2"), protocol, &[]));
        assert_eq!((ip.protocol, ip.transport, ip.l4), (protocol, Transport::Other, ip.payload));
    }
    let empty = parsed(&build::ip(LINK, address("fe80::1"), address("fe80::2"), ip::protocol::NO_NEXT_HEADER, &[]));
    assert_eq!((empty.protocol, empty.transport), (59, Transport::Other));
    let icmpv4_in_six = parsed(&build::ip(LINK, address("fe80::1"), address("fe80::2"), ip::protocol::ICMP, &[8; 8]));
    assert_eq!(icmpv4_in_six.transport, Transport::Other);
}

#[test]
fn extension_headers_do_not_hide_the_ports() {
    let syn = parsed(&v6_syn());
    let frame = build::with_extension(&v6_syn(), extension::DESTINATION_OPTIONS, &PADDING);
    let frame = build::with_extension(&frame, extension::HOP_BY_HOP, &PADDING);
    let ip = parsed(&frame);
    assert_eq!((ip.protocol, ip.transport), (ip::protocol::TCP, syn.transport));
    assert_eq!((ip.l4, ip.payload, ip.total_length), (syn.l4 + 16, syn.payload + 16, syn.total_length + 16));

    let malformed = |frame: &[u8], why| refused(frame, why, Class::Malformed);
    for kind in [0, 2, 4] {
        let routed = build::with_extension(&v6_syn(), extension::ROUTING, &[0, 2, kind, 1, 0, 0, 0, 0]);
        malformed(&routed, Malformed::RoutingHeader(kind));
    }
    let mobility = build::with_extension(&v6_syn(), extension::MOBILITY, &PADDING);
    malformed(&mobility, Malformed::UnknownExtension(135));
    let mut beyond = v6_syn();
    beyond[20] = extension::DESTINATION_OPTIONS;
    beyond[55] = 200;
    malformed(&beyond, Malformed::ExtensionBeyondPacket);
    let mut deep = v6_syn();
    for _ in 0..9 {
        deep = build::with_extension(&deep, extension::DESTINATION_OPTIONS, &PADDING);
    }
    malformed(&deep, Malformed::TooManyExtensions);
    let late = build::with_extension(&v6_syn(), extension::HOP_BY_HOP, &PADDING);
    malformed(&build::with_extension(&late, extension::DESTINATION_OPTIONS, &PADDING), Malformed::HopByHopNotFirst);
    let jumbo = build::with_extension(&v6_syn(), extension::HOP_BY_HOP, &[0, 0, 0xc2, 4, 0, 1, 0, 0]);
    malformed(&jumbo, Malformed::JumboPayload);
}

#[test]
fn fragments_show_their_place() {
    for whole in [v4_syn(), v6_syn()] {
        let [first, last] = &build::fragments(&whole, 99, 24)[..] else { panic!("two fragments") };
        let (first, last) = (parsed(first), parsed(last));
        assert_eq!(first.fragment, Some(Fragment { id: 99, offset: 0, more: true }));
        assert_eq!(first.transport, parsed(&whole).transport);
        assert_eq!((first.fragment_data, last.fragment_data), (first.l4, last.l4));
        assert_eq!(last.fragment, Some(Fragment { id: 99, offset: 24, more: false }));
        assert_eq!(
            (last.transport, last.protocol, last.l4),
            (Transport::InFirstFragment, ip::protocol::TCP, last.payload)
        );
    }
}

#[test]
fn a_fragments_data_start_behind_its_fragment_header() {
    let mut first = build::fragments(&v6_syn(), 99, 32).swap_remove(0);
    // Its first eight bytes of data become destination options; the transport header stands behind them.
    let syn = v6_syn()[54..78].to_vec();
    first[54] = extension::DESTINATION_OPTIONS;
    first[62..70].copy_from_slice(&[ip::protocol::TCP, 0, 1, 4, 0, 0, 0, 0]);
    first[70..94].copy_from_slice(&syn);
    let first = parsed(&build::with_extension(&first, extension::HOP_BY_HOP, &PADDING));
    assert_eq!((first.fragment_data, first.l4), (70, 78));
    assert_eq!(first.transport, parsed(&v6_syn()).transport);
}

#[test]
fn tiny_fragments_are_refused() {
    let tiny = |frame: &[u8]| refused(frame, Malformed::TinyFragment, Class::Fragment);
    for whole in [v4_syn(), v6_syn()] {
        // The first lacks the flags; the second would write over the header (RFC 1858).
        let pieces = build::fragments(&whole, 99, 16);
        tiny(&pieces[0]);
        tiny(&pieces[1]);
        assert!(Packet::parse(&pieces[2]).is_ok());
    }
    let icmp = build::icmp_echo(LINK, address("10.0.0.1"), address("10.0.0.2"), true, 1, 1, &[0; 64]);
    assert!(Packet::parse(&build::fragments(&icmp, 1, 8)[0]).is_ok(), "eight bytes are the whole icmp header");
    // A first fragment whose extension headers go on in the next (RFC 7112).
    let mut cut = build::fragments(&v6_syn(), 99, 24).swap_remove(0);
    cut[54] = extension::DESTINATION_OPTIONS;
    cut[63] = 200;
    tiny(&cut);
}

#[test]
fn fragments_that_cannot_be_joined_are_refused() {
    let flags_offset = |frame, value: u16| v4_changed(frame, 6, &value.to_be_bytes());
    refused(&flags_offset(udp(b"12345"), 0x2000), Malformed::FragmentLength, Class::Malformed);
    refused(&flags_offset(udp(b"12345678"), 0x1fff), Malformed::FragmentBeyondDatagram, Class::Fragment);
    let fragment = build::fragments(&v6_syn(), 99, 24).swap_remove(0);
    let twice = build::with_extension(&fragment, extension::FRAGMENT, &[0; 8]);
    refused(&twice, Malformed::SecondFragmentHeader, Class::Malformed);
    let atomic = build::with_extension(&v6_syn(), extension::FRAGMENT, &[0; 8]);
    assert_eq!(parsed(&atomic).fragment, None);
    assert_eq!(parsed(&atomic).transport, parsed(&v6_syn()).transport);
}

#[test]
fn icmp_errors_name_the_flow_they_are_about() {
    let about = udp(b"question");
    let expected = Embedded {
        src: address("10.16.1.10"),
        dst: address("10.17.1.10"),
        protocol: ip::protocol::UDP,
        transport: Transport::Udp { src_port: 40000, dst_port: 53 },
    };
    let error = |kind, quoted: &[u8]| {
        let fields = icmp::Fields { kind, code: 1, rest: [0; 4] };
        parsed(&build::icmp(LINK, address("10.17.1.10"), address("10.16.1.10"), fields, quoted))
    };
    for kind in [v4::UNREACHABLE, v4::SOURCE_QUENCH, v4::REDIRECT, v4::TIME_EXCEEDED, v4::PARAMETER_PROBLEM] {
        let ip = error(kind, &about[14..]);
        assert_eq!(ip.embedded, Some(expected), "{kind}");
        assert_eq!(ip.transport, Transport::Icmp { kind, code: 1, id: None });
        assert!(!ip.may_cause_icmp_error(), "no error about an error");
    }
    assert_eq!(error(v4::UNREACHABLE, &about[14..42]).embedded, Some(expected), "eight bytes of transport are enough");
    for nothing in [&about[14..37], &about[14..30], &[], &v6_syn()[14..]] {
        assert_eq!(error(v4::UNREACHABLE, nothing).embedded, None);
    }
    assert_eq!(error(v4::ECHO_REQUEST, &about[14..]).embedded, None, "a ping quotes nobody");
    let tcp = error(v4::UNREACHABLE, &v4_syn()[14..42]).embedded.unwrap();
    let flags = TcpFlags::default();
    assert_eq!(tcp.transport, Transport::Tcp { src_port: 40000, dst_port: 443, flags });
    let ping = build::icmp_echo(LINK, address("10.16.1.10"), address("10.17.1.10"), true, 77, 1, b"");
    let ping = error(v4::TIME_EXCEEDED, &ping[14..]).embedded.unwrap();
    assert_eq!(ping.transport, Transport::Icmp { kind: 8, code: 0, id: Some(77) });
    let later = build::fragments(&v4_syn(), 1, 24).swap_remove(1);
    let later = error(v4::UNREACHABLE, &later[14..]).embedded.unwrap();
    assert_eq!(later.transport, Transport::InFirstFragment);
}

#[test]
fn icmpv6_errors_too() {
    let quoted = build::with_extension(&v6_syn(), extension::DESTINATION_OPTIONS, &PADDING);
    let fields = icmp::Fields { kind: v6::PACKET_TOO_BIG, code: 0, rest: [0, 0, 5, 0] };
    let ip = parsed(&build::icmp(LINK, address("fe80::1"), address("2001:db8::a"), fields, &quoted[14..]));
    let embedded = ip.embedded.unwrap();
    assert_eq!((embedded.src, embedded.dst), (address("2001:db8::a"), address("2001:db8::b")));
    assert_eq!(embedded.transport.ports(), Some((40000, 443)));
}

#[test]
fn errors_are_sent_to_single_hosts_only() {
    let may = |src, dst| parsed(&build::udp(LINK, at(src), at(dst), b"")).may_cause_icmp_error();
    assert!(may("10.0.0.1:1", "10.0.0.2:1") && may("[2001:db8::1]:1", "[2001:db8::2]:1"));
    for (src, dst) in [
        ("0.0.0.0:1", "10.0.0.2:1"),
        ("224.0.0.1:1", "10.0.0.2:1"),
        ("10.0.0.1:1", "255.255.255.255:1"),
        ("127.0.0.1:1", "10.0.0.2:1"),
        ("[::]:1", "[2001:db8::2]:1"),
        ("[2001:db8::1]:1", "[ff02::1]:1"),
    ] {
        assert!(!may(src, dst), "{src} {dst}");
    }
}

#[test]
fn super_frames_of_the_largest_size_pass() {
    let (src, dst) = (at("10.16.1.10:40000"), at("10.17.1.10:443"));
    let payload = vec![7; 65535 - 40];
    let (vnet, frame) = build::tcp_super_frame(LINK, src, dst, &payload, 1460);
    let packet = Packet::parse(&frame).unwrap();
    assert_eq!(packet.ip().unwrap().total_length, 65535);
    assert_eq!(vnet.check(&packet), Ok(()));
    let (src, dst) = (at("[2001:db8::a]:40000"), at("[2001:db8::b]:443"));
    let (vnet, frame) = build::tcp_super_frame(LINK, src, dst, &vec![7; 65535 - 20], 1440);
    let packet = Packet::parse(&frame).unwrap();
    assert_eq!(packet.ip().unwrap().total_length, 65575);
    assert_eq!(vnet.check(&packet), Ok(()));
}

#[test]
fn arp_is_read_and_other_arp_refused() {
    let frame = build::arp_request(LINK.src, "10.16.1.10".parse().unwrap(), "10.16.1.1".parse().unwrap());
    let packet = Packet::parse(&frame).unwrap();
    assert!(packet.dst_mac.is_broadcast());
    assert!(matches!(packet.kind, Kind::Arp(arp) if arp.target_ip.octets() == [10, 16, 1, 1]));
    refused(&frame[..41], Malformed::Arp, Class::Malformed);
}
