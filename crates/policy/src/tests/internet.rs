//! Through Internet gateways, between VPCs that have nothing else to do with each other (spec 8.7-8.9; D28-D30).

use model::{InternetGatewayId, IpProtocol, Ports, RulePeer};

use super::*;
use crate::flow::protocol;

/// X in A and Y in B, each with a public address and a way out. Y serves TCP port 80 to anybody.
struct Net {
    lab: Lab,
    a: VpcId,
    b: VpcId,
    x: NetworkInterfaceId,
    y: NetworkInterfaceId,
    gx: InternetGatewayId,
    gy: InternetGatewayId,
    group: SecurityGroupId,
}

const X: &str = "10.16.1.10";
const Y: &str = "10.17.1.10";
const PUBLIC_X: &str = "203.0.113.16";
const PUBLIC_Y: &str = "203.0.113.17";
const X6: &str = "2001:db8:16::10";
const Y6: &str = "2001:db8:17::10";

impl Net {
    fn new() -> Net {
        let mut lab = Lab::default();
        let a = lab.vpc(&["10.16.0.0/16", "2001:db8:16::/56"]);
        let b = lab.vpc(&["10.17.0.0/16", "2001:db8:17::/56"]);
        let sx = lab.subnet(a, &["10.16.1.0/24", "2001:db8:16::/64"]);
        let sy = lab.subnet(b, &["10.17.1.0/24", "2001:db8:17::/64"]);
        let (x, y) = (lab.interface(sx, &[X, X6]), lab.interface(sy, &[Y, Y6]));
        let [gx, gy] = [a, b].map(|vpc| {
            let gateway = lab.internet_gateway(vpc);
            lab.route(vpc, "0.0.0.0/0", RouteTarget::InternetGateway(gateway));
            lab.route(vpc, "::/0", RouteTarget::InternetGateway(gateway));
            gateway
        });
        lab.map_public(x, X, PUBLIC_X);
        lab.map_public(y, Y, PUBLIC_Y);
        let group = lab.group(b);
        lab.allow_all(group, Direction::Egress);
        lab.allow_tcp(group, 80, "0.0.0.0/0");
        lab.allow_tcp(group, 80, "::/0");
        lab.set_groups(y, &[group]);
        Net { lab, a, b, x, y, gx, gy, group }
    }

    fn open(dst: &str) -> Flow {
        let src = if dst.contains(':') { X6 } else { X };
        Flow::tcp(p(src), 40_000, p(dst), 80, TcpFlags::SYN)
    }

    fn send(&self, flow: &Flow) -> Result<NetworkInterfaceId, Denied> {
        Path::new(&self.lab).send(self.x, flow)
    }
}

#[test]
fn a_question_and_its_answer_find_their_way() {
    let net = Net::new();
    let tables = net.lab.compile();
    let question = Net::open(PUBLIC_Y);
    let next = egress(&tables, net.x, &question, L2::Router, None, &mut ()).unwrap();
    let origin = Origin { vpc: net.a, interface: Some(net.x), scope: Scope::Internet };
    assert_eq!((next.interface, next.vpc, next.origin, next.peering), (net.y, net.b, origin, None));
    let (to, translation) = tables.arriving(&next, &question).unwrap();
    let arrived = translation.flow(&question);
    assert_eq!((to, arrived.src, arrived.dst), (net.y, p(PUBLIC_X), p(Y)));
    assert_eq!(tables.origin(net.y, net.a, Scope::Internet, arrived.src), origin, "the receiver knows by itself");

    let mut path = Path::new(&net.lab);
    path.send(net.x, &question).unwrap();
    let answer = Flow::tcp(arrived.dst, 80, arrived.src, 40_000, TcpFlags::SYN_ACK);
    assert_eq!(path.send(net.y, &answer), Ok(net.x), "no rule of X admits it but that it asked");
    let unasked = Flow::tcp(arrived.dst, 80, arrived.src, 40_001, TcpFlags::SYN);
    assert_eq!(code(path.send(net.y, &unasked)), "D22");
}

#[test]
fn ipv6_passes_as_it_is() {
    let mut net = Net::new();
    let question = Net::open(Y6);
    let tables = net.lab.compile();
    let next = egress(&tables, net.x, &question, L2::Router, None, &mut ()).unwrap();
    assert_eq!((next.origin.scope, next.translation), (Scope::Internet, Translation::NONE));
    assert_eq!(net.send(&question), Ok(net.y));
    net.lab.slice(net.b).internet_gateways.clear();
    assert_eq!(code(net.send(&question)), "D14", "no gateway, no address on the internet");
}

