//! Links, addresses and routes of one network namespace, over a blocking routing-netlink socket (rtnetlink(7)).
//!
//! A [`Netlink`] belongs to the namespace in which the thread that opened it was at that moment, and stays there
//! wherever it is used later. Every error names the operation and the device. The offloads of a device are the business
//! of [`Ethtool`], in the same manner.

mod ethtool;
mod local;
mod message;
mod rules;
mod virtual_links;

pub use ethtool::{Ethtool, FEATURES_MAX};
pub use rules::{MAIN_TABLE, Rule};

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use message::{Message, Request, attributes, i32_at, messages, text, u32_at};
use rustix::net::{AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, netlink};
use thiserror::Error;

/// The most datagrams one answer may have (each holds many links, addresses or routes).
pub const ANSWER_MAX: usize = 100_000;

/// An operation that the kernel refused.
#[derive(Debug, Error)]
#[error("cannot {operation}")]
pub struct NetlinkError {
    /// What was to be done, with the device by name.
    pub operation: String,
    /// The kernel's answer.
    #[source]
    pub source: io::Error,
}

/// A network interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Index within its namespace.
    pub index: u32,
    /// Name within its namespace.
    pub name: String,
    /// Hardware address; `None` where a link has none of six bytes.
    pub mac: Option<[u8; 6]>,
    /// Largest packet in bytes, without Ethernet header.
    pub mtu: u32,
    /// Whether it is set up (not: whether it has a carrier).
    pub up: bool,
    /// Whether it has a carrier and carries packets: its operational state is `up` (RFC 2863). Devices that never look,
    /// like a loopback, do not have that state.
    pub running: bool,
    /// Largest super-frame in bytes that the stack makes for it; for IPv6 only where there is a
    /// [`gso_ipv4_max_size`](Self::gso_ipv4_max_size).
    pub gso_max_size: Option<u32>,
    /// Largest super-frame in bytes of IPv4; `None` where the kernel has no such limit of its own (before 6.3).
    pub gso_ipv4_max_size: Option<u32>,
}

/// What [`Netlink::set`] changes of a link; `None` stays as it is. The link must be down to be renamed by old kernels.
#[derive(Clone, Copy, Debug, Default)]
pub struct LinkChange<'a> {
    /// Up or down.
    pub up: Option<bool>,
    /// Largest packet in bytes, without Ethernet header.
    pub mtu: Option<u32>,
    /// Hardware address.
    pub mac: Option<[u8; 6]>,
    /// New name.
    pub name: Option<&'a str>,
    /// Largest super-frame in bytes, for IPv4 and IPv6, that the stack makes for it.
    pub gso_max_size: Option<u32>,
    /// Largest super-frame in bytes, for IPv4 and IPv6, that the stack merges from it.
    pub gro_max_size: Option<u32>,
    /// Whether it looks for its neighbours' hardware addresses (ARP, neighbour discovery); without, everything has its own.
    pub arp: Option<bool>,
    /// Another network namespace to move to.
    pub netns: Option<BorrowedFd<'a>>,
}

/// An address of a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Index of the link.
    pub link: u32,
    /// The address.
    pub address: IpAddr,
    /// Length of the on-link prefix in bits.
    pub prefix_len: u8,
    /// Still being checked for duplicates, so not usable yet.
    pub tentative: bool,
}

/// A unicast route of the main table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Destination: first address and prefix length in bits (`0.0.0.0/0` is the default route).
    pub destination: (IpAddr, u8),
    /// Next hop; `None`: on-link.
    pub gateway: Option<IpAddr>,
    /// The device to send through.
    pub device: String,
    /// The next hop is on the link although no prefix of an address says so.
    pub onlink: bool,
}

/// A netlink socket.
#[derive(Debug)]
pub struct Netlink {
    socket: OwnedFd,
    sequence: u32,
}

impl Netlink {
    /// Opens a socket in the network namespace of the calling thread.
    ///
    /// # Errors
    /// The kernel's.
    pub fn open() -> Result<Self, NetlinkError> {
        // No protocol is protocol 0, NETLINK_ROUTE.
        Self::open_protocol(None)
    }

