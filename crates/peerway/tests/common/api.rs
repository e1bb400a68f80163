//! A client in the fewest lines: one connection, requests signed by our own signer.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, SystemTime};

use ec2::service::Service;
use ec2::signature::{Signed, Signer};
use model::{Secret, Time};

/// With what the client signs.
#[derive(Clone, Debug)]
pub struct Credentials {
    pub access_key: String,
    pub secret: Secret,
    pub token: Option<Secret>,
}

impl Credentials {
    /// Without `--strict-auth` the access key is the account.
    pub fn of_account(account: &str) -> Credentials {
        Credentials { access_key: account.into(), secret: Secret("any".into()), token: None }
    }
}

#[derive(Debug)]
pub struct Client {
    pub address: SocketAddr,
    pub region: &'static str,
    pub credentials: Credentials,
    connection: Option<BufReader<TcpStream>>,
}

/// A refusal.
#[derive(Debug)]
pub struct Refusal {
    pub status: u16,
    pub code: String,
    pub message: String,
}

/// A document that says yes.
#[derive(Debug)]
pub struct Answer(pub String);

/// A request, ready to be sent or to be spoiled first.
#[derive(Clone, Debug)]
pub struct Request {
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

pub fn now() -> Time {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a clock after 1970");
    Time::from_unix_millis(i64::try_from(since.as_millis()).expect("a clock before the year 292 million"))
}

impl Client {
    pub fn new(address: SocketAddr, account: &str, region: &'static str) -> Client {
        Client::with(address, Credentials::of_account(account), region)
    }

    pub fn with(address: SocketAddr, credentials: Credentials, region: &'static str) -> Client {
        Client { address, region, credentials, connection: None }
    }

    /// An EC2 action that must succeed, with parameters as `Name=value&..`.
    pub fn ok(&mut self, query: &str) -> Answer {
        let answer = self.call(Service::Ec2, query).unwrap_or_else(|error| panic!("{query}: {error}"));
        answer.unwrap_or_else(|refusal| panic!("{query}: {refusal:?}"))
    }

    /// An EC2 action that must be refused.
    pub fn refused(&mut self, query: &str) -> Refusal {
        match self.call(Service::Ec2, query).unwrap_or_else(|error| panic!("{query}: {error}")) {
            Ok(answer) => panic!("{query} succeeded: {}", answer.0),
            Err(refusal) => refusal,
        }
    }

    /// The outer error: no answer came, so nobody knows whether it happened.
    pub fn call(&mut self, service: Service, query: &str) -> io::Result<Result<Answer, Refusal>> {
        let request = self.request(service, query, now());
        self.send(&request)
    }

    /// The request as signed at a moment.
    pub fn request(&self, service: Service, query: &str, at: Time) -> Request {
        let body = format!("Version={}&{query}", service.version()).into_bytes();
        let mut headers = vec![
            ("host".to_owned(), self.address.to_string()),
            ("content-type".to_owned(), "application/x-www-form-urlencoded; charset=utf-8".to_owned()),
        ];
        let Credentials { access_key, secret, token } = &self.credentials;
        let signer = Signer { access_key, secret, token: token.as_ref(), region: self.region, service: service.name() };
        let added = signer.sign(&Signed { method: "POST", path: "/", query: "", headers: &headers, body: &body }, at);
        headers.extend(added);
        Request { headers, body }
    }

    pub fn send(&mut self, request: &Request) -> io::Result<Result<Answer, Refusal>> {
        let result = self.exchange(request);
        if result.is_err() {
            self.connection = None;
        }
        let (status, body) = result?;
        if status == 200 {
            return Ok(Ok(Answer(body)));
        }
        let answer = Answer(body);
        Ok(Err(Refusal { status, code: answer.text("Code"), message: answer.text("Message") }))
    }

    fn exchange(&mut self, request: &Request) -> io::Result<(u16, String)> {
        if self.connection.is_none() {
            let connection = TcpStream::connect_timeout(&self.address, Duration::from_secs(10))?;
            connection.set_nodelay(true)?;
            connection.set_read_timeout(Some(Duration::from_secs(30)))?;
            self.connection = Some(BufReader::new(connection));
        }
        let connection = self.connection.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        let headers: String = request.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let head = format!("POST / HTTP/1.1\r\n{headers}content-length: {}\r\n\r\n", request.body.len());
        connection.get_mut().write_all(&[head.as_bytes(), &request.body].concat())?;
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if connection.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            match line.trim_end() {
                "" => break,
                line => lines.push(line.to_ascii_lowercase()),
            }
        }
        let status = lines.first().and_then(|line| line.split(' ').nth(1)?.parse().ok());
        let length = lines.iter().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        let (Some(status), Some(length)) = (status, length) else { return Err(io::ErrorKind::InvalidData.into()) };
        let mut body = vec![0; length];
        connection.read_exact(&mut body)?;
        Ok((status, String::from_utf8(body).map_err(io::Error::other)?))
    }
}

impl Answer {
    /// The text of the first element of that name.
    pub fn text(&self, name: &str) -> String {
        self.texts(name).into_iter().next().unwrap_or_else(|| panic!("no <{name}> in {}", self.0))
    }

    /// The texts of all elements of that name, in order.
    pub fn texts(&self, name: &str) -> Vec<String> {
        let document = roxmltree::Document::parse(&self.0).unwrap_or_else(|error| panic!("{error}: {}", self.0));
        let named = document.descendants().filter(|node| node.tag_name().name() == name);
        named.map(|node| node.text().unwrap_or_default().to_owned()).collect()
    }

    /// The document without what differs between two answers to one question.
    pub fn without_request_id(&self) -> String {
        let (before, rest) = self.0.split_once("<requestId>").unwrap_or_else(|| panic!("no request id: {}", self.0));
        let (_, after) = rest.split_once("</requestId>").unwrap_or_else(|| panic!("no request id: {}", self.0));
        format!("{before}{after}")
    }
}
