//! One test per drop reason that the law itself gives, in the order of the list (spec 11.5), each in both families.

use model::intent::Endpoint;
use model::{
    AclAction, Direction, IpProtocol, NetworkAclEntry, NetworkInterfaceId, PeeringStatus, Ports, ResourceId,
    RouteTarget, RulePeer, TransitGatewayId,
};

use super::*;

fn deny_all() -> NetworkAclEntry {
    NetworkAclEntry { protocol: IpProtocol::All, action: AclAction::Deny, cidr: p("0.0.0.0/0"), ports: Ports::Any }
}

#[test]
fn nothing_wrong_passes() {
    for pair in Pair::both() {
        assert_eq!(pair.send(), Ok(Admit { peering: Some(pair.pcx), track: Track::New }));
        let next = pair.leave(&pair.open()).unwrap();
        assert_eq!(
            (next.interface, next.vpc, next.origin, next.peering),
            (pair.y, pair.b, pair.claim(), Some(pair.pcx))
        );
        assert_eq!(next.host, Some(p("host-1")));
    }
}

#[test]
fn d02_a_source_that_is_down_or_unknown() {
    for mut pair in Pair::both() {
        pair.lab.endpoint(pair.x).is_up = false;
        assert_eq!(pair.send(), Err(Denied::SourceDown { interface: pair.x }));
        let stranger = NetworkInterfaceId::from_random(9999);
        assert_eq!(code(egress(&pair.lab.compile(), stranger, &pair.open(), L2::Router, None, &mut ())), "D02");
    }
}

#[test]
fn d03_a_foreign_source_unless_the_check_is_off() {
    for mut pair in Pair::both() {
        let foreign = if pair.xs.is_ipv4() { "10.16.1.99" } else { "fd16:0:0:1::99" };
        let flow = Flow { src: p(foreign), ..pair.open() };
        assert_eq!(pair.leave(&flow), Err(Denied::SourceCheckEgress { interface: pair.x, address: flow.src }));
        pair.lab.edit_interface(pair.x, |x| x.source_dest_check = false);
        assert_eq!(code(pair.leave(&flow)), "passes");
        // Even a router may not speak for what is nobody's address.
        for nobody in
            if pair.xs.is_ipv4() { ["0.0.0.0", "224.0.0.1", "127.0.0.1"] } else { ["::", "ff02::1", "fe80::1"] }
        {
            assert_eq!(code(pair.leave(&Flow { src: p(nobody), ..flow })), "D03", "{nobody}");
        }
    }
}

#[test]
fn d04_what_is_not_unicast() {
    let pairs = Pair::both();
    for to in ["224.0.0.251", "255.255.255.255", "169.254.169.254", "127.0.0.1", "0.0.0.0"] {
        assert_eq!(code(pairs[0].leave(&Flow { dst: p(to), ..pairs[0].open() })), "D04", "{to}");
    }
    for to in ["ff02::1", "fe80::1", "::1", "::", "fd00:ec2::253", "::ffff:10.17.1.10"] {
        assert_eq!(code(pairs[1].leave(&Flow { dst: p(to), ..pairs[1].open() })), "D04", "{to}");
    }
}

#[test]
fn d05_no_egress_rule() {
    for mut pair in Pair::both() {
        let group = pair.lab.group(pair.a);
        pair.lab.set_groups(pair.x, &[group]);
        assert_eq!(pair.send(), Err(Denied::GroupEgress { interface: pair.x, has_rules: false }));
        let wrong = RulePeer::Cidr(p("192.0.2.0/24"));
        pair.lab.allow(group, Direction::Egress, IpProtocol::All, Ports::Any, wrong);
        assert_eq!(pair.send(), Err(Denied::GroupEgress { interface: pair.x, has_rules: true }));
        // A group that is named but not there gives nothing.
        pair.lab.set_groups(pair.x, &["sg-0badbadb".parse().unwrap()]);
        assert_eq!(code(pair.send()), "D05");
    }
}

