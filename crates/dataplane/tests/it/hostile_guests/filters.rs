//! What groups, ACLs and connection tracking are tried with (cases 31, 35-40, 42, 43).

use super::socket;
use crate::world::cloud::*;
use crate::world::{Host, config, link, to_router};
use model::{AclAction, Direction, Duration, IpProtocol, NetworkAclEntry, Ports, RulePeer, SecurityGroupRule};
use policy::{Denied, Limits};
use wire::{TcpFlags, build, icmp};

fn udp(from: Guest, to: Guest, is_v6: bool, ports: (u16, u16)) -> Vec<u8> {
    build::udp(link(from, to), socket(from, is_v6, ports.0), socket(to, is_v6, ports.1), b"x")
}

fn tcp(from: Guest, to: Guest, ports: (u16, u16), flags: TcpFlags) -> Vec<u8> {
    build::tcp(link(from, to), socket(from, false, ports.0), socket(to, false, ports.1), flags, &[])
}

fn all(direction: Direction, block: &str) -> SecurityGroupRule {
    rule(direction, IpProtocol::All, Ports::Any, of_block(block))
}

#[test]
fn both_ends_must_agree_whatever_the_order() {
    for (out, into, code) in [(true, true, "ok"), (false, true, "D05"), (true, false, "D22"), (false, false, "D05")] {
        let mut cloud = Cloud::open();
        cloud.rules(A, out.then(|| all(Direction::Egress, "10.17.0.0/16")).into_iter().collect());
        cloud.rules(B, into.then(|| all(Direction::Ingress, "10.16.0.0/16")).into_iter().collect());
        let mut host = Host::new(cloud);
        // Twice: a remembered verdict is both verdicts.
        for _ in 0..2 {
            assert_eq!(host.send(A1, &udp(A1, B1, false, (1, 53))).code(), code, "out {out}, in {into}");
        }
        // What A may send is no leave for B to begin.
        assert_eq!(host.send(B1, &udp(B1, A1, false, (2, 53))).code(), "D05");
    }
}

/// An ICMP error of this type from one guest to another about a frame.
fn error(from: Guest, to: Guest, is_v6: bool, kind: u8, about: &[u8]) -> Vec<u8> {
    let fields = icmp::Fields { kind, code: 0, rest: [0; 4] };
    build::icmp(link(from, to), from.address(is_v6), to.address(is_v6), fields, &about[14..])
}

#[test]
fn an_error_about_nothing_is_no_answer() {
    let mut host = Host::new(Cloud::guarded());
    for is_v6 in [false, true] {
        let kinds: &[u8] = if is_v6 { &[1, 2, 3, 4] } else { &[3, 11, 12] };
        let question = udp(A1, B1, is_v6, (40_000, 53));
        for kind in kinds {
            assert_eq!(
                host.send(B1, &error(B1, A1, is_v6, *kind, &question)).code(),
                "D22",
                "{kind}: nobody asked yet"
            );
        }
        host.send(A1, &question).delivered();
        for kind in kinds {
            assert_eq!(host.send(B1, &error(B1, A1, is_v6, *kind, &question)).code(), "ok", "{kind}");
        }
        let of_others =
            [udp(A1, B1, is_v6, (40_001, 53)), udp(A2, B1, is_v6, (40_000, 53)), udp(B1, A1, is_v6, (53, 40_000))];
        for about in of_others {
            assert_eq!(
                host.send(B1, &error(B1, A1, is_v6, kinds[0], &about)).code(),
                "D22",
                "it quotes no flow of A1's"
            );
        }
        assert_eq!(host.send(B1, &error(B1, A2, is_v6, kinds[0], &question)).code(), "D22", "A2 sent nothing");
        if !is_v6 {
            assert_eq!(host.send(B1, &error(B1, A1, is_v6, 5, &question)).code(), "D22", "a redirect is no error");
        }
        // Any router on the way may complain, and an error opens nothing.
        assert_eq!(host.send(B2, &error(B2, A1, is_v6, kinds[0], &question)).code(), "ok");
        assert_eq!(host.send(B2, &udp(B2, A1, is_v6, (53, 40_000))).code(), "D22");
        // Not even another address of A1's own has sent it.
        let second = if is_v6 { "2001:db8:10:1::99" } else { "10.16.1.99" };
        host.edit(|cloud| second_address(cloud, super::ip(second)));
        let fields = icmp::Fields { kind: kinds[0], code: 0, rest: [0; 4] };
        let frame = build::icmp(link(B1, A1), B1.address(is_v6), super::ip(second), fields, &question[14..]);
        assert_eq!(host.send(B1, &frame).code(), "D22", "it goes to another address");
        host.pass_time(Duration::seconds(31));
        assert_eq!(host.send(B1, &error(B1, A1, is_v6, kinds[0], &question)).code(), "D22", "the flow has ended");
    }
}

