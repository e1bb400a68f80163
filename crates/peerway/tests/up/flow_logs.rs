//! Flow logs against the counters of the guests' own kernels (spec 12.1): UDP to the byte, TCP by segments and not by super-frames.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use crate::common::api::Client;
use crate::common::eventually;
use crate::common::running::*;

const FORMAT: &str = "interface-id flow-direction srcaddr dstaddr dstport protocol packets bytes action tcp-flags peerway-reason log-status";

/// Takes a stream and datagrams, and says what came of either.
const SERVER: &str = r#"
import socket
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.bind(("", 5001))
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.bind(("", 5002)); s.listen()
print("ready", flush=True)
c, _ = s.accept()
while c.recv(1 << 20): pass
"#;

/// Datagrams of all sizes, then a stream; what the kernel says of both once all of it is acknowledged. Then it waits: a FIN would be one
/// packet more.
const CLIENT: &str = r#"
import fcntl, socket, struct, sys, termios, time
def out_datagrams():
    names, values = [l.split() for l in open("/proc/net/snmp") if l.startswith("Udp:")]
    return int(values[names.index("OutDatagrams")])
to = sys.argv[1]
before = out_datagrams()
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sent = 0
for n in range(300):
    sent += u.sendto(bytes(n * 4), (to, 5001))
    time.sleep(0.001)
print(out_datagrams() - before, sent, flush=True)
s = socket.create_connection((to, 5002))
s.sendall(bytes(20_000_000))
while struct.unpack("i", fcntl.ioctl(s, termios.TIOCOUTQ, b"\0" * 4))[0]: time.sleep(0.01)
time.sleep(0.2)
info = s.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
print(struct.unpack_from("I", info, 136)[0], struct.unpack_from("Q", info, 200)[0], flush=True)
time.sleep(600)
"#;

/// A program inside an instance that ends with this.
struct Program(Child, BufReader<std::process::ChildStdout>);

impl Program {
    fn start(up: &Up, instance: &str, script: &str, arguments: &[&str]) -> Program {
        let mut command = up.exec_command(instance, &[&["/usr/bin/python3", "-c", script], arguments].concat());
        let mut child = command.stdout(Stdio::piped()).spawn().expect("it starts");
        let stdout = child.stdout.take().expect("a pipe");
        Program(child, BufReader::new(stdout))
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.1.read_line(&mut line).expect("text");
        line.trim_end().to_owned()
    }

    fn numbers(&mut self) -> [u64; 2] {
        let line = self.line();
        let numbers: Vec<u64> = line.split(' ').filter_map(|word| word.parse().ok()).collect();
        numbers.try_into().unwrap_or_else(|_| panic!("`{line}` is not two numbers"))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn create(client: &mut Client, vpc: &str) -> String {
    let fields: Vec<String> = FORMAT.split(' ').map(|name| format!("%24%7B{name}%7D")).collect();
    let query = format!(
        "Action=CreateFlowLogs&ResourceType=VPC&ResourceId.1={vpc}&TrafficType=ALL&LogDestinationType=s3\
         &LogDestination=arn:aws:s3:::logs&MaxAggregationInterval=60&LogFormat={}",
        fields.join("%20")
    );
    client.ok(&query).text("item")
}

/// Every file of a flow log, wherever its hosts keep theirs.
fn files(data: &Path, log: &str) -> Vec<PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![data.to_owned()]);
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        for entry in entries.filter(|entry| entry.file_name() != "root") {
            let path = entry.path();
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(path),
                Ok(_) if path.to_string_lossy().contains(&format!("vpcflowlogs_us-east-1_{log}_")) => found.push(path),
                _ => {}
            }
        }
    }
    found
}

/// The lines of a flow log that say `OK`, without their first file line.
fn lines(data: &Path, log: &str) -> Vec<Vec<String>> {
    let mut all = Vec::new();
    for path in files(data, log) {
        let text = fs::read_to_string(&path).expect("a file");
        let mut lines = text.lines();
        assert_eq!(lines.next(), Some(FORMAT), "{}", path.display());
        all.extend(lines.map(|line| line.split(' ').map(Into::into).collect::<Vec<String>>()));
    }
    all.retain(|line| line.last().is_some_and(|status| status == "OK"));
    all
}

fn interface_of(client: &mut Client, instance: &str) -> String {
    described(client, instance).text("networkInterfaceId")
}

