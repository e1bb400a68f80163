//! `bench scale`: the API of a region with 10,000 VPCs, 100,000 interfaces and 5,000 peerings.
//!
//! The region is filled through the API. Nine VPCs in ten are one account's, the others nine accounts'; a second region has a few VPCs that
//! are peered with the first one's. Then one client asks every kind of question, and makes every kind of change with each synced to the disk,
//! one after the other; at last the server is started again from what it has on disk. moto's server is asked the same in a smaller region:
//! it takes as long for a thousandth of this as Peerway for all.

mod changes;
mod fill;
mod questions;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::api;
use super::http::Client;
use super::janitor::Janitor;
use super::numbers::percentile;
use super::options::Options;
use super::peerway::{Peerway, REGION};
use super::process::Stat;
use super::report::Report;
use super::tools;

use fill::Made;

/// What one page may take, in ms.
const PAGE_MS: f64 = 20.0;
/// What one change may take, in ms.
const CHANGE_MS: f64 = 5.0;
/// What a start may take, in s.
const START_S: f64 = 5.0;
/// How often each question is asked, and each change is made, in a round.
const TIMES: usize = 100;
/// Addresses that are given back rest for a minute, so there must be enough of them. No packet leaves.
const WORDS: [&str; 3] = ["--no-packets", "--public-pool", "198.18.0.0/16"];
/// How long a server has to end.
const END: Duration = Duration::from_secs(60);

/// How much there is.
#[derive(Clone, Copy)]
struct Size {
    vpcs: usize,
    /// Of each VPC; four of them are instances'.
    interfaces: usize,
}

const WHOLE: Size = Size { vpcs: 10_000, interfaces: 10 };
const QUICK: Size = Size { vpcs: 200, interfaces: 10 };
const OF_MOTO: Size = Size { vpcs: 40, interfaces: 10 };

/// How long each took, in ms, by what it was.
type Times = BTreeMap<String, Vec<f64>>;

/// # Errors
/// When a server cannot be started, or answers with an error.
pub(super) fn run(options: &Options) -> Result<Report> {
    tools::need_moto(options)?;
    let janitor = Janitor::start()?;
    let directory = tools::directory(&janitor)?;
    let program = tools::peerway(options)?;
    let size = if options.quick { QUICK } else { WHOLE };
    let mut report = Report::new("scale");
    report.fact(tools::machine());
    let sync = tools::sync_time(&directory)?;
    report.fact(format!("every change is synced to a disk that takes {sync:.0} us for a page"));

    let cloud = start(&janitor, &program, &directory)?;
    let began = Instant::now();
    let made = fill::region(cloud.address, size, fill::CONNECTIONS)?;
    fill::abroad(cloud.address, &made)?;
    let objects = counted(&mut cloud.client(), size)?;
    report.fact(format!(
        "filled through the API with {} connections in {:.0} s: {objects}",
        fill::CONNECTIONS,
        began.elapsed().as_secs_f64()
    ));
    report.add("peerway", "memory after filling, MB", memory_mb(cloud.pid())?);
    let own: Vec<&Made> = made.iter().filter(|made| made.account == fill::FIRST).collect();
    for round in 1..=options.rounds {
        eprintln!("round {round} of {}", options.rounds);
        report.round(round);
        let asked = questions::ask(&mut cloud.client(), &own, TIMES, questions::Scope::All)?;
        show(&mut report, "peerway", "page", &asked);
        let changed = changes::make(&mut cloud.client(), &own, TIMES, round)?;
        show(&mut report, "peerway", "change", &changed);
    }
    report.gate_value(&slowest("page"), "peerway", PAGE_MS, true);
    report.gate_value(&slowest("change"), "peerway", CHANGE_MS, true);
    report.round(1);
    starts(&janitor, &program, &directory, cloud, &made, &mut report)?;
    if let Err(error) = moto(&janitor, &mut report) {
        report.absent("moto", &error);
    }
    Ok(report)
}

/// The same questions to moto's server, in a smaller region.
fn moto(janitor: &Janitor, report: &mut Report) -> Result<()> {
    let address = api::moto(janitor)?;
    let made = fill::region(address, OF_MOTO, 1)?;
    report.fact(format!("moto: {} VPCs with {} interfaces each, kept in memory", OF_MOTO.vpcs, OF_MOTO.interfaces));
    let made: Vec<&Made> = made.iter().collect();
    let asked = questions::ask(&mut Client::new(address, REGION), &made, TIMES / 10, questions::Scope::Moto)?;
    show(report, "moto", "page", &asked);
    Ok(())
}

