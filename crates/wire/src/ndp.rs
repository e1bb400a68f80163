//! IPv6 neighbour discovery (RFC 4861) with the options that Peerway speaks: link-layer addresses, prefix, MTU, RDNSS and DNSSL
//! (RFC 8106).

use crate::bytes::{EmitError, Reader, Writer};
use crate::icmp::{self, checksum_is_valid};
use crate::ip::protocol;
use crate::{Ip, MacAddr, Transport, ipv6, names};
use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv6Addr};
use thiserror::Error;

/// The hop limit that proves a message comes from this link (RFC 4861 3.1).
pub const HOP_LIMIT: u8 = 255;
/// All nodes of the link.
pub const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// All routers of the link.
pub const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);
/// The most prefixes that one advertisement may name.
pub const PREFIXES_MAX: usize = 16;
/// The most resolvers that one advertisement may name.
pub const RDNSS_MAX: usize = 16;

/// ICMPv6 message types of neighbour discovery.
pub mod kind {
    /// Router solicitation.
    pub const ROUTER_SOLICITATION: u8 = 133;
    /// Router advertisement.
    pub const ROUTER_ADVERTISEMENT: u8 = 134;
    /// Neighbour solicitation.
    pub const NEIGHBOR_SOLICITATION: u8 = 135;
    /// Neighbour advertisement.
    pub const NEIGHBOR_ADVERTISEMENT: u8 = 136;
    /// Redirect.
    pub const REDIRECT: u8 = 137;

    /// Whether an ICMPv6 type belongs to neighbour discovery.
    #[must_use]
    pub const fn is_ndp(kind: u8) -> bool {
        matches!(kind, ROUTER_SOLICITATION..=REDIRECT)
    }
}

mod option {
    pub(super) const SOURCE_LINK_LAYER: u8 = 1;
    pub(super) const TARGET_LINK_LAYER: u8 = 2;
    pub(super) const PREFIX: u8 = 3;
    pub(super) const MTU: u8 = 5;
    pub(super) const RDNSS: u8 = 25;
    pub(super) const DNSSL: u8 = 31;
}

/// A message of neighbour discovery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// Routers, speak up.
    RouterSolicitation {
        /// The asker's MAC.
        source_link_layer: Option<MacAddr>,
    },
    /// A router speaks.
    RouterAdvertisement(RouterAdvertisement),
    /// Who has this address? From the unspecified address: is it taken (RFC 4862 5.4)?
    NeighborSolicitation(NeighborSolicitation),
    /// I have this address.
    NeighborAdvertisement(NeighborAdvertisement),
    /// A router sends somebody elsewhere; its contents never matter here.
    Redirect,
}

/// Who has `target`?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct NeighborSolicitation {
    /// The address asked for; never multicast.
    pub target: Ipv6Addr,
    /// The asker's MAC.
    pub source_link_layer: Option<MacAddr>,
}

/// The sender has `target`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct NeighborAdvertisement {
    /// The address; never multicast.
    pub target: Ipv6Addr,
    /// The sender is a router.
    pub router: bool,
    /// An answer to a question.
    pub solicited: bool,
    /// Overrides what was known.
    pub r#override: bool,
    /// The sender's MAC.
    pub target_link_layer: Option<MacAddr>,
}

/// What a router says about its link.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct RouterAdvertisement {
    /// The hop limit to use; 0 says nothing.
    pub hop_limit: u8,
    /// Addresses come from DHCPv6 (M).
    pub managed: bool,
    /// Other settings come from DHCPv6 (O).
    pub other: bool,
    /// How long this is a default router, in seconds; 0: it is none.
    pub router_lifetime_secs: u16,
    /// How long a neighbour counts as reachable, in milliseconds; 0 says nothing.
    pub reachable_ms: u32,
    /// Between solicitations, in milliseconds; 0 says nothing.
    pub retransmit_ms: u32,
    /// The router's MAC.
    pub source_link_layer: Option<MacAddr>,
    /// The link's MTU in bytes.
    pub mtu: Option<u32>,
    /// The link's prefixes, at most [`PREFIXES_MAX`].
    pub prefixes: Vec<Prefix>,
    /// Resolvers, at most [`RDNSS_MAX`].
    pub rdnss: Option<Rdnss>,
    /// Domains to look names up in.
    pub dnssl: Option<Dnssl>,
}

