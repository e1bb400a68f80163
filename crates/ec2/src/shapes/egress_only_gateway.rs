//! Egress-only internet gateways (spec 8.8).

use model::*;

use super::TagSpecification;
use super::gateway::InternetGatewayAttachmentItem;
use crate::Filter;

operation! {
    CreateEgressOnlyInternetGateway -> CreateEgressOnlyInternetGatewayResponse {
        client_token: Option<String> = "ClientToken",
        vpc_id: VpcId = "VpcId",
        tag_specifications: Vec<TagSpecification> = "TagSpecification",
    }
}

output! {
    CreateEgressOnlyInternetGatewayResponse {
        client_token: Option<String> = "clientToken",
        egress_only_internet_gateway: EgressOnlyInternetGatewayItem = "egressOnlyInternetGateway",
    }
}

operation! {
    DeleteEgressOnlyInternetGateway -> DeleteEgressOnlyInternetGatewayResponse {
        egress_only_internet_gateway_id: EgressOnlyInternetGatewayId = "EgressOnlyInternetGatewayId",
    }
}

output! {
    DeleteEgressOnlyInternetGatewayResponse {
        return_code: bool = "returnCode",
    }
}

operation! {
    DescribeEgressOnlyInternetGateways -> DescribeEgressOnlyInternetGatewaysResponse {
        egress_only_internet_gateway_ids: Vec<EgressOnlyInternetGatewayId> = "EgressOnlyInternetGatewayId",
        filters: Vec<Filter> = "Filter",
        max_results: Option<i32> = "MaxResults",
        next_token: Option<String> = "NextToken",
    }
}

output! {
    DescribeEgressOnlyInternetGatewaysResponse {
        egress_only_internet_gateways: Vec<EgressOnlyInternetGatewayItem> = "egressOnlyInternetGatewaySet",
        next_token: Option<String> = "nextToken",
    }
}

output! {
    EgressOnlyInternetGatewayItem {
        attachment_set: Vec<InternetGatewayAttachmentItem> = "attachmentSet",
        egress_only_internet_gateway_id: EgressOnlyInternetGatewayId = "egressOnlyInternetGatewayId",
        tag_set: Tags = "tagSet",
    }
}
