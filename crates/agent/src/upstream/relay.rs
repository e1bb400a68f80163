//! The connection to a server elsewhere: TLS 1.3 as hosts speak it to each other, and its bytes to and from the link.

use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use rustix::net::sockopt;
use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::TLS13;
use tokio::io::{AsyncWriteExt, copy, split};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::verify::{Root, ServerError, ServerVerifier};
use crate::session::tls;

/// A connection whose other end is the server.
pub(crate) type Connection = TlsStream<TcpStream>;

/// From a name to a proven server.
const CONNECT: Duration = Duration::from_secs(10);
/// Silence after which the kernel asks whether the server is there, how often it does, and how long it waits for an answer in all.
const SILENCE: Duration = Duration::from_secs(5);
const PROBES: u32 = 3;
const UNANSWERED: Duration = Duration::from_secs(15);
/// How long a last word may take.
const FAREWELL: Duration = Duration::from_secs(1);

/// Connects to the server at `host:port`, with this host's certificate if it has one.
pub(crate) async fn connect(
    address: &str,
    root: Root,
    certified: Option<Arc<CertifiedKey>>,
) -> Result<Connection, ServerError> {
    let config = Arc::new(config(root, certified)?);
    let dial = async {
        let connection = TcpStream::connect(address).await?;
        connection.set_nodelay(true)?;
        notice_silence(&connection)?;
        let name = tls::server_name(connection.peer_addr()?.ip());
        TlsConnector::from(config).connect(name, connection).await
    };
    let connection =
        timeout(CONNECT, dial).await.map_err(|_| ServerError::Silent)?.map_err(|error| ServerError::of_io(&error))?;
    if connection.get_ref().1.alpn_protocol() != Some(stream::ALPN) {
        return Err(ServerError::NotServer);
    }
    Ok(connection)
}

/// Carries bytes until either end is done.
pub(super) async fn run(connection: Connection, link: UnixStream) -> io::Result<()> {
    link.set_nonblocking(true)?;
    let link = tokio::net::UnixStream::from_std(link)?;
    let (mut from_server, mut to_server) = split(connection);
    let (mut from_link, mut to_link) = link.into_split();
    let ended = tokio::select! {
        ended = copy(&mut from_server, &mut to_link) => ended,
        ended = copy(&mut from_link, &mut to_server) => ended,
    };
    let _ = timeout(FAREWELL, to_server.shutdown()).await;
    ended.map(drop)
}

fn config(root: Root, certified: Option<Arc<CertifiedKey>>) -> Result<ClientConfig, ServerError> {
    let provider = tls::provider();
    let verifier = ServerVerifier::new(root, provider.signature_verification_algorithms);
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .map_err(|error| ServerError::of_tls(&error))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match certified {
        Some(certified) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(certified))),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![stream::ALPN.to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    config.enable_sni = false;
    Ok(config)
}

fn notice_silence(connection: &TcpStream) -> io::Result<()> {
    sockopt::set_socket_keepalive(connection, true)?;
    sockopt::set_tcp_keepidle(connection, SILENCE)?;
    sockopt::set_tcp_keepintvl(connection, SILENCE)?;
    sockopt::set_tcp_keepcnt(connection, PROBES)?;
    let millis = u32::try_from(UNANSWERED.as_millis()).unwrap_or(u32::MAX);
    Ok(sockopt::set_tcp_user_timeout(connection, millis)?)
}
