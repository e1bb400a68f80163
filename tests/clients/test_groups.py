"""Security groups: the rules API, references across peerings, stale rules (spec ch. 6; Appendix B.6, B.7)."""

import re

import pytest

from world import UNKNOWN, eventually, filtered, refused

ANY4, ANY6 = [{"CidrIp": "0.0.0.0/0"}], [{"CidrIpv6": "::/0"}]
DUPLICATE, NO_RULE = "InvalidPermission.Duplicate", "InvalidPermission.NotFound"


def tcp(port, to=None, **peers):
    return {"IpProtocol": "tcp", "FromPort": port, "ToPort": to or port, **peers}


def allow(party, group, *permissions, egress=False):
    call = party.ec2.authorize_security_group_egress if egress else party.ec2.authorize_security_group_ingress
    return call(GroupId=group, IpPermissions=list(permissions))["SecurityGroupRules"]


def revoke(party, group, *permissions, egress=False):
    call = party.ec2.revoke_security_group_egress if egress else party.ec2.revoke_security_group_ingress
    return call(GroupId=group, IpPermissions=list(permissions))


def seen(party, group):
    (found,) = party.ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"]
    return found


def rules(party, group, egress=False):
    found = party.ec2.describe_security_group_rules(Filters=filtered(group_id=group))["SecurityGroupRules"]
    return [r for r in found if r["IsEgress"] is egress]


def test_a_new_group(a):
    vpc = a.vpc()
    tags = [{"ResourceType": "security-group", "Tags": [{"Key": "k", "Value": "v"}]}]
    made = a.ec2.create_security_group(GroupName="web", Description="web servers", VpcId=vpc, TagSpecifications=tags)
    assert re.fullmatch(r"sg-[0-9a-f]{17}", made["GroupId"])
    assert made["SecurityGroupArn"] == f"arn:aws:ec2:{a.region}:{a.account}:security-group/{made['GroupId']}"
    group = seen(a, made["GroupId"])
    assert (group["OwnerId"], group["VpcId"], group["Tags"]) == (a.account, vpc, [{"Key": "k", "Value": "v"}])
    assert group["IpPermissions"] == []
    (out,) = group["IpPermissionsEgress"]
    assert (out["IpProtocol"], [r["CidrIp"] for r in out["IpRanges"]]) == ("-1", ["0.0.0.0/0"])
    (rule,) = rules(a, made["GroupId"], egress=True)
    assert re.fullmatch(r"sgr-[0-9a-f]{17}", rule["SecurityGroupRuleId"])
    assert (rule["CidrIpv4"], rule["FromPort"], rule["ToPort"]) == ("0.0.0.0/0", -1, -1)


def test_the_default_group(a):
    group = a.default_group(a.vpc())
    (inward,) = seen(a, group)["IpPermissions"]
    assert inward["IpProtocol"] == "-1"
    assert [(g["GroupId"], g["UserId"]) for g in inward["UserIdGroupPairs"]] == [(group, a.account)]
    with refused("CannotDelete"):
        a.ec2.delete_security_group(GroupId=group)


@pytest.mark.parametrize(
    "name, code",
    [
        ("default", ("InvalidGroup.Reserved", "InvalidParameterValue")),
        ("sg-mine", "InvalidParameterValue"),
        ("x" * 256, "InvalidParameterValue"),
        ("tab\there", "InvalidParameterValue"),
        ('quo"te', "InvalidParameterValue"),
        ("WEB", "InvalidGroup.Duplicate"),
        ("web", "InvalidGroup.Duplicate"),
    ],
)
def test_names_that_no_group_has(a, name, code):
    vpc = a.vpc()
    a.group(vpc, "web")
    with refused(code, status=400):
        a.ec2.create_security_group(GroupName=name, Description="d", VpcId=vpc)
    a.group(a.vpc(), "web")  # names are per VPC


