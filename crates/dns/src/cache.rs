//! What one VPC has learned of other names. A VPC has its own: what is in it is never seen from another (users' case 46).

use std::collections::{BTreeMap, BTreeSet};

use model::{Duration, Time};

use crate::answer::Ask;
use crate::upstream::Learned;

/// Names and types that one VPC remembers; the one that ends first makes room.
pub const ENTRIES_MAX: usize = 1024;
/// Records of one answer that is remembered; a longer one is asked for again.
const RECORDS_MAX: usize = 32;

/// The memory of one VPC's resolver.
#[derive(Debug, Default)]
pub struct Cache {
    entries: BTreeMap<(String, u16), Entry>,
    by_end: BTreeSet<(Time, (String, u16))>,
}

#[derive(Debug)]
struct Entry {
    learned: Learned,
    since: Time,
    until: Time,
}

impl Cache {
    /// What was learned about this, with the time that it may still be remembered.
    pub fn recall(&mut self, ask: &Ask, now: Time) -> Option<Learned> {
        let (name, kind) = ask.question();
        let key = (name.to_string(), kind);
        let Entry { learned, since, until } = self.entries.get(&key)?;
        if now < *since || *until <= now {
            self.forget(&key);
            return None;
        }
        let age = u32::try_from((now - *since).as_millis() / 1000).unwrap_or(u32::MAX);
        let mut learned = learned.clone();
        learned
            .answers
            .iter_mut()
            .chain(&mut learned.soa)
            .for_each(|record| record.ttl = record.ttl.saturating_sub(age));
        Some(learned)
    }

    /// Remembers what was learned, for as long as it says.
    pub fn keep(&mut self, ask: &Ask, learned: &Learned, now: Time) {
        if learned.ttl == 0 || learned.answers.len() > RECORDS_MAX {
            return;
        }
        let (name, kind) = ask.question();
        let key = (name.to_string(), kind);
        self.forget(&key);
        if self.entries.len() >= ENTRIES_MAX
            && let Some((_, first)) = self.by_end.first().cloned()
        {
            self.forget(&first);
        }
        let until = now + Duration::seconds(learned.ttl.into());
        self.by_end.insert((until, key.clone()));
        self.entries.insert(key, Entry { learned: learned.clone(), since: now, until });
    }

    /// How many are remembered.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn forget(&mut self, key: &(String, u16)) {
        if let Some(entry) = self.entries.remove(key) {
            self.by_end.remove(&(entry.until, key.clone()));
        }
    }
}
