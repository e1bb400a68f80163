//! A ladder of hops as AWS shows a path: one component for each thing that decides (spec 12.2.3).
//!
//! In order from X to Y over a peering: instance, interface, group, ACL, route table, peering, ACL, group, interface, instance.

use model::insights::{AdditionalDetail, Component, Explanation, PacketHeader, PathComponent, PathEnd, PortRange};
use model::{Cidr, Direction, NetworkInterface, NetworkInterfaceId};
use policy::{Denied, Flow, L4, Step};
use reach::{Answer, Blocker, Cause, Hop, Place, Stage};

use super::COMPONENTS_MAX;
use super::component::Names;
use super::explain::explain;

pub(super) struct Stages<'a> {
    pub(super) names: Names<'a>,
    pub(super) answer: &'a Answer,
    /// The end of another account that the caller named.
    pub(super) stranger: Option<PathEnd>,
}

impl Stages<'_> {
    /// The components of these hops; of one where something stands in the way, what that is about. `sent` is the first packet, for
    /// which the header speaks.
    pub(super) fn of<'h>(
        &self,
        hops: impl Iterator<Item = &'h Hop>,
        header: &PacketHeader,
        sent: &Flow,
    ) -> Vec<PathComponent> {
        let mut list = List { done: Vec::new(), arrival: Vec::new(), last: header.clone() };
        let mut sender = None;
        for hop in hops {
            let (before, after) = (header_of(&hop.before, header, sent), header_of(&hop.after, header, sent));
            let blockers: Vec<&Blocker> = hop.blockers.iter().filter_map(|at| self.answer.blockers.get(*at)).collect();
            let explanations: Vec<Explanation> = blockers.iter().map(|blocker| explain(&self.names, blocker)).collect();
            let stage = match blockers.first() {
                Some(blocker) => self.blocked(blocker).or_else(|| self.passed(hop)),
                None => self.passed(hop),
            };
            let stage = stage.map(|stage| PathComponent { explanations: explanations.clone(), ..stage });
            match (hop.stage, hop.step) {
                (Stage::Interface(Direction::Egress), Some(Step::Interface { interface, .. })) => {
                    list.arrive();
                    sender = Some(interface);
                    let instance = self.instance(interface, &hop.place);
                    if list.last_id() != instance.as_ref().map(|instance| instance.component.id.as_str()) {
                        list.done.extend(instance);
                    }
                    let outbound = Some(after.clone());
                    list.done.extend(stage.map(|stage| PathComponent { outbound, ..stage }));
                }
                (Stage::Interface(Direction::Ingress), Some(Step::Interface { interface, .. })) => {
                    let details = self.details(sender, interface);
                    let inbound = Some(before);
                    list.arrival.extend(stage.map(|stage| PathComponent { inbound, details, ..stage }));
                    list.arrival.extend(self.instance(interface, &hop.place));
                }
                (Stage::Gateway(_), _) => {
                    let (inbound, outbound) = (Some(before), Some(after.clone()));
                    match stage {
                        Some(stage) => list.done.push(PathComponent { inbound, outbound, ..stage }),
                        None => list.explain(explanations),
                    }
                }
                (Stage::Nat, Some(_)) => {
                    list.arrive();
                    let (inbound, outbound) = (Some(before), Some(after.clone()));
                    list.done.extend(stage.map(|stage| PathComponent { inbound, outbound, ..stage }));
                }
                _ => match stage {
                    Some(stage) => list.done.push(stage),
                    // Nothing of its own decides here: it is told where the packet last was.
                    None => list.explain(explanations),
                },
            }
            list.last = after;
        }
        list.arrive();
        list.done.truncate(COMPONENTS_MAX);
        for (stage, sequence) in list.done.iter_mut().zip(1..) {
            stage.sequence = sequence;
        }
        list.done
    }

    /// What a packet passed here.
    fn passed(&self, hop: &Hop) -> Option<PathComponent> {
        // Behind a blocker the ladder goes on as it would with that mended: what only the mend makes is not shown.
        let names = &self.names;
        let (flow, place) = (&hop.before, &hop.place);
        match hop.step {
            Some(Step::Interface { interface, .. }) => Some(self.interface(interface, place)),
            Some(Step::Group { rule: Some(rule), .. }) => {
                Some(PathComponent { group_rule: names.group_rule(rule), ..self.at(names.group(rule.group), place) })
            }
            Some(Step::Acl { direction, acl, number, .. }) => {
                let address = if direction == Direction::Egress { flow.dst } else { flow.src };
                let acl_rule = names.acl_rule(acl, direction, number, address);
                Some(PathComponent { acl_rule, ..self.at(names.acl(acl), place) })
            }
            Some(Step::Route { table, destination, target, state }) => {
                let route = names.route(table, destination, target, state);
                Some(PathComponent { route, ..self.in_vpc(names.table(table), place) })
            }
            Some(Step::Peering { direction: Direction::Egress, peering, .. })
                if names.world.peerings.contains_key(&peering) =>
            {
                Some(self.crossing(peering, place))
            }
            Some(Step::Gateway { gateway, .. }) if names.world.internet_gateways.contains_key(&gateway) => {
                Some(self.in_vpc(names.gateway(gateway), place))
            }
            Some(Step::EgressOnly { gateway, .. }) => Some(self.in_vpc(names.egress_only(gateway), place)),
            Some(Step::Nat { gateway, interface }) => {
                let attached_to = Some(names.interface(interface));
                Some(PathComponent { attached_to, ..self.at(names.nat_gateway(gateway), place) })
            }
            None if hop.stage == Stage::OtherSide => {
                let component = names.end(self.stranger?);
                Some(PathComponent { component, ..PathComponent::default() })
            }
            _ => None,
        }
    }

    /// What refuses a packet here, as it is today: what the ladder shows behind it is not there yet.
    fn blocked(&self, blocker: &Blocker) -> Option<PathComponent> {
        let names = &self.names;
        let place = &blocker.place;
        let Cause::Denied(denied) = blocker.cause else { return None };
        let found = match denied {
            Denied::GroupEgress { interface, .. } | Denied::GroupIngress { interface, .. } => {
                match blocker.groups.first() {
                    Some(group) => self.at(names.group(*group), place),
                    None => self.interface(interface, place),
                }
            }
            Denied::ReferenceNotApplicable { .. } => self.at(names.group(*blocker.groups.first()?), place),
            Denied::AclEgress { acl, number } => {
                let acl_rule = names.acl_rule(acl, Direction::Egress, number, blocker.flow.dst);
                PathComponent { acl_rule, ..self.at(names.acl(acl), place) }
            }
            Denied::AclIngress { acl, number } => {
                let acl_rule = names.acl_rule(acl, Direction::Ingress, number, blocker.flow.src);
                PathComponent { acl_rule, ..self.at(names.acl(acl), place) }
            }
            Denied::NoRoute { table } => self.in_vpc(names.table(table), place),
            Denied::Blackhole { table, .. } | Denied::TargetNotCarried { table, .. } => {
                let route = blocker.steps.iter().rev().find_map(|step| match *step {
                    Step::Route { table, destination, target, state } => names.route(table, destination, target, state),
                    _ => None,
                });
                PathComponent { route, ..self.in_vpc(names.table(table), place) }
            }
            Denied::PeeringNotActive { peering: Some(peering), .. }
            | Denied::PeeringOfOthers { peering, .. }
            | Denied::OutsidePeer { peering, .. }
            | Denied::OutsideOwn { peering, .. } => self.crossing(peering, place),
            Denied::SourceDown { interface }
            | Denied::DestinationDown { interface }
            | Denied::SourceCheckEgress { interface, .. }
            | Denied::SourceCheckIngress { interface, .. } => self.interface(interface, place),
            Denied::NatExhausted { gateway, .. } => self.at(names.nat_gateway_of(gateway)?, place),
            _ => return None,
        };
        Some(found)
    }

    fn interface(&self, id: NetworkInterfaceId, place: &Place) -> PathComponent {
        let attached_to = self.names.instance_of(id).or_else(|| self.names.nat_gateway_of(id));
        PathComponent { attached_to, ..self.at(self.names.interface(id), place) }
    }

    fn instance(&self, interface: NetworkInterfaceId, place: &Place) -> Option<PathComponent> {
        self.names.instance_of(interface).map(|instance| self.at(instance, place))
    }

    fn crossing(&self, peering: model::PeeringId, place: &Place) -> PathComponent {
        let names = &self.names;
        let other = names.world.find::<model::Peering>(&peering).and_then(|found| {
            let side = found.side_of(place.vpc)?.other();
            Some(names.vpc(found.side(side).vpc))
        });
        PathComponent {
            component: names.peering(peering),
            source_vpc: Some(names.vpc(place.vpc)),
            destination_vpc: other,
            ..PathComponent::default()
        }
    }

    fn at(&self, component: Component, place: &Place) -> PathComponent {
        let subnet = place.subnet.map(|subnet| self.names.subnet(subnet));
        PathComponent { subnet, ..self.in_vpc(component, place) }
    }

    fn in_vpc(&self, component: Component, place: &Place) -> PathComponent {
        PathComponent { component, vpc: Some(self.names.vpc(place.vpc)), ..PathComponent::default() }
    }

    fn details(&self, from: Option<NetworkInterfaceId>, to: NetworkInterfaceId) -> Vec<AdditionalDetail> {
        let zone = |id: NetworkInterfaceId| self.names.world.find::<NetworkInterface>(&id).map(|found| found.zone);
        let is_crossed = from.and_then(zone).zip(zone(to)).is_some_and(|(from, to)| from != to);
        let detail = AdditionalDetail { kind: "AVAILABILITY_ZONE_CROSSED".into() };
        if is_crossed { vec![detail] } else { Vec::new() }
    }
}

