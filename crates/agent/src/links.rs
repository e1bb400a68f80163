//! Links to other hosts: the shell around `tunnel::Agreement`.
//!
//! ```text
//!   engine ── Want, unknown SPI ─▶ ┌───────────────────┐ ── Tunnels ─▶ data plane
//!   link ──── intent, identity ──▶ │ one thread with   │
//!   sessions ── Up, Message, .. ─▶ │ the agreement     │ ── Connect, Send, Close ─▶ sessions ◀─TLS─▶ other hosts
//!   desk ──── status ────────────▶ └───────────────────┘
//! ```
//!
//! It holds no authority but the last intent: who may send what to whom, where the others are and which keys they have.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use dataplane::{Entitled, Tunnels, Want};
use linux::udp::UdpSocket;
use model::intent::Intent;
use model::{Domain, Host, HostId, Time};
use policy::Internet;
use tunnel::{Agreement, Effect, Handover, KeyMaterial, Message, Permits, SessionId, message};

pub use tunnel::{LinkDirection, LinkStatus};

use crate::clock::{Clocks, Steps};
use crate::engine::{Engine, Wire};
use crate::esp_keys::{Kept, KeyName};
use crate::identity::Credentials;
use crate::session::{self, Command, Event, Exporter, Limits, NoEvent, Role, Sessions};
use crate::{StartError, chain};

/// Sealed packets by UDP, key sessions by TCP (RFC 3948).
pub const PORT: u16 = 4500;
/// What waits for the thread; beyond it, wants are lost and asked again, all else waits.
const INPUTS_MAX: usize = 1024;
/// How long an idle thread sleeps at most.
const SLEEP: Duration = Duration::from_secs(1);
/// How long a predecessor may take to leave the port of key sessions.
const PORT_PATIENCE: Duration = Duration::from_secs(10);
/// How long a question about the links may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// How a host reaches the others.
#[derive(Clone, Debug)]
pub struct Underlay {
    /// The network namespace that its sockets are in; `None`: this process's own.
    pub netns: Option<Arc<OwnedFd>>,
    pub address: IpAddr,
    /// The largest IP packet on every path between hosts, in bytes.
    pub mtu: u16,
}

impl Underlay {
    /// The largest packet that a guest may send: what sealing leaves of the underlay, and no more than on AWS.
    pub fn guest_mtu(&self) -> u16 {
        self.tunnel_mtu().min(crate::MTU)
    }

    /// Where other hosts reach this one.
    pub fn socket_address(&self) -> SocketAddr {
        SocketAddr::new(self.address, PORT)
    }

    pub(crate) fn tunnel_mtu(&self) -> u16 {
        tunnel::inner_mtu(self.mtu, self.address.is_ipv6())
    }

    fn inside<T: Send>(&self, work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        match &self.netns {
            Some(netns) => linux::namespace::in_netns(netns, work)?,
            None => work(),
        }
    }
}

/// Only hosts that the intent names: one that was revoked still carries instances by the records of its VPCs.
#[derive(Debug)]
struct Known {
    entitled: Entitled,
    hosts: BTreeSet<HostId>,
}

impl Permits for Known {
    fn permits(&self, direction: LinkDirection, host: HostId, domain: Domain) -> bool {
        self.hosts.contains(&host) && self.entitled.permits(direction, host, domain)
    }
}

/// What the thread is told.
pub(crate) enum Input {
    Session(Event),
    Want(Want),
    /// A datagram of an association that there is none of, and where it came from.
    UnknownSpi(SocketAddr, u32),
    Follow(Arc<Intent>),
    Certified(Credentials),
    Status(SyncSender<Vec<LinkStatus>>),
    EspKeys(SyncSender<Option<Vec<EspKey>>>),
    /// Everything is for another process now, this thread ends.
    HandOver(SyncSender<Handover>),
    Stop,
}

/// A key that is in use, and the underlay address of the host that has it too.
pub(crate) type EspKey = (KeyName, IpAddr, KeyMaterial);

