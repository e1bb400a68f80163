//! The same as a user without privileges, on a machine whose `/dev/net/tun` everybody may open (as on most
//! distributions): this process, as root, makes such a `/dev` in a mount namespace of its own, becomes uid 65534, and
//! runs the tests there.

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use linux::namespace::{self, in_netns};
use linux::sandbox::IdMapping;
use linux::tap::{Offloads, Tap};
use rustix::fs::{FileType, Mode};
use rustix::mount::{MountFlags, MountPropagationFlags};
use rustix::thread::UnshareFlags;

use crate::Test;
use crate::support::{Place, sh, sh_fails};
use crate::{links, sandbox};

pub(crate) const OUTER_WORD: &str = "unprivileged-outer";
pub(crate) const INNER_WORD: &str = "unprivileged-inner";
pub(crate) const BARE_WORD: &str = "unprivileged-bare";
const NOBODY: u32 = 65_534;

pub(crate) const TESTS: &[Test] =
    &[("unprivileged::all", all), ("unprivileged::without_a_tun_device", without_a_tun_device)];

/// The one that runs without the private `/dev/net/tun`.
pub(crate) const BARE: &[Test] = &[("unprivileged::doctor_names_what_is_missing", doctor_names_what_is_missing)];

pub(crate) const INNER: &[Test] = &[
    ("unprivileged::doctor", doctor),
    ("unprivileged::enter", enter),
    ("unprivileged::links", links::without_privileges),
    ("unprivileged::sees_only_its_own", sandbox::sees_only_its_own),
    ("unprivileged::user_data_serves_on_loopback", sandbox::user_data_serves_on_loopback),
    ("unprivileged::exit_codes_and_signals_pass_through", sandbox::exit_codes_and_signals_pass_through),
    ("unprivileged::state_is_kept_over_stop_and_start", sandbox::state_is_kept_over_stop_and_start),
    ("unprivileged::memory_bomb_is_contained", sandbox::memory_bomb_is_contained),
    ("unprivileged::fork_bomb_is_contained", fork_bomb_is_contained),
    ("unprivileged::disk_bomb_is_contained", sandbox::disk_bomb_is_contained),
    ("unprivileged::deleting_the_tap_is_survived", sandbox::deleting_the_tap_is_survived),
    ("unprivileged::a_terminal_of_its_own", sandbox::a_terminal_of_its_own),
    ("unprivileged::host_is_out_of_reach", host_is_out_of_reach),
];

fn all() {
    let exe = std::env::current_exe().expect("own path");
    let status = Command::new(exe).arg(OUTER_WORD).status().expect("starts");
    assert!(status.success(), "as uid {NOBODY}: {status}");
}

fn without_a_tun_device() {
    let exe = std::env::current_exe().expect("own path");
    let status = Command::new(exe).arg(BARE_WORD).uid(NOBODY).gid(NOBODY).status().expect("starts");
    assert!(status.success(), "as uid {NOBODY}: {status}");
}

fn doctor_names_what_is_missing() {
    assert!(fs::File::open("/dev/net/tun").is_err(), "this machine lets everybody open /dev/net/tun");
    let directory = tempfile::tempdir().expect("a directory");
    let checks = linux::doctor::checks(directory.path());
    for name in ["tun device", "tap"] {
        let check = checks.iter().find(|c| c.name == name).expect("checked");
        assert!(!check.ok && check.detail.contains("Permission denied"), "{check:?}");
        assert!(check.remedy.contains("/dev/net/tun"), "{check:?}");
    }
    assert!(checks.iter().any(|c| c.name == "instance" && c.ok), "the rest works: {checks:?}");
}

