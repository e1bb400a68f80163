//! Addresses that were given back a moment ago: others do not get them until nobody remembers them (spec 8.2).

use alloc::collections::BTreeMap;
use core::net::IpAddr;
use serde::{Deserialize, Serialize};

use crate::{SubnetId, Time};

/// Of one subnet, which addresses were given back, and when. What is old enough is left out at the next change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleasedAddresses {
    pub subnet: SubnetId,
    pub addresses: BTreeMap<IpAddr, Time>,
}
