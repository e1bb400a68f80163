//! Network interfaces (spec 8.1-8.4).

use std::collections::BTreeSet;

use ec2::Error;
use ec2::page::Page;
use ec2::shapes::interface::*;
use ec2::shapes::{Done, TagSpecification};
use ec2::value::Attribute;
use model::*;

use super::interface_public::{association, association_item, association_of};
use super::{Handle, group_vpc, interface_limit, interface_option, interface_permission, interface_tracking};
use crate::addresses::{self, Wanted};
use crate::describe::{Describe, Place, Query};
use crate::rules::texts;
use crate::timing::Wait;
use crate::{Cloud, public};

impl Handle for CreateNetworkInterface {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<CreateNetworkInterfaceResponse, Error> {
        let token = self.client_token.as_deref();
        if let Some(earlier) = cloud.replay::<NetworkInterfaceId>(Self::NAME, token)? {
            let interface = cloud.owned::<NetworkInterface>(earlier)?;
            return Ok(CreateNetworkInterfaceResponse {
                network_interface: item(cloud, &interface),
                client_token: self.client_token,
            });
        }
        interface_option::check_card(None, self.interface_type.as_deref())?;
        let tags = TagSpecification::tags(&self.tag_specifications, &["network-interface"], "network-interface")?;
        let addresses = Wanted {
            primary: self.private_ip_address,
            listed: &self.private_ip_addresses,
            secondary_count: self.secondary_private_ip_address_count,
            ipv6: &self.ipv6_addresses,
            ipv6_count: self.ipv6_address_count,
        };
        let description = self.description.clone().unwrap_or_default();
        let interface = create(cloud, self.subnet_id, &self.security_group_ids, addresses, description, tags)?;
        let mut interface = interface_tracking::set(cloud, interface, self.connection_tracking_specification.as_ref())?;
        interface_option::set_primary_ipv6(&mut interface, self.enable_primary_ipv6)?;
        cloud.put(interface.clone());
        cloud.remember(Self::NAME, token, interface.id);
        Ok(CreateNetworkInterfaceResponse {
            network_interface: item(cloud, &interface),
            client_token: self.client_token,
        })
    }
}

use ec2::Operation;

/// A new interface in the caller's subnet, attached to nothing; it is in the World then.
pub(super) fn create(
    cloud: &mut Cloud<'_>,
    subnet: SubnetId,
    groups: &[SecurityGroupId],
    addresses: Wanted<'_>,
    description: String,
    tags: Tags,
) -> Result<NetworkInterface, Error> {
    interface_option::check_description(&description)?;
    let subnet = cloud.owned::<Subnet>(subnet)?;
    let max = cloud.config.quotas.network_interfaces;
    if cloud.own_count::<NetworkInterface>() >= max {
        return Err(Error::new(
            "NetworkInterfaceLimitExceeded",
            format!("You have reached the limit of {max} network interfaces in this region"),
        ));
    }
    let groups = checked_groups(cloud, subnet.vpc, groups)?;
    let (private_ips, ipv6_addresses) = addresses.allocate(cloud, &subnet)?;
    let interface = NetworkInterface {
        id: cloud.draw.id(),
        subnet: subnet.id,
        vpc: subnet.vpc,
        owner: cloud.caller.account,
        zone: subnet.zone,
        mac: MacAddr::from_random(cloud.draw.u64()),
        description,
        private_ips,
        ipv6_addresses,
        has_primary_ipv6: false,
        public: Vec::new(),
        kind: InterfaceKind::Interface,
        groups,
        source_dest_check: true,
        connection_tracking: ConnectionTracking::default(),
        attachment: None,
        created: cloud.now,
        tags,
    };
    cloud.put(interface.clone());
    Ok(interface)
}

