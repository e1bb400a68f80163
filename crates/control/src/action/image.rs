//! Machine images: labels here (spec 8.6). Any image id runs the sandbox, so any is described; and whatever a client looks for by
//! filters, it finds: if no image of the catalogue has what it asks for, one is made up that has.
//!
//! An image's id follows from its name, so that a name has the same id each time it is looked up.

use ec2::page::Page;
use ec2::shapes::image::*;
use ec2::shapes::{Done, TagSpecification};
use ec2::value::Attribute;
use ec2::{Error, Filter};
use model::*;

use super::instance::ROOT_DEVICE;
use super::{Handle, catalogue};
use crate::Cloud;
use crate::describe::passes;
use crate::rules::texts;
use crate::timing::Wait;

const AMAZON: &str = "137112412989";
const CANONICAL: &str = "099720109477";
const DEBIAN: &str = "136693071363";
const RED_HAT: &str = "309956199498";

/// A line of images that somebody publishes: the same name but for the day of the build.
struct Line {
    owner: &'static str,
    /// `{day}` stands for the build's day, `{arch}` for the architecture as the publisher writes it.
    name: &'static str,
    description: &'static str,
    /// What the publisher calls x86_64 and arm64; the second is empty where there is none.
    architectures: [&'static str; 2],
    root_device_name: &'static str,
}

macro_rules! lines {
    ($($owner:ident $name:literal $description:literal [$x86:literal $arm:literal] $root:literal;)*) => {
        const LINES: &[Line] = &[$(Line {
            owner: $owner,
            name: $name,
            description: $description,
            architectures: [$x86, $arm],
            root_device_name: $root,
        },)*];
    };
}

lines! {
    AMAZON "al2023-ami-2023.9.{day}.0-kernel-6.1-{arch}" "Amazon Linux 2023 AMI kernel-6.1" ["x86_64" "arm64"] "/dev/xvda";
    AMAZON "al2023-ami-2023.9.{day}.0-kernel-6.12-{arch}" "Amazon Linux 2023 AMI kernel-6.12" ["x86_64" "arm64"] "/dev/xvda";
    AMAZON "al2023-ami-minimal-2023.9.{day}.0-kernel-6.1-{arch}" "Amazon Linux 2023 AMI minimal" ["x86_64" "arm64"] "/dev/xvda";
    AMAZON "amzn2-ami-hvm-2.0.{day}.0-{arch}-gp2" "Amazon Linux 2 AMI" ["x86_64" "arm64"] "/dev/xvda";
    AMAZON "amzn2-ami-kernel-5.10-hvm-2.0.{day}.0-{arch}-gp2" "Amazon Linux 2 Kernel 5.10 AMI" ["x86_64" "arm64"] "/dev/xvda";
    CANONICAL "ubuntu/images/hvm-ssd/ubuntu-focal-20.04-{arch}-server-{day}" "Canonical, Ubuntu, 20.04 LTS" ["amd64" "arm64"] "/dev/sda1";
    CANONICAL "ubuntu/images/hvm-ssd/ubuntu-jammy-22.04-{arch}-server-{day}" "Canonical, Ubuntu, 22.04 LTS" ["amd64" "arm64"] "/dev/sda1";
    CANONICAL "ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-{arch}-server-{day}" "Canonical, Ubuntu, 24.04 LTS" ["amd64" "arm64"] "/dev/sda1";
    DEBIAN "debian-12-{arch}-{day}-1" "Debian 12 (bookworm)" ["amd64" "arm64"] "/dev/xvda";
    DEBIAN "debian-13-{arch}-{day}-1" "Debian 13 (trixie)" ["amd64" "arm64"] "/dev/xvda";
    RED_HAT "RHEL-9.6.0_HVM-{day}-{arch}-0-Hourly2-GP3" "Provided by Red Hat, Inc." ["x86_64" "arm64"] "/dev/sda1";
}

/// Two builds of each line, so that the most recent one of several is asked for in earnest.
const BUILDS: [(&str, &str); 2] = [("20251103", "2025-11-03T08:00:00.000Z"), ("20260105", "2026-01-05T08:00:00.000Z")];
const ARCHITECTURES: [&str; 2] = ["x86_64", "arm64"];

/// Every image of the catalogue.
fn published() -> impl Iterator<Item = ImageItem> {
    LINES.iter().flat_map(|line| {
        let both = ARCHITECTURES.into_iter().zip(line.architectures).filter(|(_, word)| !word.is_empty());
        both.flat_map(|(architecture, word)| BUILDS.map(|(day, date)| line.image(architecture, word, day, date)))
    })
}

impl Line {
    fn image(&self, architecture: &str, word: &str, day: &str, date: &str) -> ImageItem {
        ImageItem {
            architecture: architecture.into(),
            creation_date: date.into(),
            description: Some(self.description.into()),
            root_device_name: self.root_device_name.into(),
            ..public_image(self.owner, &self.name.replace("{day}", day).replace("{arch}", word))
        }
    }
}

/// The id that an image of that name has.
fn id_of(name: &str) -> ImageId {
    // FNV-1a, 128 bits: stable over releases.
    let digest = name.bytes().fold(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d_u128, |digest, byte| {
        (digest ^ u128::from(byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b)
    });
    ImageId::from_random(digest)
}

/// An image of that name with what most have.
fn public_image(owner: &str, name: &str) -> ImageItem {
    let image_id = id_of(name);
    ImageItem {
        architecture: ARCHITECTURES[0].into(),
        block_device_mapping: Vec::new(),
        boot_mode: None,
        creation_date: BUILDS[1].1.into(),
        description: Some("A sandbox over the host's own programs".into()),
        ena_support: true,
        hypervisor: "xen",
        image_id,
        image_location: format!("{owner}/{name}"),
        image_owner_alias: Some("amazon"),
        image_owner_id: owner.into(),
        image_state: "available",
        image_type: "machine",
        imds_support: None,
        is_public: true,
        name: name.into(),
        platform_details: "Linux/UNIX",
        root_device_name: ROOT_DEVICE.into(),
        root_device_type: "ebs",
        sriov_net_support: "simple",
        tag_set: Tags::new(),
        tpm_support: None,
        usage_operation: "RunInstances",
        virtualization_type: "hvm".into(),
    }
}

/// What an image's root volume is made from.
pub(super) fn snapshot(image: ImageId) -> String {
    image.to_string().replacen("ami-", "snap-", 1)
}

/// What an image's root device is called.
pub(super) fn root_device(cloud: &Cloud<'_>, id: ImageId) -> String {
    by_id(cloud, id).root_device_name
}

/// With its root device, which clients read sizes from.
fn with_root(mut image: ImageItem) -> ImageItem {
    image.block_device_mapping = vec![ImageDeviceItem {
        device_name: image.root_device_name.clone(),
        ebs: ImageVolumeItem {
            delete_on_termination: true,
            encrypted: false,
            snapshot_id: snapshot(image.image_id),
            volume_size: catalogue::SIZE_DEFAULT,
            volume_type: catalogue::KIND_DEFAULT,
        },
    }];
    image
}

fn registered(cloud: &Cloud<'_>, image: &RegisteredImage) -> ImageItem {
    ImageItem {
        architecture: image.architecture.clone(),
        boot_mode: image.boot_mode.clone(),
        creation_date: image.created.to_string(),
        description: Some(image.description.clone()).filter(|text| !text.is_empty()),
        ena_support: image.ena_support,
        image_id: image.id,
        image_location: image.location.clone().unwrap_or_else(|| format!("{}/{}", image.owner, image.name)),
        image_owner_alias: None,
        image_state: cloud.word(image.id, "available"),
        imds_support: image.imds_support.clone(),
        is_public: false,
        root_device_name: image.root_device_name.clone(),
        tag_set: image.tags.clone(),
        tpm_support: image.tpm_support.clone(),
        virtualization_type: image.virtualization_type.clone(),
        ..public_image(&image.owner.to_string(), &image.name)
    }
}

/// The image of that id, whatever id it is: the caller's, one of the catalogue, or one that nobody named.
fn by_id(cloud: &Cloud<'_>, id: ImageId) -> ImageItem {
    if let Ok(own) = cloud.owned::<RegisteredImage>(id) {
        return registered(cloud, &own);
    }
    let known = published().find(|image| image.image_id == id);
    known.unwrap_or_else(|| ImageItem { image_id: id, ..public_image(AMAZON, "peerway-sandbox") })
}

const FILTERS: &[&str] = &[
    "architecture",
    "block-device-mapping.delete-on-termination",
    "block-device-mapping.device-name",
    "block-device-mapping.encrypted",
    "block-device-mapping.snapshot-id",
    "block-device-mapping.volume-size",
    "block-device-mapping.volume-type",
    "boot-mode",
    "creation-date",
    "description",
    "ena-support",
    "free-tier-eligible",
    "hypervisor",
    "image-allowed",
    "image-id",
    "image-type",
    "imds-support",
    "is-public",
    "kernel-id",
    "manifest-location",
    "name",
    "owner-alias",
    "owner-id",
    "platform",
    "product-code",
    "product-code.type",
    "ramdisk-id",
    "root-device-name",
    "root-device-type",
    "source-image-id",
    "source-image-region",
    "source-instance-id",
    "sriov-net-support",
    "state",
    "state-reason-code",
    "state-reason-message",
    "virtualization-type",
    // What no image here has.
    "image-watermark.source-image-creation-time",
    "image-watermark.source-image-id",
    "image-watermark.source-image-region",
    "image-watermark.watermark-creation-time",
    "image-watermark.watermark-key",
    "instance-type-specification.supported-instance-type",
    "instance-type-specification.unsupported-instance-type",
    "public-ssm-parameter-name",
    "scan-result.critical-fix-available-since",
    "scan-result.finding-scan-date",
    "scan-result.high-fix-available-since",
    "scan-result.highest-finding-severity-label",
    "scan-result.informational-fix-available-since",
    "scan-result.low-fix-available-since",
    "scan-result.medium-fix-available-since",
];

fn values(image: &ImageItem, filter: &str) -> Vec<String> {
    if let Some(of_device) = filter.strip_prefix("block-device-mapping.") {
        return image.block_device_mapping.iter().filter_map(|device| device_value(device, of_device)).collect();
    }
    match filter {
        "architecture" => texts([&image.architecture]),
        "boot-mode" => texts(&image.boot_mode),
        "creation-date" => texts([&image.creation_date]),
        "description" => texts(&image.description),
        "ena-support" => texts([image.ena_support]),
        "free-tier-eligible" | "image-allowed" => texts([true]),
        "hypervisor" => texts([image.hypervisor]),
        "image-id" => texts([image.image_id]),
        "image-type" => texts([image.image_type]),
        "imds-support" => texts(&image.imds_support),
        "is-public" => texts([image.is_public]),
        "manifest-location" => texts([&image.image_location]),
        "name" => texts([&image.name]),
        "owner-alias" => texts(image.image_owner_alias),
        "owner-id" => texts([&image.image_owner_id]),
        "root-device-name" => texts([&image.root_device_name]),
        "root-device-type" => texts([image.root_device_type]),
        "sriov-net-support" => texts([image.sriov_net_support]),
        "state" => texts([image.image_state]),
        "virtualization-type" => texts([&image.virtualization_type]),
        _ => Vec::new(),
    }
}

fn device_value(device: &ImageDeviceItem, filter: &str) -> Option<String> {
    match filter {
        "delete-on-termination" => Some(device.ebs.delete_on_termination.to_string()),
        "device-name" => Some(device.device_name.clone()),
        "encrypted" => Some(device.ebs.encrypted.to_string()),
        "snapshot-id" => Some(device.ebs.snapshot_id.clone()),
        "volume-size" => Some(device.ebs.volume_size.to_string()),
        "volume-type" => Some(device.ebs.volume_type.into()),
        _ => None,
    }
}

impl Handle for DescribeImages {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<DescribeImagesResponse, Error> {
        ec2::filter::check(&self.filters, FILTERS)?;
        let account = cloud.caller.account.to_string();
        let is_owned = |image: &ImageItem| {
            let is_owner = |owner: &String| match owner.as_str() {
                "self" => image.image_owner_id == account,
                alias @ ("amazon" | "aws-marketplace" | "aws-backup-vault") => image.image_owner_alias == Some(alias),
                id => image.image_owner_id == id,
            };
            self.owners.is_empty() || self.owners.iter().any(is_owner)
        };
        // What is public may be launched by all; nothing is shared with single accounts.
        let is_launchable = |image: &ImageItem| {
            let by = |user: &String| match user.as_str() {
                "all" => image.is_public,
                "self" => !image.is_public,
                _ => false,
            };
            self.executable_users.is_empty() || self.executable_users.iter().any(by)
        };
        let is_wanted = |image: &ImageItem| {
            is_owned(image) && is_launchable(image) && passes(&self.filters, &image.tag_set, |name| values(image, name))
        };
        let mut found: Vec<ImageItem> = if self.image_ids.is_empty() {
            let own = cloud.own::<RegisteredImage>().map(|image| registered(cloud, image));
            own.chain(published()).map(with_root).filter(is_wanted).collect()
        } else {
            self.image_ids.iter().map(|id| with_root(by_id(cloud, *id))).filter(is_wanted).collect()
        };
        if found.is_empty() && self.image_ids.is_empty() {
            found.extend(made_up(&self.owners, &self.filters, &account).map(with_root).filter(is_wanted));
        }
        found.sort_by_key(|image| image.image_id);
        found.dedup_by_key(|image| image.image_id);
        let page = Page { max_results: self.max_results, next_token: self.next_token.as_deref() };
        page.check::<ImageId>()?;
        let (images_set, next_token) = page.cut(5..=1000, found, |image| image.image_id.to_string())?;
        Ok(DescribeImagesResponse { images_set, next_token })
    }
}

/// An image that has what the filters ask for. `None` where the caller looks for images of its own.
fn made_up(owners: &[String], filters: &[Filter], account: &str) -> Option<ImageItem> {
    let first = |name: &str| {
        let filter = filters.iter().find(|filter| filter.name == name)?;
        filter.values.first().map(|pattern| fitting(pattern))
    };
    let named = first("name")?;
    let owner_id = |text: &String| (text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.clone());
    let owner = first("owner-id").or_else(|| owners.iter().find_map(owner_id)).unwrap_or_else(|| AMAZON.into());
    if owner == account || owners.iter().any(|owner| owner == "self") {
        return None;
    }
    let mut image = public_image(&owner, &named);
    image.architecture = first("architecture").unwrap_or(image.architecture);
    image.virtualization_type = first("virtualization-type").unwrap_or(image.virtualization_type);
    image.root_device_name = first("root-device-name").unwrap_or(image.root_device_name);
    image.boot_mode = first("boot-mode");
    image.description = first("description").or(image.description);
    image.imds_support = first("imds-support");
    if owners.iter().any(|owner| owner == "aws-marketplace")
        || first("owner-alias").as_deref() == Some("aws-marketplace")
    {
        image.image_owner_alias = Some("aws-marketplace");
    }
    Some(image)
}

/// A text that a filter's pattern matches: the day of the last build for a run, a digit for any one character.
fn fitting(pattern: &str) -> String {
    let mut text = String::new();
    let mut letters = pattern.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '*' => text.push_str(BUILDS[1].0),
            '?' => text.push('0'),
            '\\' => text.push(letters.next().unwrap_or('\\')),
            other => text.push(other),
        }
    }
    text
}

