//! Which keys are there? The brain that agrees on them, one per host (spec 14.5, 14.7, 14.8).
//!
//! Whoever sends asks, whoever receives grants. The shell carries messages over mutual-TLS sessions and does what [`Effect`] says; it calls
//! [`Agreement::poll_effect`] until it is empty after every other call, and [`Agreement::handle_timeout`] when
//! [`Agreement::poll_timeout`] says. `now` must come from a clock that does not jump.
//!
//! ```text
//!   outbound, per domain, host and shard            inbound, per SPI
//!
//!   want ─▶ asking ──Grant──▶ current               Want ─▶ granted ──Retire──▶ 30 s more ─▶ gone
//!             ▲                 │ 60 min, 512 GiB,               │
//!             │                 │ new session                    ├─ 2 h, no longer entitled ─▶ gone
//!             └── current and asking ──Grant──▶ the next; Retire of the old one
//!                      │
//!                      └─ 2 h, 1 TiB, idle 10 min, Revoke, no longer entitled ─▶ gone
//! ```
//!
//! What holds here:
//!
//! - *The receiver decides.* It grants only a domain in which the asking host may send to it, by its own intent.
//! - *No key twice.* The receiver counts its grants and the count is in the key's context; the sender takes only a greater one on a session.
//! - *Nothing survives a restart*, no counter and no key: a new process has new sessions. In a planned one the process before hands over
//!   what bridges the time until then ([`Handover`]).
//! - *What a peer can make us hold is bounded* (the constants here), and nothing that it says ends in a panic.
//! - *A lost session costs nothing at once*: associations go on to their hard limit.

mod agenda;
mod handover;
mod peer;
mod receiving;
mod sending;
mod status;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use model::{Domain, Duration, HostId, ResourceId, Scope, Time, VpcId};
use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};

use self::agenda::{Agenda, Item};
use self::peer::{Peer, Session};
use self::receiving::Receiving;
use self::sending::{Granted, Sending};
use self::status::Totals;
use crate::context::{Exporter, SessionId};
use crate::keys::Cipher;
use crate::limits;
use crate::message::Message;
use crate::table::Sas;

pub use self::handover::{BRIDGE, Handover, HandoverError, JUMP};
pub use self::peer::{BACKOFF_MAX, LINGER, RENEWAL, Role, SERVER_SESSIONS_PER_HOST};
pub use self::receiving::{GRACE, RECEIVING_MAX, RECEIVING_PER_HOST, RECEIVING_PER_LINK};
pub use self::sending::{IDLE, NoLink, SENDING_MAX, WANT_LIFE};
pub use self::status::{Counters, LinkDirection, LinkStatus};

/// Sending threads that a host may have.
pub const SHARDS_MAX: u16 = 256;

/// Messages that wait for the shell at most; more are lost, as if the session had lost them.
const EFFECTS_MAX: usize = 1 << 17;
/// How often counters are read: at 100 Gb/s a key wears by a fifth of what is between its limits.
const COUNTERS_EVERY: Duration = Duration::seconds(10);

/// What one host's agreement is made of.
#[derive(Clone, Debug)]
pub struct Config {
    /// This host.
    pub host: HostId,
    /// Bytes of an IP packet on the underlay; chooses the implementation of the cipher.
    pub underlay_mtu: u16,
    /// From the machine's generator, another one at every start.
    pub seed: [u8; 32],
}

/// Who may send to whom in which domain, as this host's intent says.
pub trait Permits: std::fmt::Debug + Send {
    /// Whether this host may send to (or hear from) that host in this domain.
    fn permits(&self, direction: LinkDirection, host: HostId, domain: Domain) -> bool;
}

/// The same, said one by one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entitlements {
    /// Other hosts, and the domains in which each may send to this one.
    pub may_send_to_me: BTreeMap<HostId, BTreeSet<Domain>>,
    /// Other hosts, and the domains in which this one may send to each.
    pub i_may_send_to: BTreeMap<HostId, BTreeSet<Domain>>,
}

/// What the shell must do, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Put [`Agreement::sas`] in the place of the snapshot that the data plane reads, before the next effect: a granted SPI must open before
    /// the other end learns of it.
    Changed,
    /// Open a key session to this host; answer with [`Agreement::session_up`] or [`Agreement::connect_failed`].
    Connect { host: HostId },
    /// Send on this session.
    Send { session: SessionId, message: Message },
    /// End this session; [`Agreement::session_down`] need not be called for it.
    Close { session: SessionId },
}

