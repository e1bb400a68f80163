//! May a packet be delivered to this interface? The receiving half of the packet walk (spec 11.2, steps 11-13).
//!
//! The receiver believes nothing: that the sender's VPC is who may reach it, and that the source address is the sender's, is
//! checked once more in the receiver's own view (spec 14.8, I2 and I3).

use model::{AclAction, Direction, NetworkInterfaceId, PeeringId, SecurityGroupId};

use crate::internet::is_private;
use crate::leave::is_unicast;
use crate::tables::{Endpoint, NOWHERE, OWN, PeeringTables, Tables, VpcIndex, VpcTables};
use crate::{Admit, Denied, Flow, Internet, L4, NatCause, Origin, Scope, Step, Track, Tracked, Trail};

const INGRESS: Direction = Direction::Ingress;

/// Judges a packet that comes to a guest.
///
/// `origin` is [`Next::origin`](crate::Next::origin), or [`Tables::origin`] for a packet from another host. `seen` is what
/// [`Conntrack::lookup`](crate::Conntrack::lookup) said for the interface and this direction. On success the caller commits
/// [`Admit::track`].
pub fn ingress(
    tables: &Tables,
    to: NetworkInterfaceId,
    origin: &Origin,
    flow: &Flow,
    seen: Option<Tracked>,
    trail: &mut impl Trail,
) -> Result<Admit, Denied> {
    let verdict = walk(tables, to, origin, flow, seen, trail);
    if let Err(denied) = verdict {
        trail.step(Step::Denied(denied));
    }
    verdict
}

/// What the origin's claim is worth, once it is found true.
struct Claim {
    peering: Option<PeeringId>,
    /// Where the sender's VPC stands.
    vpc: VpcIndex,
    /// The sender is known, not only its VPC.
    is_preserved: bool,
    is_same_subnet: bool,
}

/// A packet on its way to `y`.
struct Arriving<'t, 'f> {
    internet: &'t Internet,
    vpc: &'t VpcTables,
    y: &'t Endpoint,
    flow: &'f Flow,
    origin: &'f Origin,
    seen: Option<Tracked>,
}

fn walk(
    tables: &Tables,
    to: NetworkInterfaceId,
    origin: &Origin,
    flow: &Flow,
    seen: Option<Tracked>,
    trail: &mut impl Trail,
) -> Result<Admit, Denied> {
    let down = Denied::DestinationDown { interface: to };
    let (vpc, y) = tables.endpoint(to).ok_or(down)?;
    let edge = vpc.subnet(y);
    trail.step(Step::Interface { direction: INGRESS, interface: y.id, subnet: edge.subnet.id, vpc: vpc.id });
    let arriving = Arriving { internet: tables.internet(), vpc, y, flow, origin, seen };
    let claim = arriving.check_claim(trail)?;
    arriving.check_gateway()?;
    if claim.is_same_subnet {
        trail.step(Step::OnLink { subnet: edge.subnet.id });
    } else {
        arriving.ask_acl(trail)?;
    }
    if !y.is_up {
        return Err(down);
    }
    if y.source_dest_check && !y.owns(flow.dst) {
        return Err(Denied::SourceCheckIngress { interface: y.id, address: flow.dst });
    }
    let track = arriving.ask_groups(&claim, seen, trail)?;
    Ok(Admit { peering: claim.peering, track })
}

impl Arriving<'_, '_> {
    /// Step 11: the receiver's own view of the link.
    fn check_claim(&self, trail: &mut impl Trail) -> Result<Claim, Denied> {
        let Flow { src, dst, .. } = *self.flow;
        if src.is_ipv4() != dst.is_ipv4() {
            return Err(Denied::Malformed);
        }
        if !is_unicast(dst) {
            return Err(Denied::NotUnicast { address: dst });
        }
        if !is_unicast(src) {
            return Err(self.disagrees());
        }
        match self.origin.scope {
            Scope::Vpc => self.check_same_vpc(),
            Scope::Peering(id) => {
                let unknown = Denied::PeeringNotActive { peering: Some(id), status: None };
                let (peering, vpc) = self.vpc.peering(id).ok_or(unknown)?;
                self.check_peering(peering, trail)?;
                self.check_sender(vpc)?;
                Ok(Claim { peering: Some(id), vpc, is_preserved: true, is_same_subnet: false })
            }
            Scope::RouteTarget(target) => self.check_route_target(target, trail),
            Scope::Internet => self.check_internet(trail),
        }
    }

    /// In through the VPC's Internet gateway, to an interface of this VPC that has a public address (spec 8.8). Who sent it is known by
    /// its public address alone, which no group reference matches.
    fn check_internet(&self, trail: &mut impl Trail) -> Result<Claim, Denied> {
        let Flow { src, dst, .. } = *self.flow;
        let unmapped = Denied::GatewayNoMapping { address: dst };
        let public = self.y.public(dst);
        match self.vpc.gateway {
            Some(gateway) => trail.step(Step::Gateway { direction: INGRESS, gateway, public }),
            // An egress-only gateway lets in what answers, and nothing else.
            None if self.is_answer_from_outside() => {}
            None => return Err(unmapped),
        }
        if is_private(src) {
            return Err(Denied::GatewayPrivateAddress { direction: INGRESS, address: src });
        }
        let is_error = matches!(self.flow.l4, L4::IcmpError { .. });
        let sender = self.internet.sender(src).filter(|at| at.vpc == self.origin.vpc);
        let sender = sender.filter(|_| is_error || !self.internet.is_router(src));
        if sender.is_none() || sender.map(|at| at.interface) != self.origin.interface {
            return Err(self.disagrees());
        }
        public.ok_or(unmapped)?;
        Ok(Claim { peering: None, vpc: NOWHERE, is_preserved: false, is_same_subnet: false })
    }

