//! Frames between guests: what arrives, what it looks like, and what does not arrive.

use std::net::SocketAddr;

use crate::world::cloud::*;
use crate::world::{Host, Outcome, link, port_of, router, to_router};
use dataplane::{Action, PortId};
use model::{Duration, IpProtocol, RulePeer};
use policy::Denied;
use wire::vnet::VnetHeader;
use wire::{TcpFlags, build};

fn socket(guest: Guest, is_v6: bool, port: u16) -> SocketAddr {
    SocketAddr::new(guest.address(is_v6), port)
}

fn udp(from: Guest, to: Guest, is_v6: bool, dport: u16) -> Vec<u8> {
    build::udp(link(from, to), socket(from, is_v6, 40_000), socket(to, is_v6, dport), b"hello")
}

fn tcp(from: Guest, to: Guest, ports: (u16, u16), flags: TcpFlags) -> Vec<u8> {
    build::tcp(link(from, to), socket(from, false, ports.0), socket(to, false, ports.1), flags, &[])
}

fn ping(from: Guest, to: Guest, is_v6: bool, request: bool) -> Vec<u8> {
    build::icmp_echo(link(from, to), from.address(is_v6), to.address(is_v6), request, 7, 1, b"ping")
}

#[test]
fn neighbours_subnets_and_peers_reach_each_other_with_the_right_link_addresses() {
    let mut host = Host::new(Cloud::open());
    for is_v6 in [false, true] {
        for (from, to) in [(A1, A2), (A1, A3), (A1, B1), (B2, A3)] {
            let sent = udp(from, to, is_v6, 53);
            let (reached, frame) = host.send(from, &sent).delivered();
            assert_eq!(reached, to);
            assert_eq!(frame[..6], to.mac().octets());
            let is_neighbour = (from.vpc, from.subnet) == (to.vpc, to.subnet);
            let src = if is_neighbour { from.mac() } else { router(to) };
            assert_eq!(frame[6..12], src.octets());
            assert_eq!(frame[12..], sent[12..], "nothing but the link addresses changes: no TTL, no address");
        }
    }
}

#[test]
fn a_super_frame_stays_whole() {
    let mut host = Host::new(Cloud::open());
    for is_v6 in [false, true] {
        let payload: Vec<u8> = (0..60_000_u32).map(|n| n as u8).collect();
        let (src, dst) = (socket(A1, is_v6, 40_000), socket(B1, is_v6, 5201));
        let (header, frame) = build::tcp_super_frame(to_router(A1), src, dst, &payload, 1428);
        let bytes = build::with_vnet(&header, &frame);
        for _ in 0..2 {
            host.buf[..bytes.len()].copy_from_slice(&bytes);
            let action = host.worker.guest_frame(port_of(A1), &mut host.buf, bytes.len(), host.now);
            assert_eq!(action, Action::Forward { port: port_of(B1), len: bytes.len() });
            assert_eq!(host.buf[..10], bytes[..10], "the header that says how to cut it");
            assert_eq!(host.buf[10..22], [B1.mac().octets(), router(B1).octets()].concat());
            assert_eq!(host.buf[22..bytes.len()], bytes[22..]);
        }
    }
}

#[test]
fn a_header_that_does_not_hold_against_its_frame_is_refused() {
    let mut host = Host::new(Cloud::open());
    let frame = udp(A1, B1, false, 53);
    let wrong = [
        VnetHeader { needs_csum: true, csum_start: 2, csum_offset: 0, ..VnetHeader::default() },
        VnetHeader { needs_csum: true, csum_start: 34, csum_offset: 60_000, ..VnetHeader::default() },
        VnetHeader { gso_type: wire::vnet::GsoType::TcpV4, gso_size: 1400, ..VnetHeader::default() },
        VnetHeader { gso_type: wire::vnet::GsoType::UdpL4, gso_size: 0, ..VnetHeader::default() },
    ];
    for header in wrong {
        assert_eq!(host.send_with(A1, &header, &frame), Outcome::Denied(Denied::Malformed), "{header:?}");
    }
    assert_eq!(host.send_raw(port_of(A1), &[0; 9]), Outcome::Denied(Denied::Malformed));
}

