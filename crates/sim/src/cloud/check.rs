//! What holds of a World after every call, whatever was called (spec ch. 2-8, 13; architecture, invariants). Written from the nouns,
//! without a look at the handlers.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::net::IpAddr;
use std::sync::Arc;

use control::Config;
use control::rules::{RouteState, route_state};
use model::world::Entity;
use model::{
    Cidr, Destination, DhcpOptions, ElasticAddress, Instance, InstanceState, InternetGateway, NetworkAcl,
    NetworkInsightsAccessScope, NetworkInsightsAccessScopeAnalysis, NetworkInsightsAnalysis, NetworkInsightsPath,
    NetworkInterface, Peering, PeeringStatus, PrefixList, PrefixListHistory, Resource, RouteTable, RouteTarget,
    RulePeer, SecurityGroup, SecurityGroupVpcs, Subnet, Vpc, World,
};

/// Everything that does not hold, a line each; at most so many.
const LINES_MAX: usize = 20;

/// Records of what is elsewhere, was once, or may be gone: what they name need not be there.
const NAMES_WHAT_MAY_BE_GONE: [&str; 11] = [
    "vpc-peering-connection",
    "mirror",
    "outbox",
    "client-token",
    "flow-log",
    "network-insights-path",
    "network-insights-analysis",
    "network-insights-access-scope",
    "network-insights-access-scope-analysis",
    "hosted-zone",
    "passage",
];

/// # Errors
/// What does not hold.
pub fn check(world: &World, config: &Config) -> Result<(), String> {
    let mut broken = Broken::default();
    vpcs(world, config, &mut broken);
    subnets(world, config, &mut broken);
    interfaces(world, config, &mut broken);
    instances(world, config, &mut broken);
    tables(world, config, &mut broken);
    groups(world, config, &mut broken);
    acls(world, config, &mut broken);
    gateways(world, config, &mut broken);
    peerings(world, config, &mut broken);
    others(world, config, &mut broken);
    references(world, &mut broken);
    match broken.0.is_empty() {
        true => Ok(()),
        false => Err(broken.0.join("\n")),
    }
}

#[derive(Default)]
struct Broken(Vec<String>);

impl Broken {
    fn unless(&mut self, holds: bool, rule: &str, about: &dyn Debug) {
        if !holds && self.0.len() < LINES_MAX {
            self.0.push(format!("{rule}: {about:?}"));
        }
    }

    /// Nothing twice.
    fn once<T: Ord + Clone + Debug>(&mut self, rule: &str, all: impl IntoIterator<Item = T>) {
        let mut seen = BTreeSet::new();
        for one in all {
            self.unless(seen.insert(one.clone()), rule, &one);
        }
    }

    /// No more of a kind than so many for each of something.
    fn at_most<K: Ord + Debug>(&mut self, most: usize, rule: &str, keys: impl IntoIterator<Item = K>) {
        let mut counts: BTreeMap<K, usize> = BTreeMap::new();
        for key in keys {
            *counts.entry(key).or_default() += 1;
        }
        for (key, count) in counts {
            self.unless(count <= most, rule, &(key, count, most));
        }
    }
}

fn all<E: Entity + 'static>(world: &World) -> impl Iterator<Item = &Arc<E>> {
    world.all::<E>()
}

fn overlap_nowhere(blocks: &[Cidr]) -> bool {
    blocks.iter().enumerate().all(|(at, block)| !blocks[at + 1..].iter().any(|other| other.overlaps(block)))
}

