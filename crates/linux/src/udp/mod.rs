//! UDP sockets for ESP in UDP (RFC 3948): many datagrams of one length leave with one system call (`UDP_SEGMENT`, the
//! kernel or the device cuts them) and arrive with one ([`UdpSocket::recv_batch`], merged by `UDP_GRO`); udp(7).
//!
//! Datagrams leave with "don't fragment": one that does not fit the path is refused with an error of its own
//! ([`is_too_big`]), and [`UdpSocket::path_mtu`] says what fits.

mod name;
mod receive;

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Mutex, PoisonError};

use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use thiserror::Error;

use crate::socket::{control_u16, enlarge_receive_buffer, enlarge_send_buffer, set_option};
use name::Name;
pub use receive::{BATCH_MAX, HEADROOM_MAX, MESSAGE_LEN_MAX, Received, RecvBatch};

/// The ports [`UdpSocket::sender`] chooses from: the dynamic ones of RFC 6335.
pub const SENDER_PORTS: std::ops::RangeInclusive<u16> = 49_152..=65_535;

/// The most bytes of datagrams in one system call: the longest payload of a UDP datagram over IPv4.
pub const SEND_LEN_MAX: usize = 65_507;

/// Why a socket could not be made.
#[derive(Debug, Error)]
#[error("cannot {step} of a udp socket on `{address}`")]
pub struct UdpError {
    /// The address of the socket.
    pub address: SocketAddr,
    /// What was refused.
    pub step: &'static str,
    /// The kernel's answer.
    #[source]
    pub source: io::Error,
}

/// A non-blocking, unconnected UDP socket of one address family.
#[derive(Debug)]
pub struct UdpSocket {
    fd: OwnedFd,
    local: SocketAddr,
    /// The most segments in one system call that the kernel has not refused, of [`LADDER`].
    segments_max: AtomicU16,
    /// The kernel tells the path MTU of connected sockets only, and of its own namespace a socket must be made in it.
    probe: Mutex<OwnedFd>,
}

impl UdpSocket {
    /// A socket on `address` in the network namespace of the calling thread. Port 0 stands for any free one. Several
    /// sockets of one user can share a port, for a thread each: the kernel spreads senders (address and port) over them.
    ///
    /// # Errors
    /// When the address is not of this namespace, or somebody else has the port.
    pub fn bind(address: SocketAddr) -> Result<Self, UdpError> {
        let step = |step| move |source| UdpError { address, step, source };
        let fd = open(address)?;
        // SO_REUSEADDR stays off: with it any user could bind the port too and take the datagrams.
        sockopt::set_socket_reuseport(&fd, true).map_err(|e| step("share the port")(e.into()))?;
        enlarge_receive_buffer(&fd).map_err(step("size the receive buffer"))?;
        // Without it every datagram comes as a message of its own: slower, not wrong (before Linux 5.0).
        match set_option(fd.as_fd(), libc::SOL_UDP, UDP_GRO, 1) {
            Err(error) if error.raw_os_error() != Some(libc::ENOPROTOOPT) => {
                return Err(step("switch on UDP_GRO")(error));
            }
            _ => {}
        }
        rustix::net::bind(&fd, &address).map_err(|e| step("bind the address")(e.into()))?;
        Self::named(fd).map_err(step("find out the address or the path"))
    }

    /// A socket for sending only, from `address` and a port of [`SENDER_PORTS`] that nobody has, chosen at random: the
    /// port is what routers and network cards tell flows apart by. What arrives at it is of no interest and dropped by
    /// the kernel after the first few datagrams.
    ///
    /// # Errors
    /// When the address is not of this namespace, or all ports are taken.
    pub fn sender(address: IpAddr) -> Result<Self, UdpError> {
        let any = SocketAddr::new(address, 0);
        let step = |step| move |source| UdpError { address: any, step, source };
        let fd = open(any)?;
        sockopt::set_socket_recv_buffer_size(&fd, 0).map_err(|e| step("size the receive buffer")(e.into()))?;
        let (count, first) = (SENDER_PORTS.len() as u64, RandomState::new().hash_one(fd.as_raw_fd()));
        for number in 0..count {
            let offset = u16::try_from((first % count + number) % count).unwrap_or_default();
            match rustix::net::bind(&fd, &SocketAddr::new(address, SENDER_PORTS.start() + offset)) {
                Ok(()) => return Self::named(fd).map_err(step("find out the address or the path")),
                Err(rustix::io::Errno::ADDRINUSE) => {}
                Err(error) => return Err(step("bind the address")(error.into())),
            }
        }
        Err(step("find a free port")(io::ErrorKind::AddrInUse.into()))
    }

