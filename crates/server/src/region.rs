//! One region's state: who reads sees the last published World, who writes waits in one queue.
//!
//! The writer takes what waits, handles one after the other on the evolving World, commits all of it with one sync, and only
//! then publishes the World and answers. A crash before the sync loses nothing that was acknowledged; a crash after it loses
//! only the answer.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use control::federation::CHANGES_MAX;
use control::{Config, Seed};
use ec2::Error;
use ec2::service::{PeerwayReply, StsReply};
use model::{Change, Ipv6Cidr, Key, Region, Time, World};
use store::{Store, TXN_OPERATIONS_MAX, Txn};
use tokio::sync::{mpsc, oneshot, watch};

use crate::{Cloud, Options, StartError, records};

/// Requests that wait for the writer; more are told to come again.
const QUEUE_MAX: usize = 4096;
/// Requests that share one sync.
const BATCH_MAX: usize = 512;
/// How often a request is handled anew when the store has moved on under it.
const RETRIES_MAX: usize = 8;
/// How often expiry is looked at, at the least.
const TICK: Duration = Duration::from_millis(500);

/// What a piece of work answers.
#[derive(Debug)]
pub(crate) enum Answer {
    Ec2(Box<ec2::Reply>),
    Sts(Box<StsReply>),
    Peerway(Box<PeerwayReply>),
    Nothing,
}

/// What a piece of work comes to: nothing has happened before the changes are committed.
pub(crate) type Outcome = Result<(Answer, Vec<Change>), Error>;

/// Done on the newest World; done again if the store has moved on.
pub(crate) type Work = Box<dyn FnMut(&World, &Config) -> Outcome + Send>;

/// The answer and the revision that it is in.
pub(crate) type Committed = Result<(Answer, u64), Error>;

struct Job {
    work: Work,
    reply: oneshot::Sender<Committed>,
}

pub(crate) struct RegionShell {
    pub(crate) config: Config,
    world: watch::Receiver<Arc<World>>,
    queue: Mutex<Option<mpsc::Sender<Job>>>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl RegionShell {
    pub(crate) fn open(region: Region, options: &Options) -> Result<RegionShell, StartError> {
        let store = match &options.data {
            Some(data) => Store::open(data.join("regions").join(region.as_str()))?,
            None => Store::memory(),
        };
        let world = records::load(&store.snapshot("")).map_err(|source| StartError::Records { region, source })?;
        let mut config = Config::new(region);
        config.regions = options.regions.iter().copied().collect();
        config.hosts.clone_from(&options.hosts);
        config.quotas = options.quotas;
        config.ipv6_pool = ipv6_pool(config.ipv6_pool, options, region);
        let (publish, published) = watch::channel(Arc::new(world.clone()));
        let (queue, jobs) = mpsc::channel(QUEUE_MAX);
        let writer = Writer { region, store, config: config.clone(), world, publish, jobs };
        let thread = std::thread::Builder::new()
            .name(format!("write {region}"))
            .spawn(move || writer.run())
            .map_err(StartError::Thread)?;
        Ok(RegionShell { config, world: published, queue: Mutex::new(Some(queue)), writer: Mutex::new(Some(thread)) })
    }

    /// The last published World: everything acknowledged is in it.
    pub(crate) fn world(&self) -> Arc<World> {
        self.world.borrow().clone()
    }

    /// Wakes at every new World.
    pub(crate) fn watch(&self) -> watch::Receiver<Arc<World>> {
        self.world.clone()
    }

    /// Has the work done and committed.
    pub(crate) async fn write(&self, work: Work) -> Committed {
        let unavailable = |why: &str| Error::new("ServiceUnavailable", why.to_owned()).with_status(503);
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let queue = queue.ok_or_else(|| unavailable("The server is stopping"))?;
        let (reply, answer) = oneshot::channel();
        queue.try_send(Job { work, reply }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => {
                Error::new("RequestLimitExceeded", "Request limit exceeded.").with_status(503)
            }
            mpsc::error::TrySendError::Closed(_) => unavailable("The server is stopping"),
        })?;
        answer.await.map_err(|_| unavailable("The state cannot be written; see the server's log"))?
    }

