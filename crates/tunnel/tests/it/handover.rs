//! What a planned restart hands over: nothing is lost, nothing is sealed or opened twice, and it does not last.

use std::collections::BTreeSet;

use model::Duration;
use tunnel::{BRIDGE, Entitlements, JUMP, Spent};

use crate::world::{Right, World, domain};

/// Two hosts that send to each other.
fn linked(seed: u64) -> World {
    let mut world = World::new(2, seed);
    let rights: BTreeSet<Right> = [(0, 1, domain(0, 1)), (1, 0, domain(1, 0))].into();
    world.entitle_all(&rights);
    for _ in 0..2 {
        both(&mut world);
        world.run(Duration::millis(200));
    }
    assert_eq!(world.delivered(), 2);
    world
}

fn both(world: &mut World) {
    world.send(0, 1, domain(0, 1), 0);
    world.send(1, 0, domain(1, 0), 0);
}

#[test]
fn a_planned_restart_loses_no_packet_and_agrees_anew() {
    for seed in 1..20 {
        for at in [0, 1] {
            let mut world = linked(seed);
            let spis = |world: &World| {
                [(0, 1), (1, 0)].map(|(a, b)| world.outbound(a, b, domain(a as u8, b as u8)).unwrap().identity().spi)
            };
            let before = spis(&world);
            // Under way while one process ends and the next begins.
            both(&mut world);
            world.hand_over(at);
            both(&mut world);
            assert_eq!(spis(&world), before, "the keys of before");
            let delivered = world.delivered();
            world.run(Duration::millis(30));
            assert_eq!(world.delivered(), delivered + 4, "seed {seed}, host {at}");
            world.run(Duration::seconds(1));
            let after = spis(&world);
            assert!(after.iter().zip(before).all(|(new, old)| *new != old), "seed {seed}, host {at}: agreed anew");
            both(&mut world);
            world.run(Duration::millis(30));
            assert_eq!(world.delivered(), delivered + 6);
        }
    }
}

#[test]
fn nothing_is_sealed_twice_or_opened_twice_over_a_planned_restart() {
    let mut world = linked(1);
    let (mine, theirs) = (domain(0, 1), domain(1, 0));
    let before = world.outbound(0, 1, mine).unwrap();
    let inbound = world.outbound(1, 0, theirs).unwrap().identity().spi;
    let opened = world.inbound(0, inbound).unwrap();
    let used = before.packets();
    let old = world.hand_over(0);
    // Whoever holds the old ones seals and opens no more.
    assert_eq!(before.reserve(1, 1), Err(Spent::Revoked));
    assert!(old.inbound(inbound).is_some() && opened.is_revoked());
    let next = world.outbound(0, 1, mine).unwrap();
    assert_eq!(next.reserve(1, 1), Ok(used + JUMP + 1));
    // Everything that was under way before may be sent again by the network: all of it was seen.
    world.faults.replay = 1000;
    let delivered = world.delivered();
    for _ in 0..50 {
        world.send(1, 0, theirs, 0);
        world.run(Duration::millis(1));
    }
    world.run(Duration::millis(100));
    assert!(world.delivered() <= delivered + 50 && world.refusals["replayed"] > 0, "{:?}", world.refusals);
}

#[test]
fn what_was_handed_over_ends_with_its_right_and_with_its_time() {
    let mut world = linked(1);
    world.faults.is_partitioned = true;
    world.hand_over(0);
    assert_eq!(world.hosts[0].sas.counts(), (1, 1));
    world.run(BRIDGE + Duration::seconds(1));
    assert_eq!(world.hosts[0].sas.counts(), (0, 0), "nobody to agree anew with");
    let mut world = linked(1);
    world.hand_over(0);
    let now = world.now;
    world.hosts[0].agreement.entitle(Entitlements::default(), now);
    world.drain(0);
    assert_eq!(world.hosts[0].sas.counts(), (0, 0));
}

#[test]
fn restarts_in_quick_succession_end_what_is_oldest() {
    for seed in 1..50 {
        let mut world = linked(seed);
        for _ in 0..8 {
            world.hand_over(1);
            world.run(Duration::millis(300));
            let delivered = world.delivered();
            both(&mut world);
            world.run(Duration::millis(30));
            assert_eq!(world.delivered(), delivered + 2, "seed {seed}");
        }
    }
}
