//! A host's process is killed and starts again with nothing: how soon is it served? Each run is a seed.

use std::collections::BTreeSet;

use model::Duration;
use tunnel::Effect;

use crate::world::{Faults, Right, World, domain};

const SEEDS: u64 = 200;
/// Messages and datagrams take 1 ms or 2 each. Two handshakes, one of each host, a question and its answer.
const SERVED_WITHIN: i64 = 20;

/// Of two hosts, those directions of a link that have packets.
fn rights(seed: u64) -> BTreeSet<Right> {
    let both = [(0, 1, domain(0, 1)), (1, 0, domain(1, 0))];
    match seed % 3 {
        0 => both.into(),
        one => [both[one as usize - 1]].into(),
    }
}

/// A packet of each direction every other millisecond, until all have come; how long that took.
fn served_after(world: &mut World, rights: &BTreeSet<Right>) -> i64 {
    let (begin, since) = (world.now, world.serial());
    while world.delivered_rights(since) != *rights {
        assert!((world.now - begin).as_millis() < 60_000, "never");
        for (from, to, domain) in rights {
            world.send(*from, *to, *domain, 0);
        }
        world.run(Duration::millis(2));
    }
    (world.now - begin).as_millis()
}

fn linked(seed: u64) -> (World, BTreeSet<Right>) {
    let mut world = World::new(2, seed);
    let rights = rights(seed);
    world.entitle_all(&rights);
    assert!(served_after(&mut world, &rights) <= SERVED_WITHIN);
    // Sessions and keys have been there for a while.
    for _ in 0..20 {
        served_after(&mut world, &rights);
        world.run(Duration::seconds(1));
    }
    (world, rights)
}

#[test]
fn a_host_that_starts_anew_is_served_as_soon_as_it_can_be_reached() {
    for seed in 0..SEEDS {
        let (mut world, rights) = linked(seed);
        world.restart((seed / 3 % 2) as usize);
        let after = served_after(&mut world, &rights);
        assert!(after <= SERVED_WITHIN, "seed {seed}: {after} ms");
    }
}

#[test]
fn so_is_one_that_was_away_for_a_while() {
    let mut soon = 0;
    for seed in 0..SEEDS {
        let (mut world, rights) = linked(seed);
        let at = (seed / 3 % 2) as usize;
        // Nobody answers; attempts to reach it come further and further apart, and the last one is under way still.
        world.faults.is_partitioned = true;
        world.cut_sessions();
        let away = world.below(20_000) as i64;
        for _ in 0..away / 50 {
            for (from, to, domain) in &rights {
                if *from != at {
                    world.send(*from, *to, *domain, 0);
                }
            }
            world.run(Duration::millis(50));
        }
        world.faults = Faults::default();
        world.restart(at);
        let after = served_after(&mut world, &rights);
        // The other host may have tried a moment ago, and waits half a second for that; then it tries anew.
        assert!(after <= 500 + 150 + SERVED_WITHIN, "seed {seed}: {after} ms after {away} ms");
        soon += u64::from(after <= SERVED_WITHIN);
    }
    assert!(soon > SEEDS * 9 / 10, "{soon} of {SEEDS} at once");
}

#[test]
fn it_dials_once_for_all_packets_under_keys_that_it_does_not_have() {
    for seed in 0..SEEDS {
        let (mut world, _) = linked(3 * seed + 1);
        world.restart(1);
        for _ in 0..1000 {
            world.send(0, 1, domain(0, 1), 0);
        }
        world.run(Duration::seconds(1));
        let dials = world.hosts[1].effects.iter().filter(|effect| matches!(effect, Effect::Connect { .. })).count();
        assert_eq!(dials, 1, "seed {seed}");
        world.run(Duration::seconds(120));
        assert_eq!(world.hosts[1].connects.len(), 1, "and not again: it has nothing to send");
    }
}
