//! The receiver's side: grants, opens, revokes.

use std::sync::Arc;

use model::{Duration, HostId, Time};
use rand_core::Rng;

use crate::agreement::agenda::Item;
use crate::agreement::peer::Peer;
use crate::agreement::sending::SPI_MIN;
use crate::agreement::{Agreement, Link, LinkDirection, SHARDS_MAX};
use crate::context::{Context, Exporter, SessionId};
use crate::keys::KeyMaterial;
use crate::limits;
use crate::message::{Message, Reason};
use crate::sa::{Identity, Inbound};

/// Inbound associations of all hosts together.
pub const RECEIVING_MAX: usize = 1 << 17;
/// Inbound associations of one sending host.
pub const RECEIVING_PER_HOST: usize = 4096;
/// Inbound associations of one domain, sending host and thread: the one in use, the next, and one more whose grant was lost. A fourth ends
/// the oldest.
pub const RECEIVING_PER_LINK: usize = 3;
/// Packets that were under way when their sender switched to a new key are opened for so long.
pub const GRACE: Duration = Duration::seconds(30);

pub(super) const WANTS_AT_ONCE: i64 = RECEIVING_PER_HOST as i64;
pub(super) const WANTS_PER_SECOND: i64 = 100;
pub(super) const REVOKES_AT_ONCE: i64 = 64;
pub(super) const REVOKES_PER_SECOND: i64 = 16;

/// Draws of a free SPI; at most one in 2^15 is taken.
const SPI_DRAWS: usize = 16;

#[derive(Debug)]
pub(super) struct Receiving {
    pub(super) sa: Arc<Inbound>,
    /// Its host is the sender.
    pub(super) link: Link,
    pub(super) made_at: Time,
    pub(super) is_post_quantum: bool,
    pub(super) epoch: u64,
    /// Two hours after its making, or the grace after its retirement.
    pub(super) gone_at: Time,
}

impl Agreement {
    /// A datagram with an SPI that the snapshot does not have has come from this host's underlay address, which must be one of the intent's.
    /// The sender may not know that this host was restarted: it is told, and if there is no session yet, one is opened. Not authentic, so
    /// nothing else follows from it.
    pub fn unknown_spi(&mut self, host: HostId, spi: u32, now: Time) {
        self.advance(now);
        let now = self.now;
        // What this host itself sent may come back to it.
        if self.receiving.contains_key(&spi) || host == self.host {
            return;
        }
        let peer = self.peers.entry(host).or_insert_with(|| Peer::new(now));
        if !peer.revokes.take(now) {
            return;
        }
        match peer.to_sender() {
            Some(session) => self.send(session, Message::Revoke { spi }),
            None => self.tell_later(host, spi),
        }
    }

    pub(super) fn handle_want(&mut self, session: SessionId, request: u64, link: Link, exporter: &impl Exporter) {
        match self.grant(session, link, exporter) {
            Ok((spi, epoch)) => self.send(session, Message::Grant { request, spi, epoch, partial_sums: true }),
            Err(reason) => {
                self.counters.refused_by_me += 1;
                self.counters.not_entitled += u64::from(reason == Reason::NotEntitled);
                self.send(session, Message::Refuse { request, reason });
            }
        }
    }

    pub(super) fn handle_retire(&mut self, host: HostId, spi: u32, at_once: bool) {
        let now = self.now;
        let Some(receiving) = self.receiving.get_mut(&spi).filter(|receiving| receiving.link.host == host) else {
            self.counters.unknown_spis += 1;
            return;
        };
        if at_once {
            receiving.sa.revoke();
            self.end_receiving(spi, false);
        } else {
            receiving.gone_at = receiving.gone_at.min(now + GRACE);
            self.step_receiving(spi);
        }
    }

    pub(super) fn revoke_receiving_outside(&mut self) {
        let is_outside = |link: &Link| !self.entitled.permits(LinkDirection::Receiving, link.host, link.domain);
        let outside: Vec<u32> =
            self.receiving.iter().filter(|(_, it)| is_outside(&it.link)).map(|(spi, _)| *spi).collect();
        outside.into_iter().for_each(|spi| self.end_receiving(spi, true));
    }

