//! Instance types: labels that clients look up (spec 8.6).

use ec2::Error;
use ec2::page::Page;
use ec2::shapes::instance_type::*;
use model::*;

use super::{Handle, place};
use crate::Cloud;
use crate::rules::texts;

/// What a type is, as far as it is told.
pub(super) struct Type {
    pub(super) name: &'static str,
    v_cpus: i32,
    memory_mib: i64,
    pub(super) interfaces: u32,
    /// Of each family, on each interface.
    pub(super) addresses: u32,
    network: &'static str,
}

macro_rules! types {
    ($($name:literal $v_cpus:literal $memory_mib:literal $interfaces:literal $addresses:literal $network:literal;)*) => {
        /// In order of name.
        pub(super) const TYPES: &[Type] = &[$(Type {
            name: $name,
            v_cpus: $v_cpus,
            memory_mib: $memory_mib,
            interfaces: $interfaces,
            addresses: $addresses,
            network: $network,
        },)*];
    };
}

/// Characters in the name of a type.
const NAME_LEN_MAX: usize = 64;

/// The name of a type, listed or not: all it must be is a label (spec 8.6).
///
/// # Errors
/// `InvalidParameterValue`.
pub(super) fn check_name(name: &str) -> Result<(), Error> {
    let is_label = |byte: u8| byte.is_ascii_alphanumeric() || b".-".contains(&byte);
    if (1..=NAME_LEN_MAX).contains(&name.len()) && name.bytes().all(is_label) {
        return Ok(());
    }
    let shown: String = name.chars().take(NAME_LEN_MAX).collect();
    let message = format!(
        "Invalid value '{shown}' for InstanceType. A type's name is 1 to {NAME_LEN_MAX} letters, digits, dots and hyphens; use one that DescribeInstanceTypes lists, as t3.micro"
    );
    Err(Error::invalid_value(message))
}

types! {
    "c5.large" 2 4096 3 10 "Up to 10 Gigabit";
    "c5.xlarge" 4 8192 4 15 "Up to 10 Gigabit";
    "c6g.large" 2 4096 3 10 "Up to 10 Gigabit";
    "c6g.xlarge" 4 8192 4 15 "Up to 10 Gigabit";
    "c6i.large" 2 4096 3 10 "Up to 12.5 Gigabit";
    "c7g.large" 2 4096 3 10 "Up to 12.5 Gigabit";
    "c7g.xlarge" 4 8192 4 15 "Up to 12.5 Gigabit";
    "c7i.large" 2 4096 3 10 "Up to 12.5 Gigabit";
    "m1.small" 1 1740 2 4 "Low";
    "m5.2xlarge" 8 32768 4 15 "Up to 10 Gigabit";
    "m5.4xlarge" 16 65536 8 30 "Up to 10 Gigabit";
    "m5.large" 2 8192 3 10 "Up to 10 Gigabit";
    "m5.xlarge" 4 16384 4 15 "Up to 10 Gigabit";
    "m6a.large" 2 8192 3 10 "Up to 12.5 Gigabit";
    "m6g.large" 2 8192 3 10 "Up to 10 Gigabit";
    "m6g.medium" 1 4096 2 4 "Up to 10 Gigabit";
    "m6i.large" 2 8192 3 10 "Up to 12.5 Gigabit";
    "m6i.xlarge" 4 16384 4 15 "Up to 12.5 Gigabit";
    "m7g.large" 2 8192 3 10 "Up to 12.5 Gigabit";
    "m7g.medium" 1 4096 2 4 "Up to 12.5 Gigabit";
    "m7i.large" 2 8192 3 10 "Up to 12.5 Gigabit";
    "r5.large" 2 16384 3 10 "Up to 10 Gigabit";
    "r6g.large" 2 16384 3 10 "Up to 10 Gigabit";
    "r6i.large" 2 16384 3 10 "Up to 12.5 Gigabit";
    "r7g.large" 2 16384 3 10 "Up to 12.5 Gigabit";
    "t2.large" 2 8192 3 12 "Low to Moderate";
    "t2.medium" 2 4096 3 6 "Low to Moderate";
    "t2.micro" 1 1024 2 2 "Low to Moderate";
    "t2.nano" 1 512 2 2 "Low to Moderate";
    "t2.small" 1 2048 3 4 "Low to Moderate";
    "t3.2xlarge" 8 32768 4 15 "Up to 5 Gigabit";
    "t3.large" 2 8192 3 12 "Up to 5 Gigabit";
    "t3.medium" 2 4096 3 6 "Up to 5 Gigabit";
    "t3.micro" 2 1024 2 2 "Up to 5 Gigabit";
    "t3.nano" 2 512 2 2 "Up to 5 Gigabit";
    "t3.small" 2 2048 3 4 "Up to 5 Gigabit";
    "t3.xlarge" 4 16384 4 15 "Up to 5 Gigabit";
    "t3a.medium" 2 4096 3 6 "Up to 5 Gigabit";
    "t3a.micro" 2 1024 2 2 "Up to 5 Gigabit";
    "t3a.small" 2 2048 2 4 "Up to 5 Gigabit";
    "t4g.large" 2 8192 3 12 "Up to 5 Gigabit";
    "t4g.medium" 2 4096 3 6 "Up to 5 Gigabit";
    "t4g.micro" 2 1024 2 2 "Up to 5 Gigabit";
    "t4g.nano" 2 512 2 2 "Up to 5 Gigabit";
    "t4g.small" 2 2048 3 4 "Up to 5 Gigabit";
}

