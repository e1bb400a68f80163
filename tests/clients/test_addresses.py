"""Elastic IP addresses and public addresses at launch, through boto3 (spec 8.7)."""

import pytest

from test_interfaces_instances import FAST, instance, running, seen
from world import AWAY, UNKNOWN, filtered, refused


@pytest.fixture
def place(a):
    """A subnet of a VPC that has an Internet gateway."""
    vpc = a.vpc("10.0.0.0/16")
    gateway = a.ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    a.ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    return vpc, a.subnet(vpc, "10.0.1.0/24"), gateway


def address(party, **more):
    (found,) = party.ec2.describe_addresses(**more)["Addresses"]
    return found


def test_an_address_held_mapped_and_given_back(a, place):
    vpc, subnet, gateway = place
    made = a.ec2.allocate_address(Domain="vpc")
    assert (made["Domain"], made["NetworkBorderGroup"], made["PublicIpv4Pool"]) == ("vpc", a.region, "amazon")
    allocation = made["AllocationId"]
    free = address(a, AllocationIds=[allocation])
    assert free["PublicIp"] == made["PublicIp"] and "AssociationId" not in free and free["Tags"] == []
    guest = running(a, subnet)
    association = a.ec2.associate_address(AllocationId=allocation, InstanceId=guest)["AssociationId"]
    shown = instance(a, guest)
    assert shown["PublicIpAddress"] == made["PublicIp"]
    (interface,) = shown["NetworkInterfaces"]
    assert interface["Association"] == {
        "IpOwnerId": a.account,
        "PublicDnsName": "",
        "PublicIp": made["PublicIp"],
    }
    of_interface = seen(a, interface["NetworkInterfaceId"])["Association"]
    assert (of_interface["AllocationId"], of_interface["AssociationId"]) == (allocation, association)
    used = address(a, Filters=filtered(association_id=association))
    assert (used["InstanceId"], used["PrivateIpAddress"]) == (guest, shown["PrivateIpAddress"])
    assert (used["NetworkInterfaceId"], used["NetworkInterfaceOwnerId"]) == (
        interface["NetworkInterfaceId"],
        a.account,
    )
    with refused("InvalidIPAddress.InUse"):
        a.ec2.release_address(AllocationId=allocation)
    with refused("DependencyViolation"):
        a.ec2.detach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    a.ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": True})
    name = f"ec2-{made['PublicIp'].replace('.', '-')}.compute-1.amazonaws.com"
    assert instance(a, guest)["PublicDnsName"] == name
    a.ec2.disassociate_address(AssociationId=association)
    assert "PublicIpAddress" not in instance(a, guest)
    a.ec2.release_address(AllocationId=allocation)
    with refused("InvalidAllocationID.NotFound"):
        a.ec2.describe_addresses(AllocationIds=[allocation])
    a.ec2.detach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)


def test_moving_an_address(a, place):
    _, subnet, _ = place
    allocation = a.ec2.allocate_address(Domain="vpc")["AllocationId"]
    first, second = running(a, subnet), running(a, subnet)
    before = a.ec2.associate_address(AllocationId=allocation, InstanceId=first)["AssociationId"]
    with refused(
        "Resource.AlreadyAssociated", f"resource {allocation} is already associated with associate-id {before}"
    ):
        a.ec2.associate_address(AllocationId=allocation, InstanceId=second, AllowReassociation=False)
    a.ec2.associate_address(AllocationId=allocation, InstanceId=second)
    assert address(a, AllocationIds=[allocation])["InstanceId"] == second
    with refused("InvalidAssociationID.NotFound"):
        a.ec2.disassociate_address(AssociationId=before)


def test_no_gateway_no_mapping(a):
    vpc = a.vpc("10.0.0.0/16")
    guest = running(a, a.subnet(vpc, "10.0.1.0/24"))
    allocation = a.ec2.allocate_address(Domain="vpc")["AllocationId"]
    with refused("Gateway.NotAttached", f"Network {vpc} is not attached to any internet gateway"):
        a.ec2.associate_address(AllocationId=allocation, InstanceId=guest)
    with refused("InvalidAllocationID.NotFound"):
        a.ec2.associate_address(AllocationId=f"eipalloc-{UNKNOWN}", InstanceId=guest)


def test_at_launch_and_over_a_stop(a, place):
    _, subnet, _ = place
    wanted = [{"DeviceIndex": 0, "SubnetId": subnet, "AssociatePublicIpAddress": True}]
    guest = running(a, None, NetworkInterfaces=wanted)
    first = instance(a, guest)["PublicIpAddress"]
    assert instance(a, guest)["NetworkInterfaces"][0]["Association"]["IpOwnerId"] == "amazon"
    (found,) = a.ec2.describe_instances(Filters=filtered(ip_address=first))["Reservations"]
    assert found["Instances"][0]["InstanceId"] == guest
    a.ec2.stop_instances(InstanceIds=[guest])
    a.ec2.get_waiter("instance_stopped").wait(InstanceIds=[guest], WaiterConfig=FAST)
    assert "PublicIpAddress" not in instance(a, guest)
    a.ec2.start_instances(InstanceIds=[guest])
    a.ec2.get_waiter("instance_running").wait(InstanceIds=[guest], WaiterConfig=FAST)
    assert instance(a, guest)["PublicIpAddress"] != first
    two = [{**wanted[0]}, {"DeviceIndex": 1, "SubnetId": subnet}]
    with refused("InvalidParameterCombination"):
        running(a, None, NetworkInterfaces=two)
    a.ec2.modify_subnet_attribute(SubnetId=subnet, MapPublicIpOnLaunch={"Value": True})
    assert "PublicIpAddress" in instance(a, running(a, subnet))


def test_five_of_an_account_and_none_in_two_regions(a):
    here = [a.ec2.allocate_address(Domain="vpc")["PublicIp"] for _ in range(5)]
    with refused("AddressLimitExceeded"):
        a.ec2.allocate_address(Domain="vpc")
    away = a.elsewhere(AWAY)
    there = [away.ec2.allocate_address(Domain="vpc")["PublicIp"] for _ in range(5)]
    assert len({*here, *there}) == 10


def test_a_reverse_name(a):
    allocation = a.ec2.allocate_address(Domain="vpc")["AllocationId"]
    asked = {"AllocationIds": [allocation], "Attribute": "domain-name"}
    assert a.ec2.describe_addresses_attribute(**asked)["Addresses"] == []
    made = a.ec2.modify_address_attribute(AllocationId=allocation, DomainName="mail.example.com")["Address"]
    assert made["PtrRecord"] == "mail.example.com."
    (shown,) = a.ec2.describe_addresses_attribute(**asked)["Addresses"]
    assert shown == made
    a.ec2.reset_address_attribute(AllocationId=allocation, Attribute="domain-name")
    assert a.ec2.describe_addresses_attribute(**asked)["Addresses"] == []
