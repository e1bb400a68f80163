"""A loopback listener between a client and Peerway that holds every exchange against the model.

For clients that live in another process (the AWS CLI, Terraform, Ansible). It passes bytes on unchanged, the signed
Host header included, and never speaks for the server.
"""

import http.client
import re
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from shapes import body_pairs

SCOPE = re.compile(r"Credential=[^/]+/\d{8}/([^/]+)/([^/]+)/aws4_request")
BODY_MAX = 4 << 20
HOP = {"connection", "transfer-encoding", "keep-alive", "proxy-connection"}


class Proxy:
    """A context manager; `calls` counts (service, action, status), `wrong` lists the violations."""

    def __init__(self, endpoint, checker):
        self.upstream = urlsplit(endpoint).netloc
        self.checker = checker
        self.calls = Counter()
        self.codes = Counter()
        self.wrong = []
        self._lock = threading.Lock()
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 60

            def do_POST(self):
                proxy._pass_on(self)

            do_GET = do_POST

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()

    def actions(self, service="ec2"):
        """The actions of a service that were called, with how often."""
        found = Counter()
        for (called, action, _), n in self.calls.items():
            if called == service:
                found[action] += n
        return found

    def _pass_on(self, client):
        length = int(client.headers.get("content-length") or 0)
        if length > BODY_MAX:
            client.send_error(413)
            return
        body = client.rfile.read(length)
        upstream = http.client.HTTPConnection(self.upstream, timeout=60)
        try:
            upstream.putrequest(client.command, client.path, skip_host=True, skip_accept_encoding=True)
            for name, value in client.headers.items():
                if name.lower() not in HOP:
                    upstream.putheader(name, value)
            upstream.endheaders(body)
            answer = upstream.getresponse()
            content = answer.read()
        finally:
            upstream.close()
        self._hold(client, body, answer, content)
        client.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in HOP | {"content-length"}:
                client.send_header(name, value)
        client.send_header("content-length", str(len(content)))
        client.end_headers()
        client.wfile.write(content)

    def _hold(self, client, body, answer, content):
        pairs = body_pairs(body.decode(errors="replace")) or body_pairs(urlsplit(client.path).query)
        scope = SCOPE.search(client.headers.get("authorization", ""))
        service = scope.group(2) if scope else "unsigned"
        action = dict(pairs).get("Action", "")
        with self._lock:
            self.calls[service, action, answer.status] += 1
            if answer.status >= 300:
                code = re.search(rb"<Code>([^<]*)", content)
                self.codes[action, code.group(1).decode() if code else ""] += 1
            if service not in ("ec2", "sts"):
                return
            # A client's older or newer model is not Peerway's fault; the request check is for actions both know.
            asked = self.checker.request(service, pairs)
            found = (
                self.checker.answer(service, action, answer.status, content, answer.headers.get("content-type", ""))
                if not asked
                else []
            )
            self.wrong += [f"{action}: {v}" for v in [*asked, *found]]
