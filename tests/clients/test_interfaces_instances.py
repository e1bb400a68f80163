"""Interfaces and instances as records: addresses, attachments, states (spec ch. 8)."""

import base64
import ipaddress
import re

import pytest

from world import UNKNOWN, eventually, filtered, refused

IMAGE = f"ami-{UNKNOWN}"
FAST = {"Delay": 0.1, "MaxAttempts": 100}


@pytest.fixture
def place(a):
    """A subnet to put things in."""
    vpc = a.vpc("10.0.0.0/16")
    return vpc, a.subnet(vpc, "10.0.1.0/24")


def run(party, subnet, **more):
    given = {"ImageId": IMAGE, "InstanceType": "t3.micro", "MinCount": 1, "MaxCount": 1, "SubnetId": subnet, **more}
    return party.ec2.run_instances(**{k: v for k, v in given.items() if v is not None})


def running(party, subnet, **more):
    (made,) = run(party, subnet, **more)["Instances"]
    party.ec2.get_waiter("instance_running").wait(InstanceIds=[made["InstanceId"]], WaiterConfig=FAST)
    return made["InstanceId"]


def instance(party, of):
    return party.ec2.describe_instances(InstanceIds=[of])["Reservations"][0]["Instances"][0]


def eni(party, subnet, **more):
    return party.ec2.create_network_interface(SubnetId=subnet, **more)["NetworkInterface"]


def seen(party, interface):
    (found,) = party.ec2.describe_network_interfaces(NetworkInterfaceIds=[interface])["NetworkInterfaces"]
    return found


# Interfaces.


def test_a_new_interface(a, place):
    vpc, subnet = place
    made = eni(a, subnet, Description="spare", PrivateIpAddress="10.0.1.20")
    assert re.fullmatch(r"eni-[0-9a-f]{17}", made["NetworkInterfaceId"])
    assert (made["VpcId"], made["SubnetId"], made["OwnerId"], made["Description"]) == (vpc, subnet, a.account, "spare")
    assert re.fullmatch(r"([0-9a-f]{2}:){5}[0-9a-f]{2}", made["MacAddress"])
    assert int(made["MacAddress"][:2], 16) & 3 == 2, "locally administered, unicast"
    assert (made["PrivateIpAddress"], made["SourceDestCheck"], made["InterfaceType"]) == (
        "10.0.1.20",
        True,
        "interface",
    )
    (address,) = made["PrivateIpAddresses"]
    assert (address["PrivateIpAddress"], address["Primary"]) == ("10.0.1.20", True)
    assert [g["GroupName"] for g in made["Groups"]] == ["default"]
    a.ec2.get_waiter("network_interface_available").wait(
        NetworkInterfaceIds=[made["NetworkInterfaceId"]], WaiterConfig=FAST
    )
    assert a.ec2.describe_subnets(SubnetIds=[subnet])["Subnets"][0]["AvailableIpAddressCount"] == 250
    a.ec2.delete_network_interface(NetworkInterfaceId=made["NetworkInterfaceId"])
    with refused(
        "InvalidNetworkInterfaceID.NotFound", f"The networkInterface ID '{made['NetworkInterfaceId']}' does not exist"
    ):
        seen(a, made["NetworkInterfaceId"])


def test_addresses_are_given_from_the_subnet_and_never_the_reserved_ones(a):
    subnet = a.subnet(a.vpc("10.0.0.0/16"), "10.0.7.0/28")
    given = {eni(a, subnet)["PrivateIpAddress"] for _ in range(11)}
    reserved = {f"10.0.7.{n}" for n in (0, 1, 2, 3, 15)}
    assert len(given) == 11 and not given & reserved
    assert all(ipaddress.ip_address(g) in ipaddress.ip_network("10.0.7.0/28") for g in given)
    with refused("InsufficientFreeAddressesInSubnet"):
        eni(a, subnet)


