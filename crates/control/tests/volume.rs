//! Volumes and what else is recorded of instances; an account's defaults of metadata; templates over flow logs.

mod common;
mod things;

use common::*;
use model::*;
use things::*;

struct Net {
    cloud: Harness,
    subnet: String,
}

impl Net {
    fn new() -> Net {
        let mut cloud = Harness::new();
        let vpc = vpc(&mut cloud, ALICE, "10.0.0.0/16");
        let subnet = subnet(&mut cloud, ALICE, &vpc, "10.0.1.0/24");
        Net { cloud, subnet }
    }

    fn query(&self, more: &str) -> String {
        let subnet = &self.subnet;
        format!("Action=RunInstances&ImageId=ami-0123456789abcdef0&MinCount=1&MaxCount=1&SubnetId={subnet}{more}")
    }

    fn run(&mut self, more: &str) -> String {
        let query = self.query(more);
        text(&self.cloud.ok(ALICE, &query), "instanceId")
    }

    fn refused(&mut self, more: &str) -> String {
        let query = self.query(more);
        self.cloud.code(ALICE, &query)
    }

    /// With these settings of one device.
    fn device(device: &str, settings: &[(&str, &str)]) -> String {
        let settings: String =
            settings.iter().map(|(name, value)| format!("&BlockDeviceMapping.1.Ebs.{name}={value}")).collect();
        format!("&BlockDeviceMapping.1.DeviceName={device}{settings}")
    }
}

const ROOT: &str = "%2Fdev%2Fxvda";
const DATA: &str = "%2Fdev%2Fsdf";

#[test]
fn an_instance_has_a_root_volume_and_ends_with_it() {
    let mut net = Net::new();
    let id = net.run("");
    let instance = net.cloud.world.find::<Instance>(&id.parse().unwrap()).unwrap().clone();
    let volume = &instance.volumes[0];
    assert_eq!((volume.device.as_str(), volume.size, volume.kind.as_str()), ("/dev/xvda", 8, "gp3"));
    let describe = format!("Action=DescribeVolumes&VolumeId.1={}", volume.id);
    assert_eq!(text(&net.cloud.ok(ALICE, &describe), "instanceId"), id);
    assert_eq!(net.cloud.code(BOB, &describe), "InvalidVolume.NotFound", "another account sees none of it");
    let tag = format!("Action=CreateTags&ResourceId.1={}&Tag.1.Key=a&Tag.1.Value=b", volume.id);
    assert_eq!(net.cloud.code(BOB, &tag), "InvalidVolume.NotFound");
    net.cloud.ok(ALICE, &tag);
    assert_eq!(texts(&net.cloud.ok(ALICE, "Action=DescribeTags"), "resourceType"), ["volume"]);
    net.cloud.ok(ALICE, &format!("Action=TerminateInstances&InstanceId.1={id}"));
    assert_eq!(net.cloud.code(ALICE, &describe), "InvalidVolume.NotFound");
    let gone = net.cloud.ok(ALICE, &format!("Action=DescribeInstances&InstanceId.1={id}"));
    assert_eq!(texts(&gone, "volumeId"), Vec::<String>::new());
}

#[test]
fn the_root_device_is_the_images() {
    let mut net = Net::new();
    let image = "Action=RegisterImage&Name=mine&RootDeviceName=%2Fdev%2Fsda1";
    let image = text(&net.cloud.ok(ALICE, image), "imageId");
    let query = net.query(&Net::device("%2Fdev%2Fsda1", &[("VolumeSize", "30")]));
    let made = net.cloud.ok(ALICE, &query.replace("ami-0123456789abcdef0", &image));
    assert_eq!(texts(&made, "deviceName"), ["/dev/sda1"], "what was asked of it is of the root volume");
    assert_eq!(text(&made, "rootDeviceName"), "/dev/sda1");
}

