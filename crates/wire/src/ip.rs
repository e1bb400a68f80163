//! What IPv4 and IPv6 have in common: a pair of addresses, a fragment's place, protocol numbers.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Protocol numbers (IANA "Assigned Internet Protocol Numbers"), as far as this crate looks into them.
pub mod protocol {
    /// ICMP for IPv4.
    pub const ICMP: u8 = 1;
    /// TCP.
    pub const TCP: u8 = 6;
    /// UDP.
    pub const UDP: u8 = 17;
    /// ICMP for IPv6.
    pub const ICMPV6: u8 = 58;
    /// IPv6 only: nothing follows.
    pub const NO_NEXT_HEADER: u8 = 59;
}

/// Source and destination of one family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Addresses {
    /// IPv4.
    V4 {
        /// Source.
        src: Ipv4Addr,
        /// Destination.
        dst: Ipv4Addr,
    },
    /// IPv6.
    V6 {
        /// Source.
        src: Ipv6Addr,
        /// Destination.
        dst: Ipv6Addr,
    },
}

impl Addresses {
    /// The pair. Where the families differ, the IPv4 address takes its IPv4-mapped form (RFC 4291 2.5.5.2), so that every pair has one
    /// family.
    #[must_use]
    pub fn of(src: IpAddr, dst: IpAddr) -> Addresses {
        let six = |address| match address {
            IpAddr::V4(v4) => v4.to_ipv6_mapped(),
            IpAddr::V6(v6) => v6,
        };
        match (src, dst) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => Addresses::V4 { src, dst },
            _ => Addresses::V6 { src: six(src), dst: six(dst) },
        }
    }

    /// Source.
    #[must_use]
    pub fn src(self) -> IpAddr {
        match self {
            Addresses::V4 { src, .. } => src.into(),
            Addresses::V6 { src, .. } => src.into(),
        }
    }

    /// Destination.
    #[must_use]
    pub fn dst(self) -> IpAddr {
        match self {
            Addresses::V4 { dst, .. } => dst.into(),
            Addresses::V6 { dst, .. } => dst.into(),
        }
    }
}

/// The place of a fragment in its datagram. An IPv6 atomic fragment (RFC 6946) is a whole packet and has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fragment {
    /// Identification; IPv4's has 16 bits.
    pub id: u32,
    /// Bytes of the datagram in front of this fragment's payload, a multiple of 8.
    pub offset: u32,
    /// Whether more fragments follow.
    pub more: bool,
}

impl Fragment {
    /// Whether this is the first fragment, the one with the transport header.
    #[must_use]
    pub fn is_first(self) -> bool {
        self.offset == 0
    }

    /// Whether the transport header is in another fragment.
    #[must_use]
    pub fn is_later(self) -> bool {
        self.offset != 0
    }
}
