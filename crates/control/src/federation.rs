//! What regions tell each other about peerings (architecture ch. 6, spec 5.6): pure, so that the server and the simulator run
//! the same code.
//!
//! A message is written to the outbox in the transaction that caused it, delivered at least once and in order of sequence per
//! destination, and received idempotently: a copy that comes again, or late, changes nothing more. A shell's whole duty:
//!
//! ```text
//! for each World:
//!   deliver_here(world)                  ─ commit                       until it gives no change (messages to itself)
//!   for (to, entries) in outbox(world):
//!     receive(other, from, entries)      ─ commit there (again on a conflict)
//!     delivered(world, entries)          ─ commit here                  a crash in between delivers again
//!   for (to, message) in mirrors(world)  ─ receive and commit there     when it says other than what was sent last
//! ```
//!
//! Messages of a request's life; a peering inside one region sends `Request` and `Accepted` to itself and needs no more:
//!
//! ```text
//! requester's region                                        accepter's region
//!   initiating-request ── Request ───────────────────────▶   holds?
//!   pending-acceptance ◀── Pending ───────────────────────   pending-acceptance
//!   failed             ◀── Refused ───────────────────────   failed
//!   rejected, expired  ◀── Rejected, Expired ─────────────   rejected, expired
//!   can it be?         ◀── Accepted(blocks) ──────────────   provisioning
//!   active             ── Provisioned ───────────────────▶   active
//!   failed             ── Refused ───────────────────────▶   failed
//!   deleting           ── Deleted ───────────────────────▶   deleted          (either way round)
//!   deleted            ◀── DeletedToo ────────────────────
//!   live               ◀── Changed(blocks, options) ─────▶   live
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::federation::{Member, Message, Mirror, OutboxEntry};
use model::peering::{PeeringEvent, Side};
use model::*;

use crate::peering::{Peerings, local_sides};
use crate::{Config, Draft, plan};

/// So many entries can be received and removed in one transaction each: none changes more than three records.
pub const ENTRIES_MAX: usize = 32;

/// What one delivery may change: below the store's bound on one transaction, with room for a last message's changes.
pub const CHANGES_MAX: usize = 96;

/// The oldest entries for each other region, in order, at most so many for each.
pub fn outbox(world: &World, here: Region, most: usize) -> BTreeMap<Region, Vec<Arc<OutboxEntry>>> {
    let mut queues: BTreeMap<Region, Vec<Arc<OutboxEntry>>> = BTreeMap::new();
    for entry in free(world).filter(|entry| entry.to != here) {
        let queue = queues.entry(entry.to).or_default();
        if queue.len() < most {
            queue.push(entry.clone());
        }
    }
    queues
}

/// The entries that may leave, in order: not those that are held, nor what was said later of the same peering.
fn free(world: &World) -> impl Iterator<Item = &Arc<OutboxEntry>> {
    let mut waiting = BTreeSet::new();
    world.all::<OutboxEntry>().filter(move |entry| {
        let peering = entry.message.peering();
        let is_held = entry.held.is_some() || waiting.contains(&peering);
        if is_held {
            waiting.insert(peering);
        }
        !is_held
    })
}

/// Some message of the region to itself may be heard.
pub fn has_words(world: &World, here: Region) -> bool {
    free(world).any(|entry| entry.to == here)
}

/// Takes delivered entries out of their outbox; what is no longer there as it was delivered stays untouched.
pub fn delivered(world: &World, entries: &[Arc<OutboxEntry>]) -> Vec<Change> {
    let there = entries.iter().filter(|entry| world.find::<OutboxEntry>(&entry.sequence) == Some(*entry));
    there.map(|entry| Change::Delete(OutboxEntry::key(entry.sequence))).collect()
}

/// What the World becomes on hearing these messages of another region, in their order. The caller has made sure that `from`
/// is who says so. `machine` is the machine's time.
pub fn receive<'m>(
    world: &World,
    config: &Config,
    from: Region,
    messages: impl IntoIterator<Item = &'m Message>,
    machine: Time,
) -> Vec<Change> {
    let mut draft = Draft::new(world);
    for message in messages {
        Receiver::new(&mut draft, config, from, machine).hear(message);
    }
    draft.into_changes()
}