@pytest.mark.parametrize("left_out", ["GroupName", "GroupDescription"])
def test_what_create_needs(a, left_out):
    given = {"GroupName": "g", "GroupDescription": "d", "VpcId": a.vpc()}
    del given[left_out]
    assert a.wire.call("CreateSecurityGroup", given).code == "MissingParameter"


# Rules (6.3).


def test_each_peer_is_a_rule_of_its_own(a):
    vpc = a.vpc()
    group, other = a.group(vpc), a.group(vpc, "other")
    made = allow(
        a,
        group,
        tcp(
            443,
            IpRanges=[{"CidrIp": "10.0.0.0/8", "Description": "inside"}, {"CidrIp": "192.0.2.7/24"}],
            Ipv6Ranges=ANY6,
            UserIdGroupPairs=[{"GroupId": other, "Description": "friends"}],
        ),
    )
    assert len(made) == 4 and len({r["SecurityGroupRuleId"] for r in made}) == 4
    assert {
        (r["GroupId"], r["GroupOwnerId"], r["IsEgress"], r["IpProtocol"], r["FromPort"], r["ToPort"]) for r in made
    } == {(group, a.account, False, "tcp", 443, 443)}
    by_peer = {
        r.get("CidrIpv4") or r.get("CidrIpv6") or r["ReferencedGroupInfo"]["GroupId"]: r for r in rules(a, group)
    }
    assert set(by_peer) == {"10.0.0.0/8", "192.0.2.0/24", "::/0", other}
    assert by_peer["10.0.0.0/8"]["Description"] == "inside"
    assert by_peer[other]["ReferencedGroupInfo"]["UserId"] == a.account
    (permission,) = seen(a, group)["IpPermissions"]
    assert {r["CidrIp"] for r in permission["IpRanges"]} == {"10.0.0.0/8", "192.0.2.0/24"}
    assert permission["Ipv6Ranges"] == ANY6
    (friend,) = permission["UserIdGroupPairs"]
    assert (friend["GroupId"], friend["UserId"], friend["Description"]) == (other, a.account, "friends")


@pytest.mark.parametrize(
    "given, protocol, ports",
    [
        ({"IpProtocol": "6", "FromPort": 22, "ToPort": 22}, "tcp", (22, 22)),
        ({"IpProtocol": "17", "FromPort": 0, "ToPort": 65535}, "udp", (0, 65535)),
        ({"IpProtocol": "1", "FromPort": 8, "ToPort": 0}, "icmp", (8, 0)),
        ({"IpProtocol": "icmp", "FromPort": -1, "ToPort": -1}, "icmp", (-1, -1)),
        ({"IpProtocol": "58", "FromPort": -1, "ToPort": -1}, "icmpv6", (-1, -1)),
        ({"IpProtocol": "47"}, "47", (-1, -1)),
        ({"IpProtocol": "50", "FromPort": 1, "ToPort": 2}, "50", (-1, -1)),
        ({"IpProtocol": "-1", "FromPort": 22, "ToPort": 22}, "-1", (-1, -1)),
    ],
)
def test_protocols_are_normalised(a, given, protocol, ports):
    group = a.group(a.vpc())
    six = given["IpProtocol"] == "58"
    allow(a, group, {**given, **({"Ipv6Ranges": ANY6} if six else {"IpRanges": ANY4})})
    (rule,) = rules(a, group)
    assert rule["IpProtocol"] == protocol
    assert (rule.get("FromPort", -1), rule.get("ToPort", -1)) == ports


NO_PROTOCOL = "Invalid value 'null' for protocol. VPC security group rules must specify protocols explicitly."
NO_PORTS = "Invalid value for portRange. Must specify both from and to ports with TCP/UDP."


