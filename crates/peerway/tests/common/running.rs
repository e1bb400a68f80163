//! `peerway up` as a child process.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::api::{Answer, Client};
use super::{eventually, machine};

/// The requester of the mission, and where it is.
pub const ALICE: (&str, &str) = ("111111111111", "us-east-1");
/// The accepter.
pub const BOB: (&str, &str) = ("222222222222", "eu-west-1");

/// How long a polite end may take.
const END: Duration = Duration::from_secs(10);

/// The binary under test.
pub fn peerway() -> Command {
    Command::new(env!("CARGO_BIN_EXE_peerway"))
}

/// A directory that may hold a data directory; what a failed test left running there ends with it.
pub struct Place {
    directory: tempfile::TempDir,
    data: PathBuf,
}

impl Place {
    pub fn new() -> Place {
        Place::with_data("data")
    }

    /// With the data directory at this path inside.
    pub fn with_data(data: &str) -> Place {
        let directory = tempfile::Builder::new().prefix("peerway-test-").tempdir().expect("a directory");
        Place { data: directory.path().join(data), directory }
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    pub fn data(&self) -> PathBuf {
        self.data.clone()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        machine::end_leftovers(&self.data());
    }
}

/// A cloud that runs; ended when dropped.
pub struct Up {
    pub address: SocketAddr,
    pub data: PathBuf,
    child: Child,
    log: PathBuf,
    stdout: Option<BufReader<ChildStdout>>,
}

impl Up {
    /// Starts on a free port and waits for its first line.
    pub fn start(place: &Place, arguments: &[&str]) -> Up {
        let mut command = peerway();
        // What a test finds, it made.
        command.args(["up", "--no-default-vpc", "--listen", "127.0.0.1:0", "--data"]).arg(place.data()).args(arguments);
        Up::spawn(command, place)
    }

    /// As [`Up::start`], with a command that becomes `peerway up` on the data directory of the place.
    pub fn spawn(mut command: Command, place: &Place) -> Up {
        let errors = File::options().create(true).append(true).open(log_of(place)).expect("a log");
        command.env("RUST_LOG", "info");
        Up::spawn_with_errors(command, place, errors.into())
    }

    /// As [`Up::spawn`], with another place for its log.
    pub fn spawn_with_errors(mut command: Command, place: &Place, errors: Stdio) -> Up {
        let log = log_of(place);
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(errors).spawn();
        let mut child = child.unwrap_or_else(|error| panic!("{command:?}: {error}"));
        // What follows the first line is for people, and fits into the pipe.
        let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut first = String::new();
        let _ = stdout.read_line(&mut first);
        let first = first.trim_end();
        let mut up = Up { address: ([127, 0, 0, 1], 0).into(), data: place.data(), child, log, stdout: Some(stdout) };
        let address = first.strip_prefix("endpoint http://").and_then(|address| address.parse().ok());
        let Some(address) = address else {
            let status = up.wait();
            panic!("`peerway up` says `{first}` and ends with {status}:\n{}", up.log());
        };
        up.address = address;
        up
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn client(&self, who: (&'static str, &'static str)) -> Client {
        Client::new(self.address, who.0, who.1)
    }

    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.pid()).expect("a pid")).expect("a pid");
        kill_process(pid, signal).expect("it runs");
    }

    /// How it ended, within ten seconds.
    pub fn wait(&mut self) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return status;
            }
            assert!(start.elapsed() < END, "it does not end within {END:?}:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Leaves it nobody to write to.
    pub fn close_pipes(&mut self) {
        drop((self.stdout.take(), self.child.stderr.take()));
    }

    /// Asks it to end, and holds it to that.
    pub fn stop(mut self) {
        self.signal(Signal::INT);
        let status = self.wait();
        assert!(status.success(), "it ended with {status}:\n{}", self.log());
    }

    /// Ends it as a crash would.
    pub fn kill(mut self) {
        self.signal(Signal::KILL);
        self.wait();
    }

    /// A command inside an instance.
    pub fn exec(&self, instance: &str, argv: &[&str]) -> Output {
        let command = self.exec_command(instance, argv).output();
        command.expect("it starts")
    }

    pub fn exec_command(&self, instance: &str, argv: &[&str]) -> Command {
        let mut command = peerway();
        command.arg("exec").arg("--data").arg(&self.data).arg(instance).arg("--").args(argv).stdin(Stdio::null());
        command
    }

    /// A shell script inside an instance, which must succeed; what it wrote.
    pub fn sh(&self, instance: &str, script: &str) -> String {
        let output = self.exec(instance, &["sh", "-c", script]);
        assert!(output.status.success(), "`{script}` in {instance}: {output:?}\n{}", self.log());
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }

    /// Whether a packet goes there and one comes back.
    pub fn reaches(&self, instance: &str, address: &str) -> bool {
        let output = self.exec(instance, &["sh", "-c", PROBE, "probe", address]);
        assert_ne!(output.status.code(), Some(3), "this machine has neither ping nor bash to send packets with");
        output.status.success()
    }

    pub fn wait_until_reached(&self, instance: &str, address: &str) {
        eventually(&format!("{instance} reaches {address}"), || self.reaches(instance, address));
    }

    /// The processes of the instances that run, by instance.
    pub fn processes(&self) -> Vec<(String, u32)> {
        let output =
            peerway().args(["status", "--output", "json", "--data"]).arg(&self.data).output().expect("it starts");
        assert!(output.status.success(), "{output:?}");
        let status: Vec<agent::InstanceStatus> = serde_json::from_slice(&output.stdout).expect("JSON");
        status.into_iter().map(|instance| (instance.instance.to_string(), instance.pid)).collect()
    }
}

