//! May a packet leave this interface, and to whom does it go? The sending half of the packet walk (spec 11.2, steps 2-10).

use core::net::IpAddr;

use model::{AclAction, Direction, NetworkInterfaceId, RouteTarget, SecurityGroupId, VpcId};

use crate::internet::is_private;
use crate::route::{Hop, Way};
use crate::tables::{Endpoint, OWN, Owner, SubnetTables, Tables, VpcIndex, VpcTables};
use crate::{Denied, Flow, Internet, L2, Next, Origin, RouteState, Scope, Step, Track, Tracked, Trail, Translation};

const EGRESS: Direction = Direction::Egress;

/// Judges a packet that a guest sends.
///
/// `seen` is what [`Conntrack::lookup`](crate::Conntrack::lookup) said for the interface and this direction. On success the
/// caller commits [`Next::track`] and hands the packet to [`Next::interface`], where [`ingress`](crate::ingress) judges it too.
pub fn egress(
    tables: &Tables,
    from: NetworkInterfaceId,
    flow: &Flow,
    l2: L2,
    seen: Option<Tracked>,
    trail: &mut impl Trail,
) -> Result<Next, Denied> {
    let verdict = walk(tables, from, flow, l2, seen, trail);
    if let Err(denied) = verdict {
        trail.step(Step::Denied(denied));
    }
    verdict
}

/// A packet on its way out of `x`.
struct Leaving<'t, 'f> {
    internet: &'t Internet,
    vpc: &'t VpcTables,
    x: &'t Endpoint,
    flow: &'f Flow,
    /// The source address is the interface's own.
    is_own: bool,
}

/// Where the packet goes, found before it is known whether it may: a group reference asks for the destination's VPC.
enum Path<'t> {
    OnLink,
    Routed(Option<&'t Hop>),
}

fn walk(
    tables: &Tables,
    from: NetworkInterfaceId,
    flow: &Flow,
    l2: L2,
    seen: Option<Tracked>,
    trail: &mut impl Trail,
) -> Result<Next, Denied> {
    let down = Denied::SourceDown { interface: from };
    let (vpc, x) = tables.endpoint(from).ok_or(down)?;
    let edge = vpc.subnet(x);
    trail.step(Step::Interface { direction: EGRESS, interface: x.id, subnet: edge.subnet.id, vpc: vpc.id });
    if !x.is_up {
        return Err(down);
    }
    let leaving = Leaving { internet: tables.internet(), vpc, x, flow, is_own: x.owns(flow.src) };
    leaving.check_addresses()?;
    let path = match l2 {
        L2::Neighbour if edge.subnet.contains(flow.dst) => Path::OnLink,
        _ => Path::Routed(edge.best(flow.dst)),
    };
    let track = leaving.ask_groups(&path, seen, trail)?;
    match path {
        Path::OnLink => {
            trail.step(Step::OnLink { subnet: edge.subnet.id });
            leaving.deliver(track, trail)
        }
        Path::Routed(hop) => {
            leaving.ask_acl(edge, trail)?;
            leaving.follow(edge, hop, track, trail)
        }
    }
}

impl Leaving<'_, '_> {
    /// Step 3.
    fn check_addresses(&self) -> Result<(), Denied> {
        let Flow { src, dst, .. } = *self.flow;
        if src.is_ipv4() != dst.is_ipv4() {
            return Err(Denied::Malformed);
        }
        // A router may forward for others, but nobody may speak for an address that is no one's.
        if !self.is_own && (self.x.source_dest_check || !is_unicast(src)) {
            return Err(Denied::SourceCheckEgress { interface: self.x.id, address: src });
        }
        if is_unicast(dst) { Ok(()) } else { Err(Denied::NotUnicast { address: dst }) }
    }

    /// Step 4.
    fn ask_groups(&self, path: &Path<'_>, seen: Option<Tracked>, trail: &mut impl Trail) -> Result<Track, Denied> {
        let Leaving { x, flow, .. } = self;
        if x.is_nat {
            return Ok(Track::Related);
        }
        trail.step(Step::Tracking { interface: x.id, seen });
        if let Some(track) = seen.and_then(Tracked::passes_groups) {
            trail.step(Step::Group { direction: EGRESS, interface: x.id, rule: None, track });
            return Ok(track);
        }
        let rules = self.vpc.rules(x);
        let rule = rules.admits(EGRESS, flow, |vpc| self.groups_in(path, vpc));
        let rule = rule.ok_or(Denied::GroupEgress { interface: x.id, has_rules: rules.has_rules(EGRESS) })?;
        let track = match path {
            // Tracked whatever the rules say (spec 6.4.3).
            Path::Routed(Some(Hop { way: Way::Nat(_) | Way::EgressOnly, .. })) => Track::New,
            _ => rules.track(EGRESS, flow, seen),
        };
        trail.step(Step::Group { direction: EGRESS, interface: x.id, rule: Some(rule), track });
        Ok(track)
    }

