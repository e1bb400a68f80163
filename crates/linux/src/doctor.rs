//! What this machine allows, found out by trying each thing in a child process, never by guessing.

use std::fs;
use std::io::{self, Read};
use std::path::Path;
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use rustix::thread::UnshareFlags;
use serde::{Deserialize, Serialize};

use crate::namespace;
use crate::process::{self, Birth};
use crate::sandbox::{self, Exec, Limits, Sandbox, Spec};
use crate::tap::{Offloads, Tap};

/// Hidden first argument of the process that tries things.
pub const PROBE_WORD: &str = "doctor-probe";

/// How long all trying may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// One thing that was tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// What was tried.
    pub name: String,
    /// Whether it works. Peerway needs all that are not `optional`.
    pub ok: bool,
    /// Whether Peerway works without it, less well.
    pub optional: bool,
    /// What was found.
    pub detail: String,
    /// What to do about it; empty when all is well.
    pub remedy: String,
}

/// Tries everything; takes about a second. The program must call [`helper_main`](crate::helper_main). `directory` is
/// where a small instance may be made for a moment: on the file system that instances will lie on.
#[must_use]
pub fn checks(directory: &Path) -> Vec<Check> {
    let mut checks = vec![tun_device()];
    checks.extend(in_child("namespaces", directory));
    checks.extend(in_child("tap", directory));
    checks.extend(in_child("sandbox", directory));
    checks.push(open_files());
    checks.push(forwarding());
    checks
}

/// Whether packets of IPv4 that are for others are sent on, in the network namespace of the calling thread.
#[must_use]
pub fn forwards_ipv4() -> bool {
    is_on("/proc/sys/net/ipv4/ip_forward")
}

/// The same of IPv6.
#[must_use]
pub fn forwards_ipv6() -> bool {
    is_on("/proc/sys/net/ipv6/conf/all/forwarding")
}

fn is_on(path: &str) -> bool {
    fs::read_to_string(path).is_ok_and(|text| !matches!(text.trim(), "" | "0"))
}

/// Only for those who want packets to leave the cloud.
fn forwarding() -> Check {
    let word = |is_on| if is_on { "on" } else { "off" };
    let (ipv4, ipv6) = (forwards_ipv4(), forwards_ipv6());
    let detail = format!("IPv4 {}, IPv6 {}", word(ipv4), word(ipv6));
    let remedy = "only for `--uplink`, where packets leave the cloud: `sysctl -w net.ipv4.ip_forward=1`, and for IPv6 \
                  `sysctl -w net.ipv6.conf.all.forwarding=1`";
    optional("forwarding", ipv4, detail, remedy)
}

/// Entry of the hidden helper `doctor-probe`.
#[must_use]
pub fn probe_main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(2);
    let (probe, directory) = (arguments.next().unwrap_or_default(), arguments.next().unwrap_or_default());
    let found = match probe.to_str() {
        Some("namespaces") => namespaces(),
        Some("tap") => tap(),
        Some("sandbox") => whole_sandbox(Path::new(&directory)),
        _ => return ExitCode::FAILURE,
    };
    match serde_json::to_writer(io::stdout(), &found) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn in_child(probe: &str, directory: &Path) -> Vec<Check> {
    let failed = |detail: String| vec![check(probe, false, detail, "report this: the probe itself failed")];
    let child = sandbox::helper(None, PROBE_WORD).arg(probe).arg(directory).stdout(Stdio::piped()).spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(error) => return failed(format!("cannot start a probe: {error}")),
    };
    let pidfd = Birth::of(child.id()).and_then(|birth| birth.open());
    if let Ok(Some(pidfd)) = &pidfd
        && !process::wait(pidfd, PATIENCE).unwrap_or(true)
    {
        let _ = child.kill();
    }
    let mut text = String::new();
    if let Some(mut stdout) = child.stdout.take() {
        let _ = stdout.read_to_string(&mut text);
    }
    let status = child.wait().map_or_else(|e| e.to_string(), |status| status.to_string());
    serde_json::from_str(&text).unwrap_or_else(|_| failed(format!("no answer from the probe ({status})")))
}

