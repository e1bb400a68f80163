//! Machines: a namespace, an address on the underlay, a directory, and the process that runs there.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use agent::identity::{Identity, Trust};
use linux::namespace::in_netns;
use linux::netlink::{LinkChange, Netlink};
use linux::process::Birth;
use linux::sandbox::Record;
use linux::underlay::Underlay;
use model::{Secret, Time};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use server::authority::Authority;

use crate::common::api::{Client, Credentials, now};
use crate::common::machine;
use crate::common::running::{Guest, peerway};

/// The hosts' names; the machine after theirs is for strangers, and the last one is the server's.
pub const AGENTS: [&str; 2] = ["host-1", "host-2"];
const SERVER: usize = 3;
const HOSTS_PORT: u16 = 4589;
const API: ([u8; 4], u16) = ([127, 0, 0, 1], 4588);
const ACCOUNT: &str = "111111111111";
const REGION: &str = "us-east-1";
/// How long a polite end, or a start, may take.
const PATIENCE: Duration = Duration::from_secs(30);

pub struct Machines {
    underlay: Underlay,
    /// Of every agent.
    pub arguments: Vec<String>,
    directory: tempfile::TempDir,
}

/// A process on a machine; ended when dropped.
pub struct Machine {
    child: Child,
    /// The process that goes on for it after a reload, no child of ours.
    successor: Option<Birth>,
    /// What it says to its service manager.
    manager: UnixDatagram,
    log: PathBuf,
    /// Whether the service manager heard that it is up.
    pub was_ready: bool,
}

fn address(n: usize) -> IpAddr {
    IpAddr::from([198, 18, 7, n as u8 + 1])
}

impl Machines {
    pub fn new() -> Machines {
        assert!(rustix::process::geteuid().is_root(), "these tests make namespaces and need root: run them as root");
        let hosts: Vec<_> = (0..=SERVER).map(|n| vec![(address(n), 24)]).collect();
        let underlay = Underlay::create(&hosts, 1500).expect("an underlay");
        let arguments = Vec::new();
        Machines {
            underlay,
            arguments,
            directory: tempfile::Builder::new().prefix("peerway-test-").tempdir().expect("made"),
        }
    }

    /// Puts the program, or another one, where agents are started from: in the place of the one that is there, as an upgrade does.
    pub fn install(&self, other: Option<&str>) {
        let fresh = self.directory.path().join("peerway.new");
        match other {
            Some(text) => std::fs::write(&fresh, text).expect("written"),
            None => drop(std::fs::copy(peerway().get_program(), &fresh).expect("copied")),
        }
        std::fs::set_permissions(&fresh, std::fs::Permissions::from_mode(0o755)).expect("set");
        std::fs::rename(fresh, self.installed()).expect("renamed");
    }

    fn installed(&self) -> PathBuf {
        self.directory.path().join("peerway")
    }

    pub fn data(&self, n: usize) -> PathBuf {
        self.directory.path().join(format!("data-{n}"))
    }

    /// Runs inside a machine's network namespace; processes started there stay there.
    pub fn at<T: Send>(&self, n: usize, work: impl FnOnce() -> T + Send) -> T {
        in_netns(&self.underlay.hosts[n].netns, work).expect("the namespace can be entered")
    }