@pytest.mark.parametrize(
    "permission, code, text",
    [
        ({"FromPort": 1, "ToPort": 1, "IpRanges": ANY4}, "InvalidParameterValue", NO_PROTOCOL),
        ({"IpProtocol": "tcp", "IpRanges": ANY4}, "InvalidParameterValue", NO_PORTS),
        ({"IpProtocol": "udp", "FromPort": 53, "IpRanges": ANY4}, "InvalidParameterValue", NO_PORTS),
        (tcp(443, 80, IpRanges=ANY4), "InvalidParameterValue", None),
        (tcp(1, 65536, IpRanges=ANY4), "InvalidParameterValue", None),
        (tcp(-1, 65535, IpRanges=ANY4), "InvalidParameterValue", None),
        ({"IpProtocol": "256", "IpRanges": ANY4}, "InvalidParameterValue", None),
        ({"IpProtocol": "carrier-pigeon", "IpRanges": ANY4}, "InvalidParameterValue", None),
        ({"IpProtocol": "icmp", "FromPort": -1, "ToPort": 0, "IpRanges": ANY4}, "InvalidParameterValue", None),
        (tcp(80, IpRanges=[{"CidrIp": "10.0.0.0"}]), "InvalidParameterValue", None),
        (tcp(80, IpRanges=[{"CidrIp": "::/0"}]), "InvalidParameterValue", None),
        (tcp(80, Ipv6Ranges=[{"CidrIpv6": "0.0.0.0/0"}]), "InvalidParameterValue", None),
        (tcp(80), ("InvalidParameterValue", "MissingParameter"), None),
        (tcp(80, UserIdGroupPairs=[{"GroupId": "sg-x"}]), "InvalidGroupId.Malformed", None),
        (tcp(80, UserIdGroupPairs=[{"GroupId": f"111122223333/sg-{UNKNOWN}"}]), "InvalidGroupId.Malformed", None),
        (
            tcp(80, UserIdGroupPairs=[{"GroupId": f"sg-{UNKNOWN}"}]),
            "InvalidGroup.NotFound",
            f"The security group 'sg-{UNKNOWN}' does not exist",
        ),
    ],
)
def test_rules_that_cannot_be(a, permission, code, text):
    group = a.group(a.vpc())
    with refused(code, text, status=400):
        allow(a, group, tcp(22, IpRanges=ANY4), permission)
    assert rules(a, group) == [], "half of a refused call was done"


def test_the_legacy_shorthand(a):
    group = a.group(a.vpc())
    short = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "CidrIp": "10.0.0.0/8"}
    a.ec2.authorize_security_group_ingress(GroupId=group, **short)
    with refused(DUPLICATE):
        allow(a, group, tcp(22, IpRanges=[{"CidrIp": "10.0.0.0/8"}]))
    with refused("InvalidParameterCombination"):
        a.ec2.authorize_security_group_ingress(GroupId=group, **short, IpPermissions=[tcp(23, IpRanges=ANY4)])
    a.ec2.revoke_security_group_ingress(GroupId=group, **short)
    assert rules(a, group) == []


def test_duplicates_and_atomicity(a):
    vpc = a.vpc()
    group, other = a.group(vpc), a.group(vpc, "other")
    allow(a, group, tcp(80, IpRanges=ANY4), tcp(81, UserIdGroupPairs=[{"GroupId": other}]))
    again = [
        tcp(80, IpRanges=[{"CidrIp": "0.0.0.0/0", "Description": "descriptions do not count"}]),
        {"IpProtocol": "6", "FromPort": 80, "ToPort": 80, "IpRanges": ANY4},
        tcp(80, IpRanges=[{"CidrIp": "1.2.3.4/0"}]),
        tcp(81, UserIdGroupPairs=[{"GroupId": other, "UserId": a.account}]),
    ]
    for permission in again:
        with refused(DUPLICATE):
            allow(a, group, tcp(90, IpRanges=ANY4), permission)
    with refused((DUPLICATE, "InvalidParameterValue")):
        allow(a, group, tcp(91, IpRanges=ANY4), tcp(91, IpRanges=ANY4))
    assert {r["FromPort"] for r in rules(a, group)} == {80, 81}
    allow(a, group, tcp(80, IpRanges=ANY4), egress=True)  # the other direction is another rule


