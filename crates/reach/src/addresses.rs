//! Which addresses can no rule tell apart? Those that lie in the same of all blocks that the configuration names.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use model::{Cidr, Destination, PeeringSide, RulePeer};
use policy::internet::is_private;

use crate::Network;
use crate::remedy::is_somebody;

/// Addresses from the first to the last, both of them among these; of one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    pub first: IpAddr,
    pub last: IpAddr,
}

impl Span {
    pub fn one(address: IpAddr) -> Span {
        Span { first: address, last: address }
    }

    pub fn of(block: &Cidr) -> Span {
        match block {
            Cidr::V4(block) => Span { first: block.network().into(), last: block.last().into() },
            Cidr::V6(block) => Span { first: block.network().into(), last: block.last().into() },
        }
    }

    pub fn contains(&self, address: IpAddr) -> bool {
        self.first <= address && address <= self.last && self.first.is_ipv4() == address.is_ipv4()
    }

    pub fn is_ipv6(&self) -> bool {
        self.first.is_ipv6()
    }

    /// In as few spans as there can be, in order.
    pub(crate) fn joined(mut spans: Vec<Span>) -> Vec<Span> {
        spans.sort_unstable();
        let mut joined: Vec<Span> = Vec::new();
        for span in spans {
            match joined.last_mut().filter(|last| next(last.last).is_none_or(|next| next >= span.first)) {
                Some(last) => last.last = last.last.max(span.last),
                None => joined.push(span),
            }
        }
        joined
    }
}

/// `10.0.0.4`, or `10.0.0.4-10.0.0.9`.
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.first == self.last {
            true => self.first.fmt(f),
            false => write!(f, "{}-{}", self.first, self.last),
        }
    }
}

/// The blocks of a family that a rule, an entry, a route, a subnet or a VPC names, each once.
pub(crate) struct Blocks(Vec<Cidr>);

/// Which of the blocks an address lies in, a bit for each.
pub(crate) type Within = Vec<u64>;

impl Blocks {
    pub(crate) fn of(network: &Network, is_ipv6: bool) -> Blocks {
        let mut named: BTreeSet<Cidr> = BTreeSet::new();
        for slice in network.slices() {
            named.extend(slice.vpc.blocks());
            named.extend(slice.subnets.iter().map(|subnet| Cidr::V4(subnet.cidr)));
            named.extend(slice.subnets.iter().filter_map(|subnet| Some(Cidr::V6(subnet.ipv6.as_ref()?.cidr))));
            named.extend(slice.prefix_lists.values().flatten());
            let routes = slice.route_tables.iter().flat_map(|table| &table.routes);
            named.extend(routes.filter_map(|route| match route.destination {
                Destination::Cidr(block) => Some(block),
                Destination::PrefixList(_) => None,
            }));
            let rules = slice.security_groups.iter().flat_map(|group| group.rules.values());
            named.extend(rules.filter_map(|rule| match rule.peer {
                RulePeer::Cidr(block) => Some(block),
                RulePeer::PrefixList(_) | RulePeer::Group { .. } => None,
            }));
            let entries = slice.network_acls.iter().flat_map(|acl| acl.ingress.values().chain(acl.egress.values()));
            named.extend(entries.map(|entry| entry.cidr));
            let sides = slice.peerings.iter().flat_map(|peering| [&peering.requester, &peering.accepter]);
            named.extend(sides.flat_map(PeeringSide::blocks));
        }
        Blocks(named.into_iter().filter(|block| block.is_ipv4() != is_ipv6).collect())
    }

    /// These too, as far as they are of the family of the others.
    fn with(mut self, also: &[Cidr]) -> Blocks {
        let is_alike = |block: &&Cidr| self.0.first().is_none_or(|first| first.is_ipv4() == block.is_ipv4());
        let new: Vec<Cidr> = also.iter().filter(is_alike).copied().collect();
        self.0.extend(new);
        self
    }

    /// One address of each class, at most so many, the usual one first.
    fn one_of_each(&self, usual: IpAddr, points: impl Iterator<Item = IpAddr>, max: usize) -> Vec<IpAddr> {
        let mut classes: BTreeMap<Within, IpAddr> = BTreeMap::new();
        for address in core::iter::once(usual).chain(points) {
            classes.entry(self.within(address)).or_insert(address);
        }
        let others = classes.into_values().filter(|address| *address != usual);
        core::iter::once(usual).chain(others).take(max).collect()
    }