/// The groups that an interface of this VPC may have; none named is the VPC's default group (spec 6.1.3).
fn checked_groups(
    cloud: &Cloud<'_>,
    vpc: VpcId,
    groups: &[SecurityGroupId],
) -> Result<BTreeSet<SecurityGroupId>, Error> {
    if groups.is_empty() {
        return Ok(BTreeSet::from([cloud.owned::<Vpc>(vpc)?.default_group]));
    }
    for id in groups {
        let group = cloud.owned::<SecurityGroup>(*id)?;
        if group.vpc != vpc && !group_vpc::is_lent(cloud.world(), *id, vpc) {
            let message = format!("Security group {id} and the subnet belong to different networks.");
            return Err(Error::new("InvalidParameter", message));
        }
    }
    let groups: BTreeSet<_> = groups.iter().copied().collect();
    let max = cloud.config.quotas.security_groups_per_interface;
    if groups.len() > max {
        return Err(Error::new(
            "SecurityGroupsPerInterfaceLimitExceeded",
            format!("The maximum number of security groups per interface has been reached: {} of {max}", groups.len()),
        ));
    }
    Ok(groups)
}

/// Replaces the groups of the caller's interface.
pub(super) fn set_groups(
    cloud: &mut Cloud<'_>,
    id: NetworkInterfaceId,
    groups: &[SecurityGroupId],
) -> Result<(), Error> {
    let groups = checked_groups(cloud, cloud.owned::<NetworkInterface>(id)?.vpc, groups)?;
    cloud.update::<NetworkInterface, _>(id, |interface| {
        interface.groups = groups;
        Ok(())
    })
}

impl Handle for DeleteNetworkInterface {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<Done, Error> {
        let interface = cloud.owned::<NetworkInterface>(self.network_interface_id)?;
        check_managed_by_user(&interface)?;
        if let Some(attachment) = &interface.attachment {
            let message = format!(
                "Network interface '{}' is currently in use by {}; detach it first",
                interface.id, attachment.instance
            );
            return Err(Error::invalid_value(message));
        }
        delete(cloud, &interface);
        Ok(Done::TRUE)
    }
}

/// Deletes an interface that nothing uses any more: its addresses are given back, and nobody is permitted anything.
pub(super) fn delete(cloud: &mut Cloud<'_>, interface: &NetworkInterface) {
    for permission in interface_permission::ids_of(cloud.world(), interface.id) {
        cloud.delete::<InterfacePermission>(permission);
    }
    addresses::release(cloud, interface.subnet, interface.addresses());
    cloud.change_all(public::resting(interface, cloud.now));
    cloud.delete::<NetworkInterface>(interface.id);
}

impl Handle for DescribeNetworkInterfaces {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<DescribeNetworkInterfacesResponse, Error> {
        let page = Page { max_results: self.max_results, next_token: self.next_token.as_deref() };
        let query = Query { ids: &self.network_interface_ids, filters: &self.filters, page };
        let (found, next_token) = cloud.select::<NetworkInterface>(query, 5..=1000)?;
        Ok(DescribeNetworkInterfacesResponse {
            network_interface_set: found.iter().map(|interface| item(cloud, interface)).collect(),
            next_token,
        })
    }
}

