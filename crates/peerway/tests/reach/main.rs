//! `peerway reach` as its users have it: the built binary asks a running `peerway up`, in each of the mistakes of the mission.

#[path = "../common/mod.rs"]
mod common;

use std::fs;
use std::process::{Command, Output};

use common::api::Client;
use common::running::*;

/// Two accounts in two regions, a VPC with an instance each, and nothing between them yet.
struct Mission {
    place: Place,
    up: Up,
    alice: Client,
    bob: Client,
    a: Network,
    b: Network,
    web: Guest,
    db: Guest,
}

impl Mission {
    fn new() -> Mission {
        Mission::with(&["--no-packets"])
    }

    fn with(arguments: &[&str]) -> Mission {
        let place = Place::new();
        let up = Up::start(&place, arguments);
        let (mut alice, mut bob) = (up.client(ALICE), up.client(BOB));
        let (a, b) = (network(&mut alice, "10.16"), network(&mut bob, "10.17"));
        let web = guests(&mut alice, &a.subnet, 1, "").remove(0);
        let db = guests(&mut bob, &b.subnet, 1, "").remove(0);
        for (client, guest, name) in [(&mut alice, &web, "web"), (&mut bob, &db, "db")] {
            client.ok(&format!("Action=CreateTags&ResourceId.1={}&Tag.1.Key=Name&Tag.1.Value={name}", guest.id));
        }
        Mission { place, up, alice, bob, a, b, web, db }
    }

    /// As the operator, who sees everything, or as an account.
    fn reach(&self, account: Option<&str>, arguments: &[&str]) -> Output {
        self.question(account, &self.up, arguments).output().expect("it starts")
    }

    /// A question whose model is that of `asked`, about the packets of this cloud.
    fn question(&self, account: Option<&str>, asked: &Up, arguments: &[&str]) -> Command {
        let mut command = peerway();
        let endpoint = format!("http://{}", asked.address);
        command
            .current_dir(self.place.path())
            .arg("reach")
            .args(arguments)
            .args(["--endpoint", &endpoint, "--data"])
            .arg(&self.up.data);
        for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL"] {
            command.env_remove(name);
        }
        if let Some(account) = account {
            command.env("AWS_ACCESS_KEY_ID", account);
        }
        command
    }

    /// A control plane without packets, on a copy of this cloud as it is now.
    fn copy(&self, place: &Place) -> Up {
        let (endpoint, backup) = (format!("http://{}", self.up.address), place.path().join("backup"));
        let mut made = peerway();
        made.args(["backup", "--endpoint", &endpoint, "--data"]).arg(&self.up.data).arg(&backup);
        let mut taken = peerway();
        taken.args(["restore", "--data"]).arg(place.data()).arg(&backup);
        for mut command in [made, taken] {
            let output = command.output().expect("it starts");
            assert!(output.status.success(), "{output:?}");
        }
        Up::start(place, &["--no-packets"])
    }

    fn report(&self, account: Option<&str>, arguments: &[&str]) -> serde_json::Value {
        let output = self.reach(account, &[arguments, &["--output", "json"]].concat());
        let report: serde_json::Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
        let expected = if report["reachable"] == true { 0 } else { 1 };
        assert_eq!(output.status.code(), Some(expected), "{report}");
        report
    }

    /// Reasons and accounts of what stands in the way of web to db, by TCP to port 5432.
    fn blockers(&self, account: Option<&str>, to: &str) -> Vec<(String, String)> {
        let report = self.report(account, &["web", to, "--port", "tcp/5432"]);
        let blockers = report["answers"][0]["cases"][0]["blockers"].as_array().expect("a list").clone();
        let text = |value: &serde_json::Value| value.as_str().unwrap_or("hidden").to_owned();
        blockers.iter().map(|blocker| (text(&blocker["reason"]), text(&blocker["account"]))).collect()
    }

    fn file(&self, name: &str, lines: &[String]) -> String {
        let path = self.place.path().join(name);
        fs::write(&path, lines.join("\n")).expect("a file");
        path.to_str().expect("UTF-8").into()
    }

    /// The text with ids and addresses by what they are.
    fn named(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (id, name) in
            [(&self.a.vpc, "vpc-A"), (&self.b.vpc, "vpc-B"), (&self.web.address, "WEB"), (&self.db.address, "DB")]
        {
            text = text.replace(id, name);
        }
        // Every other id by its kind.
        let mut out = String::new();
        for word in text.split_inclusive([' ', '\n', '(', ')', ',', ';', '"']) {
            let bare = word.trim_end_matches([' ', '\n', '(', ')', ',', ';', '"']);
            let is_id = bare
                .rsplit_once('-')
                .is_some_and(|(_, digits)| digits.len() == 17 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
            let kind = bare.rsplit_once('-').map_or(bare, |(kind, _)| kind);
            out.push_str(&if is_id { word.replace(bare, &kind.to_uppercase()) } else { word.into() });
        }
        out
    }
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(a, b)| ((*a).into(), (*b).into())).collect()
}

