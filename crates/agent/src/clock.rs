//! Was this machine stopped and gone on with, here or elsewhere? What a process can see of it.
//!
//! A machine that is restored from a snapshot, or cloned, goes on with the keys and the packet numbers of then, and there may be another
//! one that has gone on with them too. A process sees one thing of that on every kernel: once somebody sets the clock right, the time of day
//! is ahead of the time that this machine says it has been running for.

use std::time::{SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

/// More than that no time service corrects in a second without a step.
const STEP_MAX_MILLIS: i64 = 10_000;

/// The time of day, and the time since the machine's start with its sleep, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clocks {
    pub(crate) wall: i64,
    pub(crate) boot: i64,
}

impl Clocks {
    pub(crate) fn now() -> Clocks {
        let boot = clock_gettime(ClockId::Boottime);
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Clocks {
            wall: i64::try_from(wall.as_millis()).unwrap_or(i64::MAX),
            boot: boot.tv_sec.saturating_mul(1000).saturating_add(boot.tv_nsec / 1_000_000),
        }
    }
}

/// Notices steps of the time of day. It is shown both clocks about once a second.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    last: Option<Clocks>,
}

impl Steps {
    /// Whether the time of day went another way than the machine's own, by more than 10 s either way, since the last time.
    pub(crate) fn look(&mut self, now: Clocks) -> bool {
        let Some(last) = self.last.replace(now) else { return false };
        let went = now.wall.saturating_sub(last.wall).saturating_sub(now.boot.saturating_sub(last.boot));
        went.saturating_abs() > STEP_MAX_MILLIS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(times: &[(i64, i64)]) -> Vec<bool> {
        let mut steps = Steps::default();
        times.iter().map(|(wall, boot)| steps.look(Clocks { wall: *wall, boot: *boot })).collect()
    }

    #[test]
    fn a_step_of_the_time_of_day_is_noticed_once() {
        let day = 1_800_000_000_000;
        let times = [(day, 0), (day + 1000, 1000), (day + 3_601_000, 2000), (day + 3_602_000, 3000)];
        assert_eq!(seen(&times), [false, false, true, false], "an hour in a second");
        assert_eq!(seen(&[(day, 0), (day - 60_000, 1000), (day - 59_000, 2000)]), [false, true, false]);
        assert_eq!(seen(&[(i64::MIN, 0), (i64::MAX, 0), (0, i64::MAX)]), [false, true, true]);
    }

    #[test]
    fn sleep_slow_clocks_and_late_looks_are_no_steps() {
        let day = 1_800_000_000_000;
        // Asleep for an hour: both clocks went on.
        assert_eq!(seen(&[(day, 0), (day + 3_600_000, 3_600_000)]), [false, false]);
        // A clock that is set right by slewing, and one that differs more than that in the long run.
        let times: Vec<_> = (0..100).map(|n| (day + n * 1500, n * 1000)).collect();
        assert!(!seen(&times).contains(&true));
        assert_eq!(seen(&[(day, 0), (day + 11_000, 1000), (day + 22_001, 2000)]), [false, false, true]);
    }

    #[test]
    fn the_machines_clocks_go_together() {
        let mut steps = Steps::default();
        assert!((0..100).all(|_| !steps.look(Clocks::now())));
    }
}
