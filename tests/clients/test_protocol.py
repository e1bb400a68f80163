"""What bytes may do to the endpoint: the exact refusal, never a server error (spec 1.3, 1.5, 1.2).

Requests are written by hand (raw.py), since SDKs refuse to send most of these. Every answer is held against the model.
"""

import hashlib
import http.client
import json
import re

import pytest

import raw
import shapes
from raw import Key, Wire, canonical_query, signature, signing_key, stamp, well_formed
from world import AWAY, HOME, UNKNOWN

EC2 = [("Action", "DescribeVpcs"), ("Version", "2016-11-15")]
SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"


@pytest.fixture
def wire(a):
    return a.wire


@pytest.fixture
def temporary(cloud, new_account):
    """Real credentials, whose secret only we and the endpoint know."""
    account = new_account()
    given = cloud.client(account, service="sts").assume_role(
        RoleArn=f"arn:aws:iam::{account}:role/tester", RoleSessionName="test"
    )["Credentials"]
    return Key(given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"])


def expect(reply, code, status=None, message=None, action="DescribeVpcs", service="ec2"):
    """An error of this code, in the right envelope."""
    well_formed(reply, service, action)
    codes = code if isinstance(code, tuple) else (code,)
    assert reply.code in codes, reply
    if status is not None:
        assert reply.status in (status if isinstance(status, tuple) else (status,)), reply
    if message is not None:
        assert re.search(message, reply.message), reply
    return reply


# The signer that this file trusts.


def test_the_signers_known_answers():
    key = signing_key(SECRET, "20150830", "us-east-1", "iam")
    assert key.hex() == "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9"
    body = b"Action=DescribeVpcPeeringConnections&Version=2016-11-15&VpcPeeringConnectionId.1=pcx-0123456789abcdef0"
    digest = hashlib.sha256(body).hexdigest()
    assert digest == "588e1228f599667ca8faa554849d5669a6d4350c31fc637512c00f2f25db572c"
    headers = {
        "content-type": raw.FORM,
        "host": "ec2.us-east-1.example.internal",
        "x-amz-date": "20260115T120000Z",
    }
    made = signature(
        Key("AKIDEXAMPLE", SECRET),
        "POST",
        "/",
        "",
        headers,
        sorted(headers),
        digest,
        "20260115T120000Z",
        "us-east-1",
        "ec2",
    )
    assert made == "26e4193d078ed3c027b36d11f1af24de6007fdf4bfa515fba67ee35f233f7dc3"
    assert canonical_query([("b", "x y/+~"), ("a", "1"), ("A", "2")]) == "A=2&a=1&b=x%20y%2F%2B~"


# Actions and versions.


def test_post_and_get_are_the_same(a, wire):
    vpc = a.vpc()
    pairs = [*EC2, ("VpcId.1", vpc)]
    for reply in (wire.post(pairs), wire.get(pairs)):
        assert well_formed(reply, "ec2", "DescribeVpcs").text("vpcId") == vpc
    charset = wire.send(
        "POST",
        body=canonical_query(pairs),
        headers={"content-type": "application/x-www-form-urlencoded; charset=UTF-8"},
    )
    assert charset.status == 200


def test_actions_that_are_none(wire):
    invalid = "^The action {} is not valid for this web service.$"
    expect(wire.post([("Version", "2016-11-15")]), "MissingAction", 400)
    expect(wire.post(b""), "MissingAction", 400)
    expect(wire.post([("Action", ""), ("Version", "2016-11-15")]), ("MissingAction", "InvalidAction"), 400)
    for name in ("DescribeVpc", "describevpcs", "GetCallerIdentity", "AdvanceClock", "x" * 3000):
        expect(
            wire.post([("Action", name), ("Version", "2016-11-15")]),
            "InvalidAction",
            400,
            invalid.format(name) if len(name) < 99 else None,
        )
    for name in ("<b>&'\"", "\x00", "\ud7ff\uffff", "Describe\nVpcs", "☃"):
        expect(
            wire.post([("Action", name), ("Version", "2016-11-15")]),
            ("InvalidAction", "InvalidParameterValue", "MalformedQueryString"),
            400,
        )
    expect(wire.post([("Action", "DescribeVpcs"), ("Version", "2011-06-15")]), "NoSuchVersion", 400)
    expect(wire.post([("Action", "DescribeVpcs")]), ("MissingParameter", "NoSuchVersion"), 400)


def test_every_action_of_the_model_is_answered(cloud, new_account, checker):
    """No action of EC2, known to Peerway or not, may answer in a way that SDKs retry or cannot read."""
    wire = cloud.wire(new_account())
    known = []
    for action in shapes.model("ec2").operation_names:
        reply = wire.call(action)
        wrong = checker.answer("ec2", action, reply.status, reply.body, reply.headers.get("content-type", ""))
        assert not wrong, (action, wrong)
        if reply.status == 200 or reply.code != "InvalidAction":
            known.append(action)
    assert set(TIER_1) <= set(known), f"not there: {sorted(set(TIER_1) - set(known))}"


TIER_1 = """
    CreateVpcPeeringConnection AcceptVpcPeeringConnection RejectVpcPeeringConnection DeleteVpcPeeringConnection
    DescribeVpcPeeringConnections ModifyVpcPeeringConnectionOptions CreateVpc DeleteVpc DescribeVpcs ModifyVpcAttribute
    DescribeVpcAttribute AssociateVpcCidrBlock DisassociateVpcCidrBlock CreateSubnet DeleteSubnet DescribeSubnets
    ModifySubnetAttribute AssociateSubnetCidrBlock DisassociateSubnetCidrBlock CreateRouteTable DeleteRouteTable
    DescribeRouteTables AssociateRouteTable DisassociateRouteTable ReplaceRouteTableAssociation CreateRoute ReplaceRoute
    DeleteRoute CreateSecurityGroup DeleteSecurityGroup DescribeSecurityGroups DescribeSecurityGroupRules
    ModifySecurityGroupRules AuthorizeSecurityGroupIngress AuthorizeSecurityGroupEgress RevokeSecurityGroupIngress
    RevokeSecurityGroupEgress UpdateSecurityGroupRuleDescriptionsIngress UpdateSecurityGroupRuleDescriptionsEgress
    DescribeSecurityGroupReferences DescribeStaleSecurityGroups CreateNetworkInterface DeleteNetworkInterface
    DescribeNetworkInterfaces ModifyNetworkInterfaceAttribute DescribeNetworkInterfaceAttribute AttachNetworkInterface
    DetachNetworkInterface RunInstances DescribeInstances StartInstances StopInstances TerminateInstances
    DescribeInstanceAttribute ModifyInstanceAttribute DescribeInstanceTypes DescribeImages
    DescribeInstanceCreditSpecifications DescribeVolumes DescribeInstanceStatus CreateTags DeleteTags DescribeTags
    DescribeRegions DescribeAvailabilityZones DescribeAccountAttributes DescribeNetworkAcls CreateNetworkAcl
    DeleteNetworkAcl CreateNetworkAclEntry DeleteNetworkAclEntry ReplaceNetworkAclEntry ReplaceNetworkAclAssociation
    DescribeDhcpOptions
""".split()


HOSTILE = {
    "nothing": "",
    "a NUL": "\x00",
    "a control character": "a\x0bb",
    "markup": "</x><![CDATA[&lt;",
    "not a number": "-1e99",
    "a huge number": "9" * 40,
    "a formatter": "%s%n{0}${jndi}",
    "a path": "../../../../etc/passwd",
    "a long text": "x" * 20_000,
    "letters of the world": "٣😀\u202e\ufeff",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_values_everywhere(name, cloud, new_account, checker):
    """Every parameter of every action, one at a time: an answer that parses, and no server error."""
    wire, value = cloud.wire(new_account()), HOSTILE[name]
    for action in TIER_1:
        shape = shapes.model("ec2").operation_model(action).input_shape
        for parameter in parameters(shape):
            reply = wire.call(action, {parameter: value})
            wrong = checker.answer("ec2", action, reply.status, reply.body, reply.headers.get("content-type", ""))
            assert not wrong, (action, parameter, wrong, reply.body[:500])


def parameters(shape, depth=2):
    """The wire names of a shape's scalars, to this depth of structures and lists."""
    names = []
    for member, target in shape.members.items():
        name = shapes._query_name("ec2", member, target)
        if target.type_name == "list":
            name, target = f"{name}.1", target.member
        if target.type_name == "structure":
            names += [f"{name}.{inner}" for inner in parameters(target, depth - 1)] if depth > 1 else []
        else:
            names.append(name)
    return names


@pytest.mark.parametrize(
    "action, parameter, prefix, code",
    [
        ("DescribeVpcs", "VpcId.1", "vpc", ("InvalidVpcID.Malformed", "InvalidVpcId.Malformed")),
        ("DescribeSubnets", "SubnetId.1", "subnet", ("InvalidSubnetID.Malformed", "InvalidSubnetId.Malformed")),
        (
            "DescribeRouteTables",
            "RouteTableId.1",
            "rtb",
            ("InvalidRouteTableId.Malformed", "InvalidRouteTableID.Malformed"),
        ),
        ("DescribeVpcPeeringConnections", "VpcPeeringConnectionId.1", "pcx", "InvalidVpcPeeringConnectionId.Malformed"),
        ("DescribeSecurityGroups", "GroupId.1", "sg", "InvalidGroupId.Malformed"),
        ("DescribeSecurityGroupRules", "SecurityGroupRuleId.1", "sgr", "InvalidSecurityGroupRuleId.Malformed"),
        (
            "DescribeNetworkAcls",
            "NetworkAclId.1",
            "acl",
            ("InvalidNetworkAclId.Malformed", "InvalidNetworkAclID.Malformed"),
        ),
        ("DescribeNetworkInterfaces", "NetworkInterfaceId.1", "eni", "InvalidNetworkInterfaceId.Malformed"),
        ("DescribeInstances", "InstanceId.1", "i", "InvalidInstanceID.Malformed"),
    ],
)
def test_malformed_ids(wire, action, parameter, prefix, code):
    """Only 8 or 17 lower-case hexadecimal digits after the right prefix are an id (spec 1.2)."""
    for bad in (
        prefix,
        f"{prefix}-",
        f"{prefix}-1",
        f"{prefix}-{UNKNOWN}0",
        f"{prefix}-{UNKNOWN.upper()}",
        f"x{prefix}-{UNKNOWN}",
        f"{prefix}_{UNKNOWN}",
        f"{prefix}-{UNKNOWN}\n",
        f" {prefix}-{UNKNOWN}",
        f"{prefix}-0123456789abcdefg",
        f"{prefix}-٠١٢٣٤٥٦٧",
    ):
        reply = expect(wire.call(action, {parameter: bad}), code, 400, action=action)
        assert reply.message == f'Invalid id: "{bad}" (expecting "{prefix}-...")'
    for good in (f"{prefix}-{UNKNOWN}", f"{prefix}-01234567"):
        reply = expect(wire.call(action, {parameter: good}), NOT_FOUND[prefix], 400, action=action)
        assert good in reply.message


NOT_FOUND = {
    "vpc": "InvalidVpcID.NotFound",
    "subnet": "InvalidSubnetID.NotFound",
    "rtb": "InvalidRouteTableID.NotFound",
    "pcx": "InvalidVpcPeeringConnectionID.NotFound",
    "sg": "InvalidGroup.NotFound",
    "sgr": "InvalidSecurityGroupRuleId.NotFound",
    "acl": "InvalidNetworkAclID.NotFound",
    "eni": "InvalidNetworkInterfaceID.NotFound",
    "i": "InvalidInstanceID.NotFound",
}


def test_forms_that_are_none(wire):
    bad = {
        "a broken escape": b"Action=DescribeVpcs&Version=2016-11-15&x=%zz",
        "a cut escape": b"Action=DescribeVpcs&Version=2016-11-15&x=%4",
        "not UTF-8": b"Action=DescribeVpcs&Version=2016-11-15&VpcId.1=%ff%fe",
        "bytes that are not UTF-8": b"Action=DescribeVpcs&Version=2016-11-15&VpcId.1=\xff\xfe",
        "a text and a list at once": b"Action=DescribeVpcs&Version=2016-11-15&VpcId=x&VpcId.1=y",
        "a deep name": b"Action=DescribeVpcs&Version=2016-11-15&" + b".".join([b"a"] * 5000) + b"=x",
        "many pairs": b"Action=DescribeVpcs&Version=2016-11-15&"
        + b"&".join(b"Filter.1.Value.%d=x" % n for n in range(30_000)),
        "JSON": json.dumps({"Action": "DescribeVpcs"}).encode(),
        "XML": b"<?xml version='1.0'?><!DOCTYPE x [<!ENTITY a SYSTEM 'file:///etc/passwd'>]><x>&a;</x>",
        "only separators": b"&&&===&",
    }
    for name, body in bad.items():
        reply = wire.post(body)
        well_formed(reply, "ec2", "DescribeVpcs")
        assert 400 <= reply.status < 500, (name, reply)
    for odd in (
        b"Action=DescribeVpcs&Version=2016-11-15&&",
        b"&Action=DescribeVpcs&Version=2016-11-15",
        b"Action=Describe%56pcs&Version=2016-11-15",
        b"Action=DescribeVpcs&Version=2016-11-15&Vpc.0.0.0=x",  # unknown parameters are passed over
        b"Action=DescribeVpcs&Version=2016-11-15&Vpc." + b"9" * 50 + b"=x",
    ):
        assert well_formed(wire.post(odd), "ec2", "DescribeVpcs").status == 200, odd


# HTTP.


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "TRACE", "BREW"])
def test_other_methods(wire, method):
    reply = wire.send(method, body=canonical_query(EC2), headers={"content-type": raw.FORM})
    assert 400 <= reply.status < 500, reply
    if method != "HEAD":
        well_formed(reply, "ec2", "DescribeVpcs")


