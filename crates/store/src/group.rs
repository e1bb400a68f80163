//! Group commit: whoever holds the writer commits for everyone who waits, with one fsync.
//!
//! A committer queues its transactions. If nobody is writing it takes a turn: it plans all that is queued, makes it
//! durable, publishes it and leaves everyone their answers; else it waits for its own. While one turn waits for the
//! disk the next group gathers. The queue is bounded by the number of threads that wait in it.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::embedded::Embedded;
use crate::ledger::Writes;
use crate::txn::{CommitError, Revision, Txn};
use crate::watch::Feed;

/// How many transactions share an fsync, so that the first in the queue is not kept waiting for ever more work. The
/// batch of a single committer is never split.
const GROUP_TXNS_MAX: usize = 1024;

type Answers = Vec<Result<Revision, CommitError>>;

/// Where acknowledged transactions are kept.
#[derive(Debug)]
pub(crate) enum Backend {
    /// Nowhere but in the ledger.
    Memory,
    /// In a directory of this machine.
    Embedded(Box<Embedded>),
}

impl Backend {
    /// Returns when the writes are durable, all or none of them.
    fn persist(&mut self, writes: &Writes, revision: Revision) -> io::Result<()> {
        match self {
            Self::Memory => Ok(()),
            Self::Embedded(embedded) => embedded.persist(writes, revision),
        }
    }
}

/// The commits of one store, one group after the other.
#[derive(Debug)]
pub(crate) struct Group {
    waiting: Mutex<Waiting>,
    answered: Condvar,
    /// Locked only by the one that takes a turn.
    writer: Mutex<Writer>,
}

#[derive(Debug, Default)]
struct Waiting {
    queue: VecDeque<Ticket>,
    /// By ticket, until fetched.
    answers: BTreeMap<u64, Answers>,
    ticket_next: u64,
    /// Someone is taking a turn.
    writing: bool,
}

/// What one committer wants.
#[derive(Debug)]
struct Ticket {
    id: u64,
    txns: Vec<Txn>,
}

impl Group {
    pub(crate) fn new(backend: Backend) -> Self {
        let writer = Mutex::new(Writer { backend, failed: None });
        Self { waiting: Mutex::default(), answered: Condvar::new(), writer }
    }

    pub(crate) fn commit(&self, txns: Vec<Txn>, feed: &Feed) -> Answers {
        let mut waiting = lock(&self.waiting);
        let id = waiting.enqueue(txns);
        // Ends: every turn answers at least the first ticket of the queue, and ours moves up.
        loop {
            if let Some(answers) = waiting.answers.remove(&id) {
                return answers;
            }
            if waiting.writing {
                waiting = self.answered.wait(waiting).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            waiting.writing = true;
            let tickets = waiting.next_group();
            drop(waiting);
            let answers = lock(&self.writer).turn(&tickets, feed);
            waiting = lock(&self.waiting);
            waiting.answer(&tickets, answers);
            self.answered.notify_all();
        }
    }
}

impl Waiting {
    fn enqueue(&mut self, txns: Vec<Txn>) -> u64 {
        let id = self.ticket_next;
        self.ticket_next += 1;
        self.queue.push_back(Ticket { id, txns });
        id
    }

    fn next_group(&mut self) -> Vec<Ticket> {
        let mut txns = 0;
        let mut tickets = Vec::new();
        while let Some(ticket) = self.queue.front() {
            txns += ticket.txns.len();
            if !tickets.is_empty() && txns > GROUP_TXNS_MAX {
                break;
            }
            tickets.extend(self.queue.pop_front());
        }
        tickets
    }

    fn answer(&mut self, tickets: &[Ticket], answers: Answers) {
        let mut answers = answers.into_iter();
        for ticket in tickets {
            self.answers.insert(ticket.id, answers.by_ref().take(ticket.txns.len()).collect());
        }
        self.writing = false;
    }
}

#[derive(Debug)]
struct Writer {
    backend: Backend,
    /// The first write error: what the disk holds since then is unknown, so nothing may be built on it.
    failed: Option<Arc<io::Error>>,
}

impl Writer {
    /// Answers every transaction, whatever happens: those who wait have no one else to ask.
    fn turn(&mut self, tickets: &[Ticket], feed: &Feed) -> Answers {
        let commit = AssertUnwindSafe(|| self.commit(tickets, feed));
        catch_unwind(commit).unwrap_or_else(|_| {
            let panicked = Arc::new(io::Error::other("writing panicked"));
            self.failed = Some(panicked.clone());
            let txns = tickets.iter().flat_map(|ticket| &ticket.txns);
            txns.map(|_| Err(CommitError::Io(panicked.clone()))).collect()
        })
    }

    fn commit(&mut self, tickets: &[Ticket], feed: &Feed) -> Answers {
        let txns = || tickets.iter().flat_map(|ticket| &ticket.txns);
        if let Some(failed) = &self.failed {
            return txns().map(|_| Err(CommitError::Stopped(failed.clone()))).collect();
        }
        let plan = feed.read(|ledger| ledger.plan(txns()));
        if plan.writes.is_empty() {
            return plan.results;
        }
        match self.backend.persist(&plan.writes, plan.revision) {
            Ok(()) => feed.write(|ledger| ledger.apply(plan)),
            Err(error) => {
                let error = Arc::new(error);
                self.failed = Some(error.clone());
                let unknown = |answer: Result<_, _>| answer.and_then(|_| Err(CommitError::Io(error.clone())));
                plan.results.into_iter().map(unknown).collect()
            }
        }
    }
}

/// Under the first lock nothing panics half-way, and under the second panics are caught.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
