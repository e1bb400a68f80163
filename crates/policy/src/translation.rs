//! What gateways make of a packet (spec 8.8): for an Internet gateway one address becomes another, one for one and without memory; a NAT
//! gateway changes the port or identifier with it ([`NatTable`](crate::NatTable)).

use core::net::{IpAddr, Ipv4Addr};

use crate::flow::{Flow, FlowKey, L4, protocol};

/// Which addresses of an IPv4 packet are replaced, and which ports, of an ICMP question its identifier. An ICMP error speaks about a packet that went the other way: what is replaced as the
/// source of the error is replaced there as the destination, and the other way round (RFC 5508 4.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Translation {
    pub src: Option<Ipv4Addr>,
    pub dst: Option<Ipv4Addr>,
    /// Only where `src` is.
    pub src_port: Option<u16>,
    /// Only where `dst` is.
    pub dst_port: Option<u16>,
}

impl Translation {
    /// The packet goes on as it is.
    pub const NONE: Translation = Translation { src: None, dst: None, src_port: None, dst_port: None };

    /// What makes one packet the other; both are IPv4.
    pub fn between(before: &Flow, after: &Flow) -> Translation {
        let address = |before: IpAddr, after: IpAddr| match after {
            IpAddr::V4(after) if before != IpAddr::V4(after) => Some(after),
            _ => None,
        };
        let (src, dst) = (address(before.src, after.src), address(before.dst, after.dst));
        let ((old_src, old_dst), (new_src, new_dst)) = (own_ports(before), own_ports(after));
        Translation {
            src,
            dst,
            src_port: new_src.filter(|port| src.is_some() && old_src != Some(*port)),
            dst_port: new_dst.filter(|port| dst.is_some() && old_dst != Some(*port)),
        }
    }

    /// The packet behind it.
    #[must_use]
    pub fn flow(&self, flow: &Flow) -> Flow {
        let mut after = *flow;
        if let Some(src) = self.src.map(IpAddr::V4) {
            after.src = src;
            let port = self.src_port;
            about(&mut after, |about| replace_dst(about, flow.src, src, port));
            port.into_iter().for_each(|port| set_src_port(&mut after.l4, port));
        }
        if let Some(dst) = self.dst.map(IpAddr::V4) {
            after.dst = dst;
            let port = self.dst_port;
            about(&mut after, |about| replace_src(about, flow.dst, dst, port));
            port.into_iter().for_each(|port| set_dst_port(&mut after.l4, port));
        }
        after
    }
}

fn about(flow: &mut Flow, change: impl FnOnce(&mut FlowKey)) {
    if let L4::IcmpError { embedded, .. } = &mut flow.l4 {
        change(embedded);
    }
}

/// The source's port and the destination's; of an ICMP question both are its identifier, of an error they are those of the packet that
/// it is about.
fn own_ports(flow: &Flow) -> (Option<u16>, Option<u16>) {
    match flow.l4 {
        L4::Tcp { src, dst, .. } | L4::Udp { src, dst } => (Some(src), Some(dst)),
        L4::IcmpQuery { id, .. } => (Some(id), Some(id)),
        L4::IcmpError { embedded, .. } if is_icmp(embedded.protocol) => (Some(embedded.sport), Some(embedded.sport)),
        L4::IcmpError { embedded, .. } => (Some(embedded.dport), Some(embedded.sport)),
        L4::Icmp { .. } | L4::Other => (None, None),
    }
}

fn is_icmp(number: u8) -> bool {
    number == protocol::ICMP || number == protocol::ICMPV6
}

fn set_src_port(l4: &mut L4, port: u16) {
    match l4 {
        L4::Tcp { src, .. } | L4::Udp { src, .. } => *src = port,
        L4::IcmpQuery { id, .. } => *id = port,
        L4::IcmpError { .. } | L4::Icmp { .. } | L4::Other => {}
    }
}

fn set_dst_port(l4: &mut L4, port: u16) {
    match l4 {
        L4::Tcp { dst, .. } | L4::Udp { dst, .. } => *dst = port,
        L4::IcmpQuery { id, .. } => *id = port,
        L4::IcmpError { .. } | L4::Icmp { .. } | L4::Other => {}
    }
}

fn replace_src(about: &mut FlowKey, old: IpAddr, new: IpAddr, port: Option<u16>) {
    if about.src == old {
        about.src = new;
        about.sport = port.unwrap_or(about.sport);
    }
}

