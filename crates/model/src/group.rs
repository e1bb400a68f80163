//! Security groups: stateful allow-lists at the network interface (spec ch. 6).

use alloc::collections::BTreeMap;
use alloc::string::String;
use serde::{Deserialize, Serialize};

use crate::{
    AccountId, Cidr, Direction, IpProtocol, PeeringId, Ports, PrefixListId, SecurityGroupId, SecurityGroupRuleId, Tags,
    VpcId,
};

/// Who is at the other end of a rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum RulePeer {
    Cidr(Cidr),
    PrefixList(PrefixListId),
    /// The members of a group. Bound to group and VPC, so that it revives when the two VPCs are peered again (spec 6.6.4).
    Group {
        group: SecurityGroupId,
        owner: AccountId,
        vpc: VpcId,
        /// The peering over which it was named; `None` inside one VPC.
        peering: Option<PeeringId>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecurityGroupRule {
    pub id: SecurityGroupRuleId,
    pub direction: Direction,
    pub protocol: IpProtocol,
    pub ports: Ports,
    pub peer: RulePeer,
    pub description: Option<String>,
    pub tags: Tags,
}

impl SecurityGroupRule {
    /// Equal but for id, description and tags (spec 6.3.5); over which peering a group was named does not count either.
    pub fn is_same(&self, other: &SecurityGroupRule) -> bool {
        let peer_is_same = match (&self.peer, &other.peer) {
            (RulePeer::Group { group: a, .. }, RulePeer::Group { group: b, .. }) => a == b,
            (a, b) => a == b,
        };
        peer_is_same && (self.direction, self.protocol, self.ports) == (other.direction, other.protocol, other.ports)
    }
}

/// The name that every VPC's first group bears.
pub const DEFAULT_GROUP_NAME: &str = "default";

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecurityGroup {
    pub id: SecurityGroupId,
    pub vpc: VpcId,
    pub owner: AccountId,
    pub name: String,
    pub description: String,
    pub rules: BTreeMap<SecurityGroupRuleId, SecurityGroupRule>,
    pub tags: Tags,
}

impl SecurityGroup {
    pub fn is_default(&self) -> bool {
        self.name == DEFAULT_GROUP_NAME
    }

    pub fn rules(&self, direction: Direction) -> impl Iterator<Item = &SecurityGroupRule> {
        self.rules.values().filter(move |rule| rule.direction == direction)
    }
}
