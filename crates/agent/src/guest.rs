//! A guest's devices: one TAP per interface in its network namespace, set up as DHCP would set it up.

mod sources;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::BorrowedFd;

use linux::netlink::{Link, LinkChange, MAIN_TABLE, Netlink, NetlinkError, Route};
use linux::tap::{Offloads, Tap, TapError, TapQueue};
use model::intent::VpcSlice;
use model::{NetworkInterface, Subnet};

pub(crate) use sources::{Plugged, settle};

/// Why a device could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DeviceError {
    #[error("cannot enter the instance's network namespace")]
    Namespace(#[source] io::Error),
    #[error(transparent)]
    Tap(#[from] TapError),
    #[error(transparent)]
    Netlink(#[from] NetlinkError),
    #[error("the interface is in a subnet that the server did not tell of")]
    Subnet,
}

/// Milliseconds between two questions for the same neighbour.
const RETRANS_MS: &str = "50";

/// The name of a device inside.
pub(crate) fn device_name(device_index: u32) -> String {
    format!("eth{device_index}")
}

/// A device as the packet threads need it.
pub(crate) struct Made {
    pub(crate) queues: Vec<TapQueue>,
    /// It takes UDP super-frames.
    pub(crate) takes_uso: bool,
}

/// Makes the interface's device, down and without addresses: nothing passes before its port is known. It stays when the agent ends.
/// `super_frame_max`: bytes of a super-frame that goes to another host in one send.
pub(crate) fn make(
    netns: BorrowedFd<'_>,
    interface: &NetworkInterface,
    device_index: u32,
    queues: usize,
    mtu: u16,
    super_frame_max: Option<u32>,
) -> Result<Made, DeviceError> {
    let name = device_name(device_index);
    let work = || -> Result<Made, DeviceError> {
        let mut netlink = Netlink::open()?;
        if netlink.links()?.iter().any(|link| link.name == name) {
            // A killed agent was about to bring it up, or it has other queues than are wanted now.
            netlink.delete(&name)?;
        }
        let tap = Tap::create(&name, queues, &Offloads::LADDER)?;
        tap.persist()?;
        let change = LinkChange { mac: Some(interface.mac.0), mtu: Some(mtu.into()), ..LinkChange::default() };
        netlink.set(&name, &change)?;
        if let Some(max) = super_frame_max {
            // Without it longer ones take a second send: slower, not wrong.
            netlink.set_gso_max_size(&name, max)?;
        }
        look_for_neighbours_often(&name);
        Ok(Made { takes_uso: tap.offloads.uso, queues: tap.queues })
    };
    linux::namespace::in_netns(netns, work).map_err(DeviceError::Namespace)?
}

/// A device without an agent has no carrier, and its guest forgets its neighbours. The router answers for all of them, so the next question
/// need not wait for a second, as it does by default (arp(7)); it is the guest's to change.
fn look_for_neighbours_often(name: &str) {
    for family in ["ipv4", "ipv6"] {
        // Slower without, not wrong; IPv6 may be off.
        let _ = std::fs::write(format!("/proc/sys/net/{family}/neigh/{name}/retrans_time_ms"), RETRANS_MS);
    }
}

/// Attaches to the interface's device that an earlier agent made, as its guest has it now; `None`: it is not there.
pub(crate) fn attach(
    netns: BorrowedFd<'_>,
    interface: &NetworkInterface,
    device_index: u32,
    queues: usize,
    mtu: u16,
    super_frame_max: Option<u32>,
) -> Result<Option<Made>, DeviceError> {
    let work = || -> Result<Option<Made>, DeviceError> {
        let mut netlink = Netlink::open()?;
        let Some(link) = find(&mut netlink, interface, device_index)? else { return Ok(None) };
        let tap = Tap::attach(&link.name, queues, &Offloads::LADDER)?;
        if link.mtu > mtu.into() {
            netlink.set(&link.name, &LinkChange { mtu: Some(mtu.into()), ..LinkChange::default() })?;
        }
        if let Some(max) = super_frame_max {
            netlink.set_gso_max_size(&link.name, max)?;
        }
        Ok(Some(Made { takes_uso: tap.offloads.uso, queues: tap.queues }))
    };
    linux::namespace::in_netns(netns, work).map_err(DeviceError::Namespace)?
}

/// Removes the interface's device, if it is there; nobody is attached to it any more.
pub(crate) fn remove(
    netns: BorrowedFd<'_>,
    interface: &NetworkInterface,
    device_index: u32,
) -> Result<(), DeviceError> {
    let work = || -> Result<(), DeviceError> {
        let mut netlink = Netlink::open()?;
        Ok(find(&mut netlink, interface, device_index)?.map_or(Ok(()), |link| netlink.delete(&link.name))?)
    };
    linux::namespace::in_netns(netns, work).map_err(DeviceError::Namespace)?
}

/// The interface's device: by its MAC, for a guest may have renamed it, else by its name, for it may have another MAC.
fn find(netlink: &mut Netlink, interface: &NetworkInterface, device_index: u32) -> Result<Option<Link>, DeviceError> {
    let (name, links) = (device_name(device_index), netlink.links()?);
    let by_mac = links.iter().find(|link| link.mac == Some(interface.mac.0));
    Ok(by_mac.or_else(|| links.iter().find(|link| link.name == name)).cloned())
}

/// Brings the device up with the interface's addresses and default routes: of IPv4 on the primary one alone.
pub(crate) fn bring_up(
    netns: BorrowedFd<'_>,
    slice: &VpcSlice,
    interface: &NetworkInterface,
    device_index: u32,
) -> Result<(), DeviceError> {
    let subnet = slice.subnets.iter().find(|subnet| subnet.id == interface.subnet).ok_or(DeviceError::Subnet)?;
    let name = device_name(device_index);
    let work = || -> Result<(), DeviceError> {
        let mut netlink = Netlink::open()?;
        netlink.set_up(&name, true)?;
        set_addresses(&mut netlink, &name, subnet, interface)?;
        if device_index == 0 {
            netlink.add_route(&default_route(&name, Ipv4Addr::UNSPECIFIED.into(), subnet.router().into()))?;
        }
        route_ipv6(&mut netlink, &name, device_index, interface)
    };
    linux::namespace::in_netns(netns, work).map_err(DeviceError::Namespace)?
}

/// The metric of the first device's default route of IPv6; the next one's is behind it by one. All are ahead of what the kernel makes of
/// advertisements (1024), which the router sends to interfaces without an address, too.
const METRIC_V6: u32 = 512;

/// A default route of IPv6, as soon as there is an address to go with it: the first device may have none.
fn route_ipv6(
    netlink: &mut Netlink,
    name: &str,
    device_index: u32,
    interface: &NetworkInterface,
) -> Result<(), DeviceError> {
    if !interface.ipv6_addresses.is_empty() && carries_ipv6(&netlink.link(name)?) {
        let router = dataplane::ROUTER_LINK_LOCAL.into();
        let route = default_route(name, Ipv6Addr::UNSPECIFIED.into(), router);
        netlink.add_route_to(MAIN_TABLE, METRIC_V6 + device_index, &route)?;
    }
    Ok(())
}

/// Makes the device's addresses those of the interface; link-local ones are the guest's own.
pub(crate) fn readdress(
    netns: BorrowedFd<'_>,
    slice: &VpcSlice,
    interface: &NetworkInterface,
    device_index: u32,
) -> Result<(), DeviceError> {
    let subnet = slice.subnets.iter().find(|subnet| subnet.id == interface.subnet).ok_or(DeviceError::Subnet)?;
    let work = || -> Result<(), DeviceError> {
        let mut netlink = Netlink::open()?;
        // One that its guest deleted is made again, with its addresses.
        let Some(Link { name, .. }) = find(&mut netlink, interface, device_index)? else { return Ok(()) };
        set_addresses(&mut netlink, &name, subnet, interface)?;
        route_ipv6(&mut netlink, &name, device_index, interface)
    };
    linux::namespace::in_netns(netns, work).map_err(DeviceError::Namespace)?
}

fn set_addresses(
    netlink: &mut Netlink,
    name: &str,
    subnet: &Subnet,
    interface: &NetworkInterface,
) -> Result<(), DeviceError> {
    let link = netlink.link(name)?;
    let there = netlink.addresses()?.into_iter().filter(|address| address.link == link.index);
    let there: Vec<_> = there.filter(|address| subnet.contains(address.address)).collect();
    for address in &there {
        if !interface.owns(address.address) {
            netlink.delete_address(name, address.address, address.prefix_len)?;
        }
    }
    let carried = interface.addresses().filter(|address| address.is_ipv4() || carries_ipv6(&link));
    for address in carried.filter(|address| there.iter().all(|known| known.address != *address)) {
        let prefix_len = match address {
            IpAddr::V4(_) => subnet.cidr.prefix_len(),
            IpAddr::V6(_) => subnet.ipv6.map_or(128, |v6| v6.cidr.prefix_len()),
        };
        // The router answers for every address, so there is no duplicate to look for.
        netlink.add_address(name, address, prefix_len, true)?;
    }
    Ok(())
}

/// A device whose MTU is below what IPv6 wants takes no address of it.
fn carries_ipv6(link: &Link) -> bool {
    link.mtu >= u32::from(dataplane::MTU_MIN)
}

fn default_route(device: &str, any: IpAddr, router: IpAddr) -> Route {
    Route { destination: (any, 0), gateway: Some(router), device: device.into(), onlink: true }
}
