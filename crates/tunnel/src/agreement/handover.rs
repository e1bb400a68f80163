//! What is agreed goes on in the next process of a planned restart, for a while (spec 14.5, 14.8).
//!
//! Nothing of this outlives a process by itself: the shell carries [`Handover`] over a socket between two processes of one machine, and
//! both ends erase it. It bridges the time until the new process has sessions of its own, on which everything is asked for anew.
//!
//! - *No number twice*: an association is revoked before its number is read, so that whoever holds it seals no more; the next process
//!   begins [`JUMP`] further on.
//! - *No packet twice*: every number up to the highest that was opened counts as seen.
//! - *Not for long*: after [`BRIDGE`] it is over, whatever was left.
//!
//! ```text
//!   kind (1): 0 sending, 1 receiving | key and salt (36) | number (8): next to seal with, or highest opened | bytes sealed (8)
//!            | milliseconds left (8) | post-quantum (1) | length (2), identity as JSON                            .. and so on
//! ```

use std::fmt;
use std::sync::Arc;

use model::{Duration, Time};
use zeroize::Zeroizing;

use super::agenda::Item;
use super::peer::Peer;
use super::receiving::Receiving;
use super::sending::Made;
use super::{Agreement, Link};
use crate::context::SessionId;
use crate::keys::{KEY_MATERIAL, KeyMaterial};
use crate::limits;
use crate::sa::{Identity, Inbound, Outbound};

/// How long what was handed over is used at most.
pub const BRIDGE: Duration = Duration::seconds(600);
/// Sequence numbers that the next process leaves out.
pub const JUMP: u64 = 1 << 16;

/// A session that no process has.
const NO_SESSION: SessionId = SessionId(u64::MAX);
/// An identity is far shorter; room for all is taken at once, so that no copy of a key is left behind by growing.
const ENTRY_MAX: usize = 1024;

/// Associations on their way to the next process, keys among them; erased when dropped.
pub struct Handover(Zeroizing<Vec<u8>>);

/// What was handed over is not what this program hands over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("what another process handed over cannot be read: is it another version?")]
pub struct HandoverError;

struct Entry {
    is_sending: bool,
    material: KeyMaterial,
    number: u64,
    bytes: u64,
    left: Duration,
    is_post_quantum: bool,
    identity: Identity,
}

impl Handover {
    pub fn new(bytes: Zeroizing<Vec<u8>>) -> Handover {
        Handover(bytes)
    }

    /// To be carried to the other process and nowhere else.
    pub fn reveal(&self) -> &[u8] {
        &self.0
    }

    fn entries(&self) -> Result<Vec<Entry>, HandoverError> {
        let (mut entries, mut rest) = (Vec::new(), &self.0[..]);
        while !rest.is_empty() {
            entries.push(Entry::read(&mut rest).ok_or(HandoverError)?);
        }
        Ok(entries)
    }
}

impl fmt::Debug for Handover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Handover(..)")
    }
}

impl Entry {
    fn write(&self, to: &mut Vec<u8>) {
        let identity = serde_json::to_vec(&self.identity).unwrap_or_default();
        to.push(u8::from(!self.is_sending));
        to.extend_from_slice(self.material.reveal());
        to.extend(self.number.to_be_bytes());
        to.extend(self.bytes.to_be_bytes());
        to.extend(self.left.as_millis().max(0).to_be_bytes());
        to.push(u8::from(self.is_post_quantum));
        to.extend(u16::try_from(identity.len()).unwrap_or(0).to_be_bytes());
        to.extend(identity);
    }

    fn read(from: &mut &[u8]) -> Option<Entry> {
        let is_sending = match take(from, 1)?[0] {
            0 => true,
            1 => false,
            _ => return None,
        };
        let key = take(from, KEY_MATERIAL)?;
        let material = KeyMaterial::fill::<()>(|bytes| {
            bytes.copy_from_slice(key);
            Ok(())
        });
        let mut number = || Some(u64::from_be_bytes(*take(from, 8)?.first_chunk()?));
        let (number, bytes, left) = (number()?, number()?, number()?);
        let is_post_quantum = take(from, 1)?[0] == 1;
        let length = u16::from_be_bytes(*take(from, 2)?.first_chunk()?);
        let identity = serde_json::from_slice(take(from, length.into())?).ok()?;
        let left = Duration::millis(i64::try_from(left).ok()?);
        Some(Entry { is_sending, material: material.ok()?, number, bytes, left, is_post_quantum, identity })
    }
}

fn take<'a>(from: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, rest) = from.split_at_checked(length)?;
    *from = rest;
    Some(taken)
}

