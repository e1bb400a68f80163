//! Round-trip times by ping(8).

use std::time::Duration;

use anyhow::{Result, bail};

use super::numbers::percentile;
use super::peer::Peer;
use super::process;

const INTERVAL: Duration = Duration::from_millis(10);

/// Round-trip times in microseconds.
#[derive(Debug)]
pub(super) struct RoundTrips {
    pub(super) median: f64,
    pub(super) average: f64,
    pub(super) p99: f64,
}

/// Pings every 10 ms for `length`. Under a lost packet here and there the percentiles still mean something; how many of ten must
/// be answered is the caller's to say.
pub(super) fn measure(peer: &dyn Peer, length: Duration, answered_of_ten: usize) -> Result<RoundTrips> {
    let address = peer.address().to_string();
    let count = (length.as_millis() / INTERVAL.as_millis()) as usize;
    let command = peer.client(&["ping", "-n", "-i", "0.01", "-c", &count.to_string(), &address])?;
    let outcome = process::finish(command, length + Duration::from_secs(30))?;
    let times = times(&outcome.stdout);
    if times.len() * 10 < count * answered_of_ten {
        bail!("{} of {count} pings were answered: {}", times.len(), outcome.stderr.trim());
    }
    Ok(RoundTrips {
        median: percentile(&times, 50.0),
        average: times.iter().sum::<f64>() / times.len().max(1) as f64,
        p99: percentile(&times, 99.0),
    })
}

fn times(text: &str) -> Vec<f64> {
    let time = |line: &str| line.split_once("time=")?.1.split_whitespace().next()?.parse::<f64>().ok();
    text.lines().filter_map(time).map(|ms| ms * 1000.0).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn times_are_read() {
        let text = "PING 10.0.0.1 (10.0.0.1) 56(84) bytes of data.\n64 bytes from 10.0.0.1: icmp_seq=1 ttl=63 time=0.063 ms\n\n";
        assert_eq!(super::times(text), [63.0]);
    }
}
