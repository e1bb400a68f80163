//! Route tables and where they are used (spec 4.1, 4.2). Their routes are in `route`.

use ec2::page::Page;
use ec2::shapes::route::*;
use ec2::shapes::{Done, TagSpecification};
use ec2::{Error, Operation};
use model::vpc::RouteTableAssociation;
use model::*;

use super::{Handle, route, vpn_gateway};
use crate::Cloud;
use crate::describe::{Describe, Place, Query};
use crate::rules::{attached_instance, different_networks, route_state, texts};
use crate::timing::Wait;

fn state(cloud: &Cloud<'_>, id: RouteTableAssociationId) -> AssociationStateItem {
    AssociationStateItem { state: cloud.word(id, "associated") }
}

/// The state of an association that was made by this request. Packets follow the table at once: no subnet is ever without one.
fn begun(cloud: &mut Cloud<'_>, id: RouteTableAssociationId) -> AssociationStateItem {
    cloud.takes_time(id, Phase::Associating, Wait::RouteTableAssociation);
    state(cloud, id)
}

impl Handle for CreateRouteTable {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<CreateRouteTableResponse, Error> {
        let tags = TagSpecification::tags(&self.tag_specifications, &["route-table"], "route-table")?;
        let token = self.client_token.as_deref();
        let id = match cloud.replay(<Self as Operation>::NAME, token)? {
            Some(id) => id,
            None => {
                let id = create(cloud, self.vpc_id, tags)?;
                cloud.remember(<Self as Operation>::NAME, token, id);
                id
            }
        };
        let table = cloud.owned::<RouteTable>(id)?;
        Ok(CreateRouteTableResponse { route_table: item(cloud, &table), client_token: self.client_token })
    }
}

fn create(cloud: &mut Cloud<'_>, vpc: VpcId, tags: Tags) -> Result<RouteTableId, Error> {
    let vpc = cloud.owned::<Vpc>(vpc)?;
    if cloud.route_tables_of(vpc.id).count() >= cloud.config.quotas.route_tables_per_vpc {
        return Err(Error::new("RouteTableLimitExceeded", "The maximum number of route tables has been reached."));
    }
    let id = cloud.draw.id();
    cloud.put(RouteTable { id, vpc: vpc.id, owner: vpc.owner, routes: Vec::new(), tags });
    Ok(id)
}

impl Handle for DeleteRouteTable {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<Done, Error> {
        let table = cloud.owned::<RouteTable>(self.route_table_id)?;
        if !associations(cloud, &table).is_empty() {
            return Err(Error::has_dependencies("routeTable", table.id));
        }
        vpn_gateway::forget_table(cloud, table.id)?;
        cloud.delete::<RouteTable>(table.id);
        Ok(Done::TRUE)
    }
}

impl Handle for AssociateRouteTable {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<AssociateRouteTableResponse, Error> {
        let subnet = match (self.subnet_id, self.gateway_id) {
            (Some(subnet), None) => subnet,
            (None, Some(gateway)) => {
                let association_id = associate_gateway(cloud, self.route_table_id, &gateway)?;
                let association_state = begun(cloud, association_id);
                return Ok(AssociateRouteTableResponse { association_id, association_state });
            }
            (Some(_), Some(_)) => {
                return Err(Error::invalid_combination(
                    "SubnetId cannot be used together with GatewayId; leave one of them out",
                ));
            }
            (None, None) => return Err(Error::missing_parameter("SubnetId")),
        };
        let table = cloud.owned::<RouteTable>(self.route_table_id)?;
        let subnet = cloud.owned::<Subnet>(subnet)?;
        if subnet.vpc != table.vpc {
            return Err(different_networks(table.id, "subnet", subnet.id));
        }
        if subnet.route_table.is_some() {
            return Err(already_associated(table.id));
        }
        let association_id = associate(cloud, subnet.id, table.id)?;
        let association_state = begun(cloud, association_id);
        Ok(AssociateRouteTableResponse { association_id, association_state })
    }
}

/// A table for what comes in through a gateway. It is recorded: nothing comes in (spec 4.7, decision 0028).
fn associate_gateway(
    cloud: &mut Cloud<'_>,
    table: RouteTableId,
    gateway: &str,
) -> Result<RouteTableAssociationId, Error> {
    let table = cloud.owned::<RouteTable>(table)?;
    let gateway = route::internet_gateway(cloud, gateway)?;
    if gateway.vpc != Some(table.vpc) {
        return Err(different_networks(table.id, "network gateway", gateway.id));
    }
    if gateway.route_table.is_some() {
        return Err(already_associated(table.id));
    }
    use_at_gateway(cloud, gateway.id, table.id)
}

