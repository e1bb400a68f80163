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
    /// What metrics call them, in the order of the enum.
    pub const CAUSES: [&'static str; 7] =
        ["missing", "incomplete", "scope", "expired", "session_ended", "refused", "mismatch"];

    /// Its place in [`AuthError::CAUSES`].
    pub fn cause(&self) -> usize {
        match self {
            AuthError::Missing => 0,
            AuthError::Incomplete(_) => 1,
            AuthError::Scope(_) => 2,
            AuthError::Expired(_) => 3,
            AuthError::SessionEnded(_) => 4,
            AuthError::Refused => 5,
            AuthError::Mismatch => 6,
        }
    }

    /// As EC2 answers: unknown key and bad signature read alike (spec 1.5.3).
    pub fn into_ec2(self) -> Error {
        let message = self.to_string();
        match self {
            AuthError::Missing => {
                Error::new("MissingAuthenticationToken", "Request is missing Authentication Token").with_status(403)
            }
            AuthError::Incomplete(_) => Error::new("IncompleteSignature", message),
            AuthError::Scope(_) => Error::new("SignatureDoesNotMatch", message).with_status(403),
            AuthError::Expired(_) | AuthError::SessionEnded(_) => {
                Error::new("RequestExpired", format!("Request has expired. {message}"))
            }
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
        // Of two, one would be verified and the other believed.
        for name in ["authorization", "host", "x-amz-date", "x-amz-security-token"] {
            if request.headers.iter().filter(|(key, _)| key == name).count() > 1 {
                return Err(incomplete(&format!("the header '{name}' is there more than once")));
            }
        }
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
        let date_name = if header(request, "x-amz-date").is_some() { "x-amz-date" } else { "date" };
        claim.covers(request, &["host", date_name])?;
        Ok(claim)
    }

    /// Without these a captured signature would fit another host, another moment or another session.
    fn covers(&self, request: &Signed<'_>, must: &[&str]) -> Result<(), AuthError> {
        let amazons = request.headers.iter().map(|(name, _)| name.as_str()).filter(|name| name.starts_with("x-amz-"));
        let unsigned = must.iter().copied().chain(amazons).find(|must| !self.signed_headers.iter().any(|n| n == must));
        unsigned.map_or(Ok(()), |name| {
            Err(incomplete(&format!("'{name}' must be a 'SignedHeader' in the AWS Authorization")))
        })
    }

    /// In the query, where anybody's link or image may put it.
    pub fn is_presigned(&self) -> bool {
        self.is_presigned
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
        let claim = Claim { expires: Some(Duration::seconds(seconds)), is_presigned: true, ..claim };
        claim.covers(request, &["host"])?;
        Ok(claim)
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
        if date.get(..8) != Some(day) {
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
        if is_same(&self.signature_by(secret, request), &self.signature) { Ok(()) } else { Err(AuthError::Mismatch) }
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
        let (at, here) = (&self.signed_at, basic_form(now));
        if now > until {
            return Err(AuthError::Expired(match self.expires {
                Some(held) => {
                    format!("Signature expired: {at} held for {} seconds, and it is {here}", held.as_millis() / 1000)
                }
                None => {
                    let earliest = basic_form(Time::from_unix_millis((now - (Time::EPOCH + SKEW)).as_millis()));
                    format!("Signature expired: {at} is now earlier than {earliest} ({here} - 15 min.)")
                }
            }));
        }
        if now + SKEW < self.time {
            let latest = basic_form(now + SKEW);
            return Err(AuthError::Expired(format!(
                "Signature not yet current: {at} is still later than {latest} ({here} + 15 min.)"
            )));
        }
        Ok(())
    }

    fn canonical(&self, request: &Signed<'_>) -> String {
        let mut query: Vec<(String, String)> = pairs(request.query)
            .filter(|(key, _)| !(self.is_presigned && *key == "X-Amz-Signature"))
            .map(|(key, value)| (canonical_part(key), canonical_part(value)))
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

/// Whether two secrets are the same, in a time that does not tell where they differ.
pub fn is_same(one: &str, other: &str) -> bool {
    one.as_bytes().ct_eq(other.as_bytes()).into()
}

/// As a form is read, so that two queries with one signature mean the same: `+` is a space, and what cannot be read counts as it
/// stands instead of not at all.
fn canonical_part(raw: &str) -> String {
    percent_encode(&percent_decode(&raw.replace('+', "%20")).unwrap_or_else(|| raw.to_owned()))
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
mod tests;
