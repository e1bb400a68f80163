//! What lies in the file system of an instance before its first program: directories, and an `/etc` of its own.
//!
//! Written inside the instance's root, as its root, so a link that an earlier run left can only lead back inside. Files
//! are put in place by rename: a FIFO or a directory in the way cannot hold us up.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink};
use std::path::Path;

use super::launch::Job;
use super::root::Prepared;
use super::{Failure, Step};

/// Fills the root with what is missing and renews what the maker gave. Only what the maker gave can fail: if an earlier
/// run of the instance turned a directory into something else, that is its own affair.
pub(super) fn fill(job: &Job, prepared: &Prepared) -> Result<(), Failure> {
    for (path, mode) in DIRECTORIES {
        if fs::create_dir_all(path).is_ok() {
            let _ = fs::set_permissions(path, Permissions::from_mode(mode));
        }
    }
    for (name, target) in &prepared.links {
        let _ = symlink(target, Path::new("/").join(name));
    }
    for (path, target) in LINKS {
        let _ = symlink(target, path);
    }
    for (name, content) in &prepared.files {
        let _ = install(&Path::new("/etc").join(name), content, 0o644);
    }
    for (path, content) in FIRST_FILES {
        if !Path::new(path).exists() {
            let _ = install(Path::new(path), content.as_bytes(), 0o644);
        }
    }
    let spec = &job.spec;
    let hostname = format!("{}\n", spec.hostname);
    for (path, content) in
        [("/etc/hostname", &hostname), ("/etc/hosts", &spec.hosts), ("/etc/resolv.conf", &spec.resolv_conf)]
    {
        install(Path::new(path), content.as_bytes(), 0o644).step(format!("write {path}"))?;
    }
    Ok(())
}

/// Writes a file and puts it in its place, making its directory.
pub(super) fn install(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    fs::create_dir_all(parent)?;
    let mut fresh = name.to_owned();
    fresh.push(".new");
    let fresh = parent.join(fresh);
    let _ = fs::remove_file(&fresh);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&fresh)?;
    file.write_all(content)?;
    fs::rename(&fresh, path)
}

const DIRECTORIES: [(&str, u32); 15] = [
    ("/etc", 0o755),
    ("/home", 0o755),
    ("/mnt", 0o755),
    ("/opt", 0o755),
    ("/root", 0o700),
    ("/run/lock", 0o1777),
    ("/srv", 0o755),
    ("/tmp", 0o1777),
    ("/var", 0o755),
    ("/var/cache", 0o755),
    ("/var/lib", 0o755),
    ("/var/log", 0o755),
    ("/var/mail", 0o755),
    ("/var/spool", 0o755),
    ("/var/tmp", 0o1777),
];

const LINKS: [(&str, &str); 4] = [
    ("/etc/mtab", "/proc/self/mounts"),
    ("/etc/os-release", "../usr/lib/os-release"),
    ("/var/lock", "/run/lock"),
    ("/var/run", "/run"),
];

/// Written once; later the instance's own.
const FIRST_FILES: [(&str, &str); 6] = [
    (
        "/etc/passwd",
        "root:x:0:0:root:/root:/bin/sh\n\
         daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\n\
         bin:x:2:2:bin:/bin:/usr/sbin/nologin\n\
         sys:x:3:3:sys:/dev:/usr/sbin/nologin\n\
         mail:x:8:8:mail:/var/mail:/usr/sbin/nologin\n\
         www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin\n\
         nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
    ),
    (
        "/etc/group",
        "root:x:0:\ndaemon:x:1:\nbin:x:2:\nsys:x:3:\nadm:x:4:\ntty:x:5:\ndisk:x:6:\nmail:x:8:\nwww-data:x:33:\n\
         staff:x:50:\nusers:x:100:\nnogroup:x:65534:\n",
    ),
    (
        "/etc/nsswitch.conf",
        "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nnetworks: files\nprotocols: files\n\
         services: files\n",
    ),
    ("/etc/shells", "/bin/sh\n/bin/bash\n"),
    (
        "/etc/profile",
        "export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n\
         [ \"$PS1\" ] && PS1='\\u@\\h:\\w\\$ '\n",
    ),
    ("/etc/host.conf", "multi on\n"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn install_replaces_whatever_is_in_the_way_and_follows_no_link() -> io::Result<()> {
        let dir = tempfile::tempdir()?;
        let (path, other) = (dir.path().join("sub/hosts"), dir.path().join("other"));
        install(&path, b"one", 0o644)?;
        assert_eq!(fs::read(&path)?, b"one");
        fs::write(&other, "kept")?;
        fs::remove_file(&path)?;
        symlink(&other, &path)?;
        symlink(&other, dir.path().join("sub/hosts.new"))?;
        install(&path, b"two", 0o600)?;
        assert_eq!((fs::read(&path)?, fs::read(&other)?), (b"two".to_vec(), b"kept".to_vec()));
        assert_eq!(fs::metadata(&path)?.permissions().mode() & 0o777, 0o600);
        Ok(())
    }
}
