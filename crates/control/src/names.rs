//! What a region brings in line at its start, before anybody is served: the suffixes that the operator chose for names (spec 9.2), and
//! what peers are told of DNS switches (spec 9.4), where an earlier version did not tell it.

use std::sync::Arc;

use model::*;

use crate::action::dhcp::default_set_id;
use crate::federation::CHANGES_MAX;
use crate::peering::{Peerings, local_sides};
use crate::{Config, Draft};

/// A peering's record, a message to another region, a mirror that nobody needs.
const CHANGES_PER_PEERING: usize = 3;

/// The choice that is written down; `None`: AWS's names.
pub fn chosen<'w>(worlds: impl IntoIterator<Item = &'w World>) -> Option<Arc<NameSuffixes>> {
    worlds.into_iter().find_map(|world| world.find::<NameSuffixes>(&0)).cloned()
}

/// What is to change first, as much as fits one transaction; nothing, once all is in line.
///
/// - The choice is written down, for hosts and for later starts.
/// - The accounts' default sets of DHCP options name the region's domain. What users made stays as they made it.
/// - Live peerings know of the blocks and DNS switches of this region's VPCs, and the other region is told.
pub fn settle(world: &World, config: &Config, machine: Time) -> Vec<Change> {
    let mut draft = Draft::new(world);
    if *chosen([world]).unwrap_or_default() != *config.names {
        draft.put(NameSuffixes::clone(&config.names));
    }
    let domain = config.names.private_domain(config.region);
    for set in world.all::<DhcpOptions>().filter(|set| set.id == default_set_id(config.region, set.owner)) {
        let is_other = |(key, values): &(String, Vec<String>)| key == "domain-name" && *values != [domain.as_str()];
        if draft.len() < CHANGES_MAX && set.configuration.iter().any(is_other) {
            let mut set = DhcpOptions::clone(set);
            let names = set.configuration.iter_mut().filter(|(key, _)| key == "domain-name");
            names.for_each(|(_, values)| *values = vec![domain.clone()]);
            draft.put(set);
        }
    }
    let now = world.now(machine);
    let live = world.all::<Peering>().filter(|peering| peering.status.is_live());
    for (peering, side) in live.flat_map(|peering| local_sides(peering, config.region).map(move |side| (peering, side)))
    {
        if draft.len() + CHANGES_PER_PEERING > CHANGES_MAX {
            break;
        }
        let vpc = world.find::<Vpc>(&peering.side(side).vpc).filter(|vpc| vpc.owner == peering.side(side).owner);
        let Some(vpc) = vpc else { continue };
        let mut peerings = Peerings { draft: &mut draft, config, now };
        // As this loop left it: both sides may be here.
        if let Some(peering) = peerings.find(peering.id) {
            peerings.follow(&peering, vpc);
        }
    }
    draft.into_changes()
}