    /// A socket that another process made and sent here ([`fds`](crate::fds)), in the network namespace of the calling thread; what waits
    /// in it stays. Port 0 of `address` stands for any.
    ///
    /// # Errors
    /// `InvalidInput` when it has another address, else the kernel's.
    pub fn received(fd: OwnedFd, address: SocketAddr) -> io::Result<Self> {
        let socket = Self::named(fd)?;
        let is_meant = socket.local.ip() == address.ip() && [0, socket.local.port()].contains(&address.port());
        let other = || io::Error::new(io::ErrorKind::InvalidInput, format!("a socket of {}", socket.local));
        if is_meant { Ok(socket) } else { Err(other()) }
    }

    fn named(fd: OwnedFd) -> io::Result<Self> {
        let local = SocketAddr::try_from(rustix::net::getsockname(&fd)?)?;
        let family = if local.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let probe = rustix::net::socket_with(family, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
        rustix::net::bind(&probe, &SocketAddr::new(local.ip(), 0))?;
        Ok(Self { fd, local, segments_max: AtomicU16::new(LADDER[0]), probe: Mutex::new(probe) })
    }

    /// The address and port it sends from.
    #[must_use]
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// The most datagrams that go with one system call: 1 means that the kernel or the device cannot cut them, which was
    /// found out by a refused [`send`](Self::send).
    #[must_use]
    pub fn segments_max(&self) -> u16 {
        self.segments_max.load(Ordering::Relaxed)
    }

    /// Sends `bytes` as datagrams of `segment` bytes each, the last perhaps shorter: as few system calls as the kernel
    /// and the device allow. No bytes are no datagram. Allocates nothing.
    ///
    /// # Errors
    /// [`is_too_big`] when a datagram does not fit the path; `WouldBlock` when the send buffer is full; `InvalidInput`
    /// when `segment` is 0; else the kernel's. The datagrams up to some point have been sent, the others not: whoever
    /// cares sends them again.
    pub fn send(&self, to: SocketAddr, bytes: &[u8], segment: u16) -> io::Result<()> {
        if segment == 0 {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        }
        let (segment, known) = (usize::from(segment), self.segments_max());
        let (mut name, name_len) = Name::new(to);
        let (mut rest, mut limit) = (bytes, known);
        while !rest.is_empty() {
            let (batch, later) = rest.split_at(rest.len().min(batch_len(segment, limit)));
            let sent = if limit == 1 {
                self.send_singly(&mut name, name_len, batch, segment)
            } else {
                self.send_segmented(&mut name, name_len, batch, segment)
            };
            match sent {
                Ok(()) => rest = later,
                Err(error) if limit > 1 && batch.len() > segment && refuses_segmentation(&error) => {
                    limit = next_rung(batch.len().div_ceil(segment));
                }
                Err(error) => return Err(error),
            }
        }
        // Only once the lower rung has carried everything: some refusals are about the datagrams, not about cutting.
        if limit < known {
            self.segments_max.fetch_min(limit, Ordering::Relaxed);
        }
        Ok(())
    }

    /// The largest IP packet in bytes that fits the whole way to `to`, as far as the kernel knows: the MTU of the device
    /// it leaves by, or less where a router has said so. A slow call, not for every packet.
    ///
    /// # Errors
    /// When there is no route to `to`, or it is of another family.
    pub fn path_mtu(&self, to: IpAddr) -> io::Result<u32> {
        let probe = self.probe.lock().unwrap_or_else(PoisonError::into_inner);
        // What an earlier call left: the source address and the route to somebody else.
        rustix::net::connect_unspec(&*probe)?;
        rustix::net::connect(&*probe, &SocketAddr::new(to, DISCARD_PORT))?;
        Ok(if to.is_ipv4() { sockopt::ip_mtu(&*probe) } else { sockopt::ipv6_mtu(&*probe) }?)
    }

    /// One system call for all of `batch`, which the kernel or the device cuts.
    fn send_segmented(
        &self,
        name: &mut Name,
        name_len: libc::socklen_t,
        batch: &[u8],
        segment: usize,
    ) -> io::Result<()> {
        // At most u16::MAX: it was one.
        let mut control = control_u16(libc::SOL_UDP, UDP_SEGMENT, u16::try_from(segment).unwrap_or(u16::MAX));
        let mut piece = piece(batch);
        // SAFETY: all zero is a valid value of this plain C struct: no name, no buffers, no control messages.
        let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
        header.msg_name = name.as_mut_ptr();
        header.msg_namelen = name_len;
        header.msg_iov = &raw mut piece;
        header.msg_iovlen = 1;
        if batch.len() > segment {
            header.msg_control = control.0.as_mut_ptr().cast();
            header.msg_controllen = control.0.len() as _;
        }
        // SAFETY: the header points at a name, a piece and a control message that live during the call, each with its
        // true length; sending writes to none of them.
        let code = unsafe { libc::sendmsg(self.fd.as_raw_fd(), &raw const header, libc::MSG_NOSIGNAL) };
        if code < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// A datagram for each segment of `batch`, cut here.
    fn send_singly(&self, name: &mut Name, name_len: libc::socklen_t, batch: &[u8], segment: usize) -> io::Result<()> {
        let mut rest = batch;
        while !rest.is_empty() {
            // SAFETY: all zero is a valid value of these plain C structs: no name, no buffers, no control messages.
            let mut headers: [libc::mmsghdr; SINGLY_MAX] = unsafe { std::mem::zeroed() };
            let mut pieces = [libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }; SINGLY_MAX];
            let mut count = 0;
            for ((header, slot), datagram) in headers.iter_mut().zip(&mut pieces).zip(rest.chunks(segment)) {
                *slot = piece(datagram);
                header.msg_hdr.msg_name = name.as_mut_ptr();
                header.msg_hdr.msg_namelen = name_len;
                header.msg_hdr.msg_iov = slot;
                header.msg_hdr.msg_iovlen = 1;
                count += 1;
            }
            let (fd, flags) = (self.fd.as_raw_fd(), libc::MSG_NOSIGNAL);
            // SAFETY: the first `count` headers point at a name and pieces that live during the call, each with its
            // true length; sending writes to the headers only.
            let code = unsafe { libc::sendmmsg(fd, headers.as_mut_ptr(), count, flags as _) };
            let sent = usize::try_from(code).map_err(|_| io::Error::last_os_error())?;
            // It sends at least one or fails.
            rest = &rest[rest.len().min(sent.max(1) * segment)..];
        }
        Ok(())
    }
}

impl AsFd for UdpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Whether `error` of [`UdpSocket::send`] says that a datagram is too long for the path; [`UdpSocket::path_mtu`] tells
/// what fits.
#[must_use]
pub fn is_too_big(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EMSGSIZE)
}

