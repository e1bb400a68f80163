//! Backup and restore of a cloud, and clearing up after a kill without a next start.

use std::path::Path;
use std::process::Output;

use crate::common::machine::Traces;
use crate::common::running::*;

const QUESTIONS: [&str; 4] =
    ["DescribeVpcs", "DescribeSubnets", "DescribeRouteTables", "DescribeVpcPeeringConnections"];

fn everything(up: &Up) -> Vec<String> {
    let mut answers = Vec::new();
    for who in [ALICE, BOB] {
        let mut client = up.client(who);
        answers.extend(QUESTIONS.map(|action| client.ok(&format!("Action={action}")).without_request_id()));
    }
    answers
}

fn run(arguments: &[&str], paths: &[(&str, &Path)]) -> Output {
    let mut command = peerway();
    command.args(arguments);
    for (flag, path) in paths {
        if !flag.is_empty() {
            command.arg(flag);
        }
        command.arg(path);
    }
    command.output().expect("it starts")
}

#[test]
fn a_backup_of_a_running_cloud_is_that_cloud() {
    let (place, other) = (Place::new(), Place::new());
    let up = Up::start(&place, &["--no-packets"]);
    let (mut alice, mut bob) = (up.client(ALICE), up.client(BOB));
    let (a, b) = (network(&mut alice, "10.16"), network(&mut bob, "10.17"));
    let pcx = peer(&mut alice, &mut bob, &a.vpc, &b.vpc);
    route(&mut alice, &a.vpc, "10.17.0.0/16", &pcx);
    let before = everything(&up);

    let backup = place.path().join("backup");
    let endpoint = format!("http://{}", up.address);
    let made = run(&["backup", "--endpoint", &endpoint], &[("--data", &up.data), ("", &backup)]);
    assert!(made.status.success(), "{made:?}\n{}", up.log());
    assert!(
        !up.data
            .read_dir()
            .unwrap()
            .any(|entry| { entry.unwrap().file_name().to_string_lossy().starts_with("backup-") })
    );
    let again = run(&["backup", "--endpoint", &endpoint], &[("--data", &up.data), ("", &backup)]);
    assert!(!again.status.success(), "nothing is overwritten: {again:?}");
    alice.ok("Action=CreateVpc&CidrBlock=10.99.0.0/16");
    let taken = run(&["restore"], &[("--data", &up.data), ("", &backup)]);
    assert!(!taken.status.success(), "a cloud that runs is not replaced: {taken:?}");
    up.stop();
    let taken = run(&["restore"], &[("--data", &place.data()), ("", &backup)]);
    assert!(String::from_utf8_lossy(&taken.stderr).contains("is not empty"), "{taken:?}");

    let restored = run(&["restore"], &[("--data", &other.data()), ("", &backup)]);
    assert!(restored.status.success(), "{restored:?}");
    let up = Up::start(&other, &["--no-packets"]);
    assert_eq!(everything(&up), before);
    up.client(ALICE).ok("Action=CreateVpc&CidrBlock=10.98.0.0/16");
    up.stop();
    let offline = place.path().join("offline");
    let made = run(&["backup"], &[("--data", &other.data()), ("", &offline)]);
    assert!(made.status.success() && offline.join("regions/us-east-1/store.redb").exists(), "{made:?}");
}

#[test]
fn what_a_killed_run_left_is_cleared_away_and_nothing_else() {
    let (place, other) = (Place::new(), Place::new());
    let (up, beside) = (Up::start(&place, &[]), Up::start(&other, &[]));
    let start = |up: &Up| {
        let mut alice = up.client(ALICE);
        let network = network(&mut alice, "10.16");
        let guests = guests(&mut alice, &network.subnet, 2, "");
        up.wait_until_reached(&guests[0].id, &guests[1].address);
        guests
    };
    let (own, others) = (start(&up), start(&beside));
    let ids: Vec<String> = own.iter().map(|guest| guest.id.clone()).collect();
    let traces = Traces::of(up.pid(), &ids);
    let data = up.data.clone();
    let refused = run(&["gc"], &[("--data", &data)]);
    assert!(!refused.status.success(), "what runs is not left: {refused:?}");
    up.kill();
    let seen = run(&["gc", "--dry-run"], &[("--data", &data)]);
    assert!(seen.status.success() && String::from_utf8_lossy(&seen.stdout).contains("instances of"), "{seen:?}");
    assert!(!traces.left_processes().is_empty(), "a dry run ends nothing");
    let cleared = run(&["gc"], &[("--data", &data)]);
    assert!(cleared.status.success(), "{cleared:?}");
    assert_eq!(traces.left(), Vec::<String>::new(), "{cleared:?}");
    assert!(beside.reaches(&others[0].id, &others[1].address), "another cloud's go on");
    let again = run(&["gc"], &[("--data", &data)]);
    assert!(String::from_utf8_lossy(&again.stdout).contains("nothing is left"), "{again:?}");
    beside.stop();
}
