//! The replay window: which sequence numbers have been seen (RFC 6479, without bit shifting; spec 14.4).

const BLOCK_BITS: u64 = u64::BITS as u64;
/// A power of two.
const BLOCKS: usize = 128;

/// How far behind the highest number a packet may come and still be accepted: 8,128.
pub const WINDOW: u64 = (BLOCKS as u64 - 1) * BLOCK_BITS;

/// Why a sequence number is not acceptable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stale {
    /// Seen before.
    Replayed,
    /// [`WINDOW`] or more behind the highest number seen, or 0, which nobody sends.
    TooOld,
}

/// Sequence numbers seen, the newest 8,128 of them each on its own.
///
/// Its state outlives nothing: after a restart there are new keys.
#[derive(Clone, Debug)]
pub struct Window {
    last: u64,
    bits: [u64; BLOCKS],
}

impl Default for Window {
    fn default() -> Self {
        Window { last: 0, bits: [0; BLOCKS] }
    }
}

impl Window {
    /// All up to this number counts as seen.
    pub(crate) fn after(last: u64) -> Window {
        let mut window = Window { last, bits: [u64::MAX; BLOCKS] };
        window.bits[block(last)] = u64::MAX >> (BLOCK_BITS - 1 - last % BLOCK_BITS);
        window
    }

    pub(crate) fn last(&self) -> u64 {
        self.last
    }

    /// Whether the number may still be accepted; nothing is remembered. For before authentication.
    ///
    /// # Errors
    /// `Replayed`, `TooOld`.
    pub fn check(&self, sequence: u64) -> Result<(), Stale> {
        if sequence == 0 {
            return Err(Stale::TooOld);
        }
        if sequence > self.last {
            return Ok(());
        }
        if self.last - sequence >= WINDOW {
            return Err(Stale::TooOld);
        }
        if self.bits[block(sequence)] & bit(sequence) == 0 { Ok(()) } else { Err(Stale::Replayed) }
    }

    /// Remembers the number. For after authentication only.
    ///
    /// # Errors
    /// `Replayed`, `TooOld`; then nothing is changed.
    pub fn mark(&mut self, sequence: u64) -> Result<(), Stale> {
        self.check(sequence)?;
        if sequence > self.last {
            let first = self.last / BLOCK_BITS;
            let new = (sequence / BLOCK_BITS - first).min(BLOCKS as u64);
            for at in first + 1..=first + new {
                self.bits[at as usize % BLOCKS] = 0;
            }
            self.last = sequence;
        }
        self.bits[block(sequence)] |= bit(sequence);
        Ok(())
    }
}

fn block(sequence: u64) -> usize {
    (sequence / BLOCK_BITS) as usize % BLOCKS
}

fn bit(sequence: u64) -> u64 {
    1 << (sequence % BLOCK_BITS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_window_that_goes_on_takes_each_later_number_once_and_no_earlier_one() {
        for last in [0, 1, 63, 64, 100, 8127, 8128, 1 << 40] {
            let mut window = Window::after(last);
            for sequence in last.saturating_sub(9000)..=last {
                assert!(window.check(sequence).is_err(), "{sequence} after {last}");
            }
            for sequence in [last + 3, last + 1, last + 2, last + 70, last + 20_000, last + 19_000] {
                assert_eq!(window.mark(sequence), Ok(()), "{sequence} after {last}");
                assert_eq!(window.mark(sequence), Err(Stale::Replayed));
            }
        }
    }

    /// All numbers ever accepted.
    #[derive(Default)]
    struct Naive {
        seen: BTreeSet<u64>,
    }

    impl Naive {
        fn mark(&mut self, sequence: u64) -> Result<(), Stale> {
            let last = self.seen.last().copied().unwrap_or(0);
            if sequence == 0 || sequence <= last && last - sequence >= WINDOW {
                return Err(Stale::TooOld);
            }
            if self.seen.insert(sequence) { Ok(()) } else { Err(Stale::Replayed) }
        }
    }

    /// Steps from where the window stands: near, across blocks, across the whole window, and far ahead.
    fn steps() -> impl Strategy<Value = Vec<i64>> {
        let width = WINDOW as i64;
        let step = prop_oneof![
            8 => -70_i64..70,
            3 => -width - 130..width + 130,
            1 => prop_oneof![Just(-width), Just(-width + 1), Just(-width - 1), Just(width), Just(64), Just(-64)],
            1 => 0..1_i64 << 40,
        ];
        prop::collection::vec(step, 1..400)
    }

    proptest! {
        #[test]
        fn the_window_is_the_naive_set(start in prop_oneof![0_u64..300, Just(u64::from(u32::MAX)), any::<u64>()], steps in steps()) {
            let (mut window, mut naive) = (Window::default(), Naive::default());
            let mut highest = start;
            for step in steps {
                let sequence = highest.saturating_add_signed(step);
                let before = window.check(sequence);
                let expected = naive.mark(sequence);
                prop_assert_eq!(before, expected, "check of {} with {} highest", sequence, window.last);
                prop_assert_eq!(window.mark(sequence), expected);
                highest = highest.max(sequence);
            }
        }
    }

    #[test]
    fn the_edges_of_the_window() {
        let mut window = Window::default();
        assert_eq!(window.mark(0), Err(Stale::TooOld));
        assert_eq!(window.mark(10_000), Ok(()));
        assert_eq!(window.mark(10_000), Err(Stale::Replayed));
        assert_eq!(window.check(10_000 - WINDOW), Err(Stale::TooOld));
        assert_eq!(window.mark(10_000 - WINDOW + 1), Ok(()));
        assert_eq!(window.mark(10_000 - WINDOW + 1), Err(Stale::Replayed));
        assert_eq!(window.mark(u64::MAX), Ok(()));
        assert_eq!(window.mark(u64::MAX), Err(Stale::Replayed));
        assert_eq!(window.mark(10_000), Err(Stale::TooOld));
    }

    /// Spec 14.1.9: highest number seen, low half on the wire, high half. The IV says the high half, so nothing is inferred here; what
    /// inference would give must be acceptable, once.
    #[test]
    fn numbers_around_a_carry_are_accepted_once() {
        for (high, low, on_wire, expected) in [
            (0_u64, 0x64_u64, 0x78_u64, 0_u64),
            (0, 0x64, 0x0a, 1),
            (0, 0xffff_fff0, 5, 1),
            (1, 0x0a, 0xffff_fff5, 0),
            (2, 0xc8, 0x89, 2),
            (2, 0xc8, 0x88, 3),
        ] {
            let mut window = Window::default();
            window.mark(high << 32 | low).unwrap();
            assert_eq!(window.mark(expected << 32 | on_wire), Ok(()));
            assert_eq!(window.mark(expected << 32 | on_wire), Err(Stale::Replayed));
            assert!(window.mark(high << 32 | low).is_err());
        }
    }
}
