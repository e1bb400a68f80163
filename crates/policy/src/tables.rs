//! The configuration, compiled: what [`egress`](crate::egress) and [`ingress`](crate::ingress) ask.
//!
//! Immutable; a change makes new tables with another generation, swapped as a whole. Each VPC is compiled from its own slice
//! alone, so judging by a host's slices equals judging by all of them, and a VPC whose slice did not change is taken over as it
//! is ([`Tables::recompile`]). What a slice names but does not hold fails closed: no route, an ACL that denies, a group without
//! rules, an interface that is down.

mod internet;
mod nat;
mod reuse;

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};

use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashSet};
use model::intent::{Peer, VpcSlice};
use model::{
    Cidr, ConnectionTracking, HostId, InterfaceKind, InternetGatewayId, NetworkInterfaceId, PeeringId, PeeringStatus,
    RouteTable, RouteTableId, RouteTarget, SecurityGroup, SecurityGroupId, Subnet, Tags, VpcId,
};

use crate::acl::Acl;
use crate::group::{Resolved, Rules};
use crate::route::{Hop, Routes, Way};
use crate::{Internet, NotApplicable, Origin, OwnTimeouts, Scope};

/// Iteration order is never used, so that a fixed seed is for speed only; ids are random and a VPC's addresses are its own.
pub(crate) type Map<K, V> = HashMap<K, V, FixedState>;

/// Where a VPC stands, seen from another: 0 is itself, n is behind its peering number n - 1.
pub(crate) type VpcIndex = u32;
pub(crate) const OWN: VpcIndex = 0;
/// Nobody has an address there, nor groups.
pub(crate) const NOWHERE: VpcIndex = VpcIndex::MAX;

/// The law's tables of some VPCs.
#[derive(Debug, Default)]
pub struct Tables {
    generation: u64,
    vpcs: Vec<Compiled>,
    places: Arc<Places>,
    internet: Arc<Internet>,
}

/// A VPC's tables and what they were made from, if that was lent for longer than the making.
#[derive(Clone, Debug)]
struct Compiled {
    source: Option<Arc<VpcSlice>>,
    tables: Arc<VpcTables>,
}

/// Where VPCs, and interfaces in them, are found.
#[derive(Debug, Default)]
#[cfg_attr(test, derive(PartialEq))]
struct Places {
    vpcs: Map<VpcId, usize>,
    /// Place of the VPC, and in its endpoints.
    interfaces: Map<NetworkInterfaceId, (usize, usize)>,
}

/// An interface that owns an address, and the host that it is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    pub interface: NetworkInterfaceId,
    pub host: Option<HostId>,
}

impl Tables {
    /// Of two slices of one VPC the later counts.
    pub fn compile<'a>(slices: impl IntoIterator<Item = &'a VpcSlice>, generation: u64) -> Tables {
        let slices: BTreeMap<VpcId, &VpcSlice> = slices.into_iter().map(|slice| (slice.vpc.id, slice)).collect();
        let compiled = |slice| Compiled { source: None, tables: Arc::new(VpcTables::compile(slice)) };
        let vpcs: Vec<Compiled> = slices.into_values().map(compiled).collect();
        Tables { generation, places: Arc::new(Places::of(&vpcs)), vpcs, internet: Arc::default() }
    }

    /// As given to [`Tables::compile`]; a cached verdict of another generation is void.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// What the interfaces say of how long their flows are tracked: for [`Conntrack`](crate::Conntrack).
    pub fn own_timeouts(&self) -> OwnTimeouts {
        self.vpcs.iter().flat_map(|vpc| vpc.tables.own_timeouts.iter().copied()).collect()
    }

    /// The interface of the VPC that owns the address; `None` also if the VPC is not in these tables.
    pub fn owner(&self, vpc: VpcId, address: IpAddr) -> Option<Owner> {
        self.vpc(vpc)?.owner(OWN, address)
    }

    /// Who sent a packet that arrived for an interface from another host: the link says source VPC and scope, the interface
    /// follows from the source address in the receiver's own copy of the mapping (spec 14.3, option a).
    pub fn origin(&self, to: NetworkInterfaceId, source_vpc: VpcId, scope: Scope, source: IpAddr) -> Origin {
        let is_lost = matches!(scope, Scope::RouteTarget(_));
        let sender = || self.sender(to, source_vpc, scope, source).map(|owner| owner.interface);
        let interface = if is_lost { None } else { sender() };
        Origin { vpc: source_vpc, interface, scope }
    }

    /// Who owns an address of a VPC in the view of the interface's own VPC: itself, or one that it is peered with; over the internet,
    /// whom the public address stands for.
    pub fn sender(&self, to: NetworkInterfaceId, source_vpc: VpcId, scope: Scope, source: IpAddr) -> Option<Owner> {
        if scope == Scope::Internet {
            let at = self.internet.sender(source).filter(|at| at.vpc == source_vpc)?;
            return Some(Owner { interface: at.interface, host: at.host });
        }
        let (vpc, _) = self.endpoint(to)?;
        vpc.owner(vpc.index_of(source_vpc)?, source)
    }

    pub(crate) fn endpoint(&self, interface: NetworkInterfaceId) -> Option<(&VpcTables, &Endpoint)> {
        let (vpc, place) = *self.places.interfaces.get(&interface)?;
        let vpc = &*self.vpcs[vpc].tables;
        Some((vpc, &vpc.endpoints[place]))
    }

    fn vpc(&self, id: VpcId) -> Option<&VpcTables> {
        self.places.vpcs.get(&id).map(|at| &*self.vpcs[*at].tables)
    }
}