const UDP_SEGMENT: libc::c_int = libc::UDP_SEGMENT;
const UDP_GRO: libc::c_int = libc::UDP_GRO;

/// How many segments one system call may have: `UDP_MAX_SEGMENTS` of recent kernels, of old ones (before 6.9), and
/// where segmentation does not work at all.
const LADDER: [u16; 3] = [128, 64, 1];

/// The most datagrams of one sendmmsg(2).
const SINGLY_MAX: usize = 64;

/// Some port to connect to without sending anything (RFC 863).
const DISCARD_PORT: u16 = 9;

/// What RFC 1700 recommends; tunnels do not inherit it from the packets they carry.
const HOP_LIMIT: u8 = 64;

/// A socket of the family of `address` with all options but those that depend on its use.
fn open(address: SocketAddr) -> Result<OwnedFd, UdpError> {
    let prepare = || {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        if address.is_ipv4() {
            let fd = rustix::net::socket_with(AddressFamily::INET, SocketType::DGRAM, flags, None)?;
            sockopt::set_ip_ttl(&fd, HOP_LIMIT.into())?;
            sockopt::set_ip_mtu_discover(&fd, sockopt::Ipv4PathMtuDiscovery::DO)?;
            return Ok(fd);
        }
        let fd = rustix::net::socket_with(AddressFamily::INET6, SocketType::DGRAM, flags, None)?;
        sockopt::set_ipv6_v6only(&fd, true)?;
        sockopt::set_ipv6_unicast_hops(&fd, Some(HOP_LIMIT))?;
        sockopt::set_ipv6_mtu_discover(&fd, sockopt::Ipv6PathMtuDiscovery::DO)?;
        Ok(fd)
    };
    let step = |step| move |source| UdpError { address, step, source };
    let fd = prepare().map_err(|e: rustix::io::Errno| step("set the options")(e.into()))?;
    enlarge_send_buffer(&fd).map_err(step("size the send buffer"))?;
    Ok(fd)
}

