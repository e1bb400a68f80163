//! Ways through a NAT gateway (spec 8.8): a leg to it, a leg from it with its address, and home through its table.

use model::RouteTarget;
use policy::{Denied, NatCause};

use super::*;

const GATEWAY: &str = "10.16.9.9";

/// X's subnet leads to a gateway alone; the gateway's own to B.
fn behind_a_gateway() -> (Pair, NetworkInterfaceId) {
    let mut pair = Pair::new();
    let sn = pair.lab.subnet(pair.a, &["10.16.9.0/24"]);
    let (id, n) = pair.lab.nat_gateway(sn, &[GATEWAY]);
    pair.lab.own_table(pair.sx, &[("0.0.0.0/0", RouteTarget::NatGateway(id))]);
    (pair, n)
}

#[test]
fn a_gateway_is_a_leg_and_translates_both_ways() {
    let (pair, n) = behind_a_gateway();
    let answer = pair.ask();
    assert!(answer.is_reachable(), "{:#?}", answer.blockers);
    let leaving = |path: &Path| -> Vec<_> {
        let interface = Stage::Interface(Direction::Egress);
        path.hops
            .iter()
            .filter(|hop| hop.stage == interface)
            .map(|hop| (hop.leg, hop.before.src, hop.before.dst))
            .collect()
    };
    let (x, y, own) = (p("10.16.1.10"), p("10.17.1.10"), p(GATEWAY));
    assert_eq!(leaving(&answer.forward), [(0, x, y), (1, own, y)]);
    assert_eq!(leaving(answer.back.as_ref().unwrap()), [(0, y, own), (1, y, x)]);
    let there = answer.forward.hops.iter().any(|hop| {
        matches!(hop.step, Some(policy::Step::Interface { interface, direction: Direction::Ingress, .. }) if interface == n)
    });
    assert!(there);
}

#[test]
fn what_stands_behind_a_gateway_is_found() {
    let (mut pair, _) = behind_a_gateway();
    let group = pair.lab.group(pair.b);
    pair.lab.allow_tcp(group, 80, "10.16.1.0/24");
    pair.lab.set_groups(pair.y, &[group]);
    let answer = pair.ask();
    assert_eq!(codes(&answer), ["D22"], "Y admits X's subnet, and sees the gateway's address");
    assert_eq!(answer.blockers[0].leg, 1);
    assert_mended(&pair.network(), &answer);
}

#[test]
fn nobody_gets_in_by_a_gateway() {
    let (mut pair, n) = behind_a_gateway();
    pair.lab.allow_all(pair.gy, Direction::Egress);
    let traffic = Traffic::Tcp { source: 40_000, destination: 80 };
    let ends = Ends { from: pair.y, source: None, to: Goal::Interface(n), is_ipv6: false };
    let question = ends.question(&pair.network(), traffic, false).unwrap();
    let answer = explain(&pair.network(), &question);
    let denied = Denied::NatExhausted { gateway: n, cause: NatCause::NoMapping };
    assert_eq!(answer.denied(), Some(denied));
    assert!(!answer.is_complete, "nothing mends that");
}
