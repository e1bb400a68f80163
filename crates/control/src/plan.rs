//! What each host must do: the Worlds in, one host's intent out. Pure and whole; nothing is left to choose.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use model::federation::Member;
use model::intent::{Endpoint, Intent, Peer, VpcSlice};
use model::*;

use crate::action::group_vpc::lent_to;

/// Everything that a host must know: the instances that it carries and, whole, the VPCs that their interfaces are in.
pub fn intent(worlds: &BTreeMap<Region, World>, host: HostId) -> Intent {
    let mut intent = Intent::default();
    for (region, world) in worlds {
        intent.revisions.insert(*region, world.revision);
        let carried = world.all::<Instance>().filter(|i| i.host == Some(host) && i.state != InstanceState::Terminated);
        intent.instances.extend(carried.map(|instance| (instance.id, as_carried(world, instance))));
        let index = Index::new(world);
        let interfaces = world.all::<NetworkInterface>();
        let here =
            interfaces.filter(|interface| host_of(world, interface) == Some(host)).map(|interface| interface.vpc);
        let vpcs: BTreeSet<VpcId> = here.collect();
        let slices = vpcs.into_iter().filter_map(|vpc| Some((vpc, Arc::new(slice(*region, &index, vpc)?))));
        intent.vpcs.extend(slices);
    }
    intent.public = public_places(worlds);
    intent.names = crate::names::chosen(worlds.values()).unwrap_or_default();
    if intent.vpcs.values().any(|slice| gets_out(slice)) {
        intent.public_ipv6 = public_ipv6(worlds);
    }
    for (vpc, slice) in &mut intent.vpcs {
        let zones = hosted_zones(worlds, *vpc);
        if !zones.is_empty() {
            Arc::make_mut(slice).hosted_zones = zones;
        }
    }
    intent.hosts = others(worlds, &intent, host);
    intent
}

/// One that takes its time to start lies still until then.
fn as_carried(world: &World, instance: &Arc<Instance>) -> Arc<Instance> {
    let waits = instance.state == InstanceState::Pending && !world.is_settled(instance.id);
    if waits {
        return Arc::new(Instance { state: InstanceState::Stopped, ..Instance::clone(instance) });
    }
    instance.clone()
}

/// Where every public address of the cloud leads: what is mapped to an interface, and what is held without being mapped.
pub fn public_places(worlds: &BTreeMap<Region, World>) -> BTreeMap<Ipv4Addr, Arc<PublicPlace>> {
    let mut places = BTreeMap::new();
    for (&region, world) in worlds {
        let held = world.all::<ElasticAddress>().map(|address| address.public);
        places.extend(held.map(|public| (public, Arc::new(PublicPlace { region, holder: None }))));
        let gateways: BTreeSet<VpcId> = internet_gateways(world).filter_map(|gateway| gateway.vpc).collect();
        for interface in world.all::<NetworkInterface>() {
            places.extend(interface.public.iter().map(|association| {
                let holder = PublicHolder {
                    vpc: interface.vpc,
                    interface: interface.id,
                    private: association.private,
                    host: host_of(world, interface),
                    has_gateway: gateways.contains(&interface.vpc),
                };
                (association.public, Arc::new(PublicPlace { region, holder: Some(holder) }))
            }));
        }
    }
    places
}

/// What accounts have for the internet and do not use; `account`: only this one.
pub fn spares(worlds: &BTreeMap<Region, World>, account: Option<AccountId>) -> reach::Spares {
    let is_seen = |owner: AccountId| account.is_none_or(|account| account == owner);
    let used: BTreeSet<Ipv4Addr> = worlds
        .values()
        .flat_map(World::all::<NetworkInterface>)
        .flat_map(|interface| interface.public.iter().map(|mapped| mapped.public))
        .collect();
    let gateways = worlds.values().flat_map(World::all::<InternetGateway>);
    let gateways = gateways.filter(|gateway| gateway.vpc.is_none() && is_seen(gateway.owner));
    let addresses = worlds.values().flat_map(World::all::<ElasticAddress>);
    let addresses = addresses.filter(|address| !used.contains(&address.public) && is_seen(address.owner));
    reach::Spares {
        gateways: gateways.map(|gateway| (gateway.id, gateway.owner)).collect(),
        addresses: addresses.map(|address| (address.public, (address.owner, address.id))).collect(),
    }
}

