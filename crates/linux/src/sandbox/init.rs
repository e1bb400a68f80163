//! Init: PID 1 of an instance. It sets the instance up, runs the user data, reaps, watches the limits, and stays.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use rustix::pipe::PipeFlags;
use rustix::process::{DumpableBehavior, Pid, WaitOptions};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

use super::console::Console;
use super::initctl::{Initctl, Wish};
use super::launch::Job;
use super::root::{self, Prepared};
use super::user_data::{self, Plan};
use super::watch::Watch;
use super::{ENVIRONMENT, Failure, IdMapping, Step, etc};
use crate::netlink::Netlink;
use crate::privilege::{self, keep_capabilities};
use crate::signals::{self, Signals};

/// How long programs have between TERM and KILL when the instance is stopped. The maker's own patience may be shorter.
const GRACE: Duration = Duration::from_secs(30);
/// How BusyBox's `poweroff` asks.
const POWER_OFF: libc::c_int = libc::SIGUSR2;

/// PID 1, set up.
#[derive(Debug)]
pub(super) struct Init {
    plan: Plan,
    console: Console,
    signals: Signals,
    initctl: Initctl,
    watch: Watch,
    /// The console as programs write to it: our reading end, and what the first program gets.
    output: OwnedFd,
    input: OwnedFd,
    user_data: Option<Pid>,
    /// Since when the instance is being stopped: when to kill.
    stopping: Option<Instant>,
}

/// From a process that just got its namespaces and ids to one that is ready to run what it was made for.
pub(super) fn set_up(job: &Job, prepared: &Prepared) -> Result<Init, Failure> {
    rustix::process::setsid().step("start a session")?;
    become_root(job.id_mapping).step("become root of the instance")?;
    // Nobody inside can trace init or open its program, memory and descriptors.
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable).step("hide init")?;
    let _ = rustix::thread::set_name(c"init");
    rustix::system::sethostname(job.spec.hostname.as_bytes()).step("set the host name")?;
    Netlink::open()
        .and_then(|mut netlink| netlink.set_up("lo", true))
        .map_err(|error| Failure { step: error.to_string(), source: error.source })?;
    let log = rustix::stdio::stderr().try_clone_to_owned().step("keep the console log")?;
    let mut console = Console::new(File::from(log));
    if !root::enter(job)? {
        console.note("this machine does not let the instance have a /sys");
    }
    let last_group = if job.id_mapping == IdMapping::Range { super::IDS - 1 } else { 0 };
    // Users other than root may ping: file capabilities do not count here (`no_new_privs`).
    let _ = std::fs::write("/proc/sys/net/ipv4/ping_group_range", format!("0 {last_group}"));
    etc::fill(job, prepared)?;
    let initctl = Initctl::make().step("make /dev/initctl")?;
    let plan = user_data::plan(&job.spec.user_data);
    if plan != Plan::Nothing {
        etc::install(Path::new(user_data::FILE), &job.spec.user_data, 0o600).step("write the user data")?;
    }
    if matches!(plan, Plan::Run(_)) {
        etc::install(Path::new(user_data::SCRIPT), &job.spec.user_data, 0o700).step("write the user data")?;
    }
    let flags = PipeFlags::CLOEXEC | PipeFlags::NONBLOCK;
    let (output, input) = rustix::pipe::pipe_with(flags).step("make the console")?;
    // Programs expect to wait when their output is slow.
    rustix::fs::fcntl_setfl(&input, rustix::fs::OFlags::empty()).step("make the console")?;
    let watch = Watch::new(job);
    super::set_resource_limits(&job.spec.limits, &job.confinement).step("set the resource limits")?;
    let signals = Signals::collect(&[libc::SIGCHLD, libc::SIGTERM, libc::SIGINT, POWER_OFF]).step("collect signals")?;
    keep_capabilities(privilege::INIT).step("give up capabilities")?;
    privilege::lock().step("install the system-call filter")?;
    Ok(Init { plan, console, signals, initctl, watch, output, input, user_data: None, stopping: None })
}

