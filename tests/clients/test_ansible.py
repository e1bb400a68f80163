"""Ansible's own modules play the examples, twice without a change, and take them away again.

The package `ansible` bundles the collection amazon.aws. It is large, so it has a virtual environment of its own
(`run.py --ansible` makes it; PEERWAY_ANSIBLE names its bin folder). Without it the outcome is `ansible absent`.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import absent
from proxy import Proxy
from test_examples import EXAMPLES, built, gone
from world import AWAY, HOME, filtered

PLAY_S_MAX = 400


@pytest.fixture
def playbook(tmp_path, endpoint, checker):
    """Runs an example's playbook; answers how many tasks changed something."""
    given = os.environ.get("PEERWAY_ANSIBLE")
    program = Path(given) / "ansible-playbook" if given else Path(shutil.which("ansible-playbook") or "/nowhere")
    if not program.exists():
        absent("ansible", os.environ.get("PEERWAY_ANSIBLE_ABSENT", "no ansible-playbook; run with `run.py --ansible`"))
    with Proxy(endpoint, checker) as proxy:
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "ANSIBLE_"))}
        environment = {
            **clean,
            # The AWS CLI of this environment, for what amazon.aws has no module for.
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{clean['PATH']}",
            "AWS_ENDPOINT_URL": proxy.endpoint,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "ANSIBLE_HOME": str(tmp_path),
            "ANSIBLE_LOCALHOST_WARNING": "false",
            "ANSIBLE_NOCOLOR": "1",
        }

        def play(name, **variables):
            command = [program, EXAMPLES / "ansible" / name]
            for variable, value in variables.items():
                command += ["-e", f'{{"{variable}": "{value}"}}']
            done = subprocess.run(
                command,
                cwd=tmp_path,
                env=environment,
                capture_output=True,
                text=True,
                timeout=PLAY_S_MAX,
                stdin=subprocess.DEVNULL,
            )
            assert done.returncode == 0, (
                f"ansible-playbook ended with {done.returncode}:\n{done.stdout[-8000:]}\n{done.stderr[-4000:]}"
            )
            return int(re.search(r"changed=(\d+)", done.stdout).group(1))

        yield play
        assert not proxy.wrong, "\n".join(sorted(set(proxy.wrong)))
        assert not any(status >= 500 for _, _, status in proxy.calls), proxy.calls


@pytest.mark.big
@pytest.mark.timeout(4 * PLAY_S_MAX)
def test_two_vpcs(playbook, cloud, new_account):
    a, b = cloud.party(new_account(), HOME), cloud.party(new_account(), AWAY)
    who = {"requester": a.account, "accepter": b.account}
    assert playbook("two_vpcs.yml", **who) > 0
    built(a, b)
    assert playbook("two_vpcs.yml", **who) == 0, "the second play changes something"
    assert playbook("two_vpcs.yml", **who, wanted="absent") > 0
    gone(a, b)


@pytest.mark.big
@pytest.mark.timeout(5 * PLAY_S_MAX)
def test_hub_and_spokes(playbook, cloud, new_account):
    network = cloud.party(new_account(), HOME)
    partner = cloud.party(new_account(), HOME)
    far = partner.elsewhere()
    who = {"network": network.account, "partner": partner.account}
    assert playbook("hub_and_spokes.yml", **who) > 0

    peerings = network.ec2.describe_vpc_peering_connections()["VpcPeeringConnections"]
    names = {c["VpcPeeringConnectionId"]: c["Tags"] for c in peerings}
    assert {tag["Value"] for tags in names.values() for tag in tags} == {
        "hub-and-spokes",
        "hub-near",
        "hub-partner",
        "hub-far",
    }
    for peering in peerings:
        assert peering["Status"]["Code"] == "active"
        for side in ("RequesterVpcInfo", "AccepterVpcInfo"):
            assert peering[side]["PeeringOptions"]["AllowDnsResolutionFromRemoteVpc"] is True
    routed = [{"Name": "tag:Name", "Values": ["hub"]}]
    (table,) = network.ec2.describe_route_tables(Filters=routed)["RouteTables"]
    assert [r["State"] for r in table["Routes"] if "VpcPeeringConnectionId" in r] == ["active"] * 3

    (client,) = network.ec2.describe_security_groups(Filters=filtered(group_name="client"))["SecurityGroups"]
    for spoke in (network, partner):
        (web,) = spoke.ec2.describe_security_groups(Filters=filtered(group_name="web"))["SecurityGroups"]
        (pair,) = [pair for rule in web["IpPermissions"] for pair in rule["UserIdGroupPairs"]]
        assert (pair["UserId"], pair["GroupId"]) == (network.account, client["GroupId"])
        assert pair["VpcPeeringConnectionId"] in names
    for spoke in (network, partner, far):
        (acl,) = spoke.ec2.describe_network_acls(Filters=filtered(default="false"))["NetworkAcls"]
        assert len(acl["Associations"]) == 1 and len(acl["Entries"]) == 5
    running = filtered(instance_state_name="running")
    assert [len(p.ec2.describe_instances(Filters=running)["Reservations"]) for p in (network, partner, far)] == [
        2,
        1,
        1,
    ]

    assert playbook("hub_and_spokes.yml", **who) == 0, "the second play changes something"
    assert playbook("hub_and_spokes.yml", **who, wanted="absent") > 0
    gone(network, partner, far)
    assert playbook("hub_and_spokes.yml", **who, wanted="absent") == 0, "the second removal changes something"
