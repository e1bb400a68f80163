//! Who answers at the VPC's own addresses? The shell, through [`Services`]: the resolver (spec 9.1) and instance metadata.
//!
//! The data plane says what is a question: from the guest's own address, to an address that is this VPC's and nobody else's, whole, on
//! the port of the service, and not more often than a guest may ask (D36). All else at these addresses is dropped (D04). Questions are
//! not judged by groups or ACLs and stand in no flow log (spec 9.1).

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use model::{NetworkInterfaceId, Time, VpcId};
use wire::ethernet::{self, Link};
use wire::vnet::{self, VnetHeader};
use wire::{Addresses, Ip, Transport, emit, udp};

use crate::port::{Port, PortId};
use crate::router::{METADATA_V4, METADATA_V6, RESOLVER_V4, RESOLVER_V6};

/// DNS, over UDP and TCP.
pub const DNS_PORT: u16 = 53;
/// Instance metadata, over TCP.
pub const METADATA_PORT: u16 = 80;
/// The longest DNS message that goes over UDP, in bytes: it fits every path without fragments, and bounds what a question may cause.
pub const DATAGRAM_MAX: usize = 1232;

const TTL: u8 = 64;

/// Answers at the VPC's own addresses. Called by the threads that carry packets: it must not wait.
pub trait Services: fmt::Debug + Send + Sync {
    /// A DNS message that came in one datagram. An answer is written at the start of `answer`, which has [`DATAGRAM_MAX`] bytes.
    fn question(&self, asker: &Asker, question: &[u8], answer: &mut [u8], now: Time) -> Served;

    /// A TCP packet, IP header and all, its checksum perhaps left to be finished. What is said to it, IP packets too, goes to `say`.
    /// `false`: nobody listens there.
    fn segment(&self, port: &Port, packet: &[u8], now: Time, say: &mut dyn FnMut(&[u8])) -> bool;
}

/// Who asked and where: enough to answer later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asker {
    pub port: PortId,
    /// Whose port it was: another one's guest never gets the answer.
    pub interface: NetworkInterfaceId,
    pub vpc: VpcId,
    pub from: SocketAddr,
    /// The service's address that was asked.
    pub at: IpAddr,
}

/// What became of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Served {
    /// So many bytes of answer.
    Answer(usize),
    /// No answer, now or later.
    Silence,
    /// An answer may come by itself: see [`crate::Worker::late`].
    Later,
}

/// What a service says after its question was carried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Late {
    /// The answer to a question that was [`Served::Later`].
    Answer { asker: Asker, message: Box<[u8]> },
    /// An IP packet of a TCP connection.
    Packet { port: PortId, interface: NetworkInterfaceId, packet: Box<[u8]> },
}

impl Late {
    pub(crate) fn to(&self) -> (PortId, NetworkInterfaceId) {
        match self {
            Late::Answer { asker, .. } => (asker.port, asker.interface),
            Late::Packet { port, interface, .. } => (*port, *interface),
        }
    }

    /// The frame, virtio-net header and all; `None`: too long for any device.
    pub(crate) fn frame(&self, port: &Port) -> Option<Box<[u8]>> {
        match self {
            Late::Packet { packet, .. } => framed(port, packet),
            Late::Answer { asker, message } => {
                let mut frame = vec![0; vnet::LEN + HEADERS_MAX + message.len()];
                let len = datagram(port, asker, &mut frame[vnet::LEN..], emit::bytes(message)).ok()?;
                frame.truncate(vnet::LEN + len);
                Some(frame.into())
            }
        }
    }
}

/// Ethernet, IPv6 and UDP.
const HEADERS_MAX: usize = ethernet::HEADER_LEN + 40 + 8;

/// What a packet asks of the services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Question(Asker),
    Segment,
}

/// What a packet to one of the VPC's own addresses asks for; `None`: nothing answers there.
pub(crate) fn call(port: &Port, ip: &Ip) -> Option<Call> {
    if ip.fragment.is_some() {
        return None;
    }
    let is_resolver = [IpAddr::V4(port.resolver), RESOLVER_V4.into(), RESOLVER_V6.into()].contains(&ip.dst);
    let is_metadata = [IpAddr::V4(METADATA_V4), METADATA_V6.into()].contains(&ip.dst);
    match ip.transport {
        Transport::Udp { src_port, dst_port: DNS_PORT } if is_resolver => Some(Call::Question(Asker {
            port: port.id,
            interface: port.interface,
            vpc: port.vpc,
            from: (ip.src, src_port).into(),
            at: ip.dst,
        })),
        Transport::Tcp { dst_port: DNS_PORT, .. } if is_resolver => Some(Call::Segment),
        Transport::Tcp { dst_port: METADATA_PORT, .. } if is_metadata => Some(Call::Segment),
        _ => None,
    }
}

/// Writes the frame that answers `asker`.
pub(crate) fn datagram(
    port: &Port,
    asker: &Asker,
    frame: &mut [u8],
    message: impl emit::WritePayload,
) -> Result<usize, wire::EmitError> {
    let link = Link { src: port.router_mac, dst: port.mac };
    let ports = udp::Ports { src: DNS_PORT, dst: asker.from.port() };
    emit::udp(frame, link, Addresses::of(asker.at, asker.from.ip()), TTL, ports, message)
}

/// An IP packet of a service as a frame for the port's device.
pub(crate) fn framed(port: &Port, packet: &[u8]) -> Option<Box<[u8]>> {
    let ethertype = match packet.first()? >> 4 {
        4 => ethernet::ethertype::IPV4,
        6 => ethernet::ethertype::IPV6,
        _ => return None,
    };
    let mut frame = Vec::with_capacity(vnet::LEN + ethernet::HEADER_LEN + packet.len());
    frame.extend(VnetHeader::default().to_bytes());
    frame.extend(port.mac.octets());
    frame.extend(port.router_mac.octets());
    frame.extend(ethertype.to_be_bytes());
    frame.extend(packet);
    Some(frame.into())
}
