//! What time alone does to a World: requests expire, ended things go (spec 5.3.3, 5.3.4, 8.6, 1.3.12, 2.7.3).

use model::credential::{AccessKey, ClientToken};
use model::federation::OutboxEntry;
use model::*;

use crate::addresses::forgotten;
use crate::peering::{Peerings, expiry_time, purge_time};
use crate::{Config, Draft, public, timing};

/// What one tick may change: below the store's bound on one transaction. What is left over is due at once.
pub const CHANGES_MAX: usize = 96;

/// A session's key is known that much longer than it is good for, so that its use is answered with "expired".
const EXPIRED_KEY_KEPT: Duration = Duration::hours(1);

/// Spec 12.2.2.
const ANALYSIS_KEPT: Duration = Duration::hours(120 * 24);

/// What is due at the machine's time `machine`.
pub fn tick(world: &World, config: &Config, machine: Time) -> Vec<Change> {
    let now = world.now(machine);
    let mut draft = Draft::new(world);
    let due = world.all::<Peering>().filter(|peering| peering_time(peering, config).is_some_and(|time| time <= now));
    for peering in due {
        if draft.len() >= CHANGES_MAX {
            return draft.into_changes();
        }
        let mut peering = Peering::clone(peering);
        if !(Peerings { draft: &mut draft, config, now }).expire(&mut peering) {
            draft.delete::<Peering>(peering.id);
        }
    }
    purge::<Instance>(&mut draft, world, now, |instance| instance_time(instance, config));
    purge::<NatGateway>(&mut draft, world, now, |gateway| nat_gateway_time(gateway, config));
    purge::<ClientToken>(&mut draft, world, now, |token| Some(token_time(token, config)));
    purge::<AccessKey>(&mut draft, world, now, key_time);
    purge::<RestingAddress>(&mut draft, world, now, |address| Some(public::rested(address)));
    purge::<FlowLog>(&mut draft, world, now, |log| orphan_time(log, world));
    purge::<ReleasedAddresses>(&mut draft, world, now, |note| Some(forgotten(note)));
    purge::<NetworkInsightsAnalysis>(&mut draft, world, now, |analysis| Some(analysis_time(analysis)));
    purge::<NetworkInsightsAccessScopeAnalysis>(&mut draft, world, now, |analysis| {
        Some(analysis.started + ANALYSIS_KEPT)
    });
    pass(&mut draft, world, config, machine);
    draft.into_changes()
}

/// When the next tick is due, in the machine's time; in the past if it is overdue. `None`: nothing here ends by itself.
pub fn next(world: &World, config: &Config) -> Option<Time> {
    let peerings = world.all::<Peering>().filter_map(|peering| peering_time(peering, config));
    let instances = world.all::<Instance>().filter_map(|instance| instance_time(instance, config));
    let nat_gateways = world.all::<NatGateway>().filter_map(|gateway| nat_gateway_time(gateway, config));
    let tokens = world.all::<ClientToken>().map(|token| token_time(token, config));
    let keys = world.all::<AccessKey>().filter_map(|key| key_time(key));
    let orphans = world.all::<FlowLog>().filter_map(|log| orphan_time(log, world));
    let analyses = world.all::<NetworkInsightsAnalysis>().map(|analysis| analysis_time(analysis));
    let scoped = world.all::<NetworkInsightsAccessScopeAnalysis>().map(|analysis| analysis.started + ANALYSIS_KEPT);
    let released = world.all::<ReleasedAddresses>().map(|note| forgotten(note));
    let resting = world.all::<RestingAddress>().map(|address| public::rested(address));
    let passing = world.all::<Passage>().map(|passage| passage.until);
    let held = world.all::<OutboxEntry>().filter_map(|entry| entry.held);
    let purged = passing.chain(held).chain(analyses).chain(scoped).chain(released).chain(resting).chain(nat_gateways);
    let first = peerings.chain(instances).chain(tokens).chain(keys).chain(orphans).chain(purged).min()?;
    let ahead = world.now(Time::EPOCH) - Time::EPOCH;
    Some(first + Duration::millis(ahead.as_millis().saturating_neg()))
}

/// What took its time arrives or goes, and messages that were held may leave. One passage changes a few records at most, but an
/// instance's end all of its interfaces.
fn pass(draft: &mut Draft, world: &World, config: &Config, machine: Time) {
    let now = world.now(machine);
    for passage in world.all::<Passage>().filter(|passage| passage.until <= now) {
        if draft.len() >= CHANGES_MAX / 2 {
            return;
        }
        timing::settle(draft.world(), config, passage, machine).into_iter().for_each(|change| draft.change(change));
    }
    let room = CHANGES_MAX.saturating_sub(draft.len());
    let due = world.all::<OutboxEntry>().filter(|entry| entry.held.is_some_and(|held| held <= now));
    for entry in due.take(room) {
        draft.put(OutboxEntry { held: None, ..OutboxEntry::clone(entry) });
    }
}

fn purge<E: Entity + 'static>(draft: &mut Draft, world: &World, now: Time, end: impl Fn(&E) -> Option<Time>) {
    let room = CHANGES_MAX.saturating_sub(draft.len());
    let over = world.all::<E>().filter(|entity| end(entity).is_some_and(|end| end <= now));
    for entity in over.take(room) {
        draft.delete::<E>(entity.id());
    }
}

fn peering_time(peering: &Peering, config: &Config) -> Option<Time> {
    expiry_time(peering, config.region).or_else(|| purge_time(peering, config))
}

fn instance_time(instance: &Instance, config: &Config) -> Option<Time> {
    let ended = instance.terminated.filter(|_| instance.state == InstanceState::Terminated)?;
    Some(ended + config.visibility.terminated_instance)
}

/// As AWS: an hour after it was deleted or failed.
fn nat_gateway_time(gateway: &NatGateway, config: &Config) -> Option<Time> {
    Some(gateway.ended? + config.visibility.terminated_instance)
}

fn token_time(token: &ClientToken, config: &Config) -> Time {
    token.created + config.visibility.client_token
}

/// A flow log goes after what it covers (spec 2.7.3).
fn orphan_time(log: &FlowLog, world: &World) -> Option<Time> {
    (!log.has_resource(world)).then_some(log.created)
}

fn key_time(key: &AccessKey) -> Option<Time> {
    Some(key.session.as_ref()?.expires + EXPIRED_KEY_KEPT)
}

fn analysis_time(analysis: &NetworkInsightsAnalysis) -> Time {
    analysis.started + ANALYSIS_KEPT
}
