//! Ways through Internet gateways: the hops, both translations, and what stands in the way.

use alloc::string::ToString;
use alloc::vec::Vec;

use model::{Direction, ResourceId, RouteTarget};
use policy::testing::{Lab, p};

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

fn world(pair: &Pair) -> Network {
    pair.network().with_internet(pair.lab.internet())
}

fn ask(pair: &Pair) -> Answer {
    ask_in(&world(pair), pair, PUBLIC_Y, Traffic::Tcp { source: 40_000, destination: 80 })
}

fn ask_in(network: &Network, pair: &Pair, to: &str, traffic: Traffic) -> Answer {
    let ends = Ends { from: pair.x, source: None, to: Goal::Address(p(to)), is_ipv6: to.contains(':') };
    let question = ends.question(network, traffic, false);
    explain(network, &question.unwrap_or_else(|error| panic!("{error}")))
}

/// The lines for the AWS CLI of all mends, by account.
fn lines(answer: &Answer) -> Vec<(alloc::string::String, alloc::string::String)> {
    let told = answer.blockers.iter().flat_map(|blocker| commands(&blocker.mends));
    told.map(|told| (told.account.to_string(), told.aws)).collect()
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
        ("D30", |pair| pair.lab.slice(pair.b).internet_gateways.clear(), "IGW_PRIVATE_IP_ASSOCIATION_FOR_INGRESS", "y"),
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

/// What a test spoils, what is then said, and in whose commands.
type Spoiled = (fn(&mut Pair), &'static [&'static str], &'static [(&'static str, &'static str)]);

#[test]
fn every_refusal_on_the_way_has_a_mend_that_works() {
    let cases: &[Spoiled] = &[
        // No public address: one is got, and mapped.
        (
            |pair| pair.lab.edit_interface(pair.x, |x| x.public.clear()),
            &["D28"],
            &[(A, "ALLOCATION=$(aws ec2 allocate-address"), (A, "associate-address --allocation-id \"$ALLOCATION\"")],
        ),
        // No gateway at the holder's: a new one.
        (
            |pair| pair.lab.slice(pair.b).internet_gateways.clear(),
            // The way back leads to a gateway that is gone.
            &["D30", "D09"],
            &[(B, "GATEWAY=$(aws ec2 create-internet-gateway"), (B, "--vpc-id"), (B, "replace-route")],
        ),
        // No way out at all.
        (
            |pair| {
                pair.lab.slice(pair.a).internet_gateways.clear();
                pair.lab.own_table(pair.sx, &[]);
            },
            &["D08"],
            &[
                (A, "create-internet-gateway"),
                (A, "attach-internet-gateway"),
                (A, "--destination-cidr-block 0.0.0.0/0"),
            ],
        ),
        (|pair| pair.lab.own_table(pair.sy, &[]), &["D08"], &[(B, "create-route")]),
        // A default route that leads into a peering.
        (
            |pair| {
                let pcx = RouteTarget::Peering(pair.pcx);
                pair.lab.own_table(pair.sx, &[("0.0.0.0/0", pcx)]);
            },
            &["D12"],
            &[(A, "create-route"), (A, "203.0.113.17/32")],
        ),
        // A transit gateway, which is not carried.
        (
            |pair| {
                let gateway = RouteTarget::TransitGateway(model::TransitGatewayId::from_random(9));
                pair.lab.own_table(pair.sx, &[("0.0.0.0/0", gateway)]);
            },
            &["D39"],
            &[(A, "203.0.113.17/32")],
        ),
        // Who is meant is down, and not on any host.
        (
            |pair| {
                pair.lab.endpoint(pair.y).is_up = false;
                pair.lab.endpoint(pair.y).host = None;
            },
            &["D20"],
            &[(B, "attach-network-interface")],
        ),
    ];
    for (spoil, codes_of, told) in cases {
        let mut pair = outside();
        spoil(&mut pair);
        let answer = ask(&pair);
        assert_eq!(codes(&answer), *codes_of, "{:#?}", answer.blockers);
        assert_mended(&world(&pair), &answer);
        let lines = lines(&answer);
        for (account, part) in *told {
            assert!(lines.iter().any(|(who, line)| who == account && line.contains(part)), "{part}: {lines:#?}");
        }
    }
}

#[test]
fn the_receivers_rule_names_the_address_that_is_not_there_yet() {
    let mut pair = outside();
    pair.lab.edit_interface(pair.x, |x| x.public.clear());
    pair.lab.edit_group(pair.gy, |group| group.rules.retain(|_, rule| rule.direction == Direction::Egress));
    let answer = ask(&pair);
    assert_eq!(codes(&answer), ["D28", "D22"]);
    assert_mended(&world(&pair), &answer);
    let rule = commands(&answer.blockers[1].mends).remove(0);
    assert!(
        rule.aws.contains("\"IpProtocol=tcp,FromPort=80,ToPort=80,IpRanges=[{CidrIp=$ADDRESS/32}]\""),
        "{}",
        rule.aws
    );
    assert!(rule.terraform.contains("\"${aws_eip.reach.public_ip}/32\""), "{}", rule.terraform);
    assert!(header(&answer.forward.hops.last().unwrap().after).starts_with("tcp $ADDRESS:40000 > 10.17.1.10:80"));
}

#[test]
fn what_an_account_has_and_does_not_use_is_used_first() {
    let mut pair = outside();
    pair.lab.edit_interface(pair.x, |x| x.public.clear());
    let gateway = pair.lab.slice(pair.a).internet_gateways.remove(0);
    let (strangers, own, public) = (p("igw-0a1b2c3d"), p("eipalloc-0a1b2c3d"), p("198.51.100.9"));
    let spares = Spares {
        gateways: [(gateway, p(A)), (strangers, p(B))].into(),
        addresses: [(public, (p(A), own)), (p("198.51.100.1"), (p(B), p("eipalloc-0a1b2c3e")))].into(),
    };
    let network = world(&pair).with_spares(spares);
    let answer = ask_in(&network, &pair, PUBLIC_Y, Traffic::Tcp { source: 40_000, destination: 80 });
    // The route leads to it already: it is attached again, and nothing else.
    assert_eq!(codes(&answer), ["D09", "D28"]);
    assert!(matches!(answer.blockers[0].mends[..], [Mend::AttachGateway { gateway: found, .. }] if found == gateway));
    assert!(
        matches!(answer.blockers[1].mends[..], [Mend::AssociateAddress { allocation: Some(found), .. }] if found == own)
    );
    assert_mended(&network, &answer);
}

#[test]
fn an_address_that_is_held_is_mapped_to_whom_it_is_asked_for() {
    let mut pair = outside();
    pair.lab.edit_interface(pair.y, |y| y.public.clear());
    let mut internet = pair.lab.internet();
    internet.put(p(PUBLIC_Y), None);
    let held = Spares { addresses: [(p(PUBLIC_Y), (p(B), p("eipalloc-0a1b2c3d")))].into(), ..Spares::default() };
    let network = pair.network().with_internet(internet).with_spares(held);
    let traffic = Traffic::Tcp { source: 40_000, destination: 80 };
    let anybody = ask_in(&network, &pair, PUBLIC_Y, traffic);
    assert_eq!((codes(&anybody), anybody.is_complete), ([("D30")].into(), false), "nobody is meant");
    let question = Question { to: Some(pair.y), ..anybody.question };
    let answer = explain(&network, &question);
    assert_eq!(codes(&answer), ["D30"]);
    assert_mended(&network, &answer);
    assert!(lines(&answer)[0].1.contains("--allocation-id eipalloc-0a1b2c3d"), "{:?}", lines(&answer));
}

#[test]
fn a_private_address_behind_a_gateway_is_routed_over_the_peering() {
    let pair = outside();
    let network = world(&pair);
    let answer = ask_in(&network, &pair, "10.17.1.10", Traffic::Tcp { source: 40_000, destination: 80 });
    assert_eq!(codes(&answer), ["D29", "D29"]);
    assert_mended(&network, &answer);
    assert!(lines(&answer)[0].1.contains("--destination-cidr-block 10.17.0.0/16 --vpc-peering-connection-id"));
}

#[test]
fn what_a_nat_gateway_does_not_translate_goes_round_it() {
    let mut pair = outside();
    let sn = pair.lab.subnet(pair.a, &["10.16.9.0/24"]);
    let gateway = pair.lab.slice(pair.a).internet_gateways[0];
    pair.lab.own_table(sn, &[("0.0.0.0/0", RouteTarget::InternetGateway(gateway))]);
    let (nat, n) = pair.lab.nat_gateway(sn, &["10.16.9.9"]);
    pair.lab.map_public(n, "10.16.9.9", "203.0.113.99");
    pair.lab.own_table(pair.sx, &[("0.0.0.0/0", RouteTarget::NatGateway(nat))]);
    pair.lab.edit_interface(pair.x, |x| x.public.clear());
    pair.lab.allow_all(pair.gy, Direction::Ingress);
    own(&mut pair.lab, pair.a, A);
    let network = world(&pair);
    // TCP goes through: with the gateway's own port and address, then with its public one.
    let answer = ask(&pair);
    assert!(answer.is_reachable(), "{:#?}", answer.blockers);
    let changes: Vec<Stage> =
        answer.forward.hops.iter().filter(|hop| hop.before != hop.after).map(|hop| hop.stage).collect();
    assert_eq!(changes, [Stage::Nat, Stage::Gateway(Direction::Egress), Stage::Gateway(Direction::Ingress)]);
    let nat_hop = answer.forward.hops.iter().find(|hop| hop.stage == Stage::Nat).unwrap();
    assert_eq!((nat_hop.component(), nat_hop.leg), (Some(alloc::format!("{nat}")), 0));
    assert_eq!((nat_hop.before.src, nat_hop.after.src), (p("10.16.1.10"), p("10.16.9.9")));
    let back = answer.back.as_ref().unwrap();
    assert!(
        back.hops.iter().any(|hop| hop.stage == Stage::Nat && hop.after.dst == p::<core::net::IpAddr>("10.16.1.10"))
    );
    // A protocol without ports does not.
    let answer = ask_in(&network, &pair, PUBLIC_Y, Traffic::Protocol(47));
    assert_eq!(codes(&answer), ["D38", "D28"]);
    assert_eq!(answer.blockers[0].stage, Stage::Nat);
    assert_mended(&network, &answer);
    // A private one without a way out takes the gateway that is there.
    pair.lab.own_table(pair.sx, &[]);
    let answer = ask(&pair);
    assert_eq!(codes(&answer), ["D08"]);
    assert!(lines(&answer)[0].1.contains(&alloc::format!("--nat-gateway-id {nat}")), "{:?}", lines(&answer));
    assert_mended(&world(&pair), &answer);
}

#[test]
fn an_egress_only_gateway_lets_out_and_answers_in() {
    let mut lab = Lab::default();
    let (a, b) = (lab.vpc(&["10.16.0.0/16", "2001:db8:16::/56"]), lab.vpc(&["10.17.0.0/16", "2001:db8:17::/56"]));
    let sx = lab.subnet(a, &["10.16.1.0/24", "2001:db8:16:1::/64"]);
    let sy = lab.subnet(b, &["10.17.1.0/24", "2001:db8:17:1::/64"]);
    let x = lab.interface(sx, &["10.16.1.10", "2001:db8:16:1::a"]);
    let y = lab.interface(sy, &["10.17.1.10", "2001:db8:17:1::a"]);
    let (out, open) = (lab.egress_only_internet_gateway(a), lab.internet_gateway(b));
    lab.own_table(sx, &[("::/0", RouteTarget::EgressOnlyInternetGateway(out))]);
    lab.own_table(sy, &[("::/0", RouteTarget::InternetGateway(open))]);
    for (vpc, interface) in [(a, x), (b, y)] {
        let group = lab.group(vpc);
        lab.allow_all(group, Direction::Egress);
        lab.allow_tcp(group, 80, "::/0");
        lab.set_groups(interface, &[group]);
    }
    let ask = |lab: &Lab, from, to: &str| {
        let network = Network::new(lab.complete().into_values()).with_internet(lab.internet());
        let ends = Ends { from, source: None, to: Goal::Address(p(to)), is_ipv6: true };
        let traffic = Traffic::Tcp { source: 40_000, destination: 80 };
        let answer = explain(&network, &ends.question(&network, traffic, false).unwrap());
        (network, answer)
    };
    let (_, answer) = ask(&lab, x, "2001:db8:17:1::a");
    assert!(answer.is_reachable(), "{:#?}", answer.blockers);
    let gateways = |path: &Path| -> Vec<_> {
        let hops = path.hops.iter().filter(|hop| matches!(hop.stage, Stage::Gateway(_)));
        hops.map(|hop| (hop.stage, hop.component().unwrap())).collect()
    };
    let (out, open) = (alloc::format!("{out}"), alloc::format!("{open}"));
    let (left, entered) = (Stage::Gateway(Direction::Egress), Stage::Gateway(Direction::Ingress));
    assert_eq!(gateways(&answer.forward), [(left, out.clone()), (entered, open.clone())]);
    assert_eq!(gateways(answer.back.as_ref().unwrap()), [(left, open), (entered, out)]);
    // Nobody gets in unasked: that takes an internet gateway.
    let (network, answer) = ask(&lab, y, "2001:db8:16:1::a");
    assert_eq!(codes(&answer)[0], "D30");
    assert_mended(&network, &answer);
    // A VPC without any gateway is not on the internet.
    lab.slice(a).egress_only_internet_gateways.clear();
    let (network, answer) = ask(&lab, y, "2001:db8:16:1::a");
    assert_eq!(codes(&answer)[0], "D14");
    assert_mended(&network, &answer);
}

#[test]
fn somebody_outside_gets_and_sends_packets_by_the_law() {
    let pair = outside();
    let there: core::net::IpAddr = p("8.8.8.8");
    let region = p("us-east-1");
    let network = world(&pair).with_outside(&[there, p("2600::1")], region, model::Zone::all(region).next().unwrap());
    let answer = ask_in(&network, &pair, "8.8.8.8", Traffic::Tcp { source: 40_000, destination: 443 });
    assert!(answer.is_reachable(), "{:#?}", answer.blockers);
    assert_eq!(answer.forward.receiver(), Some(OUTSIDE_INTERFACE));
    // In: with the rules of the receiver.
    let source = network.outside_address(there);
    let ask = |port| {
        let ends = Ends { from: OUTSIDE_INTERFACE, source, to: Goal::Address(p(PUBLIC_Y)), is_ipv6: false };
        let traffic = Traffic::Tcp { source: 40_000, destination: port };
        explain(&network, &ends.question(&network, traffic, false).unwrap())
    };
    assert!(ask(80).is_reachable());
    let answer = ask(22);
    assert_eq!(codes(&answer), ["D22"]);
    assert!(lines(&answer)[0].1.contains("8.8.8.8/32"));
    assert_mended(&network, &answer);
}
