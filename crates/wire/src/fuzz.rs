//! The harness that the fuzz target, the property tests and the corpus test share, and the seeds of the corpus.

use crate::dhcpv4::{self, Route};
use crate::dhcpv6::{self, IaAddress, IaNa, Status};
use crate::ethernet::{HEADER_LEN, Link};
use crate::ipv6::extension;
use crate::ndp::{self, Dnssl, NeighborAdvertisement, Prefix, Rdnss, RouterAdvertisement};
use crate::vnet::VnetHeader;
use crate::{Addresses, Fragment, Ip, Kind, MacAddr, Malformed, Packet, TcpFlags, Transport};
use crate::{arp, build, checksum, emit, icmp, reply, udp};
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

mod offload;

/// Reads `input` as a read on a TAP would give it, virtio-net header first, and follows every parser that a guest's bytes can reach.
///
/// # Panics
/// If a parser or writer breaks a law: that is what fuzzing looks for.
pub fn frame(input: &[u8]) {
    offload::check_esp(input);
    let Ok((vnet, frame)) = VnetHeader::split(input) else { return };
    assert_eq!(VnetHeader::split(&vnet.to_bytes()), Ok((vnet, &[][..])), "a virtio-net header survives its own bytes");
    check_frame(vnet, frame);
    check_frame(vnet, &with_right_checksums(frame));
}

/// The frame with the checksums put right that a parser holds against it, or a mutation would hardly ever get past them.
fn with_right_checksums(frame: &[u8]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    if Packet::parse(&frame) == Err(Malformed::HeaderChecksum) {
        let end = HEADER_LEN + usize::from(frame[HEADER_LEN] & 0x0f) * 4;
        frame[HEADER_LEN + 10..HEADER_LEN + 12].fill(0);
        let sum = checksum::of(&frame[HEADER_LEN..end]);
        frame[HEADER_LEN + 10..HEADER_LEN + 12].copy_from_slice(&sum.to_be_bytes());
    }
    if let Ok(Packet { kind: Kind::Ip(ip), .. }) = Packet::parse(&frame)
        && ndp::Message::parse(&ip, &frame) == Err(ndp::NdpError::Checksum)
    {
        frame[ip.l4 + 2..ip.l4 + 4].fill(0);
        let message = ip.l4_bytes(&frame);
        let sum = checksum::pseudo_header(ip.addresses(), ip.protocol, message.len()).plus(message).finish();
        frame[ip.l4 + 2..ip.l4 + 4].copy_from_slice(&sum.to_be_bytes());
    }
    frame
}

fn check_frame(vnet: VnetHeader, frame: &[u8]) {
    let packet = match Packet::parse(frame) {
        Ok(packet) => packet,
        Err(refused) => {
            let _counter = Malformed::class(refused);
            return;
        }
    };
    match &packet.kind {
        Kind::Arp(request) => check_arp(&packet, request),
        Kind::Ip(ip) => {
            check_ip(frame, &packet, ip);
            check_vnet(vnet, frame, &packet, ip);
            check_services(frame, ip);
            offload::check_cut(&vnet, frame, ip);
            offload::check_joined(&[ip.l3_bytes(frame), ip.l3_bytes(frame)], checksum::TransportSum::Whole);
            offload::check_sealed(ip.l3_bytes(frame));
        }
    }
}

fn check_arp(packet: &Packet, request: &arp::Arp) {
    let mut buffer = [0; 42];
    let len = request.emit(Link { src: packet.src_mac, dst: packet.dst_mac }, &mut buffer);
    assert_eq!(len, Ok(42));
    assert_eq!(Packet::parse(&buffer).as_ref(), Ok(packet), "arp survives its own bytes");
}

