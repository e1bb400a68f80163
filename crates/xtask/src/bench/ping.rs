//! Round-trip times by ping(8).

use std::time::Duration;

use anyhow::{Result, bail};

use super::peer::Peer;
use super::process;
use super::report::percentile;

const COUNT: usize = 300;
/// Under a lost packet here and there the percentiles still mean something.
const ANSWERED_MIN: usize = COUNT * 9 / 10;

/// Median and 99th percentile of [`COUNT`] pings at 10 ms, in microseconds.
pub(super) fn measure(peer: &dyn Peer) -> Result<(f64, f64)> {
    let address = peer.address().to_string();
    let command = peer.client(&["ping", "-n", "-i", "0.01", "-c", &COUNT.to_string(), &address])?;
    let outcome = process::finish(command, Duration::from_secs(30))?;
    let times = times(&outcome.stdout);
    if times.len() < ANSWERED_MIN {
        bail!("{} of {COUNT} pings were answered: {}", times.len(), outcome.stderr.trim());
    }
    Ok((percentile(&times, 50.0), percentile(&times, 99.0)))
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
