//! By which names the API may be asked, and by whom not (abuse case 45).
//!
//! Whoever owns a name can make it lead to this machine (DNS rebinding); then a page of his in a browser here speaks to the API as if it
//! were his own server. An address cannot be made to lead elsewhere, nor can `localhost` (RFC 6761). And a page may send requests to any
//! address without reading the answers (CSRF); browsers say so in `Origin` and `Sec-Fetch-Site`, and no AWS client sends these.

use std::net::{IpAddr, SocketAddr};

use ec2::Error;
use hyper::header::{HOST, HeaderMap, ORIGIN};
use hyper::http::request::Parts;

/// What browsers add to every request (Fetch Metadata); a page cannot leave it out.
const FETCH_SITE: &str = "sec-fetch-site";

/// The names that lead to this API.
#[derive(Debug, Default)]
pub(crate) struct Names {
    /// Every name will do: only who has a key gets an answer, and the key's signature covers the name.
    takes_any: bool,
    /// In lower case.
    own: Vec<String>,
}

/// Why a request is not looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outsider {
    /// By a name that is not ours.
    Name,
    /// A web page's.
    Page,
    /// Of a source that holds as many connections as it may.
    Crowd,
}

impl Outsider {
    /// What metrics call them.
    pub(crate) const CAUSES: [&'static str; 3] = ["host_name", "web_page", "connections"];

    pub(crate) fn cause(self) -> usize {
        self as usize
    }
}

impl Names {
    pub(crate) fn new(address: SocketAddr, strict_auth: bool, own: &[String]) -> Names {
        let takes_any = strict_auth && !address.ip().is_loopback();
        Names { takes_any, own: own.iter().map(|name| name.to_ascii_lowercase()).collect() }
    }

    /// # Errors
    /// `OperationNotPermitted` for a page's request and for a name that is not ours; `InvalidRequest` without exactly one name.
    pub(crate) fn check(&self, parts: &Parts) -> Result<(), (Error, Outsider)> {
        if is_of_a_page(&parts.headers) {
            let error = Error::new("OperationNotPermitted", "Requests from web pages are not served").with_status(403);
            return Err((error, Outsider::Page));
        }
        let mut hosts = parts.headers.get_all(HOST).into_iter();
        let (Some(host), None) = (hosts.next(), hosts.next()) else {
            return Err((
                Error::new("InvalidRequest", "The request must have exactly one Host header"),
                Outsider::Name,
            ));
        };
        // A target with a name of its own goes before the header (RFC 9112 3.2.2).
        let target = parts.uri.authority().map(hyper::http::uri::Authority::as_str);
        for name in [host.to_str().ok(), target.or(Some("localhost"))] {
            if !name.is_some_and(|name| self.is_ours(name)) {
                return Err((not_ours(name.unwrap_or("(not ASCII)")), Outsider::Name));
            }
        }
        Ok(())
    }

    fn is_ours(&self, host: &str) -> bool {
        let name = name_of(host).to_ascii_lowercase();
        self.takes_any || leads_here(&name) || self.own.contains(&name)
    }
}

/// The name is one that nobody can make lead anywhere else: an address or `localhost`, with or without a port.
pub fn is_fixed_name(host: &str) -> bool {
    leads_here(&name_of(host).to_ascii_lowercase())
}

fn leads_here(name: &str) -> bool {
    let bare = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(name);
    name == "localhost" || name.ends_with(".localhost") || bare.parse::<IpAddr>().is_ok()
}

/// Without the port.
fn name_of(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.parse::<u16>().is_ok() => name,
        _ => host,
    }
}

fn is_of_a_page(headers: &HeaderMap) -> bool {
    headers.contains_key(ORIGIN) || headers.contains_key(FETCH_SITE)
}

fn not_ours(host: &str) -> Error {
    let host = ec2::redact::shortened(host);
    let message = format!(
        "The name '{host}' does not lead here; ask by address or as localhost, or start with --api-name {}",
        name_of(&host)
    );
    Error::new("OperationNotPermitted", message).with_status(403)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::Request;

    fn parts(target: &str, headers: &[(&str, &str)]) -> Parts {
        let request =
            headers.iter().fold(Request::builder().uri(target), |request, (name, value)| request.header(*name, *value));
        request.body(()).unwrap().into_parts().0
    }

    fn here() -> Names {
        Names::new("127.0.0.1:4588".parse().unwrap(), false, &["Cloud.example".into()])
    }

    #[test]
    fn addresses_and_localhost_and_configured_names_lead_here_and_no_others() {
        let good = ["127.0.0.1:4588", "127.0.0.1", "localhost:4588", "LocalHost", "[::1]:4588", "192.0.2.1:1"];
        for host in good.into_iter().chain(["ec2.localhost:1", "cloud.example:4588", "CLOUD.EXAMPLE"]) {
            assert_eq!(here().check(&parts("/", &[("host", host)])), Ok(()), "{host}");
        }
        for host in [
            "evil.example:4588",
            "localhost.evil.example",
            "127.0.0.1.evil.example:4588",
            "notlocalhost",
            "cloud.example.evil",
            "",
            ":4588",
            "127.0.0.1:x",
        ] {
            let (error, why) = here().check(&parts("/", &[("host", host)])).unwrap_err();
            assert_eq!((&*error.code, error.status, why), ("OperationNotPermitted", 403, Outsider::Name), "{host}");
        }
        assert!(
            here().check(&parts("http://evil.example/", &[("host", "127.0.0.1")])).is_err(),
            "the target's own name"
        );
        assert!(here().check(&parts("/", &[])).is_err(), "none");
        assert!(here().check(&parts("/", &[("host", "localhost"), ("host", "localhost")])).is_err(), "two");
    }

    #[test]
    fn a_browsers_page_is_not_served_whatever_it_asks() {
        for (name, value) in [
            ("origin", "https://evil.example"),
            ("origin", "http://127.0.0.1:4588"),
            ("origin", "null"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-origin"),
            ("sec-fetch-site", "none"),
        ] {
            let (error, why) = here().check(&parts("/", &[("host", "127.0.0.1"), (name, value)])).unwrap_err();
            assert_eq!((error.status, why), (403, Outsider::Page), "{name}: {value}");
        }
        // As Node's fetch does, on behalf of a program.
        assert_eq!(here().check(&parts("/", &[("host", "127.0.0.1"), ("sec-fetch-mode", "cors")])), Ok(()));
    }

    #[test]
    fn only_where_a_key_is_needed_and_others_are_meant_will_any_name_do() {
        let check = |address: &str, strict| {
            let names = Names::new(address.parse().unwrap(), strict, &[]);
            names.check(&parts("/", &[("host", "cloud.corp.example")])).is_ok()
        };
        assert!(check("192.0.2.1:4588", true));
        assert!(!check("192.0.2.1:4588", false) && !check("127.0.0.1:4588", true) && !check("[::1]:4588", true));
    }

    #[test]
    fn causes_have_names() {
        assert_eq!(Outsider::CAUSES[Outsider::Name.cause()], "host_name");
        assert_eq!(Outsider::CAUSES[Outsider::Page.cause()], "web_page");
        assert_eq!(Outsider::CAUSES[Outsider::Crowd.cause()], "connections");
    }
}
