"""VPCs, their blocks and switches, and subnets (spec ch. 2 and 3)."""

import re

import pytest

from world import AWAY, UNKNOWN, eventually, filtered, refused

RANGE = "InvalidVpc.Range"


def test_a_new_vpc_comes_with_its_defaults(a):
    made = a.ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]
    assert re.fullmatch(r"vpc-[0-9a-f]{17}", made["VpcId"])
    assert made["State"] in ("pending", "available")
    assert (made["OwnerId"], made["InstanceTenancy"], made["IsDefault"]) == (a.account, "default", False)
    assert made["DhcpOptionsId"].startswith("dopt-")
    (block,) = made["CidrBlockAssociationSet"]
    assert block["CidrBlock"] == made["CidrBlock"] == "10.0.0.0/16"
    assert block["AssociationId"].startswith("vpc-cidr-assoc-")
    assert block["CidrBlockState"]["State"] == "associated"
    vpc = made["VpcId"]
    eventually(lambda: a.ec2.describe_vpcs(VpcIds=[vpc])["Vpcs"][0]["State"] == "available")
    a.ec2.get_waiter("vpc_available").wait(VpcIds=[vpc], WaiterConfig={"Delay": 0.05, "MaxAttempts": 50})

    (table,) = a.ec2.describe_route_tables(Filters=filtered(vpc_id=vpc))["RouteTables"]
    (association,) = table["Associations"]
    assert association["Main"] is True and "SubnetId" not in association
    assert association["AssociationState"] == {"State": "associated"}
    assert table["Routes"] == [
        {"DestinationCidrBlock": "10.0.0.0/16", "GatewayId": "local", "Origin": "CreateRouteTable", "State": "active"}
    ]
    (group,) = a.ec2.describe_security_groups(Filters=filtered(vpc_id=vpc))["SecurityGroups"]
    assert (group["GroupName"], group["Description"]) == ("default", "default VPC security group")
    (acl,) = a.ec2.describe_network_acls(Filters=filtered(vpc_id=vpc))["NetworkAcls"]
    assert acl["IsDefault"] is True
    assert {(e["RuleNumber"], e["Egress"], e["RuleAction"], e["CidrBlock"], e["Protocol"]) for e in acl["Entries"]} == {
        (number, egress, action, "0.0.0.0/0", "-1")
        for egress in (True, False)
        for number, action in ((100, "allow"), (32767, "deny"))
    }
    (options,) = a.ec2.describe_dhcp_options(DhcpOptionsIds=[made["DhcpOptionsId"]])["DhcpOptions"]
    assert {c["Key"]: c["Values"][0]["Value"] for c in options["DhcpConfigurations"]} == {
        "domain-name": "ec2.internal",
        "domain-name-servers": "AmazonProvidedDNS",
    }


def test_the_domain_name_elsewhere(a):
    there = a.elsewhere(AWAY)
    options = there.ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["DhcpOptionsId"]
    (found,) = there.ec2.describe_dhcp_options(DhcpOptionsIds=[options])["DhcpOptions"]
    assert {"Key": "domain-name", "Values": [{"Value": f"{AWAY}.compute.internal"}]} in found["DhcpConfigurations"]


@pytest.mark.parametrize(
    "given, kept",
    [
        ("100.68.0.18/18", "100.68.0.0/18"),
        ("10.1.2.3/28", "10.1.2.0/28"),
        ("8.8.0.0/16", "8.8.0.0/16"),
        ("192.168.0.0/16", "192.168.0.0/16"),
    ],
)
def test_blocks_are_canonical(a, given, kept):
    assert a.ec2.create_vpc(CidrBlock=given)["Vpc"]["CidrBlock"] == kept


@pytest.mark.parametrize(
    "cidr",
    [
        "10.0.0.0/15",
        "10.0.0.0/29",
        "10.0.0.0/8",
        "10.0.0.0/32",
        "0.0.0.0/16",
        "127.0.0.0/16",
        "169.254.0.0/16",
        "224.0.0.0/16",
        "240.0.0.0/16",
    ],
)
def test_sizes_and_ranges_that_no_vpc_has(a, cidr):
    with refused((RANGE, "InvalidParameterValue") if cidr.endswith("/16") else RANGE, status=400):
        a.ec2.create_vpc(CidrBlock=cidr)
    assert a.ec2.describe_vpcs(Filters=filtered(is_default="false"))["Vpcs"] == []