    fn open_protocol(protocol: Option<Protocol>) -> Result<Self, NetlinkError> {
        let open = || {
            let (family, flags) = (AddressFamily::NETLINK, SocketFlags::CLOEXEC);
            let socket = rustix::net::socket_with(family, SocketType::RAW, flags, protocol)?;
            rustix::net::bind(&socket, &netlink::SocketAddrNetlink::new(0, 0))?;
            Ok(socket)
        };
        let socket = open().map_err(|e: rustix::io::Errno| failed("open a netlink socket", e.into()))?;
        Ok(Self { socket, sequence: 0 })
    }

    /// The link called `name`.
    ///
    /// # Errors
    /// When there is none.
    pub fn link(&mut self, name: &str) -> Result<Link, NetlinkError> {
        let operation = format!("find link `{name}`");
        let mut request = Request::new(libc::RTM_GETLINK, NLM_F_REQUEST | NLM_F_ACK, &link_header(0, 0, 0));
        request.text(libc::IFLA_IFNAME, name);
        let links = self.ask(request, &operation, libc::RTM_NEWLINK, parse_link)?;
        links.into_iter().next().ok_or_else(|| failed(operation, io::ErrorKind::NotFound.into()))
    }

    /// All links.
    ///
    /// # Errors
    /// The kernel's.
    pub fn links(&mut self) -> Result<Vec<Link>, NetlinkError> {
        let request = Request::new(libc::RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP, &link_header(0, 0, 0));
        self.ask(request, "list links", libc::RTM_NEWLINK, parse_link)
    }

    /// Changes a link.
    ///
    /// # Errors
    /// When there is no such link, or the kernel refuses a change; earlier ones of the same call may have been made.
    pub fn set(&mut self, name: &str, change: &LinkChange<'_>) -> Result<(), NetlinkError> {
        let index = self.index(name)?;
        let flag = |is_set: Option<bool>, bit: u32| is_set.map_or((0, 0), |is_set| (if is_set { bit } else { 0 }, bit));
        let (up, no_arp) = (flag(change.up, IFF_UP), flag(change.arp.map(|arp| !arp), IFF_NOARP));
        let (flags, mask) = (up.0 | no_arp.0, up.1 | no_arp.1);
        let mut request = Request::new(libc::RTM_NEWLINK, NLM_F_REQUEST | NLM_F_ACK, &link_header(index, flags, mask));
        if let Some(mtu) = change.mtu {
            request.number(libc::IFLA_MTU, mtu);
        }
        if let Some(mac) = change.mac {
            request.attribute(libc::IFLA_ADDRESS, &mac);
        }
        if let Some(new) = change.name {
            request.text(libc::IFLA_IFNAME, new);
        }
        if let Some(size) = change.gso_max_size {
            request.number(IFLA_GSO_MAX_SIZE, size).number(IFLA_GSO_IPV4_MAX_SIZE, size);
        }
        if let Some(size) = change.gro_max_size {
            request.number(IFLA_GRO_MAX_SIZE, size).number(IFLA_GRO_IPV4_MAX_SIZE, size);
        }
        if let Some(netns) = change.netns {
            request.attribute(libc::IFLA_NET_NS_FD, &netns.as_raw_fd().to_ne_bytes());
        }
        self.command(request, format!("{} of link `{name}`", describe_change(change)))
    }

    /// Sets a link up or down.
    ///
    /// # Errors
    /// As [`Netlink::set`].
    pub fn set_up(&mut self, name: &str, up: bool) -> Result<(), NetlinkError> {
        self.set(name, &LinkChange { up: Some(up), ..LinkChange::default() })
    }

    /// Deletes a link (and its veth peer).
    ///
    /// # Errors
    /// When there is no such link or it cannot be deleted.
    pub fn delete(&mut self, name: &str) -> Result<(), NetlinkError> {
        let index = self.index(name)?;
        let request = Request::new(libc::RTM_DELLINK, NLM_F_REQUEST | NLM_F_ACK, &link_header(index, 0, 0));
        self.command(request, format!("delete link `{name}`"))
    }

