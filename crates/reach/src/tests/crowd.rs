//! Many addresses at once: one pair of each class stands for all.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::IpAddr;

use model::{AclAction, Cidr, Direction, IpProtocol, NetworkAclEntry, Ports, RouteTarget, RulePeer};
use policy::testing::{Lab, p};
use proptest::prelude::*;

use super::*;
use crate::crowd::{Told, tell};

const HTTP: Kind = Kind::Tcp { source: 40_000..=40_000, destination: 80..=80 };

fn addressed(network: &Network, interface: NetworkInterfaceId) -> Vec<(NetworkInterfaceId, IpAddr)> {
    let addresses = network.endpoint(interface).into_iter().flat_map(|endpoint| endpoint.interface.addresses());
    addresses.filter(IpAddr::is_ipv4).map(|address| (interface, address)).collect()
}

fn to_block(network: &Network, from: NetworkInterfaceId, block: &str, sight: Option<AccountId>) -> Crowd<'static> {
    let receivers = Receivers::Block { block: p(block), vpc: None };
    Crowd { senders: addressed(network, from), receivers, kind: &HTTP, is_one_way: false, sight }
}

/// Receivers, whether they count, and what is first in their way.
fn brief(survey: &Survey) -> Vec<(String, bool, String)> {
    let joined = |spans: &[Span]| spans.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    let first = |answer: &Answer| match answer.blockers.first() {
        None => "ok".into(),
        Some(blocker) => blocker.code().unwrap_or("hidden").into(),
    };
    survey.cases.iter().map(|case| (joined(&case.receivers), !case.is_vacant, first(&case.answer))).collect()
}

fn line(addresses: &str, counts: bool, code: &str) -> (String, bool, String) {
    (addresses.into(), counts, code.into())
}

/// Two more beside Y: one that nobody lets in, one that is as Y.
fn neighbours() -> Pair {
    let mut pair = Pair::new();
    let shut = pair.lab.group(pair.b);
    for (address, group) in [("10.17.1.11", pair.gy), ("10.17.1.20", shut)] {
        let interface = pair.lab.interface(pair.sy, &[address]);
        pair.lab.set_groups(interface, &[group]);
    }
    own(&mut pair.lab, pair.b, B);
    pair
}

#[test]
fn the_answer_says_for_whom_it_holds() {
    let pair = neighbours();
    let network = pair.network();
    let survey = survey_crowd(&network, &to_block(&network, pair.x, "10.17.1.0/24", None)).unwrap();
    assert_eq!(
        brief(&survey),
        [
            line("10.17.1.0-10.17.1.9 10.17.1.12-10.17.1.19 10.17.1.21-10.17.1.255", false, "D14"),
            line("10.17.1.10-10.17.1.11", true, "ok"),
            line("10.17.1.20", true, "D22"),
        ]
    );
    assert!(survey.is_partly_reachable() && !survey.is_reachable());
    assert_eq!(codes(&survey.worst().answer), ["D22"]);
    // Where all pass who are there, all pass.
    let survey = survey_crowd(&network, &to_block(&network, pair.x, "10.17.1.8/29", None)).unwrap();
    assert!(survey.is_reachable(), "{:?}", brief(&survey));
    // And nobody is nobody.
    let survey = survey_crowd(&network, &to_block(&network, pair.x, "10.17.1.128/25", None)).unwrap();
    assert!(!survey.is_reachable() && !survey.is_partly_reachable());
}

#[test]
fn who_may_not_look_is_not_told_who_is_there() {
    let pair = neighbours();
    let network = pair.network();
    let survey = survey_crowd(&network, &to_block(&network, pair.x, "10.17.1.0/24", Some(p(A)))).unwrap();
    let hidden = "10.17.1.0-10.17.1.9 10.17.1.12-10.17.1.255";
    assert_eq!(brief(&survey), [line(hidden, true, "hidden"), line("10.17.1.10-10.17.1.11", true, "ok")]);
}

