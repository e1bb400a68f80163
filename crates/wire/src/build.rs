//! Owned, valid frames for tests and the simulator. What is wrong here is wrong in the test, so these functions panic where
//! [`crate::emit`] returns an error: a packet beyond 65535 bytes, or a frame of the wrong kind.

use crate::bytes::EmitError;
use crate::ethernet::{HEADER_LEN, Link};
use crate::ndp::{self, ALL_ROUTERS, NeighborSolicitation};
use crate::vnet::{GsoType, VnetHeader};
use crate::{Addresses, Fragment, Ip, Kind, MacAddr, Packet, TcpFlags, Transport};
use crate::{arp, checksum, dhcpv4, dhcpv6, emit, icmp, ipv4, ipv6, tcp, udp};
use alloc::vec;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// TTL of built packets.
pub const TTL: u8 = 64;

/// A UDP datagram.
#[must_use]
pub fn udp(link: Link, src: SocketAddr, dst: SocketAddr, payload: &[u8]) -> Vec<u8> {
    let ports = udp::Ports { src: src.port(), dst: dst.port() };
    owned(payload, |buffer| {
        emit::udp(buffer, link, Addresses::of(src.ip(), dst.ip()), TTL, ports, emit::bytes(payload))
    })
}

/// A TCP segment with sequence number 1 and an open window.
#[must_use]
pub fn tcp(link: Link, src: SocketAddr, dst: SocketAddr, flags: TcpFlags, payload: &[u8]) -> Vec<u8> {
    let (src_port, dst_port) = (src.port(), dst.port());
    let ack = u32::from(flags.contains(TcpFlags::ACK));
    let fields = tcp::Fields { src_port, dst_port, seq: 1, ack, flags, window: u16::MAX };
    tcp_segment(link, Addresses::of(src.ip(), dst.ip()), fields, payload)
}

/// A TCP segment with all its fields.
#[must_use]
pub fn tcp_segment(link: Link, addresses: Addresses, fields: tcp::Fields, payload: &[u8]) -> Vec<u8> {
    owned(payload, |buffer| emit::tcp(buffer, link, addresses, TTL, fields, emit::bytes(payload)))
}

/// A TCP super-frame as a TAP hands it over: cut to `mss`, checksum left to the receiver.
#[must_use]
pub fn tcp_super_frame(
    link: Link,
    src: SocketAddr,
    dst: SocketAddr,
    payload: &[u8],
    mss: u16,
) -> (VnetHeader, Vec<u8>) {
    let gso_type = if src.is_ipv4() { GsoType::TcpV4 } else { GsoType::TcpV6 };
    super_frame(&tcp(link, src, dst, TcpFlags::ACK | TcpFlags::PSH, payload), gso_type, payload.len(), mss)
}

/// A UDP super-frame as a TAP hands it over: cut to datagrams of `size` bytes of data, checksum left to the receiver.
#[must_use]
pub fn udp_super_frame(
    link: Link,
    src: SocketAddr,
    dst: SocketAddr,
    payload: &[u8],
    size: u16,
) -> (VnetHeader, Vec<u8>) {
    super_frame(&udp(link, src, dst, payload), GsoType::UdpL4, payload.len(), size)
}

fn super_frame(frame: &[u8], gso_type: GsoType, payload_len: usize, gso_size: u16) -> (VnetHeader, Vec<u8>) {
    let (header, frame) = with_partial_checksum(frame);
    let hdr_len = (frame.len() - payload_len) as u16;
    (VnetHeader { gso_type, gso_size, hdr_len, ..header }, frame)
}

/// An echo request or reply.
#[must_use]
pub fn icmp_echo(
    link: Link,
    src: IpAddr,
    dst: IpAddr,
    request: bool,
    id: u16,
    sequence: u16,
    payload: &[u8],
) -> Vec<u8> {
    let addresses = Addresses::of(src, dst);
    icmp(link, src, dst, icmp::Fields::echo(addresses, request, id, sequence), payload)
}

/// An ICMP or ICMPv6 message; of an error, `payload` quotes the packet complained about, from its IP header.
#[must_use]
pub fn icmp(link: Link, src: IpAddr, dst: IpAddr, fields: icmp::Fields, payload: &[u8]) -> Vec<u8> {
    owned(payload, |buffer| emit::icmp(buffer, link, Addresses::of(src, dst), TTL, fields, emit::bytes(payload)))
}

/// An IP packet of any protocol.
#[must_use]
pub fn ip(link: Link, src: IpAddr, dst: IpAddr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    owned(payload, |buffer| emit::ip(buffer, link, Addresses::of(src, dst), TTL, protocol, emit::bytes(payload)))
}

