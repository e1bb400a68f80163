//! TAP devices: how an instance's network interface reaches the data plane.
//!
//! A frame is read and written with a 10-byte virtio-net header in front (`struct virtio_net_hdr` of the virtio
//! specification, 5.1.6) and may be a super-frame of up to 64 KiB whose segmentation is left to whoever sends it on.
//! The ioctls are described in the kernel's `Documentation/networking/tuntap.rst`.

use std::fs::OpenOptions;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

use rustix::ioctl::{self, Getter, IntegerSetter, Opcode, Setter, opcode};
use thiserror::Error;

/// Length in bytes of the virtio-net header in front of every frame.
pub const VNET_HEADER_LEN: usize = 10;

/// A read buffer of this many bytes holds any frame: virtio-net header, Ethernet header, one VLAN tag and the largest
/// IP packet, rounded up to a cache line.
pub const FRAME_BUFFER_LEN: usize = (VNET_HEADER_LEN + 14 + 4 + 65_535).next_multiple_of(64);

/// The most queues one device may have (`MAX_TAP_QUEUES` in the kernel).
pub const QUEUES_MAX: usize = 256;

/// Why a TAP device could not be made.
#[derive(Debug, Error)]
pub enum TapError {
    /// The name does not fit a Linux interface name.
    #[error("`{0}` is not an interface name: 1 to 15 bytes, no `/`, no white space")]
    Name(String),
    /// The number of queues is out of range.
    #[error("{0} queues asked for tap `{1}`: at least 1 and at most {QUEUES_MAX}")]
    Queues(usize, String),
    /// `/dev/net/tun` cannot be opened.
    #[error("cannot open `/dev/net/tun` for tap `{name}`; run `peerway doctor` to see what this machine lacks")]
    Open {
        /// The device that was to be made.
        name: String,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// A step of making the device was refused.
    #[error("cannot {step} of tap `{name}`")]
    Step {
        /// The device that was to be made.
        name: String,
        /// What was refused.
        step: &'static str,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
}

/// What the kernel may leave undone in a frame it hands to us; in the words of `TUNSETOFFLOAD`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offloads {
    /// Checksums may be left to the receiver.
    pub checksum: bool,
    /// TCP over IPv4 may come as a super-frame.
    pub tso4: bool,
    /// TCP over IPv6 may come as a super-frame.
    pub tso6: bool,
    /// TCP super-frames may carry ECN marks.
    pub ecn: bool,
    /// UDP over IPv4 and IPv6 may come as a super-frame (Linux 6.2).
    pub uso: bool,
}

impl Offloads {
    /// From everything to nothing: the kernel refuses a set that holds one flag it does not know (USO before 6.2), so
    /// each rung is tried until one is taken.
    pub const LADDER: [Self; 4] = [
        Self { checksum: true, tso4: true, tso6: true, ecn: true, uso: true },
        Self { checksum: true, tso4: true, tso6: true, ecn: true, uso: false },
        Self { checksum: true, tso4: false, tso6: false, ecn: false, uso: false },
        Self { checksum: false, tso4: false, tso6: false, ecn: false, uso: false },
    ];

    fn bits(self) -> usize {
        usize::from(self.checksum)
            | usize::from(self.tso4) << 1
            | usize::from(self.tso6) << 2
            | usize::from(self.ecn) << 3
            | if self.uso { 0x60 } else { 0 }
    }
}

/// A TAP device. It lives as long as one of its queues, or, if it is [persistent](Self::persist), until the namespace it is
/// in dies or somebody in there deletes it ([`is_gone`]).
#[derive(Debug)]
pub struct Tap {
    /// Name within its network namespace.
    pub name: String,
    /// What the kernel agreed to leave to us.
    pub offloads: Offloads,
    /// The queues, in order of their attachment. The kernel spreads flows over them.
    pub queues: Vec<TapQueue>,
}

impl Tap {
    /// Makes a TAP device in the network namespace of the **calling thread** (see
    /// [`in_netns`](crate::namespace::in_netns)), offering the best rung of `ladder` that the kernel takes (normally
    /// [`Offloads::LADDER`]). The device is down and has a random MAC; [`Netlink`](crate::netlink::Netlink) sets it up.
    ///
    /// # Errors
    /// When the name or number of queues is impossible, `/dev/net/tun` cannot be opened, the caller has no
    /// `CAP_NET_ADMIN` over the namespace, or the name is taken.
    pub fn create(name: &str, queues: usize, ladder: &[Offloads]) -> Result<Self, TapError> {
        let tap = Self::open(name, queues, libc::IFF_TUN_EXCL)?;
        tap.offering(ladder)
    }

