"""Does the checker of answers itself tell right from wrong? Each guard has one answer that only that guard refuses."""

import boto3
import pytest

import shapes
from shapes import EC2_NAMESPACE, check_request, check_response

REQUEST_ID = "<requestId>59dbff89-35bd-4eac-99ed-be5871234567</requestId>"

SIDE = "<ownerId>111111111111</ownerId><vpcId>vpc-0a1b2c3d4e5f60718</vpcId><region>us-east-1</region>"
STATUS = "<status><code>active</code><message>Active</message></status>"
PEERING = (
    "<vpcPeeringConnectionId>pcx-0a1b2c3d4e5f60718</vpcPeeringConnectionId>"
    f"<requesterVpcInfo>{SIDE}</requesterVpcInfo><accepterVpcInfo>{SIDE}</accepterVpcInfo>{STATUS}"
)


def answer(action, inner, request_id=REQUEST_ID, namespace=EC2_NAMESPACE):
    return f'<{action}Response xmlns="{namespace}">{request_id}{inner}</{action}Response>'.encode()


def peerings(inner):
    return answer("DescribeVpcPeeringConnections", f"<vpcPeeringConnectionSet>{inner}</vpcPeeringConnectionSet>")


def check(action, body, status=200, service="ec2", content_type="text/xml;charset=UTF-8"):
    return check_response(service, action, status, body, content_type)


GOOD = {
    "a peering": ("DescribeVpcPeeringConnections", peerings(f"<item>{PEERING}<tagSet/></item>")),
    "an empty list": ("DescribeVpcPeeringConnections", peerings("")),
    "an absent list": ("DescribeVpcPeeringConnections", answer("DescribeVpcPeeringConnections", "")),
    "a time": (
        "DescribeVpcPeeringConnections",
        peerings(f"<item>{PEERING}<expirationTime>2026-01-22T12:00:00.000Z</expirationTime></item>"),
    ),
    "return of an action without output": ("DeleteVpc", answer("DeleteVpc", "<return>true</return>")),
    "return of an action with output": ("CreateRoute", answer("CreateRoute", "<return>true</return>")),
}


@pytest.mark.parametrize("name", GOOD)
def test_right_answers_pass(name):
    assert check(*GOOD[name]) == []


BAD = {
    "a misspelt member": (
        "DescribeVpcPeeringConnections",
        peerings(f"<item>{PEERING.replace('vpcPeeringConnectionId', 'vpcPeeringConnectionID')}</item>"),
        "vpcPeeringConnectionID: is no member of VpcPeeringConnection",
    ),
    "the SDK's name instead of the wire's": (
        "DescribeVpcPeeringConnections",
        answer("DescribeVpcPeeringConnections", "<VpcPeeringConnections/>"),
        "/VpcPeeringConnections: is no member",
    ),
    "a list without items": ("DescribeVpcPeeringConnections", peerings(PEERING), "a list holds <item> only"),
    "text in a list": ("DescribeVpcPeeringConnections", peerings("none"), "where a list of <item> belongs"),
    "a member one level too high": (
        "DescribeVpcPeeringConnections",
        peerings(f"<item>{PEERING}<region>us-east-1</region></item>"),
        "region: is no member of VpcPeeringConnection",
    ),
    "a wrong boolean": (
        "DescribeRouteTables",
        answer(
            "DescribeRouteTables",
            "<routeTableSet><item><associationSet><item><main>yes</main></item></associationSet></item></routeTableSet>",
        ),
        "main: 'yes' is not a boolean",
    ),
    "a Python boolean": ("CreateRoute", answer("CreateRoute", "<return>True</return>"), "'True' is not a boolean"),
    "a wrong integer": (
        "CreateSubnet",
        answer("CreateSubnet", "<subnet><availableIpAddressCount>251.0</availableIpAddressCount></subnet>"),
        "'251.0' is not an integer",
    ),
    "an integer too large": (
        "CreateSubnet",
        answer("CreateSubnet", "<subnet><availableIpAddressCount>4294967296</availableIpAddressCount></subnet>"),
        "does not fit",
    ),
    "a time without zone": (
        "DescribeVpcPeeringConnections",
        peerings(f"<item>{PEERING}<expirationTime>2026-01-22T12:00:00</expirationTime></item>"),
        "is not an ISO 8601 time",
    ),
    "a value outside its enum": (
        "DescribeVpcPeeringConnections",
        peerings(f"<item>{PEERING.replace('active', 'Active')}</item>"),
        "'Active' is not in the enum VpcPeeringConnectionStateReasonCode",
    ),
    "a structure where a scalar belongs": (
        "CreateVpc",
        answer("CreateVpc", "<vpc><vpcId><item>vpc-0a1b2c3d4e5f60718</item></vpcId></vpc>"),
        "holds elements where String is a string",
    ),
    "text in a structure": (
        "DescribeVpcPeeringConnections",
        peerings(f"<item>stray{PEERING}</item>"),
        "carries text of its own",
    ),
    "a member twice": (
        "DescribeVpcPeeringConnections",
        peerings(f"<item>{PEERING}{STATUS}</item>"),
        "status: appears twice",
    ),
    "a member that AWS always sends": (
        "DescribeVpcPeeringConnections",
        peerings(f"<item>{PEERING.replace(STATUS, '')}</item>"),
        "status: is missing in VpcPeeringConnection",
    ),
    "an attribute": (
        "DescribeVpcPeeringConnections",
        peerings(f'<item kind="x">{PEERING}</item>'),
        "carries attributes",
    ),
    "no namespace": (
        "DescribeVpcs",
        f"<DescribeVpcsResponse>{REQUEST_ID}<vpcSet/></DescribeVpcsResponse>".encode(),
        "root is DescribeVpcsResponse",
    ),
    "a foreign namespace inside": (
        "DescribeVpcs",
        answer("DescribeVpcs", '<vpcSet xmlns="urn:other"/>'),
        "is in namespace 'urn:other'",
    ),
    "another action's root": ("DescribeVpcs", answer("DescribeSubnets", ""), "root is"),
    "no request id": (
        "DescribeVpcs",
        answer("DescribeVpcs", "<vpcSet/>", request_id=""),
        "requestId: is not the first element",
    ),
    "a request id at the end": (
        "DescribeVpcs",
        answer("DescribeVpcs", f"<vpcSet/>{REQUEST_ID}", request_id=""),
        "is not the first element",
    ),
    "a request id that is none": (
        "DescribeVpcs",
        answer("DescribeVpcs", "", request_id="<requestId>1</requestId>"),
        "is not a UUID",
    ),
    "output of an action without output": (
        "DeleteVpc",
        answer("DeleteVpc", "<vpcId>vpc-1</vpcId>"),
        "answers <return>true</return>",
    ),
    "no return of an action without output": ("DeleteVpc", answer("DeleteVpc", ""), "answers <return>true</return>"),
    "broken XML": ("DescribeVpcs", b"<DescribeVpcsResponse>", "not XML"),
    "an entity": ("DescribeVpcs", b'<!DOCTYPE x [<!ENTITY a "b">]><x/>', "document type declaration"),
}


