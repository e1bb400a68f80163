//! Processes named so that a reused pid never stands for a stranger: a pid with the instant of its birth, and a pidfd.
//!
//! `/proc/PID/stat` field 22 is the start time in clock ticks since boot (proc_pid_stat(5)).

use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

pub use rustix::process::Signal;
use rustix::process::{Pid, PidfdFlags, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};

/// One process for ever: its pid, when it was born, and in which boot of the machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Birth {
    /// The process id in the namespace of whoever asked.
    pub pid: u32,
    /// Start time in clock ticks since boot.
    pub start_time: u64,
    /// `/proc/sys/kernel/random/boot_id`.
    pub boot_id: String,
}

impl Birth {
    /// The birth of a running process.
    ///
    /// # Errors
    /// `NotFound` when there is none with this pid.
    pub fn of(pid: u32) -> io::Result<Self> {
        Ok(Self { pid, start_time: Stat::of(pid)?.start_time, boot_id: boot_id()? })
    }

    /// Whether the machine has not been started anew since.
    ///
    /// # Errors
    /// The kernel's.
    pub fn is_of_this_boot(&self) -> io::Result<bool> {
        Ok(self.boot_id == boot_id()?)
    }

    /// A pidfd of this very process, or `None` when it is gone, be its pid in use again or not.
    ///
    /// # Errors
    /// The kernel's, other than "no such process".
    pub fn open(&self) -> io::Result<Option<OwnedFd>> {
        if !self.is_of_this_boot()? {
            return Ok(None);
        }
        let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) else { return Ok(None) };
        // The pidfd first: whatever it names cannot change afterwards, so the start time read next is its own.
        let fd = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(fd) => fd,
            Err(rustix::io::Errno::SRCH | rustix::io::Errno::INVAL) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        match Stat::of(self.pid) {
            Ok(stat) if stat.start_time == self.start_time && stat.state != 'Z' => Ok(Some(fd)),
            Ok(_) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl fmt::Display for Birth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pid {} born at tick {}", self.pid, self.start_time)
    }
}

/// The fields of `/proc/PID/stat` that we read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// `R`, `S`, `D`, `Z`, ...
    pub state: char,
    /// Clock ticks in user mode.
    pub user_ticks: u64,
    /// Clock ticks in kernel mode.
    pub system_ticks: u64,
    /// Clock ticks since boot at birth.
    pub start_time: u64,
}

impl Stat {
    /// Of the process with this pid.
    ///
    /// # Errors
    /// `NotFound` when there is none; `InvalidData` when the file does not look as documented.
    pub fn of(pid: u32) -> io::Result<Self> {
        let text = match std::fs::read(format!("/proc/{pid}/stat")) {
            // A process that ends between open and read answers ESRCH.
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Err(io::ErrorKind::NotFound.into()),
            other => other,
        }?;
        Self::parse(&text).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("/proc/{pid}/stat")))
    }

    /// The name in parentheses may hold anything, parentheses and spaces included, so fields count from the last `)`.
    fn parse(text: &[u8]) -> Option<Self> {
        let end = text.iter().rposition(|&b| b == b')')?;
        let rest = std::str::from_utf8(text.get(end + 1..)?).ok()?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        let number = |field: usize| fields.get(field - 3)?.parse().ok();
        Some(Self {
            state: fields.first()?.chars().next()?,
            user_ticks: number(14)?,
            system_ticks: number(15)?,
            start_time: number(22)?,
        })
    }
}

/// Sends a signal through a pidfd; whether there still was a process to take it.
///
/// # Errors
/// The kernel's, other than "no such process".
pub fn signal(pidfd: impl AsFd, signal: Signal) -> io::Result<bool> {
    match pidfd_send_signal(pidfd, signal) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::SRCH) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Waits until the process of a pidfd has ended, at most for `timeout`; whether it has. It need not be a child.
///
/// # Errors
/// The kernel's.
pub fn wait(pidfd: impl AsFd, timeout: Duration) -> io::Result<bool> {
    crate::poll::readable(pidfd, timeout)
}

fn boot_id() -> io::Result<String> {
    Ok(std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let mut text = b"7 (a) b (c 1 2) S".to_vec();
        for field in 4..=52 {
            text.extend(format!(" {field}").bytes());
        }
        let stat = Stat { state: 'S', user_ticks: 14, system_ticks: 15, start_time: 22 };
        assert_eq!(Stat::parse(&text), Some(stat));
        assert_eq!(Stat::parse(b"7 (a"), None);
        assert_eq!(Stat::parse(b"7 (a) S 1 2"), None);
    }

    #[test]
    fn a_stranger_with_the_same_pid_is_not_opened() -> io::Result<()> {
        let own = Birth::of(std::process::id())?;
        assert!(own.open()?.is_some());
        assert!(Birth { start_time: own.start_time + 1, ..own.clone() }.open()?.is_none());
        assert!(Birth { boot_id: "another".to_owned(), ..own.clone() }.open()?.is_none());
        assert!(Birth { pid: u32::MAX, ..own }.open()?.is_none());
        Ok(())
    }

    #[test]
    fn an_ended_process_is_told() -> io::Result<()> {
        let mut child = Command::new("sleep").arg("60").spawn()?;
        let birth = Birth::of(child.id())?;
        let pidfd = birth.open()?.expect("it runs");
        assert!(!wait(&pidfd, Duration::ZERO)?);
        assert!(signal(&pidfd, Signal::KILL)?);
        assert!(wait(&pidfd, Duration::from_secs(10))?);
        assert!(birth.open()?.is_none(), "a zombie is gone");
        child.wait()?;
        assert!(birth.open()?.is_none());
        assert!(!signal(&pidfd, Signal::KILL)?);
        Ok(())
    }
}
