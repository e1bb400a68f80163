//! The verdicts that a worker remembers. Thousands of flows are in use at once, and how much of them a processor has at hand decides what a
//! packet costs: what is looked at for an IPv4 packet to or from another host is one cache line.

use std::hash::{Hash, Hasher};
use std::net::IpAddr;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use model::Direction;
use policy::{FlowKey, L2};

use crate::cache::{Cache, Memory, NO_NOTE};
use crate::ruling::{Decision, End, Source, Way};

/// Flows and where they go.
#[derive(Debug)]
pub(crate) struct Memo {
    lines: Cache<Line>,
    ways: Ways,
}

/// Whose conversation it is, in words: one is made, hashed and compared for every packet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key {
    /// Address families, protocol and ports.
    kind: u64,
    source: u64,
    /// Both of IPv4; else the first half of the source.
    address: u64,
    /// The other halves, not of IPv4.
    rest: [u64; 3],
}

/// A flow that passes.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct Line {
    kind: u64,
    source: u64,
    address: u64,
    /// The end at this host's guest; of two, the sender.
    pub(crate) near: End,
    way: u32,
    pub(crate) l2: L2,
    has_far: bool,
    // So far the first cache line, with the generation.
    far: Option<End>,
    rest: [u64; 3],
}

/// Where flows go: a few places, each for many of them.
#[derive(Debug)]
struct Ways {
    all: Vec<Way>,
    places: HashMap<Way, u32, FixedState>,
}

/// With so many ways all is forgotten.
const WAYS_MAX: usize = 1 << 16;

/// Bits of a kind below the address families.
const FAMILIES: u32 = 40;

/// Sources below are ports.
const TUNNELS: u64 = 1 << 32;

impl Memo {
    /// Room for so many flows; for none, all is forgotten at once.
    pub(crate) fn new(flows: usize, seed: u64) -> Memo {
        let ways = Ways { all: Vec::new(), places: HashMap::with_hasher(FixedState::with_seed(seed)) };
        Memo { lines: Cache::new(flows, seed), ways }
    }

    /// What was decided in this generation, and what `foresee` made of where connection tracking has it (see [`Cache::find`]).
    #[inline]
    pub(crate) fn find<T>(
        &mut self,
        key: &Key,
        generation: u64,
        foresee: impl Fn(u32) -> T,
    ) -> Option<(&mut Line, &Way, T)> {
        let (line, foreseen) = self.lines.find(key, generation, foresee)?;
        let way = self.ways.all.get(line.way as usize)?;
        Some((line, way, foreseen))
    }

    pub(crate) fn insert(&mut self, key: &Key, generation: u64, decision: &Decision) {
        let Decision { way, l2, out, into, .. } = *decision;
        let (near, far) = match (out, into) {
            (Some(out), into) => (out, into),
            (None, Some(into)) => (into, None),
            (None, None) => return,
        };
        if self.ways.all.len() >= WAYS_MAX && !self.ways.places.contains_key(&way) {
            self.clear();
        }
        let Ways { all, places } = &mut self.ways;
        let way = *places.entry(way).or_insert_with(|| {
            all.push(way);
            all.len() as u32 - 1
        });
        let Key { kind, source, address, rest } = *key;
        let note = near.ticket.map_or(NO_NOTE, |ticket| ticket.slot());
        let line = Line { kind, source, address, near, way, l2, has_far: far.is_some(), far, rest };
        self.lines.insert(generation, line, note);
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.lines.clear();
        self.ways.all.clear();
        self.ways.places.clear();
    }
}

impl Line {
    /// Which way a packet passes the near end.
    pub(crate) fn near_direction(&self) -> Direction {
        if self.source < TUNNELS { Direction::Egress } else { Direction::Ingress }
    }

    /// The end at the receiver, if both are here.
    pub(crate) fn far(&mut self) -> Option<&mut End> {
        if self.has_far { self.far.as_mut() } else { None }
    }
}

impl Memory for Line {
    type Key = Key;

    fn key(&self) -> Key {
        let Line { kind, source, address, rest, .. } = *self;
        Key { kind, source, address, rest }
    }