fn check(name: &str, ok: bool, detail: impl Into<String>, remedy: &str) -> Check {
    let remedy = if ok { String::new() } else { remedy.to_owned() };
    Check { name: name.to_owned(), ok, optional: false, detail: detail.into(), remedy }
}

fn optional(name: &str, ok: bool, detail: impl Into<String>, remedy: &str) -> Check {
    Check { optional: true, ..check(name, ok, detail, remedy) }
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// Opens `/dev/net/tun` for a moment: nothing else tells whether this user may.
///
/// # Errors
/// The kernel's.
pub fn open_tun() -> io::Result<()> {
    fs::OpenOptions::new().read(true).write(true).open("/dev/net/tun").map(drop)
}

fn tun_device() -> Check {
    let opened = open_tun();
    let detail = opened.as_ref().map_or_else(ToString::to_string, |_| "/dev/net/tun opens".to_owned());
    let remedy = "load the module (`modprobe tun`), or give this user access (`chmod 0666 /dev/net/tun`, as udev does \
                  on Debian, Fedora and Ubuntu), or run as root";
    check("tun device", opened.is_ok(), detail, remedy)
}

const USER_NAMESPACES: &str = "allow user namespaces: `sysctl -w user.max_user_namespaces=15000`, on Debian 10 and older \
                               `kernel.unprivileged_userns_clone=1`, on Ubuntu 23.10 and later \
                               `kernel.apparmor_restrict_unprivileged_userns=0`; or run as root";

/// Root, or root in a user namespace: what everything below needs.
fn become_root() -> Result<(), String> {
    if namespace::is_root() { Ok(()) } else { namespace::enter_user_namespace().map_err(|e| chain(&e)) }
}

fn namespaces() -> Vec<Check> {
    let who = if namespace::is_root() { "root".to_owned() } else { "a user namespace of this user".to_owned() };
    let root = become_root();
    let mut found = vec![check(
        "privileges",
        root.is_ok(),
        root.as_ref().map_or_else(Clone::clone, |()| format!("running as {who}")),
        USER_NAMESPACES,
    )];
    if root.is_err() {
        return found;
    }
    let uid = rustix::process::geteuid().as_raw();
    // First, for it needs a process of one thread: the next probe makes one, and the kernel may count a thread for a
    // moment after it has been joined.
    // SAFETY: a probe has one thread; its descriptors stay.
    let nested = unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWUSER) }
        .map_err(io::Error::from)
        .and_then(|()| fs::write("/proc/self/uid_map", format!("0 {uid} 1")));
    found.push(check(
        "nested user namespace",
        nested.is_ok(),
        nested.map_or_else(|e| e.to_string(), |()| "can be made and mapped".to_owned()),
        USER_NAMESPACES,
    ));
    let network = namespace::create();
    found.push(check(
        "network namespace",
        network.is_ok(),
        network.map_or_else(|e| e.to_string(), |_| "can be made".to_owned()),
        "allow network namespaces: `sysctl -w user.max_net_namespaces=15000`",
    ));
    found
}

fn tap() -> Vec<Check> {
    if let Err(error) = become_root() {
        return vec![check("tap", false, error, USER_NAMESPACES)];
    }
    let make = |queues| -> Result<Tap, String> {
        let netns = namespace::create().map_err(|e| e.to_string())?;
        let tap = namespace::in_netns(&netns, || Tap::create("probe0", queues, &Offloads::LADDER));
        tap.map_err(|e| e.to_string())?.map_err(|e| chain(&e))
    };
    let tun = "give this user access to /dev/net/tun and the kernel its tun driver (`modprobe tun`)";
    let tap = match make(1) {
        Ok(tap) => tap,
        Err(error) => return vec![check("tap", false, error, tun)],
    };
    let Offloads { tso4, tso6, uso, .. } = tap.offloads;
    let queues = make(2);
    vec![
        check("tap", true, "can be made in a namespace of its own", tun),
        optional("tap tcp segmentation", tso4 && tso6, word(tso4 && tso6), "use a newer kernel: TCP is slower without"),
        optional("tap udp segmentation", uso, word(uso), "use Linux 6.2 or later: UDP is slower without"),
        optional(
            "tap queues",
            queues.is_ok(),
            queues.map_or_else(|e| e, |tap| format!("{} queues on one device", tap.queues.len())),
            "use a kernel with multi-queue tun: one instance is limited to one processor without",
        ),
    ]
}

