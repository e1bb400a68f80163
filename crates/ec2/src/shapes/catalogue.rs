//! What instances are made of, as far as clients ask: types, images, volumes. Labels here (spec 8.6).

use model::*;

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
        supported_usage_classes: Vec<String> = "supportedUsageClasses",
        supported_root_device_types: Vec<String> = "supportedRootDeviceTypes",
        supported_virtualization_types: Vec<String> = "supportedVirtualizationTypes",
        bare_metal: bool = "bareMetal",
        hypervisor: &'static str = "hypervisor",
        processor_info: ProcessorInfo = "processorInfo",
        v_cpu_info: VCpuInfo = "vCpuInfo",
        memory_info: MemoryInfo = "memoryInfo",
        instance_storage_supported: bool = "instanceStorageSupported",
        network_info: NetworkInfo = "networkInfo",
        hibernation_supported: bool = "hibernationSupported",
        burstable_performance_supported: bool = "burstablePerformanceSupported",
        dedicated_hosts_supported: bool = "dedicatedHostsSupported",
        auto_recovery_supported: bool = "autoRecoverySupported",
    }
}

output! {
    ProcessorInfo {
        supported_architectures: Vec<String> = "supportedArchitectures",
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
    NetworkInfo {
        network_performance: &'static str = "networkPerformance",
        maximum_network_interfaces: u32 = "maximumNetworkInterfaces",
        ipv4_addresses_per_interface: u32 = "ipv4AddressesPerInterface",
        ipv6_addresses_per_interface: u32 = "ipv6AddressesPerInterface",
        ipv6_supported: bool = "ipv6Supported",
        ena_support: &'static str = "enaSupport",
    }
}

operation! {
    DescribeImages -> DescribeImagesResponse {
        image_ids: Vec<ImageId> = "ImageId",
        filters: Vec<Filter> = "Filter",
    }
}

output! {
    DescribeImagesResponse {
        images_set: Vec<ImageItem> = "imagesSet",
    }
}

output! {
    ImageItem {
        image_id: ImageId = "imageId",
        image_location: &'static str = "imageLocation",
        image_state: &'static str = "imageState",
        image_owner_id: &'static str = "imageOwnerId",
        is_public: bool = "isPublic",
        architecture: &'static str = "architecture",
        image_type: &'static str = "imageType",
        name: &'static str = "name",
        description: &'static str = "description",
        root_device_type: &'static str = "rootDeviceType",
        root_device_name: &'static str = "rootDeviceName",
        virtualization_type: &'static str = "virtualizationType",
        hypervisor: &'static str = "hypervisor",
        ena_support: bool = "enaSupport",
        creation_date: &'static str = "creationDate",
        platform_details: &'static str = "platformDetails",
    }
}

operation! {
    DescribeVolumes -> DescribeVolumesResponse {
        volume_ids: Vec<VolumeId> = "VolumeId",
    }
}

output! {
    DescribeVolumesResponse {
        volume_set: Vec<String> = "volumeSet",
    }
}
