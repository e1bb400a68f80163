//! `cargo xtask dist`: a release of `peerway` that needs no library of the machine it runs on; built, held against its own ELF header, and
//! tried. With musl where Rust has that target and the machine a C compiler for it, else with glibc linked in; see
//! docs/operating/static-binary.md.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};

use crate::run::{has, root, run};

const STARTS_WITHIN: Duration = Duration::from_secs(30);
const ENDS_WITHIN: Duration = Duration::from_secs(20);

/// The C library that is linked in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Libc {
    Musl,
    Gnu,
}

impl Libc {
    fn target(self) -> String {
        let libc = match self {
            Libc::Musl => "musl",
            Libc::Gnu => "gnu",
        };
        format!("{}-unknown-linux-{libc}", std::env::consts::ARCH)
    }
}

/// Builds, checks, tries; the binary and its digest are in `target/dist`.
///
/// # Errors
/// When an argument is unknown, the build fails, the binary is not static, or it does not run.
pub fn dist(args: &[String]) -> anyhow::Result<()> {
    let (mut libc, mut is_debug) = (None, false);
    for arg in args {
        match arg.as_str() {
            "--musl" => libc = Some(Libc::Musl),
            "--gnu" => libc = Some(Libc::Gnu),
            "--debug" => is_debug = true,
            other => bail!("`{other}` is no option of `cargo xtask dist`: --musl, --gnu, --debug"),
        }
    }
    let libc = match (libc, musl_is_missing()) {
        (Some(Libc::Musl), Some(missing)) => bail!("musl cannot be built here: {missing}"),
        (None, Some(missing)) => {
            eprintln!("with glibc, because musl cannot be built here: {missing}");
            Libc::Gnu
        }
        (given, _) => given.unwrap_or(Libc::Musl),
    };
    let built = build(libc, is_debug)?;
    let elf = std::fs::read(&built).with_context(|| format!("cannot read {}", built.display()))?;
    if let Some(dynamic) = loads(&elf).context("this is no ELF file for a 64-bit machine")? {
        bail!("{} is not static: it asks for {dynamic}", built.display());
    }
    tried(&built)?;
    let kept = keep(&built, libc, is_debug)?;
    println!("{}: static, {} MiB; --version, doctor and up --no-packets ran", kept.display(), elf.len() >> 20);
    Ok(())
}

/// What keeps this machine from building with musl.
fn musl_is_missing() -> Option<String> {
    let target = Libc::Musl.target();
    let answer = Command::new("rustc").args(["--print", "target-libdir", "--target", &target]).output().ok()?;
    if !Path::new(String::from_utf8_lossy(&answer.stdout).trim()).is_dir() {
        return Some(format!("Rust has no {target}; run `rustup target add {target}`"));
    }
    (!has("musl-gcc")).then(|| "there is no musl-gcc; install the package musl-tools".to_owned())
}

fn build(libc: Libc, is_debug: bool) -> anyhow::Result<PathBuf> {
    let target = libc.target();
    let mut args = vec!["build", "--package", "peerway", "--target", &target];
    args.extend((!is_debug).then_some("--release"));
    // With a target named, these flags are not for build scripts and macros, which must be dynamic.
    let mut env = vec![("RUSTFLAGS", "-C target-feature=+crt-static")];
    let compiler = format!("CC_{}", target.replace('-', "_"));
    if libc == Libc::Musl {
        env.push((&compiler, "musl-gcc"));
    }
    run("cargo", &args, &env)?;
    Ok(target_dir().join(target).join(if is_debug { "debug" } else { "release" }).join("peerway"))
}

fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), Into::into)
}

/// What a program asks the loader for: an interpreter, or libraries. `None`: it is static.
///
/// # Errors
/// When these are not the bytes of a 64-bit little-endian ELF file.
fn loads(elf: &[u8]) -> anyhow::Result<Option<&'static str>> {
    const INTERPRETER: u64 = 3;
    const DYNAMIC: u64 = 2;
    const NEEDED: u64 = 1;
    ensure!(elf.starts_with(b"\x7fELF\x02\x01"), "its first bytes are others");
    let number = |at: u64, bytes: usize| {
        let at = usize::try_from(at).ok()?;
        let field = elf.get(at..at.checked_add(bytes)?)?;
        Some(field.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
    };
    let cut_short = || "it ends too early";
    let header = |at, bytes| number(at, bytes).context(cut_short());
    let (table, size, count) = (header(32, 8)?, header(54, 2)?, header(56, 2)?);
    for index in 0..count {
        let segment = table.checked_add(index * size).context(cut_short())?;
        match header(segment, 4)? {
            INTERPRETER => return Ok(Some("an interpreter")),
            // A static program that can lie anywhere has such a segment, too; but it needs no library.
            DYNAMIC => {
                let (from, length) = (header(segment + 8, 8)?, header(segment + 32, 8)?);
                let tags = (0..length / 16).filter_map(|entry| number(from.checked_add(entry * 16)?, 8));
                if tags.into_iter().take_while(|tag| *tag != 0).any(|tag| tag == NEEDED) {
                    return Ok(Some("libraries"));
                }
            }
            _ => {}
        }
    }
    Ok(None)
}

/// It says its version, looks at the machine, and serves the API.
fn tried(binary: &Path) -> anyhow::Result<()> {
    let program = binary.to_string_lossy();
    run(&program, &["--version"], &[])?;
    // What it finds is the machine's; that it ends by itself is the binary's.
    let code = Command::new(binary).arg("doctor").status()?.code();
    ensure!(matches!(code, Some(0 | 1)), "`{program} doctor` ended with {code:?}");
    // Made here, so that it is readable: `up` makes what is above its data for its own user alone.
    let folder = target_dir().join("dist");
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let data = folder.join(format!("try-{}", std::process::id()));
    let ended = serves(binary, &data);
    if data.exists() {
        std::fs::remove_dir_all(&data)?;
    }
    ended
}

