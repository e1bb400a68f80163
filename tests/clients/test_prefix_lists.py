"""Managed prefix lists and an interface's tracking times through boto3 (spec 4.8, 6.4.4)."""

from world import UNKNOWN, filtered, refused

TCP_443 = {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443}


def make(party, *entries, room=5, family="IPv4", **more):
    """A list with these entries, as (block, description) or a block alone."""
    pairs = [entry if isinstance(entry, tuple) else (entry, None) for entry in entries]
    wanted = [{"Cidr": block, **({"Description": text} if text else {})} for block, text in pairs]
    answer = party.ec2.create_managed_prefix_list(
        PrefixListName="offices", AddressFamily=family, MaxEntries=room, Entries=wanted, **more
    )
    return answer["PrefixList"]["PrefixListId"]


def entries(party, prefix_list, **more):
    found = party.ec2.get_managed_prefix_list_entries(PrefixListId=prefix_list, **more)["Entries"]
    return {entry["Cidr"]: entry.get("Description") for entry in found}


def test_the_life_of_a_list(a):
    tags = [{"ResourceType": "prefix-list", "Tags": [{"Key": "k", "Value": "v"}]}]
    made = make(a, ("10.20.0.0/16", "north"), "10.21.0.0/16", TagSpecifications=tags)
    (shown,) = a.ec2.describe_managed_prefix_lists(Filters=filtered(prefix_list_id=made))["PrefixLists"]
    assert shown == {
        "PrefixListId": made,
        "AddressFamily": "IPv4",
        "State": "create-complete",
        "PrefixListArn": f"arn:aws:ec2:{a.region}:{a.account}:prefix-list/{made}",
        "PrefixListName": "offices",
        "MaxEntries": 5,
        "Version": 1,
        "Tags": [{"Key": "k", "Value": "v"}],
        "OwnerId": a.account,
    }
    changed = a.ec2.modify_managed_prefix_list(
        PrefixListId=made,
        CurrentVersion=1,
        AddEntries=[{"Cidr": "10.22.0.0/16"}],
        RemoveEntries=[{"Cidr": "10.20.0.0/16"}],
    )["PrefixList"]
    assert (changed["Version"], changed["State"]) == (2, "modify-complete")
    assert entries(a, made) == {"10.21.0.0/16": None, "10.22.0.0/16": None}
    assert entries(a, made, TargetVersion=1) == {"10.20.0.0/16": "north", "10.21.0.0/16": None}
    with refused("PrefixListVersionMismatch", "The prefix list has the incorrect version number."):
        a.ec2.modify_managed_prefix_list(PrefixListId=made, CurrentVersion=1, AddEntries=[{"Cidr": "10.23.0.0/16"}])
    with refused("InvalidPrefixListModification"):
        a.ec2.modify_managed_prefix_list(PrefixListId=made, RemoveEntries=[{"Cidr": "10.99.0.0/16"}])
    with refused("InvalidParameterCombination"):
        a.ec2.modify_managed_prefix_list(PrefixListId=made, MaxEntries=9, AddEntries=[{"Cidr": "10.23.0.0/16"}])
    back = a.ec2.restore_managed_prefix_list_version(PrefixListId=made, PreviousVersion=1, CurrentVersion=2)
    assert (back["PrefixList"]["Version"], back["PrefixList"]["State"]) == (3, "restore-complete")
    assert entries(a, made) == {"10.20.0.0/16": "north", "10.21.0.0/16": None}
    assert a.ec2.delete_managed_prefix_list(PrefixListId=made)["PrefixList"]["State"] == "delete-complete"
    with refused("InvalidPrefixListID.NotFound"):
        a.ec2.describe_managed_prefix_lists(PrefixListIds=[made])


def test_pages_of_entries(a):
    blocks = [f"10.{n}.0.0/16" for n in range(25)]
    made = make(a, *blocks, room=30)
    pages = a.ec2.get_paginator("get_managed_prefix_list_entries").paginate(
        PrefixListId=made, PaginationConfig={"PageSize": 10}
    )
    pages = [[entry["Cidr"] for entry in page["Entries"]] for page in pages]
    assert [len(page) for page in pages] == [10, 10, 5]
    assert sum(pages, []) == blocks


