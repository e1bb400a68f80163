//! The packet walk, written from the sentences of the spec (ch. 11.2, with 4.5, 4.6, 5.8-5.11, 6, 7, 8.4), as naive as can be.
//!
//! It reads the nouns of the configuration, linearly, again for each packet, and keeps a plain list of flows ([`tracking`]). The order of
//! the walk decides which reason is named. Assumed, where the spec is silent or has two readings:
//!
//! - *Up* is attached to an instance that is pending or running; a route to an interface that is not up is a blackhole.
//! - A frame that is addressed to a group of its link is refused as a frame, before its packet is looked at: D04.
//! - The services of the VPC (resolver, metadata, time) are intercepted and not carried: D04. The router itself is nobody's: D14. Neither is
//!   filtered (6.1.4), as far as the source is the interface's own.
//! - A router (check off) may forward what is somebody's, not what is from a reserved address: D03.
//! - A frame to the router's MAC for the own subnet is routed, so it leaves through ACL and routes (11.2 step 5); it arrives in the subnet
//!   that it came from, where no ACL is asked (7.3).
//! - Who is at the other end of an egress rule follows from the route (6.5.4). Where no way leads on, the address alone says it: the packet
//!   is lost on its way, and the way is the reason.
//! - A packet on its way through a middlebox, and one that an interface forwards for another source, has lost its sender (6.5.5): no group
//!   matches, and the ACL at the other end is asked. *Known gap*: so it is where a router forwards to a neighbour on its own link, though
//!   11.2 step 5 and 7.3 ask no ACL there; who receives cannot know that the sender was a neighbour (architecture ch. 4: the packet carries
//!   no tenant header), and asking is the safe side.
//! - What the receiver's own view denies in step 11 has its own name where there is one: D10 for a peering that is not active, D11 for one
//!   of others, D12 for a destination outside the VPC; D18 for the sender's claim. That a sender who has not heard of a move takes the
//!   wrong interface for the destination is D18 too, but D21 where that interface checks its destinations and knows who sent.
//! - An interface on no host cannot be reached in step 10: D20.
//! - An Internet gateway translates an address of the interface that sends, and no other's: what is forwarded for another source is D28.
//!   What is no address of this cloud is behind no gateway: D14. IPv6's unique local addresses are private (D29), and an IPv6 address of
//!   a VPC without a gateway is not on the internet at all (D14).
//! - The sender of what comes from the internet is nobody that a group reference could mean, and none that it would have meant (D22).

mod groups;
mod internet;
pub mod matching;
pub mod tracking;

use std::net::IpAddr;
use std::sync::Arc;

use model::Direction::{Egress, Ingress};
use model::{
    Instance, InstanceState, NatGatewayState, NetworkAcl, NetworkInterface, NetworkInterfaceId, Peering, PeeringId,
    PeeringStatus, Region, RouteTable, RouteTarget, SecurityGroupRule, Subnet, Time, Vpc, VpcId, World,
};

use crate::packet::{NextHop, Packet, Sent};
use crate::scene::Scene;
use groups::{Toward, ask_groups, rule_admits_egress, rule_admits_ingress, rules, toward, would_admit};
use matching::{acl_allows, best_route, inside, is_reserved};
use tracking::{Memory, Remember};

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    Delivered(NetworkInterfaceId),
    /// The reason's number in the closed list of spec 11.5.
    Denied(&'static str),
}

type Verdict<T> = Result<T, &'static str>;

/// The reference model: the configuration comes with each question, only the flows are its own.
#[derive(Clone, Debug, Default)]
pub struct Reference {
    memory: Memory,
    up: Vec<NetworkInterfaceId>,
    arrived: Option<Packet>,
}

/// A region, looked at for an interface there.
#[derive(Clone, Copy)]
struct Place<'w> {
    region: Region,
    world: &'w World,
    eni: &'w NetworkInterface,
}

/// Who sent a packet, as far as it is known where it arrives.
#[derive(Clone, Copy)]
enum Sender<'w> {
    Known(&'w NetworkInterface),
    /// Somebody in this VPC.
    Lost(VpcId),
    /// Somebody on the internet, behind this interface's public address.
    Public(NetworkInterfaceId),
}

