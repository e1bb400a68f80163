//! All tests, cheapest first. What cannot run here fails by name; nothing is skipped in silence.

use crate::run::{install, root, run};

/// Programs that tests run, inside instances or beside them, and their Debian packages.
const PROGRAMS: &[(&str, &str)] = &[
    ("ip", "iproute2"),
    ("ping", "iputils-ping"),
    ("nc", "netcat-openbsd"),
    ("udhcpc", "udhcpc"),
    ("busybox", "busybox-static"),
    ("curl", "curl"),
    ("tshark", "tshark"),
    ("python3", "python3"),
    ("systemd-analyze", "systemd"),
];

/// Format, lints and the shape of the house.
///
/// # Errors
/// The first check that fails.
pub fn tidy() -> anyhow::Result<()> {
    run("cargo", &["fmt", "--all", "--check"], &[])?;
    run("cargo", &["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"], &[])?;
    run("cargo", &["test", "--quiet", "--package", "xtask", "--test", "arrows"], &[])
}

/// Everything.
///
/// # Errors
/// The first part that fails.
pub fn all() -> anyhow::Result<()> {
    install(PROGRAMS)?;
    tidy()?;
    run("cargo", &["test", "--workspace"], &[])?;
    clients()
}

/// Real clients against the binary, each in an environment of its own.
fn clients() -> anyhow::Result<()> {
    run("cargo", &["build", "--package", "peerway"], &[])?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), Into::into);
    let binary = target.join("debug/peerway");
    run("python3", &["tests/clients/run.py", "--all"], &[("PEERWAY_BIN", &binary.to_string_lossy())])
}