/// A prefix of the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Prefix {
    /// The prefix.
    pub prefix: Ipv6Addr,
    /// Its length in bits, 0 to 128.
    pub len: u8,
    /// Its addresses are neighbours (L).
    pub on_link: bool,
    /// Hosts may make themselves addresses of it (A).
    pub autonomous: bool,
    /// Valid for so many seconds; all ones: for ever.
    pub valid_secs: u32,
    /// Preferred for so many seconds; all ones: for ever.
    pub preferred_secs: u32,
}

/// Resolvers (RFC 8106 5.1).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Rdnss {
    /// Usable for so many seconds; all ones: for ever.
    pub lifetime_secs: u32,
    /// The resolvers, at least one.
    pub servers: Vec<Ipv6Addr>,
}

/// Domains to look names up in (RFC 8106 5.2).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Dnssl {
    /// Usable for so many seconds; all ones: for ever.
    pub lifetime_secs: u32,
    /// The domains, at least one.
    pub domains: Vec<String>,
}

/// Why a message was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
pub enum NdpError {
    /// Not a whole ICMPv6 message of neighbour discovery.
    #[error("not a message of neighbour discovery")]
    NotNdp,
    /// Fragmented or behind extension headers (RFC 6980).
    #[error("neighbour discovery behind extension headers or in fragments")]
    ExtensionHeaders,
    /// It may have crossed a router.
    #[error("hop limit `{0}` is not 255")]
    HopLimit(u8),
    /// Wrong checksum.
    #[error("wrong icmpv6 checksum")]
    Checksum,
    /// The code is not zero.
    #[error("code `{0}` is not 0")]
    Code(u8),
    /// Cut short.
    #[error("the message is cut short")]
    Short,
    /// An option of length zero, or of a length that its type does not have, or running out of the message.
    #[error("option `{0}` has a wrong length")]
    Option(u8),
    /// Source, destination or target address that this message may not have.
    #[error("source, destination or target address does not fit the message")]
    Address,
    /// More prefixes or resolvers than anybody needs.
    #[error("too many prefixes or resolvers")]
    TooMany,
}

impl Message {
    /// Reads a message; all that RFC 4861 6.1 and 7.1 ask for is checked. `frame` is the one that gave `ip`, its checksum finished.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn parse(ip: &Ip, frame: &[u8]) -> Result<Message, NdpError> {
        let (IpAddr::V6(src), IpAddr::V6(dst)) = (ip.src, ip.dst) else { return Err(NdpError::NotNdp) };
        let Transport::Icmp { kind, code, .. } = ip.transport else { return Err(NdpError::NotNdp) };
        if ip.protocol != protocol::ICMPV6 || !kind::is_ndp(kind) {
            return Err(NdpError::NotNdp);
        }
        if ip.l4 != ip.l3 + ipv6::HEADER_LEN {
            return Err(NdpError::ExtensionHeaders);
        }
        if ip.ttl != HOP_LIMIT {
            return Err(NdpError::HopLimit(ip.ttl));
        }
        let message = ip.l4_bytes(frame);
        if !checksum_is_valid(ip.addresses(), message) {
            return Err(NdpError::Checksum);
        }
        if code != 0 {
            return Err(NdpError::Code(code));
        }
        let (header, body) = icmp::Header::split(message).map_err(|_| NdpError::Short)?;
        let mut reader = Reader::new(body);
        match kind {
            kind::ROUTER_SOLICITATION => parse_router_solicitation(src, reader),
            kind::ROUTER_ADVERTISEMENT => parse_router_advertisement(src, header.rest(), reader),
            kind::NEIGHBOR_SOLICITATION => {
                let target = reader.ipv6().ok_or(NdpError::Short)?;
                parse_neighbor_solicitation(src, dst, target, reader)
            }
            kind::NEIGHBOR_ADVERTISEMENT => {
                let target = reader.ipv6().ok_or(NdpError::Short)?;
                parse_neighbor_advertisement(dst, header.rest(), target, reader)
            }
            _ => Ok(Message::Redirect),
        }
    }
}

