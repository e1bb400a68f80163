//! What mends a way over the internet (spec 8.7-8.9): a gateway, a route to it, a public address (D28-D30, and D08, D09, D12, D38, D39
//! of a packet for a public address; decision 0051).

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};

use model::intent::{Endpoint, VpcSlice};
use model::{Cidr, NatGatewayId, NetworkInterfaceId, RouteTarget, VpcId};
use policy::internet::is_private;

use super::{Mender, has_route};
use crate::answer::Way;
use crate::mend::{Mend, NEW_ADDRESS, NEW_GATEWAY};

impl Mender<'_> {
    /// A route out of the VPC to an address of the internet, by a NAT gateway that has a public address or by an Internet gateway, with
    /// all that the gateway wants. `is_direct`: by an Internet gateway only.
    pub(super) fn outward(&self, is_direct: bool) -> Option<Vec<Mend>> {
        let dst = self.stop.flow.dst;
        let from = self.network.endpoint(self.stop.from)?;
        let here = self.network.slice(from.interface.vpc)?;
        // What no address of the cloud's internet is, no gateway leads to; what is inside the VPC is not routed out of it.
        self.network.internet().find(dst)?;
        if is_private(dst) || here.vpc.contains(dst) {
            return None;
        }
        let table = self.table(here, from)?;
        let place = self.network.place(here.vpc.id, Some(from.interface.subnet))?;
        let is_mapped = |src| from.interface.public.iter().any(|at| IpAddr::V4(at.private) == src);
        let wants_nat = dst.is_ipv4() && from.interface.kind.is_ordinary() && !is_mapped(self.stop.flow.src);
        let nat = if wants_nat && !is_direct { self.nat_gateway(here, from) } else { None };
        let (target, mut mends) = match (nat, here.internet_gateways.first()) {
            (Some(nat), _) => (RouteTarget::NatGateway(nat), Vec::new()),
            (None, Some(gateway)) => (RouteTarget::InternetGateway(*gateway), Vec::new()),
            (None, None) => {
                let mends = self.gateway(here.vpc.id)?;
                let made = mends.iter().find_map(|mend| match mend {
                    Mend::AttachGateway { gateway, .. } => Some(*gateway),
                    _ => None,
                });
                (RouteTarget::InternetGateway(made?), mends)
            }
        };
        let everything = if dst.is_ipv4() { EVERYTHING_IPV4 } else { EVERYTHING_IPV6 };
        // A route whose target is gone serves nobody; one that leads elsewhere may serve others, and is left to them.
        let destination = match self.best() {
            None => everything.parse().ok()?,
            Some((over, led_to)) if led_to == target || !self.leads(here, led_to) => over,
            Some(_) => Cidr::host(dst),
        };
        // A gateway that was attached again is where the route leads already.
        if self.best() != Some((destination, target)) {
            let replaces = has_route(here, table, destination);
            mends.push(Mend::Route { place, table, destination, target, replaces });
        }
        (!mends.is_empty()).then_some(mends)
    }

    /// A NAT gateway of the VPC that is on the internet, and whose subnet is not the sender's own.
    fn nat_gateway(&self, here: &VpcSlice, from: &Endpoint) -> Option<NatGatewayId> {
        let serves = |(_, interface): &(&NatGatewayId, &NetworkInterfaceId)| {
            self.network.endpoint(**interface).is_some_and(|endpoint| {
                endpoint.is_up
                    && endpoint.interface.subnet != from.interface.subnet
                    && !endpoint.interface.public.is_empty()
            })
        };
        here.nat_gateways.iter().find(serves).map(|(id, _)| *id)
    }

    /// The target is there, as far as a route alone shows.
    fn leads(&self, here: &VpcSlice, target: RouteTarget) -> bool {
        match target {
            RouteTarget::Local | RouteTarget::TransitGateway(_) => true,
            RouteTarget::Peering(id) => {
                here.peerings.iter().any(|peering| peering.id == id && peering.status.is_live())
            }
            RouteTarget::NetworkInterface(id) => self.network.vpc_of(id) == Some(here.vpc.id),
            RouteTarget::InternetGateway(id) => here.internet_gateways.contains(&id),
            RouteTarget::NatGateway(id) => here.nat_gateways.contains_key(&id),
            RouteTarget::EgressOnlyInternetGateway(id) => here.egress_only_internet_gateways.contains(&id),
        }
    }

    /// An Internet gateway for a VPC that has none: the one that a route of the sender's leads to, another that its account does not use, a
    /// new one.
    pub(super) fn gateway(&self, vpc: VpcId) -> Option<Vec<Mend>> {
        let slice = self.network.slice(vpc)?;
        let place = self.network.place(vpc, None)?;
        if !slice.internet_gateways.is_empty() {
            return None;
        }
        let spares = &self.network.spares().gateways;
        let routed = self.best().and_then(|(_, target)| match target {
            RouteTarget::InternetGateway(id) => Some(id),
            _ => None,
        });
        let own = || spares.iter().filter(|(_, owner)| **owner == place.account).map(|(id, _)| *id);
        let spare = own().find(|id| Some(*id) == routed).or_else(|| own().next());
        Some(match spare {
            Some(gateway) => Vec::from([Mend::AttachGateway { place, gateway }]),
            None => Vec::from([Mend::CreateGateway { place }, Mend::AttachGateway { place, gateway: NEW_GATEWAY }]),
        })
    }

    /// A public address for whoever sends: one that its account does not use, or a new one.
    pub(super) fn map_source(&self) -> Option<Vec<Mend>> {
        let (endpoint, mut place) = self.endpoint(self.stop.from)?;
        let interface = &endpoint.interface;
        place.account = interface.owner;
        let IpAddr::V4(private) = self.stop.flow.src else { return None };
        // Nobody's own address is translated for another, and a NAT gateway keeps those that it was made with.
        if !interface.kind.is_ordinary() || !interface.owns(private.into()) {
            return None;
        }
        let spare = self.network.spares().addresses.iter().find(|(_, (owner, _))| *owner == place.account);
        let interface = interface.id;
        Some(match spare {
            Some((public, (_, id))) => {
                let (public, allocation) = (*public, Some(*id));
                Vec::from([Mend::AssociateAddress { place, public, allocation, interface, private }])
            }
            None => {
                let (public, allocation) = (NEW_ADDRESS, None);
                Vec::from([
                    Mend::AllocateAddress { place },
                    Mend::AssociateAddress { place, public, allocation, interface, private },
                ])
            }
        })
    }

    /// What lets a packet for this public address in: a gateway where its holder is, or, where nobody holds it, an association with who
    /// is meant.
    pub(super) fn map_destination(&self, address: IpAddr) -> Option<Vec<Mend>> {
        if let Some(at) = self.network.internet().find(address)? {
            return self.gateway(at.vpc);
        }
        let IpAddr::V4(public) = address else { return None };
        self.associate(public)
    }

    /// Maps an address that is held and mapped to nothing to the interface that is asked about.
    fn associate(&self, public: Ipv4Addr) -> Option<Vec<Mend>> {
        let wanted = self.question.to.filter(|_| self.stop.way == Way::Forward)?;
        let (endpoint, mut place) = self.endpoint(wanted)?;
        let interface = &endpoint.interface;
        let private = *interface.private_ips.first()?;
        let (owner, id) = *self.network.spares().addresses.get(&public)?;
        place.account = owner;
        (owner == interface.owner && interface.kind.is_ordinary()).then(|| {
            let (interface, allocation) = (interface.id, Some(id));
            Vec::from([Mend::AssociateAddress { place, public, allocation, interface, private }])
        })
    }

    /// A gateway for the VPC whose interface has this global IPv6 address: without one it is not on the internet.
    pub(super) fn publish_ipv6(&self, address: IpAddr) -> Option<Vec<Mend>> {
        let is_outside = matches!(
            self.best(),
            Some((_, RouteTarget::InternetGateway(_) | RouteTarget::EgressOnlyInternetGateway(_)))
        );
        if !address.is_ipv6() || !is_outside || self.network.internet().find(address).is_some() {
            return None;
        }
        let has = |slice: &&VpcSlice| self.network.owner(slice.vpc.id, address).is_some();
        let owner = self.network.slices().find(has)?;
        self.gateway(owner.vpc.id)
    }
}

const EVERYTHING_IPV4: &str = "0.0.0.0/0";
const EVERYTHING_IPV6: &str = "::/0";
