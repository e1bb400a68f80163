"""Terraform's network interfaces: at launch, attached afterwards, with more and fewer addresses; planned to nothing, destroyed."""

import json

import pytest

from test_examples import gone
from test_terraform import STEP_S_MAX, terraform  # noqa: F401  (a fixture)
from world import HOME


@pytest.mark.big
@pytest.mark.timeout(5 * STEP_S_MAX)
def test_network_interfaces(terraform, cloud, new_account):  # noqa: F811
    a = cloud.party(new_account(), HOME)
    terraform.start("network-interfaces", account=a.account)

    def check(outputs):
        left, right = outputs["interfaces"]["value"]
        (reservation,) = a.ec2.describe_instances(InstanceIds=[outputs["instance"]["value"]])["Reservations"]
        first, second = reservation["Instances"][0]["NetworkInterfaces"]
        assert (first["NetworkInterfaceId"], second["NetworkInterfaceId"]) == (left, right)
        assert [n["Attachment"]["DeviceIndex"] for n in (first, second)] == [0, 1]
        assert not first["SourceDestCheck"] and not second["SourceDestCheck"] and len(second["Ipv6Addresses"]) == 1

        def addresses():
            (found,) = a.ec2.describe_network_interfaces(NetworkInterfaceIds=[right])["NetworkInterfaces"]
            return {x["PrivateIpAddress"] for x in found["PrivateIpAddresses"]}

        assert addresses() == {"10.16.2.50", "10.16.2.51"}
        # One goes and two come, in place.
        changed = ["10.16.2.50", "10.16.2.60", "10.16.2.61"]
        terraform.environment["TF_VAR_floating"] = json.dumps(changed)
        terraform.run("apply", "-auto-approve", "-no-color")
        assert addresses() == set(changed)

    terraform.life(check)
    gone(a)
    assert a.ec2.describe_network_interfaces()["NetworkInterfaces"] == []
