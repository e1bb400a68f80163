//! What is asked of a running control plane with the operator's key: Peerway's own service, over the API.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, anyhow};
use ec2::service::Service;
use ec2::signature::{Signed, Signer};
use model::{AccountId, Secret, Time};
use server::OperatorKey;

use crate::cli::OperatorOptions;
use crate::client::form_encode;
use crate::host;
use crate::https::{self, Connection};

/// What is asked takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(30);
/// The longest answer, in bytes.
const ANSWER_MAX: u64 = 16 << 20;
/// In the scope of the signature: the service is global, so any region will do.
const REGION: &str = "us-east-1";

/// The operator of a running control plane.
pub struct Operator<'o> {
    endpoint: &'o str,
    data: PathBuf,
    keys: Keys,
    /// There is no file of the key: a cloud that takes accounts at their word needs none.
    lacks_file: bool,
}

/// A document that says yes.
pub struct Reply(String);

impl<'o> Operator<'o> {
    /// # Errors
    /// A key in the data directory that cannot be read.
    pub fn of(options: &'o OperatorOptions) -> anyhow::Result<Operator<'o>> {
        let data = options.data.clone().map_or_else(host::default_data, Ok)?;
        let lacks_file = !OperatorKey::path(&data).exists();
        Ok(Operator { endpoint: &options.endpoint, keys: Keys::of_operator(Some(data.as_path()))?, data, lacks_file })
    }

    /// An action of Peerway's own service.
    ///
    /// # Errors
    /// The service's refusal; no answer.
    pub fn ask(&self, action: &str, parameters: &[(&str, &str)]) -> anyhow::Result<Reply> {
        let service = Service::Peerway;
        let mut body = format!("Action={action}&Version={}", service.version());
        for (name, value) in parameters {
            body.push_str(&format!("&{name}={}", form_encode(value)));
        }
        let answer = ask(self.endpoint, &self.keys, Some(&self.data), service, &body)?;
        let reply = Reply::of(&answer);
        if answer.status != "200" {
            let refusal = anyhow!("{}: {}", reply.text("Code")?, reply.text("Message")?);
            if self.lacks_file {
                return Err(refusal.context(format!(
                    "there is no operator's key {}; `peerway server` and `peerway up --strict-auth` make it in their data directory, \
                     name that with --data",
                    OperatorKey::path(&self.data).display()
                )));
            }
            return Err(refusal);
        }
        Ok(reply)
    }
}

/// An action of Peerway's own service that takes no parameters; a cloud that takes accounts at their word needs no key.
///
/// # Errors
/// The service's refusal; no answer.
pub fn ask_plainly(options: &OperatorOptions, action: &str) -> anyhow::Result<Reply> {
    let service = Service::Peerway;
    let body = format!("Action={action}&Version={}", service.version());
    let data = options.data.as_deref();
    let answer = ask(&options.endpoint, &Keys::of_operator(data)?, data, service, &body)?;
    let reply = Reply(answer.body);
    if answer.status != "200" {
        return Err(anyhow!("{}: {}", reply.text("Code")?, reply.text("Message")?));
    }
    Ok(reply)
}

impl Reply {
    pub fn of(answer: &Answer) -> Reply {
        Reply(answer.body.clone())
    }

    /// What is read of each item of a list.
    ///
    /// # Errors
    /// For an answer that is no document.
    pub fn items<T>(&self, list: &str, read: impl Fn(&roxmltree::Node<'_, '_>) -> T) -> anyhow::Result<Vec<T>> {
        let items = self.element(list, |list| {
            list.children().filter(roxmltree::Node::is_element).map(|item| read(&item)).collect()
        });
        Ok(items?.unwrap_or_default())
    }

    /// What is read of the first element of that name, if there is one.
    ///
    /// # Errors
    /// For an answer that is no document.
    pub fn element<T>(&self, name: &str, read: impl Fn(&roxmltree::Node<'_, '_>) -> T) -> anyhow::Result<Option<T>> {
        let document = self.document()?;
        let found = document.descendants().find(|node| node.tag_name().name() == name);
        Ok(found.map(|node| read(&node)))
    }

    /// The text of the first element of that name.
    ///
    /// # Errors
    /// Without one.
    pub fn text(&self, name: &str) -> anyhow::Result<String> {
        let document = self.document()?;
        let found = document.descendants().find(|node| node.tag_name().name() == name).and_then(|node| node.text());
        found.map(Into::into).ok_or_else(|| anyhow!("the answer has no {name}"))
    }

    /// The texts of these members of each item of a list.
    ///
    /// # Errors
    /// For an answer that is no document.
    pub fn rows<const N: usize>(&self, list: &str, members: [&str; N]) -> anyhow::Result<Vec<[String; N]>> {
        let text = |item: &roxmltree::Node<'_, '_>, name: &str| {
            let member = item.children().find(|node| node.tag_name().name() == name);
            member.and_then(|node| node.text()).unwrap_or_default().to_owned()
        };
        self.items(list, |item| members.map(|name| text(item, name)))
    }

