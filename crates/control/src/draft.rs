//! A World being changed: what it will be, and the changes that make it so.

use std::collections::BTreeMap;

use model::federation::{Message, OutboxEntry};
use model::*;

#[derive(Clone, Debug)]
pub struct Draft {
    world: World,
    /// The last change of each key, in order of key: a commit needs no more.
    changes: BTreeMap<Key, Change>,
}

impl Draft {
    pub fn new(world: &World) -> Draft {
        Draft { world: world.clone(), changes: BTreeMap::new() }
    }

    /// The World with the changes so far.
    pub fn world(&self) -> &World {
        &self.world
    }

    /// How many changes there are to commit.
    pub fn len(&self) -> usize {
        self.changes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    pub fn into_changes(self) -> Vec<Change> {
        self.changes.into_values().collect()
    }

    pub fn put<E: Entity>(&mut self, value: E) {
        self.change(Change::put(value));
    }

    pub fn delete<E: Entity>(&mut self, id: E::Id) {
        self.change(Change::Delete(E::key(id)));
    }

    /// Leaves a message for a region (this one too: both sides of a peering may live here), in this very transaction.
    pub fn send(&mut self, to: Region, message: Message) {
        self.send_held(to, message, None);
    }

    /// The same, but it does not leave before its time.
    pub(crate) fn send_held(&mut self, to: Region, message: Message, held: Option<Time>) {
        let sequence = self.world.outbox.last().map_or(0, |(last, _)| last + 1);
        self.put(OutboxEntry { sequence, to, message, held });
    }

    pub(crate) fn change(&mut self, change: Change) {
        self.world.change(&change);
        self.changes.insert(change.key(), change);
    }
}
