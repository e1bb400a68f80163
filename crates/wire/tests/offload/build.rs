//! Packets and checksums by other means than the crate's own: nothing here calls into `wire` but to name its types.

use proptest::prelude::*;
use wire::vnet::{GsoType, VnetHeader};

pub const ETHERNET_LEN: usize = 14;

/// What a super-packet is made of.
#[derive(Debug, Clone)]
pub struct Super {
    pub v6: bool,
    pub tcp: bool,
    /// Words of IPv4 options, or IPv6 extension headers of 8 bytes.
    pub ip_options: usize,
    pub tcp_options: Vec<[u8; 4]>,
    pub dont_fragment: bool,
    pub traffic_class: u8,
    pub ttl: u8,
    pub flow_label: u32,
    pub id: u16,
    pub addresses: ([u8; 16], [u8; 16]),
    pub ports: (u16, u16),
    pub seq: u32,
    pub ack: u32,
    pub flags: u8,
    pub window: u16,
    pub urgent: u16,
    pub payload: Vec<u8>,
    pub gso_size: u16,
}

impl Super {
    pub fn l4(&self) -> usize {
        if self.v6 { 40 + self.ip_options * 8 } else { 20 + self.ip_options * 4 }
    }

    pub fn header_len(&self) -> usize {
        self.l4() + if self.tcp { 20 + self.tcp_options.len() * 4 } else { 8 }
    }

    pub fn protocol(&self) -> u8 {
        if self.tcp { 6 } else { 17 }
    }

    /// The packet around `payload`, checksums right.
    pub fn packet(&self, payload: &[u8], id: u16, seq: u32, flags: u8) -> Vec<u8> {
        let mut l4 = Vec::new();
        l4.extend(self.ports.0.to_be_bytes());
        l4.extend(self.ports.1.to_be_bytes());
        if self.tcp {
            l4.extend(seq.to_be_bytes());
            l4.extend(self.ack.to_be_bytes());
            l4.extend([((5 + self.tcp_options.len()) << 4) as u8, flags]);
            l4.extend(self.window.to_be_bytes());
            l4.extend([0, 0]);
            l4.extend(self.urgent.to_be_bytes());
            l4.extend(self.tcp_options.concat());
        } else {
            l4.extend(((8 + payload.len()) as u16).to_be_bytes());
            l4.extend([0, 0]);
        }
        l4.extend(payload);
        let mut out = self.ip(l4.len(), id);
        out.extend(l4);
        put_checksums(&mut out);
        out
    }

    fn ip(&self, l4_len: usize, id: u16) -> Vec<u8> {
        let (src, dst) = self.addresses;
        let mut out = Vec::new();
        if self.v6 {
            out.extend((0x6000_0000 | u32::from(self.traffic_class) << 20 | self.flow_label).to_be_bytes());
            out.extend(((self.ip_options * 8 + l4_len) as u16).to_be_bytes());
            out.extend([if self.ip_options > 0 { 60 } else { self.protocol() }, self.ttl]);
            out.extend(src);
            out.extend(dst);
            for left in (0..self.ip_options).rev() {
                out.extend([if left > 0 { 60 } else { self.protocol() }, 0, 1, 4, 0, 0, 0, 0]);
            }
        } else {
            out.extend([0x45 + self.ip_options as u8, self.traffic_class]);
            out.extend(((20 + self.ip_options * 4 + l4_len) as u16).to_be_bytes());
            out.extend(id.to_be_bytes());
            out.extend([if self.dont_fragment { 0x40 } else { 0 }, 0, self.ttl, self.protocol(), 0, 0]);
            out.extend(&src[..4]);
            out.extend(&dst[..4]);
            out.extend(vec![1; self.ip_options * 4]);
        }
        out
    }

    /// The packets that a network card would make of it.
    pub fn packets(&self) -> Vec<Vec<u8>> {
        self.cut_to(self.gso_size.into())
    }

    pub fn cut_to(&self, size: usize) -> Vec<Vec<u8>> {
        const FIN_PSH: u8 = 0x09;
        const CWR: u8 = 0x80;
        let chunks: Vec<&[u8]> = if self.payload.is_empty() { vec![&[]] } else { self.payload.chunks(size).collect() };
        let cut = |(index, chunk): (usize, &&[u8])| {
            let mut flags = self.flags;
            if index + 1 < chunks.len() {
                flags &= !FIN_PSH;
            }
            if index > 0 {
                flags &= !CWR;
            }
            let id = self.id.wrapping_add(index as u16);
            self.packet(chunk, id, self.seq.wrapping_add((index * size) as u32), flags)
        };
        chunks.iter().enumerate().map(cut).collect()
    }

