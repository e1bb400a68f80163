//! The authority that certifies hosts, and the tokens with which they join (architecture ch. 8).
//!
//! The server itself is certified as [`stream::SERVER_URI`], with a key that lives as long as the process, for that use alone.
//!
//! One authority per installation: all regions of a control plane share it. Its key is made at the first start and never leaves
//! the data directory; [`ring`] has it through a rotation, in which hosts believe two roots for a while. A certificate
//! names its host by one URI, `spiffe://peerway/host/<id>` ([`stream::host_uri`] says why that trust domain), serves both ends of
//! a connection, and lasts 30 days. Revocation is no business of certificates: a host whose key is not in the others' intent is
//! refused, whatever it shows.
//!
//! ```text
//!   <data>/authority.json      private key and root certificate, mode 0600
//!          join-tokens.json    digests of the open tokens, mode 0600
//! ```

pub(crate) mod ring;
mod tokens;

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use base64::Engine;
use model::{Duration, HostId, KeyFingerprint, Time};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_ED25519,
    PublicKeyData, SanType, SerialNumber, SignatureAlgorithm, SigningKey,
};
use serde::{Deserialize, Serialize};
use stream::{Bytes, JoinSecret, NoCertificate, ToAgent};
use zeroize::{Zeroize, Zeroizing};

use crate::private_file;

pub use tokens::{TTL_MAX, TokenError, Tokens};

/// What an authority is there for.
struct Purpose {
    /// Its name inside the data directory.
    file: &'static str,
    /// What the root calls itself.
    name: &'static str,
    /// What a new one costs.
    price: &'static str,
}

const HOSTS: Purpose = Purpose { file: "authority.json", name: "Peerway hosts", price: "have every host join anew" };
/// Another key than the hosts': who believes the API's certificate must not believe hosts for it.
const API: Purpose =
    Purpose { file: "api-authority.json", name: "Peerway API", price: "give clients the new api-ca.pem" };
/// How long a host's certificate lasts; it is renewed at half.
pub const LIFETIME: Duration = Duration::hours(30 * 24);
/// Hosts' clocks may be behind by this much.
const BACKDATED: Duration = Duration::seconds(5 * 60);
/// What the root says of itself. A host believes it by its key, not until that day.
const ROOT_LIFETIME: Duration = Duration::hours(20 * 365 * 24);
/// A request for one key is some 300 bytes.
const CSR_MAX: usize = 4096;
/// The last moment that a certificate can express, 9999-12-31T23:59:59Z (RFC 5280 4.1.2.5).
const LAST: Time = Time::from_unix_millis(253_402_300_799_000);

/// Certifies hosts' keys.
pub struct Authority {
    issuer: Issuer<'static, Key>,
    /// X.509, DER.
    root: Vec<u8>,
    fingerprint: KeyFingerprint,
}

/// What a host is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// X.509, DER; the host's own first, without the root.
    pub chain: Vec<Vec<u8>>,
    /// X.509, DER.
    pub root: Vec<u8>,
    /// Of the host's key: what the other hosts' intent permits.
    pub key: KeyFingerprint,
    pub not_before: Time,
    pub not_after: Time,
}

/// What a host says with `Certify`, and what its connection says of it.
#[derive(Clone, Copy, Debug)]
pub struct Application<'a> {
    /// Whose connection it is, proven.
    pub known: Option<HostId>,
    /// The name to be certified.
    pub host: HostId,
    /// PKCS #10, DER.
    pub csr: &'a [u8],
    pub token: Option<&'a JoinSecret>,
}

/// What the server shows to hosts.
pub(crate) struct ServerCertificate {
    pub(crate) certificate: Certificate,
    /// PKCS #8, DER.
    pub(crate) private_key: Zeroizing<Vec<u8>>,
}

/// Whom a certificate is for.
struct Subject {
    name: String,
    names: Vec<SanType>,
    uses: Vec<ExtendedKeyUsagePurpose>,
}

