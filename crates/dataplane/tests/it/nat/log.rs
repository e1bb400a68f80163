//! What flow logs say of a NAT gateway's interface (spec 12.1): both edges, as whatever the gateway took in came, and as it went on.

use dataplane::{Evidence, FlowRecord, Line, LogSubject, Passage};

use super::*;

/// Where, `>` out or `<` in, from and to whom, outcome, packets.
type Brief = (&'static str, char, String, String, &'static str, u64);

fn who(interface: NetworkInterfaceId) -> &'static str {
    match interface {
        eni if eni == gateway() => "N",
        eni if eni == A1.eni() => "A1",
        eni if eni == A3.eni() => "A3",
        eni if eni == B1.eni() => "B1",
        other => panic!("{other}"),
    }
}

fn records(hosts: &[Host]) -> Vec<FlowRecord> {
    hosts.iter().flat_map(|host| host.shared.take_flows().records().flows).collect()
}

fn briefs(hosts: &[Host]) -> Vec<Brief> {
    let brief = |record: FlowRecord| {
        let FlowRecord { flow, packets, .. } = record;
        let way = if flow.direction == Direction::Egress { '>' } else { '<' };
        let outcome = flow.rejected.map_or("ok", |index| Denied::ALL[usize::from(index)].code);
        (who(flow.interface), way, flow.src.to_string(), flow.dst.to_string(), outcome, packets)
    };
    let mut all: Vec<Brief> = records(hosts).into_iter().map(brief).collect();
    all.sort_unstable();
    all
}

fn line(at: &'static str, way: char, src: &str, dst: &str, outcome: &'static str, packets: u64) -> Brief {
    (at, way, src.into(), dst.into(), outcome, packets)
}

/// There and back, through the gateway at `own`, of the guest at `inside`.
fn both_ways(guest: &'static str, inside: &str, own: &str, (there, back): (u64, u64)) -> Vec<Brief> {
    let server = "10.17.1.10";
    let mut all = vec![
        line(guest, '>', inside, server, "ok", there),
        line("N", '<', inside, server, "ok", there),
        line("N", '>', own, server, "ok", there),
        line("B1", '<', own, server, "ok", there),
    ];
    if back > 0 {
        all.extend([
            line("B1", '>', server, own, "ok", back),
            line("N", '<', server, own, "ok", back),
            line("N", '>', server, inside, "ok", back),
            line(guest, '<', server, inside, "ok", back),
        ]);
    }
    all.sort_unstable();
    all
}

#[test]
fn a_gateways_interface_has_lines_of_both_its_edges() {
    let mut host = Host::new(cloud(2, host(1)).logged());
    let (inside, server) = (socket(A1, 40_000), socket(B1, 53));
    let mut outside = 0;
    for _ in 0..3 {
        outside = port_outside(&host.send(A1, &udp(inside, server, b"x")).delivered().1);
    }
    let answer = from(B1, udp(server, SocketAddr::new(address(2), outside), b"y"));
    host.send(B1, &answer).delivered();
    assert_eq!(briefs(std::slice::from_ref(&host)), both_ways("A1", "10.16.1.10", "10.16.2.99", (3, 1)));
    // What nobody asked for is let in by the ACL, and goes no further.
    let unasked = from(B1, udp(socket(B1, 54), SocketAddr::new(address(2), outside), b"y"));
    assert_eq!(host.send(B1, &unasked).code(), "D38");
    let expected =
        [line("B1", '>', "10.17.1.10", "10.16.2.99", "ok", 1), line("N", '<', "10.17.1.10", "10.16.2.99", "ok", 1)];
    assert_eq!(briefs(std::slice::from_ref(&host)), expected);
    // A packet that goes round the gateway is none of its.
    host.send(A2, &build::udp(crate::world::link(A2, A1), socket(A2, 1), socket(A1, 2), b"z"));
    assert!(records(std::slice::from_ref(&host)).iter().all(|record| record.flow.interface != gateway()));
}

#[test]
fn the_gateways_acl_refuses_at_its_interface() {
    let mut host = Host::new(cloud(2, host(1)).logged());
    let deny_at_gateway = |cloud: &mut Cloud, direction, block: &str| {
        let mut acl = model::NetworkAcl::clone(&cloud.slice(A).network_acls[0]);
        acl.id = id(77);
        acl.entries_mut(direction).insert(7, deny(block));
        cloud.slice(A).network_acls.retain(|acl| acl.id != id(77));
        cloud.slice(A).network_acls.push(Arc::new(acl));
        Arc::make_mut(&mut cloud.slice(A).subnets[1]).network_acl.network_acl = id(77);
    };
    let packet = udp(socket(A1, 40_000), socket(B1, 53), b"x");
    host.edit(|cloud| deny_at_gateway(cloud, Direction::Ingress, "10.16.1.0/24"));
    assert_eq!(host.send(A1, &packet).code(), "D19");
    let taken = records(std::slice::from_ref(&host));
    let at_gateway = taken.iter().find(|record| record.flow.interface == gateway()).unwrap();
    assert_eq!(at_gateway.evidence, Some(Evidence::Acl(id(77), 7)));
    host.send(A1, &packet);
    let (x, y) = ("10.16.1.10", "10.17.1.10");
    let expected = [line("A1", '>', x, y, "ok", 1), line("N", '<', x, y, "D19", 1)];
    assert_eq!(briefs(std::slice::from_ref(&host)), expected);
    host.edit(|cloud| deny_at_gateway(cloud, Direction::Egress, "10.17.0.0/16"));
    assert_eq!(host.send(A1, &packet).code(), "D07");
    let expected =
        [line("A1", '>', x, y, "ok", 1), line("N", '<', x, y, "ok", 1), line("N", '>', "10.16.2.99", y, "D07", 1)];
    assert_eq!(briefs(std::slice::from_ref(&host)), expected);
}

