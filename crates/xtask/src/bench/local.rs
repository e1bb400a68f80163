//! `bench local`: packets between two guests of one host.
//!
//! One round measures each thing for each peer before the next thing, so that the two halves of a ratio are seconds apart. All
//! peers are up all the time and idle while another one is measured. Guests have the same MTU everywhere; by default 1500, at
//! which the peers are known best.

use std::process::Child;
use std::time::Duration;

use anyhow::{Context, Result};

use super::datagrams;
use super::iperf;
use super::janitor::Janitor;
use super::kernel::KernelRouter;
use super::options::Options;
use super::ovs::OpenVSwitch;
use super::peer::{Peer, wait_for_answer};
use super::peerway::{Peerway, TwoInstances};
use super::ping;
use super::report::Report;
use super::tools;

pub(super) const TCP_1: &str = "TCP, 1 stream, Gb/s";
pub(super) const TCP_4: &str = "TCP, 4 streams, Gb/s";
pub(super) const TCP_REVERSE: &str = "TCP, reverse, Gb/s";
const UDP: &str = "UDP of 64 B, packets/s";
const UDP_LOSS: &str = "UDP of 64 B, loss in %";
const PING_MEDIAN: &str = "ping p50, us";
const PING_P99: &str = "ping p99, us";
const BALANCE: &str = "4 streams, second busiest thread / busiest";

/// How long is pinged: 300 times.
const PINGS: Duration = Duration::from_secs(3);
/// How long a peer has to come up.
const READY: Duration = Duration::from_secs(30);

/// # Errors
/// When a peer cannot be set up or measured, named.
pub(super) fn run(options: &Options) -> Result<Report> {
    tools::need(&[("ip", "iproute2"), ("iperf3", "iperf3"), ("ping", "iputils-ping")], options)?;
    let janitor = Janitor::start()?;
    let peers = peers(&janitor, options)?;
    let mut servers = Vec::new();
    for peer in &peers {
        wait_for_answer(&**peer, READY)?;
        servers.push(iperf::serve(&**peer, &janitor).with_context(|| peer.name())?);
    }
    let mut report = Report::new("local");
    report.fact(tools::machine());
    let (rounds, seconds) = (options.rounds, options.length.as_secs());
    report.fact(format!("{rounds} interleaved rounds of {seconds} s each, MTU {} in all guests", options.mtus[0]));
    report.fact("CPU-s/GB: of the switching processes; `machine` counts both guests and everything else that ran");
    report
        .fact("UDP: one thread sends unpaced, one system call a packet, the same program for every peer; what arrived");
    for round in 1..=rounds {
        eprintln!("round {round} of {rounds}");
        measure(&peers, &janitor, options, &mut report)?;
    }
    gates(&mut report);
    end(servers);
    Ok(report)
}

fn peers(janitor: &Janitor, options: &Options) -> Result<Vec<Box<dyn Peer>>> {
    let mut peers: Vec<Box<dyn Peer>> = Vec::new();
    let (directory, mtu) = (tools::directory(janitor)?, options.mtus[0]);
    if options.wants("kernel") {
        peers.push(Box::new(KernelRouter::new(janitor, mtu, false)?));
    }
    if options.wants("nftables") {
        tools::need(&[("nft", "nftables")], options)?;
        peers.push(Box::new(KernelRouter::new(janitor, mtu, true)?));
    }
    for (name, segments) in [("ovs", false), ("ovs-tso", true)] {
        if options.wants(name) {
            tools::need(&[("ovs-vswitchd", "openvswitch-switch"), ("ethtool", "ethtool")], options)?;
            peers.push(Box::new(OpenVSwitch::new(janitor, &directory, mtu, segments)?));
        }
    }
    if options.wants("peerway") {
        let cloud = Peerway::start(janitor, &tools::peerway(options)?, &directory, &[])?;
        peers.push(Box::new(TwoInstances::new(cloud, mtu)?));
    }
    Ok(peers)
}

/// One round.
fn measure(peers: &[Box<dyn Peer>], janitor: &Janitor, options: &Options, report: &mut Report) -> Result<()> {
    for (metric, streams, reverse) in [(TCP_1, 1, false), (TCP_4, 4, false), (TCP_REVERSE, 1, true)] {
        for peer in peers {
            let context = || format!("{}: {metric}", peer.name());
            let transfer = iperf::measure(&**peer, options.length, streams, reverse).with_context(context)?;
            report.add(peer.name(), metric, transfer.gigabits_per_second);
            let unit = |who: &str| metric.replace("Gb/s", &format!("{who} CPU-s/GB"));
            if !peer.switches().is_empty() {
                report.add(peer.name(), &unit("switch"), transfer.used.processes / transfer.gigabytes);
            }
            report.add(peer.name(), &unit("machine"), transfer.used.machine / transfer.gigabytes);
            if metric == TCP_4 && !peer.switches().is_empty() {
                report.add(peer.name(), BALANCE, transfer.used.balance());
            }
        }
    }
    for peer in peers {
        let blast =
            datagrams::measure(&**peer, janitor, options.length).with_context(|| format!("{}: {UDP}", peer.name()))?;
        report.add(peer.name(), UDP, blast.packets_per_second);
        report.add(peer.name(), UDP_LOSS, blast.loss * 100.0);
    }
    for peer in peers {
        let times = ping::measure(&**peer, PINGS, 9).with_context(|| format!("{}: ping", peer.name()))?;
        report.add(peer.name(), PING_MEDIAN, times.median);
        report.add(peer.name(), PING_P99, times.p99);
    }
    Ok(())
}

fn gates(report: &mut Report) {
    for metric in [TCP_1, TCP_4, TCP_REVERSE] {
        report.gate_ratio(metric, "peerway", "ovs", 10.0);
        report.gate_ratio(metric, "peerway", "ovs-tso", 1.0);
    }
    report.gate_ratio(TCP_1, "peerway", "nftables", 0.7);
    // Both queues' threads work: neither does less than a quarter of what the other does.
    report.gate_value(BALANCE, "peerway", 0.25, false);
}

fn end(servers: Vec<Child>) {
    for mut server in servers {
        let _ = server.kill();
        let _ = server.wait();
    }
}
