//! `peerway agent`: this machine as a host of a control plane elsewhere, in the foreground.

use std::io::{self, Write};
use std::process::ExitCode;

use agent::join::{Joining, join};
use agent::{Agent, JoinToken, Underlay, Upstream};
use anyhow::Context;

use crate::cli::AgentOptions;
use crate::up::{self, End};
use crate::{host, notify};

pub fn run(options: &AgentOptions) -> anyhow::Result<ExitCode> {
    let data = options.data.clone().map_or_else(host::default_data, Ok)?;
    let data = std::path::absolute(&data).with_context(|| format!("cannot tell where {} is", data.display()))?;
    let token = options.join.as_deref().map(str::parse::<JoinToken>).transpose()?;
    // Held until the process ends.
    let _lock = host::take_directory(&data)?;
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
        let mut end = End::listen()?;
        let agent = Agent::start(agent_options, Upstream::There(options.server.clone()))?;
        notify::ready();
        let snippet = format!(
            "host {}\ndata {}\n\nCtrl-C ends it and its instances; state stays.\n",
            options.host,
            data.display()
        );
        // Whoever listened may be gone: no reason to end.
        let _ = io::stdout().write_all(snippet.as_bytes());
        end.wait().await;
        notify::stopping();
        // It waits for threads.
        tokio::task::spawn_blocking(|| agent.stop()).await.context("the agent's end ended in a panic")?;
        Ok(ExitCode::SUCCESS)
    })
}
