//! Peerings in every state, and the routes that lead over them and elsewhere.

use std::net::{Ipv4Addr, Ipv6Addr};

use model::{
    Cidr, Destination, InternetGateway, Ipv4Cidr, Ipv6Cidr, NetworkInterface, Peering, PeeringSide, PeeringStatus,
    Region, Route, RouteOrigin, RouteTable, RouteTarget, Subnet, Vpc, VpcId,
};

use super::Build;
use crate::noun;

/// States in which a peering passes nothing, and that do not stand in another one's way.
const ENDED: [PeeringStatus; 4] =
    [PeeringStatus::Failed, PeeringStatus::Expired, PeeringStatus::Rejected, PeeringStatus::Deleted];

impl Build<'_> {
    pub(super) fn peerings(&mut self) {
        let vpcs = self.vpcs();
        for (n, a) in vpcs.iter().enumerate() {
            for b in &vpcs[n + 1..] {
                if self.dice.chance(25) {
                    let status = self.dice.one(ENDED);
                    self.peer(a, b, status);
                }
                if self.dice.chance(80) {
                    let status = self.dice.weighted(&[
                        (80, PeeringStatus::Active),
                        (6, PeeringStatus::PendingAcceptance),
                        (4, PeeringStatus::InitiatingRequest),
                        (4, PeeringStatus::Provisioning),
                        (3, PeeringStatus::Deleting),
                        (3, PeeringStatus::Deleted),
                    ]);
                    self.peer(a, b, status);
                }
            }
        }
    }

    /// A record in each region that the two VPCs are in. Overlapping ones only fail (spec 5.4).
    pub(super) fn peer(
        &mut self,
        a: &(Region, std::sync::Arc<Vpc>),
        b: &(Region, std::sync::Arc<Vpc>),
        status: PeeringStatus,
    ) {
        let (side_a, side_b) = (PeeringSide::of(&a.1, a.0), PeeringSide::of(&b.1, b.0));
        let (requester, accepter) = if self.dice.chance(50) { (side_a, side_b) } else { (side_b, side_a) };
        let status = if requester.overlaps(&accepter) { PeeringStatus::Failed } else { status };
        let peering = noun::peering(self.dice, requester, accepter, status);
        self.scene.put(a.0, peering.clone());
        if a.0 != b.0 {
            self.scene.put(b.0, peering);
        }
    }

    pub(super) fn fill_routes(&mut self) {
        for (region, table) in self.scene.all::<RouteTable>() {
            let pcxs: Vec<_> = self.scene.worlds[&region].all::<Peering>().cloned().collect();
            for pcx in pcxs.iter().filter(|pcx| pcx.side_of(table.vpc).is_some()) {
                let Some(peer) = pcx.side_of(table.vpc).map(|own| pcx.side(own.other())) else { continue };
                for block in peer.blocks() {
                    if self.dice.chance(85) {
                        self.route(region, &table, block, RouteTarget::Peering(pcx.id));
                    }
                }
            }
            let world = &self.scene.worlds[&region];
            let gateway = world.all::<InternetGateway>().find(|igw| igw.vpc == Some(table.vpc)).map(|igw| igw.id);
            for all in [Cidr::V4(Ipv4Cidr::ALL), Cidr::V6(Ipv6Cidr::ALL)] {
                if let Some(gateway) = gateway
                    && self.dice.chance(70)
                {
                    self.route(region, &table, all, RouteTarget::InternetGateway(gateway));
                }
            }
            for _ in 0..self.dice.below(4) {
                self.odd_route(region, &table);
            }
        }
    }

    /// Any other route that the API accepts.
    pub(super) fn odd_route(&mut self, region: Region, table: &RouteTable) {
        let Some(target) = self.target(region, table.vpc) else { return };
        if self.dice.chance(25) {
            return self.list_route(region, table, target);
        }
        let wide = Ipv4Cidr::new(Ipv4Addr::new(10, 0, 0, 0), 8).map_or(Cidr::V4(Ipv4Cidr::ALL), Cidr::V4);
        let far = Ipv4Cidr::new(Ipv4Addr::new(203, 0, 113, 0), 24).map_or(wide, Cidr::V4);
        let far_v6 = Ipv6Cidr::new(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32).map_or(wide, Cidr::V6);
        let peers = self.foreign_blocks(table.vpc);
        let own: Vec<Cidr> = self
            .scene
            .all::<Subnet>()
            .iter()
            .filter(|(_, subnet)| subnet.vpc == table.vpc)
            .flat_map(|(_, subnet)| [Some(subnet.cidr.into()), subnet.ipv6.map(|v6| v6.cidr.into())])
            .flatten()
            .collect();
        let destination = match self.dice.below(12) {
            0..2 => Cidr::V4(Ipv4Cidr::ALL),
            2 => Cidr::V6(Ipv6Cidr::ALL),
            3 => wide,
            4 => far,
            5 => far_v6,
            6..10 => self.dice.pick(&peers).copied().unwrap_or(wide),
            _ => self.dice.pick(&own).copied().unwrap_or(wide),
        };
        self.route(region, table, destination, target);
    }

    /// Blocks of other VPCs, of their subnets, and addresses there.
    fn foreign_blocks(&mut self, vpc: VpcId) -> Vec<Cidr> {
        let vpcs = self.vpcs();
        let mut blocks: Vec<Cidr> =
            vpcs.iter().filter(|(_, v)| v.id != vpc).flat_map(|(_, v)| v.blocks().collect::<Vec<_>>()).collect();
        let subnets = self.scene.all::<Subnet>();
        blocks.extend(subnets.iter().filter(|(_, s)| s.vpc != vpc).map(|(_, s)| Cidr::V4(s.cidr)));
        let foreign = self.interfaces().into_iter().filter(|(_, i)| i.vpc != vpc);
        blocks.extend(foreign.flat_map(|(_, i)| i.addresses().map(Cidr::host).collect::<Vec<_>>()));
        blocks
    }

    fn target(&mut self, region: Region, vpc: VpcId) -> Option<RouteTarget> {
        let world = &self.scene.worlds[&region];
        let pcxs: Vec<_> = world.all::<Peering>().filter(|pcx| pcx.side_of(vpc).is_some()).map(|pcx| pcx.id).collect();
        let enis: Vec<_> = world.all::<NetworkInterface>().filter(|eni| eni.vpc == vpc).map(|eni| eni.id).collect();
        // Attached here, or to nothing any more.
        let igws: Vec<_> =
            world.all::<InternetGateway>().filter(|igw| igw.vpc.is_none_or(|at| at == vpc)).map(|igw| igw.id).collect();
        match self.dice.below(20) {
            0..8 => self.dice.pick(&pcxs).copied().map(RouteTarget::Peering),
            8..15 => self.dice.pick(&enis).copied().map(RouteTarget::NetworkInterface),
            15..18 => self.dice.pick(&igws).copied().map(RouteTarget::InternetGateway),
            18 => Some(RouteTarget::NatGateway(self.dice.id())),
            _ => Some(RouteTarget::TransitGateway(self.dice.id())),
        }
    }

    /// Adds a route, or replaces the one of that destination. What the API refuses is left out (spec 4.3, 4.4): inside the VPC only a
    /// local route, or a route for a whole subnet, may lead elsewhere, and only to an interface.
    pub(super) fn route(&mut self, region: Region, table: &RouteTable, destination: Cidr, target: RouteTarget) {
        let Some(vpc) = self.scene.worlds[&region].find::<Vpc>(&table.vpc).cloned() else { return };
        let is_inside = vpc.blocks().any(|block| block.contains_all(&destination));
        let is_whole = vpc.blocks().any(|block| block == destination)
            || self.scene.all::<Subnet>().iter().any(|(_, subnet)| {
                subnet.vpc == vpc.id
                    && (destination == subnet.cidr.into()
                        || subnet.ipv6.is_some_and(|v6| destination == v6.cidr.into()))
            });
        if is_inside && !(is_whole && matches!(target, RouteTarget::NetworkInterface(_))) {
            return;
        }
        let destination = Destination::Cidr(destination);
        self.scene.update::<RouteTable>(region, &table.id, |table| {
            match table.routes.iter_mut().find(|route| route.destination == destination) {
                Some(route) => route.target = target,
                None => table.routes.push(Route { destination, target, origin: RouteOrigin::CreateRoute }),
            }
        });
    }
}
