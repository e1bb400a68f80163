//! One process per data directory.
//!
//! An advisory lock (flock) on the file `lock`, held by an open file, so the kernel releases it however the process
//! ends. The file also carries the holder's process id, only to be shown; it is never removed, since a lock on a
//! removed file would protect nothing.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// A lock held until dropped.
#[derive(Debug)]
pub(crate) struct DirLock {
    file: File,
}

/// Why a lock was not obtained.
#[derive(Debug)]
pub(crate) enum LockError {
    /// Another holder, with its process id if it could be read.
    Held {
        pid: Option<u32>,
    },
    Io(io::Error),
}

impl DirLock {
    pub(crate) fn acquire(path: &Path) -> Result<Self, LockError> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(LockError::Io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(LockError::Held { pid: read_pid(&mut file) }),
            Err(TryLockError::Error(error)) => return Err(LockError::Io(error)),
        }
        let lock = Self { file };
        lock.write_pid().map_err(LockError::Io)?;
        Ok(lock)
    }

    fn write_pid(&self) -> io::Result<()> {
        let mut file = &self.file;
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{}", std::process::id())
    }
}

impl Drop for DirLock {
    fn drop(&mut self) {
        // Courtesy to the next opener's message; closing the file is what releases the lock.
        let _ = self.file.set_len(0);
    }
}

/// None when the holder has not written it yet, or something else is in the file.
fn read_pid(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}
