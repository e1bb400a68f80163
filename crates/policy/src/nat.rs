//! Whom does an address and a port outside stand for? The translation table of the NAT gateways of one host (spec 8.8, D38).
//!
//! A gateway's address and one of its ports stand for one conversation of the inside: the mapping depends on both ends (RFC 4787 4.1,
//! address and port-dependent), so that one address has 55,000 ports for each destination address, port and protocol, and nobody but
//! the destination itself can answer. TCP and UDP have ports, an ICMP question its identifier; of errors about a conversation the quoted
//! packet is translated too (RFC 5508 4). Nothing else is translated.
//!
//! A mapping that idles for 350 s ends, and a TCP connection that was ended or reset soon after that. What goes on with a connection that
//! has no mapping is refused, and only TCP's first packet, a datagram or a question begins one.
//!
//! Bounds, all fixed at the start: mappings in the table, and mappings of one gateway. Memory is reserved at the start. Nothing alive is
//! ever evicted. Ports are drawn by a keyed hash of the conversation (RFC 6056 3.3.3), so who sees some of them foretells no other.
//!
//! A table may keep a copy of itself in a [`Mirror`], and the next one begin with it ([`NatTable::restore`]): a new mapping, its end and what
//! TCP says of it are copied at once, that it goes on about once a second.

mod record;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::hash::{BuildHasher, Hasher};
use core::net::{IpAddr, Ipv4Addr};

use foldhash::quality::FixedState;
use hashbrown::{HashMap, HashTable};
use model::{Duration, NetworkInterfaceId, Time};

use crate::record::{Found, Mirror, clear};
use crate::{Flow, FlowKey, L4, NatCause, Restored, TcpFlags};

pub use record::NAT_RECORD_LAYOUT;

/// The ports of a gateway's address: those below are nobody's.
pub const NAT_PORTS: core::ops::RangeInclusive<u16> = 1024..=65535;

/// How much may be translated at once, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NatLimits {
    /// Mappings on this host; at most 2^32 - 1.
    pub mappings: u32,
    /// Mappings of one gateway.
    pub mappings_per_gateway: u32,
    /// Ports of one address for one destination address, port and protocol.
    pub ports_per_destination: u32,
    /// Without a packet in either direction.
    pub idle: Duration,
    /// After both sides have ended a TCP connection, or one has reset it.
    pub closed: Duration,
}

impl Default for NatLimits {
    fn default() -> NatLimits {
        NatLimits {
            mappings: 1 << 17,
            mappings_per_gateway: 1 << 16,
            ports_per_destination: 55_000,
            idle: Duration::seconds(350),
            closed: Duration::seconds(10),
        }
    }
}

/// The translations of one host's NAT gateways. A gateway is known by its interface.
#[derive(Debug)]
pub struct NatTable {
    limits: NatLimits,
    hasher: FixedState,
    /// A mapping keeps its slot; slots are numbered below `limits.mappings`.
    slots: Vec<Option<Mapping>>,
    free: Vec<u32>,
    /// Slots by the hash of the conversation as the inside sends it, and as the outside sees it.
    inside: HashTable<u32>,
    outside: HashTable<u32>,
    taken: HashMap<Destination, u32, FixedState>,
    gateways: HashMap<NetworkInterfaceId, Gateway, FixedState>,
    /// The number of the next gateway.
    next: u32,
    /// The slot that [`NatTable::expire`] looks at next.
    cursor: usize,
    /// A copy of every mapping, by its slot.
    mirror: Option<Box<dyn Mirror>>,
}

#[derive(Clone, Copy, Debug)]
struct Gateway {
    number: u32,
    mappings: u32,
}

/// A conversation with something outside. Of an ICMP question `port` is the identifier and `remote_port` the type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Tuple {
    gateway: u32,
    protocol: u8,
    /// Of the inside, or the gateway's own.
    address: Ipv4Addr,
    port: u16,
    remote: Ipv4Addr,
    remote_port: u16,
}

