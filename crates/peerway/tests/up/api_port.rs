//! The API's port: by TLS, by which names, for no web page (abuse case 45), and not for those who only hold on to it.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use ec2::service::Service;
use rustix::process::{Pid, Signal, kill_process};

use super::strict::{STRICT, create_key};
use crate::common::api::{Client, now};
use crate::common::running::*;

/// The status of a request as it stands.
fn status(address: SocketAddr, request: &str) -> String {
    let mut connection = TcpStream::connect(address).expect("it listens");
    connection.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
    // It may be refused before it is all there.
    let _ = connection.write_all(request.as_bytes());
    let mut answer = String::new();
    let _ = connection.read_to_string(&mut answer);
    answer.split(' ').nth(1).unwrap_or_default().to_owned()
}

fn vpcs(up: &Up) -> usize {
    up.client(ALICE).ok("Action=DescribeVpcs").texts("vpcId").len()
}

#[test]
fn a_page_in_a_browser_gets_nothing_done() {
    let place = Place::new();
    let up = Up::start(&place, &["--no-packets", "--api-name", "cloud.example", "--quota", "vpcs=50"]);
    let address = up.address;
    let before = vpcs(&up);
    let form = "Action=CreateVpc&Version=2016-11-15&CidrBlock=10.0.0.0/16";
    let signed = |host: &str, more: &str| {
        let mut request = up.client(ALICE).request(Service::Ec2, "Action=CreateVpc&CidrBlock=10.0.0.0/16", now());
        request.headers[0].1 = host.into();
        let headers: String = request.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let body = String::from_utf8(request.body).expect("UTF-8");
        format!("POST / HTTP/1.1\r\n{headers}{more}connection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len())
    };
    // By a name that somebody made to lead here.
    for host in ["evil.example", "evil.example:4588", "localhost.evil.example", ""] {
        assert_eq!(status(address, &signed(host, "")), "403", "{host}");
    }
    // From a page, whatever name it used.
    for header in [
        "origin: https://evil.example\r\n",
        "origin: null\r\n",
        "sec-fetch-site: cross-site\r\n",
        "sec-fetch-site: same-origin\r\n",
    ] {
        assert_eq!(status(address, &signed(&address.to_string(), header)), "403", "{header}");
    }
    // A browser asks first where a request is not a simple one; it is not told yes.
    let ask = format!(
        "OPTIONS / HTTP/1.1\r\nhost: {address}\r\norigin: https://evil.example\r\naccess-control-request-method: POST\r\nconnection: close\r\n\r\n"
    );
    assert_eq!(status(address, &ask), "403");
    // An image or a link: nothing but a query, with an account that is taken at its word elsewhere.
    let day = now().to_string().replace(['-', ':'], "");
    let (day, moment) = (&day[..8], format!("{}Z", &day[..15]));
    let query = format!(
        "{form}&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={}%2F{day}%2Fus-east-1%2Fec2%2Faws4_request&X-Amz-Date={moment}\
         &X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Signature=00",
        ALICE.0
    );
    assert_eq!(
        status(address, &format!("GET /?{query} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n")),
        "401"
    );
    for wrong in ["", &format!("host: {address}\r\nhost: {address}\r\n")] {
        let request = format!("GET /?Action=DescribeVpcs HTTP/1.1\r\n{wrong}connection: close\r\n\r\n");
        assert_eq!(status(address, &request), "400", "{wrong}");
    }
    let target = format!(
        "GET http://evil.example/?Action=DescribeVpcs HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n"
    );
    assert_eq!(status(address, &target), "403");
    assert_eq!(vpcs(&up), before, "nothing of it was done");
    // Those who may.
    let port = address.port();
    for host in [
        format!("localhost:{port}"),
        "LOCALHOST".into(),
        "[::1]".into(),
        "cloud.example:1".into(),
        "ec2.localhost".into(),
    ] {
        assert_eq!(status(address, &signed(&host, "")), "200", "{host}");
    }
    up.stop();
}

#[test]
fn an_address_that_others_reach_is_not_served_in_clear_unless_told() {
    let place = Place::new();
    let run = |command: &str, more: &[&str]| {
        let mut started = peerway();
        started.args([command, "--data"]).arg(place.data()).args(more).output().expect("it starts")
    };
    let server = ["--hosts-listen", "127.0.0.1:0", "--listen", "0.0.0.0:0"];
    for (command, arguments) in [("up", &["--no-packets", "--listen", "0.0.0.0:0"][..]), ("server", &server[..])] {
        let output = run(command, arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains("--tls") && said.contains("--allow-plain-http"), "{said}");
    }
    assert!(!place.data().exists(), "nothing was begun");
    let output = run("up", &["--no-packets", "--tls-cert", "/nowhere.pem"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("--tls-key"), "{output:?}");
    let output = run(
        "up",
        &["--no-packets", "--listen", "127.0.0.1:0", "--tls-cert", "/nowhere.pem", "--tls-key", "/nowhere.key"],
    );
    assert!(!output.status.success() && String::from_utf8_lossy(&output.stderr).contains("/nowhere.pem"), "{output:?}");
}

/// `peerway up --tls`; ended when dropped.
struct Secure(Child, String);

impl Secure {
    fn start(place: &Place, more: &[&str]) -> Secure {
        let mut command: Command = peerway();
        command.args(["up", "--no-packets", "--listen", "127.0.0.1:0", "--data"]).arg(place.data()).args(more);
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it starts");
        let mut first = String::new();
        BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut first).expect("a line");
        let endpoint = first.trim_end().strip_prefix("endpoint ").unwrap_or_else(|| panic!("{first}")).to_owned();
        assert!(endpoint.starts_with("https://127.0.0.1:"), "{endpoint}");
        Secure(child, endpoint)
    }

    fn address(&self) -> SocketAddr {
        self.1.strip_prefix("https://").and_then(|address| address.parse().ok()).expect("an address")
    }

    fn list(&self, endpoint: &str, data: &std::path::Path, trust: Option<&std::path::Path>) -> std::process::Output {
        let mut command = peerway();
        command.args(["key", "list", "--output", "json", "--endpoint", endpoint, "--data"]).arg(data);
        match trust {
            Some(path) => command.env("AWS_CA_BUNDLE", path),
            None => command.env_remove("AWS_CA_BUNDLE"),
        };
        command.output().expect("it starts")
    }
}

impl Drop for Secure {
    fn drop(&mut self) {
        let pid = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw);
        pid.map(|pid| kill_process(pid, Signal::INT));
        let _ = self.0.wait();
    }
}