@pytest.mark.parametrize(
    "cidr",
    [
        "10.0.0.0",
        "10.0.0.0/",
        "10.0.0/16",
        "10.0.0.256/16",
        "10.0.0.0/33",
        "10.0.0.0/-1",
        "fd00::/56",
        "x",
        " ",
        "010.0.0.0/16",
        "10.0.0.0/016",
        "10.0.0.0/16 ",
        "٣.0.0.0/16",
    ],
)
def test_blocks_that_do_not_parse(a, cidr):
    with refused("InvalidParameterValue", status=400):
        a.ec2.create_vpc(CidrBlock=cidr)


def test_create_vpc_needs_a_block(a):
    assert a.wire.call("CreateVpc").code == "MissingParameter"


def test_five_vpcs_and_no_more(a):
    made = [a.vpc() for _ in range(5)]  # equal blocks in one account are allowed
    with refused("VpcLimitExceeded", "The maximum number of VPCs has been reached."):
        a.ec2.create_vpc(CidrBlock="10.0.0.0/16")
    a.elsewhere().vpc()  # per region
    a.ec2.delete_vpc(VpcId=made[0])
    a.vpc()


def test_vpcs_of_others_do_not_exist(a, b):
    vpc = a.vpc()
    unknown = f"The vpc ID '{vpc}' does not exist"
    for call in (
        lambda p: p.ec2.describe_vpcs(VpcIds=[vpc]),
        lambda p: p.ec2.delete_vpc(VpcId=vpc),
        lambda p: p.ec2.describe_vpc_attribute(VpcId=vpc, Attribute="enableDnsSupport"),
        lambda p: p.ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": True}),
        lambda p: p.ec2.associate_vpc_cidr_block(VpcId=vpc, CidrBlock="10.9.0.0/16"),
        lambda p: p.ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.0.0/24"),
        lambda p: p.ec2.create_route_table(VpcId=vpc),
        lambda p: p.ec2.create_network_acl(VpcId=vpc),
        lambda p: p.ec2.create_security_group(VpcId=vpc, GroupName="g", Description="d"),
        lambda p: p.ec2.create_tags(Resources=[vpc], Tags=[{"Key": "k", "Value": "v"}]),
    ):
        for stranger in (b, a.elsewhere()):
            with refused("InvalidVpcID.NotFound", unknown, status=400):
                call(stranger)
    assert vpc not in {v["VpcId"] for v in b.ec2.describe_vpcs()["Vpcs"]}


def test_malformed_vpc_ids(a):
    for bad in ("vpc-", "vpc-xyz", "vpc-0123456789abcdef", "subnet-0123456789abcdef0", "vpc-0123456789abcdef0'--"):
        with refused(
            ("InvalidVpcID.Malformed", "InvalidVpcId.Malformed"),
            f'Invalid id: "{bad}" (expecting "vpc-...")',
            status=400,
        ):
            a.ec2.describe_vpcs(VpcIds=[bad])


def test_delete_vpc_waits_for_what_is_inside(a):
    vpc = a.vpc()
    text = f"The vpc '{vpc}' has dependencies and cannot be deleted."
    inside = [
        lambda: (a.subnet(vpc, "10.0.0.0/24"), lambda i: a.ec2.delete_subnet(SubnetId=i)),
        lambda: (a.table(vpc), lambda i: a.ec2.delete_route_table(RouteTableId=i)),
        lambda: (a.group(vpc), lambda i: a.ec2.delete_security_group(GroupId=i)),
        lambda: (
            a.ec2.create_network_acl(VpcId=vpc)["NetworkAcl"]["NetworkAclId"],
            lambda i: a.ec2.delete_network_acl(NetworkAclId=i),
        ),
    ]
    for make in inside:
        made, remove = make()
        with refused("DependencyViolation", text):
            a.ec2.delete_vpc(VpcId=vpc)
        remove(made)
    a.ec2.delete_vpc(VpcId=vpc)
    with refused("InvalidVpcID.NotFound"):
        a.ec2.describe_vpcs(VpcIds=[vpc])
    for kind in ("route_tables", "security_groups", "network_acls"):
        answer = getattr(a.ec2, f"describe_{kind}")(Filters=filtered(vpc_id=vpc))
        assert [v for k, v in answer.items() if k != "ResponseMetadata"] == [[]], kind


# Attributes (2.4).


