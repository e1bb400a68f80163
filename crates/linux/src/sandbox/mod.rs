//! The mechanism of an instance: a process tree with its own network, mount, PID, UTS, IPC, control-group and user
//! namespaces that cannot hurt the machine it runs on.
//!
//! ```text
//!   maker (agent)                  helper, stage 1                  init (PID 1 of the instance)
//!   spawn itself, "sandbox-init" -> mounts, with the maker's rights
//!   control group                   unshare everything ------------>
//!   write uid_map, gid_map          clone init; ends                own /proc, /sys, /dev; new root; /etc
//!                                                                   capabilities, no_new_privs, seccomp, limits
//!   <---------------------------------------------------- ready -- waits
//!   TAP in its network namespace
//!   start() ------------------------------------------------------> runs UserData, reaps, watches, stays
//! ```
//!
//! What an instance sees of the host is an allow-list: `/usr` and a few trees of `/etc` (certificates, alternatives),
//! read-only, and six harmless devices. Everything else below its root is its own and lies in [`Spec::root_dir`].
//!
//! - *Stage 1* does every mount that needs a path of the host while it still has the maker's rights; all of them are
//!   then locked, because the instance's mount namespace belongs to a lesser user namespace (mount_namespaces(7)).
//! - *Ids*: a maker that is root maps 65,536 ids from [`Spec::uid_base`] on; one that is root only in a user namespace
//!   of its own ([`enter_user_namespace`](crate::namespace::enter_user_namespace)) maps its one id.
//! - *Limits*: processes and memory by control group, else by resource limits and a watch of init ([`Confinement`] says
//!   which). Disk by `RLIMIT_FSIZE` for each file and a watch of init for all of them: a filesystem of limited size
//!   would need a loop device, which a plain user cannot have, or project quotas, which few machines have on. The watch
//!   looks every three seconds or less often (it spends at most a fiftieth of its time), so an instance can exceed the
//!   limit by what it writes in between; then all its programs are killed.
//! - *Init* cannot be killed or traced from inside, and its program file cannot be opened from there.
//! - *The maker may end*: nothing of an instance depends on it once it is started. Init writes the console to its file itself, and its
//!   exit code to [`Spec::ending`]; another maker finds the instance by its [`Record`].

mod console;
mod enter;
mod etc;
mod init;
mod initctl;
mod launch;
mod remove;
mod root;
mod user_data;
mod watch;

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Signal, WaitId, WaitIdOptions};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::cgroup::{Cgroup, Confinement};
use crate::process::{self, Birth};

pub use enter::{Exec, enter_main};
pub use launch::init_main;
pub use remove::remove_files;

/// Hidden first argument of the process that becomes an instance.
pub const INIT_WORD: &str = "sandbox-init";
/// Hidden first argument of the process that runs a command in an instance.
pub const ENTER_WORD: &str = "sandbox-enter";
/// How many user and group ids an instance of a root maker has, from [`Spec::uid_base`] on.
pub const IDS: u32 = 65_536;

/// What an instance may use. Each is at least what init itself needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Processes and threads.
    pub processes: u64,
    /// Bytes of memory, file cache and temporary file systems included.
    pub memory_bytes: u64,
    /// Bytes of its files on the host's disk.
    pub disk_bytes: u64,
    /// Open descriptors of each process.
    pub open_files: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { processes: 512, memory_bytes: 512 << 20, disk_bytes: 1 << 30, open_files: 4096 }
    }
}

/// What instance to make.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Spec {
    /// Name among the maker's instances: ASCII letters, digits, `-` and `_`, at most 64.
    pub id: String,
    /// Host name.
    pub hostname: String,
    /// Directory that becomes its root; made if missing, kept over stop and start, removed by [`remove_files`].
    pub root_dir: PathBuf,
    /// `/etc/resolv.conf`.
    pub resolv_conf: String,
    /// `/etc/hosts`.
    pub hosts: String,
    /// User data as given to RunInstances, decoded.
    pub user_data: Vec<u8>,
    /// First of the [`IDS`] host ids that its ids stand for; the same at each start, and no other instance's.
    pub uid_base: u32,
    /// What it may use.
    pub limits: Limits,
    /// File that its console output is appended to (kept below 1 MiB).
    pub console_log: PathBuf,
    /// File that init writes its exit code to when it ends by itself, for a maker that is not its parent any more.
    pub ending: PathBuf,
    /// Begins the name of its control groups: two makers on one machine differ in it.
    pub cgroup_prefix: String,
    /// Program that calls [`helper_main`](crate::helper_main); `None`: this very program.
    pub helper: Option<PathBuf>,
}

