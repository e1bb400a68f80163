//! Receiving many datagrams with one system call (recvmmsg(2)), each of the messages perhaps a run of datagrams that
//! the kernel has merged (`UDP_GRO`, udp(7)).

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;

use super::name::Name;
use super::{UDP_GRO, UdpSocket};
use crate::socket::{Control, control_space, find_control, i32_at};

/// The most messages one [`UdpSocket::recv_batch`] takes.
pub const BATCH_MAX: usize = 64;

/// A message is at most this long: no UDP datagram and no merged run is longer.
pub const MESSAGE_LEN_MAX: usize = 1 << 16;

/// The most headroom a [`RecvBatch`] keeps in front of each message.
pub const HEADROOM_MAX: usize = 1 << 12;

/// One received message: a datagram, or several of one sender one behind the other.
#[derive(Debug)]
pub struct Received<'a> {
    /// Who sent it.
    pub from: SocketAddr,
    /// The batch's headroom (of no meaning, to be written over), then the message.
    pub bytes: &'a mut [u8],
    /// Length of each datagram in the message; the last may be shorter. At least 1, and the length of the message if it
    /// is one datagram.
    pub segment: u16,
}

/// The buffers of [`UdpSocket::recv_batch`], allocated once, and what the last call put in them.
#[derive(Debug)]
pub struct RecvBatch {
    memory: Vec<u8>,
    headroom: usize,
    slots: Vec<Slot>,
    /// How many messages the last call received.
    count: usize,
}

/// What the kernel tells of one message besides its bytes.
#[derive(Clone, Copy, Debug)]
struct Slot {
    name: Name,
    control: Control<{ control_space(4) }>,
    name_len: libc::socklen_t,
    len: usize,
}

impl Slot {
    const EMPTY: Self = Self { name: Name::EMPTY, control: Control([0; control_space(4)]), name_len: 0, len: 0 };

    /// Length of the datagrams in the message: `UDP_GRO` says it of a merged run.
    fn segment(&self) -> u16 {
        let merged = find_control(&self.control.0, libc::SOL_UDP, UDP_GRO).and_then(|value| i32_at(value, 0));
        let whole = u16::try_from(self.len).unwrap_or(u16::MAX).max(1);
        merged.and_then(|len| u16::try_from(len).ok()).filter(|len| (1..whole).contains(len)).unwrap_or(whole)
    }
}

impl RecvBatch {
    /// Buffers for `messages` messages (1 to [`BATCH_MAX`], else the nearest), with `headroom` bytes in front of each
    /// (at most [`HEADROOM_MAX`], else that many). Each takes 64 KiB of memory once it has been in use.
    #[must_use]
    pub fn new(messages: usize, headroom: usize) -> Self {
        let (messages, headroom) = (messages.clamp(1, BATCH_MAX), headroom.min(HEADROOM_MAX));
        let memory = vec![0; messages * stride(headroom)];
        Self { memory, headroom, slots: vec![Slot::EMPTY; messages], count: 0 }
    }

    /// How many bytes lie in front of each message.
    #[must_use]
    pub fn headroom(&self) -> usize {
        self.headroom
    }

    /// What the last [`UdpSocket::recv_batch`] received, in order of arrival.
    pub fn messages(&mut self) -> impl Iterator<Item = Received<'_>> {
        let (headroom, stride) = (self.headroom, stride(self.headroom));
        let rooms = self.memory.chunks_exact_mut(stride);
        rooms.zip(&self.slots[..self.count]).filter_map(move |(room, slot)| {
            let from = slot.name.address(slot.name_len)?;
            Some(Received { from, bytes: room.get_mut(..headroom + slot.len)?, segment: slot.segment() })
        })
    }
}

/// From one message's room to the next; a multiple of a cache line.
const fn stride(headroom: usize) -> usize {
    (headroom + MESSAGE_LEN_MAX).next_multiple_of(64)
}

