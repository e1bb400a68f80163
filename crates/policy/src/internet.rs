//! Who is where on the cloud's own internet? Public IPv4 addresses and what they stand for, and the IPv6 addresses of VPCs that have an
//! Internet gateway (spec 8.7-8.9).

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hashbrown::HashMap;
use model::{HostId, NetworkInterfaceId, PublicIpv6, PublicPlace, VpcId};

use crate::Outside;
use crate::tables::Map;

/// Every address that packets through Internet gateways can be for. What is not here is outside of this cloud.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Internet {
    /// `None`: it is held, and stands for nobody.
    places: Map<IpAddr, Option<OnInternet>>,
    /// `None`: there is no way out of the cloud here.
    outside: Option<Arc<Outside>>,
}

/// Whom an address of the internet stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OnInternet {
    pub vpc: VpcId,
    pub interface: NetworkInterfaceId,
    pub host: Option<HostId>,
    /// The VPC has an Internet gateway.
    pub has_gateway: bool,
}

impl Internet {
    pub fn new(
        public: &BTreeMap<Ipv4Addr, Arc<PublicPlace>>,
        public_ipv6: &BTreeMap<Ipv6Addr, Arc<PublicIpv6>>,
    ) -> Internet {
        let v4 = public.iter().map(|(address, place)| {
            let holder = place.holder.as_ref().map(|holder| OnInternet {
                vpc: holder.vpc,
                interface: holder.interface,
                host: holder.host,
                has_gateway: holder.has_gateway,
            });
            (IpAddr::V4(*address), holder)
        });
        let v6 = public_ipv6.iter().map(|(address, place)| {
            let PublicIpv6 { vpc, interface, host } = **place;
            (IpAddr::V6(*address), Some(OnInternet { vpc, interface, host, has_gateway: true }))
        });
        let mut places = HashMap::with_capacity_and_hasher(public.len() + public_ipv6.len(), Default::default());
        places.extend(v4.chain(v6));
        Internet { places, outside: None }
    }

    /// The same, with what is behind the uplink of this host.
    #[must_use]
    pub fn with_outside(self, outside: Option<Arc<Outside>>) -> Internet {
        Internet { outside, ..self }
    }

    /// `None`: outside of this cloud, and no way there; `Some(None)`: it stands for nobody.
    pub fn find(&self, address: IpAddr) -> Option<Option<OnInternet>> {
        let outside = || self.outside.as_ref().filter(|outside| outside.contains(address));
        self.places.get(&address).copied().or_else(|| outside().map(|outside| Some(outside.place())))
    }

    /// Every address that is known here, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (IpAddr, Option<OnInternet>)> {
        self.places.iter().map(|(address, place)| (*address, *place))
    }

    /// Has an address stand for somebody, or for nobody.
    pub fn put(&mut self, address: IpAddr, place: Option<OnInternet>) {
        self.places.insert(address, place);
    }

    /// Whom packets from this address come from, if any can; from routers outside only errors do.
    pub fn sender(&self, address: IpAddr) -> Option<OnInternet> {
        let outside = || self.outside.as_ref().filter(|_| self.is_router(address)).map(|outside| outside.place());
        self.find(address).flatten().filter(|at| at.has_gateway).or_else(outside)
    }

    /// Nothing but errors comes from there: it is this host, as a router on the way outside.
    pub(crate) fn is_router(&self, address: IpAddr) -> bool {
        let is_ours = || self.places.contains_key(&address);
        self.outside.as_ref().is_some_and(|outside| outside.is_router(address)) && !is_ours()
    }

    /// Whom of this cloud an address stands for.
    pub(crate) fn holder(&self, address: IpAddr) -> Option<OnInternet> {
        self.places.get(&address).copied().flatten()
    }

    /// All that can send and receive, in no order.
    pub fn all(&self) -> impl Iterator<Item = &OnInternet> {
        self.places.values().flatten().filter(|at| at.has_gateway)
    }

    /// The same, with this host where there is none.
    #[must_use]
    pub fn with_host(mut self, host: HostId) -> Internet {
        for at in self.places.values_mut().flatten() {
            at.host.get_or_insert(host);
        }
        self
    }
}

/// Addresses that mean something inside a network only: RFC 1918, RFC 6598 and, of IPv6, unique local ones (RFC 4193).
pub fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_private() || is_shared(address),
        IpAddr::V6(v6) => v6.is_unique_local(),
    }
}

/// RFC 6598: between a carrier and its customers.
pub fn is_shared(address: IpAddr) -> bool {
    matches!(address, IpAddr::V4(v4) if v4.octets()[0] == 100 && v4.octets()[1] & 0xc0 == 64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_and_shared_addresses_are_told_from_public_ones() {
        for (text, private, shared) in [
            ("10.0.0.1", true, false),
            ("172.31.255.255", true, false),
            ("172.32.0.0", false, false),
            ("192.168.1.1", true, false),
            ("100.63.255.255", false, false),
            ("100.64.0.0", true, true),
            ("100.127.255.255", true, true),
            ("100.128.0.0", false, false),
            ("203.0.113.1", false, false),
            ("fd00::1", true, false),
            ("2001:db8::1", false, false),
        ] {
            let address = text.parse().unwrap();
            assert_eq!((is_private(address), is_shared(address)), (private, shared), "{text}");
        }
    }
}