/// A packet on its way to an interface.
struct Arrival<'w> {
    to: NetworkInterfaceId,
    sender: Sender<'w>,
    /// The peering that it crosses, and the VPC that it comes from.
    over: Option<(PeeringId, VpcId)>,
    /// Through Internet gateways: the sender's public address.
    public: Option<IpAddr>,
}

impl Reference {
    /// Must be told of every new configuration: what is no longer up forgets its flows.
    pub fn configured(&mut self, scene: &Scene) {
        let all = scene.all::<NetworkInterface>();
        let is_up = |(region, eni): &(Region, Arc<NetworkInterface>)| is_up(&scene.worlds[region], eni);
        let up: Vec<NetworkInterfaceId> = all.iter().filter(|at| is_up(at)).map(|(_, eni)| eni.id).collect();
        for lost in self.up.iter().filter(|id| !up.contains(id)) {
            self.memory.forget(*lost);
        }
        self.up = up;
    }

    /// What becomes of a packet that a guest sends now.
    pub fn judge(&mut self, scene: &Scene, sent: &Sent, now: Time) -> Outcome {
        match self.walk(scene, sent, now) {
            Ok(to) => Outcome::Delivered(to),
            Err(reason) => Outcome::Denied(reason),
        }
    }

    /// The last packet that was judged, as whoever got it saw it; as it was sent, if nobody did.
    pub fn arrived(&self, sent: &Sent) -> Packet {
        self.arrived.clone().unwrap_or_else(|| sent.packet.clone())
    }

    fn walk(&mut self, scene: &Scene, sent: &Sent, now: Time) -> Verdict<NetworkInterfaceId> {
        self.arrived = None;
        let Some(x) = place(scene, sent.from) else { return Err("D02") };
        let packet = &sent.packet;
        let (arrival, how) = self.leave(scene, &x, sent, now)?;
        self.memory.remember(x.eni, Egress, packet, how, now);
        let destination = reach(scene, &x, &arrival)?;
        // 8.8: "1:1 NAT private↔public".
        let packet = match arrival.public {
            Some(source) => internet::arriving(packet, source, destination.eni),
            None => packet.clone(),
        };
        let how = self.arrive(scene, &destination, &arrival, &packet, now)?;
        self.memory.remember(destination.eni, Ingress, &packet, how, now);
        self.arrived = Some(packet);
        Ok(destination.eni.id)
    }