@pytest.mark.parametrize(
    "address, code",
    [
        ("10.0.2.9", "InvalidParameterValue"),
        ("10.0.1.0", "InvalidParameterValue"),
        ("10.0.1.1", "InvalidParameterValue"),
        ("10.0.1.2", "InvalidParameterValue"),
        ("10.0.1.3", "InvalidParameterValue"),
        ("10.0.1.255", "InvalidParameterValue"),
        ("10.0.1", "InvalidParameterValue"),
        ("fd00::1", "InvalidParameterValue"),
        ("10.0.1.10", "InvalidIPAddress.InUse"),
    ],
)
def test_addresses_that_no_interface_gets(a, place, address, code):
    eni(a, place[1], PrivateIpAddress="10.0.1.10")
    with refused(code, status=400):
        eni(a, place[1], PrivateIpAddress=address)


def test_secondary_addresses(a, place):
    # The chosen ones first: what is drawn could be any of the rest.
    both = [{"PrivateIpAddress": "10.0.1.30", "Primary": True}, {"PrivateIpAddress": "10.0.1.31", "Primary": False}]
    made = eni(a, place[1], PrivateIpAddresses=both)
    assert [(x["PrivateIpAddress"], x["Primary"]) for x in made["PrivateIpAddresses"]] == [
        ("10.0.1.30", True),
        ("10.0.1.31", False),
    ]
    made = eni(a, place[1], PrivateIpAddress="10.0.1.10", SecondaryPrivateIpAddressCount=2)
    assert [x["Primary"] for x in made["PrivateIpAddresses"]] == [True, False, False]


def test_groups_of_an_interface(a, b, place):
    vpc, subnet = place
    groups = [a.group(vpc, f"g{n}") for n in range(6)]
    made = eni(a, subnet, Groups=groups[:5])
    assert {g["GroupId"] for g in made["Groups"]} == set(groups[:5])
    with refused(("InvalidParameter", "InvalidParameterValue"), re.compile("belong to different networks")):
        eni(a, subnet, Groups=[a.group(a.vpc("10.1.0.0/16"))])
    with refused("InvalidGroup.NotFound", f"The security group 'sg-{UNKNOWN}' does not exist"):
        eni(a, subnet, Groups=[f"sg-{UNKNOWN}"])
    with refused("SecurityGroupsPerInterfaceLimitExceeded"):
        eni(a, subnet, Groups=groups)
    with refused("InvalidSubnetID.NotFound", f"The subnet ID '{subnet}' does not exist"):
        eni(b, subnet)
    change = lambda **what: a.ec2.modify_network_interface_attribute(
        NetworkInterfaceId=made["NetworkInterfaceId"], **what
    )
    change(Groups=[groups[5]])
    change(SourceDestCheck={"Value": False})
    change(Description={"Value": "moved"})
    now = seen(a, made["NetworkInterfaceId"])
    assert ([g["GroupId"] for g in now["Groups"]], now["SourceDestCheck"], now["Description"]) == (
        [groups[5]],
        False,
        "moved",
    )
    for name, key, value in (
        ("description", "Description", {"Value": "moved"}),
        ("sourceDestCheck", "SourceDestCheck", {"Value": False}),
    ):
        answer = a.ec2.describe_network_interface_attribute(
            NetworkInterfaceId=made["NetworkInterfaceId"], Attribute=name
        )
        assert answer[key] == value


def test_attach_and_detach(a, place):
    _, subnet = place
    home = running(a, subnet)
    spare = eni(a, subnet)["NetworkInterfaceId"]
    attach = lambda index: a.ec2.attach_network_interface(NetworkInterfaceId=spare, InstanceId=home, DeviceIndex=index)
    attachment = attach(1)["AttachmentId"]
    assert re.fullmatch(r"eni-attach-[0-9a-f]{17}", attachment)
    eventually(lambda: seen(a, spare)["Status"] == "in-use")
    assert seen(a, spare)["Attachment"]["InstanceId"] == home
    with refused(("InvalidNetworkInterface.InUse", "InvalidParameterValue")):
        attach(2)
    with refused("InvalidParameterValue"):
        a.ec2.delete_network_interface(NetworkInterfaceId=spare)
    primary = instance(a, home)["NetworkInterfaces"][0]["Attachment"]["AttachmentId"]
    with refused("OperationNotPermitted"):
        a.ec2.detach_network_interface(AttachmentId=primary)
    with refused("InvalidAttachmentID.NotFound"):
        a.ec2.detach_network_interface(AttachmentId=f"eni-attach-{UNKNOWN}")
    a.ec2.detach_network_interface(AttachmentId=attachment)
    eventually(lambda: seen(a, spare)["Status"] == "available")
    a.ec2.delete_network_interface(NetworkInterfaceId=spare)


