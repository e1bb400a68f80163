//! How many processes an instance may have and how much memory it may use (cgroups(7)).
//!
//! Control group version 2 where its controllers are there and may be handed on, else version 1, else resource limits
//! of the processes ([`Mechanism::Rlimit`]); found out by making the group and moving the process into it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// What holds a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mechanism {
    /// The unified hierarchy.
    CgroupV2,
    /// A hierarchy per controller.
    CgroupV1,
    /// `setrlimit` on each process, and a watch by the instance's init.
    Rlimit,
}

impl Mechanism {
    /// As `peerway status` prints it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CgroupV2 => "cgroup v2",
            Self::CgroupV1 => "cgroup v1",
            Self::Rlimit => "rlimit",
        }
    }
}

/// Which mechanism holds which limit of one instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confinement {
    /// The number of processes and threads.
    pub processes: Mechanism,
    /// The bytes of memory.
    pub memory: Mechanism,
}

/// The control groups of one instance: one directory per hierarchy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cgroup {
    directories: Vec<PathBuf>,
}

impl Cgroup {
    /// Makes groups called `name`, sets the limits, and moves the process `pid` in. Never fails: what cannot be had is
    /// left to resource limits, and the second value says so.
    #[must_use]
    pub fn confine(name: &str, pid: u32, processes: u64, memory_bytes: u64) -> (Self, Confinement) {
        let mut confinement = Confinement { processes: Mechanism::Rlimit, memory: Mechanism::Rlimit };
        let Ok(hierarchies) = Hierarchies::find() else { return (Self::default(), confinement) };
        let v2 = [
            Setting { file: "pids.max", value: processes, needed: true },
            Setting { file: "memory.max", value: memory_bytes, needed: true },
            Setting { file: "memory.swap.max", value: 0, needed: false },
        ];
        for parent in hierarchies.unified() {
            // Refused where it is on already and may not be written, or where it may not be had: the files tell.
            let _ = fs::write(parent.join("cgroup.subtree_control"), "+pids +memory");
            if let Ok(directory) = make(&parent, name, pid, &v2) {
                let both = Confinement { processes: Mechanism::CgroupV2, memory: Mechanism::CgroupV2 };
                return (Self { directories: vec![directory] }, both);
            }
        }
        let pids = [Setting { file: "pids.max", value: processes, needed: true }];
        let memory = [
            Setting { file: "memory.limit_in_bytes", value: memory_bytes, needed: true },
            Setting { file: "memory.memsw.limit_in_bytes", value: memory_bytes, needed: false },
        ];
        let mut group = Self::default();
        for (controller, settings, held) in
            [("pids", &pids[..], &mut confinement.processes), ("memory", &memory[..], &mut confinement.memory)]
        {
            let made = hierarchies.of_controller(controller).find_map(|parent| make(&parent, name, pid, settings).ok());
            if let Some(directory) = made {
                group.directories.push(directory);
                *held = Mechanism::CgroupV1;
            }
        }
        (group, confinement)
    }

    /// Moves a process in.
    ///
    /// # Errors
    /// When the group is gone or the process may not be moved.
    pub fn join(&self, pid: u32) -> io::Result<()> {
        self.directories.iter().try_for_each(|directory| enter(directory, pid))
    }

