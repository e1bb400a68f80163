//! The receiving end.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use wire::checksum::TransportSum;
use wire::esp::{self, HEADER_LEN, Header, Inner};

use crate::keys::{Cipher, Key, KeyMaterial};
use crate::limits::{self, charged};
use crate::replay::{Stale, Window};
use crate::sa::{EXPIRED, Identity, LIVE, Life, REVOKED};

/// Why a packet is dropped, in silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    #[error("a sequence number that has been seen")]
    Replayed,
    #[error("a sequence number behind the replay window")]
    TooOld,
    #[error("not sealed with the key of its SPI")]
    Authentication,
    #[error("not an ESP packet of the form agreed")]
    Malformed,
    #[error("the key is older than two hours or has opened as much as one may")]
    Expired,
    #[error("the domain is no longer permitted between the two hosts")]
    Revoked,
}

/// What was sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Where the inner packet lies in the buffer, as long as its own length field says: the sender may have added bytes behind it to hide
    /// its length. Empty for a dummy.
    pub inner: Range<usize>,
    /// One of [`wire::esp::next_header`]: an IPv4 or IPv6 packet of that version, or a dummy, which is to be forgotten. One with a
    /// partial checksum only where the association takes such.
    pub next_header: u8,
}

/// Opens packets. Any thread may; the replay window is locked for a batch.
#[derive(Debug)]
pub struct Inbound {
    identity: Identity,
    key: Key,
    /// For the next process of a planned restart.
    material: KeyMaterial,
    life: Life,
    window: Mutex<Window>,
    counts: Counts,
}

#[derive(Debug, Default)]
struct Counts {
    packets: AtomicU64,
    bytes: AtomicU64,
    replayed: AtomicU64,
    unauthentic: AtomicU64,
    malformed: AtomicU64,
}

impl Inbound {
    pub fn new(identity: Identity, material: &KeyMaterial, cipher: Cipher) -> Inbound {
        Inbound::resumed(identity, material, cipher, 0)
    }

    /// Every number up to this one counts as seen.
    pub(crate) fn resumed(identity: Identity, material: &KeyMaterial, cipher: Cipher, last: u64) -> Inbound {
        let (key, life) = (Key::new(material, cipher), Life::default());
        let (window, material) = (Mutex::new(Window::after(last)), material.copy());
        Inbound { identity, key, material, life, window, counts: Counts::default() }
    }

    pub(crate) fn material(&self) -> KeyMaterial {
        self.material.copy()
    }

    /// The highest number that was opened.
    pub(crate) fn last(&self) -> u64 {
        self.window.lock().unwrap_or_else(PoisonError::into_inner).last()
    }

    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// For one batch.
    pub fn lock(&self) -> Opener<'_> {
        // A window is whole between any two of its steps, so a thread that panicked has left a good one.
        let window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        Opener { sa: self, window, tally: Tally::default() }
    }

    /// Packets opened.
    pub fn packets(&self) -> u64 {
        self.counts.packets.load(Ordering::Relaxed)
    }

    /// Bytes of inner packets opened.
    pub fn bytes(&self) -> u64 {
        self.counts.bytes.load(Ordering::Relaxed)
    }

    /// Packets dropped because their number had been seen or was behind the window.
    pub fn replayed(&self) -> u64 {
        self.counts.replayed.load(Ordering::Relaxed)
    }

    /// Packets dropped because they were not sealed with this key.
    pub fn authentication_failures(&self) -> u64 {
        self.counts.unauthentic.load(Ordering::Relaxed)
    }

    /// Packets dropped because they had not the agreed form.
    pub fn malformed(&self) -> u64 {
        self.counts.malformed.load(Ordering::Relaxed)
    }

    /// Nothing more is opened, whoever still holds it.
    pub fn revoke(&self) {
        self.life.end(REVOKED);
    }

    pub(crate) fn expire(&self) {
        self.life.end(EXPIRED);
    }

    pub fn is_revoked(&self) -> bool {
        self.life.state() == REVOKED
    }
}

/// Opens the packets of one batch; its counts become visible when it is dropped.
#[derive(Debug)]
pub struct Opener<'a> {
    sa: &'a Inbound,
    window: MutexGuard<'a, Window>,
    tally: Tally,
}

#[derive(Debug, Default)]
struct Tally {
    packets: u64,
    bytes: u64,
    replayed: u64,
    unauthentic: u64,
    malformed: u64,
}