impl Handle for ModifyNetworkInterfaceAttribute {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<Done, Error> {
        let id = self.network_interface_id;
        let given = usize::from(self.description.is_some())
            + usize::from(self.source_dest_check.is_some())
            + usize::from(!self.security_group_ids.is_empty())
            + usize::from(self.attachment.is_some())
            + usize::from(self.connection_tracking_specification.is_some())
            + usize::from(self.ena_srd_specification.is_some())
            + usize::from(self.enable_primary_ipv6.is_some());
        match given {
            1 => {}
            0 => {
                return Err(Error::new(
                    "MissingParameter",
                    "The request must contain an attribute to modify: Description, SourceDestCheck, SecurityGroupId, Attachment, ConnectionTrackingSpecification, EnaSrdSpecification or EnablePrimaryIpv6",
                ));
            }
            _ => {
                return Err(Error::invalid_combination(
                    "Only one attribute can be modified at a time; send one request for each",
                ));
            }
        }
        check_managed_by_user(&*cloud.owned::<NetworkInterface>(id)?)?;
        if !self.security_group_ids.is_empty() {
            set_groups(cloud, id, &self.security_group_ids)?;
        }
        cloud.update::<NetworkInterface, _>(id, |interface| {
            if let Some(Attribute(description)) = self.description {
                interface_option::check_description(&description)?;
                interface.description = description;
            }
            if let Some(Attribute(check)) = self.source_dest_check {
                interface.source_dest_check = check;
            }
            if let Some(input) = &self.connection_tracking_specification {
                interface.connection_tracking = interface_tracking::changed(interface.connection_tracking, input)?;
            }
            if let Some(change) = self.attachment {
                let attachment =
                    interface.attachment.as_mut().filter(|attachment| attachment.id == change.attachment_id);
                let attachment = attachment.ok_or_else(|| Error::not_found(change.attachment_id))?;
                attachment.delete_on_termination =
                    change.delete_on_termination.unwrap_or(attachment.delete_on_termination);
                attachment.ena = interface_option::changed_ena(attachment.ena, None, change.ena_queue_count)?;
                if change.default_ena_queue_count == Some(true) {
                    attachment.ena.queue_count = None;
                }
            }
            if let Some(srd) = &self.ena_srd_specification {
                let attachment = interface.attachment.as_mut().ok_or_else(|| {
                    Error::invalid_value("ENA Express is a setting of an attachment; attach the interface first")
                })?;
                attachment.ena = interface_option::changed_ena(attachment.ena, Some(srd), None)?;
            }
            interface_option::set_primary_ipv6(interface, self.enable_primary_ipv6)?;
            Ok(Done::TRUE)
        })
    }
}

impl Handle for DescribeNetworkInterfaceAttribute {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<DescribeNetworkInterfaceAttributeResponse, Error> {
        let interface = cloud.owned::<NetworkInterface>(self.network_interface_id)?;
        let mut reply = DescribeNetworkInterfaceAttributeResponse {
            attachment: None,
            description: None,
            group_set: None,
            network_interface_id: interface.id,
            source_dest_check: None,
        };
        match self.attribute.as_deref() {
            Some("attachment") => reply.attachment = attachment_item(cloud, &interface),
            Some("description") => reply.description = Some(Attribute(interface.description.clone())),
            Some("groupSet") => reply.group_set = Some(group_items(cloud, &interface.groups)),
            Some("sourceDestCheck") => reply.source_dest_check = Some(Attribute(interface.source_dest_check)),
            Some(other) => {
                return Err(Error::invalid_parameter(
                    "attribute",
                    other,
                    "Expected description, groupSet, sourceDestCheck or attachment.",
                ));
            }
            None => return Err(Error::missing_parameter("Attribute")),
        }
        Ok(reply)
    }
}

impl Handle for AttachNetworkInterface {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<AttachNetworkInterfaceResponse, Error> {
        interface_option::check_card(self.network_card_index, None)?;
        let srd = self.ena_srd_specification.as_ref();
        let ena = interface_option::changed_ena(EnaOptions::default(), srd, self.ena_queue_count)?;
        let instance = cloud.owned::<Instance>(self.instance_id)?;
        let attachment_id = attach(cloud, self.network_interface_id, &instance, self.device_index, false)?;
        interface_option::set_ena(cloud, self.network_interface_id, ena)?;
        cloud.takes_time(attachment_id, Phase::Attaching, Wait::Attach);
        Ok(AttachNetworkInterfaceResponse { attachment_id, network_card_index: 0 })
    }
}

/// Device indexes of one instance.
const DEVICE_INDEX_MAX: i32 = 15;

