//! What changes an instance after its launch: start, stop, reboot, terminate, attributes (spec 8.6).

use std::sync::Arc;

use ec2::page::Page;
use ec2::shapes::Done;
use ec2::shapes::instance::*;
use ec2::value::{Attribute, Base64};
use ec2::{Error, FromQuery, Node};
use model::*;

use super::instance::{check_user_data, groups_of, primary, root_device};
use super::instance_filter::{OF_STATUS, status_passes};
use super::instance_option::credits;
use super::interface::{attached_to, check_type, set_groups, several};
use super::{Handle, catalogue, instance_type};
use crate::describe::Query;
use crate::report;
use crate::timing::Wait;
use crate::{Cloud, public};

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
    let now = cloud.now;
    let mut instances_set = Vec::new();
    for before in named(cloud, ids)? {
        let after = cloud.update::<Instance, _>(before.id, |instance| {
            change(instance)?;
            if instance.state != before.state && !instance.state.is_wanted() {
                instance.stop_asked = Some(now);
            }
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

/// What these instances were assigned at their start is theirs no more.
fn give_back(cloud: &mut Cloud<'_>, ids: &[InstanceId]) {
    for id in ids {
        cloud.change_all(public::stopped(cloud.world(), *id, cloud.now));
    }
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
        let stopped = named(cloud, &self.instance_ids)?.into_iter();
        let stopped: Vec<InstanceId> =
            stopped.filter(|instance| instance.state == InstanceState::Stopped).map(|instance| instance.id).collect();
        let takes_time = !cloud.is_instant();
        let changes = change_each(cloud, &self.instance_ids, |instance| match instance.state {
            InstanceState::Pending | InstanceState::Running => Ok(()),
            InstanceState::Stopped => {
                let waits = takes_time || instance.host.is_some();
                instance.state = if waits { InstanceState::Pending } else { InstanceState::Running };
                instance.state_reason = None;
                instance.stop_asked = None;
                instance.starts += 1;
                Ok(())
            }
            _ => Err(incorrect_state(instance, "started")),
        })?;
        for id in stopped {
            begin(cloud, id);
            public::started(cloud, id)?;
        }
        Ok(changes)
    }
}

impl Handle for StopInstances {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<InstanceStateChanges, Error> {
        let takes_time = !cloud.is_instant();
        let changes = change_each(cloud, &self.instance_ids, |instance| {
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
                    let waits = takes_time || instance.host.is_some();
                    instance.state = if waits { InstanceState::Stopping } else { InstanceState::Stopped };
                    instance.state_reason = by_user("Shutdown");
                    Ok(())
                }
                InstanceState::ShuttingDown | InstanceState::Terminated => Err(incorrect_state(instance, "stopped")),
            }
        })?;
        give_back(cloud, &self.instance_ids);
        ends(cloud, &self.instance_ids, Phase::Stopping, Wait::InstanceStop)?;
        Ok(changes)
    }
}

/// Under times like AWS's: what was started is not running yet, and its status is not known even then.
pub(super) fn begin(cloud: &mut Cloud<'_>, id: InstanceId) {
    cloud.takes_time(id, Phase::Pending, Wait::InstanceStart);
    cloud.takes_time(checks(id), Phase::Initializing, Wait::StatusChecks);
}

/// Under times like AWS's: what was asked to end has not ended yet.
fn ends(cloud: &mut Cloud<'_>, ids: &[InstanceId], phase: Phase, wait: Wait) -> Result<(), Error> {
    for instance in named(cloud, ids)? {
        if instance.state.name() == phase.code() && cloud.world().phase_of(instance.id) != Some(phase) {
            cloud.takes_time(instance.id, phase, wait);
        }
    }
    Ok(())
}

/// What a passage of its status checks is named.
fn checks(id: InstanceId) -> String {
    format!("{id}/status")
}

