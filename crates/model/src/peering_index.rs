//! Peerings looked up by what requests ask of them. Derived from the peerings of a World and kept with them.

use rpds::RedBlackTreeMapSync;

use crate::{Peering, PeeringId, PeeringSide, ResourceId, VpcId};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PeeringIndex {
    /// Each peering twice: under either VPC, with the other.
    by_vpc: RedBlackTreeMapSync<(VpcId, VpcId, PeeringId), ()>,
    accepted_by_vpc: RedBlackTreeMapSync<VpcId, usize>,
    waiting: RedBlackTreeMapSync<PeeringId, ()>,
    /// Accepted ones over two regions.
    abroad: RedBlackTreeMapSync<PeeringId, ()>,
}

impl PeeringIndex {
    pub(crate) fn replace(&mut self, before: Option<&Peering>, after: Option<&Peering>) {
        if let Some(before) = before {
            self.remove(before);
        }
        if let Some(after) = after {
            self.insert(after);
        }
    }

    pub(crate) fn of_vpc(&self, vpc: VpcId) -> impl Iterator<Item = &PeeringId> {
        let first = (vpc, VpcId::FIRST, PeeringId::FIRST);
        let last = (vpc, VpcId::LAST, PeeringId::LAST);
        self.by_vpc.range(first..=last).map(|((_, _, id), ())| id)
    }

    pub(crate) fn between(&self, a: VpcId, b: VpcId) -> impl Iterator<Item = &PeeringId> {
        self.by_vpc.range((a, b, PeeringId::FIRST)..=(a, b, PeeringId::LAST)).map(|((_, _, id), ())| id)
    }

    pub(crate) fn accepted(&self, vpc: VpcId) -> usize {
        self.accepted_by_vpc.get(&vpc).copied().unwrap_or(0)
    }

    pub(crate) fn waiting(&self) -> impl Iterator<Item = &PeeringId> {
        self.waiting.keys()
    }

    pub(crate) fn abroad(&self) -> impl Iterator<Item = &PeeringId> {
        self.abroad.keys()
    }

    fn insert(&mut self, peering: &Peering) {
        for (own, other) in both(peering) {
            self.by_vpc.insert_mut((own.vpc, other.vpc, peering.id), ());
            if peering.status.is_accepted() {
                self.accepted_by_vpc.insert_mut(own.vpc, self.accepted(own.vpc) + 1);
            }
        }
        if peering.status.is_waiting() {
            self.waiting.insert_mut(peering.id, ());
        }
        if peering.status.is_accepted() && peering.is_inter_region() {
            self.abroad.insert_mut(peering.id, ());
        }
    }

    fn remove(&mut self, peering: &Peering) {
        for (own, other) in both(peering) {
            self.by_vpc.remove_mut(&(own.vpc, other.vpc, peering.id));
            if peering.status.is_accepted() {
                match self.accepted(own.vpc).saturating_sub(1) {
                    0 => drop(self.accepted_by_vpc.remove_mut(&own.vpc)),
                    rest => self.accepted_by_vpc.insert_mut(own.vpc, rest),
                }
            }
        }
        self.waiting.remove_mut(&peering.id);
        self.abroad.remove_mut(&peering.id);
    }
}

fn both(peering: &Peering) -> [(&PeeringSide, &PeeringSide); 2] {
    [(&peering.requester, &peering.accepter), (&peering.accepter, &peering.requester)]
}

#[cfg(test)]
mod tests {
    use alloc::string::String;
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use crate::*;

    /// Odd VPCs are in another region.
    fn side(n: u8) -> PeeringSide {
        let region = if n.is_multiple_of(2) { "us-east-1" } else { "eu-west-1" };
        PeeringSide::unknown("111111111111".parse().unwrap(), VpcId::from_random(n.into()), region.parse().unwrap())
    }

    fn peering(id: u8, a: u8, b: u8, status: PeeringStatus) -> Peering {
        Peering {
            id: PeeringId::from_random(id.into()),
            requester: side(a),
            accepter: side(b),
            status,
            message: String::new(),
            created: Time::EPOCH,
            expires: Time::EPOCH,
            ended: None,
            tags: Default::default(),
        }
    }

    proptest! {
        #[test]
        fn what_is_derived_is_what_a_look_at_everything_finds(
            steps in proptest::collection::vec((0_u8..8, 0_u8..4, 1_u8..4, 0_usize..10), 0..60)
        ) {
            let change = |(id, a, step, status): (u8, u8, u8, usize)| match PeeringStatus::ALL.get(status) {
                Some(status) => Change::put(peering(id, a, (a + step) % 4, *status)),
                None => Change::Delete(Key::Peering(PeeringId::from_random(id.into()))),
            };
            let world = World::default().apply(&steps.into_iter().map(change).collect::<Vec<_>>());
            let ids = |found: Vec<&alloc::sync::Arc<Peering>>| {
                let mut ids: Vec<_> = found.into_iter().map(|peering| peering.id).collect();
                ids.sort();
                ids
            };
            let all = || world.all::<Peering>();
            for (n, m) in (0..4).flat_map(|n| (0..4).map(move |m| (n, m))) {
                let (a, b) = (VpcId::from_random(n), VpcId::from_random(m));
                let of_a = || all().filter(move |peering| peering.side_of(a).is_some());
                prop_assert_eq!(ids(world.peerings_of(a).collect()), ids(of_a().collect()));
                prop_assert_eq!(world.accepted_peerings_of(a), of_a().filter(|p| p.status.is_accepted()).count());
                let between = all().filter(|peering| peering.is_between(a, b));
                prop_assert_eq!(ids(world.peerings_between(a, b).collect()), ids(between.collect()));
            }
            let waiting = all().filter(|peering| peering.status.is_waiting());
            prop_assert_eq!(ids(world.peerings_waiting().collect()), ids(waiting.collect()));
            let abroad = all().filter(|peering| peering.status.is_accepted() && peering.is_inter_region());
            prop_assert_eq!(ids(world.peerings_abroad().collect()), ids(abroad.collect()));
        }
    }
}
