//! `bench stages` and `bench policy`: what one packet costs, stage by stage, and what the law costs at its sizes.
//!
//! Measured by a program of the data plane's own (`crates/dataplane/examples/costs`), in one thread, in its processor time; here it is
//! started, shown and judged. `bench policy` also asks nftables the same questions: see [`super::new_flows`].

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::gate::Limit;
use super::janitor::Janitor;
use super::options::Options;
use super::process;
use super::report::Report;
use super::{new_flows, tools};

const PEERWAY: &str = "peerway";
const SEALING: &str = "seal 1,400 B, ns";
/// The most that one line may take: the largest World compiled, on a busy machine.
const LINE: Duration = Duration::from_secs(120);
/// The longest run.
const RUN: Duration = Duration::from_secs(1800);

/// # Errors
/// When the measuring program is not there or fails.
pub(super) fn stages(options: &Options) -> Result<Report> {
    let mut report = Report::new("stages");
    report.fact(tools::machine());
    report.fact(format!("{} interleaved rounds; one thread, its processor time; ns for each packet", options.rounds));
    report.fact("ring, aws-lc: the cipher alone, without header, number and trailer");
    run("stages", options, &mut report)?;
    Ok(report)
}

/// # Errors
/// As [`stages`], and when nftables cannot be measured.
pub(super) fn policy(options: &Options) -> Result<Report> {
    tools::need(&[("ip", "iproute2"), ("nft", "nftables")], options)?;
    let mut report = Report::new("policy");
    report.fact(tools::machine());
    report.fact(format!("{} interleaved rounds; in memory: one thread, its processor time", options.rounds));
    report.fact("a new flow: tracking and law at both ends, admitted by the very last rule");
    report.fact("nftables: a stateful router between two namespaces, rule by rule as written; packets of new UDP flows a second");
    run("policy", options, &mut report)?;
    let janitor = Janitor::start()?;
    for round in 1..=options.rounds {
        report.round(round);
        new_flows::measure(&janitor, options.length, &mut report)?;
    }
    gates(&mut report);
    Ok(report)
}

fn gates(report: &mut Report) {
    let at_most = |need| Limit { at_most: true, ..Limit::at_least(need) };
    let of_sealing = [
        ("a known flow, 10000 in turn, ns", 0.25),
        ("a known flow, 1000000 in turn, ns", 1.0),
        ("a new flow, 5 groups of 200 rules, ns", 5.0),
    ];
    for (metric, need) in of_sealing {
        report.gate_quotient(PEERWAY, metric, SEALING, at_most(need));
    }
    let (whole, part) = (
        "compile and swap 100000 interfaces in 100 VPCs, ms",
        "the same after a change of one group of 100000 interfaces, ms",
    );
    report.gate_quotient(PEERWAY, part, whole, at_most(1.0 / 50.0));
}

/// Runs the measuring program to its end; its lines go into the report.
fn run(what: &str, options: &Options, report: &mut Report) -> Result<()> {
    let program = tools::target_directory()?.join("release/examples/costs");
    let mut command = Command::new(&program);
    command.args([what, &options.rounds.to_string()]).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("cannot start {}", program.display()))?;
    let lines = process::lines(child.stdout.take().context("it has no output")?);
    let deadline = Instant::now() + RUN;
    let outcome = loop {
        match lines.recv_timeout(LINE) {
            Ok(line) => match take(&line, report) {
                Ok(()) if Instant::now() < deadline => {}
                Ok(()) => break Err(anyhow::anyhow!("it did not end in {RUN:?}")),
                Err(error) => break Err(error),
            },
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => break Ok(()),
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {
                break Err(anyhow::anyhow!("it says nothing in {LINE:?}"));
            }
        }
    };
    if outcome.is_err() {
        let _ = child.kill();
    }
    let status = child.wait().context("cannot wait for a process")?;
    outcome.with_context(|| format!("{}", program.display()))?;
    if !status.success() {
        bail!("{} failed: {status}", program.display());
    }
    Ok(())
}

fn take(line: &str, report: &mut Report) -> Result<()> {
    match line.split('\t').collect::<Vec<_>>()[..] {
        ["round", n, of] => {
            eprintln!("round {n} of {of}");
            report.round(n.parse().context("the number of a round")?);
        }
        [who, what, value] => report.add(who, what, value.parse().context("a measured value")?),
        _ => bail!("a line that is no measurement: `{line}`"),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_values_and_gates() {
        let mut report = Report::new("policy");
        for (round, known) in [(1, 100), (2, 90)] {
            for line in [
                format!("round\t{round}\t2"),
                format!("peerway\t{SEALING}\t400"),
                format!("peerway\ta known flow, 10000 in turn, ns\t{known}"),
            ] {
                take(&line, &mut report).expect("understood");
            }
        }
        gates(&mut report);
        assert!(report.passes());
        take("peerway\ta known flow, 10000 in turn, ns\t300", &mut report).expect("understood");
        assert_eq!(report.values(PEERWAY, SEALING), [400.0, 400.0]);
        assert!(take("peerway\twhat", &mut report).is_err() && take("a\tb\tc", &mut report).is_err());
    }
}