impl NeighborSolicitation {
    /// The group that the owner of `target` listens to (RFC 4291 2.7.1).
    #[must_use]
    pub const fn group_of(target: Ipv6Addr) -> Ipv6Addr {
        let [.., a, b, c] = target.octets();
        Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | a as u16, u16::from_be_bytes([b, c]))
    }

    /// The ICMPv6 header's fields.
    #[must_use]
    pub fn fields(&self) -> icmp::Fields {
        icmp::Fields { kind: kind::NEIGHBOR_SOLICITATION, code: 0, rest: [0; 4] }
    }

    /// Writes what follows the ICMPv6 header.
    ///
    /// # Errors
    /// [`EmitError::NoRoom`].
    pub fn emit(&self, buffer: &mut [u8]) -> Result<usize, EmitError> {
        let mut writer = Writer::new(buffer);
        writer.bytes(&self.target.octets())?;
        emit_link_layer(&mut writer, option::SOURCE_LINK_LAYER, self.source_link_layer)?;
        Ok(writer.len())
    }
}

impl NeighborAdvertisement {
    /// The ICMPv6 header's fields.
    #[must_use]
    pub fn fields(&self) -> icmp::Fields {
        let flags = u8::from(self.router) << 7 | u8::from(self.solicited) << 6 | u8::from(self.r#override) << 5;
        icmp::Fields { kind: kind::NEIGHBOR_ADVERTISEMENT, code: 0, rest: [flags, 0, 0, 0] }
    }

    /// Writes what follows the ICMPv6 header.
    ///
    /// # Errors
    /// [`EmitError::NoRoom`].
    pub fn emit(&self, buffer: &mut [u8]) -> Result<usize, EmitError> {
        let mut writer = Writer::new(buffer);
        writer.bytes(&self.target.octets())?;
        emit_link_layer(&mut writer, option::TARGET_LINK_LAYER, self.target_link_layer)?;
        Ok(writer.len())
    }
}

impl RouterAdvertisement {
    /// The ICMPv6 header's fields.
    #[must_use]
    pub fn fields(&self) -> icmp::Fields {
        let [a, b] = self.router_lifetime_secs.to_be_bytes();
        let flags = u8::from(self.managed) << 7 | u8::from(self.other) << 6;
        icmp::Fields { kind: kind::ROUTER_ADVERTISEMENT, code: 0, rest: [self.hop_limit, flags, a, b] }
    }

    /// Writes what follows the ICMPv6 header.
    ///
    /// # Errors
    /// [`EmitError::NoRoom`]; [`EmitError::TooLong`] beyond [`PREFIXES_MAX`] or [`RDNSS_MAX`], or for more domains than fit their option;
    /// [`EmitError::BadName`].
    pub fn emit(&self, buffer: &mut [u8]) -> Result<usize, EmitError> {
        let mut writer = Writer::new(buffer);
        writer.be32(self.reachable_ms)?;
        writer.be32(self.retransmit_ms)?;
        emit_link_layer(&mut writer, option::SOURCE_LINK_LAYER, self.source_link_layer)?;
        if let Some(mtu) = self.mtu {
            writer.bytes(&[option::MTU, 1, 0, 0])?;
            writer.be32(mtu)?;
        }
        check_count("prefixes", self.prefixes.len(), PREFIXES_MAX)?;
        for prefix in &self.prefixes {
            prefix.emit(&mut writer)?;
        }
        if let Some(rdnss) = self.rdnss.as_ref().filter(|rdnss| !rdnss.servers.is_empty()) {
            check_count("resolvers", rdnss.servers.len(), RDNSS_MAX)?;
            let length = (1 + 2 * rdnss.servers.len()) as u8;
            writer.bytes(&[option::RDNSS, length, 0, 0])?;
            writer.be32(rdnss.lifetime_secs)?;
            for server in &rdnss.servers {
                writer.bytes(&server.octets())?;
            }
        }
        if let Some(dnssl) = self.dnssl.as_ref().filter(|dnssl| !dnssl.domains.is_empty()) {
            dnssl.emit(&mut writer)?;
        }
        Ok(writer.len())
    }
}

impl Prefix {
    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), EmitError> {
        let flags = u8::from(self.on_link) << 7 | u8::from(self.autonomous) << 6;
        writer.bytes(&[option::PREFIX, 4, self.len, flags])?;
        writer.be32(self.valid_secs)?;
        writer.be32(self.preferred_secs)?;
        writer.be32(0)?;
        writer.bytes(&self.prefix.octets())
    }