def attribute(party, vpc, name):
    return party.ec2.describe_vpc_attribute(VpcId=vpc, Attribute=name)[name[0].upper() + name[1:]]["Value"]


def test_the_dns_switches(a):
    vpc = a.vpc()
    get = lambda: (attribute(a, vpc, "enableDnsSupport"), attribute(a, vpc, "enableDnsHostnames"))
    assert get() == (True, False)
    a.ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": True})
    assert get() == (True, True)
    with refused("InvalidParameterValue"):
        a.ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsSupport={"Value": False})
    a.ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": False})
    a.ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsSupport={"Value": False})
    with refused("InvalidParameterValue"):
        a.ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": True})
    assert get() == (False, False)
    assert attribute(a, vpc, "enableNetworkAddressUsageMetrics") is False
    a.ec2.modify_vpc_attribute(VpcId=vpc, EnableNetworkAddressUsageMetrics={"Value": True})
    assert attribute(a, vpc, "enableNetworkAddressUsageMetrics") is True


def test_one_attribute_at_a_time(a):
    vpc = a.vpc()
    with refused("InvalidParameterCombination"):
        a.ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": True}, EnableDnsSupport={"Value": True})
    assert attribute(a, vpc, "enableDnsHostnames") is False
    with refused(("MissingParameter", "InvalidParameterCombination")):
        a.ec2.modify_vpc_attribute(VpcId=vpc)
    reply = a.wire.call("ModifyVpcAttribute", {"VpcId": vpc, "EnableDnsSupport.Value": "perhaps"})
    assert reply.code == "InvalidParameterValue"
    for bad in ({"Attribute": "enableSleep"}, {}):
        assert a.wire.call("DescribeVpcAttribute", {"VpcId": vpc, **bad}).code in (
            "InvalidParameterValue",
            "MissingParameter",
        )


# Secondary blocks (2.3).

# existing blocks, the block to add, is it allowed?
RESTRICTIONS = [
    (["10.0.0.0/16"], "172.16.0.0/16", False),
    (["10.0.0.0/16"], "172.31.0.0/16", False),
    (["10.0.0.0/16"], "192.168.0.0/16", False),
    (["10.0.0.0/16"], "198.19.0.0/16", False),
    (["10.0.0.0/16"], "198.19.7.0/24", False),
    (["10.1.0.0/16"], "10.0.0.0/20", False),  # inside 10.0.0.0/15, nothing from 10.0.0.0/16
    (["10.2.0.0/16"], "10.0.0.0/16", True),
    (["10.0.0.0/16"], "10.200.0.0/16", True),
    (["10.0.0.0/16"], "100.64.0.0/16", True),
    (["10.0.0.0/16"], "8.8.0.0/16", True),
    (["10.0.0.0/16"], "169.254.0.0/16", False),
    (["172.16.0.0/16"], "10.0.0.0/16", False),
    (["172.16.0.0/16"], "192.168.0.0/16", False),
    (["172.16.0.0/16"], "172.31.0.0/16", False),
    (["172.16.0.0/16"], "198.19.0.0/16", False),
    (["172.16.0.0/16"], "172.20.0.0/16", True),
    (["172.16.0.0/16"], "100.64.0.0/16", True),
    (["192.168.0.0/17"], "10.0.0.0/16", False),
    (["192.168.0.0/17"], "172.16.0.0/16", False),
    (["192.168.0.0/17"], "198.19.0.0/16", False),
    (["192.168.0.0/17"], "192.168.128.0/17", True),
    (["192.168.0.0/17"], "8.8.0.0/16", True),
    (["198.19.0.0/17"], "10.0.0.0/16", False),
    (["198.19.0.0/17"], "172.16.0.0/16", False),
    (["198.19.0.0/17"], "192.168.0.0/16", False),
    (["198.19.0.0/17"], "8.8.0.0/16", True),
    (["8.8.0.0/16"], "10.0.0.0/16", False),
    (["8.8.0.0/16"], "198.19.0.0/16", False),
    (["8.8.0.0/16"], "9.9.0.0/16", True),
    (["8.8.0.0/16"], "100.64.0.0/16", True),
    (["100.64.0.0/16"], "192.168.0.0/16", False),
    (["100.64.0.0/16"], "8.8.0.0/16", True),
    (["10.0.0.0/16", "8.8.0.0/16"], "10.9.0.0/16", True),  # a private primary with a public secondary
]


