//! Opening a data directory: what is made, what is kept, and a name for everything that is wrong with it.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use redb::{Database, ReadableTable, TableDefinition};
use store::{CommitError, Key, OpenError, Options, Snapshot, Store, Txn, WatchError};

const META: TableDefinition<'_, &str, u64> = TableDefinition::new("peerway.meta");
const RECORDS: TableDefinition<'_, &str, (u64, u64, u64, &[u8])> = TableDefinition::new("peerway.records");

fn key(key: &str) -> Key {
    Key::new(key).unwrap()
}

type Tamper = Box<dyn FnOnce(&redb::WriteTransaction)>;

/// Writes a small store and returns what it holds.
fn filled(dir: &Path) -> Snapshot {
    let store = Store::open(dir).unwrap();
    for n in 0..50 {
        store.commit(Txn::new().put(key(&format!("k{}", n % 20)), vec![n; 200])).unwrap();
    }
    store.snapshot("")
}

/// Changes the file behind the store's back.
fn tamper(dir: &Path, change: impl FnOnce(&redb::WriteTransaction)) {
    let database = Database::create(dir.join("store.redb")).unwrap();
    let transaction = database.begin_write().unwrap();
    change(&transaction);
    transaction.commit().unwrap();
}

fn refusal(dir: &Path) -> OpenError {
    let error = Store::open(dir).expect_err("this directory must be refused");
    assert!(error.to_string().contains(&*dir.to_string_lossy()), "the path is named: {error}");
    error
}

#[test]
fn what_was_acknowledged_is_there_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let before = filled(dir.path());
    let store = Store::open(dir.path()).unwrap();
    assert_eq!(store.snapshot(""), before);
    let compacted = before.revision;
    assert_eq!(store.watch("", compacted).unwrap_err(), WatchError::Compacted { from: compacted, compacted });
    let mut watcher = store.watch("", compacted + 1).unwrap();
    assert_eq!(store.commit(Txn::new().delete(key("k0"))).unwrap(), compacted + 1);
    assert_eq!(watcher.try_next().unwrap().unwrap().revision, compacted + 1);
}

#[test]
fn a_store_beyond_a_lowered_quota_can_still_shrink() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path());
    let store = Store::open_with(dir.path(), Options { store_bytes_max: 100, ..Options::default() }).unwrap();
    assert!(matches!(store.commit(Txn::new().put(key("new"), vec![])), Err(CommitError::Limit(_))));
    store.commit(Txn::new().delete(key("k0")).put(key("k1"), vec![1; 200])).unwrap();
    store.commit(Txn::new().put(key("k1"), vec![1; 199])).unwrap();
}

#[test]
fn directories_and_files_are_private() {
    let dir = tempfile::tempdir().unwrap();
    let inner = dir.path().join("state/region");
    drop(Store::open(&inner).unwrap());
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&inner), mode(&dir.path().join("state"))), (0o700, 0o700));
    for name in ["store.redb", "lock", "journal.0", "journal.1"] {
        assert_eq!(mode(&inner.join(name)), 0o600, "{name}");
    }
    let mut names: Vec<_> = fs::read_dir(&inner).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["journal.0", "journal.1", "lock", "store.redb"]);
}

#[test]
fn a_second_opener_is_refused_until_the_last_handle_is_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let watcher = store.watch("", 1).unwrap();
    let handle = store.clone();
    drop(store);
    let error = refusal(dir.path());
    let own = std::process::id();
    assert!(matches!(&error, OpenError::Locked { pid: Some(pid), .. } if *pid == own), "{error:?}");
    assert!(error.to_string().contains(&format!("in use by process {own}; stop that process or")), "{error}");
    drop(handle);
    Store::open(dir.path()).expect("a watcher does not hold the directory");
    drop(watcher);
}

#[test]
fn a_file_that_is_no_store_is_refused() {
    for content in ["", "re", "redis, not redb", "{\"vpcs\":[]}"] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store.redb");
        fs::write(&path, content).unwrap();
        let error = refusal(dir.path());
        assert!(matches!(error, OpenError::Foreign { .. }), "{content:?}: {error:?}");
        assert_eq!(fs::read_to_string(&path).unwrap(), content, "and left alone");
    }
}