    /// Starts a process that says so when it is up; what it wrote if it ends instead.
    fn start(&self, n: usize, name: &str, mut command: Command) -> Result<Machine, String> {
        let log = self.directory.path().join(format!("{name}.log"));
        let errors = File::options().create(true).append(true).open(&log).expect("a log");
        let before = std::fs::metadata(&log).expect("a log").len();
        let notify = self.directory.path().join(format!("{name}.notify"));
        let _ = std::fs::remove_file(&notify);
        let manager = UnixDatagram::bind(&notify).expect("bound");
        manager.set_read_timeout(Some(PATIENCE)).expect("set");
        command.env("RUST_LOG", "info").env("NOTIFY_SOCKET", &notify);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(errors);
        let mut child = self.at(n, || command.spawn()).expect("it starts");
        let mut first = String::new();
        let read = BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut first);
        if read.is_ok_and(|length| length == 0) {
            let status = child.wait().expect("it ends");
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            assert!(!status.success(), "{name} ended without a word");
            return Err(text[usize::try_from(before).expect("short")..].to_owned());
        }
        let was_ready = word(&manager) == "READY=1";
        Ok(Machine { child, successor: None, manager, log, was_ready })
    }

    pub fn server(&self) -> Machine {
        let mut command = peerway();
        command.args([
            "server",
            "--no-default-vpc",
            "--hosts-listen",
            &format!("{}:{HOSTS_PORT}", address(SERVER)),
            "--data",
        ]);
        command.arg(self.data(SERVER));
        self.start(SERVER, "server", command).unwrap_or_else(|why| panic!("no server: {why}"))
    }

    /// Starts the agent of a host.
    pub fn agent(&self, n: usize, token: Option<&str>) -> Result<Machine, String> {
        self.start(n, AGENTS[n], self.agent_command(n, AGENTS[n], &self.data(n), token))
    }

    /// A join that must be refused, from a directory that nobody has used; why.
    pub fn refused_join(&self, n: usize, host: &str, token: &str) -> String {
        let data = tempfile::tempdir_in(self.directory.path()).expect("made");
        let command = self.agent_command(n, host, &data.path().join("data"), Some(token));
        match self.start(n, "stranger", command) {
            Ok(_) => panic!("it joined"),
            Err(why) => why,
        }
    }

    fn agent_command(&self, n: usize, host: &str, data: &Path, token: Option<&str>) -> Command {
        let program = Some(self.installed()).filter(|path| path.exists()).unwrap_or(peerway().get_program().into());
        // With the rights that the service has, and no others.
        let mut command = Command::new("setpriv");
        command.args(["--no-new-privs", "--bounding-set", &capabilities_of_unit()]).arg(program);
        command.args(["agent", "--server", &format!("{}:{HOSTS_PORT}", address(SERVER)), "--host", host]);
        command.args(["--underlay", &address(n).to_string(), "--queues", "1", "--data"]).arg(data);
        command.args(&self.arguments).env_remove("PEERWAY_JOIN");
        if let Some(token) = token {
            command.env("PEERWAY_JOIN", token);
        }
        command
    }

    /// A command of the operator, which must succeed; what it wrote.
    pub fn operator(&self, arguments: &[&str]) -> String {
        let mut command = peerway();
        command.args(arguments).args(["--output", "json", "--data"]).arg(self.data(SERVER));
        let output = self.at(SERVER, || command.output()).expect("it starts");
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).expect("text")
    }

    /// One that must fail; what it said.
    pub fn operator_fails(&self, arguments: &[&str]) -> String {
        let mut command = peerway();
        command.args(arguments).arg("--data").arg(self.data(SERVER));
        let output = self.at(SERVER, || command.output()).expect("it starts");
        assert!(!output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stderr).expect("text")
    }

    pub fn operator_json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.operator(arguments)).expect("JSON")
    }

    pub fn token(&self, host: Option<&str>) -> String {
        let mut arguments = vec!["token", "create", "--ttl", "10m"];
        arguments.extend(host.into_iter().flat_map(|host| ["--host", host]));
        self.operator_json(&arguments)["token"].as_str().expect("a token").to_owned()
    }

    pub fn connected(&self) -> Vec<String> {
        let hosts = self.operator_json(&["host", "list"]);
        let connected = hosts.as_array().expect("a list").iter().filter(|host| host["connected"] == true);
        connected.map(|host| host["host"].as_str().expect("a name").to_owned()).collect()
    }

    /// Asks the API, as an account.
    pub fn api<T: Send>(&self, work: impl FnOnce(&mut Client) -> T + Send) -> T {
        let key = self.operator_json(&["key", "create", "--account", ACCOUNT]);
        let text = |name: &str| key[name].as_str().expect("text").to_owned();
        let credentials =
            Credentials { access_key: text("access_key_id"), secret: Secret(text("secret_access_key")), token: None };
        self.at(SERVER, || work(&mut Client::with(API.into(), credentials, REGION)))
    }

    /// Gives a host that is not running a certificate of sixteen days ago; when that one expires.
    pub fn age_certificate(&self, n: usize) -> Time {
        let authority = Authority::open(Some(&self.data(SERVER)), now()).expect("the server's authority");
        let mut identity = self.identity(n);
        let then = Time::from_unix_millis(now().as_unix_millis() - 16 * 86_400_000);
        let certificate = authority.issue(identity.host(), &identity.csr().expect("a request"), then).expect("issued");
        identity.accept(certificate.chain, certificate.root, Trust::Connection, now()).expect("it is good still");
        certificate.not_after
    }

    pub fn certificate_expires(&self, n: usize) -> Time {
        self.identity(n).expires().expect("a certificate")
    }

    pub fn identity(&self, n: usize) -> Identity {
        let host = AGENTS[n].parse().expect("a name");
        Identity::open(host, Some(&self.data(n).join("host"))).expect("the host's identity")
    }

    pub fn status(&self, n: usize, flag: Option<&str>) -> Value {
        let mut command = peerway();
        command.args(["status", "--output", "json"]).args(flag).arg("--data").arg(self.data(n));
        let output = command.output().expect("it starts");
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).expect("JSON")
    }

    /// The network namespace of a host.
    pub fn netns(&self, n: usize) -> BorrowedFd<'_> {
        self.underlay.hosts[n].netns.as_fd()
    }

    /// What a command of the operator says on a host.
    pub fn rows(&self, n: usize, arguments: &[&str]) -> Vec<Value> {
        let mut command = peerway();
        let output = command.args(arguments).args(["--output", "json", "--data"]).arg(self.data(n)).output();
        let output = output.expect("it starts");
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).expect("a list")
    }

    /// Which host an instance runs on.
    pub fn carrier(&self, instance: &str) -> usize {
        let carries = |n: &usize| {
            self.status(*n, None).as_array().expect("a list").iter().any(|running| running["instance"] == instance)
        };
        (0..AGENTS.len()).find(carries).unwrap_or_else(|| panic!("nobody carries {instance}"))
    }

    /// The first process of an instance.
    pub fn pid(&self, n: usize, instance: &str) -> u32 {
        self.record(n, instance).birth.pid
    }

    /// How many instances run on a host.
    pub fn running(&self, n: usize) -> usize {
        self.status(n, None).as_array().expect("a list").len()
    }

    fn record_path(&self, n: usize, instance: &str) -> PathBuf {
        self.data(n).join("host/instances").join(instance).join("sandbox.json")
    }

    /// What the agent wrote down of an instance.
    pub fn record(&self, n: usize, instance: &str) -> Record {
        let json = std::fs::read(self.record_path(n, instance)).expect("a record");
        serde_json::from_slice(&json).expect("a record")
    }

    pub fn change_record(&self, n: usize, instance: &str, change: impl FnOnce(&mut Value)) {
        let path = self.record_path(n, instance);
        let mut record = serde_json::from_slice(&std::fs::read(&path).expect("a record")).expect("JSON");
        change(&mut record);
        std::fs::write(path, record.to_string()).expect("written");
    }

    /// As its guest might.
    pub fn rename_device(&self, record: &Record) {
        let netns = linux::namespace::of_process(record.birth.pid).expect("it runs");
        let rename = || {
            let mut netlink = Netlink::open().expect("netlink");
            netlink.set_up("eth0", false).expect("down");
            netlink.set("eth0", &LinkChange { name: Some("lan"), ..LinkChange::default() }).expect("renamed");
            netlink.set_up("lan", true).expect("up");
        };
        in_netns(&netns, rename).expect("entered");
    }

    /// Ends what a stopped agent left; what is said about it.
    pub fn clear(&self, n: usize) -> String {
        let output = peerway().args(["host", "clear", "--data"]).arg(self.data(n)).output().expect("it starts");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("text")
    }

    /// Packets that a host's links have carried.
    pub fn links(&self, n: usize) -> u64 {
        let links = self.status(n, Some("--links"));
        links.as_array().expect("a list").iter().map(|link| link["packets"].as_u64().expect("a number")).sum()
    }

    /// How many echo requests an instance has heard.
    pub fn echoes(&self, n: usize, guest: &Guest) -> u64 {
        let output = self.exec(n, &guest.id, &["cat", "/proc/net/snmp"]).output().expect("it starts");
        let text = String::from_utf8_lossy(&output.stdout);
        let rows: Vec<Vec<&str>> =
            text.lines().filter_map(|line| Some(line.strip_prefix("Icmp: ")?.split(' ').collect())).collect();
        let column = rows[0].iter().position(|name| *name == "InEchos").expect("a column");
        rows[1][column].parse().expect("a number")
    }

    /// A command inside an instance.
    pub fn exec(&self, n: usize, instance: &str, argv: &[&str]) -> Command {
        let mut command = peerway();
        command.arg("exec").arg("--data").arg(self.data(n)).arg(instance).arg("--").args(argv).stdin(Stdio::null());
        command
    }

    pub fn pings(&self, n: usize, from: &Guest, to: &Guest) -> bool {
        let output = self.exec(n, &from.id, &["ping", "-c1", "-W1", &to.address]).output().expect("it starts");
        output.status.success()
    }
}

