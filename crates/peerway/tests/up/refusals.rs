//! What is taken, damaged or not allowed is refused by name, with the flag to use.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use crate::common::running::*;

/// What `peerway up` says on standard error; it must end with an error before it serves.
fn refusal(data: &Path, arguments: &[&str]) -> String {
    let mut command = peerway();
    command.args(["up", "--no-packets", "--data"]).arg(data).args(arguments);
    if !arguments.contains(&"--listen") {
        command.args(["--listen", "127.0.0.1:0"]);
    }
    let output = command.output().expect("it starts");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && output.stdout.is_empty(), "{output:?}");
    assert!(text.starts_with("peerway: ") && !text.contains("panic"), "{text}");
    text
}

#[track_caller]
fn says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "`{part}` is missing in: {text}");
    }
}

#[test]
fn a_data_directory_in_use() {
    let place = Place::new();
    let up = Up::start(&place, &["--no-packets"]);
    let data = place.data();
    says(&refusal(&data, &[]), &[&data.display().to_string(), "in use", "--data"]);
    // The one that was there first has not noticed.
    up.client(ALICE).ok("Action=DescribeVpcs");
    up.stop();
}

/// Nothing is refused there: the instances are records, so nothing of them runs on this machine.
#[test]
fn status_of_a_cloud_without_packets() {
    let place = Place::new();
    let status = |arguments: &[&str]| {
        let output =
            peerway().args(["status", "--data"]).arg(place.data()).args(arguments).output().expect("it starts");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let (code, _, error) = status(&[]);
    assert_eq!(code, Some(1));
    says(&error, &["no peerway runs", "peerway up"]);
    let up = Up::start(&place, &["--no-packets"]);
    let (code, told, error) = status(&[]);
    assert_eq!((code, error.as_str()), (Some(0), ""));
    says(&told, &["the control plane runs", "without packets", "--no-packets", &place.data().display().to_string()]);
    let (code, told, _) = status(&["--output", "json", "--drops"]);
    let told: serde_json::Value = serde_json::from_str(&told).expect("JSON");
    assert_eq!((code, told), (Some(0), serde_json::json!([])));
    up.stop();
    let (code, told, error) = status(&["--output", "json"]);
    assert_eq!((code, told.as_str()), (Some(1), ""));
    says(&error, &["no peerway runs"]);
}

#[test]
fn a_lock_that_outlives_its_holder_by_a_moment() {
    let place = Place::new();
    used(&place);
    let lock = fs::File::open(place.data().join("lock")).expect("a lock");
    lock.lock().expect("locked");
    let holder = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(300));
        drop(lock);
    });
    Up::start(&place, &["--no-packets"]).stop();
    holder.join().expect("no panic");
}

#[test]
fn a_port_in_use() {
    let place = Place::new();
    let holder = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = holder.local_addr().expect("an address").to_string();
    says(&refusal(&place.data(), &["--listen", &address]), &[&address, "--listen"]);
    assert!(!place.data().join("regions").exists(), "nothing was begun");
}

#[test]
fn a_data_directory_that_cannot_be_written() {
    // Not even root makes a directory here or there.
    let place = Place::new();
    let file = place.path().join("file");
    fs::write(&file, "").expect("written");
    for data in [file.join("data"), "/proc/peerway".into()] {
        says(&refusal(&data, &[]), &[&data.display().to_string(), "--data"]);
    }
}

/// A data directory that was used, and the store file of its first region.
fn used(place: &Place) -> std::path::PathBuf {
    let up = Up::start(place, &["--no-packets"]);
    up.client(ALICE).ok("Action=CreateVpc&CidrBlock=10.16.0.0/16");
    up.stop();
    place.data().join("regions/us-east-1/store.redb")
}

#[test]
fn a_store_of_a_newer_version() {
    let place = Place::new();
    let file = used(&place);
    let database = redb::Database::open(&file).expect("a store");
    let transaction = database.begin_write().expect("begun");
    let meta = redb::TableDefinition::<&str, u64>::new("peerway.meta");
    transaction.open_table(meta).expect("a table").insert("schema", 1_000_000).expect("inserted");
    transaction.commit().expect("committed");
    drop(database);
    says(&refusal(&place.data(), &[]), &[&file.display().to_string(), "schema version 1000000", "newer"]);
}

#[test]
fn a_store_that_is_damaged_or_is_none() {
    let place = Place::new();
    let file = used(&place);
    let whole = fs::read(&file).expect("read");
    let mut holed = whole.clone();
    holed[4096..].fill(0xa5);
    let cases = [
        (&b""[..], "not a store"),
        (b"something else", "not a store"),
        (&whole[..whole.len() / 2], "damaged"),
        (&holed, "damaged"),
    ];
    for (bytes, word) in cases {
        fs::write(&file, bytes).expect("written");
        says(&refusal(&place.data(), &[]), &[&file.display().to_string(), word]);
        assert_eq!(fs::read(&file).expect("read"), bytes, "a file that cannot be read is left as it is");
    }
    fs::write(&file, &whole).expect("written");
    let up = Up::start(&place, &["--no-packets"]);
    assert_eq!(up.client(ALICE).ok("Action=DescribeVpcs").texts("vpcId").len(), 1);
    up.stop();
}

#[test]
fn a_region_or_a_quota_that_is_none() {
    let place = Place::new();
    for (arguments, part) in
        [(["--regions", "atlantis"], "atlantis"), (["--quota", "vpc=5"], "vpcs"), (["--listen", "nowhere"], "nowhere")]
    {
        let output = peerway().args(["up", "--data"]).arg(place.data()).args(arguments).output().expect("it starts");
        assert_eq!(output.status.code(), Some(2));
        says(&String::from_utf8_lossy(&output.stderr), &[arguments[0], part]);
    }
}

#[test]
fn an_uplink_of_simulated_hosts_or_of_no_device() {
    let place = Place::new();
    let mut command = peerway();
    command.args(["up", "--listen", "127.0.0.1:0", "--hosts", "2", "--uplink", "peerway0", "--data"]).arg(place.data());
    let output = command.output().expect("it starts");
    assert!(!output.status.success() && output.stdout.is_empty(), "{output:?}");
    says(&String::from_utf8_lossy(&output.stderr), &["simulated hosts have no way out", "--uplink", "without --hosts"]);
    let output = peerway().args(["up", "--uplink", "a/b", "--data"]).arg(place.data()).output().expect("it starts");
    assert!(!output.status.success(), "{output:?}");
    says(&String::from_utf8_lossy(&output.stderr), &["`a/b` is not a name for a device", "peerway0"]);
}