#[test]
fn a_database_of_another_program_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    tamper(dir.path(), |transaction| {
        let table = TableDefinition::<&str, u64>::new("users");
        transaction.open_table(table).unwrap().insert("root", 0).unwrap();
    });
    let error = refusal(dir.path());
    assert!(matches!(error, OpenError::Foreign { .. }), "{error:?}");
    assert!(error.to_string().contains("it has no table `peerway.meta`"), "{error}");
}

#[test]
fn a_newer_schema_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path());
    tamper(dir.path(), |transaction| drop(transaction.open_table(META).unwrap().insert("schema", 3).unwrap()));
    let error = refusal(dir.path());
    assert!(matches!(error, OpenError::NewerSchema { found: 3, known: 2, .. }), "{error:?}");
    assert!(
        error
            .to_string()
            .ends_with("has schema version 3, this program knows versions up to 2; start the newer program")
    );
}

#[test]
fn records_that_make_no_sense_are_refused() {
    let meta = |name: &'static str, number| {
        move |t: &redb::WriteTransaction| drop(t.open_table(META).unwrap().insert(name, number).unwrap())
    };
    let record = |name: &'static str, numbers: (u64, u64, u64)| {
        let record = (numbers.0, numbers.1, numbers.2, &b"v"[..]);
        move |t: &redb::WriteTransaction| drop(t.open_table(RECORDS).unwrap().insert(name, record).unwrap())
    };
    let tampers: Vec<Tamper> = vec![
        Box::new(|t| drop(t.open_table(META).unwrap().remove("revision").unwrap())),
        Box::new(|t| drop(t.open_table(META).unwrap().remove("schema").unwrap())),
        Box::new(|t| assert!(t.delete_table(RECORDS).unwrap())),
        Box::new(meta("schema", 0)),
        Box::new(meta("revision", 0)),
        Box::new(meta("revision", u64::MAX)),
        Box::new(meta("revision", 40)),
        Box::new(meta("journal.salt", 7)),
        Box::new(meta("journal.generation", u64::MAX)),
        Box::new(|t| drop(t.open_table(META).unwrap().remove("journal.salt").unwrap())),
        Box::new(|t| drop(t.open_table(META).unwrap().remove("journal.generation").unwrap())),
        Box::new(record("", (2, 2, 1))),
        Box::new(record("late", (2, 52, 1))),
        Box::new(record("never", (2, 2, 0))),
        Box::new(record("often", (2, 2, 3))),
        Box::new(record("first", (1, 2, 1))),
        Box::new(record("before", (3, 2, 1))),
        Box::new(|t| {
            t.delete_table(RECORDS).unwrap();
            t.open_table(TableDefinition::<u64, u64>::new("peerway.records")).unwrap();
        }),
    ];
    for (n, change) in tampers.into_iter().enumerate() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(filled(dir.path()).revision, 51);
        tamper(dir.path(), change);
        let error = refusal(dir.path());
        assert!(matches!(error, OpenError::Corrupt { .. }), "{n}: {error:?}");
    }
}

#[test]
fn what_the_system_refuses_is_passed_on() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    for path in [file.clone(), file.join("below")] {
        let error = refusal(&path);
        assert!(matches!(error, OpenError::Io { action: "create directory", .. }), "{error:?}");
        assert!(error.source().is_some());
    }
    let taken = dir.path().join("taken");
    fs::create_dir_all(taken.join("store.redb")).unwrap();
    assert!(matches!(refusal(&taken), OpenError::Io { .. }));
    let unlockable = dir.path().join("unlockable");
    fs::create_dir_all(unlockable.join("lock")).unwrap();
    assert!(matches!(refusal(&unlockable), OpenError::Io { action: "lock", .. }));
}

#[test]
fn an_interrupted_creation_is_begun_again() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("store.redb.new"), vec![0x5a; 100_000]).unwrap();
    let before = filled(dir.path());
    assert_eq!(Store::open(dir.path()).unwrap().snapshot(""), before);
    assert!(!dir.path().join("store.redb.new").exists());
}

#[test]
fn a_lock_file_with_anything_in_it_is_only_a_lock_file() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("lock"), vec![0xff; 10_000]).unwrap();
    let _store = Store::open(dir.path()).unwrap();
    assert!(matches!(refusal(dir.path()), OpenError::Locked { pid: Some(_), .. }));
    fs::write(dir.path().join("lock"), "not a number").unwrap();
    assert!(matches!(refusal(dir.path()), OpenError::Locked { pid: None, .. }));
}

