//! VPN gateways, and the route tables that they may propagate to (spec 4.1).

use model::*;

use super::{Done, TagSpecification};
use crate::Filter;

operation! {
    CreateVpnGateway -> CreateVpnGatewayResponse {
        kind: String = "Type",
        availability_zone: Option<String> = "AvailabilityZone",
        amazon_side_asn: Option<String> = "AmazonSideAsn",
        tag_specifications: Vec<TagSpecification> = "TagSpecification",
    }
}

output! {
    CreateVpnGatewayResponse {
        vpn_gateway: VpnGatewayItem = "vpnGateway",
    }
}

output! {
    VpnGatewayItem {
        amazon_side_asn: i64 = "amazonSideAsn",
        attachments: Vec<VpnGatewayAttachmentItem> = "attachments",
        availability_zone: Option<Zone> = "availabilityZone",
        state: &'static str = "state",
        tag_set: Tags = "tagSet",
        kind: &'static str = "type",
        vpn_gateway_id: VpnGatewayId = "vpnGatewayId",
    }
}

output! {
    VpnGatewayAttachmentItem {
        state: &'static str = "state",
        vpc_id: VpcId = "vpcId",
    }
}

operation! {
    DeleteVpnGateway -> Done {
        vpn_gateway_id: VpnGatewayId = "VpnGatewayId",
    }
}

operation! {
    DescribeVpnGateways -> DescribeVpnGatewaysResponse {
        vpn_gateway_ids: Vec<VpnGatewayId> = "VpnGatewayId",
        filters: Vec<Filter> = "Filter",
    }
}

output! {
    DescribeVpnGatewaysResponse {
        vpn_gateway_set: Vec<VpnGatewayItem> = "vpnGatewaySet",
    }
}

operation! {
    AttachVpnGateway -> AttachVpnGatewayResponse {
        vpc_id: VpcId = "VpcId",
        vpn_gateway_id: VpnGatewayId = "VpnGatewayId",
    }
}

output! {
    AttachVpnGatewayResponse {
        attachment: VpnGatewayAttachmentItem = "attachment",
    }
}

operation! {
    DetachVpnGateway -> Done {
        vpc_id: VpcId = "VpcId",
        vpn_gateway_id: VpnGatewayId = "VpnGatewayId",
    }
}

operation! {
    EnableVgwRoutePropagation -> Done {
        gateway_id: VpnGatewayId = "GatewayId",
        route_table_id: RouteTableId = "RouteTableId",
    }
}

operation! {
    DisableVgwRoutePropagation -> Done {
        gateway_id: VpnGatewayId = "GatewayId",
        route_table_id: RouteTableId = "RouteTableId",
    }
}
