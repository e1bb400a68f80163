//! VPCs with their subnets, interfaces and instances.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use model::vpc::RouteTableAssociation;
use model::{
    Cidr, ElasticAddress, InstanceId, InstanceState, InternetGateway, Ipv4Cidr, Ipv6Cidr, NetworkAclId,
    PublicAssociation, Region, RouteTableId, SecurityGroupId, Subnet, Tags, Vpc, Zone,
};

use super::lists::tracking;
use super::{ACCOUNTS, Build};
use crate::noun::{self, START};

/// What a VPC's parts may hang on.
struct Parts {
    region: Region,
    tables: Vec<RouteTableId>,
    acls: Vec<NetworkAclId>,
    groups: Vec<SecurityGroupId>,
}

impl Build<'_> {
    pub(super) fn vpc(&mut self, region: Region) {
        let Ok(owner) = self.dice.one(ACCOUNTS).parse() else { return };
        let blocks = self.blocks();
        let vpc = noun::vpc(self.dice, owner, &blocks);
        let mut parts = Parts { region, tables: Vec::new(), acls: Vec::new(), groups: Vec::new() };
        let extra: Vec<RouteTableId> = (0..self.dice.below(3)).map(|_| self.dice.id()).collect();
        for id in [vpc.main.route_table].into_iter().chain(extra) {
            self.scene.put(region, noun::route_table(id, &vpc));
            parts.tables.push(id);
        }
        self.scene.put(region, noun::open_acl(vpc.default_acl, &vpc));
        parts.acls.push(vpc.default_acl);
        for _ in 0..self.dice.below(3) {
            self.acl(&mut parts, &vpc);
        }
        let extra: Vec<SecurityGroupId> = (0..self.dice.between(1, 3)).map(|_| self.dice.id()).collect();
        for id in [vpc.default_group].into_iter().chain(extra) {
            // Its rules may name groups that are not there yet.
            self.scene.put(region, noun::group(id, &vpc));
            parts.groups.push(id);
        }
        if self.dice.chance(75) {
            let id = self.dice.id();
            let attached = self.dice.chance(85).then_some(vpc.id);
            self.scene.put(
                region,
                InternetGateway { id, owner, vpc: attached, route_table: None, created: START, tags: Tags::new() },
            );
        }
        if self.dice.chance(25) {
            self.hold_public(&parts, &vpc);
        }
        for number in 0..self.dice.between(1, 3) {
            self.subnet(&parts, &vpc, number);
        }
        self.scene.put(region, vpc);
    }

    /// From a small pool, so that VPCs overlap now and then (spec 2.3: the secondary ones are allowed beside any primary one). Not in
    /// IPv6: its blocks are the cloud's to give, each once.
    fn blocks(&mut self) -> Vec<Cidr> {
        let primary = Ipv4Addr::new(10, self.dice.one([0, 1, 2, 3, 4, 5]), 0, 0);
        let mut v4 = vec![(primary, self.dice.one([16, 16, 20]))];
        if self.dice.chance(25) {
            v4.push((Ipv4Addr::new(100, 64, self.dice.one([0, 1, 2, 3, 4]), 0), 24));
        }
        let v6 = Ipv6Addr::new(0x2600, 0x1f00, 0, self.dice.one([1, 2, 3, 4, 5, 6]) << 8, 0, 0, 0, 0);
        let v6 = Ipv6Cidr::new(v6, 56).filter(|_| self.dice.chance(60)).filter(|block| !self.is_taken(*block));
        let v4 = v4.into_iter().filter_map(|(address, length)| Ipv4Cidr::new(address, length));
        v4.map(Cidr::V4).chain(v6.map(Cidr::V6)).collect()
    }

    fn is_taken(&self, block: Ipv6Cidr) -> bool {
        self.vpcs().iter().any(|(_, vpc)| vpc.ipv6_cidrs.iter().any(|its| its.cidr == block))
    }

    fn acl(&mut self, parts: &mut Parts, vpc: &Vpc) {
        let mut acl = noun::open_acl(self.dice.id(), vpc);
        if self.dice.chance(70) {
            (acl.ingress, acl.egress) = (self.acl_entries(), self.acl_entries());
        }
        parts.acls.push(acl.id);
        self.scene.put(parts.region, acl);
    }

    fn subnet(&mut self, parts: &Parts, vpc: &Vpc, number: usize) {
        let block = self.dice.pick(&vpc.cidrs).map_or(vpc.primary_cidr(), |block| block.cidr);
        // The same place in any block; one of the number's own, so that subnets never overlap.
        let (step, length) = if block.prefix_len() == 24 { (64, 26) } else { (256, self.dice.one([24, 28])) };
        let first = u32::from(block.network()) + step * u32::try_from(number).unwrap_or(0);
        let Some(cidr) = Ipv4Cidr::new(first.into(), length) else { return };
        let v6 = vpc.ipv6_cidrs.first().filter(|_| self.dice.chance(80)).map(|block| block.cidr);
        let v6 =
            v6.and_then(|block| Ipv6Cidr::new((u128::from(block.network()) + ((number as u128) << 64)).into(), 64));
        let zones: Vec<Zone> = Zone::all(parts.region).collect();
        let Some(zone) = self.dice.pick(&zones).copied() else { return };
        let mut subnet = noun::subnet(self.dice, vpc, zone, cidr, v6);
        let table = self.dice.pick(&parts.tables).copied().filter(|table| *table != vpc.main.route_table);
        subnet.route_table = table.map(|route_table| RouteTableAssociation { id: self.dice.id(), route_table });
        if let Some(acl) = self.dice.pick(&parts.acls) {
            subnet.network_acl.network_acl = *acl;
        }
        let mut last = None;
        for place in 0..self.dice.between(1, 3) {
            last = self.interface(parts, &subnet, place, last);
        }
        self.scene.put(parts.region, subnet);
    }

    /// An interface with an instance of its own, or a second one of the last instance, or of none. Returns the instance.
    fn interface(
        &mut self,
        parts: &Parts,
        subnet: &Subnet,
        place: usize,
        last: Option<InstanceId>,
    ) -> Option<InstanceId> {
        let primary = u32::try_from(4 + place).ok().and_then(|n| subnet.cidr.nth(n))?;
        let extra = u32::try_from(8 + 2 * place).ok()?;
        let more = (0..self.dice.below(3) as u32).filter_map(|n| subnet.cidr.nth(extra + n));
        let v6 = |n: usize| subnet.ipv6.and_then(|block| block.cidr.nth((0x10 + 4 * place + n) as u128));
        let v6: Vec<Ipv6Addr> = (0..self.dice.weighted(&[(1, 0), (6, 1), (3, 2)])).filter_map(v6).collect();
        let v4 = [primary].into_iter().chain(more);
        let addresses: Vec<IpAddr> = v4.map(IpAddr::V4).chain(v6.into_iter().map(IpAddr::V6)).collect();
        let count = self.dice.between(1, 3);
        let groups: Vec<SecurityGroupId> = (0..count).filter_map(|_| self.dice.pick(&parts.groups).copied()).collect();
        let mut interface = noun::interface(self.dice, subnet, addresses, groups);
        interface.source_dest_check = !self.dice.chance(25);
        interface.connection_tracking = tracking(self.dice);
        for private in interface.private_ips.clone() {
            if self.dice.chance(40)
                && let Some(public) = self.free_public()
                && interface.public.iter().all(|at| at.public != public)
            {
                interface.public.push(PublicAssociation { private, public, elastic: None });
            }
        }
        let (instance, device_index) = match self.dice.weighted(&[(84, 0), (10, 1), (6, 2)]) {
            1 if last.is_some() => (last, 1 + u32::try_from(place).unwrap_or(0)),
            2 => (None, 0),
            _ => (Some(self.instance(parts, subnet)), 0),
        };
        interface.attachment = instance.map(|instance| noun::attachment(self.dice, instance, device_index));
        self.scene.put(parts.region, interface);
        instance
    }

    /// A public address that nobody has.
    pub(super) fn free_public(&mut self) -> Option<Ipv4Addr> {
        let taken: Vec<Ipv4Addr> =
            self.interfaces().iter().flat_map(|(_, eni)| &eni.public).map(|at| at.public).collect();
        let held = self.scene.all::<ElasticAddress>();
        let first = self.dice.below(200);
        let all = (0..200).filter_map(|n| u8::try_from((first + n) % 200 + 1).ok());
        let mut free = all.map(|last| Ipv4Addr::new(203, 0, 113, last));
        free.find(|address| !taken.contains(address) && held.iter().all(|(_, held)| held.public != *address))
    }

    /// One that is held and mapped to nothing.
    fn hold_public(&mut self, parts: &Parts, vpc: &Vpc) {
        let (id, owner, allocated, tags) = (self.dice.id(), vpc.owner, START, Tags::new());
        if let Some(public) = self.free_public() {
            let address = ElasticAddress { id, owner, public, allocated, domain_name: None, tags };
            self.scene.put(parts.region, address);
        }
    }

    fn instance(&mut self, parts: &Parts, subnet: &Subnet) -> InstanceId {
        let state = self.dice.weighted(&[
            (86, InstanceState::Running),
            (4, InstanceState::Pending),
            (6, InstanceState::Stopped),
            (2, InstanceState::Stopping),
            (1, InstanceState::ShuttingDown),
            (1, InstanceState::Terminated),
        ]);
        let host = self.dice.pick(self.hosts).copied();
        let instance = noun::instance(self.dice, subnet, host, state);
        let id = instance.id;
        self.scene.put(parts.region, instance);
        id
    }
}
