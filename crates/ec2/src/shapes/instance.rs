//! Instances (spec 8.6).

use std::net::{Ipv4Addr, Ipv6Addr};

use model::*;

use super::TagSpecification;
use super::catalogue::InstanceDeviceItem;
use super::image::DeviceMappingInput;
use super::interface::{
    AddressAssociationItem, ConnectionTrackingInput, ConnectionTrackingItem, EnaSrdInput, EnaSrdItem, GroupIdentifier,
    Ipv6AddressInput, Ipv6AddressItem, PrivateIpAddressInput, PrivateIpAddressItem,
};
use super::metadata::MetadataOptionsInput;
use super::private_dns::PrivateDnsNameOptionsInput;
use crate::Filter;
use crate::shapes::Done;
use crate::value::{Attribute, Base64};

operation! {
    RunInstances -> Reservation {
        image_id: ImageId = "ImageId",
        min_count: i32 = "MinCount",
        max_count: i32 = "MaxCount",
        instance_type: Option<String> = "InstanceType",
        key_name: Option<String> = "KeyName",
        subnet_id: Option<SubnetId> = "SubnetId",
        security_group_ids: Vec<SecurityGroupId> = "SecurityGroupId",
        /// Names, of groups of the default VPC.
        security_groups: Vec<String> = "SecurityGroup",
        private_ip_address: Option<Ipv4Addr> = "PrivateIpAddress",
        ipv6_address_count: Option<i32> = "Ipv6AddressCount",
        ipv6_addresses: Vec<Ipv6AddressInput> = "Ipv6Address",
        enable_primary_ipv6: Option<bool> = "EnablePrimaryIpv6",
        network_interfaces: Vec<NetworkInterfaceSpecification> = "NetworkInterface",
        placement: Option<PlacementInput> = "Placement",
        user_data: Option<Base64> = "UserData",
        metadata_options: Option<MetadataOptionsInput> = "MetadataOptions",
        disable_api_termination: Option<bool> = "DisableApiTermination",
        disable_api_stop: Option<bool> = "DisableApiStop",
        instance_initiated_shutdown_behavior: Option<String> = "InstanceInitiatedShutdownBehavior",
        private_dns_name_options: Option<PrivateDnsNameOptionsInput> = "PrivateDnsNameOptions",
        monitoring: Option<MonitoringInput> = "Monitoring",
        credit_specification: Option<CpuCreditsInput> = "CreditSpecification",
        maintenance_options: Option<MaintenanceOptionsInput> = "MaintenanceOptions",
        ebs_optimized: Option<bool> = "EbsOptimized",
        /// Recorded: the files of a sandbox are on its host.
        block_device_mappings: Vec<DeviceMappingInput> = "BlockDeviceMapping",
        iam_instance_profile: Option<InstanceProfileInput> = "IamInstanceProfile",
        cpu_options: Option<CpuOptionsInput> = "CpuOptions",
        capacity_reservation_specification: Option<CapacityReservationInput> = "CapacityReservationSpecification",
        client_token: Option<String> = "ClientToken",
        tag_specifications: Vec<TagSpecification> = "TagSpecification",
    }
}

input! {
    MonitoringInput {
        enabled: bool = "Enabled",
    }
}

input! {
    CpuCreditsInput {
        cpu_credits: String = "CpuCredits",
    }
}

input! {
    MaintenanceOptionsInput {
        auto_recovery: Option<String> = "AutoRecovery",
    }
}

input! {
    /// One of the two.
    InstanceProfileInput {
        arn: Option<String> = "Arn",
        name: Option<String> = "Name",
    }
}

input! {
    CpuOptionsInput {
        core_count: Option<i32> = "CoreCount",
        threads_per_core: Option<i32> = "ThreadsPerCore",
    }
}

input! {
    CapacityReservationInput {
        capacity_reservation_preference: Option<String> = "CapacityReservationPreference",
    }
}

input! {
    PlacementInput {
        availability_zone: Option<String> = "AvailabilityZone",
    }
}