#[test]
fn senders_are_told_apart_too_and_nobody_asks_about_itself() {
    let mut pair = Pair::new();
    let z = pair.lab.interface(pair.sx, &["10.16.1.11"]);
    let mute = pair.lab.group(pair.a);
    pair.lab.set_groups(z, &[mute]);
    let network = pair.network();
    let senders = [addressed(&network, pair.x), addressed(&network, z)].concat();
    let receivers = Receivers::One(Goal::Interface(pair.y));
    let crowd = Crowd { senders, receivers, kind: &HTTP, is_one_way: false, sight: None };
    let survey = survey_crowd(&network, &crowd).unwrap();
    let seen: Vec<_> = survey.cases.iter().map(|case| (case.senders[0].to_string(), codes(&case.answer))).collect();
    assert_eq!(seen, [("10.16.1.10".into(), Vec::new()), ("10.16.1.11".into(), Vec::from(["D05"]))]);
    let alone = Crowd { senders: addressed(&network, z), receivers: Receivers::One(Goal::Interface(z)), ..crowd };
    assert_eq!(survey_crowd(&network, &alone), Err(QuestionError::Nobody));
}

#[test]
fn in_a_subnet_that_is_named_its_own_are_meant() {
    let mut pair = Pair::new();
    let c = pair.lab.vpc(&["10.17.0.0/16"]);
    let subnet = pair.lab.subnet(c, &["10.17.1.0/24"]);
    let z = pair.lab.interface(subnet, &["10.17.1.10"]);
    let open = pair.lab.group(c);
    pair.lab.allow_tcp(open, 80, "0.0.0.0/0");
    pair.lab.set_groups(z, &[open]);
    let to_c = pair.lab.peering(pair.a, c);
    pair.lab.route(c, "10.16.0.0/16", RouteTarget::Peering(to_c));
    let network = pair.network();
    let block = p("10.17.1.8/29");
    let ask = |vpc| {
        let crowd = to_block(&network, pair.x, "10.17.1.8/29", None);
        let crowd = Crowd { receivers: Receivers::Block { block, vpc }, ..crowd };
        survey_crowd(&network, &crowd).unwrap().is_reachable()
    };
    assert_eq!([None, Some(pair.b), Some(c)].map(ask), [true, true, false], "the route leads to B");
}

/// Where no peer has heard of them, their own groups alone tell two apart.
#[test]
fn groups_tell_apart_in_a_vpc_without_peers() {
    let mut lab = Lab::default();
    let vpc = lab.vpc(&["10.16.0.0/16"]);
    let subnet = lab.subnet(vpc, &["10.16.1.0/24"]);
    let [x, y, z] = ["10.16.1.10", "10.16.1.20", "10.16.1.21"].map(|address| lab.interface(subnet, &[address]));
    let (out, web) = (lab.group(vpc), lab.group(vpc));
    lab.allow_all(out, Direction::Egress);
    lab.allow_tcp(web, 80, "10.16.0.0/16");
    for (interface, group) in [(x, out), (y, web), (z, out)] {
        lab.set_groups(interface, &[group]);
    }
    let network = Network::new(lab.complete().into_values());
    let survey = survey_crowd(&network, &to_block(&network, x, "10.16.1.20/31", None)).unwrap();
    assert_eq!(brief(&survey), [line("10.16.1.20", true, "ok"), line("10.16.1.21", true, "D22")]);
}

/// A block of one of the two VPCs' addresses, or of more.
fn block() -> impl Strategy<Value = Cidr> {
    let long = (16_u8..18, 0_u8..3, 0_u8..32, 26_u8..=32).prop_map(|(vpc, subnet, host, length)| {
        let address = core::net::Ipv4Addr::new(10, vpc, subnet, host);
        Cidr::V4(model::Ipv4Cidr::new(masked(address, length), length).unwrap())
    });
    prop_oneof![1 => Just(p("0.0.0.0/0")), 1 => Just(p("10.16.0.0/15")), 6 => long]
}