/// Offsets are in order and inside the frame, families agree, padding changes nothing, errors can be answered.
fn check_ip(frame: &[u8], packet: &Packet, ip: &Ip) {
    assert!(ip.l3 < ip.fragment_data && ip.fragment_data <= ip.l4, "{ip:?}");
    assert!(ip.fragment.is_some() || ip.fragment_data == ip.l4, "{ip:?}");
    assert!(ip.l3 < ip.l4 && ip.l4 <= ip.payload && ip.payload <= ip.end() && ip.end() <= frame.len(), "{ip:?}");
    assert_eq!(ip.l3_bytes(frame).len(), ip.total_length);
    assert_eq!(ip.l4_bytes(frame).len(), ip.end() - ip.l4);
    assert!(ip.payload_bytes(frame).len() <= ip.end() - ip.payload);
    assert_eq!(ip.src.is_ipv4(), ip.dst.is_ipv4());
    assert_eq!((ip.addresses().src(), ip.addresses().dst()), (ip.src, ip.dst));
    let is_later = ip.fragment.is_some_and(Fragment::is_later);
    assert_eq!(is_later, ip.transport == Transport::InFirstFragment);
    if let Some(embedded) = ip.embedded {
        assert_eq!(embedded.src.is_ipv4(), ip.src.is_ipv4());
    }
    assert_eq!(Packet::parse(&frame[..ip.end()]).as_ref(), Ok(packet), "padding changes nothing");
    let router = if ip.src.is_ipv4() { IpAddr::V4(ROUTER) } else { IpAddr::V6(ROUTER_V6) };
    let mut buffer = [0; 14 + 1280];
    let answered = reply::too_big(&mut buffer, ROUTER_MAC, router, packet, frame, 1400).expect("room enough");
    assert_eq!(answered.is_some(), ip.may_cause_icmp_error());
    if let Some(len) = answered {
        check_too_big(&buffer[..len], ip);
    }
}

/// Whoever gets the error finds his flow in it, unless the quote was cut inside his own header.
fn check_too_big(error: &[u8], about: &Ip) {
    let error = *Packet::parse(error).expect("what we say ourselves is well-formed").ip().expect("and ip");
    assert_eq!((error.dst, error.may_cause_icmp_error()), (about.src, false));
    if let Some(embedded) = error.embedded {
        assert_eq!((embedded.src, embedded.dst, embedded.protocol), (about.src, about.dst, about.protocol));
        assert_eq!(embedded.transport.ports(), about.transport.ports());
    }
}

fn check_vnet(mut vnet: VnetHeader, frame: &[u8], packet: &Packet, ip: &Ip) {
    if vnet.check(packet).is_err() || vnet.is_super_frame() {
        return;
    }
    let mut finished = frame.to_vec();
    vnet.finish_checksum(&mut finished, ip);
    assert!(!vnet.needs_csum, "a checked header's checksum can be finished");
    // A guest may point at any bytes behind its own transport header's start, but never in front of it or behind the packet.
    assert_eq!(finished[..ip.l4], frame[..ip.l4]);
    assert_eq!(finished[ip.end()..], frame[ip.end()..]);
}

/// What the data plane answers itself: neighbour discovery and DHCP. Whatever was read can be written and reads the same.
fn check_services(frame: &[u8], ip: &Ip) {
    let payload = ip.payload_bytes(frame);
    let mut buffer = vec![0; 2 * payload.len() + 1024];
    if let Ok(message) = dhcpv4::Message::parse(payload) {
        let len = message.emit(&mut buffer).expect("what was read can be written");
        assert_eq!(dhcpv4::Message::parse(&buffer[..len]), Ok(message));
    }
    if let Ok(message) = dhcpv6::Message::parse(payload) {
        let len = message.emit(&mut buffer).expect("what was read can be written");
        assert_eq!(dhcpv6::Message::parse(&buffer[..len]), Ok(message));
    }
    if let (Ok(message), Addresses::V6 { src, dst }) = (ndp::Message::parse(ip, frame), ip.addresses()) {
        check_ndp(&message, src, dst);
    }
}

