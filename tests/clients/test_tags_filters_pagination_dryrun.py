"""What is common to all actions: tags, filters, pages, dry runs, regions and zones (spec ch. 1)."""

import pytest

from world import AWAY, HOME, UNKNOWN, filtered, refused


@pytest.fixture
def things(a, b):
    """One of everything that can be described, by the word in its action."""
    vpc = a.vpc("10.0.0.0/16")
    subnet = a.subnet(vpc, "10.0.0.0/24")
    return {
        "vpcs": vpc,
        "subnets": subnet,
        "route_tables": a.table(vpc),
        "security_groups": a.group(vpc),
        "network_acls": a.ec2.create_network_acl(VpcId=vpc)["NetworkAcl"]["NetworkAclId"],
        "network_interfaces": a.ec2.create_network_interface(SubnetId=subnet)["NetworkInterface"]["NetworkInterfaceId"],
        "vpc_peering_connections": a.pending(vpc, b, b.vpc("10.1.0.0/16")),
    }


def ids(answer):
    """Every id in the list that a Describe answers."""
    (rows,) = [v for k, v in answer.items() if k not in ("ResponseMetadata", "NextToken")]
    names = (
        "VpcPeeringConnectionId",
        "NetworkInterfaceId",
        "NetworkAclId",
        "GroupId",
        "RouteTableId",
        "SubnetId",
        "VpcId",
    )
    key = next((k for k in names if rows and k in rows[0]), None)
    return [row[key] for row in rows]


# Tags (1.4).


def tags(party, of):
    found = party.ec2.describe_tags(Filters=filtered(resource_id=of))["Tags"]
    return {t["Key"]: t["Value"] for t in found}


def test_tags_of_everything(a, things):
    for word, of in things.items():
        assert a.ec2.create_tags(Resources=[of], Tags=[{"Key": "Name", "Value": word}, {"Key": "empty", "Value": ""}])
        assert tags(a, of) == {"Name": word, "empty": ""}, word
        describe = getattr(a.ec2, f"describe_{word}")
        assert ids(describe(Filters=[{"Name": "tag:Name", "Values": [word]}])) == [of], word
        assert of in ids(describe(Filters=[{"Name": "tag-key", "Values": ["emp*"]}])), word
        a.ec2.create_tags(Resources=[of], Tags=[{"Key": "Name", "Value": "new"}])
        assert tags(a, of)["Name"] == "new"
        a.ec2.delete_tags(Resources=[of], Tags=[{"Key": "Name", "Value": "another"}])  # another value: stays
        a.ec2.delete_tags(Resources=[of], Tags=[{"Key": "empty", "Value": ""}])
        assert tags(a, of) == {"Name": "new"}
        a.ec2.delete_tags(Resources=[of], Tags=[{"Key": "Name"}, {"Key": "never there"}])
        assert tags(a, of) == {}


def test_many_at_once_or_none(a, things):
    some = [things["vpcs"], things["subnets"]]
    a.ec2.create_tags(Resources=some, Tags=[{"Key": "k", "Value": "v"}])
    assert all(tags(a, of) == {"k": "v"} for of in some)
    with refused("InvalidSubnetID.NotFound"):
        a.ec2.create_tags(Resources=[things["vpcs"], f"subnet-{UNKNOWN}"], Tags=[{"Key": "half", "Value": ""}])
    assert "half" not in tags(a, things["vpcs"])
    found = a.ec2.describe_tags(Filters=filtered(key="k", resource_type=["vpc", "subnet"]))["Tags"]
    assert {t["ResourceId"] for t in found} == set(some)
    assert {t["ResourceType"] for t in found} == {"vpc", "subnet"}


@pytest.mark.parametrize(
    "given, code",
    [
        ([{"Key": "aws:x", "Value": "v"}], ("InvalidTagKey.Malformed", "InvalidParameterValue")),
        ([{"Key": "", "Value": "v"}], ("InvalidTagKey.Malformed", "InvalidParameterValue", "MissingParameter")),
        ([{"Key": "k" * 128, "Value": "v"}], ("InvalidTagKey.Malformed", "InvalidParameterValue")),
        ([{"Key": "k", "Value": "v" * 257}], "InvalidParameterValue"),
        ([{"Key": "k", "Value": "1"}, {"Key": "k", "Value": "2"}], "InvalidParameterValue"),
        ([{"Key": f"k{n}", "Value": ""} for n in range(51)], "TagLimitExceeded"),
    ],
)
def test_tags_that_cannot_be(a, given, code):
    vpc = a.vpc()
    with refused(code, status=400):
        a.ec2.create_tags(Resources=[vpc], Tags=given)
    assert tags(a, vpc) == {}


