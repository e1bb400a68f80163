//! Does a rule mean this packet? One sentence, one line.

use std::net::IpAddr;

use model::{
    AclAction, Cidr, Destination, Direction, IpProtocol, NetworkAcl, Ports, PrefixList, PrefixListId, Route,
    RouteTarget, Vpc, World,
};

use crate::packet::{Body, Packet};

/// The first `length` bits are the same.
pub fn inside(address: IpAddr, block: Cidr) -> bool {
    let same = |a: u128, b: u128, length: u32| length == 0 || (a ^ b) >> (128 - length) == 0;
    match (address, block) {
        (IpAddr::V4(a), Cidr::V4(block)) => {
            let left = |bits: u32| u128::from(bits) << 96;
            same(left(a.to_bits()), left(block.network().to_bits()), u32::from(block.prefix_len()))
        }
        (IpAddr::V6(a), Cidr::V6(block)) => same(a.to_bits(), block.network().to_bits(), u32::from(block.prefix_len())),
        _ => false,
    }
}

/// 6.3.2, 6.3.3, 7.2: protocol, and the destination port of TCP and UDP or the type and code of ICMP; for any other protocol ports are
/// ignored.
pub fn means(protocol: IpProtocol, ports: Ports, packet: &Packet) -> bool {
    if protocol == IpProtocol::All {
        return true;
    }
    if protocol != IpProtocol::Number(packet.protocol()) {
        return false;
    }
    match (&packet.body, ports) {
        (Body::Tcp { dport, .. } | Body::Udp { dport, .. }, Ports::Range { from, to }) => {
            from <= *dport && *dport <= to
        }
        (Body::Icmp { kind, code, .. }, Ports::Icmp { kind: of_kind, code: of_code }) => {
            of_kind.unwrap_or(*kind) == *kind && of_code.unwrap_or(*code) == *code
        }
        _ => true,
    }
}

/// 7.1: "Lowest number first, first match decides"; what no rule matches is denied. 7.2: "Ingress rules match source CIDR, egress rules
/// match destination CIDR".
pub fn acl_allows(acl: Option<&NetworkAcl>, way: Direction, packet: &Packet) -> bool {
    let Some(acl) = acl else { return false };
    let (entries, address) = match way {
        Direction::Ingress => (&acl.ingress, packet.src),
        Direction::Egress => (&acl.egress, packet.dst),
    };
    let mut numbers: Vec<u16> = entries.keys().copied().collect();
    numbers.sort_unstable();
    for number in numbers {
        let entry = &entries[&number];
        if inside(address, entry.cidr) && means(entry.protocol, entry.ports, packet) {
            return entry.action == AclAction::Allow;
        }
    }
    false
}

/// 4.5.1: "Longest prefix match over routes in ALL states". 4.5.2: "Equal prefix: local > static CIDR > prefix-list route. Two prefix lists
/// with the same CIDR: lowest pl- id". 4.8: a list stands for its entries; those inside the VPC's own blocks do not count (4.3.2).
pub fn best_route(world: &World, vpc: &Vpc, routes: &[Route], destination: IpAddr) -> Option<Route> {
    let mut candidates: Vec<(u8, u8, Option<PrefixListId>, Route)> = Vec::new();
    for route in routes {
        match route.destination {
            Destination::Cidr(block) if inside(destination, block) => {
                let class = if route.target == RouteTarget::Local { 0 } else { 1 };
                candidates.push((block.prefix_len(), class, None, *route));
            }
            Destination::Cidr(_) => {}
            Destination::PrefixList(list) => {
                let entries = listed(world, list).into_iter().filter(|entry| !is_within(*entry, vpc));
                let hit = entries.filter(|entry| inside(destination, *entry));
                candidates.extend(hit.map(|entry| (entry.prefix_len(), 2, Some(list), *route)));
            }
        }
    }
    let longest = candidates.iter().map(|(length, ..)| *length).max()?;
    candidates.retain(|(length, ..)| *length == longest);
    let class = candidates.iter().map(|(_, class, ..)| *class).min()?;
    candidates.retain(|(_, other, ..)| *other == class);
    candidates.into_iter().min_by_key(|(.., list, _)| *list).map(|(.., route)| route)
}

/// What is in a list now.
pub fn listed(world: &World, list: PrefixListId) -> Vec<Cidr> {
    world.find::<PrefixList>(&list).map(|list| list.entries.keys().copied().collect()).unwrap_or_default()
}

/// The whole block lies in one of the VPC's.
fn is_within(block: Cidr, vpc: &Vpc) -> bool {
    let network = match block {
        Cidr::V4(block) => IpAddr::V4(block.network()),
        Cidr::V6(block) => IpAddr::V6(block.network()),
    };
    let own = vpc.cidrs.iter().map(|own| Cidr::V4(own.cidr)).chain(vpc.ipv6_cidrs.iter().map(|own| Cidr::V6(own.cidr)));
    own.into_iter().any(|own| own.prefix_len() <= block.prefix_len() && inside(network, own))
}

/// 11.2 step 3, 4.4.2: multicast, broadcast, link-local, and what the cloud keeps for itself.
pub fn is_reserved(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(a) => {
            matches!(a.octets(), [0 | 127 | 224..=239, ..] | [169, 254, ..] | [255, 255, 255, 255])
        }
        IpAddr::V6(a) => matches!(
            a.segments(),
            [0, 0, 0, 0, 0, 0, 0, 0 | 1]
                | [0, 0, 0, 0, 0, 0xffff, ..]
                | [0xff00..=0xffff, ..]
                | [0xfe80..=0xfebf, ..]
                | [0xfd00, 0x0ec2, ..]
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_compared_from_the_left() {
        let is = |address: &str, block: &str| inside(address.parse().unwrap(), block.parse().unwrap());
        assert!(is("10.1.255.255", "10.1.0.0/16") && !is("10.2.0.0", "10.1.0.0/16"));
        assert!(is("1.2.3.4", "0.0.0.0/0") && !is("::1", "0.0.0.0/0"));
        assert!(is("10.0.0.1", "10.0.0.1/32") && !is("10.0.0.0", "10.0.0.1/32"));
        assert!(is("2600:1f00::1", "2600:1f00::/56") && !is("2600:1f00:0:100::1", "2600:1f00::/56"));
    }

    #[test]
    fn reserved_ranges() {
        for reserved in ["224.0.0.1", "169.254.169.254", "255.255.255.255", "ff02::1", "fe80::1", "fd00:ec2::254"] {
            assert!(is_reserved(reserved.parse().unwrap()), "{reserved}");
        }
        for plain in ["10.0.0.1", "8.8.8.8", "240.0.0.1", "2600:1f00::1", "fd00:ec3::1"] {
            assert!(!is_reserved(plain.parse().unwrap()), "{plain}");
        }
    }
}
