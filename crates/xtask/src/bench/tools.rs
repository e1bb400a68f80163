//! Programs that a bench needs, and places it uses.

use std::fs::File;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};

use super::http::basic_time;
use super::janitor::Janitor;
use super::numbers::median;
use super::options::Options;
use crate::run::has;

/// Synced writes that are timed.
const SYNCS: usize = 50;

/// A program and the Debian package it is in.
pub(super) type Tool = (&'static str, &'static str);

/// Makes sure that programs are there, installing their packages if that is allowed.
///
/// # Errors
/// Names what is missing and the command that mends it.
pub(super) fn need(tools: &[Tool], options: &Options) -> Result<()> {
    let missing: Vec<&str> = tools.iter().filter(|(program, _)| !has(program)).map(|(_, package)| *package).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let mut update = Command::new("apt-get");
    if !options.no_install && !update.args(["update", "-qq"]).output().is_ok_and(|output| output.status.success()) {
        eprintln!("`apt-get update` failed; trying what is known");
    }
    let words = [&["install", "-y", "--no-install-recommends"], &missing[..]].concat();
    install("apt-get", &words, options)?;
    match tools.iter().find(|(program, _)| !has(program)) {
        Some((program, package)) => bail!("`{program}` is not there although package {package} is installed"),
        None => Ok(()),
    }
}

/// A program that cargo builds from the package registry: always this version.
#[derive(Clone, Copy, Debug)]
pub(super) struct Crate {
    pub(super) name: &'static str,
    pub(super) version: &'static str,
    pub(super) program: &'static str,
}

impl Crate {
    pub(super) fn shown(self) -> String {
        format!("{} {} of the package registry", self.name, self.version)
    }

    /// Where the program is, below cargo's target directory; built if it is not there yet.
    pub(super) fn need(self, options: &Options) -> Result<String> {
        let Crate { name, version, program } = self;
        let root = target_directory()?.join("peers").join(format!("{name}-{version}"));
        let path = root.join("bin").join(program);
        let text = |path: &Path| path.to_str().map(String::from).context("the target directory is not UTF-8");
        if !path.is_file() {
            let (root, build) = (text(&root)?, root.join("build"));
            let words = ["install", name, "--version", version, "--locked", "--root", &root];
            install("cargo", &[&words[..], &["--target-dir", &text(&build)?]].concat(), options)?;
            // Hundreds of megabytes that nobody needs any more.
            std::fs::remove_dir_all(&build).with_context(|| format!("cannot remove {}", build.display()))?;
        }
        text(&path)
    }
}

/// The version of an installed Debian package, or what else is known.
pub(super) fn package_version(package: &str) -> String {
    let output = Command::new("dpkg-query").args(["-W", "-f", "${Version}", package]).output();
    match output {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        _ => "of a version that dpkg does not know".into(),
    }
}

/// The first line that a program says of its version.
pub(super) fn own_version(program: &str) -> Result<String> {
    let said = super::process::run(program, &["--version"])?;
    Ok(format!("{program}, {}", said.lines().next().unwrap_or("which names no version")))
}

/// Makes sure that moto's server is there.
pub(super) fn need_moto(options: &Options) -> Result<()> {
    if has("moto_server") {
        return Ok(());
    }
    install("python3", &["-m", "pip", "install", "moto[server]"], options)
}

/// Installs without a word on standard output, which is for results.
fn install(program: &str, words: &[&str], options: &Options) -> Result<()> {
    let shown = format!("{program} {}", words.join(" "));
    if options.no_install {
        bail!("a program is missing; run `{shown}`");
    }
    eprintln!("installing: {shown}");
    let output = Command::new(program).args(words).env("DEBIAN_FRONTEND", "noninteractive").output();
    let output = output.with_context(|| format!("cannot start {program}"))?;
    if !output.status.success() {
        bail!("`{shown}` failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

/// Where cargo builds; this program lies in `TARGET/PROFILE/`.
pub(super) fn target_directory() -> Result<PathBuf> {
    let program = std::env::current_exe().context("this program has no path")?;
    let target = program.ancestors().nth(2).context("this program is in no target directory")?;
    Ok(target.to_path_buf())
}

/// Where the measured program is.
pub(super) fn peerway(options: &Options) -> Result<PathBuf> {
    let program = match &options.peerway {
        Some(path) => path.clone(),
        None => target_directory()?.join("release/peerway"),
    };
    let program = program.canonicalize().with_context(|| format!("there is no {}", program.display()))?;
    Ok(program)
}

/// A directory of this run below cargo's, so on a disk and not in memory: databases write to it.
pub(super) fn directory(janitor: &Janitor) -> Result<PathBuf> {
    let path = target_directory()?.join(format!("bench-{}", std::process::id()));
    std::fs::create_dir(&path).with_context(|| format!("cannot make {}", path.display()))?;
    janitor.owns_directory(&path)?;
    Ok(path)
}

/// A port of the loopback that was free a moment ago.
pub(super) fn free_port() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no port of the loopback is free")?;
    Ok(listener.local_addr()?)
}

/// What the numbers depend on: processors, kernel, and what else ran when the bench began.
pub(super) fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
    let info = read("/proc/cpuinfo");
    let model = info.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let model = model.trim_start_matches([' ', '\t', ':']);
    let kernel = read("/proc/sys/kernel/osrelease");
    let load = read("/proc/loadavg");
    let load = load.split(' ').next().unwrap_or_default();
    format!("{processors} x {model}, Linux {}, load average {load} before the run", kernel.trim())
}

/// The day of the run, as in `2026-01-15`.
pub(super) fn today() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let time = basic_time(seconds);
    format!("{}-{}-{}", &time[..4], &time[4..6], &time[6..8])
}

/// Median time of a synced write of one page below `directory`, in microseconds: what an acknowledged change costs at least.
pub(super) fn sync_time(directory: &Path) -> Result<f64> {
    let path = directory.join("sync");
    let mut file = File::create(&path).with_context(|| format!("cannot make {}", path.display()))?;
    let mut times = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        let started = Instant::now();
        file.write_all(&[0x50; 4096])?;
        file.sync_data()?;
        times.push(started.elapsed().as_secs_f64() * 1e6);
    }
    Ok(median(&times))
}