/// Attaches the caller's free interface to the instance.
pub(super) fn attach(
    cloud: &mut Cloud<'_>,
    id: NetworkInterfaceId,
    instance: &Instance,
    device_index: i32,
    delete_on_termination: bool,
) -> Result<AttachmentId, Error> {
    let index = u32::try_from(device_index).ok().filter(|_| device_index <= DEVICE_INDEX_MAX);
    let device_index = index.ok_or_else(|| {
        Error::invalid_parameter("DeviceIndex", device_index, &format!("Expected 0 to {DEVICE_INDEX_MAX}."))
    })?;
    let interface = cloud.owned::<NetworkInterface>(id)?;
    if interface.attachment.is_some() || !interface.kind.is_ordinary() {
        return Err(Error::new("InvalidNetworkInterface.InUse", format!("Interface: [{id}] in use.")));
    }
    if !matches!(
        instance.state,
        InstanceState::Pending | InstanceState::Running | InstanceState::Stopping | InstanceState::Stopped
    ) {
        return Err(Error::new(
            "IncorrectState",
            format!("Instance '{}' is {}; attach to a running or stopped one", instance.id, instance.state.name()),
        ));
    }
    if interface.zone != instance.zone {
        return Err(Error::invalid_value(format!(
            "You may not attach a network interface to an instance if they are not in the same availability zone: {id} is in {}, {} in {}",
            interface.zone, instance.id, instance.zone
        )));
    }
    let taken: BTreeSet<u32> =
        attached_to(cloud, instance.id).filter_map(|other| Some(other.attachment.as_ref()?.device_index)).collect();
    if taken.contains(&device_index) {
        return Err(Error::invalid_value(format!(
            "Instance '{}' already has an interface attached at device index '{device_index}'.",
            instance.id
        )));
    }
    check_limits(&interface, &instance.instance_type, taken.len() + 1)?;
    let attachment = Attachment {
        id: cloud.draw.id(),
        instance: instance.id,
        device_index,
        attached: cloud.now,
        delete_on_termination,
        ena: EnaOptions::default(),
        public_at_start: false,
    };
    let attachment_id = attachment.id;
    cloud.update::<NetworkInterface, _>(id, |interface| {
        interface.attachment = Some(attachment);
        Ok(attachment_id)
    })
}

/// What is attached to the instance is within what that type may have.
///
/// # Errors
/// `AttachmentLimitExceeded`, `PrivateIpAddressLimitExceeded`.
pub(super) fn check_type(cloud: &Cloud<'_>, instance: InstanceId, instance_type: &str) -> Result<(), Error> {
    let count = attached_to(cloud, instance).count();
    attached_to(cloud, instance).try_for_each(|interface| check_limits(interface, instance_type, count))
}

/// So many interfaces, this one among them, are within what an instance of the type may have, and so are its addresses.
fn check_limits(interface: &NetworkInterface, instance_type: &str, count: usize) -> Result<(), Error> {
    let limits = interface_limit::of_type(instance_type);
    if count > limits.interfaces {
        let message = format!(
            "Interface count {count} exceeds the limit for {instance_type}, which is {}; detach some or take a larger type",
            limits.interfaces
        );
        return Err(Error::new("AttachmentLimitExceeded", message));
    }
    let addresses = interface.private_ips.len().max(interface.ipv6_addresses.len());
    addresses::check_count(addresses, limits.addresses).map_err(|error| {
        let message =
            format!("{}, on a {instance_type}; unassign some of {} or take a larger type", error.message, interface.id);
        Error { message, ..error }
    })
}

/// An instance's interfaces.
pub(super) fn attached_to<'c>(
    cloud: &'c Cloud<'_>,
    instance: InstanceId,
) -> impl Iterator<Item = &'c std::sync::Arc<NetworkInterface>> {
    cloud.world().by::<NetworkInterface>(By::id(instance))
}

/// Of an instance's interfaces, which is meant must be said.
pub(super) fn several(id: InstanceId) -> Error {
    let message = format!(
        "There are multiple interfaces attached to instance '{id}'. Please specify an interface ID for the operation instead."
    );
    Error::new("InvalidInstanceID", message)
}