/// The time has come: what a host carries is what that says from now on, and all else is where it was to get.
pub(super) fn settle(cloud: &mut Cloud<'_>, id: InstanceId) -> Result<(), Error> {
    let instance = cloud.owned::<Instance>(id)?;
    if instance.host.is_some() {
        return Ok(());
    }
    let state = match instance.state {
        InstanceState::Pending => InstanceState::Running,
        InstanceState::Stopping => InstanceState::Stopped,
        InstanceState::ShuttingDown => {
            let gone = report::terminated(cloud.world(), &instance, cloud.now);
            cloud.change_all(gone);
            return Ok(());
        }
        settled => settled,
    };
    cloud.put(Instance { state, ..Instance::clone(&instance) });
    Ok(())
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
        give_back(cloud, &self.instance_ids);
        ends(cloud, &self.instance_ids, Phase::ShuttingDown, Wait::InstanceEnd)?;
        // Where no host carries it, it is gone at once.
        for instance in named(cloud, &self.instance_ids)? {
            if instance.host.is_none() && cloud.is_instant() {
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
        // Without IncludeAllInstances only running ones are shown.
        let is_asked =
            |instance: &Instance| self.include_all_instances == Some(true) || instance.state == InstanceState::Running;
        let cloud = &*cloud;
        let (shown, next_token) = cloud.select_where::<Instance>(query, OF_STATUS, 5..=1000, |instance| {
            is_asked(instance) && status_passes(cloud, instance, &status_item(cloud, instance), query.filters)
        })?;
        let instance_status_set = shown.iter().map(|instance| status_item(cloud, instance)).collect();
        Ok(DescribeInstanceStatusResponse { instance_status_set, next_token })
    }
}

fn status_item(cloud: &Cloud<'_>, instance: &Instance) -> InstanceStatusItem {
    let summary = || match instance.state {
        InstanceState::Running if cloud.world().phase_of(checks(instance.id)).is_some() => StatusSummary {
            details: vec![StatusDetail { name: "reachability", status: "initializing" }],
            status: "initializing",
        },
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
            block_device_mapping: None,
            disable_api_stop: None,
            disable_api_termination: None,
            ebs_optimized: None,
            ena_support: None,
            enclave_options: None,
            group_set: None,
            instance_initiated_shutdown_behavior: None,
            instance_type: None,
            product_codes: None,
            root_device_name: None,
            source_dest_check: None,
            sriov_net_support: None,
            user_data: None,
        };
        match self.attribute.as_str() {
            "disableApiStop" => reply.disable_api_stop = Some(Attribute(instance.disable_api_stop)),
            "disableApiTermination" => {
                reply.disable_api_termination = Some(Attribute(instance.disable_api_termination));
            }
            "blockDeviceMapping" => reply.block_device_mapping = Some(catalogue::devices(&instance)),
            "ebsOptimized" => reply.ebs_optimized = Some(Attribute(instance.options.ebs_optimized)),
            "enaSupport" => reply.ena_support = Some(Attribute(instance.options.ena_support.unwrap_or(true))),
            "enclaveOptions" => reply.enclave_options = Some(EnclaveOptionsItem { enabled: false }),
            "productCodes" => reply.product_codes = Some(Vec::new()),
            "sriovNetSupport" => reply.sriov_net_support = instance.options.sriov_net_support.clone().map(Attribute),
            "groupSet" => reply.group_set = Some(groups_of(cloud, instance.id)),
            "instanceInitiatedShutdownBehavior" => {
                reply.instance_initiated_shutdown_behavior = Some(Attribute(instance.shutdown_behavior.clone()));
            }
            "instanceType" => reply.instance_type = Some(Attribute(instance.instance_type.clone())),
            "rootDeviceName" => reply.root_device_name = Some(Attribute(root_device(&instance))),
            "sourceDestCheck" => {
                reply.source_dest_check =
                    Some(Attribute(primary(cloud, instance.id).is_none_or(|p| p.source_dest_check)));
            }
            "userData" => {
                let value = Some(&instance.user_data).filter(|data| !data.is_empty());
                reply.user_data = Some(UserDataItem { value: value.cloned().map(Base64) });
            }
            // Known to AWS, never set here.
            "kernel" | "ramdisk" => {}
            other => return Err(Error::invalid_parameter("attribute", other, "Unknown attribute.")),
        }
        Ok(reply)
    }
}

