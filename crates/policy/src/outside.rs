//! What is behind the uplink of a host? Whoever is not of this cloud, as one more place of its internet (decision 0049).
//!
//! Fail closed: only addresses that are globally reachable (RFC 6890 and the registries that go with it), and none that the host says are
//! closed: what ends in the host itself, and where hosts reach each other.

use alloc::boxed::Box;
use core::net::{IpAddr, Ipv4Addr};

use model::{Cidr, HostId, NetworkInterfaceId, ResourceId, VpcId};

use crate::{Next, OnInternet};

/// What a host with an uplink knows of the outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outside {
    host: HostId,
    closed: Box<[Cidr]>,
}

/// The address of a router that has none of its own (RFC 7600 4.8): what the host's uplink has, so that its ICMP errors come from there.
pub const ROUTER: Ipv4Addr = Ipv4Addr::new(192, 0, 0, 8);

/// Blocks whose packets no router forwards to the outside, by first address and length in bits.
const NOT_GLOBAL: &[(u32, u32)] = &[
    (0x0000_0000, 8),  // 0.0.0.0/8, this network
    (0x0a00_0000, 8),  // 10.0.0.0/8, private
    (0x6440_0000, 10), // 100.64.0.0/10, shared
    (0x7f00_0000, 8),  // 127.0.0.0/8, loopback
    (0xa9fe_0000, 16), // 169.254.0.0/16, link-local
    (0xac10_0000, 12), // 172.16.0.0/12, private
    (0xc000_0000, 24), // 192.0.0.0/24, protocols
    (0xc000_0200, 24), // 192.0.2.0/24, documentation
    (0xc058_6300, 24), // 192.88.99.0/24, 6to4
    (0xc0a8_0000, 16), // 192.168.0.0/16, private
    (0xc612_0000, 15), // 198.18.0.0/15, benchmarks
    (0xc633_6400, 24), // 198.51.100.0/24, documentation
    (0xcb00_7100, 24), // 203.0.113.0/24, documentation
    (0xe000_0000, 3),  // 224.0.0.0/3, multicast, reserved, broadcast
];

/// The same of IPv6, by the first 32 bits and their length; only 2000::/3 is global at all.
const NOT_GLOBAL_V6: &[(u32, u32)] = &[
    (0x2001_0000, 23), // 2001::/23, protocols
    (0x2001_0db8, 32), // 2001:db8::/32, documentation
    (0x2002_0000, 16), // 2002::/16, 6to4
    (0x3fff_0000, 20), // 3fff::/20, documentation
];

impl Outside {
    /// As `host` sees it; `closed` is never outside.
    pub fn new(host: HostId, closed: impl IntoIterator<Item = Cidr>) -> Outside {
        Outside { host, closed: closed.into_iter().collect() }
    }

    /// The VPC that stands for it: no VPC has this id.
    pub const fn vpc() -> VpcId {
        VpcId::LAST
    }

    /// The interface that stands for it.
    pub const fn interface() -> NetworkInterfaceId {
        NetworkInterfaceId::LAST
    }

    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        is_global(address) && !self.is_closed(address)
    }

    /// Errors come from here, too: from the host itself, which is the first router on the way.
    pub(crate) fn is_router(&self, address: IpAddr) -> bool {
        address == ROUTER || self.is_closed(address)
    }

    pub(crate) fn place(&self) -> OnInternet {
        OnInternet { vpc: Outside::vpc(), interface: Outside::interface(), host: Some(self.host), has_gateway: true }
    }

    fn is_closed(&self, address: IpAddr) -> bool {
        self.closed.iter().any(|block| block.contains(address))
    }
}

impl Next {
    /// It leaves the cloud by the uplink of this host.
    pub fn is_outside(&self) -> bool {
        self.interface == Outside::interface()
    }
}

fn is_global(address: IpAddr) -> bool {
    let is_in = |bits: u32, (first, len): &(u32, u32)| (bits ^ first) >> (32 - len) == 0;
    match address {
        IpAddr::V4(v4) => !NOT_GLOBAL.iter().any(|block| is_in(v4.to_bits(), block)),
        IpAddr::V6(v6) => {
            let [a, b, ..] = v6.segments();
            let bits = u32::from(a) << 16 | u32::from(b);
            is_in(bits, &(0x2000_0000, 3)) && !NOT_GLOBAL_V6.iter().any(|block| is_in(bits, block))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn only_what_routers_forward_everywhere_is_outside() {
        let outside = Outside::new("host-1".parse().unwrap(), []);
        for (not, is) in [
            ("0.255.255.255", "1.0.0.0"),
            ("10.0.0.0", "9.255.255.255"),
            ("10.255.255.255", "11.0.0.0"),
            ("100.64.0.0", "100.63.255.255"),
            ("100.127.255.255", "100.128.0.0"),
            ("127.0.0.1", "128.0.0.0"),
            ("169.254.169.254", "169.255.0.0"),
            ("172.16.0.0", "172.15.255.255"),
            ("172.31.255.255", "172.32.0.0"),
            ("192.0.0.8", "192.0.1.0"),
            ("192.0.2.255", "192.0.3.0"),
            ("192.88.99.1", "192.88.100.0"),
            ("192.168.255.255", "192.169.0.0"),
            ("198.18.7.1", "198.17.255.255"),
            ("198.19.255.255", "198.20.0.0"),
            ("198.51.100.1", "198.51.101.0"),
            ("203.0.113.1", "203.0.114.0"),
            ("224.0.0.1", "223.255.255.255"),
            ("240.0.0.1", "8.8.8.8"),
            ("255.255.255.255", "99.255.255.255"),
            ("::1", "2000::"),
            ("::ffff:8.8.8.8", "2001:200::"),
            ("fe80::1", "2001:db7:ffff::"),
            ("fd00::1", "2001:db9::"),
            ("ff02::1", "2003::"),
            ("2001::1", "2620:fe::9"),
            ("2001:db8::1", "2a00::1"),
            ("2002::1", "3ffe::1"),
            ("3fff:fff:ffff::1", "3fff:1000::1"),
            ("4000::", "3fff:ffff::"),
        ] {
            assert!(!outside.contains(ip(not)), "{not}");
            assert!(outside.contains(ip(is)), "{is}");
        }
    }

    #[test]
    fn what_is_closed_is_not_and_only_speaks_as_a_router() {
        let closed = ["9.9.8.1/32", "9.9.8.255/32", "2620:fe::/64"].map(|block| block.parse().unwrap());
        let outside = Outside::new("host-1".parse().unwrap(), closed);
        for address in ["9.9.8.1", "9.9.8.255", "2620:fe::9"] {
            assert!(!outside.contains(ip(address)) && outside.is_router(ip(address)));
        }
        assert!(outside.contains(ip("9.9.8.2")) && !outside.is_router(ip("9.9.8.2")));
        assert!(outside.is_router(ROUTER.into()) && !outside.contains(ROUTER.into()));
    }
}
