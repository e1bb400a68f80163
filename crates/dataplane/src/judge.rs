//! The law is asked about a flow, or remembered (spec 11.2, steps 2-13, for two interfaces on one host).
//!
//! A verdict follows from the tables, the flow, and what connection tracking knew at both ends. So a remembered verdict holds as long as
//! the generation is the same and connection tracking says the same as then; it is asked and told for every packet, but not by the
//! packets of one direction that come within one millisecond, the resolution of time: told twice in a row, it would do nothing the
//! second time. SYN, FIN and RST, which it answers or takes differently, and ICMP always take the long way.

use model::{Direction, HostId};
use policy::{Denied, Flow, FlowKey, L2, L4, Next, TcpFlags, egress, ingress};
use wire::ethernet::Link;

use crate::ruling::{End, Line, Refused, Way};
use crate::shared::{Plug, Side, View};
use crate::step::Step;
use crate::worker::CacheKey;

/// Whose turn it was last at each end of each flow: a number per hash, moved on by every packet that connection tracking is told of.
/// Two flows that share a number only ask more often than they must.
#[derive(Debug)]
pub(crate) struct Turns(Box<[u32]>);

const TURNS: usize = 1 << 14;

impl Default for Turns {
    fn default() -> Turns {
        Turns(vec![0; TURNS].into())
    }
}

impl Turns {
    fn of(&self, side: &Side) -> u32 {
        self.0[side.hash as usize % TURNS]
    }

    fn next(&mut self, side: &Side) -> u32 {
        let turn = &mut self.0[side.hash as usize % TURNS];
        *turn = turn.wrapping_add(1);
        *turn
    }
}

impl Step<'_> {
    /// Where a packet of this flow goes. `size` is its length as an IP packet if it must not be fragmented, else 0.
    pub(crate) fn judge(&mut self, plug: &Plug, flow: &Flow, l2: L2, size: usize) -> Result<Way, Refused> {
        let key = remembered(flow).map(|key| (plug.port.id, key));
        let known = key.and_then(|key| self.recall(&key, flow, l2, size));
        plug.meter.count_lookup(self.lane, known.is_some());
        if let Some(way) = known {
            return Ok(way);
        }
        let line = self.ask(plug, flow, l2, size)?;
        if let Some(key) = key {
            self.cache.insert(key, self.view.generation, line);
        }
        Ok(line.way)
    }

    /// A verdict from memory, with connection tracking told. `None`: ask.
    fn recall(&mut self, key: &CacheKey, flow: &Flow, l2: L2, size: usize) -> Option<Way> {
        let (shared, turns, now) = (self.shared, &mut *self.turns, self.now);
        let line = self.cache.find(key, self.view.generation)?;
        if line.l2 != l2 || size > usize::from(line.way.mtu) {
            return None;
        }
        let is_next = |end: &End| turns.of(&end.side) == end.turn;
        if line.told == now && is_next(&line.out) && is_next(&line.into) {
            return Some(line.way);
        }
        for end in [&mut line.out, &mut line.into] {
            if !shared.tell(end, flow, now) {
                return None;
            }
            end.turn = turns.next(&end.side);
        }
        line.told = now;
        Some(line.way)
    }

    /// The long way: two decisions, one at each interface (spec 6.4.7).
    fn ask(&mut self, plug: &Plug, flow: &Flow, l2: L2, size: usize) -> Result<Line, Refused> {
        let (shared, view, now) = (self.shared, self.view, self.now);
        let from = plug.port.interface;
        let side = shared.side(from, Direction::Egress, flow);
        let seen = shared.lookup(&side, flow, now);
        let next = egress(&view.tables, from, flow, l2, seen, &mut ())?;
        shared.commit(&side, flow, next.track, now)?;
        let out = End { side, seen, track: next.track, turn: self.turns.next(&side) };

        let target = target(view, shared.config.host, &next)?;
        let mtu = target.map_or(plug.port.mtu, |target| plug.port.mtu.min(target.port.mtu));
        if size > usize::from(mtu) {
            return Err(Denied::TooBig { mtu: mtu.into() }.into());
        }

        let there = |denied| Refused { denied, at: target.map(|target| target.port.id) };
        let side = shared.side(next.interface, Direction::Ingress, flow);
        let seen = shared.lookup(&side, flow, now);
        let admit = ingress(&view.tables, next.interface, &next.origin, flow, seen, &mut ()).map_err(there)?;
        let target = target.ok_or(Denied::DestinationDown { interface: next.interface })?;
        shared.commit(&side, flow, admit.track, now).map_err(there)?;
        let into = End { side, seen, track: admit.track, turn: self.turns.next(&side) };

        let is_neighbour = target.port.subnet == plug.port.subnet;
        let src = if is_neighbour { plug.port.mac } else { target.port.router_mac };
        let way = Way { to: target.port.id, link: Link { src, dst: target.port.mac }, mtu };
        Ok(Line { way, l2, out, into, told: now })
    }
}

/// Where the receiver is plugged in. There is no channel to another host, and no other way to it (spec 14.8, I1). `None`: it is on this
/// host without a port, so that it cannot get the packet, but its own side still names the first reason (spec 11.2, steps 11-12).
fn target<'v>(view: &'v View, here: HostId, next: &Next) -> Result<Option<&'v Plug>, Denied> {
    match next.host {
        Some(host) if host != here => Err(Denied::NoSecureChannel),
        Some(_) => Ok(view.plug_of(next.interface)),
        None => Err(Denied::DestinationDown { interface: next.interface }),
    }
}

/// The flows whose verdict depends on nothing but their key, the tables and connection tracking's answer.
fn remembered(flow: &Flow) -> Option<FlowKey> {
    const ENDS: u8 = TcpFlags::SYN.0 | TcpFlags::FIN.0 | TcpFlags::RST.0;
    match flow.l4 {
        L4::Tcp { flags, .. } if flags.0 & ENDS != 0 => None,
        L4::Tcp { .. } | L4::Udp { .. } | L4::Other => Some(flow.key()),
        L4::IcmpQuery { .. } | L4::IcmpError { .. } | L4::Icmp { .. } => None,
    }
}
