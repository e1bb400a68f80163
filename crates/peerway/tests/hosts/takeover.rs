//! An agent ends, in any way, and another one takes over what it left: instances, devices, connections, policy.

use std::process::Command;
use std::time::Duration;

use linux::sandbox::Record;

use crate::common::eventually;
use crate::common::running::{Guest, admit, guests, network, wait_for_state};
use crate::flows::{Flow, Place, Seen};
use crate::machines::{AGENTS, Machine, Machines};

/// Loose: the machine may be busy with other tests, and TCP doubles its patience with each attempt. The true numbers are printed.
const GAP_MAX: Duration = Duration::from_secs(3);

/// Server, agents and four instances: two on each host.
pub struct Cloud {
    pub machines: Machines,
    pub server: Machine,
    pub agents: [Machine; 2],
    /// By host.
    pub guests: [Vec<Guest>; 2],
}

impl Cloud {
    pub fn start() -> Cloud {
        Cloud::on(Machines::new())
    }

    pub fn on(machines: Machines) -> Cloud {
        let server = machines.server();
        let agents = [0, 1].map(|n| machines.agent(n, Some(&machines.token(Some(AGENTS[n])))).expect("it joins"));
        eventually("both hosts are connected", || machines.connected() == AGENTS);
        let all = machines.api(|client| {
            let network = network(client, "10.16");
            admit(client, &network.vpc, "10.16.0.0/16");
            guests(client, &network.subnet, 4, "")
        });
        let (first, second) = all.into_iter().partition(|guest| machines.carrier(&guest.id) == 0);
        let guests: [Vec<Guest>; 2] = [first, second];
        assert_eq!(guests.each_ref().map(Vec::len), [2, 2], "instances spread over the hosts");
        Cloud { machines, server, agents, guests }
    }

    fn place(&self, n: usize, at: usize) -> Place {
        let guest = &self.guests[n][at];
        let netns = linux::namespace::of_process(self.machines.pid(n, &guest.id)).expect("it runs");
        Place { netns, address: guest.address.clone() }
    }

    /// The processes of a host's instances.
    fn pids(&self, n: usize) -> Vec<u32> {
        self.guests[n].iter().map(|guest| self.machines.pid(n, &guest.id)).collect()
    }

    /// Traffic inside the first host and from it to the other and back, by TCP and by datagrams.
    pub fn flows(&self) -> Vec<Flow> {
        let ((a, b), c) = ((self.place(0, 0), self.place(0, 1)), self.place(1, 0));
        vec![
            Flow::tcp("tcp on one host", &a, &b, 7001),
            Flow::tcp("tcp to the other host", &a, &c, 7002),
            Flow::tcp("tcp from the other host", &c, &a, 7003),
            Flow::datagrams("datagrams on one host", &a, &b, 7004),
            Flow::datagrams("datagrams to the other host", &a, &c, 7005),
            Flow::datagrams("datagrams from the other host", &c, &a, 7006),
        ]
    }

    pub fn restart(&mut self, n: usize) {
        self.agents[n] = self.machines.agent(n, None).expect("it has its certificate");
    }
}

/// Ends flows, none of which may have broken or rested for long.
pub fn check(flows: Vec<Flow>) -> Vec<Seen> {
    let seen: Vec<(&str, Seen)> = flows.into_iter().map(|flow| (flow.name, flow.end())).collect();
    for (name, seen) in &seen {
        assert!(seen.received > 50 && seen.gap < GAP_MAX, "{name}: {seen:?}");
    }
    seen.into_iter().map(|(_, seen)| seen).collect()
}

#[test]
fn connections_outlive_a_killed_agent_with_and_without_a_server() {
    let mut cloud = Cloud::start();
    let pids = cloud.pids(0);
    let flows = cloud.flows();
    std::thread::sleep(Duration::from_secs(1));
    cloud.agents[0].kill();
    cloud.restart(0);
    std::thread::sleep(Duration::from_secs(2));
    check(flows);
    assert_eq!(cloud.pids(0), pids, "the same processes go on");

    // No server: it goes on by what it was told last.
    eventually("both hosts are connected", || cloud.machines.connected() == AGENTS);
    cloud.server.kill();
    let flows = cloud.flows();
    std::thread::sleep(Duration::from_secs(1));
    cloud.agents[0].kill();
    cloud.restart(0);
    std::thread::sleep(Duration::from_secs(2));
    check(flows);
    assert_eq!(cloud.pids(0), pids, "the same processes go on");

    // The server is back, and rules over what was taken over.
    cloud.server = cloud.machines.server();
    eventually("both hosts are connected again", || cloud.machines.connected() == AGENTS);
    let ended = cloud.guests[0].remove(0);
    let record = cloud.machines.record(0, &ended.id);
    cloud.machines.api(|client| {
        client.ok(&format!("Action=TerminateInstances&InstanceId.1={}", ended.id));
        wait_for_state(client, &ended.id, "terminated");
    });
    assert!(record.birth.open().expect("asked").is_none(), "its process is gone");
    cloud.agents.iter_mut().for_each(Machine::stop);
    cloud.server.stop();
}

