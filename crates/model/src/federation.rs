//! What regions tell each other (architecture ch. 6): written to an outbox in the transaction that caused it, delivered at
//! least once, received idempotently.

use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::IpAddr;
use serde::{Deserialize, Serialize};

use crate::{
    AccountId, HostId, NetworkInterfaceId, Peering, PeeringId, PeeringSide, Region, ResourceName, SecurityGroupId,
    Time, VpcId,
};

/// One message waiting for another region (or for this one, where both VPCs live in it).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboxEntry {
    /// Grows by one per entry; entries to one region are delivered in this order.
    pub sequence: u64,
    pub to: Region,
    pub message: Message,
    /// It leaves no earlier: where a cloud takes as long as AWS does. What is said later of the same peering waits behind it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<Time>,
}

/// Each message carries all that the receiver needs; receiving it twice is receiving it once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    /// Requester's region: "my account asks your VPC".
    Request {
        peering: Arc<Peering>,
    },
    /// Accepter's region: the request holds and waits for its owner.
    Pending {
        peering: PeeringId,
    },
    /// Accepter's region: the request does not hold (no reason given: no oracle), or an acceptance cannot be realised.
    Refused {
        peering: PeeringId,
    },
    /// Accepter's region: accepted; here is the accepter's side.
    Accepted {
        peering: PeeringId,
        side: Arc<PeeringSide>,
    },
    /// Requester's region: programmed here too.
    Provisioned {
        peering: PeeringId,
    },
    Rejected {
        peering: PeeringId,
        by: AccountId,
    },
    /// Nobody accepted in time.
    Expired {
        peering: PeeringId,
    },
    /// Wins over everything. `by` is `None` where no account did it: see [`crate::peering::status_message`].
    Deleted {
        peering: PeeringId,
        by: Option<AccountId>,
    },
    /// The other region's answer to `Deleted`.
    DeletedToo {
        peering: PeeringId,
    },
    /// The sender's own side of a live peering is this now: blocks and options, whole.
    Changed {
        peering: PeeringId,
        side: Arc<PeeringSide>,
    },
    /// Where the sender's VPC has its endpoints: the whole of it, each time.
    Mirror {
        peering: PeeringId,
        mirror: Mirror,
    },
}

impl Message {
    /// Which peering it is about.
    pub fn peering(&self) -> PeeringId {
        match self {
            Message::Request { peering } => peering.id,
            Message::Pending { peering }
            | Message::Refused { peering }
            | Message::Accepted { peering, .. }
            | Message::Provisioned { peering }
            | Message::Rejected { peering, .. }
            | Message::Expired { peering }
            | Message::Deleted { peering, .. }
            | Message::DeletedToo { peering }
            | Message::Changed { peering, .. }
            | Message::Mirror { peering, .. } => *peering,
        }
    }
}

/// What a region knows of a VPC in another region, because one of its own is peered with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mirror {
    pub vpc: VpcId,
    pub region: Region,
    /// The sending World's revision: an older mirror never replaces a newer one.
    pub revision: u64,
    pub members: Vec<Member>,
}

impl Mirror {
    /// Tells the same as the other but for the revision: need not be sent again.
    pub fn says_the_same(&self, other: &Mirror) -> bool {
        (self.vpc, self.region) == (other.vpc, other.region) && self.members == other.members
    }
}

/// An interface as its VPC's peers may know it: who it is and where packets for it go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    pub interface: NetworkInterfaceId,
    pub addresses: Vec<IpAddr>,
    /// Empty across regions: groups cannot be named there (spec 6.5.3).
    pub groups: BTreeSet<SecurityGroupId>,
    pub host: Option<HostId>,
    /// The resource name that leads to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_name: Option<ResourceName>,
}

/// Milliseconds by which this World's clock is ahead of the machine's; moved only by a test-only action.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clock {
    pub ahead_ms: i64,
}

impl Clock {
    pub fn now(&self, machine: Time) -> Time {
        machine + crate::Duration::millis(self.ahead_ms)
    }
}
