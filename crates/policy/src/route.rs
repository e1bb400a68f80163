//! Which route decides? Longest prefix match over routes in all states; a blackhole wins and drops (spec 4.5, 4.6).
//!
//! The user's routes are kept whole: no prefix is split or merged. Routes of one length are sorted by network and found by
//! bisection; the lengths that occur are tried from the longest. A route to a prefix list is as many as the list has entries,
//! but for those that lie inside the VPC itself, which no such route may name (decision 0027).

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::IpAddr;

use model::{Cidr, Destination, InternetGatewayId, PrefixListId, Route, RouteTable, RouteTableId, RouteTarget};

/// Blocks of one family, each with a value.
#[derive(Debug)]
#[cfg_attr(test, derive(PartialEq))]
pub(crate) struct Prefixes<T> {
    /// Longest first.
    lengths: Box<[Length<T>]>,
}

#[derive(Debug)]
#[cfg_attr(test, derive(PartialEq))]
struct Length<T> {
    mask: u128,
    /// By network, each once.
    entries: Box<[(u128, T)]>,
}

impl<T> Prefixes<T> {
    /// Of two equal blocks the earlier stays. Blocks must be of one family.
    pub(crate) fn new(blocks: impl IntoIterator<Item = (Cidr, T)>) -> Prefixes<T> {
        let mut all: Vec<(u8, u128, T)> =
            blocks.into_iter().map(|(cidr, value)| (cidr.prefix_len(), network(&cidr), value)).collect();
        all.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
        all.dedup_by(|later, kept| (later.0, later.1) == (kept.0, kept.1));
        let mut lengths: Vec<(u8, Vec<(u128, T)>)> = Vec::new();
        for (len, network, value) in all {
            match lengths.last_mut() {
                Some((last, entries)) if *last == len => entries.push((network, value)),
                _ => lengths.push((len, Vec::from([(network, value)]))),
            }
        }
        let length = |(len, entries): (u8, Vec<_>)| Length { mask: mask(len), entries: entries.into() };
        Prefixes { lengths: lengths.into_iter().map(length).collect() }
    }

    /// The value of the longest block that contains the address.
    pub(crate) fn longest(&self, address: IpAddr) -> Option<&T> {
        let address = left_aligned(address);
        self.lengths.iter().find_map(|length| {
            let at = length.entries.binary_search_by_key(&(address & length.mask), |entry| entry.0).ok()?;
            Some(&length.entries[at].1)
        })
    }
}

/// An address as the upper bits of a number, so that a prefix is a mask of upper bits in either family.
fn left_aligned(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(a) => u128::from(u32::from(a)) << 96,
        IpAddr::V6(a) => u128::from(a),
    }
}

fn network(cidr: &Cidr) -> u128 {
    match cidr {
        Cidr::V4(c) => left_aligned(IpAddr::V4(c.network())),
        Cidr::V6(c) => left_aligned(IpAddr::V6(c.network())),
    }
}

fn mask(len: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(len)).unwrap_or(0)
}

/// A route table, ready to be asked.
#[derive(Debug)]
#[cfg_attr(test, derive(PartialEq))]
pub(crate) struct Routes {
    pub(crate) id: RouteTableId,
    v4: Prefixes<Hop>,
    v6: Prefixes<Hop>,
}

/// A route with what its target is worth today.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(test, derive(PartialEq))]
pub(crate) struct Hop {
    pub(crate) destination: Cidr,
    pub(crate) target: RouteTarget,
    pub(crate) way: Way,
}

/// What a route's target means to a packet. Numbers are places in the VPC's own lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Local,
    Peering(usize),
    Endpoint(usize),
    /// The interface of a NAT gateway.
    Nat(usize),
    /// The VPC's egress-only Internet gateway.
    EgressOnly,
    /// The VPC's own Internet gateway.
    Gateway(InternetGatewayId),
    Blackhole,
    /// An active target that this cloud records but does not carry.
    NotCarried,
}