#[test]
fn d06_a_full_table() {
    for pair in Pair::both() {
        let mut path = Path::new(&pair.lab);
        path.conntrack = Conntrack::new(Limits { flows: 2, flows_per_interface: 2 }, Timeouts::default(), 1);
        let from_port = |port| Flow::tcp(pair.xs, port, pair.ys, 80, TcpFlags::SYN);
        assert_eq!(path.send(pair.x, &from_port(1)), Ok(pair.y));
        assert_eq!(code(path.send(pair.x, &from_port(2))), "D06");
        assert_eq!(path.send(pair.x, &from_port(1)), Ok(pair.y), "what is tracked goes on");
    }
}

#[test]
fn d07_the_source_subnets_acl() {
    for mut pair in Pair::both() {
        pair.lab.edit_acl(pair.sx, |acl| {
            acl.egress.insert(50, NetworkAclEntry { cidr: p("10.17.0.0/16"), ..deny_all() });
            acl.egress.insert(51, NetworkAclEntry { cidr: p("fd17::/56"), ..deny_all() });
        });
        let number = if pair.xs.is_ipv4() { 50 } else { 51 };
        let acl = pair.lab.slice(pair.a).network_acls.last().unwrap().id;
        assert_eq!(pair.send(), Err(Denied::AclEgress { acl, number }));
        // An ACL that is named but not there denies by its last rule.
        pair.lab.slice(pair.a).network_acls.clear();
        let last = if pair.xs.is_ipv4() { 32_767 } else { 32_768 };
        assert_eq!(pair.send(), Err(Denied::AclEgress { acl, number: last }));
    }
}

#[test]
fn d08_no_route() {
    for mut pair in Pair::both() {
        let table = pair.lab.slice(pair.a).vpc.main.route_table;
        let nowhere = if pair.xs.is_ipv4() { "192.0.2.1" } else { "2001:db8::1" };
        assert_eq!(pair.leave(&Flow { dst: p(nowhere), ..pair.open() }), Err(Denied::NoRoute { table }));
        // A table that is named but not there has no route, not even the local one.
        pair.lab.slice(pair.a).route_tables.clear();
        assert_eq!(pair.send(), Err(Denied::NoRoute { table }));
        assert_eq!(code(pair.leave(&Flow { dst: pair.xs, ..pair.open() })), "D08");
    }
}

#[test]
fn d09_a_blackhole_wins_over_what_is_shorter() {
    for mut pair in Pair::both() {
        let b = pair.b;
        let c = pair.lab.vpc(&["10.18.0.0/16"]);
        let gone = pair.lab.peering(pair.a, c);
        let narrow = if pair.xs.is_ipv4() { "10.17.1.0/24" } else { "fd17:0:0:1::/64" };
        pair.lab.route(pair.a, narrow, RouteTarget::Peering(gone));
        assert_eq!(code(pair.send()), "D12", "active, but to another VPC");
        for status in PeeringStatus::ALL.into_iter().filter(|s| *s != PeeringStatus::Active) {
            pair.lab.set_status(gone, status);
            let denied = pair.send().unwrap_err();
            assert!(matches!(denied, Denied::Blackhole { destination, .. } if destination == p(narrow)), "{status}");
        }
        // The record purged, an interface that is gone or down, a gateway detached: all blackholes.
        pair.lab.slice(pair.a).peerings.retain(|p| p.id != gone);
        assert_eq!(code(pair.send()), "D09");
        let down = pair.lab.interface(pair.sx, &["10.16.1.20"]);
        pair.lab.endpoint(down).is_up = false;
        let igw = pair.lab.internet_gateway(b);
        let unknown = NetworkInterfaceId::from_random(4444);
        for target in [
            RouteTarget::NetworkInterface(down),
            RouteTarget::NetworkInterface(unknown),
            RouteTarget::InternetGateway(igw),
        ] {
            pair.lab.own_table(pair.sx, &[(pair.all(), target)]);
            assert_eq!(code(pair.send()), "D09", "{target:?}");
        }
    }
}

