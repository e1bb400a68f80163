//! Joins received IP packets to a super-frame for a TAP: what Linux's generic receive offload does, and as strictly, for what is joined
//! here is cut again by somebody who sees only the first header.
//!
//! A packet joins a [`Run`] if cutting the run again gives back the packet: same headers but for lengths, checksums, counting ids and
//! sequence numbers; same size, or the last and shorter; right checksums, because the joined packet's is made anew and would hide that
//! one was wrong. (An id that stands still under DF is lost: it means nothing, RFC 6864 4.1.)
//!
//! Nothing is copied here. In the fast path the caller opens a packet in place, [`Run::header_len`] bytes in front of the end of the
//! run, so that its payload lands where it belongs; the bytes that its headers overwrite are saved before and put back after:
//!
//! ```text
//! | headers | payload 1 | payload 2 | payload 3 |                 <- run, ends at `run.len()`
//!                                 | headers | payload 4 |         <- opened here
//! ```

use crate::bytes::EmitError;
use crate::checksum::{self, Sum};
use crate::ip::protocol;
use crate::tcp::TcpFlags;
use crate::vnet::{GsoType, VnetHeader};
use crate::{Addresses, ipv4, ipv6, tcp, udp};
use core::ops::Range;

/// The most packets in one run: what Linux takes of UDP.
pub const SEGMENTS_MAX: usize = 64;
/// The longest run in bytes, IP header included.
pub const RUN_LEN_MAX: usize = 65535;
/// The longest headers of a run, in bytes: what a caller saves before it lets a packet's headers overwrite the end of the last payload.
pub const HEADERS_LEN_MAX: usize = ipv6::HEADER_LEN + TCP_HEADER_LEN_MAX;

const TCP_HEADER_LEN_MAX: usize = 60;

/// What a run consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// TCP over IPv4.
    TcpV4,
    /// TCP over IPv6.
    TcpV6,
    /// UDP over IPv4.
    UdpV4,
    /// UDP over IPv6.
    UdpV6,
}

impl Kind {
    /// Whether a run of these needs a TAP that takes UDP super-frames (`TUN_F_USO4`, `TUN_F_USO6`).
    #[inline]
    #[must_use]
    pub const fn is_udp(self) -> bool {
        matches!(self, Kind::UdpV4 | Kind::UdpV6)
    }

    const fn is_v6(self) -> bool {
        matches!(self, Kind::TcpV6 | Kind::UdpV6)
    }

    /// Offset of the transport header.
    const fn l4(self) -> usize {
        if self.is_v6() { ipv6::HEADER_LEN } else { ipv4::HEADER_LEN }
    }

    const fn protocol(self) -> u8 {
        if self.is_udp() { protocol::UDP } else { protocol::TCP }
    }

    fn of(is_v6: bool, protocol: u8) -> Option<Kind> {
        Some(match (protocol, is_v6) {
            (protocol::TCP, false) => Kind::TcpV4,
            (protocol::TCP, true) => Kind::TcpV6,
            (protocol::UDP, false) => Kind::UdpV4,
            (protocol::UDP, true) => Kind::UdpV6,
            _ => return None,
        })
    }
}

/// Packets of one flow that make one super-packet. The bytes are the caller's; this is what must be known of them.
#[derive(Debug, Clone)]
pub struct Run {
    kind: Kind,
    /// The first packet's headers.
    headers: [u8; HEADERS_LEN_MAX],
    header_len: usize,
    /// Of the addresses and the protocol.
    pseudo: Sum,
    /// Data per packet.
    segment_size: usize,
    payload_len: usize,
    count: usize,
    next_seq: u32,
    ids: Ids,
    pushed: bool,
    closed: bool,
    /// Of every packet of the run.
    sums: checksum::TransportSum,
}

/// How IPv4's identification goes on. IPv6 has none, and its runs stay `Open`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ids {
    /// Only one was seen.
    Open,
    Counting,
    Constant,
}

/// Whether a packet joins a run.
#[derive(Debug, PartialEq, Eq)]
pub enum Fit {
    /// It does: hand the piece to [`Run::append`].
    Joins(Piece),
    /// It belongs to the flow, or might, but cannot join: the run must be delivered before it, or it would be overtaken.
    Follows,
    /// It belongs to another flow.
    Stranger,
}

