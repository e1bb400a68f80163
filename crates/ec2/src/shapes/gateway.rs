//! Internet gateways (spec 8.8).

use model::*;

use super::{Done, TagSpecification};
use crate::Filter;

operation! {
    CreateInternetGateway -> CreateInternetGatewayResponse {
        tag_specifications: Vec<TagSpecification> = "TagSpecification",
    }
}

output! {
    CreateInternetGatewayResponse {
        internet_gateway: InternetGatewayItem = "internetGateway",
    }
}

operation! {
    DeleteInternetGateway -> Done {
        internet_gateway_id: InternetGatewayId = "InternetGatewayId",
    }
}

operation! {
    AttachInternetGateway -> Done {
        internet_gateway_id: InternetGatewayId = "InternetGatewayId",
        vpc_id: VpcId = "VpcId",
    }
}

operation! {
    DetachInternetGateway -> Done {
        internet_gateway_id: InternetGatewayId = "InternetGatewayId",
        vpc_id: VpcId = "VpcId",
    }
}

operation! {
    DescribeInternetGateways -> DescribeInternetGatewaysResponse {
        internet_gateway_ids: Vec<InternetGatewayId> = "InternetGatewayId",
        filters: Vec<Filter> = "Filter",
        max_results: Option<i32> = "MaxResults",
        next_token: Option<String> = "NextToken",
    }
}

output! {
    DescribeInternetGatewaysResponse {
        internet_gateways: Vec<InternetGatewayItem> = "internetGatewaySet",
        next_token: Option<String> = "nextToken",
    }
}

output! {
    InternetGatewayItem {
        internet_gateway_id: InternetGatewayId = "internetGatewayId",
        owner_id: AccountId = "ownerId",
        attachment_set: Vec<InternetGatewayAttachmentItem> = "attachmentSet",
        tag_set: Tags = "tagSet",
    }
}

output! {
    InternetGatewayAttachmentItem {
        vpc_id: VpcId = "vpcId",
        /// `available`: AWS sends this word, which its model's enum does not have; Terraform waits for it.
        state: &'static str = "state",
    }
}
