//! What was measured, as a table for people or JSON for programs.
//!
//! A report has one section for each condition under which all was measured; most have one condition, which has no title.

use std::fmt::Write;

use super::gate::{Gate, Limit};
use super::numbers::{extremes, median, number, spread};

/// All values of one metric of one peer, one for each round; not a number where the measurement failed.
#[derive(Debug)]
struct Series {
    peer: String,
    metric: String,
    values: Vec<f64>,
}

/// What was measured under one condition.
#[derive(Debug, Default)]
struct Section {
    title: Option<String>,
    /// Rounds before the current one.
    rounds: usize,
    /// Peers that could not take part, and why.
    absent: Vec<(String, String)>,
    series: Vec<Series>,
    gates: Vec<Gate>,
}

#[derive(Debug)]
pub(super) struct Report {
    name: &'static str,
    facts: Vec<String>,
    /// All but the current one.
    done: Vec<Section>,
    current: Section,
}

impl Report {
    pub(super) fn new(name: &'static str) -> Report {
        Report { name, facts: Vec::new(), done: Vec::new(), current: Section::default() }
    }

    /// Something a reader must know to understand the numbers.
    pub(super) fn fact(&mut self, text: impl Into<String>) {
        self.facts.push(text.into());
    }

    /// All that comes from here on was measured under this condition.
    pub(super) fn section(&mut self, title: String) {
        let section = Section { title: Some(title), ..Section::default() };
        let before = std::mem::replace(&mut self.current, section);
        if before.title.is_some() || !before.series.is_empty() {
            self.done.push(before);
        }
    }

    /// A peer that was asked for takes no part; said at once, and in the table.
    pub(super) fn absent(&mut self, peer: &str, why: &anyhow::Error) {
        let why = format!("{why:#}");
        eprintln!("ABSENT: {peer}: {why}");
        self.current.absent.push((peer.into(), why));
    }

    /// Round `n`, from 1, begins: a peer that had no value of a metric in an earlier one gets no other round's place.
    pub(super) fn round(&mut self, n: usize) {
        self.current.rounds = n.saturating_sub(1);
    }

    /// Adds a round's value, and says so while the run goes on; peers and metrics are shown in the order in which they first
    /// come.
    pub(super) fn add(&mut self, peer: &str, metric: &str, value: f64) {
        eprintln!("  {metric}: {peer} {}", number(value));
        let Section { series: all, rounds, .. } = &mut self.current;
        let known = all.iter().position(|series| series.peer == peer && series.metric == metric);
        let place = known.unwrap_or_else(|| {
            all.push(Series { peer: peer.into(), metric: metric.into(), values: Vec::new() });
            all.len() - 1
        });
        let values = &mut all[place].values;
        values.resize(values.len().max(*rounds), f64::NAN);
        values.push(value);
    }

    /// A round's value could not be had.
    pub(super) fn miss(&mut self, peer: &str, metric: &str) {
        self.add(peer, metric, f64::NAN);
    }

    pub(super) fn values(&self, peer: &str, metric: &str) -> &[f64] {
        self.current.values(peer, metric)
    }

    /// `a` must be `need` times `b` in this metric, round by round; nothing is asked when one of them was not measured.
    pub(super) fn gate_ratio(&mut self, metric: &str, a: &str, b: &str, need: f64) {
        let measured = |peer| !self.values(peer, metric).is_empty();
        if measured(a) && measured(b) {
            self.gate_pair(metric, a, b, Limit::at_least(need));
        }
    }

    /// As [`Self::gate_ratio`], and it stays open when one of them was not measured.
    pub(super) fn gate_pair(&mut self, metric: &str, a: &str, b: &str, limit: Limit) {
        let pairs = self.values(a, metric).iter().zip(self.values(b, metric)).map(|(a, b)| a / b);
        let gate = Gate::new(format!("{metric}: {a} / {b}"), limit, pairs);
        self.current.gates.push(gate);
    }

    /// A metric of one peer must be at least, or at most, `need`.
    pub(super) fn gate_value(&mut self, metric: &str, peer: &str, need: f64, at_most: bool) {
        let values = self.values(peer, metric).to_vec();
        if !values.is_empty() {
            let limit = Limit { at_most, ..Limit::at_least(need) };
            self.current.gates.push(Gate::new(format!("{metric}: {peer}"), limit, values));
        }
    }

    /// One metric of a peer, for each round in another metric of the same, within a limit.
    pub(super) fn gate_quotient(&mut self, peer: &str, a: &str, b: &str, limit: Limit) {
        let pairs = self.values(peer, a).iter().zip(self.values(peer, b)).map(|(a, b)| a / b);
        let gate = Gate::new(format!("{peer}: {a} / {b}"), limit, pairs);
        if !gate.values.is_empty() {
            self.current.gates.push(gate);
        }
    }

    fn sections(&self) -> impl Iterator<Item = &Section> {
        self.done.iter().chain([&self.current])
    }

    /// Whether every gate is reached.
    pub(super) fn passes(&self) -> bool {
        self.sections().flat_map(|section| &section.gates).all(Gate::passes)
    }

