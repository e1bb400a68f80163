//! What clients set at instances and read back, and what their consoles said (spec 8.6).

use ec2::Error;
use ec2::shapes::instance::{
    CapacityReservationInput, CapacityReservationItem, CpuOptionsInput, CpuOptionsItem, InstanceProfileInput,
    InstanceProfileItem, MaintenanceOptionsItem, MonitoringItem, RunInstances,
};
use ec2::shapes::instance_option::*;
use model::*;

use super::Handle;
use crate::Cloud;

/// What a launch says of it.
///
/// # Errors
/// `InvalidParameterValue`.
pub(super) fn at_launch(account: AccountId, asked: &RunInstances) -> Result<InstanceOptions, Error> {
    let credits = asked.credit_specification.as_ref().map(|specification| specification.cpu_credits.clone());
    let maintenance = asked.maintenance_options.as_ref();
    Ok(InstanceOptions {
        monitoring: asked.monitoring.as_ref().is_some_and(|monitoring| monitoring.enabled),
        cpu_credits: credits.map(cpu_credits).transpose()?,
        auto_recovery: switch("AutoRecovery", maintenance.and_then(|options| options.auto_recovery.clone()))?,
        ebs_optimized: asked.ebs_optimized.unwrap_or(false),
        instance_profile: asked.iam_instance_profile.as_ref().map(|input| profile(account, input)).transpose()?,
        cpus: asked.cpu_options.as_ref().map(cpus).transpose()?,
        capacity_preference: capacity(asked.capacity_reservation_specification.as_ref())?,
        ..InstanceOptions::default()
    })
}

/// The ARN of an instance profile; any, for there is no IAM here that could know it.
fn profile(account: AccountId, asked: &InstanceProfileInput) -> Result<String, Error> {
    const LEN_MAX: usize = 512;
    let is_plain = |text: &&String| {
        let letter = |byte: u8| byte.is_ascii_alphanumeric() || b"+=,.@_-/:".contains(&byte);
        !text.is_empty() && text.len() <= LEN_MAX && text.bytes().all(letter)
    };
    let wrong = |name: &str, value: &str, why: &str| {
        let shown: String = value.chars().take(64).collect();
        Error::invalid_parameter(name, shown, why)
    };
    match (&asked.arn, &asked.name) {
        (Some(_), Some(_)) => Err(Error::invalid_combination(
            "The parameter 'iamInstanceProfile.name' may not be used in combination with 'iamInstanceProfile.arn'",
        )),
        (Some(arn), None) => {
            let is_profile = |arn: &&String| arn.starts_with("arn:") && arn.contains(":instance-profile/");
            let found = Some(arn).filter(is_plain).filter(is_profile);
            found.cloned().ok_or_else(|| wrong("iamInstanceProfile.arn", arn, "Invalid IAM Instance Profile ARN"))
        }
        (None, Some(name)) => {
            let found = Some(name).filter(is_plain).filter(|name| !name.contains([':', '/']));
            let found =
                found.ok_or_else(|| wrong("iamInstanceProfile.name", name, "Invalid IAM Instance Profile name"))?;
            Ok(format!("arn:aws:iam::{account}:instance-profile/{found}"))
        }
        (None, None) => Err(Error::missing_parameter("IamInstanceProfile.Name")),
    }
}

/// Cores and threads of each: both or none (as on AWS).
fn cpus(asked: &CpuOptionsInput) -> Result<(u32, u32), Error> {
    const CORES_MAX: i32 = 512;
    let (Some(cores), Some(threads)) = (asked.core_count, asked.threads_per_core) else {
        return Err(Error::missing_parameter("CpuOptions.CoreCount and CpuOptions.ThreadsPerCore"));
    };
    let within = |name: &str, number: i32, max: i32| {
        let found = u32::try_from(number).ok().filter(|_| (1..=max).contains(&number));
        found.ok_or_else(|| Error::invalid_parameter(name, number, &format!("Expected 1 to {max}.")))
    };
    Ok((within("CoreCount", cores, CORES_MAX)?, within("ThreadsPerCore", threads, 2)?))
}

fn capacity(asked: Option<&CapacityReservationInput>) -> Result<Option<String>, Error> {
    const PREFERENCES: [&str; 3] = ["open", "none", "capacity-reservations-only"];
    match asked.and_then(|input| input.capacity_reservation_preference.clone()) {
        Some(other) if !PREFERENCES.contains(&other.as_str()) => {
            let why = format!("Use one of {}.", PREFERENCES.join(", "));
            Err(Error::invalid_parameter("CapacityReservationPreference", other, &why))
        }
        fine => Ok(fine),
    }
}

