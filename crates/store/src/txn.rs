//! Transactions: what must hold, what is written, and every way to be refused.
//!
//! The limits are etcd's defaults (`--max-request-bytes`, `--max-txn-ops`), checked before anything else, so that the
//! answer does not depend on what is stored.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use crate::key::Key;

/// The number of a transaction, counted by the store; +1 for each that changed something.
pub type Revision = u64;

/// A value's bytes; cheap to clone.
pub type Value = Arc<[u8]>;

/// The largest value, in bytes: 1.5 MiB, as etcd's whole request.
pub const VALUE_BYTES_MAX: usize = REQUEST_BYTES_MAX;

/// The largest transaction, in bytes of keys, values and framing: etcd's `--max-request-bytes`, 1.5 MiB.
pub const REQUEST_BYTES_MAX: usize = 1536 * 1024;

/// The most puts and deletes in a transaction, and the most comparisons: etcd's `--max-txn-ops`.
pub const TXN_OPERATIONS_MAX: usize = 128;

/// No less than what etcd's protocol adds to the keys and values of one operation or comparison (tags, lengths,
/// revision), so that a transaction accepted here fits into etcd's request.
const FRAMING_BYTES: usize = 32;

/// All or nothing: when every comparison holds, all puts and deletes happen at one new revision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Txn {
    /// What must hold.
    pub compare: Vec<Compare>,
    /// What is written. A key may occur only once in `puts` and `deletes` together.
    pub puts: Vec<(Key, Value)>,
    /// What is removed; a key that is absent is no error.
    pub deletes: Vec<Key>,
}

/// One condition of a [`Txn`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Compare {
    /// The key was last written at `revision`; 0: the key is absent.
    ModRevision {
        /// The key.
        key: Key,
        /// Its expected `mod_revision`.
        revision: Revision,
    },
    /// Nothing at all was written since this revision of the whole store.
    Base(Revision),
}

impl Txn {
    /// A transaction without conditions or writes.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Requires that the whole store is still at `revision`.
    #[must_use]
    pub fn base(mut self, revision: Revision) -> Self {
        self.compare.push(Compare::Base(revision));
        self
    }

    /// Requires that `key` was last written at `revision` (0: is absent).
    #[must_use]
    pub fn unchanged(mut self, key: Key, revision: Revision) -> Self {
        self.compare.push(Compare::ModRevision { key, revision });
        self
    }

    /// Writes `value` under `key`.
    #[must_use]
    pub fn put(mut self, key: Key, value: impl Into<Value>) -> Self {
        self.puts.push((key, value.into()));
        self
    }

    /// Removes `key`.
    #[must_use]
    pub fn delete(mut self, key: Key) -> Self {
        self.deletes.push(key);
        self
    }

    /// Everything about a transaction that can be refused without knowing what is stored.
    pub(crate) fn check(&self) -> Result<(), CommitError> {
        let max = TXN_OPERATIONS_MAX;
        let operations = self.puts.len() + self.deletes.len();
        if operations > max {
            return Err(LimitError::Operations { operations, max }.into());
        }
        if self.compare.len() > max {
            return Err(LimitError::Compares { compares: self.compare.len(), max }.into());
        }
        if let Some((key, value)) = self.puts.iter().find(|(_, value)| value.len() > VALUE_BYTES_MAX) {
            let key = key.clone();
            return Err(LimitError::ValueBytes { key, bytes: value.len(), max: VALUE_BYTES_MAX }.into());
        }
        let bytes = self.request_bytes();
        if bytes > REQUEST_BYTES_MAX {
            return Err(LimitError::RequestBytes { bytes, max: REQUEST_BYTES_MAX }.into());
        }
        let mut seen = BTreeSet::new();
        match self.puts.iter().map(|(key, _)| key).chain(&self.deletes).find(|key| !seen.insert(*key)) {
            Some(key) => Err(CommitError::DuplicateKey { key: key.clone() }),
            None => Ok(()),
        }
    }

    /// Cannot overflow: the counts are bounded before, and each length is that of something in memory.
    fn request_bytes(&self) -> usize {
        let compares = self.compare.iter().map(|compare| match compare {
            Compare::ModRevision { key, .. } => key.as_str().len(),
            Compare::Base(_) => 0,
        });
        let puts = self.puts.iter().map(|(key, value)| key.as_str().len() + value.len());
        let deletes = self.deletes.iter().map(|key| key.as_str().len());
        compares.chain(puts).chain(deletes).map(|bytes| bytes + FRAMING_BYTES).sum()
    }
}

/// Why a transaction has no revision.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CommitError {
    /// A comparison does not hold; nothing was written.
    #[error("{}", conflict_text(compare, *actual))]
    Conflict {
        /// The first comparison that does not hold.
        compare: Compare,
        /// The revision it was held against (0: the key is absent).
        actual: Revision,
    },
    /// The transaction or the store would exceed a limit; nothing was written.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// Two operations on one key; nothing was written.
    #[error("key `{key}` occurs twice in one transaction; put or delete it once")]
    DuplicateKey {
        /// The key.
        key: Key,
    },
    /// Writing failed; whether the transaction survived shows when the store is opened again.
    #[error("the store could not write; whether this transaction is kept shows at the next start")]
    Io(#[source] Arc<io::Error>),
    /// An earlier write failed, so nothing more is accepted; this transaction was not written.
    #[error("the store stopped accepting writes after an earlier write error; restart to recover")]
    Stopped(#[source] Arc<io::Error>),
}

/// Which limit a transaction would exceed. Limits named after etcd's flags have etcd's defaults.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LimitError {
    /// See [`VALUE_BYTES_MAX`].
    #[error("the value of `{key}` has {bytes} bytes, over the limit of {max} (max-request-bytes); split the record")]
    ValueBytes {
        /// The value's key.
        key: Key,
        /// Its length.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// See [`REQUEST_BYTES_MAX`].
    #[error("the transaction has {bytes} bytes, over the limit of {max} (max-request-bytes); split it")]
    RequestBytes {
        /// Its length, framing included.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// See [`TXN_OPERATIONS_MAX`].
    #[error("the transaction has {operations} operations, over the limit of {max} (max-txn-ops); split it")]
    Operations {
        /// Puts and deletes.
        operations: usize,
        /// The limit.
        max: usize,
    },
    /// See [`TXN_OPERATIONS_MAX`].
    #[error("the transaction has {compares} comparisons, over the limit of {max} (max-txn-ops); split it")]
    Compares {
        /// Comparisons.
        compares: usize,
        /// The limit.
        max: usize,
    },
    /// See [`crate::Options::store_bytes_max`].
    #[error(
        "the store would hold {bytes} bytes, over the limit of {max} (quota-backend-bytes); delete something first"
    )]
    StoreBytes {
        /// Keys and values after the transaction.
        bytes: u64,
        /// The limit.
        max: u64,
    },
}

fn conflict_text(compare: &Compare, actual: Revision) -> String {
    match (compare, actual) {
        (Compare::Base(base), _) => format!("the store is at revision {actual}, not {base}; read again and retry"),
        (Compare::ModRevision { key, revision: 0 }, _) => {
            format!("key `{key}` exists since a write at revision {actual}; read again and retry")
        }
        (Compare::ModRevision { key, revision }, 0) => {
            format!("key `{key}` is gone, expected at revision {revision}; read again and retry")
        }
        (Compare::ModRevision { key, revision }, _) => {
            format!("key `{key}` was written at revision {actual}, not {revision}; read again and retry")
        }
    }
}
