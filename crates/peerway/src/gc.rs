//! `peerway gc`: ends and removes what a killed run left, as the next start on the same data directory would. Only what that run's
//! records and names say is its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::bail;

use crate::cli::GcOptions;
use crate::host;

/// Where tracked flows are kept, in this order.
const FLOWS_IN: [&str; 2] = ["/run", "/dev/shm"];

/// A kind of thing that is left.
enum Left {
    /// A host's directory with records of instances: their processes, with namespaces and devices, and their control groups.
    Instances(PathBuf),
    File(PathBuf),
    Directory(PathBuf),
}

pub fn run(options: &GcOptions) -> anyhow::Result<ExitCode> {
    let data = options.data.clone().map_or_else(host::default_data, Ok)?;
    if !data.is_dir() {
        bail!("{} is no directory; name the killed run's with --data", data.display());
    }
    // What runs is not left; and nobody starts meanwhile.
    let _lock = host::take_directory(&data)?;
    let mut code = ExitCode::SUCCESS;
    let mut found = false;
    for left in everything(&data) {
        found = true;
        if options.dry_run {
            println!("{}", left.describe());
        } else if !left.remove() {
            code = ExitCode::FAILURE;
        }
    }
    if !found {
        println!("nothing is left of a run on {}", data.display());
    }
    Ok(code)
}

fn everything(data: &Path) -> Vec<Left> {
    let hosts = host_directories(data);
    let records = |host: &PathBuf| {
        let instances = entries(&host.join("instances"));
        instances.iter().any(|instance| instance.join("sandbox.json").exists())
    };
    let mut all: Vec<Left> = hosts.iter().filter(|host| records(host)).cloned().map(Left::Instances).collect();
    all.extend(hosts.iter().map(|host| host.join(agent::SOCKET_NAME)).filter(|path| path.exists()).map(Left::File));
    let prefix = format!("{}-", host::prefix(data));
    let is_flows = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        name.starts_with(&prefix) && name.ends_with(".flows")
    };
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute());
    let places = FLOWS_IN.iter().map(PathBuf::from).chain(runtime);
    all.extend(places.flat_map(|place| entries(&place)).filter(is_flows).map(Left::File));
    // A backup that is whole says so.
    let is_half = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        name.starts_with("backup-") && path.is_dir() && server::backup::read(path).is_err()
    };
    all.extend(entries(data).into_iter().filter(is_half).map(Left::Directory));
    all
}

fn host_directories(data: &Path) -> Vec<PathBuf> {
    let only = data.join(host::HOST_DIR);
    let several = entries(&data.join(host::HOSTS_DIR));
    [only].into_iter().chain(several).filter(|path| path.is_dir()).collect()
}

fn entries(path: &Path) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    all.sort();
    all
}

impl Left {
    fn describe(&self) -> String {
        match self {
            Left::Instances(host) => format!("instances of {}", host.display()),
            Left::File(path) | Left::Directory(path) => path.display().to_string(),
        }
    }

    /// Whether all of it is gone.
    fn remove(&self) -> bool {
        match self {
            Left::Instances(host) => end(host),
            Left::File(path) => removed(path, fs::remove_file(path)),
            Left::Directory(path) => removed(path, fs::remove_dir_all(path)),
        }
    }
}

fn end(host: &Path) -> bool {
    let mut is_well = true;
    for (id, ended) in agent::end_instances(host) {
        match ended {
            Ok(()) => println!("{id} ended"),
            Err(error) => {
                eprintln!("peerway: cannot end {id}: {error}");
                is_well = false;
            }
        }
    }
    is_well
}

fn removed(path: &Path, result: std::io::Result<()>) -> bool {
    match result {
        Ok(()) => println!("{} removed", path.display()),
        Err(error) => eprintln!("peerway: cannot remove {}: {error}", path.display()),
    }
    !path.exists()
}
