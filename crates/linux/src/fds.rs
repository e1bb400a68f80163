//! Passing open descriptors to another process over a Unix socket (`SCM_RIGHTS`, unix(7)): `peerway exec` hands its
//! standard input, output and error to the agent this way.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
};

/// The most descriptors in one message.
pub const DESCRIPTORS_MAX: usize = 16;

/// Sends `bytes` (at least one) together with `descriptors`, and returns how many bytes went. On a stream the
/// descriptors travel with the first byte; the rest of `bytes` may have to be sent again without them.
///
/// # Errors
/// `InvalidInput` without bytes or with more than [`DESCRIPTORS_MAX`] descriptors; else the kernel's.
pub fn send(socket: impl AsFd, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<usize> {
    if bytes.is_empty() || descriptors.len() > DESCRIPTORS_MAX {
        let text = format!("a message carries at least one byte and at most {DESCRIPTORS_MAX} descriptors");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    Ok(rustix::net::sendmsg(socket, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL)?)
}

/// Receives bytes into `bytes` and the descriptors that came with them (close-on-exec). No bytes: the other side is
/// closed.
///
/// # Errors
/// `InvalidData` when more came than [`DESCRIPTORS_MAX`] (the kernel has closed the rest); else the kernel's.
pub fn receive(socket: impl AsFd, bytes: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let message = rustix::net::recvmsg(socket, &mut [IoSliceMut::new(bytes)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let mut descriptors = Vec::new();
    for part in control.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = part {
            descriptors.extend(received);
        }
    }
    if message.flags.contains(rustix::net::ReturnFlags::CTRUNC) {
        let text = format!("more than {DESCRIPTORS_MAX} descriptors came in one message");
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    Ok((message.bytes, descriptors))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn descriptors_arrive_with_their_bytes() -> io::Result<()> {
        let (ours, theirs) = UnixStream::pair()?;
        let (mut near, far) = UnixStream::pair()?;
        assert_eq!(send(&ours, b"hello", &[far.as_fd()])?, 5);
        drop(far);
        let mut bytes = [0; 16];
        let (count, mut descriptors) = receive(&theirs, &mut bytes)?;
        assert_eq!((&bytes[..count], descriptors.len()), (&b"hello"[..], 1));
        near.write_all(b"x")?;
        let mut received = UnixStream::from(descriptors.remove(0));
        received.read_exact(&mut bytes[..1])?;
        assert_eq!(bytes[0], b'x');
        Ok(())
    }

    #[test]
    fn an_end_is_no_bytes_and_bounds_hold() -> io::Result<()> {
        let (ours, theirs) = UnixStream::pair()?;
        assert_eq!(send(&ours, b"", &[]).map_err(|e| e.kind()), Err(io::ErrorKind::InvalidInput));
        let many = vec![ours.as_fd(); DESCRIPTORS_MAX + 1];
        assert_eq!(send(&ours, b"x", &many).map_err(|e| e.kind()), Err(io::ErrorKind::InvalidInput));
        drop(many);
        drop(ours);
        assert_eq!(receive(&theirs, &mut [0; 4])?.0, 0);
        Ok(())
    }
}
