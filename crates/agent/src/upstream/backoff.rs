//! How long to wait before the next attempt: twice as long each time, up to a bound, with jitter.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(15);

/// The waits between attempts. A fresh one begins short again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backoff(Duration);

impl Default for Backoff {
    fn default() -> Backoff {
        Backoff(FIRST)
    }
}

impl Backoff {
    /// The next wait: between half and all of what is due, by any number.
    pub(crate) fn next(&mut self, random: u32) -> Duration {
        let due = self.0;
        self.0 = (due * 2).min(LONGEST);
        due / 2 + (due / 2).mul_f64(f64::from(random) / f64::from(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_never_reach_zero() {
        for random in [0, 1 << 31, u32::MAX] {
            let mut backoff = Backoff::default();
            let mut due = FIRST;
            for _ in 0..64 {
                let wait = backoff.next(random);
                assert!(wait >= due / 2 && wait <= due, "{wait:?} of {due:?}");
                due = (due * 2).min(LONGEST);
            }
            assert_eq!(due, LONGEST);
        }
        assert_ne!(Backoff::default().next(1), Backoff::default().next(u32::MAX));
    }
}
