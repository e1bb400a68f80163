"""Who am I, and who may I become? STS as SDKs use it (spec 1.6)."""

import datetime
import re

import boto3
import pytest

from raw import Key, Wire, well_formed
from world import AWAY, HOME, refused


@pytest.fixture
def sts(cloud, new_account):
    account = new_account()
    return account, cloud.client(account, service="sts")


def role(account, name="auditor"):
    return f"arn:aws:iam::{account}:role/{name}"


def test_who_am_i(cloud, sts):
    account, client = sts
    for mine in (client, cloud.client(account, AWAY, "sts")):
        me = mine.get_caller_identity()
        assert me["Account"] == account
        assert me["Arn"] == f"arn:aws:iam::{account}:root"
        assert me["UserId"]


def test_to_become_another_account(cloud, sts, new_account, checker):
    account, client = sts
    other = new_account()
    answer = client.assume_role(RoleArn=role(other), RoleSessionName="work", DurationSeconds=900)
    given = answer["Credentials"]
    assert re.fullmatch(r"ASIA[A-Z0-9]{16}", given["AccessKeyId"])
    assert len(given["SecretAccessKey"]) == 40 and given["SessionToken"]
    left = given["Expiration"] - datetime.datetime.now(datetime.UTC)
    assert 800 < left.total_seconds() <= 901
    assert answer["AssumedRoleUser"]["Arn"] == f"arn:aws:sts::{other}:assumed-role/auditor/work"
    session = boto3.Session(given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"], region_name=HOME)
    checker.install(session)
    me = session.client("sts", endpoint_url=cloud.endpoint).get_caller_identity()
    assert (me["Account"], me["Arn"]) == (other, f"arn:aws:sts::{other}:assumed-role/auditor/work")
    made = session.client("ec2", endpoint_url=cloud.endpoint).create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]
    assert made["OwnerId"] == other
    assert cloud.client(other).describe_vpcs(VpcIds=[made["VpcId"]])
    with refused("InvalidVpcID.NotFound"):
        cloud.client(account).describe_vpcs(VpcIds=[made["VpcId"]])


def test_two_at_the_same_time_are_two(sts, new_account):
    _, client = sts
    other = new_account()
    keys = {
        client.assume_role(RoleArn=role(other), RoleSessionName="work")["Credentials"]["AccessKeyId"] for _ in range(2)
    }
    assert len(keys) == 2


@pytest.mark.parametrize(
    "change",
    [
        {"RoleArn": "auditor"},
        {"RoleArn": "arn:aws:iam::12345:role/x"},
        {"RoleArn": "arn:aws:s3:::bucket"},
        {"RoleSessionName": "x"},
        {"RoleSessionName": "y" * 65},
        {"RoleSessionName": "white space"},
        {"DurationSeconds": "899"},
        {"DurationSeconds": "43201"},
        {"DurationSeconds": "long"},
        {"RoleArn": None},
        {"RoleSessionName": None},
    ],
)
def test_roles_that_cannot_be(cloud, new_account, change):
    given = {"RoleArn": role(new_account()), "RoleSessionName": "work", **change}
    reply = cloud.wire(new_account(), service="sts").call(
        "AssumeRole", {k: v for k, v in given.items() if v is not None}
    )
    well_formed(reply, "sts", "AssumeRole")
    wanted = (
        ("MissingParameter", "ValidationError")
        if None in change.values()
        else ("ValidationError", "InvalidParameterValue", "MalformedInput")
    )
    assert reply.code in wanted, reply


def test_errors_have_stss_envelope(cloud, new_account):
    wire = cloud.wire(new_account(), service="sts")
    for pairs, code in (
        ([("Action", "Nothing"), ("Version", "2011-06-15")], "InvalidAction"),
        ([("Version", "2011-06-15")], "MissingAction"),
        ([("Action", "GetCallerIdentity"), ("Version", "2016-11-15")], "NoSuchVersion"),
    ):
        reply = well_formed(wire.post(pairs), "sts", "GetCallerIdentity")
        assert (reply.code, reply.text("Type"), reply.status) == (code, "Sender", 400), reply


def test_unknown_and_stale_keys(cloud):
    pairs = [("Action", "GetCallerIdentity"), ("Version", "2011-06-15")]
    for key in (Key("AKIAIOSFODNN7EXAMPLE"), Key("ASIAIOSFODNN7EXAMPLE", token="t")):
        reply = well_formed(Wire(cloud.endpoint, None, service="sts", key=key).post(pairs), "sts", "GetCallerIdentity")
        assert (reply.code, reply.status) == ("InvalidClientTokenId", 403), reply
    given = cloud.client("111111111111", service="sts").assume_role(RoleArn=role("111111111111"), RoleSessionName="me")
    given = given["Credentials"]
    key = Key(given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"])
    stale = Wire(cloud.endpoint, None, service="sts", key=key).post(pairs, offset=-3600)
    well_formed(stale, "sts", "GetCallerIdentity")
    assert (stale.code, stale.status) == ("SignatureDoesNotMatch", 403), stale
    assert "Signature expired" in stale.message
