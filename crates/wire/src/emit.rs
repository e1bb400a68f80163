//! Whole frames into lent buffers: Ethernet, IP and transport headers with right checksums around a payload that the caller writes.
//!
//! Every function returns the frame's length. IPv4 packets carry id 0 and DF (RFC 6864 4.1): what Peerway says itself is never fragmented.

use crate::bytes::{EmitError, Writer};
use crate::ethernet::{Link, ethertype};
use crate::ip::protocol;
use crate::{Addresses, ethernet, icmp, ipv4, ipv6, tcp, udp};

/// Writes a payload at the start of the bytes it is lent and returns its length.
pub trait WritePayload: FnOnce(&mut [u8]) -> Result<usize, EmitError> {}
impl<F: FnOnce(&mut [u8]) -> Result<usize, EmitError>> WritePayload for F {}

/// A payload that is there already.
pub fn bytes(payload: &[u8]) -> impl WritePayload {
    move |buffer: &mut [u8]| {
        let mut writer = Writer::new(buffer);
        writer.bytes(payload)?;
        Ok(writer.len())
    }
}

/// An IP packet of any protocol; for IPv6 `protocol` is the first next header.
///
/// # Errors
/// [`EmitError::NoRoom`], [`EmitError::TooLong`], and what `payload` says.
pub fn ip(
    buffer: &mut [u8],
    link: Link,
    addresses: Addresses,
    ttl: u8,
    protocol: u8,
    payload: impl WritePayload,
) -> Result<usize, EmitError> {
    let headers = ethernet::HEADER_LEN + ip_header_len(addresses);
    let have = buffer.len();
    let (head, body) = buffer.split_at_mut_checked(headers).ok_or(EmitError::NoRoom { need: headers, have })?;
    let payload_len = payload(body)?;
    let mut writer = Writer::new(head);
    match addresses {
        Addresses::V4 { src, dst } => {
            ethernet::emit(&mut writer, link, ethertype::IPV4)?;
            let fields = ipv4::Fields { src, dst, protocol, ttl, dont_fragment: true, fragment: None };
            fields.emit(&mut writer, payload_len)?;
        }
        Addresses::V6 { src, dst } => {
            ethernet::emit(&mut writer, link, ethertype::IPV6)?;
            ipv6::Fields { src, dst, next_header: protocol, hop_limit: ttl }.emit(&mut writer, payload_len)?;
        }
    }
    Ok(headers + payload_len)
}

/// A UDP datagram.
///
/// # Errors
/// As [`ip`].
pub fn udp(
    buffer: &mut [u8],
    link: Link,
    addresses: Addresses,
    ttl: u8,
    ports: udp::Ports,
    payload: impl WritePayload,
) -> Result<usize, EmitError> {
    ip(buffer, link, addresses, ttl, protocol::UDP, |l4: &mut [u8]| {
        behind_header(l4, payload, |header, payload| udp::emit(header, addresses, ports, payload))
    })
}

/// An ICMP or ICMPv6 message, as the family of `addresses` says.
///
/// # Errors
/// As [`ip`].
pub fn icmp(
    buffer: &mut [u8],
    link: Link,
    addresses: Addresses,
    ttl: u8,
    fields: icmp::Fields,
    payload: impl WritePayload,
) -> Result<usize, EmitError> {
    let protocol = match addresses {
        Addresses::V4 { .. } => protocol::ICMP,
        Addresses::V6 { .. } => protocol::ICMPV6,
    };
    ip(buffer, link, addresses, ttl, protocol, |l4: &mut [u8]| {
        behind_header(l4, payload, |header, payload| {
            fields.emit(header, addresses, payload);
            Ok(())
        })
    })
}

/// A TCP segment without options.
///
/// # Errors
/// As [`ip`].
pub fn tcp(
    buffer: &mut [u8],
    link: Link,
    addresses: Addresses,
    ttl: u8,
    fields: tcp::Fields,
    payload: impl WritePayload,
) -> Result<usize, EmitError> {
    ip(buffer, link, addresses, ttl, protocol::TCP, |l4: &mut [u8]| {
        behind_header(l4, payload, |header: &mut [u8; tcp::HEADER_LEN], payload| {
            fields.emit(&mut Writer::new(header), addresses, payload)
        })
    })
}

/// Writes the payload first and the header, whose checksum covers it, second.
fn behind_header<const N: usize>(
    l4: &mut [u8],
    payload: impl WritePayload,
    emit_header: impl FnOnce(&mut [u8; N], &[u8]) -> Result<(), EmitError>,
) -> Result<usize, EmitError> {
    let have = l4.len();
    let (header, body) = l4.split_first_chunk_mut::<N>().ok_or(EmitError::NoRoom { need: N, have })?;
    let payload_len = payload(body)?;
    emit_header(header, body.get(..payload_len).ok_or(EmitError::NoRoom { need: payload_len, have: body.len() })?)?;
    Ok(N + payload_len)
}

fn ip_header_len(addresses: Addresses) -> usize {
    match addresses {
        Addresses::V4 { .. } => ipv4::HEADER_LEN,
        Addresses::V6 { .. } => ipv6::HEADER_LEN,
    }
}
