"""Several interfaces on one instance: at launch, attached and detached, their addresses and options (spec ch. 8)."""

import ipaddress
import re

import pytest

from test_interfaces_instances import FAST, IMAGE, eni, instance, running, seen
from world import filtered, refused


@pytest.fixture
def sides(a):
    """Two subnets of one VPC in one zone, both with IPv6."""
    vpc = a.ec2.create_vpc(CidrBlock="10.0.0.0/16", AmazonProvidedIpv6CidrBlock=True)["Vpc"]["VpcId"]
    (found,) = a.ec2.describe_vpcs(VpcIds=[vpc])["Vpcs"]
    block = found["Ipv6CidrBlockAssociationSet"][0]["Ipv6CidrBlock"]
    blocks = list(ipaddress.ip_network(block).subnets(new_prefix=64))

    def subnet(n):
        made = a.ec2.create_subnet(
            VpcId=vpc, CidrBlock=f"10.0.{n}.0/24", Ipv6CidrBlock=str(blocks[n]), AvailabilityZone="us-east-1a"
        )
        return made["Subnet"]["SubnetId"]

    return subnet(1), subnet(2)


def test_a_launch_with_two_interfaces(a, sides):
    left, right = sides
    first = {"DeviceIndex": 0, "SubnetId": left, "PrivateIpAddress": "10.0.1.20", "Description": "the first"}
    both = [{"PrivateIpAddress": "10.0.2.20", "Primary": True}, {"PrivateIpAddress": "10.0.2.21", "Primary": False}]
    second = {
        "DeviceIndex": 1,
        "SubnetId": right,
        "PrivateIpAddresses": both,
        "Ipv6AddressCount": 2,
        "DeleteOnTermination": False,
        "EnaSrdSpecification": {"EnaSrdEnabled": True, "EnaSrdUdpSpecification": {"EnaSrdUdpEnabled": True}},
        "NetworkCardIndex": 0,
    }
    of = running(a, None, NetworkInterfaces=[second, first])
    shown = instance(a, of)["NetworkInterfaces"]
    assert [n["Attachment"]["DeviceIndex"] for n in shown] == [0, 1]
    assert [n["PrivateIpAddress"] for n in shown] == ["10.0.1.20", "10.0.2.20"]
    assert shown[0]["Description"] == "the first" and instance(a, of)["PrivateIpAddress"] == "10.0.1.20"
    assert (len(shown[1]["PrivateIpAddresses"]), len(shown[1]["Ipv6Addresses"])) == (2, 2)
    assert shown[1]["Attachment"]["EnaSrdSpecification"]["EnaSrdEnabled"] is True
    assert [n["Attachment"]["DeleteOnTermination"] for n in shown] == [True, False]
    for name, value in (("attachment.device-index", "1"), ("ipv6-addresses.ipv6-address", shown[1]["Ipv6Addresses"][1]["Ipv6Address"])):
        filters = [{"Name": name, "Values": [value]}, {"Name": "attachment.instance-id", "Values": [of]}]
        (found,) = a.ec2.describe_network_interfaces(Filters=filters)["NetworkInterfaces"]
        assert found["NetworkInterfaceId"] == shown[1]["NetworkInterfaceId"], name
    reservations = a.ec2.describe_instances(
        Filters=[{"Name": "network-interface.addresses.private-ip-address", "Values": ["10.0.2.21"]}]
    )["Reservations"]
    assert [i["InstanceId"] for r in reservations for i in r["Instances"]] == [of]
    a.ec2.terminate_instances(InstanceIds=[of])
    a.ec2.get_waiter("instance_terminated").wait(InstanceIds=[of], WaiterConfig=FAST)
    assert seen(a, shown[1]["NetworkInterfaceId"])["Status"] == "available"


def test_addresses_come_move_and_go(a, sides):
    left, _ = sides
    one, two = (eni(a, left)["NetworkInterfaceId"] for _ in range(2))
    made = a.ec2.assign_private_ip_addresses(NetworkInterfaceId=one, PrivateIpAddresses=["10.0.1.100", "10.0.1.101"])
    assert [x["PrivateIpAddress"] for x in made["AssignedPrivateIpAddresses"]] == ["10.0.1.100", "10.0.1.101"]
    with refused("InvalidParameterValue", re.compile(r"^\[10\.0\.1\.100\] is assigned, but move is not allowed\.$")):
        a.ec2.assign_private_ip_addresses(NetworkInterfaceId=two, PrivateIpAddresses=["10.0.1.100"])
    a.ec2.assign_private_ip_addresses(
        NetworkInterfaceId=two, PrivateIpAddresses=["10.0.1.100"], AllowReassignment=True
    )
    addresses = lambda of: [x["PrivateIpAddress"] for x in seen(a, of)["PrivateIpAddresses"]][1:]
    assert (addresses(one), addresses(two)) == (["10.0.1.101"], ["10.0.1.100"])
    a.ec2.unassign_private_ip_addresses(NetworkInterfaceId=two, PrivateIpAddresses=["10.0.1.100"])
    assert addresses(two) == []
    with refused("UnsupportedOperation"):
        a.ec2.assign_private_ip_addresses(NetworkInterfaceId=two, Ipv4PrefixCount=1)

    given = a.ec2.assign_ipv6_addresses(NetworkInterfaceId=one, Ipv6AddressCount=2)["AssignedIpv6Addresses"]
    assert [x["Ipv6Address"] for x in seen(a, one)["Ipv6Addresses"]] == given and len(given) == 2
    a.ec2.modify_network_interface_attribute(NetworkInterfaceId=one, EnablePrimaryIpv6=True)
    assert [x["IsPrimaryIpv6"] for x in seen(a, one)["Ipv6Addresses"]] == [True, False]
    with refused("InvalidParameterValue"):
        a.ec2.unassign_ipv6_addresses(NetworkInterfaceId=one, Ipv6Addresses=given)
    gone = a.ec2.unassign_ipv6_addresses(NetworkInterfaceId=one, Ipv6Addresses=given[1:])
    assert gone["UnassignedIpv6Addresses"] == given[1:]


