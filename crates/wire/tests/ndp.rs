//! Neighbour discovery: messages by hand, answers, and the rules of RFC 4861 6.1 and 7.1 one by one.

use std::net::Ipv6Addr;
use wire::ethernet::Link;
use wire::icmp::Fields;
use wire::ipv6::extension;
use wire::ndp::{
    ALL_NODES, Dnssl, HOP_LIMIT, Message, NdpError, NeighborAdvertisement, NeighborSolicitation, Prefix, Rdnss,
    RouterAdvertisement,
};
use wire::{Addresses, EmitError, Ip, MacAddr, Packet, build, checksum, emit, ip, reply};

const GUEST: MacAddr = MacAddr([2, 0, 0, 0, 0, 9]);
const ROUTER: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
const LINK: Link = Link { src: GUEST, dst: ROUTER };

fn v6(text: &str) -> Ipv6Addr {
    text.parse().expect("an address")
}

fn parse(frame: &[u8]) -> Result<Message, NdpError> {
    Message::parse(&ip_of(frame), frame)
}

fn ip_of(frame: &[u8]) -> Ip {
    *Packet::parse(frame).expect("a good frame").ip().expect("an ip packet")
}

/// A message of any content with a right checksum.
fn message(src: &str, dst: &str, kind: u8, rest: [u8; 4], body: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; 1000];
    let addresses = Addresses::V6 { src: v6(src), dst: v6(dst) };
    let fields = Fields { kind, code: 0, rest };
    let len = emit::icmp(&mut frame, LINK, addresses, HOP_LIMIT, fields, emit::bytes(body)).expect("room");
    frame.truncate(len);
    frame
}

fn target(text: &str, options: &[u8]) -> Vec<u8> {
    [&v6(text).octets()[..], options].concat()
}

#[test]
fn a_solicitation_by_hand() {
    let frame = build::neighbor_solicitation(GUEST, v6("2001:db8::10"), v6("2001:db8::1234:5678"));
    let by_hand = [
        0x33, 0x33, 0xff, 0x34, 0x56, 0x78, 2, 0, 0, 0, 0, 9, 0x86, 0xdd, // the group's mac
        0x60, 0, 0, 0, 0, 32, 58, 255, // ipv6, hop limit 255
    ];
    assert_eq!(frame[..22], by_hand);
    assert_eq!(frame[38..54], v6("ff02::1:ff34:5678").octets());
    assert_eq!((frame[54], frame[55], &frame[58..62]), (135, 0, &[0; 4][..]));
    assert_eq!(frame[62..78], v6("2001:db8::1234:5678").octets());
    assert_eq!(frame[78..], [1, 1, 2, 0, 0, 0, 0, 9]);
    let expected = NeighborSolicitation { target: v6("2001:db8::1234:5678"), source_link_layer: Some(GUEST) };
    assert_eq!(parse(&frame), Ok(Message::NeighborSolicitation(expected)));
}

#[test]
fn the_router_answers_a_solicitation() {
    let frame = build::neighbor_solicitation(GUEST, v6("2001:db8::10"), v6("fe80::1"));
    let Ok(Message::NeighborSolicitation(asked)) = parse(&frame) else { panic!("a solicitation") };
    let mut buffer = [0; 86];
    let len = reply::neighbor_advertisement(&mut buffer, ROUTER, true, GUEST, &ip_of(&frame), &asked).unwrap();
    assert_eq!(len, 86);
    let answer = Packet::parse(&buffer).unwrap();
    assert_eq!((answer.src_mac, answer.dst_mac), (ROUTER, GUEST));
    assert_eq!((ip_of(&buffer).src, ip_of(&buffer).dst), (v6("fe80::1").into(), v6("2001:db8::10").into()));
    let expected = NeighborAdvertisement {
        target: v6("fe80::1"),
        router: true,
        solicited: true,
        r#override: true,
        target_link_layer: Some(ROUTER),
    };
    assert_eq!(parse(&buffer), Ok(Message::NeighborAdvertisement(expected)));
}