@pytest.mark.parametrize("path", ["/x", "//", "/..", "/%2e%2e/", "/latest/meta-data/", "/favicon.ico"])
def test_other_paths(wire, path):
    reply = wire.send("POST", path=path, body=canonical_query(EC2), headers={"content-type": raw.FORM})
    assert reply.status < 500
    if reply.body:
        well_formed(reply, "ec2", "DescribeVpcs")


def test_web_pages_may_not_ask(wire):
    """A browser that visits some page must not be able to drive the endpoint (DNS rebinding, CSRF)."""
    body = canonical_query([("Action", "CreateVpc"), ("Version", "2016-11-15"), ("CidrBlock", "10.0.0.0/16")])
    headers = {"content-type": raw.FORM, "origin": "https://example.com"}
    assert 400 <= wire.send("POST", body=body, headers=headers).status < 500
    assert b"<item>" not in wire.post(EC2).body


def test_a_body_too_large(wire):
    reply = wire.post(b"Action=DescribeVpcs&Version=2016-11-15&x=" + b"y" * (16 << 20))
    assert reply.status in (400, 413), reply
    assert wire.post(EC2).status == 200


def test_a_body_that_never_comes(wire):
    """A client that promises more than it sends holds nobody else up."""
    connections = []
    for _ in range(20):
        connection = http.client.HTTPConnection(wire.host, timeout=5)
        connection.putrequest("POST", "/")
        connection.putheader("content-length", "1000")
        connection.endheaders(b"Action=")
        connections.append(connection)
    assert wire.post(EC2).status == 200
    for connection in connections:
        connection.close()


