//! Has this very flow been decided before? A droppable memory of verdicts: speed, never meaning (architecture ch. 4).
//!
//! A value counts only in the generation it was made in, and any swap of the tables is a new generation. Bounded; losing any line at any
//! instant only costs the time to decide again.
//!
//! ```text
//!             ┌──────────────────────────────────┐        ┌────────┬────────┬────────┬─
//!  hash ────▶ │ set: 8 tags, 8 places, 8 notes   │ ─────▶ │ line 0 │ line 1 │ line 2 │ ...
//!             └──────────────────────────────────┘        └────────┴────────┴────────┴─
//! ```
//!
//! Lines lie one behind the other in the order in which they were first needed, so that what is in use is dense, and to look for one touches
//! a set and, but for a chance of one in some dozens, no line but the one that is found. Sets grow with the lines one by one (linear
//! hashing), so that no packet waits for many to be moved; a full set loses its lines in turn.

use std::fmt::Debug;
use std::hash::{BuildHasher, Hash};

use foldhash::fast::FixedState;

/// What is remembered, with its key.
pub(crate) trait Memory: Debug {
    type Key: Hash;

    fn key(&self) -> Self::Key;

    fn is_of(&self, key: &Self::Key) -> bool;
}

/// Lines that share a set: as many as one cache line of a processor can tell of.
const WAYS: usize = 8;
/// Lines for each set, on average, beyond which there is another set.
const LOAD: usize = 3;
/// More lines than a place can tell.
const LINES_MAX: usize = 1 << 24;
/// The note of what has none.
pub(crate) const NO_NOTE: u32 = u32::MAX;

#[derive(Debug)]
pub(crate) struct Cache<M> {
    /// Sets below the last power of two of them, and as many of the next as there are by now.
    sets: Vec<Set>,
    lines: Vec<Line<M>>,
    /// Lines at most; 0: nothing is remembered.
    room: usize,
    hasher: FixedState,
}

#[derive(Clone, Copy, Debug, Default)]
#[repr(align(64))]
struct Set {
    /// A part of each line's hash; 0: there is no line.
    tags: [u8; WAYS],
    /// Where the lines are.
    places: [Short; WAYS],
    /// What else will be looked at, see [`Cache::find`].
    notes: [Short; WAYS],
    /// Which line goes next.
    next: u8,
}

/// A number below 2^24.
type Short = [u8; 3];

#[derive(Debug)]
#[repr(C, align(64))]
struct Line<M> {
    generation: u64,
    value: M,
}

impl<M: Memory> Cache<M> {
    /// Room for so many lines; for none, all is forgotten at once. Memory is taken as it is needed.
    pub(crate) fn new(lines: usize, seed: u64) -> Cache<M> {
        let room = lines.min(LINES_MAX);
        let sets = if room == 0 { 0 } else { room / LOAD + 1 };
        let mut cache = Cache {
            sets: Vec::with_capacity(sets),
            lines: Vec::with_capacity(room),
            room,
            hasher: FixedState::with_seed(seed),
        };
        cache.clear();
        cache
    }

    /// What is remembered under this key in this generation, and what `foresee` made of its note. That is asked before the line is
    /// looked at, so that a processor fetches both at once.
    #[inline(always)]
    pub(crate) fn find<T>(&mut self, key: &M::Key, generation: u64, foresee: impl Fn(u32) -> T) -> Option<(&mut M, T)> {
        if self.room == 0 {
            return None;
        }
        let hash = self.hasher.hash_one(key);
        let set = &self.sets[self.set_of(hash)];
        let found = |way: usize| {
            let foreseen = foresee(long(set.notes[way]));
            let line = &self.lines[set.place(way)];
            (line.generation == generation && line.value.is_of(key)).then(|| (set.place(way), foreseen))
        };
        let (place, foreseen) = set.tagged(tag_of(hash)).find_map(found)?;
        Some((&mut self.lines[place].value, foreseen))
    }

