//! What changes an instance after its launch: start, stop, reboot, terminate, attributes (spec 8.6).

use std::sync::Arc;

use ec2::Error;
use ec2::page::Page;
use ec2::shapes::Done;
use ec2::shapes::instance::*;
use ec2::value::{Attribute, Base64};
use model::*;

use super::Handle;
use super::instance::{ROOT_DEVICE, groups_of, primary};
use super::interface::set_groups;
use crate::Cloud;
use crate::describe::Query;
use crate::report;

/// The caller's instances by these ids, all of them or none.
fn named(cloud: &Cloud<'_>, ids: &[InstanceId]) -> Result<Vec<Arc<Instance>>, Error> {
    if ids.is_empty() {
        return Err(Error::missing_parameter("InstanceId"));
    }
    ids.iter().map(|id| cloud.owned::<Instance>(*id)).collect()
}

/// Changes each instance and says what it was and is.
fn change_each(
    cloud: &mut Cloud<'_>,
    ids: &[InstanceId],
    change: impl Fn(&mut Instance) -> Result<(), Error>,
) -> Result<InstanceStateChanges, Error> {
    let mut instances_set = Vec::new();
    for before in named(cloud, ids)? {
        let after = cloud.update::<Instance, _>(before.id, |instance| {
            change(instance)?;
            Ok(instance.state)
        })?;
        instances_set.push(InstanceStateChange {
            instance_id: before.id,
            current_state: after.into(),
            previous_state: before.state.into(),
        });
    }
    Ok(InstanceStateChanges { instances_set })
}

fn incorrect_state(instance: &Instance, what: &str) -> Error {
    Error::new(
        "IncorrectInstanceState",
        format!(
            "The instance '{}' is not in a state from which it can be {what}; it is {}.",
            instance.id,
            instance.state.name()
        ),
    )
}

fn by_user(what: &str) -> Option<(String, String)> {
    let code = format!("Client.UserInitiated{what}");
    Some((code.clone(), format!("{code}: User initiated {}", what.to_lowercase())))
}

impl Handle for StartInstances {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<InstanceStateChanges, Error> {
        change_each(cloud, &self.instance_ids, |instance| match instance.state {
            InstanceState::Pending | InstanceState::Running => Ok(()),
            InstanceState::Stopped => {
                instance.state = if instance.host.is_some() { InstanceState::Pending } else { InstanceState::Running };
                instance.state_reason = None;
                instance.starts += 1;
                Ok(())
            }
            _ => Err(incorrect_state(instance, "started")),
        })
    }
}

impl Handle for StopInstances {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<InstanceStateChanges, Error> {
        change_each(cloud, &self.instance_ids, |instance| {
            if instance.disable_api_stop && instance.state.is_wanted() {
                let message = format!(
                    "The instance '{}' may not be stopped. Modify its 'disableApiStop' instance attribute and try again.",
                    instance.id
                );
                return Err(Error::not_permitted(message));
            }
            match instance.state {
                InstanceState::Stopping | InstanceState::Stopped => Ok(()),
                InstanceState::Pending | InstanceState::Running => {
                    instance.state =
                        if instance.host.is_some() { InstanceState::Stopping } else { InstanceState::Stopped };
                    instance.state_reason = by_user("Shutdown");
                    Ok(())
                }
                InstanceState::ShuttingDown | InstanceState::Terminated => Err(incorrect_state(instance, "stopped")),
            }
        })
    }
}

impl Handle for RebootInstances {
    /// A restart from the start: there is no init inside that could be asked to reboot.
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<Done, Error> {
        change_each(cloud, &self.instance_ids, |instance| match instance.state {
            InstanceState::Pending | InstanceState::Running => {
                instance.starts += 1;
                Ok(())
            }
            _ => Err(incorrect_state(instance, "rebooted")),
        })?;
        Ok(Done::TRUE)
    }
}

