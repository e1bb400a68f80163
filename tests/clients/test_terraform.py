"""Terraform with the AWS provider applies the examples, plans nothing the second time, and destroys them.

The provider comes from a folder named `tf-plugins` that is a filesystem mirror (TF_PLUGINS_DIR says where, else the
usual places). Without terraform or a mirror the outcome of each test is `terraform absent`, which the summary counts.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from conftest import absent
from proxy import Proxy
from test_examples import EXAMPLES, gone
from world import AWAY, HOME, filtered

STEP_S_MAX = 420
PLACES = [Path("/opt"), Path("/usr/share"), Path("/usr/local/share"), Path.home(), Path.home() / ".local/share"]
AWS = "registry.terraform.io/hashicorp/aws"


def mirror():
    """The folder of the filesystem mirror and the newest version of the AWS provider in it, or None."""
    given = os.environ.get("TF_PLUGINS_DIR")
    for folder in [Path(given)] if given else [place / "tf-plugins" for place in PLACES]:
        versions = [v.name for v in (folder / AWS).glob("*") if any(v.glob("*/terraform-provider-aws*"))]
        if versions:
            return folder, max(versions, key=lambda v: [int(n) for n in v.split(".") if n.isdigit()])
    return None


@pytest.fixture
def terraform(tmp_path, endpoint, checker):
    """Runs terraform in a copy of an example, against a proxy that checks; and takes away what a failure leaves."""
    program, found = shutil.which("terraform"), mirror()
    if program is None:
        absent("terraform", "no terraform in PATH")
    if found is None:
        absent("terraform", f"no folder tf-plugins with {AWS}; set TF_PLUGINS_DIR")
    with Proxy(endpoint, checker) as proxy:
        yield Terraform(program, found[0], tmp_path, proxy)
        assert not proxy.wrong, "\n".join(sorted(set(proxy.wrong)))
        assert not any(status >= 500 for _, _, status in proxy.calls), proxy.calls


class Terraform:
    def __init__(self, program, plugins, folder, proxy):
        self.program, self.folder, self.proxy = program, folder, proxy
        rc = folder / "terraform.rc"
        rc.write_text(
            "disable_checkpoint = true\nprovider_installation {\n"
            f'  filesystem_mirror {{\n    path    = "{plugins}"\n    include = ["{AWS}"]\n  }}\n}}\n'
        )
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "TF_"))}
        self.environment = {
            **clean,
            "TF_CLI_CONFIG_FILE": str(rc),
            "TF_IN_AUTOMATION": "1",
            "TF_INPUT": "0",
            "CHECKPOINT_DISABLE": "1",
            "AWS_ENDPOINT_URL": proxy.endpoint,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            # An answer that SDKs retry must fail the test, not fill its time.
            "AWS_MAX_ATTEMPTS": "3",
        }

    def start(self, example, **variables):
        self.work = self.folder / "work"
        shutil.copytree(
            EXAMPLES / "terraform" / example, self.work, ignore=shutil.ignore_patterns(".terraform*", "*.tfstate*")
        )
        self.environment |= {f"TF_VAR_{name}": value for name, value in variables.items()}
        self.run("init", "-no-color")

    def run(self, *arguments, codes=(0,)):
        done = subprocess.run(
            [self.program, *arguments],
            cwd=self.work,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=STEP_S_MAX,
            stdin=subprocess.DEVNULL,
        )
        said = f"{done.stdout[-6000:]}\n{done.stderr[-6000:]}"
        assert done.returncode in codes, f"terraform {' '.join(arguments)} ended with {done.returncode}:\n{said}"
        return done

    def life(self, check):
        """Apply, look, plan nothing, destroy."""
        try:
            self.run("apply", "-auto-approve", "-no-color")
            check(json.loads(self.run("output", "-json").stdout))
            plan = self.run("plan", "-detailed-exitcode", "-no-color", codes=(0, 2))
            assert plan.returncode == 0, f"the second plan wants changes:\n{plan.stdout}"
        finally:
            self.run("destroy", "-auto-approve", "-no-color")


@pytest.mark.big
@pytest.mark.timeout(4 * STEP_S_MAX)
def test_same_account(terraform, cloud, new_account):
    a = cloud.party(new_account(), HOME)
    terraform.start("same-account", account=a.account)

    def check(outputs):
        pcx = a.peering(outputs["peering"]["value"])
        assert pcx["Status"]["Code"] == "active"
        for side in ("RequesterVpcInfo", "AccepterVpcInfo"):
            assert pcx[side]["PeeringOptions"]["AllowDnsResolutionFromRemoteVpc"] is True
        routes = [{"Name": "route.vpc-peering-connection-id", "Values": [outputs["peering"]["value"]]}]
        assert len(a.ec2.describe_route_tables(Filters=routes)["RouteTables"]) == 2

    terraform.life(check)
    gone(a)


@pytest.mark.big
@pytest.mark.timeout(4 * STEP_S_MAX)
def test_cross_account_and_region(terraform, cloud, new_account):
    a, b = cloud.party(new_account(), HOME), cloud.party(new_account(), AWAY)
    terraform.start("cross-account", requester=a.account, accepter=b.account)

    def check(outputs):
        pcx = outputs["peering"]["value"]
        assert outputs["status"]["value"] == "active"
        assert a.peering(pcx)["Tags"] == [{"Key": "Side", "Value": "requester"}]
        assert b.peering(pcx)["Tags"] == [{"Key": "Side", "Value": "accepter"}]
        assert len(b.ec2.describe_instances(Filters=filtered(instance_state_name="running"))["Reservations"]) == 1

    terraform.life(check)
    gone(a, b)


@pytest.mark.big
@pytest.mark.timeout(4 * STEP_S_MAX)
@pytest.mark.parametrize("return_route", [True, False])
def test_reachability(terraform, cloud, new_account, return_route):
    a = cloud.party(new_account(), HOME)
    terraform.start("reachability", account=a.account, return_route=str(return_route).lower())

    def check(outputs):
        assert outputs["path_found"]["value"] is return_route
        assert outputs["explanations"]["value"] == ([] if return_route else ["NO_ROUTE_TO_DESTINATION"])
        way = outputs["way"]["value"]
        assert [way[0][:2], way[-1][:2]] == ["i-", "i-"]
        assert any(id.startswith("pcx-") for id in way)

    terraform.life(check)
    gone(a)