impl Routes {
    /// `own` are the blocks of the table's VPC, `entries` says what a prefix list holds. A table that names a list which is not
    /// there has no routes: without the list's longer ones a shorter one could open a way.
    pub(crate) fn new<'l>(
        table: &RouteTable,
        way: impl Fn(RouteTarget) -> Way,
        own: &[Cidr],
        entries: impl Fn(PrefixListId) -> Option<&'l [Cidr]>,
    ) -> Routes {
        let mut routes: Vec<&Route> = table.routes.iter().collect();
        routes.sort_by_key(|route| rank(route));
        let mut hops: Vec<(Cidr, Hop)> = Vec::new();
        for route in routes {
            let (target, way) = (route.target, way(route.target));
            let hop = |destination: Cidr| (destination, Hop { destination, target, way });
            match route.destination {
                Destination::Cidr(cidr) => hops.push(hop(cidr)),
                Destination::PrefixList(list) => {
                    let Some(entries) = entries(list) else {
                        hops.clear();
                        break;
                    };
                    let is_outside = |entry: &&Cidr| !own.iter().any(|block| block.contains_all(entry));
                    hops.extend(entries.iter().filter(is_outside).map(|entry| hop(*entry)));
                }
            }
        }
        let (v4, v6): (Vec<_>, Vec<_>) = hops.into_iter().partition(|(destination, _)| destination.is_ipv4());
        Routes { id: table.id, v4: Prefixes::new(v4), v6: Prefixes::new(v6) }
    }

    pub(crate) fn best(&self, destination: IpAddr) -> Option<&Hop> {
        match destination {
            IpAddr::V4(_) => self.v4.longest(destination),
            IpAddr::V6(_) => self.v6.longest(destination),
        }
    }
}

