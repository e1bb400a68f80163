//! From bytes to the law's question: what [`wire`] read of a packet, in the words of [`policy`].

use model::{Domain, HostId};
use policy::{Flow, FlowKey, L2, TcpFlags};
use wire::vnet::{GsoType, VnetHeader};
use wire::{Embedded, Ip, MacAddr, Transport};

use crate::fragment::{Key, Piece};
use crate::port::{Port, PortId};

/// The flow of a packet that holds its transport header; `None`: it is a later fragment.
pub(crate) fn flow_of(ip: &Ip) -> Option<Flow> {
    Some(match ip.transport {
        Transport::Tcp { src_port, dst_port, flags } => {
            Flow::tcp(ip.src, src_port, ip.dst, dst_port, TcpFlags(flags.0))
        }
        Transport::Udp { src_port, dst_port } => Flow::udp(ip.src, src_port, ip.dst, dst_port),
        Transport::Icmp { kind, code, id } => {
            Flow::icmp(ip.src, ip.dst, kind, code, id.unwrap_or(0), ip.embedded.as_ref().and_then(embedded_key))
        }
        Transport::Other => Flow::other(ip.src, ip.dst, ip.protocol),
        Transport::InFirstFragment => return None,
    })
}

/// Who of the link a frame is addressed to.
pub(crate) fn l2_of(port: &Port, dst: MacAddr) -> L2 {
    if dst == port.router_mac { L2::Router } else { L2::Neighbour }
}

/// The conversation of a packet that an ICMP error quotes; `None` where the quote does not say.
fn embedded_key(quoted: &Embedded) -> Option<FlowKey> {
    let Embedded { src, dst, protocol, transport } = *quoted;
    let flow = match transport {
        Transport::Tcp { src_port, dst_port, .. } => Flow::tcp(src, src_port, dst, dst_port, TcpFlags::default()),
        Transport::Udp { src_port, dst_port } => Flow::udp(src, src_port, dst, dst_port),
        Transport::Icmp { kind, code, id } => Flow::icmp(src, dst, kind, code, id?, None),
        Transport::Other => Flow::other(src, dst, protocol),
        Transport::InFirstFragment => return None,
    };
    Some(flow.key())
}

/// The largest IP packet that a frame becomes on a link, in bytes: of a super-frame, one of the packets it is cut into.
pub(crate) fn packet_len(header: &VnetHeader, ip: &Ip) -> usize {
    match header.gso_type {
        GsoType::TcpV4 | GsoType::TcpV6 | GsoType::UdpL4 => {
            let segment = ip.payload - ip.l3 + usize::from(header.gso_size);
            segment.min(ip.total_length)
        }
        GsoType::None | GsoType::Udp => ip.total_length,
    }
}

/// Whose piece a fragment is, and which; `None`: the packet is whole. `link`: of a packet from another host, the one that it came by.
pub(crate) fn piece_of(port: PortId, link: Option<(Domain, HostId)>, ip: &Ip) -> Option<(Key, Piece)> {
    let fragment = ip.fragment?;
    let protocol = if ip.src.is_ipv4() { ip.protocol } else { 0 };
    let len = ip.end().saturating_sub(ip.fragment_data).try_into().unwrap_or(u32::MAX);
    let key = Key { port, addresses: ip.addresses(), protocol, id: fragment.id, link };
    Some((key, Piece { offset: fragment.offset, len, more: fragment.more }))
}
