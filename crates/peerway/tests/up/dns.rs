//! Names, as programs in instances resolve them (spec ch. 9): real packets to VPC+2 and its other addresses.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::common::api::Client;
use crate::common::eventually;
use crate::common::running::*;

/// A question by hand: `udp|tcp SERVER NAME TYPE`; what is printed is the code, the addresses and whether it was cut, or `silence`.
const ASK: &str = r#"
import socket, struct, sys
how, server, name, kind = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
family = socket.AF_INET6 if ":" in server else socket.AF_INET
labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split(".") if label) + b"\0"
question = struct.pack(">HHHHHH", 7, 0x0100, 1, 0, 0, 0) + labels + struct.pack(">HH", kind, 1)
try:
    if how == "udp":
        s = socket.socket(family, socket.SOCK_DGRAM); s.settimeout(2); s.connect((server, 53)); s.send(question)
        answer = s.recv(65535)
    else:
        s = socket.socket(family, socket.SOCK_STREAM); s.settimeout(2); s.connect((server, 53))
        s.sendall(struct.pack(">H", len(question)) + question)
        need = lambda n: b"".join(s.recv(1) for _ in range(n))
        answer = need(struct.unpack(">H", need(2))[0])
except OSError as error:
    sys.exit(print("silence") if isinstance(error, TimeoutError) else print(error))
ident, flags, _, count = struct.unpack(">HHHH", answer[:8])
assert ident == 7 and flags & 0x8000
at, found = 12 + len(labels) + 4, []
for _ in range(count):
    while answer[at]:
        if answer[at] & 0xc0: at += 1; break
        at += 1 + answer[at]
    at += 1
    of, _, _, length = struct.unpack(">HHIH", answer[at:at + 10])
    data = answer[at + 10:at + 10 + length]
    if of == 1: found.append(socket.inet_ntop(socket.AF_INET, data))
    elif of == 28: found.append(socket.inet_ntop(socket.AF_INET6, data))
    else: found.append("type %d" % of)
    at += 10 + length
print(flags & 15, *found)
"#;

