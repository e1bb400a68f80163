//! One region's whole state, and the changes it is made of.
//!
//! A `World` is a value: cloning it costs a few pointers, applying a change shares all that did not change. It holds what the
//! API can show and what hosts need; nothing is derived twice.

use alloc::string::{String, ToString};
use alloc::sync::Arc;
use core::net::Ipv4Addr;
use rpds::RedBlackTreeMapSync;
use serde::{Deserialize, Serialize};

use crate::credential::{AccessKey, ClientToken, ClientTokenKey};
use crate::federation::{Clock, Mirror, OutboxEntry};
use crate::lookup;
use crate::peering_index::PeeringIndex;
use crate::relation::Relation;
use crate::*;

/// A kind of thing that a World holds, found by its id.
pub trait Entity: Sized + Clone {
    type Id: Ord + Clone;

    /// The folder of its records in the store.
    const KIND: &'static str;

    fn id(&self) -> Self::Id;
    fn map(world: &World) -> &RedBlackTreeMapSync<Self::Id, Arc<Self>>;
    fn relation(world: &World) -> &Relation<Self::Id>;
    fn into_resource(this: Arc<Self>) -> Resource;
    fn key(id: Self::Id) -> Key;
}

macro_rules! registry {
    ($($(#[$doc:meta])* $name:ident, $field:ident, $id:ty, $kind:literal, |$this:ident| $get:expr;)*) => {
        /// Anything that a World holds.
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        pub enum Resource {
            $($(#[$doc])* $name(Arc<$name>),)*
        }

        /// The name of anything that a World holds.
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum Key {
            $($name($id),)*
        }

        /// One region's whole state at one revision.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct World {
            /// The store's revision that this state is at.
            pub revision: u64,
            /// Derived, kept by `apply`, so that no request has to look at every peering there is.
            index: PeeringIndex,
            related: Related,
            $(pub $field: RedBlackTreeMapSync<$id, Arc<$name>>,)*
        }

        /// What the things of each kind are looked up by; derived, kept by `apply`.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        struct Related {
            $($field: Relation<$id>,)*
        }

        impl Related {
            fn replace(&mut self, key: &Key, before: &[By], after: &[By]) {
                match key {
                    $(Key::$name(id) => {
                        let gone = before.iter().filter(|by| after.binary_search(by).is_err());
                        gone.for_each(|by| self.$field.remove(*by, id));
                        let new = after.iter().filter(|by| before.binary_search(by).is_err());
                        new.for_each(|by| self.$field.insert(*by, id.clone()));
                    })*
                }
            }
        }

        impl Resource {
            pub fn key(&self) -> Key {
                match self {
                    $(Resource::$name(value) => Key::$name(Entity::id(&**value)),)*
                }
            }
        }

        impl Key {
            /// The folder of its records.
            pub fn kind(&self) -> &'static str {
                match self {
                    $(Key::$name(_) => $kind,)*
                }
            }

            /// The name inside the folder.
            pub fn name(&self) -> String {
                match self {
                    $(Key::$name(id) => id.to_string(),)*
                }
            }
        }

        impl World {
            /// How many kinds of things there are.
            pub const KINDS: usize = [$($kind),*].len();

            fn put(&mut self, resource: Resource) {
                match resource {
                    $(Resource::$name(value) => self.$field.insert_mut(Entity::id(&*value), value),)*
                }
            }

            /// What there is by that name.
            pub fn resource(&self, key: &Key) -> Option<Resource> {
                match key {
                    $(Key::$name(id) => self.$field.get(id).cloned().map(Resource::$name),)*
                }
            }

            /// There is something by that name.
            pub fn holds(&self, key: &Key) -> bool {
                match key {
                    $(Key::$name(id) => self.$field.contains_key(id),)*
                }
            }

            fn remove(&mut self, key: &Key) {
                match key {
                    $(Key::$name(id) => { self.$field.remove_mut(id); })*
                }
            }

            /// Every resource, kind by kind in the order of the registry.
            pub fn resources(&self) -> impl Iterator<Item = Resource> + '_ {
                core::iter::empty()$(.chain(self.$field.values().cloned().map(Resource::$name)))*
            }
        }

        $(
            impl Entity for $name {
                type Id = $id;

                const KIND: &'static str = $kind;

                fn id(&self) -> $id {
                    let $this = self;
                    $get
                }

                fn map(world: &World) -> &RedBlackTreeMapSync<$id, Arc<$name>> {
                    &world.$field
                }

                fn relation(world: &World) -> &Relation<$id> {
                    &world.related.$field
                }

                fn into_resource(this: Arc<Self>) -> Resource {
                    Resource::$name(this)
                }

                fn key(id: $id) -> Key {
                    Key::$name(id)
                }
            }
        )*
    };
}

