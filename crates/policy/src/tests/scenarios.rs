//! The spec's acceptance scenarios that concern packets (appendix B), and the walk's finer points.

use alloc::sync::Arc;
use alloc::vec::Vec;

use model::{
    AclAction, Direction, IpProtocol, NetworkAclEntry, PeeringStatus, Ports, ResourceId, RouteTarget, RulePeer,
};

use super::*;

fn answer(flow: &Flow, flags: TcpFlags) -> Flow {
    match flow.reversed() {
        Flow { l4: L4::Tcp { src, dst, .. }, src: from, dst: to, .. } => Flow::tcp(from, src, to, dst, flags),
        other => other,
    }
}

fn with(flow: &Flow, flags: TcpFlags) -> Flow {
    answer(&answer(flow, flags), flags)
}

/// Scenario 1: with one route the request arrives and the answer does not; with both it works.
#[test]
fn a_route_on_each_side_is_needed() {
    for mut pair in Pair::both() {
        pair.lab.own_table(pair.sy, &[]);
        let mut path = Path::new(&pair.lab);
        let syn_ack = answer(&pair.open(), TcpFlags::SYN_ACK);
        assert_eq!(path.send(pair.x, &pair.open()), Ok(pair.y));
        assert_eq!(code(path.send(pair.y, &syn_ack)), "D08");
        let block = if pair.xs.is_ipv4() { "10.16.0.0/16" } else { "fd16::/56" };
        pair.lab.own_table(pair.sy, &[(block, pair.peering())]);
        path.reload(&pair.lab);
        assert_eq!(path.send(pair.y, &syn_ack), Ok(pair.x));
    }
}

/// Scenario 4, with 5.11: the route follows the peering's state, tracked flows are cut, a new peering does not revive the route.
#[test]
fn deleting_the_peering_cuts_open_flows() {
    for mut pair in Pair::both() {
        pair.lab.set_status(pair.pcx, PeeringStatus::PendingAcceptance);
        assert_eq!(code(pair.send()), "D09");
        pair.lab.set_status(pair.pcx, PeeringStatus::Active);
        let mut path = Path::new(&pair.lab);
        assert_eq!(path.send(pair.x, &pair.open()), Ok(pair.y));
        assert_eq!(path.send(pair.y, &answer(&pair.open(), TcpFlags::SYN_ACK)), Ok(pair.x));
        pair.lab.set_status(pair.pcx, PeeringStatus::Deleted);
        path.reload(&pair.lab);
        let data = with(&pair.open(), TcpFlags::ACK);
        assert_eq!(code(path.send(pair.x, &data)), "D09");
        assert_eq!(code(path.send(pair.y, &answer(&data, TcpFlags::ACK))), "D09");
        pair.lab.peering(pair.a, pair.b);
        path.reload(&pair.lab);
        assert_eq!(code(path.send(pair.x, &data)), "D09", "the route names the old peering");
    }
}

/// Scenario 5 and 11.4: through B there is no way to C, whatever the routes say.
#[test]
fn peering_is_not_transitive() {
    let mut pair = Pair::new(false);
    let c = pair.lab.vpc(&["10.18.0.0/16"]);
    let sz = pair.lab.subnet(c, &["10.18.1.0/24"]);
    pair.lab.interface(sz, &["10.18.1.10"]);
    let bc = pair.lab.peering(pair.b, c);
    pair.lab.route_both(bc);
    pair.lab.route(pair.a, "10.18.0.0/16", pair.peering());
    let to_c = Flow { dst: p("10.18.1.10"), ..pair.open() };
    assert_eq!(pair.leave(&to_c), Err(Denied::OutsidePeer { peering: pair.pcx, address: to_c.dst }));
    // A router inside B does not help: what it forwards has a source outside B.
    pair.lab.edit_interface(pair.y, |y| y.source_dest_check = false);
    let forwarded = egress(&pair.lab.compile(), pair.y, &to_c, L2::Router, Some(Tracked::Established), &mut ());
    assert_eq!(forwarded, Err(Denied::OutsideOwn { peering: bc, address: pair.xs }));
}