fn ask(up: &Up, guest: &str, how: &str, server: &str, name: &str) -> String {
    let output = up.exec(guest, &["python3", "-c", ASK, how, server, name, "1"]);
    assert!(output.status.success(), "{output:?}\n{}", up.log());
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

/// What `getent` says, as any program would hear it.
fn resolves(up: &Up, guest: &str, name: &str) -> Option<String> {
    let output = up.exec(guest, &["getent", "ahostsv4", name]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.split_whitespace().next().map(str::to_owned).filter(|_| output.status.success())
}

fn set(client: &mut Client, vpc: &str, attribute: &str, value: bool) {
    client.ok(&format!("Action=ModifyVpcAttribute&VpcId={vpc}&{attribute}.Value={value}"));
}

fn private_name(address: &str, domain: &str) -> String {
    format!("ip-{}.{domain}", address.replace('.', "-"))
}

/// The mission's option, with two accounts in two regions: before and after the side that owns the name allows it.
#[test]
fn names_resolve_inside_a_vpc_and_over_a_peering_that_allows_it() {
    let place = Place::new();
    let up = Up::start(&place, &[]);
    let (mut alice, mut bob) = (up.client(ALICE), up.client(BOB));
    let (near, far) = (network(&mut alice, "10.16"), network(&mut bob, "10.17"));
    let x = guests(&mut alice, &near.subnet, 1, "").remove(0);
    let y = guests(&mut bob, &far.subnet, 1, "").remove(0);
    let (own, theirs) =
        (private_name(&x.address, "ec2.internal"), private_name(&y.address, "eu-west-1.compute.internal"));

    let shown = up.sh(&x.id, "cat /etc/resolv.conf");
    assert!(shown.contains("nameserver 10.16.0.2\n") && shown.contains("search ec2.internal"), "{shown}");
    assert_eq!(ask(&up, &x.id, "udp", "10.16.0.2", &own), "3", "host names are off");
    for (client, vpc) in [(&mut alice, &near.vpc), (&mut bob, &far.vpc)] {
        set(client, vpc, "EnableDnsHostnames", true);
    }
    assert_eq!(resolves(&up, &x.id, &own), Some(x.address.clone()), "when the call returns, names follow it");
    assert_eq!(resolves(&up, &x.id, own.split('.').next().unwrap()), Some(x.address.clone()), "by the search domain");
    for server in ["10.16.0.2", "169.254.169.253"] {
        for how in ["udp", "tcp"] {
            assert_eq!(ask(&up, &x.id, how, server, &own), format!("0 {}", x.address), "{how} {server}");
            assert_eq!(ask(&up, &x.id, how, server, "www.example.com"), "5", "{how} {server}: nobody else is asked");
        }
    }

    let pcx = peer(&mut alice, &mut bob, &near.vpc, &far.vpc);
    route(&mut alice, &near.vpc, "10.17.0.0/16", &pcx);
    route(&mut bob, &far.vpc, "10.16.0.0/16", &pcx);
    admit(&mut bob, &far.vpc, "10.16.0.0/16");
    up.wait_until_reached(&x.id, &y.address);
    assert_eq!(resolves(&up, &x.id, &theirs), None, "another region's, and nobody allows it");
    // Users' case 46: a resolver answers its own VPC only.
    assert_eq!(ask(&up, &x.id, "udp", "10.17.0.2", &theirs), "silence");

    let option = |side: &str, value: bool| {
        format!(
            "Action=ModifyVpcPeeringConnectionOptions&VpcPeeringConnectionId={pcx}\
             &{side}PeeringConnectionOptions.AllowDnsResolutionFromRemoteVpc={value}"
        )
    };
    alice.ok(&option("Requester", true));
    assert_eq!(resolves(&up, &x.id, &theirs), None, "the option belongs to the side whose names they are");
    eventually("the requester's names resolve at the accepter", || {
        resolves(&up, &y.id, &own).as_deref() == Some(&x.address)
    });
    bob.ok(&option("Accepter", true));
    eventually("the accepter's names resolve at the requester", || {
        resolves(&up, &x.id, &theirs).as_deref() == Some(&y.address)
    });
    assert!(up.reaches(&x.id, &theirs), "by name");

    // 5.7.6: a switch that goes off ends the effect, not the option.
    set(&mut bob, &far.vpc, "EnableDnsHostnames", false);
    eventually("without the accepter's host names nothing resolves", || resolves(&up, &x.id, &theirs).is_none());
    set(&mut bob, &far.vpc, "EnableDnsHostnames", true);
    eventually("and with them it does", || resolves(&up, &x.id, &theirs).is_some());
    bob.ok(&option("Accepter", false));
    eventually("the option ends it", || resolves(&up, &x.id, &theirs).is_none());

    set(&mut alice, &near.vpc, "EnableDnsHostnames", false);
    set(&mut alice, &near.vpc, "EnableDnsSupport", false);
    for how in ["udp", "tcp"] {
        assert_eq!(ask(&up, &x.id, how, "10.16.0.2", &own), "silence", "{how}: support is off");
    }
    up.stop();
}

/// An instance that is named by its id, and its switches.
#[test]
fn an_instance_may_be_named_by_its_id() {
    let place = Place::new();
    let up = Up::start(&place, &[]);
    let mut alice = up.client(ALICE);
    let near = network(&mut alice, "10.16");
    set(&mut alice, &near.vpc, "EnableDnsHostnames", true);
    let subnet = |switch: &str| format!("Action=ModifySubnetAttribute&SubnetId={}&{switch}", near.subnet);
    alice.ok(&subnet("PrivateDnsHostnameTypeOnLaunch=resource-name"));
    alice.ok(&subnet("EnableResourceNameDnsARecordOnLaunch.Value=true"));
    let x = guests(&mut alice, &near.subnet, 1, "").remove(0);
    let name = format!("{}.ec2.internal", x.id);
    assert_eq!(up.sh(&x.id, "hostname"), x.id);
    assert_eq!(described(&mut alice, &x.id).text("privateDnsName"), name);
    assert_eq!(resolves(&up, &x.id, &name), Some(x.address.clone()));
    alice.ok(&format!("Action=ModifyPrivateDnsNameOptions&InstanceId={}&EnableResourceNameDnsARecord=false", x.id));
    assert_eq!(ask(&up, &x.id, "udp", "10.16.0.2", &name), "3");
    assert_eq!(
        ask(&up, &x.id, "udp", "10.16.0.2", &private_name(&x.address, "ec2.internal")),
        format!("0 {}", x.address)
    );
    up.stop();
}

/// 9.1: 1,024 packets a second for each interface; what is more is dropped (D36), and nobody else feels it.
#[test]
fn who_asks_too_much_is_not_heard() {
    const FLOOD: &str = r#"
import socket, struct
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
s.connect(("169.254.169.253", 53))
question = struct.pack(">HHHHHH", 7, 0x0100, 1, 0, 0, 0) + b"\x01x\x03ec2\x08internal\0" + struct.pack(">HH", 1, 1)
for _ in range(20000): s.send(question)
s.settimeout(0.5)
heard = 0
try:
    while True: s.recv(1500); heard += 1
except TimeoutError: print(heard)
"#;
    let place = Place::new();
    let up = Up::start(&place, &[]);
    let mut alice = up.client(ALICE);
    let near = network(&mut alice, "10.16");
    set(&mut alice, &near.vpc, "EnableDnsHostnames", true);
    let guests = guests(&mut alice, &near.subnet, 2, "");
    let output = up.exec(&guests[0].id, &["python3", "-c", FLOOD]);
    let heard: u32 = String::from_utf8_lossy(&output.stdout).trim().parse().unwrap_or_else(|_| panic!("{output:?}"));
    assert!((100..10_000).contains(&heard), "{heard} of 20000 answered");
    let name = private_name(&guests[1].address, "ec2.internal");
    assert_eq!(resolves(&up, &guests[1].id, &name), Some(guests[1].address.clone()));
    let drops =
        peerway().args(["status", "--drops", "--reason", "D36", "--output", "json", "--data"]).arg(&up.data).output();
    let drops = String::from_utf8(drops.expect("it starts").stdout).expect("text");
    assert!(drops.contains("D36"), "{drops}");
    up.stop();
}

/// A guest has a few connections to its resolver, and not for long: nobody's memory is his to take.
#[test]
fn connections_to_a_resolver_are_few_and_short() {
    const CONNECT: &str = r#"
import socket, time
held = []
for _ in range(9):
    s = socket.socket(); s.settimeout(30)
    try: s.connect(("169.254.169.253", 53)); held.append(s)
    except ConnectionRefusedError: print("refused after", len(held))
began = time.monotonic()
try: gone = held[0].recv(1) == b""
except ConnectionResetError: gone = True
print("gone", gone and 5 < time.monotonic() - began < 25)
s = socket.socket(); s.settimeout(5); s.connect(("169.254.169.253", 53)); print("again")
"#;
    let place = Place::new();
    let up = Up::start(&place, &[]);
    let mut alice = up.client(ALICE);
    let near = network(&mut alice, "10.16");
    let x = guests(&mut alice, &near.subnet, 1, "").remove(0);
    let output = up.exec(&x.id, &["python3", "-c", CONNECT]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "refused after 8\ngone True\nagain\n", "{output:?}");
    up.stop();
}

/// Somebody who knows every name: 192.0.2.7. How often he was asked is counted.
fn upstream() -> (SocketAddr, Arc<AtomicUsize>) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let address = socket.local_addr().expect("an address");
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    std::thread::spawn(move || {
        let mut buffer = [0; 1500];
        while let Ok((len, from)) = socket.recv_from(&mut buffer) {
            count.fetch_add(1, Ordering::Relaxed);
            // The question without its EDNS record, then one address for the name at its start.
            let name_len = buffer[12..len].iter().position(|byte| *byte == 0).expect("a name") + 1;
            let mut answer = buffer[..12 + name_len + 4].to_vec();
            answer[2..4].copy_from_slice(&[0x81, 0x80]);
            answer[4..12].copy_from_slice(&[0, 1, 0, 1, 0, 0, 0, 0]);
            answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 7]);
            let _ = socket.send_to(&answer, from);
        }
    });
    (address, asked)
}

