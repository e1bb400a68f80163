//! Is there a packet of the set that passes? One is tried of each class of ports that no rule tells apart.
//!
//! AWS asks for one feasible packet; so does this, and explains the first one where none is.

use std::collections::BTreeSet;
use std::net::IpAddr;

use model::insights::PortRange;
use model::{Direction, InternetGatewayId, IpProtocol, NetworkInterfaceId, PeeringId, Ports};
use policy::{Flow, L4, Step, TcpFlags};
use reach::{Answer, Memory, Network, OUTSIDE_INTERFACE, Question, QuestionError, Traffic, explain};

use super::asked::Packets;

/// Where the packets shall come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Goal {
    Interface(NetworkInterfaceId),
    /// Whoever has the destination address.
    Address,
    /// Into the peering, whatever is behind it.
    Peering(PeeringId),
    /// Out by the Internet gateway, to somebody outside who answers.
    Gateway(InternetGatewayId),
}

/// Two ends, and the addresses between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pair {
    pub(super) from: NetworkInterfaceId,
    pub(super) goal: Goal,
    /// `None`: the sender's first.
    pub(super) source: Option<IpAddr>,
    /// `None`: the receiver's first.
    pub(super) destination: Option<IpAddr>,
}

/// The packet that was looked at, and those that share its fate.
pub(super) struct Found {
    pub(super) answer: Answer,
    pub(super) source_ports: PortRange,
    pub(super) destination_ports: PortRange,
    /// Every class was tried, or one passes.
    pub(super) is_exhaustive: bool,
}

/// More combinations than this are not tried: a request waits for its answer, and others for theirs.
const TRIES_MAX: usize = 4096;

/// The port from which a client's packets most often come: the first that Linux gives to those who do not choose.
const CLIENT_PORT: u16 = 32_768;

/// Looks for a packet that passes between one of the pairs, which are not none.
///
/// # Errors
/// An end that has no address of the family.
pub(super) fn search(network: &Network, pairs: &[Pair], packets: &Packets) -> Result<Found, QuestionError> {
    let sources = classes(network, packets.protocol, packets.source_ports);
    let destinations = classes(network, packets.protocol, packets.destination_ports);
    // The first of each pair, which a closer look may tell apart.
    let mut firsts: Vec<(Pair, Asked)> = Vec::new();
    let mut tries = 0;
    let mut error = None;
    for pair in pairs {
        for destination_ports in &destinations {
            for source_ports in &sources {
                if tries == TRIES_MAX {
                    break;
                }
                tries += 1;
                let question = match question(network, pair, packets, source_ports.from, destination_ports.from) {
                    Ok(question) => question,
                    Err(why) => {
                        error.get_or_insert(why);
                        continue;
                    }
                };
                let is_open = passes(network, pair.goal, &question);
                let case = (question, *source_ports, *destination_ports);
                if is_open {
                    return Ok(found(network, case, true));
                }
                if firsts.last().is_none_or(|(last, _)| last != pair) {
                    firsts.push((*pair, case));
                }
            }
        }
    }
    let all = pairs.len().saturating_mul(destinations.len()).saturating_mul(sources.len());
    match (nearest(network, firsts), error) {
        (Some(case), _) => Ok(found(network, case, tries == all)),
        (None, Some(error)) => Err(error),
        (None, None) => Err(QuestionError::TooManyPorts),
    }
}

/// A packet, and the ports that share its fate.
type Asked = (Question, PortRange, PortRange);

/// So many addresses of one end are looked at closely.
const NEAREST_MAX: usize = 8;

/// Of the addresses of the first pair's ends the one in whose way the least stands.
fn nearest(network: &Network, firsts: Vec<(Pair, Asked)>) -> Option<Asked> {
    let (Pair { from, goal, .. }, _) = *firsts.first()?;
    let alike = firsts.into_iter().filter(|(pair, _)| (pair.from, pair.goal) == (from, goal));
    let mut alike: Vec<Asked> = alike.map(|(_, case)| case).take(NEAREST_MAX).collect();
    if alike.len() > 1 {
        alike.sort_by_cached_key(|(question, ..)| explain(network, question).blockers.len());
    }
    alike.into_iter().next()
}

fn found(network: &Network, case: Asked, is_exhaustive: bool) -> Found {
    let (question, source_ports, destination_ports) = case;
    Found { answer: explain(network, &question), source_ports, destination_ports, is_exhaustive }
}

