//! The names of one VPC, as its own resolver sees them (spec 9.2-9.6).
//!
//! Immutable; made from the VPC's slice when that changes. Who may see what of a peer is decided here, once:
//!
//! | a peer's | is seen if the peering is active, all four DNS switches are on and |
//! |---|---|
//! | public name, as a private address | the peer's side allows it |
//! | private name of an RFC 1918 address | the peer is in the same region, or its side allows it |
//! | private name of another address | the peer's side allows it |

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use hickory_proto::rr::rdata::{A, AAAA, PTR};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use model::intent::{Intent, VpcSlice};
use model::names::{CloudDomain, CloudName};
use model::{Cidr, HostedZone, InstanceId, NameSuffixes, PeeringStatus, Region, ResourceName, VpcId};

use crate::key::{is_under, name_of};
use crate::zone::{Found, TTL, Zone, made_up_soa};

/// What a VPC's resolver knows.
#[derive(Clone, Debug)]
pub(crate) struct View {
    vpc: VpcId,
    /// `enableDnsSupport`: it answers at all.
    pub(crate) is_on: bool,
    /// The cloud's own names and private zones resolve: that needs `enableDnsHostnames` too.
    has_names: bool,
    blocks: Vec<Cidr>,
    own: Names,
    peers: Vec<PeerView>,
    /// The longest name first.
    zones: Vec<(Arc<HostedZone>, Arc<Zone>)>,
}

/// What has a name in a VPC.
#[derive(Clone, Debug)]
struct Names {
    region: Region,
    addresses: BTreeSet<Ipv4Addr>,
    resources: BTreeMap<InstanceId, Resource>,
    /// IPv6 addresses that a resource name has.
    reverse: BTreeMap<Ipv6Addr, InstanceId>,
}

#[derive(Clone, Debug)]
struct Resource {
    name: ResourceName,
    /// Of the primary interface, the primary one first.
    addresses: Vec<IpAddr>,
}

/// A VPC at the other end of an active peering.
#[derive(Clone, Debug)]
struct PeerView {
    vpc: VpcId,
    names: Names,
    /// All four switches are on, and its side lets names resolve from here.
    allows: bool,
    /// All four switches are on, and it is in the same region.
    is_near: bool,
}

impl View {
    /// What the slice says; zones that `before` had are taken over.
    pub(crate) fn of(slice: &VpcSlice, before: Option<&View>) -> View {
        let vpc = &slice.vpc;
        let has_names = vpc.has_dns_names();
        let own = slice.endpoints.iter().map(|endpoint| {
            let eni = &endpoint.interface;
            (eni.addresses().collect(), slice.resource_names.get(&eni.id).copied())
        });
        View {
            vpc: vpc.id,
            is_on: vpc.enable_dns_support,
            has_names,
            blocks: vpc.blocks().collect(),
            own: Names::of(slice.region, own),
            peers: peers(slice, has_names),
            zones: if has_names { zones(slice, before) } else { Vec::new() },
        }
    }

    /// What is known of a name. `intent`: the public addresses of the cloud, and what its names end with.
    pub(crate) fn find(&self, intent: &Intent, key: &str, kind: RecordType) -> Found {
        let domain = intent.names.domain(key).map(|(domain, _)| domain);
        let length = |domain: CloudDomain| apex_of(&intent.names, domain).len();
        // Of two domains that a name is in, the longer one is the more specific.
        let zone = self.zones.iter().map(|(_, zone)| zone).find(|zone| is_under(key, &zone.key));
        if let Some(zone) = zone.filter(|zone| domain.is_none_or(|domain| zone.key.len() >= length(domain))) {
            return zone.find(key, kind);
        }
        if let Some(domain) = domain {
            return self.find_cloud(intent, key, domain, kind);
        }
        if let Some(address) = reverse_address(key) {
            return self.find_reverse(intent, address, key, kind);
        }
        find_special(key, kind)
    }