impl Handle for DetachNetworkInterface {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<Done, Error> {
        let interface = cloud.own_by::<NetworkInterface>(By::id(self.attachment_id)).next().cloned();
        let interface = interface.ok_or_else(|| Error::not_found(self.attachment_id))?;
        if interface.attachment.as_ref().is_some_and(|attachment| attachment.device_index == 0) {
            return Err(Error::not_permitted("The network interface at device index 0 cannot be detached."));
        }
        if cloud.ends_later(self.attachment_id, Phase::Detaching, Wait::Detach) {
            return Ok(Done::TRUE);
        }
        cloud.update::<NetworkInterface, _>(interface.id, |interface| {
            interface.attachment = None;
            Ok(Done::TRUE)
        })
    }
}

impl Handle for ResetNetworkInterfaceAttribute {
    /// The word itself says nothing: there is one attribute that can be reset.
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<Done, Error> {
        check_managed_by_user(&*cloud.owned::<NetworkInterface>(self.network_interface_id)?)?;
        if self.source_dest_check.is_none() {
            return Err(Error::missing_parameter("SourceDestCheck"));
        }
        cloud.update::<NetworkInterface, _>(self.network_interface_id, |interface| {
            interface.source_dest_check = true;
            Ok(Done::TRUE)
        })
    }
}