#[test]
fn a_reload_breaks_nothing_and_loses_next_to_nothing() {
    let machines = Machines::new();
    machines.install(None);
    let mut cloud = Cloud::on(machines);
    let pids = [0, 1].map(|n| cloud.pids(n));
    let flows = cloud.flows();
    std::thread::sleep(Duration::from_secs(1));
    // One after the other, faster than keys are agreed anew; a process that was handed to hands over, too.
    for n in [0, 1, 0, 0] {
        cloud.agents[n].reload();
        std::thread::sleep(Duration::from_millis(300));
    }
    // An upgrade to what does not start changes nothing; one to what does is an upgrade.
    cloud.machines.install(Some("#!/bin/sh\nexit 1\n"));
    cloud.agents[0].refuses_to_reload();
    eventually("the old agent goes on", || cloud.agents[0].log().contains("no other agent can go on; this one does"));
    cloud.machines.install(None);
    cloud.agents[0].reload();
    std::thread::sleep(Duration::from_secs(1));
    for Seen { sent, received, .. } in check(flows) {
        // On an idle machine none is lost; a busy one may be slow enough for a receive buffer to fill.
        assert!(received + sent / 5 + 50 >= sent, "{received} of {sent} came back");
    }
    assert_eq!([0, 1].map(|n| cloud.pids(n)), pids, "the same processes go on");
    eventually("both hosts are connected", || cloud.machines.connected() == AGENTS);
    // What was reloaded may be killed as well.
    let flows = cloud.flows();
    cloud.agents[0].kill();
    cloud.restart(0);
    std::thread::sleep(Duration::from_secs(2));
    check(flows);
    cloud.agents.iter_mut().for_each(Machine::stop);
    cloud.server.stop();
}