@pytest.mark.parametrize("existing, added, allowed", RESTRICTIONS)
def test_the_restriction_table(a, existing, added, allowed):
    vpc = a.vpc(*existing)
    if not allowed:
        with refused(RANGE):
            a.ec2.associate_vpc_cidr_block(VpcId=vpc, CidrBlock=added)
        return
    answer = a.ec2.associate_vpc_cidr_block(VpcId=vpc, CidrBlock=added)
    assert answer["VpcId"] == vpc
    assert answer["CidrBlockAssociation"]["CidrBlock"] == added
    assert answer["CidrBlockAssociation"]["CidrBlockState"]["State"] in ("associating", "associated")
    eventually(lambda: added in a.routes(a.main_table(vpc)))
    local = a.routes(a.main_table(vpc))[added]
    assert (local["GatewayId"], local["State"], local["Origin"]) == ("local", "active", "CreateRouteTable")


@pytest.mark.parametrize("added", ["10.0.0.0/16", "10.0.3.0/24", "10.0.0.0/17"])
def test_a_block_of_the_vpc_itself(a, added):
    with refused((RANGE, "InvalidParameterValue")):
        a.ec2.associate_vpc_cidr_block(VpcId=a.vpc("10.0.0.0/16"), CidrBlock=added)


@pytest.mark.parametrize(
    "added, code", [("10.4.0.0/15", RANGE), ("10.4.0.0/29", RANGE), ("10.4.0.0", "InvalidParameterValue")]
)
def test_sizes_of_added_blocks(a, added, code):
    with refused(code):
        a.ec2.associate_vpc_cidr_block(VpcId=a.vpc("10.0.0.0/16"), CidrBlock=added)


def test_a_block_may_not_swallow_a_route(a, b):
    vpc = a.vpc("10.0.0.0/16")
    pcx = a.peer(vpc, b, b.vpc("10.77.0.0/16"))
    a.ec2.create_route(RouteTableId=a.table(vpc), DestinationCidrBlock="10.40.0.0/20", VpcPeeringConnectionId=pcx)
    for added in ("10.40.0.0/20", "10.40.0.0/16"):
        with refused((RANGE, "InvalidParameterValue")):
            a.ec2.associate_vpc_cidr_block(VpcId=vpc, CidrBlock=added)
    a.ec2.associate_vpc_cidr_block(VpcId=vpc, CidrBlock="10.40.1.0/24")  # smaller is fine


def test_five_blocks_and_no_more(a):
    vpc = a.vpc("10.2.0.0/16", "10.3.0.0/16", "10.4.0.0/16", "10.5.0.0/16", "10.6.0.0/16")
    with refused("CidrLimitExceeded"):
        a.ec2.associate_vpc_cidr_block(VpcId=vpc, CidrBlock="10.7.0.0/16")


def test_taking_a_block_away(a):
    vpc = a.vpc("10.0.0.0/16")
    added = a.ec2.associate_vpc_cidr_block(VpcId=vpc, CidrBlock="10.9.0.0/16")["CidrBlockAssociation"]["AssociationId"]
    primary = next(
        x["AssociationId"]
        for x in a.ec2.describe_vpcs(VpcIds=[vpc])["Vpcs"][0]["CidrBlockAssociationSet"]
        if x["CidrBlock"] == "10.0.0.0/16"
    )
    with refused("OperationNotPermitted"):
        a.ec2.disassociate_vpc_cidr_block(AssociationId=primary)
    subnet = a.subnet(vpc, "10.9.1.0/24")
    with refused("DependencyViolation"):
        a.ec2.disassociate_vpc_cidr_block(AssociationId=added)
    a.ec2.delete_subnet(SubnetId=subnet)
    answer = a.ec2.disassociate_vpc_cidr_block(AssociationId=added)
    assert answer["CidrBlockAssociation"]["CidrBlockState"]["State"] in ("disassociating", "disassociated")
    eventually(lambda: "10.9.0.0/16" not in a.routes(a.main_table(vpc)))
    for unknown in (f"vpc-cidr-assoc-{UNKNOWN}", added):
        with refused("InvalidVpcCidrBlockAssociationID.NotFound"):
            a.ec2.disassociate_vpc_cidr_block(AssociationId=unknown)