    /// Takes no more work and waits until what was taken is done.
    pub(crate) fn close(&self) {
        drop(self.queue.lock().unwrap_or_else(PoisonError::into_inner).take());
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if writer.is_some_and(|writer| writer.join().is_err()) {
            tracing::error!("a region's writer ended in a panic");
        }
    }
}

/// A /40 of the pool for each region, so that no two VPCs of the cloud get the same block.
fn ipv6_pool(pool: Ipv6Cidr, options: &Options, region: Region) -> Ipv6Cidr {
    const PREFIX_LEN: u8 = 40;
    let index = options.regions.iter().position(|other| *other == region).unwrap_or(0);
    let nth = pool.nth((index as u128) << (128 - PREFIX_LEN));
    nth.and_then(|network| Ipv6Cidr::new(network, PREFIX_LEN)).unwrap_or(pool)
}

/// The machine's clock.
pub(crate) fn machine_time() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time::from_unix_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// Bits from the machine's generator. Without them no id is safe, so there is nothing to fall back on.
pub(crate) fn seed() -> Result<Seed, Error> {
    let mut seed = Seed::default();
    getrandom::fill(&mut seed)
        .map_err(|_| Error::new("InternalError", "The machine gives no randomness").with_status(500))?;
    Ok(seed)
}

/// Lets time pass in a region: expiry and purge.
pub(crate) async fn tick(cloud: Arc<Cloud>, region: Region) {
    let shell = &cloud.regions[&region];
    let mut interval = tokio::time::interval(TICK);
    loop {
        interval.tick().await;
        let due = |world: &World, config: &Config| control::tick(world, config, machine_time());
        if due(&shell.world(), &shell.config).is_empty() {
            continue;
        }
        let work: Work = Box::new(move |world, config| Ok((Answer::Nothing, due(world, config))));
        if let Err(error) = shell.write(work).await {
            tracing::warn!(%region, code = %error.code, message = error.message, "time could not pass");
        }
    }
}

struct Writer {
    region: Region,
    store: Store,
    config: Config,
    world: World,
    publish: watch::Sender<Arc<World>>,
    jobs: mpsc::Receiver<Job>,
}

/// A piece of work that was handled and waits for the sync.
struct Handled {
    /// `None`: what the region told itself; nobody waits for an answer.
    job: Option<Job>,
    answer: Answer,
    /// `None`: it changes nothing, but what it saw may still have to be written.
    txn: Option<Txn>,
    after: World,
}

/// Rounds of messages to itself in one batch: an acceptance takes three. What is left comes with the next batch.
const HEARINGS_MAX: usize = 16;

impl Writer {
    fn run(mut self) {
        // An earlier run may have ended before it heard itself.
        self.batch(Vec::new());
        let mut waiting = Vec::new();
        while self.jobs.blocking_recv_many(&mut waiting, BATCH_MAX) > 0 {
            self.batch(std::mem::take(&mut waiting));
        }
    }

    /// Handles all, commits with one sync, publishes, answers.
    fn batch(&mut self, mut jobs: Vec<Job>) {
        for _ in 0..RETRIES_MAX {
            let handled = self.handle(jobs);
            if handled.is_empty() {
                return;
            }
            match self.commit(handled) {
                None => return,
                Some(again) => jobs = again,
            }
            self.reload();
        }
        for job in jobs {
            let busy = Error::new("ServiceUnavailable", "The state is changed faster than it can be read; try again");
            answer(job, Err(busy.with_status(503)));
        }
    }

    /// Each on the World that the one before leaves, then what the region told itself meanwhile.
    fn handle(&mut self, jobs: Vec<Job>) -> Vec<Handled> {
        let mut world = self.world.clone();
        let mut handled = Vec::with_capacity(jobs.len());
        for mut job in jobs {
            // A panic in a handler is a defect; it costs that request an answer 500, not the region its writer.
            let work = std::panic::AssertUnwindSafe(|| (job.work)(&world, &self.config));
            let outcome =
                std::panic::catch_unwind(work).unwrap_or_else(|_| Err(internal("a handler ended in a panic")));
            let heard = outcome.map(|(answer, changes)| (answer, self.with_hearing(&world, changes)));
            match heard.and_then(|(answer, changes)| Ok((answer, self.step(&mut world, &changes)?))) {
                Err(error) => answer(job, Err(error)),
                Ok((answer, txn)) => handled.push(Handled { job: Some(job), answer, txn, after: world.clone() }),
            }
        }
        for _ in 0..HEARINGS_MAX {
            if !world.outbox.values().any(|entry| entry.to == self.region) {
                break;
            }
            let changes = control::federation::deliver_here(&world, &self.config, machine_time());
            match self.step(&mut world, &changes) {
                Ok(txn) => handled.push(Handled { job: None, answer: Answer::Nothing, txn, after: world.clone() }),
                Err(error) => tracing::error!(region = %self.region, error = error.message, "a message stays unheard"),
            }
        }
        handled
    }

