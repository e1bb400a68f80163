//! ESP in UDP (RFC 4303, RFC 4106, RFC 3948), as far as bytes go: headers, trailers, lengths. Keys, replay and sealing are elsewhere.
//!
//! ```text
//! outer IP | UDP 8 | SPI 4 | sequence, low half 4 | IV 8 | inner packet | padding | pad length 1 | next header 1 | ICV 16
//!                  |--------- HEADER_LEN = 16 ----------|------------ sealed by AES-256-GCM -------------------|
//! ```
//!
//! The IV is the whole 64-bit sequence number (spec 14.1.3, 14.1.9), so its low half stands twice and must be the same.

use crate::bytes::{Be32, EmitError, Octets};
use crate::checksum::TransportSum;
use crate::{ipv4, ipv6, udp};
use thiserror::Error;

/// SPI, low half of the sequence number, IV: what stands in clear in front of the sealed part, in bytes.
pub const HEADER_LEN: usize = 16;
/// Length of the integrity check value behind the sealed part, in bytes.
pub const ICV_LEN: usize = 16;
/// Length of the additional authenticated data with extended sequence numbers, in bytes.
pub const AAD_LEN: usize = 12;
/// Pad length and next header, in bytes.
pub const TRAILER_LEN_MIN: usize = 2;
/// The longest trailer that is written: three bytes of padding, pad length, next header.
pub const TRAILER_LEN_MAX: usize = 5;
/// The sealed part is a multiple of this many bytes (RFC 4303 2.4).
pub const ALIGNMENT: usize = 4;
/// The UDP port of ESP in UDP (RFC 3948).
pub const UDP_PORT: u16 = 4500;
/// The least SPI: 0 never stands on the wire, 1 to 255 are reserved (RFC 4303 2.1).
pub const SPI_MIN: u32 = 256;
/// The datagram that only keeps a NAT's state alive (RFC 3948 2.3).
pub const KEEPALIVE: [u8; 1] = [0xff];

/// Next-header numbers in a trailer (RFC 4303 2.6).
///
/// Those for experiments (RFC 3692) say what no assigned number does, to who has said that it understands them.
pub mod next_header {
    /// An IPv4 packet, TCP or UDP, whose transport checksum is partial ([`TransportSum::Partial`]).
    pub const IPV4_PARTIAL: u8 = 253;
    /// The same over IPv6.
    pub const IPV6_PARTIAL: u8 = 254;
    /// An IPv4 packet.
    pub const IPV4: u8 = 4;
    /// An IPv6 packet.
    pub const IPV6: u8 = 41;
    /// Nothing: to be thrown away once it has been authenticated.
    pub const DUMMY: u8 = 59;
}

mod field {
    use super::{Be32, Octets};
    pub(super) const SPI: Be32<0> = Be32;
    pub(super) const SEQUENCE_LOW: Be32<4> = Be32;
    pub(super) const IV: Octets<8, 8> = Octets;
}

mod aad_field {
    use super::{Be32, Octets};
    pub(super) const SPI: Be32<0> = Be32;
    pub(super) const SEQUENCE: Octets<4, 8> = Octets;
}

/// Why a datagram was refused (counted as malformed).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
pub enum EspError {
    /// Shorter than header, the least sealed part and ICV.
    #[error("a datagram of `{0}` bytes is shorter than the least esp packet of 36")]
    Short(usize),
    /// An SPI below [`SPI_MIN`].
    #[error("the spi `{0}` is reserved: those in use are 256 and above")]
    ReservedSpi(u32),
    /// The sequence number in the header is not the low half of the IV.
    #[error("the sequence number `{low}` is not the low half of the iv `{iv}`")]
    Sequence {
        /// From the header.
        low: u32,
        /// From the IV.
        iv: u64,
    },
    /// The sealed part is no multiple of 4 bytes.
    #[error("the sealed part of `{0}` bytes is no multiple of 4")]
    Alignment(usize),
    /// The padding is longer than what was sealed.
    #[error("the pad length `{0}` is longer than what was sealed")]
    PadLength(u8),
    /// The padding is not 1, 2, 3 and so on.
    #[error("the padding is not 1, 2, 3 and so on")]
    Padding,
    /// Neither IPv4 nor IPv6 nor nothing.
    #[error("the next header `{0}` is not carried: send ipv4, ipv6 or a dummy")]
    NextHeader(u8),
    /// The inner packet's version is not what the next header says.
    #[error("the inner packet's version is not what the next header `{0}` says")]
    InnerVersion(u8),
    /// The inner packet claims to be longer than what was sealed, or shorter than its own header.
    #[error("the inner packet's length is beyond what was sealed or below its own header")]
    InnerLength,
}