/// Which of two routes to one block goes first: a local one, a static one, that of the list with the lowest id (spec 4.5.2).
fn rank(route: &Route) -> (bool, Option<PrefixListId>) {
    let list = match route.destination {
        Destination::Cidr(_) => None,
        Destination::PrefixList(list) => Some(list),
    };
    (route.target != RouteTarget::Local, list)
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::{Ipv4Addr, Ipv6Addr};
    use model::{Ipv4Cidr, Ipv6Cidr, ResourceId, RouteOrigin, Tags};
    use proptest::prelude::*;

    // Few distinct bits and all lengths, so that blocks nest and collide.
    fn address() -> impl Strategy<Value = IpAddr> {
        prop_oneof![
            (0_u32..8, 0_u32..8).prop_map(|(a, b)| IpAddr::V4(Ipv4Addr::from(a << 29 | b))),
            (0_u128..8, 0_u128..8).prop_map(|(a, b)| IpAddr::V6(Ipv6Addr::from(a << 125 | b))),
        ]
    }

    fn block() -> impl Strategy<Value = Cidr> {
        (address(), 0_u8..=128).prop_map(|(address, len)| match address {
            IpAddr::V4(a) => Cidr::V4(Ipv4Cidr::new(a, len % 33).unwrap()),
            IpAddr::V6(a) => Cidr::V6(Ipv6Cidr::new(a, len).unwrap()),
        })
    }

    proptest! {
        #[test]
        fn longest_prefix_equals_a_linear_scan(
            blocks in prop::collection::vec(block(), 0..24),
            addresses in prop::collection::vec(address(), 1..24),
        ) {
            let of_family = |v4: bool| blocks.iter().copied().enumerate().filter(move |(_, b)| b.is_ipv4() == v4);
            let compiled = [true, false].map(|v4| Prefixes::new(of_family(v4).map(|(at, block)| (block, at))));
            for address in addresses {
                let found = compiled[usize::from(address.is_ipv6())].longest(address).copied();
                let mut best: Option<(u8, usize)> = None;
                for (at, block) in blocks.iter().enumerate() {
                    let longer = best.is_none_or(|(len, _)| block.prefix_len() > len);
                    if block.contains(address) && longer {
                        best = Some((block.prefix_len(), at));
                    }
                }
                prop_assert_eq!(found, best.map(|(_, at)| at));
            }
        }
    }

    fn table(routes: impl Into<Vec<Route>>) -> RouteTable {
        RouteTable {
            id: "rtb-0a1b2c3d".parse().unwrap(),
            vpc: "vpc-0a1b2c3d".parse().unwrap(),
            owner: "111111111111".parse().unwrap(),
            routes: routes.into(),
            tags: Tags::new(),
        }
    }

    fn cidr(text: &str) -> Cidr {
        text.parse().unwrap()
    }

    #[test]
    fn of_two_equal_destinations_the_local_one_wins() {
        let local = Route::local(cidr("10.0.0.0/16"));
        let other = Route { target: RouteTarget::Peering("pcx-0a1b2c3d".parse().unwrap()), ..local };
        for routes in [[local, other], [other, local]] {
            let way = |target| if target == RouteTarget::Local { Way::Local } else { Way::Blackhole };
            let compiled = Routes::new(&table(routes), way, &[], |_| None);
            assert_eq!(compiled.best("10.0.1.2".parse().unwrap()).map(|hop| hop.way), Some(Way::Local));
        }
    }

    fn list(n: u128) -> PrefixListId {
        PrefixListId::from_random(n)
    }

    fn peering(n: u128) -> RouteTarget {
        RouteTarget::Peering(ResourceId::from_random(n))
    }

    /// Which peering the address leads to in a table of static routes and list routes, whatever their order.
    fn chosen(routes: &[(Destination, u128)], own: &[&str], lists: &[(u128, &[&str])], address: &str) -> Option<u128> {
        let own: Vec<Cidr> = own.iter().map(|block| cidr(block)).collect();
        let lists: Vec<(PrefixListId, Vec<Cidr>)> =
            lists.iter().map(|(n, entries)| (list(*n), entries.iter().map(|entry| cidr(entry)).collect())).collect();
        let of = |id: PrefixListId| lists.iter().find(|(known, _)| *known == id).map(|(_, all)| &all[..]);
        let route = |(destination, n): &(Destination, u128)| Route {
            destination: *destination,
            target: peering(*n),
            origin: RouteOrigin::CreateRoute,
        };
        let mut routes: Vec<Route> = routes.iter().map(route).collect();
        let mut results = (0..routes.len()).map(|_| {
            routes.rotate_left(1);
            let compiled = Routes::new(&table(routes.clone()), |_| Way::Peering(0), &own, of);
            let found = compiled.best(address.parse().unwrap()).map(|hop| hop.target);
            (1..10).find(|n| found == Some(peering(*n)))
        });
        let first = results.next().flatten();
        assert!(results.all(|other| other == first), "the order of routes has a say");
        first
    }

    #[test]
    fn the_longest_entry_of_all_lists_wins() {
        let routes = [(Destination::PrefixList(list(1)), 1), (Destination::PrefixList(list(2)), 2)];
        let lists: [(u128, &[&str]); 2] =
            [(1, &["10.0.0.0/8", "10.2.0.0/16", "fd00::/8"]), (2, &["10.1.0.0/16", "10.0.0.0/7"])];
        let to = |address| chosen(&routes, &[], &lists, address);
        assert_eq!(to("10.1.0.1"), Some(2));
        assert_eq!(to("10.2.0.1"), Some(1));
        assert_eq!(to("10.3.0.1"), Some(1));
        assert_eq!(to("11.0.0.1"), Some(2));
        assert_eq!(to("fd01::1"), Some(1));
        assert_eq!(to("12.0.0.1"), None);
        let shorter = (Destination::Cidr(cidr("0.0.0.0/0")), 3);
        assert_eq!(chosen(&[routes[0], shorter], &[], &[], "10.1.0.1"), None, "a list that is not there opens no way");
    }

    #[test]
    fn of_equal_blocks_a_static_route_wins_then_the_lowest_list() {
        let one: &[&str] = &["10.1.0.0/16"];
        let lists = [(1, one), (2, one)];
        let of = |n| Destination::PrefixList(list(n));
        let fixed = Destination::Cidr(cidr("10.1.0.0/16"));
        assert_eq!(chosen(&[(of(2), 2), (of(1), 1)], &[], &lists, "10.1.0.1"), Some(1));
        assert_eq!(chosen(&[(of(2), 2), (of(1), 1), (fixed, 3)], &[], &lists, "10.1.0.1"), Some(3));
        let wider = Destination::Cidr(cidr("10.0.0.0/8"));
        assert_eq!(chosen(&[(of(2), 2), (wider, 3)], &[], &lists, "10.1.0.1"), Some(2), "longer is longer");
    }

    #[test]
    fn entries_inside_the_own_vpc_count_for_nothing() {
        let lists: [(u128, &[&str]); 1] = [(1, &["10.1.2.0/24", "10.1.0.0/16", "10.0.0.0/8", "fd00:1::/64"])];
        let routes = [(Destination::PrefixList(list(1)), 1)];
        let to = |address| chosen(&routes, &["10.1.0.0/16", "fd00:1::/56"], &lists, address);
        assert_eq!((to("10.2.0.1"), to("fd00:1::1")), (Some(1), None));
        // The wide one remains; that the VPC's local route is longer is its own affair.
        let local = Route::local(cidr("10.1.0.0/16"));
        let wide = Route { destination: routes[0].0, target: peering(1), origin: RouteOrigin::CreateRoute };
        let entries: Vec<Cidr> = lists[0].1.iter().map(|entry| cidr(entry)).collect();
        let way = |target| if target == RouteTarget::Local { Way::Local } else { Way::Blackhole };
        let compiled = Routes::new(&table([wide, local]), way, &[cidr("10.1.0.0/16")], |_| Some(&entries));
        assert_eq!(compiled.best("10.1.2.1".parse().unwrap()).map(|hop| hop.way), Some(Way::Local));
    }
}
