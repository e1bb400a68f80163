//! Ethernet II framing (IEEE 802.3 clause 3, RFC 894) and MAC addresses.

use crate::bytes::{Be16, EmitError, Octets, Writer};
use core::fmt;
use core::net::Ipv6Addr;
use core::str::FromStr;
use thiserror::Error;

/// Length of an untagged header in bytes.
pub const HEADER_LEN: usize = 14;

mod field {
    use super::{Be16, Octets};
    pub(super) const DST: Octets<0, 6> = Octets;
    pub(super) const SRC: Octets<6, 6> = Octets;
    pub(super) const ETHERTYPE: Be16<12> = Be16;
}

/// Ethertypes (IANA "IEEE 802 Numbers").
pub mod ethertype {
    /// Internet Protocol version 4.
    pub const IPV4: u16 = 0x0800;
    /// Address Resolution Protocol.
    pub const ARP: u16 = 0x0806;
    /// Internet Protocol version 6.
    pub const IPV6: u16 = 0x86dd;
    /// A customer VLAN tag (IEEE 802.1Q).
    pub const VLAN: u16 = 0x8100;
    /// A service VLAN tag (IEEE 802.1ad, "QinQ").
    pub const SERVICE_VLAN: u16 = 0x88a8;
    /// Below this the field is a length and an LLC frame follows (IEEE 802.3 3.2.6).
    pub const LEAST: u16 = 0x0600;
}

/// A 48-bit MAC address; text form `02:00:00:00:00:01`.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MacAddr(pub [u8; 6]);

impl MacAddr {
    /// `ff:ff:ff:ff:ff:ff`.
    pub const BROADCAST: MacAddr = MacAddr([0xff; 6]);
    /// `00:00:00:00:00:00`, the unknown address of an ARP request.
    pub const ZERO: MacAddr = MacAddr([0; 6]);

    /// Whether the group bit is set; the broadcast address is one of these.
    #[must_use]
    pub const fn is_multicast(self) -> bool {
        self.0[0] & 1 != 0
    }

    /// Whether this is `ff:ff:ff:ff:ff:ff`.
    #[must_use]
    pub fn is_broadcast(self) -> bool {
        self == MacAddr::BROADCAST
    }

    /// The group address that a multicast IPv6 address is sent to (RFC 2464 section 7).
    #[must_use]
    pub const fn of_multicast_ipv6(group: Ipv6Addr) -> MacAddr {
        let octets = group.octets();
        MacAddr([0x33, 0x33, octets[12], octets[13], octets[14], octets[15]])
    }

    /// The six octets, first on the wire first.
    #[must_use]
    pub const fn octets(self) -> [u8; 6] {
        self.0
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is not a MAC address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a mac address is six pairs of hexadecimal digits separated by colons, such as `02:00:00:00:00:01`")]
pub struct MacAddrError;

impl FromStr for MacAddr {
    type Err = MacAddrError;

    fn from_str(text: &str) -> Result<MacAddr, MacAddrError> {
        let mut octets = [0; 6];
        let mut pairs = text.split(':');
        for octet in &mut octets {
            let pair = pairs.next().ok_or(MacAddrError)?;
            // from_str_radix alone would also take `+1`.
            if pair.len() != 2 || !pair.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                return Err(MacAddrError);
            }
            *octet = u8::from_str_radix(pair, 16).map_err(|_| MacAddrError)?;
        }
        if pairs.next().is_some() { Err(MacAddrError) } else { Ok(MacAddr(octets)) }
    }
}

/// From whom to whom on the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Link {
    /// Source MAC.
    pub src: MacAddr,
    /// Destination MAC.
    pub dst: MacAddr,
}

/// A view of an Ethernet header.
#[derive(Debug, Clone, Copy)]
pub struct Header<'a>(&'a [u8; HEADER_LEN]);