/// What came in on the UDP port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Datagram {
    /// [`KEEPALIVE`]: nothing to do.
    Keepalive,
    /// The non-ESP marker, four zeros, that stands in front of IKE (RFC 3948 2.2): not for us.
    NonEsp,
    /// An ESP packet; the sealed part and the ICV stand behind [`HEADER_LEN`] bytes.
    Esp(Header),
}

impl Datagram {
    /// Reads the start of a UDP payload.
    ///
    /// # Errors
    /// As [`Header::parse`].
    #[inline]
    pub fn parse(datagram: &[u8]) -> Result<Datagram, EspError> {
        if datagram == KEEPALIVE {
            return Ok(Datagram::Keepalive);
        }
        if datagram.first_chunk() == Some(&[0; 4]) {
            return Ok(Datagram::NonEsp);
        }
        Header::parse(datagram).map(Datagram::Esp)
    }
}

/// What stands in clear in front of the sealed part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Header {
    /// Which security association.
    pub spi: u32,
    /// The extended sequence number, from 1; also the IV.
    pub sequence: u64,
}

impl Header {
    /// Reads the header of a whole ESP packet and checks the packet's length. The sequence number is not checked against any window.
    ///
    /// # Errors
    /// [`EspError::Short`], [`EspError::Alignment`], [`EspError::ReservedSpi`], [`EspError::Sequence`].
    #[inline]
    pub fn parse(datagram: &[u8]) -> Result<Header, EspError> {
        let short = EspError::Short(datagram.len());
        let (bytes, rest) = datagram.split_first_chunk::<HEADER_LEN>().ok_or(short)?;
        let sealed = rest.len().checked_sub(ICV_LEN).filter(|sealed| *sealed >= ALIGNMENT).ok_or(short)?;
        if !sealed.is_multiple_of(ALIGNMENT) {
            return Err(EspError::Alignment(sealed));
        }
        let spi = field::SPI.of(bytes);
        if spi < SPI_MIN {
            return Err(EspError::ReservedSpi(spi));
        }
        let (low, iv) = (field::SEQUENCE_LOW.of(bytes), u64::from_be_bytes(field::IV.of(bytes)));
        if u64::from(low) != iv & u64::from(u32::MAX) {
            return Err(EspError::Sequence { low, iv });
        }
        Ok(Header { spi, sequence: iv })
    }

    /// The header's bytes.
    #[inline]
    #[must_use]
    pub fn to_bytes(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        field::SPI.put(&mut bytes, self.spi);
        field::SEQUENCE_LOW.put(&mut bytes, (self.sequence & u64::from(u32::MAX)) as u32);
        field::IV.put(&mut bytes, &self.iv());
        bytes
    }

    /// The explicit part of the nonce, which follows the salt.
    #[inline]
    #[must_use]
    pub fn iv(&self) -> [u8; 8] {
        self.sequence.to_be_bytes()
    }

    /// What is authenticated besides: SPI and the whole sequence number (RFC 4106 section 5, with ESN).
    #[inline]
    #[must_use]
    pub fn aad(&self) -> [u8; AAD_LEN] {
        let mut bytes = [0; AAD_LEN];
        aad_field::SPI.put(&mut bytes, self.spi);
        aad_field::SEQUENCE.put(&mut bytes, &self.iv());
        bytes
    }
}

/// The next header of an IP packet: by its version; `None` if it is neither IPv4 nor IPv6.
#[inline]
#[must_use]
pub fn next_header_of(packet: &[u8], sums: TransportSum) -> Option<u8> {
    match (packet.first()? >> 4, sums) {
        (4, TransportSum::Whole) => Some(next_header::IPV4),
        (4, TransportSum::Partial) => Some(next_header::IPV4_PARTIAL),
        (6, TransportSum::Whole) => Some(next_header::IPV6),
        (6, TransportSum::Partial) => Some(next_header::IPV6_PARTIAL),
        _ => None,
    }
}

/// What a next header says of the packet's transport checksum.
#[inline]
#[must_use]
pub fn sums_of(next_header: u8) -> TransportSum {
    match next_header {
        next_header::IPV4_PARTIAL | next_header::IPV6_PARTIAL => TransportSum::Partial,
        _ => TransportSum::Whole,
    }
}

/// Padding, pad length and next header behind `inner_len` bytes, in bytes: 2 to 5.
#[inline]
#[must_use]
pub const fn trailer_len(inner_len: usize) -> usize {
    // What 4·⌈(inner+2)/4⌉ leaves, without a sum that could overflow.
    2 + (2 + ALIGNMENT - inner_len % ALIGNMENT) % ALIGNMENT
}