#[test]
fn groups_filter_and_the_answer_comes_home_by_tracking() {
    let mut host = Host::new(Cloud::guarded());
    for is_v6 in [false, true] {
        assert_eq!(host.send(A1, &udp(A1, B1, is_v6, 53)).code(), "ok");
        assert_eq!(host.send(A1, &udp(A1, B1, is_v6, 54)).code(), "D22");
        let answer = build::udp(link(B1, A1), socket(B1, is_v6, 53), socket(A1, is_v6, 40_000), b"world");
        assert_eq!(host.send(B1, &answer).delivered().0, A1);
        let unasked = build::udp(link(B1, A1), socket(B1, is_v6, 53), socket(A1, is_v6, 40_001), b"world");
        assert_eq!(host.send(B1, &unasked).code(), "D22");
        assert_eq!(host.send(A1, &ping(A1, B1, is_v6, true)).code(), "ok");
        assert_eq!(host.send(B1, &ping(B1, A1, is_v6, false)).code(), "ok");
        assert_eq!(host.send(B1, &ping(B1, A1, is_v6, true)).code(), "D22");
    }
}

#[test]
fn an_icmp_error_passes_for_a_tracked_flow_only() {
    let mut host = Host::new(Cloud::guarded());
    let question = udp(A1, B1, false, 53);
    host.send(A1, &question).delivered();
    let unreachable = wire::icmp::Fields { kind: 3, code: 3, rest: [0; 4] };
    let about = |frame: &[u8]| build::icmp(link(B1, A1), B1.v4().into(), A1.v4().into(), unreachable, &frame[14..]);
    assert_eq!(host.send(B1, &about(&question)).code(), "ok");
    assert_eq!(host.send(B1, &about(&udp(A1, B1, false, 9))).code(), "D22", "its inner packet is of no tracked flow");
    let elsewhere = build::icmp(link(B1, A2), B1.v4().into(), A2.v4().into(), unreachable, &question[14..]);
    assert_eq!(host.send(B1, &elsewhere).code(), "D22", "it goes to somebody else than who sent the inner packet");
}

#[test]
fn a_tracked_flow_survives_a_revoked_rule_and_an_untracked_one_does_not() {
    let mut host = Host::new(Cloud::guarded());
    host.send(A1, &udp(A1, B1, false, 53)).delivered();
    host.edit(|cloud| cloud.rules(B, vec![]));
    assert_eq!(host.send(A1, &udp(A1, B1, false, 53)).code(), "ok", "tracked");
    assert_eq!(host.send(A2, &udp(A2, B1, false, 53)).code(), "D22", "new");
    host.pass_time(Duration::seconds(31));
    assert_eq!(host.send(A1, &udp(A1, B1, false, 53)).code(), "D22", "forgotten");

    let mut host = Host::new(Cloud::open());
    host.send(A1, &udp(A1, B1, false, 53)).delivered();
    host.edit(|cloud| cloud.rules(B, vec![]));
    assert_eq!(host.send(A1, &udp(A1, B1, false, 53)).code(), "D22", "untracked: the rules alone");
}

#[test]
fn every_packet_of_an_open_flow_keeps_it_alive_remembered_or_not() {
    let mut host = Host::new(Cloud::guarded());
    host.send(A1, &tcp(A1, B1, (40_000, 443), TcpFlags::SYN)).delivered();
    host.send(B1, &tcp(B1, A1, (443, 40_000), TcpFlags::SYN | TcpFlags::ACK)).delivered();
    host.send(A1, &tcp(A1, B1, (40_000, 443), TcpFlags::ACK)).delivered();
    host.edit(|cloud| cloud.rules(B, vec![]));
    for _ in 0..5 {
        host.pass_time(Duration::seconds(400_000));
        assert_eq!(host.send(A1, &tcp(A1, B1, (40_000, 443), TcpFlags::ACK)).code(), "ok");
        assert_eq!(host.send(A1, &tcp(A1, B1, (40_000, 443), TcpFlags::ACK)).code(), "ok");
    }
    assert!(host.counters(A1).cache_hits >= 5);
    host.send(A1, &tcp(A1, B1, (40_000, 443), TcpFlags::RST)).delivered();
    host.pass_time(Duration::seconds(9));
    assert_eq!(host.send(A1, &tcp(A1, B1, (40_000, 443), TcpFlags::ACK)).code(), "ok", "what was on its way");
    host.pass_time(Duration::seconds(2));
    assert_eq!(host.send(A1, &tcp(A1, B1, (40_000, 443), TcpFlags::ACK)).code(), "D22", "closed");
}