#[test]
fn d10_a_peering_that_the_receiver_does_not_hold_active() {
    for mut pair in Pair::both() {
        let id = pair.pcx;
        for status in PeeringStatus::ALL.into_iter().filter(|s| *s != PeeringStatus::Active) {
            pair.lab.set_status(id, status);
            assert_eq!(
                pair.arrive(pair.claim()),
                Err(Denied::PeeringNotActive { peering: Some(id), status: Some(status) })
            );
        }
        let forwarded = Origin { interface: None, scope: Scope::RouteTarget(pair.y), ..pair.claim() };
        assert_eq!(pair.arrive(forwarded), Err(Denied::PeeringNotActive { peering: None, status: None }));
        pair.lab.slice(pair.b).peerings.clear();
        assert_eq!(pair.arrive(pair.claim()), Err(Denied::PeeringNotActive { peering: Some(id), status: None }));
    }
}

#[test]
fn d11_a_peering_of_others() {
    for mut pair in Pair::both() {
        let c = pair.lab.vpc(&["10.18.0.0/16"]);
        let d = pair.lab.vpc(&["10.19.0.0/16"]);
        let foreign = pair.lab.peering(c, d);
        let record = pair.lab.slice(c).peerings[0].clone();
        pair.lab.slice(pair.a).peerings.push(record);
        pair.lab.own_table(pair.sx, &[(pair.all(), RouteTarget::Peering(foreign))]);
        assert_eq!(pair.send(), Err(Denied::PeeringOfOthers { peering: foreign, vpc: pair.a }));
        // The receiver: a true peering of its own, claimed by a VPC that is not its other side.
        let origin = Origin { vpc: c, ..pair.claim() };
        assert_eq!(pair.arrive(origin), Err(Denied::PeeringOfOthers { peering: pair.pcx, vpc: c }));
    }
}

#[test]
fn d12_a_destination_outside_the_peer() {
    for mut pair in Pair::both() {
        pair.lab.route(pair.a, pair.all(), pair.peering());
        let beyond = p(if pair.xs.is_ipv4() { "10.18.0.1" } else { "fd18::1" });
        let flow = Flow { dst: beyond, ..pair.open() };
        assert_eq!(pair.leave(&flow), Err(Denied::OutsidePeer { peering: pair.pcx, address: beyond }));
        let arrived = ingress(&pair.lab.compile(), pair.y, &pair.claim(), &flow, None, &mut ());
        assert_eq!(arrived, Err(Denied::OutsidePeer { peering: pair.pcx, address: beyond }));
    }
}

#[test]
fn d13_a_source_outside_the_own_vpc() {
    for mut pair in Pair::both() {
        pair.lab.edit_interface(pair.x, |x| x.source_dest_check = false);
        let foreign = p(if pair.xs.is_ipv4() { "10.99.0.1" } else { "fd99::1" });
        let flow = Flow { src: foreign, ..pair.open() };
        assert_eq!(pair.leave(&flow), Err(Denied::OutsideOwn { peering: pair.pcx, address: foreign }));
    }
}

#[test]
fn d14_an_address_of_nobody() {
    for mut pair in Pair::both() {
        let (there, here) =
            if pair.xs.is_ipv4() { ("10.17.1.77", "10.16.1.77") } else { ("fd17::77", "fd16:0:0:1::77") };
        for (to, vpc) in [(p(there), pair.b), (p(here), pair.a)] {
            assert_eq!(pair.leave(&Flow { dst: to, ..pair.open() }), Err(Denied::NoOwner { vpc, address: to }));
        }
        let tables = pair.lab.compile();
        let on_link = Flow { dst: p(here), ..pair.open() };
        assert_eq!(code(egress(&tables, pair.x, &on_link, L2::Neighbour, None, &mut ())), "D14");
        // Active, but the members have not come yet: nobody, rather than anybody.
        let mut slices = pair.lab.complete();
        slices.get_mut(&pair.a).unwrap().peers.clear();
        let tables = Tables::compile(slices.values(), 1);
        assert_eq!(code(egress(&tables, pair.x, &pair.open(), L2::Router, None, &mut ())), "D14");
        // Members that came for another peering of the same two are not this one's.
        let mut slices = pair.lab.complete();
        slices.get_mut(&pair.a).unwrap().peers[0].peering = PeeringId::from_random(7777);
        let tables = Tables::compile(slices.values(), 1);
        assert_eq!(code(egress(&tables, pair.x, &pair.open(), L2::Router, None, &mut ())), "D14");
        pair.lab.slice(pair.b).endpoints.clear();
        assert_eq!(code(pair.send()), "D14");
    }
}

