//! The hosts that are connected: each is told its intent, and says when it is in force.

pub(crate) mod door;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use model::intent::Intent;
use model::{Host, HostId, InstanceId, KeyFingerprint, Region, Time, World};
use stream::{
    Bytes, CONSOLE_MAX, Console, Digests, Heard, JoinSecret, NoCertificate, ROOTS_MAX, Report, ToAgent, ToServer,
    Update,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc, watch};

use crate::authority::ring::Authorities;
use crate::authority::{Application, Certificate};
use crate::members::{self, is_member};
use crate::region::{Answer, Work, chain, machine_time};
use crate::{Cloud, Trust};

/// Questions before a hello: a certificate, and once more.
const GREETINGS_MAX: usize = 4;
/// How long a connection may take to say hello.
const GREETING: Duration = Duration::from_secs(30);
/// The longest frame of somebody who has proven nothing.
const STRANGERS_FRAME_MAX: usize = 16 << 10;

/// Whose connection it is, proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    Nobody,
    /// A host of this process: believed, whatever its key.
    Here(HostId),
    /// Whoever holds this key, which the authority certified for that name.
    Certified(HostId, KeyFingerprint),
}

impl Known {
    fn host(self) -> Option<HostId> {
        match self {
            Known::Nobody => None,
            Known::Here(host) | Known::Certified(host, _) => Some(host),
        }
    }

    /// Whether the host still belongs.
    fn is_member(self, home: &World) -> bool {
        match self {
            Known::Nobody => false,
            Known::Here(_) => true,
            Known::Certified(host, key) => is_member(home, host, key),
        }
    }
}

/// What each connected host has in force, by region.
type InForce = BTreeMap<HostId, BTreeMap<Region, u64>>;

pub(crate) struct Hosts {
    in_force: watch::Sender<InForce>,
    /// The newest connection of each host; it replaces the ones before, whose end may not have been noticed.
    newest: watch::Sender<BTreeMap<HostId, u64>>,
    next: AtomicU64,
    /// The newest connection of each host.
    lines: Mutex<BTreeMap<HostId, Line>>,
    /// Something about what hosts believe, or who is connected, is new.
    beliefs: watch::Sender<()>,
    /// What hosts told of consoles, for those who asked.
    consoles: broadcast::Sender<(HostId, Console)>,
}

/// A host's connection.
struct Line {
    connection: u64,
    /// Takes what is to be said on it.
    say: mpsc::Sender<Said>,
    /// The messages that the host knows.
    knows: BTreeSet<String>,
    /// `None`: it has not said so.
    beliefs: Option<Beliefs>,
}

/// The authorities that a host believes, by their keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Beliefs {
    pub(crate) roots: BTreeSet<KeyFingerprint>,
    /// The one that its certificate is from.
    pub(crate) by: Option<KeyFingerprint>,
}

/// Names of messages that a host may not know.
const CONSOLE: &str = "Console";
const AUTHORITY: &str = "Authority";
const UNSUPPORTED: &str = "Unsupported";

/// How long a host has to tell of a console.
const CONSOLE_WAIT: Duration = Duration::from_secs(2);
/// Consoles that were told and not heard yet by all who ask; beyond, the oldest are missed and the question has no answer.
const CONSOLES_MAX: usize = 16;

/// What an instance's console said last.
pub(crate) struct ConsoleOutput {
    pub(crate) written: Time,
    pub(crate) output: Vec<u8>,
}

impl Default for Hosts {
    fn default() -> Hosts {
        Hosts {
            in_force: watch::channel(InForce::new()).0,
            newest: watch::channel(BTreeMap::new()).0,
            next: AtomicU64::new(0),
            lines: Mutex::default(),
            beliefs: watch::channel(()).0,
            consoles: broadcast::channel(CONSOLES_MAX).0,
        }
    }
}

impl Hosts {
    /// Waits until every connected host has this revision in force; `false`: the time was over first.
    pub(crate) async fn wait(&self, region: Region, revision: u64, at_most: Duration) -> bool {
        let mut hosts = self.in_force.subscribe();
        let in_force = |hosts: &InForce| hosts.values().all(|at| at.get(&region).is_some_and(|at| *at >= revision));
        // Past the time the answer goes out all the same; status shows the lag.
        tokio::time::timeout(at_most, hosts.wait_for(in_force)).await.is_ok()
    }

