//! Random transactions give the same answers and the same content on every back end and on a reference written from
//! the user's sentences: a map, a counter and a list of what happened.

use std::collections::BTreeMap;

use proptest::prelude::*;
use store::{CommitError, Compare, Event, Key, LimitError, Options, REVISION_FIRST, Store, Txn, Value};

/// Small, so that random sequences reach it.
const QUOTA_BYTES: u64 = 120;

#[derive(Clone, Debug)]
enum Step {
    Commit(Vec<Txn>),
    /// Closes and opens the stores that outlive it.
    Reopen,
}

/// The answer to a transaction, in words that can be compared.
#[derive(Debug, PartialEq)]
enum Answer {
    Revision(u64),
    Conflict(usize, u64),
    Duplicate(Key),
    Quota(u64),
}

#[derive(Default)]
struct Reference {
    changes: u64,
    /// Value, create revision, mod revision, version.
    rows: BTreeMap<Key, (Value, u64, u64, u64)>,
    /// Revision, key, value or nothing.
    told: Vec<(u64, Key, Option<Value>)>,
}

impl Reference {
    fn revision(&self) -> u64 {
        REVISION_FIRST + self.changes
    }

    fn commit(&mut self, txn: &Txn) -> Answer {
        let mut keys: Vec<&Key> = txn.puts.iter().map(|(key, _)| key).chain(&txn.deletes).collect();
        for (n, key) in keys.iter().enumerate() {
            if keys[..n].contains(key) {
                return Answer::Duplicate((*key).clone());
            }
        }
        for (n, compare) in txn.compare.iter().enumerate() {
            let (expected, actual) = match compare {
                Compare::Base(base) => (*base, self.revision()),
                Compare::ModRevision { key, revision } => (*revision, self.rows.get(key).map_or(0, |row| row.2)),
            };
            if expected != actual {
                return Answer::Conflict(n, actual);
            }
        }
        let mut after = self.rows.clone();
        let revision = self.revision() + 1;
        for (key, value) in &txn.puts {
            let (create, version) = after.get(key).map_or((revision, 0), |row| (row.1, row.3));
            after.insert(key.clone(), (value.clone(), create, revision, version + 1));
        }
        keys.retain(|key| after.contains_key(*key));
        after.retain(|key, _| !txn.deletes.contains(key));
        let size = |rows: &BTreeMap<Key, (Value, u64, u64, u64)>| {
            rows.iter().map(|(key, row)| (key.as_str().len() + row.0.len()) as u64).sum::<u64>()
        };
        if size(&after) > QUOTA_BYTES && size(&after) > size(&self.rows) {
            return Answer::Quota(size(&after));
        }
        for key in &keys {
            self.told.push((revision, (*key).clone(), after.get(*key).map(|row| row.0.clone())));
        }
        self.changes += u64::from(!keys.is_empty());
        self.rows = after;
        Answer::Revision(self.revision())
    }
}

fn options() -> Options {
    Options { store_bytes_max: QUOTA_BYTES, journal_bytes_max: 6000, ..Options::default() }
}

fn commit(store: &Store, txns: &[Txn]) -> Vec<Answer> {
    let answers = store.commit_batch(txns.to_vec());
    assert_eq!(answers.len(), txns.len());
    let worded = |(answer, txn): (Result<u64, CommitError>, &Txn)| match answer {
        Ok(revision) => Answer::Revision(revision),
        Err(CommitError::Conflict { compare, actual }) => {
            let first = txn.compare.iter().position(|c| *c == compare).expect("one of the transaction's own");
            Answer::Conflict(first, actual)
        }
        Err(CommitError::DuplicateKey { key }) => Answer::Duplicate(key),
        Err(CommitError::Limit(LimitError::StoreBytes { bytes, .. })) => Answer::Quota(bytes),
        Err(other) => panic!("{other:?}"),
    };
    answers.into_iter().zip(txns).map(worded).collect()
}

fn agree(store: &Store, reference: &Reference) {
    let snapshot = store.snapshot("");
    assert_eq!(snapshot.revision, reference.revision());
    let rows: BTreeMap<_, _> = snapshot
        .entries
        .into_iter()
        .map(|(key, e)| (key, (e.value, e.create_revision, e.mod_revision, e.version)))
        .collect();
    assert_eq!(rows, reference.rows);
}

/// Everything a watcher of `prefix` is told from revision `from` on.
fn told(store: &Store, prefix: &str, from: u64) -> Vec<(u64, Key, Option<Value>)> {
    let mut watcher = store.watch(prefix, from).expect("nothing was forgotten");
    let mut told = Vec::new();
    while let Some(change) = watcher.try_next().unwrap() {
        for event in change.events.iter() {
            let value = match event {
                Event::Put { entry, .. } => Some(entry.value.clone()),
                Event::Delete { .. } => None,
            };
            told.push((change.revision, event.key().clone(), value));
        }
    }
    told
}

fn key() -> impl Strategy<Value = Key> {
    prop::sample::select(vec!["/a/1", "/a/2", "/a/3", "/b/1", "/b/2", "/ab", "z"])
        .prop_map(|key| Key::new(key).unwrap())
}

fn compare() -> impl Strategy<Value = Compare> {
    // Revisions stay small, so that guesses often hold.
    let mod_revision = (key(), prop_oneof![3 => Just(0), 2 => 2..12_u64]);
    prop_oneof![
        4 => mod_revision.prop_map(|(key, revision)| Compare::ModRevision { key, revision }),
        1 => (1..12_u64).prop_map(Compare::Base),
    ]
}

prop_compose! {
    fn txn()(
        compare in prop_oneof![3 => prop::collection::vec(compare(), 0..1), 1 => prop::collection::vec(compare(), 1..3)],
        puts in prop::collection::vec((key(), prop::collection::vec(any::<u8>(), 0..30)), 0..4),
        deletes in prop::collection::vec(key(), 0..2),
    ) -> Txn {
        Txn { compare, puts: puts.into_iter().map(|(key, value)| (key, value.into())).collect(), deletes }
    }
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        9 => prop::collection::vec(txn(), 1..6).prop_map(Step::Commit),
        1 => Just(Step::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn every_back_end_agrees_with_the_reference(steps in prop::collection::vec(step(), 1..16)) {
        let dir = tempfile::tempdir().unwrap();
        let mut reference = Reference::default();
        let memory = Store::memory_with(options());
        let mut embedded = Store::open_with(dir.path(), options()).unwrap();
        let mut opened_at = REVISION_FIRST;
        for step in steps {
            match step {
                Step::Commit(txns) => {
                    let expected: Vec<Answer> = txns.iter().map(|txn| reference.commit(txn)).collect();
                    prop_assert_eq!(&commit(&memory, &txns), &expected);
                    prop_assert_eq!(&commit(&embedded, &txns), &expected);
                }
                Step::Reopen => {
                    drop(embedded);
                    embedded = Store::open_with(dir.path(), options()).unwrap();
                    opened_at = embedded.revision();
                }
            }
            agree(&memory, &reference);
            agree(&embedded, &reference);
        }
        for prefix in ["", "/a", "/a/", "/b/1", "none"] {
            let expected = |from| {
                let all = reference.told.iter().filter(move |t| t.0 >= from && t.1.as_str().starts_with(prefix));
                all.cloned().collect::<Vec<_>>()
            };
            prop_assert_eq!(told(&memory, prefix, 1), expected(1));
            prop_assert_eq!(told(&embedded, prefix, opened_at + 1), expected(opened_at + 1));
        }
    }
}