def test_headers_without_end(wire):
    with pytest.raises((http.client.HTTPException, OSError, AssertionError)):
        reply = wire.send("POST", body=canonical_query(EC2), headers={f"x-{n}": "y" * 8000 for n in range(200)})
        assert reply.status == 200, "refused, as it should"
    assert wire.post(EC2).status == 200


def test_a_connection_serves_many_requests(wire):
    connection = http.client.HTTPConnection(wire.host, timeout=10)
    for _ in range(3):
        headers = {"host": wire.host, "content-type": raw.FORM}
        body = canonical_query(EC2)
        wire._sign("POST", "/", "", body.encode(), headers, stamp())
        connection.request("POST", "/", body, headers)
        answer = connection.getresponse()
        assert answer.status == 200 and b"DescribeVpcsResponse" in answer.read()
    connection.close()


# Who asks (1.5).


def test_without_credentials(wire):
    for reply in (
        wire.send("POST", body=canonical_query(EC2), headers={"content-type": raw.FORM}, sign=False),
        wire.send("GET", query=canonical_query(EC2), sign=False),
    ):
        expect(reply, "MissingAuthenticationToken", (400, 403))


@pytest.mark.parametrize(
    "account",
    ["12345678901", "1234567890123", "AKIAIOSFODNN7EXAMPLE", "12345678901a", "١٢٣٤٥٦٧٨٩٠١٢", "-12345678901", " "],
)
def test_unknown_keys(cloud, account):
    key = Key(account.encode().decode("latin-1"))
    reply = Wire(cloud.endpoint, account, key=key).post(EC2)
    code = ("AuthFailure", "IncompleteSignature") if not account.isascii() or account == " " else "AuthFailure"
    expect(
        reply,
        code,
        message=None
        if account == " " or not account.isascii()
        else "^AWS was not able to validate the provided access credentials$",
    )