/// Scenario 6: membership by authenticated VPC and address; staleness and revival.
#[test]
fn a_peers_group_admits_its_members_only() {
    for mut pair in Pair::both() {
        // C is a second peer of B, equal to A in blocks and addresses.
        let c = pair.lab.vpc(&["10.16.0.0/16", "fd16::/56"]);
        let sz = pair.lab.subnet(c, &["10.16.1.0/24", "fd16:0:0:1::/64"]);
        let z = pair.lab.interface(sz, &["10.16.1.10", "fd16:0:0:1::10"]);
        let bc = pair.lab.peering(pair.b, c);
        for block in ["10.17.0.0/16", "fd17::/56"] {
            pair.lab.route(c, block, RouteTarget::Peering(bc));
        }
        let gx = pair.lab.group(pair.a);
        pair.lab.allow_all(gx, Direction::Egress);
        let default = pair.lab.slice(pair.a).vpc.default_group;
        pair.lab.set_groups(pair.x, &[default, gx]);
        pair.lab.edit_group(pair.gy, |group| group.rules.clear());
        let peer = pair.lab.member_of(gx);
        pair.lab.allow(pair.gy, Direction::Ingress, IpProtocol::TCP, Ports::Range { from: 80, to: 80 }, peer);

        let mut path = Path::new(&pair.lab);
        assert_eq!(path.send(pair.x, &pair.open()), Ok(pair.y));
        let mut path = Path::new(&pair.lab);
        assert_eq!(code(path.send(z, &pair.open())), "D22", "equal address, other VPC");
        let mut liar = pair.lab.clone();
        let group_c = liar.slice(c).vpc.default_group;
        liar.set_groups(z, &[group_c, gx]);
        assert_eq!(code(Path::new(&liar).send(z, &pair.open())), "D22", "a group counts in its own VPC only");

        let mut detached = pair.lab.clone();
        detached.set_groups(pair.x, &[default]);
        assert_eq!(code(Path::new(&detached).send(pair.x, &pair.open())), "D22");

        pair.lab.set_status(pair.pcx, PeeringStatus::Deleted);
        let again = pair.lab.peering(pair.a, pair.b);
        for (vpc, block) in [(pair.a, "10.17.1.0/24"), (pair.a, "fd17:0:0:1::/64")] {
            pair.lab.route(vpc, block, RouteTarget::Peering(again));
        }
        assert_eq!(Path::new(&pair.lab).send(pair.x, &pair.open()), Ok(pair.y), "the rule revives with a new peering");
    }
}

/// Scenario 8: the ACL stops the answer at X's subnet although the groups would let it in.
#[test]
fn an_acl_judges_answers_too() {
    for mut pair in Pair::both() {
        let entry = |cidr| NetworkAclEntry {
            protocol: IpProtocol::TCP,
            action: AclAction::Deny,
            cidr: p(cidr),
            ports: Ports::Range { from: 1024, to: u16::MAX },
        };
        pair.lab.edit_acl(pair.sx, |acl| {
            acl.ingress.insert(10, entry("0.0.0.0/0"));
            acl.ingress.insert(11, entry("::/0"));
        });
        let mut path = Path::new(&pair.lab);
        assert_eq!(path.send(pair.x, &pair.open()), Ok(pair.y));
        assert_eq!(code(path.send(pair.y, &answer(&pair.open(), TcpFlags::SYN_ACK))), "D19");
    }
}

