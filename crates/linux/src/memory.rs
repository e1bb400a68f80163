//! Memory that outlives the process: a file on a tmpfs, mapped. What a process writes there is there when it is killed at
//! any instant, and gone with the machine's next start.
//!
//! ```text
//!   page 0: magic, layout, length, boot, seed │ pages from 1 on: the words, 0 where nothing was written
//! ```
//!
//! One process holds it at a time (flock). A file of another layout, another length or another start of the machine is
//! begun anew. The file is sparse: pages are taken when [`SharedMemory::make_room`] asks for them, so that a full tmpfs is
//! an answer and not a signal (SIGBUS).

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::fs::{FallocateFlags, fallocate, fstatfs};

/// Why there is no such memory.
#[derive(Debug, thiserror::Error)]
pub enum MemoryError {
    #[error("cannot {what} {path}")]
    File { what: &'static str, path: PathBuf, source: io::Error },
    #[error("{0} is not on a tmpfs: it would be written to a disk")]
    NotTmpfs(PathBuf),
    #[error("{0} is not a file that only this user may read and write; remove it")]
    NotOurs(PathBuf),
    #[error("{0} is in use by another process")]
    InUse(PathBuf),
    #[error("{0} words cannot be mapped")]
    Length(usize),
}

/// What was in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// What an earlier process left, of this layout and since this start of the machine.
    Kept,
    /// Nothing.
    New,
    /// Something else, which is gone: of another layout or length, of an earlier start of the machine, or no such file at all.
    Foreign,
}

/// Words in a file on a tmpfs, held by this process alone until it is dropped.
#[derive(Debug)]
pub struct SharedMemory {
    file: File,
    path: PathBuf,
    /// The first page and the words.
    mapped: Mapped,
}

#[derive(Debug)]
struct Mapped {
    start: NonNull<AtomicU64>,
    words: usize,
}

// SAFETY: the mapping belongs to this value alone and is only reached through atomics.
unsafe impl Send for Mapped {}
// SAFETY: as above: shared references give atomics, nothing else.
unsafe impl Sync for Mapped {}

const MAGIC: u64 = u64::from_be_bytes(*b"peerway1");
const PAGE: usize = 4096;
const PAGE_WORDS: usize = PAGE / 8;
/// The words of the first page.
const AT_MAGIC: usize = 0;
const AT_LAYOUT: usize = 1;
const AT_LEN: usize = 2;
const AT_BOOT: usize = 3;
const AT_SEED: usize = 5;

/// `TMPFS_MAGIC` in linux/magic.h.
const TMPFS: rustix::fs::FsWord = 0x0102_1994;
/// A process that was killed holds its lock until the kernel is done with it.
const LOCK_WAIT: Duration = Duration::from_secs(1);
/// How often a file may vanish between its opening and its locking.
const ATTEMPTS: usize = 4;

