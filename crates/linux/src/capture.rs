//! Looking at the frames of one interface, in both directions, as tcpdump does (packet(7)).
//!
//! A frame is seen as the kernel has it: one that leaves as a super-frame is one frame of up to 64 KiB here, with its
//! checksum still to be filled in, and a VLAN tag that the device took off is put back where it was.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::{Duration, SystemTime};

use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use thiserror::Error;

use crate::netlink::{Netlink, NetlinkError};
use crate::socket::{Control, control_space, enlarge_receive_buffer, find_control, i32_at, set_option};

/// A buffer of this many bytes cuts no frame.
pub const FRAME_LEN_MAX: usize = crate::tap::FRAME_BUFFER_LEN;

/// Why an interface cannot be looked at.
#[derive(Debug, Error)]
pub enum CaptureError {
    /// There is no such interface.
    #[error(transparent)]
    Link(#[from] NetlinkError),
    /// A step was refused; without `CAP_NET_RAW` over the namespace it is the first.
    #[error("cannot {step} for a capture on link `{device}`")]
    Step {
        /// The interface.
        device: String,
        /// What was refused.
        step: &'static str,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
}

/// Which way a frame went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// It came in by the interface, for this host or (in promiscuous mode, or broadcast) any other.
    Incoming,
    /// It went out.
    Outgoing,
}

/// What is known of a frame besides its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Captured {
    /// How many bytes of it are in the buffer.
    pub len: usize,
    /// How many it had.
    pub wire_len: usize,
    /// When the kernel saw it; `None` if it does not say.
    pub time: Option<SystemTime>,
    /// Which way it went.
    pub direction: Direction,
}

/// How many frames there were since [`Capture::open`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Frames kept for us, read or still to be read.
    pub received: u64,
    /// Frames lost because we did not read fast enough.
    pub dropped: u64,
}

/// A non-blocking socket that sees all frames of one interface, for the use of one thread.
#[derive(Debug)]
pub struct Capture {
    fd: OwnedFd,
    statistics: Statistics,
}

impl Capture {
    /// Begins to look at the interface `device` of the network namespace of the calling thread.
    ///
    /// # Errors
    /// When there is no such interface, or the caller has no `CAP_NET_RAW` over the namespace.
    pub fn open(device: &str) -> Result<Self, CaptureError> {
        let index = Netlink::open()?.link(device)?.index;
        let step = |step| move |source| CaptureError::Step { device: device.to_owned(), step, source };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        // Without a protocol it sees nothing until it is bound: no frame of another interface gets in before.
        let fd = rustix::net::socket_with(AddressFamily::PACKET, SocketType::RAW, flags, None)
            .map_err(|e| step("open a packet socket")(e.into()))?;
        enlarge_receive_buffer(&fd).map_err(step("size the receive buffer"))?;
        let on = |level, option| set_option(fd.as_fd(), level, option, 1);
        on(libc::SOL_SOCKET, libc::SO_TIMESTAMPNS).map_err(step("ask for timestamps"))?;
        on(libc::SOL_PACKET, PACKET_AUXDATA).map_err(step("ask for VLAN tags"))?;
        bind(fd.as_fd(), index).map_err(step("bind a packet socket"))?;
        Ok(Self { fd, statistics: Statistics::default() })
    }

