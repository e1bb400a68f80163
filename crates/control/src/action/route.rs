//! Routes: what may be asked for (spec 4.3, 4.4). What becomes of them is computed in `rules::route_state`.

use std::sync::Arc;

use ec2::shapes::Done;
use ec2::shapes::route::*;
use ec2::{Error, IdCodes};
use model::*;

use super::Handle;
use super::prefix_list::counts_for;
use crate::Cloud;
use crate::rules::different_networks;

impl Handle for CreateRoute {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<Done, Error> {
        let CreateRoute(asked) = self;
        let destination = asked_destination(&asked)?;
        let wanted = wanted_target(&RouteInput { local_target: None, ..asked.clone() })?;
        let (table, vpc) = table_and_vpc(cloud, asked.route_table_id)?;
        check_destination(cloud, destination)?;
        let existing = table.route(&vpc, destination);
        if existing.is_some_and(|route| route.origin == RouteOrigin::CreateRoute) {
            return Err(already_exists(destination));
        }
        let target = resolve(cloud, &table, wanted)?;
        check_family(destination, target)?;
        if target == RouteTarget::Local {
            return Err(Error::invalid_parameter(
                "GatewayId",
                "local",
                "Local routes come with the blocks of the VPC; give another target.",
            ));
        }
        check_inside(cloud, &vpc, destination, target)?;
        if is_at_gateway(cloud, &table) {
            check_at_gateway(cloud, &vpc, destination, target)?;
        }
        if existing.is_some() {
            return Err(already_exists(destination));
        }
        check_quota(cloud, &table, destination)?;
        cloud.update::<RouteTable, _>(table.id, |table| {
            table.routes.push(Route { destination, target, origin: RouteOrigin::CreateRoute });
            Ok(Done::TRUE)
        })
    }
}

impl Handle for ReplaceRoute {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<Done, Error> {
        let ReplaceRoute(asked) = self;
        let destination = asked_destination(&asked)?;
        let wanted = wanted_target(&asked)?;
        let (table, vpc) = table_and_vpc(cloud, asked.route_table_id)?;
        check_destination(cloud, destination)?;
        let Some(existing) = table.route(&vpc, destination) else {
            let message =
                format!("There is no route defined for '{destination}' in the route table. Use CreateRoute instead.");
            return Err(Error::invalid_value(message));
        };
        let target = resolve(cloud, &table, wanted)?;
        check_family(destination, target)?;
        match (existing.origin, target) {
            (
                RouteOrigin::CreateRouteTable,
                RouteTarget::Local | RouteTarget::NetworkInterface(_) | RouteTarget::NatGateway(_),
            ) => {}
            (RouteOrigin::CreateRouteTable, _) => return Err(unsupported_target()),
            (RouteOrigin::CreateRoute, RouteTarget::Local) => {
                let message = format!(
                    "The route for '{destination}' is not a local route of the VPC: its target cannot be local."
                );
                return Err(Error::invalid_value(message));
            }
            (RouteOrigin::CreateRoute, _) => check_inside(cloud, &vpc, destination, target)?,
        }
        if is_at_gateway(cloud, &table) {
            check_at_gateway(cloud, &vpc, destination, target)?;
        }
        cloud.update::<RouteTable, _>(table.id, |table| {
            let route = Route { target, ..existing };
            match table.routes.iter_mut().find(|other| other.destination == destination) {
                Some(other) => *other = route,
                None => table.routes.push(route),
            }
            table.routes.retain(|route| route.target != RouteTarget::Local);
            Ok(Done::TRUE)
        })
    }
}

impl Handle for DeleteRoute {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<Done, Error> {
        let destination = destination(
            self.destination_cidr_block,
            self.destination_ipv6_cidr_block,
            self.destination_prefix_list_id,
        )?;
        let (table, vpc) = table_and_vpc(cloud, self.route_table_id)?;
        match table.route(&vpc, destination) {
            None => {
                let what = match destination {
                    Destination::Cidr(Cidr::V4(_)) => "destination-cidr-block",
                    Destination::Cidr(Cidr::V6(_)) => "destination-ipv6-cidr-block",
                    Destination::PrefixList(_) => "destination-prefix-list-id",
                };
                let message = format!("no route with {what} {destination} in route table {}", table.id);
                Err(Error::new("InvalidRoute.NotFound", message))
            }
            Some(route) if route.origin == RouteOrigin::CreateRouteTable => Err(Error::invalid_value(format!(
                "cannot remove local route {destination} in route table {}",
                table.id
            ))),
            Some(_) => cloud.update::<RouteTable, _>(table.id, |table| {
                table.routes.retain(|route| route.destination != destination);
                Ok(Done::TRUE)
            }),
        }
    }
}

