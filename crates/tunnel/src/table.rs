//! What the data plane looks up: an immutable snapshot of all associations, swapped whole.

use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use model::{Domain, HostId};

use crate::sa::{Inbound, Outbound};

/// All associations that may be used. Look-ups are per batch.
///
/// A thread that keeps an old snapshot keeps its keys in memory: whoever holds one must take the new one when it is told of it, and an
/// idle thread must not hold any.
#[derive(Debug, Default)]
pub struct Sas {
    outbound: Vec<Arc<Outbound>>,
    /// Places in `outbound`.
    by_link: HashMap<(Domain, HostId, u16), u32, FixedState>,
    inbound: HashMap<u32, Arc<Inbound>, FixedState>,
}

impl Sas {
    /// The seed, which nobody outside may know, keeps SPIs from being chosen to collide.
    pub fn new(
        outbound: impl IntoIterator<Item = Arc<Outbound>>,
        inbound: impl IntoIterator<Item = Arc<Inbound>>,
        seed: u64,
    ) -> Sas {
        let (outbound, inbound) = (outbound.into_iter().collect::<Vec<_>>(), inbound.into_iter());
        let hasher = FixedState::with_seed(seed);
        let mut sas = Sas {
            by_link: HashMap::with_capacity_and_hasher(outbound.len(), hasher.clone()),
            outbound,
            inbound: HashMap::with_capacity_and_hasher(inbound.size_hint().0, hasher),
        };
        sas.by_link.extend(sas.outbound.iter().zip(0..).map(|(sa, place)| {
            let identity = sa.identity();
            ((identity.domain, identity.host, identity.shard), place)
        }));
        sas.inbound.extend(inbound.map(|sa| (sa.identity().spi, sa)));
        sas
    }

    /// The association of this domain to this host for this sending thread; if there is none, ask for it
    /// ([`crate::Agreement::want`]) and let the packet wait, never go in clear.
    pub fn outbound(&self, domain: Domain, host: HostId, shard: u16) -> Option<&Arc<Outbound>> {
        self.outbound.get(self.find(domain, host, shard)? as usize)
    }

    /// The place of that association among [`Sas::outbounds`].
    pub fn find(&self, domain: Domain, host: HostId, shard: u16) -> Option<u32> {
        self.by_link.get(&(domain, host, shard)).copied()
    }

    /// All outbound associations; their places hold for this snapshot.
    pub fn outbounds(&self) -> &[Arc<Outbound>] {
        &self.outbound
    }

    /// The association that has this SPI here; if there is none, tell the sender's host ([`crate::Agreement::unknown_spi`]).
    pub fn inbound(&self, spi: u32) -> Option<&Arc<Inbound>> {
        self.inbound.get(&spi)
    }

    /// How many, outbound and inbound.
    pub fn counts(&self) -> (usize, usize) {
        (self.outbound.len(), self.inbound.len())
    }
}
