//! Opening a data directory: `lock` and `store.redb`, and a name for every way in which that can fail.
//!
//! A new store is built as `store.redb.new` and renamed when complete, so a file called `store.redb` is never
//! half-made: an empty or foreign one is refused instead of being taken for a store in which nothing was written yet.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use redb::backends::FileBackend;
use redb::{Database, DatabaseError, StorageError};

use crate::embedded::{Content, ContentError, Embedded, SCHEMA, io_error};
use crate::lock::{DirLock, LockError};

const FILE: &str = "store.redb";
const FILE_NEW: &str = "store.redb.new";
const FILE_LOCK: &str = "lock";

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
pub(crate) fn open(dir: &Path) -> Result<(Embedded, Content), OpenError> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed("create directory", dir))?;
    let lock = acquire(dir)?;
    let path = dir.join(FILE);
    if !path.try_exists().map_err(failed("look for", &path))? {
        create(dir, &path)?;
    }
    check_magic(&path)?;
    let embedded = Embedded::new(open_database(&path)?, Some(lock));
    let content = embedded.content().map_err(|error| content_error(&path, error))?;
    Ok((embedded, content))
}

fn acquire(dir: &Path) -> Result<DirLock, OpenError> {
    let path = dir.join(FILE_LOCK);
    DirLock::acquire(&path).map_err(|error| match error {
        LockError::Held { pid } => OpenError::Locked { path: dir.to_owned(), pid },
        LockError::Io(source) => OpenError::Io { action: "lock", path, source },
    })
}

/// Builds an empty store beside `path` and moves it there, durably. What an interrupted attempt left is overwritten.
fn create(dir: &Path, path: &Path) -> Result<(), OpenError> {
    let new = dir.join(FILE_NEW);
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o600).open(&new);
    let backend = FileBackend::new(file.map_err(failed("create", &new))?).map_err(|e| database_error(&new, e))?;
    let database = Database::builder().set_cache_size(CACHE_BYTES).create_with_backend(backend);
    let embedded = Embedded::new(database.map_err(|e| database_error(&new, e))?, None);
    embedded.initialise().map_err(|error| failed("write", &new)(io_error(error)))?;
    drop(embedded);
    fs::rename(&new, path).map_err(failed("rename to", path))?;
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
