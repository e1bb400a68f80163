"""Network Insights with boto3: paths, analyses, and the explanation of each usual mistake (spec 12.2)."""

import re

import pytest

from world import UNKNOWN, eventually, filtered, refused

WEB = {"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "IpRanges": [{"CidrIp": "10.0.0.0/16"}]}


class Two:
    """A client and a web server in two VPCs, peered and routed; `b` may be another account."""

    def __init__(self, a, b):
        self.a, self.b = a, b
        self.mine, self.theirs = a.vpc("10.0.0.0/16"), b.vpc("10.1.0.0/16")
        self.group = b.group(self.theirs)
        b.ec2.authorize_security_group_ingress(GroupId=self.group, IpPermissions=[WEB])
        self.client = self.run(a, self.mine, "10.0.1.0/24", a.default_group(self.mine))
        self.web = self.run(b, self.theirs, "10.1.1.0/24", self.group)
        self.pcx = a.peer(self.mine, b, self.theirs)
        self.here, self.there = a.main_table(self.mine), b.main_table(self.theirs)
        self.route(a, self.here, "10.1.0.0/16")
        self.route(b, self.there, "10.0.0.0/16")

    def run(self, party, vpc, cidr, group):
        subnet = party.subnet(vpc, cidr)
        (instance,) = party.ec2.run_instances(
            ImageId="ami-0123456789abcdef0", MinCount=1, MaxCount=1, SubnetId=subnet, SecurityGroupIds=[group]
        )["Instances"]
        state = lambda: party.ec2.describe_instances(InstanceIds=[instance["InstanceId"]])
        eventually(lambda: state()["Reservations"][0]["Instances"][0]["State"]["Name"] == "running")
        return instance

    def route(self, party, table, to):
        party.ec2.create_route(RouteTableId=table, DestinationCidrBlock=to, VpcPeeringConnectionId=self.pcx)

    def acl(self, party, vpc):
        (acl,) = party.ec2.describe_network_acls(Filters=filtered(vpc_id=vpc))["NetworkAcls"]
        return acl["NetworkAclId"]

    def ask(self, **more):
        """The finished analysis of client to web, port 80."""
        wanted = {"Protocol": "tcp", "DestinationPort": 80, "Destination": self.web_arn, **more}
        return analyse(self.a, Source=self.client["InstanceId"], **wanted)

    @property
    def web_arn(self):
        return f"arn:aws:ec2:{self.b.region}:{self.b.account}:instance/{self.web['InstanceId']}"


def analyse(party, **path):
    made = party.ec2.create_network_insights_path(**path)["NetworkInsightsPath"]
    started = party.ec2.start_network_insights_analysis(NetworkInsightsPathId=made["NetworkInsightsPathId"])
    analysis = started["NetworkInsightsAnalysis"]
    assert analysis["Status"] == "running"
    assert re.fullmatch(r"nia-[0-9a-f]{17}", analysis["NetworkInsightsAnalysisId"])

    def done():
        (now,) = party.ec2.describe_network_insights_analyses(
            NetworkInsightsAnalysisIds=[analysis["NetworkInsightsAnalysisId"]]
        )["NetworkInsightsAnalyses"]
        return now if now["Status"] != "running" else None

    return eventually(done)


def ids(components):
    return [c["Component"]["Id"] for c in components]


def codes(analysis):
    return [e["ExplanationCode"] for e in analysis.get("Explanations", [])]


@pytest.fixture
def two(a):
    return Two(a, a)


def test_an_open_way(two):
    seen = two.ask()
    assert (seen["Status"], seen["NetworkPathFound"], codes(seen)) == ("succeeded", True, [])
    eni = lambda instance: instance["NetworkInterfaces"][0]["NetworkInterfaceId"]
    acls = two.acl(two.a, two.mine), two.acl(two.b, two.theirs)
    assert ids(seen["ForwardPathComponents"]) == [
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
    assert ids(seen["ReturnPathComponents"]) == [
        two.web["InstanceId"],
        eni(two.web),
        acls[1],
        two.there,
        two.pcx,
        acls[0],
        eni(two.client),
        two.client["InstanceId"],
    ]
    stages = {c["Component"]["Id"]: c for c in seen["ForwardPathComponents"]}
    assert [c["SequenceNumber"] for c in seen["ForwardPathComponents"]] == list(range(1, 11))
    assert stages[acls[0]]["AclRule"] == {
        "Cidr": "0.0.0.0/0",
        "Egress": True,
        "Protocol": "all",
        "RuleAction": "allow",
        "RuleNumber": 100,
    }
    assert stages[two.here]["RouteTableRoute"] == {
        "DestinationCidr": "10.1.0.0/16",
        "Origin": "CreateRoute",
        "State": "active",
        "VpcPeeringConnectionId": two.pcx,
    }
    assert stages[two.group]["SecurityGroupRule"] == {
        "Cidr": "10.0.0.0/16",
        "Direction": "ingress",
        "PortRange": {"From": 80, "To": 80},
        "Protocol": "tcp",
    }
    assert stages[eni(two.web)]["AttachedTo"]["Id"] == two.web["InstanceId"]
    header = stages[eni(two.web)]["InboundHeader"]
    assert header["DestinationAddresses"] == [f"{two.web['PrivateIpAddress']}/32"]
    assert header["DestinationPortRanges"] == [{"From": 80, "To": 80}]
    assert header["Protocol"] == "6"
    assert (stages[two.pcx]["SourceVpc"]["Id"], stages[two.pcx]["DestinationVpc"]["Id"]) == (two.mine, two.theirs)


def test_a_missing_route(two):
    two.a.ec2.delete_route(RouteTableId=two.here, DestinationCidrBlock="10.1.0.0/16")
    seen = two.ask()
    assert (seen["Status"], seen["NetworkPathFound"]) == ("succeeded", False)
    (why,) = seen["Explanations"]
    assert (why["ExplanationCode"], why["RouteTable"]["Id"], why["Vpc"]["Id"]) == (
        "NO_ROUTE_TO_DESTINATION",
        two.here,
        two.mine,
    )


def test_a_missing_return_route(two):
    two.b.ec2.delete_route(RouteTableId=two.there, DestinationCidrBlock="10.0.0.0/16")
    (why,) = two.ask()["Explanations"]
    assert (why["ExplanationCode"], why["RouteTable"]["Id"]) == ("NO_ROUTE_TO_DESTINATION", two.there)
    # Datagrams need none.
    dns = {**WEB, "IpProtocol": "udp", "FromPort": 53, "ToPort": 53}
    two.b.ec2.authorize_security_group_ingress(GroupId=two.group, IpPermissions=[dns])
    assert two.ask(Protocol="udp", DestinationPort=53)["NetworkPathFound"] is True


def test_a_security_group(two):
    (why,) = two.ask(DestinationPort=443)["Explanations"]
    assert (why["ExplanationCode"], why["Direction"]) == ("ENI_SG_RULES_MISMATCH", "ingress")
    assert [g["Id"] for g in why["SecurityGroups"]] == [two.group]
    two.b.ec2.revoke_security_group_ingress(GroupId=two.group, IpPermissions=[WEB])
    assert codes(two.ask()) == ["SG_HAS_NO_RULES"]


@pytest.mark.parametrize("egress", [True, False])
def test_a_network_acl(two, egress):
    party, vpc = (two.a, two.mine) if egress else (two.b, two.theirs)
    acl = two.acl(party, vpc)
    party.ec2.create_network_acl_entry(
        NetworkAclId=acl,
        RuleNumber=7,
        Protocol="6",
        RuleAction="deny",
        Egress=egress,
        CidrBlock="0.0.0.0/0",
        PortRange={"From": 80, "To": 80},
    )
    (why,) = two.ask()["Explanations"]
    assert (why["ExplanationCode"], why["Acl"]["Id"]) == ("SUBNET_ACL_RESTRICTION", acl)
    assert why["Direction"] == ("egress" if egress else "ingress")
    assert why["AclRule"] == {
        "Cidr": "0.0.0.0/0",
        "Egress": egress,
        "PortRange": {"From": 80, "To": 80},
        "Protocol": "6",
        "RuleAction": "deny",
        "RuleNumber": 7,
    }


def test_a_blackhole(two):
    two.a.ec2.delete_vpc_peering_connection(VpcPeeringConnectionId=two.pcx)
    two.a.until(two.pcx, "deleted")
    why = two.ask()["Explanations"][0]
    assert (why["ExplanationCode"], why["RouteTable"]["Id"]) == ("BAD_STATE_ROUTE", two.here)
    assert (why["RouteTableRoute"]["State"], why["RouteTableRoute"]["VpcPeeringConnectionId"]) == ("blackhole", two.pcx)


def test_another_accounts_side(a, b):
    two = Two(a, b)
    seen = two.ask()
    assert seen["NetworkPathFound"] is True
    shown = ids(seen["ForwardPathComponents"])
    assert shown[-2:] == [two.pcx, two.web["InstanceId"]]
    b.ec2.revoke_security_group_ingress(GroupId=two.group, IpPermissions=[WEB])
    seen = two.ask()
    (why,) = seen["Explanations"]
    assert (why["ExplanationCode"], why["ComponentAccount"]) == ("UNKNOWN_RESOURCE", b.account)
    assert seen["SuggestedAccounts"] == [b.account]
    assert two.group not in str(seen)


def test_paths(a):
    two = Two(a, a)
    web = two.web["NetworkInterfaces"][0]["NetworkInterfaceId"]
    filters = {"SourceAddress": two.client["PrivateIpAddress"], "DestinationPortRange": {"FromPort": 80, "ToPort": 81}}
    path = a.ec2.create_network_insights_path(
        Source=two.client["InstanceId"],
        Destination=web,
        Protocol="tcp",
        FilterAtSource=filters,
        TagSpecifications=[{"ResourceType": "network-insights-path", "Tags": [{"Key": "k", "Value": "v"}]}],
    )["NetworkInsightsPath"]
    assert re.fullmatch(r"nip-[0-9a-f]{17}", path["NetworkInsightsPathId"])
    assert path["DestinationArn"] == f"arn:aws:ec2:{a.region}:{a.account}:network-interface/{web}"
    assert (path["FilterAtSource"], path["Tags"]) == (filters, [{"Key": "k", "Value": "v"}])
    wanted = [path["NetworkInsightsPathId"]]
    found = a.ec2.describe_network_insights_paths(Filters=filtered(destination=web) + [{"Name": "tag:k", "Values": ["v"]}])
    assert [p["NetworkInsightsPathId"] for p in found["NetworkInsightsPaths"]] == wanted
    with refused("InvalidNetworkInsightsPathId.NotFound"):
        a.ec2.describe_network_insights_paths(NetworkInsightsPathIds=[f"nip-{UNKNOWN}"])
    with refused("NetworkInsightsSource.NotFound"):
        a.ec2.create_network_insights_path(Source=f"eni-{UNKNOWN}", Destination=web, Protocol="tcp")
    with refused("DryRunOperation", status=412):
        a.ec2.create_network_insights_path(Source=two.client["InstanceId"], Destination=web, Protocol="tcp", DryRun=True)
    analysis = a.ec2.start_network_insights_analysis(NetworkInsightsPathId=wanted[0])["NetworkInsightsAnalysis"]
    with refused("AnalysisExistsForNetworkInsightsPath"):
        a.ec2.delete_network_insights_path(NetworkInsightsPathId=wanted[0])
    pages = a.ec2.get_paginator("describe_network_insights_analyses").paginate(PaginationConfig={"PageSize": 1})
    assert [n["NetworkInsightsAnalysisId"] for p in pages for n in p["NetworkInsightsAnalyses"]] == [
        analysis["NetworkInsightsAnalysisId"]
    ]
    gone = a.ec2.delete_network_insights_analysis(NetworkInsightsAnalysisId=analysis["NetworkInsightsAnalysisId"])
    assert gone["NetworkInsightsAnalysisId"] == analysis["NetworkInsightsAnalysisId"]
    assert a.ec2.delete_network_insights_path(NetworkInsightsPathId=wanted[0])["NetworkInsightsPathId"] == wanted[0]


def test_paths_to_and_from_an_internet_gateway(two):
    """Out with a public address and home again; in as far as the rules let somebody in."""
    a, ec2 = two.a, two.a.ec2
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=two.mine)
    ec2.create_route(RouteTableId=two.here, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway)
    out = {"Source": two.client["InstanceId"], "Destination": gateway, "Protocol": "tcp", "DestinationPort": 443}
    into = {"Source": gateway, "Destination": two.client["InstanceId"], "Protocol": "tcp", "DestinationPort": 22}
    refused_out, refused_in = analyse(a, **out), analyse(a, **into)
    assert codes(refused_out) == ["IGW_PUBLIC_IP_ASSOCIATION_FOR_EGRESS"]
    assert refused_out["Explanations"][0]["InternetGateway"]["Id"] == gateway
    assert codes(refused_in) == ["IGW_PRIVATE_IP_ASSOCIATION_FOR_INGRESS"]

    address = ec2.allocate_address(Domain="vpc")
    eni = two.client["NetworkInterfaces"][0]["NetworkInterfaceId"]
    ec2.associate_address(AllocationId=address["AllocationId"], NetworkInterfaceId=eni)
    found = analyse(a, **out)
    assert found["NetworkPathFound"] is True
    last, home = found["ForwardPathComponents"][-1], found["ReturnPathComponents"][0]
    assert [last["Component"]["Id"], home["Component"]["Id"]] == [gateway, gateway]
    public = [f"{address['PublicIp']}/32"]
    assert last["OutboundHeader"]["SourceAddresses"] == public == home["InboundHeader"]["DestinationAddresses"]
    assert codes(analyse(a, **into)) == ["ENI_SG_RULES_MISMATCH"]
    group = a.default_group(two.mine)
    ssh = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "198.51.100.0/24"}]}
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[ssh])
    found = analyse(a, **into)
    assert found["NetworkPathFound"] is True and ids(found["ForwardPathComponents"])[0] == gateway
