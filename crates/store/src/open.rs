//! Opening a data directory: `lock`, `store.redb` and the journal, and a name for every way in which that can fail.
//!
//! A new store is built as `store.redb.new` and renamed when complete, so a file called `store.redb` is never
//! half-made: an empty or foreign one is refused instead of being taken for a store in which nothing was written yet. Its journal comes after it: a journal alone is what is left
//! of a store.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use redb::backends::FileBackend;
use redb::{Database, DatabaseError, StorageError};

use crate::direct::DirectFile;
use crate::embedded::{self, Embedded, StartError};
use crate::journal::{self, JournalError};
use crate::ledger::Snapshot;
use crate::lock::{DirLock, LockError};
use crate::tables::{Content, ContentError, SCHEMA, Tables, io_error};

const FILE: &str = "store.redb";
const FILE_NEW: &str = "store.redb.new";
const FILE_LOCK: &str = "lock";
const FILES_JOURNAL: [&str; 2] = ["journal.0", "journal.1"];

/// How every redb file begins.
const MAGIC: &[u8] = b"redb";

/// Memory for redb's pages, in bytes. All reads are answered from elsewhere, so it serves the paths of writes only.
const CACHE_BYTES: usize = 32 * 1024 * 1024;

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Someone else has it open.
    #[error("data directory `{}` is in use{}; stop that process or choose another directory", path.display(), by(*pid))]
    Locked {
        /// The directory.
        path: PathBuf,
        /// The other's process id, if it could be read.
        pid: Option<u32>,
    },
    /// The file was written by a later version of this program.
    #[error(
        "`{}` has schema version {found}, this program knows versions up to {known}; start the newer program",
        path.display()
    )]
    NewerSchema {
        /// The file.
        path: PathBuf,
        /// Its schema version.
        found: u64,
        /// The newest schema version known here.
        known: u64,
    },
    /// The file is something else.
    #[error("`{}` is not a store: {detail}; choose another directory, or move the file away", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What was found.
        detail: String,
    },
    /// The file is a store, but damaged.
    #[error("`{}` is damaged: {detail}; restore it from a backup", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What was found.
        detail: String,
    },
    /// The operating system refused.
    #[error("cannot {action} `{}`", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
}

/// Locks `dir`, makes it and the store in it if absent, and reads the store.
pub(crate) fn open(dir: &Path, journal_bytes_max: u64) -> Result<(Embedded, Content), OpenError> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed("create directory", dir))?;
    let lock = acquire(dir)?;
    let path = dir.join(FILE);
    if !exists(&path)? {
        refuse_remains(dir, &path)?;
        create(dir, &path, &Snapshot::empty())?;
    }
    check_magic(&path)?;
    let tables = Tables::new(open_database(&path)?);
    let content = tables.content().map_err(|error| content_error(&path, error))?;
    let [zero, one] = FILES_JOURNAL.map(|name| open_journal(&dir.join(name), content.generation.is_none()));
    let files = [zero?, one?];
    let started = match content.generation {
        Some(generation) => Ok(generation),
        None => {
            sync_directory(dir)?;
            let salt = getrandom::u64().map_err(io::Error::other).map_err(failed("get randomness for", dir))?;
            embedded::make_journal(&files, salt)
        }
    };
    started
        .and_then(|generation| Embedded::start(tables, content, generation, files, journal_bytes_max, Some(lock)))
        .map_err(|error| start_error(dir, error))
}

fn exists(path: &Path) -> Result<bool, OpenError> {
    path.try_exists().map_err(failed("look for", path))
}

fn refuse_remains(dir: &Path, path: &Path) -> Result<(), OpenError> {
    for name in FILES_JOURNAL {
        if exists(&dir.join(name))? {
            let detail = format!("it is gone, and its `{name}` is still there");
            return Err(OpenError::Corrupt { path: path.to_owned(), detail });
        }
    }
    Ok(())
}

/// Makes it if `is_new`; else it belongs to the store and has to be there.
fn open_journal(path: &Path, is_new: bool) -> Result<journal::File, OpenError> {
    let file = OpenOptions::new().read(true).write(true).create(is_new).mode(0o600).open(path);
    let file = file.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => OpenError::Corrupt { path: path.to_owned(), detail: "it is gone".to_owned() },
        _ => failed("open", path)(error),
    })?;
    Ok(Box::new(DirectFile::new(file, path).map_err(|error| database_error(path, error))?))
}

