//! Private hosted zones: names that hold in the VPCs that they are associated with (spec 9.6).

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

use crate::{AccountId, Region, Time, VpcId};

/// A private zone. Its home region's World holds it, whatever regions its VPCs are in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostedZone {
    /// `Z` and 13 to 20 of `A-Z0-9`, as Route 53 writes them.
    pub id: String,
    pub owner: AccountId,
    /// Lower case, absolute, with its last dot: `corp.example.`.
    pub name: String,
    pub comment: String,
    pub caller_reference: String,
    pub vpcs: BTreeSet<(Region, VpcId)>,
    /// VPCs of other accounts that may be associated and are not yet.
    pub authorized: BTreeSet<(Region, VpcId)>,
    /// By name (as `name`) and type; the zone's own NS and SOA among them.
    #[serde(with = "record_sets")]
    pub records: BTreeMap<(String, RecordType), RecordSet>,
    pub created: Time,
    pub tags: BTreeMap<String, String>,
}

/// What a record says; no other type is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum RecordType {
    A,
    Aaaa,
    Cname,
    Mx,
    Ns,
    Ptr,
    Soa,
    Srv,
    Txt,
}

/// The records of one name and type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordSet {
    /// Seconds.
    pub ttl: u32,
    /// In presentation form, checked at the edge: `10.0.0.5`, `10 60 5060 sip.corp.example.`, `"a text"`.
    pub values: Vec<String>,
}

/// JSON has no tuples as keys: a list of records.
mod record_sets {
    use super::{BTreeMap, RecordSet, RecordType, String, Vec};
    use serde::{Deserialize, Deserializer, Serializer};

    type Map = BTreeMap<(String, RecordType), RecordSet>;

    pub(super) fn serialize<S: Serializer>(map: &Map, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(map)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Map, D::Error> {
        Ok(Vec::deserialize(deserializer)?.into_iter().collect())
    }
}
