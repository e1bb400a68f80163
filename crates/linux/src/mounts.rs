//! Mounts made by descriptor, so that no symbolic link that an instance left behind leads them astray (mount(2),
//! open_tree(2), mount_setattr(2), openat2(2)).

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, Gid, Mode, OFlags, ResolveFlags, Uid};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags};

/// Properties of a mount (`MOUNT_ATTR_..`).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Attributes {
    pub(crate) read_only: bool,
    pub(crate) no_suid: bool,
    pub(crate) no_dev: bool,
    pub(crate) no_exec: bool,
}

impl Attributes {
    /// For trees of the host that are only read.
    pub(crate) const HOST: Self = Self { read_only: true, no_suid: true, no_dev: true, no_exec: false };
    /// For what an instance owns.
    pub(crate) const OWN: Self = Self { read_only: false, no_suid: true, no_dev: true, no_exec: false };

    fn flags(self) -> MountAttrFlags {
        let bit = |set, bit| if set { bit } else { MountAttrFlags::empty() };
        bit(self.read_only, MountAttrFlags::MOUNT_ATTR_RDONLY)
            | bit(self.no_suid, MountAttrFlags::MOUNT_ATTR_NOSUID)
            | bit(self.no_dev, MountAttrFlags::MOUNT_ATTR_NODEV)
            | bit(self.no_exec, MountAttrFlags::MOUNT_ATTR_NOEXEC)
    }
}

/// Sets attributes on the mount at `fd` and all below it.
pub(crate) fn set_attributes(fd: impl AsFd, attributes: Attributes) -> io::Result<()> {
    change_attributes(fd, attributes.flags(), MountAttrFlags::empty(), libc::AT_RECURSIVE)
}

/// Makes a read-only mount writable.
pub(crate) fn set_writable(fd: impl AsFd) -> io::Result<()> {
    change_attributes(fd, MountAttrFlags::empty(), MountAttrFlags::MOUNT_ATTR_RDONLY, 0)
}

/// Binds what is at `source` (a host path; links are followed) over `target`, with everything mounted below it.
/// Returns its root.
pub(crate) fn bind(source: impl AsRef<Path>, target: impl AsFd, attributes: Attributes) -> io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
    let tree = rustix::mount::open_tree(rustix::fs::CWD, source.as_ref(), flags)?;
    set_attributes(&tree, attributes)?;
    attach(&tree, target)?;
    Ok(tree)
}

/// Binds the mount at `fd` over itself with everything below, and returns the new top: a mount that can become a root.
pub(crate) fn rebind(fd: impl AsFd) -> io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE
        | OpenTreeFlags::AT_EMPTY_PATH;
    let tree = rustix::mount::open_tree(&fd, "", flags)?;
    attach(&tree, fd)?;
    Ok(tree)
}

/// Mounts a new file system of `kind` over `target` and returns its root.
pub(crate) fn mount_new(
    kind: &str,
    options: &[(&str, &str)],
    target: impl AsFd,
    attributes: Attributes,
) -> io::Result<OwnedFd> {
    let context = rustix::mount::fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    for &(key, value) in options {
        rustix::mount::fsconfig_set_string(&context, key, value)?;
    }
    rustix::mount::fsconfig_create(&context)?;
    let mount = rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes.flags())?;
    attach(&mount, target)?;
    Ok(mount)
}

/// Makes `root` the root of this mount namespace and lets go of everything outside it.
pub(crate) fn pivot(root: impl AsFd) -> io::Result<()> {
    rustix::process::fchdir(root)?;
    // New over old on the same spot: then the old one is at "." and can go (pivot_root(2), NOTES).
    rustix::process::pivot_root(".", ".")?;
    rustix::mount::unmount(".", UnmountFlags::DETACH)?;
    Ok(rustix::process::chdir("/")?)
}

/// Opens the directory at `path` below `root`, making what is missing, mode 755, owned by `owner`. What is in the way and
/// no directory is removed: `root` belongs to an instance, which may have put a symbolic link there to lead us out.
pub(crate) fn directory_below(root: impl AsFd, path: &str, owner: u32) -> io::Result<OwnedFd> {
    let mut at = open_directory(root.as_fd(), ".")?;
    for name in path.split('/') {
        at = match open_directory(at.as_fd(), name) {
            Ok(next) => next,
            Err(rustix::io::Errno::NOENT) => make_directory(at.as_fd(), name, owner)?,
            Err(rustix::io::Errno::NOTDIR | rustix::io::Errno::LOOP) => {
                rustix::fs::unlinkat(&at, name, AtFlags::empty())?;
                make_directory(at.as_fd(), name, owner)?
            }
            Err(error) => return Err(error.into()),
        };
    }
    Ok(at)
}

/// Only one component at a time, and never a link.
fn open_directory(at: BorrowedFd<'_>, name: &str) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    rustix::fs::openat2(at, name, flags, Mode::empty(), resolve)
}

fn make_directory(at: BorrowedFd<'_>, name: &str, owner: u32) -> io::Result<OwnedFd> {
    rustix::fs::mkdirat(at, name, Mode::from_raw_mode(0o755))?;
    let (uid, gid) = (Uid::from_raw(owner), Gid::from_raw(owner));
    rustix::fs::chownat(at, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(open_directory(at, name)?)
}

fn attach(tree: impl AsFd, target: impl AsFd) -> io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    Ok(rustix::mount::move_mount(tree, "", target, "", flags)?)
}

/// `struct mount_attr` of mount_setattr(2).
#[repr(C)]
struct MountAttr {
    set: u64,
    clear: u64,
    propagation: u64,
    userns_fd: u64,
}

fn change_attributes(fd: impl AsFd, set: MountAttrFlags, clear: MountAttrFlags, recurse: i32) -> io::Result<()> {
    let change = MountAttr { set: u64::from(set.bits()), clear: u64::from(clear.bits()), propagation: 0, userns_fd: 0 };
    // SAFETY: the path is a NUL-terminated empty string, `change` outlives the call, and its size is passed with it.
    let done = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            fd.as_fd().as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | recurse,
            &raw const change,
            size_of::<MountAttr>(),
        )
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_link_in_the_way_is_replaced_and_never_followed() -> io::Result<()> {
        let dir = tempfile::tempdir()?;
        let (root, outside) = (dir.path().join("root"), dir.path().join("outside"));
        fs::create_dir(&root)?;
        fs::create_dir(&outside)?;
        std::os::unix::fs::symlink(&outside, root.join("etc"))?;
        fs::write(root.join("usr"), "a file")?;
        let own = rustix::process::geteuid().as_raw();
        let fd = rustix::fs::open(&root, OFlags::PATH, Mode::empty())?;
        directory_below(&fd, "etc/ssl/certs", own)?;
        directory_below(&fd, "usr", own)?;
        assert!(fs::read_dir(&outside)?.next().is_none(), "nothing was made outside");
        assert!(root.join("etc/ssl/certs").is_dir() && !root.join("etc").is_symlink());
        assert!(root.join("usr").is_dir());
        assert!(directory_below(&fd, "..", own).is_err(), "never upwards");
        Ok(())
    }
}
