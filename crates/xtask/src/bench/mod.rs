//! How fast is Peerway beside what people would use instead?
//!
//! ```text
//!   cargo xtask bench local   packets of one host, beside a kernel router, nftables and Open vSwitch
//!   cargo xtask bench link    packets between two hosts, encrypted, beside WireGuard's user-space programs and Nebula
//!   cargo xtask bench api     requests, beside moto_server; from CreateRoute, and from a change of groups, to the first packet
//!   cargo xtask bench scale   requests in a region with 10,000 VPCs, its memory and its start
//!   cargo xtask bench handover   how long packets rest when an agent is reloaded or killed
//!   cargo xtask bench dns        names, beside dnsmasq and unbound
//!   cargo xtask bench stages     one packet, stage by stage, in memory
//!   cargo xtask bench policy     the law and connection tracking at their sizes, beside nftables
//! ```
//!
//! Every peer runs in the same run, in interleaved rounds, so that ratios hold although the machine's speed does not. What a
//! round measures is in [`local`], [`link`], [`api`] and [`scale`]; what holds for all:
//!
//! - all that is made (namespaces, processes, directories) carries this process's id, and the [`janitor`] removes it however
//!   the run ends;
//! - no namespace has a link to the machine's own interface;
//! - load generators are this very program, started again with a hidden word, and built for release.

mod api;
mod costs;
mod datagrams;
mod dns;
mod first_packet;
mod flood;
mod gate;
mod handover;
mod http;
mod iperf;
mod janitor;
mod kernel;
mod link;
mod load;
mod local;
mod membership;
mod nebula;
mod network;
mod new_flows;
mod numbers;
mod options;
mod ovs;
mod peer;
mod peerway;
mod ping;
mod process;
mod report;
mod scale;
mod tools;
mod two_hosts;
mod underlay;
mod wireguard;

use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Result, bail};

use options::Options;

const HELP: &str = "\
cargo xtask bench local [--only kernel,nftables,ovs,ovs-tso,peerway] [--mtu N] [common options]
cargo xtask bench link  [--peers veth,peerway,gotatun,boringtun,wireguard-go,nebula] [--mtu 1500,9000] [--offload on,off]
                        [--wireguard-go PATH] [common options]
cargo xtask bench api   [common options]
cargo xtask bench scale [common options]
cargo xtask bench dns   [common options]
cargo xtask bench handover [--quick] [--rounds N]
cargo xtask bench stages|policy [common options]

  --offload        whether the wire between the hosts has UDP segmentation offload (default: once with, once without)
  --wireguard-go   also measure this build of wireguard-go, as wireguard-go-new

Common options:
  --quick          one round of two seconds, to see that everything runs; gates are shown and do not count
  --rounds N       interleaved rounds (default 5)
  --seconds N      length of each measurement (default 5; link, api and dns: 3); scale counts instead
  --output FORMAT  table (default), or json: the results as one document
  --peerway PATH   the program to measure (default: built for release)
  --no-build       measure the release build that is there
  --no-install     name missing programs instead of installing them

The exit code is 1 when a gate fails. Needs root, but for `stages`: it makes network namespaces.
Example: cargo xtask bench local --rounds 7 --output json > local.json";

/// Runs `cargo xtask bench ARGS`.
///
/// # Errors
/// When a peer cannot be set up or measured, or a gate fails.
pub(crate) fn run(args: &[String]) -> Result<()> {
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words[..] {
        [janitor::WORD] => janitor::main(),
        [datagrams::WORD, ref rest @ ..] => datagrams::main(rest),
        [flood::WORD, ref rest @ ..] => flood::main(rest),
        [new_flows::WORD, ref rest @ ..] => new_flows::main(rest),
        [dns::WORD, ref rest @ ..] => dns::main(rest),
        ["local" | "link" | "api" | "scale" | "dns" | "stages" | "policy", ..]
            if words.iter().any(|word| ["--help", "-h"].contains(word)) =>
        {
            println!("{HELP}");
            Ok(())
        }
        ["handover", ref rest @ ..] => handover::run(rest),
        [which @ ("local" | "link" | "api" | "scale" | "dns" | "stages" | "policy"), ref rest @ ..] => {
            let options = Options::parse(which, rest)?;
            if cfg!(debug_assertions) {
                return in_release(args, &options);
            }
            let report = match which {
                "local" => local::run(&options)?,
                "link" => link::run(&options, &words)?,
                "scale" => scale::run(&options)?,
                "dns" => dns::run(&options)?,
                "stages" => costs::stages(&options)?,
                "policy" => costs::policy(&options)?,
                _ => api::run(&options)?,
            };
            report.print(options.json);
            if !options.quick && !report.passes() {
                bail!("a gate failed");
            }
            Ok(())
        }
        ["--help" | "-h"] => {
            println!("{HELP}");
            Ok(())
        }
        _ => bail!("expected `local`, `link`, `api`, `scale`, `dns`, `stages` or `policy`\n{HELP}"),
    }
}

/// Builds this program and Peerway for release and becomes the former: a slow load generator would take the cores from what it
/// measures.
fn in_release(args: &[String], options: &Options) -> Result<()> {
    if !options.no_build {
        let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        build.args(["build", "--release", "--package", "xtask"]);
        if matches!(args.first().map(String::as_str), Some("stages" | "policy")) {
            build.args(["--bin", "xtask", "--package", "dataplane", "--example", "costs"]);
        } else if options.needs_peerway() && options.peerway.is_none() {
            build.args(["--package", "peerway"]);
        }
        eprintln!("building for release");
        let status = build.current_dir(crate::run::root()).status().context("cannot start cargo")?;
        if !status.success() {
            bail!("the release build failed");
        }
    }
    let program = tools::target_directory()?.join("release/xtask");
    let error = Command::new(&program).arg("bench").args(args).exec();
    Err(error).with_context(|| format!("cannot start {}", program.display()))
}
