//! Network namespaces of this run and the wires between them (ip-netns(8), veth(4)).

use std::process::Command;

use anyhow::{Context, Result};

use super::janitor::Janitor;
use super::process::run;

/// A namespace that carries this process's id in its name; the janitor removes it.
#[derive(Debug)]
pub(super) struct Namespace {
    name: String,
}

impl Namespace {
    /// Makes one, with its loopback up. It has no way out until [`veth`] gives it one.
    pub(super) fn new(janitor: &Janitor, role: &str) -> Result<Namespace> {
        let name = format!("pwbench{}-{role}", std::process::id());
        run("ip", &["netns", "add", &name]).context("network namespaces need root")?;
        janitor.owns_namespace(&name)?;
        run("ip", &["-n", &name, "link", "set", "lo", "up"])?;
        Ok(Namespace { name })
    }

    /// A command that runs inside.
    pub(super) fn command(&self, argv: &[&str]) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]).args(argv);
        command
    }

    /// Runs a command inside.
    pub(super) fn run(&self, argv: &[&str]) -> Result<String> {
        let words = [&["netns", "exec", &self.name], argv].concat();
        run("ip", &words)
    }

    /// Gives a device an address and brings it up.
    pub(super) fn address(&self, device: &str, address: &str) -> Result<()> {
        run("ip", &["-n", &self.name, "address", "add", address, "dev", device])?;
        self.up(device)
    }

    pub(super) fn up(&self, device: &str) -> Result<()> {
        run("ip", &["-n", &self.name, "link", "set", device, "up"]).map(drop)
    }

    /// Removes it before the run ends.
    pub(super) fn remove(self) -> Result<()> {
        run("ip", &["netns", "delete", &self.name]).map(drop)
    }

    pub(super) fn default_route(&self, via: &str) -> Result<()> {
        run("ip", &["-n", &self.name, "route", "add", "default", "via", via]).map(drop)
    }
}

/// Joins two namespaces by a wire whose ends are made inside them.
pub(super) fn veth(a: &Namespace, device_a: &str, b: &Namespace, device_b: &str, mtu: u32) -> Result<()> {
    let mtu = mtu.to_string();
    let end_a = ["link", "add", device_a, "netns", &a.name, "mtu", &mtu, "type", "veth"];
    let end_b = ["peer", "name", device_b, "netns", &b.name, "mtu", &mtu];
    run("ip", &[&end_a[..], &end_b[..]].concat()).map(drop)
}
