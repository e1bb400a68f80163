"""Terraform's Elastic IP addresses and Internet gateway: made, mapped, planned to nothing, destroyed."""

import pytest

from test_examples import gone
from test_terraform import STEP_S_MAX, terraform  # noqa: F401  (a fixture)
from world import HOME


@pytest.mark.big
@pytest.mark.timeout(5 * STEP_S_MAX)
def test_public_addresses(terraform, cloud, new_account):  # noqa: F811
    a = cloud.party(new_account(), HOME)
    terraform.start("public-addresses", account=a.account)

    def check(outputs):
        (shown,) = a.ec2.describe_addresses(PublicIps=[outputs["web"]["value"]])["Addresses"]
        assert shown["NetworkInterfaceId"] == outputs["interface"]["value"]
        (spare,) = a.ec2.describe_addresses(AllocationIds=[outputs["spare"]["value"]])["Addresses"]
        assert "AssociationId" not in spare

    terraform.life(check)
    gone(a)
    assert a.ec2.describe_addresses()["Addresses"] == []
    assert a.ec2.describe_internet_gateways()["InternetGateways"] == []
