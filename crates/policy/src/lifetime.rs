//! How long does a flow live? Its states and their timeouts (spec 6.4.4).
//!
//! ```text
//!          first packet      answer           FIN             FIN of the other side
//!  TCP  ───────────▶ Opening ──────▶ Open ──────────▶ Closing ──────────▶ Closed      RST: from any state to Closed
//!          first packet      answer          question         answer
//!  UDP  ───────────▶ Opening ──────▶ Answered ──────▶ Again ──────────▶ Open
//! ```

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use model::{ConnectionTracking, Direction, Duration, NetworkInterfaceId};

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

/// What interfaces say of their own flows; those without a word are not among them (spec 6.4.4).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnTimeouts(HashMap<NetworkInterfaceId, ConnectionTracking, FixedState>);

impl OwnTimeouts {
    /// An interface's timeouts, where all others have `general` ones.
    pub(crate) fn of(&self, interface: NetworkInterfaceId, general: Timeouts) -> Timeouts {
        self.0.get(&interface).map_or(general, |own| general.with(own))
    }
}

impl FromIterator<(NetworkInterfaceId, ConnectionTracking)> for OwnTimeouts {
    fn from_iter<I: IntoIterator<Item = (NetworkInterfaceId, ConnectionTracking)>>(all: I) -> OwnTimeouts {
        OwnTimeouts(all.into_iter().collect())
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
    fn with(self, own: &ConnectionTracking) -> Timeouts {
        let or = |own: Option<u32>, general| own.map_or(general, |seconds| Duration::seconds(seconds.into()));
        Timeouts {
            tcp_established: or(own.tcp_established_timeout, self.tcp_established),
            udp_stream: or(own.udp_stream_timeout, self.udp_stream),
            udp: or(own.udp_timeout, self.udp),
            ..self
        }
    }

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
