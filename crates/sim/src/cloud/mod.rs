//! The control plane of a cloud in one thread from one seed: requests, messages between regions that are lost on the way, repeated or
//! late, reports of hosts, time, crashes. After every commit [`check`] holds of the World.
//!
//! ```text
//!   Asker ─ query ─▶ control::handle ─ changes ─▶ Kept (stores) ─▶ World ─ check
//!                    federation, tick, report ──────┘    │ crash
//!                                                        └─▶ opened again: the same World
//! ```

pub mod ask;
pub mod check;
pub mod hosts;
pub mod kept;

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use control::{Config, federation, handle, report, tick};
use ec2::{Caller, Error, Node, Request};
use model::federation::{Message, OutboxEntry};
use model::{Change, Duration, HostId, Instance, InstanceState, Region, Time, World};
use stream::{Condition, Report};

use crate::dice::Dice;
use crate::noun::START;
use ask::Asker;
use kept::Kept;

/// The accounts that ask. The first is the operator's.
pub const ACCOUNTS: [&str; 2] = ["111111111111", "222222222222"];
pub const REGIONS: [&str; 2] = ["us-east-1", "eu-west-1"];
/// Messages that are remembered, to come again.
const HEARD_MAX: usize = 200;
/// Rounds until regions that are left alone must have come to rest.
const ROUNDS_MAX: usize = 2_000;

/// A region: what it holds, and where it is written.
pub struct Place {
    pub region: Region,
    pub config: Config,
    pub world: World,
    pub kept: Kept,
}

/// Where the carrier between two regions dies in the middle of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Crash {
    Never,
    /// The receiver's changes are computed, not committed.
    BeforeCommit,
    /// Committed there, not taken out of the outbox here: it will be delivered again.
    BeforeDelete,
}

/// What came of it all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Requests that succeeded, by action.
    pub done: BTreeMap<String, u64>,
    /// Requests that were refused, by code.
    pub refused: BTreeMap<String, u64>,
    pub commits: u64,
    pub crashes: u64,
}

/// Longer than anything takes where things take time.
const LONGEST_WAIT: Duration = Duration::seconds(600);

pub struct Cloud {
    pub places: [Place; 2],
    pub now: Time,
    pub tally: Tally,
    asker: Asker,
    heard: Vec<(usize, Message)>,
    draws: u64,
}

impl Cloud {
    /// With these hosts to carry instances, or, without any, instances that are records only. `kept`: where each region is written.
    ///
    /// # Errors
    /// A region's name, or its store.
    pub fn new(hosts: &[HostId], kept: [Kept; 2]) -> Result<Cloud, String> {
        let mut regions = BTreeSet::new();
        for name in REGIONS {
            regions.insert(name.parse::<Region>().map_err(|error| error.to_string())?);
        }
        let place = |region: Region, kept: Kept| {
            let mut config = Config::new(region);
            config.regions.clone_from(&regions);
            config.hosts = hosts.to_vec();
            // Low enough to be met.
            config.quotas.vpcs = 8;
            config.quotas.internet_gateways = 4;
            config.quotas.rules_per_security_group = 8;
            config.quotas.entries_per_network_acl = 4;
            config.quotas.instances = 8;
            config.quotas.network_interfaces = 24;
            config.quotas.active_peerings_per_vpc = 3;
            let world = kept.load()?;
            Ok::<_, String>(Place { region, config, world, kept })
        };
        let [first, second] = kept;
        let mut regions = regions.iter().rev().copied();
        let (Some(a), Some(b)) = (regions.next(), regions.next()) else { return Err("two regions are needed".into()) };
        let places = [place(a, first)?, place(b, second)?];
        let asker = Asker::new(&ACCOUNTS, &REGIONS);
        Ok(Cloud { places, now: START, tally: Tally::default(), asker, heard: Vec::new(), draws: 0 })
    }

