//! Processor time of this thread.

use rustix::time::{ClockId, clock_gettime};

/// How many nanoseconds `work` takes.
pub fn nanoseconds<T>(work: impl FnOnce() -> T) -> f64 {
    let before = now();
    std::hint::black_box(work());
    now() - before
}

/// How many nanoseconds each of `count` calls takes.
pub fn each<T>(count: usize, mut work: impl FnMut(usize) -> T) -> f64 {
    let all = nanoseconds(|| {
        for n in 0..count {
            std::hint::black_box(work(n));
        }
    });
    all / count as f64
}

fn now() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}
