//! What becomes of a packet in pieces? Virtual reassembly of the header (spec 11.5, "Fragments"; D34).
//!
//! Only the first fragment names the ports. It is judged; the later ones of the same datagram inherit its ruling. A later one that
//! comes before the first waits for it. Pieces that overlap end the whole datagram: a receiver might see another header than the law
//! did (RFC 1858, RFC 5722). Nothing is put together here, and no frame is changed.
//!
//! The bounds: [`DATAGRAMS_MAX`] at once, [`DATAGRAMS_PER_PORT`] of one port, [`HELD_PER_DATAGRAM`] waiting frames of one datagram,
//! [`HELD_BYTES_PER_PORT`] of one port, [`LIFE`] each. Beyond a bound a fragment is refused; none pushes another out, so that a flood
//! of one guest costs nobody else a packet.

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use model::{Domain, Duration, HostId, Time};
use std::hash::BuildHasher;
use wire::Addresses;

use crate::port::{PORTS_MAX, PortId};
use crate::span::Spans;

/// Datagrams in pieces on the whole host.
pub const DATAGRAMS_MAX: usize = 1024;
/// Datagrams in pieces of one port.
pub const DATAGRAMS_PER_PORT: u16 = 64;
/// Frames of one datagram that wait for its first fragment.
pub const HELD_PER_DATAGRAM: usize = 64;
/// Bytes of one port that wait for a first fragment.
pub const HELD_BYTES_PER_PORT: u32 = 256 * 1024;
/// How long a datagram may stay in pieces (spec 11.5).
pub const LIFE: Duration = Duration::seconds(30);

/// Which datagram a fragment belongs to, among those of one port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) port: PortId,
    pub(crate) addresses: Addresses,
    /// IPv4 tells datagrams apart by protocol too; 0 for IPv6, where only the first fragment is sure to know it (RFC 8200 4.5).
    pub(crate) protocol: u8,
    pub(crate) id: u32,
    /// The link that it came by, of a packet from another host: what one link brings never inherits what another one was allowed.
    pub(crate) link: Option<(Domain, HostId)>,
}

/// A fragment's place in its datagram.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Piece {
    /// Bytes in front of it.
    pub(crate) offset: u32,
    /// Bytes of payload, not zero.
    pub(crate) len: u32,
    /// More follow.
    pub(crate) more: bool,
}

/// What to do with a fragment.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Arrival<R> {
    /// The first: judge it, then call [`Fragments::decide`].
    Judge,
    /// A later one: this is the first one's ruling.
    Inherit(R),
    /// Kept until the first one comes.
    Held,
    /// Overlapping, or a bound is reached.
    Refused,
}

/// The datagrams of one host that are in pieces. `R` is a ruling.
#[derive(Debug)]
pub(crate) struct Fragments<R> {
    /// Slots by key. Twice as many places as slots: with half of them free the table clears its tombstones in place and never grows.
    index: HashTable<u16>,
    slots: Vec<Option<Datagram<R>>>,
    free: Vec<u16>,
    usage: Vec<Usage>,
    hasher: FixedState,
}

/// What one port takes up.
#[derive(Clone, Copy, Debug, Default)]
struct Usage {
    datagrams: u16,
    held_bytes: u32,
}

#[derive(Debug)]
struct Datagram<R> {
    key: Key,
    born: Time,
    spans: Spans,
    fate: Fate<R>,
}

#[derive(Debug)]
enum Fate<R> {
    /// The first fragment has not come, or is being judged.
    Open(Vec<Box<[u8]>>),
    Judged(R),
    /// Pieces overlapped: whatever still comes is refused.
    Spoilt,
}

impl<R: Copy> Fragments<R> {
    pub(crate) fn new(seed: u64) -> Fragments<R> {
        Fragments {
            index: HashTable::with_capacity(2 * DATAGRAMS_MAX),
            slots: (0..DATAGRAMS_MAX).map(|_| None).collect(),
            free: (0..DATAGRAMS_MAX as u16).rev().collect(),
            // One more for gateways, which have no port.
            usage: vec![Usage::default(); PORTS_MAX + 1],
            hasher: FixedState::with_seed(seed),
        }
    }

