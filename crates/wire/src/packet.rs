//! The one-pass parser of the data plane: what a guest's frame is, or why it is refused (spec 11.5: D32, D33, D34).
//!
//! Strict where leniency has been a hole elsewhere: lengths, IPv4 checksum and options, extension headers, fragments that hide ports.
//! Transport checksums are not looked at, for a frame from a TAP may leave them to the receiver ([`crate::vnet`]).

use crate::ethernet::{self, ethertype};
use crate::ip::protocol;
use crate::tcp::TcpFlags;
use crate::{Addresses, Fragment, MacAddr, Malformed, arp, icmp, ipv4, ipv6, tcp, udp};
use core::net::IpAddr;

/// A frame that may be looked at further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet {
    /// Source MAC.
    pub src_mac: MacAddr,
    /// Destination MAC.
    pub dst_mac: MacAddr,
    /// What it carries.
    pub kind: Kind,
}

/// What a frame carries. Everything else is refused as [`crate::Class::NotCarried`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// ARP.
    Arp(arp::Arp),
    /// IPv4 or IPv6; `src` says which.
    Ip(Ip),
}

/// An IP packet. Offsets count from the start of the Ethernet frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ip {
    /// Source address.
    pub src: IpAddr,
    /// Destination address, of the same family.
    pub dst: IpAddr,
    /// The transport protocol, behind IPv6's extension headers. In a later IPv6 fragment it is what the fragment header names, which may
    /// differ from the first fragment's: find the datagram by addresses and id.
    pub protocol: u8,
    /// TTL or hop limit.
    pub ttl: u8,
    /// DSCP and ECN: type of service or traffic class.
    pub traffic_class: u8,
    /// IP header and everything behind it, in bytes; what the frame has beyond is padding.
    pub total_length: usize,
    /// Where the IP header starts.
    pub l3: usize,
    /// Where the transport header starts, or a later fragment's data.
    pub l4: usize,
    /// Where a fragment's data start, which its offset counts from: behind IPv6's fragment header, which more extension headers may
    /// follow in the first fragment. Of a whole packet, and always of IPv4, it is `l4`.
    pub fragment_data: usize,
    /// Where the data behind the transport header starts; equal to `l4` where [`Transport`] has no header.
    pub payload: usize,
    /// The fragment's place, or `None` for a whole packet.
    pub fragment: Option<Fragment>,
    /// IPv4's DF bit; always true for IPv6.
    pub dont_fragment: bool,
    /// What the transport header says.
    pub transport: Transport,
    /// Of an ICMP error: the packet that it complains about, as far as it can be read.
    pub embedded: Option<Embedded>,
}

/// What the transport header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    /// TCP.
    Tcp {
        /// Source port.
        src_port: u16,
        /// Destination port.
        dst_port: u16,
        /// Control bits; none inside an ICMP error, which need not carry them.
        flags: TcpFlags,
    },
    /// UDP.
    Udp {
        /// Source port.
        src_port: u16,
        /// Destination port.
        dst_port: u16,
    },
    /// ICMP in IPv4, ICMPv6 in IPv6.
    Icmp {
        /// Message type.
        kind: u8,
        /// Code.
        code: u8,
        /// The identifier of a question or answer.
        id: Option<u16>,
    },
    /// A protocol that this crate does not look into.
    Other,
    /// A later fragment: the header is in the first one.
    InFirstFragment,
}

/// The flow that an ICMP error is about, in the direction in which the complained packet travelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Embedded {
    /// Source address.
    pub src: IpAddr,
    /// Destination address.
    pub dst: IpAddr,
    /// The transport protocol.
    pub protocol: u8,
    /// Ports or identifier.
    pub transport: Transport,
}

