//! A tracked flow in a fixed number of words, so that whoever comes after a killed process begins where it ended.
//!
//! ```text
//!  words 0, 1  source                   word 5  interface, its other 8 bytes
//!  words 2, 3  destination              word 6  when it ends, in milliseconds
//!  word 4      source port 16, destination port 16, protocol 8, bits 8, zero 8, interface's first byte 8
//!                                       word 7  check
//! ```
//!
//! The check is over the other words and the number of the slot, and is never 0: a slot whose check is 0 is empty. It is taken away first
//! and written last, so that a process that is killed at any instant leaves the old record, the new one, or none; what is none for any
//! other reason does not pass the check.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::sync::atomic::{AtomicU64, Ordering};

use model::{Direction, NetworkInterfaceId, ResourceId, Time};

use crate::FlowKey;
use crate::flow::protocol;
use crate::lifetime::State;

/// Words of one record.
pub const RECORD_WORDS: usize = 8;
/// Another meaning of the words is another number.
pub const RECORD_LAYOUT: u64 = 1;

/// Where a table of tracked flows keeps a copy of itself: slots of [`RECORD_WORDS`] words that outlive the process.
///
/// Nobody else writes there while the table does. What is read at the beginning may be anything.
pub trait Mirror: fmt::Debug + Send {
    /// All slots from this one on are empty.
    fn used(&self) -> u32;

    /// The words of a slot. `None`: there is no room for it, and its flow has no copy.
    fn slot(&mut self, slot: u32) -> Option<&[AtomicU64; RECORD_WORDS]>;
}

/// What a record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Remembered {
    pub(crate) interface: NetworkInterfaceId,
    /// As the guest sends it.
    pub(crate) flow: FlowKey,
    pub(crate) expires: Time,
    pub(crate) initiator: Direction,
    pub(crate) state: State,
    pub(crate) is_marker: bool,
}

/// What lies in a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found<T> {
    Empty,
    Record(T),
    /// Half a record, or none at all.
    Unsound,
}

const CHECK: usize = RECORD_WORDS - 1;

const INITIATED_INSIDE: u8 = 1 << 0;
const MARKER: u8 = 1 << 1;
const V6: u8 = 1 << 2;
const STATE: u8 = 3;

/// Writes a flow into its slot.
pub(crate) fn write(words: &[AtomicU64; RECORD_WORDS], slot: u32, it: &Remembered) {
    put(words, encode(slot, it));
}

/// Writes a record that is [`sealed`].
pub(crate) fn put(words: &[AtomicU64; RECORD_WORDS], record: [u64; RECORD_WORDS]) {
    words[CHECK].store(0, Ordering::Relaxed);
    for (word, value) in words.iter().zip(record) {
        // In this order: each after all before it, and the check is the last.
        word.store(value, Ordering::Release);
    }
}

/// Empties a slot.
pub(crate) fn clear(words: &[AtomicU64; RECORD_WORDS]) {
    words[CHECK].store(0, Ordering::Release);
}

pub(crate) fn read(words: &[AtomicU64; RECORD_WORDS], slot: u32) -> Found<Remembered> {
    take(words, slot, decode)
}

/// What `decode` makes of the record in a slot, if it is whole.
pub(crate) fn take<T>(
    words: &[AtomicU64; RECORD_WORDS],
    slot: u32,
    decode: impl FnOnce(&[u64; RECORD_WORDS]) -> Option<T>,
) -> Found<T> {
    let mut record = [0; RECORD_WORDS];
    for (value, word) in record.iter_mut().zip(words) {
        *value = word.load(Ordering::Acquire);
    }
    match record[CHECK] {
        0 => Found::Empty,
        sum if sum != check(slot, &record) => Found::Unsound,
        _ => decode(&record).map_or(Found::Unsound, Found::Record),
    }
}

/// A record with its check.
pub(crate) fn sealed(slot: u32, mut record: [u64; RECORD_WORDS]) -> [u64; RECORD_WORDS] {
    record[CHECK] = check(slot, &record);
    record
}