def test_types_bound_interfaces_and_addresses(a, sides):
    left, right = sides
    of = running(a, left)  # t3.micro: two interfaces of two addresses
    spare = [eni(a, right)["NetworkInterfaceId"] for _ in range(2)]
    attach = lambda n: a.ec2.attach_network_interface(NetworkInterfaceId=spare[n], InstanceId=of, DeviceIndex=n + 1)
    attachment = attach(0)["AttachmentId"]
    with refused("AttachmentLimitExceeded", "Interface count 3 exceeds the limit for t3.micro, which is 2; detach some or take a larger type"):
        attach(1)
    with refused("PrivateIpAddressLimitExceeded"):
        a.ec2.assign_private_ip_addresses(NetworkInterfaceId=spare[0], SecondaryPrivateIpAddressCount=2)
    with refused("InvalidInstanceID", re.compile("multiple interfaces")):
        a.ec2.modify_instance_attribute(InstanceId=of, SourceDestCheck={"Value": False})
    a.ec2.detach_network_interface(AttachmentId=attachment, Force=True)
    a.ec2.modify_instance_attribute(InstanceId=of, SourceDestCheck={"Value": False})
    primary = instance(a, of)["NetworkInterfaces"][0]["NetworkInterfaceId"]
    a.ec2.reset_network_interface_attribute(NetworkInterfaceId=primary, SourceDestCheck="sourceDestCheck")
    assert seen(a, primary)["SourceDestCheck"] is True


def test_permissions(a, b, sides):
    one = eni(a, sides[0])["NetworkInterfaceId"]
    made = a.ec2.create_network_interface_permission(
        NetworkInterfaceId=one, AwsAccountId=b.account, Permission="INSTANCE-ATTACH"
    )["InterfacePermission"]
    assert made["PermissionState"]["State"] == "granted" and made["AwsAccountId"] == b.account
    filters = [{"Name": "network-interface-permission.network-interface-id", "Values": [one]}]
    (found,) = a.ec2.describe_network_interface_permissions(Filters=filters)["NetworkInterfacePermissions"]
    assert found == made
    pages = a.ec2.get_paginator("describe_network_interface_permissions").paginate(PaginationConfig={"PageSize": 5})
    assert [p["NetworkInterfacePermissionId"] for page in pages for p in page["NetworkInterfacePermissions"]] == [
        made["NetworkInterfacePermissionId"]
    ]
    answer = a.ec2.delete_network_interface_permission(
        NetworkInterfacePermissionId=made["NetworkInterfacePermissionId"], Force=True
    )
    assert answer["Return"] is True
    with refused("InvalidPermissionID.NotFound"):
        a.ec2.delete_network_interface_permission(NetworkInterfacePermissionId=made["NetworkInterfacePermissionId"])


def test_a_launch_makes_as_many_as_fit(a):
    subnet = a.subnet(a.vpc("10.0.0.0/16"), "10.0.9.0/28")
    launch = lambda least, most: a.ec2.run_instances(
        ImageId=IMAGE, InstanceType="t3.micro", MinCount=least, MaxCount=most, SubnetId=subnet
    )["Instances"]
    with refused("InsufficientFreeAddressesInSubnet"):
        launch(12, 12)
    assert len(launch(1, 20)) == 11
    assert len(a.ec2.describe_network_interfaces(Filters=filtered(subnet_id=subnet))["NetworkInterfaces"]) == 11


def test_who_stopped_an_instance_and_when(a, sides):
    of = running(a, sides[0])
    a.ec2.stop_instances(InstanceIds=[of])
    a.ec2.get_waiter("instance_stopped").wait(InstanceIds=[of], WaiterConfig=FAST)
    reason = instance(a, of)["StateTransitionReason"]
    assert re.fullmatch(r"User initiated \(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d GMT\)", reason)
