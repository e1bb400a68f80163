//! What `peerway status --links` shows, and what went wrong.

use std::collections::BTreeMap;

use model::{Domain, Duration, HostId, Time};
use serde::{Deserialize, Serialize};

use crate::agreement::Agreement;

/// The only one that is spoken.
const CIPHER: &str = "AES-256-GCM";

/// Which way the packets go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum LinkDirection {
    /// From this host.
    Sending,
    /// To this host.
    Receiving,
}

/// One direction of one domain with one other host, all sending threads together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkStatus {
    pub host: HostId,
    pub domain: Domain,
    pub direction: LinkDirection,
    /// Keys in force; none while a first one is asked for.
    pub associations: usize,
    /// Keys that are being asked for.
    pub asking: usize,
    pub cipher: String,
    /// Every key in force comes from a post-quantum key exchange.
    pub is_post_quantum: bool,
    /// Of the oldest key in force.
    pub age: Duration,
    /// Keys that took the place of another, ever.
    pub rekeys: u64,
    /// Sealed or opened, ever, with keys that are gone too.
    pub packets: u64,
    /// Of inner packets.
    pub bytes: u64,
    /// Dropped: seen before or too old.
    pub replayed: u64,
    /// Dropped: not sealed with the key of its SPI.
    pub authentication_failures: u64,
}

/// What associations that are gone have counted.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Totals {
    pub(super) rekeys: u64,
    pub(super) packets: u64,
    pub(super) bytes: u64,
    pub(super) replayed: u64,
    pub(super) authentication_failures: u64,
}

/// What was odd in what other hosts said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Requests of this host that another refused.
    pub refused_to_me: u64,
    /// Requests of other hosts that this one refused.
    pub refused_by_me: u64,
    /// Of these, for a domain that the host may not send in.
    pub not_entitled: u64,
    /// Requests that were not answered in time.
    pub unanswered: u64,
    /// Answers to requests that nobody made, or that were given up.
    pub unknown_requests: u64,
    /// Grants that could lead to a key that was used before, or under a reserved or used SPI, or without a key.
    pub unsound_grants: u64,
    /// Retired or revoked SPIs that there are none of.
    pub unknown_spis: u64,
    /// Messages of sessions that are not up.
    pub unknown_sessions: u64,
    /// Messages that the other end's part does not allow; they end the session.
    pub violations: u64,
    /// Messages lost because the shell did not take them.
    pub effects_lost: u64,
}

impl Agreement {
    /// One row per other host, domain and direction that there is or was a key for.
    pub fn status(&self, now: Time) -> Vec<LinkStatus> {
        let mut rows = BTreeMap::new();
        for ((host, domain, direction), totals) in &self.totals {
            let row = LinkStatus {
                rekeys: totals.rekeys,
                packets: totals.packets,
                bytes: totals.bytes,
                replayed: totals.replayed,
                authentication_failures: totals.authentication_failures,
                ..empty(*host, *domain, *direction)
            };
            rows.insert((*host, *domain, *direction), row);
        }
        let mut row = |host, domain, direction, add: &mut dyn FnMut(&mut LinkStatus)| {
            add(rows.entry((host, domain, direction)).or_insert_with(|| empty(host, domain, direction)));
        };
        for (link, sending) in &self.sending {
            row(link.host, link.domain, LinkDirection::Sending, &mut |row| {
                row.asking += usize::from(sending.asking.is_some());
                if let Some(made) = &sending.current {
                    row.in_force(made.is_post_quantum, now - made.made_at);
                    row.packets += made.sa.packets();
                    row.bytes += made.sa.bytes();
                }
            });
        }
        for it in self.receiving.values() {
            row(it.link.host, it.link.domain, LinkDirection::Receiving, &mut |row| {
                row.in_force(it.is_post_quantum, now - it.made_at);
                row.packets += it.sa.packets();
                row.bytes += it.sa.bytes();
                row.replayed += it.sa.replayed();
                row.authentication_failures += it.sa.authentication_failures();
            });
        }
        rows.into_values().collect()
    }

    pub fn counters(&self) -> Counters {
        self.counters
    }
}

impl LinkStatus {
    fn in_force(&mut self, is_post_quantum: bool, age: Duration) {
        self.is_post_quantum = is_post_quantum && (self.is_post_quantum || self.associations == 0);
        self.associations += 1;
        self.age = self.age.max(age);
    }
}

fn empty(host: HostId, domain: Domain, direction: LinkDirection) -> LinkStatus {
    LinkStatus {
        host,
        domain,
        direction,
        associations: 0,
        asking: 0,
        cipher: CIPHER.into(),
        is_post_quantum: false,
        age: Duration::ZERO,
        rekeys: 0,
        packets: 0,
        bytes: 0,
        replayed: 0,
        authentication_failures: 0,
    }
}