fn start(janitor: &Janitor, program: &Path, directory: &Path) -> Result<Peerway> {
    let quotas = [
        "vpcs",
        "subnets-per-vpc",
        "network-interfaces",
        "security-groups",
        "instances",
        "internet-gateways",
        "nat-gateways-per-zone",
        "outstanding-peering-requests",
        "active-peerings-per-vpc",
        "elastic-ips",
        "flow-logs-per-resource",
        "network-insights-paths",
        "network-insights-analyses",
        "network-insights-access-scopes",
        "network-insights-access-scope-analyses",
        "prefix-lists",
        "key-pairs",
    ];
    let quotas: Vec<String> = quotas.iter().map(|name| format!("{name}=1000000")).collect();
    let words: Vec<&str> = quotas.iter().flat_map(|quota| ["--quota", quota]).chain(WORDS).collect();
    Peerway::start(janitor, program, directory, &words)
}

/// What the server says that it has.
fn counted(client: &mut Client, size: Size) -> Result<String> {
    let mut seen = 0;
    let mut token = None::<String>;
    loop {
        let mut page = vec![("MaxResults", "1000")];
        page.extend(token.as_deref().map(|token| ("NextToken", token)));
        let shown = client.call("DescribeVpcs", &page)?;
        seen += shown.matches("<vpcId>").count();
        token = super::http::element(shown, "nextToken").map(String::from);
        if token.is_none() {
            break;
        }
    }
    let expected = (0..size.vpcs).filter(|n| fill::account(*n) == fill::FIRST).count();
    if seen != expected {
        bail!("account {} has {seen} VPCs, not {expected}", fill::FIRST);
    }
    Ok(format!(
        "{} VPCs, {} subnets, {} network interfaces, {} instances, {} peerings; {seen} of the VPCs and what is in them are one account's",
        size.vpcs,
        2 * size.vpcs,
        size.vpcs * size.interfaces,
        4 * size.vpcs,
        size.vpcs / 2
    ))
}

/// p50 and p99 of each, and what all together demand of the slowest.
fn show(report: &mut Report, peer: &str, what: &str, times: &Times) {
    let mut worst: f64 = 0.0;
    for (name, times) in times {
        let p99 = percentile(times, 99.0);
        report.add(peer, &format!("{name}, p50 ms"), percentile(times, 50.0));
        report.add(peer, &format!("{name}, p99 ms"), p99);
        worst = worst.max(p99);
    }
    report.add(peer, &slowest(what), worst);
}

fn slowest(what: &str) -> String {
    format!("slowest kind of {what}, p99 ms")
}

/// Ends the server and starts it again, in peace and killed.
fn starts(
    janitor: &Janitor,
    program: &Path,
    directory: &Path,
    cloud: Peerway,
    made: &[Made],
    report: &mut Report,
) -> Result<()> {
    let mut cloud = cloud;
    for (signal, how) in [("-TERM", "start after an orderly end, s"), ("-KILL", "start after a kill, s")] {
        end(cloud.pid(), signal)?;
        drop(cloud);
        let began = Instant::now();
        cloud = start(janitor, program, directory)?;
        let one = made.first().context("nothing was made")?;
        cloud.client().call("DescribeVpcs", &[("VpcId.1", &one.vpc)])?;
        report.add("peerway", how, began.elapsed().as_secs_f64());
        report.gate_value(how, "peerway", START_S, true);
    }
    report.add("peerway", "memory after a start, MB", memory_mb(cloud.pid())?);
    let data: u64 = files(&directory.join("peerway"))?;
    report.add("peerway", "data directory, MB", data as f64 / 1e6);
    Ok(())
}

fn end(pid: u32, signal: &str) -> Result<()> {
    super::process::run("kill", &[signal, &pid.to_string()])?;
    let deadline = Instant::now() + END;
    // Its parent, this program, does not wait for it.
    while Stat::of(pid).is_some_and(|stat| stat.state != 'Z') {
        if Instant::now() >= deadline {
            bail!("process {pid} does not end by {signal}");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// Resident memory (proc_pid_status(5)).
fn memory_mb(pid: u32) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("the process has no memory")?;
    let kilobytes: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kilobytes * 1024.0 / 1e6)
}

/// Bytes of all files below a directory.
fn files(directory: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(directory)? {
        let (path, kind) = {
            let entry = entry?;
            (entry.path(), entry.file_type()?)
        };
        bytes += if kind.is_dir() {
            files(&path)?
        } else if kind.is_file() {
            path.metadata()?.len()
        } else {
            0
        };
    }
    Ok(bytes)
}
