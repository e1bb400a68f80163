//! Prefix lists, and what interfaces say of how long their flows are tracked.

use std::sync::Arc;

use model::{
    AccountId, AddressFamily, Cidr, ConnectionTracking, Destination, NetworkInterface, PrefixList, PrefixListId,
    Region, Route, RouteOrigin, RouteTable, RouteTarget,
};

use super::Build;
use crate::dice::Dice;
use crate::noun;

impl Build<'_> {
    /// Some of each account that has a VPC in the region, so that every list can be named there.
    pub(super) fn prefix_lists(&mut self) {
        let mut owners: Vec<(Region, AccountId)> =
            self.vpcs().into_iter().map(|(region, vpc)| (region, vpc.owner)).collect();
        owners.sort_unstable();
        owners.dedup();
        for (region, owner) in owners {
            for _ in 0..self.dice.between(1, 4) {
                let family = if self.dice.chance(75) { AddressFamily::Ipv4 } else { AddressFamily::Ipv6 };
                let mut list = noun::prefix_list(self.dice.id(), owner, family);
                for _ in 0..self.dice.below(5) {
                    list.entries.extend(self.list_block(family).map(|block| (block, None)));
                }
                self.scene.put(region, list);
            }
        }
    }

    /// A block that packets are likely to be inside, of that family.
    fn list_block(&mut self, family: AddressFamily) -> Option<Cidr> {
        let blocks: Vec<Cidr> = (0..8).map(|_| self.block()).collect();
        blocks.into_iter().find(|block| AddressFamily::of(*block) == family)
    }

    /// A list of the account in the region.
    pub(super) fn any_list(&mut self, region: Region, owner: AccountId) -> Option<PrefixListId> {
        let lists = self.scene.worlds[&region].all::<PrefixList>().filter(|list| list.owner == owner);
        let lists: Vec<PrefixListId> = lists.map(|list| list.id).collect();
        self.dice.pick(&lists).copied()
    }

    /// Adds a route to a list, or gives the one that is there another target.
    pub(super) fn list_route(&mut self, region: Region, table: &RouteTable, target: RouteTarget) {
        let Some(list) = self.any_list(region, table.owner) else { return };
        let destination = Destination::PrefixList(list);
        self.scene.update::<RouteTable>(region, &table.id, |table| {
            match table.routes.iter_mut().find(|route| route.destination == destination) {
                Some(route) => route.target = target,
                None => table.routes.push(Route { destination, target, origin: RouteOrigin::CreateRoute }),
            }
        });
    }

    /// An entry comes or goes.
    pub(super) fn change_list(&mut self) {
        let lists: Vec<(Region, Arc<PrefixList>)> = self.scene.all();
        let Some((region, list)) = self.dice.pick(&lists).cloned() else { return };
        let entries: Vec<Cidr> = list.entries.keys().copied().collect();
        let gone = self.dice.pick(&entries).copied().filter(|_| self.dice.chance(60));
        let new = if gone.is_none() { self.list_block(list.family) } else { None };
        self.scene.update::<PrefixList>(region, &list.id, |list| {
            gone.map(|gone| list.entries.remove(&gone));
            list.entries.extend(new.map(|new| (new, None)));
            list.version += 1;
        });
    }

    pub(super) fn change_tracking(&mut self) {
        let interfaces = self.interfaces();
        let Some((region, interface)) = self.dice.pick(&interfaces).cloned() else { return };
        let own = tracking(self.dice);
        self.scene.update::<NetworkInterface>(region, &interface.id, |eni| eni.connection_tracking = own);
    }
}

/// Mostly nothing; else times that end between two packets.
pub(super) fn tracking(dice: &mut Dice) -> ConnectionTracking {
    if dice.chance(70) {
        return ConnectionTracking::default();
    }
    ConnectionTracking {
        tcp_established_timeout: dice.one([None, Some(60), Some(100), Some(350)]),
        udp_stream_timeout: dice.one([None, Some(60), Some(120)]),
        udp_timeout: dice.one([None, Some(45), Some(60)]),
    }
}