impl UdpSocket {
    /// Receives whatever waits, up to what `batch` holds, and returns how many messages that are: 0 when nothing waits.
    /// Allocates nothing.
    ///
    /// # Errors
    /// The kernel's. Errors that routers report about what was sent are not told here.
    pub fn recv_batch(&self, batch: &mut RecvBatch) -> io::Result<usize> {
        batch.count = 0;
        let (headroom, stride) = (batch.headroom, stride(batch.headroom));
        // SAFETY: all zero is a valid value of these plain C structs: no name, no buffers, no control messages.
        let mut headers: [libc::mmsghdr; BATCH_MAX] = unsafe { std::mem::zeroed() };
        let mut pieces = [libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }; BATCH_MAX];
        let rooms = batch.memory.chunks_exact_mut(stride);
        for (((header, piece), slot), room) in headers.iter_mut().zip(&mut pieces).zip(&mut batch.slots).zip(rooms) {
            let message = &mut room[headroom..headroom + MESSAGE_LEN_MAX];
            *piece = libc::iovec { iov_base: message.as_mut_ptr().cast(), iov_len: message.len() };
            // What the kernel does not write over ends the control messages.
            slot.control.0.fill(0);
            header.msg_hdr.msg_name = slot.name.as_mut_ptr();
            header.msg_hdr.msg_namelen = Name::ROOM;
            header.msg_hdr.msg_iov = piece;
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_control = slot.control.0.as_mut_ptr().cast();
            header.msg_hdr.msg_controllen = slot.control.0.len() as _;
        }
        // At most BATCH_MAX.
        let room = libc::c_uint::try_from(batch.slots.len()).unwrap_or_default();
        let (fd, flags) = (self.fd.as_raw_fd(), libc::MSG_DONTWAIT);
        // SAFETY: the first `room` headers point at names, pieces, buffers and control buffers that live and are not
        // touched otherwise during the call, each with its true length; there is no timeout.
        let code = unsafe { libc::recvmmsg(fd, headers.as_mut_ptr(), room, flags as _, std::ptr::null_mut()) };
        let Ok(count) = usize::try_from(code) else {
            let error = io::Error::last_os_error();
            return if error.kind() == io::ErrorKind::WouldBlock { Ok(0) } else { Err(error) };
        };
        for (slot, header) in batch.slots.iter_mut().zip(&headers[..count]) {
            slot.name_len = header.msg_hdr.msg_namelen;
            slot.len = usize::try_from(header.msg_len).unwrap_or(usize::MAX).min(MESSAGE_LEN_MAX);
        }
        batch.count = count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::socket::CONTROL_HEADER_LEN;

    fn slot(len: usize, merged: Option<i32>) -> Slot {
        let mut slot = Slot { len, ..Slot::EMPTY };
        if let Some(merged) = merged {
            let head = crate::socket::control_u16(libc::SOL_UDP, UDP_GRO, 0);
            slot.control.0[..CONTROL_HEADER_LEN].copy_from_slice(&head.0[..CONTROL_HEADER_LEN]);
            slot.control.0[..size_of::<usize>()].copy_from_slice(&(CONTROL_HEADER_LEN + 4).to_ne_bytes());
            slot.control.0[CONTROL_HEADER_LEN..CONTROL_HEADER_LEN + 4].copy_from_slice(&merged.to_ne_bytes());
        }
        slot
    }

    #[test]
    fn a_segment_is_never_nothing_and_never_more_than_the_message() {
        assert_eq!(slot(3000, Some(1400)).segment(), 1400);
        for (len, merged, segment) in [(0, None, 1), (700, None, 700), (700, Some(0), 700), (700, Some(-1), 700)] {
            assert_eq!(slot(len, merged).segment(), segment, "{len} {merged:?}");
        }
        assert_eq!(slot(700, Some(1400)).segment(), 700);
        assert_eq!(slot(MESSAGE_LEN_MAX, None).segment(), u16::MAX);
    }

    #[test]
    fn sizes_are_bounded() {
        let batch = RecvBatch::new(usize::MAX, usize::MAX);
        assert_eq!((batch.slots.len(), batch.headroom()), (BATCH_MAX, HEADROOM_MAX));
        let mut batch = RecvBatch::new(0, 7);
        assert_eq!((batch.slots.len(), batch.headroom(), batch.memory.len()), (1, 7, 65_600));
        assert_eq!(batch.messages().count(), 0);
    }
}
