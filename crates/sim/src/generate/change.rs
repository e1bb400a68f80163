//! What users do between packets.

use std::sync::Arc;

use model::{
    Direction, HostId, Instance, InstanceState, InternetGateway, Ipv4Cidr, NetworkAcl, NetworkInterface, Peering,
    PeeringStatus, PublicAssociation, Region, Route, RouteOrigin, RouteTable, RulePeer, SecurityGroup, Subnet, Vpc,
};

use super::Build;
use super::rules::protocol_and_ports;
use crate::dice::Dice;
use crate::noun;
use crate::scene::Scene;

/// One random change that the API would accept; it may come out as none. Regions hear of each other's changes mostly at once.
pub fn change(dice: &mut Dice, scene: &mut Scene, hosts: &[HostId]) {
    let mut build = Build { dice, scene: std::mem::take(scene), hosts };
    match build.dice.below(50) {
        0..4 => build.revoke_rule(),
        4..8 => build.authorize_rule(),
        8..11 => build.change_acl(),
        11..13 => build.change_edge(),
        13..16 => build.change_route(),
        16..18 => build.delete_route(),
        18..20 => build.end_peering(),
        20..23 => build.begin_peering(),
        23..26 => build.change_groups(),
        26..28 => build.change_address(),
        28..31 => build.change_instance(),
        31..33 => build.change_check(),
        33..35 => build.delete_group(),
        35..37 => build.change_blocks(),
        37..39 => build.change_attachment(),
        39..43 => build.change_list(),
        43..45 => build.change_tracking(),
        45..49 => build.change_public(),
        _ => build.change_gateway(),
    }
    *scene = build.scene;
    if dice.chance(65) {
        scene.deliver();
    }
}

