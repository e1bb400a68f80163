//! `peerway server`: the control plane alone, in the foreground. Hosts are elsewhere and join it.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use server::{Carriers, OperatorKey, Server};

use crate::cli::ServerOptions;
use crate::metrics::{self, Endpoint, Sources};
use crate::up::{self, End};
use crate::{api_port, host, notify};

pub fn run(options: &ServerOptions) -> anyhow::Result<ExitCode> {
    let data = options.data.clone().map_or_else(host::default_data, Ok)?;
    let data = std::path::absolute(&data).with_context(|| format!("cannot tell where {} is", data.display()))?;
    let api_options = options.api.of(options.listen)?;
    let limits = options.quotas.limits()?;
    let api = listen(options.listen, "--listen")?;
    let hosts = listen(options.hosts_listen, "--hosts-listen")?;
    let metrics = metrics::bind(options.metrics, metrics::PORT)?;
    // Held until the process ends.
    let _lock = host::take_directory(&data)?;
    let server_options = server::Options {
        data: Some(data.clone()),
        regions: options.regions.clone(),
        carriers: Carriers::Joined,
        strict_auth: true,
        api: api_options.clone(),
        allow_clock: false,
        strict: options.strict,
        default_vpc: !options.no_default_vpc,
        timing: options.timing.realistic_timing,
        quotas: limits.all,
        account_quotas: limits.accounts,
        public_pools: options.public_pool.clone(),
        name_suffixes: options.names.suffixes()?,
        wait: Duration::from_millis(options.wait),
    };
    up::runtime()?.block_on(async {
        let mut end = End::listen()?;
        let mut server = Server::start(api, server_options).await?;
        let hosts = server.listen_for_hosts(hosts)?;
        let sources = Sources { server: Some(server.observer()), agents: Vec::new() };
        let metrics = metrics.map(|listener| Endpoint::serve(listener, sources)).transpose()?;
        notify::ready();
        let snippet = format!(
            "endpoint {}\nhosts {hosts}\ndata {}\n{}\n{}# real access keys only, from `peerway key create`; the operator's is in {}\n\
             # hosts join with a token from `peerway token create`\n\nCtrl-C ends it; state stays.\n",
            api_port::endpoint(server.address, &api_options.tls),
            data.display(),
            metrics.as_ref().map(Endpoint::line).unwrap_or_default(),
            api_port::trust_line(&data, &api_options.tls),
            OperatorKey::path(&data).display(),
        );
        // Whoever listened may be gone: no reason to end.
        let _ = io::stdout().write_all(snippet.as_bytes());
        end.wait().await;
        notify::stopping();
        metrics.into_iter().for_each(Endpoint::stop);
        server.stop().await;
        Ok(ExitCode::SUCCESS)
    })
}

fn listen(address: SocketAddr, flag: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).with_context(|| {
        format!("cannot listen on {address}; another program may have it, or it is not this machine's: choose another with {flag}")
    })
}
