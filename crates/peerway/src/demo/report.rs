//! How the demo is told: a line of progress on standard error, each step as it ends and a table on standard output, or one
//! JSON document.

use std::io::{IsTerminal, Write};
use std::net::Ipv4Addr;
use std::time::Instant;

use anyhow::Context;
use model::{AccountId, InstanceId, Region};
use serde::Serialize;

use crate::cli::Output;
use crate::table::Table;

/// One step, played.
#[derive(Debug, Serialize)]
pub struct Step {
    pub number: usize,
    pub title: &'static str,
    /// What was done, as commands for a shell; packets are comments.
    pub commands: Vec<String>,
    pub expected: &'static str,
    pub observed: Vec<String>,
    /// What the data plane counted, and how the API refused.
    pub why: Vec<String>,
    pub ok: bool,
    pub milliseconds: u128,
}

/// An instance that took part.
#[derive(Debug, Serialize)]
pub struct Player {
    /// Its part: `A1`.
    pub name: String,
    pub account: AccountId,
    pub region: Region,
    pub instance: InstanceId,
    pub address: Ipv4Addr,
}

/// What a step found.
#[derive(Debug, Default)]
pub struct Finding {
    pub observed: Vec<String>,
    pub why: Vec<String>,
    pub ok: bool,
}

pub struct Report {
    output: Output,
    has_colour: bool,
    /// Standard error is a terminal, whose line can be written again.
    has_line: bool,
    total: usize,
    began: Instant,
    step_began: Instant,
    pub steps: Vec<Step>,
}

impl Finding {
    pub fn new(ok: bool, observed: impl Into<String>) -> Finding {
        Finding { observed: vec![observed.into()], why: Vec::new(), ok }
    }

    /// Both, and well only if both are.
    #[must_use]
    pub fn and(mut self, other: Finding) -> Finding {
        self.observed.extend(other.observed);
        self.why.extend(other.why);
        self.ok &= other.ok;
        self
    }
}

impl Report {
    pub fn new(output: Output, total: usize) -> Report {
        let now = Instant::now();
        let wants_colour = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Report {
            output,
            has_colour: wants_colour && std::io::stdout().is_terminal(),
            has_line: std::io::stderr().is_terminal(),
            total,
            began: now,
            step_began: now,
            steps: Vec::new(),
        }
    }

    pub fn begin(&mut self, title: &str) {
        self.step_began = Instant::now();
        let (number, total) = (self.steps.len() + 1, self.total);
        if self.has_line {
            let _ = write!(std::io::stderr(), "\r\x1b[K[{number:>2}/{total}] {title} ...");
        } else {
            let _ = writeln!(std::io::stderr(), "[{number:>2}/{total}] {title}");
        }
    }

    pub fn end(&mut self, title: &'static str, expected: &'static str, commands: Vec<String>, finding: Finding) {
        let step = Step {
            number: self.steps.len() + 1,
            title,
            commands,
            expected,
            observed: finding.observed,
            why: finding.why,
            ok: finding.ok,
            milliseconds: self.step_began.elapsed().as_millis(),
        };
        self.clear_line();
        if self.output == Output::Table {
            // A reader that has gone away is told of at the end; the cloud must end well all the same.
            let _ = write!(std::io::stdout(), "{}", self.step_text(&step));
        }
        self.steps.push(step);
    }

    pub fn is_well(&self) -> bool {
        self.steps.len() == self.total && self.steps.iter().all(|step| step.ok)
    }

    /// The whole, once nothing more comes.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub fn finish(&self, endpoint: &str, instances: &[Player]) -> anyhow::Result<()> {
        let text = match self.output {
            Output::Json => {
                let document = serde_json::json!({
                    "ok": self.is_well(),
                    "endpoint": endpoint,
                    "milliseconds": self.began.elapsed().as_millis(),
                    "steps": self.steps,
                    "instances": instances,
                });
                format!("{}\n", serde_json::to_string_pretty(&document)?)
            }
            Output::Table => self.table_text(),
        };
        std::io::stdout().write_all(text.as_bytes()).context("cannot write to standard output")
    }

    pub fn clear_line(&self) {
        if self.has_line {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }

    fn step_text(&self, step: &Step) -> String {
        let mut lines = vec![format!("{:>2}  {}", step.number, self.bold(step.title))];
        lines.extend(step.commands.iter().map(|command| match command.starts_with('#') {
            true => format!("    {command}"),
            false => format!("    $ {command}"),
        }));
        lines.push(format!("    expected  {}", step.expected));
        lines.extend(step.observed.iter().map(|observed| format!("    observed  {observed}")));
        lines.extend(step.why.iter().map(|why| format!("    because   {why}")));
        lines.push(format!("    {}\n\n", self.mark(step.ok)));
        lines.join("\n")
    }

    fn table_text(&self) -> String {
        let mut table = Table::new(&["", "step", "expected", "observed", "ok"]);
        for step in &self.steps {
            let mut cells =
                [step.number.to_string(), step.title.into(), step.expected.into(), String::new(), self.mark(step.ok)];
            for observed in &step.observed {
                cells[3].clone_from(observed);
                table.row(&cells);
                cells = Default::default();
            }
        }
        let well = self.steps.iter().filter(|step| step.ok).count();
        let verdict = if self.is_well() { "all as expected" } else { "NOT as expected" };
        let seconds = self.began.elapsed().as_secs_f32();
        format!("{table}\n{well} of {} steps as expected in {seconds:.1} s: {verdict}\n", self.total)
    }

    fn mark(&self, ok: bool) -> String {
        match (ok, self.has_colour) {
            (true, true) => "\x1b[32mok\x1b[0m".into(),
            (true, false) => "ok".into(),
            (false, true) => "\x1b[1;31mNO\x1b[0m".into(),
            (false, false) => "NO".into(),
        }
    }

    fn bold(&self, text: &str) -> String {
        if self.has_colour { format!("\x1b[1m{text}\x1b[0m") } else { text.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_well_only_if_all_of_it_is() {
        let well = || Finding::new(true, "a");
        assert!(well().and(well()).ok);
        assert!(!well().and(Finding::new(false, "b")).ok && !Finding::new(false, "b").and(well()).ok);
        assert_eq!(well().and(Finding::new(false, "b")).observed, ["a", "b"]);
    }

    #[test]
    fn a_story_that_broke_off_is_not_well() {
        let mut report = Report::new(Output::Json, 2);
        report.end("one", "x", Vec::new(), Finding::new(true, "x"));
        assert!(!report.is_well());
        report.end("two", "x", Vec::new(), Finding::new(true, "x"));
        assert!(report.is_well());
        report.steps[0].ok = false;
        assert!(!report.is_well());
    }
}
