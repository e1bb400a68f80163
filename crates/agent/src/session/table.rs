//! Which sessions there are, and how many there may be.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::{HostId, KeyFingerprint};
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;

use super::Limits;
use super::events::Role;
use super::tls::Configs;
use super::verify::{Peers, Permitted};
use super::why::Why;

/// What a queued frame costs beside its bytes.
const FRAME_COST: usize = 64;

/// Everything that changes, behind one lock that is never held across a wait.
pub(super) struct Table {
    limits: Limits,
    pub(super) permitted: Permitted,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    configs: Option<Arc<Configs>>,
    last_session: u64,
    sessions: BTreeMap<u64, Entry>,
    last_stranger: u64,
    /// Connections that have not said yet who they are, by age.
    strangers: BTreeMap<u64, Stranger>,
}

struct Entry {
    host: HostId,
    role: Role,
    /// `None` while it is dialled.
    key: Option<KeyFingerprint>,
    wire: mpsc::UnboundedSender<Vec<u8>>,
    queued: Arc<AtomicUsize>,
    /// `None`: told to end.
    end: Option<oneshot::Sender<Why>>,
}

struct Stranger {
    source: Source,
    /// `None` until its task is there.
    task: Option<AbortHandle>,
}

/// Where somebody comes from, as far as one machine can choose it: an address of IPv4, a /64 of IPv6.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Source(u128);

impl Source {
    fn of(address: IpAddr) -> Source {
        match address.to_canonical() {
            IpAddr::V4(v4) => Source(u32::from(v4).into()),
            IpAddr::V6(v6) => Source(u128::from(v6) >> 64 << 64),
        }
    }
}

/// A place in the table, given back when dropped.
pub(super) struct Place {
    table: Arc<Table>,
    pub(super) session: u64,
}

/// What a session works with.
pub(super) struct Admitted {
    pub(super) place: Place,
    /// Frames to send, with their length in front.
    pub(super) wire: mpsc::UnboundedReceiver<Vec<u8>>,
    pub(super) queued: Arc<AtomicUsize>,
    /// Why to end.
    pub(super) end: oneshot::Receiver<Why>,
}

/// One connection among those that have not said yet who they are; given back when dropped.
pub(super) struct StrangerPlace {
    table: Arc<Table>,
    id: u64,
}

impl Table {
    pub(super) fn new(limits: Limits) -> Arc<Table> {
        Arc::new(Table { limits, permitted: Permitted::default(), state: Mutex::default() })
    }

    pub(super) fn configs(&self) -> Result<Arc<Configs>, Why> {
        self.lock().configs.clone().ok_or(Why::NoIdentity)
    }

    pub(super) fn set_configs(&self, configs: Configs) {
        self.lock().configs = Some(Arc::new(configs));
    }

    /// Sets who is permitted, and ends the sessions of those who are not any more.
    pub(super) fn set_peers(&self, peers: Peers) {
        self.permitted.set(peers);
        for entry in self.lock().sessions.values_mut() {
            if entry.key.is_some_and(|key| self.permitted.check(entry.host, key).is_err()) {
                entry.end(Why::Revoked { host: entry.host });
            }
        }
    }

    /// A place for a session that is about to be dialled (`key` is `None`) or was answered.
    ///
    /// # Errors
    /// `Full`, `FullForPeer`, or what the peers of now say.
    pub(super) fn admit(
        self: &Arc<Table>,
        host: HostId,
        role: Role,
        key: Option<KeyFingerprint>,
    ) -> Result<Admitted, Why> {
        if let Some(key) = key {
            self.permitted.check(host, key)?;
        }
        let mut state = self.lock();
        let limit = self.limits.sessions;
        if state.sessions.len() >= limit {
            return Err(Why::Full { limit });
        }
        let limit = self.limits.sessions_per_peer;
        let of_peer = |entry: &&mut Entry| entry.host == host && entry.role == role && entry.end.is_some();
        if state.sessions.values_mut().filter(of_peer).count() >= limit {
            match role {
                Role::Client => return Err(Why::FullForPeer { limit }),
                // A peer that restarted has forgotten the old ones. They are its own, so that it can harm nobody else.
                Role::Server => {
                    if let Some(oldest) = state.sessions.values_mut().find(of_peer) {
                        oldest.end(Why::Replaced);
                    }
                }
            }
        }
        state.last_session += 1;
        let session = state.last_session;
        let ((wire, frames), (end, ended)) = (mpsc::unbounded_channel(), oneshot::channel());
        let queued = Arc::new(AtomicUsize::new(0));
        let entry = Entry { host, role, key, wire, queued: queued.clone(), end: Some(end) };
        state.sessions.insert(session, entry);
        let place = Place { table: self.clone(), session };
        Ok(Admitted { place, wire: frames, queued, end: ended })
    }