    fn parse(body: &[u8]) -> Option<Prefix> {
        let mut reader = Reader::new(body);
        let [len, flags] = reader.array()?;
        let (valid_secs, preferred_secs, _reserved) = (reader.be32()?, reader.be32()?, reader.be32()?);
        let prefix = reader.ipv6()?;
        let fits = reader.is_empty() && len <= 128;
        let (on_link, autonomous) = (flags & 0x80 != 0, flags & 0x40 != 0);
        fits.then_some(Prefix { prefix, len, on_link, autonomous, valid_secs, preferred_secs })
    }
}

impl Rdnss {
    fn parse(body: &[u8]) -> Option<Rdnss> {
        let mut reader = Reader::new(body);
        let _reserved = reader.be16()?;
        let lifetime_secs = reader.be32()?;
        let mut servers = Vec::new();
        while let Some(server) = reader.ipv6() {
            servers.push(server);
        }
        (reader.is_empty() && !servers.is_empty()).then_some(Rdnss { lifetime_secs, servers })
    }
}

impl Dnssl {
    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), EmitError> {
        let names: usize = self.domains.iter().map(|domain| names::len(domain)).sum();
        let units = (8 + names).div_ceil(8);
        let too_long = EmitError::TooLong { what: "domains", length: names, limit: 255 * 8 - 8 };
        writer.bytes(&[option::DNSSL, u8::try_from(units).map_err(|_| too_long)?, 0, 0])?;
        writer.be32(self.lifetime_secs)?;
        for domain in &self.domains {
            names::emit(writer, domain)?;
        }
        writer.bytes(&[0; 7][..units * 8 - 8 - names])
    }

    fn parse(body: &[u8]) -> Option<Dnssl> {
        let mut reader = Reader::new(body);
        let _reserved = reader.be16()?;
        let lifetime_secs = reader.be32()?;
        Some(Dnssl { lifetime_secs, domains: names::parse_padded(reader.rest())? })
    }
}

fn parse_router_solicitation(src: Ipv6Addr, reader: Reader<'_>) -> Result<Message, NdpError> {
    let source_link_layer = link_layer_option(reader, option::SOURCE_LINK_LAYER)?;
    // RFC 4861 6.1.1: who has no address cannot be answered at a MAC.
    if src.is_unspecified() && source_link_layer.is_some() {
        return Err(NdpError::Address);
    }
    Ok(Message::RouterSolicitation { source_link_layer })
}

fn parse_router_advertisement(src: Ipv6Addr, rest: [u8; 4], mut reader: Reader<'_>) -> Result<Message, NdpError> {
    // RFC 4861 6.1.2.
    if !src.is_unicast_link_local() {
        return Err(NdpError::Address);
    }
    let [hop_limit, flags, lifetime @ ..] = rest;
    let mut advertisement = RouterAdvertisement {
        hop_limit,
        managed: flags & 0x80 != 0,
        other: flags & 0x40 != 0,
        router_lifetime_secs: u16::from_be_bytes(lifetime),
        reachable_ms: reader.be32().ok_or(NdpError::Short)?,
        retransmit_ms: reader.be32().ok_or(NdpError::Short)?,
        ..RouterAdvertisement::default()
    };
    for_each_option(reader, |kind, body| {
        let wrong = NdpError::Option(kind);
        match kind {
            option::SOURCE_LINK_LAYER => advertisement.source_link_layer = Some(link_layer(body).ok_or(wrong)?),
            option::MTU => {
                let [_, _, mtu @ ..] = <[u8; 6]>::try_from(body).map_err(|_| wrong)?;
                advertisement.mtu = Some(u32::from_be_bytes(mtu));
            }
            option::PREFIX if advertisement.prefixes.len() == PREFIXES_MAX => return Err(NdpError::TooMany),
            option::PREFIX => advertisement.prefixes.push(Prefix::parse(body).ok_or(wrong)?),
            option::RDNSS => {
                let rdnss = Rdnss::parse(body).ok_or(wrong)?;
                if rdnss.servers.len() > RDNSS_MAX {
                    return Err(NdpError::TooMany);
                }
                advertisement.rdnss = Some(rdnss);
            }
            option::DNSSL => advertisement.dnssl = Some(Dnssl::parse(body).ok_or(wrong)?),
            _ => {}
        }
        Ok(())
    })?;
    Ok(Message::RouterAdvertisement(advertisement))
}

