//! `peerway support-bundle`: what helps to find a fault, in one directory. Everything goes through [`Redactor`]: what the data directory
//! keeps as a secret is in no file of the bundle, wherever it may have come from.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::{self, DirBuilder, File};
use std::io::{Read, Seek, SeekFrom, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, bail};

use crate::cli::SupportBundleOptions;
use crate::{agents, drops, host};

/// Of one log, its end.
const LOG_MAX: u64 = 4 << 20;
/// Of one answer or file.
const TEXT_MAX: u64 = 16 << 20;
/// Files that are listed.
const FILES_MAX: usize = 2_000;
const PATIENCE: Duration = Duration::from_secs(5);
/// A text that is shorter may be anything.
const SECRET_LEN_MIN: usize = 8;
const UNITS: [&str; 3] = ["peerway", "peerway-server", "peerway-agent"];

pub fn run(options: &SupportBundleOptions) -> anyhow::Result<ExitCode> {
    let data = options.data.clone().map_or_else(host::default_data, Ok)?;
    if options.to.exists() {
        bail!("{} is there already; name a new directory", options.to.display());
    }
    let made = DirBuilder::new().mode(0o700).create(&options.to);
    made.with_context(|| format!("cannot make {}", options.to.display()))?;
    let bundle = Bundle { to: options.to.clone(), redactor: Redactor::of(&data) };
    bundle.add("versions.txt", &versions())?;
    bundle.add("doctor.json", &doctor()?)?;
    bundle.add("environment.txt", &environment())?;
    bundle.add("files.txt", &files(&data))?;
    let said = said(options.data.as_deref());
    bundle.add("status.json", &said.status)?;
    bundle.add("drops.json", &said.drops)?;
    bundle.add("metrics.txt", &metrics(options.metrics).unwrap_or_else(|error| format!("none: {error:#}\n")))?;
    for (n, path) in options.log.iter().enumerate() {
        bundle.add(&format!("log-{n}.txt"), &end_of(path).unwrap_or_else(|error| format!("none: {error:#}\n")))?;
    }
    if options.log.is_empty() {
        bundle.add("log-journal.txt", &journal())?;
    }
    println!(
        "{} is written, without the secrets of {}.\nRead it before you give it away: it names your networks, instances and hosts.",
        options.to.display(),
        data.display()
    );
    Ok(ExitCode::SUCCESS)
}

struct Bundle {
    to: PathBuf,
    redactor: Redactor,
}

impl Bundle {
    fn add(&self, name: &str, text: &str) -> anyhow::Result<()> {
        let path = self.to.join(name);
        let mut file = File::options().write(true).create_new(true).open(&path);
        let file = file.as_mut().map_err(|error| anyhow::anyhow!("cannot make {}: {error}", path.display()))?;
        file.write_all(self.redactor.redact(text).as_bytes())
            .with_context(|| format!("cannot write {}", path.display()))
    }
}

/// Knows the secrets of a data directory, and the look of others.
struct Redactor(BTreeSet<String>);

/// Words that stand before a secret, in lower case.
const MARKS: [&str; 8] =
    ["secret", "password", "private_key", "privatekey", "session_token", "sessiontoken", "signature=", "authorization"];