    /// Takes a fragment in; `frame` is what to keep should it have to wait.
    ///
    /// Frames that were waiting when their datagram is spoilt end here: `refused` is told the length of each.
    pub(crate) fn arrive(
        &mut self,
        key: Key,
        piece: Piece,
        frame: &[u8],
        now: Time,
        mut refused: impl FnMut(usize),
    ) -> Arrival<R> {
        let hash = self.hasher.hash_one(key);
        let found = match self.find(hash, &key) {
            Some(at) if !self.end_if_over(at, now, |_, len| refused(len)) => Some(at),
            _ => self.open(hash, key, now),
        };
        let Some((at, datagram)) = found.and_then(|at| Some((at, self.slots.get_mut(usize::from(at))?.as_mut()?)))
        else {
            return Arrival::Refused;
        };
        let range = piece.offset..piece.offset.saturating_add(piece.len);
        if matches!(datagram.fate, Fate::Spoilt) || datagram.spans.insert(range, !piece.more).is_err() {
            let held = std::mem::replace(&mut datagram.fate, Fate::Spoilt);
            self.release(key.port, held).iter().map(|frame| frame.len()).for_each(refused);
            return Arrival::Refused;
        }
        match &mut datagram.fate {
            _ if piece.offset == 0 => Arrival::Judge,
            Fate::Open(held) => {
                let usage = &mut self.usage[key.port.index()];
                let bytes = usage.held_bytes.saturating_add(frame.len().try_into().unwrap_or(u32::MAX));
                if held.len() >= HELD_PER_DATAGRAM || bytes > HELD_BYTES_PER_PORT {
                    return Arrival::Refused;
                }
                usage.held_bytes = bytes;
                held.push(frame.into());
                Arrival::Held
            }
            Fate::Judged(ruling) => {
                let ruling = *ruling;
                if datagram.spans.is_complete() {
                    self.close(hash, at);
                }
                Arrival::Inherit(ruling)
            }
            Fate::Spoilt => Arrival::Refused,
        }
    }

    /// The ruling about the first fragment. Gives the frames that waited for it.
    pub(crate) fn decide(&mut self, key: Key, ruling: R) -> Vec<Box<[u8]>> {
        let hash = self.hasher.hash_one(key);
        let Some(at) = self.find(hash, &key) else { return Vec::new() };
        let Some(datagram) = self.slots[usize::from(at)].as_mut() else { return Vec::new() };
        if matches!(datagram.fate, Fate::Spoilt) {
            return Vec::new();
        }
        let is_complete = datagram.spans.is_complete();
        let held = std::mem::replace(&mut datagram.fate, Fate::Judged(ruling));
        let held = self.release(key.port, held);
        if is_complete {
            self.close(hash, at);
        }
        held
    }

    /// Forgets a datagram: its fragments wait elsewhere, and come again as if for the first time. Gives the frames that waited here.
    pub(crate) fn withdraw(&mut self, key: Key) -> Vec<Box<[u8]>> {
        let hash = self.hasher.hash_one(key);
        let Some(at) = self.find(hash, &key) else { return Vec::new() };
        let Some(datagram) = self.slots[usize::from(at)].as_mut() else { return Vec::new() };
        if matches!(datagram.fate, Fate::Spoilt) {
            return Vec::new();
        }
        let held = std::mem::replace(&mut datagram.fate, Fate::Spoilt);
        let held = self.release(key.port, held);
        self.close(hash, at);
        held
    }

    /// A new ruling after the tables changed, for the fragments that still come.
    pub(crate) fn renew(&mut self, key: Key, ruling: R) {
        let found = self.find(self.hasher.hash_one(key), &key).and_then(|at| self.slots[usize::from(at)].as_mut());
        if let Some(Datagram { fate: Fate::Judged(old), .. }) = found {
            *old = ruling;
        }
    }

    /// Ends datagrams that stayed in pieces for too long; `refused` is told port and length of each frame that still waited.
    pub(crate) fn sweep(&mut self, now: Time, mut refused: impl FnMut(PortId, usize)) {
        for at in 0..DATAGRAMS_MAX as u16 {
            self.end_if_over(at, now, &mut refused);
        }
    }

    /// Ends what there is of a port: another interface may be plugged in there next, which must not inherit what this one was allowed, nor
    /// find its places taken.
    pub(crate) fn forget(&mut self, port: PortId) {
        for at in 0..DATAGRAMS_MAX as u16 {
            let slot = self.slots[usize::from(at)].as_mut();
            let Some(datagram) = slot.filter(|datagram| datagram.key.port == port) else { continue };
            let (key, held) = (datagram.key, std::mem::replace(&mut datagram.fate, Fate::Spoilt));
            self.release(port, held);
            self.close(self.hasher.hash_one(key), at);
        }
    }