#[test]
fn a_probe_is_answered_to_all_nodes() {
    let frame = build::neighbor_solicitation(GUEST, Ipv6Addr::UNSPECIFIED, v6("2001:db8::10"));
    let Ok(Message::NeighborSolicitation(asked)) = parse(&frame) else { panic!("a solicitation") };
    assert_eq!(asked.source_link_layer, None);
    let mut buffer = [0; 86];
    reply::neighbor_advertisement(&mut buffer, ROUTER, false, GUEST, &ip_of(&frame), &asked).unwrap();
    assert_eq!(ip_of(&buffer).dst, ALL_NODES);
    assert_eq!(buffer[..6], [0x33, 0x33, 0, 0, 0, 1]);
    assert!(
        matches!(parse(&buffer), Ok(Message::NeighborAdvertisement(answer)) if !answer.solicited && !answer.router)
    );
}

#[test]
fn router_solicitations() {
    let asked = parse(&build::router_solicitation(GUEST, v6("fe80::9")));
    assert_eq!(asked, Ok(Message::RouterSolicitation { source_link_layer: Some(GUEST) }));
    let asked = parse(&build::router_solicitation(GUEST, Ipv6Addr::UNSPECIFIED));
    assert_eq!(asked, Ok(Message::RouterSolicitation { source_link_layer: None }));
    let wrong = message("::", "ff02::2", 133, [0; 4], &[1, 1, 2, 0, 0, 0, 0, 9]);
    assert_eq!(parse(&wrong), Err(NdpError::Address));
}

fn advertisement() -> RouterAdvertisement {
    RouterAdvertisement {
        hop_limit: 64,
        managed: true,
        other: true,
        router_lifetime_secs: 1800,
        reachable_ms: 1,
        retransmit_ms: 2,
        source_link_layer: Some(ROUTER),
        mtu: Some(9001),
        prefixes: vec![Prefix {
            prefix: v6("2001:db8::"),
            len: 64,
            on_link: true,
            autonomous: false,
            valid_secs: 7200,
            preferred_secs: 1800,
        }],
        rdnss: Some(Rdnss { lifetime_secs: 1800, servers: vec![v6("fd00:ec2::253")] }),
        dnssl: Some(Dnssl { lifetime_secs: 1800, domains: vec!["ec2.internal".into()] }),
    }
}

#[test]
fn a_router_advertisement_by_hand() {
    let mut frame = [0; 256];
    let len = reply::router_advertisement(&mut frame, LINK, v6("fe80::1"), ALL_NODES, &advertisement()).unwrap();
    let mut body = vec![64, 0xc0, 0x07, 0x08, 0, 0, 0, 1, 0, 0, 0, 2];
    body.extend([1, 1, 2, 0, 0, 0, 0, 1]);
    body.extend([5, 1, 0, 0, 0, 0, 0x23, 0x29]);
    body.extend([3, 4, 64, 0x80, 0, 0, 0x1c, 0x20, 0, 0, 7, 8, 0, 0, 0, 0]);
    body.extend(v6("2001:db8::").octets());
    body.extend([25, 3, 0, 0, 0, 0, 7, 8]);
    body.extend(v6("fd00:ec2::253").octets());
    body.extend([31, 3, 0, 0, 0, 0, 7, 8]);
    body.extend(b"\x03ec2\x08internal\0\0\0");
    assert_eq!(frame[58..len], body);
    assert_eq!(parse(&frame[..len]), Ok(Message::RouterAdvertisement(advertisement())));
}

#[test]
fn advertisements_are_bounded() {
    let many = RouterAdvertisement { prefixes: vec![advertisement().prefixes[0]; 17], ..advertisement() };
    assert!(many.emit(&mut [0; 2000]).is_err());
    let domains = |domains: Vec<String>| RouterAdvertisement {
        dnssl: Some(Dnssl { lifetime_secs: 1800, domains }),
        ..RouterAdvertisement::default()
    };
    // An option is at most 255 times eight bytes long, eight of which come before the names.
    let full = vec!["x.".repeat(126) + "x"; 7].into_iter().chain(["x.".repeat(121) + "xxx"]).collect::<Vec<_>>();
    assert_eq!(domains(full.clone()).emit(&mut [0; 4000]), Ok(8 + 2040));
    let over = [full, vec!["x".into()]].concat();
    assert!(matches!(domains(over).emit(&mut [0; 4000]), Err(EmitError::TooLong { what: "domains", .. })));
    assert_eq!(domains(vec!["a..b".into()]).emit(&mut [0; 4000]), Err(EmitError::BadName));
    let prefix = [&[3, 4, 64, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0][..], &[0; 16]].concat();
    let frame = message("fe80::1", "ff02::1", 134, [0; 4], &[&[0; 8][..], &prefix.repeat(17)].concat());
    assert_eq!(parse(&frame), Err(NdpError::TooMany));
    let from_afar = message("2001:db8::1", "ff02::1", 134, [0; 4], &[0; 8]);
    assert_eq!(parse(&from_afar), Err(NdpError::Address));
}

