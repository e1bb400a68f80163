//! Out of the cloud by the uplink, and in, in bytes (decision 0049).

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use dataplane::{Action, PortId, Ports, UPLINK_MAC};
use model::{PublicAssociation, RouteTarget};
use policy::{Denied, Outside, Tables};
use wire::ethernet::Link;
use wire::vnet::{GsoType, VnetHeader};
use wire::{Addresses, MacAddr, Packet, TcpFlags, build, icmp, tcp};

use crate::nat;
use crate::world::cloud::*;
use crate::world::{Host, binding, checked, guest_of, port_of, router, to_router};

const FAR: &str = "9.9.9.9";
const FAR6: &str = "2620:fe::9";
/// The host's own.
const CLOSED: &str = "9.9.8.1";

/// The link between the uplink's device and us, as the host's stack sends and as it gets.
const TO_US: Link = Link { src: UPLINK_MAC, dst: UPLINK_MAC };
const FROM_US: Link = Link { src: MacAddr([0x0a, 0x50, 0x57, 0, 0, 2]), dst: UPLINK_MAC };

fn apply(host: &Host, has_uplink: bool) {
    let slices = host.cloud.arcs();
    let outside = Outside::new(crate::world::cloud::host(1), [format!("{CLOSED}/32").parse().unwrap()]);
    let internet = host.cloud.internet().with_outside(has_uplink.then(|| Arc::new(outside)));
    let tables: Tables = host.cloud.tables(host.shared.generation() + 1).with_internet(Arc::new(internet));
    let bindings = GUESTS.map(|guest| binding(guest, 1500));
    host.shared.apply(Arc::new(tables), Ports::new(slices.iter().map(|slice| &**slice), &bindings));
}

fn with_uplink(cloud: Cloud) -> Host {
    let host = Host::new(cloud);
    apply(&host, true);
    host
}

/// What a guest sends, as it leaves.
fn leave(host: &mut Host, from: Guest, header: &VnetHeader, frame: &[u8]) -> Result<Vec<u8>, Denied> {
    let bytes = build::with_vnet(header, frame);
    host.buf[..bytes.len()].copy_from_slice(&bytes);
    match host.worker.guest_frame(port_of(from), &mut host.buf, bytes.len(), host.now) {
        Action::Forward { port: PortId::UPLINK, len } => Ok(checked(&host.buf[..len])),
        Action::Drop(denied) => Err(denied),
        other => panic!("{other:?}"),
    }
}

fn code<T>(outcome: Result<T, Denied>) -> &'static str {
    outcome.map_or_else(|denied| denied.code(), |_| "ok")
}

/// What comes from outside in one batch, as guests get it.
fn come(host: &mut Host, frames: &[Vec<u8>]) -> Vec<(Guest, Vec<u8>)> {
    let mut delivered = Vec::new();
    let mut write = |port, bytes: &[u8]| {
        delivered.push((guest_of(port), checked(bytes)));
        true
    };
    for frame in frames {
        let mut bytes = build::with_vnet(&VnetHeader::default(), frame);
        host.worker.outside_frame(&mut bytes, host.now, &mut write);
    }
    host.worker.flush_deliveries(host.now, &mut write);
    delivered
}

fn far(is_v6: bool, port: u16) -> SocketAddr {
    SocketAddr::new(ip(if is_v6 { FAR6 } else { FAR }), port)
}

fn inside(guest: Guest, is_v6: bool, port: u16) -> SocketAddr {
    SocketAddr::new(guest.address(is_v6), port)
}

fn public(guest: Guest, is_v6: bool, port: u16) -> SocketAddr {
    SocketAddr::new(if is_v6 { guest.v6().into() } else { guest.public().into() }, port)
}

fn to_guest(guest: Guest) -> Link {
    Link { src: router(guest), dst: guest.mac() }
}

