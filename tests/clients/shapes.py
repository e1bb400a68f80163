"""Is this answer, element by element, what the AWS SDKs expect?

Holds an HTTP exchange of the EC2 Query protocol (and STS's Query protocol) against botocore's own service model
(service-2.json), instead of against what one client happens to read. SDK parsers skip what they do not know, so a
misspelt member looks like an absent one to boto3 and like a bug to everybody else; here it is a violation with a path.

Rules, from the model and the protocol (spec 1.3):
- every element is a member, by locationName, of the output shape at its place; lists are a wrapper with items;
- every value parses as its type; enum values are in the model's enum; nothing appears twice; no stray text;
- required members, and those in `ALWAYS`, are there;
- an error is Response/Errors/Error/{Code,Message} with RequestID, and has the HTTP status of its class;
- every request parameter is one that the input shape knows, its value parses, and none that is required is missing.
"""

import base64
import binascii
import re
import xml.etree.ElementTree as ET
from collections import Counter
from functools import cache
from urllib.parse import parse_qsl

import botocore
import botocore.session

EC2_NAMESPACE = "http://ec2.amazonaws.com/doc/2016-11-15/"
ROUTE53_NAMESPACE = "https://route53.amazonaws.com/doc/2013-04-01/"
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z")
ENVELOPE = {"Action", "Version"}
PRESIGNED = re.compile(r"X-Amz-.*", re.IGNORECASE)

# Members that AWS sends in every answer although the model calls nothing required.
ALWAYS = {
    "Vpc": [
        "VpcId",
        "OwnerId",
        "State",
        "CidrBlock",
        "CidrBlockAssociationSet",
        "DhcpOptionsId",
        "InstanceTenancy",
        "IsDefault",
    ],
    "Subnet": [
        "SubnetId",
        "VpcId",
        "OwnerId",
        "SubnetArn",
        "State",
        "AvailableIpAddressCount",
        "AvailabilityZone",
        "AvailabilityZoneId",
        "DefaultForAz",
        "MapPublicIpOnLaunch",
        "AssignIpv6AddressOnCreation",
    ],
    "RouteTable": ["RouteTableId", "VpcId", "OwnerId", "Routes"],
    "Route": ["Origin", "State"],
    "RouteTableAssociation": ["RouteTableAssociationId", "RouteTableId", "Main", "AssociationState"],
    "VpcPeeringConnection": ["VpcPeeringConnectionId", "Status", "RequesterVpcInfo", "AccepterVpcInfo"],
    "VpcPeeringConnectionVpcInfo": ["OwnerId", "VpcId", "Region"],
    "VpcPeeringConnectionStateReason": ["Code", "Message"],
    "SecurityGroup": ["GroupId", "GroupName", "Description", "OwnerId", "VpcId"],
    "SecurityGroupRule": ["SecurityGroupRuleId", "GroupId", "GroupOwnerId", "IsEgress", "IpProtocol"],
    "NetworkAcl": ["NetworkAclId", "VpcId", "OwnerId", "IsDefault", "Entries"],
    "NetworkAclEntry": ["RuleNumber", "Protocol", "RuleAction", "Egress"],
    "NetworkInterface": [
        "NetworkInterfaceId",
        "SubnetId",
        "VpcId",
        "OwnerId",
        "Status",
        "MacAddress",
        "PrivateIpAddress",
        "SourceDestCheck",
        "InterfaceType",
        "AvailabilityZone",
    ],
    "Reservation": ["ReservationId", "OwnerId", "Instances"],
    "Instance": ["InstanceId", "ImageId", "InstanceType", "State", "LaunchTime", "Placement"],
    "InstanceState": ["Code", "Name"],
    "Region": ["RegionName", "Endpoint"],
    "AvailabilityZone": ["ZoneName", "ZoneId", "RegionName", "State"],
    "TagDescription": ["Key", "ResourceId", "ResourceType"],
    "Tag": ["Key"],
}

