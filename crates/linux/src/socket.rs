//! What sockets have in common that rustix does not do: integer options, buffers as large as one may have, and reading
//! control messages (cmsg(3)).

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use rustix::net::sockopt;

/// What a socket's kernel buffers should hold in bytes: at 10 Gb/s the traffic of 6 ms.
pub(crate) const BUFFER_LEN: usize = 8 << 20;

/// Sets an option whose value is an `int`.
pub(crate) fn set_option(
    fd: BorrowedFd<'_>,
    level: libc::c_int,
    option: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    let len = libc::socklen_t::try_from(size_of_val(&value)).unwrap_or_default();
    // SAFETY: the pointer and length are those of `value`, which lives during the call.
    let code = unsafe { libc::setsockopt(fd.as_raw_fd(), level, option, (&raw const value).cast(), len) };
    if code == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Asks for a receive buffer of [`BUFFER_LEN`] bytes: beyond the machine's limit where the caller may
/// (`CAP_NET_ADMIN` of the machine), up to it (`net.core.rmem_max`) where not.
pub(crate) fn enlarge_receive_buffer(fd: impl AsFd) -> io::Result<()> {
    let forced = sockopt::set_socket_recv_buffer_size_force(&fd, BUFFER_LEN);
    Ok(forced.or_else(|_| sockopt::set_socket_recv_buffer_size(&fd, BUFFER_LEN))?)
}

/// As [`enlarge_receive_buffer`], for sending (`net.core.wmem_max`).
pub(crate) fn enlarge_send_buffer(fd: impl AsFd) -> io::Result<()> {
    let forced = sockopt::set_socket_send_buffer_size_force(&fd, BUFFER_LEN);
    Ok(forced.or_else(|_| sockopt::set_socket_send_buffer_size(&fd, BUFFER_LEN))?)
}

/// Room for control messages, aligned as the kernel's `struct cmsghdr` wants it.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(8))]
pub(crate) struct Control<const N: usize>(pub(crate) [u8; N]);

/// Length of the kernel's `struct cmsghdr`: a length of pointer size, level and type.
pub(crate) const CONTROL_HEADER_LEN: usize = size_of::<usize>() + 8;

// SAFETY: `CMSG_LEN` only computes.
const _: () = assert!(CONTROL_HEADER_LEN == unsafe { libc::CMSG_LEN(0) } as usize);

/// How many bytes a control message with a value of `len` bytes takes.
pub(crate) const fn control_space(len: usize) -> usize {
    (CONTROL_HEADER_LEN + len).next_multiple_of(size_of::<usize>())
}

/// One control message with a value of two bytes.
pub(crate) fn control_u16(level: libc::c_int, kind: libc::c_int, value: u16) -> Control<{ control_space(2) }> {
    let mut control = Control([0; control_space(2)]);
    let (at_level, at_kind) = (size_of::<usize>(), size_of::<usize>() + 4);
    control.0[..at_level].copy_from_slice(&(CONTROL_HEADER_LEN + 2).to_ne_bytes());
    control.0[at_level..at_kind].copy_from_slice(&level.to_ne_bytes());
    control.0[at_kind..CONTROL_HEADER_LEN].copy_from_slice(&kind.to_ne_bytes());
    control.0[CONTROL_HEADER_LEN..CONTROL_HEADER_LEN + 2].copy_from_slice(&value.to_ne_bytes());
    control
}

/// The value of the first control message of this level and type in what the kernel wrote.
pub(crate) fn find_control(mut bytes: &[u8], level: libc::c_int, kind: libc::c_int) -> Option<&[u8]> {
    loop {
        let len = usize::from_ne_bytes(*bytes.first_chunk()?);
        let (at_level, at_kind) = (size_of::<usize>(), size_of::<usize>() + 4);
        let value = bytes.get(CONTROL_HEADER_LEN..len)?;
        let found = (i32_at(bytes, at_level)?, i32_at(bytes, at_kind)?);
        if found == (level, kind) {
            return Some(value);
        }
        bytes = bytes.get(len.next_multiple_of(size_of::<usize>())..)?;
    }
}

/// Four bytes as an `int`.
pub(crate) fn i32_at(bytes: &[u8], at: usize) -> Option<i32> {
    Some(i32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_control_message_reads_back_also_behind_another() {
        let first = control_u16(1, 2, 0xabcd);
        let second = control_u16(17, 103, 1400);
        let both = [first.0, second.0].concat();
        assert_eq!(find_control(&both, 17, 103), Some(&1400_u16.to_ne_bytes()[..]));
        assert_eq!(find_control(&both, 1, 2), Some(&0xabcd_u16.to_ne_bytes()[..]));
        assert_eq!(find_control(&both, 17, 104), None);
    }

    proptest! {
        #[test]
        fn any_control_bytes_are_read_to_an_end(bytes in proptest::collection::vec(any::<u8>(), 0..96)) {
            let value = find_control(&bytes, 17, 104);
            prop_assert!(value.is_none_or(|v| v.len() <= bytes.len() - CONTROL_HEADER_LEN));
        }
    }
}
