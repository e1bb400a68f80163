"""The AWS SDK for JavaScript: the example, and what the SDK makes of answers (exceptions, waiters, pages, roles).

`run.py --javascript` installs it by the example's lock file (PEERWAY_JAVASCRIPT names the folder with node_modules).
Without it the outcome is `javascript absent`.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from conftest import absent
from proxy import Proxy
from test_examples import EXAMPLES, built, gone
from world import AWAY, HOME

RUN_S_MAX = 300


@pytest.fixture
def node(tmp_path, endpoint, checker):
    """Runs a program beside the SDK, against a proxy that checks; answers what it printed."""
    given, program = os.environ.get("PEERWAY_JAVASCRIPT"), shutil.which("node")
    if given is None or program is None:
        why = os.environ.get("PEERWAY_JAVASCRIPT_ABSENT", "no AWS SDK; run with `run.py --javascript`")
        absent("javascript", why)
    # Modules are looked for beside the program that names them.
    (tmp_path / "node_modules").symlink_to(Path(given) / "node_modules")
    with Proxy(endpoint, checker) as proxy:

        def run(script, *arguments, **environment):
            shutil.copy(script, tmp_path)
            done = subprocess.run(
                [program, tmp_path / script.name, *arguments],
                cwd=tmp_path,
                env={
                    **{k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "NODE_"))},
                    "AWS_ENDPOINT_URL": proxy.endpoint,
                    "AWS_CONFIG_FILE": os.devnull,
                    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
                    **environment,
                },
                capture_output=True,
                text=True,
                timeout=RUN_S_MAX,
                stdin=subprocess.DEVNULL,
            )
            assert done.returncode == 0, f"{script.name} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
            return done.stdout

        run.proxy = proxy
        yield run
        assert not proxy.wrong, "\n".join(sorted(set(proxy.wrong)))
        assert not any(status >= 500 for _, _, status in proxy.calls), proxy.calls


@pytest.mark.timeout(3 * RUN_S_MAX)
def test_two_vpcs(node, cloud, new_account):
    a, b = cloud.party(new_account(), HOME), cloud.party(new_account(), AWAY)
    who = {"REQUESTER": a.account, "ACCEPTER": b.account}
    said = node(EXAMPLES / "javascript/two_vpcs.mjs", "up", **who)
    assert built(a, b) in said
    node(EXAMPLES / "javascript/two_vpcs.mjs", "down", **who)
    gone(a, b)
    assert node.proxy.actions("sts")["AssumeRole"] >= 2


@pytest.mark.timeout(2 * RUN_S_MAX)
def test_exceptions_pages_waiters_roles(node, new_account):
    said = node(Path(__file__).parent / "javascript/sdk.mjs", ACCOUNT=new_account(), OTHER=new_account())
    assert json.loads(said) == ["exceptions", "pages", "waiters", "roles"]
    calls = node.proxy.calls
    assert calls["ec2", "DescribeFpgaImages", 400] == 1, "an action that is not there was asked for again"
    assert calls["sts", "AssumeRole", 200] >= 1
