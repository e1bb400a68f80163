//! A change compiled: what it leaves as it was is taken over from the tables before it.
//!
//! A VPC whose slice is the same is shared whole. Of one in which nothing but rules of security groups differs, the rules of those
//! groups' bearers are made anew and all else is shared. Any other change compiles its VPC. What comes of it equals
//! [`Tables::compile`] (`tests/laws.rs`), so that who reuses and who does not judge alike.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;

use model::intent::VpcSlice;
use model::{SecurityGroup, SecurityGroupId, VpcId};

use super::{Bearing, Compiled, Places, Tables, VpcTables};

impl Tables {
    /// As [`Tables::compile`] of these slices, with all that did not change since `self` taken over. The slices are held on to, to
    /// be compared with the next ones: what was only lent to [`Tables::compile`] is never taken over.
    #[must_use]
    pub fn recompile<'a>(&self, slices: impl IntoIterator<Item = &'a Arc<VpcSlice>>, generation: u64) -> Tables {
        let slices: BTreeMap<VpcId, &Arc<VpcSlice>> = slices.into_iter().map(|slice| (slice.vpc.id, slice)).collect();
        let vpcs: Vec<Compiled> = slices.into_values().map(|slice| self.compiled(slice)).collect();
        let places = if self.has_same_places(&vpcs) { self.places.clone() } else { Arc::new(Places::of(&vpcs)) };
        Tables { generation, vpcs, places, internet: self.internet.clone() }
    }

    fn compiled(&self, slice: &Arc<VpcSlice>) -> Compiled {
        let before = self.places.vpcs.get(&slice.vpc.id).map(|at| &self.vpcs[*at]);
        let reused = before.and_then(|before| before.following(slice));
        let tables = reused.unwrap_or_else(|| Arc::new(VpcTables::compile(slice)));
        Compiled { source: Some(slice.clone()), tables }
    }

    fn has_same_places(&self, vpcs: &[Compiled]) -> bool {
        let is_same = |(a, b): (&Compiled, &Compiled)| {
            let (a, b) = (&*a.tables, &*b.tables);
            a.id == b.id
                && (Arc::ptr_eq(&a.endpoints, &b.endpoints)
                    || a.endpoints.iter().map(|e| e.id).eq(b.endpoints.iter().map(|e| e.id)))
        };
        self.vpcs.len() == vpcs.len() && self.vpcs.iter().zip(vpcs).all(is_same)
    }
}

impl Compiled {
    /// These tables with what differs in `slice` made anew; `None`: that is not known to be little.
    fn following(&self, slice: &VpcSlice) -> Option<Arc<VpcTables>> {
        let before = self.source.as_deref()?;
        if core::ptr::eq(before, slice) {
            return Some(self.tables.clone());
        }
        if !agree_but_for_groups(before, slice) {
            return None;
        }
        let (old, new) = (by_id(before), by_id(slice));
        let changed: BTreeSet<SecurityGroupId> =
            old.keys().chain(new.keys()).copied().filter(|id| old.get(id) != new.get(id)).collect();
        if changed.is_empty() {
            return Some(self.tables.clone());
        }
        // Who comes or goes makes references to it good or stale, in the rules of whichever group.
        let is_anywhere = !old.keys().eq(new.keys());
        let is_touched = |bearing: &&Bearing| is_anywhere || bearing.groups.iter().any(|id| changed.contains(id));
        let of_touched = self.tables.bearings.iter().filter(is_touched).map(|bearing| bearing.groups.clone());
        let anew = self.tables.bear(slice, of_touched);
        let mut anew = anew.iter();
        let next = |old: &Bearing| if is_touched(&old) { anew.next() } else { None }.unwrap_or(old).clone();
        let bearings = self.tables.bearings.iter().map(next).collect();
        Some(Arc::new(VpcTables { bearings, ..VpcTables::clone(&self.tables) }))
    }
}

fn by_id(slice: &VpcSlice) -> BTreeMap<SecurityGroupId, &Arc<SecurityGroup>> {
    slice.security_groups.iter().map(|group| (group.id, group)).collect()
}

/// Whether nothing but security groups differs. Every other field is named: one that is added to slices must be looked at here.
fn agree_but_for_groups(a: &VpcSlice, b: &VpcSlice) -> bool {
    let VpcSlice {
        region,
        vpc,
        subnets,
        route_tables,
        security_groups: _,
        network_acls,
        endpoints,
        internet_gateways,
        prefix_lists,
        hosted_zones,
        resource_names,
        flow_logs,
        peerings,
        peers,
        dhcp_options,
        nat_gateways,
        egress_only_internet_gateways,
    } = a;
    *region == b.region
        && *vpc == b.vpc
        && *subnets == b.subnets
        && *route_tables == b.route_tables
        && *network_acls == b.network_acls
        && *endpoints == b.endpoints
        && *internet_gateways == b.internet_gateways
        && *prefix_lists == b.prefix_lists
        && *hosted_zones == b.hosted_zones
        && *resource_names == b.resource_names
        && *flow_logs == b.flow_logs
        && *peerings == b.peerings
        && *peers == b.peers
        && *dhcp_options == b.dhcp_options
        && *nat_gateways == b.nat_gateways
        && *egress_only_internet_gateways == b.egress_only_internet_gateways
}

#[cfg(test)]
impl Tables {
    /// Whether both say the same of everything.
    pub(crate) fn is_same(&self, other: &Tables) -> bool {
        let vpcs = |tables: &Tables| tables.vpcs.iter().map(|vpc| vpc.tables.clone()).collect::<Vec<_>>();
        self.generation == other.generation
            && self.places == other.places
            && self.internet == other.internet
            && vpcs(self) == vpcs(other)
    }

    /// Whether both have one list of a VPC's interfaces, and how many united rules they have in common.
    pub(crate) fn shared_with(&self, other: &Tables, vpc: VpcId) -> (bool, usize) {
        let (Some(a), Some(b)) = (self.vpc(vpc), other.vpc(vpc)) else { return (false, 0) };
        let is_one = |(a, b): &(&Bearing, &Bearing)| Arc::ptr_eq(&a.rules, &b.rules);
        (Arc::ptr_eq(&a.endpoints, &b.endpoints), a.bearings.iter().zip(&*b.bearings).filter(is_one).count())
    }
}
