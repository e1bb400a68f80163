//! `bench link`: packets between two guests on two hosts, encrypted on the way.
//!
//! One round measures each thing for each peer before the next thing, so that the two halves of a ratio are seconds apart. All
//! peers are up all the time and idle while another one is measured. All of it is done under each [`Condition`] of the wire, one
//! after the other. A peer that cannot be had or fails is said to be absent or failed, and the others go on; the gates ask for
//! [`ROUNDS_MIN`] rounds in which both halves of their ratio were measured.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Child;
use std::time::Duration;

use anyhow::{Context, Result};

use super::flood;
use super::gate::Limit;
use super::iperf;
use super::janitor::Janitor;
use super::local::{TCP_1, TCP_4, TCP_REVERSE};
use super::nebula;
use super::options::{LINK_PEERS, NEWER_WIREGUARD_GO, Options};
use super::peer::{Peer, wait_for_answer};
use super::peerway::Peerway;
use super::ping;
use super::report::Report;
use super::tools::{self, Crate};
use super::two_hosts::TwoHosts;
use super::underlay::{Condition, Overlay};
use super::wireguard::{self, Program};

const CPU_1: &str = "TCP, 1 stream, tunnel CPU-s/GB";
const UDP: &str = "UDP of 64 B unpaced, packets/s";
const UDP_LOSS: &str = "UDP of 64 B unpaced, loss in %";
const UDP_CPU: &str = "UDP of 64 B unpaced, tunnel CPU us/packet";
const UDP_PACED: &str = "UDP of 64 B, most with 1 % loss, packets/s";
const PING: [&str; 3] = ["ping, p50 us", "ping, avg us", "ping, p99 us"];
const PING_LOADED: [&str; 3] =
    ["ping beside 1 TCP stream, p50 us", "ping beside 1 TCP stream, avg us", "ping beside 1 TCP stream, p99 us"];

/// Pairs of which a gate takes the median.
const ROUNDS_MIN: usize = 5;
/// A thing that failed for a peer this often is not tried again under the same condition: each failure costs half a minute.
const FAILURES_MAX: usize = 2;
/// How long a peer has to come up.
const READY: Duration = Duration::from_secs(30);
/// What one round costs a peer besides six times its length: the search for a rate, ends of transfers.
const ROUND_EXTRA: u64 = 15;
/// Peers without which no gate can be judged.
const GATE_PEERS: [&str; 3] = ["veth", "peerway", "gotatun"];

const GOTATUN: Crate = Crate { name: "gotatun-cli", version: "0.10.2", program: "gotatun" };
const BORINGTUN: Crate = Crate { name: "boringtun-cli", version: "0.7.1", program: "boringtun-cli" };

/// `words` is the command line, for the record.
///
/// # Errors
/// When a program that every peer needs is missing, or this is not root.
pub(super) fn run(options: &Options, words: &[&str]) -> Result<Report> {
    let base = [("ip", "iproute2"), ("iperf3", "iperf3"), ("ping", "iputils-ping"), ("ethtool", "ethtool")];
    tools::need(&base, options)?;
    let mut report = Report::new("link");
    report.fact(format!("{}, `cargo xtask bench {}`", tools::today(), words.join(" ")));
    report.fact(tools::machine());
    let (rounds, seconds) = (options.rounds, options.length.as_secs());
    report.fact(format!(
        "{rounds} interleaved rounds of {seconds} s each; two namespaces and a veth as two hosts and a wire"
    ));
    report.fact(
        "CPU-s/GB and us/packet: of the tunnel processes of both hosts; `machine` counts both guests and all else",
    );
    report.fact("UDP: one thread each, sendmmsg and recvmmsg of 64, the same program for every peer; what arrived");
    let conditions = conditions(options);
    let wanted: Vec<&str> = LINK_PEERS.into_iter().filter(|peer| options.wants(peer)).collect();
    let each = 6 * seconds + ROUND_EXTRA;
    let minutes = (conditions.len() * wanted.len() * rounds) as u64 * each / 60 + 1;
    eprintln!("{} conditions x {rounds} rounds x {} peers: about {minutes} minutes", conditions.len(), wanted.len());
    let programs = Programs::find(options, &wanted);
    for fact in programs.versions() {
        report.fact(fact);
    }
    for condition in conditions {
        eprintln!("{}", condition.title());
        report.section(condition.title());
        measure_all(&programs, condition, options, &mut report)?;
        gates(condition, &wanted, &mut report);
    }
    Ok(report)
}