#[test]
fn d18_a_sender_that_is_not_who_it_says() {
    for mut pair in Pair::both() {
        let z = pair.lab.interface(pair.sx, &["10.16.1.30", "fd16:0:0:1::30"]);
        let claim = pair.claim();
        let wrong = [
            Origin { interface: Some(z), ..claim },
            Origin { interface: None, ..claim },
            Origin { scope: Scope::Vpc, ..claim },
            Origin { vpc: pair.b, scope: Scope::Vpc, ..claim },
            Origin { interface: None, scope: Scope::RouteTarget(z), ..claim },
        ];
        for origin in wrong {
            assert_eq!(code(pair.arrive(origin)), "D18", "{origin:?}");
        }
        // A router's interface takes what is routed to it, but over the plain scope only what is its own.
        pair.lab.edit_interface(pair.y, |y| y.source_dest_check = false);
        let beyond = Flow { dst: p(if pair.xs.is_ipv4() { "10.17.1.88" } else { "fd17::88" }), ..pair.open() };
        assert_eq!(code(ingress(&pair.lab.compile(), pair.y, &claim, &beyond, None, &mut ())), "D18");
        // Forwarded over a peering from outside the sender's blocks.
        let outside = Flow { src: p(if pair.xs.is_ipv4() { "10.99.0.1" } else { "fd99::1" }), ..pair.open() };
        let forwarded = Origin { interface: None, scope: Scope::RouteTarget(pair.y), ..claim };
        assert_eq!(code(ingress(&pair.lab.compile(), pair.y, &forwarded, &outside, None, &mut ())), "D18");
    }
}

#[test]
fn d19_the_destination_subnets_acl() {
    for mut pair in Pair::both() {
        pair.lab.edit_acl(pair.sy, |acl| acl.ingress.clear());
        let acl = pair.lab.slice(pair.b).network_acls.last().unwrap().id;
        let number = if pair.xs.is_ipv4() { 32_767 } else { 32_768 };
        assert_eq!(pair.send(), Err(Denied::AclIngress { acl, number }));
    }
}

#[test]
fn d20_a_destination_that_is_down() {
    for mut pair in Pair::both() {
        let Endpoint { is_up, host, .. } = pair.lab.endpoint(pair.y);
        (*is_up, *host) = (false, None);
        let next = pair.leave(&pair.open()).unwrap();
        assert_eq!(next.host, None);
        assert_eq!(pair.send(), Err(Denied::DestinationDown { interface: pair.y }));
    }
}

#[test]
fn d21_a_foreign_destination_unless_the_check_is_off() {
    for mut pair in Pair::both() {
        let middle = pair.lab.interface(pair.sx, &["10.16.1.20", "fd16:0:0:1::20"]);
        let allow = pair.lab.group(pair.a);
        pair.lab.allow_all(allow, Direction::Ingress);
        pair.lab.set_groups(middle, &[allow]);
        pair.lab.own_table(pair.sx, &[(pair.all(), RouteTarget::NetworkInterface(middle))]);
        let denied = Denied::SourceCheckIngress { interface: middle, address: pair.ys };
        assert_eq!(pair.send(), Err(denied));
        pair.lab.edit_interface(middle, |m| m.source_dest_check = false);
        assert_eq!(code(pair.send()), "passes");
    }
}

