//! Watching: every change in order, each revision whole, or an honest refusal.
//!
//! A watcher keeps no queue of its own: it is a position in the store's bounded history. One that is not asked for so
//! long that the history has moved past it answers [`WatchError::Compacted`], as etcd does, and its owner takes a new
//! snapshot. No reader can therefore make the store grow, or wait.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use crate::ledger::{Change, Ledger};
use crate::txn::Revision;

/// Why a watcher has nothing more to say.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WatchError {
    /// The history no longer holds what the watcher would hand out next.
    #[error("revision {from} can no longer be watched, the history begins after {compacted}; take a snapshot")]
    Compacted {
        /// The revision the watcher stands at.
        from: Revision,
        /// The newest revision that is lost.
        compacted: Revision,
    },
    /// The store was closed and everything before that has been handed out.
    #[error("the store was closed")]
    Closed,
    /// More watchers than [`crate::Options::watchers_max`].
    #[error("the store has {max} watchers, the most it accepts; drop one first")]
    TooMany {
        /// The limit.
        max: usize,
    },
}

/// A position in the store's history, restricted to a prefix. Ask it blocking ([`next`](Self::next)), without waiting
/// ([`try_next`](Self::try_next)) or from any async runtime ([`changed`](Self::changed),
/// [`poll_next`](Self::poll_next)). After an error it repeats that error.
#[derive(Debug)]
pub struct Watcher {
    feed: Arc<Feed>,
    id: u64,
    prefix: String,
    from: Revision,
}

impl Watcher {
    /// The next change if it has happened already.
    ///
    /// # Errors
    /// [`WatchError::Compacted`] or [`WatchError::Closed`].
    pub fn try_next(&mut self) -> Result<Option<Change>, WatchError> {
        let feed = self.feed.clone();
        self.advance(&feed.lock())
    }

    /// The next change, waited for at most `timeout`; none if that passes.
    ///
    /// # Errors
    /// As [`try_next`](Self::try_next).
    pub fn next(&mut self, timeout: Duration) -> Result<Option<Change>, WatchError> {
        let feed = self.feed.clone();
        let start = Instant::now();
        let mut state = feed.lock();
        loop {
            if let Some(change) = self.advance(&state)? {
                return Ok(Some(change));
            }
            let Some(rest) = timeout.checked_sub(start.elapsed()).filter(|rest| !rest.is_zero()) else {
                return Ok(None);
            };
            state = feed.changed.wait_timeout(state, rest).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The next change, for tasks: arranges that `cx` is woken when asking again makes sense.
    ///
    /// # Errors
    /// As [`try_next`](Self::try_next).
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Change, WatchError>> {
        let feed = self.feed.clone();
        let mut state = feed.lock();
        match self.advance(&state).transpose() {
            Some(answer) => Poll::Ready(answer),
            None => {
                state.watchers.insert(self.id, Some(cx.waker().clone()));
                Poll::Pending
            }
        }
    }

    /// The next change, for tasks. Dropping the future loses nothing.
    ///
    /// # Errors
    /// As [`try_next`](Self::try_next).
    pub async fn changed(&mut self) -> Result<Change, WatchError> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// The revision up to which everything has been handed out.
    #[must_use]
    pub fn seen(&self) -> Revision {
        self.from - 1
    }

    fn advance(&mut self, state: &FeedState) -> Result<Option<Change>, WatchError> {
        let ledger = &state.ledger;
        within_history(ledger, self.from)?;
        if let Some(change) = ledger.change_after(&self.prefix, self.from) {
            self.from = change.revision + 1;
            return Ok(Some(change));
        }
        // What happened under other prefixes needs no second look, and must not age this watcher.
        self.from = self.from.max(ledger.revision() + 1);
        if state.closed { Err(WatchError::Closed) } else { Ok(None) }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.feed.lock().watchers.remove(&self.id);
    }
}

/// The ledger, and those who wait for it to change.
#[derive(Debug)]
pub(crate) struct Feed {
    state: Mutex<FeedState>,
    changed: Condvar,
}

#[derive(Debug)]
struct FeedState {
    ledger: Ledger,
    closed: bool,
    /// By watcher; the waker of a task that waits.
    watchers: BTreeMap<u64, Option<Waker>>,
    watcher_next: u64,
}

impl Feed {
    pub(crate) fn new(ledger: Ledger) -> Self {
        let state = FeedState { ledger, closed: false, watchers: BTreeMap::new(), watcher_next: 0 };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    pub(crate) fn read<T>(&self, read: impl FnOnce(&Ledger) -> T) -> T {
        read(&self.lock().ledger)
    }

    /// Changes the ledger, then wakes everyone who waits.
    pub(crate) fn write<T>(&self, write: impl FnOnce(&mut Ledger) -> T) -> T {
        self.update(|state| write(&mut state.ledger))
    }

    pub(crate) fn close(&self) {
        self.update(|state| state.closed = true);
    }

    pub(crate) fn watch(feed: &Arc<Self>, prefix: &str, from: Revision) -> Result<Watcher, WatchError> {
        let from = from.max(1);
        let mut state = feed.lock();
        within_history(&state.ledger, from)?;
        let max = state.ledger.options().watchers_max;
        if state.watchers.len() >= max {
            return Err(WatchError::TooMany { max });
        }
        let id = state.watcher_next;
        state.watcher_next += 1;
        state.watchers.insert(id, None);
        Ok(Watcher { feed: feed.clone(), id, prefix: prefix.to_owned(), from })
    }

    fn update<T>(&self, update: impl FnOnce(&mut FeedState) -> T) -> T {
        let mut state = self.lock();
        let value = update(&mut state);
        let wakers: Vec<Waker> = state.watchers.values_mut().filter_map(Option::take).collect();
        drop(state);
        self.changed.notify_all();
        wakers.into_iter().for_each(Waker::wake);
        value
    }

    /// A panic elsewhere must not take the readers down: nothing done under this lock panics half-way.
    fn lock(&self) -> MutexGuard<'_, FeedState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn within_history(ledger: &Ledger, from: Revision) -> Result<(), WatchError> {
    let compacted = ledger.compacted();
    if from <= compacted { Err(WatchError::Compacted { from, compacted }) } else { Ok(()) }
}