impl Places {
    fn of(vpcs: &[Compiled]) -> Places {
        let by_vpc = vpcs.iter().enumerate().map(|(at, vpc)| (vpc.tables.id, at)).collect();
        let count = vpcs.iter().map(|vpc| vpc.tables.endpoints.len()).sum();
        let mut interfaces = Map::with_capacity_and_hasher(count, FixedState::default());
        for (at, vpc) in vpcs.iter().enumerate() {
            interfaces.extend(vpc.tables.endpoints.iter().enumerate().map(|(place, e)| (e.id, (at, place))));
        }
        Places { vpcs: by_vpc, interfaces }
    }
}

/// One VPC. Parts that a change leaves as they were are shared with the tables from before it.
#[derive(Clone, Debug)]
#[cfg_attr(test, derive(PartialEq))]
pub(crate) struct VpcTables {
    pub(crate) id: VpcId,
    blocks: Arc<[Cidr]>,
    subnets: Arc<[SubnetTables]>,
    pub(crate) endpoints: Arc<[Endpoint]>,
    /// Places in `endpoints`.
    addresses: Arc<Map<IpAddr, usize>>,
    /// The one that is attached.
    pub(crate) gateway: Option<InternetGatewayId>,
    /// It has an egress-only Internet gateway.
    pub(crate) is_egress_only: bool,
    /// Places in `endpoints`, and the private address that each public one stands for.
    public: Arc<Map<Ipv4Addr, (usize, Ipv4Addr)>>,
    peerings: Arc<[PeeringTables]>,
    bearings: Arc<[Bearing]>,
    /// Of the interfaces that say something of how long their flows are tracked.
    own_timeouts: Arc<[(NetworkInterfaceId, ConnectionTracking)]>,
}

/// Groups that some interface bears together, and their united rules.
#[derive(Clone, Debug)]
#[cfg_attr(test, derive(PartialEq))]
struct Bearing {
    groups: Arc<[SecurityGroupId]>,
    rules: Arc<Rules>,
}

/// A subnet with what decides at its edge.
#[derive(Debug)]
#[cfg_attr(test, derive(PartialEq))]
pub(crate) struct SubnetTables {
    pub(crate) subnet: Arc<Subnet>,
    pub(crate) acl: Arc<Acl>,
    pub(crate) routes: Arc<Routes>,
}

/// An interface of the VPC.
#[derive(Debug)]
#[cfg_attr(test, derive(PartialEq))]
pub(crate) struct Endpoint {
    pub(crate) id: NetworkInterfaceId,
    /// Place in the VPC's subnets.
    pub(crate) subnet: usize,
    addresses: Box<[IpAddr]>,
    /// Private, and public.
    public: Box<[(Ipv4Addr, Ipv4Addr)]>,
    pub(crate) source_dest_check: bool,
    pub(crate) is_up: bool,
    pub(crate) host: Option<HostId>,
    /// A NAT gateway's: it has no groups and tracks nothing, for what it translates is all that passes.
    pub(crate) is_nat: bool,
    /// Place in the VPC's bearings.
    bearing: usize,
}

/// A peering, as the VPC's own region sees it.
#[derive(Debug)]
#[cfg_attr(test, derive(PartialEq))]
pub(crate) struct PeeringTables {
    pub(crate) id: PeeringId,
    pub(crate) status: PeeringStatus,
    /// `None`: the VPC is not a side of it.
    other: Option<OtherSide>,
}

#[derive(Debug)]
#[cfg_attr(test, derive(PartialEq))]
struct OtherSide {
    vpc: VpcId,
    is_same_region: bool,
    blocks: Box<[Cidr]>,
    groups: HashSet<SecurityGroupId, FixedState>,
    /// Empty unless the peering is active.
    members: Map<IpAddr, (Owner, Arc<[SecurityGroupId]>)>,
}

