//! One region's state: who reads sees the last published World, who writes waits in one queue.
//!
//! The writer takes what waits, handles one after the other on the evolving World, commits all of it with one sync, and only
//! then publishes the World and answers. A crash before the sync loses nothing that was acknowledged; a crash after it loses
//! only the answer.
//!
//! A request that is alone is written by its caller: no other thread has to wake up for it. What has come in meanwhile is
//! for the region's thread, which writes until nothing waits, and has the next turn, too, as long as requests have company:
//! then they share a sync anyhow. So no caller works for others longer than its own work takes.

use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use control::events::Event;
use control::federation::{CHANGES_MAX, concerns_others};
use control::{Config, Seed};
use ec2::Error;
use ec2::route53;
use ec2::service::{PeerwayReply, StsReply};
use model::{Change, Ipv4Cidr, Ipv6Cidr, Key, Region, Time, World};
use store::{Snapshot, Store, TXN_OPERATIONS_MAX, Txn};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::{oneshot, watch};

use crate::events::Events;
use crate::meters::Commits;
use crate::{Carriers, Cloud, Options, StartError, records};

/// Requests that wait for the writer; more are told to come again.
const QUEUE_MAX: usize = 4096;
/// Requests that share one sync.
const BATCH_MAX: usize = 512;
/// How often a request is handled anew when the store has moved on under it.
const RETRIES_MAX: usize = 8;
/// How often expiry is looked at, at the least.
const TICK: Duration = Duration::from_millis(500);
/// The same where things take their time, which may be short.
const TICK_OF_PASSAGES: Duration = Duration::from_millis(50);

/// What a piece of work answers.
#[derive(Debug)]
pub(crate) enum Answer {
    Ec2(Box<ec2::Reply>),
    Sts(Box<StsReply>),
    Peerway(Box<PeerwayReply>),
    Route53(Box<route53::Reply>),
    /// A document of a service that speaks JSON.
    Json(String),
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
    pub(crate) commits: Arc<Commits>,
    world: watch::Receiver<Arc<World>>,
    abroad: watch::Receiver<()>,
    desk: Arc<Desk>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl RegionShell {
    pub(crate) fn open(region: Region, options: &Options, events: Arc<Events>) -> Result<RegionShell, StartError> {
        let store = match &options.data {
            Some(data) => Store::open(data.join("regions").join(region.as_str()))?,
            None => Store::memory(),
        };
        let world = records::load(&store.snapshot("")).map_err(|source| StartError::Records { region, source })?;
        let mut config = Config::new(region);
        config.regions = options.regions.iter().copied().collect();
        match &options.carriers {
            Carriers::Fixed(hosts) => config.hosts.clone_from(hosts),
            Carriers::Joined => config.needs_host = true,
        }
        config.quotas = options.quotas;
        config.account_quotas.clone_from(&options.account_quotas);
        config.default_vpc = options.default_vpc;
        config.timing = options.timing;
        config.ipv6_pool = ipv6_pool(config.ipv6_pool, options, region);
        config.public_pools = public_pools(&config.public_pools, options, region);
        let names = options.name_suffixes.clone();
        config.names = names.or_else(|| control::names::chosen([&world])).unwrap_or_default();
        let (publish, published) = watch::channel(Arc::new(world.clone()));
        let (tell_abroad, abroad) = watch::channel(());
        let commits = Arc::<Commits>::default();
        let of_writer = commits.clone();
        let config_of_writer = config.clone();
        let writer =
            Writer { region, store, config: config_of_writer, world, publish, tell_abroad, commits: of_writer, events };
        let desk = Arc::new(Desk::new(writer));
        let of_thread = desk.clone();
        let thread = std::thread::Builder::new()
            .name(format!("write {region}"))
            .spawn(move || of_thread.run())
            .map_err(StartError::Thread)?;
        Ok(RegionShell { config, commits, world: published, abroad, desk, thread: Mutex::new(Some(thread)) })
    }

    /// The last published World: everything acknowledged is in it.
    pub(crate) fn world(&self) -> Arc<World> {
        self.world.borrow().clone()
    }

    /// Wakes at every new World.
    pub(crate) fn watch(&self) -> watch::Receiver<Arc<World>> {
        self.world.clone()
    }

    /// Wakes at every new World that other regions may have to hear of.
    pub(crate) fn watch_abroad(&self) -> watch::Receiver<()> {
        self.abroad.clone()
    }

    /// Requests that wait for the writer.
    pub(crate) fn waiting(&self) -> usize {
        lock(&self.desk.waiting).jobs.len()
    }

    /// Has the work done and committed.
    pub(crate) async fn write(&self, work: Work) -> Committed {
        let (reply, answer) = oneshot::channel();
        // Where there is only one thread for all tasks, none of them may wait for the disk.
        let may_block = Handle::try_current().is_ok_and(|own| own.runtime_flavor() == RuntimeFlavor::MultiThread);
        if self.desk.enqueue(Job { work, reply }, may_block)? {
            tokio::task::block_in_place(|| self.desk.callers_turn());
        }
        answer.await.map_err(|_| unavailable("The state cannot be written; see the server's log"))?
    }

    /// Lets nothing be written for as long as the value lives.
    pub(crate) fn hold(&self) -> Held<'_> {
        Held(lock(&self.desk.writer))
    }

