//! When does a tracked flow end? One word for each slot, which may be read and moved on without the table's lock.
//!
//! ```text
//!   63            42 41                               0
//!  ┌────────────────┬──────────────────────────────────┐   version: moved on whenever anything else about the slot changes, so that who
//!  │    version     │   end, in milliseconds           │   knows slot and version knows flow, interface and state
//!  └────────────────┴──────────────────────────────────┘
//! ```
//!
//! Most packets only make their flow last longer. Who holds a [`Ticket`] does that by one exchange of this word, which fails if the flow
//! ended, changed its state or made room for another one meanwhile; then the table is asked as ever. A ticket changes nothing but time.
//!
//! Versions come round after four million changes of one slot. Then all tickets that were given before are void.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use model::{Direction, NetworkInterfaceId, Time};

use super::{COPIED_EVERY, Conntrack, Entry, Key, as_sent, trackable};
use crate::lifetime::{State, after};
use crate::{Flow, Track, Tracked};

/// When the flows in a number of slots end: those of one table, or of all tables of a host.
#[derive(Debug)]
pub struct Lives {
    words: Box<[AtomicU64]>,
    /// How often a version has come round.
    round: AtomicU32,
}

/// Bits of a word that say when its flow ends: until the year 2109.
const END: u32 = 42;
const END_MAX: u64 = (1 << END) - 1;

/// That one more packet of a flow was let through, for the next one of the same direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    slot: u32,
    version: u32,
    round: u32,
    /// How long each packet makes it last, in milliseconds.
    lasts: u32,
    /// A copy of the flow is kept, and must not fall behind.
    is_copied: bool,
}

/// A word as it was.
#[derive(Clone, Copy, Debug)]
pub struct Life {
    slot: u32,
    word: u64,
}

impl Ticket {
    /// Which of the [`Lives`] it is about.
    pub fn slot(&self) -> u32 {
        self.slot
    }
}

impl Lives {
    /// For so many flows, eight bytes each; none of them lives.
    pub fn new(slots: u32) -> Arc<Lives> {
        Arc::new(Lives { words: (0..slots).map(|_| AtomicU64::new(0)).collect(), round: AtomicU32::new(0) })
    }

    /// What stands there now: read before the ticket is at hand, it is fetched beside that.
    pub fn read(&self, slot: u32) -> Life {
        Life { slot, word: self.words.get(slot as usize).map_or(0, |word| word.load(Ordering::Relaxed)) }
    }

