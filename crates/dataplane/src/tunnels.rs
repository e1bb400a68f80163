//! The security associations in force on this host, as one value that is swapped like the tables.

use std::net::SocketAddr;
use std::sync::Arc;

use model::{Domain, HostId};
use tunnel::{Inbound, Outbound, Sas};

/// A way to another host, in one generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct TunnelId(u32);

/// What this host may seal with and open with. See [`Shared::connect`](crate::Shared::connect).
#[derive(Debug, Default)]
pub struct Tunnels {
    sas: Sas,
    /// Where each outbound association's host is, by the place of the association.
    addresses: Vec<Option<SocketAddr>>,
}

impl Tunnels {
    /// `address` says where a host is on the underlay; what goes to one that is nowhere is dropped (D15).
    pub fn new(sas: Sas, address: impl Fn(HostId) -> Option<SocketAddr>) -> Tunnels {
        let addresses = sas.outbounds().iter().map(|sa| address(sa.identity().host)).collect();
        Tunnels { sas, addresses }
    }

    pub(crate) fn find(&self, domain: Domain, host: HostId, shard: u16) -> Option<TunnelId> {
        self.sas.find(domain, host, shard).map(TunnelId)
    }

    pub(crate) fn outbound(&self, TunnelId(at): TunnelId) -> Option<(&Arc<Outbound>, SocketAddr)> {
        let address = (*self.addresses.get(at as usize)?)?;
        Some((self.sas.outbounds().get(at as usize)?, address))
    }

    pub(crate) fn inbound(&self, spi: u32) -> Option<&Arc<Inbound>> {
        self.sas.inbound(spi)
    }
}
