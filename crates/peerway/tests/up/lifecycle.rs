//! Start, end, start again, and two at once.

use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::common::api::Client;
use crate::common::eventually;
use crate::common::machine::Traces;
use crate::common::running::*;

#[test]
fn an_interrupt_ends_it_and_leaves_nothing() {
    ends_and_leaves_nothing(Signal::INT);
}

#[test]
fn a_termination_ends_it_and_leaves_nothing() {
    ends_and_leaves_nothing(Signal::TERM);
}

fn ends_and_leaves_nothing(signal: Signal) {
    let place = Place::new();
    let mut up = Up::start(&place, &[]);
    let mut alice = up.client(ALICE);
    let network = network(&mut alice, "10.16");
    // Programs that do not end when asked: their instance ends all the same.
    let stubborn = "#!/bin/sh\ntrap '' TERM\nsleep 600 &\nwhile true; do sleep 600; done\n";
    let guests = guests(&mut alice, &network.subnet, 2, stubborn);
    up.wait_until_reached(&guests[0].id, &guests[1].address);
    let mut session =
        up.exec_command(&guests[0].id, &["sleep", "600"]).stdout(Stdio::null()).spawn().expect("it starts");
    eventually("the session runs", || {
        up.exec(&guests[0].id, &["sh", "-c", "cat /proc/*/cmdline | tr '\\0' ' ' | grep 'sleep 600'"]).status.success()
    });
    let ids: Vec<String> = guests.iter().map(|guest| guest.id.clone()).collect();
    let traces = Traces::of(up.pid(), &ids);
    assert!(traces.is_rich(guests.len()), "{traces:?}");
    // A client that never says anything must not keep it from ending.
    let _silent = TcpStream::connect(up.address).expect("connected");

    up.signal(signal);
    let status = up.wait();
    assert!(status.success(), "it ended with {status}:\n{}", up.log());
    assert_eq!(traces.left(), Vec::<String>::new(), "left behind by {traces:?}\n{}", up.log());
    let end = session.wait().expect("a child");
    assert!(!end.success(), "the session lost its instance: {end}");
    assert!(TcpStream::connect(up.address).is_err(), "nobody listens on {}", up.address);
    assert!(!up.data.join("host/agent.sock").exists());
    for id in &ids {
        assert!(up.data.join("host/instances").join(id).join("root").is_dir(), "an instance's files stay");
    }
    assert!(!up.log().contains("ERROR") && !up.log().contains("panic"), "{}", up.log());
}

/// Everything that a cloud of ours shows, by question.
fn everything(alice: &mut Client, bob: &mut Client) -> Vec<String> {
    let actions = [
        "DescribeVpcs",
        "DescribeSubnets",
        "DescribeRouteTables",
        "DescribeSecurityGroups",
        "DescribeNetworkAcls",
        "DescribeNetworkInterfaces",
        "DescribeInstances",
        "DescribeVpcPeeringConnections",
        "DescribeTags",
    ];
    let mut documents = Vec::new();
    for action in actions {
        for client in [&mut *alice, &mut *bob] {
            documents.push(client.ok(&format!("Action={action}")).without_request_id());
        }
    }
    documents
}

#[test]
fn a_restart_brings_everything_back_and_traffic_passes_without_a_call() {
    let place = Place::new();
    let up = Up::start(&place, &[]);
    let (mut alice, mut bob) = (up.client(ALICE), up.client(BOB));
    let (a, b) = (network(&mut alice, "10.16"), network(&mut bob, "10.17"));
    let pcx = peer(&mut alice, &mut bob, &a.vpc, &b.vpc);
    route(&mut alice, &a.vpc, "10.17.0.0/16", &pcx);
    route(&mut bob, &b.vpc, "10.16.0.0/16", &pcx);
    admit(&mut alice, &a.vpc, "10.0.0.0/8");
    admit(&mut bob, &b.vpc, "10.0.0.0/8");
    alice.ok(&format!("Action=CreateTags&ResourceId.1={}&Tag.1.Key=Name&Tag.1.Value=A", a.vpc));
    let counter = "#!/bin/sh\necho started >> /var/starts\n";
    let from = guests(&mut alice, &a.subnet, 1, counter).remove(0);
    let near = guests(&mut alice, &a.subnet, 1, "").remove(0);
    let far = guests(&mut bob, &b.subnet, 1, "").remove(0);
    let stopped = guests(&mut bob, &b.subnet, 1, "").remove(0);
    bob.ok(&format!("Action=StopInstances&InstanceId.1={}", stopped.id));
    wait_for_state(&mut bob, &stopped.id, "stopped");
    up.wait_until_reached(&from.id, &near.address);
    up.wait_until_reached(&from.id, &far.address);
    up.wait_until_reached(&far.id, &from.address);
    let before = everything(&mut alice, &mut bob);
    up.stop();

    let up = Up::start(&place, &[]);
    up.wait_until_reached(&from.id, &near.address);
    up.wait_until_reached(&from.id, &far.address);
    up.wait_until_reached(&far.id, &from.address);
    assert!(!up.reaches(&from.id, &stopped.address), "what was stopped stays stopped");
    assert_eq!(up.sh(&from.id, "cat /var/starts"), "started\nstarted", "files stay, and user data runs at each start");
    assert_eq!(everything(&mut up.client(ALICE), &mut up.client(BOB)), before);
    up.stop();
}

