//! Guests that harm themselves, and starts that fail: the agent survives, and says what happened.

use std::fs;
use std::path::PathBuf;

use rustix::process::{Pid, Signal, kill_process};

use crate::common::eventually;
use crate::common::running::*;

#[test]
fn a_deleted_device_is_made_again() {
    let place = Place::new();
    let up = Up::start(&place, &[]);
    let mut alice = up.client(ALICE);
    let network = network(&mut alice, "10.16");
    let guests = guests(&mut alice, &network.subnet, 2, "");
    let (vandal, other) = (&guests[0], &guests[1]);
    up.wait_until_reached(&vandal.id, &other.address);
    let mac = up.sh(&vandal.id, "cat /sys/class/net/eth0/address");
    for _ in 0..3 {
        up.sh(&vandal.id, "ip link delete eth0");
        up.wait_until_reached(&vandal.id, &other.address);
        assert_eq!(up.sh(&vandal.id, "cat /sys/class/net/eth0/address"), mac);
        assert!(up.sh(&vandal.id, "ip -4 address show eth0").contains(&format!("{}/24", vandal.address)));
    }
    assert!(up.reaches(&other.id, &vandal.address));
    // A guest may also rename it, take its address, and take it down; that is its own business, and harms nobody else.
    up.sh(
        &vandal.id,
        "ip address flush dev eth0; ip link set eth0 down; ip link set eth0 name mine; ip link set mine up",
    );
    assert!(!up.reaches(&vandal.id, &other.address));
    assert!(up.reaches(&other.id, &other.address));
    assert_eq!(state_of(&mut alice, &vandal.id), "running");
    up.stop();
}

#[test]
fn an_instance_that_shuts_itself_down_is_stopped_and_starts_again() {
    let place = Place::new();
    let up = Up::start(&place, &[]);
    let mut alice = up.client(ALICE);
    let network = network(&mut alice, "10.16");
    let guests = guests(&mut alice, &network.subnet, 2, "");
    let (ended, other) = (&guests[0], &guests[1]);
    up.wait_until_reached(&other.id, &ended.address);

    for ask in ["kill -TERM 1", "busybox poweroff", POWEROFF] {
        up.exec(&ended.id, &["sh", "-c", ask]);
        wait_for_state(&mut alice, &ended.id, "stopped");
        let shown = described(&mut alice, &ended.id).0;
        assert!(
            shown.contains(SHUT_ITSELF_DOWN) && shown.contains("<reason>User initiated</reason>"),
            "{ask}: {shown}"
        );
        eventually("its address answers no more", || !up.reaches(&other.id, &ended.address));
        assert_eq!(state_of(&mut alice, &other.id), "running");
        alice.ok(&format!("Action=StartInstances&InstanceId.1={}", ended.id));
        wait_for_state(&mut alice, &ended.id, "running");
        up.wait_until_reached(&other.id, &ended.address);
    }
    let is_done = up.exec(&ended.id, &["sh", "-c", &format!("head -c 100000 /dev/zero > /dev/initctl; {REBOOT}")]);
    assert!(is_done.status.success(), "junk and what cannot be done do not block who writes it: {is_done:?}");
    assert_eq!(state_of(&mut alice, &ended.id), "running");

    // Its first process cannot be killed from inside, but the machine's root can.
    up.sh(&ended.id, "kill -KILL 1 || true; kill -0 1");
    let (_, pid) = up.processes().into_iter().find(|(id, _)| *id == ended.id).expect("it runs");
    kill_process(Pid::from_raw(i32::try_from(pid).expect("a pid")).expect("a pid"), Signal::KILL).expect("killed");
    wait_for_state(&mut alice, &ended.id, "stopped");
    let shown = described(&mut alice, &ended.id).0;
    assert!(shown.contains("<code>Server.InternalError</code>") && shown.contains("killed by signal 9"), "{shown}");
    alice.ok(&format!("Action=StartInstances&InstanceId.1={}", ended.id));
    up.wait_until_reached(&other.id, &ended.address);
    up.stop();
}