/// An ARP packet.
#[must_use]
pub fn arp(link: Link, packet: &arp::Arp) -> Vec<u8> {
    owned(&[], |buffer| packet.emit(link, buffer))
}

/// "Who has `target`?", to everybody.
#[must_use]
pub fn arp_request(sender_mac: MacAddr, sender_ip: Ipv4Addr, target_ip: Ipv4Addr) -> Vec<u8> {
    let operation = arp::Operation::Request;
    let packet = arp::Arp { operation, sender_mac, sender_ip, target_mac: MacAddr::ZERO, target_ip };
    arp(Link { src: sender_mac, dst: MacAddr::BROADCAST }, &packet)
}

/// "Who has `target`?", to the target's group; from the unspecified address it is a probe and names no MAC.
#[must_use]
pub fn neighbor_solicitation(mac: MacAddr, src: Ipv6Addr, target: Ipv6Addr) -> Vec<u8> {
    let source_link_layer = (!src.is_unspecified()).then_some(mac);
    let solicitation = NeighborSolicitation { target, source_link_layer };
    let group = NeighborSolicitation::group_of(target);
    ndp(mac, src, group, solicitation.fields(), |body: &mut [u8]| solicitation.emit(body))
}

/// "Routers, speak up."
#[must_use]
pub fn router_solicitation(mac: MacAddr, src: Ipv6Addr) -> Vec<u8> {
    let fields = icmp::Fields { kind: ndp::kind::ROUTER_SOLICITATION, code: 0, rest: [0; 4] };
    let [a, b, c, d, e, f] = mac.0;
    let source_link_layer = [1, 1, a, b, c, d, e, f];
    let options = if src.is_unspecified() { &[][..] } else { &source_link_layer[..] };
    ndp(mac, src, ALL_ROUTERS, fields, emit::bytes(options))
}

/// A DHCPv4 client's message, to everybody.
#[must_use]
pub fn dhcpv4_client(mac: MacAddr, message: &dhcpv4::Message) -> Vec<u8> {
    let link = Link { src: mac, dst: MacAddr::BROADCAST };
    let addresses = Addresses::V4 { src: message.ciaddr, dst: Ipv4Addr::BROADCAST };
    let ports = udp::Ports { src: dhcpv4::CLIENT_PORT, dst: dhcpv4::SERVER_PORT };
    owned(&[], |buffer| emit::udp(buffer, link, addresses, TTL, ports, |body: &mut [u8]| message.emit(body)))
}

/// A DHCPv6 client's message, to all servers.
#[must_use]
pub fn dhcpv6_client(mac: MacAddr, src: Ipv6Addr, message: &dhcpv6::Message) -> Vec<u8> {
    let link = Link { src: mac, dst: MacAddr::of_multicast_ipv6(dhcpv6::ALL_SERVERS) };
    let addresses = Addresses::V6 { src, dst: dhcpv6::ALL_SERVERS };
    let ports = udp::Ports { src: dhcpv6::CLIENT_PORT, dst: dhcpv6::SERVER_PORT };
    owned(&[], |buffer| emit::udp(buffer, link, addresses, TTL, ports, |body: &mut [u8]| message.emit(body)))
}

/// A message of neighbour discovery to a group.
fn ndp(mac: MacAddr, src: Ipv6Addr, group: Ipv6Addr, fields: icmp::Fields, body: impl emit::WritePayload) -> Vec<u8> {
    let link = Link { src: mac, dst: MacAddr::of_multicast_ipv6(group) };
    owned(&[], |buffer| emit::icmp(buffer, link, Addresses::V6 { src, dst: group }, ndp::HOP_LIMIT, fields, body))
}

/// What a TAP with `IFF_VNET_HDR` reads and writes: header and frame.
#[must_use]
pub fn with_vnet(header: &VnetHeader, frame: &[u8]) -> Vec<u8> {
    [&header.to_bytes()[..], frame].concat()
}

/// A whole TCP or UDP frame with its checksum left to the receiver, as Linux hands over what its own sockets send.
///
/// # Panics
/// If the frame is not a whole TCP or UDP packet.
#[must_use]
pub fn with_partial_checksum(frame: &[u8]) -> (VnetHeader, Vec<u8>) {
    let ip = parsed_ip(frame);
    let csum_offset = match ip.transport {
        Transport::Tcp { .. } => tcp::CHECKSUM_OFFSET,
        Transport::Udp { .. } => udp::CHECKSUM_OFFSET,
        other => panic!("{other:?} has no checksum to leave"),
    };
    let mut frame = frame.to_vec();
    let partial = checksum::pseudo_header(ip.addresses(), ip.protocol, ip.end() - ip.l4).partial();
    let at = ip.l4 + usize::from(csum_offset);
    frame[at..at + 2].copy_from_slice(&partial.to_be_bytes());
    let header = VnetHeader { needs_csum: true, csum_start: ip.l4 as u16, csum_offset, ..VnetHeader::default() };
    (header, frame)
}

