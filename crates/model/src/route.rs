//! Route tables (spec ch. 4). A route's state is computed, never stored: see `policy` and `control`.

use alloc::vec::Vec;
use core::fmt;
use serde::{Deserialize, Serialize};

use crate::{
    AccountId, Cidr, EgressOnlyInternetGatewayId, InternetGatewayId, NatGatewayId, NetworkInterfaceId, PeeringId,
    PrefixListId, RouteTableId, Tags, TransitGatewayId, VpcId,
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
    /// Came with the table: a local route.
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
    /// The route that every table has for each block of its VPC.
    pub fn local(cidr: Cidr) -> Route {
        Route {
            destination: Destination::Cidr(cidr),
            target: RouteTarget::Local,
            origin: RouteOrigin::CreateRouteTable,
        }
    }
}

/// Destinations are distinct; local routes are among them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteTable {
    pub id: RouteTableId,
    pub vpc: VpcId,
    pub owner: AccountId,
    pub routes: Vec<Route>,
    pub tags: Tags,
}

impl RouteTable {
    pub fn route(&self, destination: Destination) -> Option<&Route> {
        self.routes.iter().find(|route| route.destination == destination)
    }
}
