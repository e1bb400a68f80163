//! Brings what the data plane counted for flow logs into files, an interval at a time.
//!
//! ```text
//!   intent ─▶ FlowLogs::follow ── other flow logs than before? ─▶ what was counted under the old ones waits to be written
//!                                                                   │
//!   every minute, and at the end ─▶ this thread takes the rest ─────┴─▶ lines ─▶ files (`files`)
//! ```
//!
//! One line is about one flow and at most [`INTERVAL`], as on AWS's Nitro instances, where a flow log's 600 seconds are an upper bound. A
//! flow log that is made or deleted ends the interval of all: no line is about a time in which its flow log was not there. What no file
//! took and what was not yet written when the agent is killed is lost.

mod files;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use dataplane::{FlowRecord, Line, LogSubject, Records, Taken};
use model::intent::Intent;
use model::{FlowLog, FlowLogId, HostId, NetworkInterfaceId, Region, Time};

use crate::engine::now;
use files::Files;

/// How long one line may be about.
const INTERVAL: Duration = Duration::from_secs(60);
/// Intervals that wait to be written; what is counted in more of them is skipped.
const BATCHES_MAX: usize = 8;

/// What becomes lines, as other threads see it.
pub(crate) struct FlowLogs {
    board: Arc<Board>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Board {
    plane: Arc<dataplane::Shared>,
    host: HostId,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    coverage: Coverage,
    begun: Time,
    due: Instant,
    waiting: VecDeque<Batch>,
    /// Interfaces whose packets were counted and could not wait.
    lost: BTreeSet<NetworkInterfaceId>,
    is_stopping: bool,
}

/// Which flow logs there are, and what their lines say of the interfaces.
#[derive(Clone, Default)]
struct Coverage {
    logs: BTreeMap<FlowLogId, (Region, Arc<FlowLog>)>,
    /// Those that were there at some time in this interval.
    subjects: BTreeMap<NetworkInterfaceId, LogSubject>,
    /// Those that are there still.
    present: BTreeSet<NetworkInterfaceId>,
}

/// What was counted in an interval.
struct Batch {
    taken: Taken,
    coverage: Coverage,
    lost: BTreeSet<NetworkInterfaceId>,
    start: Time,
    end: Time,
    /// It lasted as long as it should: an interface of which nothing was recorded is told so.
    is_whole: bool,
}

impl FlowLogs {
    /// Lines go into files below `directory`, which is made with the first of them.
    pub(crate) fn start(plane: Arc<dataplane::Shared>, host: HostId, directory: &Path) -> std::io::Result<FlowLogs> {
        let state = State {
            coverage: Coverage::default(),
            begun: now(),
            due: Instant::now() + INTERVAL,
            waiting: VecDeque::new(),
            lost: BTreeSet::new(),
            is_stopping: false,
        };
        let board = Arc::new(Board { plane, host, state: Mutex::new(state), changed: Condvar::new() });
        let (seen, mut files) = (board.clone(), Files::open(directory, host));
        let work = move || {
            while let Some(batch) = seen.next() {
                write(batch, &mut files);
            }
        };
        let thread = std::thread::Builder::new().name("flow logs".into()).spawn(work)?;
        Ok(FlowLogs { board, thread: Mutex::new(Some(thread)) })
    }

    /// Lines are about these interfaces from here on. Call it when the intent is in force and before anybody hears that it is: then a flow
    /// log has every packet that is sent after it was made.
    pub(crate) fn follow(&self, intent: &Intent) {
        let wanted = Coverage::of(intent, self.board.host);
        let mut state = self.board.state();
        if !state.coverage.logs.keys().eq(wanted.logs.keys()) {
            self.board.cut(&mut state, false);
            self.board.changed.notify_all();
        }
        state.coverage.follow(wanted);
    }

    /// Writes what was counted up to now, and ends.
    pub(crate) fn stop(&self) {
        self.board.state().is_stopping = true;
        self.board.changed.notify_all();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread that writes flow logs ended in a panic");
        }
    }
}