/// Scenario 11 and 5.9: the routes of A decide, for answers too, not the peering on which the question came.
#[test]
fn two_peers_with_equal_blocks() {
    let mut lab = Lab::default();
    let a = lab.vpc(&["10.20.0.0/16"]);
    let sa = lab.subnet(a, &["10.20.1.0/24"]);
    let x = lab.interface(sa, &["10.20.1.10"]);
    let [(b, y), (c, z)] = [(); 2].map(|()| {
        let vpc = lab.vpc(&["10.0.0.0/16"]);
        let subnet = lab.subnet(vpc, &["10.0.0.0/24"]);
        let interface = lab.interface(subnet, &["10.0.0.9", "10.0.0.77"]);
        let group = lab.slice(vpc).vpc.default_group;
        lab.allow_tcp(group, 80, "10.20.0.0/16");
        (vpc, interface)
    });
    let group = lab.slice(a).vpc.default_group;
    lab.allow_tcp(group, 80, "10.0.0.0/8");
    let (ab, ac) = (lab.peering(a, b), lab.peering(a, c));
    lab.route(a, "10.0.0.77/32", RouteTarget::Peering(ab));
    lab.route(a, "10.0.0.0/16", RouteTarget::Peering(ac));
    lab.route(b, "10.20.0.0/16", RouteTarget::Peering(ab));
    let mut path = Path::new(&lab);
    let to = |dst| Flow::tcp(p("10.20.1.10"), 5, p(dst), 80, TcpFlags::SYN);
    assert_eq!(path.send(x, &to("10.0.0.77")), Ok(y), "the longer route leads to B");
    assert_eq!(path.send(x, &to("10.0.0.9")), Ok(z), "the shorter one to C");
    let question = Flow::tcp(p("10.0.0.9"), 6, p("10.20.1.10"), 80, TcpFlags::SYN);
    assert_eq!(path.send(y, &question), Ok(x), "no reverse-path check");
    let next =
        egress(&path.tables, x, &answer(&question, TcpFlags::SYN_ACK), L2::Router, Some(Tracked::Established), &mut ());
    assert_eq!(next.unwrap().interface, z, "the answer follows A's routes to C");
}

/// Scenario 12: revoking the rule cuts an untracked flow, a tracked one lives on.
#[test]
fn revoking_a_rule_cuts_untracked_flows_only() {
    for mut pair in Pair::both() {
        pair.lab.allow_all(pair.gy, Direction::Egress);
        let (mut tracked, mut untracked) = (pair.lab.clone(), pair.lab);
        untracked.edit_group(pair.gy, |group| group.rules.retain(|_, r| r.direction == Direction::Egress));
        untracked.allow_tcp(pair.gy, 80, "0.0.0.0/0");
        untracked.allow_tcp(pair.gy, 80, "::/0");

        let syn = Flow::tcp(pair.xs, 40_000, pair.ys, 80, TcpFlags::SYN);
        let (syn_ack, data) = (answer(&syn, TcpFlags::SYN_ACK), with(&syn, TcpFlags::ACK));
        for (lab, survives) in [(&mut tracked, true), (&mut untracked, false)] {
            let mut path = Path::new(lab);
            for (from, flow) in [(pair.x, &syn), (pair.y, &syn_ack), (pair.x, &data)] {
                assert_eq!(code(path.send(from, flow)), "passes");
            }
            lab.edit_group(pair.gy, |group| group.rules.retain(|_, r| r.direction == Direction::Egress));
            path.reload(lab);
            // Y may go on speaking, as its egress rule says; that brings nothing back to life.
            assert_eq!(path.send(pair.y, &answer(&data, TcpFlags::ACK)), Ok(pair.x));
            assert_eq!(code(path.send(pair.x, &data)), if survives { "passes" } else { "D22" });
        }
    }
}

