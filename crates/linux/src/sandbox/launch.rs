//! Making an instance: the maker's side, and stage 1 of the helper.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::process::{Child, ExitCode, Stdio};
use std::time::Duration;

use rustix::mount::MountPropagationFlags;
use rustix::thread::UnshareFlags;
use serde::{Deserialize, Serialize};

use super::{Failure, IDS, INIT_WORD, IdMapping, Record, Sandbox, SandboxError, Spec, Step, close_from, init, root};
use crate::cgroup::{Cgroup, Confinement};
use crate::frames;
use crate::process::Birth;

/// How long a helper may take over one step.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the maker tells the helper.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum ToHelper {
    Job(Box<Job>),
    Mapped,
    Start,
}

/// What the helper tells the maker.
#[derive(Debug, Serialize, Deserialize)]
enum FromHelper {
    Unshared,
    Init { pid: u32 },
    Ready,
    Failed { step: String, reason: String },
}

/// All that the helper needs to know.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Job {
    pub(super) spec: Spec,
    pub(super) confinement: Confinement,
    pub(super) id_mapping: IdMapping,
    /// The id, as the maker sees it, that the instance's root stands for.
    pub(super) owner: u32,
}

/// The maker's side.
pub(super) fn create(spec: &Spec) -> Result<Sandbox, SandboxError> {
    check(spec)?;
    let id = &spec.id;
    let step = |step: &str, source: io::Error| SandboxError::Step { id: id.clone(), step: step.to_owned(), source };
    fs::create_dir_all(&spec.root_dir).map_err(|e| step("make the root directory", e))?;
    let mut log = OpenOptions::new();
    let log = log.read(true).append(true).create(true).mode(0o600).open(&spec.console_log);
    let log = log.map_err(|e| step("open the console log", e))?;
    let ending = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&spec.ending);
    let ending = ending.map_err(|e| step("open the file of its end", e))?;
    let (control, theirs) = UnixStream::pair().map_err(|e| step("make a socket pair", e))?;
    control.set_read_timeout(Some(PATIENCE)).map_err(|e| step("set a time limit", e))?;
    let mut command = super::helper(spec.helper.as_ref(), INIT_WORD);
    let helper = command.stdin(OwnedFd::from(theirs)).stdout(ending).stderr(Stdio::from(log)).spawn();
    // The command holds the helper's end; as long as it is open here, a dead helper would not be noticed.
    drop(command);
    let helper = helper.map_err(|e| step("start the helper", e))?;
    let name = format!("{}-{id}", spec.cgroup_prefix);
    let (cgroup, confinement) = Cgroup::confine(&name, helper.id(), spec.limits.processes, spec.limits.memory_bytes);
    let mut attempt = Attempt { helper, control, cgroup, init: None };
    match attempt.drive(spec, confinement) {
        Ok((record, pidfd, netns)) => Ok(Sandbox { record, pidfd, netns, control: Some(attempt.control) }),
        Err(error) => {
            attempt.abandon();
            Err(error)
        }
    }
}

fn check(spec: &Spec) -> Result<(), SandboxError> {
    let refuse = |what: String| Err(SandboxError::Spec { id: spec.id.clone(), what });
    for (name, value) in [("id", &spec.id), ("cgroup_prefix", &spec.cgroup_prefix)] {
        let plain = value.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
        if value.is_empty() || value.len() > 64 || !plain {
            return refuse(format!("{name} `{value}` must be 1 to 64 ASCII letters, digits, `-` or `_`"));
        }
    }
    if spec.hostname.is_empty() || spec.hostname.len() > 64 || spec.hostname.contains(['\0', '/', '\n']) {
        return refuse(format!("hostname `{}` must be 1 to 64 bytes without `/` and line ends", spec.hostname));
    }
    if !spec.root_dir.is_absolute() {
        return refuse(format!("root_dir `{}` must be absolute", spec.root_dir.display()));
    }
    let limits = &spec.limits;
    for (name, value, least) in [
        ("processes", limits.processes, 4),
        ("memory_bytes", limits.memory_bytes, 16 << 20),
        ("disk_bytes", limits.disk_bytes, 4 << 20),
        ("open_files", limits.open_files, 256),
    ] {
        if value < least {
            return refuse(format!("limit {name} of {value} is too low: at least {least}"));
        }
    }
    Ok(())
}

/// An instance that is not there yet.
struct Attempt {
    helper: Child,
    control: UnixStream,
    cgroup: Cgroup,
    init: Option<(Birth, OwnedFd)>,
}

