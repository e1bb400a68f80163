//! Cuts what a guest leaves to its device - a super-frame, an unfinished checksum - into whole IP packets that fit a path (virtio 1.2,
//! 5.1.6.2; RFC 9293 3.1 for what TCP headers carry in each piece).
//!
//! Headers are copied into every piece and put right; of the checksums only the payload is summed anew. A TCP super-frame whose own
//! segment size does not fit the path is cut smaller. A UDP one is not: each piece is a datagram of its own, and two would come out of
//! one; like every other packet that is too long, it is the sender's to shorten ([`SegmentError::TooBig`]).

use crate::bytes::EmitError;
use crate::checksum::{self, Sum};
use crate::ip::protocol;
use crate::vnet::{GsoType, VnetError, VnetHeader};
use crate::{Ip, ipv4, ipv6, tcp, udp};
use core::net::IpAddr;
use thiserror::Error;

/// The most pieces that a super-frame may be cut into, so that a guest's segment size of a few bytes cannot keep a host busy. At 65535
/// bytes it leaves 32 per piece; Linux sends no TCP segments below 48, options included, in bulk.
pub const SEGMENTS_MAX: usize = 2048;

/// Why a frame was not cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
pub enum SegmentError {
    /// The virtio-net header does not fit the packet (malformed).
    #[error(transparent)]
    Vnet(#[from] VnetError),
    /// The offsets lie outside the frame, which is not the one that was parsed (malformed).
    #[error("the packet's offsets lie outside its frame")]
    Outside,
    /// The guest's segment size makes more than [`SEGMENTS_MAX`] pieces (malformed).
    #[error("segment size `{0}` makes more than 2048 segments")]
    TooMany(u16),
    /// A packet longer than the path's MTU that may not be cut: answer it with ICMP.
    #[error("a packet of `{length}` bytes is longer than the path's `{mtu}`: send shorter ones")]
    TooBig {
        /// Length of the packet, or of the longest piece that its sender asks for, in bytes.
        length: usize,
        /// What the path takes, in bytes.
        mtu: u16,
    },
}

/// The pieces of one frame, to be written one by one.
#[derive(Debug, Clone, Copy)]
pub struct Segments<'a> {
    /// What every piece starts with: IP header to transport header. Empty where nothing is cut.
    headers: &'a [u8],
    payload: &'a [u8],
    payload_size: usize,
    count: usize,
    cut: Cut,
    /// What stands in the checksum field of the pieces that this writes.
    sums: checksum::TransportSum,
}

/// How a piece is made.
#[derive(Debug, Clone, Copy)]
enum Cut {
    /// One piece, as it stands.
    Whole,
    /// One piece, whose checksum over everything from `start` goes to `place`; perhaps TCP's or UDP's own.
    Finish { start: usize, place: usize, is_transports: bool },
    /// Pieces with headers of their own.
    Headers(Headers),
}

/// The sums of the headers with everything zero that differs from piece to piece.
#[derive(Debug, Clone, Copy)]
struct Headers {
    network: Network,
    transport: Transport,
    /// Offset of the transport header.
    l4: usize,
    /// Of the pseudo-header but for the length.
    pseudo: Sum,
    /// Of the transport header.
    sum: Sum,
}

#[derive(Debug, Clone, Copy)]
enum Network {
    V4 { id: u16, sum: Sum },
    V6,
}

#[derive(Debug, Clone, Copy)]
enum Transport {
    Tcp { seq: u32, flags: u8 },
    Udp,
}

