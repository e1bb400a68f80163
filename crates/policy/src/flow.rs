//! What a packet says about itself, as far as the law asks: addresses, protocol, ports, ICMP type (spec 6.3, 6.4.1, 7.2).
//!
//! A later fragment carries no ports of its own: the caller judges it by the [`Flow`] of its first fragment (spec 11.5).

use core::hash::{Hash, Hasher};
use core::net::IpAddr;

/// The protocol numbers whose ports or types rules can name (IANA).
pub mod protocol {
    pub const ICMP: u8 = 1;
    pub const TCP: u8 = 6;
    pub const UDP: u8 = 17;
    pub const ICMPV6: u8 = 58;
}

/// One packet's header, parsed. Source and destination are of one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    pub src: IpAddr,
    pub dst: IpAddr,
    /// The protocol behind the IP header and its extension headers.
    pub protocol: u8,
    pub l4: L4,
}

/// What the protocol adds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum L4 {
    Tcp {
        src: u16,
        dst: u16,
        flags: TcpFlags,
    },
    Udp {
        src: u16,
        dst: u16,
    },
    /// A question or its answer: echo, timestamp, and the older ones.
    IcmpQuery {
        kind: u8,
        code: u8,
        id: u16,
    },
    /// An error about another packet; `embedded` is that packet's key, as it was sent.
    IcmpError {
        kind: u8,
        code: u8,
        embedded: FlowKey,
    },
    /// Any other ICMP message, and an error whose inner packet cannot be read: only rules can admit it.
    Icmp {
        kind: u8,
        code: u8,
    },
    Other,
}

/// What kind of ICMP message a type is, for either family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IcmpClass {
    Query,
    Error,
    Other,
}

impl IcmpClass {
    /// The class of a type under protocol 1 or 58 (RFC 792, 950, 4443).
    pub fn of(protocol: u8, kind: u8) -> IcmpClass {
        match (protocol, kind) {
            (protocol::ICMP, 0 | 8 | 13..=18) | (protocol::ICMPV6, 128 | 129) => IcmpClass::Query,
            (protocol::ICMP, 3 | 4 | 11 | 12) | (protocol::ICMPV6, 1..=4) => IcmpClass::Error,
            _ => IcmpClass::Other,
        }
    }
}

/// The flags byte of a TCP header (RFC 9293).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpFlags(pub u8);

impl TcpFlags {
    pub const FIN: TcpFlags = TcpFlags(0x01);
    pub const SYN: TcpFlags = TcpFlags(0x02);
    pub const RST: TcpFlags = TcpFlags(0x04);
    pub const ACK: TcpFlags = TcpFlags(0x10);
    pub const SYN_ACK: TcpFlags = TcpFlags(0x12);

    pub fn contains(self, other: TcpFlags) -> bool {
        self.0 & other.0 == other.0
    }

    /// The first packet of a connection: SYN without ACK and without RST.
    pub fn is_opening(self) -> bool {
        self.contains(TcpFlags::SYN) && !self.contains(TcpFlags::ACK) && !self.contains(TcpFlags::RST)
    }
}

/// Which conversation a packet belongs to, as this packet is directed.
///
/// For ICMP questions `sport` is the identifier and `dport` the type, so that an answer is its question [reversed](FlowKey::reversed)
/// and a question never is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FlowKey {
    pub src: IpAddr,
    pub dst: IpAddr,
    pub protocol: u8,
    pub sport: u16,
    pub dport: u16,
}

/// Few and whole words: a hash is computed for every packet.
impl Hash for FlowKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match (self.src, self.dst) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => {
                state.write_u64(u64::from(u32::from(src)) << 32 | u64::from(u32::from(dst)));
            }
            (src, dst) => [src, dst].into_iter().for_each(|address| match address {
                IpAddr::V4(v4) => state.write_u32(v4.into()),
                IpAddr::V6(v6) => state.write_u128(v6.into()),
            }),
        }
        state.write_u64(u64::from(self.protocol) << 32 | u64::from(self.sport) << 16 | u64::from(self.dport));
    }
}

impl FlowKey {
    /// The key of a packet that answers this one.
    #[must_use]
    pub fn reversed(self) -> FlowKey {
        let (sport, dport) = match self.protocol {
            protocol::ICMP | protocol::ICMPV6 => (self.sport, answering(self.dport)),
            _ => (self.dport, self.sport),
        };
        FlowKey { src: self.dst, dst: self.src, protocol: self.protocol, sport, dport }
    }
}

/// The ICMP type that answers this one, and back; types are distinct over both families (RFC 792, 950, 4443).
fn answering(kind: u16) -> u16 {
    match kind {
        0 => 8,
        8 => 0,
        128 => 129,
        129 => 128,
        13 | 15 | 17 => kind + 1,
        14 | 16 | 18 => kind - 1,
        other => other,
    }
}

