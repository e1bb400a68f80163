//! What does a store hold, up to its last checkpoint?
//!
//! One redb file with two tables. `peerway.records`: key → (create revision, mod revision, version, value).
//! `peerway.meta`: `schema` (see [`SCHEMA`]), `revision`, and which journal continues it: `journal.salt` and
//! `journal.generation`, the last [`Generation`] that has been taken over whole. All reads are answered from elsewhere,
//! so the file is read once, at open.

use std::collections::BTreeMap;
use std::io;

use redb::{Database, Durability, ReadableDatabase, ReadableTable, TableDefinition, TableHandle};

use crate::frame::Generation;
use crate::key::{Key, KeyError};
use crate::ledger::{Entry, Snapshot, Writes};
use crate::txn::Revision;
use crate::{REVISION_FIRST, Value};

/// The layout of a data directory. A store with a higher number is refused by name; a change that an older program
/// would misread takes the next number and a migration.
///
/// 1: the tables are all there is. 2: the journal continues them. From 1 to 2: an empty journal is made, then the
/// tables name it ([`Tables::write`]).
pub(crate) const SCHEMA: u64 = 2;
const SCHEMA_WITHOUT_JOURNAL: u64 = 1;

/// etcd counts revisions in a signed 64-bit integer; nothing real comes near, and counting on from here cannot
/// overflow.
pub(crate) const NUMBER_MAX: u64 = i64::MAX as u64;

type Stored = (Revision, Revision, u64, &'static [u8]);

const META: TableDefinition<'_, &str, u64> = TableDefinition::new("peerway.meta");
const RECORDS: TableDefinition<'_, &str, Stored> = TableDefinition::new("peerway.records");
const META_SCHEMA: &str = "schema";
const META_REVISION: &str = "revision";
const META_SALT: &str = "journal.salt";
const META_GENERATION: &str = "journal.generation";

/// An open database.
#[derive(Debug)]
pub(crate) struct Tables {
    database: Database,
}

/// All that a store holds.
#[derive(Debug)]
pub(crate) struct Content {
    pub(crate) revision: Revision,
    pub(crate) entries: BTreeMap<Key, Entry>,
    /// The last one that the tables have taken over; none before there was a journal.
    pub(crate) generation: Option<Generation>,
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

impl Tables {
    pub(crate) fn new(database: Database) -> Self {
        Self { database }
    }

    /// Writes the tables of a store with this content into a new database. The first opening gives it a journal, as it
    /// does to any store that has none.
    pub(crate) fn initialise(&self, content: &Snapshot) -> Result<(), redb::Error> {
        let transaction = self.database.begin_write()?;
        {
            let mut records = transaction.open_table(RECORDS)?;
            for (key, e) in &content.entries {
                records.insert(key.as_str(), (e.create_revision, e.mod_revision, e.version, &*e.value))?;
            }
        }
        finish(transaction, &[(META_SCHEMA, SCHEMA_WITHOUT_JOURNAL), (META_REVISION, content.revision)])
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
        let bounded = |name: &str, least: u64| match number(name)? {
            found if (least..=NUMBER_MAX).contains(&found) => Ok(found),
            found => Err(ContentError::Corrupt(format!("{name} {found} is out of range"))),
        };
        let generation = match number(META_SCHEMA)? {
            SCHEMA => Some(Generation { salt: number(META_SALT)?, number: bounded(META_GENERATION, 0)? }),
            SCHEMA_WITHOUT_JOURNAL => None,
            found if found > SCHEMA => return Err(ContentError::NewerSchema { found }),
            found => return Err(ContentError::Corrupt(format!("schema version {found} never existed"))),
        };
        let revision = bounded(META_REVISION, REVISION_FIRST)?;
        let records = transaction.open_table(RECORDS).map_err(redb::Error::from)?;
        let mut entries = BTreeMap::new();
        for record in records.iter().map_err(redb::Error::from)? {
            let (key, record) = record.map_err(redb::Error::from)?;
            let (key, entry) = sound(key.value(), record.value(), revision)?;
            entries.insert(key, entry);
        }
        Ok(Content { revision, entries, generation })
    }

    /// Returns when the writes are on disk, all or nothing, and with them that everything up to `generation` of the
    /// journal is of no more use.
    pub(crate) fn write(&self, writes: &Writes, revision: Revision, generation: Generation) -> Result<(), redb::Error> {
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
        let Generation { salt, number } = generation;
        let meta = [(META_SCHEMA, SCHEMA), (META_REVISION, revision), (META_SALT, salt), (META_GENERATION, number)];
        finish(transaction, &meta)
    }
}

fn finish(mut transaction: redb::WriteTransaction, meta: &[(&str, u64)]) -> Result<(), redb::Error> {
    transaction.set_durability(Durability::Immediate)?;
    {
        let mut table = transaction.open_table(META)?;
        for (name, number) in meta {
            table.insert(name, number)?;
        }
    }
    Ok(transaction.commit()?)
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
    let entry = Entry { value: Value::from(value), create_revision, mod_revision, version };
    if !entry.is_possible_at(revision) {
        return Err(ContentError::Corrupt(format!(
            "record `{key}` has create revision {create_revision}, mod revision {mod_revision} and version {version} \
             in a store at revision {revision}"
        )));
    }
    Ok((key, entry))
}
