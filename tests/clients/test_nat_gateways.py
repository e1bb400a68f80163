"""NAT gateways and egress-only internet gateways (spec 8.8): what boto3, its waiters and paginators see of them."""

import pytest

from world import UNKNOWN, refused


@pytest.fixture
def net(a):
    """A VPC with an internet gateway and a subnet."""
    vpc = a.vpc("10.0.0.0/16")
    gateway = a.ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    a.ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    return vpc, a.ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.1.0/24")["Subnet"]["SubnetId"]


def address(party):
    return party.ec2.allocate_address(Domain="vpc")


def test_a_public_gateway_from_its_birth_to_its_end(a, net):
    vpc, subnet = net
    elastic = address(a)
    made = a.ec2.create_nat_gateway(
        SubnetId=subnet,
        AllocationId=elastic["AllocationId"],
        TagSpecifications=[{"ResourceType": "natgateway", "Tags": [{"Key": "Name", "Value": "out"}]}],
    )["NatGateway"]
    nat = made["NatGatewayId"]
    a.ec2.get_waiter("nat_gateway_available").wait(NatGatewayIds=[nat], WaiterConfig={"Delay": 1, "MaxAttempts": 5})
    (found,) = a.ec2.describe_nat_gateways(Filters=[{"Name": "tag:Name", "Values": ["out"]}])["NatGateways"]
    (primary,) = found["NatGatewayAddresses"]
    assert (found["State"], found["ConnectivityType"], found["VpcId"]) == ("available", "public", vpc)
    assert (primary["PublicIp"], primary["AllocationId"]) == (elastic["PublicIp"], elastic["AllocationId"])
    assert primary["IsPrimary"] is True and primary["Status"] == "succeeded"
    (eni,) = a.ec2.describe_network_interfaces(NetworkInterfaceIds=[primary["NetworkInterfaceId"]])["NetworkInterfaces"]
    assert (eni["InterfaceType"], eni["RequesterManaged"], eni["SourceDestCheck"]) == ("nat_gateway", True, False)
    with refused("OperationNotPermitted"):
        a.ec2.delete_network_interface(NetworkInterfaceId=eni["NetworkInterfaceId"])
    with refused("InvalidIPAddress.InUse"):
        a.ec2.release_address(AllocationId=elastic["AllocationId"])
    table = a.table(vpc)
    a.ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", NatGatewayId=nat)
    assert a.routes(table)["0.0.0.0/0"]["State"] == "active"

    assert a.ec2.delete_nat_gateway(NatGatewayId=nat)["NatGatewayId"] == nat
    a.ec2.get_waiter("nat_gateway_deleted").wait(NatGatewayIds=[nat], WaiterConfig={"Delay": 1, "MaxAttempts": 5})
    assert a.routes(table)["0.0.0.0/0"]["State"] == "blackhole"
    (gone,) = a.ec2.describe_nat_gateways(NatGatewayIds=[nat])["NatGateways"]
    assert gone["State"] == "deleted" and gone["NatGatewayAddresses"][0]["PublicIp"] == elastic["PublicIp"]
    a.ec2.release_address(AllocationId=elastic["AllocationId"])


def test_a_gateway_that_fails_says_why(a):
    vpc = a.vpc("10.0.0.0/16")
    subnet = a.ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.1.0/24")["Subnet"]["SubnetId"]
    made = a.ec2.create_nat_gateway(SubnetId=subnet, AllocationId=address(a)["AllocationId"])["NatGateway"]
    assert (made["State"], made["FailureCode"]) == ("failed", "Gateway.NotAttached")
    assert made["FailureMessage"] == f"Network {vpc} has no Internet gateway attached"


def test_addresses_of_gateways(a, net):
    _, subnet = net
    nat = a.ec2.create_nat_gateway(SubnetId=subnet, ConnectivityType="private")["NatGateway"]["NatGatewayId"]
    added = a.ec2.assign_private_nat_gateway_address(NatGatewayId=nat, PrivateIpAddresses=["10.0.1.77"])
    assert added["NatGatewayAddresses"][0]["PrivateIp"] == "10.0.1.77"
    a.ec2.unassign_private_nat_gateway_address(NatGatewayId=nat, PrivateIpAddresses=["10.0.1.77"])
    first, second = address(a), address(a)
    public = a.ec2.create_nat_gateway(SubnetId=subnet, AllocationId=first["AllocationId"])["NatGateway"]["NatGatewayId"]
    added = a.ec2.associate_nat_gateway_address(NatGatewayId=public, AllocationIds=[second["AllocationId"]])
    (one,) = added["NatGatewayAddresses"]
    assert one["PublicIp"] == second["PublicIp"]
    a.ec2.disassociate_nat_gateway_address(NatGatewayId=public, AssociationIds=[one["AssociationId"]])
    pages = a.ec2.get_paginator("describe_nat_gateways").paginate(PaginationConfig={"PageSize": 5})
    assert {nat, public} <= {found["NatGatewayId"] for page in pages for found in page["NatGateways"]}
    with refused("NatGatewayNotFound"):
        a.ec2.describe_nat_gateways(NatGatewayIds=[f"nat-{UNKNOWN}"])


def test_an_egress_only_gateway(a):
    vpc = a.ec2.create_vpc(CidrBlock="10.0.0.0/16", AmazonProvidedIpv6CidrBlock=True)["Vpc"]["VpcId"]
    made = a.ec2.create_egress_only_internet_gateway(VpcId=vpc)["EgressOnlyInternetGateway"]
    gateway = made["EgressOnlyInternetGatewayId"]
    assert made["Attachments"] == [{"State": "attached", "VpcId": vpc}]
    table = a.table(vpc)
    a.ec2.create_route(
        RouteTableId=table, DestinationIpv6CidrBlock="::/0", EgressOnlyInternetGatewayId=gateway
    )
    found = a.ec2.describe_egress_only_internet_gateways(EgressOnlyInternetGatewayIds=[gateway])
    assert len(found["EgressOnlyInternetGateways"]) == 1
    assert a.ec2.delete_egress_only_internet_gateway(EgressOnlyInternetGatewayId=gateway)["ReturnCode"] is True
