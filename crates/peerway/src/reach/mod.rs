//! `peerway reach`: why can't A reach B? The question goes to the control plane, which asks the law that judges packets.

mod ask;
mod assertions;
mod junit;
mod ladder;
mod lines;
pub mod options;
mod probe;
mod report;

use std::fs::File;
use std::io::IsTerminal;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use serde::Serialize;

use ask::{Analyser, Question};
use assertions::Outcome;
use ladder::Ladder;
use options::{Form, IpVersion, ReachOptions, Traffic};
use probe::Seen;
use report::Report;

/// The question is wrong, or could not be asked.
const WRONG: u8 = 2;
/// A real packet fared otherwise than the model says.
const MISMATCH: u8 = 3;

pub fn run(options: &ReachOptions) -> anyhow::Result<ExitCode> {
    if options.probe || options.watch {
        return probed(options).or_else(|error| {
            eprintln!("peerway: {error:#}");
            Ok(ExitCode::from(WRONG))
        });
    }
    let is_as_wanted = match &options.assert {
        Some(file) => Analyser::of(options).and_then(|analyser| {
            let outcomes = assertions::check(file, &analyser, options)?;
            show_outcomes(&outcomes, options.output)?;
            Ok(outcomes.iter().all(|outcome| outcome.holds))
        }),
        None => answer(options),
    };
    match is_as_wanted {
        Ok(true) => Ok(ExitCode::SUCCESS),
        Ok(false) => Ok(ExitCode::FAILURE),
        Err(error) => {
            eprintln!("peerway: {error:#}");
            Ok(ExitCode::from(WRONG))
        }
    }
}

fn question(options: &ReachOptions) -> anyhow::Result<Question> {
    let ends = options.source.clone().zip(options.destination.clone());
    let (source, destination) = ends.context("name who sends and for whom")?;
    Ok(Question {
        source,
        destination,
        traffic: options.port.clone(),
        source_port: options.source_port.clone(),
        ip_version: options.ip_version,
        is_one_way: options.one_way,
    })
}

fn answer(options: &ReachOptions) -> anyhow::Result<bool> {
    let question = question(options)?;
    let report = Analyser::of(options)?.ask(&question)?;
    show(&report, question, options.output)?;
    Ok(report.reachable)
}