input! {
    NetworkInterfaceSpecification {
        device_index: Option<i32> = "DeviceIndex",
        network_interface_id: Option<NetworkInterfaceId> = "NetworkInterfaceId",
        subnet_id: Option<SubnetId> = "SubnetId",
        description: Option<String> = "Description",
        private_ip_address: Option<Ipv4Addr> = "PrivateIpAddress",
        private_ip_addresses: Vec<PrivateIpAddressInput> = "PrivateIpAddresses",
        secondary_private_ip_address_count: Option<i32> = "SecondaryPrivateIpAddressCount",
        ipv6_addresses: Vec<Ipv6AddressInput> = "Ipv6Addresses",
        ipv6_address_count: Option<i32> = "Ipv6AddressCount",
        security_group_ids: Vec<SecurityGroupId> = "SecurityGroupId",
        associate_public_ip_address: Option<bool> = "AssociatePublicIpAddress",
        delete_on_termination: Option<bool> = "DeleteOnTermination",
        connection_tracking_specification: Option<ConnectionTrackingInput> = "ConnectionTrackingSpecification",
        network_card_index: Option<i32> = "NetworkCardIndex",
        interface_type: Option<String> = "InterfaceType",
        primary_ipv6: Option<bool> = "PrimaryIpv6",
        ena_srd_specification: Option<EnaSrdInput> = "EnaSrdSpecification",
        ena_queue_count: Option<i32> = "EnaQueueCount",
    }
}

output! {
    Reservation {
        reservation_id: ReservationId = "reservationId",
        owner_id: AccountId = "ownerId",
        group_set: Vec<GroupIdentifier> = "groupSet",
        instances_set: Vec<InstanceItem> = "instancesSet",
    }
}

operation! {
    DescribeInstances -> DescribeInstancesResponse {
        instance_ids: Vec<InstanceId> = "InstanceId",
        filters: Vec<Filter> = "Filter",
        max_results: Option<i32> = "MaxResults",
        next_token: Option<String> = "NextToken",
    }
}

output! {
    DescribeInstancesResponse {
        reservation_set: Vec<Reservation> = "reservationSet",
        next_token: Option<String> = "nextToken",
    }
}

output! {
    InstanceItem {
        block_device_mapping: Vec<InstanceDeviceItem> = "blockDeviceMapping",
        instance_id: InstanceId = "instanceId",
        image_id: ImageId = "imageId",
        instance_state: InstanceStateItem = "instanceState",
        private_dns_name: String = "privateDnsName",
        dns_name: String = "dnsName",
        reason: String = "reason",
        key_name: Option<String> = "keyName",
        ami_launch_index: u32 = "amiLaunchIndex",
        instance_type: String = "instanceType",
        launch_time: Time = "launchTime",
        placement: PlacementItem = "placement",
        monitoring: MonitoringItem = "monitoring",
        subnet_id: Option<SubnetId> = "subnetId",
        vpc_id: Option<VpcId> = "vpcId",
        private_ip_address: Option<Ipv4Addr> = "privateIpAddress",
        public_ip_address: Option<Ipv4Addr> = "ipAddress",
        ipv6_address: Option<Ipv6Addr> = "ipv6Address",
        source_dest_check: Option<bool> = "sourceDestCheck",
        group_set: Vec<GroupIdentifier> = "groupSet",
        state_reason: Option<StateReasonItem> = "stateReason",
        architecture: &'static str = "architecture",
        root_device_type: &'static str = "rootDeviceType",
        root_device_name: String = "rootDeviceName",
        virtualization_type: &'static str = "virtualizationType",
        hypervisor: &'static str = "hypervisor",
        client_token: String = "clientToken",
        ebs_optimized: bool = "ebsOptimized",
        ena_support: bool = "enaSupport",
        network_interface_set: Vec<InstanceInterfaceItem> = "networkInterfaceSet",
        cpu_options: CpuOptionsItem = "cpuOptions",
        metadata_options: MetadataOptionsItem = "metadataOptions",
        private_dns_name_options: PrivateDnsNameOptionsItem = "privateDnsNameOptions",
        maintenance_options: MaintenanceOptionsItem = "maintenanceOptions",
        iam_instance_profile: Option<InstanceProfileItem> = "iamInstanceProfile",
        capacity_reservation_specification: CapacityReservationItem = "capacityReservationSpecification",
        enclave_options: EnclaveOptionsItem = "enclaveOptions",
        hibernation_options: HibernationOptionsItem = "hibernationOptions",
        current_instance_boot_mode: &'static str = "currentInstanceBootMode",
        usage_operation: &'static str = "usageOperation",
        usage_operation_update_time: Time = "usageOperationUpdateTime",
        platform_details: &'static str = "platformDetails",
        tag_set: Tags = "tagSet",
    }
}

output! {
    InstanceProfileItem {
        arn: String = "arn",
        id: String = "id",
    }
}

output! {
    CapacityReservationItem {
        capacity_reservation_preference: String = "capacityReservationPreference",
    }
}

output! {
    HibernationOptionsItem {
        configured: bool = "configured",
    }
}