/// Gives A1 one more.
fn second_address(cloud: &mut Cloud, address: std::net::IpAddr) {
    match address {
        std::net::IpAddr::V4(v4) => cloud.interface(A1).private_ips.push(v4),
        std::net::IpAddr::V6(v6) => cloud.interface(A1).ipv6_addresses.push(v6),
    }
    let members = cloud.slice(B).peers.iter_mut().flat_map(|peer| &mut peer.members);
    members.filter(|member| member.interface == A1.eni()).for_each(|member| member.addresses.push(address));
}

fn entry(action: AclAction, protocol: IpProtocol, block: &str, ports: Ports) -> NetworkAclEntry {
    NetworkAclEntry { protocol, action, cidr: cidr(block), ports }
}

const fn icmp_type(kind: u8) -> Ports {
    Ports::Icmp { kind: Some(kind), code: None }
}

#[test]
fn an_acl_judges_errors_too() {
    let mut host = Host::new(Cloud::guarded());
    let question = udp(A1, B1, false, (40_000, 53));
    host.send(A1, &question).delivered();
    let unreachable = error(B1, A1, false, 3, &question);
    assert_eq!(host.send(B1, &unreachable).code(), "ok");
    let deny = entry(AclAction::Deny, IpProtocol::ICMP, "10.17.0.0/16", icmp_type(3));
    host.edit(|cloud| cloud.acl(A, Direction::Ingress, 1, deny));
    assert_eq!(host.send(B1, &unreachable).code(), "D19", "tracked or not");
    assert_eq!(host.send(B1, &error(B1, A1, false, 11, &question)).code(), "ok", "another type");
}

/// FTP, SIP and their like name ports in what they say; that is nothing to us.
#[test]
fn what_a_stream_says_opens_no_port() {
    let mut cloud = Cloud::guarded();
    let control =
        [21, 443].map(|number| rule(Direction::Ingress, IpProtocol::TCP, port(number), of_block("10.16.0.0/16")));
    cloud.rules(
        B,
        [&control[..], &[rule(Direction::Ingress, IpProtocol::UDP, port(5060), of_block("10.16.0.0/16"))]].concat(),
    );
    let mut host = Host::new(cloud);
    let say = |from: Guest, to: Guest, ports: (u16, u16), what: &[u8]| {
        let flags = TcpFlags::ACK | TcpFlags::PSH;
        build::tcp(link(from, to), socket(from, false, ports.0), socket(to, false, ports.1), flags, what)
    };
    host.send(A1, &tcp(A1, B1, (40_000, 21), TcpFlags::SYN)).delivered();
    host.send(B1, &tcp(B1, A1, (21, 40_000), TcpFlags::SYN | TcpFlags::ACK)).delivered();
    for what in [&b"PORT 10,16,1,10,200,21\r\n"[..], b"EPRT |1|10.16.1.10|51221|\r\n"] {
        assert_eq!(host.send(A1, &say(A1, B1, (40_000, 21), what)).code(), "ok");
    }
    for what in [
        &b"227 Entering Passive Mode (10,17,1,10,200,22)\r\n"[..],
        b"229 Entering Extended Passive Mode (|||51222|)\r\n",
    ] {
        assert_eq!(host.send(B1, &say(B1, A1, (21, 40_000), what)).code(), "ok");
    }
    assert_eq!(host.send(B1, &tcp(B1, A1, (20, 51_221), TcpFlags::SYN)).code(), "D05", "active");
    assert_eq!(host.send(A1, &tcp(A1, B1, (40_001, 51_222), TcpFlags::SYN)).code(), "D22", "passive");
    let invite = b"INVITE sip:b@10.17.1.10 SIP/2.0\r\nContent-Type: application/sdp\r\n\r\nc=IN IP4 10.16.1.10\r\nm=audio 51224 RTP/AVP 0\r\n";
    let call = build::udp(link(A1, B1), socket(A1, false, 5060), socket(B1, false, 5060), invite);
    host.send(A1, &call).delivered();
    assert_eq!(host.send(B1, &udp(B1, A1, false, (51_224, 51_224))).code(), "D05");
    assert_eq!(host.send(A1, &udp(A1, B1, false, (51_224, 51_224))).code(), "D22");
}

