//! Which route decides? Longest prefix match over routes in all states; a blackhole wins and drops (spec 4.5, 4.6).
//!
//! The user's routes are kept whole: no prefix is split or merged. Routes of one length are sorted by network and found by
//! bisection; the lengths that occur are tried from the longest. A prefix-list destination matches nothing.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::IpAddr;

use model::{Cidr, Destination, RouteTable, RouteTableId, RouteTarget};

/// Blocks of one family, each with a value.
#[derive(Debug)]
pub(crate) struct Prefixes<T> {
    /// Longest first.
    lengths: Box<[Length<T>]>,
}

#[derive(Debug)]
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
pub(crate) struct Routes {
    pub(crate) id: RouteTableId,
    v4: Prefixes<Hop>,
    v6: Prefixes<Hop>,
}

/// A route with what its target is worth today.
#[derive(Clone, Copy, Debug)]
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
    Blackhole,
    /// An active target that this cloud records but does not carry.
    NotCarried,
}

impl Routes {
    pub(crate) fn new(table: &RouteTable, way: impl Fn(RouteTarget) -> Way) -> Routes {
        let hops = |ipv4: bool| {
            let of_family = table.routes.iter().filter_map(move |route| match route.destination {
                Destination::Cidr(cidr) if cidr.is_ipv4() == ipv4 => Some((cidr, route.target)),
                _ => None,
            });
            let mut hops: Vec<_> = of_family
                .map(|(destination, target)| (destination, Hop { destination, target, way: way(target) }))
                .collect();
            // Destinations are distinct in a valid table; were they not, local goes before static (spec 4.5.2).
            hops.sort_by_key(|(_, hop)| hop.target != RouteTarget::Local);
            Prefixes::new(hops)
        };
        Routes { id: table.id, v4: hops(true), v6: hops(false) }
    }

    pub(crate) fn best(&self, destination: IpAddr) -> Option<&Hop> {
        match destination {
            IpAddr::V4(_) => self.v4.longest(destination),
            IpAddr::V6(_) => self.v6.longest(destination),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::{Ipv4Addr, Ipv6Addr};
    use model::{Ipv4Cidr, Ipv6Cidr, Route, Tags};
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

    #[test]
    fn of_two_equal_destinations_the_local_one_wins() {
        let local = Route::local("10.0.0.0/16".parse().unwrap());
        let other = Route { target: RouteTarget::Peering("pcx-0a1b2c3d".parse().unwrap()), ..local };
        for routes in [[local, other], [other, local]] {
            let table = RouteTable {
                id: "rtb-0a1b2c3d".parse().unwrap(),
                vpc: "vpc-0a1b2c3d".parse().unwrap(),
                owner: "111111111111".parse().unwrap(),
                routes: routes.into(),
                tags: Tags::new(),
            };
            let way = |target| if target == RouteTarget::Local { Way::Local } else { Way::Blackhole };
            let compiled = Routes::new(&table, way);
            assert_eq!(compiled.best("10.0.1.2".parse().unwrap()).map(|hop| hop.way), Some(Way::Local));
        }
    }
}