    /// The next frame, from its Ethernet header on, into `buffer`; what is beyond it is cut off, so its length is the
    /// snapshot length. `WouldBlock` when there is none.
    ///
    /// # Errors
    /// The kernel's; `NetworkDown` comes once each time the interface goes down or away.
    pub fn recv(&self, buffer: &mut [u8]) -> io::Result<Captured> {
        let mut control = Control([0; CONTROL_LEN]);
        // SAFETY: all zero is a valid value of this plain C struct.
        let mut from: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        let mut piece = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
        // SAFETY: all zero is a valid value of this plain C struct: no name, no buffers, no control messages.
        let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
        header.msg_name = (&raw mut from).cast();
        header.msg_namelen = LINK_NAME_LEN;
        header.msg_iov = &raw mut piece;
        header.msg_iovlen = 1;
        header.msg_control = control.0.as_mut_ptr().cast();
        header.msg_controllen = CONTROL_LEN as _;
        // SAFETY: the header points at a name, a piece, a buffer and control space that live and are not touched
        // otherwise during the call, each with its true length.
        let code = unsafe { libc::recvmsg(self.fd.as_raw_fd(), &raw mut header, libc::MSG_TRUNC | libc::MSG_DONTWAIT) };
        // MSG_TRUNC: the length it had.
        let wire_len = usize::try_from(code).map_err(|_| io::Error::last_os_error())?;
        let len = wire_len.min(buffer.len());
        let tag = find_control(&control.0, libc::SOL_PACKET, PACKET_AUXDATA).and_then(vlan_tag);
        let (len, wire_len) = tag.map_or((len, wire_len), |tag| (put_tag(buffer, len, tag), wire_len + tag.len()));
        let time = find_control(&control.0, libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS).and_then(timestamp);
        let direction = if from.sll_pkttype == PACKET_OUTGOING { Direction::Outgoing } else { Direction::Incoming };
        Ok(Captured { len, wire_len, time, direction })
    }

    /// How many frames there were.
    ///
    /// # Errors
    /// The kernel's.
    pub fn statistics(&mut self) -> io::Result<Statistics> {
        // struct tpacket_stats: frames, those dropped included, and frames dropped.
        let mut counts = [0_u32; 2];
        let mut len = libc::socklen_t::try_from(size_of_val(&counts)).unwrap_or_default();
        let (fd, counted) = (self.fd.as_raw_fd(), counts.as_mut_ptr().cast());
        // SAFETY: the pointer and length are those of `counts`, which lives during the call.
        let code = unsafe { libc::getsockopt(fd, libc::SOL_PACKET, PACKET_STATISTICS, counted, &raw mut len) };
        if code != 0 {
            return Err(io::Error::last_os_error());
        }
        // The kernel starts from zero at every look.
        self.statistics.received += u64::from(counts[0].saturating_sub(counts[1]));
        self.statistics.dropped += u64::from(counts[1]);
        Ok(self.statistics)
    }

    /// How many bytes of frames the kernel keeps for us at most, its own records of them included.
    ///
    /// # Errors
    /// The kernel's.
    pub fn buffer_len(&self) -> io::Result<usize> {
        Ok(sockopt::socket_recv_buffer_size(&self.fd)?)
    }
}

