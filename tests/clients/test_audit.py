"""The specification held against every action at once, by botocore's model: filters, pages, ids, what is another's;
and requests that are odd but legal (spec ch. 1)."""

import re

import pytest

import shapes
from world import AWAY, HOME, UNKNOWN, refused

# What a Describe action cannot be asked without.
NEEDS = {
    "DescribeImageAttribute": {"ImageId": f"ami-{UNKNOWN}", "Attribute": "description"},
    "DescribeInstanceAttribute": {"InstanceId": "{i}", "Attribute": "instanceType"},
    "DescribeNetworkInterfaceAttribute": {"NetworkInterfaceId": "{eni}", "Attribute": "description"},
    "DescribeSecurityGroupReferences": {"GroupId.1": "{sg}"},
    "DescribeStaleSecurityGroups": {"VpcId": "{vpc}"},
    "DescribeVpcAttribute": {"VpcId": "{vpc}", "Attribute": "enableDnsSupport"},
    "GetConsoleOutput": {"InstanceId": "{i}"},
    "GetManagedPrefixListAssociations": {"PrefixListId": "{pl}"},
    "GetManagedPrefixListEntries": {"PrefixListId": "{pl}"},
    "GetNetworkInsightsAccessScopeAnalysisFindings": {"NetworkInsightsAccessScopeAnalysisId": "{nisa}"},
    "GetNetworkInsightsAccessScopeContent": {"NetworkInsightsAccessScopeId": "{nis}"},
    "GetSecurityGroupsForVpc": {"VpcId": "{vpc}"},
    "GetSubnetCidrReservations": {"SubnetId": "{subnet}"},
}
# What everybody sees, or what is nobody's.
PUBLIC = ("DescribeAvailabilityZones", "DescribeImage", "DescribeInstanceType", "DescribeRegions")


@pytest.fixture(scope="module")
def reads(cloud):
    """Every Describe and Get action that is there."""
    wire = cloud.wire("900000000001")
    names = [n for n in shapes.model("ec2").operation_names if n.startswith(("Describe", "Get"))]
    return [name for name in names if wire.call(name, loose=True).code != "InvalidAction"]


@pytest.fixture
def everything(a, b):
    """One thing of every kind in an account; ids by their prefix."""
    e = a.ec2
    vpc = a.vpc("10.0.0.0/16")
    subnet = a.subnet(vpc, "10.0.0.0/24")
    other = a.vpc("10.5.0.0/16")
    gateway = e.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    e.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    group = a.group(vpc)
    e.associate_security_group_vpc(GroupId=group, VpcId=other)
    address = e.allocate_address(Domain="vpc")
    run = e.run_instances(ImageId=f"ami-{UNKNOWN}", InstanceType="t3.micro", MinCount=1, MaxCount=1, SubnetId=subnet)
    interface = e.create_network_interface(SubnetId=subnet)["NetworkInterface"]["NetworkInterfaceId"]
    permission = e.create_network_interface_permission(
        NetworkInterfaceId=interface, AwsAccountId="123456789012", Permission="INSTANCE-ATTACH"
    )
    instance = run["Instances"][0]["InstanceId"]
    path = e.create_network_insights_path(Source=interface, Destination=instance, Protocol="tcp")["NetworkInsightsPath"]
    nip = path["NetworkInsightsPathId"]
    scope = e.create_network_insights_access_scope(
        MatchPaths=[{"Source": {"ResourceStatement": {"Resources": [interface]}}}]
    )["NetworkInsightsAccessScope"]
    nis = scope["NetworkInsightsAccessScopeId"]
    scoped = e.start_network_insights_access_scope_analysis(NetworkInsightsAccessScopeId=nis)
    things = {
        "vpc": vpc,
        "subnet": subnet,
        "rtb": a.table(vpc),
        "sg": group,
        "acl": e.create_network_acl(VpcId=vpc)["NetworkAcl"]["NetworkAclId"],
        "igw": gateway,
        "eigw": e.create_egress_only_internet_gateway(VpcId=vpc)["EgressOnlyInternetGateway"][
            "EgressOnlyInternetGatewayId"
        ],
        "eipalloc": address["AllocationId"],
        "eni": interface,
        "eni-perm": permission["InterfacePermission"]["NetworkInterfacePermissionId"],
        "i": instance,
        "r": run["ReservationId"],
        "nat": e.create_nat_gateway(SubnetId=subnet, ConnectivityType="private")["NatGateway"]["NatGatewayId"],
        "dopt": e.create_dhcp_options(DhcpConfigurations=[{"Key": "domain-name", "Values": ["x.test"]}])["DhcpOptions"][
            "DhcpOptionsId"
        ],
        "pl": e.create_managed_prefix_list(PrefixListName="l", MaxEntries=3, AddressFamily="IPv4")["PrefixList"][
            "PrefixListId"
        ],
        "vgw": e.create_vpn_gateway(Type="ipsec.1")["VpnGateway"]["VpnGatewayId"],
        "key": e.create_key_pair(KeyName="k", KeyType="ed25519")["KeyPairId"],
        "ami": e.register_image(Name="own image", RootDeviceName="/dev/xvda")["ImageId"],
        "fl": e.create_flow_logs(
            ResourceIds=[vpc],
            ResourceType="VPC",
            TrafficType="ALL",
            LogDestinationType="s3",
            LogDestination="arn:aws:s3:::b",
        )["FlowLogIds"][0],
        "nip": nip,
        "nia": e.start_network_insights_analysis(NetworkInsightsPathId=nip)["NetworkInsightsAnalysis"][
            "NetworkInsightsAnalysisId"
        ],
        "nis": nis,
        "nisa": scoped["NetworkInsightsAccessScopeAnalysis"]["NetworkInsightsAccessScopeAnalysisId"],
        "scr": e.create_subnet_cidr_reservation(SubnetId=subnet, Cidr="10.0.0.128/28", ReservationType="explicit")[
            "SubnetCidrReservation"
        ]["SubnetCidrReservationId"],
        "pcx": a.pending(other, b, b.vpc("10.1.0.0/16")),
    }
    e.create_tags(Resources=[vpc, group, address["AllocationId"]], Tags=[{"Key": "secret", "Value": a.account}])
    return things


