//! What an account lets others do with its interfaces.

use model::*;

use super::Done;
use crate::Filter;

operation! {
    CreateNetworkInterfacePermission -> CreateNetworkInterfacePermissionResponse {
        network_interface_id: NetworkInterfaceId = "NetworkInterfaceId",
        aws_account_id: Option<AccountId> = "AwsAccountId",
        aws_service: Option<String> = "AwsService",
        permission: String = "Permission",
    }
}

output! {
    CreateNetworkInterfacePermissionResponse {
        interface_permission: InterfacePermissionItem = "interfacePermission",
    }
}

operation! {
    DeleteNetworkInterfacePermission -> Done {
        network_interface_permission_id: InterfacePermissionId = "NetworkInterfacePermissionId",
        force: Option<bool> = "Force",
    }
}

operation! {
    DescribeNetworkInterfacePermissions -> DescribeNetworkInterfacePermissionsResponse {
        network_interface_permission_ids: Vec<InterfacePermissionId> = "NetworkInterfacePermissionId",
        filters: Vec<Filter> = "Filter",
        max_results: Option<i32> = "MaxResults",
        next_token: Option<String> = "NextToken",
    }
}

output! {
    DescribeNetworkInterfacePermissionsResponse {
        network_interface_permissions: Vec<InterfacePermissionItem> = "networkInterfacePermissions",
        next_token: Option<String> = "nextToken",
    }
}

output! {
    InterfacePermissionItem {
        network_interface_permission_id: InterfacePermissionId = "networkInterfacePermissionId",
        network_interface_id: NetworkInterfaceId = "networkInterfaceId",
        aws_account_id: Option<AccountId> = "awsAccountId",
        aws_service: Option<String> = "awsService",
        permission: &'static str = "permission",
        permission_state: PermissionStateItem = "permissionState",
    }
}

output! {
    PermissionStateItem {
        state: &'static str = "state",
    }
}
