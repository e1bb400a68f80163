//! The cloud's own names, forwards and backwards (spec 9.2, 9.4).

use std::sync::Arc;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::RecordType;

use crate::world::{Cloud, INSTANCE, Said, THEIRS, THEIRS_PUBLIC, data, p, query};
use dns::{Answer, Resolver, Transport};
use model::{NameSuffixes, RecordType as Kind, Suffixes};

#[test]
fn a_name_of_another_type_is_there_and_empty() {
    let cloud = Cloud::new(true);
    for name in ["ip-10-0-0-5.ec2.internal.", "ec2-203-0-113-5.compute-1.amazonaws.com.", "ec2.internal."] {
        for kind in [RecordType::AAAA, RecordType::TXT, RecordType::MX] {
            assert_eq!(cloud.ask(name, kind), Said::Nothing, "{name} {kind}");
        }
    }
    assert_eq!(cloud.ask("5.0.0.10.in-addr.arpa.", RecordType::A), Said::Nothing);
}

#[test]
fn names_are_the_same_in_any_case() {
    let cloud = Cloud::new(true);
    assert_eq!(cloud.ask("IP-10-0-0-5.Ec2.INTERNAL.", RecordType::A), data(&["10.0.0.5"]));
}

#[test]
fn what_nobody_has_is_nowhere_and_never_asked_elsewhere() {
    let cloud = Cloud::new(true);
    for name in [
        "ip-10-0-0-6.ec2.internal.",
        "x.ip-10-0-0-5.ec2.internal.",
        "ip-10-0-0-5.eu-west-1.compute.internal.",
        "ip-10-1-0-5.eu-west-1.compute.internal.",
        "ec2-203-0-113-77.compute-1.amazonaws.com.",
        "ec2-203-0-113-5.eu-west-1.compute.amazonaws.com.",
        "anything.compute.internal.",
        "i-0123456789abcdef0.ec2.internal.",
        "web.",
        "x.onion.",
    ] {
        assert_eq!(cloud.ask(name, RecordType::A), Said::NoName, "{name}");
        let bytes = query(name, RecordType::A).to_vec().unwrap();
        let with_upstream = cloud.resolver().answer(cloud.own, &bytes, Transport::Udp, true);
        assert!(matches!(with_upstream, Answer::Now(_)), "{name}");
    }
    for name in ["6.0.0.10.in-addr.arpa.", "1.0.16.172.in-addr.arpa.", "9.9.64.100.in-addr.arpa."] {
        assert_eq!(cloud.ask(name, RecordType::PTR), Said::NoName, "{name}");
    }
    assert_eq!(cloud.ask("10.in-addr.arpa.", RecordType::PTR), Said::Nothing);
}

#[test]
fn a_public_address_that_is_mapped_to_nothing_is_itself() {
    let cloud = Cloud::new(true);
    assert_eq!(cloud.ask("ec2-203-0-113-99.compute-1.amazonaws.com.", RecordType::A), data(&["203.0.113.99"]));
    let reverse = "25.113.0.203.in-addr.arpa.";
    assert_eq!(cloud.ask(reverse, RecordType::PTR), data(&["ec2-203-0-113-25.compute-1.amazonaws.com."]));
    let unmapped = cloud.ask("99.113.0.203.in-addr.arpa.", RecordType::PTR);
    assert_eq!(unmapped, Said::Code(ResponseCode::Refused), "nobody has it: it has no name here");
}

#[test]
fn a_resource_name_has_what_its_switches_say() {
    let name = format!("{INSTANCE}.ec2.internal.");
    for (a, aaaa) in [(true, false), (false, true), (true, true)] {
        let mut cloud = Cloud::new(true);
        cloud.name(cloud.own, a, aaaa);
        let expect = |is_on: bool, address: &str| if is_on { data(&[address]) } else { Said::Nothing };
        assert_eq!(cloud.ask(&name, RecordType::A), expect(a, "10.0.0.5"));
        assert_eq!(cloud.ask(&name, RecordType::AAAA), expect(aaaa, "2001:db8:a::5"));
        let reverse = "5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.a.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa.";
        let bytes = query(reverse, RecordType::PTR).to_vec().unwrap();
        let Answer::Now(said) = cloud.resolver().answer(cloud.own, &bytes, Transport::Udp, false) else { panic!() };
        let expected = if aaaa { data(&[&name]) } else { Said::NoName };
        assert_eq!(crate::world::read(&said), expected);
    }
}

