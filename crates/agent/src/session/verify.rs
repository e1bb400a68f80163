//! Who may be at the other end (users 7.1 cases 9 and 10).
//!
//! A certificate must chain to a root of the authority that is believed, be of now, name exactly one host by URI, and the intent must name that host
//! with that key. Chain, time, use and signature are for rustls' verifiers; what they do not know is added here: the name and the
//! key. Revocation goes by key: whoever has a copy of a revoked host's key gets nowhere, whatever certificate it comes with.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use model::{HostId, KeyFingerprint};
use rustls::client::danger::{ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{CertificateError, DistinguishedName, Error, OtherError, RootCertStore};

use super::tls;
use super::why::Why;

/// The hosts that the intent names, and the key of each.
pub type Peers = BTreeMap<HostId, KeyFingerprint>;

/// The peers of now, for handshakes that are under way as much as for those to come.
#[derive(Clone, Debug, Default)]
pub(super) struct Permitted(Arc<Mutex<Peers>>);

impl Permitted {
    pub(super) fn set(&self, peers: Peers) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = peers;
    }

    pub(super) fn check(&self, host: HostId, key: KeyFingerprint) -> Result<(), Why> {
        match self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&host) {
            Some(permitted) if *permitted == key => Ok(()),
            Some(_) => Err(Why::OtherKey { host, key }),
            None => Err(Why::UnknownHost { host }),
        }
    }
}

/// Which host a certificate names, and its key. Says nothing about who signed it.
pub(crate) fn identify(certificate: &CertificateDer<'_>) -> Result<(HostId, KeyFingerprint), Why> {
    let parsed = parse(certificate)?;
    let mut uris = parsed.valid_uri_names();
    let (Some(uri), None) = (uris.next(), uris.next()) else { return Err(Why::NoHostName) };
    Ok((stream::host_of(uri).ok_or(Why::NoHostName)?, stream::fingerprint(&parsed.subject_public_key_info())))
}

/// The key of a certificate, a host's or an authority's.
pub(crate) fn key_of(certificate: &CertificateDer<'_>) -> Result<KeyFingerprint, Why> {
    Ok(stream::fingerprint(&parse(certificate)?.subject_public_key_info()))
}

fn parse<'a>(certificate: &'a CertificateDer<'_>) -> Result<webpki::EndEntityCert<'a>, Why> {
    webpki::EndEntityCert::try_from(certificate).map_err(|error| Why::Certificate(error.to_string()))
}

/// Whether a chain leads to the root, at that time, for both ends of a connection.
pub(crate) fn chain(
    leaf: &CertificateDer<'_>,
    between: &[CertificateDer<'_>],
    root: &CertificateDer<'_>,
    now: UnixTime,
) -> Result<(), Why> {
    let verifier = Verifier::new(std::slice::from_ref(root), Permitted::default(), None, None)
        .map_err(|error| Why::of_tls(&error))?;
    verifier.chain(leaf, between, now).map_err(|error| Why::of_tls(&error))?;
    let as_client = verifier.clients.verify_client_cert(leaf, between, now);
    as_client.map(drop).map_err(|error| Why::of_tls(&error))
}

/// What both ends of a session ask of each other.
#[derive(Debug)]
pub(super) struct Verifier {
    roots: Arc<RootCertStore>,
    clients: Arc<dyn ClientCertVerifier>,
    algorithms: WebPkiSupportedAlgorithms,
    permitted: Permitted,
    ourselves: Option<HostId>,
    /// The host that was dialled.
    expected: Option<HostId>,
}

impl Verifier {
    /// # Errors
    /// When a root is no certificate.
    pub(super) fn new(
        believed: &[CertificateDer<'_>],
        permitted: Permitted,
        ourselves: Option<HostId>,
        expected: Option<HostId>,
    ) -> Result<Verifier, Error> {
        let mut roots = RootCertStore::empty();
        believed.iter().try_for_each(|root| roots.add(root.clone().into_owned()))?;
        let roots = Arc::new(roots);
        let provider = tls::provider();
        let algorithms = provider.signature_verification_algorithms;
        let clients = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider).build();
        let clients = clients.map_err(|error| Error::General(error.to_string()))?;
        Ok(Verifier { roots, clients, algorithms, permitted, ourselves, expected })
    }

    fn chain(&self, leaf: &CertificateDer<'_>, between: &[CertificateDer<'_>], now: UnixTime) -> Result<(), Error> {
        let parsed = ParsedCertificate::try_from(leaf)?;
        verify_server_cert_signed_by_trust_anchor(&parsed, &self.roots, between, now, self.algorithms.all)
    }

    /// What a chain does not say: that this is the host it should be, with the key that the intent names.
    fn admit(&self, leaf: &CertificateDer<'_>) -> Result<(), Error> {
        let admitted = identify(leaf).and_then(|(host, key)| match self.expected {
            Some(expected) if expected != host => Err(Why::WrongHost { expected, actual: host }),
            _ if self.ourselves == Some(host) => Err(Why::Ourselves),
            _ => self.permitted.check(host, key),
        });
        admitted.map_err(refuse)
    }
}

/// Carries our reason through the library.
pub(crate) fn refuse(why: Why) -> Error {
    Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(why))))
}

/// What both of the library's traits of verifiers ask for besides the certificate: proof of its key, by TLS 1.3. TLS 1.2 is not spoken; where
/// the library asks all the same, the answer is no. The verifier's algorithms are its member `algorithms`.
macro_rules! tls13_signatures {
    () => {
        fn verify_tls12_signature(
            &self,
            _message: &[u8],
            _certificate: &rustls::pki_types::CertificateDer<'_>,
            _signature: &rustls::DigitallySignedStruct,
        ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
            Err(rustls::Error::PeerIncompatible(rustls::PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig))
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            certificate: &rustls::pki_types::CertificateDer<'_>,
            signature: &rustls::DigitallySignedStruct,
        ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
            rustls::crypto::verify_tls13_signature(message, certificate, signature, &self.algorithms)
                .map_err(|_| $crate::session::verify::refuse($crate::session::Why::NoProof))
        }

        fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
            self.algorithms.supported_schemes()
        }
    };
}

pub(crate) use tls13_signatures;

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.chain(end_entity, intermediates, now)?;
        self.admit(end_entity)?;
        Ok(ServerCertVerified::assertion())
    }

    tls13_signatures!();
}

impl ClientCertVerifier for Verifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        // A host has one certificate; whoever asks without one learns nothing.
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.clients.verify_client_cert(end_entity, intermediates, now)?;
        self.admit(end_entity)?;
        Ok(verified)
    }

    tls13_signatures!();
}