    pub(super) fn step_receiving(&mut self, spi: u32) {
        let Some(gone_at) = self.receiving.get(&spi).map(|receiving| receiving.gone_at) else { return };
        if gone_at <= self.now {
            self.end_receiving(spi, false);
        } else {
            self.agenda.set(Item::Receiving(spi), Some(gone_at));
        }
    }

    /// With `revoke`, its sender is told; without, it has come to its end.
    pub(super) fn end_receiving(&mut self, spi: u32, revoke: bool) {
        let Some(Receiving { sa, link, epoch, .. }) = self.receiving.remove(&spi) else { return };
        self.agenda.set(Item::Receiving(spi), None);
        self.granted.remove(&(link, epoch, spi));
        let total = self.totals.entry((link.host, link.domain, LinkDirection::Receiving)).or_default();
        total.packets += sa.packets();
        total.bytes += sa.bytes();
        total.replayed += sa.replayed();
        total.authentication_failures += sa.authentication_failures();
        if let Some(peer) = self.peers.get_mut(&link.host) {
            peer.receiving = peer.receiving.saturating_sub(1);
        }
        if revoke {
            sa.revoke();
            if let Some(session) = self.peers.get(&link.host).and_then(Peer::to_sender) {
                self.send(session, Message::Revoke { spi });
            }
        } else {
            sa.expire();
        }
        self.changed();
        self.step_peer(link.host);
    }

    fn grant(&mut self, session: SessionId, link: Link, exporter: &impl Exporter) -> Result<(u32, u64), Reason> {
        let Link { host, domain, shard } = link;
        let now = self.now;
        if shard >= SHARDS_MAX {
            return Err(Reason::Shard);
        }
        if !self.entitled.permits(LinkDirection::Receiving, host, domain) {
            return Err(Reason::NotEntitled);
        }
        let peer = self.peers.get_mut(&host).ok_or(Reason::Session)?;
        let is_full = peer.receiving >= RECEIVING_PER_HOST || self.receiving.len() >= RECEIVING_MAX;
        if !peer.wants.take(now) || is_full && !self.frees_one(link) {
            return Err(Reason::TooMany);
        }
        let spi = self.free_spi().ok_or(Reason::TooMany)?;
        self.epoch += 1;
        let context = Context { spi, epoch: self.epoch, shard, domain, sender: host, receiver: self.host };
        let material = exporter.export(session, &context.bytes()).ok_or(Reason::Session)?;
        self.keep(session, spi, link, &material);
        Ok((spi, self.epoch))
    }

    /// Whether granting this link ends another of its own.
    fn frees_one(&self, link: Link) -> bool {
        self.granted_to(link).count() >= RECEIVING_PER_LINK
    }

    fn granted_to(&self, link: Link) -> impl Iterator<Item = u32> {
        self.granted.range((link, 0, 0)..=(link, u64::MAX, u32::MAX)).map(|(_, _, spi)| *spi)
    }

    fn free_spi(&mut self) -> Option<u32> {
        let draws = std::iter::repeat_with(|| self.rng.next_u32()).take(SPI_DRAWS);
        let mut free = draws.filter(|spi| *spi >= SPI_MIN && !self.receiving.contains_key(spi));
        free.next()
    }

    fn keep(&mut self, session: SessionId, spi: u32, link: Link, material: &KeyMaterial) {
        let Link { host, domain, shard } = link;
        let before: Vec<u32> = self.granted_to(link).collect();
        let too_many = (before.len() + 1).saturating_sub(RECEIVING_PER_LINK);
        let total = self.totals.entry((host, domain, LinkDirection::Receiving)).or_default();
        total.rekeys += u64::from(!before.is_empty());
        before.into_iter().take(too_many).for_each(|oldest| self.end_receiving(oldest, true));
        let sa =
            Arc::new(Inbound::new(Identity { spi, domain, host, shard, partial_sums: true }, material, self.cipher));
        let is_post_quantum = self.sessions.get(&session).is_some_and(|session| session.is_post_quantum);
        let (epoch, made_at) = (self.epoch, self.now);
        let gone_at = made_at + limits::AGE_HARD;
        self.receiving.insert(spi, Receiving { sa, link, made_at, is_post_quantum, epoch, gone_at });
        self.granted.insert((link, epoch, spi));
        if let Some(peer) = self.peers.get_mut(&host) {
            peer.receiving += 1;
        }
        self.changed();
        self.step_receiving(spi);
    }
}