#[test]
fn odd_segments_open_nothing() {
    let mut host = Host::new(Cloud::guarded());
    let flags = |bits: u8| TcpFlags(bits);
    // Nothing, FIN, RST, ACK, SYN and FIN, all at once: without a flow each is judged by the rules, and none makes a way back.
    for bits in [0, 0x01, 0x04, 0x10, 0x03, 0x12, 0x3f] {
        assert_eq!(host.send(A1, &tcp(A1, B1, (1000, 444), flags(bits))).code(), "D22", "{bits:#04x} to a closed port");
        assert_eq!(
            host.send(B1, &tcp(B1, A1, (443, 2000 + u16::from(bits)), flags(bits))).code(),
            "D22",
            "{bits:#04x} back"
        );
    }
    // Picked up in the middle: to an open port it is a flow like any other.
    assert_eq!(host.send(A1, &tcp(A1, B1, (1001, 443), TcpFlags::ACK)).code(), "ok");
    assert_eq!(host.send(B1, &tcp(B1, A1, (443, 1001), TcpFlags::ACK)).code(), "ok");
    // An open flow is no leave for its other end to open another one on the same ports, with data or without.
    for payload in [&[][..], b"data"] {
        let syn = build::tcp(link(B1, A1), socket(B1, false, 443), socket(A1, false, 1001), TcpFlags::SYN, payload);
        assert_eq!(host.send(B1, &syn).code(), "D22");
    }
    assert_eq!(host.send(B1, &tcp(B1, A1, (443, 1001), TcpFlags::ACK)).code(), "ok", "which does not hurt it");
    // Both open at once, as TCP may.
    assert_eq!(host.send(A1, &tcp(A1, B1, (1002, 443), TcpFlags::SYN)).code(), "ok");
    assert_eq!(host.send(B1, &tcp(B1, A1, (443, 1002), TcpFlags::SYN)).code(), "ok");
    // Ended by both, and the tuple used again by the side that may.
    for (from, to, ports) in [(A1, B1, (1001, 443)), (B1, A1, (443, 1001))] {
        assert_eq!(host.send(from, &tcp(from, to, ports, TcpFlags::FIN | TcpFlags::ACK)).code(), "ok");
    }
    host.pass_time(Duration::seconds(11));
    assert_eq!(host.send(B1, &tcp(B1, A1, (443, 1001), TcpFlags::ACK)).code(), "D22", "the old one is over");
    assert_eq!(host.send(A1, &tcp(A1, B1, (1001, 443), TcpFlags::SYN)).code(), "ok", "a new one");
}

#[test]
fn a_third_party_resets_nothing() {
    let mut host = Host::new(Cloud::guarded());
    host.send(A1, &tcp(A1, B1, (1000, 443), TcpFlags::SYN)).delivered();
    host.send(B1, &tcp(B1, A1, (443, 1000), TcpFlags::SYN | TcpFlags::ACK)).delivered();
    let reset = |by: Guest, from: Guest, to: Guest, ports: (u16, u16)| {
        build::tcp(to_router(by), socket(from, false, ports.0), socket(to, false, ports.1), TcpFlags::RST, &[])
    };
    assert_eq!(host.send(A2, &reset(A2, A1, B1, (1000, 443))).code(), "D03", "in A1's name");
    assert_eq!(host.send(B2, &reset(B2, B1, A1, (443, 1000))).code(), "D03", "in B1's name");
    assert_eq!(host.send(B2, &reset(B2, B2, A1, (443, 1000))).code(), "D22", "in its own");
    host.pass_time(Duration::seconds(60));
    assert_eq!(host.send(B1, &tcp(B1, A1, (443, 1000), TcpFlags::ACK)).code(), "ok", "it is open still");
    assert_eq!(host.send(B1, &reset(B1, B1, A1, (443, 1000))).code(), "ok", "who takes part may");
    host.pass_time(Duration::seconds(11));
    assert_eq!(host.send(B1, &tcp(B1, A1, (443, 1000), TcpFlags::ACK)).code(), "D22");
}