fn replace_dst(about: &mut FlowKey, old: IpAddr, new: IpAddr, port: Option<u16>) {
    if about.dst == old {
        about.dst = new;
        // The identifier of a question is of both ends.
        let place = if is_icmp(about.protocol) { &mut about.sport } else { &mut about.dport };
        *place = port.unwrap_or(*place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_error_is_about_the_packet_as_its_sender_knows_it() {
        // X, 10.0.0.5, sent to Y's 203.0.113.9; Y, 10.0.0.7, complains.
        let sent = Flow::udp(ip("10.0.0.5"), 40000, ip("203.0.113.9"), 53);
        let out = Translation { src: Some([203, 0, 113, 5].into()), ..Translation::NONE };
        let into = Translation { dst: Some([10, 0, 0, 7].into()), ..Translation::NONE };
        let arrived = into.flow(&out.flow(&sent));
        assert_eq!((arrived.src, arrived.dst), (ip("203.0.113.5"), ip("10.0.0.7")));
        let complaint = Flow::icmp(ip("10.0.0.7"), ip("203.0.113.5"), 3, 3, 0, Some(arrived.key()));
        let back =
            Translation { src: Some([203, 0, 113, 9].into()), dst: Some([10, 0, 0, 5].into()), ..Translation::NONE };
        let heard = back.flow(&complaint);
        assert_eq!((heard.src, heard.dst), (ip("203.0.113.9"), ip("10.0.0.5")));
        assert!(matches!(heard.l4, L4::IcmpError { embedded, .. } if embedded == sent.key()), "{heard:?}");
    }

    #[test]
    fn what_an_error_says_of_others_stays() {
        let about = Flow::udp(ip("192.0.2.1"), 1, ip("192.0.2.2"), 2).key();
        let error = Flow::icmp(ip("10.0.0.7"), ip("203.0.113.5"), 3, 3, 0, Some(about));
        let all =
            Translation { src: Some([203, 0, 113, 9].into()), dst: Some([10, 0, 0, 5].into()), ..Translation::NONE };
        assert!(matches!(all.flow(&error).l4, L4::IcmpError { embedded, .. } if embedded == about));
        assert_eq!(Translation::NONE.flow(&error), error);
    }

    #[test]
    fn between_two_packets_is_what_makes_one_the_other() {
        let key = Flow::udp(ip("198.51.100.7"), 53, ip("10.0.1.10"), 5000).key();
        let translated = Flow::udp(ip("198.51.100.7"), 53, ip("10.0.9.1"), 2000).key();
        let ping = |src: &str, id| Flow::icmp(ip(src), ip("198.51.100.7"), 8, 0, id, None);
        let pong = |dst: &str, id| Flow::icmp(ip("198.51.100.7"), ip(dst), 0, 0, id, None);
        let error = |src: &str, about| Flow::icmp(ip(src), ip("198.51.100.7"), 3, 3, 0, Some(about));
        let heard =
            |dst: &str, about: FlowKey| Flow::icmp(ip("203.0.113.9"), ip(dst), 11, 0, 0, Some(about.reversed()));
        for (before, after) in [
            (
                Flow::udp(ip("10.0.1.10"), 5000, ip("198.51.100.7"), 53),
                Flow::udp(ip("10.0.9.1"), 2000, ip("198.51.100.7"), 53),
            ),
            (
                Flow::udp(ip("198.51.100.7"), 53, ip("10.0.9.1"), 2000),
                Flow::udp(ip("198.51.100.7"), 53, ip("10.0.1.10"), 5000),
            ),
            (ping("10.0.1.10", 7), ping("10.0.9.1", 2000)),
            (pong("10.0.9.1", 2000), pong("10.0.1.10", 7)),
            (error("10.0.1.10", key), error("10.0.9.1", translated)),
            (heard("10.0.9.1", translated), heard("10.0.1.10", key)),
            (
                error("10.0.1.10", ping("10.0.1.10", 7).key().reversed()),
                error("10.0.9.1", ping("10.0.9.1", 2000).key().reversed()),
            ),
            (Flow::other(ip("10.0.1.10"), ip("10.0.1.11"), 47), Flow::other(ip("203.0.113.5"), ip("10.0.1.11"), 47)),
            (ping("10.0.1.10", 7), ping("10.0.1.10", 7)),
        ] {
            let translation = Translation::between(&before, &after);
            assert_eq!(translation.flow(&before), after);
            assert_eq!(translation == Translation::NONE, before == after);
        }
    }
}
