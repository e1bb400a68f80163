//! Two regions in memory: requests, messages that may be lost on the way, repeated or late, time; and what must hold after each
//! commit.

use std::collections::BTreeSet;
use std::sync::Arc;

use control::tick::tick;
use control::{Cloud, Config, federation, handle, rules};
use ec2::{Caller, Error, Node, Request};
use model::federation::{Message, OutboxEntry};
use model::peering::PeeringEvent;
use model::vpc::CidrAssociation;
use model::*;

pub(crate) const US: usize = 0;
pub(crate) const EU: usize = 1;
pub(crate) const NAMES: [&str; 2] = ["us-east-1", "eu-west-1"];

#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) world: World,
    pub(crate) config: Config,
}

/// Where the carrier between two regions dies in the middle of one delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Crash {
    Never,
    /// The receiver's changes are computed, not committed.
    BeforeCommit,
    /// Committed there, not taken out of the outbox here: it will be delivered again.
    BeforeDelete,
}

#[derive(Clone)]
pub(crate) struct Sim {
    pub(crate) places: [Place; 2],
    pub(crate) now: Time,
    /// Same number of draws, same ids.
    pub(crate) draws: u64,
    /// Every message that was ever committed at the other end, with its sender.
    pub(crate) heard: Vec<(usize, Message)>,
}

impl Sim {
    pub(crate) fn new() -> Sim {
        let regions: BTreeSet<Region> = NAMES.iter().map(|name| name.parse().unwrap()).collect();
        let place = |name: &str| {
            let mut config = Config::new(name.parse().unwrap());
            config.regions = regions.clone();
            config.quotas.vpcs = 20;
            Place { world: World::default(), config }
        };
        let now = Time::parse("2026-01-15T12:00:00Z").unwrap();
        Sim { places: NAMES.map(place), now, draws: 0, heard: Vec::new() }
    }

    pub(crate) fn world(&self, at: usize) -> &World {
        &self.places[at].world
    }

    fn seed(&mut self) -> [u8; 32] {
        self.draws += 1;
        let mut seed = [7; 32];
        seed[..8].copy_from_slice(&self.draws.to_be_bytes());
        seed
    }

    pub(crate) fn call(&mut self, at: usize, account: &str, query: &str) -> Result<String, Error> {
        let request = Request::parse(&Node::parse(format!("Version=2016-11-15&{query}").as_bytes())?)?;
        let seed = self.seed();
        let place = &self.places[at];
        let outcome =
            handle(&place.world, &Caller::root(account.parse().unwrap()), request, &place.config, seed, self.now)?;
        self.commit(at, &outcome.changes);
        Ok(outcome.reply.render("request"))
    }

