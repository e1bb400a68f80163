//! What things are looked up by, beside their own ids. Derived from the things of a World and kept with them, so that no request has to
//! look at everything there is.
//!
//! A thing stands under its account, under each of its tags, and under what it names: its VPC, its subnet, the instance that it is
//! attached to. Texts are kept as digests: two of them may fall together, so who looks by a text looks again at what is found.

use alloc::string::ToString;
use alloc::vec::Vec;
use core::net::IpAddr;

use crate::*;

const LEN: usize = 18;

/// Something that things can be looked up by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct By([u8; LEN]);

/// What the bytes behind the first one are.
#[derive(Clone, Copy)]
enum Family {
    Id,
    Account,
    Address,
    Text,
}

impl By {
    /// An id that the things name, in whatever role.
    pub fn id<Id: ResourceId>(id: Id) -> By {
        By::new(Family::Id, &[&digest(Id::PREFIX, DIGEST_SEEDS[0]).to_be_bytes(), &id.to_bytes()])
    }

    pub fn account(account: AccountId) -> By {
        By::new(Family::Account, &[&account.to_bytes()])
    }

    /// An address that the things have, inside or outside.
    pub fn address(address: impl Into<IpAddr>) -> By {
        match address.into() {
            IpAddr::V4(address) => By::new(Family::Address, &[&[4], &address.octets()]),
            IpAddr::V6(address) => By::new(Family::Address, &[&[6], &address.octets()]),
        }
    }

    pub fn tag(key: &str, value: &str) -> By {
        By::text(key, value)
    }

    pub fn tag_key(key: &str) -> By {
        By::text("\0key", key)
    }

    pub fn tag_value(value: &str) -> By {
        By::text("\0value", value)
    }

    /// A name of theirs that is no id: what kind of name, and which.
    pub(crate) fn text(kind: &str, text: &str) -> By {
        let halves = DIGEST_SEEDS.map(|seed| digest(text, digest("\0", digest(kind, seed))).to_be_bytes());
        By::new(Family::Text, &[&halves[0], &halves[1]])
    }

    /// An account's instances that have ended.
    pub fn terminated(account: AccountId) -> By {
        By::text("\0terminated", &account.to_string())
    }

    /// The host that carries them, as long as they have not ended.
    pub fn host(host: HostId) -> By {
        By::text("\0host", &host.to_string())
    }

    /// The host that carried instances until they ended.
    pub fn ended_on(host: HostId) -> By {
        By::text("\0ended on", &host.to_string())
    }

    /// A group, a key pair, an interface: by what its owner calls it.
    pub fn name(name: &str) -> By {
        By::text("\0name", name)
    }

    /// What stands for an interface's address outside: all interfaces that have one.
    pub fn is_public() -> By {
        By::text("\0", "public")
    }

    /// Security groups that have a rule with tags.
    pub fn has_tagged_rules() -> By {
        By::text("\0", "tagged rules")
    }

    /// Instances that have a volume with tags.
    pub fn has_tagged_volumes() -> By {
        By::text("\0", "tagged volumes")
    }

    /// A VPC or subnet that is a default one.
    pub fn is_default() -> By {
        By::text("\0", "default")
    }

    pub(crate) fn is_account(&self) -> bool {
        self.0[0] == Family::Account as u8
    }

    /// The id that it is, if it is one of that kind.
    pub(crate) fn as_id<Id: ResourceId>(&self) -> Option<Id> {
        let id = Id::from_bytes(*self.0.last_chunk()?)?;
        (By::id(id) == *self).then_some(id)
    }

    fn new(family: Family, parts: &[&[u8]]) -> By {
        let mut bytes = [0; LEN];
        bytes[0] = family as u8;
        for (to, from) in bytes[1..].iter_mut().zip(parts.iter().copied().flatten()) {
            *to = *from;
        }
        By(bytes)
    }
}

const DIGEST_SEEDS: [u64; 2] = [0xcbf2_9ce4_8422_2325, 0x9ae1_6a3b_2f90_404f];

