//! Lines that are kept for a while: JSON, one after the other, in a file that is put aside when it is full.
//!
//! ```text
//!   <data>/audit.jsonl      what is written now
//!          audit.1.jsonl    what was before, and so on; the oldest goes
//! ```
//!
//! Whoever has something to say never waits: there is a queue with a bound and a thread of its own. What does not fit is counted, and the
//! file says so where it is missing. A line is written within a hundredth of a second, with those that came meanwhile, and is on disk when the kernel
//! sees fit: a power cut may cost the last.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde::Serialize;

/// How much is kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Lines that wait.
    pub(crate) queue: usize,
    /// Of one file.
    pub(crate) bytes: u64,
    /// Files that were put aside.
    pub(crate) old_files: usize,
}

/// Where lines go.
pub(crate) struct Lines<L> {
    queue: SyncSender<Message<L>>,
    lost: Arc<AtomicU64>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

enum Message<L> {
    Line(Box<L>),
    End,
}

/// Lines that are written together.
const BATCH_MAX: u64 = 256;
/// How long the first line waits for company: a thread that woke up for each would take the processor from the request it is about.
const GATHER: Duration = Duration::from_millis(10);

impl<L: Serialize + Send + 'static> Lines<L> {
    /// `<folder>/<name>.jsonl`, which goes on where it ended.
    ///
    /// # Errors
    /// The kernel's.
    pub(crate) fn open(folder: &Path, name: &'static str, bounds: Bounds) -> io::Result<Lines<L>> {
        let file = Rotated::open(folder, name, bounds)?;
        let (queue, messages) = sync_channel(bounds.queue);
        let lost = Arc::<AtomicU64>::default();
        let counted = lost.clone();
        let thread = thread::Builder::new().name(name.into()).spawn(move || write(file, &messages, &counted))?;
        Ok(Lines { queue, lost, thread: Mutex::new(Some(thread)) })
    }

    /// Leaves a line to be written; lost if too many wait.
    pub(crate) fn put(&self, line: L) {
        if self.queue.try_send(Message::Line(Box::new(line))).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Lines that are in no file.
    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Writes what waits; what comes later is lost.
    pub(crate) fn close(&self) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // An error: it has ended before its time.
            let _ = self.queue.send(Message::End);
            if thread.join().is_err() {
                tracing::error!("a writer of lines ended in a panic");
            }
        }
    }
}

fn write<L: Serialize>(mut file: Rotated, messages: &Receiver<Message<L>>, lost: &AtomicU64) {
    let (mut bytes, mut told, mut is_well) = (Vec::new(), 0, true);
    let mut is_over = false;
    while !is_over {
        bytes.clear();
        let mut count = 0_u64;
        let mut next = messages.try_recv();
        if matches!(next, Err(TryRecvError::Empty)) {
            next = messages.recv().map_err(|_| TryRecvError::Disconnected);
            thread::sleep(GATHER);
        }
        loop {
            match next {
                Ok(Message::Line(line)) => {
                    count += 1;
                    // Numbers, texts and maps of them are JSON; what is not is as good as lost.
                    if serde_json::to_writer(&mut bytes, &line).is_ok() {
                        bytes.push(b'\n');
                    }
                }
                Ok(Message::End) | Err(TryRecvError::Disconnected) => is_over = true,
                Err(TryRecvError::Empty) => break,
            }
            if is_over || count >= BATCH_MAX {
                break;
            }
            next = messages.try_recv();
        }
        let missing = lost.load(Ordering::Relaxed) - told;
        if missing > 0 {
            bytes.extend(format!("{{\"lost\":{missing}}}\n").into_bytes());
        }
        match file.write(&bytes) {
            Ok(()) => {
                told += missing;
                is_well = true;
            }
            Err(error) => {
                lost.fetch_add(count, Ordering::Relaxed);
                // Once, until it works again: the disk is full enough.
                if is_well {
                    tracing::error!(%error, path = %file.path().display(), "lines are lost");
                }
                is_well = false;
            }
        }
    }
}

/// A file that is put aside when it is full.
struct Rotated {
    folder: PathBuf,
    name: &'static str,
    bounds: Bounds,
    file: File,
    length: u64,
}