/// Why an instance could not be made.
#[derive(Debug, Error)]
pub enum SandboxError {
    /// The specification cannot be met.
    #[error("sandbox `{id}`: {what}")]
    Spec {
        /// The instance.
        id: String,
        /// What is wrong and what would be right.
        what: String,
    },
    /// A step of the maker failed.
    #[error("sandbox `{id}`: cannot {step}")]
    Step {
        /// The instance.
        id: String,
        /// What failed.
        step: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A step of the helper or of init failed.
    #[error("sandbox `{id}`: cannot {step}: {reason}")]
    Helper {
        /// The instance.
        id: String,
        /// What failed.
        step: String,
        /// Why, in the kernel's words.
        reason: String,
    },
}

/// How the ids of an instance stand for ids of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum IdMapping {
    /// [`IDS`] ids from [`Spec::uid_base`] on.
    Range,
    /// Root only, which stands for the maker's own id.
    Single,
}

/// What a maker writes down to find its instance again after it was killed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// [`Spec::id`].
    pub id: String,
    /// Init.
    pub birth: Birth,
    /// Its control groups.
    pub cgroup: Cgroup,
    /// What holds its limits.
    pub confinement: Confinement,
    /// How its ids are mapped.
    pub id_mapping: IdMapping,
    /// What it may use.
    pub limits: Limits,
    /// [`Spec::helper`].
    pub helper: Option<PathBuf>,
    /// [`Spec::ending`].
    #[serde(default)]
    pub ending: PathBuf,
}

impl Record {
    /// How the instance ended that another maker started: `None` while it runs, or when nobody can know, because the machine was
    /// started anew.
    ///
    /// # Errors
    /// The kernel's.
    pub fn ending(&self) -> io::Result<Option<Ending>> {
        if !self.birth.is_of_this_boot()? || self.birth.open()?.is_some() {
            return Ok(None);
        }
        Ok(Some(self.written_ending()))
    }

    fn written_ending(&self) -> Ending {
        let code = fs::read_to_string(&self.ending).ok().and_then(|text| text.trim_end().parse().ok());
        code.map_or_else(|| Ending::Broken(format!("{FIRST_PROCESS} was killed from outside of the instance")), ended)
    }

    /// Kills what may be left of this instance and removes its control groups; whether it was still running. A process
    /// that merely has the same pid is left alone.
    ///
    /// # Errors
    /// When it does not end within ten seconds, or the kernel refuses.
    pub fn kill_leftover(&self) -> io::Result<bool> {
        let running = self.birth.open()?;
        if let Some(pidfd) = &running {
            end(pidfd)?;
        }
        self.cgroup.remove()?;
        Ok(running.is_some())
    }
}

/// How an instance ended that nobody asked to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// By its own will: something inside told init to shut down.
    ShutDown,
    /// Init failed, or was killed from outside: what happened to it.
    Broken(String),
}

/// A running instance. Dropping the value leaves a started instance running (its [`Record`] finds it again) and ends one
/// that was never started.
#[derive(Debug)]
pub struct Sandbox {
    record: Record,
    pidfd: OwnedFd,
    netns: OwnedFd,
    /// Where init waits for the start; closed afterwards.
    control: Option<std::os::unix::net::UnixStream>,
}

impl Sandbox {
    /// Makes an instance up to where init is ready and waits. Its network namespace has nothing but a loopback, which is
    /// up. Blocks for some tens of milliseconds; thirty seconds at the very most.
    ///
    /// # Errors
    /// When the specification is impossible or the machine refuses a step; nothing is left running then.
    pub fn create(spec: &Spec) -> Result<Self, SandboxError> {
        launch::create(spec)
    }

