//! Which things stand under what they are looked up by: a sorted set of pairs that versions of a World share.
//!
//! The pairs lie in short sorted runs, the runs in a persistent tree by where they begin. So a hundred thousand pairs take little more
//! room than the pairs themselves, and a change copies one run and a path.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use rpds::RedBlackTreeMapSync;

use crate::lookup::By;

/// Pairs in one run: few enough to be copied at a change, enough to make the tree small.
const RUN_MAX: usize = 64;
/// A run that has become shorter than this joins the next one, if both fit.
const RUN_SHORT: usize = 16;

/// Where a run begins; `None` is before every id.
type Start<Id> = (By, Option<Id>);

/// Where a run begins, and the run.
type Run<'a, Id> = (&'a Start<Id>, &'a [(By, Id)]);

/// Pairs of what things are looked up by and their ids. Equal if they hold the same, however it came to be.
#[derive(Clone)]
pub struct Relation<Id: Ord> {
    /// No run is empty, and each holds what is at or after its start and before the next one's.
    runs: RedBlackTreeMapSync<Start<Id>, Box<[(By, Id)]>>,
    /// How many stand under each account: every creation asks, and all there is may be one account's.
    of_accounts: RedBlackTreeMapSync<By, usize>,
}

impl<Id: Ord + Clone> Relation<Id> {
    pub(crate) fn insert(&mut self, by: By, id: Id) {
        let pair = (by, id);
        let Some((start, run)) = self.run_of(&pair) else {
            self.runs.insert_mut(start_of(&pair), Box::new([pair]));
            self.counted(by, |count| count + 1);
            return;
        };
        let Err(at) = run.binary_search(&pair) else { return };
        let (old, is_last) = (start.clone(), at == run.len());
        let mut all = Vec::with_capacity(run.len() + 1);
        all.extend_from_slice(&run[..at]);
        all.push(pair);
        all.extend_from_slice(&run[at..]);
        let mut start = old;
        // Before everything there is: the first run begins earlier now.
        if at == 0 && start > start_of(&all[0]) {
            self.runs.remove_mut(&start);
            start = start_of(&all[0]);
        }
        if all.len() > RUN_MAX {
            // Who comes in order leaves full runs behind.
            let upper = all.split_off(if is_last { RUN_MAX } else { RUN_MAX / 2 });
            self.runs.insert_mut(start_of(&upper[0]), upper.into());
        }
        self.runs.insert_mut(start, all.into());
        self.counted(by, |count| count + 1);
    }

    pub(crate) fn remove(&mut self, by: By, id: &Id) {
        let pair = (by, id.clone());
        let Some((start, run)) = self.run_of(&pair) else { return };
        let Ok(at) = run.binary_search(&pair) else { return };
        let start = start.clone();
        let mut rest: Vec<_> = run[..at].iter().chain(&run[at + 1..]).cloned().collect();
        if rest.len() < RUN_SHORT
            && let Some((next, after)) = self.runs.range(&start..).nth(1).map(|(next, run)| (next.clone(), run.clone()))
            && rest.len() + after.len() <= RUN_MAX
        {
            rest.extend(after);
            self.runs.remove_mut(&next);
        }
        if rest.is_empty() {
            self.runs.remove_mut(&start);
        } else {
            self.runs.insert_mut(start, rest.into());
        }
        self.counted(by, |count| count.saturating_sub(1));
    }

    /// Keeps the count of an account.
    fn counted(&mut self, by: By, change: impl FnOnce(usize) -> usize) {
        if !by.is_account() {
            return;
        }
        match change(self.of_accounts.get(&by).copied().unwrap_or(0)) {
            0 => {
                self.of_accounts.remove_mut(&by);
            }
            count => self.of_accounts.insert_mut(by, count),
        }
    }

    /// The ids under it, in order; with `after`, those that come after that one.
    pub(crate) fn ids(&self, by: By, after: Option<Id>) -> impl Iterator<Item = &Id> {
        self.slices(by, after).flatten().map(|(_, id)| id)
    }

    /// The pairs from one on up to another one, in order.
    pub(crate) fn between(&self, first: By, last: By) -> impl Iterator<Item = &(By, Id)> {
        let start = (first, None);
        let before = self.runs.range(..=start.clone()).next_back().map(|(_, run)| run);
        let rest = self.runs.range(start..).map(|(_, run)| run);
        let pairs = before.into_iter().chain(rest).flatten();
        pairs.skip_while(move |(by, _)| *by < first).take_while(move |(by, _)| *by <= last)
    }

    /// How many stand under it; of an account at once, else in the time of a look at each of their runs.
    pub(crate) fn count(&self, by: By) -> usize {
        if by.is_account() {
            return self.of_accounts.get(&by).copied().unwrap_or(0);
        }
        self.slices(by, None).map(<[_]>::len).sum()
    }

