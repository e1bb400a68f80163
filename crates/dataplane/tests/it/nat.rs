//! NAT gateways: real packets in, translated ones out and home again, on one host and between two (spec 8.8, decision 0034).

mod log;

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use model::federation::Member;
use model::intent::Endpoint;
use model::vpc::RouteTableAssociation;
use model::{
    ConnectionTracking, Direction, Domain, Duration, HostId, InterfaceKind, MacAddr, NetworkInterface,
    NetworkInterfaceId, Route, RouteTable, RouteTarget, Scope, Tags,
};
use policy::{Denied, NatCause};
use wire::icmp::{self, v4};
use wire::vnet::VnetHeader;
use wire::{Packet, TcpFlags, Transport, build};

use crate::world::cloud::*;
use crate::world::pair::{Pair, host_id, peering};
use crate::world::{Host, Outcome, to_router};

const PLAIN: VnetHeader = VnetHeader {
    needs_csum: false,
    data_valid: false,
    gso_type: wire::vnet::GsoType::None,
    ecn: false,
    hdr_len: 0,
    gso_size: 0,
    csum_start: 0,
    csum_offset: 0,
};

pub(crate) fn gateway() -> NetworkInterfaceId {
    id(16_299)
}

/// The gateway's address when it is in this subnet of A.
pub(crate) fn address(subnet: u32) -> IpAddr {
    ip(&format!("10.16.{subnet}.99"))
}

/// A gateway of A in one of its subnets, on this host; the other subnet's only way out is the gateway. B lets in TCP 443, UDP 53 and ping from
/// A's addresses, A nothing.
pub(crate) fn cloud(subnet: u32, at: HostId) -> Cloud {
    let mut cloud = Cloud::guarded();
    let like = cloud.endpoint(A1).interface.clone();
    let own = address(subnet);
    let IpAddr::V4(v4) = own else { panic!("{own}") };
    let interface = NetworkInterface {
        id: gateway(),
        subnet: subnet_id(A, subnet),
        mac: MacAddr([2, 0, 0, 16, 2, 99]),
        private_ips: vec![v4],
        ipv6_addresses: Vec::new(),
        kind: InterfaceKind::NatGateway,
        groups: BTreeSet::new(),
        source_dest_check: false,
        connection_tracking: ConnectionTracking::default(),
        ..NetworkInterface::clone(&like)
    };
    let slice = cloud.slice(A);
    slice.endpoints.push(Endpoint { interface: Arc::new(interface), host: Some(at), is_up: true });
    slice.nat_gateways.insert(id(1), gateway());
    let to_gateway = route("0.0.0.0/0", RouteTarget::NatGateway(id(1)));
    let routes = vec![Route::local(v4_block(A).into()), Route::local(v6_block(A).into()), to_gateway];
    slice.route_tables.push(Arc::new(RouteTable {
        id: id(99),
        vpc: vpc_id(A),
        owner: like.owner,
        routes,
        tags: Tags::new(),
    }));
    let other = slice.subnets.iter_mut().find(|found| found.id == subnet_id(A, 3 - subnet)).unwrap();
    Arc::make_mut(other).route_table = Some(RouteTableAssociation { id: id(99), route_table: id(99) });
    let member = Member {
        interface: gateway(),
        addresses: vec![own],
        groups: BTreeSet::new(),
        host: Some(at),
        resource_name: None,
    };
    cloud.slice(B).peers[0].members.push(member);
    cloud
}

pub(crate) fn socket(guest: Guest, port: u16) -> SocketAddr {
    SocketAddr::new(guest.v4().into(), port)
}

fn host_with_gateway() -> Host {
    Host::new(cloud(2, host(1)))
}

/// Everything behind the link addresses.
fn packet(frame: &[u8]) -> &[u8] {
    &frame[12..]
}

/// The port that a delivered packet has outside, or its identifier.
pub(crate) fn port_outside(frame: &[u8]) -> u16 {
    match Packet::parse(frame).unwrap().ip().unwrap().transport {
        Transport::Tcp { src_port, .. } | Transport::Udp { src_port, .. } => src_port,
        Transport::Icmp { id: Some(id), .. } => id,
        other => panic!("{other:?}"),
    }
}

