//! Volumes: recorded with the instance that they came with, which nothing else can have and with which they end (spec 8.6).

use std::sync::Arc;

use ec2::page::Page;
use ec2::shapes::catalogue::*;
use ec2::shapes::image::{DeviceMappingInput, VolumeInput};
use ec2::{Error, Filter};
use model::*;

use super::{Handle, image};
use crate::Cloud;
use crate::describe::passes;
use crate::rules::texts;

/// Of a root volume of which nothing is said; as images show it.
pub(super) const SIZE_DEFAULT: u32 = 8;
pub(super) const KIND_DEFAULT: &str = "gp3";

/// Volumes of one instance.
const VOLUMES_MAX: usize = 28;
/// The longest name of a device, and of a key.
const NAME_LEN_MAX: usize = 2048;

/// A kind of volume: sizes in GiB, operations in a second.
struct Kind {
    name: &'static str,
    sizes: std::ops::RangeInclusive<u32>,
    /// `None`: they cannot be chosen.
    iops: Option<std::ops::RangeInclusive<u32>>,
}

const KINDS: [Kind; 7] = [
    Kind { name: "standard", sizes: 1..=1024, iops: None },
    Kind { name: "io1", sizes: 4..=16_384, iops: Some(100..=64_000) },
    Kind { name: "io2", sizes: 4..=65_536, iops: Some(100..=256_000) },
    Kind { name: "gp2", sizes: 1..=16_384, iops: None },
    Kind { name: "gp3", sizes: 1..=65_536, iops: Some(3000..=80_000) },
    Kind { name: "sc1", sizes: 125..=16_384, iops: None },
    Kind { name: "st1", sizes: 125..=16_384, iops: None },
];

/// What throughput a `gp3` volume may have, in MiB/s.
const THROUGHPUTS: std::ops::RangeInclusive<u32> = 125..=2000;

/// The volumes of an instance of this image: its root volume first, with what was asked for.
///
/// # Errors
/// `InvalidBlockDeviceMapping`, `InvalidParameterValue` or `InvalidParameterCombination` for a device that cannot be.
pub(super) fn at_launch(
    cloud: &mut Cloud<'_>,
    image_id: ImageId,
    asked: &[DeviceMappingInput],
    tags: &Tags,
) -> Result<Vec<Volume>, Error> {
    let root = image::root_device(cloud, image_id);
    let of_root = asked.iter().find(|one| one.device_name.as_ref() == Some(&root));
    let mut volumes = vec![volume(cloud, &root, of_root.and_then(|one| one.ebs.as_ref()), Some(image_id), tags)?];
    for one in asked {
        let device = one.device_name.as_ref().filter(|name| !name.is_empty() && name.len() <= NAME_LEN_MAX);
        let device = device.ok_or_else(|| Error::missing_parameter("BlockDeviceMapping.DeviceName"))?;
        if asked.iter().filter(|other| other.device_name.as_ref() == Some(device)).count() > 1 {
            return Err(bad_mapping(format!("The device '{device}' is used in more than one block-device mapping")));
        }
        // Neither an instance store nor what the image is not to bring is a volume.
        let Some(ebs) = one.ebs.as_ref().filter(|_| *device != root && one.no_device.is_none()) else { continue };
        volumes.push(volume(cloud, device, Some(ebs), None, tags)?);
    }
    if volumes.len() > VOLUMES_MAX {
        return Err(bad_mapping(format!("An instance has at most {VOLUMES_MAX} volumes")));
    }
    Ok(volumes)
}

/// Of a volume of which nothing is said.
const NOTHING: VolumeInput = VolumeInput {
    delete_on_termination: None,
    encrypted: None,
    iops: None,
    kms_key_id: None,
    snapshot_id: None,
    throughput: None,
    volume_size: None,
    volume_type: None,
};

fn bad_mapping(message: String) -> Error {
    Error::new("InvalidBlockDeviceMapping", message)
}