#[test]
fn devices_that_cannot_be_are_refused() {
    let mut net = Net::new();
    for (device, settings, code) in [
        (ROOT, &[("VolumeSize", "7")][..], "InvalidBlockDeviceMapping"),
        (ROOT, &[("VolumeSize", "-1")], "InvalidParameterValue"),
        (ROOT, &[("VolumeSize", "70000")], "InvalidParameterValue"),
        (ROOT, &[("VolumeType", "fast")], "InvalidParameterValue"),
        (ROOT, &[("VolumeType", "gp2"), ("Iops", "500")], "InvalidParameterCombination"),
        (ROOT, &[("VolumeType", "gp2"), ("Throughput", "500")], "InvalidParameterCombination"),
        (ROOT, &[("VolumeType", "io1")], "MissingParameter"),
        (ROOT, &[("Iops", "1")], "InvalidParameterValue"),
        (ROOT, &[("Throughput", "1")], "InvalidParameterValue"),
        (ROOT, &[("KmsKeyId", "a")], "InvalidParameterCombination"),
        (DATA, &[("VolumeType", "gp3")], "MissingParameter"),
        ("", &[("VolumeSize", "8")], "MissingParameter"),
    ] {
        assert_eq!(net.refused(&Net::device(device, settings)), code, "{device} {settings:?}");
    }
    let long = "k".repeat(3000);
    assert_eq!(net.refused(&Net::device(ROOT, &[("Encrypted", "true"), ("KmsKeyId", &long)])), "InvalidParameterValue");
    let twice = format!("{0}&BlockDeviceMapping.2.DeviceName={DATA}", Net::device(DATA, &[("VolumeSize", "8")]));
    assert_eq!(net.refused(&twice), "InvalidBlockDeviceMapping");
    let many: String = (1..=28)
        .map(|n| format!("&BlockDeviceMapping.{n}.DeviceName=d{n}&BlockDeviceMapping.{n}.Ebs.VolumeSize=8"))
        .collect();
    assert_eq!(net.refused(&many), "InvalidBlockDeviceMapping");
    assert_eq!(net.cloud.world.instances.size(), 0);
}

#[test]
fn whether_a_volume_ends_with_its_instance_can_be_changed() {
    let mut net = Net::new();
    let id = net.run("");
    let change = |device: &str| {
        format!(
            "Action=ModifyInstanceAttribute&InstanceId={id}&BlockDeviceMapping.1.DeviceName={device}&BlockDeviceMapping.1.Ebs.DeleteOnTermination=false"
        )
    };
    assert_eq!(net.cloud.code(ALICE, &change(DATA)), "InvalidInstanceAttributeValue");
    net.cloud.ok(ALICE, &change(ROOT));
    let query = format!("Action=DescribeInstanceAttribute&InstanceId={id}&Attribute=blockDeviceMapping");
    assert_eq!(text(&net.cloud.ok(ALICE, &query), "deleteOnTermination"), "false");
}

#[test]
fn profiles_processors_and_capacity_are_recorded() {
    let mut net = Net::new();
    let cpus = "&CpuOptions.CoreCount=2&CpuOptions.ThreadsPerCore=1";
    let preference = "&CapacityReservationSpecification.CapacityReservationPreference";
    let id = net.run(&format!("&IamInstanceProfile.Name=web{cpus}{preference}=none"));
    let seen = net.cloud.ok(ALICE, &format!("Action=DescribeInstances&InstanceId.1={id}"));
    assert_eq!(text(&seen, "arn"), format!("arn:aws:iam::{ALICE}:instance-profile/web"));
    assert_eq!((text(&seen, "coreCount"), text(&seen, "threadsPerCore")), ("2".into(), "1".into()));
    assert_eq!(text(&seen, "capacityReservationPreference"), "none");
    for (more, code) in [
        (
            "&IamInstanceProfile.Name=web&IamInstanceProfile.Arn=arn:aws:iam::1:instance-profile/web",
            "InvalidParameterCombination",
        ),
        ("&IamInstanceProfile.Arn=arn:aws:iam::1:role/web", "InvalidParameterValue"),
        ("&IamInstanceProfile.Name=a%2Fb", "InvalidParameterValue"),
        ("&IamInstanceProfile.Name=", "InvalidParameterValue"),
        ("&CpuOptions.CoreCount=2", "MissingParameter"),
        ("&CpuOptions.CoreCount=0&CpuOptions.ThreadsPerCore=1", "InvalidParameterValue"),
        ("&CpuOptions.CoreCount=1&CpuOptions.ThreadsPerCore=3", "InvalidParameterValue"),
        ("&CapacityReservationSpecification.CapacityReservationPreference=all", "InvalidParameterValue"),
    ] {
        assert_eq!(net.refused(more), code, "{more}");
    }
}

