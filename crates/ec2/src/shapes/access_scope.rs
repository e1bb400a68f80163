//! Network access scopes and their analyses: Network Access Analyzer.

use model::insights::PathComponent;
use model::*;

use super::TagSpecification;
use crate::Filter;

operation! {
    CreateNetworkInsightsAccessScope -> CreateNetworkInsightsAccessScopeResponse {
        match_paths: Vec<AccessScopePathInput> = "MatchPath",
        exclude_paths: Vec<AccessScopePathInput> = "ExcludePath",
        client_token: String = "ClientToken",
        tag_specifications: Vec<TagSpecification> = "TagSpecification",
    }
}

input! {
    AccessScopePathInput {
        source: Option<PathStatementInput> = "Source",
        destination: Option<PathStatementInput> = "Destination",
        through_resources: Vec<ThroughResourcesInput> = "ThroughResource",
    }
}

input! {
    PathStatementInput {
        packet_header_statement: Option<PacketHeaderStatementInput> = "PacketHeaderStatement",
        resource_statement: Option<ResourceStatementInput> = "ResourceStatement",
    }
}

input! {
    PacketHeaderStatementInput {
        /// IPv4 addresses and blocks, as DestinationAddress.
        source_addresses: Vec<String> = "SourceAddress",
        destination_addresses: Vec<String> = "DestinationAddress",
        /// `22` or `1000-2000`, as DestinationPort.
        source_ports: Vec<String> = "SourcePort",
        destination_ports: Vec<String> = "DestinationPort",
        /// Ids or ARNs, as DestinationPrefixList.
        source_prefix_lists: Vec<String> = "SourcePrefixList",
        destination_prefix_lists: Vec<String> = "DestinationPrefixList",
        protocols: Vec<String> = "Protocol",
    }
}

input! {
    ResourceStatementInput {
        /// Ids or ARNs.
        resources: Vec<String> = "Resource",
        resource_types: Vec<String> = "ResourceType",
    }
}

input! {
    ThroughResourcesInput {
        resource_statement: Option<ResourceStatementInput> = "ResourceStatement",
    }
}

output! {
    CreateNetworkInsightsAccessScopeResponse {
        network_insights_access_scope: AccessScopeItem = "networkInsightsAccessScope",
        network_insights_access_scope_content: AccessScopeContentItem = "networkInsightsAccessScopeContent",
    }
}

output! {
    AccessScopeItem {
        network_insights_access_scope_id: AccessScopeId = "networkInsightsAccessScopeId",
        network_insights_access_scope_arn: String = "networkInsightsAccessScopeArn",
        created_date: Time = "createdDate",
        /// The same: a scope's paths do not change.
        updated_date: Time = "updatedDate",
        tag_set: Tags = "tagSet",
    }
}

output! {
    AccessScopeContentItem {
        network_insights_access_scope_id: AccessScopeId = "networkInsightsAccessScopeId",
        match_paths: Vec<AccessScopePathItem> = "matchPathSet",
        exclude_paths: Vec<AccessScopePathItem> = "excludePathSet",
    }
}

output! {
    AccessScopePathItem {
        source: Option<PathStatementItem> = "source",
        destination: Option<PathStatementItem> = "destination",
        through_resources: Option<Vec<ThroughResourcesItem>> = "throughResourceSet",
    }
}

output! {
    PathStatementItem {
        packet_header_statement: Option<PacketHeaderStatementItem> = "packetHeaderStatement",
        resource_statement: Option<ResourceStatementItem> = "resourceStatement",
    }
}

output! {
    /// What was not said is left out.
    PacketHeaderStatementItem {
        source_addresses: Option<Vec<String>> = "sourceAddressSet",
        destination_addresses: Option<Vec<String>> = "destinationAddressSet",
        source_ports: Option<Vec<String>> = "sourcePortSet",
        destination_ports: Option<Vec<String>> = "destinationPortSet",
        source_prefix_lists: Option<Vec<String>> = "sourcePrefixListSet",
        destination_prefix_lists: Option<Vec<String>> = "destinationPrefixListSet",
        protocols: Option<Vec<String>> = "protocolSet",
    }
}

output! {
    ResourceStatementItem {
        resources: Option<Vec<String>> = "resourceSet",
        resource_types: Option<Vec<String>> = "resourceTypeSet",
    }
}

output! {
    ThroughResourcesItem {
        resource_statement: ResourceStatementItem = "resourceStatement",
    }
}

operation! {
    DeleteNetworkInsightsAccessScope -> DeleteNetworkInsightsAccessScopeResponse {
        network_insights_access_scope_id: AccessScopeId = "NetworkInsightsAccessScopeId",
    }
}

output! {
    DeleteNetworkInsightsAccessScopeResponse {
        network_insights_access_scope_id: AccessScopeId = "networkInsightsAccessScopeId",
    }
}

operation! {
    DescribeNetworkInsightsAccessScopes -> DescribeNetworkInsightsAccessScopesResponse {
        network_insights_access_scope_ids: Vec<AccessScopeId> = "NetworkInsightsAccessScopeId",
        filters: Vec<Filter> = "Filter",
        max_results: Option<i32> = "MaxResults",
        next_token: Option<String> = "NextToken",
    }
}