#[test]
fn deleting_the_peering_cuts_an_open_flow_at_the_next_packet() {
    let mut host = Host::new(Cloud::guarded());
    for _ in 0..3 {
        assert_eq!(host.send(A1, &udp(A1, B1, false, 53)).code(), "ok");
    }
    host.edit(Cloud::delete_peering);
    assert_eq!(host.send(A1, &udp(A1, B1, false, 53)).code(), "D09", "the route is a blackhole");
    assert_eq!(host.send(A1, &udp(A1, A3, false, 53)).code(), "D22", "the rest of the VPC lives");
}

#[test]
fn an_interface_that_was_down_has_forgotten_its_flows() {
    let mut host = Host::new(Cloud::guarded());
    host.send(A1, &udp(A1, B1, false, 53)).delivered();
    let flows = host.shared.flows();
    host.edit(|cloud| cloud.endpoint(B1).is_up = false);
    assert_eq!(host.send(A1, &udp(A1, B1, false, 53)).code(), "D20");
    host.edit(|cloud| {
        cloud.endpoint(B1).is_up = true;
        cloud.rules(B, vec![]);
    });
    assert_eq!(host.send(A1, &udp(A1, B1, false, 53)).code(), "D22");
    host.worker.handle_timeout(host.now);
    assert!(host.shared.flows() <= flows);
}

#[test]
fn what_is_on_another_host_is_not_reached_in_clear() {
    let mut cloud = Cloud::open();
    cloud.endpoint(A3).host = Some(host(2));
    cloud.endpoint(A2).host = None;
    let mut host = Host::new(cloud);
    assert_eq!(host.send(A1, &udp(A1, A3, false, 53)), Outcome::Denied(Denied::NoSecureChannel));
    assert_eq!(host.send(A1, &udp(A1, A2, false, 53)).code(), "D20", "on no host at all");
}

#[test]
fn routes_acls_checks_and_places_each_have_their_reason() {
    type Edit = fn(&mut Cloud);
    let cases: [(&str, Edit); 11] = [
        ("D02", |cloud| cloud.endpoint(A1).is_up = false),
        ("D05", |cloud| cloud.rules(A, vec![])),
        ("D07", |cloud| cloud.acl(A, model::Direction::Egress, 1, deny("10.17.0.0/16"))),
        ("D08", |cloud| cloud.routes(A, |routes| routes.retain(|r| r.target == model::RouteTarget::Local))),
        ("D09", Cloud::delete_peering),
        ("D12", |cloud| {
            let peering = std::sync::Arc::make_mut(&mut cloud.slice(A).peerings[0]);
            peering.accepter.cidrs = vec!["10.99.0.0/16".parse().unwrap()];
        }),
        ("D14", |cloud| cloud.slice(A).peers[0].members.retain(|member| member.interface != B1.eni())),
        ("D19", |cloud| cloud.acl(B, model::Direction::Ingress, 1, deny("10.16.0.0/16"))),
        ("D20", |cloud| cloud.endpoint(B1).is_up = false),
        ("D22", |cloud| cloud.rules(B, vec![])),
        ("D39", |cloud| {
            let target = model::RouteTarget::TransitGateway(id(1));
            cloud.routes(A, |routes| {
                routes.retain(|r| r.target == model::RouteTarget::Local);
                routes.push(route("0.0.0.0/0", target));
            });
        }),
    ];
    for (code, edit) in cases {
        let mut cloud = Cloud::open();
        edit(&mut cloud);
        let mut host = Host::new(cloud);
        let frame = udp(A1, B1, false, 53);
        let outcome = host.send(A1, &frame);
        assert_eq!(outcome.code(), code);
        let Outcome::Denied(denied) = outcome else { panic!("{outcome:?}") };
        let decided_at = if ["D19", "D20", "D22"].contains(&code) { B1 } else { A1 };
        let counted = host.counters(decided_at).denied(&denied);
        assert_eq!((counted.packets, counted.bytes), (1, frame.len() as u64), "{code}");
    }
}