#[test]
fn out_with_the_public_source_and_the_answer_home() {
    let mut host = with_uplink(Cloud::on_internet());
    for is_v6 in [false, true] {
        let (x, y, outside) = (inside(A1, is_v6, 40_000), far(is_v6, 53), public(A1, is_v6, 40_000));
        // Twice: the second one is remembered.
        for _ in 0..2 {
            let sent = leave(&mut host, A1, &VnetHeader::default(), &build::udp(to_router(A1), x, y, b"question"));
            assert_eq!(sent, Ok(build::udp(FROM_US, outside, y, b"question")));
            let got = come(&mut host, &[build::udp(TO_US, y, outside, b"answer")]);
            assert_eq!(got, [(A1, build::udp(to_guest(A1), y, x, b"answer"))]);
        }
    }
    let counters = host.shared.uplink_counters();
    assert_eq!((counters.received.packets, counters.delivered.packets, counters.denied_total().packets), (4, 4, 0));
    assert_eq!(host.counters(A1).delivered.packets, 4);
    assert!(host.counters(A1).cache_hits > 0);
}

#[test]
fn without_an_uplink_or_to_what_is_closed_nothing_leaves() {
    let mut host = with_uplink(Cloud::on_internet());
    let to = |dst: &str| {
        let dst = ip(dst);
        build::udp(to_router(A1), inside(A1, dst.is_ipv6(), 1), SocketAddr::new(dst, 53), b"x")
    };
    for (dst, reason) in [
        (CLOSED, "D14"),
        ("198.18.0.2", "D14"),
        ("203.0.113.1", "D14"),
        ("192.168.0.1", "D29"),
        ("127.0.0.1", "D04"),
        ("169.254.9.9", "D04"),
        ("224.0.0.251", "D04"),
        ("fd00::9", "D29"),
        ("2001:db8:99::1", "D14"),
    ] {
        assert_eq!(code(leave(&mut host, A1, &VnetHeader::default(), &to(dst))), reason, "{dst}");
    }
    let spoofed = build::udp(to_router(A1), inside(A2, false, 1), far(false, 53), b"x");
    assert_eq!(code(leave(&mut host, A1, &VnetHeader::default(), &spoofed)), "D03");
    let good = to(FAR);
    assert_eq!(code(leave(&mut host, A1, &VnetHeader::default(), &good)), "ok");
    apply(&host, false);
    assert_eq!(code(leave(&mut host, A1, &VnetHeader::default(), &good)), "D14", "the uplink is gone, the memory too");
    apply(&host, true);
    assert_eq!(code(leave(&mut host, A1, &VnetHeader::default(), &good)), "ok");
    host.cloud.interface(A1).public.clear();
    apply(&host, true);
    assert_eq!(code(leave(&mut host, A1, &VnetHeader::default(), &good)), "D28");
}

#[test]
fn what_comes_is_judged_as_from_anywhere() {
    let mut cloud = Cloud::on_internet();
    cloud.rules(A, vec![]);
    let mut host = with_uplink(cloud);
    let udp = |src: SocketAddr, dst: SocketAddr| vec![build::udp(TO_US, src, dst, b"x")];
    assert_eq!(come(&mut host, &udp(far(false, 53), public(B1, false, 7))).len(), 1, "B's groups are open");
    assert_eq!(come(&mut host, &udp(far(false, 53), public(A1, false, 7))), []);
    let at = |host: &Host, guest, denied: &Denied| host.counters(guest).denied(denied).packets;
    let group = Denied::GroupIngress { interface: A1.eni(), has_rules: false };
    assert_eq!(at(&host, A1, &group), 1, "A's are not");

    let unmapped = Denied::GatewayNoMapping { address: ip(FAR) };
    let private = Denied::GatewayPrivateAddress { direction: model::Direction::Ingress, address: ip(FAR) };
    let disagrees = Denied::SenderDisagrees { vpc: vpc_id(A), address: ip(FAR) };
    let socket = |text: &str| SocketAddr::new(ip(text), 53);
    for (src, dst, denied, at_guest) in [
        // Nobody's, a private one, somebody's outside.
        (far(false, 53), socket("203.0.113.99"), &unmapped, false),
        (far(false, 53), inside(B1, false, 7), &unmapped, false),
        (far(false, 53), socket("9.9.9.10"), &unmapped, false),
        // From a private address, as the host, and as one of the cloud.
        (socket("10.0.0.9"), public(B1, false, 7), &private, false),
        (socket(CLOSED), public(B1, false, 7), &disagrees, true),
        (public(A1, false, 53), public(B1, false, 7), &disagrees, true),
        (public(A1, true, 53), public(B1, true, 7), &disagrees, true),
    ] {
        let count = |host: &Host| match at_guest {
            true => at(host, B1, denied),
            false => host.shared.uplink_counters().denied(denied).packets,
        };
        let before = count(&host);
        assert_eq!(come(&mut host, &udp(src, dst)), [], "{src} to {dst}");
        let found = count(&host) + host.shared.uplink_counters().denied(denied).packets * u64::from(at_guest);
        assert_eq!(found, before + 1, "{src} to {dst}");
    }
    assert_eq!(host.shared.stray_counters().denied_total().packets, 0);
}