/// There is one clock in a World, and one choice of suffixes.
pub type Only = u8;

registry! {
    Vpc, vpcs, VpcId, "vpc", |v| v.id;
    Subnet, subnets, SubnetId, "subnet", |v| v.id;
    RouteTable, route_tables, RouteTableId, "route-table", |v| v.id;
    SecurityGroup, security_groups, SecurityGroupId, "security-group", |v| v.id;
    NetworkAcl, network_acls, NetworkAclId, "network-acl", |v| v.id;
    NetworkInterface, network_interfaces, NetworkInterfaceId, "network-interface", |v| v.id;
    Instance, instances, InstanceId, "instance", |v| v.id;
    InternetGateway, internet_gateways, InternetGatewayId, "internet-gateway", |v| v.id;
    NatGateway, nat_gateways, NatGatewayId, "nat-gateway", |v| v.id;
    EgressOnlyInternetGateway, egress_only_internet_gateways, EgressOnlyInternetGatewayId, "egress-only-internet-gateway", |v| v.id;
    DhcpOptions, dhcp_options, DhcpOptionsId, "dhcp-options", |v| v.id;
    FlowLog, flow_logs, FlowLogId, "flow-log", |v| v.id;
    NetworkInsightsPath, network_insights_paths, InsightsPathId, "network-insights-path", |v| v.id;
    NetworkInsightsAnalysis, network_insights_analyses, InsightsAnalysisId, "network-insights-analysis", |v| v.id;
    Peering, peerings, PeeringId, "vpc-peering-connection", |v| v.id;
    Mirror, mirrors, VpcId, "mirror", |v| v.vpc;
    OutboxEntry, outbox, u64, "outbox", |v| v.sequence;
    AccessKey, access_keys, String, "access-key", |v| v.id.clone();
    Account, accounts, AccountId, "account", |v| v.id;
    Role, roles, RoleArn, "role", |v| v.arn.clone();
    ClientToken, client_tokens, ClientTokenKey, "client-token", |v| v.key.clone();
    Clock, clock, Only, "clock", |_v| 0;
    NameSuffixes, name_suffixes, Only, "name-suffixes", |_v| 0;
    Host, hosts, HostId, "host", |v| v.id;
    PrefixList, prefix_lists, PrefixListId, "prefix-list", |v| v.id;
    InterfacePermission, interface_permissions, InterfacePermissionId, "network-interface-permission", |v| v.id;
    ReleasedAddresses, released_addresses, SubnetId, "released-addresses", |v| v.subnet;
    ElasticAddress, elastic_addresses, AllocationId, "elastic-address", |v| v.id;
    RestingAddress, resting_addresses, Ipv4Addr, "resting-address", |v| v.public;
    HostedZone, hosted_zones, String, "hosted-zone", |v| v.id.clone();
    PrefixListHistory, prefix_list_histories, PrefixListId, "prefix-list-history", |v| v.list;
    KeyPair, key_pairs, KeyPairId, "key-pair", |v| v.id;
    RegisteredImage, images, ImageId, "image", |v| v.id;
    VpnGateway, vpn_gateways, VpnGatewayId, "vpn-gateway", |v| v.id;
    SubnetCidrReservation, subnet_cidr_reservations, SubnetCidrReservationId, "subnet-cidr-reservation", |v| v.id;
    SecurityGroupVpcs, security_group_vpcs, SecurityGroupId, "security-group-vpcs", |v| v.group;
    AccountRegion, account_regions, AccountId, "account-region", |v| v.account;
    LogGroup, log_groups, String, "log-group", |v| LogGroup::key(v.owner, &v.name);
    NetworkInsightsAccessScope, network_insights_access_scopes, AccessScopeId, "network-insights-access-scope", |v| v.id;
    NetworkInsightsAccessScopeAnalysis, network_insights_access_scope_analyses, AccessScopeAnalysisId, "network-insights-access-scope-analysis", |v| v.id;
    Passage, passages, String, "passage", |v| v.subject.clone();
}

/// One change of a World, as data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    Put(Resource),
    Delete(Key),
}

impl Change {
    pub fn put<E: Entity>(value: E) -> Change {
        Change::Put(E::into_resource(Arc::new(value)))
    }

    pub fn key(&self) -> Key {
        match self {
            Change::Put(resource) => resource.key(),
            Change::Delete(key) => key.clone(),
        }
    }
}