impl Redactor {
    /// Every text of the directory's files that hold secrets: they are told by their mode.
    fn of(data: &Path) -> Redactor {
        let mut secrets = BTreeSet::new();
        for path in secret_files(data) {
            let Ok(text) = read(&path) else { continue };
            match serde_json::from_str::<serde_json::Value>(&text) {
                Ok(value) => texts(&value, &mut secrets),
                Err(_) => secrets.extend(text.lines().map(|line| line.trim().to_owned())),
            }
        }
        let tokens = ["AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "PEERWAY_JOIN"];
        secrets.extend(tokens.iter().filter_map(|name| std::env::var(name).ok()));
        // An account's number is no secret, and neither is an address.
        secrets.retain(|text| text.len() >= SECRET_LEN_MIN && text.bytes().any(|byte| byte.is_ascii_alphabetic()));
        Redactor(secrets)
    }

    fn redact(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in self.0.iter().rev() {
            if text.contains(secret.as_str()) {
                text = text.replace(secret.as_str(), "[redacted]");
            }
        }
        let lines = text.lines().map(|line| {
            let lower = line.to_ascii_lowercase();
            let is_marked = MARKS.iter().any(|mark| lower.contains(mark)) || line.contains("peerway-join-");
            if is_marked { "[a line about a secret]" } else { line }
        });
        lines.fold(String::with_capacity(text.len()), |all, line| all + line + "\n")
    }
}

/// Files of the first two levels that only their owner reads; not instances' own.
fn secret_files(data: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let hosts = fs::read_dir(data.join(host::HOSTS_DIR)).into_iter().flatten().flatten().map(|entry| entry.path());
    for folder in [data.to_owned(), data.join(host::HOST_DIR)].into_iter().chain(hosts) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let is_secret = entry.metadata().is_ok_and(|about| about.is_file() && about.mode() & 0o077 == 0);
            let is_intent = entry.file_name() == "intent.json";
            if is_secret && !is_intent && entry.file_name() != "lock" {
                found.push(entry.path());
            }
        }
    }
    found
}

fn texts(value: &serde_json::Value, all: &mut BTreeSet<String>) {
    match value {
        serde_json::Value::String(text) => drop(all.insert(text.clone())),
        serde_json::Value::Array(items) => items.iter().for_each(|item| texts(item, all)),
        serde_json::Value::Object(members) => members.values().for_each(|member| texts(member, all)),
        _ => {}
    }
}

fn read(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(TEXT_MAX).read_to_string(&mut text)?;
    Ok(text)
}

fn versions() -> String {
    let kernel = read(Path::new("/proc/version")).unwrap_or_default();
    let system = read(Path::new("/etc/os-release")).unwrap_or_default();
    let processors = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    format!("peerway {}\n{kernel}{processors} processors\n{system}", env!("CARGO_PKG_VERSION"))
}

fn doctor() -> anyhow::Result<String> {
    let checks = linux::doctor::checks(&std::env::temp_dir());
    let rows = checks.iter().map(|check| {
        serde_json::json!({ "name": check.name, "ok": check.ok, "optional": check.optional, "detail": check.detail })
    });
    Ok(serde_json::to_string_pretty(&rows.collect::<Vec<_>>())?)
}

/// Which of our variables are set; what they are set to where that says something.
fn environment() -> String {
    let mut text = String::new();
    for (name, value) in std::env::vars().filter(|(name, _)| name.starts_with("PEERWAY_") || name.starts_with("AWS_")) {
        let is_plain = ["PEERWAY_DATA", "PEERWAY_METRICS", "PEERWAY_WAIT", "AWS_ENDPOINT_URL", "AWS_DEFAULT_REGION"];
        let value = if is_plain.contains(&name.as_str()) { value } else { "is set".into() };
        // Writing to a string never fails.
        let _ = writeln!(text, "{name} {value}");
    }
    text
}

/// Names, sizes and modes, not what is inside.
fn files(data: &Path) -> String {
    let (mut text, mut left) = (String::new(), FILES_MAX);
    list(data, Path::new(""), 0, &mut left, &mut text);
    text
}

fn list(root: &Path, below: &Path, depth: usize, left: &mut usize, text: &mut String) {
    let mut entries: Vec<_> = fs::read_dir(root.join(below)).into_iter().flatten().flatten().collect();
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        if *left == 0 {
            return;
        }
        *left -= 1;
        let path = below.join(entry.file_name());
        let Ok(about) = entry.metadata() else { continue };
        // Writing to a string never fails.
        let _ = writeln!(text, "{:o} {} {}", about.mode() & 0o7777, about.len(), path.display());
        // An instance's own files are its owner's business.
        if about.is_dir() && depth < 4 && entry.file_name() != "root" {
            list(root, &path, depth + 1, left, text);
        }
    }
}

