//! A change of the configuration that lets a packet pass, as data: it is made on a copy here, and by its owner with a command.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};

use model::federation::Member;
use model::intent::{Peer, VpcSlice};
use model::{
    AllocationId, Cidr, Destination, Direction, InstanceId, InternetGatewayId, IpProtocol, NetworkAclEntry,
    NetworkAclId, NetworkInterfaceId, Peering, PeeringId, PeeringSide, PeeringStatus, Ports, PublicAssociation,
    ResourceId, Route, RouteOrigin, RouteTableId, RouteTarget, RulePeer, SecurityGroupId, SecurityGroupRule,
    SecurityGroupRuleId, Tags, Time, VpcId,
};

use crate::Network;
use crate::answer::Place;

/// Stands for the peering that [`Mend::CreatePeering`] makes: its id is not known before.
pub const NEW_PEERING: PeeringId = PeeringId::FIRST;

/// Stands for the Internet gateway that [`Mend::CreateGateway`] makes.
pub const NEW_GATEWAY: InternetGatewayId = InternetGatewayId::FIRST;

/// Stands for the public address that [`Mend::AllocateAddress`] gets: one that no interface ever has (RFC 1112 4).
pub const NEW_ADDRESS: Ipv4Addr = Ipv4Addr::new(240, 0, 0, 1);

/// The block is that of [`NEW_ADDRESS`].
pub(crate) fn is_new(block: &Cidr) -> bool {
    *block == Cidr::host(IpAddr::V4(NEW_ADDRESS))
}

/// One call of the EC2 API. Its place is where it is made: by which account, in which region, for which VPC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mend {
    /// AuthorizeSecurityGroupIngress or -Egress.
    Authorize {
        place: Place,
        group: SecurityGroupId,
        direction: Direction,
        protocol: IpProtocol,
        ports: Ports,
        peer: Cidr,
    },
    /// CreateNetworkAclEntry; ReplaceNetworkAclEntry where no number is free before the one that denies.
    AclEntry {
        place: Place,
        acl: NetworkAclId,
        direction: Direction,
        number: u16,
        entry: NetworkAclEntry,
        replaces: bool,
    },
    /// CreateRoute, or ReplaceRoute.
    Route { place: Place, table: RouteTableId, destination: Cidr, target: RouteTarget, replaces: bool },
    /// DeleteRoute: what is behind it leads on.
    DeleteRoute { place: Place, table: RouteTableId, destination: Cidr },
    /// CreateVpcPeeringConnection; the new one is called [`NEW_PEERING`].
    CreatePeering { place: Place, peer: Place },
    /// AcceptVpcPeeringConnection.
    AcceptPeering { place: Place, peering: PeeringId },
    /// ModifyNetworkInterfaceAttribute: no source/destination check.
    DisableSourceDestCheck { place: Place, interface: NetworkInterfaceId },
    /// StartInstances.
    StartInstance { place: Place, instance: InstanceId, interface: NetworkInterfaceId },
    /// AttachNetworkInterface: to an instance of the owner's choice.
    AttachInterface { place: Place, interface: NetworkInterfaceId },
    /// CreateInternetGateway; the new one is called [`NEW_GATEWAY`].
    CreateGateway { place: Place },
    /// AttachInternetGateway, to the VPC of the place.
    AttachGateway { place: Place, gateway: InternetGatewayId },
    /// AllocateAddress; what it gets is called [`NEW_ADDRESS`].
    AllocateAddress { place: Place },
    /// AssociateAddress. `allocation`: `None` for what [`Mend::AllocateAddress`] got.
    AssociateAddress {
        place: Place,
        public: Ipv4Addr,
        allocation: Option<AllocationId>,
        interface: NetworkInterfaceId,
        private: Ipv4Addr,
    },
}

