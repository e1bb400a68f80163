//! What is asked: a packet, the interface that sends it, and whom it is for.

use alloc::string::String;
use core::fmt;
use core::net::IpAddr;

use model::NetworkInterfaceId;
use policy::flow::protocol;
use policy::{Flow, TcpFlags};

use crate::Network;

/// One packet, and who is meant to get it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    pub from: NetworkInterfaceId,
    /// The interface that shall get the packet; `None`: whoever has the address.
    pub to: Option<NetworkInterfaceId>,
    pub flow: Flow,
    /// The way there only; without it the reply must come home too.
    pub is_one_way: bool,
}

/// Whom a packet is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    Interface(NetworkInterfaceId),
    /// Whoever has it where the packet goes.
    Address(IpAddr),
}

/// Protocol and ports of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Traffic {
    Tcp {
        source: u16,
        destination: u16,
    },
    Udp {
        source: u16,
        destination: u16,
    },
    /// An echo request of the family of the addresses.
    Echo,
    /// A protocol without ports, by its number.
    Protocol(u8),
}

/// The two ends of a question, before it is known which addresses are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    pub from: NetworkInterfaceId,
    /// `None`: the interface's first address of the family.
    pub source: Option<IpAddr>,
    pub to: Goal,
    /// Which family, where `to` leaves it open.
    pub is_ipv6: bool,
}

/// Why there is no such question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QuestionError {
    /// No interface by that id in the VPCs that were looked at.
    NoInterface(NetworkInterfaceId),
    NoAddress {
        interface: NetworkInterfaceId,
        is_ipv6: bool,
    },
    /// Source and destination are of two families.
    Families {
        source: IpAddr,
        destination: IpAddr,
    },
    /// Rules tell more combinations of ports apart than are tried.
    TooManyPorts,
    /// The same of addresses.
    TooManyClasses,
    /// No two interfaces, one to send and another to be sent to.
    Nobody,
}

impl Ends {
    /// The question about one packet between the two.
    ///
    /// # Errors
    /// An end that is not there, or has no address of the family.
    pub fn question(&self, network: &Network, traffic: Traffic, is_one_way: bool) -> Result<Question, QuestionError> {
        let is_ipv6 = match (self.to, self.source) {
            (Goal::Address(address), _) => address.is_ipv6(),
            (Goal::Interface(_), Some(source)) => source.is_ipv6(),
            _ => self.is_ipv6,
        };
        let source = match self.source {
            Some(source) => source,
            None => network.address(self.from, is_ipv6)?,
        };
        let (to, destination) = match self.to {
            Goal::Address(address) => (None, address),
            Goal::Interface(interface) => (Some(interface), network.address(interface, is_ipv6)?),
        };
        if source.is_ipv4() != destination.is_ipv4() {
            return Err(QuestionError::Families { source, destination });
        }
        if network.endpoint(self.from).is_none() {
            return Err(QuestionError::NoInterface(self.from));
        }
        Ok(Question { from: self.from, to, flow: traffic.flow(source, destination), is_one_way })
    }
}

impl Traffic {
    /// The first packet of a conversation.
    pub fn flow(self, src: IpAddr, dst: IpAddr) -> Flow {
        match self {
            Traffic::Tcp { source, destination } => Flow::tcp(src, source, dst, destination, TcpFlags::SYN),
            Traffic::Udp { source, destination } => Flow::udp(src, source, dst, destination),
            Traffic::Echo => Flow::icmp(src, dst, if dst.is_ipv4() { 8 } else { 128 }, 0, 1, None),
            Traffic::Protocol(number) => Flow::other(src, dst, number),
        }
    }

    /// `tcp`, `udp`, `icmp` or the number.
    pub fn name(self) -> String {
        match self {
            Traffic::Tcp { .. } => "tcp".into(),
            Traffic::Udp { .. } => "udp".into(),
            Traffic::Echo => "icmp".into(),
            Traffic::Protocol(number) => alloc::format!("{number}"),
        }
    }
}

/// The packet that answers this one; `None`: nothing answers it.
pub(crate) fn reply(flow: &Flow) -> Option<Flow> {
    let reversed = flow.reversed();
    match flow.l4 {
        policy::L4::Tcp { src, dst, .. } => Some(Flow::tcp(flow.dst, dst, flow.src, src, TcpFlags::SYN_ACK)),
        policy::L4::Udp { .. } | policy::L4::Other => Some(reversed),
        policy::L4::IcmpQuery { kind, .. } => {
            let asks = match flow.protocol {
                protocol::ICMP => matches!(kind, 8 | 13 | 15 | 17),
                _ => kind == 128,
            };
            asks.then_some(reversed)
        }
        policy::L4::IcmpError { .. } | policy::L4::Icmp { .. } => None,
    }
}

impl core::error::Error for QuestionError {}

impl fmt::Display for QuestionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            QuestionError::NoInterface(id) => write!(f, "there is no interface {id}; name one that exists"),
            QuestionError::NoAddress { interface, is_ipv6 } => {
                let (family, other) = if *is_ipv6 { ("IPv6", 4) } else { ("IPv4", 6) };
                write!(f, "{interface} has no {family} address; ask with --ip-version {other} or assign one")
            }
            QuestionError::TooManyPorts => {
                f.write_str("the rules tell too many combinations of these ports apart; ask about one destination port")
            }
            QuestionError::TooManyClasses => f.write_str(
                "the rules tell too many of these addresses and ports apart; ask about a smaller block, or one port",
            ),
            QuestionError::Nobody => {
                f.write_str("nobody there can send to another; name a set with an interface in it")
            }
            QuestionError::Families { source, destination } => {
                write!(f, "{source} and {destination} are of two families; name two addresses of one")
            }
        }
    }
}
