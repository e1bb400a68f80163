"""Every waiter of botocore's ec2 model whose operation is there, through boto3 and as `aws ec2 wait`.

The waiters are botocore's; what stands here is, for each operation, how to bring a thing into the states that it can be
in. Each state that a waiter names and that can be made is made: it must end the wait well or badly, as the model says.
Each error code that a waiter knows must be the code that Peerway says of what is not there. A waiter that comes with a
new action fails until its states can be made.
"""

import json
from dataclasses import dataclass, field

import pytest
from botocore import xform_name
from botocore.exceptions import WaiterError

from everywhere import WAITERS, actions
from test_cli import Cli, proxy  # noqa: F401 (a fixture)
from world import HOME, UNKNOWN, filtered, refused

IMAGE = "ami-0123456789abcdef0"
SOON = {"Delay": 1, "MaxAttempts": 10}
ONCE = {"Delay": 1, "MaxAttempts": 1}
OUT_OF_ATTEMPTS, AT_ONCE = "Max attempts exceeded", "terminal failure state"

# Codes that a waiter expects and EC2 does not say: the wait then ends with EC2's own code. InternetGatewayExists is
# to retry on a code without "ID"; EC2 documents InvalidInternetGatewayID.NotFound, and that is what Terraform matches.
MISNAMED = {"InvalidInternetGateway.NotFound": "InvalidInternetGatewayID.NotFound"}
# Waiters for states that nothing here can be in.
NEVER = {
    "VolumeAvailable": "no volume stands alone",
}
# Waiters whose code nobody hears, because every id of that kind is found.
NO_CODE = {"ImageExists": "any image id is an image"}


@dataclass
class Kind:
    """What an operation describes: `states` makes one in that state and answers the parameters that describe it."""

    states: dict
    # Parameters that name nothing, and so must be refused as not found; none where all names name something.
    unknown: dict = field(default_factory=dict)


def place(a):
    vpc = a.vpc("10.0.0.0/16")
    return vpc, a.subnet(vpc, "10.0.1.0/24")


def instance(a, end=None):
    _, subnet = place(a)
    launched = a.ec2.run_instances(ImageId=IMAGE, InstanceType="t3.micro", MinCount=1, MaxCount=1, SubnetId=subnet)
    ids = [launched["Instances"][0]["InstanceId"]]
    if end:
        getattr(a.ec2, end)(InstanceIds=ids)
    return {"InstanceIds": ids}


def image(a):
    return {"ImageIds": [a.ec2.register_image(Name="waited-for", RootDeviceName="/dev/xvda")["ImageId"]]}


def nat_gateway(a, gone=False):
    _, subnet = place(a)
    made = a.ec2.create_nat_gateway(SubnetId=subnet, ConnectivityType="private")["NatGateway"]["NatGatewayId"]
    if gone:
        a.ec2.delete_nat_gateway(NatGatewayId=made)
    return {"NatGatewayIds": [made]}


def interface(a):
    _, subnet = place(a)
    made = a.ec2.create_network_interface(SubnetId=subnet)["NetworkInterface"]["NetworkInterfaceId"]
    return {"NetworkInterfaceIds": [made]}


def lent_group(a, back=False):
    group, other = a.group(a.vpc("10.0.0.0/16")), a.vpc("10.1.0.0/16")
    a.ec2.associate_security_group_vpc(GroupId=group, VpcId=other)
    if back:
        a.ec2.disassociate_security_group_vpc(GroupId=group, VpcId=other)
    return {"Filters": filtered(group_id=group, vpc_id=other)}


def peering(a, gone=False):
    pcx = a.peer(a.vpc("10.0.0.0/16"), a, a.vpc("10.1.0.0/16"))
    if gone:
        a.ec2.delete_vpc_peering_connection(VpcPeeringConnectionId=pcx)
    return {"VpcPeeringConnectionIds": [pcx]}


def volume(a):
    """The root volume of an instance."""
    attached = filtered(**{"attachment.instance_id": instance(a)["InstanceIds"][0]})
    (found,) = a.ec2.describe_volumes(Filters=attached)["Volumes"]
    return {"VolumeIds": [found["VolumeId"]]}


def key(a):
    a.ec2.create_key_pair(KeyName="waited-for")
    return {"KeyNames": ["waited-for"]}


def internet_gateway(a):
    return {"InternetGatewayIds": [a.ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]]}