impl Handle for TerminateInstances {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<InstanceStateChanges, Error> {
        for instance in named(cloud, &self.instance_ids)? {
            if instance.disable_api_termination {
                let message = format!(
                    "The instance '{}' may not be terminated. Modify its 'disableApiTermination' instance attribute and try again.",
                    instance.id
                );
                return Err(Error::not_permitted(message));
            }
        }
        let changes = change_each(cloud, &self.instance_ids, |instance| {
            if instance.state != InstanceState::Terminated {
                instance.state = InstanceState::ShuttingDown;
                instance.state_reason = by_user("Shutdown");
            }
            Ok(())
        })?;
        // Where no host carries it, it is gone at once.
        for instance in named(cloud, &self.instance_ids)? {
            if instance.host.is_none() {
                let gone = report::terminated(cloud.world(), &instance, cloud.now);
                cloud.change_all(gone);
            }
        }
        Ok(changes)
    }
}

impl Handle for DescribeInstanceStatus {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<DescribeInstanceStatusResponse, Error> {
        let page = Page { max_results: self.max_results, next_token: self.next_token.as_deref() };
        let query = Query { ids: &self.instance_ids, filters: &self.filters, page };
        let (found, next_token) = cloud.select::<Instance>(query, 5..=1000)?;
        // Without IncludeAllInstances only running ones are shown.
        let shown = found
            .iter()
            .filter(|instance| self.include_all_instances == Some(true) || instance.state == InstanceState::Running);
        let instance_status_set = shown.map(|instance| status_item(instance)).collect();
        Ok(DescribeInstanceStatusResponse { instance_status_set, next_token })
    }
}

fn status_item(instance: &Instance) -> InstanceStatusItem {
    let summary = || match instance.state {
        InstanceState::Running => {
            StatusSummary { details: vec![StatusDetail { name: "reachability", status: "passed" }], status: "ok" }
        }
        _ => StatusSummary { details: Vec::new(), status: "not-applicable" },
    };
    InstanceStatusItem {
        availability_zone: instance.zone,
        instance_id: instance.id,
        instance_state: instance.state.into(),
        instance_status: summary(),
        system_status: summary(),
    }
}

impl Handle for DescribeInstanceAttribute {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<DescribeInstanceAttributeResponse, Error> {
        let instance = cloud.owned::<Instance>(self.instance_id)?;
        let mut reply = DescribeInstanceAttributeResponse {
            instance_id: instance.id,
            disable_api_stop: None,
            disable_api_termination: None,
            ebs_optimized: None,
            ena_support: None,
            group_set: None,
            instance_initiated_shutdown_behavior: None,
            instance_type: None,
            root_device_name: None,
            source_dest_check: None,
            user_data: None,
        };
        match self.attribute.as_str() {
            "disableApiStop" => reply.disable_api_stop = Some(Attribute(instance.disable_api_stop)),
            "disableApiTermination" => {
                reply.disable_api_termination = Some(Attribute(instance.disable_api_termination));
            }
            "ebsOptimized" => reply.ebs_optimized = Some(Attribute(false)),
            "enaSupport" => reply.ena_support = Some(Attribute(true)),
            "groupSet" => reply.group_set = Some(groups_of(cloud, instance.id)),
            "instanceInitiatedShutdownBehavior" => {
                reply.instance_initiated_shutdown_behavior = Some(Attribute(instance.shutdown_behavior.clone()));
            }
            "instanceType" => reply.instance_type = Some(Attribute(instance.instance_type.clone())),
            "rootDeviceName" => reply.root_device_name = Some(Attribute(ROOT_DEVICE.into())),
            "sourceDestCheck" => {
                reply.source_dest_check =
                    Some(Attribute(primary(cloud, instance.id).is_none_or(|p| p.source_dest_check)));
            }
            "userData" => {
                let value = Some(&instance.user_data).filter(|data| !data.is_empty());
                reply.user_data = Some(UserDataItem { value: value.cloned().map(Base64) });
            }
            // Known to AWS, never set here.
            "kernel" | "ramdisk" | "productCodes" | "blockDeviceMapping" | "sriovNetSupport" | "enclaveOptions" => {}
            other => return Err(Error::invalid_parameter("attribute", other, "Unknown attribute.")),
        }
        Ok(reply)
    }
}

