//! IPv4 (RFC 791), as strict as a switch between tenants must be.

use crate::bytes::{Be16, EmitError, Octets, Reader, U8, Writer, fit16};
use crate::{Fragment, Malformed, checksum};
use core::net::Ipv4Addr;

/// Length of a header without options, in bytes.
pub const HEADER_LEN: usize = 20;
/// The largest packet in bytes, header included.
pub const PACKET_LEN_MAX: usize = 65535;

pub(crate) mod field {
    use super::{Be16, Octets, U8};
    pub(crate) const VERSION_IHL: U8<0> = U8;
    pub(crate) const TOS: U8<1> = U8;
    pub(crate) const TOTAL_LENGTH: Be16<2> = Be16;
    pub(crate) const ID: Be16<4> = Be16;
    pub(crate) const FLAGS_OFFSET: Be16<6> = Be16;
    pub(crate) const TTL: U8<8> = U8;
    pub(crate) const PROTOCOL: U8<9> = U8;
    pub(crate) const CHECKSUM: Be16<10> = Be16;
    pub(crate) const SRC: Octets<12, 4> = Octets;
    pub(crate) const DST: Octets<16, 4> = Octets;
}

pub(crate) const DONT_FRAGMENT: u16 = 0x4000;
const MORE_FRAGMENTS: u16 = 0x2000;
const OFFSET_MASK: u16 = 0x1fff;

/// A view of an IPv4 header whose options, as its length field says, are there.
#[derive(Debug, Clone, Copy)]
pub struct Header<'a> {
    fixed: &'a [u8; HEADER_LEN],
    options: &'a [u8],
}

impl<'a> Header<'a> {
    /// A view of the header at the start of `packet`; checks the version and that the header is all there, nothing else. For headers
    /// that others may have changed or cut, such as those inside ICMP errors.
    ///
    /// # Errors
    /// [`Malformed::ShortIpHeader`], [`Malformed::Version`], [`Malformed::HeaderLength`].
    pub fn view(packet: &'a [u8]) -> Result<Header<'a>, Malformed> {
        let (fixed, rest) = packet.split_first_chunk::<HEADER_LEN>().ok_or(Malformed::ShortIpHeader)?;
        let version_ihl = field::VERSION_IHL.of(fixed);
        if version_ihl >> 4 != 4 {
            return Err(Malformed::Version);
        }
        let options_len =
            (usize::from(version_ihl & 0x0f) * 4).checked_sub(HEADER_LEN).ok_or(Malformed::HeaderLength)?;
        let options = rest.get(..options_len).ok_or(Malformed::HeaderLength)?;
        Ok(Header { fixed, options })
    }

    /// The header of a packet that a guest sent: as [`Header::view`], and lengths, checksum, options, protocol and fragment must be right.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn parse(packet: &'a [u8]) -> Result<Header<'a>, Malformed> {
        let header = Header::view(packet)?;
        let total_length = header.total_length();
        if total_length < header.header_len() || total_length > packet.len() {
            return Err(Malformed::TotalLength);
        }
        if checksum::Sum::new().plus(header.fixed).plus(header.options).partial() != 0xffff {
            return Err(Malformed::HeaderChecksum);
        }
        check_options(header.options)?;
        if header.protocol() == 0 {
            return Err(Malformed::ProtocolZero);
        }
        if let Some(fragment) = header.fragment() {
            check_fragment(fragment, total_length - header.header_len(), PACKET_LEN_MAX - header.header_len())?;
        }
        Ok(header)
    }

    /// Header and options, in bytes: 20 to 60.
    #[must_use]
    pub fn header_len(self) -> usize {
        HEADER_LEN + self.options.len()
    }

    /// Header and payload, in bytes, as the packet claims.
    #[must_use]
    pub fn total_length(self) -> usize {
        field::TOTAL_LENGTH.of(self.fixed).into()
    }

    /// Type of service: DSCP and ECN.
    #[must_use]
    pub fn tos(self) -> u8 {
        field::TOS.of(self.fixed)
    }

    /// Identification.
    #[must_use]
    pub fn id(self) -> u16 {
        field::ID.of(self.fixed)
    }

    /// The DF bit.
    #[must_use]
    pub fn dont_fragment(self) -> bool {
        field::FLAGS_OFFSET.of(self.fixed) & DONT_FRAGMENT != 0
    }