/// A packet that [`Run::fit`] found right for the run as it stands.
#[derive(Debug, PartialEq, Eq)]
pub struct Piece {
    header_len: usize,
    payload_len: usize,
    ids: Ids,
    pushed: bool,
}

impl Piece {
    /// Where the payload stands in the packet.
    #[inline]
    #[must_use]
    pub fn payload(&self) -> Range<usize> {
        self.header_len..self.header_len + self.payload_len
    }
}

impl Run {
    /// A run that begins with a packet, which must stand at the start of the caller's buffer. `None`: nothing can join it, deliver it as
    /// it is. That is all but plain TCP data (no flags but ACK and PSH) and UDP datagrams, without IP options, extension headers or
    /// fragments, whose checksums are there and right. Of a partial one only the pseudo-header's part is looked at.
    #[inline]
    #[must_use]
    pub fn start(packet: &[u8], sums: checksum::TransportSum) -> Option<Run> {
        let view = View::of(packet)?;
        let pseudo = pseudo_of(view.kind, view.network);
        if !view.has_right_checksums(pseudo, sums) {
            return None;
        }
        let header_len = view.header_len();
        let (first, payload) = packet.split_at_checked(header_len)?;
        let (next_seq, pushed) = view.transport.sequence(payload.len());
        let mut headers = [0; HEADERS_LEN_MAX];
        headers.get_mut(..header_len)?.copy_from_slice(first);
        Some(Run {
            kind: view.kind,
            headers,
            header_len,
            pseudo,
            segment_size: payload.len(),
            payload_len: payload.len(),
            count: 1,
            next_seq,
            ids: Ids::Open,
            pushed,
            closed: pushed,
            sums,
        })
    }

    /// What the run consists of.
    #[inline]
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Length of the headers of every packet of the run, in bytes, IP header included.
    #[inline]
    #[must_use]
    pub fn header_len(&self) -> usize {
        self.header_len
    }

    /// Length of the super-packet so far, in bytes, IP header included.
    #[inline]
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a run has at least one packet")]
    pub fn len(&self) -> usize {
        self.header_len + self.payload_len
    }

