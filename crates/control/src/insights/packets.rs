//! The packets of an access scope between two terminals: one of each class that neither a rule nor a statement tells apart.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use model::insights::PortRange;
use model::*;
use policy::Flow;
use reach::Network;

use super::terminal::{Kind, Terminal};

/// Addresses of a packet: as it is sent, and as others know them where an Internet gateway stands between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Addresses {
    pub(super) src: IpAddr,
    pub(super) dst: IpAddr,
    /// The sender's public address, of somebody outside.
    outside_src: Option<IpAddr>,
    /// The receiver's private address, of a packet from outside.
    inside_dst: Option<IpAddr>,
    /// The receiver's public address, of somebody outside.
    outside_dst: Option<IpAddr>,
}

impl Addresses {
    fn inside(src: IpAddr, dst: IpAddr) -> Addresses {
        Addresses { src, dst, outside_src: None, inside_dst: None, outside_dst: None }
    }

    /// The packet where its path begins: before and behind the Internet gateway that it comes in by.
    pub(super) fn at_source(&self, sent: &Flow) -> [Flow; 2] {
        let before = Flow { src: self.outside_src.unwrap_or(sent.src), ..*sent };
        [before, Flow { dst: self.inside_dst.unwrap_or(sent.dst), ..before }]
    }

    /// The packet where its path ends: before and behind the Internet gateway that it leaves by. `last` is how it came there.
    pub(super) fn at_destination(&self, last: &Flow, arrived: &Flow) -> [Flow; 2] {
        let dst = self.outside_dst.unwrap_or(arrived.dst);
        let behind = Flow { dst, ..*arrived };
        match self.outside_dst {
            Some(_) => [Flow { dst, ..*last }, behind],
            None => [behind, behind],
        }
    }
}

/// All pairs of addresses between the two. `far`: one of each class of those that somebody outside has, or that are behind the peering.
pub(super) fn addresses(network: &Network, from: &Terminal, to: &Terminal, far: &[IpAddr]) -> Vec<Addresses> {
    let private = |id| interface(network, id).map_or(&[][..], |found| &*found.private_ips);
    let pairs = |of: &[std::net::Ipv4Addr], far: &[IpAddr]| -> Vec<Addresses> {
        of.iter().flat_map(|src| far.iter().map(|dst| Addresses::inside((*src).into(), *dst))).collect()
    };
    match (from.kind, to.kind) {
        (Kind::Interface(from), Kind::Interface(to)) => {
            let far: Vec<IpAddr> = private(to).iter().map(|address| (*address).into()).collect();
            pairs(private(from), &far)
        }
        (Kind::Interface(from), Kind::Peering { .. }) => pairs(private(from), far),
        (Kind::Interface(from), Kind::Gateway(_)) => {
            let outside = |pair: Addresses| Addresses { outside_dst: Some(pair.dst), ..pair };
            pairs(private(from), far).into_iter().map(outside).collect()
        }
        (Kind::Gateway(_), Kind::Interface(to)) => {
            let mapped = interface(network, to).map_or(&[][..], |found| &*found.public);
            let senders = far.iter().filter_map(|public| Some((*public, network.outside_address(*public)?)));
            let packet = |(public, src): (IpAddr, IpAddr), door: &PublicAssociation| Addresses {
                outside_src: Some(public),
                inside_dst: Some(door.private.into()),
                ..Addresses::inside(src, door.public.into())
            };
            senders.flat_map(|sender| mapped.iter().map(move |door| packet(sender, door))).collect()
        }
        _ => Vec::new(),
    }
}

fn interface(network: &Network, id: NetworkInterfaceId) -> Option<&NetworkInterface> {
    network.endpoint(id).map(|endpoint| &*endpoint.interface)
}

/// The destination ports that the rules of some VPCs name; what is sent is not asked for its source port by any.
pub(super) struct PortClasses<'n> {
    network: &'n Network,
    groups: BTreeMap<SecurityGroupId, Vec<(IpProtocol, Ports)>>,
    acls: BTreeMap<VpcId, Vec<(IpProtocol, Ports)>>,
    /// VPCs with routes to network interfaces, which others' groups guard.
    with_middleboxes: BTreeSet<VpcId>,
}

