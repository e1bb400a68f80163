//! Everything that stands in a packet's way: lift one, ask again (architecture ch. 5).

use alloc::vec::Vec;

use model::{Direction, NetworkInterfaceId, VpcId};
use policy::{Denied, Flow, Step, Translation};

use crate::answer::{Answer, Blocker, Cause, Hop, Path, Place, Stage, Way};
use crate::question::{Question, reply};
use crate::remedy::remedy;
use crate::walk::{Leg, Memory, Walk};
use crate::{Mend, Network};

/// More than there are stages on the longest way that is followed, there and back.
const BLOCKERS_MAX: usize = 32;

/// Answers a question.
pub fn explain(network: &Network, question: &Question) -> Answer {
    let mut network = network.clone();
    let mut attempt = Attempt::new(&network, question);
    let mut blockers: Vec<Blocker> = Vec::new();
    let mut is_complete = true;
    while let Some(stop) = attempt.stop.take() {
        let mends = remedy(&network, question, &stop);
        let mut mended = network.clone();
        mends.iter().for_each(|mend| mend.make(&mut mended));
        let next = Attempt::new(&mended, question);
        let is_lifted = !mends.is_empty() && next.stop.as_ref().is_none_or(|again| !again.is_same(&stop));
        // What another side must do, of which nothing but the name is known here, cannot be tried.
        let is_blind = mends.iter().any(|mend| network.slice(mend.place().vpc).is_none());
        let mends = if is_lifted || is_blind { mends } else { Vec::new() };
        blockers.extend(stop.blocker(&network, mends));
        if !is_lifted || blockers.len() == BLOCKERS_MAX {
            is_complete = false;
            break;
        }
        (network, attempt) = (mended, next);
    }
    let mut forward = ladder(&network, Way::Forward, question.flow, &attempt.forward);
    let mut back = attempt.back.map(|(flow, walk)| ladder(&network, Way::Back, flow, &walk));
    for (at, blocker) in blockers.iter().enumerate() {
        match (blocker.way, &mut back) {
            (Way::Back, Some(back)) => mark(back, at, blocker),
            _ => mark(&mut forward, at, blocker),
        }
    }
    Answer { question: question.clone(), forward, back, blockers, is_complete }
}

/// The packet's way as things are, as far as it comes. What would mend it is not looked for.
pub fn trace(network: &Network, question: &Question) -> Path {
    let walk = network.walk(question.from, &question.flow, &mut Memory::default());
    ladder(network, Way::Forward, question.flow, &walk)
}

/// What first stands in the way; `None`: nothing.
pub(crate) fn obstacle(network: &Network, question: &Question) -> Option<(Way, usize, Stage, Cause)> {
    Attempt::new(network, question).stop.map(|stop| (stop.way, stop.leg, stop.stage, stop.cause))
}

/// The same, and where.
pub(crate) fn seen_obstacle(
    network: &Network,
    question: &Question,
) -> Option<(Way, usize, Stage, Cause, Option<Place>)> {
    let stop = Attempt::new(network, question).stop?;
    let place = stop.vpc(network).and_then(|vpc| network.place(vpc, None));
    Some((stop.way, stop.leg, stop.stage, stop.cause, place))
}

/// One try.
struct Attempt {
    forward: Walk,
    /// Only of a packet that arrives.
    back: Option<(Flow, Walk)>,
    stop: Option<Stop>,
}

impl Attempt {
    fn new(network: &Network, question: &Question) -> Attempt {
        let mut memory = Memory::default();
        let flow = question.flow;
        let forward = network.walk(question.from, &flow, &mut memory);
        if let Some(stop) = Stop::of(Way::Forward, &forward, question.to) {
            return Attempt { forward, back: None, stop: Some(stop) };
        }
        let answering = forward.outcome().ok().zip(reply(&forward.arrived())).filter(|_| !question.is_one_way);
        let back = answering.map(|(from, flow)| (flow, network.walk(from, &flow, &mut memory)));
        let stop = back.as_ref().and_then(|(_, walk)| Stop::of(Way::Back, walk, Some(question.from)));
        Attempt { forward, back, stop }
    }
}

