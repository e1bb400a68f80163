//! Security associations: one key, one direction, one domain, one sending thread (spec 14.1, 14.5; RFC 4303 in tunnel mode, RFC 4106).
//!
//! ```text
//!   0         4         8                16                                            multiple of 4        + 16
//!  ┌─────────┬─────────┬────────────────┬─────────────────────┬─────────┬────────┬──────┬───────────────────┐
//!  │ SPI     │ number, │ number, 64 bit │ inner IP packet     │ 1 2 3   │ length │ next │ ICV               │
//!  │         │ low half│ (IV)           │                     │ padding │ of it  │ head.│                   │
//!  └─────────┴─────────┴────────────────┴─────────────────────┴─────────┴────────┴──────┴───────────────────┘
//!   authentic                            encrypted and authentic
//! ```
//!
//! The additional data is SPI and the whole 64-bit number (ESN). The high half is read from the IV and bound by the additional data.

mod inbound;
mod outbound;

use std::sync::atomic::{AtomicU8, Ordering};

pub use inbound::{Inbound, OpenError, Opened, Opener};
pub use outbound::{Outbound, Spent};

use crate::bytes;

/// Bytes of room that a packet needs in front of it.
pub const HEADER: usize = bytes::HEADER;
/// Bytes that a packet grows by at most: header, three of padding, trailer, ICV.
pub const OVERHEAD_MAX: usize = bytes::HEADER + bytes::ALIGNMENT - 1 + bytes::TRAILER + bytes::ICV;

/// Next header of an inner IPv4 packet, of an inner IPv6 packet, and of a dummy that its receiver forgets (RFC 4303 2.6).
pub const IPV4: u8 = 4;
pub const IPV6: u8 = 41;
pub const DUMMY: u8 = 59;

/// Bytes of the sealed packet, from the SPI to the ICV.
pub const fn sealed_len(inner_len: usize) -> usize {
    bytes::HEADER + bytes::plain_len(inner_len) + bytes::ICV
}

/// What a security association is for and with whom; the same words at both ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Chosen by the receiver, at least 256, unique there.
    pub spi: u32,
    pub domain: model::Domain,
    /// The host at the other end.
    pub host: model::HostId,
    /// Which of the sender's threads.
    pub shard: u16,
}

/// Whether a key may still be used. Goes one way.
#[derive(Debug, Default)]
struct Life(AtomicU8);

const LIVE: u8 = 0;
const EXPIRED: u8 = 1;
const REVOKED: u8 = 2;

impl Life {
    fn end(&self, how: u8) {
        self.0.fetch_max(how, Ordering::Relaxed);
    }

    fn state(&self) -> u8 {
        self.0.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::Identity;
    use crate::keys::KeyMaterial;
    use model::{Domain, Scope};

    pub(crate) fn identity() -> Identity {
        let vpc = "vpc-0123456789abcdef0".parse().unwrap();
        let domain = Domain { from: vpc, to: vpc, scope: Scope::Vpc };
        Identity { spi: 0x1001, domain, host: "host-1".parse().unwrap(), shard: 0 }
    }

    pub(crate) fn material() -> KeyMaterial {
        KeyMaterial::fill::<()>(|bytes| {
            bytes.fill(7);
            Ok(())
        })
        .unwrap()
    }
}
