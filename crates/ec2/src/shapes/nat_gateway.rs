//! NAT gateways (spec 8.8).

use std::net::Ipv4Addr;

use model::*;

use super::TagSpecification;
use crate::Filter;

operation! {
    CreateNatGateway -> CreateNatGatewayResponse {
        allocation_id: Option<AllocationId> = "AllocationId",
        client_token: Option<String> = "ClientToken",
        subnet_id: Option<SubnetId> = "SubnetId",
        connectivity_type: Option<String> = "ConnectivityType",
        private_ip_address: Option<Ipv4Addr> = "PrivateIpAddress",
        secondary_allocation_ids: Vec<AllocationId> = "SecondaryAllocationId",
        secondary_private_ip_addresses: Vec<Ipv4Addr> = "SecondaryPrivateIpAddress",
        secondary_private_ip_address_count: Option<i32> = "SecondaryPrivateIpAddressCount",
        /// Only `zonal` is there; what a regional one has is refused with it.
        availability_mode: Option<String> = "AvailabilityMode",
        vpc_id: Option<VpcId> = "VpcId",
        availability_zone_addresses: Vec<AvailabilityZoneAddressInput> = "AvailabilityZoneAddress",
        tag_specifications: Vec<TagSpecification> = "TagSpecification",
    }
}

input! {
    AvailabilityZoneAddressInput {
        availability_zone: Option<String> = "AvailabilityZone",
        availability_zone_id: Option<String> = "AvailabilityZoneId",
        allocation_ids: Vec<AllocationId> = "AllocationId",
    }
}

output! {
    CreateNatGatewayResponse {
        client_token: Option<String> = "clientToken",
        nat_gateway: NatGatewayItem = "natGateway",
    }
}

operation! {
    DeleteNatGateway -> DeleteNatGatewayResponse {
        nat_gateway_id: NatGatewayId = "NatGatewayId",
    }
}

output! {
    DeleteNatGatewayResponse {
        nat_gateway_id: NatGatewayId = "natGatewayId",
    }
}

operation! {
    DescribeNatGateways -> DescribeNatGatewaysResponse {
        nat_gateway_ids: Vec<NatGatewayId> = "NatGatewayId",
        filters: Vec<Filter> = "Filter",
        max_results: Option<i32> = "MaxResults",
        next_token: Option<String> = "NextToken",
    }
}

output! {
    DescribeNatGatewaysResponse {
        nat_gateways: Vec<NatGatewayItem> = "natGatewaySet",
        next_token: Option<String> = "nextToken",
    }
}

operation! {
    AssociateNatGatewayAddress -> NatGatewayAddressesResponse {
        nat_gateway_id: NatGatewayId = "NatGatewayId",
        allocation_ids: Vec<AllocationId> = "AllocationId",
        private_ip_addresses: Vec<Ipv4Addr> = "PrivateIpAddress",
        availability_zone: Option<String> = "AvailabilityZone",
        availability_zone_id: Option<String> = "AvailabilityZoneId",
    }
}

operation! {
    DisassociateNatGatewayAddress -> NatGatewayAddressesResponse {
        nat_gateway_id: NatGatewayId = "NatGatewayId",
        association_ids: Vec<AddressAssociationId> = "AssociationId",
        max_drain_duration_seconds: Option<i32> = "MaxDrainDurationSeconds",
    }
}

operation! {
    AssignPrivateNatGatewayAddress -> NatGatewayAddressesResponse {
        nat_gateway_id: NatGatewayId = "NatGatewayId",
        private_ip_addresses: Vec<Ipv4Addr> = "PrivateIpAddress",
        private_ip_address_count: Option<i32> = "PrivateIpAddressCount",
    }
}

operation! {
    UnassignPrivateNatGatewayAddress -> NatGatewayAddressesResponse {
        nat_gateway_id: NatGatewayId = "NatGatewayId",
        private_ip_addresses: Vec<Ipv4Addr> = "PrivateIpAddress",
        max_drain_duration_seconds: Option<i32> = "MaxDrainDurationSeconds",
    }
}

output! {
    /// The addresses that a call added or took away.
    NatGatewayAddressesResponse {
        nat_gateway_id: NatGatewayId = "natGatewayId",
        nat_gateway_addresses: Vec<NatGatewayAddressItem> = "natGatewayAddressSet",
    }
}

output! {
    NatGatewayItem {
        create_time: Time = "createTime",
        delete_time: Option<Time> = "deleteTime",
        failure_code: Option<String> = "failureCode",
        failure_message: Option<String> = "failureMessage",
        nat_gateway_addresses: Vec<NatGatewayAddressItem> = "natGatewayAddressSet",
        nat_gateway_id: NatGatewayId = "natGatewayId",
        state: &'static str = "state",
        subnet_id: SubnetId = "subnetId",
        vpc_id: VpcId = "vpcId",
        tag_set: Tags = "tagSet",
        connectivity_type: &'static str = "connectivityType",
        availability_mode: &'static str = "availabilityMode",
    }
}

output! {
    NatGatewayAddressItem {
        allocation_id: Option<AllocationId> = "allocationId",
        network_interface_id: Option<NetworkInterfaceId> = "networkInterfaceId",
        private_ip: Option<Ipv4Addr> = "privateIp",
        public_ip: Option<Ipv4Addr> = "publicIp",
        association_id: Option<AddressAssociationId> = "associationId",
        is_primary: bool = "isPrimary",
        status: &'static str = "status",
    }
}