    /// Ends the datagram at this place if there is one and it is too old.
    fn end_if_over(&mut self, at: u16, now: Time, mut refused: impl FnMut(PortId, usize)) -> bool {
        let slot = self.slots[usize::from(at)].as_mut();
        let Some(datagram) = slot.filter(|datagram| now - datagram.born >= LIFE) else { return false };
        let (key, held) = (datagram.key, std::mem::replace(&mut datagram.fate, Fate::Spoilt));
        self.release(key.port, held).iter().for_each(|frame| refused(key.port, frame.len()));
        self.close(self.hasher.hash_one(key), at);
        true
    }

    fn find(&self, hash: u64, key: &Key) -> Option<u16> {
        let is_it = |at: &u16| self.slots[usize::from(*at)].as_ref().is_some_and(|datagram| datagram.key == *key);
        self.index.find(hash, is_it).copied()
    }

    fn open(&mut self, hash: u64, key: Key, now: Time) -> Option<u16> {
        let usage = self.usage.get_mut(key.port.index()).filter(|usage| usage.datagrams < DATAGRAMS_PER_PORT)?;
        let at = self.free.pop()?;
        usage.datagrams += 1;
        self.slots[usize::from(at)] =
            Some(Datagram { key, born: now, spans: Spans::default(), fate: Fate::Open(Vec::new()) });
        let (slots, hasher) = (&self.slots, &self.hasher);
        let rehash = |at: &u16| slots[usize::from(*at)].as_ref().map_or(0, |datagram| hasher.hash_one(datagram.key));
        self.index.insert_unique(hash, at, rehash);
        Some(at)
    }

    fn close(&mut self, hash: u64, at: u16) {
        if let Ok(entry) = self.index.find_entry(hash, |other| *other == at) {
            entry.remove();
        }
        if let Some(datagram) = self.slots[usize::from(at)].take() {
            self.usage[datagram.key.port.index()].datagrams -= 1;
            self.free.push(at);
        }
    }