def test_revoke_is_all_or_nothing(a):
    group = a.group(a.vpc())
    made = allow(a, group, tcp(80, IpRanges=ANY4), tcp(81, IpRanges=ANY4), tcp(82, IpRanges=ANY4))
    with refused(NO_RULE, "The specified rule does not exist in this security group."):
        revoke(a, group, tcp(80, IpRanges=ANY4), tcp(99, IpRanges=ANY4))
    assert len(rules(a, group)) == 3
    answer = revoke(a, group, tcp(80, IpRanges=ANY4))
    assert answer["Return"] is True and answer.get("UnknownIpPermissions", []) == []
    gone = [r["SecurityGroupRuleId"] for r in answer.get("RevokedSecurityGroupRules", [])]
    assert gone == [made[0]["SecurityGroupRuleId"]]
    by_id = lambda *ids: a.ec2.revoke_security_group_ingress(GroupId=group, SecurityGroupRuleIds=list(ids))
    unknown = f"sgr-{UNKNOWN}"
    with refused("InvalidSecurityGroupRuleId.NotFound", f"The security group rule ID '{unknown}' does not exist"):
        by_id(made[1]["SecurityGroupRuleId"], unknown)
    with refused("InvalidSecurityGroupRuleId.Malformed"):
        by_id("sgr-1")
    by_id(made[1]["SecurityGroupRuleId"])
    assert {r["FromPort"] for r in rules(a, group)} == {82}
    with refused((NO_RULE, "InvalidSecurityGroupRuleId.NotFound", "InvalidParameterValue")):
        a.ec2.revoke_security_group_egress(GroupId=group, SecurityGroupRuleIds=[made[2]["SecurityGroupRuleId"]])
    assert {r["FromPort"] for r in rules(a, group)} == {82}


def test_the_egress_rule_that_every_group_starts_with(a):
    """Terraform revokes both of these and expects the second to be unknown."""
    group = a.group(a.vpc())
    revoke(a, group, {"IpProtocol": "-1", "IpRanges": ANY4}, egress=True)
    with refused(NO_RULE):
        revoke(a, group, {"IpProtocol": "-1", "Ipv6Ranges": ANY6}, egress=True)
    assert seen(a, group)["IpPermissionsEgress"] == []


def test_modify_rules_in_place(a):
    group = a.group(a.vpc())
    first, second = allow(a, group, tcp(80, IpRanges=ANY4), tcp(81, IpRanges=ANY4))
    modify = lambda rule, **new: a.ec2.modify_security_group_rules(
        GroupId=group,
        SecurityGroupRules=[{"SecurityGroupRuleId": rule["SecurityGroupRuleId"], "SecurityGroupRule": new}],
    )
    base = {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443}
    modify(first, **base, CidrIpv4="10.0.0.0/8", Description="moved")
    (changed,) = a.ec2.describe_security_group_rules(SecurityGroupRuleIds=[first["SecurityGroupRuleId"]])[
        "SecurityGroupRules"
    ]
    assert (changed["CidrIpv4"], changed["FromPort"], changed["Description"]) == ("10.0.0.0/8", 443, "moved")
    with refused(DUPLICATE):
        modify(second, **base, CidrIpv4="10.0.0.0/8")
    none = "The request must contain exactly one of: cidrIp, cidrIpv6, prefixListId, or referencedGroupId"
    with refused("MissingParameter", none):
        modify(first, **base)
    several = "Only one of cidrIp, cidrIpv6, prefixListId, or referencedGroupId can be specified"
    with refused("InvalidParameterCombination", several):
        modify(first, **base, CidrIpv4="10.0.0.0/8", CidrIpv6="::/0")
    with refused("InvalidSecurityGroupRuleId.NotFound"):
        modify({"SecurityGroupRuleId": f"sgr-{UNKNOWN}"}, **base, CidrIpv4="10.0.0.0/8")