#[test]
fn a_vpcs_own_public_address_leads_through_its_gateway_too() {
    let net = Net::new();
    assert_eq!(code(net.send(&Net::open(PUBLIC_X))), "D22", "from outside: its own group is not asked for");
    let mut net = net;
    let own = net.lab.slice(net.a).vpc.default_group;
    net.lab.allow(own, Direction::Ingress, IpProtocol::TCP, Ports::Any, RulePeer::Cidr(p("203.0.113.16/32")));
    assert_eq!(net.send(&Net::open(PUBLIC_X)), Ok(net.x));
}

#[test]
fn groups_mean_private_addresses() {
    let mut net = Net::new();
    let (pcx, gx) = (net.lab.peering(net.a, net.b), net.lab.slice(net.a).vpc.default_group);
    net.lab.edit_group(net.group, |group| group.rules.clear());
    let peer = RulePeer::Group { group: gx, owner: p("111111111111"), vpc: net.a, peering: Some(pcx) };
    net.lab.allow(net.group, Direction::Ingress, IpProtocol::TCP, Ports::Any, peer);
    assert_eq!(code(net.send(&Net::open(PUBLIC_Y))), "D22", "X bears the group, and comes from outside");
    net.lab.allow_tcp(net.group, 80, "10.16.0.0/16");
    assert_eq!(code(net.send(&Net::open(PUBLIC_Y))), "D22", "its private block is not seen either");
    net.lab.allow_tcp(net.group, 80, "203.0.113.16/32");
    assert_eq!(net.send(&Net::open(PUBLIC_Y)), Ok(net.y));
}

#[test]
fn acls_see_public_addresses_of_the_other_side() {
    for (egress, block, expected) in
        [(true, "203.0.113.17/32", "D07"), (false, "203.0.113.16/32", "D19"), (false, "10.16.0.0/16", "passes")]
    {
        let mut net = Net::new();
        let (vpc, subnets) = if egress { (net.a, 0) } else { (net.b, 0) };
        let subnet = net.lab.slice(vpc).subnets[subnets].id;
        let entry = model::NetworkAclEntry {
            protocol: IpProtocol::All,
            action: model::AclAction::Deny,
            cidr: p(block),
            ports: Ports::Any,
        };
        net.lab.edit_acl(subnet, |acl| {
            let entries = if egress { &mut acl.egress } else { &mut acl.ingress };
            entries.insert(1, entry);
        });
        assert_eq!(code(net.send(&Net::open(PUBLIC_Y))), expected, "{block}");
    }
}

#[test]
fn d28_a_source_without_a_public_address() {
    let mut net = Net::new();
    net.lab.edit_interface(net.x, |x| x.public.clear());
    assert_eq!(net.send(&Net::open(PUBLIC_Y)), Err(Denied::GatewayNoPublicAddress));
    assert_eq!(net.send(&Net::open(Y6)), Ok(net.y), "IPv6 needs none");
    // A mapping of another address of the same interface is none of this one's.
    net.lab.edit_interface(net.x, |x| x.private_ips.push(p("10.16.1.11")));
    net.lab.map_public(net.x, "10.16.1.11", PUBLIC_X);
    assert_eq!(net.send(&Net::open(PUBLIC_Y)), Err(Denied::GatewayNoPublicAddress));
    // Who forwards for others forwards nothing through a gateway.
    net.lab.edit_interface(net.x, |x| x.source_dest_check = false);
    for (src, dst) in [("10.16.1.99", PUBLIC_Y), ("2001:db8:16::99", Y6)] {
        let flow = Flow { src: p(src), ..Net::open(dst) };
        assert_eq!(net.send(&flow), Err(Denied::GatewayNoPublicAddress), "{src}");
    }
}

#[test]
fn d29_private_and_shared_addresses() {
    let net = Net::new();
    for (dst, analyzer) in [
        ("10.99.0.1", "IGW_DESTINATION_ADDRESS_NOT_IN_RFC1918_EGRESS"),
        ("172.16.0.1", "IGW_DESTINATION_ADDRESS_NOT_IN_RFC1918_EGRESS"),
        ("192.168.0.1", "IGW_DESTINATION_ADDRESS_NOT_IN_RFC1918_EGRESS"),
        ("100.64.0.1", "IGW_DESTINATION_ADDRESS_NOT_IN_RFC6598_EGRESS"),
        ("fd99::1", "IGW_DESTINATION_ADDRESS_NOT_IN_RFC1918_EGRESS"),
    ] {
        let denied = net.send(&Net::open(dst)).unwrap_err();
        assert_eq!(denied, Denied::GatewayPrivateAddress { direction: Direction::Egress, address: p(dst) });
        assert_eq!((denied.code(), denied.analyzer_code()), ("D29", analyzer), "{dst}");
    }
    // A host that did not translate.
    let origin = Origin { vpc: net.a, interface: Some(net.x), scope: Scope::Internet };
    let flow = Flow { dst: p(Y), ..Net::open(PUBLIC_Y) };
    let denied = ingress(&net.lab.compile(), net.y, &origin, &flow, None, &mut ()).unwrap_err();
    assert_eq!(denied, Denied::GatewayPrivateAddress { direction: Direction::Ingress, address: p(X) });
    assert_eq!(denied.analyzer_code(), "IGW_SOURCE_ADDRESS_NOT_IN_RFC1918_INGRESS");
}

