//! Accounts, keys and roles by the command line and over the API; what is written down of it, and what is not (abuse cases 47, 50, 52).

use std::fs;
use std::os::unix::fs::PermissionsExt;

use ec2::service::Service;
use model::Secret;

use super::strict::{STRICT, create_key, identity, operator_key, refused, session_of};
use crate::common::api::{Answer, Client, Credentials, Refusal, now};
use crate::common::eventually;
use crate::common::running::*;

const NETOPS: &str = "arn:aws:iam::222222222222:role/netops";

/// A command against the cloud, with the operator's key; what it prints, which must be JSON.
fn run(up: &Up, arguments: &[&str]) -> serde_json::Value {
    let output = command(up, arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {output:?}"))
}

fn command(up: &Up, arguments: &[&str]) -> std::process::Output {
    let endpoint = format!("http://{}", up.address);
    let mut command = peerway();
    command.args(arguments).args(["--output", "json", "--endpoint", &endpoint, "--data"]).arg(&up.data);
    command.env_remove("AWS_ACCESS_KEY_ID").output().expect("it starts")
}

fn assume(client: &mut Client, role: &str, more: &str) -> Result<Answer, Refusal> {
    let query = format!("Action=AssumeRole&RoleArn={role}&RoleSessionName=test&DurationSeconds=900{more}");
    client.call(Service::Sts, &query).expect("an answer")
}

#[test]
fn a_role_is_for_those_whom_its_account_trusts() {
    let place = Place::new();
    let up = Up::start(&place, &STRICT);
    let named = run(&up, &["account", "create", "shop", "--account", BOB.0]);
    assert_eq!((named["account"].as_str(), named["name"].as_str()), (Some(BOB.0), Some("shop")));
    let drawn = run(&up, &["account", "create", "network"]);
    assert_eq!(drawn["account"].as_str().map(str::len), Some(12));
    let mut alice = Client::with(up.address, create_key(&up, ALICE.0), ALICE.1);
    let mut carol = Client::with(up.address, create_key(&up, "333333333333"), ALICE.1);
    assert_eq!(run(&up, &["account", "list"]).as_array().map(Vec::len), Some(5), "with the operator's own");

    assert_eq!(assume(&mut alice, NETOPS, "").expect_err("nobody is trusted yet").code, "AccessDenied");
    let role = run(&up, &["account", "trust", NETOPS, "--by", ALICE.0, "--external-id", "shop-7"]);
    assert_eq!(role["role_arn"], NETOPS);
    assert!(!role.to_string().contains("shop-7"), "{role}");
    assert_eq!(run(&up, &["account", "roles", "--account", BOB.0]).as_array().map(Vec::len), Some(1));
    for (who, more) in [("carol", "&ExternalId=shop-7"), ("alice", ""), ("alice", "&ExternalId=shop-8")] {
        let client = if who == "carol" { &mut carol } else { &mut alice };
        let refusal = assume(client, NETOPS, more).expect_err("not trusted");
        assert_eq!((refusal.code.as_str(), refusal.status), ("AccessDenied", 403), "{who} {more}");
    }
    let answer = assume(&mut alice, NETOPS, "&ExternalId=shop-7").expect("trusted");
    let mut netops = Client::with(up.address, session_of(&answer), BOB.1);
    assert_eq!(identity(&mut netops).text("Arn"), "arn:aws:sts::222222222222:assumed-role/netops/test");
    assert_eq!(netops.ok("Action=CreateVpc&CidrBlock=10.0.0.0/16").text("ownerId"), BOB.0);

    // Who was lent a role does not make himself a key, nor lends it on.
    let theirs = format!("Action=CreateAccessKey&Account={}", BOB.0);
    let on = format!("Action=PutRole&RoleArn={NETOPS}&Trusted.1=*");
    for query in [&theirs, &on] {
        let refusal = netops.call(Service::Peerway, query).expect("an answer").expect_err("a session");
        assert_eq!((refusal.code.as_str(), refusal.status), ("AccessDenied", 403), "{query}");
    }
    // The end of the role is the end of its sessions.
    run(&up, &["account", "untrust", NETOPS]);
    assert_eq!(netops.refused("Action=DescribeVpcs").code, "AuthFailure");
    assert_eq!(assume(&mut alice, NETOPS, "&ExternalId=shop-7").expect_err("gone").code, "AccessDenied");
    up.stop();
}

#[test]
fn a_key_is_refused_while_it_is_disabled_and_when_it_is_gone() {
    let place = Place::new();
    let up = Up::start(&place, &STRICT);
    let key = create_key(&up, ALICE.0);
    let mut client = Client::with(up.address, key.clone(), ALICE.1);
    let mut session = Client::with(
        up.address,
        session_of(
            &client
                .call(Service::Sts, "Action=GetSessionToken&DurationSeconds=900")
                .expect("an answer")
                .expect("a session"),
        ),
        ALICE.1,
    );
    assert_eq!(identity(&mut session).text("Arn"), "arn:aws:iam::111111111111:root");
    let again =
        session.call(Service::Sts, "Action=GetSessionToken").expect("an answer").expect_err("a session's session");
    assert_eq!(again.code, "AccessDenied");

    assert_eq!(run(&up, &["key", "disable", &key.access_key])["status"], "Inactive");
    let refusal = client.refused("Action=DescribeVpcs");
    assert_eq!((refusal.code.as_str(), refusal.status), ("AuthFailure", 401));
    let listed = run(&up, &["key", "list", "--account", ALICE.0]);
    assert_eq!(
        (listed[0]["access_key_id"].as_str(), listed[0]["status"].as_str()),
        (Some(&*key.access_key), Some("Inactive"))
    );
    assert!(!listed.to_string().contains(&key.secret.0));
    assert_eq!(run(&up, &["key", "enable", &key.access_key])["status"], "Active");
    client.ok("Action=DescribeVpcs");
    run(&up, &["key", "delete", &key.access_key]);
    assert_eq!(client.refused("Action=DescribeVpcs").code, "AuthFailure");
    let gone = command(&up, &["key", "delete", &key.access_key]);
    assert!(!gone.status.success() && String::from_utf8_lossy(&gone.stderr).contains("NoSuchEntity"), "{gone:?}");
    let (_, operator) = operator_key(&up);
    let last = command(&up, &["key", "disable", &operator.access_key]);
    assert!(!last.status.success() && String::from_utf8_lossy(&last.stderr).contains("last key"), "{last:?}");
    up.stop();
}

#[test]
fn without_strict_auth_the_operator_needs_no_file() {
    let place = Place::new();
    let up = Up::start(&place, &["--no-packets"]);
    let key = create_key(&up, ALICE.0);
    Client::with(up.address, key, ALICE.1).ok("Action=DescribeVpcs");
    assert_eq!(run(&up, &["key", "list"]).as_array().map(Vec::len), Some(1));
    up.stop();
}

#[test]
fn events_are_told_to_those_whom_they_concern() {
    let place = Place::new();
    let up = Up::start(&place, &["--no-packets"]);
    let (mut alice, mut bob) = (up.client(ALICE), up.client(BOB));
    let mine = alice.ok("Action=CreateVpc&CidrBlock=10.16.0.0/16").text("vpcId");
    let theirs = bob.ok("Action=CreateVpc&CidrBlock=10.17.0.0/16").text("vpcId");
    let pcx = peer(&mut alice, &mut bob, &mine, &theirs);
    let lines = |account: Option<&str>, more: &[&str]| -> Vec<serde_json::Value> {
        let endpoint = format!("http://{}", up.address);
        let mut command = peerway();
        command.args(["events", "--output", "json", "--endpoint", &endpoint, "--data"]).arg(&up.data).args(more);
        match account {
            Some(account) => command.env("AWS_ACCESS_KEY_ID", account),
            None => command.env_remove("AWS_ACCESS_KEY_ID"),
        };
        let output = command.output().expect("it starts");
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    };
    let states = |account, region: &str| -> Vec<String> {
        let of_pcx = lines(account, &["--resource", &pcx, "--region", region]);
        of_pcx.iter().map(|event| event["to"].as_str().expect("a state").to_owned()).collect()
    };
    for (who, region) in [(ALICE.0, ALICE.1), (BOB.0, BOB.1)] {
        eventually("the peering is told of", || {
            states(Some(who), region).last().is_some_and(|state| state == "active")
        });
    }
    assert!(states(Some(BOB.0), ALICE.1).is_empty(), "what happens where only the other side lives");
    let seen = |account| {
        let ids = lines(account, &["--count", "1000"])
            .into_iter()
            .map(|event| event["resource_id"].as_str().expect("an id").to_owned());
        ids.collect::<std::collections::BTreeSet<_>>()
    };
    assert!(seen(Some(ALICE.0)).contains(&mine) && !seen(Some(ALICE.0)).contains(&theirs));
    assert!(seen(None).contains(&mine) && seen(None).contains(&theirs), "the operator sees all");
    let before = lines(None, &["--count", "1000"]);
    up.stop();
    // They are still known after a restart, and the numbers go on.
    let up = Up::start(&place, &["--no-packets"]);
    up.client(ALICE).ok("Action=CreateInternetGateway");
    let answer =
        up.client(("000000000000", "us-east-1")).call(Service::Peerway, "Action=DescribeEvents&MaxResults=1000");
    let numbers = answer.expect("an answer").expect("events").texts("Sequence");
    let expected: Vec<String> = (1..=before.len() + 1).map(|n| n.to_string()).collect();
    assert_eq!(numbers, expected);
    up.stop();
}

#[test]
fn each_request_is_written_down_and_no_secret_is() {
    let place = Place::new();
    // As much as can be said.
    let mut command = peerway();
    command.args(["up", "--listen", "127.0.0.1:0", "--data"]).arg(place.data()).args(STRICT);
    let log = place.path().join("trace.log");
    let errors = fs::File::create(&log).expect("a log");
    command.env("RUST_LOG", "trace");
    let up = Up::spawn_with_errors(command, &place, errors.into());
    let key = create_key(&up, ALICE.0);
    let mut client = Client::with(up.address, key.clone(), ALICE.1);
    let vpc = client.ok("Action=CreateVpc&CidrBlock=10.16.0.0/16").text("vpcId");
    let subnet = client.ok(&format!("Action=CreateSubnet&VpcId={vpc}&CidrBlock=10.16.1.0/24")).text("subnetId");
    // "echo hunter2"
    client.ok(&format!(
        "Action=RunInstances&ImageId=ami-12345678&MinCount=1&MaxCount=1&SubnetId={subnet}&UserData=ZWNobyBodW50ZXIy"
    ));
    client.refused("Action=DeleteVpc&VpcId=vpc-00000000000000000");
    let session =
        session_of(&client.call(Service::Sts, "Action=GetSessionToken").expect("an answer").expect("a session"));
    Client::with(up.address, session.clone(), ALICE.1).ok("Action=DescribeVpcs");
    let mut unsigned = client.request(Service::Ec2, "Action=DescribeVpcs", now());
    unsigned.headers.retain(|(name, _)| name != "authorization");
    assert_eq!(refused(&mut client, &unsigned).0, "MissingAuthenticationToken");
    let wrong = Credentials { secret: Secret("wrong".into()), ..key.clone() };
    Client::with(up.address, wrong, ALICE.1).refused("Action=DescribeVpcs");
    let (_, operator) = operator_key(&up);
    up.stop();

    let path = place.data().join("audit.jsonl");
    assert_eq!(path.metadata().expect("a file").permissions().mode() & 0o777, 0o600);
    let text = fs::read_to_string(&path).expect("read");
    let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let said: Vec<(&str, &str)> =
        lines.iter().map(|line| (line["action"].as_str().unwrap_or(""), line["code"].as_str().unwrap_or(""))).collect();
    let expected = [
        ("CreateAccessKey", "ok"),
        ("CreateVpc", "ok"),
        ("CreateSubnet", "ok"),
        ("RunInstances", "ok"),
        ("DeleteVpc", "InvalidVpcID.NotFound"),
        ("GetSessionToken", "ok"),
        ("DescribeVpcs", "ok"),
        ("DescribeVpcs", "MissingAuthenticationToken"),
        ("DescribeVpcs", "AuthFailure"),
    ];
    assert_eq!(said, expected);
    let made = &lines[1];
    assert_eq!((made["account"].as_str(), made["access_key_id"].as_str()), (Some(ALICE.0), Some(&*key.access_key)));
    assert!(made["source"].as_str().is_some_and(|source| source.starts_with("127.0.0.1:")) && made["status"] == 200);
    assert_eq!(lines[3]["parameters"]["UserData"], "***");
    assert_eq!(
        (&lines[7]["account"], &lines[8]["account"]),
        (&serde_json::Value::Null, &serde_json::Value::Null),
        "nobody was let in"
    );

    let token = session.token.expect("a session's").0;
    let issued = [&key.secret.0, &operator.secret.0, &session.secret.0, &token].map(String::as_str);
    let secrets = [&issued[..], &["ZWNobyBodW50ZXIy", "hunter2"]].concat();
    let log = fs::read_to_string(&log).expect("read");
    assert!(log.contains("DeleteVpc"), "it says a lot");
    for file in fs::read_dir(place.data()).expect("a directory").flatten() {
        let (path, name) = (file.path(), file.file_name().to_string_lossy().into_owned());
        if path.extension().is_some_and(|kind| kind == "jsonl") {
            let text = fs::read_to_string(&path).expect("read");
            secrets.iter().for_each(|secret| assert!(!text.contains(*secret), "a secret is in {name}"));
        }
    }
    secrets.iter().for_each(|secret| assert!(!log.contains(*secret), "a secret is in the log"));
}