# Values that AWS sends although its model does not list them.
BESIDES = {
    # Of an attached internet gateway; Terraform waits for the word.
    "AttachmentStatus": {"available"},
    # Of a NAT gateway; the model has natGateway (spec 8.1).
    "NetworkInterfaceType": {"nat_gateway"},
}

# Members that AWS leaves out although its model requires them: a private hosted zone has no delegation set.
NEVER = {"CreateHostedZoneResponse": {"DelegationSet"}}

# HTTP status by error code where it is not the 400 of every other refusal (spec 1.3.5, 1.3.8, 1.6).
STATUS_OF = {
    "DryRunOperation": {412},
    "AuthFailure": {401},
    "UnauthorizedOperation": {403},
    "SignatureDoesNotMatch": {403},
    "InvalidClientTokenId": {403},
    "AccessDenied": {403},
    "ExpiredToken": {403},
    "MissingAuthenticationToken": {400, 403},
    "IncompleteSignature": {400, 403},
    "RequestExpired": {400, 403},
    "OptInRequired": {400, 403},
    "MethodNotAllowed": {400, 405},
    "RequestEntityTooLarge": {400, 413},
    "RequestTimeout": {400, 408},
    "InvalidRequest": {400, 404},
    "NoSuchHostedZone": {404},
    "NoSuchChange": {404},
    "HostedZoneAlreadyExists": {409},
    "NotAuthorizedException": {401},
    "VPCAssociationNotFound": {404},
    "VPCAssociationAuthorizationNotFound": {404},
}


class ShapeError(AssertionError):
    """An exchange that the model does not allow, with every violation on a line of its own."""


@cache
def model(service):
    """botocore's service model, for example `model("ec2")`."""
    return botocore.session.get_session().get_service_model(service)


def check_response(service, operation, status, body, content_type=None):
    """The violations of one answer, each as `path: what is wrong`; empty when the answer is right."""
    if content_type is not None and not re.fullmatch(
        r"(text|application)/xml(;\s*charset=utf-8)?", content_type, re.IGNORECASE
    ):
        return [f"Content-Type: {content_type!r} is not XML in UTF-8"]
    if re.search(rb"<!(DOCTYPE|ENTITY)", body):
        return ["/: a document type declaration has no place in an answer"]
    try:
        root = ET.fromstring(body)
    except ET.ParseError as e:
        return [f"/: not XML: {e}"]
    if status >= 300:
        return _check_error(service, status, root)
    if status != (model(service).operation_model(operation).http.get("responseCode", 200) if service == "route53" else 200):
        return [f"status: {status} is neither 200 nor an error"]
    return _check_success(service, operation, root)


def check_request(service, pairs):
    """The violations of one request, given its decoded (name, value) pairs."""
    form = dict(pairs)
    if len(form) != len(pairs):
        twice = [name for name, n in Counter(name for name, _ in pairs).items() if n > 1]
        return [f"{name}: sent more than once" for name in twice]
    action = form.get("Action", "")
    known = model(service)
    if action not in known.operation_names:
        return [f"Action: {action!r} is not in the {service} model"]
    found = []
    if form.get("Version") != known.api_version:
        found.append(f"Version: {form.get('Version')!r} is not {known.api_version!r}")
    shape = known.operation_model(action).input_shape
    for name, value in pairs:
        if name not in ENVELOPE and not PRESIGNED.fullmatch(name):
            problem = _check_parameter(service, shape, name, value)
            found += [f"{action}/{name}: {problem}"] if problem else []
    sent = [tuple(name.split(".")) for name in form if name not in ENVELOPE]
    return found + [f"{action}/{name}: is required and missing" for name in _missing(service, shape, sent)]


