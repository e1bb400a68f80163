//! What an interface remembers of the flows that it let through (spec 6.4): every packet of each, in a list, counted again each time.
//!
//! Assumed, where the spec is silent:
//!
//! - What an interface says of times holds from its next packet on: a time that is changed does not revive or end a flow by itself.
//! - ICMP questions are forgotten after 30 s.
//! - A question back is no answer: an answer has the type that answers the question's.
//! - A SYN without ACK begins a connection. It belongs to a flow that is there only while that flow has seen nothing but its own
//!   beginning: then it is repeated, or both sides open at once.
//! - What is let through *untracked* (6.4.2) is remembered too, for as long as if it were tracked, but admits nothing: it is only known
//!   who began, so that its answers stay untracked.
//! - A packet that is dropped further on by the sender's own side begins no flow there; one that only the receiver drops does.

use std::net::IpAddr;

use model::{ConnectionTracking, Direction, NetworkInterface, NetworkInterfaceId, Time};

use crate::packet::{ACK, Body, FIN, Packet, RST, SYN};

/// Every flow that any interface has let through.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    flows: Vec<Flow>,
}

#[derive(Clone, Debug)]
struct Flow {
    interface: NetworkInterfaceId,
    conversation: Conversation,
    begun_by: Direction,
    is_tracked: bool,
    packets: Vec<(Time, Direction, u8)>,
    /// What the interface said of times when its last packet came.
    times: ConnectionTracking,
}

/// 6.4.1: (ENI, protocol, src, dst, sport, dport) for TCP and UDP, (src, dst, id) for ICMP questions, else (src, dst, protocol); written
/// as the interface's own guest sends it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Conversation {
    local: IpAddr,
    remote: IpAddr,
    protocol: u8,
    ports: (u16, u16),
    /// Identifier, and the type that this guest sends in it.
    question: Option<(u16, u8)>,
}

/// What is known about a packet before it is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    Nothing,
    /// Of a tracked flow.
    Tracked,
    /// An error about a tracked flow.
    Related,
    /// It answers what was let through untracked.
    AnswerOfUntracked,
}

/// What is to be remembered of a packet that passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remember {
    /// What it belongs to goes on, if anything.
    GoOn,
    Begin,
    Untracked {
        begun_by: Direction,
    },
}

impl Memory {
    pub fn recall(&self, interface: NetworkInterfaceId, way: Direction, packet: &Packet, now: Time) -> Known {
        // 6.4.1: "errors (unreachable, time exceeded, PTB) related to a tracked flow MUST be admitted". The packet complained about went
        // the other way, and the complaint goes to its sender.
        if let Body::Icmp { about: Some(about), .. } = &packet.body {
            let is_related = packet.dst == about.src
                && conversation(other(way), about)
                    .and_then(|conversation| self.alive(interface, &conversation, now))
                    .is_some_and(|flow| flow.is_tracked);
            return if is_related { Known::Related } else { Known::Nothing };
        }
        let Some(conversation) = conversation(way, packet) else { return Known::Nothing };
        let Some(flow) = self.alive(interface, &conversation, now) else { return Known::Nothing };
        if is_opening(packet) && !(flow.is_tracked && flow.is_only_begun()) {
            return Known::Nothing;
        }
        match flow.is_tracked {
            true => Known::Tracked,
            false if way != flow.begun_by => Known::AnswerOfUntracked,
            false => Known::Nothing,
        }
    }

    pub fn remember(&mut self, eni: &NetworkInterface, way: Direction, packet: &Packet, remember: Remember, now: Time) {
        let (interface, times) = (eni.id, eni.connection_tracking);
        let Some(conversation) = conversation(way, packet) else { return };
        let at = self.flows.iter().position(|flow| {
            flow.interface == interface && flow.conversation == conversation && now < flow.forgotten_at()
        });
        let seen = (now, way, flags(packet));
        let (begun_by, is_tracked) = match (remember, at) {
            (Remember::GoOn, Some(at)) => return self.flows[at].add(seen, times),
            (Remember::GoOn, None) => return,
            (Remember::Untracked { .. }, Some(at)) if !self.flows[at].is_tracked && !is_opening(packet) => {
                return self.flows[at].add(seen, times);
            }
            (Remember::Begin, _) => (way, true),
            (Remember::Untracked { begun_by }, _) => (begun_by, false),
        };
        self.flows.retain(|flow| !(flow.interface == interface && flow.conversation == conversation));
        self.flows.push(Flow { interface, conversation, begun_by, is_tracked, packets: vec![seen], times });
    }

