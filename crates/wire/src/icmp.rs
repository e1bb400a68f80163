//! ICMP (RFC 792, RFC 1191, RFC 950) and ICMPv6 (RFC 4443) headers.

use crate::bytes::{Be16, Octets, U8};
use crate::{Addresses, Malformed, checksum, ip};

/// Length of the part that all messages have, in bytes.
pub const HEADER_LEN: usize = 8;

/// Message types of ICMP for IPv4 (IANA "ICMP Type Numbers").
pub mod v4 {
    /// Echo reply.
    pub const ECHO_REPLY: u8 = 0;
    /// Destination unreachable.
    pub const UNREACHABLE: u8 = 3;
    /// Code of [`UNREACHABLE`]: fragmentation needed and DF set.
    pub const FRAGMENTATION_NEEDED: u8 = 4;
    /// Source quench (deprecated).
    pub const SOURCE_QUENCH: u8 = 4;
    /// Redirect.
    pub const REDIRECT: u8 = 5;
    /// Echo request.
    pub const ECHO_REQUEST: u8 = 8;
    /// Time exceeded.
    pub const TIME_EXCEEDED: u8 = 11;
    /// Parameter problem.
    pub const PARAMETER_PROBLEM: u8 = 12;

    /// Whether a message of this type carries the packet that it complains about.
    #[must_use]
    pub const fn is_error(kind: u8) -> bool {
        matches!(kind, UNREACHABLE | SOURCE_QUENCH | REDIRECT | TIME_EXCEEDED | PARAMETER_PROBLEM)
    }

    /// Whether a message of this type is a question or answer with an identifier: echo, timestamp, information, address mask.
    #[must_use]
    pub const fn is_query(kind: u8) -> bool {
        matches!(kind, ECHO_REPLY | ECHO_REQUEST | 13..=18)
    }
}

/// Message types of ICMPv6 (IANA "ICMPv6 type Numbers").
pub mod v6 {
    /// Destination unreachable.
    pub const UNREACHABLE: u8 = 1;
    /// Packet too big.
    pub const PACKET_TOO_BIG: u8 = 2;
    /// Time exceeded.
    pub const TIME_EXCEEDED: u8 = 3;
    /// Parameter problem.
    pub const PARAMETER_PROBLEM: u8 = 4;
    /// Echo request.
    pub const ECHO_REQUEST: u8 = 128;
    /// Echo reply.
    pub const ECHO_REPLY: u8 = 129;

    /// Whether a message of this type carries the packet that it complains about (RFC 4443 2.1: the high bit is clear).
    #[must_use]
    pub const fn is_error(kind: u8) -> bool {
        kind < 128
    }

    /// Whether a message of this type is a question or answer with an identifier.
    #[must_use]
    pub const fn is_query(kind: u8) -> bool {
        matches!(kind, ECHO_REQUEST | ECHO_REPLY)
    }
}

mod field {
    use super::{Be16, Octets, U8};
    pub(super) const TYPE: U8<0> = U8;
    pub(super) const CODE: U8<1> = U8;
    pub(super) const CHECKSUM: Be16<2> = Be16;
    pub(super) const REST: Octets<4, 4> = Octets;
    pub(super) const ID: Be16<4> = Be16;
}

/// A view of an ICMP or ICMPv6 header.
#[derive(Debug, Clone, Copy)]
pub struct Header<'a>(&'a [u8; HEADER_LEN]);

impl<'a> Header<'a> {
    /// The header and what follows it.
    ///
    /// # Errors
    /// [`Malformed::IcmpHeader`].
    pub fn split(message: &'a [u8]) -> Result<(Header<'a>, &'a [u8]), Malformed> {
        let (header, rest) = message.split_first_chunk().ok_or(Malformed::IcmpHeader)?;
        Ok((Header(header), rest))
    }

    /// Message type.
    #[must_use]
    pub fn kind(self) -> u8 {
        field::TYPE.of(self.0)
    }