fn question(
    network: &Network,
    pair: &Pair,
    packets: &Packets,
    source: u16,
    destination: u16,
) -> Result<Question, QuestionError> {
    let Pair { from, goal, .. } = *pair;
    let is_ipv6 = pair.source.or(pair.destination).is_some_and(|address| address.is_ipv6());
    let src = pair.source.map_or_else(|| network.address(from, is_ipv6), Ok)?;
    let (to, dst) = match (goal, pair.destination) {
        (Goal::Interface(to), dst) => (Some(to), dst.map_or_else(|| network.address(to, is_ipv6), Ok)?),
        (Goal::Gateway(_), Some(dst)) => (Some(OUTSIDE_INTERFACE), dst),
        (_, Some(dst)) => (None, dst),
        (_, None) => return Err(QuestionError::NoInterface(from)),
    };
    if src.is_ipv4() != dst.is_ipv4() {
        return Err(QuestionError::Families { source: src, destination: dst });
    }
    let is_tcp = packets.protocol == IpProtocol::TCP;
    let traffic = if is_tcp { Traffic::Tcp { source, destination } } else { Traffic::Udp { source, destination } };
    // The way back counts for TCP only, and ends at the peering where the way there does (spec 12.2.5).
    let is_one_way = !is_tcp || matches!(goal, Goal::Peering(_));
    Ok(Question { from, to, flow: traffic.flow(src, dst), is_one_way })
}

/// The packet passes as things are, and its reply too if that was asked.
fn passes(network: &Network, goal: Goal, question: &Question) -> bool {
    let mut memory = Memory::default();
    let there = network.walk(question.from, &question.flow, &mut memory);
    if let Goal::Peering(peering) = goal {
        return crosses(there.legs.iter().flat_map(|leg| &leg.steps), peering);
    }
    if let Goal::Gateway(gateway) = goal
        && !leaves(there.legs.iter().flat_map(|leg| &leg.steps), gateway)
    {
        return false;
    }
    let Ok(to) = there.outcome() else { return false };
    if question.to.is_some_and(|wanted| wanted != to) {
        return false;
    }
    match answering(&there.arrived()).filter(|_| !question.is_one_way) {
        None => true,
        Some(reply) => network.walk(to, &reply, &mut memory).outcome() == Ok(question.from),
    }
}

/// The packet gets to the peering; what it says of the addresses is the same for all ports.
pub(super) fn crosses<'s>(mut steps: impl Iterator<Item = &'s Step>, wanted: PeeringId) -> bool {
    steps.any(|step| matches!(step, Step::Peering { direction: Direction::Egress, peering, .. } if *peering == wanted))
}

/// The packet goes out by the gateway.
pub(super) fn leaves<'s>(mut steps: impl Iterator<Item = &'s Step>, wanted: InternetGatewayId) -> bool {
    steps.any(|step| matches!(step, Step::Gateway { direction: Direction::Egress, gateway, .. } if *gateway == wanted))
}

fn answering(flow: &Flow) -> Option<Flow> {
    match flow.l4 {
        L4::Tcp { src, dst, .. } => Some(Flow::tcp(flow.dst, dst, flow.src, src, TcpFlags::SYN_ACK)),
        _ => None,
    }
}

/// The parts of a range that no rule of these VPCs divides; the one with [`CLIENT_PORT`] first, the others in order.
fn classes(network: &Network, protocol: IpProtocol, range: PortRange) -> Vec<PortRange> {
    let mut starts = BTreeSet::from([range.from]);
    let mut add = |of_rule: IpProtocol, ports: Ports| {
        if let (true, Ports::Range { from, to }) = (of_rule == protocol || of_rule == IpProtocol::All, ports) {
            let divides = |port: &u16| (range.from..=range.to).contains(port);
            starts.extend([Some(from), to.checked_add(1)].into_iter().flatten().filter(divides));
        }
    };
    for slice in network.slices() {
        slice.security_groups.iter().flat_map(|group| group.rules.values()).for_each(|r| add(r.protocol, r.ports));
        let entries = slice.network_acls.iter().flat_map(|acl| acl.ingress.values().chain(acl.egress.values()));
        entries.for_each(|entry| add(entry.protocol, entry.ports));
    }
    let starts: Vec<u16> = starts.into_iter().collect();
    let ends = starts.iter().skip(1).map(|next| next - 1).chain([range.to]);
    let mut classes: Vec<PortRange> = starts.iter().zip(ends).map(|(from, to)| PortRange { from: *from, to }).collect();
    if let Some(at) = classes.iter().position(|class| (class.from..=class.to).contains(&CLIENT_PORT)) {
        let first = classes.remove(at);
        classes.insert(0, first);
    }
    classes
}
