"""Terraform looks up images, keys and the default VPC, and makes what stands beside a network; planned to nothing, destroyed."""

import pytest

from test_terraform import STEP_S_MAX, terraform  # noqa: F401  (a fixture)
from world import HOME


@pytest.mark.big
@pytest.mark.timeout(4 * STEP_S_MAX)
def test_lookups(terraform, cloud, new_account):  # noqa: F811
    a = cloud.party(new_account(), HOME)
    terraform.start("lookups", account=a.account)

    def check(outputs):
        images = outputs["images"]["value"]
        assert images["al2023"] == images["parameter"]
        assert images["ubuntu"] == "ubuntu/images/hvm-ssd/ubuntu-jammy-22.04-amd64-server-20260105"
        (reservation,) = a.ec2.describe_instances(InstanceIds=[outputs["instance"]["value"]])["Reservations"]
        (one,) = reservation["Instances"]
        assert (one["ImageId"], one["KeyName"]) == (images["al2023"], "ops")
        assert one["Monitoring"]["State"] == "enabled"
        assert one["PrivateIpAddress"].startswith("172.31.")

    terraform.life(check)
    # Terraform leaves a default VPC where it is.
    (vpc,) = a.ec2.describe_vpcs()["Vpcs"]
    assert vpc["IsDefault"]
    assert a.ec2.describe_key_pairs()["KeyPairs"] == []
    assert a.ec2.describe_vpn_gateways()["VpnGateways"] == []
