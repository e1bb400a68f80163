"""Network ACLs: entries, associations, refusals (spec ch. 7)."""

import re

import pytest

from world import UNKNOWN, filtered, refused


@pytest.fixture
def acl(a):
    """A new ACL of a new VPC."""
    return a.ec2.create_network_acl(VpcId=a.vpc())["NetworkAcl"]["NetworkAclId"]


def entry(number=100, protocol="-1", action="allow", egress=False, **more):
    block = {} if "Ipv6CidrBlock" in more or "CidrBlock" in more else {"CidrBlock": "0.0.0.0/0"}
    return {"RuleNumber": number, "Protocol": protocol, "RuleAction": action, "Egress": egress, **block, **more}


def own_entries(party, acl):
    (found,) = party.ec2.describe_network_acls(NetworkAclIds=[acl])["NetworkAcls"]
    return {(e["RuleNumber"], e["Egress"]): e for e in found["Entries"] if e["RuleNumber"] < 32767}


def default_acl(party, vpc):
    (found,) = party.ec2.describe_network_acls(Filters=filtered(vpc_id=vpc, default="true"))["NetworkAcls"]
    return found


def test_a_new_acl_denies_everything(a):
    vpc = a.vpc()
    made = a.ec2.create_network_acl(VpcId=vpc)["NetworkAcl"]
    assert re.fullmatch(r"acl-[0-9a-f]{17}", made["NetworkAclId"])
    assert (made["VpcId"], made["OwnerId"], made["IsDefault"]) == (vpc, a.account, False)
    assert {(e["RuleNumber"], e["Egress"], e["RuleAction"]) for e in made["Entries"]} == {
        (32767, True, "deny"),
        (32767, False, "deny"),
    }


@pytest.mark.parametrize(
    "given, shown",
    [
        (entry(), {}),
        (entry(CidrBlock="10.1.2.3/16"), {"CidrBlock": "10.1.0.0/16"}),
        (
            entry(protocol="tcp", PortRange={"From": 80, "To": 443}),
            {"Protocol": "6", "PortRange": {"From": 80, "To": 443}},
        ),
        (entry(protocol="17", PortRange={"From": 53, "To": 53}), {"Protocol": "17"}),
        (entry(protocol="1", IcmpTypeCode={"Type": -1, "Code": -1}), {"IcmpTypeCode": {"Type": -1, "Code": -1}}),
        (entry(protocol="58", Ipv6CidrBlock="::/0", IcmpTypeCode={"Type": 2, "Code": 0}), {"Ipv6CidrBlock": "::/0"}),
        (entry(number=32766, action="deny", egress=True), {}),
        (entry(number=1), {}),
    ],
)
def test_entries_are_shown_as_stored(a, acl, given, shown):
    a.ec2.create_network_acl_entry(NetworkAclId=acl, **given)
    (stored,) = own_entries(a, acl).values()
    assert {**given, **({"Protocol": "6"} if given["Protocol"] == "tcp" else {}), **shown} == stored


@pytest.mark.parametrize(
    "given",
    [
        entry(number=0),
        entry(number=-1),
        entry(number=32767),
        entry(number=32768),
        entry(protocol="6"),  # ports are missing
        entry(protocol="6", PortRange={"From": 443, "To": 80}),
        entry(protocol="6", PortRange={"From": 0, "To": 65536}),
        entry(protocol="1"),  # type and code are missing
        entry(protocol="256"),
        entry(protocol="pigeon"),
        entry(CidrBlock="10.0.0.0"),
        entry(CidrBlock="::/0"),
        entry(Ipv6CidrBlock="10.0.0.0/8"),
        entry(CidrBlock="0.0.0.0/0", Ipv6CidrBlock="::/0"),
    ],
)
def test_entries_that_cannot_be(a, acl, given):
    with refused(("InvalidParameterValue", "MissingParameter", "InvalidParameterCombination"), status=400):
        a.ec2.create_network_acl_entry(NetworkAclId=acl, **given)
    assert own_entries(a, acl) == {}


@pytest.mark.parametrize("left_out", ["NetworkAclId", "RuleNumber", "Protocol", "RuleAction", "Egress", "CidrBlock"])
def test_what_an_entry_needs(a, acl, left_out):
    given = {
        "NetworkAclId": acl,
        "RuleNumber": "1",
        "Protocol": "-1",
        "RuleAction": "allow",
        "Egress": "false",
        "CidrBlock": "0.0.0.0/0",
    }
    del given[left_out]
    assert a.wire.call("CreateNetworkAclEntry", given).code == "MissingParameter"
    for bad in ({"RuleAction": "drop"}, {"Egress": "out"}, {"RuleNumber": "first"}):
        assert a.wire.call("CreateNetworkAclEntry", {**given, left_out: "1", **bad}).code.startswith("Invalid")


