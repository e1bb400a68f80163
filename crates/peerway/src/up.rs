//! `peerway up`: a cloud on this machine, in the foreground.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::cli::UpOptions;
use crate::host::{self, Plan, Running};

pub fn run(options: &UpOptions) -> anyhow::Result<ExitCode> {
    let mut quotas = server::Quotas::default();
    for (name, number) in &options.quota {
        quotas = quotas.set(name, *number).with_context(|| format!("`{name}` is not a quota"))?;
    }
    let plan = Plan {
        data: options.data.clone().map_or_else(host::default_data, Ok)?,
        listen: options.listen,
        regions: options.regions.clone(),
        packets: !options.no_packets,
        strict_auth: options.strict_auth,
        allow_clock: options.allow_clock,
        quotas,
        wait: Duration::from_millis(options.wait),
        queues: options.queues.map_or_else(host::default_queues, usize::from),
    };
    let prepared = plan.prepare()?;
    runtime()?.block_on(async {
        // Whoever reads the snippet may end us at once.
        let mut end = End::listen()?;
        let running = prepared.start().await?;
        print_snippet(&running, options);
        end.wait().await;
        eprintln!("stopping");
        running.stop().await;
        Ok(ExitCode::SUCCESS)
    })
}

/// The runtime of control plane and command line.
pub fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start the runtime")
}

/// Ctrl-C, or the polite signal of a service manager.
pub struct End {
    interrupt: Signal,
    terminate: Signal,
}

impl End {
    /// From here on neither ends the process by itself.
    pub fn listen() -> anyhow::Result<End> {
        Ok(End { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    pub async fn wait(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Listens and waits.
pub async fn wait_for_end() -> anyhow::Result<()> {
    End::listen()?.wait().await;
    Ok(())
}

/// What to paste into another shell. The first line is for programs.
fn print_snippet(running: &Running, options: &UpOptions) {
    let endpoint = format!("http://{}", running.address);
    println!("endpoint {endpoint}");
    println!("data {}", running.data.display());
    println!();
    println!("  export AWS_ENDPOINT_URL={endpoint}");
    if options.strict_auth {
        println!(
            "  # real access keys only: the operator's is in {}",
            running.data.join("operator-key.json").display()
        );
    } else {
        println!("  export AWS_ACCESS_KEY_ID=111111111111 AWS_SECRET_ACCESS_KEY=any    # 12 digits: that account");
    }
    println!("  export AWS_REGION={0} AWS_DEFAULT_REGION={0}", options.regions[0]);
    println!("  aws ec2 describe-vpcs");
    println!();
    println!("Ctrl-C ends it; state stays.");
}