fn check_ndp(message: &ndp::Message, src: Ipv6Addr, dst: Ipv6Addr) {
    let mut body = vec![0; 4096];
    let (fields, len) = match message {
        ndp::Message::NeighborSolicitation(it) => (it.fields(), it.emit(&mut body)),
        ndp::Message::NeighborAdvertisement(it) => (it.fields(), it.emit(&mut body)),
        ndp::Message::RouterAdvertisement(it) => (it.fields(), it.emit(&mut body)),
        ndp::Message::RouterSolicitation { .. } | ndp::Message::Redirect => return,
    };
    body.truncate(len.expect("what was read can be written"));
    let (link, mut buffer) = (Link { src: ROUTER_MAC, dst: ROUTER_MAC }, vec![0; 8192]);
    let addresses = Addresses::V6 { src, dst };
    let len =
        emit::icmp(&mut buffer, link, addresses, ndp::HOP_LIMIT, fields, emit::bytes(&body)).expect("room enough");
    let packet = Packet::parse(&buffer[..len]).expect("well-formed");
    let again = ndp::Message::parse(packet.ip().expect("ip"), &buffer[..len]);
    assert_eq!(again.as_ref(), Ok(message), "neighbour discovery survives its own bytes");
}

const GUEST_MAC: MacAddr = MacAddr([0x02, 0x11, 0x22, 0x33, 0x44, 0x55]);
const ROUTER_MAC: MacAddr = MacAddr([0x02, 0, 0, 0, 0, 0x01]);
const LINK: Link = Link { src: GUEST_MAC, dst: ROUTER_MAC };
const GUEST: Ipv4Addr = Ipv4Addr::new(10, 16, 1, 10);
const PEER: Ipv4Addr = Ipv4Addr::new(10, 17, 1, 10);
const ROUTER: Ipv4Addr = Ipv4Addr::new(10, 16, 1, 1);
const GUEST_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x16, 1, 0, 0, 0, 0x10);
const PEER_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x17, 1, 0, 0, 0, 0x10);
const ROUTER_V6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
const GUEST_LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x10);

/// The seeds of the corpus, by file name: one frame of every kind that a guest sends, and of the kinds that are refused.
#[must_use]
pub fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let mut seeds = seeds_v4();
    seeds.extend(seeds_v6());
    seeds.extend(seeds_dhcp());
    seeds.extend(seeds_refused());
    seeds
}

fn plain(frame: &[u8]) -> Vec<u8> {
    build::with_vnet(&VnetHeader::default(), frame)
}

fn v4(port: u16) -> (SocketAddr, SocketAddr) {
    (SocketAddr::new(GUEST.into(), 40000), SocketAddr::new(PEER.into(), port))
}

fn v6(port: u16) -> (SocketAddr, SocketAddr) {
    (SocketAddr::new(GUEST_V6.into(), 40000), SocketAddr::new(PEER_V6.into(), port))
}

fn seeds_v4() -> Vec<(&'static str, Vec<u8>)> {
    let (src, dst) = v4(443);
    let syn = build::tcp(LINK, src, dst, TcpFlags::SYN, &[]);
    let query = build::udp(LINK, src, v4(53).1, b"question");
    let (super_vnet, super_frame) = build::tcp_super_frame(LINK, src, dst, &[0x5a; 3000], 1460);
    let (datagrams_vnet, datagrams) = build::udp_super_frame(LINK, src, v4(53).1, &[0x5a; 3000], 1000);
    let (partial_vnet, partial) = build::with_partial_checksum(&query);
    let unreachable = icmp::Fields { kind: icmp::v4::UNREACHABLE, code: 3, rest: [0; 4] };
    let large = build::udp(LINK, src, dst, &[0xa5; 64]);
    let fragments = build::fragments(&large, 7, 40);
    vec![
        ("arp-request", plain(&build::arp_request(GUEST_MAC, GUEST, ROUTER))),
        ("v4-tcp-syn", plain(&syn)),
        ("v4-tcp-super-frame", build::with_vnet(&super_vnet, &super_frame)),
        ("v4-udp", plain(&query)),
        ("v4-udp-super-frame", build::with_vnet(&datagrams_vnet, &datagrams)),
        ("v4-udp-partial-checksum", build::with_vnet(&partial_vnet, &partial)),
        ("v4-ping", plain(&build::icmp_echo(LINK, GUEST.into(), PEER.into(), true, 1, 1, b"ping"))),
        ("v4-unreachable", plain(&build::icmp(LINK, GUEST.into(), PEER.into(), unreachable, &query[14..]))),
        ("v4-gre", plain(&build::ip(LINK, GUEST.into(), PEER.into(), 47, &[0, 0, 8, 0]))),
        ("v4-fragment-first", plain(&fragments[0])),
        ("v4-fragment-last", plain(&fragments[1])),
    ]
}

