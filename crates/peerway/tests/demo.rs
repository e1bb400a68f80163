//! `peerway demo` as a user runs it: the built program, real packets, and nothing left behind.
//!
//! Needs root: to look at every process, and to become a user without privileges for whom `/dev/net/tun` is, or is not, usable.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

const NOBODY: u32 = 65_534;
/// What a user is promised; these machines are slower than his.
const AT_MOST: Duration = Duration::from_secs(60);

/// A directory with a copy of the program, so that its processes are told from all others, and a place for its files.
struct Place {
    directory: tempfile::TempDir,
    program: PathBuf,
    files: PathBuf,
}

impl Place {
    fn new(owner: u32) -> Place {
        assert!(rustix::process::geteuid().is_root(), "the demo's tests need root: run them as root");
        let directory = tempfile::Builder::new().prefix("peerway-test-").tempdir().expect("a directory");
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).expect("passable");
        let (program, files) = (directory.path().join("peerway"), directory.path().join("files"));
        // By another process: a descriptor open for writing here could be inherited by what another test starts meanwhile, and
        // a program that is open for writing cannot be run.
        let copied =
            Command::new("cp").args([Path::new(env!("CARGO_BIN_EXE_peerway")), &program]).status().expect("starts");
        assert!(copied.success(), "the program is not copied: {copied}");
        fs::create_dir(&files).expect("made");
        chown(&files, Some(owner), Some(owner)).expect("owned");
        Place { directory, program, files }
    }

    /// The program as root.
    fn command(&self, arguments: &[&str]) -> Command {
        self.with_files(&self.program, arguments)
    }

    /// The program as a user without privileges, where `/dev/net/tun` has this mode: in a mount namespace of its own.
    fn command_as_nobody(&self, tun_mode: &str, arguments: &[&str]) -> Command {
        let stage = self.directory.path().join("dev");
        fs::create_dir(&stage).expect("made");
        let script = "mount -t tmpfs tmpfs \"$1\"\n\
                      mknod -m \"$2\" \"$1/tun\" c 10 200\n\
                      mount --bind \"$1/tun\" /dev/net/tun\n\
                      user=$3; shift 3\n\
                      exec setpriv --reuid \"$user\" --regid \"$user\" --clear-groups -- \"$@\"";
        let mut command = self.with_files(Path::new("unshare"), &["--mount", "--propagation", "private"]);
        command.args(["sh", "-euc", script, "sh"]).arg(stage).args([tun_mode, &NOBODY.to_string()]);
        command.arg(&self.program).args(arguments);
        command
    }

    fn with_files(&self, program: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(arguments).env("TMPDIR", &self.files).env_remove("RUST_LOG").stdin(Stdio::null());
        command
    }

    /// The processes that run the copy.
    fn processes(&self) -> Vec<u32> {
        let all = fs::read_dir("/proc").expect("proc").flatten();
        let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let is_ours = |pid: &u32| fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == self.program);
        pids.filter(is_ours).collect()
    }

    /// Nothing runs, nothing is mounted, no files and no control groups are there.
    fn assert_nothing_left(&self, instances: &[String]) {
        assert_eq!(self.processes(), Vec::<u32>::new(), "processes are left");
        let mounts = fs::read_to_string("/proc/self/mountinfo").expect("mounts");
        assert!(!mounts.contains(self.directory.path().to_str().expect("text")), "something is mounted:\n{mounts}");
        let files: Vec<_> = fs::read_dir(&self.files).expect("readable").flatten().map(|entry| entry.path()).collect();
        assert!(files.is_empty(), "files are left: {files:?}");
        let groups = groups_of(Path::new("/sys/fs/cgroup"), instances, 8);
        assert!(groups.is_empty(), "control groups are left: {groups:?}");
    }
}

