//! Waiting for many descriptors at once: a thin epoll, and an eventfd to wake the waiter.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::event::{EventfdFlags, Timespec, eventfd};

/// The most events one [`Poll::wait`] returns; the rest come with the next call.
pub const EVENTS_MAX: usize = 256;

/// What to wait for. Level-triggered: an event comes again until its cause is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interest {
    /// Tell when a read would not block.
    pub read: bool,
    /// Tell when a write would not block.
    pub write: bool,
}

impl Interest {
    /// Reading only.
    pub const READ: Self = Self { read: true, write: false };
    /// Writing only.
    pub const WRITE: Self = Self { read: false, write: true };
    /// Both.
    pub const BOTH: Self = Self { read: true, write: true };

    fn flags(self) -> EventFlags {
        let mut flags = EventFlags::empty();
        flags.set(EventFlags::IN | EventFlags::RDHUP, self.read);
        flags.set(EventFlags::OUT, self.write);
        flags
    }
}

/// What happened to the descriptor registered with `token`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// The caller's number for the descriptor.
    pub token: u64,
    /// A read would not block.
    pub readable: bool,
    /// A write would not block.
    pub writable: bool,
    /// The other side is gone, or the descriptor is in error (a deleted TAP shows this). Told whether asked or not.
    pub closed: bool,
}

/// An epoll set.
pub struct Poll {
    fd: OwnedFd,
    buffer: Vec<epoll::Event>,
}

impl Poll {
    /// An empty set.
    ///
    /// # Errors
    /// When the process has no descriptor left.
    pub fn new() -> io::Result<Self> {
        Ok(Self { fd: epoll::create(CreateFlags::CLOEXEC)?, buffer: Vec::with_capacity(EVENTS_MAX) })
    }

    /// Adds a descriptor. It leaves the set when it is closed.
    ///
    /// # Errors
    /// When it is there already or cannot be polled.
    pub fn add(&self, fd: impl AsFd, token: u64, interest: Interest) -> io::Result<()> {
        Ok(epoll::add(&self.fd, fd, EventData::new_u64(token), interest.flags())?)
    }

    /// Changes what a descriptor is watched for.
    ///
    /// # Errors
    /// When it is not in the set.
    pub fn modify(&self, fd: impl AsFd, token: u64, interest: Interest) -> io::Result<()> {
        Ok(epoll::modify(&self.fd, fd, EventData::new_u64(token), interest.flags())?)
    }

    /// Takes a descriptor out.
    ///
    /// # Errors
    /// When it is not in the set.
    pub fn delete(&self, fd: impl AsFd) -> io::Result<()> {
        Ok(epoll::delete(&self.fd, fd)?)
    }

    /// Waits until something happens or `timeout` is over (`None`: without limit), then puts at most [`EVENTS_MAX`]
    /// events in `events` (cleared first). A signal ends the wait with no events.
    ///
    /// # Errors
    /// The kernel's.
    pub fn wait(&mut self, events: &mut Vec<Event>, timeout: Option<Duration>) -> io::Result<()> {
        events.clear();
        self.buffer.clear();
        let timeout = timeout.map(timespec);
        match epoll::wait(&self.fd, spare_capacity(&mut self.buffer), timeout.as_ref()) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        events.extend(self.buffer.iter().map(|event| {
            let (flags, data) = (event.flags, event.data);
            Event {
                token: data.u64(),
                readable: flags.contains(EventFlags::IN),
                writable: flags.contains(EventFlags::OUT),
                closed: flags.intersects(EventFlags::ERR | EventFlags::HUP | EventFlags::RDHUP),
            }
        }));
        Ok(())
    }
}

impl std::fmt::Debug for Poll {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Poll").field("fd", &self.fd).finish_non_exhaustive()
    }
}

/// Wakes a [`Poll`] from any thread: add it with [`Interest::READ`], and [`clear`](Waker::clear) it when it is readable.
#[derive(Debug)]
pub struct Waker {
    fd: OwnedFd,
}

impl Waker {
    /// A waker that has not been rung.
    ///
    /// # Errors
    /// When the process has no descriptor left.
    pub fn new() -> io::Result<Self> {
        Ok(Self { fd: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)? })
    }

    /// Makes it readable. Ringing twice is as good as once.
    ///
    /// # Errors
    /// The kernel's.
    pub fn wake(&self) -> io::Result<()> {
        match rustix::io::write(&self.fd, &1_u64.to_ne_bytes()) {
            // A full counter is readable as well.
            Ok(_) | Err(rustix::io::Errno::AGAIN) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes it unreadable.
    ///
    /// # Errors
    /// The kernel's.
    pub fn clear(&self) -> io::Result<()> {
        match rustix::io::read(&self.fd, &mut [0_u8; 8]) {
            Ok(_) | Err(rustix::io::Errno::AGAIN) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

impl AsFd for Waker {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Waits until one descriptor can be read or `timeout` is over; whether it can be.
///
/// # Errors
/// The kernel's.
pub fn readable(fd: impl AsFd, timeout: Duration) -> io::Result<bool> {
    let deadline = std::time::Instant::now() + timeout;
    loop {
        let left = deadline.saturating_duration_since(std::time::Instant::now());
        let mut set = [rustix::event::PollFd::new(&fd, rustix::event::PollFlags::IN)];
        match rustix::event::poll(&mut set, Some(&timespec(left))) {
            Ok(count) => return Ok(count > 0),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

pub(crate) fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(duration.subsec_nanos()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_waker_wakes_once_until_cleared() -> io::Result<()> {
        let mut poll = Poll::new()?;
        let waker = Waker::new()?;
        poll.add(&waker, 7, Interest::READ)?;
        let mut events = Vec::new();
        poll.wait(&mut events, Some(Duration::ZERO))?;
        assert!(events.is_empty());
        waker.wake()?;
        waker.wake()?;
        poll.wait(&mut events, None)?;
        assert_eq!(events, [Event { token: 7, readable: true, writable: false, closed: false }]);
        waker.clear()?;
        poll.wait(&mut events, Some(Duration::from_millis(1)))?;
        assert!(events.is_empty());
        poll.delete(&waker)
    }

    #[test]
    fn modify_changes_the_interest_and_a_closed_peer_is_told() -> io::Result<()> {
        let mut poll = Poll::new()?;
        let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
        poll.add(&ours, 1, Interest::READ)?;
        poll.modify(&ours, 2, Interest::BOTH)?;
        let mut events = Vec::new();
        poll.wait(&mut events, None)?;
        assert_eq!(events, [Event { token: 2, readable: false, writable: true, closed: false }]);
        drop(theirs);
        poll.wait(&mut events, None)?;
        assert!(events[0].closed && events[0].readable);
        Ok(())
    }

    #[test]
    fn readable_keeps_its_time() -> io::Result<()> {
        let (ours, _theirs) = std::os::unix::net::UnixStream::pair()?;
        let start = std::time::Instant::now();
        assert!(!readable(&ours, Duration::from_millis(20))?);
        assert!(start.elapsed() >= Duration::from_millis(19));
        Ok(())
    }
}
