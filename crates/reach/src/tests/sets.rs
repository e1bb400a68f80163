//! Many ports at once: one of each class stands for all.

use alloc::string::String;
use alloc::vec::Vec;

use model::{AclAction, Direction, IpProtocol, NetworkAclEntry, Ports, RulePeer};
use policy::testing::p;
use proptest::prelude::*;

use super::*;

fn tcp(source: Range, destination: Range) -> Kind {
    Kind::Tcp { source, destination }
}

#[test]
fn open_ports_of_all_are_found() {
    let pair = Pair::new();
    let found = survey(&pair.network(), &pair.ends(false), &tcp(CLIENT_PORTS, 0..=u16::MAX), false).unwrap();
    let ranges: Vec<(Option<Range>, bool)> =
        found.cases.iter().map(|case| (case.destination.clone(), case.answer.is_reachable())).collect();
    assert_eq!(ranges, [(Some(0..=79), false), (Some(80..=80), true), (Some(81..=65_535), false)]);
    assert!(found.is_partly_reachable() && !found.is_reachable());
    assert_eq!(codes(&found.worst().answer), ["D22"]);
}

#[test]
fn a_return_acl_that_admits_some_client_ports_is_told_apart() {
    let mut pair = Pair::new();
    pair.lab.edit_acl(pair.sx, |acl| {
        acl.ingress.clear();
        let ports = Ports::Range { from: 1024, to: 49_999 };
        let entry =
            NetworkAclEntry { protocol: IpProtocol::TCP, action: AclAction::Allow, cidr: p("0.0.0.0/0"), ports };
        acl.ingress.insert(100, entry);
    });
    let found = survey(&pair.network(), &pair.ends(false), &tcp(CLIENT_PORTS, 80..=80), false).unwrap();
    let ranges: Vec<(Option<Range>, bool)> =
        found.cases.iter().map(|case| (case.source.clone(), case.answer.is_reachable())).collect();
    assert_eq!(ranges, [(Some(32_768..=49_999), true), (Some(50_000..=60_999), false)]);
    assert_eq!(codes(&found.worst().answer), ["D19"]);
    assert_mended(&pair.network(), &found.worst().answer);
}

#[test]
fn more_cases_than_anybody_reads_are_refused() {
    let mut pair = Pair::new();
    for port in 0..70 {
        pair.lab.allow_tcp(pair.gy, 1000 + 2 * port, "10.0.0.0/8");
    }
    let ask = |destination| survey(&pair.network(), &pair.ends(false), &tcp(CLIENT_PORTS, destination), false);
    assert_eq!(ask(0..=u16::MAX), Err(QuestionError::TooManyPorts));
    assert_eq!(ask(1000..=1010).map(|found| found.cases.len()), Ok(11));
}

#[test]
fn what_has_no_ports_is_one_case() {
    let pair = Pair::new();
    for kind in [Kind::Echo, Kind::Protocol(50)] {
        let found = survey(&pair.network(), &pair.ends(true), &kind, false).unwrap();
        assert_eq!((found.cases.len(), found.cases[0].source.clone()), (1, None));
        assert_eq!(codes(&found.cases[0].answer), ["D22"]);
        assert_mended(&pair.network(), &found.cases[0].answer);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// No port of a class fares otherwise than its representative.
    #[test]
    fn a_representative_speaks_for_its_class(
        open in prop::collection::vec((0_u16..200, 0_u16..60), 0..4),
        replies in prop::collection::vec((1_u16..100, 40_000_u16..40_100, 0_u16..60, any::<bool>()), 0..4),
        port in 0_u16..300,
        client in 40_000_u16..40_200,
    ) {
        let mut pair = Pair::new();
        pair.lab.edit_group(pair.gy, |group| group.rules.clear());
        for (from, more) in open {
            let ports = Ports::Range { from, to: from + more };
            pair.lab.allow(pair.gy, Direction::Ingress, IpProtocol::TCP, ports, RulePeer::Cidr(p("10.0.0.0/8")));
        }
        pair.lab.edit_acl(pair.sx, |acl| {
            for (number, from, more, allows) in replies {
                let ports = Ports::Range { from, to: from + more };
                let action = if allows { AclAction::Allow } else { AclAction::Deny };
                let entry = NetworkAclEntry { protocol: IpProtocol::TCP, action, cidr: p("0.0.0.0/0"), ports };
                acl.ingress.insert(number, entry);
            }
        });
        let network = pair.network();
        let found = survey(&network, &pair.ends(false), &tcp(40_000..=40_199, 0..=299), false).unwrap();
        let is_in = |range: &Option<Range>, port: u16| range.as_ref().is_some_and(|range| range.contains(&port));
        let of: Vec<&Case> =
            found.cases.iter().filter(|case| is_in(&case.source, client) && is_in(&case.destination, port)).collect();
        prop_assert_eq!(of.len(), 1, "every packet is in one case");
        let traffic = Traffic::Tcp { source: client, destination: port };
        let alone = explain(&network, &pair.ends(false).question(&network, traffic, false).unwrap());
        prop_assert_eq!(codes(&alone).first().map(|code| String::from(*code)), codes(&of[0].answer).first().map(|code| String::from(*code)));
    }
}
