//! Ways through Internet gateways: the hops, both translations, and what stands in the way.

use alloc::vec::Vec;

use model::{Direction, RouteTarget};
use policy::testing::p;

use super::*;
use crate::words::header;

const PUBLIC_X: &str = "203.0.113.16";
const PUBLIC_Y: &str = "203.0.113.17";

/// The pair without its peering's routes, each side with a way out and a public address; Y serves port 80 to everybody.
fn outside() -> Pair {
    let mut pair = Pair::new();
    for (vpc, subnet) in [(pair.a, pair.sx), (pair.b, pair.sy)] {
        let gateway = pair.lab.internet_gateway(vpc);
        pair.lab.own_table(subnet, &[("0.0.0.0/0", RouteTarget::InternetGateway(gateway))]);
    }
    pair.lab.map_public(pair.x, "10.16.1.10", PUBLIC_X);
    pair.lab.map_public(pair.y, "10.17.1.10", PUBLIC_Y);
    pair.lab.allow_all(pair.gy, Direction::Egress);
    pair.lab.allow_tcp(pair.gy, 80, "0.0.0.0/0");
    pair
}

fn ask(pair: &Pair) -> Answer {
    let network = pair.network().with_internet(pair.lab.internet());
    let ends = Ends { from: pair.x, source: None, to: Goal::Address(p(PUBLIC_Y)), is_ipv6: false };
    let question = ends.question(&network, Traffic::Tcp { source: 40_000, destination: 80 }, false);
    explain(&network, &question.unwrap_or_else(|error| panic!("{error}")))
}

#[test]
fn the_ladder_shows_both_gateways_and_what_each_makes_of_the_packet() {
    let pair = outside();
    let answer = ask(&pair);
    assert!(answer.is_reachable(), "{:?}", answer.blockers);
    let gateways = |path: &Path| -> Vec<_> {
        let hops = path.hops.iter().filter(|hop| matches!(hop.stage, Stage::Gateway(_)));
        hops.map(|hop| (hop.stage, header(&hop.before), header(&hop.after))).collect()
    };
    let line = |stage, before: &str, after: &str| (Stage::Gateway(stage), before.into(), after.into());
    let outside = "tcp 203.0.113.16:40000 > 203.0.113.17:80";
    assert_eq!(
        gateways(&answer.forward),
        [
            line(Direction::Egress, "tcp 10.16.1.10:40000 > 203.0.113.17:80", outside),
            line(Direction::Ingress, outside, "tcp 203.0.113.16:40000 > 10.17.1.10:80"),
        ]
    );
    let outside = "tcp 203.0.113.17:80 > 203.0.113.16:40000";
    let back = answer.back.as_ref().unwrap_or_else(|| panic!("the reply is asked for"));
    assert_eq!(
        gateways(back),
        [
            line(Direction::Egress, "tcp 10.17.1.10:80 > 203.0.113.16:40000", outside),
            line(Direction::Ingress, outside, "tcp 203.0.113.17:80 > 10.16.1.10:40000"),
        ]
    );
    assert_eq!(answer.forward.receiver(), Some(pair.y));
}

#[test]
fn what_stands_in_the_way_has_its_codes() {
    type Spoil = fn(&mut Pair);
    let cases: [(&str, Spoil, &str, &str); 4] = [
        (
            "D28",
            |pair| pair.lab.edit_interface(pair.x, |x| x.public.clear()),
            "IGW_PUBLIC_IP_ASSOCIATION_FOR_EGRESS",
            "x",
        ),
        ("D30", |pair| pair.lab.slice(pair.b).internet_gateways.clear(), "IGW_PRIVATE_IP_ASSOCIATION_FOR_INGRESS", "x"),
        ("D14", |pair| pair.lab.edit_interface(pair.y, |y| y.public.clear()), "NO_POSSIBLE_DESTINATION", "x"),
        (
            "D22",
            |pair| pair.lab.edit_group(pair.gy, |g| g.rules.retain(|_, rule| rule.direction == Direction::Egress)),
            "ENI_SG_RULES_MISMATCH",
            "y",
        ),
    ];
    for (reason, spoil, analyzer, side) in cases {
        let mut pair = outside();
        spoil(&mut pair);
        let answer = ask(&pair);
        let first = &answer.blockers[0];
        let vpc = if side == "x" { pair.a } else { pair.b };
        assert_eq!((first.code(), first.place.vpc), (Some(reason), vpc), "{reason}");
        assert!(first.analyzer_code() == analyzer || reason == "D22", "{}", first.analyzer_code());
    }
    // The rule that mends it names the address that the server sees.
    let mut pair = outside();
    pair.lab.edit_group(pair.gy, |group| group.rules.retain(|_, rule| rule.direction == Direction::Egress));
    let answer = ask(&pair);
    let mended = commands(&answer.blockers[0].mends);
    assert!(answer.is_complete && mended[0].aws.contains("203.0.113.16/32"), "{mended:?}");
}