/// The image that a public parameter of Systems Manager names: the latest build of its line, or one of the parameter's own name.
/// `None`: no such parameter is public.
pub(crate) fn by_parameter(path: &str) -> Option<ImageId> {
    let rest = path.strip_prefix("/aws/service/")?;
    let (publisher, name) = rest.split_once('/')?;
    let owner = match publisher {
        "ami-amazon-linux-latest" => AMAZON,
        "canonical" => CANONICAL,
        "debian" => DEBIAN,
        _ => return None,
    };
    if name.is_empty() || name.ends_with('/') || name.contains("//") {
        return None;
    }
    let has = |word: &str| name.contains(word);
    let architecture = if has("arm64") { "arm64" } else { "x86_64" };
    // What tells the lines of one publisher apart, in the parameter's name and in the image's.
    let marks: &[(&str, &str)] = match publisher {
        "ami-amazon-linux-latest" => &[
            ("al2023-ami-minimal", "al2023-ami-minimal"),
            ("al2023-ami-kernel-6.12", "kernel-6.12"),
            ("al2023-ami-kernel", "al2023-ami-2023"),
            ("amzn2-ami-kernel-5.10", "amzn2-ami-kernel-5.10"),
            ("amzn2-ami-hvm", "amzn2-ami-hvm"),
        ],
        "canonical" => &[
            ("20.04", "20.04"),
            ("focal", "focal"),
            ("22.04", "22.04"),
            ("jammy", "jammy"),
            ("24.04", "24.04"),
            ("noble", "noble"),
        ],
        _ => &[("/12/", "debian-12"), ("release/12", "debian-12"), ("release/13", "debian-13")],
    };
    let mark = marks.iter().find(|(word, _)| has(word)).map(|(_, mark)| *mark);
    let of_line = mark.and_then(|mark| {
        let fits = |image: &ImageItem| {
            image.image_owner_id == owner && image.name.contains(mark) && image.architecture == architecture
        };
        published().filter(fits).max_by(|a, b| (&a.creation_date, &b.name).cmp(&(&b.creation_date, &a.name)))
    });
    Some(of_line.map_or_else(|| id_of(path), |image| image.image_id))
}