fn udp(src: SocketAddr, dst: SocketAddr, payload: &[u8]) -> Vec<u8> {
    build::udp(to_router(A1), src, dst, payload)
}

pub(crate) fn from(guest: Guest, mut frame: Vec<u8>) -> Vec<u8> {
    let link = to_router(guest);
    frame[..6].copy_from_slice(&link.dst.0);
    frame[6..12].copy_from_slice(&link.src.0);
    frame
}

pub(crate) fn tcp(src: SocketAddr, dst: SocketAddr, flags: TcpFlags, payload: &[u8]) -> Vec<u8> {
    build::tcp(to_router(A1), src, dst, flags, payload)
}

const ACK: TcpFlags = TcpFlags::ACK;

#[test]
fn out_with_the_gateways_address_and_home_again() {
    let mut host = host_with_gateway();
    let (inside, server) = (socket(A1, 40_000), socket(B1, 53));
    let (to, frame) = host.send(A1, &udp(inside, server, b"hello")).delivered();
    assert_eq!(to, B1);
    let outside = SocketAddr::new(address(2), port_outside(&frame));
    assert!(outside.port() >= 1024);
    assert_eq!(packet(&frame), packet(&udp(outside, server, b"hello")), "checksums and all");
    let (to, frame) = host.send(B1, &from(B1, udp(server, outside, b"answer"))).delivered();
    assert_eq!((to, packet(&frame)), (A1, packet(&udp(server, inside, b"answer"))));
    assert_eq!(frame[..6], A1.mac().octets());
    assert_eq!(frame[6..12], to_router(A1).dst.octets());
    assert_eq!(host.shared.translations(), 1);

    let ping = |from: IpAddr, to: IpAddr, is_question, id| {
        build::icmp_echo(to_router(A1), from, to, is_question, id, 1, b"ping")
    };
    let (a, b) = (A1.address(false), B1.address(false));
    let (to, frame) = host.send(A1, &ping(a, b, true, 7)).delivered();
    let number = port_outside(&frame);
    assert_eq!((to, packet(&frame)), (B1, packet(&ping(address(2), b, true, number))));
    let (to, frame) = host.send(B1, &from(B1, ping(b, address(2), false, number))).delivered();
    assert_eq!((to, packet(&frame)), (A1, packet(&ping(b, a, false, 7))));
}

#[test]
fn two_guests_with_one_port_are_told_apart() {
    let mut host = host_with_gateway();
    let server = socket(B1, 53);
    let outside: Vec<u16> = [A1, A2]
        .map(|guest| {
            port_outside(&host.send(guest, &from(guest, udp(socket(guest, 5000), server, b"x"))).delivered().1)
        })
        .into();
    assert_ne!(outside[0], outside[1]);
    for (port, guest) in outside.into_iter().zip([A1, A2]) {
        let answer = from(B1, udp(server, SocketAddr::new(address(2), port), b"y"));
        assert_eq!(host.send(B1, &answer).delivered().0, guest);
    }
}

#[test]
fn a_stream_passes_whole_with_its_checksum_left_to_the_receiver() {
    let mut host = host_with_gateway();
    let (inside, server) = (socket(A1, 40_000), socket(B1, 443));
    let (_, frame) = host.send(A1, &tcp(inside, server, TcpFlags::SYN, b"")).delivered();
    let outside = SocketAddr::new(address(2), port_outside(&frame));
    assert_eq!(packet(&frame), packet(&tcp(outside, server, TcpFlags::SYN, b"")));
    let (_, frame) = host.send(B1, &from(B1, tcp(server, outside, TcpFlags::SYN | ACK, b""))).delivered();
    assert_eq!(packet(&frame), packet(&tcp(server, inside, TcpFlags::SYN | ACK, b"")));
    let payload = vec![7; 40_000];
    let (header, sent) = build::tcp_super_frame(to_router(A1), inside, server, &payload, 1400);
    let (_, wanted) = build::tcp_super_frame(to_router(A1), outside, server, &payload, 1400);
    let (to, frame) = host.send_with(A1, &header, &sent).delivered();
    assert_eq!(to, B1);
    assert!(packet(&frame) == packet(&wanted));
    let (header, sent) = build::tcp_super_frame(to_router(B1), server, outside, &payload, 1400);
    let (_, wanted) = build::tcp_super_frame(to_router(B1), server, inside, &payload, 1400);
    let (to, frame) = host.send_with(B1, &header, &sent).delivered();
    assert_eq!(to, A1);
    assert!(packet(&frame) == packet(&wanted));
}

