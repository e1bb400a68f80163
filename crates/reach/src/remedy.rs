//! What mends a refusal: the smallest change of the configuration after which the same packet gets past.

mod outward;

use alloc::vec::Vec;
use core::net::IpAddr;

use model::intent::{Endpoint, VpcSlice};
use model::{
    AclAction, Cidr, Destination, Direction, IpProtocol, NetworkAclEntry, NetworkAclId, NetworkInterfaceId, PeeringId,
    PeeringSide, PeeringStatus, Ports, RouteTableId, RouteTarget, SecurityGroupId, VpcId,
};
use policy::flow::protocol;
use policy::{Denied, Flow, NatCause, Step};

use crate::Network;
use crate::answer::{Cause, Place, Way};
use crate::explain::Stop;
use crate::mend::{Mend, NEW_PEERING};
use crate::question::Question;

/// The changes that lift a refusal, in the order in which they are made. Empty: there are none, or none are known.
pub(crate) fn remedy(network: &Network, question: &Question, stop: &Stop) -> Vec<Mend> {
    let mender = Mender { network, question, stop };
    match stop.cause {
        Cause::Denied(denied) => mender.lift(denied),
        Cause::Elsewhere { .. } => mender.route(),
        Cause::Hidden => None,
    }
    .unwrap_or_default()
}

struct Mender<'a> {
    network: &'a Network,
    question: &'a Question,
    stop: &'a Stop,
}

/// The highest number that a user's rule of a network ACL can have.
const ACL_NUMBER_MAX: u16 = 32_766;

