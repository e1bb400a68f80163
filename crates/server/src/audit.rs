//! Who asked what, from where, and what came of it: one line of JSON for each request, the refused ones too.
//!
//! A line is made from what is left of a request when it is answered, and is written by a thread of its own ([`crate::lines`]). No secret
//! gets there: parameters are shown as [`ec2::redact`] allows, headers not at all.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Instant;

use ec2::service::Service;
use ec2::{Caller, Node, redact};
use hyper::header::{HeaderMap, USER_AGENT};
use model::{AccountId, Region, Time};
use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use crate::lines::{Bounds, Lines};
use crate::region::machine_time;

/// Beside the files that were put aside, inside the data directory.
const NAME: &str = "audit";
const BOUNDS: Bounds = Bounds { queue: 4096, bytes: 32 << 20, old_files: 7 };

/// Which requests are written down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AuditScope {
    #[default]
    All,
    /// What changes something, and what is refused.
    Changes,
    Off,
}

/// The log; `None`: nowhere to keep it, or not wanted.
pub(crate) struct Audit {
    scope: AuditScope,
    lines: Option<Lines<Entry>>,
}

/// What is known of a request so far.
pub(crate) struct Trail {
    pub(crate) request_id: String,
    source: SocketAddr,
    user_agent: Option<String>,
    began: Instant,
    at: Time,
    /// In the signature, proven or not.
    pub(crate) access_key: Option<String>,
    pub(crate) who: Option<Who>,
    pub(crate) service: Option<Service>,
    pub(crate) action: String,
    pub(crate) form: Option<Node>,
}

/// Who was let in, and where to.
pub(crate) struct Who {
    pub(crate) caller: Caller,
    pub(crate) region: Region,
    pub(crate) is_proven: bool,
}

impl Trail {
    pub(crate) fn new(source: SocketAddr, request_id: String, headers: &HeaderMap) -> Trail {
        let user_agent = headers.get(USER_AGENT).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        Trail {
            request_id,
            source,
            user_agent,
            began: Instant::now(),
            at: machine_time(),
            access_key: None,
            who: None,
            service: None,
            action: String::new(),
            form: None,
        }
    }
}

impl Audit {
    /// # Errors
    /// The kernel's.
    pub(crate) fn open(data: Option<&Path>, scope: AuditScope) -> std::io::Result<Audit> {
        let wanted = data.filter(|_| scope != AuditScope::Off);
        Ok(Audit { scope, lines: wanted.map(|data| Lines::open(data, NAME, BOUNDS)).transpose()? })
    }

    /// A request that was answered.
    pub(crate) fn record(&self, trail: Trail, status: u16, code: &str) {
        let Some(lines) = &self.lines else { return };
        let reads = ["Describe", "Get", "List"].iter().any(|verb| trail.action.starts_with(verb));
        if self.scope == AuditScope::Changes && reads && status < 400 {
            return;
        }
        let micros = u64::try_from(trail.began.elapsed().as_micros()).unwrap_or(u64::MAX);
        lines.put(Entry { trail, status, code: code.to_owned(), micros });
    }

    /// Requests that were not written down because too many waited, or the disk did not take them.
    pub(crate) fn lost(&self) -> u64 {
        self.lines.as_ref().map_or(0, Lines::lost)
    }

    pub(crate) fn close(&self) {
        self.lines.iter().for_each(Lines::close);
    }
}

/// One line; made by the thread that writes it.
struct Entry {
    trail: Trail,
    status: u16,
    code: String,
    micros: u64,
}

