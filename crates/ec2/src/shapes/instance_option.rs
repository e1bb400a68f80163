//! What clients set at instances and read back, and what their consoles said (spec 8.6).

use model::*;

use super::instance::MonitoringItem;
use crate::value::Base64;

operation! {
    MonitorInstances -> InstanceMonitoringResponse {
        instance_ids: Vec<InstanceId> = "InstanceId",
    }
}

operation! {
    UnmonitorInstances -> InstanceMonitoringResponse {
        instance_ids: Vec<InstanceId> = "InstanceId",
    }
}

output! {
    InstanceMonitoringResponse {
        instances_set: Vec<InstanceMonitoringItem> = "instancesSet",
    }
}

output! {
    InstanceMonitoringItem {
        instance_id: InstanceId = "instanceId",
        monitoring: MonitoringItem = "monitoring",
    }
}

operation! {
    ModifyInstanceCreditSpecification -> ModifyInstanceCreditSpecificationResponse {
        client_token: Option<String> = "ClientToken",
        specifications: Vec<CreditSpecificationInput> = "InstanceCreditSpecification",
    }
}

input! {
    CreditSpecificationInput {
        instance_id: InstanceId = "InstanceId",
        cpu_credits: Option<String> = "CpuCredits",
    }
}

output! {
    ModifyInstanceCreditSpecificationResponse {
        successful: Vec<SuccessfulCreditItem> = "successfulInstanceCreditSpecificationSet",
        unsuccessful: Vec<UnsuccessfulCreditItem> = "unsuccessfulInstanceCreditSpecificationSet",
    }
}

output! {
    SuccessfulCreditItem {
        instance_id: InstanceId = "instanceId",
    }
}

output! {
    UnsuccessfulCreditItem {
        instance_id: InstanceId = "instanceId",
        error: CreditErrorItem = "error",
    }
}

output! {
    CreditErrorItem {
        code: &'static str = "code",
        message: String = "message",
    }
}

operation! {
    ModifyInstanceMaintenanceOptions -> ModifyInstanceMaintenanceOptionsResponse {
        instance_id: InstanceId = "InstanceId",
        auto_recovery: Option<String> = "AutoRecovery",
        reboot_migration: Option<String> = "RebootMigration",
    }
}

output! {
    ModifyInstanceMaintenanceOptionsResponse {
        instance_id: InstanceId = "instanceId",
        auto_recovery: Option<String> = "autoRecovery",
        reboot_migration: Option<String> = "rebootMigration",
    }
}

operation! {
    GetConsoleOutput -> GetConsoleOutputResponse {
        instance_id: InstanceId = "InstanceId",
        /// Every answer is the latest here.
        latest: Option<bool> = "Latest",
    }
}

output! {
    GetConsoleOutputResponse {
        instance_id: InstanceId = "instanceId",
        timestamp: Time = "timestamp",
        output: Option<Base64> = "output",
    }
}