/// FNV-1a of 64 bits (draft-eastlake-fnv).
const fn digest(text: &str, seed: u64) -> u64 {
    let (bytes, mut digest, mut at) = (text.as_bytes(), seed, 0);
    while at < bytes.len() {
        digest = (digest ^ bytes[at] as u64).wrapping_mul(0x0100_0000_01b3);
        at += 1;
    }
    digest
}

/// All that a thing is looked up by, each once, in order.
pub(crate) fn of(resource: &Resource) -> Vec<By> {
    let mut found = Found(Vec::new());
    found.add(resource);
    found.0.sort_unstable();
    found.0.dedup();
    found.0
}

struct Found(Vec<By>);

impl Found {
    fn owned(&mut self, owner: AccountId, tags: &Tags) {
        self.0.push(By::account(owner));
        self.tags(tags);
    }

    fn tags(&mut self, tags: &Tags) {
        for (key, value) in tags {
            self.0.extend([By::tag(key, value), By::tag_key(key), By::tag_value(value)]);
        }
    }

    fn id<Id: ResourceId>(&mut self, id: Id) {
        self.0.push(By::id(id));
    }

    fn ids<Id: ResourceId>(&mut self, ids: impl IntoIterator<Item = Id>) {
        self.0.extend(ids.into_iter().map(By::id));
    }

    fn add(&mut self, resource: &Resource) {
        match resource {
            Resource::Vpc(vpc) => self.vpc(vpc),
            Resource::Subnet(subnet) => self.subnet(subnet),
            Resource::RouteTable(table) => self.route_table(table),
            Resource::SecurityGroup(group) => self.group(group),
            Resource::NetworkInterface(interface) => self.interface(interface),
            Resource::Instance(instance) => self.instance(instance),
            Resource::Peering(peering) => self.peering(peering),
            Resource::NetworkAcl(acl) => {
                self.owned(acl.owner, &acl.tags);
                self.id(acl.vpc);
            }
            Resource::InternetGateway(gateway) => {
                self.owned(gateway.owner, &gateway.tags);
                self.ids(gateway.vpc);
                self.ids(gateway.route_table.map(|association| association.id));
                self.ids(gateway.route_table.map(|association| association.route_table));
            }
            Resource::NatGateway(gateway) => {
                self.owned(gateway.owner, &gateway.tags);
                self.id(gateway.vpc);
                self.id(gateway.subnet);
                self.ids(gateway.interface);
                self.0.extend(gateway.host.map(By::host));
            }
            Resource::EgressOnlyInternetGateway(gateway) => {
                self.owned(gateway.owner, &gateway.tags);
                self.id(gateway.vpc);
            }
            Resource::VpnGateway(gateway) => {
                self.owned(gateway.owner, &gateway.tags);
                self.ids(gateway.vpc);
                self.ids(gateway.propagates_to.iter().copied());
            }
            Resource::DhcpOptions(options) => self.owned(options.owner, &options.tags),
            Resource::FlowLog(log) => {
                self.owned(log.owner, &log.tags);
                match log.resource {
                    LoggedResource::Vpc(id) => self.id(id),
                    LoggedResource::Subnet(id) => self.id(id),
                    LoggedResource::NetworkInterface(id) => self.id(id),
                }
            }
            Resource::NetworkInsightsPath(path) => self.owned(path.owner, &path.tags),
            Resource::NetworkInsightsAnalysis(analysis) => {
                self.owned(analysis.owner, &analysis.tags);
                self.id(analysis.path);
            }
            Resource::NetworkInsightsAccessScope(scope) => self.owned(scope.owner, &scope.tags),
            Resource::NetworkInsightsAccessScopeAnalysis(analysis) => {
                self.owned(analysis.owner, &analysis.tags);
                self.id(analysis.scope);
            }
            Resource::PrefixList(list) => self.owned(list.owner, &list.tags),
            Resource::KeyPair(pair) => {
                self.owned(pair.owner, &pair.tags);
                self.0.push(By::name(&pair.name));
            }
            Resource::RegisteredImage(image) => self.owned(image.owner, &image.tags),
            Resource::SubnetCidrReservation(reservation) => {
                self.owned(reservation.owner, &reservation.tags);
                self.id(reservation.subnet);
            }
            Resource::ElasticAddress(address) => {
                self.owned(address.owner, &address.tags);
                self.0.push(By::address(address.public));
            }
            Resource::InterfacePermission(permission) => {
                self.0.push(By::account(permission.owner));
                self.id(permission.interface);
            }
            Resource::SecurityGroupVpcs(lent) => {
                self.0.push(By::account(lent.owner));
                self.ids(lent.vpcs.iter().copied());
            }
            Resource::HostedZone(zone) => {
                self.0.push(By::account(zone.owner));
                self.ids(zone.vpcs.iter().map(|(_, vpc)| *vpc));
            }
            Resource::AccessKey(key) => self.0.push(By::account(key.account)),
            Resource::Mirror(_)
            | Resource::OutboxEntry(_)
            | Resource::Account(_)
            | Resource::Role(_)
            | Resource::ClientToken(_)
            | Resource::Clock(_)
            | Resource::Host(_)
            | Resource::ReleasedAddresses(_)
            | Resource::RestingAddress(_)
            | Resource::PrefixListHistory(_)
            | Resource::AccountRegion(_)
            | Resource::NameSuffixes(_)
            | Resource::Passage(_)
            | Resource::LogGroup(_) => {}
        }
    }

