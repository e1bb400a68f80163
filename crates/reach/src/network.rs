//! The configuration that is asked: the slices of some VPCs, and the law's tables of each.
//!
//! A VPC's tables follow from its own slice alone, so each VPC is compiled for itself, and a change compiles again only what it
//! changes.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};

use model::intent::{Endpoint, VpcSlice};
use model::{
    AccountId, AllocationId, HostId, InternetGatewayId, NetworkInterfaceId, Peering, PeeringSide, SubnetId, VpcId,
};
use policy::{Internet, OnInternet, Tables};

use crate::answer::Place;
use crate::mend::Mend;
use crate::question::QuestionError;

/// Some VPCs, compiled. Cloning costs a few counters.
#[derive(Clone, Debug, Default)]
pub struct Network {
    vpcs: BTreeMap<VpcId, Part>,
    interfaces: BTreeMap<NetworkInterfaceId, VpcId>,
    /// Stands for a host where there is none.
    stand_in: Option<HostId>,
    internet: Arc<Internet>,
    spares: Arc<Spares>,
}

/// What accounts have and do not use: with it something can be mended that would else need a new one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spares {
    /// Internet gateways that are attached to no VPC.
    pub gateways: BTreeMap<InternetGatewayId, AccountId>,
    /// Elastic IP addresses that are mapped to nothing.
    pub addresses: BTreeMap<Ipv4Addr, (AccountId, AllocationId)>,
}

#[derive(Clone, Debug)]
struct Part {
    slice: Arc<VpcSlice>,
    tables: Arc<Tables>,
}

impl Part {
    fn new(slice: Arc<VpcSlice>, internet: &Arc<Internet>) -> Part {
        let tables = Arc::new(Tables::compile([&*slice], 0).with_internet(internet.clone()));
        Part { slice, tables }
    }
}

impl Network {
    /// The VPCs of a packet's way must be among these: the sender's, and those that it is peered with. Slices of VPCs of several
    /// regions may be given. A packet into a VPC that is not here is taken to find its destination down.
    pub fn new(slices: impl IntoIterator<Item = VpcSlice>) -> Network {
        let mut network = Network::default();
        for slice in slices {
            let of_vpc = slice.endpoints.iter().map(|endpoint| (endpoint.interface.id, slice.vpc.id));
            network.interfaces.extend(of_vpc);
            network.vpcs.insert(slice.vpc.id, Part::new(Arc::new(slice), &network.internet));
        }
        network
    }

    /// The same for a control plane without hosts, where instances are records only: all are taken to be on one host.
    pub fn without_hosts(slices: impl IntoIterator<Item = VpcSlice>, host: HostId) -> Network {
        let network = Network::new(slices.into_iter().map(|mut slice| {
            slice.endpoints.iter_mut().for_each(|endpoint| endpoint.host = Some(host));
            slice.peers.iter_mut().flat_map(|peer| &mut peer.members).for_each(|member| member.host = Some(host));
            slice
        }));
        Network { stand_in: Some(host), ..network }
    }

    /// The same, with what can be reached through Internet gateways. The VPCs of a packet's way must be among those that are here.
    #[must_use]
    pub fn with_internet(mut self, internet: Internet) -> Network {
        let internet = match self.stand_in {
            Some(host) => internet.with_host(host),
            None => internet,
        };
        self.internet = Arc::new(internet);
        for part in self.vpcs.values_mut() {
            *part = Part::new(part.slice.clone(), &self.internet);
        }
        self
    }

    /// The same, with what its accounts have and do not use.
    #[must_use]
    pub fn with_spares(self, spares: Spares) -> Network {
        Network { spares: Arc::new(spares), ..self }
    }

    pub(crate) fn spares(&self) -> &Spares {
        &self.spares
    }

    /// What can be reached through Internet gateways.
    pub fn internet(&self) -> &Internet {
        &self.internet
    }

    /// A host, whichever: that of an interface that is on one.
    pub(crate) fn any_host(&self) -> Option<HostId> {
        let of_interfaces = self.slices().flat_map(|slice| &slice.endpoints).find_map(|endpoint| endpoint.host);
        self.stand_in.or(of_interfaces)
    }

    /// The host, unless it only stands in for one.
    pub(crate) fn real_host(&self, host: Option<HostId>) -> Option<HostId> {
        host.filter(|host| self.stand_in != Some(*host))
    }

    pub fn slices(&self) -> impl Iterator<Item = &VpcSlice> {
        self.vpcs.values().map(|part| &*part.slice)
    }

    pub fn slice(&self, vpc: VpcId) -> Option<&VpcSlice> {
        self.vpcs.get(&vpc).map(|part| &*part.slice)
    }

    /// The law's tables of one VPC.
    pub fn tables(&self, vpc: VpcId) -> Option<&Tables> {
        self.vpcs.get(&vpc).map(|part| &*part.tables)
    }

