//! Is this packet part of something that was let through? Connection tracking at each interface (spec 6.4).
//!
//! Bounds, all fixed at the start: flows in the table, and flows of one interface, so that no tenant can use up the table of its
//! neighbours. Memory is reserved at the start. Nothing alive is ever evicted: a table that is full refuses new flows (D06).
//! [`Conntrack::expire`] gives back what has ended; called so that it goes round the table every few seconds, dead flows
//! hardly count against the bounds.
//!
//! A flow belongs to its interface, so equal addresses and ports in two VPCs never meet. It is remembered as its interface's
//! guest sends it: an answer is found by its question. Two flows are never taken for one because one is the other reversed.
//!
//! An *untracked* flow leaves a marker, which admits nothing. It only remembers who began, so that an answer on its way when the
//! rule is revoked does not begin a tracked flow and so keep the connection alive. Markers take at most a quarter of the table;
//! without one the rules alone judge, as ever.
//!
//! A table may keep a copy of itself in a [`Mirror`], and the next one begin with it ([`Conntrack::restore`]). What has ended here has ended
//! there by the time that the call returns; that a flow goes on is copied about once a second.

mod life;

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::hash::{BuildHasher, Hasher};
use core::net::IpAddr;

use foldhash::quality::FixedState;
use hashbrown::{HashMap, HashTable};
use model::{Direction, NetworkInterfaceId, Time};

use crate::group::opposite;
use crate::lifetime::{OwnTimeouts, State, Timeouts, after, flags};
use crate::record::{self, Found, Mirror, Remembered};
use crate::{Denied, Flow, FlowKey, L4, Track, Tracked};
use life::{end_of, is_due};

pub use life::{Life, Lives, Ticket};

/// How much may be tracked at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Flows on this host; at most 2^32 - 1.
    pub flows: u32,
    /// Flows of one interface.
    pub flows_per_interface: u32,
}

/// The flows that the interfaces of one host have let through.
#[derive(Debug)]
pub struct Conntrack {
    limits: Limits,
    timeouts: Timeouts,
    own_timeouts: Arc<OwnTimeouts>,
    hasher: FixedState,
    /// A flow keeps its slot; slots are numbered below `limits.flows`.
    slots: Vec<Option<Entry>>,
    /// When the flows end, from this place on.
    lives: Arc<Lives>,
    first_life: usize,
    free: Vec<u32>,
    /// Slots by the hash of their flow.
    index: HashTable<u32>,
    interfaces: HashMap<NetworkInterfaceId, u32, FixedState>,
    zones: Vec<Zone>,
    free_zones: Vec<u32>,
    markers: u32,
    /// The slot that [`Conntrack::expire`] looks at next.
    cursor: usize,
    /// A copy of every live entry, by its slot.
    mirror: Option<Box<dyn Mirror>>,
}

/// What a table found in its [`Mirror`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// Flows that it knows again, untracked ones' markers among them.
    pub flows: usize,
    /// Records that had ended by then.
    pub ended: usize,
    /// Records that are none, or for which there is no room.
    pub refused: usize,
}

/// A flow that lay in the mirror of a table and belongs into another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stray(Remembered);

impl Stray {
    /// Whose it is, and the flow as its guest sends it.
    pub fn key(&self) -> (NetworkInterfaceId, FlowKey) {
        (self.0.interface, self.0.flow)
    }
}

/// The flows of one interface, from its first one to its [flush](Conntrack::flush).
#[derive(Debug)]
struct Zone {
    interface: NetworkInterfaceId,
    is_live: bool,
    flows: u32,
    /// The slot of one of them; each leads to the next.
    first: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Key {
    zone: u32,
    /// As the guest sends it.
    flow: FlowKey,
}

/// Looked at for almost every packet: no more than a cache line, and not parts of two.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Entry {
    key: Key,
    initiator: Direction,
    state: State,
    is_marker: bool,
    /// Its neighbours among its interface's flows.
    before: u32,
    next: u32,
}

/// No slot: they are numbered below 2^32 - 1.
const NONE: u32 = u32::MAX;

/// That a flow goes on is copied when it will end in another one of these, in milliseconds: so much earlier it may end after a restart.
const COPIED_EVERY: u64 = 1 << 10;

/// How many slots a new flow may look through for one that has ended, when the table is full.
const RECLAIM: usize = 64;

/// Markers of untracked flows take at most this part of the table, and of an interface's share.
const MARKERS_PART: u32 = 4;

impl Conntrack {
    /// `seed` should be random and secret: guests choose addresses and ports.
    pub fn new(limits: Limits, timeouts: Timeouts, seed: u64) -> Conntrack {
        Conntrack::among(Lives::new(limits.flows), 0, limits, timeouts, seed)
    }

