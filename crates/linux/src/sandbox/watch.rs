//! Init's watch over what the kernel does not limit by itself: the disk always, memory and the number of processes where
//! there is no control group.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags};

use super::console::Console;
use super::launch::Job;
use crate::cgroup::Mechanism;
use crate::signals;

/// Files and directories an instance may have.
pub(super) const ENTRIES_MAX: u64 = 1_000_000;
/// How deep its directories may be nested: each level is a descriptor of init while it looks.
const DEPTH_MAX: usize = 200;
/// A look at the disk, which can wait, takes at most one part in fifty of the time; one at the memory, which cannot, one
/// part in ten, unless that would leave the memory alone for longer than [`MEMORY_REST`].
const DISK_SHARE: u32 = 50;
const MEMORY_SHARE: u32 = 10;
/// The least and the longest time between two looks at the memory: a look that a busy machine drew out must not be
/// followed by a pause in which a bomb goes off unseen.
const MEMORY_REST: (Duration, Duration) = (Duration::from_millis(100), Duration::from_millis(500));

/// What init looks after, and when next.
#[derive(Debug)]
pub(super) struct Watch {
    disk: Disk,
    memory: Option<Memory>,
}

impl Watch {
    pub(super) fn new(job: &Job) -> Self {
        let (limits, confinement) = (&job.spec.limits, &job.confinement);
        let watched = |mechanism, limit| (mechanism == Mechanism::Rlimit).then_some(limit);
        let processes = watched(confinement.processes, limits.processes);
        let bytes = watched(confinement.memory, limits.memory_bytes);
        let memory = (processes.is_some() || bytes.is_some()).then(|| Memory {
            processes_max: processes.unwrap_or(u64::MAX),
            bytes_max: bytes.unwrap_or(u64::MAX),
            next: Instant::now(),
        });
        Self { disk: Disk { bytes_max: limits.disk_bytes, tolerated: 0, next: Instant::now() }, memory }
    }

    /// How long nothing needs to be looked at.
    pub(super) fn patience(&self) -> Duration {
        let next = self.memory.as_ref().map_or(self.disk.next, |memory| memory.next.min(self.disk.next));
        next.saturating_duration_since(Instant::now())
    }

    /// Looks at what is due, and acts.
    pub(super) fn look(&mut self, console: &mut Console) {
        let start = Instant::now();
        if start >= self.disk.next {
            self.disk.look(console);
            self.disk.next = start + (start.elapsed() * DISK_SHARE).max(Duration::from_secs(3));
        }
        let start = Instant::now();
        if let Some(memory) = &mut self.memory
            && start >= memory.next
        {
            memory.look(console);
            let rest = (start.elapsed() * MEMORY_SHARE).clamp(MEMORY_REST.0, MEMORY_REST.1);
            memory.next = Instant::now() + rest;
        }
    }
}

#[derive(Debug)]
struct Disk {
    bytes_max: u64,
    /// What was in use when programs were last killed for it: commands that clean up may run below this.
    tolerated: u64,
    next: Instant,
}

impl Disk {
    fn look(&mut self, console: &mut Console) {
        let Ok(usage) = usage("/") else { return };
        let bytes = usage.bytes + unlinked(usage.device).unwrap_or(0);
        let what = if usage.too_deep {
            format!("directories nested deeper than {DEPTH_MAX}")
        } else if usage.entries > ENTRIES_MAX {
            format!("more than {ENTRIES_MAX} files")
        } else if bytes > self.bytes_max.max(self.tolerated) {
            format!("{bytes} bytes of files, {} are allowed", self.bytes_max)
        } else {
            // It may only shrink.
            self.tolerated = bytes;
            return;
        };
        self.tolerated = bytes;
        console.note(&format!("disk limit: the instance has {what}; all its programs are killed"));
        signals::to_all_but_init(libc::SIGKILL);
    }
}

#[derive(Debug)]
struct Memory {
    processes_max: u64,
    bytes_max: u64,
    next: Instant,
}