#[test]
fn tls_proves_whom_one_speaks_to() {
    let place = Place::new();
    let cloud = Secure::start(&place, &["--tls", "--strict-auth"]);
    let listed = cloud.list(&cloud.1, &place.data(), None);
    assert!(listed.status.success(), "{listed:?}");
    let by_name = cloud.list(&cloud.1.replace("127.0.0.1", "localhost"), &place.data(), None);
    assert!(by_name.status.success(), "{by_name:?}");
    // Not by an authority that is another cloud's, nor in clear.
    let other = Place::new();
    drop(Secure::start(&other, &["--tls"]));
    let stranger = cloud.list(&cloud.1, &place.data(), Some(&other.data().join("api-ca.pem")));
    assert!(
        !stranger.status.success() && String::from_utf8_lossy(&stranger.stderr).contains("certificate"),
        "{stranger:?}"
    );
    assert!(
        !["200", "401", "403"]
            .contains(&&*status(cloud.address(), "GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"))
    );
    let ca = fs::read_to_string(place.data().join("api-ca.pem")).expect("read");
    assert!(ca.starts_with("-----BEGIN CERTIFICATE-----") && !ca.contains("PRIVATE"), "{ca}");
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &place.data().join("api-authority.json").metadata().expect("a file").permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);
    drop(cloud);
    // A restart is the same cloud to those who trusted it.
    let again = Secure::start(&place, &["--tls", "--strict-auth"]);
    assert_eq!(fs::read_to_string(place.data().join("api-ca.pem")).expect("read"), ca);
    assert!(again.list(&again.1, &place.data(), None).status.success());
}

#[test]
fn a_head_without_end_is_cut_off() {
    let place = Place::new();
    let up = Up::start(&place, &STRICT);
    let many: String = (0..65).map(|n| format!("x-{n}: y\r\n")).collect();
    let long = format!("x: {}\r\n", "y".repeat(2 << 20));
    for headers in [many, long] {
        let request =
            format!("GET /?Action=DescribeVpcs HTTP/1.1\r\nhost: localhost\r\n{headers}connection: close\r\n\r\n");
        assert!(["431", "400", ""].contains(&&*status(up.address, &request)), "{}", headers.len());
    }
    Client::with(up.address, create_key(&up, ALICE.0), ALICE.1).ok("Action=DescribeVpcs");
    up.stop();
}