fn table_and_vpc(cloud: &Cloud<'_>, id: RouteTableId) -> Result<(Arc<RouteTable>, Arc<Vpc>), Error> {
    let table = cloud.owned::<RouteTable>(id)?;
    let vpc = cloud.owned::<Vpc>(table.vpc)?;
    Ok((table, vpc))
}

fn asked_destination(asked: &RouteInput) -> Result<Destination, Error> {
    destination(asked.destination_cidr_block, asked.destination_ipv6_cidr_block, asked.destination_prefix_list_id)
}

fn destination(
    ipv4: Option<Ipv4Cidr>,
    ipv6: Option<Ipv6Cidr>,
    prefix_list: Option<PrefixListId>,
) -> Result<Destination, Error> {
    let cidrs = [ipv4.map(Cidr::V4), ipv6.map(Cidr::V6)].into_iter().flatten().map(Destination::Cidr);
    let given: Vec<Destination> = cidrs.chain(prefix_list.map(Destination::PrefixList)).collect();
    exactly_one(given, "DestinationCidrBlock, DestinationIpv6CidrBlock or DestinationPrefixListId")
}

/// What a route shall lead to, before it is looked up.
enum Wanted {
    Local,
    Gateway(String),
    Peering(PeeringId),
    NetworkInterface(NetworkInterfaceId),
    Instance(InstanceId),
    NatGateway(NatGatewayId),
    EgressOnlyInternetGateway(EgressOnlyInternetGatewayId),
    /// A kind of thing of which this cloud has none: the answer is that it does not exist.
    Absent(Error),
}

fn wanted_target(asked: &RouteInput) -> Result<Wanted, Error> {
    fn absent<Id: IdCodes>(id: Option<Id>) -> Option<Wanted> {
        id.map(|id| Wanted::Absent(Error::not_found(id)))
    }
    let unknown = |code: &'static str, noun: &str, id: &Option<String>| {
        id.as_ref().map(|id| Wanted::Absent(Error::new(code, format!("The {noun} '{id}' does not exist"))))
    };
    let given = [
        asked.local_target.filter(|local| *local).map(|_| Wanted::Local),
        asked.gateway_id.clone().map(wanted_gateway),
        asked.vpc_peering_connection_id.map(Wanted::Peering),
        asked.network_interface_id.map(Wanted::NetworkInterface),
        asked.instance_id.map(Wanted::Instance),
        asked.nat_gateway_id.map(Wanted::NatGateway),
        absent(asked.transit_gateway_id),
        asked.egress_only_internet_gateway_id.map(Wanted::EgressOnlyInternetGateway),
        absent(asked.vpc_endpoint_id),
        unknown("InvalidLocalGatewayID.NotFound", "localGateway ID", &asked.local_gateway_id),
        unknown("InvalidCarrierGatewayID.NotFound", "carrierGateway ID", &asked.carrier_gateway_id),
        unknown("InvalidCoreNetworkArn.NotFound", "core network ARN", &asked.core_network_arn),
        unknown("InvalidOdbNetworkArn.NotFound", "ODB network ARN", &asked.odb_network_arn),
    ];
    let names = "GatewayId, VpcPeeringConnectionId, NetworkInterfaceId, InstanceId, NatGatewayId, TransitGatewayId or EgressOnlyInternetGatewayId";
    exactly_one(given.into_iter().flatten().collect(), names)
}

/// GatewayId is taken at its word whatever kind of target its value names; the route then shows the target under its own name,
/// VpcPeeringConnectionId and so on. AWS is as forgiving, and amazon.aws.ec2_vpc_route_table relies on it for peerings.
fn wanted_gateway(id: String) -> Wanted {
    fn absent<Id: IdCodes>(id: &str) -> Option<Wanted> {
        id.parse::<Id>().ok().map(|id| Wanted::Absent(Error::not_found(id)))
    }
    if id == "local" {
        return Wanted::Local;
    }
    let peering = id.parse::<PeeringId>().ok().map(Wanted::Peering);
    let nat = || id.parse::<NatGatewayId>().ok().map(Wanted::NatGateway);
    let egress_only = || id.parse::<EgressOnlyInternetGatewayId>().ok().map(Wanted::EgressOnlyInternetGateway);
    let other = peering.or_else(nat).or_else(egress_only).or_else(|| absent::<TransitGatewayId>(&id));
    other.unwrap_or(Wanted::Gateway(id))
}

fn exactly_one<T>(mut given: Vec<T>, names: &str) -> Result<T, Error> {
    match (given.pop(), given.is_empty()) {
        (Some(one), true) => Ok(one),
        (None, _) => Err(Error::missing_parameter(names)),
        (Some(_), false) => Err(Error::invalid_combination(format!("The request must contain exactly one of {names}"))),
    }
}