def test_filters_of_interfaces(a, place):
    vpc, subnet = place
    made = eni(a, subnet, PrivateIpAddress="10.0.1.40", Description="one of a kind")
    eni(a, subnet, PrivateIpAddress="10.0.1.41")
    rows = [
        ("network-interface-id", made["NetworkInterfaceId"]),
        ("private-ip-address", "10.0.1.40"),
        ("addresses.private-ip-address", "10.0.1.40"),
        ("description", "one of*"),
        ("mac-address", made["MacAddress"]),
    ]
    for name, value in rows:
        found = a.ec2.describe_network_interfaces(Filters=[{"Name": name, "Values": [value]}])["NetworkInterfaces"]
        assert [n["NetworkInterfaceId"] for n in found] == [made["NetworkInterfaceId"]], name
    for filters in (filtered(subnet_id=subnet), filtered(vpc_id=vpc), filtered(status="available", subnet_id=subnet)):
        assert len(a.ec2.describe_network_interfaces(Filters=filters)["NetworkInterfaces"]) == 2


# Instances.


def test_a_new_instance(a, place):
    vpc, subnet = place
    group = a.group(vpc)
    tags = [{"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": "web"}]}]
    answer = run(a, subnet, SecurityGroupIds=[group], PrivateIpAddress="10.0.1.10", TagSpecifications=tags)
    assert re.fullmatch(r"r-[0-9a-f]{17}", answer["ReservationId"]) and answer["OwnerId"] == a.account
    (made,) = answer["Instances"]
    assert re.fullmatch(r"i-[0-9a-f]{17}", made["InstanceId"])
    # Without packets an instance is a record, which may run at once.
    assert made["State"] in ({"Code": 0, "Name": "pending"}, {"Code": 16, "Name": "running"})
    assert (made["ImageId"], made["InstanceType"], made["SubnetId"], made["VpcId"]) == (IMAGE, "t3.micro", subnet, vpc)
    assert made["PrivateIpAddress"] == "10.0.1.10"
    assert made["Tags"] == [{"Key": "Name", "Value": "web"}]
    a.ec2.get_waiter("instance_exists").wait(InstanceIds=[made["InstanceId"]], WaiterConfig=FAST)
    a.ec2.get_waiter("instance_running").wait(InstanceIds=[made["InstanceId"]], WaiterConfig=FAST)
    now = instance(a, made["InstanceId"])
    assert now["State"] == {"Code": 16, "Name": "running"}
    (primary,) = now["NetworkInterfaces"]
    assert (primary["Attachment"]["DeviceIndex"], primary["Status"]) == (0, "in-use")
    assert [g["GroupId"] for g in now["SecurityGroups"]] == [group]
    status = a.ec2.describe_instance_status(InstanceIds=[made["InstanceId"]])["InstanceStatuses"]
    assert [s["InstanceState"]["Name"] for s in status] == ["running"]


