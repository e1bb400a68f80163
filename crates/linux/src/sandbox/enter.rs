//! Running a command in an instance: the maker's side, and the helper `sandbox-enter` that goes in.
//!
//! The helper itself stays outside the PID namespace, invisible from inside; its one child becomes the command, with
//! exactly the rights that programs of the instance have. With a terminal, the child gets a pseudo-terminal of the
//! instance and the helper copies: the caller's own terminal is never lent to the instance.
//!
//! The helper depends on the caller, not on the maker: it has the caller's standard input, output and error, and where the caller wants
//! it, a pipe of the caller's over which it tells how the command ended. So a command outlives the maker as its instance does.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::process::{DumpableBehavior, Pid, Signal, WaitOptions, WaitStatus};
use rustix::pty::OpenptFlags;
use rustix::termios::{OptionalActions, Termios};
use rustix::thread::{
    ThreadNameSpaceType, move_into_thread_name_spaces, set_thread_groups, set_thread_res_gid, set_thread_res_uid,
};
use serde::{Deserialize, Serialize};

use super::{ENTER_WORD, ENVIRONMENT, Failure, Limits, Record, Step, close_from, set_resource_limits};
use crate::cgroup::{Cgroup, Confinement};
use crate::privilege::{self, keep_capabilities};
use crate::process::Birth;
use crate::signals::{self, Signals};

/// A command to run in an instance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exec {
    /// Program, searched in the instance's `PATH`, and arguments.
    pub argv: Vec<OsString>,
    /// Environment besides the instance's own (`TERM`, say).
    pub env: Vec<(OsString, OsString)>,
    /// Directory to start in; `None`: `/root`.
    pub directory: Option<String>,
    /// Give it a terminal of its own; standard input is then the caller's terminal, which is put in raw mode meanwhile.
    pub terminal: bool,
}

/// How the helper gets its task: not on its command line, which every user of the host can read.
const TASK: &str = "PEERWAY_ENTER";

#[derive(Debug, Serialize, Deserialize)]
struct Task {
    birth: Birth,
    cgroup: Cgroup,
    confinement: Confinement,
    limits: Limits,
    exec: Exec,
}

/// The maker's side. `ending`: the pipe that the caller reads the exit code from.
pub(super) fn spawn(record: &Record, exec: &Exec, stdio: [OwnedFd; 3], ending: Option<&OwnedFd>) -> io::Result<Child> {
    if exec.argv.is_empty() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "there is no command to run"));
    }
    let task = Task {
        birth: record.birth.clone(),
        cgroup: record.cgroup.clone(),
        confinement: record.confinement,
        limits: record.limits,
        exec: exec.clone(),
    };
    let [stdin, stdout, stderr] = stdio;
    // Beyond the three that a child is given others go by a socket.
    let (ours, theirs) = UnixStream::pair()?;
    let lent: Vec<BorrowedFd<'_>> = [Some(&stdin), ending].into_iter().flatten().map(AsFd::as_fd).collect();
    crate::fds::send(&ours, &[0], &lent)?;
    super::helper(record.helper.as_ref(), ENTER_WORD)
        .env(TASK, serde_json::to_string(&task)?)
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::from(stdout))
        .stderr(Stdio::from(stderr))
        .spawn()
}

/// Entry of the hidden helper `sandbox-enter`.
#[must_use]
pub fn enter_main() -> ExitCode {
    let caller = close_from(3).step("close inherited descriptors").and_then(|()| Caller::hear());
    match caller {
        Ok(caller) => {
            let code = enter(&caller).unwrap_or_else(|failure| refused(&failure));
            caller.tell(code);
            ExitCode::from(code)
        }
        Err(failure) => ExitCode::from(refused(&failure)),
    }
}

fn refused(failure: &Failure) -> u8 {
    eprintln!("peerway: cannot {}: {}", failure.step, failure.source);
    125
}

/// Whoever waits for the command, beside its standard input, output and error.
struct Caller(Option<OwnedFd>);

impl Caller {
    /// Takes what the maker sent: standard input, and where to tell how the command ended.
    fn hear() -> Result<Caller, Failure> {
        let (_, sent) =
            crate::fds::receive(rustix::stdio::stdin(), &mut [0]).step("take the descriptors of the task")?;
        let mut sent = sent.into_iter();
        let stdin = sent.next().ok_or(io::ErrorKind::InvalidData).step("take standard input")?;
        rustix::stdio::dup2_stdin(&stdin).step("take standard input")?;
        Ok(Caller(sent.next()))
    }

    /// One byte. It may be gone.
    fn tell(&self, code: u8) {
        if let Some(ending) = &self.0 {
            let _ = rustix::io::write(ending, &[code]);
        }
    }
}

