//! Each thing that can stand in the way, alone and together.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use model::{Direction, PeeringStatus, Ports, ResourceId, RouteTarget};
use policy::testing::p;

use super::*;

fn stages(path: &Path) -> Vec<&'static str> {
    path.hops.iter().map(|hop| hop.stage.name()).collect()
}

#[test]
fn an_open_way_has_every_stage_both_ways() {
    let answer = Pair::new().ask();
    assert!(answer.is_reachable() && answer.is_complete);
    let expected = [
        "source interface",
        "security groups, egress",
        "network acl, egress",
        "route table",
        "peering, this side",
        "address look-up",
        "destination interface",
        "peering, other side",
        "network acl, ingress",
        "security groups, ingress",
    ];
    assert_eq!(stages(&answer.forward), expected);
    let back = answer.back.unwrap();
    assert_eq!(stages(&back), expected);
    assert_eq!(header(&back.flow), "tcp 10.17.1.10:80 > 10.16.1.10:40000");
    assert!(back.hops[1].text().contains("tracked flow"), "{}", back.hops[1].text());
}

/// What a test spoils, and what is then said.
type Case = (&'static str, fn(&mut Pair), &'static [&'static str], &'static str);

const CASES: &[Case] = &[
    (
        "no egress rule",
        |pair| pair.lab.edit_group(pair.gx, |g| g.rules.clear()),
        &["D05"],
        "authorize-security-group-egress",
    ),
    (
        "the source's ACL",
        |pair| pair.lab.edit_acl(pair.sx, |acl| acl.egress.clear()),
        &["D07"],
        "create-network-acl-entry",
    ),
    ("no route there", |pair| pair.lab.own_table(pair.sx, &[]), &["D08"], "create-route"),
    (
        "a peering that waits",
        |pair| pair.lab.set_status(pair.pcx, PeeringStatus::PendingAcceptance),
        &["D09"],
        "accept-vpc-peering-connection",
    ),
    (
        "a peering that is gone",
        |pair| pair.lab.set_status(pair.pcx, PeeringStatus::Deleted),
        // The way back has a dead route too.
        &["D09", "D09"],
        "replace-route",
    ),
    (
        "a route to a transit gateway",
        |pair| {
            let gateway = model::TransitGatewayId::from_random(9);
            pair.lab.own_table(pair.sx, &[("0.0.0.0/0", RouteTarget::TransitGateway(gateway))]);
        },
        &["D39"],
        "create-route",
    ),
    ("a stopped instance", |pair| pair.lab.endpoint(pair.y).is_up = false, &["D20"], "attach-network-interface"),
    ("a stopped sender", |pair| pair.lab.endpoint(pair.x).is_up = false, &["D02"], "attach-network-interface"),
    (
        "the destination's ACL",
        |pair| pair.lab.edit_acl(pair.sy, |acl| acl.ingress.clear()),
        &["D19"],
        "create-network-acl-entry",
    ),
    (
        "no ingress rule",
        |pair| pair.lab.edit_group(pair.gy, |g| g.rules.clear()),
        &["D22"],
        "authorize-security-group-ingress",
    ),
    ("no route back", |pair| pair.lab.own_table(pair.sy, &[]), &["D08"], "create-route"),
    (
        "the reply at the destination's ACL",
        |pair| pair.lab.edit_acl(pair.sy, |acl| acl.egress.clear()),
        &["D07"],
        "create-network-acl-entry",
    ),
    (
        "the reply at the source's ACL",
        |pair| pair.lab.edit_acl(pair.sx, |acl| acl.ingress.clear()),
        &["D19"],
        "create-network-acl-entry",
    ),
];

#[test]
fn each_blocker_is_found_alone_and_its_mend_works() {
    for (what, spoil, expected, command) in CASES {
        let mut pair = Pair::new();
        spoil(&mut pair);
        let answer = pair.ask();
        assert_eq!(codes(&answer), *expected, "{what}");
        assert_mended(&pair.network(), &answer);
        let told: Vec<Command> = answer.blockers.iter().flat_map(|blocker| commands(&blocker.mends)).collect();
        assert!(told.iter().any(|told| told.aws.contains(command)), "{what}: {told:#?}");
        assert!(!answer.forward.is_open() || !answer.back.unwrap().is_open(), "{what}: no hop is crossed");
    }
}

#[test]
fn all_blockers_are_found_at_once_in_either_family() {
    for is_ipv6 in [false, true] {
        let mut pair = Pair::new();
        let Pair { gx, gy, sx, sy, y, .. } = pair;
        pair.lab.edit_group(gx, |g| g.rules.clear());
        pair.lab.edit_group(gy, |g| g.rules.clear());
        for subnet in [sx, sy] {
            pair.lab.own_table(subnet, &[]);
            pair.lab.edit_acl(subnet, |acl| {
                acl.ingress.clear();
                acl.egress.clear();
            });
        }
        pair.lab.endpoint(y).is_up = false;
        own(&mut pair.lab, pair.b, B);
        let answer = explain(&pair.network(), &pair.question(is_ipv6));
        assert_eq!(codes(&answer), ["D05", "D07", "D08", "D19", "D20", "D22", "D07", "D08", "D19"]);
        let accounts: Vec<String> = answer.blockers.iter().map(|b| b.accounts()[0].to_string()).collect();
        assert_eq!(accounts, [A, A, A, B, B, B, B, B, A]);
        let ways: Vec<Way> = answer.blockers.iter().map(|blocker| blocker.way).collect();
        assert_eq!(ways, [vec![Way::Forward; 6], vec![Way::Back; 3]].concat());
        assert_mended(&pair.network(), &answer);
        // Each stands at a hop of its ladder.
        let back = answer.back.as_ref().unwrap();
        let crossed = |path: &Path| path.hops.iter().flat_map(|hop| hop.blockers.clone()).collect::<Vec<_>>();
        // Whether an interface runs is asked behind the ACL, and shown where the interface is.
        assert_eq!([crossed(&answer.forward), crossed(back)].concat(), [0, 1, 2, 4, 3, 5, 6, 7, 8]);
    }
}

#[test]
fn vpcs_without_any_peering_are_told_to_peer() {
    let mut pair = Pair::new();
    for slice in pair.lab.slices.values_mut() {
        slice.peerings.clear();
    }
    pair.lab.own_table(pair.sx, &[]);
    pair.lab.own_table(pair.sy, &[]);
    let answer = pair.ask();
    assert_eq!(codes(&answer), ["D08", "D08"]);
    assert_eq!(answer.blockers[0].analyzer_code(), "DISCONNECTED_VPCS");
    assert_mended(&pair.network(), &answer);
    let told = commands(&answer.blockers[0].mends);
    let lines: Vec<&str> = told.iter().map(|told| told.aws.as_str()).collect();
    let (a, b) = (pair.a, pair.b);
    assert_eq!(
        lines[0],
        format!(
            "PEERING=$(aws ec2 create-vpc-peering-connection --vpc-id {a} --peer-vpc-id {b} --peer-owner-id {B} --peer-region us-east-1 \
             --region us-east-1 --query VpcPeeringConnection.VpcPeeringConnectionId --output text)"
        )
    );
    assert_eq!(
        lines[1],
        "aws ec2 accept-vpc-peering-connection --vpc-peering-connection-id \"$PEERING\" --region us-east-1"
    );
    assert!(
        lines[2].contains("--destination-cidr-block 10.17.0.0/16 --vpc-peering-connection-id \"$PEERING\""),
        "{}",
        lines[2]
    );
    assert_eq!(told.iter().map(|told| told.account).collect::<Vec<_>>(), [p(A), p(B), p(A)]);
    // The way back uses the same new peering.
    assert_eq!(answer.blockers[1].mends.len(), 1);
}

#[test]
fn vpcs_whose_blocks_overlap_cannot_be_mended() {
    let mut pair = Pair::new();
    let other = pair.lab.vpc(&["10.16.0.0/16"]);
    let subnet = pair.lab.subnet(other, &["10.16.2.0/24"]);
    let z = pair.lab.interface(subnet, &["10.16.2.10"]);
    let ends = Ends { to: Goal::Interface(z), ..pair.ends(false) };
    let network = pair.network();
    let answer = explain(&network, &ends.question(&network, Traffic::Echo, false).unwrap());
    assert_eq!(codes(&answer), ["D14"]);
    assert!(!answer.is_complete && answer.blockers[0].mends.is_empty() && answer.back.is_none());
}

#[test]
fn a_route_to_another_with_the_same_address_is_seen() {
    let mut pair = Pair::new();
    let c = pair.lab.vpc(&["10.17.0.0/16"]);
    let subnet = pair.lab.subnet(c, &["10.17.1.0/24"]);
    let z = pair.lab.interface(subnet, &["10.17.1.10"]);
    let to_c = pair.lab.peering(pair.a, c);
    pair.lab.route(c, "10.16.0.0/16", RouteTarget::Peering(to_c));
    pair.lab.own_table(pair.sx, &[("10.17.0.0/16", RouteTarget::Peering(to_c))]);
    let group = pair.lab.group(c);
    pair.lab.allow_tcp(group, 80, "0.0.0.0/0");
    pair.lab.set_groups(z, &[group]);
    let answer = pair.ask();
    assert_eq!(codes(&answer), ["elsewhere"]);
    assert!(matches!(answer.blockers[0].cause, Cause::Elsewhere { interface: Some(found), .. } if found == z));
    assert_mended(&pair.network(), &answer);
    // Whoever has the address: z does.
    let ends = Ends { to: Goal::Address(p("10.17.1.10")), ..pair.ends(false) };
    let network = pair.network();
    let traffic = Traffic::Tcp { source: 40_000, destination: 80 };
    let answer = explain(&network, &ends.question(&network, traffic, false).unwrap());
    assert!(answer.is_reachable());
    assert_eq!(answer.forward.receiver(), Some(z));
}

#[test]
fn a_middlebox_is_a_leg_and_must_forward() {
    let mut pair = Pair::new();
    let m = pair.lab.interface(pair.sx, &["10.16.1.20"]);
    pair.lab.set_groups(m, &[pair.gx]);
    pair.lab.allow_tcp(pair.gx, 80, "0.0.0.0/0");
    let subnet = pair.lab.subnet(pair.a, &["10.16.3.0/24"]);
    let w = pair.lab.interface(subnet, &["10.16.3.10"]);
    pair.lab.set_groups(w, &[pair.gx]);
    pair.lab.own_table(subnet, &[("10.17.0.0/16", RouteTarget::NetworkInterface(m))]);
    let ends = Ends { from: w, ..pair.ends(false) };
    let network = pair.network();
    let traffic = Traffic::Tcp { source: 40_000, destination: 80 };
    let question = ends.question(&network, traffic, false).unwrap();
    let answer = explain(&network, &question);
    // The middlebox checks its addresses.
    assert_eq!(codes(&answer), ["D21"]);
    assert!(commands(&answer.blockers[0].mends)[0].aws.contains(&format!("{m} --no-source-dest-check")));
    assert_mended(&network, &answer);
    assert_eq!(answer.forward.hops.iter().map(|hop| hop.leg).max(), Some(1));
    assert_eq!(answer.forward.receiver(), Some(pair.y));
}

#[test]
fn a_stale_reference_is_named_with_its_rule() {
    let mut pair = Pair::new();
    let gone = pair.lab.group(pair.a);
    let peer = pair.lab.member_of(gone);
    pair.lab.edit_group(pair.gy, |g| g.rules.clear());
    let all = Ports::Range { from: 0, to: u16::MAX };
    let rule = pair.lab.allow(pair.gy, Direction::Ingress, model::IpProtocol::TCP, all, peer);
    pair.lab.slice(pair.a).security_groups.retain(|group| group.id != gone);
    let answer = pair.ask();
    assert_eq!(codes(&answer), ["D23"]);
    assert!(answer.blockers[0].text(None).contains(&rule.to_string()), "{}", answer.blockers[0].text(None));
    assert_mended(&pair.network(), &answer);
}

#[test]
fn an_acl_that_denies_first_gets_an_entry_before_it() {
    let mut pair = Pair::new();
    pair.lab.edit_acl(pair.sy, |acl| {
        let mut deny = acl.ingress[&100].clone();
        deny.action = model::AclAction::Deny;
        acl.ingress.insert(1, deny);
    });
    let answer = pair.ask();
    assert_eq!(codes(&answer), ["D19"]);
    assert!(matches!(answer.blockers[0].mends[..], [Mend::AclEntry { number: 1, replaces: true, .. }]));
    assert_mended(&pair.network(), &answer);
}

#[test]
fn multicast_and_one_way_questions() {
    let pair = Pair::new();
    let network = pair.network();
    let ends = Ends { to: Goal::Address(p("224.0.0.1")), ..pair.ends(false) };
    let answer = explain(&network, &ends.question(&network, Traffic::Echo, false).unwrap());
    assert_eq!((codes(&answer), answer.is_complete), (vec!["D04"], false));

    let mut pair = Pair::new();
    pair.lab.own_table(pair.sy, &[]);
    let one_way = Question { is_one_way: true, ..pair.question(false) };
    let answer = explain(&pair.network(), &one_way);
    assert!(answer.is_reachable() && answer.back.is_none());
}

#[test]
fn a_question_that_is_none_is_refused() {
    let mut pair = Pair::new();
    let v4 = pair.lab.interface(pair.sx, &["10.16.1.77"]);
    let network = pair.network();
    let ends = |from, to, is_ipv6| Ends { from, source: None, to, is_ipv6 };
    let error = |ends: Ends| ends.question(&network, Traffic::Echo, false).unwrap_err().to_string();
    assert!(error(ends(v4, Goal::Interface(pair.y), true)).contains("--ip-version 4"));
    assert!(error(ends(v4, Goal::Address(p("fd17::1")), false)).contains("IPv6"));
    let nobody: NetworkInterfaceId = p("eni-0a1b2c3d");
    assert!(error(ends(nobody, Goal::Interface(pair.y), false)).contains("eni-0a1b2c3d"));
    let mixed = Ends { source: Some(p("fd16::1")), ..ends(pair.x, Goal::Address(p("10.17.1.10")), false) };
    assert!(error(mixed).contains("two families"));
}
