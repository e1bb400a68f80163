//! The sender's side: asks, uses, asks again before the end, retires.

use std::sync::Arc;

use model::{Domain, Duration, HostId, Time};

use crate::agreement::agenda::Item;
use crate::agreement::peer::Peer;
use crate::agreement::{Agreement, Link, LinkDirection, SHARDS_MAX};
use crate::context::{Context, Exporter, SessionId};
use crate::limits;
use crate::message::Message;
use crate::sa::{Identity, Outbound};

/// Links that a host asks for or sends on at once.
pub const SENDING_MAX: usize = 1 << 17;
/// An association that has sealed nothing for so long is retired.
pub const IDLE: Duration = Duration::seconds(600);
/// What the data plane wants is asked for so long; it says so again for later packets.
pub const WANT_LIFE: Duration = Duration::seconds(30);

/// What a receiver said with its grant.
#[derive(Clone, Copy, Debug)]
pub(super) struct Granted {
    pub(super) spi: u32,
    pub(super) epoch: u64,
    pub(super) partial_sums: bool,
}

/// SPIs below are reserved (RFC 4303 2.1).
pub(super) const SPI_MIN: u32 = 256;

/// A request without an answer is sent anew.
const ANSWER: Duration = Duration::seconds(3);
/// A session on which nothing at all was heard for so long after a request is given up.
const SILENCE_MAX: Duration = Duration::seconds(10);
/// After a refusal; doubled each time.
const REFUSED_MIN: Duration = Duration::millis(250);
const REFUSED_MAX: Duration = Duration::seconds(30);
/// A host that takes back what it granted this recently is asked again later, not at once.
const YOUNG: Duration = Duration::seconds(10);

/// Why the data plane's wish has no hope; its packets can be dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoLink {
    #[error("this host may not send to that one in this domain")]
    NotEntitled,
    #[error("there are {SENDING_MAX} links already")]
    TooMany,
    #[error("a host has at most {SHARDS_MAX} sending threads")]
    Shard,
}

/// One link's outbound association and the request for the next.
#[derive(Debug, Default)]
pub(super) struct Sending {
    pub(super) current: Option<Made>,
    pub(super) asking: Option<Asking>,
}

#[derive(Debug)]
pub(super) struct Made {
    pub(super) sa: Arc<Outbound>,
    pub(super) session: SessionId,
    pub(super) is_post_quantum: bool,
    pub(super) made_at: Time,
    pub(super) soft_at: Time,
    pub(super) hard_at: Time,
    /// When the counter was last seen to move, and where it was.
    pub(super) used_at: Time,
    pub(super) packets_seen: u64,
}

#[derive(Debug)]
pub(super) struct Asking {
    in_flight: Option<(u64, SessionId)>,
    /// When to send, or to send again.
    next_at: Time,
    refusals: u32,
    wanted_at: Time,
}

impl Asking {
    fn new(now: Time) -> Asking {
        Asking { in_flight: None, next_at: now, refusals: 0, wanted_at: now }
    }
}

impl Sending {
    /// Whether it is time to look closer.
    pub(super) fn read_counters(&mut self, now: Time) -> bool {
        let Some(made) = &mut self.current else { return false };
        let packets = made.sa.packets();
        if packets != made.packets_seen {
            (made.packets_seen, made.used_at) = (packets, now);
        }
        made.is_idle(now) || made.sa.is_worn() && self.asking.is_none()
    }

    fn due(&self) -> Option<Time> {
        let current = self.current.as_ref();
        let hard = current.map(|made| made.hard_at);
        let soft = current.filter(|_| self.asking.is_none()).map(|made| made.soft_at);
        let next = self.asking.as_ref().map(|asking| asking.next_at);
        [hard, soft, next].into_iter().flatten().min()
    }
}

impl Made {
    fn is_idle(&self, now: Time) -> bool {
        self.used_at + IDLE <= now
    }
}

