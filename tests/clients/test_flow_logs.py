"""Flow logs through boto3: what is recorded, shown and refused (spec 12.1). Their lines are tested with packets elsewhere."""

import pytest

from world import UNKNOWN, filtered, refused

BUCKET = "arn:aws:s3:::logs"
ROLE = "arn:aws:iam::111111111111:role/logs"
DEFAULT = (
    "${version} ${account-id} ${interface-id} ${srcaddr} ${dstaddr} ${srcport} ${dstport} ${protocol} ${packets} "
    "${bytes} ${start} ${end} ${action} ${log-status}"
)


def create(party, kind, ids, **more):
    if "LogGroupName" not in more:
        more = {"LogDestinationType": "s3", "LogDestination": BUCKET, **more}
    return party.ec2.create_flow_logs(ResourceType=kind, ResourceIds=ids, **{"TrafficType": "ALL", **more})


def described(party, *ids, **filters):
    asked = {"FlowLogIds": list(ids)} if ids else {}
    return party.ec2.describe_flow_logs(**asked, Filter=filtered(**filters))["FlowLogs"]


def test_of_a_vpc_a_subnet_and_an_interface(a):
    vpc = a.vpc("10.0.0.0/16")
    subnet = a.subnet(vpc, "10.0.1.0/24")
    eni = a.ec2.create_network_interface(SubnetId=subnet)["NetworkInterface"]["NetworkInterfaceId"]
    for kind, resource in (("VPC", vpc), ("Subnet", subnet), ("NetworkInterface", eni)):
        answer = create(a, kind, [resource])
        assert answer["Unsuccessful"] == []
        (log,) = answer["FlowLogIds"]
        (shown,) = described(a, log)
        assert shown.pop("CreationTime")
        assert shown == {
            "FlowLogId": log,
            "FlowLogStatus": "ACTIVE",
            "ResourceId": resource,
            "TrafficType": "ALL",
            "LogDestinationType": "s3",
            "LogDestination": BUCKET,
            "DeliverLogsStatus": "SUCCESS",
            "LogFormat": DEFAULT,
            "MaxAggregationInterval": 600,
            "DestinationOptions": {
                "FileFormat": "plain-text",
                "HiveCompatiblePartitions": False,
                "PerHourPartition": False,
            },
            "Tags": [],
        }
        assert a.ec2.delete_flow_logs(FlowLogIds=[log])["Unsuccessful"] == []
        missing = f"These flow log ids in the input list are not found: [TotalCount: 1] {log}"
        with refused("InvalidFlowLogId.NotFound", missing):
            a.ec2.delete_flow_logs(FlowLogIds=[log])
    assert described(a) == []


def test_cloud_watch_logs_and_a_format_of_its_own(a):
    vpc = a.vpc("10.0.0.0/16")
    wanted = "${interface-id} ${action} ${peerway-reason} ${flow-direction}"
    tags = [{"ResourceType": "vpc-flow-log", "Tags": [{"Key": "Name", "Value": "refused"}]}]
    create(
        a,
        "VPC",
        [vpc],
        TrafficType="REJECT",
        LogGroupName="group",
        DeliverLogsPermissionArn=ROLE,
        LogFormat=wanted,
        MaxAggregationInterval=60,
        TagSpecifications=tags,
    )
    (shown,) = described(a, log_group_name="group", traffic_type="REJECT", resource_id=vpc)
    assert (shown["LogGroupName"], shown["DeliverLogsPermissionArn"]) == ("group", ROLE)
    assert (shown["LogFormat"], shown["MaxAggregationInterval"]) == (wanted, 60)
    assert shown["Tags"] == [{"Key": "Name", "Value": "refused"}]
    assert "LogDestination" not in shown and "DestinationOptions" not in shown
    with refused("InvalidParameterValue"):
        create(a, "VPC", [vpc], LogFormat="${version} ${no-such-field}")


def test_several_resources_and_one_that_is_not_there(a, b):
    mine, other, foreign = a.vpc("10.0.0.0/16"), a.vpc("10.1.0.0/16"), b.vpc("10.0.0.0/16")
    unknown = f"vpc-{UNKNOWN}"
    answer = create(a, "VPC", [mine, foreign, other, unknown], ClientToken="once")
    assert len(answer["FlowLogIds"]) == 2
    failed = {item["ResourceId"]: item["Error"] for item in answer["Unsuccessful"]}
    assert set(failed) == {foreign, unknown}
    assert failed[foreign] == {"Code": "InvalidVpcID.NotFound", "Message": f"The vpc ID '{foreign}' does not exist"}
    again = create(a, "VPC", [mine, foreign, other, unknown], ClientToken="once")
    assert sorted(again["FlowLogIds"]) == sorted(answer["FlowLogIds"]) and again["ClientToken"] == "once"
    with refused("FlowLogAlreadyExists"):
        create(a, "VPC", [mine])
    assert described(b) == []


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"MaxAggregationInterval": 120}, "Invalid Flow Log Max Aggregation Interval"),
        (
            {"LogGroupName": "g", "LogDestination": BUCKET},
            "Please only provide LogGroupName or only provide LogDestination.",
        ),
        ({"LogDestination": None}, "LogDestination can't be empty if LogGroupName is not provided."),
        (
            {"LogDestinationType": "s3", "LogGroupName": "g"},
            "LogDestination type must be cloud-watch-logs if LogGroupName is provided.",
        ),
        (
            {"LogGroupName": "g"},
            "DeliverLogsPermissionArn can't be empty if LogDestinationType is cloud-watch-logs.",
        ),
        ({"DeliverLogsPermissionArn": ROLE}, "DeliverLogsPermissionArn is not applicable for s3 delivery"),
    ],
)
def test_what_aws_refuses(a, more, message):
    request = {"LogDestinationType": "s3", "LogDestination": BUCKET} if "LogGroupName" not in more else {}
    request = {k: v for k, v in {**request, **more}.items() if v is not None}
    with refused("InvalidParameter", message):
        a.ec2.create_flow_logs(
            ResourceType="VPC", ResourceIds=[a.vpc("10.0.0.0/16")], TrafficType="ALL", **request
        )
