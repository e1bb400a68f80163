//! NAT gateways: X's subnet routes to one in another subnet of A, Y is behind the peering, Z in A itself (spec 8.8, decision 0034).

use model::{AclAction, IpProtocol, NatGatewayId, NetworkAclEntry, Ports};

use super::*;

const GATEWAY: &str = "10.16.9.9";
const FAR: &str = "198.51.100.7";

struct Way {
    pair: Pair,
    /// The gateway's subnet.
    sn: SubnetId,
    id: NatGatewayId,
    n: NetworkInterfaceId,
}

impl Way {
    fn new() -> Way {
        let mut pair = Pair::new(false);
        let sn = pair.lab.subnet(pair.a, &["10.16.9.0/24"]);
        let (id, n) = pair.lab.nat_gateway(sn, &[GATEWAY]);
        pair.lab.own_table(pair.sx, &[("0.0.0.0/0", RouteTarget::NatGateway(id))]);
        // The gateway alone leads to B: X's own table knows no peering.
        Way { pair, sn, id, n }
    }

    fn leave(&self, from: NetworkInterfaceId, flow: &Flow) -> Result<Next, Denied> {
        egress(&self.pair.lab.compile(), from, flow, L2::Router, None, &mut ())
    }

    fn arrive(&self, next: &Next, flow: &Flow) -> Result<Admit, Denied> {
        ingress(&self.pair.lab.compile(), next.interface, &next.origin, flow, None, &mut ())
    }

    /// Into the gateway.
    fn enter(&self, flow: &Flow) -> Result<Admit, Denied> {
        let next = self.leave(self.pair.x, flow)?;
        assert_eq!(next.interface, self.n);
        self.arrive(&next, flow)
    }

    /// As the gateway sends it on.
    fn translated(&self, flow: &Flow) -> Flow {
        let Flow { dst, l4, .. } = *flow;
        let L4::Tcp { dst: port, flags, .. } = l4 else { panic!("{flow:?}") };
        Flow::tcp(p(GATEWAY), 2000, dst, port, flags)
    }
}

fn deny(block: &str) -> NetworkAclEntry {
    NetworkAclEntry { protocol: IpProtocol::All, action: AclAction::Deny, cidr: p(block), ports: Ports::Any }
}

#[test]
fn out_through_the_gateway_over_the_peering_and_home() {
    let way = Way::new();
    let out = way.pair.open();
    let next = way.leave(way.pair.x, &out).unwrap();
    assert_eq!((next.interface, next.origin.scope, next.track), (way.n, Scope::RouteTarget(way.n), Track::New));
    assert_eq!(way.arrive(&next, &out), Ok(Admit { peering: None, track: Track::Related }));
    let outside = way.translated(&out);
    let next = way.leave(way.n, &outside).unwrap();
    assert_eq!((next.interface, next.peering, next.origin.interface), (way.pair.y, Some(way.pair.pcx), Some(way.n)));
    assert_eq!(
        way.arrive(&next, &outside).map(|admit| admit.peering),
        Ok(Some(way.pair.pcx)),
        "B's rule admits A's block"
    );

    let reply = outside.reversed();
    let known = Some(Tracked::Established);
    let next = egress(&way.pair.lab.compile(), way.pair.y, &reply, L2::Router, known, &mut ()).unwrap();
    assert_eq!((next.interface, next.origin.interface), (way.n, Some(way.pair.y)));
    assert_eq!(code(way.arrive(&next, &reply)), "passes");
    let home = out.reversed();
    let next = way.leave(way.n, &home).unwrap();
    assert_eq!(
        (next.interface, next.origin.interface),
        (way.pair.x, None),
        "not the gateway's address: the sender is lost"
    );
    assert_eq!(
        code(way.arrive(&next, &home)),
        "D22",
        "X asked, so connection tracking lets it in, and nothing else does"
    );
}

/// 6.4.3: automatically tracked regardless of rules.
#[test]
fn what_goes_through_a_gateway_is_tracked_whatever_the_rules_say() {
    let mut way = Way::new();
    let group = way.pair.lab.group(way.pair.a);
    for direction in [Direction::Ingress, Direction::Egress] {
        way.pair.lab.allow_all(group, direction);
    }
    way.pair.lab.set_groups(way.pair.x, &[group]);
    let track = |dst: &str| way.leave(way.pair.x, &Flow::udp(way.pair.xs, 1, p(dst), 53)).unwrap().track;
    assert_eq!(track(FAR), Track::New);
    assert!(matches!(track(GATEWAY), Track::Untracked { .. }), "to the gateway itself as to anybody");
}