/// 4.5.3, 7.3: neighbours ask neither routes nor ACLs, but groups; through the router the sender's ACL is asked.
#[test]
fn neighbours_ask_groups_only() {
    for mut pair in Pair::both() {
        let neighbour = pair.lab.interface(pair.sx, &["10.16.1.20", "fd16:0:0:1::20"]);
        let dst = p(if pair.xs.is_ipv4() { "10.16.1.20" } else { "fd16:0:0:1::20" });
        let flow = Flow { dst, ..pair.open() };
        pair.lab.edit_acl(pair.sx, |acl| {
            acl.ingress.clear();
            acl.egress.clear();
        });
        pair.lab.slice(pair.a).route_tables.clear();
        let tables = pair.lab.compile();
        let mut trail = Vec::new();
        let next = egress(&tables, pair.x, &flow, L2::Neighbour, None, &mut trail).unwrap();
        assert_eq!((next.interface, next.origin.scope), (neighbour, Scope::Vpc));
        assert!(trail.contains(&Step::OnLink { subnet: pair.sx }), "{trail:?}");
        assert_eq!(code(ingress(&tables, neighbour, &next.origin, &flow, None, &mut ())), "passes");
        assert_eq!(code(egress(&tables, pair.x, &flow, L2::Router, None, &mut ())), "D07");
        // A frame to a neighbour for someone beyond the subnet goes the way of the router.
        assert_eq!(code(egress(&tables, pair.x, &pair.open(), L2::Neighbour, None, &mut ())), "D07");
        let group = pair.lab.group(pair.a);
        pair.lab.set_groups(neighbour, &[group]);
        assert_eq!(code(ingress(&pair.lab.compile(), neighbour, &next.origin, &flow, None, &mut ())), "D22");
    }
}

/// 6.5.5, 4.3.2: a route to an interface delivers there whatever the destination, and groups are lost on the way.
#[test]
fn a_middlebox_loses_who_sent() {
    for mut pair in Pair::both() {
        let sm = pair.lab.subnet(pair.a, &["10.16.2.0/24", "fd16:0:0:2::/64"]);
        let m = pair.lab.interface(sm, &["10.16.2.5", "fd16:0:0:2::5"]);
        pair.lab.edit_interface(m, |m| m.source_dest_check = false);
        pair.lab.own_table(pair.sx, &[(pair.all(), RouteTarget::NetworkInterface(m))]);
        let tables = pair.lab.compile();
        let next = egress(&tables, pair.x, &pair.open(), L2::Router, None, &mut ()).unwrap();
        assert_eq!(next.origin, Origin { vpc: pair.a, interface: None, scope: Scope::RouteTarget(m) });
        let arrived = ingress(&tables, m, &next.origin, &pair.open(), None, &mut ());
        assert_eq!(code(arrived), "D23", "the default group admits itself, but not through a route");
        assert_eq!(
            tables.origin(m, pair.a, next.origin.scope, pair.xs),
            next.origin,
            "from another host it is the same"
        );
        // Addressed itself, it is an interface like any other.
        let own = Flow { dst: p(if pair.xs.is_ipv4() { "10.16.2.5" } else { "fd16:0:0:2::5" }), ..pair.open() };
        let next = egress(&tables, pair.x, &own, L2::Router, None, &mut ()).unwrap();
        assert_eq!(next.origin, Origin { vpc: pair.a, interface: Some(pair.x), scope: Scope::Vpc });
        assert_eq!(code(ingress(&tables, m, &next.origin, &own, None, &mut ())), "passes");
    }
}

/// 6.5.1 for egress: the destination's group in the VPC to which the route leads.
#[test]
fn an_egress_reference_means_the_vpc_that_the_route_leads_to() {
    for mut pair in Pair::both() {
        let gx = pair.lab.group(pair.a);
        pair.lab.set_groups(pair.x, &[gx]);
        let peer = pair.lab.member_of(pair.gy);
        pair.lab.allow(gx, Direction::Egress, IpProtocol::TCP, Ports::Any, peer);
        assert_eq!(code(pair.send()), "passes");
        // C equals B; the route leads to C, and the group is B's.
        let c = pair.lab.vpc(&["10.17.0.0/16", "fd17::/56"]);
        let sz = pair.lab.subnet(c, &["10.17.1.0/24", "fd17:0:0:1::/64"]);
        pair.lab.interface(sz, &["10.17.1.10", "fd17:0:0:1::10"]);
        let ac = pair.lab.peering(pair.a, c);
        pair.lab.own_table(pair.sx, &[(pair.all(), RouteTarget::Peering(ac))]);
        assert_eq!(code(pair.send()), "D05");
        // Without a route the missing route is the reason, as the order of the walk says.
        pair.lab.own_table(pair.sx, &[]);
        assert_eq!(code(pair.send()), "D08");
    }
}