impl Memory {
    fn look(&mut self, console: &mut Console) {
        let Ok(pids) = processes() else { return };
        let pids: Vec<u32> = pids.filter(|&pid| pid != 1).collect();
        let count = u64::try_from(pids.len()).unwrap_or(u64::MAX);
        // Cheap first: what is shared counts for each that shares it, so the true sum is never above this one.
        let mut sum = pids.iter().filter_map(|&pid| resident(pid)).fold(0, u64::saturating_add);
        let mut largest = (0, 0);
        if sum > self.bytes_max {
            sum = 0;
            for pid in pids {
                let bytes = proportional(pid).unwrap_or(0);
                sum = sum.saturating_add(bytes);
                largest = largest.max((bytes, pid));
            }
        }
        if count > self.processes_max {
            let max = self.processes_max;
            console.note(&format!("process limit: {count} processes, {max} are allowed; all are killed"));
            signals::to_all_but_init(libc::SIGKILL);
        } else if sum > self.bytes_max {
            let (bytes, pid) = largest;
            let max = self.bytes_max;
            console.note(&format!(
                "memory limit: {sum} bytes in use, {max} are allowed; the largest process, {pid} with {bytes}, is killed"
            ));
            if let Some(pid) = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw) {
                // A pid that was reused meanwhile is another program of the same instance.
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
    }
}

/// The pids in `/proc`.
pub(super) fn processes() -> io::Result<impl Iterator<Item = u32>> {
    Ok(fs::read_dir("/proc")?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()))
}

/// Memory of one process with all that it shares.
fn resident(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let pages: u64 = text.split(' ').nth(1)?.parse().ok()?;
    pages.checked_mul(u64::try_from(rustix::param::page_size()).ok()?)
}

/// Memory of one process, what it shares divided by those it shares it with. The kernel walks all its pages for this.
fn proportional(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    Some(line.trim().strip_suffix("kB")?.trim_end().parse::<u64>().ok()? * 1024)
}

/// What lies on one file system below a directory.
#[derive(Debug, Default, PartialEq, Eq)]
struct Usage {
    bytes: u64,
    entries: u64,
    too_deep: bool,
    device: u64,
}

/// Adds up the files below `top` without crossing into another mount, be it of the same file system.
fn usage(top: &str) -> io::Result<Usage> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::NO_XDEV | ResolveFlags::NO_SYMLINKS | ResolveFlags::BENEATH;
    let top = rustix::fs::open(top, flags, Mode::empty())?;
    let mut usage = Usage { device: rustix::fs::fstat(&top)?.st_dev, ..Usage::default() };
    let mut stack = vec![Dir::new(top)?];
    while let Some(directory) = stack.last_mut() {
        let Some(Ok(entry)) = directory.next() else {
            stack.pop();
            continue;
        };
        let name = entry.file_name().to_owned();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        usage.entries += 1;
        if usage.entries > ENTRIES_MAX {
            break;
        }
        let fd = directory.fd()?;
        // What vanishes while we look is not there.
        let Ok(stat) = rustix::fs::statat(fd, &name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
        let inner = if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            match rustix::fs::openat2(fd, &name, flags, Mode::empty(), resolve) {
                Ok(inner) => Some(inner),
                // A mount: not on our disk.
                Err(_) => continue,
            }
        } else {
            None
        };
        let blocks = u64::try_from(stat.st_blocks).unwrap_or(0) * 512;
        usage.bytes += blocks / stat.st_nlink.max(1).min(if inner.is_some() { 1 } else { u64::MAX });
        if let Some(inner) = inner {
            if stack.len() >= DEPTH_MAX {
                usage.too_deep = true;
                break;
            }
            stack.push(Dir::new(inner)?);
        }
    }
    Ok(usage)
}