impl Type {
    fn family(&self) -> &'static str {
        self.name.split('.').next().unwrap_or_default()
    }

    fn is_arm(&self) -> bool {
        self.family().ends_with('g')
    }

    /// Of the generations that came with the Nitro system.
    fn is_nitro(&self) -> bool {
        !["m1", "t2"].contains(&self.family())
    }

    fn manufacturer(&self) -> &'static str {
        match self.family() {
            family if family.ends_with('g') => "AWS",
            family if family.ends_with('a') => "AMD",
            _ => "Intel",
        }
    }

    fn item(&self) -> InstanceTypeItem {
        let is_nitro = self.is_nitro();
        let threads = if self.is_arm() || self.v_cpus == 1 || !is_nitro { 1 } else { 2 };
        InstanceTypeItem {
            instance_type: self.name,
            current_generation: self.family() != "m1",
            free_tier_eligible: ["t2.micro", "t3.micro", "t3.small", "t4g.micro", "t4g.small"].contains(&self.name),
            supported_usage_classes: vec!["on-demand", "spot"],
            supported_root_device_types: vec!["ebs"],
            supported_virtualization_types: vec!["hvm"],
            bare_metal: false,
            hypervisor: if is_nitro { "nitro" } else { "xen" },
            processor_info: ProcessorInfo {
                supported_architectures: vec![if self.is_arm() { "arm64" } else { "x86_64" }],
                sustained_clock_speed_in_ghz: if self.is_arm() { "2.5" } else { "3.1" },
                manufacturer: self.manufacturer(),
            },
            v_cpu_info: VCpuInfo {
                default_v_cpus: self.v_cpus,
                default_cores: self.v_cpus / threads,
                default_threads_per_core: threads,
            },
            memory_info: MemoryInfo { size_in_mib: self.memory_mib },
            instance_storage_supported: false,
            ebs_info: EbsInfo {
                ebs_optimized_support: if is_nitro { "default" } else { "unsupported" },
                encryption_support: "supported",
                nvme_support: if is_nitro { "required" } else { "unsupported" },
            },
            network_info: NetworkInfo {
                network_performance: self.network,
                maximum_network_interfaces: self.interfaces,
                maximum_network_cards: 1,
                default_network_card_index: 0,
                ipv4_addresses_per_interface: self.addresses,
                ipv6_addresses_per_interface: self.addresses,
                ipv6_supported: true,
                ena_support: if is_nitro { "required" } else { "unsupported" },
                efa_supported: false,
                encryption_in_transit_supported: false,
            },
            placement_group_info: PlacementGroupInfo { supported_strategies: vec!["partition", "spread"] },
            hibernation_supported: false,
            burstable_performance_supported: self.name.starts_with('t'),
            dedicated_hosts_supported: false,
            auto_recovery_supported: is_nitro,
            supported_boot_modes: if self.is_arm() { vec!["uefi"] } else { vec!["legacy-bios", "uefi"] },
            nitro_enclaves_support: "unsupported",
            nitro_tpm_support: "unsupported",
        }
    }
}