def test_descriptions_are_updated_alone(a):
    group = a.group(a.vpc())
    (rule,) = allow(a, group, tcp(80, IpRanges=ANY4))
    a.ec2.update_security_group_rule_descriptions_ingress(
        GroupId=group, IpPermissions=[tcp(80, IpRanges=[{"CidrIp": "0.0.0.0/0", "Description": "by permission"}])]
    )
    assert rules(a, group)[0]["Description"] == "by permission"
    a.ec2.update_security_group_rule_descriptions_ingress(
        GroupId=group,
        SecurityGroupRuleDescriptions=[{"SecurityGroupRuleId": rule["SecurityGroupRuleId"], "Description": "by id"}],
    )
    assert rules(a, group)[0]["Description"] == "by id"


def test_sixty_rules_and_no_more(a):
    group = a.group(a.vpc())
    allow(a, group, *[tcp(n, IpRanges=ANY4) for n in range(1, 61)])
    with refused("RulesPerSecurityGroupLimitExceeded"):
        allow(a, group, tcp(61, IpRanges=ANY4))
    allow(a, group, tcp(61, Ipv6Ranges=ANY6))  # the families count apart
    allow(a, group, tcp(61, IpRanges=ANY4), egress=True)
    pages = a.ec2.get_paginator("describe_security_group_rules").paginate(
        Filters=filtered(group_id=group), PaginationConfig={"PageSize": 20}
    )
    found = [r["SecurityGroupRuleId"] for page in pages for r in page["SecurityGroupRules"]]
    assert len(found) == len(set(found)) == 63


def test_a_foreign_group_does_not_exist(a, b):
    group = a.group(a.vpc())
    unknown = f"The security group '{group}' does not exist"
    for stranger in (b, a.elsewhere()):
        for call in (
            lambda: allow(stranger, group, tcp(80, IpRanges=ANY4)),
            lambda: stranger.ec2.delete_security_group(GroupId=group),
            lambda: stranger.ec2.describe_security_groups(GroupIds=[group]),
            lambda: allow(stranger, stranger.group(stranger.vpc()), tcp(80, UserIdGroupPairs=[{"GroupId": group}])),
        ):
            with refused("InvalidGroup.NotFound", unknown):
                call()


# Groups of a peer (6.5, 6.6).


@pytest.fixture
def peers(a, b):
    """Two peered VPCs in two accounts of one region: (vpc, group) of each, and the peering."""
    mine, theirs = a.vpc("10.0.0.0/16"), b.vpc("10.1.0.0/16")
    return (mine, a.group(mine)), (theirs, b.group(theirs, "db")), a.peer(mine, b, theirs)


def test_a_rule_names_a_group_of_the_peer(a, b, peers):
    (mine, web), (_, db), pcx = peers
    reference = {"GroupId": web, "UserId": a.account, "VpcPeeringConnectionId": pcx}
    (rule,) = allow(b, db, tcp(5432, UserIdGroupPairs=[reference]))
    wanted = {
        "GroupId": web,
        "UserId": a.account,
        "VpcId": mine,
        "VpcPeeringConnectionId": pcx,
        "PeeringStatus": "active",
    }
    assert wanted.items() <= rule["ReferencedGroupInfo"].items()
    (permission,) = seen(b, db)["IpPermissions"]
    assert permission["UserIdGroupPairs"] == [wanted]
    (asked,) = a.ec2.describe_security_group_references(GroupId=[web])["SecurityGroupReferenceSet"]
    assert asked["GroupId"] == web and asked["VpcPeeringConnectionId"] == pcx
    assert asked["ReferencingVpcId"] == peers[1][0]
    assert db not in str(asked)
    with refused("InvalidGroup.NotFound"):
        b.ec2.describe_security_group_references(GroupId=[web])