#[test]
fn d30_a_destination_that_stands_for_nobody() {
    let unmapped = |denied| assert_eq!(denied, Err(Denied::GatewayNoMapping { address: p(PUBLIC_Y) }));
    let mut net = Net::new();
    net.lab.slice(net.b).internet_gateways.clear();
    unmapped(net.send(&Net::open(PUBLIC_Y)));
    assert_eq!(code(net.send(&Net::open("198.51.100.1"))), "D14", "of no cloud that is known here");

    // The sender has not heard yet: the receiver's own view decides.
    let late = Net::new();
    let next = egress(&late.lab.compile(), late.x, &Net::open(PUBLIC_Y), L2::Router, None, &mut ()).unwrap();
    unmapped(net.lab.compile().arriving(&next, &Net::open(PUBLIC_Y)).map(|(to, _)| to));
    let mut moved = Net::new();
    moved.lab.edit_interface(moved.y, |y| y.public.clear());
    let tables = moved.lab.compile();
    unmapped(tables.arriving(&next, &Net::open(PUBLIC_Y)).map(|(to, _)| to));
    let flow = Flow { src: p(PUBLIC_X), dst: p(Y), ..Net::open(PUBLIC_Y) };
    let denied = ingress(&tables, moved.y, &next.origin, &flow, None, &mut ());
    assert_eq!(denied, Err(Denied::GatewayNoMapping { address: p(Y) }), "a private address is nobody's from outside");
    moved.lab.slice(moved.b).internet_gateways.clear();
    assert_eq!(code(ingress(&moved.lab.compile(), moved.y, &next.origin, &flow, None, &mut ())), "D30");
}

/// A host that lies about who sent it: another VPC's address, another interface's, one that stands for nobody.
#[test]
fn d18_a_public_address_speaks_for_whom_it_stands() {
    let net = Net::new();
    let tables = net.lab.compile();
    let judge = |vpc, interface, src: &str| {
        let origin = Origin { vpc, interface, scope: Scope::Internet };
        let flow = Flow { src: p(src), dst: p(Y), ..Net::open(PUBLIC_Y) };
        code(ingress(&tables, net.y, &origin, &flow, None, &mut ()))
    };
    assert_eq!(judge(net.a, Some(net.x), PUBLIC_X), "passes");
    for (vpc, interface, src) in [
        (net.b, Some(net.x), PUBLIC_X),
        (net.a, Some(net.y), PUBLIC_X),
        (net.a, None, PUBLIC_X),
        (net.a, Some(net.x), PUBLIC_Y),
        (net.a, Some(net.x), "203.0.113.99"),
        (net.a, None, "203.0.113.99"),
    ] {
        assert_eq!(judge(vpc, interface, src), "D18", "{vpc} {interface:?} {src}");
    }
    // And of a VPC whose gateway is gone.
    let mut cut = Net::new();
    cut.lab.slice(cut.a).internet_gateways.clear();
    let origin = Origin { vpc: cut.a, interface: Some(cut.x), scope: Scope::Internet };
    let flow = Flow { src: p(PUBLIC_X), dst: p(Y), ..Net::open(PUBLIC_Y) };
    assert_eq!(code(ingress(&cut.lab.compile(), cut.y, &origin, &flow, None, &mut ())), "D18");
}

/// A gateway that is another VPC's, or detached, is a blackhole; the way back needs one too.
#[test]
fn each_side_needs_its_own_gateway_and_route() {
    let mut net = Net::new();
    net.lab.slice(net.a).internet_gateways.clear();
    assert_eq!(code(net.send(&Net::open(PUBLIC_Y))), "D09");
    let mut net = Net::new();
    let (gx, gy) = (net.gx, net.gy);
    net.lab.route(net.a, "198.51.100.0/24", RouteTarget::InternetGateway(gy));
    assert_eq!(code(net.send(&Net::open("198.51.100.1"))), "D09");
    assert_ne!(gx, gy);
    let other = Flow::other(p(X), p(PUBLIC_Y), protocol::ICMP + 46);
    assert_eq!(code(net.send(&other)), "D22", "any protocol goes; Y serves port 80 alone");
}
