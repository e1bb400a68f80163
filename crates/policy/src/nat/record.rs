//! A translation in as many words as a tracked flow's record ([`crate::record`]), written and checked as that one is.
//!
//! ```text
//!  word 0  inside address 32, remote address 32
//!  word 1  gateway's address 32, inside port 16, gateway's port 16
//!  word 2  remote port 16, protocol 8, bits 8, zero 24, interface's first byte 8
//!  word 3  interface, its other 8 bytes            word 4  when it ends, in milliseconds
//!  words 5, 6  zero                                word 7  check
//! ```

use core::net::Ipv4Addr;
use core::sync::atomic::AtomicU64;

use model::{NetworkInterfaceId, ResourceId, Time};

use super::{Ended, Mapping, Tuple};
use crate::flow::protocol;
use crate::record::{Found, RECORD_WORDS, put, sealed, take};

/// Another meaning of the words is another number.
pub const NAT_RECORD_LAYOUT: u64 = 1;

/// That a mapping goes on is copied when it will end in another one of these, in milliseconds.
const COPIED_EVERY: i64 = 1 << 10;

const ENDED_INSIDE: u8 = 1 << 0;
const ENDED_OUTSIDE: u8 = 1 << 1;

/// Whether what was copied before a packet is too old after it.
pub(super) fn differs(before: &Mapping, after: &Mapping) -> bool {
    let until = |mapping: &Mapping| mapping.expires.as_unix_millis().div_euclid(COPIED_EVERY);
    before.ended != after.ended || until(before) != until(after)
}

pub(super) fn write(words: &[AtomicU64; RECORD_WORDS], slot: u32, mapping: &Mapping) {
    put(words, encode(slot, mapping));
}

/// A mapping whose gateway has no number yet.
pub(super) fn read(words: &[AtomicU64; RECORD_WORDS], slot: u32) -> Found<Mapping> {
    take(words, slot, decode)
}

pub(super) fn encode(slot: u32, mapping: &Mapping) -> [u64; RECORD_WORDS] {
    let Mapping { interface, inside, address, port, expires, ended } = mapping;
    let bits = |address: &Ipv4Addr| u64::from(address.to_bits());
    let [high, low @ ..] = interface.to_bytes();
    let flags = if ended.inside { ENDED_INSIDE } else { 0 } | if ended.outside { ENDED_OUTSIDE } else { 0 };
    let kinds = u64::from(inside.remote_port) << 48 | u64::from(inside.protocol) << 40 | u64::from(flags) << 32;
    let record = [
        bits(&inside.address) << 32 | bits(&inside.remote),
        bits(address) << 32 | u64::from(inside.port) << 16 | u64::from(*port),
        kinds | u64::from(high),
        u64::from_be_bytes(low),
        expires.as_unix_millis().cast_unsigned(),
        0,
        0,
        0,
    ];
    sealed(slot, record)
}