/// 9.5: "Resource names follow the same rule": in one region its RFC 1918 address, the rest only with the option.
#[test]
fn a_peers_resource_name_has_what_may_be_seen() {
    let mut cloud = Cloud::new(true);
    cloud.name(cloud.peer, true, true);
    let name = format!("{INSTANCE}.ec2.internal.");
    assert_eq!(cloud.ask(&name, RecordType::A), data(&["10.1.0.5"]));
    assert_eq!(cloud.ask(&name, RecordType::AAAA), Said::Nothing);
    cloud.allow(cloud.peer, true);
    assert_eq!(cloud.ask(&name, RecordType::AAAA), data(&["2001:db8:b::5"]));
    let elsewhere = format!("{INSTANCE}.eu-west-1.compute.internal.");
    assert_eq!(cloud.ask(&elsewhere, RecordType::A), Said::NoName, "not its region's");
    cloud.move_peer("eu-west-1");
    assert_eq!(cloud.ask(&elsewhere, RecordType::A), data(&["10.1.0.5"]));
    assert_eq!(cloud.ask(&name, RecordType::A), Said::NoName);
    cloud.allow(cloud.peer, false);
    assert_eq!(cloud.ask(&elsewhere, RecordType::A), Said::NoName, "another region's, and nobody allows it");
}

/// The same backwards: no RFC 1918 address, so only with the option. What stands between is not asked of anybody else here.
#[test]
fn a_peers_ipv6_address_has_a_name_where_it_may_be_seen() {
    const REVERSE: &str = "5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.b.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa.";
    let mut cloud = Cloud::new(true);
    cloud.name(cloud.peer, true, true);
    let refused = Said::Code(ResponseCode::Refused);
    assert_eq!(cloud.ask(REVERSE, RecordType::PTR), refused, "as any address of the world");
    cloud.allow(cloud.peer, true);
    assert_eq!(cloud.ask(REVERSE, RecordType::PTR), data(&[&format!("{INSTANCE}.ec2.internal.")]));
    cloud.switch(cloud.own, true, false);
    assert_eq!(cloud.ask(REVERSE, RecordType::PTR), refused);
}

#[test]
fn without_host_names_a_resource_has_none() {
    let reverse = "5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.a.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa.";
    let mut cloud = Cloud::new(true);
    cloud.name(cloud.own, true, true);
    cloud.switch(cloud.own, true, false);
    assert_eq!(cloud.ask(&format!("{INSTANCE}.ec2.internal."), RecordType::A), Said::NoName);
    assert_eq!(cloud.ask(reverse, RecordType::PTR), Said::NoName);
}

#[test]
fn answers_are_remembered_for_a_minute() {
    let cloud = Cloud::new(true);
    for (name, is_there) in [("ip-10-0-0-5.ec2.internal.", true), ("ip-10-0-0-6.ec2.internal.", false)] {
        let bytes = query(name, RecordType::A).to_vec().unwrap();
        let Answer::Now(said) = cloud.resolver().answer(cloud.own, &bytes, Transport::Udp, false) else { panic!() };
        let message = Message::from_vec(&said).unwrap();
        let ttls: Vec<u32> = message.answers.iter().chain(&message.authorities).map(|record| record.ttl).collect();
        assert_eq!(ttls, [60], "{name}");
        assert!(message.metadata.recursion_available && !message.metadata.authoritative);
        let expected = if is_there { ResponseCode::NoError } else { ResponseCode::NXDomain };
        assert_eq!(message.metadata.response_code, expected);
    }
}

#[test]
fn the_name_of_this_machine_is_itself() {
    let cloud = Cloud::new(true);
    assert_eq!(cloud.ask("localhost.", RecordType::A), data(&["127.0.0.1"]));
    assert_eq!(cloud.ask("a.localhost.", RecordType::AAAA), data(&["::1"]));
}

/// users.md 7.1, case 46: a VPC's resolver knows nothing of VPCs that it is not peered with.
#[test]
fn a_stranger_sees_public_addresses_only() {
    let mut cloud = Cloud::new(true);
    cloud.allow(cloud.peer, true);
    let stranger = cloud.stranger();
    let resolver = cloud.resolver();
    let ask = |name: &str| crate::world::ask(&resolver, stranger, name, RecordType::A);
    assert_eq!(ask("ec2-203-0-113-25.compute-1.amazonaws.com."), data(&["203.0.113.25"]));
    assert_eq!(ask("ip-10-1-0-5.ec2.internal."), Said::NoName);
    assert_eq!(crate::world::ask(&resolver, stranger, "5.0.1.10.in-addr.arpa.", RecordType::PTR), Said::NoName);
}

