//! Network interfaces (spec 8.1-8.4).

use std::net::{Ipv4Addr, Ipv6Addr};

use model::*;

use super::{Done, TagSpecification};
use crate::Filter;
use crate::value::Attribute;

operation! {
    CreateNetworkInterface -> CreateNetworkInterfaceResponse {
        subnet_id: SubnetId = "SubnetId",
        description: Option<String> = "Description",
        private_ip_address: Option<Ipv4Addr> = "PrivateIpAddress",
        private_ip_addresses: Vec<PrivateIpAddressInput> = "PrivateIpAddresses",
        secondary_private_ip_address_count: Option<i32> = "SecondaryPrivateIpAddressCount",
        ipv6_addresses: Vec<Ipv6AddressInput> = "Ipv6Addresses",
        ipv6_address_count: Option<i32> = "Ipv6AddressCount",
        enable_primary_ipv6: Option<bool> = "EnablePrimaryIpv6",
        interface_type: Option<String> = "InterfaceType",
        security_group_ids: Vec<SecurityGroupId> = "SecurityGroupId",
        connection_tracking_specification: Option<ConnectionTrackingInput> = "ConnectionTrackingSpecification",
        client_token: Option<String> = "ClientToken",
        tag_specifications: Vec<TagSpecification> = "TagSpecification",
    }
}

input! {
    PrivateIpAddressInput {
        primary: Option<bool> = "Primary",
        private_ip_address: Ipv4Addr = "PrivateIpAddress",
    }
}

input! {
    Ipv6AddressInput {
        ipv6_address: Ipv6Addr = "Ipv6Address",
    }
}

output! {
    CreateNetworkInterfaceResponse {
        network_interface: NetworkInterfaceItem = "networkInterface",
        client_token: Option<String> = "clientToken",
    }
}

operation! {
    DeleteNetworkInterface -> Done {
        network_interface_id: NetworkInterfaceId = "NetworkInterfaceId",
    }
}

operation! {
    DescribeNetworkInterfaces -> DescribeNetworkInterfacesResponse {
        network_interface_ids: Vec<NetworkInterfaceId> = "NetworkInterfaceId",
        filters: Vec<Filter> = "Filter",
        max_results: Option<i32> = "MaxResults",
        next_token: Option<String> = "NextToken",
    }
}

output! {
    DescribeNetworkInterfacesResponse {
        network_interface_set: Vec<NetworkInterfaceItem> = "networkInterfaceSet",
        next_token: Option<String> = "nextToken",
    }
}

operation! {
    ModifyNetworkInterfaceAttribute -> Done {
        network_interface_id: NetworkInterfaceId = "NetworkInterfaceId",
        description: Option<Attribute<String>> = "Description",
        source_dest_check: Option<Attribute<bool>> = "SourceDestCheck",
        security_group_ids: Vec<SecurityGroupId> = "SecurityGroupId",
        attachment: Option<AttachmentChange> = "Attachment",
        ena_srd_specification: Option<EnaSrdInput> = "EnaSrdSpecification",
        enable_primary_ipv6: Option<bool> = "EnablePrimaryIpv6",
        connection_tracking_specification: Option<ConnectionTrackingInput> = "ConnectionTrackingSpecification",
    }
}

input! {
    /// In seconds; what is missing stays as it is (spec 6.4.4).
    ConnectionTrackingInput {
        tcp_established_timeout: Option<i32> = "TcpEstablishedTimeout",
        udp_stream_timeout: Option<i32> = "UdpStreamTimeout",
        udp_timeout: Option<i32> = "UdpTimeout",
    }
}

output! {
    /// In seconds; only what was set.
    ConnectionTrackingItem {
        tcp_established_timeout: Option<u32> = "tcpEstablishedTimeout",
        udp_stream_timeout: Option<u32> = "udpStreamTimeout",
        udp_timeout: Option<u32> = "udpTimeout",
    }
}

input! {
    AttachmentChange {
        attachment_id: AttachmentId = "AttachmentId",
        delete_on_termination: Option<bool> = "DeleteOnTermination",
        ena_queue_count: Option<i32> = "EnaQueueCount",
        default_ena_queue_count: Option<bool> = "DefaultEnaQueueCount",
    }
}

input! {
    /// Recorded, without effect.
    EnaSrdInput {
        ena_srd_enabled: Option<bool> = "EnaSrdEnabled",
        ena_srd_udp_specification: Option<EnaSrdUdpInput> = "EnaSrdUdpSpecification",
    }
}

input! {
    EnaSrdUdpInput {
        ena_srd_udp_enabled: Option<bool> = "EnaSrdUdpEnabled",
    }
}

output! {
    EnaSrdItem {
        ena_srd_enabled: Option<bool> = "enaSrdEnabled",
        ena_srd_udp_specification: Option<EnaSrdUdpItem> = "enaSrdUdpSpecification",
    }
}

