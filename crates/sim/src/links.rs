//! Between the hosts of a run: the key agreement of each, sessions that never fail, and a wire that loses nothing.
//!
//! As in production whoever sends asks, whoever receives grants, and both derive a key from their session; only TLS is a seeded digest.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use dataplane::Want;
use model::{Duration, HostId, Time};
use tunnel::{Effect, Exporter, KeyMaterial, Message, Role, SessionId, message};

use crate::compare::digest;
use crate::dice::Dice;
use crate::plane::Plane;

/// Events until all agreements must have come to rest; more is a mistake, which packets without keys show.
const EVENTS_MAX: usize = 10_000;
/// How long a frame may wait for its keys.
const PATIENCE: Duration = Duration::seconds(3);

/// Every key session that there was.
pub struct Links {
    sessions: BTreeMap<SessionId, Session>,
    next: u64,
    secret: u64,
    /// Keys that were agreed on.
    pub agreed: u64,
}

/// Places of hosts.
struct Session {
    client: usize,
    server: usize,
}

enum Event {
    Up(SessionId),
    Message { to: usize, session: SessionId, frame: Vec<u8> },
    Down { at: usize, session: SessionId },
}

struct Secret(u64);

impl Exporter for Secret {
    fn export(&self, session: SessionId, context: &[u8]) -> Option<KeyMaterial> {
        let mut dice = Dice::new(digest(self.0 ^ session.0.rotate_left(32), context));
        let fill = |key: &mut [u8; tunnel::KEY_MATERIAL]| {
            key.fill_with(|| dice.u64() as u8);
            Ok::<_, ()>(())
        };
        KeyMaterial::fill(fill).ok()
    }
}

/// Where a host is on the underlay.
pub fn address(at: usize) -> SocketAddr {
    let last = u8::try_from(at + 1).unwrap_or(u8::MAX);
    ([198, 18, 0, last], 4500).into()
}

impl Links {
    pub fn new(secret: u64) -> Links {
        Links { sessions: BTreeMap::new(), next: 1, secret, agreed: 0 }
    }

    /// Does what is due, and lets all agreements come to rest.
    pub fn pass_time(&mut self, planes: &mut [Plane], now: Time) {
        for at in 0..planes.len() {
            if planes[at].agreement.poll_timeout().is_some_and(|due| due <= now) {
                planes[at].agreement.handle_timeout(now);
                self.settle(planes, now);
            }
        }
    }

    /// Asks for what a worker wants. Whether anything may be hoped for.
    pub fn ask(&mut self, planes: &mut [Plane], at: usize, now: Time) -> bool {
        let wants: Vec<Want> = std::iter::from_fn(|| planes[at].worker.poll_want()).collect();
        let mut is_asked = false;
        for want in wants {
            is_asked |= planes[at].agreement.want(want.domain, want.host, want.shard, now).is_ok();
        }
        self.settle(planes, now);
        is_asked
    }

    /// Until `is_done` or a frame's patience ends: a host that lost a session waits a moment before it opens another one.
    pub fn wait(&mut self, planes: &mut [Plane], now: Time, mut is_done: impl FnMut(&mut [Plane]) -> bool) -> bool {
        for _ in 0..EVENTS_MAX {
            if is_done(planes) {
                return true;
            }
            let next = planes.iter().filter_map(|plane| plane.agreement.poll_timeout()).min();
            let Some(next) = next.filter(|next| *next < now + PATIENCE) else { return false };
            self.pass_time(planes, next.max(now));
        }
        false
    }

    /// Carries messages until nobody has anything to say.
    pub fn settle(&mut self, planes: &mut [Plane], now: Time) {
        let mut events = VecDeque::new();
        for _ in 0..EVENTS_MAX {
            for at in 0..planes.len() {
                self.act(planes, at, &mut events);
            }
            let Some(event) = events.pop_front() else { return };
            self.happen(planes, event, now);
        }
    }

    fn act(&mut self, planes: &mut [Plane], at: usize, events: &mut VecDeque<Event>) {
        let places: BTreeMap<HostId, usize> = planes.iter().enumerate().map(|(at, plane)| (plane.host, at)).collect();
        while let Some(effect) = planes[at].agreement.poll_effect() {
            match effect {
                Effect::Changed => planes[at].connect(|host| places.get(&host).map(|at| address(*at))),
                Effect::Connect { host } => {
                    let Some(server) = places.get(&host).copied() else { continue };
                    let session = SessionId(self.next);
                    self.next += 1;
                    self.sessions.insert(session, Session { client: at, server });
                    events.push_back(Event::Up(session));
                }
                Effect::Send { session, message } => {
                    self.agreed += u64::from(matches!(message, Message::Grant { .. }));
                    if let Some(to) = self.other_end(session, at) {
                        events.push_back(Event::Message { to, session, frame: message::encode(&message) });
                    }
                }
                Effect::Close { session } => {
                    if let Some(at) = self.other_end(session, at) {
                        events.push_back(Event::Down { at, session });
                    }
                }
            }
        }
    }

    fn happen(&mut self, planes: &mut [Plane], event: Event, now: Time) {
        match event {
            Event::Up(session) => {
                let Some(Session { client, server }) = self.sessions.get(&session) else { return };
                for (at, other, role) in [(*server, *client, Role::Server), (*client, *server, Role::Client)] {
                    let host = planes[other].host;
                    planes[at].agreement.session_up(session, host, role, true, now);
                }
            }
            Event::Message { to, session, frame } => {
                if let Ok(message) = message::decode(&frame) {
                    planes[to].agreement.message(session, message, now, &Secret(self.secret));
                }
            }
            Event::Down { at, session } => planes[at].agreement.session_down(session, now),
        }
    }

    /// Everybody's sessions with this host are gone.
    pub fn drop_sessions(&mut self, planes: &mut [Plane], at: usize, now: Time) {
        let of_host = |session: &Session| session.client == at || session.server == at;
        let gone: Vec<SessionId> =
            self.sessions.iter().filter(|(_, session)| of_host(session)).map(|(id, _)| *id).collect();
        for session in gone {
            if let Some(other) = self.other_end(session, at) {
                planes[other].agreement.session_down(session, now);
            }
            self.sessions.remove(&session);
        }
        self.settle(planes, now);
    }

    fn other_end(&self, session: SessionId, at: usize) -> Option<usize> {
        let Session { client, server } = self.sessions.get(&session)?;
        Some(if *client == at { *server } else { *client })
    }
}