    /// One thing happens.
    ///
    /// # Errors
    /// What does not hold after it, or went wrong.
    pub fn step(&mut self, dice: &mut Dice) -> Result<(), String> {
        let at = dice.below(2);
        match dice.below(100) {
            0..80 => {
                let account = dice.below(ACCOUNTS.len());
                let query = self.asker.next(dice, (account, at));
                self.call(at, ACCOUNTS[account], &query).map(drop)
            }
            80..90 => {
                let crash = dice.weighted(&[(6, Crash::Never), (1, Crash::BeforeCommit), (1, Crash::BeforeDelete)]);
                let most = dice.one([1, 3, 7]);
                self.deliver(at, most, crash)
            }
            90..92 => self.echo(dice),
            92..96 => self.report(at, dice),
            96..99 => {
                let seconds = dice.weighted(&[(6, 1), (3, 600), (2, 8000), (1, 200_000)]);
                self.now = self.now + Duration::seconds(seconds);
                self.tick(at)
            }
            _ => self.crash(at),
        }
    }

    /// The answer's document; `None`: refused, and nothing has changed.
    ///
    /// # Errors
    /// A server's error, a panic, or what does not hold afterwards.
    pub fn call(&mut self, at: usize, account: &str, query: &str) -> Result<Option<String>, String> {
        let seed = self.seed();
        let place = &self.places[at];
        let about = |what: &str| format!("{what}: {account} in {} asked {query}", place.region);
        let handled = catch_unwind(AssertUnwindSafe(|| asked(place, account, query, seed, self.now)));
        let outcome = match handled.map_err(|_| about("a panic"))? {
            Ok(outcome) => outcome,
            Err(error) if error.status >= 500 => {
                return Err(about(&format!("{} {}", error.code, error.message)));
            }
            Err(error) => {
                *self.tally.refused.entry(error.code.into_owned()).or_default() += 1;
                return Ok(None);
            }
        };
        let document = outcome.reply.render("11111111-2222-3333-4444-555555555555");
        let action = query.split(['=', '&']).nth(1).unwrap_or_default();
        *self.tally.done.entry(action.to_owned()).or_default() += 1;
        let who = ACCOUNTS.iter().position(|known| *known == account).unwrap_or_default();
        self.asker.learn((who, at), &document);
        let about = about("after a call");
        self.commit(at, &outcome.changes)
            .and_then(|()| self.hear_itself(at))
            .map_err(|error| format!("{about}\n{error}"))?;
        Ok(Some(document))
    }

    /// Everything that is under way arrives, everything due is done.
    ///
    /// # Errors
    /// What does not hold, or that there is no end.
    pub fn settle(&mut self) -> Result<(), String> {
        for _ in 0..ROUNDS_MAX {
            if self.places.iter().any(|place| place.config.timing.is_some()) {
                self.now = self.now + LONGEST_WAIT;
            }
            let before: u64 = self.tally.commits;
            for at in [0, 1] {
                self.deliver(at, 7, Crash::Never)?;
                self.hear_itself(at)?;
                self.mirror(at)?;
                self.tick(at)?;
            }
            if self.tally.commits == before {
                return Ok(());
            }
        }
        Err("the regions do not come to rest".into())
    }

    pub fn worlds(&self) -> BTreeMap<Region, World> {
        self.places.iter().map(|place| (place.region, place.world.clone())).collect()
    }

    /// The process of a region dies and is started again: all that was acknowledged is there, and nothing else.
    ///
    /// # Errors
    /// What is lost, or more than was written.
    pub fn crash(&mut self, at: usize) -> Result<(), String> {
        self.tally.crashes += 1;
        let place = &mut self.places[at];
        place.kept.crash()?;
        let world = place.kept.load()?;
        if world != place.world {
            return Err(format!("after a crash {} is another one:\n{:?}\n{:?}", place.region, place.world, world));
        }
        place.world = world;
        Ok(())
    }

    /// # Errors
    /// What does not hold afterwards.
    pub fn commit(&mut self, at: usize, changes: &[Change]) -> Result<(), String> {
        if changes.is_empty() {
            return Ok(());
        }
        self.tally.commits += 1;
        let place = &mut self.places[at];
        let revision = place.kept.commit(place.region, place.world.revision, changes)?;
        place.world = place.world.apply(changes);
        place.world.revision = revision;
        check::check(&place.world, &place.config).map_err(|broken| format!("in {}:\n{broken}", place.region))
    }

    /// What the region told itself, as the server hears it: before anybody is answered.
    fn hear_itself(&mut self, at: usize) -> Result<(), String> {
        for _ in 0..ROUNDS_MAX {
            let place = &self.places[at];
            let changes = federation::deliver_here(&place.world, &place.config, self.now);
            if changes.is_empty() {
                return Ok(());
            }
            self.commit(at, &changes)?;
        }
        Err("the region does not come to rest".into())
    }

