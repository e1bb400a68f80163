//! Where do tracked flows lie that outlive the process? Memory that the shell lends, laid out in a part for each shard.
//!
//! ```text
//!   shard 0                                         shard 1
//!   ┌──────┬────────┬────────┬─────────┬─────────┐  ┌──────┬─ ...
//!   │ used │ slot 0 │ slot 1 │  ...    │ unused  │  │ used │
//!   └──────┴────────┴────────┴─────────┴─────────┘  └──────┴─ ...
//!    8 words  8 words each, see policy::Mirror        from the next multiple of 512 words on
//! ```
//!
//! Room is asked for as slots are used for the first time, [`SLOTS_AT_ONCE`] of them at once, so that memory nobody needs is not taken.

use std::fmt::Debug;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use policy::{Limits, Mirror, NAT_RECORD_LAYOUT, NatLimits, RECORD_LAYOUT, RECORD_WORDS};

use crate::shared::{Config, shards_and_limits};

/// Words that outlive the process that writes them, and that nobody else writes meanwhile.
pub trait Memory: Debug + Send + Sync {
    /// All of them. Those that nobody has [made room](Memory::make_room) for are 0 and must not be written.
    fn words(&self) -> &[AtomicU64];

    /// Makes these words writable. `false`: there is no more.
    fn make_room(&self, words: Range<usize>) -> bool;
}

/// Ordinary memory, for tests and simulations.
impl Memory for Box<[AtomicU64]> {
    fn words(&self) -> &[AtomicU64] {
        self
    }

    fn make_room(&self, words: Range<usize>) -> bool {
        words.end <= self.len()
    }
}

const SLOTS_AT_ONCE: u32 = 256;
/// What stands in front of a part's slots: the number of slots in use, as long as a slot.
const HEADER: usize = RECORD_WORDS;
/// A page of 4 KiB.
const PAGE: usize = 512;

impl Config {
    /// The words that [`Shared::remember`](crate::Shared::remember) wants.
    pub fn memory_words(&self) -> usize {
        let (shards, limits) = shards_and_limits(self);
        shards as usize * part_words(limits)
    }

    /// Tells this layout from others: what was written under another one cannot be read.
    pub fn memory_layout(&self) -> u64 {
        let (shards, Limits { flows, .. }) = shards_and_limits(self);
        RECORD_LAYOUT << 56 | u64::from(shards) << 32 | u64::from(flows)
    }

    /// The words that [`Shared::remember_translations`](crate::Shared::remember_translations) wants: one part.
    pub fn translations_words(&self) -> usize {
        part_words(of_nat(&self.nat))
    }

    /// As [`Config::memory_layout`], of the translations.
    pub fn translations_layout(&self) -> u64 {
        NAT_RECORD_LAYOUT << 56 | u64::from(self.nat.mappings)
    }
}

/// The one part of the translations.
pub(crate) fn of_nat(limits: &NatLimits) -> Limits {
    Limits { flows: limits.mappings, flows_per_interface: limits.mappings_per_gateway }
}

fn part_words(limits: Limits) -> usize {
    (HEADER + RECORD_WORDS * limits.flows as usize).next_multiple_of(PAGE)
}

/// One shard's part.
#[derive(Debug)]
pub(crate) struct Part {
    memory: Arc<dyn Memory>,
    start: usize,
    flows: u32,
    used: u32,
    /// There was no more room: it is not asked for again with every flow.
    is_full: bool,
}

impl Part {
    /// `None`: the memory is too small.
    pub(crate) fn new(memory: &Arc<dyn Memory>, shard: usize, limits: Limits) -> Option<Part> {
        let words = part_words(limits);
        let start = shard * words;
        let part = memory.words().get(start..start + words)?;
        // Whatever stands there, no more than there is.
        let used = part[0].load(Ordering::Acquire).min(limits.flows.into());
        let used = u32::try_from(used).unwrap_or(limits.flows);
        Some(Part { memory: memory.clone(), start, flows: limits.flows, used, is_full: false })
    }

