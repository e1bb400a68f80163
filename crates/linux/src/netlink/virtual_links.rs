//! Devices that exist only in the kernel: veth pairs and bridges (rtnetlink(7), `IFLA_LINKINFO`), waiting for them to
//! carry packets, and the limit of the super-frames made for them.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::{Duration, Instant};

use super::message::Request;
use super::{
    LinkChange, NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST, Netlink, NetlinkError, failed, family, link_header,
    octets,
};

impl Netlink {
    /// Makes a veth pair: `name` here, `peer` in `peer_netns` (here too when `None`). Both are down.
    ///
    /// # Errors
    /// When a name is taken.
    pub fn add_veth(&mut self, name: &str, peer: &str, peer_netns: Option<BorrowedFd<'_>>) -> Result<(), NetlinkError> {
        let mut request = Request::new(libc::RTM_NEWLINK, MAKE, &link_header(0, 0, 0));
        request.text(libc::IFLA_IFNAME, name).nest(libc::IFLA_LINKINFO, |info| {
            info.text(IFLA_INFO_KIND, "veth").nest(IFLA_INFO_DATA, |data| {
                data.nest(VETH_INFO_PEER, |other| {
                    other.fixed(&link_header(0, 0, 0)).text(libc::IFLA_IFNAME, peer);
                    if let Some(netns) = peer_netns {
                        other.attribute(libc::IFLA_NET_NS_FD, &netns.as_raw_fd().to_ne_bytes());
                    }
                });
            });
        });
        self.command(request, format!("make veth pair `{name}` and `{peer}`"))
    }

    /// Makes a bridge without ports, with the kernel's defaults: no spanning tree and no VLANs, so a port forwards from
    /// the moment it has a carrier. It is down.
    ///
    /// # Errors
    /// When the name is taken or the kernel has no bridges.
    pub fn add_bridge(&mut self, name: &str) -> Result<(), NetlinkError> {
        let mut request = Request::new(libc::RTM_NEWLINK, MAKE, &link_header(0, 0, 0));
        request.text(libc::IFLA_IFNAME, name).nest(libc::IFLA_LINKINFO, |info| {
            info.text(IFLA_INFO_KIND, "bridge");
        });
        self.command(request, format!("make bridge `{name}`"))
    }

    /// Makes a link a port of `master` (a bridge), or takes it out of the one it is in.
    ///
    /// # Errors
    /// When one of them is missing or cannot be that.
    pub fn set_master(&mut self, name: &str, master: Option<&str>) -> Result<(), NetlinkError> {
        let index = self.index(name)?;
        let master_index = master.map_or(Ok(0), |master| self.index(master))?;
        let mut request = Request::new(libc::RTM_NEWLINK, NLM_F_REQUEST | NLM_F_ACK, &link_header(index, 0, 0));
        request.number(libc::IFLA_MASTER, master_index);
        self.command(request, format!("make link `{name}` a port of {}", master.unwrap_or("nothing")))
    }

    /// Waits until a veth or bridge is [running](super::Link::running): before, what it is given to send is lost. It must
    /// have been set up, and so must its peer.
    ///
    /// # Errors
    /// `TimedOut` when it does not within `timeout`, and when there is no such link.
    pub fn wait_running(&mut self, name: &str, timeout: Duration) -> Result<(), NetlinkError> {
        let deadline = Instant::now() + timeout;
        while !self.link(name)?.running {
            if Instant::now() >= deadline {
                return Err(failed(format!("see a carrier on link `{name}`"), io::ErrorKind::TimedOut.into()));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Waits until packets to `address`, one of a link that is up, end here. Of IPv6 the kernel takes an address first
    /// and adds the route to itself and the multicast group of its neighbours' questions a moment later.
    ///
    /// # Errors
    /// `TimedOut` when they do not within `timeout`: it is no address of this namespace, or still looks for duplicates.
    pub fn wait_local(&mut self, address: IpAddr, timeout: Duration) -> Result<(), NetlinkError> {
        let (deadline, operation) = (Instant::now() + timeout, format!("see packets to `{address}` end here"));
        let bytes = octets(address);
        // At most 128 bits.
        let bits = u8::try_from(bytes.len() * 8).unwrap_or_default();
        while Instant::now() < deadline {
            // struct rtmsg: family, destination and source prefix lengths, tos, table, protocol, scope, type, flags.
            let fixed = [family(address), bits, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
            let mut request = Request::new(libc::RTM_GETROUTE, NLM_F_REQUEST | NLM_F_ACK, &fixed);
            request.attribute(libc::RTA_DST, &bytes);
            let types = self.ask(request, &operation, libc::RTM_NEWROUTE, |payload| payload.get(7).copied());
            // No route at all is an error of its own, and one that may pass.
            if types.is_ok_and(|types| types.contains(&libc::RTN_LOCAL)) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Err(failed(operation, io::ErrorKind::TimedOut.into()))
    }

    /// Limits the super-frames that the stack makes for a link to `size` bytes, IPv4 and IPv6, and tells whether the
    /// kernel reports just that afterwards: `false` means that it knows no such limit, and super-frames of up to 64 KiB
    /// go on coming. A link that moves to another namespace takes its limit along.
    ///
    /// # Errors
    /// When there is no such link, or `size` is beyond what it can do.
    pub fn set_gso_max_size(&mut self, name: &str, size: u32) -> Result<bool, NetlinkError> {
        match self.set(name, &LinkChange { gso_max_size: Some(size), ..LinkChange::default() }) {
            Err(error) if error.source.raw_os_error() != Some(libc::EOPNOTSUPP) => return Err(error),
            _ => {}
        }
        let link = self.link(name)?;
        // Kernels without a limit of its own for IPv4 apply the general one.
        Ok(link.gso_max_size == Some(size) && link.gso_ipv4_max_size.unwrap_or(size) == size)
    }
}

const MAKE: u16 = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const VETH_INFO_PEER: u16 = 1;