fn masked(address: core::net::Ipv4Addr, length: u8) -> core::net::Ipv4Addr {
    (u32::from(address) & u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0)).into()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Every sender and receiver of a class fares, judged alone, as the class does.
    #[test]
    fn one_pair_speaks_for_all_of_its_class(
        rules in prop::collection::vec((any::<bool>(), block(), 79_u16..82), 0..5),
        entries in prop::collection::vec((1_u16..90, 0_usize..4, any::<bool>(), block()), 0..5),
        routes in prop::collection::vec((any::<bool>(), block(), 0_u8..3), 0..4),
        people in prop::collection::vec((any::<bool>(), 4_u8..40, 0_usize..3, any::<bool>(), any::<bool>()), 1..10),
        port in 79_u16..82,
    ) {
        let mut pair = Pair::new();
        let groups = [pair.gy, pair.lab.group(pair.b), pair.lab.group(pair.b)];
        let of_a = [pair.gx, pair.lab.group(pair.a), pair.lab.group(pair.a)];
        for (number, (is_egress, block, port)) in rules.into_iter().enumerate() {
            let (direction, group) = match is_egress {
                true => (Direction::Egress, of_a[number % 3]),
                false => (Direction::Ingress, groups[number % 3]),
            };
            let ports = Ports::Range { from: port, to: port };
            pair.lab.allow(group, direction, IpProtocol::TCP, ports, RulePeer::Cidr(block));
        }
        let member = pair.lab.member_of(of_a[1]);
        pair.lab.allow(groups[1], Direction::Ingress, IpProtocol::TCP, Ports::Range { from: 80, to: 80 }, member);
        let edits: Vec<(u16, usize, NetworkAclEntry)> = entries.into_iter().map(|(number, at, allows, cidr)| {
            let action = if allows { AclAction::Allow } else { AclAction::Deny };
            (number, at, NetworkAclEntry { protocol: IpProtocol::All, action, cidr, ports: Ports::Any })
        }).collect();
        for (side, subnet) in [pair.sx, pair.sy].into_iter().enumerate() {
            pair.lab.edit_acl(subnet, |acl| {
                for (number, at, entry) in edits.iter().filter(|(_, at, _)| at / 2 == side) {
                    let entries = if at % 2 == 0 { &mut acl.ingress } else { &mut acl.egress };
                    entries.insert(*number, entry.clone());
                }
            });
        }
        let nowhere = RouteTarget::TransitGateway(model::ResourceId::from_random(9));
        for (is_far, block, to) in routes {
            let vpc = if is_far { pair.b } else { pair.a };
            let target = [RouteTarget::Peering(pair.pcx), RouteTarget::NetworkInterface(pair.x), nowhere][usize::from(to)];
            pair.lab.route(vpc, &block.to_string(), target);
        }
        let mut taken = Vec::from([10_u8]);
        for (is_far, host, group, is_up, checks) in people {
            if taken.contains(&host) {
                continue;
            }
            taken.push(host);
            let (subnet, net, group) = if is_far { (pair.sy, 17, groups[group]) } else { (pair.sx, 16, of_a[group]) };
            let interface = pair.lab.interface(subnet, &[&alloc::format!("10.{net}.1.{host}")]);
            pair.lab.set_groups(interface, &[group]);
            pair.lab.endpoint(interface).is_up = is_up;
            pair.lab.edit_interface(interface, |interface| interface.source_dest_check = checks);
        }
        let network = pair.network();
        let near = network.slice(pair.a).unwrap().endpoints.iter().map(|endpoint| endpoint.interface.id);
        let senders: Vec<_> = near.flat_map(|interface| addressed(&network, interface)).collect();
        let kind = Kind::Tcp { source: 40_000..=40_000, destination: port..=port };
        for (block, vpc) in [("10.17.1.0/26", None), ("10.16.1.0/26", Some(pair.a)), ("10.17.0.0/30", None)] {
            let receivers = Receivers::Block { block: p(block), vpc };
            let crowd = Crowd { senders: senders.clone(), receivers, kind: &kind, is_one_way: false, sight: None };
            let Ok(survey) = survey_crowd(&network, &crowd) else { continue };
            let Cidr::V4(block) = p(block) else { panic!("IPv4") };
            for (from, source) in &senders {
                for n in 0..64 {
                    let Some(address) = block.nth(n) else { continue };
                    let destination = IpAddr::V4(address);
                    let owner = vpc.and_then(|vpc| network.owner(vpc, destination));
                    if network.endpoint(*from).unwrap().interface.owns(destination) {
                        continue;
                    }
                    let has = |spans: &[Span], address| spans.iter().any(|span| span.contains(address));
                    let of: Vec<&Case> = survey
                        .cases
                        .iter()
                        .filter(|case| has(&case.senders, *source) && has(&case.receivers, destination))
                        .collect();
                    prop_assert_eq!(of.len(), 1, "{} to {} is in one case", source, destination);
                    let traffic = Traffic::Tcp { source: 40_000, destination: port };
                    let ends = Ends { from: *from, source: Some(*source), to: Goal::Address(destination), is_ipv6: false };
                    let question = Question { to: owner, ..ends.question(&network, traffic, false).unwrap() };
                    let (alone, told) = (tell(&network, &crowd, &question), tell(&network, &crowd, &of[0].answer.question));
                    prop_assert_eq!(&alone, &told, "{} to {}", source, destination);
                    prop_assert_eq!(alone == Told::Passes, of[0].answer.is_reachable());
                }
            }
        }
    }
}
