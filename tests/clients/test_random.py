"""Random calls over HTTP: two accounts in two regions, every parameter that EC2's model has, and what must hold afterwards.

Values come from the model's types and from earlier answers. `PEERWAY_RANDOM_CALLS` and `PEERWAY_RANDOM_SEED` make it longer
and other; a failure names the seed.
"""

import ipaddress
import os
import random
import re
from collections import Counter
from itertools import combinations

import shapes
from raw import well_formed
from world import AWAY, HOME

CALLS = int(os.environ.get("PEERWAY_RANDOM_CALLS", "600"))
SEED = int(os.environ.get("PEERWAY_RANDOM_SEED", "1"))
IDS = re.compile(rb">([a-z]+(?:-[a-z]+)*)-([0-9a-f]{17})<")
DEPTH_MAX = 4

# Calls as people make them, so that there is something to disturb. A word in braces is an id's prefix, or drawn below.
RECIPES = [
    (5, "CreateVpc", {"CidrBlock": "{block}"}),
    (8, "CreateSubnet", {"VpcId": "{vpc}", "CidrBlock": "{part}"}),
    (2, "AssociateVpcCidrBlock", {"VpcId": "{vpc}", "CidrBlock": "{block}"}),
    (6, "CreateVpcPeeringConnection", {"VpcId": "{vpc}", "PeerVpcId": "{vpc}", "PeerOwnerId": "{account}"}),
    (3, "CreateVpcPeeringConnection", {"VpcId": "{vpc}", "PeerVpcId": "{vpc}", "PeerRegion": "{region}"}),
    (8, "AcceptVpcPeeringConnection", {"VpcPeeringConnectionId": "{pcx}"}),
    (1, "DeleteVpcPeeringConnection", {"VpcPeeringConnectionId": "{pcx}"}),
    (
        5,
        "CreateRoute",
        {"RouteTableId": "{rtb}", "DestinationCidrBlock": "{block}", "VpcPeeringConnectionId": "{pcx}"},
    ),
    (2, "CreateNetworkInterface", {"SubnetId": "{subnet}"}),
    (
        3,
        "RunInstances",
        {"ImageId": "ami-0123456789abcdef0", "MinCount": "1", "MaxCount": "1", "SubnetId": "{subnet}"},
    ),
    (1, "TerminateInstances", {"InstanceId.1": "{i}"}),
    (2, "CreateSecurityGroup", {"VpcId": "{vpc}", "GroupName": "{word}", "GroupDescription": "d"}),
    (1, "DeleteSubnet", {"SubnetId": "{subnet}"}),
    (1, "DeleteVpc", {"VpcId": "{vpc}"}),
    (2, "DescribeRouteTables", {}),
]
PREFIXES = {
    "vpcpeeringconnectionid": "pcx",
    "vpcid": "vpc",
    "subnetid": "subnet",
    "routetableid": "rtb",
    "groupid": "sg",
    "networkinterfaceid": "eni",
    "instanceid": "i",
    "internetgatewayid": "igw",
    "networkaclid": "acl",
    "dhcpoptionsid": "dopt",
    "prefixlistid": "pl",
    "allocationid": "eipalloc",
    "natgatewayid": "nat",
}