impl Describe for NetworkInterface {
    const FILTERS: &'static [&'static str] = &[
        "addresses.association.ip-owner-id",
        "addresses.association.owner-id",
        "addresses.association.public-ip",
        "addresses.primary",
        "addresses.private-ip-address",
        "association.allocation-id",
        "association.association-id",
        "association.ip-owner-id",
        "association.public-dns-name",
        "association.public-ip",
        "attachment.attach-time",
        "attachment.attachment-id",
        "attachment.delete-on-termination",
        "attachment.device-index",
        "attachment.instance-id",
        "attachment.instance-owner-id",
        "attachment.status",
        "availability-zone",
        "availability-zone-id",
        "description",
        "group-id",
        "group-name",
        "interface-type",
        "ipv6-addresses.ipv6-address",
        "mac-address",
        "network-interface-id",
        "operator.managed",
        "operator.principal",
        "owner-id",
        "private-dns-name",
        "private-ip-address",
        "requester-id",
        "requester-managed",
        "source-dest-check",
        "status",
        "subnet-id",
        "vpc-id",
    ];

    fn is_visible(&self, cloud: &Cloud<'_>) -> bool {
        self.owner == cloud.caller.account
    }

    fn tags<'t>(&'t self, _: &Cloud<'_>) -> &'t Tags {
        &self.tags
    }

    fn values(&self, cloud: &Cloud<'_>, filter: &str) -> Vec<String> {
        let attachment = self.attachment.as_ref();
        let one = |value: Option<String>| value.into_iter().collect();
        match filter {
            "addresses.association.ip-owner-id" | "addresses.association.owner-id" => {
                self.public.iter().map(|at| association_item(cloud, self, at).ip_owner_id).collect()
            }
            "addresses.association.public-ip" => self.public.iter().map(|at| at.public.to_string()).collect(),
            "addresses.association.allocation-id" => self
                .public
                .iter()
                .filter_map(|at| Some(association_item(cloud, self, at).allocation_id?.to_string()))
                .collect(),
            "addresses.association.association-id" => self
                .public
                .iter()
                .filter_map(|at| Some(association_item(cloud, self, at).association_id?.to_string()))
                .collect(),
            "addresses.association.public-dns-name" => {
                self.public.iter().map(|at| association_item(cloud, self, at).public_dns_name).collect()
            }
            "addresses.private-dns-name" => {
                address_items(cloud, self).into_iter().filter_map(|address| address.private_dns_name).collect()
            }
            "attachment.network-card-index" => one(attachment.map(|_| "0".into())),
            "ipv6-addresses.is-primary-ipv6" => {
                ipv6_items(self).iter().map(|address| address.is_primary_ipv6.to_string()).collect()
            }
            "association.allocation-id" => texts(association(cloud, self).and_then(|item| item.allocation_id)),
            "association.association-id" => texts(association(cloud, self).and_then(|item| item.association_id)),
            "association.ip-owner-id" => texts(association(cloud, self).map(|item| item.ip_owner_id)),
            "association.public-dns-name" => texts(association(cloud, self).map(|item| item.public_dns_name)),
            "association.public-ip" => texts(association(cloud, self).map(|item| item.public_ip)),
            "addresses.primary" => {
                vec!["true".into(), "false".into()].into_iter().take(self.private_ips.len()).collect()
            }
            "addresses.private-ip-address" => self.private_ips.iter().map(ToString::to_string).collect(),
            "attachment.attach-time" => one(attachment.map(|a| a.attached.to_string())),
            "attachment.attachment-id" => one(attachment.map(|a| a.id.to_string())),
            "attachment.delete-on-termination" => one(attachment.map(|a| a.delete_on_termination.to_string())),
            "attachment.device-index" => one(attachment.map(|a| a.device_index.to_string())),
            "attachment.instance-id" => one(attachment.map(|a| a.instance.to_string())),
            "attachment.instance-owner-id" => one(attachment.map(|_| self.owner.to_string())),
            "attachment.status" => one(attachment.map(|a| cloud.word(a.id, "attached").into())),
            "availability-zone" => vec![self.zone.to_string()],
            "availability-zone-id" => vec![self.zone.id()],
            "description" => vec![self.description.clone()],
            "group-id" => self.groups.iter().map(ToString::to_string).collect(),
            "group-name" => group_items(cloud, &self.groups).into_iter().map(|group| group.group_name).collect(),
            "interface-type" => vec![kind_name(self).into()],
            "ipv6-addresses.ipv6-address" => self.ipv6_addresses.iter().map(ToString::to_string).collect(),
            "mac-address" => vec![self.mac.to_string()],
            "network-interface-id" => vec![self.id.to_string()],
            "operator.managed" => vec!["false".into()],
            "owner-id" => vec![self.owner.to_string()],
            "private-dns-name" => one(private_dns_name(cloud, self)),
            "private-ip-address" => vec![self.primary_ip().to_string()],
            "requester-managed" => vec![(!self.kind.is_ordinary()).to_string()],
            "source-dest-check" => vec![self.source_dest_check.to_string()],
            "status" => vec![status(self).into()],
            "subnet-id" => vec![self.subnet.to_string()],
            "vpc-id" => vec![self.vpc.to_string()],
            _ => Vec::new(),
        }
    }

    fn place(_: &Cloud<'_>, filter: &str, value: &str) -> Option<Place<Self::Id>> {
        match filter {
            "network-interface-id" => Place::of_id(value),
            "vpc-id" => Place::naming::<VpcId>(value),
            "subnet-id" => Place::naming::<SubnetId>(value),
            "group-id" => Place::naming::<SecurityGroupId>(value),
            "attachment.attachment-id" => Place::naming::<AttachmentId>(value),
            "attachment.instance-id" => Place::naming::<InstanceId>(value),
            "association.allocation-id" => Place::naming::<AllocationId>(value),
            "association.association-id" => Place::naming::<AddressAssociationId>(value),
            "addresses.association.public-ip"
            | "addresses.private-ip-address"
            | "association.public-ip"
            | "ipv6-addresses.ipv6-address"
            | "private-ip-address" => Place::of_address(value),
            "description" | "mac-address" => Place::of_name(value),
            _ => None,
        }
    }
}

/// `in-use` once attached.
pub(super) fn status(interface: &NetworkInterface) -> &'static str {
    if interface.attachment.is_some() || !interface.kind.is_ordinary() { "in-use" } else { "available" }
}

/// The API's word for what an interface is for.
fn kind_name(interface: &NetworkInterface) -> &'static str {
    match interface.kind {
        InterfaceKind::Interface => "interface",
        InterfaceKind::NatGateway => "nat_gateway",
    }
}