    /// Code.
    #[must_use]
    pub fn code(self) -> u8 {
        field::CODE.of(self.0)
    }

    /// The second half of the header: identifier and sequence number, or the MTU, or unused.
    #[must_use]
    pub fn rest(self) -> [u8; 4] {
        field::REST.of(self.0)
    }

    /// The identifier of a question or answer; meaningless in other messages.
    #[must_use]
    pub fn id(self) -> u16 {
        field::ID.of(self.0)
    }
}

/// The fields of a header to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fields {
    /// Message type.
    pub kind: u8,
    /// Code.
    pub code: u8,
    /// The second half of the header.
    pub rest: [u8; 4],
}

impl Fields {
    /// An echo request or reply of the family of `addresses`.
    #[must_use]
    pub fn echo(addresses: Addresses, request: bool, id: u16, sequence: u16) -> Fields {
        let kind = match (addresses, request) {
            (Addresses::V4 { .. }, true) => v4::ECHO_REQUEST,
            (Addresses::V4 { .. }, false) => v4::ECHO_REPLY,
            (Addresses::V6 { .. }, true) => v6::ECHO_REQUEST,
            (Addresses::V6 { .. }, false) => v6::ECHO_REPLY,
        };
        let ([a, b], [c, d]) = (id.to_be_bytes(), sequence.to_be_bytes());
        Fields { kind, code: 0, rest: [a, b, c, d] }
    }

    /// Writes a header, its checksum over `payload` included. ICMPv6 sums a pseudo-header, ICMP does not.
    pub(crate) fn emit(&self, header: &mut [u8; HEADER_LEN], addresses: Addresses, payload: &[u8]) {
        field::TYPE.put(header, self.kind);
        field::CODE.put(header, self.code);
        field::CHECKSUM.put(header, 0);
        field::REST.put(header, &self.rest);
        let start = start_of_sum(addresses, HEADER_LEN + payload.len());
        field::CHECKSUM.put(header, start.plus(header).plus(payload).finish());
    }
}

/// Whether the checksum of a whole message is right.
#[must_use]
pub fn checksum_is_valid(addresses: Addresses, message: &[u8]) -> bool {
    start_of_sum(addresses, message.len()).plus(message).partial() == 0xffff
}

fn start_of_sum(addresses: Addresses, length: usize) -> checksum::Sum {
    match addresses {
        Addresses::V4 { .. } => checksum::Sum::new(),
        Addresses::V6 { .. } => checksum::pseudo_header(addresses, ip::protocol::ICMPV6, length),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_echo_request_by_hand() {
        let addresses = Addresses::of("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let mut header = [0; 8];
        Fields::echo(addresses, true, 0x1234, 1).emit(&mut header, addresses, b"ab");
        // 0x0800 + 0x1234 + 0x0001 + 0x6162 = 0x7b97
        assert_eq!(header, [8, 0, 0x84, 0x68, 0x12, 0x34, 0, 1]);
        let (view, rest) = Header::split(&header).unwrap();
        assert_eq!((view.kind(), view.code(), view.id(), rest.len()), (8, 0, 0x1234, 0));
        assert_eq!(Header::split(&header[..7]).err(), Some(Malformed::IcmpHeader));
    }

    #[test]
    fn icmpv6_sums_its_addresses() {
        let addresses = Addresses::of("fe80::1".parse().unwrap(), "fe80::2".parse().unwrap());
        let mut header = [0; 8];
        Fields::echo(addresses, false, 1, 1).emit(&mut header, addresses, &[]);
        // 0xfe80+1 + 0xfe80+2 + 8 + 58 + 0x8100 + 1 + 1 = 2_7e47 -> 7e49 -> 81b6
        assert_eq!(header, [129, 0, 0x81, 0xb6, 0, 1, 0, 1]);
        assert!(checksum_is_valid(addresses, &header));
        let other = Addresses::of("fe80::1".parse().unwrap(), "fe80::3".parse().unwrap());
        assert!(!checksum_is_valid(other, &header));
    }
}
