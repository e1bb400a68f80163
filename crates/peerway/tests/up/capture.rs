//! `peerway capture`: verdicts of one interface, nothing readable between hosts, and the keys for those who insist.
//!
//! Files are read back with tshark, which a machine that runs these tests needs.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::common::eventually;
use crate::common::running::*;

/// What ping fills its packets with: 16 bytes, over and over. Its first 16 may be the time.
const PATTERN: &str = "70656572776179206d61726b65722021";
/// As it is found in every packet, wherever its beginning is.
const MARKER: &[u8; 32] = b"peerway marker !peerway marker !";

/// A capture as a child process.
struct Capture {
    child: Child,
    file: PathBuf,
}

impl Capture {
    /// Returns when it captures.
    fn start(up: &Up, place: &Place, name: &str, arguments: &[&str]) -> Capture {
        let file = place.path().join(name);
        let mut command = capture(up, arguments);
        command.arg("-w").arg(&file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        let mut told = Vec::new();
        while !told.last().is_some_and(|line: &String| line.starts_with("capturing ")) {
            let line = lines.next().unwrap_or_else(|| panic!("it captures nothing: {told:?}"));
            told.push(line.expect("text"));
        }
        // Who reads no more must not break its pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Capture { child, file }
    }

    /// Ctrl-C; the file.
    fn end(mut self) -> PathBuf {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).expect("a pid")).expect("a pid");
        kill_process(pid, Signal::INT).expect("it runs");
        assert!(self.child.wait().expect("a child").success());
        std::mem::take(&mut self.file)
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn capture(up: &Up, arguments: &[&str]) -> Command {
    let mut command = peerway();
    command.arg("capture").arg("--data").arg(&up.data).args(arguments);
    command
}

/// What it says when it ends by itself: success, standard output, standard error.
fn told(up: &Up, arguments: &[&str]) -> (bool, String, String) {
    let Output { status, stdout, stderr } = capture(up, arguments).output().expect("it starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (status.success(), text(&stdout), text(&stderr))
}

fn tshark(place: &Place, file: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("tshark");
    // With nobody's preferences.
    command.env("HOME", place.path()).env_remove("XDG_CONFIG_HOME").arg("-r").arg(file).args(arguments);
    let output = command.output().unwrap_or_else(|error| panic!("tshark is needed (apt-get install tshark): {error}"));
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn contains(file: &Path, needle: &[u8]) -> bool {
    fs::read(file).expect("a file").windows(needle.len()).any(|window| window == needle)
}

fn ping(up: &Up, from: &str, to: &str) -> bool {
    up.exec(from, &["ping", "-c3", "-i0.2", "-W1", "-s64", "-p", PATTERN, to]).status.success()
}

/// The interface of an instance, and its host.
fn interface(up: &Up, instance: &str) -> (String, String) {
    let output = peerway().args(["status", "--output", "json", "--data"]).arg(&up.data).output().expect("it starts");
    let status: Vec<agent::InstanceStatus> = serde_json::from_slice(&output.stdout).expect("JSON");
    let status = status.iter().find(|status| status.instance.to_string() == instance).expect("it runs");
    (status.interfaces[0].interface.to_string(), status.host.to_string())
}

struct Cloud {
    up: Up,
    place: Place,
    /// On two hosts.
    a: Guest,
    b: Guest,
    /// Lets nothing in.
    closed: Guest,
}

fn cloud(arguments: &[&str]) -> Cloud {
    let place = Place::new();
    let up = Up::start(&place, &[&["--hosts", "2"], arguments].concat());
    let mut client = up.client(ALICE);
    let Network { vpc, subnet } = network(&mut client, "10.16");
    admit(&mut client, &vpc, "10.16.0.0/16");
    let [a, b] = <[Guest; 2]>::try_from(guests(&mut client, &subnet, 2, "")).expect("two");
    let group = client.ok(&format!("Action=CreateSecurityGroup&GroupName=closed&GroupDescription=none&VpcId={vpc}"));
    let run = format!("Action=RunInstances&ImageId=ami-12345678&MinCount=1&MaxCount=1&SubnetId={subnet}");
    let id = client.ok(&format!("{run}&SecurityGroupId.1={}", group.text("groupId"))).text("instanceId");
    wait_for_state(&mut client, &id, "running");
    let closed = Guest { address: described(&mut client, &id).text("privateIpAddress"), id };
    up.wait_until_reached(&a.id, &b.address);
    up.wait_until_reached(&closed.id, &a.address);
    assert_ne!(interface(&up, &a.id).1, interface(&up, &b.id).1, "they are on two hosts");
    Cloud { up, place, a, b, closed }
}

/// Direction (1 in, 2 out), ICMP type, comment of each ping packet in a file.
fn pings(place: &Place, file: &Path) -> Vec<(String, String, String)> {
    let fields =
        ["-Y", "icmp", "-T", "fields", "-E", "separator=|", "-e", "frame.packet_flags_direction", "-e", "icmp.type"];
    let told = tshark(place, file, &[&fields[..], &["-e", "frame.comment"]].concat());
    let part =
        |line: &str, at: usize| line.split('|').nth(at).unwrap_or_default().trim_start_matches("0x0000000").to_owned();
    told.lines().map(|line| (part(line, 0), part(line, 1), part(line, 2))).collect()
}

#[test]
fn an_interface_shows_what_passed_and_what_was_refused_and_the_underlay_nothing() {
    let Cloud { up, place, a, b, closed } = cloud(&[]);
    let (eni, _) = interface(&up, &closed.id);
    let of_closed = Capture::start(&up, &place, "closed.pcapng", &[&eni]);
    assert!(!ping(&up, &a.id, &closed.address), "nothing is let in");
    assert!(ping(&up, &closed.id, &a.address));
    let file = of_closed.end();
    let seen = pings(&place, &file);
    let count = |direction: &str, kind: &str, comment: &str| {
        seen.iter().filter(|(d, k, c)| (d.as_str(), k.as_str()) == (direction, kind) && c.starts_with(comment)).count()
    };
    assert_eq!((count("1", "8", "D22: no ingress rule"), count("2", "8", "pass")), (3, 3), "{seen:?}");
    assert_eq!((count("1", "0", "pass"), seen.len()), (3, 9), "{seen:?}");
    assert_eq!(fs::metadata(&file).expect("a file").permissions().mode() & 0o777, 0o600);

    let (eni, host) = interface(&up, &a.id);
    let (of_a, of_underlay) = (
        Capture::start(&up, &place, "a.pcapng", &[&eni]),
        Capture::start(&up, &place, "underlay.pcapng", &["underlay", "--host", &host]),
    );
    assert!(ping(&up, &a.id, &b.address) && ping(&up, &b.id, &a.address));
    let (of_a, of_underlay) = (of_a.end(), of_underlay.end());
    assert!(contains(&of_a, MARKER), "the guest's own packets are in clear: the search works");
    assert!(!contains(&of_underlay, MARKER), "between hosts they are not");
    let sealed = tshark(&place, &of_underlay, &["-Y", "esp", "-T", "fields", "-e", "esp.spi"]);
    assert!(sealed.lines().count() >= 12, "they did go that way: {sealed}");

    lines_and_refusals(&up, &eni, &host, || assert!(ping(&up, &a.id, &b.address)));
    up.stop();
}

fn lines_and_refusals(up: &Up, eni: &str, host: &str, ping: impl Fn() + Sync) {
    let (success, lines, errors) = std::thread::scope(|scope| {
        let told = scope.spawn(|| told(up, &[eni, "--count", "12"]));
        while !told.is_finished() {
            ping();
        }
        told.join().expect("no panic")
    });
    assert!(success && errors.contains("12 packets"), "{errors}");
    assert_eq!(lines.lines().count(), 12);
    assert!(lines.contains(" out ") && lines.contains("icmp echo request") && lines.contains(": pass"), "{lines}");
    let (success, lines, errors) = told(up, &["underlay", "--host", host, "--seconds", "1"]);
    assert!(success && errors.contains("capturing"), "{errors}");
    assert!(!lines.contains(": pass"), "no verdicts between hosts: {lines}");
    for (arguments, part) in [
        (&["eni-0123456789abcdef0"][..], "not plugged in"),
        (&["underlay"], "--host"),
        (&["underlay", "--host", "host-9"], "host-1, host-2"),
        (&["--esp-keys", "keys", "--host", host], "--allow-esp-keys"),
        (&[eni, "--esp-keys", "keys"], "underlay"),
    ] {
        let (success, _, errors) = told(up, arguments);
        assert!(!success && errors.contains(part), "{arguments:?}: {errors}");
    }
    let mut many = Vec::new();
    for _ in 0..agent::CAPTURES_MAX {
        let mut child = capture(up, &[eni]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts");
        let first = BufReader::new(child.stderr.take().expect("a pipe")).lines().next();
        many.push((child, first.expect("a line").expect("text")));
    }
    let last = told(up, &[eni, "--seconds", "1"]).2;
    for (child, first) in &mut many {
        child.kill().and_then(|()| child.wait()).expect("a child");
        assert!(first.starts_with("capturing"), "{first}");
    }
    assert!(last.contains("limit"), "{last}");
    eventually("who is killed leaves its place", || told(up, &[eni, "--seconds", "1"]).0);
}

#[test]
fn a_link_is_read_with_its_keys_and_not_without() {
    let Cloud { up, place, a, b, .. } = cloud(&["--allow-esp-keys"]);
    assert!(up.log().contains("WARNING"), "{}", up.log());
    let (_, host) = interface(&up, &a.id);
    let keys = place.path().join("esp_sa");
    let path = keys.to_str().expect("text");
    let arguments = ["underlay", "--host", &host, "--esp-keys", path];
    let first = Capture::start(&up, &place, "link.pcapng", &arguments);
    eventually("keys are written", || fs::read_to_string(&keys).is_ok_and(|text| text.lines().count() >= 2));
    assert_eq!(fs::metadata(&keys).expect("a file").permissions().mode() & 0o777, 0o600);
    let (success, _, errors) = told(&up, &arguments);
    assert!(!success && errors.contains("must not exist"), "{errors}");
    first.end();
    assert!(!keys.exists(), "they go with the command");

    let link = Capture::start(&up, &place, "link.pcapng", &[&arguments[..], &["--keep"]].concat());
    assert!(ping(&up, &a.id, &b.address));
    // What has come by now has its keys.
    std::thread::sleep(Duration::from_millis(600));
    let link = link.end();
    let table = fs::read_to_string(&keys).expect("kept");
    assert!(!contains(&link, MARKER));
    let preferences: Vec<String> = table.lines().map(|line| format!("uat:esp_sa:{line}")).collect();
    let with_keys = preferences.iter().flat_map(|preference| ["-o", preference]);
    let decrypt =
        ["-o", "esp.enable_encryption_decode:TRUE", "-Y", "icmp", "-T", "fields", "-e", "ip.dst", "-e", "data.data"];
    let marker: String = MARKER.iter().map(|byte| format!("{byte:02x}")).collect();
    let readable = |keys: Vec<&str>| {
        let told = tshark(&place, &link, &[keys, decrypt.to_vec()].concat());
        told.lines().filter(|line| line.contains(&marker)).count()
    };
    assert_eq!(readable(with_keys.collect()), 6, "three pings and their answers");
    assert_eq!(readable(Vec::new()), 0);
    // With the keys of another link neither.
    let others: Vec<String> = preferences.iter().map(|line| wrong(line)).collect();
    assert_eq!(readable(others.iter().flat_map(|line| ["-o", line.as_str()]).collect()), 0);

    let (success, _, errors) = told(&up, &["--esp-keys", &format!("{path}.alone"), "--host", &host, "--seconds", "1"]);
    assert!(success && errors.contains("WARNING") && errors.contains("keys were written"), "{errors}");
    assert!(!place.path().join("esp_sa.alone").exists());
    up.stop();
}

/// The same line with another key.
fn wrong(line: &str) -> String {
    let mut fields: Vec<String> = line.split(',').map(str::to_owned).collect();
    fields[5] = format!("\"0x{}\"", "ab".repeat(36));
    fields.join(",")
}