/// The thread, as the agent sees it.
pub(crate) struct Links {
    inputs: SyncSender<Input>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// What is taken before anything runs: the sockets, so that a busy port is named at once.
pub(crate) struct Opened {
    sessions: Sessions,
    events: session::Events,
    sender: SyncSender<Input>,
    inputs: Receiver<Input>,
}

/// Takes the ports: for key sessions, and one socket for each of so many threads. A predecessor's sockets are gone on with, if it had as
/// many threads; and its port for sessions is waited for.
pub(crate) fn open(
    underlay: &Underlay,
    threads: usize,
    received: Option<Vec<(OwnedFd, OwnedFd)>>,
) -> Result<(Opened, Vec<Wire>), StartError> {
    let failed = |source| StartError::Underlay { address: underlay.address, source };
    let netns = underlay.netns.clone();
    let enter = move || netns.map_or(Ok(()), |netns| linux::namespace::enter_netns(&*netns));
    let address = SocketAddr::new(underlay.address, PORT);
    let port = if received.is_some() { PORT_PATIENCE } else { Duration::ZERO };
    let (sessions, events) = Sessions::start(address, Limits { port, ..Limits::default() }, enter).map_err(failed)?;
    let (sender, inputs) = sync_channel(INPUTS_MAX);
    let wire = || {
        let receiver = UdpSocket::bind(address).map_err(io::Error::other)?;
        let sender = UdpSocket::sender(underlay.address).map_err(io::Error::other)?;
        Ok((receiver, sender))
    };
    let go_on = |(receiver, sender): (OwnedFd, OwnedFd)| {
        Ok((
            UdpSocket::received(receiver, address)?,
            UdpSocket::received(sender, SocketAddr::new(underlay.address, 0))?,
        ))
    };
    let sockets = || match received {
        Some(received) if received.len() == threads => received.into_iter().map(go_on).collect(),
        _ => (0..threads).map(|_| wire()).collect::<io::Result<Vec<_>>>(),
    };
    let sockets = underlay.inside(sockets).map_err(failed)?;
    let wires = sockets.into_iter().map(|(receiver, socket)| Wire { receiver, sender: socket, links: sender.clone() });
    let wires = wires.collect();
    Ok((Opened { sessions, events, sender, inputs }, wires))
}

impl Opened {
    /// Starts agreeing on keys.
    pub(crate) fn start(
        self,
        host: HostId,
        underlay: &Underlay,
        plane: Arc<dataplane::Shared>,
        engine: Arc<Engine>,
        allow_esp_keys: bool,
        handover: Option<&Handover>,
    ) -> Result<Links, StartError> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|_| StartError::Randomness)?;
        let clock = Clock(Instant::now());
        let config = tunnel::Config { host, underlay_mtu: underlay.mtu, seed };
        let mut agreement = Agreement::new(&config, clock.now());
        if let Some(Err(error)) = handover.map(|handover| agreement.take_over(handover, clock.now())) {
            tracing::warn!(%error, "keys are agreed anew");
        }
        let Opened { sessions, events, sender, inputs } = self;
        let keys = Keys {
            host,
            clock,
            agreement,
            exporters: Exporters { sessions: BTreeMap::new(), kept: allow_esp_keys.then(Kept::default) },
            sessions,
            intent: Arc::default(),
            hosts: BTreeMap::new(),
            plane,
            engine,
            steps: Steps::default(),
        };
        let forwarded = sender.clone();
        let spawn = |name: &str, work: Box<dyn FnOnce() + Send>| {
            std::thread::Builder::new().name(name.into()).spawn(work).map_err(StartError::Thread)
        };
        let threads = vec![
            spawn("session events", Box::new(move || forward(&events, &forwarded)))?,
            spawn("links", Box::new(move || keys.run(&inputs)))?,
        ];
        Ok(Links { inputs: sender, threads: Mutex::new(threads) })
    }
}

impl Links {
    pub(crate) fn tell(&self, input: Input) {
        // A thread that has ended has nothing to be told.
        let _ = self.inputs.send(input);
    }

    /// What there is of links; nothing if the thread does not answer.
    pub(crate) fn status(&self) -> Vec<LinkStatus> {
        let (answer, answers) = sync_channel(1);
        self.tell(Input::Status(answer));
        answers.recv_timeout(PATIENCE).unwrap_or_default()
    }

    /// Returns when all that it was told is done.
    pub(crate) fn settle(&self) {
        // An answer comes after whatever was told before the question.
        self.status();
    }

    /// The keys that are in use; `None`: they are not kept, or the thread does not answer.
    pub(crate) fn esp_keys(&self) -> Option<Vec<EspKey>> {
        let (answer, answers) = sync_channel(1);
        self.tell(Input::EspKeys(answer));
        answers.recv_timeout(PATIENCE).ok().flatten()
    }