/// Delivers the World's messages to itself: their effects and their removal in one transaction, at most
/// [`CHANGES_MAX`] changes. None: nothing to deliver.
pub fn deliver_here(world: &World, config: &Config, machine: Time) -> Vec<Change> {
    let mut draft = Draft::new(world);
    for entry in free(world).filter(|entry| entry.to == config.region) {
        if draft.len() >= CHANGES_MAX {
            break;
        }
        draft.delete::<OutboxEntry>(entry.sequence);
        Receiver::new(&mut draft, config, config.region, machine).hear(&entry.message);
    }
    draft.into_changes()
}

/// What the regions of accepted peers must know of where this region's members are: the whole of it, per peering. Need not be
/// sent again while it [says the same](Mirror::says_the_same) as what was sent last for that peering.
pub fn mirrors(world: &World, here: Region) -> Vec<(Region, Message)> {
    let abroad = world.peerings_abroad();
    let pairs =
        abroad.filter_map(|peering| Some((peering, peering.other_region(here)?, local_sides(peering, here).next()?)));
    let mut told: BTreeMap<VpcId, Mirror> = BTreeMap::new();
    let messages = pairs.map(|(peering, to, side)| {
        let vpc = peering.side(side).vpc;
        let mirror = told.entry(vpc).or_insert_with(|| mirror(world, here, vpc)).clone();
        (to, Message::Mirror { peering: peering.id, mirror })
    });
    messages.collect()
}

/// Another region may have to hear of the change that led from the one World to the other: a message, a peering with it, or a member
/// of a VPC that is peered with one of its own.
pub fn concerns_others(before: &World, after: &World, change: &Change) -> bool {
    let is_abroad =
        |vpc: VpcId| after.peerings_of(vpc).any(|peering| peering.is_inter_region() && peering.status.is_accepted());
    let key = change.key();
    [before, after].into_iter().filter_map(|world| world.resource(&key)).any(|resource| match resource {
        Resource::OutboxEntry(_) => true,
        Resource::Peering(peering) => peering.is_inter_region(),
        Resource::NetworkInterface(interface) => is_abroad(interface.vpc),
        Resource::Instance(instance) => is_abroad(instance.vpc),
        Resource::NatGateway(gateway) => is_abroad(gateway.vpc),
        _ => false,
    })
}

fn mirror(world: &World, region: Region, vpc: VpcId) -> Mirror {
    let interfaces = world.by::<NetworkInterface>(By::id(vpc));
    // Groups cannot be named across regions (spec 6.5.3).
    let members = interfaces.map(|interface| Member { groups: BTreeSet::new(), ..plan::member(world, interface) });
    Mirror { vpc, region, revision: world.revision, members: members.collect() }
}

/// One message being heard.
struct Receiver<'a> {
    peerings: Peerings<'a>,
    from: Region,
}