/// 6.4.1: an error about a tracked flow comes home without a rule; one about another does not.
#[test]
fn icmp_errors_about_tracked_flows_are_admitted() {
    for pair in Pair::both() {
        let mut path = Path::new(&pair.lab);
        assert_eq!(path.send(pair.x, &pair.open()), Ok(pair.y));
        let (kind, code_) = if pair.xs.is_ipv4() { (3, 4) } else { (2, 0) };
        let error = |about: FlowKey| Flow::icmp(pair.ys, pair.xs, kind, code_, 0, Some(about));
        assert_eq!(path.send(pair.y, &error(pair.open().key())), Ok(pair.x));
        let other = Flow::tcp(pair.xs, 40_001, pair.ys, 80, TcpFlags::SYN).key();
        assert_eq!(
            code(path.send(pair.y, &error(other))),
            "D05",
            "Y's group has no egress rule and the flow is not tracked"
        );
        // Sent to someone else than the sender of what it is about.
        let astray =
            Flow { dst: p(if pair.xs.is_ipv4() { "10.16.1.11" } else { "fd16::11" }), ..error(pair.open().key()) };
        assert_eq!(path.conntrack.lookup(pair.x, Direction::Ingress, &astray, path.now), None);
    }
}

/// 8.3 and 5.8.5: any protocol passes by its number; ports of rules do not concern it.
#[test]
fn other_protocols_pass_by_number() {
    for mut pair in Pair::both() {
        let esp = Flow::other(pair.xs, pair.ys, 50);
        assert_eq!(code(pair.try_flow(&esp)), "D22");
        pair.lab.allow(pair.gy, Direction::Ingress, IpProtocol::Number(50), Ports::Any, RulePeer::Cidr(p(pair.all())));
        let mut path = Path::new(&pair.lab);
        assert_eq!(path.send(pair.x, &esp), Ok(pair.y));
        assert_eq!(path.send(pair.y, &esp.reversed()), Ok(pair.x), "answers pass by state");
    }
}

/// The order of steps is normative for traces (11.2).
#[test]
fn the_trail_names_every_stage_in_order() {
    let pair = Pair::new(false);
    let tables = pair.lab.compile();
    let mut trail = Vec::new();
    let next = egress(&tables, pair.x, &pair.open(), L2::Router, None, &mut trail).unwrap();
    ingress(&tables, next.interface, &next.origin, &pair.open(), None, &mut trail).unwrap();
    let name = |step: &Step| match step {
        Step::Interface { .. } => "interface",
        Step::Tracking { .. } => "tracking",
        Step::Group { rule: Some(_), .. } => "group",
        Step::Group { rule: None, .. } => "tracked",
        Step::OnLink { .. } => "on-link",
        Step::Acl { .. } => "acl",
        Step::Route { .. } => "route",
        Step::Peering { .. } => "peering",
        Step::Destination { .. } => "destination",
        Step::EgressOnly { .. } => "egress-only",
        Step::Nat { .. } => "nat",
        Step::Gateway { .. } => "gateway",
        Step::Denied(_) => "denied",
    };
    let names: Vec<_> = trail.iter().map(name).collect();
    let out = ["interface", "tracking", "group", "acl", "route", "peering", "destination"];
    let back = ["interface", "peering", "acl", "tracking", "group"];
    assert_eq!(names, [&out[..], &back[..]].concat());

    let mut trail = Vec::new();
    let wrong = Flow::tcp(pair.xs, 1, pair.ys, 81, TcpFlags::SYN);
    let denied = ingress(&tables, pair.y, &next.origin, &wrong, None, &mut trail).unwrap_err();
    assert_eq!(trail.last(), Some(&Step::Denied(denied)));
}