class Checker:
    """Counts what was checked and refuses, at the call itself, what the model does not allow."""

    def __init__(self):
        self.answers = Counter()
        self.errors = Counter()
        self.violations = []

    def install(self, session):
        """Makes every client of this boto3 session check every answer before it is parsed."""
        session.events.register("before-parse.ec2", self._before_parse)
        session.events.register("before-parse.sts", self._before_parse)
        session.events.register("before-parse.route-53", self._before_parse)

    def answer(self, service, operation, status, body, content_type=None):
        """Checks one answer and returns its violations, which are also kept for the summary."""
        found = check_response(service, operation, status, body, content_type)
        if status < 300:
            self.answers[f"{service}:{operation}"] += 1
        else:
            self.errors[f"{service}:{operation}"] += 1
        self.violations += [f"{operation} ({status}): {v}" for v in found]
        return found

    def request(self, service, pairs):
        """Checks one request and returns its violations, which are also kept for the summary."""
        found = check_request(service, pairs)
        self.violations += [f"request: {v}" for v in found]
        return found

    def summary(self):
        """One line for the end of a run."""
        answers, errors = sum(self.answers.values()), sum(self.errors.values())
        return (
            f"{answers} answers of {len(self.answers)} actions and {errors} errors of {len(self.errors)} actions "
            f"held against botocore {botocore.__version__}: {len(self.violations)} violations"
        )

    def _before_parse(self, operation_model, response_dict, **_):
        service = operation_model.service_model.service_name
        headers = {k.lower(): v for k, v in response_dict["headers"].items()}
        found = self.answer(
            service,
            operation_model.name,
            response_dict["status_code"],
            response_dict["body"],
            headers.get("content-type", ""),
        )
        if found:
            raise ShapeError(
                f"{operation_model.name}:\n  "
                + "\n  ".join(found)
                + f"\n  in {response_dict['body'].decode(errors='replace')}"
            )


def body_pairs(body):
    """The (name, value) pairs of a form body or a query string."""
    return parse_qsl(body, keep_blank_values=True)


# Answers.


def _check_success(service, operation, root):
    known = model(service)
    op = known.operation_model(operation)
    wanted = f"{{{_namespace(service)}}}{operation}Response"
    if root.tag != wanted:
        return [f"/: root is {root.tag}, not {wanted}"]
    walk = _Walk(_namespace(service))
    if service == "ec2":
        children = list(root)
        if not children or walk.name(children[0]) != "requestId":
            walk.say("/requestId", "is not the first element")
        elif not UUID.fullmatch(children[0].text or ""):
            walk.say("/requestId", f"{children[0].text!r} is not a UUID")
        rest = [c for c in children if walk.name(c) != "requestId"]
        if len(children) - len(rest) > 1:
            walk.say("/requestId", "appears twice")
        if op.output_shape is None:
            if [(walk.name(c), c.text) for c in rest] != [("return", "true")]:
                walk.say("/", "an action without output answers <return>true</return> and nothing else")
        else:
            walk.members(op.output_shape, root, rest, "")
        return walk.found
    if service == "route53":
        # REST: what stands in a header is not in the body.
        if op.output_shape is not None:
            walk.members(op.output_shape, root, list(root), "")
        return walk.found
    result = op.output_shape.serialization.get("resultWrapper", f"{operation}Result") if op.output_shape else None
    parts = {walk.name(c): c for c in root}
    for extra in parts.keys() - {result, "ResponseMetadata"}:
        walk.say(f"/{extra}", "is not part of the envelope")
    if (
        parts.get("ResponseMetadata") is None
        or parts["ResponseMetadata"].find(f"{{{walk.namespace}}}RequestId") is None
    ):
        walk.say("/ResponseMetadata/RequestId", "is missing")
    if result and result not in parts:
        walk.say(f"/{result}", "is missing")
    elif result:
        walk.members(op.output_shape, parts[result], list(parts[result]), f"/{result}")
    return walk.found


