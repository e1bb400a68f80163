//! How many interfaces an instance may have, and how many addresses each: its type says it.

use super::instance_type::TYPES;
use crate::addresses::ADDRESSES_MAX;

/// What the instances of a type may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    pub(super) interfaces: usize,
    /// Of each family, on each interface.
    pub(super) addresses: usize,
}

/// Types that are in no list here may have what AWS's largest ones have.
const LARGEST: Limits = Limits { interfaces: 15, addresses: ADDRESSES_MAX };

pub(super) fn of_type(instance_type: &str) -> Limits {
    let count = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
    let known = TYPES.iter().find(|known| known.name == instance_type);
    known.map_or(LARGEST, |known| Limits { interfaces: count(known.interfaces), addresses: count(known.addresses) })
}