fn enter(caller: &Caller) -> Result<u8, Failure> {
    let text = std::env::var(TASK).map_err(io::Error::other).step("read the task")?;
    let task: Task = serde_json::from_str(&text).step("read the task")?;
    refuse_directories().step("lend standard input, output and error to the instance")?;
    let gone = || io::Error::new(io::ErrorKind::NotFound, "the instance is not running");
    let pidfd = task.birth.open().and_then(|fd| fd.ok_or_else(gone)).step("enter the instance")?;
    super::volunteer_for_oom().step("volunteer to be killed when memory is short")?;
    // Before going in: our memory and program are the host's.
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable).step("hide the helper")?;
    task.cgroup.join(std::process::id()).step("join the instance's control group")?;
    let all = ThreadNameSpaceType::USER
        | ThreadNameSpaceType::MOUNT
        | ThreadNameSpaceType::PROCESS_ID
        | ThreadNameSpaceType::NETWORK
        | ThreadNameSpaceType::HOST_NAME_AND_NIS_DOMAIN_NAME
        | ThreadNameSpaceType::INTER_PROCESS_COMMUNICATION
        | ThreadNameSpaceType::CONTROL_GROUP;
    move_into_thread_name_spaces(pidfd.as_fd(), all).step("enter the instance")?;
    drop(pidfd);
    become_root().step("become root of the instance")?;
    let terminal = if task.exec.terminal { Some(Terminal::open().step("open a terminal")?) } else { None };
    let forwarded = [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGQUIT, libc::SIGUSR1, libc::SIGUSR2];
    let mut collected = forwarded.to_vec();
    collected.push(libc::SIGCHLD);
    let signals = Signals::collect(&collected).step("collect signals")?;
    // SAFETY: the helper has one thread, so no lock is held by another.
    let child = match unsafe { libc::fork() } {
        -1 => return Err(io::Error::last_os_error()).step("start a process; the instance may be at its process limit"),
        0 => become_command(&task, terminal),
        pid => Pid::from_raw(pid).ok_or(io::ErrorKind::InvalidData).step("start a process")?,
    };
    // The other end is the command's alone, so that its end can be seen.
    let master = terminal.map(|terminal| terminal.master);
    accompany(child, &signals, master.as_ref(), caller).step("wait for the command")
}

/// From an open directory of the host a program could walk up.
fn refuse_directories() -> io::Result<()> {
    for fd in [rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()] {
        let stat = rustix::fs::fstat(fd)?;
        if matches!(FileType::from_raw_mode(stat.st_mode), FileType::Directory | FileType::BlockDevice) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is a directory or a disk"));
        }
    }
    Ok(())
}

fn become_root() -> io::Result<()> {
    match set_thread_groups(&[]) {
        // The instance of a user without privileges has no setgroups.
        Ok(()) | Err(rustix::io::Errno::PERM) => {}
        Err(error) => return Err(error.into()),
    }
    let (uid, gid) = (rustix::process::Uid::ROOT, rustix::process::Gid::ROOT);
    set_thread_res_gid(gid, gid, gid)?;
    Ok(set_thread_res_uid(uid, uid, uid)?)
}

/// In the child: takes on the rights of a program of the instance and becomes the command.
fn become_command(task: &Task, terminal: Option<Terminal>) -> ! {
    let prepare = move || -> io::Result<()> {
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        rustix::process::setsid()?;
        if let Some(terminal) = terminal {
            rustix::process::ioctl_tiocsctty(&terminal.slave)?;
            rustix::stdio::dup2_stdin(&terminal.slave)?;
            rustix::stdio::dup2_stdout(&terminal.slave)?;
            rustix::stdio::dup2_stderr(&terminal.slave)?;
        }
        set_resource_limits(&task.limits, &task.confinement)?;
        keep_capabilities(privilege::INSTANCE)?;
        signals::unblock_all()?;
        privilege::lock()
    };
    let exec = &task.exec;
    let go = || match &exec.directory {
        Some(directory) => rustix::process::chdir(directory).step(format!("go to directory `{directory}`")),
        None => rustix::process::chdir("/root").or_else(|_| rustix::process::chdir("/")).step("go to /"),
    };
    if let Err(failure) = go() {
        eprintln!("peerway: cannot {}: {}", failure.step, failure.source);
        std::process::exit(126);
    }
    let error = match prepare() {
        Ok(()) => Command::new(&exec.argv[0])
            .args(&exec.argv[1..])
            .env_clear()
            .envs(ENVIRONMENT)
            .envs(exec.env.iter().map(|(key, value)| (key, value)))
            .exec(),
        Err(error) => error,
    };
    eprintln!("peerway: cannot run `{}`: {error}", exec.argv[0].display());
    std::process::exit(if error.kind() == io::ErrorKind::NotFound { 127 } else { 126 })
}

/// A pseudo-terminal of the instance.
struct Terminal {
    master: OwnedFd,
    slave: OwnedFd,
}

