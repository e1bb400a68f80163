//! Where the server is: in this process, or on another machine.
//!
//! ```text
//!   link ◀─ Unix socket pair ─▶ relay (a thread with the TLS connection) ◀─ TCP ─▶ server's hosts port
//! ```
//!
//! The link to a server elsewhere is opened again for ever, each time a little later and never at the same moment as other hosts'.
//! Meanwhile packets go on as they did: nothing that is in force waits for the server.

mod backoff;
mod relay;
mod verify;

use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use rustls::sign::CertifiedKey;
use tokio::runtime::{Builder, Runtime};

use crate::engine::now;
use crate::link::{Asked, Link, locked};
use crate::{Shared, chain, link};

pub(crate) use backoff::Backoff;
pub(crate) use relay::{Connection, connect};
pub(crate) use verify::Root;
pub use verify::ServerError;

/// How an agent reaches its server.
#[derive(Debug)]
pub enum Upstream {
    /// The other end is served by this process.
    Here(UnixStream),
    /// The address of its hosts port, `host:port`.
    There(String),
}

/// An upstream that is ready.
pub(crate) enum Ready {
    Here(UnixStream),
    There(String, Runtime),
}

pub(crate) fn open(upstream: Upstream, link: &Link) -> io::Result<Ready> {
    match upstream {
        Upstream::Here(connection) => link.open(connection).map(Ready::Here),
        Upstream::There(address) => Ok(Ready::There(address, runtime()?)),
    }
}

/// For one connection.
pub(crate) fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

/// Follows the server until the agent stops, or, where it is in this process, until its connection ends.
pub(crate) fn run(shared: &Arc<Shared>, upstream: Ready) {
    match upstream {
        Ready::Here(reader) => drop(link::run(shared, reader, &mut Asked::default())),
        Ready::There(address, runtime) => follow(shared, &address, &runtime),
    }
}

fn follow(shared: &Arc<Shared>, address: &str, runtime: &Runtime) {
    let (mut backoff, mut asked) = (Backoff::default(), Asked::default());
    while !shared.link.is_closed() {
        match dial(shared, address, runtime) {
            None => return,
            Some(Ok(connection)) => {
                tracing::info!(server = address, "connected to the server");
                match talk(shared, connection, runtime, &mut asked) {
                    Ok(true) => backoff = Backoff::default(),
                    Ok(false) => {}
                    Err(error) => tracing::error!(%error, "the connection to the server cannot be used"),
                }
            }
            Some(Err(error)) => {
                tracing::warn!(server = address, error = %chain(&error), "no connection to the server; what is in force stays");
            }
        }
        let pause = backoff.next(random());
        runtime.block_on(async { tokio::time::timeout(pause, shared.link.closed()).await.ok() });
    }
}

/// `None`: the agent stops.
fn dial(shared: &Shared, address: &str, runtime: &Runtime) -> Option<Result<Connection, ServerError>> {
    let credentials = shared.identity.as_ref().and_then(|identity| locked(identity).credentials(now()));
    let Some(credentials) = credentials else { return Some(Err(ServerError::NoCertificate)) };
    let certified: Arc<CertifiedKey> = credentials.certified;
    let root = Root::Known(credentials.roots);
    runtime.block_on(async {
        tokio::select! {
            () = shared.link.closed() => None,
            connected = connect(address, root, Some(certified)) => Some(connected),
        }
    })
}

/// Whether the server was heard.
fn talk(shared: &Arc<Shared>, connection: Connection, runtime: &Runtime, asked: &mut Asked) -> io::Result<bool> {
    let (ours, theirs) = UnixStream::pair()?;
    std::thread::scope(|scope| {
        let relay = std::thread::Builder::new().name("server".into()).spawn_scoped(scope, || {
            if let Err(error) = runtime.block_on(relay::run(connection, theirs)) {
                tracing::info!(error = %chain(&error), "the connection to the server ended");
            }
        })?;
        let reader = shared.link.open(ours)?;
        // It may have been closed just before there was a connection to end.
        let is_heard = !shared.link.is_closed() && link::run(shared, reader, asked);
        shared.link.hang_up();
        if relay.join().is_err() {
            tracing::error!("the relay to the server ended in a panic");
        }
        Ok(is_heard)
    })
}

/// Without randomness hosts come back at the same moment, which is no reason not to come back.
pub(crate) fn random() -> u32 {
    let mut bytes = [0; 4];
    let _ = getrandom::fill(&mut bytes);
    u32::from_ne_bytes(bytes)
}
