//! Processors: which ones a thread may use, and how much of them a process has used.

use std::io;
use std::time::Duration;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The processors that the calling thread may run on, in rising order.
///
/// # Errors
/// The kernel's.
pub fn allowed() -> io::Result<Vec<usize>> {
    let set = sched_getaffinity(None)?;
    Ok((0..CpuSet::MAX_CPU).filter(|&cpu| set.is_set(cpu)).collect())
}

/// Binds the calling thread to one processor.
///
/// # Errors
/// `InvalidInput` when there is no such processor or this process may not use it.
pub fn pin_thread(cpu: usize) -> io::Result<()> {
    if cpu >= CpuSet::MAX_CPU {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("there is no processor {cpu}")));
    }
    let mut set = CpuSet::new();
    set.set(cpu);
    Ok(sched_setaffinity(None, &set)?)
}

/// The processor time, in user and kernel mode, that all threads of a process have used so far (`/proc/PID/stat`; it
/// counts clock ticks, normally hundredths of a second).
///
/// # Errors
/// `NotFound` when there is no such process.
pub fn time(pid: u32) -> io::Result<Duration> {
    let stat = crate::process::Stat::of(pid)?;
    let ticks = stat.user_ticks.saturating_add(stat.system_ticks);
    let hertz = rustix::param::clock_ticks_per_second().max(1);
    let nanos = u128::from(ticks) * 1_000_000_000 / u128::from(hertz);
    Ok(Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_can_be_pinned_to_an_allowed_processor() -> io::Result<()> {
        let last = *allowed()?.last().expect("a thread runs somewhere");
        std::thread::spawn(move || {
            pin_thread(last)?;
            assert_eq!(allowed()?, [last]);
            Ok(())
        })
        .join()
        .expect("the thread ends well")
    }

    #[test]
    fn a_processor_that_is_not_there_is_refused() {
        assert_eq!(pin_thread(usize::MAX).map_err(|e| e.kind()), Err(io::ErrorKind::InvalidInput));
    }

    #[test]
    fn processor_time_grows() -> io::Result<()> {
        let own = std::process::id();
        let before = time(own)?;
        let start = std::time::Instant::now();
        while time(own)? <= before {
            assert!(start.elapsed() < Duration::from_secs(10), "busy for 10 s and no time was counted");
        }
        Ok(())
    }
}