impl Terminal {
    fn open() -> io::Result<Self> {
        // Straight from devpts: /dev/ptmx is a name that the instance may have changed.
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOFOLLOW;
        let master = rustix::fs::open("/dev/pts/ptmx", flags, Mode::empty())?;
        rustix::pty::unlockpt(&master)?;
        let slave =
            rustix::pty::ioctl_tiocgptpeer(&master, OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        // Before the command starts: it may ask at once.
        copy_window_size(&master);
        Ok(Self { master, slave })
    }
}

/// Puts the caller's terminal back as it was.
struct RawMode(Termios);

impl RawMode {
    fn set() -> Option<Self> {
        let before = rustix::termios::tcgetattr(rustix::stdio::stdin()).ok()?;
        let mut raw = before.clone();
        raw.make_raw();
        rustix::termios::tcsetattr(rustix::stdio::stdin(), OptionalActions::Drain, &raw).ok()?;
        Some(Self(before))
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        let _ = rustix::termios::tcsetattr(rustix::stdio::stdin(), OptionalActions::Drain, &self.0);
    }
}

/// In the helper: hands on signals and, with a terminal, bytes, until the command ends; its exit code. Asks the command
/// to end when its caller is gone.
fn accompany(child: Pid, signals: &Signals, master: Option<&OwnedFd>, caller: &Caller) -> io::Result<u8> {
    let _raw = master.and_then(|_| RawMode::set());
    let mut waiting = caller.0.as_ref();
    let mut input_open = master.is_some();
    let mut output_open = master.is_some();
    loop {
        if let Some(master) = master {
            copy_window_size(master);
        }
        let mut set = vec![PollFd::new(signals, PollFlags::IN)];
        if let Some(master) = master {
            let wanted = |open| if open { PollFlags::IN } else { PollFlags::empty() };
            if output_open {
                set.push(PollFd::new(master, wanted(true)));
            }
            if input_open {
                set.push(PollFd::from_borrowed_fd(rustix::stdio::stdin(), wanted(true)));
            }
        }
        let input = set.len() - 1;
        if let Some(waiting) = waiting {
            // Nothing is asked for: that nobody reads any more is told all the same.
            set.push(PollFd::new(waiting, PollFlags::empty()));
        }
        // A changed window is noticed at the next turn.
        let patience = master.map(|_| crate::poll::timespec(Duration::from_millis(250)));
        match rustix::event::poll(&mut set, patience.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let input_ready = input_open && !set[input].revents().is_empty();
        let is_gone = waiting.is_some() && set.last().is_some_and(|fd| !fd.revents().is_empty());
        drop(set);
        if is_gone {
            waiting = None;
            signals::to_child(child, libc::SIGTERM);
        }
        if let Some(master) = master {
            output_open = output_open && copy_output(master)?;
            input_open = input_open && (!input_ready || copy_input(master)?);
        }
        while let Some(signal) = signals.next()? {
            if signal != libc::SIGCHLD {
                signals::to_child(child, signal);
            }
        }
        if let Some((_, status)) = rustix::process::waitpid(Some(child), WaitOptions::NOHANG)? {
            if let Some(master) = master {
                copy_output(master)?;
            }
            return Ok(exit_code(status));
        }
    }
}

fn exit_code(status: WaitStatus) -> u8 {
    let code = status.exit_status().or_else(|| status.terminating_signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(255)
}

fn copy_window_size(master: &OwnedFd) {
    if let Ok(size) = rustix::termios::tcgetwinsize(rustix::stdio::stdin())
        && rustix::termios::tcgetwinsize(master).is_ok_and(|now| (now.ws_row, now.ws_col) != (size.ws_row, size.ws_col))
    {
        let _ = rustix::termios::tcsetwinsize(master, size);
    }
}

/// Copies what the terminal shows, as much as is there; `false` when no program has it open any more.
fn copy_output(master: &OwnedFd) -> io::Result<bool> {
    let mut buffer = [0; 16 * 1024];
    for _ in 0..64 {
        match rustix::io::read(master, &mut buffer) {
            Ok(0) | Err(rustix::io::Errno::IO) => return Ok(false),
            Ok(count) => write_all(rustix::stdio::stdout(), &buffer[..count])?,
            Err(rustix::io::Errno::AGAIN) => return Ok(true),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(true)
}

/// Copies what was typed; `false` when there will be no more.
fn copy_input(master: &OwnedFd) -> io::Result<bool> {
    let mut buffer = [0; 4096];
    match rustix::io::read(rustix::stdio::stdin(), &mut buffer) {
        Ok(0) | Err(rustix::io::Errno::IO) => {
            // End of file, as a terminal says it.
            write_all(master, b"\x04")?;
            Ok(false)
        }
        Ok(count) => write_all(master, &buffer[..count]).map(|()| true),
        Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

/// Writes all, waiting for a reader that is slow; gives up on one that does not read for ten seconds.
fn write_all(fd: impl AsFd, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(&fd, bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(rustix::io::Errno::AGAIN) => {
                let mut set = [PollFd::new(&fd, PollFlags::OUT)];
                let patience = crate::poll::timespec(Duration::from_secs(10));
                if rustix::event::poll(&mut set, Some(&patience))? == 0 {
                    return Err(io::ErrorKind::TimedOut.into());
                }
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
