//! Who may be the server: whoever has a certificate for [`stream::SERVER_URI`] from the authority that this host believes, which
//! it knows by its root or, before it joins, by the key that the join token names. A host's certificate is no server's.

use std::io;
use std::sync::Arc;

use model::KeyFingerprint;
use rustls::client::danger::{ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, Error, OtherError, RootCertStore};

use crate::session::Why;
use crate::session::verify::{key_of, tls13_signatures};

/// Why there is no connection to the server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ServerError {
    #[error("it does not answer")]
    Silent,
    #[error("it cannot be reached: {0}")]
    Unreachable(String),
    #[error("this host has no certificate that is good now; give it a join token")]
    NoCertificate,
    #[error("its authority is not the one that the join token names ({named}); was the token made by this server?")]
    AnotherAuthority { named: KeyFingerprint },
    #[error("it is not the server of this installation: what it shows is another certificate, or none for a server")]
    NotServer,
    #[error("no secure connection: {0}")]
    Tls(Why),
}

impl ServerError {
    pub(crate) fn of_io(error: &io::Error) -> ServerError {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
            Some(tls) => ServerError::of_tls(tls),
            None => ServerError::Unreachable(error.to_string()),
        }
    }

    pub(super) fn of_tls(error: &Error) -> ServerError {
        if let Error::InvalidCertificate(CertificateError::Other(OtherError(inner))) = error
            && let Some(error) = inner.downcast_ref::<ServerError>()
        {
            return error.clone();
        }
        ServerError::Tls(Why::of_tls(error))
    }

    /// Whether another attempt may end otherwise, with nothing changed here.
    pub(crate) fn may_pass(&self) -> bool {
        matches!(self, ServerError::Silent | ServerError::Unreachable(_))
    }
}

/// The authority to believe.
#[derive(Clone, Debug)]
pub(crate) enum Root {
    /// Any of these.
    Known(Vec<CertificateDer<'static>>),
    /// The one with this key, among what the server shows.
    Pinned(KeyFingerprint),
}

#[derive(Debug)]
pub(super) struct ServerVerifier {
    root: Root,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerVerifier {
    pub(super) fn new(root: Root, algorithms: WebPkiSupportedAlgorithms) -> ServerVerifier {
        ServerVerifier { root, algorithms }
    }

    fn roots<'a>(&'a self, shown: &'a [CertificateDer<'a>]) -> Result<&'a [CertificateDer<'a>], ServerError> {
        match &self.root {
            Root::Known(roots) => Ok(roots),
            Root::Pinned(named) => {
                let named = *named;
                let found = shown.iter().find(|certificate| key_of(certificate) == Ok(named));
                found.map(std::slice::from_ref).ok_or(ServerError::AnotherAuthority { named })
            }
        }
    }
}

fn refuse(error: ServerError) -> Error {
    Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(error))))
}

impl ServerCertVerifier for ServerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let mut roots = RootCertStore::empty();
        let believed = self.roots(intermediates).map_err(refuse)?;
        believed.iter().try_for_each(|root| roots.add(root.clone().into_owned()))?;
        let parsed = ParsedCertificate::try_from(end_entity)?;
        verify_server_cert_signed_by_trust_anchor(&parsed, &roots, intermediates, now, self.algorithms.all)?;
        let named = webpki::EndEntityCert::try_from(end_entity).map_err(|_| refuse(ServerError::NotServer))?;
        let mut uris = named.valid_uri_names();
        match (uris.next(), uris.next()) {
            (Some(stream::SERVER_URI), None) => Ok(ServerCertVerified::assertion()),
            _ => Err(refuse(ServerError::NotServer)),
        }
    }

    tls13_signatures!();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::tls;
    use crate::testing::{Authority, host, now};

    fn verdict(root: Root, leaf: &[u8], shown: &[Vec<u8>]) -> Result<(), ServerError> {
        let verifier = ServerVerifier::new(root, tls::provider().signature_verification_algorithms);
        let shown: Vec<CertificateDer<'_>> = shown.iter().map(|der| CertificateDer::from(&der[..])).collect();
        let name = tls::server_name([127, 0, 0, 1].into());
        let verdict = verifier.verify_server_cert(&leaf.into(), &shown, &name, &[], UnixTime::now());
        verdict.map(drop).map_err(|error| ServerError::of_tls(&error))
    }

    #[test]
    fn the_server_is_who_the_believed_authority_says_it_is() {
        let (authority, other, stranger) = (Authority::new(), Authority::new(), Authority::new());
        let csr = authority.host("a").csr().unwrap();
        let certified = |by: &Authority, uri: &str| by.issue(&csr, &[uri], now());
        let key = |of: &Authority| key_of(&of.root()[..].into()).unwrap();
        let server = certified(&authority, stream::SERVER_URI);
        let known = || Root::Known(vec![authority.root().into()]);
        let rotated = Root::Known(vec![other.root().into(), authority.root().into()]);
        let shown = [authority.root()];
        for root in [known(), rotated, Root::Pinned(key(&authority))] {
            assert_eq!(verdict(root.clone(), &server, &shown), Ok(()));
            let of_host = certified(&authority, &stream::host_uri(host("a")));
            assert_eq!(verdict(root.clone(), &of_host, &shown), Err(ServerError::NotServer));
            let both = authority.issue(&csr, &[stream::SERVER_URI, &stream::host_uri(host("a"))], now());
            assert_eq!(verdict(root.clone(), &both, &shown), Err(ServerError::NotServer));
            // An impostor shows the right root behind its own certificate.
            let forged = certified(&stranger, stream::SERVER_URI);
            assert!(matches!(verdict(root, &forged, &[authority.root(), stranger.root()]), Err(ServerError::Tls(_))));
        }
        let named = key(&other);
        assert_eq!(verdict(Root::Pinned(named), &server, &shown), Err(ServerError::AnotherAuthority { named }));
        assert!(matches!(
            verdict(Root::Known(vec![other.root().into()]), &server, &shown),
            Err(ServerError::Tls(Why::UnknownAuthority))
        ));
    }
}
