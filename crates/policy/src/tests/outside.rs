//! Out of the cloud by the uplink of a host, and in (decision 0049).

use super::*;
use alloc::sync::Arc;

use crate::{Outside, Tables};
use model::HostId;

const X: &str = "10.16.1.10";
const PUBLIC_X: &str = "203.0.113.16";
const X6: &str = "2001:db8:16::10";
const FAR: &str = "9.9.9.9";
const FAR6: &str = "2620:fe::9";
/// The host's own.
const HOST: &str = "9.9.8.1";

/// X in A, with a public address and a way out; everybody may come in.
struct Net {
    lab: Lab,
    a: VpcId,
    x: NetworkInterfaceId,
}

fn here() -> HostId {
    p("host-1")
}

impl Net {
    fn new() -> Net {
        let mut lab = Lab::default();
        let a = lab.vpc(&["10.16.0.0/16", "2001:db8:16::/56"]);
        let sx = lab.subnet(a, &["10.16.1.0/24", "2001:db8:16::/64"]);
        let x = lab.interface(sx, &[X, X6]);
        let gateway = lab.internet_gateway(a);
        for block in ["0.0.0.0/0", "::/0"] {
            lab.route(a, block, RouteTarget::InternetGateway(gateway));
        }
        lab.map_public(x, X, PUBLIC_X);
        let group = lab.group(a);
        lab.allow_all(group, Direction::Ingress);
        lab.allow_all(group, Direction::Egress);
        lab.set_groups(x, &[group]);
        lab.endpoint(x).host = Some(here());
        Net { lab, a, x }
    }

    fn tables(&self, has_uplink: bool) -> Tables {
        let outside = Outside::new(here(), [p("9.9.8.1/32"), p("9.9.8.255/32")]);
        let internet = self.lab.internet().with_outside(has_uplink.then(|| Arc::new(outside)));
        self.lab.compile().with_internet(Arc::new(internet))
    }

    fn leave(&self, has_uplink: bool, dst: &str) -> Result<Next, Denied> {
        let src = if dst.contains(':') { X6 } else { X };
        let flow = Flow::tcp(p(src), 40_000, p(dst), 80, TcpFlags::SYN);
        egress(&self.tables(has_uplink), self.x, &flow, L2::Router, None, &mut ())
    }

    /// From outside, to the public address.
    fn come(&self, flow: &Flow) -> Result<Admit, Denied> {
        let tables = self.tables(true);
        let vpc = tables.vpc_of_public(flow.dst, here())?;
        let (to, translation) = tables.enter(vpc, flow.src, flow.dst)?;
        let arrived = translation.flow(flow);
        let origin = tables.origin(to, Outside::vpc(), Scope::Internet, arrived.src);
        ingress(&tables, to, &origin, &arrived, None, &mut ())
    }
}

#[test]
fn what_no_address_of_the_cloud_is_leaves_where_there_is_an_uplink() {
    let net = Net::new();
    for far in [FAR, FAR6] {
        assert_eq!(code(net.leave(false, far)), "D14");
        let next = net.leave(true, far).unwrap();
        assert!(next.is_outside());
        assert_eq!((next.host, next.origin.interface, next.origin.scope), (Some(here()), Some(net.x), Scope::Internet));
        let public = far.parse::<IpAddr>().unwrap().is_ipv4().then(|| p(PUBLIC_X));
        assert_eq!(next.translation, Translation { src: public, ..Translation::NONE }, "as its public address");
    }
    assert!(!net.leave(true, PUBLIC_X).unwrap().is_outside(), "what is of the cloud stays inside");
    for (closed, reason) in [
        (HOST, "D14"),
        ("9.9.8.255", "D14"),
        ("198.18.7.2", "D14"),
        ("203.0.113.99", "D14"),
        ("192.168.1.1", "D29"),
        ("169.254.1.1", "D04"),
        ("127.0.0.1", "D04"),
        ("224.0.0.1", "D04"),
        ("fe80::1", "D04"),
        ("fd00::1", "D29"),
        ("2001:db8:ffff::1", "D14"),
    ] {
        assert_eq!(code(net.leave(true, closed)), reason, "{closed}");
    }
}

#[test]
fn a_sender_without_a_public_address_does_not_leave() {
    let mut net = Net::new();
    net.lab.edit_interface(net.x, |interface| interface.public.clear());
    assert_eq!(code(net.leave(true, FAR)), "D28");
    net.lab.slice(net.a).internet_gateways.clear();
    assert_eq!(code(net.leave(true, FAR)), "D09");
}

#[test]
fn what_comes_from_outside_is_for_who_lives_here_and_from_nobody_of_the_cloud() {
    let net = Net::new();
    let from = |src: &str, dst: &str| Flow::tcp(p(src), 50_000, p(dst), 22, TcpFlags::SYN);
    assert!(net.come(&from(FAR, PUBLIC_X)).is_ok());
    assert!(net.come(&from(FAR6, X6)).is_ok());
    for (src, dst, reason) in [
        (FAR, "203.0.113.99", "D30"),
        (FAR, X, "D30"),
        (FAR, FAR, "D30"),
        (FAR6, "2001:db8:16::11", "D30"),
        (PUBLIC_X, PUBLIC_X, "D18"),
        ("203.0.113.99", PUBLIC_X, "D18"),
        ("10.16.1.11", PUBLIC_X, "D29"),
        ("192.168.0.1", PUBLIC_X, "D29"),
        ("127.0.0.1", PUBLIC_X, "D18"),
        (HOST, PUBLIC_X, "D18"),
        ("192.0.0.8", PUBLIC_X, "D18"),
        (X6, X6, "D18"),
    ] {
        assert_eq!(code(net.come(&from(src, dst))), reason, "{src} to {dst}");
    }
    let mut net = net;
    net.lab.endpoint(net.x).host = Some(p("host-2"));
    assert_eq!(code(net.come(&from(FAR, PUBLIC_X))), "D30", "it lives elsewhere");
}

#[test]
fn the_host_speaks_as_a_router_only() {
    let net = Net::new();
    let about = Flow::tcp(p(PUBLIC_X), 40_000, p(FAR), 80, TcpFlags::ACK).key();
    for router in [HOST, "192.0.0.8"] {
        let error = |about| Flow::icmp(p(router), p(PUBLIC_X), 3, 4, 0, about);
        assert!(net.come(&error(Some(about))).is_ok());
        let ping = Flow::icmp(p(router), p(PUBLIC_X), 8, 0, 1, None);
        assert_eq!(code(net.come(&ping)), "D18");
    }
}