fn parse_neighbor_solicitation(
    src: Ipv6Addr,
    dst: Ipv6Addr,
    target: Ipv6Addr,
    reader: Reader<'_>,
) -> Result<Message, NdpError> {
    let source_link_layer = link_layer_option(reader, option::SOURCE_LINK_LAYER)?;
    // RFC 4861 7.1.1: a probe from nobody goes to the group and names no MAC.
    let probe_is_wrong =
        src.is_unspecified() && (source_link_layer.is_some() || dst != NeighborSolicitation::group_of(target));
    if target.is_multicast() || probe_is_wrong {
        return Err(NdpError::Address);
    }
    Ok(Message::NeighborSolicitation(NeighborSolicitation { target, source_link_layer }))
}

fn parse_neighbor_advertisement(
    dst: Ipv6Addr,
    rest: [u8; 4],
    target: Ipv6Addr,
    reader: Reader<'_>,
) -> Result<Message, NdpError> {
    let target_link_layer = link_layer_option(reader, option::TARGET_LINK_LAYER)?;
    let [flags, ..] = rest;
    let solicited = flags & 0x40 != 0;
    // RFC 4861 7.1.2.
    if target.is_multicast() || (dst.is_multicast() && solicited) {
        return Err(NdpError::Address);
    }
    let (router, r#override) = (flags & 0x80 != 0, flags & 0x20 != 0);
    Ok(Message::NeighborAdvertisement(NeighborAdvertisement {
        target,
        router,
        solicited,
        r#override,
        target_link_layer,
    }))
}

/// Walks the options (RFC 4861 4.6: type, length in units of 8 bytes, body); unknown ones are the caller's to pass over.
fn for_each_option(
    mut reader: Reader<'_>,
    mut each: impl FnMut(u8, &[u8]) -> Result<(), NdpError>,
) -> Result<(), NdpError> {
    while !reader.is_empty() {
        let [kind, length] = reader.array().ok_or(NdpError::Short)?;
        let body_len = (usize::from(length) * 8).checked_sub(2).ok_or(NdpError::Option(kind))?;
        each(kind, reader.take(body_len).ok_or(NdpError::Option(kind))?)?;
    }
    Ok(())
}

fn link_layer_option(reader: Reader<'_>, wanted: u8) -> Result<Option<MacAddr>, NdpError> {
    let mut found = None;
    for_each_option(reader, |kind, body| {
        if kind == wanted {
            found = Some(link_layer(body).ok_or(NdpError::Option(kind))?);
        }
        Ok(())
    })?;
    Ok(found)
}

fn link_layer(body: &[u8]) -> Option<MacAddr> {
    body.try_into().ok().map(MacAddr)
}

fn emit_link_layer(writer: &mut Writer<'_>, kind: u8, mac: Option<MacAddr>) -> Result<(), EmitError> {
    let Some(mac) = mac else { return Ok(()) };
    writer.bytes(&[kind, 1])?;
    writer.bytes(&mac.0)
}

fn check_count(what: &'static str, length: usize, limit: usize) -> Result<(), EmitError> {
    if length > limit { Err(EmitError::TooLong { what, length, limit }) } else { Ok(()) }
}
