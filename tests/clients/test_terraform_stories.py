"""Terraform's stories, one example each: across regions, options, groups that name groups of a peer, network ACLs,
instances, NAT gateways, flow logs. Applied, changed where people change them, planned to nothing, destroyed. And of the
examples as a whole: each stands alone, is in the list, and is run by a test."""

import base64
import json
import re
from pathlib import Path

import pytest

from test_examples import EXAMPLES, gone
from test_terraform import STEP_S_MAX, terraform  # noqa: F401  (a fixture)
from world import AWAY, HOME

STORIES = EXAMPLES / "terraform"


def again(terraform, **variables):  # noqa: F811
    """Applies once more with other variables."""
    text = {name: value if isinstance(value, str) else json.dumps(value) for name, value in variables.items()}
    terraform.environment |= {f"TF_VAR_{name}": value for name, value in text.items()}
    terraform.run("apply", "-auto-approve", "-no-color")


@pytest.mark.big
@pytest.mark.timeout(4 * STEP_S_MAX)
def test_cross_region(terraform, cloud, new_account):  # noqa: F811
    home = cloud.party(new_account(), HOME)
    away = home.elsewhere(AWAY)
    terraform.start("cross-region", account=home.account)

    def check(outputs):
        pcx = outputs["peering"]["value"]
        assert outputs["status"]["value"] == {"home": "active", "away": "active"}
        for party, side in ((home, "requester"), (away, "accepter")):
            tags = {t["Key"]: t["Value"] for t in party.peering(pcx)["Tags"]}
            assert tags == {"Name": "home-to-away", "Side": side, "Example": "cross-region"}
            through = [{"Name": "route.vpc-peering-connection-id", "Values": [pcx]}]
            (table,) = party.ec2.describe_route_tables(Filters=through)["RouteTables"]
            states = [r["State"] for r in table["Routes"] if r.get("VpcPeeringConnectionId") == pcx]
            assert states == ["active", "active"]

    terraform.life(check)
    gone(home, away)


@pytest.mark.big
@pytest.mark.timeout(5 * STEP_S_MAX)
def test_options(terraform, cloud, new_account):  # noqa: F811
    a, b = cloud.party(new_account(), HOME), cloud.party(new_account(), HOME)
    terraform.start("options", requester=a.account, accepter=b.account)

    def allowed(party, pcx):
        seen = party.peering(pcx)
        return [
            seen[side]["PeeringOptions"]["AllowDnsResolutionFromRemoteVpc"]
            for side in ("RequesterVpcInfo", "AccepterVpcInfo")
        ]

    def check(outputs):
        pcx = outputs["peering"]["value"]
        assert allowed(a, pcx) == allowed(b, pcx) == [True, True]
        again(terraform, private_names={"requester": False, "accepter": True})
        assert allowed(a, pcx) == allowed(b, pcx) == [False, True]

    terraform.life(check)
    gone(a, b)


@pytest.mark.big
@pytest.mark.timeout(4 * STEP_S_MAX)
def test_security_group_references(terraform, cloud, new_account):  # noqa: F811
    a, b = cloud.party(new_account(), HOME), cloud.party(new_account(), HOME)
    terraform.start("security-group-references", requester=a.account, accepter=b.account)

    def check(outputs):
        pcx, groups = outputs["peering"]["value"], outputs["groups"]["value"]

        def pairs(party, group, way):
            (found,) = party.ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"]
            return {
                (rule.get("FromPort"), pair["UserId"], pair["GroupId"], pair.get("VpcPeeringConnectionId"))
                for rule in found[way]
                for pair in rule["UserIdGroupPairs"]
            }

        client, web, database = groups["client"], groups["web"], groups["database"]
        assert pairs(a, client, "IpPermissionsEgress") == {(80, b.account, web, pcx)}
        assert pairs(b, web, "IpPermissions") == {(80, a.account, client, pcx)}
        assert pairs(b, database, "IpPermissions") == {
            (5432, b.account, web, None),
            (5432, a.account, client, pcx),
            (5433, b.account, database, None),
        }
        (named,) = a.ec2.describe_security_group_references(GroupId=[client])["SecurityGroupReferenceSet"]
        assert named["VpcPeeringConnectionId"] == pcx

    terraform.life(check)
    gone(a, b)


@pytest.mark.big
@pytest.mark.timeout(5 * STEP_S_MAX)
def test_network_acls(terraform, cloud, new_account):  # noqa: F811
    a = cloud.party(new_account(), HOME)
    terraform.start("network-acls", account=a.account)

    def check(outputs):
        acls = outputs["acls"]["value"]

        def entries(name):
            (found,) = a.ec2.describe_network_acls(NetworkAclIds=[acls[name]])["NetworkAcls"]
            assert len(found["Associations"]) == 1, name
            return {(e["Egress"], e["RuleNumber"]): e for e in found["Entries"] if e["RuleNumber"] < 32767}

        assert entries("closed") == {}
        assert sorted(entries("open")) == [(False, 90), (False, 100), (False, 101), (True, 100)]
        strict = entries("strict")
        assert sorted(strict) == [(False, n) for n in (100, 110, 120, 200, 201)] + [(True, 100), (True, 110)]
        assert strict[False, 200]["IcmpTypeCode"] == {"Type": 8, "Code": -1}
        assert strict[False, 100]["PortRange"] == {"From": 80, "To": 80}
        again(terraform, blocked={"80": "10.67.0.0/16", "90": "10.68.0.0/16"})
        now = entries("open")
        assert [now[False, n]["CidrBlock"] for n in (80, 90)] == ["10.67.0.0/16", "10.68.0.0/16"]

    terraform.life(check)
    gone(a)


