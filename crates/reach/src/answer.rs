//! What is answered: the way there, the way back, and everything that stands in either.

use alloc::vec::Vec;

use model::{AccountId, Direction, NetworkAclId, NetworkInterfaceId, Region, SecurityGroupId, SubnetId, VpcId};
use policy::{Denied, Flow, Step};

use crate::{Mend, Question};

/// The answer to a [`Question`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub question: Question,
    pub forward: Path,
    /// The reply's way, judged with what the forward packet left in connection tracking. `None`: only one way was asked, nothing
    /// answers such a packet, or it does not get there whatever is mended.
    pub back: Option<Path>,
    /// Everything that stands in the way, in the order in which packets meet it; [`Hop::blockers`] point into it. Empty: reachable.
    pub blockers: Vec<Blocker>,
    /// With every mend of every blocker made, packet and reply pass (it was tried). Not so where nothing can be mended: what stands
    /// behind that is not known.
    pub is_complete: bool,
}

impl Answer {
    /// The packet arrives where it shall, and the reply comes home if it was asked for.
    pub fn is_reachable(&self) -> bool {
        self.blockers.is_empty()
    }

    /// Why the packet or its reply is dropped as things are; `None`: it is not, or it ends elsewhere.
    pub fn denied(&self) -> Option<Denied> {
        self.blockers.first().and_then(|blocker| match blocker.cause {
            Cause::Denied(denied) => Some(denied),
            Cause::Elsewhere { .. } | Cause::Hidden => None,
        })
    }
}

/// Which packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    Forward,
    Back,
}

/// One packet's ladder of hops.
///
/// Where something stands in the way the ladder goes on behind it as it would once that is mended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    pub way: Way,
    pub flow: Flow,
    pub hops: Vec<Hop>,
}

impl Path {
    /// The hops that packets pass as things are.
    pub fn passed(&self) -> impl Iterator<Item = &Hop> {
        self.hops.iter().take_while(|hop| hop.blockers.is_empty())
    }

    /// The packet gets to the end of the ladder as things are.
    pub fn is_open(&self) -> bool {
        self.hops.iter().all(|hop| hop.blockers.is_empty())
    }

    /// Who gets it at the end, with everything mended.
    pub fn receiver(&self) -> Option<NetworkInterfaceId> {
        self.hops.iter().rev().find_map(|hop| match hop.step {
            Some(Step::Interface { direction: Direction::Ingress, interface, .. }) => Some(interface),
            _ => None,
        })
    }
}

/// One stage that a packet meets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hop {
    /// Counted from 0: a packet through a middlebox has a leg more.
    pub leg: usize,
    pub stage: Stage,
    /// What decided there, with the ids of rule or route. `None`: nothing did, for the packet does not get past here whatever is
    /// mended; or the account that looks may not see it.
    pub step: Option<Step>,
    pub place: Place,
    /// The packet as it comes to this hop, and as it leaves it.
    pub before: Flow,
    pub after: Flow,
    /// What stands in the way here: places in [`Answer::blockers`].
    pub blockers: Vec<usize>,
}

/// The stages of the packet walk (spec 11.2) at which a packet can be refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// State and source/destination check of the interface that sends or receives.
    Interface(Direction),
    /// The security groups of that interface, or what connection tracking knows.
    Groups(Direction),
    /// The network ACL of its subnet.
    Acl(Direction),
    /// Neighbours in one subnet: neither ACL nor routes.
    OnLink,
    Route,
    /// The peering that is crossed, as this side sees it.
    Peering(Direction),
    /// The Internet gateway by which the packet leaves or enters a VPC.
    Gateway(Direction),
    /// The NAT gateway that sends the packet on with other addresses and ports.
    Nat,
    /// The look-up of the receiver.
    Destination,
    /// What the receiving side cannot believe of the sender.
    Claim,
    /// Whatever is on another account's side: see [`Answer::seen_by`].
    OtherSide,
}

/// Where a hop or a blocker is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub vpc: VpcId,
    pub subnet: Option<SubnetId>,
    /// The VPC's account, or the one that must act.
    pub account: AccountId,
    pub region: Region,
}

/// Something that must change before packets pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocker {
    pub way: Way,
    pub leg: usize,
    pub stage: Stage,
    pub cause: Cause,
    pub place: Place,
    /// The packet that is refused.
    pub flow: Flow,
    /// What the packet met before, of this leg, up to the refusal.
    pub steps: Vec<Step>,
    /// The groups of the interface that was asked, for a refusal by security groups.
    pub groups: Vec<SecurityGroupId>,
    /// The ACL of the subnet, for a refusal by one.
    pub acl: Option<NetworkAclId>,
    /// The changes that lift it, in order; proven to. Empty: no change of the configuration does, or none is known.
    pub mends: Vec<Mend>,
}

/// Why a packet does not get on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    Denied(Denied),
    /// It is delivered, but to another interface that has the same address: the route leads there.
    Elsewhere {
        /// `None`: another account's, which the account that looks is not told.
        interface: Option<NetworkInterfaceId>,
        /// Whose it is.
        owner: Option<AccountId>,
    },
    /// On another account's side: the account that looks is told no more.
    Hidden,
}

impl Blocker {
    /// `D08`; none for a packet that ends elsewhere.
    pub fn code(&self) -> Option<&'static str> {
        match self.cause {
            Cause::Denied(denied) => Some(denied.code()),
            Cause::Elsewhere { .. } | Cause::Hidden => None,
        }
    }

    /// The Reachability Analyzer's explanation code; empty where AWS has none.
    pub fn analyzer_code(&self) -> &'static str {
        match self.cause {
            Cause::Denied(denied) if self.mends.iter().any(|m| matches!(m, Mend::CreatePeering { .. })) => match denied
            {
                // Nothing joins the two VPCs at all.
                Denied::NoRoute { .. } => "DISCONNECTED_VPCS",
                other => other.analyzer_code(),
            },
            Cause::Denied(denied) => denied.analyzer_code(),
            Cause::Elsewhere { .. } => "HIGHER_PRIORITY_ROUTE",
            Cause::Hidden => "",
        }
    }

    /// Every account that must run one of the mending commands; where there is none, whose side it is on.
    pub fn accounts(&self) -> Vec<AccountId> {
        let mut accounts: Vec<AccountId> = self.mends.iter().map(|mend| mend.place().account).collect();
        accounts.dedup();
        if accounts.is_empty() { Vec::from([self.place.account]) } else { accounts }
    }
}
