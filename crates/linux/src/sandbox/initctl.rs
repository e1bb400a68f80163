//! How programs ask init to shut the instance down: `poweroff`, `halt` and `shutdown -h now` of systemd write a request to the
//! pipe `/dev/initctl` when no service manager answers, as sysvinit's did (initctl(5), sysvinit's `initreq.h`).

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{CWD, FileType, Mode, OFlags};

const PATH: &str = "/dev/initctl";
/// The length of a request in bytes; the kernel keeps writes of this size whole (pipe(7)).
const REQUEST_LEN: usize = 384;
/// Requests that are read in one go.
const REQUESTS_MAX: usize = 64;
const MAGIC: i32 = 0x0309_1969;
const CHANGE_RUN_LEVEL: i32 = 1;

/// The pipe. Its owner, root of the instance, may also ask by signal.
#[derive(Debug)]
pub(super) struct Initctl {
    pipe: OwnedFd,
}

/// What a program wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    ShutDown,
    Restart,
}

impl Initctl {
    /// Makes it, in a `/dev` that is new.
    pub(super) fn make() -> io::Result<Self> {
        rustix::fs::mknodat(CWD, PATH, FileType::Fifo, Mode::from_raw_mode(0o600), 0)?;
        // For writing too: else the end of the last writer would be told for ever.
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
        Ok(Self { pipe: rustix::fs::open(PATH, flags, Mode::empty())? })
    }

    /// What was asked for since the last call. Anything else that was written is thrown away.
    pub(super) fn wish(&self) -> Option<Wish> {
        let mut buffer = [0; REQUEST_LEN * REQUESTS_MAX];
        let count = rustix::io::read(&self.pipe, &mut buffer).unwrap_or(0);
        buffer[..count].chunks_exact(REQUEST_LEN).filter_map(wish).next()
    }
}

impl AsFd for Initctl {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}

/// Magic, command and run level are the first three numbers of a request, in the machine's order; the run level is a character.
fn wish(request: &[u8]) -> Option<Wish> {
    let mut numbers = request.chunks_exact(4).filter_map(|bytes| bytes.first_chunk()).map(|n| i32::from_ne_bytes(*n));
    let (magic, command, level) = (numbers.next()?, numbers.next()?, numbers.next()?);
    match (magic, command, u8::try_from(level).ok()?) {
        (MAGIC, CHANGE_RUN_LEVEL, b'0') => Some(Wish::ShutDown),
        (MAGIC, CHANGE_RUN_LEVEL, b'6') => Some(Wish::Restart),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(magic: i32, command: i32, level: u8) -> Vec<u8> {
        let mut bytes: Vec<u8> = [magic, command, level.into()].into_iter().flat_map(i32::to_ne_bytes).collect();
        bytes.resize(REQUEST_LEN, 0);
        bytes
    }

    #[test]
    fn requests_are_told_apart() {
        assert_eq!(wish(&request(MAGIC, CHANGE_RUN_LEVEL, b'0')), Some(Wish::ShutDown));
        assert_eq!(wish(&request(MAGIC, CHANGE_RUN_LEVEL, b'6')), Some(Wish::Restart));
        for odd in [request(MAGIC, CHANGE_RUN_LEVEL, b'3'), request(MAGIC, 2, b'0'), request(7, CHANGE_RUN_LEVEL, b'0')]
        {
            assert_eq!(wish(&odd), None);
        }
        assert_eq!(wish(&[]), None);
        assert_eq!(wish(&[0xff; REQUEST_LEN]), None);
    }
}
