//! Machine images: labels here, for any image id runs the sandbox (spec 8.6).

use model::*;

use super::TagSpecification;
use crate::Filter;
use crate::value::Attribute;

operation! {
    DescribeImages -> DescribeImagesResponse {
        executable_users: Vec<String> = "ExecutableBy",
        image_ids: Vec<ImageId> = "ImageId",
        owners: Vec<String> = "Owner",
        include_deprecated: Option<bool> = "IncludeDeprecated",
        include_disabled: Option<bool> = "IncludeDisabled",
        filters: Vec<Filter> = "Filter",
        max_results: Option<i32> = "MaxResults",
        next_token: Option<String> = "NextToken",
    }
}

output! {
    DescribeImagesResponse {
        images_set: Vec<ImageItem> = "imagesSet",
        next_token: Option<String> = "nextToken",
    }
}

output! {
    ImageItem {
        architecture: String = "architecture",
        block_device_mapping: Vec<ImageDeviceItem> = "blockDeviceMapping",
        boot_mode: Option<String> = "bootMode",
        creation_date: String = "creationDate",
        description: Option<String> = "description",
        ena_support: bool = "enaSupport",
        hypervisor: &'static str = "hypervisor",
        image_id: ImageId = "imageId",
        image_location: String = "imageLocation",
        image_owner_alias: Option<&'static str> = "imageOwnerAlias",
        image_owner_id: String = "imageOwnerId",
        image_state: &'static str = "imageState",
        image_type: &'static str = "imageType",
        imds_support: Option<String> = "imdsSupport",
        is_public: bool = "isPublic",
        name: String = "name",
        platform_details: &'static str = "platformDetails",
        root_device_name: String = "rootDeviceName",
        root_device_type: &'static str = "rootDeviceType",
        sriov_net_support: &'static str = "sriovNetSupport",
        tag_set: Tags = "tagSet",
        tpm_support: Option<String> = "tpmSupport",
        usage_operation: &'static str = "usageOperation",
        virtualization_type: String = "virtualizationType",
    }
}

output! {
    ImageDeviceItem {
        device_name: String = "deviceName",
        ebs: ImageVolumeItem = "ebs",
    }
}

output! {
    ImageVolumeItem {
        delete_on_termination: bool = "deleteOnTermination",
        encrypted: bool = "encrypted",
        snapshot_id: String = "snapshotId",
        volume_size: u32 = "volumeSize",
        volume_type: &'static str = "volumeType",
    }
}

operation! {
    DescribeImageAttribute -> DescribeImageAttributeResponse {
        image_id: ImageId = "ImageId",
        attribute: String = "Attribute",
    }
}

output! {
    DescribeImageAttributeResponse {
        image_id: ImageId = "imageId",
        block_device_mapping: Option<Vec<ImageDeviceItem>> = "blockDeviceMapping",
        boot_mode: Option<Attribute<String>> = "bootMode",
        description: Option<Attribute<String>> = "description",
        imds_support: Option<Attribute<String>> = "imdsSupport",
        launch_permission: Option<Vec<LaunchPermissionItem>> = "launchPermission",
        sriov_net_support: Option<Attribute<String>> = "sriovNetSupport",
        tpm_support: Option<Attribute<String>> = "tpmSupport",
    }
}

output! {
    LaunchPermissionItem {
        group: &'static str = "group",
    }
}

operation! {
    RegisterImage -> RegisterImageResponse {
        name: String = "Name",
        description: Option<String> = "Description",
        architecture: Option<String> = "Architecture",
        image_location: Option<String> = "ImageLocation",
        root_device_name: Option<String> = "RootDeviceName",
        virtualization_type: Option<String> = "VirtualizationType",
        ena_support: Option<bool> = "EnaSupport",
        sriov_net_support: Option<String> = "SriovNetSupport",
        boot_mode: Option<String> = "BootMode",
        tpm_support: Option<String> = "TpmSupport",
        imds_support: Option<String> = "ImdsSupport",
        /// Sandboxes have no volumes: devices are taken and not kept.
        block_device_mappings: Vec<DeviceMappingInput> = "BlockDeviceMapping",
        tag_specifications: Vec<TagSpecification> = "TagSpecification",
    }
}

input! {
    DeviceMappingInput {
        device_name: Option<String> = "DeviceName",
        virtual_name: Option<String> = "VirtualName",
        no_device: Option<String> = "NoDevice",
        ebs: Option<VolumeInput> = "Ebs",
    }
}

input! {
    VolumeInput {
        delete_on_termination: Option<bool> = "DeleteOnTermination",
        encrypted: Option<bool> = "Encrypted",
        iops: Option<i32> = "Iops",
        kms_key_id: Option<String> = "KmsKeyId",
        snapshot_id: Option<String> = "SnapshotId",
        throughput: Option<i32> = "Throughput",
        volume_size: Option<i32> = "VolumeSize",
        volume_type: Option<String> = "VolumeType",
    }
}

output! {
    RegisterImageResponse {
        image_id: ImageId = "imageId",
    }
}

operation! {
    DeregisterImage -> DeregisterImageResponse {
        image_id: ImageId = "ImageId",
        delete_associated_snapshots: Option<bool> = "DeleteAssociatedSnapshots",
    }
}

output! {
    DeregisterImageResponse {
        result: bool = "return",
    }
}