#[test]
fn what_is_no_whole_packet_is_refused() {
    let mut host = with_uplink(Cloud::on_internet());
    let good = build::udp(TO_US, far(false, 53), public(B1, false, 7), b"x");
    let mut refused = 0;
    let mut no_ip = good.clone();
    no_ip[12..14].copy_from_slice(&[0x08, 0x06]);
    let mut multicast = good.clone();
    multicast[..6].copy_from_slice(&[0x33, 0x33, 0, 0, 0, 1]);
    for bytes in [vec![], vec![0; 5], good[..20].to_vec(), no_ip, multicast] {
        assert_eq!(come(&mut host, &[bytes]), []);
        refused += 1;
        assert_eq!(host.shared.uplink_counters().denied_total().packets, refused);
    }
    // A checksum that the host has not finished, and a super-frame: the device does not take such.
    for header in [
        VnetHeader { needs_csum: true, csum_start: 34, csum_offset: 6, ..VnetHeader::default() },
        VnetHeader { gso_type: GsoType::TcpV4, gso_size: 1000, ..VnetHeader::default() },
    ] {
        let mut bytes = build::with_vnet(&header, &good);
        host.worker.outside_frame(&mut bytes, host.now, |_, _| panic!("delivered"));
        refused += 1;
        assert_eq!(host.shared.uplink_counters().denied_total().packets, refused);
    }
}

#[test]
fn streams_leave_whole_and_come_in_merged() {
    let mut host = with_uplink(Cloud::on_internet());
    let (x, y, outside) = (inside(A1, false, 40_000), far(false, 443), public(A1, false, 40_000));
    let (header, frame) = build::tcp_super_frame(to_router(A1), x, y, &[7; 20_000], 1400);
    let (_, wanted) = build::tcp_super_frame(FROM_US, outside, y, &[7; 20_000], 1400);
    assert!(leave(&mut host, A1, &header, &frame) == Ok(wanted));
    let segments: Vec<Vec<u8>> = (0..3_u8)
        .map(|n| {
            let (src_port, dst_port, seq) = (y.port(), outside.port(), u32::from(n) * 1000);
            let fields = tcp::Fields { src_port, dst_port, seq, flags: TcpFlags::ACK, ..tcp::Fields::default() };
            build::tcp_segment(TO_US, Addresses::of(y.ip(), outside.ip()), fields, &[n; 1000])
        })
        .collect();
    let got = come(&mut host, &segments);
    let [(A1, frame)] = &got[..] else { panic!("{} frames", got.len()) };
    let packet = Packet::parse(frame).unwrap();
    let ip = packet.ip().unwrap();
    assert_eq!((ip.dst, ip.payload_bytes(frame).len()), (A1.address(false), 3000));
}

#[test]
fn datagrams_in_pieces_pass_both_ways() {
    let mut host = with_uplink(Cloud::on_internet());
    let (x, y, outside) = (inside(A1, false, 40_000), far(false, 53), public(A1, false, 40_000));
    let whole = |link, src, dst| build::fragments(&build::udp(link, src, dst, &[7; 1000]), 9, 400);
    for (piece, wanted) in whole(to_router(A1), x, y).iter().zip(whole(FROM_US, outside, y)) {
        assert_eq!(leave(&mut host, A1, &VnetHeader::default(), piece), Ok(wanted));
    }
    let mut pieces = whole(TO_US, y, outside);
    pieces.reverse();
    let mut got = come(&mut host, &pieces);
    got.reverse();
    let wanted: Vec<_> = whole(to_guest(A1), y, x).into_iter().map(|piece| (A1, piece)).collect();
    assert_eq!(got.len(), wanted.len());
    assert!(wanted.iter().all(|piece| got.contains(piece)));
}

