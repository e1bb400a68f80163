//! What an account's new instances let be asked about themselves, where a launch says nothing.

use super::Done;

operation! {
    GetInstanceMetadataDefaults -> GetInstanceMetadataDefaultsResponse {}
}

output! {
    GetInstanceMetadataDefaultsResponse {
        account_level: MetadataDefaultsItem = "accountLevel",
    }
}

output! {
    /// What is not there was not chosen.
    MetadataDefaultsItem {
        http_tokens: Option<&'static str> = "httpTokens",
        http_put_response_hop_limit: Option<i32> = "httpPutResponseHopLimit",
        http_endpoint: Option<&'static str> = "httpEndpoint",
        instance_metadata_tags: Option<&'static str> = "instanceMetadataTags",
        managed_by: &'static str = "managedBy",
        http_tokens_enforced: Option<&'static str> = "httpTokensEnforced",
    }
}

operation! {
    ModifyInstanceMetadataDefaults -> Done {
        http_tokens: Option<String> = "HttpTokens",
        http_put_response_hop_limit: Option<i32> = "HttpPutResponseHopLimit",
        http_endpoint: Option<String> = "HttpEndpoint",
        instance_metadata_tags: Option<String> = "InstanceMetadataTags",
        http_tokens_enforced: Option<String> = "HttpTokensEnforced",
    }
}
