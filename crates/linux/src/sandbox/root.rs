//! The file system of an instance: what it sees of the host, and what is its own.
//!
//! Two halves: [`prepare`] runs with the maker's rights and binds the host's trees; [`enter`] runs as root of the
//! instance, makes what belongs to the instance's own namespaces (`/proc`, `/sys`, `/dev`, `/run`) and turns the root.
//! No path below the instance's root is ever followed through a symbolic link with the maker's rights: an earlier run of
//! the instance may have put one there.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Gid, Mode, OFlags, Uid};

use super::launch::Job;
use super::{Failure, IdMapping, Step};
use crate::mounts::{self, Attributes};

/// What [`prepare`] found for the second half.
#[derive(Debug)]
pub(super) struct Prepared {
    /// Symbolic links of the host's root into `/usr`: name and target.
    pub(super) links: Vec<(&'static str, PathBuf)>,
    /// Small files of the host's `/etc` to copy: path below `/etc` and content.
    pub(super) files: Vec<(String, Vec<u8>)>,
}

/// Directories next to `/usr` that hold programs and libraries: on today's distributions links into it.
const PROGRAMS: [&str; 6] = ["bin", "sbin", "lib", "lib32", "lib64", "libx32"];

/// Trees of the host's `/etc` without secrets, which programs under `/usr` need: the links of Debian's alternatives and
/// the public certificates of Debian, Arch and Fedora.
const ETC_TREES: [&str; 5] =
    ["alternatives", "ssl/certs", "ca-certificates", "pki/ca-trust/extracted", "pki/tls/certs"];

/// Files of the host's `/etc` without secrets, which are copied at each start.
const ETC_FILES: [&str; 8] = [
    "ld.so.cache",
    "ld.so.conf",
    "localtime",
    "mime.types",
    "protocols",
    "services",
    "ssl/openssl.cnf",
    "debian_version",
];

/// The largest file of the host that is copied.
const FILE_LEN_MAX: u64 = 4 << 20;

/// With the maker's rights: makes `root_dir` a mount of its own, binds the host's trees into it, and goes there.
pub(super) fn prepare(job: &Job) -> Result<Prepared, Failure> {
    let path = &job.spec.root_dir;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let plain = rustix::fs::open(path, flags, Mode::empty()).step("open the root directory")?;
    let (uid, gid) = (Uid::from_raw(job.owner), Gid::from_raw(job.owner));
    rustix::fs::chownat(&plain, "", Some(uid), Some(gid), AtFlags::EMPTY_PATH).step("own the root directory")?;
    // Its root must be passable for every user of the instance, whatever the umask of the maker was.
    rustix::fs::chmodat(rustix::fs::CWD, path, Mode::from_raw_mode(0o755), AtFlags::empty())
        .step("open the root directory to its users")?;
    let root = mounts::bind(path, &plain, Attributes::OWN).step("mount the root directory")?;
    let directory =
        |path: &str| mounts::directory_below(&root, path, job.owner).step(format!("make the directory /{path}"));
    let bind = |path: &str| {
        let host = Path::new("/").join(path);
        mounts::bind(&host, directory(path)?, Attributes::HOST).step(format!("bind {}", host.display()))
    };
    bind("usr")?;
    let mut links = Vec::new();
    for name in PROGRAMS {
        let host = Path::new("/").join(name);
        match fs::read_link(&host) {
            Ok(target) => links.push((name, target)),
            Err(_) if host.is_dir() => drop(bind(name)?),
            Err(_) => {}
        }
    }
    directory("etc")?;
    for tree in ETC_TREES {
        if Path::new("/etc").join(tree).is_dir() {
            bind(&format!("etc/{tree}"))?;
        }
    }
    for name in ["dev", "proc", "run", "sys"] {
        directory(name)?;
    }
    rustix::process::fchdir(&root).step("go to the root directory")?;
    Ok(Prepared { links, files: copy_files() })
}

/// As root of the instance, in its namespaces, standing in the directory that [`prepare`] left: makes it the root.
/// `/sys` is left out where the machine does not let a user namespace have one; whether it is there is returned.
pub(super) fn enter(job: &Job) -> Result<bool, Failure> {
    let here = open(rustix::fs::CWD, ".").step("open the root directory")?;
    let root = mounts::rebind(&here).step("make the root directory a root")?;
    // Before the turn: a new /proc or /sys is only allowed while the host's is in sight, not masked.
    let kernel = Attributes { no_exec: true, ..Attributes::OWN };
    let target = |name: &str| open(&root, name).step(format!("open /{name}"));
    mounts::mount_new("proc", &[], target("proc")?, kernel).step(
        "mount /proc: the machine must let a user namespace have one (a container runtime that masks its own /proc \
         does not)",
    )?;
    let read_only = Attributes { read_only: true, ..kernel };
    let has_sys = mounts::mount_new("sysfs", &[], target("sys")?, read_only).is_ok();
    let half = (job.spec.limits.memory_bytes / 4).min(64 << 20).to_string();
    let run = [("mode", "755"), ("size", half.as_str()), ("nr_inodes", "65536")];
    mounts::mount_new("tmpfs", &run, target("run")?, Attributes::OWN).step("mount /run")?;
    devices(job, target("dev")?, &half)?;
    mounts::pivot(&root).step("turn the root")?;
    mask()?;
    Ok(has_sys)
}

fn devices(job: &Job, target: OwnedFd, shm_size: &str) -> Result<(), Failure> {
    let quiet = Attributes { no_exec: true, ..Attributes::OWN };
    let options = [("mode", "755"), ("size", "64k"), ("nr_inodes", "256")];
    let dev = mounts::mount_new("tmpfs", &options, target, quiet).step("mount /dev")?;
    // The bind shows the host's device node; only it may be opened as a device.
    let node = Attributes { no_dev: false, ..quiet };
    for name in ["null", "zero", "full", "random", "urandom", "tty"] {
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
        rustix::fs::openat(&dev, name, flags, Mode::from_raw_mode(0o666)).step(format!("make /dev/{name}"))?;
        let place = open(&dev, name).step(format!("open /dev/{name}"))?;
        mounts::bind(Path::new("/dev").join(name), place, node).step(format!("bind /dev/{name}"))?;
    }
    for name in ["pts", "shm"] {
        rustix::fs::mkdirat(&dev, name, Mode::from_raw_mode(0o755)).step(format!("make /dev/{name}"))?;
    }
    let mut terminals = vec![("ptmxmode", "0666"), ("mode", "0620")];
    if job.id_mapping == IdMapping::Range {
        // Group tty, which Debian's programs expect; with a single id there is no such group.
        terminals.push(("gid", "5"));
    }
    let place = open(&dev, "pts").step("open /dev/pts")?;
    let on_pts = Attributes { no_dev: false, ..quiet };
    mounts::mount_new("devpts", &terminals, place, on_pts).step("mount /dev/pts")?;
    let place = open(&dev, "shm").step("open /dev/shm")?;
    let shm = [("mode", "1777"), ("size", shm_size), ("nr_inodes", "65536")];
    mounts::mount_new("tmpfs", &shm, place, quiet).step("mount /dev/shm")?;
    for (name, to) in [
        ("ptmx", "pts/ptmx"),
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
    ] {
        rustix::fs::symlinkat(to, &dev, name).step(format!("link /dev/{name}"))?;
    }
    Ok(())
}

/// Files that tell about, or act on, the whole machine; what container runtimes hide.
const MASKED_FILES: [&str; 10] = [
    "/proc/kcore",
    "/proc/keys",
    "/proc/key-users",
    "/proc/kmsg",
    "/proc/kpagecount",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/sysrq-trigger",
    "/proc/timer_list",
    "/proc/timer_stats",
];
const MASKED_DIRECTORIES: [&str; 5] =
    ["/proc/acpi", "/proc/asound", "/proc/scsi", "/sys/firmware", "/sys/devices/virtual/powercap"];
const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/driver", "/proc/fs", "/proc/irq", "/proc/sys"];

/// In the new root, so that only what the instance's own /proc and /sys show is covered.
fn mask() -> Result<(), Failure> {
    let masked = Attributes { read_only: true, no_suid: true, no_dev: false, no_exec: true };
    let cover = |path: &str, how: &dyn Fn(OwnedFd) -> io::Result<OwnedFd>| match open(rustix::fs::CWD, path) {
        Ok(place) => how(place).map(drop).step(format!("cover {path}")),
        Err(_) => Ok(()),
    };
    for path in MASKED_FILES {
        cover(path, &|place| mounts::bind("/dev/null", place, masked))?;
    }
    for path in MASKED_DIRECTORIES {
        let empty = [("mode", "555"), ("size", "4k"), ("nr_inodes", "1")];
        cover(path, &|place| mounts::mount_new("tmpfs", &empty, place, masked))?;
    }
    for path in READ_ONLY {
        cover(path, &|place| mounts::bind(path, place, masked))?;
    }
    // The settings of its own network are its own.
    cover("/proc/sys/net", &|place| {
        let net = mounts::bind("/proc/sys/net", place, masked)?;
        mounts::set_writable(&net)?;
        Ok(net)
    })
}

fn open(at: impl AsFd, name: &str) -> rustix::io::Result<OwnedFd> {
    rustix::fs::openat(at, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
}

/// Reads what is to be copied; what is missing or too large is left out.
fn copy_files() -> Vec<(String, Vec<u8>)> {
    let read = |name: String| {
        let path = Path::new("/etc").join(&name);
        let small = path.metadata().is_ok_and(|m| m.is_file() && m.len() <= FILE_LEN_MAX);
        Some((name, fs::read(path).ok().filter(|_| small)?))
    };
    ETC_FILES.into_iter().map(str::to_owned).filter_map(read).collect()
}
