//! What does the kernel do for us?
//!
//! The only crate that may use `unsafe`, and the only one that makes, enters or configures anything the kernel owns:
//!
//! | module | what it gives |
//! |---|---|
//! | [`tap`] | TAP devices with a virtio-net header and segmentation offloads |
//! | [`netlink`] | links, addresses, routes and offloads of one network namespace |
//! | [`udp`] | UDP sockets that send and receive many datagrams with one system call |
//! | [`capture`] | the frames of one interface, in both directions |
//! | [`underlay`] | simulated hosts: namespaces joined by an underlay that leads nowhere else |
//! | [`namespace`] | network namespaces, and the way in for a user without privileges |
//! | [`sandbox`] | the mechanism of an instance: a process tree that cannot hurt the machine |
//! | [`memory`] | memory that outlives the process |
//! | [`doctor`] | what this machine allows, found out by trying |
//! | [`poll`], [`fds`], [`limits`], [`cpu`], [`process`] | epoll, descriptors over a socket, limits, processors, processes without pid races |
//!
//! Some of it happens in a process of its own, because the kernel wants one that has a single thread. That process is
//! the calling program again, started with a hidden first argument: **a program that uses [`sandbox`] or [`doctor`]
//! calls [`helper_main`] first thing in `main`**, before it starts a thread.
//!
//! Needs Linux 5.12 or later (`mount_setattr`, `setns` by pidfd, `close_range`).

pub mod capture;
mod cgroup;
pub mod cpu;
pub mod doctor;
pub mod fds;
mod frames;
pub mod limits;
pub mod memory;
mod mounts;
pub mod namespace;
pub mod netlink;
pub mod poll;
mod privilege;
pub mod process;
pub mod sandbox;
mod seccomp;
mod signals;
mod socket;
pub mod tap;
pub mod udp;
pub mod underlay;

pub use cgroup::{Cgroup, Confinement, Mechanism};

use std::process::ExitCode;

/// Does the work of a hidden helper process if this process was started as one, and returns its exit code; `None` for
/// an ordinary start. Must be the first call of `main`, while the process has one thread.
#[must_use]
pub fn helper_main() -> Option<ExitCode> {
    let word = std::env::args_os().nth(1)?;
    match word.to_str()? {
        sandbox::INIT_WORD => Some(sandbox::init_main()),
        sandbox::ENTER_WORD => Some(sandbox::enter_main()),
        doctor::PROBE_WORD => Some(doctor::probe_main()),
        _ => None,
    }
}
