//! `bench api`: requests a second beside moto's server, and the time from a request to the first packet.
//!
//! Peerway syncs every write to the disk before it answers; moto keeps everything in memory. Both get the same requests from the
//! same clients. Descriptions are asked of one region, pairs are made in another, so that the list stays at 100.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::first_packet;
use super::http::Client;
use super::janitor::Janitor;
use super::load::{Load, Pairs, Served};
use super::membership;
use super::numbers::percentile;
use super::options::Options;
use super::peerway::{Peerway, REGION, TwoInstances};
use super::report::Report;
use super::tools;

const PEERINGS: usize = 100;
/// 20 VPCs have 190 pairs.
const DESCRIBED_VPCS: usize = 20;
/// 600 VPCs have 179,400 pairs, more than a long run makes.
const PAIRED_VPCS: usize = 600;
const PAIRED_REGION: &str = "eu-west-1";
const CLIENTS: usize = 64;
const FIRST_PACKETS: usize = 100;
/// A change of security groups reaches the packets of one host within this time, in milliseconds.
const MEMBERSHIP_MS_MAX: f64 = 10.0;

/// # Errors
/// When a server cannot be started, or answers with an error.
pub(super) fn run(options: &Options) -> Result<Report> {
    tools::need_moto(options)?;
    let janitor = Janitor::start()?;
    let directory = tools::directory(&janitor)?;
    let program = tools::peerway(options)?;
    let quotas = ["vpcs=5000", "active-peerings-per-vpc=5000", "outstanding-peering-requests=5000"];
    let words: Vec<&str> = quotas.iter().flat_map(|quota| ["--quota", quota]).chain(["--no-packets"]).collect();
    let records = Peerway::start(&janitor, &program, &directory, &words)?;
    let servers = [Server::new("moto", moto(&janitor)?)?, Server::new("peerway", records.address)?];
    let mut report = Report::new("api");
    report.fact(tools::machine());
    report.fact(format!("{} interleaved rounds of {} s each", options.rounds, options.length.as_secs()));
    report.fact(format!("describe: DescribeVpcPeeringConnections, {PEERINGS} peerings in every answer"));
    let sync = tools::sync_time(&directory)?;
    report.fact(format!(
        "pair: CreateVpcPeeringConnection and AcceptVpcPeeringConnection; peerway syncs to a disk that takes {sync:.0} us for \
         a page, moto keeps nothing"
    ));
    for round in 1..=options.rounds {
        eprintln!("round {round} of {}", options.rounds);
        for test in TESTS {
            for server in &servers {
                let served =
                    test.run(server, options.length).with_context(|| format!("{}: {}", server.name, test.name))?;
                test.record(&mut report, server.name, &served);
            }
        }
    }
    for test in TESTS {
        report.gate_ratio(&test.metric("/s"), "peerway", "moto", test.need);
    }
    let count = if options.quick { 10 } else { FIRST_PACKETS };
    packets(&janitor, &program, &directory.join("packets"), count, &mut report)?;
    Ok(report)
}

/// Adds the time from CreateRoute to the first packet, of a cloud with two instances.
fn packets(janitor: &Janitor, program: &Path, directory: &Path, count: usize, report: &mut Report) -> Result<()> {
    eprintln!("from CreateRoute to the first packet, {count} times");
    std::fs::create_dir(directory)?;
    let instances = TwoInstances::new(Peerway::start(janitor, program, directory, &[])?, 1500)?;
    let times = first_packet::measure(&instances, janitor, count)?;
    let p99 = format!("CreateRoute to first packet, p99 of {count}, ms");
    report.add("peerway", &format!("CreateRoute to its answer, p50 of {count}, ms"), percentile(&times.answer, 50.0));
    report.add("peerway", &format!("CreateRoute to its answer, p99 of {count}, ms"), percentile(&times.answer, 99.0));
    report.add("peerway", &format!("CreateRoute to first packet, p50 of {count}, ms"), percentile(&times.packet, 50.0));
    report.add("peerway", &p99, percentile(&times.packet, 99.0));
    report.gate_value(&p99, "peerway", 15.0, true);
    memberships(&instances, janitor, count, report)
}