    /// One of several tables with their lives in one place: its own are `limits.flows` from `first_life` on.
    ///
    /// # Panics
    /// When there are fewer.
    pub fn among(lives: Arc<Lives>, first_life: usize, limits: Limits, timeouts: Timeouts, seed: u64) -> Conntrack {
        assert!(lives.len() >= first_life + limits.flows as usize, "each slot has a life");
        let slots = limits.flows as usize;
        Conntrack {
            limits,
            timeouts,
            own_timeouts: Arc::default(),
            hasher: FixedState::with_seed(seed),
            slots: Vec::with_capacity(slots),
            lives,
            first_life,
            free: Vec::with_capacity(slots),
            // At half its load the index gets rid of removed entries in place, instead of growing.
            index: HashTable::with_capacity(slots.saturating_mul(2)),
            interfaces: HashMap::with_hasher(FixedState::with_seed(seed)),
            zones: Vec::new(),
            free_zones: Vec::new(),
            markers: 0,
            cursor: 0,
            mirror: None,
        }
    }

    /// Begins anew with what an earlier table left in its mirror, and goes on to keep a copy there. Room is made by
    /// [`new`](Conntrack::new), so that this takes no longer than what is in use.
    ///
    /// Every record is checked, whatever lies there, and the limits hold. A flow that is not `is_mine` is taken out and returned: it
    /// belongs into another table ([`Conntrack::adopt`]).
    pub fn restore(
        &mut self,
        mut mirror: Box<dyn Mirror>,
        now: Time,
        mut is_mine: impl FnMut(NetworkInterfaceId, &FlowKey) -> bool,
    ) -> (Restored, Vec<Stray>) {
        self.forget_all();
        let (mut restored, mut strays) = (Restored::default(), Vec::new());
        for slot in 0..mirror.used().min(self.limits.flows) {
            self.slots.push(None);
            let Some(words) = mirror.slot(slot) else { continue };
            let is_kept = match record::read(words, slot) {
                Found::Empty => continue,
                Found::Record(it) if it.expires <= now => {
                    restored.ended += 1;
                    false
                }
                Found::Record(it) if !is_mine(it.interface, &it.flow) => {
                    strays.push(Stray(it));
                    false
                }
                Found::Record(it) => {
                    let is_kept = self.take_over(it, Some(slot), now);
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
                record::clear(words);
            }
        }
        let Conntrack { slots, free, .. } = self;
        let used = u32::try_from(slots.len()).unwrap_or(NONE);
        free.extend((0..used).rev().filter(|slot| slots[*slot as usize].is_none()));
        self.mirror = Some(mirror);
        (restored, strays)
    }

    fn forget_all(&mut self) {
        (0..self.slots.len()).for_each(|slot| self.lives.change(self.life(slot), 0));
        self.slots.clear();
        self.free.clear();
        self.index.clear();
        self.interfaces.clear();
        self.zones.clear();
        self.free_zones.clear();
        (self.markers, self.cursor, self.mirror) = (0, 0, None);
    }

    /// Takes over a flow that lay in another table's mirror. `false`: there is no room, or it is known already.
    pub fn adopt(&mut self, stray: Stray, now: Time) -> bool {
        self.take_over(stray.0, None, now)
    }

    /// What is known about a packet that passes this interface; the direction is the guest's.
    pub fn lookup(
        &self,
        interface: NetworkInterfaceId,
        direction: Direction,
        flow: &Flow,
        now: Time,
    ) -> Option<Tracked> {
        let zone = *self.interfaces.get(&interface)?;
        let found = |flow| self.find(Key { zone, flow }, now);
        if let L4::IcmpError { embedded, .. } = flow.l4 {
            // The packet that the error is about went the other way, and the error goes to who sent it.
            let about = as_sent(opposite(direction), embedded);
            let is_related = embedded.src == flow.dst && found(about).is_some_and(|entry| !entry.is_marker);
            return is_related.then_some(Tracked::Related);
        }
        let entry = found(as_sent(direction, trackable(flow)?))?;
        // Opening a connection is something new, unless its answer is still awaited: then the question is repeated or meets
        // the other side's own.
        let opens_anew = flags(flow).is_opening() && (entry.is_marker || entry.state != State::Opening);
        match entry.is_marker {
            _ if opens_anew => None,
            false => Some(Tracked::Established),
            true => (direction != entry.initiator).then_some(Tracked::UntrackedReply),
        }
    }

    /// Remembers a packet that the law let through: `track` is what [`egress`](crate::egress) or [`ingress`](crate::ingress)
    /// said for this interface and direction.
    ///
    /// # Errors
    /// [`Denied::ConntrackFull`]: the packet must be dropped.
    pub fn commit(
        &mut self,
        interface: NetworkInterfaceId,
        direction: Direction,
        flow: &Flow,
        track: Track,
        now: Time,
    ) -> Result<(), Denied> {
        let Some(key) = trackable(flow) else { return Ok(()) };
        let key = as_sent(direction, key);
        match track {
            Track::Related => Ok(()),
            Track::Established => {
                self.go_on(interface, key, direction, flow, now);
                Ok(())
            }
            Track::New => self.begin(interface, key, direction, flow, now),
            Track::Untracked { initiator } => {
                self.mark(interface, key, direction, initiator, flow, now);
                Ok(())
            }
        }
    }

    /// What interfaces say of their own flows, from here on: a flow's rest of life is counted anew with its next packet.
    pub fn set_own_timeouts(&mut self, own: Arc<OwnTimeouts>) {
        self.own_timeouts = own;
    }

    /// Forgets all flows of an interface: it was deleted, detached, or its instance stopped.
    pub fn flush(&mut self, interface: NetworkInterfaceId) {
        let Some(zone) = self.interfaces.remove(&interface) else { return };
        let state = &mut self.zones[zone as usize];
        state.is_live = false;
        if state.flows == 0 {
            self.free_zones.push(zone);
        }
        // Their slots are given back later; neither who holds a ticket nor who restores them must find them alive.
        let mut at = state.first;
        while let Some(Some(entry)) = self.slots.get(at as usize) {
            self.lives.change(self.life(at as usize), 0);
            self.mirror.iter_mut().for_each(|mirror| clear(&mut **mirror, at));
            at = entry.next;
        }
    }

    /// When its flows end, for who goes on by [`Ticket`]s.
    pub fn lives(&self) -> &Arc<Lives> {
        &self.lives
    }

    /// The interfaces that have flows, or had them and were not [flushed](Conntrack::flush).
    pub fn interfaces(&self) -> impl Iterator<Item = NetworkInterfaceId> + '_ {
        self.interfaces.keys().copied()
    }