impl SharedMemory {
    /// Opens the file, or makes it (mode 0600), with room for so many words of 8 bytes. `layout` says what they mean. `seed` is kept
    /// with a file that is begun anew, for [`SharedMemory::seed`].
    ///
    /// # Errors
    /// [`MemoryError`]: not on a tmpfs, somebody else's file, held by another process after a second, or the kernel's.
    pub fn open(path: &Path, layout: u64, words: usize, seed: u64) -> Result<(SharedMemory, Found), MemoryError> {
        let failed = |what| move |source| MemoryError::File { what, path: path.to_owned(), source };
        let bytes =
            words.checked_mul(8).and_then(|bytes| bytes.checked_add(PAGE)).filter(|len| *len <= isize::MAX as usize);
        let bytes = bytes.ok_or(MemoryError::Length(words))?;
        let len = u64::try_from(bytes).map_err(|_| MemoryError::Length(words))?;
        let file = open_locked(path)?;
        let [boot, boot_low] = boot_halves();
        let header = [(AT_LAYOUT, layout), (AT_LEN, len), (AT_BOOT, boot), (AT_BOOT + 1, boot_low), (AT_MAGIC, MAGIC)];
        let is_of_len = file.metadata().map_err(failed("look at"))?.len();
        if is_of_len != len {
            // Nothing of what was there may be taken for ours.
            file.set_len(0).and_then(|()| file.set_len(len)).map_err(failed("size"))?;
        }
        fallocate(&file, FallocateFlags::KEEP_SIZE, 0, PAGE as u64)
            .map_err(io::Error::from)
            .map_err(failed("get room for"))?;
        let mapped = Mapped::new(&file, PAGE_WORDS + words).map_err(failed("map"))?;
        let mut memory = SharedMemory { file, path: path.to_owned(), mapped };
        let is_ours = header.iter().all(|(at, ours)| memory.mapped.words()[*at].load(Ordering::Acquire) == *ours);
        let found = match is_of_len {
            _ if is_ours => return Ok((memory, Found::Kept)),
            0 => Found::New,
            _ => Found::Foreign,
        };
        // Emptied while nothing is mapped, so that no page of before stays in sight.
        memory.mapped = Mapped::nothing();
        let file = &memory.file;
        file.set_len(0).and_then(|()| file.set_len(len)).map_err(failed("size"))?;
        fallocate(file, FallocateFlags::KEEP_SIZE, 0, PAGE as u64)
            .map_err(io::Error::from)
            .map_err(failed("get room for"))?;
        memory.mapped = Mapped::new(file, PAGE_WORDS + words).map_err(failed("map"))?;
        let page = memory.mapped.words();
        page[AT_SEED].store(seed, Ordering::Release);
        // The magic is the last: a file that has it has all else.
        for (at, value) in header {
            page[at].store(value, Ordering::Release);
        }
        Ok((memory, found))
    }

    /// The seed of the file there, which another process may hold or replace: a guess at what [`SharedMemory::open`] will find.
    pub fn seed_at(path: &Path) -> Option<u64> {
        use std::os::unix::fs::FileExt;
        let file = OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path).ok()?;
        let word = |at: usize| {
            let mut bytes = [0; 8];
            file.read_exact_at(&mut bytes, at as u64 * 8).ok().map(|()| u64::from_ne_bytes(bytes))
        };
        (word(AT_MAGIC)? == MAGIC).then(|| word(AT_SEED))?
    }

    /// The seed that the file was begun with.
    pub fn seed(&self) -> u64 {
        self.mapped.words()[AT_SEED].load(Ordering::Acquire)
    }

    /// All words; those that nobody has made room for must not be written.
    pub fn words(&self) -> &[AtomicU64] {
        &self.mapped.words()[PAGE_WORDS..]
    }

    /// Takes pages for these words. `false`: the tmpfs is full, or there are no such words.
    pub fn make_room(&self, words: Range<usize>) -> bool {
        if words.end > self.words().len() || words.is_empty() {
            return words.is_empty();
        }
        let at = |word: usize| (PAGE + word * 8) as u64;
        let (start, len) = (at(words.start), at(words.end) - at(words.start));
        fallocate(&self.file, FallocateFlags::KEEP_SIZE, start, len).is_ok()
    }

    /// Lets another process hold it: nothing may be written any more.
    ///
    /// # Errors
    /// The kernel's.
    pub fn release(&self) -> io::Result<()> {
        self.file.unlock()
    }

    /// Removes the file: it ends with this value.
    ///
    /// # Errors
    /// The kernel's.
    pub fn remove(&self) -> io::Result<()> {
        if is_at(&self.file, &self.path)? { std::fs::remove_file(&self.path) } else { Ok(()) }
    }
}

impl Mapped {
    fn new(file: &File, words: usize) -> io::Result<Mapped> {
        use std::os::fd::AsRawFd;
        let (protection, fd) = (libc::PROT_READ | libc::PROT_WRITE, file.as_raw_fd());
        // SAFETY: a new mapping of an open file, at an address of the kernel's choice, overlaps nothing.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), words * 8, protection, libc::MAP_SHARED, fd, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or_else(|| io::Error::other("mapped at address 0"))?;
        Ok(Mapped { start, words })
    }

    fn nothing() -> Mapped {
        Mapped { start: NonNull::dangling(), words: 0 }
    }

