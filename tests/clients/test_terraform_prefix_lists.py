"""Terraform's managed prefix lists: made, named by a rule and a route, changed, planned to nothing, destroyed."""

import json

import pytest

from test_examples import gone
from test_terraform import STEP_S_MAX, terraform  # noqa: F401  (a fixture)
from world import HOME


@pytest.mark.big
@pytest.mark.timeout(5 * STEP_S_MAX)
def test_prefix_lists(terraform, cloud, new_account):  # noqa: F811
    a = cloud.party(new_account(), HOME)
    terraform.start("prefix-lists", account=a.account)

    def entries(prefix_list):
        return {
            entry["Cidr"]: entry.get("Description")
            for entry in a.ec2.get_managed_prefix_list_entries(PrefixListId=prefix_list)["Entries"]
        }

    def users(prefix_list):
        found = a.ec2.get_managed_prefix_list_associations(PrefixListId=prefix_list)["PrefixListAssociations"]
        return [one["ResourceId"].split("-")[0] for one in found]

    def check(outputs):
        offices, remote = outputs["offices"]["value"], outputs["remote"]["value"]
        assert entries(offices) == {"10.20.0.0/16": "north", "10.21.0.0/16": "south"}
        assert entries(remote) == {"10.17.0.0/17": "first", "10.17.128.0/17": "second"}
        assert (users(offices), users(remote)) == (["sg"], ["rtb"])
        # One goes and one comes; then there is more room. (A description alone cannot be changed: the provider sends a stale
        # version after its first half, and AWS too refuses that.)
        changed = {"north": "10.20.0.0/16", "west": "10.22.0.0/16"}
        terraform.environment["TF_VAR_offices"] = json.dumps(changed)
        terraform.run("apply", "-auto-approve", "-no-color")
        assert entries(offices) == {"10.20.0.0/16": "north", "10.22.0.0/16": "west"}
        terraform.environment["TF_VAR_offices_max"] = "9"
        terraform.run("apply", "-auto-approve", "-no-color")
        (shown,) = a.ec2.describe_managed_prefix_lists(PrefixListIds=[offices])["PrefixLists"]
        assert (shown["MaxEntries"], shown["State"]) == (9, "modify-complete")

    terraform.life(check)
    gone(a)
    assert a.ec2.describe_managed_prefix_lists()["PrefixLists"] == []
