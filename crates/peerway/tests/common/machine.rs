//! What a cloud has on its machine: processes, namespaces, control groups, devices.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// What a running cloud has, to be looked for when it is gone.
#[derive(Debug)]
pub struct Traces {
    /// Its processes by id, with their start times.
    processes: BTreeMap<u32, u64>,
    /// Namespaces of those processes that are not this process's own, such as `net:[4026532000]`. Held open, so that no new
    /// one gets the number of one that is gone.
    namespaces: BTreeMap<PathBuf, fs::File>,
    /// Control groups whose names have one of the instances' ids in them.
    cgroups: Vec<PathBuf>,
    tuns: BTreeSet<String>,
}

const NAMESPACES: [&str; 7] = ["net", "mnt", "pid", "uts", "ipc", "cgroup", "user"];

impl Traces {
    /// Of the process `root`, all that it started, and its instances.
    pub fn of(root: u32, instances: &[String]) -> Traces {
        let all = processes();
        let mut own = BTreeSet::from([root]);
        loop {
            let before = own.len();
            own.extend(
                all.iter()
                    .filter(|(_, process)| own.contains(&process.parent))
                    .map(|(pid, _)| *pid)
                    .collect::<Vec<_>>(),
            );
            if own.len() == before {
                break;
            }
        }
        let ours: BTreeSet<PathBuf> = namespaces_of("self");
        let open = |pid: &u32| {
            let links = NAMESPACES.iter().map(move |kind| format!("/proc/{pid}/ns/{kind}"));
            links.filter_map(|link| Some((fs::read_link(&link).ok()?, fs::File::open(&link).ok()?))).collect::<Vec<_>>()
        };
        let namespaces = own.iter().flat_map(open).filter(|(namespace, _)| !ours.contains(namespace));
        Traces {
            namespaces: namespaces.collect(),
            processes: own.iter().filter_map(|pid| Some((*pid, all.get(pid)?.start_time))).collect(),
            cgroups: cgroups(instances),
            tuns: tuns(),
        }
    }

    /// Whether there is enough to see that looking for it works.
    pub fn is_rich(&self, instances: usize) -> bool {
        let networks = self.namespaces.keys().filter(|namespace| namespace.to_string_lossy().starts_with("net:"));
        self.processes.len() > instances && networks.count() >= instances
    }

    /// What of it is still there.
    pub fn left(&self) -> Vec<String> {
        // One that has ended and waits for its parent to ask holds nothing.
        let alive = processes().into_iter().filter(|(_, process)| process.state != 'Z');
        let there: BTreeSet<PathBuf> = alive.flat_map(|(pid, _)| namespaces_of(&pid.to_string())).collect();
        let mounts = fs::read_to_string("/proc/self/mountinfo").expect("mountinfo");
        let is_held =
            |namespace: &&PathBuf| there.contains(*namespace) || mounts.contains(&namespace.display().to_string());
        let namespaces =
            self.namespaces.keys().filter(is_held).map(|namespace| format!("namespace {}", namespace.display()));
        let cgroups =
            self.cgroups.iter().filter(|path| path.exists()).map(|path| format!("control group {}", path.display()));
        let devices = tuns().difference(&self.tuns).map(|name| format!("device {name}")).collect::<Vec<_>>();
        self.left_processes().into_iter().chain(namespaces).chain(cgroups).chain(devices).collect()
    }

    /// Which of its processes are still there.
    pub fn left_processes(&self) -> Vec<String> {
        let all = processes();
        let same = |(pid, start): (&u32, &u64)| {
            all.get(pid).is_some_and(|process| process.start_time == *start && process.state != 'Z')
        };
        self.processes.iter().filter(|process| same(*process)).map(|(pid, _)| format!("process {pid}")).collect()
    }
}

/// One line of the process table.
struct Process {
    parent: u32,
    start_time: u64,
    state: char,
}

/// proc_pid_stat(5): the name may hold anything, so fields count from the last `)`.
fn processes() -> BTreeMap<u32, Process> {
    let entries = fs::read_dir("/proc").expect("/proc").flatten();
    let read = |pid: u32| {
        let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let fields: Vec<&str> = text.get(text.rfind(')')? + 1..)?.split_ascii_whitespace().collect();
        Some(Process {
            state: fields.first()?.chars().next()?,
            parent: fields.get(1)?.parse().ok()?,
            start_time: fields.get(19)?.parse().ok()?,
        })
    };
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(|pid| Some((pid, read(pid)?))).collect()
}

fn namespaces_of(pid: &str) -> BTreeSet<PathBuf> {
    NAMESPACES.iter().filter_map(|kind| fs::read_link(format!("/proc/{pid}/ns/{kind}")).ok()).collect()
}

/// Every control group of these instances, in all hierarchies.
fn cgroups(instances: &[String]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![(PathBuf::from("/sys/fs/cgroup"), 0)];
    while let Some((folder, depth)) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            let name = entry.file_name().to_string_lossy().into_owned();
            if instances.iter().any(|id| name.contains(id.as_str())) {
                found.push(entry.path());
            } else if depth < 8 {
                folders.push((entry.path(), depth + 1));
            }
        }
    }
    found
}

/// TUN and TAP devices in this process's own network namespace: a cloud's belong into those of its instances.
fn tuns() -> BTreeSet<String> {
    let entries = fs::read_dir("/sys/class/net").expect("/sys/class/net").flatten();
    entries
        .filter(|entry| entry.path().join("tun_flags").exists())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

/// Ends what a killed cloud left on this data directory, as its next start would.
pub fn end_leftovers(data: &Path) {
    let several = fs::read_dir(data.join("hosts")).into_iter().flatten().flatten().map(|entry| entry.path());
    let hosts: Vec<PathBuf> = several.chain([data.join("host")]).collect();
    let instances = hosts.iter().flat_map(|host| fs::read_dir(host.join("instances")));
    for entry in instances.flatten().flatten() {
        let Ok(json) = fs::read(entry.path().join("sandbox.json")) else { continue };
        let record = serde_json::from_slice::<linux::sandbox::Record>(&json);
        if let Err(error) = record.map_err(std::io::Error::from).and_then(|record| record.kill_leftover()) {
            eprintln!("left behind: {}: {error}", entry.path().display());
        }
        if let Err(error) = linux::sandbox::remove_files(&entry.path().join("root")) {
            eprintln!("left behind: {}: {error}", entry.path().display());
        }
    }
}