    /// Gives back slots of flows that have ended: looks at `budget` slots, going on where it stopped. Returns how many it gave back.
    pub fn expire(&mut self, now: Time, budget: usize) -> usize {
        let mut removed = 0;
        for _ in 0..budget.min(self.slots.len()) {
            let slot = self.cursor;
            self.cursor = (slot + 1) % self.slots.len();
            if self.slots[slot].is_some() && self.lives.close(self.life(slot), now) {
                self.remove(slot);
                removed += 1;
            }
        }
        removed
    }

    /// Flows that take a slot, ended ones that were not yet given back among them.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Flows of one interface that take a slot.
    pub fn len_of(&self, interface: NetworkInterfaceId) -> usize {
        self.interfaces.get(&interface).map_or(0, |zone| self.zones[*zone as usize].flows as usize)
    }
}

/// The flow that a packet belongs to; ICMP messages that are neither question nor answer have none.
fn trackable(flow: &Flow) -> Option<FlowKey> {
    match flow.l4 {
        L4::IcmpError { .. } | L4::Icmp { .. } => None,
        L4::Tcp { .. } | L4::Udp { .. } | L4::IcmpQuery { .. } | L4::Other => Some(flow.key()),
    }
}

fn as_sent(direction: Direction, key: FlowKey) -> FlowKey {
    match direction {
        Direction::Egress => key,
        Direction::Ingress => key.reversed(),
    }
}

impl Entry {
    fn first(key: Key, initiator: Direction, direction: Direction, flow: &Flow, is_marker: bool) -> Entry {
        let state = after(State::Opening, initiator, direction, flow);
        Entry { key, initiator, state, is_marker, before: NONE, next: NONE }
    }
}

fn clear(mirror: &mut dyn Mirror, slot: u32) {
    if slot < mirror.used()
        && let Some(words) = mirror.slot(slot)
    {
        record::clear(words);
    }
}

fn hash(hasher: &FixedState, key: &Key) -> u64 {
    let number = |address| match address {
        IpAddr::V4(a) => u128::from(u32::from(a)),
        IpAddr::V6(a) => u128::from(a),
    };
    let Key { zone, flow } = *key;
    let mut hasher = hasher.build_hasher();
    hasher.write_u128(number(flow.src));
    hasher.write_u128(number(flow.dst));
    hasher.write_u64(u64::from(zone) << 32 | u64::from(flow.sport) << 16 | u64::from(flow.dport));
    hasher.write_u8(flow.protocol);
    hasher.finish()
}

impl Conntrack {
    fn slot(&self, key: &Key) -> Option<usize> {
        let is = |slot: &u32| self.slots[*slot as usize].is_some_and(|entry| entry.key == *key);
        self.index.find(hash(&self.hasher, key), is).map(|slot| *slot as usize)
    }

