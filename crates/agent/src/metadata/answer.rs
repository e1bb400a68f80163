//! A request's answer: who may ask, what for, and how it is written (EC2's IMDSv1 and IMDSv2).

use std::fmt::Write;

use model::Time;

use super::request::{Method, Request};
use super::subject::Subject;
use super::token::{TTL_SECS, Tokens};
use super::tree::{Tree, VERSIONS};

const TOKEN_PATH: &str = "/latest/api/token";

/// What is said, before it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
    /// How long the token in the body is valid, in seconds.
    pub(crate) token_ttl: Option<u32>,
}

impl Answer {
    fn of(body: impl Into<Vec<u8>>) -> Answer {
        Answer { status: 200, body: body.into(), token_ttl: None }
    }

    /// The page that says so.
    pub(crate) fn refused(status: u16) -> Answer {
        let title = format!("{status} - {}", reason(status));
        let page = format!(
            "<?xml version=\"1.0\" encoding=\"iso-8859-1\"?>\n\
             <!DOCTYPE html PUBLIC \"-//W3C//DTD XHTML 1.0 Transitional//EN\" \"http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd\">\n\
             <html xmlns=\"http://www.w3.org/1999/xhtml\" xml:lang=\"en\" lang=\"en\">\n <head>\n  <title>{title}</title>\n </head>\n \
             <body>\n  <h1>{title}</h1>\n </body>\n</html>\n"
        );
        Answer { status, body: page.into_bytes(), token_ttl: None }
    }

    /// The bytes of the response.
    pub(crate) fn write(&self, is_head: bool, keeps_alive: bool) -> Vec<u8> {
        let kind = if self.status == 200 { "text/plain" } else { "text/html" };
        let mut head = format!("HTTP/1.1 {} {}\r\n", self.status, reason(self.status));
        let _ = write!(head, "Content-Type: {kind}\r\nContent-Length: {}\r\nServer: EC2ws\r\n", self.body.len());
        if let Some(ttl) = self.token_ttl {
            let _ = write!(head, "X-Aws-Ec2-Metadata-Token-Ttl-Seconds: {ttl}\r\n");
        }
        let _ = write!(head, "Connection: {}\r\n\r\n", if keeps_alive { "keep-alive" } else { "close" });
        let mut bytes = head.into_bytes();
        if !is_head {
            bytes.extend_from_slice(&self.body);
        }
        bytes
    }
}

/// What the instance is told.
pub(crate) fn answer(subject: &Subject<'_>, tokens: &Tokens, request: &Request, now: Time) -> Answer {
    let options = subject.instance.metadata;
    if !options.is_enabled {
        return Answer::refused(403);
    }
    match request.method {
        Method::Put if request.path == TOKEN_PATH => return token(subject, tokens, request, now),
        Method::Get | Method::Head => {}
        Method::Put | Method::Other => return Answer::refused(405),
    }
    let may_ask = match &request.token {
        Some(token) => tokens.holds(token, subject.instance.id, now),
        None => !options.requires_token,
    };
    if !may_ask {
        return Answer::refused(401);
    }
    let found = find(subject, &request.path);
    found.map_or_else(|| Answer::refused(404), Answer::of)
}

fn token(subject: &Subject<'_>, tokens: &Tokens, request: &Request, now: Time) -> Answer {
    // A proxy that lets itself be talked into asking gives itself away by this field.
    if request.is_forwarded {
        return Answer::refused(403);
    }
    let wanted = request.token_ttl.as_deref().and_then(|text| text.parse().ok());
    match wanted.filter(|seconds| TTL_SECS.contains(seconds)) {
        None => Answer::refused(400),
        Some(seconds) => {
            let token = tokens.issue(subject.instance.id, seconds, now);
            Answer { token_ttl: Some(seconds), ..Answer::of(token) }
        }
    }
}

fn find(subject: &Subject<'_>, path: &str) -> Option<Vec<u8>> {
    let path = path.strip_prefix('/')?;
    if path.is_empty() {
        return Some(VERSIONS.join("\n").into_bytes());
    }
    let (version, rest) = path.split_once('/').unwrap_or((path, ""));
    VERSIONS.contains(&version).then(|| Tree::of(subject).get(rest)).flatten()
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        413 => "Content Too Large",
        431 => "Request Header Fields Too Large",
        _ => "Internal Server Error",
    }
}