impl<'a> Segments<'a> {
    /// Plans how to cut `frame`, an Ethernet frame that was parsed as `ip` and came with `header`, into packets of at most `mtu` bytes,
    /// IP header included.
    ///
    /// # Errors
    /// [`SegmentError`]; all but [`SegmentError::TooBig`] mean malformed.
    #[inline]
    pub fn new(header: &VnetHeader, ip: &Ip, frame: &'a [u8], mtu: u16) -> Result<Segments<'a>, SegmentError> {
        header.check_ip(ip)?;
        let packet = frame.get(ip.l3..ip.end()).ok_or(SegmentError::Outside)?;
        match header.gso_type {
            GsoType::TcpV4 | GsoType::TcpV6 | GsoType::UdpL4 => Segments::of_super_frame(header, ip, packet, mtu),
            // The old UFO asks for IP fragments; like any other packet it must fit or be refused.
            GsoType::None | GsoType::Udp => Segments::of_one(header, ip, packet, mtu),
        }
    }

    fn of_one(header: &VnetHeader, ip: &Ip, packet: &'a [u8], mtu: u16) -> Result<Segments<'a>, SegmentError> {
        if packet.len() > usize::from(mtu) {
            return Err(SegmentError::TooBig { length: packet.len(), mtu });
        }
        let cut = if header.needs_csum {
            let start = usize::from(header.csum_start).checked_sub(ip.l3).ok_or(SegmentError::Outside)?;
            let is_transports = header.finishes_transport(ip);
            Cut::Finish { start, place: start + usize::from(header.csum_offset), is_transports }
        } else {
            Cut::Whole
        };
        let sums = checksum::TransportSum::Whole;
        Ok(Segments { headers: &[], payload: packet, payload_size: packet.len(), count: 1, cut, sums })
    }

    fn of_super_frame(header: &VnetHeader, ip: &Ip, packet: &'a [u8], mtu: u16) -> Result<Segments<'a>, SegmentError> {
        let headers_len = ip.payload.checked_sub(ip.l3).ok_or(SegmentError::Outside)?;
        let (headers, payload) = packet.split_at_checked(headers_len).ok_or(SegmentError::Outside)?;
        let asked = usize::from(header.gso_size).max(1);
        if payload.len().div_ceil(asked) > SEGMENTS_MAX {
            return Err(SegmentError::TooMany(header.gso_size));
        }
        let length = headers_len + asked.min(payload.len());
        let too_big = SegmentError::TooBig { length, mtu };
        let payload_size = if length <= usize::from(mtu) {
            asked
        } else if header.gso_type == GsoType::UdpL4 {
            return Err(too_big);
        } else {
            usize::from(mtu).checked_sub(headers_len).filter(|room| *room > 0).ok_or(too_big)?
        };
        let count = payload.len().div_ceil(payload_size).max(1);
        if count > SEGMENTS_MAX {
            return Err(too_big);
        }
        let cut = Cut::Headers(Headers::of(ip, headers).ok_or(SegmentError::Outside)?);
        Ok(Segments { headers, payload, payload_size, count, cut, sums: checksum::TransportSum::Whole })
    }

    /// The same pieces, whose checksums stay as the guest left them to its device: for who knows that their bytes arrive as they
    /// are. A packet that came with its checksum keeps it.
    #[inline]
    #[must_use]
    pub fn with_partial_sums(self) -> Segments<'a> {
        match self.cut {
            Cut::Whole | Cut::Finish { is_transports: false, .. } => self,
            Cut::Finish { is_transports: true, .. } | Cut::Headers(_) => {
                Segments { sums: checksum::TransportSum::Partial, ..self }
            }
        }
    }

    /// What stands in the pieces' checksum fields.
    #[inline]
    #[must_use]
    pub fn sums(&self) -> checksum::TransportSum {
        self.sums
    }

    /// How many pieces there are: 1 to [`SEGMENTS_MAX`].
    #[inline]
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// Data per piece in bytes, the last one's aside, which may be fewer. Of a frame that is not cut, its whole length.
    #[inline]
    #[must_use]
    pub fn payload_size(&self) -> usize {
        self.payload_size
    }

    /// Length of a piece in bytes, IP header included; 0 from [`Segments::count`] on.
    #[inline]
    #[must_use]
    pub fn len_of(&self, index: usize) -> usize {
        self.payload_of(index).map_or(0, |payload| self.headers.len() + payload.len())
    }

    /// Writes a piece, a whole IP packet with right checksums, at the start of `out` and returns its length: 0, and nothing written,
    /// from [`Segments::count`] on.
    ///
    /// # Errors
    /// [`EmitError::NoRoom`]; then `out` is as it was.
    #[inline]
    pub fn write(&self, index: usize, out: &mut [u8]) -> Result<usize, EmitError> {
        let Some(payload) = self.payload_of(index) else { return Ok(0) };
        let (have, need) = (out.len(), self.headers.len() + payload.len());
        let out = out.get_mut(..need).ok_or(EmitError::NoRoom { need, have })?;
        let (headers, body) = out.split_at_mut(self.headers.len());
        headers.copy_from_slice(self.headers);
        body.copy_from_slice(payload);
        match &self.cut {
            Cut::Finish { start, place, .. } if self.sums == checksum::TransportSum::Whole => {
                finish(out, *start, *place);
            }
            Cut::Whole | Cut::Finish { .. } => {}
            Cut::Headers(of) => of.put(headers, payload, self.sums, index * self.payload_size, index, self.count),
        }
        Ok(need)
    }

    fn payload_of(&self, index: usize) -> Option<&'a [u8]> {
        if index >= self.count {
            return None;
        }
        let start = index * self.payload_size;
        self.payload.get(start..self.payload.len().min(start + self.payload_size))
    }
}

/// Puts the checksum of everything from `start` to `place`, whose two bytes hold the pseudo-header's part.
fn finish(packet: &mut [u8], start: usize, place: usize) {
    let Some(covered) = packet.get(start..) else { return };
    let sum = udp::nonzero(checksum::of(covered));
    if let Some(field) = packet.get_mut(place..).and_then(|rest| rest.first_chunk_mut()) {
        *field = sum.to_be_bytes();
    }
}

impl Headers {
    /// `None` if `headers` are not those of `ip`.
    fn of(ip: &Ip, headers: &[u8]) -> Option<Headers> {
        let l4 = ip.l4.checked_sub(ip.l3)?;
        let (network, transport) = headers.split_at_checked(l4)?;
        let network = match ip.src {
            IpAddr::V4(_) => Network::of_ipv4(network)?,
            IpAddr::V6(_) => Network::V6,
        };
        let pseudo = checksum::pseudo_header(ip.addresses(), ip.protocol, 0);
        let (transport, sum) =
            if ip.protocol == protocol::TCP { Transport::of_tcp(transport)? } else { Transport::of_udp(transport)? };
        Some(Headers { network, transport, l4, pseudo, sum })
    }

