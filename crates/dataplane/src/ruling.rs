//! What was decided about a flow, in a form that fragments and the cache can keep.

use policy::{Denied, Flow, L2, Ticket, Track, Tracked, Translation};
use wire::ethernet::Link;
use wire::vnet::{GsoType, VnetHeader};

use crate::flow::packet_len;
use crate::flow_log::{Passage, Passing};
use crate::port::PortId;
use crate::tunnels::TunnelId;

/// Where a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Way {
    pub(crate) hop: Hop,
    /// The largest IP packet that fits, in bytes.
    pub(crate) mtu: u16,
    /// How it leaves its VPC, of a packet that starts here.
    pub(crate) passage: Passage,
    /// What the packet is changed to before it goes.
    pub(crate) translation: Translation,
}

/// What is next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Hop {
    /// A device of this host, and the frame's addresses on its link.
    Port { to: PortId, link: Link },
    /// Another host, sealed.
    Tunnel(TunnelId),
}

/// Where a packet came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Port(PortId),
    /// Opened with the security association of this number (SPI).
    Tunnel(u32),
}

/// What the path must take: of a super-frame, one of the packets it becomes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    /// In bytes.
    bytes: usize,
    /// It may be fragmented, which no local device asks for; a tunnel takes nothing that is too long.
    may_fragment: bool,
    /// Data of a TCP stream, which a tunnel cuts anew to fit.
    is_stream: bool,
    /// It is a fragment.
    pub(crate) is_piece: bool,
}

impl Size {
    /// Of what fits everywhere, or has been measured before.
    pub(crate) const ANY: Size = Size { bytes: 0, may_fragment: true, is_stream: false, is_piece: false };

    /// Of a fragment that has been measured before.
    pub(crate) const ANY_PIECE: Size = Size { is_piece: true, ..Size::ANY };

    pub(crate) fn of(header: &VnetHeader, ip: &wire::Ip) -> Size {
        let is_stream = matches!(header.gso_type, GsoType::TcpV4 | GsoType::TcpV6);
        let is_piece = ip.fragment.is_some();
        Size { bytes: packet_len(header, ip), may_fragment: !ip.dont_fragment, is_stream, is_piece }
    }

    /// Of a packet that is none but itself.
    pub(crate) fn of_packet(ip: &wire::Ip) -> Size {
        Size::of(&VnetHeader::default(), ip)
    }

    pub(crate) fn fits(self, mtu: u16, is_tunnel: bool) -> bool {
        self.bytes <= usize::from(mtu) || if is_tunnel { self.is_stream } else { self.may_fragment }
    }
}

impl Way {
    pub(crate) fn takes(&self, size: Size) -> bool {
        size.fits(self.mtu, matches!(self.hop, Hop::Tunnel(_)))
    }
}

/// A refusal, and the port that it is counted at if that is not the sender's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refused {
    pub(crate) denied: Denied,
    pub(crate) at: Option<PortId>,
    /// The sender's own side has let it go.
    pub(crate) left: Option<Left>,
}

/// That a packet has left its interface.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Left {
    /// How it leaves its VPC.
    pub(crate) passage: Passage,
    /// What it is changed to.
    pub(crate) translation: Translation,
}

impl From<Denied> for Refused {
    fn from(denied: Denied) -> Refused {
        Refused { denied, at: None, left: None }
    }
}

/// A verdict about the first fragment of a datagram, for the later ones. Made in one generation; in another the flow is judged again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ruling {
    pub(crate) generation: u64,
    pub(crate) flow: Flow,
    pub(crate) l2: L2,
    pub(crate) outcome: Result<Way, Refused>,
    /// What flow logs count of it at NAT gateways of this host.
    pub(crate) passing: Passing,
}

/// What was decided about a flow that passes: where it goes, and what connection tracking must know for that to hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Decision {
    pub(crate) way: Way,
    pub(crate) l2: L2,
    /// `None`: the sender is on another host, which has judged this half.
    pub(crate) out: Option<End>,
    /// `None`: the receiver is on another host, which will judge this half.
    pub(crate) into: Option<End>,
    /// It holds for no other packet: a gateway of this host must be asked about each.
    pub(crate) is_once: bool,
}

/// One end of a remembered flow.
#[derive(Clone, Copy, Debug)]
pub(crate) struct End {
    pub(crate) seen: Option<Tracked>,
    pub(crate) track: Track,
    /// For its next packet; `None`: connection tracking must be asked.
    pub(crate) ticket: Option<Ticket>,
}