    /// All addresses of all links.
    ///
    /// # Errors
    /// The kernel's.
    pub fn addresses(&mut self) -> Result<Vec<Address>, NetlinkError> {
        let request = Request::new(libc::RTM_GETADDR, NLM_F_REQUEST | NLM_F_DUMP, &[0; 8]);
        self.ask(request, "list addresses", libc::RTM_NEWADDR, parse_address)
    }

    /// Adds an address to a link. With `nodad` no duplicates of an IPv6 address are looked for; on a link that is up it is
    /// usable as soon as the kernel gets to it ([`wait_local`](Self::wait_local)).
    ///
    /// # Errors
    /// When the link is missing or has the address already.
    pub fn add_address(
        &mut self,
        device: &str,
        address: IpAddr,
        prefix_len: u8,
        nodad: bool,
    ) -> Result<(), NetlinkError> {
        let flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;
        let mut request = self.address_request(libc::RTM_NEWADDR, flags, device, address, prefix_len)?;
        if nodad && address.is_ipv6() {
            request.number(libc::IFA_FLAGS, IFA_F_NODAD);
        }
        self.command(request, format!("add address {address}/{prefix_len} to link `{device}`"))
    }

    /// Takes an address from a link.
    ///
    /// # Errors
    /// When the link is missing or does not have it.
    pub fn delete_address(&mut self, device: &str, address: IpAddr, prefix_len: u8) -> Result<(), NetlinkError> {
        let request =
            self.address_request(libc::RTM_DELADDR, NLM_F_REQUEST | NLM_F_ACK, device, address, prefix_len)?;
        self.command(request, format!("delete address {address}/{prefix_len} of link `{device}`"))
    }

    /// Adds a route, or replaces the one with the same destination.
    ///
    /// # Errors
    /// When the device is missing or down, or the gateway cannot be reached through it.
    pub fn add_route(&mut self, route: &Route) -> Result<(), NetlinkError> {
        let flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE;
        let request = self.route_request(libc::RTM_NEWROUTE, flags, route)?;
        self.command(request, format!("add {}", describe_route(route)))
    }

    /// Deletes a route.
    ///
    /// # Errors
    /// When there is no such route.
    pub fn delete_route(&mut self, route: &Route) -> Result<(), NetlinkError> {
        let request = self.route_request(libc::RTM_DELROUTE, NLM_F_REQUEST | NLM_F_ACK, route)?;
        self.command(request, format!("delete {}", describe_route(route)))
    }

    fn index(&mut self, name: &str) -> Result<u32, NetlinkError> {
        Ok(self.link(name)?.index)
    }

    fn address_request(
        &mut self,
        kind: u16,
        flags: u16,
        device: &str,
        address: IpAddr,
        prefix_len: u8,
    ) -> Result<Request, NetlinkError> {
        let index = self.index(device)?;
        // struct ifaddrmsg: family, prefix length, flags, scope, index.
        let mut fixed = [family(address), prefix_len, 0, 0, 0, 0, 0, 0];
        fixed[4..8].copy_from_slice(&index.to_ne_bytes());
        let mut request = Request::new(kind, flags, &fixed);
        let bytes = octets(address);
        request.attribute(libc::IFA_LOCAL, &bytes).attribute(libc::IFA_ADDRESS, &bytes);
        Ok(request)
    }