/// What an outbound or inbound association is for: the domain, the host at the other end, the sender's thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Link {
    host: HostId,
    domain: Domain,
    shard: u16,
}

impl Link {
    /// Before all of this host.
    fn first(host: HostId) -> Link {
        Link { host, domain: Domain { from: VpcId::FIRST, to: VpcId::FIRST, scope: Scope::Vpc }, shard: 0 }
    }
}

/// One host's side of all key agreements.
#[derive(Debug)]
pub struct Agreement {
    host: HostId,
    cipher: Cipher,
    rng: ChaCha12Rng,
    table_seed: u64,
    /// Never goes back.
    now: Time,
    entitled: Box<dyn Permits>,
    peers: BTreeMap<HostId, Peer>,
    sessions: BTreeMap<SessionId, Session>,
    sending: BTreeMap<Link, Sending>,
    /// Requests without an answer.
    requests: BTreeMap<u64, Link>,
    next_request: u64,
    /// The current outbound associations by host and the SPI that the host chose.
    outbound: BTreeMap<(HostId, u32), Link>,
    receiving: BTreeMap<u32, Receiving>,
    /// The inbound associations of each link, oldest first: epoch and SPI.
    granted: BTreeSet<(Link, u64, u32)>,
    /// Grants so far.
    epoch: u64,
    agenda: Agenda,
    effects: VecDeque<Effect>,
    is_changed: bool,
    counters: Counters,
    totals: BTreeMap<(HostId, Domain, LinkDirection), Totals>,
}

impl Agreement {
    pub fn new(config: &Config, now: Time) -> Agreement {
        let mut rng = ChaCha12Rng::from_seed(config.seed);
        Agreement {
            host: config.host,
            cipher: Cipher::for_underlay(config.underlay_mtu),
            table_seed: rng.next_u64(),
            rng,
            now,
            entitled: Box::new(Entitlements::default()),
            peers: BTreeMap::new(),
            sessions: BTreeMap::new(),
            sending: BTreeMap::new(),
            requests: BTreeMap::new(),
            next_request: 1,
            outbound: BTreeMap::new(),
            receiving: BTreeMap::new(),
            granted: BTreeSet::new(),
            epoch: 0,
            agenda: Agenda::default(),
            effects: VecDeque::new(),
            is_changed: true,
            counters: Counters::default(),
            totals: BTreeMap::new(),
        }
    }

    /// Takes over what a new intent permits. Associations outside end at once here, and the other ends are told.
    pub fn entitle(&mut self, entitled: impl Permits + 'static, now: Time) {
        self.advance(now);
        self.entitled = Box::new(entitled);
        self.revoke_sending_outside();
        self.revoke_receiving_outside();
        let entitled = &self.entitled;
        self.totals.retain(|(host, domain, direction), _| entitled.permits(*direction, *host, *domain));
        let hosts: Vec<HostId> = self.peers.keys().copied().collect();
        hosts.into_iter().for_each(|host| self.step_peer(host));
    }

    /// A message from the host at the other end of the session. One from a session that is not up is dropped.
    pub fn message(&mut self, session: SessionId, message: Message, now: Time, exporter: &impl Exporter) {
        self.advance(now);
        let Some(from) = self.sessions.get_mut(&session) else {
            self.counters.unknown_sessions += 1;
            return;
        };
        from.silent_since = None;
        let (host, role) = (from.host, from.role);
        match (message, role) {
            (Message::Want { request, domain, shard }, Role::Server) => {
                self.handle_want(session, request, Link { host, domain, shard }, exporter);
            }
            (Message::Grant { request, spi, epoch, partial_sums }, Role::Client) => {
                self.handle_grant(session, request, Granted { spi, epoch, partial_sums }, exporter);
            }
            (Message::Refuse { request, .. }, Role::Client) => self.handle_refuse(session, request),
            (Message::Retire { spi, at_once }, _) => self.handle_retire(host, spi, at_once),
            (Message::Revoke { spi }, _) => self.handle_revoke(host, spi),
            (Message::Want { .. }, Role::Client) | (Message::Grant { .. } | Message::Refuse { .. }, Role::Server) => {
                self.counters.violations += 1;
                self.lose(session);
            }
        }
    }

    /// Everything ends and is asked for anew: the machine was restored from a snapshot or cloned, and another one may be using its keys.
    pub fn reset(&mut self, now: Time) {
        self.advance(now);
        self.end_all(|_| true);
    }