impl Agreement {
    /// The data plane has a packet for this link and no key, or a spent one. May be said as often as there are packets; the first one counts.
    ///
    /// # Errors
    /// `NotEntitled`, `TooMany`, `Shard`: there will be no key.
    pub fn want(&mut self, domain: Domain, host: HostId, shard: u16, now: Time) -> Result<(), NoLink> {
        self.advance(now);
        if !self.entitled.permits(LinkDirection::Sending, host, domain) {
            return Err(NoLink::NotEntitled);
        }
        if shard >= SHARDS_MAX {
            return Err(NoLink::Shard);
        }
        let link = Link { host, domain, shard };
        if self.sending.len() >= SENDING_MAX && !self.sending.contains_key(&link) {
            return Err(NoLink::TooMany);
        }
        let sending = self.sending.entry(link).or_default();
        if sending.current.as_ref().is_some_and(|made| !made.sa.is_worn()) {
            return Ok(());
        }
        if let Some(asking) = &mut sending.asking {
            asking.wanted_at = self.now;
            return Ok(());
        }
        sending.asking = Some(Asking::new(self.now));
        self.step_sending(link);
        Ok(())
    }

    pub(super) fn handle_grant(
        &mut self,
        session: SessionId,
        request: u64,
        granted: Granted,
        exporter: &impl Exporter,
    ) {
        let Granted { spi, epoch, partial_sums } = granted;
        let Some(from) = self.sessions.get_mut(&session) else { return };
        let (host, is_post_quantum) = (from.host, from.is_post_quantum);
        let is_new = epoch > from.epoch;
        from.epoch = from.epoch.max(epoch);
        self.heard_from(host);
        let is_used = self.outbound.contains_key(&(host, spi));
        let Some(link) = self.answered(session, request) else {
            if !is_used {
                self.send(session, Message::Retire { spi, at_once: false });
            }
            return;
        };
        let Link { domain, shard, .. } = link;
        let context = Context { spi, epoch, shard, domain, sender: self.host, receiver: host };
        // An epoch that does not grow could be a key that has been used.
        let is_sound = is_new && spi >= SPI_MIN && !is_used;
        let material = is_sound.then(|| exporter.export(session, &context.bytes())).flatten();
        let Some(material) = material else {
            self.counters.unsound_grants += 1;
            self.ask_later(link);
            return;
        };
        let sa = Arc::new(Outbound::new(Identity { spi, domain, host, shard, partial_sums }, &material, self.cipher));
        let now = self.now;
        let made = Made {
            sa,
            session,
            is_post_quantum,
            made_at: now,
            soft_at: now + self.jittered(limits::AGE_SOFT),
            hard_at: now + limits::AGE_HARD,
            used_at: now,
            packets_seen: 0,
        };
        self.take_into_use(link, made);
    }

    pub(super) fn handle_refuse(&mut self, session: SessionId, request: u64) {
        if let Some(host) = self.sessions.get(&session).map(|session| session.host) {
            self.heard_from(host);
        }
        if let Some(link) = self.answered(session, request) {
            self.counters.refused_to_me += 1;
            self.ask_later(link);
        }
    }

    /// The receiver opens no more under this SPI: restarted, or the domain is no longer permitted. Asking tells which.
    pub(super) fn handle_revoke(&mut self, host: HostId, spi: u32) {
        let Some(link) = self.outbound.get(&(host, spi)).copied() else {
            self.counters.unknown_spis += 1;
            return;
        };
        let now = self.now;
        let made = self.remove_current(link);
        if let Some(made) = &made {
            made.sa.revoke();
        }
        if let Some(sending) = self.sending.get_mut(&link) {
            let is_young = made.is_some_and(|made| now < made.made_at + YOUNG);
            let asking = sending.asking.get_or_insert_with(|| Asking::new(now));
            asking.wanted_at = now;
            if is_young && asking.in_flight.is_none() {
                asking.next_at = now + Duration::seconds(1);
            }
        }
        self.step_sending(link);
    }