/// With the offload first, as the gates are judged there.
fn conditions(options: &Options) -> Vec<Condition> {
    let of = |offload: &bool| options.mtus.iter().map(|mtu| Condition { mtu: *mtu, offload: *offload }).collect();
    options.offloads.iter().flat_map(|offload| -> Vec<Condition> { of(offload) }).collect()
}

/// All rounds under one condition.
fn measure_all(programs: &Programs, condition: Condition, options: &Options, report: &mut Report) -> Result<()> {
    let janitor = Janitor::start()?;
    let directory = tools::directory(&janitor)?;
    let mut round = Round { janitor: &janitor, options, subjects: Vec::new(), failures: BTreeMap::new() };
    for (name, program) in &programs.0 {
        let made = || {
            let program = program.as_ref().map_err(|why| anyhow::anyhow!("{why}"))?;
            let peer = program.start(name, &janitor, &directory, condition)?;
            wait_for_answer(&*peer, READY)?;
            let server = iperf::serve(&*peer, &janitor)?;
            Ok(Subject { peer, server })
        };
        match made() {
            Ok(subject) => round.subjects.push(subject),
            Err(error) => report.absent(name, &error),
        }
    }
    for n in 1..=options.rounds {
        eprintln!("{}: round {n} of {}", condition.title(), options.rounds);
        report.round(n);
        round.measure(report);
    }
    Ok(())
}