impl PortClasses<'_> {
    pub(super) fn of(network: &Network) -> PortClasses<'_> {
        let groups = network.slices().flat_map(|slice| &slice.security_groups);
        let rules = |group: &SecurityGroup| group.rules.values().map(|rule| (rule.protocol, rule.ports)).collect();
        let entries = |slice: &intent::VpcSlice| {
            let acls = slice.network_acls.iter().flat_map(|acl| acl.ingress.values().chain(acl.egress.values()));
            acls.map(|entry| (entry.protocol, entry.ports)).collect()
        };
        let leads_to_one = |route: &Route| matches!(route.target, RouteTarget::NetworkInterface(_));
        let with_middleboxes = network
            .slices()
            .filter(|slice| slice.route_tables.iter().flat_map(|table| &table.routes).any(leads_to_one))
            .map(|slice| slice.vpc.id);
        PortClasses {
            network,
            groups: groups.map(|group| (group.id, rules(group))).collect(),
            acls: network.slices().map(|slice| (slice.vpc.id, entries(slice))).collect(),
            with_middleboxes: with_middleboxes.collect(),
        }
    }

    /// The destination ports of packets between the two, those together that nothing tells apart.
    pub(super) fn between(
        &self,
        from: &Terminal,
        to: &Terminal,
        protocol: IpProtocol,
        also: &[PortRange],
    ) -> Vec<PortRange> {
        let groups_of = |at: &Terminal| match at.kind {
            Kind::Interface(id) => interface(self.network, id).map(|found| found.groups.iter().copied().collect()),
            _ => None,
        };
        let groups_in = |vpc: VpcId| -> Vec<SecurityGroupId> {
            let slice = self.network.slice(vpc).filter(|_| self.with_middleboxes.contains(&vpc));
            slice.into_iter().flat_map(|slice| &slice.security_groups).map(|group| group.id).collect()
        };
        let vpcs = BTreeSet::from([from.vpc, to.vpc]);
        let own: [Option<Vec<SecurityGroupId>>; 2] = [groups_of(from), groups_of(to)];
        let groups: BTreeSet<SecurityGroupId> =
            own.into_iter().flatten().flatten().chain(vpcs.iter().flat_map(|vpc| groups_in(*vpc))).collect();
        let of_groups = groups.iter().filter_map(|group| self.groups.get(group)).flatten();
        let of_acls = vpcs.iter().filter_map(|vpc| self.acls.get(vpc)).flatten();
        let ranges = of_groups.chain(of_acls).filter_map(|(of_rule, ports)| match ports {
            Ports::Range { from, to } if *of_rule == protocol || *of_rule == IpProtocol::All => {
                Some(PortRange { from: *from, to: *to })
            }
            _ => None,
        });
        divided(ranges.chain(also.iter().copied()))
    }
}

/// All ports, divided where one of the ranges begins or has just ended.
pub(super) fn divided(ranges: impl Iterator<Item = PortRange>) -> Vec<PortRange> {
    let edges = ranges.flat_map(|range| [Some(range.from), range.to.checked_add(1)]).flatten();
    let starts: BTreeSet<u16> = edges.chain([0]).collect();
    let ends = starts.iter().skip(1).map(|next| next - 1).chain([u16::MAX]);
    starts.iter().zip(ends).map(|(from, to)| PortRange { from: *from, to }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_divided_at_every_edge() {
        let range = |from, to| PortRange { from, to };
        for (ranges, wanted) in [
            (vec![], vec![range(0, 65535)]),
            (vec![range(0, 65535)], vec![range(0, 65535)]),
            (
                vec![range(22, 22), range(80, 90)],
                vec![range(0, 21), range(22, 22), range(23, 79), range(80, 90), range(91, 65535)],
            ),
            (vec![range(80, 90), range(85, 65535)], vec![range(0, 79), range(80, 84), range(85, 90), range(91, 65535)]),
        ] {
            assert_eq!(divided(ranges.into_iter()), wanted);
        }
    }
}
