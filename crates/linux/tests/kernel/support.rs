//! What the tests share: a place for one instance, and running commands in it.

use std::fs;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use linux::sandbox::{Exec, Limits, Record, Sandbox, Spec, remove_files};

/// A directory and a specification for one instance; cleans up.
pub(crate) struct Place {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) spec: Spec,
    /// All that were made here, so that a failed test leaves none running.
    made: Mutex<Vec<Record>>,
}

impl Place {
    pub(crate) fn new(user_data: &str) -> Self {
        let directory = tempfile::Builder::new().prefix("peerway-test-").tempdir().expect("a directory");
        let unique = directory.path().file_name().and_then(|n| n.to_str()).expect("a plain name").replace('.', "_");
        let spec = Spec {
            id: "i-0123".to_owned(),
            hostname: "ip-10-16-0-10".to_owned(),
            root_dir: directory.path().join("root"),
            resolv_conf: "nameserver 10.16.0.2\n".to_owned(),
            hosts: "127.0.0.1 localhost\n10.16.0.10 ip-10-16-0-10\n".to_owned(),
            user_data: user_data.as_bytes().to_vec(),
            uid_base: 0x1000_0000 + (std::process::id() % 1000) * linux::sandbox::IDS,
            limits: Limits { processes: 64, memory_bytes: 256 << 20, disk_bytes: 64 << 20, open_files: 1024 },
            console_log: directory.path().join("console.log"),
            ending: directory.path().join("ending"),
            cgroup_prefix: unique,
            helper: None,
        };
        Self { directory, spec, made: Mutex::default() }
    }

    pub(crate) fn create(&self) -> Sandbox {
        self.create_as(&self.spec)
    }

    pub(crate) fn create_as(&self, spec: &Spec) -> Sandbox {
        let sandbox = Sandbox::create(spec)
            .unwrap_or_else(|e| panic!("{e}: {:?}\n{}", std::error::Error::source(&e), self.log()));
        self.made.lock().expect("unpoisoned").push(sandbox.record().clone());
        sandbox
    }

    pub(crate) fn start(&self) -> Sandbox {
        let mut sandbox = self.create();
        sandbox.start().expect("starts");
        sandbox
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.spec.console_log).unwrap_or_default()
    }

    pub(crate) fn wait_for_log(&self, text: &str) {
        eventually(&format!("`{text}` in the log"), || self.log().contains(text));
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        for record in self.made.lock().expect("unpoisoned").iter() {
            if let Err(error) = record.kill_leftover() {
                println!("left behind: {}: {error}", record.birth);
            }
        }
        if let Err(error) = remove_files(&self.spec.root_dir) {
            println!("left behind: {}: {error}", self.spec.root_dir.display());
        }
    }
}

/// What a command wrote (output and errors together) and how it ended.
pub(crate) fn run(sandbox: &Sandbox, argv: &[&str]) -> (String, ExitStatus) {
    let (mut reader, writer) = std::io::pipe().expect("a pipe");
    let error = writer.try_clone().expect("a descriptor");
    let null = fs::File::open("/dev/null").expect("null");
    let exec = Exec { argv: argv.iter().map(Into::into).collect(), ..Exec::default() };
    let stdio = [OwnedFd::from(null), OwnedFd::from(writer), OwnedFd::from(error)];
    let mut child = sandbox.exec(&exec, stdio).expect("the helper starts");
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).expect("output");
    (String::from_utf8_lossy(&bytes).into_owned(), child.wait().expect("it ends"))
}

/// A shell script in the instance, which must succeed; its output without the last line end.
pub(crate) fn sh(sandbox: &Sandbox, script: &str) -> String {
    let (output, status) = run(sandbox, &["sh", "-c", script]);
    assert!(status.success(), "`{script}` ended with {status}: {output}");
    output.trim_end().to_owned()
}

/// A shell script in the instance, which must fail; its output.
pub(crate) fn sh_fails(sandbox: &Sandbox, script: &str) -> String {
    let (output, status) = run(sandbox, &["sh", "-c", script]);
    assert!(!status.success(), "`{script}` succeeded: {output}");
    output
}

pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < deadline, "not within 30 s: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

pub(crate) fn path_in(place: &Place, path: &str) -> PathBuf {
    place.spec.root_dir.join(path)
}
