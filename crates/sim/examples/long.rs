//! The long run of the differential test: `cargo run --release -p sim --example long -- --cases 1000000 --seed 1`.
//!
//! Prints progress and one summary line; of every kind of mismatch the first, in full. Exit code 1 if there is any.

use std::process::ExitCode;

use sim::compare;
use sim::sweep::sweep;

fn main() -> ExitCode {
    let (cases, seed) = match arguments(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(wrong) => {
            eprintln!("{wrong}\nusage: long [--cases N] [--seed S]");
            return ExitCode::from(2);
        }
    };
    let seeds = cases.div_ceil(compare::STEPS as u64);
    let progress = |done: u64| {
        if done.is_multiple_of((seeds / 20).max(1)) {
            eprintln!("{done} of {seeds} worlds");
        }
    };
    let sweep = sweep(seed, seeds, progress);
    for ((expected, got), (count, _, first)) in &sweep.mismatches {
        println!("== reference {expected}, data plane {got}: {count} worlds, the first:\n{first}");
    }
    println!("{} mismatches in {}", sweep.mismatches(), sweep.summary);
    if sweep.mismatches() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn arguments(mut words: impl Iterator<Item = String>) -> Result<(u64, u64), String> {
    let (mut cases, mut seed) = (1_000_000, 1);
    while let Some(word) = words.next() {
        let into = match word.as_str() {
            "--cases" => &mut cases,
            "--seed" => &mut seed,
            other => return Err(format!("`{other}` is no argument of this program")),
        };
        let value = words.next().ok_or_else(|| format!("`{word}` needs a number"))?;
        *into = value.parse().map_err(|_| format!("`{value}` for `{word}` is not a whole number"))?;
    }
    Ok((cases, seed))
}
