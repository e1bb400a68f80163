//! Has this very flow been decided before? A droppable memory of verdicts: speed, never meaning (architecture ch. 4).
//!
//! A value counts only in the generation it was made in, and any swap of the tables is a new generation. Bounded, eight ways to a set;
//! a full set loses its lines in turn. Losing any line at any instant only costs the time to decide again.

use std::hash::{BuildHasher, Hash};

use foldhash::fast::FixedState;

/// Lines that share a place.
const WAYS: usize = 8;

#[derive(Debug)]
pub(crate) struct Cache<K, V> {
    /// A power of two, or empty: then nothing is remembered. Apart from the lines, so that looking for one touches no other.
    sets: Box<[Set]>,
    /// Those of each set, one set behind the other.
    lines: Box<[Option<Line<K, V>>]>,
    hasher: FixedState,
}

#[derive(Clone, Debug, Default)]
#[repr(align(32))]
struct Set {
    /// A part of each line's hash; 0: there is no line.
    tags: [u16; WAYS],
    /// Which line goes next.
    next: u8,
}

#[derive(Debug)]
struct Line<K, V> {
    generation: u64,
    key: K,
    value: V,
}

impl<K: Hash + Eq, V> Cache<K, V> {
    /// Room for at least so many lines; for none, all is forgotten at once.
    pub(crate) fn new(lines: usize, seed: u64) -> Cache<K, V> {
        let sets = if lines == 0 { 0 } else { lines.div_ceil(WAYS).next_power_of_two() };
        let lines = (0..sets * WAYS).map(|_| None).collect();
        Cache { sets: vec![Set::default(); sets].into(), lines, hasher: FixedState::with_seed(seed) }
    }

    pub(crate) fn find(&mut self, key: &K, generation: u64) -> Option<&mut V> {
        let (set, tag) = self.place(key)?;
        let is_it = |line: &Line<K, V>| line.generation == generation && line.key == *key;
        let at = self.tagged(set, tag).find(|at| self.lines[*at].as_ref().is_some_and(is_it))?;
        self.lines[at].as_mut().map(|line| &mut line.value)
    }

    pub(crate) fn insert(&mut self, key: K, generation: u64, value: V) {
        let Some((set, tag)) = self.place(&key) else { return };
        let first = set * WAYS;
        let is_it = |line: &Line<K, V>| line.key == key;
        let is_old = |line: &Line<K, V>| line.generation != generation;
        let known = self.tagged(set, tag).find(|at| self.lines[*at].as_ref().is_some_and(is_it));
        let free = || self.tagged(set, 0).next();
        let old = || (first..first + WAYS).find(|at| self.lines[*at].as_ref().is_none_or(is_old));
        let at = known.or_else(free).or_else(old).unwrap_or_else(|| first + usize::from(self.sets[set].next) % WAYS);
        if known.is_none() {
            self.sets[set].next = self.sets[set].next.wrapping_add(1);
        }
        self.sets[set].tags[at - first] = tag;
        self.lines[at] = Some(Line { generation, key, value });
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.sets.fill(Set::default());
        self.lines.iter_mut().for_each(|line| *line = None);
    }

    /// The set of a key, and its tag there.
    fn place(&self, key: &K) -> Option<(usize, u16)> {
        let mask = self.sets.len().checked_sub(1)?;
        let hash = self.hasher.hash_one(key);
        Some((hash as usize & mask, ((hash >> 48) as u16).max(1)))
    }

    /// The places of the lines with this tag.
    fn tagged(&self, set: usize, tag: u16) -> impl Iterator<Item = usize> {
        let of_set = (0..WAYS).zip(self.sets[set].tags);
        of_set.filter(move |(_, other)| *other == tag).map(move |(way, _)| set * WAYS + way)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_generation_is_not_found() {
        let mut cache = Cache::new(16, 1);
        cache.insert("flow", 1, 10);
        assert_eq!(cache.find(&"flow", 1), Some(&mut 10));
        assert_eq!(cache.find(&"flow", 2), None);
        cache.insert("flow", 2, 20);
        assert_eq!(cache.find(&"flow", 1), None);
        assert_eq!(cache.lines.iter().flatten().count(), 1);
    }

    #[test]
    fn bounded_and_the_newest_is_there() {
        let mut cache = Cache::new(64, 1);
        for key in 0..10_000 {
            cache.insert(key, 1, key);
            assert_eq!(cache.find(&key, 1), Some(&mut key.clone()));
        }
        assert_eq!(cache.lines.iter().flatten().count(), 64);
        cache.clear();
        assert_eq!(cache.lines.iter().flatten().count(), 0);
    }

    #[test]
    fn without_room_nothing_is_remembered() {
        let mut cache = Cache::new(0, 1);
        cache.insert(1, 1, 1);
        assert_eq!(cache.find(&1, 1), None);
    }
}
