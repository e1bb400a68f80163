//! Simulated hosts: network namespaces of their own, joined by an underlay that leads nowhere else.
//!
//! Two hosts are the ends of one veth pair. Any other number hangs on a bridge in a namespace that holds nothing else.
//! Nothing has a name outside: everything is held by descriptors, and goes when they (and the sockets made in there) do.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use thiserror::Error;

use crate::namespace::{create, in_netns};
use crate::netlink::{Ethtool, LinkChange, Netlink, NetlinkError};

/// What the interface of each host is called.
pub const DEVICE: &str = "underlay0";

/// The most hosts of one underlay.
pub const HOSTS_MAX: usize = 256;

/// The MTUs an underlay may have: from what IPv6 needs to the longest IP packet.
pub const MTUS: std::ops::RangeInclusive<u32> = 1280..=65_535;

/// Why there is no underlay.
#[derive(Debug, Error)]
pub enum UnderlayError {
    /// The number of hosts is out of range.
    #[error("{0} hosts asked for: at least 1 and at most {HOSTS_MAX}")]
    Hosts(usize),
    /// The MTU is out of range.
    #[error("an underlay MTU of {0} asked for: at least {first} and at most {last}", first = MTUS.start(), last = MTUS.end())]
    Mtu(u32),
    /// Two hosts have the same address.
    #[error("two hosts of an underlay have the address `{0}`: give each its own")]
    Address(IpAddr),
    /// A namespace cannot be made or entered.
    #[error("cannot make a network namespace for a host; run `peerway doctor` to see what this machine lacks")]
    Namespace(#[source] io::Error),
    /// A device cannot be made or configured.
    #[error(transparent)]
    Netlink(#[from] NetlinkError),
}

/// A simulated host.
#[derive(Debug)]
pub struct HostPlace {
    /// Its network namespace, with the interface [`DEVICE`] and a loopback, both up. A host lives as long as this
    /// descriptor, or a socket, device or process in there.
    pub netns: OwnedFd,
    /// Its addresses on the underlay, each with the length of the on-link prefix in bits.
    pub addresses: Vec<(IpAddr, u8)>,
}

/// Hosts and what joins them. Dropping it removes it, unless something else still holds the namespaces.
#[derive(Debug)]
pub struct Underlay {
    /// The hosts, in the order of [`Underlay::create`].
    pub hosts: Vec<HostPlace>,
    /// The namespace of the bridge [`SWITCH_DEVICE`] with a port for each host (`port0`, `port1`, ..); `None` where two
    /// hosts are joined directly.
    pub switch: Option<OwnedFd>,
}

/// What the bridge is called.
pub const SWITCH_DEVICE: &str = "switch0";

impl Underlay {
    /// Makes a host for each element of `hosts`, which holds its addresses (with their prefix lengths in bits), on an
    /// underlay with this MTU. Addresses are usable when this returns: interfaces have a carrier, and duplicate addresses
    /// are not looked for. There are no routes but those to the prefixes.
    ///
    /// # Errors
    /// When numbers are out of range, addresses not unique or not possible, or the caller has no `CAP_SYS_ADMIN` in its
    /// user namespace. Nothing is left then.
    pub fn create(hosts: &[Vec<(IpAddr, u8)>], mtu: u32) -> Result<Self, UnderlayError> {
        if !(1..=HOSTS_MAX).contains(&hosts.len()) {
            return Err(UnderlayError::Hosts(hosts.len()));
        }
        if !MTUS.contains(&mtu) {
            return Err(UnderlayError::Mtu(mtu));
        }
        let mut seen = BTreeSet::new();
        if let Some((twice, _)) = hosts.iter().flatten().find(|(address, _)| !seen.insert(*address)) {
            return Err(UnderlayError::Address(*twice));
        }
        let place = |addresses: &Vec<_>| Ok(HostPlace { netns: create()?, addresses: addresses.clone() });
        let hosts = hosts.iter().map(place).collect::<io::Result<Vec<_>>>().map_err(UnderlayError::Namespace)?;
        let switch = match hosts.as_slice() {
            [left, right] => {
                inside(&left.netns, || Netlink::open()?.add_veth(DEVICE, DEVICE, Some(right.netns.as_fd())))?;
                None
            }
            _ => Some(make_switch(&hosts, mtu)?),
        };
        for host in &hosts {
            inside(&host.netns, || bring_up(&mut Netlink::open()?, mtu))?;
        }
        for host in &hosts {
            inside(&host.netns, || make_usable(&mut Netlink::open()?, &host.addresses))?;
        }
        if let Some(switch) = &switch {
            inside(switch, || await_ports(hosts.len()))?;
        }
        Ok(Self { hosts, switch })
    }

    /// Switches offloads of every host's interface on or off (see [`Ethtool::set_features`]): without
    /// `tx-udp-segmentation` runs of datagrams are cut before they leave the host, as by a network card that cannot.
    ///
    /// # Errors
    /// As [`Ethtool::set_features`].
    pub fn set_features(&self, features: &[(&str, bool)]) -> Result<(), UnderlayError> {
        self.hosts.iter().try_for_each(|host| inside(&host.netns, || Ethtool::open()?.set_features(DEVICE, features)))
    }
}

/// How long an interface may take to get its carrier or an address; normally a few milliseconds.
const KERNEL_WAIT: Duration = Duration::from_secs(10);

fn inside<T: Send>(
    netns: impl AsFd,
    work: impl FnOnce() -> Result<T, NetlinkError> + Send,
) -> Result<T, UnderlayError> {
    Ok(in_netns(netns, work).map_err(UnderlayError::Namespace)??)
}

fn port(number: usize) -> String {
    format!("port{number}")
}

/// A namespace with a bridge and a port for each host, whose other end is the host's interface.
fn make_switch(hosts: &[HostPlace], mtu: u32) -> Result<OwnedFd, UnderlayError> {
    let switch = create().map_err(UnderlayError::Namespace)?;
    let ends: Vec<BorrowedFd<'_>> = hosts.iter().map(|host| host.netns.as_fd()).collect();
    inside(&switch, || {
        let mut netlink = Netlink::open()?;
        netlink.add_bridge(SWITCH_DEVICE)?;
        for (number, end) in ends.into_iter().enumerate() {
            let port = port(number);
            netlink.add_veth(&port, DEVICE, Some(end))?;
            netlink.set_master(&port, Some(SWITCH_DEVICE))?;
            netlink.set(&port, &LinkChange { up: Some(true), mtu: Some(mtu), ..LinkChange::default() })?;
        }
        netlink.set(SWITCH_DEVICE, &LinkChange { up: Some(true), mtu: Some(mtu), ..LinkChange::default() })
    })?;
    Ok(switch)
}

fn bring_up(netlink: &mut Netlink, mtu: u32) -> Result<(), NetlinkError> {
    netlink.set_up("lo", true)?;
    netlink.set(DEVICE, &LinkChange { up: Some(true), mtu: Some(mtu), ..LinkChange::default() })
}

fn make_usable(netlink: &mut Netlink, addresses: &[(IpAddr, u8)]) -> Result<(), NetlinkError> {
    netlink.wait_running(DEVICE, KERNEL_WAIT)?;
    for (address, prefix_len) in addresses {
        netlink.add_address(DEVICE, *address, *prefix_len, true)?;
    }
    addresses.iter().try_for_each(|(address, _)| netlink.wait_local(*address, KERNEL_WAIT))
}

/// A bridge forwards by a port from the moment it has a carrier.
fn await_ports(count: usize) -> Result<(), NetlinkError> {
    let mut netlink = Netlink::open()?;
    (0..count).try_for_each(|number| netlink.wait_running(&port(number), KERNEL_WAIT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_checked_before_anything_is_made() {
        let host = |text: &str| vec![(text.parse().expect("an address"), 24)];
        let none = Underlay::create(&[], 1500).expect_err("none");
        assert_eq!(none.to_string(), "0 hosts asked for: at least 1 and at most 256");
        assert!(matches!(Underlay::create(&vec![Vec::new(); HOSTS_MAX + 1], 1500), Err(UnderlayError::Hosts(257))));
        for mtu in [0, 1279, 65_536] {
            assert!(matches!(Underlay::create(&[host("198.18.0.1")], mtu), Err(UnderlayError::Mtu(m)) if m == mtu));
        }
        let twice = Underlay::create(&[host("198.18.0.1"), host("198.18.0.1")], 1500).expect_err("twice");
        assert_eq!(twice.to_string(), "two hosts of an underlay have the address `198.18.0.1`: give each its own");
    }
}
