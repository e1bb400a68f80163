//! How does a store stay on one machine's disk, at the price of one sync for each group?
//!
//! ```text
//!                 ┌──► journal of generation n+1 ──┐ full: they change places
//!  group ──append─┘    journal of generation n  ◄──┘
//!                               │ checkpoint, in a thread of its own
//!                               ▼
//!                        tables (redb), which name the last generation that they have taken over
//! ```
//!
//! The tables' transaction is what frees a journal: before it, its records count; after it, nothing in the file does.
//! So there is no moment at which a crash loses or repeats anything. Memory holds what the tables have not taken over,
//! at most two journals. If both are full the writer waits for the disk.
//!
//! Each opening takes over what both journals hold and begins a generation of its own, so that what an interrupted write
//! left is never beside a new record.

use std::io;
use std::mem;
use std::sync::mpsc::{self, Receiver, Sender, TryRecvError};
use std::thread::{self, JoinHandle};

use crate::frame::{self, Generation};
use crate::journal::{self, File, Journal, JournalError};
use crate::ledger::Writes;
use crate::lock::DirLock;
use crate::tables::{Content, Tables, io_error};
use crate::txn::Revision;

/// An open directory.
#[derive(Debug)]
pub(crate) struct Embedded {
    active: Journal,
    /// The other one, unless a checkpoint is under way.
    spare: Option<Journal>,
    /// What is in `active`.
    pending: Writes,
    revision: Revision,
    /// A record under construction.
    buffer: Vec<u8>,
    bytes_max: u64,
    /// Every write so far is known to be on disk.
    is_sound: bool,
    checkpointer: Checkpointer,
    /// Comes last: it is released after all files are closed.
    _lock: Option<DirLock>,
}

/// Why the tables and the journals together are no store.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error("journal {index}")]
    Journal { index: usize, source: JournalError },
    #[error(transparent)]
    Tables(#[from] redb::Error),
    #[error("the checkpoint thread")]
    Thread(#[source] io::Error),
}

/// Makes an empty journal of a store's own, before its tables name it.
pub(crate) fn make_journal(files: &[File; 2], salt: u64) -> Result<Generation, StartError> {
    for (index, file) in files.iter().enumerate() {
        journal::make(file, salt, index).map_err(in_journal(index))?;
    }
    Ok(Generation { salt, number: 0 })
}

impl Embedded {
    /// Adds to `content`, which the tables hold up to and with `generation`, what the journals hold beyond it.
    pub(crate) fn start(
        tables: Tables,
        mut content: Content,
        generation: Generation,
        files: [File; 2],
        bytes_max: u64,
        lock: Option<DirLock>,
    ) -> Result<(Self, Content), StartError> {
        let mut pending = Writes::new();
        let last = generation.next().next();
        for next in [generation.next(), last] {
            let index = next.index();
            let records = journal::read(&files[index], next, content.revision);
            for record in records.map_err(in_journal(index))? {
                content.revision = record.revision;
                pending.extend(record.writes);
            }
        }
        tables.write(&pending, content.revision, last)?;
        for (key, entry) in pending {
            match entry {
                Some(entry) => content.entries.insert(key, entry),
                None => content.entries.remove(&key),
            };
        }
        let new = |file, generation: Generation| {
            Journal::new(file, generation, bytes_max).map_err(|error| in_journal(generation.index())(error))
        };
        let active = last.next();
        let [zero, one] = files;
        let (file, other) = if active.index() == 0 { (zero, one) } else { (one, zero) };
        let embedded = Self {
            active: new(file, active)?,
            spare: Some(new(other, last)?),
            pending: Writes::new(),
            revision: content.revision,
            buffer: Vec::new(),
            bytes_max,
            is_sound: true,
            checkpointer: Checkpointer::start(tables).map_err(StartError::Thread)?,
            _lock: lock,
        };
        Ok((embedded, content))
    }

    /// Returns when the writes and the revision are on disk, all or nothing. Not to be called after an error.
    pub(crate) fn persist(&mut self, writes: &Writes, revision: Revision) -> io::Result<()> {
        self.is_sound = false;
        if self.spare.is_none() {
            self.spare = self.checkpointer.finished()?;
        }
        self.buffer.clear();
        frame::encode(&mut self.buffer, self.revision, revision, writes);
        if !self.active.has_room(&self.buffer) {
            self.checkpoint()?;
        }
        self.active.append(&mut self.buffer)?;
        if self.buffer.capacity() as u64 > self.bytes_max {
            self.buffer = Vec::new();
        }
        self.pending.extend(writes.iter().map(|(key, entry)| (key.clone(), entry.clone())));
        self.revision = revision;
        self.is_sound = true;
        Ok(())
    }

    /// Goes on in the other journal and has the tables take over this one.
    fn checkpoint(&mut self) -> io::Result<()> {
        let mut next = match self.spare.take() {
            Some(spare) => spare,
            None => self.checkpointer.wait()?,
        };
        next.begin(self.active.generation().next());
        let journal = mem::replace(&mut self.active, next);
        let writes = mem::take(&mut self.pending);
        self.checkpointer.begin(Checkpoint { journal, writes, revision: self.revision })
    }
}

impl Drop for Embedded {
    /// Leaves the journals empty, so that the next opening is quick. What does not get into the tables now is still in
    /// the journal then.
    fn drop(&mut self) {
        if self.is_sound && !self.pending.is_empty() {
            let _ = self.checkpoint();
        }
    }
}

/// A journal that is full, and what it holds.
#[derive(Debug)]
struct Checkpoint {
    journal: Journal,
    writes: Writes,
    revision: Revision,
}

/// The thread that has the tables; one checkpoint at a time, and dropping it waits for that one.
#[derive(Debug)]
struct Checkpointer {
    work: Option<Sender<Checkpoint>>,
    done: Receiver<io::Result<Journal>>,
    thread: Option<JoinHandle<()>>,
}

impl Checkpointer {
    fn start(tables: Tables) -> io::Result<Self> {
        let (work, checkpoints) = mpsc::channel();
        let (answer, done) = mpsc::channel();
        let run = move || {
            for checkpoint in checkpoints {
                if answer.send(take_over(&tables, checkpoint)).is_err() {
                    return;
                }
            }
        };
        let thread = thread::Builder::new().name("store checkpoint".to_owned()).spawn(run)?;
        Ok(Self { work: Some(work), done, thread: Some(thread) })
    }

    fn begin(&self, checkpoint: Checkpoint) -> io::Result<()> {
        let sent = self.work.as_ref().map(|work| work.send(checkpoint).is_ok());
        if sent == Some(true) { Ok(()) } else { Err(ended()) }
    }

    /// The journal that is free again, if it is.
    fn finished(&self) -> io::Result<Option<Journal>> {
        match self.done.try_recv() {
            Ok(result) => result.map(Some),
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => Err(ended()),
        }
    }

    fn wait(&self) -> io::Result<Journal> {
        self.done.recv().map_err(|_| ended())?
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        drop(self.work.take());
        // A panic there was told to whoever waited for it.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn take_over(tables: &Tables, checkpoint: Checkpoint) -> io::Result<Journal> {
    let Checkpoint { mut journal, writes, revision } = checkpoint;
    tables.write(&writes, revision, journal.generation()).map_err(io_error)?;
    journal.shrink()?;
    Ok(journal)
}

fn ended() -> io::Error {
    io::Error::other("taking over the journal ended in a panic")
}

fn in_journal<E: Into<JournalError>>(index: usize) -> impl Fn(E) -> StartError {
    move |error| StartError::Journal { index, source: error.into() }
}
