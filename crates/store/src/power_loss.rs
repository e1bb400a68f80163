//! What a killed process cannot show: the store on a disk that forgets whatever was not synced.

mod disk;

use std::io;
use std::thread;

use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use crate::frame::{BLOCK_BYTES, HEADER_BYTES};
use crate::{CommitError, Key, Revision, Store, Txn};
use disk::{Disk, Images, JOURNALS, NextSync, Step, TABLES, after_power_loss};

/// Journals with room for two records of the tests below, so that they are taken over all the time.
const SMALL: u64 = (HEADER_BYTES + 6 * BLOCK_BYTES) as u64;

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

/// Commits groups of these sizes and notes in the disk's log what is known about them.
fn commit_all(disk: &Disk, store: &Store, sizes: &[u64]) {
    for size in sizes {
        disk.note(Step::Begun(store.revision() + size));
        let last = batch(store, *size).into_iter().map(Result::unwrap).last();
        disk.note(Step::Acknowledged(last.unwrap()));
    }
}

/// The store on these images holds what was acknowledged in the log, or that and all of the group in flight.
fn holds_what_it_should(images: Images, log: &[Step], at_first: Revision) -> Result<Revision, TestCaseError> {
    let store = Disk::with(images).open(SMALL).map_err(|error| TestCaseError::fail(format!("{error:?}")))?;
    let last = |pick: fn(&Step) -> Option<Revision>| log.iter().rev().find_map(pick).unwrap_or(at_first);
    let acknowledged = last(|step| if let Step::Acknowledged(revision) = step { Some(*revision) } else { None });
    let begun = last(|step| if let Step::Begun(revision) = step { Some(*revision) } else { None });
    let found = store.revision();
    prop_assert!(found == acknowledged || found == begun, "{found}, not {acknowledged} or {begun}");
    is_whole(&store)?;
    Ok(found)
}

/// Exactly the transactions up to its revision, each of them whole.
fn is_whole(store: &Store) -> TestCaseResult {
    let snapshot = store.snapshot("");
    let newest = snapshot.revision.saturating_sub(3).max(2)..=snapshot.revision;
    let is_there = |key: &Key, revision| {
        let entry = &snapshot.entries[key];
        entry.mod_revision == revision && entry.value == txn(revision).puts[0].1
    };
    let expected: usize = newest.map(|r| keys(r).iter().filter(|key| is_there(key, r)).count()).sum();
    prop_assert_eq!(expected, snapshot.entries.len(), "only whole transactions");
    Ok(())
}

/// Where the power can fail: after the tables of a new store have their name.
fn cuts(log: &[Step]) -> std::ops::RangeInclusive<usize> {
    log.iter().position(|step| matches!(step, Step::Made)).map_or(0, |at| at + 1)..=log.len()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Again and again: each life goes on from what the one before left.
    #[test]
    fn nothing_acknowledged_is_lost_when_the_power_fails(
        lives in prop::collection::vec((prop::collection::vec(1..6_u64, 1..16), 0..9000_u64, any::<bool>()), 1..8),
        seed: u64,
    ) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let (mut images, mut revision) = (Images::default(), 1);
        for (sizes, room, is_closed) in lives {
            let disk = Disk::with(images);
            let store = disk.open(HEADER_BYTES as u64 + room).unwrap();
            prop_assert_eq!(store.revision(), revision);
            commit_all(&disk, &store, &sizes);
            // With the last checkpoint in the log, or without it.
            let busy = disk.log();
            drop(store);
            let log = if is_closed { disk.log() } else { busy };
            let cut = |rng: &mut ChaCha8Rng| {
                let cuts = cuts(&log);
                let end = cuts.start() + (rng.next_u64() % (cuts.end() - cuts.start() + 1) as u64) as usize;
                let odds = rng.next_u64() % 4;
                (after_power_loss(disk.base(), &log[..end], || rng.next_u64() % 3 < odds), end)
            };
            for _ in 0..8 {
                let (images, end) = cut(&mut rng);
                holds_what_it_should(images, &log[..end], revision)?;
            }
            let (next, end) = cut(&mut rng);
            revision = holds_what_it_should(next.clone(), &log[..end], revision)?;
            images = next;
        }
    }
}

#[test]
fn the_power_may_fail_at_every_single_write() {
    let disk = Disk::default();
    let store = disk.open(SMALL).unwrap();
    commit_all(&disk, &store, &[1, 1, 2, 1, 5, 1, 1, 3, 1, 1, 1, 1, 2]);
    drop(store);
    assert!(disk.syncs(TABLES) > 6, "several checkpoints");
    let log = disk.log();
    for cut in cuts(&log) {
        // Nothing of what was not synced, all of it, and each part of it from the front.
        for kept in [0, usize::MAX, 1, 2, 3, 5] {
            let mut left = kept;
            let images = after_power_loss(disk.base(), &log[..cut], || {
                let is_kept = left > 0;
                left = left.saturating_sub(1);
                is_kept
            });
            holds_what_it_should(images, &log[..cut], 1).unwrap_or_else(|e| panic!("step {cut}, {kept} kept: {e}"));
        }
    }
}

#[test]
fn a_batch_costs_one_sync() {
    let disk = Disk::default();
    let store = disk.store();
    for size in [1, 64].repeat(20) {
        let before = disk.syncs(&[0, 1, 2]);
        batch(&store, size).into_iter().for_each(|answer| assert!(answer.is_ok()));
        assert_eq!(disk.syncs(&[0, 1, 2]) - before, 1);
    }
    let before = disk.syncs(&[0, 1, 2]);
    store.commit(Txn::new().base(store.revision())).unwrap();
    assert!(store.commit(Txn::new().base(0)).is_err());
    assert_eq!(disk.syncs(&[0, 1, 2]), before, "what changes nothing costs nothing");
}