impl Endpoint {
    pub(crate) fn owns(&self, address: IpAddr) -> bool {
        self.addresses.contains(&address)
    }

    /// What stands for an address of this interface on the internet; of IPv6 it is the address itself.
    pub(crate) fn public(&self, address: IpAddr) -> Option<IpAddr> {
        match address {
            IpAddr::V4(private) => {
                let found = self.public.iter().find(|(own, _)| *own == private);
                found.map(|(_, public)| IpAddr::V4(*public))
            }
            IpAddr::V6(_) => self.owns(address).then_some(address),
        }
    }
}

impl PeeringTables {
    pub(crate) fn is_active(&self) -> bool {
        self.status == PeeringStatus::Active
    }

    /// The VPC at the other end; `None`: the peering is not this VPC's.
    pub(crate) fn other_vpc(&self) -> Option<VpcId> {
        self.other.as_ref().map(|other| other.vpc)
    }

    /// The other end's blocks contain it.
    pub(crate) fn other_contains(&self, address: IpAddr) -> bool {
        self.other.as_ref().is_some_and(|other| other.blocks.iter().any(|block| block.contains(address)))
    }
}

impl VpcTables {
    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        self.blocks.iter().any(|block| block.contains(address))
    }

    pub(crate) fn subnet(&self, endpoint: &Endpoint) -> &SubnetTables {
        &self.subnets[endpoint.subnet]
    }

    /// The united rules of the groups that an interface of this VPC bears.
    pub(crate) fn rules(&self, endpoint: &Endpoint) -> &Rules {
        &self.bearings[endpoint.bearing].rules
    }

    pub(crate) fn at(&self, address: IpAddr) -> Option<&Endpoint> {
        self.addresses.get(&address).map(|place| &self.endpoints[*place])
    }

    /// The peering at this place, and where the VPC behind it stands.
    pub(crate) fn peering_at(&self, place: usize) -> (&PeeringTables, VpcIndex) {
        (&self.peerings[place], index(place))
    }

    pub(crate) fn peering(&self, id: PeeringId) -> Option<(&PeeringTables, VpcIndex)> {
        self.peerings.iter().position(|peering| peering.id == id).map(|place| self.peering_at(place))
    }

    /// The active peering with this VPC.
    pub(crate) fn peering_with(&self, vpc: VpcId) -> Option<(&PeeringTables, VpcIndex)> {
        let is = |peering: &PeeringTables| peering.is_active() && peering.other_vpc() == Some(vpc);
        self.peerings.iter().position(is).map(|place| self.peering_at(place))
    }

    /// The interface that owns the address in that VPC; nobody behind a peering that is not active.
    pub(crate) fn owner(&self, vpc: VpcIndex, address: IpAddr) -> Option<Owner> {
        match self.other(vpc) {
            None if vpc == OWN => {
                self.at(address).map(|endpoint| Owner { interface: endpoint.id, host: endpoint.host })
            }
            other => other?.members.get(&address).map(|(owner, _)| *owner),
        }
    }

    /// The groups of the interface that owns the address in that VPC.
    pub(crate) fn groups_at(&self, vpc: VpcIndex, address: IpAddr) -> &[SecurityGroupId] {
        match self.other(vpc) {
            None if vpc == OWN => self.at(address).map_or(&[], |endpoint| &self.bearings[endpoint.bearing].groups),
            other => other.and_then(|other| other.members.get(&address)).map_or(&[], |(_, groups)| groups),
        }
    }

    fn index_of(&self, vpc: VpcId) -> Option<VpcIndex> {
        if vpc == self.id { Some(OWN) } else { self.peering_with(vpc).map(|(_, index)| index) }
    }

    fn other(&self, vpc: VpcIndex) -> Option<&OtherSide> {
        let place = usize::try_from(vpc.checked_sub(1)?).ok()?;
        self.peerings.get(place)?.other.as_ref()
    }
}

fn index(peering: usize) -> VpcIndex {
    VpcIndex::try_from(peering + 1).unwrap_or(VpcIndex::MAX)
}

// Compiling, from here on.

/// Sets of groups, each held once however many interfaces bear it.
#[derive(Default)]
struct GroupSets(BTreeMap<Box<[SecurityGroupId]>, Arc<[SecurityGroupId]>>);

impl GroupSets {
    fn shared(&mut self, groups: &BTreeSet<SecurityGroupId>) -> Arc<[SecurityGroupId]> {
        let key: Box<[SecurityGroupId]> = groups.iter().copied().collect();
        self.0.entry(key).or_insert_with_key(|key| key.iter().copied().collect()).clone()
    }
}