@pytest.mark.big
@pytest.mark.timeout(5 * STEP_S_MAX)
def test_instances(terraform, cloud, new_account):  # noqa: F811
    a = cloud.party(new_account(), HOME)
    terraform.start("instances", account=a.account)

    def check(outputs):
        web, workers = outputs["web"]["value"], outputs["workers"]["value"]
        assert outputs["running"]["value"] == sorted([web, workers["one"]])

        def shown():
            (reservation,) = a.ec2.describe_instances(InstanceIds=[web])["Reservations"]
            return reservation["Instances"][0]

        def attribute(name):
            answer = a.ec2.describe_instance_attribute(InstanceId=web, Attribute=name)
            return answer[name[0].upper() + name[1:]]["Value"]

        def greeting():
            return re.search(r'echo "(.*?)"', base64.b64decode(attribute("userData")).decode()).group(1)

        assert greeting() == "hello"
        assert [p["PrivateIpAddress"] for p in shown()["NetworkInterfaces"][0]["PrivateIpAddresses"]] == [
            "10.16.1.10",
            "10.16.1.11",
        ]
        assert shown()["MetadataOptions"]["HttpTokens"] == "required"
        # Other user data and another type in place: stopped, changed, started; the same instance.
        again(terraform, greeting="good evening", instance_type="t3.small", protected=True)
        assert (shown()["InstanceId"], shown()["InstanceType"], shown()["State"]["Name"]) == (
            web,
            "t3.small",
            "running",
        )
        assert (greeting(), attribute("disableApiTermination")) == ("good evening", True)
        # What is protected is not destroyed: the example gives it free before it goes.
        again(terraform, greeting="good evening", instance_type="t3.small", protected=False)
        assert attribute("disableApiTermination") is False

    terraform.life(check)
    gone(a)


@pytest.mark.big
@pytest.mark.timeout(4 * STEP_S_MAX)
def test_nat_gateways(terraform, cloud, new_account):  # noqa: F811
    a = cloud.party(new_account(), HOME)
    terraform.start("nat-gateways", account=a.account)

    def check(outputs):
        gateways = outputs["gateways"]["value"]
        found = {
            g["NatGatewayId"]: g
            for g in a.ec2.describe_nat_gateways(NatGatewayIds=list(gateways.values()))["NatGateways"]
        }
        public, private = found[gateways["public"]], found[gateways["private"]]
        assert (public["State"], private["State"]) == ("available", "available")
        assert public["NatGatewayAddresses"][0]["PublicIp"] == outputs["address"]["value"]
        assert private["NatGatewayAddresses"][0]["PrivateIp"] == "10.16.2.10"

    terraform.life(check)
    gone(a)
    assert a.ec2.describe_addresses()["Addresses"] == []
    assert a.ec2.describe_egress_only_internet_gateways()["EgressOnlyInternetGateways"] == []


@pytest.mark.big
@pytest.mark.timeout(4 * STEP_S_MAX)
def test_flow_logs(terraform, cloud, new_account):  # noqa: F811
    a = cloud.party(new_account(), HOME)
    terraform.start("flow-logs", account=a.account)

    def check(outputs):
        logs = outputs["flow_logs"]["value"]
        found = {log["FlowLogId"]: log for log in a.ec2.describe_flow_logs(FlowLogIds=list(logs.values()))["FlowLogs"]}
        vpc, subnet, interface = (found[logs[name]] for name in ("vpc", "subnet", "interface"))
        assert (vpc["LogGroupName"], vpc["TrafficType"], vpc["MaxAggregationInterval"]) == (
            "/vpc/refused",
            "REJECT",
            60,
        )
        assert {t["Key"]: t["Value"] for t in vpc["Tags"]} == {"Name": "refused", "Example": "flow-logs"}
        assert (subnet["LogDestinationType"], subnet["LogDestination"]) == ("s3", "arn:aws:s3:::flows/subnet/")
        assert interface["LogFormat"] == "${interface-id} ${srcaddr} ${dstaddr} ${action} ${peerway-reason}"
        assert interface["DestinationOptions"]["HiveCompatiblePartitions"] is True

    terraform.life(check)
    gone(a)
    assert a.ec2.describe_flow_logs()["FlowLogs"] == [], json.dumps(terraform.proxy.calls, default=str)


# The examples as a whole.


def examples():
    return sorted(folder.name for folder in STORIES.iterdir() if folder.is_dir())


def test_each_example_stands_alone():
    """One folder is all that a reader copies; what all of them repeat is the same everywhere."""
    heads = {}
    for name in examples():
        files = [
            file.name for file in (STORIES / name).glob("*") if not file.name.startswith((".", "terraform.tfstate"))
        ]
        assert files == ["main.tf"] and not (STORIES / name / "main.tf").is_symlink(), (name, files)
        text = (STORIES / name / "main.tf").read_text()
        heads.setdefault(re.search(r"^terraform \{.*?^\}", text, re.MULTILINE | re.DOTALL).group(), []).append(name)
        assert text.startswith("# ") and "AWS_ENDPOINT_URL" in text.partition("\n\n")[0], (
            f"{name} says at its head what it needs"
        )
    assert len(heads) == 1, heads


def test_each_example_is_listed_and_run():
    listed = re.findall(r"^\| `terraform/([a-z-]+)/`", (EXAMPLES / "README.md").read_text(), re.MULTILINE)
    assert sorted(listed) == examples()
    tests = "".join(file.read_text() for file in Path(__file__).parent.glob("test_*.py"))
    run = set(re.findall(r'terraform\.start\("([a-z-]+)"', tests))
    assert sorted(run) == examples()
