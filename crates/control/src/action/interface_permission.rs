//! What an account lets others do with its interfaces: recorded, and shown. Nobody attaches another account's interface here.

use ec2::Error;
use ec2::page::Page;
use ec2::shapes::Done;
use ec2::shapes::interface_permission::*;
use model::*;

use super::Handle;
use crate::Cloud;
use crate::describe::{Describe, Place, Query};

/// Permissions of one interface.
const PERMISSIONS_MAX: usize = 50;
/// Characters in a service's name.
const SERVICE_MAX: usize = 128;

impl Handle for CreateNetworkInterfacePermission {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<CreateNetworkInterfacePermissionResponse, Error> {
        let interface = cloud.owned::<NetworkInterface>(self.network_interface_id)?;
        let permission = InterfaceUse::ALL.into_iter().find(|known| known.name() == self.permission);
        let permission = permission.ok_or_else(|| {
            Error::invalid_parameter("Permission", &self.permission, "Expected INSTANCE-ATTACH or EIP-ASSOCIATE.")
        })?;
        let grantee = match (self.aws_account_id, self.aws_service) {
            (Some(account), None) => Grantee::Account(account),
            (None, Some(service)) if service.chars().count() <= SERVICE_MAX => Grantee::Service(service),
            (None, Some(_)) => {
                return Err(Error::invalid_value(format!("AwsService has at most {SERVICE_MAX} characters")));
            }
            (None, None) => return Err(Error::missing_parameter("AwsAccountId")),
            (Some(_), Some(_)) => {
                return Err(Error::invalid_combination("AwsAccountId and AwsService cannot be used together"));
            }
        };
        let there = || of_interface(cloud, interface.id);
        if let Some(same) = there().find(|one| one.grantee == grantee && one.permission == permission) {
            let item = item(same);
            return Ok(CreateNetworkInterfacePermissionResponse { interface_permission: item });
        }
        if there().count() >= PERMISSIONS_MAX {
            let message = format!("Network interface {} has {PERMISSIONS_MAX} permissions; delete some", interface.id);
            return Err(Error::new("ResourceLimitExceeded", message));
        }
        let made = InterfacePermission {
            id: cloud.draw.id(),
            owner: interface.owner,
            interface: interface.id,
            grantee,
            permission,
            created: cloud.now,
        };
        cloud.put(made.clone());
        Ok(CreateNetworkInterfacePermissionResponse { interface_permission: item(&made) })
    }
}

fn of_interface<'c>(cloud: &'c Cloud<'_>, id: NetworkInterfaceId) -> impl Iterator<Item = &'c InterfacePermission> {
    cloud.world().by::<InterfacePermission>(By::id(id)).map(|permission| &**permission)
}

/// The ids of an interface's permissions.
pub(crate) fn ids_of(world: &World, id: NetworkInterfaceId) -> Vec<InterfacePermissionId> {
    world.by::<InterfacePermission>(By::id(id)).map(|permission| permission.id).collect()
}

impl Handle for DeleteNetworkInterfacePermission {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<Done, Error> {
        let id = self.network_interface_permission_id;
        let found = cloud.world().find::<InterfacePermission>(&id);
        if found.is_none_or(|found| found.owner != cloud.caller.account) {
            return Err(Error::not_found(id));
        }
        cloud.delete::<InterfacePermission>(id);
        Ok(Done::TRUE)
    }
}

impl Handle for DescribeNetworkInterfacePermissions {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<DescribeNetworkInterfacePermissionsResponse, Error> {
        let page = Page { max_results: self.max_results, next_token: self.next_token.as_deref() };
        let query = Query { ids: &self.network_interface_permission_ids, filters: &self.filters, page };
        let (found, next_token) = cloud.select::<InterfacePermission>(query, 5..=255)?;
        let network_interface_permissions = found.iter().map(|permission| item(permission)).collect();
        Ok(DescribeNetworkInterfacePermissionsResponse { network_interface_permissions, next_token })
    }
}

impl Describe for InterfacePermission {
    const FILTERS: &'static [&'static str] = &[
        "network-interface-permission.network-interface-permission-id",
        "network-interface-permission.network-interface-id",
        "network-interface-permission.aws-account-id",
        "network-interface-permission.aws-service",
        "network-interface-permission.permission",
    ];

    fn is_visible(&self, cloud: &Cloud<'_>) -> bool {
        self.owner == cloud.caller.account
    }

    fn tags<'t>(&'t self, _: &Cloud<'_>) -> &'t Tags {
        static NONE: Tags = Tags::new();
        &NONE
    }

    fn values(&self, _: &Cloud<'_>, filter: &str) -> Vec<String> {
        let (account, service) = parties(&self.grantee);
        match filter.strip_prefix("network-interface-permission.").unwrap_or_default() {
            "network-interface-permission-id" => vec![self.id.to_string()],
            "network-interface-id" => vec![self.interface.to_string()],
            "aws-account-id" => account.iter().map(ToString::to_string).collect(),
            "aws-service" => service.into_iter().collect(),
            "permission" => vec![self.permission.name().into()],
            _ => Vec::new(),
        }
    }

    fn place(_: &Cloud<'_>, filter: &str, value: &str) -> Option<Place<Self::Id>> {
        match filter {
            "network-interface-permission.network-interface-permission-id" => Place::of_id(value),
            "network-interface-permission.network-interface-id" => Place::naming::<NetworkInterfaceId>(value),
            _ => None,
        }
    }
}

fn parties(grantee: &Grantee) -> (Option<AccountId>, Option<String>) {
    match grantee {
        Grantee::Account(account) => (Some(*account), None),
        Grantee::Service(service) => (None, Some(service.clone())),
    }
}

fn item(permission: &InterfacePermission) -> InterfacePermissionItem {
    let (aws_account_id, aws_service) = parties(&permission.grantee);
    InterfacePermissionItem {
        network_interface_permission_id: permission.id,
        network_interface_id: permission.interface,
        aws_account_id,
        aws_service,
        permission: permission.permission.name(),
        permission_state: PermissionStateItem { state: "granted" },
    }
}
