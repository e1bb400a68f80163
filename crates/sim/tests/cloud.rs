//! Random calls of the API, and the whole system under them: what must hold holds after every step. `SIM_CLOUD_RUNS`, `SIM_CLOUD_STEPS`
//! and `SIM_CLOUD_SEED` make the same tests longer and other.

use std::collections::BTreeSet;

use control::Timing;
use ec2::action::NAMES;
use model::HostId;
use sim::cloud::hosts::{Counts, Hosts, prologue};
use sim::cloud::kept::Kept;
use sim::cloud::{Cloud, Tally};
use sim::dice::Dice;

fn number(name: &str, otherwise: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a whole number")),
        Err(_) => otherwise,
    }
}

/// Every seed of a test; the first that fails says how it is run again.
fn each_seed(test: &str, runs: u64, mut run: impl FnMut(u64, usize) -> Result<(), String>) {
    let steps = usize::try_from(number("SIM_CLOUD_STEPS", 400)).unwrap();
    let first = number("SIM_CLOUD_SEED", 1);
    for seed in first..first + number("SIM_CLOUD_RUNS", runs) {
        if let Err(error) = run(seed, steps) {
            panic!(
                "seed {seed}: {error}\nagain: SIM_CLOUD_SEED={seed} SIM_CLOUD_RUNS=1 SIM_CLOUD_STEPS={steps} cargo test -p sim --test cloud {test}"
            );
        }
    }
}

fn add(sum: &mut Tally, one: &Tally) {
    one.done.iter().for_each(|(name, count)| *sum.done.entry(name.clone()).or_default() += count);
    one.refused.iter().for_each(|(code, count)| *sum.refused.entry(code.clone()).or_default() += count);
    sum.commits += one.commits;
    sum.crashes += one.crashes;
}

#[test]
fn whatever_is_called_the_worlds_stay_in_order() {
    let mut sum = Tally::default();
    each_seed("whatever_is_called", 24, |seed, steps| {
        let mut dice = Dice::new(seed);
        let mut cloud = Cloud::new(&[], [Kept::new(None)?, Kept::new(None)?])?;
        prologue(&mut cloud)?;
        for step in 0..steps * 3 {
            cloud.step(&mut dice).map_err(|error| format!("step {step}: {error}"))?;
        }
        cloud.settle()?;
        add(&mut sum, &cloud.tally);
        Ok(())
    });
    println!("{sum:#?}");
    if number("SIM_CLOUD_RUNS", 24) < 24 {
        return;
    }
    // Nothing here may come true because it never came up.
    let done: BTreeSet<&str> = sum.done.keys().map(String::as_str).collect();
    let never: Vec<_> = NAMES.iter().filter(|name| !done.contains(*name)).collect();
    assert!(never.len() * 4 < NAMES.len(), "too many actions never succeeded: {never:?}");
    assert!(sum.refused.len() > 40, "{:?}", sum.refused);
}

/// The same where things take as long as on AWS (decision 0055): time lies between the request and what comes of it.
#[test]
fn the_worlds_stay_in_order_while_things_take_their_time() {
    let mut sum = Tally::default();
    let mut passed = 0;
    each_seed("take_their_time", 8, |seed, steps| {
        let mut dice = Dice::new(seed);
        let mut cloud = Cloud::new(&[], [Kept::new(None)?, Kept::new(None)?])?;
        for place in &mut cloud.places {
            place.config.timing = Timing::new(1.0);
        }
        prologue(&mut cloud)?;
        for step in 0..steps * 3 {
            cloud.step(&mut dice).map_err(|error| format!("step {step}: {error}"))?;
            passed = passed.max(cloud.places[0].world.passages.size());
        }
        cloud.settle()?;
        for place in &cloud.places {
            assert_eq!((place.world.passages.size(), place.world.outbox.size()), (0, 0), "all has come to its end");
        }
        add(&mut sum, &cloud.tally);
        Ok(())
    });
    assert!(sum.commits > 50 && passed > 3, "{passed} at a time, {sum:?}");
}

#[test]
fn memory_and_disk_answer_alike_and_crashes_lose_nothing() {
    let mut sum = Tally::default();
    each_seed("memory_and_disk", 2, |seed, steps| {
        let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let mut dice = Dice::new(seed);
        let kept = [Kept::new(Some(dirs[0].path()))?, Kept::new(Some(dirs[1].path()))?];
        let mut cloud = Cloud::new(&[], kept)?;
        prologue(&mut cloud)?;
        for step in 0..steps.div_ceil(2) {
            cloud.step(&mut dice).map_err(|error| format!("step {step}: {error}"))?;
            if step.is_multiple_of(16) {
                for place in &mut cloud.places {
                    assert_eq!(place.kept.load()?, place.world, "what is written is what was acknowledged");
                    assert_eq!(place.kept.replay()?, place.world, "the change log gives the same World");
                }
            }
        }
        for at in [0, 1] {
            cloud.crash(at)?;
        }
        add(&mut sum, &cloud.tally);
        Ok(())
    });
    assert!(sum.commits > 50 && sum.crashes > 2, "{sum:?}");
}

/// The whole: calls, crashes of regions, lost and repeated messages, clocks that jump, hosts that restart, packets.
fn whole(seed: u64, steps: usize) -> Result<(Tally, Counts), String> {
    let hosts: Vec<HostId> = ["host-a", "host-b"].iter().map(|name| name.parse().unwrap()).collect();
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let mut dice = Dice::new(seed);
    // The disk is slow, and has a test of its own.
    let on_disk = |at: usize| seed.is_multiple_of(8).then(|| dirs[at].path());
    let mut cloud = Cloud::new(&hosts, [Kept::new(on_disk(0))?, Kept::new(on_disk(1))?])?;
    let mut machines = Hosts::new(&hosts);
    prologue(&mut cloud)?;
    machines.settle(&mut cloud)?;
    for step in 0..steps {
        let done = match dice.below(100) {
            0..15 => cloud.step(&mut dice),
            15..17 => cloud.settle().and_then(|()| machines.settle(&mut cloud)),
            _ => machines.step(&mut cloud, &mut dice),
        };
        done.map_err(|error| format!("step {step}: {error}"))?;
    }
    cloud.settle()?;
    machines.settle(&mut cloud)?;
    Ok((cloud.tally, machines.counts))
}

#[test]
fn the_whole_system_keeps_its_promises() {
    let mut sum = Counts::default();
    each_seed("the_whole_system", 16, |seed, steps| {
        let (_, counts) = whole(seed, steps * 2)?;
        sum.updates += counts.updates;
        sum.diverged += counts.diverged;
        sum.restarts += counts.restarts;
        sum.packets += counts.packets;
        sum.delivered += counts.delivered;
        sum.crossed += counts.crossed;
        Ok(())
    });
    println!("{sum:?}");
    if number("SIM_CLOUD_RUNS", 16) >= 16 {
        assert!(sum.updates > 200 && sum.diverged > 0 && sum.restarts > 10, "{sum:?}");
        assert!(sum.delivered > 500 && sum.crossed > 100, "{sum:?}");
    }
}

#[test]
fn the_same_seed_is_the_same_run() {
    assert_eq!(whole(3, 300).unwrap(), whole(3, 300).unwrap());
}
