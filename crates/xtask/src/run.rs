//! Running programs, and what to say when one is not there.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

/// The folder of the whole workspace.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap_or_else(|_| ".".into())
}

/// Runs a program at the root of the workspace; it must succeed.
///
/// # Errors
/// When it cannot be started or fails.
pub fn run<S: AsRef<OsStr>>(program: &str, args: &[S], env: &[(&str, &str)]) -> anyhow::Result<()> {
    let line: Vec<String> = args.iter().map(|arg| arg.as_ref().to_string_lossy().into_owned()).collect();
    eprintln!("$ {program} {}", line.join(" "));
    let status = Command::new(program).args(args).envs(env.iter().copied()).current_dir(root()).status();
    let status = status.with_context(|| format!("cannot start `{program}`"))?;
    if !status.success() {
        bail!("`{program} {}` failed: {status}", line.join(" "));
    }
    Ok(())
}

/// Whether a program is on the path or where a package puts it.
pub fn has(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(usual).any(|dir| dir.join(program).is_file())
}

/// Installs the Debian packages of the programs that are missing.
///
/// # Errors
/// With the packages to install by hand, where this cannot.
pub fn install(wanted: &[(&str, &str)]) -> anyhow::Result<()> {
    let missing: Vec<&str> = wanted.iter().filter(|(program, _)| !has(program)).map(|(_, package)| *package).collect();
    if missing.is_empty() {
        return Ok(());
    }
    if !has("apt-get") {
        bail!("these programs are missing; install the packages {}", missing.join(" "));
    }
    let hint = || format!("cannot install {}; run `apt-get install {}` as root", missing.join(", "), missing.join(" "));
    let env = [("DEBIAN_FRONTEND", "noninteractive")];
    run("apt-get", &["update", "-qq"], &env).with_context(hint)?;
    let args: Vec<&str> = ["install", "-y", "-qq", "--no-install-recommends"].iter().chain(&missing).copied().collect();
    run("apt-get", &args, &env).with_context(hint)
}