impl Packet {
    /// Reads an Ethernet frame, without virtio-net header and without FCS. Takes any bytes; never panics, never allocates.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn parse(frame: &[u8]) -> Result<Packet, Malformed> {
        let (header, rest) = ethernet::Header::split(frame).ok_or(Malformed::ShortFrame)?;
        let kind = match header.ethertype() {
            ethertype::IPV4 => Kind::Ip(parse_ipv4(rest)?),
            ethertype::IPV6 => Kind::Ip(parse_ipv6(rest)?),
            ethertype::ARP => Kind::Arp(arp::Arp::parse(rest)?),
            ethertype::VLAN | ethertype::SERVICE_VLAN => return Err(Malformed::Vlan),
            length if length < ethertype::LEAST => return Err(Malformed::Llc),
            other => return Err(Malformed::Ethertype(other)),
        };
        let link = header.link();
        Ok(Packet { src_mac: link.src, dst_mac: link.dst, kind })
    }

    /// The IP packet, if it is one.
    #[must_use]
    pub fn ip(&self) -> Option<&Ip> {
        match &self.kind {
            Kind::Ip(ip) => Some(ip),
            Kind::Arp(_) => None,
        }
    }
}

impl Ip {
    /// Reads an IP packet that came without a frame, as one out of a tunnel does. The offsets count as if an Ethernet header stood in
    /// front of it.
    ///
    /// # Errors
    /// As [`Packet::parse`]; [`Malformed::Version`] if it is neither IPv4 nor IPv6.
    pub fn parse(packet: &[u8]) -> Result<Ip, Malformed> {
        match packet.first().ok_or(Malformed::ShortIpHeader)? >> 4 {
            4 => parse_ipv4(packet),
            6 => parse_ipv6(packet),
            _ => Err(Malformed::Version),
        }
    }

    /// Where the packet ends; the frame may go on with padding.
    #[must_use]
    pub fn end(&self) -> usize {
        self.l3 + self.total_length
    }

    /// Source and destination.
    #[must_use]
    pub fn addresses(&self) -> Addresses {
        Addresses::of(self.src, self.dst)
    }

    /// From the IP header to the end of the packet. `frame` is the one that was parsed; of any other, nothing or other bytes.
    #[must_use]
    pub fn l3_bytes<'f>(&self, frame: &'f [u8]) -> &'f [u8] {
        frame.get(self.l3..self.end()).unwrap_or_default()
    }

    /// From the transport header to the end of the packet.
    #[must_use]
    pub fn l4_bytes<'f>(&self, frame: &'f [u8]) -> &'f [u8] {
        frame.get(self.l4..self.end()).unwrap_or_default()
    }

    /// The data behind the transport header; of UDP, no more than its own length says.
    #[must_use]
    pub fn payload_bytes<'f>(&self, frame: &'f [u8]) -> &'f [u8] {
        let bytes = frame.get(self.payload..self.end()).unwrap_or_default();
        match (self.transport, self.fragment, udp::Header::parse(self.l4_bytes(frame))) {
            (Transport::Udp { .. }, None, Ok(header)) => {
                bytes.get(..header.length() - udp::HEADER_LEN).unwrap_or(bytes)
            }
            _ => bytes,
        }
    }

    /// Whether a host may answer this packet with an ICMP error (RFC 1122 3.2.2, RFC 4443 2.4 e): not another error, not a later
    /// fragment, not from or to anything but one host.
    #[must_use]
    pub fn may_cause_icmp_error(&self) -> bool {
        let is_error = match (self.protocol, self.transport) {
            (protocol::ICMP, Transport::Icmp { kind, .. }) => icmp::v4::is_error(kind),
            (protocol::ICMPV6, Transport::Icmp { kind, .. }) => icmp::v6::is_error(kind) || kind == REDIRECT_V6,
            _ => false,
        };
        let is_one_host = |address: IpAddr| match address {
            IpAddr::V4(v4) => !v4.is_unspecified() && !v4.is_multicast() && !v4.is_broadcast() && !v4.is_loopback(),
            IpAddr::V6(v6) => !v6.is_unspecified() && !v6.is_multicast() && !v6.is_loopback(),
        };
        !is_error && self.transport != Transport::InFirstFragment && is_one_host(self.src) && is_one_host(self.dst)
    }
}