    /// How many packets it is made of: 1 to [`SEGMENTS_MAX`].
    #[inline]
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// Whether nothing more can join: a pushed or shorter packet was the last, or a bound is reached.
    #[inline]
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.closed || self.count >= SEGMENTS_MAX || self.len() >= RUN_LEN_MAX
    }

    /// Whether a packet joins the run.
    #[inline]
    #[must_use]
    pub fn fit(&self, packet: &[u8], sums: checksum::TransportSum) -> Fit {
        if self.is_stranger(packet) {
            return Fit::Stranger;
        }
        self.piece(packet, sums).map_or(Fit::Follows, Fit::Joins)
    }

    /// Counts a packet in, whose payload now stands at the end of the run.
    #[inline]
    #[expect(clippy::needless_pass_by_value, reason = "a piece counts once")]
    pub fn append(&mut self, piece: Piece) {
        let Piece { payload_len, ids, pushed, .. } = piece;
        self.payload_len += payload_len;
        self.count += 1;
        self.next_seq = self.next_seq.wrapping_add(payload_len as u32);
        self.ids = ids;
        self.pushed |= pushed;
        self.closed |= pushed || payload_len < self.segment_size;
    }

    /// Completes the super-packet, [`Run::len`] bytes at the start of `packet`: writes its headers, and returns the virtio-net header
    /// for a frame with `l2_len` bytes in front of it. A run of one packet is left as it is, whatever its checksum.
    ///
    /// # Errors
    /// [`EmitError::NoRoom`] if `packet` is shorter than the run.
    #[inline]
    pub fn finish(&self, packet: &mut [u8], l2_len: u16) -> Result<VnetHeader, EmitError> {
        let (have, need) = (packet.len(), self.len());
        let packet = packet.get_mut(..need).ok_or(EmitError::NoRoom { need, have })?;
        let offset = |bytes: usize| l2_len.saturating_add(bytes as u16);
        let csum_start = offset(self.kind.l4());
        if self.count == 1 {
            return Ok(match self.sums {
                checksum::TransportSum::Whole => VnetHeader { data_valid: true, ..VnetHeader::default() },
                checksum::TransportSum::Partial => VnetHeader::partial_sum(self.kind.is_udp(), csum_start),
            });
        }
        self.put_headers(packet);
        Ok(VnetHeader {
            gso_type: match self.kind {
                Kind::TcpV4 => GsoType::TcpV4,
                Kind::TcpV6 => GsoType::TcpV6,
                Kind::UdpV4 | Kind::UdpV6 => GsoType::UdpL4,
            },
            hdr_len: offset(self.header_len),
            gso_size: self.segment_size as u16,
            ..VnetHeader::partial_sum(self.kind.is_udp(), csum_start)
        })
    }

    fn put_headers(&self, packet: &mut [u8]) {
        let length = packet.len();
        let Some(headers) = packet.get_mut(..self.header_len) else { return };
        headers.copy_from_slice(&self.headers[..self.header_len]);
        let Some((network, transport)) = headers.split_at_mut_checked(self.kind.l4()) else { return };
        if self.kind.is_v6() {
            let Some(header) = network.first_chunk_mut::<{ ipv6::HEADER_LEN }>() else { return };
            ipv6::field::PAYLOAD_LENGTH.put(header, (length - ipv6::HEADER_LEN) as u16);
        } else {
            let Some(header) = network.first_chunk_mut::<{ ipv4::HEADER_LEN }>() else { return };
            ipv4::field::TOTAL_LENGTH.put(header, length as u16);
            ipv4::field::CHECKSUM.put(header, 0);
            let sum = checksum::of(header);
            ipv4::field::CHECKSUM.put(header, sum);
        }
        let l4_len = (length - self.kind.l4()) as u16;
        let partial = self.pseudo.plus_u16(l4_len).partial();
        if self.kind.is_udp() {
            let Some(header) = transport.first_chunk_mut::<{ udp::HEADER_LEN }>() else { return };
            udp::field::LENGTH.put(header, l4_len);
            udp::field::CHECKSUM.put(header, partial);
        } else {
            let Some(header) = transport.first_chunk_mut::<{ tcp::HEADER_LEN }>() else { return };
            let push = if self.pushed { TcpFlags::PSH } else { TcpFlags::default() };
            tcp::field::FLAGS.put(header, (TcpFlags(tcp::field::FLAGS.of(header)) | push).0);
            tcp::field::CHECKSUM.put(header, partial);
        }
    }

    /// Whether the packet certainly belongs to another flow.
    fn is_stranger(&self, packet: &[u8]) -> bool {
        let ours = &self.headers;
        let ports = |bytes: &[u8], at: usize| bytes.get(at..at + 4) == ours.get(self.kind.l4()..self.kind.l4() + 4);
        if self.kind.is_v6() {
            let Some(header) = packet.first_chunk::<{ ipv6::HEADER_LEN }>() else { return true };
            if header[0] >> 4 != 6 || header[8..] != ours[8..ipv6::HEADER_LEN] {
                return true;
            }
            match ipv6::field::NEXT_HEADER.of(header) {
                next if next == self.kind.protocol() => !ports(packet, ipv6::HEADER_LEN),
                // Behind extension headers may stand anything, of this flow too.
                next => Kind::of(true, next).is_some() || next == protocol::ICMPV6,
            }
        } else {
            let Some(header) = packet.first_chunk::<{ ipv4::HEADER_LEN }>() else { return true };
            if header[0] >> 4 != 4 || header[12..] != ours[12..ipv4::HEADER_LEN] {
                return true;
            }
            if ipv4::field::PROTOCOL.of(header) != self.kind.protocol() {
                return true;
            }
            let is_plain = header[0] == VERSION_IHL && ipv4::field::FLAGS_OFFSET.of(header) & !ipv4::DONT_FRAGMENT == 0;
            is_plain && !ports(packet, ipv4::HEADER_LEN)
        }
    }

    /// The packet's part in the run, of whose flow it may be.
    fn piece(&self, packet: &[u8], sums: checksum::TransportSum) -> Option<Piece> {
        let payload_len = packet.len().checked_sub(self.header_len)?;
        let has_room = !self.is_full() && payload_len <= RUN_LEN_MAX - self.len().min(RUN_LEN_MAX);
        if sums != self.sums || !has_room || payload_len == 0 || payload_len > self.segment_size {
            return None;
        }
        let view = View::of(packet)?;
        if view.kind != self.kind || view.header_len() != self.header_len {
            return None;
        }
        let (network, transport) = self.headers.get(..self.header_len)?.split_at_checked(self.kind.l4())?;
        let ids = self.next_ids(view.network, network)?;
        let pushed = match view.transport {
            Layer4::Tcp { header, options } => {
                let (ours, our_options) = transport.split_first_chunk()?;
                let is_next = tcp::field::SEQ.of(header) == self.next_seq;
                if !is_next || !is_same_tcp(header, ours) || options != our_options {
                    return None;
                }
                tcp::field::FLAGS.of(header) & TcpFlags::PSH.0 != 0
            }
            Layer4::Udp { header } => {
                if header[..4] != transport[..4] {
                    return None;
                }
                false
            }
        };
        view.has_right_checksums(self.pseudo, sums).then_some(Piece {
            header_len: self.header_len,
            payload_len,
            ids,
            pushed,
        })
    }

    /// How ids go on with one more packet; `None` if the IP header is not the run's.
    fn next_ids(&self, network: Layer3<'_>, ours: &[u8]) -> Option<Ids> {
        match network {
            Layer3::V6(header) => {
                let ours = ours.first_chunk::<{ ipv6::HEADER_LEN }>()?;
                // All but the payload length.
                (header[..4] == ours[..4] && header[6..] == ours[6..]).then_some(Ids::Open)
            }
            Layer3::V4(header) => {
                let ours = ours.first_chunk::<{ ipv4::HEADER_LEN }>()?;
                // All but total length, id and checksum.
                if header[..2] != ours[..2] || header[6..10] != ours[6..10] || header[12..] != ours[12..] {
                    return None;
                }
                let (id, first) = (ipv4::field::ID.of(header), ipv4::field::ID.of(ours));
                let is_counting = id == first.wrapping_add(self.count as u16);
                let is_constant = id == first && ipv4::field::FLAGS_OFFSET.of(header) & ipv4::DONT_FRAGMENT != 0;
                match self.ids {
                    Ids::Open | Ids::Counting if is_counting => Some(Ids::Counting),
                    Ids::Open | Ids::Constant if is_constant => Some(Ids::Constant),
                    _ => None,
                }
            }
        }
    }
}