    /// The fragment's place, or `None` for a whole packet.
    #[must_use]
    pub fn fragment(self) -> Option<Fragment> {
        let flags_offset = field::FLAGS_OFFSET.of(self.fixed);
        let fragment = Fragment {
            id: self.id().into(),
            offset: u32::from(flags_offset & OFFSET_MASK) * 8,
            more: flags_offset & MORE_FRAGMENTS != 0,
        };
        (fragment.more || fragment.is_later()).then_some(fragment)
    }

    /// Time to live.
    #[must_use]
    pub fn ttl(self) -> u8 {
        field::TTL.of(self.fixed)
    }

    /// Protocol number.
    #[must_use]
    pub fn protocol(self) -> u8 {
        field::PROTOCOL.of(self.fixed)
    }

    /// Source address.
    #[must_use]
    pub fn src(self) -> Ipv4Addr {
        field::SRC.of(self.fixed).into()
    }

    /// Destination address.
    #[must_use]
    pub fn dst(self) -> Ipv4Addr {
        field::DST.of(self.fixed).into()
    }
}

/// A fragment's length in the middle is a multiple of 8, and its end lies inside the largest datagram (`limit` bytes of payload).
pub(crate) fn check_fragment(fragment: Fragment, length: usize, limit: usize) -> Result<(), Malformed> {
    if fragment.more && !length.is_multiple_of(8) {
        return Err(Malformed::FragmentLength);
    }
    if fragment.offset as usize + length > limit {
        return Err(Malformed::FragmentBeyondDatagram);
    }
    Ok(())
}

/// RFC 791 3.1 for the form; RFC 7126 4.3 and 4.4 for the two that choose their own way through the network.
fn check_options(options: &[u8]) -> Result<(), Malformed> {
    const END: u8 = 0;
    const NOP: u8 = 1;
    const LOOSE_SOURCE_ROUTE: u8 = 131;
    const STRICT_SOURCE_ROUTE: u8 = 137;
    let mut reader = Reader::new(options);
    while let Some(kind) = reader.u8() {
        match kind {
            END => return Ok(()),
            NOP => {}
            LOOSE_SOURCE_ROUTE | STRICT_SOURCE_ROUTE => return Err(Malformed::SourceRoute),
            _ => {
                let length = usize::from(reader.u8().ok_or(Malformed::Option)?);
                let body = length.checked_sub(2).ok_or(Malformed::Option)?;
                reader.take(body).ok_or(Malformed::Option)?;
            }
        }
    }
    Ok(())
}

/// The fields of a header to be written, without options.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fields {
    /// Source address.
    pub src: Ipv4Addr,
    /// Destination address.
    pub dst: Ipv4Addr,
    /// Protocol number.
    pub protocol: u8,
    /// Time to live.
    pub ttl: u8,
    /// The DF bit.
    pub dont_fragment: bool,
    /// The fragment's place; a whole packet has id 0, which its DF bit permits (RFC 6864 4.1).
    pub fragment: Option<Fragment>,
}

