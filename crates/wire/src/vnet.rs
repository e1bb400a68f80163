//! The virtio-net header in front of every frame on a TAP (OASIS virtio 1.2, 5.1.6): the 10-byte form of `IFF_VNET_HDR`, little-endian.
//!
//! It says what the sender left to do: finish a checksum, cut a super-frame. Both are instructions about offsets in the frame, so a
//! guest's header is held against the parsed frame before anybody follows it.

use crate::bytes::{Le16, U8};
use crate::ip::protocol;
use crate::{Ip, Kind, Packet, checksum, tcp, udp};
use core::net::IpAddr;
use thiserror::Error;

/// Length of the header in bytes.
pub const LEN: usize = 10;

mod field {
    use super::{Le16, U8};
    pub(super) const FLAGS: U8<0> = U8;
    pub(super) const GSO_TYPE: U8<1> = U8;
    pub(super) const HDR_LEN: Le16<2> = Le16;
    pub(super) const GSO_SIZE: Le16<4> = Le16;
    pub(super) const CSUM_START: Le16<6> = Le16;
    pub(super) const CSUM_OFFSET: Le16<8> = Le16;
}

const NEEDS_CSUM: u8 = 1;
const DATA_VALID: u8 = 2;
const ECN: u8 = 0x80;

/// The most datagrams that one UDP super-frame may be cut into: Linux's own limit.
pub const UDP_SEGMENTS_MAX: usize = 128;
/// The least data per segment of a TCP super-frame: Linux's own limit, what the smallest MSS leaves beside all options.
pub const TCP_GSO_SIZE_MIN: u16 = 8;

/// How a super-frame is to be cut.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum GsoType {
    /// Not at all: an ordinary frame.
    #[default]
    None,
    /// Into TCP segments over IPv4.
    TcpV4,
    /// Into IP fragments of one UDP datagram (the old UFO).
    Udp,
    /// Into TCP segments over IPv6.
    TcpV6,
    /// Into UDP datagrams (USO).
    UdpL4,
}

/// A virtio-net header.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct VnetHeader {
    /// The transport checksum field holds only the pseudo-header's sum: finish it from `csum_start`.
    pub needs_csum: bool,
    /// The checksum has been checked.
    pub data_valid: bool,
    /// How to cut.
    pub gso_type: GsoType,
    /// TCP only: the CWR bit belongs to the first segment alone.
    pub ecn: bool,
    /// Length of the headers to copy into every segment, in bytes; a hint.
    pub hdr_len: u16,
    /// Data per segment in bytes.
    pub gso_size: u16,
    /// Where summing starts, from the start of the frame.
    pub csum_start: u16,
    /// Where the checksum goes, from `csum_start`.
    pub csum_offset: u16,
}

/// Why a virtio-net header was refused (counted as malformed, spec 11.5 D32).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
pub enum VnetError {
    /// Shorter than a header.
    #[error("fewer than 10 bytes of virtio-net header")]
    Short,
    /// A flag or segmentation type that was not offered.
    #[error("virtio-net flags `{flags:#04x}` or segmentation type `{gso_type:#04x}` were not offered")]
    NotOffered {
        /// The flags octet.
        flags: u8,
        /// The segmentation type octet.
        gso_type: u8,
    },
    /// Offsets outside the packet, or in front of its transport header.
    #[error("the checksum to finish lies outside the packet's transport data")]
    CsumOutside,
    /// A checksum to finish in a frame that has none: ARP, or a fragment.
    #[error("a checksum to finish in a frame that has none")]
    CsumOfNothing,
    /// A super-frame that does not leave its checksum to the receiver (virtio 1.2, 5.1.6.2.1).
    #[error("a super-frame must leave its checksum to be finished")]
    GsoWithoutCsum,
    /// The segment size is zero, too small, or would make too many segments.
    #[error("segment size `{0}` is zero or makes too many segments")]
    GsoSize(u16),
    /// The segmentation type does not fit the packet's protocol, or the packet is a fragment.
    #[error("the segmentation type does not fit the packet")]
    GsoOfOther,
    /// The headers' length is longer than the frame.
    #[error("header length `{0}` is longer than the frame")]
    HdrLen(u16),
}