impl Init {
    /// Runs the user data and stays until the instance is stopped; the exit code.
    pub(super) fn run(mut self) -> i32 {
        self.start_user_data();
        loop {
            if let Err(error) = self.turn() {
                self.console.note(&format!("init cannot go on: {error}"));
                return 1;
            }
            if let Some(kill_at) = self.stopping
                && (Instant::now() >= kill_at || alone())
            {
                // Its end takes the whole PID namespace with it.
                self.drain();
                return 0;
            }
        }
    }

    /// Waits for the next thing to do, and does it.
    fn turn(&mut self) -> io::Result<()> {
        // While stopping, processes that are not our children end unnoticed: look often.
        let patience = if self.stopping.is_some() { Duration::from_millis(20) } else { self.watch.patience() };
        let timeout = crate::poll::timespec(patience);
        let mut set = [
            PollFd::new(&self.signals, PollFlags::IN),
            PollFd::new(&self.output, PollFlags::IN),
            PollFd::new(&self.initctl, PollFlags::IN),
        ];
        match rustix::event::poll(&mut set, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        self.drain();
        while let Some(signal) = self.signals.next()? {
            if signal != libc::SIGCHLD {
                self.stop();
            }
        }
        match self.initctl.wish() {
            Some(Wish::ShutDown) => self.stop(),
            Some(Wish::Restart) => {
                self.console.note("the instance cannot restart itself; use `aws ec2 reboot-instances` from outside");
            }
            None => {}
        }
        self.reap();
        self.watch.look(&mut self.console);
        Ok(())
    }

    fn stop(&mut self) {
        if self.stopping.is_none() {
            self.console.note("the instance is being stopped");
            signals::to_all_but_init(libc::SIGTERM);
            self.stopping = Some(Instant::now() + GRACE);
        }
    }

    /// Moves what programs wrote to the log; at most a megabyte at a time.
    fn drain(&mut self) {
        let mut buffer = [0; 64 * 1024];
        for _ in 0..16 {
            match rustix::io::read(&self.output, &mut buffer) {
                Ok(count) if count > 0 => self.console.output(&buffer[..count]),
                _ => return,
            }
        }
    }

    fn reap(&mut self) {
        while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
            if Some(pid) == self.user_data {
                self.user_data = None;
                self.drain();
                self.console.note(&match (status.exit_status(), status.terminating_signal()) {
                    (Some(code), _) => format!("the user data ended with exit code {code}"),
                    (_, signal) => format!("the user data was ended by signal {}", signal.unwrap_or(0)),
                });
            }
        }
    }

    fn start_user_data(&mut self) {
        match &self.plan {
            Plan::Nothing => {}
            Plan::Keep(kind) => {
                let file = user_data::FILE;
                self.console.note(&format!("the user data is {kind}, which is not run here; it is in {file}"));
            }
            Plan::Run(words) => match start(words, &self.input) {
                Ok(pid) => self.user_data = Some(pid),
                Err(error) => self.console.note(&format!("cannot run the user data: {error}")),
            },
        }
    }
}

/// Whether no other process is left in the instance.
fn alone() -> bool {
    super::watch::processes().is_ok_and(|pids| pids.count() <= 1)
}

fn become_root(id_mapping: IdMapping) -> io::Result<()> {
    match set_thread_groups(&[]) {
        // A user without privileges gave up setgroups to get its mapping.
        Err(rustix::io::Errno::PERM) if id_mapping == IdMapping::Single => {}
        other => other?,
    }
    let (uid, gid) = (rustix::process::Uid::ROOT, rustix::process::Gid::ROOT);
    set_thread_res_gid(gid, gid, gid)?;
    Ok(set_thread_res_uid(uid, uid, uid)?)
}

fn start(words: &[std::path::PathBuf], output: &OwnedFd) -> io::Result<Pid> {
    let (program, arguments) = words.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env_clear()
        .envs(ENVIRONMENT)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output.try_clone()?);
    // SAFETY: init has one thread, so after the fork no lock is held by another and allocation is safe.
    unsafe { command.pre_exec(prepare_program) };
    let child = command.spawn()?;
    i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

fn prepare_program() -> io::Result<()> {
    rustix::process::setsid()?;
    keep_capabilities(privilege::INSTANCE)?;
    signals::unblock_all()
}
