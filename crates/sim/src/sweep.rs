//! Many seeds, on all cores.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::compare::{self, Mismatch, Options, Summary};
use crate::reference::Outcome;

/// What many runs came to.
#[derive(Clone, Debug, Default)]
pub struct Sweep {
    pub summary: Summary,
    /// By what the reference and the data plane said: how often, and the one of the lowest seed.
    pub mismatches: BTreeMap<(String, String), (u64, u64, Box<Mismatch>)>,
}

impl Sweep {
    pub fn mismatches(&self) -> u64 {
        self.mismatches.values().map(|(count, ..)| count).sum()
    }

    fn add(&mut self, seed: u64, result: Result<Summary, Box<Mismatch>>) {
        match result {
            Ok(summary) => self.summary.add(&summary),
            Err(mismatch) => {
                let kind = (name(mismatch.expected), name(mismatch.got));
                let entry = self.mismatches.entry(kind).or_insert_with(|| (0, seed, mismatch.clone()));
                entry.0 += 1;
                if seed < entry.1 {
                    (entry.1, entry.2) = (seed, mismatch);
                }
            }
        }
    }
}

/// Runs so many seeds from the first, each with options of its own that must change nothing. `progress` hears how many are done.
pub fn sweep(first_seed: u64, seeds: u64, progress: impl Fn(u64) + Sync) -> Sweep {
    let (next, sweep) = (AtomicU64::new(0), Mutex::new(Sweep::default()));
    let work = || loop {
        let at = next.fetch_add(1, Ordering::Relaxed);
        if at >= seeds {
            return;
        }
        let seed = first_seed.wrapping_add(at);
        let result = compare::run(seed, options_of(seed));
        let mut sweep = sweep.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        sweep.add(seed, result);
        progress(at + 1);
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    sweep.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn options_of(seed: u64) -> Options {
    Options {
        drops_cache: seed.is_multiple_of(2),
        cache_lines: if seed.is_multiple_of(7) { 0 } else { 256 },
        secret: seed,
        // Two worlds of three are on one host, the third on two or three.
        hosts: [1, 2, 1, 1, 3, 1][(seed % 6) as usize],
        ..Options::default()
    }
}

fn name(outcome: Outcome) -> String {
    match outcome {
        Outcome::Delivered(_) => "delivers".into(),
        Outcome::Denied(reason) => reason.into(),
    }
}