#[test]
fn each_piece_of_a_datagram_counts_at_the_gateway_too() {
    let mut host = Host::new(cloud(2, host(1)).logged());
    let pieces = build::fragments(&udp(socket(A1, 40_000), socket(B1, 53), &[7; 3000]), 9, 1024);
    assert_eq!(host.send(A1, &pieces[1]), Outcome::Held);
    host.send(A1, &pieces[0]).delivered();
    host.transmits();
    host.send(A1, &pieces[2]).delivered();
    assert_eq!(briefs(std::slice::from_ref(&host)), both_ways("A1", "10.16.1.10", "10.16.2.99", (3, 0)));
}

#[test]
fn a_gateway_on_another_host_counts_there() {
    let mut pair = Pair::new(cloud(1, host_id(0)).logged());
    pair.agree(1, to_target(gateway()));
    pair.agree(0, to_target(A3.eni()));
    let (inside, server) = (socket(A3, 40_000), socket(B1, 53));
    assert_eq!(pair.send(A3, &PLAIN, &from(A3, udp(inside, server, b"hello"))), Outcome::Sealed);
    assert_eq!(hand_over(&mut pair, 1), []);
    let got = hand_over(&mut pair, 0);
    let outside = SocketAddr::new(address(1), port_outside(&got[0].1));
    assert_eq!(pair.send(B1, &PLAIN, &from(B1, udp(server, outside, b"answer"))), Outcome::Sealed);
    assert_eq!(hand_over(&mut pair, 1), []);
    assert_eq!(hand_over(&mut pair, 0).len(), 1);
    assert_eq!(briefs(&pair.hosts), both_ways("A3", "10.16.2.10", "10.16.1.99", (1, 1)));
}

#[test]
fn what_waits_at_a_gateway_counts_when_it_goes() {
    let mut pair = Pair::without_keys(cloud(1, host_id(0)).logged());
    pair.agree(1, to_target(gateway()));
    let packet = from(A3, udp(socket(A3, 40_000), socket(B1, 53), b"hello"));
    assert_eq!(pair.send(A3, &PLAIN, &packet), Outcome::Sealed);
    assert_eq!(hand_over(&mut pair, 1), []);
    assert_eq!(briefs(&pair.hosts), [line("A3", '>', "10.16.2.10", "10.17.1.10", "ok", 1)]);
    pair.agree(0, peering(A, B));
    assert_eq!(pair.release(0), []);
    assert_eq!(hand_over(&mut pair, 0).len(), 1);
    let mut expected = both_ways("A3", "10.16.2.10", "10.16.1.99", (1, 0));
    expected.retain(|line| line.0 != "A3");
    assert_eq!(briefs(&pair.hosts), expected);
}

/// As in AWS's own example of a NAT gateway: `srcaddr` and `dstaddr` are the interface's at its own end, the packet's are in `pkt-*`.
#[test]
fn lines_show_the_interface_and_the_packet() {
    let mut host = Host::new(cloud(2, host(1)).logged());
    let (inside, server) = (socket(A1, 40_000), socket(B1, 53));
    let outside = port_outside(&host.send(A1, &udp(inside, server, b"x")).delivered().1);
    host.send(B1, &from(B1, udp(server, SocketAddr::new(address(2), outside), b"y"))).delivered();
    let slices = host.cloud.arcs();
    let subjects: Vec<LogSubject> =
        slices.iter().flat_map(|slice| LogSubject::of(slice, crate::world::cloud::host(1))).collect();
    let subject = subjects.iter().find(|subject| subject.interface.id == gateway()).unwrap();
    assert!(subject.is_up);
    let format = "${instance-id} ${subnet-id} ${srcaddr} ${dstaddr} ${pkt-srcaddr} ${pkt-dstaddr} ${flow-direction} ${traffic-path}";
    let format = format.parse().unwrap();
    let mut lines = Vec::new();
    let mut taken = records(std::slice::from_ref(&host));
    taken.retain(|record| record.flow.interface == gateway());
    assert_eq!(taken.iter().filter(|record| record.passage == Passage::Peering(pcx())).count(), 1);
    for record in &taken {
        let mut out = String::new();
        Line::Flow(record).write(&mut out, &format, subject);
        lines.push(out.trim_end().to_owned());
    }
    lines.sort_unstable();
    let subnet = subnet_id(A, 2);
    let (x, n, y) = ("10.16.1.10", "10.16.2.99", "10.17.1.10");
    let mut expected = [
        format!("- {subnet} {x} {n} {x} {y} ingress -"),
        format!("- {subnet} {n} {y} {n} {y} egress 4"),
        format!("- {subnet} {y} {n} {y} {n} ingress -"),
        format!("- {subnet} {n} {x} {y} {x} egress 1"),
    ];
    expected.sort_unstable();
    assert_eq!(lines, expected);
}
