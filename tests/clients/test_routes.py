"""Route tables, what CreateRoute refuses, and when a route is a black hole (spec ch. 4; Appendix B.4)."""

import re

import pytest

from world import NOT_A_PCX, UNKNOWN, eventually, filtered, refused

DIFFERENT = "route table {} and network gateway {} belong to different networks"


@pytest.fixture
def two(a, b):
    """Our VPC, its own table, and an active peering with another account's."""
    mine, theirs = a.vpc("10.0.0.0/16"), b.vpc("10.1.0.0/16")
    return mine, a.table(mine), a.peer(mine, b, theirs)


def route(party, table, to, pcx):
    return party.ec2.create_route(RouteTableId=table, DestinationCidrBlock=to, VpcPeeringConnectionId=pcx)


def state(party, table, to):
    return party.routes(table)[to]["State"]


def test_a_route_to_a_peering(a, two):
    _, table, pcx = two
    assert route(a, table, "10.1.0.0/16", pcx)["Return"] is True
    assert a.routes(table)["10.1.0.0/16"] == {
        "DestinationCidrBlock": "10.1.0.0/16",
        "VpcPeeringConnectionId": pcx,
        "Origin": "CreateRoute",
        "State": "active",
    }


def test_black_holes(pair):
    """A route follows its own peering's state, and never another's (Appendix B.4)."""
    first, second = pair
    mine, theirs = first.vpc("10.0.0.0/16"), second.vpc("10.1.0.0/16")
    table, back = first.main_table(mine), second.main_table(theirs)
    pcx = first.pending(mine, second, theirs)
    route(first, table, "10.1.0.0/16", pcx)
    route(second, back, "10.0.0.0/16", pcx)
    assert state(first, table, "10.1.0.0/16") == state(second, back, "10.0.0.0/16") == "blackhole"
    second.ec2.accept_vpc_peering_connection(VpcPeeringConnectionId=pcx)
    eventually(lambda: state(first, table, "10.1.0.0/16") == "active")
    eventually(lambda: state(second, back, "10.0.0.0/16") == "active")
    first.ec2.delete_vpc_peering_connection(VpcPeeringConnectionId=pcx)
    eventually(lambda: state(first, table, "10.1.0.0/16") == "blackhole")
    eventually(lambda: state(second, back, "10.0.0.0/16") == "blackhole")
    new = first.peer(mine, second, theirs)
    assert state(first, table, "10.1.0.0/16") == "blackhole"
    assert first.routes(table)["10.1.0.0/16"]["VpcPeeringConnectionId"] == pcx
    first.ec2.replace_route(RouteTableId=table, DestinationCidrBlock="10.1.0.0/16", VpcPeeringConnectionId=new)
    assert state(first, table, "10.1.0.0/16") == "active"


@pytest.mark.parametrize("end", ["rejected", "deleted", "failed"])
def test_no_new_route_to_what_has_ended(a, b, end):
    mine, theirs = a.vpc("10.0.0.0/16"), b.vpc("10.0.0.0/16" if end == "failed" else "10.1.0.0/16")
    pcx = a.request(mine, b, theirs) if end == "failed" else a.pending(mine, b, theirs)
    if end == "rejected":
        b.ec2.reject_vpc_peering_connection(VpcPeeringConnectionId=pcx)
    if end == "deleted":
        a.ec2.delete_vpc_peering_connection(VpcPeeringConnectionId=pcx)
    a.until(pcx, end)
    with refused("InvalidVpcPeeringConnectionID.NotFound"):
        route(a, a.main_table(mine), "10.9.0.0/16", pcx)