impl Mender<'_> {
    fn lift(&self, denied: Denied) -> Option<Vec<Mend>> {
        let one = |mend: Option<Mend>| mend.map(|mend| Vec::from([mend]));
        match denied {
            Denied::SourceDown { interface } | Denied::DestinationDown { interface } => one(self.start(interface)),
            Denied::SourceCheckEgress { interface, address } if is_somebody(address) => one(self.uncheck(interface)),
            Denied::SourceCheckIngress { interface, .. } => one(self.uncheck(interface)),
            Denied::GroupEgress { interface, .. } => one(self.authorize(interface, Direction::Egress)),
            Denied::GroupIngress { interface, .. } => one(self.authorize(interface, Direction::Ingress)),
            Denied::ReferenceNotApplicable { .. } => one(self.authorize(self.stop.interface(), Direction::Ingress)),
            Denied::AclEgress { acl, number } => one(self.admit(acl, Direction::Egress, number)),
            Denied::AclIngress { acl, number } => one(self.admit(acl, Direction::Ingress, number)),
            Denied::Blackhole { .. } => self.revive().or_else(|| self.onward()),
            Denied::NoRoute { .. } | Denied::OutsidePeer { .. } | Denied::GatewayPrivateAddress { .. } => self.onward(),
            // A gateway's own packets need a way that is no gateway's like it; what it cannot carry needs another one.
            Denied::TargetNotCarried { .. } => self.route().or_else(|| self.outward(true)),
            Denied::NoOwner { address, .. } => self.publish_ipv6(address).or_else(|| self.onward()),
            Denied::PeeringNotActive { peering: Some(id), .. } => self.accept(id),
            Denied::GatewayNoPublicAddress => self.map_source(),
            Denied::GatewayNoMapping { address } => self.map_destination(address),
            Denied::NatExhausted { cause: NatCause::Protocol | NatCause::Fragment, .. } => self.outward(true),
            // Nothing mends what nobody inside asked for; rooms and times are the host's, not the configuration's.
            Denied::NatExhausted { .. } | Denied::ConntrackFull { .. } => None,
            // Addresses that are nobody's, or that a guest may not speak for.
            Denied::SourceCheckEgress { .. } | Denied::NotUnicast { .. } | Denied::OutsideOwn { .. } => None,
            // Two views of one peering that differ for a moment.
            Denied::PeeringNotActive { .. } | Denied::PeeringOfOthers { .. } | Denied::SenderDisagrees { .. } => None,
            // Not carried here.
            Denied::TransitNotAssociated
            | Denied::TransitNoRoute
            | Denied::TransitZone
            | Denied::TransitAppliance
            | Denied::EncryptionControl => None,
            // The data plane's own, which the law is never asked about.
            Denied::SpoofedMac
            | Denied::NoSecureChannel
            | Denied::TooBig { .. }
            | Denied::NotAuthentic
            | Denied::Malformed
            | Denied::FrameType { .. }
            | Denied::Fragment
            | Denied::RogueServer
            | Denied::RateLimit
            | Denied::QueueFull => None,
        }
    }

    /// A way to where the packet is for: inside the VPC or over a peering, or, for a public address, over the internet.
    fn onward(&self) -> Option<Vec<Mend>> {
        self.route().or_else(|| self.outward(false))
    }

    fn endpoint(&self, interface: NetworkInterfaceId) -> Option<(&Endpoint, Place)> {
        Some((self.network.endpoint(interface)?, self.network.place_of(interface)?))
    }

    fn start(&self, interface: NetworkInterfaceId) -> Option<Mend> {
        let (endpoint, mut place) = self.endpoint(interface)?;
        place.account = endpoint.interface.owner;
        Some(match &endpoint.interface.attachment {
            Some(attachment) => Mend::StartInstance { place, instance: attachment.instance, interface },
            None => Mend::AttachInterface { place, interface },
        })
    }

    fn uncheck(&self, interface: NetworkInterfaceId) -> Option<Mend> {
        let (endpoint, mut place) = self.endpoint(interface)?;
        place.account = endpoint.interface.owner;
        Some(Mend::DisableSourceDestCheck { place, interface })
    }

    /// A rule for just this packet, in a group of the interface: one that is its own rather than the VPC's default.
    fn authorize(&self, interface: NetworkInterfaceId, direction: Direction) -> Option<Mend> {
        let (endpoint, mut place) = self.endpoint(interface)?;
        let slice = self.network.slice(place.vpc)?;
        let borne = |id: &SecurityGroupId| slice.security_groups.iter().find(|group| group.id == *id);
        let groups = || endpoint.interface.groups.iter().filter_map(borne);
        let group = groups().find(|group| !group.is_default()).or_else(|| groups().next())?;
        place.account = group.owner;
        let flow = &self.stop.flow;
        let (protocol, ports) = ports_of(flow, |port| (port, port));
        let peer = Cidr::host(if direction == Direction::Ingress { flow.src } else { flow.dst });
        Some(Mend::Authorize { place, group: group.id, direction, protocol, ports, peer })
    }

    /// An entry before the one that denies.
    fn admit(&self, acl: NetworkAclId, direction: Direction, denying: u16) -> Option<Mend> {
        let mut place = self.network.place_of(self.stop.interface())?;
        let found = self.network.slice(place.vpc)?.network_acls.iter().find(|found| found.id == acl)?;
        place.account = found.owner;
        let entries = found.entries(direction);
        let round = entries.keys().next_back().map_or(100, |last| (last / 10).saturating_add(1).saturating_mul(10));
        let is_free = |number: &u16| *number < denying && *number <= ACL_NUMBER_MAX && !entries.contains_key(number);
        let free = Some(round).filter(|number| denying > ACL_NUMBER_MAX && is_free(number));
        let free = free.or_else(|| (1..denying.min(ACL_NUMBER_MAX + 1)).rev().find(is_free));
        let flow = &self.stop.flow;
        let is_answer = self.stop.way == Way::Back;
        let (protocol, ports) =
            ports_of(flow, |port| if is_answer && port >= 1024 { (1024, u16::MAX) } else { (port, port) });
        let cidr = Cidr::host(if direction == Direction::Ingress { flow.src } else { flow.dst });
        let entry = NetworkAclEntry { protocol, action: AclAction::Allow, cidr, ports };
        let (number, replaces) = (free.unwrap_or(denying), free.is_none());
        Some(Mend::AclEntry { place, acl, direction, number, entry, replaces })
    }

    /// The route that decided.
    fn best(&self) -> Option<(Cidr, RouteTarget)> {
        self.stop.steps.iter().rev().find_map(|step| match step {
            Step::Route { destination, target, .. } => Some((*destination, *target)),
            _ => None,
        })
    }

    /// What makes the target of the best route live again.
    fn revive(&self) -> Option<Vec<Mend>> {
        let (_, target) = self.best()?;
        match target {
            RouteTarget::Peering(id) => self.accept(id),
            RouteTarget::NetworkInterface(id) => {
                // Deleted, or in another VPC: no longer a target that can be started.
                let here = self.network.vpc_of(self.stop.from)?;
                let is_down = |endpoint: &Endpoint| !endpoint.is_up && endpoint.interface.vpc == here;
                self.network.endpoint(id).filter(|endpoint| is_down(endpoint))?;
                self.start(id).map(|mend| Vec::from([mend]))
            }
            _ => None,
        }
    }

    /// Accepts a peering that waits for it and leads where the packet is for.
    fn accept(&self, id: PeeringId) -> Option<Vec<Mend>> {
        let here = self.network.slice(self.network.vpc_of(self.stop.from)?)?;
        let peering = here.peerings.iter().find(|peering| peering.id == id)?;
        let other = peering.side(peering.side_of(here.vpc.id)?.other()).vpc;
        // Of a VPC that is not known here its owner alone can say.
        let is_way = self.network.slice(other).is_none_or(|other| other.vpc.contains(self.stop.flow.dst));
        let waits = peering.status == PeeringStatus::PendingAcceptance;
        (waits && is_way).then(|| Vec::from([accepting(&peering.accepter, id)]))
    }

    /// A route that leads where the packet is for.
    fn route(&self) -> Option<Vec<Mend>> {
        let dst = self.stop.flow.dst;
        let from = self.network.endpoint(self.stop.from)?;
        let here = self.network.slice(from.interface.vpc)?;
        let table = self.table(here, from)?;
        let place = self.network.place(here.vpc.id, Some(from.interface.subnet))?;
        let (goal, best) = (self.goal(here)?, self.best());
        let block = goal.vpc.blocks().find(|block| block.contains(dst))?;
        if goal.vpc.id == here.vpc.id {
            // The way inside the VPC was bent to a target that leads nowhere, or to another.
            let (destination, _) = best.filter(|(_, target)| *target != RouteTarget::Local)?;
            let is_whole = here.vpc.blocks().any(|block| block == destination);
            let target = RouteTarget::Local;
            return Some(Vec::from([if is_whole {
                Mend::Route { place, table, destination, target, replaces: true }
            } else {
                Mend::DeleteRoute { place, table, destination }
            }]));
        }
        // What is inside the VPC's own blocks cannot be routed out of it (spec 4.4).
        if best.is_some_and(|(_, target)| target == RouteTarget::Local) {
            return None;
        }
        let (peering, mut mends) = self.peering(here, goal)?;
        // What is as long as the block or longer decides before it.
        let longer = best.map(|(over, _)| over).filter(|over| over.prefix_len() >= block.prefix_len());
        let (destination, target) = (longer.unwrap_or(block), RouteTarget::Peering(peering));
        let replaces = has_route(here, table, destination);
        mends.push(Mend::Route { place, table, destination, target, replaces });
        Some(mends)
    }

    /// The VPC that the packet is meant for: that of the wanted interface, or whose interface has the address.
    fn goal(&self, here: &VpcSlice) -> Option<&VpcSlice> {
        let wanted = match self.stop.way {
            Way::Forward => self.question.to,
            Way::Back => Some(self.question.from),
        };
        if let Some(wanted) = wanted {
            return self.network.slice(self.network.vpc_of(wanted)?);
        }
        let has = |vpc: &VpcId| self.network.owner(*vpc, self.stop.flow.dst).is_some();
        let peers = here
            .peerings
            .iter()
            .filter(|peering| peering.status.is_live())
            .filter_map(|peering| Some(peering.side(peering.side_of(here.vpc.id)?.other()).vpc));
        let mut known = core::iter::once(here.vpc.id).chain(peers);
        let near = known.find(has);
        // Not joined yet: only where one VPC alone can be meant.
        let mut all = self.network.slices().map(|slice| slice.vpc.id).filter(has);
        let only = || all.next().filter(|_| all.next().is_none());
        near.or_else(only).and_then(|vpc| self.network.slice(vpc))
    }

    /// A peering of the two, and what makes it active.
    fn peering(&self, here: &VpcSlice, there: &VpcSlice) -> Option<(PeeringId, Vec<Mend>)> {
        let (a, b) = (here.vpc.id, there.vpc.id);
        let live = |status| self.network.peerings(a, b).find(|peering| peering.status == status);
        if let Some(active) = live(PeeringStatus::Active) {
            return Some((active.id, Vec::new()));
        }
        if let Some(waiting) = live(PeeringStatus::PendingAcceptance) {
            return Some((waiting.id, Vec::from([accepting(&waiting.accepter, waiting.id)])));
        }
        // One on its way needs no command, and two of the same blocks can never be peered (spec 5.4.1).
        let is_on_its_way = self.network.peerings(a, b).any(|peering| peering.status.is_live());
        let side = |slice: &VpcSlice| PeeringSide::of(&slice.vpc, slice.region);
        let (requester, accepter) = (side(here), side(there));
        if is_on_its_way || requester.overlaps(&accepter) {
            return None;
        }
        let create = Mend::CreatePeering { place: place_of(&requester), peer: place_of(&accepter) };
        Some((NEW_PEERING, Vec::from([create, accepting(&accepter, NEW_PEERING)])))
    }

    /// The table that decides for the sender's subnet.
    fn table(&self, slice: &VpcSlice, from: &Endpoint) -> Option<RouteTableId> {
        let subnet = slice.subnets.iter().find(|subnet| subnet.id == from.interface.subnet)?;
        Some(subnet.effective_route_table(&slice.vpc))
    }
}

