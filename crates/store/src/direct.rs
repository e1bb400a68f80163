//! How does a journal get to the disk without waiting for the page cache?
//!
//! Whole blocks are written past it (`O_DIRECT`, open(2)): there is no page to be filled and written back first, so a record is
//! durable about a fifth sooner. Where the file system or the disk does not take such writes, and for all else, it is an ordinary
//! file. The two ways may be mixed: the kernel keeps them coherent (open(2), "O_DIRECT").

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use redb::StorageBackend;
use redb::backends::FileBackend;

use crate::frame::BLOCK_BYTES;

/// Where the memory of a write past the cache must begin: no disk asks for more.
const MEMORY_ALIGNMENT: usize = 4096;

/// A file whose writes of whole blocks go straight to the disk.
#[derive(Debug)]
pub(crate) struct DirectFile {
    file: FileBackend,
    direct: Option<File>,
    /// The file's length. Asked of the kernel, it would cost a write: a file whose times were read has them written anew at its next
    /// change (multigrain timestamps, Linux 6.13), and on some file systems a sync then writes the inode as well.
    length: AtomicU64,
    /// The disk took all such writes so far.
    is_direct: AtomicBool,
    /// Memory that is aligned somewhere.
    staging: Mutex<Vec<u8>>,
}

impl DirectFile {
    /// `file` must be open for reading and writing; `path` is where it is.
    pub(crate) fn new(file: File, path: &Path) -> Result<Self, redb::DatabaseError> {
        let direct = OpenOptions::new().write(true).custom_flags(libc::O_DIRECT).open(path).ok();
        let is_direct = AtomicBool::new(direct.is_some());
        let length = AtomicU64::new(file.metadata()?.len());
        Ok(Self { file: FileBackend::new(file)?, direct, length, is_direct, staging: Mutex::default() })
    }

    /// `false`: it cannot be written so, and nothing has been. Nor is a file made longer so: the file system would write its own
    /// records first, which takes far longer than what it saves.
    fn write_direct(&self, offset: u64, data: &[u8]) -> io::Result<bool> {
        let are_blocks = offset.is_multiple_of(BLOCK_BYTES as u64) && data.len().is_multiple_of(BLOCK_BYTES);
        let (Some(direct), true, true) = (&self.direct, are_blocks, self.is_direct.load(Ordering::Relaxed)) else {
            return Ok(false);
        };
        if offset + data.len() as u64 > self.length.load(Ordering::Relaxed) {
            return Ok(false);
        }
        let mut staging = self.staging.lock().unwrap_or_else(PoisonError::into_inner);
        if staging.len() < data.len() + MEMORY_ALIGNMENT {
            staging.resize(data.len() + MEMORY_ALIGNMENT, 0);
        }
        let begin = staging.as_ptr().align_offset(MEMORY_ALIGNMENT);
        let Some(aligned) = staging.get_mut(begin..begin + data.len()) else { return Ok(false) };
        aligned.copy_from_slice(data);
        match direct.write_all_at(aligned, offset) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                self.is_direct.store(false, Ordering::Relaxed);
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }
}

impl StorageBackend for DirectFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.length.load(Ordering::Relaxed))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)?;
        self.length.store(len, Ordering::Relaxed);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        if self.write_direct(offset, data)? {
            return Ok(());
        }
        self.file.write(offset, data)?;
        self.length.fetch_max(offset + data.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_either_way_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let plain = OpenOptions::new().read(true).write(true).create_new(true).open(&path).unwrap();
        let file = DirectFile::new(plain, &path).unwrap();
        let blocks = |byte: u8, count: usize| vec![byte; count * BLOCK_BYTES];
        let mut expected = blocks(1, 4);
        file.write(0, &expected).unwrap();
        file.write(BLOCK_BYTES as u64, &blocks(2, 1)).unwrap();
        expected[BLOCK_BYTES..2 * BLOCK_BYTES].fill(2);
        // Neither is made of whole blocks.
        file.write(BLOCK_BYTES as u64 + 7, &[3; 5]).unwrap();
        expected[BLOCK_BYTES + 7..BLOCK_BYTES + 12].fill(3);
        file.write(BLOCK_BYTES as u64 * 3, &[4; 9]).unwrap();
        expected[BLOCK_BYTES * 3..BLOCK_BYTES * 3 + 9].fill(4);
        file.write(BLOCK_BYTES as u64 * 2, &blocks(5, 1)).unwrap();
        expected[BLOCK_BYTES * 2..BLOCK_BYTES * 3].fill(5);
        file.sync_data().unwrap();
        let mut read = vec![0; expected.len()];
        file.read(0, &mut read).unwrap();
        assert!(read == expected, "as one file");
        assert_eq!(std::fs::read(&path).unwrap(), expected);
    }

    #[test]
    fn a_file_system_that_cannot_is_written_the_ordinary_way() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let plain = OpenOptions::new().read(true).write(true).create_new(true).open(&path).unwrap();
        let mut file = DirectFile::new(plain, &path).unwrap();
        file.direct = None;
        file.write(0, &[6; BLOCK_BYTES]).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), [6; BLOCK_BYTES]);
    }
}