/// Where a packet ends that should have gone on.
pub(crate) struct Stop {
    pub(crate) way: Way,
    leg: usize,
    pub(crate) stage: Stage,
    pub(crate) cause: Cause,
    pub(crate) flow: Flow,
    pub(crate) steps: Vec<Step>,
    /// Who sent it on this leg.
    pub(crate) from: NetworkInterfaceId,
}

impl Stop {
    /// `None`: it arrives where it shall.
    fn of(way: Way, walk: &Walk, wanted: Option<NetworkInterfaceId>) -> Option<Stop> {
        let leg @ Leg { from, steps, outcome, .. } = walk.last();
        let flow = if received(steps).is_some() { leg.arrived() } else { leg.flow };
        let (cause, stage) = match *outcome {
            Err(denied) => (Cause::Denied(denied), stage_of(&denied, steps)),
            Ok(to) if wanted.is_some_and(|wanted| wanted != to) => {
                (Cause::Elsewhere { interface: Some(to), owner: None }, Stage::Route)
            }
            Ok(_) => return None,
        };
        Some(Stop { way, leg: walk.legs.len() - 1, stage, cause, flow, steps: steps.clone(), from: *from })
    }

    fn is_same(&self, other: &Stop) -> bool {
        (self.way, self.leg, self.stage, self.cause) == (other.way, other.leg, other.stage, other.cause)
    }

    /// The interface that received it on this leg, as far as it came.
    pub(crate) fn receiver(&self) -> Option<NetworkInterfaceId> {
        received(&self.steps)
    }

    /// The interface whose side refuses.
    pub(crate) fn interface(&self) -> NetworkInterfaceId {
        self.receiver().unwrap_or(self.from)
    }

    /// The VPC on whose side it ends. What a peering's blocks say of a destination is the sender's business, who has it is the owner's.
    fn vpc(&self, network: &Network) -> Option<VpcId> {
        match self.cause {
            Cause::Denied(Denied::NoOwner { vpc, .. }) => Some(vpc),
            // Whoever holds the address has no gateway, where somebody does.
            Cause::Denied(Denied::GatewayNoMapping { address }) => {
                let holder = network.internet().find(address).flatten().map(|at| at.vpc);
                holder.filter(|vpc| network.slice(*vpc).is_some()).or_else(|| network.vpc_of(self.interface()))
            }
            // Refused where it would have come in, before anybody there has it.
            Cause::Denied(Denied::GatewayPrivateAddress { direction: Direction::Ingress, .. }) => {
                let meant = self.steps.iter().rev().find_map(|step| match step {
                    Step::Destination { vpc, .. } => Some(*vpc),
                    _ => None,
                });
                meant.or_else(|| network.vpc_of(self.interface()))
            }
            Cause::Denied(Denied::DestinationDown { interface }) => network.vpc_of(interface),
            Cause::Elsewhere { .. } => network.vpc_of(self.from),
            _ => network.vpc_of(self.interface()),
        }
    }

    fn blocker(self, network: &Network, mends: Vec<Mend>) -> Option<Blocker> {
        let vpc = self.vpc(network).or_else(|| network.vpc_of(self.from))?;
        let endpoint = network.endpoint(self.interface()).filter(|endpoint| endpoint.interface.vpc == vpc);
        let place = network.place(vpc, endpoint.map(|endpoint| endpoint.interface.subnet))?;
        let groups = match self.stage {
            Stage::Groups(_) => endpoint.map(|endpoint| endpoint.interface.groups.iter().copied().collect()),
            _ => None,
        };
        let acl = match self.cause {
            Cause::Denied(Denied::AclEgress { acl, .. } | Denied::AclIngress { acl, .. }) => Some(acl),
            _ => None,
        };
        let Stop { way, leg, stage, mut cause, flow, steps, .. } = self;
        if let Cause::Elsewhere { interface: Some(interface), owner } = &mut cause {
            *owner = network.endpoint(*interface).map(|endpoint| endpoint.interface.owner);
        }
        Some(Blocker { way, leg, stage, cause, place, flow, steps, groups: groups.unwrap_or_default(), acl, mends })
    }
}

/// The interface that a leg's steps reach.
fn received(steps: &[Step]) -> Option<NetworkInterfaceId> {
    steps.iter().find_map(|step| match step {
        Step::Interface { direction: Direction::Ingress, interface, .. } => Some(*interface),
        _ => None,
    })
}

