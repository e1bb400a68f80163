//! Who a guest says it is, and whom it says it talks to (cases 17, 21-24, 27-29).

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::{ip, socket};
use crate::world::cloud::*;
use crate::world::{Host, config, link, port_of, router, to_router};
use dataplane::{Action, Binding, Ports, Shared};
use model::{IpProtocol, RouteTarget, RulePeer};
use policy::Tables;
use wire::ethernet::Link;
use wire::vnet::VnetHeader;
use wire::{MacAddr, build};

fn udp(link: Link, src: IpAddr, dst: IpAddr, dport: u16) -> Vec<u8> {
    build::udp(link, SocketAddr::new(src, 40_000), SocketAddr::new(dst, dport), b"x")
}

#[test]
fn no_address_but_its_own() {
    let mut host = Host::new(Cloud::open());
    let v4 = ["10.16.1.11", "10.16.1.1", "10.17.1.10", "192.0.2.1", "0.0.0.0", "127.0.0.1", "169.254.1.1", "224.0.0.1"];
    let v6 =
        ["2001:db8:10:1::b", "2001:db8:11:1::a", "fe80::1", "fe80:ec2::1", "::1", "::", "ff02::1", "::ffff:10.16.1.10"];
    for src in v4 {
        assert_eq!(host.send(A1, &udp(to_router(A1), ip(src), B1.v4().into(), 53)).code(), "D03", "{src}");
        assert_eq!(
            host.send(A1, &udp(link(A1, A2), ip(src), A2.v4().into(), 53)).code(),
            "D03",
            "{src} to a neighbour"
        );
    }
    for src in v6 {
        assert_eq!(host.send(A1, &udp(to_router(A1), ip(src), B1.v6().into(), 53)).code(), "D03", "{src}");
    }
    assert_eq!(host.counters(A1).denied_total().packets, 24);
    assert_eq!(host.shared.flows(), 0, "none of it was ever tracked");
}

/// The machine's own addresses are nobody's inside a VPC, not even where a route leads everywhere.
#[test]
fn no_way_to_the_machine() {
    let mut host = Host::new(Cloud::open());
    let own = ["127.0.0.1", "127.8.8.8", "0.0.0.0", "169.254.0.1", "fe80::1", "::1", "::"];
    for dst in own {
        let src = A1.address(dst.contains(':'));
        assert_eq!(host.send(A1, &udp(to_router(A1), src, ip(dst), 4588)).code(), "D04", "{dst}");
    }
    let underlay = |host: &mut Host| host.send(A1, &udp(to_router(A1), A1.v4().into(), ip("198.18.0.2"), 4500)).code();
    assert_eq!(underlay(&mut host), "D08");
    host.edit(|cloud| cloud.routes(A, |routes| routes.push(route("0.0.0.0/0", RouteTarget::Peering(pcx())))));
    assert_eq!(underlay(&mut host), "D12");
    host.edit(|cloud| {
        cloud.slice(A).internet_gateways.push(id(1));
        cloud.routes(A, |routes| {
            routes.retain(|route| route.target != RouteTarget::Peering(pcx()));
            routes.push(route("0.0.0.0/0", RouteTarget::InternetGateway(id(1))));
        });
    });
    assert_eq!(underlay(&mut host), "D28");
    host.edit(|cloud| cloud.map_public(A1, "203.0.113.1"));
    assert_eq!(underlay(&mut host), "D14", "no address of this cloud, whoever asks");
    host.edit(|cloud| {
        cloud.routes(A, |routes| routes.push(route("198.18.0.0/15", RouteTarget::NetworkInterface(A3.eni()))));
    });
    assert_eq!(underlay(&mut host), "D21", "another guest at most, and that one has its own check");
}