    /// One batch to the other region, at most so many messages.
    fn deliver(&mut self, from: usize, most: usize, crash: Crash) -> Result<(), String> {
        let (sender, receiver) = (&self.places[from], &self.places[1 - from]);
        let mut queues = federation::outbox(&sender.world, sender.region, most);
        let Some(entries) = queues.remove(&receiver.region) else { return Ok(()) };
        let messages = entries.iter().map(|entry| &entry.message);
        let changes = federation::receive(&receiver.world, &receiver.config, sender.region, messages, self.now);
        if crash == Crash::BeforeCommit {
            return Ok(());
        }
        self.commit(1 - from, &changes)?;
        self.remember(from, &entries);
        if crash == Crash::BeforeDelete {
            return Ok(());
        }
        let changes = federation::delivered(&self.places[from].world, &entries);
        self.commit(from, &changes)
    }

    fn remember(&mut self, from: usize, entries: &[Arc<OutboxEntry>]) {
        self.heard.extend(entries.iter().map(|entry| (from, entry.message.clone())));
        let over = self.heard.len().saturating_sub(HEARD_MAX);
        self.heard.drain(..over);
    }

    /// A copy of an old message comes once more.
    fn echo(&mut self, dice: &mut Dice) -> Result<(), String> {
        let Some((from, message)) = dice.pick(&self.heard).cloned() else { return Ok(()) };
        let (region, place) = (self.places[from].region, &self.places[1 - from]);
        let changes = federation::receive(&place.world, &place.config, region, [&message], self.now);
        self.commit(1 - from, &changes)
    }

    /// Tells the other region where members are, where it does not know.
    fn mirror(&mut self, from: usize) -> Result<(), String> {
        let (region, to) = (self.places[from].region, 1 - from);
        for (_, message) in federation::mirrors(&self.places[from].world, region) {
            let Message::Mirror { mirror, .. } = &message else { continue };
            let place = &self.places[to];
            let known = place.world.find::<model::federation::Mirror>(&mirror.vpc);
            if known.is_some_and(|known| known.says_the_same(mirror)) {
                continue;
            }
            let changes = federation::receive(&place.world, &place.config, region, [&message], self.now);
            self.commit(to, &changes)?;
        }
        Ok(())
    }

    /// A host says something about an instance, true or old.
    fn report(&mut self, at: usize, dice: &mut Dice) -> Result<(), String> {
        let all: Vec<Arc<Instance>> = self.places[at].world.all::<Instance>().cloned().collect();
        let Some(instance) = dice.pick(&all) else { return Ok(()) };
        let condition = match instance.state {
            InstanceState::Pending => Condition::Running,
            InstanceState::Stopping => Condition::Stopped,
            InstanceState::ShuttingDown => Condition::Terminated,
            _ => dice
                .pick(&[Condition::Ended, Condition::Failed("as told".into()), Condition::Running])
                .cloned()
                .unwrap_or(Condition::Running),
        };
        let starts = instance.starts.saturating_sub(u32::from(dice.chance(10)));
        self.hear(at, instance.host, &Report { instance: instance.id, starts, condition })
    }

    /// # Errors
    /// What does not hold afterwards.
    pub fn hear(&mut self, at: usize, host: Option<HostId>, said: &Report) -> Result<(), String> {
        let Some(host) = host else { return Ok(()) };
        let place = &self.places[at];
        let changes = report::receive(&place.world, host, said, place.world.now(self.now));
        self.commit(at, &changes)
    }

    fn tick(&mut self, at: usize) -> Result<(), String> {
        let place = &self.places[at];
        let changes = tick(&place.world, &place.config, self.now);
        self.commit(at, &changes)
    }

    fn seed(&mut self) -> [u8; 32] {
        self.draws += 1;
        let mut seed = [7; 32];
        seed[..8].copy_from_slice(&self.draws.to_be_bytes());
        seed
    }
}

fn asked(place: &Place, account: &str, query: &str, seed: [u8; 32], now: Time) -> Result<control::Outcome, Error> {
    let request = Request::parse(&Node::parse(format!("Version={}&{query}", ec2::action::VERSION).as_bytes())?)?;
    let account = account.parse().map_err(|_| Error::new("AuthFailure", "the account's id is none"))?;
    handle(&place.world, &Caller::root(account), request, &place.config, seed, now)
}