impl Handle for DescribeImageAttribute {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<DescribeImageAttributeResponse, Error> {
        let image = with_root(by_id(cloud, self.image_id));
        let mut reply = DescribeImageAttributeResponse {
            image_id: image.image_id,
            block_device_mapping: None,
            boot_mode: None,
            description: None,
            imds_support: None,
            launch_permission: None,
            sriov_net_support: None,
            tpm_support: None,
        };
        match self.attribute.as_str() {
            "blockDeviceMapping" => reply.block_device_mapping = Some(image.block_device_mapping),
            "bootMode" => reply.boot_mode = image.boot_mode.map(Attribute),
            "description" => reply.description = image.description.map(Attribute),
            "imdsSupport" => reply.imds_support = image.imds_support.map(Attribute),
            "launchPermission" => {
                let all = image.is_public.then_some(LaunchPermissionItem { group: "all" });
                reply.launch_permission = Some(all.into_iter().collect());
            }
            "sriovNetSupport" => reply.sriov_net_support = Some(Attribute(image.sriov_net_support.into())),
            "tpmSupport" => reply.tpm_support = image.tpm_support.map(Attribute),
            // Known to AWS, never set here.
            "kernel" | "ramdisk" | "productCodes" | "uefiData" | "lastLaunchedTime" | "deregistrationProtection" => {}
            other => return Err(Error::invalid_parameter("attribute", other, "Unknown attribute.")),
        }
        Ok(reply)
    }
}

