//! What a key is for, as the exporter's context (spec 14.7.1): every key of a session has another.
//!
//! ```text
//!   SPI (4) | epoch (8) | shard (2) | length (1), from | length (1), to | kind of scope (1) | length (1), its id
//!           | length (1), sending host | length (1), receiving host
//! ```
//!
//! Numbers are big-endian, names are their text; a scope is 0 the VPC (no id), 1 a peering, 2 a route target, 3 the internet of the
//! cloud (no id).

use std::fmt::Display;

use model::{Domain, HostId, Scope};

use crate::keys::KeyMaterial;

/// The exporter's label; both ends use the exporter of TLS 1.3 (RFC 8446 7.5) on the session that the key was asked for on.
pub const EXPORTER_LABEL: &[u8] = b"EXPERIMENTAL-peerway-esp v1";

/// Names a key session. The shell counts them and never uses a number twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u64);

/// The exporter of the key sessions that the shell holds.
pub trait Exporter {
    /// 36 bytes with [`EXPORTER_LABEL`] and this context; `None` if the session is gone. The context begins with the SPI, 4 bytes.
    fn export(&self, session: SessionId, context: &[u8]) -> Option<KeyMaterial>;
}

/// The context of one security association.
pub(crate) struct Context {
    pub(crate) spi: u32,
    /// The receiver's count of what it has granted: no two keys of a session have the same, whatever their SPI.
    pub(crate) epoch: u64,
    pub(crate) shard: u16,
    pub(crate) domain: Domain,
    pub(crate) sender: HostId,
    pub(crate) receiver: HostId,
}

impl Context {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(192);
        bytes.extend(self.spi.to_be_bytes());
        bytes.extend(self.epoch.to_be_bytes());
        bytes.extend(self.shard.to_be_bytes());
        name(&mut bytes, self.domain.from);
        name(&mut bytes, self.domain.to);
        match self.domain.scope {
            Scope::Vpc => bytes.extend([0, 0]),
            Scope::Peering(id) => {
                bytes.push(1);
                name(&mut bytes, id);
            }
            Scope::RouteTarget(id) => {
                bytes.push(2);
                name(&mut bytes, id);
            }
            Scope::Internet => bytes.extend([3, 0]),
        }
        name(&mut bytes, self.sender);
        name(&mut bytes, self.receiver);
        bytes
    }
}

fn name(bytes: &mut Vec<u8>, name: impl Display) {
    let text = name.to_string();
    bytes.push(text.len() as u8); // ids and host names have at most 33 characters
    bytes.extend(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{NetworkInterfaceId, PeeringId, ResourceId, VpcId};
    use proptest::prelude::*;

    type Parts = (u32, u64, u16, u8, u8, (u8, u8), u8, u8);

    fn context((spi, epoch, shard, from, to, (kind, id), sender, receiver): Parts) -> Vec<u8> {
        let scope = match kind {
            0 => Scope::Vpc,
            1 => Scope::Peering(PeeringId::from_random(id.into())),
            2 => Scope::RouteTarget(NetworkInterfaceId::from_random(id.into())),
            _ => Scope::Internet,
        };
        let host = |n: u8| "h".repeat(usize::from(n) + 1).parse().unwrap();
        let domain = Domain { from: VpcId::from_random(from.into()), to: VpcId::from_random(to.into()), scope };
        Context { spi, epoch, shard, domain, sender: host(sender), receiver: host(receiver) }.bytes()
    }

    fn parts() -> impl Strategy<Value = Parts> {
        let scope = prop_oneof![Just((0, 0)), (1_u8..3, 0_u8..3), Just((3, 0))];
        (0_u32..3, 0_u64..3, 0_u16..3, 0_u8..3, 0_u8..3, scope, 0_u8..4, 0_u8..4)
    }

    proptest! {
        #[test]
        fn different_keys_have_different_contexts(a in parts(), b in parts()) {
            prop_assert_eq!(context(a) == context(b), a == b);
        }

        #[test]
        fn one_change_is_enough(a in parts(), which in 0..8) {
            let mut b = a;
            match which {
                0 => b.0 += 1,
                1 => b.1 += 1,
                2 => b.2 += 1,
                3 => b.3 += 1,
                4 => b.4 += 1,
                5 => b.5 = if matches!(a.5.0, 0 | 3) { (1, 0) } else { (a.5.0, a.5.1 + 1) },
                6 => (b.6, b.7) = (a.6 + 1, a.7),
                _ => b.7 += 1,
            }
            prop_assert_ne!(context(a), context(b));
        }
    }

    #[test]
    fn byte_for_byte() {
        let bytes = context((0x1001, 7, 2, 0x11, 0x22, (1, 0x33), 0, 1));
        let mut expected = vec![0, 0, 0x10, 1, 0, 0, 0, 0, 0, 0, 0, 7, 0, 2];
        expected.extend(b"\x15vpc-00000000000000011\x15vpc-00000000000000022");
        expected.extend(b"\x01\x15pcx-00000000000000033\x01h\x02hh");
        assert_eq!(bytes, expected);
    }
}
