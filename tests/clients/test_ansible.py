"""Ansible's own peering modules play the example, twice without a change, and take it away again.

The package `ansible` bundles the collection amazon.aws. It is large, so it has a virtual environment of its own
(`run.py --ansible` makes it; PEERWAY_ANSIBLE names its bin folder). Without it the outcome is `ansible absent`.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from conftest import absent
from proxy import Proxy
from test_examples import EXAMPLES, built, gone
from world import AWAY, HOME

PLAY_S_MAX = 400


@pytest.fixture
def playbook(tmp_path, endpoint, checker):
    """Runs the example's playbook; answers how many tasks changed something."""
    given = os.environ.get("PEERWAY_ANSIBLE")
    program = Path(given) / "ansible-playbook" if given else Path(shutil.which("ansible-playbook") or "/nowhere")
    if not program.exists():
        absent("ansible", "no ansible-playbook; run with `run.py --ansible`")
    with Proxy(endpoint, checker) as proxy:
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "ANSIBLE_"))}
        environment = {
            **clean,
            "AWS_ENDPOINT_URL": proxy.endpoint,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "ANSIBLE_HOME": str(tmp_path),
            "ANSIBLE_LOCALHOST_WARNING": "false",
            "ANSIBLE_NOCOLOR": "1",
        }

        def play(**variables):
            command = [program, EXAMPLES / "ansible/two_vpcs.yml"]
            for name, value in variables.items():
                command += ["-e", f'{{"{name}": "{value}"}}']
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


@pytest.mark.big
@pytest.mark.timeout(4 * PLAY_S_MAX)
def test_two_vpcs(playbook, cloud, new_account):
    a, b = cloud.party(new_account(), HOME), cloud.party(new_account(), AWAY)
    who = {"requester": a.account, "accepter": b.account}
    assert playbook(**who) > 0
    built(a, b)
    assert playbook(**who) == 0, "the second play changes something"
    assert playbook(**who, wanted="absent") > 0
    gone(a, b)
