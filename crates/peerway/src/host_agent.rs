//! `peerway agent`: this machine as a host of a control plane elsewhere, in the foreground.
//!
//! SIGHUP is a planned restart: it starts its program anew, as it is on disk now, with the same arguments, and hands over to it
//! (`agent::Successor`).

use std::fs::File;
use std::io::{self, Write};
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Duration;

use agent::join::{Joining, join};
use agent::{Agent, JoinToken, Lifetime, Predecessor, Successor, Underlay, Upstream};
use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::AgentOptions;
use crate::metrics::{self, Endpoint, Sources};
use crate::up;
use crate::{host, notify};

pub fn run(options: &AgentOptions) -> anyhow::Result<ExitCode> {
    let data = options.data.clone().map_or_else(host::default_data, Ok)?;
    let data = std::path::absolute(&data).with_context(|| format!("cannot tell where {} is", data.display()))?;
    let token = options.join.as_deref().map(str::parse::<JoinToken>).transpose()?;
    // The lock is held until the process ends.
    let (predecessor, lock) = match Predecessor::find().context("cannot go on for another agent")? {
        Some((predecessor, lock)) => (Some(predecessor), lock),
        None => (None, host::take_directory(&data)?),
    };
    // A predecessor serves them until it hands over.
    let bind_metrics = || metrics::bind(options.metrics, metrics::AGENT_PORT);
    let early_metrics = if predecessor.is_none() { bind_metrics()? } else { None };
    host::acquire_rights()?;
    linux::limits::raise_open_files(host::OPEN_FILES).context("cannot raise the limit of open files")?;
    let underlay = Underlay { netns: None, address: options.underlay, mtu: options.underlay_mtu };
    let agent_options = agent::Options {
        host: options.host,
        // Where `exec` and `status` look for it.
        data: data.join(host::HOST_DIR),
        queues: options.queues.map_or_else(host::default_queues, usize::from),
        mtu: underlay.guest_mtu(),
        limits: linux::sandbox::Limits::default(),
        prefix: host::prefix(&data),
        underlay: Some(underlay.clone()),
        allow_esp_keys: options.allow_esp_keys,
        dns_upstream: options.dns_upstream,
        uplink: options.uplink.clone(),
        lifetime: if options.end_instances { Lifetime::EndWithAgent } else { Lifetime::OutliveAgent },
    };
    up::warn_of_keys(options.allow_esp_keys);
    join(&Joining {
        host: options.host,
        data: agent_options.data.clone(),
        server: options.server.clone(),
        token,
        underlay: underlay.socket_address(),
    })?;
    up::runtime()?.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hangup = signal(SignalKind::hangup())?;
        let is_successor = predecessor.is_some();
        let agent = Agent::start_after(predecessor, agent_options, Upstream::There(options.server.clone()))?;
        let listener = if is_successor { inherit_port(bind_metrics).await } else { early_metrics };
        let sources = Sources { server: None, agents: vec![agent.observer()] };
        let metrics = listener.map(|listener| Endpoint::serve(listener, sources)).transpose()?;
        notify::ready();
        let snippet = format!(
            "host {}\ndata {}\n{}\nCtrl-C ends it; {}state stays.\n",
            options.host,
            data.display(),
            metrics.as_ref().map(Endpoint::line).unwrap_or_default(),
            if options.end_instances { "its instances end with it; " } else { "its instances run on; " }
        );
        // Whoever listened may be gone: no reason to end.
        let _ = io::stdout().write_all(snippet.as_bytes());
        let successor = loop {
            tokio::select! {
                _ = interrupt.recv() => break None,
                _ = terminate.recv() => break None,
                _ = hangup.recv() => {
                    notify::reloading();
                    match successor(&lock).await {
                        Ok(successor) => break Some(successor),
                        Err(error) => {
                            notify::ready();
                            tracing::error!(error = format!("{error:#}"), "no other agent can go on; this one does");
                        }
                    }
                }
            }
        };
        metrics.into_iter().for_each(Endpoint::stop);
        let Some(successor) = successor else {
            notify::stopping();
            // It waits for threads.
            tokio::task::spawn_blocking(|| agent.stop()).await.context("the agent's end ended in a panic")?;
            return Ok(ExitCode::SUCCESS);
        };
        notify::main_pid(successor.pid());
        let hand_over = move || agent.hand_over(&successor).inspect_err(|_| successor.abandon());
        let handed_over = tokio::task::spawn_blocking(hand_over).await;
        // At once: the other one waits for what only the end of this process sets free.
        std::process::exit(match handed_over {
            Ok(Ok(())) => 0,
            Ok(Err(error)) => {
                tracing::error!(%error, "the hand-over failed; the next agent takes over");
                1
            }
            Err(_) => 1,
        })
    })
}

/// Starts the program that is now where this one was started from.
async fn successor(lock: &File) -> anyhow::Result<Successor> {
    let mut command = Command::new(program()?);
    command.args(std::env::args_os().skip(1));
    let lock = lock.try_clone()?;
    let started = tokio::task::spawn_blocking(move || Successor::start(command, lock.as_fd())).await;
    started.context("its start ended in a panic")?.context("it did not start")
}

/// Where this program lies: after an upgrade another one has its name (proc_pid_exe(5)).
fn program() -> anyhow::Result<PathBuf> {
    let path = std::env::current_exe().context("cannot tell which program this is")?;
    let replaced = path.to_str().and_then(|path| path.strip_suffix(" (deleted)")).map(PathBuf::from);
    Ok(replaced.filter(|_| !path.exists()).unwrap_or(path))
}

/// The port of metrics once the predecessor has let go of it; going without is better than ending what was just taken over.
async fn inherit_port(bind: impl Fn() -> anyhow::Result<Option<TcpListener>>) -> Option<TcpListener> {
    const ATTEMPTS: u32 = 20;
    for _ in 1..ATTEMPTS {
        match bind() {
            Ok(Some(listener)) => return Some(listener),
            Ok(None) | Err(_) => tokio::time::sleep(Duration::from_millis(25)).await,
        }
    }
    bind().unwrap_or_else(|error| {
        tracing::warn!(error = format!("{error:#}"), "no metrics");
        None
    })
}