/// Why there is no authority. Each names the file and what to do.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    #[error("cannot {what} `{}`", path.display())]
    File { what: &'static str, path: PathBuf, source: io::Error },
    #[error("`{}` has mode {mode:o} and may be read by others; run chmod 600 on it, and if others did, remove it and {price}", path.display())]
    Exposed { path: PathBuf, mode: u32, price: &'static str },
    #[error("`{}` is not an authority's key and root certificate; restore it, or remove it and {price}", path.display())]
    Broken { path: PathBuf, price: &'static str },
    #[error("cannot make the authority's key")]
    Make(#[source] io::Error),
}

/// Why a request is not certified.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IssueError {
    #[error("a request of {0} bytes is over the limit of {CSR_MAX}")]
    TooLong(usize),
    /// Not PKCS #10, or with extensions that nobody asked for, or not signed with the key that it names.
    #[error("not a certificate request signed with its own key: {0}")]
    Malformed(String),
    #[error("the key is neither ECDSA P-256 nor Ed25519; make one of these")]
    KeyKind,
    #[error("the certificate cannot be signed: {0}")]
    Sign(String),
}

/// A private key whose bytes are erased when dropped; what the library keeps to sign with erases itself.
struct Key(KeyPair);

impl Drop for Key {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl PublicKeyData for Key {
    fn der_bytes(&self) -> &[u8] {
        self.0.der_bytes()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        PublicKeyData::algorithm(&self.0)
    }
}

impl SigningKey for Key {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        self.0.sign(message)
    }
}

#[derive(Serialize, Deserialize)]
struct Stored {
    /// PKCS #8, DER.
    private_key: Bytes,
    /// X.509, DER.
    root: Bytes,
    /// The one that is to certify in its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    next: Option<Box<Stored>>,
    /// The one that certified in its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    former: Option<ring::Former>,
}

impl Drop for Stored {
    fn drop(&mut self) {
        self.private_key.0.zeroize();
    }
}

impl Stored {
    /// Another one, which is erased when dropped as well.
    fn copy(&self) -> Stored {
        Stored {
            private_key: self.private_key.clone(),
            root: self.root.clone(),
            next: self.next.as_ref().map(|next| Box::new(next.copy())),
            former: self.former.clone(),
        }
    }
}

impl Authority {
    /// The authority of a data directory, made at first; `None`: one that is gone with the process. Blocks on the disk.
    ///
    /// # Errors
    /// [`AuthorityError`]. A key that cannot be read is never replaced by a fresh one: every host would be cut off.
    pub fn open(data: Option<&Path>, now: Time) -> Result<Authority, AuthorityError> {
        Authority::open_for(&HOSTS, data, now)
    }

    /// The authority that the API's own certificate is from.
    ///
    /// # Errors
    /// As [`Authority::open`].
    pub(crate) fn open_api(data: Option<&Path>, now: Time) -> Result<Authority, AuthorityError> {
        Authority::open_for(&API, data, now)
    }

    fn open_for(purpose: &Purpose, data: Option<&Path>, now: Time) -> Result<Authority, AuthorityError> {
        let path = data.map(|data| data.join(purpose.file));
        let stored = read_or_make(purpose, path.as_deref(), now)?;
        load(&stored).ok_or_else(|| match path {
            Some(path) => AuthorityError::Broken { path, price: purpose.price },
            None => failed("an unreadable key was made"),
        })
    }

    /// The root certificate, DER.
    pub fn root(&self) -> &[u8] {
        &self.root
    }

    /// The root certificate, PEM (RFC 7468).
    pub fn root_pem(&self) -> String {
        let text = base64::engine::general_purpose::STANDARD.encode(&self.root);
        let lines: Vec<_> = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
        format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
    }

    /// Of the root's public key, as join tokens carry it.
    pub fn fingerprint(&self) -> KeyFingerprint {
        self.fingerprint
    }

    /// Certifies the key of a request (PKCS #10, DER) for a host. Whether the host may have it is the caller's to know; what
    /// the request says about names, uses and lifetime is not read.
    ///
    /// # Errors
    /// [`IssueError`].
    pub fn issue(&self, host: HostId, csr: &[u8], now: Time) -> Result<Certificate, IssueError> {
        self.sign(host, &read(csr)?, now)
    }

    fn sign(
        &self,
        host: HostId,
        request: &CertificateSigningRequestParams,
        now: Time,
    ) -> Result<Certificate, IssueError> {
        let subject = Subject {
            name: host.to_string(),
            names: uri(stream::host_uri(host))?,
            uses: vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth],
        };
        self.sign_for(subject, &request.public_key, now)
    }

    /// A fresh key for the server itself, certified.
    ///
    /// # Errors
    /// `Sign`.
    pub(crate) fn issue_server(&self, now: Time) -> Result<ServerCertificate, IssueError> {
        self.issue_with_key("Peerway server", uri(stream::SERVER_URI.into())?, now)
    }

    /// A fresh key for the API, certified for the addresses and names by which clients reach it.
    ///
    /// # Errors
    /// `Sign`.
    pub(crate) fn issue_api(&self, names: Vec<SanType>, now: Time) -> Result<ServerCertificate, IssueError> {
        self.issue_with_key(API.name, names, now)
    }

    fn issue_with_key(&self, name: &str, names: Vec<SanType>, now: Time) -> Result<ServerCertificate, IssueError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map(Key);
        let key = key.map_err(|error| IssueError::Sign(error.to_string()))?;
        let uses = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let certificate = self.sign_for(Subject { name: name.into(), names, uses }, &key, now)?;
        Ok(ServerCertificate { certificate, private_key: Zeroizing::new(key.0.serialize_der()) })
    }

    fn sign_for(&self, subject: Subject, key: &impl PublicKeyData, now: Time) -> Result<Certificate, IssueError> {
        let sign = |error: &dyn std::fmt::Display| IssueError::Sign(error.to_string());
        let (not_before, not_after) = span(now, LIFETIME);
        let mut params = params(not_before, not_after).map_err(|error| sign(&error))?;
        params.distinguished_name.push(DnType::CommonName, subject.name);
        params.subject_alt_names = subject.names;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = subject.uses;
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(key, &self.issuer).map_err(|error| sign(&error))?;
        Ok(Certificate {
            chain: vec![certificate.der().to_vec()],
            root: self.root.clone(),
            key: stream::fingerprint(&key.subject_public_key_info()),
            not_before,
            not_after,
        })
    }

    /// Answers `Certify`: certifies the key if the connection already is the host's (`known`), or else for a token, which is spent
    /// by it; it must name the host if another key has its name (`is_taken`). A request that cannot be certified spends none.
    /// Also says whether the token named the host. Blocks on the disk.
    ///
    /// # Errors
    /// [`NoCertificate`], as the agent is told it.
    pub fn certify(
        &self,
        tokens: &Tokens,
        application: &Application<'_>,
        is_taken: impl Fn(KeyFingerprint) -> bool,
        now: Time,
    ) -> Result<(Certificate, bool), NoCertificate> {
        let Application { known, host, csr, token } = *application;
        let request = read(csr).map_err(|error| NoCertificate::Request(error.to_string()))?;
        let key = stream::fingerprint(&request.public_key.subject_public_key_info());
        let is_named = match token {
            _ if known == Some(host) => true,
            None => return Err(NoCertificate::Stranger),
            Some(secret) => tokens.redeem(secret, host, is_taken(key), now).map_err(|error| match error {
                TokenError::Refused => NoCertificate::Token,
                TokenError::Taken => NoCertificate::Taken(host),
                error => unavailable(host, &error),
            })?,
        };
        let certificate = self.sign(host, &request, now).map_err(|error| unavailable(host, &error))?;
        tracing::info!(%host, key = %certificate.key, joins = known != Some(host), "certified a host");
        Ok((certificate, is_named))
    }
}