    /// The frames that waited, no longer counted as waiting.
    fn release(&mut self, port: PortId, fate: Fate<R>) -> Vec<Box<[u8]>> {
        let Fate::Open(held) = fate else { return Vec::new() };
        let bytes: usize = held.iter().map(|frame| frame.len()).sum();
        let usage = &mut self.usage[port.index()];
        usage.held_bytes = usage.held_bytes.saturating_sub(bytes.try_into().unwrap_or(u32::MAX));
        held
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn key(port: u32, id: u32) -> Key {
        let addresses = Addresses::V4 { src: Ipv4Addr::new(10, 0, 0, 1), dst: Ipv4Addr::new(10, 0, 0, 2) };
        Key { port: PortId::new(port).unwrap(), addresses, protocol: 17, id, link: None }
    }

    fn first(more: bool) -> Piece {
        Piece { offset: 0, len: 800, more }
    }

    fn later(offset: u32, more: bool) -> Piece {
        Piece { offset, len: 800, more }
    }

    fn arrive(table: &mut Fragments<u8>, key: Key, piece: Piece, now: i64) -> Arrival<u8> {
        table.arrive(key, piece, &[7; 834], Time::from_unix_millis(now), |_| {})
    }

    #[test]
    fn in_order_the_later_ones_inherit_and_nothing_stays() {
        let mut table = Fragments::new(1);
        assert_eq!(arrive(&mut table, key(1, 9), first(true), 0), Arrival::Judge);
        assert!(table.decide(key(1, 9), 42).is_empty());
        assert_eq!(arrive(&mut table, key(1, 9), later(800, true), 0), Arrival::Inherit(42));
        assert_eq!(arrive(&mut table, key(1, 9), later(1600, false), 0), Arrival::Inherit(42));
        assert!(table.index.is_empty() && table.free.len() == DATAGRAMS_MAX);
        assert_eq!(table.usage[1].datagrams, 0);
    }

    #[test]
    fn out_of_order_they_wait_for_the_first() {
        let mut table = Fragments::new(1);
        assert_eq!(arrive(&mut table, key(1, 9), later(800, false), 0), Arrival::Held);
        assert_eq!(table.usage[1].held_bytes, 834);
        assert_eq!(arrive(&mut table, key(1, 9), first(true), 5), Arrival::Judge);
        assert_eq!(table.decide(key(1, 9), 42), [vec![7; 834].into_boxed_slice()]);
        assert!(table.index.is_empty());
        assert_eq!(table.usage[1].held_bytes, 0);
    }

    #[test]
    fn what_is_withdrawn_comes_again_as_if_for_the_first_time() {
        let mut table = Fragments::new(1);
        assert_eq!(arrive(&mut table, key(1, 9), later(800, false), 0), Arrival::Held);
        assert_eq!(arrive(&mut table, key(1, 9), first(true), 0), Arrival::Judge);
        assert_eq!(table.withdraw(key(1, 9)).len(), 1);
        assert!(table.index.is_empty() && table.usage[1].datagrams == 0 && table.usage[1].held_bytes == 0);
        assert!(table.withdraw(key(1, 9)).is_empty());
        assert_eq!(arrive(&mut table, key(1, 9), first(true), 5), Arrival::Judge);
        assert!(table.decide(key(1, 9), 42).is_empty());
        assert_eq!(arrive(&mut table, key(1, 9), later(800, false), 5), Arrival::Inherit(42));
        // What overlapped stays refused.
        assert_eq!(arrive(&mut table, key(1, 8), first(true), 5), Arrival::Judge);
        assert_eq!(arrive(&mut table, key(1, 8), first(true), 5), Arrival::Refused);
        assert!(table.withdraw(key(1, 8)).is_empty());
        assert_eq!(arrive(&mut table, key(1, 8), later(800, false), 5), Arrival::Refused);
    }

    #[test]
    fn overlap_spoils_all_of_it_also_what_waits() {
        let mut table = Fragments::new(1);
        assert_eq!(arrive(&mut table, key(1, 9), later(800, false), 0), Arrival::Held);
        let mut refused = 0;
        let again = table.arrive(key(1, 9), later(792, true), &[0; 8], Time::EPOCH, |len| refused += len);
        assert_eq!((again, refused, table.usage[1].held_bytes), (Arrival::Refused, 834, 0));
        assert_eq!(arrive(&mut table, key(1, 9), first(true), 5), Arrival::Refused);
        assert!(table.decide(key(1, 9), 42).is_empty());
    }

    #[test]
    fn a_flood_of_one_port_leaves_the_others_their_places() {
        let mut table = Fragments::new(1);
        for id in 0..u32::from(DATAGRAMS_PER_PORT) {
            assert_eq!(arrive(&mut table, key(1, id), first(true), 0), Arrival::Judge);
        }
        assert_eq!(arrive(&mut table, key(1, 1 << 20), first(true), 0), Arrival::Refused);
        assert_eq!(arrive(&mut table, key(2, 1), first(true), 0), Arrival::Judge);
        table.sweep(Time::from_unix_millis(29_999), |_, _| {});
        assert_eq!(arrive(&mut table, key(1, 1 << 20), first(true), 0), Arrival::Refused);
        table.sweep(Time::from_unix_millis(30_000), |_, _| {});
        assert!(table.index.is_empty());
        assert_eq!(arrive(&mut table, key(1, 1 << 20), first(true), 30_000), Arrival::Judge);
    }

    #[test]
    fn a_port_is_forgotten_whole_and_alone() {
        let mut table = Fragments::new(1);
        for port in [1, 2] {
            assert_eq!(arrive(&mut table, key(port, 1), later(800, false), 0), Arrival::Held);
            assert_eq!(arrive(&mut table, key(port, 2), first(true), 0), Arrival::Judge);
        }
        table.forget(PortId::new(1).unwrap());
        assert_eq!((table.usage[1].datagrams, table.usage[1].held_bytes), (0, 0));
        assert_eq!((table.usage[2].datagrams, table.usage[2].held_bytes), (2, 834));
        assert_eq!((table.index.len(), table.free.len()), (2, DATAGRAMS_MAX - 2));
        assert_eq!(arrive(&mut table, key(1, 1), first(true), 0), Arrival::Judge);
        assert!(table.decide(key(1, 1), 42).is_empty());
    }

    #[test]
    fn what_waits_is_bounded_in_frames_and_bytes_and_does_not_wait_for_ever() {
        let mut table = Fragments::new(1);
        for n in 0..HELD_PER_DATAGRAM as u32 {
            assert_eq!(arrive(&mut table, key(1, 9), later(800 * (n + 1), true), 0), Arrival::Held);
        }
        assert_eq!(arrive(&mut table, key(1, 9), later(800 * 65, true), 0), Arrival::Refused);
        let held: Vec<_> = (10..400).map(|id| arrive(&mut table, key(1, id), later(800, true), 0)).collect();
        assert!(held.contains(&Arrival::Refused) && table.usage[1].held_bytes <= HELD_BYTES_PER_PORT);
        let (mut frames, waiting) = (0, table.usage[1].held_bytes / 834);
        table.sweep(Time::EPOCH + LIFE, |port, len| frames += u32::from(port.index() == 1 && len == 834));
        assert_eq!((frames, table.usage[1].held_bytes), (waiting, 0));
    }
}
