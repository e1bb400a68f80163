//! NAT gateways (spec 8.8, ch. 13): an interface that belongs to a gateway instead of an instance.
//!
//! What AWS finds wrong only while it makes a gateway leaves one that failed, with AWS's code and text; all else is refused at once.

use std::sync::Arc;

use ec2::page::Page;
use ec2::shapes::TagSpecification;
use ec2::shapes::interface::PrivateIpAddressInput;
use ec2::shapes::nat_gateway::*;
use ec2::{Error, Operation};
use model::*;

use super::Handle;
use super::address::association;
use super::nat_gateway_address::{self as addresses, of_interface};
use crate::Cloud;
use crate::addresses::Wanted;
use crate::describe::{Describe, Place, Query};
use crate::rules::texts;
use crate::timing::Wait;

impl Handle for CreateNatGateway {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<CreateNatGatewayResponse, Error> {
        let token = self.client_token.as_deref();
        if let Some(earlier) = cloud.replay::<NatGatewayId>(Self::NAME, token)? {
            let gateway = owned(cloud, earlier)?;
            let nat_gateway = item(cloud, &gateway);
            return Ok(CreateNatGatewayResponse { client_token: self.client_token, nat_gateway });
        }
        let tags = TagSpecification::tags(&self.tag_specifications, &["natgateway"], "natgateway")?;
        let connectivity = connectivity(&self)?;
        let subnet = cloud.owned::<Subnet>(self.subnet_id.ok_or_else(|| Error::missing_parameter("SubnetId"))?)?;
        for id in self.allocations() {
            cloud.owned::<ElasticAddress>(id)?;
        }
        check_quota(cloud, subnet.zone)?;
        let host = super::instance::place(cloud)?;
        let mut gateway = NatGateway {
            id: cloud.draw.id(),
            owner: cloud.caller.account,
            vpc: subnet.vpc,
            subnet: subnet.id,
            connectivity,
            state: NatGatewayState::Available,
            failure: None,
            interface: None,
            ended_with: Vec::new(),
            host,
            created: cloud.now,
            ended: None,
            tags,
        };
        match make_interface(cloud, &self, &gateway, &subnet)? {
            Ok(interface) => gateway.interface = Some(interface),
            Err(failure) => fail(cloud, &mut gateway, self.allocation_id, failure),
        }
        cloud.put(gateway.clone());
        if gateway.state == NatGatewayState::Available {
            cloud.takes_time(gateway.id, Phase::Pending, Wait::NatGateway);
        }
        cloud.remember(Self::NAME, token, gateway.id);
        let nat_gateway = item(cloud, &gateway);
        Ok(CreateNatGatewayResponse { client_token: self.client_token, nat_gateway })
    }
}

trait Allocations {
    /// Every Elastic IP address that is named, the primary one first.
    fn allocations(&self) -> Vec<AllocationId>;
}

impl Allocations for CreateNatGateway {
    fn allocations(&self) -> Vec<AllocationId> {
        self.allocation_id.into_iter().chain(self.secondary_allocation_ids.iter().copied()).collect()
    }
}

/// What kind of gateway is asked for, with what such a one must and may have.
fn connectivity(asked: &CreateNatGateway) -> Result<Connectivity, Error> {
    let is_regional = asked.vpc_id.is_some() || !asked.availability_zone_addresses.is_empty();
    match asked.availability_mode.as_deref() {
        None | Some("zonal") if !is_regional => {}
        None | Some("zonal" | "regional") => {
            let message = "There are no regional NAT gateways here; make a zonal one with SubnetId in each zone";
            return Err(Error::new("UnsupportedOperation", message));
        }
        Some(other) => return Err(Error::invalid_parameter("AvailabilityMode", other, "Expected zonal.")),
    }
    match asked.connectivity_type.as_deref() {
        None | Some("public") => {
            asked.allocation_id.ok_or_else(|| Error::missing_parameter("AllocationId"))?;
            let secondary = asked.secondary_private_ip_addresses.len();
            let is_paired = secondary == 0 || secondary == asked.secondary_allocation_ids.len();
            if !is_paired || asked.secondary_private_ip_address_count.is_some() {
                return Err(Error::invalid_combination(
                    "A public NAT gateway has as many secondary private addresses as SecondaryAllocationIds",
                ));
            }
            Ok(Connectivity::Public)
        }
        Some("private") if asked.allocations().is_empty() => Ok(Connectivity::Private),
        Some("private") => {
            let message = "AllocationId cannot be used with a private NAT gateway; leave it out";
            Err(Error::invalid_combination(message))
        }
        Some(other) => Err(Error::invalid_parameter("ConnectivityType", other, "Expected public or private.")),
    }
}