/// Races and claims that the API cannot make: a doctored slice, or a guest that forwards for others.
#[test]
fn each_side_believes_only_its_own_view() {
    let peering = |cloud: &mut Cloud, vpc: u32, edit: fn(&mut model::Peering)| {
        edit(std::sync::Arc::make_mut(&mut cloud.slice(vpc).peerings[0]));
    };
    let mut cases: Vec<(&str, Guest, Cloud, Vec<u8>)> = Vec::new();
    let plain = udp(A1, B1, false, 53);

    let mut cloud = Cloud::open();
    peering(&mut cloud, B, |peering| peering.status = model::PeeringStatus::Deleted);
    cases.push(("D10", B1, cloud, plain.clone()));

    let mut cloud = Cloud::open();
    peering(&mut cloud, B, |peering| peering.requester.vpc = id(99));
    cases.push(("D11", B1, cloud, plain.clone()));

    let mut cloud = Cloud::open();
    cloud.interface(A1).source_dest_check = false;
    let foreign = build::udp(to_router(A1), "192.0.2.1:1".parse().unwrap(), socket(B1, false, 53), b"x");
    cases.push(("D13", A1, cloud, foreign));

    let mut cloud = Cloud::open();
    cloud.slice(B).peers[0].members.clear();
    cases.push(("D18", B1, cloud, plain.clone()));

    let mut cloud = Cloud::open();
    let target = model::RouteTarget::NetworkInterface(A3.eni());
    cloud.routes(A, |routes| routes.push(route("192.0.2.0/24", target)));
    let beyond = build::udp(to_router(A1), socket(A1, false, 1), "192.0.2.9:53".parse().unwrap(), b"x");
    cases.push(("D21", A3, cloud.clone(), beyond.clone()));
    cloud.interface(A3).source_dest_check = false;
    cases.push(("ok", A3, cloud, beyond));

    let mut cloud = Cloud::open();
    let group = |vpc| RulePeer::Group {
        group: group_id(vpc),
        owner: "111111111111".parse().unwrap(),
        vpc: vpc_id(vpc),
        peering: Some(pcx()),
    };
    cloud.rules(B, vec![rule(model::Direction::Ingress, IpProtocol::All, model::Ports::Any, group(A))]);
    cases.push(("ok", B1, cloud.clone(), plain.clone()));
    cloud.slice(B).peers[0].groups.clear();
    cases.push(("D23", B1, cloud, plain));

    for (code, decided_at, cloud, frame) in cases {
        let mut host = Host::new(cloud);
        assert_eq!(host.send(A1, &frame).code(), code);
        assert_eq!(host.counters(decided_at).denied_total().packets, u64::from(code != "ok"), "{code}");
    }
}

#[test]
fn workers_share_one_state_and_each_packet_one_generation() {
    let host = Host::new(Cloud::guarded());
    let (shared, rounds) = (&host.shared, 2000_u16);
    let send = |from: Guest, to: Guest, is_question: bool| {
        let (mut worker, mut buf) = (shared.worker(), vec![0; 4096]);
        for round in 0..rounds {
            let port = 40_000 + round % 50;
            let (sport, dport) = if is_question { (port, 53) } else { (53, port) };
            let frame = build::udp(link(from, to), socket(from, false, sport), socket(to, false, dport), b"x");
            let bytes = build::with_vnet(&VnetHeader::default(), &frame);
            buf[..bytes.len()].copy_from_slice(&bytes);
            match worker.guest_frame(port_of(from), &mut buf, bytes.len(), host.now) {
                Action::Forward { port, .. } => assert_eq!(port, port_of(to)),
                Action::Drop(denied) => assert!(denied.is_filter(), "{denied}"),
                other => panic!("{other:?}"),
            }
            worker.handle_timeout(host.now);
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| send(A1, B1, true));
        scope.spawn(|| send(B1, A1, false));
        scope.spawn(|| {
            for round in 0..200 {
                let mut cloud = Cloud::guarded();
                if round % 2 == 0 {
                    cloud.rules(B, vec![]);
                }
                Host::apply_to(shared, &cloud, |_| crate::world::MTU);
            }
        });
    });
    let (at_a, at_b) = (host.counters(A1), host.counters(B1));
    let received = at_a.received.packets + at_b.received.packets;
    let ended = [&at_a, &at_b].map(|counters| counters.delivered.packets + counters.denied_total().packets);
    assert_eq!((received, ended.iter().sum::<u64>()), (2 * u64::from(rounds), 2 * u64::from(rounds)));
}