output! {
    DescribeNetworkInsightsAccessScopesResponse {
        network_insights_access_scopes: Vec<AccessScopeItem> = "networkInsightsAccessScopeSet",
        next_token: Option<String> = "nextToken",
    }
}

operation! {
    GetNetworkInsightsAccessScopeContent -> GetNetworkInsightsAccessScopeContentResponse {
        network_insights_access_scope_id: AccessScopeId = "NetworkInsightsAccessScopeId",
    }
}

output! {
    GetNetworkInsightsAccessScopeContentResponse {
        network_insights_access_scope_content: AccessScopeContentItem = "networkInsightsAccessScopeContent",
    }
}

operation! {
    StartNetworkInsightsAccessScopeAnalysis -> StartNetworkInsightsAccessScopeAnalysisResponse {
        network_insights_access_scope_id: AccessScopeId = "NetworkInsightsAccessScopeId",
        client_token: String = "ClientToken",
        tag_specifications: Vec<TagSpecification> = "TagSpecification",
    }
}

output! {
    StartNetworkInsightsAccessScopeAnalysisResponse {
        network_insights_access_scope_analysis: AccessScopeAnalysisItem = "networkInsightsAccessScopeAnalysis",
    }
}

output! {
    AccessScopeAnalysisItem {
        network_insights_access_scope_analysis_id: AccessScopeAnalysisId = "networkInsightsAccessScopeAnalysisId",
        network_insights_access_scope_analysis_arn: String = "networkInsightsAccessScopeAnalysisArn",
        network_insights_access_scope_id: AccessScopeId = "networkInsightsAccessScopeId",
        /// `running`, `succeeded` or `failed`.
        status: &'static str = "status",
        status_message: Option<String> = "statusMessage",
        warning_message: Option<String> = "warningMessage",
        start_date: Time = "startDate",
        end_date: Option<Time> = "endDate",
        /// `true`, `false` or `unknown`.
        findings_found: Option<&'static str> = "findingsFound",
        analyzed_eni_count: u32 = "analyzedEniCount",
        tag_set: Tags = "tagSet",
    }
}

operation! {
    DeleteNetworkInsightsAccessScopeAnalysis -> DeleteNetworkInsightsAccessScopeAnalysisResponse {
        network_insights_access_scope_analysis_id: AccessScopeAnalysisId = "NetworkInsightsAccessScopeAnalysisId",
    }
}

output! {
    DeleteNetworkInsightsAccessScopeAnalysisResponse {
        network_insights_access_scope_analysis_id: AccessScopeAnalysisId = "networkInsightsAccessScopeAnalysisId",
    }
}

operation! {
    DescribeNetworkInsightsAccessScopeAnalyses -> DescribeNetworkInsightsAccessScopeAnalysesResponse {
        network_insights_access_scope_analysis_ids: Vec<AccessScopeAnalysisId> = "NetworkInsightsAccessScopeAnalysisId",
        network_insights_access_scope_id: Option<AccessScopeId> = "NetworkInsightsAccessScopeId",
        analysis_start_time_begin: Option<Time> = "AnalysisStartTimeBegin",
        analysis_start_time_end: Option<Time> = "AnalysisStartTimeEnd",
        filters: Vec<Filter> = "Filter",
        max_results: Option<i32> = "MaxResults",
        next_token: Option<String> = "NextToken",
    }
}

output! {
    DescribeNetworkInsightsAccessScopeAnalysesResponse {
        network_insights_access_scope_analyses: Vec<AccessScopeAnalysisItem> = "networkInsightsAccessScopeAnalysisSet",
        next_token: Option<String> = "nextToken",
    }
}

operation! {
    GetNetworkInsightsAccessScopeAnalysisFindings -> GetNetworkInsightsAccessScopeAnalysisFindingsResponse {
        network_insights_access_scope_analysis_id: AccessScopeAnalysisId = "NetworkInsightsAccessScopeAnalysisId",
        max_results: Option<i32> = "MaxResults",
        next_token: Option<String> = "NextToken",
    }
}

output! {
    GetNetworkInsightsAccessScopeAnalysisFindingsResponse {
        network_insights_access_scope_analysis_id: AccessScopeAnalysisId = "networkInsightsAccessScopeAnalysisId",
        analysis_status: &'static str = "analysisStatus",
        analysis_findings: Vec<AccessScopeFindingItem> = "analysisFindingSet",
        next_token: Option<String> = "nextToken",
    }
}

output! {
    AccessScopeFindingItem {
        network_insights_access_scope_analysis_id: AccessScopeAnalysisId = "networkInsightsAccessScopeAnalysisId",
        network_insights_access_scope_id: AccessScopeId = "networkInsightsAccessScopeId",
        /// `AnalysisFinding-1`, counted within the analysis.
        finding_id: String = "findingId",
        finding_components: Vec<PathComponent> = "findingComponentSet",
    }
}