/// The answer, and real packets beside it: one that is sent for each family that was asked about, or the next one that comes.
fn probed(options: &ReachOptions) -> anyhow::Result<ExitCode> {
    let (question, analyser) = (question(options)?, Analyser::of(options)?);
    let report = analyser.ask(&question)?;
    let mut probes = Vec::new();
    // One that is waited for is of the first family.
    for answer in report.answers.iter().take(if options.watch { 1 } else { usize::MAX }) {
        let data = options.data.as_deref();
        let seen = if options.watch { probe::wait(data, answer)? } else { probe::send(data, answer)? };
        // About exactly the packet that was sent: its ports, its family, and its addresses rather than names.
        let destination = answer.destination_interface.as_ref().unwrap_or(&answer.destination_address);
        let port = seen.destination_port.map(|port| port.to_string());
        let exact = Question {
            source: answer.source_interface.clone(),
            destination: destination.clone(),
            traffic: Traffic { protocol: answer.protocol.clone(), ports: port },
            source_port: seen.source_port.map(|port| port.to_string()),
            ip_version: if answer.ip_version == 6 { IpVersion::V6 } else { IpVersion::V4 },
            is_one_way: options.one_way,
        };
        let said = analyser.ask(&exact)?;
        let agrees = said.answers.iter().flat_map(|answer| &answer.cases).all(|case| seen.agrees(case));
        probes.push(Probe { seen, agrees, said });
    }
    let has_mismatch = probes.iter().any(|probe| !probe.agrees);
    match options.output {
        Form::Json => {
            println!("{}", serde_json::to_string_pretty(&serde_json::json!({ "report": report, "probes": probes }))?);
        }
        form => {
            show(&report, question, form)?;
            probes.iter().for_each(Probe::show);
        }
    }
    if has_mismatch {
        let path = bundle(&report, &probes)?;
        eprintln!(
            "MODEL MISMATCH: a real packet fared otherwise than the model says. Please report this, with the file {} (it holds ids, addresses and \
             rules). If the configuration was changed meanwhile, ask once more.",
            path.display()
        );
        return Ok(ExitCode::from(MISMATCH));
    }
    let is_good =
        if options.watch { probes.iter().all(|probe| probe.seen.refused().is_none()) } else { report.reachable };
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A packet, and what the model says of exactly that one.
#[derive(Serialize)]
struct Probe {
    seen: Seen,
    agrees: bool,
    said: Report,
}

impl Probe {
    fn show(&self) {
        let Seen { packet, at_source, at_destination, is_answered, .. } = &self.seen;
        println!("\nprobe  {packet}\n  at the source       {at_source}");
        if let Some(verdict) = at_destination {
            println!("  at the destination  {verdict}");
        }
        println!("  answer              {}", if *is_answered { "came back" } else { "none" });
        println!("  model               {}", if self.agrees { "says the same" } else { "SAYS OTHERWISE" });
    }
}

/// Everything about a mismatch, in a file of its own in the working directory.
fn bundle(report: &Report, probes: &[Probe]) -> anyhow::Result<PathBuf> {
    let path = PathBuf::from(format!("peerway-mismatch-{}.json", std::process::id()));
    let file = File::options().create_new(true).write(true).mode(0o600).open(&path);
    let file = file.with_context(|| format!("cannot write {}", path.display()))?;
    let version = env!("CARGO_PKG_VERSION");
    let content = serde_json::json!({ "version": version, "report": report, "probes": probes });
    serde_json::to_writer_pretty(file, &content).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

fn show(report: &Report, question: Question, form: Form) -> anyhow::Result<()> {
    match form {
        Form::Json => println!("{}", serde_json::to_string_pretty(report)?),
        Form::Table => print!("{}", Ladder { report, is_coloured: is_coloured() }),
        Form::Junit => {
            let Question { source, destination, traffic, .. } = question;
            let ports = traffic.ports.map(|ports| format!("/{ports}")).unwrap_or_default();
            let name = format!("{source} to {destination} {}{ports}", traffic.protocol);
            let failure = (!report.reachable).then(|| failure(report));
            print!("{}", junit::render(&[junit::Case { name, failure }]));
        }
    }
    Ok(())
}

fn show_outcomes(outcomes: &[Outcome], form: Form) -> anyhow::Result<()> {
    let failed = |outcome: &Outcome| {
        let ladder = outcome.report.as_ref().map(|report| failure(report).1).unwrap_or_default();
        (!outcome.holds).then(|| (format!("expected {}, got {}", word(outcome), outcome.verdict), ladder))
    };
    match form {
        Form::Json => println!("{}", serde_json::to_string_pretty(outcomes)?),
        Form::Junit => {
            let case = |outcome: &Outcome| junit::Case { name: outcome.name.clone(), failure: failed(outcome) };
            print!("{}", junit::render(&outcomes.iter().map(case).collect::<Vec<_>>()));
        }
        Form::Table => {
            for outcome in outcomes {
                let mark = if outcome.holds { "✓" } else { "✗" };
                println!(
                    "{mark} line {}: {}, expected {}: {}",
                    outcome.line,
                    outcome.name,
                    word(outcome),
                    outcome.verdict
                );
            }
            let failed = outcomes.iter().filter(|outcome| !outcome.holds).count();
            println!("{} of {} as expected", outcomes.len() - failed, outcomes.len());
        }
    }
    Ok(())
}

fn word(outcome: &Outcome) -> &'static str {
    match outcome.expect {
        assertions::Expected::Allow => "allow",
        assertions::Expected::Deny => "deny",
    }
}

fn failure(report: &Report) -> (String, String) {
    (report.verdict.clone(), Ladder { report, is_coloured: false }.to_string())
}

/// On a terminal only, and not where the user wants none (no-color.org).
fn is_coloured() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
