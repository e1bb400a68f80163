//! Volumes, as instances have them (spec 8.6).

use model::*;

use crate::Filter;

operation! {
    DescribeVolumes -> DescribeVolumesResponse {
        volume_ids: Vec<VolumeId> = "VolumeId",
        filters: Vec<Filter> = "Filter",
        max_results: Option<i32> = "MaxResults",
        next_token: Option<String> = "NextToken",
    }
}

output! {
    DescribeVolumesResponse {
        volume_set: Vec<VolumeItem> = "volumeSet",
        next_token: Option<String> = "nextToken",
    }
}

output! {
    VolumeItem {
        attachment_set: Vec<VolumeAttachmentItem> = "attachmentSet",
        availability_zone: Zone = "availabilityZone",
        availability_zone_id: String = "availabilityZoneId",
        create_time: Time = "createTime",
        encrypted: bool = "encrypted",
        iops: Option<u32> = "iops",
        kms_key_id: Option<String> = "kmsKeyId",
        multi_attach_enabled: bool = "multiAttachEnabled",
        size: u32 = "size",
        snapshot_id: String = "snapshotId",
        status: &'static str = "status",
        tag_set: Tags = "tagSet",
        throughput: Option<u32> = "throughput",
        volume_id: VolumeId = "volumeId",
        volume_type: String = "volumeType",
    }
}

output! {
    VolumeAttachmentItem {
        attach_time: Time = "attachTime",
        delete_on_termination: bool = "deleteOnTermination",
        device: String = "device",
        instance_id: InstanceId = "instanceId",
        status: &'static str = "status",
        volume_id: VolumeId = "volumeId",
    }
}

output! {
    /// A volume as its instance shows it.
    InstanceDeviceItem {
        device_name: String = "deviceName",
        ebs: InstanceVolumeItem = "ebs",
    }
}

output! {
    InstanceVolumeItem {
        attach_time: Time = "attachTime",
        delete_on_termination: bool = "deleteOnTermination",
        status: &'static str = "status",
        volume_id: VolumeId = "volumeId",
    }
}
