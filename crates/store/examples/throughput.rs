//! How many transactions per second does the disk under a directory acknowledge?
//!
//! `cargo run --release -p store --example throughput -- [DIR]`: one after the other with the time that each takes, then
//! alone, in batches, and from many threads at once, each for two seconds on a new store in a temporary directory below
//! DIR (default: the current directory), removed at the end.

use std::env;
use std::error::Error;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use store::{Key, Store, Txn};

const TIME: Duration = Duration::from_secs(2);
/// Single transactions whose time is taken: enough for a few checkpoints.
const SINGLE: u64 = 20_000;
/// About a VPC peering connection as JSON.
const VALUE_BYTES: usize = 600;
/// The keys in use, taken in turn.
const RECORDS: u64 = 10_000;

fn main() -> Result<(), Box<dyn Error>> {
    let parent = env::args_os().nth(1).unwrap_or_else(|| ".".into());
    latency(Path::new(&parent))?;
    for (threads, batch) in [(1, 1), (1, 8), (1, 64), (1, 256), (8, 1), (64, 1)] {
        let dir = tempfile::tempdir_in(&parent)?;
        let store = Store::open(dir.path())?;
        let revision = store.revision();
        let start = Instant::now();
        thread::scope(|scope| {
            let store = &store;
            let writers: Vec<_> = (0..threads).map(|t| scope.spawn(move || write(store, t, batch))).collect();
            writers.into_iter().try_for_each(|writer| writer.join().map_err(|_| "a writer panicked")?)
        })?;
        let per_second = (store.revision() - revision) as f64 / start.elapsed().as_secs_f64();
        println!("{threads:>3} threads, batches of {batch:>3}: {per_second:>8.0} transactions/s");
    }
    Ok(())
}

/// Prints how long a single transaction takes, first for those at the beginning, then for all.
fn latency(parent: &Path) -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir_in(parent)?;
    let store = Store::open(dir.path())?;
    let mut times = Vec::new();
    for n in 0..SINGLE {
        let txn = txn(n)?;
        let start = Instant::now();
        store.commit(txn)?;
        times.push(start.elapsed());
    }
    for count in [2000, times.len()] {
        let mut sorted = times[..count].to_vec();
        sorted.sort();
        let at = |permille: usize| sorted[(count - 1) * permille / 1000].as_secs_f64() * 1e3;
        let [p50, p99, p999, max] = [500, 990, 999, 1000].map(at);
        println!("{count} single: p50 {p50:.3} ms, p99 {p99:.3} ms, p99.9 {p999:.3} ms, max {max:.3} ms");
    }
    Ok(())
}

fn write(store: &Store, thread: u64, batch: u64) -> Result<(), &'static str> {
    let start = Instant::now();
    let mut n = thread * 1000;
    while start.elapsed() < TIME {
        let txns = (n..n + batch).map(txn).collect::<Result<Vec<_>, _>>().map_err(|_| "a key is too long")?;
        if store.commit_batch(txns).iter().any(Result::is_err) {
            return Err("a transaction was refused");
        }
        n += batch;
    }
    Ok(())
}

/// Writes one record, as most API calls do.
fn txn(n: u64) -> Result<Txn, store::KeyError> {
    let key = Key::new(format!("/us-east-1/vpc-peering-connection/pcx-{:017x}", n % RECORDS))?;
    Ok(Txn::new().put(key, vec![b'x'; VALUE_BYTES]))
}