fn seeds_v6() -> Vec<(&'static str, Vec<u8>)> {
    let (src, dst) = v6(443);
    let syn = build::tcp(LINK, src, dst, TcpFlags::SYN, &[]);
    let query = build::udp(LINK, src, v6(53).1, b"question");
    let (super_vnet, super_frame) = build::tcp_super_frame(LINK, src, dst, &[0x5a; 3000], 1440);
    let (datagrams_vnet, datagrams) = build::udp_super_frame(LINK, src, v6(53).1, &[0x5a; 3000], 1000);
    let too_big = icmp::Fields { kind: icmp::v6::PACKET_TOO_BIG, code: 0, rest: [0, 0, 5, 0] };
    let fragments = build::fragments(&build::udp(LINK, src, dst, &[0xa5; 64]), 7, 40);
    let padding = [0, 0, 1, 4, 0, 0, 0, 0];
    let options = build::with_extension(&syn, extension::DESTINATION_OPTIONS, &padding);
    vec![
        ("v6-tcp-syn", plain(&syn)),
        ("v6-tcp-super-frame", build::with_vnet(&super_vnet, &super_frame)),
        ("v6-udp", plain(&query)),
        ("v6-udp-super-frame", build::with_vnet(&datagrams_vnet, &datagrams)),
        ("v6-ping", plain(&build::icmp_echo(LINK, GUEST_V6.into(), PEER_V6.into(), true, 1, 1, b"ping"))),
        ("v6-too-big", plain(&build::icmp(LINK, GUEST_V6.into(), PEER_V6.into(), too_big, &query[14..]))),
        ("v6-options", plain(&build::with_extension(&options, extension::HOP_BY_HOP, &padding))),
        ("v6-fragment-first", plain(&fragments[0])),
        ("v6-fragment-last", plain(&fragments[1])),
        ("nd-solicitation", plain(&build::neighbor_solicitation(GUEST_MAC, GUEST_V6, ROUTER_V6))),
        ("nd-probe", plain(&build::neighbor_solicitation(GUEST_MAC, Ipv6Addr::UNSPECIFIED, GUEST_V6))),
        ("nd-advertisement", plain(&seed_neighbor_advertisement())),
        ("nd-router-solicitation", plain(&build::router_solicitation(GUEST_MAC, GUEST_LOCAL))),
        ("nd-router-advertisement", plain(&seed_router_advertisement())),
    ]
}

fn seed_neighbor_advertisement() -> Vec<u8> {
    let it = NeighborAdvertisement {
        target: GUEST_V6,
        router: false,
        solicited: true,
        r#override: true,
        target_link_layer: Some(GUEST_MAC),
    };
    let (addresses, mut frame) = (Addresses::V6 { src: GUEST_V6, dst: ROUTER_V6 }, vec![0; 128]);
    let len = emit::icmp(&mut frame, LINK, addresses, ndp::HOP_LIMIT, it.fields(), |body: &mut [u8]| it.emit(body));
    frame.truncate(len.expect("room enough"));
    frame
}