impl Attempt {
    fn drive(&mut self, spec: &Spec, confinement: Confinement) -> Result<(Record, OwnedFd, OwnedFd), SandboxError> {
        let step =
            |failure: Failure| SandboxError::Step { id: spec.id.clone(), step: failure.step, source: failure.source };
        let (id_mapping, owner) = id_mapping(spec.uid_base).step("read the id maps").map_err(step)?;
        let job = Job { spec: spec.clone(), confinement, id_mapping, owner };
        self.tell(spec, &ToHelper::Job(Box::new(job)))?;
        self.expect(spec, |message| matches!(message, FromHelper::Unshared))?;
        let ids = if id_mapping == IdMapping::Range { IDS } else { 1 };
        for file in ["uid_map", "gid_map"] {
            let path = format!("/proc/{}/{file}", self.helper.id());
            fs::write(path, format!("0 {owner} {ids}")).step(format!("write {file}")).map_err(step)?;
        }
        self.tell(spec, &ToHelper::Mapped)?;
        // The helper says who init is, init says that it is ready; either may be first.
        let mut ready = false;
        while !ready || self.init.is_none() {
            match self.expect(spec, |message| matches!(message, FromHelper::Ready | FromHelper::Init { .. }))? {
                FromHelper::Init { pid } => self.meet(pid).step("find init").map_err(step)?,
                _ => ready = true,
            }
        }
        self.helper.wait().step("end the helper").map_err(step)?;
        let Some((birth, pidfd)) = self.init.take() else {
            return Err(step(Failure { step: "find init".to_owned(), source: io::ErrorKind::NotFound.into() }));
        };
        let netns = crate::namespace::of_process(birth.pid).step("open its network namespace").map_err(step)?;
        let record = Record {
            id: spec.id.clone(),
            birth,
            cgroup: self.cgroup.clone(),
            confinement,
            id_mapping,
            limits: spec.limits,
            helper: spec.helper.clone(),
            ending: spec.ending.clone(),
        };
        Ok((record, pidfd, netns))
    }

    fn tell(&self, spec: &Spec, message: &ToHelper) -> Result<(), SandboxError> {
        // A helper that does not listen may have said why.
        frames::send(&self.control, message).or_else(|_| self.expect(spec, |_| false).map(drop))
    }

    fn expect(&self, spec: &Spec, wanted: impl Fn(&FromHelper) -> bool) -> Result<FromHelper, SandboxError> {
        let helper = |step: String, reason: String| SandboxError::Helper { id: spec.id.clone(), step, reason };
        match frames::receive(&self.control) {
            Ok(FromHelper::Failed { step, reason }) => Err(helper(step, reason)),
            Ok(message) if wanted(&message) => Ok(message),
            Ok(message) => Err(helper("follow the helper".to_owned(), format!("it said {message:?}"))),
            Err(error) => {
                let log = spec.console_log.display();
                let reason = format!("{error}; its program must call `linux::helper_main`, or see `{log}`");
                Err(helper("hear from the helper".to_owned(), reason))
            }
        }
    }

    /// Init is a child of ours (`CLONE_PARENT`), so its pid is its own until we reap it.
    fn meet(&mut self, pid: u32) -> io::Result<()> {
        let birth = Birth::of(pid)?;
        let pidfd = birth.open()?.ok_or(io::ErrorKind::NotFound)?;
        self.init = Some((birth, pidfd));
        Ok(())
    }

    /// Leaves nothing behind. An init that we never met ends by itself when `control` closes.
    fn abandon(mut self) {
        if let Some((_, pidfd)) = self.init.take() {
            let _ = super::end(&pidfd);
        }
        let _ = self.helper.kill();
        let _ = self.helper.wait();
        drop(self.control);
        let _ = self.cgroup.remove();
    }
}

/// A range of ids of its own where this process may hand them out, else the maker's one id.
fn id_mapping(uid_base: u32) -> io::Result<(IdMapping, u32)> {
    let euid = rustix::process::geteuid().as_raw();
    let whole = covers(&fs::read_to_string("/proc/self/uid_map")?, uid_base)
        && covers(&fs::read_to_string("/proc/self/gid_map")?, uid_base);
    Ok(if euid == 0 && whole { (IdMapping::Range, uid_base) } else { (IdMapping::Single, euid) })
}

/// Whether [`IDS`] ids from `base` on exist in the user namespace with this map (lines of first inside, first outside,
/// count).
fn covers(map: &str, base: u32) -> bool {
    map.lines().any(|line| {
        let mut fields = line.split_ascii_whitespace().map(|field| field.parse::<u64>().unwrap_or(0));
        let (first, count) = (fields.next().unwrap_or(0), fields.nth(1).unwrap_or(0));
        base > 0 && first <= u64::from(base) && u64::from(base) + u64::from(IDS) <= first + count
    })
}

/// Stage 1: entry of the hidden helper `sandbox-init`.
#[must_use]
pub fn init_main() -> ExitCode {
    let Ok(control) = take_control() else { return ExitCode::FAILURE };
    match stage_1(&control) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => report(&control, &failure),
    }
}

/// The maker's socket, which came as standard input. Nothing else is inherited.
fn take_control() -> io::Result<UnixStream> {
    close_from(3)?;
    let control = rustix::stdio::stdin().try_clone_to_owned()?;
    rustix::stdio::dup2_stdin(fs::File::open("/dev/null")?)?;
    Ok(UnixStream::from(control))
}

fn report(control: &UnixStream, failure: &Failure) -> ExitCode {
    let message = FromHelper::Failed { step: failure.step.clone(), reason: failure.source.to_string() };
    let _ = frames::send(control, &message);
    ExitCode::FAILURE
}