    /// `note` is for [`Cache::find`]; what does not fit 24 bits is forgotten.
    pub(crate) fn insert(&mut self, generation: u64, value: M, note: u32) {
        if self.room == 0 {
            return;
        }
        let key = value.key();
        let hash = self.hasher.hash_one(&key);
        let (at, tag) = (self.set_of(hash), tag_of(hash));
        let set = &self.sets[at];
        let line = |way: usize| &self.lines[set.place(way)];
        let known = set.tagged(tag).find(|way| line(*way).value.is_of(&key));
        let old = || (0..WAYS).find(|way| set.tags[*way] != 0 && line(*way).generation != generation);
        let has_room = self.lines.len() < self.room;
        let free = set.tagged(0).next().filter(|_| has_room || set.tags == [0; WAYS]);
        let (way, place) = match (known.or_else(old), free) {
            (Some(way), _) => (way, set.place(way)),
            (None, Some(way)) if has_room => (way, self.lines.len()),
            (None, Some(way)) => (way, self.take(hash)),
            (None, None) => {
                let way = self.turn(at);
                (way, self.sets[at].place(way))
            }
        };
        let line = Line { generation, value };
        match self.lines.get_mut(place) {
            Some(old) => *old = line,
            None => self.lines.push(line),
        }
        let set = &mut self.sets[at];
        (set.tags[way], set.places[way], set.notes[way]) = (tag, short(place as u32), short(note));
        self.grow();
    }

    /// Takes a line, whichever, from its set.
    fn take(&mut self, hash: u64) -> usize {
        let place = hash as usize % self.lines.len();
        let of = self.set_of(self.hasher.hash_one(self.lines[place].value.key()));
        let set = &mut self.sets[of];
        if let Some(way) = (0..WAYS).find(|way| set.tags[*way] != 0 && set.place(*way) == place) {
            set.tags[way] = 0;
        }
        place
    }

    /// Whose line goes now, of a set that has some.
    fn turn(&mut self, at: usize) -> usize {
        let set = &mut self.sets[at];
        let first = usize::from(set.next) % WAYS;
        let way = (first..WAYS).chain(0..first).find(|way| set.tags[*way] != 0).unwrap_or(first);
        set.next = way as u8 + 1;
        way
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.lines.clear();
        self.sets.clear();
        if self.room > 0 {
            self.sets.push(Set::default());
        }
    }

    /// Which set a hash belongs to.
    fn set_of(&self, hash: u64) -> usize {
        let above = self.sets.len().next_power_of_two();
        let at = hash as usize & (above - 1);
        if at < self.sets.len() { at } else { at & (above / 2 - 1) }
    }

    /// One set more, once there are so many lines: it takes from one other set what belongs to it.
    fn grow(&mut self) {
        if self.lines.len() <= self.sets.len() * LOAD || self.sets.len() == self.sets.capacity() {
            return;
        }
        let new = self.sets.len();
        let from = new & !(1 << new.ilog2());
        self.sets.push(Set::default());
        let all = self.sets[from];
        let of_new = |way: &usize| {
            let key = self.lines[all.place(*way)].value.key();
            all.tags[*way] != 0 && self.set_of(self.hasher.hash_one(&key)) == new
        };
        let (mut stays, mut moves) = (all, Set::default());
        for way in (0..WAYS).filter(of_new) {
            (moves.tags[way], moves.places[way], moves.notes[way]) = (all.tags[way], all.places[way], all.notes[way]);
            stays.tags[way] = 0;
        }
        (self.sets[from], self.sets[new]) = (stays, moves);
    }
}

impl Set {
    fn place(&self, way: usize) -> usize {
        long(self.places[way]) as usize
    }

    /// The ways with this tag.
    fn tagged(&self, tag: u8) -> impl Iterator<Item = usize> {
        // All of them at once: which way it is cannot be foreseen. A byte is 0 where the tag is, and may borrow from the one above, so
        // that one is looked at again.
        let differs = u64::from_le_bytes(self.tags) ^ (LOW * u64::from(tag));
        let mut found = differs.wrapping_sub(LOW) & !differs & (LOW << 7);
        let ways = std::iter::from_fn(move || {
            let way = found.trailing_zeros() as usize / 8;
            found &= found.wrapping_sub(1);
            (way < WAYS).then_some(way)
        });
        ways.filter(move |way| self.tags[*way] == tag)
    }
}

/// The lowest bit of each byte.
const LOW: u64 = u64::MAX / 0xff;

fn short(number: u32) -> Short {
    let [a, b, c, _] = number.to_le_bytes();
    [a, b, c]
}

fn long([a, b, c]: Short) -> u32 {
    u32::from_le_bytes([a, b, c, 0])
}