fn volume(
    cloud: &mut Cloud<'_>,
    device: &str,
    asked: Option<&VolumeInput>,
    of_image: Option<ImageId>,
    tags: &Tags,
) -> Result<Volume, Error> {
    let asked = asked.unwrap_or(&NOTHING);
    let name = asked.volume_type.as_deref().unwrap_or(if of_image.is_some() { KIND_DEFAULT } else { "gp2" });
    let kind = KINDS.iter().find(|kind| kind.name == name).ok_or_else(|| {
        let all = KINDS.map(|kind| kind.name).join(", ");
        Error::invalid_parameter("volumeType", name, &format!("Use one of {all}."))
    })?;
    if of_image.is_none() && asked.volume_size.is_none() && asked.snapshot_id.is_none() {
        return Err(Error::new("MissingParameter", "The request must contain the parameter size or snapshotId"));
    }
    let size = size(kind, asked.volume_size, device, of_image)?;
    let (iops, throughput) = speed(kind, size, asked)?;
    if asked.kms_key_id.is_some() && asked.encrypted != Some(true) {
        return Err(Error::invalid_combination("The parameter KmsKeyId requires the parameter Encrypted to be set."));
    }
    let is_long = |text: &&String| text.len() > NAME_LEN_MAX;
    if let Some(long) = asked.kms_key_id.iter().chain(&asked.snapshot_id).find(is_long) {
        let shown: String = long.chars().take(64).collect();
        let why = format!("It has at most {NAME_LEN_MAX} bytes.");
        return Err(Error::invalid_parameter("KmsKeyId or SnapshotId", shown, &why));
    }
    Ok(Volume {
        id: cloud.draw.id(),
        device: device.to_owned(),
        size,
        kind: kind.name.to_owned(),
        iops,
        throughput,
        encrypted: asked.encrypted.unwrap_or(false),
        kms_key: asked.kms_key_id.clone(),
        snapshot: asked.snapshot_id.clone().or_else(|| of_image.map(image::snapshot)),
        delete_on_termination: asked.delete_on_termination.unwrap_or(true),
        tags: tags.clone(),
    })
}

fn size(kind: &Kind, asked: Option<i32>, device: &str, of_image: Option<ImageId>) -> Result<u32, Error> {
    let Some(asked) = asked else { return Ok(SIZE_DEFAULT.max(*kind.sizes.start())) };
    let size = u32::try_from(asked).ok().filter(|size| kind.sizes.contains(size)).ok_or_else(|| {
        let (least, most) = (kind.sizes.start(), kind.sizes.end());
        let why = format!("A volume of type {} has {least} to {most} GiB.", kind.name);
        Error::invalid_parameter("volumeSize", asked, &why)
    })?;
    match of_image {
        Some(of_image) if size < SIZE_DEFAULT => Err(bad_mapping(format!(
            "Volume of size {size}GB of {device} is smaller than snapshot '{}', expect size >= {SIZE_DEFAULT}GB",
            image::snapshot(of_image)
        ))),
        _ => Ok(size),
    }
}

/// Operations and MiB in a second.
fn speed(kind: &Kind, size: u32, asked: &VolumeInput) -> Result<(Option<u32>, Option<u32>), Error> {
    let within = |name: &str, asked: i32, range: &std::ops::RangeInclusive<u32>| {
        u32::try_from(asked).ok().filter(|number| range.contains(number)).ok_or_else(|| {
            let why = format!("A volume of type {} has {} to {}.", kind.name, range.start(), range.end());
            Error::invalid_parameter(name, asked, &why)
        })
    };
    let unsupported = |name: &str| {
        Error::invalid_combination(format!("The parameter {name} is not supported for {} volumes.", kind.name))
    };
    let iops = match (&kind.iops, asked.iops) {
        (Some(range), Some(asked)) => Some(within("iops", asked, range)?),
        (Some(_), None) if kind.name == "gp3" => Some(3000),
        (Some(_), None) => {
            let message = format!("The parameter iops must be specified for {} volumes.", kind.name);
            return Err(Error::new("MissingParameter", message));
        }
        (None, Some(_)) => return Err(unsupported("iops")),
        (None, None) => (kind.name == "gp2").then(|| (3 * size).clamp(100, 16_000)),
    };
    let throughput = match asked.throughput {
        Some(_) if kind.name != "gp3" => return Err(unsupported("throughput")),
        Some(asked) => Some(within("throughput", asked, &THROUGHPUTS)?),
        None => (kind.name == "gp3").then_some(*THROUGHPUTS.start()),
    };
    Ok((iops, throughput))
}

/// Changes whether volumes end with their instance: recorded.
///
/// # Errors
/// `InvalidInstanceAttributeValue` for a device that the instance does not have.
pub(super) fn change(instance: &mut Instance, asked: &[DeviceMappingInput]) -> Result<(), Error> {
    for one in asked {
        let name = one.device_name.as_deref().unwrap_or_default();
        let volume = instance.volumes.iter_mut().find(|volume| volume.device == name).ok_or_else(|| {
            Error::new("InvalidInstanceAttributeValue", format!("No device is currently mapped at {name}"))
        })?;
        if let Some(ends) = one.ebs.as_ref().and_then(|ebs| ebs.delete_on_termination) {
            volume.delete_on_termination = ends;
        }
    }
    Ok(())
}

/// The volumes that an instance shows.
pub(super) fn devices(instance: &Instance) -> Vec<InstanceDeviceItem> {
    let there = instance.volumes.iter().filter(|_| instance.state != InstanceState::Terminated);
    there
        .map(|volume| InstanceDeviceItem {
            device_name: volume.device.clone(),
            ebs: InstanceVolumeItem {
                attach_time: instance.launched,
                delete_on_termination: volume.delete_on_termination,
                status: "attached",
                volume_id: volume.id,
            },
        })
        .collect()
}