    /// What is known of a flow that has not ended.
    fn find(&self, key: Key, now: Time) -> Option<&Entry> {
        let slot = self.slot(&key)?;
        self.slots[slot].as_ref().filter(|_| self.is_alive(slot, now))
    }

    fn is_alive(&self, slot: usize, now: Time) -> bool {
        self.lives.end(self.life(slot)) > end_of(now)
    }

    /// Where a slot's life is.
    fn life(&self, slot: usize) -> usize {
        self.first_life + slot
    }

    fn slot_of(&self, interface: NetworkInterfaceId, flow: FlowKey) -> Option<usize> {
        let zone = *self.interfaces.get(&interface)?;
        self.slot(&Key { zone, flow })
    }

    fn go_on(&mut self, interface: NetworkInterfaceId, key: FlowKey, direction: Direction, flow: &Flow, now: Time) {
        if let Some(slot) = self.slot_of(interface, key) {
            self.advance(slot, direction, flow, now);
        }
    }

    /// One more packet of a flow, unless that has ended.
    fn advance(&mut self, slot: usize, direction: Direction, flow: &Flow, now: Time) {
        let (life, is_alive) = (self.life(slot), self.is_alive(slot, now));
        let Some(entry) = self.slots[slot].as_mut().filter(|_| is_alive) else { return };
        let before = entry.state;
        entry.state = after(before, entry.initiator, direction, flow);
        let (state, zone) = (entry.state, entry.key.zone);
        // What is closed runs out, whatever still comes.
        if (before, state) == (State::Closed, State::Closed) {
            return;
        }
        let (ended, ends) = (self.lives.end(life), end_of(now + self.timeouts_of(zone).of(state, flow.protocol)));
        if state != before {
            self.lives.change(life, ends);
            self.copy(slot);
        } else {
            self.lives.extend(life, ends);
            if is_due(ended, ends) {
                self.copy(slot);
            }
        }
    }

    /// Writes an entry into the mirror, if there is one.
    fn copy(&mut self, slot: usize) {
        let (Some(mirror), Some(entry), Ok(number)) = (&mut self.mirror, self.slots[slot], u32::try_from(slot)) else {
            return;
        };
        let Entry { key: Key { zone, flow }, initiator, state, is_marker, .. } = entry;
        let expires = self.lives.ends(self.first_life + slot);
        let interface = self.zones[zone as usize].interface;
        if let Some(words) = mirror.slot(number) {
            record::write(words, number, &Remembered { interface, flow, expires, initiator, state, is_marker });
        }
    }

    fn begin(
        &mut self,
        interface: NetworkInterfaceId,
        key: FlowKey,
        direction: Direction,
        flow: &Flow,
        now: Time,
    ) -> Result<(), Denied> {
        let zone = self.zone(interface);
        let entry = Entry::first(Key { zone, flow: key }, direction, direction, flow, false);
        self.put(entry, flow, now).map_err(|of_interface| Denied::ConntrackFull { interface, of_interface })
    }

    fn mark(
        &mut self,
        interface: NetworkInterfaceId,
        key: FlowKey,
        direction: Direction,
        initiator: Direction,
        flow: &Flow,
        now: Time,
    ) {
        let zone = self.zone(interface);
        let opens = flags(flow).is_opening();
        let found = self.slot_of(interface, key);
        let is_live = |slot: usize| self.slots[slot].is_some_and(|entry| entry.is_marker) && self.is_alive(slot, now);
        match found {
            Some(slot) if is_live(slot) && !opens => self.advance(slot, direction, flow, now),
            found => {
                if found.is_some() || self.has_room_for_marker(zone) {
                    let entry = Entry::first(Key { zone, flow: key }, initiator, direction, flow, true);
                    // A full table has no room for a mere reminder.
                    let _: Result<(), bool> = self.put(entry, flow, now);
                }
            }
        }
    }

    fn has_room_for_marker(&self, zone: u32) -> bool {
        let Limits { flows, flows_per_interface } = self.limits;
        self.markers < flows / MARKERS_PART && self.zones[zone as usize].flows < flows_per_interface / MARKERS_PART
    }

    /// A remembered flow, in this empty slot or in any. `false`: there is no room, or it is known already.
    fn take_over(&mut self, it: Remembered, slot: Option<u32>, now: Time) -> bool {
        let Remembered { interface, flow, expires, initiator, state, is_marker } = it;
        let zone = self.zone(interface);
        let key = Key { zone, flow };
        let has_room = !self.is_full() && self.zones[zone as usize].flows < self.limits.flows_per_interface;
        if !has_room || self.slot(&key).is_some() || expires <= now {
            return false;
        }
        // A clock that was set back must not keep it for ever.
        let expires = expires.min(now + self.timeouts_of(zone).of(state, flow.protocol));
        self.place(slot, Entry { key, initiator, state, is_marker, before: NONE, next: NONE }, end_of(expires));
        true
    }

