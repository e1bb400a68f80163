//! Blocks of addresses, and the only two questions that decide peerings and routes: do they overlap, does one contain.
//!
//! A block that exists is canonical: its host bits are clear (spec 2.2, RFC 4632).

use alloc::string::String;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::str::FromStr;

/// Why a text is not a block of addresses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a block of addresses such as 10.0.0.0/16 or 2001:db8::/56")]
pub struct CidrError(pub String);

macro_rules! block {
    ($(#[$doc:meta])* $name:ident, $addr:ident, $bits:ident, $max:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name {
            network: $bits,
            prefix_len: u8,
        }

        impl $name {
            /// Every address of the family.
            pub const ALL: $name = $name { network: 0, prefix_len: 0 };

            /// The block of this length that contains the address; `None` if the length is beyond the family's.
            pub fn new(address: $addr, prefix_len: u8) -> Option<$name> {
                (prefix_len <= $max)
                    .then(|| $name { network: $bits::from(address) & mask::$bits(prefix_len), prefix_len })
            }

            /// The block of one address.
            pub fn host(address: $addr) -> $name {
                $name { network: address.into(), prefix_len: $max }
            }

            pub fn network(&self) -> $addr {
                self.network.into()
            }

            pub fn last(&self) -> $addr {
                (self.network | !mask::$bits(self.prefix_len)).into()
            }

            pub fn prefix_len(&self) -> u8 {
                self.prefix_len
            }

            pub fn contains(&self, address: $addr) -> bool {
                $bits::from(address) & mask::$bits(self.prefix_len) == self.network
            }

            pub fn contains_all(&self, other: &$name) -> bool {
                self.prefix_len <= other.prefix_len && self.contains(other.network())
            }

            pub fn overlaps(&self, other: &$name) -> bool {
                self.contains_all(other) || other.contains_all(self)
            }

            /// The address so many steps behind the first; `None` outside the block.
            pub fn nth(&self, n: $bits) -> Option<$addr> {
                self.network.checked_add(n).map($addr::from).filter(|address| self.contains(*address))
            }
        }

        impl FromStr for $name {
            type Err = CidrError;

            /// Reads `address/length` and clears the host bits.
            fn from_str(text: &str) -> Result<Self, CidrError> {
                let parse = || {
                    let (address, len) = text.split_once('/')?;
                    let digits = !len.is_empty() && len.len() <= 3 && !(len.len() > 1 && len.starts_with('0')) && len.bytes().all(|b| b.is_ascii_digit());
                    $name::new(address.parse().ok()?, digits.then(|| len.parse().ok()).flatten()?)
                };
                parse().ok_or_else(|| CidrError(text.into()))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}/{}", self.network(), self.prefix_len)
            }
        }
    };
}

mod mask {
    pub(super) fn u32(len: u8) -> u32 {
        u32::MAX.checked_shl(32 - u32::from(len)).unwrap_or(0)
    }

    pub(super) fn u128(len: u8) -> u128 {
        u128::MAX.checked_shl(128 - u32::from(len)).unwrap_or(0)
    }
}

block!(
    /// A block of IPv4 addresses.
    Ipv4Cidr, Ipv4Addr, u32, 32
);
block!(
    /// A block of IPv6 addresses.
    Ipv6Cidr, Ipv6Addr, u128, 128
);

/// A block of either family.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cidr {
    V4(Ipv4Cidr),
    V6(Ipv6Cidr),
}

impl Cidr {
    pub fn host(address: IpAddr) -> Cidr {
        match address {
            IpAddr::V4(a) => Cidr::V4(Ipv4Cidr::host(a)),
            IpAddr::V6(a) => Cidr::V6(Ipv6Cidr::host(a)),
        }
    }

    pub fn is_ipv4(&self) -> bool {
        matches!(self, Cidr::V4(_))
    }

    pub fn prefix_len(&self) -> u8 {
        match self {
            Cidr::V4(c) => c.prefix_len(),
            Cidr::V6(c) => c.prefix_len(),
        }
    }

