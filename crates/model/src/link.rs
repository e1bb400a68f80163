//! What is a link? One ordered pair of VPCs and the object that permits packets between them (architecture, law 3).

use core::fmt;

use serde::{Deserialize, Serialize};

use crate::{NetworkInterfaceId, PeeringId, VpcId};

/// The object that permits a packet to go from one VPC to another or inside one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Scope {
    /// One VPC, and the source address is the sending interface's own.
    Vpc,
    /// This peering, and the source address is the sending interface's own.
    Peering(PeeringId),
    /// To this interface: a route's target whatever the destination address, or a packet that an interface forwards for a source
    /// that is not its own. Who sent it is lost: group references never match (spec 6.5.5).
    RouteTarget(NetworkInterfaceId),
    /// The cloud's own internet: out through the Internet gateway of one VPC and in through that of the other, which may be the same.
    /// The source address is the public one that stands for an address of the sending interface (spec 8.8).
    Internet,
}

/// A cryptographic domain: whoever carries neither VPC can neither read nor inject, whatever else it is trusted with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Domain {
    /// The VPC that sends.
    pub from: VpcId,
    /// The VPC that receives.
    pub to: VpcId,
    pub scope: Scope,
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Scope::Vpc => f.write_str("vpc"),
            Scope::Peering(id) => id.fmt(f),
            Scope::RouteTarget(id) => id.fmt(f),
            Scope::Internet => f.write_str("internet"),
        }
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {} by {}", self.from, self.to, self.scope)
    }
}