def test_real_keys_are_verified(cloud, temporary):
    ok = Wire(cloud.endpoint, None, key=temporary)
    assert ok.post(EC2).status == 200
    failure = "^AWS was not able to validate the provided access credentials$"

    def spoiled(edit, **key):
        wire = Wire(cloud.endpoint, None, key=Key(**{**temporary.__dict__, **key}))
        return expect(wire.post(EC2, edit=edit), "AuthFailure", 401, failure)

    spoiled(None, secret="another-secret")
    spoiled(None, token=None)
    spoiled(None, token="made up")
    spoiled(lambda h, body: body.replace(b"DescribeVpcs", b"DescribeXpcs"))
    spoiled(lambda h, body: h.update({"content-type": "application/x-www-form-urlencoded"}) or body)
    spoiled(lambda h, body: h.update({"host": "localhost"}) or body)
    last = lambda s: s[:-1] + ("0" if s[-1] != "0" else "1")
    spoiled(lambda h, body: h.update({"authorization": last(h["authorization"])}) or body)
    spoiled(
        lambda h, body: h.update({"authorization": re.sub("Signature=.*", "Signature=", h["authorization"])}) or body
    )
    expect(ok.presigned(EC2, spoil=True), "AuthFailure", 401)
    assert ok.send("GET", query=canonical_query(EC2)).status == 200