    /// Attaches to a [persistent](Self::persist) TAP device that nobody is attached to, in the network namespace of the calling
    /// thread: what it is called, its MAC and its addresses stay as they are. It must have been made for more than one queue, or
    /// for one, as now.
    ///
    /// # Errors
    /// As [`Tap::create`], except that there must be one of that name.
    pub fn attach(name: &str, queues: usize, ladder: &[Offloads]) -> Result<Self, TapError> {
        let tap = Self::open(name, queues, 0)?;
        // Where there was none the kernel has just made one, which goes with its queues.
        if !tap.queues[0].is_persistent().map_err(|e| step(name, "look at the flags", e))? {
            return Err(step(name, "attach to the device", io::Error::from(io::ErrorKind::NotFound)));
        }
        tap.offering(ladder)
    }

    /// Keeps the device when nobody is attached to it any more: it has no carrier then, and what is sent to it is lost.
    ///
    /// # Errors
    /// The kernel's.
    pub fn persist(&self) -> Result<(), TapError> {
        // SAFETY: TUNSETPERSIST takes its switch by value.
        let set = unsafe { IntegerSetter::<SET_PERSIST>::new_usize(1) };
        // SAFETY: the queue is an attached tun descriptor and `set` the ioctl it understands.
        unsafe { ioctl::ioctl(&self.queues[0].fd, set) }.map_err(|e| step(&self.name, "make a persistent device", e))
    }

    fn open(name: &str, queues: usize, first: libc::c_int) -> Result<Self, TapError> {
        let name_bytes = interface_name(name)?;
        if !(1..=QUEUES_MAX).contains(&queues) {
            return Err(TapError::Queues(queues, name.to_owned()));
        }
        let multi_queue = if queues > 1 { libc::IFF_MULTI_QUEUE } else { 0 };
        let flags = libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR | multi_queue;
        let mut tap = Self { name: name.to_owned(), offloads: Offloads::default(), queues: Vec::with_capacity(queues) };
        for number in 0..queues {
            let flags = if number == 0 { flags | first } else { flags };
            tap.queues.push(TapQueue { fd: attach_queue(name, name_bytes, flags)? });
        }
        Ok(tap)
    }

    fn offering(mut self, ladder: &[Offloads]) -> Result<Self, TapError> {
        let offloads = set_offloads(&self.queues[0].fd, ladder);
        self.offloads = offloads.map_err(|e| step(&self.name, "set the offloads", e))?;
        Ok(self)
    }
}

/// One queue of a TAP device: a non-blocking descriptor, for the use of one thread.
#[derive(Debug)]
pub struct TapQueue {
    fd: OwnedFd,
}

impl TapQueue {
    /// A queue that another process was attached to and sent here ([`fds`](crate::fds)); frames that wait in it stay.
    ///
    /// # Errors
    /// `InvalidInput` when it is no queue of a TAP device with a virtio-net header, else the kernel's.
    pub fn received(fd: OwnedFd) -> io::Result<Self> {
        let wanted = libc::IFF_TAP | libc::IFF_VNET_HDR;
        match flags(&fd) {
            Ok(flags) if libc::c_int::from(flags) & wanted == wanted => Ok(Self { fd }),
            _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "the descriptor is no queue of a tap")),
        }
    }

    fn is_persistent(&self) -> io::Result<bool> {
        Ok(libc::c_int::from(flags(&self.fd)?) & libc::IFF_PERSIST != 0)
    }

    /// Reads one frame with its virtio-net header. `WouldBlock` when there is none; a buffer shorter than
    /// [`FRAME_BUFFER_LEN`] may cut a frame.
    ///
    /// # Errors
    /// The kernel's; [`is_gone`] tells a deleted device.
    #[inline]
    pub fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(rustix::io::read(&self.fd, buffer)?)
    }

    /// Writes one frame with its virtio-net header.
    ///
    /// # Errors
    /// The kernel's; [`is_gone`] tells a deleted device, [`is_down`] one that is not up.
    #[inline]
    pub fn write(&self, frame: &[u8]) -> io::Result<usize> {
        Ok(rustix::io::write(&self.fd, frame)?)
    }

    /// Writes one frame that lies in several pieces; the first begins with the virtio-net header.
    ///
    /// # Errors
    /// As [`TapQueue::write`].
    #[inline]
    pub fn writev(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        Ok(rustix::io::writev(&self.fd, pieces)?)
    }
}

impl AsFd for TapQueue {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Whether `error` says that the device no longer exists: its guest deleted it, or its namespace is gone. The queue
/// will never work again; make a new TAP.
#[must_use]
pub fn is_gone(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EBADFD | libc::ENODEV | libc::ENXIO))
}

/// Whether `error` of a write says that the device is down (its guest set it so). The frame is lost, the queue is well.
#[must_use]
pub fn is_down(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EIO)
}

const GET_INTERFACE: Opcode = opcode::read::<libc::c_uint>(b'T', 210);
const SET_PERSIST: Opcode = opcode::write::<libc::c_int>(b'T', 203);
const SET_INTERFACE: Opcode = opcode::write::<libc::c_int>(b'T', 202);
const SET_OFFLOAD: Opcode = opcode::write::<libc::c_uint>(b'T', 208);
const SET_VNET_HEADER_LEN: Opcode = opcode::write::<libc::c_int>(b'T', 216);

