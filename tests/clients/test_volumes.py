"""Volumes of instances, as clients set them and read them back; what is recorded beside them (spec 8.6)."""

import pytest

from test_examples import gone
from test_terraform import STEP_S_MAX, terraform  # noqa: F401  (a fixture)
from world import HOME, filtered, refused

AMI = "ami-0123456789abcdef0"


@pytest.fixture
def subnet(a):
    return a.subnet(a.vpc("10.0.0.0/16"), "10.0.1.0/24")


def run(a, subnet, **more):
    made = a.ec2.run_instances(ImageId=AMI, MinCount=1, MaxCount=1, SubnetId=subnet, **more)
    return made["Instances"][0]["InstanceId"]


def instance(a, of):
    return a.ec2.describe_instances(InstanceIds=[of])["Reservations"][0]["Instances"][0]


def test_the_root_volume_of_which_nobody_said_anything(a, subnet):
    of = run(a, subnet)
    shown = instance(a, of)
    (device,) = shown["BlockDeviceMappings"]
    assert device["DeviceName"] == shown["RootDeviceName"]
    (image,) = a.ec2.describe_images(ImageIds=[AMI])["Images"]
    assert image["RootDeviceName"] == shown["RootDeviceName"]
    volume_id = device["Ebs"]["VolumeId"]
    (volume,) = a.ec2.describe_volumes(VolumeIds=[volume_id])["Volumes"]
    of_image = image["BlockDeviceMappings"][0]["Ebs"]
    for name in ("VolumeType", "SnapshotId", "Encrypted"):
        assert volume[name] == of_image[name]
    assert (volume["Size"], volume["Iops"], volume["Throughput"], volume["State"]) == (8, 3000, 125, "in-use")
    (attachment,) = volume["Attachments"]
    assert (attachment["InstanceId"], attachment["State"]) == (of, "attached")
    asked = a.ec2.describe_instance_attribute(InstanceId=of, Attribute="blockDeviceMapping")
    assert asked["BlockDeviceMappings"] == shown["BlockDeviceMappings"]
    a.ec2.get_waiter("volume_in_use").wait(VolumeIds=[volume_id], WaiterConfig={"Delay": 1, "MaxAttempts": 2})
    a.ec2.terminate_instances(InstanceIds=[of])
    with refused("InvalidVolume.NotFound"):
        a.ec2.describe_volumes(VolumeIds=[volume_id])