    /// Takes no more work and waits until what was taken is done.
    pub(crate) fn close(&self) {
        self.desk.close();
        let thread = lock(&self.thread).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("a region's writer ended in a panic");
        }
    }
}

/// A region that is not written to.
pub(crate) struct Held<'a>(MutexGuard<'a, Option<Writer>>);

impl Held<'_> {
    /// Everything that was acknowledged; `None`: the region is closed.
    pub(crate) fn snapshot(&self) -> Option<Snapshot> {
        self.0.as_ref().map(|writer| writer.store.snapshot(""))
    }
}

/// A /40 of the pool for each region, so that no two VPCs of the cloud get the same block.
fn ipv6_pool(pool: Ipv6Cidr, options: &Options, region: Region) -> Ipv6Cidr {
    const PREFIX_LEN: u8 = 40;
    let index = options.regions.iter().position(|other| *other == region).unwrap_or(0);
    let nth = pool.nth((index as u128) << (128 - PREFIX_LEN));
    nth.and_then(|network| Ipv6Cidr::new(network, PREFIX_LEN)).unwrap_or(pool)
}

/// Shares of each pool of public addresses: enough for this many regions to come later without anyone's share changing.
const SHARES_MIN: usize = 4;

/// A region's share of each pool: no address is in two regions'. A pool that is too small to be shared is the first region's.
fn public_pools(default: &[Ipv4Cidr], options: &Options, region: Region) -> Vec<Ipv4Cidr> {
    let index = options.regions.iter().position(|other| *other == region).unwrap_or(0);
    let bits = options.regions.len().max(SHARES_MIN).next_power_of_two().trailing_zeros() as u8;
    let share = |pool: &Ipv4Cidr| {
        let len = pool.prefix_len() + bits;
        if len > 32 {
            return Some(*pool).filter(|_| index == 0);
        }
        let first = pool.nth(u32::try_from(index).ok()? << (32 - len))?;
        Ipv4Cidr::new(first, len)
    };
    let pools = if options.public_pools.is_empty() { default } else { &options.public_pools };
    pools.iter().filter_map(share).collect()
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

/// Brings in line with this start what earlier ones left: see [`control::names`].
///
/// # Errors
/// What cannot be written.
pub(crate) async fn settle(cloud: &Cloud, region: Region) -> Result<(), StartError> {
    let shell = &cloud.regions[&region];
    // Each round leaves less to do.
    while !control::names::settle(&shell.world(), &shell.config, machine_time()).is_empty() {
        let work: Work =
            Box::new(|world, config| Ok((Answer::Nothing, control::names::settle(world, config, machine_time()))));
        shell.write(work).await.map_err(|error| StartError::Settle { region, why: error.message })?;
    }
    Ok(())
}

/// Lets time pass in a region: expiry and purge.
pub(crate) async fn tick(cloud: Arc<Cloud>, region: Region) {
    let shell = &cloud.regions[&region];
    let mut interval = tokio::time::interval(if shell.config.timing.is_some() { TICK_OF_PASSAGES } else { TICK });
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

/// Where work waits, and whose turn it is to do it.
struct Desk {
    waiting: Mutex<Waiting>,
    /// It is the thread's turn, or all is done.
    called: Condvar,
    /// Locked by the one whose turn it is. `None`: closed, or given up after a panic.
    writer: Mutex<Option<Writer>>,
}

struct Waiting {
    jobs: VecDeque<Job>,
    turn: Turn,
    /// How many jobs the batch under way, or the last one, was taken with.
    batch_len: usize,
    /// Somebody else waited before the last batch ended.
    has_company: bool,
    is_closed: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Turn {
    /// Nothing waits.
    Nobody,
    Caller,
    Thread,
}

impl Desk {
    /// The thread comes first: it hears what an earlier run left.
    fn new(writer: Writer) -> Desk {
        let waiting =
            Waiting { jobs: VecDeque::new(), turn: Turn::Thread, batch_len: 0, has_company: false, is_closed: false };
        Desk { waiting: Mutex::new(waiting), called: Condvar::new(), writer: Mutex::new(Some(writer)) }
    }

    /// Whether it is the caller's turn now, which can be only if it may block; else the work will be done for it.
    fn enqueue(&self, job: Job, may_block: bool) -> Result<bool, Error> {
        let mut waiting = lock(&self.waiting);
        if waiting.is_closed {
            return Err(unavailable("The server is stopping"));
        }
        if waiting.jobs.len() >= QUEUE_MAX {
            return Err(Error::new("RequestLimitExceeded", "Request limit exceeded.").with_status(503));
        }
        waiting.jobs.push_back(job);
        if waiting.turn != Turn::Nobody {
            return Ok(false);
        }
        let is_callers = may_block && !waiting.has_company;
        waiting.turn = if is_callers { Turn::Caller } else { Turn::Thread };
        if !is_callers {
            self.called.notify_all();
        }
        Ok(is_callers)
    }

    fn callers_turn(&self) {
        let jobs = lock(&self.waiting).next_batch();
        self.batch(jobs);
        let mut waiting = lock(&self.waiting);
        waiting.end_batch();
        if waiting.turn == Turn::Thread || waiting.is_closed {
            self.called.notify_all();
        }
    }

    /// The thread's whole life.
    fn run(&self) {
        // An earlier run may have ended before it heard itself.
        self.batch(Vec::new());
        while let Some(jobs) = self.thread_waits() {
            self.batch(jobs);
        }
        drop(lock(&self.writer).take());
    }

    /// Work for the thread, whose turn ends when there is none; `None`: there will be no more.
    fn thread_waits(&self) -> Option<Vec<Job>> {
        let mut waiting = lock(&self.waiting);
        if waiting.turn == Turn::Thread {
            waiting.end_batch();
        }
        while waiting.turn != Turn::Thread {
            if waiting.is_closed && waiting.turn == Turn::Nobody {
                return None;
            }
            waiting = self.called.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        Some(waiting.next_batch())
    }

    /// By the one whose turn it is. A panic ends the region's writing: what it has done is unknown.
    fn batch(&self, jobs: Vec<Job>) {
        let mut writer = lock(&self.writer);
        let work = AssertUnwindSafe(|| writer.as_mut().map(|writer| writer.batch(jobs)));
        if catch_unwind(work).is_err() {
            tracing::error!("a region's writer ended in a panic");
            *writer = None;
            self.close();
            lock(&self.waiting).jobs.clear();
        }
    }

    fn close(&self) {
        lock(&self.waiting).is_closed = true;
        self.called.notify_all();
    }
}

impl Waiting {
    fn next_batch(&mut self) -> Vec<Job> {
        self.batch_len = self.jobs.len().min(BATCH_MAX);
        self.jobs.drain(..self.batch_len).collect()
    }

    /// What waits by now is for the thread.
    fn end_batch(&mut self) {
        self.has_company = self.batch_len > 1 || !self.jobs.is_empty();
        self.turn = if self.jobs.is_empty() { Turn::Nobody } else { Turn::Thread };
    }
}

/// Nothing panics half-way under these locks; where something may, it is caught.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn unavailable(why: &str) -> Error {
    Error::new("ServiceUnavailable", why.to_owned()).with_status(503)
}

struct Writer {
    region: Region,
    store: Store,
    config: Config,
    world: World,
    publish: watch::Sender<Arc<World>>,
    /// Rung only where other regions are concerned: whoever is woken up competes with the request that woke it.
    tell_abroad: watch::Sender<()>,
    commits: Arc<Commits>,
    events: Arc<Events>,
}

/// A piece of work that was handled and waits for the sync.
struct Handled {
    /// `None`: what the region told itself; nobody waits for an answer.
    job: Option<Job>,
    answer: Answer,
    /// `None`: it changes nothing, but what it saw may still have to be written.
    txn: Option<Txn>,
    after: World,
    /// To be told once it is committed.
    news: News,
}

/// What is to be told of a step, and to whom.
#[derive(Default)]
struct News {
    events: Vec<Event>,
    /// Other regions may have to hear of it.
    is_for_abroad: bool,
}

/// Rounds of messages to itself in one batch: an acceptance takes three. What is left comes with the next batch.
const HEARINGS_MAX: usize = 16;

impl Writer {
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
            let work = AssertUnwindSafe(|| (job.work)(&world, &self.config));
            let outcome = catch_unwind(work).unwrap_or_else(|_| Err(internal("a handler ended in a panic")));
            let heard = outcome.map(|(answer, changes)| (answer, self.with_hearing(&world, changes)));
            match heard.and_then(|(answer, changes)| Ok((answer, self.step(&mut world, &changes)?))) {
                Err(error) => answer(job, Err(error)),
                Ok((answer, (txn, news))) => {
                    handled.push(Handled { job: Some(job), answer, txn, after: world.clone(), news });
                }
            }
        }
        for _ in 0..HEARINGS_MAX {
            if !control::federation::has_words(&world, self.region) {
                break;
            }
            let changes = control::federation::deliver_here(&world, &self.config, machine_time());
            match self.step(&mut world, &changes) {
                Ok((txn, news)) => {
                    let (answer, after) = (Answer::Nothing, world.clone());
                    handled.push(Handled { job: None, answer, txn, after, news });
                }
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
            let has_words = control::federation::has_words(&after, self.region);
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

    /// Takes the World a step on; the transaction that makes it so, if anything changes, and what happens by it.
    fn step(&self, world: &mut World, changes: &[Change]) -> Result<(Option<Txn>, News), Error> {
        if changes.is_empty() {
            return Ok((None, News::default()));
        }
        // Before the World moves on: what is handled next must not see what the store is going to refuse.
        if changes.len() > TXN_OPERATIONS_MAX {
            return Err(too_much(&format!(
                "it makes {} changes, over the limit of {TXN_OPERATIONS_MAX} of one request, in which whatever goes along with a resource counts too",
                changes.len()
            )));
        }
        let txn = records::transaction(self.region, world.revision, changes);
        let txn = txn.map_err(|error| internal(&chain(&error)))?;
        let events = control::events::of(world, changes, &self.config, machine_time());
        let before = std::mem::replace(world, world.apply(changes));
        world.revision += 1;
        let is_for_abroad = changes.iter().any(|change| concerns_others(&before, world, change));
        Ok((Some(txn), News { events, is_for_abroad }))
    }

    /// Those that the store refused because it had moved on, to be handled anew; `None`: nothing was refused so.
    fn commit(&mut self, handled: Vec<Handled>) -> Option<Vec<Job>> {
        let began = Instant::now();
        let results = self.store.commit_batch(handled.iter().filter_map(|one| one.txn.clone()).collect());
        if !results.is_empty() {
            self.commits.batch(results.len(), results.iter().filter(|one| one.is_err()).count(), began.elapsed());
        }
        let mut results = results.into_iter();
        let mut again = None;
        let mut answers = Vec::with_capacity(handled.len());
        let mut news = News::default();
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
                        news.events.extend(one.news.events);
                        news.is_for_abroad |= one.news.is_for_abroad;
                    }
                    answers.push((one.job, Ok((one.answer, revision))));
                }
                Err(store::CommitError::Conflict { .. }) => again.get_or_insert_with(Vec::new).extend(one.job),
                Err(error) => answers.push((one.job, Err(self.explain(&error)))),
            }
        }
        self.publish.send_replace(Arc::new(self.world.clone()));
        self.events.tell(news.events);
        if news.is_for_abroad || !self.world.outbox.is_empty() {
            self.tell_abroad.send_replace(());
        }
        for (job, result) in answers {
            if let Some(job) = job {
                answer(job, result);
            }
        }
        again
    }

    fn explain(&self, error: &store::CommitError) -> Error {
        match error {
            store::CommitError::Limit(_) | store::CommitError::DuplicateKey { .. } => too_much(&error.to_string()),
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

/// EC2's code for what must be asked for in smaller portions.
fn too_much(why: &str) -> Error {
    let message = format!("The request changes too much at once: {why}. Name fewer resources in each request");
    Error::new("ResourceCountLimitExceeded", message)
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

#[cfg(test)]
mod tests {
    use std::future::Future;

    use model::federation::Clock;
    use tokio::runtime::Builder;
    use tokio::task::JoinSet;

    use super::*;

    fn shell() -> Arc<RegionShell> {
        let region: Region = "us-east-1".parse().unwrap();
        let options = Options {
            data: None,
            regions: vec![region],
            carriers: Carriers::Fixed(Vec::new()),
            strict_auth: false,
            api: crate::ApiOptions::default(),
            allow_clock: true,
            strict: false,
            default_vpc: false,
            timing: None,
            quotas: control::Quotas::default(),
            account_quotas: BTreeMap::new(),
            public_pools: Vec::new(),
            name_suffixes: None,
            wait: Duration::ZERO,
        };
        Arc::new(RegionShell::open(region, &options, Arc::new(Events::open(None).unwrap())).unwrap())
    }

    #[test]
    fn no_public_address_is_in_two_regions() {
        for (count, pools) in
            [(1, &["203.0.113.0/24"][..]), (3, &["203.0.113.0/24", "192.0.2.0/30"]), (6, &["198.51.100.0/24"])]
        {
            let pools: Vec<Ipv4Cidr> = pools.iter().map(|pool| pool.parse().unwrap()).collect();
            let regions: Vec<Region> = (1..=count).map(|n| format!("us-east-{n}").parse().unwrap()).collect();
            let options = Options {
                data: None,
                regions: regions.clone(),
                carriers: Carriers::Joined,
                strict_auth: false,
                api: crate::ApiOptions::default(),
                allow_clock: false,
                strict: false,
                default_vpc: false,
                timing: None,
                quotas: control::Quotas::default(),
                account_quotas: BTreeMap::new(),
                public_pools: pools.clone(),
                name_suffixes: None,
                wait: Duration::ZERO,
            };
            let shares: Vec<Vec<Ipv4Cidr>> =
                regions.iter().map(|region| public_pools(&[], &options, *region)).collect();
            for (n, share) in shares.iter().enumerate() {
                assert!(share.iter().all(|own| pools.iter().any(|pool| pool.contains_all(own))), "{share:?}");
                assert!(!share.is_empty(), "{regions:?}");
                let others = shares[n + 1..].iter().flatten();
                assert!(others.into_iter().all(|other| share.iter().all(|own| !own.overlaps(other))), "{shares:?}");
            }
        }
    }

    fn ahead(world: &World) -> i64 {
        world.clock.get(&0).map_or(0, |clock| clock.ahead_ms)
    }

    /// One more each time: none may be lost or done twice.
    fn one_more() -> Work {
        Box::new(|world, _| Ok((Answer::Nothing, vec![Change::put(Clock { ahead_ms: ahead(world) + 1 })])))
    }

    /// On a runtime with threads to spare, where callers write, and on one with none.
    fn on_each_runtime<F: Future<Output = ()>>(test: impl Fn() -> F) {
        Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap().block_on(test());
        Builder::new_current_thread().enable_all().build().unwrap().block_on(test());
    }

    #[test]
    fn alone_or_in_company_each_is_written_once_and_seen_when_answered() {
        on_each_runtime(|| async {
            let shell = shell();
            let mut tasks = JoinSet::new();
            for _ in 0..16 {
                let shell = shell.clone();
                tasks.spawn(async move {
                    for _ in 0..25 {
                        let (_, revision) = shell.write(one_more()).await.unwrap();
                        assert!(shell.world().revision >= revision);
                    }
                });
            }
            while let Some(ended) = tasks.join_next().await {
                ended.unwrap();
            }
            for n in 401..=450 {
                shell.write(one_more()).await.unwrap();
                assert_eq!(ahead(&shell.world()), n);
            }
        });
    }

    #[test]
    fn a_handler_that_panics_costs_its_own_request_only() {
        on_each_runtime(|| async {
            let shell = shell();
            let error = shell.write(Box::new(|_, _| panic!("as told"))).await.unwrap_err();
            assert_eq!((error.status, &*error.code), (500, "InternalError"));
            shell.write(one_more()).await.unwrap();
        });
    }

    /// The request that follows in the same batch, writing or not, sees nothing of what was refused.
    #[test]
    fn a_request_makes_as_many_changes_as_a_transaction_holds_or_none() {
        use model::credential::{ClientToken, ClientTokenKey};
        let account: model::AccountId = "111111111111".parse().unwrap();
        let many = |count: usize| -> Work {
            Box::new(move |_, _| {
                let remembered = |n: usize| {
                    let key = ClientTokenKey { account, operation: "CreateVpc".into(), token: n.to_string() };
                    Change::put(ClientToken { key, parameters: 0, made: String::new(), created: machine_time() })
                };
                Ok((Answer::Nothing, (0..count).map(remembered).collect()))
            })
        };
        let look = || -> Work {
            Box::new(|world, _| {
                let seen = world.all::<ClientToken>().count();
                if seen == 0 { Ok((Answer::Nothing, Vec::new())) } else { Err(internal(&format!("{seen} are seen"))) }
            })
        };
        on_each_runtime(|| async {
            let shell = shell();
            let before = shell.world();
            let refused = shell.write(many(129)).await.unwrap_err();
            assert_eq!((refused.status, &*refused.code), (400, "ResourceCountLimitExceeded"));
            assert_eq!(
                refused.message,
                "The request changes too much at once: it makes 129 changes, over the limit of 128 of one request, in which \
                 whatever goes along with a resource counts too. Name fewer resources in each request"
            );
            for _ in 0..20 {
                let (refused, looked) = tokio::join!(shell.write(many(129)), shell.write(look()));
                assert!(refused.is_err());
                looked.unwrap();
            }
            assert_eq!(*shell.world(), *before);
            shell.write(many(128)).await.unwrap();
            assert_eq!(shell.world().all::<ClientToken>().count(), 128);
        });
    }

    #[test]
    fn a_caller_that_goes_away_loses_nothing_for_the_others() {
        on_each_runtime(|| async {
            let shell = shell();
            for _ in 0..50 {
                let ended = tokio::time::timeout(Duration::ZERO, shell.write(one_more())).await;
                assert!(ended.is_err() || ended.is_ok_and(|answer| answer.is_ok()));
            }
            shell.write(one_more()).await.unwrap();
            assert_eq!(ahead(&shell.world()), 51);
        });
    }

    #[test]
    fn what_was_taken_is_done_before_the_end_and_nothing_after_it() {
        on_each_runtime(|| async {
            let shell = shell();
            let taken: Vec<_> = (0..20)
                .map(|_| {
                    let (reply, answer) = oneshot::channel();
                    shell.desk.enqueue(Job { work: one_more(), reply }, false).unwrap();
                    answer
                })
                .collect();
            let closed = shell.clone();
            tokio::task::spawn_blocking(move || closed.close()).await.unwrap();
            for answer in taken {
                answer.await.unwrap().unwrap();
            }
            let error = shell.write(one_more()).await.unwrap_err();
            assert_eq!((error.status, &*error.message), (503, "The server is stopping"));
            assert!(lock(&shell.desk.writer).is_none(), "the store is closed");
        });
    }

    #[test]
    fn the_queue_is_bounded() {
        let shell = shell();
        let writer = lock(&shell.desk.writer);
        let (mut refused, mut answers) = (0, Vec::new());
        for _ in 0..QUEUE_MAX + 2 * BATCH_MAX {
            let (reply, answer) = oneshot::channel();
            answers.push(answer);
            refused += usize::from(shell.desk.enqueue(Job { work: one_more(), reply }, false).is_err());
        }
        assert!(refused >= BATCH_MAX, "only one batch is taken meanwhile, but {refused} were refused");
        drop(writer);
        shell.close();
        assert_eq!(ahead(&shell.world()), (answers.len() - refused) as i64);
    }

    #[test]
    fn a_writer_that_panics_leaves_no_one_waiting() {
        on_each_runtime(|| async {
            struct Bomb;
            impl Drop for Bomb {
                fn drop(&mut self) {
                    panic!("as told");
                }
            }
            let shell = shell();
            shell.write(one_more()).await.unwrap();
            let bomb = Bomb;
            let work: Work = Box::new(move |_, _| {
                let _held = &bomb;
                Ok((Answer::Nothing, Vec::new()))
            });
            shell.write(work).await.ok();
            let error = shell.write(one_more()).await.unwrap_err();
            assert_eq!(error.status, 503);
            shell.close();
        });
    }
}