#[test]
fn an_answer_comes_from_who_was_asked() {
    let mut host = Host::new(Cloud::guarded());
    for is_v6 in [false, true] {
        host.send(A1, &udp(A1, B1, is_v6, (40_000, 53))).delivered();
        for (from, to, ports) in
            [(B1, A1, (54, 40_000)), (B1, A1, (53, 40_001)), (B2, A1, (53, 40_000)), (B1, A2, (53, 40_000))]
        {
            assert_eq!(host.send(from, &udp(from, to, is_v6, ports)).code(), "D22", "{from:?} to {to:?} {ports:?}");
        }
        let other_protocol =
            build::tcp(link(B1, A1), socket(B1, is_v6, 53), socket(A1, is_v6, 40_000), TcpFlags::ACK, &[]);
        assert_eq!(host.send(B1, &other_protocol).code(), "D22");
        assert_eq!(host.send(B1, &udp(B1, A1, is_v6, (53, 40_000))).code(), "ok");
        host.pass_time(Duration::seconds(31));
        assert_eq!(host.send(B1, &udp(B1, A1, is_v6, (53, 40_000))).code(), "D22", "too late");
    }
}

#[test]
fn a_flood_costs_the_neighbours_nothing() {
    let limits = Limits { flows: 64, flows_per_interface: 16 };
    let mut host = Host::with(Cloud::guarded(), dataplane::Config { limits, shards: 1, ..config() });
    let flood = |sport| build::udp(to_router(A1), socket(A1, false, sport), socket(B1, false, 53), b"x");
    let codes: Vec<_> = (0..1000).map(|sport| host.send(A1, &flood(sport)).code()).collect();
    assert_eq!(codes.iter().filter(|code| **code == "ok").count(), 16);
    assert_eq!(host.counters(A1).denied(&full(A1)).packets, 984);
    assert_eq!(host.counters(B1).denied(&full(B1)).packets, 0, "B1's share is its own, too");
    let innocent =
        |from: Guest, sport: u16| build::udp(link(from, B2), socket(from, false, sport), socket(B2, false, 53), b"x");
    for sport in 0..8 {
        assert_eq!(host.send(A2, &innocent(A2, sport)).code(), "ok");
        assert_eq!(host.send(A3, &innocent(A3, sport)).code(), "ok");
    }
    assert_eq!(host.send(A1, &flood(0)).code(), "ok", "even its own open flows go on");
}

fn full(guest: Guest) -> Denied {
    Denied::ConntrackFull { interface: guest.eni(), of_interface: true }
}

#[test]
fn acl_entries_count_by_number_family_and_type() {
    use AclAction::{Allow, Deny};
    /// Entries of B's ACL, whether the packet is IPv6, what becomes of it.
    type Case = (&'static str, Vec<(u16, NetworkAclEntry)>, bool, &'static str);
    let udp53 = port(53);
    let cases: [Case; 8] = [
        (
            "a lower number that allows",
            vec![(1, entry(Allow, IpProtocol::UDP, "10.16.0.0/16", udp53)), (2, deny("0.0.0.0/0"))],
            false,
            "ok",
        ),
        (
            "a lower number that denies",
            vec![(1, deny("10.16.1.10/32")), (2, entry(Allow, IpProtocol::All, "0.0.0.0/0", Ports::Any))],
            false,
            "D19",
        ),
        ("a deny of other ports", vec![(1, entry(Deny, IpProtocol::UDP, "0.0.0.0/0", port(54)))], false, "ok"),
        ("a deny of the other protocol", vec![(1, entry(Deny, IpProtocol::TCP, "0.0.0.0/0", udp53))], false, "ok"),
        ("a deny of the other family", vec![(1, deny("::/0"))], false, "ok"),
        ("a deny of the other family, from IPv6", vec![(1, deny("0.0.0.0/0"))], true, "ok"),
        ("a deny of its family, from IPv6", vec![(1, deny("2001:db8:10::/48"))], true, "D19"),
        ("a deny of a source port", vec![(1, entry(Deny, IpProtocol::UDP, "0.0.0.0/0", port(40_000)))], false, "ok"),
    ];
    for (what, entries, is_v6, code) in cases {
        let mut cloud = Cloud::open();
        entries.into_iter().for_each(|(number, entry)| cloud.acl(B, Direction::Ingress, number, entry));
        let mut host = Host::new(cloud);
        assert_eq!(host.send(A1, &udp(A1, B1, is_v6, (40_000, 53))).code(), code, "{what}");
    }
    // Echo requests but no echo replies, and the other way round.
    for (kind, code) in [(8, "D19"), (0, "ok")] {
        let mut cloud = Cloud::open();
        cloud.acl(B, Direction::Ingress, 1, entry(Deny, IpProtocol::ICMP, "0.0.0.0/0", icmp_type(kind)));
        let mut host = Host::new(cloud);
        let ping = build::icmp_echo(link(A1, B1), A1.v4().into(), B1.v4().into(), true, 7, 1, b"x");
        assert_eq!(host.send(A1, &ping).code(), code, "type {kind}");
    }
    // ICMPv4's number means nothing to ICMPv6.
    let mut cloud = Cloud::open();
    cloud.acl(B, Direction::Ingress, 1, entry(Deny, IpProtocol::ICMP, "::/0", icmp_type(128)));
    let mut host = Host::new(cloud);
    let ping = build::icmp_echo(link(A1, B1), A1.v6().into(), B1.v6().into(), true, 7, 1, b"x");
    assert_eq!(host.send(A1, &ping).code(), "ok");
}