def test_volumes_as_asked_for_with_tags_and_filters(a, subnet):
    of = run(
        a,
        subnet,
        BlockDeviceMappings=[
            {"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 20, "DeleteOnTermination": False, "Encrypted": True}},
            {"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 100, "VolumeType": "io2", "Iops": 500}},
            {"DeviceName": "/dev/sdg", "NoDevice": ""},
        ],
        TagSpecifications=[{"ResourceType": "volume", "Tags": [{"Key": "Team", "Value": "net"}]}],
    )
    volumes = a.ec2.describe_volumes(Filters=filtered(**{"attachment.instance-id": of}))["Volumes"]
    shown = {v["Attachments"][0]["Device"]: (v["Size"], v["VolumeType"], v["Iops"], v["Encrypted"]) for v in volumes}
    assert shown == {"/dev/xvda": (20, "gp3", 3000, True), "/dev/sdf": (100, "io2", 500, False)}
    assert all(v["Tags"] == [{"Key": "Team", "Value": "net"}] for v in volumes)
    data = next(v["VolumeId"] for v in volumes if v["Size"] == 100)
    a.ec2.create_tags(Resources=[data], Tags=[{"Key": "Name", "Value": "data"}])
    for name, value in [("tag:Name", "data"), ("size", "100"), ("volume-type", "io2"), ("attachment.device", "/dev/sdf")]:
        found = a.ec2.describe_volumes(Filters=[{"Name": name, "Values": [value]}])["Volumes"]
        assert [v["VolumeId"] for v in found] == [data], name
    tags = a.ec2.describe_tags(Filters=filtered(resource_id=data))["Tags"]
    assert {(t["ResourceType"], t["Key"]) for t in tags} == {("volume", "Name"), ("volume", "Team")}
    by_device = a.ec2.describe_instances(Filters=filtered(**{"block-device-mapping.volume-id": data}))
    assert by_device["Reservations"][0]["Instances"][0]["InstanceId"] == of
    change = [{"DeviceName": "/dev/xvda", "Ebs": {"DeleteOnTermination": True}}]
    a.ec2.modify_instance_attribute(InstanceId=of, BlockDeviceMappings=change)
    assert all(device["Ebs"]["DeleteOnTermination"] for device in instance(a, of)["BlockDeviceMappings"])


@pytest.mark.parametrize(
    "ebs, code",
    [
        ({"VolumeSize": 4}, "InvalidBlockDeviceMapping"),
        ({"VolumeSize": 0}, "InvalidParameterValue"),
        ({"VolumeType": "fast"}, "InvalidParameterValue"),
        ({"VolumeType": "gp2", "Iops": 500}, "InvalidParameterCombination"),
        ({"VolumeType": "gp2", "Throughput": 500}, "InvalidParameterCombination"),
        ({"VolumeType": "io1"}, "MissingParameter"),
        ({"VolumeType": "gp3", "Iops": 1}, "InvalidParameterValue"),
        ({"KmsKeyId": "alias/a"}, "InvalidParameterCombination"),
    ],
)
def test_volumes_that_cannot_be(a, subnet, ebs, code):
    with refused(code):
        run(a, subnet, BlockDeviceMappings=[{"DeviceName": "/dev/xvda", "Ebs": ebs}])
    assert a.ec2.describe_instances()["Reservations"] == []


def test_what_else_is_recorded_of_an_instance(a, subnet):
    of = run(
        a,
        subnet,
        IamInstanceProfile={"Name": "web"},
        CpuOptions={"CoreCount": 2, "ThreadsPerCore": 1},
        CapacityReservationSpecification={"CapacityReservationPreference": "none"},
    )
    shown = instance(a, of)
    assert shown["IamInstanceProfile"]["Arn"] == f"arn:aws:iam::{a.account}:instance-profile/web"
    assert shown["CpuOptions"] == {"CoreCount": 2, "ThreadsPerCore": 1}
    assert shown["CapacityReservationSpecification"] == {"CapacityReservationPreference": "none"}
    assert shown["EnclaveOptions"] == {"Enabled": False} and shown["HibernationOptions"] == {"Configured": False}
    arn = shown["IamInstanceProfile"]["Arn"]
    assert a.ec2.describe_instances(Filters=filtered(**{"iam-instance-profile.arn": arn}))["Reservations"]
    checks = a.ec2.describe_instance_status(Filters=filtered(**{"instance-status.status": "ok"}))["InstanceStatuses"]
    assert [one["InstanceId"] for one in checks] == [of]
    with refused("InvalidParameterCombination"):
        run(a, subnet, IamInstanceProfile={"Name": "web", "Arn": arn})


def test_defaults_of_metadata(a, subnet):
    assert a.ec2.get_instance_metadata_defaults()["AccountLevel"] == {"ManagedBy": "account"}
    a.ec2.modify_instance_metadata_defaults(HttpTokens="required", HttpPutResponseHopLimit=2)
    chosen = a.ec2.get_instance_metadata_defaults()["AccountLevel"]
    assert chosen == {"ManagedBy": "account", "HttpTokens": "required", "HttpPutResponseHopLimit": 2}
    options = instance(a, run(a, subnet))["MetadataOptions"]
    assert (options["HttpTokens"], options["HttpPutResponseHopLimit"]) == ("required", 2)
    own = instance(a, run(a, subnet, MetadataOptions={"HttpTokens": "optional"}))["MetadataOptions"]
    assert own["HttpTokens"] == "optional", "a launch chooses for itself"
    a.ec2.modify_instance_metadata_defaults(HttpTokensEnforced="enabled")
    with refused("UnsupportedOperation"):
        run(a, subnet, MetadataOptions={"HttpTokens": "optional"})
    a.ec2.modify_instance_metadata_defaults(
        HttpTokens="no-preference", HttpPutResponseHopLimit=-1, HttpTokensEnforced="no-preference"
    )
    assert a.ec2.get_instance_metadata_defaults()["AccountLevel"] == {"ManagedBy": "account"}


def test_a_template_for_athena(a, subnet):
    (log,) = a.ec2.create_flow_logs(
        ResourceIds=[subnet],
        ResourceType="Subnet",
        TrafficType="ALL",
        LogDestinationType="s3",
        LogDestination="arn:aws:s3:::logs/here",
    )["FlowLogIds"]
    asked = {
        "ConfigDeliveryS3DestinationArn": "arn:aws:s3:::templates",
        "IntegrateServices": {
            "AthenaIntegrations": [
                {"IntegrationResultS3DestinationArn": "arn:aws:s3:::results", "PartitionLoadFrequency": "daily"}
            ]
        },
    }
    template = a.ec2.get_flow_logs_integration_template(FlowLogId=log, **asked)["Result"]
    assert '"AWS::Glue::Table"' in template and "s3://logs/here/AWSLogs/" in template and '"srcaddr"' in template
    (other,) = a.ec2.create_flow_logs(
        ResourceIds=[subnet],
        ResourceType="Subnet",
        TrafficType="ALL",
        LogGroupName="g",
        DeliverLogsPermissionArn=f"arn:aws:iam::{a.account}:role/logs",
    )["FlowLogIds"]
    with refused("InvalidParameter"):
        a.ec2.get_flow_logs_integration_template(FlowLogId=other, **asked)


@pytest.mark.big
@pytest.mark.timeout(4 * STEP_S_MAX)
def test_terraform_wants_no_change_of_volumes(terraform, cloud, new_account):  # noqa: F811
    a = cloud.party(new_account(), HOME)
    terraform.start("instance-volumes", account=a.account)

    def check(outputs):
        (volume,) = a.ec2.describe_volumes(VolumeIds=[outputs["root_volume"]["value"]])["Volumes"]
        assert (volume["Size"], volume["Throughput"]) == (20, 250)
        assert {"Key": "Name", "Value": "root"} in volume["Tags"]

    terraform.life(check)
    gone(a)