    pub(super) fn print(&self, json: bool) {
        print!("{}", if json { self.json() } else { self.text() });
    }

    fn text(&self) -> String {
        let mut text = format!("bench {}\n", self.name);
        for fact in &self.facts {
            let _ = writeln!(text, "- {fact}");
        }
        for section in self.sections() {
            let _ = write!(text, "\n{}", section.text());
        }
        text
    }

    fn json(&self) -> String {
        let facts: Vec<String> = self.facts.iter().map(|fact| quoted(fact)).collect();
        let list = |items: Vec<String>| format!("[\n    {}\n  ]", items.join(",\n    "));
        let all = |of: fn(&Section) -> Vec<String>| list(self.sections().flat_map(of).collect());
        let parts = [
            ("bench", quoted(self.name)),
            ("facts", list(facts)),
            ("absent", all(Section::json_absent)),
            ("series", all(Section::json_series)),
            ("gates", all(Section::json_gates)),
            ("passes", self.passes().to_string()),
        ];
        let parts: Vec<String> = parts.iter().map(|(key, value)| format!("  {}: {value}", quoted(key))).collect();
        format!("{{\n{}\n}}\n", parts.join(",\n"))
    }
}

impl Section {
    fn values(&self, peer: &str, metric: &str) -> &[f64] {
        let found = self.series.iter().find(|series| series.peer == peer && series.metric == metric);
        found.map_or(&[], |series| &series.values)
    }

    fn text(&self) -> String {
        let mut text = self.title.as_ref().map_or_else(String::new, |title| format!("### {title}\n\n"));
        for (peer, why) in &self.absent {
            let _ = writeln!(text, "- ABSENT: {peer}: {}", why.replace('\n', "; "));
        }
        if !self.absent.is_empty() {
            text.push('\n');
        }
        text.push_str(&table(&self.rows()));
        if !self.gates.is_empty() {
            text.push_str("\n```text\nGates (median of the rounds, pair by pair):\n");
            for gate in &self.gates {
                let _ = writeln!(text, "{}", gate.line());
            }
            text.push_str("```\n");
        }
        text
    }

    /// A heading, then one row for each metric, one column for each peer.
    fn rows(&self) -> Vec<Vec<String>> {
        let unique = |names: Vec<&str>| {
            let mut seen: Vec<String> = Vec::new();
            for name in names {
                if seen.iter().all(|other| other != name) {
                    seen.push(name.into());
                }
            }
            seen
        };
        let measured = self.series.iter().map(|series| series.peer.as_str());
        let peers = unique(measured.chain(self.absent.iter().map(|(peer, _)| peer.as_str())).collect());
        let metrics = unique(self.series.iter().map(|series| series.metric.as_str()).collect());
        let heading = std::iter::once("median (min-max)".to_owned()).chain(peers.iter().cloned()).collect();
        let row = |metric: &String| {
            let cell = |peer: &String| match self.values(peer, metric) {
                [] if self.absent.iter().any(|(absent, _)| absent == peer) => "absent".to_owned(),
                [] => "-".to_owned(),
                values => spread(values),
            };
            std::iter::once(metric.clone()).chain(peers.iter().map(cell)).collect()
        };
        std::iter::once(heading).chain(metrics.iter().map(row)).collect()
    }

    fn condition(&self) -> Vec<(&'static str, String)> {
        self.title.iter().map(|title| ("condition", quoted(title))).collect()
    }

    fn json_absent(&self) -> Vec<String> {
        let names = |(peer, why): &(String, String)| [("peer", quoted(peer)), ("why", quoted(why))];
        self.absent.iter().map(|absent| object(self.condition().into_iter().chain(names(absent)))).collect()
    }

    fn json_series(&self) -> Vec<String> {
        let series = self.series.iter().map(|series| {
            let names = [("peer", quoted(&series.peer)), ("metric", quoted(&series.metric))];
            object(self.condition().into_iter().chain(names).chain(summary(&series.values)))
        });
        series.collect()
    }

    fn json_gates(&self) -> Vec<String> {
        let gates = self.gates.iter().map(|gate| {
            let at = if gate.limit.at_most { "at_most" } else { "at_least" };
            let bound = |bound: Option<f64>| bound.map_or_else(|| "null".into(), json_number);
            let names = [
                ("gate", quoted(&gate.text)),
                (at, bound(gate.limit.need)),
                ("reach", bound(gate.limit.reach)),
                ("open", gate.is_open().to_string()),
                ("passes", gate.passes().to_string()),
            ];
            object(self.condition().into_iter().chain(names).chain(summary(&gate.values)))
        });
        gates.collect()
    }
}

fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!(" {cell:<width$} "));
        format!("|{}|\n", cells.collect::<Vec<_>>().join("|"))
    };
    let rule = format!("|{}|\n", widths.iter().map(|width| "-".repeat(width + 2)).collect::<Vec<_>>().join("|"));
    let mut lines: Vec<String> = rows.iter().map(line).collect();
    if !lines.is_empty() {
        lines.insert(1, rule);
    }
    lines.concat()
}

