//! What a killed process cannot show: the store on a disk that forgets whatever was not synced.
//!
//! The disk keeps a log of writes, syncs and, from the test, acknowledgements. Cutting the power anywhere in that log
//! leaves everything before the last sync and any part of what was written after it.

use std::io;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use proptest::prelude::*;
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use redb::{Database, StorageBackend};

use crate::embedded::Embedded;
use crate::group::Backend;
use crate::ledger::Ledger;
use crate::{CommitError, Key, Options, Revision, Store, Txn};

#[derive(Clone, Debug)]
enum Step {
    Write(u64, Vec<u8>),
    Length(u64),
    Sync,
    Acknowledged(Revision),
}

#[derive(Clone, Debug, Default)]
struct Disk(Arc<Mutex<DiskState>>);

#[derive(Debug, Default)]
struct DiskState {
    image: Vec<u8>,
    log: Vec<Step>,
    next_sync: NextSync,
}

/// What becomes of syncs.
#[derive(Clone, Copy, Debug, Default)]
enum NextSync {
    #[default]
    Works,
    IsSlow,
    Fails,
    Panics,
}

impl Disk {
    fn with(image: Vec<u8>) -> Self {
        let disk = Self::default();
        disk.0.lock().unwrap().image = image;
        disk
    }

    /// Opens the store on this disk as [`Store::open`] does a file, and makes it if the disk is blank.
    fn store(&self) -> Store {
        let blank = self.0.lock().unwrap().image.is_empty();
        let embedded = Embedded::new(Database::builder().create_with_backend(self.clone()).unwrap(), None);
        if blank {
            embedded.initialise().unwrap();
        }
        let content = embedded.content().unwrap();
        let ledger = Ledger::new(content.revision, content.entries, Options::default());
        Store::new(ledger, Backend::Embedded(Box::new(embedded)))
    }

    fn note(&self, step: Step) {
        self.0.lock().unwrap().log.push(step);
    }

    fn log(&self) -> Vec<Step> {
        self.0.lock().unwrap().log.clone()
    }

    fn syncs(&self) -> usize {
        self.log().iter().filter(|step| matches!(step, Step::Sync)).count()
    }