def test_numbers_are_unique_per_direction(a, acl):
    a.ec2.create_network_acl_entry(NetworkAclId=acl, **entry())
    a.ec2.create_network_acl_entry(NetworkAclId=acl, **entry(egress=True))
    with refused("NetworkAclEntryAlreadyExists"):
        a.ec2.create_network_acl_entry(NetworkAclId=acl, **entry(action="deny"))
    a.ec2.replace_network_acl_entry(NetworkAclId=acl, **entry(action="deny"))
    assert own_entries(a, acl)[100, False]["RuleAction"] == "deny"
    assert own_entries(a, acl)[100, True]["RuleAction"] == "allow"
    with refused("InvalidNetworkAclEntry.NotFound"):
        a.ec2.replace_network_acl_entry(NetworkAclId=acl, **entry(number=101))
    a.ec2.delete_network_acl_entry(NetworkAclId=acl, RuleNumber=100, Egress=False)
    with refused("InvalidNetworkAclEntry.NotFound"):
        a.ec2.delete_network_acl_entry(NetworkAclId=acl, RuleNumber=100, Egress=False)
    with refused("InvalidParameterValue"):
        a.ec2.delete_network_acl_entry(NetworkAclId=acl, RuleNumber=32767, Egress=False)


def test_twenty_entries_and_no_more(a, acl):
    for number in range(1, 21):
        a.ec2.create_network_acl_entry(NetworkAclId=acl, **entry(number))
    with refused("NetworkAclEntryLimitExceeded"):
        a.ec2.create_network_acl_entry(NetworkAclId=acl, **entry(21))
    a.ec2.create_network_acl_entry(NetworkAclId=acl, **entry(21, egress=True))


def test_a_subnet_has_exactly_one(a):
    vpc = a.vpc()
    subnet, acl = a.subnet(vpc, "10.0.0.0/24"), a.ec2.create_network_acl(VpcId=vpc)["NetworkAcl"]["NetworkAclId"]
    first = default_acl(a, vpc)
    (association,) = first["Associations"]
    assert (association["SubnetId"], association["NetworkAclId"]) == (subnet, first["NetworkAclId"])
    replace = lambda old, new: a.ec2.replace_network_acl_association(AssociationId=old, NetworkAclId=new)[
        "NewAssociationId"
    ]
    moved = replace(association["NetworkAclAssociationId"], acl)
    assert re.fullmatch(r"aclassoc-[0-9a-f]{17}", moved)
    assert default_acl(a, vpc).get("Associations", []) == []
    (found,) = a.ec2.describe_network_acls(Filters=[{"Name": "association.subnet-id", "Values": [subnet]}])[
        "NetworkAcls"
    ]
    assert found["NetworkAclId"] == acl
    with refused("DependencyViolation"):
        a.ec2.delete_network_acl(NetworkAclId=acl)
    with refused("InvalidParameterValue"):
        replace(moved, a.ec2.create_network_acl(VpcId=a.vpc("10.1.0.0/16"))["NetworkAcl"]["NetworkAclId"])
    with refused("InvalidAssociationID.NotFound"):
        replace(f"aclassoc-{UNKNOWN}", acl)
    replace(moved, first["NetworkAclId"])
    a.ec2.delete_network_acl(NetworkAclId=acl)
    with refused("InvalidParameterValue"):
        a.ec2.delete_network_acl(NetworkAclId=first["NetworkAclId"])


def test_a_foreign_acl_does_not_exist(a, b, acl):
    unknown = f"The networkAcl ID '{acl}' does not exist"
    for call in (
        lambda: b.ec2.create_network_acl_entry(NetworkAclId=acl, **entry()),
        lambda: b.ec2.delete_network_acl(NetworkAclId=acl),
        lambda: b.ec2.describe_network_acls(NetworkAclIds=[acl]),
    ):
        with refused("InvalidNetworkAclID.NotFound", unknown):
            call()
    with refused(("InvalidNetworkAclId.Malformed", "InvalidNetworkAclID.Malformed")):
        b.ec2.describe_network_acls(NetworkAclIds=["acl-1"])


def test_filters_of_acls(a, acl):
    a.ec2.create_network_acl_entry(
        NetworkAclId=acl, **entry(7, "6", "deny", PortRange={"From": 22, "To": 22}, CidrBlock="10.7.0.0/16")
    )
    rows = [
        ("network-acl-id", acl),
        ("entry.rule-number", "7"),
        ("entry.cidr", "10.7.0.0/16"),
        ("entry.port-range.from", "22"),
        ("entry.protocol", "6"),
        ("default", "false"),
    ]
    for name, value in rows:
        found = a.ec2.describe_network_acls(Filters=[{"Name": name, "Values": [value]}])["NetworkAcls"]
        assert [n["NetworkAclId"] for n in found] == [acl], name
