//! Neighbour discovery, answered from the tables, and the router's advertisements (RFC 4861, RFC 8106; spec 3.5, 11.2; users' case 19).

use std::net::{IpAddr, Ipv6Addr};

use model::Duration;
use policy::Denied;
use wire::ethernet::Link;
use wire::ndp::{ALL_NODES, Dnssl, Message, NeighborSolicitation, Prefix, Rdnss, RouterAdvertisement, kind};
use wire::{EmitError, Ip, MacAddr, Packet, Transport, reply};

use super::{is_router, no_room, resolve};
use crate::port::{Port, ROUTER_LINK_LOCAL};

/// How long a guest takes the router's word. Advertisements come unasked well before ([`ADVERTISEMENT_INTERVAL`]).
const ROUTER_LIFETIME_SECS: u16 = 1800;
/// Between two unasked advertisements on a port: a guest asks only when its interface comes up.
pub const ADVERTISEMENT_INTERVAL: Duration = Duration::seconds(450);
/// A subnet's block never changes (spec 3.2).
const PREFIX_LIFETIME_SECS: u32 = u32::MAX;
const HOP_LIMIT: u8 = 64;
/// Search domains in one advertisement: of the 255 bytes that a set of options has for them, these always fit a frame of 512.
const DOMAINS_MAX: usize = 16;

/// Whether a packet is for this module.
pub(crate) fn is_ndp(ip: &Ip) -> bool {
    matches!(ip.transport, Transport::Icmp { kind, .. } if ip.src.is_ipv6() && kind::is_ndp(kind))
}

/// Answers a question, or says why not. `frame` has its checksum finished.
pub(crate) fn answer(port: &Port, packet: &Packet, ip: &Ip, frame: &mut [u8]) -> Result<usize, Denied> {
    if matches!(ip.transport, Transport::Icmp { kind: kind::ROUTER_ADVERTISEMENT | kind::REDIRECT, .. }) {
        return Err(Denied::RogueServer);
    }
    let message = Message::parse(ip, frame).map_err(|_| Denied::Malformed)?;
    let IpAddr::V6(src) = ip.src else { return Err(Denied::Malformed) };
    check_source(port, src)?;
    match message {
        Message::RouterSolicitation { source_link_layer } => {
            check_mac(port, source_link_layer)?;
            let has_ipv6 = port.ipv6_cidr.is_some();
            let to = if src.is_unspecified() { ALL_NODES } else { src };
            has_ipv6.then(|| advertise(port, to, frame)).ok_or(Denied::NotUnicast { address: ip.dst })?.map_err(no_room)
        }
        Message::NeighborSolicitation(solicitation) => answer_solicitation(port, packet, ip, &solicitation, frame),
        Message::NeighborAdvertisement(claim) => {
            check_mac(port, claim.target_link_layer)?;
            let target = IpAddr::V6(claim.target);
            let is_own = port.owns(target) || (is_link_local(claim.target) && !is_router(port, target));
            Err(if is_own { Denied::NotUnicast { address: ip.dst } } else { Denied::RogueServer })
        }
        Message::RouterAdvertisement(_) | Message::Redirect => Err(Denied::RogueServer),
    }
}

/// The router's advertisement: M and O set, the subnet's block on-link but not for self-made addresses, the MTU, the resolvers and
/// their search domains.
///
/// # Errors
/// [`EmitError::NoRoom`]: lend 512 bytes.
pub(crate) fn advertise(port: &Port, to: Ipv6Addr, frame: &mut [u8]) -> Result<usize, EmitError> {
    let prefix = |cidr: model::Ipv6Cidr| Prefix {
        prefix: cidr.network(),
        len: cidr.prefix_len(),
        on_link: true,
        autonomous: false,
        valid_secs: PREFIX_LIFETIME_SECS,
        preferred_secs: PREFIX_LIFETIME_SECS,
    };
    let advertisement = RouterAdvertisement {
        hop_limit: HOP_LIMIT,
        managed: true,
        other: true,
        router_lifetime_secs: ROUTER_LIFETIME_SECS,
        source_link_layer: Some(port.router_mac),
        mtu: Some(port.mtu.into()),
        prefixes: port.ipv6_cidr.map(prefix).into_iter().collect(),
        rdnss: resolvers(port),
        dnssl: search_domains(port),
        ..RouterAdvertisement::default()
    };
    let dst = if to.is_multicast() { MacAddr::of_multicast_ipv6(to) } else { port.mac };
    reply::router_advertisement(frame, Link { src: port.router_mac, dst }, ROUTER_LINK_LOCAL, to, &advertisement)
}

fn resolvers(port: &Port) -> Option<Rdnss> {
    let servers = port.dhcp.dns_servers_v6.clone();
    (!servers.is_empty()).then(|| Rdnss { lifetime_secs: ROUTER_LIFETIME_SECS.into(), servers })
}

/// Where there is nobody to ask, there is nothing to search.
fn search_domains(port: &Port) -> Option<Dnssl> {
    let domains: Vec<String> = port.dhcp.search_domains().into_iter().take(DOMAINS_MAX).collect();
    let is_told = !domains.is_empty() && !port.dhcp.dns_servers_v6.is_empty();
    is_told.then(|| Dnssl { lifetime_secs: ROUTER_LIFETIME_SECS.into(), domains })
}

fn answer_solicitation(
    port: &Port,
    packet: &Packet,
    ip: &Ip,
    solicitation: &NeighborSolicitation,
    frame: &mut [u8],
) -> Result<usize, Denied> {
    check_mac(port, solicitation.source_link_layer)?;
    let target = IpAddr::V6(solicitation.target);
    if let Some((mac, is_router)) = resolve(port, target) {
        return reply::neighbor_advertisement(frame, mac, is_router, packet.src_mac, ip, solicitation).map_err(no_room);
    }
    // Its own addresses it only probes (RFC 4862 5.4); between two guests link-local addresses are not carried.
    let needs_no_answer = port.owns(target) || is_link_local(solicitation.target);
    Err(match needs_no_answer {
        true => Denied::NotUnicast { address: ip.dst },
        false => Denied::NoOwner { vpc: port.vpc, address: target },
    })
}

/// A guest speaks from its own addresses, from a link-local one, or, probing, from none.
fn check_source(port: &Port, src: Ipv6Addr) -> Result<(), Denied> {
    let address = IpAddr::V6(src);
    match src {
        src if is_router(port, src.into()) => Err(Denied::RogueServer),
        src if src.is_unspecified() || is_link_local(src) || port.owns(address) => Ok(()),
        _ => Err(Denied::SourceCheckEgress { interface: port.interface, address }),
    }
}

fn check_mac(port: &Port, mac: Option<MacAddr>) -> Result<(), Denied> {
    if mac.is_none_or(|mac| mac == port.mac) { Ok(()) } else { Err(Denied::SpoofedMac) }
}

fn is_link_local(address: Ipv6Addr) -> bool {
    address.is_unicast_link_local()
}
