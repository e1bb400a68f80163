//! TLS as hosts speak it to each other: 1.3 only, X25519MLKEM768 only, AES-256-GCM only, both ends certified (spec 14.7).
//!
//! Each session is a handshake of its own: no tickets, no resumption, no early data, so that each has secrets of its own and
//! neither end's word is remembered.

use std::net::IpAddr;
use std::sync::Arc;

use model::{HostId, KeyFingerprint};
use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::NoServerSessionStorage;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::TLS13;
use rustls::{ClientConfig, CommonState, Error, NamedGroup, ProtocolVersion, ServerConfig};

use crate::identity::Credentials;

use super::verify::{Permitted, Verifier, identify};
use super::why::Why;

/// What is spoken inside (RFC 7301).
pub(super) const ALPN: &[u8] = b"peerway-keys/1";

/// One group and one cipher suite: there is nothing to be talked down to.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider {
        cipher_suites: vec![aws_lc_rs::cipher_suite::TLS13_AES_256_GCM_SHA384],
        kx_groups: vec![aws_lc_rs::kx_group::X25519MLKEM768],
        ..aws_lc_rs::default_provider()
    })
}

/// What new sessions are opened with.
pub(super) struct Configs {
    ourselves: HostId,
    certified: Arc<CertifiedKey>,
    roots: Vec<CertificateDer<'static>>,
    permitted: Permitted,
    pub(super) server: Arc<ServerConfig>,
}

impl Configs {
    /// # Errors
    /// When a root is no certificate.
    pub(super) fn new(credentials: Credentials, permitted: Permitted) -> Result<Configs, Error> {
        let Credentials { host, certified, roots, .. } = credentials;
        let verifier = Verifier::new(&roots, permitted.clone(), Some(host), None)?;
        let mut server = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])?
            .with_client_cert_verifier(Arc::new(verifier))
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified.clone())));
        server.alpn_protocols = vec![ALPN.to_vec()];
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;
        server.max_early_data_size = 0;
        Ok(Configs { ourselves: host, certified, roots, permitted, server: Arc::new(server) })
    }

    /// To dial this host and no other.
    ///
    /// # Errors
    /// When a root is no certificate.
    pub(super) fn client(&self, expected: HostId) -> Result<Arc<ClientConfig>, Error> {
        let verifier = Verifier::new(&self.roots, self.permitted.clone(), Some(self.ourselves), Some(expected))?;
        let mut client = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(self.certified.clone())));
        client.alpn_protocols = vec![ALPN.to_vec()];
        client.resumption = Resumption::disabled();
        client.enable_early_data = false;
        client.enable_sni = false;
        Ok(Arc::new(client))
    }
}

/// The library wants a name; the verifier goes by the host that was dialled.
pub(crate) fn server_name(address: IpAddr) -> ServerName<'static> {
    ServerName::IpAddress(address.into())
}

/// Who is at the other end after a handshake; refuses what the handshake let pass.
pub(super) fn established(connection: &CommonState) -> Result<(HostId, KeyFingerprint), Why> {
    // A client that names no protocol at all passes the handshake (RFC 7301 3.2).
    if connection.alpn_protocol() != Some(ALPN) {
        return Err(Why::Protocol);
    }
    if connection.protocol_version() != Some(ProtocolVersion::TLSv1_3) {
        return Err(Why::Version);
    }
    if !is_post_quantum(connection) {
        return Err(Why::NotPostQuantum);
    }
    let certificate = connection.peer_certificates().and_then(<[_]>::first).ok_or(Why::NoCertificate)?;
    identify(certificate)
}

/// Whether the secrets come from the hybrid key exchange.
pub(super) fn is_post_quantum(connection: &CommonState) -> bool {
    connection.negotiated_key_exchange_group().is_some_and(|group| group.name() == NamedGroup::X25519MLKEM768)
}