/// The frame with an 802.1Q tag.
#[must_use]
pub fn with_vlan(frame: &[u8], vlan: u16) -> Vec<u8> {
    let (addresses, rest) = frame.split_at(12);
    [addresses, &[0x81, 0x00], &vlan.to_be_bytes(), rest].concat()
}

/// An IPv6 frame with one more extension header, right behind the fixed header. Its first byte becomes the next header that was there.
///
/// # Panics
/// If the frame is not IPv6.
#[must_use]
pub fn with_extension(frame: &[u8], number: u8, header: &[u8]) -> Vec<u8> {
    let (fixed, rest) = frame.split_at(HEADER_LEN + ipv6::HEADER_LEN);
    let mut out = fixed.to_vec();
    assert_eq!(out[HEADER_LEN] >> 4, 6, "not an ipv6 frame");
    let next = core::mem::replace(&mut out[HEADER_LEN + 6], number);
    let length = (header.len() + rest.len()) as u16;
    out[HEADER_LEN + 4..HEADER_LEN + 6].copy_from_slice(&length.to_be_bytes());
    out.push(next);
    out.extend(&header[1..]);
    out.extend(rest);
    out
}

/// A whole IP frame cut into fragments of at most `size` bytes of payload each (rounded down to a multiple of 8), in order.
///
/// # Panics
/// If the frame is not a whole IP packet or `size` is below 8.
#[must_use]
pub fn fragments(frame: &[u8], id: u32, size: usize) -> Vec<Vec<u8>> {
    let ip = parsed_ip(frame);
    let (data, step) = (ip.l4_bytes(frame), size / 8 * 8);
    assert!(step > 0 && ip.fragment.is_none(), "fragments need a whole packet and room for 8 bytes");
    let link = Link { src: MacAddr([0; 6]), dst: MacAddr([0; 6]) };
    let cut = |(index, chunk): (usize, &[u8])| {
        let offset = index * step;
        let fragment = Fragment { id, offset: offset as u32, more: offset + chunk.len() < data.len() };
        let mut out = one_fragment(link, &ip, fragment, chunk);
        out[..12].copy_from_slice(&frame[..12]);
        out
    };
    data.chunks(step).enumerate().map(cut).collect()
}

fn one_fragment(link: Link, ip: &Ip, fragment: Fragment, chunk: &[u8]) -> Vec<u8> {
    owned(chunk, |buffer| match ip.addresses() {
        Addresses::V4 { src, dst } => {
            let len = emit::ip(buffer, link, ip.addresses(), ip.ttl, ip.protocol, emit::bytes(chunk))?;
            let fields = ipv4::Fields {
                src,
                dst,
                protocol: ip.protocol,
                ttl: ip.ttl,
                dont_fragment: false,
                fragment: Some(fragment),
            };
            fields.emit(&mut crate::bytes::Writer::new(&mut buffer[HEADER_LEN..]), chunk.len())?;
            Ok(len)
        }
        Addresses::V6 { .. } => {
            let payload = [&ipv6::fragment_header(ip.protocol, fragment)[..], chunk].concat();
            let number = ipv6::extension::FRAGMENT;
            emit::ip(buffer, link, ip.addresses(), ip.ttl, number, emit::bytes(&payload))
        }
    })
}

fn parsed_ip(frame: &[u8]) -> Ip {
    match Packet::parse(frame) {
        Ok(Packet { kind: Kind::Ip(ip), .. }) => ip,
        other => panic!("an ip frame is needed, this is {other:?}"),
    }
}

/// Room for the largest headers that are written here and a DHCP message.
const HEADERS_LEN_MAX: usize = 2048;

fn owned(payload: &[u8], write: impl FnOnce(&mut [u8]) -> Result<usize, EmitError>) -> Vec<u8> {
    let mut buffer = vec![0; HEADERS_LEN_MAX + payload.len()];
    match write(&mut buffer) {
        Ok(len) => {
            buffer.truncate(len);
            buffer
        }
        Err(refused) => panic!("the frame cannot be built: {refused}"),
    }
}