KINDS = {
    "DescribeInstances": Kind(
        {
            "running": instance,
            "stopped": lambda a: instance(a, "stop_instances"),
            "terminated": lambda a: instance(a, "terminate_instances"),
        },
        {"InstanceIds": [f"i-{UNKNOWN}"]},
    ),
    "DescribeInstanceStatus": Kind({"ok": instance}, {"InstanceIds": [f"i-{UNKNOWN}"]}),
    "DescribeImages": Kind({"available": image}),
    "DescribeInternetGateways": Kind({"": internet_gateway}, {"InternetGatewayIds": [f"igw-{UNKNOWN}"]}),
    "DescribeKeyPairs": Kind({"": key}, {"KeyNames": ["nobody's"]}),
    "DescribeNatGateways": Kind(
        {"available": nat_gateway, "deleted": lambda a: nat_gateway(a, gone=True)},
        {"NatGatewayIds": [f"nat-{UNKNOWN}"]},
    ),
    "DescribeNetworkInterfaces": Kind({"available": interface}, {"NetworkInterfaceIds": [f"eni-{UNKNOWN}"]}),
    "DescribeSecurityGroups": Kind({"": lambda a: {"GroupIds": [a.group(a.vpc())]}}, {"GroupIds": [f"sg-{UNKNOWN}"]}),
    "DescribeSecurityGroupVpcAssociations": Kind(
        {"associated": lent_group, "disassociated": lambda a: lent_group(a, back=True)}
    ),
    "DescribeSubnets": Kind({"available": lambda a: {"SubnetIds": [place(a)[1]]}}),
    "DescribeVolumes": Kind({"in-use": volume}, {"VolumeIds": [f"vol-{UNKNOWN}"]}),
    "DescribeVpcs": Kind({"available": lambda a: {"VpcIds": [a.vpc()]}}, {"VpcIds": [f"vpc-{UNKNOWN}"]}),
    "DescribeVpcPeeringConnections": Kind(
        {"active": peering, "deleted": lambda a: peering(a, gone=True)}, {"VpcPeeringConnectionIds": [f"pcx-{UNKNOWN}"]}
    ),
}
OURS = sorted(name for name, waiter in WAITERS.items() if waiter["operation"] in KINDS)
CODES = [
    (name, acceptor["expected"], acceptor["state"])
    for name in OURS
    for acceptor in WAITERS[name]["acceptors"]
    if acceptor["matcher"] == "error" and name not in NO_CODE
]


def outcomes(name):
    """(state, outcome) for each state that the waiter names and that can be made; "" is: there at all."""
    kind = KINDS[WAITERS[name]["operation"]]
    for acceptor in WAITERS[name]["acceptors"]:
        wanted = acceptor["expected"]
        if acceptor["matcher"] in ("pathAll", "pathAny") and wanted in kind.states:
            yield wanted, acceptor["state"]
        elif acceptor["matcher"] == "status" or (acceptor["matcher"] == "path" and "> `0`" in acceptor["argument"]):
            yield next(iter(kind.states)), acceptor["state"]


def test_none_is_forgotten():
    here = actions()
    assert {waiter["operation"] for waiter in WAITERS.values()} & here <= KINDS.keys()
    ends_well = {name for name in OURS if "success" in dict(outcomes(name)).values()}
    assert set(OURS) - ends_well <= NEVER.keys() | {"VolumeDeleted"}


@pytest.mark.parametrize("name", OURS)
def test_states(name, a):
    waiter = a.ec2.get_waiter(xform_name(name))
    for state, outcome in outcomes(name):
        described = KINDS[WAITERS[name]["operation"]].states[state](a)
        try:
            if outcome == "success":
                waiter.wait(**described, WaiterConfig=SOON)
            else:
                with pytest.raises(WaiterError, match=AT_ONCE if outcome == "failure" else OUT_OF_ATTEMPTS):
                    waiter.wait(**described, WaiterConfig=ONCE)
        except WaiterError as e:
            raise AssertionError(f"{name} where the state is {state!r}: {e}: {e.last_response}") from None


@pytest.mark.parametrize(("name", "code", "outcome"), CODES)
def test_codes_of_what_is_not_there(name, code, outcome, a):
    unknown = KINDS[WAITERS[name]["operation"]].unknown
    with refused(MISNAMED.get(code, code)):
        getattr(a.ec2, xform_name(WAITERS[name]["operation"]))(**unknown)
    waiter = a.ec2.get_waiter(xform_name(name))
    if outcome == "success":
        waiter.wait(**unknown, WaiterConfig=ONCE)
        return
    ends = {"retry": OUT_OF_ATTEMPTS, "failure": AT_ONCE}[outcome]
    with pytest.raises(WaiterError, match=MISNAMED.get(code, ends)):
        waiter.wait(**unknown, WaiterConfig=ONCE)


def words(parameters):
    """A request's parameters as the AWS CLI takes them."""
    for name, value in parameters.items():
        flag = "--" + xform_name(name, "-")
        yield from [flag, json.dumps(value)] if name == "Filters" else [flag, *value]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", [n for n in OURS if n not in NEVER])
def test_the_cli_waits(name, proxy, cloud, new_account):  # noqa: F811
    a = cloud.party(new_account(), HOME)
    cli, kind = Cli(proxy.endpoint, a.account, HOME), KINDS[WAITERS[name]["operation"]]
    tries = [(kind.states[state](a), outcome) for state, outcome in outcomes(name) if outcome != "retry"]
    if not tries:
        tries = [(kind.unknown, outcome) for waiter, _, outcome in CODES if waiter == name]
    # One that ends well and one that ends badly, where there are such.
    for described, outcome in {outcome: (described, outcome) for described, outcome in tries}.values():
        done = cli.run(f"ec2 wait {xform_name(name, '-')}", *words(described))
        assert (done.returncode, outcome) in ((0, "success"), (255, "failure")), f"{done.returncode}: {done.stderr}"