impl VnetHeader {
    /// Reads the header and hands back the frame behind it.
    ///
    /// # Errors
    /// [`VnetError::Short`], [`VnetError::NotOffered`].
    pub fn split(bytes: &[u8]) -> Result<(VnetHeader, &[u8]), VnetError> {
        let (header, frame) = bytes.split_first_chunk::<LEN>().ok_or(VnetError::Short)?;
        let (flags, gso) = (field::FLAGS.of(header), field::GSO_TYPE.of(header));
        let refused = VnetError::NotOffered { flags, gso_type: gso };
        let gso_type = match gso & !ECN {
            0 => GsoType::None,
            1 => GsoType::TcpV4,
            3 => GsoType::Udp,
            4 => GsoType::TcpV6,
            5 => GsoType::UdpL4,
            _ => return Err(refused),
        };
        if flags & !(NEEDS_CSUM | DATA_VALID) != 0 {
            return Err(refused);
        }
        let header = VnetHeader {
            needs_csum: flags & NEEDS_CSUM != 0,
            data_valid: flags & DATA_VALID != 0,
            gso_type,
            ecn: gso & ECN != 0,
            hdr_len: field::HDR_LEN.of(header),
            gso_size: field::GSO_SIZE.of(header),
            csum_start: field::CSUM_START.of(header),
            csum_offset: field::CSUM_OFFSET.of(header),
        };
        Ok((header, frame))
    }

    /// Of a frame that need not be cut and whose TCP or UDP checksum is to be finished; `csum_start` is where the transport header
    /// stands in the frame.
    #[must_use]
    pub fn partial_sum(is_udp: bool, csum_start: u16) -> VnetHeader {
        let csum_offset = if is_udp { udp::CHECKSUM_OFFSET } else { tcp::CHECKSUM_OFFSET };
        VnetHeader { needs_csum: true, csum_start, csum_offset, ..VnetHeader::default() }
    }