    fn words_of(&self, slots: Range<u32>) -> Range<usize> {
        let at = |slot: u32| self.start + HEADER + RECORD_WORDS * slot as usize;
        at(slots.start)..at(slots.end)
    }

    fn grow(&mut self, slot: u32) -> bool {
        if self.is_full || slot >= self.flows {
            return false;
        }
        let used = (slot + 1).next_multiple_of(SLOTS_AT_ONCE).min(self.flows);
        let mut words = self.words_of(self.used..used);
        if self.used == 0 {
            words.start = self.start;
        }
        self.is_full = !self.memory.make_room(words);
        if !self.is_full {
            self.memory.words()[self.start].store(used.into(), Ordering::Release);
            self.used = used;
        }
        !self.is_full
    }
}

impl Mirror for Part {
    fn used(&self) -> u32 {
        self.used
    }

    fn slot(&mut self, slot: u32) -> Option<&[AtomicU64; RECORD_WORDS]> {
        if slot >= self.used && !self.grow(slot) {
            return None;
        }
        let range = self.words_of(slot..slot + 1);
        self.memory.words().get(range)?.try_into().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[derive(Debug)]
    struct Small {
        words: Box<[AtomicU64]>,
        asked: Mutex<Vec<Range<usize>>>,
        limit: usize,
    }

    impl Memory for Small {
        fn words(&self) -> &[AtomicU64] {
            &self.words
        }

        fn make_room(&self, words: Range<usize>) -> bool {
            self.asked.lock().unwrap().push(words.clone());
            words.end <= self.limit
        }
    }

    const LIMITS: Limits = Limits { flows: 600, flows_per_interface: 600 };

    fn small(limit: usize) -> Arc<Small> {
        let words = (0..3 * part_words(LIMITS)).map(|_| AtomicU64::new(0)).collect();
        Arc::new(Small { words, asked: Mutex::default(), limit })
    }

    #[test]
    fn room_is_asked_for_as_it_is_used_and_not_again_when_there_is_none() {
        let memory = small(5120 + 8 + 8 * 512);
        let shared: Arc<dyn Memory> = memory.clone();
        assert_eq!(part_words(LIMITS), 5120);
        let mut part = Part::new(&shared, 1, LIMITS).unwrap();
        assert_eq!(part.used(), 0);
        for slot in [0, 255, 256, 511, 3] {
            assert!(part.slot(slot).is_some());
        }
        for slot in [512, 599, 600, u32::MAX] {
            assert!(part.slot(slot).is_none(), "{slot}");
        }
        let first = 5120 + 8;
        let room = [5120..first + 2048, first + 2048..first + 4096, first + 4096..first + 4800];
        assert_eq!(*memory.asked.lock().unwrap(), room);
        assert_eq!(Part::new(&shared, 1, LIMITS).unwrap().used(), 512, "the next one knows");
        assert_eq!(Part::new(&shared, 0, LIMITS).unwrap().used(), 0);
        assert!(Part::new(&shared, 3, LIMITS).is_none());
    }

    #[test]
    fn slots_of_all_parts_are_apart() {
        let shared: Arc<dyn Memory> = small(usize::MAX);
        let mut at: Vec<usize> = Vec::new();
        for shard in 0..3 {
            let mut part = Part::new(&shared, shard, LIMITS).unwrap();
            at.extend((0..LIMITS.flows).map(|slot| part.slot(slot).unwrap().as_ptr() as usize));
            at.push(shared.words()[shard * 5120..].as_ptr() as usize);
        }
        at.sort_unstable();
        assert!(at.windows(2).all(|pair| pair[1] - pair[0] >= 64));
    }

    #[test]
    fn a_number_of_slots_that_cannot_be_is_no_more_than_there_are() {
        let shared: Arc<dyn Memory> = small(usize::MAX);
        shared.words()[0].store(u64::MAX, Ordering::Relaxed);
        assert_eq!(Part::new(&shared, 0, LIMITS).unwrap().used(), LIMITS.flows);
    }
}
