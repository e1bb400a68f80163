//! All the chance of a run, from one seed: same seed, same worlds, same packets.

use model::ResourceId;
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

/// A stream of random choices.
#[derive(Debug)]
pub struct Dice(ChaCha8Rng);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(ChaCha8Rng::seed_from_u64(seed))
    }

    pub fn u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number below `end`; 0 if there is none.
    pub fn below(&mut self, end: usize) -> usize {
        // The bias is below 2^-32 for the small numbers of a simulation.
        usize::try_from(self.u64() % (end.max(1) as u64)).unwrap_or(0)
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: usize, high: usize) -> usize {
        low + self.below(high - low + 1)
    }

    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// One of these; `None`: there are none.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        from.get(self.below(from.len()))
    }

    /// One of a list that is never empty.
    pub fn one<T: Copy, const N: usize>(&mut self, from: [T; N]) -> T {
        from[self.below(N)]
    }

    /// One of these, each as often as its weight says.
    pub fn weighted<T: Copy>(&mut self, from: &[(usize, T)]) -> T {
        let mut at = self.below(from.iter().map(|(weight, _)| weight).sum());
        for (weight, value) in from {
            if at < *weight {
                return *value;
            }
            at -= weight;
        }
        from[0].1
    }

    pub fn id<Id: ResourceId>(&mut self) -> Id {
        Id::from_random(u128::from(self.u64()) << 64 | u128::from(self.u64()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_seed_same_choices_and_weights_count() {
        let draw = |seed| {
            let mut dice = Dice::new(seed);
            (0..1000).map(|_| dice.weighted(&[(9, 'a'), (1, 'b'), (0, 'c')])).collect::<String>()
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        let often = draw(3).chars().filter(|c| *c == 'b').count();
        assert!((50..200).contains(&often), "{often}");
        assert!(!draw(3).contains('c'));
    }

    #[test]
    fn nothing_to_pick_is_none() {
        assert_eq!(Dice::new(1).pick::<u8>(&[]), None);
        assert_eq!(Dice::new(1).below(0), 0);
    }
}
