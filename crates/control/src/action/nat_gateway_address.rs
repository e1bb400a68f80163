//! The addresses of NAT gateways: Elastic ones of public gateways, private ones of private gateways (spec 8.8).

use std::net::{IpAddr, Ipv4Addr};

use ec2::Error;
use ec2::shapes::nat_gateway::*;
use model::*;

use super::Handle;
use super::nat_gateway::{Failure, is_mapped, owned};
use crate::Cloud;
use crate::addresses::{release, secondary};

/// Private addresses of one gateway, of whatever kind (AWS: eight for each, the primary one among them).
const ADDRESSES_MAX: usize = 8;

impl Handle for AssociateNatGatewayAddress {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<NatGatewayAddressesResponse, Error> {
        if self.availability_zone.is_some() || self.availability_zone_id.is_some() {
            let message = "Only a regional NAT gateway has addresses in several zones; leave AvailabilityZone out";
            return Err(Error::new("UnsupportedOperation", message));
        }
        let (gateway, mut interface) = available(cloud, self.nat_gateway_id, Connectivity::Public)?;
        if self.allocation_ids.is_empty() {
            return Err(Error::missing_parameter("AllocationId"));
        }
        if !self.private_ip_addresses.is_empty() && self.private_ip_addresses.len() != self.allocation_ids.len() {
            return Err(Error::invalid_combination("Give as many PrivateIpAddress as AllocationId, or none"));
        }
        for id in &self.allocation_ids {
            cloud.owned::<ElasticAddress>(*id)?;
        }
        if let Some(Failure(code, message)) = refusal(cloud, &gateway, &self.allocation_ids) {
            return Err(Error::new(code, message));
        }
        let count = i32::try_from(self.allocation_ids.len()).unwrap_or(i32::MAX);
        let count = self.private_ip_addresses.is_empty().then_some(count);
        let added = add(cloud, &mut interface, &self.private_ip_addresses, count)?;
        for (private, allocation) in added.iter().zip(&self.allocation_ids) {
            map(cloud, &mut interface, *private, *allocation)?;
        }
        let response = of_these(&gateway, &interface, &added, "succeeded");
        cloud.put(interface);
        Ok(response)
    }
}

impl Handle for DisassociateNatGatewayAddress {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<NatGatewayAddressesResponse, Error> {
        check_drain(self.max_drain_duration_seconds)?;
        let (gateway, interface) = available(cloud, self.nat_gateway_id, Connectivity::Public)?;
        if self.association_ids.is_empty() {
            return Err(Error::missing_parameter("AssociationId"));
        }
        let mut gone = Vec::new();
        for id in &self.association_ids {
            let is_it = |at: &&PublicAssociation| at.elastic.is_some_and(|(_, association)| association == *id);
            let found = interface.public.iter().find(is_it).ok_or_else(|| Error::not_found(*id))?;
            gone.push(found.private);
        }
        let response = of_these(&gateway, &interface, &gone, "disassociating");
        remove(cloud, interface, &gone)?;
        Ok(response)
    }
}

impl Handle for AssignPrivateNatGatewayAddress {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<NatGatewayAddressesResponse, Error> {
        let (gateway, mut interface) = available(cloud, self.nat_gateway_id, Connectivity::Private)?;
        if self.private_ip_addresses.is_empty() == self.private_ip_address_count.is_none() {
            return Err(Error::invalid_combination("Give either PrivateIpAddress or PrivateIpAddressCount"));
        }
        let added = add(cloud, &mut interface, &self.private_ip_addresses, self.private_ip_address_count)?;
        let response = of_these(&gateway, &interface, &added, "succeeded");
        cloud.put(interface);
        Ok(response)
    }
}

impl Handle for UnassignPrivateNatGatewayAddress {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<NatGatewayAddressesResponse, Error> {
        check_drain(self.max_drain_duration_seconds)?;
        let (gateway, interface) = available(cloud, self.nat_gateway_id, Connectivity::Private)?;
        if self.private_ip_addresses.is_empty() {
            return Err(Error::missing_parameter("PrivateIpAddress"));
        }
        let response = of_these(&gateway, &interface, &self.private_ip_addresses, "unassigning");
        remove(cloud, interface, &self.private_ip_addresses)?;
        Ok(response)
    }
}

/// A gateway that lives, of this kind, and its interface.
fn available(cloud: &Cloud<'_>, id: NatGatewayId, kind: Connectivity) -> Result<(NatGateway, NetworkInterface), Error> {
    let gateway = owned(cloud, id)?;
    let interface = gateway.interface.and_then(|id| cloud.world().find::<NetworkInterface>(&id));
    let Some(interface) = interface.filter(|_| gateway.state == NatGatewayState::Available) else {
        let message = format!("NAT gateway {id} is {}; only an available one can be changed", gateway.state.code());
        return Err(Error::new("IncorrectState", message));
    };
    if gateway.connectivity != kind {
        let message = format!(
            "NAT gateway {id} is a {} one; this action is for {} ones",
            gateway.connectivity.code(),
            kind.code()
        );
        return Err(Error::new("UnsupportedOperation", message));
    }
    Ok((NatGateway::clone(&*gateway), NetworkInterface::clone(interface)))
}