/// 9.4.3: what a peer allows is told of its own names, and of nobody else's.
#[test]
fn a_peer_that_allows_it_speaks_for_itself_alone() {
    let mut cloud = Cloud::new(true);
    cloud.allow(cloud.peer, true);
    let stranger = cloud.stranger();
    let mut place = (*cloud.public[&p(THEIRS_PUBLIC)]).clone();
    let holder = place.holder.as_mut().unwrap();
    (holder.vpc, holder.private) = (stranger, p("10.9.0.5"));
    cloud.public.insert(p("203.0.113.9"), Arc::new(place));
    assert_eq!(cloud.ask("ec2-203-0-113-25.compute-1.amazonaws.com.", RecordType::A), data(&[THEIRS]));
    assert_eq!(cloud.ask("ec2-203-0-113-9.compute-1.amazonaws.com.", RecordType::A), data(&["203.0.113.9"]));
}

/// The same of two peers at once: one's option shows nothing of the other.
#[test]
fn one_peers_option_is_not_another_peers() {
    let mut cloud = Cloud::new(true);
    cloud.allow(cloud.peer, true);
    let stranger = cloud.stranger();
    let mut intent = cloud.intent();
    let slice = Arc::make_mut(intent.vpcs.get_mut(&cloud.own).unwrap());
    let mut peering = (*slice.peerings[0]).clone();
    peering.id = p("pcx-0123456789abcdef0");
    peering.accepter.vpc = stranger;
    peering.accepter.options.allow_dns_resolution_from_remote_vpc = false;
    let mut peer = slice.peers[0].clone();
    (peer.peering, peer.vpc) = (peering.id, stranger);
    peer.members[0].addresses = vec![p("100.65.0.5")];
    peer.members.truncate(1);
    slice.peerings.push(Arc::new(peering));
    slice.peers.push(peer);
    let resolver = Resolver::default().renew(&Arc::new(intent));
    let ask = |name: &str, kind| crate::world::ask(&resolver, cloud.own, name, kind);
    assert_eq!(ask("ip-100-64-0-5.ec2.internal.", RecordType::A), data(&["100.64.0.5"]));
    assert_eq!(ask("ip-100-65-0-5.ec2.internal.", RecordType::A), Said::NoName);
    assert_eq!(ask("5.0.65.100.in-addr.arpa.", RecordType::PTR), Said::NoName);
}

/// Spec 9.2: an operator's suffixes are the cloud's; AWS's are then names like any other.
#[test]
fn names_end_with_what_the_operator_chose() {
    let mut cloud = Cloud::new(true);
    let of = |us_east_1: &str, regions: &str| Suffixes { us_east_1: p(us_east_1), regions: p(regions) };
    let names = NameSuffixes::new(of("one.inside.example", "inside.example"), of("out.example", "far.out.test"));
    assert!(names.is_err(), "in each other");
    let names = NameSuffixes::new(of("one.example", "inside.example"), of("out.example", "far.out.test")).unwrap();
    cloud.names = Arc::new(names);
    cloud.name(cloud.own, true, true);
    cloud.move_peer("eu-west-1");
    cloud.allow(cloud.peer, true);
    for (name, address) in [
        ("ip-10-0-0-5.one.example.", "10.0.0.5"),
        ("ec2-203-0-113-5.out.example.", "10.0.0.5"),
        ("ip-10-1-0-5.eu-west-1.inside.example.", "10.1.0.5"),
        ("ec2-203-0-113-25.eu-west-1.far.out.test.", "10.1.0.5"),
        (&format!("{INSTANCE}.one.example."), "10.0.0.5"),
    ] {
        assert_eq!(cloud.ask(name, RecordType::A), data(&[address]), "{name}");
    }
    for (reverse, name) in [
        ("5.0.0.10.in-addr.arpa.", "ip-10-0-0-5.one.example."),
        ("5.0.1.10.in-addr.arpa.", "ip-10-1-0-5.eu-west-1.inside.example."),
        ("25.113.0.203.in-addr.arpa.", "ec2-203-0-113-25.eu-west-1.far.out.test."),
    ] {
        assert_eq!(cloud.ask(reverse, RecordType::PTR), data(&[name]), "{reverse}");
    }
    for nowhere in ["ip-10-0-0-5.ec2.internal.", "ip-10-0-0-6.one.example.", "x.eu-west-1.far.out.test."] {
        assert_eq!(cloud.ask(nowhere, RecordType::A), Said::NoName, "{nowhere}");
    }
    // A zone of the same name still has the last word, and a shorter one has not.
    cloud.zone("example.", &[("ip-10-0-0-5.one.example.", Kind::A, &["10.0.0.66"])]);
    assert_eq!(cloud.ask("ip-10-0-0-5.one.example.", RecordType::A), data(&["10.0.0.5"]));
    cloud.zone("one.example.", &[("ip-10-0-0-5.one.example.", Kind::A, &["10.0.0.66"])]);
    assert_eq!(cloud.ask("ip-10-0-0-5.one.example.", RecordType::A), data(&["10.0.0.66"]));
}