    /// All keys, for the next process; nothing is sealed or opened here any more. `None`: the thread does not answer.
    pub(crate) fn hand_over(&self) -> Option<Handover> {
        let (answer, answers) = sync_channel(1);
        self.tell(Input::HandOver(answer));
        answers.recv_timeout(PATIENCE).ok()
    }

    pub(crate) fn stop(&self) {
        self.tell(Input::Stop);
        for thread in self.threads.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the links ended in a panic");
            }
        }
    }
}

/// Hands on what happens to sessions until their thread ends.
fn forward(events: &session::Events, inputs: &SyncSender<Input>) {
    loop {
        match events.recv(SLEEP) {
            Ok(event) => {
                if inputs.send(Input::Session(event)).is_err() {
                    return;
                }
            }
            Err(NoEvent::Timeout) => {}
            Err(NoEvent::Ended) => return,
        }
    }
}

/// Time that never jumps: what the agreement wants.
#[derive(Clone, Copy)]
struct Clock(Instant);

impl Clock {
    fn now(self) -> Time {
        Time::from_unix_millis(i64::try_from(self.0.elapsed().as_millis()).unwrap_or(i64::MAX))
    }
}

/// Of each session: its exporter, this host's part, the other host.
struct Exporters {
    sessions: BTreeMap<SessionId, (Exporter, Role, HostId)>,
    /// `None`: keys are not kept.
    kept: Option<Kept>,
}

impl tunnel::Exporter for Exporters {
    fn export(&self, session: SessionId, context: &[u8]) -> Option<KeyMaterial> {
        let (exporter, role, host) = self.sessions.get(&session)?;
        let material = KeyMaterial::fill(|key| exporter.export(context, key)).ok()?;
        if let (Some(kept), Some(spi)) = (&self.kept, context.first_chunk()) {
            let name = KeyName { host: *host, is_inbound: *role == Role::Server, spi: u32::from_be_bytes(*spi) };
            kept.keep(name, &material);
        }
        Some(material)
    }
}

struct Keys {
    host: HostId,
    clock: Clock,
    agreement: Agreement,
    exporters: Exporters,
    sessions: Sessions,
    intent: Arc<Intent>,
    /// By underlay address.
    hosts: BTreeMap<IpAddr, HostId>,
    plane: Arc<dataplane::Shared>,
    engine: Arc<Engine>,
    steps: Steps,
}

impl Keys {
    fn run(mut self, inputs: &Receiver<Input>) {
        loop {
            match inputs.recv_timeout(self.until_timeout()) {
                Ok(Input::Stop) | Err(RecvTimeoutError::Disconnected) => return self.sessions.stop(),
                Ok(Input::HandOver(answer)) => {
                    drop(answer.try_send(self.agreement.hand_over(self.clock.now())));
                    return self.sessions.stop();
                }
                Ok(input) => self.take(input),
                Err(RecvTimeoutError::Timeout) => {}
            }
            let now = self.clock.now();
            if self.steps.look(Clocks::now()) {
                tracing::warn!(
                    "the clock was set: this machine may be a copy of another; all links are agreed on anew"
                );
                self.agreement.reset(now);
            }
            if self.agreement.poll_timeout().is_some_and(|due| due <= now) {
                self.agreement.handle_timeout(now);
            }
            self.act();
        }
    }

    fn until_timeout(&self) -> Duration {
        let Some(due) = self.agreement.poll_timeout() else { return SLEEP };
        Duration::from_millis((due - self.clock.now()).as_millis().max(0).unsigned_abs()).min(SLEEP)
    }

    fn take(&mut self, input: Input) {
        let now = self.clock.now();
        match input {
            Input::Session(event) => self.happened(event, now),
            Input::Want(want) => {
                if let Err(why) = self.agreement.want(want.domain, want.host, want.shard, now) {
                    tracing::debug!(domain = %want.domain, host = %want.host, %why, "no link");
                }
            }
            Input::UnknownSpi(from, spi) => {
                if let Some(host) = self.hosts.get(&from.ip()) {
                    self.agreement.unknown_spi(*host, spi, now);
                }
            }
            Input::Follow(intent) => self.follow(intent, now),
            Input::Certified(credentials) => self.command(Command::SetIdentity(credentials)),
            Input::Status(answer) => drop(answer.try_send(self.agreement.status(now))),
            Input::EspKeys(answer) => drop(answer.try_send(self.esp_keys())),
            Input::HandOver(_) | Input::Stop => {}
        }
    }