/// What serves a gateway is made, changed and ended by that (spec 8.1).
///
/// # Errors
/// `OperationNotPermitted`.
pub(super) fn check_managed_by_user(interface: &NetworkInterface) -> Result<(), Error> {
    if interface.kind.is_ordinary() {
        return Ok(());
    }
    let message = format!(
        "You do not have permission to change the network interface {}: it is managed by the gateway that it serves",
        interface.id
    );
    Err(Error::not_permitted(message))
}

/// Groups with their names.
pub(super) fn group_items(cloud: &Cloud<'_>, groups: &BTreeSet<SecurityGroupId>) -> Vec<GroupIdentifier> {
    let name = |id: &SecurityGroupId| {
        cloud.world().find::<SecurityGroup>(id).map(|group| group.name.clone()).unwrap_or_default()
    };
    groups.iter().map(|id| GroupIdentifier { group_id: *id, group_name: name(id) }).collect()
}

/// `ip-10-0-0-5.ec2.internal`, shown where the VPC gives host names.
pub(super) fn private_dns_name(cloud: &Cloud<'_>, interface: &NetworkInterface) -> Option<String> {
    let vpc = cloud.world().find::<Vpc>(&interface.vpc)?;
    vpc.enable_dns_hostnames.then(|| cloud.config.names.private_name(cloud.config.region, interface.primary_ip()))
}

pub(super) fn address_items(cloud: &Cloud<'_>, interface: &NetworkInterface) -> Vec<PrivateIpAddressItem> {
    let named = private_dns_name(cloud, interface).is_some();
    let item = |(index, address): (usize, &std::net::Ipv4Addr)| PrivateIpAddressItem {
        association: association_of(cloud, interface, *address),
        primary: index == 0,
        private_dns_name: named.then(|| cloud.config.names.private_name(cloud.config.region, *address)),
        private_ip_address: *address,
    };
    interface.private_ips.iter().enumerate().map(item).collect()
}

pub(super) fn ipv6_items(interface: &NetworkInterface) -> Vec<Ipv6AddressItem> {
    interface
        .ipv6_addresses
        .iter()
        .enumerate()
        .map(|(at, address)| Ipv6AddressItem {
            ipv6_address: *address,
            is_primary_ipv6: at == 0 && interface.has_primary_ipv6,
        })
        .collect()
}

fn attachment_item(cloud: &Cloud<'_>, interface: &NetworkInterface) -> Option<InterfaceAttachmentItem> {
    interface.attachment.as_ref().map(|attachment| InterfaceAttachmentItem {
        attach_time: attachment.attached,
        attachment_id: attachment.id,
        delete_on_termination: attachment.delete_on_termination,
        device_index: attachment.device_index,
        network_card_index: 0,
        instance_id: attachment.instance,
        instance_owner_id: interface.owner,
        status: cloud.word(attachment.id, "attached"),
        ena_srd_specification: interface_option::srd_item(&attachment.ena),
        ena_queue_count: attachment.ena.queue_count,
    })
}

fn item(cloud: &Cloud<'_>, interface: &NetworkInterface) -> NetworkInterfaceItem {
    NetworkInterfaceItem {
        association: association(cloud, interface),
        attachment: attachment_item(cloud, interface),
        availability_zone: interface.zone,
        availability_zone_id: interface.zone.id(),
        connection_tracking_configuration: interface_tracking::item(&interface.connection_tracking),
        description: interface.description.clone(),
        group_set: group_items(cloud, &interface.groups),
        interface_type: kind_name(interface),
        ipv6_addresses_set: ipv6_items(interface),
        mac_address: interface.mac,
        network_interface_id: interface.id,
        owner_id: interface.owner,
        private_dns_name: private_dns_name(cloud, interface),
        private_ip_address: interface.primary_ip(),
        private_ip_addresses_set: address_items(cloud, interface),
        requester_managed: !interface.kind.is_ordinary(),
        source_dest_check: interface.source_dest_check,
        status: status(interface),
        subnet_id: interface.subnet,
        tag_set: interface.tags.clone(),
        vpc_id: interface.vpc,
    }
}