output! {
    InstanceStateItem {
        code: i32 = "code",
        name: &'static str = "name",
    }
}

impl From<InstanceState> for InstanceStateItem {
    fn from(state: InstanceState) -> InstanceStateItem {
        InstanceStateItem { code: state.code(), name: state.name() }
    }
}

output! {
    PlacementItem {
        availability_zone: Zone = "availabilityZone",
        availability_zone_id: String = "availabilityZoneId",
        group_name: &'static str = "groupName",
        tenancy: &'static str = "tenancy",
    }
}

output! {
    MonitoringItem {
        state: &'static str = "state",
    }
}

output! {
    StateReasonItem {
        code: String = "code",
        message: String = "message",
    }
}

output! {
    CpuOptionsItem {
        core_count: u32 = "coreCount",
        threads_per_core: u32 = "threadsPerCore",
    }
}

output! {
    MetadataOptionsItem {
        state: &'static str = "state",
        http_tokens: &'static str = "httpTokens",
        http_put_response_hop_limit: i32 = "httpPutResponseHopLimit",
        http_endpoint: &'static str = "httpEndpoint",
        http_protocol_ipv6: &'static str = "httpProtocolIpv6",
        instance_metadata_tags: &'static str = "instanceMetadataTags",
    }
}

output! {
    PrivateDnsNameOptionsItem {
        hostname_type: &'static str = "hostnameType",
        enable_resource_name_dns_a_record: bool = "enableResourceNameDnsARecord",
        enable_resource_name_dns_aaaa_record: bool = "enableResourceNameDnsAAAARecord",
    }
}

output! {
    MaintenanceOptionsItem {
        auto_recovery: String = "autoRecovery",
        reboot_migration: String = "rebootMigration",
    }
}

output! {
    InstanceInterfaceItem {
        association: Option<AddressAssociationItem> = "association",
        attachment: Option<InstanceAttachmentItem> = "attachment",
        connection_tracking_configuration: Option<ConnectionTrackingItem> = "connectionTrackingConfiguration",
        description: String = "description",
        group_set: Vec<GroupIdentifier> = "groupSet",
        ipv6_addresses_set: Vec<Ipv6AddressItem> = "ipv6AddressesSet",
        mac_address: MacAddr = "macAddress",
        network_interface_id: NetworkInterfaceId = "networkInterfaceId",
        owner_id: AccountId = "ownerId",
        private_dns_name: Option<String> = "privateDnsName",
        private_ip_address: Ipv4Addr = "privateIpAddress",
        private_ip_addresses_set: Vec<PrivateIpAddressItem> = "privateIpAddressesSet",
        source_dest_check: bool = "sourceDestCheck",
        status: &'static str = "status",
        subnet_id: SubnetId = "subnetId",
        vpc_id: VpcId = "vpcId",
        interface_type: &'static str = "interfaceType",
    }
}

output! {
    /// An attachment as the instance shows it.
    InstanceAttachmentItem {
        attach_time: Time = "attachTime",
        attachment_id: AttachmentId = "attachmentId",
        delete_on_termination: bool = "deleteOnTermination",
        device_index: u32 = "deviceIndex",
        status: &'static str = "status",
        network_card_index: i32 = "networkCardIndex",
        ena_srd_specification: Option<EnaSrdItem> = "enaSrdSpecification",
        ena_queue_count: Option<u32> = "enaQueueCount",
    }
}

operation! {
    StartInstances -> InstanceStateChanges {
        instance_ids: Vec<InstanceId> = "InstanceId",
    }
}

operation! {
    StopInstances -> InstanceStateChanges {
        instance_ids: Vec<InstanceId> = "InstanceId",
    }
}

operation! {
    RebootInstances -> Done {
        instance_ids: Vec<InstanceId> = "InstanceId",
    }
}

operation! {
    TerminateInstances -> InstanceStateChanges {
        instance_ids: Vec<InstanceId> = "InstanceId",
    }
}

output! {
    InstanceStateChanges {
        instances_set: Vec<InstanceStateChange> = "instancesSet",
    }
}

output! {
    InstanceStateChange {
        instance_id: InstanceId = "instanceId",
        current_state: InstanceStateItem = "currentState",
        previous_state: InstanceStateItem = "previousState",
    }
}

operation! {
    DescribeInstanceStatus -> DescribeInstanceStatusResponse {
        instance_ids: Vec<InstanceId> = "InstanceId",
        filters: Vec<Filter> = "Filter",
        include_all_instances: Option<bool> = "IncludeAllInstances",
        max_results: Option<i32> = "MaxResults",
        next_token: Option<String> = "NextToken",
    }
}

