//! Network ACLs: stateless, ordered, at the subnet's edge (spec ch. 7).

use alloc::collections::BTreeMap;
use serde::{Deserialize, Serialize};

use crate::{AccountId, Cidr, Direction, IpProtocol, NetworkAclId, Ports, Tags, VpcId};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum AclAction {
    Allow,
    Deny,
}

/// One rule. Ingress looks at the source address, egress at the destination; ports are always the destination's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkAclEntry {
    pub protocol: IpProtocol,
    pub action: AclAction,
    pub cidr: Cidr,
    pub ports: Ports,
}

/// The user's rules by number, 1 to 32,766; the deny rules behind them (32,767 and 32,768) are not stored: they always hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkAcl {
    pub id: NetworkAclId,
    pub vpc: VpcId,
    pub owner: AccountId,
    pub is_default: bool,
    pub ingress: BTreeMap<u16, NetworkAclEntry>,
    pub egress: BTreeMap<u16, NetworkAclEntry>,
    pub tags: Tags,
}

/// The implicit last rule for IPv4; IPv6 has the next number.
pub const ACL_DENY_IPV4: u16 = 32_767;
pub const ACL_DENY_IPV6: u16 = 32_768;

impl NetworkAcl {
    pub fn entries(&self, direction: Direction) -> &BTreeMap<u16, NetworkAclEntry> {
        match direction {
            Direction::Ingress => &self.ingress,
            Direction::Egress => &self.egress,
        }
    }

    pub fn entries_mut(&mut self, direction: Direction) -> &mut BTreeMap<u16, NetworkAclEntry> {
        match direction {
            Direction::Ingress => &mut self.ingress,
            Direction::Egress => &mut self.egress,
        }
    }
}