fn vpcs(world: &World, config: &Config, broken: &mut Broken) {
    for vpc in all::<Vpc>(world) {
        let blocks: Vec<Cidr> = vpc.blocks().collect();
        broken.unless(!vpc.cidrs.is_empty() && overlap_nowhere(&blocks), "a VPC's blocks overlap nowhere", vpc);
        let is_within = vpc.cidrs.len() <= config.quotas.ipv4_cidrs_per_vpc
            && vpc.ipv6_cidrs.len() <= config.quotas.ipv6_cidrs_per_vpc;
        broken.unless(is_within, "a VPC has no more blocks than its quota", vpc);
        let is_own = |owner, of| (owner, of) == (vpc.owner, vpc.id);
        let main = world.find::<RouteTable>(&vpc.main.route_table);
        broken.unless(main.is_some_and(|table| is_own(table.owner, table.vpc)), "a VPC has its main table", vpc);
        let group = world.find::<SecurityGroup>(&vpc.default_group);
        broken.unless(group.is_some_and(|group| is_own(group.owner, group.vpc)), "a VPC has its default group", vpc);
        let acl = world.find::<NetworkAcl>(&vpc.default_acl);
        broken.unless(acl.is_some_and(|acl| is_own(acl.owner, acl.vpc) && acl.is_default), "a VPC has its ACL", vpc);
        let options = vpc.dhcp_options.map(|id| world.find::<DhcpOptions>(&id));
        let is_own = options.is_none_or(|found| found.is_some_and(|options| options.owner == vpc.owner));
        broken.unless(is_own, "a VPC's DHCP options are its owner's", vpc);
    }
    broken.at_most(config.quotas.vpcs, "VPCs of an account", all::<Vpc>(world).map(|vpc| vpc.owner));
    broken.at_most(
        1,
        "an account has one default VPC",
        all::<Vpc>(world).filter(|vpc| vpc.is_default).map(|vpc| vpc.owner),
    );
}

fn subnets(world: &World, config: &Config, broken: &mut Broken) {
    let mut blocks: BTreeMap<_, Vec<Cidr>> = BTreeMap::new();
    for subnet in all::<Subnet>(world) {
        let Some(vpc) = world.find::<Vpc>(&subnet.vpc) else {
            broken.unless(false, "a subnet is in a VPC", subnet);
            continue;
        };
        broken.unless(subnet.owner == vpc.owner, "a subnet is its VPC's owner's", subnet);
        broken.unless(subnet.zone.region() == config.region, "a subnet is in its region", subnet);
        let own = [Some(Cidr::V4(subnet.cidr)), subnet.ipv6.map(|ipv6| Cidr::V6(ipv6.cidr))];
        for block in own.into_iter().flatten() {
            broken.unless(vpc.blocks().any(|of_vpc| of_vpc.contains_all(&block)), "a subnet is within its VPC", subnet);
            blocks.entry(subnet.vpc).or_default().push(block);
        }
        let table = subnet.route_table.map(|own| world.find::<RouteTable>(&own.route_table));
        let is_own = table.is_none_or(|found| found.is_some_and(|table| table.vpc == subnet.vpc));
        broken.unless(is_own, "a subnet's table is of its VPC", subnet);
        let acl = world.find::<NetworkAcl>(&subnet.network_acl.network_acl);
        broken.unless(acl.is_some_and(|acl| acl.vpc == subnet.vpc), "a subnet's ACL is of its VPC", subnet);
    }
    for (vpc, blocks) in &blocks {
        broken.unless(overlap_nowhere(blocks), "subnets overlap nowhere", &(vpc, blocks));
    }
    broken.at_most(config.quotas.subnets_per_vpc, "subnets of a VPC", all::<Subnet>(world).map(|subnet| subnet.vpc));
    let of_subnets = all::<Subnet>(world).filter_map(|subnet| Some(subnet.route_table?.id));
    let of_gateways = all::<InternetGateway>(world).filter_map(|gateway| Some(gateway.route_table?.id));
    let of_vpcs = all::<Vpc>(world).map(|vpc| vpc.main.id);
    broken.once("ids of associations with tables", of_subnets.chain(of_gateways).chain(of_vpcs));
    broken.once("ids of associations with ACLs", all::<Subnet>(world).map(|subnet| subnet.network_acl.id));
}