def test_an_ipv6_block_brings_its_routes_and_rules(a):
    vpc = a.vpc("10.0.0.0/16")
    made = a.ec2.associate_vpc_cidr_block(VpcId=vpc, AmazonProvidedIpv6CidrBlock=True)["Ipv6CidrBlockAssociation"]
    block = eventually(
        lambda: [
            x["Ipv6CidrBlock"]
            for x in a.ec2.describe_vpcs(VpcIds=[vpc])["Vpcs"][0]["Ipv6CidrBlockAssociationSet"]
            if x["Ipv6CidrBlockState"]["State"] == "associated" and x["AssociationId"] == made["AssociationId"]
        ]
    )[0]
    assert a.routes(a.main_table(vpc))[block]["GatewayId"] == "local"
    (acl,) = a.ec2.describe_network_acls(Filters=filtered(vpc_id=vpc))["NetworkAcls"]
    six = {
        (e["RuleNumber"], e["RuleAction"])
        for e in acl["Entries"]
        if e.get("Ipv6CidrBlock") == "::/0" and not e["Egress"]
    }
    assert six == {(101, "allow"), (32768, "deny")}
    with refused(("InvalidParameterCombination", "InvalidParameterValue", "MissingParameter")):
        a.ec2.associate_vpc_cidr_block(VpcId=vpc)


# Subnets (ch. 3).


def test_a_new_subnet(a):
    vpc = a.vpc("10.0.0.0/16")
    made = a.ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.1.5/24", AvailabilityZone=f"{a.region}a")["Subnet"]
    assert re.fullmatch(r"subnet-[0-9a-f]{17}", made["SubnetId"])
    assert made["CidrBlock"] == "10.0.1.0/24"
    assert made["AvailableIpAddressCount"] == 251
    assert (made["AvailabilityZone"], made["AvailabilityZoneId"]) == (f"{a.region}a", "use1-az1")
    assert made["SubnetArn"] == f"arn:aws:ec2:{a.region}:{a.account}:subnet/{made['SubnetId']}"
    assert (made["MapPublicIpOnLaunch"], made["AssignIpv6AddressOnCreation"], made["DefaultForAz"]) == (
        False,
        False,
        False,
    )
    a.ec2.get_waiter("subnet_available").wait(
        SubnetIds=[made["SubnetId"]], WaiterConfig={"Delay": 0.05, "MaxAttempts": 50}
    )
    assert a.ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.2.0/28")["Subnet"]["AvailableIpAddressCount"] == 11


def test_a_subnet_may_be_the_whole_vpc(a):
    a.subnet(a.vpc("10.0.0.0/16"), "10.0.0.0/16")


def test_subnets_that_cannot_be(a):
    vpc = a.vpc("10.0.0.0/16", "10.1.0.0/16")
    a.subnet(vpc, "10.0.1.0/24")
    invalid = lambda cidr: f"The CIDR '{cidr}' is invalid."
    conflict = lambda cidr: f"The CIDR '{cidr}' conflicts with another subnet"
    table = [
        ("10.2.0.0/24", "InvalidSubnet.Range", invalid("10.2.0.0/24")),
        ("10.0.0.0/15", "InvalidSubnet.Range", invalid("10.0.0.0/15")),  # both blocks together are not one
        ("10.0.0.0/29", "InvalidSubnet.Range", invalid("10.0.0.0/29")),
        ("10.0.1.0/24", "InvalidSubnet.Conflict", conflict("10.0.1.0/24")),
        ("10.0.1.128/25", "InvalidSubnet.Conflict", conflict("10.0.1.128/25")),
        ("10.0.0.0/20", "InvalidSubnet.Conflict", conflict("10.0.0.0/20")),
        ("10.0.0.0", "InvalidParameterValue", None),
    ]
    for cidr, code, text in table:
        with refused(code, text, status=400):
            a.ec2.create_subnet(VpcId=vpc, CidrBlock=cidr)
    with refused("InvalidParameterValue", re.compile(rf"\b{a.region}a\b")):
        a.ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.9.0/24", AvailabilityZone="us-east-1z")
    assert a.wire.call("CreateSubnet", {"VpcId": vpc}).code == "MissingParameter"
    assert len(a.ec2.describe_subnets(Filters=filtered(vpc_id=vpc))["Subnets"]) == 1


