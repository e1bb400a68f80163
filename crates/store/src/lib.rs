//! What was acknowledged, and what changed since?
//!
//! A store of keys and bytes with etcd's shape: compare-and-swap transactions, one revision per transaction, snapshots
//! of a prefix, and watches that hand out every change in order or say that they cannot. [`Store::memory`] forgets,
//! [`Store::open`] keeps everything in one directory (a journal in front of redb). etcd's limits hold in every back end, so that what one
//! accepts the others accept too.
//!
//! ```text
//!  commit ──► queue ──► plan (pure, `ledger`) ──► persist: one sync (`embedded`)  ──► apply ──► watchers wake
//!                        against acknowledged state                                    readers see it only now
//! ```
//!
//! Subtleties:
//! - Nothing is visible to [`Store::snapshot`] or a [`Watcher`] before it is durable.
//! - Transactions that wait for each other's fsync share the next one (group commit), from one thread
//!   ([`Store::commit_batch`]) or from many. Each is still atomic by itself and has its own revision.
//! - After a write error nobody can know what reached the disk (a failed fsync may or may not have written), so the
//!   store refuses all further commits until it is opened again. Reads and watches go on.
//! - History lives in memory and is bounded ([`Options`]); it starts anew at each open.
//!
//! Glossary: *revision*: the number of the last transaction that changed something; 1 is the empty store, as in etcd.
//! *base*: the store's whole revision a transaction was computed from. *compacted*: the newest revision whose change
//! can no longer be watched.

mod direct;
mod embedded;
mod frame;
mod group;
mod journal;
mod key;
mod ledger;
mod lock;
mod open;
#[cfg(test)]
mod power_loss;
pub mod record;
mod tables;
mod txn;
mod watch;
pub mod world;

use std::path::Path;
use std::sync::Arc;

use crate::group::{Backend, Group};
use crate::ledger::Ledger;
use crate::watch::Feed;

pub use crate::key::{KEY_BYTES_MAX, Key, KeyError};
pub use crate::ledger::{Change, Entry, Event, Options, Snapshot};
pub use crate::open::OpenError;
pub use crate::txn::{
    CommitError, Compare, LimitError, REQUEST_BYTES_MAX, Revision, TXN_OPERATIONS_MAX, Txn, VALUE_BYTES_MAX, Value,
};
pub use crate::watch::{WatchError, Watcher};

/// The revision of a store in which nothing was ever written, as in etcd.
pub const REVISION_FIRST: Revision = 1;

/// Makes a store of what a snapshot of everything holds, in `dir`, which has none yet: the same keys at the same revisions.
///
/// # Errors
/// As [`Store::open`]; [`OpenError::Io`] where there is a store.
pub fn write_copy(dir: impl AsRef<Path>, everything: &Snapshot) -> Result<(), OpenError> {
    open::write_copy(dir.as_ref(), everything)
}

/// A handle on a store; cheap to clone, usable from any thread. The store closes when its last handle is dropped:
/// its directory is released and its watchers, once they have handed out what is left, answer [`WatchError::Closed`].
#[derive(Clone, Debug)]
pub struct Store {
    core: Arc<Core>,
}

impl Store {
    /// An empty store that lives as long as its handles.
    #[must_use]
    pub fn memory() -> Self {
        Self::memory_with(Options::default())
    }

    /// [`Store::memory`] with other bounds.
    #[must_use]
    pub fn memory_with(options: Options) -> Self {
        Self::new(Ledger::empty(options), Backend::Memory)
    }

    /// Opens the store in `dir`, which is made (mode 0700) if absent, and holds it alone until the last handle is
    /// dropped. Reads the whole file and verifies every page's checksum.
    ///
    /// # Errors
    /// One [`OpenError`] for every reason, naming the file.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self, OpenError> {
        Self::open_with(dir, Options::default())
    }

    /// [`Store::open`] with other bounds.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_with(dir: impl AsRef<Path>, options: Options) -> Result<Self, OpenError> {
        let (embedded, content) = open::open(dir.as_ref(), options.journal_bytes_max)?;
        let ledger = Ledger::new(content.revision, content.entries, options);
        Ok(Self::new(ledger, Backend::Embedded(Box::new(embedded))))
    }

    /// The revision of the last acknowledged transaction.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.core.feed.read(Ledger::revision)
    }

    /// What is stored under `key`, if anything.
    #[must_use]
    pub fn entry(&self, key: &Key) -> Option<Entry> {
        self.core.feed.read(|ledger| ledger.entry(key).cloned())
    }

    /// Everything acknowledged under keys that begin with `prefix` (empty: everything), at one revision. Watch from
    /// `revision + 1` to hear what follows.
    #[must_use]
    pub fn snapshot(&self, prefix: &str) -> Snapshot {
        self.core.feed.read(|ledger| ledger.snapshot(prefix))
    }

    /// Commits one transaction; returns its revision once it is durable. Blocks on the disk, for the commit under way
    /// and its own, so a task of an async runtime calls it from a thread that may block. A transaction that changes nothing (no puts, only deletes of absent keys) takes no new revision and
    /// returns the current one, as in etcd.
    ///
    /// # Errors
    /// [`CommitError::Conflict`] when a comparison fails, [`CommitError::Limit`] or [`CommitError::DuplicateKey`] when
    /// the transaction breaks a rule: nothing was written. [`CommitError::Io`] when the outcome is unknown,
    /// [`CommitError::Stopped`] after that.
    pub fn commit(&self, txn: Txn) -> Result<Revision, CommitError> {
        // A batch of one has one answer; the other arm is for the compiler.
        self.commit_batch(vec![txn]).pop().unwrap_or_else(|| Ok(self.revision()))
    }

    /// Commits several transactions with one fsync, evaluated in order, each on the outcome of those before it and
    /// each atomic by itself: a refused one changes nothing and does not stop the next. One answer each, in order.
    #[must_use = "each transaction may have been refused"]
    pub fn commit_batch(&self, txns: Vec<Txn>) -> Vec<Result<Revision, CommitError>> {
        self.core.group.commit(txns, &self.core.feed)
    }

    /// Every change under `prefix` from revision `from` on (0 is read as 1), in order and whole: usually
    /// `snapshot.revision + 1`. A revision of the future is waited for.
    ///
    /// # Errors
    /// [`WatchError::Compacted`] when the history no longer reaches back to `from`: take a snapshot;
    /// [`WatchError::TooMany`] beyond [`Options::watchers_max`].
    pub fn watch(&self, prefix: &str, from: Revision) -> Result<Watcher, WatchError> {
        Feed::watch(&self.core.feed, prefix, from)
    }

    fn new(ledger: Ledger, backend: Backend) -> Self {
        Self { core: Arc::new(Core { feed: Arc::new(Feed::new(ledger)), group: Group::new(backend) }) }
    }
}

/// What all handles of one store share. Watchers hold only the feed, so they do not keep the directory locked.
#[derive(Debug)]
struct Core {
    feed: Arc<Feed>,
    group: Group,
}

impl Drop for Core {
    fn drop(&mut self) {
        self.feed.close();
    }
}