/// Destinations that no table may name (spec 4.4.2), and prefix lists that are not the caller's.
fn check_destination(cloud: &Cloud<'_>, destination: Destination) -> Result<(), Error> {
    const RESERVED: [&str; 2] = ["169.254.168.0/22", "fd00:ec2::/32"];
    match destination {
        Destination::PrefixList(id) => cloud.owned::<PrefixList>(id).map(drop),
        Destination::Cidr(cidr) => {
            let within = |range: &&&str| range.parse::<Cidr>().is_ok_and(|range| range.contains_all(&cidr));
            match RESERVED.iter().find(within) {
                Some(range) => Err(Error::invalid_value(format!(
                    "The destination CIDR block {cidr} lies in {range}, which is reserved for the VPC's own services."
                ))),
                None => Ok(()),
            }
        }
    }
}

/// Finds the target and holds it against the table's VPC (spec 4.4.4, 4.4.5).
fn resolve(cloud: &Cloud<'_>, table: &RouteTable, wanted: Wanted) -> Result<RouteTarget, Error> {
    match wanted {
        Wanted::Local => Ok(RouteTarget::Local),
        Wanted::Absent(error) => Err(error),
        Wanted::Gateway(id) => {
            let gateway = internet_gateway(cloud, &id)?;
            match gateway.vpc {
                Some(vpc) if vpc == table.vpc => Ok(RouteTarget::InternetGateway(gateway.id)),
                _ => Err(different_networks(table.id, "network gateway", gateway.id)),
            }
        }
        Wanted::Peering(id) => peering(cloud, table, id),
        Wanted::NetworkInterface(id) => {
            let interface = cloud.owned::<NetworkInterface>(id)?;
            if interface.vpc != table.vpc {
                return Err(different_networks(table.id, "interface", id));
            }
            Ok(RouteTarget::NetworkInterface(id))
        }
        Wanted::Instance(id) => {
            let interface = only_interface(cloud, id)?;
            if interface.vpc != table.vpc {
                return Err(different_networks(table.id, "instance", id));
            }
            Ok(RouteTarget::NetworkInterface(interface.id))
        }
        Wanted::NatGateway(id) => {
            // One that ended leads nowhere any more, and reads as gone.
            let gateway = cloud.owned::<NatGateway>(id)?;
            if gateway.state != NatGatewayState::Available {
                return Err(Error::not_found(id));
            }
            if gateway.vpc != table.vpc {
                return Err(different_networks(table.id, "network gateway", id));
            }
            Ok(RouteTarget::NatGateway(id))
        }
        Wanted::EgressOnlyInternetGateway(id) => {
            if cloud.owned::<EgressOnlyInternetGateway>(id)?.vpc != table.vpc {
                return Err(different_networks(table.id, "network gateway", id));
            }
            Ok(RouteTarget::EgressOnlyInternetGateway(id))
        }
    }
}

/// An egress-only gateway carries IPv6 alone; of a NAT gateway's IPv6 only NAT64's prefix, which is recorded.
fn check_family(destination: Destination, target: RouteTarget) -> Result<(), Error> {
    let Destination::Cidr(cidr) = destination else { return Ok(()) };
    let is_right = match (target, cidr) {
        (RouteTarget::EgressOnlyInternetGateway(_), cidr) => !cidr.is_ipv4(),
        (RouteTarget::NatGateway(_), Cidr::V6(v6)) => v6.to_string() == "64:ff9b::/96",
        _ => true,
    };
    if is_right {
        return Ok(());
    }
    let name = if cidr.is_ipv4() { "destinationCidrBlock" } else { "destinationIpv6CidrBlock" };
    Err(Error::invalid_parameter(name, cidr, "The target of the route does not carry this family."))
}

/// The internet gateway that a GatewayId names; VPN gateways and gateway endpoints do not exist here.
pub(super) fn internet_gateway(cloud: &Cloud<'_>, id: &str) -> Result<Arc<InternetGateway>, Error> {
    let not_found = || Error::new("InvalidGatewayID.NotFound", format!("The gateway ID '{id}' does not exist"));
    match id.parse::<InternetGatewayId>() {
        Ok(gateway) => cloud.owned::<InternetGateway>(gateway).map_err(|_| not_found()),
        Err(_) if id.parse::<VpnGatewayId>().is_ok() || id.parse::<VpcEndpointId>().is_ok() => Err(not_found()),
        Err(error) => Err(Error::malformed::<InternetGatewayId>(&error)),
    }
}

/// A peering that is or may become active, with the table's VPC at one end.
fn peering(cloud: &Cloud<'_>, table: &RouteTable, id: PeeringId) -> Result<RouteTarget, Error> {
    let found = cloud.world().find::<Peering>(&id).filter(|peering| {
        peering.status.is_live() && crate::peering::is_visible(peering, cloud.caller.account, cloud.config, cloud.now)
    });
    let peering = found.ok_or_else(|| Error::not_found(id))?;
    match peering.side_of(table.vpc) {
        Some(_) => Ok(RouteTarget::Peering(id)),
        None => Err(different_networks(table.id, "network gateway", id)),
    }
}