/// `cargo xtask bench handover` runs this with more rounds and reads what it prints.
#[test]
fn pauses_are_measured() {
    let rounds = std::env::var("PEERWAY_HANDOVER_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(1);
    let mut cloud = Cloud::start();
    for how in ["nothing", "reload", "kill"] {
        for _ in 0..rounds {
            let (near, far) = ((cloud.place(0, 0), cloud.place(0, 1)), cloud.place(1, 0));
            let flows = [
                ("local", Flow::datagrams("datagrams on one host", &near.0, &near.1, 7004)),
                ("link", Flow::datagrams("datagrams to the other host", &near.0, &far, 7005)),
            ];
            // Keys are agreed, and the seconds after an earlier round are over.
            std::thread::sleep(Duration::from_secs(1));
            match how {
                "reload" => cloud.agents[0].reload(),
                "kill" => {
                    cloud.agents[0].kill();
                    cloud.restart(0);
                }
                _ => {}
            }
            std::thread::sleep(Duration::from_secs(1));
            for (place, flow) in flows {
                let seen = flow.end();
                println!(
                    "pause {how} {place} {:.1} ms, {} lost",
                    seen.gap.as_secs_f64() * 1e3,
                    seen.sent - seen.received
                );
                assert!(seen.gap < GAP_MAX, "{how}, {place}: {seen:?}");
            }
        }
    }
    cloud.agents.iter_mut().for_each(Machine::stop);
    cloud.server.stop();
}

#[test]
fn a_stopped_agent_leaves_its_instances_and_what_ended_meanwhile_is_told() {
    let mut cloud = Cloud::start();
    let pids = cloud.pids(0);
    let records: Vec<Record> = cloud.guests[0].iter().map(|guest| cloud.machines.record(0, &guest.id)).collect();
    cloud.agents[0].stop();
    assert!(records.iter().all(|record| record.birth.open().expect("asked").is_some()), "they run on");

    // One ends while nobody looks; the record of the other names a stranger that has its pid now.
    let mut stranger = Command::new("sleep").arg("600").spawn().expect("it starts");
    assert!(records[0].kill_leftover().expect("killed") && records[1].kill_leftover().expect("killed"));
    cloud.machines.change_record(0, &cloud.guests[0][1].id, |record| record["birth"]["pid"] = stranger.id().into());
    cloud.restart(0);
    for guest in &cloud.guests[0] {
        cloud.machines.api(|client| wait_for_state(client, &guest.id, "stopped"));
    }
    assert!(stranger.try_wait().expect("a child").is_none(), "a stranger was ended");
    stranger.kill().expect("it runs");
    stranger.wait().expect("it ends");

    // Started again they are new processes on the same files.
    let ids: Vec<String> =
        cloud.guests[0].iter().zip(1..).map(|(guest, n)| format!("InstanceId.{n}={}", guest.id)).collect();
    cloud.machines.api(|client| client.ok(&format!("Action=StartInstances&{}", ids.join("&"))));
    let (near, far) = (&cloud.guests[0][0].clone(), &cloud.guests[1][0].clone());
    cloud.machines.api(|client| wait_for_state(client, &near.id, "running"));
    eventually("packets cross", || cloud.machines.pings(0, near, far));
    eventually("both run", || cloud.machines.running(0) == 2);
    assert!(cloud.pids(0).iter().all(|pid| !pids.contains(pid)));

    // Half-made things are ended, what the guest renamed is found, what it deleted is made again.
    cloud.agents[0].kill();
    let left: Vec<Record> = cloud.guests[0].iter().map(|guest| cloud.machines.record(0, &guest.id)).collect();
    cloud.machines.change_record(0, &cloud.guests[0][1].id, |record| record["is_started"] = false.into());
    cloud.machines.rename_device(&left[0]);
    cloud.restart(0);
    assert!(left[0].birth.open().expect("asked").is_some() && left[1].birth.open().expect("asked").is_none());
    eventually("packets cross", || cloud.machines.pings(0, near, far));
    eventually("the half-made one was made anew", || {
        cloud.machines.running(0) == 2 && cloud.machines.pings(0, &cloud.guests[0][1], far)
    });

    // And who wants them gone says so.
    cloud.agents[0].stop();
    let pids = cloud.guests[0].iter().map(|guest| cloud.machines.record(0, &guest.id)).collect::<Vec<_>>();
    let said = cloud.machines.clear(0);
    assert!(cloud.guests[0].iter().all(|guest| said.contains(&guest.id)), "{said}");
    assert!(pids.iter().all(|record| record.birth.open().expect("asked").is_none()));
    cloud.agents[1].stop();
    cloud.server.stop();
}

#[test]
fn every_device_of_an_instance_is_taken_over_and_handed_over() {
    let machines = Machines::new();
    machines.install(None);
    let mut cloud = Cloud::on(machines);
    let (carrier, far) = (cloud.guests[0][0].clone(), cloud.guests[1][0].clone());
    let second = Guest { id: carrier.id.clone(), address: "10.16.2.70".into() };
    let attachment = cloud.machines.api(|client| {
        let query = format!("Action=DescribeInstances&InstanceId.1={}", carrier.id);
        let vpc = client.ok(&query).text("vpcId");
        let query = format!("Action=CreateSubnet&VpcId={vpc}&CidrBlock=10.16.2.0/24");
        let subnet = client.ok(&query).text("subnetId");
        let query = format!("Action=CreateNetworkInterface&SubnetId={subnet}&PrivateIpAddress={}", second.address);
        let interface = client.ok(&query).text("networkInterfaceId");
        let query = format!(
            "Action=AttachNetworkInterface&NetworkInterfaceId={interface}&InstanceId={}&DeviceIndex=1",
            carrier.id
        );
        client.ok(&query).text("attachmentId")
    });
    let links = |cloud: &Cloud| {
        let script = "cat /sys/class/net/eth0/ifindex /sys/class/net/eth1/ifindex";
        let output = cloud.machines.exec(0, &carrier.id, &["sh", "-c", script]).output().expect("it starts");
        String::from_utf8(output.stdout).expect("text")
    };
    let both_answer = |cloud: &Cloud| cloud.machines.pings(1, &far, &carrier) && cloud.machines.pings(1, &far, &second);
    eventually("both interfaces answer", || both_answer(&cloud));
    let before = links(&cloud);
    assert_eq!(before.lines().count(), 2);

    cloud.agents[0].kill();
    cloud.restart(0);
    eventually("both interfaces answer after a kill", || both_answer(&cloud));
    cloud.agents[0].reload();
    eventually("both interfaces answer after a reload", || both_answer(&cloud));
    assert_eq!(links(&cloud), before, "the same devices");

    // What was taken over is taken away as well, and only that.
    eventually("both hosts are connected", || cloud.machines.connected() == AGENTS);
    cloud.machines.api(|client| client.ok(&format!("Action=DetachNetworkInterface&AttachmentId={attachment}")));
    eventually("the second device is gone", || links(&cloud).lines().count() == 1);
    assert!(!cloud.machines.pings(1, &far, &second) && cloud.machines.pings(1, &far, &carrier));
    cloud.agents.iter_mut().for_each(Machine::stop);
    cloud.server.stop();
}
