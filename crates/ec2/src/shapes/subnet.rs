//! Subnets (spec ch. 3).

use model::*;

use super::vpc::CidrStateItem;
use super::{Done, TagSpecification};
use crate::Filter;
use crate::value::Attribute;

operation! {
    CreateSubnet -> CreateSubnetResponse {
        vpc_id: VpcId = "VpcId",
        cidr_block: Option<Ipv4Cidr> = "CidrBlock",
        ipv6_cidr_block: Option<Ipv6Cidr> = "Ipv6CidrBlock",
        ipv6_native: Option<bool> = "Ipv6Native",
        ipv4_ipam_pool_id: Option<String> = "Ipv4IpamPoolId",
        ipv6_ipam_pool_id: Option<String> = "Ipv6IpamPoolId",
        availability_zone: Option<String> = "AvailabilityZone",
        availability_zone_id: Option<String> = "AvailabilityZoneId",
        tag_specifications: Vec<TagSpecification> = "TagSpecification",
    }
}

output! {
    CreateSubnetResponse {
        subnet: SubnetItem = "subnet",
    }
}

operation! {
    DeleteSubnet -> Done {
        subnet_id: SubnetId = "SubnetId",
    }
}

operation! {
    DescribeSubnets -> DescribeSubnetsResponse {
        subnet_ids: Vec<SubnetId> = "SubnetId",
        filters: Vec<Filter> = "Filter",
        max_results: Option<i32> = "MaxResults",
        next_token: Option<String> = "NextToken",
    }
}

output! {
    DescribeSubnetsResponse {
        subnets: Vec<SubnetItem> = "subnetSet",
        next_token: Option<String> = "nextToken",
    }
}

operation! {
    /// Exactly one attribute in a call (spec 3.6).
    ModifySubnetAttribute -> Done {
        subnet_id: SubnetId = "SubnetId",
        map_public_ip_on_launch: Option<Attribute<bool>> = "MapPublicIpOnLaunch",
        assign_ipv6_address_on_creation: Option<Attribute<bool>> = "AssignIpv6AddressOnCreation",
        enable_dns64: Option<Attribute<bool>> = "EnableDns64",
        private_dns_hostname_type_on_launch: Option<String> = "PrivateDnsHostnameTypeOnLaunch",
        enable_resource_name_dns_a_record_on_launch: Option<Attribute<bool>> = "EnableResourceNameDnsARecordOnLaunch",
        enable_resource_name_dns_aaaa_record_on_launch: Option<Attribute<bool>> = "EnableResourceNameDnsAAAARecordOnLaunch",
    }
}

operation! {
    AssociateSubnetCidrBlock -> SubnetCidrBlockResponse {
        subnet_id: SubnetId = "SubnetId",
        ipv6_cidr_block: Ipv6Cidr = "Ipv6CidrBlock",
    }
}

operation! {
    DisassociateSubnetCidrBlock -> SubnetCidrBlockResponse {
        association_id: SubnetCidrAssociationId = "AssociationId",
    }
}

output! {
    SubnetCidrBlockResponse {
        subnet_id: SubnetId = "subnetId",
        ipv6_cidr_block_association: SubnetIpv6CidrItem = "ipv6CidrBlockAssociation",
    }
}

output! {
    SubnetItem {
        subnet_id: SubnetId = "subnetId",
        subnet_arn: String = "subnetArn",
        vpc_id: VpcId = "vpcId",
        owner_id: AccountId = "ownerId",
        state: &'static str = "state",
        cidr_block: Ipv4Cidr = "cidrBlock",
        ipv6_cidr_block_association_set: Vec<SubnetIpv6CidrItem> = "ipv6CidrBlockAssociationSet",
        ipv6_native: bool = "ipv6Native",
        available_ip_address_count: u32 = "availableIpAddressCount",
        availability_zone: Zone = "availabilityZone",
        availability_zone_id: String = "availabilityZoneId",
        default_for_az: bool = "defaultForAz",
        map_public_ip_on_launch: bool = "mapPublicIpOnLaunch",
        map_customer_owned_ip_on_launch: bool = "mapCustomerOwnedIpOnLaunch",
        assign_ipv6_address_on_creation: bool = "assignIpv6AddressOnCreation",
        enable_dns64: bool = "enableDns64",
        private_dns_name_options_on_launch: PrivateDnsNameOptionsOnLaunch = "privateDnsNameOptionsOnLaunch",
        tag_set: Tags = "tagSet",
    }
}

output! {
    SubnetIpv6CidrItem {
        association_id: SubnetCidrAssociationId = "associationId",
        ipv6_cidr_block: Ipv6Cidr = "ipv6CidrBlock",
        ipv6_cidr_block_state: CidrStateItem = "ipv6CidrBlockState",
    }
}

output! {
    PrivateDnsNameOptionsOnLaunch {
        hostname_type: &'static str = "hostnameType",
        enable_resource_name_dns_a_record: bool = "enableResourceNameDnsARecord",
        enable_resource_name_dns_aaaa_record: bool = "enableResourceNameDnsAAAARecord",
    }
}