    /// What each connected host has in force.
    pub(crate) fn in_force(&self) -> InForce {
        self.in_force.borrow().clone()
    }

    /// Every connected host, and whether it is at these revisions.
    pub(crate) fn status(&self, revisions: &BTreeMap<Region, u64>) -> Vec<(HostId, bool)> {
        let behind =
            |at: &BTreeMap<Region, u64>| revisions.iter().any(|(region, revision)| at.get(region) < Some(revision));
        self.in_force.borrow().iter().map(|(host, at)| (*host, !behind(at))).collect()
    }

    /// Every host that is connected and has something in force.
    pub(crate) fn connected(&self) -> BTreeSet<HostId> {
        self.in_force.borrow().keys().copied().collect()
    }

    fn set(&self, host: HostId, at: BTreeMap<Region, u64>) {
        self.in_force.send_modify(|hosts| drop(hosts.insert(host, at)));
    }

    /// Asks the host that carries an instance what its console said; `None`: it is not connected, does not know the question, or does not
    /// answer in time.
    pub(crate) async fn console(&self, host: HostId, instance: InstanceId) -> Option<ConsoleOutput> {
        let mut told = self.consoles.subscribe();
        let line = self.lines().get(&host).filter(|line| line.knows.contains(CONSOLE)).map(|line| line.say.clone())?;
        let answer = async {
            line.send(Said::Answer(ToAgent::Console { instance })).await.ok()?;
            loop {
                match told.recv().await {
                    Ok((from, console)) if (from, console.instance) == (host, instance) => return Some(console),
                    Ok(_) | Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return None,
                }
            }
        };
        let console = tokio::time::timeout(CONSOLE_WAIT, answer).await.ok().flatten()?;
        let mut output = console.output.0;
        output.truncate(CONSOLE_MAX);
        Some(ConsoleOutput { written: console.written, output })
    }

    /// What a host believes; `None`: it is not connected, or has not said so yet. `Some(None)`: it cannot say, being of an earlier version.
    pub(crate) fn beliefs(&self, host: HostId) -> Option<Option<Beliefs>> {
        let lines = self.lines();
        let line = lines.get(&host)?;
        if !line.knows.contains(AUTHORITY) {
            return Some(None);
        }
        line.beliefs.clone().map(Some)
    }

    /// Tells of what [`Hosts::beliefs`] could say anew.
    pub(crate) fn watch_beliefs(&self) -> watch::Receiver<()> {
        self.beliefs.subscribe()
    }

    fn believes(&self, host: HostId, connection: u64, beliefs: Beliefs) {
        if let Some(line) = self.lines().get_mut(&host).filter(|line| line.connection == connection) {
            line.beliefs = Some(beliefs);
        }
        self.beliefs.send_replace(());
    }

    fn lines(&self) -> MutexGuard<'_, BTreeMap<HostId, Line>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Another connection of the host; the ones before end.
    fn begin(&self, host: HostId, say: mpsc::Sender<Said>, knows: BTreeSet<String>) -> u64 {
        let connection = self.next.fetch_add(1, Ordering::Relaxed);
        self.lines().insert(host, Line { connection, say, knows, beliefs: None });
        self.newest.send_modify(|newest| {
            newest.insert(host, connection);
        });
        connection
    }

    /// Waits until the host has another connection.
    async fn replaced(&self, host: HostId, connection: u64) {
        let mut newest = self.newest.subscribe();
        let _ = newest.wait_for(|newest| newest.get(&host) != Some(&connection)).await;
    }

    fn end(&self, host: HostId, connection: u64) {
        let mut lines = self.lines();
        if lines.get(&host).is_some_and(|newest| newest.connection == connection) {
            lines.remove(&host);
        }
        drop(lines);
        self.newest.send_if_modified(|newest| {
            let is_last = newest.get(&host) == Some(&connection);
            if is_last {
                newest.remove(&host);
                self.in_force.send_modify(|hosts| drop(hosts.remove(&host)));
            }
            is_last
        });
    }
}

/// What a host said that must be answered on its connection.
enum Said {
    Hello(Digests),
    Answer(ToAgent),
}

