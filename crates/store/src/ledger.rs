//! The law of the store, without IO: what a transaction does to the acknowledged state, and what changed since.
//!
//! [`Ledger::plan`] evaluates transactions against the state without touching it; the caller makes the plan durable;
//! [`Ledger::apply`] makes it visible. Revisions, versions and events follow etcd's data model.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use crate::REVISION_FIRST;
use crate::key::Key;
use crate::txn::{CommitError, Compare, LimitError, Revision, Txn, Value};

/// Bounds of a store; the defaults suit a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// How many revisions can still be watched; at least the newest is kept.
    pub history_revisions_max: usize,
    /// How many bytes of keys and values the watchable revisions may hold; at least the newest is kept.
    pub history_bytes_max: usize,
    /// How many bytes of keys and values may be stored; deleting is always possible. The default is etcd's
    /// `--quota-backend-bytes`, 2 GiB.
    pub store_bytes_max: u64,
    /// How many watchers may exist at once.
    pub watchers_max: usize,
    /// How many bytes each of the two journal files of a directory may have before its content moves into the tables;
    /// a larger group of transactions gets what it needs. The directory takes twice as much more than its tables.
    pub journal_bytes_max: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            history_revisions_max: 10_000,
            history_bytes_max: 64 * 1024 * 1024,
            store_bytes_max: 2 * 1024 * 1024 * 1024,
            watchers_max: 4096,
            journal_bytes_max: 4 * 1024 * 1024,
        }
    }
}

/// A stored value and its revisions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The bytes.
    pub value: Value,
    /// The revision that created the key (anew, if it had been deleted).
    pub create_revision: Revision,
    /// The revision that last wrote it.
    pub mod_revision: Revision,
    /// How often it was written since it was created, from 1.
    pub version: u64,
}

impl Entry {
    /// Whether a store at `revision` can hold it.
    pub(crate) fn is_possible_at(&self, revision: Revision) -> bool {
        REVISION_FIRST < self.create_revision
            && self.create_revision <= self.mod_revision
            && self.mod_revision <= revision
            && (1..=self.mod_revision).contains(&self.version)
    }
}

/// The last word on every key written: an entry, or none.
pub(crate) type Writes = BTreeMap<Key, Option<Entry>>;

/// Everything under a prefix at one revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The store's whole revision.
    pub revision: Revision,
    /// The entries, by key.
    pub entries: BTreeMap<Key, Entry>,
}

impl Snapshot {
    /// Of a store in which nothing was ever written.
    pub(crate) fn empty() -> Self {
        Self { revision: REVISION_FIRST, entries: BTreeMap::new() }
    }
}

/// What one transaction changed, as far as a watcher's prefix shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The transaction's revision.
    pub revision: Revision,
    /// Never empty: its puts, then its deletes, in the transaction's order.
    pub events: Arc<[Event]>,
}

/// One key's part in a [`Change`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The key was written.
    Put {
        /// The key.
        key: Key,
        /// What it holds now.
        entry: Entry,
    },
    /// The key was there and is gone.
    Delete {
        /// The key.
        key: Key,
    },
}

impl Event {
    /// The key that changed.
    #[must_use]
    pub fn key(&self) -> &Key {
        match self {
            Self::Put { key, .. } | Self::Delete { key } => key,
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Put { key, entry } => key.as_str().len() + entry.value.len(),
            Self::Delete { key } => key.as_str().len(),
        }
    }
}

/// What transactions will do once they are durable.
#[derive(Debug)]
pub(crate) struct Plan {
    /// One answer for each transaction.
    pub(crate) results: Vec<Result<Revision, CommitError>>,
    pub(crate) writes: Writes,
    /// The revision afterwards.
    pub(crate) revision: Revision,
    changes: Vec<Change>,
    bytes: u64,
}

/// The acknowledged state and its recent history.
#[derive(Debug)]
pub(crate) struct Ledger {
    revision: Revision,
    entries: BTreeMap<Key, Entry>,
    /// Keys and values in `entries`.
    bytes: u64,
    /// Without gaps: every revision in `compacted + 1 ..= revision` that exists.
    history: VecDeque<Change>,
    history_bytes: usize,
    compacted: Revision,
    options: Options,
}

impl Ledger {
    pub(crate) fn empty(options: Options) -> Self {
        Self::new(REVISION_FIRST, BTreeMap::new(), options)
    }

    pub(crate) fn new(revision: Revision, entries: BTreeMap<Key, Entry>, options: Options) -> Self {
        let bytes = entries.iter().map(|(key, entry)| entry_bytes(key, entry)).sum();
        // Nothing happens in the first revision, so nothing of it is lost.
        let compacted = if revision == REVISION_FIRST { 0 } else { revision };
        Self { revision, entries, bytes, history: VecDeque::new(), history_bytes: 0, compacted, options }
    }

    pub(crate) fn revision(&self) -> Revision {
        self.revision
    }

    /// The newest revision whose change can no longer be told.
    pub(crate) fn compacted(&self) -> Revision {
        self.compacted
    }

    pub(crate) fn options(&self) -> &Options {
        &self.options
    }

    pub(crate) fn entry(&self, key: &Key) -> Option<&Entry> {
        self.entries.get(key)
    }

    pub(crate) fn snapshot(&self, prefix: &str) -> Snapshot {
        let under = self.entries.range::<str, _>((Bound::Included(prefix), Bound::Unbounded));
        let under = under.take_while(|(key, _)| key.as_str().starts_with(prefix));
        let entries = under.map(|(key, entry)| (key.clone(), entry.clone())).collect();
        Snapshot { revision: self.revision, entries }
    }