impl AsFd for Capture {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

const PACKET_OUTGOING: u8 = 4;
const PACKET_STATISTICS: libc::c_int = 6;
const PACKET_AUXDATA: libc::c_int = 8;
const TP_STATUS_VLAN_VALID: u32 = 1 << 4;
const TP_STATUS_VLAN_TPID_VALID: u32 = 1 << 6;
/// Where a VLAN tag stands: behind the two hardware addresses.
const TAG_AT: usize = 12;
const TAG_LEN: usize = 4;
/// `struct timespec`, and `struct tpacket_auxdata`: four words and four half-words, rounded up to words.
const CONTROL_LEN: usize = control_space(16) + control_space(20);
const LINK_NAME_LEN: libc::socklen_t = size_of::<libc::sockaddr_ll>() as libc::socklen_t;

fn bind(fd: BorrowedFd<'_>, index: u32) -> io::Result<()> {
    // SAFETY: all zero is a valid value of this plain C struct.
    let mut name: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    // The constants are 17 and 3.
    name.sll_family = libc::c_ushort::try_from(libc::AF_PACKET).unwrap_or_default();
    name.sll_protocol = u16::try_from(libc::ETH_P_ALL).unwrap_or_default().to_be();
    name.sll_ifindex = libc::c_int::try_from(index).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    // SAFETY: the pointer and length are those of `name`, which lives during the call.
    let code = unsafe { libc::bind(fd.as_raw_fd(), (&raw const name).cast(), LINK_NAME_LEN) };
    if code == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The tag that the device took off, from `struct tpacket_auxdata`: status, two lengths, two offsets, TCI, TPID.
fn vlan_tag(auxiliary: &[u8]) -> Option<[u8; TAG_LEN]> {
    let half = |at: usize| Some(u16::from_ne_bytes(*auxiliary.get(at..)?.first_chunk()?));
    let status = u32::from_ne_bytes(*auxiliary.first_chunk()?);
    if status & TP_STATUS_VLAN_VALID == 0 {
        return None;
    }
    let protocol = if status & TP_STATUS_VLAN_TPID_VALID == 0 { 0x8100 } else { half(18)? };
    let ([p0, p1], [t0, t1]) = (protocol.to_be_bytes(), half(16)?.to_be_bytes());
    Some([p0, p1, t0, t1])
}

/// Puts a tag into a frame of `len` bytes at the beginning of `buffer`, as far as there is room; its new length.
fn put_tag(buffer: &mut [u8], len: usize, tag: [u8; TAG_LEN]) -> usize {
    let new_len = (len + TAG_LEN).min(buffer.len());
    if len >= TAG_AT && new_len >= TAG_AT + TAG_LEN {
        buffer.copy_within(TAG_AT..new_len - TAG_LEN, TAG_AT + TAG_LEN);
        buffer[TAG_AT..TAG_AT + TAG_LEN].copy_from_slice(&tag);
        return new_len;
    }
    len
}

/// `struct timespec`: seconds since 1970 and nanoseconds, words of the machine.
fn timestamp(value: &[u8]) -> Option<SystemTime> {
    let (seconds, nanos) = value.split_at_checked(value.len() / 2)?;
    let number = |bytes: &[u8]| match bytes.len() {
        8 => u64::try_from(i64::from_ne_bytes(*bytes.first_chunk()?)).ok(),
        4 => u64::try_from(i32_at(bytes, 0)?).ok(),
        _ => None,
    };
    let nanos = u32::try_from(number(nanos)?).ok().filter(|n| *n < 1_000_000_000)?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::new(number(seconds)?, nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_goes_back_to_its_place() {
        let mut auxiliary = [0; 20];
        assert_eq!(vlan_tag(&auxiliary), None);
        auxiliary[0..4].copy_from_slice(&TP_STATUS_VLAN_VALID.to_ne_bytes());
        auxiliary[16..18].copy_from_slice(&7_u16.to_ne_bytes());
        let tag = vlan_tag(&auxiliary).expect("a tag");
        assert_eq!(tag, [0x81, 0, 0, 7]);
        let mut buffer: Vec<u8> = (0..20).collect();
        assert_eq!(put_tag(&mut buffer, 14, tag), 18);
        assert_eq!(buffer[..18], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 0x81, 0, 0, 7, 12, 13]);
        // A snapshot loses at its end, not in its middle; one that ends before the tag does not have it.
        assert_eq!(put_tag(&mut buffer[..16], 16, tag), 16);
        assert_eq!(put_tag(&mut buffer[..14], 14, tag), 14);
        assert_eq!(vlan_tag(&auxiliary[..3]), None);
    }

    #[test]
    fn a_timestamp_is_seconds_and_nanoseconds() {
        let value = [1_800_000_000_i64.to_ne_bytes(), 5_i64.to_ne_bytes()].concat();
        assert_eq!(timestamp(&value), Some(SystemTime::UNIX_EPOCH + Duration::new(1_800_000_000, 5)));
        let late = [0_i64.to_ne_bytes(), 1_000_000_000_i64.to_ne_bytes()].concat();
        assert_eq!([timestamp(&late), timestamp(&[]), timestamp(&[0; 7])], [None; 3]);
    }
}
