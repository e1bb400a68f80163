//! Addresses that an interface gets and gives back while it is there (spec 8.1, 8.2).

use std::net::{IpAddr, Ipv4Addr};

use ec2::Error;
use ec2::shapes::Done;
use ec2::shapes::interface_address::*;
use model::*;

use super::interface::check_managed_by_user;
use super::{Handle, interface_limit};
use crate::Cloud;
use crate::addresses::{self, check_count};

impl Handle for AssignPrivateIpAddresses {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<AssignPrivateIpAddressesResponse, Error> {
        let interface = cloud.owned::<NetworkInterface>(self.network_interface_id)?;
        check_managed_by_user(&interface)?;
        let subnet = cloud.owned::<Subnet>(interface.subnet)?;
        let how_many = self.secondary_private_ip_address_count;
        if !self.private_ip_addresses.is_empty() && how_many.is_some_and(|count| count > 0) {
            return Err(Error::invalid_combination(
                "PrivateIpAddress and SecondaryPrivateIpAddressCount cannot be used together",
            ));
        }
        let mut fresh = Vec::new();
        for address in &self.private_ip_addresses {
            if !self.take(cloud, &interface, *address)? {
                fresh.push(*address);
            }
        }
        let drawn = addresses::secondary(cloud, &subnet, &fresh, how_many)?;
        if drawn.is_empty() && self.private_ip_addresses.is_empty() {
            return Err(Error::missing_parameter("PrivateIpAddress or SecondaryPrivateIpAddressCount"));
        }
        let assigned = if self.private_ip_addresses.is_empty() { drawn } else { self.private_ip_addresses };
        let max = most(cloud, &interface);
        cloud.update::<NetworkInterface, _>(interface.id, |interface| {
            let added: Vec<Ipv4Addr> =
                assigned.iter().copied().filter(|address| !interface.private_ips.contains(address)).collect();
            interface.private_ips.extend(added);
            check_count(interface.private_ips.len(), max)
        })?;
        let item = |private_ip_address| AssignedPrivateIpAddress { private_ip_address };
        Ok(AssignPrivateIpAddressesResponse {
            network_interface_id: interface.id,
            assigned_private_ip_addresses_set: assigned.into_iter().map(item).collect(),
        })
    }
}