output! {
    DescribeInstanceStatusResponse {
        instance_status_set: Vec<InstanceStatusItem> = "instanceStatusSet",
        next_token: Option<String> = "nextToken",
    }
}

output! {
    InstanceStatusItem {
        availability_zone: Zone = "availabilityZone",
        instance_id: InstanceId = "instanceId",
        instance_state: InstanceStateItem = "instanceState",
        instance_status: StatusSummary = "instanceStatus",
        system_status: StatusSummary = "systemStatus",
    }
}

output! {
    StatusSummary {
        details: Vec<StatusDetail> = "details",
        status: &'static str = "status",
    }
}

output! {
    StatusDetail {
        name: &'static str = "name",
        status: &'static str = "status",
    }
}

operation! {
    DescribeInstanceAttribute -> DescribeInstanceAttributeResponse {
        instance_id: InstanceId = "InstanceId",
        attribute: String = "Attribute",
    }
}

output! {
    DescribeInstanceAttributeResponse {
        instance_id: InstanceId = "instanceId",
        block_device_mapping: Option<Vec<InstanceDeviceItem>> = "blockDeviceMapping",
        disable_api_stop: Option<Attribute<bool>> = "disableApiStop",
        disable_api_termination: Option<Attribute<bool>> = "disableApiTermination",
        ebs_optimized: Option<Attribute<bool>> = "ebsOptimized",
        ena_support: Option<Attribute<bool>> = "enaSupport",
        enclave_options: Option<EnclaveOptionsItem> = "enclaveOptions",
        group_set: Option<Vec<GroupIdentifier>> = "groupSet",
        instance_initiated_shutdown_behavior: Option<Attribute<String>> = "instanceInitiatedShutdownBehavior",
        instance_type: Option<Attribute<String>> = "instanceType",
        product_codes: Option<Vec<String>> = "productCodes",
        root_device_name: Option<Attribute<String>> = "rootDeviceName",
        source_dest_check: Option<Attribute<bool>> = "sourceDestCheck",
        sriov_net_support: Option<Attribute<String>> = "sriovNetSupport",
        user_data: Option<UserDataItem> = "userData",
    }
}

output! {
    EnclaveOptionsItem {
        enabled: bool = "enabled",
    }
}

output! {
    /// Without a value where the instance has no user data.
    UserDataItem {
        value: Option<Base64> = "value",
    }
}

operation! {
    /// One attribute in a call: by a member of its own, or by `Attribute` and `Value`.
    ModifyInstanceAttribute -> Done {
        instance_id: InstanceId = "InstanceId",
        attribute: Option<String> = "Attribute",
        value: Option<String> = "Value",
        block_device_mappings: Vec<DeviceMappingInput> = "BlockDeviceMapping",
        ebs_optimized: Option<Attribute<bool>> = "EbsOptimized",
        ena_support: Option<Attribute<bool>> = "EnaSupport",
        kernel: Option<Attribute<String>> = "Kernel",
        ramdisk: Option<Attribute<String>> = "Ramdisk",
        sriov_net_support: Option<Attribute<String>> = "SriovNetSupport",
        disable_api_stop: Option<Attribute<bool>> = "DisableApiStop",
        disable_api_termination: Option<Attribute<bool>> = "DisableApiTermination",
        group_ids: Vec<SecurityGroupId> = "GroupId",
        instance_initiated_shutdown_behavior: Option<Attribute<String>> = "InstanceInitiatedShutdownBehavior",
        instance_type: Option<Attribute<String>> = "InstanceType",
        source_dest_check: Option<Attribute<bool>> = "SourceDestCheck",
        user_data: Option<Attribute<Base64>> = "UserData",
    }
}

operation! {
    DescribeInstanceCreditSpecifications -> DescribeInstanceCreditSpecificationsResponse {
        instance_ids: Vec<InstanceId> = "InstanceId",
        filters: Vec<Filter> = "Filter",
        max_results: Option<i32> = "MaxResults",
        next_token: Option<String> = "NextToken",
    }
}

output! {
    DescribeInstanceCreditSpecificationsResponse {
        instance_credit_specification_set: Vec<CreditSpecificationItem> = "instanceCreditSpecificationSet",
        next_token: Option<String> = "nextToken",
    }
}

output! {
    CreditSpecificationItem {
        instance_id: InstanceId = "instanceId",
        cpu_credits: String = "cpuCredits",
    }
}
