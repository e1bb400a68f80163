//! Translates one IPv4 packet in place: other addresses, ports and identifiers, and every checksum that covers them put right by what
//! changed alone (RFC 3022 4, RFC 1624; RFC 5508 4.2 for the packet that an ICMP error quotes).
//!
//! What is changed word by word stays as right or as wrong as it was: a checksum that did not hold before does not hold after. The
//! payload is never looked at. Of a later fragment, which has no transport header, only the addresses change; of a super-frame or a frame
//! whose checksum is left to its receiver, the pseudo-header's sum that stands in its place.

use crate::ip::protocol;
use crate::vnet::VnetHeader;
use crate::{Embedded, Ip, Transport, checksum, icmp, ipv4, tcp, udp};
use core::net::{IpAddr, Ipv4Addr};

/// What a packet shall say of its two ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ends {
    /// Source address.
    pub src: Ipv4Addr,
    /// Destination address.
    pub dst: Ipv4Addr,
    /// Ports of TCP and UDP; of an ICMP question or answer `src` is its identifier and `dst` counts for nothing. `None`: as they are.
    pub ports: Option<udp::Ports>,
}

/// What becomes of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rewrite {
    /// Of the packet itself.
    pub ends: Ends,
    /// Of an ICMP error: of the packet that it quotes. `None`: as they are.
    pub quoted: Option<Ends>,
}

/// Where things stand in an IPv4 header (RFC 791 3.1).
const IPV4_CHECKSUM: usize = 10;
const IPV4_SRC: usize = 12;
const IPV4_DST: usize = 16;
/// And in an ICMP header (RFC 792).
const ICMP_CHECKSUM: usize = 2;
const ICMP_ID: usize = 4;

/// A checksum field that covers what is changed.
#[derive(Clone, Copy)]
struct Covered {
    /// From the start of the frame.
    at: usize,
    form: Form,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// The complement of the sum.
    Finished,
    /// As that, and zero would mean that there is none.
    Udp,
    /// The pseudo-header's sum, which a receiver finishes: ports are not in it yet.
    PseudoHeader,
}

impl Rewrite {
    /// Writes the new ends into `frame`, which was parsed as `ip` and came with `header`, and returns what it is parsed as from here on.
    /// Anything but IPv4 stays as it is.
    pub fn apply(&self, header: &VnetHeader, ip: &Ip, frame: &mut [u8]) -> Ip {
        if ip.src.is_ipv6() {
            return *ip;
        }
        let l4 = transport_sum(header, ip, frame);
        let of_header = Covered { at: ip.l3 + IPV4_CHECKSUM, form: Form::Finished };
        // The pseudo-header of UDP and TCP has the addresses; ICMP has none.
        let of_addresses = l4.filter(|_| ip.protocol != protocol::ICMP);
        put_addresses(frame, ip.l3, &self.ends, [Some(of_header), of_addresses], None);
        if let Some(ports) = self.ends.ports {
            let sum = l4.filter(|sum| sum.form != Form::PseudoHeader);
            put_ports(frame, ip.l4, ip.transport, ports, [sum, None], None);
        }
        if let (Some(ends), Some(quoted)) = (&self.quoted, &ip.embedded) {
            put_quoted(frame, ip, quoted, ends, l4.filter(|sum| sum.form != Form::PseudoHeader));
        }
        self.parsed(ip)
    }

    fn parsed(&self, ip: &Ip) -> Ip {
        let embedded = match (self.quoted, ip.embedded) {
            (Some(ends), Some(quoted)) => Some(Embedded {
                src: ends.src.into(),
                dst: ends.dst.into(),
                transport: with_ports(quoted.transport, ends.ports),
                ..quoted
            }),
            (_, quoted) => quoted,
        };
        let Ends { src, dst, ports } = self.ends;
        let transport = with_ports(ip.transport, ports);
        Ip { src: IpAddr::V4(src), dst: IpAddr::V4(dst), transport, embedded, ..*ip }
    }
}

fn with_ports(transport: Transport, ports: Option<udp::Ports>) -> Transport {
    match (transport, ports) {
        (Transport::Tcp { flags, .. }, Some(udp::Ports { src, dst })) => {
            Transport::Tcp { src_port: src, dst_port: dst, flags }
        }
        (Transport::Udp { .. }, Some(udp::Ports { src, dst })) => Transport::Udp { src_port: src, dst_port: dst },
        (Transport::Icmp { kind, code, id: Some(_) }, Some(udp::Ports { src, .. })) => {
            Transport::Icmp { kind, code, id: Some(src) }
        }
        (other, _) => other,
    }
}