#[test]
fn the_acls_of_both_subnets_judge_and_groups_of_the_gateway_do_not_exist() {
    for (at_gateway, ingress, block, wanted) in
        [(false, false, "198.51.100.0/24", "D07"), (true, true, "10.16.1.0/24", "D19")]
    {
        let mut way = Way::new();
        let subnet = if at_gateway { way.sn } else { way.pair.sx };
        way.pair.lab.edit_acl(subnet, |acl| {
            let entries = if ingress { &mut acl.ingress } else { &mut acl.egress };
            entries.insert(1, deny(block));
        });
        let flow = Flow { dst: p(FAR), ..way.pair.open() };
        assert_eq!(code(way.enter(&flow)), wanted);
    }
    let mut way = Way::new();
    way.pair.lab.edit_acl(way.sn, |acl| acl.egress.extend([(1, deny("10.17.0.0/16"))]));
    assert_eq!(code(way.leave(way.n, &way.translated(&way.pair.open()))), "D07");
    let mut trail = alloc::vec::Vec::new();
    let way = Way::new();
    let tables = way.pair.lab.compile();
    egress(&tables, way.n, &way.translated(&way.pair.open()), L2::Router, None, &mut trail).unwrap();
    assert!(!trail.iter().any(|step| matches!(step, Step::Group { .. } | Step::Tracking { .. })), "{trail:?}");
}

/// 6.5.5: a reference to X's group does not match what comes out of the gateway.
#[test]
fn who_sent_it_is_lost_behind_the_gateway() {
    let mut way = Way::new();
    let gx = way.pair.lab.slices[&way.pair.a].vpc.default_group;
    let group = way.pair.lab.group(way.pair.b);
    let reference = way.pair.lab.member_of(gx);
    way.pair.lab.allow(group, Direction::Ingress, IpProtocol::All, Ports::Any, reference);
    way.pair.lab.set_groups(way.pair.y, &[group]);
    let outside = way.translated(&way.pair.open());
    let next = way.leave(way.n, &outside).unwrap();
    assert_eq!(code(way.arrive(&next, &outside)), "D22");
}

#[test]
fn a_gateway_serves_its_own_vpc_only() {
    let mut way = Way::new();
    // A router of A's that forwards for somebody elsewhere.
    way.pair.lab.edit_interface(way.pair.x, |x| x.source_dest_check = false);
    let foreign = Flow { src: p("172.16.0.5"), dst: p(FAR), ..way.pair.open() };
    let denied = way.enter(&foreign).unwrap_err();
    assert_eq!(denied, Denied::NatExhausted { gateway: way.n, cause: NatCause::SourceOutsideVpc });
    assert_eq!(denied.analyzer_code(), "NGW_REQUIRES_SOURCE_IN_VPC");
    assert_eq!(code(way.enter(&Flow { src: p("10.16.1.77"), ..foreign })), "passes", "any address of the vpc's");
    // And from B nobody gets there at all: the peering leads to A's addresses only (D12).
    let pair = &mut way.pair;
    pair.lab.own_table(pair.sy, &[("0.0.0.0/0", RouteTarget::Peering(pair.pcx))]);
    pair.lab.set_groups(pair.y, &[]);
    let group = pair.lab.group(pair.b);
    pair.lab.allow_all(group, Direction::Egress);
    pair.lab.set_groups(pair.y, &[group]);
    let stranger = Flow { src: way.pair.ys, dst: p(FAR), ..way.pair.open() };
    assert_eq!(code(way.leave(way.pair.y, &stranger)), "D12");
}