    fn words(&self) -> &[AtomicU64] {
        // SAFETY: mapped for as long as `self` lives, page-aligned, of this many words, which are atomics to everybody; a dangling
        // start has no words. The file keeps its length: only who holds the lock changes it, and not while it is mapped.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.words) }
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        if self.words > 0 {
            // SAFETY: mapped by `new` with this length, and no reference into it outlives `self`. It fails only for other values.
            unsafe { libc::munmap(self.start.as_ptr().cast(), self.words * 8) };
        }
    }
}

fn open_locked(path: &Path) -> Result<File, MemoryError> {
    let failed = |what| move |source| MemoryError::File { what, path: path.to_owned(), source };
    let deadline = Instant::now() + LOCK_WAIT;
    for _ in 0..ATTEMPTS {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600).custom_flags(libc::O_NOFOLLOW);
        let file = options.open(path).map_err(failed("open"))?;
        let stat = file.metadata().map_err(failed("look at"))?;
        let is_private = stat.is_file() && stat.mode() & 0o077 == 0 && stat.nlink() <= 1;
        if !is_private || stat.uid() != rustix::process::geteuid().as_raw() {
            return Err(MemoryError::NotOurs(path.to_owned()));
        }
        let is_tmpfs = fstatfs(&file).map_err(io::Error::from).map_err(failed("look at"))?.f_type == TMPFS;
        if !is_tmpfs {
            if stat.len() == 0 {
                // Made just now, by this very call.
                let _ = std::fs::remove_file(path);
            }
            return Err(MemoryError::NotTmpfs(path.to_owned()));
        }
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::Error(source)) => return Err(failed("lock")(source)),
                Err(TryLockError::WouldBlock) if Instant::now() >= deadline => {
                    return Err(MemoryError::InUse(path.to_owned()));
                }
                Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(5)),
            }
        }
        // Whoever held it may have removed it.
        if is_at(&file, path).map_err(failed("look at"))? {
            return Ok(file);
        }
    }
    Err(MemoryError::InUse(path.to_owned()))
}