#[test]
fn two_clouds_on_one_machine_do_not_disturb_each_other() {
    let places = [Place::new(), Place::new()];
    let mut ups = places.each_ref().map(|place| Up::start(place, &[]));
    assert_ne!(ups[0].address, ups[1].address);
    let guests = ups.each_ref().map(|up| {
        let mut alice = up.client(ALICE);
        let network = network(&mut alice, "10.16");
        guests(&mut alice, &network.subnet, 2, "")
    });
    for (up, guests) in ups.iter().zip(&guests) {
        up.wait_until_reached(&guests[0].id, &guests[1].address);
    }
    assert!(!ups[0].exec(&guests[1][0].id, &["true"]).status.success(), "another cloud's instance is not found");
    // Each has its own range of user ids: what one instance's root may, the other's may not.
    let owners = ups.each_ref().map(|up| root_owners(&up.data));
    assert!(owners[0].iter().all(|owner| !owners[1].contains(owner)), "{owners:?}");
    let before = ups[1].processes();

    let first = std::mem::replace(&mut ups[0], Up::start(&Place::new(), &["--no-packets"]));
    first.stop();
    assert_eq!(ups[1].processes(), before, "the same processes run on");
    assert!(ups[1].reaches(&guests[1][0].id, &guests[1][1].address));
    assert!(ups[1].client(ALICE).ok("Action=DescribeInstances").0.contains(&guests[1][0].id));
    ups.into_iter().for_each(Up::stop);
}

/// The ids that instances' roots stand for on this machine.
fn root_owners(data: &Path) -> Vec<u32> {
    use std::os::unix::fs::MetadataExt;
    let entries = std::fs::read_dir(data.join("host/instances")).expect("instances").flatten();
    entries.map(|entry| entry.path().join("root").metadata().expect("a root").uid()).collect()
}

#[test]
fn a_burst_of_requests_keeps_no_packet_from_passing() {
    let place = Place::new();
    let up = Up::start(&place, &["--quota", "vpcs=1000"]);
    let mut alice = up.client(ALICE);
    let network = network(&mut alice, "10.16");
    let guests = guests(&mut alice, &network.subnet, 2, "");
    up.wait_until_reached(&guests[0].id, &guests[1].address);
    let until = Instant::now() + Duration::from_secs(3);
    let address = up.address;
    let writer = std::thread::spawn(move || {
        let mut client = Client::new(address, ALICE.0, ALICE.1);
        let mut count = 0;
        while Instant::now() < until {
            let vpc = client.ok("Action=CreateVpc&CidrBlock=10.99.0.0/16").text("vpcId");
            client.ok(&format!("Action=DeleteVpc&VpcId={vpc}"));
            count += 1;
        }
        count
    });
    while !writer.is_finished() {
        assert!(up.reaches(&guests[0].id, &guests[1].address), "{}", up.log());
    }
    assert!(writer.join().expect("no panic") > 10);
    up.stop();
}

#[test]
fn nobody_to_write_to_and_a_closed_terminal() {
    let place = Place::new();
    // Whoever runs the tests may ignore the signal, and children inherit that.
    let mut command = Command::new("env");
    command.arg("--default-signal=HUP").arg(env!("CARGO_BIN_EXE_peerway"));
    // Both go to a reader that ends after the first line, as `| head -1` does.
    command.args(["-vvv", "up", "--listen", "127.0.0.1:0", "--data"]).arg(place.data());
    let mut up = Up::spawn_with_errors(command, &place, Stdio::piped());
    up.close_pipes();
    let mut alice = up.client(ALICE);
    let network = network(&mut alice, "10.16");
    let guests = guests(&mut alice, &network.subnet, 2, "");
    up.wait_until_reached(&guests[0].id, &guests[1].address);
    let ids: Vec<String> = guests.iter().map(|guest| guest.id.clone()).collect();
    let traces = Traces::of(up.pid(), &ids);
    up.signal(Signal::HUP);
    let status = up.wait();
    assert!(status.success(), "{status}");
    assert_eq!(traces.left(), Vec::<String>::new());
}

#[test]
fn a_program_that_outlives_its_terminal_on_purpose() {
    let place = Place::new();
    let mut command = Command::new("nohup");
    command
        .arg(env!("CARGO_BIN_EXE_peerway"))
        .args(["up", "--no-packets", "--listen", "127.0.0.1:0", "--data"])
        .arg(place.data());
    let up = Up::spawn(command, &place);
    up.signal(Signal::HUP);
    std::thread::sleep(Duration::from_millis(200));
    up.client(ALICE).ok("Action=DescribeVpcs");
    up.stop();
}

#[test]
fn a_data_directory_of_any_depth_that_even_vanishes() {
    // A socket's path has 107 bytes at most (unix(7)); a data directory's may have more.
    let place = Place::with_data(&"deep/".repeat(40));
    let mut up = Up::start(&place, &[]);
    let mut alice = up.client(ALICE);
    let network = network(&mut alice, "10.16");
    let guests = guests(&mut alice, &network.subnet, 2, "");
    up.wait_until_reached(&guests[0].id, &guests[1].address);
    let ids: Vec<String> = guests.iter().map(|guest| guest.id.clone()).collect();
    let traces = Traces::of(up.pid(), &ids);
    std::fs::remove_dir_all(place.data()).expect("removed");
    up.signal(Signal::INT);
    up.wait();
    assert_eq!(traces.left(), Vec::<String>::new(), "{}", up.log());
}
