//! UDP headers (RFC 768).

use crate::bytes::{Be16, EmitError, fit16};
use crate::{Addresses, Malformed, checksum, ip};

/// Length of a header in bytes.
pub const HEADER_LEN: usize = 8;
/// Where the checksum stands in the header, for virtio-net's `csum_offset`.
pub const CHECKSUM_OFFSET: u16 = 6;

pub(crate) mod field {
    use super::Be16;
    pub(crate) const SRC_PORT: Be16<0> = Be16;
    pub(crate) const DST_PORT: Be16<2> = Be16;
    pub(crate) const LENGTH: Be16<4> = Be16;
    pub(crate) const CHECKSUM: Be16<6> = Be16;
}

/// Source and destination port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ports {
    /// Source port.
    pub src: u16,
    /// Destination port.
    pub dst: u16,
}

/// A view of a UDP header.
#[derive(Debug, Clone, Copy)]
pub struct Header<'a>(&'a [u8; HEADER_LEN]);

impl<'a> Header<'a> {
    /// A view of the header at the start of a datagram or of its first fragment; checks that it is all there and its length is at least
    /// its own.
    ///
    /// # Errors
    /// [`Malformed::UdpHeader`].
    pub fn parse(datagram: &'a [u8]) -> Result<Header<'a>, Malformed> {
        let header = Header(datagram.first_chunk().ok_or(Malformed::UdpHeader)?);
        if header.length() < HEADER_LEN { Err(Malformed::UdpHeader) } else { Ok(header) }
    }

    /// Source and destination port.
    #[must_use]
    pub fn ports(self) -> Ports {
        Ports { src: field::SRC_PORT.of(self.0), dst: field::DST_PORT.of(self.0) }
    }

    /// Header and payload, in bytes, as the datagram claims.
    #[must_use]
    pub fn length(self) -> usize {
        field::LENGTH.of(self.0).into()
    }

    /// The checksum field; zero means none (IPv4 only).
    #[must_use]
    pub fn checksum(self) -> u16 {
        field::CHECKSUM.of(self.0)
    }
}

/// Writes a header, its checksum over `payload` included; the caller writes the payload.
pub(crate) fn emit(
    header: &mut [u8; HEADER_LEN],
    addresses: Addresses,
    ports: Ports,
    payload: &[u8],
) -> Result<(), EmitError> {
    let length = fit16("udp datagram", HEADER_LEN + payload.len())?;
    field::SRC_PORT.put(header, ports.src);
    field::DST_PORT.put(header, ports.dst);
    field::LENGTH.put(header, length);
    field::CHECKSUM.put(header, 0);
    let pseudo = checksum::pseudo_header(addresses, ip::protocol::UDP, usize::from(length));
    let sum = pseudo.plus(header).plus(payload).finish();
    field::CHECKSUM.put(header, nonzero(sum));
    Ok(())
}

/// The checksum as it is sent. RFC 768: a sum of zero is sent as all ones, for zero means that there is none. The two are the same number,
/// so all ones is right for every protocol.
pub(crate) const fn nonzero(checksum: u16) -> u16 {
    if checksum == 0 { 0xffff } else { checksum }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses() -> Addresses {
        Addresses::of("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap())
    }

    #[test]
    fn a_datagram_by_hand() {
        let mut header = [0xee; 8];
        emit(&mut header, addresses(), Ports { src: 1000, dst: 53 }, &[0xab]).unwrap();
        // 0xc000+0x0201+0xc000+0x0202 + 17+9 + 1000+53+9 + 0xab00, folded and complemented.
        assert_eq!(header, [0x03, 0xe8, 0, 53, 0, 9, 0xcc, 0xba]);
        let view = Header::parse(&header).unwrap();
        assert_eq!((view.ports(), view.length()), (Ports { src: 1000, dst: 53 }, 9));
    }

    #[test]
    fn a_sum_of_zero_goes_out_as_ones() {
        let mut header = [0; 8];
        emit(&mut header, addresses(), Ports { src: 0, dst: 0 }, &[0, 0]).unwrap();
        let zeroing = u16::from_be_bytes([header[6], header[7]]).to_be_bytes();
        emit(&mut header, addresses(), Ports { src: 0, dst: 0 }, &zeroing).unwrap();
        assert_eq!(header[6..], [0xff, 0xff]);
    }

    #[test]
    fn short_headers_and_lengths_are_refused() {
        assert_eq!(Header::parse(&[0; 7]).err(), Some(Malformed::UdpHeader));
        assert_eq!(Header::parse(&[0, 1, 0, 2, 0, 7, 0, 0]).err(), Some(Malformed::UdpHeader));
        assert_eq!(Header::parse(&[0; 8]).err(), Some(Malformed::UdpHeader), "length 0 would be a jumbogram");
    }
}
