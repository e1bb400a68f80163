//! User-space WireGuard between two hosts: gotatun, boringtun, wireguard-go, as their READMEs run them.

use std::path::Path;

use anyhow::{Context, Result};

use super::janitor::Janitor;
use super::process;
use super::underlay::{Condition, Daemon, GUESTS, HOSTS, Overlay, TUNNEL_NETWORK, Underlay};

const DEVICE: &str = "wg0";
const PORT: &str = "51820";
/// IPv4, UDP and WireGuard's header and tag, and what it pads to (80 is what wg-quick(8) takes off).
const OVERHEAD: u32 = 80;

/// How a program is started.
#[derive(Clone, Copy, Debug)]
pub(super) struct Program<'p> {
    /// The peer's name.
    pub(super) name: &'static str,
    /// Of its namespaces and files.
    pub(super) short: &'static str,
    /// Its path or name, then its arguments; the device's name comes last.
    pub(super) argv: &'p [&'p str],
}

/// `directory` must be there and be the run's own.
pub(super) fn start(
    janitor: &Janitor,
    directory: &Path,
    program: Program<'_>,
    condition: Condition,
) -> Result<Overlay> {
    let underlay = Underlay::new(janitor, program.short, condition)?;
    let place = directory.join(program.name);
    std::fs::create_dir(&place).with_context(|| format!("cannot make {}", place.display()))?;
    let mut daemons = Vec::new();
    let mut keys = Vec::new();
    for (n, host) in underlay.hosts.iter().enumerate() {
        let argv = [program.argv, &[DEVICE]].concat();
        let daemon = Daemon::start(janitor, host, &argv, DEVICE, &place.join(format!("{n}.log")))?;
        daemon.wait_for(&["test", "-S", &format!("/run/wireguard/{DEVICE}.sock")])?;
        daemons.push(daemon);
        keys.push(Key::new(&place.join(format!("{n}.key")))?);
    }
    let mtu = (condition.mtu - OVERHEAD).to_string();
    for (here, there) in [(0, 1), (1, 0)] {
        let endpoint = format!("{}:{PORT}", HOSTS[there]);
        let own = ["wg", "set", DEVICE, "listen-port", PORT, "private-key", &keys[here].private];
        let other = ["peer", &keys[there].public, "allowed-ips", TUNNEL_NETWORK, "endpoint", &endpoint];
        daemons[here].beside(&[&own[..], &other[..]].concat())?;
        let host = &underlay.hosts[here];
        host.run(&["ip", "link", "set", DEVICE, "mtu", &mtu])?;
        host.address(DEVICE, &format!("{}/24", GUESTS[here]))?;
    }
    Overlay::new(program.name, underlay, GUESTS[1], daemons.iter().map(|daemon| daemon.pid).collect())
}

struct Key {
    /// The file that holds it.
    private: String,
    public: String,
}

impl Key {
    fn new(file: &Path) -> Result<Key> {
        let private = file.to_str().context("the run's directory is not UTF-8")?.to_owned();
        let script = "umask 077; wg genkey > \"$1\" && wg pubkey < \"$1\"";
        let public = process::run("sh", &["-c", script, "sh", &private])?.trim().to_owned();
        Ok(Key { private, public })
    }
}