/// Associates, if every route of the table may be there.
fn use_at_gateway(
    cloud: &mut Cloud<'_>,
    gateway: InternetGatewayId,
    route_table: RouteTableId,
) -> Result<RouteTableAssociationId, Error> {
    let table = cloud.owned::<RouteTable>(route_table)?;
    let vpc = cloud.owned::<Vpc>(table.vpc)?;
    for route in table.routes.iter().filter(|route| route.target != RouteTarget::Local) {
        route::check_at_gateway(cloud, &vpc, route.destination, route.target)?;
    }
    let id = cloud.draw.id();
    cloud.update::<InternetGateway, _>(gateway, |gateway| {
        gateway.route_table = Some(RouteTableAssociation { id, route_table });
        Ok(id)
    })
}

fn already_associated(table: RouteTableId) -> Error {
    let message = format!("the specified association for route table {table} conflicts with an existing association");
    Error::new("Resource.AlreadyAssociated", message)
}

fn associate(
    cloud: &mut Cloud<'_>,
    subnet: SubnetId,
    route_table: RouteTableId,
) -> Result<RouteTableAssociationId, Error> {
    let id = cloud.draw.id();
    cloud.update::<Subnet, _>(subnet, |subnet| {
        subnet.route_table = Some(RouteTableAssociation { id, route_table });
        Ok(id)
    })
}

/// Who uses a table by an association.
enum User {
    /// The VPC, for every subnet without a table of its own.
    Main(VpcId),
    Subnet(SubnetId),
    Gateway(InternetGatewayId),
}

fn user_of(cloud: &Cloud<'_>, id: RouteTableAssociationId) -> Result<User, Error> {
    let by = By::id(id);
    let main = cloud.own_by::<Vpc>(by).next().map(|vpc| User::Main(vpc.id));
    let subnet = || cloud.own_by::<Subnet>(by).next().map(|subnet| User::Subnet(subnet.id));
    let gateway = || cloud.own_by::<InternetGateway>(by).next().map(|gateway| User::Gateway(gateway.id));
    main.or_else(subnet).or_else(gateway).ok_or_else(|| Error::not_found(id))
}

impl Handle for DisassociateRouteTable {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<Done, Error> {
        let user = user_of(cloud, self.association_id)?;
        let may_go = !matches!(user, User::Main(_));
        if may_go && cloud.ends_later(self.association_id, Phase::Disassociating, Wait::RouteTableAssociation) {
            return Ok(Done::TRUE);
        }
        match user {
            User::Main(_) => {
                let message = format!("cannot disassociate the main route table association {}", self.association_id);
                Err(Error::invalid_value(message))
            }
            User::Subnet(subnet) => cloud.update::<Subnet, _>(subnet, |subnet| {
                subnet.route_table = None;
                Ok(Done::TRUE)
            }),
            User::Gateway(gateway) => cloud.update::<InternetGateway, _>(gateway, |gateway| {
                gateway.route_table = None;
                Ok(Done::TRUE)
            }),
        }
    }
}

impl Handle for ReplaceRouteTableAssociation {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<ReplaceRouteTableAssociationResponse, Error> {
        let user = user_of(cloud, self.association_id)?;
        let table = cloud.owned::<RouteTable>(self.route_table_id)?;
        let new_association_id = match user {
            User::Main(vpc) if vpc != table.vpc => return Err(different_networks(table.id, "network", vpc)),
            User::Main(vpc) => {
                let id = cloud.draw.id();
                cloud.update::<Vpc, _>(vpc, |vpc| {
                    vpc.main = RouteTableAssociation { id, route_table: table.id };
                    Ok(id)
                })?
            }
            User::Subnet(subnet) if cloud.owned::<Subnet>(subnet)?.vpc != table.vpc => {
                return Err(different_networks(table.id, "subnet", subnet));
            }
            User::Subnet(subnet) => associate(cloud, subnet, table.id)?,
            User::Gateway(gateway) if cloud.owned::<InternetGateway>(gateway)?.vpc != Some(table.vpc) => {
                return Err(different_networks(table.id, "network gateway", gateway));
            }
            User::Gateway(gateway) => use_at_gateway(cloud, gateway, table.id)?,
        };
        let association_state = begun(cloud, new_association_id);
        Ok(ReplaceRouteTableAssociationResponse { new_association_id, association_state })
    }
}