    /// A name in one of the cloud's own domains: what is not there is nowhere.
    fn find_cloud(&self, intent: &Intent, key: &str, domain: CloudDomain, kind: RecordType) -> Found {
        let apex = apex_of(&intent.names, domain);
        let soa = || name_of(&apex).map(|apex| Box::new(made_up_soa(&apex)));
        if key == apex {
            return match soa().filter(|_| kind == RecordType::SOA) {
                Some(soa) => Found::Records(TTL, vec![soa.data.clone()]),
                None => Found::NoData(soa()),
            };
        }
        let addresses: Option<Vec<IpAddr>> = match intent.names.parse(key) {
            Some(CloudName::Ip(region, address)) => self.has_private(region, address).then(|| vec![address.into()]),
            Some(CloudName::Resource(region, id)) => self.resource(region, id),
            Some(CloudName::Public(region, address)) => {
                self.public(intent, region, address).map(|seen| vec![seen.into()])
            }
            None => None,
        };
        match addresses {
            Some(addresses) => of_addresses(&addresses, kind).unwrap_or_else(|| Found::NoData(soa())),
            None => Found::NoName(soa()),
        }
    }

    /// Whether the private name of an address is seen from here (spec 9.2, 9.5).
    fn has_private(&self, region: Region, address: Ipv4Addr) -> bool {
        let is_own = self.own.region == region && self.own.addresses.contains(&address);
        let of_peer = |peer: &PeerView| {
            peer.names.region == region && peer.names.addresses.contains(&address) && peer.shows(address.into())
        };
        self.has_names && (is_own || self.peers.iter().any(of_peer))
    }

    /// The addresses of an instance, as far as they are seen from here; `None`: there is no such name.
    fn resource(&self, region: Region, id: InstanceId) -> Option<Vec<IpAddr>> {
        let is_named = |resource: &Resource, address: &IpAddr| match address {
            IpAddr::V4(_) => {
                resource.name.a && resource.addresses.iter().find(|first| first.is_ipv4()) == Some(address)
            }
            IpAddr::V6(_) => resource.name.aaaa,
        };
        let own = (self.own.region == region).then(|| self.own.resources.get(&id)).flatten();
        let own = own.map(|resource| {
            resource.addresses.iter().filter(|address| is_named(resource, address)).copied().collect::<Vec<_>>()
        });
        let of_peer = |peer: &PeerView| {
            let resource = peer.names.resources.get(&id).filter(|_| peer.names.region == region)?;
            let seen = resource.addresses.iter().filter(|address| is_named(resource, address) && peer.shows(**address));
            let seen: Vec<IpAddr> = seen.copied().collect();
            (!seen.is_empty()).then_some(seen)
        };
        own.or_else(|| self.peers.iter().find_map(of_peer)).filter(|_| self.has_names)
    }

    /// Where a public name leads from here (spec 9.4); `None`: the address is nobody's.
    fn public(&self, intent: &Intent, region: Region, address: Ipv4Addr) -> Option<Ipv4Addr> {
        let place = intent.public.get(&address).filter(|place| place.region == region)?;
        let private = place.holder.as_ref().filter(|holder| {
            let is_own = holder.vpc == self.vpc;
            let is_allowed = || self.peers.iter().any(|peer| peer.vpc == holder.vpc && peer.allows);
            self.has_names && (is_own || is_allowed())
        });
        Some(private.map_or(address, |holder| holder.private))
    }

    fn find_reverse(&self, intent: &Intent, address: Reverse, key: &str, kind: RecordType) -> Found {
        let name = match address {
            Reverse::Whole(IpAddr::V4(address)) => self.name_of_v4(intent, address),
            Reverse::Whole(IpAddr::V6(address)) => self.name_of_v6(&intent.names, address),
            Reverse::Part { is_private: true } => return Found::NoData(None),
            Reverse::Part { is_private: false } => None,
        };
        if let Some(name) = name.as_deref().and_then(name_of) {
            return match kind {
                RecordType::PTR => Found::Records(TTL, vec![RData::PTR(PTR(name))]),
                _ => Found::NoData(None),
            };
        }
        match address {
            // Nobody else knows anything of private addresses, or is to hear of them (RFC 6303).
            Reverse::Whole(address)
                if is_private(address) || self.blocks.iter().any(|block| block.contains(address)) =>
            {
                Found::NoName(reverse_zone(key))
            }
            _ => Found::Elsewhere,
        }
    }