#[test]
fn an_accounts_defaults_of_metadata_hold_for_what_a_launch_leaves_open() {
    let mut net = Net::new();
    let modify = |more: &str| format!("Action=ModifyInstanceMetadataDefaults{more}");
    for (more, code) in [
        ("&HttpTokens=never", "InvalidParameterValue"),
        ("&HttpPutResponseHopLimit=0", "InvalidParameterValue"),
        ("&HttpPutResponseHopLimit=65", "InvalidParameterValue"),
        ("&HttpTokens=optional&HttpTokensEnforced=enabled", "InvalidParameterCombination"),
    ] {
        assert_eq!(net.cloud.code(ALICE, &modify(more)), code, "{more}");
    }
    net.cloud.ok(ALICE, &modify("&HttpTokens=required&HttpPutResponseHopLimit=3&InstanceMetadataTags=enabled"));
    net.cloud.ok(ALICE, &modify("&HttpEndpoint=disabled"));
    let id = net.run("");
    let options = |cloud: &Harness, id: &str| cloud.world.find::<Instance>(&id.parse().unwrap()).unwrap().metadata;
    let all =
        MetadataOptions { requires_token: true, hop_limit: 3, is_enabled: false, has_ipv6: false, shows_tags: true };
    assert_eq!(options(&net.cloud, &id), all, "each keeps what was chosen before");
    let own = net.run("&MetadataOptions.HttpTokens=optional");
    assert!(!options(&net.cloud, &own).requires_token);
    net.cloud.ok(ALICE, &modify("&HttpTokensEnforced=enabled"));
    assert_eq!(net.refused("&MetadataOptions.HttpTokens=optional"), "UnsupportedOperation");
    let loosen = format!("Action=ModifyInstanceMetadataOptions&InstanceId={id}&HttpTokens=optional");
    assert_eq!(net.cloud.code(ALICE, &loosen), "UnsupportedOperation");
    let seen = net.cloud.ok(ALICE, "Action=GetInstanceMetadataDefaults");
    assert_eq!((text(&seen, "httpTokensEnforced"), text(&seen, "httpEndpoint")), ("enabled".into(), "disabled".into()));
    let others = net.cloud.ok(BOB, "Action=GetInstanceMetadataDefaults");
    assert_eq!(texts(&others, "httpTokens"), Vec::<String>::new(), "they are an account's own");
    let none = "&HttpTokens=no-preference&HttpPutResponseHopLimit=-1&HttpEndpoint=no-preference&InstanceMetadataTags=no-preference&HttpTokensEnforced=no-preference";
    net.cloud.ok(ALICE, &modify(none));
    let again = net.run("");
    assert_eq!(options(&net.cloud, &again), MetadataOptions::default());
}

#[test]
fn a_template_is_of_a_flow_log_that_goes_to_s3() {
    let mut net = Net::new();
    let log = |net: &mut Net, destination: &str| {
        let subnet = &net.subnet;
        let query =
            format!("Action=CreateFlowLogs&ResourceId.1={subnet}&ResourceType=Subnet&TrafficType=ALL&{destination}");
        let made = net.cloud.ok(ALICE, &query);
        texts(&made, "item")[0].clone()
    };
    let s3 = log(&mut net, "LogDestinationType=s3&LogDestination=arn:aws:s3:::logs/here/");
    let other = log(&mut net, "LogGroupName=g&DeliverLogsPermissionArn=arn:aws:iam::111111111111:role/r");
    let athena = "&IntegrateService.AthenaIntegration.1.IntegrationResultS3DestinationArn=arn:aws:s3:::results&IntegrateService.AthenaIntegration.1.PartitionLoadFrequency";
    let place = "&ConfigDeliveryS3DestinationArn=arn:aws:s3:::templates";
    let query = |id: &str, more: &str| format!("Action=GetFlowLogsIntegrationTemplate&FlowLogId={id}{more}");
    let good = net.cloud.ok(ALICE, &query(&s3, &format!("{place}{athena}=daily")));
    let template: serde_json::Value = serde_json::from_str(&text(&good, "result")).unwrap();
    let table = &template["Resources"]["Table1"]["Properties"]["TableInput"];
    let location = format!("s3://logs/here/AWSLogs/{ALICE}/vpcflowlogs/us-east-1/");
    assert_eq!(table["StorageDescriptor"]["Location"], location.as_str());
    assert_eq!(table["StorageDescriptor"]["Columns"].as_array().unwrap().len(), 14);
    assert_eq!(table["Parameters"]["projection.day.range"], "2026/01/15,NOW");
    let dates = "&IntegrateService.AthenaIntegration.1.PartitionStartDate=2026-02-01T00:00:00Z&IntegrateService.AthenaIntegration.1.PartitionEndDate=2026-01-01T00:00:00Z";
    let many: String = (1..=11).map(|n| athena.replace(".1.", &format!(".{n}.")) + "=none").collect();
    for (id, more, code) in [
        (&other, format!("{place}{athena}=daily"), "InvalidParameter"),
        (&"fl-0123456789abcdef0".to_owned(), format!("{place}{athena}=daily"), "InvalidFlowLogId.NotFound"),
        (&s3, format!("{athena}=daily"), "MissingParameter"),
        (&s3, place.to_owned(), "MissingParameter"),
        (&s3, format!("&ConfigDeliveryS3DestinationArn=templates{athena}=daily"), "InvalidParameterValue"),
        (&s3, format!("{place}{athena}=hourly"), "InvalidParameterValue"),
        (&s3, format!("{place}{athena}=daily{dates}"), "InvalidParameterCombination"),
        (&s3, format!("{place}{many}"), "InvalidParameterValue"),
    ] {
        assert_eq!(net.cloud.code(ALICE, &query(id, &more)), code, "{more}");
    }
}
