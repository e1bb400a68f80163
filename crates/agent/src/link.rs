//! The connection to the server: its updates in, what is in force and what became of instances out.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use model::intent::Intent;
use model::{Host, InstanceId};
use stream::{Bytes, CONSOLE_MAX, Console, Digests, Heard, Report, ToAgent, ToServer};
use tokio::sync::watch;

use crate::engine::now;
use crate::identity::{Identity, Trust};
use crate::links::Input;
use crate::upstream::{Backoff, random};
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
    let (mut is_heard, mut rotates) = (false, false);
    let mut lost = Lost::default();
    certify_if_due(shared, asked);
    shared.link.send(&hello(shared, &digests));
    loop {
        // Not readable in that time: only the certificate may want something, or the hello is due.
        if matches!(linux::poll::readable(&reader, lost.patience()), Ok(false)) {
            if lost.is_due() {
                shared.link.send(&hello(shared, &digests));
            }
            certify_if_due(shared, asked);
            continue;
        }
        let update = match receive(&mut reader) {
            Ok(Heard::Known(message)) => match message {
                ToAgent::Update(update) => update,
                ToAgent::Certificate { chain, root } => {
                    accept(shared, chain.into_iter().map(|der| der.0).collect(), root.0);
                    if rotates {
                        tell_beliefs(shared);
                    }
                    continue;
                }
                ToAgent::NoCertificate(why) => {
                    tracing::error!(%why, "the server gives this host no certificate");
                    continue;
                }
                ToAgent::Console { instance } => {
                    shared.link.send(&ToServer::Console(console(shared, instance)));
                    continue;
                }
                ToAgent::Authority { roots } => {
                    believe(shared, roots.into_iter().map(|der| der.0).collect(), asked);
                    tell_beliefs(shared);
                    rotates = true;
                    continue;
                }
                ToAgent::Unsupported { message } => {
                    tracing::warn!(message, "the server does not know what it was told; upgrade it");
                    continue;
                }
            },
            Ok(Heard::Unknown(message)) => {
                tracing::info!(message, "the server says what this agent does not know; it may be newer");
                shared.link.send(&ToServer::Unsupported { message });
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
                lost = Lost::default();
                let intent = Arc::new(intent);
                shared.force.follow(intent.clone());
                shared.uplink.iter().for_each(|uplink| uplink.follow(&intent));
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
                tracing::warn!(%error, "the host lost track; if that stays so, the server is newer than this agent: upgrade it");
                lost.track();
            }
        }
    }
}

/// Whether the host has lost track, and when it says so. An update that does not come out as the server says is told anew, which helps if
/// something was missed, and does not if this agent knows less than the server: then neither must keep the other busy.
#[derive(Default)]
struct Lost {
    hello_at: Option<Instant>,
    backoff: Backoff,
}

impl Lost {
    fn track(&mut self) {
        if self.hello_at.is_none() {
            self.hello_at = Instant::now().checked_add(self.backoff.next(random()));
        }
    }

    fn patience(&self) -> Duration {
        self.hello_at.map_or(LOOK, |at| at.saturating_duration_since(Instant::now()))
    }

    /// Once for each time.
    fn is_due(&mut self) -> bool {
        self.hello_at.take_if(|at| Instant::now() >= *at).is_some()
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
    let knows = stream::known::<ToAgent>().iter().map(|name| (*name).to_owned()).collect();
    ToServer::Hello { host: shared.options.host, has: has.clone(), place, knows }
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

/// Takes the authority's roots from the server, which has proven itself by one that was believed before. Another one certifies: asks it at
/// once.
fn believe(shared: &Shared, roots: Vec<Vec<u8>>, asked: &mut Asked) {
    let Some(identity) = &shared.identity else { return };
    let mut identity = locked(identity);
    match identity.believe(roots) {
        Ok(false) => return,
        Ok(true) => {}
        Err(error) => return tracing::error!(error = %chain(&error), "the authority's roots are not taken"),
    }
    if let Some(credentials) = identity.credentials(now()) {
        tell(shared, Input::Certified(credentials));
    }
    drop(identity);
    asked.0 = None;
    certify_if_due(shared, asked);
}

fn tell_beliefs(shared: &Shared) {
    let Some(identity) = &shared.identity else { return };
    let (roots, by) = locked(identity).beliefs();
    shared.link.send(&ToServer::Believes { roots, by });
}

fn tell(shared: &Shared, input: Input) {
    if let Some(links) = &shared.links {
        links.tell(input);
    }
}

pub(crate) fn locked(identity: &Mutex<Identity>) -> MutexGuard<'_, Identity> {
    identity.lock().unwrap_or_else(PoisonError::into_inner)
}

fn receive(reader: &mut UnixStream) -> io::Result<Heard<ToAgent>> {
    let mut header = [0; 4];
    reader.read_exact(&mut header)?;
    let mut json = vec![0; stream::length(header).map_err(io::Error::other)?];
    reader.read_exact(&mut json)?;
    stream::hear(&json).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Agent, Upstream, testing};
    use model::ResourceId as _;

    fn hear(server: &mut UnixStream) -> ToServer {
        let mut header = [0; 4];
        server.read_exact(&mut header).unwrap();
        let mut json = vec![0; stream::length(header).unwrap()];
        server.read_exact(&mut json).unwrap();
        stream::decode(&json).unwrap()
    }

    #[test]
    fn what_a_later_server_says_is_answered_and_the_rest_goes_on() {
        let directory = tempfile::tempdir().unwrap();
        let (mut server, ours) = UnixStream::pair().unwrap();
        server.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let agent = Agent::start(testing::options(directory.path()), Upstream::Here(ours)).unwrap();
        let ToServer::Hello { knows, .. } = hear(&mut server) else { panic!("no hello") };
        assert!(knows.contains("Console") && !knows.contains("Pause"));
        server.write_all(&stream::encode(&serde_json::json!({ "Pause": { "until": 7 } })).unwrap()).unwrap();
        assert_eq!(hear(&mut server), ToServer::Unsupported { message: "Pause".into() });
        let instance = InstanceId::from_random(1);
        server.write_all(&stream::encode(&ToAgent::Console { instance }).unwrap()).unwrap();
        assert!(matches!(hear(&mut server), ToServer::Console(console) if console.instance == instance));
        agent.stop();
    }

    #[test]
    fn a_host_that_lost_track_says_so_ever_later_and_once_each_time() {
        let mut lost = Lost::default();
        assert_eq!((lost.patience(), lost.is_due()), (LOOK, false));
        lost.track();
        let at = lost.hello_at;
        lost.track();
        assert_eq!(lost.hello_at, at, "what comes meanwhile does not put it off");
        assert!(lost.patience() < Duration::from_secs(1) && !lost.is_due());
        let mut longest = Duration::ZERO;
        for _ in 0..20 {
            lost.hello_at = Some(Instant::now());
            assert!(lost.is_due() && !lost.is_due());
            lost.track();
            longest = longest.max(lost.patience());
        }
        assert!(longest > Duration::from_secs(7) && longest <= Duration::from_secs(15), "{longest:?}");
    }
}