/// Why a gateway cannot have these Elastic IP addresses, in the words of AWS's failures; `None`: it can.
pub(super) fn refusal(cloud: &Cloud<'_>, gateway: &NatGateway, allocations: &[AllocationId]) -> Option<Failure> {
    let vpc = gateway.vpc;
    let is_attached = cloud.world().count_by::<InternetGateway>(By::id(vpc)) > 0;
    if gateway.connectivity == Connectivity::Public && !is_attached {
        let message = format!("Network {vpc} has no Internet gateway attached");
        return Some(Failure("Gateway.NotAttached".into(), message));
    }
    let is_taken = |(at, id): (usize, &AllocationId)| allocations[..at].contains(id) || is_mapped(cloud.world(), *id);
    let taken = allocations.iter().enumerate().find(|(at, id)| is_taken((*at, id)))?.1;
    let message = format!("Elastic IP address {taken} is already associated");
    Some(Failure("Resource.AlreadyAssociated".into(), message))
}

/// Lets an Elastic IP address stand for a private one of the interface.
pub(super) fn map(
    cloud: &mut Cloud<'_>,
    interface: &mut NetworkInterface,
    private: Ipv4Addr,
    allocation: AllocationId,
) -> Result<(), Error> {
    let public = cloud.owned::<ElasticAddress>(allocation)?.public;
    let elastic = Some((allocation, cloud.draw.id()));
    interface.public.push(PublicAssociation { private, public, elastic });
    Ok(())
}

fn add(
    cloud: &mut Cloud<'_>,
    interface: &mut NetworkInterface,
    named: &[Ipv4Addr],
    count: Option<i32>,
) -> Result<Vec<Ipv4Addr>, Error> {
    let subnet = cloud.owned::<Subnet>(interface.subnet)?;
    let added = secondary(cloud, &subnet, named, count)?;
    interface.private_ips.extend(&added);
    check_count(interface)?;
    Ok(added)
}

/// # Errors
/// `PrivateIpAddressLimitExceeded`.
pub(super) fn check_count(interface: &NetworkInterface) -> Result<(), Error> {
    if interface.private_ips.len() <= ADDRESSES_MAX {
        return Ok(());
    }
    let message = format!("A NAT gateway has at most {ADDRESSES_MAX} private addresses");
    Err(Error::new("PrivateIpAddressLimitExceeded", message))
}

/// Takes addresses away and gives them back to the subnet.
fn remove(cloud: &mut Cloud<'_>, mut interface: NetworkInterface, gone: &[Ipv4Addr]) -> Result<(), Error> {
    for address in gone {
        if *address == interface.primary_ip() {
            let message = format!("{address} is the primary address of the NAT gateway and stays with it");
            return Err(Error::invalid_value(message));
        }
        if !interface.private_ips.contains(address) {
            return Err(Error::invalid_value(format!("{address} is not an address of the NAT gateway")));
        }
    }
    interface.private_ips.retain(|address| !gone.contains(address));
    interface.public.retain(|at| !gone.contains(&at.private));
    release(cloud, interface.subnet, gone.iter().copied().map(IpAddr::V4));
    cloud.put(interface);
    Ok(())
}

/// Connections end at once; AWS lets them end by themselves for up to so many seconds.
fn check_drain(seconds: Option<i32>) -> Result<(), Error> {
    match seconds {
        None | Some(1..=4000) => Ok(()),
        Some(other) => Err(Error::invalid_parameter("MaxDrainDurationSeconds", other, "Expected 1 to 4000.")),
    }
}

/// The addresses of a gateway's interface, the primary one first.
pub(super) fn of_interface(interface: &NetworkInterface) -> Vec<NatGatewayAddress> {
    let of = |private: &Ipv4Addr| {
        let at = interface.public.iter().find(|at| at.private == *private);
        let (allocation, association) = at.and_then(|at| at.elastic).unzip();
        NatGatewayAddress {
            interface: Some(interface.id),
            private: Some(*private),
            public: at.map(|at| at.public),
            allocation,
            association,
        }
    };
    interface.private_ips.iter().map(of).collect()
}

fn of_these(
    gateway: &NatGateway,
    interface: &NetworkInterface,
    private: &[Ipv4Addr],
    status: &'static str,
) -> NatGatewayAddressesResponse {
    let all = of_interface(interface);
    let these = all.iter().filter(|address| address.private.is_some_and(|address| private.contains(&address)));
    let is_primary = |address: &NatGatewayAddress| address.private == Some(interface.primary_ip());
    NatGatewayAddressesResponse {
        nat_gateway_id: gateway.id,
        nat_gateway_addresses: these.map(|address| item(address, is_primary(address), status)).collect(),
    }
}

pub(super) fn item(address: &NatGatewayAddress, is_primary: bool, status: &'static str) -> NatGatewayAddressItem {
    NatGatewayAddressItem {
        allocation_id: address.allocation,
        network_interface_id: address.interface,
        private_ip: address.private,
        public_ip: address.public,
        association_id: address.association,
        is_primary,
        status,
    }
}
