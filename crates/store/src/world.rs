//! A World as records, and back.

use model::{Change, Region, Resource, World};

use crate::record::{self, RecordError};
use crate::{Snapshot, Txn};

/// The World that a store holds.
///
/// # Errors
/// The first record that cannot be read.
pub fn load(snapshot: &Snapshot) -> Result<World, RecordError> {
    let changes = snapshot.entries.values().map(|entry| record::decode::<Resource>(&entry.value).map(Change::Put));
    let changes = changes.collect::<Result<Vec<_>, _>>()?;
    let mut world = World::default().apply(&changes);
    world.revision = snapshot.revision;
    Ok(world)
}

/// The changes as one transaction on top of this revision.
///
/// # Errors
/// A change that cannot be written.
pub fn transaction(region: Region, base: u64, changes: &[Change]) -> Result<Txn, RecordError> {
    let mut txn = Txn::new().base(base);
    for change in changes {
        let key = change.key();
        let key = record::key(region.as_str(), key.kind(), &key.name())?;
        txn = match change {
            Change::Put(resource) => txn.put(key, record::encode(resource)?),
            Change::Delete(_) => txn.delete(key),
        };
    }
    Ok(txn)
}
