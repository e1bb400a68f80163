//! Who this host is: a key pair that never leaves it, and the certificate that the region's authority gave for it
//! (architecture ch. 8).
//!
//! ```text
//!   open ── csr ─▶ (Certify) ── accept ─▶ credentials, until `expires`; `renewal` says when to ask again
//! ```
//!
//! The key is made once and stays through renewals, since the other hosts know this host by it. A host whose key may be known to
//! others gets a new directory, joins anew, and the old key leaves the intent.
//!
//! Which roots are believed besides the certificate's own is the server's word, on a connection that it has proven by one of them: while
//! the authority is rotated there are two.
//!
//! ```text
//!   <data>/identity.json      key, certificate and roots, mode 0600
//! ```

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::{HostId, KeyFingerprint, Time};
use rcgen::{CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData};
use rustls::crypto::aws_lc_rs::sign::any_ecdsa_type;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, UnixTime};
use rustls::sign::CertifiedKey;
use serde::{Deserialize, Serialize};
use stream::{Bytes, ROOTS_MAX};
use zeroize::{Zeroize, Zeroizing};

use crate::files;
use crate::session::verify;

/// Its name inside the agent's data directory.
const FILE_NAME: &str = "identity.json";

/// A host's key and what certifies it.
pub struct Identity {
    host: HostId,
    key: KeyPair,
    /// `None`: in memory.
    path: Option<PathBuf>,
    certified: Option<Certified>,
    /// The key of the root that certifies now, as the server said; `None`: it has not said so to this process.
    signer: Option<KeyFingerprint>,
}

#[derive(Clone)]
struct Certified {
    chain: Vec<Vec<u8>>,
    root: Vec<u8>,
    /// Other roots that are believed.
    others: Vec<Vec<u8>>,
    not_before: Time,
    not_after: Time,
}

/// What sessions are opened with: a certificate, its key in a form that only signs, and the roots to believe.
#[derive(Clone)]
pub struct Credentials {
    pub host: HostId,
    pub expires: Time,
    pub(crate) certified: Arc<CertifiedKey>,
    pub(crate) roots: Vec<CertificateDer<'static>>,
}

/// Which root a certificate may come with, where none is known yet. One that is known already is replaced only by one that is believed as
/// well, or by the token's when the certificate has expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Only one with this key: the join token's.
    Pinned(KeyFingerprint),
    /// The one that comes: the server is in this process.
    Connection,
}

/// Why there is no identity, or no certificate for it.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    #[error("cannot {what} `{}`", path.display())]
    File { what: &'static str, path: PathBuf, source: io::Error },
    #[error("`{}` is no host's identity; restore it, or remove it and join with a new token", path.display())]
    Broken { path: PathBuf },
    #[error(
        "`{}` is the identity of host {owner}, and this host is {host}; give it a directory of its own",
        path.display()
    )]
    AnotherHost { path: PathBuf, owner: HostId, host: HostId },
    #[error("the key or the request cannot be made: {0}")]
    Make(rcgen::Error),
    #[error(
        "the authority's root has key {given}, and this host believes {known}; join with a token of that authority, or with a fresh directory"
    )]
    AnotherRoot { known: KeyFingerprint, given: KeyFingerprint },
    #[error("the certificate does not fit: {0}")]
    Certificate(String),
}

#[derive(Serialize, Deserialize)]
struct Stored {
    host: HostId,
    /// PKCS #8, DER.
    private_key: Bytes,
    /// X.509, DER. Empty: not certified yet.
    chain: Vec<Bytes>,
    root: Bytes,
    /// Other roots that are believed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    others: Vec<Bytes>,
}

impl Drop for Stored {
    fn drop(&mut self) {
        self.private_key.0.zeroize();
    }
}

impl Identity {
    /// The identity of a data directory, its key made at first; `None`: one that is gone with the process. Blocks on the disk.
    ///
    /// # Errors
    /// `File`, `Broken`, `AnotherHost`, `Make`.
    pub fn open(host: HostId, data: Option<&Path>) -> Result<Identity, IdentityError> {
        let path = data.map(|data| data.join(FILE_NAME));
        if let Some(path) = &path
            && let Some(stored) = read(path)?
        {
            if stored.host != host {
                return Err(IdentityError::AnotherHost { path: path.clone(), owner: stored.host, host });
            }
            return Identity::load(&stored, path).ok_or_else(|| IdentityError::Broken { path: path.clone() });
        }
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(IdentityError::Make)?;
        let identity = Identity { host, key, path, certified: None, signer: None };
        identity.store(None)?;
        Ok(identity)
    }

