//! VPN gateways: recorded, with the route tables that they may propagate to. No VPN ends here, so they propagate nothing.

use alloc::collections::BTreeSet;
use serde::{Deserialize, Serialize};

use crate::{AccountId, RouteTableId, Tags, VpcId, VpnGatewayId, Zone};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VpnGateway {
    pub id: VpnGatewayId,
    pub owner: AccountId,
    pub vpc: Option<VpcId>,
    /// The private AS number of this side.
    pub amazon_side_asn: i64,
    pub zone: Option<Zone>,
    /// Of the VPC that it is attached to.
    pub propagates_to: BTreeSet<RouteTableId>,
    pub tags: Tags,
}