def test_what_create_route_refuses(a, b, two):
    mine, table, pcx = two
    other, foreign = a.vpc("10.2.0.0/16"), b.vpc("10.3.0.0/16")
    elsewhere = a.peer(other, b, foreign)
    route(a, table, "10.1.0.0/16", pcx)
    not_supported = "Route target is not supported. This route only supports interface and instance targets."
    bad_block = lambda v, field="destinationCidrBlock": (
        f"Value ({v}) for parameter {field} is invalid. This is not a valid CIDR block."
    )
    rows = [
        # parameters, code, message
        (
            {"DestinationCidrBlock": "10.1.0.0/16"},
            "RouteAlreadyExists",
            "The route identified by 10.1.0.0/16 already exists.",
        ),
        (
            {"DestinationCidrBlock": "10.1.7.7/16"},
            "RouteAlreadyExists",
            "The route identified by 10.1.0.0/16 already exists.",
        ),
        ({"DestinationCidrBlock": "10.0.0.0/16"}, ("InvalidParameterValue", "RouteAlreadyExists"), None),
        ({"DestinationCidrBlock": "10.0.3.0/24"}, "InvalidParameterValue", not_supported),
        ({"DestinationCidrBlock": "169.254.168.0/22"}, "InvalidParameterValue", None),
        ({"DestinationCidrBlock": "169.254.169.254/32"}, "InvalidParameterValue", None),
        ({"DestinationIpv6CidrBlock": "fd00:ec2::/32"}, "InvalidParameterValue", None),
        ({"DestinationIpv6CidrBlock": "fd00:ec2::253/128"}, "InvalidParameterValue", None),
        ({"DestinationCidrBlock": "fd00::/8"}, "InvalidParameterValue", bad_block("fd00::/8")),
        ({"DestinationCidrBlock": "10.9.0.0"}, "InvalidParameterValue", bad_block("10.9.0.0")),
        ({"DestinationCidrBlock": "10.9.0.0/33"}, "InvalidParameterValue", bad_block("10.9.0.0/33")),
        (
            {"DestinationIpv6CidrBlock": "10.9.0.0/16"},
            "InvalidParameterValue",
            bad_block("10.9.0.0/16", "destinationIpv6CidrBlock"),
        ),
        ({}, ("MissingParameter", "InvalidParameterCombination"), None),
        (
            {"DestinationCidrBlock": "10.9.0.0/16", "DestinationIpv6CidrBlock": "fd00::/8"},
            "InvalidParameterCombination",
            None,
        ),
        (
            {"DestinationCidrBlock": "10.9.0.0/16", "VpcPeeringConnectionId": elsewhere},
            "InvalidParameterValue",
            DIFFERENT.format(table, elsewhere),
        ),
        (
            {"DestinationCidrBlock": "10.9.0.0/16", "VpcPeeringConnectionId": NOT_A_PCX},
            "InvalidVpcPeeringConnectionID.NotFound",
            f"The vpcPeeringConnection ID '{NOT_A_PCX}' does not exist",
        ),
        (
            {"DestinationCidrBlock": "10.9.0.0/16", "VpcPeeringConnectionId": "pcx-1"},
            "InvalidVpcPeeringConnectionId.Malformed",
            None,
        ),
        (
            {"DestinationCidrBlock": "10.9.0.0/16", "RouteTableId": f"rtb-{UNKNOWN}"},
            "InvalidRouteTableID.NotFound",
            f"The routeTable ID 'rtb-{UNKNOWN}' does not exist",
        ),
        (
            {"DestinationCidrBlock": "10.9.0.0/16", "RouteTableId": "rtb-x"},
            ("InvalidRouteTableId.Malformed", "InvalidRouteTableID.Malformed"),
            None,
        ),
        (
            {"DestinationCidrBlock": "10.9.0.0/16", "NetworkInterfaceId": f"eni-{UNKNOWN}"},
            "InvalidParameterCombination",
            None,
        ),
    ]
    before = a.routes(table)
    for parameters, code, text in rows:
        with refused(code, text, status=400):
            a.ec2.create_route(**{"RouteTableId": table, "VpcPeeringConnectionId": pcx, **parameters})
    targets = [
        ({"NetworkInterfaceId": f"eni-{UNKNOWN}"}, "InvalidNetworkInterfaceID.NotFound"),
        ({"GatewayId": f"igw-{UNKNOWN}"}, ("InvalidInternetGatewayID.NotFound", "InvalidGatewayID.NotFound")),
        ({}, ("MissingParameter", "InvalidParameterCombination")),
    ]
    for target, code in targets:
        with refused(code):
            a.ec2.create_route(RouteTableId=table, DestinationCidrBlock="10.9.0.0/16", **target)
    assert a.routes(table) == before


def test_a_foreign_table_or_peering_does_not_exist(a, b, cloud, new_account, two):
    _, table, pcx = two
    outsider = cloud.party(new_account())
    with refused("InvalidRouteTableID.NotFound", f"The routeTable ID '{table}' does not exist"):
        route(outsider, table, "10.1.0.0/16", pcx)
    with refused("InvalidVpcPeeringConnectionID.NotFound", f"The vpcPeeringConnection ID '{pcx}' does not exist"):
        route(outsider, outsider.main_table(outsider.vpc("10.0.0.0/16")), "10.1.0.0/16", pcx)
    for party in (outsider, b):
        with refused("InvalidRouteTableID.NotFound"):
            party.ec2.delete_route_table(RouteTableId=table)