def test_stop_start_terminate(a, place):
    _, subnet = place
    of = running(a, subnet)
    before = instance(a, of)
    (change,) = a.ec2.stop_instances(InstanceIds=[of])["StoppingInstances"]
    assert (change["PreviousState"]["Name"], change["CurrentState"]["Name"]) in (
        ("running", "stopping"),
        ("running", "stopped"),
    )
    a.ec2.get_waiter("instance_stopped").wait(InstanceIds=[of], WaiterConfig=FAST)
    assert instance(a, of)["PrivateIpAddress"] == before["PrivateIpAddress"]
    (change,) = a.ec2.start_instances(InstanceIds=[of])["StartingInstances"]
    assert change["PreviousState"]["Name"] == "stopped"
    a.ec2.get_waiter("instance_running").wait(InstanceIds=[of], WaiterConfig=FAST)
    assert instance(a, of)["PrivateIpAddress"] == before["PrivateIpAddress"]
    primary = before["NetworkInterfaces"][0]["NetworkInterfaceId"]
    a.ec2.terminate_instances(InstanceIds=[of])
    a.ec2.get_waiter("instance_terminated").wait(InstanceIds=[of], WaiterConfig=FAST)
    assert instance(a, of)["State"] == {"Code": 48, "Name": "terminated"}  # still visible
    with refused("InvalidNetworkInterfaceID.NotFound"):
        seen(a, primary)
    a.ec2.terminate_instances(InstanceIds=[of])  # naturally idempotent
    with refused(("IncorrectInstanceState", "IncorrectState")):
        a.ec2.start_instances(InstanceIds=[of])
    a.ec2.delete_subnet(SubnetId=subnet)


def test_instances_that_cannot_be(a, b, place):
    vpc, subnet = place
    eni(a, subnet, PrivateIpAddress="10.0.1.10")
    rows = [
        ({"SubnetId": f"subnet-{UNKNOWN}"}, "InvalidSubnetID.NotFound"),
        ({"PrivateIpAddress": "10.0.1.10"}, "InvalidIPAddress.InUse"),
        ({"PrivateIpAddress": "10.9.1.10"}, "InvalidParameterValue"),
        ({"SecurityGroupIds": [f"sg-{UNKNOWN}"]}, "InvalidGroup.NotFound"),
        ({"MinCount": 2, "MaxCount": 1}, "InvalidParameterValue"),
        ({"MinCount": 0, "MaxCount": 0}, "InvalidParameterValue"),
        ({"ImageId": "ami-x"}, ("InvalidAMIID.Malformed", "InvalidParameterValue")),
        ({"UserData": "A" * 40000}, "InvalidParameterValue"),
    ]
    for more, code in rows:
        with refused(code, status=400):
            run(a, subnet, **more)
    with refused("InvalidSubnetID.NotFound"):
        run(b, subnet)
    reply = a.wire.call("RunInstances", {"ImageId": IMAGE, "SubnetId": subnet, "InstanceType": "t3.micro"})
    assert reply.code == "MissingParameter"
    assert a.ec2.describe_instances(Filters=filtered(vpc_id=vpc))["Reservations"] == []
    unknown = f"i-{UNKNOWN}"
    for call in (a.ec2.start_instances, a.ec2.stop_instances, a.ec2.terminate_instances, a.ec2.describe_instances):
        with refused("InvalidInstanceID.NotFound", re.compile(unknown)):
            call(InstanceIds=[unknown])
        with refused("InvalidInstanceID.Malformed"):
            call(InstanceIds=["i-x"])


def test_a_foreign_instance_does_not_exist(a, b, place):
    of = running(a, place[1])
    for call in (b.ec2.stop_instances, b.ec2.terminate_instances, b.ec2.describe_instances):
        with refused("InvalidInstanceID.NotFound"):
            call(InstanceIds=[of])
    assert instance(a, of)["State"]["Name"] == "running"


def test_interfaces_given_at_launch(a, place):
    vpc, subnet = place
    spare = eni(a, subnet, PrivateIpAddress="10.0.1.50")["NetworkInterfaceId"]
    of = running(a, None, NetworkInterfaces=[{"DeviceIndex": 0, "NetworkInterfaceId": spare}])
    assert instance(a, of)["PrivateIpAddress"] == "10.0.1.50"
    a.ec2.terminate_instances(InstanceIds=[of])
    a.ec2.get_waiter("instance_terminated").wait(InstanceIds=[of], WaiterConfig=FAST)
    assert seen(a, spare)["Status"] == "available"  # not made by the launch, so it stays
    made = {
        "DeviceIndex": 0,
        "SubnetId": subnet,
        "PrivateIpAddress": "10.0.1.51",
        "Groups": [a.group(vpc)],
        "DeleteOnTermination": True,
    }
    of = running(a, None, NetworkInterfaces=[made])
    assert instance(a, of)["PrivateIpAddress"] == "10.0.1.51"


