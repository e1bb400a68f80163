//! Elastic IP addresses (spec 8.7).

use std::net::Ipv4Addr;

use model::*;

use super::{Done, TagSpecification};
use crate::Filter;

operation! {
    AllocateAddress -> AllocateAddressResponse {
        domain: Option<String> = "Domain",
        address: Option<Ipv4Addr> = "Address",
        public_ipv4_pool: Option<String> = "PublicIpv4Pool",
        network_border_group: Option<String> = "NetworkBorderGroup",
        customer_owned_ipv4_pool: Option<String> = "CustomerOwnedIpv4Pool",
        ipam_pool_id: Option<String> = "IpamPoolId",
        tag_specifications: Vec<TagSpecification> = "TagSpecification",
    }
}

output! {
    AllocateAddressResponse {
        public_ip: Ipv4Addr = "publicIp",
        allocation_id: AllocationId = "allocationId",
        public_ipv4_pool: &'static str = "publicIpv4Pool",
        network_border_group: Region = "networkBorderGroup",
        domain: &'static str = "domain",
    }
}

operation! {
    ReleaseAddress -> Done {
        allocation_id: Option<AllocationId> = "AllocationId",
        public_ip: Option<Ipv4Addr> = "PublicIp",
        network_border_group: Option<String> = "NetworkBorderGroup",
    }
}

operation! {
    AssociateAddress -> AssociateAddressResponse {
        allocation_id: Option<AllocationId> = "AllocationId",
        public_ip: Option<Ipv4Addr> = "PublicIp",
        instance_id: Option<InstanceId> = "InstanceId",
        network_interface_id: Option<NetworkInterfaceId> = "NetworkInterfaceId",
        private_ip_address: Option<Ipv4Addr> = "PrivateIpAddress",
        allow_reassociation: Option<bool> = "AllowReassociation",
    }
}

output! {
    AssociateAddressResponse {
        association_id: AddressAssociationId = "associationId",
    }
}

operation! {
    DisassociateAddress -> Done {
        association_id: Option<AddressAssociationId> = "AssociationId",
        public_ip: Option<Ipv4Addr> = "PublicIp",
    }
}

operation! {
    DescribeAddresses -> DescribeAddressesResponse {
        public_ips: Vec<Ipv4Addr> = "PublicIp",
        allocation_ids: Vec<AllocationId> = "AllocationId",
        filters: Vec<Filter> = "Filter",
    }
}

output! {
    DescribeAddressesResponse {
        addresses: Vec<AddressItem> = "addressesSet",
    }
}

output! {
    AddressItem {
        public_ip: Ipv4Addr = "publicIp",
        allocation_id: AllocationId = "allocationId",
        association_id: Option<AddressAssociationId> = "associationId",
        domain: &'static str = "domain",
        instance_id: Option<InstanceId> = "instanceId",
        network_interface_id: Option<NetworkInterfaceId> = "networkInterfaceId",
        network_interface_owner_id: Option<AccountId> = "networkInterfaceOwnerId",
        private_ip_address: Option<Ipv4Addr> = "privateIpAddress",
        public_ipv4_pool: &'static str = "publicIpv4Pool",
        network_border_group: Region = "networkBorderGroup",
        tag_set: Tags = "tagSet",
    }
}

operation! {
    DescribeAddressesAttribute -> DescribeAddressesAttributeResponse {
        allocation_ids: Vec<AllocationId> = "AllocationId",
        attribute: Option<String> = "Attribute",
        max_results: Option<i32> = "MaxResults",
        next_token: Option<String> = "NextToken",
    }
}

output! {
    DescribeAddressesAttributeResponse {
        addresses: Vec<AddressAttributeItem> = "addressSet",
        next_token: Option<String> = "nextToken",
    }
}

output! {
    AddressAttributeItem {
        public_ip: Ipv4Addr = "publicIp",
        allocation_id: AllocationId = "allocationId",
        ptr_record: Option<String> = "ptrRecord",
    }
}

operation! {
    ModifyAddressAttribute -> ModifyAddressAttributeResponse {
        allocation_id: AllocationId = "AllocationId",
        domain_name: Option<String> = "DomainName",
    }
}

output! {
    ModifyAddressAttributeResponse {
        address: AddressAttributeItem = "address",
    }
}

operation! {
    ResetAddressAttribute -> ResetAddressAttributeResponse {
        allocation_id: AllocationId = "AllocationId",
        attribute: String = "Attribute",
    }
}

output! {
    ResetAddressAttributeResponse {
        address: AddressAttributeItem = "address",
    }
}