#[test]
fn the_rules_of_every_message() {
    let good = message("fe80::9", "ff02::1:ff00:1", 135, [0; 4], &target("fe80::1", &[]));
    assert!(parse(&good).is_ok());
    let mut damaged = good.clone();
    damaged[70] ^= 1;
    assert_eq!(parse(&damaged), Err(NdpError::Checksum));
    let mut from_afar = good.clone();
    from_afar[21] = 254;
    assert_eq!(parse(&from_afar), Err(NdpError::HopLimit(254)));
    let mut code = good.clone();
    code[55] = 1;
    let sum = u16::from_be_bytes([code[56], code[57]]);
    code[56..58].copy_from_slice(&checksum::update(sum, 0x8700, 0x8701).to_be_bytes());
    assert_eq!(parse(&code), Err(NdpError::Code(1)));
    for (number, header) in [(extension::FRAGMENT, [0; 8]), (extension::DESTINATION_OPTIONS, [0, 0, 1, 4, 0, 0, 0, 0])]
    {
        assert_eq!(parse(&build::with_extension(&good, number, &header)), Err(NdpError::ExtensionHeaders));
    }
    assert_eq!(parse(&message("fe80::9", "fe80::1", 135, [0; 4], &[0; 15])), Err(NdpError::Short));
    let echo = build::icmp_echo(LINK, v6("fe80::9").into(), v6("fe80::1").into(), true, 1, 1, b"");
    assert_eq!(parse(&echo), Err(NdpError::NotNdp));
    let four =
        build::ip(LINK, "10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap(), ip::protocol::ICMPV6, &[135; 24]);
    assert_eq!(parse(&four), Err(NdpError::NotNdp));
    assert_eq!(parse(&message("fe80::1", "fe80::9", 137, [0; 4], &[0; 32])), Ok(Message::Redirect));
}

#[test]
fn options_have_the_length_of_their_type() {
    let with = |options: &[u8]| parse(&message("fe80::9", "fe80::1", 135, [0; 4], &target("fe80::1", options)));
    assert_eq!(with(&[1, 0, 0, 0, 0, 0, 0, 0]), Err(NdpError::Option(1)));
    assert_eq!(with(&[14, 2, 0, 0, 0, 0, 0, 0]), Err(NdpError::Option(14)));
    assert_eq!(with(&[1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]), Err(NdpError::Option(1)));
    assert_eq!(with(&[1]), Err(NdpError::Short));
    assert!(with(&[14, 1, 0, 0, 0, 0, 0, 0]).is_ok(), "unknown options are passed over");
}

#[test]
fn addresses_fit_the_message() {
    let mac = [1, 1, 2, 0, 0, 0, 0, 9];
    let refused = |frame: &[u8]| assert_eq!(parse(frame), Err(NdpError::Address));
    refused(&message("fe80::9", "fe80::1", 135, [0; 4], &target("ff02::1", &[])));
    refused(&message("::", "ff02::1:ff00:1", 135, [0; 4], &target("fe80::1", &mac)));
    refused(&message("::", "ff02::1:ff00:2", 135, [0; 4], &target("fe80::1", &[])));
    refused(&message("fe80::9", "ff02::1", 136, [0x40, 0, 0, 0], &target("fe80::9", &[])));
    refused(&message("fe80::9", "fe80::1", 136, [0; 4], &target("ff02::9", &[])));
}
