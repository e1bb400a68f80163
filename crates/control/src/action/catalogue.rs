//! Instance types, images, volumes: labels that clients look up (spec 8.6).

use std::collections::BTreeSet;

use ec2::Error;
use ec2::page::Page;
use ec2::shapes::catalogue::*;
use model::*;

use super::Handle;
use crate::Cloud;

/// Name, virtual processors, memory in MiB, interfaces, addresses on each.
const TYPES: &[(&str, i32, i64, u32, u32)] = &[
    ("m1.small", 1, 1740, 2, 4),
    ("m5.large", 2, 8192, 3, 10),
    ("m5.xlarge", 4, 16_384, 4, 15),
    ("t2.micro", 1, 1024, 2, 2),
    ("t2.nano", 1, 512, 2, 2),
    ("t2.small", 1, 2048, 3, 4),
    ("t3.large", 2, 8192, 3, 12),
    ("t3.medium", 2, 4096, 3, 6),
    ("t3.micro", 2, 1024, 2, 2),
    ("t3.nano", 2, 512, 2, 2),
    ("t3.small", 2, 2048, 3, 4),
];

const TYPE_FILTERS: &[&str] = &[
    "instance-type",
    "current-generation",
    "free-tier-eligible",
    "hypervisor",
    "bare-metal",
    "vcpu-info.default-vcpus",
    "memory-info.size-in-mib",
    "processor-info.supported-architecture",
];

impl Handle for DescribeInstanceTypes {
    fn handle(self, _: &mut Cloud<'_>) -> Result<DescribeInstanceTypesResponse, Error> {
        ec2::filter::check(&self.filters, TYPE_FILTERS)?;
        let unknown: Vec<&str> = self
            .instance_types
            .iter()
            .map(String::as_str)
            .filter(|name| TYPES.iter().all(|known| known.0 != *name))
            .collect();
        if !unknown.is_empty() {
            return Err(Error::new(
                "InvalidInstanceType",
                format!("The following supplied instance types do not exist: [{}]", unknown.join(", ")),
            ));
        }
        let wanted = |item: &InstanceTypeItem| {
            self.instance_types.is_empty() || self.instance_types.iter().any(|name| name == item.instance_type)
        };
        let passes = |item: &InstanceTypeItem| {
            self.filters
                .iter()
                .all(|filter| ec2::filter::any_matches(&filter.values, type_value(item, &filter.name).as_deref()))
        };
        let items = TYPES.iter().map(type_item).filter(|item| wanted(item) && passes(item));
        let page = Page { max_results: self.max_results, next_token: self.next_token.as_deref() };
        let (instance_type_set, next_token) = page.cut(5..=100, items, |item| item.instance_type.into())?;
        Ok(DescribeInstanceTypesResponse { instance_type_set, next_token })
    }
}

fn type_value(item: &InstanceTypeItem, filter: &str) -> Option<String> {
    match filter {
        "instance-type" => Some(item.instance_type.into()),
        "current-generation" => Some(item.current_generation.to_string()),
        "free-tier-eligible" => Some(item.free_tier_eligible.to_string()),
        "hypervisor" => Some(item.hypervisor.into()),
        "bare-metal" => Some("false".into()),
        "vcpu-info.default-vcpus" => Some(item.v_cpu_info.default_v_cpus.to_string()),
        "memory-info.size-in-mib" => Some(item.memory_info.size_in_mib.to_string()),
        "processor-info.supported-architecture" => Some("x86_64".into()),
        _ => None,
    }
}

fn type_item((name, cpus, memory, interfaces, addresses): &(&'static str, i32, i64, u32, u32)) -> InstanceTypeItem {
    let is_new = !name.starts_with("m1") && !name.starts_with("t2");
    InstanceTypeItem {
        instance_type: name,
        current_generation: !name.starts_with("m1"),
        free_tier_eligible: ["t2.micro", "t3.micro"].contains(name),
        supported_usage_classes: vec!["on-demand".into()],
        supported_root_device_types: vec!["ebs".into()],
        supported_virtualization_types: vec!["hvm".into()],
        bare_metal: false,
        hypervisor: if is_new { "nitro" } else { "xen" },
        processor_info: ProcessorInfo { supported_architectures: vec!["x86_64".into()] },
        v_cpu_info: VCpuInfo { default_v_cpus: *cpus, default_cores: *cpus, default_threads_per_core: 1 },
        memory_info: MemoryInfo { size_in_mib: *memory },
        instance_storage_supported: false,
        network_info: NetworkInfo {
            network_performance: "Up to 5 Gigabit",
            maximum_network_interfaces: *interfaces,
            ipv4_addresses_per_interface: *addresses,
            ipv6_addresses_per_interface: *addresses,
            ipv6_supported: true,
            ena_support: if is_new { "required" } else { "unsupported" },
        },
        hibernation_supported: false,
        burstable_performance_supported: name.starts_with('t'),
        dedicated_hosts_supported: false,
        auto_recovery_supported: false,
    }
}

/// The image shown to those who name none.
const IMAGE: u128 = 0x0_7065_6572_7761_7900;

impl Handle for DescribeImages {
    /// Any well-formed image id runs the sandbox, so any is described.
    fn handle(self, _: &mut Cloud<'_>) -> Result<DescribeImagesResponse, Error> {
        let ids: BTreeSet<ImageId> = if self.image_ids.is_empty() {
            BTreeSet::from([ImageId::from_random(IMAGE)])
        } else {
            self.image_ids.iter().copied().collect()
        };
        let image = |image_id| ImageItem {
            image_id,
            image_location: "amazon/peerway-sandbox",
            image_state: "available",
            image_owner_id: "137112412989",
            is_public: true,
            architecture: "x86_64",
            image_type: "machine",
            name: "peerway-sandbox",
            description: "A sandbox over the host's own /usr",
            root_device_type: "ebs",
            root_device_name: super::instance::ROOT_DEVICE,
            virtualization_type: "hvm",
            hypervisor: "xen",
            ena_support: true,
            creation_date: "2026-01-01T00:00:00.000Z",
            platform_details: "Linux/UNIX",
        };
        Ok(DescribeImagesResponse { images_set: ids.into_iter().map(image).collect() })
    }
}

impl Handle for DescribeVolumes {
    /// Sandboxes have no volumes.
    fn handle(self, _: &mut Cloud<'_>) -> Result<DescribeVolumesResponse, Error> {
        match self.volume_ids.first() {
            Some(id) => Err(Error::not_found(*id)),
            None => Ok(DescribeVolumesResponse { volume_set: Vec::new() }),
        }
    }
}