/// Serves one host until its connection ends. `known`: whose connection it is, proven.
pub(crate) async fn serve(
    cloud: &Cloud,
    known: Known,
    connection: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
) {
    let (mut read, mut write) = tokio::io::split(connection);
    let greeting = greet(cloud, known, &mut read, &mut write);
    let Greeting { host, has, knows } =
        match tokio::time::timeout(GREETING, greeting).await.map_err(io::Error::from).flatten() {
            Ok(Some(greeting)) => greeting,
            // Whoever joins comes again with its certificate.
            Ok(None) => return drop(write.shutdown().await),
            Err(error) if known == Known::Nobody => {
                return tracing::info!(error = %chain(&error), "a stranger's connection ended");
            }
            Err(error) => return tracing::warn!(?known, error = %chain(&error), "a host did not say hello"),
        };
    tracing::info!(%host, "host connected");
    let (say, said) = mpsc::channel(1);
    let rotates = knows.contains(AUTHORITY).then(|| cloud.trust.ring.watch());
    let connection = cloud.hosts.begin(host, say.clone(), knows);
    tokio::select! {
        result = tell(cloud, known, host, has, said, rotates, write) => log_end(host, result),
        result = hear(cloud, known, host, connection, &say, read) => log_end(host, result),
        () = cloud.hosts.replaced(host, connection) => tracing::info!(%host, "the host connected anew"),
    }
    cloud.hosts.end(host, connection);
}

/// What a host says of itself.
struct Greeting {
    host: HostId,
    has: Digests,
    knows: BTreeSet<String>,
}

/// What comes before and with the hello; `None`: there was none, or another host's.
async fn greet(
    cloud: &Cloud,
    known: Known,
    read: &mut (impl AsyncRead + Unpin),
    write: &mut (impl AsyncWrite + Unpin),
) -> io::Result<Option<Greeting>> {
    for _ in 0..GREETINGS_MAX {
        let limit = if known == Known::Nobody { STRANGERS_FRAME_MAX } else { stream::FRAME_MAX };
        let message = match receive(read, limit).await? {
            Heard::Known(message) => message,
            Heard::Unknown(message) if known != Known::Nobody => {
                tracing::info!(?known, message, "a host says what this server does not know; it may be newer");
                continue;
            }
            Heard::Unknown(_) => return Err(io::Error::other("it said neither who it is nor that it wants to join")),
        };
        match message {
            ToServer::Certify { host, csr, token, underlay } => {
                let answer = certify(cloud, known, host, csr, token, underlay).await;
                send(write, &answer).await?;
                if known == Known::Nobody {
                    return Ok(None);
                }
            }
            ToServer::Hello { host, has, place, knows } if known.host() == Some(host) => {
                if !known.is_member(&cloud.home().world()) {
                    tracing::warn!(%host, "a revoked host was refused");
                    send(write, &ToAgent::NoCertificate(NoCertificate::Revoked)).await?;
                    return Ok(None);
                }
                note_place(cloud, known, place).await;
                return Ok(Some(Greeting { host, has, knows }));
            }
            _ => return Err(io::Error::other("it said neither who it is nor that it wants to join")),
        }
    }
    Ok(None)
}

/// The authority's answer.
async fn certify(
    cloud: &Cloud,
    known: Known,
    host: HostId,
    csr: Bytes,
    token: Option<JoinSecret>,
    underlay: Option<SocketAddr>,
) -> ToAgent {
    let certified = certified(cloud, known, host, csr, token, underlay).await;
    certified.map_or_else(
        |why| {
            tracing::warn!(%host, %why, "a host was not certified");
            ToAgent::NoCertificate(why)
        },
        |certificate| certificate.message(),
    )
}

async fn certified(
    cloud: &Cloud,
    known: Known,
    host: HostId,
    csr: Bytes,
    token: Option<JoinSecret>,
    underlay: Option<SocketAddr>,
) -> Result<Certificate, NoCertificate> {
    let joins = known.host() != Some(host);
    if joins && token.is_some() && underlay.is_none() {
        return Err(NoCertificate::Request("a host that joins says where it is".into()));
    }
    let (trust, world) = (cloud.trust.clone(), cloud.home().world());
    let work = move || {
        let Trust { ring, tokens } = &*trust;
        let is_taken = |key| world.find::<Host>(&host).is_some_and(|record| record.key != key);
        let application = Application { known: known.host(), host, csr: &csr.0, token: token.as_ref() };
        ring.now().signer.certify(tokens, &application, is_taken, machine_time())
    };
    // It waits for the disk.
    let (certificate, is_named) =
        tokio::task::spawn_blocking(work).await.map_err(|_| NoCertificate::Unavailable).flatten()?;
    match (known, underlay) {
        (_, Some(underlay)) if joins => {
            let place = Host { id: host, underlay, key: certificate.key };
            members::admit(cloud, &certificate, place, is_named).await?;
        }
        (Known::Certified(_, key), _) if key != certificate.key => {
            return Err(NoCertificate::Request("a host keeps its key; with another one it joins anew".into()));
        }
        (known, _) if !known.is_member(&cloud.home().world()) => return Err(NoCertificate::Revoked),
        _ => {}
    }
    Ok(certificate)
}

