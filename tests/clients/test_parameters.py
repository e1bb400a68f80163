"""Parameters that EC2 knows and that are not there, and those that nobody knows (decision 0044)."""

import pytest

from raw import Key, Wire
from world import HOME, Cloud, refused


def test_what_is_not_implemented_is_refused_by_name(a):
    reply = a.wire.call(
        "RunInstances",
        {"ImageId": "ami-0123456789abcdef0", "MinCount": "1", "MaxCount": "1", "InstanceMarketOptions.MarketType": "spot"},
    )
    assert (reply.status, reply.code) == (400, "UnsupportedOperation")
    assert "InstanceMarketOptions.MarketType" in reply.message


def test_what_has_no_effect_anyhow_is_accepted(a):
    with refused("InvalidSubnetID.NotFound"):
        a.ec2.run_instances(
            ImageId="ami-0123456789abcdef0",
            MinCount=1,
            MaxCount=1,
            SubnetId="subnet-0123456789abcdef0",
            EbsOptimized=False,
            Monitoring={"Enabled": False},
            HibernationOptions={"Configured": False},
        )
    with refused("UnsupportedOperation"):
        a.ec2.run_instances(
            ImageId="ami-0123456789abcdef0", MinCount=1, MaxCount=1, HibernationOptions={"Configured": True}
        )


def test_what_nobody_knows_is_ignored(a):
    assert a.wire.call("DescribeVpcs", {"Colour": "blue"}, loose=True).status == 200


def test_what_nobody_knows_is_refused_when_asked_for(own_server_factory, checker, new_account):
    with own_server_factory(extra=["--strict"]) as server:
        party = Cloud(server.endpoint, checker).party(new_account(), HOME)
        for name, others in [("Colour", {}), ("VpcId", {}), ("Filter.1.Values", {"Filter.1.Name": "vpc-id"})]:
            reply = party.wire.call("DescribeVpcs", {name: "blue", **others})
            assert (reply.status, reply.code) == (400, "UnknownParameter"), reply
            assert f" {name} " in reply.message
        party.vpc()
        assert len(party.ec2.describe_vpcs(Filters=[{"Name": "cidr", "Values": ["10.0.0.0/16"]}])["Vpcs"]) == 1


@pytest.mark.parametrize("signed", ["post", "presigned"])
def test_the_envelope_and_signatures_are_no_unknown_parameters(own_server_factory, checker, new_account, signed):
    with own_server_factory(extra=["--strict"]) as server:
        cloud, account = Cloud(server.endpoint, checker), new_account()
        given = cloud.client(account, service="sts").assume_role(
            RoleArn=f"arn:aws:iam::{account}:role/tester", RoleSessionName="test"
        )["Credentials"]
        key = Key(given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"])
        wire = Wire(server.endpoint, None, checker=checker, key=key)
        reply = getattr(wire, signed)([("Action", "DescribeVpcs"), ("Version", "2016-11-15")])
        assert reply.status == 200, reply