impl Handle for ModifyInstanceAttribute {
    fn handle(mut self, cloud: &mut Cloud<'_>) -> Result<Done, Error> {
        let instance = cloud.owned::<Instance>(self.instance_id)?;
        self.take_by_name()?;
        if self.kernel.is_some() || self.ramdisk.is_some() {
            let message = "The kernel and the ramdisk of a hardware virtual machine cannot be chosen; leave them out";
            return Err(Error::invalid_combination(message));
        }
        let given = [
            !self.block_device_mappings.is_empty(),
            self.ebs_optimized.is_some(),
            self.ena_support.is_some(),
            self.sriov_net_support.is_some(),
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
        let needs_stopped = self.instance_type.is_some()
            || self.user_data.is_some()
            || self.ebs_optimized.is_some()
            || self.ena_support.is_some()
            || self.sriov_net_support.is_some();
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
        // As at launch: what an instance may be does not depend on the way there.
        if let Some(Attribute(name)) = &self.instance_type {
            instance_type::check_name(name)?;
            check_type(cloud, instance.id, name)?;
        }
        check_user_data(self.user_data.as_ref().map(|Attribute(data)| data))?;
        self.apply(cloud, &instance)
    }
}

/// A value that came by the attribute's name, read as the member of that name would be.
fn by_name<T: FromQuery>(name: &str, value: &str) -> Result<Option<Attribute<T>>, Error> {
    let node = Node::of(value);
    T::from_query(Some(&node), name).map(|value| Some(Attribute(value)))
}

trait Apply {
    /// Moves what `Attribute` and `Value` say into the member that they mean.
    fn take_by_name(&mut self) -> Result<(), Error>;
    fn apply(self, cloud: &mut Cloud<'_>, instance: &Instance) -> Result<Done, Error>;
}

impl Apply for ModifyInstanceAttribute {
    fn take_by_name(&mut self) -> Result<(), Error> {
        let Some(name) = self.attribute.take() else { return Ok(()) };
        let name = name.as_str();
        // A list has no one value: its members stand beside the name.
        if name == "groupSet" || name == "blockDeviceMapping" {
            return Ok(());
        }
        let value = self.value.take().ok_or_else(|| Error::missing_parameter("Value"))?;
        match name {
            "disableApiStop" => self.disable_api_stop = by_name(name, &value)?,
            "disableApiTermination" => self.disable_api_termination = by_name(name, &value)?,
            "ebsOptimized" => self.ebs_optimized = by_name(name, &value)?,
            "enaSupport" => self.ena_support = by_name(name, &value)?,
            "instanceInitiatedShutdownBehavior" => {
                self.instance_initiated_shutdown_behavior = by_name(name, &value)?;
            }
            "instanceType" => self.instance_type = by_name(name, &value)?,
            "kernel" => self.kernel = by_name(name, &value)?,
            "ramdisk" => self.ramdisk = by_name(name, &value)?,
            "sourceDestCheck" => self.source_dest_check = by_name(name, &value)?,
            "sriovNetSupport" => self.sriov_net_support = by_name(name, &value)?,
            "userData" => self.user_data = by_name(name, &value)?,
            other => return Err(Error::invalid_parameter("attribute", other, "Unknown attribute.")),
        }
        Ok(())
    }

    fn apply(self, cloud: &mut Cloud<'_>, instance: &Instance) -> Result<Done, Error> {
        let interface = || {
            if attached_to(cloud, instance.id).count() > 1 {
                return Err(several(instance.id));
            }
            primary(cloud, instance.id).map(|p| p.id).ok_or_else(|| incorrect_state(instance, "modified"))
        };
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
            catalogue::change(instance, &self.block_device_mappings)?;
            if let Some(Attribute(value)) = self.disable_api_stop {
                instance.disable_api_stop = value;
            }
            if let Some(Attribute(value)) = self.disable_api_termination {
                instance.disable_api_termination = value;
            }
            if let Some(Attribute(value)) = self.instance_type {
                instance.instance_type = value;
            }
            if let Some(Attribute(value)) = self.ebs_optimized {
                instance.options.ebs_optimized = value;
            }
            if let Some(Attribute(value)) = self.ena_support {
                instance.options.ena_support = Some(value);
            }
            if let Some(Attribute(value)) = self.sriov_net_support {
                if value != "simple" {
                    return Err(Error::invalid_parameter("sriovNetSupport", value, "Expected simple."));
                }
                instance.options.sriov_net_support = Some(value);
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
            .map(|instance| CreditSpecificationItem {
                instance_id: instance.id,
                cpu_credits: credits(instance).unwrap_or_else(|| "standard".into()),
            })
            .collect();
        Ok(DescribeInstanceCreditSpecificationsResponse { instance_credit_specification_set, next_token })
    }
}