/// The transport checksum of a packet, if it has one.
fn transport_sum(header: &VnetHeader, ip: &Ip, frame: &[u8]) -> Option<Covered> {
    let is_partial = header.needs_csum && usize::from(header.csum_start) == ip.l4;
    let (offset, form) = match ip.transport {
        Transport::Tcp { .. } => (usize::from(tcp::CHECKSUM_OFFSET), Form::Finished),
        Transport::Udp { .. } => (usize::from(udp::CHECKSUM_OFFSET), Form::Udp),
        Transport::Icmp { .. } => (ICMP_CHECKSUM, Form::Finished),
        Transport::Other | Transport::InFirstFragment => return None,
    };
    let at = ip.l4 + offset;
    let is_none = form == Form::Udp && !is_partial && read(frame, at)? == 0;
    let form = if is_partial { Form::PseudoHeader } else { form };
    (!is_none).then_some(Covered { at, form })
}

/// The packet inside an ICMP error, whose own checksum is `outer`.
fn put_quoted(frame: &mut [u8], ip: &Ip, quoted: &Embedded, ends: &Ends, outer: Option<Covered>) {
    let l3 = ip.l4 + icmp::HEADER_LEN;
    let Some(header) = frame.get(l3..ip.end()).and_then(|bytes| ipv4::Header::view(bytes).ok()) else { return };
    let l4 = l3 + header.header_len();
    // It may be cut behind eight bytes of its transport header.
    let within = |at: usize, form| (at + 2 <= ip.end()).then_some(Covered { at, form });
    let sum = match quoted.transport {
        Transport::Tcp { .. } => within(l4 + usize::from(tcp::CHECKSUM_OFFSET), Form::Finished),
        Transport::Udp { .. } => within(l4 + usize::from(udp::CHECKSUM_OFFSET), Form::Udp)
            .filter(|sum| read(frame, sum.at).is_some_and(|sum| sum != 0)),
        Transport::Icmp { .. } => within(l4 + ICMP_CHECKSUM, Form::Finished),
        Transport::Other | Transport::InFirstFragment => None,
    };
    let of_header = Covered { at: l3 + IPV4_CHECKSUM, form: Form::Finished };
    let of_addresses = sum.filter(|_| quoted.protocol != protocol::ICMP);
    put_addresses(frame, l3, ends, [Some(of_header), of_addresses], outer);
    if let Some(ports) = ends.ports {
        put_ports(frame, l4, quoted.transport, ports, [sum, None], outer);
    }
}

fn put_addresses(frame: &mut [u8], l3: usize, ends: &Ends, sums: [Option<Covered>; 2], outer: Option<Covered>) {
    put(frame, l3 + IPV4_SRC, ends.src.octets(), sums, outer);
    put(frame, l3 + IPV4_DST, ends.dst.octets(), sums, outer);
}

fn put_ports(
    frame: &mut [u8],
    l4: usize,
    transport: Transport,
    ports: udp::Ports,
    sums: [Option<Covered>; 2],
    outer: Option<Covered>,
) {
    match transport {
        Transport::Tcp { .. } | Transport::Udp { .. } => {
            put(frame, l4, ports.src.to_be_bytes(), sums, outer);
            put(frame, l4 + 2, ports.dst.to_be_bytes(), sums, outer);
        }
        Transport::Icmp { id: Some(_), .. } => put(frame, l4 + ICMP_ID, ports.src.to_be_bytes(), sums, outer),
        Transport::Icmp { id: None, .. } | Transport::Other | Transport::InFirstFragment => {}
    }
}

/// Replaces bytes at an even place and puts right the checksums over them; `outer` covers those checksums too.
fn put<const N: usize>(frame: &mut [u8], at: usize, new: [u8; N], sums: [Option<Covered>; 2], outer: Option<Covered>) {
    let Some(place) = frame.get_mut(at..).and_then(|rest| rest.first_chunk_mut::<N>()) else { return };
    let old = core::mem::replace(place, new);
    if old == new {
        return;
    }
    for sum in sums.into_iter().flatten() {
        let Some((before, after)) = correct(frame, sum, &old, &new) else { continue };
        if let Some(outer) = outer {
            correct(frame, outer, &before, &after);
        }
    }
    if let Some(outer) = outer {
        correct(frame, outer, &old, &new);
    }
}

/// A checksum after bytes under it changed: what stood there, and what stands there now.
fn correct(frame: &mut [u8], Covered { at, form }: Covered, old: &[u8], new: &[u8]) -> Option<([u8; 2], [u8; 2])> {
    let place = frame.get_mut(at..)?.first_chunk_mut::<2>()?;
    let before = *place;
    let sum = u16::from_be_bytes(before);
    let after = match form {
        Form::Finished => checksum::update_bytes(sum, old, new),
        Form::Udp => udp::nonzero(checksum::update_bytes(sum, old, new)),
        Form::PseudoHeader => !checksum::update_bytes(!sum, old, new),
    };
    *place = after.to_be_bytes();
    Some((before, *place))
}

fn read(frame: &[u8], at: usize) -> Option<u16> {
    frame.get(at..)?.first_chunk::<2>().map(|bytes| u16::from_be_bytes(*bytes))
}