#[test]
fn another_next_hop_leads_nowhere_else() {
    let mut host = Host::new(Cloud::guarded());
    let hops = [router(A1), router(B1), A3.mac(), B1.mac(), B2.mac(), A2.mac(), MacAddr([0x06, 1, 2, 3, 4, 5])];
    for dst in hops {
        let hop = Link { src: A1.mac(), dst };
        for is_v6 in [false, true] {
            let frame = |port| build::udp(hop, socket(A1, is_v6, 1), socket(B1, is_v6, port), b"x");
            let (reached, _) = host.send(A1, &frame(53)).delivered();
            assert_eq!(reached, B1, "{dst}: the address decides");
            assert_eq!(host.send(A1, &frame(54)).code(), "D22", "{dst}: and B's rules");
        }
    }
    // To a neighbour's address, a hop at somebody else's changes neither who gets it nor what the groups say.
    let frame = build::udp(Link { src: A1.mac(), dst: A3.mac() }, socket(A1, false, 1), socket(A2, false, 53), b"x");
    assert_eq!(host.send(A1, &frame).code(), "D22");
}

#[test]
fn a_tunnel_is_judged_by_its_outside() {
    const IP_IN_IP: u8 = 4;
    const IPV6: u8 = 41;
    const GRE: u8 = 47;
    let mut cloud = Cloud::guarded();
    let gre = rule(model::Direction::Ingress, IpProtocol::Number(GRE), model::Ports::Any, of_block("10.16.0.0/16"));
    cloud.rules(B, vec![gre]);
    let mut host = Host::new(cloud);
    // What is inside would be welcome at B2, or seems to come from there.
    let inner = build::udp(to_router(A1), socket(B2, false, 53), socket(B2, false, 53), b"x");
    for protocol in [IP_IN_IP, IPV6, GRE] {
        let outer = |dst: &str| build::ip(to_router(A1), A1.v4().into(), ip(dst), protocol, &inner[14..]);
        let expected = if protocol == GRE { "ok" } else { "D22" };
        assert_eq!(host.send(A1, &outer("10.17.1.10")).code(), expected, "{protocol}");
        assert_eq!(host.send(A1, &outer("10.18.1.10")).code(), "D08", "{protocol}");
    }
    assert_eq!(host.counters(B2).delivered.packets, 0);
}

/// B has a way out; A has a route to B for everything, and B's own routes do not count for what A sends.
#[test]
fn a_peers_ways_out_are_its_own() {
    let mut cloud = Cloud::open();
    cloud.slice(B).internet_gateways.push(id(1));
    cloud.routes(B, |routes| {
        routes.push(route("0.0.0.0/0", RouteTarget::InternetGateway(id(1))));
        routes.push(route("10.18.0.0/16", RouteTarget::NetworkInterface(B2.eni())));
    });
    cloud.interface(B2).source_dest_check = false;
    cloud.routes(A, |routes| routes.push(route("0.0.0.0/0", RouteTarget::Peering(pcx()))));
    let mut host = Host::new(cloud);
    for beyond in ["192.0.2.1", "10.18.0.1", "10.17.0.2", "10.99.0.1"] {
        let expected = if beyond == "10.17.0.2" { "D14" } else { "D12" };
        assert_eq!(host.send(A1, &udp(to_router(A1), A1.v4().into(), ip(beyond), 53)).code(), expected, "{beyond}");
    }
    assert_eq!(host.counters(B2).received.packets + host.counters(B2).delivered.packets, 0);
}

/// Another interface with the address, the MAC and the port of one that is gone: no flow, no group, no counter of the old one is its own.
#[test]
fn who_comes_next_inherits_nothing() {
    let mut host = Host::new(Cloud::guarded());
    let question = build::udp(to_router(A1), socket(A1, false, 40_000), socket(B1, false, 53), b"x");
    let answer = build::udp(to_router(B1), socket(B1, false, 53), socket(A1, false, 40_000), b"y");
    let by_group = RulePeer::Group {
        group: group_id(A),
        owner: "111111111111".parse().unwrap(),
        vpc: vpc_id(A),
        peering: Some(pcx()),
    };
    host.edit(|cloud| {
        cloud.rules(B, vec![rule(model::Direction::Ingress, IpProtocol::UDP, port(53), by_group)]);
    });
    host.send(A1, &question).delivered();
    host.send(B1, &answer).delivered();
    let (flows, next) = (host.shared.flows(), id(9_999));
    // The records change as they do when an interface is deleted and another one made; its instance comes without A's group.
    let interface = host.cloud.interface(A1);
    interface.id = next;
    interface.groups = std::collections::BTreeSet::from([id(77)]);
    for member in host.cloud.slice(B).peers.iter_mut().flat_map(|peer| &mut peer.members) {
        if member.interface == A1.eni() {
            member.interface = next;
            member.groups = std::collections::BTreeSet::from([id(77)]);
        }
    }
    let slices = host.cloud.arcs();
    let slices = || slices.iter().map(|slice| &**slice);
    let bindings: Vec<Binding> = GUESTS
        .iter()
        .map(|guest| Binding {
            interface: if *guest == A1 { next } else { guest.eni() },
            ..crate::world::binding(*guest, crate::world::MTU)
        })
        .collect();
    let tables = Tables::compile(slices(), host.shared.generation() + 1);
    host.shared.apply(Arc::new(tables), Ports::new(slices(), &bindings));
    assert_eq!(host.counters(A1).received.packets, 0, "counters begin at nothing");
    assert_eq!(host.send(B1, &answer).code(), "D22", "nobody at A asked");
    assert_eq!(host.send(A1, &question).code(), "D05", "its group is another one, without rules");
    host.worker.handle_timeout(host.now);
    for _ in 0..16 {
        host.pass_time(model::Duration::seconds(1));
        host.worker.handle_timeout(host.now);
    }
    assert!(host.shared.flows() < flows, "what the old one had open was given back");
}

