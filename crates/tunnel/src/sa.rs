//! Security associations: one key, one direction, one domain, one sending thread (spec 14.1, 14.5; RFC 4303 in tunnel mode, RFC 4106).
//!
//! The bytes of a packet are those of [`wire::esp`]. The high half of the sequence number is read from the IV and bound by the additional data.

mod inbound;
mod outbound;

use std::sync::atomic::{AtomicU8, Ordering};

pub use inbound::{Inbound, OpenError, Opened, Opener};
pub use outbound::{Outbound, Spent};

/// What a security association is for and with whom; the same words at both ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Identity {
    /// Chosen by the receiver, at least 256, unique there.
    pub spi: u32,
    pub domain: model::Domain,
    /// The host at the other end.
    pub host: model::HostId,
    /// Which of the sender's threads.
    pub shard: u16,
    /// The receiver takes packets whose transport checksum is partial, and says so in its grant.
    #[serde(default)]
    pub partial_sums: bool,
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
        Identity { spi: 0x1001, domain, host: "host-1".parse().unwrap(), shard: 0, partial_sums: true }
    }

    pub(crate) fn material() -> KeyMaterial {
        KeyMaterial::fill::<()>(|bytes| {
            bytes.fill(7);
            Ok(())
        })
        .unwrap()
    }
}