def test_references_that_cannot_be(a, b, cloud, new_account, peers):
    (mine, web), (theirs, db), _ = peers
    different = "You have specified two resources that belong to different networks."
    unpeered = b.vpc("10.2.0.0/16")
    cases = [
        (b, b.group(unpeered), {"GroupId": web, "UserId": a.account}, None),
        (b, db, {"GroupId": web}, f"The security group '{web}' does not exist"),
        (b, db, {"GroupId": b.group(unpeered, "x")}, different),
        (b, db, {"GroupId": f"sg-{UNKNOWN}", "UserId": a.account}, None),
    ]
    outsider = cloud.party(new_account())
    cases.append((outsider, outsider.group(outsider.vpc("10.5.0.0/16")), {"GroupId": web, "UserId": a.account}, None))
    for party, group, reference, text in cases:
        with refused("InvalidGroup.NotFound", text):
            allow(party, group, tcp(80, UserIdGroupPairs=[reference]))


def test_no_reference_across_regions(a, far):
    mine, theirs = a.vpc("10.0.0.0/16"), far.vpc("10.1.0.0/16")
    web = a.group(mine)
    pcx = a.peer(mine, far, theirs)
    for reference in (
        {"GroupId": web, "UserId": a.account},
        {"GroupId": web, "UserId": a.account, "VpcPeeringConnectionId": pcx},
    ):
        with refused("InvalidGroup.NotFound"):
            allow(far, far.group(theirs, f"g{len(reference)}"), tcp(80, UserIdGroupPairs=[reference]))


def test_no_reference_before_acceptance(a, b):
    mine, theirs = a.vpc("10.0.0.0/16"), b.vpc("10.1.0.0/16")
    pcx, web, db = a.pending(mine, b, theirs), a.group(mine), b.group(theirs, "db")
    reference = tcp(80, UserIdGroupPairs=[{"GroupId": web, "UserId": a.account}])
    with refused("InvalidGroup.NotFound"):
        allow(b, db, reference)
    b.ec2.accept_vpc_peering_connection(VpcPeeringConnectionId=pcx)
    b.until(pcx, "active")
    allow(b, db, reference)


def stale(party, vpc):
    return party.ec2.describe_stale_security_groups(VpcId=vpc)["StaleSecurityGroupSet"]


def test_stale_and_revived(a, b, peers):
    """Bound to group and VPC, not to the connection (Appendix B.6)."""
    (mine, web), (theirs, db), pcx = peers
    reference = {"GroupId": web, "UserId": a.account}
    allow(b, db, tcp(5432, UserIdGroupPairs=[reference]))
    assert stale(b, theirs) == []
    a.ec2.delete_vpc_peering_connection(VpcPeeringConnectionId=pcx)
    b.until(pcx, "deleted")
    (group,) = stale(b, theirs)
    assert (group["GroupId"], group["GroupName"], group["VpcId"]) == (db, "db", theirs)
    (permission,) = group["StaleIpPermissions"]
    (pair,) = permission["UserIdGroupPairs"]
    assert (permission["FromPort"], pair["GroupId"], pair["UserId"], pair["VpcId"]) == (5432, web, a.account, mine)
    assert (pair["VpcPeeringConnectionId"], pair["PeeringStatus"]) == (pcx, "deleted")
    assert len(rules(b, db)) == 1  # stored all the same
    assert a.ec2.describe_security_group_references(GroupId=[web])["SecurityGroupReferenceSet"] == []
    new = a.peer(mine, b, theirs)
    assert stale(b, theirs) == []
    (rule,) = rules(b, db)
    assert rule["ReferencedGroupInfo"]["PeeringStatus"] == "active"
    assert rule["ReferencedGroupInfo"]["VpcPeeringConnectionId"] == new
    revoke(b, db, tcp(5432, UserIdGroupPairs=[reference]))
    assert rules(b, db) == []


