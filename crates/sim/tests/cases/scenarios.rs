//! The spec's own scenarios (appendix B), so that the reference itself is held to something.

use super::stage::{A, B, Stage, anybody, p, send, set_peering, tcp};
use model::{Direction, NetworkInterface, PeeringStatus, RouteTable, RouteTarget, SecurityGroup};
use sim::noun::members;
use sim::packet::{ACK, SYN};

/// Scenario 1: a route on each side is needed; the request arrives without the way back.
#[test]
fn one_route_is_half_a_conversation() {
    let mut stage = Stage::new();
    let (a, b, region) = (stage.site(A), stage.site(B), stage.region);
    let (x, y) = (stage.interface(a, "10.16.0.10"), stage.interface(b, "10.17.0.10"));
    let pcx = stage.peer(a, b);
    stage.allow(b.group, Direction::Ingress, "tcp", 80, anybody());
    let mut rig = stage.rig();
    let ask = tcp(("10.16.0.10", 1000), ("10.17.0.10", 80), SYN);
    assert_eq!(send(&mut rig, x, ask.clone()), "ok");
    assert_eq!(send(&mut rig, y, ask.answered()), "ok");
    rig.scene.update::<RouteTable>(region, &b.table, |table| {
        table.routes.retain(|route| route.target == RouteTarget::Local);
    });
    rig.configure();
    assert_eq!(send(&mut rig, x, ask.clone()), "ok");
    assert_eq!(send(&mut rig, y, ask.answered()), "D08");
    // Scenario 4: the deleted peering leaves a blackhole, and cuts what was tracked.
    set_peering(&mut rig, region, pcx, PeeringStatus::Deleted);
    assert_eq!(send(&mut rig, x, ask), "D09");
}

/// Scenario 5: A and C are both peered with B, and never meet.
#[test]
fn a_peering_is_not_transitive() {
    let mut stage = Stage::new();
    let (a, b, c) = (stage.site(A), stage.site(B), stage.site("10.18.0.0/16"));
    let (x, _) = (stage.interface(a, "10.16.0.10"), stage.interface(c, "10.18.0.10"));
    let (ab, _) = (stage.peer(a, b), stage.peer(b, c));
    stage.allow(c.group, Direction::Ingress, "tcp", 80, anybody());
    stage.route(a, "10.18.0.0/16", RouteTarget::Peering(ab));
    let mut rig = stage.rig();
    assert_eq!(send(&mut rig, x, tcp(("10.16.0.10", 1000), ("10.18.0.10", 80), SYN)), "D12");
}

/// Scenario 6: only members of the peer's group, as long as they are; another VPC's equal address is another principal.
#[test]
fn a_peers_group_admits_its_members() {
    let mut stage = Stage::new();
    let (a, b, twin, region) = (stage.site(A), stage.site(B), stage.site(A), stage.region);
    let (x, _) = (stage.interface(a, "10.16.0.10"), stage.interface(b, "10.17.0.10"));
    let z = stage.interface(twin, "10.16.0.10");
    let pcx = stage.peer(a, b);
    let to_twin = stage.peer(twin, b);
    stage.route(b, "10.16.0.0/16", RouteTarget::Peering(to_twin));
    stage.allow(b.group, Direction::Ingress, "tcp", 80, members(a.group, p("111111111111"), a.vpc));
    let bare = stage.group(a);
    stage.allow(bare, Direction::Egress, "tcp", 80, anybody());
    let mut rig = stage.rig();
    let ask = |sport| tcp(("10.16.0.10", sport), ("10.17.0.10", 80), SYN);
    assert_eq!(send(&mut rig, x, ask(1)), "ok");
    assert_eq!(send(&mut rig, z, ask(2)), "D22", "the same address in another VPC");
    rig.scene.update::<NetworkInterface>(region, &x, |x| x.groups = [bare].into());
    rig.configure();
    assert_eq!(send(&mut rig, x, ask(3)), "D22", "no member any more");
    assert_eq!(send(&mut rig, x, tcp(("10.16.0.10", 1), ("10.17.0.10", 80), ACK)), "ok", "but its old flow lives on");
    // The group goes, the rule stays and is stale.
    rig.scene.delete::<SecurityGroup>(region, a.group);
    rig.configure();
    assert_eq!(send(&mut rig, x, ask(4)), "D23");
    set_peering(&mut rig, region, pcx, PeeringStatus::Deleted);
    assert_eq!(send(&mut rig, x, ask(5)), "D09");
}

/// Scenario 11: of two peers with equal blocks the longer route wins, and the answer follows the routes, not the way that it came.
#[test]
fn answers_follow_routes_not_arrival() {
    let mut stage = Stage::new();
    let (a, b, twin) = (stage.site(A), stage.site(B), stage.site(B));
    let x = stage.interface(a, "10.16.0.10");
    let (y, _) = (stage.interface(b, "10.17.0.9"), stage.interface(twin, "10.17.0.9"));
    let to_b = stage.peer(a, b);
    stage.peer(a, twin);
    stage.allow(a.group, Direction::Ingress, "tcp", 80, anybody());
    let mut rig = stage.rig();
    let ask = tcp(("10.17.0.9", 1000), ("10.16.0.10", 80), SYN);
    assert_eq!(send(&mut rig, y, ask.clone()), "ok");
    assert_eq!(send(&mut rig, x, ask.answered()), "D22", "the twin knows of no question");
    let (region, table) = (p("us-east-1"), a.table);
    let destination = model::Destination::Cidr(p("10.17.0.9/32"));
    rig.scene.update::<RouteTable>(region, &table, |table| {
        let origin = model::RouteOrigin::CreateRoute;
        table.routes.push(model::Route { destination, target: RouteTarget::Peering(to_b), origin });
    });
    rig.configure();
    assert_eq!(send(&mut rig, x, ask.answered()), "ok");
    assert_eq!(send(&mut rig, y, tcp(("10.17.0.9", 1000), ("10.16.0.10", 80), ACK)), "ok");
}

/// Spec 6.5.5: a routed middlebox loses who sent, even with the address preserved.
#[test]
fn a_middlebox_loses_the_sender() {
    let mut stage = Stage::new();
    let (a, region) = (stage.site(A), stage.region);
    let (x, m) = (stage.interface(a, "10.16.0.10"), stage.interface(a, "10.16.0.20"));
    let y = stage.interface(a, "10.16.0.30");
    stage.route(a, "192.0.2.0/24", RouteTarget::NetworkInterface(m));
    stage.allow(a.group, Direction::Ingress, "tcp", 80, members(a.group, p("111111111111"), a.vpc));
    let mut rig = stage.rig();
    let beyond = tcp(("10.16.0.10", 1000), ("192.0.2.7", 80), SYN);
    assert_eq!(send(&mut rig, x, beyond.clone()), "D21", "it checks its destinations");
    rig.scene.update::<NetworkInterface>(region, &m, |m| m.source_dest_check = false);
    rig.configure();
    assert_eq!(send(&mut rig, x, beyond), "D23");
    let forwarded = tcp(("10.16.0.10", 1000), ("10.16.0.30", 80), SYN);
    assert_eq!(send(&mut rig, m, forwarded.clone()), "D23");
    assert_eq!(send(&mut rig, x, forwarded.clone()), "ok", "itself it is a member");
    assert_eq!(send(&mut rig, y, forwarded.answered()), "ok");
}
