//! `peerway key`: access keys for accounts, asked for with the operator's key (spec 1.5).

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use anyhow::{Context, anyhow, bail};
use ec2::service::Service;
use ec2::signature::{Signed, Signer};
use model::Time;
use server::OperatorKey;

use crate::cli::{KeyCreateOptions, Output};
use crate::host;
use crate::table::Table;

/// A key is made in milliseconds.
const PATIENCE: Duration = Duration::from_secs(30);
/// The longest answer, in bytes.
const ANSWER_MAX: u64 = 1 << 20;
/// In the scope of the signature: the service is global, so any region will do.
const REGION: &str = "us-east-1";

/// Makes a key and shows it; the server keeps no way to show the secret again.
pub fn create(options: &KeyCreateOptions) -> anyhow::Result<ExitCode> {
    let data = options.data.clone().map_or_else(host::default_data, Ok)?;
    let operator = OperatorKey::read(&data).with_context(|| {
        format!(
            "cannot use the operator's key {}; `peerway up --strict-auth` makes it in its data directory, name that with --data",
            OperatorKey::path(&data).display()
        )
    })?;
    let service = Service::Peerway;
    let body = format!("Action=CreateAccessKey&Version={}&Account={}", service.version(), options.account);
    let answer = ask(&options.endpoint, &operator, service, &body)?;
    let document =
        roxmltree::Document::parse(&answer.body).context("the answer is no XML; is this the API of a peerway?")?;
    let text = |name: &str| {
        let found = document.descendants().find(|node| node.tag_name().name() == name).and_then(|node| node.text());
        found.ok_or_else(|| anyhow!("the answer has no {name}"))
    };
    if answer.status != "200" {
        bail!("{}: {}", text("Code")?, text("Message")?);
    }
    let (account, id, secret) = (text("Account")?, text("AccessKeyId")?, text("SecretAccessKey")?);
    match options.output {
        Output::Json => {
            let key = serde_json::json!({ "account": account, "access_key_id": id, "secret_access_key": secret });
            println!("{}", serde_json::to_string_pretty(&key)?);
        }
        Output::Table => {
            let mut table = Table::new(&["account", "access key id", "secret access key"]);
            table.row(&[account.into(), id.into(), secret.into()]);
            print!("{table}");
            println!("\nThe secret is not shown again.");
        }
    }
    Ok(ExitCode::SUCCESS)
}

struct Answer {
    status: String,
    body: String,
}

/// One signed request to an endpoint.
fn ask(endpoint: &str, operator: &OperatorKey, service: Service, body: &str) -> anyhow::Result<Answer> {
    let authority = authority(endpoint)?;
    let headers = [("host", authority), ("content-type", "application/x-www-form-urlencoded; charset=utf-8")];
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let signer = Signer {
        access_key: &operator.access_key_id,
        secret: &operator.secret_access_key,
        token: None,
        region: REGION,
        service: service.name(),
    };
    let since =
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).context("the machine's clock is before 1970")?;
    let now = Time::from_unix_millis(i64::try_from(since.as_millis())?);
    let added =
        signer.sign(&Signed { method: "POST", path: "/", query: "", headers: &headers, body: body.as_bytes() }, now);
    let headers: String = headers.iter().chain(&added).map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let request =
        format!("POST / HTTP/1.1\r\n{headers}connection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let answer = exchange(authority, &request).with_context(|| {
        format!("the API at {endpoint} does not answer; start it with `peerway up --strict-auth`, or name another with --endpoint")
    })?;
    let (head, body) = answer.split_once("\r\n\r\n").context("the answer is no HTTP; is this the API of a peerway?")?;
    Ok(Answer { status: head.split(' ').nth(1).unwrap_or_default().into(), body: body.into() })
}

fn exchange(authority: &str, request: &str) -> io::Result<String> {
    let address = authority.to_socket_addrs()?.next().ok_or(io::ErrorKind::AddrNotAvailable)?;
    let mut connection = TcpStream::connect_timeout(&address, PATIENCE)?;
    connection.set_read_timeout(Some(PATIENCE))?;
    connection.set_write_timeout(Some(PATIENCE))?;
    connection.write_all(request.as_bytes())?;
    let mut answer = String::new();
    connection.take(ANSWER_MAX).read_to_string(&mut answer)?;
    Ok(answer)
}

/// Host and port of `http://host:port`.
fn authority(endpoint: &str) -> anyhow::Result<&str> {
    let authority = endpoint.strip_prefix("http://").map(|rest| rest.strip_suffix('/').unwrap_or(rest));
    let is_port = |port: &str| port.parse::<u16>().is_ok();
    let found = authority
        .filter(|authority| authority.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && is_port(port)));
    let found =
        found.filter(|authority| authority.bytes().all(|b| b.is_ascii_alphanumeric() || b".-:[]_".contains(&b)));
    found.ok_or_else(|| anyhow!("`{endpoint}` is not an endpoint such as http://127.0.0.1:4588"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_a_host_and_a_port() {
        for (endpoint, expected) in [
            ("http://127.0.0.1:4588", "127.0.0.1:4588"),
            ("http://localhost:1/", "localhost:1"),
            ("http://[::1]:4588", "[::1]:4588"),
        ] {
            assert_eq!(authority(endpoint).unwrap(), expected);
        }
        for wrong in [
            "",
            "127.0.0.1:4588",
            "https://a:1",
            "http://a",
            "http://a:x",
            "http://:1",
            "http://a:1/path",
            "http://a:1\r\nx:1",
        ] {
            assert!(authority(wrong).unwrap_err().to_string().contains("http://127.0.0.1:4588"), "{wrong}");
        }
    }
}