impl Certificate {
    pub fn message(&self) -> ToAgent {
        ToAgent::Certificate { chain: self.chain.iter().cloned().map(Bytes).collect(), root: Bytes(self.root.clone()) }
    }
}

fn unavailable(host: HostId, error: &dyn std::error::Error) -> NoCertificate {
    tracing::error!(%host, error = %crate::region::chain(error), "a host was not certified");
    NoCertificate::Unavailable
}

fn failed(why: impl std::fmt::Display) -> AuthorityError {
    AuthorityError::Make(io::Error::other(format!("{why}")))
}

/// What a file holds, or a fresh key that was written to it; `None`: in memory.
fn read_or_make(purpose: &Purpose, path: Option<&Path>, now: Time) -> Result<Stored, AuthorityError> {
    let price = purpose.price;
    let Some(path) = path else { return make(purpose, now) };
    match fs::read(path).map(Zeroizing::new) {
        Ok(json) => {
            refuse_exposed(path, price)?;
            serde_json::from_slice(&json).map_err(|_| AuthorityError::Broken { path: path.to_owned(), price })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let stored = make(purpose, now)?;
            write(path, &stored)?;
            tracing::info!(name = purpose.name, "made an authority");
            Ok(stored)
        }
        Err(source) => Err(AuthorityError::File { what: "read", path: path.to_owned(), source }),
    }
}

