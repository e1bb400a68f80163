//! A client of the EC2 Query protocol over one kept connection (RFC 9112), as small as a load generator should be.
//!
//! It signs nothing: `peerway up` takes an access key of twelve digits for that account without asking for the signature, and
//! moto never asks.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};

/// A server that says nothing for this long is given up.
const SILENCE: Duration = Duration::from_secs(60);
const HEAD_LINES_MAX: usize = 64;
const BODY_MAX: usize = 64 << 20;
const ACCOUNT: &str = "111111111111";

#[derive(Debug)]
pub(super) struct Client {
    address: SocketAddr,
    region: &'static str,
    account: &'static str,
    connection: Option<BufReader<TcpStream>>,
    body: Vec<u8>,
}

impl Client {
    /// Connects with the first call.
    pub(super) fn new(address: SocketAddr, region: &'static str) -> Client {
        Client::of_account(address, region, ACCOUNT)
    }

    /// As [`Client::new`], in another account's name.
    pub(super) fn of_account(address: SocketAddr, region: &'static str, account: &'static str) -> Client {
        Client { address, region, account, connection: None, body: Vec::new() }
    }

    /// Calls an action; the XML of the answer.
    ///
    /// # Errors
    /// When the connection breaks, or the answer is an error.
    pub(super) fn call(&mut self, action: &str, parameters: &[(&str, &str)]) -> Result<&str> {
        let request = self.request(action, parameters)?;
        let status =
            self.exchange(&request).inspect_err(|_| self.connection = None).with_context(|| action.to_owned())?;
        let text = std::str::from_utf8(&self.body).context("the answer is not UTF-8")?;
        if status != 200 {
            let message = element(text, "Message").unwrap_or(text);
            bail!("{action}: {status} {}: {message}", element(text, "Code").unwrap_or_default());
        }
        Ok(text)
    }

    /// Calls an action; the text of the first such element of its answer.
    pub(super) fn ask(&mut self, action: &str, parameters: &[(&str, &str)], name: &str) -> Result<String> {
        let text = self.call(action, parameters)?;
        element(text, name).map(String::from).with_context(|| format!("{action}: the answer has no <{name}>"))
    }

    fn request(&self, action: &str, parameters: &[(&str, &str)]) -> Result<Vec<u8>> {
        let mut body = format!("Action={action}&Version=2016-11-15");
        for (key, value) in parameters {
            let _ = write!(body, "&{key}=");
            percent_encode(value, &mut body);
        }
        let time = basic_time(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs());
        let (day, region, account) = (&time[..8], self.region, self.account);
        Ok(format!(
            "POST / HTTP/1.1\r\nHost: {}\r\nContent-Type: application/x-www-form-urlencoded; charset=utf-8\r\n\
             Content-Length: {}\r\nX-Amz-Date: {time}\r\nAuthorization: AWS4-HMAC-SHA256 \
             Credential={account}/{day}/{region}/ec2/aws4_request, SignedHeaders=host;x-amz-date, Signature=00\r\n\r\n{body}",
            self.address,
            body.len()
        )
        .into_bytes())
    }

    /// Sends and reads one answer into `body`; its status.
    fn exchange(&mut self, request: &[u8]) -> Result<u16> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => connect(self.address)?,
        };
        connection.get_mut().write_all(request)?;
        let head = Head::read(&mut connection)?;
        self.body.clear();
        match head.length {
            Some(length) if length > BODY_MAX => bail!("a body of {length} bytes is over the limit of {BODY_MAX}"),
            Some(length) => {
                self.body.resize(length, 0);
                connection.read_exact(&mut self.body)?;
            }
            None => {
                connection.by_ref().take(BODY_MAX as u64).read_to_end(&mut self.body)?;
            }
        }
        if head.keeps && head.length.is_some() {
            self.connection = Some(connection);
        }
        Ok(head.status)
    }
}

fn connect(address: SocketAddr) -> Result<BufReader<TcpStream>> {
    let stream = TcpStream::connect(address).with_context(|| format!("cannot connect to {address}"))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(SILENCE))?;
    Ok(BufReader::with_capacity(1 << 16, stream))
}

