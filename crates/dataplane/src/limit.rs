//! How often may a guest make the router speak? One token bucket per port, without a lock (spec 9.1, D36).
//!
//! The bucket is kept as the moment at which it will be full again (GCRA, ITU-T I.371): one number, one compare-and-swap.

use std::sync::atomic::{AtomicI64, Ordering};

use model::Time;

/// Answers per second and port: ARP, neighbour discovery, router advertisements, DHCP and ICMP errors together; as many again are
/// packets to the services at the VPC's own addresses, all of them together.
pub const ANSWERS_PER_SECOND: i64 = 1024;

/// Answers that a port which was silent may have at once, and packets to services.
pub const ANSWERS_AT_ONCE: i64 = 256;

/// One answer's share of a second, in 1/1024 ms, so that the rate divides without a remainder.
const STEP: i64 = 1000 * TICKS_PER_MS / ANSWERS_PER_SECOND;
const TICKS_PER_MS: i64 = 1024;

/// A token bucket that any thread may draw from.
#[derive(Debug, Default)]
pub(crate) struct Bucket {
    /// When the bucket is full again, in ticks since the epoch.
    full_at: AtomicI64,
}

impl Bucket {
    /// Takes one token; `false`: there is none.
    ///
    /// Time that runs backwards by more than the bucket holds starts it afresh: a corrected clock must not silence a port.
    pub(crate) fn take(&self, now: Time) -> bool {
        let now = now.as_unix_millis().saturating_mul(TICKS_PER_MS);
        let depth = STEP * ANSWERS_AT_ONCE;
        let drawn = |full_at: i64| {
            let ahead = full_at.saturating_sub(now);
            let from = if (0..=depth).contains(&ahead) { full_at } else { now };
            let next = from.saturating_add(STEP);
            (next.saturating_sub(now) <= depth).then_some(next)
        };
        self.full_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, drawn).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take_all(bucket: &Bucket, now: i64) -> i64 {
        (0..10_000).filter(|_| bucket.take(Time::from_unix_millis(now))).count() as i64
    }

    #[test]
    fn a_burst_then_the_rate() {
        let bucket = Bucket::default();
        assert_eq!(take_all(&bucket, 1_000_000), ANSWERS_AT_ONCE);
        assert_eq!(take_all(&bucket, 1_000_000), 0);
        let in_a_second: i64 = (1..=1000).map(|ms| take_all(&bucket, 1_000_000 + ms)).sum();
        assert_eq!(in_a_second, ANSWERS_PER_SECOND);
        assert_eq!(take_all(&bucket, 9_000_000), ANSWERS_AT_ONCE);
    }

    #[test]
    fn a_clock_set_back_does_not_silence_the_port() {
        let bucket = Bucket::default();
        assert_eq!(take_all(&bucket, 9_000_000), ANSWERS_AT_ONCE);
        assert_eq!(take_all(&bucket, 1_000_000), ANSWERS_AT_ONCE);
    }
}