#[test]
fn d22_no_ingress_rule() {
    for mut pair in Pair::both() {
        let denied = |has_rules| Err(Denied::GroupIngress { interface: pair.y, has_rules });
        assert_eq!(pair.try_flow(&Flow::tcp(pair.xs, 40_000, pair.ys, 81, TcpFlags::SYN)), denied(true));
        assert_eq!(pair.try_flow(&Flow::udp(pair.xs, 40_000, pair.ys, 80)), denied(true));
        pair.lab.edit_group(pair.gy, |group| group.rules.clear());
        assert_eq!(pair.send(), denied(false));
    }
}

#[test]
fn d23_a_reference_that_does_not_apply() {
    for mut pair in Pair::both() {
        let gx = pair.lab.group(pair.a);
        pair.lab.allow_all(gx, Direction::Egress);
        pair.lab.set_groups(pair.x, &[gx]);
        pair.lab.edit_group(pair.gy, |group| group.rules.clear());
        let peer = pair.lab.member_of(gx);
        let rule =
            pair.lab.allow(pair.gy, Direction::Ingress, IpProtocol::TCP, Ports::Range { from: 80, to: 80 }, peer);
        assert_eq!(code(pair.send()), "passes");

        let not_applicable = |cause| Err(Denied::ReferenceNotApplicable { rule, group: gx, cause });
        // Across regions nobody's groups are known.
        let mut far = pair.lab.clone();
        far.set_region(pair.a, "eu-west-1");
        let pair_far = Pair { lab: far, ..Pair::new(!pair.xs.is_ipv4()) };
        assert_eq!(pair_far.try_flow(&pair.open()), not_applicable(NotApplicable::OtherRegion));
        // The group is deleted: the rule stays and is stale.
        let mut deleted = pair.lab.clone();
        deleted.slice(pair.a).security_groups.retain(|group| group.id != gx);
        deleted.set_groups(pair.x, &[deleted.slices[&pair.a].vpc.default_group, gx]);
        let pair_deleted = Pair { lab: deleted, ..Pair::new(!pair.xs.is_ipv4()) };
        assert_eq!(pair_deleted.try_flow(&pair.open()), not_applicable(NotApplicable::Stale));
        // Forwarded with the original source address: X has the group, but X is not who sent it (6.5.5).
        let router = pair.lab.interface(pair.sx, &["10.16.1.20", "fd16:0:0:1::20"]);
        pair.lab.edit_interface(router, |r| r.source_dest_check = false);
        let tables = pair.lab.compile();
        let next = egress(&tables, router, &pair.open(), L2::Router, None, &mut ()).unwrap();
        assert_eq!(next.origin, Origin { vpc: pair.a, interface: None, scope: Scope::RouteTarget(pair.y) });
        let arrived = ingress(&tables, pair.y, &next.origin, &pair.open(), None, &mut ());
        assert_eq!(arrived, not_applicable(NotApplicable::NotPreserved));
        assert_eq!(arrived.unwrap_err().analyzer_code(), "SG_REFERENCES_NOT_PRESERVED");
    }
}

#[test]
fn d32_two_families_in_one_header() {
    let pairs = Pair::both();
    let mixed = Flow { dst: pairs[1].ys, ..pairs[0].open() };
    assert_eq!(pairs[0].leave(&mixed), Err(Denied::Malformed));
    assert_eq!(code(ingress(&pairs[0].lab.compile(), pairs[0].y, &pairs[0].claim(), &mixed, None, &mut ())), "D32");
}

#[test]
fn d39_a_target_that_is_recorded_only() {
    for mut pair in Pair::both() {
        let transit = RouteTarget::TransitGateway(TransitGatewayId::from_random(1));
        pair.lab.own_table(pair.sx, &[(pair.all(), transit)]);
        let table = pair.lab.slice(pair.a).route_tables.last().unwrap().id;
        assert_eq!(pair.send(), Err(Denied::TargetNotCarried { table, destination: p(pair.all()) }));
    }
}