fn write(path: &Path, stored: &Stored) -> Result<(), AuthorityError> {
    let json = serde_json::to_vec(stored).map(Zeroizing::new).map_err(io::Error::from);
    let written = json.and_then(|json| private_file::write(path, &json));
    written.map_err(|source| AuthorityError::File { what: "write", path: path.to_owned(), source })
}

/// A fresh key with its root certificate.
fn make(purpose: &Purpose, now: Time) -> Result<Stored, AuthorityError> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map(Key).map_err(failed)?;
    let (not_before, not_after) = span(now, ROOT_LIFETIME);
    let mut params = params(not_before, not_after).map_err(failed)?;
    params.distinguished_name.push(DnType::CommonName, purpose.name);
    // It certifies no further authority.
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let root = params.self_signed(&key).map_err(failed)?;
    let (private_key, root) = (Bytes(key.0.serialize_der()), Bytes(root.der().to_vec()));
    Ok(Stored { private_key, root, next: None, former: None })
}

/// `None`: not a key and its certificate.
fn load(stored: &Stored) -> Option<Authority> {
    let key = KeyPair::try_from(&stored.private_key.0[..]).map(Key).ok()?;
    let spki = key.subject_public_key_info();
    // The halves of two files: the root would not be this key's.
    if !stored.root.0.windows(spki.len()).any(|part| part == spki) {
        return None;
    }
    let issuer = Issuer::from_ca_cert_der(&stored.root.0[..].into(), key).ok()?;
    Some(Authority { issuer, root: stored.root.0.clone(), fingerprint: stream::fingerprint(&spki) })
}

/// What every certificate has.
fn params(not_before: Time, not_after: Time) -> Result<CertificateParams, io::Error> {
    let mut serial = [0; 16];
    getrandom::fill(&mut serial).map_err(|_| io::Error::other("the machine gives no randomness"))?;
    // A positive number of always the same length (RFC 5280 4.1.2.2).
    serial[0] = serial[0] & 0x3f | 0x40;
    let moment = |time: Time| {
        let millis = u64::try_from(time.as_unix_millis()).unwrap_or(0);
        rcgen::date_time_ymd(1970, 1, 1) + std::time::Duration::from_millis(millis)
    };
    let mut params = CertificateParams::default();
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params.not_before = moment(not_before);
    params.not_after = moment(not_after);
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "Peerway");
    Ok(params)
}

