"""Every paginator of botocore's ec2 model whose operation is there: pages of five hold what one answer holds.

The paginators are botocore's; what stands here makes more than a page of everything, in an account of its own. A
paginator that comes with a new action fails until there is more than a page of what it lists.
"""

from types import SimpleNamespace

import pytest
from botocore import xform_name

from conftest import own_server
from everywhere import PAGINATORS, actions
from world import AWAY, HOME, Cloud, filtered

PAGE, MANY = 5, 7
IMAGE = "ami-0123456789abcdef0"
QUOTAS = ("vpcs", "internet-gateways", "nat-gateways-per-zone", "egress-only-internet-gateways", "elastic-ips")
# Lists that cannot be longer than a page here, and why.
SHORT = {
    "DescribePrefixLists": "there is no service of AWS's that a gateway endpoint would lead to",
}


@pytest.fixture(scope="module")
def full(checker):
    """An account with more than a page of everything, on a server whose quotas allow that; and what must be named."""
    with own_server(extra=[word for name in QUOTAS for word in ("--quota", f"{name}=100")]) as server:
        a = Cloud(server.endpoint, checker).party("000000000001", HOME)
        yield SimpleNamespace(party=a, **vars(fill(a)))


def fill(a):
    """MANY of each."""
    ec2, every = a.ec2, range(MANY)
    vpcs = [ec2.create_vpc(CidrBlock=f"10.{n}.0.0/16", AmazonProvidedIpv6CidrBlock=True)["Vpc"]["VpcId"] for n in every]
    vpc, peer = vpcs[:2]
    pcx = a.peer(vpc, a, peer)
    for other in vpcs[2:]:
        a.pending(vpc, a, other)
    a.pending(peer, a, vpcs[2])
    subnets = [a.subnet(vpc, f"10.0.{n}.0/24") for n in every]
    groups = [a.group(vpc, f"g{n}") for n in every]
    named = a.group(peer, "named")
    lists = [
        ec2.create_managed_prefix_list(
            PrefixListName=f"l{n}",
            AddressFamily="IPv4",
            MaxEntries=MANY,
            Entries=[{"Cidr": f"172.{16 + m}.0.0/16"} for m in every],
        )["PrefixList"]["PrefixListId"]
        for n in every
    ]
    for n in every:
        web = {"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80}
        # A group that is named over a peering, until that is gone; and a list that is named by every group.
        ec2.authorize_security_group_ingress(
            GroupId=groups[n],
            IpPermissions=[
                {**web, "UserIdGroupPairs": [{"GroupId": named}]},
                {**web, "PrefixListIds": [{"PrefixListId": lists[0]}]},
            ],
        )
        ec2.associate_security_group_vpc(GroupId=groups[n], VpcId=vpcs[3])
        table, acl = a.table(vpc), ec2.create_network_acl(VpcId=vpc)["NetworkAcl"]["NetworkAclId"]
        gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
        ec2.create_tags(Resources=[table, acl, gateway], Tags=[{"Key": "n", "Value": str(n)}])
        ec2.create_egress_only_internet_gateway(VpcId=vpcs[n])
        ec2.create_nat_gateway(SubnetId=subnets[n], ConnectivityType="private")
        address = ec2.allocate_address(Domain="vpc")["AllocationId"]
        ec2.modify_address_attribute(AllocationId=address, DomainName=f"n{n}.example.com")
        ec2.create_dhcp_options(DhcpConfigurations=[{"Key": "domain-name", "Values": [f"n{n}.example"]}])
        ec2.create_flow_logs(
            ResourceType="Subnet",
            ResourceIds=[subnets[n]],
            TrafficType="ALL",
            LogDestinationType="s3",
            LogDestination="arn:aws:s3:::logs",
        )
        eni = ec2.create_network_interface(SubnetId=subnets[n])["NetworkInterface"]["NetworkInterfaceId"]
        ec2.create_network_interface_permission(
            NetworkInterfaceId=eni, AwsAccountId=f"{n + 100:012d}", Permission="INSTANCE-ATTACH"
        )
        launch = ec2.run_instances(ImageId=IMAGE, InstanceType="t3.micro", MinCount=1, MaxCount=1, SubnetId=subnets[n])
        instance = launch["Instances"][0]["InstanceId"]
        ec2.register_image(Name=f"image-{n}", RootDeviceName="/dev/xvda")
        path = ec2.create_network_insights_path(
            Source=instance, Destination=eni, Protocol="tcp", ClientToken=f"path-{n}"
        )["NetworkInsightsPath"]["NetworkInsightsPathId"]
        ec2.start_network_insights_analysis(NetworkInsightsPathId=path, ClientToken=f"analysis-{n}")
        scope = ec2.create_network_insights_access_scope(
            MatchPaths=[{"Source": {"ResourceStatement": {"ResourceTypes": ["AWS::EC2::NetworkInterface"]}}}],
            ClientToken=f"scope-{n}",
        )["NetworkInsightsAccessScope"]["NetworkInsightsAccessScopeId"]
    for n in every:
        scoped = ec2.start_network_insights_access_scope_analysis(
            NetworkInsightsAccessScopeId=scope, ClientToken=f"scoped-{n}"
        )["NetworkInsightsAccessScopeAnalysis"]["NetworkInsightsAccessScopeAnalysisId"]
    # What still changes by itself would be another thing on the page than in the whole.
    ec2.get_waiter("instance_running").wait(WaiterConfig={"Delay": 1, "MaxAttempts": 30})
    ec2.delete_vpc_peering_connection(VpcPeeringConnectionId=pcx)
    a.until(pcx, "deleted")
    # What an operation must be told, or is better asked for less than the whole world.
    parameters = {
        "DescribeStaleSecurityGroups": {"VpcId": vpc},
        "DescribeAddressesAttribute": {"Attribute": "domain-name"},
        "DescribeImages": {"Owners": ["self"]},
        "GetManagedPrefixListEntries": {"PrefixListId": lists[0]},
        "GetManagedPrefixListAssociations": {"PrefixListId": lists[0]},
        "GetNetworkInsightsAccessScopeAnalysisFindings": {"NetworkInsightsAccessScopeAnalysisId": scoped},
        "GetSecurityGroupsForVpc": {"VpcId": vpc},
        "DescribeInstanceTypes": {"Filters": filtered(instance_type=["t3.*", "m5.*"])},
        "DescribeInstanceTypeOfferings": {"Filters": filtered(instance_type=["t3.*", "m5.*"])},
    }
    return SimpleNamespace(parameters=parameters)


def lists_of(action):
    keys = PAGINATORS[action]["result_key"]
    return keys if isinstance(keys, list) else [keys]


def test_of_all_that_is_there(full):
    ec2 = full.party.ec2
    ours = sorted(actions() & PAGINATORS.keys())
    assert len(ours) >= 33
    wrong = []
    for action in ours:
        asked, (first, *_) = full.parameters.get(action, {}), lists_of(action)
        whole = getattr(ec2, xform_name(action))(**asked)
        pages = list(ec2.get_paginator(xform_name(action)).paginate(**asked, PaginationConfig={"PageSize": PAGE}))
        paged = [item for page in pages for item in page[first]]
        if "NextToken" in whole:
            wrong.append(f"{action}: the whole is not whole")
        if len(whole[first]) <= PAGE and action not in SHORT:
            wrong.append(
                f"{action}: {len(whole[first])} do not fill a page; make more in `fill`, or say in SHORT why not"
            )
        if len(pages) != max(1, -(-len(whole[first]) // PAGE)) or any(len(page[first]) > PAGE for page in pages):
            wrong.append(f"{action}: {[len(page[first]) for page in pages]} of {len(whole[first])}")
        # EC2 promises no order.
        if sorted(map(repr, paged)) != sorted(map(repr, whole[first])):
            wrong.append(f"{action}: pages hold something else than the whole")
        if "NextToken" in pages[-1]:
            wrong.append(f"{action}: there is something after the end")
    assert not wrong, "\n".join(wrong)


def test_a_token_is_for_the_rest_only(full):
    """botocore's own way of going on later: the paginator's resume token, and a bound on items."""
    paginator = full.party.ec2.get_paginator("describe_subnets")
    whole = full.party.ec2.describe_subnets()["Subnets"]
    some = paginator.paginate(PaginationConfig={"PageSize": PAGE, "MaxItems": 3}).build_full_result()
    assert some["Subnets"] == whole[:3]
    rest = paginator.paginate(
        PaginationConfig={"PageSize": PAGE, "StartingToken": some["NextToken"]}
    ).build_full_result()
    assert some["Subnets"] + rest["Subnets"] == whole
    assert full.party.elsewhere(AWAY).ec2.describe_subnets()["Subnets"] == []