fn piece(bytes: &[u8]) -> libc::iovec {
    libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() }
}

/// The most bytes to hand to the kernel at once. Without segmentation they are cut here, however many there are.
fn batch_len(segment: usize, limit: u16) -> usize {
    if limit == 1 { usize::MAX } else { (SEND_LEN_MAX / segment).clamp(1, limit.into()) * segment }
}

/// Where to go on after a batch of so many segments was refused.
fn next_rung(refused: usize) -> u16 {
    if refused > usize::from(LADDER[1]) { LADDER[1] } else { LADDER[2] }
}

/// `EIO` of devices without checksum offload, `EINVAL` of too many segments and of kernels and sockets that cannot cut;
/// `EOPNOTSUPP` of some drivers.
fn refuses_segmentation(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EIO | libc::EINVAL | libc::EOPNOTSUPP))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_batch_is_whole_segments_within_all_bounds(segment in 1_usize..=65_535, rung in 0_usize..2) {
            let (limit, len) = (LADDER[rung], batch_len(segment, LADDER[rung]));
            prop_assert_eq!(len % segment, 0);
            prop_assert!((1..=usize::from(limit)).contains(&(len / segment)));
            prop_assert!(len <= SEND_LEN_MAX || len == segment);
        }
    }

    #[test]
    fn the_ladder_ends_at_single_datagrams() {
        assert_eq!([128, 65, 64, 2].map(next_rung), [64, 64, 1, 1]);
        assert_eq!(batch_len(1400, 1), usize::MAX);
    }

    #[test]
    fn a_segment_of_nothing_is_refused_and_no_bytes_are_no_datagram() -> io::Result<()> {
        let receiver = UdpSocket::bind(SocketAddr::from(([127, 0, 0, 1], 0))).map_err(|e| e.source)?;
        let sender = UdpSocket::sender(receiver.local().ip()).map_err(|e| e.source)?;
        let error = sender.send(receiver.local(), b"x", 0).map_err(|e| e.kind());
        assert_eq!(error, Err(io::ErrorKind::InvalidInput));
        sender.send(receiver.local(), b"", 10)?;
        assert!(SENDER_PORTS.contains(&sender.local().port()));
        assert_eq!(receiver.recv_batch(&mut RecvBatch::new(4, 0))?, 0);
        Ok(())
    }

    #[test]
    fn the_error_names_address_and_step() {
        let error = UdpSocket::bind(SocketAddr::from(([192, 0, 2, 1], 4500))).expect_err("not ours");
        assert_eq!(error.to_string(), "cannot bind the address of a udp socket on `192.0.2.1:4500`");
        assert_eq!(error.source.kind(), io::ErrorKind::AddrNotAvailable);
    }
}