#[test]
fn source_addresses_are_the_interfaces_own_unless_the_check_is_off() {
    let mut host = Host::new(Cloud::open());
    let spoofed = build::udp(to_router(A1), socket(A2, false, 1), socket(B1, false, 2), b"x");
    assert_eq!(host.send(A1, &spoofed).code(), "D03");
    let from_none = build::udp(to_router(A1), "0.0.0.0:1".parse().unwrap(), socket(B1, false, 2), b"x");
    assert_eq!(host.send(A1, &from_none).code(), "D03");
    host.edit(|cloud| cloud.interface(A1).source_dest_check = false);
    assert_eq!(host.send(A1, &from_none).code(), "D03");
    let mut wrong_mac = udp(A1, B1, false, 53);
    wrong_mac[11] ^= 1;
    assert_eq!(host.send(A1, &wrong_mac), Outcome::Denied(Denied::SpoofedMac));
}

#[test]
fn a_full_table_refuses_new_flows_only() {
    let limits = policy::Limits { flows: 8, flows_per_interface: 4 };
    let config = dataplane::Config { limits, shards: 1, ..crate::world::config() };
    let mut host = Host::with(Cloud::guarded(), config);
    let frame = |sport| build::udp(to_router(A1), socket(A1, false, sport), socket(B1, false, 53), b"x");
    for sport in 0..4 {
        assert_eq!(host.send(A1, &frame(sport)).code(), "ok");
    }
    assert_eq!(host.send(A1, &frame(4)).code(), "D06");
    assert_eq!(host.send(A1, &frame(0)).code(), "ok");
    host.pass_time(Duration::seconds(31));
    assert_eq!(host.send(A1, &frame(4)).code(), "ok");
}

#[test]
fn frames_of_ports_that_are_not_there_are_counted_too() {
    let mut host = Host::new(Cloud::open());
    let bytes = build::with_vnet(&VnetHeader::default(), &udp(A1, B1, false, 53));
    let outcome = host.send_raw(PortId::new(4000).unwrap(), &bytes);
    assert_eq!(outcome.code(), "D02");
    assert_eq!(host.shared.stray_counters().denied_total().packets, 1);
    assert!(host.shared.counters(PortId::new(4000).unwrap()).is_none());
}

#[test]
fn what_an_interface_sent_while_it_ended_is_known_after_it() {
    let mut host = Host::new(Cloud::open());
    host.edit(|cloud| cloud.endpoint(A1).is_up = false);
    for _ in 0..3 {
        assert_eq!(host.send(A1, &udp(A1, B1, false, 53)).code(), "D02");
    }
    assert_eq!((host.counters(A1).denied_total().packets, host.shared.stray_counters().denied_total().packets), (3, 0));
    host.edit(|cloud| cloud.slice(A).endpoints.retain(|endpoint| endpoint.interface.id != A1.eni()));
    let down = Denied::SourceDown { interface: A1.eni() };
    let stray = host.shared.stray_counters();
    assert_eq!((stray.denied(&down).packets, stray.denied_total().packets), (3, 3));
    assert!(host.shared.counters(port_of(A1)).is_none());
}

#[test]
fn another_protocol_passes_and_is_tracked_by_its_addresses() {
    let mut cloud = Cloud::guarded();
    let gre = rule(model::Direction::Ingress, IpProtocol::Number(47), model::Ports::Any, of_block("10.16.0.0/16"));
    let out = rule(model::Direction::Egress, IpProtocol::All, model::Ports::Any, of_block("10.16.0.0/16"));
    cloud.rules(B, vec![gre, out]);
    let mut host = Host::new(cloud);
    let frame = |from: Guest, to: Guest| build::ip(link(from, to), from.v4().into(), to.v4().into(), 47, &[0; 40]);
    assert_eq!(host.send(B1, &frame(B1, A1)).code(), "D22");
    assert_eq!(host.send(A1, &frame(A1, B1)).code(), "ok");
    assert_eq!(host.send(B1, &frame(B1, A1)).code(), "ok");
}

#[test]
fn what_a_device_did_not_take_is_counted_at_its_port() {
    let mut host = Host::new(Cloud::open());
    host.worker.undelivered(port_of(B1), 70);
    let counted = host.counters(B1).denied(&Denied::QueueFull);
    assert_eq!((counted.packets, counted.bytes), (1, 60));
}
