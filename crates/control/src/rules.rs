//! Rules that several nouns share.

use ec2::Error;
use model::*;

use crate::Cloud;

pub use crate::peering::{blocks_changed, check_new_block, visible_peering, vpc_deletion};

impl Cloud<'_> {
    /// All route tables of a VPC.
    pub fn route_tables_of(&self, vpc: VpcId) -> impl Iterator<Item = &std::sync::Arc<RouteTable>> {
        self.world().by::<RouteTable>(By::id(vpc))
    }

    /// All subnets of a VPC.
    pub fn subnets_of(&self, vpc: VpcId) -> impl Iterator<Item = &std::sync::Arc<Subnet>> {
        self.world().by::<Subnet>(By::id(vpc))
    }

    /// The peering over which packets pass between two VPCs of this region now (spec 6.5.3).
    pub fn active_peering(&self, a: VpcId, b: VpcId) -> Option<&std::sync::Arc<Peering>> {
        let is_active = |peering: &Peering| peering.status == PeeringStatus::Active && !peering.is_inter_region();
        self.peerings_of(a).find(|peering| peering.is_between(a, b) && is_active(peering))
    }

    /// The caller's default VPC, if it has one.
    pub fn default_vpc(&self) -> Option<&std::sync::Arc<Vpc>> {
        self.own_by::<Vpc>(By::is_default()).find(|vpc| vpc.is_default)
    }

    /// The peerings in which a VPC is a side, in any state.
    pub fn peerings_of(&self, vpc: VpcId) -> impl Iterator<Item = &std::sync::Arc<Peering>> {
        self.world().peerings_of(vpc)
    }
}

/// What a route does with a packet at this moment. It is computed, never stored (spec 4.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteState {
    Active,
    /// The route still wins the lookup, and drops.
    Blackhole,
}

impl RouteState {
    /// The word of the API.
    pub fn code(self) -> &'static str {
        match self {
            RouteState::Active => "active",
            RouteState::Blackhole => "blackhole",
        }
    }
}

/// The state of a route in a table of this VPC (spec 4.6).
pub fn route_state(world: &World, vpc: VpcId, route: &Route) -> RouteState {
    let is_active = match route.target {
        RouteTarget::Local => true,
        RouteTarget::Peering(id) => world
            .find::<Peering>(&id)
            .is_some_and(|peering| peering.status == PeeringStatus::Active && peering.side_of(vpc).is_some()),
        RouteTarget::NetworkInterface(id) => {
            attached_instance(world, id).is_some_and(|instance| instance.state.is_wanted())
        }
        RouteTarget::InternetGateway(id) => {
            world.find::<InternetGateway>(&id).is_some_and(|gateway| gateway.vpc == Some(vpc))
        }
        RouteTarget::NatGateway(id) => world
            .find::<NatGateway>(&id)
            .is_some_and(|gateway| gateway.vpc == vpc && gateway.state == NatGatewayState::Available),
        RouteTarget::EgressOnlyInternetGateway(id) => {
            world.find::<EgressOnlyInternetGateway>(&id).is_some_and(|gateway| gateway.vpc == vpc)
        }
        RouteTarget::TransitGateway(_) => false,
    };
    if is_active { RouteState::Active } else { RouteState::Blackhole }
}

/// The instance that an interface is attached to.
pub fn attached_instance(world: &World, interface: NetworkInterfaceId) -> Option<&std::sync::Arc<Instance>> {
    let attachment = world.find::<NetworkInterface>(&interface)?.attachment.as_ref()?;
    world.find::<Instance>(&attachment.instance)
}

/// How many IPv4 addresses of a subnet an interface may still get (spec 3.5): all but the five reserved and those in use.
pub fn available_ip_address_count(world: &World, subnet: &Subnet) -> u32 {
    const RESERVED: u32 = 5;
    let all = u32::from(subnet.cidr.last()).saturating_sub(subnet.cidr.network().into()).saturating_add(1);
    let interfaces = world.by::<NetworkInterface>(By::id(subnet.id));
    let used: usize = interfaces.map(|interface| interface.private_ips.len()).sum();
    all.saturating_sub(RESERVED).saturating_sub(u32::try_from(used).unwrap_or(u32::MAX))
}

/// `route table rtb-x and network gateway pcx-y belong to different networks`.
pub fn different_networks(table: RouteTableId, noun: &str, id: impl std::fmt::Display) -> Error {
    Error::invalid_value(format!("route table {table} and {noun} {id} belong to different networks"))
}

/// Ports of TCP and UDP, both ends included (spec 6.3.3, 7.2).
///
/// # Errors
/// `InvalidParameterValue` for a number that is no port, and for ends in the wrong order.
pub fn port_range(from: i32, to: i32) -> Result<Ports, Error> {
    match (u16::try_from(from), u16::try_from(to)) {
        (Ok(from), Ok(to)) if from <= to => Ok(Ports::Range { from, to }),
        _ => Err(Error::invalid_value(format!(
            "Invalid port range {from} to {to}: ports are 0 to 65535, the first not above the last."
        ))),
    }
}

/// A type and a code of ICMP or ICMPv6; -1 is any (spec 6.3.3, 7.2).
///
/// # Errors
/// `InvalidParameterValue` for what does not fit a byte, and for a code where the type is any.
pub fn icmp(kind: i32, code: i32) -> Result<Ports, Error> {
    let parse = |value: i32| if value == -1 { Some(None) } else { u8::try_from(value).ok().map(Some) };
    match (parse(kind), parse(code)) {
        (Some(None), Some(Some(_))) | (None, _) | (_, None) => Err(Error::invalid_value(format!(
            "Invalid ICMP type {kind} and code {code}: each is 0 to 255, or -1 for any; any type goes with any code only."
        ))),
        (Some(kind), Some(code)) => Ok(Ports::Icmp { kind, code }),
    }
}

/// What a filter is held against, of anything that has a text.
pub fn texts<T: std::fmt::Display>(values: impl IntoIterator<Item = T>) -> Vec<String> {
    values.into_iter().map(|value| value.to_string()).collect()
}
