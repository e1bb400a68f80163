"""One HTTP request, exactly as written: signed by hand, so that it can also be signed wrong.

Signature Version 4 from the standard library alone (spec 1.5), independent of botocore's signer: the two must agree
(test_protocol.py holds this one against known answers). SDKs refuse to send most malformed requests; this does not.
"""

import datetime
import hashlib
import hmac
import http.client
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from urllib.parse import quote, urlencode, urlsplit

import shapes

VERSIONS = {"ec2": "2016-11-15", "sts": "2011-06-15", "peerway": "2026-11-01"}
FORM = "application/x-www-form-urlencoded; charset=utf-8"


@dataclass(frozen=True)
class Key:
    """Whose signature: `access_key` is the account id in lenient mode."""

    access_key: str
    secret: str = "any-secret"
    token: str | None = None


@dataclass
class Reply:
    """One answer, with the error's code and message when it is one."""

    status: int
    headers: dict
    body: bytes

    @property
    def code(self):
        return self._text("Code")

    @property
    def message(self):
        return self._text("Message")

    def text(self, name):
        """The text of the first element of this local name, or None."""
        return self._text(name)

    def _text(self, name):
        for element in ET.fromstring(self.body).iter():
            if element.tag.rpartition("}")[2] == name:
                return element.text
        return None


def encode(text, safe=""):
    return quote(text, safe=f"-._~{safe}")


def canonical_query(pairs):
    return "&".join(f"{k}={v}" for k, v in sorted((encode(k), encode(v)) for k, v in pairs))


def signing_key(secret, date, region, service):
    key = f"AWS4{secret}".encode()
    for part in (date, region, service, "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key


def signature(key, method, path, query, headers, signed, payload_hash, stamp, region, service):
    """The hexadecimal signature over the named `signed` headers; `headers` has lower-case names."""
    lines = "".join(f"{h}:{' '.join(headers[h].split())}\n" for h in signed)
    canonical = f"{method}\n{path}\n{query}\n{lines}\n{';'.join(signed)}\n{payload_hash}"
    scope = f"{stamp[:8]}/{region}/{service}/aws4_request"
    to_sign = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    return hmac.new(signing_key(key.secret, stamp[:8], region, service), to_sign.encode(), hashlib.sha256).hexdigest()


def stamp(offset=0):
    """Now, moved by `offset` seconds, as `YYYYMMDDThhmmssZ`."""
    return (datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=offset)).strftime("%Y%m%dT%H%M%SZ")


class Wire:
    """Sends to one endpoint in the name of one account and region."""

    def __init__(self, endpoint, account, region="us-east-1", service="ec2", checker=None, key=None):
        self.host = urlsplit(endpoint).netloc
        self.key = key or Key(account)
        self.region, self.service, self.checker = region, service, checker

    def call(self, action, parameters=None, **options):
        """A signed POST of `Action` and these parameters."""
        pairs = [("Action", action), ("Version", VERSIONS[self.service]), *(parameters or {}).items()]
        return self.post(pairs, **options)

    def post(self, pairs, known=False, loose=False, **options):
        """A signed POST of these pairs (or of a body as it stands). `known` also checks the parameters.

        So does success: a test whose request is misspelt proves nothing. `loose`: it is misspelt on purpose.
        """
        if known and self.checker:
            wrong = self.checker.request(self.service, pairs)
            assert not wrong, wrong
        as_it_stands = isinstance(pairs, (bytes, str))
        body = pairs if as_it_stands else urlencode(pairs)
        reply = self.send("POST", body=body, headers={"content-type": FORM}, **options)
        if reply.status == 200 and self.service != "peerway" and not (loose or as_it_stands):
            wrong = shapes.check_request(self.service, list(pairs))
            assert not wrong, wrong
        return reply

    def get(self, pairs, **options):
        """A signed GET with these pairs in the query string."""
        return self.send("GET", query=canonical_query(pairs), **options)

    def presigned(self, pairs, expires=60, offset=0, spoil=False):
        """A GET whose signature is in the query string."""
        when = stamp(offset)
        pairs = [
            *pairs,
            ("X-Amz-Algorithm", "AWS4-HMAC-SHA256"),
            ("X-Amz-Credential", f"{self.key.access_key}/{when[:8]}/{self.region}/{self.service}/aws4_request"),
            ("X-Amz-Date", when),
            ("X-Amz-Expires", str(expires)),
            ("X-Amz-SignedHeaders", "host"),
            *([("X-Amz-Security-Token", self.key.token)] if self.key.token else []),
        ]
        query, empty = canonical_query(pairs), hashlib.sha256(b"").hexdigest()
        made = signature(
            self.key, "GET", "/", query, {"host": self.host}, ["host"], empty, when, self.region, self.service
        )
        made = ("0" if made[0] != "0" else "1") + made[1:] if spoil else made
        return self.send("GET", query=f"{query}&X-Amz-Signature={made}", sign=False)

    def send(self, method, path="/", query="", body=b"", headers=None, sign=True, offset=0, edit=None):
        """One request; `edit(headers, body) -> body` spoils it after it was signed."""
        body = body.encode() if isinstance(body, str) else body
        headers = {"host": self.host, **(headers or {})}
        if sign:
            self._sign(method, path, query, body, headers, stamp(offset))
        if edit:
            body = edit(headers, body)
        target = f"{path}?{query}" if query else path
        connection = http.client.HTTPConnection(self.host, timeout=30)
        try:
            connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
            for name, value in {"content-length": str(len(body)), **headers}.items():
                connection.putheader(name, value)
            try:
                connection.endheaders(body)
            except (BrokenPipeError, ConnectionResetError):
                pass  # refused by its length: the answer is already there
            answer = connection.getresponse()
            reply = Reply(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()
        assert reply.status < 500, f"a server error, which SDKs retry for minutes: {reply}"
        return reply

    def _sign(self, method, path, query, body, headers, when):
        headers["x-amz-date"] = when
        if self.key.token:
            headers["x-amz-security-token"] = self.key.token
        signed = sorted(headers)
        made = signature(
            self.key,
            method,
            path,
            query,
            headers,
            signed,
            hashlib.sha256(body).hexdigest(),
            when,
            self.region,
            self.service,
        )
        scope = f"{when[:8]}/{self.region}/{self.service}/aws4_request"
        credential = f"Credential={self.key.access_key}/{scope}"
        headers["authorization"] = f"AWS4-HMAC-SHA256 {credential}, SignedHeaders={';'.join(signed)}, Signature={made}"


def well_formed(reply, service, action):
    """The answer itself, after holding it against the model."""
    wrong = shapes.check_response(service, action, reply.status, reply.body, reply.headers.get("content-type", ""))
    assert not wrong, f"{wrong}\n{reply}"
    return reply