    /// Lets init go on: it runs the user data. Once.
    ///
    /// # Errors
    /// When it was started before, or has died.
    pub fn start(&mut self) -> io::Result<()> {
        let control = self.control.take();
        let control = control.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "started before"))?;
        crate::frames::send(&control, &launch::ToHelper::Start)
    }

    /// An instance that another process of the same maker started; `None` when it has ended.
    ///
    /// # Errors
    /// The kernel's.
    pub fn adopt(record: Record) -> io::Result<Option<Self>> {
        let Some(pidfd) = record.birth.open()? else { return Ok(None) };
        let netns = match crate::namespace::of_process(record.birth.pid) {
            Ok(netns) => netns,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        // Had it ended in between, the pid and what was opened by it could be a stranger's.
        let is_its_own = !process::wait(&pidfd, Duration::ZERO)?;
        Ok(is_its_own.then_some(Self { record, pidfd, netns, control: None }))
    }

    /// What to write down.
    #[must_use]
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// Its network namespace.
    #[must_use]
    pub fn netns(&self) -> BorrowedFd<'_> {
        self.netns.as_fd()
    }

    /// Init: readable once it has ended.
    #[must_use]
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// Whether init still runs.
    ///
    /// # Errors
    /// The kernel's.
    pub fn is_running(&self) -> io::Result<bool> {
        Ok(!process::wait(&self.pidfd, Duration::ZERO)?)
    }

    /// How the instance ended; `None` while init runs.
    ///
    /// # Errors
    /// The kernel's.
    pub fn ending(&self) -> io::Result<Option<Ending>> {
        if self.is_running()? {
            return Ok(None);
        }
        // Its status stays for [`Sandbox::kill`].
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        match rustix::process::waitid(WaitId::PidFd(self.pidfd.as_fd()), options) {
            Ok(Some(status)) => Ok(Some(match (status.exit_status(), status.terminating_signal()) {
                (Some(code), _) => ended(code),
                (None, Some(signal)) => {
                    let from = "from outside of the instance";
                    Ending::Broken(format!("{FIRST_PROCESS} was killed by signal {signal} {from}"))
                }
                (None, None) => Ending::Broken(format!("{FIRST_PROCESS} ended")),
            })),
            // Another process made it, and has its status.
            Ok(None) | Err(rustix::io::Errno::CHILD) => Ok(Some(self.record.written_ending())),
            Err(error) => Err(error.into()),
        }
    }

    /// Starts a command inside. The child is a helper that hands on signals (TERM, INT, HUP, QUIT, USR1, USR2) and ends
    /// with the command's exit code; 128 + n when signal n killed it, 127 when the program was not found, 126 when it
    /// could not be run, 125 when the instance could not be entered.
    ///
    /// # Errors
    /// When the helper cannot be started.
    pub fn exec(&self, exec: &Exec, stdio: [OwnedFd; 3]) -> io::Result<Child> {
        enter::spawn(&self.record, exec, stdio, None)
    }

    /// The same for a caller in another process, which needs this one no more: the helper writes the exit code to `ending`, a pipe, as
    /// one byte, and asks the command to end (TERM) when nobody reads it any more. A pipe that ends without a byte: the helper was killed.
    ///
    /// # Errors
    /// As [`Sandbox::exec`].
    pub fn exec_apart(&self, exec: &Exec, stdio: [OwnedFd; 3], ending: OwnedFd) -> io::Result<Child> {
        let child = enter::spawn(&self.record, exec, stdio, Some(&ending));
        // The helper's is the only one from here on, so that its end is seen.
        drop(ending);
        child
    }

    /// Asks the programs inside to end (TERM), waits at most `grace`, then kills. Removes the control groups; files stay.
    ///
    /// # Errors
    /// As [`Sandbox::kill`].
    pub fn stop(self, grace: Duration) -> io::Result<()> {
        if self.control.is_none() {
            process::signal(&self.pidfd, Signal::TERM)?;
            process::wait(&self.pidfd, grace)?;
        }
        self.kill()
    }

    /// Kills everything inside at once, waits for it, and removes the control groups; files stay. Also to be called when
    /// init ended by itself.
    ///
    /// # Errors
    /// When it does not end within ten seconds, or the kernel refuses.
    pub fn kill(self) -> io::Result<()> {
        end(&self.pidfd)?;
        self.record.cgroup.remove()
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        if self.control.take().is_some() {
            // Nobody knows of it, so nobody else clears it away; there is no one to tell of an error.
            let _ = end(&self.pidfd).and_then(|()| self.record.cgroup.remove());
        }
    }
}

const FIRST_PROCESS: &str = "the instance's first process";

/// Init ended by itself.
fn ended(code: i32) -> Ending {
    match code {
        0 => Ending::ShutDown,
        code => Ending::Broken(format!("{FIRST_PROCESS} ended with exit code {code}; its console says why")),
    }
}

