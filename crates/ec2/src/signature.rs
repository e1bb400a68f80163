//! Signature version 4 (spec 1.5): what a request claims, whether the secret of that key made the claim, and how to make one.
//!
//! Pure: the secret and the time are handed in. Both forms are read, the `Authorization` header and the presigned query;
//! our own clients sign with the header.

use hmac::{Hmac, KeyInit, Mac};
use model::{Duration, Secret, Time};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::Error;

/// What of an HTTP request a signature covers.
#[derive(Clone, Copy, Debug)]
pub struct Signed<'r> {
    pub method: &'r str,
    pub path: &'r str,
    /// The raw query string, without `?`.
    pub query: &'r str,
    /// Lower-case names; values as they came.
    pub headers: &'r [(String, String)],
    pub body: &'r [u8],
}

/// What a request says about who signed it; nothing of it is proven yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    pub access_key: String,
    /// `yyyymmdd`.
    pub date: String,
    pub region: String,
    pub service: String,
    /// The moment of signing, as it was written.
    pub signed_at: String,
    pub time: Time,
    /// Presigned requests say how long they hold; others hold for the allowed skew.
    pub expires: Option<Duration>,
    pub token: Option<String>,
    signed_headers: Vec<String>,
    signature: String,
    is_presigned: bool,
}

/// Why a request is not let in. EC2 tells less than it knows: see [`AuthError::into_ec2`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    #[error("the request carries no credentials; sign it with an access key")]
    Missing,
    #[error("{0}")]
    Incomplete(String),
    #[error("{0}")]
    Scope(String),
    /// The signature is too old, or from the future.
    #[error("{0}")]
    Expired(String),
    /// The key is a session's, and the session is over.
    #[error("{0}")]
    SessionEnded(String),
    #[error("the access key is not known, or the session token is not that key's")]
    Refused,
    #[error(
        "the request signature we calculated does not match the signature you provided; check the secret access key"
    )]
    Mismatch,
}

/// Who signs, and for which region and service.
#[derive(Clone, Copy, Debug)]
pub struct Signer<'s> {
    pub access_key: &'s str,
    pub secret: &'s Secret,
    /// A session's keys have one.
    pub token: Option<&'s Secret>,
    pub region: &'s str,
    pub service: &'s str,
}

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const TERMINATOR: &str = "aws4_request";
/// How far a signer's clock may be off.
const SKEW: Duration = Duration::seconds(15 * 60);
const PRESIGNED_SECONDS_MAX: i64 = 604_800;

impl AuthError {
    /// As EC2 answers: unknown key and bad signature read alike (spec 1.5.3).
    pub fn into_ec2(self) -> Error {
        let message = self.to_string();
        match self {
            AuthError::Missing => {
                Error::new("MissingAuthenticationToken", "Request is missing Authentication Token").with_status(403)
            }
            AuthError::Incomplete(_) => Error::new("IncompleteSignature", message),
            AuthError::Scope(_) => Error::new("SignatureDoesNotMatch", message).with_status(403),
            AuthError::Expired(_) | AuthError::SessionEnded(_) => Error::new("RequestExpired", message),
            AuthError::Refused | AuthError::Mismatch => {
                Error::new("AuthFailure", "AWS was not able to validate the provided access credentials")
                    .with_status(401)
            }
        }
    }

    /// As STS answers.
    pub fn into_sts(self) -> Error {
        let message = self.to_string();
        match self {
            AuthError::Expired(_) => Error::new("SignatureDoesNotMatch", message).with_status(403),
            AuthError::SessionEnded(_) => Error::new("ExpiredToken", message).with_status(403),
            AuthError::Mismatch => {
                let text = "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method.";
                Error::new("SignatureDoesNotMatch", text).with_status(403)
            }
            AuthError::Refused => {
                Error::new("InvalidClientTokenId", "The security token included in the request is invalid.")
                    .with_status(403)
            }
            other => other.into_ec2(),
        }
    }
}