/// Bytes in files of `device` that have no name any more but are held open or mapped.
fn unlinked(device: u64) -> io::Result<u64> {
    let mut found = BTreeMap::new();
    for pid in processes()? {
        let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else { continue };
        for descriptor in descriptors.flatten() {
            let Ok(metadata) = fs::metadata(descriptor.path()) else { continue };
            if metadata.is_file() && metadata.nlink() == 0 && metadata.dev() == device {
                found.insert(metadata.ino(), metadata.blocks() * 512);
            }
        }
        for (inode, bytes) in unlinked_maps(&fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default()) {
            let known = found.entry(inode).or_insert(bytes);
            *known = bytes.max(*known);
        }
    }
    Ok(found.into_values().fold(0, u64::saturating_add))
}

/// Inode and end of each mapping in `/proc/PID/maps` of a file without a name: `from-to perms offset dev inode path`.
/// Memory that merely looks like a file (`/memfd:`, `/dev/zero`, `/SYSV`) is not on a disk.
fn unlinked_maps(text: &str) -> impl Iterator<Item = (u64, u64)> {
    text.lines().filter_map(|line| {
        let rest = line.strip_suffix(" (deleted)")?;
        let mut fields = rest.split_ascii_whitespace();
        let (from, to) = fields.next()?.split_once('-')?;
        let hex = |text| u64::from_str_radix(text, 16).ok();
        let offset = hex(fields.nth(1)?)?;
        let inode = fields.nth(1)?.parse().ok()?;
        let path = fields.next()?;
        let memory = ["/memfd:", "/dev/zero", "/dev/shm/", "/run/", "/SYSV"].iter().any(|p| path.starts_with(p));
        (!memory).then_some((inode, offset.checked_add(hex(to)?.checked_sub(hex(from)?)?)?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_counts_files_once_and_stays_on_its_side() -> io::Result<()> {
        let dir = tempfile::tempdir()?;
        let top = dir.path();
        fs::create_dir_all(top.join("a/b"))?;
        fs::write(top.join("a/one"), vec![1; 1 << 20])?;
        fs::hard_link(top.join("a/one"), top.join("a/b/again"))?;
        std::os::unix::fs::symlink("/usr", top.join("link"))?;
        let usage = usage(top.to_str().expect("a plain path"))?;
        assert_eq!((usage.entries, usage.too_deep), (5, false));
        assert!((1 << 20..(1 << 20) + 64 * 1024).contains(&usage.bytes), "{usage:?}");
        Ok(())
    }

    #[test]
    fn too_deep_is_told() -> io::Result<()> {
        let dir = tempfile::tempdir()?;
        let mut path = dir.path().to_owned();
        for _ in 0..DEPTH_MAX {
            path.push("d");
        }
        fs::create_dir_all(&path)?;
        assert!(usage(dir.path().to_str().expect("a plain path"))?.too_deep);
        Ok(())
    }

    #[test]
    fn files_without_a_name_are_found() -> io::Result<()> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("file");
        fs::write(&path, vec![1; 3 << 20])?;
        let device = fs::metadata(&path)?.dev();
        let held = fs::File::open(&path)?;
        let before = unlinked(device)?;
        fs::remove_file(&path)?;
        assert!(unlinked(device)? >= before + (3 << 20));
        drop(held);
        Ok(())
    }

    #[test]
    fn maps_of_files_without_a_name_are_read() {
        let text = "7f00-7f02 rw-s 00001000 fe:00 42                 /tmp/x (deleted)\n\
                    7f00-7f02 rw-s 00000000 00:01 43                 /memfd:x (deleted)\n\
                    7f00-7f02 r-xp 00000000 fe:00 44                 /usr/lib/libc.so\n";
        assert_eq!(unlinked_maps(text).collect::<Vec<_>>(), [(42, 0x1002)]);
    }

    #[test]
    fn resident_memory_is_told() {
        let own = std::process::id();
        let (all, share) = (resident(own).expect("told"), proportional(own).expect("told"));
        assert!(share > 100_000 && share <= all + (1 << 20), "{share} of {all}");
    }
}
