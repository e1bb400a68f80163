//! VPCs (spec ch. 2).

use model::*;

use super::{Done, TagSpecification};
use crate::Filter;
use crate::value::Attribute;

operation! {
    CreateVpc -> CreateVpcResponse {
        cidr_block: Option<Ipv4Cidr> = "CidrBlock",
        amazon_provided_ipv6_cidr_block: Option<bool> = "AmazonProvidedIpv6CidrBlock",
        ipv6_cidr_block: Option<Ipv6Cidr> = "Ipv6CidrBlock",
        ipv6_pool: Option<String> = "Ipv6Pool",
        ipv4_ipam_pool_id: Option<String> = "Ipv4IpamPoolId",
        ipv6_ipam_pool_id: Option<String> = "Ipv6IpamPoolId",
        instance_tenancy: Option<String> = "InstanceTenancy",
        tag_specifications: Vec<TagSpecification> = "TagSpecification",
    }
}

output! {
    CreateVpcResponse {
        vpc: VpcItem = "vpc",
    }
}

output! {
    VpcItem {
        vpc_id: VpcId = "vpcId",
        owner_id: AccountId = "ownerId",
        state: &'static str = "state",
        cidr_block: Ipv4Cidr = "cidrBlock",
        cidr_block_association_set: Vec<VpcCidrItem> = "cidrBlockAssociationSet",
        ipv6_cidr_block_association_set: Vec<VpcIpv6CidrItem> = "ipv6CidrBlockAssociationSet",
        dhcp_options_id: String = "dhcpOptionsId",
        instance_tenancy: String = "instanceTenancy",
        is_default: bool = "isDefault",
        tag_set: Tags = "tagSet",
    }
}

output! {
    VpcCidrItem {
        association_id: VpcCidrAssociationId = "associationId",
        cidr_block: Ipv4Cidr = "cidrBlock",
        cidr_block_state: CidrStateItem = "cidrBlockState",
    }
}

output! {
    VpcIpv6CidrItem {
        association_id: VpcCidrAssociationId = "associationId",
        ipv6_cidr_block: Ipv6Cidr = "ipv6CidrBlock",
        ipv6_cidr_block_state: CidrStateItem = "ipv6CidrBlockState",
        network_border_group: String = "networkBorderGroup",
        ipv6_pool: &'static str = "ipv6Pool",
    }
}

output! {
    CidrStateItem {
        state: &'static str = "state",
    }
}

operation! {
    DeleteVpc -> Done {
        vpc_id: VpcId = "VpcId",
    }
}

operation! {
    DescribeVpcs -> DescribeVpcsResponse {
        vpc_ids: Vec<VpcId> = "VpcId",
        filters: Vec<Filter> = "Filter",
        max_results: Option<i32> = "MaxResults",
        next_token: Option<String> = "NextToken",
    }
}

output! {
    DescribeVpcsResponse {
        vpcs: Vec<VpcItem> = "vpcSet",
        next_token: Option<String> = "nextToken",
    }
}

operation! {
    /// Exactly one attribute in a call (spec 2.4).
    ModifyVpcAttribute -> Done {
        vpc_id: VpcId = "VpcId",
        enable_dns_support: Option<Attribute<bool>> = "EnableDnsSupport",
        enable_dns_hostnames: Option<Attribute<bool>> = "EnableDnsHostnames",
        enable_network_address_usage_metrics: Option<Attribute<bool>> = "EnableNetworkAddressUsageMetrics",
    }
}

operation! {
    DescribeVpcAttribute -> DescribeVpcAttributeResponse {
        vpc_id: VpcId = "VpcId",
        attribute: String = "Attribute",
    }
}

output! {
    DescribeVpcAttributeResponse {
        vpc_id: VpcId = "vpcId",
        enable_dns_support: Option<Attribute<bool>> = "enableDnsSupport",
        enable_dns_hostnames: Option<Attribute<bool>> = "enableDnsHostnames",
        enable_network_address_usage_metrics: Option<Attribute<bool>> = "enableNetworkAddressUsageMetrics",
    }
}

operation! {
    AssociateVpcCidrBlock -> VpcCidrBlockResponse {
        vpc_id: VpcId = "VpcId",
        cidr_block: Option<Ipv4Cidr> = "CidrBlock",
        amazon_provided_ipv6_cidr_block: Option<bool> = "AmazonProvidedIpv6CidrBlock",
        ipv6_cidr_block: Option<Ipv6Cidr> = "Ipv6CidrBlock",
        ipv6_pool: Option<String> = "Ipv6Pool",
        ipv4_ipam_pool_id: Option<String> = "Ipv4IpamPoolId",
        ipv6_ipam_pool_id: Option<String> = "Ipv6IpamPoolId",
    }
}

operation! {
    DisassociateVpcCidrBlock -> VpcCidrBlockResponse {
        association_id: VpcCidrAssociationId = "AssociationId",
    }
}

output! {
    /// One of the two associations is there.
    VpcCidrBlockResponse {
        vpc_id: VpcId = "vpcId",
        cidr_block_association: Option<VpcCidrItem> = "cidrBlockAssociation",
        ipv6_cidr_block_association: Option<VpcIpv6CidrItem> = "ipv6CidrBlockAssociation",
    }
}
