//! ARP between Ethernet and IPv4 addresses (RFC 826).

use crate::bytes::{Be16, EmitError, Octets, U8, Writer};
use crate::ethernet::{Link, ethertype};
use crate::{MacAddr, Malformed, ethernet};
use core::net::Ipv4Addr;

/// Length of a packet in bytes, without the Ethernet header.
pub const LEN: usize = 28;

mod field {
    use super::{Be16, Octets, U8};
    pub(super) const HARDWARE_TYPE: Be16<0> = Be16;
    pub(super) const PROTOCOL_TYPE: Be16<2> = Be16;
    pub(super) const HARDWARE_LEN: U8<4> = U8;
    pub(super) const PROTOCOL_LEN: U8<5> = U8;
    pub(super) const OPERATION: Be16<6> = Be16;
    pub(super) const SENDER_MAC: Octets<8, 6> = Octets;
    pub(super) const SENDER_IP: Octets<14, 4> = Octets;
    pub(super) const TARGET_MAC: Octets<18, 6> = Octets;
    pub(super) const TARGET_IP: Octets<24, 4> = Octets;
}

const HARDWARE_ETHERNET: u16 = 1;

/// What an ARP packet is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Who has the target address?
    Request,
    /// The sender has the sender address.
    Reply,
}

/// An ARP packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Arp {
    /// Request or reply.
    pub operation: Operation,
    /// Who speaks.
    pub sender_mac: MacAddr,
    /// The speaker's address; unspecified in a probe (RFC 5227).
    pub sender_ip: Ipv4Addr,
    /// Zero in a request.
    pub target_mac: MacAddr,
    /// The address asked for, or the asker's in a reply.
    pub target_ip: Ipv4Addr,
}

impl Arp {
    /// Reads what follows the Ethernet header; bytes behind it are padding.
    ///
    /// # Errors
    /// [`Malformed::Arp`] for anything but a request or reply between Ethernet and IPv4 addresses.
    pub fn parse(bytes: &[u8]) -> Result<Arp, Malformed> {
        let packet: &[u8; LEN] = bytes.first_chunk().ok_or(Malformed::Arp)?;
        let shape = (
            field::HARDWARE_TYPE.of(packet),
            field::PROTOCOL_TYPE.of(packet),
            field::HARDWARE_LEN.of(packet),
            field::PROTOCOL_LEN.of(packet),
        );
        if shape != (HARDWARE_ETHERNET, ethertype::IPV4, 6, 4) {
            return Err(Malformed::Arp);
        }
        let operation = match field::OPERATION.of(packet) {
            1 => Operation::Request,
            2 => Operation::Reply,
            _ => return Err(Malformed::Arp),
        };
        Ok(Arp {
            operation,
            sender_mac: MacAddr(field::SENDER_MAC.of(packet)),
            sender_ip: field::SENDER_IP.of(packet).into(),
            target_mac: MacAddr(field::TARGET_MAC.of(packet)),
            target_ip: field::TARGET_IP.of(packet).into(),
        })
    }

    /// Writes the whole frame; returns its length, 42.
    ///
    /// # Errors
    /// [`EmitError::NoRoom`].
    pub fn emit(&self, link: Link, buffer: &mut [u8]) -> Result<usize, EmitError> {
        let mut writer = Writer::new(buffer);
        ethernet::emit(&mut writer, link, ethertype::ARP)?;
        let packet = writer.header::<LEN>()?;
        field::HARDWARE_TYPE.put(packet, HARDWARE_ETHERNET);
        field::PROTOCOL_TYPE.put(packet, ethertype::IPV4);
        field::HARDWARE_LEN.put(packet, 6);
        field::PROTOCOL_LEN.put(packet, 4);
        field::OPERATION.put(packet, if self.operation == Operation::Request { 1 } else { 2 });
        field::SENDER_MAC.put(packet, &self.sender_mac.0);
        field::SENDER_IP.put(packet, &self.sender_ip.octets());
        field::TARGET_MAC.put(packet, &self.target_mac.0);
        field::TARGET_IP.put(packet, &self.target_ip.octets());
        Ok(writer.len())
    }

    /// The answer "`mac` has the address you ask for". Meaningful for a request only.
    #[must_use]
    pub fn reply(&self, mac: MacAddr) -> Arp {
        Arp {
            operation: Operation::Reply,
            sender_mac: mac,
            sender_ip: self.target_ip,
            target_mac: self.sender_mac,
            target_ip: self.sender_ip,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: [u8; 28] = [
        0, 1, 8, 0, 6, 4, 0, 1, // Ethernet, IPv4, request
        2, 0, 0, 0, 0, 10, 10, 16, 1, 10, // sender
        0, 0, 0, 0, 0, 0, 10, 16, 1, 1, // target
    ];

    #[test]
    fn a_request_by_hand() {
        let arp = Arp::parse(&REQUEST).unwrap();
        assert_eq!(arp.operation, Operation::Request);
        assert_eq!(arp.sender_ip, Ipv4Addr::new(10, 16, 1, 10));
        assert_eq!(arp.target_ip, Ipv4Addr::new(10, 16, 1, 1));
        let mut buffer = [0xee; 42];
        let link = Link { src: arp.sender_mac, dst: MacAddr::BROADCAST };
        assert_eq!(arp.emit(link, &mut buffer), Ok(42));
        assert_eq!(buffer[14..], REQUEST);
        assert_eq!(arp.emit(link, &mut buffer[..41]), Err(EmitError::NoRoom { need: 42, have: 41 }));
    }

    #[test]
    fn the_reply_swaps_the_two() {
        let router = MacAddr([2, 0, 0, 0, 0, 1]);
        let reply = Arp::parse(&REQUEST).unwrap().reply(router);
        assert_eq!((reply.sender_mac, reply.sender_ip), (router, Ipv4Addr::new(10, 16, 1, 1)));
        assert_eq!((reply.target_mac, reply.target_ip), (MacAddr([2, 0, 0, 0, 0, 10]), Ipv4Addr::new(10, 16, 1, 10)));
    }

    #[test]
    fn every_other_shape_is_refused() {
        assert_eq!(Arp::parse(&REQUEST[..27]), Err(Malformed::Arp));
        for (at, value) in [(1, 6), (2, 0x86), (4, 8), (5, 16), (7, 0), (7, 3), (6, 1)] {
            let mut bytes = REQUEST;
            bytes[at] = value;
            assert_eq!(Arp::parse(&bytes), Err(Malformed::Arp), "byte {at} = {value}");
        }
    }
}