impl World {
    /// The world after these changes, in order; the revision is the caller's to set.
    #[must_use]
    pub fn apply<'a>(&self, changes: impl IntoIterator<Item = &'a Change>) -> World {
        let mut world = self.clone();
        changes.into_iter().for_each(|change| world.change(change));
        world
    }

    /// Takes one change in.
    pub fn change(&mut self, change: &Change) {
        let key = change.key();
        let before = self.resource(&key);
        let (before_by, after_by) = match change {
            Change::Put(after) => (before.as_ref().map(lookup::of), lookup::of(after)),
            Change::Delete(_) => (before.as_ref().map(lookup::of), Default::default()),
        };
        self.related.replace(&key, &before_by.unwrap_or_default(), &after_by);
        let peering = |resource: &Resource| match resource {
            Resource::Peering(peering) => Some(peering.clone()),
            _ => None,
        };
        let after = match change {
            Change::Put(resource) => peering(resource),
            Change::Delete(_) => None,
        };
        self.index.replace(before.as_ref().and_then(peering).as_deref(), after.as_deref());
        match change {
            Change::Put(resource) => self.put(resource.clone()),
            Change::Delete(_) => self.remove(&key),
        }
    }

    /// Those of a kind that stand under it, in order of id. Under a text others may stand, too ([`lookup`]).
    pub fn by<E: Entity + 'static>(&self, by: By) -> impl Iterator<Item = &Arc<E>> {
        self.by_after::<E>(by, None)
    }

    /// As [`World::by`], after that id.
    pub fn by_after<E: Entity + 'static>(&self, by: By, after: Option<E::Id>) -> impl Iterator<Item = &Arc<E>> {
        E::relation(self).ids(by, after).filter_map(|id| E::map(self).get(id))
    }

    /// The ids of that sort that things of a kind name, from one on, in order, each with whoever names it.
    pub fn named<E: Entity + 'static, Id: ResourceId>(&self, from: Id) -> impl Iterator<Item = (Id, &Arc<E>)> {
        let pairs = E::relation(self).between(By::id(from), By::id(Id::LAST));
        pairs.filter_map(|(by, id)| Some((by.as_id()?, E::map(self).get(id)?)))
    }

    /// How many of a kind stand under it, without a look at each.
    pub fn count_by<E: Entity>(&self, by: By) -> usize {
        E::relation(self).count(by)
    }

    /// The peerings in which a VPC is a side, in any state.
    pub fn peerings_of(&self, vpc: VpcId) -> impl Iterator<Item = &Arc<Peering>> {
        self.index.of_vpc(vpc).filter_map(|id| self.peerings.get(id))
    }

    /// The peerings of two VPCs, whoever asked, in any state.
    pub fn peerings_between(&self, a: VpcId, b: VpcId) -> impl Iterator<Item = &Arc<Peering>> {
        self.index.between(a, b).filter_map(|id| self.peerings.get(id))
    }

    /// How many accepted peerings a VPC has.
    pub fn accepted_peerings_of(&self, vpc: VpcId) -> usize {
        self.index.accepted(vpc)
    }

    /// The requests that wait: for the accepter's region, or for the accepter.
    pub fn peerings_waiting(&self) -> impl Iterator<Item = &Arc<Peering>> {
        self.index.waiting().filter_map(|id| self.peerings.get(id))
    }

    /// The accepted peerings of which one side is in another region.
    pub fn peerings_abroad(&self) -> impl Iterator<Item = &Arc<Peering>> {
        self.index.abroad().filter_map(|id| self.peerings.get(id))
    }

    pub fn find<E: Entity>(&self, id: &E::Id) -> Option<&Arc<E>> {
        E::map(self).get(id)
    }

    /// Everything of a kind, in order of id.
    pub fn all<E: Entity + 'static>(&self) -> impl Iterator<Item = &Arc<E>> {
        E::map(self).values()
    }

    /// What this World's clock shows when the machine's shows that.
    pub fn now(&self, machine: Time) -> Time {
        self.clock.get(&0).map_or(machine, |clock| clock.now(machine))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clone_keeps_what_it_saw() {
        let gateway = InternetGateway {
            id: InternetGatewayId::from_random(1),
            owner: "111111111111".parse().unwrap(),
            vpc: None,
            route_table: None,
            created: Time::EPOCH,
            tags: Tags::new(),
        };
        let empty = World::default();
        let one = empty.apply(&[Change::put(gateway.clone())]);
        let none = one.apply(&[Change::Delete(Key::InternetGateway(gateway.id))]);
        assert!(empty.find::<InternetGateway>(&gateway.id).is_none());
        assert_eq!(one.find::<InternetGateway>(&gateway.id).map(|g| &**g), Some(&gateway));
        assert_eq!(none, empty);
        assert_eq!(one.resources().count(), 1);
    }
}
