"""What botocore knows beside the operations: waiters and paginators; and which actions are there to be asked for."""

import json
import subprocess

import botocore.session
from conftest import binary

_LOADER = botocore.session.get_session().get_component("data_loader")
WAITERS = _LOADER.load_service_model("ec2", "waiters-2")["waiters"]
PAGINATORS = _LOADER.load_service_model("ec2", "paginators-1")["pagination"]


def actions():
    """The names of the actions that the binary has."""
    shown = subprocess.run([binary(), "actions", "--output", "json"], capture_output=True, text=True, check=True).stdout
    return {row["action"] for row in json.loads(shown) if row["support"] != "absent"}