impl Handle for DescribeRouteTables {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<DescribeRouteTablesResponse, Error> {
        let page = Page { max_results: self.max_results, next_token: self.next_token.as_deref() };
        let query = Query { ids: &self.route_table_ids, filters: &self.filters, page };
        let (tables, next_token) = cloud.select::<RouteTable>(query, 5..=100)?;
        Ok(DescribeRouteTablesResponse {
            route_tables: tables.iter().map(|table| item(cloud, table)).collect(),
            next_token,
        })
    }
}

impl Describe for RouteTable {
    const FILTERS: &'static [&'static str] = &[
        "association.gateway-id",
        "association.main",
        "association.route-table-association-id",
        "association.route-table-id",
        "association.subnet-id",
        "owner-id",
        "route-table-id",
        "route.destination-cidr-block",
        "route.destination-ipv6-cidr-block",
        "route.destination-prefix-list-id",
        "route.egress-only-internet-gateway-id",
        "route.gateway-id",
        "route.instance-id",
        "route.nat-gateway-id",
        "route.origin",
        "route.state",
        "route.transit-gateway-id",
        "route.vpc-peering-connection-id",
        "vpc-id",
    ];

    fn is_visible(&self, cloud: &Cloud<'_>) -> bool {
        self.owner == cloud.caller.account
    }

    fn tags<'t>(&'t self, _: &Cloud<'_>) -> &'t Tags {
        &self.tags
    }

    fn values(&self, cloud: &Cloud<'_>, filter: &str) -> Vec<String> {
        let blocks = |is_v4: bool| {
            let is_asked = move |cidr: &Cidr| matches!(cidr, Cidr::V4(_)) == is_v4;
            texts(destinations(cloud, self).filter(is_asked))
        };
        match filter {
            "route.destination-cidr-block" => return blocks(true),
            "route.destination-ipv6-cidr-block" => return blocks(false),
            _ => {}
        }
        if let Some(name) = filter.strip_prefix("route.") {
            return route_items(cloud, self).iter().flat_map(|route| route_values(route, name)).collect();
        }
        let associations = || associations(cloud, self).into_iter();
        match filter {
            "association.gateway-id" => texts(associations().filter_map(|association| association.gateway_id)),
            "association.main" => texts(associations().map(|association| association.main)),
            "association.route-table-association-id" => {
                texts(associations().map(|association| association.route_table_association_id))
            }
            "association.route-table-id" => texts(associations().map(|association| association.route_table_id)),
            "association.subnet-id" => texts(associations().filter_map(|association| association.subnet_id)),
            "owner-id" => texts([self.owner]),
            "route-table-id" => texts([self.id]),
            "vpc-id" => texts([self.vpc]),
            _ => Vec::new(),
        }
    }

    fn place(cloud: &Cloud<'_>, filter: &str, value: &str) -> Option<Place<Self::Id>> {
        let at = |association: Option<RouteTableAssociation>| {
            Some(Place::At(association.map(|association| association.route_table).into_iter().collect()))
        };
        match filter {
            "route-table-id" | "association.route-table-id" => Place::of_id(value),
            "vpc-id" => Place::naming::<VpcId>(value),
            "association.subnet-id" => {
                let subnet = cloud.world().find::<Subnet>(&value.parse().ok()?);
                at(subnet.and_then(|subnet| subnet.route_table))
            }
            "association.gateway-id" => {
                let gateway = cloud.world().find::<InternetGateway>(&value.parse().ok()?);
                at(gateway.and_then(|gateway| gateway.route_table))
            }
            "route.vpc-peering-connection-id" => Place::naming::<PeeringId>(value),
            "route.gateway-id" => Place::naming::<InternetGatewayId>(value),
            "route.nat-gateway-id" => Place::naming::<NatGatewayId>(value),
            "route.egress-only-internet-gateway-id" => Place::naming::<EgressOnlyInternetGatewayId>(value),
            "route.transit-gateway-id" => Place::naming::<TransitGatewayId>(value),
            "route.destination-prefix-list-id" => Place::naming::<PrefixListId>(value),
            _ => None,
        }
    }
}

/// The blocks that its routes lead to: of all that a filter asks about, what it asks about most often.
fn destinations(cloud: &Cloud<'_>, table: &RouteTable) -> impl Iterator<Item = Cidr> {
    let vpc = cloud.world().find::<Vpc>(&table.vpc).into_iter();
    vpc.flat_map(|vpc| table.all_routes(vpc)).filter_map(|route| match route.destination {
        Destination::Cidr(cidr) => Some(cidr),
        Destination::PrefixList(_) => None,
    })
}

