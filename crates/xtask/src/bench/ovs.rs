//! Open vSwitch with its user-space datapath between two namespaces: as it comes, and with `userspace-tso-enable`.
//!
//! As it comes, the datapath does not know segmentation offload, so the guests must send frames of the MTU with checksums done.
//! Daemons, database and control sockets are this run's own (`OVS_RUNDIR`), in a namespace of its own; the kernel module is not
//! used.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};

use super::janitor::Janitor;
use super::network::{Namespace, veth};
use super::peer::{Namespaces, Peer};
use super::process;

const FAR: Ipv4Addr = Ipv4Addr::new(198, 18, 2, 2);
const SCHEMA: &str = "/usr/share/openvswitch/vswitch.ovsschema";

pub(super) struct OpenVSwitch {
    guests: Namespaces,
    /// Keeps its name on record; the janitor ends it.
    _switch: Namespace,
    daemon: [u32; 1],
    name: &'static str,
}

impl OpenVSwitch {
    /// `directory` must be there and be the run's own.
    pub(super) fn new(janitor: &Janitor, directory: &Path, mtu: u32, segments: bool) -> Result<OpenVSwitch> {
        let (name, short) = if segments { ("ovs-tso", "t") } else { ("ovs", "o") };
        let near = Namespace::new(janitor, &format!("{short}a"))?;
        let switch = Namespace::new(janitor, &format!("{short}s"))?;
        let far = Namespace::new(janitor, &format!("{short}b"))?;
        veth(&near, "eth0", &switch, "near", mtu)?;
        veth(&far, "eth0", &switch, "far", mtu)?;
        switch.up("near")?;
        switch.up("far")?;
        near.address("eth0", "198.18.2.1/24")?;
        far.address("eth0", &format!("{FAR}/24"))?;
        if !segments {
            near.run(&["ethtool", "-K", "eth0", "tx", "off"])?;
            far.run(&["ethtool", "-K", "eth0", "tx", "off"])?;
        }
        let place = directory.join(name);
        std::fs::create_dir(&place).with_context(|| format!("cannot make {}", place.display()))?;
        let daemon = Daemons { janitor, switch: &switch, place: &place }.start(segments)?;
        Ok(OpenVSwitch { guests: Namespaces::new(near, far, FAR)?, _switch: switch, daemon: [daemon], name })
    }
}

struct Daemons<'r> {
    janitor: &'r Janitor,
    switch: &'r Namespace,
    place: &'r Path,
}

impl Daemons<'_> {
    /// Both daemons and a bridge of the two wires; the pid of the one that carries packets.
    fn start(&self, segments: bool) -> Result<u32> {
        let database = self.place.join("conf.db");
        let database = database.to_str().context("the run's directory is not UTF-8")?;
        let socket = format!("unix:{}/db.sock", self.place.display());
        self.succeed(&["ovsdb-tool", "create", database, SCHEMA])?;
        self.spawn(&["ovsdb-server", database, &format!("--remote=p{socket}"), "--no-chdir"])?;
        let ctl = ["ovs-vsctl", "--no-wait", "--retry", "--timeout=20"];
        let db = format!("--db={socket}");
        self.succeed(&[&ctl[..], &[&db, "init"]].concat())?;
        if segments {
            self.succeed(
                &[&ctl[..], &[&db, "set", "Open_vSwitch", ".", "other_config:userspace-tso-enable=true"]].concat(),
            )?;
        }
        let daemon = self.spawn(&["ovs-vswitchd", &socket, "--no-chdir"])?;
        let bridge = ["add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=netdev"];
        let ports = ["--", "add-port", "br0", "near", "--", "add-port", "br0", "far"];
        self.succeed(&[&["ovs-vsctl", "--timeout=20", &db], &bridge[..], &ports[..]].concat())?;
        Ok(daemon)
    }

    fn command(&self, argv: &[&str]) -> Command {
        let mut command = self.switch.command(argv);
        for variable in ["OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR"] {
            command.env(variable, self.place);
        }
        command
    }

    fn succeed(&self, argv: &[&str]) -> Result<()> {
        process::succeed(self.command(argv), Duration::from_secs(30)).map(drop)
    }

    fn spawn(&self, argv: &[&str]) -> Result<u32> {
        let log = std::fs::File::create(self.place.join(format!("{}.log", argv[0])))?;
        let mut command = self.command(argv);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::from(log));
        let child = command.spawn().with_context(|| format!("cannot start {}", argv[0]))?;
        self.janitor.owns_process(child.id())?;
        Ok(child.id())
    }
}

impl Peer for OpenVSwitch {
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
        &self.daemon
    }

    fn generator(&self) -> &str {
        &self.guests.generator
    }
}
