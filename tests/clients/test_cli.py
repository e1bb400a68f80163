"""The AWS CLI, unchanged, plays the demo's story through AWS_ENDPOINT_URL, as two accounts by their access keys."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from proxy import Proxy
from world import AWAY, HOME, NOT_A_PCX, eventually

RUN_S_MAX = 90


@pytest.fixture
def proxy(endpoint, checker):
    with Proxy(endpoint, checker) as proxy:
        yield proxy
        assert not proxy.wrong, "\n".join(proxy.wrong)


class Cli:
    """`aws` as one account in one region."""

    def __init__(self, endpoint, account, region):
        self.account, self.region = account, region
        beside = Path(sys.executable).parent / "aws"
        self.program = str(beside) if beside.exists() else shutil.which("aws")
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("AWS_")},
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_ACCESS_KEY_ID": account,
            "AWS_SECRET_ACCESS_KEY": "any-secret",
            "AWS_DEFAULT_REGION": region,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_MAX_ATTEMPTS": "1",
            "AWS_PAGER": "",
        }

    def run(self, line, *more):
        return subprocess.run(
            [self.program, *line.split(), *more],
            capture_output=True,
            text=True,
            timeout=RUN_S_MAX,
            env=self.environment,
            stdin=subprocess.DEVNULL,
        )

    def text(self, line, *more):
        """What `--query ... --output text` prints."""
        done = self.run(line, *more, "--output", "text")
        assert done.returncode == 0, f"aws {line}: {done.stderr}"
        return done.stdout.strip()

    def json(self, line, *more):
        done = self.run(line, *more, "--output", "json")
        assert done.returncode == 0, f"aws {line}: {done.stderr}"
        return json.loads(done.stdout) if done.stdout.strip() else None

    def refused(self, line, code):
        done = self.run(line)
        assert done.returncode != 0, f"aws {line}: accepted"
        assert f"({code})" in done.stderr, done.stderr


@pytest.mark.timeout(400)
def test_the_story(proxy, new_account):
    a, b = Cli(proxy.endpoint, new_account(), HOME), Cli(proxy.endpoint, new_account(), AWAY)
    assert a.text("sts get-caller-identity --query Account") == a.account

    vpc_a = a.text("ec2 create-vpc --cidr-block 10.16.0.0/16 --query Vpc.VpcId")
    vpc_b = b.text("ec2 create-vpc --cidr-block 10.17.0.0/16 --query Vpc.VpcId")
    a.text(f"ec2 wait vpc-available --vpc-ids {vpc_a}")
    tags = "ResourceType=vpc-peering-connection,Tags=[{Key=Name,Value=a-to-b}]"
    pcx = a.text(
        f"ec2 create-vpc-peering-connection --vpc-id {vpc_a} --peer-vpc-id {vpc_b} "
        f"--peer-owner-id {b.account} --peer-region {AWAY}",
        "--tag-specifications",
        tags,
        "--query",
        "VpcPeeringConnection.VpcPeeringConnectionId",
    )
    a.text(f"ec2 wait vpc-peering-connection-exists --vpc-peering-connection-ids {pcx}")
    status = (
        f"ec2 describe-vpc-peering-connections --filters Name=vpc-peering-connection-id,Values={pcx} "
        "--query VpcPeeringConnections[].Status.Code"
    )
    eventually(lambda: b.text(status) == "pending-acceptance", seconds=30)
    b.text(f"ec2 wait vpc-peering-connection-exists --vpc-peering-connection-ids {pcx}")

    a.refused(f"ec2 accept-vpc-peering-connection --vpc-peering-connection-id {pcx}", "OperationNotPermitted")
    accepted = b.json(f"ec2 accept-vpc-peering-connection --vpc-peering-connection-id {pcx}")
    assert accepted["VpcPeeringConnection"]["Status"]["Code"] in ("provisioning", "active")
    eventually(lambda: a.text(status) == b.text(status) == "active", seconds=30)

    subnets, tables = {}, {}
    for side, vpc, block, peer in (
        (a, vpc_a, "10.16.1.0/24", "10.17.0.0/16"),
        (b, vpc_b, "10.17.1.0/24", "10.16.0.0/16"),
    ):
        subnets[side] = side.text(f"ec2 create-subnet --vpc-id {vpc} --cidr-block {block} --query Subnet.SubnetId")
        tables[side] = side.text(
            f"ec2 describe-route-tables --filters Name=vpc-id,Values={vpc} --query RouteTables[0].RouteTableId"
        )
        side.text(
            f"ec2 create-route --route-table-id {tables[side]} --destination-cidr-block {peer} "
            f"--vpc-peering-connection-id {pcx}"
        )
    group = b.text(f"ec2 create-security-group --group-name web --description web --vpc-id {vpc_b} --query GroupId")
    b.text(f"ec2 authorize-security-group-ingress --group-id {group} --protocol tcp --port 80 --cidr 10.16.0.0/16")
    made = b.text(
        f"ec2 run-instances --image-id ami-0123456789abcdef0 --instance-type t3.micro --subnet-id {subnets[b]} "
        f"--security-group-ids {group} --private-ip-address 10.17.1.10 --query Instances[0].InstanceId"
    )
    b.text(f"ec2 wait instance-running --instance-ids {made}")
    address = b.text(
        f"ec2 describe-instances --instance-ids {made} --query Reservations[].Instances[].PrivateIpAddress"
    )
    assert address == "10.17.1.10"

    a.text(f"ec2 delete-vpc-peering-connection --vpc-peering-connection-id {pcx}")
    eventually(lambda: a.text(status) == "deleted", seconds=30)
    a.text(f"ec2 wait vpc-peering-connection-deleted --vpc-peering-connection-ids {pcx}")
    state = f"RouteTables[0].Routes[?VpcPeeringConnectionId=='{pcx}'].State"
    for side in (a, b):
        there = lambda: side.text(f"ec2 describe-route-tables --route-table-ids {tables[side]} --query {state}")
        eventually(lambda: there() == "blackhole", seconds=30)

    b.text(f"ec2 terminate-instances --instance-ids {made} --query TerminatingInstances[].CurrentState.Name")
    b.text(f"ec2 wait instance-terminated --instance-ids {made}")
    assert proxy.actions("ec2")["CreateVpcPeeringConnection"] == 1


@pytest.mark.timeout(200)
def test_refusals_filters_and_pages_as_people_meet_them(proxy, new_account):
    a = Cli(proxy.endpoint, new_account(), HOME)
    a.refused(
        f"ec2 describe-vpc-peering-connections --vpc-peering-connection-ids {NOT_A_PCX}",
        "InvalidVpcPeeringConnectionID.NotFound",
    )
    a.refused("ec2 create-vpc --cidr-block 10.0.0.0/8", "InvalidVpc.Range")
    a.refused("ec2 create-vpc --cidr-block 10.0.0.0/16 --dry-run", "DryRunOperation")
    vpc = a.text("ec2 create-vpc --cidr-block 10.0.0.0/16 --query Vpc.VpcId")
    a.json(f"ec2 create-tags --resources {vpc} --tags", "Key=Name,Value=with space & <sign>")
    assert (
        a.text("ec2 describe-vpcs --filters", "Name=tag:Name,Values=with*", "--query", "Vpcs[0].Tags[0].Value")
        == "with space & <sign>"
    )
    for n in range(7):
        a.text(f"ec2 create-subnet --vpc-id {vpc} --cidr-block 10.0.{n}.0/24 --query Subnet.SubnetId")
    listed = a.json(
        f"ec2 describe-subnets --filters Name=vpc-id,Values={vpc} --page-size 5 --query Subnets[].CidrBlock"
    )
    assert len(listed) == len(set(listed)) == 7
    first = a.json(f"ec2 describe-subnets --filters Name=vpc-id,Values={vpc} --max-items 3")
    assert len(first["Subnets"]) == 3 and first["NextToken"]
    on = a.run(f"ec2 modify-vpc-attribute --vpc-id {vpc} --enable-dns-hostnames")
    assert on.returncode == 0, on.stderr
    assert (
        a.text(
            f"ec2 describe-vpc-attribute --vpc-id {vpc} --attribute enableDnsHostnames --query EnableDnsHostnames.Value"
        )
        == "True"
    )
    assert HOME in a.json("ec2 describe-regions --query Regions[].RegionName")