@pytest.mark.parametrize("name", BAD)
def test_wrong_answers_are_refused(name):
    action, body, said = BAD[name]
    found = check(action, body)
    assert any(said in v for v in found), found


def test_each_violation_is_named_with_its_path():
    body = peerings(f"<item>{PEERING}</item><item>{PEERING}<oops>1</oops></item>")
    assert check("DescribeVpcPeeringConnections", body) == [
        "/vpcPeeringConnectionSet[1]/oops: is no member of VpcPeeringConnection"
    ]


def test_content_type_must_be_xml():
    assert check("DeleteVpc", answer("DeleteVpc", "<return>true</return>"), content_type="application/json")


ERROR = (
    '<?xml version="1.0" encoding="UTF-8"?><Response><Errors><Error><Code>InvalidVpcID.NotFound</Code>'
    "<Message>The vpc ID 'vpc-1' does not exist</Message></Error></Errors>"
    "<RequestID>59dbff89-35bd-4eac-99ed-be5871234567</RequestID></Response>"
)


def test_a_right_error_passes():
    assert check("DescribeVpcs", ERROR.encode(), 400) == []


@pytest.mark.parametrize(
    "change, status, said",
    [
        (("<Response>", "<ErrorResponse>"), 400, "root of an error"),
        (("RequestID", "RequestId"), 400, "holds"),
        (("RequestID", "requestId"), 400, "holds"),
        (("Errors>", "Error>"), 400, "holds"),
        (("Message>", "message>"), 400, "holds"),
        (("InvalidVpcID.NotFound", ""), 400, "is no code"),
        (("The vpc ID 'vpc-1' does not exist", " "), 400, "is empty"),
        (("x", "x"), 500, "server error"),
        (("x", "x"), 404, "came with 404"),
        (("InvalidVpcID.NotFound", "DryRunOperation"), 400, "came with 400"),
        (("InvalidVpcID.NotFound", "AuthFailure"), 403, "came with 403"),
    ],
)
def test_wrong_errors_are_refused(change, status, said):
    text = ERROR.replace(*change)
    if change[0] == "<Response>":
        text = text.replace("</Response>", "</ErrorResponse>")
    found = check("DescribeVpcs", text.encode(), status)
    assert any(said in v for v in found), found