    /// Steps 1 to 10 at X.
    fn leave<'w>(&self, scene: &Scene, x: &Place<'w>, sent: &Sent, now: Time) -> Verdict<(Arrival<'w>, Remember)> {
        let Place { world, eni, .. } = *x;
        let packet = &sent.packet;
        let (Some(subnet), Some(vpc)) = (world.find::<Subnet>(&eni.subnet), world.find::<Vpc>(&eni.vpc)) else {
            return Err("D02");
        };
        // 11.2 step 1: "MAC = X's MAC .. Wrong MAC => D01".
        if sent.src_mac != eni.mac {
            return Err("D01");
        }
        // Step 2: "X in-use and instance running, else D02".
        if !is_up(world, eni) {
            return Err("D02");
        }
        // 8.4: "broadcast/multicast are never delivered".
        if matches!(sent.to, NextHop::Mac(mac) if mac.0[0] & 1 == 1) {
            return Err("D04");
        }
        // Step 3 and 8.4: "outbound packets whose source is not an address of the ENI are dropped".
        let is_own = owns(eni, packet.src);
        if !is_own && (eni.source_dest_check || is_reserved(packet.src)) {
            return Err("D03");
        }
        // Step 3: "Multicast/broadcast/link-local destination => D04".
        if is_reserved(packet.dst) {
            return Err("D04");
        }
        // 6.1.4: "Never filtered by SG or NACL: the Amazon DNS resolver (VPC+2, ..), .. the router's reserved addresses".
        if is_own && Some(packet.dst) == resolver(vpc) {
            return Err("D04");
        }
        if is_own && is_router(subnet, packet.dst) {
            return Err("D14");
        }

        // Step 5: "If dst is in SX and the frame's destination MAC is not the router's: on-link, no NACL, no routes".
        let is_on_link = sent.to != NextHop::Router && subnet_contains(subnet, packet.dst);
        let table = subnet.route_table.unwrap_or(vpc.main).route_table;
        let routes = world.find::<RouteTable>(&table).map(|table| table.routes.as_slice()).unwrap_or_default();
        let route = best_route(world, vpc, routes, packet.dst);

        // Step 4: "Conntrack lookup at X; established => skip. Else SG egress of X: some rule of some group matches; none => D05".
        let known = self.memory.recall(eni.id, Egress, packet, now);
        let toward = match (is_on_link, route) {
            (true, _) => Toward::Vpc(vpc.id),
            (false, route) => toward(x, vpc, route.map(|route| route.target), packet.dst),
        };
        let how =
            ask_groups(x, Egress, packet, known, |rule| rule_admits_egress(x, rule, packet, &toward)).ok_or("D05")?;

        let sender = if is_own { Sender::Known(eni) } else { Sender::Lost(vpc.id) };
        if is_on_link {
            let to = owner(world, vpc.id, packet.dst).ok_or("D14")?.id;
            return Ok((Arrival { to, sender, over: None, public: None }, how));
        }
        // Step 6: "NACL of SX, egress, first match: deny => D07".
        if !acl_allows(acl(world, subnet), Egress, packet) {
            return Err("D07");
        }
        // Step 7: "RT of SX: LPM. No route => D08; blackhole route => D09".
        let route = route.ok_or("D08")?;
        let plain = |to| Ok((Arrival { to, sender, over: None, public: None }, how));
        match route.target {
            // "target local => intra-VPC delivery".
            RouteTarget::Local => plain(owner(world, vpc.id, packet.dst).ok_or("D14")?.id),
            RouteTarget::NetworkInterface(id) => {
                // 4.6: "ENI target: blackhole if ENI deleted/detached or its instance stopped/terminated".
                let via = world.find::<NetworkInterface>(&id).filter(|via| is_up(world, via)).ok_or("D09")?;
                // 6.5.5: "A middlebox on the path discards group information". Itself it is none.
                let sender = if owns(via, packet.dst) { sender } else { Sender::Lost(vpc.id) };
                Ok((Arrival { to: via.id, sender, over: None, public: None }, how))
            }
            // 4.6: "IGW: detached".
            RouteTarget::InternetGateway(id) => {
                let is_attached = world.internet_gateways.get(&id).is_some_and(|gateway| gateway.vpc == Some(vpc.id));
                if !is_attached {
                    return Err("D09");
                }
                let (public, to) = internet::leave(scene, x, packet)?;
                Ok((Arrival { to, sender: Sender::Public(eni.id), over: None, public: Some(public) }, how))
            }
            // 4.6: "NAT: deleted/failed". No world here has a living one: what it does to a packet is not described.
            RouteTarget::NatGateway(id) => {
                let found = world.nat_gateways.get(&id);
                let is_live = found.is_some_and(|gateway| gateway.state == NatGatewayState::Available);
                Err(if is_live { "D39" } else { "D09" })
            }
            RouteTarget::EgressOnlyInternetGateway(id) => {
                Err(if world.egress_only_internet_gateways.contains_key(&id) { "D39" } else { "D09" })
            }
            RouteTarget::TransitGateway(_) => Err("D39"),
            RouteTarget::Peering(id) => {
                // 4.6: "pcx target => active iff pcx state is active; any other pcx state, or the record purged => blackhole".
                let pcx = world.find::<Peering>(&id).filter(|pcx| pcx.status == PeeringStatus::Active).ok_or("D09")?;
                let to = cross(x, vpc, pcx, packet)?;
                Ok((Arrival { to, sender, over: Some((id, vpc.id)), public: None }, how))
            }
        }
    }

    /// Steps 11 to 14 at Y.
    fn arrive(
        &self,
        scene: &Scene,
        y: &Place<'_>,
        arrival: &Arrival<'_>,
        packet: &Packet,
        now: Time,
    ) -> Verdict<Remember> {
        let Place { world, eni, .. } = *y;
        let Some(subnet) = world.find::<Subnet>(&eni.subnet) else { return Err("D20") };
        // Step 11: "verify that P is active in B's own view, that B's CIDR contains dst, and that (A,X,src) binding is true in B's copy of
        // the mapping (D18)".
        if let Some((pcx, from)) = arrival.over {
            check_claim(y, arrival.sender, pcx, from, packet)?;
        }
        // The same of the internet: a public address speaks for whom it stands.
        if let Sender::Public(x) = arrival.sender
            && internet::holder(scene, packet.src) != Some(x)
        {
            return Err("D18");
        }
        // Step 11: "NACL of SY, ingress: deny => D19". 7.3: "Not evaluated for traffic between ENIs of the same subnet".
        let is_neighbour = matches!(arrival.sender, Sender::Known(x) if x.subnet == eni.subnet);
        if !is_neighbour && !acl_allows(acl(world, subnet), Ingress, packet) {
            return Err("D19");
        }
        // Step 12: "ENI Y state => D20; source/dest check of Y: dst is not an address of Y => D21".
        if !is_up(world, eni) {
            return Err("D20");
        }
        if eni.source_dest_check && !owns(eni, packet.dst) {
            return Err("D21");
        }
        // Step 13: "Conntrack at Y; established => deliver. Else SG ingress of Y incl. references with principal (A, X) => D22 if none".
        let known = self.memory.recall(eni.id, Ingress, packet, now);
        let admits = |rule: &SecurityGroupRule| rule_admits_ingress(y, rule, packet, arrival.sender);
        ask_groups(y, Ingress, packet, known, admits).ok_or_else(|| {
            let would = rules(y, Ingress).into_iter().any(|rule| would_admit(y, rule, packet, arrival.sender));
            if would { "D23" } else { "D22" }
        })
    }
}