    /// The groups of the destination, if it is in that VPC. Behind a middlebox nobody's groups count (spec 6.5.5); where no
    /// way is found the packet is lost anyway, and the reason to be named is the way.
    fn groups_in(&self, path: &Path<'_>, vpc: VpcIndex) -> &[SecurityGroupId] {
        let way = match path {
            Path::OnLink => Some(Way::Local),
            Path::Routed(hop) => hop.map(|hop| hop.way),
        };
        let is_there = match way {
            Some(Way::Local) => vpc == OWN,
            Some(Way::Peering(place)) => self.vpc.peering_at(place).1 == vpc,
            Some(Way::Endpoint(place) | Way::Nat(place)) => vpc == OWN && self.vpc.endpoints[place].owns(self.flow.dst),
            // A group is a matter of private addresses (spec 6.5.4).
            Some(Way::Gateway(_) | Way::EgressOnly) => false,
            Some(Way::Blackhole | Way::NotCarried) | None => true,
        };
        if is_there { self.vpc.groups_at(vpc, self.flow.dst) } else { &[] }
    }

    /// Step 6.
    fn ask_acl(&self, edge: &SubnetTables, trail: &mut impl Trail) -> Result<(), Denied> {
        let (number, action) = edge.acl.judge(EGRESS, self.flow);
        let acl = edge.acl.id;
        trail.step(Step::Acl { direction: EGRESS, acl, number, action });
        match action {
            AclAction::Allow => Ok(()),
            AclAction::Deny => Err(Denied::AclEgress { acl, number }),
        }
    }

    /// Step 7.
    fn follow(
        &self,
        edge: &SubnetTables,
        hop: Option<&Hop>,
        track: Track,
        trail: &mut impl Trail,
    ) -> Result<Next, Denied> {
        let table = edge.routes.id;
        let Hop { destination, target, way } = *hop.ok_or(Denied::NoRoute { table })?;
        let state = if way == Way::Blackhole { RouteState::Blackhole } else { RouteState::Active };
        trail.step(Step::Route { table, destination, target, state });
        match way {
            Way::Local => self.deliver(track, trail),
            Way::Peering(place) => self.cross(place, track, trail),
            Way::Endpoint(place) => {
                let via = &self.vpc.endpoints[place];
                // A route that names the destination itself leads to no middlebox.
                if via.owns(self.flow.dst) { self.deliver(track, trail) } else { Ok(self.to_target(via, track, trail)) }
            }
            Way::Nat(place) => {
                let via = &self.vpc.endpoints[place];
                // It translates IPv4, once: a gateway's own packets go to no other one (decision 0034).
                let is_carried = self.flow.dst.is_ipv4() && !self.x.is_nat;
                match via.owns(self.flow.dst) {
                    true => self.deliver(track, trail),
                    false if is_carried => Ok(self.to_target(via, track, trail)),
                    false => Err(Denied::TargetNotCarried { table, destination }),
                }
            }
            Way::Gateway(gateway) => {
                trail.step(Step::Gateway { direction: EGRESS, gateway, public: self.x.public(self.flow.src) });
                self.go_out(track, trail)
            }
            Way::EgressOnly => {
                if let RouteTarget::EgressOnlyInternetGateway(gateway) = target {
                    trail.step(Step::EgressOnly { direction: EGRESS, gateway });
                }
                self.go_out(track, trail)
            }
            Way::Blackhole => Err(Denied::Blackhole { table, destination }),
            Way::NotCarried => Err(Denied::TargetNotCarried { table, destination }),
        }
    }