const REDIRECT_V6: u8 = 137;

impl Transport {
    /// Source and destination port of TCP and UDP.
    #[must_use]
    pub fn ports(self) -> Option<(u16, u16)> {
        match self {
            Transport::Tcp { src_port, dst_port, .. } | Transport::Udp { src_port, dst_port } => {
                Some((src_port, dst_port))
            }
            Transport::Icmp { .. } | Transport::Other | Transport::InFirstFragment => None,
        }
    }
}

fn parse_ipv4(bytes: &[u8]) -> Result<Ip, Malformed> {
    let header = ipv4::Header::parse(bytes)?;
    let packet = bytes.get(..header.total_length()).ok_or(Malformed::TotalLength)?;
    let start =
        Start { is_v6: false, protocol: header.protocol(), len: header.header_len(), fragment: header.fragment() };
    let (transport, l4_len, embedded) = start.read(packet)?;
    let l4 = ethernet::HEADER_LEN + start.len;
    Ok(Ip {
        src: header.src().into(),
        dst: header.dst().into(),
        protocol: start.protocol,
        ttl: header.ttl(),
        traffic_class: header.tos(),
        total_length: packet.len(),
        l3: ethernet::HEADER_LEN,
        l4,
        fragment_data: l4,
        payload: l4 + l4_len,
        fragment: start.fragment,
        dont_fragment: header.dont_fragment(),
        transport,
        embedded,
    })
}

fn parse_ipv6(bytes: &[u8]) -> Result<Ip, Malformed> {
    let header = ipv6::Header::parse(bytes)?;
    let packet = bytes.get(..ipv6::HEADER_LEN + header.payload_length()).ok_or(Malformed::TotalLength)?;
    let chain = ipv6::walk(header.next_header(), packet.get(ipv6::HEADER_LEN..).unwrap_or_default())?;
    chain.check_fragment(header.payload_length())?;
    let start =
        Start { is_v6: true, protocol: chain.protocol, len: ipv6::HEADER_LEN + chain.len, fragment: chain.fragment };
    let (transport, l4_len, embedded) = start.read(packet)?;
    let l4 = ethernet::HEADER_LEN + start.len;
    Ok(Ip {
        src: header.src().into(),
        dst: header.dst().into(),
        protocol: start.protocol,
        ttl: header.hop_limit(),
        traffic_class: header.traffic_class(),
        total_length: packet.len(),
        l3: ethernet::HEADER_LEN,
        l4,
        fragment_data: chain.fragment.map_or(l4, |_| ethernet::HEADER_LEN + ipv6::HEADER_LEN + chain.fragment_data),
        payload: l4 + l4_len,
        fragment: start.fragment,
        dont_fragment: true,
        transport,
        embedded,
    })
}

/// Where and what the transport header is.
#[derive(Clone, Copy)]
struct Start {
    is_v6: bool,
    protocol: u8,
    /// Bytes of IP headers in front of it.
    len: usize,
    fragment: Option<Fragment>,
}

impl Start {
    /// The transport header of a whole `packet`, its length, and an ICMP error's embedded flow.
    fn read(self, packet: &[u8]) -> Result<(Transport, usize, Option<Embedded>), Malformed> {
        let l4 = packet.get(self.len..).unwrap_or_default();
        match self.fragment {
            Some(fragment) if fragment.is_later() => {
                // RFC 1858 3: a later fragment must not be able to write over the header that was judged.
                let starts_inside = self.protocol == protocol::TCP && (fragment.offset as usize) < tcp::HEADER_LEN;
                if starts_inside { Err(Malformed::TinyFragment) } else { Ok((Transport::InFirstFragment, 0, None)) }
            }
            Some(_) => self.read_header(l4, false).map_err(|_| Malformed::TinyFragment),
            None => self.read_header(l4, true),
        }
    }