@pytest.mark.parametrize("to", ["0.0.0.0/0", "10.0.0.0/8", "10.1.2.3/32", "10.99.0.0/16", "169.254.0.0/16"])
def test_destinations_outside_the_peer_are_stored(a, two, to):
    _, table, pcx = two
    route(a, table, to, pcx)
    assert state(a, table, to) == "active"


def test_replace_route(a, b, two):
    mine, table, pcx = two
    second = a.peer(mine, b, b.vpc("10.2.0.0/16"))
    replace = lambda to, **target: a.ec2.replace_route(RouteTableId=table, DestinationCidrBlock=to, **target)
    none = "There is no route defined for '10.1.0.0/16' in the route table. Use CreateRoute instead."
    with refused("InvalidParameterValue", none):
        replace("10.1.0.0/16", VpcPeeringConnectionId=pcx)
    route(a, table, "10.1.0.0/16", pcx)
    replace("10.1.0.0/16", VpcPeeringConnectionId=second)
    assert a.routes(table)["10.1.0.0/16"]["VpcPeeringConnectionId"] == second
    with refused("InvalidParameterValue"):
        replace("10.0.0.0/16", VpcPeeringConnectionId=pcx)  # the local route takes other targets only


def test_a_peering_by_the_name_of_gateway(a, two):
    """AWS is forgiving about GatewayId; amazon.aws.ec2_vpc_route_table has no other name for a peering."""
    _, table, pcx = two
    a.ec2.create_route(RouteTableId=table, DestinationCidrBlock="10.1.0.0/16", GatewayId=pcx)
    own = a.routes(table)["10.1.0.0/16"]
    assert own["VpcPeeringConnectionId"] == pcx and "GatewayId" not in own and own["State"] == "active"
    a.ec2.replace_route(RouteTableId=table, DestinationCidrBlock="10.1.0.0/16", GatewayId=pcx)
    with refused("InvalidVpcPeeringConnectionID.NotFound"):
        a.ec2.create_route(RouteTableId=table, DestinationCidrBlock="10.2.0.0/16", GatewayId=f"pcx-{UNKNOWN}")


