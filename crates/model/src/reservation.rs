//! Ranges of a subnet that are set aside: no address in them is given out by itself (EC2 user guide, subnet CIDR reservations).

use alloc::string::String;
use serde::{Deserialize, Serialize};

use crate::{AccountId, Cidr, SubnetCidrReservationId, SubnetId, Tags};

/// What a reservation is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReservationType {
    /// For prefixes that are assigned to interfaces; no single address is, not even one asked for.
    Prefix,
    /// For addresses that are asked for one by one.
    Explicit,
}

impl ReservationType {
    /// The word of the API.
    pub fn name(self) -> &'static str {
        match self {
            ReservationType::Prefix => "prefix",
            ReservationType::Explicit => "explicit",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubnetCidrReservation {
    pub id: SubnetCidrReservationId,
    pub owner: AccountId,
    pub subnet: SubnetId,
    pub cidr: Cidr,
    pub kind: ReservationType,
    pub description: Option<String>,
    pub tags: Tags,
}
