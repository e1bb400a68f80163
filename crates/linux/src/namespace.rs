//! Network namespaces, and how a user without privileges comes to own some (namespaces(7), user_namespaces(7)).

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};
use thiserror::Error;

/// The network namespace of the calling thread.
///
/// # Errors
/// The kernel's.
pub fn current() -> io::Result<OwnedFd> {
    Ok(File::open("/proc/thread-self/ns/net")?.into())
}

/// The network namespace of a process.
///
/// # Errors
/// `NotFound` when there is no such process, `PermissionDenied` when it is not ours.
pub fn of_process(pid: u32) -> io::Result<OwnedFd> {
    Ok(File::open(format!("/proc/{pid}/ns/net"))?.into())
}

/// A new network namespace without a name: it lives as long as this descriptor, or something in it. Its loopback is
/// down.
///
/// # Errors
/// `PermissionDenied` without `CAP_SYS_ADMIN` in the caller's user namespace.
pub fn create() -> io::Result<OwnedFd> {
    on_own_thread(|| {
        // SAFETY: only this thread leaves its network namespace, and it ends here; descriptors are not unshared.
        unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) }?;
        current()
    })?
}

/// Runs `work` on a thread of its own inside a network namespace and returns what it returns. Sockets, TAP devices and
/// [`Netlink`](crate::netlink::Netlink) handles made there stay there, and can be used from anywhere.
///
/// # Errors
/// When the namespace cannot be entered or no thread can be started. A panic of `work` goes on in the caller.
pub fn in_netns<T: Send>(netns: impl AsFd, work: impl FnOnce() -> T + Send) -> io::Result<T> {
    let netns = netns.as_fd();
    on_own_thread(move || {
        enter_netns(netns)?;
        Ok(work())
    })?
}

/// Moves the calling thread into a network namespace, for as long as it lives: what it opens from here on is there.
///
/// # Errors
/// When the namespace cannot be entered.
pub fn enter_netns(netns: impl AsFd) -> io::Result<()> {
    Ok(move_into_link_name_space(netns.as_fd(), Some(LinkNameSpaceType::Network))?)
}

/// Whether this process is root, be it in a user namespace of its own.
#[must_use]
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Why no user namespace could be entered.
#[derive(Debug, Error)]
pub enum EnterError {
    /// Only a process with one thread can change its user namespace.
    #[error("a user namespace can only be entered before threads are started, and this process has {0}")]
    Threads(usize),
    /// The machine does not allow it.
    #[error(
        "cannot make a user namespace as uid {uid}: the machine forbids it to users without privileges (see \
         `sysctl user.max_user_namespaces kernel.apparmor_restrict_unprivileged_userns \
         kernel.unprivileged_userns_clone`); run as root or let `peerway doctor` explain"
    )]
    Refused {
        /// Who asked.
        uid: u32,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// The ids could not be mapped.
    #[error("cannot write `{file}` of a new user namespace")]
    Map {
        /// The file of `/proc/self`.
        file: &'static str,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
}

/// Puts this process into a user namespace and a mount namespace of its own, in which the calling user is root, so that
/// network namespaces made from here on belong to it (`CAP_NET_ADMIN` in them, none outside). It keeps its network
/// namespace, so sockets still listen where users look for them. Call it at program start, with one thread.
///
/// # Errors
/// See [`EnterError`]. After [`EnterError::Map`] the process is of no further use.
pub fn enter_user_namespace() -> Result<(), EnterError> {
    let threads = fs::read_dir("/proc/self/task").map_or(0, Iterator::count);
    if threads != 1 {
        return Err(EnterError::Threads(threads));
    }
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    // SAFETY: the process has one thread, so no thread keeps other credentials or mounts; descriptors are not unshared.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWUSER | UnshareFlags::NEWNS) }
        .map_err(|e| EnterError::Refused { uid, source: e.into() })?;
    let write = |file: &'static str, text: String| {
        fs::write(format!("/proc/self/{file}"), text).map_err(|source| EnterError::Map { file, source })
    };
    // A user without privileges may map its group only after giving up setgroups (CVE-2014-8989).
    write("setgroups", "deny".to_owned())?;
    write("uid_map", format!("0 {uid} 1"))?;
    write("gid_map", format!("0 {gid} 1"))
}

fn on_own_thread<T: Send>(work: impl FnOnce() -> T + Send) -> io::Result<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("netns".to_owned()).spawn_scoped(scope, work)?;
        Ok(thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

/// Whether two descriptors are of the same namespace.
///
/// # Errors
/// The kernel's.
pub fn same(a: BorrowedFd<'_>, b: BorrowedFd<'_>) -> io::Result<bool> {
    let (a, b) = (rustix::fs::fstat(a)?, rustix::fs::fstat(b)?);
    Ok((a.st_dev, a.st_ino) == (b.st_dev, b.st_ino))
}
