//! Which captures run, and how one goes on in another process over a planned restart.
//!
//! ```text
//!   close   no capture begins any more; those of interfaces are announced, with their clients' connections
//!   leave   packet threads have ended: each writes what it had seen, and says how far it came
//!   left    how far each came; who does not finish in time is not handed over, and its client sees the end
//! ```

use std::collections::BTreeMap;
use std::io;
use std::os::unix::net::UnixStream;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{CAPTURES_MAX, CaptureOrder, refusal};

/// Captures that run.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    state: Mutex<State>,
    ended: Condvar,
}

#[derive(Debug, Default)]
struct State {
    taken: usize,
    next: u64,
    /// Those that another process can go on with.
    running: BTreeMap<u64, (CaptureOrder, UnixStream)>,
    is_closed: bool,
    is_leaving: bool,
    left: Vec<LeftCapture>,
}

/// A place among [`CAPTURES_MAX`], given back when dropped.
#[derive(Debug)]
pub(super) struct Slot<'a> {
    slots: &'a Slots,
    number: u64,
}

/// How far a capture came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LeftCapture {
    /// Its process's name for it.
    pub(crate) number: u64,
    pub(crate) frames: u64,
    pub(crate) dropped: u64,
    /// Frames that may still come; `None`: any number.
    pub(crate) frames_left: Option<u64>,
    /// Until its end by time; `None`: it has none.
    pub(crate) millis_left: Option<u64>,
}

impl Slots {
    pub(super) fn take(&self) -> io::Result<Slot<'_>> {
        let mut state = self.state();
        if state.is_closed {
            return Err(closed());
        }
        if state.taken >= CAPTURES_MAX {
            return Err(refusal(format!(
                "{CAPTURES_MAX} captures run on this host already, which is the limit; end one of them"
            )));
        }
        state.taken += 1;
        state.next += 1;
        Ok(Slot { slots: self, number: state.next })
    }

    /// No capture begins from here on; those that another process can go on with.
    pub(crate) fn close(&self) -> Vec<(u64, CaptureOrder, UnixStream)> {
        let mut state = self.state();
        state.is_closed = true;
        let running = state.running.iter();
        // One that finds no descriptor ends with this process.
        running.filter_map(|(number, (order, client))| Some((*number, *order, client.try_clone().ok()?))).collect()
    }

    /// Nothing more is seen: each writes what there is, and says how far it came, within `at_most` in all.
    pub(crate) fn leave(&self, at_most: Duration) -> Vec<LeftCapture> {
        let mut state = self.state();
        state.is_leaving = true;
        let runs = |state: &mut State| !state.running.is_empty();
        let (mut state, _) =
            self.ended.wait_timeout_while(state, at_most, runs).unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut state.left)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot<'_> {
    /// From here on another process could go on with it.
    pub(super) fn announce(&self, order: &CaptureOrder, client: &UnixStream) -> io::Result<()> {
        let client = client.try_clone()?;
        let mut state = self.slots.state();
        if state.is_closed {
            return Err(closed());
        }
        state.running.insert(self.number, (*order, client));
        Ok(())
    }

    pub(super) fn is_leaving(&self) -> bool {
        self.slots.state().is_leaving
    }

    /// Another process goes on from there.
    pub(super) fn left(&self, left: LeftCapture) {
        self.slots.state().left.push(LeftCapture { number: self.number, ..left });
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        let mut state = self.slots.state();
        state.taken -= 1;
        state.running.remove(&self.number);
        self.slots.ended.notify_all();
    }
}

fn closed() -> io::Error {
    refusal("the agent is being reloaded; try again".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::{CaptureFormat, CaptureTarget};

    const ORDER: CaptureOrder =
        CaptureOrder { target: CaptureTarget::Underlay, format: CaptureFormat::Lines, count: Some(9), seconds: None };

    #[test]
    fn slots_are_given_back() {
        let slots = Slots::default();
        let taken: Vec<_> = (0..CAPTURES_MAX).map(|_| slots.take().ok()).collect();
        assert!(taken.iter().all(Option::is_some));
        assert!(slots.take().is_err_and(|error| error.to_string().contains("limit")));
        drop(taken);
        assert!(slots.take().is_ok());
    }

    #[test]
    fn what_was_announced_leaves_or_is_waited_for_no_longer_than_said() -> io::Result<()> {
        let (client, _other) = UnixStream::pair()?;
        let slots = Slots::default();
        let (quick, stuck, silent) = (slots.take()?, slots.take()?, slots.take()?);
        quick.announce(&ORDER, &client)?;
        stuck.announce(&ORDER, &client)?;
        let announced: Vec<u64> = slots.close().into_iter().map(|(number, _, _)| number).collect();
        assert_eq!(announced, [quick.number, stuck.number], "keys that are shown are not handed over");
        assert!(slots.take().is_err_and(|error| error.to_string().contains("reloaded")));
        assert!(silent.announce(&ORDER, &client).is_err_and(|error| error.to_string().contains("reloaded")));
        assert!(!quick.is_leaving());
        let left = LeftCapture { number: 0, frames: 3, dropped: 1, frames_left: Some(6), millis_left: None };
        let number = quick.number;
        let told = std::thread::scope(|scope| {
            scope.spawn(|| {
                while !quick.is_leaving() {
                    std::thread::yield_now();
                }
                quick.left(left);
                drop(quick);
            });
            slots.leave(Duration::from_millis(200))
        });
        assert_eq!(told, [LeftCapture { number, ..left }]);
        drop((stuck, silent));
        Ok(())
    }
}
