//! One request of a guest, out of the bytes of its connection (RFC 9112). What it may be is small: no body is read, and a head
//! that does not fit in [`HEAD_MAX`] bytes is refused.

/// The longest head, in bytes.
pub(crate) const HEAD_MAX: usize = 4096;
/// Header fields of one head.
const FIELDS_MAX: usize = 32;
/// The longest body that is skipped, in bytes; none has a meaning.
const BODY_MAX: usize = 1024;

const TOKEN: &str = "x-aws-ec2-metadata-token";
const TOKEN_TTL: &str = "x-aws-ec2-metadata-token-ttl-seconds";
const FORWARDED_FOR: &str = "x-forwarded-for";

/// What of a request has a meaning here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) method: Method,
    /// Without the query, `/` first.
    pub(crate) path: String,
    /// The session token that it carries.
    pub(crate) token: Option<String>,
    /// How long a token is wanted for.
    pub(crate) token_ttl: Option<String>,
    /// Somebody passed it on: it is not the instance that asks.
    pub(crate) is_forwarded: bool,
    /// The connection goes on behind it.
    pub(crate) keeps_alive: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    Get,
    Head,
    Put,
    Other,
}

/// What the bytes so far are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Parsed {
    /// More is to come.
    Partial,
    /// A request, and how many bytes it took.
    Whole(Request, usize),
    /// No request; the status to say so with. The connection ends.
    Refused(u16),
}

/// Reads the first request of these bytes.
pub(crate) fn parse(bytes: &[u8]) -> Parsed {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut head = httparse::Request::new(&mut fields);
    let head_len = match head.parse(bytes) {
        Ok(httparse::Status::Complete(len)) if len <= HEAD_MAX => len,
        Ok(httparse::Status::Partial) if bytes.len() < HEAD_MAX => return Parsed::Partial,
        Ok(_) | Err(httparse::Error::TooManyHeaders) => return Parsed::Refused(431),
        Err(_) => return Parsed::Refused(400),
    };
    let field = |name: &str| {
        let found = head.headers.iter().find(|field| field.name.eq_ignore_ascii_case(name))?;
        Some(String::from_utf8_lossy(found.value).trim().to_owned())
    };
    // A body whose length is not known from the head has no place in any request here.
    let body_len = match field("content-length").as_deref().map(str::parse::<usize>) {
        _ if field("transfer-encoding").is_some() => return Parsed::Refused(400),
        None => 0,
        Some(Ok(len)) if len <= BODY_MAX => len,
        Some(Ok(_)) => return Parsed::Refused(413),
        Some(Err(_)) => return Parsed::Refused(400),
    };
    if bytes.len() < head_len + body_len {
        return Parsed::Partial;
    }
    let connection = field("connection").unwrap_or_default().to_ascii_lowercase();
    let is_http_1_1 = head.version == Some(1);
    let request = Request {
        method: match head.method {
            Some("GET") => Method::Get,
            Some("HEAD") => Method::Head,
            Some("PUT") => Method::Put,
            _ => Method::Other,
        },
        path: path(head.path.unwrap_or_default()),
        token: field(TOKEN),
        token_ttl: field(TOKEN_TTL),
        is_forwarded: field(FORWARDED_FOR).is_some(),
        keeps_alive: if is_http_1_1 { connection != "close" } else { connection == "keep-alive" },
    };
    Parsed::Whole(request, head_len + body_len)
}

/// The path of a target, whether it is given in origin or in absolute form.
fn path(target: &str) -> String {
    let target = match target.strip_prefix("http://") {
        Some(rest) => rest.find('/').map_or("/", |at| &rest[at..]),
        None => target,
    };
    target.split(['?', '#']).next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn request(text: &str) -> Request {
        match parse(text.as_bytes()) {
            Parsed::Whole(request, len) => {
                assert_eq!(len, text.len());
                request
            }
            other => panic!("{text:?}: {other:?}"),
        }
    }

    #[test]
    fn what_curl_sends() {
        let asked = request(
            "GET /latest/meta-data/?x=1 HTTP/1.1\r\nHost: 169.254.169.254\r\nX-aws-EC2-metadata-token: abc \r\n\r\n",
        );
        let expected = Request {
            method: Method::Get,
            path: "/latest/meta-data/".into(),
            token: Some("abc".into()),
            token_ttl: None,
            is_forwarded: false,
            keeps_alive: true,
        };
        assert_eq!(asked, expected);
        let asked = request(
            "PUT http://169.254.169.254/latest/api/token HTTP/1.0\r\nX-aws-ec2-metadata-token-ttl-seconds: 60\r\nX-Forwarded-For: 10.0.0.1\r\nContent-Length: 2\r\n\r\nab",
        );
        assert_eq!((asked.method, asked.path.as_str()), (Method::Put, "/latest/api/token"));
        assert_eq!(asked.token_ttl.as_deref(), Some("60"));
        assert!(asked.is_forwarded && !asked.keeps_alive);
        assert!(!request("GET / HTTP/1.1\r\nConnection: Close\r\n\r\n").keeps_alive);
    }

    #[test]
    fn what_is_too_much_or_no_request_is_refused() {
        let long = format!("GET / HTTP/1.1\r\nA: {}\r\n\r\n", "a".repeat(HEAD_MAX));
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(FIELDS_MAX + 1));
        for (text, status) in [
            (long.as_str(), 431),
            (&long[..HEAD_MAX], 431),
            (many.as_str(), 431),
            ("GET / HTTP/9\r\n\r\n", 400),
            ("\u{16}\u{3}\u{1}", 400),
            ("GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nContent-Length: 1025\r\n\r\n", 413),
            ("PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        ] {
            assert_eq!(parse(text.as_bytes()), Parsed::Refused(status), "{text}");
        }
    }

    proptest! {
        /// Never a panic, and never an endless wait for more.
        #[test]
        fn any_bytes_end(bytes in prop::collection::vec(any::<u8>(), 0..2 * HEAD_MAX)) {
            let is_partial = parse(&bytes) == Parsed::Partial;
            prop_assert!(!is_partial || bytes.len() < HEAD_MAX + BODY_MAX);
        }

        /// A request reads the same whatever comes in pieces, and what follows it is left alone.
        #[test]
        fn pieces_make_the_same_request(
            path in "/[a-z0-9/._-]{0,40}",
            fields in prop::collection::vec(("[A-Za-z-]{1,20}", "[ -~]{0,40}"), 0..8),
            rest in prop::collection::vec(any::<u8>(), 0..20),
        ) {
            let fields: String = fields.iter().map(|(name, value)| format!("X{name}: {value}\r\n")).collect();
            let text = format!("GET {path} HTTP/1.1\r\n{fields}\r\n");
            for end in 0..text.len() {
                prop_assert_eq!(parse(&text.as_bytes()[..end]), Parsed::Partial);
            }
            let Parsed::Whole(request, len) = parse(&[text.as_bytes(), &rest].concat()) else { panic!("{text}") };
            prop_assert_eq!((request.path, len), (path, text.len()));
        }

        /// Near requests, with bytes changed.
        #[test]
        fn damaged_requests_do_not_panic(at in 0_usize..80, byte: u8, cut in 0_usize..100) {
            let mut text = b"PUT /latest/api/token HTTP/1.1\r\nContent-Length: 12\r\nX-Forwarded-For: a\r\n\r\n0123456789ab".to_vec();
            let len = text.len();
            text[at % len] = byte;
            text.truncate(cut.max(1));
            let _ = parse(&text);
        }
    }
}
