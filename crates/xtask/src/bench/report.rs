//! What was measured, as a table for people or JSON for programs.

use std::fmt::Write;

/// All values of one metric of one peer, one for each round.
#[derive(Debug)]
struct Series {
    peer: String,
    metric: String,
    values: Vec<f64>,
}

/// A ratio that must be reached.
#[derive(Debug)]
struct Gate {
    text: String,
    need: f64,
    /// Whether the need is the most, not the least, that is allowed.
    at_most: bool,
    values: Vec<f64>,
}

impl Gate {
    fn measured(&self) -> f64 {
        median(&self.values)
    }

    fn passes(&self) -> bool {
        let measured = self.measured();
        if self.at_most { measured <= self.need } else { measured >= self.need }
    }
}

#[derive(Debug, Default)]
pub(super) struct Report {
    name: &'static str,
    facts: Vec<String>,
    series: Vec<Series>,
    gates: Vec<Gate>,
}

impl Report {
    pub(super) fn new(name: &'static str) -> Report {
        Report { name, ..Report::default() }
    }

    /// Something a reader must know to understand the numbers.
    pub(super) fn fact(&mut self, text: impl Into<String>) {
        self.facts.push(text.into());
    }

    /// Adds a round's value, and says so while the run goes on; peers and metrics are shown in the order in which they first
    /// come.
    pub(super) fn add(&mut self, peer: &str, metric: &str, value: f64) {
        eprintln!("  {metric}: {peer} {}", number(value));
        match self.series.iter_mut().find(|series| series.peer == peer && series.metric == metric) {
            Some(series) => series.values.push(value),
            None => self.series.push(Series { peer: peer.into(), metric: metric.into(), values: vec![value] }),
        }
    }

    pub(super) fn values(&self, peer: &str, metric: &str) -> &[f64] {
        let found = self.series.iter().find(|series| series.peer == peer && series.metric == metric);
        found.map_or(&[], |series| &series.values)
    }

    /// `a` must be `need` times `b` in this metric, round by round; nothing is asked when one of them was not measured.
    pub(super) fn gate_ratio(&mut self, metric: &str, a: &str, b: &str, need: f64) {
        let pairs = self.values(a, metric).iter().zip(self.values(b, metric));
        let values: Vec<f64> = pairs.map(|(a, b)| a / b).collect();
        if !values.is_empty() {
            self.gates.push(Gate { text: format!("{metric}: {a} / {b}"), need, at_most: false, values });
        }
    }

    /// A metric of one peer must be at least, or at most, `need`.
    pub(super) fn gate_value(&mut self, metric: &str, peer: &str, need: f64, at_most: bool) {
        let values = self.values(peer, metric).to_vec();
        if !values.is_empty() {
            self.gates.push(Gate { text: format!("{metric}: {peer}"), need, at_most, values });
        }
    }

    /// Whether every gate is reached.
    pub(super) fn passes(&self) -> bool {
        self.gates.iter().all(Gate::passes)
    }

    pub(super) fn print(&self, json: bool) {
        print!("{}", if json { self.json() } else { self.text() });
    }

    fn text(&self) -> String {
        let mut text = format!("bench {}\n", self.name);
        for fact in &self.facts {
            let _ = writeln!(text, "- {fact}");
        }
        let _ = write!(text, "\n{}", table(&self.rows()));
        if !self.gates.is_empty() {
            text.push_str("\nGates (median of the rounds, pair by pair):\n");
        }
        for gate in &self.gates {
            let verdict = if gate.passes() { "pass" } else { "FAIL" };
            let relation = if gate.at_most { "<=" } else { ">=" };
            let _ = writeln!(
                text,
                "{verdict}  {} = {}, need {relation} {}",
                gate.text,
                spread(&gate.values),
                number(gate.need)
            );
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
        let peers = unique(self.series.iter().map(|series| series.peer.as_str()).collect());
        let metrics = unique(self.series.iter().map(|series| series.metric.as_str()).collect());
        let heading = std::iter::once("median (min-max)".to_owned()).chain(peers.iter().cloned()).collect();
        let row = |metric: &String| {
            let cell = |peer: &String| match self.values(peer, metric) {
                [] => "-".to_owned(),
                values => spread(values),
            };
            std::iter::once(metric.clone()).chain(peers.iter().map(cell)).collect()
        };
        std::iter::once(heading).chain(metrics.iter().map(row)).collect()
    }

    fn json(&self) -> String {
        let facts: Vec<String> = self.facts.iter().map(|fact| quoted(fact)).collect();
        let series = self.series.iter().map(|series| {
            let names = [("peer", quoted(&series.peer)), ("metric", quoted(&series.metric))];
            object(names.into_iter().chain(summary(&series.values)))
        });
        let gates = self.gates.iter().map(|gate| {
            let at = if gate.at_most { "at_most" } else { "at_least" };
            let names =
                [("gate", quoted(&gate.text)), (at, json_number(gate.need)), ("passes", gate.passes().to_string())];
            object(names.into_iter().chain(summary(&gate.values)))
        });
        let list = |items: Vec<String>| format!("[\n    {}\n  ]", items.join(",\n    "));
        let parts = [
            ("bench", quoted(self.name)),
            ("facts", list(facts)),
            ("series", list(series.collect())),
            ("gates", list(gates.collect())),
            ("passes", self.passes().to_string()),
        ];
        let parts: Vec<String> = parts.iter().map(|(key, value)| format!("  {}: {value}", quoted(key))).collect();
        format!("{{\n{}\n}}\n", parts.join(",\n"))
    }
}

/// The value in the middle; 0 when there is none.
pub(super) fn median(values: &[f64]) -> f64 {
    let sorted = sorted(values);
    match sorted.len() {
        0 => 0.0,
        n if n % 2 == 1 => sorted[n / 2],
        n => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
    }
}

/// The smallest value that `percent` of all are not above (nearest rank); 0 when there is none.
pub(super) fn percentile(values: &[f64], percent: f64) -> f64 {
    let sorted = sorted(values);
    let rank = (percent / 100.0 * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.clamp(1, sorted.len().max(1)) - 1).copied().unwrap_or(0.0)
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

fn extremes(values: &[f64]) -> (f64, f64) {
    let sorted = sorted(values);
    (sorted.first().copied().unwrap_or(0.0), sorted.last().copied().unwrap_or(0.0))
}

fn spread(values: &[f64]) -> String {
    let (min, max) = extremes(values);
    match values {
        [value] => number(*value),
        _ => format!("{} ({}-{})", number(median(values)), number(min), number(max)),
    }
}

/// Three significant digits.
fn number(value: f64) -> String {
    match value.abs() {
        0.0 => "0".into(),
        size if size < 10.0 => format!("{value:.2}"),
        size if size < 100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
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

    #[test]
    fn middle_and_rank() {
        assert!((median(&[3.0, 1.0, 2.0]) - 2.0).abs() < 1e-9);
        assert!((median(&[4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < 1e-9);
        let values: Vec<f64> = (1..=100).map(f64::from).collect();
        assert!((percentile(&values, 99.0) - 99.0).abs() < 1e-9);
        assert!((percentile(&values[..50], 99.0) - 50.0).abs() < 1e-9);
        assert!(percentile(&[], 99.0).abs() < 1e-9);
    }

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
        assert_eq!(report.gates.len(), 1);
        report.gate_value("TCP", "peerway", 9.0, true);
        assert!(!report.passes());
        assert!(report.text().contains("pass  TCP: peerway / ovs = 10.0 (8.00-15.0), need >= 10.0"));
        assert!(report.text().contains("FAIL  TCP: peerway"));
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