impl Mend {
    pub fn place(&self) -> &Place {
        match self {
            Mend::Authorize { place, .. }
            | Mend::AclEntry { place, .. }
            | Mend::Route { place, .. }
            | Mend::DeleteRoute { place, .. }
            | Mend::CreatePeering { place, .. }
            | Mend::AcceptPeering { place, .. }
            | Mend::DisableSourceDestCheck { place, .. }
            | Mend::StartInstance { place, .. }
            | Mend::AttachInterface { place, .. }
            | Mend::CreateGateway { place }
            | Mend::AttachGateway { place, .. }
            | Mend::AllocateAddress { place }
            | Mend::AssociateAddress { place, .. } => place,
        }
    }

    /// Makes the change in this network. Where the thing is not there, nothing changes.
    pub(crate) fn make(&self, network: &mut Network) {
        let vpc = self.place().vpc;
        match self {
            Mend::Authorize { group, direction, protocol, ports, peer, .. } => {
                let rule = (*direction, *protocol, *ports, *peer);
                network.edit(vpc, |slice| authorize(slice, *group, rule));
            }
            Mend::AclEntry { acl, direction, number, entry, .. } => {
                network.edit(vpc, |slice| {
                    for found in slice.network_acls.iter_mut().filter(|found| found.id == *acl) {
                        Arc::make_mut(found).entries_mut(*direction).insert(*number, entry.clone());
                    }
                });
            }
            Mend::Route { table, destination, target, .. } => {
                network.edit(vpc, |slice| put_route(slice, *table, *destination, Some(*target)));
            }
            Mend::DeleteRoute { table, destination, .. } => {
                network.edit(vpc, |slice| put_route(slice, *table, *destination, None));
            }
            Mend::CreatePeering { peer, .. } => create_peering(network, vpc, peer.vpc),
            Mend::AcceptPeering { peering, .. } => accept_peering(network, vpc, *peering),
            Mend::DisableSourceDestCheck { interface, .. } => {
                network.edit(vpc, |slice| {
                    for endpoint in slice.endpoints.iter_mut().filter(|e| e.interface.id == *interface) {
                        Arc::make_mut(&mut endpoint.interface).source_dest_check = false;
                    }
                });
            }
            Mend::StartInstance { interface, .. } | Mend::AttachInterface { interface, .. } => {
                bring_up(network, vpc, *interface);
            }
            // They are attached and mapped by what follows.
            Mend::CreateGateway { .. } | Mend::AllocateAddress { .. } => {}
            Mend::AttachGateway { gateway, .. } => {
                network.edit(vpc, |slice| slice.internet_gateways.push(*gateway));
                network.publish(vpc);
            }
            Mend::AssociateAddress { public, interface, private, .. } => {
                let association = PublicAssociation { private: *private, public: *public, elastic: None };
                network.edit(vpc, |slice| {
                    for endpoint in slice.endpoints.iter_mut().filter(|e| e.interface.id == *interface) {
                        let interface = Arc::make_mut(&mut endpoint.interface);
                        interface.public.retain(|known| known.private != *private);
                        interface.public.push(association.clone());
                    }
                });
                network.publish(vpc);
            }
        }
    }
}

fn authorize(
    slice: &mut VpcSlice,
    group: SecurityGroupId,
    (direction, protocol, ports, peer): (Direction, IpProtocol, Ports, Cidr),
) {
    for found in slice.security_groups.iter_mut().filter(|found| found.id == group) {
        let rules = &mut Arc::make_mut(found).rules;
        // An id that no rule has: real ones are random, and these count down.
        let id = SecurityGroupRuleId::from_random(u128::MAX - rules.len() as u128);
        let (description, tags, peer) = (None, Tags::new(), RulePeer::Cidr(peer));
        rules.insert(id, SecurityGroupRule { id, direction, protocol, ports, peer, description, tags });
    }
}

