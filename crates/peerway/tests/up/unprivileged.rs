//! The same as a user without privileges, on a machine whose /dev/net/tun everybody may open.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::common::eventually;
use crate::common::machine::Traces;
use crate::common::running::*;

const NOBODY: u32 = 65_534;

/// In a mount namespace of its own: a `/dev/net/tun` with the mode given, then another user.
const BECOME_NOBODY: &str = "set -e
mount -t tmpfs none \"$0\"
mknod \"$0/tun\" c 10 200
chmod \"$TUN_MODE\" \"$0/tun\"
mount --bind \"$0/tun\" /dev/net/tun
umount -l \"$0\"
exec setpriv --reuid 65534 --regid 65534 --clear-groups \"$@\"";

#[test]
fn a_user_runs_instances_whose_packets_pass() {
    let place = Place::new();
    let up = Up::spawn(as_nobody(&place, "666"), &place);
    let owner = fs::metadata(format!("/proc/{}", up.pid())).map(|meta| meta.uid());
    assert_eq!(owner.ok(), Some(NOBODY), "it runs as that user");

    let mut alice = up.client(ALICE);
    let network = network(&mut alice, "10.16");
    let guests = guests(&mut alice, &network.subnet, 2, "#!/bin/sh\necho started >> /var/starts\n");
    // By the user himself: root could do more.
    let reaches = |address: &str| {
        let mut command = up.exec_command(&guests[0].id, &["sh", "-c", PROBE, "probe", address]);
        command.uid(NOBODY).gid(NOBODY).output().expect("it starts")
    };
    eventually("packets pass", || reaches(&guests[1].address).status.success());
    let ids: Vec<String> = guests.iter().map(|guest| guest.id.clone()).collect();
    let traces = Traces::of(up.pid(), &ids);
    assert!(traces.is_rich(guests.len()), "{traces:?}");
    up.stop();
    assert_eq!(traces.left(), Vec::<String>::new());
}

#[test]
fn a_machine_that_does_not_let_him_is_named() {
    let place = Place::new();
    let output = as_nobody(&place, "600").output().expect("it starts");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && text.contains("/dev/net/tun") && text.contains("--no-packets"), "{text}");
}

/// `peerway up` on the data directory of the place.
fn as_nobody(place: &Place, tun_mode: &str) -> Command {
    assert!(rustix::process::geteuid().is_root(), "this test makes a device and becomes another user: run it as root");
    let (home, node) = (place.path().join("home"), place.path().join("node"));
    for directory in [&home, &node, &place.data()] {
        fs::create_dir(directory).expect("made");
    }
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).expect("passable");
    for path in [&home, &place.data()] {
        chown(path, Some(NOBODY), Some(NOBODY)).expect("owned");
    }
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c", BECOME_NOBODY]).arg(&node);
    command.arg(env!("CARGO_BIN_EXE_peerway")).args(["up", "--listen", "127.0.0.1:0", "--data"]).arg(place.data());
    command.env("HOME", &home).env("TUN_MODE", tun_mode);
    command
}