def test_signatures_hold_for_minutes_only(cloud, temporary):
    wire = Wire(cloud.endpoint, None, key=temporary)
    for offset in (-10 * 60, 10 * 60):
        assert wire.post(EC2, offset=offset).status == 200
    for offset in (-16 * 60, 16 * 60, -86400, 400 * 86400):
        expect(wire.post(EC2, offset=offset), "RequestExpired", (400, 403))
    expect(wire.presigned(EC2, expires=60, offset=-120), "RequestExpired", (400, 403))
    for expires in (0, -1, 604_801):
        assert 400 <= wire.presigned(EC2, expires=expires).status < 500


def test_the_scope_must_fit(cloud, new_account):
    account = new_account()
    for service in ("s3", "sns", "EC2", ""):
        wire = Wire(cloud.endpoint, account, service="ec2")
        wire.service = service
        expect(wire.post(EC2), ("SignatureDoesNotMatch", "IncompleteSignature", "AuthFailure", "InvalidAction"))
    for region in ("mars-north-1", "us-east-1a", "", "../etc"):
        wire = Wire(cloud.endpoint, account, region)
        reply = wire.post(EC2)
        well_formed(reply, "ec2", "DescribeVpcs")
        assert 400 <= reply.status < 500, (region, reply)


@pytest.mark.parametrize(
    "change",
    [
        ("AWS4-HMAC-SHA256", "AWS4-HMAC-SHA1"),
        ("AWS4-HMAC-SHA256 ", "Basic "),
        ("AWS4-HMAC-SHA256 ", "Bearer "),
        ("Credential=", "Credentials="),
        ("SignedHeaders=", "Headers="),
        ("Signature=", "Sig="),
        ("aws4_request", "aws5_request"),
        ("SignedHeaders=content-type;host;", "SignedHeaders=content-type;"),
        ("host;x-amz-date", "host"),
        ("/us-east-1/", "/"),
        ("/us-east-1/", "/us-east-1/us-east-1/"),
        (", ", " "),
    ],
)
def test_headers_that_are_no_signature(wire, change):
    def edit(headers, body):
        assert change[0] in headers["authorization"]
        headers["authorization"] = headers["authorization"].replace(*change, 1)
        return body

    reply = wire.post(EC2, edit=edit)
    expect(reply, ("IncompleteSignature", "SignatureDoesNotMatch", "AuthFailure", "MissingAuthenticationToken"))


@pytest.mark.parametrize("value", ["", "AWS4-HMAC-SHA256", "AWS4-HMAC-SHA256 " + "," * 5000, "x" * 9000])
def test_authorization_of_nothing(wire, value):
    reply = wire.post(EC2, edit=lambda headers, body: headers.update(authorization=value) or body)
    assert 400 <= reply.status < 500, reply


@pytest.mark.parametrize(
    "when",
    ["", "yesterday", "20260231T000000Z", "2026-01-15T12:00:00Z", "20260115", "99999999T999999Z", "٢٠٢٦0115T120000Z"],
)
def test_dates_that_are_none(wire, when):
    value = when.encode().decode("latin-1")
    reply = wire.post(EC2, edit=lambda headers, body: headers.update({"x-amz-date": value}) or body)
    expect(reply, ("IncompleteSignature", "SignatureDoesNotMatch", "RequestExpired", "AuthFailure"))


def test_regions_are_worlds_apart(cloud, a):
    vpc = a.vpc()
    pairs = [*EC2, ("VpcId.1", vpc)]
    assert cloud.wire(a.account, HOME).post(pairs).status == 200
    expect(cloud.wire(a.account, AWAY).post(pairs), "InvalidVpcID.NotFound", 400)


def test_strict_auth_wants_real_keys(own_server_factory, checker):
    with own_server_factory(extra=("--strict-auth",)) as server:
        for account in ("111111111111", "AKIAIOSFODNN7EXAMPLE"):
            expect(Wire(server.endpoint, account, checker=checker).post(EC2), "AuthFailure", 401)