def _check_error(service, status, root):
    if service == "ec2":
        path, request_id, members = ["Response", "Errors", "Error"], "RequestID", ["Code", "Message"]
    else:
        path, request_id, members = ["ErrorResponse", "Error"], "RequestId", ["Type", "Code", "Message"]
    bare = lambda e: e.tag.rpartition("}")[2]
    found = []
    if bare(root) != path[0]:
        return [f"/: root of an error is {bare(root)}, not {path[0]}"]
    if sorted(bare(c) for c in root) != sorted([path[1], request_id]):
        found.append(f"/{path[0]}: holds {[bare(c) for c in root]}, not {[path[1], request_id]}")
    at = root
    for step in path[1:]:
        at = next((c for c in at if bare(c) == step), None)
        if at is None:
            return found + [f"/{'/'.join(path)}: is missing"]
    if sorted(bare(c) for c in at) != sorted(members):
        found.append(f"/{'/'.join(path)}: holds {[bare(c) for c in at]}, not {members}")
    text = {bare(c): (c.text or "") for c in at}
    code = text.get("Code", "")
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9.]*", code):
        found.append(f"/{'/'.join(path)}/Code: {code!r} is no code")
    if not text.get("Message", "").strip():
        found.append(f"/{'/'.join(path)}/Message: is empty")
    if status >= 500:
        found.append(f"status: {status} ({code}) is a server error: SDKs retry it for minutes")
    elif status not in STATUS_OF.get(code, {400}):
        found.append(f"status: {code} came with {status}, not {sorted(STATUS_OF.get(code, {400}))}")
    ids = [c.text or "" for c in root if bare(c) == request_id]
    if ids and not UUID.fullmatch(ids[0]):
        found.append(f"/{request_id}: {ids[0]!r} is not a UUID")
    return found


class _Walk:
    def __init__(self, namespace):
        self.namespace = namespace
        self.found = []

    def say(self, path, problem):
        self.found.append(f"{path}: {problem}")

    def name(self, element):
        namespace, _, name = element.tag.rpartition("}")
        if namespace != f"{{{self.namespace}":
            self.say(f"/{name}", f"is in namespace {namespace[1:]!r}")
        return name

    def members(self, shape, parent, children, path):
        """Checks `children` of `parent` as the members of a structure."""
        if parent.attrib:
            self.say(path or "/", f"carries attributes {sorted(parent.attrib)}")
        if (parent.text or "").strip() or any((c.tail or "").strip() for c in children):
            self.say(path or "/", "carries text of its own")
        wire = {_wire_name(m, shape.members[m]): m for m in shape.members}
        seen = {}
        for child in children:
            name = self.name(child)
            member = wire.get(name)
            if member is None:
                self.say(f"{path}/{name}", f"is no member of {shape.name}")
                continue
            target = shape.members[member]
            if member in seen and not _flat(target):
                self.say(f"{path}/{name}", "appears twice")
            seen[member] = child
            self.value(target.member if _flat(target) else target, child, f"{path}/{name}")
        for member in [*shape.required_members, *ALWAYS.get(shape.name, [])]:
            if "location" in shape.members.get(member, shape).serialization or member in NEVER.get(shape.name, ()):
                continue
            if member in shape.members and member not in seen:
                self.say(f"{path}/{_wire_name(member, shape.members[member])}", f"is missing in {shape.name}")

    def value(self, shape, element, path):
        if shape.type_name == "structure":
            return self.members(shape, element, list(element), path)
        if element.attrib:
            self.say(path, f"carries attributes {sorted(element.attrib)}")
        if shape.type_name == "list":
            return self.items(shape, element, path)
        if len(element):
            return self.say(path, f"holds elements where {shape.name} is a {shape.type_name}")
        problem = _check_scalar(shape, element.text or "")
        if problem:
            self.say(path, problem)

    def items(self, shape, element, path):
        item = shape.member.serialization.get("name", "member")
        if (element.text or "").strip():
            self.say(path, f"text {element.text.strip()!r} where a list of <{item}> belongs")
        for at, child in enumerate(element):
            if self.name(child) != item:
                self.say(f"{path}/{self.name(child)}", f"a list holds <{item}> only")
            else:
                self.value(shape.member, child, f"{path}[{at}]")


