//! How an instance's metadata answers (EC2's InstanceMetadataOptions).

use model::InstanceId;

use super::instance::MetadataOptionsItem;

input! {
    /// As a launch chooses them.
    MetadataOptionsInput {
        http_tokens: Option<String> = "HttpTokens",
        http_put_response_hop_limit: Option<i32> = "HttpPutResponseHopLimit",
        http_endpoint: Option<String> = "HttpEndpoint",
        http_protocol_ipv6: Option<String> = "HttpProtocolIpv6",
        instance_metadata_tags: Option<String> = "InstanceMetadataTags",
    }
}

operation! {
    ModifyInstanceMetadataOptions -> ModifyInstanceMetadataOptionsResponse {
        instance_id: InstanceId = "InstanceId",
        http_tokens: Option<String> = "HttpTokens",
        http_put_response_hop_limit: Option<i32> = "HttpPutResponseHopLimit",
        http_endpoint: Option<String> = "HttpEndpoint",
        http_protocol_ipv6: Option<String> = "HttpProtocolIpv6",
        instance_metadata_tags: Option<String> = "InstanceMetadataTags",
    }
}

output! {
    ModifyInstanceMetadataOptionsResponse {
        instance_id: InstanceId = "instanceId",
        instance_metadata_options: MetadataOptionsItem = "instanceMetadataOptions",
    }
}