impl Flow {
    pub fn tcp(src: IpAddr, sport: u16, dst: IpAddr, dport: u16, flags: TcpFlags) -> Flow {
        Flow { src, dst, protocol: protocol::TCP, l4: L4::Tcp { src: sport, dst: dport, flags } }
    }

    pub fn udp(src: IpAddr, sport: u16, dst: IpAddr, dport: u16) -> Flow {
        Flow { src, dst, protocol: protocol::UDP, l4: L4::Udp { src: sport, dst: dport } }
    }

    /// An ICMP or ICMPv6 message, by the family of the addresses. `id` counts for questions, `embedded` for errors only.
    pub fn icmp(src: IpAddr, dst: IpAddr, kind: u8, code: u8, id: u16, embedded: Option<FlowKey>) -> Flow {
        let protocol = if dst.is_ipv4() { protocol::ICMP } else { protocol::ICMPV6 };
        let l4 = match (IcmpClass::of(protocol, kind), embedded) {
            (IcmpClass::Query, _) => L4::IcmpQuery { kind, code, id },
            (IcmpClass::Error, Some(embedded)) => L4::IcmpError { kind, code, embedded },
            _ => L4::Icmp { kind, code },
        };
        Flow { src, dst, protocol, l4 }
    }

    /// A packet of which only the protocol is known.
    pub fn other(src: IpAddr, dst: IpAddr, protocol: u8) -> Flow {
        Flow { src, dst, protocol, l4: L4::Other }
    }

    /// The conversation that this packet itself belongs to.
    pub fn key(&self) -> FlowKey {
        let (sport, dport) = match self.l4 {
            L4::Tcp { src, dst, .. } | L4::Udp { src, dst } => (src, dst),
            L4::IcmpQuery { kind, id, .. } => (id, u16::from(kind)),
            L4::IcmpError { kind, .. } | L4::Icmp { kind, .. } => (0, u16::from(kind)),
            L4::Other => (0, 0),
        };
        FlowKey { src: self.src, dst: self.dst, protocol: self.protocol, sport, dport }
    }

    /// The same conversation seen from its other end: what an answer to this packet looks like to rules. TCP flags stay.
    #[must_use]
    pub fn reversed(&self) -> Flow {
        let l4 = match self.l4 {
            L4::Tcp { src, dst, flags } => L4::Tcp { src: dst, dst: src, flags },
            L4::Udp { src, dst } => L4::Udp { src: dst, dst: src },
            L4::IcmpQuery { kind, code, id } => {
                L4::IcmpQuery { kind: u8::try_from(answering(u16::from(kind))).unwrap_or(kind), code, id }
            }
            other => other,
        };
        Flow { src: self.dst, dst: self.src, protocol: self.protocol, l4 }
    }

    /// Destination port of TCP and UDP.
    pub fn dst_port(&self) -> Option<u16> {
        match self.l4 {
            L4::Tcp { dst, .. } | L4::Udp { dst, .. } => Some(dst),
            _ => None,
        }
    }

    /// Type and code of ICMP and ICMPv6.
    pub fn icmp_type(&self) -> Option<(u8, u8)> {
        match self.l4 {
            L4::IcmpQuery { kind, code, .. } | L4::IcmpError { kind, code, .. } | L4::Icmp { kind, code } => {
                Some((kind, code))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_answer_is_its_question_reversed_and_another_question_is_not() {
        for (question, answer, x, y) in
            [(8, 0, "10.0.0.1", "10.0.0.2"), (13, 14, "10.0.0.1", "10.0.0.2"), (128, 129, "fd00::1", "fd00::2")]
        {
            let ask = Flow::icmp(ip(x), ip(y), question, 0, 7, None);
            assert_eq!(ask.key().reversed(), Flow::icmp(ip(y), ip(x), answer, 0, 7, None).key());
            assert_ne!(ask.key().reversed(), Flow::icmp(ip(y), ip(x), question, 0, 7, None).key());
            assert_eq!(ask.reversed().key(), ask.key().reversed());
            assert_eq!(ask.key().reversed().reversed(), ask.key());
        }
    }

    #[test]
    fn an_error_without_a_readable_inner_packet_is_only_icmp() {
        let flow = Flow::icmp(ip("10.0.0.1"), ip("10.0.0.2"), 3, 4, 0, None);
        assert_eq!(flow.l4, L4::Icmp { kind: 3, code: 4 });
    }

    #[test]
    fn opening_is_syn_alone() {
        assert!(TcpFlags::SYN.is_opening());
        assert!(TcpFlags(0xc2).is_opening(), "ECN set-up SYN");
        assert!(!TcpFlags::SYN_ACK.is_opening());
        assert!(!TcpFlags::ACK.is_opening());
        assert!(!TcpFlags(0x06).is_opening(), "SYN with RST opens nothing");
    }
}
