//! The answers of the VPC router, into lent buffers: ARP, neighbour and router advertisements, "too big".

use crate::bytes::EmitError;
use crate::emit;
use crate::ethernet::Link;
use crate::icmp::{self, v4, v6};
use crate::ndp::{ALL_NODES, HOP_LIMIT, NeighborAdvertisement, NeighborSolicitation, RouterAdvertisement};
use crate::{Addresses, Ip, MacAddr, Packet, arp, ipv4, ipv6};
use core::net::{IpAddr, Ipv6Addr};

/// TTL of what the router says itself.
const TTL: u8 = 64;
/// RFC 1812 4.3.2.3: an ICMP error quotes as much as makes it no longer than this.
const ERROR_LEN_MAX_V4: usize = 576;
/// RFC 4443 3.1: the same for IPv6, its minimum MTU.
const ERROR_LEN_MAX_V6: usize = 1280;

/// "`mac` has the address that `request` asks for", to who asked.
///
/// # Errors
/// [`EmitError::NoRoom`]: lend 42 bytes.
pub fn arp(buffer: &mut [u8], mac: MacAddr, request: &arp::Arp) -> Result<usize, EmitError> {
    request.reply(mac).emit(Link { src: mac, dst: request.sender_mac }, buffer)
}

/// "`mac` has the address that `solicitation` asks for", to who asked (RFC 4861 7.2.4). A probe from nobody is answered to all nodes.
/// `ip` and `asker` are those of the solicitation.
///
/// # Errors
/// [`EmitError::NoRoom`]: lend 86 bytes.
pub fn neighbor_advertisement(
    buffer: &mut [u8],
    mac: MacAddr,
    router: bool,
    asker: MacAddr,
    ip: &Ip,
    solicitation: &NeighborSolicitation,
) -> Result<usize, EmitError> {
    let advertisement = |solicited| NeighborAdvertisement {
        target: solicitation.target,
        router,
        solicited,
        r#override: true,
        target_link_layer: Some(mac),
    };
    let (dst, dst_mac, advertisement) = match ip.src {
        IpAddr::V6(src) if !src.is_unspecified() => {
            (src, solicitation.source_link_layer.unwrap_or(asker), advertisement(true))
        }
        _ => (ALL_NODES, MacAddr::of_multicast_ipv6(ALL_NODES), advertisement(false)),
    };
    let addresses = Addresses::V6 { src: solicitation.target, dst };
    let link = Link { src: mac, dst: dst_mac };
    emit::icmp(buffer, link, addresses, HOP_LIMIT, advertisement.fields(), |body: &mut [u8]| advertisement.emit(body))
}

/// A router advertisement from the link-local address `src`, to one host or to all nodes.
///
/// # Errors
/// As [`emit::ip`].
pub fn router_advertisement(
    buffer: &mut [u8],
    link: Link,
    src: Ipv6Addr,
    dst: Ipv6Addr,
    advertisement: &RouterAdvertisement,
) -> Result<usize, EmitError> {
    let addresses = Addresses::V6 { src, dst };
    emit::icmp(buffer, link, addresses, HOP_LIMIT, advertisement.fields(), |body: &mut [u8]| advertisement.emit(body))
}

/// "The packet is longer than `mtu`": ICMP fragmentation needed (RFC 1191) or ICMPv6 packet too big (RFC 4443 3.2), from `router`, to the
/// sender of `frame`, which gave `packet`. `Ok(None)` where no error may be sent: not IP, itself an error, a later fragment, a group, or
/// `router` of the other family.
///
/// # Errors
/// [`EmitError::NoRoom`]: lend 14 + 1280 bytes.
pub fn too_big(
    buffer: &mut [u8],
    router_mac: MacAddr,
    router: IpAddr,
    packet: &Packet,
    frame: &[u8],
    mtu: u16,
) -> Result<Option<usize>, EmitError> {
    let Some(ip) = packet.ip().filter(|ip| ip.may_cause_icmp_error() && ip.src.is_ipv4() == router.is_ipv4()) else {
        return Ok(None);
    };
    let [high, low] = mtu.to_be_bytes();
    let rest = [0, 0, high, low];
    let (fields, quoted_len_max) = if router.is_ipv4() {
        let fields = icmp::Fields { kind: v4::UNREACHABLE, code: v4::FRAGMENTATION_NEEDED, rest };
        (fields, ERROR_LEN_MAX_V4 - ipv4::HEADER_LEN - icmp::HEADER_LEN)
    } else {
        let fields = icmp::Fields { kind: v6::PACKET_TOO_BIG, code: 0, rest };
        (fields, ERROR_LEN_MAX_V6 - ipv6::HEADER_LEN - icmp::HEADER_LEN)
    };
    let quoted = ip.l3_bytes(frame);
    let quoted = quoted.get(..quoted_len_max).unwrap_or(quoted);
    let link = Link { src: router_mac, dst: packet.src_mac };
    emit::icmp(buffer, link, Addresses::of(router, ip.src), TTL, fields, emit::bytes(quoted)).map(Some)
}
