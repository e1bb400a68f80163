//! What does the VPC router say? ARP, neighbour discovery, DHCP and "too big", answered on the spot (spec 3.5, 8.4, 11.2.1).
//!
//! Everything here is a question about one [`Port`] and the bytes of one frame. An answer is written over the question; its length is
//! that of the frame without virtio-net header. What gets no answer gets a reason:
//!
//! | the guest | reason |
//! |---|---|
//! | claims an address or a role that is not its own; claims anything unasked | D35 |
//! | uses a MAC that is not its own inside a message | D01 |
//! | asks for an address that nobody has, or of another subnet | D14 |
//! | says what needs no answer: probes its own address, leaves a group, releases a lease | D04 |
//!
//! As on AWS the router answers no ping: its addresses are owned by no interface (D14). The VPC's services (resolver, instance metadata,
//! time) are recognised by [`is_service`]; what [`crate::Services`] does not answer is dropped as sent to a reserved address (D04).

pub(crate) mod arp;
pub(crate) mod dhcpv4;
pub(crate) mod dhcpv6;
pub(crate) mod ndp;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use policy::Denied;
use wire::{EmitError, MacAddr};

use crate::port::{Port, ROUTER_LINK_LOCAL};

/// The VPC's resolver, on every link, beside the VPC's own address plus two (spec 9.1).
pub const RESOLVER_V4: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 253);
/// The VPC's resolver for IPv6 (spec 9.1).
pub const RESOLVER_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x253);
/// Instance metadata (spec 6.1.4).
pub const METADATA_V4: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);
/// Instance metadata for IPv6.
pub const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
/// Time (spec 6.1.4).
pub const TIME_V4: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 123);
/// Time for IPv6.
pub const TIME_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x123);

/// Where one of the VPC's own services answers, as seen from this port. A peer's resolver is none of ours (spec 9.1).
pub(crate) fn is_service(port: &Port, address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => [port.resolver, RESOLVER_V4, METADATA_V4, TIME_V4].contains(&v4),
        IpAddr::V6(v6) => [RESOLVER_V6, METADATA_V6, TIME_V6].contains(&v6),
    }
}

/// An address of the router itself on this port's link.
pub(crate) fn is_router(port: &Port, address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4 == port.router,
        IpAddr::V6(v6) => v6 == ROUTER_LINK_LOCAL || Some(v6) == port.router_v6(),
    }
}

/// Who is reached at an address of this link, and whether that is the router.
fn resolve(port: &Port, address: IpAddr) -> Option<(MacAddr, bool)> {
    // The VPC's own resolver address lies in its first subnet: on that link it is the router's to answer for, on others it is elsewhere.
    let is_elsewhere = address == IpAddr::V4(port.resolver) && !port.cidr.contains(port.resolver);
    if is_router(port, address) || (is_service(port, address) && !is_elsewhere) {
        return Some((port.router_mac, true));
    }
    port.neighbour(address).map(|mac| (mac, false))
}

/// An answer that does not fit the lent buffer is not given: the shell lends at least 2 KiB behind the frame's start.
fn no_room(_: EmitError) -> Denied {
    Denied::QueueFull
}