fn one_of(name: &str, text: Option<String>, known: &[&str]) -> Result<Option<String>, Error> {
    match text {
        Some(other) if !known.contains(&other.as_str()) => {
            Err(Error::invalid_parameter(name, other, &format!("Use one of {}.", known.join(", "))))
        }
        fine => Ok(fine),
    }
}

impl Handle for RegisterImage {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<RegisterImageResponse, Error> {
        let tags = TagSpecification::tags(&self.tag_specifications, &["image", "snapshot"], "image")?;
        check_name(&self.name)?;
        let owner = cloud.caller.account;
        if let Some(other) = cloud.own::<RegisteredImage>().find(|image| image.name == self.name) {
            let message = format!("AMI name {} is already in use by AMI {}", self.name, other.id);
            return Err(Error::new("InvalidAMIName.Duplicate", message));
        }
        if cloud.own_count::<RegisteredImage>() >= cloud.config.quotas.images {
            return Err(Error::new("ImageLimitExceeded", "The maximum number of images has been reached."));
        }
        let architectures = ["i386", "x86_64", "arm64", "x86_64_mac", "arm64_mac"];
        let architecture = one_of("architecture", self.architecture, &architectures)?;
        let virtualization = one_of("virtualizationType", self.virtualization_type, &["hvm", "paravirtual"])?;
        one_of("sriovNetSupport", self.sriov_net_support, &["simple"])?;
        let image = RegisteredImage {
            id: cloud.draw.id(),
            owner,
            name: self.name,
            description: self.description.unwrap_or_default(),
            architecture: architecture.unwrap_or_else(|| "x86_64".into()),
            location: self.image_location,
            root_device_name: self.root_device_name.unwrap_or_else(|| ROOT_DEVICE.into()),
            virtualization_type: virtualization.unwrap_or_else(|| "hvm".into()),
            ena_support: self.ena_support.unwrap_or(true),
            boot_mode: one_of("bootMode", self.boot_mode, &["legacy-bios", "uefi", "uefi-preferred"])?,
            imds_support: one_of("imdsSupport", self.imds_support, &["v2.0"])?,
            tpm_support: one_of("tpmSupport", self.tpm_support, &["v2.0"])?,
            created: cloud.now,
            tags,
        };
        let image_id = image.id;
        cloud.put(image);
        cloud.takes_time(image_id, Phase::Pending, Wait::Image);
        Ok(RegisterImageResponse { image_id })
    }
}

