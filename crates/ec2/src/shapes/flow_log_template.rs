//! A template that makes flow logs readable by queries (spec 12.1).

use model::*;

operation! {
    GetFlowLogsIntegrationTemplate -> GetFlowLogsIntegrationTemplateResponse {
        flow_log_id: FlowLogId = "FlowLogId",
        config_delivery_s3_destination_arn: String = "ConfigDeliveryS3DestinationArn",
        integrate_services: IntegrateServicesInput = "IntegrateService",
    }
}

input! {
    IntegrateServicesInput {
        athena_integrations: Vec<AthenaIntegrationInput> = "AthenaIntegration",
    }
}

input! {
    AthenaIntegrationInput {
        integration_result_s3_destination_arn: String = "IntegrationResultS3DestinationArn",
        partition_load_frequency: String = "PartitionLoadFrequency",
        partition_start_date: Option<Time> = "PartitionStartDate",
        partition_end_date: Option<Time> = "PartitionEndDate",
    }
}

output! {
    GetFlowLogsIntegrationTemplateResponse {
        result: String = "result",
    }
}