    /// The header's bytes.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; LEN] {
        let mut header = [0; LEN];
        let gso_type = match self.gso_type {
            GsoType::None => 0,
            GsoType::TcpV4 => 1,
            GsoType::Udp => 3,
            GsoType::TcpV6 => 4,
            GsoType::UdpL4 => 5,
        };
        let flag = |set: bool, bit: u8| if set { bit } else { 0 };
        field::FLAGS.put(&mut header, flag(self.needs_csum, NEEDS_CSUM) | flag(self.data_valid, DATA_VALID));
        field::GSO_TYPE.put(&mut header, gso_type | flag(self.ecn, ECN));
        field::HDR_LEN.put(&mut header, self.hdr_len);
        field::GSO_SIZE.put(&mut header, self.gso_size);
        field::CSUM_START.put(&mut header, self.csum_start);
        field::CSUM_OFFSET.put(&mut header, self.csum_offset);
        header
    }

    /// Whether the frame is to be cut.
    #[must_use]
    pub fn is_super_frame(&self) -> bool {
        self.gso_type != GsoType::None
    }

    /// Holds a guest's header against the frame it came with.
    ///
    /// # Errors
    /// The first rule that is broken; then the frame must not be passed on.
    pub fn check(&self, packet: &Packet) -> Result<(), VnetError> {
        let ip = match &packet.kind {
            Kind::Ip(ip) => ip,
            Kind::Arp(_) if self.needs_csum => return Err(VnetError::CsumOfNothing),
            Kind::Arp(_) if self.is_super_frame() => return Err(VnetError::GsoOfOther),
            Kind::Arp(_) => return Ok(()),
        };
        self.check_ip(ip)
    }

    /// As [`VnetHeader::check`], of the IP packet in the frame.
    pub fn check_ip(&self, ip: &Ip) -> Result<(), VnetError> {
        if self.needs_csum {
            self.check_csum(ip)?;
        }
        if self.is_super_frame() {
            self.check_gso(ip)?;
        }
        Ok(())
    }

    /// A tunnel that the guest itself speaks (GRE, VXLAN) leaves an inner checksum to finish, so any place behind the outer transport
    /// header's start is right.
    fn check_csum(&self, ip: &Ip) -> Result<(), VnetError> {
        if ip.fragment.is_some() {
            return Err(VnetError::CsumOfNothing);
        }
        let field_end = usize::from(self.csum_start) + usize::from(self.csum_offset) + 2;
        let is_inside = usize::from(self.csum_start) >= ip.l4 && field_end <= ip.end();
        // Elsewhere in a TCP or UDP header it would overwrite what has just been looked at; behind one it is a tunnel's inside.
        let is_behind = usize::from(self.csum_start) >= ip.payload;
        let may_be = checksum_offset(ip.protocol).is_none() || is_behind || self.finishes_transport(ip);
        if is_inside && may_be { Ok(()) } else { Err(VnetError::CsumOutside) }
    }

    /// Whether the checksum to finish is that of the packet's own TCP or UDP header.
    pub(crate) fn finishes_transport(&self, ip: &Ip) -> bool {
        usize::from(self.csum_start) == ip.l4 && checksum_offset(ip.protocol) == Some(self.csum_offset)
    }

    fn check_gso(&self, ip: &Ip) -> Result<(), VnetError> {
        let (protocol, is_v6, csum_offset) = match self.gso_type {
            GsoType::None => return Ok(()),
            GsoType::TcpV4 => (protocol::TCP, Some(false), tcp::CHECKSUM_OFFSET),
            GsoType::TcpV6 => (protocol::TCP, Some(true), tcp::CHECKSUM_OFFSET),
            GsoType::Udp | GsoType::UdpL4 => (protocol::UDP, None, udp::CHECKSUM_OFFSET),
        };
        let family_fits = is_v6.is_none_or(|is_v6| is_v6 == matches!(ip.src, IpAddr::V6(_)));
        if ip.protocol != protocol || !family_fits || ip.fragment.is_some() {
            return Err(VnetError::GsoOfOther);
        }
        if !self.needs_csum {
            return Err(VnetError::GsoWithoutCsum);
        }
        if usize::from(self.csum_start) != ip.l4 || self.csum_offset != csum_offset {
            return Err(VnetError::CsumOutside);
        }
        if usize::from(self.hdr_len) > ip.end() {
            return Err(VnetError::HdrLen(self.hdr_len));
        }
        self.check_gso_size(ip)
    }

    fn check_gso_size(&self, ip: &Ip) -> Result<(), VnetError> {
        let refused = Err(VnetError::GsoSize(self.gso_size));
        // Linux keeps the largest value for itself ("cut along the buffer's own pieces").
        if self.gso_size == 0 || self.gso_size == u16::MAX {
            return refused;
        }
        match self.gso_type {
            GsoType::TcpV4 | GsoType::TcpV6 if self.gso_size < TCP_GSO_SIZE_MIN => refused,
            GsoType::Udp | GsoType::UdpL4
                if (ip.end() - ip.payload).div_ceil(usize::from(self.gso_size)) > UDP_SEGMENTS_MAX =>
            {
                refused
            }
            _ => Ok(()),
        }
    }

    /// Finishes the checksum that `needs_csum` leaves to the receiver, and clears the flag. Does nothing if the flag is clear or the
    /// offsets lie outside `frame` ([`VnetHeader::check`] refuses those). Not for super-frames: each segment has its own.
    pub fn finish_checksum(&mut self, frame: &mut [u8], ip: &Ip) {
        if !self.needs_csum || self.is_super_frame() {
            return;
        }
        let (start, end) = (usize::from(self.csum_start), ip.end());
        let Some(covered) = frame.get_mut(start..end) else { return };
        let sum = checksum::of(covered);
        let at = usize::from(self.csum_offset);
        let Some(place) = covered.get_mut(at..at + 2) else { return };
        place.copy_from_slice(&udp::nonzero(sum).to_be_bytes());
        *self = VnetHeader { needs_csum: false, csum_start: 0, csum_offset: 0, ..*self };
    }
}

/// Where TCP and UDP have their checksum, from the start of their header.
fn checksum_offset(protocol: u8) -> Option<u16> {
    match protocol {
        protocol::TCP => Some(tcp::CHECKSUM_OFFSET),
        protocol::UDP => Some(udp::CHECKSUM_OFFSET),
        _ => None,
    }
}