#[derive(Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    length: Option<usize>,
    /// Whether the connection can be used again.
    keeps: bool,
}

impl Head {
    fn read(from: &mut impl BufRead) -> Result<Head> {
        let mut line = String::new();
        from.read_line(&mut line)?;
        let mut words = line.split(' ');
        let version = words.next().unwrap_or_default();
        let status = words
            .next()
            .and_then(|word| word.trim().parse().ok())
            .with_context(|| format!("`{}` is no answer", line.trim()))?;
        let mut head = Head { status, length: None, keeps: version == "HTTP/1.1" };
        for _ in 0..HEAD_LINES_MAX {
            line.clear();
            from.read_line(&mut line)?;
            let Some((name, value)) = line.trim().split_once(':') else { return Ok(head) };
            let value = value.trim();
            match name.to_ascii_lowercase().as_str() {
                "content-length" => head.length = Some(value.parse().context("the length of the body")?),
                "connection" => head.keeps = value.eq_ignore_ascii_case("keep-alive"),
                "transfer-encoding" => bail!("transfer encoding {value} is not read here"),
                _ => {}
            }
        }
        bail!("the head has more than {HEAD_LINES_MAX} lines")
    }
}

/// The text of the first element of this name that has nothing but text.
pub(super) fn element<'x>(xml: &'x str, name: &str) -> Option<&'x str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    Some(rest.split_once("</")?.0)
}

/// The texts of all elements of this name that have nothing but text.
pub(super) fn elements(xml: &str, name: &str) -> Vec<String> {
    let begin = format!("<{name}>");
    xml.split(begin.as_str()).skip(1).filter_map(|rest| Some(rest.split_once("</")?.0.to_owned())).collect()
}

/// RFC 3986: everything but the unreserved characters.
fn percent_encode(text: &str, into: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            into.push(char::from(byte));
        } else {
            let _ = write!(into, "%{byte:02X}");
        }
    }
}

/// Seconds since 1970 in ISO 8601's basic format, as in `20260115T120000Z`.
pub(super) fn basic_time(seconds: u64) -> String {
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Days in the era of 400 years that begins on the first of March 2000 minus some eras; March first, so that the leap day is
    // the last of its year.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!("{year:04}{month:02}{day:02}T{:02}{:02}{:02}Z", second / 3600, second / 60 % 60, second % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_of_the_calendar() {
        assert_eq!(basic_time(0), "19700101T000000Z");
        assert_eq!(basic_time(951_782_400), "20000229T000000Z");
        assert_eq!(basic_time(1_767_225_599), "20251231T235959Z");
        assert_eq!(basic_time(1_768_478_400), "20260115T120000Z");
    }

    #[test]
    fn heads_say_whether_the_connection_stays() -> Result<()> {
        let read = |text: &str| Head::read(&mut text.as_bytes());
        let head = read("HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n")?;
        assert_eq!(head, Head { status: 200, length: Some(12), keeps: true });
        assert!(!read("HTTP/1.0 400 BAD REQUEST\r\ncontent-length: 0\r\n\r\n")?.keeps);
        assert!(!read("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")?.keeps);
        assert!(read("nonsense\r\n\r\n").is_err());
        assert!(read("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").is_err());
        Ok(())
    }

    #[test]
    fn elements_are_found() {
        let xml = "<a><vpcs><vpcId>vpc-1</vpcId></vpcs><vpcId>vpc-2</vpcId></a>";
        assert_eq!(element(xml, "vpcId"), Some("vpc-1"));
        assert_eq!(element(xml, "subnetId"), None);
        assert_eq!(elements(xml, "vpcId"), ["vpc-1", "vpc-2"]);
    }

    #[test]
    fn parameters_are_encoded() {
        let mut text = String::new();
        percent_encode("10.0.0.0/16 a", &mut text);
        assert_eq!(text, "10.0.0.0%2F16%20a");
    }
}