/// From a little before now, in whole seconds, as certificates have them.
fn span(now: Time, lifetime: Duration) -> (Time, Time) {
    let second = |time: Time| {
        let millis = time.clamp(Time::EPOCH, LAST).as_unix_millis();
        Time::from_unix_millis(millis - millis % 1000)
    };
    (second(Time::from_unix_millis(now.as_unix_millis().saturating_sub(BACKDATED.as_millis()))), second(now + lifetime))
}

/// The one name of a host, or of the server that hosts speak to.
fn uri(text: String) -> Result<Vec<SanType>, IssueError> {
    let uri = text.try_into().map_err(|error: rcgen::Error| IssueError::Sign(error.to_string()))?;
    Ok(vec![SanType::URI(uri)])
}

/// A request that proves that whoever made it has the key.
fn read(csr: &[u8]) -> Result<CertificateSigningRequestParams, IssueError> {
    if csr.len() > CSR_MAX {
        return Err(IssueError::TooLong(csr.len()));
    }
    let request = CertificateSigningRequestParams::from_der(&csr.into());
    let request = request.map_err(|error| IssueError::Malformed(error.to_string()))?;
    // The library takes the kind from the signature, so that the length says whether the key is of that kind.
    let (kind, length) = (PublicKeyData::algorithm(&request.public_key), request.public_key.der_bytes().len());
    match () {
        () if kind == &PKCS_ECDSA_P256_SHA256 && length == 65 => Ok(request),
        () if kind == &PKCS_ED25519 && length == 32 => Ok(request),
        () => Err(IssueError::KeyKind),
    }
}