fn place(scene: &Scene, id: NetworkInterfaceId) -> Option<Place<'_>> {
    let (region, eni) = scene.find::<NetworkInterface>(&id)?;
    Some(Place { region, world: scene.worlds.get(&region)?, eni })
}

/// Attached to an instance that is (about to be) running.
fn is_up(world: &World, eni: &NetworkInterface) -> bool {
    let Some(attachment) = &eni.attachment else { return false };
    let instance = world.find::<Instance>(&attachment.instance);
    instance.is_some_and(|i| i.state == InstanceState::Running || i.state == InstanceState::Pending)
}

fn owns(eni: &NetworkInterface, address: IpAddr) -> bool {
    match address {
        IpAddr::V4(a) => eni.private_ips.contains(&a),
        IpAddr::V6(a) => eni.ipv6_addresses.contains(&a),
    }
}

fn owner(world: &World, vpc: VpcId, address: IpAddr) -> Option<&NetworkInterface> {
    world.all::<NetworkInterface>().find(|eni| eni.vpc == vpc && owns(eni, address)).map(|eni| &**eni)
}

fn vpc_contains(vpc: &Vpc, address: IpAddr) -> bool {
    vpc.cidrs.iter().any(|block| inside(address, block.cidr.into()))
        || vpc.ipv6_cidrs.iter().any(|block| inside(address, block.cidr.into()))
}

fn subnet_contains(subnet: &Subnet, address: IpAddr) -> bool {
    inside(address, subnet.cidr.into()) || subnet.ipv6.is_some_and(|block| inside(address, block.cidr.into()))
}

fn acl<'w>(world: &'w World, subnet: &Subnet) -> Option<&'w NetworkAcl> {
    world.find::<NetworkAcl>(&subnet.network_acl.network_acl).map(|acl| &**acl)
}

/// 3.5: "the resolver itself answers at primary-VPC-block base+2".
fn resolver(vpc: &Vpc) -> Option<IpAddr> {
    let base = vpc.cidrs.first()?.cidr.network().to_bits();
    Some(IpAddr::V4((base + 2).into()))
}

/// 3.5: "base+1 (VPC router)"; "router also fe80:ec2::1".
fn is_router(subnet: &Subnet, address: IpAddr) -> bool {
    match address {
        IpAddr::V4(a) => a.to_bits() == subnet.cidr.network().to_bits() + 1,
        IpAddr::V6(a) => subnet.ipv6.is_some_and(|block| a.to_bits() == block.cidr.network().to_bits() + 1),
    }
}