const A: &str = ALICE.0;
const B: &str = BOB.0;

#[test]
fn each_mistake_of_the_mission_is_named_until_none_is_left() {
    let mut mission = Mission::new();

    // No peering at all, no route, and nobody let in.
    assert_eq!(mission.blockers(None, "db"), pairs(&[("D08", A), ("D22", B), ("D08", B)]));
    let report = mission.report(None, &["web", "db", "--port", "tcp/5432"]);
    let first = &report["answers"][0]["cases"][0]["blockers"][0];
    assert_eq!(first["explanation_code"], "DISCONNECTED_VPCS");
    assert_eq!(first["mends"].as_array().expect("a list").len(), 3, "create, accept, route: {first}");

    // Peered: the routes are missing.
    let (a, b) = (mission.a.vpc.clone(), mission.b.vpc.clone());
    let pcx = peer(&mut mission.alice, &mut mission.bob, &a, &b);
    assert_eq!(mission.blockers(None, "db"), pairs(&[("D08", A), ("D22", B), ("D08", B)]));
    route(&mut mission.alice, &a, "10.17.0.0/16", &pcx);
    assert_eq!(mission.blockers(None, "db"), pairs(&[("D22", B), ("D08", B)]));

    // Alice sees her side only; what she may not know does not exist for her.
    let address = mission.db.address.clone();
    assert_eq!(mission.blockers(Some(A), &address), pairs(&[("hidden", B), ("hidden", B)]));
    let output = mission.reach(Some(A), &["web", &address, "--port", "tcp/5432"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("blocked on the accepter's side"), "{text}");
    assert!(!text.contains("sg-") || !text.contains("D22"), "{text}");
    let output = mission.reach(Some(A), &["web", &mission.db.id]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("InvalidInstanceID.NotFound"), "{output:?}");

    // What if, without doing it.
    let group = mission
        .bob
        .ok(&format!("Action=DescribeSecurityGroups&Filter.1.Name=vpc-id&Filter.1.Value.1={b}"))
        .text("groupId");
    let table = mission
        .bob
        .ok(&format!("Action=DescribeRouteTables&Filter.1.Name=vpc-id&Filter.1.Value.1={b}"))
        .text("routeTableId");
    let calls = mission.file("calls.jsonl", &[
        "# what Bob would do".into(),
        format!(
            r#"{{"Action": "AuthorizeSecurityGroupIngress", "Account": "{B}", "Region": "{}", "GroupId": "{group}", "IpPermissions": [{{"IpProtocol": "tcp", "FromPort": 5432, "ToPort": 5432, "IpRanges": [{{"CidrIp": "10.16.0.0/16"}}]}}]}}"#,
            BOB.1
        ),
        format!(
            r#"{{"Action": "CreateRoute", "Account": "{B}", "Region": "{}", "RouteTableId": "{table}", "DestinationCidrBlock": "10.16.0.0/16", "VpcPeeringConnectionId": "{pcx}"}}"#,
            BOB.1
        ),
    ]);
    let report = mission.report(None, &["web", "db", "--port", "tcp/5432", "--what-if", &calls]);
    assert_eq!((&report["reachable"], &report["reachable_now"]), (&true.into(), &false.into()), "{report}");
    assert_eq!(mission.blockers(None, "db"), pairs(&[("D22", B), ("D08", B)]), "nothing was stored");
    let output = mission.reach(Some(A), &["web", &address, "--what-if", &calls]);
    assert_eq!(output.status.code(), Some(2), "calls of another account: {output:?}");

    // The rest, by hand.
    mission.bob.ok(&format!(
        "Action=AuthorizeSecurityGroupIngress&GroupId={group}&IpPermissions.1.IpProtocol=tcp&IpPermissions.1.FromPort=5432&\
         IpPermissions.1.ToPort=5432&IpPermissions.1.IpRanges.1.CidrIp=10.16.0.0%2F16"
    ));
    assert_eq!(mission.blockers(None, "db"), pairs(&[("D08", B)]));
    route(&mut mission.bob, &b, "10.16.0.0/16", &pcx);
    assert_eq!(mission.blockers(None, "db"), pairs(&[]));

    // Expectations, as CI holds them.
    let expectations = mission.file(
        "expect.jsonl",
        &[
            r#"{"from": "web", "to": "db", "port": "tcp/5432", "expect": "allow"}"#.into(),
            r#"{"from": "web", "to": "db", "port": "tcp/22", "expect": "deny", "name": "no shell"}"#.into(),
        ],
    );
    let output = mission.reach(None, &["--assert", &expectations]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("2 of 2 as expected"), "{output:?}");
    let wrong =
        mission.file("wrong.jsonl", &[r#"{"from": "web", "to": "db", "port": "tcp/22", "expect": "allow"}"#.into()]);
    let output = mission.reach(None, &["--assert", &wrong, "--output", "junit"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let report = String::from_utf8(output.stdout).expect("UTF-8");
    let report = roxmltree::Document::parse(&report).expect("XML");
    let failure = report.descendants().find(|node| node.has_tag_name("failure")).expect("a failure");
    assert!(failure.attribute("message").is_some_and(|text| text.contains("D22")), "{failure:?}");

    // The peering goes: both ends have dead routes, and the way to mend it is a new one.
    mission.alice.ok(&format!("Action=DeleteVpcPeeringConnection&VpcPeeringConnectionId={pcx}"));
    common::eventually("both regions know", || mission.blockers(None, "db") == pairs(&[("D09", A), ("D09", B)]));
    mission.up.stop();
}

#[test]
fn the_ladder_is_what_it_is() {
    let mut mission = Mission::new();
    let (a, b) = (mission.a.vpc.clone(), mission.b.vpc.clone());
    let pcx = peer(&mut mission.alice, &mut mission.bob, &a, &b);
    route(&mut mission.alice, &a, "10.17.0.0/16", &pcx);
    route(&mut mission.bob, &b, "10.16.0.0/16", &pcx);
    let output = mission.reach(None, &["web", "db", "--port", "tcp/5432"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let text = mission.named(&String::from_utf8(output.stdout).expect("UTF-8"));
    assert_eq!(text, LADDER, "{text}");
    mission.up.stop();
}

/// With every id by its kind.
const LADDER: &str = include_str!("ladder.txt");

/// On one host, and sealed between two.
#[test]
fn a_real_packet_fares_as_the_model_says() {
    for arguments in [&[][..], &["--hosts", "2"]] {
        let mut mission = Mission::with(arguments);
        let (a, b) = (mission.a.vpc.clone(), mission.b.vpc.clone());
        let pcx = peer(&mut mission.alice, &mut mission.bob, &a, &b);
        route(&mut mission.alice, &a, "10.17.0.0/16", &pcx);
        route(&mut mission.bob, &b, "10.16.0.0/16", &pcx);
        let probe = |mission: &Mission, code: i32| {
            let output = mission.reach(None, &["web", "db", "--port", "tcp/5432", "--probe", "--output", "json"]);
            assert_eq!(output.status.code(), Some(code), "{arguments:?} {output:?}\n{}", mission.up.log());
            let answer: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
            let probe = answer["probes"][0].clone();
            assert_eq!(probe["agrees"], true, "{probe}");
            probe["seen"].clone()
        };
        let seen = probe(&mission, 1);
        let verdict = if seen["at_destination"].is_string() { &seen["at_destination"] } else { &seen["at_source"] };
        assert!(verdict.as_str().is_some_and(|verdict| verdict.starts_with("D22")), "{seen}");
        admit(&mut mission.bob, &b, "10.16.0.0/16");
        let seen = probe(&mission, 0);
        // Nobody listens there, and the guest's kernel says so.
        assert_eq!((&seen["at_source"], &seen["is_answered"]), (&"pass".into(), &true.into()), "{seen}");
        next_packet_is_seen(&mission);
        mission.up.stop();
    }
}

/// `--watch` waits for what the instance sends by itself.
fn next_packet_is_seen(mission: &Mission) {
    let address = mission.db.address.clone();
    let output = std::thread::scope(|scope| {
        let watching = scope.spawn(|| mission.reach(None, &["web", "db", "--port", "tcp/7777", "--watch"]));
        common::eventually("the packet is seen", || {
            mission.up.exec(&mission.web.id, &["bash", "-c", &format!("exec 3<>/dev/tcp/{address}/7777")]);
            watching.is_finished()
        });
        watching.join().expect("no panic")
    });
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("says the same") && text.contains(":7777"), "{text}");
}

/// The model is asked of a copy of the control plane that has heard other rules than the host: so it says otherwise than the packet
/// fares, as if the two had parted. A copy of before a rule was made, and of before it was taken back.
#[test]
fn a_packet_that_fares_otherwise_is_a_loud_mismatch() {
    let mut mission = Mission::with(&[]);
    let (a, b) = (mission.a.vpc.clone(), mission.b.vpc.clone());
    let pcx = peer(&mut mission.alice, &mut mission.bob, &a, &b);
    route(&mut mission.alice, &a, "10.17.0.0/16", &pcx);
    route(&mut mission.bob, &b, "10.16.0.0/16", &pcx);
    let group = mission
        .bob
        .ok(&format!("Action=DescribeSecurityGroups&Filter.1.Name=vpc-id&Filter.1.Value.1={b}"))
        .text("groupId");
    let probe = |mission: &Mission, asked: &Up| {
        let arguments = ["web", "db", "--port", "tcp/5432", "--ip-version", "4", "--probe"];
        mission.question(None, asked, &arguments).output().expect("it starts")
    };
    let bundles = |mission: &Mission| -> Vec<std::path::PathBuf> {
        let entries =
            fs::read_dir(mission.place.path()).expect("a directory").map(|entry| entry.expect("an entry").path());
        let is_bundle = |path: &std::path::PathBuf| path.to_string_lossy().contains("peerway-mismatch-");
        entries.filter(is_bundle).collect()
    };
    // What is said, and what the bundle holds.
    let mismatch = |mission: &Mission, output: &Output, seen: &str, said: &[&str]| {
        assert_eq!(output.status.code(), Some(3), "{output:?}\n{}", mission.up.log());
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(out.contains("SAYS OTHERWISE"), "{out}");
        let [path] = &bundles(mission)[..] else { panic!("{:?}", bundles(mission)) };
        assert!(err.contains("MODEL MISMATCH") && err.contains(path.file_name().unwrap().to_str().unwrap()), "{err}");
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(path).expect("a file").permissions().mode() & 0o777, 0o600);
        let bundle: serde_json::Value = serde_json::from_slice(&fs::read(path).expect("a file")).expect("JSON");
        let probe = &bundle["probes"][0];
        assert_eq!(probe["agrees"], false, "{bundle}");
        assert!(probe["seen"]["at_source"].as_str().is_some_and(|verdict| verdict.starts_with(seen)), "{probe}");
        assert!(probe["seen"]["lines"].as_array().is_some_and(|lines| !lines.is_empty()), "{probe}");
        let blockers = probe["said"]["answers"][0]["cases"][0]["blockers"].as_array().expect("a list");
        let reasons: Vec<&str> = blockers.iter().filter_map(|blocker| blocker["reason"].as_str()).collect();
        assert_eq!(reasons, said, "{probe}");
        assert_eq!(bundle["version"], env!("CARGO_PKG_VERSION"));
        fs::remove_file(path).expect("a file");
    };

    let (shut, open) = (Place::new(), Place::new());
    let refusing = mission.copy(&shut);
    assert_eq!(probe(&mission, &refusing).status.code(), Some(1), "as long as both refuse, they agree");
    admit(&mut mission.bob, &b, "10.16.0.0/16");
    mismatch(&mission, &probe(&mission, &refusing), "pass", &["D22"]);
    let admitting = mission.copy(&open);
    assert_eq!(probe(&mission, &admitting).status.code(), Some(0), "both admit it");
    mission.bob.ok(&format!(
        "Action=RevokeSecurityGroupIngress&GroupId={group}&IpPermissions.1.IpProtocol=-1&IpPermissions.1.IpRanges.1.CidrIp=10.16.0.0/16"
    ));
    mismatch(&mission, &probe(&mission, &admitting), "D22", &[]);
    assert_eq!(bundles(&mission), Vec::<std::path::PathBuf>::new(), "nothing is written where they agree");
    for up in [refusing, admitting, mission.up] {
        up.stop();
    }
}

/// A subnet, or a block: the answer says for which part it holds.
#[test]
fn a_set_is_answered_by_its_parts() {
    let mut mission = Mission::new();
    let (a, b) = (mission.a.vpc.clone(), mission.b.vpc.clone());
    let pcx = peer(&mut mission.alice, &mut mission.bob, &a, &b);
    route(&mut mission.alice, &a, "10.17.0.0/16", &pcx);
    route(&mut mission.bob, &b, "10.16.0.0/16", &pcx);
    admit(&mut mission.bob, &b, "10.16.0.0/16");
    let group = mission
        .bob
        .ok(&format!("Action=CreateSecurityGroup&GroupName=shut&GroupDescription=d&VpcId={b}"))
        .text("groupId");
    let shut = guests(&mut mission.bob, &mission.b.subnet, 1, "").remove(0);
    let interface = described(&mut mission.bob, &shut.id).text("networkInterfaceId");
    mission.bob.ok(&format!(
        "Action=ModifyNetworkInterfaceAttribute&NetworkInterfaceId={interface}&SecurityGroupId.1={group}"
    ));
    let (from, to) = (mission.a.subnet.clone(), mission.b.subnet.clone());
    let parts = |report: &serde_json::Value| -> Vec<(String, bool, bool)> {
        let cases = report["answers"][0]["cases"].as_array().expect("a list").clone();
        let joined = |list: &serde_json::Value| -> String {
            let list = list.as_array().expect("a list").iter();
            list.map(|text| text.as_str().expect("text")).collect::<Vec<_>>().join(" ")
        };
        cases
            .iter()
            .map(|case| (joined(&case["destinations"]), case["reachable"] == true, case["vacant"] == true))
            .collect()
    };
    let report = mission.report(None, &[&from, &to, "--port", "tcp/5432"]);
    let seen = parts(&report);
    assert!(seen.contains(&(mission.db.address.clone(), true, false)), "{seen:?}");
    assert!(seen.contains(&(shut.address.clone(), false, false)), "{seen:?}");
    assert!(seen.iter().any(|(_, reachable, vacant)| !reachable && *vacant), "{seen:?}");
    assert_eq!(report["answers"][0]["cases"][0]["sources"][0], mission.web.address.as_str(), "{report}");
    let verdict = report["verdict"].as_str().expect("text");
    assert!(verdict.contains(&format!("REACHABLE IN PART: to {}", mission.db.address)), "{verdict}");
    // One of them alone is all of its block.
    let report = mission.report(None, &["web", &format!("{}/32", mission.db.address), "--port", "tcp/5432"]);
    assert_eq!(report["reachable"], true, "{report}");
    // An account is not told who of the other's is there, and may not name the other's subnet.
    let report = mission.report(Some(A), &[&from, "10.17.1.0/24", "--port", "tcp/5432"]);
    let seen = parts(&report);
    assert_eq!(seen.len(), 2, "{seen:?}");
    assert!(seen.iter().all(|(_, _, vacant)| !vacant), "{seen:?}");
    assert_eq!(mission.reach(Some(A), &[&from, &to]).status.code(), Some(2));
    // People read it too.
    let output = mission.reach(None, &[&from, &to, "--port", "tcp/5432"]);
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(text.contains("nobody has it") && text.contains(&format!("to {}", shut.address)), "{text}");
    mission.up.stop();
}

#[test]
fn questions_that_are_none_end_with_2() {
    let mission = Mission::new();
    for (arguments, why) in [
        (&["web", "nobody"][..], "Name tag"),
        (&["10.99.0.1", "db"], "Nothing that you may know of"),
        (&["web", "db", "--ip-version", "6"], "IPv6"),
        (&["i-0123456789abcdef0", "db"], "InvalidInstanceID.NotFound"),
        (&["web"], "DST"),
        (&["web", "db", "--port", "http"], "tcp/443"),
        (&["--assert", "/nowhere.jsonl"], "cannot read"),
    ] {
        let output = mission.reach(None, arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(why), "{arguments:?}: {output:?}");
    }
    mission.up.stop();
}