def test_tags_keep_every_character(a):
    vpc = a.vpc()
    odd = {"<&>\"'": "]]>&amp;", "schlüssel 鍵": "🔑 \u00a0", "a+b=c%20d": "e f+g", "Key": "case", "key": "CASE"}
    a.ec2.create_tags(Resources=[vpc], Tags=[{"Key": k, "Value": v} for k, v in odd.items()])
    assert tags(a, vpc) == odd


def test_unknown_and_foreign_ids(a, b):
    vpc = a.vpc()
    for of, code in (
        (vpc, "InvalidVpcID.NotFound"),
        (f"pcx-{UNKNOWN}", "InvalidVpcPeeringConnectionID.NotFound"),
        ("thing-0123456789abcdef0", "InvalidID"),
    ):
        with refused(code):
            b.ec2.create_tags(Resources=[of], Tags=[{"Key": "k", "Value": "v"}])
        with refused(code):
            b.ec2.delete_tags(Resources=[of], Tags=[{"Key": "k"}])


def test_tags_on_create(a):
    spec = lambda kind, *keys: [{"ResourceType": kind, "Tags": [{"Key": k, "Value": "v"} for k in keys]}]
    vpc = a.ec2.create_vpc(CidrBlock="10.0.0.0/16", TagSpecifications=spec("vpc", "x"))["Vpc"]
    assert vpc["Tags"] == [{"Key": "x", "Value": "v"}]
    valid = "'subnet' is not a valid taggable resource type for this operation."
    with refused("InvalidParameterValue", valid):
        a.ec2.create_vpc(CidrBlock="10.0.0.0/16", TagSpecifications=spec("subnet", "x"))
    with refused("InvalidParameterValue", "Tag specification must have at least one tag"):
        a.ec2.create_vpc(CidrBlock="10.0.0.0/16", TagSpecifications=spec("vpc"))
    for kind, make in {
        "subnet": lambda s: a.ec2.create_subnet(VpcId=vpc["VpcId"], CidrBlock="10.0.0.0/24", TagSpecifications=s)[
            "Subnet"
        ],
        "route-table": lambda s: a.ec2.create_route_table(VpcId=vpc["VpcId"], TagSpecifications=s)["RouteTable"],
        "network-acl": lambda s: a.ec2.create_network_acl(VpcId=vpc["VpcId"], TagSpecifications=s)["NetworkAcl"],
    }.items():
        assert make(spec(kind, "y"))["Tags"] == [{"Key": "y", "Value": "v"}], kind
    assert len(a.ec2.describe_vpcs(Filters=filtered(is_default="false"))["Vpcs"]) == 1


# Filters (1.3.10, 1.3.11).


def test_an_unknown_filter_is_named(a, things):
    for word in things:
        with refused("InvalidParameterValue", "The filter 'no-such-filter' is invalid"):
            getattr(a.ec2, f"describe_{word}")(Filters=filtered(no_such_filter="x"))


def test_ids_that_do_not_exist_fail_and_filters_that_match_nothing_do_not(a, things):
    prefixes = {
        "vpcs": ("VpcIds", "vpc", "InvalidVpcID.NotFound"),
        "subnets": ("SubnetIds", "subnet", "InvalidSubnetID.NotFound"),
        "route_tables": ("RouteTableIds", "rtb", "InvalidRouteTableID.NotFound"),
        "security_groups": ("GroupIds", "sg", "InvalidGroup.NotFound"),
        "network_acls": ("NetworkAclIds", "acl", "InvalidNetworkAclID.NotFound"),
        "network_interfaces": ("NetworkInterfaceIds", "eni", "InvalidNetworkInterfaceID.NotFound"),
        "vpc_peering_connections": ("VpcPeeringConnectionIds", "pcx", "InvalidVpcPeeringConnectionID.NotFound"),
    }
    for word, (parameter, prefix, code) in prefixes.items():
        describe = getattr(a.ec2, f"describe_{word}")
        with refused(code):
            describe(**{parameter: [things[word], f"{prefix}-{UNKNOWN}"]})
        assert ids(describe(**{parameter: [things[word]]})) == [things[word]]
        assert ids(describe(Filters=[{"Name": "tag:none", "Values": ["x"]}])) == []