/// Spec ch. 13: so many in a zone; what ended counts no more.
fn check_quota(cloud: &Cloud<'_>, zone: Zone) -> Result<(), Error> {
    let is_there = |gateway: &&Arc<NatGateway>| {
        let subnet = cloud.world().find::<Subnet>(&gateway.subnet);
        gateway.state == NatGatewayState::Available && subnet.is_some_and(|subnet| subnet.zone == zone)
    };
    let max = cloud.config.quotas.nat_gateways_per_zone;
    if cloud.own::<NatGateway>().filter(is_there).count() >= max {
        let message = format!(
            "Performing this operation would exceed the limit of {max} NAT gateways in availability zone {zone}"
        );
        return Err(Error::new("NatGatewayLimitExceeded", message));
    }
    Ok(())
}

/// The gateway's interface, or why AWS would say that the gateway failed.
fn make_interface(
    cloud: &mut Cloud<'_>,
    asked: &CreateNatGateway,
    gateway: &NatGateway,
    subnet: &Subnet,
) -> Result<Result<NetworkInterfaceId, Failure>, Error> {
    if let Some(failure) = addresses::refusal(cloud, gateway, &asked.allocations()) {
        return Ok(Err(failure));
    }
    let listed: Vec<PrivateIpAddressInput> = asked
        .secondary_private_ip_addresses
        .iter()
        .map(|address| PrivateIpAddressInput { primary: None, private_ip_address: *address })
        .collect();
    let with_elastic = asked.secondary_allocation_ids.len().saturating_sub(listed.len());
    let secondary_count =
        asked.secondary_private_ip_address_count.or_else(|| i32::try_from(with_elastic).ok().filter(|n| *n > 0));
    let wanted = Wanted { primary: asked.private_ip_address, listed: &listed, secondary_count, ..Wanted::default() };
    let description = format!("Interface for NAT Gateway {}", gateway.id);
    let made = super::interface::create(cloud, subnet.id, &[], wanted, description, Tags::new());
    let mut interface = match made {
        Ok(interface) => interface,
        Err(error) if error.code == "InsufficientFreeAddressesInSubnet" => {
            let message = "Subnet has insufficient free addresses to create this NAT gateway";
            return Ok(Err(Failure(error.code.into_owned(), message.into())));
        }
        Err(error) => return Err(error),
    };
    addresses::check_count(&interface)?;
    interface.kind = InterfaceKind::NatGateway;
    interface.source_dest_check = false;
    interface.groups.clear();
    // None of IPv6, whatever the subnet gives others.
    interface.ipv6_addresses.clear();
    let pairs: Vec<_> = interface.private_ips.iter().copied().zip(asked.allocations()).collect();
    for (private, allocation) in pairs {
        addresses::map(cloud, &mut interface, private, allocation)?;
    }
    let id = interface.id;
    cloud.put(interface);
    Ok(Ok(id))
}

/// AWS's code and text.
pub(super) struct Failure(pub(super) String, pub(super) String);

fn fail(
    cloud: &Cloud<'_>,
    gateway: &mut NatGateway,
    allocation: Option<AllocationId>,
    Failure(code, message): Failure,
) {
    gateway.state = NatGatewayState::Failed;
    gateway.failure = Some((code, message));
    gateway.ended = Some(cloud.now);
    gateway.host = None;
    gateway.ended_with =
        vec![NatGatewayAddress { interface: None, private: None, public: None, allocation, association: None }];
}

impl Handle for DeleteNatGateway {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<DeleteNatGatewayResponse, Error> {
        let mut gateway = NatGateway::clone(&*owned(cloud, self.nat_gateway_id)?);
        let nat_gateway_id = gateway.id;
        let is_there = gateway.state == NatGatewayState::Available;
        if is_there && cloud.ends_later(gateway.id, Phase::Deleting, Wait::NatGatewayDelete) {
            return Ok(DeleteNatGatewayResponse { nat_gateway_id });
        }
        if is_there {
            gateway.ended_with = current_addresses(cloud.world(), &gateway);
            gateway.state = NatGatewayState::Deleted;
            gateway.ended = Some(cloud.now);
            gateway.host = None;
            let interface = gateway.interface.and_then(|id| cloud.world().find::<NetworkInterface>(&id).cloned());
            if let Some(interface) = interface {
                // Its Elastic IP addresses remain their owner's.
                super::interface::delete(cloud, &interface);
            }
            cloud.put(gateway);
        } else if gateway.state == NatGatewayState::Failed {
            gateway.state = NatGatewayState::Deleted;
            cloud.put(gateway);
        }
        Ok(DeleteNatGatewayResponse { nat_gateway_id })
    }
}