impl Rotated {
    fn open(folder: &Path, name: &'static str, bounds: Bounds) -> io::Result<Rotated> {
        let (file, length) = append(&file_path(folder, name, 0))?;
        Ok(Rotated { folder: folder.to_owned(), name, bounds, file, length })
    }

    fn path(&self) -> PathBuf {
        file_path(&self.folder, self.name, 0)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.length > 0 && self.length + bytes.len() as u64 > self.bounds.bytes {
            self.put_aside()?;
        }
        self.length += bytes.len() as u64;
        self.file.write_all(bytes)
    }

    fn put_aside(&mut self) -> io::Result<()> {
        for n in (0..self.bounds.old_files).rev() {
            match fs::rename(file_path(&self.folder, self.name, n), file_path(&self.folder, self.name, n + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        (self.file, self.length) = append(&self.path())?;
        Ok(())
    }
}

/// The file, and what was put aside: the newest first.
pub(crate) fn file_path(folder: &Path, name: &str, n: usize) -> PathBuf {
    folder.join(if n == 0 { format!("{name}.jsonl") } else { format!("{name}.{n}.jsonl") })
}

fn append(path: &Path) -> io::Result<(File, u64)> {
    let file = File::options().create(true).append(true).mode(0o600).open(path)?;
    let length = file.metadata()?.len();
    Ok((file, length))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;

    const BOUNDS: Bounds = Bounds { queue: 64, bytes: 100, old_files: 2 };

    fn read(folder: &Path, n: usize) -> String {
        fs::read_to_string(file_path(folder, "audit", n)).unwrap_or_default()
    }

    #[test]
    fn files_are_put_aside_and_the_oldest_goes() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = Rotated::open(folder.path(), "audit", BOUNDS).unwrap();
        for n in 0..10 {
            file.write(format!("{n}{}\n", "x".repeat(38)).as_bytes()).unwrap();
        }
        let firsts = |n| read(folder.path(), n).lines().map(|line| line[..1].to_owned()).collect::<Vec<_>>();
        assert_eq!([firsts(0), firsts(1), firsts(2)], [["8", "9"], ["6", "7"], ["4", "5"]]);
        assert!(!file_path(folder.path(), "audit", 3).exists());
        let mode = std::os::unix::fs::PermissionsExt::mode(&file.file.metadata().unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
        // A restart goes on where it ended.
        let again = Rotated::open(folder.path(), "audit", BOUNDS).unwrap();
        assert_eq!(again.length, 80);
    }

    #[test]
    fn what_was_put_is_written_when_it_is_closed() {
        let folder = tempfile::tempdir().unwrap();
        let bounds = Bounds { bytes: 1 << 20, queue: 1000, ..BOUNDS };
        let lines = Lines::open(folder.path(), "audit", bounds).unwrap();
        (0..1000).for_each(|n| lines.put(n));
        lines.close();
        lines.close();
        let written: Vec<usize> = read(folder.path(), 0).lines().map(|line| line.parse().unwrap()).collect();
        assert_eq!((written, lines.lost()), ((0..1000).collect(), 0));
    }

    /// A line whose writing takes as long as the test wants.
    struct Slow(Arc<Barrier>);

    impl Serialize for Slow {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            self.0.wait();
            self.0.wait();
            serializer.serialize_u64(7)
        }
    }

    #[test]
    fn nobody_waits_for_the_disk_and_what_is_lost_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let lines = Arc::new(Lines::open(folder.path(), "audit", Bounds { queue: 1, ..BOUNDS }).unwrap());
        let barrier = Arc::new(Barrier::new(2));
        lines.put(Slow(barrier.clone()));
        barrier.wait();
        // The thread writes, and will not go on before we say so: one line waits, five find no room.
        let (putting, of_thread) = (lines.clone(), barrier.clone());
        let put = thread::spawn(move || (0..6).for_each(|_| putting.put(Slow(of_thread.clone()))));
        let start = std::time::Instant::now();
        while !put.is_finished() {
            assert!(start.elapsed() < Duration::from_secs(10), "who puts a line waits for the disk");
            thread::yield_now();
        }
        assert_eq!(lines.lost(), 5);
        for _ in 0..3 {
            barrier.wait();
        }
        lines.close();
        let text = read(folder.path(), 0);
        assert_eq!(text.lines().filter(|line| *line == "7").count(), 2);
        assert!(text.contains("{\"lost\":5}"), "{text}");
    }
}