fn stage_1(control: &UnixStream) -> Result<(), Failure> {
    let ToHelper::Job(job) = frames::receive(control).step("read the job")? else {
        return Err(Failure { step: "read the job".to_owned(), source: io::ErrorKind::InvalidData.into() });
    };
    super::volunteer_for_oom().step("volunteer to be killed when memory is short")?;
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    // SAFETY: a helper has one thread; its descriptors stay.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNS) }.step("make a mount namespace")?;
    rustix::mount::mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .step("make the mounts private")?;
    let prepared = root::prepare(&job)?;
    // One call: the kernel makes the user namespace first, and the others belong to it.
    let all = UnshareFlags::NEWUSER
        | UnshareFlags::NEWNS
        | UnshareFlags::NEWPID
        | UnshareFlags::NEWNET
        | UnshareFlags::NEWUTS
        | UnshareFlags::NEWIPC
        | UnshareFlags::NEWCGROUP;
    // SAFETY: a helper has one thread; its descriptors stay.
    unsafe { rustix::thread::unshare_unsafe(all) }.step("make the namespaces")?;
    frames::send(control, &FromHelper::Unshared).step("speak to the maker")?;
    let ToHelper::Mapped = frames::receive(control).step("wait for the id maps")? else {
        return Err(Failure { step: "wait for the id maps".to_owned(), source: io::ErrorKind::InvalidData.into() });
    };
    match fork_sibling().step("start init")? {
        0 => become_init(control, &job, &prepared),
        pid => frames::send(control, &FromHelper::Init { pid }).step("speak to the maker"),
    }
}

/// Forks init as a child of the maker, who can wait for it then; 0 in init.
fn fork_sibling() -> io::Result<u32> {
    let flags = libc::c_ulong::from((libc::CLONE_PARENT | libc::SIGCHLD).unsigned_abs());
    // SAFETY: without CLONE_VM this is a fork, and without a stack init goes on on its copy of this one. There is one
    // thread, so no lock is held by another.
    let pid = unsafe { libc::syscall(libc::SYS_clone, flags, 0_usize, 0_usize, 0_usize, 0_usize) };
    u32::try_from(pid).map_err(|_| io::Error::last_os_error())
}

fn become_init(control: &UnixStream, job: &Job, prepared: &root::Prepared) -> ! {
    let code = match init::set_up(job, prepared) {
        Ok(init) => wait_for_start(control).map_or(0, |()| {
            let code = init.run();
            // Standard output is the file of the end. Whoever cannot read it takes the instance for broken.
            let _ = rustix::io::write(rustix::stdio::stdout(), format!("{code}\n").as_bytes());
            code
        }),
        Err(failure) => {
            report(control, &failure);
            1
        }
    };
    std::process::exit(code)
}

/// Tells the maker that all is ready, and waits for its word; `None` when the maker is gone or has changed its mind.
fn wait_for_start(control: &UnixStream) -> Option<()> {
    frames::send(control, &FromHelper::Ready).ok()?;
    let ToHelper::Start = frames::receive(control).ok()? else { return None };
    control.shutdown(std::net::Shutdown::Both).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::Limits;

    fn spec() -> Spec {
        Spec {
            id: "i-1".to_owned(),
            hostname: "h".to_owned(),
            root_dir: "/nonexistent/root".into(),
            resolv_conf: String::new(),
            hosts: String::new(),
            user_data: vec![],
            uid_base: 1 << 20,
            limits: Limits::default(),
            console_log: "/nonexistent/log".into(),
            ending: "/nonexistent/ending".into(),
            cgroup_prefix: "test".to_owned(),
            helper: None,
        }
    }

    #[test]
    fn impossible_specifications_are_refused_by_name() {
        type Change = fn(&mut Spec);
        let refusals: [(&str, Change); 7] = [
            ("id `` must", |s| s.id.clear()),
            ("id `../x` must", |s| s.id = "../x".to_owned()),
            ("cgroup_prefix `a/b` must", |s| s.cgroup_prefix = "a/b".to_owned()),
            ("hostname `a\nb` must", |s| s.hostname = "a\nb".to_owned()),
            ("root_dir `here` must", |s| s.root_dir = "here".into()),
            ("limit processes of 0", |s| s.limits.processes = 0),
            ("limit open_files of 3", |s| s.limits.open_files = 3),
        ];
        for (text, change) in refusals {
            let mut spec = spec();
            change(&mut spec);
            let error = create(&spec).expect_err(text).to_string();
            assert!(error.contains(text), "{error}");
        }
        assert!(check(&spec()).is_ok());
    }

    #[test]
    fn a_range_of_ids_must_lie_in_one_line_of_the_map() {
        assert!(covers("         0          0 4294967295\n", 1 << 20));
        assert!(!covers("0 1000 1\n", 1 << 20));
        assert!(covers("0 1000 1\n1 100000 131072\n", 65_537));
        assert!(!covers("0 1000 1\n1 100000 65536\n", 2));
        assert!(!covers("0 0 4294967295", 0), "never the maker's own root");
        assert!(!covers("garbage", 1));
    }
}
