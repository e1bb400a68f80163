//! What the law answers when a packet may pass: where it goes, what must be told to the receiver, what must be remembered.

use model::{Direction, HostId, NetworkInterfaceId, PeeringId, Scope, VpcId};

use crate::Translation;

/// How the guest addressed the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum L2 {
    /// To the VPC router's MAC address.
    Router,
    /// To any other unicast MAC address: a neighbour, if the destination is in the subnet (spec 4.5.3, 11.2 step 5).
    Neighbour,
}

/// Who sent a packet, by authenticated identity, never by the bare address (spec 6.5.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    pub vpc: VpcId,
    /// The interface that owns the source address and sent the packet; `None` in the scope of a route target, where it is lost.
    pub interface: Option<NetworkInterfaceId>,
    pub scope: Scope,
}

/// A packet may leave: whom it goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Next {
    /// The interface that gets it.
    pub interface: NetworkInterfaceId,
    /// The VPC of that interface.
    pub vpc: VpcId,
    /// Where it is; `None`: on no host, so that it is dropped as [`Denied::DestinationDown`](crate::Denied::DestinationDown).
    pub host: Option<HostId>,
    /// What the receiver's [`ingress`](crate::ingress) must be given; `origin.scope` is the link's scope.
    pub origin: Origin,
    /// The peering that is crossed, for counters and flow logs.
    pub peering: Option<PeeringId>,
    /// What the packet must be changed to before it goes there; what stands for the receiver is changed back where it arrives
    /// ([`Tables::enter`](crate::Tables::enter)).
    pub translation: Translation,
    /// What [`Conntrack::commit`](crate::Conntrack::commit) must be told for the sending interface.
    pub track: Track,
}

/// A packet may be delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admit {
    /// The peering that was crossed, as the receiver sees it.
    pub peering: Option<PeeringId>,
    /// What [`Conntrack::commit`](crate::Conntrack::commit) must be told for the receiving interface.
    pub track: Track,
}

/// What connection tracking knows about a packet before it is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tracked {
    /// It belongs to a tracked flow: the security groups are not asked.
    Established,
    /// An ICMP error about a tracked flow: the security groups are not asked.
    Related,
    /// It answers a flow that was let through untracked: rules alone judge it, and it never starts a tracked flow (spec 6.4.2).
    UntrackedReply,
}

impl Tracked {
    /// Whether the security groups need not be asked, and how tracking goes on then.
    pub(crate) fn passes_groups(self) -> Option<Track> {
        match self {
            Tracked::Established => Some(Track::Established),
            Tracked::Related => Some(Track::Related),
            Tracked::UntrackedReply => None,
        }
    }
}

/// What connection tracking must do about a packet that may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Track {
    /// Go on with the tracked flow that it belongs to.
    Established,
    /// Nothing: an error changes no flow's life, and a NAT gateway tracks none.
    Related,
    /// Begin a tracked flow.
    New,
    /// The rules admit both directions from anywhere: every packet is judged by the rules alone (spec 6.4.2).
    Untracked { initiator: Direction },
}
