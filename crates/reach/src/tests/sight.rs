//! An account sees its own side.

use alloc::format;

use policy::testing::p;

use super::*;

/// Everything that the answer says, in words.
fn spoken(answer: &Answer) -> alloc::string::String {
    format!("{:?} {:?} {:?}", answer.forward, answer.back, answer.blockers)
}

#[test]
fn another_accounts_side_is_a_hop_without_a_name() {
    let pair = Pair::new();
    let all = pair.ask();
    let seen = all.clone().seen_by(p(A));
    assert!(seen.is_reachable());
    for path in [&seen.forward, seen.back.as_ref().unwrap()] {
        let foreign: Vec<&Hop> = path.hops.iter().filter(|hop| hop.place.account != p::<AccountId>(A)).collect();
        assert_eq!(foreign.len(), 1);
        assert_eq!((foreign[0].stage, foreign[0].step, foreign[0].place.subnet), (Stage::OtherSide, None, None));
    }
    for secret in [format!("{:?}", pair.y), format!("{:?}", pair.gy), format!("{:?}", pair.sy)] {
        let (told, hidden) = (spoken(&all), spoken(&seen));
        assert!(told.contains(&secret), "{secret} in {told}");
        assert!(!hidden.contains(&secret), "{secret} in {hidden}");
    }
}

#[test]
fn another_accounts_blockers_are_one_without_reason_or_mend() {
    let mut pair = Pair::new();
    pair.lab.edit_group(pair.gy, |group| group.rules.clear());
    pair.lab.edit_acl(pair.sy, |acl| acl.ingress.clear());
    pair.lab.edit_acl(pair.sx, |acl| acl.egress.clear());
    let seen = pair.ask().seen_by(p(A));
    let causes: Vec<bool> = seen.blockers.iter().map(|blocker| blocker.cause == Cause::Hidden).collect();
    assert_eq!(causes, [false, true]);
    assert_eq!(codes(&seen)[0], "D07");
    let hidden = &seen.blockers[1];
    assert_eq!((hidden.place.vpc, hidden.place.account), (pair.b, p(B)));
    assert!(hidden.mends.is_empty() && hidden.steps.is_empty() && hidden.acl.is_none() && hidden.groups.is_empty());
    assert_eq!(
        hidden.text(Some("the accepter's side")),
        format!("blocked on the accepter's side ({}, account {B})", pair.b)
    );
    let crossed: Vec<usize> = seen.forward.hops.iter().flat_map(|hop| hop.blockers.clone()).collect();
    assert_eq!(crossed, [0, 1]);
    // The other account sees the other half.
    let seen = pair.ask().seen_by(p(B));
    let causes: Vec<bool> = seen.blockers.iter().map(|blocker| blocker.cause == Cause::Hidden).collect();
    assert_eq!(causes, [true, false, false]);
}

#[test]
fn another_accounts_interface_with_the_same_address_is_not_named() {
    let mut pair = Pair::new();
    let c = pair.lab.vpc(&["10.17.0.0/16"]);
    let subnet = pair.lab.subnet(c, &["10.17.1.0/24"]);
    let z = pair.lab.interface(subnet, &["10.17.1.10"]);
    let to_c = pair.lab.peering(pair.a, c);
    pair.lab.route(c, "10.16.0.0/16", model::RouteTarget::Peering(to_c));
    pair.lab.own_table(pair.sx, &[("10.17.0.0/16", model::RouteTarget::Peering(to_c))]);
    let group = pair.lab.group(c);
    pair.lab.allow_tcp(group, 80, "0.0.0.0/0");
    pair.lab.set_groups(z, &[group]);
    own(&mut pair.lab, c, B);
    let all = pair.ask();
    let seen = all.clone().seen_by(p(A));
    let secret = format!("{z:?}");
    assert!(spoken(&all).contains(&secret));
    assert_eq!(seen.blockers[0].cause, Cause::Elsewhere { interface: None, owner: None });
    assert!(!spoken(&seen).contains(&secret), "{}", spoken(&seen));
    own(&mut pair.lab, c, A);
    assert!(spoken(&pair.ask().seen_by(p(A))).contains(&secret), "its own is named");
}
