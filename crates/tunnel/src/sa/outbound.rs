//! The sending end.

use std::sync::atomic::{AtomicU64, Ordering};

use wire::esp::{self, HEADER_LEN, Header, ICV_LEN};

use crate::keys::{Cipher, Key, KeyMaterial};
use crate::limits::{self, charged};
use crate::sa::{EXPIRED, Identity, LIVE, Life, REVOKED};

/// Why no more may be sealed under this key: ask for another ([`crate::Agreement::want`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Spent {
    #[error("the key has protected as much as one may: ask for another")]
    Limit,
    #[error("the key is older than two hours: ask for another")]
    Expired,
    #[error("the domain is no longer permitted between the two hosts")]
    Revoked,
}

/// Seals packets. Shared with whoever asks for counters; one thread sends.
#[derive(Debug)]
pub struct Outbound {
    identity: Identity,
    key: Key,
    /// For the next process of a planned restart.
    material: KeyMaterial,
    life: Life,
    /// The next sequence number; the first is 1.
    next: AtomicU64,
    bytes: AtomicU64,
}

impl Outbound {
    pub fn new(identity: Identity, material: &KeyMaterial, cipher: Cipher) -> Outbound {
        Outbound::resumed(identity, material, cipher, 1, 0)
    }

    /// From this number on, with so many bytes sealed already.
    pub(crate) fn resumed(
        identity: Identity,
        material: &KeyMaterial,
        cipher: Cipher,
        next: u64,
        bytes: u64,
    ) -> Outbound {
        let (key, life) = (Key::new(material, cipher), Life::default());
        let material = material.copy();
        Outbound { identity, key, material, life, next: AtomicU64::new(next.max(1)), bytes: AtomicU64::new(bytes) }
    }

    pub(crate) fn material(&self) -> KeyMaterial {
        self.material.copy()
    }

    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Sequence numbers for `n` packets with together `bytes` bytes of inner packets: the first of `n` that follow each other. Nobody else
    /// gets them, whichever threads ask at once; those that are not used are lost. Once per batch.
    ///
    /// # Errors
    /// `Limit`, `Expired`, `Revoked`.
    pub fn reserve(&self, n: u32, bytes: u64) -> Result<u64, Spent> {
        match self.life.state() {
            LIVE => {}
            REVOKED => return Err(Spent::Revoked),
            _ => return Err(Spent::Expired),
        }
        // Looked at before it is added to: neither sum can come near its end, however often a spent key is asked.
        let packets = self.packets().saturating_add(n.into());
        if charged(packets, self.bytes().saturating_add(bytes)) > limits::BYTES_HARD {
            return Err(Spent::Limit);
        }
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        Ok(self.next.fetch_add(n.into(), Ordering::Relaxed))
    }

    /// Seals one packet where it lies: [`HEADER_LEN`] bytes of room, the inner packet, room for trailer and ICV. Returns the length of
    /// all. The number must come from [`reserve`](Self::reserve) of this association and be used once: the same number on two
    /// packets gives both away.
    ///
    /// # Panics
    /// If `packet` is shorter than [`esp::sealed_len`].
    pub fn seal(&self, sequence: u64, packet: &mut [u8], inner_len: usize, next_header: u8) -> usize {
        debug_assert!(sequence < self.next.load(Ordering::Relaxed), "a number that was not reserved");
        let (head, body) = packet.split_at_mut(HEADER_LEN);
        let header = Header { spi: self.identity.spi, sequence };
        head.copy_from_slice(&header.to_bytes());
        let plain_len = esp::put_trailer(body, inner_len, next_header).expect("the packet has room for its trailer");
        let (plain, rest) = body.split_at_mut(plain_len);
        let icv = self.key.seal(self.key.nonce(header.iv()), &header.aad(), plain);
        rest[..ICV_LEN].copy_from_slice(&icv);
        HEADER_LEN + plain_len + ICV_LEN
    }

    /// Packets that numbers were reserved for.
    pub fn packets(&self) -> u64 {
        self.next.load(Ordering::Relaxed) - 1
    }

    /// Bytes of inner packets that numbers were reserved for.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Nothing more is sealed, whoever still holds it.
    pub fn revoke(&self) {
        self.life.end(REVOKED);
    }

    pub(crate) fn expire(&self) {
        self.life.end(EXPIRED);
    }

    pub fn is_revoked(&self) -> bool {
        self.life.state() == REVOKED
    }

    /// Time for a new key, by what this one has protected.
    pub(crate) fn is_worn(&self) -> bool {
        self.packets() >= limits::PACKETS_SOFT || charged(self.packets(), self.bytes()) >= limits::BYTES_SOFT
    }

    /// Starts the count elsewhere, to reach the limits within a test.
    #[cfg(test)]
    pub(crate) fn skip_to(&self, next: u64, bytes: u64) {
        self.next.store(next, Ordering::Relaxed);
        self.bytes.store(bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sa::tests::{identity, material};

    fn outbound() -> Outbound {
        Outbound::new(identity(), &material(), Cipher::Ring)
    }

    #[test]
    fn numbers_start_at_one_and_never_repeat() {
        let sa = outbound();
        assert_eq!(sa.reserve(3, 300), Ok(1));
        assert_eq!(sa.reserve(1, 100), Ok(4));
        assert_eq!(sa.reserve(1, 100), Ok(5));
        assert_eq!((sa.packets(), sa.bytes()), (5, 500));
    }

    #[test]
    fn threads_that_share_one_never_get_the_same_number() {
        let sa = outbound();
        let mut firsts = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| (0..5000).map(|_| sa.reserve(3, 3).unwrap()).collect::<Vec<_>>()))
                .collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
        });
        firsts.sort_unstable();
        assert!(firsts.windows(2).all(|pair| pair[1] - pair[0] >= 3));
        assert_eq!(firsts.len(), 20_000);
    }

    #[test]
    fn the_hard_limits_hold() {
        let sa = outbound();
        sa.skip_to(1, limits::BYTES_HARD - 1000);
        assert_eq!(sa.reserve(1, 952), Ok(1), "to the last byte");
        assert_eq!(sa.reserve(1, 1), Err(Spent::Limit));
        assert_eq!(sa.reserve(1, u64::MAX), Err(Spent::Limit), "sums do not wrap");
        sa.skip_to(limits::PACKETS_HARD, 0);
        assert_eq!(sa.reserve(1, 1), Err(Spent::Limit), "2^63 packets");
        sa.skip_to(limits::BYTES_HARD / 48, 0);
        assert_eq!(sa.reserve(1, 0), Ok(limits::BYTES_HARD / 48), "tiny packets count for their blocks");
        assert_eq!(sa.reserve(2, 0), Err(Spent::Limit));
    }

    #[test]
    fn small_packets_wear_a_key_as_their_blocks_do() {
        let sa = outbound();
        assert!(!sa.is_worn());
        sa.skip_to(limits::PACKETS_SOFT + 1, 0);
        assert!(sa.is_worn());
        sa.skip_to(1, limits::BYTES_SOFT);
        assert!(sa.is_worn());
    }

    #[test]
    fn revoked_and_expired_say_which() {
        let sa = outbound();
        sa.expire();
        assert_eq!(sa.reserve(1, 1), Err(Spent::Expired));
        sa.revoke();
        sa.expire();
        assert_eq!(sa.reserve(1, 1), Err(Spent::Revoked));
        assert!(sa.is_revoked());
    }
}
