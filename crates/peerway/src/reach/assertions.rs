//! `--assert`: what shall be reachable and what shall not, held against the cloud.

use std::path::Path;

use anyhow::{Context, anyhow};
use serde::{Deserialize, Serialize};

use super::ask::{Analyser, Question};
use super::options::{IpVersion, ReachOptions, traffic};
use super::report::Report;

/// One line of the file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expectation {
    from: String,
    to: String,
    port: Option<String>,
    expect: Expected,
    /// 4 or 6.
    ip_version: Option<u8>,
    #[serde(default)]
    one_way: bool,
    name: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Expected {
    /// Every packet passes.
    Allow,
    /// No packet passes.
    Deny,
}

/// What came of one line.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    pub line: usize,
    pub name: String,
    pub expect: Expected,
    pub holds: bool,
    /// The verdict, or why the question could not be asked.
    pub verdict: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub report: Option<Report>,
}

/// Asks about every line.
///
/// # Errors
/// A file that cannot be read or a line that says something else; the first question that the service refuses.
pub fn check(path: &Path, analyser: &Analyser<'_>, options: &ReachOptions) -> anyhow::Result<Vec<Outcome>> {
    let mut expectations = Vec::new();
    for line in super::lines::read(path)? {
        let at = || format!("{} line {}", path.display(), line.number);
        let found: Expectation = serde_json::from_str(&line.text).with_context(at)?;
        let question = question(&found, options).map_err(|why| anyhow!("{}: {why}", at()))?;
        expectations.push((line.number, found, question));
    }
    let mut outcomes = Vec::new();
    for (line, found, question) in expectations {
        let report =
            analyser.ask(&question).with_context(|| format!("{} line {line} cannot be asked", path.display()))?;
        let holds = match found.expect {
            Expected::Allow => report.reachable,
            Expected::Deny => !report.answers.iter().flat_map(|answer| &answer.cases).any(|case| case.reachable),
        };
        let what = found.port.as_deref().unwrap_or("icmp");
        let name = found.name.unwrap_or_else(|| format!("{} to {} {what}", found.from, found.to));
        let verdict = report.verdict.clone();
        outcomes.push(Outcome { line, name, expect: found.expect, holds, verdict, report: Some(report) });
    }
    Ok(outcomes)
}

fn question(found: &Expectation, options: &ReachOptions) -> Result<Question, String> {
    let ip_version = match found.ip_version {
        None => options.ip_version,
        Some(4) => IpVersion::V4,
        Some(6) => IpVersion::V6,
        Some(other) => return Err(format!("ip_version is 4 or 6, not {other}")),
    };
    Ok(Question {
        source: found.from.clone(),
        destination: found.to.clone(),
        traffic: found.port.as_deref().map_or_else(|| Ok(options.port.clone()), traffic)?,
        source_port: options.source_port.clone(),
        ip_version,
        is_one_way: found.one_way || options.one_way,
    })
}