/// Whether this very file is at that path.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let ours = file.metadata()?;
    match std::fs::symlink_metadata(path) {
        Ok(there) => Ok((there.dev(), there.ino()) == (ours.dev(), ours.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// This start of the machine: a random number that the kernel drew (`random(4)`); 0 where it does not say.
fn boot_halves() -> [u64; 2] {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    let boot = u128::from_str_radix(&digits, 16).unwrap_or(0);
    [(boot >> 64) as u64, boot as u64]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    const WORDS: usize = 10_000;

    /// A directory on a tmpfs, removed at the end.
    fn tmpfs() -> tempfile::TempDir {
        tempfile::Builder::new()
            .prefix("peerway-test-")
            .tempdir_in("/dev/shm")
            .expect("these tests need a tmpfs at /dev/shm")
    }

    #[test]
    fn what_was_written_is_there_after_the_process_and_only_one_holds_it() {
        let dir = tmpfs();
        let path = dir.path().join("flows");
        let (memory, found) = SharedMemory::open(&path, 7, WORDS, 42).unwrap();
        assert_eq!((found, memory.seed(), memory.words().len()), (Found::New, 42, WORDS));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(memory.words().iter().all(|word| word.load(Ordering::Relaxed) == 0));
        assert!(memory.make_room(9000..WORDS) && memory.make_room(3..3));
        assert!(!memory.make_room(9000..WORDS + 1));
        memory.words()[9999].store(5, Ordering::Relaxed);
        assert!(matches!(SharedMemory::open(&path, 7, WORDS, 1), Err(MemoryError::InUse(_))));
        memory.release().unwrap();
        let (memory, found) = SharedMemory::open(&path, 7, WORDS, 1).unwrap();
        assert_eq!((found, memory.seed(), memory.words()[9999].load(Ordering::Relaxed)), (Found::Kept, 42, 5));
        memory.remove().unwrap();
        assert!(!path.exists());
        memory.remove().unwrap();
        drop(memory);
        assert_eq!(SharedMemory::open(&path, 7, WORDS, 1).unwrap().1, Found::New);
    }

    #[test]
    fn who_waited_for_a_file_that_was_removed_makes_another() {
        let dir = tmpfs();
        let path = dir.path().join("flows");
        let (first, _) = SharedMemory::open(&path, 7, WORDS, 1).unwrap();
        let waiting = std::thread::spawn({
            let path = path.clone();
            move || SharedMemory::open(&path, 7, WORDS, 2).unwrap()
        });
        std::thread::sleep(Duration::from_millis(100));
        first.remove().unwrap();
        drop(first);
        let (second, found) = waiting.join().unwrap();
        assert_eq!((found, second.seed(), path.exists()), (Found::New, 2, true));
    }

    #[test]
    fn another_layout_length_or_boot_begins_anew() {
        let dir = tmpfs();
        let path = dir.path().join("flows");
        let write = |memory: SharedMemory| {
            assert!(memory.make_room(0..1));
            assert_eq!(memory.words()[0].load(Ordering::Relaxed), 0, "nothing of before is seen");
            memory.words()[0].store(5, Ordering::Relaxed);
        };
        write(SharedMemory::open(&path, 7, WORDS, 1).unwrap().0);
        for (layout, words) in [(8, WORDS), (8, WORDS + 1), (8, WORDS - 1)] {
            let (memory, found) = SharedMemory::open(&path, layout, words, 2).unwrap();
            assert_eq!((found, memory.seed()), (Found::Foreign, 2));
            write(memory);
        }
        for at in [AT_MAGIC, AT_LAYOUT, AT_LEN, AT_BOOT, AT_BOOT + 1] {
            let (memory, found) = SharedMemory::open(&path, 8, WORDS - 1, 2).unwrap();
            assert_eq!(found, Found::Kept, "{at}");
            memory.mapped.words()[at].fetch_xor(1, Ordering::Relaxed);
            drop(memory);
            let (memory, found) = SharedMemory::open(&path, 8, WORDS - 1, 2).unwrap();
            assert_eq!(found, Found::Foreign, "{at}");
            write(memory);
        }
        for bytes in [&b"x"[..], &[0xff; PAGE * 3]] {
            std::fs::write(&path, bytes).unwrap();
            let (memory, found) = SharedMemory::open(&path, 8, WORDS, 2).unwrap();
            assert_eq!(found, Found::Foreign);
            write(memory);
        }
        assert_ne!(boot_halves(), [0, 0]);
    }

    #[test]
    fn a_file_that_others_can_touch_is_not_used() {
        let dir = tmpfs();
        let (target, link) = (dir.path().join("target"), dir.path().join("link"));
        std::fs::write(&target, b"").unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        assert!(matches!(SharedMemory::open(&link, 1, 1, 1), Err(MemoryError::File { what: "open", .. })));
        std::fs::set_permissions(&target, PermissionsExt::from_mode(0o644)).unwrap();
        assert!(matches!(SharedMemory::open(&target, 1, 1, 1), Err(MemoryError::NotOurs(_))));
        std::fs::set_permissions(&target, PermissionsExt::from_mode(0o600)).unwrap();
        std::fs::hard_link(&target, dir.path().join("second")).unwrap();
        assert!(matches!(SharedMemory::open(&target, 1, 1, 1), Err(MemoryError::NotOurs(_))));
        assert!(matches!(SharedMemory::open(dir.path(), 1, 1, 1), Err(MemoryError::File { .. })));
        assert!(matches!(SharedMemory::open(&dir.path().join("x"), 1, usize::MAX, 1), Err(MemoryError::Length(_))));
    }

    #[test]
    fn what_is_not_on_a_tmpfs_is_refused_and_leaves_nothing() {
        // A directory of the sources: on a disk.
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("peerway-test-not-tmpfs");
        assert!(matches!(SharedMemory::open(&path, 1, 1, 1), Err(MemoryError::NotTmpfs(_))));
        assert!(!path.exists());
    }

    #[test]
    fn a_full_tmpfs_is_an_answer() {
        let dir = tmpfs();
        let space = rustix::fs::statvfs(dir.path()).unwrap();
        let bytes = space.f_blocks * space.f_frsize;
        assert!((1..1 << 40).contains(&bytes), "this test needs a tmpfs with a limit at /dev/shm");
        let words = usize::try_from(bytes / 8 * 2).unwrap();
        let (memory, _) = SharedMemory::open(&dir.path().join("flows"), 1, words, 1).unwrap();
        assert!(!memory.make_room(0..words));
        assert!(memory.make_room(0..1), "and costs nothing else");
    }
}
