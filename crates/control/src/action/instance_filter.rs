//! What few look for: those of EC2's filters of instances that stand beside the usual ones (spec 1.3.10). What no instance here has, none
//! is found by.

use ec2::Filter;
use ec2::shapes::instance::InstanceStatusItem;
use model::*;

use super::instance::PLATFORM;
use super::instance_option;
use super::interface::{address_items, ipv6_items};
use super::interface_public::association;
use super::subnet::hostname_type_name;
use crate::describe::{Describe, passes};
use crate::rules::texts;
use crate::{Cloud, public};

/// What an instance has under a name that is not among the usual ones.
pub(super) fn more(instance: &Instance, filter: &str) -> Vec<String> {
    let names = &instance.private_dns;
    match filter {
        "ebs-optimized" => texts([instance.options.ebs_optimized]),
        "ena-support" => texts([instance.options.ena_support.unwrap_or(true)]),
        "enclave-options.enabled" | "hibernation-options.configured" | "operator.managed" => texts([false]),
        "maintenance-options.auto-recovery" => vec![instance_option::maintenance(instance).auto_recovery],
        "platform-details" => texts([PLATFORM]),
        "private-dns-name-options.enable-resource-name-dns-a-record" => {
            texts([names.enable_resource_name_dns_a_record])
        }
        "private-dns-name-options.enable-resource-name-dns-aaaa-record" => {
            texts([names.enable_resource_name_dns_aaaa_record])
        }
        "private-dns-name-options.hostname-type" => texts([hostname_type_name(names.hostname_type)]),
        _ => Vec::new(),
    }
}

/// What one of an instance's interfaces has: all that interfaces are looked up by, and what only instances are.
pub(super) fn of_interface(cloud: &Cloud<'_>, interface: &NetworkInterface, filter: &str) -> Vec<String> {
    let elastic = || interface.public.iter().filter_map(|at| at.elastic);
    match filter {
        "addresses.association.allocation-id" => texts(elastic().map(|(allocation, _)| allocation)),
        "addresses.association.association-id" => texts(elastic().map(|(_, association)| association)),
        "addresses.association.public-dns-name" => {
            interface.public.iter().filter_map(|at| public::name(cloud, interface.vpc, at.public)).collect()
        }
        "addresses.private-dns-name" => {
            address_items(cloud, interface).into_iter().filter_map(|address| address.private_dns_name).collect()
        }
        "attachment.network-card-index" => texts(interface.attachment.as_ref().map(|_| 0)),
        "ipv6-address" => texts(&interface.ipv6_addresses),
        "ipv6-addresses.is-primary-ipv6" => texts(ipv6_items(interface).iter().map(|item| item.is_primary_ipv6)),
        "ipv6-native" => texts([false]),
        "public-dns-name" => {
            let name = association(cloud, interface).map(|item| item.public_dns_name);
            name.into_iter().filter(|name| !name.is_empty()).collect()
        }
        "tag-key" => texts(interface.tags.keys()),
        "tag-value" => texts(interface.tags.values()),
        other => interface.values(cloud, other),
    }
}

/// The filters of DescribeInstanceStatus.
pub(super) const OF_STATUS: &[&str] = &[
    "application-status.status",
    "attached-ebs-status.status",
    "availability-zone",
    "availability-zone-id",
    "event.code",
    "event.description",
    "event.instance-event-id",
    "event.not-after",
    "event.not-before",
    "event.not-before-deadline",
    "instance-state-code",
    "instance-state-name",
    "instance-status.reachability",
    "instance-status.status",
    "operator.managed",
    "operator.principal",
    "system-status.reachability",
    "system-status.status",
];

/// The status of an instance, as it is shown, passes.
pub(super) fn status_passes(
    cloud: &Cloud<'_>,
    instance: &Instance,
    shown: &InstanceStatusItem,
    filters: &[Filter],
) -> bool {
    passes(filters, &instance.tags, |name| match name {
        "instance-status.reachability" => texts(shown.instance_status.details.iter().map(|detail| detail.status)),
        "instance-status.status" => texts([shown.instance_status.status]),
        "system-status.reachability" => texts(shown.system_status.details.iter().map(|detail| detail.status)),
        "system-status.status" => texts([shown.system_status.status]),
        other => instance.values(cloud, other),
    })
}