def test_deleting_a_group_that_others_name(a, b, peers):
    """Only the own VPC's rules hold a group (Appendix B.7)."""
    (mine, web), (theirs, db), _ = peers
    own = a.group(mine, "own")
    allow(a, own, tcp(80, UserIdGroupPairs=[{"GroupId": web}]))
    allow(b, db, tcp(80, UserIdGroupPairs=[{"GroupId": web, "UserId": a.account}]))
    with refused("DependencyViolation", f"resource {web} has a dependent object"):
        a.ec2.delete_security_group(GroupId=web)
    revoke(a, own, tcp(80, UserIdGroupPairs=[{"GroupId": web}]))
    allow(a, web, tcp(80, UserIdGroupPairs=[{"GroupId": web}]))  # itself does not count
    answer = a.ec2.delete_security_group(GroupId=web)
    assert answer["GroupId"] == web
    (group,) = stale(b, theirs)
    assert group["GroupId"] == db
    (rule,) = rules(b, db)
    b.ec2.revoke_security_group_ingress(GroupId=db, SecurityGroupRuleIds=[rule["SecurityGroupRuleId"]])
    assert stale(b, theirs) == []


def test_a_group_in_use_stays(a):
    vpc = a.vpc()
    group = a.group(vpc)
    eni = a.ec2.create_network_interface(SubnetId=a.subnet(vpc, "10.0.0.0/24"), Groups=[group])["NetworkInterface"]
    with refused(("DependencyViolation", "InvalidGroup.InUse")):
        a.ec2.delete_security_group(GroupId=group)
    a.ec2.delete_network_interface(NetworkInterfaceId=eni["NetworkInterfaceId"])
    a.ec2.delete_security_group(GroupId=group)
    with refused("InvalidGroup.NotFound", f"The security group '{group}' does not exist"):
        seen(a, group)


def test_filters_of_groups_and_rules(a):
    vpc = a.vpc()
    group, other = a.group(vpc), a.group(vpc, "other")
    (rule,) = allow(a, group, tcp(80, IpRanges=[{"CidrIp": "10.9.0.0/16"}]))
    allow(a, other, tcp(81, UserIdGroupPairs=[{"GroupId": group}]))
    default = a.default_group(vpc)
    rows = [
        ("group-id", group, {group}),
        ("group-name", "web", {group}),
        ("group-name", "*e*", {group, other, default}),
        ("vpc-id", vpc, {group, other, default}),
        ("description", "web servers", {group}),
        ("ip-permission.cidr", "10.9.0.0/16", {group}),
        ("ip-permission.from-port", "80", {group}),
        ("ip-permission.to-port", "81", {other}),
        ("ip-permission.protocol", "tcp", {group, other}),
        ("ip-permission.group-id", group, {other}),
        ("egress.ip-permission.cidr", "0.0.0.0/0", {group, other, default}),
        ("owner-id", a.account, {group, other, default}),
    ]
    for name, value, wanted in rows:
        found = a.ec2.describe_security_groups(Filters=[{"Name": name, "Values": [value]}] + filtered(vpc_id=vpc))[
            "SecurityGroups"
        ]
        assert {g["GroupId"] for g in found} == wanted, (name, value)
    one = filtered(security_group_rule_id=rule["SecurityGroupRuleId"])
    assert len(a.ec2.describe_security_group_rules(Filters=one)["SecurityGroupRules"]) == 1


def test_a_rule_has_tags(a):
    group = a.group(a.vpc())
    tags = [{"ResourceType": "security-group-rule", "Tags": [{"Key": "why", "Value": "web"}]}]
    (made,) = a.ec2.authorize_security_group_ingress(
        GroupId=group, IpPermissions=[tcp(80, IpRanges=ANY4)], TagSpecifications=tags
    )["SecurityGroupRules"]
    assert made["Tags"] == [{"Key": "why", "Value": "web"}]
    eventually(lambda: rules(a, group)[0]["Tags"] == [{"Key": "why", "Value": "web"}])
