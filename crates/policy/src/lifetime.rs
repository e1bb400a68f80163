//! How long does a flow live? Its states and their timeouts (spec 6.4.4).
//!
//! ```text
//!          first packet      answer           FIN             FIN of the other side
//!  TCP  ───────────▶ Opening ──────▶ Open ──────────▶ Closing ──────────▶ Closed      RST: from any state to Closed
//!          first packet      answer          question         answer
//!  UDP  ───────────▶ Opening ──────▶ Answered ──────▶ Again ──────────▶ Open
//! ```

use model::{Direction, Duration};

use crate::flow::protocol;
use crate::{Flow, L4, TcpFlags};

/// How long a flow is remembered without a packet (spec 6.4.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    pub tcp_established: Duration,
    /// No answer yet, or one side has ended (spec: assumed).
    pub tcp_half: Duration,
    /// Both sides have ended, or one has reset; counts from that moment (spec: assumed).
    pub tcp_closed: Duration,
    /// More than one question and answer.
    pub udp_stream: Duration,
    pub udp: Duration,
    /// AWS is silent; ours is that of single UDP exchanges.
    pub icmp: Duration,
    pub other: Duration,
}

impl Default for Timeouts {
    fn default() -> Timeouts {
        Timeouts {
            tcp_established: Duration::seconds(432_000),
            tcp_half: Duration::seconds(60),
            tcp_closed: Duration::seconds(10),
            udp_stream: Duration::seconds(180),
            udp: Duration::seconds(30),
            icmp: Duration::seconds(30),
            other: Duration::seconds(600),
        }
    }
}

/// Where a flow stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Opening,
    /// UDP: one answer came.
    Answered,
    /// UDP: the initiator asked again.
    Again,
    Open,
    /// TCP: this side has ended.
    Closing(Direction),
    Closed,
}

/// TCP flags; none for anything else.
pub(crate) fn flags(flow: &Flow) -> TcpFlags {
    match flow.l4 {
        L4::Tcp { flags, .. } => flags,
        _ => TcpFlags::default(),
    }
}

/// What a packet makes of its flow.
pub(crate) fn after(state: State, initiator: Direction, direction: Direction, flow: &Flow) -> State {
    let is_answer = direction != initiator;
    match flow.protocol {
        protocol::TCP => {
            let flags = flags(flow);
            match state {
                State::Closed => State::Closed,
                _ if flags.contains(TcpFlags::RST) => State::Closed,
                State::Closing(by) if flags.contains(TcpFlags::FIN) && by != direction => State::Closed,
                State::Closing(by) => State::Closing(by),
                _ if flags.contains(TcpFlags::FIN) => State::Closing(direction),
                State::Opening if is_answer => State::Open,
                other => other,
            }
        }
        _ => match state {
            State::Opening if is_answer => State::Answered,
            State::Answered if !is_answer => State::Again,
            State::Again if is_answer => State::Open,
            other => other,
        },
    }
}

impl Timeouts {
    pub(crate) fn of(&self, state: State, protocol: u8) -> Duration {
        match (protocol, state) {
            (protocol::TCP, State::Open) => self.tcp_established,
            (protocol::TCP, State::Closed) => self.tcp_closed,
            (protocol::TCP, _) => self.tcp_half,
            (protocol::UDP, State::Open) => self.udp_stream,
            (protocol::UDP, _) => self.udp,
            (protocol::ICMP | protocol::ICMPV6, _) => self.icmp,
            _ => self.other,
        }
    }
}