/// A part of the hash that its set does not tell; never 0.
fn tag_of(hash: u64) -> u8 {
    ((hash >> 56) as u8).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A key and a value.
    impl Memory for (u32, u32) {
        type Key = u32;

        fn key(&self) -> u32 {
            self.0
        }

        fn is_of(&self, key: &u32) -> bool {
            self.0 == *key
        }
    }

    fn find(cache: &mut Cache<(u32, u32)>, key: u32, generation: u64) -> Option<u32> {
        let (value, note) = cache.find(&key, generation, |note| note)?;
        assert_eq!(note, key, "it is told with the line");
        Some(value.1)
    }

    fn insert(cache: &mut Cache<(u32, u32)>, key: u32, generation: u64, value: u32) {
        cache.insert(generation, (key, value), key);
    }

    #[test]
    fn another_generation_is_not_found() {
        let mut cache = Cache::new(16, 1);
        insert(&mut cache, 7, 1, 10);
        assert_eq!(find(&mut cache, 7, 1), Some(10));
        assert_eq!(find(&mut cache, 7, 2), None);
        insert(&mut cache, 7, 2, 20);
        assert_eq!(find(&mut cache, 7, 1), None);
        assert_eq!(cache.lines.len(), 1);
    }

    #[test]
    fn bounded_and_the_newest_is_there() {
        let mut cache = Cache::new(64, 1);
        for key in 0..10_000 {
            insert(&mut cache, key, 1, key);
            assert_eq!(find(&mut cache, key, 1), Some(key));
        }
        assert_eq!(cache.lines.len(), 64);
        cache.clear();
        assert_eq!((cache.lines.len(), find(&mut cache, 9_999, 1)), (0, None));
        insert(&mut cache, 9_999, 1, 1);
        assert_eq!(find(&mut cache, 9_999, 1), Some(1));
    }

    #[test]
    fn nearly_all_that_there_is_room_for_is_remembered() {
        let mut cache = Cache::new(1 << 16, 1);
        let known =
            |cache: &mut _, generation| (0..60_000).filter(|key| find(cache, *key, generation).is_some()).count();
        for _ in 0..2 {
            (0..60_000).for_each(|key| insert(&mut cache, key, 1, key));
        }
        assert!(known(&mut cache, 1) > 59_000, "{}", known(&mut cache, 1));
        assert_eq!(cache.sets.len(), cache.lines.len().div_ceil(LOAD), "sets have grown with the lines");
        // What is old makes room, in place.
        let lines = cache.lines.len();
        (0..60_000).for_each(|key| insert(&mut cache, key, 2, key));
        assert!(known(&mut cache, 2) > 59_000 && cache.lines.len() < lines + 1_000, "{}", cache.lines.len());
    }

    #[test]
    fn it_never_takes_more_than_it_said_nor_moves_what_it_has() {
        let mut cache = Cache::new(1000, 1);
        let room = (cache.sets.capacity(), cache.lines.capacity());
        for key in 0..100_000 {
            insert(&mut cache, key % 5000, u64::from(key / 20_000), key);
        }
        assert_eq!((cache.sets.capacity(), cache.lines.capacity()), room);
        assert!(cache.lines.len() <= 1000);
        let places =
            |set: &Set| (0..WAYS).filter(|way| set.tags[*way] != 0).map(|way| set.place(way)).collect::<Vec<_>>();
        let mut places: Vec<usize> = cache.sets.iter().flat_map(places).collect();
        places.sort_unstable();
        assert!(places.into_iter().eq(0..cache.lines.len()), "each line is some set's, and no line is two's");
    }

    #[test]
    fn without_room_nothing_is_remembered() {
        let mut cache = Cache::new(0, 1);
        insert(&mut cache, 1, 1, 1);
        assert_eq!(find(&mut cache, 1, 1), None);
    }

    #[test]
    fn a_borrowed_bit_finds_nothing() {
        // Behind the tag stands one that differs from it by one: the sum of bytes takes it for the same.
        let set = Set { tags: [9, 8, 0, 1, 8, 9, 9, 1], ..Set::default() };
        assert!(set.tagged(9).eq([0, 5, 6]));
        assert!(set.tagged(8).eq([1, 4]));
        assert!(set.tagged(0).eq([2]) && set.tagged(1).eq([3, 7]) && set.tagged(7).next().is_none());
    }
}