struct Said {
    status: String,
    drops: String,
}

/// What the agents say of themselves.
fn said(data: Option<&Path>) -> Said {
    let asked = host::agent_dirs(data).and_then(|dirs| agents::status(&dirs));
    let none = |error: &anyhow::Error| serde_json::json!({ "none": format!("{error:#}") }).to_string();
    match asked {
        Ok(hosts) => {
            let all = drops::drops(&hosts, &drops::Filter { of: None, reason: None });
            let json = |text: serde_json::Result<String>| text.unwrap_or_else(|error| none(&error.into()));
            Said { status: json(serde_json::to_string_pretty(&hosts)), drops: json(serde_json::to_string_pretty(&all)) }
        }
        Err(error) => Said { status: none(&error), drops: none(&error) },
    }
}

fn metrics(address: SocketAddr) -> anyhow::Result<String> {
    let mut stream =
        TcpStream::connect_timeout(&address, PATIENCE).with_context(|| format!("no answer at {address}"))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    write!(stream, "GET /metrics HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n")?;
    let mut bytes = Vec::new();
    stream.take(TEXT_MAX).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    Ok(text.split_once("\r\n\r\n").map_or(text.clone(), |(_, body)| body.into()))
}

fn end_of(path: &Path) -> anyhow::Result<String> {
    let mut file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let len = file.metadata()?.len();
    file.seek(SeekFrom::Start(len.saturating_sub(LOG_MAX)))?;
    let mut bytes = Vec::new();
    file.take(LOG_MAX).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn journal() -> String {
    let units = UNITS.iter().flat_map(|unit| ["--unit", unit]);
    let asked = Command::new("journalctl").args(["--no-pager", "--lines", "5000"]).args(units).output();
    match asked {
        Ok(answer) => String::from_utf8_lossy(&answer.stdout).into_owned(),
        Err(error) => format!("none: journalctl: {error}; name a file of logs with --log\n"),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const SECRET: &str = "kJ8s0mEth1ngVerySecretIndeed";

    fn data() -> tempfile::TempDir {
        let data = tempfile::tempdir().unwrap();
        let path = data.path().join("operator-key.json");
        fs::write(&path, format!("{{\"account\": \"000000000000\", \"keys\": [{{\"k\": \"{SECRET}\"}}]}}")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        data
    }

    #[test]
    fn what_a_data_directory_keeps_as_a_secret_is_nowhere_in_the_bundle() {
        let (data, place) = (data(), tempfile::tempdir().unwrap());
        let log = place.path().join("up.log");
        fs::write(
            &log,
            format!("it said {SECRET} aloud\njoin with peerway-join-abcdef\nkey secret=hunter2hunter2\nfine\n"),
        )
        .unwrap();
        let to = place.path().join("bundle");
        let options = SupportBundleOptions {
            to: to.clone(),
            data: Some(data.path().into()),
            metrics: ([127, 0, 0, 1], 1).into(),
            log: vec![log],
        };
        run(&options).unwrap();
        let names: Vec<_> = fs::read_dir(&to).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(names.len() >= 7, "{names:?}");
        for path in &names {
            let text = fs::read_to_string(path).unwrap();
            for secret in [SECRET, "peerway-join-abcdef", "hunter2"] {
                assert!(!text.contains(secret), "{} holds {secret}: {text}", path.display());
            }
        }
        let log = fs::read_to_string(to.join("log-0.txt")).unwrap();
        assert_eq!(log, "it said [redacted] aloud\n[a line about a secret]\n[a line about a secret]\nfine\n");
        assert!(fs::read_to_string(to.join("files.txt")).unwrap().contains("600 "));
        assert_eq!(fs::metadata(&to).unwrap().permissions().mode() & 0o777, 0o700);
        assert!(run(&options).is_err(), "nothing is overwritten");
    }
}
