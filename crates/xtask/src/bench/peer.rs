//! What is compared: two guests, and something that carries packets between them.

use std::net::Ipv4Addr;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::network::Namespace;
use super::process;

/// Two guests joined by some way of joining them.
pub(super) trait Peer {
    /// As in `--only` and the tables.
    fn name(&self) -> &'static str;
    /// A command to be run in the near guest.
    fn client(&self, argv: &[&str]) -> Result<Command>;
    /// A command to be run in the far guest.
    fn server(&self, argv: &[&str]) -> Result<Command>;
    /// The far guest's address.
    fn address(&self) -> Ipv4Addr;
    /// Processes that carry the packets; none when the kernel does.
    fn switches(&self) -> &[u32];
    /// This program's path inside the guests.
    fn generator(&self) -> &str;
}

/// Two guests that are plain namespaces.
#[derive(Debug)]
pub(super) struct Namespaces {
    pub(super) near: Namespace,
    pub(super) far: Namespace,
    pub(super) address: Ipv4Addr,
    pub(super) generator: String,
}

impl Namespaces {
    pub(super) fn new(near: Namespace, far: Namespace, address: Ipv4Addr) -> Result<Namespaces> {
        let program = std::env::current_exe().context("this program has no path")?;
        let generator = program.to_str().context("this program's path is not UTF-8")?.to_owned();
        Ok(Namespaces { near, far, address, generator })
    }
}

/// Waits until the far guest answers: bridges learn, daemons come up.
pub(super) fn wait_for_answer(peer: &dyn Peer, limit: Duration) -> Result<()> {
    let deadline = Instant::now() + limit;
    let address = peer.address().to_string();
    while Instant::now() < deadline {
        let ping = peer.client(&["ping", "-n", "-c", "1", "-W", "1", &address])?;
        if process::finish(ping, Duration::from_secs(5))?.status.success() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    bail!("{}: {address} does not answer in {limit:?}", peer.name())
}