    /// The super-frame, its checksum left to the receiver, and the header in front of it.
    pub fn frame(&self) -> (VnetHeader, Vec<u8>) {
        let mut packet = self.packet(&self.payload, self.id, self.seq, self.flags);
        let l4 = self.l4();
        let csum_offset = if self.tcp { 16 } else { 6 };
        let partial = !checksum(&pseudo_header(&packet, packet.len() - l4, self.protocol()));
        packet[l4 + csum_offset..l4 + csum_offset + 2].copy_from_slice(&partial.to_be_bytes());
        let mut frame = vec![2; ETHERNET_LEN];
        frame[12..].copy_from_slice(if self.v6 { &[0x86, 0xdd] } else { &[0x08, 0x00] });
        frame.extend(packet);
        let header = VnetHeader {
            needs_csum: true,
            data_valid: false,
            gso_type: match (self.tcp, self.v6) {
                (true, false) => GsoType::TcpV4,
                (true, true) => GsoType::TcpV6,
                (false, _) => GsoType::UdpL4,
            },
            ecn: false,
            hdr_len: (ETHERNET_LEN + self.header_len()) as u16,
            gso_size: self.gso_size,
            csum_start: (ETHERNET_LEN + l4) as u16,
            csum_offset: csum_offset as u16,
        };
        (header, frame)
    }
}

/// RFC 1071 section 1, one 16-bit word after the other.
pub fn checksum(bytes: &[u8]) -> u16 {
    let mut sum: u32 = 0;
    for pair in bytes.chunks(2) {
        sum += u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |low| u32::from(*low));
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

fn pseudo_header(packet: &[u8], l4_len: usize, protocol: u8) -> Vec<u8> {
    let addresses = if packet[0] >> 4 == 6 { &packet[8..40] } else { &packet[12..20] };
    [addresses, &(l4_len as u32).to_be_bytes(), &[0, 0, 0, protocol]].concat()
}

/// Offset of the transport header and its protocol, of packets as they are built here.
pub fn transport_of(packet: &[u8]) -> Option<(usize, u8)> {
    let (mut at, mut protocol) = match packet.first()? >> 4 {
        4 => (usize::from(packet[0] & 0x0f) * 4, *packet.get(9)?),
        6 => (40, *packet.get(6)?),
        _ => return None,
    };
    while packet[0] >> 4 == 6 && protocol == 60 {
        protocol = *packet.get(at)?;
        at += 8;
    }
    let header_len = match protocol {
        6 => 20,
        17 => 8,
        _ => return None,
    };
    (packet.len() >= at + header_len).then_some((at, protocol))
}

/// Puts both checksums right, as far as the packet can be understood.
pub fn put_checksums(packet: &mut [u8]) {
    if packet[0] >> 4 == 4 && packet.len() >= 20 {
        let end = (usize::from(packet[0] & 0x0f) * 4).min(packet.len());
        if end >= 20 {
            packet[10..12].fill(0);
            let sum = checksum(&packet[..end]);
            packet[10..12].copy_from_slice(&sum.to_be_bytes());
        }
    }
    let Some((l4, protocol)) = transport_of(packet) else { return };
    let at = l4 + if protocol == 6 { 16 } else { 6 };
    packet[at..at + 2].fill(0);
    let sum = transport_sum(packet, l4, protocol);
    let sum = if sum == 0 && protocol == 17 { 0xffff } else { sum };
    packet[at..at + 2].copy_from_slice(&sum.to_be_bytes());
}

fn transport_sum(packet: &[u8], l4: usize, protocol: u8) -> u16 {
    checksum(&[&pseudo_header(packet, packet.len() - l4, protocol), &packet[l4..]].concat())
}

/// Whether both checksums are right.
pub fn has_right_checksums(packet: &[u8]) -> bool {
    let (l4, protocol) = transport_of(packet).expect("tcp or udp");
    let ip_is_right = packet[0] >> 4 == 6 || checksum(&packet[..usize::from(packet[0] & 0x0f) * 4]) == 0;
    ip_is_right && transport_sum(packet, l4, protocol) == 0
}

/// Any super-packet of TCP or UDP. `plain`: of the form that can be joined.
pub fn super_packet(plain: bool) -> impl Strategy<Value = Super> {
    let ip = (any::<[bool; 3]>(), 0usize..4, any::<(u8, u8, u16)>(), 0u32..0x10_0000);
    let tcp = (proptest::collection::vec(any::<[u8; 4]>(), 0..11), any::<(u32, u32, u8, u16, u16)>());
    let data = (prop_oneof![0usize..200, 0usize..20000, 60000usize..65000], any::<u8>(), 8u16..3000);
    (ip, tcp, any::<([u8; 16], [u8; 16])>(), any::<(u16, u16)>(), data).prop_map(
        move |(
            ([v6, tcp, dont_fragment], ip_options, (traffic_class, ttl, id), flow_label),
            (tcp_options, (seq, ack, flags, window, urgent)),
            addresses,
            ports,
            (len, salt, gso_size),
        )| {
            let payload: Vec<u8> = (0..len).map(|at| ((at * 7919 + (at >> 8)) as u8) ^ salt).collect();
            let few = if tcp { 2048 } else { 128 };
            Super {
                v6,
                tcp,
                ip_options: if plain { 0 } else { ip_options },
                tcp_options,
                dont_fragment,
                traffic_class,
                ttl,
                flow_label,
                id,
                addresses,
                ports,
                seq,
                ack,
                // ACK, and perhaps PSH.
                flags: if plain { 0x10 | flags & 0x08 } else { flags },
                window,
                urgent,
                gso_size: gso_size.max(payload.len().div_ceil(few) as u16),
                payload,
            }
        },
    )
}