fn seed_router_advertisement() -> Vec<u8> {
    let advertisement = RouterAdvertisement {
        hop_limit: 64,
        managed: true,
        other: true,
        router_lifetime_secs: 1800,
        source_link_layer: Some(ROUTER_MAC),
        mtu: Some(8500),
        prefixes: vec![Prefix {
            prefix: Ipv6Addr::new(0x2001, 0xdb8, 0x16, 1, 0, 0, 0, 0),
            len: 64,
            on_link: false,
            autonomous: false,
            valid_secs: u32::MAX,
            preferred_secs: u32::MAX,
        }],
        rdnss: Some(Rdnss { lifetime_secs: 1800, servers: vec![Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x253)] }),
        dnssl: Some(Dnssl { lifetime_secs: 1800, domains: vec![String::from("ec2.internal")] }),
        ..RouterAdvertisement::default()
    };
    let mut frame = vec![0; 256];
    let len = reply::router_advertisement(&mut frame, LINK, ROUTER_V6, ndp::ALL_NODES, &advertisement);
    frame.truncate(len.expect("room enough"));
    frame
}

fn seeds_dhcp() -> Vec<(&'static str, Vec<u8>)> {
    let ack = dhcpv4_ack();
    let reply_v6 = dhcpv6_reply();
    let (server, client) = (udp::Ports { src: 67, dst: 68 }, udp::Ports { src: 547, dst: 546 });
    let mut ack_frame = vec![0; 1024];
    let addresses = Addresses::V4 { src: ROUTER, dst: GUEST };
    let len = emit::udp(&mut ack_frame, LINK, addresses, 64, server, |body: &mut [u8]| ack.emit(body));
    ack_frame.truncate(len.expect("room enough"));
    let mut reply_frame = vec![0; 1024];
    let addresses = Addresses::V6 { src: ROUTER_V6, dst: GUEST_LOCAL };
    let len = emit::udp(&mut reply_frame, LINK, addresses, 64, client, |body: &mut [u8]| reply_v6.emit(body));
    reply_frame.truncate(len.expect("room enough"));
    let solicit = dhcpv6_solicit();
    vec![
        ("dhcpv4-discover", plain(&build::dhcpv4_client(GUEST_MAC, &dhcpv4_discover()))),
        ("dhcpv4-ack", plain(&ack_frame)),
        ("dhcpv6-solicit", plain(&build::dhcpv6_client(GUEST_MAC, GUEST_LOCAL, &solicit))),
        ("dhcpv6-reply", plain(&reply_frame)),
    ]
}

fn seeds_refused() -> Vec<(&'static str, Vec<u8>)> {
    let (src, dst) = v4(443);
    let syn = build::tcp(LINK, src, dst, TcpFlags::SYN, &[]);
    let syn_v6 = build::tcp(LINK, v6(443).0, v6(443).1, TcpFlags::SYN, &[]);
    let [tiny, ..] = &build::fragments(&syn, 7, 16)[..] else { return Vec::new() };
    let routing = build::with_extension(&syn_v6, extension::ROUTING, &[0, 2, 4, 1, 0, 0, 0, 0]);
    let padding = [0, 0, 1, 4, 0, 0, 0, 0];
    let late = build::with_extension(&syn_v6, extension::HOP_BY_HOP, &padding);
    let hop_by_hop_late = build::with_extension(&late, extension::DESTINATION_OPTIONS, &padding);
    let twice = build::with_extension(&build::fragments(&syn_v6, 7, 40)[0], extension::FRAGMENT, &[0; 8]);
    let mut llc = syn.clone();
    llc[12..14].copy_from_slice(&[0, 38]);
    let mut wrong_checksum = syn.clone();
    wrong_checksum[24] ^= 1;
    vec![
        ("refused-vlan", plain(&build::with_vlan(&syn, 5))),
        ("refused-llc", plain(&llc)),
        ("refused-checksum", plain(&wrong_checksum)),
        ("refused-tiny-fragment", plain(tiny)),
        ("refused-routing-header", plain(&routing)),
        ("refused-hop-by-hop-late", plain(&hop_by_hop_late)),
        ("refused-second-fragment-header", plain(&twice)),
        ("refused-short", plain(&syn[..13])),
    ]
}