    /// The parts of runs that hold what stands under it, after that one.
    fn slices(&self, by: By, after: Option<Id>) -> impl Iterator<Item = &[(By, Id)]> {
        let start = (by, after);
        let first = self.runs.range(..=start.clone()).next_back().map(|(_, run)| run);
        let rest = self.runs.range(start.clone()..).take_while(move |((of, _), _)| *of == by).map(|(_, run)| run);
        // A run that begins exactly there is the first one already.
        let is_first = move |run: &[(By, Id)]| first.is_some_and(|first| core::ptr::eq(&**first, run));
        first.into_iter().chain(rest.filter(move |run| !is_first(run))).map(move |run| {
            let is_its = |pair: Option<&(By, Id)>| pair.is_some_and(|(of, _)| *of == by);
            if start.1.is_none() && is_its(run.first()) && is_its(run.last()) {
                return &**run;
            }
            let from = run.partition_point(|(of, id)| match &start.1 {
                Some(after) => (of, id) <= (&by, after),
                None => *of < by,
            });
            let to = run.partition_point(|(of, _)| *of <= by);
            run.get(from..to).unwrap_or_default()
        })
    }

    /// The run that the pair is in, or would be.
    fn run_of(&self, pair: &(By, Id)) -> Option<Run<'_, Id>> {
        let start = start_of(pair);
        let found = self.runs.range(..=&start).next_back().or_else(|| self.runs.first());
        found.map(|(start, run)| (start, &**run))
    }
}

impl<Id: Ord> Relation<Id> {
    fn pairs(&self) -> impl Iterator<Item = &(By, Id)> {
        self.runs.values().flatten()
    }
}

fn start_of<Id: Clone>((by, id): &(By, Id)) -> Start<Id> {
    (*by, Some(id.clone()))
}

impl<Id: Ord> Default for Relation<Id> {
    fn default() -> Relation<Id> {
        Relation { runs: RedBlackTreeMapSync::new_sync(), of_accounts: RedBlackTreeMapSync::new_sync() }
    }
}

impl<Id: Ord> PartialEq for Relation<Id> {
    fn eq(&self, other: &Relation<Id>) -> bool {
        self.pairs().eq(other.pairs())
    }
}

impl<Id: Ord> Eq for Relation<Id> {}

impl<Id: Ord + fmt::Debug> fmt::Debug for Relation<Id> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.pairs()).finish()
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn by(n: u8) -> By {
        if n == 3 {
            return By::account("111111111111".parse().unwrap());
        }
        By::text("test", &[n].map(char::from).iter().collect::<alloc::string::String>())
    }

    fn check(relation: &Relation<u16>, set: &BTreeSet<(By, u16)>) -> Result<(), TestCaseError> {
        prop_assert!(relation.pairs().eq(set));
        for ((start, _), run) in relation.runs.iter().zip(relation.runs.values()) {
            prop_assert!(!run.is_empty() && run.len() <= RUN_MAX && run.is_sorted() && *start <= start_of(&run[0]));
        }
        for n in 0..4 {
            let all: Vec<u16> = set.iter().filter(|(of, _)| *of == by(n)).map(|(_, id)| *id).collect();
            prop_assert!(relation.ids(by(n), None).eq(&all));
            prop_assert_eq!(relation.count(by(n)), all.len());
            let between = set.iter().filter(|(of, _)| (by(0).min(by(n))..=by(0).max(by(n))).contains(of));
            prop_assert!(relation.between(by(0).min(by(n)), by(0).max(by(n))).eq(between));
            for after in [0, 100, 399] {
                prop_assert!(relation.ids(by(n), Some(after)).eq(all.iter().filter(|id| **id > after)));
            }
        }
        Ok(())
    }

    proptest! {
        /// Long enough that runs split and join; what was cloned before keeps what it had.
        #[test]
        fn it_is_a_sorted_set_of_pairs(steps in proptest::collection::vec((any::<bool>(), 0_u8..4, 0_u16..400), 0..1500), rising: bool) {
            let (mut relation, mut set) = (Relation::default(), BTreeSet::new());
            if rising {
                for id in 0..400 {
                    relation.insert(by(0), id);
                    set.insert((by(0), id));
                }
            }
            let (before, had) = (relation.clone(), set.clone());
            for (is_in, n, id) in steps {
                if is_in {
                    relation.insert(by(n), id);
                    set.insert((by(n), id));
                } else {
                    relation.remove(by(n), &id);
                    set.remove(&(by(n), id));
                }
            }
            check(&relation, &set)?;
            check(&before, &had)?;
            let again = set.iter().rev().fold(Relation::default(), |mut again, (of, id)| {
                again.insert(*of, *id);
                again
            });
            prop_assert_eq!(&again, &relation);
            for (of, id) in &set {
                relation.remove(*of, id);
            }
            prop_assert!(relation.runs.is_empty() && relation.of_accounts.is_empty());
        }
    }

    #[test]
    fn what_comes_in_order_leaves_full_runs() {
        let mut relation = Relation::default();
        (0_u16..6400).for_each(|id| relation.insert(by(1), id));
        assert_eq!(relation.runs.size(), 6400 / RUN_MAX);
    }
}