trait Take {
    fn take(&self, cloud: &mut Cloud<'_>, to: &NetworkInterface, address: Ipv4Addr) -> Result<bool, Error>;
}

impl Take for AssignPrivateIpAddresses {
    /// Takes the address from the interface of the subnet that has it; `false`: none has. What it stands for outside moves along.
    fn take(&self, cloud: &mut Cloud<'_>, to: &NetworkInterface, address: Ipv4Addr) -> Result<bool, Error> {
        let has = |interface: &&std::sync::Arc<NetworkInterface>| {
            interface.subnet == to.subnet && interface.private_ips.contains(&address)
        };
        let having = cloud.world().by::<NetworkInterface>(By::address(address));
        let Some(holder) = having.into_iter().find(has).cloned() else { return Ok(false) };
        let is_own = holder.owner == cloud.caller.account && holder.kind.is_ordinary();
        if self.allow_reassignment != Some(true) || !is_own {
            return Err(Error::invalid_value(format!("[{address}] is assigned, but move is not allowed.")));
        }
        if holder.primary_ip() == address {
            return Err(Error::invalid_value(format!(
                "[{address}] is the primary address of {} and stays with it; only secondary addresses can be moved",
                holder.id
            )));
        }
        if holder.id == to.id {
            return Ok(true);
        }
        let moved = cloud.update::<NetworkInterface, _>(holder.id, |holder| {
            holder.private_ips.retain(|other| *other != address);
            let moved: Vec<_> = holder.public.iter().filter(|public| public.private == address).cloned().collect();
            holder.public.retain(|public| public.private != address);
            Ok(moved)
        })?;
        cloud.update::<NetworkInterface, _>(to.id, |interface| {
            interface.private_ips.push(address);
            interface.public.extend(moved);
            Ok(true)
        })
    }
}

/// How many addresses of a family the interface may have: as many as the type of its instance allows.
fn most(cloud: &Cloud<'_>, interface: &NetworkInterface) -> usize {
    let instance = interface.attachment.as_ref().and_then(|a| cloud.world().find::<Instance>(&a.instance));
    instance.map_or(addresses::ADDRESSES_MAX, |instance| interface_limit::of_type(&instance.instance_type).addresses)
}

impl Handle for UnassignPrivateIpAddresses {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<Done, Error> {
        if self.private_ip_addresses.is_empty() {
            return Err(Error::missing_parameter("PrivateIpAddress"));
        }
        let subnet = cloud.update::<NetworkInterface, _>(self.network_interface_id, |interface| {
            check_managed_by_user(interface)?;
            for address in &self.private_ip_addresses {
                if *address == interface.primary_ip() {
                    return Err(Error::invalid_value(format!(
                        "{address} is the primary address of {} and stays with it",
                        interface.id
                    )));
                }
                if !interface.private_ips.contains(address) {
                    return Err(not_assigned(interface.id, *address));
                }
            }
            interface.private_ips.retain(|address| !self.private_ip_addresses.contains(address));
            interface.public.retain(|public| !self.private_ip_addresses.contains(&public.private));
            Ok(interface.subnet)
        })?;
        addresses::release(cloud, subnet, self.private_ip_addresses.iter().copied().map(IpAddr::V4));
        Ok(Done::TRUE)
    }
}

fn not_assigned(id: NetworkInterfaceId, address: impl std::fmt::Display) -> Error {
    Error::invalid_value(format!("Some of the specified addresses are not assigned to interface {id}: {address}"))
}

impl Handle for AssignIpv6Addresses {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<AssignIpv6AddressesResponse, Error> {
        let interface = cloud.owned::<NetworkInterface>(self.network_interface_id)?;
        check_managed_by_user(&interface)?;
        let subnet = cloud.owned::<Subnet>(interface.subnet)?;
        if !self.ipv6_addresses.is_empty() && self.ipv6_address_count.is_some_and(|count| count > 0) {
            return Err(Error::invalid_combination("Ipv6Addresses and Ipv6AddressCount cannot be used together"));
        }
        let assigned = addresses::more_ipv6(cloud, &subnet, &self.ipv6_addresses, self.ipv6_address_count)?;
        if assigned.is_empty() {
            return Err(Error::missing_parameter("Ipv6Addresses or Ipv6AddressCount"));
        }
        let max = most(cloud, &interface);
        cloud.update::<NetworkInterface, _>(interface.id, |interface| {
            interface.ipv6_addresses.extend(&assigned);
            check_count(interface.ipv6_addresses.len(), max)
        })?;
        Ok(AssignIpv6AddressesResponse { network_interface_id: interface.id, assigned_ipv6_addresses: assigned })
    }
}

impl Handle for UnassignIpv6Addresses {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<UnassignIpv6AddressesResponse, Error> {
        if self.ipv6_addresses.is_empty() {
            return Err(Error::missing_parameter("Ipv6Addresses"));
        }
        let subnet = cloud.update::<NetworkInterface, _>(self.network_interface_id, |interface| {
            check_managed_by_user(interface)?;
            let primary = interface.ipv6_addresses.first().filter(|_| interface.has_primary_ipv6).copied();
            for address in &self.ipv6_addresses {
                if Some(*address) == primary {
                    return Err(Error::invalid_value(format!(
                        "{address} is the primary IPv6 address of {} and stays with it",
                        interface.id
                    )));
                }
                if !interface.ipv6_addresses.contains(address) {
                    return Err(not_assigned(interface.id, *address));
                }
            }
            interface.ipv6_addresses.retain(|address| !self.ipv6_addresses.contains(address));
            Ok(interface.subnet)
        })?;
        addresses::release(cloud, subnet, self.ipv6_addresses.iter().copied().map(IpAddr::V6));
        Ok(UnassignIpv6AddressesResponse {
            network_interface_id: self.network_interface_id,
            unassigned_ipv6_addresses: self.ipv6_addresses,
        })
    }
}