fn accepting(accepter: &PeeringSide, peering: PeeringId) -> Mend {
    Mend::AcceptPeering { place: place_of(accepter), peering }
}

fn place_of(side: &PeeringSide) -> Place {
    Place { vpc: side.vpc, subnet: None, account: side.owner, region: side.region }
}

fn has_route(slice: &VpcSlice, table: RouteTableId, destination: Cidr) -> bool {
    let tables = slice.route_tables.iter().filter(|found| found.id == table);
    tables.flat_map(|found| &found.routes).any(|route| route.destination == Destination::Cidr(destination))
}

/// No check can be switched off for an address that is nobody's: multicast, loopback and the like stay refused.
pub(crate) fn is_somebody(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(a) => {
            !(a.is_multicast() || a.is_broadcast() || a.is_link_local() || a.is_loopback() || a.octets()[0] == 0)
        }
        IpAddr::V6(a) => !(a.is_multicast() || a.is_unicast_link_local() || a.is_loopback() || a.is_unspecified()),
    }
}

/// What a rule for just this packet says; `range` widens a port.
fn ports_of(flow: &Flow, range: impl Fn(u16) -> (u16, u16)) -> (IpProtocol, Ports) {
    let ports = match flow.protocol {
        protocol::TCP | protocol::UDP => flow.dst_port().map(range).map(|(from, to)| Ports::Range { from, to }),
        _ => flow.icmp_type().map(|(kind, code)| Ports::Icmp { kind: Some(kind), code: Some(code) }),
    };
    (IpProtocol::Number(flow.protocol), ports.unwrap_or(Ports::Any))
}