impl Drop for FlowLogs {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Board {
    /// Waits for something to write; `None`: there will be no more.
    fn next(&self) -> Option<Batch> {
        let mut state = self.state();
        loop {
            if let Some(batch) = state.waiting.pop_front() {
                return Some(batch);
            }
            let (is_due, is_stopping) = (Instant::now() >= state.due, state.is_stopping);
            if is_stopping && state.coverage.logs.is_empty() {
                return None;
            }
            if is_due || is_stopping {
                self.cut(&mut state, is_due);
                if is_stopping {
                    state.coverage = Coverage::default();
                }
                continue;
            }
            let patience = state.due.saturating_duration_since(Instant::now());
            state = self.changed.wait_timeout(state, patience).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Ends the interval, of which what was counted waits to be written.
    fn cut(&self, state: &mut State, is_whole: bool) {
        let (start, end) = (state.begun, now());
        (state.begun, state.due) = (end, Instant::now() + INTERVAL);
        let taken = self.plane.take_flows();
        if !state.coverage.logs.is_empty() {
            if state.waiting.len() >= BATCHES_MAX {
                state.lost.extend(state.coverage.subjects.keys());
            } else {
                let (coverage, lost) = (state.coverage.clone(), std::mem::take(&mut state.lost));
                state.waiting.push_back(Batch { taken, coverage, lost, start, end, is_whole });
            }
        }
        state.coverage.forget_absent();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Coverage {
    fn of(intent: &Intent, host: HostId) -> Coverage {
        let slices = || intent.vpcs.values().filter(|slice| !slice.flow_logs.is_empty());
        let logs = slices().flat_map(|slice| slice.flow_logs.iter().map(|log| (log.id, (slice.region, log.clone()))));
        let subjects = slices().flat_map(|slice| LogSubject::of(slice, host));
        let subjects: BTreeMap<_, _> = subjects.map(|subject| (subject.interface.id, subject)).collect();
        let is_up = |(id, subject): (&NetworkInterfaceId, &LogSubject)| subject.is_up.then_some(*id);
        Coverage { logs: logs.collect(), present: subjects.iter().filter_map(is_up).collect(), subjects }
    }

    /// Takes over what is there now; who is gone since the interval began may still have lines in it.
    fn follow(&mut self, now: Coverage) {
        (self.logs, self.present) = (now.logs, now.present);
        self.subjects.extend(now.subjects);
    }

    fn forget_absent(&mut self) {
        let present = &self.present;
        self.subjects.retain(|id, _| present.contains(id));
    }
}

fn write(batch: Batch, files: &mut Files) {
    let Batch { taken, coverage, lost, start, end, is_whole } = batch;
    let mut records = taken.records();
    lost.into_iter().for_each(|interface| *records.skipped.entry(interface).or_default() += 1);
    for (region, log) in coverage.logs.values() {
        let lines = lines(log, &coverage, &records, (start, end), is_whole);
        files.append(*region, log, start, &lines);
    }
    files.close_all_but(&coverage.logs);
}

/// The lines of one flow log.
fn lines(log: &FlowLog, coverage: &Coverage, records: &Records, (start, end): (Time, Time), is_whole: bool) -> String {
    let mut text = String::new();
    let mut told = BTreeSet::new();
    let subject_of = |interface: &NetworkInterfaceId| {
        coverage.subjects.get(interface).filter(|subject| log.resource.covers(&subject.interface))
    };
    for record in &records.flows {
        let FlowRecord { flow, .. } = record;
        let is_wanted = match flow.rejected {
            None => log.traffic.takes_accepted(),
            Some(_) => log.traffic.takes_rejected(),
        };
        if let Some(subject) = subject_of(&flow.interface).filter(|_| is_wanted) {
            Line::Flow(record).write(&mut text, &log.format, subject);
            told.insert(flow.interface);
        }
    }
    for interface in records.skipped.keys() {
        if let Some(subject) = subject_of(interface) {
            Line::SkipData(start, end).write(&mut text, &log.format, subject);
            told.insert(*interface);
        }
    }
    if is_whole {
        for subject in coverage.present.difference(&told).filter_map(subject_of) {
            Line::NoData(start, end).write(&mut text, &log.format, subject);
        }
    }
    text
}

#[cfg(test)]
mod tests;
