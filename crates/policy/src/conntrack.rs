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

use alloc::vec::Vec;
use core::hash::{BuildHasher, Hasher};
use core::net::IpAddr;

use foldhash::quality::FixedState;
use hashbrown::{HashMap, HashTable};
use model::{Direction, NetworkInterfaceId, Time};

use crate::group::opposite;
use crate::lifetime::{State, Timeouts, after, flags};
use crate::{Denied, Flow, FlowKey, L4, Track, Tracked};

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
    hasher: FixedState,
    /// A flow keeps its slot; slots are numbered below `limits.flows`.
    slots: Vec<Option<Entry>>,
    free: Vec<u32>,
    /// Slots by the hash of their flow.
    index: HashTable<u32>,
    interfaces: HashMap<NetworkInterfaceId, u32, FixedState>,
    zones: Vec<Zone>,
    free_zones: Vec<u32>,
    markers: u32,
    /// The slot that [`Conntrack::expire`] looks at next.
    cursor: usize,
}

/// The flows of one interface, from its first one to its [flush](Conntrack::flush).
#[derive(Debug)]
struct Zone {
    is_live: bool,
    flows: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Key {
    zone: u32,
    /// As the guest sends it.
    flow: FlowKey,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    key: Key,
    expires: Time,
    initiator: Direction,
    state: State,
    is_marker: bool,
}

/// How many slots a new flow may look through for one that has ended, when the table is full.
const RECLAIM: usize = 64;

/// Markers of untracked flows take at most this part of the table, and of an interface's share.
const MARKERS_PART: u32 = 4;

impl Conntrack {
    /// `seed` should be random and secret: guests choose addresses and ports.
    pub fn new(limits: Limits, timeouts: Timeouts, seed: u64) -> Conntrack {
        let slots = limits.flows as usize;
        Conntrack {
            limits,
            timeouts,
            hasher: FixedState::with_seed(seed),
            slots: Vec::with_capacity(slots),
            free: Vec::with_capacity(slots),
            // At half its load the index gets rid of removed entries in place, instead of growing.
            index: HashTable::with_capacity(slots.saturating_mul(2)),
            interfaces: HashMap::with_hasher(FixedState::with_seed(seed)),
            zones: Vec::new(),
            free_zones: Vec::new(),
            markers: 0,
            cursor: 0,
        }
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
        let found = |flow| self.find(Key { zone, flow }).filter(|entry| entry.expires > now);
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

    /// Forgets all flows of an interface: it was deleted, detached, or its instance stopped.
    pub fn flush(&mut self, interface: NetworkInterfaceId) {
        let Some(zone) = self.interfaces.remove(&interface) else { return };
        let state = &mut self.zones[zone as usize];
        state.is_live = false;
        if state.flows == 0 {
            self.free_zones.push(zone);
        }
    }

    /// Gives back slots of flows that have ended: looks at `budget` slots, going on where it stopped. Returns how many it gave back.
    pub fn expire(&mut self, now: Time, budget: usize) -> usize {
        let mut removed = 0;
        for _ in 0..budget.min(self.slots.len()) {
            let slot = self.cursor;
            self.cursor = (slot + 1) % self.slots.len();
            if self.slots[slot]
                .is_some_and(|entry| entry.expires <= now || !self.zones[entry.key.zone as usize].is_live)
            {
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
        Entry { key, expires: Time::EPOCH, initiator, state, is_marker }
    }

    fn advance(&mut self, direction: Direction, flow: &Flow, now: Time, timeouts: &Timeouts) {
        let state = after(self.state, self.initiator, direction, flow);
        // What is closed runs out, whatever still comes.
        if state != State::Closed || self.state != State::Closed {
            self.expires = now + timeouts.of(state, flow.protocol);
        }
        self.state = state;
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

    fn find(&self, key: Key) -> Option<&Entry> {
        self.slots[self.slot(&key)?].as_ref()
    }

    fn find_mut(&mut self, interface: NetworkInterfaceId, flow: FlowKey) -> Option<&mut Entry> {
        let zone = *self.interfaces.get(&interface)?;
        let slot = self.slot(&Key { zone, flow })?;
        self.slots[slot].as_mut()
    }

    fn go_on(&mut self, interface: NetworkInterfaceId, key: FlowKey, direction: Direction, flow: &Flow, now: Time) {
        let timeouts = self.timeouts;
        if let Some(entry) = self.find_mut(interface, key).filter(|entry| entry.expires > now) {
            entry.advance(direction, flow, now, &timeouts);
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
        let timeouts = self.timeouts;
        let zone = self.zone(interface);
        let opens = flags(flow).is_opening();
        match self.find_mut(interface, key) {
            Some(entry) if entry.is_marker && entry.expires > now && !opens => {
                entry.advance(direction, flow, now, &timeouts);
            }
            found => {
                let is_there = found.is_some();
                let Limits { flows, flows_per_interface } = self.limits;
                let is_room = self.markers < flows / MARKERS_PART
                    && self.zones[zone as usize].flows < flows_per_interface / MARKERS_PART;
                if is_there || is_room {
                    let entry = Entry::first(Key { zone, flow: key }, initiator, direction, flow, true);
                    // A full table has no room for a mere reminder.
                    let _: Result<(), bool> = self.put(entry, flow, now);
                }
            }
        }
    }

    fn zone(&mut self, interface: NetworkInterfaceId) -> u32 {
        if let Some(zone) = self.interfaces.get(&interface) {
            return *zone;
        }
        let fresh = Zone { is_live: true, flows: 0 };
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
    fn put(&mut self, mut entry: Entry, flow: &Flow, now: Time) -> Result<(), bool> {
        entry.expires = now + self.timeouts.of(entry.state, flow.protocol);
        if let Some(slot) = self.slot(&entry.key) {
            let old = self.slots[slot].replace(entry);
            self.markers -= u32::from(old.is_some_and(|old| old.is_marker));
            self.markers += u32::from(entry.is_marker);
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
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize] = Some(entry);
                slot
            }
            None => {
                self.slots.push(Some(entry));
                u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
            }
        };
        self.zones[zone].flows += 1;
        self.markers += u32::from(entry.is_marker);
        let Conntrack { index, slots, hasher, .. } = self;
        let hash_of = |slot: &u32| slots[*slot as usize].map_or(0, |entry| hash(hasher, &entry.key));
        index.insert_unique(hash(hasher, &entry.key), slot, hash_of);
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.index.len() >= self.limits.flows as usize
    }

    fn remove(&mut self, slot: usize) {
        let Some(entry) = self.slots[slot] else { return };
        if let Ok(found) = self.index.find_entry(hash(&self.hasher, &entry.key), |at| *at as usize == slot) {
            let (at, _) = found.remove();
            self.free.push(at);
        }
        self.slots[slot] = None;
        self.markers -= u32::from(entry.is_marker);
        let zone = &mut self.zones[entry.key.zone as usize];
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