    fn follow(&mut self, intent: Arc<Intent>, now: Time) {
        let is_moved = self.intent.hosts != intent.hosts;
        let has_other_key = |known: &Host| intent.hosts.get(&known.id).is_some_and(|host| host.key != known.key);
        let changed: Vec<HostId> =
            self.intent.hosts.values().filter(|known| has_other_key(known)).map(|host| host.id).collect();
        self.intent = intent;
        // What a revoked key has agreed on ends with it.
        changed.into_iter().for_each(|host| self.agreement.distrust(host, now));
        if is_moved {
            let peers = self.intent.hosts.iter().map(|(id, host)| (*id, host.key)).collect();
            self.command(Command::SetPeers(peers));
            self.hosts = self.intent.hosts.values().map(|host| (host.underlay.ip(), host.id)).collect();
        }
        let slices = self.intent.vpcs.values().map(|slice| &**slice);
        let internet = Internet::new(&self.intent.public, &self.intent.public_ipv6);
        let entitled = Entitled::new(self.host, slices).with_internet(&internet);
        self.agreement.entitle(Known { entitled, hosts: self.intent.hosts.keys().copied().collect() }, now);
        if is_moved {
            self.connect();
        }
    }

    fn happened(&mut self, event: Event, now: Time) {
        match event {
            Event::Up(up) => {
                let session = SessionId(up.session);
                self.exporters.sessions.insert(session, (up.exporter, up.role, up.host));
                let role = match up.role {
                    Role::Client => tunnel::Role::Client,
                    Role::Server => tunnel::Role::Server,
                };
                tracing::info!(host = %up.host, ?role, "key session up");
                self.agreement.session_up(session, up.host, role, up.post_quantum, now);
            }
            Event::Message { session, bytes } => match message::decode(&bytes) {
                Ok(message) => self.agreement.message(SessionId(session), message, now, &self.exporters),
                Err(error) => {
                    tracing::warn!(error = %chain(&error), "a host does not speak the protocol of keys");
                    self.command(Command::Close { session });
                }
            },
            Event::Down { session, why } => {
                tracing::info!(session, %why, "key session down");
                self.exporters.sessions.remove(&SessionId(session));
                self.agreement.session_down(SessionId(session), now);
            }
            Event::Failed { host, address, why } => {
                tracing::warn!(%host, %address, %why, "no key session");
                self.agreement.connect_failed(host, now);
            }
            Event::Refused { from, why } => tracing::warn!(%from, %why, "refused a key session"),
        }
    }

    fn act(&mut self) {
        while let Some(effect) = self.agreement.poll_effect() {
            match effect {
                Effect::Changed => self.connect(),
                Effect::Connect { host } => match self.intent.hosts.get(&host) {
                    Some(place) => self.command(Command::Connect { host, address: place.underlay }),
                    None => self.agreement.connect_failed(host, self.clock.now()),
                },
                Effect::Send { session, message } => self.send(session, &message),
                Effect::Close { session } => {
                    self.exporters.sessions.remove(&session);
                    self.command(Command::Close { session: session.0 });
                }
            }
        }
    }

    fn esp_keys(&self) -> Option<Vec<EspKey>> {
        let with_address = |(name, material): (KeyName, KeyMaterial)| {
            let place = self.intent.hosts.get(&name.host)?;
            Some((name, place.underlay.ip(), material))
        };
        Some(self.exporters.kept.as_ref()?.all().into_iter().filter_map(with_address).collect())
    }

    fn send(&self, session: SessionId, message: &Message) {
        self.command(Command::Send { session: session.0, frame: message::encode(message) });
    }

    fn command(&self, command: Command) {
        if let Err(error) = self.sessions.send(command) {
            tracing::debug!(%error, "the sessions do not hear");
        }
    }

    /// Hands the data plane what there is now, and has what waited looked at.
    fn connect(&self) {
        let address = |host| self.intent.hosts.get(&host).map(|place| place.underlay);
        let sas = self.agreement.sas();
        self.exporters.kept.iter().for_each(|kept| kept.retain(&sas));
        self.plane.connect(Tunnels::new(sas, address));
        self.engine.wake();
    }
}
