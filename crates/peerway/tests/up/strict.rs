//! `--strict-auth`: real keys only (spec 1.5.3), beginning with the operator's.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use ec2::service::Service;
use model::{Duration, Secret};

use crate::common::api::{Answer, Client, Credentials, Request, now};
use crate::common::running::*;

pub const STRICT: [&str; 3] = ["--no-packets", "--strict-auth", "--allow-clock"];

pub fn operator_key(up: &Up) -> (PathBuf, Credentials) {
    let path = up.data.join("operator-key.json");
    let key: serde_json::Value = serde_json::from_slice(&fs::read(&path).expect("the operator's key")).expect("JSON");
    assert_eq!(key["account"], "000000000000");
    (path, credentials(&key))
}

fn credentials(key: &serde_json::Value) -> Credentials {
    let text = |name: &str| key[name].as_str().unwrap_or_else(|| panic!("no {name} in {key}")).to_owned();
    Credentials { access_key: text("access_key_id"), secret: Secret(text("secret_access_key")), token: None }
}

/// What AssumeRole or GetSessionToken answered.
pub fn session_of(answer: &Answer) -> Credentials {
    Credentials {
        access_key: answer.text("AccessKeyId"),
        secret: Secret(answer.text("SecretAccessKey")),
        token: Some(Secret(answer.text("SessionToken"))),
    }
}

/// `peerway key create`, which must succeed.
pub fn create_key(up: &Up, account: &str) -> Credentials {
    let endpoint = format!("http://{}", up.address);
    let mut command = peerway();
    command
        .args(["key", "create", "--account", account, "--output", "json", "--endpoint", &endpoint, "--data"])
        .arg(&up.data);
    let output = command.output().expect("it starts");
    assert!(output.status.success(), "{output:?}");
    let key: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(key["account"], account);
    credentials(&key)
}

pub fn identity(client: &mut Client) -> Answer {
    client.call(Service::Sts, "Action=GetCallerIdentity").expect("an answer").expect("an identity")
}

/// The codes and statuses with which EC2 and STS refuse what `spoil` makes of a good request.
fn refusals(client: &mut Client, spoil: impl Fn(&mut Request)) -> [(String, u16); 2] {
    [(Service::Ec2, "Action=DescribeVpcs"), (Service::Sts, "Action=GetCallerIdentity")].map(|(service, query)| {
        let mut request = client.request(service, query, now());
        spoil(&mut request);
        refused(client, &request)
    })
}

pub fn refused(client: &mut Client, request: &Request) -> (String, u16) {
    let refusal = client.send(request).expect("an answer").expect_err("a refusal");
    assert!(!refusal.message.is_empty());
    (refusal.code, refusal.status)
}

fn codes(ec2: (&str, u16), sts: (&str, u16)) -> [(String, u16); 2] {
    [ec2, sts].map(|(code, status)| (code.to_owned(), status))
}

#[test]
fn each_way_to_be_wrong_has_its_code() {
    let place = Place::new();
    let up = Up::start(&place, &STRICT);
    let key = create_key(&up, ALICE.0);
    let mut client = Client::with(up.address, key.clone(), ALICE.1);
    client.ok("Action=DescribeVpcs");
    assert_eq!(identity(&mut client).text("Arn"), "arn:aws:iam::111111111111:root");

    let unsigned = refusals(&mut client, |request| request.headers.retain(|(name, _)| name != "authorization"));
    assert_eq!(unsigned[0], ("MissingAuthenticationToken".into(), 403));
    let tampered = refusals(&mut client, |request| request.body.extend(b"&MaxResults=5"));
    assert_eq!(tampered, codes(("AuthFailure", 401), ("SignatureDoesNotMatch", 403)));
    let port = up.address.port();
    let elsewhere = refusals(&mut client, |request| request.headers[0].1 = format!("localhost:{port}"));
    assert_eq!(elsewhere, codes(("AuthFailure", 401), ("SignatureDoesNotMatch", 403)));
    let broken = refusals(&mut client, |request| {
        let authorization = request.headers.iter_mut().find(|(name, _)| name == "authorization").expect("signed");
        authorization.1 = authorization.1.replace("SignedHeaders=", "Headers=");
    });
    assert_eq!(broken, codes(("IncompleteSignature", 400), ("IncompleteSignature", 400)));
    for off in [Duration::seconds(-16 * 60), Duration::seconds(16 * 60)] {
        let ec2 = client.request(Service::Ec2, "Action=DescribeVpcs", now() + off);
        let sts = client.request(Service::Sts, "Action=GetCallerIdentity", now() + off);
        let late = [refused(&mut client, &ec2), refused(&mut client, &sts)];
        assert_eq!(late, codes(("RequestExpired", 400), ("SignatureDoesNotMatch", 403)));
    }

    let with = |credentials: Credentials| Client::with(up.address, credentials, ALICE.1);
    let wrong_secret = Credentials { secret: Secret("wrong".into()), ..key.clone() };
    assert_eq!(refusals(&mut with(wrong_secret), |_| {}), codes(("AuthFailure", 401), ("SignatureDoesNotMatch", 403)));
    let unknown = Credentials { access_key: "AKIAAAAAAAAAAAAAAAAA".into(), ..key.clone() };
    assert_eq!(refusals(&mut with(unknown), |_| {}), codes(("AuthFailure", 401), ("InvalidClientTokenId", 403)));
    let digits = Credentials::of_account(ALICE.0);
    assert_eq!(refusals(&mut with(digits), |_| {}), codes(("AuthFailure", 401), ("InvalidClientTokenId", 403)));
    let mut lost = Client::with(up.address, key, "eu-north-1");
    let request = lost.request(Service::Ec2, "Action=DescribeVpcs", now());
    assert_eq!(refused(&mut lost, &request), ("SignatureDoesNotMatch".into(), 403));
    // Nothing of all this has harmed the honest.
    client.ok("Action=DescribeVpcs");
    up.stop();
}

