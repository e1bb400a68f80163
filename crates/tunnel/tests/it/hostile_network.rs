//! Two hosts and a network that loses, reorders, repeats, corrupts, delays and splits. Each run is a seed.
//!
//! [`World`] checks at every packet: not altered, not twice, from the host that it says, in a domain that both ends' intents permit.

use std::collections::{BTreeMap, BTreeSet};

use model::Duration;

use crate::world::{Faults, Right, World, domain, host};

const SEEDS: u64 = 1000;

fn all_rights() -> Vec<Right> {
    let mut rights = Vec::new();
    for (from, to) in [(0, 1), (1, 0)] {
        rights.extend([domain(0, 0), domain(0, 1), domain(1, 0)].map(|domain| (from, to, domain)));
    }
    rights
}

fn faults(world: &mut World) -> Faults {
    Faults {
        loss: world.below(400),
        duplication: world.below(300),
        corruption: world.below(200),
        replay: world.below(500),
        delay: [0, 20, 2000, 40_000][world.below(4) as usize],
        message_faults: world.below(300),
        reset: world.below(100),
        is_partitioned: world.below(10) == 0,
    }
}

fn some_rights(world: &mut World) -> BTreeSet<Right> {
    all_rights().into_iter().filter(|_| world.below(4) > 0).collect()
}

fn step(world: &mut World) {
    match world.below(40) {
        0 => world.faults = faults(world),
        1 => {
            // The two hosts learn of it at different times.
            let (at, rights) = (world.below(2) as usize, some_rights(world));
            world.entitle(at, &rights);
        }
        2 if world.below(3) == 0 => {
            let at = world.below(2) as usize;
            world.restart(at);
        }
        3 if world.below(3) == 0 => world.cut_sessions(),
        4 => {
            let span = Duration::seconds(world.below(3 * 3600) as i64 / 2);
            world.run(span);
        }
        5 if world.below(10) == 0 => {
            let (at, now) = (world.below(2) as usize, world.now);
            world.hosts[at].agreement.reset(now);
            world.drain(at);
        }
        _ => {
            let rights = all_rights();
            let (from, to, domain) = rights[world.below(rights.len() as u64) as usize];
            let shard = world.below(2) as u16;
            world.send(from, to, domain, shard);
            let span = Duration::millis(world.below(1500) as i64);
            world.run(span);
        }
    }
}

/// Sends every second for a while; the rights that packets came by at the end of it.
fn traffic(world: &mut World, seconds: u32) -> BTreeSet<Right> {
    let mut last = world.serial();
    for second in 0..seconds {
        if second + 3 == seconds {
            last = world.serial();
        }
        for (from, to, domain) in all_rights() {
            world.send(from, to, domain, 0);
        }
        world.run(Duration::seconds(1));
    }
    world.delivered_rights(last)
}

fn run(seed: u64) -> World {
    let mut world = World::new(2, seed);
    let rights = some_rights(&mut world);
    world.entitle_all(&rights);
    world.faults = faults(&mut world);
    for _ in 0..120 {
        step(&mut world);
    }
    world
}

fn heals_and_revokes(world: &mut World, seed: u64) {
    world.faults = Faults::default();
    let rights: BTreeSet<Right> = all_rights().into_iter().collect();
    world.entitle_all(&rights);
    // As long as the longest waits: for an answer on a dead session, after a refusal, between attempts to connect.
    let delivered = traffic(world, 75);
    assert_eq!(delivered, rights, "seed {seed}: every link recovers when the network heals");

    // A peering is deleted; somebody still holds its associations and packets are under way.
    let (ours, theirs) = (domain(0, 1), domain(1, 0));
    let held: Vec<_> =
        [(0, 1, ours), (1, 0, theirs)].map(|(from, to, domain)| world.outbound(from, to, domain).unwrap()).into();
    let held_in: Vec<_> =
        held.iter().zip([1, 0]).map(|(sa, at)| world.inbound(at, sa.identity().spi).unwrap()).collect();
    for (from, to, domain) in &rights {
        world.send(*from, *to, *domain, 0);
    }
    let kept: BTreeSet<Right> = rights.iter().filter(|right| right.2 == domain(0, 0)).copied().collect();
    let since = world.serial();
    // One end alone: its own drop severs both directions, and the other learns of it.
    let first = (seed % 2) as usize;
    world.entitle(first, &kept);
    assert!(held[first].is_revoked() && held_in[1 - first].is_revoked(), "seed {seed}: at once, here");
    world.run(Duration::millis(20));
    assert!(held.iter().all(|sa| sa.is_revoked()), "seed {seed}: the sender is told");
    assert!(held_in.iter().all(|sa| sa.is_revoked()), "seed {seed}: the receiver is told");
    assert!(held.iter().all(|sa| sa.reserve(1, 1) == Err(tunnel::Spent::Revoked)));
    world.entitle_all(&kept);
    let delivered = traffic(world, 5);
    assert_eq!(delivered, kept, "seed {seed}");
    assert_eq!(world.delivered_rights(since), kept, "seed {seed}: nothing of it arrives any more");
    for at in 0..2 {
        let statuses = world.hosts[at].agreement.status(world.now);
        assert!(statuses.iter().all(|row| row.domain == domain(0, 0) && row.host == host(1 - at)), "seed {seed}");
    }
}

#[test]
fn nothing_is_altered_doubled_or_foreign_and_everything_recovers() {
    let mut refusals: BTreeMap<&str, u64> = BTreeMap::new();
    let (mut delivered, mut rekeys, mut requests) = (0, 0, 0);
    for seed in 0..SEEDS {
        let mut world = run(seed);
        heals_and_revokes(&mut world, seed);
        delivered += world.delivered();
        for (name, count) in &world.refusals {
            *refusals.entry(name).or_default() += count;
        }
        for host in &world.hosts {
            rekeys += host.agreement.status(world.now).iter().map(|row| row.rekeys).sum::<u64>();
            let counters = host.agreement.counters();
            requests += counters.unknown_requests.min(1) + counters.unanswered.min(1) + counters.refused_to_me.min(1);
            assert_eq!((counters.violations, counters.effects_lost), (0, 0), "seed {seed}");
        }
    }
    // The network was as hostile as it says.
    assert!(delivered as u64 > 300 * SEEDS, "{delivered}");
    assert!(rekeys > SEEDS && requests > SEEDS, "{rekeys} {requests}");
    for (name, least) in [("replayed", SEEDS), ("authentication", SEEDS), ("malformed", SEEDS / 20)] {
        assert!(refusals.get(name).is_some_and(|count| *count > least), "{name}: {refusals:?}");
    }
}

#[test]
fn a_run_repeats_from_its_seed() {
    let trace = |seed| {
        let mut world = run(seed);
        world.run(Duration::seconds(60));
        let effects = world.hosts.iter().map(|host| host.effects.clone()).collect::<Vec<_>>();
        (world.delivered(), world.refusals, effects)
    };
    for seed in 0..5 {
        assert_eq!(trace(seed), trace(seed));
    }
}
