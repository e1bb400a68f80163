//! A packet as a sentence says it, and the frame that it is on the wire.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use model::{MacAddr, NetworkInterfaceId};
use wire::ethernet::{HEADER_LEN, Link};
use wire::{build, icmp};

/// One packet that a guest sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// At whose port it appears.
    pub from: NetworkInterfaceId,
    pub src_mac: MacAddr,
    pub to: NextHop,
    pub packet: Packet,
}

/// Whom of its link a guest addresses a frame to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextHop {
    Router,
    /// Anybody else.
    Mac(MacAddr),
}

/// An IP packet. Both addresses are of one family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    pub src: IpAddr,
    pub dst: IpAddr,
    pub body: Body,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// `flags` is the byte of RFC 9293.
    Tcp {
        sport: u16,
        dport: u16,
        flags: u8,
    },
    Udp {
        sport: u16,
        dport: u16,
    },
    /// ICMP, or ICMPv6 by the family of the addresses. `id` counts for questions and answers, `about` for errors.
    Icmp {
        kind: u8,
        code: u8,
        id: u16,
        about: Option<Box<Packet>>,
    },
    Other {
        protocol: u8,
    },
}

pub const FIN: u8 = 0x01;
pub const SYN: u8 = 0x02;
pub const RST: u8 = 0x04;
pub const ACK: u8 = 0x10;

impl Packet {
    /// The protocol number of IANA.
    pub fn protocol(&self) -> u8 {
        match (&self.body, self.src) {
            (Body::Tcp { .. }, _) => 6,
            (Body::Udp { .. }, _) => 17,
            (Body::Icmp { .. }, IpAddr::V4(_)) => 1,
            (Body::Icmp { .. }, IpAddr::V6(_)) => 58,
            (Body::Other { protocol }, _) => *protocol,
        }
    }

    /// The Ethernet frame, with so many bytes of payload.
    pub fn to_frame(&self, link: Link, payload: u8) -> Vec<u8> {
        let payload: Vec<u8> = (0..payload).collect();
        let Packet { src, dst, .. } = *self;
        match &self.body {
            Body::Tcp { sport, dport, flags } => {
                let (src, dst) = (SocketAddr::new(src, *sport), SocketAddr::new(dst, *dport));
                build::tcp(link, src, dst, wire::TcpFlags(*flags), &payload)
            }
            Body::Udp { sport, dport } => {
                build::udp(link, SocketAddr::new(src, *sport), SocketAddr::new(dst, *dport), &payload)
            }
            Body::Icmp { kind, code, about: Some(about), .. } => {
                let fields = icmp::Fields { kind: *kind, code: *code, rest: [0, 0, 5, 0] };
                let quoted = about.to_frame(link, 12).split_off(HEADER_LEN);
                build::icmp(link, src, dst, fields, &quoted)
            }
            Body::Icmp { kind, code, id, about: None } => {
                let [a, b] = id.to_be_bytes();
                build::icmp(link, src, dst, icmp::Fields { kind: *kind, code: *code, rest: [a, b, 0, 1] }, &payload)
            }
            Body::Other { protocol } => build::ip(link, src, dst, *protocol, &payload),
        }
    }

    /// The same packet from and to other addresses. What an error says of a packet that went the other way is said of the new ones.
    #[must_use]
    pub fn readdressed(&self, src: IpAddr, dst: IpAddr) -> Packet {
        let mut after = Packet { src, dst, body: self.body.clone() };
        if let Body::Icmp { about: Some(about), .. } = &mut after.body {
            about.dst = if about.dst == self.src { src } else { about.dst };
            about.src = if about.src == self.dst { dst } else { about.src };
        }
        after
    }

    /// The other end's packet in the same conversation: an answer to a question, a segment back. What has no answer is sent back as it is.
    #[must_use]
    pub fn answered(&self) -> Packet {
        let body = match &self.body {
            Body::Tcp { sport, dport, flags } => {
                let flags = if flags & SYN != 0 { SYN | ACK } else { ACK };
                Body::Tcp { sport: *dport, dport: *sport, flags }
            }
            Body::Udp { sport, dport } => Body::Udp { sport: *dport, dport: *sport },
            Body::Icmp { kind, code, id, about } => {
                let kind = match kind {
                    8 => 0,
                    0 => 8,
                    13 | 15 | 17 => kind + 1,
                    14 | 16 | 18 => kind - 1,
                    128 => 129,
                    129 => 128,
                    other => *other,
                };
                Body::Icmp { kind, code: *code, id: *id, about: about.clone() }
            }
            other => other.clone(),
        };
        Packet { src: self.dst, dst: self.src, body }
    }
}

impl fmt::Display for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Packet { src, dst, .. } = self;
        match &self.body {
            Body::Tcp { sport, dport, flags } => {
                let names = [(SYN, 'S'), (ACK, 'A'), (FIN, 'F'), (RST, 'R')];
                let flags: String = names.iter().filter(|(bit, _)| flags & bit != 0).map(|(_, name)| name).collect();
                write!(f, "tcp {src}:{sport} > {dst}:{dport} [{flags}]")
            }
            Body::Udp { sport, dport } => write!(f, "udp {src}:{sport} > {dst}:{dport}"),
            Body::Icmp { kind, code, id, about: None } => write!(f, "icmp {src} > {dst} type {kind}/{code} id {id}"),
            Body::Icmp { kind, code, about: Some(about), .. } => {
                write!(f, "icmp {src} > {dst} type {kind}/{code} about ({about})")
            }
            Body::Other { protocol } => write!(f, "protocol {protocol} {src} > {dst}"),
        }
    }
}

impl fmt::Display for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Sent { from, src_mac, to, packet } = self;
        match to {
            NextHop::Router => write!(f, "{from} ({src_mac} to the router): {packet}"),
            NextHop::Mac(mac) => write!(f, "{from} ({src_mac} to {mac}): {packet}"),
        }
    }
}