/// Both sides of a peering as this World has them, this VPC's first.
fn sides(pcx: &Peering, vpc: VpcId) -> Option<[&model::PeeringSide; 2]> {
    if pcx.requester.vpc == vpc {
        Some([&pcx.requester, &pcx.accepter])
    } else if pcx.accepter.vpc == vpc {
        Some([&pcx.accepter, &pcx.requester])
    } else {
        None
    }
}

fn side_contains(side: &model::PeeringSide, address: IpAddr) -> bool {
    side.cidrs.iter().any(|block| inside(address, (*block).into()))
        || side.ipv6_cidrs.iter().any(|block| inside(address, (*block).into()))
}

/// Who has the address in the VPC at the other end, and on which host, as far as this region knows.
fn peer_owner(
    x: &Place<'_>,
    peer: &model::PeeringSide,
    address: IpAddr,
) -> Option<(NetworkInterfaceId, Option<model::HostId>)> {
    if peer.region == x.region {
        return owner(x.world, peer.vpc, address).map(|eni| (eni.id, host(x.world, eni)));
    }
    let mirror = x.world.mirrors.get(&peer.vpc)?;
    let member = mirror.members.iter().find(|member| member.addresses.contains(&address))?;
    Some((member.interface, member.host))
}

fn host(world: &World, eni: &NetworkInterface) -> Option<model::HostId> {
    world.find::<Instance>(&eni.attachment.as_ref()?.instance)?.host
}

/// Steps 8 to 10 over a peering that is active.
fn cross(x: &Place<'_>, vpc: &Vpc, pcx: &Peering, packet: &Packet) -> Verdict<NetworkInterfaceId> {
    // Step 8: "A is requester or accepter, else D11".
    let [_, peer] = sides(pcx, vpc.id).ok_or("D11")?;
    // Step 9: "dst in union of B's associated CIDRs, else D12".
    if !side_contains(peer, packet.dst) {
        return Err("D12");
    }
    // Step 9: "src in union of A's associated CIDRs, else D13".
    if !vpc_contains(vpc, packet.src) {
        return Err("D13");
    }
    // Step 10: "look up (B, dst) .. No ENI owns dst => D14".
    Ok(peer_owner(x, peer, packet.dst).ok_or("D14")?.0)
}

/// Step 10: "(host, ENI Y, MAC)". What is on no host is not reached.
fn reach<'w>(scene: &'w Scene, x: &Place<'_>, arrival: &Arrival<'_>) -> Verdict<Place<'w>> {
    let known_host = match arrival.over {
        None => place(scene, arrival.to).and_then(|y| host(y.world, y.eni)),
        Some((pcx, vpc)) => {
            let peer = x.world.find::<Peering>(&pcx).and_then(|pcx| sides(pcx, vpc)).ok_or("D20")?[1];
            match x.world.mirrors.get(&peer.vpc).filter(|_| peer.region != x.region) {
                Some(mirror) => mirror.members.iter().find(|m| m.interface == arrival.to).and_then(|m| m.host),
                None => place(scene, arrival.to).and_then(|y| host(y.world, y.eni)),
            }
        }
    };
    known_host.ok_or("D20")?;
    place(scene, arrival.to).ok_or("D20")
}

/// Step 11, the receiver's own view.
fn check_claim(y: &Place<'_>, sender: Sender<'_>, pcx: PeeringId, from: VpcId, packet: &Packet) -> Verdict<()> {
    let pcx = y.world.find::<Peering>(&pcx).filter(|pcx| pcx.status == PeeringStatus::Active).ok_or("D10")?;
    let peer = sides(pcx, y.eni.vpc).map(|[_, peer]| peer).filter(|peer| peer.vpc == from).ok_or("D11")?;
    if !y.world.find::<Vpc>(&y.eni.vpc).is_some_and(|vpc| vpc_contains(vpc, packet.dst)) {
        return Err("D12");
    }
    let is_bound = match sender {
        Sender::Known(x) => {
            let is_mine = owns(y.eni, packet.dst) || y.eni.source_dest_check;
            is_mine && peer_owner(y, peer, packet.src).is_some_and(|(owner, _)| owner == x.id)
        }
        Sender::Lost(_) => owns(y.eni, packet.dst) && side_contains(peer, packet.src),
        Sender::Public(_) => false,
    };
    if is_bound { Ok(()) } else { Err("D18") }
}
