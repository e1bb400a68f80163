"""The boto3 and AWS CLI examples, run as a reader runs them, with every exchange held against the model."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from proxy import Proxy
from world import AWAY, HOME, filtered

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture
def proxy(endpoint, checker):
    with Proxy(endpoint, checker) as proxy:
        yield proxy
        assert not proxy.wrong, "\n".join(proxy.wrong)


def run(command, endpoint, **more):
    """The output of an example that must end well."""
    here = str(Path(sys.executable).parent)
    clean = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
    environment = {
        **clean,
        "PATH": f"{here}{os.pathsep}{clean['PATH']}",
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        **more,
    }
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=400, env=environment, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


def built(a, b):
    """Both sides: the active peering and its two routes."""
    (mine,) = a.ec2.describe_vpcs(Filters=filtered(cidr="10.16.0.0/16"))["Vpcs"]
    (theirs,) = b.ec2.describe_vpcs(Filters=filtered(cidr="10.17.0.0/16"))["Vpcs"]
    (pcx,) = a.ec2.describe_vpc_peering_connections(Filters=filtered(status_code="active"))["VpcPeeringConnections"]
    assert (pcx["RequesterVpcInfo"]["VpcId"], pcx["AccepterVpcInfo"]["VpcId"]) == (mine["VpcId"], theirs["VpcId"])
    for party, to in ((a, "10.17.0.0/16"), (b, "10.16.0.0/16")):
        wanted = [
            {"Name": "route.destination-cidr-block", "Values": [to]},
            {"Name": "route.state", "Values": ["active"]},
        ]
        assert len(party.ec2.describe_route_tables(Filters=wanted)["RouteTables"]) == 1
    return pcx["VpcPeeringConnectionId"]


def gone(*parties):
    """Nothing that the example made is left."""
    for party in parties:
        assert party.ec2.describe_vpcs(Filters=filtered(is_default="false"))["Vpcs"] == []
        states = [i["State"]["Name"] for r in party.ec2.describe_instances()["Reservations"] for i in r["Instances"]]
        assert set(states) <= {"terminated"}


@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", ["boto3", "cli"])
def test_two_vpcs(kind, proxy, cloud, new_account):
    a, b = cloud.party(new_account(), HOME), cloud.party(new_account(), AWAY)
    if kind == "boto3":
        command = [sys.executable, EXAMPLES / "boto3/two_vpcs.py", "--requester", a.account, "--accepter", b.account]
    else:
        command = ["sh", EXAMPLES / "cli/two_vpcs.sh"]
    said = run([*command, "up"], proxy.endpoint, REQUESTER=a.account, ACCEPTER=b.account)
    assert built(a, b) in said
    run([*command, "down"], proxy.endpoint, REQUESTER=a.account, ACCEPTER=b.account)
    gone(a, b)