output! {
    EnaSrdUdpItem {
        ena_srd_udp_enabled: bool = "enaSrdUdpEnabled",
    }
}

operation! {
    DescribeNetworkInterfaceAttribute -> DescribeNetworkInterfaceAttributeResponse {
        network_interface_id: NetworkInterfaceId = "NetworkInterfaceId",
        attribute: Option<String> = "Attribute",
    }
}

output! {
    DescribeNetworkInterfaceAttributeResponse {
        attachment: Option<InterfaceAttachmentItem> = "attachment",
        description: Option<Attribute<String>> = "description",
        group_set: Option<Vec<GroupIdentifier>> = "groupSet",
        network_interface_id: NetworkInterfaceId = "networkInterfaceId",
        source_dest_check: Option<Attribute<bool>> = "sourceDestCheck",
    }
}

operation! {
    AttachNetworkInterface -> AttachNetworkInterfaceResponse {
        network_interface_id: NetworkInterfaceId = "NetworkInterfaceId",
        instance_id: InstanceId = "InstanceId",
        device_index: i32 = "DeviceIndex",
        network_card_index: Option<i32> = "NetworkCardIndex",
        ena_srd_specification: Option<EnaSrdInput> = "EnaSrdSpecification",
        ena_queue_count: Option<i32> = "EnaQueueCount",
    }
}

output! {
    AttachNetworkInterfaceResponse {
        attachment_id: AttachmentId = "attachmentId",
        network_card_index: i32 = "networkCardIndex",
    }
}

operation! {
    DetachNetworkInterface -> Done {
        attachment_id: AttachmentId = "AttachmentId",
        force: Option<bool> = "Force",
    }
}

operation! {
    ResetNetworkInterfaceAttribute -> Done {
        network_interface_id: NetworkInterfaceId = "NetworkInterfaceId",
        source_dest_check: Option<String> = "SourceDestCheck",
    }
}

output! {
    NetworkInterfaceItem {
        association: Option<AddressAssociationItem> = "association",
        attachment: Option<InterfaceAttachmentItem> = "attachment",
        availability_zone: Zone = "availabilityZone",
        availability_zone_id: String = "availabilityZoneId",
        connection_tracking_configuration: Option<ConnectionTrackingItem> = "connectionTrackingConfiguration",
        description: String = "description",
        group_set: Vec<GroupIdentifier> = "groupSet",
        interface_type: &'static str = "interfaceType",
        ipv6_addresses_set: Vec<Ipv6AddressItem> = "ipv6AddressesSet",
        mac_address: MacAddr = "macAddress",
        network_interface_id: NetworkInterfaceId = "networkInterfaceId",
        owner_id: AccountId = "ownerId",
        private_dns_name: Option<String> = "privateDnsName",
        private_ip_address: Ipv4Addr = "privateIpAddress",
        private_ip_addresses_set: Vec<PrivateIpAddressItem> = "privateIpAddressesSet",
        requester_managed: bool = "requesterManaged",
        source_dest_check: bool = "sourceDestCheck",
        status: &'static str = "status",
        subnet_id: SubnetId = "subnetId",
        tag_set: Tags = "tagSet",
        vpc_id: VpcId = "vpcId",
    }
}

output! {
    /// An attachment as the interface shows it.
    InterfaceAttachmentItem {
        attach_time: Time = "attachTime",
        attachment_id: AttachmentId = "attachmentId",
        delete_on_termination: bool = "deleteOnTermination",
        device_index: u32 = "deviceIndex",
        network_card_index: i32 = "networkCardIndex",
        instance_id: InstanceId = "instanceId",
        instance_owner_id: AccountId = "instanceOwnerId",
        status: &'static str = "status",
        ena_srd_specification: Option<EnaSrdItem> = "enaSrdSpecification",
        ena_queue_count: Option<u32> = "enaQueueCount",
    }
}

output! {
    GroupIdentifier {
        group_id: SecurityGroupId = "groupId",
        group_name: String = "groupName",
    }
}

output! {
    Ipv6AddressItem {
        ipv6_address: Ipv6Addr = "ipv6Address",
        is_primary_ipv6: bool = "isPrimaryIpv6",
    }
}

output! {
    PrivateIpAddressItem {
        association: Option<AddressAssociationItem> = "association",
        primary: bool = "primary",
        private_dns_name: Option<String> = "privateDnsName",
        private_ip_address: Ipv4Addr = "privateIpAddress",
    }
}

output! {
    /// The public address that stands for a private one; without ids if it was assigned at launch.
    AddressAssociationItem {
        allocation_id: Option<AllocationId> = "allocationId",
        association_id: Option<AddressAssociationId> = "associationId",
        ip_owner_id: String = "ipOwnerId",
        public_dns_name: String = "publicDnsName",
        public_ip: Ipv4Addr = "publicIp",
    }
}