    /// The changes together with what comes of the messages among them that the region sends itself, as one: what only came
    /// and went in between is never written. As long as it fits a transaction; the rest is heard by itself.
    fn with_hearing(&self, world: &World, changes: Vec<Change>) -> Vec<Change> {
        let mut after = world.apply(&changes);
        let mut all: BTreeMap<Key, Change> = changes.into_iter().map(|change| (change.key(), change)).collect();
        for _ in 0..HEARINGS_MAX {
            let has_words = after.outbox.values().any(|entry| entry.to == self.region);
            if !has_words || all.len() + CHANGES_MAX > TXN_OPERATIONS_MAX {
                break;
            }
            let more = control::federation::deliver_here(&after, &self.config, machine_time());
            after = after.apply(&more);
            all.extend(more.into_iter().map(|change| (change.key(), change)));
        }
        all.retain(|key, change| matches!(change, Change::Put(_)) || world.holds(key));
        all.into_values().collect()
    }

    /// Takes the World a step on; the transaction that makes it so, if anything changes.
    fn step(&self, world: &mut World, changes: &[Change]) -> Result<Option<Txn>, Error> {
        if changes.is_empty() {
            return Ok(None);
        }
        let txn = records::transaction(self.region, world.revision, changes);
        let txn = txn.map_err(|error| internal(&chain(&error)))?;
        *world = world.apply(changes);
        world.revision += 1;
        Ok(Some(txn))
    }

    /// Those that the store refused because it had moved on, to be handled anew; `None`: nothing was refused so.
    fn commit(&mut self, handled: Vec<Handled>) -> Option<Vec<Job>> {
        let mut results =
            self.store.commit_batch(handled.iter().filter_map(|one| one.txn.clone()).collect()).into_iter();
        let mut again = None;
        let mut answers = Vec::with_capacity(handled.len());
        for one in handled {
            let result = match &one.txn {
                Some(_) => results.next().unwrap_or(Ok(self.world.revision)),
                None => Ok(self.world.revision),
            };
            match result {
                // What saw something that was not written is handled anew as well.
                Ok(_) if again.is_some() && one.txn.is_none() => again.get_or_insert_with(Vec::new).extend(one.job),
                Ok(revision) => {
                    if one.txn.is_some() {
                        self.world = one.after;
                        self.world.revision = revision;
                    }
                    answers.push((one.job, Ok((one.answer, revision))));
                }
                Err(store::CommitError::Conflict { .. }) => again.get_or_insert_with(Vec::new).extend(one.job),
                Err(error) => answers.push((one.job, Err(self.explain(&error)))),
            }
        }
        self.publish.send_replace(Arc::new(self.world.clone()));
        for (job, result) in answers {
            if let Some(job) = job {
                answer(job, result);
            }
        }
        again
    }

    fn explain(&self, error: &store::CommitError) -> Error {
        match error {
            store::CommitError::Limit(_) | store::CommitError::DuplicateKey { .. } => {
                Error::new("ResourceCountExceeded", format!("The request changes too much at once: {error}"))
            }
            _ => {
                tracing::error!(region = %self.region, error = %chain(error), "the state cannot be written");
                internal("the state cannot be written; see the server's log")
            }
        }
    }

    fn reload(&mut self) {
        match records::load(&self.store.snapshot("")) {
            Ok(world) => self.world = world,
            Err(error) => {
                tracing::error!(region = %self.region, error = %chain(&error), "the state cannot be read again");
            }
        }
    }
}

fn answer(job: Job, result: Committed) {
    // A caller that has gone away needs no answer.
    let _ = job.reply.send(result);
}

pub(crate) fn internal(why: &str) -> Error {
    Error::new("InternalError", format!("An internal error has occurred: {why}")).with_status(500)
}

/// An error with all its causes on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
