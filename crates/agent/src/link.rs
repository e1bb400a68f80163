//! The connection to the server: its updates in, what is in force and what became of instances out.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use model::Host;
use model::intent::Intent;
use stream::{Bytes, Digests, Report, ToAgent, ToServer};

use crate::engine::now;
use crate::identity::{Identity, Trust};
use crate::links::{Input, PORT};
use crate::{Shared, chain};

/// The sending half.
pub(crate) struct Link(Mutex<UnixStream>);

impl Link {
    pub(crate) fn report(&self, report: Report) {
        self.send(&ToServer::Report(report));
    }

    fn send(&self, message: &ToServer) {
        let mut stream = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let sent = stream::encode(message).map_err(io::Error::other).and_then(|frame| stream.write_all(&frame));
        if let Err(error) = sent {
            // What is in force stays in force; the server learns the rest from the next hello.
            tracing::debug!(error = %chain(&error), "the server did not hear");
        }
    }

    pub(crate) fn close(&self) {
        let _ = self.0.lock().unwrap_or_else(PoisonError::into_inner).shutdown(Shutdown::Both);
    }
}

/// The two halves of a connection.
pub(crate) fn open(connection: UnixStream) -> io::Result<(Link, UnixStream)> {
    connection.set_nonblocking(false)?;
    let reader = connection.try_clone()?;
    Ok((Link(Mutex::new(connection)), reader))
}

/// How often to look whether the certificate is due.
const LOOK: Duration = Duration::from_secs(60);

/// Follows the server until the connection ends.
pub(crate) fn run(shared: &Arc<Shared>, mut reader: UnixStream) {
    let mut digests = Digests::default();
    let mut asked = Asked::default();
    certify_if_due(shared, &mut asked);
    shared.link.send(&hello(shared, &digests));
    loop {
        // Not readable in that time: only the certificate may want something.
        if matches!(linux::poll::readable(&reader, LOOK), Ok(false)) {
            certify_if_due(shared, &mut asked);
            continue;
        }
        let update = match receive(&mut reader) {
            Ok(ToAgent::Update(update)) => update,
            Ok(ToAgent::Certificate { chain, root }) => {
                accept(shared, chain.into_iter().map(|der| der.0).collect(), root.0);
                continue;
            }
            Ok(ToAgent::NoCertificate(why)) => {
                tracing::error!(%why, "this host has no certificate, and no link to other hosts");
                continue;
            }
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return,
            Err(error) => {
                return tracing::warn!(error = %chain(&error), "the server cannot be heard; what is in force stays");
            }
        };
        let revisions = update.revisions.clone();
        match update.apply(Intent::clone(&shared.force.intent())) {
            Ok((intent, has)) => {
                digests = has;
                let intent = Arc::new(intent);
                shared.force.follow(intent.clone());
                tell(shared, Input::Follow(intent.clone()));
                shared.link.send(&ToServer::Applied { revisions });
                shared.instances.want(intent);
            }
            Err(error) => {
                tracing::warn!(%error, "the host lost track");
                shared.link.send(&hello(shared, &digests));
            }
        }
    }
}

fn hello(shared: &Shared, has: &Digests) -> ToServer {
    let place = shared.identity.as_ref().zip(shared.options.underlay.as_ref()).map(|(identity, underlay)| Host {
        id: shared.options.host,
        underlay: SocketAddr::new(underlay.address, PORT),
        key: locked(identity).key(),
    });
    ToServer::Hello { host: shared.options.host, has: has.clone(), place }
}

/// When a certificate was asked for last.
#[derive(Default)]
struct Asked(Option<Instant>);

/// Takes the certificate that there is, and asks for another one if it is half-way through its life.
fn certify_if_due(shared: &Shared, asked: &mut Asked) {
    let Some(identity) = &shared.identity else { return };
    let identity = locked(identity);
    if asked.0.is_none()
        && let Some(credentials) = identity.credentials(now())
    {
        tell(shared, Input::Certified(credentials));
    }
    let is_due = identity.renewal().is_none_or(|due| now() >= due);
    if !is_due || asked.0.is_some_and(|asked| asked.elapsed() < LOOK) {
        return;
    }
    asked.0 = Some(Instant::now());
    match identity.csr() {
        Ok(csr) => shared.link.send(&ToServer::Certify { host: shared.options.host, csr: Bytes(csr), token: None }),
        Err(error) => tracing::error!(error = %chain(&error), "no certificate can be asked for"),
    }
}

fn accept(shared: &Shared, certificates: Vec<Vec<u8>>, root: Vec<u8>) {
    let Some(identity) = &shared.identity else { return };
    let mut identity = locked(identity);
    if let Err(error) = identity.accept(certificates, root, Trust::Connection, now()) {
        return tracing::error!(error = %chain(&error), "the server's certificate is not taken");
    }
    if let Some(credentials) = identity.credentials(now()) {
        tell(shared, Input::Certified(credentials));
    }
}

fn tell(shared: &Shared, input: Input) {
    if let Some(links) = &shared.links {
        links.tell(input);
    }
}

fn locked(identity: &Mutex<Identity>) -> MutexGuard<'_, Identity> {
    identity.lock().unwrap_or_else(PoisonError::into_inner)
}

fn receive(reader: &mut UnixStream) -> io::Result<ToAgent> {
    let mut header = [0; 4];
    reader.read_exact(&mut header)?;
    let mut json = vec![0; stream::length(header).map_err(io::Error::other)?];
    reader.read_exact(&mut json)?;
    stream::decode(&json).map_err(io::Error::other)
}
