//! Instances: launch and description (spec 8.6). What changes them afterwards stands in `instance_state`.

use std::collections::BTreeMap;
use std::sync::Arc;

use ec2::page::Page;
use ec2::shapes::TagSpecification;
use ec2::shapes::instance::*;
use ec2::shapes::interface::{ConnectionTrackingInput, GroupIdentifier};
use ec2::value::Base64;
use ec2::{Error, Operation};
use model::vpc::HostnameType;
use model::*;

use super::interface::{self, address_items, attached_to, group_items, ipv6_items};
use super::interface_public::{association, without_ids};
use super::subnet::hostname_type_name;
use super::{
    Handle, catalogue, default_vpc, instance_option, instance_state, instance_type, interface_option,
    interface_tracking, key_pair, metadata, metadata_default, private_dns,
};
use crate::addresses::Wanted;
use crate::describe::{Describe, Place, Query};
use crate::report;
use crate::{Cloud, public};

/// The longest user data, in bytes before base 64.
const USER_DATA_MAX: usize = 16_384;
const DEFAULT_TYPE: &str = "m1.small";

impl Handle for RunInstances {
    fn handle(mut self, cloud: &mut Cloud<'_>) -> Result<Reservation, Error> {
        if let Some(earlier) = cloud.replay::<ReservationId>(Self::NAME, self.client_token.as_deref())? {
            return Ok(reservation(cloud, earlier));
        }
        default_vpc::fill_in(&mut self, cloud)?;
        let token = self.client_token.as_deref();
        self.check()?;
        key_pair::check_name(cloud, self.key_name.as_deref())?;
        let (subnet, plan) = self.interfaces(cloud)?;
        let count = self.count(cloud, plan.len())?;
        if count > 1 && plan.iter().any(InterfacePlan::is_for_one) {
            return Err(Error::invalid_combination(
                "A network interface or a private address can be given to one instance only; launch one instance at a time",
            ));
        }
        let id = cloud.draw.id();
        let min = self.min_count.unsigned_abs();
        for launch_index in 0..count {
            match cloud.attempt(|cloud| self.launch(cloud, id, launch_index, &subnet, &plan)) {
                // As many as there is room for, but not fewer than asked for at least.
                Err(error) if launch_index >= min && SCARCE.contains(&&*error.code) => break,
                result => result?,
            }
        }
        cloud.remember(Self::NAME, token, id);
        Ok(reservation(cloud, id))
    }
}

/// An interface of the instances to be.
enum InterfacePlan<'q> {
    Existing {
        id: NetworkInterfaceId,
        device_index: i32,
        ena: EnaOptions,
    },
    New {
        subnet: SubnetId,
        groups: &'q [SecurityGroupId],
        addresses: Wanted<'q>,
        description: String,
        device_index: i32,
        delete_on_termination: bool,
        tracking: Option<&'q ConnectionTrackingInput>,
        primary_ipv6: Option<bool>,
        ena: EnaOptions,
        /// `None`: as the subnet says.
        is_public: Option<bool>,
    },
}

impl InterfacePlan<'_> {
    /// Names something that only one instance can have.
    fn is_for_one(&self) -> bool {
        match self {
            InterfacePlan::Existing { .. } => true,
            InterfacePlan::New { addresses, .. } => {
                addresses.primary.is_some() || !addresses.listed.is_empty() || !addresses.ipv6.is_empty()
            }
        }
    }

    fn device_index(&self) -> i32 {
        match self {
            InterfacePlan::Existing { device_index, .. } | InterfacePlan::New { device_index, .. } => *device_index,
        }
    }
}

/// The instances of one call: with the longest user data they are well within the bytes of a store's transaction.
const LAUNCH_MAX: i32 = 40;
/// Records of one call, each instance and interface one: a store's transaction has 128 operations.
const RECORDS_MAX: usize = 120;
/// What a launch may run short of after some instances.
const SCARCE: &[&str] = &["InsufficientFreeAddressesInSubnet", "NetworkInterfaceLimitExceeded"];
/// Characters in the name of a key pair.
const KEY_NAME_MAX: usize = 255;

