//! Two hosts and the wire between them, and peers that are nothing but programs in those two namespaces.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::janitor::Janitor;
use super::network::{Namespace, veth};
use super::peer::{Namespaces, Peer};
use super::process::{self, Stat};

/// The hosts' addresses on the wire.
pub(super) const HOSTS: [Ipv4Addr; 2] = [Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 0, 2, 2)];
/// The guests' addresses in the tunnel, both in [`TUNNEL_NETWORK`].
pub(super) const GUESTS: [Ipv4Addr; 2] = [Ipv4Addr::new(198, 18, 0, 1), Ipv4Addr::new(198, 18, 0, 2)];
pub(super) const TUNNEL_NETWORK: &str = "198.18.0.0/24";
/// Each end of the wire.
const DEVICE: &str = "under0";
/// How long a tunnel's program has to make its device.
const READY: Duration = Duration::from_secs(10);
/// Characters of a program's log in an error.
const LOG_MAX: usize = 600;

/// What the wire is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Condition {
    /// Bytes.
    pub(super) mtu: u32,
    /// Whether the wire takes UDP super-frames whole, as a network card with USO and hardware GRO would. Without it the kernel
    /// cuts them before the wire, and the receiving kernel may join them again, as it does for a network card without.
    pub(super) offload: bool,
}

impl Condition {
    pub(super) fn title(self) -> String {
        format!("MTU {}, UDP segmentation offload {}", self.mtu, if self.offload { "on" } else { "off" })
    }
}

/// Two namespaces, each a host.
pub(super) struct Underlay {
    pub(super) hosts: [Namespace; 2],
}

impl Underlay {
    /// `short` makes the names of the namespaces different from those of other peers.
    pub(super) fn new(janitor: &Janitor, short: &str, condition: Condition) -> Result<Underlay> {
        let hosts = [Namespace::new(janitor, &format!("{short}a"))?, Namespace::new(janitor, &format!("{short}b"))?];
        veth(&hosts[0], DEVICE, &hosts[1], DEVICE, condition.mtu)?;
        for (host, address) in hosts.iter().zip(HOSTS) {
            if !condition.offload {
                without_offload(host)?;
            }
            host.address(DEVICE, &format!("{address}/30"))?;
        }
        Ok(Underlay { hosts })
    }
}

/// A veth joins received UDP only when the sending end cuts TCP too (`veth_skb_is_eligible_for_gro`), so that goes as well.
fn without_offload(host: &Namespace) -> Result<()> {
    let wanted =
        [("tx-udp-segmentation", "off"), ("tcp-segmentation-offload", "off"), ("generic-receive-offload", "on")];
    for (feature, state) in wanted {
        host.run(&["ethtool", "-K", DEVICE, feature, state])?;
    }
    let features = host.run(&["ethtool", "-k", DEVICE])?;
    for (feature, state) in wanted {
        if !features.lines().any(|line| line.trim().starts_with(&format!("{feature}: {state}"))) {
            bail!("{feature} of a veth cannot be turned {state} on this kernel");
        }
    }
    Ok(())
}

/// A peer whose guests are the hosts themselves.
pub(super) struct Overlay {
    name: &'static str,
    guests: Namespaces,
    tunnels: Vec<u32>,
}

impl Overlay {
    pub(super) fn new(name: &'static str, underlay: Underlay, address: Ipv4Addr, tunnels: Vec<u32>) -> Result<Overlay> {
        let [near, far] = underlay.hosts;
        Ok(Overlay { name, guests: Namespaces::new(near, far, address)?, tunnels })
    }

    /// The wire itself, in clear: the limit.
    pub(super) fn plain(janitor: &Janitor, condition: Condition) -> Result<Overlay> {
        Overlay::new("veth", Underlay::new(janitor, "v", condition)?, HOSTS[1], Vec::new())
    }
}

impl Peer for Overlay {
    fn name(&self) -> &'static str {
        self.name
    }

    fn client(&self, argv: &[&str]) -> Result<Command> {
        Ok(self.guests.near.command(argv))
    }

    fn server(&self, argv: &[&str]) -> Result<Command> {
        Ok(self.guests.far.command(argv))
    }

    fn address(&self) -> Ipv4Addr {
        self.guests.address
    }

    fn switches(&self) -> &[u32] {
        &self.tunnels
    }

    fn generator(&self) -> &str {
        &self.guests.generator
    }
}

/// A tunnel's program on one host, in the foreground, with a `/run` of its own: the control sockets of WireGuard's programs have
/// fixed names there, whatever the network namespace.
pub(super) struct Daemon {
    pub(super) pid: u32,
    log: PathBuf,
}

impl Daemon {
    /// Starts it and waits until `device` is there. Its output goes to `log`.
    pub(super) fn start(
        janitor: &Janitor,
        host: &Namespace,
        argv: &[&str],
        device: &str,
        log: &Path,
    ) -> Result<Daemon> {
        let script = "mount -t tmpfs tmpfs /run && mkdir -p /run/wireguard && exec \"$@\"";
        let mut command = host.command(&[&["sh", "-c", script, "sh"], argv].concat());
        let file = std::fs::File::create(log).with_context(|| format!("cannot make {}", log.display()))?;
        // boringtun and wireguard-go ask for a word that says root is meant; and none should write a line for each packet.
        command.env("WG_SUDO", "1").env("LOG_LEVEL", "error").env("WG_LOG_LEVEL", "error");
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let child = command.spawn().with_context(|| format!("cannot start {}", argv[0]))?;
        janitor.owns_process(child.id())?;
        let daemon = Daemon { pid: child.id(), log: log.into() };
        let deadline = Instant::now() + READY;
        while !process::finish(host.command(&["ip", "link", "show", "dev", device]), READY)?.status.success() {
            if !daemon.lives() || Instant::now() >= deadline {
                bail!("{} makes no device {device}: {}", argv[0], daemon.said());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(daemon)
    }

    /// Runs a command where the program runs: same network, same `/run`.
    pub(super) fn beside(&self, argv: &[&str]) -> Result<String> {
        let pid = self.pid.to_string();
        process::run("nsenter", &[&["--target", &pid, "--mount", "--net", "--"], argv].concat())
            .with_context(|| self.said())
    }

    /// Waits until a command beside the program succeeds.
    pub(super) fn wait_for(&self, argv: &[&str]) -> Result<()> {
        let deadline = Instant::now() + READY;
        while let Err(error) = self.beside(argv) {
            if !self.lives() || Instant::now() >= deadline {
                return Err(error);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    fn lives(&self) -> bool {
        Stat::of(self.pid).is_some_and(|stat| stat.state != 'Z')
    }

    /// The end of what it said.
    fn said(&self) -> String {
        let log = std::fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let skipped = log.chars().count().saturating_sub(LOG_MAX);
        log.chars().skip(skipped).collect::<String>().trim().replace('\n', "; ")
    }
}