fn start_error(dir: &Path, error: StartError) -> OpenError {
    match error {
        StartError::Journal { index, source } => {
            let path = dir.join(FILES_JOURNAL[index]);
            match source {
                JournalError::Corrupt(detail) => OpenError::Corrupt { path, detail },
                JournalError::Io(source) => failed("read", &path)(source),
            }
        }
        StartError::Tables(error) => content_error(&dir.join(FILE), error.into()),
        StartError::Thread(source) => failed("start a thread for", dir)(source),
    }
}

fn acquire(dir: &Path) -> Result<DirLock, OpenError> {
    let path = dir.join(FILE_LOCK);
    DirLock::acquire(&path).map_err(|error| match error {
        LockError::Held { pid } => OpenError::Locked { path: dir.to_owned(), pid },
        LockError::Io(source) => OpenError::Io { action: "lock", path, source },
    })
}

/// Makes a store with this content in `dir`, which has none.
pub(crate) fn write_copy(dir: &Path, content: &Snapshot) -> Result<(), OpenError> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed("create directory", dir))?;
    let _lock = acquire(dir)?;
    let path = dir.join(FILE);
    if exists(&path)? {
        return Err(failed("create", &path)(io::ErrorKind::AlreadyExists.into()));
    }
    refuse_remains(dir, &path)?;
    create(dir, &path, content)
}

/// Builds a store beside `path` and moves it there, durably. What an interrupted attempt left is overwritten.
fn create(dir: &Path, path: &Path, content: &Snapshot) -> Result<(), OpenError> {
    let new = dir.join(FILE_NEW);
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o600).open(&new);
    let backend = FileBackend::new(file.map_err(failed("create", &new))?).map_err(|e| database_error(&new, e))?;
    let database = Database::builder().set_cache_size(CACHE_BYTES).create_with_backend(backend);
    let tables = Tables::new(database.map_err(|e| database_error(&new, e))?);
    tables.initialise(content).map_err(|error| failed("write", &new)(io_error(error)))?;
    drop(tables);
    fs::rename(&new, path).map_err(failed("rename to", path))?;
    sync_directory(dir)
}

fn sync_directory(dir: &Path) -> Result<(), OpenError> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(failed("sync directory", dir))
}

fn check_magic(path: &Path) -> Result<(), OpenError> {
    let mut start = Vec::new();
    let file = File::open(path).map_err(failed("open", path))?;
    file.take(MAGIC.len() as u64).read_to_end(&mut start).map_err(failed("read", path))?;
    if start == MAGIC {
        return Ok(());
    }
    let detail = if start.is_empty() { "it is empty" } else { "it does not begin like a redb file" };
    Err(OpenError::Foreign { path: path.to_owned(), detail: detail.to_owned() })
}

/// Opens with every page's checksum verified. redb documents that a damaged file then gives an error and not a panic;
/// should one slip through, it is still an error here.
fn open_database(path: &Path) -> Result<Database, OpenError> {
    let open = || Database::builder().set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true).open(path);
    match catch_unwind(AssertUnwindSafe(open)) {
        Ok(Ok(database)) => Ok(database),
        Ok(Err(error)) => Err(database_error(path, error)),
        Err(_) => Err(OpenError::Corrupt { path: path.to_owned(), detail: "reading it panicked".to_owned() }),
    }
}

fn database_error(path: &Path, error: DatabaseError) -> OpenError {
    let path = path.to_owned();
    match error {
        DatabaseError::DatabaseAlreadyOpen => OpenError::Locked { path, pid: None },
        DatabaseError::UpgradeRequired(version) => {
            OpenError::Foreign { path, detail: format!("redb file format {version} is not supported") }
        }
        DatabaseError::Storage(StorageError::Io(source)) if !damage(&source) => {
            OpenError::Io { action: "open", path, source }
        }
        error => OpenError::Corrupt { path, detail: error.to_string() },
    }
}

fn content_error(path: &Path, error: ContentError) -> OpenError {
    let path = path.to_owned();
    match error {
        ContentError::Foreign => OpenError::Foreign { path, detail: error.to_string() },
        ContentError::NewerSchema { found } => OpenError::NewerSchema { path, found, known: SCHEMA },
        ContentError::Redb(redb::Error::Io(source)) if !damage(&source) => {
            OpenError::Io { action: "read", path, source }
        }
        ContentError::Corrupt(_) | ContentError::Redb(_) => OpenError::Corrupt { path, detail: error.to_string() },
    }
}

/// A file that ends too early or makes no sense, as opposed to a disk that refuses.
fn damage(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidInput)
}

fn failed(action: &'static str, path: &Path) -> impl Fn(io::Error) -> OpenError {
    move |source| OpenError::Io { action, path: path.to_owned(), source }
}

fn by(pid: Option<u32>) -> String {
    pid.map_or_else(String::new, |pid| format!(" by process {pid}"))
}
