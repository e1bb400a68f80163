//! What is due when: each item at most once.

use std::collections::{BTreeMap, BTreeSet};

use model::{HostId, Time};

use crate::agreement::Link;

/// Whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Item {
    /// Sessions with that host.
    Peer(HostId),
    /// The outbound association and the request for the next one.
    Sending(Link),
    /// The inbound association with that SPI.
    Receiving(u32),
    /// The counters of all associations.
    Counters,
}

#[derive(Debug, Default)]
pub(super) struct Agenda {
    times: BTreeMap<Item, Time>,
    order: BTreeSet<(Time, Item)>,
}

impl Agenda {
    /// Moves the item there, or takes it off.
    pub(super) fn set(&mut self, item: Item, at: Option<Time>) {
        let before = match at {
            Some(at) => self.times.insert(item, at),
            None => self.times.remove(&item),
        };
        if let Some(before) = before {
            self.order.remove(&(before, item));
        }
        self.order.extend(at.map(|at| (at, item)));
    }

    pub(super) fn has(&self, item: Item) -> bool {
        self.times.contains_key(&item)
    }

    pub(super) fn next(&self) -> Option<Time> {
        self.order.first().map(|(at, _)| *at)
    }

    /// Takes off the first item that is due.
    pub(super) fn pop(&mut self, now: Time) -> Option<Item> {
        let (_, item) = *self.order.first().filter(|(at, _)| *at <= now)?;
        self.set(item, None);
        Some(item)
    }

    pub(super) fn len(&self) -> usize {
        self.order.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_is_due_once_and_at_its_latest_time() {
        let at = Time::from_unix_millis;
        let mut agenda = Agenda::default();
        agenda.set(Item::Receiving(1), Some(at(10)));
        agenda.set(Item::Receiving(2), Some(at(20)));
        agenda.set(Item::Receiving(1), Some(at(30)));
        assert_eq!(agenda.next(), Some(at(20)));
        assert_eq!(agenda.pop(at(19)), None);
        assert_eq!(agenda.pop(at(40)), Some(Item::Receiving(2)));
        agenda.set(Item::Counters, Some(at(5)));
        agenda.set(Item::Counters, None);
        assert_eq!(agenda.pop(at(40)), Some(Item::Receiving(1)));
        assert_eq!((agenda.pop(at(40)), agenda.next(), agenda.len()), (None, None, 0));
    }
}