def test_subnet_attributes(a):
    subnet = a.subnet(a.vpc(), "10.0.0.0/24")
    seen = lambda: a.ec2.describe_subnets(SubnetIds=[subnet])["Subnets"][0]
    a.ec2.modify_subnet_attribute(SubnetId=subnet, MapPublicIpOnLaunch={"Value": True})
    assert seen()["MapPublicIpOnLaunch"] is True
    a.ec2.modify_subnet_attribute(SubnetId=subnet, PrivateDnsHostnameTypeOnLaunch="resource-name")
    assert seen()["PrivateDnsNameOptionsOnLaunch"]["HostnameType"] == "resource-name"
    a.ec2.modify_subnet_attribute(SubnetId=subnet, EnableResourceNameDnsARecordOnLaunch={"Value": True})
    assert seen()["PrivateDnsNameOptionsOnLaunch"]["EnableResourceNameDnsARecord"] is True
    with refused(("InvalidParameterCombination", "InvalidParameterValue")):
        a.ec2.modify_subnet_attribute(
            SubnetId=subnet, MapPublicIpOnLaunch={"Value": False}, PrivateDnsHostnameTypeOnLaunch="ip-name"
        )
    assert seen()["MapPublicIpOnLaunch"] is True


def test_delete_subnet(a, b):
    vpc = a.vpc()
    subnet = a.subnet(vpc, "10.0.0.0/24")
    eni = a.ec2.create_network_interface(SubnetId=subnet)["NetworkInterface"]["NetworkInterfaceId"]
    with refused("DependencyViolation", f"The subnet '{subnet}' has dependencies and cannot be deleted."):
        a.ec2.delete_subnet(SubnetId=subnet)
    with refused("InvalidSubnetID.NotFound", f"The subnet ID '{subnet}' does not exist"):
        b.ec2.delete_subnet(SubnetId=subnet)
    a.ec2.delete_network_interface(NetworkInterfaceId=eni)
    table = a.table(vpc)
    a.ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)
    a.ec2.delete_subnet(SubnetId=subnet)
    with refused("InvalidSubnetID.NotFound", f"The subnet ID '{subnet}' does not exist"):
        a.ec2.describe_subnets(SubnetIds=[subnet])
    a.ec2.delete_route_table(RouteTableId=table)  # its association went with the subnet


def test_a_block_for_as_many_tables_as_there_may_be(a):
    """Local routes follow from the blocks, so that one more block is one small change."""
    vpc = a.vpc("10.0.0.0/16")
    tables = [a.main_table(vpc), *(a.table(vpc) for _ in range(199))]
    made = a.ec2.associate_vpc_cidr_block(VpcId=vpc, CidrBlock="10.2.0.0/16")["CidrBlockAssociation"]
    eventually(lambda: "10.2.0.0/16" in a.routes(tables[0]))
    local = lambda: {table: sorted(a.routes(table)) for table in (tables[0], tables[1], tables[-1])}
    assert all(routes == ["10.0.0.0/16", "10.2.0.0/16"] for routes in local().values())
    a.ec2.disassociate_vpc_cidr_block(AssociationId=made["AssociationId"])
    eventually(lambda: all(routes == ["10.0.0.0/16"] for routes in local().values()))


def test_an_ipv6_subnet(a):
    vpc = a.vpc("10.0.0.0/16")
    a.ec2.associate_vpc_cidr_block(VpcId=vpc, AmazonProvidedIpv6CidrBlock=True)
    seen = lambda: a.ec2.describe_vpcs(VpcIds=[vpc])["Vpcs"][0]["Ipv6CidrBlockAssociationSet"][0]
    eventually(lambda: seen()["Ipv6CidrBlockState"]["State"] == "associated")
    block = seen()["Ipv6CidrBlock"].replace("/56", "/64")
    subnet = a.subnet(vpc, "10.0.0.0/24", Ipv6CidrBlock=block)
    (own,) = a.ec2.describe_subnets(SubnetIds=[subnet])["Subnets"][0]["Ipv6CidrBlockAssociationSet"]
    assert (own["Ipv6CidrBlock"], own["Ipv6CidrBlockState"]["State"]) == (block, "associated")
    assert own["AssociationId"].startswith("subnet-cidr-assoc-")
    with refused("InvalidSubnet.Conflict"):
        a.subnet(vpc, "10.0.1.0/24", Ipv6CidrBlock=block)
    with refused(("InvalidSubnet.Range", "InvalidParameterValue")):
        a.subnet(vpc, "10.0.1.0/24", Ipv6CidrBlock="2001:db8::/64")
