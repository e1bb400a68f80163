//! The laws of the store, one function each, run against every back end.
//!
//! Revisions are compared with the store's own, never with constants: a back end may have a past.

mod watching;

use std::sync::{Arc, Barrier};
use std::thread;

use store::{
    Change, CommitError, Compare, Event, Key, LimitError, Options, REQUEST_BYTES_MAX, Store, TXN_OPERATIONS_MAX, Txn,
    VALUE_BYTES_MAX, Value,
};
use watching::*;

/// Each law gets a maker of empty stores of its back end.
macro_rules! laws {
    ($($law:ident)*) => {
        mod memory {
            $(#[test] fn $law() { super::$law(&mut super::Memory); })*
        }
        mod embedded {
            $(#[test] fn $law() { super::$law(&mut super::Embedded::default()); })*
        }
        mod checkpoints {
            $(#[test] fn $law() { super::$law(&mut super::Checkpoints::default()); })*
        }
    };
}

laws! {
    a_commit_is_read_back
    revisions_grow_by_one
    a_transaction_that_changes_nothing_keeps_the_revision
    create_mod_and_version_are_counted_as_in_etcd
    a_key_is_written_only_at_the_expected_revision
    a_base_admits_no_write_in_between
    a_refused_transaction_changes_nothing
    the_first_failing_comparison_is_named
    a_batch_is_evaluated_in_order
    a_batch_goes_on_after_a_refusal
    an_empty_batch_has_no_answers
    operations_are_limited
    comparisons_are_limited
    values_are_limited
    requests_are_limited
    limits_do_not_depend_on_content
    a_key_occurs_once
    the_quota_refuses_growth_and_never_deletion
    a_snapshot_holds_a_prefix
    a_snapshot_does_not_change
    a_watch_tells_everything_in_order
    a_watch_tells_a_revision_whole
    a_watch_tells_only_its_prefix
    a_watch_of_the_past_catches_up
    a_watch_of_the_future_waits
    a_watch_of_forgotten_history_is_refused
    a_slow_watcher_is_told
    a_quiet_watcher_does_not_age
    history_is_bounded_by_bytes
    watchers_are_limited
    a_watcher_blocks_until_a_commit
    a_watcher_times_out
    a_task_is_woken_by_a_commit
    a_closed_store_ends_its_watchers
    snapshot_then_watch_misses_nothing_under_load
    concurrent_commits_are_all_acknowledged_once
    one_of_many_rivals_wins
}

trait Maker {
    fn store(&mut self, options: Options) -> Store;
}

struct Memory;

impl Maker for Memory {
    fn store(&mut self, options: Options) -> Store {
        Store::memory_with(options)
    }
}

#[derive(Default)]
struct Embedded(Vec<tempfile::TempDir>);

impl Maker for Embedded {
    fn store(&mut self, options: Options) -> Store {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open_with(dir.path(), options).unwrap();
        self.0.push(dir);
        store
    }
}

/// A directory whose journals have room for one group each.
#[derive(Default)]
struct Checkpoints(Embedded);

impl Maker for Checkpoints {
    fn store(&mut self, options: Options) -> Store {
        self.0.store(Options { journal_bytes_max: 0, ..options })
    }
}

fn key(key: &str) -> Key {
    Key::new(key).unwrap()
}

fn value(text: &str) -> Value {
    text.as_bytes().into()
}

fn put(name: &str, text: &str) -> Txn {
    Txn::new().put(key(name), value(text))
}

/// A change in short: its revision, then `+key=value` or `-key`.
fn shown(change: &Change) -> (u64, Vec<String>) {
    let show = |event: &Event| match event {
        Event::Put { key, entry } => {
            assert_eq!(entry.mod_revision, change.revision);
            format!("+{key}={}", String::from_utf8_lossy(&entry.value))
        }
        Event::Delete { key } => format!("-{key}"),
    };
    (change.revision, change.events.iter().map(show).collect())
}

fn a_commit_is_read_back(make: &mut dyn Maker) {
    let store = make.store(Options::default());
    assert_eq!(store.entry(&key("a")), None);
    let revision = store.commit(put("a", "1")).unwrap();
    assert_eq!(store.revision(), revision);
    assert_eq!(store.entry(&key("a")).unwrap().value, value("1"));
    store.commit(Txn::new().delete(key("a"))).unwrap();
    assert_eq!(store.entry(&key("a")), None);
    store.commit(put("empty", "")).unwrap();
    assert_eq!(store.entry(&key("empty")).unwrap().value, value(""), "an empty value is not an absent one");
}

fn revisions_grow_by_one(make: &mut dyn Maker) {
    let store = make.store(Options::default());
    let start = store.revision();
    for n in 1..=5 {
        let many = (0..n).fold(Txn::new(), |txn, k| txn.put(key(&format!("k{k}")), value("v")));
        assert_eq!(store.commit(many).unwrap(), start + n);
    }
}

fn a_transaction_that_changes_nothing_keeps_the_revision(make: &mut dyn Maker) {
    let store = make.store(Options::default());
    let revision = store.commit(put("a", "1")).unwrap();
    assert_eq!(store.commit(Txn::new()).unwrap(), revision);
    assert_eq!(store.commit(Txn::new().delete(key("absent"))).unwrap(), revision);
    assert_eq!(store.commit(Txn::new().base(revision)).unwrap(), revision);
    let mut watcher = store.watch("", revision + 1).unwrap();
    assert_eq!(watcher.try_next().unwrap(), None);
    assert_eq!(store.commit(put("a", "1")).unwrap(), revision + 1, "writing the same value is a write");
}

fn create_mod_and_version_are_counted_as_in_etcd(make: &mut dyn Maker) {
    let store = make.store(Options::default());
    let counts = |name: &str| {
        let entry = store.entry(&key(name)).unwrap();
        (entry.create_revision, entry.mod_revision, entry.version)
    };
    let first = store.commit(put("a", "1")).unwrap();
    assert_eq!(counts("a"), (first, first, 1));
    store.commit(put("other", "1")).unwrap();
    let second = store.commit(put("a", "2")).unwrap();
    assert_eq!(counts("a"), (first, second, 2));
    store.commit(Txn::new().delete(key("a"))).unwrap();
    let anew = store.commit(put("a", "3")).unwrap();
    assert_eq!(counts("a"), (anew, anew, 1), "a deleted key starts anew");
}

fn a_key_is_written_only_at_the_expected_revision(make: &mut dyn Maker) {
    let store = make.store(Options::default());
    let first = store.commit(put("a", "1").unchanged(key("a"), 0)).unwrap();
    let conflict = |txn: Txn| match store.commit(txn) {
        Err(CommitError::Conflict { compare: Compare::ModRevision { key, revision }, actual }) => {
            (key.to_string(), revision, actual)
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(conflict(put("a", "2").unchanged(key("a"), 0)), ("a".into(), 0, first));
    let second = store.commit(put("a", "2").unchanged(key("a"), first)).unwrap();
    assert_eq!(conflict(put("a", "3").unchanged(key("a"), first)), ("a".into(), first, second));
    store.commit(Txn::new().delete(key("a")).unchanged(key("a"), second)).unwrap();
    assert_eq!(conflict(put("a", "3").unchanged(key("a"), second)), ("a".into(), second, 0));
    store.commit(put("b", "1").unchanged(key("a"), 0)).unwrap();
}

fn a_base_admits_no_write_in_between(make: &mut dyn Maker) {
    let store = make.store(Options::default());
    let base = store.revision();
    let next = store.commit(put("a", "1").base(base)).unwrap();
    let error = store.commit(put("b", "1").base(base)).unwrap_err();
    let is =
        matches!(error, CommitError::Conflict { compare: Compare::Base(b), actual } if b == base && actual == next);
    assert!(is, "{error:?}");
    assert!(store.commit(put("b", "1").base(next + 1)).is_err(), "nor a base of the future");
    store.commit(put("b", "1").base(next)).unwrap();
}

fn a_refused_transaction_changes_nothing(make: &mut dyn Maker) {
    let store = make.store(Options::default());
    store.commit(put("a", "1").put(key("c"), value("1"))).unwrap();
    let before = store.snapshot("");
    let txn = put("a", "2").put(key("b"), value("2")).delete(key("c"));
    assert!(store.commit(txn.unchanged(key("b"), 7)).is_err());
    assert_eq!(store.snapshot(""), before);
    assert_eq!(store.watch("", before.revision + 1).unwrap().try_next().unwrap(), None);
}

fn the_first_failing_comparison_is_named(make: &mut dyn Maker) {
    let store = make.store(Options::default());
    let txn = Txn::new().unchanged(key("a"), 0).unchanged(key("b"), 5).unchanged(key("c"), 6);
    let error = store.commit(txn).unwrap_err();
    assert_eq!(error.to_string(), "key `b` is gone, expected at revision 5; read again and retry");
}

fn a_batch_is_evaluated_in_order(make: &mut dyn Maker) {
    let store = make.store(Options::default());
    let base = store.revision();
    let batch = vec![
        put("a", "1").base(base),
        put("a", "2").base(base + 1).unchanged(key("a"), base + 1),
        Txn::new().delete(key("a")).unchanged(key("a"), base + 2),
        put("a", "4").unchanged(key("a"), 0),
    ];
    let revisions: Vec<u64> = store.commit_batch(batch).into_iter().map(Result::unwrap).collect();
    assert_eq!(revisions, [base + 1, base + 2, base + 3, base + 4]);
    let mut watcher = store.watch("", base + 1).unwrap();
    let told: Vec<_> = (0..4).map(|_| shown(&watcher.try_next().unwrap().unwrap()).1.join(" ")).collect();
    assert_eq!(told, ["+a=1", "+a=2", "-a", "+a=4"]);
    assert_eq!(store.entry(&key("a")).unwrap().version, 1);
}

fn a_batch_goes_on_after_a_refusal(make: &mut dyn Maker) {
    let store = make.store(Options::default());
    let base = store.revision();
    let batch = vec![put("a", "1"), put("x", "1").unchanged(key("a"), 0), Txn::new(), put("b", "1")];
    let answers = store.commit_batch(batch);
    assert_eq!(*answers[0].as_ref().unwrap(), base + 1);
    assert!(matches!(answers[1], Err(CommitError::Conflict { actual, .. }) if actual == base + 1));
    assert_eq!(*answers[2].as_ref().unwrap(), base + 1);
    assert_eq!(*answers[3].as_ref().unwrap(), base + 2);
    assert!(store.entry(&key("x")).is_none());
}

fn an_empty_batch_has_no_answers(make: &mut dyn Maker) {
    assert!(make.store(Options::default()).commit_batch(Vec::new()).is_empty());
}

fn operations_are_limited(make: &mut dyn Maker) {
    let store = make.store(Options::default());
    let many = |puts: usize, deletes: usize| Txn {
        puts: (0..puts).map(|n| (key(&format!("p{n}")), value("v"))).collect(),
        deletes: (0..deletes).map(|n| key(&format!("d{n}"))).collect(),
        compare: Vec::new(),
    };
    store.commit(many(100, 28)).unwrap();
    for txn in [many(129, 0), many(100, 29), many(0, 129)] {
        let error = store.commit(txn).unwrap_err();
        let text = "the transaction has 129 operations, over the limit of 128 (max-txn-ops); split it";
        assert_eq!(error.to_string(), text);
    }
}

fn comparisons_are_limited(make: &mut dyn Maker) {
    let store = make.store(Options::default());
    let many = |n| Txn { compare: vec![Compare::Base(store.revision()); n], ..Txn::new() };
    store.commit(many(TXN_OPERATIONS_MAX)).unwrap();
    let error = store.commit(many(TXN_OPERATIONS_MAX + 1)).unwrap_err();
    assert!(matches!(error, CommitError::Limit(LimitError::Compares { compares: 129, max: 128 })), "{error:?}");
}

fn values_are_limited(make: &mut dyn Maker) {
    let store = make.store(Options::default());
    let error = store.commit(Txn::new().put(key("a"), vec![0; VALUE_BYTES_MAX + 1])).unwrap_err();
    assert!(matches!(&error, CommitError::Limit(LimitError::ValueBytes { max: 1_572_864, .. })), "{error:?}");
    store.commit(Txn::new().put(key("a"), vec![7; VALUE_BYTES_MAX - 100])).unwrap();
    assert_eq!(store.entry(&key("a")).unwrap().value.len(), VALUE_BYTES_MAX - 100);
}

fn requests_are_limited(make: &mut dyn Maker) {
    let store = make.store(Options::default());
    let two = |bytes| Txn::new().put(key("a"), vec![0; bytes]).put(key("b"), vec![0; bytes]);
    let error = store.commit(two(REQUEST_BYTES_MAX / 2)).unwrap_err();
    assert!(matches!(error, CommitError::Limit(LimitError::RequestBytes { max: 1_572_864, .. })), "{error:?}");
    store.commit(two(REQUEST_BYTES_MAX / 2 - 100)).unwrap();
}

fn limits_do_not_depend_on_content(make: &mut dyn Maker) {
    let store = make.store(Options::default());
    let txn = Txn::new().put(key("a"), vec![0; VALUE_BYTES_MAX + 1]).unchanged(key("a"), 99);
    assert!(matches!(store.commit(txn), Err(CommitError::Limit(_))), "the limit is named before the conflict");
}

fn a_key_occurs_once(make: &mut dyn Maker) {
    let store = make.store(Options::default());
    let twice = [
        put("a", "1").put(key("a"), value("2")),
        put("a", "1").delete(key("a")),
        Txn::new().delete(key("a")).delete(key("a")),
    ];
    for txn in twice {
        let error = store.commit(txn).unwrap_err();
        assert!(matches!(&error, CommitError::DuplicateKey { key } if key.as_str() == "a"), "{error:?}");
    }
    assert!(store.entry(&key("a")).is_none());
}

fn the_quota_refuses_growth_and_never_deletion(make: &mut dyn Maker) {
    let store = make.store(Options { store_bytes_max: 10, ..Options::default() });
    store.commit(put("a", "1234").put(key("b"), value("1234"))).unwrap();
    for txn in [put("c", ""), put("a", "12345")] {
        let error = store.commit(txn).unwrap_err();
        assert!(matches!(error, CommitError::Limit(LimitError::StoreBytes { bytes: 11, max: 10 })), "{error:?}");
    }
    store.commit(put("a", "4321")).unwrap();
    store.commit(put("c", "1234").delete(key("a"))).unwrap();
    store.commit(Txn::new().delete(key("b"))).unwrap();
    store.commit(put("d", "1234")).unwrap();
}

fn a_snapshot_holds_a_prefix(make: &mut dyn Maker) {
    let store = make.store(Options::default());
    for name in ["/r/a/1", "/r/a/2", "/r/ab/3", "/r/b/4", "/q", "/r/a"] {
        store.commit(put(name, name)).unwrap();
    }
    let names = |prefix: &str| {
        let snapshot = store.snapshot(prefix);
        assert_eq!(snapshot.revision, store.revision());
        snapshot.entries.keys().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(names("/r/a/"), ["/r/a/1", "/r/a/2"]);
    assert_eq!(names("/r/a"), ["/r/a", "/r/a/1", "/r/a/2", "/r/ab/3"]);
    assert_eq!(names("/r/a/1"), ["/r/a/1"]);
    assert_eq!(names("/z"), Vec::<String>::new());
    assert_eq!(names("").len(), 6);
}

fn a_snapshot_does_not_change(make: &mut dyn Maker) {
    let store = make.store(Options::default());
    let revision = store.commit(put("a", "1")).unwrap();
    let before = store.snapshot("");
    store.commit(put("a", "2").put(key("b"), value("2"))).unwrap();
    assert_eq!((before.revision, before.entries.len()), (revision, 1));
    assert_eq!(before.entries[&key("a")].value, value("1"));
}

fn concurrent_commits_are_all_acknowledged_once(make: &mut dyn Maker) {
    let (threads, each) = (8, 20);
    let store = make.store(Options::default());
    let start = store.revision();
    let barrier = Arc::new(Barrier::new(threads));
    let committers: Vec<_> = (0..threads)
        .map(|t| {
            let (store, barrier) = (store.clone(), barrier.clone());
            thread::spawn(move || {
                barrier.wait();
                let commit = |n| {
                    let name = format!("{t}-{n}");
                    let revision = store.commit(put(&name, "")).unwrap();
                    assert_eq!(store.entry(&key(&name)).unwrap().mod_revision, revision, "acknowledged is visible");
                    revision
                };
                (0..each).map(commit).collect::<Vec<u64>>()
            })
        })
        .collect();
    let mut revisions: Vec<u64> = committers.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
    revisions.sort_unstable();
    let expected: Vec<u64> = (start + 1..=start + (threads * each) as u64).collect();
    assert_eq!(revisions, expected);
}

fn one_of_many_rivals_wins(make: &mut dyn Maker) {
    let store = make.store(Options::default());
    let barrier = Arc::new(Barrier::new(8));
    let rivals: Vec<_> = (0..8)
        .map(|n| {
            let (store, barrier) = (store.clone(), barrier.clone());
            thread::spawn(move || {
                barrier.wait();
                store.commit(put("lease", &n.to_string()).unchanged(key("lease"), 0)).is_ok()
            })
        })
        .collect();
    let wins = rivals.into_iter().map(|thread| thread.join().unwrap()).filter(|won| *won).count();
    assert_eq!(wins, 1);
    assert_eq!(store.entry(&key("lease")).unwrap().version, 1);
}
