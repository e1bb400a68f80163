#!/usr/bin/env python3
"""Runs the client tests in virtual environments of their own: `python3 tests/clients/run.py [pytest arguments]`.

Needs Python 3.11 with the venv module, and a package index for the first run. The environments live under target/ and
are rebuilt when their requirements file changes. Without arguments it runs everything but Ansible's own environment;
`--ansible` adds that one.
"""

import hashlib
import importlib.util
import os
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", HERE.parents[1] / "target"))


def environment(name, requirements):
    """The python of a virtual environment that holds these requirements."""
    folder = TARGET / "clients" / name
    python = folder / "bin" / "python"
    stamp, wanted = folder / "requirements.sha256", hashlib.sha256(requirements.read_bytes()).hexdigest()
    if stamp.is_file() and stamp.read_text() == wanted and python.exists():
        return python
    if sys.version_info < (3, 11):
        sys.exit(f"Python 3.11 is needed, this is {sys.version.split()[0]}; run with a newer python3")
    if importlib.util.find_spec("ensurepip") is None:
        sys.exit("this Python cannot make a virtual environment with pip; install the package python3-venv")
    print(f"installing {requirements.name} into {folder}", file=sys.stderr, flush=True)
    venv.create(folder, clear=True, with_pip=True)
    subprocess.run(
        [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", requirements], check=True
    )
    stamp.write_text(wanted)
    return python


def main(arguments):
    ansible = "--ansible" in arguments
    arguments = [a for a in arguments if a != "--ansible"]
    python = environment("venv", HERE / "requirements.txt")
    env = {**os.environ, "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}", "PYTHONDONTWRITEBYTECODE": "1"}
    if "PEERWAY_BIN" in env:
        env["PEERWAY_BIN"] = os.path.abspath(env["PEERWAY_BIN"])
    if ansible:
        env["PEERWAY_ANSIBLE"] = str(environment("venv-ansible", HERE / "requirements-ansible.txt").parent)
    # A developer's own credentials and profiles have no business in a test.
    env = {k: v for k, v in env.items() if not k.startswith("AWS_")}
    env |= {
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    return subprocess.run([python, "-m", "pytest", *(arguments or [str(HERE)])], cwd=HERE, env=env).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