const SHUT_ITSELF_DOWN: &str = "<stateReason><code>Client.InstanceInitiatedShutdown</code>\
                                <message>Client.InstanceInitiatedShutdown: Instance initiated shutdown</message></stateReason>";
/// What `poweroff` and `reboot` of systemd and sysvinit write where no service manager answers.
const POWEROFF: &str =
    "python3 -c 'import struct; open(\"/dev/initctl\", \"wb\").write(struct.pack(\"3i372x\", 0x03091969, 1, 0x30))'";
const REBOOT: &str =
    "python3 -c 'import struct; open(\"/dev/initctl\", \"wb\").write(struct.pack(\"3i372x\", 0x03091969, 1, 0x36))'";

#[test]
fn an_instance_that_is_to_terminate_at_shutdown_does() {
    let place = Place::new();
    let up = Up::start(&place, &[]);
    let mut alice = up.client(ALICE);
    let network = network(&mut alice, "10.16");
    let guest = guests(&mut alice, &network.subnet, 1, "").remove(0);
    let behavior = "InstanceInitiatedShutdownBehavior.Value=terminate";
    alice.ok(&format!("Action=ModifyInstanceAttribute&InstanceId={}&{behavior}", guest.id));
    let files: PathBuf = up.data.join("host/instances").join(&guest.id);
    assert!(files.exists());
    up.exec(&guest.id, &["kill", "-TERM", "1"]);
    wait_for_state(&mut alice, &guest.id, "terminated");
    let shown = described(&mut alice, &guest.id).0;
    assert!(shown.contains(SHUT_ITSELF_DOWN), "{shown}");
    eventually("its files are removed", || !files.exists());
    assert!(up.processes().is_empty());
    up.stop();
}

#[test]
fn a_start_that_fails_says_why_and_terminate_removes_the_files() {
    let place = Place::new();
    let up = Up::start(&place, &[]);
    let mut alice = up.client(ALICE);
    let network = network(&mut alice, "10.16");
    let guest = guests(&mut alice, &network.subnet, 1, "").remove(0);
    let files: PathBuf = up.data.join("host/instances").join(&guest.id);
    let stop = format!("Action=StopInstances&InstanceId.1={}", guest.id);
    let start = format!("Action=StartInstances&InstanceId.1={}", guest.id);
    up.sh(&guest.id, "echo mine > /root/file");
    alice.ok(&stop);
    wait_for_state(&mut alice, &guest.id, "stopped");

    fs::rename(files.join("root"), files.join("moved")).expect("renamed");
    fs::write(files.join("root"), "in the way").expect("written");
    alice.ok(&start);
    eventually("the failure is told", || described(&mut alice, &guest.id).0.contains("Server.InternalError"));
    assert_eq!(state_of(&mut alice, &guest.id), "stopped");
    let reason = described(&mut alice, &guest.id);
    assert!(
        reason.0.contains("<stateReason><code>Server.InternalError</code><message>Server.InternalError: "),
        "{}",
        reason.0
    );
    assert!(up.processes().is_empty());

    fs::remove_file(files.join("root")).expect("removed");
    fs::rename(files.join("moved"), files.join("root")).expect("renamed");
    alice.ok(&start);
    wait_for_state(&mut alice, &guest.id, "running");
    assert_eq!(up.sh(&guest.id, "cat /root/file"), "mine");
    assert!(!described(&mut alice, &guest.id).0.contains("Server.InternalError"), "a reason that is over is not shown");

    // Also what a guest wrote to be hard to remove goes.
    up.sh(&guest.id, "mkdir -p /root/a/b && chmod 0 /root/a/b && touch /root/-f '/root/a b' && chown 1000 /root/-f");
    alice.ok(&format!("Action=TerminateInstances&InstanceId.1={}", guest.id));
    wait_for_state(&mut alice, &guest.id, "terminated");
    eventually("its files are removed", || !files.exists());
    assert!(up.processes().is_empty());
    up.stop();
}
