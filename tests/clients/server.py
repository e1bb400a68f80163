"""`peerway up` as a child process: started on a free loopback port, stopped with SIGINT, and nothing of it left.

What a run may leave behind is looked for, not asked for: processes it started (by id and start time), network
namespaces, network devices and control groups that were not there before.
"""

import os
import re
import signal
import socket
import ssl
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path

READY_S_MAX = 30
STOP_S_MAX = 20
SETTLE_S_MAX = 10
REGIONS = ("us-east-1", "eu-west-1")


class Server:
    """One `peerway up`; a context manager."""

    def __init__(self, binary, data=None, packets=False, clock=False, default_vpc=False, extra=()):
        self.binary = binary
        self._own = None if data else tempfile.TemporaryDirectory(prefix="peerway-test-")
        self.data = Path(data or self._own.name)
        self.port = free_port()
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self.arguments = ["up", "--data", str(self.data / "state"), "--listen", f"127.0.0.1:{self.port}"]
        self.arguments += ["--regions", ",".join(REGIONS)]
        self.arguments += [] if packets else ["--no-packets"]
        self.arguments += ["--allow-clock"] if clock else []
        # Most tests want to find what they made, and nothing else.
        self.arguments += [] if default_vpc else ["--no-default-vpc"]
        self.arguments += extra
        self.log = self.data / f"up-{self.port}.log"
        self.process = None
        self._before = None

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        try:
            self.stop()
        finally:
            if self._own:
                self._own.cleanup()

    def start(self):
        """Starts and waits until it answers HTTP; raises with its output when it does not."""
        self._before = machine_state()
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [self.binary, *self.arguments], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        give_up = time.monotonic() + READY_S_MAX
        while not answers(self.port, tls="--tls" in self.arguments):
            if self.process.poll() is not None:
                raise RuntimeError(f"`{self.command()}` ended with {self.process.returncode}:\n{self.output()}")
            if time.monotonic() > give_up:
                self.kill()
                raise RuntimeError(f"`{self.command()}` did not answer within {READY_S_MAX} s:\n{self.output()}")
            time.sleep(0.02)
        return self

    def stop(self):
        """Interrupts it as Ctrl-C would; it must end with 0 and leave nothing."""
        if self.process is None:
            return
        family = descendants(self.process.pid)
        self.process.send_signal(signal.SIGINT)
        try:
            code = self.process.wait(STOP_S_MAX)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"still running {STOP_S_MAX} s after SIGINT:\n{self.output()}") from None
        self.process = None
        assert code == 0, f"ended with {code} after SIGINT, not 0:\n{self.output()}"
        left = self.leftovers(family)
        assert not left, f"left behind after SIGINT: {left}\n{self.output()}"
        assert not answers(self.port), "the port still answers"

    def kill(self):
        """Ends it without asking, as a power cut would."""
        if self.process is not None:
            family = descendants(self.process.pid)
            self.process.kill()
            self.process.wait(STOP_S_MAX)
            self.process = None
            return family
        return {}

    def leftovers(self, family):
        """What is there now and was not before the start; waits a little for the kernel to tidy up."""
        give_up = time.monotonic() + SETTLE_S_MAX
        while True:
            now = machine_state()
            left = {kind: sorted(filter(self.is_ours, now[kind] - self._before[kind])) for kind in now}
            left["processes"] = sorted(pid for pid, born in family.items() if start_time(pid) == born)
            left = {kind: names for kind, names in left.items() if names}
            if not left or time.monotonic() > give_up:
                return left
            time.sleep(0.1)

    def prefix(self):
        """Begins the names of what this data directory's cloud makes: FNV-1a of its path, the upper half."""
        value = 0xCBF29CE484222325
        for byte in os.fsencode((self.data / "state").resolve()):
            value = (value ^ byte) * 0x100000001B3 % (1 << 64)
        return f"peerway-{value >> 32:08x}"

    def is_ours(self, name):
        """Another run on this machine marks its things with another prefix; unmarked ones count as ours."""
        return set(re.findall(r"peerway-[0-9a-f]{8}|pw[a-z]*[0-9]+", name)) <= {self.prefix()}

    def command(self):
        return " ".join([str(self.binary), *self.arguments])

    def output(self):
        """The last lines of what it printed."""
        with suppress(FileNotFoundError):
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-60:])
        return ""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def answers(port, tls=False):
    """Whether something on this loopback port speaks HTTP."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1) as s:
        s.settimeout(2)
        # Who it is does not matter here.
        s = ssl._create_unverified_context().wrap_socket(s) if tls else s
        s.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        return s.recv(5) == b"HTTP/"
    return False


def machine_state():
    """Names of network namespaces, devices and control groups that look like a virtual network's."""
    names = lambda folder: set(os.listdir(folder)) if os.path.isdir(folder) else set()
    groups = set()
    for folder, children, _ in os.walk("/sys/fs/cgroup"):
        groups.update(os.path.join(folder, c) for c in children if "peerway" in c)
    return {"namespaces": names("/run/netns"), "devices": names("/sys/class/net"), "cgroups": groups}


def descendants(pid):
    """Every process below `pid`, by id and start time."""
    parents = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        with suppress(OSError):
            parents.setdefault(_stat(name)[1], []).append(int(name))
    found, ahead = {}, [pid]
    while ahead:
        for child in parents.get(str(ahead.pop()), []):
            if child not in found and (born := start_time(child)) is not None:
                found[child] = born
                ahead.append(child)
    return found


def start_time(pid):
    """When this process began, in clock ticks since boot; None when it is gone (a zombie counts as gone)."""
    with suppress(OSError, IndexError):
        fields = _stat(pid)
        return None if fields[0] == "Z" else fields[19]
    return None


def _stat(pid):
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