def needed(action, things):
    fill = lambda value: re.sub(r"\{(.+)\}", lambda found: things[found[1]], value)
    return {name: fill(value) for name, value in NEEDS.get(action, {}).items()}


def members(action):
    return shapes.model("ec2").operation_model(action).input_shape.members


def documented_filters(action):
    filters = members(action).get("Filters") or members(action).get("Filter")
    if filters is None:
        return []
    names = re.findall(r"<li> *<p> *<code>([^<]+)</code>", filters.documentation)
    # The values of one filter are listed like filters.
    values = {"informational", "low", "medium", "high", "critical"}
    return [name for name in names if not name.startswith("tag") and name not in values]


def test_every_filter_that_ec2_has_is_known(a, everything, reads):
    seen, unknown = 0, []
    for action in reads:
        for name in documented_filters(action):
            asked = {**needed(action, everything), "Filter.1.Name": name, "Filter.1.Value.1": "no-such-value"}
            reply = a.wire.call(action, asked)
            unknown += [(action, name, reply.message)] if reply.status != 200 else []
            seen += 1
    assert not unknown and seen > 400


def test_pages_end_where_the_model_says(a, everything, reads):
    seen = 0
    for action in reads:
        shape = members(action).get("MaxResults")
        if shape is None:
            continue
        low, high = shape.metadata.get("min"), shape.metadata.get("max")
        ask = lambda size, action=action: a.wire.call(action, {**needed(action, everything), "MaxResults": str(size)})
        assert ask(low or 5).status == ask(high or 1000).status == 200, action
        for size in ((low or 1) - 1, high + 1 if high else 2**31, -1):
            assert ask(size).code in ("InvalidParameterValue", "InvalidMaxResults"), (action, size)
        seen += 1
    assert seen > 25