trait Launch {
    fn count(&self, cloud: &Cloud<'_>, interfaces: usize) -> Result<u32, Error>;
    fn check(&self) -> Result<(), Error>;
    fn interfaces(&self, cloud: &Cloud<'_>) -> Result<(Arc<Subnet>, Vec<InterfacePlan<'_>>), Error>;
    fn launch(
        &self,
        cloud: &mut Cloud<'_>,
        id: ReservationId,
        launch_index: u32,
        subnet: &Subnet,
        plan: &[InterfacePlan<'_>],
    ) -> Result<(), Error>;
}

impl Launch for RunInstances {
    /// As many as asked for and allowed.
    fn count(&self, cloud: &Cloud<'_>, interfaces: usize) -> Result<u32, Error> {
        if self.min_count < 1 {
            return Err(Error::invalid_parameter("minCount", self.min_count, "The minimum is 1."));
        }
        if self.max_count < self.min_count {
            return Err(Error::invalid_parameter("maxCount", self.max_count, "It must not be below MinCount."));
        }
        let max = cloud.config.quotas.instances;
        let ended = cloud.world().count_by::<Instance>(By::terminated(cloud.caller.account));
        let running = cloud.own_count::<Instance>().saturating_sub(ended);
        let free = i32::try_from(max.saturating_sub(running)).unwrap_or(i32::MAX);
        let at_once = i32::try_from(RECORDS_MAX / (1 + interfaces)).unwrap_or(LAUNCH_MAX).min(LAUNCH_MAX);
        if self.min_count > free.min(at_once) {
            let message = format!(
                "You have requested more instances ({}) than your current instance limit of {max} allows, or than the {at_once} of one request; {running} are there",
                self.min_count
            );
            return Err(Error::new("InstanceLimitExceeded", message));
        }
        Ok(self.max_count.min(free).min(at_once).unsigned_abs())
    }

    fn check(&self) -> Result<(), Error> {
        self.instance_type.as_deref().map_or(Ok(()), instance_type::check_name)?;
        check_user_data(self.user_data.as_ref())?;
        let name = self.key_name.as_deref().unwrap_or_default();
        if name.chars().count() > KEY_NAME_MAX {
            let why = format!("The name of a key pair has at most {KEY_NAME_MAX} characters.");
            return Err(Error::invalid_value(why));
        }
        match self.instance_initiated_shutdown_behavior.as_deref() {
            None | Some("stop" | "terminate") => Ok(()),
            Some(other) => {
                Err(Error::invalid_parameter("instanceInitiatedShutdownBehavior", other, "Expected stop or terminate."))
            }
        }
    }

    /// The subnet of the primary interface, and all interfaces in order of device index.
    fn interfaces(&self, cloud: &Cloud<'_>) -> Result<(Arc<Subnet>, Vec<InterfacePlan<'_>>), Error> {
        if self.network_interfaces.is_empty() {
            let subnet = self.subnet_id.ok_or_else(no_subnet)?;
            let addresses = Wanted {
                primary: self.private_ip_address,
                ipv6: &self.ipv6_addresses,
                ipv6_count: self.ipv6_address_count,
                ..Wanted::default()
            };
            let (groups, description) = (&self.security_group_ids[..], String::new());
            let plan = InterfacePlan::New {
                subnet,
                groups,
                addresses,
                description,
                device_index: 0,
                delete_on_termination: true,
                tracking: None,
                primary_ipv6: self.enable_primary_ipv6,
                ena: EnaOptions::default(),
                is_public: None,
            };
            return Ok((cloud.owned::<Subnet>(subnet)?, vec![plan]));
        }
        let of_instance = [
            self.subnet_id.is_some(),
            !self.security_group_ids.is_empty(),
            self.private_ip_address.is_some(),
            !self.ipv6_addresses.is_empty(),
            self.ipv6_address_count.is_some(),
            self.enable_primary_ipv6.is_some(),
        ];
        if of_instance.contains(&true) {
            return Err(Error::invalid_combination(
                "Network interfaces and an instance-level subnet ID, security groups or addresses may not be specified on the same request",
            ));
        }
        check_public(&self.network_interfaces)?;
        let mut plan = self.network_interfaces.iter().map(interface_plan).collect::<Result<Vec<_>, _>>()?;
        plan.sort_by_key(InterfacePlan::device_index);
        if plan.windows(2).any(|two| two[0].device_index() == two[1].device_index()) {
            return Err(Error::invalid_value("Each network interface requires a unique device index."));
        }
        if plan[0].device_index() != 0 {
            return Err(Error::invalid_value("A primary network interface is required: one with device index 0"));
        }
        let subnet = match &plan[0] {
            InterfacePlan::Existing { id, .. } => cloud.owned::<NetworkInterface>(*id)?.subnet,
            InterfacePlan::New { subnet, .. } => *subnet,
        };
        Ok((cloud.owned::<Subnet>(subnet)?, plan))
    }

    fn launch(
        &self,
        cloud: &mut Cloud<'_>,
        id: ReservationId,
        launch_index: u32,
        subnet: &Subnet,
        plan: &[InterfacePlan<'_>],
    ) -> Result<(), Error> {
        let kinds = ["instance", "network-interface", "volume"];
        let tags = TagSpecification::tags(&self.tag_specifications, &kinds, "instance")?;
        let host = place(cloud)?;
        let metadata = metadata::chosen(metadata_default::at_launch(cloud), self.metadata_options.as_ref(), &tags)?;
        metadata_default::check(cloud, &metadata)?;
        let volume_tags = TagSpecification::tags(&self.tag_specifications, &kinds, "volume")?;
        let volumes = catalogue::at_launch(cloud, self.image_id, &self.block_device_mappings, &volume_tags)?;
        let instance = Instance {
            id: cloud.draw.id(),
            owner: cloud.caller.account,
            reservation: id,
            launch_index,
            image: self.image_id,
            instance_type: self.instance_type.clone().unwrap_or_else(|| DEFAULT_TYPE.into()),
            vpc: subnet.vpc,
            subnet: subnet.id,
            zone: subnet.zone,
            host,
            // Where no host carries it there is nothing to wait for, unless one is to wait.
            state: if host.is_some() || !cloud.is_instant() { InstanceState::Pending } else { InstanceState::Running },
            state_reason: None,
            stop_asked: None,
            launched: cloud.now,
            terminated: None,
            user_data: self.user_data.as_ref().map(|data| data.0.clone()).unwrap_or_default(),
            metadata,
            key_name: self.key_name.clone(),
            public_key: self.key_name.as_deref().and_then(|name| key_pair::line(cloud, name)),
            client_token: self.client_token.clone(),
            disable_api_termination: self.disable_api_termination.unwrap_or(false),
            disable_api_stop: self.disable_api_stop.unwrap_or(false),
            shutdown_behavior: self.instance_initiated_shutdown_behavior.clone().unwrap_or_else(|| "stop".into()),
            private_dns: private_dns::at_launch(self.private_dns_name_options.as_ref(), subnet)?,
            options: instance_option::at_launch(cloud.caller.account, self)?,
            volumes,
            starts: 1,
            tags,
        };
        cloud.put(instance.clone());
        instance_state::begin(cloud, instance.id);
        let interface_tags = TagSpecification::tags(&self.tag_specifications, &kinds, "network-interface")?;
        for one in plan {
            match one {
                InterfacePlan::Existing { id, device_index, ena } => {
                    interface::attach(cloud, *id, &instance, *device_index, false)?;
                    interface_option::set_ena(cloud, *id, *ena)?;
                }
                InterfacePlan::New {
                    subnet,
                    groups,
                    addresses,
                    description,
                    device_index,
                    delete_on_termination,
                    tracking,
                    primary_ipv6,
                    ena,
                    is_public,
                } => {
                    let made = interface::create(
                        cloud,
                        *subnet,
                        groups,
                        *addresses,
                        description.clone(),
                        interface_tags.clone(),
                    )?;
                    let mut made = interface_tracking::set(cloud, made, *tracking)?;
                    interface_option::set_primary_ipv6(&mut made, *primary_ipv6)?;
                    let (id, subnet) = (made.id, made.subnet);
                    cloud.put(made);
                    interface::attach(cloud, id, &instance, *device_index, *delete_on_termination)?;
                    interface_option::set_ena(cloud, id, *ena)?;
                    // Only at launch, and only of an instance with one interface (spec 8.7).
                    let by_subnet = || cloud.world().find::<Subnet>(&subnet).is_some_and(|s| s.map_public_ip_on_launch);
                    if plan.len() == 1 && is_public.unwrap_or_else(by_subnet) {
                        public::assign_at_start(cloud, id)?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// # Errors
/// `InvalidParameterValue`.
pub(super) fn check_user_data(data: Option<&Base64>) -> Result<(), Error> {
    let bytes = data.map_or(0, |data| data.0.len());
    if bytes <= USER_DATA_MAX {
        return Ok(());
    }
    Err(Error::invalid_value(format!("User data is limited to {USER_DATA_MAX} bytes; it has {bytes}")))
}

fn interface_plan(wanted: &NetworkInterfaceSpecification) -> Result<InterfacePlan<'_>, Error> {
    let device_index = wanted.device_index.ok_or_else(|| Error::missing_parameter("NetworkInterface.DeviceIndex"))?;
    interface_option::check_card(wanted.network_card_index, wanted.interface_type.as_deref())?;
    let srd = wanted.ena_srd_specification.as_ref();
    let ena = interface_option::changed_ena(EnaOptions::default(), srd, wanted.ena_queue_count)?;
    if let Some(id) = wanted.network_interface_id {
        check_existing(wanted)?;
        return Ok(InterfacePlan::Existing { id, device_index, ena });
    }
    Ok(InterfacePlan::New {
        subnet: wanted.subnet_id.ok_or_else(no_subnet)?,
        groups: &wanted.security_group_ids,
        addresses: Wanted {
            primary: wanted.private_ip_address,
            listed: &wanted.private_ip_addresses,
            secondary_count: wanted.secondary_private_ip_address_count,
            ipv6: &wanted.ipv6_addresses,
            ipv6_count: wanted.ipv6_address_count,
        },
        description: wanted.description.clone().unwrap_or_default(),
        device_index,
        delete_on_termination: wanted.delete_on_termination.unwrap_or(true),
        tracking: wanted.connection_tracking_specification.as_ref(),
        primary_ipv6: wanted.primary_ipv6,
        ena,
        is_public: wanted.associate_public_ip_address,
    })
}

/// An interface that is there has all that a launch could say of a new one.
fn check_existing(wanted: &NetworkInterfaceSpecification) -> Result<(), Error> {
    let says = [
        (wanted.subnet_id.is_some(), "a subnet"),
        (!wanted.security_group_ids.is_empty(), "security groups"),
        (wanted.description.is_some(), "a description"),
        (wanted.private_ip_address.is_some() || !wanted.private_ip_addresses.is_empty(), "private addresses"),
        (wanted.secondary_private_ip_address_count.is_some(), "a number of secondary addresses"),
        (!wanted.ipv6_addresses.is_empty() || wanted.ipv6_address_count.is_some(), "IPv6 addresses"),
        (wanted.primary_ipv6.is_some(), "a primary IPv6 address"),
        (wanted.connection_tracking_specification.is_some(), "times of connection tracking"),
        (wanted.delete_on_termination == Some(true), "deletion on termination"),
    ];
    says.iter().find(|(says, _)| *says).map_or(Ok(()), |(_, what)| {
        let message = format!("A network interface may not specify both a network interface ID and {what}");
        Err(Error::invalid_combination(message))
    })
}

/// Of an instance with several interfaces none gets a public address at launch, and only a new first one does (spec 8.7).
fn check_public(wanted: &[NetworkInterfaceSpecification]) -> Result<(), Error> {
    for one in wanted.iter().filter(|one| one.associate_public_ip_address.is_some()) {
        let refused =
            |when: &str| Err(Error::invalid_combination(format!("The associatePublicIPAddress parameter {when}")));
        if wanted.len() > 1 {
            return refused("cannot be specified when launching with multiple network interfaces.");
        }
        if one.network_interface_id.is_some() {
            return refused("cannot be specified for a network interface with an ID.");
        }
        if one.device_index.is_some_and(|index| index != 0) {
            return refused("can only be specified for the network interface with DeviceIndex 0.");
        }
    }
    Ok(())
}

fn no_subnet() -> Error {
    Error::new("VPCIdNotSpecified", "No default VPC for this user. Name a subnet with SubnetId.")
}

/// The host with the fewest instances; the first of equals.
pub(super) fn place(cloud: &Cloud<'_>) -> Result<Option<HostId>, Error> {
    let load = |host: &HostId| cloud.world().count_by::<Instance>(By::host(*host));
    let host = cloud.config.hosts.iter().copied().min_by_key(load);
    if host.is_none() && cloud.config.needs_host {
        let message = "No host has joined yet that could carry instances; `peerway token create` lets one in";
        return Err(Error::new("InsufficientInstanceCapacity", message).with_status(500));
    }
    Ok(host)
}

/// A reservation with those of its instances that are still there.
fn reservation(cloud: &Cloud<'_>, id: ReservationId) -> Reservation {
    let instances = cloud.own_by::<Instance>(By::id(id));
    let mut instances: Vec<_> = instances.cloned().collect();
    instances.sort_by_key(|instance| instance.launch_index);
    group_by_reservation(cloud, &instances).pop().unwrap_or(Reservation {
        reservation_id: id,
        owner_id: cloud.caller.account,
        group_set: Vec::new(),
        instances_set: Vec::new(),
    })
}

fn group_by_reservation(cloud: &Cloud<'_>, instances: &[Arc<Instance>]) -> Vec<Reservation> {
    let mut reservations: BTreeMap<ReservationId, Reservation> = BTreeMap::new();
    for instance in instances {
        let reservation = reservations.entry(instance.reservation).or_insert_with(|| Reservation {
            reservation_id: instance.reservation,
            owner_id: instance.owner,
            group_set: Vec::new(),
            instances_set: Vec::new(),
        });
        reservation.instances_set.push(item(cloud, instance));
    }
    reservations.into_values().collect()
}

impl Handle for DescribeInstances {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<DescribeInstancesResponse, Error> {
        let page = Page { max_results: self.max_results, next_token: self.next_token.as_deref() };
        let query = Query { ids: &self.instance_ids, filters: &self.filters, page };
        let (found, next_token) = cloud.select::<Instance>(query, 5..=1000)?;
        Ok(DescribeInstancesResponse { reservation_set: group_by_reservation(cloud, &found), next_token })
    }
}

impl Describe for Instance {
    const FILTERS: &'static [&'static str] = &[
        "affinity",
        "architecture",
        "availability-zone",
        "availability-zone-id",
        "block-device-mapping.attach-time",
        "block-device-mapping.delete-on-termination",
        "block-device-mapping.device-name",
        "block-device-mapping.status",
        "block-device-mapping.volume-id",
        "boot-mode",
        "capacity-reservation-id",
        "capacity-reservation-specification.capacity-reservation-preference",
        "capacity-reservation-specification.capacity-reservation-target.capacity-reservation-id",
        "capacity-reservation-specification.capacity-reservation-target.capacity-reservation-resource-group-arn",
        "client-token",
        "current-instance-boot-mode",
        "dns-name",
        "ebs-optimized",
        "ena-support",
        "enclave-options.enabled",
        "hibernation-options.configured",
        "host-id",
        "hypervisor",
        "iam-instance-profile.arn",
        "iam-instance-profile.id",
        "image-id",
        "instance-id",
        "instance-lifecycle",
        "instance-state-code",
        "instance-state-name",
        "instance-type",
        "instance.group-id",
        "instance.group-name",
        "ip-address",
        "ipv6-address",
        "kernel-id",
        "key-name",
        "launch-index",
        "launch-time",
        "maintenance-options.auto-recovery",
        "metadata-options.http-endpoint",
        "metadata-options.http-protocol-ipv4",
        "metadata-options.http-protocol-ipv6",
        "metadata-options.http-put-response-hop-limit",
        "metadata-options.http-tokens",
        "metadata-options.instance-metadata-tags",
        "metadata-options.state",
        "monitoring-state",
        "network-interface.addresses.association.allocation-id",
        "network-interface.addresses.association.association-id",
        "network-interface.addresses.association.carrier-ip",
        "network-interface.addresses.association.customer-owned-ip",
        "network-interface.addresses.association.ip-owner-id",
        "network-interface.addresses.association.public-dns-name",
        "network-interface.addresses.association.public-ip",
        "network-interface.addresses.primary",
        "network-interface.addresses.private-dns-name",
        "network-interface.addresses.private-ip-address",
        "network-interface.association.allocation-id",
        "network-interface.association.association-id",
        "network-interface.association.carrier-ip",
        "network-interface.association.customer-owned-ip",
        "network-interface.association.ip-owner-id",
        "network-interface.association.public-dns-name",
        "network-interface.association.public-ip",
        "network-interface.attachment.attach-time",
        "network-interface.attachment.attachment-id",
        "network-interface.attachment.delete-on-termination",
        "network-interface.attachment.device-index",
        "network-interface.attachment.instance-id",
        "network-interface.attachment.instance-owner-id",
        "network-interface.attachment.network-card-index",
        "network-interface.attachment.status",
        "network-interface.availability-zone",
        "network-interface.deny-all-igw-traffic",
        "network-interface.description",
        "network-interface.group-id",
        "network-interface.group-name",
        "network-interface.ipv4-prefixes.ipv4-prefix",
        "network-interface.ipv6-address",
        "network-interface.ipv6-addresses.ipv6-address",
        "network-interface.ipv6-addresses.is-primary-ipv6",
        "network-interface.ipv6-native",
        "network-interface.ipv6-prefixes.ipv6-prefix",
        "network-interface.mac-address",
        "network-interface.network-interface-id",
        "network-interface.operator.managed",
        "network-interface.operator.principal",
        "network-interface.outpost-arn",
        "network-interface.owner-id",
        "network-interface.private-dns-name",
        "network-interface.private-ip-address",
        "network-interface.public-dns-name",
        "network-interface.requester-id",
        "network-interface.requester-managed",
        "network-interface.source-dest-check",
        "network-interface.status",
        "network-interface.subnet-id",
        "network-interface.tag-key",
        "network-interface.tag-value",
        "network-interface.vpc-id",
        "network-performance-options.bandwidth-weighting",
        "operator.managed",
        "operator.principal",
        "outpost-arn",
        "owner-id",
        "placement-group-name",
        "placement-partition-number",
        "platform",
        "platform-details",
        "private-dns-name",
        "private-dns-name-options.enable-resource-name-dns-a-record",
        "private-dns-name-options.enable-resource-name-dns-aaaa-record",
        "private-dns-name-options.hostname-type",
        "private-ip-address",
        "product-code",
        "product-code.type",
        "ramdisk-id",
        "reason",
        "requester-id",
        "reservation-id",
        "root-device-name",
        "root-device-type",
        "source-dest-check",
        "spot-instance-request-id",
        "state-reason-code",
        "state-reason-message",
        "subnet-id",
        "tenancy",
        "tpm-support",
        "usage-operation",
        "usage-operation-update-time",
        "virtualization-type",
        "vpc-id",
    ];

    fn is_visible(&self, cloud: &Cloud<'_>) -> bool {
        self.owner == cloud.caller.account
    }

    fn tags<'t>(&'t self, _: &Cloud<'_>) -> &'t Tags {
        &self.tags
    }

    fn values(&self, cloud: &Cloud<'_>, filter: &str) -> Vec<String> {
        if let Some(of_interface) = filter.strip_prefix("network-interface.") {
            return attached_to(cloud, self.id)
                .flat_map(|i| super::instance_filter::of_interface(cloud, i, of_interface))
                .collect();
        }
        if let Some(of_device) = filter.strip_prefix("block-device-mapping.") {
            return catalogue::device_values(self, of_device);
        }
        if let Some(option) = filter.strip_prefix("metadata-options.") {
            return metadata::values(cloud, self, option);
        }
        let primary = || primary(cloud, self.id);
        let one = |value: Option<String>| value.into_iter().collect();
        match filter {
            "architecture" => vec![ARCHITECTURE.into()],
            "availability-zone" => vec![self.zone.to_string()],
            "availability-zone-id" => vec![self.zone.id()],
            "capacity-reservation-specification.capacity-reservation-preference" => {
                vec![instance_option::capacity_item(self).capacity_reservation_preference]
            }
            "client-token" => one(self.client_token.clone()),
            "current-instance-boot-mode" => vec![BOOT_MODE.into()],
            "usage-operation" => vec![USAGE.into()],
            "usage-operation-update-time" => vec![self.launched.to_string()],
            "dns-name" => {
                let name = primary().and_then(|p| association(cloud, &p)).map(|item| item.public_dns_name);
                one(name.filter(|name| !name.is_empty()))
            }
            "ip-address" => one(primary().and_then(|p| association(cloud, &p)).map(|item| item.public_ip.to_string())),
            "hypervisor" => vec!["xen".into()],
            "iam-instance-profile.arn" => one(self.options.instance_profile.clone()),
            "iam-instance-profile.id" => one(instance_option::profile_item(self).map(|item| item.id)),
            "image-id" => vec![self.image.to_string()],
            "instance-id" => vec![self.id.to_string()],
            "instance-state-code" => vec![self.state.code().to_string()],
            "instance-state-name" => vec![self.state.name().into()],
            "instance-type" => vec![self.instance_type.clone()],
            "instance.group-id" => {
                primary().map(|p| p.groups.iter().map(ToString::to_string).collect()).unwrap_or_default()
            }
            "instance.group-name" => primary()
                .map(|p| group_items(cloud, &p.groups).into_iter().map(|g| g.group_name).collect())
                .unwrap_or_default(),
            "ipv6-address" => {
                primary().map(|p| p.ipv6_addresses.iter().map(ToString::to_string).collect()).unwrap_or_default()
            }
            "key-name" => one(self.key_name.clone()),
            "launch-index" => vec![self.launch_index.to_string()],
            "launch-time" => vec![self.launched.to_string()],
            "monitoring-state" => vec![instance_option::monitoring(self).state.into()],
            "owner-id" => vec![self.owner.to_string()],
            "private-dns-name" => one(primary().map(|p| private_name(cloud, self, &p))),
            "private-ip-address" => one(primary().map(|p| p.primary_ip().to_string())),
            "reason" => one(Some(transition_reason(self)).filter(|reason| !reason.is_empty())),
            "reservation-id" => vec![self.reservation.to_string()],
            "root-device-name" => vec![root_device(self)],
            "root-device-type" => vec!["ebs".into()],
            "source-dest-check" => one(primary().map(|p| p.source_dest_check.to_string())),
            "state-reason-code" => one(self.state_reason.as_ref().map(|(code, _)| code.clone())),
            "state-reason-message" => one(self.state_reason.as_ref().map(|(_, message)| message.clone())),
            // What ended is in no subnet any more, as its answer says.
            "subnet-id" | "vpc-id" if self.state == InstanceState::Terminated => Vec::new(),
            "subnet-id" => vec![self.subnet.to_string()],
            "tenancy" => vec!["default".into()],
            "virtualization-type" => vec!["hvm".into()],
            "vpc-id" => vec![self.vpc.to_string()],
            other => super::instance_filter::more(self, other),
        }
    }

    fn place(cloud: &Cloud<'_>, filter: &str, value: &str) -> Option<Place<Self::Id>> {
        match filter {
            "instance-id" => return Place::of_id(value),
            "reservation-id" => return Place::naming::<ReservationId>(value),
            "subnet-id" => return Place::naming::<SubnetId>(value),
            "vpc-id" => return Place::naming::<VpcId>(value),
            _ => {}
        }
        // The others that can be looked up are about interfaces.
        let of_interface = match filter {
            "instance.group-id" => "group-id",
            "ip-address" => "association.public-ip",
            "ipv6-address" => "ipv6-addresses.ipv6-address",
            "private-ip-address" => filter,
            _ => filter.strip_prefix("network-interface.")?,
        };
        let interfaces: Vec<Arc<NetworkInterface>> = match NetworkInterface::place(cloud, of_interface, value)? {
            Place::At(ids) => ids.iter().filter_map(|id| cloud.world().find(id)).cloned().collect(),
            Place::Under(by) => cloud.world().by(by).cloned().collect(),
        };
        let attachments = interfaces.iter().filter_map(|interface| interface.attachment.as_ref());
        Some(Place::At(attachments.map(|attachment| attachment.instance).collect()))
    }
}

const ARCHITECTURE: &str = "x86_64";
const BOOT_MODE: &str = "legacy-bios";
pub(super) const PLATFORM: &str = "Linux/UNIX";
const USAGE: &str = "RunInstances";
pub(super) const ROOT_DEVICE: &str = "/dev/xvda";

/// What the instance's root device is called.
pub(super) fn root_device(instance: &Instance) -> String {
    instance.volumes.first().map_or_else(|| ROOT_DEVICE.into(), |volume| volume.device.clone())
}

/// The interface with device index 0.
pub(super) fn primary(cloud: &Cloud<'_>, instance: InstanceId) -> Option<Arc<NetworkInterface>> {
    attached_to(cloud, instance)
        .find(|interface| interface.attachment.as_ref().is_some_and(|a| a.device_index == 0))
        .cloned()
}

pub(super) fn groups_of(cloud: &Cloud<'_>, instance: InstanceId) -> Vec<GroupIdentifier> {
    primary(cloud, instance).map(|primary| group_items(cloud, &primary.groups)).unwrap_or_default()
}

/// What AWS shows as StateTransitionReason.
fn transition_reason(instance: &Instance) -> String {
    match &instance.state_reason {
        // Whoever shuts down from inside is a user too, and no time is shown.
        Some((code, _)) if code == report::SHUT_ITSELF_DOWN => "User initiated".into(),
        Some((code, _)) if code.starts_with("Client.UserInitiated") => {
            // `2026-01-15T12:00:00.000Z`, in the words of this one place.
            let at = instance.stop_asked.map(|time| time.to_string().replace('T', " "));
            at.map_or_else(|| "User initiated".into(), |at| format!("User initiated ({} GMT)", &at[..19]))
        }
        Some((_, message)) => message.clone(),
        None => String::new(),
    }
}

/// What the instance is called inside: by its address or by its id (spec 9.2).
fn private_name(cloud: &Cloud<'_>, instance: &Instance, primary: &NetworkInterface) -> String {
    match instance.private_dns.hostname_type {
        HostnameType::IpName => cloud.config.names.private_name(cloud.config.region, primary.primary_ip()),
        HostnameType::ResourceName => cloud.config.names.resource_name(cloud.config.region, instance.id),
    }
}

/// An instance as the API shows it; once terminated it has neither subnet nor address.
fn item(cloud: &Cloud<'_>, instance: &Instance) -> InstanceItem {
    let primary = primary(cloud, instance.id);
    let primary = primary.as_deref();
    let is_there = instance.state != InstanceState::Terminated;
    let (public_ip_address, public_name) =
        primary.and_then(|p| association(cloud, p)).map(|item| (item.public_ip, item.public_dns_name)).unzip();
    let mut interfaces: Vec<_> =
        attached_to(cloud, instance.id).map(|interface| interface_item(cloud, interface)).collect();
    interfaces.sort_by_key(|interface| interface.attachment.as_ref().map(|attachment| attachment.device_index));
    InstanceItem {
        block_device_mapping: catalogue::devices(instance),
        instance_id: instance.id,
        image_id: instance.image,
        instance_state: instance.state.into(),
        private_dns_name: primary.map(|p| private_name(cloud, instance, p)).unwrap_or_default(),
        dns_name: public_name.unwrap_or_default(),
        reason: transition_reason(instance),
        key_name: instance.key_name.clone(),
        ami_launch_index: instance.launch_index,
        instance_type: instance.instance_type.clone(),
        launch_time: instance.launched,
        placement: PlacementItem {
            availability_zone: instance.zone,
            availability_zone_id: instance.zone.id(),
            group_name: "",
            tenancy: "default",
        },
        monitoring: instance_option::monitoring(instance),
        subnet_id: is_there.then_some(instance.subnet),
        vpc_id: is_there.then_some(instance.vpc),
        private_ip_address: primary.map(NetworkInterface::primary_ip),
        public_ip_address,
        ipv6_address: primary.and_then(|p| p.ipv6_addresses.first().copied()),
        source_dest_check: primary.map(|p| p.source_dest_check),
        group_set: primary.map(|p| group_items(cloud, &p.groups)).unwrap_or_default(),
        state_reason: instance.state_reason.clone().map(|(code, message)| StateReasonItem { code, message }),
        architecture: ARCHITECTURE,
        root_device_type: "ebs",
        root_device_name: root_device(instance),
        virtualization_type: "hvm",
        hypervisor: "xen",
        client_token: instance.client_token.clone().unwrap_or_default(),
        ebs_optimized: instance.options.ebs_optimized,
        ena_support: instance.options.ena_support.unwrap_or(true),
        network_interface_set: interfaces,
        cpu_options: instance_option::cpu_item(instance),
        metadata_options: metadata::current(cloud, instance),
        private_dns_name_options: PrivateDnsNameOptionsItem {
            hostname_type: hostname_type_name(instance.private_dns.hostname_type),
            enable_resource_name_dns_a_record: instance.private_dns.enable_resource_name_dns_a_record,
            enable_resource_name_dns_aaaa_record: instance.private_dns.enable_resource_name_dns_aaaa_record,
        },
        maintenance_options: instance_option::maintenance(instance),
        iam_instance_profile: instance_option::profile_item(instance),
        capacity_reservation_specification: instance_option::capacity_item(instance),
        enclave_options: EnclaveOptionsItem { enabled: false },
        hibernation_options: HibernationOptionsItem { configured: false },
        current_instance_boot_mode: BOOT_MODE,
        usage_operation: USAGE,
        usage_operation_update_time: instance.launched,
        platform_details: PLATFORM,
        tag_set: instance.tags.clone(),
    }
}

fn interface_item(cloud: &Cloud<'_>, interface: &NetworkInterface) -> InstanceInterfaceItem {
    let mut addresses = address_items(cloud, interface);
    for address in &mut addresses {
        address.association = address.association.take().map(without_ids);
    }
    InstanceInterfaceItem {
        association: association(cloud, interface).map(without_ids),
        attachment: interface.attachment.as_ref().map(|attachment| InstanceAttachmentItem {
            attach_time: attachment.attached,
            attachment_id: attachment.id,
            delete_on_termination: attachment.delete_on_termination,
            device_index: attachment.device_index,
            status: cloud.word(attachment.id, "attached"),
            network_card_index: 0,
            ena_srd_specification: interface_option::srd_item(&attachment.ena),
            ena_queue_count: attachment.ena.queue_count,
        }),
        connection_tracking_configuration: interface_tracking::item(&interface.connection_tracking),
        description: interface.description.clone(),
        group_set: group_items(cloud, &interface.groups),
        ipv6_addresses_set: ipv6_items(interface),
        mac_address: interface.mac,
        network_interface_id: interface.id,
        owner_id: interface.owner,
        private_dns_name: interface::private_dns_name(cloud, interface),
        private_ip_address: interface.primary_ip(),
        private_ip_addresses_set: addresses,
        source_dest_check: interface.source_dest_check,
        status: interface::status(interface),
        subnet_id: interface.subnet,
        vpc_id: interface.vpc,
        interface_type: "interface",
    }
}