    /// Rules of other nouns, with a Cloud as their handlers have it.
    fn as_handler(
        &mut self,
        at: usize,
        account: &str,
        act: impl FnOnce(&mut Cloud<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let seed = self.seed();
        let place = self.places[at].clone();
        let caller = Caller::root(account.parse().unwrap());
        let mut cloud = Cloud::new(&place.world, &caller, &place.config, seed, self.now, 0);
        act(&mut cloud)?;
        self.commit(at, &cloud.into_changes());
        Ok(())
    }

    pub(crate) fn add_block(&mut self, at: usize, account: &str, vpc: &str, cidr: &str) -> Result<(), Error> {
        let (id, cidr): (VpcId, Ipv4Cidr) = (vpc.parse().unwrap(), cidr.parse().unwrap());
        self.as_handler(at, account, |cloud| {
            let mut vpc = Vpc::clone(&*cloud.owned::<Vpc>(id)?);
            if vpc.cidrs.iter().any(|block| block.cidr.overlaps(&cidr)) {
                return Err(Error::new("InvalidVpc.Range", "it has that block already"));
            }
            rules::check_new_block(cloud, id, cidr.into())?;
            vpc.cidrs.push(CidrAssociation { id: cloud.draw.id(), cidr });
            cloud.put(vpc);
            rules::blocks_changed(cloud, id);
            Ok(())
        })
    }

    pub(crate) fn remove_block(&mut self, at: usize, account: &str, vpc: &str) -> Result<(), Error> {
        let id: VpcId = vpc.parse().unwrap();
        self.as_handler(at, account, |cloud| {
            let mut vpc = Vpc::clone(&*cloud.owned::<Vpc>(id)?);
            if vpc.cidrs.len() < 2 {
                return Err(Error::not_permitted("the primary block stays"));
            }
            vpc.cidrs.pop();
            cloud.put(vpc);
            rules::blocks_changed(cloud, id);
            Ok(())
        })
    }

    pub(crate) fn delete_vpc(&mut self, at: usize, account: &str, vpc: &str) -> Result<(), Error> {
        let id: VpcId = vpc.parse().unwrap();
        self.as_handler(at, account, |cloud| {
            cloud.owned::<Vpc>(id)?;
            rules::vpc_deletion(cloud, id)?;
            cloud.delete::<Vpc>(id);
            Ok(())
        })
    }

    pub(crate) fn commit(&mut self, at: usize, changes: &[Change]) {
        if changes.is_empty() {
            return;
        }
        let before = self.places[at].world.clone();
        let world = &mut self.places[at].world;
        *world = before.apply(changes);
        world.revision = before.revision + 1;
        check_steps(&before, world, changes);
        check_world(world, &self.places[at].config);
    }

    /// One batch from one region to the other, at most so many messages; `false`: there was none.
    pub(crate) fn deliver(&mut self, from: usize, most: usize, crash: Crash) -> bool {
        let to = 1 - from;
        let region = self.places[from].config.region;
        let Some(entries) = federation::outbox(self.world(from), region, most).remove(&self.places[to].config.region)
        else {
            return false;
        };
        let messages = entries.iter().map(|entry| &entry.message);
        let changes = federation::receive(self.world(to), &self.places[to].config, region, messages, self.now);
        assert!(changes.len() <= 3 * entries.len());
        if crash == Crash::BeforeCommit {
            return true;
        }
        self.commit(to, &changes);
        self.heard.extend(entries.iter().map(|entry| (from, entry.message.clone())));
        if crash != Crash::BeforeDelete {
            self.take_out(from, &entries);
        }
        true
    }

    fn take_out(&mut self, at: usize, entries: &[Arc<OutboxEntry>]) {
        let changes = federation::delivered(self.world(at), entries);
        self.commit(at, &changes);
    }

    /// A copy of an old message comes once more.
    pub(crate) fn echo(&mut self, index: usize) -> usize {
        let (from, message) = self.heard[index].clone();
        let (region, to) = (self.places[from].config.region, 1 - from);
        let changes = federation::receive(self.world(to), &self.places[to].config, region, [&message], self.now);
        self.commit(to, &changes);
        changes.len()
    }

    pub(crate) fn local(&mut self, at: usize) -> bool {
        let changes = federation::deliver_here(self.world(at), &self.places[at].config, self.now);
        self.commit(at, &changes);
        !changes.is_empty()
    }

    pub(crate) fn tick(&mut self, at: usize) -> bool {
        let changes = tick(self.world(at), &self.places[at].config, self.now);
        self.commit(at, &changes);
        !changes.is_empty()
    }

    /// Everything that is under way arrives, everything due is done.
    pub(crate) fn drain(&mut self) {
        for _ in 0..10_000 {
            let more = [US, EU].map(|at| self.deliver(at, 7, Crash::Never) | self.local(at) | self.tick(at));
            if more == [false, false] {
                return;
            }
        }
        panic!("the regions do not come to rest");
    }

    pub(crate) fn peering(&self, at: usize, id: &str) -> Option<Arc<Peering>> {
        self.world(at).find::<Peering>(&id.parse().unwrap()).cloned()
    }

    pub(crate) fn statuses(&self, id: &str) -> [Option<PeeringStatus>; 2] {
        [US, EU].map(|at| self.peering(at, id).map(|peering| peering.status))
    }

    /// At rest, both regions tell the same of every peering.
    pub(crate) fn check_agreement(&self) {
        use PeeringStatus as S;
        for at in [US, EU] {
            let world = self.world(at);
            assert_eq!(world.outbox.size(), 0);
            for own in world.all::<Peering>() {
                let at_rest = [S::PendingAcceptance, S::Active, S::Failed, S::Expired, S::Rejected, S::Deleted];
                assert!(at_rest.contains(&own.status), "{own:?} is still under way");
                if !own.is_inter_region() {
                    continue;
                }
                match self.world(1 - at).find::<Peering>(&own.id) {
                    Some(other) => {
                        assert_eq!((own.status, &own.message), (other.status, &other.message), "{own:?}\n{other:?}");
                        let by = |peering: &Peering| peering.ended.map(|(_, by)| by);
                        assert_eq!(by(own), by(other));
                        if own.status == S::Active {
                            assert_eq!((&own.requester, &own.accepter), (&other.requester, &other.accepter));
                        }
                    }
                    None => assert!(own.status.has_ended(), "{own:?} is known in one region only"),
                }
            }
        }
    }
}

/// Each record moves only as the table of spec 5.3 allows, or to a stronger end.
fn check_steps(before: &World, after: &World, changes: &[Change]) {
    for change in changes {
        let Change::Put(Resource::Peering(new)) = change else { continue };
        let Some(old) = before.find::<Peering>(&new.id) else { continue };
        let new = after.find::<Peering>(&new.id).unwrap();
        let allowed =
            reachable(old.status).contains(&new.status) || Peering::clone(old).settle(new.status, None, Time::EPOCH);
        assert!(allowed, "{} went from {} to {}", new.id, old.status, new.status);
        assert_eq!((old.created, old.expires), (new.created, new.expires));
    }
}

fn reachable(from: PeeringStatus) -> BTreeSet<PeeringStatus> {
    use PeeringEvent as E;
    let mut all = BTreeSet::from([from]);
    for _ in PeeringStatus::ALL {
        let events =
            [E::Delivered, E::Refused, E::Accept, E::Reject, E::Expire, E::Provisioned, E::DeleteBegun, E::Gone];
        let next: Vec<_> = all.iter().flat_map(|status| events.map(|event| status.after(event))).flatten().collect();
        all.extend(next);
    }
    all
}

fn check_world(world: &World, config: &Config) {
    let active: Vec<&Arc<Peering>> =
        world.all::<Peering>().filter(|peering| peering.status == PeeringStatus::Active).collect();
    let mut pairs = BTreeSet::new();
    for peering in &active {
        assert!(!peering.requester.overlaps(&peering.accepter), "{peering:?} is active and overlaps");
        let (a, b) = (peering.requester.vpc, peering.accepter.vpc);
        assert!(pairs.insert((a.min(b), a.max(b))), "two active peerings of {a} and {b}");
        for side in [&peering.requester, &peering.accepter] {
            if side.region != config.region {
                continue;
            }
            let vpc = world.find::<Vpc>(&side.vpc).expect("an active peering's VPC is there");
            assert_eq!(side.cidrs, vpc.cidrs.iter().map(|block| block.cidr).collect::<Vec<_>>());
            let count = active.iter().filter(|other| other.side_of(side.vpc).is_some()).count();
            assert!(count <= config.quotas.active_peerings_per_vpc, "{} has {count} active peerings", side.vpc);
        }
    }
}