    fn name_of_v4(&self, intent: &Intent, address: Ipv4Addr) -> Option<String> {
        let own = Some(&self.own).filter(|own| own.addresses.contains(&address));
        let of_peer = |peer: &&PeerView| peer.names.addresses.contains(&address) && peer.shows(address.into());
        let private = own.or_else(|| self.peers.iter().find(of_peer).map(|peer| &peer.names));
        if let Some(names) = private.filter(|_| self.has_names) {
            return Some(intent.names.private_name(names.region, address));
        }
        let place = intent.public.get(&address).filter(|place| place.holder.is_some())?;
        Some(intent.names.public_name(place.region, address))
    }

    fn name_of_v6(&self, suffixes: &NameSuffixes, address: Ipv6Addr) -> Option<String> {
        let named = |names: &Names| Some(suffixes.resource_name(names.region, *names.reverse.get(&address)?));
        let of_peers =
            || self.peers.iter().filter(|peer| peer.shows(address.into())).find_map(|peer| named(&peer.names));
        named(&self.own).or_else(of_peers).filter(|_| self.has_names)
    }
}

impl PeerView {
    /// Whether the private name of its address is seen.
    fn shows(&self, address: IpAddr) -> bool {
        let is_rfc1918 = matches!(address, IpAddr::V4(address) if address.is_private());
        self.allows || (self.is_near && is_rfc1918)
    }
}

impl Names {
    fn of(region: Region, interfaces: impl Iterator<Item = (Vec<IpAddr>, Option<ResourceName>)>) -> Names {
        let (addresses, resources, reverse) = Default::default();
        let mut names = Names { region, addresses, resources, reverse };
        for (addresses, name) in interfaces {
            for address in &addresses {
                match (address, name) {
                    (IpAddr::V4(address), _) => {
                        names.addresses.insert(*address);
                    }
                    (IpAddr::V6(address), Some(name)) if name.aaaa => {
                        names.reverse.insert(*address, name.instance);
                    }
                    (IpAddr::V6(_), _) => {}
                }
            }
            if let Some(name) = name {
                names.resources.insert(name.instance, Resource { name, addresses });
            }
        }
        names
    }
}

/// The other ends of active peerings.
fn peers(slice: &VpcSlice, has_names: bool) -> Vec<PeerView> {
    let active = slice.peerings.iter().filter(|peering| peering.status == PeeringStatus::Active);
    let peers = active.filter_map(|peering| {
        let other = peering.side(peering.side_of(slice.vpc.id)?.other());
        let members = slice.peers.iter().filter(|peer| peer.peering == peering.id).flat_map(|peer| &peer.members);
        let members = members.map(|member| (member.addresses.clone(), member.resource_name));
        let all_four = has_names && other.has_dns_names;
        Some(PeerView {
            vpc: other.vpc,
            names: Names::of(other.region, members),
            allows: all_four && other.options.allow_dns_resolution_from_remote_vpc,
            is_near: all_four && other.region == slice.region,
        })
    });
    // Who is not seen at all need not be looked at.
    peers.filter(|peer| peer.allows || peer.is_near).collect()
}

/// The name that a domain of the cloud's own is under.
fn apex_of(names: &NameSuffixes, domain: CloudDomain) -> String {
    match domain {
        CloudDomain::Private(region) => names.private_domain(region),
        CloudDomain::Public(region) => names.public_domain(region),
    }
}

fn zones(slice: &VpcSlice, before: Option<&View>) -> Vec<(Arc<HostedZone>, Arc<Zone>)> {
    let known = |zone: &Arc<HostedZone>| {
        let mut known = before?.zones.iter();
        known.find(|(source, _)| source == zone).map(|(_, made)| made.clone())
    };
    let made = slice.hosted_zones.iter().filter_map(|zone| {
        let made = known(zone).or_else(|| Zone::of(zone).map(Arc::new))?;
        Some((zone.clone(), made))
    });
    let mut zones: Vec<_> = made.collect();
    // Of two with one name the one that comes first in the slice answers.
    zones.sort_by_key(|(_, zone)| std::cmp::Reverse(zone.key.len()));
    zones
}