/// What docs/operating/systemd/peerway-agent.service leaves the agent, as setpriv wants it.
fn capabilities_of_unit() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/operating/systemd/peerway-agent.service");
    let unit = std::fs::read_to_string(path).expect("the unit is there");
    let set = unit.lines().find_map(|line| line.strip_prefix("CapabilityBoundingSet=")).expect("it is bounded");
    let capabilities = set.split_ascii_whitespace().map(|name| name.to_lowercase().replace("cap_", ",+"));
    format!("-all{}", capabilities.collect::<String>())
}

impl Drop for Machines {
    fn drop(&mut self) {
        (0..AGENTS.len()).for_each(|n| machine::end_leftovers(&self.data(n)));
    }
}

impl Machine {
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub fn signal(&self, signal: Signal) {
        let pid = self.successor.as_ref().map_or(self.child.id(), |birth| birth.pid);
        let pid = Pid::from_raw(i32::try_from(pid).expect("a pid")).expect("a pid");
        kill_process(pid, signal).expect("it runs");
    }

    /// Whether it has ended; how is known of a child only.
    fn ended(&mut self) -> Option<bool> {
        match &self.successor {
            Some(birth) => birth.open().expect("asked").is_none().then_some(true),
            None => self.child.try_wait().expect("a child").map(|status| status.success()),
        }
    }

