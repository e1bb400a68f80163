"""`--realistic-timing`: waiters wait through the states that AWS has, and Terraform comes to the same end (decision 0055)."""

import shutil
import time

import pytest

from conftest import absent
from proxy import Proxy
from test_examples import gone
from test_terraform import STEP_S_MAX, Terraform, mirror
from world import AWAY, HOME, Cloud, eventually, refused

AMI = "ami-0123456789abcdef0"
QUICK = {"Delay": 1, "MaxAttempts": 30}


@pytest.fixture
def slow(own_server_factory, checker):
    """A tenth of AWS's times."""
    with own_server_factory(extra=["--realistic-timing=0.1"]) as server:
        yield Cloud(server.endpoint, checker)


def test_waiters_wait(slow, new_account):
    a = slow.party(new_account(), HOME)
    made = a.ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]
    assert made["State"] == "pending"
    vpc = made["VpcId"]
    a.ec2.get_waiter("vpc_available").wait(VpcIds=[vpc], WaiterConfig=QUICK)
    subnet = a.subnet(vpc, "10.0.1.0/24")
    a.ec2.get_waiter("subnet_available").wait(SubnetIds=[subnet], WaiterConfig=QUICK)

    of = a.ec2.run_instances(ImageId=AMI, MinCount=1, MaxCount=1, SubnetId=subnet)["Instances"][0]["InstanceId"]
    state = lambda: a.ec2.describe_instances(InstanceIds=[of])["Reservations"][0]["Instances"][0]["State"]["Name"]
    assert state() == "pending"
    a.ec2.get_waiter("instance_running").wait(InstanceIds=[of], WaiterConfig=QUICK)
    (status,) = a.ec2.describe_instance_status(InstanceIds=[of])["InstanceStatuses"]
    assert status["InstanceStatus"]["Status"] == "initializing"
    a.ec2.get_waiter("instance_status_ok").wait(InstanceIds=[of], WaiterConfig=QUICK)

    nat = a.ec2.create_nat_gateway(SubnetId=subnet, ConnectivityType="private")["NatGateway"]
    assert nat["State"] == "pending"
    began = time.monotonic()
    a.ec2.get_waiter("nat_gateway_available").wait(NatGatewayIds=[nat["NatGatewayId"]], WaiterConfig=QUICK)
    assert time.monotonic() - began > 5, "a tenth of a minute and a half"
    a.ec2.delete_nat_gateway(NatGatewayId=nat["NatGatewayId"])
    with refused("DependencyViolation"):
        a.ec2.delete_subnet(SubnetId=subnet)
    a.ec2.get_waiter("nat_gateway_deleted").wait(NatGatewayIds=[nat["NatGatewayId"]], WaiterConfig=QUICK)

    a.ec2.stop_instances(InstanceIds=[of])
    assert state() == "stopping"
    a.ec2.get_waiter("instance_stopped").wait(InstanceIds=[of], WaiterConfig=QUICK)
    a.ec2.terminate_instances(InstanceIds=[of])
    assert state() == "shutting-down"
    with refused("DependencyViolation"):
        a.ec2.delete_subnet(SubnetId=subnet)
    a.ec2.get_waiter("instance_terminated").wait(InstanceIds=[of], WaiterConfig=QUICK)
    a.ec2.delete_subnet(SubnetId=subnet)


@pytest.mark.parametrize("region", [HOME, AWAY])
def test_a_peering_passes_through_its_states(slow, new_account, region):
    a, b = slow.party(new_account(), HOME), slow.party(new_account(), region)
    mine, theirs = a.vpc("10.0.0.0/16"), b.vpc("10.1.0.0/16")
    asked = a.ask(mine, b, theirs)
    assert asked["Status"]["Code"] == "initiating-request"
    pcx = asked["VpcPeeringConnectionId"]
    assert a.state(pcx) == "initiating-request" and b.state(pcx) is None
    b.until(pcx, "pending-acceptance")
    a.until(pcx, "pending-acceptance")
    b.ec2.accept_vpc_peering_connection(VpcPeeringConnectionId=pcx)
    assert b.state(pcx) == "provisioning"
    b.until(pcx, "active")
    a.until(pcx, "active")
    a.ec2.delete_vpc_peering_connection(VpcPeeringConnectionId=pcx)
    assert a.state(pcx) == "deleting"
    a.ec2.get_waiter("vpc_peering_connection_deleted").wait(VpcPeeringConnectionIds=[pcx], WaiterConfig=QUICK)
    eventually(lambda: b.state(pcx) == "deleted")


def test_what_is_under_way_survives_a_restart(own_server_factory, checker, new_account):
    server = own_server_factory(extra=["--realistic-timing=0.1"])
    with server:
        a = Cloud(server.endpoint, checker).party(new_account(), HOME)
        subnet = a.subnet(a.vpc("10.0.0.0/16"), "10.0.1.0/24")
        nat = a.ec2.create_nat_gateway(SubnetId=subnet, ConnectivityType="private")["NatGateway"]["NatGatewayId"]
        server.kill()
        server.start()
        state = lambda: a.ec2.describe_nat_gateways(NatGatewayIds=[nat])["NatGateways"][0]["State"]
        assert state() == "pending"
        eventually(lambda: state() == "available", seconds=20)


@pytest.mark.big
@pytest.mark.timeout(4 * STEP_S_MAX)
@pytest.mark.parametrize("example", ["same-account", "public-addresses"])
def test_terraform_waits_and_comes_to_the_same_end(slow, checker, new_account, tmp_path, example):
    program, found = shutil.which("terraform"), mirror()
    if program is None or found is None:
        absent("terraform", "no terraform in PATH, or no folder tf-plugins")
    a = slow.party(new_account(), HOME)
    with Proxy(slow.endpoint, checker) as proxy:
        terraform = Terraform(program, found[0], tmp_path, proxy)
        terraform.start(example, account=a.account)
        terraform.life(lambda outputs: None)
        assert not proxy.wrong, proxy.wrong
    gone(a)