#[test]
fn what_nobody_inside_asked_for_is_dropped() {
    let mut host = host_with_gateway();
    let server = socket(B1, 53);
    let outside = port_outside(&host.send(A1, &udp(socket(A1, 40_000), server, b"x")).delivered().1);
    let to = |port| SocketAddr::new(address(2), port);
    for (sent, why) in [
        (udp(server, to(outside ^ 1), b"y"), "another port"),
        (udp(socket(B1, 54), to(outside), b"y"), "from another port"),
        (tcp(socket(B1, 53), to(outside), TcpFlags::SYN, b""), "another protocol"),
        (build::icmp_echo(to_router(B1), B1.address(false), address(2), true, 1, 1, b""), "a ping"),
    ] {
        let wanted = Denied::NatExhausted { gateway: gateway(), cause: NatCause::NoMapping };
        assert_eq!(host.send(B1, &from(B1, sent)), Outcome::Denied(wanted), "{why}");
    }
    let stranger = from(B2, udp(socket(B2, 53), to(outside), b"y"));
    assert_eq!(host.send(B2, &stranger).code(), "D38", "another guest");
    let gre = build::ip(to_router(A1), A1.address(false), B1.address(false), 47, b"gre");
    let wanted = Denied::NatExhausted { gateway: gateway(), cause: NatCause::Protocol };
    assert_eq!(host.send(A1, &gre), Outcome::Denied(wanted));
    assert_eq!(host.counters(A1).denied(&wanted).packets, 1);
}

fn is_reset(frame: &[u8], from: SocketAddr, to: SocketAddr) -> bool {
    let packet = Packet::parse(frame).unwrap();
    let ip = packet.ip().unwrap();
    let Transport::Tcp { src_port, dst_port, flags } = ip.transport else { return false };
    let ends = (SocketAddr::new(ip.src, src_port), SocketAddr::new(ip.dst, dst_port));
    ends == (from, to) && flags == TcpFlags::RST
}

/// "When a connection times out, a NAT gateway returns an RST packet to any resources behind the NAT gateway that attempt to continue".
#[test]
fn a_connection_that_idled_for_350_seconds_is_reset() {
    let mut host = host_with_gateway();
    let (inside, server) = (socket(A1, 40_000), socket(B1, 443));
    let (_, frame) = host.send(A1, &tcp(inside, server, TcpFlags::SYN, b"")).delivered();
    let outside = SocketAddr::new(address(2), port_outside(&frame));
    host.send(B1, &from(B1, tcp(server, outside, TcpFlags::SYN | ACK, b""))).delivered();
    host.pass_time(Duration::seconds(349));
    let data = tcp(inside, server, ACK, b"data");
    host.send(A1, &data).delivered();
    host.pass_time(Duration::seconds(350));
    let answer = host.send(A1, &data).answer();
    assert!(is_reset(&answer, server, inside), "{answer:?}");
    let forgotten = Denied::NatExhausted { gateway: gateway(), cause: NatCause::Forgotten };
    assert_eq!(host.counters(A1).denied(&forgotten).packets, 1);
    let late = from(B1, tcp(server, outside, ACK, b"late"));
    assert_eq!(host.send(B1, &late).code(), "D38", "of the outside nobody hears anything");
    let reset = tcp(inside, server, TcpFlags::RST, b"");
    assert_eq!(host.send(A1, &reset).code(), "D38", "a reset is not answered");
}