impl Build<'_> {
    /// One of everything of a kind.
    fn any<E: model::Entity + 'static>(&mut self) -> Option<(Region, Arc<E>)> {
        let all = self.scene.all::<E>();
        self.dice.pick(&all).cloned()
    }

    fn revoke_rule(&mut self) {
        let Some((region, group)) = self.any::<SecurityGroup>() else { return };
        let rules: Vec<_> = group.rules.keys().copied().collect();
        let Some(rule) = self.dice.pick(&rules).copied() else { return };
        self.scene.update::<SecurityGroup>(region, &group.id, |group| drop(group.rules.remove(&rule)));
    }

    fn authorize_rule(&mut self) {
        let Some((region, group)) = self.any::<SecurityGroup>() else { return };
        let mut group = SecurityGroup::clone(&group);
        let direction = if self.dice.chance(60) { Direction::Ingress } else { Direction::Egress };
        let (ports, peer) = (protocol_and_ports(self.dice), self.rule_peer(region, &group));
        noun::add_rule(self.dice, &mut group, direction, ports, peer);
        self.scene.put(region, group);
    }

    fn change_acl(&mut self) {
        let Some((region, acl)) = self.any::<NetworkAcl>() else { return };
        let direction = if self.dice.chance(50) { Direction::Ingress } else { Direction::Egress };
        let numbers: Vec<u16> = acl.entries(direction).keys().copied().collect();
        let entry = self.dice.chance(50).then(|| self.acl_entry());
        let number = u16::try_from(self.dice.between(1, 31_999)).unwrap_or(1);
        let gone = self.dice.pick(&numbers).copied().filter(|number| *number < 32_000);
        self.scene.update::<NetworkAcl>(region, &acl.id, |acl| {
            let entries = acl.entries_mut(direction);
            match entry {
                Some(entry) => drop(entries.insert(number, entry)),
                None => drop(gone.map(|number| entries.remove(&number))),
            }
        });
    }

    /// Another ACL or route table for a subnet.
    fn change_edge(&mut self) {
        let Some((region, subnet)) = self.any::<Subnet>() else { return };
        let world = &self.scene.worlds[&region];
        let acls: Vec<_> = world.all::<NetworkAcl>().filter(|acl| acl.vpc == subnet.vpc).map(|acl| acl.id).collect();
        let tables: Vec<_> = world.all::<RouteTable>().filter(|t| t.vpc == subnet.vpc).map(|t| t.id).collect();
        let (acl, table) = (self.dice.pick(&acls).copied(), self.dice.pick(&tables).copied());
        let (id, is_acl) = (self.dice.id(), self.dice.chance(50));
        let main = self.dice.chance(30);
        self.scene.update::<Subnet>(region, &subnet.id, |subnet| match (acl, table) {
            (Some(acl), _) if is_acl => subnet.network_acl.network_acl = acl,
            (_, Some(route_table)) => {
                let explicit = model::vpc::RouteTableAssociation { id, route_table };
                subnet.route_table = (!main).then_some(explicit);
            }
            _ => {}
        });
    }

    fn change_route(&mut self) {
        if let Some((region, table)) = self.any::<RouteTable>() {
            self.odd_route(region, &table);
        }
    }

    fn delete_route(&mut self) {
        let Some((region, table)) = self.any::<RouteTable>() else { return };
        let routes: Vec<Route> =
            table.routes.iter().copied().filter(|route| route.origin == RouteOrigin::CreateRoute).collect();
        let Some(route) = self.dice.pick(&routes).copied() else { return };
        self.scene.update::<RouteTable>(region, &table.id, |table| table.routes.retain(|other| *other != route));
    }

    /// In this region; another hears of it with the next delivery.
    fn end_peering(&mut self) {
        let Some((region, pcx)) = self.any::<Peering>() else { return };
        if pcx.status == PeeringStatus::Active {
            let is_told = !pcx.is_inter_region();
            let status = if is_told { PeeringStatus::Deleted } else { PeeringStatus::Deleting };
            self.scene.update::<Peering>(region, &pcx.id, |pcx| pcx.status = status);
        }
    }

    /// What waits becomes active, or two VPCs that have no peering get one, with routes to it.
    fn begin_peering(&mut self) {
        let Some((_, pcx)) = self.any::<Peering>() else { return };
        let waits = [PeeringStatus::PendingAcceptance, PeeringStatus::Provisioning, PeeringStatus::InitiatingRequest];
        let regions = [pcx.requester.region, pcx.accepter.region];
        let all = self.scene.all::<Peering>();
        // One that ends in one region only stands in the way until both have heard.
        let ends = |status: PeeringStatus| status.is_live() || status == PeeringStatus::Deleting;
        let is_other = |other: &Peering| {
            other.id != pcx.id && ends(other.status) && other.is_between(pcx.requester.vpc, pcx.accepter.vpc)
        };
        if all.iter().any(|(_, other)| is_other(other)) {
            return;
        }
        if waits.contains(&pcx.status) && !pcx.requester.overlaps(&pcx.accepter) {
            for region in regions {
                self.scene.update::<Peering>(region, &pcx.id, |pcx| pcx.status = PeeringStatus::Active);
            }
            self.scene.deliver();
        } else if pcx.status == PeeringStatus::Deleted && !self.ends_somewhere(&pcx) {
            let vpcs = self.vpcs();
            let find = |id| vpcs.iter().find(|(_, vpc)| vpc.id == id);
            let (Some(a), Some(b)) = (find(pcx.requester.vpc), find(pcx.accepter.vpc)) else { return };
            self.peer(a, b, PeeringStatus::Active);
            self.scene.deliver();
            // Routes stay with the old peering until they are replaced (spec 4.6).
            for (region, table) in self.scene.all::<RouteTable>() {
                if self.dice.chance(50) && [a.1.id, b.1.id].contains(&table.vpc) {
                    self.replace_routes(region, &table, &pcx);
                }
            }
        }
    }

    fn ends_somewhere(&self, pcx: &Peering) -> bool {
        let records = self.scene.all::<Peering>();
        records.iter().any(|(_, record)| record.id == pcx.id && record.status != PeeringStatus::Deleted)
    }

    fn replace_routes(&mut self, region: Region, table: &RouteTable, old: &Peering) {
        let active = self.scene.worlds[&region]
            .all::<Peering>()
            .find(|pcx| pcx.status == PeeringStatus::Active && pcx.is_between(old.requester.vpc, old.accepter.vpc));
        let Some(new) = active.map(|pcx| pcx.id) else { return };
        self.scene.update::<RouteTable>(region, &table.id, |table| {
            for route in &mut table.routes {
                if route.target == model::RouteTarget::Peering(old.id) {
                    route.target = model::RouteTarget::Peering(new);
                }
            }
        });
    }

    fn change_groups(&mut self) {
        let Some((region, interface)) = self.any::<NetworkInterface>() else { return };
        let groups = self.scene.worlds[&region].all::<SecurityGroup>().filter(|group| group.vpc == interface.vpc);
        let groups: Vec<_> = groups.map(|group| group.id).collect();
        let some = (0..self.dice.between(1, 3)).filter_map(|_| self.dice.pick(&groups).copied()).collect();
        self.scene.update::<NetworkInterface>(region, &interface.id, |interface| interface.groups = some);
    }

    /// A secondary address comes, goes, or moves to another interface of the subnet.
    fn change_address(&mut self) {
        let Some((region, interface)) = self.any::<NetworkInterface>() else { return };
        let Some(subnet) = self.scene.find::<Subnet>(&interface.subnet).map(|(_, subnet)| subnet.clone()) else {
            return;
        };
        let Some(address) = u32::try_from(self.dice.between(7, 13)).ok().and_then(|n| subnet.cidr.nth(n)) else {
            return;
        };
        let others: Vec<_> =
            self.interfaces().into_iter().filter(|(_, other)| other.subnet == interface.subnet).collect();
        if others.iter().any(|(_, other)| other.primary_ip() == address) {
            return;
        }
        let is_gone = self.dice.chance(30);
        for (_, other) in others {
            if other.private_ips.contains(&address) {
                self.scene.update::<NetworkInterface>(region, &other.id, |other| {
                    other.private_ips.retain(|own| *own != address);
                    other.public.retain(|at| at.private != address);
                });
            }
        }
        if !is_gone {
            self.scene.update::<NetworkInterface>(region, &interface.id, |eni| eni.private_ips.push(address));
        }
    }

    fn change_instance(&mut self) {
        let Some((region, instance)) = self.any::<Instance>() else { return };
        let state = self.dice.weighted(&[
            (70, InstanceState::Running),
            (5, InstanceState::Pending),
            (15, InstanceState::Stopped),
            (10, InstanceState::Stopping),
        ]);
        if instance.state != InstanceState::Terminated {
            self.scene.update::<Instance>(region, &instance.id, |instance| instance.state = state);
        }
    }

    fn change_check(&mut self) {
        if let Some((region, eni)) = self.any::<NetworkInterface>() {
            self.scene.update::<NetworkInterface>(region, &eni.id, |eni| {
                eni.source_dest_check = !eni.source_dest_check;
            });
        }
    }

    /// What nobody bears and no rule of its own VPC names may go, and makes rules of peers stale (spec 6.6).
    fn delete_group(&mut self) {
        let Some((region, group)) = self.any::<SecurityGroup>() else { return };
        let is_borne = self.interfaces().iter().any(|(_, eni)| eni.groups.contains(&group.id));
        let names = |other: &SecurityGroup| {
            let is = |peer: &RulePeer| matches!(peer, RulePeer::Group { group: named, .. } if *named == group.id);
            other.vpc == group.vpc && other.id != group.id && other.rules.values().any(|rule| is(&rule.peer))
        };
        let is_named = self.scene.all::<SecurityGroup>().iter().any(|(_, other)| names(other));
        if !is_borne && !is_named && !group.is_default() {
            self.scene.delete::<SecurityGroup>(region, group.id);
        }
    }

    /// A secondary block comes, or goes if no subnet is in it (spec 2.3, 5.4.5).
    fn change_blocks(&mut self) {
        let Some((region, vpc)) = self.any::<Vpc>() else { return };
        let block = Ipv4Cidr::new([100, 64, self.dice.one([0, 1, 2, 3, 4]), 0].into(), 24);
        let Some(block) = block.filter(|block| vpc.cidrs.iter().all(|own| !own.cidr.overlaps(block))) else {
            return self.remove_block(region, &vpc);
        };
        let vpcs = self.vpcs();
        let is_peer = |other: &Vpc| {
            let records = self.scene.all::<Peering>();
            let between = |pcx: &Peering| pcx.is_between(vpc.id, other.id) && pcx.status != PeeringStatus::Failed;
            records.iter().any(|(_, pcx)| between(pcx))
        };
        if vpcs.iter().any(|(_, other)| is_peer(other) && other.blocks().any(|own| own.overlaps(&block.into()))) {
            return;
        }
        let id = self.dice.id();
        let association = model::vpc::CidrAssociation { id, cidr: block };
        let tables: Vec<_> = self.scene.worlds[&region].all::<RouteTable>().cloned().collect();
        let tables: Vec<_> = tables.into_iter().filter(|table| table.vpc == vpc.id).collect();
        // "MUST NOT be equal to, or contain, the destination of an existing route" (2.3.4).
        let is_taken = |route: &Route| match route.destination {
            model::Destination::Cidr(destination) => model::Cidr::from(block).contains_all(&destination),
            model::Destination::PrefixList(_) => false,
        };
        if tables.iter().any(|table| table.routes.iter().any(is_taken)) {
            return;
        }
        self.scene.update::<Vpc>(region, &vpc.id, |vpc| vpc.cidrs.push(association));
        for table in tables {
            self.scene.update::<RouteTable>(region, &table.id, |table| table.routes.push(Route::local(block.into())));
        }
        self.tell_blocks(region, &vpc);
    }

    fn remove_block(&mut self, region: Region, vpc: &Vpc) {
        let subnets = self.scene.all::<Subnet>();
        let used = |block: &Ipv4Cidr| {
            subnets.iter().any(|(_, subnet)| subnet.vpc == vpc.id && block.contains_all(&subnet.cidr))
        };
        let Some(block) = vpc.cidrs.iter().skip(1).map(|own| own.cidr).find(|block| !used(block)) else { return };
        self.scene.update::<Vpc>(region, &vpc.id, |vpc| vpc.cidrs.retain(|own| own.cidr != block));
        let tables: Vec<_> = self.scene.worlds[&region].all::<RouteTable>().cloned().collect();
        for table in tables.iter().filter(|table| table.vpc == vpc.id) {
            let is_of_block = |route: &Route| match route.destination {
                model::Destination::Cidr(destination) => model::Cidr::from(block).contains_all(&destination),
                model::Destination::PrefixList(_) => false,
            };
            self.scene.update::<RouteTable>(region, &table.id, |table| table.routes.retain(|r| !is_of_block(r)));
        }
        self.tell_blocks(region, vpc);
    }

    /// A World's own peerings name the new blocks at once; the other region hears of them later.
    fn tell_blocks(&mut self, region: Region, vpc: &Vpc) {
        let Some(now) = self.scene.worlds[&region].find::<Vpc>(&vpc.id).cloned() else { return };
        let pcxs: Vec<_> = self.scene.worlds[&region].all::<Peering>().map(|pcx| pcx.id).collect();
        for id in pcxs {
            self.scene.update::<Peering>(region, &id, |pcx| {
                for side in [&mut pcx.requester, &mut pcx.accepter] {
                    if side.vpc == now.id {
                        side.follow(&now);
                    }
                }
            });
        }
    }

    /// A secondary interface is detached, a detached one deleted or attached again.
    fn change_attachment(&mut self) {
        let Some((region, interface)) = self.any::<NetworkInterface>() else { return };
        match &interface.attachment {
            Some(attachment) if attachment.device_index > 0 => {
                self.scene.update::<NetworkInterface>(region, &interface.id, |eni| eni.attachment = None);
            }
            Some(_) => {}
            None if self.dice.chance(30) => self.scene.delete::<NetworkInterface>(region, interface.id),
            None => {
                let world = &self.scene.worlds[&region];
                let near: Vec<_> = world.all::<Instance>().filter(|i| i.zone == interface.zone).cloned().collect();
                let near: Vec<_> = near.into_iter().filter(|i| i.state != InstanceState::Terminated).collect();
                let Some(instance) = self.dice.pick(&near).map(|instance| instance.id) else { return };
                let attachment = noun::attachment(self.dice, instance, 7);
                self.scene.update::<NetworkInterface>(region, &interface.id, |eni| eni.attachment = Some(attachment));
            }
        }
    }

    /// A public address comes, goes, or moves to another interface.
    fn change_public(&mut self) {
        let Some((region, interface)) = self.any::<NetworkInterface>() else { return };
        let Some(private) = self.dice.pick(&interface.private_ips).copied() else { return };
        let gone = interface.public.iter().find(|at| at.private == private).map(|at| at.public);
        if gone.is_some() {
            self.scene
                .update::<NetworkInterface>(region, &interface.id, |eni| eni.public.retain(|at| at.private != private));
        }
        let (to, public) = match gone {
            Some(_) if self.dice.chance(50) => return,
            Some(public) => (self.any::<NetworkInterface>(), Some(public)),
            None => (Some((region, interface)), self.free_public()),
        };
        let (Some((region, to)), Some(public)) = (to, public) else { return };
        let Some(private) = to.private_ips.iter().copied().find(|own| to.public.iter().all(|at| at.private != *own))
        else {
            return;
        };
        self.scene.update::<NetworkInterface>(region, &to.id, |eni| {
            eni.public.push(PublicAssociation { private, public, elastic: None });
        });
    }

    fn change_gateway(&mut self) {
        let Some((region, gateway)) = self.any::<InternetGateway>() else { return };
        let vpcs: Vec<_> = self.scene.worlds[&region].all::<Vpc>().map(|vpc| vpc.id).collect();
        let vpc = self.dice.pick(&vpcs).copied();
        let at = if gateway.vpc.is_some() { None } else { vpc };
        self.scene.update::<InternetGateway>(region, &gateway.id, |gateway| gateway.vpc = at);
    }
}