    fn route_request(&mut self, kind: u16, flags: u16, route: &Route) -> Result<Request, NetlinkError> {
        let index = self.index(&route.device)?;
        let (destination, prefix_len) = route.destination;
        let deleting = kind == libc::RTM_DELROUTE;
        let scope = match route.gateway {
            _ if deleting => libc::RT_SCOPE_NOWHERE,
            Some(_) => libc::RT_SCOPE_UNIVERSE,
            None => libc::RT_SCOPE_LINK,
        };
        let (protocol, unicast) = if deleting { (0, 0) } else { (libc::RTPROT_STATIC, libc::RTN_UNICAST) };
        // struct rtmsg: family, destination and source prefix lengths, tos, table, protocol, scope, type, flags.
        let mut fixed =
            [family(destination), prefix_len, 0, 0, libc::RT_TABLE_MAIN, protocol, scope, unicast, 0, 0, 0, 0];
        let onlink = if route.onlink { RTNH_F_ONLINK } else { 0 };
        fixed[8..12].copy_from_slice(&onlink.to_ne_bytes());
        let mut request = Request::new(kind, flags, &fixed);
        if prefix_len > 0 {
            request.attribute(libc::RTA_DST, &octets(destination));
        }
        if let Some(gateway) = route.gateway {
            request.attribute(libc::RTA_GATEWAY, &octets(gateway));
        }
        request.number(libc::RTA_OIF, index);
        Ok(request)
    }

    fn command(&mut self, request: Request, operation: String) -> Result<(), NetlinkError> {
        self.exchange(request, |_| {}).map_err(|source| NetlinkError { operation, source })
    }

    fn ask<T>(
        &mut self,
        request: Request,
        operation: &str,
        kind: u16,
        parse: impl Fn(&[u8]) -> Option<T>,
    ) -> Result<Vec<T>, NetlinkError> {
        let mut found = Vec::new();
        let keep = |message: Message<'_>| {
            if message.kind == kind {
                found.extend(parse(message.payload));
            }
        };
        self.exchange(request, keep).map_err(|source| failed(operation, source))?;
        Ok(found)
    }

    /// Sends a request, which asks for an acknowledgement or a dump, and gives each message of the answer to `take`, up
    /// to the one that ends it.
    fn exchange(&mut self, mut request: Request, mut take: impl FnMut(Message<'_>)) -> io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        rustix::net::send(&self.socket, request.finish(self.sequence), SendFlags::empty())?;
        let mut buffer = vec![0; 64 * 1024];
        for _ in 0..ANSWER_MAX {
            let (count, full) = rustix::net::recv(&self.socket, &mut buffer[..], RecvFlags::TRUNC)?;
            if full > buffer.len() {
                return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a datagram of {full} bytes")));
            }
            for message in messages(&buffer[..count]).filter(|m| m.sequence == self.sequence) {
                match i32::from(message.kind) {
                    libc::NLMSG_ERROR => return verdict(message.payload),
                    libc::NLMSG_DONE => return Ok(()),
                    _ => take(message),
                }
            }
        }
        Err(io::Error::new(io::ErrorKind::InvalidData, format!("an answer of more than {ANSWER_MAX} datagrams")))
    }
}

const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const NLM_F_DUMP: u16 = 0x300;
const NLM_F_EXCL: u16 = 0x200;
const NLM_F_REPLACE: u16 = 0x100;
const NLM_F_CREATE: u16 = 0x400;
const IFF_UP: u32 = 1;
const IFF_NOARP: u32 = 0x80;
const IFLA_OPERSTATE: u16 = 16;
const IF_OPER_UP: u8 = 6;
const IFLA_GSO_MAX_SIZE: u16 = 41;
const IFLA_GRO_MAX_SIZE: u16 = 58;
const IFLA_GSO_IPV4_MAX_SIZE: u16 = 63;
const IFLA_GRO_IPV4_MAX_SIZE: u16 = 64;
const IFA_F_NODAD: u32 = 2;
const IFA_F_TENTATIVE: u32 = 0x40;
const RTNH_F_ONLINK: u32 = 4;

fn failed(operation: impl Into<String>, source: io::Error) -> NetlinkError {
    NetlinkError { operation: operation.into(), source }
}

/// `struct nlmsgerr` begins with a negative errno, or 0 for success.
fn verdict(payload: &[u8]) -> io::Result<()> {
    match i32_at(payload, 0) {
        Some(0) => Ok(()),
        Some(code) => Err(io::Error::from_raw_os_error(code.saturating_neg())),
        None => Err(io::Error::new(io::ErrorKind::InvalidData, "a cut acknowledgement")),
    }
}

