//! The law and connection tracking at their sizes: rules, routes, tracked flows, interfaces.

use std::hint::black_box;
use std::sync::Arc;

use dataplane::{Binding, Config, PortId, Ports as Plugged, Shared};
use model::{Direction, Duration, IpProtocol, NetworkInterfaceId, Ports, RouteTarget, RulePeer};
use policy::testing::{Lab, p};
use policy::{Conntrack, Flow, L2, Tables, Timeouts, Track, Tracked, egress, ingress};
use wire::esp::{next_header, sealed_len};

use crate::Case;
use crate::clock::{each, nanoseconds};
use crate::stand::{self, Stand};
use crate::world::cloud::A1;
use crate::world::{Host, START, port_of};
use crate::world_of::{Size, World};

const US: &str = "peerway";
/// What the others are measured against.
const SEALING: &str = "seal 1,400 B, ns";
const COUNT: usize = 50_000;
const MILLION: usize = 1_000_000;
/// Packets between two ticks of the clock, which has one a millisecond.
const PER_TICK: usize = 1024;
/// Groups of an interface.
const GROUPS: usize = 5;

pub fn cases() -> Vec<Case> {
    let mut cases = vec![seal(), cached(10_000), cached(MILLION)];
    cases.extend([1, 60, 200].map(|rules| new_flow(rules, 0)));
    cases.extend([new_flow(1, 1000), tracking()]);
    cases.push(compile(Size { vpcs: 10, interfaces: 100, rules: 60 }, 1000));
    cases.push(compile(Size { vpcs: 100, interfaces: 1000, rules: 60 }, 1000));
    cases
}

fn seal() -> Case {
    let (sa, _) = stand::association();
    let mut room = vec![7; sealed_len(1400)];
    Case::new(US, SEALING, move || {
        each(COUNT, |_| {
            let sequence = sa.reserve(1, 1400).expect("it has a long life");
            sa.seal(sequence, black_box(&mut room), 1400, next_header::IPV4)
        })
    })
}

/// What policy and tracking cost the sending host for a packet of a flow that it knows, with so many in turn.
fn cached(flows: usize) -> Case {
    let Stand { near: mut host, .. } = stand::pair();
    let mut first = 0;
    // The first packet is new, the second one tracked, and a third one is what is measured.
    for n in 0..2 * flows {
        assert!(host.worker.judge_flow(port_of(A1), &stand::flow(n, flows), host.now));
    }
    Case::new(US, format!("a known flow, {flows} in turn, ns"), move || {
        let mut spent = 0.0;
        for _ in 0..COUNT / PER_TICK {
            host.pass_time(Duration::millis(1));
            let Host { worker, now, .. } = &mut host;
            spent += nanoseconds(|| {
                for n in first..first + PER_TICK {
                    assert!(worker.judge_flow(port_of(A1), &stand::any_flow(n, flows), *now));
                }
            });
            first += PER_TICK;
        }
        spent / (COUNT / PER_TICK * PER_TICK) as f64
    })
}

/// Tracking and law at both ends for the first packet of a flow that the very last rule admits.
fn new_flow(rules: u16, routes: usize) -> Case {
    let mut lab = Lab::default();
    let (a, b) = (lab.vpc(&["10.16.0.0/16"]), lab.vpc(&["10.17.0.0/16"]));
    let (sx, sy) = (lab.subnet(a, &["10.16.0.0/20"]), lab.subnet(b, &["10.17.0.0/20"]));
    let (x, y) = (lab.interface(sx, &["10.16.1.10"]), lab.interface(sy, &["10.17.1.10"]));
    let pcx = lab.peering(a, b);
    lab.route_both(pcx);
    for n in 0..routes {
        lab.route(a, &format!("10.{}.{}.0/24", 100 + n / 256, n % 256), RouteTarget::Peering(pcx));
    }
    let groups: Vec<_> = (0..GROUPS).map(|_| lab.group(b)).collect();
    for (at, group) in groups.iter().enumerate() {
        for n in 0..rules {
            let is_last = at + 1 == GROUPS && n + 1 == rules;
            let block = if is_last { "10.16.0.0/16".into() } else { format!("172.{}.{}.0/24", 16 + at, n % 256) };
            let ports = Ports::Range { from: 10_000, to: 12_000 };
            lab.allow(*group, Direction::Ingress, IpProtocol::UDP, ports, RulePeer::Cidr(p(&block)));
        }
    }
    lab.set_groups(y, &groups);
    let tables = lab.compile();
    let (mut n, mut now) = (0, START);
    let mut table = Conntrack::new(stand::limits(), Timeouts::default(), 7);
    let routes = if routes > 0 { format!(", {routes} routes") } else { String::new() };
    Case::new(US, format!("a new flow, {GROUPS} groups of {rules} rules{routes}, ns"), move || {
        // None of an earlier round is known any more.
        now = now + Duration::hours(1);
        table.expire(now, MILLION * 2);
        each(COUNT, |_| {
            n += 1;
            let flow = Flow { src: p("10.16.1.10"), dst: p("10.17.1.10"), ..stand::flow(n, MILLION) };
            judge_new(&tables, &mut table, (x, y), &flow, now);
        })
    })
}