fn of_addresses(addresses: &[IpAddr], kind: RecordType) -> Option<Found> {
    let data: Vec<RData> = addresses
        .iter()
        .filter_map(|address| match (address, kind) {
            (IpAddr::V4(address), RecordType::A) => Some(RData::A(A(*address))),
            (IpAddr::V6(address), RecordType::AAAA) => Some(RData::AAAA(AAAA(*address))),
            _ => None,
        })
        .collect();
    (!data.is_empty()).then_some(Found::Records(TTL, data))
}

/// Names that are in nobody's public zones (RFC 6761, RFC 6762, RFC 7686) or have no dot: they are not asked for elsewhere.
fn find_special(key: &str, kind: RecordType) -> Found {
    const NOWHERE: [&str; 6] = ["internal", "invalid", "local", "onion", "in-addr.arpa", "ip6.arpa"];
    if is_under(key, "localhost") {
        let addresses = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
        return of_addresses(&addresses, kind).unwrap_or(Found::NoData(None));
    }
    let is_reverse = ["in-addr.arpa", "ip6.arpa"].iter().any(|zone| is_under(key, zone));
    let is_nowhere = NOWHERE.iter().any(|name| is_under(key, name)) && !is_reverse;
    let is_single = !key.is_empty() && !key.contains('.');
    if is_nowhere || is_single { Found::NoName(None) } else { Found::Elsewhere }
}

/// What a reverse name is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reverse {
    Whole(IpAddr),
    /// Above the names of addresses.
    Part {
        is_private: bool,
    },
}

/// `5.0.0.10.in-addr.arpa`; `None`: no reverse name.
fn reverse_address(key: &str) -> Option<Reverse> {
    if let Some(octets) = key.strip_suffix(".in-addr.arpa") {
        let octet = |text: &str| text.parse::<u8>().ok().filter(|value| value.to_string() == text);
        let mut octets: Vec<u8> = octets.rsplit('.').map(octet).collect::<Option<_>>()?;
        let is_whole = octets.len() == 4;
        if octets.len() > 4 {
            return None;
        }
        octets.resize(4, 0);
        let address = Ipv4Addr::new(octets[0], octets[1], octets[2], octets[3]);
        return Some(match is_whole {
            true => Reverse::Whole(address.into()),
            false => Reverse::Part { is_private: is_private(address.into()) },
        });
    }
    let nibbles = key.strip_suffix(".ip6.arpa")?;
    let nibble = |text: &str| u8::from_str_radix(text, 16).ok().filter(|_| text.len() == 1);
    let nibbles: Vec<u8> = nibbles.rsplit('.').map(nibble).collect::<Option<_>>()?;
    if nibbles.len() != 32 {
        return (nibbles.len() < 32).then_some(Reverse::Part { is_private: false });
    }
    let value = nibbles.iter().fold(0_u128, |value, nibble| value << 4 | u128::from(*nibble));
    Some(Reverse::Whole(Ipv6Addr::from(value).into()))
}

/// Addresses that mean something only here (RFC 6303, RFC 1918, RFC 6598).
fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            let [first, second, ..] = address.octets();
            let is_shared = first == 100 && (64..128).contains(&second);
            address.is_private() || is_shared || address.is_loopback() || address.is_link_local() || first == 0
        }
        IpAddr::V6(address) => address.is_loopback() || address.is_unique_local() || address.is_unicast_link_local(),
    }
}

/// The SOA of the zone that a private reverse name is taken to be in: what is above its address.
fn reverse_zone(key: &str) -> Option<Box<Record>> {
    let zone: Name = name_of(key.split_once('.')?.1)?;
    Some(Box::new(made_up_soa(&zone)))
}
