//! A host joins: with a token it gets the certificate that it shows from then on.
//!
//! It believes the one root whose key the token names, and says its secret to nobody before it has proven to have that root's
//! certificate for a server.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use model::HostId;
use stream::{Bytes, JoinToken, NoCertificate, ToAgent, ToServer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::chain;
use crate::engine::now;
use crate::identity::{Identity, IdentityError, Trust};
use crate::upstream::{Backoff, Connection, Root, ServerError, connect, random, runtime};

/// How long the server may take to certify: it waits for its disk.
const ANSWER: Duration = Duration::from_secs(30);
/// The longest answer, in bytes: a chain of certificates.
const ANSWER_MAX: usize = 64 << 10;

/// Who joins what.
#[derive(Clone, Debug)]
pub struct Joining {
    pub host: HostId,
    /// The agent's data directory.
    pub data: PathBuf,
    /// The address of the server's hosts port, `host:port`.
    pub server: String,
    /// Not needed by a host that has joined.
    pub token: Option<JoinToken>,
    /// Where other hosts will reach it.
    pub underlay: SocketAddr,
}

/// Why a host does not join.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    #[error("host {host} has not joined; make a token with `peerway token create` and give it with --join")]
    NoToken { host: HostId },
    #[error(
        "the certificate of host {host} has expired; make a token with `peerway token create --host {host}` and give it with --join"
    )]
    Expired { host: HostId },
    #[error("cannot make {}", path.display())]
    Directory { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error("no connection to the server {server}")]
    Server { server: String, source: ServerError },
    #[error("the server lets host {host} not join")]
    Refused { host: HostId, source: NoCertificate },
    #[error("the server {server} does not answer as one")]
    Answer { server: String, source: io::Error },
    #[error("cannot start a runtime")]
    Runtime(#[source] io::Error),
}

/// Returns once the host has a certificate: at once if it had one before, else when the server has given one. Tries for as long as the
/// server is out of reach. Blocks.
///
/// # Errors
/// [`JoinError`]: what another attempt would not change.
pub fn join(joining: &Joining) -> Result<(), JoinError> {
    let Joining { host, data, server, token, .. } = joining;
    make_directory(data)?;
    let mut identity = Identity::open(*host, Some(data))?;
    if identity.credentials(now()).is_some() {
        return Ok(());
    }
    let Some(token) = token else {
        let host = *host;
        return Err(if identity.expires().is_some() {
            JoinError::Expired { host }
        } else {
            JoinError::NoToken { host }
        });
    };
    let runtime = runtime().map_err(JoinError::Runtime)?;
    let mut backoff = Backoff::default();
    loop {
        let error = match runtime.block_on(attempt(joining, token, &mut identity)) {
            Ok(()) => return Ok(()),
            Err(error) if !error.may_pass() => return Err(error),
            Err(error) => error,
        };
        let pause = backoff.next(random());
        tracing::warn!(%server, error = %chain(&error), seconds = pause.as_secs_f32(), "not joined; trying again");
        std::thread::sleep(pause);
    }
}

impl JoinError {
    fn may_pass(&self) -> bool {
        match self {
            JoinError::Server { source, .. } => source.may_pass(),
            JoinError::Refused { source, .. } => *source == NoCertificate::Unavailable,
            _ => false,
        }
    }
}

async fn attempt(joining: &Joining, token: &JoinToken, identity: &mut Identity) -> Result<(), JoinError> {
    let Joining { host, server, underlay, .. } = joining;
    let failed = |source| JoinError::Server { server: server.clone(), source };
    let mut connection = connect(server, Root::Pinned(token.root), None).await.map_err(failed)?;
    let request = ToServer::Certify {
        host: *host,
        csr: Bytes(identity.csr()?),
        token: Some(token.secret.clone()),
        underlay: Some(*underlay),
    };
    let answer = timeout(ANSWER, ask(&mut connection, &request)).await;
    let answer = answer.map_err(|_| failed(ServerError::Silent))?;
    match answer.map_err(|source| JoinError::Answer { server: server.clone(), source })? {
        ToAgent::Certificate { chain, root } => {
            let chain = chain.into_iter().map(|der| der.0).collect();
            identity.accept(chain, root.0, Trust::Pinned(token.root), now())?;
            tracing::info!(%host, %server, key = %identity.key(), "joined");
            Ok(())
        }
        ToAgent::NoCertificate(source) => Err(JoinError::Refused { host: *host, source }),
        _ => {
            let source = io::Error::new(io::ErrorKind::InvalidData, "it tells a stranger what is for hosts");
            Err(JoinError::Answer { server: server.clone(), source })
        }
    }
}

async fn ask(connection: &mut Connection, request: &ToServer) -> io::Result<ToAgent> {
    let frame = zeroize::Zeroizing::new(stream::encode(request).map_err(io::Error::other)?);
    connection.write_all(&frame).await?;
    connection.flush().await?;
    let mut header = [0; 4];
    connection.read_exact(&mut header).await?;
    let length = stream::length(header).map_err(io::Error::other)?;
    if length > ANSWER_MAX {
        return Err(io::Error::other(format!("an answer of {length} bytes is over the limit of {ANSWER_MAX}")));
    }
    let mut json = vec![0; length];
    connection.read_exact(&mut json).await?;
    stream::decode(&json).map_err(io::Error::other)
}

fn make_directory(data: &Path) -> Result<(), JoinError> {
    use std::os::unix::fs::DirBuilderExt;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o711).create(data);
    made.map_err(|source| JoinError::Directory { path: data.to_owned(), source })
}