#[test]
fn before_the_law_is_known_nothing_passes() {
    let shared = Arc::new(Shared::new(config()));
    let mut worker = shared.worker();
    let frame = build::with_vnet(&VnetHeader::default(), &udp(link(A1, A2), A1.v4().into(), A2.v4().into(), 53));
    let mut send = |shared: &Shared| {
        let mut buf = vec![0; 4096];
        buf[..frame.len()].copy_from_slice(&frame);
        let before = shared.stray_counters().denied_total().packets;
        match worker.guest_frame(port_of(A1), &mut buf, frame.len(), crate::world::START) {
            Action::Drop(denied) => (denied.code(), shared.stray_counters().denied_total().packets - before),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(send(&shared), ("D02", 1), "its device is read, and nothing else is known");
    // The device is plugged in, and the intent does not name its interface yet, or no longer.
    let bindings: Vec<Binding> = GUESTS.iter().map(|guest| crate::world::binding(*guest, 1500)).collect();
    shared.apply(Arc::default(), Ports::new([], &bindings));
    assert_eq!(send(&shared), ("D02", 1));
    // The port is known, the law is not: it is nobody's that sends.
    let cloud = Cloud::open();
    let slices = cloud.arcs();
    shared.apply(Arc::default(), Ports::new(slices.iter().map(|slice| &**slice), &bindings));
    assert_eq!(send(&shared).0, "D02");
}

#[test]
fn what_is_for_many_reaches_nobody() {
    let mut host = Host::new(Cloud::open());
    for dst in
        ["224.0.0.1", "224.0.0.251", "239.1.2.3", "240.0.0.1", "255.255.255.255", "ff02::1", "ff02::fb", "ff0e::1"]
    {
        let (src, dst) = (A1.address(dst.contains(':')), ip(dst));
        let mac = match dst {
            IpAddr::V6(v6) => MacAddr::of_multicast_ipv6(v6),
            IpAddr::V4(_) => MacAddr::BROADCAST,
        };
        for mac in [mac, router(A1), A2.mac()] {
            let code = host.send(A1, &udp(Link { src: A1.mac(), dst: mac }, src, dst, 5353)).code();
            assert!(["D04", "D08"].contains(&code), "{dst} by {mac}: {code}");
        }
    }
    for mac in [MacAddr::BROADCAST, MacAddr([1, 0, 0x5e, 0, 0, 1]), MacAddr([0x33, 0x33, 0, 0, 0, 1])] {
        let frame = udp(Link { src: A1.mac(), dst: mac }, A1.v4().into(), A2.v4().into(), 53);
        assert_eq!(host.send(A1, &frame).code(), "D04", "one guest's address, sent to {mac}");
    }
    assert_eq!(host.send(A1, &udp(to_router(A1), A1.v4().into(), ip("10.16.1.255"), 53)).code(), "D14");
    let delivered: u64 = GUESTS.iter().map(|guest| host.counters(*guest).delivered.packets).sum();
    assert_eq!((delivered, host.transmits().len()), (0, 0));
}