def test_nothing_of_anothers_is_shown(everything, reads, cloud, new_account):
    """A stranger in the same region, and the owner in another one, see none of it;
    nor can ids be told from unknown ones."""
    stranger = cloud.party(new_account(), HOME)
    own_ids = set(everything.values())
    for party in (stranger, stranger.elsewhere(AWAY)):
        for action in reads:
            if action.startswith(PUBLIC) or action in NEEDS:
                continue
            body = party.wire.call(action).body.decode()
            assert not [i for i in own_ids if i in body], action
    for action in reads:
        if action.startswith(PUBLIC):
            continue
        for name, prefix in id_lists(action, everything):
            foreign = stranger.wire.call(action, {name: everything[prefix]})
            unknown = stranger.wire.call(action, {name: f"{prefix}-{UNKNOWN}"})
            assert foreign.status == unknown.status == 400, (action, name)
            assert foreign.code == unknown.code, (action, name)
            said = foreign.message.replace(everything[prefix], "x")
            assert said == unknown.message.replace(f"{prefix}-{UNKNOWN}", "x"), (action, name)
    for action, asked in NEEDS.items():
        if action not in reads or action.startswith(PUBLIC):
            continue
        reply = stranger.wire.call(action, needed(action, everything))
        assert reply.status == 400 and reply.code.endswith("NotFound"), (action, reply.code)
        assert asked


# By the name of a list of ids, what its ids begin with.
PREFIXES = {
    "AllocationId": "eipalloc",
    "DhcpOptionsId": "dopt",
    "EgressOnlyInternetGatewayId": "eigw",
    "FlowLogId": "fl",
    "GroupId": "sg",
    "InstanceId": "i",
    "InternetGatewayId": "igw",
    "KeyPairId": "key",
    "NatGatewayId": "nat",
    "NetworkAclId": "acl",
    "NetworkInsightsAccessScopeAnalysisId": "nisa",
    "NetworkInsightsAccessScopeId": "nis",
    "NetworkInsightsAnalysisId": "nia",
    "NetworkInsightsPathId": "nip",
    "NetworkInterfaceId": "eni",
    "NetworkInterfacePermissionId": "eni-perm",
    "PrefixListId": "pl",
    "RouteTableId": "rtb",
    "SubnetId": "subnet",
    "VpcId": "vpc",
    "VpcIds": "vpc",
    "VpcPeeringConnectionId": "pcx",
    "VpnGatewayId": "vgw",
}


def id_lists(action, things):
    """The parameters of an action that are lists of ids, with the prefix of a thing that is there."""
    for member, shape in members(action).items():
        if shape.type_name != "list" or shape.member.type_name != "string":
            continue
        name = shapes._query_name("ec2", member, shape)
        prefix = PREFIXES.get(name)
        # The other party of a pending peering sees it; a stranger does not.
        if prefix in things:
            yield f"{name}.1", prefix


def test_a_list_may_have_gaps_and_many_members(a):
    """A thousand ids, in any order, one of them twice; the first that is not there is named."""
    vpc = a.vpc()
    once = {f"VpcId.{n}": vpc for n in (1, 7, 9999)}
    reply = a.wire.call("DescribeVpcs", once, loose=True)
    assert reply.body.count(f"<vpcId>{vpc}</vpcId>".encode()) == 1
    many = {f"VpcId.{n}": f"vpc-{n:017x}" for n in range(1000)}
    reply = a.wire.call("DescribeVpcs", many)
    assert (reply.status, reply.code) == (400, "InvalidVpcID.NotFound")
    assert f"vpc-{0:017x}" in reply.message


def test_texts_of_the_world(a):
    """What has no alphabet of its own keeps every letter, and length counts letters."""
    vpc = a.vpc()
    subnet = a.subnet(vpc, "10.0.0.0/24")
    description = "Schnittstelle für Größe 鍵🔑 <&>\"' " * 7
    interface = a.ec2.create_network_interface(SubnetId=subnet, Description=description[:255])["NetworkInterface"]
    assert interface["Description"] == description[:255]
    key, value = "鍵" * 127, "🔑" * 256
    a.ec2.create_tags(Resources=[vpc], Tags=[{"Key": key, "Value": value}, {"Key": "lines", "Value": "a\r\nb\tc\n"}])
    shown = {t["Key"]: t["Value"] for t in a.ec2.describe_vpcs(VpcIds=[vpc])["Vpcs"][0]["Tags"]}
    assert shown == {key: value, "lines": "a\r\nb\tc\n"}
    found = a.ec2.describe_vpcs(Filters=[{"Name": f"tag:{key}", "Values": ["🔑*?🔑"]}])["Vpcs"]
    assert [v["VpcId"] for v in found] == [vpc]
    for name in ("größe", "web\tserver", "x" * 256, "sg-web", "DEFAULT"):
        with refused(("InvalidParameterValue", "InvalidGroup.Reserved")):
            a.ec2.create_security_group(GroupName=name, Description="d", VpcId=vpc)