impl VpcTables {
    fn compile(slice: &VpcSlice) -> VpcTables {
        let mut sets = GroupSets::default();
        let peerings = slice.peerings.iter().map(|peering| compile_peering(slice, peering, &mut sets)).collect();
        let (endpoints, borne) = compile_endpoints(slice, &mut sets);
        let mut addresses = Map::with_capacity_and_hasher(endpoints.len(), FixedState::default());
        for (place, endpoint) in endpoints.iter().enumerate() {
            for address in &endpoint.addresses {
                addresses.entry(*address).or_insert(place);
            }
        }
        let mut public = Map::default();
        for (place, endpoint) in endpoints.iter().enumerate() {
            public.extend(endpoint.public.iter().map(|(private, public)| (*public, (place, *private))));
        }
        let mut tables = VpcTables {
            id: slice.vpc.id,
            blocks: slice.vpc.blocks().collect(),
            subnets: Arc::default(),
            endpoints,
            addresses: Arc::new(addresses),
            gateway: slice.internet_gateways.first().copied(),
            is_egress_only: !slice.egress_only_internet_gateways.is_empty(),
            public: Arc::new(public),
            peerings,
            bearings: Arc::default(),
            own_timeouts: own_timeouts(slice),
        };
        tables.bearings = tables.bear(slice, borne);
        tables.subnets = compile_subnets(slice, &tables);
        tables
    }

    /// The rules of these sets of groups.
    fn bear(&self, slice: &VpcSlice, sets: impl IntoIterator<Item = Arc<[SecurityGroupId]>>) -> Arc<[Bearing]> {
        let known: BTreeMap<_, _> = slice.security_groups.iter().map(|group| (group.id, group)).collect();
        let bearing = |groups: Arc<[SecurityGroupId]>| {
            let of_set: Vec<_> = groups.iter().filter_map(|id| known.get(id)).map(|group| &***group).collect();
            let entries = |list| slice.prefix_lists.get(&list).map_or(&[][..], |entries| entries);
            let rules = Rules::new(&of_set, |group, vpc| self.resolve(&known, group, vpc), entries);
            Bearing { groups, rules: Arc::new(rules) }
        };
        sets.into_iter().map(bearing).collect()
    }

    /// What a reference to a group of a VPC is worth here (spec 6.5.3, 6.6.2).
    fn resolve(
        &self,
        known: &BTreeMap<SecurityGroupId, &Arc<SecurityGroup>>,
        group: SecurityGroupId,
        vpc: VpcId,
    ) -> Resolved {
        let stale_unless = |is_there: bool| (!is_there).then_some(NotApplicable::Stale);
        if vpc == self.id {
            return (Some(OWN), stale_unless(known.contains_key(&group)));
        }
        let Some((peering, index)) = self.peering_with(vpc) else { return (None, Some(NotApplicable::Stale)) };
        match &peering.other {
            Some(other) if !other.is_same_region => (Some(index), Some(NotApplicable::OtherRegion)),
            Some(other) => (Some(index), stale_unless(other.groups.contains(&group))),
            None => (None, Some(NotApplicable::Stale)),
        }
    }
}

fn compile_peering(slice: &VpcSlice, peering: &model::Peering, sets: &mut GroupSets) -> PeeringTables {
    let is_active = peering.status == PeeringStatus::Active;
    let other = peering.side_of(slice.vpc.id).map(|side| {
        let other = peering.side(side.other());
        let is_this = |peer: &&Peer| is_active && peer.peering == peering.id && peer.vpc == other.vpc;
        let mut members = Map::default();
        let mut groups = HashSet::default();
        for peer in slice.peers.iter().filter(is_this) {
            groups.extend(peer.groups.iter().copied());
            for member in &peer.members {
                let owner = Owner { interface: member.interface, host: member.host };
                let set = sets.shared(&member.groups);
                for address in &member.addresses {
                    members.entry(*address).or_insert_with(|| (owner, set.clone()));
                }
            }
        }
        OtherSide {
            vpc: other.vpc,
            is_same_region: !peering.is_inter_region(),
            blocks: other.blocks().collect(),
            groups,
            members,
        }
    });
    PeeringTables { id: peering.id, status: peering.status, other }
}

fn own_timeouts(slice: &VpcSlice) -> Arc<[(NetworkInterfaceId, ConnectionTracking)]> {
    let all = slice.endpoints.iter().map(|e| (e.interface.id, e.interface.connection_tracking));
    all.filter(|(_, own)| !own.is_default()).collect()
}