    fn is_of(&self, key: &Key) -> bool {
        // Of IPv4 there is no rest.
        let is_it = self.kind == key.kind && self.source == key.source && self.address == key.address;
        is_it && (key.kind >> FAMILIES == 0 || self.rest == key.rest)
    }
}

impl Key {
    pub(crate) fn new(source: Source, flow: &FlowKey) -> Key {
        let (families, address, rest) = match (flow.src, flow.dst) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => {
                (0, u64::from(src.to_bits()) << 32 | u64::from(dst.to_bits()), [0; 3])
            }
            (src, dst) => {
                let families = 1 | u64::from(src.is_ipv4()) << 1 | u64::from(dst.is_ipv4()) << 2;
                let ([first, second], [third, fourth]) = (halves(src), halves(dst));
                (families, first, [second, third, fourth])
            }
        };
        let source = match source {
            Source::Port(id) => id.index() as u64,
            Source::Tunnel(spi) => TUNNELS | u64::from(spi),
        };
        let ports = u64::from(flow.sport) << 16 | u64::from(flow.dport);
        Key { kind: families << FAMILIES | u64::from(flow.protocol) << 32 | ports, source, address, rest }
    }
}

impl Hash for Key {
    #[inline(always)]
    fn hash<H: Hasher>(&self, state: &mut H) {
        if self.kind >> FAMILIES != 0 {
            self.rest.into_iter().for_each(|word| state.write_u64(word));
        }
        state.write_u64(self.address);
        state.write_u64(self.kind);
        state.write_u64(self.source);
    }
}

fn halves(address: IpAddr) -> [u64; 2] {
    match address {
        IpAddr::V4(address) => [0, address.to_bits().into()],
        IpAddr::V6(address) => [(address.to_bits() >> 64) as u64, address.to_bits() as u64],
    }
}

/// With the generation in front: see the head of this file.
const _: () = assert!(std::mem::offset_of!(Line, far) + size_of::<u64>() <= 64);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::port::PortId;
    use policy::testing::p;

    #[test]
    fn whatever_tells_two_conversations_apart_tells_their_keys_apart() {
        let flow =
            |src: &str, dst: &str, protocol, sport, dport| FlowKey { src: p(src), dst: p(dst), protocol, sport, dport };
        let port = |n| Source::Port(PortId::new(n).unwrap());
        let all = [
            (port(1), flow("10.0.0.1", "10.0.0.2", 6, 1, 2)),
            (port(2), flow("10.0.0.1", "10.0.0.2", 6, 1, 2)),
            (Source::Tunnel(1), flow("10.0.0.1", "10.0.0.2", 6, 1, 2)),
            (port(1), flow("10.0.0.2", "10.0.0.1", 6, 1, 2)),
            (port(1), flow("10.0.0.1", "10.0.0.2", 17, 1, 2)),
            (port(1), flow("10.0.0.1", "10.0.0.2", 6, 2, 1)),
            (port(1), flow("10.0.0.1", "10.0.0.2", 6, 1, 3)),
            // The same words in other families.
            (port(1), flow("::a00:1:a00:2", "::", 6, 1, 2)),
            (port(1), flow("a00:1:a00:2::", "::", 6, 1, 2)),
            (port(1), flow("a00:1:a00:2::1", "::", 6, 1, 2)),
            (port(1), flow("a00:1:a00:2::", "::1", 6, 1, 2)),
            (port(1), flow("a00:1:a00:2::", "1::", 6, 1, 2)),
            (port(1), flow("::a00:1", "::a00:2", 6, 1, 2)),
            (port(1), flow("10.0.0.1", "::a00:2", 6, 1, 2)),
            (port(1), flow("::a00:1", "10.0.0.2", 6, 1, 2)),
        ];
        let keys = all.map(|(source, flow)| Key::new(source, &flow));
        let line = |key: &Key| Line {
            kind: key.kind,
            source: key.source,
            address: key.address,
            near: End { seen: None, track: policy::Track::New, ticket: None },
            way: 0,
            l2: L2::Router,
            has_far: false,
            far: None,
            rest: key.rest,
        };
        for (n, one) in keys.iter().enumerate() {
            for (m, other) in keys.iter().enumerate() {
                assert_eq!(line(one).is_of(other), n == m, "{:?} and {:?}", all[n], all[m]);
            }
        }
    }
}