/// The files of a directory that hold its content.
const CONTENT: [&str; 3] = ["store.redb", "journal.0", "journal.1"];

type Files = BTreeMap<&'static str, Vec<u8>>;

fn files(dir: &Path) -> Files {
    CONTENT.map(|name| (name, fs::read(dir.join(name)).unwrap())).into()
}

fn restored(files: &Files) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    files.iter().for_each(|(name, bytes)| fs::write(dir.path().join(name), bytes).unwrap());
    dir
}

/// What a killed process leaves: a commit in the tables, then `in_journal` commits that are only in the journal.
fn killed(in_journal: u8) -> (Files, Vec<Snapshot>) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    store.commit(Txn::new().put(key("first"), vec![1; 90])).unwrap();
    drop(store);
    let store = Store::open(dir.path()).unwrap();
    let mut snapshots = vec![store.snapshot("")];
    for n in 0..in_journal {
        store.commit(Txn::new().put(key(&format!("k{}", n % 3)), vec![n; 90]).delete(key("first"))).unwrap();
        snapshots.push(store.snapshot(""));
    }
    (files(dir.path()), snapshots)
}

#[test]
fn a_killed_process_leaves_its_commits_in_the_journal() {
    let (files, snapshots) = killed(5);
    let dir = restored(&files);
    for _ in 0..3 {
        assert_eq!(Store::open(dir.path()).unwrap().snapshot(""), snapshots[5]);
    }
}

/// As it was before there was a journal.
fn make_schema_1(dir: &Path) {
    tamper(dir, |transaction| {
        let mut meta = transaction.open_table(META).unwrap();
        meta.insert("schema", 1).unwrap();
        meta.remove("journal.salt").unwrap().unwrap();
        meta.remove("journal.generation").unwrap().unwrap();
    });
    ["journal.0", "journal.1"].iter().for_each(|name| fs::remove_file(dir.join(name)).unwrap());
}

#[test]
fn schema_1_becomes_schema_2_and_gets_a_journal() {
    let dir = tempfile::tempdir().unwrap();
    let before = filled(dir.path());
    make_schema_1(dir.path());
    // What a migration that was interrupted left.
    fs::write(dir.path().join("journal.0"), "half a header").unwrap();
    let store = Store::open(dir.path()).unwrap();
    assert_eq!(store.snapshot(""), before);
    store.commit(Txn::new().put(key("k0"), vec![9])).unwrap();
    let after = store.snapshot("");
    let left = restored(&files(dir.path()));
    drop(store);
    for dir in [left.path(), dir.path()] {
        assert_eq!(Store::open(dir).unwrap().snapshot(""), after);
        tamper(dir, |t| assert_eq!(t.open_table(META).unwrap().get("schema").unwrap().unwrap().value(), 2));
    }
}

#[test]
fn files_that_do_not_belong_together_are_refused() {
    let (before, _) = killed(2);
    let dir = restored(&before);
    filled(dir.path());
    let (later, (foreign, _)) = (files(dir.path()), killed(2));
    let journals = ["journal.0", "journal.1"];
    let mixed = |base: &Files, names: &[&'static str], from: &Files| {
        let mut files = base.clone();
        files.extend(names.iter().map(|name| (*name, from[name].clone())));
        files
    };
    let without = |base: &Files, name| base.clone().into_iter().filter(|(n, _)| *n != name).collect::<Files>();
    let swapped: Files = [("store.redb", "store.redb"), ("journal.0", "journal.1"), ("journal.1", "journal.0")]
        .map(|(name, from)| (name, before[from].clone()))
        .into();
    let cases = [
        (without(&before, "journal.0"), "journal.0", "it is gone"),
        (without(&before, "journal.1"), "journal.1", "it is gone"),
        (without(&before, "store.redb"), "store.redb", "it is gone, and its `journal.0` is still there"),
        (mixed(&before, &journals, &foreign), "journal.", "it is the journal of another store"),
        (mixed(&before, &["store.redb"], &foreign), "journal.", "it is the journal of another store"),
        (swapped, "journal.", "it is the journal of another store"),
        (mixed(&later, &["store.redb"], &before), "journal.", "is newer than the rest of the store"),
    ];
    for (files, name, detail) in cases {
        let error = refusal(restored(&files).path());
        let OpenError::Corrupt { path, detail: found } = &error else { panic!("{error:?}") };
        assert!(path.to_string_lossy().contains(name) && found.contains(detail), "{name}, {detail}: {error}");
    }
}