/// The interfaces, and the sets of groups that they bear, by place. Without its subnet nothing can be said about an interface: it
/// is left out.
fn compile_endpoints(slice: &VpcSlice, sets: &mut GroupSets) -> (Arc<[Endpoint]>, Vec<Arc<[SecurityGroupId]>>) {
    let subnets: BTreeMap<_, _> = slice.subnets.iter().enumerate().map(|(place, subnet)| (subnet.id, place)).collect();
    let (mut places, mut borne) = (BTreeMap::new(), Vec::new());
    let endpoints = slice.endpoints.iter().filter_map(|endpoint| {
        let interface = &endpoint.interface;
        let subnet = *subnets.get(&interface.subnet).filter(|_| interface.vpc == slice.vpc.id)?;
        let set = sets.shared(&interface.groups);
        let bearing = *places.entry(set.clone()).or_insert_with(|| {
            borne.push(set);
            borne.len() - 1
        });
        Some(Endpoint {
            id: interface.id,
            subnet,
            addresses: interface.addresses().collect(),
            public: interface.public.iter().map(|at| (at.private, at.public)).collect(),
            source_dest_check: interface.source_dest_check,
            is_up: endpoint.is_up,
            host: endpoint.host,
            is_nat: interface.kind == InterfaceKind::NatGateway,
            bearing,
        })
    });
    let endpoints: Vec<_> = endpoints.collect();
    (endpoints.into(), borne)
}

fn compile_subnets(slice: &VpcSlice, tables: &VpcTables) -> Arc<[SubnetTables]> {
    let places: BTreeMap<_, _> = tables.endpoints.iter().enumerate().map(|(place, e)| (e.id, place)).collect();
    let way = |target| way(slice, tables, &places, target);
    let entries = |list| slice.prefix_lists.get(&list).map(|entries| &entries[..]);
    let compiled = |table: &RouteTable| Arc::new(Routes::new(table, way, &tables.blocks, entries));
    let routes: BTreeMap<RouteTableId, Arc<Routes>> =
        slice.route_tables.iter().map(|table| (table.id, compiled(table))).collect();
    let acls: BTreeMap<_, _> = slice.network_acls.iter().map(|acl| (acl.id, Arc::new(Acl::new(acl)))).collect();
    let subnet = |subnet: &Arc<Subnet>| {
        let table = subnet.effective_route_table(&slice.vpc);
        let acl = subnet.network_acl.network_acl;
        SubnetTables {
            subnet: subnet.clone(),
            acl: acls.get(&acl).cloned().unwrap_or_else(|| Arc::new(Acl::missing(acl))),
            routes: routes.get(&table).cloned().unwrap_or_else(|| compiled(&empty(slice, table))),
        }
    };
    slice.subnets.iter().map(subnet).collect()
}

fn empty(slice: &VpcSlice, id: RouteTableId) -> RouteTable {
    RouteTable { id, vpc: slice.vpc.id, owner: slice.vpc.owner, routes: Vec::new(), tags: Tags::new() }
}

/// What a target is worth today (spec 4.6).
fn way(slice: &VpcSlice, tables: &VpcTables, places: &BTreeMap<NetworkInterfaceId, usize>, target: RouteTarget) -> Way {
    let or_blackhole = |way: Option<Way>| way.unwrap_or(Way::Blackhole);
    match target {
        RouteTarget::Local => Way::Local,
        RouteTarget::Peering(id) => {
            let place = tables.peerings.iter().position(|peering| peering.id == id && peering.is_active());
            or_blackhole(place.map(Way::Peering))
        }
        RouteTarget::NetworkInterface(id) => {
            let place = places.get(&id).copied().filter(|place| tables.endpoints[*place].is_up);
            or_blackhole(place.map(Way::Endpoint))
        }
        RouteTarget::InternetGateway(id) => {
            or_blackhole(slice.internet_gateways.contains(&id).then_some(Way::Gateway(id)))
        }
        RouteTarget::NatGateway(id) => {
            let interface = slice.nat_gateways.get(&id);
            let place = interface.and_then(|interface| places.get(interface)).copied();
            or_blackhole(place.filter(|place| tables.endpoints[*place].is_nat).map(Way::Nat))
        }
        RouteTarget::EgressOnlyInternetGateway(id) => {
            or_blackhole(slice.egress_only_internet_gateways.contains(&id).then_some(Way::EgressOnly))
        }
        RouteTarget::TransitGateway(_) => Way::NotCarried,
    }
}

impl SubnetTables {
    pub(crate) fn best(&self, destination: IpAddr) -> Option<&Hop> {
        self.routes.best(destination)
    }
}