/// `struct ifinfomsg`: family, type, index, flags, mask of the flags to change.
fn link_header(index: u32, flags: u32, mask: u32) -> [u8; 16] {
    let mut fixed = [0; 16];
    fixed[4..8].copy_from_slice(&index.to_ne_bytes());
    fixed[8..12].copy_from_slice(&flags.to_ne_bytes());
    fixed[12..16].copy_from_slice(&mask.to_ne_bytes());
    fixed
}

fn parse_link(payload: &[u8]) -> Option<Link> {
    let mut link = Link {
        index: u32_at(payload, 4)?,
        name: String::new(),
        mac: None,
        mtu: 0,
        up: u32_at(payload, 8)? & IFF_UP != 0,
        running: false,
        gso_max_size: None,
        gso_ipv4_max_size: None,
    };
    for (kind, value) in attributes(payload.get(16..)?) {
        match kind {
            libc::IFLA_IFNAME => link.name = text(value),
            libc::IFLA_ADDRESS => link.mac = value.try_into().ok(),
            libc::IFLA_MTU => link.mtu = u32_at(value, 0)?,
            IFLA_OPERSTATE => link.running = value == [IF_OPER_UP],
            IFLA_GSO_MAX_SIZE => link.gso_max_size = u32_at(value, 0),
            IFLA_GSO_IPV4_MAX_SIZE => link.gso_ipv4_max_size = u32_at(value, 0),
            _ => {}
        }
    }
    Some(link)
}

fn parse_address(payload: &[u8]) -> Option<Address> {
    let (family, prefix_len, flags) = (*payload.first()?, *payload.get(1)?, *payload.get(2)?);
    let (mut local, mut address, mut flags) = (None, None, u32::from(flags));
    for (kind, value) in attributes(payload.get(8..)?) {
        match kind {
            libc::IFA_LOCAL => local = parse_octets(family, value),
            libc::IFA_ADDRESS => address = parse_octets(family, value),
            libc::IFA_FLAGS => flags = u32_at(value, 0)?,
            _ => {}
        }
    }
    // On point-to-point links IFA_ADDRESS is the other end; IFA_LOCAL, where present, is always ours.
    let address = local.or(address)?;
    Some(Address { link: u32_at(payload, 4)?, address, prefix_len, tentative: flags & IFA_F_TENTATIVE != 0 })
}

fn family(address: IpAddr) -> u8 {
    let family = if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    // AF_INET is 2, AF_INET6 is 10.
    u8::try_from(family).unwrap_or_default()
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

fn parse_octets(family: u8, value: &[u8]) -> Option<IpAddr> {
    match i32::from(family) {
        libc::AF_INET => <[u8; 4]>::try_from(value).ok().map(IpAddr::from),
        libc::AF_INET6 => <[u8; 16]>::try_from(value).ok().map(IpAddr::from),
        _ => None,
    }
}

fn describe_change(change: &LinkChange<'_>) -> String {
    let parts = [
        change.up.map(|up| if up { "set it up" } else { "set it down" }.to_owned()),
        change.mtu.map(|mtu| format!("set mtu {mtu}")),
        change.mac.map(|mac| format!("set mac {}", mac.map(|b| format!("{b:02x}")).join(":"))),
        change.name.map(|name| format!("set name `{name}`")),
        change.gso_max_size.map(|size| format!("set gso_max_size {size}")),
        change.gro_max_size.map(|size| format!("set gro_max_size {size}")),
        change.arp.map(|arp| if arp { "set arp on" } else { "set arp off" }.to_owned()),
        change.netns.map(|_| "change the network namespace".to_owned()),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn describe_route(route: &Route) -> String {
    let (destination, prefix_len) = route.destination;
    let gateway = route.gateway.map(|g| format!(" via {g}")).unwrap_or_default();
    format!("route {destination}/{prefix_len}{gateway} through link `{}`", route.device)
}
