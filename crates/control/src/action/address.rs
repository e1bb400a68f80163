//! Elastic IP addresses (spec 8.7).

use std::net::Ipv4Addr;
use std::sync::Arc;

use ec2::page::Page;
use ec2::shapes::address::*;
use ec2::shapes::{Done, TagSpecification};
use ec2::{Error, Operation};
use model::*;

use super::Handle;
use super::interface::attached_to;
use crate::describe::{Describe, Place, Query};
use crate::rules::texts;
use crate::{Cloud, public};

/// The one kind that there is: for VPCs.
const DOMAIN: &str = "vpc";
/// The provider's own addresses.
const POOL: &str = "amazon";
/// The one attribute that an address has.
const DOMAIN_NAME: &str = "domain-name";

impl Handle for AllocateAddress {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<AllocateAddressResponse, Error> {
        let tags = TagSpecification::tags(&self.tag_specifications, &["elastic-ip"], "elastic-ip")?;
        self.check(cloud)?;
        let max = cloud.config.quotas.elastic_ips;
        if cloud.own_count::<ElasticAddress>() >= max {
            return Err(Error::new("AddressLimitExceeded", "The maximum number of addresses has been reached."));
        }
        let public = match self.address {
            None => public::draw(cloud)?,
            Some(wanted) => {
                let is_ours = public::pool(cloud.config).any(|address| address == wanted);
                let is_free = is_ours && public::is_free(cloud.world(), wanted, cloud.now);
                is_free.then_some(wanted).ok_or_else(|| no_address(wanted))?
            }
        };
        let (id, owner, allocated) = (cloud.draw.id(), cloud.caller.account, cloud.now);
        cloud.put(ElasticAddress { id, owner, public, allocated, domain_name: None, tags });
        Ok(AllocateAddressResponse {
            public_ip: public,
            allocation_id: id,
            public_ipv4_pool: POOL,
            network_border_group: cloud.config.region,
            domain: DOMAIN,
        })
    }
}

