//! What flow logs count (spec 12.1): every packet that the rules judged, once at each end, as many bytes as it has.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use dataplane::{Config, Evidence, FlowRecord, HEADROOM, Line, LogSubject, Records};
use model::*;
use policy::Denied;
use proptest::prelude::*;
use wire::vnet::VnetHeader;
use wire::{TcpFlags, build};

use crate::world::cloud::*;
use crate::world::pair::{self, Pair, place};
use crate::world::{Host, MTU, Outcome, START, link, port_of, to_router};

fn socket(guest: Guest, is_v6: bool, port: u16) -> SocketAddr {
    SocketAddr::new(guest.address(is_v6), port)
}

fn udp(from: Guest, to: Guest, dport: u16, len: usize) -> Vec<u8> {
    build::udp(link(from, to), socket(from, false, 40_000), socket(to, false, dport), &vec![7; len])
}

fn taken(host: &Host) -> Records {
    host.shared.take_flows().records()
}

fn guest_of(interface: NetworkInterfaceId) -> Guest {
    GUESTS.into_iter().find(|guest| guest.eni() == interface).unwrap()
}

/// Where, `>` out or `<` in, destination port, outcome, packets, bytes.
type Brief = (Guest, char, u16, &'static str, u64, u64);

/// What is changed first, the port, and the lines.
type Refusal = (fn(&mut Cloud), u16, &'static [Brief]);

fn brief(record: &FlowRecord) -> Brief {
    let FlowRecord { flow, packets, bytes, .. } = record;
    let way = if flow.direction == Direction::Egress { '>' } else { '<' };
    let outcome = flow.rejected.map_or("ok", |index| Denied::ALL[usize::from(index)].code);
    (guest_of(flow.interface), way, flow.dst_port, outcome, *packets, *bytes)
}

fn briefs(host: &Host) -> Vec<Brief> {
    let records = taken(host);
    assert_eq!(records.skipped, BTreeMap::new());
    records.flows.iter().map(brief).collect()
}

#[track_caller]
fn expect(mut seen: Vec<Brief>, expected: &[Brief]) {
    let order = |brief: &Brief| (brief.0.eni(), brief.1, brief.2, brief.3);
    let mut expected = expected.to_vec();
    seen.sort_by_key(order);
    expected.sort_by_key(order);
    assert_eq!(seen, expected);
}

#[test]
fn udp_is_exact_at_both_ends_and_each_interval_by_itself() {
    let mut host = Host::new(Cloud::guarded().logged());
    for len in [0, 1, 100, 1400] {
        host.send(A1, &udp(A1, B1, 53, len)).delivered();
    }
    host.send(B1, &build::udp(link(B1, A1), socket(B1, false, 53), socket(A1, false, 40_000), b"answer")).delivered();
    let bytes = 4 * 28 + 1501;
    let expected = [(A1, '>', 53, "ok", 4, bytes), (B1, '<', 53, "ok", 4, bytes)];
    let answer = [(B1, '>', 40_000, "ok", 1, 34), (A1, '<', 40_000, "ok", 1, 34)];
    expect(briefs(&host), &[expected, answer].concat());
    expect(briefs(&host), &[]);
    host.send(A1, &udp(A1, B1, 53, 10)).delivered();
    expect(briefs(&host), &[(A1, '>', 53, "ok", 1, 38), (B1, '<', 53, "ok", 1, 38)]);
}

#[test]
fn who_refuses_rejects_and_who_let_it_go_accepted() {
    // At a host that has both ends, and at two that have one each: the lines are the same.
    let refusals: [Refusal; 6] = [
        (|_| (), 54, &[(A1, '>', 54, "ok", 2, 76), (B1, '<', 54, "D22", 2, 76)]),
        (|cloud| cloud.rules(A, Vec::new()), 53, &[(A1, '>', 53, "D05", 2, 76)]),
        (|cloud| cloud.acl(A, Direction::Egress, 7, deny("10.17.0.0/16")), 53, &[(A1, '>', 53, "D07", 2, 76)]),
        (
            |cloud| cloud.acl(B, Direction::Ingress, 8, deny("10.16.0.0/16")),
            53,
            &[(A1, '>', 53, "ok", 2, 76), (B1, '<', 53, "D19", 2, 76)],
        ),
        (|cloud| cloud.routes(A, |routes| routes.truncate(2)), 53, &[]),
        (|cloud| cloud.endpoint(B1).is_up = false, 53, &[(A1, '>', 53, "ok", 2, 76)]),
    ];
    for (edit, dport, expected) in refusals {
        let mut host = Host::new(Cloud::guarded().logged());
        host.edit(edit);
        let mut pair = Pair::new(Cloud::guarded().logged());
        pair.edit(edit);
        for _ in 0..2 {
            assert!(matches!(host.send(A1, &udp(A1, B1, dport, 10)), Outcome::Denied(_)));
            if pair.send(A1, &VnetHeader::default(), &udp(A1, B1, dport, 10)) == Outcome::Sealed {
                let batch = pair.take(0);
                assert!(pair.give(1, &batch).is_empty());
            }
        }
        expect(briefs(&host), expected);
        expect(pair.hosts.iter().flat_map(briefs).collect(), expected);
    }
}

#[test]
fn the_rule_that_refused_is_named() {
    let mut host = Host::new(Cloud::guarded().logged());
    host.edit(|cloud| cloud.acl(B, Direction::Ingress, 8, deny("10.16.1.0/24")));
    host.send(A1, &udp(A1, B1, 53, 1));
    host.send(A3, &udp(A3, B1, 54, 1));
    let evidence = |records: &Records, guest: Guest| {
        let of = |record: &&FlowRecord| record.flow.interface == B1.eni() && record.flow.src == guest.address(false);
        records.flows.iter().find(of).unwrap().evidence
    };
    let records = taken(&host);
    assert_eq!(evidence(&records, A1), Some(Evidence::Acl(id(B), 8)));
    assert_eq!(evidence(&records, A3), None, "of a group there is no rule to be named");
}

#[test]
fn what_the_rules_did_not_decide_is_not_recorded() {
    let mut host = Host::new(Cloud::open().logged());
    let from = |src: &str, dst: &str| build::udp(to_router(A1), src.parse().unwrap(), dst.parse().unwrap(), b"x");
    for (frame, code) in [
        (from("10.16.1.10:1", "10.16.0.2:53"), "D04"),
        (from("10.16.1.10:1", "169.254.169.253:53"), "D04"),
        (from("10.16.1.10:1", "169.254.169.254:80"), "D04"),
        (from("10.16.1.10:1", "169.254.169.123:123"), "D04"),
        (from("10.16.1.10:1", "10.16.1.1:9"), "D14"),
        (from("10.16.1.10:1", "224.0.0.1:9"), "D04"),
        (from("10.16.1.77:1", "10.17.1.10:9"), "D03"),
        (from("10.16.1.10:1", "10.99.0.1:9"), "D08"),
        (from("10.16.1.10:1", "10.17.1.99:9"), "D14"),
        (build::udp(link(A1, B1), socket(A1, true, 1), socket(B1, true, 9), &[7; MTU as usize]), "answered"),
        (build::arp_request(A1.mac(), A1.v4(), "10.16.1.1".parse().unwrap()), "answered"),
    ] {
        assert_eq!(host.send(A1, &frame).code(), code);
    }
    expect(briefs(&host), &[]);
    // Nor who forwards for others, which no check of addresses stops.
    host.edit(|cloud| {
        cloud.interface(A1).source_dest_check = false;
        cloud.rules(A, Vec::new());
    });
    assert_eq!(host.send(A1, &from("10.99.0.1:1", "10.16.0.2:53")).code(), "D05");
    assert_eq!(host.send(A1, &from("10.99.0.1:1", "10.16.1.1:53")).code(), "D05");
    expect(briefs(&host), &[]);
}

#[test]
fn a_super_frame_counts_as_its_packets() {
    for is_v6 in [false, true] {
        let (src, dst) = (socket(A1, is_v6, 40_000), socket(B1, is_v6, 443));
        let ip = if is_v6 { 40 } else { 20 };
        let mut host = Host::new(Cloud::guarded().logged());
        let mut pair = Pair::new(Cloud::guarded().logged());
        let mut sent = (0, 0);
        for (len, gso, headers) in [(60_000, 1300, ip + 20), (1301, 1300, ip + 20), (5, 1300, ip + 20)] {
            let (header, frame) = build::tcp_super_frame(to_router(A1), src, dst, &vec![7; len], gso);
            assert!(matches!(host.send_with(A1, &header, &frame), Outcome::Delivered(..)));
            assert!(!pair.carry(A1, &header, &frame).is_empty());
            let packets = len.div_ceil(usize::from(gso));
            sent = (sent.0 + packets as u64, sent.1 + (len + packets * headers) as u64);
        }
        let expected = [(A1, '>', 443, "ok", sent.0, sent.1), (B1, '<', 443, "ok", sent.0, sent.1)];
        expect(briefs(&host), &expected);
        expect(pair.hosts.iter().flat_map(briefs).collect(), &expected);
        // Datagrams too, which come merged.
        let dst = socket(B1, is_v6, 53);
        let (header, frame) = build::udp_super_frame(to_router(A1), src, dst, &[7; 10_000], 1000);
        host.send_with(A1, &header, &frame).delivered();
        assert_eq!(pair.carry(A1, &header, &frame).len(), 1);
        let bytes = 10_000 + 10 * (ip + 8) as u64;
        let expected = [(A1, '>', 53, "ok", 10, bytes), (B1, '<', 53, "ok", 10, bytes)];
        expect(briefs(&host), &expected);
        expect(pair.hosts.iter().flat_map(briefs).collect(), &expected);
    }
}

#[test]
fn each_end_counts_what_its_own_guest_sees() {
    // The sender's segments are longer than the way between hosts takes: it is cut smaller, which the sender does not know.
    let mut pair = Pair::new(Cloud::guarded().logged());
    let (src, dst) = (socket(A1, false, 40_000), socket(B1, false, 443));
    let (header, frame) = build::tcp_super_frame(to_router(A1), src, dst, &[7; 14_600], 1460);
    pair.carry(A1, &header, &frame);
    let pieces = 14_600_u64.div_ceil(u64::from(pair::TUNNEL_MTU) - 40);
    expect(
        pair.hosts.iter().flat_map(briefs).collect(),
        &[(A1, '>', 443, "ok", 10, 14_600 + 10 * 40), (B1, '<', 443, "ok", pieces, 14_600 + pieces * 40)],
    );
}

#[test]
fn a_fragment_counts_as_a_packet_of_its_datagrams_flow() {
    for is_v6 in [false, true] {
        for (dport, outcome) in [(53, "ok"), (54, "D22")] {
            let whole = build::udp(to_router(A1), socket(A1, is_v6, 40_000), socket(B1, is_v6, dport), &[7; 4000]);
            let frames = build::fragments(&whole, 1, 1200);
            let bytes: usize = frames.iter().map(|frame| frame.len() - 14).sum();
            let (count, bytes) = (frames.len() as u64, bytes as u64);
            let expected = [(A1, '>', dport, "ok", count, bytes), (B1, '<', dport, outcome, count, bytes)];
            for order in [vec![0, 1, 2, 3], vec![2, 1, 0, 3], vec![3, 2, 1, 0]] {
                let mut host = Host::new(Cloud::guarded().logged());
                let mut pair = Pair::new(Cloud::guarded().logged());
                for at in &order {
                    host.send(A1, &frames[*at]);
                    pair.send(A1, &VnetHeader::default(), &frames[*at]);
                }
                expect(briefs(&host), &expected);
                let batch = pair.take(0);
                pair.give(1, &batch);
                expect(pair.hosts.iter().flat_map(briefs).collect(), &expected);
                // And those that overtake their first one on the way.
                let mut pair = Pair::new(Cloud::guarded().logged());
                frames.iter().for_each(|frame| drop(pair.send(A1, &VnetHeader::default(), frame)));
                let run = pair.take(0);
                let mut datagrams: Vec<_> = run
                    .iter()
                    .flat_map(|(bytes, segment)| bytes.chunks(usize::from(*segment)).map(<[u8]>::to_vec))
                    .map(|bytes| (bytes.clone(), bytes.len() as u16))
                    .collect();
                datagrams.reverse();
                pair.give(1, &datagrams);
                expect(pair.hosts.iter().flat_map(briefs).collect(), &expected);
            }
        }
    }
}

#[test]
fn icmp_has_no_ports_and_its_answer_is_a_flow_of_its_own() {
    let mut host = Host::new(Cloud::guarded().logged());
    for is_v6 in [false, true] {
        let (x, y) = (A1.address(is_v6), B1.address(is_v6));
        for n in 1..=4 {
            host.send(A1, &build::icmp_echo(link(A1, B1), x, y, true, 7, n, &[7; 56])).delivered();
            host.send(B1, &build::icmp_echo(link(B1, A1), y, x, false, 7, n, &[7; 56])).delivered();
        }
        let bytes = 4 * if is_v6 { 104 } else { 84 };
        let ends = [(A1, '>'), (A1, '<'), (B1, '>'), (B1, '<')];
        expect(briefs(&host), &ends.map(|(guest, way)| (guest, way, 0, "ok", 4, bytes)));
    }
}

#[test]
fn tcp_flags_are_those_of_all_packets_and_ack_only_beside_syn() {
    let mut host = Host::new(Cloud::guarded().logged());
    let (src, dst) = (socket(A1, false, 40_000), socket(B1, false, 443));
    let (syn_ack, fin_ack) = (TcpFlags::SYN | TcpFlags::ACK, TcpFlags::FIN | TcpFlags::ACK);
    let mut exchange = |out: &[TcpFlags], back: &[TcpFlags]| {
        out.iter().for_each(|flags| drop(host.send(A1, &build::tcp(link(A1, B1), src, dst, *flags, b"")).delivered()));
        back.iter().for_each(|flags| drop(host.send(B1, &build::tcp(link(B1, A1), dst, src, *flags, b"")).delivered()));
        let records = taken(&host).flows;
        let of = |direction| {
            let at_a1 = |record: &&FlowRecord| (record.flow.interface, record.flow.direction) == (A1.eni(), direction);
            records.iter().find(at_a1).unwrap().tcp_flags
        };
        (of(Direction::Egress), of(Direction::Ingress))
    };
    assert_eq!(exchange(&[TcpFlags::SYN, TcpFlags::ACK], &[syn_ack]), (2, 18));
    assert_eq!(exchange(&[TcpFlags::ACK | TcpFlags::PSH], &[TcpFlags::ACK]), (0, 0));
    assert_eq!(exchange(&[fin_ack], &[fin_ack, TcpFlags::RST]), (1, 5));
    assert_eq!(exchange(&[TcpFlags::SYN | TcpFlags::ECE, fin_ack], &[syn_ack, fin_ack]), (3, 19));
}

#[test]
fn only_what_a_flow_log_asks_for() {
    let cases: [(LoggedResource, TrafficType, &[Brief]); 5] = [
        (
            LoggedResource::NetworkInterface(A1.eni()),
            TrafficType::All,
            &[(A1, '>', 53, "ok", 1, 38), (A1, '>', 54, "ok", 1, 38)],
        ),
        (
            LoggedResource::Subnet(subnet_id(A, 1)),
            TrafficType::Reject,
            &[(A1, '<', 9, "D22", 1, 38), (A2, '<', 9, "D22", 1, 38)],
        ),
        (LoggedResource::Subnet(subnet_id(A, 2)), TrafficType::All, &[]),
        (LoggedResource::NetworkInterface(A2.eni()), TrafficType::Accept, &[]),
        (
            LoggedResource::Vpc(vpc_id(A)),
            TrafficType::Accept,
            &[(A1, '>', 53, "ok", 1, 38), (A1, '>', 54, "ok", 1, 38), (B1, '>', 9, "ok", 0, 0)],
        ),
    ];
    for (resource, traffic, expected) in cases {
        let mut cloud = Cloud::guarded();
        cloud.log(A, resource, traffic);
        let mut host = Host::new(cloud);
        host.send(A1, &udp(A1, B1, 53, 10));
        host.send(A1, &udp(A1, B1, 54, 10));
        host.send(B1, &udp(B1, A1, 9, 10));
        host.send(B1, &udp(B1, A2, 9, 10));
        let expected: Vec<Brief> = expected.iter().copied().filter(|brief| brief.4 > 0).collect();
        let seen = briefs(&host);
        let seen =
            seen.into_iter().filter(|brief| resource != LoggedResource::NetworkInterface(A1.eni()) || brief.1 == '>');
        expect(seen.collect(), &expected);
    }
    let mut host = Host::new(Cloud::guarded());
    host.send(A1, &udp(A1, B1, 53, 10)).delivered();
    assert_eq!(taken(&host), Records::default());
    host.edit(|cloud| cloud.log(B, LoggedResource::Vpc(vpc_id(B)), TrafficType::All));
    host.send(A1, &udp(A1, B1, 53, 10)).delivered();
    host.edit(|cloud| cloud.slice(B).flow_logs.clear());
    host.send(A1, &udp(A1, B1, 53, 10)).delivered();
    expect(briefs(&host), &[(B1, '<', 53, "ok", 1, 38)]);
}

#[test]
fn what_waits_for_keys_counts_when_it_leaves() {
    let mut pair = Pair::without_keys(Cloud::open().logged());
    for n in 0..3 {
        assert_eq!(pair.send(A1, &VnetHeader::default(), &udp(A1, B1, 53, n)), Outcome::Held);
    }
    expect(briefs(&pair.hosts[0]), &[]);
    pair.agree(0, pair::peering(A, B));
    assert_eq!(pair.release(0), [Outcome::Sealed, Outcome::Sealed, Outcome::Sealed]);
    let batch = pair.take(0);
    pair.give(1, &batch);
    expect(pair.hosts.iter().flat_map(briefs).collect(), &[(A1, '>', 53, "ok", 3, 87), (B1, '<', 53, "ok", 3, 87)]);
}

#[test]
fn a_full_table_skips_and_says_so() {
    let mut host = Host::with(Cloud::open().logged(), Config { logged_flows: 8, ..crate::world::config() });
    for dport in 0..10 {
        host.send(A1, &udp(A1, B1, dport, 10)).delivered();
    }
    host.send(A1, &udp(A1, B1, 0, 10)).delivered();
    let records = taken(&host);
    let of = |guest: Guest| records.flows.iter().filter(move |record| record.flow.interface == guest.eni());
    assert_eq!((of(A1).count(), of(B1).count()), (4, 4));
    assert_eq!(of(A1).map(|record| record.packets).sum::<u64>(), 5, "a flow that has its place goes on");
    assert_eq!(records.skipped, BTreeMap::from([(A1.eni(), 6), (B1.eni(), 6)]));
    host.send(A1, &udp(A1, B1, 9, 10)).delivered();
    expect(briefs(&host), &[(A1, '>', 9, "ok", 1, 38), (B1, '<', 9, "ok", 1, 38)]);
}

#[derive(Clone, Debug)]
enum Deed {
    /// To a guest's port, with so many bytes.
    Send(usize, usize, u16, usize),
    Stream(usize, usize, usize),
    DropCache,
    Apply,
    Take,
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        8 => (0..5_usize, 0..5_usize, 52..55_u16, 0..1400_usize).prop_map(|(from, to, port, len)| Deed::Send(from, to, port, len)),
        3 => (0..5_usize, 0..5_usize, 1..60_000_usize).prop_map(|(from, to, len)| Deed::Stream(from, to, len)),
        1 => Just(Deed::DropCache),
        1 => Just(Deed::Apply),
        1 => Just(Deed::Take),
    ]
}

/// What lines should say, summed up: accepted packets and bytes out, accepted in, rejected.
#[derive(Debug, Default, PartialEq)]
struct Sums {
    out: (u64, u64),
    into: (u64, u64),
    rejected: (u64, u64),
}

impl Sums {
    fn add(sum: &mut (u64, u64), packets: u64, bytes: u64) {
        *sum = (sum.0 + packets, sum.1 + bytes);
    }

    fn take(&mut self, records: &Records) {
        assert_eq!(records.skipped, BTreeMap::new());
        for FlowRecord { flow, packets, bytes, .. } in &records.flows {
            let sum = match (flow.rejected, flow.direction) {
                (Some(_), _) => &mut self.rejected,
                (None, Direction::Egress) => &mut self.out,
                (None, Direction::Ingress) => &mut self.into,
            };
            Sums::add(sum, *packets, *bytes);
        }
    }
}

proptest! {
    /// Whatever is remembered, forgotten or put in force between them: the lines add up to the packets given.
    #[test]
    fn lines_add_up_to_the_packets_given(deeds in prop::collection::vec(deed(), 1..60), on_two_hosts: bool) {
        let cloud = Cloud::guarded().logged();
        let mut host = Host::new(cloud.clone());
        let mut pair = Pair::new(cloud);
        let (mut seen, mut given) = (Sums::default(), Sums::default());
        for deed in deeds {
            let (from, to, header, frame, amount) = match deed {
                Deed::Send(from, to, port, len) if from != to => {
                    let (from, to) = (GUESTS[from], GUESTS[to]);
                    (from, to, VnetHeader::default(), udp(from, to, port, len), (1, len as u64 + 28))
                }
                Deed::Stream(from, to, len) if from != to => {
                    let (from, to) = (GUESTS[from], GUESTS[to]);
                    let (src, dst) = (socket(from, false, 40_000), socket(to, false, 443));
                    let (header, frame) = build::tcp_super_frame(link(from, to), src, dst, &vec![7; len], 1000);
                    let packets = len.div_ceil(1000) as u64;
                    (from, to, header, frame, (packets, len as u64 + packets * 40))
                }
                Deed::Send(..) | Deed::Stream(..) => continue,
                Deed::DropCache => {
                    host.worker.drop_cache();
                    pair.hosts.iter_mut().for_each(|host| host.worker.drop_cache());
                    continue;
                }
                Deed::Apply => {
                    host.apply();
                    pair.edit(|_| ());
                    continue;
                }
                Deed::Take => {
                    let hosts = if on_two_hosts { pair.hosts.iter().collect() } else { vec![&host] };
                    hosts.into_iter().for_each(|host| seen.take(&taken(host)));
                    continue;
                }
            };
            let is_far = place(from) != place(to);
            let outcome = if on_two_hosts { pair.send(from, &header, &frame) } else { host.send_with(from, &header, &frame) };
            Sums::add(&mut given.out, amount.0, amount.1);
            let is_accepted = if on_two_hosts && is_far {
                prop_assert_eq!(outcome, Outcome::Sealed);
                let batch = pair.take(place(from));
                !pair.give(place(to), &batch).is_empty()
            } else {
                matches!(outcome, Outcome::Delivered(..))
            };
            let sum = if is_accepted { &mut given.into } else { &mut given.rejected };
            Sums::add(sum, amount.0, amount.1);
        }
        let hosts = if on_two_hosts { pair.hosts.iter().collect() } else { vec![&host] };
        hosts.into_iter().for_each(|host| seen.take(&taken(host)));
        prop_assert_eq!(seen, given);
    }
}

fn subject(host: &Host, guest: Guest) -> LogSubject {
    let slices = host.cloud.arcs();
    let mut all = slices.iter().flat_map(|slice| LogSubject::of(slice, crate::world::cloud::host(1)));
    all.find(|subject| subject.interface.id == guest.eni()).unwrap()
}

fn written(host: &Host, guest: Guest, format: &str) -> Vec<String> {
    let (subject, format) = (subject(host, guest), format.parse::<LogFormat>().unwrap());
    let mut out = String::new();
    let records = taken(host);
    let own = records.flows.iter().filter(|record| record.flow.interface == guest.eni());
    own.for_each(|record| Line::Flow(record).write(&mut out, &format, &subject));
    out.lines().map(Into::into).collect()
}

#[test]
fn lines_in_the_default_format() {
    let mut host = Host::new(Cloud::guarded().logged());
    let format = LogFormat::default().to_string();
    host.send(A1, &udp(A1, B1, 53, 72)).delivered();
    host.pass_time(Duration::millis(2_900));
    host.send(A1, &udp(A1, B1, 53, 72)).delivered();
    host.send(A1, &udp(A1, B1, 54, 72));
    let eni = B1.eni();
    assert_eq!(
        written(&host, B1, &format),
        [
            format!("2 111111111111 {eni} 10.16.1.10 10.17.1.10 40000 53 17 2 200 1000 1002 ACCEPT OK"),
            format!("2 111111111111 {eni} 10.16.1.10 10.17.1.10 40000 54 17 1 100 1002 1002 REJECT OK"),
        ]
    );
    let (subject, mut out) = (subject(&host, B1), String::new());
    let format = LogFormat::default();
    Line::NoData(START, START + Duration::seconds(60)).write(&mut out, &format, &subject);
    Line::SkipData(START, START + Duration::seconds(60)).write(&mut out, &format, &subject);
    let line = |status| format!("2 111111111111 {eni} - - - - - - - 1000 1060 - {status}\n");
    assert_eq!(out, line("NODATA") + &line("SKIPDATA"));
}

#[test]
fn every_field_has_its_value_or_a_dash() {
    let all: Vec<String> = LogField::ALL.iter().map(|field| format!("${{{}}}", field.name())).collect();
    let mut host = Host::new(Cloud::guarded().logged());
    let fields = |host: &Host, guest: Guest| {
        let lines = written(host, guest, &all.join(" "));
        assert_eq!(lines.len(), 1, "{lines:?}");
        let values: Vec<String> = lines[0].split(' ').map(Into::into).collect();
        assert_eq!(values.len(), LogField::ALL.len());
        let names = LogField::ALL.iter().map(|field| field.name());
        names.zip(values).filter(|(_, value)| value != "-").collect::<BTreeMap<_, _>>()
    };
    host.send(A1, &build::udp(link(A1, B1), socket(A1, true, 40_000), socket(B1, true, 53), b"xx")).delivered();
    let seen = fields(&host, A1);
    let (eni, vpc, subnet) = (A1.eni().to_string(), vpc_id(A).to_string(), subnet_id(A, 1).to_string());
    let expected = [
        ("account-id", "111111111111"),
        ("action", "ACCEPT"),
        ("az-id", "use1-az1"),
        ("bytes", "50"),
        ("dstaddr", "2001:db8:11:1::a"),
        ("dstport", "53"),
        ("encryption-status", "1"),
        ("end", "1000"),
        ("flow-direction", "egress"),
        ("interface-id", &eni),
        ("interface-type", "interface"),
        ("log-status", "OK"),
        ("packets", "1"),
        ("pkt-dstaddr", "2001:db8:11:1::a"),
        ("pkt-srcaddr", "2001:db8:10:1::a"),
        ("protocol", "17"),
        ("region", "us-east-1"),
        ("srcaddr", "2001:db8:10:1::a"),
        ("srcport", "40000"),
        ("start", "1000"),
        ("subnet-id", &subnet),
        ("tcp-flags", "0"),
        ("traffic-path", "4"),
        ("type", "IPv6"),
        ("version", "11"),
        ("vpc-id", &vpc),
    ];
    assert_eq!(seen.iter().map(|(name, value)| (*name, value.as_str())).collect::<Vec<_>>(), expected);
    host.edit(|cloud| cloud.acl(B, Direction::Ingress, 8, deny("10.16.0.0/16")));
    host.send(A1, &udp(A1, B1, 53, 1));
    let seen = fields(&host, B1);
    let of = |name: &str| seen.get(name).map(String::as_str);
    let rule = format!("{}/8", id::<NetworkAclId>(B));
    let names = ["action", "peerway-reason", "peerway-rule", "traffic-path", "encryption-status", "flow-direction"];
    assert_eq!(names.map(of), [Some("REJECT"), Some("D19"), Some(rule.as_str()), None, None, Some("ingress")]);
}

#[test]
fn paths_and_addresses_of_who_forwards() {
    let mut host = Host::new(Cloud::open().logged());
    let format = "${srcaddr} ${dstaddr} ${pkt-srcaddr} ${pkt-dstaddr} ${flow-direction} ${traffic-path}";
    host.send(A1, &udp(A1, A3, 9, 1)).delivered();
    assert_eq!(written(&host, A1, format), ["10.16.1.10 10.16.2.10 10.16.1.10 10.16.2.10 egress 1"]);
    // A second address is told apart by the pkt- fields alone.
    host.edit(|cloud| {
        cloud.interface(A1).private_ips.push("10.16.1.20".parse().unwrap());
        cloud.interface(A2).source_dest_check = false;
        cloud.routes(A, |routes| routes.push(route("10.99.0.0/16", RouteTarget::NetworkInterface(A2.eni()))));
    });
    taken(&host);
    let frame = build::udp(to_router(A1), "10.16.1.20:1".parse().unwrap(), "10.99.0.1:9".parse().unwrap(), b"x");
    assert_eq!(host.send(A1, &frame).delivered().0, A2);
    let records = host.shared.take_flows().records();
    let line = |guest: Guest| {
        let (subject, mut out) = (subject(&host, guest), String::new());
        let record = records.flows.iter().find(|record| record.flow.interface == guest.eni()).unwrap();
        Line::Flow(record).write(&mut out, &format.parse().unwrap(), &subject);
        out
    };
    assert_eq!(line(A1), "10.16.1.10 10.99.0.1 10.16.1.20 10.99.0.1 egress 1\n");
    assert_eq!(line(A2), "10.16.1.20 10.16.1.11 10.16.1.20 10.99.0.1 ingress -\n");
    // Another region, as the peering says.
    host.edit(|cloud| {
        let peering = std::sync::Arc::make_mut(&mut cloud.slice(A).peerings[0]);
        peering.accepter.region = "eu-west-1".parse().unwrap();
    });
    host.send(A1, &udp(A1, B1, 9, 1)).delivered();
    assert_eq!(written(&host, A1, "${traffic-path}"), ["5"]);
}

/// Out by an Internet gateway; IPv6 too, which no address shows.
#[test]
fn a_way_over_the_internet_has_its_path_and_its_public_addresses() {
    let mut host = Host::new(Cloud::on_internet().logged());
    let format = "${srcaddr} ${dstaddr} ${pkt-srcaddr} ${pkt-dstaddr} ${flow-direction} ${traffic-path}";
    let (x, y) = (A1.public(), B1.public());
    let frame = build::udp(to_router(A1), socket(A1, false, 1), SocketAddr::new(y.into(), 9), b"x");
    host.send(A1, &frame).delivered();
    let records = taken(&host);
    let line = |guest: Guest| {
        let (subject, mut out) = (subject(&host, guest), String::new());
        let record = records.flows.iter().find(|record| record.flow.interface == guest.eni()).unwrap();
        Line::Flow(record).write(&mut out, &format.parse().unwrap(), &subject);
        out
    };
    assert_eq!(line(A1), format!("10.16.1.10 {y} 10.16.1.10 {y} egress 8\n"));
    assert_eq!(line(B1), format!("{x} 10.17.1.10 {x} 10.17.1.10 ingress -\n"));
    host.send(A1, &build::udp(to_router(A1), socket(A1, true, 1), socket(B1, true, 9), b"x")).delivered();
    assert_eq!(written(&host, A1, "${traffic-path}"), ["8"]);
    // Refused by the other end: it left all the same.
    host.edit(|cloud| cloud.rules(B, Vec::new()));
    assert_eq!(host.send(A1, &frame).code(), "D22");
    assert_eq!(written(&host, A1, "${action} ${traffic-path}"), ["ACCEPT 8"]);
}

#[test]
fn workers_count_side_by_side() {
    let mut host = Host::new(Cloud::open().logged());
    let mut other = host.shared.worker();
    let frame = build::with_vnet(&VnetHeader::default(), &udp(A1, B1, 53, 10));
    let mut buffer = vec![0; HEADROOM + 4096];
    for _ in 0..3 {
        host.send(A1, &udp(A1, B1, 53, 10)).delivered();
        buffer[..frame.len()].copy_from_slice(&frame);
        other.guest_frame(port_of(A1), &mut buffer, frame.len(), host.now);
    }
    expect(briefs(&host), &[(A1, '>', 53, "ok", 6, 228), (B1, '<', 53, "ok", 6, 228)]);
}