/// 3 to 128 of letters, digits and a few signs.
fn check_name(name: &str) -> Result<(), Error> {
    let is_right = |letter: char| letter.is_ascii_alphanumeric() || "()[] ./-'@_".contains(letter);
    if (3..=128).contains(&name.chars().count()) && name.chars().all(is_right) {
        return Ok(());
    }
    let message = format!(
        "AMI name '{name}' is invalid; AMI names must be between 3 and 128 characters long, and may contain letters, numbers, '(', ')', '[', ']', ' ', '.', '/', '-', ''', '@' and '_'"
    );
    Err(Error::new("InvalidAMIName.Malformed", message))
}

impl Handle for DeregisterImage {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<DeregisterImageResponse, Error> {
        let image = match cloud.owned::<RegisteredImage>(self.image_id) {
            Ok(image) => image,
            // It is there for all to see, and nobody's to take away.
            Err(_) if published().any(|image| image.image_id == self.image_id) => {
                let message = format!("You do not have permission to deregister {}", self.image_id);
                return Err(Error::new("AuthFailure", message).with_status(401));
            }
            // Of images AWS names a list.
            Err(error) => {
                let message = format!("The image id '[{}]' does not exist", self.image_id);
                return Err(Error { message, ..error });
            }
        };
        cloud.delete::<RegisteredImage>(image.id);
        Ok(DeregisterImageResponse { result: Done::TRUE.result })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_image_of_the_catalogue_has_an_id_and_a_name_of_its_own() {
        let images: Vec<ImageItem> = published().collect();
        let ids: std::collections::BTreeSet<_> = images.iter().map(|image| image.image_id).collect();
        assert_eq!(ids.len(), images.len());
        assert_eq!(images.len(), LINES.len() * 4);
        assert!(images.iter().all(|image| !image.name.contains('{')), "a name has a hole left");
    }