fn log_of(place: &Place) -> PathBuf {
    place.path().join("up.log")
}

impl Drop for Up {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|status| status.is_some()) {
            return;
        }
        self.signal(Signal::TERM);
        let deadline = Instant::now() + END;
        while Instant::now() < deadline {
            if self.child.try_wait().is_ok_and(|status| status.is_some()) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// ICMP where the machine has ping, else a TCP segment, to which even a closed port answers.
pub const PROBE: &str = "if command -v ping >/dev/null; then exec ping -c1 -W1 \"$1\"; fi
if command -v bash >/dev/null; then
    bash -c 'exec 3<>/dev/tcp/$0/9' \"$1\" 2>&1 | grep -q refused; exit $?
fi
exit 3";

/// A VPC with one subnet in it, the same block for both but for the prefix length.
pub struct Network {
    pub vpc: String,
    pub subnet: String,
}

/// `prefix`: the first two octets, such as `10.16`.
pub fn network(client: &mut Client, prefix: &str) -> Network {
    let vpc = client.ok(&format!("Action=CreateVpc&CidrBlock={prefix}.0.0/16")).text("vpcId");
    let subnet = client.ok(&format!("Action=CreateSubnet&VpcId={vpc}&CidrBlock={prefix}.1.0/24")).text("subnetId");
    Network { vpc, subnet }
}

/// A route of the VPC's main table over a peering.
pub fn route(client: &mut Client, vpc: &str, block: &str, peering: &str) {
    let table = client
        .ok(&format!("Action=DescribeRouteTables&Filter.1.Name=vpc-id&Filter.1.Value.1={vpc}"))
        .text("routeTableId");
    client.ok(&format!(
        "Action=CreateRoute&RouteTableId={table}&DestinationCidrBlock={block}&VpcPeeringConnectionId={peering}"
    ));
}

/// An active peering, requested by Alice.
pub fn peer(alice: &mut Client, bob: &mut Client, requester: &str, accepter: &str) -> String {
    let query = format!(
        "Action=CreateVpcPeeringConnection&VpcId={requester}&PeerVpcId={accepter}&PeerOwnerId={}&PeerRegion={}",
        BOB.0, BOB.1
    );
    let pcx = alice.ok(&query).text("vpcPeeringConnectionId");
    let describe =
        format!("Action=DescribeVpcPeeringConnections&Filter.1.Name=vpc-peering-connection-id&Filter.1.Value.1={pcx}");
    eventually("the request arrives", || bob.ok(&describe).0.contains("<code>pending-acceptance</code>"));
    bob.ok(&format!("Action=AcceptVpcPeeringConnection&VpcPeeringConnectionId={pcx}"));
    for client in [alice, bob] {
        eventually("the peering is active", || client.ok(&describe).0.contains("<code>active</code>"));
    }
    pcx
}

/// Any traffic from a block may come in to the VPC's default group.
pub fn admit(client: &mut Client, vpc: &str, block: &str) {
    let query = format!("Action=DescribeSecurityGroups&Filter.1.Name=vpc-id&Filter.1.Value.1={vpc}");
    let group = client.ok(&query).text("groupId");
    client.ok(&format!(
        "Action=AuthorizeSecurityGroupIngress&GroupId={group}&IpPermissions.1.IpProtocol=-1&IpPermissions.1.IpRanges.1.CidrIp={block}"
    ));
}

/// An instance by its id and address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Guest {
    pub id: String,
    pub address: String,
}

/// Instances that run.
pub fn guests(client: &mut Client, subnet: &str, count: usize, user_data: &str) -> Vec<Guest> {
    let user_data =
        if user_data.is_empty() { String::new() } else { format!("&UserData={}", base64(user_data.as_bytes())) };
    let query = format!(
        "Action=RunInstances&ImageId=ami-12345678&MinCount={count}&MaxCount={count}&SubnetId={subnet}{user_data}"
    );
    let ids = client.ok(&query).texts("instanceId");
    let made: Vec<Guest> =
        ids.into_iter().map(|id| Guest { address: described(client, &id).text("privateIpAddress"), id }).collect();
    for guest in &made {
        wait_for_state(client, &guest.id, "running");
    }
    made
}

pub fn described(client: &mut Client, instance: &str) -> Answer {
    client.ok(&format!("Action=DescribeInstances&InstanceId.1={instance}"))
}

pub fn state_of(client: &mut Client, instance: &str) -> String {
    let document = described(client, instance);
    let parsed = roxmltree::Document::parse(&document.0).expect("XML");
    let state = parsed.descendants().find(|node| node.tag_name().name() == "instanceState").expect("a state");
    let name = state.children().find(|node| node.tag_name().name() == "name").and_then(|node| node.text());
    name.expect("a name").to_owned()
}

pub fn wait_for_state(client: &mut Client, instance: &str, state: &str) {
    eventually(&format!("{instance} is {state}"), || state_of(client, instance) == state);
}

/// RFC 4648, percent-encoded where a form needs it.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits = chunk.iter().fold(0_usize, |bits, byte| bits << 8 | usize::from(*byte)) << (8 * (3 - chunk.len()));
        for at in 0..=chunk.len() {
            text.push(char::from(LETTERS[bits >> (18 - 6 * at) & 63]));
        }
        (chunk.len()..3).for_each(|_| text.push('='));
    }
    text.replace('+', "%2B").replace('=', "%3D").replace('/', "%2F")
}