fn interfaces(world: &World, config: &Config, broken: &mut Broken) {
    let mut addresses: Vec<(model::VpcId, IpAddr)> = Vec::new();
    let mut places = Vec::new();
    let mut public = Vec::new();
    for interface in all::<NetworkInterface>(world) {
        let Some(subnet) = world.find::<Subnet>(&interface.subnet) else {
            broken.unless(false, "an interface is in a subnet", interface);
            continue;
        };
        let is_there = (interface.vpc, interface.zone) == (subnet.vpc, subnet.zone);
        broken.unless(is_there, "an interface is where its subnet is", interface);
        broken.unless(!interface.private_ips.is_empty(), "an interface has a primary address", interface);
        for address in interface.addresses() {
            let is_good = subnet.contains(address) && !subnet.is_reserved(address);
            broken.unless(is_good, "an interface's addresses are of its subnet", interface);
            addresses.push((interface.vpc, address));
        }
        let is_lent = |id| world.find::<SecurityGroupVpcs>(id).is_some_and(|lent| lent.vpcs.contains(&interface.vpc));
        let is_of_vpc = |id| world.find::<SecurityGroup>(id).is_some_and(|group| group.vpc == interface.vpc);
        let may_be = |id| is_of_vpc(id) || is_lent(id);
        broken.unless(
            interface.groups.iter().all(may_be),
            "an interface's groups are of its VPC, or lent to it",
            interface,
        );
        let is_within = interface.groups.len() <= config.quotas.security_groups_per_interface;
        broken.unless(is_within, "an interface has no more groups than its quota", interface);
        if let Some(attachment) = &interface.attachment {
            let instance = world.find::<Instance>(&attachment.instance);
            let fits = |instance: &Arc<Instance>| {
                // Another VPC's interface may be a further one of an instance, not its first (AWS since 2023).
                let is_at_home = instance.vpc == interface.vpc || attachment.device_index > 0;
                is_at_home && (instance.zone, instance.owner) == (interface.zone, interface.owner)
            };
            broken.unless(instance.is_some_and(fits), "an interface is attached to an instance beside it", interface);
            places.push((attachment.instance, attachment.device_index));
        }
        for association in &interface.public {
            let is_own = interface.private_ips.contains(&association.private);
            broken.unless(is_own, "a public address stands for an address of the interface", interface);
            let elastic = association.elastic.map(|(id, _)| world.find::<ElasticAddress>(&id));
            let is_held = elastic.is_none_or(|found| found.is_some_and(|held| held.public == association.public));
            broken.unless(is_held, "an Elastic IP address in use is held", interface);
            public.push(association.public);
        }
    }
    broken.once("an address is one interface's", addresses);
    broken.once("a device index is one interface's", places);
    broken.once("a public address is one interface's", public);
    broken.once("a MAC address is one interface's", all::<NetworkInterface>(world).map(|interface| interface.mac));
    let owners = all::<NetworkInterface>(world).map(|interface| interface.owner);
    broken.at_most(config.quotas.network_interfaces, "interfaces of an account", owners);
}

fn instances(world: &World, config: &Config, broken: &mut Broken) {
    let first = |interface: &Arc<NetworkInterface>| {
        interface.attachment.as_ref().filter(|at| at.device_index == 0).map(|at| at.instance)
    };
    let with_first: BTreeSet<_> = all::<NetworkInterface>(world).filter_map(first).collect();
    for instance in all::<Instance>(world) {
        let has_ended = instance.state == InstanceState::Terminated;
        broken.unless(has_ended != with_first.contains(&instance.id), "an instance has its first interface", instance);
        broken.unless(has_ended == instance.terminated.is_some(), "an ended instance has an end", instance);
        broken.unless(has_ended || world.holds(&Subnet::key(instance.subnet)), "an instance is in a subnet", instance);
    }
    let owners = all::<Instance>(world).filter(|one| one.state != InstanceState::Terminated).map(|one| one.owner);
    broken.at_most(config.quotas.instances, "instances of an account", owners);
}

fn tables(world: &World, config: &Config, broken: &mut Broken) {
    for table in all::<RouteTable>(world) {
        let Some(vpc) = world.find::<Vpc>(&table.vpc) else {
            broken.unless(false, "a table is in a VPC", table);
            continue;
        };
        broken.unless(table.owner == vpc.owner, "a table is its VPC's owner's", table);
        broken.once("a table has one route to each destination", table.all_routes(vpc).map(|route| route.destination));
        for route in table.all_routes(vpc) {
            let list = match route.destination {
                Destination::PrefixList(list) => world.find::<PrefixList>(&list).is_some(),
                Destination::Cidr(_) => true,
            };
            broken.unless(list, "a route's prefix list is there", &(table.id, route));
            if route_state(world, vpc.id, &route) == RouteState::Active {
                broken.unless(
                    is_within_reach(world, vpc, route.target),
                    "no foreign target is active",
                    &(vpc.id, route),
                );
            }
        }
    }
    broken.at_most(
        config.quotas.route_tables_per_vpc,
        "tables of a VPC",
        all::<RouteTable>(world).map(|table| table.vpc),
    );
}