    #[test]
    fn a_fitting_text_fits() {
        for pattern in ["al2023-ami-2023*-x86_64", "web-??-*", "*", "a\\*b", "\\"] {
            assert!(ec2::filter::matches(pattern, &fitting(pattern)), "{pattern} {}", fitting(pattern));
        }
    }

    #[test]
    fn public_parameters_name_the_latest_build() {
        let name = |path: &str| {
            let id = by_parameter(path)?;
            Some(published().find(|image| image.image_id == id).map_or_else(String::new, |image| image.name))
        };
        for (path, expected) in [
            (
                "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64",
                "al2023-ami-2023.9.20260105.0-kernel-6.1-x86_64",
            ),
            (
                "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-6.12-arm64",
                "al2023-ami-2023.9.20260105.0-kernel-6.12-arm64",
            ),
            (
                "/aws/service/ami-amazon-linux-latest/amzn2-ami-hvm-x86_64-gp2",
                "amzn2-ami-hvm-2.0.20260105.0-x86_64-gp2",
            ),
            (
                "/aws/service/canonical/ubuntu/server/22.04/stable/current/amd64/hvm/ebs-gp2/ami-id",
                "ubuntu/images/hvm-ssd/ubuntu-jammy-22.04-amd64-server-20260105",
            ),
            ("/aws/service/ami-amazon-linux-latest/of-tomorrow", ""),
        ] {
            assert_eq!(name(path).as_deref(), Some(expected), "{path}");
        }
        for path in ["/aws/service/ecs/optimized-ami", "/mine", "/aws/service/canonical/", "/aws/service/"] {
            assert_eq!(by_parameter(path), None, "{path}");
        }
    }
}
