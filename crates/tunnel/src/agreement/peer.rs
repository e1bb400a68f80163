//! Key sessions: one for each direction that packets go, renewed hourly, opened again when lost.

use model::{Duration, HostId, Time};

use crate::agreement::agenda::Item;
use crate::agreement::{Agreement, Effect, Link};
use crate::context::SessionId;
use crate::message::Message;

/// A session gives keys for so long, give or take a tenth; then a new handshake makes new secrets.
pub const RENEWAL: Duration = Duration::hours(1);
/// A session that nothing is sent under is closed after this.
pub const LINGER: Duration = Duration::seconds(60);
/// The longest time between two attempts to open a session, without jitter.
pub const BACKOFF_MAX: Duration = Duration::seconds(30);
/// Sessions that one host may open to this one; a newer one closes the oldest.
pub const SERVER_SESSIONS_PER_HOST: usize = 4;

const BACKOFF_MIN: Duration = Duration::millis(100);
/// The shell says sooner how an attempt ended.
const CONNECT_TIMEOUT: Duration = Duration::seconds(15);
/// An attempt to reach a host that is known to be there.
const ANSWERED_WITHIN: Duration = Duration::millis(500);

/// This host's part in a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It has opened the session, to send packets to the other host.
    Client,
    /// It has accepted the session, to receive packets from the other host.
    Server,
}

#[derive(Debug)]
pub(super) struct Session {
    pub(super) host: HostId,
    pub(super) role: Role,
    pub(super) is_post_quantum: bool,
    /// The greatest epoch granted on it.
    pub(super) epoch: u64,
    /// Outbound associations that it gave the key of.
    pub(super) uses: usize,
    /// Asked since then, without hearing anything.
    pub(super) silent_since: Option<Time>,
    renew_at: Time,
}

#[derive(Debug)]
pub(super) struct Peer {
    /// The newest session that this host opened.
    pub(super) client: Option<SessionId>,
    /// Sessions that the other host opened, oldest first.
    servers: Vec<SessionId>,
    /// Older sessions of this host, until nothing uses their keys.
    older: Vec<SessionId>,
    /// An attempt is under way, and given up then.
    connecting: Option<Time>,
    /// Attempts since anything was heard on a session of this host.
    failures: u32,
    /// Not before.
    connect_at: Time,
    /// The last attempt.
    tried_at: Option<Time>,
    /// An SPI that the host sends under and that there is none of: it is told so by the next session.
    untold: Option<u32>,
    idle_since: Option<Time>,
    /// Inbound associations.
    pub(super) receiving: usize,
    pub(super) wants: Bucket,
    pub(super) revokes: Bucket,
}

impl Peer {
    pub(super) fn new(now: Time) -> Peer {
        Peer {
            client: None,
            servers: Vec::new(),
            older: Vec::new(),
            connecting: None,
            failures: 0,
            connect_at: now,
            tried_at: None,
            untold: None,
            idle_since: None,
            receiving: 0,
            wants: Bucket::new(now, super::receiving::WANTS_AT_ONCE, super::receiving::WANTS_PER_SECOND),
            revokes: Bucket::new(now, super::receiving::REVOKES_AT_ONCE, super::receiving::REVOKES_PER_SECOND),
        }
    }

    /// For what the sender of packets says; the other direction's if there is no other.
    pub(super) fn to_receiver(&self) -> Option<SessionId> {
        self.client.or(self.servers.last().copied())
    }

    /// For what the receiver of packets says; the other direction's if there is no other.
    pub(super) fn to_sender(&self) -> Option<SessionId> {
        self.servers.last().copied().or(self.client)
    }

    /// The host was heard of: it is there, and worth trying now, if that was not done a moment ago.
    fn try_soon(&mut self, now: Time) {
        let soon = self.tried_at.map_or(now, |tried| now.max(tried + BACKOFF_MIN));
        self.connect_at = self.connect_at.min(soon);
        self.failures = 0;
        // An attempt that began while the host was away may wait for long; one of a moment ago may be answered.
        let is_of_now = self.tried_at.is_some_and(|tried| now < tried + BACKOFF_MIN);
        self.connecting = self.connecting.filter(|_| is_of_now).map(|until| until.min(now + ANSWERED_WITHIN));
    }

    fn has_sessions(&self) -> bool {
        self.client.is_some() || !self.servers.is_empty() || !self.older.is_empty()
    }

    fn forget(&mut self, session: SessionId) {
        self.servers.retain(|it| *it != session);
        self.older.retain(|it| *it != session);
        if self.client == Some(session) {
            self.client = None;
        }
    }
}

impl Agreement {
    /// A session with this host is up, authenticated at both ends. Whether the key exchange was post-quantum is for [`Agreement::status`].
    pub fn session_up(&mut self, session: SessionId, host: HostId, role: Role, is_post_quantum: bool, now: Time) {
        self.advance(now);
        let renew_at = self.now + self.jittered(RENEWAL);
        let made = Session { host, role, is_post_quantum, epoch: 0, uses: 0, silent_since: None, renew_at };
        if self.sessions.contains_key(&session) {
            self.counters.violations += 1;
            return;
        }
        self.sessions.insert(session, made);
        let now = self.now;
        let peer = self.peers.entry(host).or_insert_with(|| Peer::new(now));
        match role {
            Role::Server => {
                peer.servers.push(session);
                peer.try_soon(now);
                if peer.servers.len() > SERVER_SESSIONS_PER_HOST {
                    let oldest = peer.servers[0];
                    self.lose(oldest);
                }
            }
            Role::Client => {
                peer.connecting = None;
                peer.older.extend(peer.client.replace(session));
                self.ask_on_new_session(host);
                self.close_unused(host);
            }
        }
        if let Some(spi) = self.peers.get_mut(&host).and_then(|peer| peer.untold.take()) {
            self.send(session, Message::Revoke { spi });
        }
        self.step_peer(host);
    }