    fn vpc(&mut self, vpc: &Vpc) {
        self.owned(vpc.owner, &vpc.tags);
        self.id(vpc.main.id);
        self.ids(vpc.dhcp_options);
        self.ids(vpc.cidrs.iter().map(|block| block.id));
        self.ids(vpc.ipv6_cidrs.iter().map(|block| block.id));
        self.0.extend(vpc.is_default.then(By::is_default));
        // A block stands under its first address.
        self.0.extend(vpc.cidrs.iter().map(|block| By::address(block.cidr.network())));
        self.0.extend(vpc.ipv6_cidrs.iter().map(|block| By::address(block.cidr.network())));
    }

    fn subnet(&mut self, subnet: &Subnet) {
        self.owned(subnet.owner, &subnet.tags);
        self.id(subnet.vpc);
        self.ids(subnet.route_table.map(|association| association.id));
        self.ids(subnet.route_table.map(|association| association.route_table));
        self.id(subnet.network_acl.id);
        self.id(subnet.network_acl.network_acl);
        self.ids(subnet.ipv6.map(|ipv6| ipv6.id));
        self.0.push(By::address(subnet.cidr.network()));
        self.0.extend(subnet.is_default_for_zone.then(By::is_default));
    }

    fn route_table(&mut self, table: &RouteTable) {
        self.owned(table.owner, &table.tags);
        self.id(table.vpc);
        for route in &table.routes {
            match route.target {
                RouteTarget::Local => {}
                RouteTarget::Peering(id) => self.id(id),
                RouteTarget::NetworkInterface(id) => self.id(id),
                RouteTarget::InternetGateway(id) => self.id(id),
                RouteTarget::NatGateway(id) => self.id(id),
                RouteTarget::EgressOnlyInternetGateway(id) => self.id(id),
                RouteTarget::TransitGateway(id) => self.id(id),
            }
            if let Destination::PrefixList(list) = route.destination {
                self.id(list);
            }
        }
    }

    fn group(&mut self, group: &SecurityGroup) {
        self.owned(group.owner, &group.tags);
        self.id(group.vpc);
        self.0.push(By::name(&group.name));
        self.0.extend(group.rules.values().any(|rule| !rule.tags.is_empty()).then(By::has_tagged_rules));
        for rule in group.rules.values() {
            self.id(rule.id);
            self.tags(&rule.tags);
            match rule.peer {
                RulePeer::Cidr(_) => {}
                RulePeer::PrefixList(list) => self.id(list),
                RulePeer::Group { group, .. } => self.id(group),
            }
        }
    }

