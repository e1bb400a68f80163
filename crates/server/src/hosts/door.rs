//! The port at which hosts of other machines connect: TLS 1.3, then what every host says.
//!
//! The server proves itself by a certificate for [`stream::SERVER_URI`]. A host may come without a certificate, but then it can only
//! ask for one with a token. One that shows a certificate must have it from this authority; whether it still belongs is asked of its
//! record, by key, as long as the connection lasts.
//!
//! Bounds: connections in all, and of those fewer that nobody has proven yet; each of them has a few seconds. Whoever vanishes without
//! a word is noticed by the kernel (keep-alive and unacknowledged data), so that no answer waits for a host that is gone.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use model::{HostId, KeyFingerprint, Time};
use rustix::net::sockopt;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::version::TLS13;
use rustls::{RootCertStore, ServerConfig};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::{Known, serve as converse};
use crate::Cloud;
use crate::authority::ServerCertificate;
use crate::authority::ring::Authorities;
use crate::region::{chain, machine_time};

const CONNECTIONS_MAX: usize = 1024;
/// Connections that have not proven whose they are.
const STRANGERS_MAX: usize = 256;
/// From the first byte until both ends know each other.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Silence after which the kernel asks whether the host is there, how often it does, and how long it waits for an answer in all.
const SILENCE: Duration = Duration::from_secs(5);
const PROBES: u32 = 3;
const UNANSWERED: Duration = Duration::from_secs(15);
/// How long to leave a listener in peace that accepts nothing.
const PAUSE: Duration = Duration::from_millis(50);

/// Serves until the task is ended.
pub(crate) async fn serve(listener: TcpListener, cloud: Arc<Cloud>) {
    let (places, strangers) = (Arc::new(Semaphore::new(CONNECTIONS_MAX)), Arc::new(Semaphore::new(STRANGERS_MAX)));
    let mut tls = Tls::default();
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let (connection, from) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, most likely: what is open will end.
                tracing::warn!(%error, "a host's connection was not accepted");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let Ok(stranger) = strangers.clone().try_acquire_owned() else {
            tracing::warn!(%from, "too many connections of strangers; one was turned away");
            continue;
        };
        let acceptor = match tls.acceptor(&cloud.trust.ring.now(), machine_time()) {
            Ok(acceptor) => acceptor,
            Err(error) => {
                tracing::error!(%error, "the server has no certificate, and takes no hosts");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let cloud = cloud.clone();
        tokio::spawn(async move {
            if let Err(error) = receive(&cloud, acceptor, connection, stranger).await {
                tracing::info!(%from, error = %chain(&error), "no connection with a host");
            }
            drop(place);
        });
    }
}

async fn receive(
    cloud: &Cloud,
    acceptor: TlsAcceptor,
    connection: TcpStream,
    stranger: OwnedSemaphorePermit,
) -> io::Result<()> {
    connection.set_nodelay(true)?;
    notice_silence(&connection)?;
    let connection = tokio::time::timeout(HANDSHAKE, acceptor.accept(connection)).await??;
    match identify(&connection)? {
        None => {
            converse(cloud, Known::Nobody, connection).await;
            drop(stranger);
        }
        Some((host, key)) => {
            drop(stranger);
            converse(cloud, Known::Certified(host, key), connection).await;
        }
    }
    Ok(())
}

fn notice_silence(connection: &TcpStream) -> io::Result<()> {
    sockopt::set_socket_keepalive(connection, true)?;
    sockopt::set_tcp_keepidle(connection, SILENCE)?;
    sockopt::set_tcp_keepintvl(connection, SILENCE)?;
    sockopt::set_tcp_keepcnt(connection, PROBES)?;
    let millis = u32::try_from(UNANSWERED.as_millis()).unwrap_or(u32::MAX);
    Ok(sockopt::set_tcp_user_timeout(connection, millis)?)
}

/// The host that a certificate names, and its key; `None`: it came without one. The chain was checked in the handshake.
fn identify(connection: &TlsStream<TcpStream>) -> io::Result<Option<(HostId, KeyFingerprint)>> {
    let (_, tls) = connection.get_ref();
    if tls.alpn_protocol() != Some(stream::ALPN) {
        return Err(io::Error::other("it speaks another protocol inside TLS"));
    }
    let Some(certificate) = tls.peer_certificates().and_then(<[_]>::first) else { return Ok(None) };
    let parsed = webpki::EndEntityCert::try_from(certificate).map_err(io::Error::other)?;
    let mut uris = parsed.valid_uri_names();
    match (uris.next().and_then(stream::host_of), uris.next()) {
        (Some(host), None) => Ok(Some((host, stream::fingerprint(&parsed.subject_public_key_info())))),
        _ => Err(io::Error::other("its certificate names no host, or several")),
    }
}

/// What new connections are taken with: made anew at half of its certificate's life, and at each step of a rotation.
#[derive(Default)]
struct Tls(Option<(TlsAcceptor, Arc<Authorities>, Time)>);

impl Tls {
    fn acceptor(&mut self, authorities: &Arc<Authorities>, now: Time) -> Result<TlsAcceptor, anyhow::Error> {
        if let Some((acceptor, of, until)) = &self.0
            && Arc::ptr_eq(of, authorities)
            && now < *until
        {
            return Ok(acceptor.clone());
        }
        let certified = authorities.signer.issue_server(now)?;
        let (from, to) = (certified.certificate.not_before, certified.certificate.not_after);
        let until = Time::from_unix_millis(from.as_unix_millis().midpoint(to.as_unix_millis()));
        let acceptor = TlsAcceptor::from(Arc::new(config(certified, authorities.roots())?));
        self.0 = Some((acceptor.clone(), authorities.clone(), until));
        Ok(acceptor)
    }
}

/// As hosts speak to each other: one version, one group, one cipher suite, no resumption. `believed`: the roots of hosts' certificates.
fn config(certified: ServerCertificate, believed: Vec<Vec<u8>>) -> Result<ServerConfig, anyhow::Error> {
    let provider = Arc::new(CryptoProvider {
        cipher_suites: vec![aws_lc_rs::cipher_suite::TLS13_AES_256_GCM_SHA384],
        kx_groups: vec![aws_lc_rs::kx_group::X25519MLKEM768],
        ..aws_lc_rs::default_provider()
    });
    let ServerCertificate { certificate, private_key } = certified;
    let root = CertificateDer::from(certificate.root);
    let mut roots = RootCertStore::empty();
    believed.into_iter().try_for_each(|root| roots.add(root.into()))?;
    let hosts = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .allow_unauthenticated()
        .clear_root_hint_subjects()
        .build()?;
    // A host that joins knows the root by its key only, so it is sent.
    let chain = certificate.chain.into_iter().map(CertificateDer::from).chain([root]).collect();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(private_key.to_vec()));
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(hosts)
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![stream::ALPN.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    Ok(config)
}

#[cfg(test)]
mod tests;