impl Fields {
    /// Writes a header with its checksum in front of `payload_len` bytes that the caller writes.
    pub(crate) fn emit(&self, writer: &mut Writer<'_>, payload_len: usize) -> Result<(), EmitError> {
        let total_length = fit16("ipv4 packet", HEADER_LEN + payload_len)?;
        let fragment = self.fragment.unwrap_or(Fragment { id: 0, offset: 0, more: false });
        let header = writer.header::<HEADER_LEN>()?;
        field::VERSION_IHL.put(header, 0x45);
        field::TOTAL_LENGTH.put(header, total_length);
        field::ID.put(header, (fragment.id & 0xffff) as u16);
        let mut flags_offset = ((fragment.offset / 8) & u32::from(OFFSET_MASK)) as u16;
        if self.dont_fragment {
            flags_offset |= DONT_FRAGMENT;
        }
        if fragment.more {
            flags_offset |= MORE_FRAGMENTS;
        }
        field::FLAGS_OFFSET.put(header, flags_offset);
        field::TTL.put(header, self.ttl);
        field::PROTOCOL.put(header, self.protocol);
        field::SRC.put(header, &self.src.octets());
        field::DST.put(header, &self.dst.octets());
        field::CHECKSUM.put(header, checksum::of(header));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    /// The well-known header of the checksum's encyclopedia examples: 192.168.0.1 to 192.168.0.199, UDP, DF, checksum 0xb861.
    const KNOWN: [u8; 20] = [
        0x45, 0x00, 0x00, 0x73, 0x00, 0x00, 0x40, 0x00, 0x40, 0x11, 0xb8, 0x61, 0xc0, 0xa8, 0x00, 0x01, 0xc0, 0xa8,
        0x00, 0xc7,
    ];

    fn packet(header: [u8; 20], options: &[u8]) -> Vec<u8> {
        let mut bytes = header.to_vec();
        bytes.extend(options);
        bytes.resize(0x73, 0);
        bytes[0] = 0x40 | ((20 + options.len()) / 4) as u8;
        bytes[10..12].fill(0);
        let sum = checksum::of(&bytes[..20 + options.len()]);
        bytes[10..12].copy_from_slice(&sum.to_be_bytes());
        bytes
    }

    fn refusal(bytes: &[u8]) -> Malformed {
        Header::parse(bytes).expect_err("must be refused")
    }

    #[test]
    fn a_known_header_reads_and_writes() {
        let mut bytes = KNOWN.to_vec();
        bytes.resize(0x73, 0);
        let header = Header::parse(&bytes).unwrap();
        assert_eq!((header.header_len(), header.total_length(), header.ttl(), header.protocol()), (20, 0x73, 64, 17));
        assert!(header.dont_fragment() && header.fragment().is_none());
        let fields = Fields {
            src: header.src(),
            dst: header.dst(),
            protocol: header.protocol(),
            ttl: header.ttl(),
            dont_fragment: true,
            fragment: None,
        };
        let mut buffer = [0; 20];
        fields.emit(&mut Writer::new(&mut buffer), 0x73 - 20).unwrap();
        assert_eq!(buffer, KNOWN);
    }

    #[test]
    fn lengths_and_checksum_are_held() {
        let good = packet(KNOWN, &[]);
        assert!(Header::parse(&good).is_ok());
        assert_eq!(refusal(&good[..19]), Malformed::ShortIpHeader);
        assert_eq!(refusal(&good[..0x72]), Malformed::TotalLength);
        let change = |at: usize, value: u8| {
            let mut bytes = good.clone();
            bytes[at] = value;
            bytes
        };
        assert_eq!(refusal(&change(0, 0x65)), Malformed::Version);
        assert_eq!(refusal(&change(0, 0x44)), Malformed::HeaderLength);
        assert_eq!(refusal(&change(3, 19)), Malformed::TotalLength);
        assert_eq!(refusal(&change(8, 63)), Malformed::HeaderChecksum);
        let mut zero = KNOWN;
        zero[9] = 0;
        assert_eq!(refusal(&packet(zero, &[])), Malformed::ProtocolZero);
    }

    #[test]
    fn options_are_walked() {
        let record_route = [7, 7, 4, 0, 0, 0, 0, 0];
        assert!(Header::parse(&packet(KNOWN, &record_route)).is_ok());
        assert!(Header::parse(&packet(KNOWN, &[0x94, 4, 0, 0])).is_ok(), "router alert");
        assert!(Header::parse(&packet(KNOWN, &[1, 1, 0, 131])).is_ok(), "nothing counts behind the end of the list");
        for source_route in [[131, 7, 4, 10, 0, 0, 1, 0], [1, 1, 1, 137, 3, 4, 0, 0]] {
            assert_eq!(refusal(&packet(KNOWN, &source_route)), Malformed::SourceRoute);
        }
        for bad in [[7, 5, 0, 0], [7, 0, 0, 0], [7, 1, 0, 0], [1, 1, 1, 7]] {
            assert_eq!(refusal(&packet(KNOWN, &bad)), Malformed::Option, "{bad:?}");
        }
    }

    #[test]
    fn fragments_stay_inside_the_largest_datagram() {
        let with = |flags_offset: u16| {
            let mut header = KNOWN;
            header[6..8].copy_from_slice(&flags_offset.to_be_bytes());
            packet(header, &[])
        };
        // 95 bytes of payload: allowed at the end only.
        assert_eq!(refusal(&with(0x2000)), Malformed::FragmentLength);
        assert_eq!(refusal(&with(0x1fff)), Malformed::FragmentBeyondDatagram);
        let last = with(0x0010);
        let fragment = Header::parse(&last).unwrap().fragment().unwrap();
        assert_eq!(fragment, Fragment { id: 0, offset: 128, more: false });
        assert!(fragment.is_later() && !fragment.is_first());
    }
}