/// Adds the time from a change of security groups to the first packet.
fn memberships(instances: &TwoInstances, janitor: &Janitor, count: usize, report: &mut Report) -> Result<()> {
    eprintln!("from a change of security groups to the first packet, {count} times each");
    let all = membership::measure(instances, janitor, count)?;
    for (change, times) in membership::CHANGES.iter().zip(&all) {
        let p99 = format!("{change} to first packet, p99 of {count}, ms");
        report.add("peerway", &format!("{change} to its answer, p99 of {count}, ms"), percentile(&times.answer, 99.0));
        report.add(
            "peerway",
            &format!("{change} to first packet, p50 of {count}, ms"),
            percentile(&times.packet, 50.0),
        );
        report.add("peerway", &p99, percentile(&times.packet, 99.0));
        report.gate_value(&p99, "peerway", MEMBERSHIP_MS_MAX, true);
    }
    Ok(())
}

/// A server with what the tests need in it.
struct Server {
    name: &'static str,
    address: SocketAddr,
    pairs: Pairs,
}

impl Server {
    fn new(name: &'static str, address: SocketAddr) -> Result<Server> {
        eprintln!("{name}: making {} VPCs and {PEERINGS} peerings", DESCRIBED_VPCS + PAIRED_VPCS);
        let mut client = Client::new(address, REGION);
        let described = Pairs::new(&mut client, DESCRIBED_VPCS)?;
        for _ in 0..PEERINGS {
            described.peer(&mut client)?;
        }
        let shown = count(client.call("DescribeVpcPeeringConnections", &[])?);
        if shown != PEERINGS {
            bail!("{name} shows {shown} peerings, not {PEERINGS}");
        }
        let pairs = Pairs::new(&mut Client::new(address, PAIRED_REGION), PAIRED_VPCS)?;
        Ok(Server { name, address, pairs })
    }
}

fn count(xml: &str) -> usize {
    xml.matches("<vpcPeeringConnectionId>").count()
}

#[derive(Clone, Copy)]
struct Test {
    name: &'static str,
    connections: usize,
    describes: bool,
    /// Times moto.
    need: f64,
}

const TESTS: [Test; 4] = [
    Test { name: "describe", connections: 1, describes: true, need: 50.0 },
    Test { name: "describe", connections: CLIENTS, describes: true, need: 50.0 },
    Test { name: "pair", connections: 1, describes: false, need: 15.0 },
    Test { name: "pair", connections: CLIENTS, describes: false, need: 50.0 },
];

impl Test {
    fn run(&self, server: &Server, length: Duration) -> Result<Served> {
        let region = if self.describes { REGION } else { PAIRED_REGION };
        let load = Load { address: server.address, region, connections: self.connections, length };
        if self.describes {
            return load.drive(|client| {
                let shown = count(client.call("DescribeVpcPeeringConnections", &[])?);
                if shown == PEERINGS { Ok(()) } else { bail!("{shown} peerings were shown, not {PEERINGS}") }
            });
        }
        load.drive(|client| server.pairs.peer(client))
    }

    fn metric(&self, unit: &str) -> String {
        let plural = if self.connections == 1 { "" } else { "s" };
        format!("{}, {} client{plural}, {unit}", self.name, self.connections)
    }

    fn record(&self, report: &mut Report, server: &str, served: &Served) {
        report.add(server, &self.metric("/s"), served.per_second);
        report.add(server, &self.metric("p50 ms"), served.p50_ms);
        report.add(server, &self.metric("p99 ms"), served.p99_ms);
    }
}

/// Starts moto's server; where it listens.
pub(super) fn moto(janitor: &Janitor) -> Result<SocketAddr> {
    let address = tools::free_port()?;
    let mut command = Command::new("moto_server");
    command.args(["-H", &address.ip().to_string(), "-p", &address.port().to_string()]);
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("cannot start moto_server")?;
    janitor.owns_process(child.id())?;
    let deadline = Instant::now() + Duration::from_secs(60);
    while let Err(error) = Client::new(address, REGION).call("DescribeRegions", &[]) {
        if Instant::now() >= deadline {
            return Err(error.context("moto_server is not up after a minute"));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(address)
}