#[test]
fn pieces_of_datagrams_pass_and_those_of_streams_do_not() {
    let mut host = host_with_gateway();
    let (inside, server) = (socket(A1, 40_000), socket(B1, 53));
    let whole = udp(inside, server, &[7; 3000]);
    let pieces = build::fragments(&whole, 9, 1024);
    let mut got = Vec::new();
    assert_eq!(host.send(A1, &pieces[1]), Outcome::Held);
    got.push(host.send(A1, &pieces[0]).delivered().1);
    got.extend(host.transmits().into_iter().map(|(_, frame)| frame));
    got.push(host.send(A1, &pieces[2]).delivered().1);
    let outside = SocketAddr::new(address(2), port_outside(&got[0]));
    let wanted = build::fragments(&udp(outside, server, &[7; 3000]), 9, 1024);
    assert!(got.iter().zip(&wanted).all(|(got, wanted)| packet(got) == packet(wanted)));
    let stream = tcp(inside, socket(B1, 443), TcpFlags::SYN, &[7; 1000]);
    let wanted = Denied::NatExhausted { gateway: gateway(), cause: NatCause::Fragment };
    let outcomes = build::fragments(&stream, 10, 512).iter().map(|piece| host.send(A1, piece)).collect::<Vec<_>>();
    assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Denied(wanted)), "{outcomes:?}");
    // Nor when the tables have changed in between.
    let pieces = build::fragments(&stream, 11, 512);
    assert_eq!(host.send(A1, &pieces[0]), Outcome::Denied(wanted));
    host.edit(|_| ());
    assert_eq!(host.send(A1, &pieces[1]), Outcome::Denied(wanted));
}

#[test]
fn an_error_comes_to_who_caused_it_about_what_it_sent() {
    let mut host = host_with_gateway();
    let (inside, server) = (socket(A1, 40_000), socket(B1, 53));
    let sent = udp(inside, server, b"hello");
    let (_, arrived) = host.send(A1, &sent).delivered();
    let fields = icmp::Fields { kind: v4::UNREACHABLE, code: 3, rest: [0; 4] };
    let error =
        |to: IpAddr, quoted: &[u8]| from(B1, build::icmp(to_router(B1), B1.address(false), to, fields, &quoted[14..]));
    let (to, heard) = host.send(B1, &error(address(2), &arrived)).delivered();
    let mut wanted = error(A1.address(false), &sent);
    wanted[..12].copy_from_slice(&heard[..12]);
    assert_eq!((to, heard), (A1, wanted));
}

#[test]
fn the_gateways_subnet_has_its_own_acl() {
    let mut host = host_with_gateway();
    let (inside, server) = (socket(A1, 40_000), socket(B1, 53));
    host.send(A1, &udp(inside, server, b"x")).delivered();
    host.edit(|cloud| {
        let mut acl = model::NetworkAcl::clone(&cloud.slice(A).network_acls[0]);
        acl.id = id(77);
        acl.entries_mut(Direction::Egress).insert(1, deny("10.17.0.0/16"));
        cloud.slice(A).network_acls.push(Arc::new(acl));
        let subnets = &mut cloud.slice(A).subnets;
        Arc::make_mut(&mut subnets[1]).network_acl.network_acl = id(77);
    });
    assert_eq!(host.send(A1, &udp(inside, server, b"x")).code(), "D07");
    host.edit(|cloud| cloud.slice(A).nat_gateways.clear());
    assert_eq!(host.send(A1, &udp(inside, server, b"x")).code(), "D09");
}

#[test]
fn a_gateway_that_goes_takes_its_mappings_along() {
    let mut host = host_with_gateway();
    let (inside, server) = (socket(A1, 40_000), socket(B1, 53));
    host.send(A1, &udp(inside, server, b"x")).delivered();
    assert_eq!(host.shared.translations(), 1);
    host.edit(|cloud| {
        let slice = cloud.slice(A);
        slice.nat_gateways.clear();
        slice.endpoints.retain(|endpoint| endpoint.interface.id != gateway());
    });
    assert_eq!(host.shared.translations(), 0);
    assert_eq!(host.send(A1, &udp(inside, server, b"x")).code(), "D09");
}

