//! May a security group's rules let it through? (spec ch. 6)

use std::net::IpAddr;

use model::{
    Direction, IpProtocol, NetworkInterface, Peering, PeeringStatus, Ports, RouteTarget, RulePeer, SecurityGroup,
    SecurityGroupId, SecurityGroupRule, Vpc, VpcId, World,
};

use super::matching::{inside, listed, means};
use super::tracking::{Known, Remember, is_opening, other};
use super::{Place, Sender, is_up, owner, owns, sides};
use crate::packet::{Body, Packet};

/// Whose the destination address is, for a rule that names a group.
pub(super) enum Toward {
    Vpc(VpcId),
    Middlebox,
    Nowhere,
}

pub(super) fn rules<'w>(at: &Place<'w>, way: Direction) -> Vec<&'w SecurityGroupRule> {
    // 6.1.1: "All rules of all SGs of an ENI are united; no deny, no order".
    let groups = at.eni.groups.iter().filter_map(|id| at.world.find::<SecurityGroup>(id));
    groups.flat_map(|group| group.rules.values()).filter(|rule| rule.direction == way).collect()
}

/// Step 4 or 13. `None`: nothing admits the packet.
pub(super) fn ask_groups(
    at: &Place<'_>,
    way: Direction,
    packet: &Packet,
    known: Known,
    admits: impl Fn(&SecurityGroupRule) -> bool,
) -> Option<Remember> {
    match known {
        // 6.1.2: "replies to an allowed flow pass regardless of rules".
        Known::Tracked | Known::Related => Some(Remember::GoOn),
        // 6.4.2: "then every packet is judged by the rules alone".
        Known::AnswerOfUntracked => {
            let admitted = rules(at, way).into_iter().any(admits);
            admitted.then_some(Remember::Untracked { begun_by: other(way) })
        }
        Known::Nothing => rules(at, way).into_iter().any(admits).then(|| how(at, way, packet)),
    }
}

/// 6.4.2: "a TCP or UDP flow is not tracked if it is allowed by a rule for 0.0.0.0/0 (or ::/0) and the opposite direction has a rule allowing
/// 0.0.0.0/0 (or ::/0) on ALL ports for the response". A packet of no known flow may be the answer in such a flow, but not if it opens one.
fn how(at: &Place<'_>, way: Direction, packet: &Packet) -> Remember {
    let (Body::Tcp { sport, dport, .. } | Body::Udp { sport, dport }) = packet.body else { return Remember::Begin };
    let protocol = packet.protocol();
    let open = |way: Direction, from: u16, to: u16| {
        rules(at, way).into_iter().any(|rule| {
            // An entry of a list is a rule of its own.
            let blocks = match rule.peer {
                RulePeer::Cidr(block) => vec![block],
                RulePeer::PrefixList(list) => listed(at.world, list),
                RulePeer::Group { .. } => Vec::new(),
            };
            let is_everybody = blocks
                .into_iter()
                .any(|block| block.prefix_len() == 0 && matches!(block, model::Cidr::V4(_)) == packet.src.is_ipv4());
            let is_port = match (rule.protocol, rule.ports) {
                (IpProtocol::All, _) => true,
                (IpProtocol::Number(n), Ports::Range { from: low, to: high }) => {
                    n == protocol && low <= from && to <= high
                }
                (IpProtocol::Number(n), Ports::Any) => n == protocol,
                _ => false,
            };
            is_everybody && is_port
        })
    };
    if open(way, dport, dport) && open(other(way), 0, u16::MAX) {
        Remember::Untracked { begun_by: way }
    } else if !is_opening(packet) && open(other(way), sport, sport) && open(way, 0, u16::MAX) {
        Remember::Untracked { begun_by: other(way) }
    } else {
        Remember::Begin
    }
}

/// 6.5.3, 6.6.2: the group exists, in this VPC or in one of the same region over an active peering.
fn is_live(at: &Place<'_>, group: SecurityGroupId, vpc: VpcId) -> bool {
    let exists = at.world.find::<SecurityGroup>(&group).is_some_and(|found| found.vpc == vpc);
    let is_peered = || {
        at.world.all::<Peering>().any(|pcx| {
            pcx.status == PeeringStatus::Active
                && sides(pcx, at.eni.vpc).is_some_and(|[own, peer]| peer.vpc == vpc && own.region == peer.region)
        })
    };
    exists && (vpc == at.eni.vpc || is_peered())
}

