//! The embedded back end: one redb file, one durable redb transaction per group of ours.
//!
//! Two tables. `peerway.records`: key → (create revision, mod revision, version, value). `peerway.meta`: `schema` (see
//! [`SCHEMA`]) and `revision`. The ledger answers all reads, so the file is read once, at open.

use std::collections::BTreeMap;
use std::io;

use redb::{Database, Durability, ReadableDatabase, ReadableTable, TableDefinition, TableHandle};

use crate::key::{Key, KeyError};
use crate::ledger::Entry;
use crate::lock::DirLock;
use crate::txn::Revision;
use crate::{REVISION_FIRST, Value};

/// The layout of the tables below. A store with a higher number is refused by name; a change that an older program
/// would misread takes the next number and a migration.
pub(crate) const SCHEMA: u64 = 1;

/// etcd counts revisions in a signed 64-bit integer; nothing real comes near, and counting on from here cannot
/// overflow.
const REVISION_MAX: Revision = i64::MAX as u64;

type Record = (Revision, Revision, u64, &'static [u8]);

const META: TableDefinition<'_, &str, u64> = TableDefinition::new("peerway.meta");
const RECORDS: TableDefinition<'_, &str, Record> = TableDefinition::new("peerway.records");
const META_SCHEMA: &str = "schema";
const META_REVISION: &str = "revision";

/// An open database. The directory's lock comes last: it is released after the file is closed.
#[derive(Debug)]
pub(crate) struct Embedded {
    database: Database,
    _lock: Option<DirLock>,
}

/// All that a database holds.
#[derive(Debug)]
pub(crate) struct Content {
    pub(crate) revision: Revision,
    pub(crate) entries: BTreeMap<Key, Entry>,
}

/// Why a database is not a store of ours, or not a sound one.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ContentError {
    #[error("it has no table `{}`", META.name())]
    Foreign,
    #[error("schema version {found}")]
    NewerSchema { found: u64 },
    #[error("{0}")]
    Corrupt(String),
    #[error(transparent)]
    Redb(#[from] redb::Error),
}

impl Embedded {
    pub(crate) fn new(database: Database, lock: Option<DirLock>) -> Self {
        Self { database, _lock: lock }
    }

    /// Writes the tables of an empty store into a new database.
    pub(crate) fn initialise(&self) -> Result<(), redb::Error> {
        let transaction = self.database.begin_write()?;
        transaction.open_table(META)?.insert(META_SCHEMA, SCHEMA)?;
        transaction.open_table(RECORDS)?;
        self.finish(transaction, REVISION_FIRST)
    }

    pub(crate) fn content(&self) -> Result<Content, ContentError> {
        let transaction = self.database.begin_read().map_err(redb::Error::from)?;
        let mut tables = transaction.list_tables().map_err(redb::Error::from)?;
        if !tables.any(|table| table.name() == META.name()) {
            return Err(ContentError::Foreign);
        }
        let meta = transaction.open_table(META).map_err(redb::Error::from)?;
        let number = |name: &str| -> Result<u64, ContentError> {
            let number = meta.get(name).map_err(redb::Error::from)?;
            number.map(|guard| guard.value()).ok_or_else(|| ContentError::Corrupt(format!("`{name}` is missing")))
        };
        match number(META_SCHEMA)? {
            SCHEMA => {}
            found if found > SCHEMA => return Err(ContentError::NewerSchema { found }),
            found => return Err(ContentError::Corrupt(format!("schema version {found} never existed"))),
        }
        let revision = number(META_REVISION)?;
        if !(REVISION_FIRST..=REVISION_MAX).contains(&revision) {
            return Err(ContentError::Corrupt(format!("revision {revision} is out of range")));
        }
        let records = transaction.open_table(RECORDS).map_err(redb::Error::from)?;
        let mut entries = BTreeMap::new();
        for record in records.iter().map_err(redb::Error::from)? {
            let (key, record) = record.map_err(redb::Error::from)?;
            let (key, entry) = sound(key.value(), record.value(), revision)?;
            entries.insert(key, entry);
        }
        Ok(Content { revision, entries })
    }

    /// Returns when the writes and the revision are on disk, all or nothing.
    pub(crate) fn persist(&self, writes: &BTreeMap<Key, Option<Entry>>, revision: Revision) -> io::Result<()> {
        self.write(writes, revision).map_err(io_error)
    }

    fn write(&self, writes: &BTreeMap<Key, Option<Entry>>, revision: Revision) -> Result<(), redb::Error> {
        let transaction = self.database.begin_write()?;
        {
            let mut records = transaction.open_table(RECORDS)?;
            for (key, entry) in writes {
                match entry {
                    Some(e) => {
                        let record = (e.create_revision, e.mod_revision, e.version, &*e.value);
                        records.insert(key.as_str(), record)?;
                    }
                    None => {
                        records.remove(key.as_str())?;
                    }
                }
            }
        }
        self.finish(transaction, revision)
    }

    fn finish(&self, mut transaction: redb::WriteTransaction, revision: Revision) -> Result<(), redb::Error> {
        transaction.set_durability(Durability::Immediate)?;
        transaction.open_table(META)?.insert(META_REVISION, revision)?;
        Ok(transaction.commit()?)
    }
}

pub(crate) fn io_error(error: redb::Error) -> io::Error {
    match error {
        redb::Error::Io(error) => error,
        error => io::Error::other(error),
    }
}

fn sound(
    key: &str,
    record: (Revision, Revision, u64, &[u8]),
    revision: Revision,
) -> Result<(Key, Entry), ContentError> {
    let key = Key::new(key).map_err(|error: KeyError| ContentError::Corrupt(error.to_string()))?;
    let (create_revision, mod_revision, version, value) = record;
    let ordered = REVISION_FIRST < create_revision && create_revision <= mod_revision && mod_revision <= revision;
    if !ordered || !(1..=mod_revision).contains(&version) {
        return Err(ContentError::Corrupt(format!(
            "record `{key}` has create revision {create_revision}, mod revision {mod_revision} and version {version} \
             in a store at revision {revision}"
        )));
    }
    Ok((key, Entry { value: Value::from(value), create_revision, mod_revision, version }))
}