    fn wait(&mut self) -> bool {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(is_well) = self.ended() {
                return is_well;
            }
            assert!(Instant::now() < deadline, "it does not end:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Ends it as a crash would.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.wait();
    }

    /// Has it start its program anew and hand over, as `systemctl reload` does.
    pub fn reload(&mut self) {
        self.signal(Signal::HUP);
        self.hears_of_a_reload();
        let told = word(&self.manager);
        let pid = told.strip_prefix("MAINPID=").and_then(|pid| pid.parse().ok());
        let pid = pid.unwrap_or_else(|| panic!("`{told}` names no process:\n{}", self.log()));
        let successor = Birth::of(pid).expect("it runs");
        assert_eq!(word(&self.manager), "READY=1", "{}", self.log());
        assert!(self.wait(), "the hand-over failed:\n{}", self.log());
        self.successor = Some(successor);
    }

    /// The same where the program that is installed cannot go on: this one does, and says so.
    pub fn refuses_to_reload(&self) {
        self.signal(Signal::HUP);
        self.hears_of_a_reload();
        assert_eq!(word(&self.manager), "READY=1", "{}", self.log());
    }

    /// With the moment, as sd_notify(3) wants it.
    fn hears_of_a_reload(&self) {
        let told = word(&self.manager);
        let moment = told.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").and_then(|moment| moment.parse::<u64>().ok());
        let moment = moment.unwrap_or_else(|| panic!("`{told}` is no word of a reload:\n{}", self.log()));
        let clock = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        let now = u64::try_from(clock.tv_sec).expect("after the start") * 1_000_000;
        assert!(now.abs_diff(moment) < 60_000_000, "{moment} is not now, {now}");
    }

    /// Asks it to end, and holds it to that.
    pub fn stop(&mut self) {
        self.signal(Signal::TERM);
        assert_eq!(word(&self.manager), "STOPPING=1", "{}", self.log());
        assert!(self.wait(), "it did not end well:\n{}", self.log());
    }
}

/// What the service manager hears next.
fn word(manager: &UnixDatagram) -> String {
    let mut bytes = [0; 64];
    let length = manager.recv(&mut bytes).unwrap_or(0);
    String::from_utf8_lossy(&bytes[..length]).into_owned()
}

impl Drop for Machine {
    fn drop(&mut self) {
        if self.ended().is_some() {
            return;
        }
        if std::thread::panicking() {
            eprintln!("{}:\n{}", self.log.display(), self.log());
        }
        self.signal(Signal::TERM);
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if self.ended().is_some() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        self.signal(Signal::KILL);
        self.wait();
    }
}

/// How many were sent and how many came back, as ping counts them.
pub fn ping_counts(text: &str) -> (u32, u32) {
    let line = text.lines().find(|line| line.contains("packets transmitted")).unwrap_or_else(|| panic!("{text}"));
    let numbers: Vec<u32> =
        line.split(|c: char| !c.is_ascii_digit()).filter_map(|word| word.parse().ok()).take(2).collect();
    (numbers[0], numbers[1])
}