fn route_values(route: &RouteItem, name: &str) -> Vec<String> {
    match name {
        "destination-prefix-list-id" => texts(route.destination_prefix_list_id),
        "egress-only-internet-gateway-id" => texts(route.egress_only_internet_gateway_id),
        "gateway-id" => texts(route.gateway_id.as_ref()),
        "instance-id" => texts(route.instance_id),
        "nat-gateway-id" => texts(route.nat_gateway_id),
        "origin" => texts([route.origin]),
        "state" => texts([route.state]),
        "transit-gateway-id" => texts(route.transit_gateway_id),
        "vpc-peering-connection-id" => texts(route.vpc_peering_connection_id),
        _ => Vec::new(),
    }
}

/// The uses that the API lists: as main table, and of subnets and gateways that name it (spec 4.1).
fn associations(cloud: &Cloud<'_>, table: &RouteTable) -> Vec<RouteTableAssociationItem> {
    let listed = |association: RouteTableAssociation, subnet_id, gateway_id: Option<InternetGatewayId>| {
        (association.route_table == table.id).then_some(RouteTableAssociationItem {
            route_table_association_id: association.id,
            route_table_id: association.route_table,
            subnet_id,
            gateway_id,
            main: subnet_id.is_none() && gateway_id.is_none(),
            association_state: state(cloud, association.id),
        })
    };
    let main = cloud.world().find::<Vpc>(&table.vpc).and_then(|vpc| listed(vpc.main, None, None));
    let subnets = cloud.subnets_of(table.vpc).filter_map(|subnet| listed(subnet.route_table?, Some(subnet.id), None));
    let gateways = cloud.world().by::<InternetGateway>(By::id(table.vpc));
    let gateways = gateways.filter_map(|gateway| listed(gateway.route_table?, None, Some(gateway.id)));
    main.into_iter().chain(subnets).chain(gateways).collect()
}

/// A route table as the API shows it.
fn item(cloud: &Cloud<'_>, table: &RouteTable) -> RouteTableItem {
    RouteTableItem {
        route_table_id: table.id,
        vpc_id: table.vpc,
        owner_id: table.owner,
        route_set: route_items(cloud, table),
        association_set: associations(cloud, table),
        propagating_vgw_set: vpn_gateway::propagating_to(cloud, table.id)
            .into_iter()
            .map(|gateway_id| PropagatingVgwItem { gateway_id })
            .collect(),
        tag_set: table.tags.clone(),
    }
}

fn route_items(cloud: &Cloud<'_>, table: &RouteTable) -> Vec<RouteItem> {
    let vpc = cloud.world().find::<Vpc>(&table.vpc).into_iter();
    vpc.flat_map(|vpc| table.all_routes(vpc)).map(|route| route_item(cloud, table.vpc, &route)).collect()
}

fn route_item(cloud: &Cloud<'_>, vpc: VpcId, route: &Route) -> RouteItem {
    let mut item = RouteItem {
        origin: match route.origin {
            RouteOrigin::CreateRouteTable => "CreateRouteTable",
            RouteOrigin::CreateRoute => "CreateRoute",
        },
        state: route_state(cloud.world(), vpc, route).code(),
        ..RouteItem::default()
    };
    match route.destination {
        Destination::Cidr(Cidr::V4(cidr)) => item.destination_cidr_block = Some(cidr),
        Destination::Cidr(Cidr::V6(cidr)) => item.destination_ipv6_cidr_block = Some(cidr),
        Destination::PrefixList(id) => item.destination_prefix_list_id = Some(id),
    }
    match route.target {
        RouteTarget::Local => item.gateway_id = Some("local".into()),
        RouteTarget::InternetGateway(id) => item.gateway_id = Some(id.to_string()),
        RouteTarget::Peering(id) => item.vpc_peering_connection_id = Some(id),
        RouteTarget::NatGateway(id) => item.nat_gateway_id = Some(id),
        RouteTarget::EgressOnlyInternetGateway(id) => item.egress_only_internet_gateway_id = Some(id),
        RouteTarget::TransitGateway(id) => item.transit_gateway_id = Some(id),
        RouteTarget::NetworkInterface(id) => {
            let instance = attached_instance(cloud.world(), id);
            item.network_interface_id = Some(id);
            item.instance_id = instance.map(|instance| instance.id);
            item.instance_owner_id = instance.map(|instance| instance.owner);
        }
    }
    item
}