trait Check {
    /// What is asked for is what there is.
    fn check(&self, cloud: &Cloud<'_>) -> Result<(), Error>;
}

impl Check for AllocateAddress {
    fn check(&self, cloud: &Cloud<'_>) -> Result<(), Error> {
        match self.domain.as_deref() {
            None | Some(DOMAIN) => {}
            Some(other) => return Err(Error::invalid_parameter("domain", other, "Expected vpc.")),
        }
        match self.public_ipv4_pool.as_deref() {
            None | Some(POOL) => {}
            Some(other) => return Err(Error::invalid_parameter("publicIpv4Pool", other, "Expected amazon.")),
        }
        if self.customer_owned_ipv4_pool.is_some() || self.ipam_pool_id.is_some() {
            return Err(Error::invalid_value("There are no customer-owned or IPAM pools; leave the parameter out"));
        }
        check_border_group(cloud, self.network_border_group.as_deref())
    }
}

fn check_border_group(cloud: &Cloud<'_>, group: Option<&str>) -> Result<(), Error> {
    match group {
        Some(other) if other != cloud.config.region.as_str() => {
            Err(Error::invalid_parameter("networkBorderGroup", other, &format!("Expected {}.", cloud.config.region)))
        }
        _ => Ok(()),
    }
}

fn no_address(address: Ipv4Addr) -> Error {
    Error::new("InvalidAddress.NotFound", format!("Address '{address}' not found."))
}

impl Handle for ReleaseAddress {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<Done, Error> {
        check_border_group(cloud, self.network_border_group.as_deref())?;
        let id = match (self.allocation_id, self.public_ip) {
            (Some(id), None) => id,
            (Some(_), Some(_)) => return Err(one_of_two("allocation id", "public IP")),
            (None, Some(_)) => {
                let message = "You must specify an allocation id when releasing a VPC elastic IP address";
                return Err(Error::invalid_value(message));
            }
            (None, None) => return Err(Error::missing_parameter("AllocationId")),
        };
        let address = cloud.owned::<ElasticAddress>(id)?;
        if association(cloud.world(), id).is_some() {
            let message = format!("Address {} is in use; disassociate it first.", address.public);
            return Err(Error::new("InvalidIPAddress.InUse", message));
        }
        cloud.delete::<ElasticAddress>(id);
        let released = cloud.now;
        cloud.put(RestingAddress { public: address.public, released });
        Ok(Done::TRUE)
    }
}

fn one_of_two(one: &str, other: &str) -> Error {
    Error::invalid_combination(format!("You may specify {one} or {other}, but not both in the same call"))
}

impl Handle for AssociateAddress {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<AssociateAddressResponse, Error> {
        let id = self.allocation_id.ok_or_else(|| {
            let message = "You must specify an allocation id when mapping an address to a VPC instance";
            Error::invalid_combination(message)
        })?;
        if self.public_ip.is_some() {
            return Err(one_of_two("allocation id", "public IP"));
        }
        let address = cloud.owned::<ElasticAddress>(id)?;
        let interface = self.interface(cloud)?;
        check_manageable(&interface)?;
        let private = self.private_ip_address.unwrap_or(interface.primary_ip());
        if !interface.private_ips.contains(&private) {
            return Err(Error::invalid_parameter(
                "privateIpAddress",
                private,
                &format!("It is not an address of interface {}.", interface.id),
            ));
        }
        if cloud.world().count_by::<InternetGateway>(By::id(interface.vpc)) == 0 {
            let message = format!("Network {} is not attached to any internet gateway", interface.vpc);
            return Err(Error::new("Gateway.NotAttached", message));
        }
        let before = association(cloud.world(), id);
        if let Some((there, at)) = &before
            && (there.id, at.private) == (interface.id, private)
            && let Some((_, association_id)) = at.elastic
        {
            // Said twice is said once.
            return Ok(AssociateAddressResponse { association_id });
        }
        let on_target = interface.public.iter().find(|at| at.private == private);
        if self.allow_reassociation == Some(false) {
            let taken = before.as_ref().map(|(_, at)| at).or(on_target).and_then(|at| at.elastic);
            if let Some((allocation, association)) = taken {
                let message = format!("resource {allocation} is already associated with associate-id {association}");
                return Err(Error::new("Resource.AlreadyAssociated", message));
            }
        }
        if let Some((there, _)) = before {
            check_manageable(&there)?;
            unmap(cloud, there.id, id)?;
        }
        // What was assigned at launch goes back for good.
        if let Some(PublicAssociation { public, elastic: None, .. }) = on_target {
            let (public, released) = (*public, cloud.now);
            cloud.put(RestingAddress { public, released });
        }
        let association_id = cloud.draw.id();
        cloud.update::<NetworkInterface, _>(interface.id, |interface| {
            interface.public.retain(|at| at.private != private);
            let elastic = Some((id, association_id));
            interface.public.push(PublicAssociation { private, public: address.public, elastic });
            Ok(())
        })?;
        Ok(AssociateAddressResponse { association_id })
    }
}

trait Target {
    fn interface(&self, cloud: &Cloud<'_>) -> Result<Arc<NetworkInterface>, Error>;
}

impl Target for AssociateAddress {
    /// The interface that is named, or an instance's only one.
    fn interface(&self, cloud: &Cloud<'_>) -> Result<Arc<NetworkInterface>, Error> {
        let instance = match (self.instance_id, self.network_interface_id) {
            (None, Some(id)) => return cloud.owned::<NetworkInterface>(id),
            (Some(id), None) => cloud.owned::<Instance>(id)?,
            (Some(_), Some(_)) => return Err(one_of_two("instance id", "network interface id")),
            (None, None) => {
                return Err(Error::new(
                    "MissingParameter",
                    "Either instance ID or network interface id must be specified",
                ));
            }
        };
        if !(instance.state.is_wanted() || matches!(instance.state, InstanceState::Stopping | InstanceState::Stopped)) {
            let message = format!(
                "The {} instance '{}' is not in a valid state for this operation.",
                instance.state.name(),
                instance.id
            );
            return Err(Error::new("InvalidInstanceID", message));
        }
        let interfaces: Vec<_> = attached_to(cloud, instance.id).cloned().collect();
        match <[_; 1]>::try_from(interfaces) {
            Ok([only]) => Ok(only),
            Err(_) => {
                let message = format!(
                    "There are multiple interfaces attached to instance '{}'. Please specify an interface ID for the operation instead.",
                    instance.id
                );
                Err(Error::new("InvalidInstanceID", message))
            }
        }
    }
}

/// What serves something else is that one's to map.
fn check_manageable(interface: &NetworkInterface) -> Result<(), Error> {
    if interface.kind.is_ordinary() {
        return Ok(());
    }
    let message = format!("You are not allowed to manage addresses of interface {}: it serves a gateway", interface.id);
    Err(Error::not_permitted(message))
}

/// Where an address is mapped to, and as what.
pub(super) fn association(world: &World, id: AllocationId) -> Option<(Arc<NetworkInterface>, PublicAssociation)> {
    let is_it = |at: &&PublicAssociation| at.elastic.is_some_and(|(allocation, _)| allocation == id);
    let found = |interface: &Arc<NetworkInterface>| {
        interface.public.iter().find(is_it).map(|at| (interface.clone(), at.clone()))
    };
    world.by::<NetworkInterface>(By::id(id)).find_map(found)
}

fn unmap(cloud: &mut Cloud<'_>, interface: NetworkInterfaceId, id: AllocationId) -> Result<(), Error> {
    cloud.update::<NetworkInterface, _>(interface, |interface| {
        interface.public.retain(|at| at.elastic.is_none_or(|(allocation, _)| allocation != id));
        Ok(())
    })
}

impl Handle for DisassociateAddress {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<Done, Error> {
        let wanted = match (self.association_id, self.public_ip) {
            (Some(id), None) => id,
            (Some(_), Some(_)) => return Err(one_of_two("association id", "public IP")),
            (None, Some(_)) => {
                let message = "You must specify an association id when unmapping an address from a VPC instance";
                return Err(Error::invalid_value(message));
            }
            (None, None) => return Err(Error::missing_parameter("AssociationId")),
        };
        let found = cloud.own_by::<NetworkInterface>(By::id(wanted)).find_map(|interface| {
            let elastic = interface.public.iter().filter_map(|at| at.elastic);
            let (allocation, _) = elastic.into_iter().find(|(_, association)| *association == wanted)?;
            Some((interface.clone(), allocation))
        });
        let token = wanted.to_string();
        let Some((interface, allocation)) = found else {
            // Said twice is said once (spec 1.3.13): whoever lost the answer asks again.
            let is_done = matches!(cloud.replay::<AllocationId>(Self::NAME, Some(&token)), Ok(Some(_)));
            return if is_done { Ok(Done::TRUE) } else { Err(Error::not_found(wanted)) };
        };
        check_manageable(&interface)?;
        unmap(cloud, interface.id, allocation)?;
        cloud.remember(Self::NAME, Some(&token), allocation);
        Ok(Done::TRUE)
    }
}

impl Handle for DescribeAddresses {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<DescribeAddressesResponse, Error> {
        let mine = |address: &Ipv4Addr| cloud.own_by::<ElasticAddress>(By::address(*address)).next().is_some();
        if let Some(unknown) = self.public_ips.iter().find(|address| !mine(address)) {
            return Err(no_address(*unknown));
        }
        let query = Query { ids: &self.allocation_ids, filters: &self.filters, page: Page::default() };
        let (found, _) = cloud.select::<ElasticAddress>(query, 1..=1000)?;
        let is_named =
            |address: &&Arc<ElasticAddress>| self.public_ips.is_empty() || self.public_ips.contains(&address.public);
        let addresses = found.iter().filter(is_named).map(|address| item(cloud, address)).collect();
        Ok(DescribeAddressesResponse { addresses })
    }
}

impl Describe for ElasticAddress {
    const FILTERS: &'static [&'static str] = &[
        "allocation-id",
        "association-id",
        "domain",
        "instance-id",
        "network-border-group",
        "network-interface-id",
        "network-interface-owner-id",
        "private-ip-address",
        "public-ip",
    ];

