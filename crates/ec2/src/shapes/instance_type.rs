//! Instance types: labels that clients look up (spec 8.6).

use crate::Filter;

operation! {
    DescribeInstanceTypes -> DescribeInstanceTypesResponse {
        instance_types: Vec<String> = "InstanceType",
        filters: Vec<Filter> = "Filter",
        max_results: Option<i32> = "MaxResults",
        next_token: Option<String> = "NextToken",
    }
}

output! {
    DescribeInstanceTypesResponse {
        instance_type_set: Vec<InstanceTypeItem> = "instanceTypeSet",
        next_token: Option<String> = "nextToken",
    }
}

output! {
    InstanceTypeItem {
        instance_type: &'static str = "instanceType",
        current_generation: bool = "currentGeneration",
        free_tier_eligible: bool = "freeTierEligible",
        supported_usage_classes: Vec<&'static str> = "supportedUsageClasses",
        supported_root_device_types: Vec<&'static str> = "supportedRootDeviceTypes",
        supported_virtualization_types: Vec<&'static str> = "supportedVirtualizationTypes",
        bare_metal: bool = "bareMetal",
        hypervisor: &'static str = "hypervisor",
        processor_info: ProcessorInfo = "processorInfo",
        v_cpu_info: VCpuInfo = "vCpuInfo",
        memory_info: MemoryInfo = "memoryInfo",
        instance_storage_supported: bool = "instanceStorageSupported",
        ebs_info: EbsInfo = "ebsInfo",
        network_info: NetworkInfo = "networkInfo",
        placement_group_info: PlacementGroupInfo = "placementGroupInfo",
        hibernation_supported: bool = "hibernationSupported",
        burstable_performance_supported: bool = "burstablePerformanceSupported",
        dedicated_hosts_supported: bool = "dedicatedHostsSupported",
        auto_recovery_supported: bool = "autoRecoverySupported",
        supported_boot_modes: Vec<&'static str> = "supportedBootModes",
        nitro_enclaves_support: &'static str = "nitroEnclavesSupport",
        nitro_tpm_support: &'static str = "nitroTpmSupport",
    }
}

output! {
    ProcessorInfo {
        supported_architectures: Vec<&'static str> = "supportedArchitectures",
        /// In GHz.
        sustained_clock_speed_in_ghz: &'static str = "sustainedClockSpeedInGhz",
        manufacturer: &'static str = "manufacturer",
    }
}

output! {
    VCpuInfo {
        default_v_cpus: i32 = "defaultVCpus",
        default_cores: i32 = "defaultCores",
        default_threads_per_core: i32 = "defaultThreadsPerCore",
    }
}

output! {
    MemoryInfo {
        size_in_mib: i64 = "sizeInMiB",
    }
}

output! {
    EbsInfo {
        ebs_optimized_support: &'static str = "ebsOptimizedSupport",
        encryption_support: &'static str = "encryptionSupport",
        nvme_support: &'static str = "nvmeSupport",
    }
}

output! {
    NetworkInfo {
        network_performance: &'static str = "networkPerformance",
        maximum_network_interfaces: u32 = "maximumNetworkInterfaces",
        maximum_network_cards: i32 = "maximumNetworkCards",
        default_network_card_index: i32 = "defaultNetworkCardIndex",
        ipv4_addresses_per_interface: u32 = "ipv4AddressesPerInterface",
        ipv6_addresses_per_interface: u32 = "ipv6AddressesPerInterface",
        ipv6_supported: bool = "ipv6Supported",
        ena_support: &'static str = "enaSupport",
        efa_supported: bool = "efaSupported",
        encryption_in_transit_supported: bool = "encryptionInTransitSupported",
    }
}

output! {
    PlacementGroupInfo {
        supported_strategies: Vec<&'static str> = "supportedStrategies",
    }
}

operation! {
    DescribeInstanceTypeOfferings -> DescribeInstanceTypeOfferingsResponse {
        location_type: Option<String> = "LocationType",
        filters: Vec<Filter> = "Filter",
        max_results: Option<i32> = "MaxResults",
        next_token: Option<String> = "NextToken",
    }
}

output! {
    DescribeInstanceTypeOfferingsResponse {
        instance_type_offering_set: Vec<InstanceTypeOfferingItem> = "instanceTypeOfferingSet",
        next_token: Option<String> = "nextToken",
    }
}

output! {
    InstanceTypeOfferingItem {
        instance_type: &'static str = "instanceType",
        location: String = "location",
        location_type: &'static str = "locationType",
    }
}