    /// Associations and requests that the intent no longer permits; the others that were refused may be permitted there by now too.
    pub(super) fn revoke_sending_outside(&mut self) {
        let (inside, outside): (Vec<Link>, Vec<Link>) =
            self.sending.keys().partition(|link| self.entitled.permits(LinkDirection::Sending, link.host, link.domain));
        outside.into_iter().for_each(|link| self.end_sending(link, Some(true)));
        let now = self.now;
        for link in inside {
            let asking = self.sending.get_mut(&link).and_then(|sending| sending.asking.as_mut());
            if let Some(asking) = asking.filter(|asking| asking.in_flight.is_none() && asking.refusals > 0) {
                (asking.next_at, asking.refusals) = (now, 0);
                self.step_sending(link);
            }
        }
    }

    /// Revokes the association and forgets the link; with `tell`, the receiver is told, and whether to forget it at once.
    pub(super) fn end_sending(&mut self, link: Link, tell: Option<bool>) {
        if let Some(made) = self.remove_current(link) {
            made.sa.revoke();
            if let Some(at_once) = tell {
                self.retire(link.host, made.sa.identity().spi, at_once);
            }
        }
        if let Some((request, _)) = self.sending.remove(&link).and_then(|it| it.asking).and_then(|it| it.in_flight) {
            self.requests.remove(&request);
        }
        self.agenda.set(Item::Sending(link), None);
        self.step_peer(link.host);
    }

    pub(super) fn retire_idle(&mut self, link: Link) {
        let now = self.now;
        let is_idle = |sending: &Sending| sending.current.as_ref().is_some_and(|made| made.is_idle(now));
        if self.sending.get(&link).is_some_and(is_idle) {
            self.end_current(link);
        }
    }

    /// Asks, asks again, begins to ask before the end, ends.
    pub(super) fn step_sending(&mut self, link: Link) {
        let now = self.now;
        let client = self.peers.get(&link.host).and_then(|peer| peer.client);
        if self.sending.get(&link).and_then(|it| it.current.as_ref()).is_some_and(|made| made.hard_at <= now) {
            self.end_current(link);
        }
        let Some(sending) = self.sending.get_mut(&link) else { return };
        if let (Some(made), None) = (&sending.current, &sending.asking) {
            let is_of_older_session = client.is_some_and(|client| client != made.session);
            if made.soft_at <= now || made.sa.is_worn() || is_of_older_session {
                sending.asking = Some(Asking::new(now));
            }
        }
        if sending.asking.as_ref().is_some_and(|asking| asking.next_at <= now) {
            self.ask(link, client);
        }
        let sending = self.sending.get(&link);
        if sending.is_none_or(|sending| sending.current.is_none() && sending.asking.is_none()) {
            self.end_sending(link, None);
        } else {
            self.agenda.set(Item::Sending(link), sending.and_then(Sending::due));
        }
    }

    /// The request is due: sends it, or gives it up.
    fn ask(&mut self, link: Link, client: Option<SessionId>) {
        let now = self.now;
        let answer = self.jittered(ANSWER);
        let Some(sending) = self.sending.get_mut(&link) else { return };
        let Some(asking) = &mut sending.asking else { return };
        if let Some((request, session)) = asking.in_flight.take() {
            self.requests.remove(&request);
            self.counters.unanswered += 1;
            if self.sessions.get(&session).and_then(|it| it.silent_since).is_some_and(|at| at + SILENCE_MAX <= now) {
                // What else waits on it is asked anew on the next one.
                asking.next_at = now;
                self.lose(session);
                return;
            }
        }
        let given_up_at = asking.wanted_at + WANT_LIFE;
        if sending.current.is_none() && given_up_at <= now {
            sending.asking = None;
            return;
        }
        let Some(session) = client else {
            // The session's coming up is what sends it.
            asking.next_at = sending.current.as_ref().map_or(given_up_at, |made| made.hard_at);
            self.peers.entry(link.host).or_insert_with(|| Peer::new(now));
            self.step_peer(link.host);
            return;
        };
        let request = self.next_request;
        self.next_request += 1;
        asking.in_flight = Some((request, session));
        asking.next_at = now + answer;
        self.requests.insert(request, link);
        if let Some(session) = self.sessions.get_mut(&session) {
            session.silent_since.get_or_insert(now);
        }
        self.send(session, Message::Want { request, domain: link.domain, shard: link.shard });
    }

