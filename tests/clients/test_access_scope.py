"""Network access scopes with boto3: what Network Access Analyzer finds, and what it leaves out."""

import re

import pytest

from test_insights import Two, ids
from world import UNKNOWN, eventually, refused

INTERNET = {"ResourceStatement": {"ResourceTypes": ["AWS::EC2::InternetGateway"]}}


def things(*resources):
    return {"ResourceStatement": {"Resources": list(resources)}}


def header(**fields):
    return {"PacketHeaderStatement": fields}


def analyse(party, **paths):
    """The finished analysis of such a scope, and its findings."""
    ec2 = party.ec2
    scope = ec2.create_network_insights_access_scope(**paths)["NetworkInsightsAccessScope"]
    started = ec2.start_network_insights_access_scope_analysis(
        NetworkInsightsAccessScopeId=scope["NetworkInsightsAccessScopeId"]
    )["NetworkInsightsAccessScopeAnalysis"]
    assert (started["Status"], started["AnalyzedEniCount"]) == ("running", 0)
    analysis = started["NetworkInsightsAccessScopeAnalysisId"]
    assert re.fullmatch(r"nisa-[0-9a-f]{17}", analysis)

    def done():
        (now,) = ec2.describe_network_insights_access_scope_analyses(
            NetworkInsightsAccessScopeAnalysisIds=[analysis]
        )["NetworkInsightsAccessScopeAnalyses"]
        return now if now["Status"] != "running" else None

    seen = eventually(done)
    pages = ec2.get_paginator("get_network_insights_access_scope_analysis_findings").paginate(
        NetworkInsightsAccessScopeAnalysisId=analysis, PaginationConfig={"PageSize": 1}
    )
    pages = list(pages)
    assert {page["AnalysisStatus"] for page in pages} == {seen["Status"]}
    return seen, [finding for page in pages for finding in page["AnalysisFindings"]]


def eni(instance):
    return instance["NetworkInterfaces"][0]["NetworkInterfaceId"]


@pytest.fixture
def two(a):
    return Two(a, a)


def test_a_path_between_two_vpcs(two):
    scope = {"MatchPaths": [{"Source": things(two.mine), "Destination": things(two.theirs)}]}
    seen, (finding,) = analyse(two.a, **scope)
    assert (seen["Status"], seen["FindingsFound"], seen["AnalyzedEniCount"]) == ("succeeded", "true", 2)
    assert seen["EndDate"] >= seen["StartDate"]
    assert finding["FindingId"] == "AnalysisFinding-1"
    acls = two.acl(two.a, two.mine), two.acl(two.b, two.theirs)
    assert ids(finding["FindingComponents"]) == [
        two.client["InstanceId"],
        eni(two.client),
        two.a.default_group(two.mine),
        acls[0],
        two.here,
        two.pcx,
        acls[1],
        two.group,
        eni(two.web),
        two.web["InstanceId"],
    ]
    received = finding["FindingComponents"][-2]["InboundHeader"]
    assert (received["Protocol"], received["DestinationPortRanges"]) == ("6", [{"From": 80, "To": 80}])
    excluded = {"ExcludePaths": [{"Destination": header(DestinationPorts=["80"])}]}
    seen, findings = analyse(two.a, **scope, **excluded)
    assert (seen["FindingsFound"], findings) == ("false", [])
    through = {"ExcludePaths": [{"ThroughResources": [things(two.pcx)]}]}
    assert analyse(two.a, **scope, **through)[1] == []


def test_the_internet_but_for_a_trusted_range(two):
    ec2 = two.a.ec2
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=two.mine)
    ec2.create_route(RouteTableId=two.here, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway)
    address = ec2.allocate_address(Domain="vpc")
    ec2.associate_address(AllocationId=address["AllocationId"], NetworkInterfaceId=eni(two.client))
    group = two.a.default_group(two.mine)
    ssh = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "55.3.0.0/16"}]}
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[ssh])
    (finding,) = analyse(two.a, MatchPaths=[{"Source": INTERNET}])[1]
    assert (ids(finding["FindingComponents"])[0], ids(finding["FindingComponents"])[-2:]) == (
        gateway,
        [eni(two.client), two.client["InstanceId"]],
    )
    trusted = {"Source": header(SourceAddresses=["55.3.0.0/16"])}
    assert analyse(two.a, MatchPaths=[{"Source": INTERNET}], ExcludePaths=[trusted])[1] == []
    out = {"Destination": INTERNET, "Source": header(Protocols=["udp"])}
    (finding,) = analyse(two.a, MatchPaths=[out])[1]
    assert ids(finding["FindingComponents"])[-1] == gateway


