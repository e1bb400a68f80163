//! The kernel as router between two namespaces, without rules or with nftables keeping state.

use std::net::Ipv4Addr;
use std::process::Command;

use anyhow::Result;

use super::janitor::Janitor;
use super::network::{Namespace, veth};
use super::peer::{Namespaces, Peer};

const FAR: Ipv4Addr = Ipv4Addr::new(198, 18, 1, 2);
/// Ports of rules that match nothing, before the one that does: what a security group of some size costs.
const OTHER_RULES: u16 = 50;

pub(super) struct KernelRouter {
    guests: Namespaces,
    /// Keeps its name on record; the janitor ends it.
    _router: Namespace,
    name: &'static str,
}

impl KernelRouter {
    pub(super) fn new(janitor: &Janitor, mtu: u32, with_rules: bool) -> Result<KernelRouter> {
        let (name, short) = if with_rules { ("nftables", "n") } else { ("kernel", "k") };
        let near = Namespace::new(janitor, &format!("{short}a"))?;
        let router = Namespace::new(janitor, &format!("{short}r"))?;
        let far = Namespace::new(janitor, &format!("{short}b"))?;
        veth(&near, "eth0", &router, "near", mtu)?;
        veth(&far, "eth0", &router, "far", mtu)?;
        router.address("near", "198.18.0.1/24")?;
        router.address("far", "198.18.1.1/24")?;
        near.address("eth0", "198.18.0.2/24")?;
        far.address("eth0", &format!("{FAR}/24"))?;
        near.default_route("198.18.0.1")?;
        far.default_route("198.18.1.1")?;
        router.run(&["sysctl", "-q", "-w", "net.ipv4.ip_forward=1"])?;
        if with_rules {
            router.run(&["nft", &rules()])?;
        }
        Ok(KernelRouter { guests: Namespaces::new(near, far, FAR)?, _router: router, name })
    }
}

/// What a stateful firewall would say about the traffic of this bench.
fn rules() -> String {
    let others: String = (0..OTHER_RULES).map(|n| format!("tcp dport {} accept\n", 20_000 + n)).collect();
    format!(
        "table ip bench {{
chain forwarded {{
type filter hook forward priority 0; policy drop;
ct state established,related accept
ct state invalid drop
{others}tcp dport 5201 ct state new accept
udp dport 7000 ct state new accept
ip protocol icmp accept
}}
}}"
    )
}

impl Peer for KernelRouter {
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
        &[]
    }

    fn generator(&self) -> &str {
        &self.guests.generator
    }
}
