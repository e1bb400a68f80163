//! What of an answer an account may see: its own side whole, of another's that it is there (users' lesson 9, decision 0024).

use alloc::vec::Vec;

use model::AccountId;
use policy::Step;

use crate::answer::{Answer, Blocker, Cause, Hop, Path, Stage};

impl Answer {
    /// The answer as this account may see it.
    ///
    /// Hops and blockers in VPCs of other accounts become one hop and one blocker of [`Stage::OtherSide`], without ids, rules, reasons
    /// and mends. What a mend asks of another account is told, where it stands in the way on this account's side: to accept a peering
    /// that this account asked for, say.
    #[must_use]
    pub fn seen_by(mut self, account: AccountId) -> Answer {
        let mut places = Vec::new();
        let mut blockers: Vec<Blocker> = Vec::new();
        for blocker in core::mem::take(&mut self.blockers) {
            let seen = match blocker.place.account == account {
                true => without_others_interface(blocker, account),
                false => hidden(&blocker),
            };
            let known = blockers.iter().position(|other| {
                seen.cause == Cause::Hidden
                    && (other.cause, other.way, other.place) == (seen.cause, seen.way, seen.place)
            });
            places.push(known.unwrap_or(blockers.len()));
            if known.is_none() {
                blockers.push(seen);
            }
        }
        self.blockers = blockers;
        for path in core::iter::once(&mut self.forward).chain(self.back.as_mut()) {
            hide(path, account, &places);
        }
        self
    }
}

/// A blocker on this account's side does not name another account's interface at which the packet ends instead.
fn without_others_interface(mut blocker: Blocker, account: AccountId) -> Blocker {
    if let Cause::Elsewhere { owner, .. } = blocker.cause
        && owner != Some(account)
    {
        blocker.cause = Cause::Elsewhere { interface: None, owner: None };
        let before = blocker.steps.iter().position(|step| matches!(step, Step::Destination { .. }));
        blocker.steps.truncate(before.unwrap_or(0));
    }
    blocker
}

fn hidden(blocker: &Blocker) -> Blocker {
    let mut place = blocker.place;
    place.subnet = None;
    let (way, flow) = (blocker.way, blocker.flow);
    let (steps, groups, mends) = (Vec::new(), Vec::new(), Vec::new());
    let (leg, stage, cause, acl) = (0, Stage::OtherSide, Cause::Hidden, None);
    Blocker { way, leg, stage, cause, place, flow, steps, groups, acl, mends }
}

/// `places` says where the blockers are now.
fn hide(path: &mut Path, account: AccountId, places: &[usize]) {
    let mut hops: Vec<Hop> = Vec::new();
    for mut hop in core::mem::take(&mut path.hops) {
        hop.blockers = hop.blockers.iter().filter_map(|at| places.get(*at).copied()).collect();
        if hop.place.account == account {
            hops.push(hop);
            continue;
        }
        match hops.last_mut().filter(|last| last.stage == Stage::OtherSide && last.place.vpc == hop.place.vpc) {
            Some(last) => {
                last.blockers.extend(hop.blockers);
                last.blockers.dedup();
            }
            None => {
                hop.place.subnet = None;
                hops.push(Hop { stage: Stage::OtherSide, step: None, leg: 0, ..hop });
            }
        }
    }
    path.hops = hops;
}