    /// Steps 8 and 9, and the look-up of step 10 in the peer.
    fn cross(&self, place: usize, track: Track, trail: &mut impl Trail) -> Result<Next, Denied> {
        let Flow { src, dst, .. } = *self.flow;
        let (peering, index) = self.vpc.peering_at(place);
        let id = peering.id;
        trail.step(Step::Peering { direction: EGRESS, peering: id, status: peering.status });
        if !peering.is_active() {
            return Err(Denied::PeeringNotActive { peering: Some(id), status: Some(peering.status) });
        }
        let vpc = peering.other_vpc().ok_or(Denied::PeeringOfOthers { peering: id, vpc: self.vpc.id })?;
        if !peering.other_contains(dst) {
            return Err(Denied::OutsidePeer { peering: id, address: dst });
        }
        if !self.vpc.contains(src) {
            return Err(Denied::OutsideOwn { peering: id, address: src });
        }
        let owner = self.vpc.owner(index, dst).ok_or(Denied::NoOwner { vpc, address: dst })?;
        trail.step(Step::Destination { interface: owner.interface, vpc, host: owner.host });
        Ok(Next { peering: Some(id), ..self.next(owner, vpc, Scope::Peering(id), track) })
    }

    /// Through the VPC's Internet gateway: the public address stands for the sender from here on (spec 8.8), and who is behind the
    /// destination is whoever the cloud's internet says. Another way out there is not.
    fn go_out(&self, track: Track, trail: &mut impl Trail) -> Result<Next, Denied> {
        let Flow { src, dst, .. } = *self.flow;
        let public = self.x.public(src);
        let public = public.ok_or(Denied::GatewayNoPublicAddress)?;
        if is_private(dst) {
            return Err(Denied::GatewayPrivateAddress { direction: EGRESS, address: dst });
        }
        let place = self.internet.find(dst).ok_or(Denied::NoOwner { vpc: self.vpc.id, address: dst })?;
        let at = place.filter(|at| at.has_gateway).ok_or(Denied::GatewayNoMapping { address: dst })?;
        trail.step(Step::Destination { interface: at.interface, vpc: at.vpc, host: at.host });
        let translation = match public {
            IpAddr::V4(public) => Translation { src: Some(public), ..Translation::NONE },
            IpAddr::V6(_) => Translation::NONE,
        };
        let owner = Owner { interface: at.interface, host: at.host };
        Ok(Next { translation, ..self.next(owner, at.vpc, Scope::Internet, track) })
    }

    /// Step 10 inside the VPC.
    fn deliver(&self, track: Track, trail: &mut impl Trail) -> Result<Next, Denied> {
        let Leaving { vpc, flow, .. } = self;
        let owner = vpc.owner(OWN, flow.dst).ok_or(Denied::NoOwner { vpc: vpc.id, address: flow.dst })?;
        trail.step(Step::Destination { interface: owner.interface, vpc: vpc.id, host: owner.host });
        Ok(self.next(owner, vpc.id, Scope::Vpc, track))
    }

    fn to_target(&self, via: &Endpoint, track: Track, trail: &mut impl Trail) -> Next {
        let vpc = self.vpc.id;
        trail.step(Step::Destination { interface: via.id, vpc, host: via.host });
        self.next(Owner { interface: via.id, host: via.host }, vpc, Scope::RouteTarget(via.id), track)
    }

    fn next(&self, owner: Owner, vpc: VpcId, scope: Scope, track: Track) -> Next {
        let Owner { interface, host } = owner;
        // What is forwarded for another has lost its sender, whatever leads to the receiver.
        let scope = if self.is_own { scope } else { Scope::RouteTarget(interface) };
        let sender = if matches!(scope, Scope::RouteTarget(_)) { None } else { Some(self.x.id) };
        let origin = Origin { vpc: self.vpc.id, interface: sender, scope };
        Next { interface, vpc, host, origin, peering: None, translation: Translation::NONE, track }
    }
}

/// What a packet may be sent to or come from: not multicast, broadcast, link-local, loopback, unspecified, nor the ranges that
/// the cloud keeps for its own services (spec 4.4.2, 11.2 step 3).
pub(crate) fn is_unicast(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(a) => {
            !(a.is_multicast() || a.is_broadcast() || a.is_link_local() || a.is_loopback() || a.octets()[0] == 0)
        }
        IpAddr::V6(a) => {
            let services = a.segments()[..2] == [0xfd00, 0x0ec2];
            let is_mapped = a.to_ipv4_mapped().is_some();
            !(a.is_multicast()
                || a.is_unicast_link_local()
                || a.is_loopback()
                || a.is_unspecified()
                || services
                || is_mapped)
        }
    }
}