/// Root with a private /dev/net/tun for everybody, about to become nobody.
pub(crate) fn outer() -> ExitCode {
    // SAFETY: this process has one thread; its descriptors stay.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNS) }.expect("a mount namespace");
    rustix::mount::mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).expect("private");
    let directory = tempfile::tempdir().expect("a directory");
    rustix::mount::mount("tmpfs", directory.path(), "tmpfs", MountFlags::empty(), None).expect("a tmpfs");
    let (node, home) = (directory.path().join("tun"), directory.path().join("home"));
    let device = rustix::fs::makedev(10, 200);
    rustix::fs::mknodat(rustix::fs::CWD, &node, FileType::CharacterDevice, Mode::from_raw_mode(0o666), device)
        .expect("a node");
    rustix::fs::chmod(&node, Mode::from_raw_mode(0o666)).expect("for everybody");
    rustix::mount::mount_bind(&node, "/dev/net/tun").expect("bound");
    rustix::fs::chmod(directory.path(), Mode::from_raw_mode(0o755)).expect("passable");
    fs::create_dir(&home).expect("made");
    std::os::unix::fs::chown(&home, Some(NOBODY), Some(NOBODY)).expect("owned");
    let exe = std::env::current_exe().expect("own path");
    let status = Command::new(exe)
        .arg(INNER_WORD)
        .args(std::env::args().skip(2))
        .env("TMPDIR", &home)
        .uid(NOBODY)
        .gid(NOBODY)
        .status()
        .expect("starts");
    rustix::mount::unmount(directory.path(), rustix::mount::UnmountFlags::DETACH).expect("unmounted");
    if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Before this process enters its namespace: the probes do it for themselves.
fn doctor() {
    assert_eq!(rustix::process::geteuid().as_raw(), NOBODY);
    let directory = tempfile::tempdir().expect("a directory");
    let checks = linux::doctor::checks(directory.path());
    let bad: Vec<_> = checks.iter().filter(|c| !c.ok && !c.optional).collect();
    assert!(bad.is_empty(), "{bad:?}");
    let limits = checks.iter().find(|c| c.name == "instance limits").expect("checked");
    assert!(!limits.ok && limits.detail.contains("rlimit"), "{limits:?}");
}

fn enter() {
    let outside = namespace::current().expect("a namespace");
    namespace::enter_user_namespace().expect("entered");
    assert!(rustix::process::geteuid().is_root());
    let inside = namespace::current().expect("a namespace");
    use std::os::fd::AsFd;
    assert!(namespace::same(outside.as_fd(), inside.as_fd()).expect("stat"), "sockets are where users look for them");
    let netns = namespace::create().expect("a namespace");
    let tap = in_netns(&netns, || Tap::create("eth0", 2, &Offloads::LADDER)).expect("entered").expect("a tap");
    assert!(tap.offloads.tso4);
}

fn fork_bomb_is_contained() {
    let place = Place::new(sandbox::FORK_BOMB);
    let sandbox = place.start();
    let of_nobody = || {
        use std::os::unix::fs::MetadataExt;
        // Seen from this user namespace, nobody is root.
        fs::read_dir("/proc").expect("proc").flatten().filter(|e| e.metadata().is_ok_and(|m| m.uid() == 0)).count()
    };
    let start = std::time::Instant::now();
    let mut most = 0;
    while start.elapsed() < std::time::Duration::from_secs(3) {
        most = most.max(of_nobody());
        assert!(most <= 80, "{most} processes");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert!(most > 40, "the bomb went off: {most} processes");
    assert!(sandbox.is_running().expect("polled"));
    sandbox.kill().expect("killed");
    assert!(of_nobody() < 5);
}

fn host_is_out_of_reach() {
    let place = Place::new("");
    fs::write(place.directory.path().join("secret"), "mine").expect("written");
    let sandbox = place.start();
    assert_eq!(sandbox.record().id_mapping, IdMapping::Single);
    for path in ["/work", "/proc/1/exe", "/dev/net/tun", "/etc/shadow"] {
        sh_fails(&sandbox, &format!("cat {path} || ls {path}/"));
    }
    sh_fails(&sandbox, &format!("cat {}/secret", place.directory.path().display()));
    for script in
        ["touch /usr/x", "mount -t tmpfs none /mnt", "umount /usr", "unshare -Ur true", "cat /proc/1/maps | grep ."]
    {
        sh_fails(&sandbox, script);
    }
    assert_eq!(sh(&sandbox, "ls /sys/class/net"), "lo");
    sandbox.kill().expect("killed");
}