    fn read_header(self, l4: &[u8], whole: bool) -> Result<(Transport, usize, Option<Embedded>), Malformed> {
        match (self.protocol, self.is_v6) {
            (protocol::TCP, _) => {
                let header = tcp::Header::parse(l4)?;
                let tcp::Fields { src_port, dst_port, flags, .. } = header.fields();
                Ok((Transport::Tcp { src_port, dst_port, flags }, header.header_len(), None))
            }
            (protocol::UDP, _) => {
                let header = udp::Header::parse(l4)?;
                if whole && header.length() > l4.len() {
                    return Err(Malformed::UdpHeader);
                }
                let udp::Ports { src, dst } = header.ports();
                Ok((Transport::Udp { src_port: src, dst_port: dst }, udp::HEADER_LEN, None))
            }
            (protocol::ICMP, false) | (protocol::ICMPV6, true) => {
                let (header, rest) = icmp::Header::split(l4)?;
                let embedded = if self.is_error(header.kind()) { embedded(self.is_v6, rest) } else { None };
                Ok((self.icmp(header), icmp::HEADER_LEN, embedded))
            }
            _ => Ok((Transport::Other, 0, None)),
        }
    }

    fn is_error(self, kind: u8) -> bool {
        if self.is_v6 { icmp::v6::is_error(kind) } else { icmp::v4::is_error(kind) }
    }

    fn icmp(self, header: icmp::Header<'_>) -> Transport {
        let kind = header.kind();
        let is_query = if self.is_v6 { icmp::v6::is_query(kind) } else { icmp::v4::is_query(kind) };
        Transport::Icmp { kind, code: header.code(), id: is_query.then(|| header.id()) }
    }
}

/// The flow of a packet inside an ICMP error. It may be cut behind eight bytes of its transport header (RFC 792) and its header may have
/// been changed on the way, so lengths and checksums say nothing here.
fn embedded(is_v6: bool, bytes: &[u8]) -> Option<Embedded> {
    let (src, dst, start): (IpAddr, IpAddr, Start) = if is_v6 {
        let header = ipv6::Header::view(bytes).ok()?;
        let chain = ipv6::walk(header.next_header(), bytes.get(ipv6::HEADER_LEN..)?).ok()?;
        let len = ipv6::HEADER_LEN + chain.len;
        let start = Start { is_v6, protocol: chain.protocol, len, fragment: chain.fragment };
        (header.src().into(), header.dst().into(), start)
    } else {
        let header = ipv4::Header::view(bytes).ok()?;
        let start = Start { is_v6, protocol: header.protocol(), len: header.header_len(), fragment: header.fragment() };
        (header.src().into(), header.dst().into(), start)
    };
    let transport = start.read_embedded(bytes.get(start.len..)?)?;
    Some(Embedded { src, dst, protocol: start.protocol, transport })
}

impl Start {
    fn read_embedded(self, l4: &[u8]) -> Option<Transport> {
        if self.fragment.is_some_and(Fragment::is_later) {
            return Some(Transport::InFirstFragment);
        }
        let ports = |bytes: &[u8]| {
            let [a, b, c, d] = *bytes.first_chunk::<4>()?;
            Some((u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])))
        };
        Some(match (self.protocol, self.is_v6) {
            (protocol::TCP, _) => {
                let (src_port, dst_port) = ports(l4)?;
                Transport::Tcp { src_port, dst_port, flags: TcpFlags::default() }
            }
            (protocol::UDP, _) => {
                let (src_port, dst_port) = ports(l4)?;
                Transport::Udp { src_port, dst_port }
            }
            (protocol::ICMP, false) | (protocol::ICMPV6, true) => self.icmp(icmp::Header::split(l4).ok()?.0),
            _ => Transport::Other,
        })
    }
}
