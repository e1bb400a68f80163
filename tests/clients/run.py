#!/usr/bin/env python3
"""Runs the client tests in virtual environments of their own: `python3 tests/clients/run.py [pytest arguments]`.

Needs Python 3.11 with the venv module, and a package index for the first run. The environments live under target/ and
are rebuilt when what they are made from changes. Clients that bring much with them have environments of their own:
`--ansible` adds Ansible's (pip), `--javascript` that of the AWS SDK for JavaScript (Node.js with npm), `--all` both.
One that cannot be installed is said by name, here and in the summary line; PEERWAY_REQUIRE makes its absence a failure.
"""

import contextlib
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
SDK = HERE.parents[1] / "examples" / "javascript"
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", HERE.parents[1] / "target"))


def environment(name, requirements):
    """The python of a virtual environment that holds these requirements."""
    folder = TARGET / "clients" / name
    python = folder / "bin" / "python"
    stamp, wanted = folder / "requirements.sha256", digest(requirements)
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


def modules():
    """The folder with the `node_modules` that the JavaScript example's lock file says."""
    folder = TARGET / "clients" / "javascript"
    stamp, wanted = folder / "package-lock.sha256", digest(SDK / "package.json", SDK / "package-lock.json")
    if stamp.is_file() and stamp.read_text() == wanted:
        return folder
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            raise Absent(f"no {program} in PATH; install Node.js 20 or later with npm")
    print(f"installing the AWS SDK for JavaScript into {folder}", file=sys.stderr, flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for file in ("package.json", "package-lock.json"):
        shutil.copy(SDK / file, folder)
    subprocess.run(
        ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"], cwd=folder, check=True
    )
    stamp.write_text(wanted)
    return folder


class Absent(Exception):
    """A client that this machine does not have, and why."""


def optional(name, install):
    """Where a client is, or why it is absent, as the tests are told."""
    try:
        return {f"PEERWAY_{name.upper()}": str(install())}
    except Absent as e:
        why = str(e)
    except subprocess.CalledProcessError as e:
        why = f"it could not be installed: `{' '.join(map(str, e.cmd))}` ended with {e.returncode}"
    print(f"{name.upper()} ABSENT: {why}", file=sys.stderr, flush=True)
    return {f"PEERWAY_{name.upper()}_ABSENT": why}


def digest(*files):
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()


CLIENTS = {
    "ansible": lambda: environment("venv-ansible", HERE / "requirements-ansible.txt").parent,
    "javascript": modules,
}


def main(arguments):
    wanted = [name for name in CLIENTS if {f"--{name}", "--all"} & set(arguments)]
    arguments = [a for a in arguments if a not in {"--all", *(f"--{name}" for name in CLIENTS)}]
    python = environment("venv", HERE / "requirements.txt")
    env = {**os.environ, "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}", "PYTHONDONTWRITEBYTECODE": "1"}
    if "PEERWAY_BIN" in env:
        env["PEERWAY_BIN"] = os.path.abspath(env["PEERWAY_BIN"])
    for name in wanted:
        env |= optional(name, CLIENTS[name])
    # A developer's own credentials and profiles have no business in a test.
    env = {k: v for k, v in env.items() if not k.startswith("AWS_")}
    env |= {
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    pytest = [python, "-m", "pytest"]
    if arguments:
        return subprocess.run([*pytest, *arguments], cwd=HERE, env=env).returncode
    return everything(pytest, env)


def everything(pytest, env):
    """In lanes side by side: clients that are programs of their own wait most of the time, Terraform's longest."""
    lanes = {"python": [], "programs": [], "terraform": [], "stories": []}
    for file in sorted(HERE.glob("test_*.py")):
        lanes[lane_of(file)].append(file)
    with contextlib.ExitStack() as stack:
        running = [stack.enter_context(running_lane([*pytest, *files], env)) for files in lanes.values()]
        codes = [show(lane, output) for lane, output in running]
    return max(codes, key=abs)


def lane_of(file):
    match file.stem.split("_")[1:]:
        case ["terraform", "stories"]:
            return "stories"
        case ["terraform", *_]:
            return "terraform"
        case ["ansible" | "cli" | "javascript", *_]:
            return "programs"
        case _:
            return "python"


@contextlib.contextmanager
def running_lane(command, env):
    """The process, which does not outlive the block, and what it writes."""
    with tempfile.TemporaryFile() as output:
        lane = subprocess.Popen(command, cwd=HERE, env=env, stdout=output, stderr=output)
        try:
            yield lane, output
        finally:
            lane.terminate()
            lane.wait()


def show(lane, output):
    """Waits for a lane; shows what it wrote, while it writes. Its exit code."""
    position = 0
    while True:
        code = lane.poll()
        # Its process writes at the file's own position, which is not ours.
        written = os.pread(output.fileno(), 1 << 24, position)
        position += len(written)
        sys.stdout.buffer.write(written)
        sys.stdout.buffer.flush()
        if code is not None and not written:
            return code
        if not written:
            time.sleep(0.2)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
