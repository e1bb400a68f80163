//! Nebula between two hosts that know each other's address, with AES-GCM and no lighthouse.

use std::path::Path;

use anyhow::{Context, Result};

use super::janitor::Janitor;
use super::process;
use super::underlay::{Condition, Daemon, GUESTS, HOSTS, Overlay, Underlay};

const DEVICE: &str = "neb0";
const PORT: u16 = 4242;
/// Underlay headers and Nebula's own, with room to spare.
const OVERHEAD: u32 = 100;

/// `directory` must be there and be the run's own.
pub(super) fn start(janitor: &Janitor, directory: &Path, condition: Condition) -> Result<Overlay> {
    let underlay = Underlay::new(janitor, "n", condition)?;
    let place = directory.join("nebula");
    std::fs::create_dir(&place).with_context(|| format!("cannot make {}", place.display()))?;
    let path = |name: &str| place.join(name).to_str().map(String::from).context("the run's directory is not UTF-8");
    let (authority, key) = (path("ca.crt")?, path("ca.key")?);
    process::run("nebula-cert", &["ca", "-name", "bench", "-out-crt", &authority, "-out-key", &key])?;
    let mut tunnels = Vec::new();
    for (here, there) in [(0, 1), (1, 0)] {
        let file = |end: &str| path(&format!("{here}.{end}"));
        let (certificate, own, config) = (file("crt")?, file("key")?, file("yml")?);
        let (name, address) = (format!("host{here}"), format!("{}/24", GUESTS[here]));
        let sign = ["sign", "-ca-crt", &authority, "-ca-key", &key, "-name", &name, "-ip", &address];
        process::run("nebula-cert", &[&sign[..], &["-out-crt", &certificate, "-out-key", &own]].concat())?;
        let text = format!(
            "pki: {{ca: {authority}, cert: {certificate}, key: {own}}}
static_host_map: {{\"{}\": [\"{}:{PORT}\"]}}
lighthouse: {{am_lighthouse: false, hosts: []}}
listen: {{host: 0.0.0.0, port: {PORT}, batch: 64, read_buffer: 10485760, write_buffer: 10485760}}
routines: 1
cipher: aes
tun: {{disabled: false, dev: {DEVICE}, mtu: {}, tx_queue: 500}}
logging: {{level: warning, format: text}}
firewall:
  outbound: [{{port: any, proto: any, host: any}}]
  inbound: [{{port: any, proto: any, host: any}}]
",
            GUESTS[there],
            HOSTS[there],
            condition.mtu - OVERHEAD
        );
        std::fs::write(&config, text).with_context(|| format!("cannot write {config}"))?;
        let (argv, log) = (["nebula", "-config", &config], place.join(format!("{here}.log")));
        tunnels.push(Daemon::start(janitor, &underlay.hosts[here], &argv, DEVICE, &log)?.pid);
    }
    Overlay::new("nebula", underlay, GUESTS[1], tunnels)
}