fn counts_as_the_kernels_do(arguments: &[&str]) {
    let place = Place::new();
    let up = Up::start(&place, arguments);
    let mut alice = up.client(ALICE);
    let Network { vpc, subnet } = network(&mut alice, "10.16");
    admit(&mut alice, &vpc, "10.16.0.0/16");
    let [a, b] = <[Guest; 2]>::try_from(guests(&mut alice, &subnet, 2, "")).expect("two");
    let group = alice.ok(&format!("Action=CreateSecurityGroup&GroupName=closed&GroupDescription=none&VpcId={vpc}"));
    let run = format!("Action=RunInstances&ImageId=ami-12345678&MinCount=1&MaxCount=1&SubnetId={subnet}");
    let closed = alice.ok(&format!("{run}&SecurityGroupId.1={}", group.text("groupId"))).text("instanceId");
    wait_for_state(&mut alice, &closed, "running");
    let shut = described(&mut alice, &closed).text("privateIpAddress");
    up.wait_until_reached(&a.id, &b.address);
    up.wait_until_reached(&closed, &a.address);
    let mut server = Program::start(&up, &b.id, SERVER, &[]);
    assert_eq!(server.line(), "ready");

    let log = create(&mut alice, &vpc);
    let mut client = Program::start(&up, &a.id, CLIENT, &[&b.address]);
    let ([datagrams, payload], [segments, stream]) = (client.numbers(), client.numbers());
    let ping = up.exec(&a.id, &["ping", "-c4", "-i0.2", "-W1", "-s56", &b.address]);
    assert!(ping.status.success(), "{ping:?}");
    assert!(!up.exec(&a.id, &["ping", "-c3", "-i0.2", "-W1", "-s56", &shut]).status.success());
    alice.ok(&format!("Action=DeleteFlowLogs&FlowLogId.1={log}"));

    let ends = [(&a.id, "egress"), (&b.id, "ingress"), (&b.id, "egress"), (&a.id, "ingress")];
    let [from_a, to_b, from_b, to_a] = ends.map(|(id, way)| (interface_of(&mut alice, id), way));
    let to_closed = (interface_of(&mut alice, &closed), "ingress");
    eventually("what was counted is written", || lines(&up.data, &log).len() >= 12);
    let all = lines(&up.data, &log);
    // Packets, bytes, action, flags and reason of the only line that says so.
    let of = |(interface, way): &(String, &str), dst: &str, port: u16, protocol: u8| {
        let is_it = |line: &&Vec<String>| {
            let wanted = [interface.as_str(), way, dst, &port.to_string(), &protocol.to_string()];
            [0, 1, 3, 4, 5].map(|at| line[at].as_str()) == wanted
        };
        let found: Vec<&Vec<String>> = all.iter().filter(is_it).collect();
        assert_eq!(found.len(), 1, "{interface} {way} {dst} {port}: {all:?}");
        let number = |at: usize| found[0][at].parse::<u64>().expect("a number");
        (number(6), number(7), found[0][8..11].join(" "))
    };
    assert_eq!(datagrams, 300);
    let exact = (datagrams, payload + 28 * datagrams, "ACCEPT 0 -".to_owned());
    assert_eq!(of(&from_a, &b.address, 5001, 17), exact);
    assert_eq!(of(&to_b, &b.address, 5001, 17), exact);
    // Every segment has 20 bytes of IP and 32 of TCP with timestamps; the first one 8 more of options.
    let exact = (segments, stream + 52 * segments + 8, "ACCEPT 2 -".to_owned());
    assert!(segments > 1000, "a stream of {stream} bytes in {segments} segments");
    assert_eq!(of(&from_a, &b.address, 5002, 6), exact);
    let (arrived, bytes, _) = of(&to_b, &b.address, 5002, 6);
    assert!(arrived >= 1000 && bytes >= 20_000_000 + 52 * arrived, "{arrived} {bytes}");
    for (end, dst) in [(&from_a, &b.address), (&to_b, &b.address), (&from_b, &a.address), (&to_a, &a.address)] {
        assert_eq!(of(end, dst, 0, 1), (4, 4 * 84, "ACCEPT 0 -".into()));
    }
    assert_eq!(of(&from_a, &shut, 0, 1), (3, 3 * 84, "ACCEPT 0 -".into()));
    assert_eq!(of(&to_closed, &shut, 0, 1), (3, 3 * 84, "REJECT 0 D22".into()));
    up.stop();
}

#[test]
fn lines_count_as_the_kernels_do() {
    counts_as_the_kernels_do(&[]);
}

#[test]
fn lines_count_as_the_kernels_do_between_hosts() {
    counts_as_the_kernels_do(&["--hosts", "2"]);
}

#[test]
fn what_was_counted_is_written_at_the_end() {
    let place = Place::new();
    let up = Up::start(&place, &[]);
    let mut alice = up.client(ALICE);
    let Network { vpc, subnet } = network(&mut alice, "10.16");
    let guests = guests(&mut alice, &subnet, 2, "");
    up.wait_until_reached(&guests[0].id, &guests[1].address);
    let log = create(&mut alice, &vpc);
    assert!(up.reaches(&guests[0].id, &guests[1].address));
    assert!(files(&up.data, &log).is_empty(), "a minute is not over");
    let data = up.data.clone();
    up.stop();
    let all = lines(&data, &log);
    assert!(all.len() >= 4, "{all:?}");
    assert!(all.iter().all(|line| line[8] == "ACCEPT"), "{all:?}");
}