#[test]
fn writing_goes_on_during_a_checkpoint() {
    let disk = Disk::default();
    let store = disk.open(SMALL).unwrap();
    let before = disk.syncs(TABLES);
    disk.set(TABLES, NextSync::Waits);
    // Two fill a journal.
    for _ in 0..4 {
        batch(&store, 1).into_iter().for_each(|answer| assert!(answer.is_ok()));
    }
    assert_eq!(disk.syncs(TABLES), before, "the checkpoint is under way");
    thread::scope(|scope| {
        let third = scope.spawn(|| batch(&store, 1).pop().unwrap().is_ok());
        disk.set(TABLES, NextSync::Works);
        assert!(third.join().unwrap(), "it waited for a free journal");
    });
    assert!(disk.syncs(TABLES) > before);
    commit_all(&disk, &store, &[1; 20]);
    drop(store);
    is_whole(&Disk::with(disk.images()).store()).unwrap();
}

#[test]
fn a_group_larger_than_a_journal_fits_and_its_room_is_given_back() {
    let disk = Disk::default();
    let store = disk.open(SMALL).unwrap();
    let large = |byte| Txn::new().put(Key::new("large").unwrap(), vec![byte; 100_000]);
    for byte in 0..5 {
        store.commit(large(byte)).unwrap();
    }
    let image = disk.images();
    assert_eq!(Disk::with(image).store().snapshot("").entries.len(), 1);
    drop(store);
    let sizes = disk.images().map(|image| image.len() as u64);
    assert!(sizes[0] <= SMALL && sizes[1] <= SMALL, "{sizes:?}");
}

#[test]
fn a_failed_checkpoint_stops_the_store_and_loses_nothing() {
    for fault in [NextSync::Fails, NextSync::Panics] {
        let disk = Disk::default();
        let store = disk.open(SMALL).unwrap();
        disk.set(TABLES, fault);
        let answers: Vec<_> = (0..10).map(|_| batch(&store, 1).pop().unwrap()).collect();
        let acknowledged = answers.iter().take_while(|answer| answer.is_ok()).count();
        assert!((2..=4).contains(&acknowledged), "{answers:?}");
        assert!(matches!(answers[acknowledged], Err(CommitError::Io(_))), "{answers:?}");
        assert!(matches!(answers[9], Err(CommitError::Stopped(_))), "{answers:?}");
        let revision = store.revision();
        drop(store);
        let store = Disk::with(disk.images()).store();
        assert_eq!(store.revision(), revision);
        is_whole(&store).unwrap();
    }
}

#[test]
fn a_write_error_stops_the_store_and_shows_nothing() {
    let disk = Disk::default();
    let store = disk.store();
    batch(&store, 3).into_iter().for_each(|answer| assert!(answer.is_ok()));
    let before = store.snapshot("");
    let mut watcher = store.watch("", before.revision + 1).unwrap();
    disk.set(JOURNALS, NextSync::Fails);

    let refused = Txn::new().base(0);
    let answers = store.commit_batch(vec![txn(before.revision + 1), refused, txn(before.revision + 2)]);
    assert!(matches!(&answers[0], Err(CommitError::Io(e)) if e.kind() == io::ErrorKind::StorageFull), "{answers:?}");
    assert!(matches!(&answers[1], Err(CommitError::Conflict { .. })), "{answers:?}");
    assert!(matches!(&answers[2], Err(CommitError::Io(_))), "{answers:?}");

    disk.set(JOURNALS, NextSync::Works);
    assert!(matches!(store.commit(txn(9)), Err(CommitError::Stopped(_))), "a later sync proves nothing");
    assert_eq!(store.snapshot(""), before, "readers go on with what was acknowledged");
    assert_eq!(watcher.try_next().unwrap(), None);
    drop(store);

    let store = Disk::with(disk.images()).store();
    assert!(store.revision() == before.revision || store.revision() == before.revision + 2, "all of it or none");
    batch(&store, 1).into_iter().for_each(|answer| assert!(answer.is_ok()));
}

#[test]
fn committers_that_wait_share_a_sync() {
    let disk = Disk::default();
    let store = disk.store();
    disk.set(JOURNALS, NextSync::IsSlow);
    let before = disk.syncs(JOURNALS);
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
    let syncs = disk.syncs(JOURNALS) - before;
    assert!(syncs <= 50, "80 transactions of 8 threads took {syncs} syncs");
}

#[test]
fn a_panic_below_stops_the_store() {
    let disk = Disk::default();
    let store = disk.store();
    let revision = store.revision();
    disk.set(JOURNALS, NextSync::Panics);
    let answer = store.commit(txn(2));
    assert!(matches!(answer, Err(CommitError::Io(_))), "{answer:?}");
    disk.set(JOURNALS, NextSync::Works);
    let answer = store.commit(txn(2));
    assert!(matches!(answer, Err(CommitError::Stopped(_))), "{answer:?}");
    assert_eq!(store.revision(), revision);
}

#[test]
fn a_panic_below_leaves_no_one_waiting() {
    let disk = Disk::default();
    let store = disk.store();
    disk.set(JOURNALS, NextSync::Panics);
    thread::scope(|scope| {
        let commit = || store.commit(Txn::new().put(Key::new("a").unwrap(), vec![]));
        let committers: Vec<_> = (0..4).map(|_| scope.spawn(commit)).collect();
        assert!(committers.into_iter().all(|committer| committer.join().unwrap().is_err()));
    });
}