/// A target that packets of the VPC may be given to.
fn is_within_reach(world: &World, vpc: &Vpc, target: RouteTarget) -> bool {
    match target {
        RouteTarget::Local => true,
        RouteTarget::Peering(id) => world.find::<Peering>(&id).is_some_and(|peering| {
            peering.status == PeeringStatus::Active && [peering.requester.vpc, peering.accepter.vpc].contains(&vpc.id)
        }),
        RouteTarget::NetworkInterface(id) => world.find::<NetworkInterface>(&id).is_some_and(|eni| eni.vpc == vpc.id),
        RouteTarget::InternetGateway(id) => {
            world.find::<InternetGateway>(&id).is_some_and(|gateway| gateway.vpc == Some(vpc.id))
        }
        // Their records say which VPC they are in, and name it.
        RouteTarget::NatGateway(id) => names(world, &id.to_string(), &vpc.id.to_string()),
        RouteTarget::EgressOnlyInternetGateway(id) => names(world, &id.to_string(), &vpc.id.to_string()),
        RouteTarget::TransitGateway(_) => false,
    }
}

/// The record of that id names the other, whatever kind it is.
fn names(world: &World, id: &str, other: &str) -> bool {
    world.resources().any(|resource| resource.key().name() == id && format!("{resource:?}").contains(other))
}

fn groups(world: &World, config: &Config, broken: &mut Broken) {
    for group in all::<SecurityGroup>(world) {
        let vpc = world.find::<Vpc>(&group.vpc);
        broken.unless(vpc.is_some_and(|vpc| vpc.owner == group.owner), "a group is its VPC's owner's", group);
        let rules: Vec<_> = group.rules.values().collect();
        let is_twice = |at: usize| rules[at + 1..].iter().any(|other| other.is_same(rules[at]));
        broken.unless(!(0..rules.len()).any(is_twice), "a group has no rule twice", group);
        for rule in rules {
            let is_there = match &rule.peer {
                RulePeer::PrefixList(list) => world.find::<PrefixList>(list).is_some(),
                RulePeer::Group { group: id, vpc, .. } if *vpc == group.vpc => {
                    world.find::<SecurityGroup>(id).is_some()
                }
                // Stale is what a rule of another VPC's group may be.
                RulePeer::Group { .. } | RulePeer::Cidr(_) => true,
            };
            broken.unless(is_there, "a rule's other end is there", &(group.id, rule));
        }
        let sides = group.rules.values().map(|rule| {
            let is_ipv6 = matches!(&rule.peer, RulePeer::Cidr(Cidr::V6(_)));
            (rule.direction == model::Direction::Ingress, is_ipv6)
        });
        broken.at_most(config.quotas.rules_per_security_group, "rules of a group", sides);
    }
    broken.once("a group's name in its VPC", all::<SecurityGroup>(world).map(|group| (group.vpc, group.name.clone())));
    broken.at_most(
        config.quotas.security_groups,
        "groups of an account",
        all::<SecurityGroup>(world).map(|group| group.owner),
    );
}

fn acls(world: &World, config: &Config, broken: &mut Broken) {
    for acl in all::<NetworkAcl>(world) {
        let vpc = world.find::<Vpc>(&acl.vpc);
        broken.unless(vpc.is_some_and(|vpc| vpc.owner == acl.owner), "an ACL is its VPC's owner's", acl);
        // The two that deny all the rest are not counted.
        let is_within = |entries: usize| entries <= config.quotas.entries_per_network_acl + 2;
        broken.unless(is_within(acl.ingress.len()) && is_within(acl.egress.len()), "entries of an ACL", acl);
        let is_named = vpc.is_some_and(|vpc| vpc.default_acl == acl.id);
        broken.unless(acl.is_default == is_named, "the default ACL is the one that its VPC names", acl);
    }
    broken.at_most(config.quotas.network_acls_per_vpc, "ACLs of a VPC", all::<NetworkAcl>(world).map(|acl| acl.vpc));
}