fn to_target(interface: NetworkInterfaceId) -> Domain {
    Domain { from: vpc_id(A), to: vpc_id(A), scope: Scope::RouteTarget(interface) }
}

/// What one host has to send, given to the other.
fn hand_over(pair: &mut Pair, from: usize) -> Vec<(Guest, Vec<u8>)> {
    let batch = pair.take(from);
    assert!(!batch.is_empty(), "nothing was sealed");
    pair.give(1 - from, &batch).into_iter().map(|(to, _, frame)| (to, frame)).collect()
}

#[test]
fn a_gateway_on_the_senders_host() {
    let mut pair = Pair::new(cloud(2, host_id(0)));
    let (inside, server) = (socket(A1, 40_000), socket(B1, 53));
    assert_eq!(pair.send(A1, &PLAIN, &udp(inside, server, b"hello")), Outcome::Sealed);
    let got = hand_over(&mut pair, 0);
    let outside = SocketAddr::new(address(2), port_outside(&got[0].1));
    assert_eq!((got[0].0, packet(&got[0].1)), (B1, packet(&udp(outside, server, b"hello"))));
    assert_eq!(pair.send(B1, &PLAIN, &from(B1, udp(server, outside, b"answer"))), Outcome::Sealed);
    let got = hand_over(&mut pair, 1);
    assert_eq!((got[0].0, packet(&got[0].1)), (A1, packet(&udp(server, inside, b"answer"))));
    let stranger = from(B1, udp(socket(B1, 54), outside, b"unasked"));
    assert_eq!(pair.send(B1, &PLAIN, &stranger), Outcome::Sealed);
    assert_eq!(hand_over(&mut pair, 1), []);
    let denied = Denied::NatExhausted { gateway: gateway(), cause: NatCause::NoMapping };
    assert_eq!(pair.hosts[0].shared.stray_counters().denied(&denied).packets, 1);
}

#[test]
fn a_gateway_on_the_receivers_host() {
    let mut pair = Pair::new(cloud(2, host_id(1)));
    pair.agree(0, to_target(gateway()));
    pair.agree(1, to_target(A1.eni()));
    let (inside, server) = (socket(A1, 40_000), socket(B1, 443));
    assert_eq!(pair.send(A1, &PLAIN, &tcp(inside, server, TcpFlags::SYN, b"")), Outcome::Sealed);
    let got = hand_over(&mut pair, 0);
    let outside = SocketAddr::new(address(2), port_outside(&got[0].1));
    assert_eq!((got[0].0, packet(&got[0].1)), (B1, packet(&tcp(outside, server, TcpFlags::SYN, b""))));
    assert_eq!(pair.send(B1, &PLAIN, &from(B1, tcp(server, outside, TcpFlags::SYN | ACK, b""))), Outcome::Sealed);
    let got = hand_over(&mut pair, 1);
    assert_eq!((got[0].0, packet(&got[0].1)), (A1, packet(&tcp(server, inside, TcpFlags::SYN | ACK, b""))));
    // A whole stream, cut for the way.
    let payload = vec![7; 20_000];
    let (header, sent) = build::tcp_super_frame(to_router(A1), inside, server, &payload, 1400);
    assert_eq!(pair.send(A1, &header, &sent), Outcome::Sealed);
    let got: usize = hand_over(&mut pair, 0).iter().map(|(_, frame)| frame.len() - 54).sum();
    assert_eq!(got, payload.len());
}

/// A3 and B1 are on one host, the gateway between them on the other.
fn between() -> Pair {
    let mut pair = Pair::new(cloud(1, host_id(0)));
    pair.agree(1, to_target(gateway()));
    pair.agree(0, to_target(A3.eni()));
    pair
}