impl<'a> Receiver<'a> {
    fn new(draft: &'a mut Draft, config: &'a Config, from: Region, machine: Time) -> Receiver<'a> {
        let now = draft.world().now(machine);
        Receiver { peerings: Peerings { draft, config, now }, from }
    }

    fn hear(&mut self, message: &Message) {
        match message {
            Message::Request { peering } => self.request(peering),
            Message::Pending { peering } => self.pending(*peering),
            Message::Refused { peering } => self.ended(*peering, PeeringStatus::Failed, None),
            Message::Rejected { peering, by } => self.ended(*peering, PeeringStatus::Rejected, Some(*by)),
            Message::Expired { peering } => self.ended(*peering, PeeringStatus::Expired, None),
            Message::Accepted { peering, side } => self.accepted(*peering, side),
            Message::Provisioned { peering } => self.provisioned(*peering),
            Message::Deleted { peering, by } => self.deleted(*peering, *by),
            Message::DeletedToo { peering } => self.deleted_too(*peering),
            Message::Changed { peering, side } => self.changed(*peering, side),
            Message::Mirror { peering, mirror } => self.mirror(*peering, mirror),
        }
    }

    /// The record, if the sender's region has a part in it.
    fn known(&self, id: PeeringId) -> Option<Peering> {
        self.peerings.find(id).filter(|peering| self.is_theirs(peering))
    }

    fn is_theirs(&self, peering: &Peering) -> bool {
        peering.other_region(self.peerings.here()).unwrap_or(self.peerings.here()) == self.from
    }

    /// The record, if it is for the requester to hear this from the accepter's region.
    fn known_to_requester(&self, id: PeeringId) -> Option<Peering> {
        let is_for_us = |peering: &Peering| {
            (peering.requester.region, peering.accepter.region) == (self.peerings.here(), self.from)
        };
        self.known(id).filter(is_for_us)
    }

    /// The record, if it is for the accepter to hear this from the requester's region.
    fn known_to_accepter(&self, id: PeeringId) -> Option<Peering> {
        let is_for_us = |peering: &Peering| {
            (peering.requester.region, peering.accepter.region) == (self.from, self.peerings.here())
        };
        self.known(id).filter(is_for_us)
    }

    fn request(&mut self, asked: &Peering) {
        let here = self.peerings.here();
        let mut peering = match self.peerings.find(asked.id) {
            Some(own) if self.from == here && own.status == PeeringStatus::InitiatingRequest => own,
            // Heard before.
            Some(_) => return,
            // The record that the request is about lives here too, and has been purged.
            None if self.from == here => return,
            None => Peering {
                status: PeeringStatus::InitiatingRequest,
                ended: None,
                tags: BTreeMap::new(),
                ..asked.clone()
            },
        };
        if (peering.requester.region, peering.accepter.region) != (self.from, here) {
            return;
        }
        if self.peerings.now >= peering.expires && self.from != here {
            // Too late, or a copy after the purge. The weakest of ends: it changes nothing where the request has ended.
            self.peerings.draft.send(self.from, Message::Refused { peering: peering.id });
        } else if self.holds(&mut peering) {
            peering.step(PeeringEvent::Delivered, None, self.peerings.now);
            self.peerings.tell(&peering, Message::Pending { peering: peering.id });
            self.peerings.keep(peering);
        } else {
            self.peerings.refuse(&mut peering);
        }
    }

    /// The VPCs of this region are there and their accounts', their blocks come into the record, and the two VPCs, both known,
    /// overlap nowhere.
    fn holds(&self, peering: &mut Peering) -> bool {
        let is_there = self.peerings.refresh(peering);
        let is_known = ![&peering.requester, &peering.accepter].iter().any(|side| side.cidrs.is_empty());
        is_there && is_known && !peering.requester.overlaps(&peering.accepter)
    }

    fn pending(&mut self, id: PeeringId) {
        let Some(mut peering) = self.known_to_requester(id) else { return };
        if peering.step(PeeringEvent::Delivered, None, self.peerings.now) {
            self.peerings.keep(peering);
        }
    }

    fn accepted(&mut self, id: PeeringId, side: &PeeringSide) {
        let Some(mut peering) = self.known_to_requester(id) else { return };
        let now = self.peerings.now;
        if peering.is_inter_region() {
            peering.step(PeeringEvent::Delivered, None, now);
            if !peering.step(PeeringEvent::Accept, Some(peering.accepter.owner), now) {
                return;
            }
            peering.accepter.learn(side);
        } else if peering.status != PeeringStatus::Provisioning {
            return;
        }
        if self.can_be(&mut peering) {
            peering.step(PeeringEvent::Provisioned, None, now);
            self.peerings.tell(&peering, Message::Provisioned { peering: id });
            self.peerings.keep(peering);
        } else {
            self.peerings.refuse(&mut peering);
        }
    }

    /// An acceptance can be realised: both VPCs are still there and disjoint, there is room, and no other peering of the two
    /// is ahead. Of two that were accepted in both regions at once, both regions let the one with the lower id be.
    fn can_be(&self, peering: &mut Peering) -> bool {
        let is_ahead = |rival: &Arc<Peering>| rival.status == PeeringStatus::Active || rival.id < peering.id;
        let is_first = !self.peerings.rival(peering).is_some_and(is_ahead);
        is_first && self.holds(peering) && !self.peerings.is_full(peering)
    }

    fn provisioned(&mut self, id: PeeringId) {
        let Some(mut peering) = self.known_to_accepter(id) else { return };
        if peering.step(PeeringEvent::Provisioned, None, self.peerings.now) {
            self.keep_disjoint(peering);
        }
    }

    fn ended(&mut self, id: PeeringId, end: PeeringStatus, by: Option<AccountId>) {
        let Some(mut peering) = self.known(id) else { return };
        if peering.settle(end, by, self.peerings.now) {
            self.peerings.keep(peering);
        }
    }

    fn deleted(&mut self, id: PeeringId, by: Option<AccountId>) {
        let answer = Message::DeletedToo { peering: id };
        let Some(mut peering) = self.peerings.find(id) else {
            // Purged here; the sender still waits for the answer.
            return self.peerings.draft.send(self.from, answer);
        };
        if !self.is_theirs(&peering) {
            return;
        }
        // Deleted on both sides at once: each side's message is the other's answer, and the requester's name stands in both.
        let crossed = peering.status == PeeringStatus::Deleting;
        let own_by = peering.ended.and_then(|(_, by)| by);
        let by = if crossed && peering.requester.region == self.peerings.here() { own_by } else { by };
        if peering.settle(PeeringStatus::Deleted, by, self.peerings.now) {
            if !crossed {
                self.peerings.tell(&peering, answer);
            }
            self.peerings.keep(peering);
        }
    }

    fn deleted_too(&mut self, id: PeeringId) {
        let Some(mut peering) = self.known(id).filter(|peering| peering.status == PeeringStatus::Deleting) else {
            return;
        };
        let by = peering.ended.and_then(|(_, by)| by);
        if peering.step(PeeringEvent::Gone, by, self.peerings.now) {
            self.peerings.keep(peering);
        }
    }

    fn changed(&mut self, id: PeeringId, told: &PeeringSide) {
        let Some(mut peering) = self.known(id).filter(|peering| peering.status.is_live()) else { return };
        let theirs = [Side::Requester, Side::Accepter].into_iter().find(|side| peering.side(*side).region == self.from);
        if theirs.is_some_and(|side| peering.side_mut(side).learn(told)) {
            self.keep_disjoint(peering);
        }
    }

    /// Keeps the record, but never as active over blocks that overlap: both regions gave their VPC a block before they heard of
    /// the other's, so the peering cannot go on.
    fn keep_disjoint(&mut self, mut peering: Peering) {
        self.peerings.refresh(&mut peering);
        let overlaps = peering.status == PeeringStatus::Active && peering.requester.overlaps(&peering.accepter);
        if !(overlaps && self.peerings.begin_deletion(&mut peering, None)) {
            self.peerings.keep(peering);
        }
    }

    fn mirror(&mut self, id: PeeringId, mirror: &Mirror) {
        // The accepter tells where its members are before it says that it accepts: who is active can send at once.
        let is_awaited = |status: PeeringStatus| status.is_accepted() || status == PeeringStatus::PendingAcceptance;
        let Some(peering) = self.known(id).filter(|peering| is_awaited(peering.status)) else { return };
        let is_theirs =
            |side: &&PeeringSide| (side.vpc, side.region) == (mirror.vpc, mirror.region) && side.region == self.from;
        let known = self.peerings.draft.world().find::<Mirror>(&mirror.vpc);
        let is_news = known.is_none_or(|known| known.revision < mirror.revision);
        if is_news && peering.is_inter_region() && [&peering.requester, &peering.accepter].iter().any(is_theirs) {
            self.peerings.draft.put(mirror.clone());
        }
    }
}