fn encode(slot: u32, it: &Remembered) -> [u64; RECORD_WORDS] {
    let FlowKey { src, dst, protocol, sport, dport } = it.flow;
    let [high, low @ ..] = it.interface.to_bytes();
    let bits = code_of(it.state) << STATE
        | if it.initiator == Direction::Egress { INITIATED_INSIDE } else { 0 }
        | if it.is_marker { MARKER } else { 0 }
        | if src.is_ipv6() { V6 } else { 0 };
    let ([s0, s1], [d0, d1]) = (halves(src), halves(dst));
    let ports = u64::from(sport) << 48 | u64::from(dport) << 32;
    let kinds = u64::from(protocol) << 24 | u64::from(bits) << 16 | u64::from(high);
    let expires = it.expires.as_unix_millis().cast_unsigned();
    sealed(slot, [s0, s1, d0, d1, ports | kinds, u64::from_be_bytes(low), expires, 0])
}

fn decode(record: &[u64; RECORD_WORDS]) -> Option<Remembered> {
    let [s0, s1, d0, d1, packed, interface, expires, _] = *record;
    let [sport_high, sport_low, dport_high, dport_low, protocol, bits, reserved, high] = packed.to_be_bytes();
    let is_v6 = bits & V6 != 0;
    let state = state_of(bits >> STATE).filter(|state| is_of(*state, protocol))?;
    let mut id = [high; 9];
    id[1..].copy_from_slice(&interface.to_be_bytes());
    let flow = FlowKey {
        src: address(is_v6, s0, s1)?,
        dst: address(is_v6, d0, d1)?,
        protocol,
        sport: u16::from_be_bytes([sport_high, sport_low]),
        dport: u16::from_be_bytes([dport_high, dport_low]),
    };
    let initiator = if bits & INITIATED_INSIDE != 0 { Direction::Egress } else { Direction::Ingress };
    let is_marker = bits & MARKER != 0;
    let expires = Time::from_unix_millis(expires.cast_signed());
    let interface = NetworkInterfaceId::from_bytes(id).filter(|_| reserved == 0)?;
    Some(Remembered { interface, flow, expires, initiator, state, is_marker })
}

/// Each word changes it, and so does each bit of a word: half an old record and half a new one do not pass but by a chance of 2^-64.
fn check(slot: u32, record: &[u64; RECORD_WORDS]) -> u64 {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    let begin = (RECORD_LAYOUT << 32 | u64::from(slot)).wrapping_mul(ODD);
    let sum = record[..CHECK].iter().fold(begin, |sum, word| {
        let mixed = (sum ^ word).wrapping_mul(ODD);
        mixed ^ mixed >> 29
    });
    sum.max(1)
}

fn halves(address: IpAddr) -> [u64; 2] {
    match address {
        IpAddr::V4(address) => [0, u64::from(u32::from(address))],
        IpAddr::V6(address) => {
            let bits = u128::from(address);
            [(bits >> 64) as u64, bits as u64]
        }
    }
}

fn address(is_v6: bool, high: u64, low: u64) -> Option<IpAddr> {
    if is_v6 {
        return Some(Ipv6Addr::from(u128::from(high) << 64 | u128::from(low)).into());
    }
    let bits = u32::try_from(low).ok().filter(|_| high == 0)?;
    Some(Ipv4Addr::from(bits).into())
}

fn code_of(state: State) -> u8 {
    match state {
        State::Opening => 0,
        State::Answered => 1,
        State::Again => 2,
        State::Open => 3,
        State::Closing(Direction::Egress) => 4,
        State::Closing(Direction::Ingress) => 5,
        State::Closed => 6,
    }
}

fn state_of(code: u8) -> Option<State> {
    Some(match code {
        0 => State::Opening,
        1 => State::Answered,
        2 => State::Again,
        3 => State::Open,
        4 => State::Closing(Direction::Egress),
        5 => State::Closing(Direction::Ingress),
        6 => State::Closed,
        _ => return None,
    })
}

