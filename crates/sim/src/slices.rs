//! Judging by a host's part equals judging by the whole (architecture ch. 4).
//!
//! Two hosts share the instances of a cloud. Each compiles its own intent, and all slices are compiled together. A packet leaves by the
//! tables of its sender's host and arrives by those of its receiver's, which is told no more than a link says: source VPC and scope. Every
//! verdict must be the one of the whole, evidence included.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use control::plan;
use model::{Direction, HostId, Instance, NetworkInterface, NetworkInterfaceId, Time};
use policy::{Conntrack, Denied, Flow, Internet, L2, Limits, Tables, TcpFlags, Timeouts, egress, ingress};

use crate::compare::host_named;
use crate::dice::Dice;
use crate::generate::traffic::{Traffic, pause};
use crate::generate::{change, scene};
use crate::noun::START;
use crate::packet::{Body, NextHop, Packet, Sent};
use crate::reference::Outcome;
use crate::scene::Scene;

/// How many verdicts were held against each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compared {
    pub egress: u64,
    pub ingress: u64,
    /// Of the latter, those between two hosts.
    pub between_hosts: u64,
}

/// The tables of the whole, and of each host.
struct Views {
    whole: Tables,
    parts: BTreeMap<HostId, Tables>,
}

/// Sends one seed's packets.
///
/// # Errors
/// Seed, packet and both verdicts, where they differ.
pub fn run(seed: u64, steps: usize) -> Result<Compared, String> {
    let hosts: Vec<HostId> = ["host-a", "host-b"].into_iter().filter_map(host_named).collect();
    let mut dice = Dice::new(seed);
    let mut scene = scene(&mut dice, &hosts);
    let mut conntrack = Conntrack::new(Limits { flows: 4096, flows_per_interface: 4096 }, Timeouts::default(), seed);
    let mut views = Views::new(&scene, &hosts, 0);
    let (mut traffic, mut compared, mut now) = (Traffic::default(), Compared::default(), START);
    traffic.configured(&scene, |_| true);
    for step in 0..steps {
        if dice.chance(7) {
            change::change(&mut dice, &mut scene, &hosts);
            // What regions have not heard yet is another test's.
            scene.deliver();
            views = Views::new(&scene, &hosts, step as u64);
            traffic.configured(&scene, |_| true);
        }
        now = now + pause(&mut dice);
        let Some(sent) = traffic.next(&mut dice) else { continue };
        let verdict = judge(&scene, &views, &mut conntrack, &sent, now, &mut compared);
        let (outcome, arrived) = match verdict.map_err(|wrong| format!("seed {seed} step {step}: {sent}: {wrong}"))? {
            Ok((to, arrived)) => (Outcome::Delivered(to), arrived),
            Err(denied) => (Outcome::Denied(denied.code()), sent.packet.clone()),
        };
        traffic.remember(sent, outcome, arrived);
    }
    Ok(compared)
}

impl Views {
    fn new(scene: &Scene, hosts: &[HostId], generation: u64) -> Views {
        let slices = scene.slices();
        let part = |host: &HostId| {
            let intent = plan::intent(&scene.worlds, *host);
            let tables = Tables::compile(intent.vpcs.values().map(|slice| &**slice), generation);
            let internet = Internet::new(&intent.public, &intent.public_ipv6);
            (*host, tables.with_internet(Arc::new(internet)))
        };
        let whole = Tables::compile(&slices, generation).with_internet(Arc::new(scene.internet()));
        Views { whole, parts: hosts.iter().map(part).collect() }
    }
}

/// The outer error is a difference, the inner one a refusal that all agree on.
fn judge(
    scene: &Scene,
    views: &Views,
    conntrack: &mut Conntrack,
    sent: &Sent,
    now: Time,
    compared: &mut Compared,
) -> Result<Result<(NetworkInterfaceId, Packet), Denied>, String> {
    let Some(here) = host_of(scene, sent.from).and_then(|host| views.parts.get(&host)) else {
        return Ok(Err(Denied::SourceDown { interface: sent.from }));
    };
    let flow = flow_of(&sent.packet);
    let l2 = if sent.to == NextHop::Router { L2::Router } else { L2::Neighbour };
    let seen = conntrack.lookup(sent.from, Direction::Egress, &flow, now);
    let part = egress(here, sent.from, &flow, l2, seen, &mut ());
    let next = match same("leaving", egress(&views.whole, sent.from, &flow, l2, seen, &mut ()), &part)? {
        Ok(next) => next,
        Err(denied) => return Ok(Err(denied)),
    };
    compared.egress += 1;
    if let Err(denied) = conntrack.commit(sent.from, Direction::Egress, &flow, next.track, now) {
        return Ok(Err(denied));
    }

    let to = next.interface;
    same("the receiver's host", host_of(scene, to), &next.host)?;
    let Some(there) = next.host.and_then(|host| views.parts.get(&host)) else {
        return Ok(Err(Denied::DestinationDown { interface: to }));
    };
    let entered = there.arriving(&next, &flow);
    let (to, translation) = match same("coming in", views.whole.arriving(&next, &flow), &entered)? {
        Ok(entered) => entered,
        Err(denied) => return Ok(Err(denied)),
    };
    let flow = translation.flow(&flow);
    let origin = there.origin(to, next.origin.vpc, next.origin.scope, flow.src);
    same("the sender", next.origin, &origin)?;
    let seen = conntrack.lookup(to, Direction::Ingress, &flow, now);
    let part = ingress(there, to, &origin, &flow, seen, &mut ());
    let admit = match same("arriving", ingress(&views.whole, to, &next.origin, &flow, seen, &mut ()), &part)? {
        Ok(admit) => admit,
        Err(denied) => return Ok(Err(denied)),
    };
    compared.ingress += 1;
    compared.between_hosts += u64::from(next.host != host_of(scene, sent.from));
    let arrived = sent.packet.readdressed(flow.src, flow.dst);
    Ok(conntrack.commit(to, Direction::Ingress, &flow, admit.track, now).map(|()| (to, arrived)))
}

fn same<T: PartialEq + Debug>(what: &str, whole: T, part: &T) -> Result<T, String> {
    if whole == *part { Ok(whole) } else { Err(format!("{what}: by the whole {whole:?}, by the part {part:?}")) }
}

fn host_of(scene: &Scene, interface: NetworkInterfaceId) -> Option<HostId> {
    let (region, interface) = scene.find::<NetworkInterface>(&interface)?;
    scene.worlds[&region].find::<Instance>(&interface.attachment.as_ref()?.instance)?.host
}

/// A packet as the law sees it.
pub(crate) fn flow_of(packet: &Packet) -> Flow {
    let Packet { src, dst, .. } = *packet;
    match &packet.body {
        Body::Tcp { sport, dport, flags } => Flow::tcp(src, *sport, dst, *dport, TcpFlags(*flags)),
        Body::Udp { sport, dport } => Flow::udp(src, *sport, dst, *dport),
        Body::Icmp { kind, code, id, about } => {
            let embedded = about.as_ref().map(|about| flow_of(about).key());
            Flow::icmp(src, dst, *kind, *code, *id, embedded)
        }
        Body::Other { protocol } => Flow::other(src, dst, *protocol),
    }
}