    pub fn host(&self) -> HostId {
        self.host
    }

    /// Of the public key: what the other hosts' intent has to name.
    pub fn key(&self) -> KeyFingerprint {
        stream::fingerprint(&self.key.subject_public_key_info())
    }

    /// A request for a certificate of the key: PKCS #10, DER, without names, since the authority reads none.
    ///
    /// # Errors
    /// `Make`.
    pub fn csr(&self) -> Result<Vec<u8>, IdentityError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.serialize_request(&self.key).map(|csr| csr.der().to_vec()).map_err(IdentityError::Make)
    }

    /// Takes what the authority gave, if all of it is right: the root, the chain to it, this host's name, its key, the time.
    /// What was taken before stays otherwise. Blocks on the disk.
    ///
    /// # Errors
    /// `AnotherRoot`, `Certificate`, `File`.
    pub fn accept(&mut self, chain: Vec<Vec<u8>>, root: Vec<u8>, trust: Trust, now: Time) -> Result<(), IdentityError> {
        let given = key_of(&root)?;
        let before = self.certified.as_ref().filter(|before| match trust {
            Trust::Connection => true,
            // Whoever gave the token gave the host another authority.
            Trust::Pinned(_) => now < before.not_after,
        });
        let believed = before.map(Certified::roots).unwrap_or_default();
        let is_believed = match (before, trust) {
            (Some(_), _) => believed.contains(&root),
            (None, Trust::Pinned(key)) => key == given,
            (None, Trust::Connection) => true,
        };
        if !is_believed {
            let known = match (before, trust) {
                (None, Trust::Pinned(key)) => key,
                _ => before.map_or(Ok(given), |before| key_of(&before.root))?,
            };
            return Err(IdentityError::AnotherRoot { known, given });
        }
        let others = believed.into_iter().filter(|other| *other != root).collect();
        let certified = self.check(chain, root, now).map_err(IdentityError::Certificate)?;
        self.take(Certified { others, ..certified })
    }

    /// Believes these roots from here on, the first of which certifies; whether that changes anything. The root of this host's own
    /// certificate is believed in any case. Blocks on the disk.
    ///
    /// # Errors
    /// `Certificate`, for what is no root or too many of them; `File`.
    pub fn believe(&mut self, roots: Vec<Vec<u8>>) -> Result<bool, IdentityError> {
        let refused = |why: &str| IdentityError::Certificate(why.into());
        if roots.is_empty() || roots.len() > ROOTS_MAX {
            return Err(refused("an authority has one root, and a few while it is rotated"));
        }
        let keys = roots.iter().map(|root| key_of(root)).collect::<Result<Vec<_>, _>>()?;
        let certified = self.certified.as_ref().ok_or_else(|| refused("there is no certificate yet"))?;
        let is_news = self.signer.replace(keys[0]) != Some(keys[0]);
        let others: Vec<Vec<u8>> = roots.into_iter().filter(|root| *root != certified.root).collect();
        if others == certified.others {
            return Ok(is_news);
        }
        let certified = Certified { others, ..certified.clone() };
        self.take(certified).map(|()| true)
    }

    fn take(&mut self, certified: Certified) -> Result<(), IdentityError> {
        self.store(Some(&certified))?;
        self.certified = Some(certified);
        Ok(())
    }

    /// The keys of the roots that are believed, and of the one that certified this host.
    pub fn beliefs(&self) -> (BTreeSet<KeyFingerprint>, Option<KeyFingerprint>) {
        let Some(certified) = &self.certified else { return (BTreeSet::new(), None) };
        let roots = certified.roots();
        (roots.iter().filter_map(|root| key_of(root).ok()).collect(), key_of(&certified.root).ok())
    }

    /// From when on to ask for the next certificate: half of this one's life, or at once when another root certifies. `None`: there is none,
    /// ask now.
    pub fn renewal(&self) -> Option<Time> {
        let certified = self.certified.as_ref()?;
        if self.signer.is_some_and(|signer| key_of(&certified.root).is_ok_and(|by| by != signer)) {
            return Some(Time::EPOCH);
        }
        let (from, to) = (certified.not_before.as_unix_millis(), certified.not_after.as_unix_millis());
        Some(Time::from_unix_millis(from.midpoint(to)))
    }

    /// From when on nobody believes the certificate.
    pub fn expires(&self) -> Option<Time> {
        self.certified.as_ref().map(|certified| certified.not_after)
    }

    /// What sessions are opened with; `None` without a certificate or past its time.
    pub fn credentials(&self, now: Time) -> Option<Credentials> {
        let certified = self.certified.as_ref().filter(|certified| now < certified.not_after)?;
        let chain = certified.chain.iter().map(|der| CertificateDer::from(der.clone())).collect();
        // The library's copy erases itself; this one does not.
        let mut der = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(self.key.serialize_der()));
        let key = any_ecdsa_type(&der);
        der.zeroize();
        Some(Credentials {
            host: self.host,
            expires: certified.not_after,
            certified: Arc::new(CertifiedKey::new(chain, key.ok()?)),
            roots: certified.roots().into_iter().map(CertificateDer::from).collect(),
        })
    }

    fn check(&self, chain: Vec<Vec<u8>>, root: Vec<u8>, now: Time) -> Result<Certified, String> {
        let ders: Vec<CertificateDer<'_>> = chain.iter().map(|der| CertificateDer::from(&der[..])).collect();
        let (leaf, between) = ders.split_first().ok_or("the chain is empty")?;
        let seconds = u64::try_from(now.as_unix_millis() / 1000).unwrap_or(0);
        let at = UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
        let text = |why: crate::session::Why| why.to_string();
        verify::chain(leaf, between, &root[..].into(), at).map_err(text)?;
        let (host, key) = verify::identify(leaf).map_err(text)?;
        if (host, key) != (self.host, self.key()) {
            return Err(format!(
                "it certifies host {host} with key {key}; this host is {} with {}",
                self.host,
                self.key()
            ));
        }
        let (not_before, not_after) = validity(leaf).ok_or("its time cannot be read")?;
        Ok(Certified { chain, root, others: Vec::new(), not_before, not_after })
    }

    fn load(stored: &Stored, path: &Path) -> Option<Identity> {
        let key = KeyPair::try_from(&stored.private_key.0[..]).ok()?;
        let mut identity =
            Identity { host: stored.host, key, path: Some(path.to_owned()), certified: None, signer: None };
        if let Some(leaf) = stored.chain.first() {
            // Its time may be over: then the host renews before it opens sessions. All else was right when it was written.
            let (not_before, _) = validity(&leaf.0)?;
            let chain: Vec<_> = stored.chain.iter().map(|der| der.0.clone()).collect();
            let certified = identity.check(chain, stored.root.0.clone(), not_before).ok()?;
            let others = stored.others.iter().map(|root| root.0.clone()).collect();
            identity.certified = Some(Certified { others, ..certified });
        }
        Some(identity)
    }

    fn store(&self, certified: Option<&Certified>) -> Result<(), IdentityError> {
        let Some(path) = &self.path else { return Ok(()) };
        let stored = Stored {
            host: self.host,
            private_key: Bytes(self.key.serialize_der()),
            chain: certified.map(|certified| certified.chain.iter().cloned().map(Bytes).collect()).unwrap_or_default(),
            root: Bytes(certified.map(|certified| certified.root.clone()).unwrap_or_default()),
            others: certified
                .map(|certified| certified.others.iter().cloned().map(Bytes).collect())
                .unwrap_or_default(),
        };
        let json = serde_json::to_vec(&stored).map(Zeroizing::new).map_err(io::Error::from);
        let written = json.and_then(|json| files::write_synced(path, &json));
        written.map_err(|source| IdentityError::File { what: "write", path: path.clone(), source })
    }
}

