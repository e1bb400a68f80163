//! What does each stage of a packet's way cost, and what does the law? For `cargo xtask bench stages` and `bench policy`, which judge
//! and show what this prints: a line for each measurement, `who TAB what TAB value`, round by round.
//!
//! Everything runs in one thread and is timed by the processor time of that thread, so that other processes disturb little: caches
//! and clock rate stay shared. Within a round everything is measured once, so that ratios are of one moment.

mod clock;
mod policy;
mod stages;
mod stand;
mod world_of;

#[expect(dead_code, reason = "the tests use more of it")]
#[path = "../../tests/it/world/mod.rs"]
mod world;

use std::process::ExitCode;

/// Something to be measured once a round.
struct Case {
    who: &'static str,
    run: Box<dyn FnMut() -> Vec<(String, f64)>>,
}

impl Case {
    fn new(who: &'static str, what: impl Into<String>, mut run: impl FnMut() -> f64 + 'static) -> Case {
        let what = what.into();
        Case::several(who, move || vec![(what.clone(), run())])
    }

    fn several(who: &'static str, run: impl FnMut() -> Vec<(String, f64)> + 'static) -> Case {
        Case { who, run: Box::new(run) }
    }
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (what, rounds) = match words[..] {
        [what @ ("stages" | "policy"), rounds] => {
            (what, rounds.parse::<usize>().ok().filter(|n| (1..=100).contains(n)))
        }
        _ => ("", None),
    };
    let Some(rounds) = rounds else {
        eprintln!("expected stages|policy and a number of rounds from 1 to 100; `cargo xtask bench stages` calls this");
        return ExitCode::FAILURE;
    };
    let mut cases = if what == "stages" { stages::cases() } else { policy::cases() };
    // The first time is for caches, pages and branch predictors.
    for case in &mut cases {
        (case.run)();
    }
    for round in 1..=rounds {
        println!("round\t{round}\t{rounds}");
        for case in &mut cases {
            for (what, value) in (case.run)() {
                println!("{}\t{what}\t{value}", case.who);
            }
        }
    }
    ExitCode::SUCCESS
}