impl Claim {
    /// Reads the claim, from the header or from the query.
    ///
    /// # Errors
    /// `Missing` with neither; `Incomplete` with one that lacks a part; `Scope` with a scope that is not `date/region/service/aws4_request`.
    pub fn read(request: &Signed<'_>) -> Result<Claim, AuthError> {
        match header(request, "authorization") {
            Some(value) => Claim::from_header(request, value),
            None if request.query.contains("X-Amz-Signature=") => Claim::from_query(request),
            None => Err(AuthError::Missing),
        }
    }

    fn from_header(request: &Signed<'_>, value: &str) -> Result<Claim, AuthError> {
        let rest = value
            .strip_prefix(ALGORITHM)
            .ok_or_else(|| incomplete(&format!("Authorization header requires '{ALGORITHM}'")))?;
        let part = |name: &str| {
            let mut parts = rest.split(',').map(str::trim);
            let found = parts.find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
            found.ok_or_else(|| incomplete(&format!("Authorization header requires '{name}' parameter")))
        };
        let date = header(request, "x-amz-date").or_else(|| header(request, "date"));
        let date = date.ok_or_else(|| {
            incomplete("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header")
        })?;
        let token = header(request, "x-amz-security-token").map(Into::into);
        let claim = Claim::assemble(part("Credential")?, part("SignedHeaders")?, part("Signature")?, date, token)?;
        // Without these a captured signature would fit another host or another moment.
        let date_name = if header(request, "x-amz-date").is_some() { "x-amz-date" } else { "date" };
        for must in ["host", date_name] {
            if !claim.signed_headers.iter().any(|name| name == must) {
                return Err(incomplete(&format!("'{must}' must be a 'SignedHeader' in the AWS Authorization")));
            }
        }
        Ok(claim)
    }

    fn from_query(request: &Signed<'_>) -> Result<Claim, AuthError> {
        let part = |name: &str| {
            let mut pairs = pairs(request.query);
            let found = pairs.find_map(|(key, value)| (key == name).then(|| percent_decode(value)));
            found.flatten().ok_or_else(|| incomplete(&format!("AWS query-string parameters must include '{name}'")))
        };
        if part("X-Amz-Algorithm")? != ALGORITHM {
            return Err(incomplete(&format!("X-Amz-Algorithm must be {ALGORITHM}")));
        }
        let seconds: i64 =
            part("X-Amz-Expires")?.parse().ok().filter(|s| (1..=PRESIGNED_SECONDS_MAX).contains(s)).ok_or_else(
                || incomplete(&format!("X-Amz-Expires must be between 1 and {PRESIGNED_SECONDS_MAX} seconds")),
            )?;
        let token = part("X-Amz-Security-Token").ok();
        let (credential, headers) = (part("X-Amz-Credential")?, part("X-Amz-SignedHeaders")?);
        let claim = Claim::assemble(&credential, &headers, &part("X-Amz-Signature")?, &part("X-Amz-Date")?, token)?;
        Ok(Claim { expires: Some(Duration::seconds(seconds)), is_presigned: true, ..claim })
    }

    fn assemble(
        credential: &str,
        headers: &str,
        signature: &str,
        date: &str,
        token: Option<String>,
    ) -> Result<Claim, AuthError> {
        let scope: Vec<&str> = credential.split('/').collect();
        let [access_key, day, region, service, TERMINATOR] = scope[..] else {
            return Err(incomplete(&format!(
                "Credential must have the form <access key>/<yyyymmdd>/<region>/<service>/{TERMINATOR}"
            )));
        };
        let time = Time::parse(date)
            .ok_or_else(|| incomplete(&format!("Date must be in ISO-8601 'basic format'. Got '{date}'")))?;
        if !date.starts_with(day) {
            return Err(AuthError::Scope(format!(
                "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '{day}' != '{date}'"
            )));
        }
        Ok(Claim {
            access_key: access_key.into(),
            date: day.into(),
            region: region.into(),
            service: service.into(),
            signed_at: date.into(),
            time,
            expires: None,
            token,
            signed_headers: headers.split(';').map(Into::into).collect(),
            signature: signature.into(),
            is_presigned: false,
        })
    }