    /// The times by which an interface's flows live.
    fn timeouts_of(&self, zone: u32) -> Timeouts {
        self.own_timeouts.of(self.zones[zone as usize].interface, self.timeouts)
    }

    fn zone(&mut self, interface: NetworkInterfaceId) -> u32 {
        if let Some(zone) = self.interfaces.get(&interface) {
            return *zone;
        }
        let fresh = Zone { interface, is_live: true, flows: 0, first: NONE };
        let zone = match self.free_zones.pop() {
            Some(zone) => {
                self.zones[zone as usize] = fresh;
                zone
            }
            None => {
                self.zones.push(fresh);
                u32::try_from(self.zones.len() - 1).unwrap_or(u32::MAX)
            }
        };
        self.interfaces.insert(interface, zone);
        zone
    }

    /// Writes an entry over an older one of the same flow, or into a slot of its own. `Err(true)`: the interface's share is used up;
    /// `Err(false)`: the table.
    fn put(&mut self, entry: Entry, flow: &Flow, now: Time) -> Result<(), bool> {
        let ends = end_of(now + self.timeouts_of(entry.key.zone).of(entry.state, flow.protocol));
        if let Some(slot) = self.slot(&entry.key) {
            if let Some(old) = &mut self.slots[slot] {
                self.markers -= u32::from(old.is_marker);
                self.markers += u32::from(entry.is_marker);
                *old = Entry { before: old.before, next: old.next, ..entry };
            }
            self.lives.change(self.life(slot), ends);
            self.copy(slot);
            return Ok(());
        }
        let zone = entry.key.zone as usize;
        if self.is_full() || self.zones[zone].flows >= self.limits.flows_per_interface {
            self.expire(now, RECLAIM);
        }
        if self.zones[zone].flows >= self.limits.flows_per_interface {
            return Err(true);
        }
        if self.is_full() {
            return Err(false);
        }
        self.place(None, entry, ends);
        Ok(())
    }

    /// Puts a new entry that ends then into this empty slot, or into any.
    fn place(&mut self, slot: Option<u32>, mut entry: Entry, ends: u64) {
        let zone = &mut self.zones[entry.key.zone as usize];
        zone.flows += 1;
        entry.next = zone.first;
        self.markers += u32::from(entry.is_marker);
        let slot = match slot.or_else(|| self.free.pop()) {
            Some(slot) => {
                self.slots[slot as usize] = Some(entry);
                slot
            }
            None => {
                self.slots.push(Some(entry));
                u32::try_from(self.slots.len() - 1).unwrap_or(NONE)
            }
        };
        zone.first = slot;
        self.lives.change(self.first_life + slot as usize, ends);
        if let Some(Some(next)) = self.slots.get_mut(entry.next as usize) {
            next.before = slot;
        }
        let Conntrack { index, slots, hasher, .. } = self;
        let hash_of = |slot: &u32| slots[*slot as usize].map_or(0, |entry| hash(hasher, &entry.key));
        index.insert_unique(hash(hasher, &entry.key), slot, hash_of);
        self.copy(slot as usize);
    }

    fn is_full(&self) -> bool {
        self.index.len() >= self.limits.flows as usize
    }