fn log_end(host: HostId, result: io::Result<()>) {
    match result {
        Ok(()) => tracing::info!(%host, "host disconnected"),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => tracing::info!(%host, "host disconnected"),
        Err(error) => tracing::warn!(%host, error = %chain(&error), "host disconnected"),
    }
}

/// Tells the host its intent at every new World, and again from what it says it has. `rotates`: it is told of authorities too.
async fn tell(
    cloud: &Cloud,
    known: Known,
    host: HostId,
    mut has: Digests,
    mut said: mpsc::Receiver<Said>,
    mut rotates: Option<watch::Receiver<Arc<Authorities>>>,
    mut write: impl AsyncWrite + Unpin,
) -> io::Result<()> {
    if let Some(authorities) = &mut rotates {
        let message = authorities.borrow_and_update().message();
        send(&mut write, &message).await?;
    }
    let mut worlds: Vec<_> = cloud.regions.values().map(crate::region::RegionShell::watch).collect();
    let mut last: Option<Intent> = None;
    loop {
        let current: BTreeMap<Region, World> = cloud
            .regions
            .keys()
            .copied()
            .zip(worlds.iter_mut().map(|world| (**world.borrow_and_update()).clone()))
            .collect();
        if !current.get(&cloud.home().config.region).is_some_and(|home| known.is_member(home)) {
            send(&mut write, &ToAgent::NoCertificate(NoCertificate::Revoked)).await?;
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, "it was revoked"));
        }
        let intent = control::plan::intent(&current, host);
        let same = last.as_ref().filter(|last| {
            (&last.vpcs, &last.instances, &last.hosts) == (&intent.vpcs, &intent.instances, &intent.hosts)
                && (&last.public, &last.public_ipv6, &last.names)
                    == (&intent.public, &intent.public_ipv6, &intent.names)
        });
        // Where nothing that this host does depends on what changed, it is in force as soon as the last intent is; a host that
        // has not said so yet is told the new revisions, or nobody ever would say them.
        if !same.is_some_and(|last| cloud.hosts.advance(host, &last.revisions, &intent.revisions)) {
            let update = Update::between(&has, &intent);
            has = Digests::of(&intent);
            send(&mut write, &ToAgent::Update(update)).await?;
        }
        last = Some(intent);
        tokio::select! {
            () = any_changed(&mut worlds) => {}
            message = next_authorities(&mut rotates) => send(&mut write, &message).await?,
            Some(said) = said.recv() => match said {
                Said::Hello(hello) => {
                    has = hello;
                    last = None;
                }
                Said::Answer(answer) => send(&mut write, &answer).await?,
            },
        }
    }
}

impl Hosts {
    /// A host that has the old revisions in force has the new ones too. `false`: it does not have the old ones.
    fn advance(&self, host: HostId, from: &BTreeMap<Region, u64>, to: &BTreeMap<Region, u64>) -> bool {
        let mut has = false;
        self.in_force.send_if_modified(|hosts| match hosts.get_mut(&host) {
            Some(at) if at == from => {
                has = true;
                at.clone_from(to);
                from != to
            }
            _ => false,
        });
        has
    }
}

/// What to say of the next step of a rotation.
async fn next_authorities(rotates: &mut Option<watch::Receiver<Arc<Authorities>>>) -> ToAgent {
    if let Some(authorities) = rotates
        && authorities.changed().await.is_ok()
    {
        return authorities.borrow_and_update().message();
    }
    std::future::pending().await
}