#[test]
fn an_acl_knows_no_answers() {
    let mut cloud = Cloud::guarded();
    // What servers are asked, and nothing else: no ephemeral ports.
    cloud.acl(A, Direction::Ingress, 1, entry(AclAction::Allow, IpProtocol::TCP, "0.0.0.0/0", port(443)));
    cloud.acl(A, Direction::Ingress, 2, deny("0.0.0.0/0"));
    let mut host = Host::new(cloud);
    host.send(A1, &tcp(A1, B1, (40_000, 443), TcpFlags::SYN)).delivered();
    let answer = tcp(B1, A1, (443, 40_000), TcpFlags::SYN | TcpFlags::ACK);
    assert_eq!(host.send(B1, &answer).code(), "D19", "tracked, and denied all the same");
    assert_eq!(host.counters(A1).denied_total().packets, 1, "at A1, whose subnet's ACL it is");
    let ephemeral = entry(AclAction::Allow, IpProtocol::TCP, "10.17.0.0/16", Ports::Range { from: 1024, to: 65_535 });
    host.edit(|cloud| {
        let acl = std::sync::Arc::make_mut(&mut cloud.slice(A).network_acls[0]);
        acl.ingress.remove(&2);
        acl.ingress.insert(2, ephemeral);
        acl.ingress.insert(3, deny("0.0.0.0/0"));
    });
    assert_eq!(host.send(B1, &answer).code(), "ok");
}

#[test]
fn membership_counts_from_the_next_packet_on() {
    let mut cloud = Cloud::open();
    let by_group = RulePeer::Group {
        group: group_id(A),
        owner: "111111111111".parse().unwrap(),
        vpc: vpc_id(A),
        peering: Some(pcx()),
    };
    cloud.rules(B, vec![rule(Direction::Ingress, IpProtocol::UDP, Ports::Any, by_group)]);
    let mut host = Host::new(cloud);
    let member = |host: &mut Host, is_in: bool| {
        host.edit(|cloud| {
            let groups = if is_in { [group_id(A)] } else { [id(77)] };
            let members = cloud.slice(B).peers.iter_mut().flat_map(|peer| &mut peer.members);
            members.filter(|member| member.interface == A1.eni()).for_each(|member| member.groups = groups.into());
        });
    };
    for round in 0..20_u16 {
        member(&mut host, round % 2 == 0);
        let expected = if round % 2 == 0 { "ok" } else { "D22" };
        for _ in 0..2 {
            assert_eq!(host.send(A1, &udp(A1, B1, false, (1000 + round, 53))).code(), expected, "round {round}");
        }
    }
    // The group is gone, and with it every member: the rule is stale, and says so.
    host.edit(|cloud| cloud.slice(B).peers[0].groups.clear());
    assert_eq!(host.send(A1, &udp(A1, B1, false, (2000, 53))).code(), "D23");
}
