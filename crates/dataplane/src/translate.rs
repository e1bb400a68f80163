//! What gateways change, in the bytes: addresses, ports and the checksums over them (spec 8.8).

use std::net::{IpAddr, Ipv4Addr};

use policy::Translation;
use wire::rewrite::{Ends, Rewrite};
use wire::udp::Ports;
use wire::vnet::VnetHeader;
use wire::{Ip, Transport};

/// Translates a frame, which was parsed as `ip` and came with `header`, and returns what it is parsed as from here on.
pub(crate) fn translate(translation: &Translation, header: &VnetHeader, ip: &Ip, frame: &mut [u8]) -> Ip {
    if *translation == Translation::NONE {
        return *ip;
    }
    rewrite(translation, ip).map_or(*ip, |rewrite| rewrite.apply(header, ip, frame))
}

/// `None`: it is not IPv4.
fn rewrite(translation: &Translation, ip: &Ip) -> Option<Rewrite> {
    let Translation { src, dst, src_port, dst_port } = *translation;
    let (old_src, old_dst) = (v4(ip.src)?, v4(ip.dst)?);
    let ports = ports(ip.transport, src_port, dst_port);
    let ends = Ends { src: src.unwrap_or(old_src), dst: dst.unwrap_or(old_dst), ports };
    // What an ICMP error quotes went the other way.
    let quoted = ip.embedded.as_ref().and_then(|quoted| {
        let (from, to) = (v4(quoted.src)?, v4(quoted.dst)?);
        let (new_from, new_to) = (dst.filter(|_| from == old_dst), src.filter(|_| to == old_src));
        let (from_port, to_port) = (new_from.and(dst_port), new_to.and(src_port));
        let ports = self::ports(quoted.transport, from_port, to_port);
        Some(Ends { src: new_from.unwrap_or(from), dst: new_to.unwrap_or(to), ports })
    });
    Some(Rewrite { ends, quoted })
}

/// A packet's ports, of an ICMP question its identifier, with these in their place. `None`: they are as they were.
fn ports(transport: Transport, src: Option<u16>, dst: Option<u16>) -> Option<Ports> {
    let changed = src.or(dst)?;
    match transport {
        Transport::Icmp { id: Some(_), .. } => Some(Ports { src: changed, dst: 0 }),
        other => other.ports().map(|(from, to)| Ports { src: src.unwrap_or(from), dst: dst.unwrap_or(to) }),
    }
}

fn v4(address: IpAddr) -> Option<Ipv4Addr> {
    match address {
        IpAddr::V4(v4) => Some(v4),
        IpAddr::V6(_) => None,
    }
}