#[test]
fn a_session_needs_its_token_and_ends() {
    let place = Place::new();
    let up = Up::start(&place, &STRICT);
    let mut owner = Client::with(up.address, create_key(&up, ALICE.0), ALICE.1);
    let assume = |client: &mut Client, account: &str| {
        let query = format!(
            "Action=AssumeRole&RoleArn=arn:aws:iam::{account}:role/netops&RoleSessionName=test&DurationSeconds=900"
        );
        client.call(Service::Sts, &query).expect("an answer")
    };
    let foreign = assume(&mut owner, BOB.0).expect_err("another account's role");
    assert_eq!((foreign.code.as_str(), foreign.status), ("AccessDenied", 403));
    let answer = assume(&mut owner, ALICE.0).expect("its own role");
    let session = session_of(&answer);
    let mut client = Client::with(up.address, session.clone(), ALICE.1);
    client.ok("Action=DescribeVpcs");
    assert_eq!(identity(&mut client).text("Arn"), "arn:aws:sts::111111111111:assumed-role/netops/test");

    let invalid = codes(("AuthFailure", 401), ("InvalidClientTokenId", 403));
    for token in [None, Some(Secret("another".into()))] {
        let spoilt = Credentials { token, ..session.clone() };
        assert_eq!(refusals(&mut Client::with(up.address, spoilt, ALICE.1), |_| {}), invalid);
    }
    let needless = Credentials { token: session.token, ..owner.credentials.clone() };
    assert_eq!(
        refusals(&mut Client::with(up.address, needless, ALICE.1), |_| {}),
        invalid,
        "a long-term key has no token"
    );

    let answer = owner.call(Service::Peerway, "Action=AdvanceClock&Seconds=901").expect("an answer");
    answer.expect("the clock moves");
    assert_eq!(refusals(&mut client, |_| {}), codes(("RequestExpired", 400), ("ExpiredToken", 403)));
    owner.ok("Action=DescribeVpcs");
    up.stop();
}

#[test]
fn the_operator_makes_keys_for_any_account_and_others_for_their_own() {
    let place = Place::new();
    let up = Up::start(&place, &STRICT);
    let (path, operator) = operator_key(&up);
    assert_eq!(path.metadata().expect("a file").permissions().mode() & 0o777, 0o600);
    assert_eq!(operator.access_key.len(), 20);
    let ask = |credentials: &Credentials, account: &str| {
        let mut client = Client::with(up.address, credentials.clone(), ALICE.1);
        client.call(Service::Peerway, &format!("Action=CreateAccessKey&Account={account}")).expect("an answer")
    };
    let alice = create_key(&up, ALICE.0);
    assert!(ask(&alice, ALICE.0).is_ok());
    for account in [BOB.0, "000000000000"] {
        let refusal = ask(&alice, account).expect_err("not hers");
        assert_eq!((refusal.code.as_str(), refusal.status), ("AccessDenied", 403));
    }
    assert!(ask(&operator, BOB.0).is_ok() && ask(&operator, "000000000000").is_ok());
    let malformed = ask(&operator, "12345").expect_err("no account");
    assert_eq!(malformed.status, 400);

    // For people: a table, the secret once; the failures name the way out.
    let endpoint = format!("http://{}", up.address);
    let run = |arguments: &[&str]| {
        peerway().args(["key", "create", "--endpoint", &endpoint]).args(arguments).output().expect("it starts")
    };
    let data = up.data.display().to_string();
    let output = run(&["--account", BOB.0, "--data", &data]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("SECRET ACCESS KEY") && text.contains("AKIA"), "{output:?}");
    let output = run(&["--account", BOB.0, "--data", "/nowhere"]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && text.contains("/nowhere/operator-key.json") && text.contains("--data"),
        "{text}"
    );
    up.stop();
    let output = run(&["--account", BOB.0, "--data", &data]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && text.contains(&endpoint) && text.contains("--endpoint"), "{text}");
}

#[test]
fn the_operators_key_survives_restarts_and_a_crash_at_its_making() {
    let place = Place::new();
    let up = Up::start(&place, &STRICT);
    let (path, operator) = operator_key(&up);
    let alice = create_key(&up, ALICE.0);
    up.stop();

    let up = Up::start(&place, &STRICT);
    assert_eq!(operator_key(&up).1.access_key, operator.access_key, "the same key");
    identity(&mut Client::with(up.address, alice, ALICE.1));
    up.stop();

    // As after a crash between the file and the commit: the file is there, its key is not known.
    let file = fs::read(&path).expect("read");
    fs::remove_dir_all(place.data().join("regions")).expect("removed");
    let up = Up::start(&place, &STRICT);
    assert_eq!(fs::read(&path).expect("read"), file);
    assert_eq!(identity(&mut Client::with(up.address, operator.clone(), ALICE.1)).text("Account"), "000000000000");
    up.stop();

    // Kept elsewhere, it is still the key, and no other is made.
    fs::remove_file(&path).expect("removed");
    let up = Up::start(&place, &STRICT);
    assert!(!path.exists());
    identity(&mut Client::with(up.address, operator, ALICE.1));
    up.stop();

    for wrong in ["", "{}", r#"{"account":"111111111111","access_key_id":"AKIA","secret_access_key":"x"}"#] {
        fs::write(&path, wrong).expect("written");
        let output = peerway()
            .args(["up", "--listen", "127.0.0.1:0", "--data"])
            .arg(place.data())
            .args(STRICT)
            .output()
            .expect("it starts");
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && text.contains(&path.display().to_string()), "{text}");
    }
}