    /// The signature is by that secret, over this very request, at about this time.
    ///
    /// # Errors
    /// `Expired`, `Mismatch`.
    pub fn verify(&self, request: &Signed<'_>, secret: &str, now: Time) -> Result<(), AuthError> {
        self.check_time(now)?;
        let same: bool = self.signature_by(secret, request).as_bytes().ct_eq(self.signature.as_bytes()).into();
        if same { Ok(()) } else { Err(AuthError::Mismatch) }
    }

    /// What that secret signs this request with, in hexadecimal.
    fn signature_by(&self, secret: &str, request: &Signed<'_>) -> String {
        let canonical = hex(&Sha256::digest(self.canonical(request)));
        let to_sign = format!("{ALGORITHM}\n{}\n{}\n{canonical}", self.signed_at, self.scope());
        let key = signing_key(secret, &self.date, &self.region, &self.service);
        hex(&hmac(&key, to_sign.as_bytes()))
    }

    fn scope(&self) -> String {
        format!("{}/{}/{}/{TERMINATOR}", self.date, self.region, self.service)
    }

    fn check_time(&self, now: Time) -> Result<(), AuthError> {
        let until = self.time + self.expires.unwrap_or(SKEW);
        if now > until {
            return Err(AuthError::Expired(format!(
                "Signature expired: {} is now earlier than {now}; check the clock and sign again",
                self.signed_at
            )));
        }
        if now + SKEW < self.time {
            return Err(AuthError::Expired(format!(
                "Signature not yet current: {} is still later than {now}; check the clock",
                self.signed_at
            )));
        }
        Ok(())
    }

    fn canonical(&self, request: &Signed<'_>) -> String {
        let mut query: Vec<(String, String)> = pairs(request.query)
            .filter(|(key, _)| !(self.is_presigned && *key == "X-Amz-Signature"))
            .filter_map(|(key, value)| {
                Some((percent_encode(&percent_decode(key)?), percent_encode(&percent_decode(value)?)))
            })
            .collect();
        query.sort();
        let query: Vec<String> = query.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let headers: String =
            self.signed_headers.iter().map(|name| format!("{name}:{}\n", collapsed(request, name))).collect();
        let body = hex(&Sha256::digest(request.body));
        let path = percent_encode(request.path).replace("%2F", "/");
        format!("{}\n{path}\n{}\n{headers}\n{}\n{body}", request.method, query.join("&"), self.signed_headers.join(";"))
    }
}

impl Signer<'_> {
    /// The headers to add to a request, names in lower case. Covers the body and every header that the request has.
    pub fn sign(&self, request: &Signed<'_>, now: Time) -> Vec<(String, String)> {
        let signed_at = basic_form(now);
        let token = self.token.map(|token| ("x-amz-security-token".to_owned(), token.0.clone()));
        let mut added: Vec<_> = [("x-amz-date".to_owned(), signed_at.clone())].into_iter().chain(token).collect();
        let headers = [request.headers, &added].concat();
        let mut signed_headers: Vec<String> = headers.iter().map(|(name, _)| name.clone()).collect();
        signed_headers.sort();
        signed_headers.dedup();
        let claim = Claim {
            access_key: self.access_key.into(),
            date: signed_at.chars().take_while(|c| *c != 'T').collect(),
            region: self.region.into(),
            service: self.service.into(),
            signed_at,
            time: now,
            expires: None,
            token: None,
            signed_headers,
            signature: String::new(),
            is_presigned: false,
        };
        let signature = claim.signature_by(&self.secret.0, &Signed { headers: &headers, ..*request });
        let (scope, names) = (claim.scope(), claim.signed_headers.join(";"));
        let value =
            format!("{ALGORITHM} Credential={}/{scope}, SignedHeaders={names}, Signature={signature}", self.access_key);
        added.push(("authorization".into(), value));
        added
    }
}