/// What a filter `block-device-mapping.<of_device>` of instances compares with.
pub(super) fn device_values(instance: &Instance, of_device: &str) -> Vec<String> {
    let of = |item: InstanceDeviceItem| match of_device {
        "attach-time" => Some(item.ebs.attach_time.to_string()),
        "delete-on-termination" => Some(item.ebs.delete_on_termination.to_string()),
        "device-name" => Some(item.device_name),
        "status" => Some(item.ebs.status.to_owned()),
        "volume-id" => Some(item.ebs.volume_id.to_string()),
        _ => None,
    };
    devices(instance).into_iter().filter_map(of).collect()
}

/// The caller's volumes, each with its instance.
pub(super) fn own<'c>(cloud: &'c Cloud<'_>) -> impl Iterator<Item = (&'c Arc<Instance>, &'c Volume)> {
    volumes_of(cloud.own::<Instance>())
}

/// The volumes of those that have not ended.
pub(super) fn volumes_of<'c>(
    instances: impl Iterator<Item = &'c Arc<Instance>>,
) -> impl Iterator<Item = (&'c Arc<Instance>, &'c Volume)> {
    let there = instances.filter(|instance| instance.state != InstanceState::Terminated);
    there.flat_map(|instance| instance.volumes.iter().map(move |volume| (instance, volume)))
}

const FILTERS: &[&str] = &[
    "attachment.attach-time",
    "attachment.delete-on-termination",
    "attachment.device",
    "attachment.instance-id",
    "attachment.status",
    "availability-zone",
    "availability-zone-id",
    "create-time",
    "encrypted",
    "fast-restored",
    "multi-attach-enabled",
    "operator.managed",
    "operator.principal",
    "size",
    "snapshot-id",
    "status",
    "volume-id",
    "volume-type",
];

impl Handle for DescribeVolumes {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<DescribeVolumesResponse, Error> {
        ec2::filter::check(&self.filters, FILTERS)?;
        let page = Page { max_results: self.max_results, next_token: self.next_token.as_deref() };
        if let Some(unknown) = self.volume_ids.iter().find(|id| !own(cloud).any(|(_, volume)| volume.id == **id)) {
            return Err(Error::not_found(*unknown));
        }
        let is_wanted = |volume: &Volume| self.volume_ids.is_empty() || self.volume_ids.contains(&volume.id);
        let items = own(cloud).filter(|(_, volume)| is_wanted(volume)).map(|(instance, volume)| item(instance, volume));
        let mut found: Vec<VolumeItem> = items.filter(|item| fits(item, &self.filters)).collect();
        found.sort_by_key(|item| item.volume_id);
        let (volume_set, next_token) = page.cut(5..=1000, found, |item| item.volume_id.to_string())?;
        Ok(DescribeVolumesResponse { volume_set, next_token })
    }
}

fn fits(item: &VolumeItem, filters: &[Filter]) -> bool {
    passes(filters, &item.tag_set, |name| match name.strip_prefix("attachment.") {
        Some(name) => item.attachment_set.iter().filter_map(|attachment| attachment_value(attachment, name)).collect(),
        None => match name {
            "availability-zone" => texts([item.availability_zone]),
            "availability-zone-id" => texts([&item.availability_zone_id]),
            "create-time" => texts([item.create_time]),
            "encrypted" => texts([item.encrypted]),
            "fast-restored" | "multi-attach-enabled" | "operator.managed" => texts([false]),
            "size" => texts([item.size]),
            "snapshot-id" => texts([&item.snapshot_id]),
            "status" => texts([item.status]),
            "volume-id" => texts([item.volume_id]),
            "volume-type" => texts([&item.volume_type]),
            _ => Vec::new(),
        },
    })
}

fn attachment_value(attachment: &VolumeAttachmentItem, name: &str) -> Option<String> {
    match name {
        "attach-time" => Some(attachment.attach_time.to_string()),
        "delete-on-termination" => Some(attachment.delete_on_termination.to_string()),
        "device" => Some(attachment.device.clone()),
        "instance-id" => Some(attachment.instance_id.to_string()),
        "status" => Some(attachment.status.to_owned()),
        _ => None,
    }
}

fn item(instance: &Instance, volume: &Volume) -> VolumeItem {
    VolumeItem {
        attachment_set: vec![VolumeAttachmentItem {
            attach_time: instance.launched,
            delete_on_termination: volume.delete_on_termination,
            device: volume.device.clone(),
            instance_id: instance.id,
            status: "attached",
            volume_id: volume.id,
        }],
        availability_zone: instance.zone,
        availability_zone_id: instance.zone.id(),
        create_time: instance.launched,
        encrypted: volume.encrypted,
        iops: volume.iops,
        kms_key_id: volume.kms_key.clone(),
        multi_attach_enabled: false,
        size: volume.size,
        snapshot_id: volume.snapshot.clone().unwrap_or_default(),
        status: "in-use",
        tag_set: volume.tags.clone(),
        throughput: volume.throughput,
        volume_id: volume.id,
        volume_type: volume.kind.clone(),
    }
}