/// Opens a copy of a store whose bytes were changed: it must be refused by name, or hold exactly one of `states`.
fn opens_whole_or_not_at_all(files: &Files, states: &[Snapshot], what: &str) -> bool {
    let dir = restored(files);
    match Store::open(dir.path()) {
        Ok(store) => {
            assert!(states.contains(&store.snapshot("")), "{what}");
            false
        }
        Err(error) => {
            let named = matches!(error, OpenError::Corrupt { .. } | OpenError::Foreign { .. });
            assert!(named && !error.to_string().contains("panicked"), "{what}: {error:?}");
            true
        }
    }
}

#[test]
fn a_truncated_file_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let before = [filled(dir.path())];
    let whole = files(dir.path());
    for part in 0..64 {
        let mut files = whole.clone();
        let bytes = files.get_mut("store.redb").unwrap();
        let len = bytes.len() * part / 64;
        bytes.truncate(len);
        assert!(opens_whole_or_not_at_all(&files, &before, &format!("{len} bytes")), "{len} bytes");
    }
}

#[test]
fn damaged_bytes_are_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let before = [filled(dir.path())];
    let whole = files(dir.path());
    assert!(!opens_whole_or_not_at_all(&whole, &before, "undamaged"));
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let mut below = |n: usize| (rng.next_u64() % n as u64) as usize;
    let mut refused = 0;
    for round in 0..400 {
        let mut files = whole.clone();
        let bytes = files.get_mut("store.redb").unwrap();
        // Half of the damage goes to the header and the first pages, the rest anywhere.
        let at = if round % 2 == 0 { below(bytes.len().min(64 * 1024)) } else { below(bytes.len()) };
        let end = (at + 1 + below(16)).min(bytes.len());
        bytes[at..end].iter_mut().for_each(|byte| *byte ^= 1 + below(255) as u8);
        refused += usize::from(opens_whole_or_not_at_all(&files, &before, &format!("round {round}, at {at}")));
    }
    assert!(refused > 20, "damage in pages that are in use is noticed, but only {refused} of 400 were");
}

#[test]
fn a_damaged_journal_is_refused_unless_only_its_end_is() {
    let (whole, snapshots) = killed(6);
    let in_use = |bytes: &Vec<u8>| bytes.iter().rposition(|byte| *byte != 0).unwrap();
    let name = ["journal.0", "journal.1"].into_iter().max_by_key(|name| in_use(&whole[name])).unwrap();
    let end = in_use(&whole[name]);
    let last = snapshots.len() - 1;
    let mut refused = 0;
    for at in (0..48).chain((4096..end).step_by(5)) {
        let mut damaged = whole.clone();
        damaged.get_mut(name).unwrap()[at] ^= 0x10;
        // Of the newest record nobody can say whether it was ever whole.
        refused += usize::from(opens_whole_or_not_at_all(&damaged, &snapshots[last - 1..], &format!("at {at}")));
        let mut cut = whole.clone();
        cut.get_mut(name).unwrap().truncate(at);
        opens_whole_or_not_at_all(&cut, &snapshots, &format!("cut at {at}"));
    }
    assert!(refused > 120, "only {refused}");
}

#[test]
fn a_copy_of_a_snapshot_is_the_same_store_and_goes_on_from_there() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let before = filled(dir.path());
    store::write_copy(other.path(), &before).unwrap();
    let copy = Store::open(other.path()).unwrap();
    assert_eq!(copy.snapshot(""), before);
    assert_eq!(copy.commit(Txn::new().put(key("k0"), vec![9])).unwrap(), before.revision + 1);
    drop(copy);
    let error = store::write_copy(other.path(), &before).unwrap_err();
    assert!(matches!(error, OpenError::Io { action: "create", .. }), "{error:?}");
    assert_eq!(
        Store::open(other.path()).unwrap().snapshot("").revision,
        before.revision + 1,
        "nothing was overwritten"
    );
}