/// `20260115T120000Z`.
fn basic_form(time: Time) -> String {
    let text = time.to_string().replace(['-', ':'], "");
    text.split_once('.').map_or(text.clone(), |(whole, _)| format!("{whole}Z"))
}

/// The key chain: secret, date, region, service, terminator.
pub fn signing_key(secret: &str, date: &str, region: &str, service: &str) -> Vec<u8> {
    let start = format!("AWS4{secret}").into_bytes();
    [date, region, service, TERMINATOR].iter().fold(start, |key, part| hmac(&key, part.as_bytes()))
}

fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    // HMAC takes keys of any length; the error exists for other constructions.
    Hmac::<Sha256>::new_from_slice(key)
        .map(|mac| mac.chain_update(message).finalize().into_bytes().to_vec())
        .unwrap_or_default()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn header<'r>(request: &Signed<'r>, name: &str) -> Option<&'r str> {
    request.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

/// All values of a header, trimmed, runs of spaces made one, joined by commas.
fn collapsed(request: &Signed<'_>, name: &str) -> String {
    let values = request.headers.iter().filter(|(key, _)| key == name);
    let values: Vec<String> = values
        .map(|(_, value)| value.split(' ').filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" "))
        .collect();
    values.join(",")
}

fn pairs(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digit = |b: Option<u8>| char::from(b?).to_digit(16);
                u8::try_from(digit(rest.next())? * 16 + digit(rest.next())?).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

/// RFC 3986: everything but the unreserved characters.
fn percent_encode(text: &str) -> String {
    let unreserved = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    text.bytes().map(|b| if unreserved(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

fn incomplete(message: &str) -> AuthError {
    AuthError::Incomplete(message.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
    const BODY: &str =
        "Action=DescribeVpcPeeringConnections&Version=2016-11-15&VpcPeeringConnectionId.1=pcx-0123456789abcdef0";
    const SIGNATURE: &str = "26e4193d078ed3c027b36d11f1af24de6007fdf4bfa515fba67ee35f233f7dc3";

    fn headers() -> Vec<(String, String)> {
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260115/us-east-1/ec2/aws4_request, SignedHeaders=content-type;host;x-amz-date, Signature={SIGNATURE}"
        );
        [
            ("host", "ec2.us-east-1.example.internal"),
            ("x-amz-date", "20260115T120000Z"),
            ("content-type", "application/x-www-form-urlencoded; charset=utf-8"),
            ("authorization", &authorization),
        ]
        .map(|(name, value)| (name.to_string(), value.to_string()))
        .into()
    }

    fn check(headers: &[(String, String)], body: &str, secret: &str, now: &str) -> Result<(), AuthError> {
        let request = Signed { method: "POST", path: "/", query: "", headers, body: body.as_bytes() };
        Claim::read(&request)?.verify(&request, secret, Time::parse(now).unwrap())
    }

    #[test]
    fn known_answers_of_the_specification() {
        let key = signing_key(SECRET, "20150830", "us-east-1", "iam");
        assert_eq!(hex(&key), "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9");
        assert_eq!(check(&headers(), BODY, SECRET, "2026-01-15T12:00:00Z"), Ok(()));
    }

    #[test]
    fn anything_changed_is_refused() {
        let now = "2026-01-15T12:00:00Z";
        assert_eq!(check(&headers(), &BODY.replace("def0", "def1"), SECRET, now), Err(AuthError::Mismatch));
        assert_eq!(check(&headers(), BODY, "another", now), Err(AuthError::Mismatch));
        let mut other_host = headers();
        other_host[0].1 = "elsewhere".into();
        assert_eq!(check(&other_host, BODY, SECRET, now), Err(AuthError::Mismatch));
    }

    #[test]
    fn we_sign_as_the_known_answer_says() {
        let known = headers();
        let (given, secret) = (vec![known[0].clone(), known[2].clone()], Secret(SECRET.into()));
        let signer =
            Signer { access_key: "AKIDEXAMPLE", secret: &secret, token: None, region: "us-east-1", service: "ec2" };
        let request = Signed { method: "POST", path: "/", query: "", headers: &given, body: BODY.as_bytes() };
        let added = signer.sign(&request, Time::parse("20260115T120000Z").unwrap());
        assert_eq!(added, [known[1].clone(), known[3].clone()]);
    }

    #[test]
    fn each_service_answers_in_its_own_codes() {
        let expired = || AuthError::Expired("late".into());
        let ended = || AuthError::SessionEnded("over".into());
        let both = |error: fn() -> AuthError| {
            [error().into_ec2(), error().into_sts()].map(|e| (e.code.into_owned(), e.status))
        };
        let cases = [
            (both(|| AuthError::Missing), [("MissingAuthenticationToken", 403), ("MissingAuthenticationToken", 403)]),
            (both(|| AuthError::Refused), [("AuthFailure", 401), ("InvalidClientTokenId", 403)]),
            (both(|| AuthError::Mismatch), [("AuthFailure", 401), ("SignatureDoesNotMatch", 403)]),
            (
                both(|| AuthError::Scope(String::new())),
                [("SignatureDoesNotMatch", 403), ("SignatureDoesNotMatch", 403)],
            ),
            (
                both(|| AuthError::Incomplete(String::new())),
                [("IncompleteSignature", 400), ("IncompleteSignature", 400)],
            ),
            (both(expired), [("RequestExpired", 400), ("SignatureDoesNotMatch", 403)]),
            (both(ended), [("RequestExpired", 400), ("ExpiredToken", 403)]),
        ];
        for (found, expected) in cases {
            assert_eq!(found, expected.map(|(code, status)| (code.to_owned(), status)));
        }
        assert_eq!(
            AuthError::Refused.into_ec2(),
            AuthError::Mismatch.into_ec2(),
            "an attacker does not learn which keys exist"
        );
    }

    #[test]
    fn the_clock_may_be_off_by_fifteen_minutes_and_no_more() {
        assert_eq!(check(&headers(), BODY, SECRET, "2026-01-15T12:15:00Z"), Ok(()));
        assert_eq!(check(&headers(), BODY, SECRET, "2026-01-15T11:45:00Z"), Ok(()));
        for late in ["2026-01-15T12:15:01Z", "2026-01-15T11:44:59Z"] {
            assert!(matches!(check(&headers(), BODY, SECRET, late), Err(AuthError::Expired(_))), "{late}");
        }
    }

    #[test]
    fn missing_parts_are_named() {
        let cut = |from: &str, to: &str| {
            let mut headers = headers();
            headers[3].1 = headers[3].1.replace(from, to);
            check(&headers, BODY, SECRET, "2026-01-15T12:00:00Z")
        };
        assert_eq!(check(&headers()[..3], BODY, SECRET, "2026-01-15T12:00:00Z"), Err(AuthError::Missing));
        for (from, to) in [
            ("Credential=", "C="),
            ("SignedHeaders=", "S="),
            ("Signature=", "X="),
            ("AWS4-HMAC-SHA256", "Basic"),
            ("/aws4_request", ""),
            ("host;", ""),
            (";x-amz-date", ""),
        ] {
            assert!(matches!(cut(from, to), Err(AuthError::Incomplete(_))), "{from}");
        }
        assert!(matches!(cut("/20260115/", "/20260114/"), Err(AuthError::Scope(_))));
    }

    #[test]
    fn a_presigned_request_holds_as_long_as_it_says() {
        let query = "Action=DescribeVpcs&Version=2016-11-15&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKID%2F20260115%2Fus-east-1%2Fec2%2Faws4_request&X-Amz-Date=20260115T120000Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host";
        let headers = vec![("host".to_string(), "h".to_string())];
        let sign = |query: &str| {
            let request = Signed { method: "GET", path: "/", query, headers: &headers, body: b"" };
            let mut claim = Claim::read(&Signed { query: &format!("{query}&X-Amz-Signature=00"), ..request }).unwrap();
            let canonical = hex(&Sha256::digest(claim.canonical(&request)));
            let to_sign = format!("{ALGORITHM}\n{}\n20260115/us-east-1/ec2/{TERMINATOR}\n{canonical}", claim.signed_at);
            claim.signature = hex(&hmac(&signing_key(SECRET, "20260115", "us-east-1", "ec2"), to_sign.as_bytes()));
            format!("{query}&X-Amz-Signature={}", claim.signature)
        };
        let signed = sign(query);
        let at = |query: &str, now: &str| {
            let request = Signed { method: "GET", path: "/", query, headers: &headers, body: b"" };
            Claim::read(&request)?.verify(&request, SECRET, Time::parse(now).unwrap())
        };
        assert_eq!(at(&signed, "2026-01-15T12:01:00Z"), Ok(()));
        assert!(matches!(at(&signed, "2026-01-15T12:01:01Z"), Err(AuthError::Expired(_))));
        assert_eq!(at(&signed.replace("DescribeVpcs", "DeleteVpc"), "2026-01-15T12:00:30Z"), Err(AuthError::Mismatch));
        assert!(matches!(
            at(&signed.replace("Expires=60", "Expires=604801"), "2026-01-15T12:00:30Z"),
            Err(AuthError::Incomplete(_))
        ));
    }

    proptest! {
        #[test]
        fn what_is_signed_verifies_and_nothing_else_does(
            host in "[a-z0-9.:]{1,20}", agent in "[ -~]{0,20}", body: Vec<u8>, query in "[a-zA-Z0-9%&=.~+/]{0,20}",
            ms in 0_i64..4_102_444_800_000, token: Option<bool>, flip: proptest::sample::Index,
        ) {
            let (secret, session) = (Secret(SECRET.into()), Secret("session/token+=".into()));
            let signer = Signer { access_key: "AKIA", secret: &secret, token: token.map(|_| &session), region: "eu-west-1", service: "ec2" };
            let (given, now) = (vec![("host".to_owned(), host), ("user-agent".to_owned(), agent)], Time::from_unix_millis(ms));
            let request = Signed { method: "POST", path: "/", query: &query, headers: &given, body: &body };
            let headers = [given.clone(), signer.sign(&request, now)].concat();
            let sent = Signed { headers: &headers, ..request };
            let claim = Claim::read(&sent).unwrap();
            prop_assert_eq!(claim.verify(&sent, SECRET, now), Ok(()));
            prop_assert_eq!(claim.token.as_deref(), token.map(|_| session.0.as_str()));
            prop_assert_eq!(claim.verify(&Signed { method: "GET", ..sent }, SECRET, now), Err(AuthError::Mismatch));
            if !body.is_empty() {
                let mut tampered = body.clone();
                tampered[flip.index(body.len())] ^= 1;
                prop_assert_eq!(claim.verify(&Signed { body: &tampered, ..sent }, SECRET, now), Err(AuthError::Mismatch));
            }
        }

        #[test]
        fn no_header_panics(value: String, query: String) {
            let headers = vec![("authorization".to_string(), format!("AWS4-HMAC-SHA256{value}")), ("x-amz-date".to_string(), value)];
            let _ = Claim::read(&Signed { method: "GET", path: "/", query: &query, headers: &headers, body: b"" });
            let _ = Claim::read(&Signed { method: "GET", path: "/", query: &format!("X-Amz-Signature=1&{query}"), headers: &[], body: b"" });
        }
    }
}