#[test]
fn a_gateway_on_a_host_of_its_own() {
    let mut pair = between();
    let (inside, server) = (socket(A3, 40_000), socket(B1, 53));
    assert_eq!(pair.send(A3, &PLAIN, &from(A3, udp(inside, server, b"hello"))), Outcome::Sealed);
    assert_eq!(hand_over(&mut pair, 1), [], "it goes on at once");
    let got = hand_over(&mut pair, 0);
    let outside = SocketAddr::new(address(1), port_outside(&got[0].1));
    assert_eq!((got[0].0, packet(&got[0].1)), (B1, packet(&udp(outside, server, b"hello"))));
    assert_eq!(pair.send(B1, &PLAIN, &from(B1, udp(server, outside, b"answer"))), Outcome::Sealed);
    assert_eq!(hand_over(&mut pair, 1), []);
    let got = hand_over(&mut pair, 0);
    assert_eq!((got[0].0, packet(&got[0].1)), (A3, packet(&udp(server, inside, b"answer"))));
    // In pieces, the later one first.
    let pieces = build::fragments(&from(A3, udp(inside, server, &[7; 2000])), 9, 1024);
    let wanted = build::fragments(&udp(outside, server, &[7; 2000]), 9, 1024);
    for piece in [&pieces[0], &pieces[1]] {
        assert_eq!(pair.send(A3, &PLAIN, piece), Outcome::Sealed);
    }
    let mut batch = pair.take(1);
    let (bytes, segment) = batch.remove(0);
    let (first, second) = bytes.split_at(usize::from(segment));
    let swapped = [second, first].map(|bytes| (bytes.to_vec(), u16::try_from(bytes.len()).unwrap()));
    assert_eq!(pair.give(0, &swapped), []);
    let mut got: Vec<Vec<u8>> = hand_over(&mut pair, 0).into_iter().map(|(_, frame)| frame).collect();
    got.sort_by_key(Vec::len);
    got.reverse();
    assert!(got.iter().zip(&wanted).all(|(got, wanted)| packet(got) == packet(wanted)), "{}", got.len());
    assert_eq!(got.len(), 2);
}

#[test]
fn what_waits_for_keys_at_a_gateway_goes_on_when_they_are_there() {
    let mut pair = Pair::without_keys(cloud(1, host_id(0)));
    pair.agree(1, to_target(gateway()));
    let (inside, server) = (socket(A3, 40_000), socket(B1, 53));
    assert_eq!(pair.send(A3, &PLAIN, &from(A3, udp(inside, server, b"hello"))), Outcome::Sealed);
    assert_eq!(hand_over(&mut pair, 1), []);
    assert_eq!(pair.take(0), [], "there are no keys yet");
    let wants: Vec<Domain> = pair.wants(0).into_iter().map(|want| want.domain).collect();
    assert_eq!(wants, [peering(A, B)]);
    pair.agree(0, peering(A, B));
    assert_eq!(pair.release(0), []);
    let got = hand_over(&mut pair, 0);
    let outside = SocketAddr::new(address(1), port_outside(&got[0].1));
    assert_eq!((got[0].0, packet(&got[0].1)), (B1, packet(&udp(outside, server, b"hello"))));
    assert!(pair.entitled(1).may_send(&to_target(gateway()), host_id(1), host_id(0)));
}

#[test]
fn a_forgotten_connection_is_reset_across_hosts() {
    let mut pair = between();
    let (inside, server) = (socket(A3, 40_000), socket(B1, 443));
    let send = |pair: &mut Pair, flags, payload: &[u8]| {
        assert_eq!(pair.send(A3, &PLAIN, &from(A3, tcp(inside, server, flags, payload))), Outcome::Sealed);
        assert_eq!(hand_over(pair, 1), []);
        hand_over(pair, 0)
    };
    let got = send(&mut pair, TcpFlags::SYN, b"");
    let outside = SocketAddr::new(address(1), port_outside(&got[0].1));
    assert_eq!(pair.send(B1, &PLAIN, &from(B1, tcp(server, outside, TcpFlags::SYN | ACK, b""))), Outcome::Sealed);
    assert_eq!(hand_over(&mut pair, 1), []);
    assert_eq!(hand_over(&mut pair, 0).len(), 1);
    for host in &mut pair.hosts {
        host.now = host.now + Duration::seconds(350);
    }
    let got = send(&mut pair, ACK, b"data");
    let [(to, frame)] = &got[..] else { panic!("{got:?}") };
    assert_eq!(*to, A3);
    assert!(is_reset(frame, server, inside));
}
