//! How long do packets rest when an agent is reloaded or killed?
//!
//! ```text
//!   cargo xtask bench handover   per round: a thousand datagrams a second inside one host and to another, each answered;
//!                                then nothing, a reload, or kill -9 and a new agent; the longest time without an answer
//! ```
//!
//! Server and agents are processes of their own in namespaces; the measurement is the end-to-end test `takeover::pauses_are_measured`
//! of the binary, built for release, with more rounds. Nothing else is measured beside it but the machine itself: what it does to
//! datagrams when nothing happens.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::numbers::{extremes, median, number};

/// What happens, where the datagrams go, and the longest rest that passes, in ms.
const ROWS: [(&str, &str, Option<f64>); 6] = [
    ("nothing", "local", None),
    ("nothing", "link", None),
    ("reload", "local", Some(50.0)),
    ("reload", "link", Some(50.0)),
    ("kill", "local", Some(500.0)),
    ("kill", "link", Some(500.0)),
];
const TEST: &str = "takeover::pauses_are_measured";
const ROUNDS: u32 = 10;

/// Runs `cargo xtask bench handover [--quick] [--rounds N]`.
pub(super) fn run(args: &[&str]) -> Result<()> {
    let (rounds, counts) = match args {
        [] => (ROUNDS, true),
        ["--quick"] => (1, false),
        ["--rounds", rounds] => (rounds.parse().context("--rounds wants a number")?, true),
        _ => bail!("expected `cargo xtask bench handover [--quick] [--rounds N]`"),
    };
    let mut test = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    test.args(["test", "--release", "--package", "peerway", "--test", "hosts", "--", "--exact", TEST, "--nocapture"]);
    test.env("PEERWAY_HANDOVER_ROUNDS", rounds.to_string()).current_dir(crate::run::root()).stderr(Stdio::inherit());
    let output = test.output().context("cannot start cargo")?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        bail!("{TEST} failed\n{text}");
    }
    let mut passes = true;
    println!("{:<10}{:<8}{:>10}{:>10}   longest rest in ms, of {rounds} rounds", "event", "way", "p50", "max");
    for (event, way, limit) in ROWS {
        let rests = rests(&text, event, way);
        if rests.len() != rounds as usize {
            bail!("{} rounds of {rounds} were measured for {event}, {way}\n{text}", rests.len());
        }
        let (_, max) = extremes(&rests);
        let verdict = match limit {
            None => String::new(),
            Some(limit) if max <= limit => format!("pass: at most {} ms", number(limit)),
            Some(limit) => {
                passes = false;
                format!("FAIL: more than {} ms", number(limit))
            }
        };
        println!("{event:<10}{way:<8}{:>10}{:>10}   {verdict}", number(median(&rests)), number(max));
    }
    if counts && !passes {
        bail!("a gate failed");
    }
    Ok(())
}

/// Of lines such as `pause kill link 85.3 ms, 65 lost`.
fn rests(text: &str, event: &str, way: &str) -> Vec<f64> {
    let beginning = format!("pause {event} {way} ");
    let lines = text.lines().filter_map(|line| line.split_once(&beginning));
    lines.filter_map(|(_, rest)| rest.split_once(" ms")?.0.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rests_are_read_from_what_the_test_prints() {
        let text = "running 1 test\ntest x ... pause kill link 85.3 ms, 65 lost\nnoise\npause kill link 7 ms, 0 lost\npause kill local 1 ms";
        assert_eq!(rests(text, "kill", "link"), [85.3, 7.0]);
        assert_eq!(rests(text, "reload", "link"), [0.0; 0]);
    }
}
