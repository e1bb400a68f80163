//! TLS at the API's port: with a certificate from an authority of our own, or with one that was given.
//!
//! ```text
//!   <data>/api-authority.json    private key and root certificate, mode 0600
//!          api-ca.pem            the root alone, for clients: AWS_CA_BUNDLE, verify=, ca_bundle
//! ```
//!
//! TLS 1.3 only: every SDK of the last years speaks it, and there is nothing to be talked down to.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use model::Time;
use rcgen::SanType;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::version::TLS13;
use tokio_rustls::TlsAcceptor;

use crate::authority::{Authority, AuthorityError, IssueError};

/// What clients are to trust, inside the data directory.
pub const CA_FILE: &str = "api-ca.pem";

/// How the API's port is served.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ApiTls {
    /// Plain HTTP.
    #[default]
    Off,
    /// With a certificate from an authority of our own, in the data directory.
    Own,
    /// With these PEM files: the chain, the API's own certificate first, and its private key.
    Given { certificate: PathBuf, key: PathBuf },
}

/// Why the port cannot be served by TLS. Each names what it needs.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    #[error(transparent)]
    Issue(#[from] IssueError),
    #[error("`{0}` is no name that a certificate can have")]
    Name(String),
    #[error("cannot read a {what} from `{}`; it must be a PEM file", path.display())]
    Pem { what: &'static str, path: PathBuf, source: rustls::pki_types::pem::Error },
    #[error("`{}` and `{}` do not fit: {source}", certificate.display(), key.display())]
    Pair { certificate: PathBuf, key: PathBuf, source: rustls::Error },
    #[error("TLS cannot be set up")]
    Config(#[source] rustls::Error),
    #[error("cannot write `{}`", path.display())]
    Write { path: PathBuf, source: io::Error },
}

/// What connections are taken with.
pub(crate) struct Tls {
    own: Option<(Authority, Vec<SanType>)>,
    /// The second: when it is to be made anew.
    current: Mutex<(TlsAcceptor, Option<Time>)>,
}

impl Tls {
    /// `None`: plain HTTP. `names`: what clients call us beside the addresses. Blocks on the disk.
    ///
    /// # Errors
    /// [`TlsError`].
    pub(crate) fn open(
        options: &ApiTls,
        data: Option<&Path>,
        address: SocketAddr,
        names: &[String],
        now: Time,
    ) -> Result<Option<Tls>, TlsError> {
        let (own, current) = match options {
            ApiTls::Off => return Ok(None),
            ApiTls::Own => {
                let authority = Authority::open_api(data, now)?;
                if let Some(path) = data.map(|data| data.join(CA_FILE)) {
                    fs::write(&path, authority.root_pem()).map_err(|source| TlsError::Write { path, source })?;
                }
                let names = subject_names(address, names)?;
                let current = issue(&authority, &names, now)?;
                (Some((authority, names)), current)
            }
            ApiTls::Given { certificate, key } => (None, (given(certificate, key)?, None)),
        };
        Ok(Some(Tls { own, current: Mutex::new(current) }))
    }

    /// Of our own certificate a fresh one at half of its life.
    pub(crate) fn acceptor(&self, now: Time) -> TlsAcceptor {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Some((authority, names)), Some(until)) = (&self.own, current.1)
            && now >= until
        {
            match issue(authority, names, now) {
                Ok(fresh) => *current = fresh,
                Err(error) => {
                    tracing::error!(error = %crate::region::chain(&error), "the API's certificate is not renewed");
                }
            }
        }
        current.0.clone()
    }
}

fn issue(authority: &Authority, names: &[SanType], now: Time) -> Result<(TlsAcceptor, Option<Time>), TlsError> {
    let made = authority.issue_api(names.to_vec(), now)?;
    let (from, to) = (made.certificate.not_before, made.certificate.not_after);
    let until = Time::from_unix_millis(from.as_unix_millis().midpoint(to.as_unix_millis()));
    let chain = made.certificate.chain.into_iter().map(CertificateDer::from).collect();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.private_key.to_vec()));
    Ok((config(chain, key).map_err(TlsError::Config)?, Some(until)))
}