fn serves(binary: &Path, data: &Path) -> anyhow::Result<()> {
    let mut up = Command::new(binary);
    up.args(["up", "--no-packets", "--listen", "127.0.0.1:0", "--metrics", "off", "--data"]).arg(data);
    let mut up = Running(up.stdout(Stdio::piped()).stdin(Stdio::null()).spawn()?);
    let output = up.0.stdout.take().context("no output to read")?;
    let (send, lines) = std::sync::mpsc::channel();
    let reader = std::thread::spawn(move || {
        BufReader::new(output).lines().map_while(Result::ok).for_each(|line| {
            // Whoever heard the first lines has heard enough.
            let _ = send.send(line);
        });
    });
    let until = Instant::now() + STARTS_WITHIN;
    let address = loop {
        let line = lines.recv_timeout(until.saturating_duration_since(Instant::now()));
        let line = line.with_context(|| format!("`up` named no endpoint within {STARTS_WITHIN:?}"))?;
        if let Some(address) = line.strip_prefix("endpoint http://") {
            break address.to_owned();
        }
    };
    let mut client = TcpStream::connect(&address).with_context(|| format!("nobody answers at {address}"))?;
    client.set_read_timeout(Some(ENDS_WITHIN))?;
    write!(client, "GET / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = [0; 5];
    client.read_exact(&mut answer)?;
    ensure!(&answer == b"HTTP/", "{address} does not speak HTTP");
    run("kill", &["-INT", &up.0.id().to_string()], &[])?;
    let until = Instant::now() + ENDS_WITHIN;
    let status = loop {
        match up.0.try_wait()? {
            Some(status) => break status,
            None if Instant::now() < until => std::thread::sleep(Duration::from_millis(20)),
            None => bail!("`up` still runs {ENDS_WITHIN:?} after SIGINT"),
        }
    };
    // Its output ended with it.
    let _ = reader.join();
    ensure!(status.success(), "`up` ended with {status} after SIGINT");
    Ok(())
}

/// A child that does not outlive its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended already, unless something went wrong.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The binary under its name, with its digest beside it.
fn keep(binary: &Path, libc: Libc, is_debug: bool) -> anyhow::Result<PathBuf> {
    let folder = target_dir().join("dist");
    let kind = if is_debug { "-debug" } else { "" };
    let name = format!("peerway-{}-{}{kind}", env!("CARGO_PKG_VERSION"), libc.target());
    std::fs::copy(binary, folder.join(&name)).with_context(|| format!("cannot write into {}", folder.display()))?;
    let digest =
        Command::new("sha256sum").arg(&name).current_dir(&folder).output().context("cannot start `sha256sum`")?;
    ensure!(digest.status.success(), "`sha256sum {name}` failed: {}", digest.status);
    std::fs::write(folder.join(format!("{name}.sha256")), digest.stdout)?;
    Ok(folder.join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: usize = 64;
    const SEGMENT: usize = 56;

    /// An ELF file with these segments and, behind them, these entries of the dynamic segment.
    fn elf(segments: &[u32], dynamic: &[u64]) -> Vec<u8> {
        let from = HEADER + segments.len() * SEGMENT;
        let mut bytes = vec![0; from + dynamic.len() * 16];
        bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
        bytes[32..40].copy_from_slice(&(HEADER as u64).to_le_bytes());
        bytes[54..56].copy_from_slice(&(SEGMENT as u16).to_le_bytes());
        bytes[56..58].copy_from_slice(&(segments.len() as u16).to_le_bytes());
        for (index, kind) in segments.iter().enumerate() {
            let at = HEADER + index * SEGMENT;
            bytes[at..at + 4].copy_from_slice(&kind.to_le_bytes());
            bytes[at + 8..at + 16].copy_from_slice(&(from as u64).to_le_bytes());
            bytes[at + 32..at + 40].copy_from_slice(&((dynamic.len() * 16) as u64).to_le_bytes());
        }
        for (index, tag) in dynamic.iter().enumerate() {
            bytes[from + index * 16..][..8].copy_from_slice(&tag.to_le_bytes());
        }
        bytes
    }

    #[test]
    fn what_asks_the_loader_is_not_static() {
        assert_eq!(loads(&elf(&[1, 1, 6], &[])).unwrap(), None);
        assert_eq!(loads(&elf(&[1, 3], &[])).unwrap(), Some("an interpreter"));
        assert_eq!(loads(&elf(&[1, 2], &[5, 1, 0])).unwrap(), Some("libraries"));
        // One that can lie anywhere: a dynamic segment that needs nothing; what stands behind its end does not count.
        assert_eq!(loads(&elf(&[1, 2], &[5, 6, 0, 1])).unwrap(), None);
    }

    #[test]
    fn this_test_is_not_static() {
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let is_static = cfg!(target_feature = "crt-static");
        assert_eq!(loads(&own).unwrap().is_none(), is_static);
    }

    #[test]
    fn other_files_are_refused() {
        assert!(loads(b"#!/bin/sh\n").is_err());
        assert!(loads(b"\x7fELF\x01\x01").is_err());
        let whole = elf(&[1, 2], &[5, 1, 0]);
        assert!(loads(&whole[..HEADER + 2]).is_err());
        let mut far = whole.clone();
        far[32..40].copy_from_slice(&u64::MAX.to_le_bytes());
        assert!(loads(&far).is_err());
    }
}