    /// A new session of this host is up: everything is asked for on it, what waits and what has a key of an older session.
    pub(super) fn ask_on_new_session(&mut self, host: HostId) {
        for link in self.links_to(host).collect::<Vec<_>>() {
            self.take_back_request(link);
            self.step_sending(link);
        }
    }

    fn take_back_request(&mut self, link: Link) {
        let now = self.now;
        let Some(asking) = self.sending.get_mut(&link).and_then(|sending| sending.asking.as_mut()) else { return };
        if let Some((request, _)) = asking.in_flight.take() {
            self.requests.remove(&request);
        }
        asking.next_at = now;
    }

    /// The link that this request was for, if the answer is one that was waited for.
    fn answered(&mut self, session: SessionId, request: u64) -> Option<Link> {
        let link = self.requests.get(&request).copied();
        let asking = link.and_then(|link| self.sending.get_mut(&link)).and_then(|sending| sending.asking.as_mut());
        let Some(asking) = asking.filter(|asking| asking.in_flight == Some((request, session))) else {
            self.counters.unknown_requests += 1;
            return None;
        };
        asking.in_flight = None;
        self.requests.remove(&request);
        link
    }

    fn ask_later(&mut self, link: Link) {
        let refusals = self.sending.get(&link).and_then(|it| it.asking.as_ref()).map_or(0, |asking| asking.refusals);
        let wait = (REFUSED_MIN.as_millis() << refusals.min(20)).min(REFUSED_MAX.as_millis());
        let next_at = self.now + self.jittered(Duration::millis(wait));
        if let Some(asking) = self.sending.get_mut(&link).and_then(|sending| sending.asking.as_mut()) {
            (asking.refusals, asking.next_at) = (refusals.saturating_add(1), next_at);
        }
        self.step_sending(link);
    }

    /// Make before break: the receiver opens under the new SPI already, and under the old one for a while.
    fn take_into_use(&mut self, link: Link, made: Made) {
        let total = self.totals.entry((link.host, link.domain, LinkDirection::Sending)).or_default();
        if let Some(sending) = self.sending.get_mut(&link) {
            total.rekeys += u64::from(sending.current.is_some());
            sending.asking = None;
        }
        self.end_current(link);
        self.outbound.insert((link.host, made.sa.identity().spi), link);
        if let Some(session) = self.sessions.get_mut(&made.session) {
            session.uses += 1;
        }
        let sending = self.sending.entry(link).or_default();
        sending.current = Some(made);
        self.changed();
        self.step_sending(link);
    }

    /// Ends the association and tells the receiver; what is asked for goes on.
    fn end_current(&mut self, link: Link) {
        if let Some(made) = self.remove_current(link) {
            made.sa.expire();
            self.retire(link.host, made.sa.identity().spi, false);
        }
    }

    fn remove_current(&mut self, link: Link) -> Option<Made> {
        let made = self.sending.get_mut(&link)?.current.take()?;
        self.outbound.remove(&(link.host, made.sa.identity().spi));
        let total = self.totals.entry((link.host, link.domain, LinkDirection::Sending)).or_default();
        total.packets += made.sa.packets();
        total.bytes += made.sa.bytes();
        if let Some(session) = self.sessions.get_mut(&made.session) {
            session.uses = session.uses.saturating_sub(1);
        }
        self.changed();
        self.close_unused(link.host);
        Some(made)
    }

    fn retire(&mut self, host: HostId, spi: u32, at_once: bool) {
        if let Some(session) = self.peers.get(&host).and_then(Peer::to_receiver) {
            self.send(session, Message::Retire { spi, at_once });
        }
    }
}