fn summary(values: &[f64]) -> impl Iterator<Item = (&'static str, String)> {
    let (min, max) = extremes(values);
    let all: Vec<String> = values.iter().map(|value| json_number(*value)).collect();
    let all = format!("[{}]", all.join(", "));
    [("median", json_number(median(values))), ("min", json_number(min)), ("max", json_number(max)), ("values", all)]
        .into_iter()
}

fn object(parts: impl Iterator<Item = (&'static str, String)>) -> String {
    let parts: Vec<String> = parts.map(|(key, value)| format!("{}: {value}", quoted(key))).collect();
    format!("{{{}}}", parts.join(", "))
}

fn json_number(value: f64) -> String {
    if value.is_finite() { format!("{value}") } else { "null".into() }
}

fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => {
                let _ = write!(quoted, "\\u{:04x}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let mut report = Report::new("local");
        for (a, b) in [(10.0, 1.0), (30.0, 2.0), (8.0, 1.0)] {
            report.add("peerway", "TCP", a);
            report.add("ovs", "TCP", b);
        }
        report
    }

    #[test]
    fn ratios_are_of_pairs_and_gates_hold_or_not() {
        let mut report = report();
        report.gate_ratio("TCP", "peerway", "ovs", 10.0);
        assert!(report.passes());
        report.gate_ratio("TCP", "peerway", "nobody", 10.0);
        assert_eq!(report.current.gates.len(), 1);
        report.gate_value("TCP", "peerway", 9.0, true);
        assert!(!report.passes());
        assert!(report.text().contains("pass  TCP: peerway / ovs = 10.0 (8.00-15.0), need >= 10.0"));
        assert!(report.text().contains("FAIL  TCP: peerway"));
    }

    #[test]
    fn an_unmeasured_gate_is_not_passed() {
        let limit = Limit { reach: Some(12.0), values_min: 3, ..Limit::at_least(10.0) };
        let mut report = report();
        report.gate_pair("TCP", "peerway", "ovs", limit);
        assert!(report.passes());
        assert!(
            report
                .text()
                .contains("pass  TCP: peerway / ovs = 10.0 (8.00-15.0), need >= 10.0, reach for >= 12.0: not reached")
        );
        report.gate_pair("TCP", "peerway", "nobody", limit);
        assert!(!report.passes());
        assert!(report.text().contains("FAIL  TCP: peerway / nobody = not measured"), "{}", report.text());
    }

    #[test]
    fn a_failed_round_counts_for_nothing_and_moves_nothing() {
        let mut report = Report::new("link");
        for (n, a, b) in [(1, Some(8.0), 1.0), (2, None, 1.0), (3, Some(30.0), 2.0)] {
            report.round(n);
            match a {
                Some(a) => ["TCP", "CPU"].map(|metric| report.add("peerway", metric, a)).into_iter().collect(),
                None => report.miss("peerway", "TCP"),
            }
            report.add("gotatun", "TCP", b);
        }
        assert!(report.values("peerway", "CPU")[1].is_nan() && report.values("peerway", "CPU").len() == 3);
        let limit = |values_min| Limit { values_min, ..Limit::at_least(11.0) };
        report.gate_pair("TCP", "peerway", "gotatun", limit(2));
        assert!(report.passes());
        assert!(report.text().contains("= 11.5 (8.00-15.0)"), "{}", report.text());
        report.gate_pair("TCP", "peerway", "gotatun", limit(3));
        assert!(!report.passes());
        assert!(report.text().contains("(2 of the 3 rounds that count)"));
    }

    #[test]
    fn sections_keep_to_themselves_and_the_absent_are_named() {
        let mut report = Report::new("link");
        report.section("MTU 1500".into());
        report.add("peerway", "TCP", 7.0);
        report.absent("nebula", &anyhow::anyhow!("no package"));
        report.gate_pair("TCP", "peerway", "peerway", Limit::at_least(1.0));
        report.section("MTU 9000".into());
        assert!(report.values("peerway", "TCP").is_empty());
        report.add("peerway", "TCP", 9.0);
        report.gate_pair("TCP", "peerway", "peerway", Limit::at_least(2.0));
        assert!(!report.passes());
        let text = report.text();
        let (first, second) = text.split_once("### MTU 9000").expect("both sections are there");
        assert!(first.contains("### MTU 1500") && first.contains("- ABSENT: nebula: no package"));
        assert!(first.contains("| absent") && first.contains("pass  ") && !second.contains("nebula"));
        assert!(second.contains("FAIL  ") && second.contains("9.00"));
        assert!(report.json().contains("\"condition\": \"MTU 9000\", \"peer\": \"peerway\""));
    }

    #[test]
    fn json_is_json() {
        let mut report = report();
        report.fact("a \"quoted\" \\ word");
        let json = report.json();
        assert!(json.contains(r#""a \"quoted\" \\ word""#) && json.contains("\"median\": 10"), "{json}");
        assert_eq!(json.matches(['{', '[']).count(), json.matches(['}', ']']).count());
    }
}