const VERSION_IHL: u8 = 0x45;
/// The form of a zero checksum that a cut would not write, but for UDP.
const OTHER_ZERO: u16 = 0xffff;

/// A packet that has the form that can be joined.
#[derive(Clone, Copy)]
struct View<'a> {
    kind: Kind,
    network: Layer3<'a>,
    transport: Layer4<'a>,
    /// From the transport header to the end.
    l4: &'a [u8],
}

#[derive(Clone, Copy)]
enum Layer3<'a> {
    V4(&'a [u8; ipv4::HEADER_LEN]),
    V6(&'a [u8; ipv6::HEADER_LEN]),
}

#[derive(Clone, Copy)]
enum Layer4<'a> {
    Tcp { header: &'a [u8; tcp::HEADER_LEN], options: &'a [u8] },
    Udp { header: &'a [u8; udp::HEADER_LEN] },
}

impl<'a> View<'a> {
    /// Headers without options but TCP's, lengths that are the packet's, flags that allow it, a payload. Not the checksums.
    #[inline]
    fn of(packet: &'a [u8]) -> Option<View<'a>> {
        if packet.len() > RUN_LEN_MAX {
            return None;
        }
        let (network, l4, protocol) = if packet.first()? >> 4 == 4 {
            let (header, l4) = packet.split_first_chunk::<{ ipv4::HEADER_LEN }>()?;
            let is_plain = ipv4::field::VERSION_IHL.of(header) == VERSION_IHL
                && usize::from(ipv4::field::TOTAL_LENGTH.of(header)) == packet.len()
                && ipv4::field::FLAGS_OFFSET.of(header) & !ipv4::DONT_FRAGMENT == 0
                && ipv4::field::CHECKSUM.of(header) != OTHER_ZERO;
            (is_plain.then_some(Layer3::V4(header))?, l4, ipv4::field::PROTOCOL.of(header))
        } else {
            let (header, l4) = packet.split_first_chunk::<{ ipv6::HEADER_LEN }>()?;
            let is_plain = ipv6::field::VERSION_CLASS_FLOW.of(header) >> 28 == 6
                && usize::from(ipv6::field::PAYLOAD_LENGTH.of(header)) == l4.len();
            (is_plain.then_some(Layer3::V6(header))?, l4, ipv6::field::NEXT_HEADER.of(header))
        };
        let kind = Kind::of(matches!(network, Layer3::V6(_)), protocol)?;
        let transport = if kind.is_udp() { Layer4::of_udp(l4)? } else { Layer4::of_tcp(l4)? };
        Some(View { kind, network, transport, l4 })
    }

    fn header_len(&self) -> usize {
        self.kind.l4() + self.transport.len()
    }

    fn has_right_checksums(&self, pseudo: Sum, sums: checksum::TransportSum) -> bool {
        let is_right = match self.network {
            Layer3::V4(header) => checksum::is_valid(header),
            Layer3::V6(_) => true,
        };
        let pseudo = pseudo.plus_u16(self.l4.len() as u16);
        is_right
            && match sums {
                checksum::TransportSum::Whole => {
                    let is_other_zero = !self.kind.is_udp() && self.transport.checksum() == OTHER_ZERO;
                    !is_other_zero && pseudo.plus(self.l4).partial() == 0xffff
                }
                checksum::TransportSum::Partial => pseudo.partial() == self.transport.checksum(),
            }
    }
}

impl<'a> Layer4<'a> {
    fn of_tcp(l4: &'a [u8]) -> Option<Layer4<'a>> {
        let (header, rest) = l4.split_first_chunk::<{ tcp::HEADER_LEN }>()?;
        let data_offset = tcp::field::DATA_OFFSET.of(header);
        let options_len = (usize::from(data_offset >> 4) * 4).checked_sub(tcp::HEADER_LEN)?;
        let (options, payload) = rest.split_at_checked(options_len)?;
        let flags = tcp::field::FLAGS.of(header) & !TcpFlags::PSH.0;
        let is_plain = data_offset & 0x0f == 0 && flags == TcpFlags::ACK.0 && !payload.is_empty();
        is_plain.then_some(Layer4::Tcp { header, options })
    }

    fn of_udp(l4: &'a [u8]) -> Option<Layer4<'a>> {
        let (header, payload) = l4.split_first_chunk::<{ udp::HEADER_LEN }>()?;
        let is_plain = usize::from(udp::field::LENGTH.of(header)) == l4.len()
            // Without a checksum there is nothing that a cut could restore.
            && udp::field::CHECKSUM.of(header) != 0
            && !payload.is_empty();
        is_plain.then_some(Layer4::Udp { header })
    }

    fn checksum(&self) -> u16 {
        match self {
            Layer4::Tcp { header, .. } => tcp::field::CHECKSUM.of(header),
            Layer4::Udp { header } => udp::field::CHECKSUM.of(header),
        }
    }

    fn len(&self) -> usize {
        match self {
            Layer4::Tcp { options, .. } => tcp::HEADER_LEN + options.len(),
            Layer4::Udp { .. } => udp::HEADER_LEN,
        }
    }

    /// The sequence number behind `payload_len` bytes, and whether they are pushed.
    fn sequence(&self, payload_len: usize) -> (u32, bool) {
        match self {
            Layer4::Tcp { header, .. } => {
                let next = tcp::field::SEQ.of(header).wrapping_add(payload_len as u32);
                (next, tcp::field::FLAGS.of(header) & TcpFlags::PSH.0 != 0)
            }
            Layer4::Udp { .. } => (0, false),
        }
    }
}

/// All but sequence number, PSH and checksum, as Linux demands: the window too.
fn is_same_tcp(header: &[u8; tcp::HEADER_LEN], ours: &[u8; tcp::HEADER_LEN]) -> bool {
    header[..4] == ours[..4]
        && header[8..13] == ours[8..13]
        && (header[13] ^ ours[13]) & !TcpFlags::PSH.0 == 0
        && header[14..16] == ours[14..16]
        && header[18..] == ours[18..]
}

/// The pseudo-header's sum without the length.
fn pseudo_of(kind: Kind, network: Layer3<'_>) -> Sum {
    let addresses = match network {
        Layer3::V4(header) => {
            Addresses::V4 { src: ipv4::field::SRC.of(header).into(), dst: ipv4::field::DST.of(header).into() }
        }
        Layer3::V6(header) => {
            Addresses::V6 { src: ipv6::field::SRC.of(header).into(), dst: ipv6::field::DST.of(header).into() }
        }
    };
    checksum::pseudo_header(addresses, kind.protocol(), 0)
}