fn put_route(slice: &mut VpcSlice, table: RouteTableId, destination: Cidr, target: Option<RouteTarget>) {
    let destination = Destination::Cidr(destination);
    let origin =
        if target == Some(RouteTarget::Local) { RouteOrigin::CreateRouteTable } else { RouteOrigin::CreateRoute };
    for found in slice.route_tables.iter_mut().filter(|found| found.id == table) {
        let routes = &mut Arc::make_mut(found).routes;
        routes.retain(|route| route.destination != destination);
        routes.extend(target.map(|target| Route { destination, target, origin }));
    }
}

/// The interface runs, on a host: its own, or that of any other one.
fn bring_up(network: &mut Network, vpc: VpcId, interface: NetworkInterfaceId) {
    let anywhere = network.any_host();
    network.edit(vpc, |slice| {
        for endpoint in slice.endpoints.iter_mut().filter(|e| e.interface.id == interface) {
            endpoint.is_up = true;
            endpoint.host = endpoint.host.or(anywhere);
        }
    });
    network.publish(vpc);
    let others: Vec<VpcId> = network.slices().map(|slice| slice.vpc.id).collect();
    for other in others {
        let knows = |slice: &VpcSlice| slice.peers.iter().any(|peer| peer.vpc == vpc);
        if network.slice(other).is_some_and(knows) {
            network.edit(other, |slice| {
                let members = slice.peers.iter_mut().flat_map(|peer| &mut peer.members);
                for member in members.filter(|member| member.interface == interface) {
                    member.host = member.host.or(anywhere);
                }
            });
        }
    }
}

fn create_peering(network: &mut Network, requester: VpcId, accepter: VpcId) {
    let side = |vpc| network.slice(vpc).map(|slice| PeeringSide::of(&slice.vpc, slice.region));
    let Some((requester, accepter)) = side(requester).zip(side(accepter)) else { return };
    let vpcs = [requester.vpc, accepter.vpc];
    let peering = Arc::new(Peering {
        id: NEW_PEERING,
        requester,
        accepter,
        status: PeeringStatus::PendingAcceptance,
        message: String::new(),
        created: Time::EPOCH,
        expires: Time::EPOCH,
        ended: None,
        tags: BTreeMap::new(),
    });
    for vpc in vpcs {
        network.edit(vpc, |slice| slice.peerings.push(peering.clone()));
    }
}

/// The peering is active on both sides, and each knows the other's members, as after both regions have heard of it.
fn accept_peering(network: &mut Network, vpc: VpcId, id: PeeringId) {
    let known = network.slice(vpc).and_then(|slice| slice.peerings.iter().find(|peering| peering.id == id)).cloned();
    let Some(mut peering) = known.map(|peering| Peering::clone(&peering)) else { return };
    for side in [&mut peering.requester, &mut peering.accepter] {
        if let Some(slice) = network.slice(side.vpc) {
            side.follow(&slice.vpc);
        }
    }
    peering.status = PeeringStatus::Active;
    let peering = Arc::new(peering);
    for (here, there) in [(&peering.requester, &peering.accepter), (&peering.accepter, &peering.requester)] {
        let peer = peer(network, here, there, id);
        network.edit(here.vpc, |slice| {
            slice.peerings.retain(|known| known.id != id);
            slice.peerings.push(peering.clone());
            slice.peers.retain(|known| known.peering != id);
            slice.peers.extend(peer);
        });
    }
}

/// What one side knows of the other's members.
fn peer(network: &Network, here: &PeeringSide, there: &PeeringSide, peering: PeeringId) -> Option<Peer> {
    let other = network.slice(there.vpc)?;
    let is_near = here.region == there.region;
    let member = |endpoint: &model::intent::Endpoint| Member {
        interface: endpoint.interface.id,
        addresses: endpoint.interface.addresses().collect(),
        groups: if is_near { endpoint.interface.groups.clone() } else { Default::default() },
        host: endpoint.host,
        resource_name: None,
    };
    let members = other.endpoints.iter().map(member).collect();
    let groups = other.security_groups.iter().filter(|_| is_near).map(|group| group.id).collect();
    Some(Peer { peering, vpc: there.vpc, members, groups })
}