    pub fn contains(&self, address: IpAddr) -> bool {
        match (self, address) {
            (Cidr::V4(c), IpAddr::V4(a)) => c.contains(a),
            (Cidr::V6(c), IpAddr::V6(a)) => c.contains(a),
            _ => false,
        }
    }

    pub fn contains_all(&self, other: &Cidr) -> bool {
        match (self, other) {
            (Cidr::V4(a), Cidr::V4(b)) => a.contains_all(b),
            (Cidr::V6(a), Cidr::V6(b)) => a.contains_all(b),
            _ => false,
        }
    }

    pub fn overlaps(&self, other: &Cidr) -> bool {
        self.contains_all(other) || other.contains_all(self)
    }

    /// Every address of the family: 0.0.0.0/0 or ::/0.
    pub fn is_all(&self) -> bool {
        self.prefix_len() == 0
    }
}

impl From<Ipv4Cidr> for Cidr {
    fn from(cidr: Ipv4Cidr) -> Cidr {
        Cidr::V4(cidr)
    }
}

impl From<Ipv6Cidr> for Cidr {
    fn from(cidr: Ipv6Cidr) -> Cidr {
        Cidr::V6(cidr)
    }
}

impl FromStr for Cidr {
    type Err = CidrError;

    fn from_str(text: &str) -> Result<Self, CidrError> {
        text.parse().map(Cidr::V4).or_else(|_| text.parse().map(Cidr::V6))
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cidr::V4(c) => c.fmt(f),
            Cidr::V6(c) => c.fmt(f),
        }
    }
}

text_form!(Ipv4Cidr, Ipv6Cidr, Cidr);

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use proptest::prelude::*;

    fn v4() -> impl Strategy<Value = Ipv4Cidr> {
        // Few networks and all lengths, so that overlap and containment both happen.
        (0_u32..4, 0_u8..=32).prop_map(|(n, len)| Ipv4Cidr::new(Ipv4Addr::from(n << 30 | n << 7), len).unwrap())
    }

    proptest! {
        #[test]
        fn overlap_is_symmetric_and_means_a_common_address(a in v4(), b in v4()) {
            prop_assert_eq!(a.overlaps(&b), b.overlaps(&a));
            let common = u32::from(a.network()).max(b.network().into()) <= u32::from(a.last()).min(b.last().into());
            prop_assert_eq!(a.overlaps(&b), common);
        }

        #[test]
        fn containing_all_means_containing_both_ends(a in v4(), b in v4()) {
            prop_assert_eq!(a.contains_all(&b), a.contains(b.network()) && a.contains(b.last()));
        }

        #[test]
        fn text_reads_back(n: u128, len in 0_u8..=128) {
            let cidr = Ipv6Cidr::new(Ipv6Addr::from(n), len).unwrap();
            prop_assert_eq!(cidr.to_string().parse::<Cidr>(), Ok(Cidr::V6(cidr)));
        }
    }

    #[test]
    fn host_bits_are_cleared() {
        assert_eq!("100.68.0.18/18".parse::<Ipv4Cidr>().unwrap().to_string(), "100.68.0.0/18");
    }

    #[test]
    fn nonsense_is_refused() {
        for wrong in [
            "",
            "10.0.0.0",
            "10.0.0.0/33",
            "10.0.0/8",
            "10.0.0.0/-1",
            "10.0.0.0/+8",
            "::/129",
            "10.0.0.0/8/8",
            "010.0.0.0/8",
            "10.0.0.0/08",
        ] {
            assert!(wrong.parse::<Cidr>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn nth_stays_inside() {
        let cidr: Ipv4Cidr = "10.0.0.0/30".parse().unwrap();
        assert_eq!(cidr.nth(3), Some(Ipv4Addr::new(10, 0, 0, 3)));
        assert_eq!(cidr.nth(4), None);
        assert_eq!("255.255.255.255/32".parse::<Ipv4Cidr>().unwrap().nth(1), None);
    }
}
