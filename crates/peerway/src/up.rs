//! `peerway up`: a cloud on this machine, in the foreground.

use std::fs;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::api_port;
use crate::cli::UpOptions;
use crate::host::{self, Plan, Running};
use crate::metrics;

pub fn run(options: &UpOptions) -> anyhow::Result<ExitCode> {
    let plan = Plan {
        data: options.data.clone().map_or_else(host::default_data, Ok)?,
        listen: options.listen,
        regions: options.regions.clone(),
        packets: !options.no_packets,
        strict_auth: options.strict_auth,
        api: options.api.of(options.listen)?,
        allow_clock: options.allow_clock,
        strict: options.strict,
        default_vpc: !options.no_default_vpc,
        timing: options.timing.realistic_timing,
        quotas: options.quotas.limits()?,
        public_pools: options.public_pool.clone(),
        name_suffixes: options.names.suffixes()?,
        wait: Duration::from_millis(options.wait),
        queues: options.queues.map_or_else(host::default_queues, usize::from),
        allow_esp_keys: options.allow_esp_keys,
        dns_upstream: options.dns_upstream,
        uplink: options.uplink.clone(),
        hosts: options.hosts.clone(),
        metrics: options.metrics,
    };
    warn_of_keys(plan.allow_esp_keys);
    let tls = plan.api.tls.clone();
    let prepared = plan.prepare()?;
    runtime()?.block_on(async {
        // Whoever reads the snippet may end us at once.
        let mut end = End::listen()?;
        let running = prepared.start().await?;
        // Whoever listened may be gone: no reason to end without clearing up.
        let _ = io::stdout().write_all(snippet(&running, options, &tls).as_bytes());
        end.wait().await;
        let _ = writeln!(io::stderr(), "stopping");
        running.stop().await;
        Ok(ExitCode::SUCCESS)
    })
}

/// Says it loud, should the keys of the links be within reach.
pub fn warn_of_keys(is_allowed: bool) {
    if is_allowed {
        let warning = "WARNING: the keys between hosts are kept and can be shown (--allow-esp-keys); who has them reads all traffic";
        let _ = writeln!(io::stderr(), "{warning}");
    }
}

/// The runtime of control plane and command line.
pub fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start the runtime")
}

/// Ctrl-C, the polite signal of a service manager, or the end of the terminal.
pub struct End {
    interrupt: Signal,
    terminate: Signal,
    /// Unless it was started to outlive its terminal (nohup).
    hangup: Option<Signal>,
}

impl End {
    /// From here on none of them ends the process by itself.
    pub fn listen() -> anyhow::Result<End> {
        let hangup = if ignores_hangup() { None } else { Some(signal(SignalKind::hangup())?) };
        Ok(End { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())?, hangup })
    }

    pub async fn wait(&mut self) {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = hangup => {}
        }
    }
}

/// Whether this process was told to ignore SIGHUP: the first bit of a mask in proc_pid_status(5).
fn ignores_hangup() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}

/// Listens and waits.
pub async fn wait_for_end() -> anyhow::Result<()> {
    End::listen()?.wait().await;
    Ok(())
}

/// What to paste into another shell. The first line is for programs.
fn snippet(running: &Running, options: &UpOptions, tls: &server::ApiTls) -> String {
    let endpoint = api_port::endpoint(running.address, tls);
    let keys = if options.strict_auth {
        let file = server::OperatorKey::path(&running.data);
        format!("# real access keys only, from `peerway key create`; the operator's is in {}", file.display())
    } else {
        "export AWS_ACCESS_KEY_ID=111111111111 AWS_SECRET_ACCESS_KEY=any    # 12 digits: that account".to_owned()
    };
    format!(
        "endpoint {endpoint}
data {}
{metrics}
  export AWS_ENDPOINT_URL={endpoint}
{trust}  {keys}
  export AWS_REGION={region} AWS_DEFAULT_REGION={region}
  aws ec2 describe-vpcs

Ctrl-C ends it; state stays.
",
        running.data.display(),
        trust = indented(&api_port::trust_line(&running.data, tls)),
        region = options.regions[0],
        metrics = running.metrics.as_ref().map(metrics::Endpoint::line).unwrap_or_default(),
    )
}

fn indented(line: &str) -> String {
    if line.is_empty() { String::new() } else { format!("  {line}") }
}
