//! Route tables (spec ch. 4). Local routes and a route's state are computed, never stored: see [`RouteTable::all_routes`],
//! `policy` and `control`.

use alloc::vec::Vec;
use core::fmt;
use serde::{Deserialize, Serialize};

use crate::{
    AccountId, Cidr, EgressOnlyInternetGatewayId, InternetGatewayId, NatGatewayId, NetworkInterfaceId, PeeringId,
    PrefixListId, RouteTableId, Tags, TransitGatewayId, Vpc, VpcId,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Destination {
    Cidr(Cidr),
    PrefixList(PrefixListId),
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Destination::Cidr(cidr) => cidr.fmt(f),
            Destination::PrefixList(id) => id.fmt(f),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum RouteTarget {
    /// Deliver inside the VPC.
    Local,
    Peering(PeeringId),
    NetworkInterface(NetworkInterfaceId),
    InternetGateway(InternetGatewayId),
    NatGateway(NatGatewayId),
    EgressOnlyInternetGateway(EgressOnlyInternetGatewayId),
    TransitGateway(TransitGatewayId),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RouteOrigin {
    /// Came with the table: a local route, whatever its target is now.
    CreateRouteTable,
    CreateRoute,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    pub destination: Destination,
    pub target: RouteTarget,
    pub origin: RouteOrigin,
}

impl Route {
    /// The route that every table has for each block of its VPC, unless its target was replaced.
    pub fn local(cidr: Cidr) -> Route {
        Route {
            destination: Destination::Cidr(cidr),
            target: RouteTarget::Local,
            origin: RouteOrigin::CreateRouteTable,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteTable {
    pub id: RouteTableId,
    pub vpc: VpcId,
    pub owner: AccountId,
    /// In a World: the routes that users made, and the local ones whose target they replaced; destinations are distinct. Local
    /// routes as they come are not among them, for they follow from the VPC's blocks; older records hold them, and there they
    /// count for nothing. In a host's intent: [all routes](RouteTable::all_routes).
    pub routes: Vec<Route>,
    pub tags: Tags,
}

impl RouteTable {
    /// Every route of the table as one of this VPC, its own: a local one for each block (spec 4.3.1), IPv4 first, then those
    /// that users made.
    pub fn all_routes(&self, vpc: &Vpc) -> impl Iterator<Item = Route> {
        let replaced = |local: &Route| {
            let mut routes = self.routes.iter();
            routes.find(|route| (route.destination, route.origin) == (local.destination, local.origin)).copied()
        };
        let local = vpc.blocks().map(Route::local).map(move |local| replaced(&local).unwrap_or(local));
        local.chain(self.routes.iter().filter(|route| route.origin == RouteOrigin::CreateRoute).copied())
    }

    /// The one of [all routes](RouteTable::all_routes) that has exactly this destination.
    pub fn route(&self, vpc: &Vpc, destination: Destination) -> Option<Route> {
        self.all_routes(vpc).find(|route| route.destination == destination)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vpc::{CidrAssociation, RouteTableAssociation};
    use crate::{ResourceId, VpcCidrAssociationId};

    fn vpc(blocks: &[&str]) -> Vpc {
        let association = |block: &&str| (VpcCidrAssociationId::from_random(1), block.parse::<Cidr>().unwrap());
        let (mut cidrs, mut ipv6_cidrs) = (Vec::new(), Vec::new());
        for (id, block) in blocks.iter().map(association) {
            match block {
                Cidr::V4(cidr) => cidrs.push(CidrAssociation { id, cidr }),
                Cidr::V6(cidr) => ipv6_cidrs.push(CidrAssociation { id, cidr }),
            }
        }
        Vpc {
            id: VpcId::from_random(1),
            owner: "111111111111".parse().unwrap(),
            cidrs,
            ipv6_cidrs,
            main: RouteTableAssociation { id: ResourceId::from_random(1), route_table: ResourceId::from_random(1) },
            default_group: ResourceId::from_random(1),
            default_acl: ResourceId::from_random(1),
            dhcp_options: None,
            is_default: false,
            instance_tenancy: "default".into(),
            enable_dns_support: true,
            enable_dns_hostnames: false,
            enable_network_address_usage_metrics: false,
            tags: Tags::new(),
        }
    }

    fn table(vpc: &Vpc, routes: Vec<Route>) -> RouteTable {
        RouteTable { id: RouteTableId::from_random(1), vpc: vpc.id, owner: vpc.owner, routes, tags: Tags::new() }
    }

    fn all(table: &RouteTable, vpc: &Vpc) -> Vec<Route> {
        table.all_routes(vpc).collect()
    }

    #[test]
    fn local_routes_follow_the_blocks_whatever_a_record_holds() {
        let local = |block: &str| Route::local(block.parse().unwrap());
        let own = vpc(&["10.0.0.0/16", "2001:db8::/56", "10.2.0.0/16"]);
        let locals = ["10.0.0.0/16", "10.2.0.0/16", "2001:db8::/56"].map(local);
        let target = RouteTarget::NetworkInterface(NetworkInterfaceId::from_random(1));
        let made = Route { target, origin: RouteOrigin::CreateRoute, ..local("0.0.0.0/0") };
        let replaced = Route { target, ..locals[1] };

        assert_eq!(all(&table(&own, Vec::new()), &own), locals);
        // As records were written before: some locals stored, one of a block that is gone among them.
        let old = table(&own, Vec::from([local("10.9.0.0/16"), locals[0], made]));
        assert_eq!(all(&old, &own), [locals[0], locals[1], locals[2], made]);
        let with_target = table(&own, Vec::from([made, replaced]));
        assert_eq!(all(&with_target, &own), [locals[0], replaced, locals[2], made]);
        assert_eq!(with_target.route(&own, replaced.destination), Some(replaced));
        assert_eq!(with_target.route(&own, local("10.9.0.0/16").destination), None);
        // The block is gone, and its local route with it, whatever target it had.
        let smaller = vpc(&["10.0.0.0/16"]);
        assert_eq!(all(&with_target, &smaller), [locals[0], made]);
    }
}