impl Opener<'_> {
    /// Opens the ESP packet in `buf[packet]` and puts what was sealed to `buf[dest..]`, without another buffer; `dest` is at most 16 behind
    /// the packet's beginning. Bytes from `dest` to the packet's end are overwritten, whatever the outcome; none before `dest`.
    ///
    /// The order is that of spec 14.1.8: number, authenticity, only then the window is marked, then what was sealed.
    ///
    /// # Errors
    /// See [`OpenError`]; ranges that do not fit the buffer are `Malformed`.
    pub fn open(&mut self, buf: &mut [u8], packet: Range<usize>, dest: usize) -> Result<Opened, OpenError> {
        let opened = self.try_open(buf, packet, dest);
        match &opened {
            Ok(opened) => {
                self.tally.packets += 1;
                self.tally.bytes += opened.inner.len() as u64;
            }
            Err(OpenError::Replayed | OpenError::TooOld) => self.tally.replayed += 1,
            Err(OpenError::Authentication) => self.tally.unauthentic += 1,
            Err(OpenError::Malformed) => self.tally.malformed += 1,
            Err(OpenError::Expired | OpenError::Revoked) => {}
        }
        opened
    }

    fn try_open(&mut self, buf: &mut [u8], packet: Range<usize>, dest: usize) -> Result<Opened, OpenError> {
        let datagram = buf.get(packet.clone()).ok_or(OpenError::Malformed)?;
        let header = Header::parse(datagram).map_err(|_| OpenError::Malformed)?;
        let sealed = packet.start + HEADER_LEN;
        let is_number = header.sequence != 0 && header.sequence < limits::PACKETS_HARD;
        if dest > sealed || header.spi != self.sa.identity.spi || !is_number {
            return Err(OpenError::Malformed);
        }
        self.permitted()?;
        self.window.check(header.sequence).map_err(OpenError::from)?;
        let key = &self.sa.key;
        let plain_len = key
            .open(key.nonce(header.iv()), &header.aad(), &mut buf[dest..packet.end], sealed - dest)
            .ok_or(OpenError::Authentication)?;
        self.window.mark(header.sequence).map_err(OpenError::from)?;
        let plain = &buf[dest..dest + plain_len];
        let next_header = plain[plain_len - 1]; // the sealed part has 4 bytes or more
        if esp::sums_of(next_header) == TransportSum::Partial && !self.sa.identity.partial_sums {
            return Err(OpenError::Malformed);
        }
        let inner_len = match Inner::parse(plain).map_err(|_| OpenError::Malformed)? {
            Inner::Packet(inner) => inner.len(),
            Inner::Dummy => 0,
        };
        Ok(Opened { inner: dest..dest + inner_len, next_header })
    }

    fn permitted(&self) -> Result<(), OpenError> {
        match self.sa.life.state() {
            LIVE => {}
            REVOKED => return Err(OpenError::Revoked),
            _ => return Err(OpenError::Expired),
        }
        let packets = self.sa.packets() + self.tally.packets;
        let bytes = self.sa.bytes() + self.tally.bytes;
        let is_over = charged(packets, bytes) > limits::BYTES_HARD;
        if is_over { Err(OpenError::Expired) } else { Ok(()) }
    }
}

impl Drop for Opener<'_> {
    fn drop(&mut self) {
        let counts = &self.sa.counts;
        for (count, tallied) in [
            (&counts.packets, self.tally.packets),
            (&counts.bytes, self.tally.bytes),
            (&counts.replayed, self.tally.replayed),
            (&counts.unauthentic, self.tally.unauthentic),
            (&counts.malformed, self.tally.malformed),
        ] {
            if tallied > 0 {
                count.fetch_add(tallied, Ordering::Relaxed);
            }
        }
    }
}

impl From<Stale> for OpenError {
    fn from(stale: Stale) -> OpenError {
        match stale {
            Stale::Replayed => OpenError::Replayed,
            Stale::TooOld => OpenError::TooOld,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sa::Outbound;
    use crate::sa::tests::{identity, material};
    use wire::esp;

    fn sealed(outbound: &Outbound, sequence: u64) -> Vec<u8> {
        let mut packet = vec![0; esp::sealed_len(40)];
        packet[HEADER_LEN..][..4].copy_from_slice(&[0x45, 0, 0, 40]);
        assert_eq!(outbound.seal(sequence, &mut packet, 40, esp::next_header::IPV4), packet.len());
        packet
    }

    fn open(inbound: &Inbound, packet: &[u8]) -> Result<Opened, OpenError> {
        let mut buf = packet.to_vec();
        inbound.lock().open(&mut buf, 0..packet.len(), HEADER_LEN)
    }

    #[test]
    fn the_hard_limits_hold() {
        let outbound = Outbound::new(identity(), &material(), Cipher::Ring);
        let inbound = Inbound::new(identity(), &material(), Cipher::Ring);
        outbound.skip_to(u64::MAX, 0);
        assert_eq!(open(&inbound, &sealed(&outbound, limits::PACKETS_HARD)), Err(OpenError::Malformed), "2^63 packets");
        assert!(open(&inbound, &sealed(&outbound, 1)).is_ok());
        inbound.counts.bytes.store(limits::BYTES_HARD, Ordering::Relaxed);
        assert_eq!(open(&inbound, &sealed(&outbound, 2)), Err(OpenError::Expired), "1 TiB");
    }

    #[test]
    fn revoked_and_expired_say_which() {
        let outbound = Outbound::new(identity(), &material(), Cipher::Ring);
        let inbound = Inbound::new(identity(), &material(), Cipher::Ring);
        outbound.skip_to(10, 0);
        inbound.expire();
        assert_eq!(open(&inbound, &sealed(&outbound, 1)), Err(OpenError::Expired));
        inbound.revoke();
        assert_eq!(open(&inbound, &sealed(&outbound, 1)), Err(OpenError::Revoked));
        assert!(inbound.is_revoked());
    }

    #[test]
    fn a_lock_held_does_not_outlast_a_revocation() {
        let outbound = Outbound::new(identity(), &material(), Cipher::Ring);
        let inbound = Inbound::new(identity(), &material(), Cipher::Ring);
        outbound.skip_to(10, 0);
        let mut batch = inbound.lock();
        let len = esp::sealed_len(40);
        assert!(batch.open(&mut sealed(&outbound, 1), 0..len, 0).is_ok());
        inbound.revoke();
        assert_eq!(batch.open(&mut sealed(&outbound, 2), 0..len, 0), Err(OpenError::Revoked));
    }
}
