"""`peerway reach` names what is in the way; the AWS CLI runs the commands that it prints, until nothing is."""

import itertools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import absent, binary
from world import HOME, eventually

RUN_S_MAX = 120
_ACCOUNTS = itertools.count(1)


def _party(cloud):
    return cloud.party(f"77{next(_ACCOUNTS):010d}")


def _instance(party, cidr, subnet_cidr, name):
    vpc = party.vpc(cidr)
    subnet = party.subnet(vpc, subnet_cidr)
    group = party.ec2.create_security_group(GroupName=name, Description=name, VpcId=vpc)["GroupId"]
    run = party.ec2.run_instances(ImageId="ami-12345678", MinCount=1, MaxCount=1, SubnetId=subnet, SecurityGroupIds=[group])
    return vpc, subnet, group, run["Instances"][0]["InstanceId"]


def _reach(endpoint, *arguments):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
    done = subprocess.run(
        [binary(), "reach", *arguments, "--output", "json", "--endpoint", endpoint],
        capture_output=True,
        text=True,
        timeout=RUN_S_MAX,
        env=environment,
    )
    assert done.returncode in (0, 1), done.stderr
    report = json.loads(done.stdout)
    assert report["reachable"] == (done.returncode == 0)
    return report


def _mends(report):
    blockers = [b for answer in report["answers"] for case in answer["cases"] for b in case["blockers"]]
    return [(mend["account"], mend["aws_cli"]) for blocker in blockers for mend in blocker["mends"]]


def _run(endpoint, mends):
    """All lines in one shell, each as its account. A request needs a moment before it can be accepted."""
    beside = Path(sys.executable).parent / "aws"
    program = str(beside) if beside.exists() else shutil.which("aws")
    if not program:
        absent("aws", "there is no AWS CLI on the path")
    lines = ["set -e", f"aws() {{ '{program}' \"$@\"; }}"]
    for account, line in mends:
        lines.append(f"export AWS_ACCESS_KEY_ID={account}")
        if "accept-vpc-peering-connection" in line:
            line = f"for _ in 1 2 3 4 5; do if {line}; then break; fi; sleep 0.3; done"
        lines.append(line)
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith("AWS_")},
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_SECRET_ACCESS_KEY": "any-secret",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_PAGER": "",
    }
    done = subprocess.run(
        ["bash", "-c", "\n".join(lines)], capture_output=True, text=True, timeout=RUN_S_MAX, env=environment
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("port", ["tcp/5432", "icmp"])
def test_the_printed_commands_mend_what_is_in_the_way(cloud, endpoint, port):
    alice, bob = _party(cloud), _party(cloud)
    a, _, group_a, web = _instance(alice, "10.16.0.0/16", "10.16.1.0/24", "web")
    b, subnet_b, _, db = _instance(bob, "10.17.0.0/16", "10.17.1.0/24", "db")
    # Nothing may leave, and nothing may come in: besides, there is no peering.
    everything = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
    alice.ec2.revoke_security_group_egress(GroupId=group_a, IpPermissions=everything)
    acl = bob.ec2.create_network_acl(VpcId=b)["NetworkAcl"]["NetworkAclId"]
    acls = bob.ec2.describe_network_acls(Filters=[{"Name": "association.subnet-id", "Values": [subnet_b]}])["NetworkAcls"]
    association = next(
        found["NetworkAclAssociationId"]
        for found in acls[0]["Associations"]
        if found["SubnetId"] == subnet_b
    )
    bob.ec2.replace_network_acl_association(AssociationId=association, NetworkAclId=acl)

    report = _reach(endpoint, web, db, "--port", port)
    assert not report["reachable"]
    codes = [blocker.get("reason") for blocker in report["answers"][0]["cases"][0]["blockers"]]
    assert codes == ["D05", "D08", "D19", "D22", "D07", "D08"]
    assert report["answers"][0]["cases"][0]["complete"]

    _run(endpoint, _mends(report))
    eventually(lambda: _reach(endpoint, web, db, "--port", port)["reachable"])
    # Each is as narrow as the packet: another one does not pass.
    assert not _reach(endpoint, web, db, "--port", "udp/9")["reachable"]
