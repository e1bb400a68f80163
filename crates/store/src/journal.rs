//! How does a group of transactions become durable with one write and one sync?
//!
//! It is appended to one of two files, `journal.0` and `journal.1`. When one is full, writing goes on in the other while
//! the tables take over what the first holds; see [`crate::embedded`]. The format is in [`crate::frame`].
//!
//! Files are filled with zeros ahead of the records and never shrink below their bound. So nearly every sync has only
//! the record to write and not the file system's own records of a file that grew.

use std::io;

use redb::StorageBackend;

use crate::frame::{self, Generation, HEADER_BYTES, Record};
use crate::txn::Revision;

/// By how much a file grows at least, in bytes.
const STEP_BYTES: u64 = 256 * 1024;

/// A journal file, as the tables' own: anything with positions and a sync.
pub(crate) type File = Box<dyn StorageBackend>;

/// Why a journal cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JournalError {
    #[error("{0}")]
    Corrupt(String),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Makes `file` the empty journal file `index`, durably.
pub(crate) fn make(file: &File, salt: u64, index: usize) -> io::Result<()> {
    let mut start = frame::header(salt, index);
    start.resize(HEADER_BYTES, 0);
    file.set_len(0)?;
    file.write(0, &start)?;
    file.sync_data()
}

/// What `generation` left in `file`, from revision `after` on.
pub(crate) fn read(file: &File, generation: Generation, after: Revision) -> Result<Vec<Record>, JournalError> {
    let length = usize::try_from(file.len()?).map_err(io::Error::other)?;
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(length).map_err(io::Error::other)?;
    bytes.resize(length, 0);
    file.read(0, &mut bytes)?;
    frame::check_header(&bytes, generation.salt, generation.index()).map_err(JournalError::Corrupt)?;
    frame::replay(&bytes, generation, after).map_err(JournalError::Corrupt)
}

/// A file in one of its lives.
#[derive(Debug)]
pub(crate) struct Journal {
    file: File,
    generation: Generation,
    /// Where the next record goes.
    position: u64,
    /// The file's length, as far as it is known to be filled.
    filled: u64,
    /// How long the file may become, unless a single record needs more.
    bytes_max: u64,
}

impl Journal {
    /// Begins `generation` in `file`. Whatever the file holds must be of no more use.
    pub(crate) fn new(file: File, generation: Generation, bytes_max: u64) -> io::Result<Self> {
        let filled = file.len()?;
        Ok(Self { file, generation, position: HEADER_BYTES as u64, filled, bytes_max })
    }

    pub(crate) fn generation(&self) -> Generation {
        self.generation
    }

    /// Begins another life. Nothing is written: the tables name the generations that count.
    pub(crate) fn begin(&mut self, generation: Generation) {
        self.generation = generation;
        self.position = HEADER_BYTES as u64;
    }

    /// A journal without records has room for any.
    pub(crate) fn has_room(&self, record: &[u8]) -> bool {
        self.position == HEADER_BYTES as u64 || self.position + record.len() as u64 <= self.bytes_max
    }

    /// Returns when the encoded record is on disk. `record` is used up.
    pub(crate) fn append(&mut self, record: &mut Vec<u8>) -> io::Result<()> {
        frame::seal(record, self.generation, self.position);
        let end = self.position + record.len() as u64;
        if end > self.filled {
            self.filled = end.max(end.next_multiple_of(STEP_BYTES).min(self.bytes_max));
            // It is in memory already, and the zeros behind it are few.
            record.resize(record.len() + (self.filled - end) as usize, 0);
        }
        self.file.write(self.position, record)?;
        self.file.sync_data()?;
        self.position = end;
        Ok(())
    }

    /// Gives back what a record beyond the bound took.
    pub(crate) fn shrink(&mut self) -> io::Result<()> {
        if self.filled > self.bytes_max {
            self.filled = self.bytes_max.max(HEADER_BYTES as u64);
            self.file.set_len(self.filled)?;
        }
        Ok(())
    }
}