impl Certified {
    /// All roots that are believed, that of the certificate first.
    fn roots(&self) -> Vec<Vec<u8>> {
        std::iter::once(&self.root).chain(&self.others).cloned().collect()
    }
}

impl Drop for Identity {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({}, key {}, expires {:?})", self.host, self.key(), self.expires())
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({}, expires {:?})", self.host, self.expires)
    }
}

fn read(path: &Path) -> Result<Option<Stored>, IdentityError> {
    match fs::read(path).map(Zeroizing::new) {
        Ok(json) => {
            let stored = serde_json::from_slice(&json);
            stored.map(Some).map_err(|_| IdentityError::Broken { path: path.to_owned() })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(IdentityError::File { what: "read", path: path.to_owned(), source }),
    }
}

/// From when to when a certificate is good.
fn validity(der: &[u8]) -> Option<(Time, Time)> {
    let (_, certificate) = x509_parser::parse_x509_certificate(der).ok()?;
    let moment = |seconds: i64| Some(Time::from_unix_millis(seconds.checked_mul(1000)?));
    let validity = certificate.validity();
    Some((moment(validity.not_before.timestamp())?, moment(validity.not_after.timestamp())?))
}

/// The key of a root certificate.
fn key_of(root: &[u8]) -> Result<KeyFingerprint, IdentityError> {
    verify::key_of(&root.into()).map_err(|why| IdentityError::Certificate(why.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Authority, before, days, host, now};
    use rcgen::ExtendedKeyUsagePurpose;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_certificate_is_renewed_at_half_its_life_and_ends() {
        let (authority, now) = (Authority::new(), now());
        let mut identity = Identity::open(host("a"), None).unwrap();
        assert_eq!((identity.renewal(), identity.expires()), (None, None));
        assert!(identity.credentials(now).is_none());
        authority.certify(&mut identity, now);
        let whole = |time: Option<Time>| time.map(|time| time.as_unix_millis() / 1000);
        assert_eq!(whole(identity.renewal()), whole(Some(now)));
        assert_eq!(whole(identity.expires()), whole(Some(now + days(1))));
        assert!(identity.credentials(now).is_some());
        assert!(identity.credentials(now + days(1)).is_none());
        let key = identity.key();
        authority.certify(&mut identity, now + days(1));
        assert_eq!(identity.key(), key);
        assert!(identity.credentials(now + days(1)).is_some());
    }

    #[test]
    fn only_what_fits_is_accepted_and_the_rest_changes_nothing() {
        let (authority, other, now) = (Authority::new(), Authority::new(), now());
        let mut identity = authority.host("a");
        let expires = identity.expires();
        let csr = identity.csr().unwrap();
        let a = stream::host_uri(host("a"));
        let b = stream::host_uri(host("b"));
        let foreign = authority.host("a").csr().unwrap();
        let (client, server) = ([ExtendedKeyUsagePurpose::ClientAuth], [ExtendedKeyUsagePurpose::ServerAuth]);
        for (what, certificate) in [
            ("another host's name", authority.issue(&csr, &[&b], now)),
            ("two names", authority.issue(&csr, &[&a, &b], now)),
            ("no name", authority.issue(&csr, &[], now)),
            ("another key", authority.issue(&foreign, &[&a], now)),
            ("another authority", other.issue(&csr, &[&a], now)),
            ("expired", authority.issue(&csr, &[&a], before(now, 3))),
            ("not yet valid", authority.issue(&csr, &[&a], now + days(3))),
            ("for clients only", authority.issue_for(&csr, &[&a], now, &client)),
            ("for servers only", authority.issue_for(&csr, &[&a], now, &server)),
            ("no certificate", b"x".to_vec()),
        ] {
            let refused = identity.accept(vec![certificate], authority.root(), Trust::Connection, now);
            assert!(matches!(refused, Err(IdentityError::Certificate(_))), "{what}: {refused:?}");
        }
        let refused = identity.accept(vec![], authority.root(), Trust::Connection, now);
        assert!(matches!(refused, Err(IdentityError::Certificate(_))), "{refused:?}");
        assert_eq!(identity.expires(), expires);
    }

    #[test]
    fn the_root_is_the_tokens_and_then_always_the_same() {
        let (authority, other, now) = (Authority::new(), Authority::new(), now());
        let pin = |authority: &Authority| Trust::Pinned(verify::key_of(&authority.root()[..].into()).unwrap());
        let mut identity = Identity::open(host("a"), None).unwrap();
        let csr = identity.csr().unwrap();
        let certificate = |authority: &Authority| vec![authority.issue(&csr, &[&stream::host_uri(host("a"))], now)];
        let refused = identity.accept(certificate(&other), other.root(), pin(&authority), now);
        assert!(matches!(refused, Err(IdentityError::AnotherRoot { .. })), "{refused:?}");
        identity.accept(certificate(&authority), authority.root(), pin(&authority), now).unwrap();
        for trust in [pin(&other), Trust::Connection] {
            let refused = identity.accept(certificate(&other), other.root(), trust, now);
            assert!(matches!(refused, Err(IdentityError::AnotherRoot { .. })), "{refused:?}");
        }
    }

    #[test]
    fn while_the_authority_is_rotated_both_roots_are_believed_and_then_the_new_one() {
        let data = tempfile::tempdir().unwrap();
        let (old, new, stranger, now) = (Authority::new(), Authority::new(), Authority::new(), now());
        let key = |authority: &Authority| key_of(&authority.root()).unwrap();
        let open = || Identity::open(host("a"), Some(data.path())).unwrap();
        let roots = |identity: &Identity| identity.credentials(now).unwrap().roots.len();
        let mut identity = open();
        assert!(identity.believe(vec![old.root()]).is_err(), "it has no certificate yet");
        old.certify(&mut identity, now);
        for wrong in [vec![], vec![b"x".to_vec()], vec![old.root(); ROOTS_MAX + 1]] {
            assert!(identity.believe(wrong).is_err());
        }
        assert!(identity.believe(vec![old.root(), new.root()]).unwrap());
        assert!(!identity.believe(vec![old.root(), new.root()]).unwrap(), "nothing is new");
        assert_ne!(identity.renewal(), Some(Time::EPOCH), "the old one still certifies");
        // It is on disk before it is said.
        let mut identity = open();
        assert_eq!(identity.beliefs(), ([key(&old), key(&new)].into(), Some(key(&old))));
        let csr = identity.csr().unwrap();
        let forged = vec![stranger.issue(&csr, &[&stream::host_uri(host("a"))], now)];
        let refused = identity.accept(forged, stranger.root(), Trust::Connection, now);
        assert!(matches!(refused, Err(IdentityError::AnotherRoot { .. })), "{refused:?}");
        assert!(identity.believe(vec![new.root(), old.root()]).unwrap());
        assert_eq!(identity.renewal(), Some(Time::EPOCH), "another one certifies: ask now");
        // Whatever it is told, it believes the root of its own certificate.
        identity.believe(vec![new.root()]).unwrap();
        assert_eq!(roots(&identity), 2);
        new.certify(&mut identity, now);
        assert_ne!(identity.renewal(), Some(Time::EPOCH));
        assert_eq!(open().beliefs(), ([key(&old), key(&new)].into(), Some(key(&new))));
        identity.believe(vec![new.root()]).unwrap();
        assert_eq!((roots(&identity), open().beliefs()), (1, ([key(&new)].into(), Some(key(&new)))));
        let back = vec![old.issue(&csr, &[&stream::host_uri(host("a"))], now)];
        assert!(identity.accept(back, old.root(), Trust::Connection, now).is_err(), "the old one is nobody any more");
    }

    #[test]
    fn a_host_whose_certificate_expired_joins_the_authority_of_its_new_token() {
        let (old, new, now) = (Authority::new(), Authority::new(), now());
        let mut identity = Identity::open(host("a"), None).unwrap();
        old.certify(&mut identity, before(now, 3));
        let csr = identity.csr().unwrap();
        let certificate = || vec![new.issue(&csr, &[&stream::host_uri(host("a"))], now)];
        assert!(identity.accept(certificate(), new.root(), Trust::Connection, now).is_err());
        assert!(identity.accept(certificate(), new.root(), Trust::Pinned(key_of(&old.root()).unwrap()), now).is_err());
        identity.accept(certificate(), new.root(), Trust::Pinned(key_of(&new.root()).unwrap()), now).unwrap();
        assert_eq!(identity.credentials(now).unwrap().roots, [CertificateDer::from(new.root())]);
    }

    #[test]
    fn a_restart_is_the_same_host_and_the_file_is_its_owners() {
        let data = tempfile::tempdir().unwrap();
        let (authority, now) = (Authority::new(), now());
        let mut identity = Identity::open(host("a"), Some(data.path())).unwrap();
        let key = identity.key();
        assert_eq!(Identity::open(host("a"), Some(data.path())).unwrap().key(), key);
        authority.certify(&mut identity, now);
        let again = Identity::open(host("a"), Some(data.path())).unwrap();
        assert_eq!((again.key(), again.expires()), (key, identity.expires()));
        assert!(again.credentials(now).is_some());
        let path = data.path().join(FILE_NAME);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let refused = Identity::open(host("b"), Some(data.path()));
        assert!(matches!(refused, Err(IdentityError::AnotherHost { .. })), "{refused:?}");
        fs::write(&path, "{}").unwrap();
        let refused = Identity::open(host("a"), Some(data.path()));
        assert!(matches!(refused, Err(IdentityError::Broken { .. })), "{refused:?}");
    }

    #[test]
    fn keys_are_not_printed() {
        let identity = Authority::new().host("a");
        let key = identity.key.serialize_der();
        let printed = format!("{identity:?} {:?}", identity.credentials(now()));
        let numbers = format!("{:?}", &key[36..40]);
        assert!(
            printed.starts_with("Identity(a, key ") && !printed.contains(&numbers[1..numbers.len() - 1]),
            "{printed}"
        );
    }
}