/// Spec 4.8, 6.3.1: a rule about a list admits whoever is in it now; one rule, one name.
#[test]
fn a_list_in_a_rule_is_what_the_list_holds() {
    for mut pair in Pair::both() {
        let [mine, other]: [&[&str]; 2] = [&["192.0.2.0/24", "10.16.1.10/32", "fd16::/56"], &["192.0.2.0/24"]];
        let list = pair.lab.prefix_list(pair.b, other);
        let group = pair.lab.group(pair.b);
        let ports = Ports::Range { from: 80, to: 80 };
        let rule = pair.lab.allow(group, Direction::Ingress, IpProtocol::TCP, ports, RulePeer::PrefixList(list));
        pair.lab.set_groups(pair.y, &[group]);
        assert_eq!(code(pair.send()), "D22");
        pair.lab.set_prefix_list(pair.b, list, mine);
        assert_eq!(code(pair.send()), "passes");
        let mut trail = Vec::new();
        let tables = pair.lab.compile();
        ingress(&tables, pair.y, &pair.claim(), &pair.open(), None, &mut trail).unwrap();
        let named = trail.iter().find_map(|step| match step {
            Step::Group { rule, .. } => *rule,
            _ => None,
        });
        assert_eq!(named, Some(RuleRef { group, rule }));
        pair.lab.slice(pair.b).prefix_lists.clear();
        assert_eq!(code(pair.send()), "D22", "a list that is not there matches nobody");
    }
}

/// Decision 0027: an entry is a rule, also to the question what is tracked (spec 6.4.2).
#[test]
fn a_list_of_everything_is_untracked_like_a_rule_for_everything() {
    for mut pair in Pair::both() {
        let all = pair.all();
        let list = pair.lab.prefix_list(pair.b, &[all]);
        let group = pair.lab.group(pair.b);
        pair.lab.allow_all(group, Direction::Egress);
        let ports = Ports::Range { from: 80, to: 80 };
        pair.lab.allow(group, Direction::Ingress, IpProtocol::TCP, ports, RulePeer::PrefixList(list));
        pair.lab.set_groups(pair.y, &[group]);
        let admit = pair.send().unwrap();
        assert_eq!(admit.track, Track::Untracked { initiator: Direction::Ingress });
        pair.lab.set_prefix_list(pair.b, list, &["10.16.0.0/16", "fd16::/56"]);
        assert_eq!(pair.send().unwrap().track, Track::New);
    }
}

/// Spec 4.5.2: over all lists and routes the longest wins; an entry that is a blackhole too.
#[test]
fn a_route_to_a_list_leads_where_its_entries_say() {
    let mut pair = Pair::new(false);
    let (a, target) = (pair.a, pair.peering());
    let main = pair.lab.slices[&a].vpc.main.route_table;
    for table in &mut pair.lab.slice(a).route_tables {
        Arc::make_mut(table).routes.retain(|route| route.target != target);
    }
    assert_eq!(code(pair.send()), "D08");
    let list = pair.lab.prefix_list(a, &["192.0.2.0/24"]);
    pair.lab.route_to_list(a, list, target);
    assert_eq!(code(pair.send()), "D08");
    pair.lab.set_prefix_list(a, list, &["192.0.2.0/24", "10.17.0.0/16"]);
    assert_eq!(code(pair.send()), "passes");
    let dead = pair.lab.prefix_list(a, &["10.17.1.0/24"]);
    pair.lab.route_to_list(a, dead, RouteTarget::Peering(ResourceId::from_random(99)));
    let denied = pair.send().unwrap_err();
    assert_eq!(denied, Denied::Blackhole { table: main, destination: p("10.17.1.0/24") });
    pair.lab.set_prefix_list(a, dead, &[]);
    assert_eq!(code(pair.send()), "passes");
}