    fn set(&self, next_sync: NextSync) {
        self.0.lock().unwrap().next_sync = next_sync;
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().unwrap().image.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let disk = self.0.lock().unwrap();
        let start = offset as usize;
        let bytes = disk.image.get(start..start + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(bytes);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut disk = self.0.lock().unwrap();
        apply(&mut disk.image, &Step::Length(len));
        disk.log.push(Step::Length(len));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let next_sync = self.0.lock().unwrap().next_sync;
        match next_sync {
            NextSync::Works => {}
            NextSync::IsSlow => thread::sleep(Duration::from_millis(4)),
            NextSync::Fails => return Err(io::ErrorKind::StorageFull.into()),
            NextSync::Panics => panic!("as told"),
        }
        self.note(Step::Sync);
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut disk = self.0.lock().unwrap();
        let step = Step::Write(offset, data.to_vec());
        apply(&mut disk.image, &step);
        disk.log.push(step);
        Ok(())
    }
}

fn apply(image: &mut Vec<u8>, step: &Step) {
    match step {
        Step::Write(offset, data) => {
            let end = *offset as usize + data.len();
            if image.len() < end {
                image.resize(end, 0);
            }
            image[*offset as usize..end].copy_from_slice(data);
        }
        Step::Length(len) => image.resize(*len as usize, 0),
        Step::Sync | Step::Acknowledged(_) => {}
    }
}

/// The disk after the power failed at the end of `log`: all that was synced, and of the rest what `kept` says.
fn after_power_loss(log: &[Step], mut kept: impl FnMut() -> bool) -> Vec<u8> {
    let synced = log.iter().rposition(|step| matches!(step, Step::Sync)).map_or(0, |at| at + 1);
    let mut image = Vec::new();
    log[..synced].iter().for_each(|step| apply(&mut image, step));
    log[synced..].iter().filter(|_| kept()).for_each(|step| apply(&mut image, step));
    image
}

/// Three keys with one value, which is the transaction's revision; four sets of keys take turns.
fn txn(revision: Revision) -> Txn {
    keys(revision).into_iter().fold(Txn::new(), |txn, key| txn.put(key, revision.to_be_bytes().repeat(40)))
}

fn keys(revision: Revision) -> [Key; 3] {
    ["a", "b", "c"].map(|name| Key::new(format!("/{}/{name}", revision % 4)).unwrap())
}

fn batch(store: &Store, size: u64) -> Vec<Result<Revision, CommitError>> {
    let next = store.revision() + 1;
    store.commit_batch((next..next + size).map(txn).collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn nothing_acknowledged_is_lost_when_the_power_fails(sizes in prop::collection::vec(1..6_u64, 1..12), seed: u64) {
        let disk = Disk::default();
        let store = disk.store();
        let made = disk.log().len();
        for size in sizes {
            for answer in batch(&store, size) {
                disk.note(Step::Acknowledged(answer.unwrap()));
            }
        }
        let log = disk.log();
        drop(store);
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        for _ in 0..20 {
            let cut = made + (rng.next_u64() % (log.len() - made + 1) as u64) as usize;
            let odds = rng.next_u64() % 4;
            let image = after_power_loss(&log[..cut], || rng.next_u64() % 3 < odds);
            let acknowledged = log[..cut].iter().rev().find_map(|step| match step {
                Step::Acknowledged(revision) => Some(*revision),
                _ => None,
            });
            let snapshot = Disk::with(image).store().snapshot("");
            prop_assert!(snapshot.revision >= acknowledged.unwrap_or(1), "{acknowledged:?}, then {}", snapshot.revision);
            let newest = snapshot.revision.saturating_sub(3).max(2)..=snapshot.revision;
            let expected: usize = newest.map(|revision| keys(revision).into_iter().filter(|key| {
                let entry = &snapshot.entries[key];
                entry.mod_revision == revision && entry.value == txn(revision).puts[0].1
            }).count()).sum();
            prop_assert_eq!(expected, snapshot.entries.len(), "only whole transactions");
        }
    }
}

#[test]
fn a_batch_costs_one_sync() {
    let disk = Disk::default();
    let store = disk.store();
    let mut costs = Vec::new();
    for size in [1, 64].repeat(20) {
        let before = disk.syncs();
        batch(&store, size).into_iter().for_each(|answer| assert!(answer.is_ok()));
        costs.push(disk.syncs() - before);
    }
    // redb may give space back to the file system, which takes a sync of its own now and then.
    assert!(costs.iter().filter(|cost| **cost == 1).count() >= 36 && costs.iter().all(|cost| *cost <= 2), "{costs:?}");
    let before = disk.syncs();
    store.commit(Txn::new().base(store.revision())).unwrap();
    assert!(store.commit(Txn::new().base(0)).is_err());
    assert_eq!(disk.syncs(), before, "what changes nothing costs nothing");
}

#[test]
fn a_write_error_stops_the_store_and_shows_nothing() {
    let disk = Disk::default();
    let store = disk.store();
    batch(&store, 3).into_iter().for_each(|answer| assert!(answer.is_ok()));
    let before = store.snapshot("");
    let mut watcher = store.watch("", before.revision + 1).unwrap();
    disk.set(NextSync::Fails);

    let refused = Txn::new().base(0);
    let answers = store.commit_batch(vec![txn(before.revision + 1), refused, txn(before.revision + 2)]);
    assert!(matches!(&answers[0], Err(CommitError::Io(e)) if e.kind() == io::ErrorKind::StorageFull), "{answers:?}");
    assert!(matches!(&answers[1], Err(CommitError::Conflict { .. })), "{answers:?}");
    assert!(matches!(&answers[2], Err(CommitError::Io(_))), "{answers:?}");

    disk.set(NextSync::Works);
    assert!(matches!(store.commit(txn(9)), Err(CommitError::Stopped(_))), "a later sync proves nothing");
    assert_eq!(store.snapshot(""), before, "readers go on with what was acknowledged");
    assert_eq!(watcher.try_next().unwrap(), None);
    drop(store);

    let image = disk.0.lock().unwrap().image.clone();
    let store = Disk::with(image).store();
    assert!(store.revision() == before.revision || store.revision() == before.revision + 2, "all of it or none");
    batch(&store, 1).into_iter().for_each(|answer| assert!(answer.is_ok()));
}

#[test]
fn committers_that_wait_share_a_sync() {
    let disk = Disk::default();
    let store = disk.store();
    disk.set(NextSync::IsSlow);
    let before = disk.syncs();
    thread::scope(|scope| {
        for t in 0..8 {
            let store = &store;
            scope.spawn(move || {
                for n in 0..10 {
                    store.commit(Txn::new().put(Key::new(format!("{t}-{n}")).unwrap(), vec![])).unwrap();
                }
            });
        }
    });
    let syncs = disk.syncs() - before;
    assert!(syncs <= 50, "80 transactions of 8 threads took {syncs} syncs");
}

#[test]
fn a_panic_below_stops_the_store() {
    let disk = Disk::default();
    let store = disk.store();
    let revision = store.revision();
    disk.set(NextSync::Panics);
    let answer = store.commit(txn(2));
    assert!(matches!(answer, Err(CommitError::Io(_))), "{answer:?}");
    disk.set(NextSync::Works);
    let answer = store.commit(txn(2));
    assert!(matches!(answer, Err(CommitError::Stopped(_))), "{answer:?}");
    assert_eq!(store.revision(), revision);
}

#[test]
fn a_panic_below_leaves_no_one_waiting() {
    let disk = Disk::default();
    let store = disk.store();
    disk.set(NextSync::Panics);
    thread::scope(|scope| {
        let commit = || store.commit(Txn::new().put(Key::new("a").unwrap(), vec![]));
        let committers: Vec<_> = (0..4).map(|_| scope.spawn(commit)).collect();
        assert!(committers.into_iter().all(|committer| committer.join().unwrap().is_err()));
    });
}