/// Control groups with one of these names at their end.
fn groups_of(directory: &Path, instances: &[String], depth: u32) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let mut found = Vec::new();
    for entry in entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        let name = entry.file_name().to_string_lossy().into_owned();
        if instances.iter().any(|instance| name.ends_with(instance)) {
            found.push(entry.path());
        } else if depth > 0 {
            found.extend(groups_of(&entry.path(), instances, depth - 1));
        }
    }
    found
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs it to its end and watches it: that it has instances is seen on the way.
fn watch(place: &Place, command: &mut Command) -> Output {
    let began = Instant::now();
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
    let waiting = std::thread::spawn(move || child.wait_with_output().expect("ends"));
    let mut most = 0;
    while !waiting.is_finished() {
        most = most.max(place.processes().len());
        std::thread::sleep(Duration::from_millis(50));
    }
    let output = waiting.join().expect("joined");
    let told = || format!("{}\n{}", text(&output.stdout), text(&output.stderr));
    assert!(most > 6, "six instances and the demo itself are seen as processes, not {most}:\n{}", told());
    assert!(began.elapsed() < AT_MOST, "it took {:?}:\n{}", began.elapsed(), told());
    output
}

/// The one document on standard output, all of it well.
fn story(output: &Output) -> Value {
    story_of(output, 16)
}

fn story_of(output: &Output, count: usize) -> Value {
    let told = || format!("{}\n{}", text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{}", told());
    let story: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}:\n{}", told()));
    let steps = story["steps"].as_array().expect("steps");
    assert_eq!(steps.len(), count, "{}", told());
    assert!(story["ok"] == true && steps.iter().all(|step| step["ok"] == true), "{}", told());
    story
}

fn instances(story: &Value) -> Vec<String> {
    let players = story["instances"].as_array().expect("instances");
    players.iter().filter_map(|player| Some(player["instance"].as_str()?.to_owned())).collect()
}

#[test]
fn the_story_is_as_expected_and_leaves_nothing() {
    let place = Place::new(0);
    let output = watch(&place, &mut place.command(&["demo", "--output", "json"]));
    let story = story(&output);
    let lines: Vec<_> = story["steps"]
        .as_array()
        .expect("steps")
        .iter()
        .flat_map(|step| step["commands"].as_array().expect("commands"))
        .collect();
    for action in [
        "create-vpc",
        "run-instances",
        "create-vpc-peering-connection",
        "accept-vpc-peering-connection",
        "create-route",
    ] {
        let is_there = |line: &&&Value| line.as_str().is_some_and(|line| line.contains(&format!("aws ec2 {action} ")));
        assert!(lines.iter().any(|line| is_there(&line)), "{action} is not among {lines:?}");
    }
    for reason in ["D08", "D09", "D12", "D22"] {
        assert!(text(&output.stdout).contains(reason), "{reason} is not counted");
    }
    assert_eq!(instances(&story).len(), 6);
    place.assert_nothing_left(&instances(&story));
}

#[test]
fn on_three_hosts_it_is_the_same_story() {
    let place = Place::new(0);
    let output = watch(&place, &mut place.command(&["demo", "--hosts", "3", "--output", "json"]));
    let story = story(&output);
    assert_eq!(instances(&story).len(), 6);
    place.assert_nothing_left(&instances(&story));
}

/// One host name, public before the peering and private after it; on three hosts, so that both ways are sealed.
#[test]
fn the_story_of_a_name_is_as_expected_and_leaves_nothing() {
    let place = Place::new(0);
    let words = ["demo", "--story", "names", "--hosts", "3", "--output", "json"];
    let output = watch(&place, &mut place.command(&words));
    let story = story_of(&output, 11);
    let told = text(&output.stdout);
    for part in [
        "modify-vpc-peering-connection-options",
        "--accepter-peering-connection-options AllowDnsResolutionFromRemoteVpc=true",
        "--enable-dns-hostnames Value=true",
        "-- curl -s -m 5 http://ec2-",
        ".eu-west-1.compute.amazonaws.com/",
        "the packets take the peering",
        "the packets pass both Internet gateways",
    ] {
        assert!(told.contains(part), "`{part}` is not in:\n{told}");
    }
    place.assert_nothing_left(&instances(&story));
}

