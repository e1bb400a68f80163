//! What a VPC or an account's VPCs have beside blocks and switches: tenancy, ClassicLink (which no account has any more), block
//! public access.

use model::*;

use super::Done;
use crate::Filter;

operation! {
    ModifyVpcTenancy -> Done {
        vpc_id: VpcId = "VpcId",
        instance_tenancy: String = "InstanceTenancy",
    }
}

operation! {
    DescribeVpcClassicLink -> DescribeVpcClassicLinkResponse {
        vpc_ids: Vec<VpcId> = "VpcId",
        filters: Vec<Filter> = "Filter",
    }
}

output! {
    DescribeVpcClassicLinkResponse {
        vpc_set: Vec<VpcClassicLinkItem> = "vpcSet",
    }
}

output! {
    VpcClassicLinkItem {
        classic_link_enabled: bool = "classicLinkEnabled",
        tag_set: Tags = "tagSet",
        vpc_id: VpcId = "vpcId",
    }
}

operation! {
    DescribeVpcClassicLinkDnsSupport -> DescribeVpcClassicLinkDnsSupportResponse {
        vpc_ids: Vec<VpcId> = "VpcIds",
        max_results: Option<i32> = "MaxResults",
        next_token: Option<String> = "NextToken",
    }
}

output! {
    DescribeVpcClassicLinkDnsSupportResponse {
        next_token: Option<String> = "nextToken",
        vpcs: Vec<ClassicLinkDnsSupportItem> = "vpcs",
    }
}

output! {
    ClassicLinkDnsSupportItem {
        classic_link_dns_supported: bool = "classicLinkDnsSupported",
        vpc_id: VpcId = "vpcId",
    }
}

operation! {
    DescribeVpcBlockPublicAccessOptions -> BlockPublicAccessResponse {
    }
}

operation! {
    ModifyVpcBlockPublicAccessOptions -> BlockPublicAccessResponse {
        internet_gateway_block_mode: String = "InternetGatewayBlockMode",
    }
}

output! {
    BlockPublicAccessResponse {
        vpc_block_public_access_options: BlockPublicAccessItem = "vpcBlockPublicAccessOptions",
    }
}

output! {
    BlockPublicAccessItem {
        aws_account_id: AccountId = "awsAccountId",
        aws_region: Region = "awsRegion",
        state: &'static str = "state",
        internet_gateway_block_mode: String = "internetGatewayBlockMode",
        last_update_timestamp: Option<Time> = "lastUpdateTimestamp",
        managed_by: &'static str = "managedBy",
        exclusions_allowed: &'static str = "exclusionsAllowed",
    }
}
