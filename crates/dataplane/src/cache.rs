//! Has this very flow been decided before? A droppable memory of verdicts: speed, never meaning (architecture ch. 4).
//!
//! A value counts only in the generation it was made in, and any swap of the tables is a new generation. Bounded, four ways to a set;
//! a full set loses its lines in turn. Losing any line at any instant only costs the time to decide again.

use std::hash::{BuildHasher, Hash};

use foldhash::fast::FixedState;

/// Lines that share a place.
const WAYS: usize = 4;

#[derive(Debug)]
pub(crate) struct Cache<K, V> {
    /// A power of two, or empty: then nothing is remembered.
    sets: Box<[Set<K, V>]>,
    hasher: FixedState,
}

#[derive(Debug)]
struct Set<K, V> {
    lines: [Option<Line<K, V>>; WAYS],
    /// Which line goes next.
    next: usize,
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
        let empty = |_| Set { lines: [const { None }; WAYS], next: 0 };
        Cache { sets: (0..sets).map(empty).collect(), hasher: FixedState::with_seed(seed) }
    }

    pub(crate) fn find(&mut self, key: &K, generation: u64) -> Option<&mut V> {
        let lines = &mut self.set(key)?.lines;
        let line = lines.iter_mut().flatten().find(|line| line.key == *key && line.generation == generation)?;
        Some(&mut line.value)
    }

    pub(crate) fn insert(&mut self, key: K, generation: u64, value: V) {
        let Some(set) = self.set(&key) else { return };
        let is_it = |line: &Option<Line<K, V>>| line.as_ref().is_some_and(|line| line.key == key);
        let is_free = |line: &Option<Line<K, V>>| line.as_ref().is_none_or(|line| line.generation != generation);
        let place = set.lines.iter().position(is_it).or_else(|| set.lines.iter().position(is_free));
        let at = place.unwrap_or_else(|| {
            set.next = (set.next + 1) % WAYS;
            set.next
        });
        set.lines[at] = Some(Line { generation, key, value });
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.sets.iter_mut().for_each(|set| set.lines = [const { None }; WAYS]);
    }

    fn set(&mut self, key: &K) -> Option<&mut Set<K, V>> {
        let mask = self.sets.len().checked_sub(1)?;
        let at = self.hasher.hash_one(key) as usize & mask;
        self.sets.get_mut(at)
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
        assert_eq!(cache.sets.iter().flat_map(|set| &set.lines).flatten().count(), 1);
    }

    #[test]
    fn bounded_and_the_newest_is_there() {
        let mut cache = Cache::new(64, 1);
        for key in 0..10_000 {
            cache.insert(key, 1, key);
            assert_eq!(cache.find(&key, 1), Some(&mut key.clone()));
        }
        assert_eq!(cache.sets.iter().flat_map(|set| &set.lines).flatten().count(), 64);
        cache.clear();
        assert_eq!(cache.sets.iter().flat_map(|set| &set.lines).flatten().count(), 0);
    }

    #[test]
    fn without_room_nothing_is_remembered() {
        let mut cache = Cache::new(0, 1);
        cache.insert(1, 1, 1);
        assert_eq!(cache.find(&1, 1), None);
    }
}