/// At which stage a refusal is made.
fn stage_of(denied: &Denied, steps: &[Step]) -> Stage {
    let side = if received(steps).is_some() { Direction::Ingress } else { Direction::Egress };
    match denied {
        Denied::GroupEgress { .. } => Stage::Groups(Direction::Egress),
        Denied::GroupIngress { .. } | Denied::ReferenceNotApplicable { .. } => Stage::Groups(Direction::Ingress),
        Denied::ConntrackFull { .. } => Stage::Groups(side),
        Denied::AclEgress { .. } => Stage::Acl(Direction::Egress),
        Denied::AclIngress { .. } => Stage::Acl(Direction::Ingress),
        Denied::NoRoute { .. } | Denied::Blackhole { .. } | Denied::TargetNotCarried { .. } => Stage::Route,
        Denied::PeeringNotActive { .. }
        | Denied::PeeringOfOthers { .. }
        | Denied::OutsidePeer { .. }
        | Denied::OutsideOwn { .. } => Stage::Peering(side),
        Denied::GatewayPrivateAddress { direction, .. } => Stage::Gateway(*direction),
        Denied::GatewayNoPublicAddress | Denied::GatewayNoMapping { .. } => Stage::Gateway(side),
        Denied::NatExhausted { .. } => Stage::Nat,
        Denied::NoOwner { .. } => Stage::Destination,
        Denied::SenderDisagrees { .. } => Stage::Claim,
        Denied::DestinationDown { .. } | Denied::SourceCheckIngress { .. } => Stage::Interface(Direction::Ingress),
        _ => Stage::Interface(side),
    }
}

/// The hops of a walk.
fn ladder(network: &Network, way: Way, flow: Flow, walk: &Walk) -> Path {
    let of_leg = |(leg, walked): (usize, &Leg)| {
        let mut at = network.place_of(walked.from);
        let (Translation { src, dst, .. }, mut now) = (walked.translation, walked.flow);
        let hops = walked.steps.iter().filter_map(|step| {
            let stage = match *step {
                Step::Interface { direction, interface, .. } => {
                    at = network.place_of(interface);
                    Stage::Interface(direction)
                }
                Step::Group { direction, .. } => Stage::Groups(direction),
                Step::Acl { direction, .. } => Stage::Acl(direction),
                Step::OnLink { .. } => Stage::OnLink,
                Step::Route { .. } => Stage::Route,
                Step::Peering { direction, .. } => Stage::Peering(direction),
                Step::Gateway { direction, .. } | Step::EgressOnly { direction, .. } => Stage::Gateway(direction),
                Step::Nat { .. } => Stage::Nat,
                Step::Destination { .. } => Stage::Destination,
                _ => return None,
            };
            let before = now;
            now = match stage {
                Stage::Gateway(Direction::Egress) => Translation { src, ..Translation::NONE }.flow(&before),
                Stage::Gateway(Direction::Ingress) => Translation { dst, ..Translation::NONE }.flow(&before),
                Stage::Nat => walk.legs.get(leg + 1).map_or(before, |next| next.flow),
                _ => before,
            };
            let place = match *step {
                Step::Destination { vpc, .. } => network.place(vpc, None),
                _ => at,
            };
            let step = match *step {
                Step::Destination { interface, vpc, host } => {
                    Step::Destination { interface, vpc, host: network.real_host(host) }
                }
                other => other,
            };
            Some(Hop { leg, stage, step: Some(step), place: place?, before, after: now, blockers: Vec::new() })
        });
        hops.collect::<Vec<_>>()
    };
    Path { way, flow, hops: walk.legs.iter().enumerate().flat_map(of_leg).collect() }
}

/// Puts a blocker to its hop; where the packet never got that far, to a hop of its own.
fn mark(path: &mut Path, at: usize, blocker: &Blocker) {
    let is_there = |hop: &&mut Hop| hop.stage == blocker.stage && hop.leg == blocker.leg;
    if let Some(hop) = path.hops.iter_mut().find(is_there) {
        return hop.blockers.push(at);
    }
    let (before, after) = (blocker.flow, blocker.flow);
    let Blocker { leg, stage, place, .. } = *blocker;
    path.hops.push(Hop { leg, stage, step: None, place, before, after, blockers: Vec::from([at]) });
}