/// All that EC2 has; what is told of no type here, none is found by.
const TYPE_FILTERS: &[&str] = &[
    "auto-recovery-supported",
    "bare-metal",
    "burstable-performance-supported",
    "current-generation",
    "dedicated-hosts-supported",
    "ebs-info.attachment-limit-type",
    "ebs-info.ebs-optimized-info.baseline-bandwidth-in-mbps",
    "ebs-info.ebs-optimized-info.baseline-iops",
    "ebs-info.ebs-optimized-info.baseline-throughput-in-mbps",
    "ebs-info.ebs-optimized-info.maximum-bandwidth-in-mbps",
    "ebs-info.ebs-optimized-info.maximum-iops",
    "ebs-info.ebs-optimized-info.maximum-throughput-in-mbps",
    "ebs-info.ebs-optimized-support",
    "ebs-info.encryption-support",
    "ebs-info.maximum-ebs-attachments",
    "ebs-info.nvme-support",
    "free-tier-eligible",
    "hibernation-supported",
    "hypervisor",
    "instance-storage-info.disk.count",
    "instance-storage-info.disk.size-in-gb",
    "instance-storage-info.disk.type",
    "instance-storage-info.encryption-support",
    "instance-storage-info.nvme-support",
    "instance-storage-info.total-size-in-gb",
    "instance-storage-supported",
    "instance-type",
    "memory-info.size-in-mib",
    "network-info.bandwidth-weightings",
    "network-info.efa-info.maximum-efa-interfaces",
    "network-info.efa-supported",
    "network-info.ena-support",
    "network-info.encryption-in-transit-supported",
    "network-info.flexible-ena-queues-support",
    "network-info.ipv4-addresses-per-interface",
    "network-info.ipv6-addresses-per-interface",
    "network-info.ipv6-supported",
    "network-info.maximum-network-cards",
    "network-info.maximum-network-interfaces",
    "network-info.network-performance",
    "nitro-enclaves-support",
    "nitro-tpm-info.supported-versions",
    "nitro-tpm-support",
    "processor-info.supported-architecture",
    "processor-info.supported-features",
    "processor-info.sustained-clock-speed-in-ghz",
    "reboot-migration-support",
    "supported-boot-mode",
    "supported-root-device-type",
    "supported-usage-class",
    "supported-virtualization-type",
    "vcpu-info.default-cores",
    "vcpu-info.default-threads-per-core",
    "vcpu-info.default-vcpus",
    "vcpu-info.valid-cores",
    "vcpu-info.valid-threads-per-core",
];

impl Handle for DescribeInstanceTypes {
    fn handle(self, _: &mut Cloud<'_>) -> Result<DescribeInstanceTypesResponse, Error> {
        ec2::filter::check(&self.filters, TYPE_FILTERS)?;
        let is_known = |name: &&String| TYPES.iter().any(|known| known.name == **name);
        let unknown: Vec<&str> =
            self.instance_types.iter().filter(|name| !is_known(name)).map(String::as_str).collect();
        if !unknown.is_empty() {
            let message = format!("The following supplied instance types do not exist: [{}]", unknown.join(", "));
            return Err(Error::new("InvalidInstanceType", message));
        }
        let is_asked =
            |kind: &&Type| self.instance_types.is_empty() || self.instance_types.iter().any(|name| name == kind.name);
        let passes = |item: &InstanceTypeItem| place::passes(&self.filters, |name| type_values(item, name));
        let items = TYPES.iter().filter(is_asked).map(Type::item).filter(passes);
        let page = Page { max_results: self.max_results, next_token: self.next_token.as_deref() };
        let (instance_type_set, next_token) = page.cut(5..=100, items, |item| item.instance_type.into())?;
        Ok(DescribeInstanceTypesResponse { instance_type_set, next_token })
    }
}