def _namespace(service):
    given = {"ec2": EC2_NAMESPACE, "route53": ROUTE53_NAMESPACE}
    return given[service] if service in given else model(service).metadata["xmlNamespace"]


def _wire_name(member, shape):
    if _flat(shape):
        return shape.member.serialization.get("name", shape.serialization.get("name", member))
    return shape.serialization.get("name", member)


def _flat(shape):
    return shape.type_name == "list" and bool(shape.serialization.get("flattened"))


# Scalars and requests.


def _check_scalar(shape, text):
    kind = shape.type_name
    if kind == "boolean":
        return None if text in ("true", "false") else f"{text!r} is not a boolean"
    if kind in ("integer", "long"):
        if not re.fullmatch(r"-?\d{1,19}", text):
            return f"{text!r} is not an integer"
        bits = 31 if kind == "integer" else 63
        return None if -(2**bits) <= int(text) < 2**bits else f"{text!r} does not fit in {kind}"
    if kind in ("float", "double"):
        return None if re.fullmatch(r"-?\d+(\.\d+)?([eE]-?\d+)?", text) else f"{text!r} is not a number"
    if kind == "timestamp":
        return None if TIMESTAMP.fullmatch(text) else f"{text!r} is not an ISO 8601 time in UTC"
    if kind == "blob":
        try:
            base64.b64decode(text, validate=True)
            return None
        except (binascii.Error, ValueError):
            return "is not base64"
    allowed = shape.metadata.get("enum")
    if not allowed or text in allowed or text in BESIDES.get(shape.name, ()):
        return None
    return f"{text!r} is not in the enum {shape.name}"


def _check_parameter(service, shape, name, value):
    for token in name.split("."):
        if shape is None:
            return "the action takes no parameters"
        if shape.type_name == "list":
            if token == "member" and service != "ec2":
                continue
            if not re.fullmatch(r"[1-9]\d*", token):
                return f"{token!r} is not a list index"
            shape = shape.member
        elif shape.type_name == "structure":
            named = {_query_name(service, m, s): s for m, s in shape.members.items()}
            if token not in named:
                return f"{token!r} is no member of {shape.name}"
            shape = named[token]
        else:
            return f"{token!r} follows a {shape.type_name}"
    if shape.type_name in ("structure", "list"):
        # SDKs send an empty list or structure as its bare name.
        return None if value == "" else f"a value where {shape.name} is a {shape.type_name}"
    return _check_scalar(shape, value)


def _missing(service, shape, sent, above=()):
    """The required parameters that were not sent, inside what was sent."""
    if shape is None or shape.type_name not in ("structure", "list"):
        return []
    below = sorted({name[len(above)] for name in sent if name[: len(above)] == above and len(name) > len(above)})
    if shape.type_name == "list":
        # Inside STS's lists stands the word `member`.
        inside = [shape if token == "member" and service != "ec2" else shape.member for token in below]
        return [m for token, s in zip(below, inside) for m in _missing(service, s, sent, (*above, token))]
    named = {_query_name(service, m, s): (m, s) for m, s in shape.members.items()}
    found = [
        ".".join((*above, token))
        for token, (member, _) in named.items()
        if member in shape.required_members and token not in below
    ]
    for token in below:
        if token in named:
            found += _missing(service, named[token][1], sent, (*above, token))
    return found


def _query_name(service, member, shape):
    given = shape.serialization
    if service != "ec2":
        return given.get("name", member)
    if "queryName" in given:
        return given["queryName"]
    name = given.get("name", member)
    return name[0].upper() + name[1:]