impl Serialize for Entry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Trail { request_id, source, user_agent, at, access_key, who, service, action, form, .. } = &self.trail;
        let short = |text: &String| redact::shortened(text);
        let (parameters, more) = form.as_ref().map(redact::parameters).unwrap_or_default();
        let authentication = match who {
            Some(who) if who.is_proven => "signature",
            Some(_) => "taken at its word",
            None => "none",
        };
        let account: Option<AccountId> = who.as_ref().map(|who| who.caller.account);
        let mut line = serializer.serialize_struct("Entry", 16)?;
        line.serialize_field("time", &at.to_string())?;
        line.serialize_field("request_id", request_id)?;
        line.serialize_field("source", source)?;
        line.serialize_field("user_agent", &user_agent.as_ref().map(short))?;
        line.serialize_field("authentication", authentication)?;
        line.serialize_field("account", &account)?;
        line.serialize_field("arn", &who.as_ref().map(|who| &who.caller.arn))?;
        line.serialize_field("access_key_id", &access_key.as_ref().map(short))?;
        line.serialize_field("service", &service.map(Service::name))?;
        line.serialize_field("region", &who.as_ref().map(|who| who.region))?;
        line.serialize_field("action", &short(action))?;
        line.serialize_field("parameters", &parameters.into_iter().collect::<BTreeMap<_, _>>())?;
        line.serialize_field("parameters_left_out", &more)?;
        line.serialize_field("code", &self.code)?;
        line.serialize_field("status", &self.status)?;
        line.serialize_field("duration_us", &self.micros)?;
        line.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trail(action: &str, form: &str) -> Trail {
        let mut headers = HeaderMap::new();
        headers.insert(USER_AGENT, "aws-cli/2".parse().unwrap());
        headers.insert("authorization", "AWS4-HMAC-SHA256 Signature=c2VjcmV0".parse().unwrap());
        let mut trail = Trail::new("127.0.0.1:5".parse().unwrap(), "id".into(), &headers);
        trail.action = action.into();
        trail.form = Node::parse(form.as_bytes()).ok();
        trail
    }

    fn written(scope: AuditScope, record: impl Fn(&Audit)) -> String {
        let data = tempfile::tempdir().unwrap();
        let audit = Audit::open(Some(data.path()), scope).unwrap();
        record(&audit);
        audit.close();
        std::fs::read_to_string(data.path().join("audit.jsonl")).unwrap_or_default()
    }

    #[test]
    fn a_line_says_who_what_from_where_and_what_came_of_it() {
        let text = written(AuditScope::All, |audit| {
            let mut made = trail("RunInstances", "Action=RunInstances&UserData=c2VjcmV0&MinCount=1");
            let caller = Caller::root("111111111111".parse().unwrap());
            made.who = Some(Who { caller, region: "eu-west-1".parse().unwrap(), is_proven: true });
            (made.service, made.access_key) = (Some(Service::Ec2), Some("AKIA1".into()));
            audit.record(made, 200, "ok");
            audit.record(trail("DeleteVpc", "Action=DeleteVpc&x=\\u0000\n"), 403, "MissingAuthenticationToken");
        });
        let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let said =
            |line: &serde_json::Value, names: &[&str]| names.iter().map(|name| line[name].clone()).collect::<Vec<_>>();
        let names = [
            "account",
            "region",
            "action",
            "source",
            "code",
            "status",
            "authentication",
            "access_key_id",
            "request_id",
        ];
        let expected =
            ["111111111111", "eu-west-1", "RunInstances", "127.0.0.1:5", "ok", "200", "signature", "AKIA1", "id"];
        let texts: Vec<String> = said(&lines[0], &names)
            .iter()
            .map(|value| value.as_str().map_or_else(|| value.to_string(), Into::into))
            .collect();
        assert_eq!(texts, expected);
        assert_eq!(
            lines[0]["parameters"],
            serde_json::json!({"Action": "RunInstances", "MinCount": "1", "UserData": "***"})
        );
        assert_eq!(
            said(&lines[1], &["account", "authentication", "code"]),
            ["null", "\"none\"", "\"MissingAuthenticationToken\""]
                .map(|text| serde_json::from_str::<serde_json::Value>(text).unwrap())
        );
        assert!(!text.contains("c2VjcmV0"), "{text}");
    }

    #[test]
    fn reads_are_left_out_where_only_changes_are_wanted_unless_they_are_refused() {
        let count = |scope| {
            let text = written(scope, |audit| {
                audit.record(trail("DescribeVpcs", ""), 200, "ok");
                audit.record(trail("DescribeVpcs", ""), 401, "AuthFailure");
                audit.record(trail("CreateVpc", ""), 200, "ok");
            });
            text.lines().count()
        };
        assert_eq!([AuditScope::All, AuditScope::Changes, AuditScope::Off].map(count), [3, 2, 0]);
    }
}
