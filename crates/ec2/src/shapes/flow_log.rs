//! Flow logs (spec 12.1).

use model::*;

use super::TagSpecification;
use crate::Filter;

operation! {
    CreateFlowLogs -> CreateFlowLogsResponse {
        resource_ids: Vec<String> = "ResourceId",
        resource_type: String = "ResourceType",
        traffic_type: Option<String> = "TrafficType",
        log_destination_type: Option<String> = "LogDestinationType",
        log_destination: Option<String> = "LogDestination",
        log_group_name: Option<String> = "LogGroupName",
        deliver_logs_permission_arn: Option<String> = "DeliverLogsPermissionArn",
        deliver_cross_account_role: Option<String> = "DeliverCrossAccountRole",
        log_format: Option<String> = "LogFormat",
        max_aggregation_interval: Option<i32> = "MaxAggregationInterval",
        destination_options: Option<DestinationOptionsInput> = "DestinationOptions",
        client_token: Option<String> = "ClientToken",
        tag_specifications: Vec<TagSpecification> = "TagSpecification",
    }
}

input! {
    DestinationOptionsInput {
        file_format: Option<String> = "FileFormat",
        hive_compatible_partitions: Option<bool> = "HiveCompatiblePartitions",
        per_hour_partition: Option<bool> = "PerHourPartition",
    }
}

output! {
    CreateFlowLogsResponse {
        client_token: Option<String> = "clientToken",
        flow_log_ids: Vec<FlowLogId> = "flowLogIdSet",
        unsuccessful: Vec<UnsuccessfulItem> = "unsuccessful",
    }
}

output! {
    UnsuccessfulItem {
        resource_id: String = "resourceId",
        error: UnsuccessfulItemError = "error",
    }
}

output! {
    UnsuccessfulItemError {
        code: String = "code",
        message: String = "message",
    }
}

operation! {
    DeleteFlowLogs -> DeleteFlowLogsResponse {
        flow_log_ids: Vec<FlowLogId> = "FlowLogId",
    }
}

output! {
    /// Always empty: what cannot be deleted fails the whole call.
    DeleteFlowLogsResponse {
        unsuccessful: Vec<UnsuccessfulItem> = "unsuccessful",
    }
}

operation! {
    DescribeFlowLogs -> DescribeFlowLogsResponse {
        flow_log_ids: Vec<FlowLogId> = "FlowLogId",
        filters: Vec<Filter> = "Filter",
        max_results: Option<i32> = "MaxResults",
        next_token: Option<String> = "NextToken",
    }
}

output! {
    DescribeFlowLogsResponse {
        flow_logs: Vec<FlowLogItem> = "flowLogSet",
        next_token: Option<String> = "nextToken",
    }
}

output! {
    FlowLogItem {
        flow_log_id: FlowLogId = "flowLogId",
        /// `ACTIVE`.
        flow_log_status: &'static str = "flowLogStatus",
        resource_id: String = "resourceId",
        traffic_type: &'static str = "trafficType",
        log_destination_type: &'static str = "logDestinationType",
        log_destination: Option<String> = "logDestination",
        log_group_name: Option<String> = "logGroupName",
        deliver_logs_permission_arn: Option<String> = "deliverLogsPermissionArn",
        deliver_cross_account_role: Option<String> = "deliverCrossAccountRole",
        /// `SUCCESS`.
        deliver_logs_status: &'static str = "deliverLogsStatus",
        log_format: String = "logFormat",
        max_aggregation_interval: u32 = "maxAggregationInterval",
        destination_options: Option<DestinationOptionsItem> = "destinationOptions",
        creation_time: Time = "creationTime",
        tag_set: Tags = "tagSet",
    }
}

output! {
    DestinationOptionsItem {
        file_format: &'static str = "fileFormat",
        hive_compatible_partitions: bool = "hiveCompatiblePartitions",
        per_hour_partition: bool = "perHourPartition",
    }
}