/// Writes the trailer behind the `inner_len` bytes at the start of `buffer`, and returns the length of what is to be sealed.
///
/// # Errors
/// [`EmitError::NoRoom`]; then `buffer` is as it was.
#[inline]
pub fn put_trailer(buffer: &mut [u8], inner_len: usize, next_header: u8) -> Result<usize, EmitError> {
    let len = trailer_len(inner_len);
    let (have, need) = (buffer.len(), inner_len.saturating_add(len));
    let trailer = buffer.get_mut(inner_len..need).ok_or(EmitError::NoRoom { need, have })?;
    let padding = len - TRAILER_LEN_MIN;
    for (byte, value) in trailer.iter_mut().zip([1, 2, 3].into_iter().take(padding).chain([padding as u8, next_header]))
    {
        *byte = value;
    }
    Ok(need)
}

/// What was sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inner<'a> {
    /// An IPv4 or IPv6 packet, as long as its own header says. Its length and version are right, nothing else of it was looked at.
    Packet(&'a [u8]),
    /// Nothing: throw it away.
    Dummy,
}

impl<'a> Inner<'a> {
    /// Reads the opened part. The inner packet stands at its start; bytes between its end and the padding are traffic flow
    /// confidentiality padding (RFC 4303 2.7).
    ///
    /// # Errors
    /// [`EspError`], of the trailer and of the inner packet's length.
    #[inline]
    pub fn parse(opened: &'a [u8]) -> Result<Inner<'a>, EspError> {
        let Some((rest, &[pad_len, next_header])) = opened.split_last_chunk() else {
            return Err(EspError::Alignment(opened.len()));
        };
        if !opened.len().is_multiple_of(ALIGNMENT) {
            return Err(EspError::Alignment(opened.len()));
        }
        let inner_len = rest.len().checked_sub(pad_len.into()).ok_or(EspError::PadLength(pad_len))?;
        let (inner, padding) = rest.split_at_checked(inner_len).ok_or(EspError::PadLength(pad_len))?;
        if padding.iter().zip(1..=u8::MAX).any(|(byte, expected)| *byte != expected) {
            return Err(EspError::Padding);
        }
        let len = match next_header {
            next_header::IPV4 | next_header::IPV4_PARTIAL => ipv4_len(inner)?,
            next_header::IPV6 | next_header::IPV6_PARTIAL => ipv6_len(inner)?,
            next_header::DUMMY => return Ok(Inner::Dummy),
            other => return Err(EspError::NextHeader(other)),
        };
        inner.get(..len).map(Inner::Packet).ok_or(EspError::InnerLength)
    }
}

fn ipv4_len(inner: &[u8]) -> Result<usize, EspError> {
    let header = inner.first_chunk::<{ ipv4::HEADER_LEN }>().ok_or(EspError::InnerLength)?;
    if ipv4::field::VERSION_IHL.of(header) >> 4 != 4 {
        return Err(EspError::InnerVersion(next_header::IPV4));
    }
    let len = usize::from(ipv4::field::TOTAL_LENGTH.of(header));
    if len < ipv4::HEADER_LEN { Err(EspError::InnerLength) } else { Ok(len) }
}

fn ipv6_len(inner: &[u8]) -> Result<usize, EspError> {
    let header = inner.first_chunk::<{ ipv6::HEADER_LEN }>().ok_or(EspError::InnerLength)?;
    if ipv6::field::VERSION_CLASS_FLOW.of(header) >> 28 != 6 {
        return Err(EspError::InnerVersion(next_header::IPV6));
    }
    Ok(ipv6::HEADER_LEN + usize::from(ipv6::field::PAYLOAD_LENGTH.of(header)))
}

/// Length of the UDP payload that carries an inner packet of `inner_len` bytes: header, sealed part and ICV.
#[inline]
#[must_use]
pub const fn sealed_len(inner_len: usize) -> usize {
    inner_len.saturating_add(HEADER_LEN + trailer_len(inner_len) + ICV_LEN)
}

/// Everything around an inner packet of `inner_len` bytes on the underlay, from the outer IP header on, in bytes: 62 to 65 over IPv4,
/// 82 to 85 over IPv6.
#[inline]
#[must_use]
pub const fn overhead(inner_len: usize, is_ipv6_outer: bool) -> usize {
    outer_len(is_ipv6_outer) + HEADER_LEN + trailer_len(inner_len) + ICV_LEN
}

/// The largest inner packet, in bytes, whose outer packet fits `underlay_mtu` (spec 14.6); 0 if none does.
#[must_use]
pub const fn inner_mtu(underlay_mtu: u16, is_ipv6_outer: bool) -> u16 {
    let around = (outer_len(is_ipv6_outer) + HEADER_LEN + ICV_LEN) as u16;
    let sealed = underlay_mtu.saturating_sub(around);
    (sealed - sealed % ALIGNMENT as u16).saturating_sub(TRAILER_LEN_MIN as u16)
}

const fn outer_len(is_ipv6: bool) -> usize {
    let ip = if is_ipv6 { ipv6::HEADER_LEN } else { ipv4::HEADER_LEN };
    ip + udp::HEADER_LEN
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    /// Spec 14.10: the inner packet of the tunnel-mode vectors, 10.0.1.10:40000 to 10.1.2.20:53.
    const INNER: [u8; 36] = [
        0x45, 0, 0, 0x24, 0, 1, 0x40, 0, 0x40, 0x11, 0x23, 0xaa, 10, 0, 1, 10, 10, 1, 2, 20, 0x9c, 0x40, 0, 0x35, 0,
        0x10, 0xa5, 0xd2, 0x70, 0x65, 0x65, 0x72, 0x69, 0x6e, 0x67, 0x21,
    ];

    fn sealed_part(inner: &[u8], next_header: u8) -> Vec<u8> {
        let mut bytes = inner.to_vec();
        bytes.resize(inner.len() + TRAILER_LEN_MAX, 0xee);
        let len = put_trailer(&mut bytes, inner.len(), next_header).unwrap();
        bytes.truncate(len);
        bytes
    }

    #[test]
    fn the_vectors_of_the_specification() {
        let header = Header { spi: 0x1001, sequence: 0x1_0000_0002 };
        assert_eq!(header.to_bytes(), [0, 0, 0x10, 1, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2]);
        assert_eq!(header.aad(), [0, 0, 0x10, 1, 0, 0, 0, 1, 0, 0, 0, 2]);
        assert_eq!(header.iv(), [0, 0, 0, 1, 0, 0, 0, 2]);
        let sealed = sealed_part(&INNER, next_header::IPV4);
        assert_eq!(sealed[36..], [1, 2, 2, 4]);
        assert_eq!(Inner::parse(&sealed), Ok(Inner::Packet(&INNER)));
        assert_eq!(sealed_len(36), 72);
        assert_eq!(Inner::parse(&sealed_part(&[0; 16], next_header::DUMMY)), Ok(Inner::Dummy));
        assert_eq!(next_header_of(&INNER, TransportSum::Whole), Some(next_header::IPV4));
    }

    #[test]
    fn the_table_of_inner_mtus() {
        for (underlay, v4, v6) in [(1500, 1438, 1418), (9000, 8938, 8918), (1280, 1218, 1198)] {
            assert_eq!((inner_mtu(underlay, false), inner_mtu(underlay, true)), (v4, v6), "{underlay}");
        }
        // The least underlays for a full 1500, 8500, 9001, and for a guest's IPv6.
        for (inner, v4) in [(1500, 1564), (8500, 8564), (9001, 9064)] {
            assert!(inner_mtu(v4, false) >= inner && inner_mtu(v4 - 1, false) < inner, "{inner}");
        }
        assert!(inner_mtu(1344, false) >= 1280 && inner_mtu(1364, true) >= 1280);
        assert!(inner_mtu(1343, false) < 1280 && inner_mtu(1363, true) < 1280);
        assert_eq!((overhead(1438, false), overhead(1418, true)), (62, 82));
        assert_eq!((inner_mtu(0, true), inner_mtu(61, false), inner_mtu(64, false)), (0, 0, 2));
    }

    #[test]
    fn what_is_no_esp() {
        assert_eq!(Datagram::parse(&KEEPALIVE), Ok(Datagram::Keepalive));
        assert_eq!(Datagram::parse(&[0; 4]), Ok(Datagram::NonEsp));
        assert_eq!(Datagram::parse(&[0; 400]), Ok(Datagram::NonEsp));
        for short in [&[][..], &[0xfe], &[0xff, 0xff], &[0, 0, 0], &[9; 35]] {
            assert_eq!(Datagram::parse(short), Err(EspError::Short(short.len())));
        }
    }

    #[test]
    fn each_lie_of_a_header_is_named() {
        let mut good = [0; 36];
        good[..16].copy_from_slice(&Header { spi: 256, sequence: 0x7_0000_0009 }.to_bytes());
        assert_eq!(Datagram::parse(&good), Ok(Datagram::Esp(Header { spi: 256, sequence: 0x7_0000_0009 })));
        let change = |at: usize, value: u8| {
            let mut bytes = good;
            bytes[at] = value;
            Header::parse(&bytes)
        };
        assert_eq!(change(2, 0), Err(EspError::ReservedSpi(0)));
        let mut reserved = good;
        reserved[..4].copy_from_slice(&255u32.to_be_bytes());
        assert_eq!(Header::parse(&reserved), Err(EspError::ReservedSpi(255)), "the last of them");
        assert_eq!(change(7, 8), Err(EspError::Sequence { low: 8, iv: 0x7_0000_0009 }));
        assert_eq!(change(15, 8), Err(EspError::Sequence { low: 9, iv: 0x7_0000_0008 }));
        assert!(change(11, 8).is_ok(), "the high half stands in the iv alone; the aad binds it");
        assert_eq!(Header::parse(&[9; 37]), Err(EspError::Alignment(5)));
    }

    #[test]
    fn each_lie_of_a_trailer_is_named() {
        let good = sealed_part(&INNER, next_header::IPV4);
        let change = |at: usize, value: u8| {
            let mut bytes = good.clone();
            bytes[at] = value;
            Inner::parse(&bytes).map(|_| ()).unwrap_err()
        };
        assert_eq!(change(39, 41), EspError::InnerLength, "36 bytes are no ipv6 header");
        assert_eq!(change(39, 6), EspError::NextHeader(6));
        assert_eq!(change(38, 39), EspError::PadLength(39));
        assert_eq!(change(38, 3), EspError::Padding);
        assert_eq!(change(36, 2), EspError::Padding);
        assert_eq!(change(37, 1), EspError::Padding);
        assert_eq!(change(0, 0x65), EspError::InnerVersion(4));
        assert_eq!(change(3, 37), EspError::InnerLength);
        assert_eq!(change(3, 19), EspError::InnerLength);
        assert_eq!(Inner::parse(&good[..39]), Err(EspError::Alignment(39)));
        assert_eq!(Inner::parse(&[]), Err(EspError::Alignment(0)));
        let six = sealed_part(&[0x40; 40], next_header::IPV6);
        assert_eq!(Inner::parse(&six), Err(EspError::InnerVersion(41)));
    }

    #[test]
    fn the_longest_padding_is_read() {
        let mut bytes: Vec<u8> = INNER.to_vec();
        bytes.extend(1..=255);
        bytes.extend([255, next_header::IPV4]);
        assert_eq!(Inner::parse(&bytes), Err(EspError::Alignment(293)));
        bytes.splice(36..36, [0; 3]);
        assert_eq!(Inner::parse(&bytes), Ok(Inner::Packet(&INNER)));
    }

    proptest! {
        #[test]
        fn trailers_round_trip_and_hide_padding(len in 20usize..2000, extra in 0usize..300, six in any::<bool>()) {
            let len = if six { len + 20 } else { len };
            let mut inner = std::vec![0xaa; len + extra];
            let next_header = if six {
                inner[0] = 0x60;
                inner[4..6].copy_from_slice(&((len - 40) as u16).to_be_bytes());
                next_header::IPV6
            } else {
                inner[0] = 0x45;
                inner[2..4].copy_from_slice(&(len as u16).to_be_bytes());
                next_header::IPV4
            };
            let sealed = sealed_part(&inner, next_header);
            prop_assert!(sealed.len().is_multiple_of(4) && sealed.len() - inner.len() <= TRAILER_LEN_MAX);
            prop_assert_eq!(sealed_len(inner.len()), sealed.len() + HEADER_LEN + ICV_LEN);
            prop_assert_eq!(Inner::parse(&sealed), Ok(Inner::Packet(&inner[..len])));
            prop_assert_eq!(next_header_of(&inner, TransportSum::Whole), Some(next_header));
            let refused = put_trailer(&mut inner, len + extra, next_header);
            prop_assert_eq!(refused, Err(EmitError::NoRoom { need: sealed.len(), have: len + extra }));
        }

        #[test]
        fn the_inner_mtu_is_the_largest_that_fits(underlay in 0u16.., six in any::<bool>()) {
            let inner = usize::from(inner_mtu(underlay, six));
            let outer = |inner: usize| inner + overhead(inner, six);
            prop_assert!(inner == 0 || outer(inner) <= usize::from(underlay));
            prop_assert!(outer(inner + 1) > usize::from(underlay));
        }

        #[test]
        fn any_bytes_are_taken(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Datagram::parse(&bytes);
            if let Ok(Inner::Packet(packet)) = Inner::parse(&bytes) {
                prop_assert!(packet.len() + TRAILER_LEN_MIN <= bytes.len());
            }
        }
    }
}
