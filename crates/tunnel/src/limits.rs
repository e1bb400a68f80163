//! How much one key may protect and how long it lives (spec 14.5).
//!
//! At the soft limit the sender asks for a new key, at the hard one both ends refuse the old. Bytes are those of all blocks that AES-GCM
//! counts, so a small packet counts for more than its length.

use model::Duration;

/// 512 GiB.
pub const BYTES_SOFT: u64 = 512 << 30;
/// 1 TiB, which is 2^36 blocks: an advantage of at most 2^-57.
pub const BYTES_HARD: u64 = 1 << 40;

pub const PACKETS_SOFT: u64 = 1 << 29;
/// The receiver takes no sequence number from here on.
pub const PACKETS_HARD: u64 = 1 << 63;

/// An hour, give or take a tenth of it.
pub const AGE_SOFT: Duration = Duration::hours(1);
pub const AGE_HARD: Duration = Duration::hours(2);

/// After so many packets that were not authentic, the receiver gives the key up.
pub const FORGERIES_HARD: u64 = 1 << 36;

/// Additional data, the length block and the rounding up of the last one.
const OVERHEAD: u64 = 48;

// A key is spent by bytes long before it is by packets: the sender need not compare twice.
const _: () = assert!(BYTES_HARD / OVERHEAD < PACKETS_HARD);

/// What so many packets with so many bytes in them count for.
pub(crate) const fn charged(packets: u64, bytes: u64) -> u64 {
    bytes.saturating_add(packets.saturating_mul(OVERHEAD))
}