def test_another_accounts_side(a, b):
    two = Two(a, b)
    seen, findings = analyse(a, MatchPaths=[{"Source": things(two.mine)}])
    assert {ids(finding["FindingComponents"])[-1] for finding in findings} == {two.pcx}
    assert eni(two.web) not in str(findings)
    seen, findings = analyse(a, MatchPaths=[{"Destination": things(two.theirs)}])
    assert (seen["Status"], seen["FindingsFound"], findings) == ("failed", "unknown", [])
    assert f"missing component {two.theirs}" in seen["StatusMessage"]


def test_scopes(a):
    ec2 = a.ec2
    path = {
        "Source": {**things(f"vpc-{UNKNOWN}"), **header(SourceAddresses=["10.0.0.4"], SourcePorts=["1024-65535"])},
        "Destination": {**INTERNET, **header(DestinationPorts=["22"], Protocols=["tcp"])},
    }
    exclude = {"ThroughResources": [{"ResourceStatement": {"ResourceTypes": ["AWS::EC2::NatGateway"]}}]}
    made = ec2.create_network_insights_access_scope(
        MatchPaths=[path],
        ExcludePaths=[exclude],
        TagSpecifications=[
            {"ResourceType": "network-insights-access-scope", "Tags": [{"Key": "k", "Value": "v"}]}
        ],
    )
    scope, content = made["NetworkInsightsAccessScope"], made["NetworkInsightsAccessScopeContent"]
    wanted = scope["NetworkInsightsAccessScopeId"]
    assert re.fullmatch(r"nis-[0-9a-f]{17}", wanted)
    assert scope["NetworkInsightsAccessScopeArn"] == (
        f"arn:aws:ec2:{a.region}:{a.account}:network-insights-access-scope/{wanted}"
    )
    assert (scope["CreatedDate"], scope["Tags"]) == (scope["UpdatedDate"], [{"Key": "k", "Value": "v"}])
    assert (content["MatchPaths"], content["ExcludePaths"]) == ([path], [exclude])
    again = ec2.get_network_insights_access_scope_content(NetworkInsightsAccessScopeId=wanted)
    assert again["NetworkInsightsAccessScopeContent"] == content
    pages = ec2.get_paginator("describe_network_insights_access_scopes").paginate(Filters=[{"Name": "tag:k", "Values": ["v"]}])
    assert [s["NetworkInsightsAccessScopeId"] for p in pages for s in p["NetworkInsightsAccessScopes"]] == [wanted]
    with refused("InvalidNetworkInsightsAccessScopeId.NotFound"):
        ec2.get_network_insights_access_scope_content(NetworkInsightsAccessScopeId=f"nis-{UNKNOWN}")
    with refused("MissingParameter"):
        ec2.create_network_insights_access_scope(ExcludePaths=[exclude])
    with refused("DryRunOperation", status=412):
        ec2.create_network_insights_access_scope(MatchPaths=[path], DryRun=True)
    analysis = ec2.start_network_insights_access_scope_analysis(NetworkInsightsAccessScopeId=wanted)
    analysis = analysis["NetworkInsightsAccessScopeAnalysis"]["NetworkInsightsAccessScopeAnalysisId"]
    with refused("AnalysisExistsForNetworkInsightsAccessScope"):
        ec2.delete_network_insights_access_scope(NetworkInsightsAccessScopeId=wanted)
    pages = ec2.get_paginator("describe_network_insights_access_scope_analyses").paginate(
        NetworkInsightsAccessScopeId=wanted, PaginationConfig={"PageSize": 1}
    )
    assert [
        n["NetworkInsightsAccessScopeAnalysisId"] for p in pages for n in p["NetworkInsightsAccessScopeAnalyses"]
    ] == [analysis]
    gone = ec2.delete_network_insights_access_scope_analysis(NetworkInsightsAccessScopeAnalysisId=analysis)
    assert gone["NetworkInsightsAccessScopeAnalysisId"] == analysis
    gone = ec2.delete_network_insights_access_scope(NetworkInsightsAccessScopeId=wanted)
    assert gone["NetworkInsightsAccessScopeId"] == wanted