fn gateways(world: &World, config: &Config, broken: &mut Broken) {
    for gateway in all::<InternetGateway>(world) {
        let vpc = gateway.vpc.map(|id| world.find::<Vpc>(&id));
        let is_own = vpc.is_none_or(|found| found.is_some_and(|vpc| vpc.owner == gateway.owner));
        broken.unless(is_own, "a gateway's VPC is its owner's", gateway);
        let table = gateway.route_table.map(|own| world.find::<RouteTable>(&own.route_table));
        let is_own = table.is_none_or(|found| found.is_some_and(|table| Some(table.vpc) == gateway.vpc));
        broken.unless(is_own, "a gateway's table is of its VPC", gateway);
    }
    let attached = all::<InternetGateway>(world).filter_map(|gateway| gateway.vpc);
    broken.at_most(1, "a VPC has one internet gateway", attached);
    let owners = all::<InternetGateway>(world).map(|gateway| gateway.owner);
    broken.at_most(config.quotas.internet_gateways, "gateways of an account", owners);
}

fn peerings(world: &World, config: &Config, broken: &mut Broken) {
    let active: Vec<_> = all::<Peering>(world).filter(|peering| peering.status == PeeringStatus::Active).collect();
    for peering in &active {
        broken.unless(!peering.requester.overlaps(&peering.accepter), "active peers overlap nowhere", peering);
        for side in [&peering.requester, &peering.accepter] {
            let vpc = world.find::<Vpc>(&side.vpc);
            let blocks = |vpc: &Arc<Vpc>| vpc.cidrs.iter().map(|block| block.cidr).eq(side.cidrs.iter().copied());
            let is_right = |vpc: &Arc<Vpc>| vpc.owner == side.owner && blocks(vpc);
            let is_known = side.region != config.region || vpc.is_some_and(is_right);
            broken.unless(is_known, "an active peering knows its VPCs", peering);
        }
    }
    let pair = |peering: &&Arc<Peering>| {
        let (a, b) = (peering.requester.vpc, peering.accepter.vpc);
        (a.min(b), a.max(b))
    };
    broken.once("two VPCs have one active peering", active.iter().map(pair));
    let sides = active.iter().flat_map(|peering| [&peering.requester, &peering.accepter]);
    let own = sides.filter(|side| side.region == config.region).map(|side| side.vpc);
    broken.at_most(config.quotas.active_peerings_per_vpc, "active peerings of a VPC", own);
}

fn others(world: &World, config: &Config, broken: &mut Broken) {
    for list in all::<PrefixList>(world) {
        broken.unless(list.entries.len() <= list.max_entries as usize, "a list has room for its entries", list);
    }
    for history in all::<PrefixListHistory>(world) {
        broken.unless(world.holds(&PrefixList::key(history.list)), "a history is a list's", history);
    }
    for analysis in all::<NetworkInsightsAnalysis>(world) {
        let path = world.find::<NetworkInsightsPath>(&analysis.path);
        broken.unless(path.is_some_and(|path| path.owner == analysis.owner), "an analysis is its path's", analysis);
    }
    for analysis in all::<NetworkInsightsAccessScopeAnalysis>(world) {
        let scope = world.find::<NetworkInsightsAccessScope>(&analysis.scope);
        broken.unless(scope.is_some_and(|scope| scope.owner == analysis.owner), "an analysis is its scope's", analysis);
    }
    broken.once("a public address is held once", all::<ElasticAddress>(world).map(|address| address.public));
    broken.at_most(config.quotas.prefix_lists, "lists of an account", all::<PrefixList>(world).map(|list| list.owner));
}