    /// An interface that is no longer up has no flows (6.4.6: tracking is the interface's own and lives where it lives).
    pub fn forget(&mut self, interface: NetworkInterfaceId) {
        self.flows.retain(|flow| flow.interface != interface);
    }

    fn alive(&self, interface: NetworkInterfaceId, conversation: &Conversation, now: Time) -> Option<&Flow> {
        self.flows
            .iter()
            .find(|flow| flow.interface == interface && flow.conversation == *conversation && now < flow.forgotten_at())
    }
}

impl Flow {
    fn add(&mut self, seen: (Time, Direction, u8), times: ConnectionTracking) {
        self.packets.push(seen);
        self.times = times;
    }

    /// Nothing has come but its first packets: no answer, no end.
    fn is_only_begun(&self) -> bool {
        self.packets.iter().all(|(_, way, flags)| *way == self.begun_by && flags & (FIN | RST) == 0)
    }

    /// 6.4.4: idle timeouts, the interface's own (ConnectionTrackingSpecification) where it has them.
    fn forgotten_at(&self) -> Time {
        let seconds = |n: i64| model::Duration::seconds(n);
        let last = self.packets.last().map_or(Time::EPOCH, |(time, ..)| *time);
        match self.conversation.protocol {
            // "TcpEstablishedTimeout .. default 432000 s"; "SYN_SENT/half-open and closing entries expire quickly (ours 60/10)".
            6 => match self.closed_at() {
                Some(closed) => closed + seconds(10),
                None if self.packets.iter().any(|(.., flags)| flags & FIN != 0) => last + seconds(60),
                None if self.packets.iter().any(|(_, way, _)| *way != self.begun_by) => {
                    last + seconds(self.times.tcp_established_timeout.unwrap_or(432_000).into())
                }
                None => last + seconds(60),
            },
            // "UdpStreamTimeout default 180 (more than one request/response exchange); UdpTimeout default 30".
            17 if self.answers() > 1 => last + seconds(self.times.udp_stream_timeout.unwrap_or(180).into()),
            17 => last + seconds(self.times.udp_timeout.unwrap_or(30).into()),
            1 | 58 => last + seconds(30),
            // 6.4.1: "other protocols: (src, dst, protocol) with 600 s".
            _ => last + seconds(600),
        }
    }

    /// When one side reset, or the second side ended, the connection.
    fn closed_at(&self) -> Option<Time> {
        let mut ended = Vec::new();
        for (time, way, flags) in &self.packets {
            if flags & FIN != 0 && !ended.contains(way) {
                ended.push(*way);
            }
            if flags & RST != 0 || ended.len() == 2 {
                return Some(*time);
            }
        }
        None
    }

    /// How often the other side answered: answers in a row are one.
    fn answers(&self) -> usize {
        let mut answers = 0;
        let mut before = self.begun_by;
        for (_, way, _) in &self.packets {
            if *way != self.begun_by && before == self.begun_by {
                answers += 1;
            }
            before = *way;
        }
        answers
    }
}

pub fn other(way: Direction) -> Direction {
    match way {
        Direction::Ingress => Direction::Egress,
        Direction::Egress => Direction::Ingress,
    }
}

/// "SYN without ACK".
pub fn is_opening(packet: &Packet) -> bool {
    flags(packet) & (SYN | ACK | RST) == SYN
}

fn flags(packet: &Packet) -> u8 {
    match packet.body {
        Body::Tcp { flags, .. } => flags,
        _ => 0,
    }
}

/// `None`: an ICMP message that is neither question nor answer.
fn conversation(way: Direction, packet: &Packet) -> Option<Conversation> {
    let sent = match way {
        Direction::Egress => packet.clone(),
        Direction::Ingress => packet.answered(),
    };
    let (ports, question) = match sent.body {
        Body::Tcp { sport, dport, .. } | Body::Udp { sport, dport } => ((sport, dport), None),
        Body::Icmp { kind: kind @ (0 | 8 | 13..=18 | 128 | 129), id, about: None, .. } => ((0, 0), Some((id, kind))),
        Body::Icmp { .. } => return None,
        Body::Other { .. } => ((0, 0), None),
    };
    Some(Conversation { local: sent.src, remote: sent.dst, protocol: sent.protocol(), ports, question })
}