@pytest.mark.parametrize(
    "given, kept",
    [
        ("10.1.255.77/16", "10.1.0.0/16"),
        ("10.1.0.17/28", "10.1.0.16/28"),
        ("100.68.0.18/18", "100.68.0.0/18"),
    ],
)
def test_blocks_are_made_canonical(a, given, kept):
    made = a.ec2.create_vpc(CidrBlock=given)["Vpc"]
    assert made["CidrBlock"] == kept
    assert made["CidrBlockAssociationSet"][0]["CidrBlock"] == kept


@pytest.mark.parametrize(
    "block",
    [
        "10.0.0.0",
        "10.0.0.0/",
        "10.0.0.0/-1",
        "10.0.0.0/016",
        "010.0.0.0/16",
        "10.0.0/16",
        "10.0.0.0/16 ",
        "::/56",
        "0x0a.0.0.0/16",
    ],
)
def test_blocks_that_are_none(a, block):
    reply = a.wire.call("CreateVpc", {"CidrBlock": block})
    assert (reply.status, reply.code) == (400, "InvalidParameterValue"), reply


def test_forms_of_ipv6(a):
    """One block, however it is written, is one rule and one route."""
    vpc = a.vpc(AmazonProvidedIpv6CidrBlock=True)
    group, table = a.group(vpc), a.table(vpc)
    permission = lambda cidr: [{"IpProtocol": "-1", "Ipv6Ranges": [{"CidrIpv6": cidr}]}]
    a.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=permission("2001:DB8:0:0:0::/33"))
    for same in ("2001:db8::/33", "2001:0db8:0000:0000:0000:0000:0000:0001/33", "2001:db8::0.0.0.7/33"):
        with refused("InvalidPermission.Duplicate"):
            a.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=permission(same))
    shown = a.ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0]["IpPermissions"]
    assert shown[0]["Ipv6Ranges"] == [{"CidrIpv6": "2001:db8::/33"}]
    gateway = a.ec2.create_egress_only_internet_gateway(VpcId=vpc)["EgressOnlyInternetGateway"]
    route = {"RouteTableId": table, "EgressOnlyInternetGatewayId": gateway["EgressOnlyInternetGatewayId"]}
    a.ec2.create_route(DestinationIpv6CidrBlock="0::0/0", **route)
    with refused("RouteAlreadyExists", "The route identified by ::/0 already exists."):
        a.ec2.create_route(DestinationIpv6CidrBlock="::1/0", **route)
    for wrong in ("::/129", "fe80::1%eth0/64", "::", "10.0.0.0/8", "1::2::3/64"):
        with refused("InvalidParameterValue", re.compile("not a valid CIDR block")):
            a.ec2.create_route(DestinationIpv6CidrBlock=wrong, **route)


