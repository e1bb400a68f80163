"""Starts Peerway, hands out parties with fresh accounts, and says at the end what was held against the model.

Environment: PEERWAY_BIN (the binary), or PEERWAY_ENDPOINT (an endpoint that already runs: tests that need a server of
their own are then reported as absent); PEERWAY_REQUIRE (for example `terraform,ansible`: their absence is a failure).
"""

import itertools
import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import shapes
from server import Server
from world import AWAY, HOME, Cloud

ROOT = Path(__file__).resolve().parents[2]
_CHECKER = shapes.Checker()
_ACCOUNTS = itertools.count(1)
_ABSENT = "absent: "


def binary():
    """The binary under test, as an absolute path."""
    given = os.environ.get("PEERWAY_BIN")
    candidates = [Path(given)] if given else [ROOT / "target" / kind / "peerway" for kind in ("release", "debug")]
    for path in candidates:
        if path.is_file():
            return path.resolve()
    pytest.fail(
        f"no binary at {' or '.join(map(str, candidates))}; build it with `cargo build`, or set PEERWAY_BIN",
        pytrace=False,
    )


def absent(what, why):
    """Ends the test with the outcome `<what> absent`, which the summary line counts; a failure when required."""
    if what in os.environ.get("PEERWAY_REQUIRE", "").split(","):
        pytest.fail(f"{what} is required by PEERWAY_REQUIRE, but {why}", pytrace=False)
    pytest.skip(f"{_ABSENT}{what}: {why}")


@pytest.fixture(scope="session")
def checker():
    return _CHECKER


@pytest.fixture(scope="session")
def endpoint():
    """The control plane that most tests share; accounts keep them apart."""
    given = os.environ.get("PEERWAY_ENDPOINT")
    if given:
        yield given
        return
    with Server(binary()) as server:
        yield server.endpoint


@pytest.fixture(scope="session")
def cloud(endpoint, checker):
    return Cloud(endpoint, checker)


@pytest.fixture
def clocked(checker):
    """A cloud of its own whose clock can be moved."""
    with own_server(clock=True) as server:
        yield Cloud(server.endpoint, checker)


@pytest.fixture
def own_server_factory():
    """Servers that a test starts, stops and kills itself."""
    return own_server


def own_server(**options):
    if os.environ.get("PEERWAY_ENDPOINT"):
        absent("own server", "PEERWAY_ENDPOINT names one that runs already")
    return Server(binary(), **options)


@pytest.fixture
def new_account():
    """Fresh account ids, with leading zeros, which count."""
    return lambda: f"{next(_ACCOUNTS):012d}"


@pytest.fixture
def a(cloud, new_account):
    """A party in the first region."""
    return cloud.party(new_account(), HOME)


@pytest.fixture
def b(cloud, new_account):
    """Another account in the same region."""
    return cloud.party(new_account(), HOME)


@pytest.fixture
def far(cloud, new_account):
    """Another account in another region."""
    return cloud.party(new_account(), AWAY)


@pytest.fixture(params=["same account", "two accounts", "two regions", "two accounts, two regions"])
def pair(request, cloud, new_account):
    """Requester and accepter, in every way in which they can differ."""
    first = cloud.party(new_account(), HOME)
    other = new_account() if "accounts" in request.param else first.account
    return first, cloud.party(other, AWAY if "regions" in request.param else HOME)


def pytest_report_teststatus(report):
    """An absent client is an outcome of its own, by name."""
    if report.skipped and isinstance(report.longrepr, tuple):
        _, found, rest = report.longrepr[2].partition(_ABSENT)
        if found:
            what = f"{rest.partition(':')[0]} absent"
            return what, "A", what.upper()
    return None


def pytest_terminal_summary(terminalreporter):
    if _CHECKER.answers or _CHECKER.errors:
        terminalreporter.write_line(f"shapes: {_CHECKER.summary()}")
    for violation in _CHECKER.violations[:20]:
        terminalreporter.write_line(f"shapes: {violation}", red=True)
    for outcome, reports in terminalreporter.stats.items():
        if outcome.endswith(" absent"):
            for report in reports:
                terminalreporter.write_line(f"{outcome}: {report.nodeid}: {report.longrepr[2]}", yellow=True)


def pytest_sessionfinish(session, exitstatus):
    """A violation seen by anybody fails the run, even where no test looked."""
    hidden = [v for v in _CHECKER.violations]
    if hidden and exitstatus == 0:
        session.exitstatus = 1