/// Who has which IPv6 address in the VPCs that have an Internet gateway, egress-only ones too. Where two have one, which no pool gives out, it is the first's.
pub fn public_ipv6(worlds: &BTreeMap<Region, World>) -> BTreeMap<Ipv6Addr, Arc<PublicIpv6>> {
    let mut places = BTreeMap::new();
    for world in worlds.values() {
        let gateways = internet_gateways(world).filter_map(|gateway| gateway.vpc);
        let egress_only = world.all::<EgressOnlyInternetGateway>().map(|gateway| gateway.vpc);
        let gateways: BTreeSet<VpcId> = gateways.chain(egress_only).collect();
        for interface in world.all::<NetworkInterface>().filter(|interface| gateways.contains(&interface.vpc)) {
            let place =
                Arc::new(PublicIpv6 { vpc: interface.vpc, interface: interface.id, host: host_of(world, interface) });
            for address in &interface.ipv6_addresses {
                places.entry(*address).or_insert_with(|| place.clone());
            }
        }
    }
    places
}

/// The zones that hold in a VPC, of whatever region and account.
pub fn hosted_zones(worlds: &BTreeMap<Region, World>, vpc: VpcId) -> Vec<Arc<HostedZone>> {
    let zones = worlds.values().flat_map(World::all::<HostedZone>);
    zones.filter(|zone| zone.vpcs.iter().any(|(_, id)| *id == vpc)).cloned().collect()
}

/// The other hosts that carry what these VPCs can see, over the cloud's own internet too. One that never said where it is, is not among them.
fn others(worlds: &BTreeMap<Region, World>, intent: &Intent, here: HostId) -> BTreeMap<HostId, Arc<Host>> {
    let slices = || intent.vpcs.values();
    let own = slices().flat_map(|slice| &slice.endpoints).filter_map(|endpoint| endpoint.host);
    let members = slices().flat_map(|slice| &slice.peers).flat_map(|peer| &peer.members);
    let members = members.filter_map(|member| member.host);
    let seen: BTreeSet<HostId> = own.chain(members).chain(on_internet(intent)).filter(|id| *id != here).collect();
    let find = |id| worlds.values().find_map(|world| world.find::<Host>(id));
    seen.iter().filter_map(|id| Some((*id, find(id)?.clone()))).collect()
}

/// The VPC has a gateway to the cloud's internet.
fn gets_out(slice: &VpcSlice) -> bool {
    !slice.internet_gateways.is_empty() || !slice.egress_only_internet_gateways.is_empty()
}

/// The hosts of what can be reached through Internet gateways; none for a host that carries no VPC with one.
fn on_internet(intent: &Intent) -> impl Iterator<Item = HostId> {
    let has_gateway = intent.vpcs.values().any(|slice| gets_out(slice));
    let holders = intent.public.values().filter_map(|place| place.holder.as_ref()).filter(|holder| holder.has_gateway);
    let ipv6 = intent.public_ipv6.values().filter_map(|place| place.host);
    holders.filter_map(|holder| holder.host).chain(ipv6).filter(move |_| has_gateway)
}

/// One VPC as its own region sees it; `None`: there is no such VPC.
pub fn vpc_slice(region: Region, world: &World, vpc: VpcId) -> Option<VpcSlice> {
    slice(region, &Index::new(world), vpc)
}

/// Those of these VPCs that are in this World, as their own region sees them.
pub fn vpc_slices(region: Region, world: &World, vpcs: &BTreeSet<VpcId>) -> Vec<VpcSlice> {
    let index = Index::new(world);
    vpcs.iter().filter_map(|vpc| slice(region, &index, *vpc)).collect()
}