    /// [`Conntrack::lookup`] and [`Conntrack::commit`] of one more packet, which opens, ends and resets nothing, of the flow and direction
    /// that the ticket is for. `false`: nothing was done, and the table must be asked. `life`: what was [read](Lives::read) a moment ago,
    /// which counts if it is of this flow.
    pub fn go_on(&self, ticket: &Ticket, life: Option<Life>, now: Time) -> bool {
        let Some(word) = self.words.get(ticket.slot as usize) else { return false };
        let before = match life {
            Some(life) if life.slot == ticket.slot => life.word,
            _ => word.load(Ordering::Relaxed),
        };
        let is_valid = version(before) == ticket.version && self.round.load(Ordering::Relaxed) == ticket.round;
        let next = end_of(now).saturating_add(ticket.lasts.into()).min(END_MAX);
        let is_due = ticket.is_copied && is_due(before & END_MAX, next);
        if !is_valid || before & END_MAX <= end_of(now) || is_due {
            return false;
        }
        let after = before & !END_MAX | next;
        before == after || word.compare_exchange(before, after, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    fn ticket(&self, slot: usize, lasts: u32, is_copied: bool) -> Ticket {
        let round = self.round.load(Ordering::Relaxed);
        let version = version(self.words[slot].load(Ordering::Relaxed));
        Ticket { slot: slot as u32, version, round, lasts, is_copied }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.words.len()
    }

    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    pub(super) fn end(&self, slot: usize) -> u64 {
        self.words[slot].load(Ordering::Relaxed) & END_MAX
    }

    /// The same as a moment.
    pub(super) fn ends(&self, slot: usize) -> Time {
        Time::from_unix_millis(self.end(slot).cast_signed())
    }

    /// The same flow, in the same state, ends then.
    pub(super) fn extend(&self, slot: usize, end: u64) {
        let word = &self.words[slot];
        word.store(word.load(Ordering::Relaxed) & !END_MAX | end, Ordering::Relaxed);
    }

    /// What lies there is something else now, and ends then: no ticket of before holds.
    pub(super) fn change(&self, slot: usize, end: u64) {
        let word = &self.words[slot];
        word.store(self.changed(word.load(Ordering::Relaxed), end), Ordering::Relaxed);
    }

    /// The word behind this one.
    fn changed(&self, before: u64, end: u64) -> u64 {
        let next = (before >> END << END).wrapping_add(1 << END);
        if next == 0 {
            self.round.fetch_add(1, Ordering::Relaxed);
        }
        next | end
    }

    /// `true`: the flow had ended by then, and its end is final. `false`: it goes on.
    pub(super) fn close(&self, slot: usize, now: Time) -> bool {
        let word = &self.words[slot];
        let before = word.load(Ordering::Relaxed);
        let is_over = before & END_MAX <= end_of(now);
        is_over && word.compare_exchange(before, before & !END_MAX, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

impl Conntrack {
    /// For the next packet of this direction, now that `track` was [committed](Conntrack::commit) for one. `None`: the table must be asked.
    ///
    /// `seen` is what it said of that packet: it will say the same of the next one.
    pub fn ticket(
        &self,
        interface: NetworkInterfaceId,
        direction: Direction,
        flow: &Flow,
        (seen, track): (Option<Tracked>, Track),
    ) -> Option<Ticket> {
        let (zone, key) = (*self.interfaces.get(&interface)?, trackable(flow)?);
        let slot = self.slot(&Key { zone, flow: as_sent(direction, key) })?;
        let Entry { initiator, state, is_marker, .. } = self.slots[slot]?;
        let known = match (is_marker, track) {
            (false, Track::Established) => Some(Tracked::Established),
            (true, Track::Untracked { .. }) => (direction != initiator).then_some(Tracked::UntrackedReply),
            _ => return None,
        };
        // What is closed does not last longer.
        let goes_on = known == seen && state != State::Closed && after(state, initiator, direction, flow) == state;
        let lasts = self.timeouts_of(zone).of(state, flow.protocol).as_millis();
        let (life, lasts) = (self.life(slot), u32::try_from(lasts).ok().filter(|_| goes_on)?);
        Some(self.lives.ticket(life, lasts, self.mirror.is_some()))
    }
}

fn version(word: u64) -> u32 {
    (word >> END) as u32
}

/// A moment as a word tells it; what it cannot tell is the nearest that it can.
pub(super) fn end_of(time: Time) -> u64 {
    u64::try_from(time.as_unix_millis()).unwrap_or(0).min(END_MAX)
}

/// A copy that says the first must be written anew when it is the second.
pub(super) fn is_due(copied: u64, end: u64) -> bool {
    copied / COPIED_EVERY != end / COPIED_EVERY
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::opposite;
    use crate::testing::{arbitrary, p};
    use crate::{L4, Limits, TcpFlags, Timeouts};
    use alloc::vec::Vec;
    use model::{Duration, ResourceId};
    use proptest::prelude::*;

    const OUT: Direction = Direction::Egress;
    const IN: Direction = Direction::Ingress;

    fn interface(n: u128) -> NetworkInterfaceId {
        NetworkInterfaceId::from_random(n)
    }

    fn direction(is_out: bool) -> Direction {
        if is_out { OUT } else { IN }
    }

    fn table(flows: u32) -> Conntrack {
        Conntrack::new(Limits { flows, flows_per_interface: flows }, Timeouts::default(), 7)
    }

    fn at(seconds: i64) -> Time {
        Time::EPOCH + Duration::seconds(seconds)
    }

    fn udp() -> Flow {
        Flow::udp(p("10.0.0.1"), 1, p("10.0.0.2"), 2)
    }

    /// Opens, ends and resets nothing.
    fn is_plain(flow: &Flow) -> bool {
        match flow.l4 {
            L4::Tcp { flags, .. } => flags == TcpFlags::ACK,
            _ => true,
        }
    }

    /// What a ticket was given for.
    type Case = (u128, Direction, Flow, Option<Tracked>, Track);

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        /// Who goes on by tickets, right, old or of a flow that is gone, sees and leaves the same as who asks the table.
        #[test]
        fn a_ticket_changes_nothing_but_time(
            steps in prop::collection::vec(
                (arbitrary::flow(), 0_u128..2, any::<bool>(), 0_i64..40_000, 0_usize..8, 0_u8..20),
                1..60,
            ),
        ) {
            let limits = Limits { flows: 12, flows_per_interface: 8 };
            let new = || Conntrack::new(limits, Timeouts::default(), 7);
            let (mut with, mut without, mut now) = (new(), new(), Time::EPOCH);
            let mut tickets: Vec<(Ticket, Case)> = Vec::new();
            for (flow, n, is_out, wait, which, what) in steps {
                now = now + Duration::millis(wait);
                if what == 19 {
                    with.flush(interface(n));
                    without.flush(interface(n));
                    continue;
                }
                if what == 18 {
                    prop_assert_eq!(with.expire(now, 5), without.expire(now, 5));
                    continue;
                }
                // The next packet of something, or one of anything.
                let (ticket, case) = match tickets.get(which) {
                    Some((ticket, case)) => (Some(*ticket), *case),
                    None => (None, (n, direction(is_out), flow, None, Track::New)),
                };
                let (n, direction, flow, seen_then, track_then) = case;
                let eni = interface(n);
                let seen = without.lookup(eni, direction, &flow, now);
                prop_assert_eq!(with.lookup(eni, direction, &flow, now), seen);
                let goes_on = ticket.is_some_and(|ticket| with.lives.go_on(&ticket, None, now));
                let track = match (seen, what) {
                    _ if goes_on => track_then,
                    (Some(Tracked::Established), _) => Track::Established,
                    (Some(Tracked::Related), _) => Track::Related,
                    (Some(Tracked::UntrackedReply), _) => Track::Untracked { initiator: opposite(direction) },
                    (None, 0..10) => Track::New,
                    (None, _) => Track::Untracked { initiator: direction },
                };
                let committed = without.commit(eni, direction, &flow, track, now);
                if goes_on {
                    prop_assert_eq!((seen, committed), (seen_then, Ok(())));
                } else {
                    prop_assert_eq!(with.commit(eni, direction, &flow, track, now), committed);
                }
                let ticket = with.ticket(eni, direction, &flow, (seen, track));
                tickets.extend(ticket.filter(|_| is_plain(&flow)).map(|it| (it, (n, direction, flow, seen, track))));
                if tickets.len() > 6 {
                    tickets.remove(0);
                }
                prop_assert_eq!((with.len(), with.markers), (without.len(), without.markers));
                let entries = |table: &Conntrack| {
                    let entry = |slot: usize| table.slots[slot].map(|e| (e.key, e.state, e.is_marker, table.lives.end(slot)));
                    (0..table.slots.len()).map(entry).collect::<Vec<_>>()
                };
                prop_assert_eq!(entries(&with), entries(&without));
            }
        }
    }

    /// A table with one flow that has been answered, and the ticket of its guest's next packet.
    fn answered() -> (Conntrack, Ticket) {
        let mut table = table(8);
        table.commit(interface(1), OUT, &udp(), Track::New, at(0)).unwrap();
        table.commit(interface(1), IN, &udp().reversed(), Track::Established, at(0)).unwrap();
        let known = (Some(Tracked::Established), Track::Established);
        table.commit(interface(1), OUT, &udp(), known.1, at(0)).unwrap();
        let ticket = table.ticket(interface(1), OUT, &udp(), known).unwrap();
        (table, ticket)
    }

    #[test]
    fn a_flow_lasts_as_long_as_its_packets_come() {
        let (mut table, ticket) = answered();
        for second in [29, 58, 87] {
            assert!(table.lives.go_on(&ticket, None, at(second)));
        }
        assert!(!table.lives.go_on(&ticket, None, at(117)), "it has ended");
        assert_eq!(table.expire(at(116), 8), 0, "it was told at 87");
        assert_eq!(table.expire(at(117), 8), 1);
        assert!(!table.lives.go_on(&ticket, None, at(88)), "it was given back");
    }

    #[test]
    fn a_ticket_is_void_once_anything_else_is_known() {
        let known = (Some(Tracked::Established), Track::Established);
        type Change = fn(&mut Conntrack);
        let changes: [(Change, &str); 5] = [
            (|table| table.flush(interface(1)), "forgotten"),
            (|table| _ = table.commit(interface(1), IN, &udp().reversed(), Track::Established, at(1)), "another state"),
            (|table| _ = table.commit(interface(1), OUT, &udp(), Track::New, at(1)), "begun anew"),
            (|table| table.forget_all(), "all forgotten"),
            (
                |table| {
                    table.expire(at(60), 8);
                    let other = Flow::udp(p("10.0.0.1"), 9, p("10.0.0.2"), 2);
                    table.commit(interface(1), OUT, &other, Track::New, at(1)).unwrap();
                },
                "another flow in its place",
            ),
        ];
        for (change, why) in changes {
            let (mut table, ticket) = answered();
            assert!(table.lives.go_on(&ticket, None, at(1)));
            change(&mut table);
            assert!(!table.lives.go_on(&ticket, None, at(1)), "{why}");
        }
        let (table, _) = answered();
        let ticket = |eni, direction, flow: &Flow, known| table.ticket(interface(eni), direction, flow, known);
        assert!(ticket(1, OUT, &udp(), known).is_some());
        assert_eq!(ticket(2, OUT, &udp(), known), None, "another interface's");
        assert_eq!(ticket(1, OUT, &udp().reversed(), known), None, "another flow");
        assert_eq!(ticket(1, IN, &udp().reversed(), known), None, "the answer changes its state");
        assert_eq!(ticket(1, OUT, &udp(), (None, Track::New)), None, "the next packet is not new");
        assert_eq!(ticket(1, OUT, &udp(), (None, known.1)), None, "of the next packet something else is known");
    }

    #[test]
    fn a_word_of_another_slot_does_not_count() {
        let (mut table, ticket) = answered();
        let other = interface(2);
        table.commit(other, OUT, &udp(), Track::New, at(0)).unwrap();
        table.commit(other, IN, &udp().reversed(), Track::Established, at(0)).unwrap();
        table.commit(other, OUT, &udp(), Track::Established, at(0)).unwrap();
        table.flush(interface(1));
        // As many changes, and the same end.
        let its = table.slot_of(other, udp().key()).unwrap();
        let alive = table.lives.read(u32::try_from(its).unwrap());
        assert_eq!(version(alive.word), ticket.version);
        assert!(!table.lives.go_on(&ticket, Some(alive), at(0)));
        assert!(!table.lives.go_on(&ticket, Some(table.lives.read(u32::MAX)), at(0)), "nor does none");
    }

    #[test]
    fn what_is_closed_gets_no_ticket() {
        let mut table = table(8);
        let tcp = |flags| Flow::tcp(p("10.0.0.1"), 1, p("10.0.0.2"), 80, flags);
        let known = (Some(Tracked::Established), Track::Established);
        table.commit(interface(1), OUT, &tcp(TcpFlags::SYN), Track::New, at(0)).unwrap();
        assert!(table.ticket(interface(1), OUT, &tcp(TcpFlags::ACK), known).is_some());
        table.commit(interface(1), OUT, &tcp(TcpFlags::RST), Track::Established, at(0)).unwrap();
        assert_eq!(table.ticket(interface(1), OUT, &tcp(TcpFlags::ACK), known), None);
    }

    #[test]
    fn versions_that_come_round_void_all_tickets() {
        let (mut table, ticket) = answered();
        let other = table.ticket(interface(1), OUT, &udp(), (Some(Tracked::Established), Track::Established)).unwrap();
        let unused = table.lives.len() - 1;
        table.lives.words[unused].store(!END_MAX, Ordering::Relaxed);
        table.lives.change(unused, 0);
        assert!(!table.lives.go_on(&ticket, None, at(1)) && !table.lives.go_on(&other, None, at(1)));
        table.commit(interface(1), OUT, &udp(), Track::Established, at(1)).unwrap();
        let anew = table.ticket(interface(1), OUT, &udp(), (Some(Tracked::Established), Track::Established)).unwrap();
        assert!(table.lives.go_on(&anew, None, at(2)));
    }

    #[test]
    fn a_flow_that_a_packet_keeps_is_not_swept_away() {
        let (table, ticket) = answered();
        let slot = ticket.slot as usize;
        // The sweep has seen that it ended; before it says so a packet comes that was earlier.
        assert!(!table.lives.close(slot, at(29)));
        assert!(table.lives.go_on(&ticket, None, at(29)));
        assert!(!table.lives.close(slot, at(30)));
        assert!(table.lives.close(slot, at(59)));
        assert!(!table.lives.go_on(&ticket, None, at(30)), "nor does a packet bring it back");
    }

    #[test]
    fn moments_that_no_word_can_tell_are_the_nearest_ones() {
        assert_eq!(end_of(Time::from_unix_millis(-1)), 0);
        assert_eq!(end_of(Time::from_unix_millis(i64::MAX)), END_MAX);
        let (table, ticket) = answered();
        assert!(!table.lives.go_on(&ticket, None, Time::from_unix_millis(i64::MAX)));
    }
}