/// A client's first message.
#[must_use]
pub fn dhcpv4_discover() -> dhcpv4::Message {
    dhcpv4::Message {
        kind: dhcpv4::MessageType::Discover,
        xid: 0x3903_f326,
        secs: 1,
        broadcast: true,
        ciaddr: Ipv4Addr::UNSPECIFIED,
        yiaddr: Ipv4Addr::UNSPECIFIED,
        siaddr: Ipv4Addr::UNSPECIFIED,
        giaddr: Ipv4Addr::UNSPECIFIED,
        chaddr: GUEST_MAC,
        options: dhcpv4::Options {
            hostname: b"guest".to_vec(),
            requested_ip: Some(GUEST),
            parameter_list: vec![1, 3, 6, 12, 15, 26, 28, 51, 121],
            max_message_size: Some(1500),
            client_id: [&[1][..], &GUEST_MAC.0].concat(),
            others: vec![(60, b"udhcp".to_vec())],
            ..dhcpv4::Options::default()
        },
    }
}

/// A server's last message, with every option that Peerway gives.
#[must_use]
pub fn dhcpv4_ack() -> dhcpv4::Message {
    let resolver = Ipv4Addr::new(10, 16, 0, 2);
    let link_local = Route { destination: Ipv4Addr::new(169, 254, 0, 0), prefix_len: 16, router: ROUTER };
    dhcpv4::Message {
        kind: dhcpv4::MessageType::Ack,
        yiaddr: GUEST,
        options: dhcpv4::Options {
            subnet_mask: Some(Ipv4Addr::new(255, 255, 255, 0)),
            routers: vec![ROUTER],
            dns: vec![resolver],
            hostname: b"ip-10-16-1-10".to_vec(),
            domain_name: b"ec2.internal".to_vec(),
            mtu: Some(9001),
            broadcast: Some(Ipv4Addr::new(10, 16, 1, 255)),
            lease_secs: Some(3600),
            server_id: Some(ROUTER),
            renewal_secs: Some(1800),
            rebinding_secs: Some(3150),
            domain_search: vec![String::from("ec2.internal")],
            classless_routes: vec![
                Route { destination: Ipv4Addr::UNSPECIFIED, prefix_len: 0, router: ROUTER },
                link_local,
            ],
            ..dhcpv4::Options::default()
        },
        ..dhcpv4_discover()
    }
}

/// A client's first message.
#[must_use]
pub fn dhcpv6_solicit() -> dhcpv6::Message {
    dhcpv6::Message {
        client_id: [&[0, 3, 0, 1][..], &GUEST_MAC.0].concat(),
        ia_na: vec![IaNa { iaid: 1, ..IaNa::default() }],
        option_request: vec![23, 24],
        elapsed: Some(0),
        rapid_commit: true,
        ..dhcpv6::Message::new(dhcpv6::MessageType::Solicit, [1, 2, 3])
    }
}

/// A server's answer.
#[must_use]
pub fn dhcpv6_reply() -> dhcpv6::Message {
    let address = IaAddress { address: GUEST_V6, preferred_secs: 140, valid_secs: 450, status: None };
    let none = Status { code: dhcpv6::status::NO_ADDRESSES, message: b"no address for this association".to_vec() };
    dhcpv6::Message {
        server_id: [&[0, 3, 0, 1][..], &ROUTER_MAC.0].concat(),
        ia_na: vec![
            IaNa { iaid: 1, t1_secs: 70, t2_secs: 112, addresses: vec![address], status: None },
            IaNa { iaid: 2, status: Some(none), ..IaNa::default() },
        ],
        option_request: Vec::new(),
        elapsed: None,
        status: Some(Status { code: dhcpv6::status::SUCCESS, message: Vec::new() }),
        dns: vec![Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x253)],
        domain_search: vec![String::from("ec2.internal")],
        ..dhcpv6::Message { kind: dhcpv6::MessageType::Reply, ..dhcpv6_solicit() }
    }
}