/// An interface of that VPC has the address and bears the group.
fn is_member(world: &World, group: SecurityGroupId, vpc: VpcId, address: IpAddr) -> bool {
    owner(world, vpc, address).is_some_and(|eni| eni.groups.contains(&group))
}

pub(super) fn rule_admits_egress(x: &Place<'_>, rule: &SecurityGroupRule, packet: &Packet, toward: &Toward) -> bool {
    let is_peer = match rule.peer {
        RulePeer::Cidr(block) => inside(packet.dst, block),
        // 4.8: "Usable as SG rule peer".
        RulePeer::PrefixList(list) => listed(x.world, list).into_iter().any(|block| inside(packet.dst, block)),
        // 6.5.1: "Egress rule with destination sg-D: same for the destination IP".
        RulePeer::Group { group, vpc, .. } => {
            let is_there = match toward {
                Toward::Vpc(there) => *there == vpc,
                Toward::Middlebox => false,
                Toward::Nowhere => true,
            };
            is_there && is_live(x, group, vpc) && is_member(x.world, group, vpc, packet.dst)
        }
    };
    is_peer && means(rule.protocol, rule.ports, packet)
}

pub(super) fn rule_admits_ingress(
    y: &Place<'_>,
    rule: &SecurityGroupRule,
    packet: &Packet,
    sender: Sender<'_>,
) -> bool {
    let is_peer = match (&rule.peer, sender) {
        (RulePeer::Cidr(block), _) => inside(packet.src, *block),
        (RulePeer::PrefixList(list), _) => listed(y.world, *list).into_iter().any(|block| inside(packet.src, block)),
        // 6.5.1: "matches iff the packet's source IP is a PRIVATE address currently assigned to an ENI having sg-S, and source VPC is the
        // VPC of sg-S"; 6.5.4: by the authenticated source.
        (RulePeer::Group { group, vpc, .. }, Sender::Known(x)) => {
            x.vpc == *vpc && x.groups.contains(group) && is_live(y, *group, *vpc)
        }
        // 6.5.5: "even with the original source IP preserved, the reference MUST NOT match".
        // 6.5.1: "never public IPs".
        (RulePeer::Group { .. }, Sender::Lost(_) | Sender::Public(_)) => false,
    };
    is_peer && means(rule.protocol, rule.ports, packet)
}

/// D23: "if a reference exists but is stale/not same region/not preserved": of a group of the sender's VPC that is gone, or that is borne by
/// whoever has the source address while the sender is lost.
pub(super) fn would_admit(y: &Place<'_>, rule: &SecurityGroupRule, packet: &Packet, sender: Sender<'_>) -> bool {
    let RulePeer::Group { group, vpc, .. } = rule.peer else { return false };
    let (from, is_lost) = match sender {
        Sender::Known(x) => (x.vpc, false),
        Sender::Lost(from) => (from, true),
        Sender::Public(_) => return false,
    };
    let is_wrong = !is_live(y, group, vpc) || (is_lost && is_member(y.world, group, vpc, packet.src));
    vpc == from && is_wrong && means(rule.protocol, rule.ports, packet)
}

/// Where the route leads, for a rule that names a group.
pub(super) fn toward(x: &Place<'_>, vpc: &Vpc, target: Option<RouteTarget>, dst: IpAddr) -> Toward {
    match target {
        Some(RouteTarget::Local) => Toward::Vpc(vpc.id),
        Some(RouteTarget::NetworkInterface(id)) => {
            match x.world.find::<NetworkInterface>(&id).filter(|via| is_up(x.world, via)) {
                Some(via) if owns(via, dst) => Toward::Vpc(vpc.id),
                Some(_) => Toward::Middlebox,
                None => Toward::Nowhere,
            }
        }
        Some(RouteTarget::Peering(id)) => {
            let active = x.world.find::<Peering>(&id).filter(|pcx| pcx.status == PeeringStatus::Active);
            match active.and_then(|pcx| sides(pcx, vpc.id)) {
                Some([_, peer]) => Toward::Vpc(peer.vpc),
                None => Toward::Nowhere,
            }
        }
        // 6.5.1: "never public IPs". Through one that is detached, the packet is lost anyway.
        Some(RouteTarget::InternetGateway(id)) => {
            let gateway = x.world.internet_gateways.get(&id);
            if gateway.is_some_and(|gateway| gateway.vpc == Some(vpc.id)) { Toward::Middlebox } else { Toward::Nowhere }
        }
        _ => Toward::Nowhere,
    }
}