def test_which_of_two_faults_is_told(a):
    """Form before existence, existence before state and quota (1.3.7); a dry run comes in between."""
    vpc = a.vpc()
    subnet = a.subnet(vpc, "10.0.0.0/24")
    gone = f"vpc-{UNKNOWN}"
    rows = [
        ("CreateSubnet", {"VpcId": gone, "CidrBlock": "nonsense"}, "InvalidParameterValue"),
        ("CreateSubnet", {"VpcId": "vpc-x", "CidrBlock": "10.9.0.0/24"}, "InvalidVpcID.Malformed"),
        ("CreateSubnet", {"VpcId": gone, "CidrBlock": "10.9.0.0/24"}, "InvalidVpcID.NotFound"),
        ("CreateSubnet", {"VpcId": vpc, "CidrBlock": "10.9.0.0/24"}, "InvalidSubnet.Range"),
        ("CreateSubnet", {"VpcId": vpc, "CidrBlock": "10.0.0.0/25"}, "InvalidSubnet.Conflict"),
        ("CreateSubnet", {"VpcId": gone, "CidrBlock": "10.9.0.0/24", "DryRun": "true"}, "DryRunOperation"),
        ("CreateSubnet", {"VpcId": gone, "CidrBlock": "nonsense", "DryRun": "true"}, "InvalidParameterValue"),
        ("DeleteVpc", {"VpcId": vpc, "DryRun": "true"}, "DryRunOperation"),
        ("DeleteVpc", {"VpcId": vpc}, "DependencyViolation"),
        ("CreateRoute", {"RouteTableId": f"rtb-{UNKNOWN}", "GatewayId": f"igw-{UNKNOWN}"}, "MissingParameter"),
        (
            "CreateRoute",
            {"RouteTableId": f"rtb-{UNKNOWN}", "DestinationCidrBlock": "0.0.0.0/0", "GatewayId": f"igw-{UNKNOWN}"},
            "InvalidRouteTableID.NotFound",
        ),
        ("DescribeVpcs", {"VpcId.1": gone, "Filter.1.Name": "x", "Filter.1.Value.1": "y"}, "InvalidParameterValue"),
        ("DescribeVpcs", {"VpcId.1": gone, "MaxResults": "5"}, "InvalidParameterCombination"),
        ("ModifyVpcAttribute", {"VpcId": gone}, "InvalidParameterCombination"),
        ("NoSuchAction", {"DryRun": "true"}, "InvalidAction"),
        ("DescribeVpcs", {"DryRun": "maybe"}, "InvalidParameterValue"),
    ]
    for action, asked, code in rows:
        reply = a.wire.call(action, asked)
        assert reply.code == code, (action, asked, reply.code, reply.message)
    assert a.ec2.describe_subnets(SubnetIds=[subnet])["Subnets"]


def test_what_depends_keeps(a, everything):
    """Every deletion that something stands against, with AWS's code for it."""
    e, it = a.ec2, everything
    other = e.describe_vpc_peering_connections(VpcPeeringConnectionIds=[it["pcx"]])["VpcPeeringConnections"][0]
    e.associate_route_table(RouteTableId=it["rtb"], SubnetId=it["subnet"])
    e.associate_dhcp_options(DhcpOptionsId=it["dopt"], VpcId=it["vpc"])
    filters = [{"Name": "association.subnet-id", "Values": [it["subnet"]]}]
    default = e.describe_network_acls(Filters=filters)["NetworkAcls"]
    (used,) = default[0]["Associations"]
    e.replace_network_acl_association(AssociationId=used["NetworkAclAssociationId"], NetworkAclId=it["acl"])
    e.create_route(RouteTableId=it["rtb"], DestinationPrefixListId=it["pl"], GatewayId=it["igw"])
    e.associate_address(AllocationId=it["eipalloc"], InstanceId=it["i"])
    e.attach_vpn_gateway(VpnGatewayId=it["vgw"], VpcId=it["vpc"])
    refusals = [
        ("DependencyViolation", lambda: e.delete_vpc(VpcId=it["vpc"])),
        ("DependencyViolation", lambda: e.delete_vpc(VpcId=other["RequesterVpcInfo"]["VpcId"])),
        ("DependencyViolation", lambda: e.delete_subnet(SubnetId=it["subnet"])),
        ("DependencyViolation", lambda: e.delete_route_table(RouteTableId=it["rtb"])),
        ("DependencyViolation", lambda: e.delete_route_table(RouteTableId=a.main_table(it["vpc"]))),
        ("DependencyViolation", lambda: e.delete_security_group(GroupId=it["sg"])),
        ("CannotDelete", lambda: e.delete_security_group(GroupId=a.default_group(it["vpc"]))),
        ("DependencyViolation", lambda: e.delete_network_acl(NetworkAclId=it["acl"])),
        ("InvalidParameterValue", lambda: e.delete_network_acl(NetworkAclId=default[0]["NetworkAclId"])),
        ("DependencyViolation", lambda: e.delete_internet_gateway(InternetGatewayId=it["igw"])),
        ("DependencyViolation", lambda: e.detach_internet_gateway(InternetGatewayId=it["igw"], VpcId=it["vpc"])),
        ("DependencyViolation", lambda: e.delete_dhcp_options(DhcpOptionsId=it["dopt"])),
        ("DependencyViolation", lambda: e.delete_managed_prefix_list(PrefixListId=it["pl"])),
        ("InvalidIPAddress.InUse", lambda: e.release_address(AllocationId=it["eipalloc"])),
        ("IncorrectState", lambda: e.delete_vpn_gateway(VpnGatewayId=it["vgw"])),
        (
            "AnalysisExistsForNetworkInsightsPath",
            lambda: e.delete_network_insights_path(NetworkInsightsPathId=it["nip"]),
        ),
        (
            "AnalysisExistsForNetworkInsightsAccessScope",
            lambda: e.delete_network_insights_access_scope(NetworkInsightsAccessScopeId=it["nis"]),
        ),
    ]
    for code, call in refusals:
        with refused(code, status=400):
            call()