/// The instance's profile with an id that is always the same.
pub(super) fn profile_item(instance: &Instance) -> Option<InstanceProfileItem> {
    let arn = instance.options.instance_profile.clone()?;
    // FNV-1a: stable over releases.
    let digest = arn
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |digest, byte| (digest ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    Some(InstanceProfileItem { arn, id: format!("AIPA{digest:017X}") })
}

pub(super) fn cpu_item(instance: &Instance) -> CpuOptionsItem {
    let (core_count, threads_per_core) = instance.options.cpus.unwrap_or((1, 1));
    CpuOptionsItem { core_count, threads_per_core }
}

pub(super) fn capacity_item(instance: &Instance) -> CapacityReservationItem {
    let chosen = instance.options.capacity_preference.clone();
    CapacityReservationItem { capacity_reservation_preference: chosen.unwrap_or_else(|| "open".into()) }
}

/// Whether detailed monitoring is on.
pub(super) fn monitoring(instance: &Instance) -> MonitoringItem {
    MonitoringItem { state: if instance.options.monitoring { "enabled" } else { "disabled" } }
}

pub(super) fn maintenance(instance: &Instance) -> MaintenanceOptionsItem {
    let shown = |chosen: &Option<String>| chosen.clone().unwrap_or_else(|| "default".into());
    MaintenanceOptionsItem {
        auto_recovery: shown(&instance.options.auto_recovery),
        reboot_migration: shown(&instance.options.reboot_migration),
    }
}

/// How a burstable instance spends its credits: what was chosen, else what its family begins with. `None`: it has no credits.
pub(super) fn credits(instance: &Instance) -> Option<String> {
    let family = instance.instance_type.split('.').next().unwrap_or_default();
    let first = match family {
        "t2" => "standard",
        "t3" | "t3a" | "t4g" => "unlimited",
        _ => return None,
    };
    Some(instance.options.cpu_credits.clone().unwrap_or_else(|| first.into()))
}

fn cpu_credits(text: String) -> Result<String, Error> {
    if ["standard", "unlimited"].contains(&text.as_str()) {
        return Ok(text);
    }
    Err(Error::invalid_parameter("CpuCredits", text, "Use standard or unlimited."))
}

fn switch(name: &str, text: Option<String>) -> Result<Option<String>, Error> {
    match text {
        Some(other) if !["default", "disabled"].contains(&other.as_str()) => {
            Err(Error::invalid_parameter(name, other, "Use default or disabled."))
        }
        fine => Ok(fine),
    }
}

impl Handle for MonitorInstances {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<InstanceMonitoringResponse, Error> {
        set_monitoring(cloud, &self.instance_ids, true)
    }
}

impl Handle for UnmonitorInstances {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<InstanceMonitoringResponse, Error> {
        set_monitoring(cloud, &self.instance_ids, false)
    }
}

fn set_monitoring(cloud: &mut Cloud<'_>, ids: &[InstanceId], on: bool) -> Result<InstanceMonitoringResponse, Error> {
    if ids.is_empty() {
        return Err(Error::missing_parameter("InstanceId"));
    }
    let state = if on { "pending" } else { "disabling" };
    let mut instances_set = Vec::new();
    for id in ids {
        cloud.update::<Instance, _>(*id, |instance| {
            instance.options.monitoring = on;
            Ok(())
        })?;
        instances_set.push(InstanceMonitoringItem { instance_id: *id, monitoring: MonitoringItem { state } });
    }
    Ok(InstanceMonitoringResponse { instances_set })
}

impl Handle for ModifyInstanceCreditSpecification {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<ModifyInstanceCreditSpecificationResponse, Error> {
        if self.specifications.is_empty() {
            return Err(Error::missing_parameter("InstanceCreditSpecification"));
        }
        let (mut successful, mut unsuccessful) = (Vec::new(), Vec::new());
        for asked in self.specifications {
            let chosen = cpu_credits(asked.cpu_credits.unwrap_or_else(|| "standard".into()))?;
            let instance_id = asked.instance_id;
            let error = match cloud.owned::<Instance>(instance_id) {
                Err(error) => Some(CreditErrorItem { code: "InvalidInstanceID.NotFound", message: error.message }),
                Ok(instance) if credits(&instance).is_none() => {
                    let message =
                        format!("The instance type '{}' of '{instance_id}' has no CPU credits", instance.instance_type);
                    Some(CreditErrorItem { code: "InstanceCreditSpecification.NotSupported", message })
                }
                Ok(_) => None,
            };
            if let Some(error) = error {
                unsuccessful.push(UnsuccessfulCreditItem { instance_id, error });
                continue;
            }
            cloud.update::<Instance, _>(instance_id, |instance| {
                instance.options.cpu_credits = Some(chosen);
                Ok(())
            })?;
            successful.push(SuccessfulCreditItem { instance_id });
        }
        Ok(ModifyInstanceCreditSpecificationResponse { successful, unsuccessful })
    }
}

impl Handle for ModifyInstanceMaintenanceOptions {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<ModifyInstanceMaintenanceOptionsResponse, Error> {
        let auto_recovery = switch("AutoRecovery", self.auto_recovery)?;
        let reboot_migration = switch("RebootMigration", self.reboot_migration)?;
        if auto_recovery.is_none() && reboot_migration.is_none() {
            return Err(Error::missing_parameter("AutoRecovery or RebootMigration"));
        }
        cloud.update::<Instance, _>(self.instance_id, |instance| {
            let options = &mut instance.options;
            options.auto_recovery = auto_recovery.clone().or(options.auto_recovery.take());
            options.reboot_migration = reboot_migration.clone().or(options.reboot_migration.take());
            Ok(())
        })?;
        Ok(ModifyInstanceMaintenanceOptionsResponse { instance_id: self.instance_id, auto_recovery, reboot_migration })
    }
}

impl Handle for GetConsoleOutput {
    /// Without the output, which the shell asks of the host.
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<GetConsoleOutputResponse, Error> {
        let instance = cloud.owned::<Instance>(self.instance_id)?;
        Ok(GetConsoleOutputResponse { instance_id: instance.id, timestamp: cloud.now, output: None })
    }
}
