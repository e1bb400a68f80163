//! Every way in which a guest's frame can be refused before any policy sees it (spec 11.5: D32, D33, D34).

use thiserror::Error;

/// The counter that a refusal belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Lengths, checksums, protocol 0, bad options: D32.
    Malformed,
    /// VLAN tag, LLC, any other ethertype: D33.
    NotCarried,
    /// Too small, or outside the largest datagram: D34. (Overlap and bounds need memory and are found later.)
    Fragment,
}

/// Why a frame was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
pub enum Malformed {
    /// Shorter than an Ethernet header.
    #[error("the frame is shorter than an ethernet header")]
    ShortFrame,
    /// IEEE 802.1Q or 802.1ad tag.
    #[error("vlan tags are not carried: send untagged frames")]
    Vlan,
    /// IEEE 802.2 LLC: a length where an ethertype would stand.
    #[error("llc frames are not carried: send ethernet ii frames")]
    Llc,
    /// Neither ARP, IPv4 nor IPv6.
    #[error("ethertype `{0:#06x}` is not carried: send arp, ipv4 or ipv6")]
    Ethertype(u16),
    /// Not a request or reply between Ethernet and IPv4 addresses (RFC 826), or cut short.
    #[error("not an ethernet/ipv4 arp request or reply")]
    Arp,
    /// The version field does not match the ethertype.
    #[error("the ip version does not match the ethertype")]
    Version,
    /// The frame ends inside the fixed IP header.
    #[error("the frame ends inside the ip header")]
    ShortIpHeader,
    /// IPv4 header length below 5 words or beyond the packet.
    #[error("the ipv4 header length is below 20 bytes or beyond the packet")]
    HeaderLength,
    /// The packet claims to be shorter than its header or longer than the frame.
    #[error("the ip length is shorter than the header or longer than the frame")]
    TotalLength,
    /// The IPv4 header checksum is wrong.
    #[error("the ipv4 header checksum is wrong")]
    HeaderChecksum,
    /// IPv4 protocol 0, which only means something in IPv6.
    #[error("ipv4 protocol 0 is not a protocol")]
    ProtocolZero,
    /// An IP option runs out of its header.
    #[error("an ip option runs out of its header")]
    Option,
    /// IPv4 loose or strict source route (RFC 7126 4.3, 4.4).
    #[error("ipv4 source routing is refused")]
    SourceRoute,
    /// Any IPv6 routing header: types 0, 2, segment routing and the rest.
    #[error("the ipv6 routing header of type `{0}` is refused")]
    RoutingHeader(u8),
    /// The IPv6 home address option, which replaces the source address (RFC 6275 6.3).
    #[error("the ipv6 home address option is refused")]
    HomeAddress,
    /// A jumbogram (RFC 2675).
    #[error("ipv6 jumbo payloads are refused: send at most 65535 bytes of payload")]
    JumboPayload,
    /// A hop-by-hop header that does not stand first (RFC 8200 4.1).
    #[error("an ipv6 hop-by-hop header stands behind another header")]
    HopByHopNotFirst,
    /// More extension headers than anybody needs.
    #[error("more than 8 ipv6 extension headers")]
    TooManyExtensions,
    /// An extension header that would hide the transport header (RFC 7045): mobility, HIP, shim6, experimental.
    #[error("the ipv6 extension header `{0}` is not supported")]
    UnknownExtension(u8),
    /// The chain of extension headers does not end inside the packet.
    #[error("the ipv6 header chain runs out of the packet")]
    ExtensionBeyondPacket,
    /// Two fragment headers in one packet.
    #[error("a second ipv6 fragment header")]
    SecondFragmentHeader,
    /// The TCP header is cut short or its data offset is wrong.
    #[error("the tcp header is cut short or its data offset is wrong")]
    TcpHeader,
    /// The UDP header is cut short or its length is wrong.
    #[error("the udp header is cut short or its length is wrong")]
    UdpHeader,
    /// The ICMP header is cut short.
    #[error("the icmp header is cut short")]
    IcmpHeader,
    /// A fragment that hides the ports: a first one without the whole transport header, or a later one that starts inside it (RFC 1858,
    /// RFC 7112).
    #[error("a fragment so small that it hides the transport header")]
    TinyFragment,
    /// A fragment that is not the last and not a multiple of 8 bytes long.
    #[error("a fragment that is not the last has a length that is no multiple of 8")]
    FragmentLength,
    /// A fragment that ends beyond the largest datagram.
    #[error("a fragment ends beyond the largest datagram of 65535 bytes")]
    FragmentBeyondDatagram,
}

impl Malformed {
    /// The counter that this refusal belongs to.
    #[must_use]
    pub fn class(self) -> Class {
        match self {
            Malformed::Vlan | Malformed::Llc | Malformed::Ethertype(_) => Class::NotCarried,
            Malformed::TinyFragment | Malformed::FragmentBeyondDatagram => Class::Fragment,
            _ => Class::Malformed,
        }
    }
}