fn decode(record: &[u64; RECORD_WORDS]) -> Option<Mapping> {
    let [ends, own, packed, interface, expires, zero, zero_too, _] = *record;
    let [port_high, port_low, protocol, flags, reserved @ .., high] = packed.to_be_bytes();
    let is_zero = (zero, zero_too, reserved) == (0, 0, [0; 3]);
    let is_translated = matches!(protocol, protocol::TCP | protocol::UDP | protocol::ICMP);
    if !is_zero || !is_translated || flags & !(ENDED_INSIDE | ENDED_OUTSIDE) != 0 {
        return None;
    }
    let mut id = [high; 9];
    id[1..].copy_from_slice(&interface.to_be_bytes());
    let [a, b, c, d, inside_high, inside_low, own_high, own_low] = own.to_be_bytes();
    let [e, f, g, h, remote @ ..] = ends.to_be_bytes();
    let inside = Tuple {
        gateway: 0,
        protocol,
        address: [e, f, g, h].into(),
        port: u16::from_be_bytes([inside_high, inside_low]),
        remote: remote.into(),
        remote_port: u16::from_be_bytes([port_high, port_low]),
    };
    Some(Mapping {
        interface: NetworkInterfaceId::from_bytes(id)?,
        inside,
        address: [a, b, c, d].into(),
        port: u16::from_be_bytes([own_high, own_low]),
        expires: Time::from_unix_millis(expires.cast_signed()),
        ended: Ended { inside: flags & ENDED_INSIDE != 0, outside: flags & ENDED_OUTSIDE != 0 },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nat::{NAT_PORTS, NatLimits, NatTable};
    use crate::record::Mirror;
    use crate::{Flow, Restored, TcpFlags};
    use alloc::boxed::Box;
    use alloc::sync::Arc;
    use alloc::vec::Vec;
    use core::net::IpAddr;
    use core::sync::atomic::Ordering;
    use model::Duration;
    use proptest::prelude::*;

    const SMALL: NatLimits = NatLimits {
        mappings: 10,
        mappings_per_gateway: 7,
        ports_per_destination: 3,
        idle: Duration::seconds(350),
        closed: Duration::seconds(10),
    };

    #[derive(Clone, Debug)]
    struct Slots(Arc<Vec<[AtomicU64; RECORD_WORDS]>>);

    impl Slots {
        fn of(words: impl IntoIterator<Item = u64>) -> Slots {
            let words: Vec<u64> = words.into_iter().collect();
            let slot = |slot: &[u64]| core::array::from_fn(|n| AtomicU64::new(slot[n]));
            Slots(Arc::new(words.chunks_exact(RECORD_WORDS).map(slot).collect()))
        }

        fn empty() -> Slots {
            Slots::of([0; RECORD_WORDS * SMALL.mappings as usize])
        }

        fn words(&self) -> Vec<u64> {
            self.0.iter().flatten().map(|word| word.load(Ordering::Relaxed)).collect()
        }

        fn restore(&self, seed: u64, now: Time) -> (NatTable, Restored) {
            NatTable::restore(SMALL, seed, Box::new(self.clone()), now)
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

    fn gateway(n: u128) -> NetworkInterfaceId {
        NetworkInterfaceId::from_random(n << 60)
    }

    fn own(n: u128) -> IpAddr {
        IpAddr::V4(Ipv4Addr::new(10, 0, 9, n as u8))
    }

    fn mapping() -> impl Strategy<Value = Mapping> {
        let protocol = prop_oneof![Just(protocol::TCP), Just(protocol::UDP), Just(protocol::ICMP)];
        let ends = (any::<[u8; 4]>(), any::<u16>(), any::<[u8; 4]>(), any::<u16>());
        (any::<u128>(), protocol, ends, any::<[u8; 4]>(), any::<u16>(), any::<i64>(), any::<(bool, bool)>()).prop_map(
            |(id, protocol, (address, port, remote, remote_port), own, own_port, expires, (inside, outside))| Mapping {
                interface: NetworkInterfaceId::from_random(id),
                inside: Tuple {
                    gateway: 0,
                    protocol,
                    address: address.into(),
                    port,
                    remote: remote.into(),
                    remote_port,
                },
                address: own.into(),
                port: own_port,
                expires: Time::from_unix_millis(expires),
                ended: Ended { inside, outside },
            },
        )
    }

    fn any_flow() -> impl Strategy<Value = Flow> {
        let flags = prop_oneof![Just(0x02_u8), Just(0x10), Just(0x11), Just(0x04)];
        (0_u8..3, 1_u8..3, 0_u16..3, flags).prop_map(|(kind, x, port, flags)| {
            let (src, dst) = (IpAddr::from([10, 0, 1, x]), IpAddr::from([198, 51, 100, 7]));
            match kind {
                0 => Flow::tcp(src, 40_000 + port, dst, 80, TcpFlags(flags)),
                1 => Flow::udp(src, 40_000 + port, dst, 53),
                _ => Flow::icmp(src, dst, 8, 0, port, None),
            }
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_and_half_of_it_is_not(
            it in mapping(), other in mapping(), slot: u32, bit in 0_usize..512, kept: u8,
        ) {
            let slots = Slots::of([0; RECORD_WORDS]);
            prop_assert_eq!(read(&slots.0[0], slot), Found::Empty);
            write(&slots.0[0], slot, &it);
            prop_assert_eq!(read(&slots.0[0], slot), Found::Record(it));
            prop_assert_eq!(read(&slots.0[0], slot.wrapping_add(1)), Found::Unsound);
            let mut changed = slots.words();
            changed[bit / 64] ^= 1 << (bit % 64);
            prop_assert_ne!(read(&Slots::of(changed).0[0], slot), Found::Record(it));
            // Killed while another mapping took its place: any of the words may be old.
            let (old, new) = (encode(slot, &it), encode(slot, &other));
            let mixed = Slots::of((0..RECORD_WORDS).map(|n| if kept >> n & 1 == 1 { old[n] } else { new[n] }));
            let is_whole = mixed.words() == old || mixed.words() == new;
            prop_assert_eq!(is_whole, matches!(read(&mixed.0[0], slot), Found::Record(_)));
        }

        /// Killed at any instant of any history, the next table translates what this one did to the same, or a moment less long.
        #[test]
        fn the_next_table_translates_as_this_one_did(
            steps in prop::collection::vec((any_flow(), 0_u128..2, 0_u8..10, 0_i64..60_000), 1..40),
        ) {
            let slots = Slots::empty();
            let (mut table, _) = slots.restore(7, Time::EPOCH);
            let (mut now, mut gone) = (Time::EPOCH, false);
            for (flow, n, what, wait) in steps {
                now = now + Duration::millis(wait);
                match what {
                    0 => {
                        table.expire(now, 5);
                    }
                    1 if !gone => {
                        table.keep_only(|id| id != gateway(1));
                        gone = true;
                    }
                    _ => {
                        if let Ok(out) = table.outbound(gateway(n), &[own(n)], &flow, now) && what > 7 {
                            let _ = table.inbound(gateway(n), &[own(n)], &out.reversed(), now);
                        }
                    }
                }
                let (mut next, restored) = Slots::of(slots.words()).restore(8, now);
                prop_assert_eq!((restored.refused, next.len()), (0, restored.flows));
                prop_assert!(next.len() <= table.len());
                for slot in 0..table.slots.len() {
                    let Some(here) = table.slots[slot] else {
                        prop_assert_eq!(next.slots.get(slot).copied().flatten(), None, "what ended is gone");
                        continue;
                    };
                    let late = here.expires.as_unix_millis() - now.as_unix_millis();
                    match next.slots[slot] {
                        None => prop_assert!(late <= COPIED_EVERY, "{} ms are lost", late),
                        Some(then) => {
                            let gateway = then.inside.gateway;
                            prop_assert_eq!(Tuple { gateway, ..here.inside }, then.inside);
                            prop_assert_eq!((here.address, here.port, here.ended), (then.address, then.port, then.ended));
                            let less = here.expires.as_unix_millis() - then.expires.as_unix_millis();
                            prop_assert!((0..=COPIED_EVERY).contains(&less), "{} ms", less);
                            let key = Flow::udp(then.inside.address.into(), then.inside.port, then.inside.remote.into(), then.inside.remote_port);
                            if then.inside.protocol == protocol::UDP {
                                let out = next.outbound(then.interface, &[then.address.into()], &key, now).unwrap();
                                prop_assert_eq!((out.src, out.key().sport), (IpAddr::V4(then.address), then.port));
                            }
                        }
                    }
                }
            }
        }

        #[test]
        fn any_words_make_a_table_that_keeps_its_limits(words in prop::collection::vec(any::<u64>(), 0..300), now: i64) {
            let (table, restored) = Slots::of(words).restore(1, Time::from_unix_millis(now));
            prop_assert_eq!((table.len(), restored.flows), (0, 0), "not by chance");
        }

        /// Records that pass their check, as nobody wrote them: too many, twice, of one gateway, with ports that are nobody's.
        #[test]
        fn sound_records_in_any_number_keep_the_limits(
            records in prop::collection::vec((mapping(), 0_u128..2, 0_u16..3), 0..30), now in 0_i64..1 << 40, twice: bool,
        ) {
            let records = records.into_iter().enumerate().flat_map(|(n, (it, id, port))| {
                let inside = Tuple { remote: [198, 51, 100, 7].into(), remote_port: port, ..it.inside };
                let it = Mapping { interface: gateway(id), address: [10, 0, 9, 9].into(), inside, ..it };
                let n = 2 * n as u32;
                [encode(n, &it), if twice { encode(n + 1, &it) } else { [0; RECORD_WORDS] }]
            });
            let slots = Slots::of(records.flatten());
            let now = Time::from_unix_millis(now);
            let (mut table, restored) = slots.restore(1, now);
            prop_assert_eq!(restored.flows, table.len());
            prop_assert!(table.len() <= SMALL.mappings as usize);
            let kept: Vec<Mapping> = table.slots.iter().flatten().copied().collect();
            let most = |mapping: &Mapping| now + if mapping.is_closed() { SMALL.closed } else { SMALL.idle };
            prop_assert!(kept.iter().all(|it| NAT_PORTS.contains(&it.port) && it.expires > now && it.expires <= most(it)));
            for it in &kept {
                let of_gateway = kept.iter().filter(|other| other.interface == it.interface).count();
                let same = kept.iter().filter(|other| other.destination() == it.destination()).count();
                prop_assert!(of_gateway <= SMALL.mappings_per_gateway as usize && same <= SMALL.ports_per_destination as usize);
                prop_assert_eq!(kept.iter().filter(|other| other.outside() == it.outside()).count(), 1);
                prop_assert_eq!(kept.iter().filter(|other| other.inside == it.inside).count(), 1);
            }
            let (again, second) = slots.restore(2, now);
            prop_assert_eq!((again.len(), second.refused), (table.len(), 0), "what was refused is gone");
            table.keep_only(|_| false);
            prop_assert_eq!(slots.restore(3, now).0.len(), 0, "what was forgotten is gone");
        }
    }

    #[test]
    fn a_mapping_that_goes_on_is_copied_once_a_second_and_its_end_at_once() {
        let slots = Slots::empty();
        let (mut table, _) = slots.restore(1, Time::EPOCH);
        let (src, dst) = (IpAddr::from([10, 0, 1, 1]), IpAddr::from([198, 51, 100, 7]));
        let mut send = |ms, flags| {
            let before = slots.words();
            table
                .outbound(gateway(1), &[own(1)], &Flow::tcp(src, 1, dst, 80, flags), Time::from_unix_millis(ms))
                .unwrap();
            slots.words() != before
        };
        let copies = (0..5000).filter(|ms| send(*ms, if *ms == 0 { TcpFlags::SYN } else { TcpFlags::ACK })).count();
        assert_eq!(copies, 6, "the first, and five of 1,024 ms that began since");
        assert!(send(5000, TcpFlags::RST) && !send(5000, TcpFlags::ACK));
        assert_eq!(slots.restore(2, Time::from_unix_millis(5000)).1.flows, 1);
        assert_eq!(slots.restore(2, Time::from_unix_millis(15_000)).1, Restored { flows: 0, ended: 1, refused: 0 });
    }
}