    /// Queues a frame. A session that has too many of them waiting is ended; one that is gone loses it.
    pub(super) fn send(&self, session: u64, frame: &[u8]) {
        let mut state = self.lock();
        let Some(entry) = state.sessions.get_mut(&session) else { return };
        // Frames are at most FRAME_MAX, which fits.
        let length = u32::try_from(frame.len()).unwrap_or(u32::MAX);
        let framed = [&length.to_be_bytes()[..], frame].concat();
        let cost = cost(&framed);
        if entry.queued.fetch_add(cost, Ordering::Relaxed) + cost > self.limits.queue_bytes {
            entry.end(Why::SlowReader);
        } else {
            // A session that has just ended reads no more.
            let _ = entry.wire.send(framed);
        }
    }

    pub(super) fn close(&self, session: u64) {
        if let Some(entry) = self.lock().sessions.get_mut(&session) {
            entry.end(Why::Closed);
        }
    }

    pub(super) fn close_all(&self) {
        self.lock().sessions.values_mut().for_each(|entry| entry.end(Why::Closed));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lock().sessions.is_empty()
    }

    /// A place for a connection that somebody opened. When there are too many, of one source or in all, the oldest goes: whoever
    /// means it needs one round trip and is not the oldest for long.
    pub(super) fn receive(self: &Arc<Table>, from: IpAddr) -> StrangerPlace {
        let mut state = self.lock();
        let source = Source::of(from);
        let same = |stranger: &Stranger| stranger.source == source;
        let of_source = state.strangers.values().filter(|stranger| same(stranger)).count();
        let oldest = match () {
            () if of_source >= self.limits.strangers_per_source => {
                state.strangers.iter().find(|(_, stranger)| same(stranger)).map(|(id, _)| *id)
            }
            () if state.strangers.len() >= self.limits.strangers => state.strangers.keys().next().copied(),
            () => None,
        };
        let crowded_out = oldest.and_then(|id| state.strangers.remove(&id)).and_then(|stranger| stranger.task);
        state.last_stranger += 1;
        let id = state.last_stranger;
        state.strangers.insert(id, Stranger { source, task: None });
        drop(state);
        if let Some(task) = crowded_out {
            tracing::debug!("too many connections that have not said who they are; the oldest ends");
            task.abort();
        }
        StrangerPlace { table: self.clone(), id }
    }

    /// The task to end when the place is given to another.
    pub(super) fn received(&self, id: u64, task: AbortHandle) {
        if let Some(stranger) = self.lock().strangers.get_mut(&id) {
            stranger.task = Some(task);
        }
    }

    #[cfg(test)]
    pub(super) fn strangers(&self) -> usize {
        self.lock().strangers.len()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a frame with its length counts for in `Limits::queue_bytes`.
pub(super) fn cost(framed: &[u8]) -> usize {
    framed.len() + FRAME_COST
}

impl Entry {
    fn end(&mut self, why: Why) {
        if let Some(end) = self.end.take() {
            let _ = end.send(why);
        }
    }
}

impl Place {
    /// What was dialled answered, with this key.
    ///
    /// # Errors
    /// What the peers of now say: they may have changed during the handshake.
    pub(super) fn settle(&self, key: KeyFingerprint) -> Result<(), Why> {
        let mut state = self.table.lock();
        let Some(entry) = state.sessions.get_mut(&self.session) else { return Err(Why::Closed) };
        entry.key = Some(key);
        self.table.permitted.check(entry.host, key)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.table.lock().sessions.remove(&self.session);
    }
}

impl StrangerPlace {
    pub(super) fn id(&self) -> u64 {
        self.id
    }
}

impl Drop for StrangerPlace {
    fn drop(&mut self) {
        self.table.lock().strangers.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::host;

    #[test]
    fn who_was_revoked_during_the_handshake_is_not_let_in() {
        let (table, key) = (Table::new(Limits::default()), KeyFingerprint([1; 32]));
        table.set_peers([(host("a"), key)].into());
        let dialled = table.admit(host("a"), Role::Client, None).unwrap();
        dialled.place.settle(key).unwrap();
        drop(dialled);
        table.set_peers(Peers::new());
        assert_eq!(table.admit(host("a"), Role::Server, Some(key)).err(), Some(Why::UnknownHost { host: host("a") }));
        let dialled = table.admit(host("a"), Role::Client, None).unwrap();
        assert_eq!(dialled.place.settle(key), Err(Why::UnknownHost { host: host("a") }));
        drop(dialled);
        assert!(table.is_empty());
    }

    #[test]
    fn strangers_from_everywhere_are_bounded_too() {
        let table = Table::new(Limits { strangers: 4, strangers_per_source: 2, ..Limits::default() });
        let places: Vec<StrangerPlace> = (0..20_u8).map(|n| table.receive([192, 0, 2, n].into())).collect();
        assert_eq!(table.strangers(), 4);
        drop(places);
        assert_eq!(table.strangers(), 0);
    }

    #[test]
    fn a_source_is_what_one_machine_can_choose() {
        let source = |text: &str| Source::of(text.parse().unwrap());
        assert!(source("2001:db8::1") == source("2001:db8::ffff:1"));
        assert!(source("2001:db8::1") != source("2001:db8:0:1::1"));
        assert!(source("192.0.2.1") != source("192.0.2.2"));
        assert!(source("192.0.2.1") == source("::ffff:192.0.2.1"));
    }
}
