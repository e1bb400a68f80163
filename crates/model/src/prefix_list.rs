//! Managed prefix lists: blocks under one name, for rules of security groups and for routes (spec 4.8).
//!
//! A list that exists has at most `max_entries` entries, all of its family. Earlier versions are kept beside it, so that a
//! reader of the list does not carry its past.

use alloc::collections::BTreeMap;
use alloc::string::String;
use core::fmt;
use core::str::FromStr;
use serde::{Deserialize, Serialize};

use crate::{AccountId, Cidr, PrefixListId, Tags};

/// The one kind of blocks that a list has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AddressFamily {
    Ipv4,
    Ipv6,
}

impl AddressFamily {
    pub fn of(cidr: Cidr) -> AddressFamily {
        if cidr.is_ipv4() { AddressFamily::Ipv4 } else { AddressFamily::Ipv6 }
    }

    /// The word of the API.
    pub fn name(self) -> &'static str {
        match self {
            AddressFamily::Ipv4 => "IPv4",
            AddressFamily::Ipv6 => "IPv6",
        }
    }
}

impl fmt::Display for AddressFamily {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A word that is no family.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no address family: it is IPv4 or IPv6")]
pub struct AddressFamilyError(pub String);

impl FromStr for AddressFamily {
    type Err = AddressFamilyError;

    fn from_str(text: &str) -> Result<Self, AddressFamilyError> {
        [AddressFamily::Ipv4, AddressFamily::Ipv6]
            .into_iter()
            .find(|family| family.name().eq_ignore_ascii_case(text))
            .ok_or_else(|| AddressFamilyError(text.into()))
    }
}

/// What the last change of a list was; each is complete when its request is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PrefixListState {
    Created,
    Modified,
    Restored,
}

impl PrefixListState {
    /// The word of the API.
    pub fn code(self) -> &'static str {
        match self {
            PrefixListState::Created => "create-complete",
            PrefixListState::Modified => "modify-complete",
            PrefixListState::Restored => "restore-complete",
        }
    }
}

/// Blocks and what is said of each, in order of block.
pub type PrefixListEntries = BTreeMap<Cidr, Option<String>>;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrefixList {
    pub id: PrefixListId,
    pub owner: AccountId,
    pub name: String,
    pub family: AddressFamily,
    /// What a reference counts for in the quotas of groups and route tables, however few entries there are.
    pub max_entries: u32,
    /// Counts the changes of the entries, from 1.
    pub version: u64,
    pub entries: PrefixListEntries,
    pub state: PrefixListState,
    pub tags: Tags,
}

/// The earlier versions of a list that are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrefixListHistory {
    pub list: PrefixListId,
    pub versions: BTreeMap<u64, PrefixListEntries>,
}

/// The entries of the earlier versions of one list take at most so many bytes, as [`PrefixListHistory::weight`] counts them: a
/// third of the largest record that a store takes.
pub const HISTORY_WEIGHT_MAX: usize = 512 * 1024;

impl PrefixListHistory {
    pub fn new(list: PrefixListId) -> PrefixListHistory {
        PrefixListHistory { list, versions: BTreeMap::new() }
    }

    /// Keeps one more version; the oldest go where there are more than `versions_max` or they weigh too much.
    pub fn keep(&mut self, version: u64, entries: PrefixListEntries, versions_max: usize) {
        self.versions.insert(version, entries);
        while self.versions.len() > versions_max || self.weight() > HISTORY_WEIGHT_MAX {
            if self.versions.pop_first().is_none() {
                return;
            }
        }
    }

    /// Roughly how long the record is, in bytes.
    pub fn weight(&self) -> usize {
        self.versions.values().map(weight).sum()
    }
}

/// A block with its quotes, colon and comma takes at most 50 bytes; no letter of a description is written as two.
fn weight(entries: &PrefixListEntries) -> usize {
    entries.values().map(|description| 50 + description.as_ref().map_or(4, |text| 2 + text.len())).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Ipv4Cidr, ResourceId};

    fn entries(count: u32, description: usize) -> PrefixListEntries {
        let entry = |n: u32| (Cidr::V4(Ipv4Cidr::host(n.into())), Some("x".repeat(description)));
        (0..count).map(entry).collect()
    }

    #[test]
    fn the_oldest_versions_go_first() {
        let mut history = PrefixListHistory::new(PrefixListId::from_random(1));
        for version in 1..=5 {
            history.keep(version, entries(2, 3), 3);
        }
        assert_eq!(history.versions.keys().copied().collect::<alloc::vec::Vec<_>>(), [3, 4, 5]);
    }

    #[test]
    fn the_past_of_the_largest_list_fits_a_record() {
        let mut history = PrefixListHistory::new(PrefixListId::from_random(1));
        for version in 1..=100 {
            history.keep(version, entries(1000, 20), 1000);
            assert!(history.weight() <= HISTORY_WEIGHT_MAX);
        }
        assert_eq!(history.versions.last_key_value().map(|(version, _)| *version), Some(100));
        assert!(history.versions.len() < 10);
        // Were one version alone too much, none is kept, and none is cut.
        history.keep(101, entries(4000, 255), 1000);
        assert!(history.versions.is_empty());
    }

    #[test]
    fn the_weight_is_no_less_than_the_bytes() {
        let block = Cidr::V6("2001:db8:1111:2222:3333:4444:5555:6666/128".parse().unwrap());
        let both = PrefixListEntries::from([(block, Some("the web, in ä".into())), (Cidr::V4(Ipv4Cidr::ALL), None)]);
        assert!(weight(&both) >= serde_json::to_string(&both).unwrap().len() - "{}".len());
    }

    #[test]
    fn a_family_is_one_of_two_words() {
        assert_eq!("ipv4".parse(), Ok(AddressFamily::Ipv4));
        assert_eq!("IPv6".parse::<AddressFamily>().map(AddressFamily::name), Ok("IPv6"));
        assert!("IPv5".parse::<AddressFamily>().is_err());
    }
}