impl Agreement {
    /// All associations that are in force, for the next process; nothing is sealed or opened with them here any more, whoever holds them.
    pub fn hand_over(&mut self, now: Time) -> Handover {
        self.advance(now);
        let now = self.now;
        let mut bytes = Zeroizing::new(Vec::with_capacity((self.outbound.len() + self.receiving.len()) * ENTRY_MAX));
        for made in self.sending.values().filter_map(|sending| sending.current.as_ref()) {
            let sa = &made.sa;
            if sa.is_revoked() {
                continue;
            }
            // First: only then its count is final.
            sa.revoke();
            let entry = Entry {
                is_sending: true,
                material: sa.material(),
                number: sa.packets() + 1,
                bytes: sa.bytes(),
                left: made.hard_at - now,
                is_post_quantum: made.is_post_quantum,
                identity: *sa.identity(),
            };
            entry.write(&mut bytes);
        }
        // Oldest first: where there are too many, the oldest is the one that ends.
        let mut receiving: Vec<&Receiving> = self.receiving.values().collect();
        receiving.sort_by_key(|receiving| receiving.epoch);
        for receiving in receiving {
            let sa = &receiving.sa;
            if sa.is_revoked() {
                continue;
            }
            sa.revoke();
            let entry = Entry {
                is_sending: false,
                material: sa.material(),
                number: sa.last(),
                bytes: 0,
                left: receiving.gone_at - now,
                is_post_quantum: receiving.is_post_quantum,
                identity: *sa.identity(),
            };
            entry.write(&mut bytes);
        }
        Handover(bytes)
    }

    /// Goes on with what another process handed over, and asks for all of it anew. To be called before the first
    /// [`entitle`](Self::entitle), which ends what is not permitted any more.
    ///
    /// # Errors
    /// Nothing of it is taken then.
    pub fn take_over(&mut self, handover: &Handover, now: Time) -> Result<(), HandoverError> {
        self.advance(now);
        for entry in handover.entries()? {
            if entry.is_sending { self.go_on_sending(&entry) } else { self.go_on_receiving(&entry) }
        }
        self.changed();
        Ok(())
    }

    fn go_on_sending(&mut self, entry: &Entry) {
        let (now, Identity { spi, domain, host, shard, .. }) = (self.now, entry.identity);
        let link = Link { host, domain, shard };
        if self.sending.contains_key(&link) || self.outbound.contains_key(&(host, spi)) {
            return;
        }
        let next = entry.number.saturating_add(JUMP);
        let sa = Outbound::resumed(entry.identity, &entry.material, self.cipher, next, entry.bytes);
        let made = Made {
            packets_seen: sa.packets(),
            sa: Arc::new(sa),
            session: NO_SESSION,
            is_post_quantum: entry.is_post_quantum,
            made_at: now,
            // The next one is asked for at once.
            soft_at: now,
            hard_at: now + entry.left.min(BRIDGE),
            used_at: now,
        };
        self.outbound.insert((host, spi), link);
        self.sending.entry(link).or_default().current = Some(made);
        self.agenda.set(Item::Sending(link), Some(now));
    }

    fn go_on_receiving(&mut self, entry: &Entry) {
        let (now, Identity { spi, domain, host, shard, .. }) = (self.now, entry.identity);
        if self.receiving.contains_key(&spi) {
            return;
        }
        let link = Link { host, domain, shard };
        let sa = Arc::new(Inbound::resumed(entry.identity, &entry.material, self.cipher, entry.number));
        let gone_at = now + entry.left.min(BRIDGE);
        let is_post_quantum = entry.is_post_quantum;
        // Counted as a grant, so that it is older than what this process grants itself.
        self.epoch += 1;
        let (epoch, made_at) = (self.epoch, now);
        self.receiving.insert(spi, Receiving { sa, link, made_at, is_post_quantum, epoch, gone_at });
        self.granted.insert((link, epoch, spi));
        self.peers.entry(host).or_insert_with(|| Peer::new(now)).receiving += 1;
        self.agenda.set(Item::Receiving(spi), Some(gone_at));
    }
}

// Nothing lives longer for being handed over.
const _: () = assert!(BRIDGE.as_millis() < limits::AGE_HARD.as_millis());

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_are_read_to_an_end(bytes: Vec<u8>) {
            let _ = Handover::new(Zeroizing::new(bytes)).entries();
        }
    }

    #[test]
    fn an_entry_reads_back_and_is_not_printed() {
        let entry = Entry {
            is_sending: false,
            material: crate::sa::tests::material(),
            number: u64::MAX,
            bytes: 7,
            left: Duration::millis(5),
            is_post_quantum: true,
            identity: crate::sa::tests::identity(),
        };
        let mut bytes = Vec::new();
        entry.write(&mut bytes);
        assert!(bytes.len() <= ENTRY_MAX);
        let handover = Handover::new(Zeroizing::new([&bytes[..], &bytes[..]].concat()));
        let read = handover.entries().unwrap();
        assert_eq!(read.len(), 2);
        let it = &read[1];
        assert_eq!((it.number, it.bytes, it.left, it.identity), (u64::MAX, 7, entry.left, entry.identity));
        assert!(it.is_post_quantum && !it.is_sending && it.material.reveal() == entry.material.reveal());
        assert_eq!(format!("{handover:?}"), "Handover(..)");
        assert_eq!(Handover::new(Zeroizing::new(bytes[1..].to_vec())).entries().err(), Some(HandoverError));
    }
}
