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
        let instances = |by: By| world.by::<Instance>(by).filter(|instance| instance.host == Some(host));
        intent.instances.extend(instances(By::host(host)).map(|instance| (instance.id, as_carried(world, instance))));
        // Packets to what still hangs on an ended instance come here, too, and are judged in full.
        let placed = instances(By::host(host)).chain(instances(By::ended_on(host)));
        let attached = placed.flat_map(|instance| world.by::<NetworkInterface>(By::id(instance.id)));
        let gateways = world.by::<NatGateway>(By::host(host));
        let gateways = gateways.filter(|gateway| is_available(gateway) && gateway.host == Some(host));
        let serving = gateways.filter_map(|gateway| world.find::<NetworkInterface>(&gateway.interface?));
        let vpcs: BTreeSet<VpcId> = attached.chain(serving).map(|interface| interface.vpc).collect();
        let slices = vpcs.into_iter().filter_map(|vpc| Some((vpc, Arc::new(vpc_slice(*region, world, vpc)?))));
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
        for interface in world.by::<NetworkInterface>(By::is_public()) {
            places.extend(interface.public.iter().map(|association| {
                let holder = PublicHolder {
                    vpc: interface.vpc,
                    interface: interface.id,
                    private: association.private,
                    host: host_of(world, interface),
                    has_gateway: has_gateway(world, interface.vpc),
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
        .flat_map(|world| world.by::<NetworkInterface>(By::is_public()))
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
        let interfaces = gateways.into_iter().flat_map(|vpc| world.by::<NetworkInterface>(By::id(vpc)));
        let interfaces: BTreeMap<NetworkInterfaceId, _> =
            interfaces.map(|interface| (interface.id, interface)).collect();
        for interface in interfaces.into_values() {
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
    let zones = worlds.values().flat_map(|world| world.by::<HostedZone>(By::id(vpc)));
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

/// Those of these VPCs that are in this World, as their own region sees them.
pub fn vpc_slices(region: Region, world: &World, vpcs: &BTreeSet<VpcId>) -> Vec<VpcSlice> {
    vpcs.iter().filter_map(|vpc| vpc_slice(region, world, *vpc)).collect()
}

/// One VPC as its own region sees it; `None`: there is no such VPC.
pub fn vpc_slice(region: Region, world: &World, id: VpcId) -> Option<VpcSlice> {
    let by = By::id(id);
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
    let nat_gateways = world.by::<NatGateway>(by).filter(|gateway| is_available(gateway));
    let nat_gateways = nat_gateways.filter(|gateway| world.is_settled(gateway.id));
    let internet_gateways = world.by::<InternetGateway>(by).filter(|gateway| world.is_settled(gateway.id));
    let route_tables: Vec<Arc<RouteTable>> = world.by::<RouteTable>(by).map(|table| whole(table, &vpc)).collect();
    let security_groups: Vec<Arc<SecurityGroup>> =
        world.by::<SecurityGroup>(by).cloned().chain(lent_to(world, id)).collect();
    Some(VpcSlice {
        region,
        subnets: world.by::<Subnet>(by).cloned().collect(),
        prefix_lists: prefix_lists(world, &security_groups, &route_tables),
        // They may be in any region: the whole intent fills them in.
        hosted_zones: Vec::new(),
        resource_names: world
            .by::<NetworkInterface>(by)
            .filter_map(|eni| Some((eni.id, resource_name(world, eni)?)))
            .collect(),
        route_tables,
        security_groups,
        network_acls: world.by::<NetworkAcl>(by).cloned().collect(),
        endpoints: world.by::<NetworkInterface>(by).map(endpoint).collect(),
        internet_gateways: internet_gateways.map(|gateway| gateway.id).collect(),
        nat_gateways: nat_gateways.filter_map(|gateway| Some((gateway.id, gateway.interface?))).collect(),
        egress_only_internet_gateways: world.by::<EgressOnlyInternetGateway>(by).map(|gateway| gateway.id).collect(),
        flow_logs: flow_logs(world, id),
        peers: active.filter_map(|peering| peer(region, world, id, peering)).collect(),
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
fn peer(region: Region, world: &World, vpc: VpcId, peering: &Peering) -> Option<Peer> {
    let other = peering.side(peering.side_of(vpc)?.other());
    if other.region != region {
        let members = world.mirrors.get(&other.vpc).map(|mirror| mirror.members.clone()).unwrap_or_default();
        return Some(Peer { peering: peering.id, vpc: other.vpc, members, groups: Vec::new() });
    }
    let interfaces = world.by::<NetworkInterface>(By::id(other.vpc));
    let members = interfaces.map(|interface| member(world, interface)).collect();
    let groups = world.by::<SecurityGroup>(By::id(other.vpc)).map(|group| group.id);
    Some(Peer { peering: peering.id, vpc: other.vpc, members, groups: groups.collect() })
}

/// The flow logs of a VPC and of what is in it, in order of id.
fn flow_logs(world: &World, vpc: VpcId) -> Vec<Arc<FlowLog>> {
    if world.flow_logs.is_empty() {
        return Vec::new();
    }
    let subnets = world.by::<Subnet>(By::id(vpc)).map(|subnet| By::id(subnet.id));
    let interfaces = world.by::<NetworkInterface>(By::id(vpc)).map(|interface| By::id(interface.id));
    let places = [By::id(vpc)].into_iter().chain(subnets).chain(interfaces);
    let logs: BTreeMap<FlowLogId, _> = places.flat_map(|by| world.by::<FlowLog>(by)).map(|log| (log.id, log)).collect();
    logs.into_values().cloned().collect()
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
    world
        .by::<NatGateway>(By::id(interface.id))
        .find(|gateway| is_available(gateway) && gateway.interface == Some(interface.id))
}

/// Packets may leave the VPC for the internet.
fn has_gateway(world: &World, vpc: VpcId) -> bool {
    world.by::<InternetGateway>(By::id(vpc)).any(|gateway| world.is_settled(gateway.id))
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
