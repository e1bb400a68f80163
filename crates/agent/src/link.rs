//! The connection to the server: its updates in, what is in force and what became of instances out.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};

use model::intent::Intent;
use stream::{Digests, Report, ToAgent, ToServer};

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

/// Follows the server until the connection ends.
pub(crate) fn run(shared: &Arc<Shared>, mut reader: UnixStream) {
    let mut digests = Digests::default();
    shared.link.send(&ToServer::Hello { host: shared.options.host, has: digests.clone() });
    loop {
        let ToAgent::Update(update) = match receive(&mut reader) {
            Ok(message) => message,
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
                shared.link.send(&ToServer::Applied { revisions });
                shared.instances.want(intent);
            }
            Err(error) => {
                tracing::warn!(%error, "the host lost track");
                shared.link.send(&ToServer::Hello { host: shared.options.host, has: digests.clone() });
            }
        }
    }
}

fn receive(reader: &mut UnixStream) -> io::Result<ToAgent> {
    let mut header = [0; 4];
    reader.read_exact(&mut header)?;
    let mut json = vec![0; stream::length(header).map_err(io::Error::other)?];
    reader.read_exact(&mut json)?;
    stream::decode(&json).map_err(io::Error::other)
}