def test_several_at_once_and_the_client_token(a, place):
    _, subnet = place
    first = run(a, subnet, MinCount=3, MaxCount=3, ClientToken="once")["Instances"]
    assert len({i["InstanceId"] for i in first}) == len({i["PrivateIpAddress"] for i in first}) == 3
    again = run(a, subnet, MinCount=3, MaxCount=3, ClientToken="once")["Instances"]
    assert {i["InstanceId"] for i in again} == {i["InstanceId"] for i in first}
    with refused("IdempotentParameterMismatch"):
        run(a, subnet, MinCount=2, MaxCount=2, ClientToken="once")


def test_what_terraform_reads_of_an_instance(a, place):
    script = "#!/bin/sh\nexec python3 -m http.server 80\n"
    of = running(a, place[1], UserData=script)
    read = lambda name: a.ec2.describe_instance_attribute(InstanceId=of, Attribute=name)
    assert base64.b64decode(read("userData")["UserData"]["Value"]).decode() == script
    assert read("disableApiTermination")["DisableApiTermination"]["Value"] is False
    assert read("disableApiStop")["DisableApiStop"]["Value"] is False
    assert read("instanceInitiatedShutdownBehavior")["InstanceInitiatedShutdownBehavior"]["Value"] == "stop"
    (kind,) = a.ec2.describe_instance_types(InstanceTypes=["t3.micro"])["InstanceTypes"]
    assert kind["InstanceType"] == "t3.micro"
    (credit,) = a.ec2.describe_instance_credit_specifications(InstanceIds=[of])["InstanceCreditSpecifications"]
    assert credit["InstanceId"] == of
    (volume,) = a.ec2.describe_volumes(Filters=[{"Name": "attachment.instance-id", "Values": [of]}])["Volumes"]
    assert volume["Attachments"][0]["Device"] == instance(a, of)["RootDeviceName"]
    a.ec2.modify_instance_attribute(InstanceId=of, DisableApiTermination={"Value": True})
    with refused("OperationNotPermitted"):
        a.ec2.terminate_instances(InstanceIds=[of])
    a.ec2.modify_instance_attribute(InstanceId=of, DisableApiTermination={"Value": False})
    a.ec2.modify_instance_attribute(InstanceId=of, SourceDestCheck={"Value": False})
    assert instance(a, of)["SourceDestCheck"] is False


def test_filters_of_instances(a, place):
    vpc, subnet = place
    of = running(a, subnet, PrivateIpAddress="10.0.1.10")
    a.ec2.create_tags(Resources=[of], Tags=[{"Key": "Name", "Value": "web"}])
    rows = [
        ("instance-id", of),
        ("instance-state-name", "running"),
        ("private-ip-address", "10.0.1.10"),
        ("subnet-id", subnet),
        ("vpc-id", vpc),
        ("tag:Name", "web"),
        ("instance-type", "t3.*"),
        ("image-id", IMAGE),
    ]
    for name, value in rows:
        found = a.ec2.describe_instances(Filters=[{"Name": name, "Values": [value]}])["Reservations"]
        assert [i["InstanceId"] for r in found for i in r["Instances"]] == [of], name
    assert a.ec2.describe_instances(Filters=filtered(instance_state_name="stopped"))["Reservations"] == []


def test_a_stopped_instance_makes_its_routes_black_holes(a, place):
    vpc, subnet = place
    of = running(a, subnet)
    primary = instance(a, of)["NetworkInterfaces"][0]["NetworkInterfaceId"]
    table = a.table(vpc)
    a.ec2.create_route(RouteTableId=table, DestinationCidrBlock="10.50.0.0/16", NetworkInterfaceId=primary)
    assert a.routes(table)["10.50.0.0/16"]["State"] == "active"
    a.ec2.stop_instances(InstanceIds=[of])
    a.ec2.get_waiter("instance_stopped").wait(InstanceIds=[of], WaiterConfig=FAST)
    assert a.routes(table)["10.50.0.0/16"]["State"] == "blackhole"
    a.ec2.start_instances(InstanceIds=[of])
    eventually(lambda: a.routes(table)["10.50.0.0/16"]["State"] == "active")