def test_rules_and_routes_name_lists(a):
    vpc, other = a.vpc("10.0.0.0/16"), a.vpc("10.1.0.0/16")
    table, group, pcx = a.table(vpc), a.group(vpc), a.peer(vpc, a, other)
    made = make(a, "10.1.0.0/16")
    permission = {**TCP_443, "PrefixListIds": [{"PrefixListId": made, "Description": "offices"}]}
    rule = a.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[permission])["SecurityGroupRules"][0]
    assert (rule["PrefixListId"], rule["Description"]) == (made, "offices")
    (shown,) = a.ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"]
    assert shown["IpPermissions"][0]["PrefixListIds"] == [{"PrefixListId": made, "Description": "offices"}]
    with refused("InvalidPermission.Duplicate"):
        a.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[permission])
    a.ec2.create_route(RouteTableId=table, DestinationPrefixListId=made, VpcPeeringConnectionId=pcx)
    assert a.routes(table)[made] == {
        "DestinationPrefixListId": made,
        "VpcPeeringConnectionId": pcx,
        "Origin": "CreateRoute",
        "State": "active",
    }
    found = a.ec2.get_managed_prefix_list_associations(PrefixListId=made)["PrefixListAssociations"]
    assert found == [{"ResourceId": user, "ResourceOwner": a.account} for user in (table, group)]
    with refused("DependencyViolation"):
        a.ec2.delete_managed_prefix_list(PrefixListId=made)
    a.ec2.delete_route(RouteTableId=table, DestinationPrefixListId=made)
    a.ec2.revoke_security_group_ingress(GroupId=group, SecurityGroupRuleIds=[rule["SecurityGroupRuleId"]])
    a.ec2.delete_managed_prefix_list(PrefixListId=made)


def test_a_list_counts_for_all_that_it_may_hold(a):
    group = a.group(a.vpc())
    large, full = make(a, room=61), make(a, room=60)
    name = {"PrefixListIds": [{"PrefixListId": large}]}
    with refused("RulesPerSecurityGroupLimitExceeded"):
        a.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[{**TCP_443, **name}])
    name = {"PrefixListIds": [{"PrefixListId": full}]}
    a.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[{**TCP_443, **name}])
    with refused("RulesPerSecurityGroupLimitExceeded"):
        a.ec2.modify_managed_prefix_list(PrefixListId=full, MaxEntries=61)


def test_anothers_list_is_unknown(a, b):
    made = make(b, "10.1.0.0/16")
    permission = {**TCP_443, "PrefixListIds": [{"PrefixListId": made}]}
    for call in (
        lambda: a.ec2.get_managed_prefix_list_entries(PrefixListId=made),
        lambda: a.ec2.modify_managed_prefix_list(PrefixListId=made, PrefixListName="mine"),
        lambda: a.ec2.delete_managed_prefix_list(PrefixListId=f"pl-{UNKNOWN}"),
        lambda: a.ec2.authorize_security_group_ingress(GroupId=a.group(a.vpc()), IpPermissions=[permission]),
    ):
        with refused("InvalidPrefixListID.NotFound"):
            call()
    assert a.ec2.describe_managed_prefix_lists()["PrefixLists"] == []
    assert a.ec2.describe_prefix_lists()["PrefixLists"] == []


def test_tracking_times_of_an_interface(a):
    subnet = a.subnet(a.vpc(), "10.0.1.0/24")
    times = {"TcpEstablishedTimeout": 350, "UdpStreamTimeout": 120, "UdpTimeout": 45}
    made = a.ec2.create_network_interface(SubnetId=subnet, ConnectionTrackingSpecification=times)["NetworkInterface"]
    assert made["ConnectionTrackingConfiguration"] == times
    eni = made["NetworkInterfaceId"]
    a.ec2.modify_network_interface_attribute(
        NetworkInterfaceId=eni, ConnectionTrackingSpecification={"TcpEstablishedTimeout": 60}
    )
    (shown,) = a.ec2.describe_network_interfaces(NetworkInterfaceIds=[eni])["NetworkInterfaces"]
    assert shown["ConnectionTrackingConfiguration"] == {**times, "TcpEstablishedTimeout": 60}
    for wrong in ({"TcpEstablishedTimeout": 59}, {"UdpStreamTimeout": 181}, {"UdpTimeout": 61}):
        with refused("InvalidParameterValue"):
            a.ec2.modify_network_interface_attribute(NetworkInterfaceId=eni, ConnectionTrackingSpecification=wrong)