/// Of every other record, old kinds and new: whatever it names by its id is there.
fn references(world: &World, broken: &mut Broken) {
    let kinds = ["vpc", "subnet", "rtb", "sg", "acl", "eni", "i", "igw", "dopt", "pl", "eipalloc", "nat", "eigw"];
    let keys: BTreeSet<String> = world.resources().map(|resource| resource.key().name()).collect();
    for resource in world.resources().filter(|resource| !names_what_may_be_gone(resource)) {
        let text = format!("{resource:?}");
        for word in text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-')) {
            let Some((prefix, digits)) = word.rsplit_once('-') else { continue };
            let is_id = kinds.contains(&prefix) && digits.len() == 17 && digits.bytes().all(|b| b.is_ascii_hexdigit());
            broken.unless(!is_id || keys.contains(word), "what a record names is there", &(word, &text));
        }
    }
}

fn names_what_may_be_gone(resource: &Resource) -> bool {
    match resource {
        // A blackhole's target, a stale rule's group, and an ended instance's subnet may be gone; the rest is held above.
        Resource::RouteTable(_) | Resource::SecurityGroup(_) => true,
        Resource::Instance(instance) => instance.state == InstanceState::Terminated,
        other => NAMES_WHAT_MAY_BE_GONE.contains(&other.key().kind()),
    }
}

#[cfg(test)]
mod tests {
    use model::{Change, Ipv4Cidr, ResourceId, VpcId};

    use super::*;
    use crate::dice::Dice;
    use crate::noun;

    fn block(text: &str) -> Cidr {
        text.parse::<Ipv4Cidr>().unwrap().into()
    }

    /// A VPC with two subnets, and an interface in the first.
    fn world() -> (World, Vpc, [Subnet; 2], NetworkInterface) {
        let mut dice = Dice::new(1);
        let vpc = noun::vpc(&mut dice, "111111111111".parse().unwrap(), &[block("10.0.0.0/16")]);
        let zone = noun::zone("us-east-1".parse().unwrap()).unwrap();
        let mut subnet = |cidr: &str| noun::subnet(&mut dice, &vpc, zone, cidr.parse().unwrap(), None);
        let subnets = [subnet("10.0.0.0/24"), subnet("10.0.1.0/24")];
        let address = "10.0.0.5".parse().unwrap();
        let interface = noun::interface(&mut dice, &subnets[0], [address], [vpc.default_group]);
        let world = World::default().apply(&[
            Change::put(noun::route_table(vpc.main.route_table, &vpc)),
            Change::put(noun::group(vpc.default_group, &vpc)),
            Change::put(noun::open_acl(vpc.default_acl, &vpc)),
            Change::put(vpc.clone()),
            Change::put(subnets[0].clone()),
            Change::put(subnets[1].clone()),
            Change::put(interface.clone()),
        ]);
        (world, vpc, subnets, interface)
    }

    fn said(world: &World) -> String {
        check(world, &Config::new("us-east-1".parse().unwrap())).err().unwrap_or_default()
    }

    #[test]
    fn a_world_as_it_should_be_is_in_order() {
        assert_eq!(said(&world().0), "");
    }

    #[test]
    fn what_does_not_hold_is_said() {
        let (world, vpc, [first, second], interface) = world();
        let with = |change: Change| said(&world.apply(&[change]));
        let twin = Subnet { cidr: first.cidr, ..second.clone() };
        assert!(with(Change::put(twin)).contains("subnets overlap nowhere"));
        let outside = Subnet { cidr: "10.1.0.0/24".parse().unwrap(), ..second };
        assert!(with(Change::put(outside)).contains("a subnet is within its VPC"));
        assert!(with(Change::Delete(Vpc::key(vpc.id))).contains("a subnet is in a VPC"));
        assert!(with(Change::Delete(SecurityGroup::key(vpc.default_group))).contains("a VPC has its default group"));
        assert!(with(Change::Delete(Subnet::key(first.id))).contains("an interface is in a subnet"));
        let stray = NetworkInterface { vpc: VpcId::from_random(9), ..interface.clone() };
        assert!(with(Change::put(stray)).contains("what a record names is there"));
        let reserved = NetworkInterface { private_ips: vec!["10.0.0.1".parse().unwrap()], ..interface.clone() };
        assert!(with(Change::put(reserved)).contains("addresses are of its subnet"));
        let twin = NetworkInterface { id: ResourceId::from_random(9), ..interface };
        assert!(with(Change::put(twin)).contains("an address is one interface's"));
    }
}
