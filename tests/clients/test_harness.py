"""Does the harness notice what it is there to notice? Stand-ins for `peerway up` that misbehave, one way each."""

import sys
import textwrap

import pytest

import server as harness
from proxy import Proxy
from shapes import Checker
from test_shapes import answer
from world import Cloud

STAND_IN = """
    #!{python}
    import http.server, signal, subprocess, sys, threading
    port = int(sys.argv[sys.argv.index("--listen") + 1].rpartition(":")[2])

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.rfile.read(int(self.headers.get("content-length") or 0))
            self.send_response(200)
            self.send_header("content-type", "text/xml;charset=UTF-8")
            self.end_headers()
            self.wfile.write({body!r})

        do_POST = do_GET
        log_message = lambda *_: None

    def end(*_):
        {end}

    signal.signal(signal.SIGINT, end)
    {start}
    http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """A program with the command line of `peerway up` and a flaw."""
    monkeypatch.setattr(harness, "SETTLE_S_MAX", 0.5)
    monkeypatch.setattr(harness, "STOP_S_MAX", 2)
    monkeypatch.setattr(harness, "READY_S_MAX", 5)

    def make(end="sys.exit(0)", start="", body=b""):
        program = tmp_path / "peerway"
        text = textwrap.dedent(STAND_IN).lstrip()
        program.write_text(text.format(python=sys.executable, end=end, start=start, body=body))
        program.chmod(0o755)
        return harness.Server(program, data=tmp_path)

    return make


def test_a_good_one_passes(stand_in):
    with stand_in() as server:
        assert harness.answers(server.port)
    assert not harness.answers(server.port)


def test_a_wrong_exit_code(stand_in):
    with pytest.raises(AssertionError, match="ended with 3 after SIGINT"):
        with stand_in(end="sys.exit(3)"):
            pass


def test_a_deaf_one(stand_in):
    with pytest.raises(AssertionError, match="still running"):
        with stand_in(end="pass"):
            pass


def test_one_that_never_starts(stand_in):
    with pytest.raises(RuntimeError, match="ended with 7"):
        stand_in(start="sys.exit(7)").start()


def test_a_child_that_stays(stand_in):
    child = 'subprocess.Popen([sys.executable, "-c", "import time; time.sleep(20)"], start_new_session=True)'
    with pytest.raises(AssertionError, match="left behind.*processes"):
        with stand_in(start=child):
            pass


@pytest.mark.parametrize("kind", ["namespaces", "devices", "cgroups"])
def test_a_thing_that_stays(stand_in, monkeypatch, kind):
    server = stand_in()
    ours, theirs = f"{server.prefix()}-i-1", {"peerway-00000000-i-2", "pwbench77-a"}
    with pytest.raises(AssertionError, match=f"left behind.*{kind}.*{ours}") as found:
        with server:
            empty = {"namespaces": set(), "devices": set(), "cgroups": set()}
            server._before = empty
            monkeypatch.setattr(harness, "machine_state", lambda: {**empty, kind: {ours, *theirs}})
    assert not any(name in str(found.value) for name in theirs)  # another run's


def test_the_proxy_sees_what_a_client_overlooks(stand_in):
    body = answer("DescribeVpcs", "<vpcSet><item><VpcId>vpc-1</VpcId></item></vpcSet>")
    with stand_in(body=body) as server, Proxy(server.endpoint, Checker()) as proxy:
        cloud = Cloud.__new__(Cloud)
        cloud.endpoint, cloud.checker = proxy.endpoint, None
        reply = cloud.wire("111111111111").call("DescribeVpcs")
        assert reply.body == body  # passed on unchanged
    assert proxy.actions() == {"DescribeVpcs": 1}
    assert any("VpcId: is no member of Vpc" in v for v in proxy.wrong)