    fn is_answer_from_outside(&self) -> bool {
        let is_known = matches!(self.seen, Some(Tracked::Established | Tracked::Related));
        self.vpc.is_egress_only && self.flow.dst.is_ipv6() && is_known
    }

    fn check_same_vpc(&self) -> Result<Claim, Denied> {
        if self.origin.vpc != self.vpc.id {
            return Err(self.disagrees());
        }
        self.check_sender(OWN)?;
        let is_same_subnet = self.vpc.at(self.flow.src).is_some_and(|x| x.subnet == self.y.subnet);
        Ok(Claim { peering: None, vpc: OWN, is_preserved: true, is_same_subnet })
    }

    /// Of a routed or forwarded packet only the VPC is known. From another VPC it may come for the interface itself only.
    fn check_route_target(&self, target: NetworkInterfaceId, trail: &mut impl Trail) -> Result<Claim, Denied> {
        if target != self.y.id {
            return Err(self.disagrees());
        }
        if self.origin.vpc == self.vpc.id {
            return Ok(Claim { peering: None, vpc: OWN, is_preserved: false, is_same_subnet: false });
        }
        let unknown = Denied::PeeringNotActive { peering: None, status: None };
        let (peering, vpc) = self.vpc.peering_with(self.origin.vpc).ok_or(unknown)?;
        self.check_peering(peering, trail)?;
        if !peering.other_contains(self.flow.src) || !self.y.owns(self.flow.dst) {
            return Err(self.disagrees());
        }
        Ok(Claim { peering: Some(peering.id), vpc, is_preserved: false, is_same_subnet: false })
    }

    /// The peering is active, between the two VPCs, and the destination is in this one.
    fn check_peering(&self, peering: &PeeringTables, trail: &mut impl Trail) -> Result<(), Denied> {
        let id = peering.id;
        trail.step(Step::Peering { direction: INGRESS, peering: id, status: peering.status });
        if !peering.is_active() {
            return Err(Denied::PeeringNotActive { peering: Some(id), status: Some(peering.status) });
        }
        if peering.other_vpc() != Some(self.origin.vpc) {
            return Err(Denied::PeeringOfOthers { peering: id, vpc: self.origin.vpc });
        }
        if !self.vpc.contains(self.flow.dst) {
            return Err(Denied::OutsidePeer { peering: id, address: self.flow.dst });
        }
        Ok(())
    }

    /// The source address is the claimed sender's in that VPC, and the destination address is this interface's.
    fn check_sender(&self, vpc: VpcIndex) -> Result<(), Denied> {
        let owner = self.vpc.owner(vpc, self.flow.src).map(|owner| owner.interface);
        let is_true = owner.is_some() && owner == self.origin.interface;
        // With the check on, the same fault has its own name further on (D21).
        let is_mine = self.y.owns(self.flow.dst) || self.y.source_dest_check;
        if is_true && is_mine { Ok(()) } else { Err(self.disagrees()) }
    }

    /// A NAT gateway translates what its own VPC sends, and what answers that (spec 8.8).
    fn check_gateway(&self) -> Result<(), Denied> {
        let Arriving { vpc, y, flow, .. } = self;
        let is_served = !y.is_nat || y.owns(flow.dst) || vpc.contains(flow.src);
        let cause = NatCause::SourceOutsideVpc;
        if is_served { Ok(()) } else { Err(Denied::NatExhausted { gateway: y.id, cause }) }
    }

    fn disagrees(&self) -> Denied {
        Denied::SenderDisagrees { vpc: self.origin.vpc, address: self.flow.src }
    }

    fn ask_acl(&self, trail: &mut impl Trail) -> Result<(), Denied> {
        let acl = &self.vpc.subnet(self.y).acl;
        let (number, action) = acl.judge(INGRESS, self.flow);
        trail.step(Step::Acl { direction: INGRESS, acl: acl.id, number, action });
        match action {
            AclAction::Allow => Ok(()),
            AclAction::Deny => Err(Denied::AclIngress { acl: acl.id, number }),
        }
    }

    /// Step 13.
    fn ask_groups(&self, claim: &Claim, seen: Option<Tracked>, trail: &mut impl Trail) -> Result<Track, Denied> {
        let Arriving { y, flow, .. } = self;
        if y.is_nat {
            return Ok(Track::Related);
        }
        trail.step(Step::Tracking { interface: y.id, seen });
        if let Some(track) = seen.and_then(Tracked::passes_groups) {
            trail.step(Step::Group { direction: INGRESS, interface: y.id, rule: None, track });
            return Ok(track);
        }
        let asks = self.vpc.rules(y).has_references(INGRESS);
        let groups = if asks { self.vpc.groups_at(claim.vpc, flow.src) } else { &[] };
        let borne = |vpc| if claim.is_preserved && vpc == claim.vpc { groups } else { &[] };
        let rule = self.vpc.rules(y).admits(INGRESS, flow, borne).ok_or_else(|| self.group_denial(claim, groups))?;
        let track = self.vpc.rules(y).track(INGRESS, flow, seen);
        trail.step(Step::Group { direction: INGRESS, interface: y.id, rule: Some(rule), track });
        Ok(track)
    }

    fn group_denial(&self, claim: &Claim, groups: &[SecurityGroupId]) -> Denied {
        let rules = self.vpc.rules(self.y);
        match rules.would_admit(INGRESS, self.flow, claim.vpc, groups, claim.is_preserved) {
            Some((rule, group, cause)) => Denied::ReferenceNotApplicable { rule: rule.rule, group, cause },
            None => Denied::GroupIngress { interface: self.y.id, has_rules: rules.has_rules(INGRESS) },
        }
    }
}