fn type_values(item: &InstanceTypeItem, filter: &str) -> Vec<String> {
    let network = &item.network_info;
    match filter {
        "auto-recovery-supported" => texts([item.auto_recovery_supported]),
        "bare-metal" => texts([item.bare_metal]),
        "burstable-performance-supported" => texts([item.burstable_performance_supported]),
        "current-generation" => texts([item.current_generation]),
        "dedicated-hosts-supported" => texts([item.dedicated_hosts_supported]),
        "ebs-info.ebs-optimized-support" => texts([item.ebs_info.ebs_optimized_support]),
        "ebs-info.encryption-support" => texts([item.ebs_info.encryption_support]),
        "ebs-info.nvme-support" => texts([item.ebs_info.nvme_support]),
        "free-tier-eligible" => texts([item.free_tier_eligible]),
        "hibernation-supported" => texts([item.hibernation_supported]),
        "hypervisor" => texts([item.hypervisor]),
        "instance-storage-supported" => texts([item.instance_storage_supported]),
        "instance-type" => texts([item.instance_type]),
        "memory-info.size-in-mib" => texts([item.memory_info.size_in_mib]),
        "network-info.efa-supported" => texts([network.efa_supported]),
        "network-info.ena-support" => texts([network.ena_support]),
        "network-info.encryption-in-transit-supported" => texts([network.encryption_in_transit_supported]),
        "network-info.ipv4-addresses-per-interface" => texts([network.ipv4_addresses_per_interface]),
        "network-info.ipv6-addresses-per-interface" => texts([network.ipv6_addresses_per_interface]),
        "network-info.ipv6-supported" => texts([network.ipv6_supported]),
        "network-info.maximum-network-cards" => texts([network.maximum_network_cards]),
        "network-info.maximum-network-interfaces" => texts([network.maximum_network_interfaces]),
        "network-info.network-performance" => texts([network.network_performance]),
        "nitro-enclaves-support" => texts([item.nitro_enclaves_support]),
        "nitro-tpm-support" => texts([item.nitro_tpm_support]),
        "processor-info.supported-architecture" => texts(&item.processor_info.supported_architectures),
        "processor-info.sustained-clock-speed-in-ghz" => texts([item.processor_info.sustained_clock_speed_in_ghz]),
        "supported-boot-mode" => texts(&item.supported_boot_modes),
        "supported-root-device-type" => texts(&item.supported_root_device_types),
        "supported-usage-class" => texts(&item.supported_usage_classes),
        "supported-virtualization-type" => texts(&item.supported_virtualization_types),
        "vcpu-info.default-cores" => texts([item.v_cpu_info.default_cores]),
        "vcpu-info.default-threads-per-core" => texts([item.v_cpu_info.default_threads_per_core]),
        "vcpu-info.default-vcpus" => texts([item.v_cpu_info.default_v_cpus]),
        _ => Vec::new(),
    }
}

impl Handle for DescribeInstanceTypeOfferings {
    /// Every type is offered everywhere.
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<DescribeInstanceTypeOfferingsResponse, Error> {
        ec2::filter::check(&self.filters, &["instance-type", "location"])?;
        let region = cloud.config.region;
        let (location_type, locations) = match self.location_type.as_deref() {
            None | Some("region") => ("region", vec![region.to_string()]),
            Some("availability-zone") => ("availability-zone", texts(Zone::all(region))),
            Some("availability-zone-id") => ("availability-zone-id", Zone::all(region).map(|zone| zone.id()).collect()),
            Some(other) => {
                let why = "Use region, availability-zone or availability-zone-id.";
                return Err(Error::invalid_parameter("LocationType", other, why));
            }
        };
        let items = TYPES.iter().flat_map(|kind| {
            locations.iter().map(|location| InstanceTypeOfferingItem {
                instance_type: kind.name,
                location: location.clone(),
                location_type,
            })
        });
        let passes = |item: &InstanceTypeOfferingItem| {
            place::passes(&self.filters, |name| match name {
                "instance-type" => texts([item.instance_type]),
                "location" => vec![item.location.clone()],
                _ => Vec::new(),
            })
        };
        let page = Page { max_results: self.max_results, next_token: self.next_token.as_deref() };
        // No type's name has this separator: the order of these texts is the order of (type, location).
        let key = |item: &InstanceTypeOfferingItem| format!("{}\0{}", item.instance_type, item.location);
        let (set, next_token) = page.cut(5..=1000, items.filter(passes), key)?;
        Ok(DescribeInstanceTypeOfferingsResponse { instance_type_offering_set: set, next_token })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_stand_in_order_once_each() {
        assert!(TYPES.is_sorted_by(|a, b| a.name < b.name), "pages go by name");
        assert!(TYPES.len() > 40);
    }

    #[test]
    fn cores_and_threads_are_the_processors() {
        for item in TYPES.iter().map(Type::item) {
            let info = &item.v_cpu_info;
            assert_eq!(
                info.default_cores * info.default_threads_per_core,
                info.default_v_cpus,
                "{}",
                item.instance_type
            );
        }
    }
}