#[test]
fn a_route_to_no_gateway_is_a_blackhole_and_what_is_not_translated_is_named() {
    let mut way = Way::new();
    let far = Flow { dst: p(FAR), ..way.pair.open() };
    assert_eq!(code(way.leave(way.pair.x, &far)), "passes");
    way.pair.lab.own_table(way.sn, &[("0.0.0.0/0", RouteTarget::NatGateway(way.id))]);
    assert_eq!(code(way.leave(way.n, &way.translated(&far))), "D39", "a gateway's packets go to no gateway");
    let a = way.pair.a;
    let mut gone = way.pair.lab.clone();
    gone.slice(a).nat_gateways.clear();
    assert_eq!(code(egress(&gone.compile(), way.pair.x, &far, L2::Router, None, &mut ())), "D09");
    // An interface that is no gateway's makes none, whatever the slice says.
    let x = way.pair.x;
    way.pair.lab.slice(a).nat_gateways.insert(way.id, x);
    assert_eq!(code(way.leave(way.pair.x, &far)), "D09");
    let mut six = Pair::new(true);
    let sn = six.lab.subnet(six.a, &["10.16.9.0/24"]);
    let (id, _) = six.lab.nat_gateway(sn, &[GATEWAY]);
    six.lab.own_table(six.sx, &[("::/0", RouteTarget::NatGateway(id))]);
    assert_eq!(code(six.leave(&six.open())), "D39");
}

#[test]
fn a_gateway_that_ended_carries_nothing() {
    let mut way = Way::new();
    way.pair.lab.endpoint(way.n).is_up = false;
    let far = Flow { dst: p(FAR), ..way.pair.open() };
    assert_eq!(code(way.enter(&far)), "D20");
    assert_eq!(code(way.leave(way.n, &way.translated(&far))), "D02");
}

/// The neighbours' own law is as it was: nothing but the gateway's interface lacks groups.
#[test]
fn the_gateway_is_known_by_its_interface() {
    let way = Way::new();
    let tables = way.pair.lab.compile();
    assert_eq!(tables.nat_gateway(way.n), Some(&[p(GATEWAY)][..]));
    assert_eq!(tables.nat_gateway(way.pair.x), None);
    assert_eq!(tables.nat_gateways_on(p("host-1")).collect::<alloc::vec::Vec<_>>(), [way.n]);
    assert_eq!(tables.nat_gateways_on(p("host-2")).count(), 0);
}

/// IPv6 out, and in only what answers, however open the groups are.
#[test]
fn an_egress_only_gateway_lets_answers_in_and_nothing_else() {
    let mut lab = Lab::default();
    let (a, b) = (lab.vpc(&["10.16.0.0/16", "2001:db8:16::/56"]), lab.vpc(&["10.17.0.0/16", "2001:db8:17::/56"]));
    let sx = lab.subnet(a, &["10.16.1.0/24", "2001:db8:16::/64"]);
    let sy = lab.subnet(b, &["10.17.1.0/24", "2001:db8:17::/64"]);
    let (x, y) =
        (lab.interface(sx, &["10.16.1.10", "2001:db8:16::10"]), lab.interface(sy, &["10.17.1.10", "2001:db8:17::10"]));
    let eigw = lab.egress_only_internet_gateway(a);
    lab.route(a, "::/0", RouteTarget::EgressOnlyInternetGateway(eigw));
    let igw = lab.internet_gateway(b);
    lab.route(b, "::/0", RouteTarget::InternetGateway(igw));
    for (vpc, interface) in [(a, x), (b, y)] {
        let group = lab.group(vpc);
        for direction in [Direction::Ingress, Direction::Egress] {
            lab.allow_all(group, direction);
        }
        lab.set_groups(interface, &[group]);
    }
    let ask = Flow::tcp(p("2001:db8:16::10"), 40_000, p("2001:db8:17::10"), 80, TcpFlags::SYN);
    let answer = Flow { l4: L4::Tcp { src: 80, dst: 40_000, flags: TcpFlags::SYN_ACK }, ..ask.reversed() };
    let mut path = Path::new(&lab);
    let unasked = Flow::tcp(answer.src, 80, answer.dst, 22, TcpFlags::SYN);
    assert_eq!(path.send(y, &unasked), Err(Denied::GatewayNoMapping { address: unasked.dst }));
    assert_eq!(path.send(x, &ask), Ok(y));
    assert_eq!(path.send(y, &answer), Ok(x));
    assert_eq!(path.send(y, &unasked), Err(Denied::GatewayNoMapping { address: unasked.dst }), "another port");
    lab.slice(a).egress_only_internet_gateways.clear();
    path.reload(&lab);
    assert_eq!(code(path.send(x, &ask)), "D09");
    assert_eq!(code(path.send(y, &answer)), "D14", "nobody of the internet has the address any more");
}