    /// Evaluates `txns` in order, each on the outcome of those before it, and changes nothing yet.
    pub(crate) fn plan<'a>(&self, txns: impl IntoIterator<Item = &'a Txn>) -> Plan {
        let mut draft = Draft {
            ledger: self,
            writes: Writes::new(),
            revision: self.revision,
            changes: Vec::new(),
            bytes: self.bytes,
        };
        let results = txns.into_iter().map(|txn| draft.transact(txn)).collect();
        let Draft { writes, revision, changes, bytes, .. } = draft;
        Plan { results, writes, revision, changes, bytes }
    }

    /// Makes a plan visible. It must have been made from this very state.
    pub(crate) fn apply(&mut self, plan: Plan) -> Vec<Result<Revision, CommitError>> {
        for (key, entry) in plan.writes {
            match entry {
                Some(entry) => self.entries.insert(key, entry),
                None => self.entries.remove(&key),
            };
        }
        self.revision = plan.revision;
        self.bytes = plan.bytes;
        for change in plan.changes {
            self.history_bytes += change_bytes(&change);
            self.history.push_back(change);
        }
        self.forget();
        plan.results
    }

    /// The first change under `prefix` at or after `from`, which must be after `compacted`.
    pub(crate) fn change_after(&self, prefix: &str, from: Revision) -> Option<Change> {
        let start = self.history.partition_point(|change| change.revision < from);
        self.history.range(start..).find_map(|change| under_prefix(change, prefix))
    }

    /// Drops the oldest history beyond the bounds.
    fn forget(&mut self) {
        while self.history.len() > 1
            && (self.history.len() > self.options.history_revisions_max
                || self.history_bytes > self.options.history_bytes_max)
        {
            if let Some(change) = self.history.pop_front() {
                self.history_bytes -= change_bytes(&change);
                self.compacted = change.revision;
            }
        }
    }
}

/// The state as the transactions planned so far leave it.
struct Draft<'a> {
    ledger: &'a Ledger,
    writes: Writes,
    revision: Revision,
    changes: Vec<Change>,
    bytes: u64,
}

impl Draft<'_> {
    fn transact(&mut self, txn: &Txn) -> Result<Revision, CommitError> {
        txn.check()?;
        for compare in &txn.compare {
            let (expected, actual) = match compare {
                Compare::ModRevision { key, revision } => (*revision, self.entry(key).map_or(0, |e| e.mod_revision)),
                Compare::Base(base) => (*base, self.revision),
            };
            if expected != actual {
                return Err(CommitError::Conflict { compare: compare.clone(), actual });
            }
        }
        let bytes = self.bytes_after(txn)?;
        let revision = self.revision + 1;
        let mut events = Vec::with_capacity(txn.puts.len() + txn.deletes.len());
        for (key, value) in &txn.puts {
            let entry = self.put(key, value, revision);
            events.push(Event::Put { key: key.clone(), entry });
        }
        for key in &txn.deletes {
            if self.entry(key).is_some() {
                self.writes.insert(key.clone(), None);
                events.push(Event::Delete { key: key.clone() });
            }
        }
        if !events.is_empty() {
            self.changes.push(Change { revision, events: events.into() });
            self.revision = revision;
            self.bytes = bytes;
        }
        Ok(self.revision)
    }

    fn entry(&self, key: &Key) -> Option<&Entry> {
        match self.writes.get(key) {
            Some(written) => written.as_ref(),
            None => self.ledger.entries.get(key),
        }
    }

    fn put(&mut self, key: &Key, value: &Value, revision: Revision) -> Entry {
        let (create_revision, version) =
            self.entry(key).map_or((revision, 1), |old| (old.create_revision, old.version + 1));
        let entry = Entry { value: value.clone(), create_revision, mod_revision: revision, version };
        self.writes.insert(key.clone(), Some(entry.clone()));
        entry
    }

    /// The size of the store after `txn`; refused only if it grows beyond the quota, so deleting always helps.
    fn bytes_after(&self, txn: &Txn) -> Result<u64, LimitError> {
        let stored = |key: &Key| self.entry(key).map_or(0, |entry| entry_bytes(key, entry));
        let added: u64 = txn.puts.iter().map(|(key, value)| pair_bytes(key, value)).sum();
        let removed: u64 = txn.puts.iter().map(|(key, _)| key).chain(&txn.deletes).map(stored).sum();
        let bytes = self.bytes + added - removed;
        let max = self.ledger.options.store_bytes_max;
        if bytes > max && bytes > self.bytes { Err(LimitError::StoreBytes { bytes, max }) } else { Ok(bytes) }
    }
}

fn under_prefix(change: &Change, prefix: &str) -> Option<Change> {
    let matches = |event: &&Event| event.key().as_str().starts_with(prefix);
    match change.events.iter().filter(matches).count() {
        0 => None,
        all if all == change.events.len() => Some(change.clone()),
        _ => {
            Some(Change { revision: change.revision, events: change.events.iter().filter(matches).cloned().collect() })
        }
    }
}

fn change_bytes(change: &Change) -> usize {
    change.events.iter().map(Event::bytes).sum()
}

fn entry_bytes(key: &Key, entry: &Entry) -> u64 {
    pair_bytes(key, &entry.value)
}

fn pair_bytes(key: &Key, value: &Value) -> u64 {
    (key.as_str().len() + value.len()) as u64
}