/// What each peer needs, or why it cannot be had; in the order of a round.
struct Programs(Vec<(&'static str, Result<Kind, String>)>);

/// How a peer is started.
enum Kind {
    Veth,
    Peerway(std::path::PathBuf),
    /// A program of WireGuard's: its version, its namespaces' short name, its words before the device's name.
    WireGuard(String, &'static str, Vec<String>),
    /// Its version.
    Nebula(String),
}

impl Programs {
    fn find(options: &Options, wanted: &[&'static str]) -> Programs {
        let find = |name: &&'static str| (*name, Kind::find(name, options).map_err(|error| format!("{error:#}")));
        Programs(wanted.iter().map(find).collect())
    }

    fn versions(&self) -> impl Iterator<Item = String> {
        self.0.iter().filter_map(|(name, program)| match program {
            Ok(Kind::WireGuard(version, ..) | Kind::Nebula(version)) => Some(format!("{name}: {version}")),
            Ok(_) => None,
            Err(why) => Some(format!("{name}: ABSENT, {}", why.replace('\n', "; "))),
        })
    }
}

impl Kind {
    /// Makes sure that the program is there.
    fn find(name: &str, options: &Options) -> Result<Kind> {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        if name.starts_with("wireguard") || name.ends_with("tun") {
            tools::need(&[("wg", "wireguard-tools")], options)?;
        }
        Ok(match name {
            "veth" => Kind::Veth,
            "peerway" => Kind::Peerway(tools::peerway(options)?),
            "gotatun" => {
                let path = GOTATUN.need(options)?;
                Kind::WireGuard(GOTATUN.shown(), "g", words(&[&path, "-f", "--disable-drop-privileges"]))
            }
            "boringtun" => {
                let path = BORINGTUN.need(options)?;
                Kind::WireGuard(BORINGTUN.shown(), "b", words(&[&path, "-f", "--disable-drop-privileges", "-t", "2"]))
            }
            "wireguard-go" => {
                tools::need(&[("wireguard-go", "wireguard-go")], options)?;
                let version = format!("Debian's {}", tools::package_version("wireguard-go"));
                Kind::WireGuard(version, "w", words(&["wireguard-go", "-f"]))
            }
            NEWER_WIREGUARD_GO => {
                let path = options.wireguard_go.as_deref().unwrap_or(Path::new("wireguard-go"));
                let path = path.canonicalize().with_context(|| format!("there is no {}", path.display()))?;
                let path = path.to_str().context("the path of wireguard-go is not UTF-8")?;
                Kind::WireGuard(tools::own_version(path)?, "x", words(&[path, "-f"]))
            }
            _ => {
                tools::need(&[("nebula", "nebula"), ("nebula-cert", "nebula")], options)?;
                Kind::Nebula(format!("Debian's {}, AES-256-GCM", tools::package_version("nebula")))
            }
        })
    }

    fn start(
        &self,
        name: &'static str,
        janitor: &Janitor,
        directory: &Path,
        condition: Condition,
    ) -> Result<Box<dyn Peer>> {
        Ok(match self {
            Kind::Veth => Box::new(Overlay::plain(janitor, condition)?),
            Kind::Peerway(program) => {
                let mtu = condition.mtu.to_string();
                let mut words = vec!["--hosts", "2", "--underlay-mtu", &mtu];
                if !condition.offload {
                    words.extend(["--underlay-offload", "off"]);
                }
                Box::new(TwoHosts::new(Peerway::start(janitor, program, directory, &words)?)?)
            }
            Kind::WireGuard(_, short, words) => {
                let argv: Vec<&str> = words.iter().map(String::as_str).collect();
                Box::new(wireguard::start(janitor, directory, Program { name, short, argv: &argv }, condition)?)
            }
            Kind::Nebula(_) => Box::new(nebula::start(janitor, directory, condition)?),
        })
    }
}

/// A peer that is up, and its iperf3 server.
struct Subject {
    peer: Box<dyn Peer>,
    server: Child,
}

impl Drop for Subject {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// What rounds under one condition share.
struct Round<'r> {
    janitor: &'r Janitor,
    options: &'r Options,
    subjects: Vec<Subject>,
    failures: BTreeMap<(&'static str, &'static str), usize>,
}

type Measured = Vec<(String, f64)>;

impl Round<'_> {
    fn measure(&mut self, report: &mut Report) {
        let (janitor, length) = (self.janitor, self.options.length);
        for (metric, streams, reverse) in [(TCP_1, 1, false), (TCP_4, 4, false), (TCP_REVERSE, 1, true)] {
            self.each(metric, report, |peer| tcp(peer, metric, length, streams, reverse));
        }
        self.each(UDP, report, |peer| udp(peer, janitor, length));
        self.each(PING[0], report, |peer| pings(peer, PING, length, 9));
        let loaded = |peer: &dyn Peer| iperf::under_load(peer, length, || pings(peer, PING_LOADED, length, 5));
        self.each(PING_LOADED[0], report, loaded);
    }

    /// One metric, and those that come with it, for each peer. What fails is said, has no value in this round, and stops nobody
    /// else.
    fn each(&mut self, metric: &'static str, report: &mut Report, measure: impl Fn(&dyn Peer) -> Result<Measured>) {
        for subject in &mut self.subjects {
            let name = subject.peer.name();
            let failures = self.failures.entry((name, metric)).or_default();
            if *failures >= FAILURES_MAX {
                report.miss(name, metric);
                continue;
            }
            match measure(&*subject.peer) {
                Ok(values) => values.iter().for_each(|(what, value)| report.add(name, what, *value)),
                Err(error) => {
                    eprintln!("FAILED: {name}: {metric}: {error:#}");
                    *failures += 1;
                    report.miss(name, metric);
                    subject.serve_anew(self.janitor);
                }
            }
        }
    }
}

impl Subject {
    /// The server may still wait for the transfer that failed.
    fn serve_anew(&mut self, janitor: &Janitor) {
        let _ = self.server.kill();
        let _ = self.server.wait();
        match iperf::serve(&*self.peer, janitor) {
            Ok(server) => self.server = server,
            Err(error) => eprintln!("FAILED: {}: {error:#}", self.peer.name()),
        }
    }
}

fn tcp(peer: &dyn Peer, metric: &str, length: Duration, streams: u32, reverse: bool) -> Result<Measured> {
    let transfer = iperf::measure(peer, length, streams, reverse)?;
    let unit = |who: &str| metric.replace("Gb/s", &format!("{who} CPU-s/GB"));
    let mut values = vec![(metric.to_owned(), transfer.gigabits_per_second)];
    if !peer.switches().is_empty() {
        values.push((unit("tunnel"), transfer.used.processes / transfer.gigabytes));
    }
    values.push((unit("machine"), transfer.used.machine / transfer.gigabytes));
    Ok(values)
}

fn udp(peer: &dyn Peer, janitor: &Janitor, length: Duration) -> Result<Measured> {
    let unpaced = flood::measure(peer, janitor, length, None)?;
    let mut values = vec![(UDP.to_owned(), unpaced.delivered), (UDP_LOSS.to_owned(), unpaced.loss() * 100.0)];
    if !peer.switches().is_empty() {
        values.push((UDP_CPU.to_owned(), unpaced.used.processes * 1e6 / unpaced.packets));
    }
    values.push((UDP_PACED.to_owned(), flood::highest_rate(peer, janitor, &unpaced)?));
    Ok(values)
}

fn pings(peer: &dyn Peer, metrics: [&str; 3], length: Duration, answered_of_ten: usize) -> Result<Measured> {
    let times = ping::measure(peer, length, answered_of_ten)?;
    let values = [times.median, times.average, times.p99];
    Ok(metrics.map(str::to_owned).into_iter().zip(values).collect())
}

/// The promises; where less is better, the ratio is turned round.
fn gates(condition: Condition, wanted: &[&str], report: &mut Report) {
    if !condition.offload || GATE_PEERS.iter().any(|peer| !wanted.contains(peer)) {
        return;
    }
    let limit = |need, reach| Limit { need, reach, at_most: false, values_min: ROUNDS_MIN };
    match condition.mtu {
        1500 => {
            report.gate_pair(TCP_1, "peerway", "gotatun", limit(Some(6.0), Some(8.0)));
            report.gate_pair(TCP_1, "peerway", "veth", limit(Some(0.40), Some(0.55)));
            report.gate_pair(CPU_1, "gotatun", "peerway", limit(Some(8.0), Some(11.0)));
            report.gate_pair(UDP_CPU, "gotatun", "peerway", limit(Some(4.0), None));
            report.gate_pair(UDP_PACED, "peerway", "gotatun", limit(None, Some(3.0)));
            report.gate_pair(PING_LOADED[1], "gotatun", "peerway", limit(Some(3.0), None));
        }
        9000 => report.gate_pair(TCP_1, "peerway", "veth", limit(Some(0.45), None)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JUDGED: Condition = Condition { mtu: 1500, offload: true };

    /// Rounds in which Peerway is so many times as good as gotatun in everything, and half of a plain wire.
    fn judged(rounds: usize, times: f64, wanted: &[&str], condition: Condition) -> (bool, Report) {
        let mut report = Report::new("link");
        report.section(condition.title());
        for n in 1..=rounds {
            report.round(n);
            for metric in [TCP_1, UDP_PACED] {
                report.add("veth", metric, times * 2.0);
                report.add("peerway", metric, times);
                report.add("gotatun", metric, 1.0);
            }
            for metric in [CPU_1, UDP_CPU, PING_LOADED[1]] {
                report.add("peerway", metric, 1.0 / times);
                report.add("gotatun", metric, 1.0);
            }
        }
        gates(condition, wanted, &mut report);
        (report.passes(), report)
    }

    #[test]
    fn the_promises_are_judged() {
        assert!(judged(5, 8.0, &GATE_PEERS, JUDGED).0);
        assert!(!judged(5, 7.9, &GATE_PEERS, JUDGED).0, "one eighth of its CPU per GB");
        assert!(!judged(4, 8.0, &GATE_PEERS, JUDGED).0, "four rounds do not count");
        assert!(judged(5, 1.0, &GATE_PEERS, Condition { mtu: 9000, offload: true }).0, "half of a plain wire");
    }

    #[test]
    fn a_gate_peer_that_was_asked_for_and_is_absent_fails_it() {
        let mut report = Report::new("link");
        report.section(JUDGED.title());
        report.absent("gotatun", &anyhow::anyhow!("no such package"));
        gates(JUDGED, &GATE_PEERS, &mut report);
        assert!(!report.passes());
    }

    #[test]
    fn gates_are_for_all_their_peers_and_the_offload() {
        assert!(judged(1, 1.0, &["veth", "gotatun"], JUDGED).0);
        assert!(judged(1, 1.0, &GATE_PEERS, Condition { offload: false, ..JUDGED }).0);
    }

    #[test]
    fn conditions_are_all_pairs() -> Result<()> {
        let titles = |words: &[&str]| -> Result<Vec<String>> {
            Ok(conditions(&Options::parse("link", words)?).into_iter().map(Condition::title).collect())
        };
        assert_eq!(titles(&[])?.len(), 4);
        assert_eq!(titles(&["--mtu", "9000", "--offload", "off"])?, ["MTU 9000, UDP segmentation offload off"]);
        Ok(())
    }
}
