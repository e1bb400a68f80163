//! What Prometheus reads: its text format, version 0.0.4.

use std::collections::BTreeMap;
use std::fmt::{Display, Write};

use server::meters::{BUCKETS_MICROS, HistogramReading};

use super::catalogue::{self, Metric};

/// One answer to a scrape.
#[derive(Debug, Default)]
pub struct Page {
    /// Lines by the metric's name.
    lines: BTreeMap<&'static str, String>,
}

impl Page {
    /// `labels`: one value for each of the metric's labels, in order.
    pub fn add(&mut self, metric: &Metric, labels: &[&str], value: impl Display) {
        self.line(metric, "", labels, None, value);
    }

    pub fn histogram(&mut self, metric: &Metric, labels: &[&str], reading: &HistogramReading) {
        let mut below = 0;
        for (bucket, end) in reading.buckets.iter().zip(BUCKETS_MICROS.map(Some).into_iter().chain([None])) {
            below += bucket;
            let end = end.map_or_else(|| "+Inf".to_owned(), |micros| seconds(micros).to_string());
            self.line(metric, "_bucket", labels, Some(&end), below);
        }
        self.line(metric, "_sum", labels, None, seconds(reading.micros));
        self.line(metric, "_count", labels, None, below);
    }

    fn line(&mut self, metric: &Metric, suffix: &str, values: &[&str], end: Option<&str>, value: impl Display) {
        debug_assert_eq!(metric.labels.len(), values.len(), "{}", metric.name);
        let pairs = metric.labels.iter().zip(values).map(|(label, value)| (*label, *value));
        let pairs = pairs.chain(end.map(|end| ("le", end)));
        let labels: Vec<String> = pairs.map(|(label, value)| format!("{label}=\"{}\"", escaped(value))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let lines = self.lines.entry(metric.name).or_default();
        // Writing to a string never fails.
        let _ = writeln!(lines, "{}{suffix}{labels} {value}", metric.name);
    }

    /// In the order of the catalogue.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for metric in catalogue::ALL {
            let Some(lines) = self.lines.get(metric.name) else { continue };
            let Metric { name, kind, help, .. } = metric;
            let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {}\n{lines}", kind.name());
        }
        text
    }
}

#[expect(clippy::cast_precision_loss, reason = "2^53 microseconds are 285 years")]
fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_prometheus_own() {
        let mut page = Page::default();
        page.add(&catalogue::HOST_CONNECTED, &["host-1"], 1);
        page.add(&catalogue::INFO, &["a\"b\\c\nd"], 1);
        page.add(&catalogue::HOST_CONNECTED, &["host-2"], 0);
        let text = page.text();
        let expected = "# HELP peerway_info Always 1.\n# TYPE peerway_info gauge\npeerway_info{version=\"a\\\"b\\\\c\\nd\"} 1\n\
                        # HELP peerway_host_connected Whether a host is connected to the control plane.\n\
                        # TYPE peerway_host_connected gauge\n\
                        peerway_host_connected{host=\"host-1\"} 1\npeerway_host_connected{host=\"host-2\"} 0\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn buckets_add_up() {
        let mut buckets = [0; BUCKETS_MICROS.len() + 1];
        (buckets[0], buckets[2], buckets[14]) = (3, 2, 1);
        let mut page = Page::default();
        page.histogram(&catalogue::CONVERGENCE, &[], &HistogramReading { buckets, micros: 12_500_000 });
        let text = page.text();
        let series: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(series[0], "peerway_convergence_duration_seconds_bucket{le=\"0.00025\"} 3");
        assert_eq!(series[2], "peerway_convergence_duration_seconds_bucket{le=\"0.001\"} 5");
        assert_eq!(series[13], "peerway_convergence_duration_seconds_bucket{le=\"10\"} 5");
        assert_eq!(series[14], "peerway_convergence_duration_seconds_bucket{le=\"+Inf\"} 6");
        assert_eq!(
            series[15..],
            ["peerway_convergence_duration_seconds_sum 12.5", "peerway_convergence_duration_seconds_count 6"]
        );
    }
}
