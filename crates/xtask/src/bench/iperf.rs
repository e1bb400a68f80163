//! TCP throughput by iperf3(1).

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::janitor::Janitor;
use super::peer::Peer;
use super::process::{self, Usage};

const PORT: &str = "5201";
/// How long a server has to come up, or to be done with the last client.
const READY: Duration = Duration::from_secs(10);

/// How long a stream has to reach its speed.
const RISE: Duration = Duration::from_secs(1);

/// One transfer.
#[derive(Debug)]
pub(super) struct Transfer {
    /// As the receiver counted it.
    pub(super) gigabits_per_second: f64,
    pub(super) gigabytes: f64,
    pub(super) used: Usage,
}

/// Starts the server in the far guest; it serves one client after the other until the run ends.
pub(super) fn serve(peer: &dyn Peer, janitor: &Janitor) -> Result<Child> {
    let mut command = peer.server(&["iperf3", "-s", "-p", PORT])?;
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let child = command.spawn().context("cannot start iperf3")?;
    janitor.owns_process(child.id())?;
    Ok(child)
}

/// Sends for `length` over `streams` connections, from the far end when `reverse`.
pub(super) fn measure(peer: &dyn Peer, length: Duration, streams: u32, reverse: bool) -> Result<Transfer> {
    let (address, seconds, streams) = (peer.address().to_string(), length.as_secs().to_string(), streams.to_string());
    let mut argv = vec!["iperf3", "-c", &address, "-p", PORT, "-t", &seconds, "-P", &streams, "-J"];
    if reverse {
        argv.push("-R");
    }
    let deadline = Instant::now() + READY;
    loop {
        let before = Usage::now(peer.switches());
        let outcome = process::finish(peer.client(&argv)?, length + Duration::from_secs(20))?;
        let used = Usage::now(peer.switches()).since(&before);
        match read(&outcome.stdout) {
            Ok((gigabits_per_second, gigabytes)) => return Ok(Transfer { gigabits_per_second, gigabytes, used }),
            Err(_) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(100)),
            Err(error) => return Err(error).with_context(|| format!("iperf3 failed: {}", outcome.stderr.trim())),
        }
    }
}

/// Does `work` while one stream is sent to the far guest, which must go on for `length` at least.
pub(super) fn under_load<T>(peer: &dyn Peer, length: Duration, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let (address, seconds) = (peer.address().to_string(), (length + 2 * RISE).as_secs().to_string());
    let load = peer.client(&["iperf3", "-c", &address, "-p", PORT, "-t", &seconds, "-J"])?;
    let load = std::thread::spawn(move || process::finish(load, length + Duration::from_secs(20)));
    std::thread::sleep(RISE);
    let done = work();
    let outcome = load.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
    read(&outcome.stdout).with_context(|| format!("the load failed: {}", outcome.stderr.trim()))?;
    done
}

/// Gb/s and GB of the final report.
fn read(json: &str) -> Result<(f64, f64)> {
    let Some((_, received)) = json.split_once("\"sum_received\"") else {
        bail!("{}", text_after(json, "\"error\"").unwrap_or("there is no report"));
    };
    let number = |name: &str| text_after(received, name)?.parse::<f64>().ok();
    let (bits, bytes) = (number("\"bits_per_second\""), number("\"bytes\""));
    match (bits, bytes) {
        (Some(bits), Some(bytes)) if bytes > 0.0 => Ok((bits / 1e9, bytes / 1e9)),
        _ => bail!("the report says that nothing was received"),
    }
}

/// The value after the first such key.
fn text_after<'j>(json: &'j str, key: &str) -> Option<&'j str> {
    let rest = json.split_once(key)?.1.trim_start_matches([':', ' ', '\t']);
    rest.split([',', '\n', '}']).next().map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_receivers_sum_is_read() -> Result<()> {
        let json = "{\"end\": {\"sum_sent\": {\"bytes\": 9, \"bits_per_second\": 9},\n\"sum_received\":\t{\n\"bytes\":\t2500000000,\n\"bits_per_second\":\t10000000000.5\n}}}";
        let (rate, volume) = read(json)?;
        assert!((rate - 10.0).abs() < 1e-6 && (volume - 2.5).abs() < 1e-9);
        let error = read("{\"error\":\t\"unable to connect\"\n}").expect_err("an error is one");
        assert!(error.to_string().contains("unable to connect"));
        Ok(())
    }
}
