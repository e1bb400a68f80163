//! Signals as things to read (signalfd(2)), for helpers with one thread.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::process::Pid;

/// A set of signals that no longer interrupt but wait to be read.
#[derive(Debug)]
pub(crate) struct Signals {
    fd: OwnedFd,
}

impl Signals {
    /// Blocks `numbers` for the calling thread and collects them. Programs started later unblock them
    /// ([`unblock_all`]).
    pub(crate) fn collect(numbers: &[libc::c_int]) -> io::Result<Self> {
        let set = set_of(numbers);
        mask(libc::SIG_BLOCK, &set)?;
        // SAFETY: `set` is an initialised signal set that outlives the call.
        let fd = unsafe { libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel just gave us this descriptor, and nobody else knows of it.
        Ok(Self { fd: unsafe { OwnedFd::from_raw_fd(fd) } })
    }

    /// The next signal that has come, if one has.
    pub(crate) fn next(&self) -> io::Result<Option<libc::c_int>> {
        let mut info = [0_u8; size_of::<libc::signalfd_siginfo>()];
        match rustix::io::read(&self.fd, &mut info) {
            // `ssi_signo` is the first field.
            Ok(_) => Ok(info.first_chunk().and_then(|n| libc::c_int::try_from(u32::from_ne_bytes(*n)).ok())),
            Err(rustix::io::Errno::AGAIN) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Unblocks all signals, as a program expects to find them.
pub(crate) fn unblock_all() -> io::Result<()> {
    mask(libc::SIG_SETMASK, &set_of(&[]))
}

/// Sends a signal to every process of the instance but init. Does nothing in a process that is not a PID 1: there it
/// would reach the whole machine.
pub(crate) fn to_all_but_init(number: libc::c_int) {
    if rustix::process::getpid() == Pid::INIT {
        // SAFETY: `kill` touches no memory; as PID 1 of a PID namespace it reaches that namespace only.
        unsafe { libc::kill(-1, number) };
    }
}

/// Sends a signal, by number, to a child that has not been reaped.
pub(crate) fn to_child(pid: Pid, number: libc::c_int) {
    // SAFETY: `kill` touches no memory, and the pid of an unreaped child is its own.
    unsafe { libc::kill(pid.as_raw_nonzero().get(), number) };
}

fn set_of(numbers: &[libc::c_int]) -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: `sigemptyset` initialises what it points to.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    // SAFETY: initialised above.
    let mut set = unsafe { set.assume_init() };
    for &number in numbers {
        // SAFETY: `set` is initialised; an impossible number is refused without effect.
        unsafe { libc::sigaddset(&raw mut set, number) };
    }
    set
}

fn mask(how: libc::c_int, set: &libc::sigset_t) -> io::Result<()> {
    // SAFETY: `set` is initialised; the old mask is not asked for.
    match unsafe { libc::pthread_sigmask(how, set, std::ptr::null_mut()) } {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blocked_signal_waits_to_be_read() -> io::Result<()> {
        std::thread::spawn(|| {
            let signals = Signals::collect(&[libc::SIGUSR1])?;
            assert_eq!(signals.next()?, None);
            // SAFETY: `raise` signals the calling thread, which has blocked it.
            unsafe { libc::raise(libc::SIGUSR1) };
            assert_eq!(signals.next()?, Some(libc::SIGUSR1));
            assert_eq!(signals.next()?, None);
            Ok(())
        })
        .join()
        .expect("the thread ends well")
    }

    #[test]
    fn nothing_is_sent_to_all_from_an_ordinary_process() {
        assert_ne!(rustix::process::getpid(), Pid::INIT);
        to_all_but_init(libc::SIGKILL);
    }
}