def test_wildcards_and_their_escapes(a):
    names = ["plain", "star*", "question?", "back\\slash", "PLAIN"]
    vpcs = {}
    for name in names:
        vpcs[name] = a.vpc()
        a.ec2.create_tags(Resources=[vpcs[name]], Tags=[{"Key": "n", "Value": name}])

    def found(*patterns):
        answer = a.ec2.describe_vpcs(Filters=[{"Name": "tag:n", "Values": list(patterns)}])["Vpcs"]
        return {next(t["Value"] for t in v["Tags"] if t["Key"] == "n") for v in answer}

    rows = [
        (("plain",), {"plain"}),
        (("*",), set(names)),
        (("p*",), {"plain"}),
        (("?????",), {"plain", "star*", "PLAIN"}),
        (("*a*",), {"plain", "star*", "back\\slash"}),
        ((r"star\*",), {"star*"}),
        ((r"question\?",), {"question?"}),
        ((r"back\\slash",), {"back\\slash"}),
        ((r"\*",), set()),
        (("plain", "star?"), {"plain", "star*"}),
        (("[p]lain",), set()),
        (("plai",), set()),
        (("",), set()),
    ]
    for patterns, wanted in rows:
        assert found(*patterns) == wanted, patterns
    hostile = "*a" * 60 + "b"
    assert found(hostile) == set()  # must not take for ever


def test_filters_are_bounded(a):
    with refused(("FilterLimitExceeded", "InvalidParameterValue")):
        a.ec2.describe_vpcs(Filters=filtered(vpc_id=[f"vpc-{n:017x}" for n in range(201)]))
    assert a.ec2.describe_vpcs(Filters=filtered(vpc_id=[f"vpc-{n:017x}" for n in range(200)]))["Vpcs"] == []


def test_gaps_and_letters_in_parameter_names(a):
    """Ascending index counts, not its value; the first letter's case does not (1.3.2)."""
    vpc = a.vpc()
    for given in (
        {"VpcId.7": vpc},
        {"vpcId.1": vpc},
        {"Filter.3.Name": "vpc-id", "Filter.3.Value.9": vpc},
        {"Filter.1.Name": "vpc-id", "Filter.1.Value.1": vpc, "Filter.5.Name": "state", "Filter.5.Value.2": "available"},
    ):
        reply = a.wire.call("DescribeVpcs", given, loose=True)
        assert reply.status == 200 and reply.text("vpcId") == vpc, (given, reply)


# Pages (1.3.9).


def test_pages_of_everything(a, things):
    vpc = things["vpcs"]
    for n in range(1, 7):
        subnet = a.subnet(vpc, f"10.0.{n}.0/24")
        a.table(vpc)
        a.group(vpc, f"g{n}")
        a.ec2.create_network_acl(VpcId=vpc)
        a.ec2.create_network_interface(SubnetId=subnet)
    for word in ("subnets", "route_tables", "security_groups", "network_acls", "network_interfaces"):
        everything = ids(getattr(a.ec2, f"describe_{word}")())
        pages = list(a.ec2.get_paginator(f"describe_{word}").paginate(PaginationConfig={"PageSize": 5}))
        found = [i for page in pages for i in ids(page)]
        assert len(pages) >= 2 and all(len(ids(page)) <= 5 for page in pages), word
        assert sorted(found) == sorted(everything) and len(set(found)) == len(found), word
        assert "NextToken" not in pages[-1], word


