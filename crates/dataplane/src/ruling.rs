//! What was decided about a flow, in a form that fragments and the cache can keep.

use model::Time;
use policy::{Denied, Flow, L2, Track, Tracked};
use wire::ethernet::Link;

use crate::port::PortId;
use crate::shared::Side;

/// Where a packet goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way {
    pub(crate) to: PortId,
    /// The frame's addresses on the receiver's link.
    pub(crate) link: Link,
    /// The largest IP packet that both ends take, in bytes.
    pub(crate) mtu: u16,
}

/// A refusal, and the port that it is counted at if that is not the sender's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refused {
    pub(crate) denied: Denied,
    pub(crate) at: Option<PortId>,
}

impl From<Denied> for Refused {
    fn from(denied: Denied) -> Refused {
        Refused { denied, at: None }
    }
}

/// A verdict about the first fragment of a datagram, for the later ones. Made in one generation; in another the flow is judged again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ruling {
    pub(crate) generation: u64,
    pub(crate) flow: Flow,
    pub(crate) l2: L2,
    pub(crate) outcome: Result<Way, Refused>,
}

/// What the cache remembers of a flow that passes: the verdict, and what connection tracking must have known for it to hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line {
    pub(crate) way: Way,
    pub(crate) l2: L2,
    pub(crate) out: End,
    pub(crate) into: End,
    /// When connection tracking was last told of a packet of this flow and direction.
    pub(crate) told: Time,
}

/// One end of a remembered flow.
#[derive(Clone, Copy, Debug)]
pub(crate) struct End {
    pub(crate) side: Side,
    pub(crate) seen: Option<Tracked>,
    pub(crate) track: Track,
    /// The side's turn when it was last told: if it has moved on, another packet has been there since.
    pub(crate) turn: u32,
}