/// Users' case 46: each VPC has a memory of its own, so nobody learns what others asked, or is told what others were told.
#[test]
fn other_names_are_asked_of_whom_the_operator_named_and_remembered_for_each_vpc() {
    let (address, asked) = upstream();
    let place = Place::new();
    let up = Up::start(&place, &["--dns-upstream", &address.to_string()]);
    let mut alice = up.client(ALICE);
    let (near, other) = (network(&mut alice, "10.16"), network(&mut alice, "10.17"));
    let x = guests(&mut alice, &near.subnet, 1, "").remove(0);
    let y = guests(&mut alice, &other.subnet, 1, "").remove(0);
    let times = || asked.load(Ordering::Relaxed);
    for how in ["udp", "tcp", "udp"] {
        assert_eq!(ask(&up, &x.id, how, "10.16.0.2", "www.example.com"), "0 192.0.2.7", "{how}");
        assert_eq!(times(), 1, "{how}: it is remembered");
    }
    assert_eq!(ask(&up, &x.id, "tcp", "10.16.0.2", "www.example.org"), "0 192.0.2.7");
    assert_eq!(times(), 2);
    assert_eq!(ask(&up, &y.id, "udp", "10.17.0.2", "www.example.com"), "0 192.0.2.7");
    assert_eq!(times(), 3, "another VPC's memory is not looked into");
    for name in ["ip-10-16-9-9.ec2.internal", "web", "9.9.16.10.in-addr.arpa"] {
        assert_eq!(ask(&up, &x.id, "udp", "10.16.0.2", name), "3", "{name}");
    }
    assert_eq!(times(), 3, "this cloud's own names are nobody else's business");
    assert_eq!(resolves(&up, &x.id, "www.example.com"), Some("192.0.2.7".into()));
    up.stop();
}