    /// Puts the headers of one of `count` pieces right. `offset` is where its payload starts in the whole.
    fn put(
        &self,
        headers: &mut [u8],
        payload: &[u8],
        sums: checksum::TransportSum,
        offset: usize,
        index: usize,
        count: usize,
    ) {
        let length = headers.len() + payload.len();
        let Some((network, transport)) = headers.split_at_mut_checked(self.l4) else { return };
        self.network.put(network, length, index);
        let l4_len = (length - self.l4) as u16;
        let pseudo = self.pseudo.plus_u16(l4_len);
        let finish = |rest: Sum| match sums {
            checksum::TransportSum::Whole => pseudo.and(self.sum).and(rest).plus(payload).finish(),
            checksum::TransportSum::Partial => pseudo.partial(),
        };
        match self.transport {
            Transport::Tcp { seq, flags } => {
                let Some(header) = transport.first_chunk_mut::<{ tcp::HEADER_LEN }>() else { return };
                let seq = seq.wrapping_add(offset as u32);
                let only_last = if index + 1 == count { 0 } else { (tcp::TcpFlags::FIN | tcp::TcpFlags::PSH).0 };
                let only_first = if index == 0 { 0 } else { tcp::TcpFlags::CWR.0 };
                let flags = flags & !(only_last | only_first);
                tcp::field::SEQ.put(header, seq);
                tcp::field::FLAGS.put(header, flags);
                tcp::field::CHECKSUM.put(header, finish(Sum::new().plus_u32(seq).plus_u16(flags.into())));
            }
            Transport::Udp => {
                let Some(header) = transport.first_chunk_mut::<{ udp::HEADER_LEN }>() else { return };
                udp::field::LENGTH.put(header, l4_len);
                udp::field::CHECKSUM.put(header, udp::nonzero(finish(Sum::new().plus_u16(l4_len))));
            }
        }
    }
}

impl Network {
    fn of_ipv4(header: &[u8]) -> Option<Network> {
        let (fixed, options) = header.split_first_chunk::<{ ipv4::HEADER_LEN }>()?;
        let mut zeroed = *fixed;
        ipv4::field::TOTAL_LENGTH.put(&mut zeroed, 0);
        ipv4::field::ID.put(&mut zeroed, 0);
        ipv4::field::CHECKSUM.put(&mut zeroed, 0);
        Some(Network::V4 { id: ipv4::field::ID.of(fixed), sum: Sum::new().plus(&zeroed).plus(options) })
    }

    /// `length` is that of the whole packet, which fits the MTU.
    fn put(self, header: &mut [u8], length: usize, index: usize) {
        match self {
            Network::V4 { id, sum } => {
                let Some(header) = header.first_chunk_mut::<{ ipv4::HEADER_LEN }>() else { return };
                // One id after the other, as Linux does.
                let (length, id) = (length as u16, id.wrapping_add(index as u16));
                ipv4::field::TOTAL_LENGTH.put(header, length);
                ipv4::field::ID.put(header, id);
                ipv4::field::CHECKSUM.put(header, sum.plus_u16(length).plus_u16(id).finish());
            }
            Network::V6 => {
                let Some(header) = header.first_chunk_mut::<{ ipv6::HEADER_LEN }>() else { return };
                ipv6::field::PAYLOAD_LENGTH.put(header, (length - ipv6::HEADER_LEN) as u16);
            }
        }
    }
}

impl Transport {
    fn of_tcp(header: &[u8]) -> Option<(Transport, Sum)> {
        let (fixed, options) = header.split_first_chunk::<{ tcp::HEADER_LEN }>()?;
        let mut zeroed = *fixed;
        tcp::field::SEQ.put(&mut zeroed, 0);
        tcp::field::FLAGS.put(&mut zeroed, 0);
        tcp::field::CHECKSUM.put(&mut zeroed, 0);
        let transport = Transport::Tcp { seq: tcp::field::SEQ.of(fixed), flags: tcp::field::FLAGS.of(fixed) };
        Some((transport, Sum::new().plus(&zeroed).plus(options)))
    }

    fn of_udp(header: &[u8]) -> Option<(Transport, Sum)> {
        let mut zeroed = *header.first_chunk::<{ udp::HEADER_LEN }>()?;
        udp::field::LENGTH.put(&mut zeroed, 0);
        udp::field::CHECKSUM.put(&mut zeroed, 0);
        Some((Transport::Udp, Sum::new().plus(&zeroed)))
    }
}