class Asker:
    def __init__(self, seed, accounts):
        self.dice = random.Random(seed)
        self.accounts = accounts
        self.ids = {}

    def learn(self, body):
        for prefix, digits in IDS.findall(body):
            known = self.ids.setdefault(prefix.decode(), [])
            known.append(f"{prefix.decode()}-{digits.decode()}")
            del known[:-60]

    def next(self, actions):
        if self.dice.random() < 0.6:
            _, action, form = self.dice.choices(RECIPES, [weight for weight, *_ in RECIPES])[0]
            return action, {name: self.filled(value) for name, value in form.items()}
        action = self.dice.choice(actions)
        shape = shapes.model("ec2").operation_model(action).input_shape
        form = {}
        if shape is not None:
            self.structure(shape, "", self.dice.choice([0.02, 0.1, 0.3]), form, 0)
        return action, form

    def filled(self, value):
        return self.blank(value[1:-1]) if value.startswith("{") else value

    def blank(self, name):
        number = self.dice.randrange
        return {
            "account": lambda: self.dice.choice(self.accounts),
            "region": lambda: self.dice.choice([HOME, AWAY]),
            "block": lambda: f"10.{number(6)}.0.0/16",
            "part": lambda: f"10.{number(6)}.{number(3)}.0/24",
            "word": lambda: self.dice.choice(["a", "web", "<é&>", "", "x" * 300]),
        }.get(name, lambda: self.id(name))()

    def id(self, prefix):
        known = self.ids.get(prefix)
        return self.dice.choice(known) if known and self.dice.random() < 0.95 else f"{prefix}-0123456789abcdef0"

    def structure(self, shape, above, often, form, depth):
        for member, inner in shape.members.items():
            needed = member in shape.required_members
            if member in ("DryRun", "NextToken") or self.dice.random() > (0.97 if needed else often):
                continue
            token = shapes._query_name("ec2", member, inner)
            self.parameter(inner, f"{above}.{token}" if above else token, often, form, depth)

    def parameter(self, shape, name, often, form, depth):
        if shape.type_name == "list":
            self.parameter(shape.member, f"{name}.1", often, form, depth)
        elif shape.type_name == "structure":
            if depth < DEPTH_MAX:
                self.structure(shape, name, max(often, 0.3), form, depth + 1)
        else:
            form[name] = self.scalar(shape, name)

    def scalar(self, shape, name):
        last = [part for part in name.split(".") if not part.isdigit()][-1].lower()
        if shape.type_name == "boolean":
            return self.dice.choice(["true", "false"])
        if shape.type_name in ("integer", "long", "float", "double"):
            return self.dice.choice(["0", "1", "5", "100", "-1", "70000"])
        if shape.type_name == "timestamp":
            return "2026-01-15T12:00:00Z"
        if shape.type_name == "blob":
            return "aGVsbG8="
        if shape.metadata.get("enum"):
            return self.dice.choice(shape.metadata["enum"])
        for ending, prefix in PREFIXES.items():
            if last.endswith(ending):
                return self.id(prefix)
        if "cidr" in last:
            return self.blank("block")
        return self.blank("word")


def actions_of(cloud, account):
    """Those that are implemented: all others answer InvalidAction."""
    wire, found = cloud.wire(account), []
    for action in shapes.model("ec2").operation_names:
        if wire.call(action, {"DryRun": "true"}, loose=True).code != "InvalidAction":
            found.append(action)
    return found


def test_whatever_is_called_nothing_breaks(cloud, new_account):
    accounts = [new_account(), new_account()]
    asker, codes = Asker(SEED, accounts), Counter()
    actions = actions_of(cloud, accounts[0])
    assert len(actions) > 80
    for step in range(CALLS):
        account, region = asker.dice.choice(accounts), asker.dice.choice([HOME, AWAY])
        action, form = asker.next(actions)
        # The wire itself refuses an answer of 500 or above.
        reply = cloud.wire(account, region).call(action, form, loose=True)
        try:
            well_formed(reply, "ec2", action)
        except AssertionError as e:
            raise AssertionError(f"seed {SEED} step {step}: {action} {form}") from e
        if reply.status == 200:
            asker.learn(reply.body)
        codes[reply.code if reply.status != 200 else "ok"] += 1
        if step % 100 == 99:
            in_order(cloud, accounts, f"seed {SEED} step {step}")
    assert codes["ok"] > CALLS // 6, codes


def in_order(cloud, accounts, where):
    """What an account sees of its clouds holds together."""
    for account in accounts:
        for region in (HOME, AWAY):
            ec2 = cloud.client(account, region)
            vpcs = {v["VpcId"]: v for v in ec2.describe_vpcs()["Vpcs"]}
            subnets = ec2.describe_subnets()["Subnets"]
            assert all(s["VpcId"] in vpcs and s["OwnerId"] == account for s in subnets), where
            for one, other in combinations(subnets, 2):
                if one["VpcId"] == other["VpcId"]:
                    blocks = [ipaddress.ip_network(s["CidrBlock"]) for s in (one, other)]
                    assert not blocks[0].overlaps(blocks[1]), (where, one, other)
            known = {s["SubnetId"] for s in subnets}
            interfaces = ec2.describe_network_interfaces()["NetworkInterfaces"]
            assert all(i["SubnetId"] in known for i in interfaces), where
            peerings = ec2.describe_vpc_peering_connections(
                Filters=[{"Name": "status-code", "Values": ["active"]}]
            )["VpcPeeringConnections"]
            pairs = Counter(frozenset((p["RequesterVpcInfo"]["VpcId"], p["AccepterVpcInfo"]["VpcId"])) for p in peerings)
            assert all(n == 1 for n in pairs.values()), (where, pairs)
            active = {p["VpcPeeringConnectionId"] for p in peerings}
            for table in ec2.describe_route_tables()["RouteTables"]:
                assert table["VpcId"] in vpcs, where
                for route in table["Routes"]:
                    target = route.get("VpcPeeringConnectionId")
                    if target and route["State"] == "active":
                        assert target in active, (where, route)