fn slice(region: Region, index: &Index<'_>, id: VpcId) -> Option<VpcSlice> {
    let world = index.world;
    let vpc = world.find::<Vpc>(&id)?.clone();
    let peerings: Vec<Arc<Peering>> = world.peerings_of(id).cloned().collect();
    let active = peerings.iter().filter(|peering| peering.status == PeeringStatus::Active);
    let endpoint = |interface: &Arc<NetworkInterface>| Endpoint {
        interface: interface.clone(),
        host: host_of(world, interface),
        is_up: match interface.kind {
            InterfaceKind::Interface => {
                is_attached(world, interface)
                    && instance_of(world, interface).is_some_and(|instance| runs(world, instance))
            }
            InterfaceKind::NatGateway => {
                nat_gateway_of(world, interface).is_some_and(|gateway| world.is_settled(gateway.id))
            }
        },
    };
    let nat_gateways = world.all::<NatGateway>().filter(|gateway| is_available(gateway) && gateway.vpc == id);
    let nat_gateways = nat_gateways.filter(|gateway| world.is_settled(gateway.id));
    let egress_only = world.all::<EgressOnlyInternetGateway>().filter(|gateway| gateway.vpc == id);
    let gateways = internet_gateways(world).filter(|gateway| gateway.vpc == Some(id));
    let route_tables: Vec<Arc<RouteTable>> =
        world.all::<RouteTable>().filter(|table| table.vpc == id).map(|table| whole(table, &vpc)).collect();
    let security_groups: Vec<Arc<SecurityGroup>> =
        world.all::<SecurityGroup>().filter(|group| group.vpc == id).cloned().chain(lent_to(world, id)).collect();
    Some(VpcSlice {
        region,
        subnets: world.all::<Subnet>().filter(|subnet| subnet.vpc == id).cloned().collect(),
        prefix_lists: prefix_lists(world, &security_groups, &route_tables),
        // They may be in any region: the whole intent fills them in.
        hosted_zones: Vec::new(),
        resource_names: index
            .interfaces(id)
            .iter()
            .filter_map(|eni| Some((eni.id, resource_name(world, eni)?)))
            .collect(),
        route_tables,
        security_groups,
        network_acls: world.all::<NetworkAcl>().filter(|acl| acl.vpc == id).cloned().collect(),
        endpoints: index.interfaces(id).iter().map(endpoint).collect(),
        internet_gateways: gateways.map(|gateway| gateway.id).collect(),
        nat_gateways: nat_gateways.filter_map(|gateway| Some((gateway.id, gateway.interface?))).collect(),
        egress_only_internet_gateways: egress_only.map(|gateway| gateway.id).collect(),
        flow_logs: world.all::<FlowLog>().filter(|log| log.is_in(id, world)).cloned().collect(),
        peers: active.filter_map(|peering| peer(region, index, id, peering)).collect(),
        peerings,
        dhcp_options: vpc.dhcp_options.and_then(|id| world.find::<DhcpOptions>(&id)).cloned(),
        vpc,
    })
}

/// A table with its local routes: a host looks nothing up that it can be told.
fn whole(table: &RouteTable, vpc: &Vpc) -> Arc<RouteTable> {
    Arc::new(RouteTable { routes: table.all_routes(vpc).collect(), tags: table.tags.clone(), ..*table })
}

/// What the lists hold that these groups and tables name.
fn prefix_lists(
    world: &World,
    groups: &[Arc<SecurityGroup>],
    tables: &[Arc<RouteTable>],
) -> BTreeMap<PrefixListId, Vec<Cidr>> {
    let of_rules = groups.iter().flat_map(|group| group.rules.values()).filter_map(|rule| match rule.peer {
        RulePeer::PrefixList(list) => Some(list),
        RulePeer::Cidr(_) | RulePeer::Group { .. } => None,
    });
    let of_routes = tables.iter().flat_map(|table| &table.routes).filter_map(|route| match route.destination {
        Destination::PrefixList(list) => Some(list),
        Destination::Cidr(_) => None,
    });
    let named: BTreeSet<PrefixListId> = of_rules.chain(of_routes).collect();
    let entries = |id| Some((id, world.find::<PrefixList>(&id)?.entries.keys().copied().collect()));
    named.into_iter().filter_map(entries).collect()
}