/// Whether a flow of this protocol can stand there.
fn is_of(state: State, protocol: u8) -> bool {
    match state {
        State::Opening | State::Open => true,
        State::Answered | State::Again => protocol != protocol::TCP,
        State::Closing(_) | State::Closed => protocol == protocol::TCP,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::arbitrary;
    use crate::{Conntrack, Flow, L4, Limits, Restored, TcpFlags, Timeouts, Track, Tracked};
    use alloc::boxed::Box;
    use alloc::sync::Arc;
    use alloc::vec::Vec;
    use model::Duration;
    use proptest::prelude::*;

    const OUT: Direction = Direction::Egress;
    const IN: Direction = Direction::Ingress;
    const LIMITS: Limits = Limits { flows: 12, flows_per_interface: 7 };

    #[derive(Clone, Debug)]
    struct Slots(Arc<Vec<[AtomicU64; RECORD_WORDS]>>);

    impl Slots {
        fn of(words: impl IntoIterator<Item = u64>) -> Slots {
            let words: Vec<u64> = words.into_iter().collect();
            let slot = |slot: &[u64]| core::array::from_fn(|n| AtomicU64::new(slot[n]));
            Slots(Arc::new(words.chunks_exact(RECORD_WORDS).map(slot).collect()))
        }

        fn empty() -> Slots {
            Slots::of([0; RECORD_WORDS * LIMITS.flows as usize])
        }

        fn words(&self) -> Vec<u64> {
            self.0.iter().flatten().map(|word| word.load(Ordering::Relaxed)).collect()
        }

        fn restore(&self, seed: u64, now: Time) -> (Conntrack, Restored) {
            let mut table = Conntrack::new(LIMITS, Timeouts::default(), seed);
            let (restored, strays) = table.restore(Box::new(self.clone()), now, |_, _| true);
            assert!(strays.is_empty());
            (table, restored)
        }
    }

    impl Mirror for Slots {
        fn used(&self) -> u32 {
            self.0.len() as u32
        }

        fn slot(&mut self, slot: u32) -> Option<&[AtomicU64; RECORD_WORDS]> {
            self.0.get(slot as usize)
        }
    }

    fn interface(n: u128) -> NetworkInterfaceId {
        NetworkInterfaceId::from_random(n << 60)
    }

    fn remembered() -> impl Strategy<Value = Remembered> {
        let state = (0_u8..7).prop_map(|code| state_of(code).unwrap());
        (any::<u128>(), arbitrary::flow(), any::<i64>(), any::<bool>(), state, any::<bool>())
            .prop_filter("a state of its protocol", |(_, flow, _, _, state, _)| is_of(*state, flow.protocol))
            .prop_map(|(id, flow, expires, is_out, state, is_marker)| Remembered {
                interface: NetworkInterfaceId::from_random(id),
                flow: flow.key(),
                expires: Time::from_unix_millis(expires),
                initiator: if is_out { OUT } else { IN },
                state,
                is_marker,
            })
    }

    /// All that can be asked about these flows at these interfaces.
    type Answers = Vec<Option<Tracked>>;

    fn answers(table: &Conntrack, flows: &[Flow], now: Time) -> Answers {
        let mut answers = Vec::new();
        for n in 0..3 {
            for flow in flows.iter().flat_map(|flow| [*flow, flow.reversed()]) {
                // As packets of a connection, not as its first.
                let l4 = match flow.l4 {
                    L4::Tcp { src, dst, .. } => L4::Tcp { src, dst, flags: TcpFlags::ACK },
                    other => other,
                };
                let flow = Flow { l4, ..flow };
                answers.extend([OUT, IN].map(|direction| table.lookup(interface(n), direction, &flow, now)));
            }
        }
        answers
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_and_half_of_it_is_not(
            it in remembered(), other in remembered(), slot: u32, bit in 0_usize..512, kept: u8,
        ) {
            let slots = Slots::of([0; RECORD_WORDS]);
            prop_assert_eq!(read(&slots.0[0], slot), Found::Empty);
            write(&slots.0[0], slot, &it);
            prop_assert_eq!(read(&slots.0[0], slot), Found::Record(it));
            prop_assert_eq!(read(&slots.0[0], slot.wrapping_add(1)), Found::Unsound);
            let mut changed = slots.words();
            changed[bit / 64] ^= 1 << (bit % 64);
            prop_assert_ne!(read(&Slots::of(changed).0[0], slot), Found::Record(it));
            // Killed while another flow took its place: any of the words may be old.
            let (old, new) = (encode(slot, &it), encode(slot, &other));
            let mixed = Slots::of((0..RECORD_WORDS).map(|n| if kept >> n & 1 == 1 { old[n] } else { new[n] }));
            let found = read(&mixed.0[0], slot);
            let is_whole = mixed.words() == old || mixed.words() == new;
            prop_assert_eq!(is_whole, matches!(found, Found::Record(_)));
        }

        /// Killed at any instant of any history, the next table admits only what this one did, and all of what it did a moment ago.
        #[test]
        fn the_next_table_admits_what_this_one_did(
            flows in prop::collection::vec(arbitrary::flow(), 1..6),
            steps in prop::collection::vec((0_u128..3, any::<bool>(), any::<prop::sample::Index>(), 0_u8..9, 0_i64..20_000), 1..40),
            cut: u64,
            seeds: (u64, u64),
        ) {
            let slots = Slots::empty();
            let (mut table, _) = slots.restore(seeds.0, Time::EPOCH);
            let mut now = Time::EPOCH;
            for (n, out, which, action, wait) in steps {
                let (known, before) = (answers(&table, &flows, now), slots.words());
                let flow = *which.get(&flows);
                let direction = if out { OUT } else { IN };
                match action {
                    0 => {
                        now = now + Duration::millis(wait);
                        table.expire(now, 5);
                    }
                    1 => table.flush(interface(n)),
                    _ => {
                        let track = match table.lookup(interface(n), direction, &flow, now) {
                            Some(Tracked::Established) => Track::Established,
                            _ if action == 2 => Track::Untracked { initiator: direction },
                            _ => Track::New,
                        };
                        let _ = table.commit(interface(n), direction, &flow, track, now);
                    }
                }
                let (knows, after) = (answers(&table, &flows, now), slots.words());

                let (next, _) = Slots::of(after.clone()).restore(seeds.1, now);
                let soon = now + Duration::millis(COPIED_LATE);
                let lasts = answers(&table, &flows, soon);
                for ((then, here), lasts) in answers(&next, &flows, now).into_iter().zip(&knows).zip(lasts) {
                    prop_assert!(then == *here || then.is_none() && lasts.is_none(), "{then:?} after {here:?}");
                }

                let torn = before.iter().zip(&after).enumerate();
                let torn = torn.map(|(at, (old, new))| if cut >> (at % 61) & 1 == 1 { *old } else { *new });
                let (next, _) = Slots::of(torn).restore(seeds.1, now);
                for (at, then) in answers(&next, &flows, now).into_iter().enumerate() {
                    prop_assert!(then.is_none() || then == known[at] || then == knows[at], "{then:?} from nowhere");
                }
                prop_assert!(next.len() <= LIMITS.flows as usize);
            }
        }

        #[test]
        fn any_words_make_a_table_that_keeps_its_limits(words in prop::collection::vec(any::<u64>(), 0..300), now: i64) {
            let slots = Slots::of(words);
            let (table, restored) = slots.restore(1, Time::from_unix_millis(now));
            prop_assert_eq!((table.len(), restored.flows), (0, 0), "not by chance");
        }

        /// Records that pass their check, as nobody wrote them: too many, twice, of one interface, all markers.
        #[test]
        fn sound_records_in_any_number_keep_the_limits(
            records in prop::collection::vec((remembered(), 0_u128..2), 0..30), now in 0_i64..1 << 41, twice: bool,
        ) {
            let records = records.into_iter().enumerate().flat_map(|(n, (it, id))| {
                let it = Remembered { interface: interface(id), ..it };
                let n = 2 * n as u32;
                [encode(n, &it), if twice { encode(n + 1, &it) } else { [0; RECORD_WORDS] }]
            });
            let slots = Slots::of(records.flatten());
            let now = Time::from_unix_millis(now);
            let (mut table, restored) = slots.restore(1, now);
            prop_assert_eq!(restored.flows, table.len());
            prop_assert!(table.len() <= LIMITS.flows as usize);
            prop_assert!((0..2).all(|n| table.len_of(interface(n)) <= LIMITS.flows_per_interface as usize));
            let (again, second) = slots.restore(2, now);
            prop_assert_eq!((again.len(), second.refused), (table.len(), 0), "what was refused is gone");
            table.flush(interface(0));
            table.flush(interface(1));
            prop_assert_eq!(slots.restore(3, now).0.len(), 0, "what was flushed is gone");
        }
    }

    /// More than a flow's end may be copied late.
    const COPIED_LATE: i64 = 1100;

    #[test]
    fn a_flow_of_another_table_is_taken_out_and_adopted_there() {
        let (left, right) = (Slots::empty(), Slots::empty());
        let flow = Flow::udp("10.0.0.1".parse().unwrap(), 1, "10.0.0.2".parse().unwrap(), 53);
        let (mut table, _) = left.restore(1, Time::EPOCH);
        table.commit(interface(1), OUT, &flow, Track::New, Time::EPOCH).unwrap();
        let restore = |slots: &Slots, is_mine: bool| {
            let mut table = Conntrack::new(LIMITS, Timeouts::default(), 2);
            let (restored, strays) = table.restore(Box::new(slots.clone()), Time::EPOCH, |_, _| is_mine);
            (table, restored, strays)
        };
        let (first, restored, strays) = restore(&left, false);
        assert_eq!((first.len(), restored.flows, strays.len()), (0, 0, 1));
        let (mut second, _, _) = restore(&right, true);
        assert!(second.adopt(strays[0], Time::EPOCH));
        assert!(!second.adopt(strays[0], Time::EPOCH), "once");
        assert_eq!(second.lookup(interface(1), IN, &flow.reversed(), Time::EPOCH), Some(Tracked::Established));
        assert_eq!((left.restore(3, Time::EPOCH).1.flows, right.restore(3, Time::EPOCH).1.flows), (0, 1));
    }

    #[test]
    fn what_was_given_back_leaves_no_record() {
        let slots = Slots::empty();
        let flow = Flow::udp("10.0.0.1".parse().unwrap(), 1, "10.0.0.2".parse().unwrap(), 53);
        let (mut table, _) = slots.restore(1, Time::EPOCH);
        table.commit(interface(1), OUT, &flow, Track::New, Time::EPOCH).unwrap();
        assert_eq!(slots.restore(2, Time::EPOCH).1.flows, 1);
        assert_eq!(table.expire(Time::EPOCH + Duration::seconds(30), 100), 1);
        // Whatever the clock says then.
        assert_eq!(slots.restore(2, Time::EPOCH).1, Restored::default());
    }

    #[test]
    fn no_record_lasts_longer_than_its_state_allows_from_now_on() {
        let flow = Flow::udp("10.0.0.1".parse().unwrap(), 1, "10.0.0.2".parse().unwrap(), 53);
        let expires = Time::EPOCH + Duration::hours(24 * 365);
        let (initiator, state) = (OUT, State::Opening);
        let it = Remembered { interface: interface(1), flow: flow.key(), expires, initiator, state, is_marker: false };
        let slots = Slots::of(encode(0, &it));
        let (table, _) = slots.restore(1, Time::EPOCH);
        let seen = |second| table.lookup(interface(1), IN, &flow.reversed(), Time::EPOCH + Duration::seconds(second));
        assert_eq!((seen(29), seen(30)), (Some(Tracked::Established), None));
    }

    #[test]
    fn a_flow_that_goes_on_is_copied_once_a_second() {
        let flow = Flow::tcp("10.0.0.1".parse().unwrap(), 1, "10.0.0.2".parse().unwrap(), 80, TcpFlags::SYN);
        for by_ticket in [false, true] {
            let mirror = Slots::empty();
            let (mut table, _) = mirror.restore(1, Time::EPOCH);
            let (mut copies, mut tickets, mut ticket) = (0, 0, None);
            for ms in 0..5000 {
                let (before, now) = (mirror.words(), Time::from_unix_millis(ms));
                let track = if ms == 0 { Track::New } else { Track::Established };
                if ticket.is_some_and(|ticket| by_ticket && table.lives().go_on(&ticket, None, now)) {
                    tickets += 1;
                } else {
                    table.commit(interface(1), OUT, &flow, track, now).unwrap();
                    ticket = table.ticket(interface(1), OUT, &flow, (Some(Tracked::Established), Track::Established));
                }
                copies += usize::from(mirror.words() != before);
            }
            assert_eq!(copies, 6, "the first, and five of 1,024 ms that began since");
            assert_eq!(tickets, if by_ticket { 4994 } else { 0 });
        }
    }
}