    pub(crate) fn within(&self, address: IpAddr) -> Within {
        let mut within = alloc::vec![0; self.0.len().div_ceil(64)];
        for (at, _) in self.0.iter().enumerate().filter(|(_, block)| block.contains(address)) {
            within[at / 64] |= 1 << (at % 64);
        }
        within
    }

    /// The addresses of a span at which one of the blocks begins or has just ended, and the span's first.
    pub(crate) fn points(&self, span: Span) -> BTreeSet<IpAddr> {
        let ends = self.0.iter().map(Span::of).flat_map(|block| [Some(block.first), next(block.last)]);
        ends.flatten().chain([span.first]).filter(|address| span.contains(*address)).collect()
    }
}

/// The one behind it; `None`: it is the last of all.
pub(crate) fn next(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(address) => u32::from(address).checked_add(1).map(|next| Ipv4Addr::from(next).into()),
        IpAddr::V6(address) => u128::from(address).checked_add(1).map(|next| Ipv6Addr::from(next).into()),
    }
}

/// The one before it; `None`: it is the first of all.
pub(crate) fn previous(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(address) => u32::from(address).checked_sub(1).map(|before| Ipv4Addr::from(before).into()),
        IpAddr::V6(address) => u128::from(address).checked_sub(1).map(|before| Ipv6Addr::from(before).into()),
    }
}

impl Network {
    /// One address of a block for each class that neither a rule nor one of these other blocks tells apart, at most so many, one that an
    /// interface may have first.
    pub fn addresses_in(&self, block: Cidr, also: &[Cidr], max: usize) -> Vec<IpAddr> {
        // The first four of a subnet are the VPC's own.
        const FIRST: u8 = 4;
        let span = Span::of(&block);
        let usual = match block {
            Cidr::V4(block) => block.nth(FIRST.into()).map(IpAddr::from),
            Cidr::V6(block) => block.nth(FIRST.into()).map(IpAddr::from),
        };
        let blocks = Blocks::of(self, span.is_ipv6()).with(also);
        let usual = usual.filter(|address| span.contains(*address)).unwrap_or(span.first);
        let points = blocks.points(span);
        blocks.one_of_each(usual, points.into_iter(), max)
    }

    /// One public address of each class that neither a rule nor one of these other blocks tells apart, at most so many, the class of most of
    /// the internet first.
    pub fn public_addresses(&self, is_ipv6: bool, also: &[Cidr], max: usize) -> Vec<IpAddr> {
        let (usual, all): (IpAddr, Span) = match is_ipv6 {
            // A real public address, which no pool of test addresses has (RFC 5737, RFC 3849).
            false => (Ipv4Addr::new(8, 0, 0, 1).into(), Span { first: IPV4_FIRST, last: IPV4_LAST }),
            true => (Ipv6Addr::new(0x2600, 0, 0, 0, 0, 0, 0, 1).into(), Span { first: IPV6_FIRST, last: IPV6_LAST }),
        };
        let blocks = Blocks::of(self, is_ipv6).with(also);
        let is_public = |address: &IpAddr| is_somebody(*address) && !is_private(*address);
        // The network's own address of a block is nobody's, the next one may be somebody's.
        let points = blocks.points(all).into_iter();
        let points = points.flat_map(|address| [next(address), Some(address)]).flatten().filter(is_public);
        blocks.one_of_each(usual, points, max)
    }
}

const IPV4_FIRST: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
const IPV4_LAST: IpAddr = IpAddr::V4(Ipv4Addr::BROADCAST);
const IPV6_FIRST: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
const IPV6_LAST: IpAddr =
    IpAddr::V6(Ipv6Addr::new(u16::MAX, u16::MAX, u16::MAX, u16::MAX, u16::MAX, u16::MAX, u16::MAX, u16::MAX));

#[cfg(test)]
mod tests {
    use super::*;
    use policy::testing::p;

    #[test]
    fn spans_that_touch_are_one() {
        let span = |first: &str, last: &str| Span { first: p(first), last: p(last) };
        let spans = alloc::vec![
            span("10.0.0.9", "10.0.0.9"),
            span("10.0.0.4", "10.0.0.6"),
            span("10.0.0.7", "10.0.0.7"),
            span("255.255.255.255", "255.255.255.255"),
        ];
        let texts: Vec<_> = Span::joined(spans).iter().map(alloc::string::ToString::to_string).collect();
        assert_eq!(texts, ["10.0.0.4-10.0.0.7", "10.0.0.9", "255.255.255.255"]);
        assert_eq!((next(p("255.255.255.255")), previous(p("::"))), (None, None));
        assert!(!span("::", "::ffff").contains(p("10.0.0.1")));
    }
}