def test_delete_route(a, two):
    _, table, pcx = two
    delete = lambda to: a.ec2.delete_route(RouteTableId=table, DestinationCidrBlock=to)
    route(a, table, "10.1.0.0/16", pcx)
    assert delete("10.1.0.0/16")["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert set(a.routes(table)) == {"10.0.0.0/16"}
    with refused("InvalidRoute.NotFound", f"no route with destination-cidr-block 10.1.0.0/16 in route table {table}"):
        delete("10.1.0.0/16")
    with refused("InvalidParameterValue", re.compile("local route")):
        delete("10.0.0.0/16")


def test_an_interface_as_target(a, two):
    mine, table, _ = two
    eni = a.ec2.create_network_interface(SubnetId=a.subnet(mine, "10.0.0.0/24"))["NetworkInterface"][
        "NetworkInterfaceId"
    ]
    a.ec2.create_route(RouteTableId=table, DestinationCidrBlock="10.50.0.0/16", NetworkInterfaceId=eni)
    assert a.routes(table)["10.50.0.0/16"]["NetworkInterfaceId"] == eni
    a.ec2.delete_network_interface(NetworkInterfaceId=eni)
    assert state(a, table, "10.50.0.0/16") == "blackhole"


def test_associations(a, b):
    vpc, other = a.vpc("10.0.0.0/16"), a.vpc("10.1.0.0/16")
    subnet, table, second = a.subnet(vpc, "10.0.0.0/24"), a.table(vpc), a.table(vpc)
    associate = lambda t, s: a.ec2.associate_route_table(RouteTableId=t, SubnetId=s)
    made = associate(table, subnet)
    assert re.fullmatch(r"rtbassoc-[0-9a-f]{17}", made["AssociationId"])
    assert made["AssociationState"]["State"] in ("associating", "associated")
    with refused("Resource.AlreadyAssociated"):
        associate(second, subnet)
    with refused("InvalidParameterValue", re.compile("belong to different networks")):
        associate(a.table(other), subnet)
    with refused("DependencyViolation", f"The routeTable '{table}' has dependencies and cannot be deleted."):
        a.ec2.delete_route_table(RouteTableId=table)
    replaced = a.ec2.replace_route_table_association(AssociationId=made["AssociationId"], RouteTableId=second)
    new = replaced["NewAssociationId"]
    assert new != made["AssociationId"]
    (found,) = a.ec2.describe_route_tables(Filters=[{"Name": "association.subnet-id", "Values": [subnet]}])[
        "RouteTables"
    ]
    assert found["RouteTableId"] == second
    assert found["Associations"][0] == {
        "Main": False,
        "RouteTableAssociationId": new,
        "RouteTableId": second,
        "SubnetId": subnet,
        "AssociationState": {"State": "associated"},
    }
    with refused("InvalidAssociationID.NotFound"):
        b.ec2.disassociate_route_table(AssociationId=new)
    a.ec2.disassociate_route_table(AssociationId=new)
    with refused("InvalidAssociationID.NotFound"):
        a.ec2.disassociate_route_table(AssociationId=new)
    a.ec2.delete_route_table(RouteTableId=second)
    a.ec2.delete_route_table(RouteTableId=table)


def test_the_main_table(a):
    vpc = a.vpc()
    main, table = a.main_table(vpc), a.table(vpc)
    (association,) = a.ec2.describe_route_tables(RouteTableIds=[main])["RouteTables"][0]["Associations"]
    with refused("InvalidParameterValue", re.compile("main route table association")):
        a.ec2.disassociate_route_table(AssociationId=association["RouteTableAssociationId"])
    with refused("DependencyViolation"):
        a.ec2.delete_route_table(RouteTableId=main)
    a.ec2.replace_route_table_association(AssociationId=association["RouteTableAssociationId"], RouteTableId=table)
    assert a.main_table(vpc) == table
    a.ec2.delete_route_table(RouteTableId=main)


def test_filters_of_route_tables(a, two):
    mine, table, pcx = two
    route(a, table, "10.1.0.0/16", pcx)
    subnet = a.subnet(mine, "10.0.0.0/24")
    association = a.ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)["AssociationId"]
    a.ec2.create_tags(Resources=[table], Tags=[{"Key": "Name", "Value": "private"}])
    main = a.main_table(mine)
    rows = [
        ("route.vpc-peering-connection-id", pcx, {table}),
        ("route.destination-cidr-block", "10.1.0.0/16", {table}),
        ("route.state", "active", {table, main}),
        ("route.state", "blackhole", set()),
        ("route.origin", "CreateRoute", {table}),
        ("route.gateway-id", "local", {table, main}),
        ("association.subnet-id", subnet, {table}),
        ("association.route-table-association-id", association, {table}),
        ("association.main", "true", {main}),
        ("association.main", "false", {table}),
        ("route-table-id", table, {table}),
        ("vpc-id", mine, {table, main}),
        ("owner-id", a.account, {table, main}),
        ("tag:Name", "priv*", {table}),
        ("tag-key", "Name", {table}),
    ]
    for name, value, wanted in rows:
        found = a.ec2.describe_route_tables(Filters=[{"Name": name, "Values": [value]}])["RouteTables"]
        assert {t["RouteTableId"] for t in found} == wanted, (name, value)


def test_the_client_token_of_create_route_table(a):
    vpc, other = a.vpc(), a.vpc()
    make = lambda v, **more: a.ec2.create_route_table(VpcId=v, ClientToken="once", **more)
    first = make(vpc)
    assert first["ClientToken"] == "once"
    assert make(vpc)["RouteTable"]["RouteTableId"] == first["RouteTable"]["RouteTableId"]
    with refused("IdempotentParameterMismatch"):
        make(other)
    assert len(a.ec2.describe_route_tables(Filters=filtered(vpc_id=vpc))["RouteTables"]) == 2
    assert len(a.ec2.describe_route_tables(Filters=filtered(vpc_id=other))["RouteTables"]) == 1


def test_500_routes_and_no_more(a, two):
    _, table, pcx = two
    for n in range(500):
        route(a, table, f"11.{n // 256}.{n % 256}.0/24", pcx)
    with refused("RouteLimitExceeded"):
        route(a, table, "12.0.0.0/24", pcx)
    assert len(a.routes(table)) == 501