def test_a_token_used_again(a):
    """The same request is the same thing, however it is signed; another one with the token is refused;
    operations and regions have tokens of their own."""
    vpc, other = a.vpc(), a.vpc("10.7.0.0/16")
    asked = [("Action", "CreateRouteTable"), ("Version", "2016-11-15"), ("VpcId", vpc), ("ClientToken", "t")]
    first = a.wire.post(asked).text("routeTableId")
    assert first and first == a.wire.get(asked).text("routeTableId") == a.wire.post(asked).text("routeTableId")
    assert a.wire.post([*asked, ("DryRun", "false")]).text("routeTableId") == first
    for change in ({"VpcId": other}, {"VpcId": vpc, "TagSpecification.1.ResourceType": "route-table"}):
        tag = {"TagSpecification.1.Tag.1.Key": "k"} if len(change) > 1 else {}
        reply = a.wire.call("CreateRouteTable", {**change, **tag, "ClientToken": "t"})
        assert reply.code == "IdempotentParameterMismatch", reply
    assert a.wire.call("CreateNetworkAcl", {"VpcId": vpc, "ClientToken": "t"}).status == 200
    there = a.elsewhere()
    assert there.wire.call("CreateRouteTable", {"VpcId": there.vpc(), "ClientToken": "t"}).status == 200
    assert a.wire.call("CreateRouteTable", {"VpcId": vpc, "ClientToken": "T"}).text("routeTableId") != first
    for token in ("x" * 65, "é", ""):
        reply = a.wire.call("CreateRouteTable", {"VpcId": vpc, "ClientToken": token})
        assert (reply.status, reply.code) == (400, "InvalidParameterValue"), token


def test_what_is_said_twice(a):
    """The calls that AWS calls idempotent, each twice (1.3.13)."""
    vpc = a.vpc()
    subnet = a.subnet(vpc, "10.0.0.0/24")
    gateway = a.ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    a.ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    interface = a.ec2.create_network_interface(SubnetId=subnet)["NetworkInterface"]["NetworkInterfaceId"]
    address = a.ec2.allocate_address(Domain="vpc")["AllocationId"]
    acl = a.ec2.create_network_acl(VpcId=vpc)["NetworkAcl"]["NetworkAclId"]
    filters = [{"Name": "association.subnet-id", "Values": [subnet]}]
    (used,) = a.ec2.describe_network_acls(Filters=filters)["NetworkAcls"][0]["Associations"]
    run = {"ImageId": f"ami-{UNKNOWN}", "MinCount": 1, "MaxCount": 1, "SubnetId": subnet}
    instance = a.ec2.run_instances(**run)["Instances"][0]["InstanceId"]
    twice = lambda call: (call(), call())
    associate = {"AllocationId": address, "NetworkInterfaceId": interface}
    one, two = twice(lambda: a.ec2.associate_address(**associate)["AssociationId"])
    assert one == two
    twice(lambda: a.ec2.disassociate_address(AssociationId=one))
    replace = {"AssociationId": used["NetworkAclAssociationId"], "NetworkAclId": acl}
    one, two = twice(lambda: a.ec2.replace_network_acl_association(**replace)["NewAssociationId"])
    assert one == two
    twice(lambda: a.ec2.terminate_instances(InstanceIds=[instance]))
    twice(lambda: a.ec2.create_tags(Resources=[vpc], Tags=[{"Key": "k", "Value": "v"}]))
    twice(lambda: a.ec2.delete_tags(Resources=[vpc], Tags=[{"Key": "k", "Value": "v"}]))