fn refuse_exposed(path: &Path, price: &'static str) -> Result<(), AuthorityError> {
    let mode = fs::metadata(path).map(|metadata| metadata.permissions().mode() & 0o777);
    match mode {
        Ok(mode) if mode & 0o077 == 0 => Ok(()),
        Ok(mode) => Err(AuthorityError::Exposed { path: path.to_owned(), mode, price }),
        Err(source) => Err(AuthorityError::File { what: "read", path: path.to_owned(), source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{PKCS_ECDSA_P384_SHA384, PKCS_RSA_SHA256};
    use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

    const NOW: Time = Time::from_unix_millis(1_800_000_000_000);

    fn host(name: &str) -> HostId {
        name.parse().unwrap()
    }

    fn csr_of(key: &KeyPair, names: &[&str]) -> Vec<u8> {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        CertificateParams::new(names).unwrap().serialize_request(key).unwrap().der().to_vec()
    }

    fn csr() -> Vec<u8> {
        csr_of(&KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap(), &[])
    }

    fn memory() -> Authority {
        Authority::open(None, NOW).unwrap()
    }

    #[test]
    fn a_certificate_says_what_the_authority_knows_and_nothing_that_the_request_says() {
        let authority = memory();
        for kind in [&PKCS_ECDSA_P256_SHA256, &PKCS_ED25519] {
            let key = KeyPair::generate_for(kind).unwrap();
            let csr = csr_of(&key, &["host-2", "*.example.com", "10.0.0.1"]);
            let certificate = authority.issue(host("host-1"), &csr, NOW).unwrap();
            assert_eq!(certificate.key, stream::fingerprint(&key.subject_public_key_info()));
            let (rest, leaf) = X509Certificate::from_der(&certificate.chain[0]).unwrap();
            let (_, root) = X509Certificate::from_der(authority.root()).unwrap();
            assert!(rest.is_empty());
            leaf.verify_signature(Some(root.public_key())).unwrap();
            assert_eq!(leaf.public_key().raw, key.subject_public_key_info());
            assert_eq!(leaf.subject().to_string(), "O=Peerway, CN=host-1");
            let names = &leaf.subject_alternative_name().unwrap().unwrap().value.general_names;
            assert_eq!(*names, [GeneralName::URI("spiffe://peerway/host/host-1")]);
            let uses = leaf.extended_key_usage().unwrap().unwrap().value;
            assert!(uses.client_auth && uses.server_auth && !uses.any && uses.other.is_empty());
            assert!(!leaf.is_ca() && root.is_ca());
            assert_eq!(root.basic_constraints().unwrap().unwrap().value.path_len_constraint, Some(0));
            let seconds = |time: Time| time.as_unix_millis() / 1000;
            let (not_before, not_after) = (leaf.validity().not_before, leaf.validity().not_after);
            assert_eq!(not_before.timestamp(), seconds(NOW) - 300);
            assert_eq!(not_after.timestamp(), seconds(NOW) + 30 * 86_400);
            assert_eq!(seconds(certificate.not_before), not_before.timestamp());
            assert_eq!(seconds(certificate.not_after), not_after.timestamp());
        }
    }

    #[test]
    fn serial_numbers_do_not_repeat_even_for_the_same_key() {
        let (authority, csr) = (memory(), csr());
        let serial = || {
            let certificate = authority.issue(host("a"), &csr, NOW).unwrap();
            X509Certificate::from_der(&certificate.chain[0]).unwrap().1.raw_serial().to_vec()
        };
        assert_ne!(serial(), serial());
    }

    #[test]
    fn a_request_must_be_signed_with_the_key_that_it_names() {
        let (authority, good) = (memory(), csr());
        let key = authority.issue(host("a"), &good, NOW).unwrap().key;
        // Two headers of three bytes, and the length of what is signed.
        let signed = 3..3 + 3 + usize::from(good[5]);
        for at in 0..good.len() {
            let mut csr = good.clone();
            csr[at] ^= 1;
            // Outside of what is signed the library reads over some tags; then it is the same key all the same.
            if let Ok(certificate) = authority.issue(host("a"), &csr, NOW) {
                assert!(!signed.contains(&at) && certificate.key == key, "changed at {at}");
            }
            assert!(authority.issue(host("a"), &good[..at], NOW).is_err(), "cut at {at}");
        }
        assert!(matches!(authority.issue(host("a"), &[0; CSR_MAX + 1], NOW), Err(IssueError::TooLong(_))));
    }

    #[test]
    fn keys_of_other_kinds_are_refused() {
        for kind in [&PKCS_ECDSA_P384_SHA384, &PKCS_RSA_SHA256] {
            let csr = csr_of(&KeyPair::generate_for(kind).unwrap(), &[]);
            assert_eq!(memory().issue(host("a"), &csr, NOW), Err(IssueError::KeyKind));
        }
        // P-384 with SHA-256, as openssl makes it on request: the signature is of a kind that P-256 has too.
        let csr = base64::engine::general_purpose::STANDARD.decode(concat!(
            "MIIBBTCBiwIBADAMMQowCAYDVQQDDAFhMHYwEAYHKoZIzj0CAQYFK4EEACIDYgAE42Zf4z5JkZ4WemszLG9qJMUNtKKTB4OmLGxn",
            "aB5esh1gaFJpBE/eDc6qDVvJknXMoQbdeFdtI7LP91YRbt6zqFDkkw3qVfuw0sz6Z7xWyuJISW9cJrpMYaQGEzrqO8zqoAAwCgYI",
            "KoZIzj0EAwIDaQAwZgIxAMAuecyT6kyLlqmHJLfivM8CDx92Y5EUYuZ5XkMnpzFfBnrger4h4MaIxyMTRVvoEwIxAKU88q69piok",
            "6OgoO/WbyKlnSYfnzKnDH5SL/NDkZONRtKiHfUGAUZaDYZgwJ+lJiA==",
        ));
        assert_eq!(memory().issue(host("a"), &csr.unwrap(), NOW), Err(IssueError::KeyKind));
    }

    #[test]
    fn time_at_its_ends_does_not_panic() {
        for now in [Time::EPOCH, Time::from_unix_millis(i64::MIN), Time::from_unix_millis(i64::MAX)] {
            let authority = Authority::open(None, now).unwrap();
            authority.issue(host("a"), &csr(), now).unwrap();
        }
    }

    #[test]
    fn a_restart_has_the_same_authority_and_the_file_is_its_owners() {
        let data = tempfile::tempdir().unwrap();
        let first = Authority::open(Some(data.path()), NOW).unwrap();
        let again = Authority::open(Some(data.path()), NOW + LIFETIME).unwrap();
        assert_eq!((first.root(), first.fingerprint()), (again.root(), again.fingerprint()));
        let certificate = again.issue(host("a"), &csr(), NOW).unwrap();
        let (_, root) = X509Certificate::from_der(first.root()).unwrap();
        X509Certificate::from_der(&certificate.chain[0]).unwrap().1.verify_signature(Some(root.public_key())).unwrap();
        let path = data.path().join(HOSTS.file);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let error = Authority::open(Some(data.path()), NOW).err().unwrap();
        assert!(matches!(error, AuthorityError::Exposed { mode: 0o640, .. }), "{error}");
        assert_ne!(memory().fingerprint(), first.fingerprint());
    }

    #[test]
    fn a_broken_file_is_an_error_and_stays() {
        let data = tempfile::tempdir().unwrap();
        let path = data.path().join(HOSTS.file);
        let (one, other) = (make(&HOSTS, NOW).unwrap(), make(&HOSTS, NOW).unwrap());
        let mut mixed = one.copy();
        mixed.root = other.root.clone();
        for content in [Vec::new(), b"{}".to_vec(), serde_json::to_vec(&mixed).unwrap()] {
            private_file::write(&path, &content).unwrap();
            let error = Authority::open(Some(data.path()), NOW).err().unwrap();
            assert!(matches!(error, AuthorityError::Broken { .. }), "{error}");
            let error = ring::Ring::open(Some(data.path()), NOW).err().unwrap();
            assert!(matches!(error, AuthorityError::Broken { .. }), "{error}");
            assert_eq!(fs::read(&path).unwrap(), content);
        }
    }

    #[test]
    fn a_token_is_spent_by_a_certificate_and_by_nothing_else() {
        let authority = memory();
        let tokens = Tokens::open(None).unwrap();
        let token = tokens.create(authority.fingerprint(), Some(host("a")), Duration::hours(1), NOW).unwrap();
        assert_eq!(token.root, authority.fingerprint());
        let certify = |known, name, csr: &[u8], secret| {
            let application = Application { known, host: host(name), csr, token: secret };
            authority.certify(&tokens, &application, |_| false, NOW).map(|(certificate, _)| certificate)
        };
        assert!(matches!(certify(None, "a", b"x", Some(&token.secret)), Err(NoCertificate::Request(_))));
        assert_eq!(certify(None, "b", &csr(), Some(&token.secret)), Err(NoCertificate::Token));
        assert_eq!(certify(None, "a", &csr(), None), Err(NoCertificate::Stranger));
        assert_eq!(certify(Some(host("b")), "a", &csr(), None), Err(NoCertificate::Stranger));
        certify(Some(host("b")), "b", &csr(), None).unwrap();
        let certificate = certify(None, "a", &csr(), Some(&token.secret)).unwrap();
        assert_eq!(certify(None, "a", &csr(), Some(&token.secret)), Err(NoCertificate::Token));
        let ToAgent::Certificate { chain, root } = certificate.message() else { panic!("not a certificate") };
        assert_eq!((chain[0].0.as_slice(), root.0.as_slice()), (certificate.chain[0].as_slice(), authority.root()));
    }

    #[test]
    fn the_root_reads_back_from_pem() {
        let authority = memory();
        let pem = authority.root_pem();
        assert!(pem.lines().all(|line| line.len() <= 64) && pem.ends_with("-----\n"));
        let (_, parsed) = x509_parser::pem::parse_x509_pem(pem.as_bytes()).unwrap();
        assert_eq!(parsed.contents, authority.root());
    }
}