    fn document(&self) -> anyhow::Result<roxmltree::Document<'_>> {
        roxmltree::Document::parse(&self.0).context("the answer is no XML; is this the API of a peerway?")
    }
}

pub struct Answer {
    pub status: String,
    pub body: String,
}

/// With what a request is signed.
pub struct Keys {
    access_key: String,
    secret: Secret,
    token: Option<Secret>,
}

impl From<&OperatorKey> for Keys {
    fn from(key: &OperatorKey) -> Keys {
        Keys { access_key: key.access_key_id.clone(), secret: key.secret_access_key.clone(), token: None }
    }
}

impl Keys {
    /// Those that AWS's own tools would take from the environment.
    pub fn of_environment() -> Option<Keys> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let access_key = variable("AWS_ACCESS_KEY_ID")?;
        let secret = Secret(variable("AWS_SECRET_ACCESS_KEY").unwrap_or_else(|| "any".into()));
        Some(Keys { access_key, secret, token: variable("AWS_SESSION_TOKEN").map(Secret) })
    }

    /// The operator's; a cloud that takes accounts at their word has no file of them and needs none.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn of_operator(data: Option<&Path>) -> anyhow::Result<Keys> {
        let data = data.map_or_else(host::default_data, |data| Ok(data.to_path_buf()))?;
        match OperatorKey::read(&data) {
            Ok(key) => Ok(Keys::from(&key)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Ok(Keys { access_key: AccountId::OPERATOR.to_string(), secret: Secret("any".into()), token: None })
            }
            Err(error) => Err(error)
                .with_context(|| format!("cannot use the operator's key {}", OperatorKey::path(&data).display())),
        }
    }
}

/// One signed request to an endpoint. `data`: where the certificate of its authority is, if it has one of its own.
///
/// # Errors
/// An endpoint that is none; no answer.
pub fn ask(endpoint: &str, keys: &Keys, data: Option<&Path>, service: Service, body: &str) -> anyhow::Result<Answer> {
    let (authority, is_tls) = authority(endpoint)?;
    let headers = [("host", authority), ("content-type", "application/x-www-form-urlencoded; charset=utf-8")];
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let signer = Signer {
        access_key: &keys.access_key,
        secret: &keys.secret,
        token: keys.token.as_ref(),
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
    let tls = is_tls.then_some(data);
    let answer = exchange(authority, tls, &request).with_context(|| {
        format!("the API at {endpoint} does not answer; start it with `peerway server` or `peerway up --strict-auth`, or name another with --endpoint")
    })?;
    let (head, body) = answer.split_once("\r\n\r\n").context("the answer is no HTTP; is this the API of a peerway?")?;
    Ok(Answer { status: head.split(' ').nth(1).unwrap_or_default().into(), body: body.into() })
}

fn exchange(authority: &str, tls: Option<Option<&Path>>, request: &str) -> anyhow::Result<String> {
    let address = authority.to_socket_addrs()?.next().ok_or(io::Error::from(io::ErrorKind::AddrNotAvailable))?;
    let connection = TcpStream::connect_timeout(&address, PATIENCE)?;
    connection.set_read_timeout(Some(PATIENCE))?;
    connection.set_write_timeout(Some(PATIENCE))?;
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    let mut connection: Box<dyn Connection> = match tls {
        None => Box::new(connection),
        Some(data) => https::wrap(connection, host, data)?,
    };
    connection.write_all(request.as_bytes())?;
    let mut answer = String::new();
    connection.take(ANSWER_MAX).read_to_string(&mut answer)?;
    Ok(answer)
}

/// Host and port of `http://host:port` or `https://host:port`, and whether by TLS.
fn authority(endpoint: &str) -> anyhow::Result<(&str, bool)> {
    let https = endpoint.strip_prefix("https://");
    let authority = https.or(endpoint.strip_prefix("http://")).map(|rest| rest.strip_suffix('/').unwrap_or(rest));
    let is_port = |port: &str| port.parse::<u16>().is_ok();
    let found = authority
        .filter(|authority| authority.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && is_port(port)));
    let found =
        found.filter(|authority| authority.bytes().all(|b| b.is_ascii_alphanumeric() || b".-:[]_".contains(&b)));
    let found = found.map(|authority| (authority, https.is_some()));
    found.ok_or_else(|| anyhow!("`{endpoint}` is not an endpoint such as http://127.0.0.1:4588"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_a_host_and_a_port() {
        for (endpoint, expected) in [
            ("http://127.0.0.1:4588", ("127.0.0.1:4588", false)),
            ("http://localhost:1/", ("localhost:1", false)),
            ("http://[::1]:4588", ("[::1]:4588", false)),
            ("https://[::1]:4588/", ("[::1]:4588", true)),
        ] {
            assert_eq!(authority(endpoint).unwrap(), expected);
        }
        for wrong in [
            "",
            "127.0.0.1:4588",
            "ftp://a:1",
            "https://a",
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