/// Of the host itself, as the first router on the way, and of nobody else with such an address.
#[test]
fn errors_come_home_about_what_was_sent() {
    let mut cloud = Cloud::on_internet();
    let egress = |block| rule(model::Direction::Egress, model::IpProtocol::All, model::Ports::Any, of_block(block));
    cloud.rules(A, vec![egress("0.0.0.0/0")]);
    let mut host = with_uplink(cloud);
    let sent = build::udp(to_router(A1), inside(A1, false, 40_000), far(false, 53), &[7; 1000]);
    let left = leave(&mut host, A1, &VnetHeader::default(), &sent).unwrap();
    let too_big = icmp::Fields { kind: icmp::v4::UNREACHABLE, code: 4, rest: [0, 0, 2, 0] };
    for router in ["192.0.0.8", CLOSED, "9.9.1.1"] {
        let router: IpAddr = ip(router);
        let error = build::icmp(TO_US, router, A1.public().into(), too_big, &left[14..]);
        let wanted = build::icmp(to_guest(A1), router, A1.address(false), too_big, &sent[14..]);
        assert_eq!(come(&mut host, &[error]), [(A1, wanted)], "{router}");
    }
    let ping = build::icmp_echo(TO_US, ip("192.0.0.8"), A1.public().into(), true, 1, 1, b"");
    assert_eq!(come(&mut host, &[ping]), []);
}

/// Guests of A's first subnet leave through a public NAT gateway of this host, and nobody comes in by it.
#[test]
fn a_nat_gateway_leaves_by_the_uplink_of_its_host() {
    let mut cloud = nat::cloud(2, host(1));
    let slice = cloud.slice(A);
    slice.internet_gateways.push(id(A));
    let endpoint = slice.endpoints.iter_mut().find(|endpoint| endpoint.interface.id == nat::gateway()).unwrap();
    let elastic: IpAddr = ip("203.0.113.200");
    let (IpAddr::V4(private), IpAddr::V4(public)) = (nat::address(2), elastic) else { panic!("IPv4") };
    Arc::make_mut(&mut endpoint.interface).public = vec![PublicAssociation { private, public, elastic: None }];
    cloud.routes(A, |routes| routes.push(route("0.0.0.0/0", RouteTarget::InternetGateway(id(A)))));
    let mut host = with_uplink(cloud);
    let (x, y) = (inside(A1, false, 40_000), far(false, 443));
    let syn = build::tcp(to_router(A1), x, y, TcpFlags::SYN, b"");
    let left = leave(&mut host, A1, &VnetHeader::default(), &syn).unwrap();
    let outside = SocketAddr::new(elastic, nat::port_outside(&left));
    assert_eq!(left, build::tcp(FROM_US, outside, y, TcpFlags::SYN, b""));
    let answer = |from, to, flags| build::tcp(TO_US, from, to, flags, b"");
    let both = TcpFlags::SYN | TcpFlags::ACK;
    let got = come(&mut host, &[answer(y, outside, both)]);
    assert_eq!(got, [(A1, build::tcp(to_guest(A1), y, x, both, b""))]);
    let stranger = SocketAddr::new(ip("9.9.9.10"), 443);
    assert_eq!(come(&mut host, &[answer(stranger, outside, both)]), []);
    assert_eq!(come(&mut host, &[answer(y, SocketAddr::new(elastic, 22), TcpFlags::SYN)]), []);
    let cause = policy::NatCause::NoMapping;
    let denied = Denied::NatExhausted { gateway: nat::gateway(), cause };
    assert_eq!(host.shared.uplink_counters().denied(&denied).packets, 2);
}
