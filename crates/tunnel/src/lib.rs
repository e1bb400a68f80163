//! How do two hosts agree on keys and exchange sealed packets?
//!
//! A pure brain: messages, packets and time come in as arguments; messages, snapshots and sealed packets go out. The shell (`agent`) owns the
//! sockets, the TLS sessions and the clock. It holds one [`Agreement`] and swaps the snapshot that it makes, [`Sas`], into the data plane.
//!
//! ```text
//!   sending host                                                     receiving host
//!   data plane ─▶ Sas::outbound ─▶ none: Agreement::want ──Want──▶   may that host send to me? Inbound, then
//!                        │                  Outbound ◀──────Grant── the SPI
//!                        ▼
//!                 Outbound::reserve, seal ────── ESP in UDP ──────▶ Sas::inbound ─▶ Inbound::lock, Opener::open ─▶ data plane
//! ```
//!
//! What holds here:
//!
//! - *No key, no packet.* There is no way through this crate that leaves a packet in clear.
//! - *An association is one ordered pair of VPCs and what permits it, one sender, one of its threads, one receiver* (architecture, law 3). A
//!   packet that opens was sealed by that host, for that domain, and comes once.
//! - *A sequence number is used once*: the counter hands out ranges, lives with its key and dies with it.
//! - *Nothing is allocated and nothing waits for another thread to seal or open a packet* (`tests/allocation.rs`); an inbound association
//!   is locked for a batch.
//! - *Keys are overwritten at their end* ([`keys`]).
//!
//! Specified in `spec/semantics.md` chapter 14: ESP with AES-256-GCM-16 (RFC 4303, RFC 4106), RFC 6479, RFC 8446 7.5.
//!
//! Not here: the bytes of ESP (`wire::esp`), UDP, fragmentation, the meaning of the inner packet, TLS.

mod agreement;
mod context;
#[doc(hidden)]
pub mod fuzz;
pub mod keys;
pub mod limits;
pub mod message;
mod replay;
mod sa;
mod table;
#[cfg(test)]
mod vectors;

pub use agreement::{
    Agreement, BACKOFF_MAX, BRIDGE, Config, Counters, Effect, Entitlements, GRACE, Handover, HandoverError, IDLE, JUMP,
    LINGER, LinkDirection, LinkStatus, NoLink, Permits, RECEIVING_MAX, RECEIVING_PER_HOST, RECEIVING_PER_LINK, RENEWAL,
    Role, SENDING_MAX, SERVER_SESSIONS_PER_HOST, SHARDS_MAX, WANT_LIFE,
};
pub use context::{EXPORTER_LABEL, Exporter, SessionId};
pub use keys::{Cipher, KEY_MATERIAL, KeyMaterial};
pub use message::{Message, Reason};
pub use replay::{Stale, WINDOW, Window};
pub use sa::{Identity, Inbound, OpenError, Opened, Opener, Outbound, Spent};
pub use table::Sas;
pub use wire::esp::inner_mtu;