impl Handle for ModifyInstanceAttribute {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<Done, Error> {
        let instance = cloud.owned::<Instance>(self.instance_id)?;
        let given = [
            self.disable_api_stop.is_some(),
            self.disable_api_termination.is_some(),
            !self.group_ids.is_empty(),
            self.instance_initiated_shutdown_behavior.is_some(),
            self.instance_type.is_some(),
            self.source_dest_check.is_some(),
            self.user_data.is_some(),
        ];
        match given.iter().filter(|given| **given).count() {
            1 => {}
            0 => return Err(Error::invalid_combination("No attributes specified.")),
            _ => {
                return Err(Error::invalid_combination(
                    "Fields for multiple attribute types specified; send one request for each",
                ));
            }
        }
        let needs_stopped = self.instance_type.is_some() || self.user_data.is_some();
        if needs_stopped && instance.state != InstanceState::Stopped {
            return Err(Error::new(
                "IncorrectInstanceState",
                format!(
                    "The instance '{}' is not in the 'stopped' state; it is {}.",
                    instance.id,
                    instance.state.name()
                ),
            ));
        }
        self.apply(cloud, &instance)
    }
}

trait Apply {
    fn apply(self, cloud: &mut Cloud<'_>, instance: &Instance) -> Result<Done, Error>;
}

impl Apply for ModifyInstanceAttribute {
    fn apply(self, cloud: &mut Cloud<'_>, instance: &Instance) -> Result<Done, Error> {
        let interface =
            || primary(cloud, instance.id).map(|p| p.id).ok_or_else(|| incorrect_state(instance, "modified"));
        if !self.group_ids.is_empty() {
            set_groups(cloud, interface()?, &self.group_ids)?;
            return Ok(Done::TRUE);
        }
        if let Some(Attribute(check)) = self.source_dest_check {
            return cloud.update::<NetworkInterface, _>(interface()?, |interface| {
                interface.source_dest_check = check;
                Ok(Done::TRUE)
            });
        }
        cloud.update::<Instance, _>(instance.id, |instance| {
            if let Some(Attribute(value)) = self.disable_api_stop {
                instance.disable_api_stop = value;
            }
            if let Some(Attribute(value)) = self.disable_api_termination {
                instance.disable_api_termination = value;
            }
            if let Some(Attribute(value)) = self.instance_type {
                instance.instance_type = value;
            }
            if let Some(Attribute(Base64(value))) = self.user_data {
                instance.user_data = value;
            }
            match self.instance_initiated_shutdown_behavior {
                None => {}
                Some(Attribute(value)) if value == "stop" || value == "terminate" => instance.shutdown_behavior = value,
                Some(Attribute(other)) => {
                    return Err(Error::invalid_parameter(
                        "instanceInitiatedShutdownBehavior",
                        other,
                        "Expected stop or terminate.",
                    ));
                }
            }
            Ok(Done::TRUE)
        })
    }
}

impl Handle for DescribeInstanceCreditSpecifications {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<DescribeInstanceCreditSpecificationsResponse, Error> {
        let page = Page { max_results: self.max_results, next_token: self.next_token.as_deref() };
        let query = Query { ids: &self.instance_ids, filters: &self.filters, page };
        let (found, next_token) = cloud.select::<Instance>(query, 5..=1000)?;
        let instance_credit_specification_set = found
            .iter()
            .map(|instance| CreditSpecificationItem { instance_id: instance.id, cpu_credits: "standard" })
            .collect();
        Ok(DescribeInstanceCreditSpecificationsResponse { instance_credit_specification_set, next_token })
    }
}