/// Kills init, and with it its whole PID namespace; reaps it if it is a child of this process.
fn end(pidfd: &OwnedFd) -> io::Result<()> {
    process::signal(pidfd, Signal::KILL)?;
    if !process::wait(pidfd, Duration::from_secs(10))? {
        return Err(io::Error::new(io::ErrorKind::TimedOut, "init does not end within 10 s of being killed"));
    }
    match rustix::process::waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED) {
        Ok(_) | Err(rustix::io::Errno::CHILD) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// A step that failed, on its way to whoever asked for it.
#[derive(Debug)]
struct Failure {
    step: String,
    source: io::Error,
}

/// Names the step that an error belongs to.
trait Step<T> {
    fn step(self, step: impl Into<String>) -> Result<T, Failure>;
}

impl<T, E: Into<io::Error>> Step<T> for Result<T, E> {
    fn step(self, step: impl Into<String>) -> Result<T, Failure> {
        self.map_err(|source| Failure { step: step.into(), source: source.into() })
    }
}

/// A command that runs this program again as the helper `word`, with a clean environment.
pub(crate) fn helper(program: Option<&PathBuf>, word: &str) -> Command {
    let own = PathBuf::from("/proc/self/exe");
    let mut command = Command::new(program.unwrap_or(&own));
    command.arg(word).env_clear().current_dir("/").stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// The environment of every program in an instance.
const ENVIRONMENT: [(&str, &str); 6] = [
    ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
    ("HOME", "/root"),
    ("USER", "root"),
    ("LOGNAME", "root"),
    ("SHELL", "/bin/sh"),
    ("LANG", "C.UTF-8"),
];

/// Closes every descriptor from `first` on.
fn close_from(first: libc::c_uint) -> io::Result<()> {
    // SAFETY: called by helpers before they own any descriptor from `first` on.
    let done = unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, 0) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Sets the limits that each process carries itself; never above what the maker has.
fn set_resource_limits(limits: &Limits, confinement: &Confinement) -> io::Result<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let mut wanted = vec![
        (Resource::Nofile, limits.open_files),
        (Resource::Fsize, limits.disk_bytes.max(console::LEN_MAX * 2)),
        (Resource::Nproc, limits.processes),
        (Resource::Core, 0),
    ];
    if confinement.memory == crate::Mechanism::Rlimit {
        wanted.push((Resource::Data, limits.memory_bytes));
    }
    for (resource, value) in wanted {
        let value = Some(getrlimit(resource).maximum.map_or(value, |hard| hard.min(value)));
        setrlimit(resource, Rlimit { current: value, maximum: value })?;
    }
    Ok(())
}

/// Makes this helper and all it starts the first to go when the machine runs out of memory. While it is dumpable:
/// afterwards its files in `/proc` are root's.
fn volunteer_for_oom() -> io::Result<()> {
    fs::write("/proc/self/oom_score_adj", "200")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_survives_being_written_down() -> Result<(), Box<dyn std::error::Error>> {
        let record = Record {
            id: "i-1".to_owned(),
            birth: Birth::of(std::process::id())?,
            cgroup: Cgroup::default(),
            confinement: Confinement { processes: crate::Mechanism::CgroupV1, memory: crate::Mechanism::Rlimit },
            id_mapping: IdMapping::Range,
            limits: Limits::default(),
            helper: None,
            ending: PathBuf::new(),
        };
        assert_eq!(serde_json::from_str::<Record>(&serde_json::to_string(&record)?)?, record);
        Ok(())
    }

    #[test]
    fn a_leftover_that_is_a_stranger_is_left_alone() -> io::Result<()> {
        let mut stranger = Command::new("sleep").arg("60").spawn()?;
        let mut birth = Birth::of(stranger.id())?;
        birth.start_time -= 1;
        let record = Record {
            id: "i-1".to_owned(),
            birth,
            cgroup: Cgroup::default(),
            confinement: Confinement { processes: crate::Mechanism::Rlimit, memory: crate::Mechanism::Rlimit },
            id_mapping: IdMapping::Single,
            limits: Limits::default(),
            helper: None,
            ending: PathBuf::new(),
        };
        assert!(!record.kill_leftover()?);
        assert!(stranger.try_wait()?.is_none(), "it still runs");
        stranger.kill()?;
        stranger.wait()?;
        Ok(())
    }
}