impl Handle for DescribeNatGateways {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<DescribeNatGatewaysResponse, Error> {
        for id in &self.nat_gateway_ids {
            owned(cloud, *id)?;
        }
        let page = Page { max_results: self.max_results, next_token: self.next_token.as_deref() };
        let query = Query { ids: &self.nat_gateway_ids, filters: &self.filters, page };
        let (found, next_token) = cloud.select::<NatGateway>(query, 5..=1000)?;
        let nat_gateways = found.iter().map(|gateway| item(cloud, gateway)).collect();
        Ok(DescribeNatGatewaysResponse { nat_gateways, next_token })
    }
}

/// The caller's own gateway, one that ended too; the actions on gateways have a code of their own for what is not there.
pub(super) fn owned(cloud: &Cloud<'_>, id: NatGatewayId) -> Result<Arc<NatGateway>, Error> {
    let not_found = |_| Error::new("NatGatewayNotFound", format!("NAT gateway {id} was not found"));
    cloud.owned::<NatGateway>(id).map_err(not_found)
}

/// What a gateway has, or had at its end; the primary one first.
pub(super) fn current_addresses(world: &World, gateway: &NatGateway) -> Vec<NatGatewayAddress> {
    let interface = gateway.interface.and_then(|id| world.find::<NetworkInterface>(&id));
    match interface.filter(|_| gateway.state == NatGatewayState::Available) {
        Some(interface) => of_interface(interface),
        None => gateway.ended_with.clone(),
    }
}

impl Describe for NatGateway {
    const FILTERS: &'static [&'static str] = &["connectivity-type", "nat-gateway-id", "state", "subnet-id", "vpc-id"];

    fn is_visible(&self, cloud: &Cloud<'_>) -> bool {
        self.owner == cloud.caller.account
    }

    fn tags<'t>(&'t self, _: &Cloud<'_>) -> &'t Tags {
        &self.tags
    }

    fn values(&self, cloud: &Cloud<'_>, filter: &str) -> Vec<String> {
        match filter {
            "connectivity-type" => texts([self.connectivity.code()]),
            "nat-gateway-id" => texts([self.id]),
            "state" => texts([cloud.word(self.id, self.state.code())]),
            "subnet-id" => texts([self.subnet]),
            "vpc-id" => texts([self.vpc]),
            _ => Vec::new(),
        }
    }

    fn place(_: &Cloud<'_>, filter: &str, value: &str) -> Option<Place<Self::Id>> {
        match filter {
            "nat-gateway-id" => Place::of_id(value),
            "subnet-id" => Place::naming::<SubnetId>(value),
            "vpc-id" => Place::naming::<VpcId>(value),
            _ => None,
        }
    }
}

fn item(cloud: &Cloud<'_>, gateway: &NatGateway) -> NatGatewayItem {
    let (failure_code, failure_message) = gateway.failure.clone().unzip();
    let status = if gateway.failure.is_some() { "failed" } else { "succeeded" };
    let all = current_addresses(cloud.world(), gateway);
    NatGatewayItem {
        create_time: gateway.created,
        delete_time: gateway.ended,
        failure_code,
        failure_message,
        nat_gateway_addresses: all.iter().enumerate().map(|(at, one)| addresses::item(one, at == 0, status)).collect(),
        nat_gateway_id: gateway.id,
        state: cloud.word(gateway.id, gateway.state.code()),
        subnet_id: gateway.subnet,
        vpc_id: gateway.vpc,
        tag_set: gateway.tags.clone(),
        connectivity_type: gateway.connectivity.code(),
        availability_mode: "zonal",
    }
}

/// A mapped Elastic IP address is nobody else's to map.
pub(super) fn is_mapped(world: &World, id: AllocationId) -> bool {
    association(world, id).is_some()
}