/// The VPC at the other end: from this World, or from what its region told.
fn peer(region: Region, index: &Index<'_>, vpc: VpcId, peering: &Peering) -> Option<Peer> {
    let other = peering.side(peering.side_of(vpc)?.other());
    if other.region != region {
        let members = index.world.mirrors.get(&other.vpc).map(|mirror| mirror.members.clone()).unwrap_or_default();
        return Some(Peer { peering: peering.id, vpc: other.vpc, members, groups: Vec::new() });
    }
    let members = index.interfaces(other.vpc).iter().map(|interface| member(index.world, interface)).collect();
    let groups = index.world.all::<SecurityGroup>().filter(|group| group.vpc == other.vpc).map(|group| group.id);
    Some(Peer { peering: peering.id, vpc: other.vpc, members, groups: groups.collect() })
}

/// A World's interfaces by VPC, in one pass.
struct Index<'w> {
    world: &'w World,
    interfaces: BTreeMap<VpcId, Vec<Arc<NetworkInterface>>>,
}

impl<'w> Index<'w> {
    fn new(world: &'w World) -> Index<'w> {
        let mut interfaces: BTreeMap<VpcId, Vec<Arc<NetworkInterface>>> = BTreeMap::new();
        for interface in world.all::<NetworkInterface>() {
            interfaces.entry(interface.vpc).or_default().push(interface.clone());
        }
        Index { world, interfaces }
    }

    fn interfaces(&self, vpc: VpcId) -> &[Arc<NetworkInterface>] {
        self.interfaces.get(&vpc).map(Vec::as_slice).unwrap_or_default()
    }
}

/// An interface as its VPC's peers may know it.
pub(crate) fn member(world: &World, interface: &NetworkInterface) -> Member {
    Member {
        interface: interface.id,
        addresses: interface.addresses().collect(),
        groups: interface.groups.clone(),
        host: host_of(world, interface),
        resource_name: resource_name(world, interface),
    }
}

/// The resource name that leads to the interface: its instance's, if it is the primary one.
fn resource_name(world: &World, interface: &NetworkInterface) -> Option<ResourceName> {
    let is_primary = interface.attachment.as_ref().is_some_and(|attachment| attachment.device_index == 0);
    let instance = instance_of(world, interface).filter(|_| is_primary)?;
    instance.private_dns.resource_name(instance.id)
}

fn instance_of<'w>(world: &'w World, interface: &NetworkInterface) -> Option<&'w Arc<Instance>> {
    world.find::<Instance>(&interface.attachment.as_ref()?.instance)
}

fn host_of(world: &World, interface: &NetworkInterface) -> Option<HostId> {
    match interface.kind {
        InterfaceKind::Interface => instance_of(world, interface)?.host,
        InterfaceKind::NatGateway => nat_gateway_of(world, interface)?.host,
    }
}

/// The gateway that lives behind an interface.
fn nat_gateway_of<'w>(world: &'w World, interface: &NetworkInterface) -> Option<&'w Arc<NatGateway>> {
    world.all::<NatGateway>().find(|gateway| is_available(gateway) && gateway.interface == Some(interface.id))
}

/// Those that packets may use.
fn internet_gateways(world: &World) -> impl Iterator<Item = &Arc<InternetGateway>> {
    world.all::<InternetGateway>().filter(|gateway| world.is_settled(gateway.id))
}

/// It is neither being attached nor being detached.
fn is_attached(world: &World, interface: &NetworkInterface) -> bool {
    interface.attachment.as_ref().is_some_and(|attachment| world.is_settled(attachment.id))
}

/// It is to run, and not only in a while.
fn runs(world: &World, instance: &Instance) -> bool {
    instance.state.is_wanted() && world.is_settled(instance.id)
}

fn is_available(gateway: &NatGateway) -> bool {
    gateway.state == NatGatewayState::Available
}