    /// Everything with this host ends and is asked for anew: it has another key than the one that it was known by.
    pub fn distrust(&mut self, host: HostId, now: Time) {
        self.advance(now);
        self.end_all(|other| other == host);
    }

    fn end_all(&mut self, is_meant: impl Fn(HostId) -> bool) {
        let sessions: Vec<SessionId> =
            self.sessions.iter().filter(|(_, session)| is_meant(session.host)).map(|(id, _)| *id).collect();
        for link in self.sending.keys().filter(|link| is_meant(link.host)).copied().collect::<Vec<_>>() {
            self.end_sending(link, None);
        }
        let receiving = self.receiving.iter().filter(|(_, receiving)| is_meant(receiving.link.host));
        for spi in receiving.map(|(spi, _)| *spi).collect::<Vec<_>>() {
            self.end_receiving(spi, true);
        }
        sessions.into_iter().for_each(|session| self.lose(session));
    }

    /// When to call [`handle_timeout`](Self::handle_timeout), if at all.
    pub fn poll_timeout(&self) -> Option<Time> {
        self.agenda.next()
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Time) {
        self.advance(now);
        // An item that is stepped may come back for now, once; the bound keeps a mistake from becoming an endless loop.
        let mut left = self.agenda.len().saturating_mul(4).saturating_add(64);
        while left > 0
            && let Some(item) = self.agenda.pop(self.now)
        {
            left -= 1;
            match item {
                Item::Peer(host) => self.step_peer(host),
                Item::Sending(link) => self.step_sending(link),
                Item::Receiving(spi) => self.step_receiving(spi),
                Item::Counters => self.read_counters(),
            }
        }
    }

    /// What the shell must do next.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        if std::mem::take(&mut self.is_changed) {
            return Some(Effect::Changed);
        }
        self.effects.pop_front()
    }

    /// A snapshot of all associations for the data plane.
    pub fn sas(&self) -> Sas {
        let outbound = self.sending.values().filter_map(|sending| sending.current.as_ref()).map(|made| made.sa.clone());
        let inbound = self.receiving.values().map(|receiving| receiving.sa.clone());
        Sas::new(outbound, inbound, self.table_seed)
    }

    fn advance(&mut self, now: Time) {
        self.now = self.now.max(now);
    }

    fn send(&mut self, session: SessionId, message: Message) {
        if self.effects.len() >= EFFECTS_MAX {
            self.counters.effects_lost += 1;
            return;
        }
        self.effects.push_back(Effect::Send { session, message });
    }

    /// The snapshot differs, and there may be counters to read.
    fn changed(&mut self) {
        self.is_changed = true;
        self.watch_counters();
    }

    fn watch_counters(&mut self) {
        let is_empty = self.outbound.is_empty() && self.receiving.is_empty();
        if is_empty {
            self.agenda.set(Item::Counters, None);
        } else if !self.agenda.has(Item::Counters) {
            self.agenda.set(Item::Counters, Some(self.now + COUNTERS_EVERY));
        }
    }

    /// Idle and worn associations, and keys that somebody tries to forge packets for.
    fn read_counters(&mut self) {
        let now = self.now;
        let mut due = Vec::new();
        for (link, sending) in &mut self.sending {
            if sending.read_counters(now) {
                due.push(*link);
            }
        }
        for link in due {
            self.retire_idle(link);
            self.step_sending(link);
        }
        let is_forged = |(_, it): &(&u32, &Receiving)| it.sa.authentication_failures() >= limits::FORGERIES_HARD;
        let forged: Vec<u32> = self.receiving.iter().filter(is_forged).map(|(spi, _)| *spi).collect();
        forged.into_iter().for_each(|spi| self.end_receiving(spi, true));
        self.watch_counters();
    }

    /// Up to a tenth more or less.
    fn jittered(&mut self, span: Duration) -> Duration {
        let span = span.as_millis();
        Duration::millis(span - span / 10 + self.below(span / 5 + 1))
    }

    /// From 0 up to, not including, `end`, which is positive.
    fn below(&mut self, end: i64) -> i64 {
        (self.rng.next_u64() >> 1).cast_signed() % end.max(1)
    }
}

impl Permits for Entitlements {
    fn permits(&self, direction: LinkDirection, host: HostId, domain: Domain) -> bool {
        let domains = match direction {
            LinkDirection::Sending => self.i_may_send_to.get(&host),
            LinkDirection::Receiving => self.may_send_to_me.get(&host),
        };
        domains.is_some_and(|domains| domains.contains(&domain))
    }
}