    fn remove(&mut self, slot: usize) {
        let Some(entry) = self.slots[slot] else { return };
        if let Ok(found) = self.index.find_entry(hash(&self.hasher, &entry.key), |at| *at as usize == slot) {
            let (at, _) = found.remove();
            self.free.push(at);
            self.mirror.iter_mut().for_each(|mirror| clear(&mut **mirror, at));
        }
        self.slots[slot] = None;
        self.lives.change(self.life(slot), 0);
        self.markers -= u32::from(entry.is_marker);
        if let Some(Some(next)) = self.slots.get_mut(entry.next as usize) {
            next.before = entry.before;
        }
        let zone = &mut self.zones[entry.key.zone as usize];
        match self.slots.get_mut(entry.before as usize) {
            Some(Some(before)) => before.next = entry.next,
            _ => zone.first = entry.next,
        }
        zone.flows -= 1;
        if !zone.is_live && zone.flows == 0 {
            self.free_zones.push(entry.key.zone);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TcpFlags;
    use crate::testing::{arbitrary, p};
    use alloc::vec::Vec;
    use model::{Duration, ResourceId};
    use proptest::prelude::*;

    const OUT: Direction = Direction::Egress;
    const IN: Direction = Direction::Ingress;

    fn interface(n: u128) -> NetworkInterfaceId {
        NetworkInterfaceId::from_random(n)
    }

    fn at(seconds: i64) -> Time {
        Time::EPOCH + Duration::seconds(seconds)
    }

    fn table(flows: u32, flows_per_interface: u32) -> Conntrack {
        Conntrack::new(Limits { flows, flows_per_interface }, Timeouts::default(), 42)
    }

    fn tcp(flags: TcpFlags) -> Flow {
        Flow::tcp(p("10.0.0.1"), 1000, p("10.0.0.2"), 80, flags)
    }

    /// The same flow, sent by the other end.
    fn back(flags: TcpFlags) -> Flow {
        Flow::tcp(p("10.0.0.2"), 80, p("10.0.0.1"), 1000, flags)
    }

    const FIN_ACK: TcpFlags = TcpFlags(0x11);

    /// Passes a packet as the data plane does, with rules that let nothing in and everything out.
    fn pass(conntrack: &mut Conntrack, direction: Direction, flow: &Flow, now: Time) -> bool {
        let track = match conntrack.lookup(interface(1), direction, flow, now) {
            Some(Tracked::Established) => Track::Established,
            Some(Tracked::Related) => Track::Related,
            _ if direction == OUT => Track::New,
            _ => return false,
        };
        conntrack.commit(interface(1), direction, flow, track, now).is_ok()
    }

    #[test]
    fn tcp_lives_as_long_as_its_state_says() {
        let syn = (0, OUT, tcp(TcpFlags::SYN));
        let open = [syn, (1, IN, back(TcpFlags::SYN_ACK))];
        let half = [&open[..], &[(2, OUT, tcp(FIN_ACK))]].concat();
        let both = [&half[..], &[(3, IN, back(FIN_ACK)), (8, OUT, tcp(TcpFlags::ACK))]].concat();
        let reset = [syn, (1, IN, back(TcpFlags::RST)), (5, OUT, tcp(TcpFlags::ACK))];
        // What happens, at which second, and at which second an answer is last admitted.
        let cases = [(&[syn][..], 59), (&open, 1 + 431_999), (&half, 2 + 59), (&both, 3 + 9), (&reset, 1 + 9)];
        for (packets, last) in cases {
            let mut conntrack = table(10, 10);
            for (second, direction, flow) in packets {
                assert!(pass(&mut conntrack, *direction, flow, at(*second)), "{packets:?}");
            }
            let seen = |second| conntrack.lookup(interface(1), IN, &back(TcpFlags::ACK), at(second));
            assert_eq!(seen(last), Some(Tracked::Established), "{packets:?}");
            assert_eq!(seen(last + 1), None, "{packets:?}");
        }
    }

    #[test]
    fn udp_becomes_a_stream_with_the_second_exchange() {
        let ask = Flow::udp(p("fd00::1"), 5, p("fd00::2"), 53);
        let mut conntrack = table(10, 10);
        for (packet, last) in [(true, 29), (false, 29), (true, 29), (false, 179), (true, 179)] {
            let (direction, flow) = if packet { (OUT, ask) } else { (IN, ask.reversed()) };
            assert!(pass(&mut conntrack, direction, &flow, at(0)));
            assert!(conntrack.lookup(interface(1), IN, &ask.reversed(), at(last)).is_some());
            assert!(conntrack.lookup(interface(1), IN, &ask.reversed(), at(last + 1)).is_none());
        }
    }

    /// Spec 6.4.4: what one interface says of its flows holds for its own only, and from the next packet on.
    #[test]
    fn an_interface_may_have_times_of_its_own() {
        let own = model::ConnectionTracking {
            tcp_established_timeout: Some(60),
            udp_stream_timeout: Some(61),
            udp_timeout: Some(45),
        };
        let set = |conntrack: &mut Conntrack, own| {
            conntrack.set_own_timeouts(Arc::new([(interface(1), own)].into_iter().collect()));
        };
        let ask = Flow::udp(p("10.0.0.1"), 5, p("10.0.0.2"), 53);
        let last = |conntrack: &Conntrack, owner: u128, answer: &Flow| {
            let seen = |second: &i64| conntrack.lookup(interface(owner), IN, answer, at(*second)).is_some();
            (0..500_000).take_while(seen).last()
        };
        let story = |conntrack: &mut Conntrack, owner: u128| {
            let mut tell = |direction, flow: &Flow, track| {
                conntrack.commit(interface(owner), direction, flow, track, at(0)).unwrap();
            };
            tell(OUT, &tcp(TcpFlags::SYN), Track::New);
            tell(IN, &back(TcpFlags::SYN_ACK), Track::Established);
            tell(OUT, &ask, Track::New);
            let once = last(conntrack, owner, &ask.reversed());
            for direction in [IN, OUT, IN] {
                let flow = if direction == OUT { ask } else { ask.reversed() };
                conntrack.commit(interface(owner), direction, &flow, Track::Established, at(0)).unwrap();
            }
            (last(conntrack, owner, &back(TcpFlags::ACK)), once, last(conntrack, owner, &ask.reversed()))
        };
        let mut conntrack = table(10, 10);
        set(&mut conntrack, own);
        assert_eq!(story(&mut conntrack, 1), (Some(59), Some(44), Some(60)));
        assert_eq!(story(&mut conntrack, 2), (Some(431_999), Some(29), Some(179)));
        // What was tracked before lives by the new time once a packet has come.
        set(&mut conntrack, model::ConnectionTracking { tcp_established_timeout: Some(100), ..own });
        assert_eq!(last(&conntrack, 1, &back(TcpFlags::ACK)), Some(59));
        conntrack.commit(interface(1), OUT, &tcp(TcpFlags::ACK), Track::Established, at(0)).unwrap();
        assert_eq!(last(&conntrack, 1, &back(TcpFlags::ACK)), Some(99));
        // What is half open or ended is not the interface's to say.
        conntrack.commit(interface(1), OUT, &tcp(FIN_ACK), Track::Established, at(0)).unwrap();
        assert_eq!(last(&conntrack, 1, &back(TcpFlags::ACK)), Some(59));
    }

    #[test]
    fn a_new_connection_is_new_even_on_the_same_ports() {
        let mut conntrack = table(10, 10);
        assert!(pass(&mut conntrack, OUT, &tcp(TcpFlags::SYN), at(0)));
        assert!(pass(&mut conntrack, OUT, &tcp(TcpFlags::SYN), at(1)), "repeated");
        assert!(pass(&mut conntrack, IN, &back(TcpFlags::SYN), at(1)), "both sides open at once");
        assert!(!pass(&mut conntrack, IN, &back(TcpFlags::SYN), at(2)), "the other side opens another one on it");
        assert!(pass(&mut conntrack, IN, &back(TcpFlags::ACK), at(2)), "which does not hurt the first");
    }

    #[test]
    fn a_question_back_is_not_an_answer() {
        let mut conntrack = table(10, 10);
        let ping = |from, to, kind| Flow::icmp(p(from), p(to), kind, 0, 9, None);
        assert!(pass(&mut conntrack, OUT, &ping("10.0.0.1", "10.0.0.2", 8), at(0)));
        assert!(pass(&mut conntrack, IN, &ping("10.0.0.2", "10.0.0.1", 0), at(0)));
        assert!(!pass(&mut conntrack, IN, &ping("10.0.0.2", "10.0.0.1", 8), at(0)));
        let redirect = Flow::icmp(p("10.0.0.1"), p("10.0.0.2"), 5, 0, 0, None);
        assert!(pass(&mut conntrack, OUT, &redirect, at(0)));
        assert_eq!(conntrack.len(), 1, "what has no answer is not tracked");
    }

    #[test]
    fn interfaces_never_meet_and_a_flush_forgets() {
        let mut conntrack = table(10, 10);
        let syn = tcp(TcpFlags::SYN);
        conntrack.commit(interface(1), OUT, &syn, Track::New, at(0)).unwrap();
        assert_eq!(conntrack.lookup(interface(2), IN, &back(TcpFlags::SYN_ACK), at(0)), None);
        assert_eq!(conntrack.lookup(interface(1), OUT, &back(TcpFlags::ACK), at(0)), None, "forwarded, not answered");
        conntrack.flush(interface(1));
        assert_eq!(conntrack.lookup(interface(1), IN, &back(TcpFlags::SYN_ACK), at(0)), None);
        conntrack.commit(interface(1), OUT, &syn, Track::New, at(0)).unwrap();
        assert_eq!((conntrack.len(), conntrack.len_of(interface(1))), (2, 1));
        assert_eq!(conntrack.expire(at(0), 100), 1, "the flushed one only");
        assert_eq!(conntrack.lookup(interface(1), IN, &back(TcpFlags::SYN_ACK), at(0)), Some(Tracked::Established));
    }

    #[test]
    fn one_interface_cannot_use_up_the_table() {
        let mut conntrack = table(100, 10);
        let flow = |port| Flow::udp(p("10.0.0.1"), port, p("10.0.0.2"), 53);
        for port in 0..10 {
            conntrack.commit(interface(1), OUT, &flow(port), Track::New, at(0)).unwrap();
        }
        let full = Denied::ConntrackFull { interface: interface(1), of_interface: true };
        assert_eq!(conntrack.commit(interface(1), OUT, &flow(10), Track::New, at(29)), Err(full));
        assert_eq!(conntrack.commit(interface(2), OUT, &flow(10), Track::New, at(29)), Ok(()));
        assert_eq!(
            conntrack.commit(interface(1), OUT, &flow(10), Track::New, at(30)),
            Ok(()),
            "what has ended makes room"
        );
    }

    #[test]
    fn markers_admit_nothing_and_leave_room() {
        let mut conntrack = table(40, 100);
        let untracked = Track::Untracked { initiator: IN };
        for port in 0..40 {
            let flow = Flow::tcp(p("10.0.0.2"), port, p("10.0.0.1"), 80, TcpFlags::SYN);
            conntrack.commit(interface(1), IN, &flow, untracked, at(0)).unwrap();
        }
        assert_eq!(conntrack.len(), 10);
        let answer = Flow::tcp(p("10.0.0.1"), 80, p("10.0.0.2"), 0, TcpFlags::ACK);
        assert_eq!(conntrack.lookup(interface(1), OUT, &answer, at(0)), Some(Tracked::UntrackedReply));
        let more = Flow::tcp(p("10.0.0.2"), 0, p("10.0.0.1"), 80, TcpFlags::ACK);
        assert_eq!(conntrack.lookup(interface(1), IN, &more, at(0)), None);
        let about = Flow::icmp(p("10.0.0.9"), p("10.0.0.2"), 3, 1, 0, Some(more.key()));
        assert_eq!(conntrack.lookup(interface(1), OUT, &about, at(0)), None);
        // Once tracked it is no marker any more.
        conntrack.commit(interface(1), IN, &more, Track::New, at(1)).unwrap();
        assert_eq!(conntrack.lookup(interface(1), OUT, &answer, at(1)), Some(Tracked::Established));
        assert_eq!(conntrack.markers, 9);
    }

    proptest! {
        /// Against a plain list of what was let through: never more than allowed, nothing alive forgotten, nothing dead known.
        #[test]
        fn bounded_and_faithful(
            steps in prop::collection::vec((0_u128..3, any::<bool>(), arbitrary::flow(), 0_u8..8, 0_i64..40), 1..120),
            seed: u64,
        ) {
            let limits = Limits { flows: 8, flows_per_interface: 5 };
            let mut conntrack = Conntrack::new(limits, Timeouts::default(), seed);
            let mut alive: Vec<(u128, FlowKey)> = Vec::new();
            let mut now = at(0);
            for (n, out, flow, action, wait) in steps {
                let direction = if out { OUT } else { IN };
                match action {
                    0 => {
                        now = now + Duration::seconds(wait);
                        let removed = conntrack.expire(now, 3);
                        prop_assert!(removed <= 3);
                    }
                    1 => {
                        conntrack.flush(interface(n));
                        alive.retain(|(owner, _)| *owner != n);
                    }
                    _ => {
                        let key = trackable(&flow).map(|key| as_sent(direction, key));
                        let track = if action == 2 { Track::Untracked { initiator: direction } } else { Track::New };
                        let seen = conntrack.lookup(interface(n), direction, &flow, now);
                        let track = match seen { Some(Tracked::Established) => Track::Established, _ => track };
                        if let Some(Tracked::Established) = seen {
                            prop_assert!(alive.contains(&(n, key.unwrap())));
                        }
                        let done = conntrack.commit(interface(n), direction, &flow, track, now);
                        if let (Ok(()), Some(key), Track::New) = (done, key, track) {
                            alive.push((n, key));
                            let later = Flow { l4: quiet(flow.l4), ..flow };
                            let seen = conntrack.lookup(interface(n), direction, &later, now);
                            prop_assert_eq!(seen, Some(Tracked::Established));
                        }
                    }
                }
                prop_assert!(conntrack.len() <= 8);
                prop_assert!((0..3).all(|n| conntrack.len_of(interface(n)) <= 5));
                let counted: u32 = conntrack.zones.iter().map(|zone| zone.flows).sum();
                prop_assert_eq!(counted as usize, conntrack.len());
                let markers = conntrack.slots.iter().flatten().filter(|entry| entry.is_marker).count();
                prop_assert_eq!(conntrack.markers as usize, markers);
                prop_assert!(conntrack.index.capacity() < 64, "never grows");
                for zone in &conntrack.zones {
                    let entry = |slot: u32| conntrack.slots.get(slot as usize).copied().flatten();
                    let next = |slot: &u32| entry(*slot).map(|entry| entry.next).filter(|next| *next != NONE);
                    let first = entry(zone.first).map(|_| zone.first);
                    prop_assert_eq!(core::iter::successors(first, next).take(9).count(), zone.flows as usize);
                }
            }
        }
    }

    /// Without the flags that open a connection.
    fn quiet(l4: L4) -> L4 {
        match l4 {
            L4::Tcp { src, dst, .. } => L4::Tcp { src, dst, flags: TcpFlags::ACK },
            other => other,
        }
    }
}