/// The packet's header at one point; ports that no gateway has changed are those of all that share its fate.
fn header_of(flow: &Flow, whole: &PacketHeader, sent: &Flow) -> PacketHeader {
    let ports = |now: Option<u16>, then: Option<u16>, class: &[PortRange]| match now {
        Some(port) if now != then => vec![PortRange { from: port, to: port }],
        _ => class.to_vec(),
    };
    PacketHeader {
        protocol: whole.protocol.clone(),
        source_addresses: vec![Cidr::host(flow.src).to_string()],
        source_ports: ports(source_port(flow), source_port(sent), &whole.source_ports),
        destination_addresses: vec![Cidr::host(flow.dst).to_string()],
        destination_ports: ports(flow.dst_port(), sent.dst_port(), &whole.destination_ports),
    }
}

fn source_port(flow: &Flow) -> Option<u16> {
    match flow.l4 {
        L4::Tcp { src, .. } | L4::Udp { src, .. } => Some(src),
        L4::IcmpQuery { .. } | L4::IcmpError { .. } | L4::Icmp { .. } | L4::Other => None,
    }
}

/// Components so far, and the receiver, which is shown behind what guards it.
struct List {
    done: Vec<PathComponent>,
    arrival: Vec<PathComponent>,
    /// The packet as it was last.
    last: PacketHeader,
}

impl List {
    fn arrive(&mut self) {
        for inbound in self.arrival.iter_mut().filter_map(|stage| stage.inbound.as_mut()) {
            inbound.clone_from(&self.last);
        }
        self.done.append(&mut self.arrival);
    }

    fn last_id(&self) -> Option<&str> {
        self.done.last().map(|last| last.component.id.as_str())
    }

    fn explain(&mut self, explanations: Vec<Explanation>) {
        if let Some(last) = self.done.last_mut() {
            last.explanations.extend(explanations);
        }
    }
}