    fn interface(&mut self, interface: &NetworkInterface) {
        self.owned(interface.owner, &interface.tags);
        self.id(interface.vpc);
        self.id(interface.subnet);
        self.ids(interface.groups.iter().copied());
        self.0.push(By::name(&interface.mac.to_string()));
        self.0.extend((!interface.description.is_empty()).then(|| By::name(&interface.description)));
        self.0.extend(interface.addresses().map(By::address));
        if let Some(attachment) = &interface.attachment {
            self.id(attachment.instance);
            self.id(attachment.id);
        }
        for public in &interface.public {
            self.0.extend([By::address(public.public), By::is_public()]);
            self.ids(public.elastic.map(|(allocation, _)| allocation));
            self.ids(public.elastic.map(|(_, association)| association));
        }
    }

    fn instance(&mut self, instance: &Instance) {
        self.owned(instance.owner, &instance.tags);
        self.id(instance.vpc);
        self.id(instance.subnet);
        self.id(instance.reservation);
        self.ids(instance.volumes.iter().map(|volume| volume.id));
        self.0.extend(instance.volumes.iter().any(|volume| !volume.tags.is_empty()).then(By::has_tagged_volumes));
        if instance.state == InstanceState::Terminated {
            self.0.push(By::terminated(instance.owner));
            self.0.extend(instance.host.map(By::ended_on));
        } else {
            self.0.extend(instance.host.map(By::host));
        }
    }

    fn peering(&mut self, peering: &Peering) {
        for side in [&peering.requester, &peering.accepter] {
            self.0.push(By::account(side.owner));
            self.id(side.vpc);
        }
        peering.tags.values().for_each(|tags| self.tags(tags));
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeSet;

    use super::*;

    #[test]
    fn kinds_of_ids_do_not_fall_together() {
        let kinds: BTreeSet<u64> = PREFIXES.iter().map(|(prefix, _)| digest(prefix, DIGEST_SEEDS[0])).collect();
        assert_eq!(kinds.len(), PREFIXES.len());
        let one = SubnetId::from_random(7);
        assert_ne!(By::id(one), By::id(SubnetId::from_random(8)));
        assert_ne!(By::id(one), By::id(VpcId::from_random(7)));
    }

    #[test]
    fn the_border_between_key_and_value_counts() {
        assert_ne!(By::tag("a", "bc"), By::tag("ab", "c"));
        assert_ne!(By::tag("Name", "x"), By::name("x"));
        assert_eq!(By::tag("Name", "x"), By::tag("Name", "x"));
    }

    #[test]
    fn a_thing_moves_with_what_it_names() {
        let [here, there] = [1, 2].map(VpcId::from_random);
        let acl = |vpc, name: &str| NetworkAcl {
            id: NetworkAclId::from_random(1),
            vpc,
            owner: "111111111111".parse().unwrap(),
            is_default: false,
            ingress: Default::default(),
            egress: Default::default(),
            tags: Tags::from([("Name".into(), name.into())]),
        };
        let world = World::default().apply(&[Change::put(acl(here, "a"))]);
        let moved = world.apply(&[Change::put(acl(there, "b"))]);
        let count = |world: &World, by: By| (world.by::<NetworkAcl>(by).count(), world.count_by::<NetworkAcl>(by));
        assert_eq!(count(&world, By::id(here)), (1, 1));
        assert_eq!(count(&moved, By::id(here)), (0, 0));
        assert_eq!(count(&moved, By::id(there)), (1, 1));
        assert_eq!(count(&moved, By::tag("Name", "a")), (0, 0));
        assert_eq!(count(&moved, By::tag("Name", "b")), (1, 1));
        assert_eq!(count(&moved, By::account("111111111111".parse().unwrap())), (1, 1));
        let none = moved.apply(&[Change::Delete(Key::NetworkAcl(NetworkAclId::from_random(1)))]);
        assert_eq!(none, World::default());
    }
}
