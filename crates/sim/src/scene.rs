//! The Worlds of a run, and what their regions tell each other.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use control::plan;
use model::federation::{Member, Mirror};
use model::intent::VpcSlice;
use model::world::Entity;
use model::{
    Change, HostId, Instance, NetworkAcl, NetworkInterface, NetworkInterfaceId, Peering, PeeringStatus, PrefixList,
    Region, RouteTable, SecurityGroup, Subnet, Vpc, VpcId, World,
};
use policy::Internet;

/// Some regions of one cloud.
#[derive(Clone, Debug, Default)]
pub struct Scene {
    pub worlds: BTreeMap<Region, World>,
}

impl Scene {
    pub fn put<E: Entity>(&mut self, region: Region, value: E) {
        self.change(region, &Change::put(value));
    }

    pub fn delete<E: Entity>(&mut self, region: Region, id: E::Id) {
        self.change(region, &Change::Delete(E::key(id)));
    }

    fn change(&mut self, region: Region, change: &Change) {
        let world = self.worlds.entry(region).or_default();
        let revision = world.revision + 1;
        *world = world.apply([change]);
        world.revision = revision;
    }

    /// Replaces a value by a changed copy, if it is there.
    pub fn update<E: Entity>(&mut self, region: Region, id: &E::Id, change: impl FnOnce(&mut E)) {
        if let Some(value) = self.worlds.get(&region).and_then(|world| world.find::<E>(id)) {
            let mut value = E::clone(value);
            change(&mut value);
            self.put(region, value);
        }
    }

    /// Everything of a kind, region by region, in order of id.
    pub fn all<E: Entity + 'static>(&self) -> Vec<(Region, Arc<E>)> {
        self.worlds.iter().flat_map(|(region, world)| world.all::<E>().map(|value| (*region, value.clone()))).collect()
    }

    /// The first region's value of that id.
    pub fn find<E: Entity>(&self, id: &E::Id) -> Option<(Region, &Arc<E>)> {
        self.worlds.iter().find_map(|(region, world)| Some((*region, world.find::<E>(id)?)))
    }

    /// Every VPC's slice, as its own region sees it.
    pub fn slices(&self) -> Vec<VpcSlice> {
        let of_world = |(region, world): (&Region, &World)| {
            let slices = world.all::<Vpc>().filter_map(|vpc| plan::vpc_slice(*region, world, vpc.id));
            slices.collect::<Vec<_>>()
        };
        self.worlds.iter().flat_map(of_world).collect()
    }

    /// What can be reached through Internet gateways.
    pub fn internet(&self) -> Internet {
        Internet::new(&plan::public_places(&self.worlds), &plan::public_ipv6(&self.worlds))
    }

    /// Delivers what regions have to say to each other: a deletion wins, each side names its own blocks and members (spec 5.6.5,
    /// architecture ch. 6). Until then each acts on what it last heard.
    pub fn deliver(&mut self) {
        for (region, record) in self.all::<Peering>() {
            if record.requester.region == record.accepter.region {
                continue;
            }
            let mut told = Peering::clone(&record);
            let others = [told.requester.region, told.accepter.region];
            let Some(there) = others.into_iter().find(|other| *other != region) else { continue };
            let theirs = self.worlds.get(&there).and_then(|world| world.find::<Peering>(&told.id)).cloned();
            let Some(theirs) = theirs else { continue };
            let ended = |status| matches!(status, PeeringStatus::Deleting | PeeringStatus::Deleted);
            if ended(told.status) || ended(theirs.status) {
                told.status = PeeringStatus::Deleted;
            }
            for side in [&mut told.requester, &mut told.accepter] {
                if let Some((_, vpc)) = self.find::<Vpc>(&side.vpc) {
                    side.follow(vpc);
                }
            }
            for side in [told.requester.clone(), told.accepter.clone()] {
                if side.region != region && told.status == PeeringStatus::Active {
                    let mirror = self.mirror(side.region, side.vpc);
                    self.put(region, mirror);
                }
            }
            if told != *record {
                self.put(region, told);
            }
        }
    }

    fn mirror(&self, region: Region, vpc: VpcId) -> Mirror {
        let world = self.worlds.get(&region).cloned().unwrap_or_default();
        let members = world.all::<NetworkInterface>().filter(|interface| interface.vpc == vpc);
        let member = |interface: &Arc<NetworkInterface>| Member {
            interface: interface.id,
            addresses: interface.addresses().collect(),
            groups: Default::default(),
            host: host(&world, interface),
            resource_name: None,
        };
        Mirror { vpc, region, revision: world.revision, members: members.map(member).collect() }
    }

    /// What of the configuration has a say about packets of this interface.
    pub fn excerpt(&self, of: NetworkInterfaceId) -> String {
        let mut text = String::new();
        let Some((region, interface)) = self.find::<NetworkInterface>(&of) else {
            return format!("{of} is not there\n");
        };
        let world = &self.worlds[&region];
        let mut say = |title: &str, value: &dyn std::fmt::Debug| {
            // A String takes whatever is written.
            let _: std::fmt::Result = writeln!(text, "{title}: {value:?}");
        };
        say("interface", interface);
        let instance = interface.attachment.as_ref().and_then(|at| world.find::<Instance>(&at.instance));
        say("instance", &instance.map(|instance| instance.state));
        let vpc = world.find::<Vpc>(&interface.vpc);
        let blocks: Vec<_> = vpc.iter().flat_map(|vpc| vpc.blocks()).collect();
        say("vpc blocks", &blocks);
        if let Some(subnet) = world.find::<Subnet>(&interface.subnet) {
            say("subnet", &(subnet.cidr, subnet.ipv6));
            say("acl", &world.find::<NetworkAcl>(&subnet.network_acl.network_acl));
            let table = subnet.route_table.or(vpc.map(|vpc| vpc.main));
            say("routes", &table.and_then(|table| world.find::<RouteTable>(&table.route_table)).map(|t| &t.routes));
        }
        for group in interface.groups.iter().filter_map(|id| world.find::<SecurityGroup>(id)) {
            for rule in group.rules.values() {
                say("rule", &(group.id, rule.direction, rule.protocol, rule.ports, &rule.peer));
            }
        }
        for list in world.all::<PrefixList>() {
            say("list", &(list.id, list.entries.keys()));
        }
        for peering in world.all::<Peering>() {
            if [peering.requester.vpc, peering.accepter.vpc].contains(&interface.vpc) {
                let sides = [&peering.requester, &peering.accepter].map(|side| (side.vpc, side.region, &side.cidrs));
                say("peering", &(peering.id, peering.status, sides));
            }
        }
        text
    }
}

/// The host of the instance that an interface is attached to.
fn host(world: &World, interface: &NetworkInterface) -> Option<HostId> {
    world.find::<Instance>(&interface.attachment.as_ref()?.instance)?.host
}