fn judge_new(
    tables: &Tables,
    table: &mut Conntrack,
    (x, y): (NetworkInterfaceId, NetworkInterfaceId),
    flow: &Flow,
    now: model::Time,
) {
    let seen = table.lookup(x, Direction::Egress, flow, now);
    let next = egress(tables, x, flow, L2::Router, seen, &mut ()).expect("it may leave");
    table.commit(x, Direction::Egress, flow, next.track, now).expect("there is room");
    let seen = table.lookup(y, Direction::Ingress, flow, now);
    let admit = ingress(tables, y, &next.origin, flow, seen, &mut ()).expect("it may come in");
    table.commit(y, Direction::Ingress, flow, admit.track, now).expect("there is room");
}

/// A table with a million flows: made, used, and emptied again.
fn tracking() -> Case {
    let named = |what: &str, value| (format!("tracking of 1,000,000 flows: {what}"), value);
    Case::several(US, move || {
        let (eni, out) = (A1.eni(), Direction::Egress);
        let mut table = None;
        let new = || table = Some(Conntrack::new(stand::limits(), Timeouts::default(), 7));
        let reserved = allocation_counter::measure(new).bytes_current;
        let mut table = table.expect("made");
        let inserted = each(MILLION, |n| table.commit(eni, out, &stand::flow(n, MILLION), Track::New, START));
        assert_eq!(table.len(), MILLION);
        let refreshed = each(COUNT, |n| {
            let flow = stand::any_flow(n, MILLION);
            assert_eq!(table.lookup(eni, out, &flow, START), Some(Tracked::Established));
            table.commit(eni, out, &flow, Track::Established, START)
        });
        let swept = nanoseconds(|| assert_eq!(table.expire(START, MILLION), 0)) / MILLION as f64;
        let later = START + Duration::hours(1);
        let ended = nanoseconds(|| assert_eq!(table.expire(later, MILLION), MILLION)) / MILLION as f64;
        vec![
            named("memory, B/flow", reserved as f64 / f64::from(stand::limits().flows)),
            named("insert, ns", inserted),
            named("look up and refresh, ns", refreshed),
            named("sweep past one that lives, ns", swept),
            named("sweep out one that has ended, ns", ended),
        ]
    })
}

/// The tables of a configuration, whole; and after a change of one group of one VPC, compiled and put in force as an agent does.
/// `ports` of its interfaces are plugged in here, as many in each VPC.
fn compile(size: Size, ports: usize) -> Case {
    let world = World::new(size);
    let changed = world.with_a_rule_less();
    let all = size.vpcs * size.interfaces;
    let shared = Shared::new(Config {
        limits: policy::Limits { flows: 64, flows_per_interface: 64 },
        ..Config::new(p("host-1"), 7)
    });
    let bindings: Vec<Binding> = world.interfaces().step_by(all / ports).zip(0..).map(binding).collect();
    assert_eq!(bindings.len(), ports);
    let (mut tables, mut plugged, mut is_changed) = (Arc::new(Tables::default()), Plugged::default(), false);
    Case::several(US, move || {
        let slices = || world.slices.values().map(|slice| &**slice);
        let mut in_force = None;
        let whole = nanoseconds(|| {
            let tables = Arc::new(Tables::compile(slices(), 1));
            in_force = Some(tables.clone());
            shared.apply(tables, Plugged::new(slices(), &bindings));
        });
        drop(in_force);
        // What a host is told first is compiled whole; from then on what differs.
        for is_timed in [false, true] {
            is_changed = !is_changed;
            let slices = if is_changed { &changed } else { &world.slices };
            let spent = nanoseconds(|| {
                tables = Arc::new(tables.recompile(slices.values(), 1));
                plugged = plugged.renew(slices.values(), &bindings);
                shared.apply(tables.clone(), plugged.clone());
            });
            if is_timed {
                return vec![
                    (format!("compile and swap {all} interfaces in {} VPCs, ms", size.vpcs), whole / 1e6),
                    (format!("the same after a change of one group of {all} interfaces, ms"), spent / 1e6),
                ];
            }
        }
        Vec::new()
    })
}

fn binding((interface, port): (NetworkInterfaceId, u32)) -> Binding {
    Binding { port: PortId::new(port).expect("a port"), interface, mtu: 9001, takes_uso: true }
}