fn only_interface(cloud: &Cloud<'_>, id: InstanceId) -> Result<Arc<NetworkInterface>, Error> {
    cloud.owned::<Instance>(id)?;
    let mut interfaces = cloud.own_by::<NetworkInterface>(By::id(id));
    match (interfaces.next(), interfaces.next()) {
        (Some(interface), None) => Ok(interface.clone()),
        (Some(_), Some(_)) => Err(super::interface::several(id)),
        (None, _) => {
            Err(Error::new("InvalidInstanceID", format!("There is no interface attached to instance '{id}'.")))
        }
    }
}

/// Inside the VPC's own blocks a route may only send a whole subnet to an interface (spec 4.3.2).
fn check_inside(cloud: &Cloud<'_>, vpc: &Vpc, destination: Destination, target: RouteTarget) -> Result<(), Error> {
    let Destination::Cidr(cidr) = destination else { return Ok(()) };
    if !vpc.blocks().any(|block| block.contains_all(&cidr)) {
        return Ok(());
    }
    if !matches!(target, RouteTarget::NetworkInterface(_) | RouteTarget::NatGateway(_)) {
        return Err(unsupported_target());
    }
    if !is_subnet(cloud, vpc, cidr) {
        let message = format!(
            "The destination CIDR block {cidr} is equal to or more specific than one of this VPC's CIDR blocks. It must match the CIDR block of a subnet."
        );
        return Err(Error::invalid_value(message));
    }
    Ok(())
}

fn is_at_gateway(cloud: &Cloud<'_>, table: &RouteTable) -> bool {
    let mut gateways = cloud.own_by::<InternetGateway>(By::id(table.id));
    gateways.any(|gateway| gateway.route_table.is_some_and(|association| association.route_table == table.id))
}

/// What comes in through a gateway is for the VPC or a whole subnet, and may be led to an interface (spec 4.7).
///
/// # Errors
/// `InvalidParameterValue`.
pub(super) fn check_at_gateway(
    cloud: &Cloud<'_>,
    vpc: &Vpc,
    destination: Destination,
    target: RouteTarget,
) -> Result<(), Error> {
    let is_own = |cidr: Cidr| vpc.blocks().any(|block| block == cidr) || is_subnet(cloud, vpc, cidr);
    let is_destination = matches!(destination, Destination::Cidr(cidr) if is_own(cidr));
    if is_destination && matches!(target, RouteTarget::Local | RouteTarget::NetworkInterface(_)) {
        return Ok(());
    }
    Err(Error::invalid_value(format!(
        "The route to {destination} cannot be in a route table of a gateway: its destination must be a CIDR block of the VPC or of a subnet, its target local or an interface."
    )))
}

fn is_subnet(cloud: &Cloud<'_>, vpc: &Vpc, cidr: Cidr) -> bool {
    cloud
        .subnets_of(vpc.id)
        .any(|subnet| Cidr::V4(subnet.cidr) == cidr || subnet.ipv6.is_some_and(|ipv6| Cidr::V6(ipv6.cidr) == cidr))
}

/// For how many routes of a family the table's own count: a prefix list for all that it may ever have (spec 4.4.7).
pub(super) fn counted(cloud: &Cloud<'_>, table: &RouteTable, is_ipv4: bool) -> usize {
    let own = table.routes.iter().filter(|route| route.origin == RouteOrigin::CreateRoute);
    own.map(|route| weight(cloud, route.destination, is_ipv4)).sum()
}

fn weight(cloud: &Cloud<'_>, destination: Destination, is_ipv4: bool) -> usize {
    match destination {
        Destination::Cidr(cidr) => usize::from(cidr.is_ipv4() == is_ipv4),
        Destination::PrefixList(list) => counts_for(cloud, list, is_ipv4),
    }
}

fn check_quota(cloud: &Cloud<'_>, table: &RouteTable, destination: Destination) -> Result<(), Error> {
    let is_over = |is_ipv4| {
        let more = weight(cloud, destination, is_ipv4);
        more > 0 && counted(cloud, table, is_ipv4).saturating_add(more) > cloud.config.quotas.routes_per_table
    };
    if is_over(true) || is_over(false) {
        return Err(Error::new(
            "RouteLimitExceeded",
            format!("The maximum number of routes in route table {} has been reached.", table.id),
        ));
    }
    Ok(())
}

fn already_exists(destination: Destination) -> Error {
    Error::new("RouteAlreadyExists", format!("The route identified by {destination} already exists."))
}

fn unsupported_target() -> Error {
    Error::invalid_value("Route target is not supported. This route only supports interface and instance targets.")
}