@pytest.mark.parametrize(
    "action",
    [
        "DescribeVpcs",
        "DescribeSubnets",
        "DescribeRouteTables",
        "DescribeSecurityGroups",
        "DescribeNetworkAcls",
        "DescribeVpcPeeringConnections",
    ],
)
def test_page_sizes_and_tokens_that_cannot_be(a, action):
    for size in ("0", "4", "-5", "1e2", "", "99999999999999999999"):
        reply = a.wire.call(action, {"MaxResults": size})
        assert reply.code in ("InvalidParameterValue", "InvalidMaxResults"), (size, reply)
    for token in ("garbage", "AAAA", "%00", "x" * 5000):
        reply = a.wire.call(action, {"MaxResults": "5", "NextToken": token})
        assert reply.code in ("InvalidNextToken", "InvalidPaginationToken", "InvalidParameterValue"), (
            token[:20],
            reply,
        )


# Dry runs (1.3.8).


def test_dry_runs_of_everything(a, things):
    vpc, subnet, group, table, acl = (
        things[k] for k in ("vpcs", "subnets", "security_groups", "route_tables", "network_acls")
    )
    permission = [{"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
    calls = [
        ("create_vpc", {"CidrBlock": "10.0.0.0/16"}),
        ("delete_vpc", {"VpcId": vpc}),
        ("create_subnet", {"VpcId": vpc, "CidrBlock": "10.0.1.0/24"}),
        ("delete_subnet", {"SubnetId": subnet}),
        ("create_route_table", {"VpcId": vpc}),
        ("delete_route_table", {"RouteTableId": table}),
        ("associate_route_table", {"RouteTableId": table, "SubnetId": subnet}),
        (
            "create_route",
            {
                "RouteTableId": table,
                "DestinationCidrBlock": "10.1.0.0/16",
                "VpcPeeringConnectionId": things["vpc_peering_connections"],
            },
        ),
        ("create_security_group", {"VpcId": vpc, "GroupName": "dry", "Description": "d"}),
        ("delete_security_group", {"GroupId": group}),
        ("authorize_security_group_ingress", {"GroupId": group, "IpPermissions": permission}),
        ("create_network_acl", {"VpcId": vpc}),
        ("delete_network_acl", {"NetworkAclId": acl}),
        (
            "create_network_acl_entry",
            {
                "NetworkAclId": acl,
                "RuleNumber": 1,
                "Protocol": "-1",
                "RuleAction": "allow",
                "Egress": False,
                "CidrBlock": "0.0.0.0/0",
            },
        ),
        ("create_network_interface", {"SubnetId": subnet}),
        ("delete_network_interface", {"NetworkInterfaceId": things["network_interfaces"]}),
        ("create_tags", {"Resources": [vpc], "Tags": [{"Key": "k", "Value": "v"}]}),
        (
            "run_instances",
            {"ImageId": f"ami-{UNKNOWN}", "InstanceType": "t3.micro", "MinCount": 1, "MaxCount": 1, "SubnetId": subnet},
        ),
        *((f"describe_{word}", {}) for word in things),
    ]
    every = lambda: {word: getattr(a.ec2, f"describe_{word}")() for word in things}
    strip = lambda state: {k: {n: v for n, v in s.items() if n != "ResponseMetadata"} for k, s in state.items()}
    before = strip(every())
    for call, parameters in calls:
        with refused("DryRunOperation", "Request would have succeeded, but DryRun flag is set.", status=412):
            getattr(a.ec2, call)(**parameters, DryRun=True)
    assert strip(every()) == before


# Regions, zones, account.


def test_regions_and_zones(a):
    names = {r["RegionName"] for r in a.ec2.describe_regions()["Regions"]}
    assert {HOME, AWAY} <= names
    (one,) = a.ec2.describe_regions(RegionNames=[AWAY])["Regions"]
    assert one["RegionName"] == AWAY
    for party, short in ((a, "use1"), (a.elsewhere(), "euw1")):
        zones = party.ec2.describe_availability_zones()["AvailabilityZones"]
        assert {z["RegionName"] for z in zones} == {party.region}
        assert {z["State"] for z in zones} == {"available"}
        assert (f"{party.region}a", f"{short}-az1") in {(z["ZoneName"], z["ZoneId"]) for z in zones}
    with refused(("InvalidParameterValue", "InvalidZone.NotFound")):
        a.ec2.describe_availability_zones(ZoneNames=["us-east-1z"])
    found = a.ec2.describe_account_attributes()["AccountAttributes"]
    assert "supported-platforms" in {x["AttributeName"] for x in found}