def test_numbers_at_their_ends(a):
    vpc = a.vpc()
    group = a.group(vpc)
    acl = a.ec2.create_network_acl(VpcId=vpc)["NetworkAcl"]["NetworkAclId"]
    permit = lambda protocol, low, high: [
        {"IpProtocol": protocol, "FromPort": low, "ToPort": high, "IpRanges": [{"CidrIp": "10.0.0.0/8"}]}
    ]
    for protocol, low, high in (
        ("tcp", 0, 65535),
        ("udp", 65535, 65535),
        ("icmp", -1, -1),
        ("icmp", 255, 255),
        ("icmp", 8, -1),
    ):
        a.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=permit(protocol, low, high))
    for protocol, low, high in (
        ("tcp", -1, 65535),
        ("tcp", 0, 65536),
        ("tcp", 2, 1),
        ("tcp", -1, -1),
        ("icmp", -1, 0),
        ("icmp", 256, 0),
        ("icmp", 8, -2),
        ("256", 0, 0),
        ("-2", 0, 0),
        ("TCPP", 0, 0),
    ):
        with refused("InvalidParameterValue"):
            a.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=permit(protocol, low, high))
    entry = {"NetworkAclId": acl, "Protocol": "-1", "RuleAction": "allow", "Egress": False, "CidrBlock": "0.0.0.0/0"}
    for number in (1, 32766):
        a.ec2.create_network_acl_entry(RuleNumber=number, **entry)
    for number in (0, -1, 32767, 32768, 65536, 2**31 - 1):
        with refused("InvalidParameterValue"):
            a.ec2.create_network_acl_entry(RuleNumber=number, **entry)
        with refused("InvalidParameterValue"):
            a.ec2.delete_network_acl_entry(NetworkAclId=acl, RuleNumber=number, Egress=False)
    # Protocols that have no ports keep none, whatever is said.
    a.ec2.authorize_security_group_egress(GroupId=group, IpPermissions=permit("50", 1, 2))
    shown = a.ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0]["IpPermissionsEgress"]
    (esp,) = [p for p in shown if p["IpProtocol"] == "50"]
    assert "FromPort" not in esp and "ToPort" not in esp


def test_a_peering_is_the_same_for_both_but_for_what_each_may_see(a, b):
    """Field by field: what each state shows to whom (5.6.3), and tags that are each side's own (1.4.4)."""
    mine, theirs = a.vpc("10.0.0.0/16", "10.2.0.0/16"), b.vpc("10.1.0.0/16")
    specification = {"ResourceType": "vpc-peering-connection", "Tags": [{"Key": "k", "Value": "a"}]}
    a_asks = a.ask(mine, b, theirs, TagSpecifications=[specification])
    pcx = a_asks["VpcPeeringConnectionId"]
    full = {"OwnerId", "VpcId", "Region", "CidrBlock", "CidrBlockSet", "PeeringOptions"}
    bare = {"OwnerId", "VpcId", "Region"}
    sides = lambda shown: (set(shown["RequesterVpcInfo"]), set(shown["AccepterVpcInfo"]))
    assert sides(a_asks) == (full, bare)
    waiting = a.until(pcx, "pending-acceptance"), b.until(pcx, "pending-acceptance")
    assert [sides(shown) for shown in waiting] == [(full, bare)] * 2
    assert [shown["Tags"] for shown in waiting] == [[{"Key": "k", "Value": "a"}], []]
    assert all("ExpirationTime" in shown for shown in waiting)
    b.ec2.create_tags(Resources=[pcx], Tags=[{"Key": "k", "Value": "b"}])
    b.ec2.accept_vpc_peering_connection(VpcPeeringConnectionId=pcx)
    active = a.until(pcx, "active"), b.until(pcx, "active")
    assert [sides(shown) for shown in active] == [(full, full)] * 2
    assert [shown["Tags"][0]["Value"] for shown in active] == ["a", "b"]
    assert not any("ExpirationTime" in shown for shown in active)
    a.ec2.delete_vpc_peering_connection(VpcPeeringConnectionId=pcx)
    ended = a.until(pcx, "deleted"), b.until(pcx, "deleted")
    assert [sides(shown) for shown in ended] == [(bare, bare)] * 2
    assert {shown["Status"]["Message"] for shown in ended} == {f"Deleted by {a.account}"}
    assert [shown["Tags"][0]["Value"] for shown in ended] == ["a", "b"]
    said = f"Invalid state transition for {pcx}, attempted to transition from deleted to deleting"
    with refused("InvalidStateTransition", said):
        b.ec2.delete_vpc_peering_connection(VpcPeeringConnectionId=pcx)