impl<'a> Header<'a> {
    /// The header and what follows it; `None` if the frame is shorter than a header.
    #[must_use]
    pub fn split(frame: &'a [u8]) -> Option<(Header<'a>, &'a [u8])> {
        frame.split_first_chunk().map(|(header, rest)| (Header(header), rest))
    }

    /// Source and destination MAC.
    #[must_use]
    pub fn link(self) -> Link {
        Link { src: MacAddr(field::SRC.of(self.0)), dst: MacAddr(field::DST.of(self.0)) }
    }

    /// The ethertype, or a length below [`ethertype::LEAST`].
    #[must_use]
    pub fn ethertype(self) -> u16 {
        field::ETHERTYPE.of(self.0)
    }
}

/// Puts other MACs into a frame, in place: how the router hands on what passes through it. A frame shorter than a header stays as it is.
pub fn set_link(frame: &mut [u8], link: Link) {
    if let Some(header) = frame.first_chunk_mut::<HEADER_LEN>() {
        field::DST.put(header, &link.dst.0);
        field::SRC.put(header, &link.src.0);
    }
}

/// Writes a header.
pub(crate) fn emit(writer: &mut Writer<'_>, link: Link, ethertype: u16) -> Result<(), EmitError> {
    let header = writer.header::<HEADER_LEN>()?;
    field::DST.put(header, &link.dst.0);
    field::SRC.put(header, &link.src.0);
    field::ETHERTYPE.put(header, ethertype);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::string::ToString;

    #[test]
    fn a_header_reads_back() {
        let frame = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1, 0x08, 0x06, 42];
        let (header, rest) = Header::split(&frame).unwrap();
        assert_eq!(header.link(), Link { src: "02:00:00:00:00:01".parse().unwrap(), dst: MacAddr::BROADCAST });
        assert_eq!((header.ethertype(), rest), (ethertype::ARP, &[42][..]));
        assert!(Header::split(&frame[..13]).is_none());
        let mut buffer = [0; 14];
        emit(&mut Writer::new(&mut buffer), header.link(), ethertype::ARP).unwrap();
        assert_eq!(buffer, frame[..14]);
        let other = Link { src: MacAddr([2, 0, 0, 0, 0, 7]), dst: MacAddr([2, 0, 0, 0, 0, 8]) };
        set_link(&mut buffer, other);
        let (header, _) = Header::split(&buffer).unwrap();
        assert_eq!((header.link(), header.ethertype()), (other, ethertype::ARP));
        set_link(&mut buffer[..13], header_link(&frame));
        assert_eq!(header_link(&buffer), other, "a short frame stays as it is");
    }

    fn header_link(frame: &[u8]) -> Link {
        Header::split(frame).unwrap().0.link()
    }

    #[test]
    fn text_that_is_almost_an_address_is_refused() {
        for text in [
            "",
            "02",
            "02:00:00:00:00",
            "02:00:00:00:00:01:02",
            "2:0:0:0:0:1",
            "02:00:00:00:00:0g",
            "+2:00:00:00:00:01",
        ] {
            assert_eq!(text.parse::<MacAddr>(), Err(MacAddrError), "{text}");
        }
    }

    #[test]
    fn group_addresses() {
        assert!(MacAddr::BROADCAST.is_multicast() && MacAddr::BROADCAST.is_broadcast());
        assert!(!MacAddr([2, 0, 0, 0, 0, 1]).is_multicast());
        let group = MacAddr::of_multicast_ipv6("ff02::1:ff00:1234".parse().unwrap());
        assert_eq!(group.to_string(), "33:33:ff:00:12:34");
    }

    proptest! {
        #[test]
        fn text_round_trips(octets in any::<[u8; 6]>()) {
            let mac = MacAddr(octets);
            prop_assert_eq!(mac.to_string().parse::<MacAddr>(), Ok(mac));
            prop_assert_eq!(mac.to_string().to_uppercase().parse::<MacAddr>(), Ok(mac));
        }
    }
}
