//! The connection to the server: its updates in, what is in force and what became of instances out.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use model::intent::Intent;
use model::{Host, InstanceId};
use stream::{Bytes, CONSOLE_MAX, Console, Digests, Report, ToAgent, ToServer};
use tokio::sync::watch;

use crate::engine::now;
use crate::identity::{Identity, Trust};
use crate::links::Input;
use crate::{Lifetime, Shared, chain, files, kept};

/// The sending half. While the server is out of reach it leads nowhere: what is in force stays in force, and the server learns from
/// the next hello and what follows it.
pub(crate) struct Link {
    connection: Mutex<Option<UnixStream>>,
    closed: watch::Sender<bool>,
}

impl Default for Link {
    fn default() -> Link {
        Link { connection: Mutex::default(), closed: watch::channel(false).0 }
    }
}

impl Link {
    pub(crate) fn report(&self, report: Report) {
        self.send(&ToServer::Report(report));
    }

    fn send(&self, message: &ToServer) {
        let mut connection = self.connection();
        let Some(stream) = connection.as_mut() else { return };
        let sent = stream::encode(message).map_err(io::Error::other).and_then(|frame| stream.write_all(&frame));
        if let Err(error) = sent {
            tracing::debug!(error = %chain(&error), "the server did not hear");
        }
    }

    /// Sends over this connection from here on; the receiving half.
    pub(crate) fn open(&self, connection: UnixStream) -> io::Result<UnixStream> {
        connection.set_nonblocking(false)?;
        let reader = connection.try_clone()?;
        *self.connection() = Some(connection);
        Ok(reader)
    }

    /// Ends the connection; there may be another one.
    pub(crate) fn hang_up(&self) {
        if let Some(connection) = self.connection().take() {
            let _ = connection.shutdown(Shutdown::Both);
        }
    }

    /// Ends the connection for good.
    pub(crate) fn close(&self) {
        self.closed.send_replace(true);
        self.hang_up();
    }

    pub(crate) fn is_closed(&self) -> bool {
        *self.closed.borrow()
    }

    /// Waits until it is closed for good.
    pub(crate) async fn closed(&self) {
        let _ = self.closed.subscribe().wait_for(|closed| *closed).await;
    }

    fn connection(&self) -> MutexGuard<'_, Option<UnixStream>> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How often to look whether the certificate is due.
const LOOK: Duration = Duration::from_secs(60);

/// Follows the server until the connection ends; whether the server was heard.
pub(crate) fn run(shared: &Arc<Shared>, mut reader: UnixStream, asked: &mut Asked) -> bool {
    let mut digests = Digests::of(&shared.force.intent());
    let mut is_heard = false;
    certify_if_due(shared, asked);
    shared.link.send(&hello(shared, &digests));
    loop {
        // Not readable in that time: only the certificate may want something.
        if matches!(linux::poll::readable(&reader, LOOK), Ok(false)) {
            certify_if_due(shared, asked);
            continue;
        }
        let update = match receive(&mut reader) {
            Ok(ToAgent::Update(update)) => update,
            Ok(ToAgent::Certificate { chain, root }) => {
                accept(shared, chain.into_iter().map(|der| der.0).collect(), root.0);
                continue;
            }
            Ok(ToAgent::NoCertificate(why)) => {
                tracing::error!(%why, "the server gives this host no certificate");
                continue;
            }
            Ok(ToAgent::Console { instance }) => {
                shared.link.send(&ToServer::Console(console(shared, instance)));
                continue;
            }
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return is_heard,
            Err(error) => {
                tracing::warn!(error = %chain(&error), "the server cannot be heard; what is in force stays");
                return is_heard;
            }
        };
        is_heard = true;
        let revisions = update.revisions.clone();
        match update.apply(Intent::clone(&shared.force.intent())) {
            Ok((intent, has)) => {
                digests = has;
                let intent = Arc::new(intent);
                shared.force.follow(intent.clone());
                shared.services.follow(&intent);
                shared.flow_logs.follow(&intent);
                tell(shared, Input::Follow(intent.clone()));
                if shared.options.lifetime == Lifetime::OutliveAgent {
                    // Before it is acknowledged: the next agent must not begin with less than the server was told is in force.
                    kept::store_intent(&shared.options, &intent);
                }
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

/// Goes on by the last intent, before there is a server to be heard.
pub(crate) fn resume(shared: &Shared, intent: &Arc<Intent>) {
    let credentials = shared.identity.as_ref().and_then(|identity| locked(identity).credentials(now()));
    if let Some(credentials) = credentials {
        tell(shared, Input::Certified(credentials));
    }
    tell(shared, Input::Follow(intent.clone()));
    shared.instances.want(intent.clone());
}

/// One that cannot be read says nothing.
fn console(shared: &Shared, instance: InstanceId) -> Console {
    let read = files::of_instance(&shared.options, instance).console_tail(CONSOLE_MAX);
    let (output, written) = read.unwrap_or_else(|_| (Vec::new(), now()));
    Console { instance, written, output: Bytes(output) }
}

fn hello(shared: &Shared, has: &Digests) -> ToServer {
    let place = shared.identity.as_ref().zip(shared.options.underlay.as_ref()).map(|(identity, underlay)| Host {
        id: shared.options.host,
        underlay: underlay.socket_address(),
        key: locked(identity).key(),
    });
    ToServer::Hello { host: shared.options.host, has: has.clone(), place }
}

/// When a certificate was asked for last.
#[derive(Default)]
pub(crate) struct Asked(Option<Instant>);

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
        Ok(csr) => {
            let csr = Bytes(csr);
            shared.link.send(&ToServer::Certify { host: shared.options.host, csr, token: None, underlay: None });
        }
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

pub(crate) fn locked(identity: &Mutex<Identity>) -> MutexGuard<'_, Identity> {
    identity.lock().unwrap_or_else(PoisonError::into_inner)
}

fn receive(reader: &mut UnixStream) -> io::Result<ToAgent> {
    let mut header = [0; 4];
    reader.read_exact(&mut header)?;
    let mut json = vec![0; stream::length(header).map_err(io::Error::other)?];
    reader.read_exact(&mut json)?;
    stream::decode(&json).map_err(io::Error::other)
}