fn word(yes: bool) -> &'static str {
    if yes { "the kernel leaves it to us" } else { "refused by the kernel" }
}

/// A whole instance for a moment: nothing tells more.
fn whole_sandbox(directory: &Path) -> Vec<Check> {
    if let Err(error) = become_root() {
        return vec![check("instance", false, error, USER_NAMESPACES)];
    }
    let base = directory.join(format!("doctor-{}", std::process::id()));
    let found = try_sandbox(&base);
    let _ = sandbox::remove_files(&base.join("root"));
    let _ = fs::remove_dir_all(&base);
    found
}

fn try_sandbox(base: &Path) -> Vec<Check> {
    let remedy = "see the reason; in a container, give it `--security-opt systempaths=unconfined` and user namespaces";
    if let Err(error) = fs::create_dir_all(base) {
        return vec![check("instance", false, format!("{}: {error}", base.display()), "name a writable directory")];
    }
    let spec = Spec {
        id: format!("doctor-{}", std::process::id()),
        hostname: "doctor".to_owned(),
        root_dir: base.join("root"),
        resolv_conf: String::new(),
        hosts: String::new(),
        user_data: vec![],
        uid_base: 0x7000_0000,
        limits: Limits::default(),
        console_log: base.join("console.log"),
        ending: base.join("ending"),
        cgroup_prefix: "peerway-doctor".to_owned(),
        helper: None,
    };
    let sandbox = match Sandbox::create(&spec) {
        Ok(sandbox) => sandbox,
        Err(error) => return vec![check("instance", false, chain(&error), remedy)],
    };
    let record = sandbox.record().clone();
    let ran = run_true(&sandbox);
    let ended = sandbox.kill();
    let limits = format!(
        "processes by {}, memory by {}, disk by rlimit and a watch",
        record.confinement.processes.as_str(),
        record.confinement.memory.as_str()
    );
    let groups = [record.confinement.processes, record.confinement.memory];
    let hard = !groups.contains(&crate::Mechanism::Rlimit);
    vec![
        check(
            "instance",
            ran.is_ok() && ended.is_ok(),
            ran.and_then(|()| ended.map_err(|e| e.to_string()))
                .map_or_else(|e| e, |()| format!("runs a program; ids mapped: {:?}", record.id_mapping)),
            remedy,
        ),
        optional(
            "instance limits",
            hard,
            limits,
            "run as root, or delegate a control group with the `pids` and `memory` controllers (systemd-run --user \
             --scope -p Delegate=yes); instances are held by rlimits and a watch without",
        ),
    ]
}

fn run_true(sandbox: &Sandbox) -> Result<(), String> {
    let open = || fs::File::options().read(true).write(true).open("/dev/null").map(Into::into);
    let stdio = || Ok([open()?, open()?, open()?]);
    let exec = Exec { argv: vec!["true".into()], ..Exec::default() };
    let run = stdio().and_then(|stdio| sandbox.exec(&exec, stdio)).and_then(|mut child| child.wait());
    match run {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("`true` ended with {status}")),
        Err(error) => Err(error.to_string()),
    }
}

fn open_files() -> Check {
    const WANTED: u64 = 65_536;
    match crate::limits::raise_open_files(WANTED) {
        Ok(limit) => optional(
            "open files",
            limit >= 4096,
            format!("{limit}"),
            "raise the hard limit (`ulimit -Hn 65536`): each instance and connection needs some",
        ),
        Err(error) => optional("open files", false, error.to_string(), "see `ulimit -n`"),
    }
}