/// What a gateway's address has only so many ports for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Destination {
    gateway: u32,
    protocol: u8,
    address: Ipv4Addr,
    remote: Ipv4Addr,
    remote_port: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mapping {
    interface: NetworkInterfaceId,
    inside: Tuple,
    /// The gateway's.
    address: Ipv4Addr,
    port: u16,
    expires: Time,
    /// Who has sent FIN.
    ended: Ended,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Ended {
    inside: bool,
    outside: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Inside,
    Outside,
}

impl Mapping {
    fn outside(&self) -> Tuple {
        Tuple { address: self.address, port: self.port, ..self.inside }
    }

    fn destination(&self) -> Destination {
        let Tuple { gateway, protocol, remote, remote_port, .. } = self.inside;
        Destination { gateway, protocol, address: self.address, remote, remote_port }
    }

    fn is_closed(&self) -> bool {
        self.ended.inside && self.ended.outside
    }

    /// One more packet.
    fn go_on(&mut self, flow: &Flow, from: Side, limits: &NatLimits, now: Time) {
        let flags = tcp_flags(flow);
        if from == Side::Inside && flags.is_opening() {
            self.ended = Ended::default();
        }
        let was_closed = self.is_closed();
        let is_reset = flags.contains(TcpFlags::RST);
        let ends = is_reset || flags.contains(TcpFlags::FIN);
        self.ended.inside |= is_reset || ends && from == Side::Inside;
        self.ended.outside |= is_reset || ends && from == Side::Outside;
        match self.is_closed() {
            // It runs out, whatever still comes.
            true if was_closed => {}
            true => self.expires = now + limits.closed,
            false => self.expires = now + limits.idle,
        }
    }
}

/// How many slots a new mapping may look through for one that has ended, when there is no room.
const RECLAIM: usize = 64;

impl NatTable {
    /// `seed` must be random and secret: ports follow from it.
    pub fn new(limits: NatLimits, seed: u64) -> NatTable {
        let slots = limits.mappings as usize;
        let hasher = || FixedState::with_seed(seed);
        NatTable {
            limits,
            hasher: hasher(),
            slots: Vec::with_capacity(slots),
            free: Vec::with_capacity(slots),
            // At half their load they get rid of removed entries in place, instead of growing.
            inside: HashTable::with_capacity(slots.saturating_mul(2)),
            outside: HashTable::with_capacity(slots.saturating_mul(2)),
            taken: HashMap::with_capacity_and_hasher(slots.saturating_mul(2), hasher()),
            gateways: HashMap::with_hasher(hasher()),
            next: 0,
            cursor: 0,
            mirror: None,
        }
    }

    /// A table that begins with what an earlier one left in its mirror, and goes on to keep a copy there. Every record is checked, whatever
    /// lies there, and the limits hold.
    pub fn restore(limits: NatLimits, seed: u64, mut mirror: Box<dyn Mirror>, now: Time) -> (NatTable, Restored) {
        let mut table = NatTable::new(limits, seed);
        let mut restored = Restored::default();
        for slot in 0..mirror.used().min(limits.mappings) {
            table.slots.push(None);
            let Some(words) = mirror.slot(slot) else { continue };
            let is_kept = match record::read(words, slot) {
                Found::Empty => continue,
                Found::Record(mapping) if mapping.expires <= now => {
                    restored.ended += 1;
                    false
                }
                Found::Record(mapping) => {
                    let is_kept = table.take_over(mapping, slot, now);
                    restored.flows += usize::from(is_kept);
                    restored.refused += usize::from(!is_kept);
                    is_kept
                }
                Found::Unsound => {
                    restored.refused += 1;
                    false
                }
            };
            if !is_kept {
                clear(words);
            }
        }
        let NatTable { slots, free, .. } = &mut table;
        let used = u32::try_from(slots.len()).unwrap_or(u32::MAX);
        free.extend((0..used).rev().filter(|slot| slots[*slot as usize].is_none()));
        table.mirror = Some(mirror);
        (table, restored)
    }

    /// What a packet of the inside is outside. `addresses` are the gateway's own; a mapping to another one has ended.
    ///
    /// # Errors
    /// It must be dropped. Of TCP, [`NatCause::Forgotten`] wants to be answered with a reset.
    pub fn outbound(
        &mut self,
        gateway: NetworkInterfaceId,
        addresses: &[IpAddr],
        flow: &Flow,
        now: Time,
    ) -> Result<Flow, NatCause> {
        let forgotten = |cause| if cause == NatCause::NoMapping { NatCause::Forgotten } else { cause };
        self.send(gateway, addresses, flow, now).map_err(forgotten)
    }

    fn send(
        &mut self,
        gateway: NetworkInterfaceId,
        addresses: &[IpAddr],
        flow: &Flow,
        now: Time,
    ) -> Result<Flow, NatCause> {
        if let L4::IcmpError { kind, code, embedded } = flow.l4 {
            // About a packet that came from outside: as the inside sees it.
            let number = self.gateways.get(&gateway).ok_or(NatCause::NoMapping)?.number;
            let tuple = tuple(number, &embedded.reversed()).ok_or(NatCause::NoMapping)?;
            let mapping = self.live(Side::Inside, &tuple, addresses, now).ok_or(NatCause::NoMapping)?;
            if flow.dst != embedded.src || flow.src != embedded.dst {
                return Err(NatCause::NoMapping);
            }
            let quoted = with_own_end(embedded.reversed(), mapping.address, mapping.port).reversed();
            let l4 = L4::IcmpError { kind, code, embedded: quoted };
            return Ok(Flow { src: mapping.address.into(), l4, ..*flow });
        }
        let key = translatable(flow)?;
        let number = self.number(gateway);
        let tuple = tuple(number, &key).ok_or(NatCause::Protocol)?;
        let slot = match self.slot(Side::Inside, &tuple) {
            Some(slot) if self.is_live(slot, addresses, now) => slot,
            old => {
                old.into_iter().for_each(|slot| self.remove(slot));
                self.begin(gateway, tuple, addresses, flow, now)?
            }
        };
        let mapping = self.go_on(slot, flow, Side::Inside, now).ok_or(NatCause::NoMapping)?;
        Ok(sent_by(flow, mapping.address, mapping.port))
    }

    /// What a packet for one of the gateway's own addresses is inside.
    ///
    /// # Errors
    /// It must be dropped: nobody inside has asked.
    pub fn inbound(
        &mut self,
        gateway: NetworkInterfaceId,
        addresses: &[IpAddr],
        flow: &Flow,
        now: Time,
    ) -> Result<Flow, NatCause> {
        let number = self.gateways.get(&gateway).ok_or(NatCause::NoMapping)?.number;
        if let L4::IcmpError { kind, code, embedded } = flow.l4 {
            let tuple = tuple(number, &embedded).ok_or(NatCause::NoMapping)?;
            let mapping = self.live(Side::Outside, &tuple, addresses, now).ok_or(NatCause::NoMapping)?;
            if embedded.src != flow.dst {
                return Err(NatCause::NoMapping);
            }
            let Tuple { address, port, .. } = mapping.inside;
            let l4 = L4::IcmpError { kind, code, embedded: with_own_end(embedded, address, port) };
            return Ok(Flow { dst: address.into(), l4, ..*flow });
        }
        let tuple = tuple(number, &translatable(flow)?.reversed()).ok_or(NatCause::Protocol)?;
        let slot = self.slot(Side::Outside, &tuple).filter(|slot| self.is_live(*slot, addresses, now));
        let mapping = slot.and_then(|slot| self.go_on(slot, flow, Side::Outside, now)).ok_or(NatCause::NoMapping)?;
        Ok(sent_to(flow, mapping.inside.address, mapping.inside.port))
    }

    /// Forgets all gateways but these.
    pub fn keep_only(&mut self, keeps: impl Fn(NetworkInterfaceId) -> bool) {
        let gone = |mapping: &Mapping| !keeps(mapping.interface);
        let slots: Vec<usize> =
            (0..self.slots.len()).filter(|slot| self.slots[*slot].as_ref().is_some_and(gone)).collect();
        slots.into_iter().for_each(|slot| self.remove(slot));
        self.gateways.retain(|interface, _| keeps(*interface));
    }

    /// Gives back slots of mappings that have ended: looks at `budget` slots, going on where it stopped. Returns how many it gave back.
    pub fn expire(&mut self, now: Time, budget: usize) -> usize {
        let mut removed = 0;
        for _ in 0..budget.min(self.slots.len()) {
            let slot = self.cursor;
            self.cursor = (slot + 1) % self.slots.len();
            if self.slots[slot].is_some_and(|mapping| mapping.expires <= now) {
                self.remove(slot);
                removed += 1;
            }
        }
        removed
    }

    /// Mappings that take a slot, ended ones that were not yet given back among them.
    pub fn len(&self) -> usize {
        self.inside.len()
    }

    pub fn is_empty(&self) -> bool {
        self.inside.is_empty()
    }

    pub fn limits(&self) -> NatLimits {
        self.limits
    }
}

/// The conversation of a packet that has ports or an identifier.
fn translatable(flow: &Flow) -> Result<FlowKey, NatCause> {
    match flow.l4 {
        L4::Tcp { .. } | L4::Udp { .. } | L4::IcmpQuery { .. } => Ok(flow.key()),
        // Whom would an answer be for, or this be about?
        L4::IcmpError { .. } | L4::Icmp { .. } => Err(NatCause::NoMapping),
        L4::Other => Err(NatCause::Protocol),
    }
}

/// A packet of this kind begins a conversation.
fn begins(flow: &Flow) -> bool {
    match flow.l4 {
        L4::Tcp { flags, .. } => flags.is_opening(),
        L4::Udp { .. } => true,
        // Echo, timestamp, information, address mask (RFC 792, 950).
        L4::IcmpQuery { kind, .. } => matches!(kind, 8 | 13 | 15 | 17),
        _ => false,
    }
}

fn tcp_flags(flow: &Flow) -> TcpFlags {
    match flow.l4 {
        L4::Tcp { flags, .. } => flags,
        _ => TcpFlags::default(),
    }
}

/// `None`: not IPv4.
fn tuple(gateway: u32, key: &FlowKey) -> Option<Tuple> {
    let (IpAddr::V4(address), IpAddr::V4(remote)) = (key.src, key.dst) else { return None };
    Some(Tuple { gateway, protocol: key.protocol, address, port: key.sport, remote, remote_port: key.dport })
}

/// A key with another end of its own: for ICMP the identifier stands where the source port is.
fn with_own_end(key: FlowKey, address: Ipv4Addr, port: u16) -> FlowKey {
    FlowKey { src: address.into(), sport: port, ..key }
}

fn sent_by(flow: &Flow, address: Ipv4Addr, port: u16) -> Flow {
    let l4 = match flow.l4 {
        L4::Tcp { dst, flags, .. } => L4::Tcp { src: port, dst, flags },
        L4::Udp { dst, .. } => L4::Udp { src: port, dst },
        L4::IcmpQuery { kind, code, .. } => L4::IcmpQuery { kind, code, id: port },
        other => other,
    };
    Flow { src: address.into(), l4, ..*flow }
}

fn sent_to(flow: &Flow, address: Ipv4Addr, port: u16) -> Flow {
    let l4 = match flow.l4 {
        L4::Tcp { src, flags, .. } => L4::Tcp { src, dst: port, flags },
        L4::Udp { src, .. } => L4::Udp { src, dst: port },
        L4::IcmpQuery { kind, code, .. } => L4::IcmpQuery { kind, code, id: port },
        other => other,
    };
    Flow { dst: address.into(), l4, ..*flow }
}

fn hash(hasher: &FixedState, tuple: &Tuple) -> u64 {
    let Tuple { gateway, protocol, address, port, remote, remote_port } = *tuple;
    let mut hasher = hasher.build_hasher();
    hasher.write_u64(u64::from(u32::from(address)) << 32 | u64::from(u32::from(remote)));
    hasher.write_u64(u64::from(gateway) << 32 | u64::from(port) << 16 | u64::from(remote_port));
    hasher.write_u8(protocol);
    hasher.finish()
}

impl NatTable {
    fn number(&mut self, gateway: NetworkInterfaceId) -> u32 {
        let next = self.next;
        let found = self.gateways.entry(gateway).or_insert(Gateway { number: next, mappings: 0 }).number;
        self.next = if found == next { next.wrapping_add(1) } else { next };
        found
    }

    fn slot(&self, from: Side, tuple: &Tuple) -> Option<usize> {
        let index = if from == Side::Inside { &self.inside } else { &self.outside };
        let is = |slot: &u32| self.slots[*slot as usize].is_some_and(|mapping| mapping.seen(from) == *tuple);
        index.find(hash(&self.hasher, tuple), is).map(|slot| *slot as usize)
    }

    fn is_live(&self, slot: usize, addresses: &[IpAddr], now: Time) -> bool {
        let is_own = |mapping: &Mapping| addresses.contains(&IpAddr::V4(mapping.address));
        self.slots[slot].is_some_and(|mapping| mapping.expires > now && is_own(&mapping))
    }

    fn live(&self, from: Side, tuple: &Tuple, addresses: &[IpAddr], now: Time) -> Option<Mapping> {
        self.slots[self.slot(from, tuple).filter(|slot| self.is_live(*slot, addresses, now))?]
    }

    /// A new mapping's slot.
    fn begin(
        &mut self,
        interface: NetworkInterfaceId,
        inside: Tuple,
        addresses: &[IpAddr],
        flow: &Flow,
        now: Time,
    ) -> Result<usize, NatCause> {
        if !begins(flow) {
            return Err(NatCause::NoMapping);
        }
        if self.is_full(interface) {
            self.expire(now, RECLAIM);
        }
        if self.is_full(interface) {
            return Err(NatCause::Full);
        }
        let draw = hash(&self.hasher, &inside).rotate_left(32);
        let (address, port) = match self.choose(&inside, addresses, draw, now) {
            None => {
                self.expire(now, RECLAIM);
                self.choose(&inside, addresses, draw, now)
            }
            found => found,
        }
        .ok_or(NatCause::NoPort)?;
        let expires = now + self.limits.idle;
        let mapping = Mapping { interface, inside, address, port, expires, ended: Ended::default() };
        Ok(self.place(mapping))
    }

    fn is_full(&self, gateway: NetworkInterfaceId) -> bool {
        let NatLimits { mappings, mappings_per_gateway, .. } = self.limits;
        let own = self.gateways.get(&gateway).map_or(0, |gateway| gateway.mappings);
        self.inside.len() >= mappings as usize || own >= mappings_per_gateway
    }

    /// A free port of one of the addresses, each tried from another one on.
    fn choose(&mut self, inside: &Tuple, addresses: &[IpAddr], draw: u64, now: Time) -> Option<(Ipv4Addr, u16)> {
        let v4 = addresses.iter().filter_map(|address| match address {
            IpAddr::V4(v4) => Some(*v4),
            IpAddr::V6(_) => None,
        });
        let count = v4.clone().count().max(1);
        let first = (draw >> 48) as usize % count;
        v4.clone().cycle().skip(first).take(count).find_map(|address| {
            let Tuple { gateway, protocol, remote, remote_port, .. } = *inside;
            let destination = Destination { gateway, protocol, address, remote, remote_port };
            let taken = self.taken.get(&destination).copied().unwrap_or(0);
            if taken >= self.limits.ports_per_destination {
                return None;
            }
            self.free_port(&Tuple { address, ..*inside }, draw, now).map(|port| (address, port))
        })
    }

    /// The first free port of this address for this destination, from a drawn one on.
    fn free_port(&mut self, outside: &Tuple, draw: u64, now: Time) -> Option<u16> {
        let (least, count) = (u64::from(*NAT_PORTS.start()), NAT_PORTS.len() as u64);
        for step in 0..count {
            let port = u16::try_from(least + (draw % count + step) % count).ok()?;
            match self.slot(Side::Outside, &Tuple { port, ..*outside }) {
                None => return Some(port),
                Some(slot) if self.slots[slot].is_some_and(|mapping| mapping.expires <= now) => {
                    self.remove(slot);
                    return Some(port);
                }
                Some(_) => {}
            }
        }
        None
    }

    fn place(&mut self, mapping: Mapping) -> usize {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
        });
        self.put(slot, mapping);
        self.copy(slot as usize);
        slot as usize
    }

    /// Into a slot that is free.
    fn put(&mut self, slot: u32, mapping: Mapping) {
        *self.taken.entry(mapping.destination()).or_insert(0) += 1;
        if let Some(gateway) = self.gateways.get_mut(&mapping.interface) {
            gateway.mappings += 1;
        }
        self.slots[slot as usize] = Some(mapping);
        let NatTable { inside, outside, slots, hasher, .. } = self;
        let seen = |slot: &u32, from| slots[*slot as usize].map_or(0, |mapping| hash(hasher, &mapping.seen(from)));
        inside.insert_unique(hash(hasher, &mapping.inside), slot, |slot| seen(slot, Side::Inside));
        outside.insert_unique(hash(hasher, &mapping.outside()), slot, |slot| seen(slot, Side::Outside));
    }

    /// A mapping that lay in this slot's record. `false`: it cannot be one of this table's, there is no room, or it is known already.
    fn take_over(&mut self, mapping: Mapping, slot: u32, now: Time) -> bool {
        let Mapping { interface, port, .. } = mapping;
        if !NAT_PORTS.contains(&port) || self.is_full(interface) {
            return false;
        }
        let most = now + if mapping.is_closed() { self.limits.closed } else { self.limits.idle };
        let inside = Tuple { gateway: self.number(interface), ..mapping.inside };
        let mapping = Mapping { inside, expires: mapping.expires.min(most), ..mapping };
        let is_known =
            [Side::Inside, Side::Outside].iter().any(|side| self.slot(*side, &mapping.seen(*side)).is_some());
        let taken = self.taken.get(&mapping.destination()).copied().unwrap_or(0);
        let is_kept = !is_known && taken < self.limits.ports_per_destination;
        if is_kept {
            self.put(slot, mapping);
        }
        is_kept
    }

    /// One more packet of a mapping; what it is then.
    fn go_on(&mut self, slot: usize, flow: &Flow, from: Side, now: Time) -> Option<Mapping> {
        let limits = self.limits;
        let mapping = self.slots[slot].as_mut()?;
        let before = *mapping;
        mapping.go_on(flow, from, &limits, now);
        let after = *mapping;
        if record::differs(&before, &after) {
            self.copy(slot);
        }
        Some(after)
    }

    fn copy(&mut self, slot: usize) {
        let (Some(Some(mapping)), Some(mirror)) = (self.slots.get(slot), &mut self.mirror) else { return };
        let Ok(slot) = u32::try_from(slot) else { return };
        if let Some(words) = mirror.slot(slot) {
            record::write(words, slot, mapping);
        }
    }

    fn remove(&mut self, slot: usize) {
        let Some(mapping) = self.slots[slot].take() else { return };
        if let (Some(mirror), Ok(slot)) = (&mut self.mirror, u32::try_from(slot))
            && slot < mirror.used()
            && let Some(words) = mirror.slot(slot)
        {
            clear(words);
        }
        let is_it = |other: &u32| *other as usize == slot;
        for (index, tuple) in [(&mut self.inside, mapping.inside), (&mut self.outside, mapping.outside())] {
            if let Ok(found) = index.find_entry(hash(&self.hasher, &tuple), is_it) {
                found.remove();
            }
        }
        let destination = mapping.destination();
        if let Some(taken) = self.taken.get_mut(&destination) {
            *taken -= 1;
            if *taken == 0 {
                self.taken.remove(&destination);
            }
        }
        if let Some(gateway) = self.gateways.get_mut(&mapping.interface) {
            gateway.mappings -= 1;
        }
        self.free.extend(u32::try_from(slot).ok());
    }
}

impl Mapping {
    fn seen(&self, from: Side) -> Tuple {
        if from == Side::Inside { self.inside } else { self.outside() }
    }
}

#[cfg(test)]
mod tests;