/// `struct ifreq` as `TUNSETIFF` reads it and `TUNGETIFF` writes it.
#[repr(C)]
struct InterfaceRequest {
    name: [u8; libc::IFNAMSIZ],
    flags: u16,
    rest: [u8; 22],
}

const _: () = assert!(size_of::<InterfaceRequest>() == size_of::<libc::ifreq>());

fn interface_name(name: &str) -> Result<[u8; libc::IFNAMSIZ], TapError> {
    let bytes = name.as_bytes();
    let refused = bytes.is_empty()
        || bytes.len() >= libc::IFNAMSIZ
        || matches!(name, "." | "..")
        || bytes.iter().any(|b| matches!(b, 0 | b'/' | b':' | b'%') || b.is_ascii_whitespace());
    if refused {
        return Err(TapError::Name(name.to_owned()));
    }
    let mut padded = [0; libc::IFNAMSIZ];
    padded[..bytes.len()].copy_from_slice(bytes);
    Ok(padded)
}

fn step(name: &str, step: &'static str, source: impl Into<io::Error>) -> TapError {
    TapError::Step { name: name.to_owned(), step, source: source.into() }
}

fn attach_queue(name: &str, name_bytes: [u8; libc::IFNAMSIZ], flags: libc::c_int) -> Result<OwnedFd, TapError> {
    let open = OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open("/dev/net/tun");
    let fd = OwnedFd::from(open.map_err(|source| TapError::Open { name: name.to_owned(), source })?);
    // The flags of a TAP all lie within 16 bits (`if_tun.h`).
    let flags = u16::try_from(flags).map_err(|_| step(name, "express the flags", io::ErrorKind::InvalidInput))?;
    let request = InterfaceRequest { name: name_bytes, flags, rest: [0; 22] };
    // SAFETY: TUNSETIFF reads one `struct ifreq`, whose size `InterfaceRequest` has (asserted above).
    let set = unsafe { Setter::<SET_INTERFACE, _>::new(request) };
    // SAFETY: `fd` is a fresh tun descriptor and `set` the ioctl it understands.
    unsafe { ioctl::ioctl(&fd, set) }.map_err(|e| step(name, "attach a queue", e))?;
    let header_len = libc::c_int::try_from(VNET_HEADER_LEN).unwrap_or(libc::c_int::MAX);
    // SAFETY: TUNSETVNETHDRSZ reads one int.
    let set = unsafe { Setter::<SET_VNET_HEADER_LEN, _>::new(header_len) };
    // SAFETY: `fd` is an attached tun descriptor and `set` the ioctl it understands.
    unsafe { ioctl::ioctl(&fd, set) }.map_err(|e| step(name, "set the virtio-net header length", e))?;
    Ok(fd)
}

/// What the device of a queue is.
fn flags(fd: &OwnedFd) -> io::Result<u16> {
    // SAFETY: TUNGETIFF writes one `struct ifreq`, whose size `InterfaceRequest` has (asserted above) and any bytes of which are one.
    let get = unsafe { Getter::<GET_INTERFACE, InterfaceRequest>::new() };
    // SAFETY: `get` fits the ioctl; a descriptor of something else refuses it.
    Ok(unsafe { ioctl::ioctl(fd, get) }?.flags)
}

fn set_offloads(fd: &OwnedFd, ladder: &[Offloads]) -> io::Result<Offloads> {
    let mut refusal = io::Error::from(io::ErrorKind::InvalidInput);
    for rung in ladder {
        // SAFETY: TUNSETOFFLOAD takes its flags by value.
        let set = unsafe { IntegerSetter::<SET_OFFLOAD>::new_usize(rung.bits()) };
        // SAFETY: `fd` is an attached tun descriptor and `set` the ioctl it understands.
        match unsafe { ioctl::ioctl(fd, set) } {
            Ok(()) => return Ok(*rung),
            Err(error) => refusal = error.into(),
        }
    }
    Err(refusal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_before_the_kernel_sees_them() {
        for bad in ["", "sixteen-bytes-xx", "a/b", "a b", ".", "..", "tap%d", "a:b", "nul\0"] {
            assert!(matches!(Tap::create(bad, 1, &Offloads::LADDER), Err(TapError::Name(n)) if n == bad), "{bad:?}");
        }
        assert!(interface_name("fifteen-bytes-x").is_ok());
    }

    #[test]
    fn queues_are_bounded() {
        for bad in [0, QUEUES_MAX + 1] {
            assert!(matches!(Tap::create("t0", bad, &Offloads::LADDER), Err(TapError::Queues(n, _)) if n == bad));
        }
    }

    #[test]
    fn offload_bits_are_the_kernels() {
        assert_eq!(Offloads::LADDER.map(Offloads::bits), [0x6f, 0x0f, 0x01, 0x00]);
    }

    #[test]
    fn the_buffer_holds_the_largest_frame() {
        assert_eq!(FRAME_BUFFER_LEN, 65_600);
    }
}