    /// Nobody can be told that there is no such SPI: a session is opened for it. Once, for each time that it is said.
    pub(super) fn tell_later(&mut self, host: HostId, spi: u32) {
        if let Some(peer) = self.peers.get_mut(&host) {
            peer.untold = Some(spi);
        }
        self.step_peer(host);
    }

    /// The session has ended. Associations go on.
    pub fn session_down(&mut self, session: SessionId, now: Time) {
        self.advance(now);
        let Some(Session { host, .. }) = self.sessions.remove(&session) else { return };
        let Some(peer) = self.peers.get_mut(&host) else { return };
        let was_client = peer.client == Some(session);
        peer.forget(session);
        if was_client {
            self.back_off(host);
        }
        self.step_peer(host);
    }

    /// The session that [`Effect::Connect`] asked for did not come up.
    pub fn connect_failed(&mut self, host: HostId, now: Time) {
        self.advance(now);
        let Some(peer) = self.peers.get_mut(&host) else { return };
        if peer.connecting.take().is_some() {
            peer.untold = None;
            self.back_off(host);
            self.step_peer(host);
        }
    }

    /// Ends the session from this side.
    pub(super) fn lose(&mut self, session: SessionId) {
        if self.sessions.contains_key(&session) {
            self.effects.push_back(Effect::Close { session });
            self.session_down(session, self.now);
        }
    }

    /// The host has answered: the next loss of a session is a first one.
    pub(super) fn heard_from(&mut self, host: HostId) {
        if let Some(peer) = self.peers.get_mut(&host) {
            peer.failures = 0;
        }
    }

    /// Twice as long after each failure, half of it at random.
    fn back_off(&mut self, host: HostId) {
        let Some(failures) = self.peers.get(&host).map(|peer| peer.failures) else { return };
        let wait = (BACKOFF_MIN.as_millis() << failures.min(20)).min(BACKOFF_MAX.as_millis());
        let wait = Duration::millis(wait / 2 + self.below(wait));
        let now = self.now;
        if let Some(peer) = self.peers.get_mut(&host) {
            peer.failures = failures.saturating_add(1);
            peer.connect_at = now + wait;
        }
    }

    /// Opens, renews and closes sessions with this host as what is sent to it needs.
    pub(super) fn step_peer(&mut self, host: HostId) {
        let has_links = self.links_to(host).next().is_some();
        let now = self.now;
        let Some(peer) = self.peers.get_mut(&host) else { return };
        let is_needed = has_links || peer.untold.is_some();
        if peer.connecting.is_some_and(|until| until <= now) {
            self.connect_failed(host, now);
            return;
        }
        let due = if is_needed {
            peer.idle_since = None;
            let renew_at = peer.client.and_then(|client| self.sessions.get(&client)).map(|session| session.renew_at);
            let connect_at = renew_at.map_or(peer.connect_at, |at| at.max(peer.connect_at));
            if connect_at <= now && peer.connecting.is_none() {
                (peer.connecting, peer.tried_at) = (Some(now + CONNECT_TIMEOUT), Some(now));
                self.effects.push_back(Effect::Connect { host });
            }
            Some(peer.connecting.unwrap_or(connect_at))
        } else {
            let idle_since = *peer.idle_since.get_or_insert(now);
            let is_over = idle_since + LINGER <= now;
            let sessions: Vec<SessionId> = peer.client.iter().chain(&peer.older).copied().collect();
            if is_over && !sessions.is_empty() {
                sessions.into_iter().for_each(|session| self.lose(session));
                return;
            }
            let is_empty = !peer.has_sessions() && peer.receiving == 0 && peer.connecting.is_none();
            if is_empty && is_over {
                self.peers.remove(&host);
                self.agenda.set(Item::Peer(host), None);
                return;
            }
            let connecting = peer.connecting;
            let linger = (!is_over).then_some(idle_since + LINGER);
            connecting.into_iter().chain(linger).min()
        };
        self.agenda.set(Item::Peer(host), due);
    }

    /// Closes the older sessions that no association and no request depends on.
    pub(super) fn close_unused(&mut self, host: HostId) {
        let Some(peer) = self.peers.get(&host) else { return };
        let is_unused = |session: &&SessionId| self.sessions.get(*session).is_none_or(|it| it.uses == 0);
        let unused: Vec<SessionId> = peer.older.iter().filter(is_unused).copied().collect();
        unused.into_iter().for_each(|session| self.lose(session));
    }

    pub(super) fn links_to(&self, host: HostId) -> impl Iterator<Item = Link> + use<'_> {
        self.sending.range(Link::first(host)..).map(|(link, _)| *link).take_while(move |link| link.host == host)
    }
}

/// So many at once, then so many in a second.
#[derive(Debug)]
pub(super) struct Bucket {
    tokens: i64,
    at: Time,
    at_once: i64,
    per_second: i64,
}

impl Bucket {
    fn new(now: Time, at_once: i64, per_second: i64) -> Bucket {
        Bucket { tokens: at_once, at: now, at_once, per_second }
    }

    pub(super) fn take(&mut self, now: Time) -> bool {
        let gained = (now - self.at).as_millis().saturating_mul(self.per_second) / 1000;
        if gained > 0 {
            self.tokens = self.tokens.saturating_add(gained).min(self.at_once);
            self.at = now;
        }
        let has = self.tokens > 0;
        self.tokens -= i64::from(has);
        has
    }
}