    /// The VPC that an interface is in.
    pub fn vpc_of(&self, interface: NetworkInterfaceId) -> Option<VpcId> {
        self.interfaces.get(&interface).copied()
    }

    pub fn endpoint(&self, interface: NetworkInterfaceId) -> Option<&Endpoint> {
        let slice = self.slice(self.vpc_of(interface)?)?;
        slice.endpoints.iter().find(|endpoint| endpoint.interface.id == interface)
    }

    /// The interface's first address of a family.
    ///
    /// # Errors
    /// No such interface, no such address.
    pub fn address(&self, interface: NetworkInterfaceId, is_ipv6: bool) -> Result<IpAddr, QuestionError> {
        let endpoint = self.endpoint(interface).ok_or(QuestionError::NoInterface(interface))?;
        let found = endpoint.interface.addresses().find(|address| address.is_ipv6() == is_ipv6);
        found.ok_or(QuestionError::NoAddress { interface, is_ipv6 })
    }

    /// The interface of the VPC that owns the address.
    pub fn owner(&self, vpc: VpcId, address: IpAddr) -> Option<NetworkInterfaceId> {
        self.tables(vpc)?.owner(vpc, address).map(|owner| owner.interface)
    }

    /// Where a VPC is: from its slice, or from what a peering says of it.
    pub fn place(&self, vpc: VpcId, subnet: Option<SubnetId>) -> Option<Place> {
        if let Some(slice) = self.slice(vpc) {
            return Some(Place { vpc, subnet, account: slice.vpc.owner, region: slice.region });
        }
        let sides = self.slices().flat_map(|slice| &slice.peerings).flat_map(|pcx| [&pcx.requester, &pcx.accepter]);
        let is_it = |side: &&PeeringSide| side.vpc == vpc;
        sides.into_iter().find(is_it).map(|side| Place { vpc, subnet, account: side.owner, region: side.region })
    }

    /// The place of an interface, with its subnet.
    pub fn place_of(&self, interface: NetworkInterfaceId) -> Option<Place> {
        let endpoint = self.endpoint(interface)?;
        self.place(endpoint.interface.vpc, Some(endpoint.interface.subnet))
    }

    /// The peerings of two VPCs as the first one's region sees them.
    pub(crate) fn peerings(&self, vpc: VpcId, other: VpcId) -> impl Iterator<Item = &Arc<Peering>> {
        let of_vpc = self.slice(vpc).into_iter().flat_map(|slice| &slice.peerings);
        of_vpc.filter(move |peering| peering.is_between(vpc, other))
    }

    /// The same after these changes.
    #[must_use]
    pub fn mended(&self, mends: impl IntoIterator<Item = Mend>) -> Network {
        let mut network = self.clone();
        mends.into_iter().for_each(|mend| mend.make(&mut network));
        network
    }

    /// Changes one VPC's slice, and compiles it again. `false`: it is not here.
    pub(crate) fn edit(&mut self, vpc: VpcId, edit: impl FnOnce(&mut VpcSlice)) -> bool {
        let Some(part) = self.vpcs.get_mut(&vpc) else { return false };
        edit(Arc::make_mut(&mut part.slice));
        *part = Part::new(part.slice.clone(), &self.internet);
        true
    }

    /// One VPC more, or another in place of the one by its id.
    pub(crate) fn add(&mut self, slice: VpcSlice) {
        let vpc = slice.vpc.id;
        self.interfaces.extend(slice.endpoints.iter().map(|endpoint| (endpoint.interface.id, vpc)));
        self.vpcs.insert(vpc, Part::new(Arc::new(slice), &self.internet));
        self.publish(vpc);
    }

    /// Tells the internet where the VPC's public addresses lead now. What an address led to before counts no more.
    pub(crate) fn publish(&mut self, vpc: VpcId) {
        let Some(slice) = self.slice(vpc) else { return };
        let has_gateway = !slice.internet_gateways.is_empty();
        let gets_out = has_gateway || !slice.egress_only_internet_gateways.is_empty();
        let mut places: Vec<(IpAddr, Option<OnInternet>)> = Vec::new();
        for Endpoint { interface, host, .. } in &slice.endpoints {
            let at = |has_gateway| Some(OnInternet { vpc, interface: interface.id, host: *host, has_gateway });
            places.extend(interface.public.iter().map(|mapped| (mapped.public.into(), at(has_gateway))));
            let global = interface.ipv6_addresses.iter().filter(|_| gets_out);
            places.extend(global.map(|address| ((*address).into(), at(true))));
        }
        if places.iter().all(|(address, place)| self.internet.find(*address) == Some(*place)) {
            return;
        }
        let internet = Arc::make_mut(&mut self.internet);
        places.into_iter().for_each(|(address, place)| internet.put(address, place));
        for part in self.vpcs.values_mut() {
            *part = Part::new(part.slice.clone(), &self.internet);
        }
    }
}
