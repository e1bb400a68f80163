//! Keys that the operator may look at (`peerway capture --esp-keys`): kept only if the agent was started with `--allow-esp-keys`, only
//! while their association lives, and overwritten at its end. Without it none is kept beside the associations that use it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::IpAddr;

use model::HostId;
use tunnel::{KEY_MATERIAL, KeyMaterial, Sas};
use zeroize::Zeroizing;

/// Whose key: a SPI is chosen by the receiver, so this host's own and another's may be the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct KeyName {
    /// The other host.
    pub(crate) host: HostId,
    /// It sends, this host receives.
    pub(crate) is_inbound: bool,
    pub(crate) spi: u32,
}

/// For one thread's use.
#[derive(Debug, Default)]
pub(crate) struct Kept(RefCell<BTreeMap<KeyName, KeyMaterial>>);

impl Kept {
    pub(crate) fn keep(&self, name: KeyName, material: &KeyMaterial) {
        self.0.borrow_mut().insert(name, copy(material));
    }

    /// Forgets the keys of associations that are gone.
    pub(crate) fn retain(&self, sas: &Sas) {
        let is_outbound = |name: &KeyName| {
            let identities = sas.outbounds().iter().map(|sa| sa.identity());
            identities.into_iter().any(|identity| identity.host == name.host && identity.spi == name.spi)
        };
        let is_inbound =
            |name: &KeyName| sas.inbound(name.spi).is_some_and(|inbound| inbound.identity().host == name.host);
        let lives = |name: &KeyName| if name.is_inbound { is_inbound(name) } else { is_outbound(name) };
        self.0.borrow_mut().retain(|name, _| lives(name));
    }

    pub(crate) fn all(&self) -> Vec<(KeyName, KeyMaterial)> {
        self.0.borrow().iter().map(|(name, material)| (*name, copy(material))).collect()
    }
}

/// One line of Wireshark's table `esp_sa`, in the form that Wireshark 4.0 reads. Wireshark decrypts with it but does not check the ICV: that
/// would need the high half of the sequence number, for which this form has no place.
pub(crate) fn line(src: IpAddr, dst: IpAddr, spi: u32, material: &KeyMaterial) -> Zeroizing<String> {
    let family = if src.is_ipv4() { "IPv4" } else { "IPv6" };
    // Its room is made at once, so that no piece of it is left where it stood before it grew.
    let mut line = Zeroizing::new(String::with_capacity(256 + 2 * KEY_MATERIAL));
    // Writing to a string never fails.
    let _ =
        write!(line, "\"{family}\",\"{src}\",\"{dst}\",\"{spi:#010x}\",\"AES-GCM with 16 octet ICV [RFC4106]\",\"0x");
    for byte in material.reveal() {
        let _ = write!(line, "{byte:02x}");
    }
    line.push_str("\",\"NULL\",\"\"\n");
    line
}

fn copy(material: &KeyMaterial) -> KeyMaterial {
    let copied = KeyMaterial::fill(|bytes| {
        bytes.copy_from_slice(material.reveal());
        Ok::<(), std::convert::Infallible>(())
    });
    match copied {
        Ok(copied) => copied,
        Err(never) => match never {},
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use model::{Domain, ResourceId, Scope, VpcId};
    use tunnel::{Cipher, Identity, Inbound, Outbound};

    fn material(byte: u8) -> KeyMaterial {
        KeyMaterial::fill(|bytes| {
            bytes.fill(byte);
            Ok::<(), ()>(())
        })
        .unwrap()
    }

    #[test]
    fn only_keys_of_associations_that_live_are_kept() {
        let (vpc, host): (_, HostId) = (VpcId::from_random(1), "host-2".parse().unwrap());
        let identity = |spi| {
            let domain = Domain { from: vpc, to: vpc, scope: Scope::Vpc };
            Identity { spi, domain, host, shard: 0, partial_sums: true }
        };
        let kept = Kept::default();
        for spi in [300, 301] {
            for is_inbound in [false, true] {
                kept.keep(KeyName { host, is_inbound, spi }, &material(spi as u8));
            }
        }
        assert_eq!(kept.all().len(), 4, "the same number in both directions is two keys");
        let outbound = Arc::new(Outbound::new(identity(300), &material(1), Cipher::Ring));
        let inbound = Arc::new(Inbound::new(identity(301), &material(1), Cipher::Ring));
        kept.retain(&Sas::new([outbound], [inbound], 1));
        let names: Vec<_> = kept.all().into_iter().map(|(name, _)| (name.is_inbound, name.spi)).collect();
        assert_eq!(names, [(false, 300), (true, 301)]);
        kept.retain(&Sas::default());
        assert!(kept.all().is_empty());
    }

    #[test]
    fn a_line_is_wiresharks() {
        let line = line([198, 18, 0, 1].into(), [198, 18, 0, 2].into(), 0x1001, &material(0xab));
        let key = "ab".repeat(36);
        let expected = format!(
            "\"IPv4\",\"198.18.0.1\",\"198.18.0.2\",\"0x00001001\",\"AES-GCM with 16 octet ICV [RFC4106]\",\"0x{key}\",\"NULL\",\"\"\n"
        );
        assert_eq!(*line, expected);
        assert!(line.capacity() >= expected.len());
    }
}