STS = (
    '<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>'
    "<Arn>arn:aws:iam::111111111111:root</Arn><UserId>111111111111</UserId><Account>111111111111</Account></GetCallerIdentityResult>"
    "<ResponseMetadata><RequestId>59dbff89-35bd-4eac-99ed-be5871234567</RequestId></ResponseMetadata></GetCallerIdentityResponse>"
)


def test_sts_has_its_own_envelope():
    assert check("GetCallerIdentity", STS.encode(), service="sts") == []
    for bad in [
        STS.replace("Account>", "AccountId>"),
        STS.replace("ResponseMetadata", "Metadata"),
        STS.replace("IdentityResult", "Identity"),
    ]:
        assert check("GetCallerIdentity", bad.encode(), service="sts")


def form(**pairs):
    return [
        (k.replace("_", "."), v)
        for k, v in {"Action": "DescribeVpcPeeringConnections", "Version": "2016-11-15", **pairs}.items()
    ]


@pytest.mark.parametrize(
    "pairs",
    [
        form(),
        form(VpcPeeringConnectionId_1="pcx-1", DryRun="true", MaxResults="5"),
        form(Filter_1_Name="status-code", Filter_1_Value_1="active", Filter_1_Value_2="failed"),
        form(Action="ModifyVpcAttribute", VpcId="vpc-1", EnableDnsSupport_Value="false"),
        form(
            Action="CreateNetworkAclEntry",
            NetworkAclId="acl-1",
            RuleNumber="1",
            Protocol="6",
            RuleAction="allow",
            Egress="false",
            PortRange_From="80",
            PortRange_To="80",
            Icmp_Type="8",
        ),
        form(Action="CreateTags", ResourceId_1="vpc-1", Tag_1_Key="a", Tag_1_Value="b"),
        form(**{"X-Amz-Signature": "00"}),
    ],
)
def test_known_parameters_pass(pairs):
    assert check_request("ec2", pairs) == []


@pytest.mark.parametrize(
    "pairs, said",
    [
        (form(VpcPeeringConnectionIds_1="pcx-1"), "is no member"),
        (form(VpcPeeringConnectionId="pcx-1"), "is a list"),
        (form(VpcPeeringConnectionId_0="pcx-1"), "not a list index"),
        (form(Filter_1_Values_1="x"), "is no member of Filter"),
        (form(DryRun="maybe"), "not a boolean"),
        (form(DryRun_Value="true"), "follows a boolean"),
        (form(MaxResults="ten"), "not an integer"),
        (form(Version="2011-06-15"), "Version"),
        (form(Action="DescribeVpcPeering"), "is not in the ec2 model"),
        (form(Action="DeleteVpc"), "DeleteVpc/VpcId: is required and missing"),
        (form(Action="CreateTags", ResourceId_1="vpc-1"), "CreateTags/Tag: is required and missing"),
        (
            form(Action="CreateNetworkAclEntry", NetworkAclId="a", Protocol="6", RuleAction="allow", Egress="true"),
            "CreateNetworkAclEntry/RuleNumber: is required and missing",
        ),
        (form() + [("DryRun", "true"), ("DryRun", "true")], "more than once"),
    ],
)
def test_unknown_parameters_are_named(pairs, said):
    found = check_request("ec2", pairs)
    assert any(said in v for v in found), found


def test_sts_lists_have_member_in_their_names():
    pairs = [
        ("Action", "AssumeRole"),
        ("Version", "2011-06-15"),
        ("RoleArn", "arn:aws:iam::222222222222:role/x"),
        ("RoleSessionName", "x"),
        ("Tags.member.1.Key", "a"),
        ("Tags.member.1.Value", "b"),
    ]
    assert check_request("sts", pairs) == []
    assert check_request("sts", pairs[:-1]) == ["AssumeRole/Tags.member.1.Value: is required and missing"]


def test_the_checker_stops_a_boto3_call_that_got_a_wrong_answer():
    """The hook is installed where boto3 would silently read `None`."""
    checker, session = shapes.Checker(), boto3.Session("111111111111", "any", region_name="us-east-1")
    checker.install(session)
    client = session.client("ec2", endpoint_url="http://127.0.0.1:9")
    body = answer("DescribeVpcs", "<vpcSet><item><VpcId>vpc-1</VpcId></item></vpcSet>")

    class Reply:
        status_code, headers, content, raw = 200, {"Content-Type": "text/xml"}, body, None

    client.meta.events.register("before-send.ec2", lambda **_: Reply())
    with pytest.raises(shapes.ShapeError, match="VpcId: is no member of Vpc"):
        client.describe_vpcs()
    assert checker.answers["ec2:DescribeVpcs"] == 1 and checker.violations
    assert "1 answers of 1 actions" in checker.summary()