    /// Removes the groups, waiting at most two seconds for the last process to leave. A group that is gone is well.
    ///
    /// # Errors
    /// When processes remain.
    pub fn remove(&self) -> io::Result<()> {
        let deadline = Instant::now() + Duration::from_secs(2);
        for directory in &self.directories {
            loop {
                match fs::remove_dir(directory) {
                    Ok(()) => break,
                    Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                    Err(_) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(5)),
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }
}

struct Setting {
    file: &'static str,
    value: u64,
    needed: bool,
}

/// Makes the group and moves the process in, or leaves nothing behind.
fn make(parent: &Path, name: &str, pid: u32, settings: &[Setting]) -> io::Result<PathBuf> {
    let directory = parent.join(name);
    match fs::create_dir(&directory) {
        // What a killed predecessor of the same instance left: empty, or the next steps fail.
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let fill = || -> io::Result<()> {
        for setting in settings {
            let written = fs::write(directory.join(setting.file), setting.value.to_string());
            if setting.needed {
                written?;
            }
        }
        enter(&directory, pid)
    };
    match fill() {
        Ok(()) => Ok(directory),
        Err(error) => {
            let _ = fs::remove_dir(&directory);
            Err(error)
        }
    }
}

fn enter(directory: &Path, pid: u32) -> io::Result<()> {
    fs::write(directory.join("cgroup.procs"), pid.to_string())
}

/// Where control groups are mounted and where this process is in them.
struct Hierarchies {
    mounts: Vec<Mount>,
    /// (controllers, path) of `/proc/self/cgroup`; no controllers: the unified hierarchy.
    own: Vec<(Vec<String>, String)>,
}

struct Mount {
    root: String,
    point: PathBuf,
    unified: bool,
    options: Vec<String>,
}

impl Hierarchies {
    fn find() -> io::Result<Self> {
        let mounts = fs::read_to_string("/proc/self/mountinfo")?.lines().filter_map(Mount::parse).collect();
        let own = fs::read_to_string("/proc/self/cgroup")?.lines().filter_map(parse_own).collect();
        Ok(Self { mounts, own })
    }

    /// Directories of the unified hierarchy that may take a new group: the top first (nobody's processes are in the way
    /// there), then this process's own and the one above it (what systemd delegates to a user).
    fn unified(&self) -> impl Iterator<Item = PathBuf> {
        self.mounts.iter().filter(|mount| mount.unified).flat_map(|mount| {
            let own = self.own.iter().find(|(controllers, _)| controllers.is_empty());
            let own = own.and_then(|(_, path)| mount.place(path));
            let above = own.as_deref().and_then(Path::parent).map(Path::to_owned);
            let inside = move |path: &PathBuf| path.starts_with(&mount.point);
            [Some(mount.point.clone()), above, own].into_iter().flatten().filter(inside)
        })
    }

    /// Directories of a version 1 hierarchy: this process's own first, so that limits on ourselves go on holding.
    fn of_controller(&self, controller: &str) -> impl Iterator<Item = PathBuf> {
        let controller = controller.to_owned();
        let has = move |list: &[String]| list.contains(&controller);
        let own = self.own.iter().find(|(controllers, _)| has(controllers)).map(|(_, path)| path.as_str());
        self.mounts.iter().filter(move |mount| !mount.unified && has(&mount.options)).flat_map(move |mount| {
            [own.and_then(|path| mount.place(path)), Some(mount.point.clone())].into_iter().flatten()
        })
    }
}

impl Mount {
    /// proc_pid_mountinfo(5): `36 35 98:0 /root /point options - type source super-options`.
    fn parse(line: &str) -> Option<Self> {
        let (mount, file_system) = line.split_once(" - ")?;
        let mut mount = mount.split(' ').skip(3);
        let (root, point) = (mount.next()?.to_owned(), PathBuf::from(unescape(mount.next()?)));
        let mut file_system = file_system.split(' ');
        let unified = match file_system.next()? {
            "cgroup2" => true,
            "cgroup" => false,
            _ => return None,
        };
        let options = file_system.nth(1)?.split(',').map(str::to_owned).collect();
        Some(Self { root, point, unified, options })
    }

    /// Where a path of `/proc/self/cgroup` is below this mount.
    fn place(&self, path: &str) -> Option<PathBuf> {
        let below = if self.root == "/" { path } else { path.strip_prefix(&self.root)? };
        let place = self.point.join(below.trim_start_matches('/'));
        place.is_dir().then_some(place)
    }
}

/// `4:memory,cpu:/path`.
fn parse_own(line: &str) -> Option<(Vec<String>, String)> {
    let mut parts = line.splitn(3, ':').skip(1);
    let controllers = parts.next()?.split(',').filter(|c| !c.is_empty()).map(str::to_owned).collect();
    Some((controllers, parts.next()?.to_owned()))
}

/// Space, tab, newline and backslash are written as octal numbers.
fn unescape(text: &str) -> String {
    text.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_read_as_documented() {
        let line = "35 31 0:29 / /sys/fs/cgroup/my\\040memory rw,relatime shared:9 - cgroup cgroup rw,memory";
        let mount = Mount::parse(line).expect("a cgroup mount");
        assert_eq!((mount.root.as_str(), mount.point.to_str()), ("/", Some("/sys/fs/cgroup/my memory")));
        assert!(!mount.unified && mount.options.contains(&"memory".to_owned()));
        assert!(Mount::parse("22 27 0:21 / /proc rw,relatime - proc proc rw").is_none());
        assert!(Mount::parse("nonsense").is_none());
    }

    #[test]
    fn own_groups_are_read_as_documented() {
        assert_eq!(parse_own("4:memory:/a:b"), Some((vec!["memory".to_owned()], "/a:b".to_owned())));
        assert_eq!(parse_own("0::/"), Some((vec![], "/".to_owned())));
        assert_eq!(parse_own("x"), None);
    }
}