#[test]
fn a_user_without_privileges_sees_the_same() {
    let place = Place::new(NOBODY);
    let output = watch(&place, &mut place.command_as_nobody("0666", &["demo", "--output", "json"]));
    let story = story(&output);
    place.assert_nothing_left(&instances(&story));
}

#[test]
fn a_user_without_privileges_sees_the_story_of_a_name() {
    let place = Place::new(NOBODY);
    let words = ["demo", "--story", "names", "--output", "json"];
    let output = watch(&place, &mut place.command_as_nobody("0666", &words));
    let story = story_of(&output, 11);
    place.assert_nothing_left(&instances(&story));
}

#[test]
fn without_a_tun_device_it_says_so() {
    let place = Place::new(NOBODY);
    let output = place.command_as_nobody("0600", &["demo", "--output", "json"]).output().expect("starts");
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(output.stdout.is_empty(), "{}", text(&output.stdout));
    for part in ["/dev/net/tun", "chmod 0666", "Permission denied"] {
        assert!(error.contains(part), "`{part}` is not in: {error}");
    }
    place.assert_nothing_left(&[]);
}

#[test]
fn kept_it_can_be_looked_at_until_ctrl_c() {
    let place = Place::new(0);
    let data = place.directory.path().join("data");
    let data_text = data.to_str().expect("text");
    let (out, err) = (place.directory.path().join("out"), place.directory.path().join("err"));
    let mut command = place.command(&["demo", "--keep", "--data", data_text]);
    command.stdout(fs::File::create(&out).expect("made")).stderr(fs::File::create(&err).expect("made"));
    let mut child = Started(command.spawn().expect("starts"));
    let told = wait_for(&mut child.0, &out, "Ctrl-C ends it");
    assert!(
        !told.contains('\x1b') && !fs::read_to_string(&err).expect("read").contains(['\x1b', '\r']),
        "no terminal, no colours"
    );
    assert!(told.contains("16 of 16 steps as expected"), "{told}");

    let status = place.command(&["status", "--output", "json", "--data", data_text]).output().expect("starts");
    let status: Value = serde_json::from_slice(&status.stdout).expect("a document");
    let running: Vec<String> = status
        .as_array()
        .expect("instances")
        .iter()
        .filter_map(|one| Some(one["instance"].as_str()?.to_owned()))
        .collect();
    assert_eq!(running.len(), 6);
    for instance in &running {
        assert!(told.contains(instance), "{instance} is not told of:\n{told}");
    }
    let inside = place
        .command(&["exec", "--data", data_text, &running[0], "--", "sh", "-c", "echo from inside"])
        .output()
        .expect("starts");
    assert_eq!(
        (inside.status.code(), text(&inside.stdout).as_str()),
        (Some(0), "from inside\n"),
        "{}",
        text(&inside.stderr)
    );

    child.interrupt();
    assert_eq!(child.0.wait().expect("ends").code(), Some(0), "{}", fs::read_to_string(&err).expect("read"));
    assert!(data.join("host").is_dir(), "the state stays");
    place.assert_nothing_left(&running);
}

/// A program that is asked to end when its test ends, however that ends.
struct Started(Child);

impl Started {
    fn interrupt(&self) {
        let pid = rustix::process::Pid::from_child(&self.0);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::INT);
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            self.interrupt();
            let _ = self.0.wait();
        }
    }
}

/// Waits for a text in what a program wrote; all of it.
fn wait_for(child: &mut Child, file: &Path, wanted: &str) -> String {
    let deadline = Instant::now() + AT_MOST;
    loop {
        let told = fs::read_to_string(file).expect("readable");
        if told.contains(wanted) {
            return told;
        }
        let ended = child.try_wait().expect("polled");
        assert!(ended.is_none() && Instant::now() < deadline, "`{wanted}` does not come ({ended:?}):\n{told}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