async fn any_changed(worlds: &mut [watch::Receiver<Arc<World>>]) {
    let changes = worlds.iter_mut().map(|world| Box::pin(world.changed()));
    let mut changes: Vec<_> = changes.collect();
    std::future::poll_fn(|cx| {
        let ready = changes.iter_mut().any(|change| change.as_mut().poll(cx).is_ready());
        if ready { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}

/// Hears what the host has in force and what became of instances.
async fn hear(
    cloud: &Cloud,
    known: Known,
    host: HostId,
    connection: u64,
    say: &mpsc::Sender<Said>,
    mut read: impl AsyncRead + Unpin,
) -> io::Result<()> {
    loop {
        let message = match receive(&mut read, stream::FRAME_MAX).await? {
            Heard::Known(message) => message,
            Heard::Unknown(message) => {
                tracing::info!(%host, message, "a host says what this server does not know; it may be newer");
                if cloud.hosts.lines().get(&host).is_some_and(|line| line.knows.contains(UNSUPPORTED)) {
                    let _ = say.send(Said::Answer(ToAgent::Unsupported { message })).await;
                }
                continue;
            }
        };
        match message {
            ToServer::Applied { revisions } => cloud.hosts.set(host, revisions),
            ToServer::Report(report) => record(cloud, host, report).await,
            ToServer::Believes { roots, by } if roots.len() <= ROOTS_MAX => {
                cloud.hosts.believes(host, connection, Beliefs { roots, by });
            }
            ToServer::Believes { .. } => {
                return Err(io::Error::other("it believes more authorities than there can be"));
            }
            ToServer::Unsupported { message } => {
                tracing::warn!(%host, message, "the host does not know what it was told; upgrade it");
            }
            // Nobody may be waiting any more.
            ToServer::Console(console) => drop(cloud.hosts.consoles.send((host, console))),
            ToServer::Certify { csr, .. } => {
                let _ = say.send(Said::Answer(certify(cloud, known, host, csr, None, None).await)).await;
            }
            ToServer::Hello { has, place, .. } => {
                note_place(cloud, known, place).await;
                tracing::warn!(%host, "the host lost track and is told everything");
                let _ = say.send(Said::Hello(has)).await;
            }
        }
    }
}

/// Writes down where a host is, for those that send to it.
async fn note_place(cloud: &Cloud, known: Known, place: Option<Host>) {
    let Some(host) = known.host() else { return };
    let is_own = |place: &Host| match known {
        Known::Certified(host, key) => (place.id, place.key) == (host, key),
        _ => place.id == host,
    };
    let Some(place) = place.filter(is_own) else { return };
    let home = cloud.home();
    if control::report::place(&home.world(), &place).is_empty() {
        return;
    }
    let work: Work = Box::new(move |world, _| {
        // Revoked meanwhile: it does not write itself down again.
        if !known.is_member(world) {
            return Ok((Answer::Nothing, Vec::new()));
        }
        match members::occupant(world, &place) {
            Some(other) if matches!(known, Known::Certified(..)) => {
                let message = format!("{} is host {other}'s underlay address", place.underlay.ip());
                Err(ec2::Error::new("AddressInUse", message))
            }
            _ => Ok((Answer::Nothing, control::report::place(world, &place))),
        }
    });
    if let Err(error) = home.write(work).await {
        tracing::warn!(%host, code = %error.code, message = error.message, "a host's place was not recorded");
    }
}

/// Writes down what became of an instance, in the region that has it.
async fn record(cloud: &Cloud, host: HostId, report: Report) {
    let owner = cloud.regions.values().find(|region| region.world().instances.contains_key(&report.instance));
    let Some(region) = owner else { return };
    let work: Work = Box::new(move |world, _| {
        Ok((Answer::Nothing, control::report::receive(world, host, &report, world.now(machine_time()))))
    });
    if let Err(error) = region.write(work).await {
        tracing::warn!(%host, code = %error.code, message = error.message, "a report was not recorded");
    }
}

async fn receive(read: &mut (impl AsyncRead + Unpin), limit: usize) -> io::Result<Heard<ToServer>> {
    let mut header = [0; 4];
    read.read_exact(&mut header).await?;
    let length = stream::length(header).map_err(io::Error::other)?;
    if length > limit {
        return Err(io::Error::other(format!("a frame of {length} bytes is over the limit of {limit}")));
    }
    let mut json = vec![0; length];
    read.read_exact(&mut json).await?;
    stream::hear(&json).map_err(io::Error::other)
}

async fn send(write: &mut (impl AsyncWrite + Unpin), message: &ToAgent) -> io::Result<()> {
    let frame = stream::encode(message).map_err(io::Error::other)?;
    write.write_all(&frame).await?;
    write.flush().await
}