    fn is_visible(&self, cloud: &Cloud<'_>) -> bool {
        self.owner == cloud.caller.account
    }

    fn tags<'t>(&'t self, _: &Cloud<'_>) -> &'t Tags {
        &self.tags
    }

    fn values(&self, cloud: &Cloud<'_>, filter: &str) -> Vec<String> {
        let item = item(cloud, self);
        match filter {
            "allocation-id" => texts([item.allocation_id]),
            "association-id" => texts(item.association_id),
            "domain" => texts([item.domain]),
            "instance-id" => texts(item.instance_id),
            "network-border-group" => texts([item.network_border_group]),
            "network-interface-id" => texts(item.network_interface_id),
            "network-interface-owner-id" => texts(item.network_interface_owner_id),
            "private-ip-address" => texts(item.private_ip_address),
            "public-ip" => texts([item.public_ip]),
            _ => Vec::new(),
        }
    }

    fn place(_: &Cloud<'_>, filter: &str, value: &str) -> Option<Place<Self::Id>> {
        match filter {
            "allocation-id" => Place::of_id(value),
            "public-ip" => Place::of_address(value),
            _ => None,
        }
    }
}

fn item(cloud: &Cloud<'_>, address: &ElasticAddress) -> AddressItem {
    let (interface, at) = association(cloud.world(), address.id).unzip();
    AddressItem {
        public_ip: address.public,
        allocation_id: address.id,
        association_id: at.as_ref().and_then(|at| at.elastic).map(|(_, association)| association),
        domain: DOMAIN,
        instance_id: interface.as_ref().and_then(|interface| interface.attachment.as_ref()).map(|at| at.instance),
        network_interface_id: interface.as_ref().map(|interface| interface.id),
        network_interface_owner_id: interface.as_ref().map(|interface| interface.owner),
        private_ip_address: at.map(|at| at.private),
        public_ipv4_pool: POOL,
        network_border_group: cloud.config.region,
        tag_set: address.tags.clone(),
    }
}

impl Handle for DescribeAddressesAttribute {
    /// Only addresses that have the attribute are listed.
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<DescribeAddressesAttributeResponse, Error> {
        check_attribute(self.attribute.as_deref().unwrap_or(DOMAIN_NAME))?;
        let page = Page { max_results: self.max_results, next_token: self.next_token.as_deref() };
        let ids = self.allocation_ids.iter();
        let named = ids.map(|id| cloud.owned::<ElasticAddress>(*id)).collect::<Result<Vec<_>, _>>()?;
        let is_named = |address: &Arc<ElasticAddress>| named.is_empty() || named.iter().any(|one| one.id == address.id);
        let wanted = cloud.own::<ElasticAddress>().filter(|address| is_named(address) && address.domain_name.is_some());
        let (found, next_token) = page.cut(1..=1000, wanted, |address| address.id.to_string())?;
        let addresses = found.into_iter().map(|address| attribute_item(address)).collect();
        Ok(DescribeAddressesAttributeResponse { addresses, next_token })
    }
}

fn check_attribute(attribute: &str) -> Result<(), Error> {
    match attribute {
        DOMAIN_NAME => Ok(()),
        other => Err(Error::invalid_parameter("attribute", other, "Expected domain-name.")),
    }
}

fn attribute_item(address: &ElasticAddress) -> AddressAttributeItem {
    AddressAttributeItem {
        public_ip: address.public,
        allocation_id: address.id,
        ptr_record: address.domain_name.clone(),
    }
}

impl Handle for ModifyAddressAttribute {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<ModifyAddressAttributeResponse, Error> {
        let name = self.domain_name.ok_or_else(|| Error::missing_parameter("DomainName"))?;
        let name = absolute(&name).ok_or_else(|| {
            Error::invalid_parameter("domainName", &name, "Expected a domain name such as mail.example.com.")
        })?;
        cloud.update::<ElasticAddress, _>(self.allocation_id, |address| {
            address.domain_name = Some(name);
            Ok(ModifyAddressAttributeResponse { address: attribute_item(address) })
        })
    }
}

/// A domain name with its last dot, as AWS shows it (RFC 1035 2.3.4).
fn absolute(name: &str) -> Option<String> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let is_letter = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    let is_label = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(is_letter);
    let is_name = name.len() <= 253 && name.contains('.') && name.split('.').all(is_label);
    is_name.then(|| format!("{name}."))
}

impl Handle for ResetAddressAttribute {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<ResetAddressAttributeResponse, Error> {
        check_attribute(&self.attribute)?;
        cloud.update::<ElasticAddress, _>(self.allocation_id, |address| {
            address.domain_name = None;
            Ok(ResetAddressAttributeResponse { address: attribute_item(address) })
        })
    }
}