fn given(certificate: &Path, key: &Path) -> Result<TlsAcceptor, TlsError> {
    let unreadable = |what, path: &Path| {
        let path = path.to_owned();
        move |source| TlsError::Pem { what, path, source }
    };
    let chain = CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let chain = chain
        .and_then(|chain| if chain.is_empty() { Err(rustls::pki_types::pem::Error::NoItemsFound) } else { Ok(chain) });
    let chain = chain.map_err(unreadable("certificate", certificate))?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(unreadable("private key", key))?;
    config(chain, private).map_err(|source| TlsError::Pair {
        certificate: certificate.to_owned(),
        key: key.to_owned(),
        source,
    })
}

fn config(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Result<TlsAcceptor, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&TLS13])?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.max_early_data_size = 0;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// The machine's own names, the address that is listened on, and what else clients say.
fn subject_names(address: SocketAddr, names: &[String]) -> Result<Vec<SanType>, TlsError> {
    let dns = |name: &str| name.to_owned().try_into().map(SanType::DnsName).map_err(|_| TlsError::Name(name.into()));
    let mut all = vec![
        dns("localhost")?,
        SanType::IpAddress(Ipv4Addr::LOCALHOST.into()),
        SanType::IpAddress(Ipv6Addr::LOCALHOST.into()),
    ];
    let ip = address.ip();
    if !ip.is_unspecified() && !ip.is_loopback() {
        all.push(SanType::IpAddress(ip));
    }
    for name in names {
        all.push(match name.parse::<IpAddr>() {
            Ok(ip) => SanType::IpAddress(ip),
            Err(_) => dns(name)?,
        });
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authority::LIFETIME;
    use crate::region::machine_time;

    fn open(options: &ApiTls, data: &Path, now: Time) -> Result<Option<Tls>, TlsError> {
        Tls::open(options, Some(data), "127.0.0.1:1".parse().unwrap(), &["peerway.example".into()], now)
    }

    fn place(name: &str) -> (tempfile::TempDir, PathBuf) {
        let data = tempfile::tempdir().unwrap();
        let path = data.path().join(name);
        (data, path)
    }

    #[test]
    fn the_authority_stays_and_the_certificate_is_renewed() {
        let (data, ca) = place(CA_FILE);
        let now = machine_time();
        let tls = open(&ApiTls::Own, data.path(), now).unwrap().unwrap();
        let root = fs::read(&ca).unwrap();
        let until = tls.current.lock().unwrap().1.unwrap();
        drop(tls.acceptor(until + model::Duration::millis(-1)));
        assert_eq!(tls.current.lock().unwrap().1, Some(until));
        drop(tls.acceptor(until));
        assert!(tls.current.lock().unwrap().1.unwrap() > until);
        drop(open(&ApiTls::Own, data.path(), now + LIFETIME).unwrap());
        assert_eq!(fs::read(&ca).unwrap(), root, "clients need no new file");
    }

    #[test]
    fn what_is_no_certificate_is_named() {
        let (data, good) = place(CA_FILE);
        open(&ApiTls::Own, data.path(), machine_time()).unwrap();
        let empty = data.path().join("empty.pem");
        fs::write(&empty, "").unwrap();
        let error = |certificate: &Path, key: &Path| {
            let given = ApiTls::Given { certificate: certificate.into(), key: key.into() };
            open(&given, data.path(), machine_time()).err().unwrap().to_string()
        };
        assert!(error(&empty, &empty).contains("certificate from") && error(&empty, &empty).contains("empty.pem"));
        assert!(error(&data.path().join("gone.pem"), &empty).contains("gone.pem"));
        assert!(error(&good, &empty).contains("private key"));
        let other = rcgen::KeyPair::generate().unwrap().serialize_pem();
        fs::write(&empty, other).unwrap();
        assert!(error(&good, &empty).contains("do not fit"), "{}", error(&good, &empty));
    }

    #[test]
    fn names_are_names() {
        assert_eq!(subject_names("0.0.0.0:1".parse().unwrap(), &[]).unwrap().len(), 3);
        let all = subject_names("192.0.2.1:1".parse().unwrap(), &["a.example".into(), "192.0.2.9".into()]).unwrap();
        assert!(all.contains(&SanType::IpAddress([192, 0, 2, 1].into())));
        assert!(all.contains(&SanType::IpAddress([192, 0, 2, 9].into())) && all.len() == 6);
        assert!(matches!(subject_names("192.0.2.1:1".parse().unwrap(), &["é".into()]), Err(TlsError::Name(_))));
    }
}
