"""`peerway up` as a process: it stops cleanly, remembers, and names what stands in its way."""

import signal
import subprocess

from server import descendants, free_port, machine_state
from world import AWAY, Cloud, eventually

READY_S = 20


def story(cloud, account, other):
    """Two peered VPCs in two regions, a pending request, an instance; what of it must outlive a restart."""
    a, b = cloud.party(account), cloud.party(other, AWAY)
    mine, theirs = a.vpc("10.16.0.0/16"), b.vpc("10.17.0.0/16")
    pcx = a.peer(mine, b, theirs)
    waiting = b.pending(theirs, a, a.vpc("10.18.0.0/16"))
    table = a.main_table(mine)
    a.ec2.create_route(RouteTableId=table, DestinationCidrBlock="10.17.0.0/16", VpcPeeringConnectionId=pcx)
    a.ec2.create_tags(Resources=[pcx], Tags=[{"Key": "Name", "Value": "blue"}])
    subnet = a.subnet(mine, "10.16.1.0/24")
    run_one(a, subnet)
    eventually(lambda: states(a) == ["running"], seconds=30)
    return pcx, waiting


def run_one(party, subnet):
    run = {"ImageId": "ami-0123456789abcdef0", "InstanceType": "t3.micro", "MinCount": 1, "MaxCount": 1}
    party.ec2.run_instances(**run, SubnetId=subnet)


def states(party):
    """The states of this party's instances."""
    return [i["State"]["Name"] for r in party.ec2.describe_instances()["Reservations"] for i in r["Instances"]]


def everything(cloud, account, other):
    """All that both parties can see, without what is different in every answer."""
    seen = {}
    for party in (cloud.party(account), cloud.party(other, AWAY)):
        for word in (
            "vpcs",
            "subnets",
            "route_tables",
            "security_groups",
            "security_group_rules",
            "network_acls",
            "network_interfaces",
            "instances",
            "vpc_peering_connections",
            "tags",
        ):
            answer = getattr(party.ec2, f"describe_{word}")()
            seen[party.account, word] = {k: v for k, v in answer.items() if k != "ResponseMetadata"}
    return seen


def test_stop_is_clean_and_a_restart_remembers(own_server_factory, checker, tmp_path, new_account):
    accounts = new_account(), new_account()
    with own_server_factory(data=tmp_path) as server:
        cloud = Cloud(server.endpoint, checker)
        pcx, waiting = story(cloud, *accounts)
        before = everything(cloud, *accounts)
    with own_server_factory(data=tmp_path) as server:
        cloud = Cloud(server.endpoint, checker)
        eventually(lambda: everything(cloud, *accounts) == before)
        a = cloud.party(accounts[0])
        a.ec2.accept_vpc_peering_connection(VpcPeeringConnectionId=waiting)
        a.until(waiting, "active")
        assert a.state(pcx) == "active"


def test_stop_takes_instances_with_it_and_a_restart_brings_them_back(
    own_server_factory, checker, tmp_path, new_account
):
    """With packets: the sandboxes, devices and control groups of running instances go, their records stay."""
    account = new_account()
    for start in range(2):
        with own_server_factory(data=tmp_path, packets=True) as server:
            party = Cloud(server.endpoint, checker).party(account)
            if start == 0:
                run_one(party, party.subnet(party.vpc("10.16.0.0/16"), "10.16.1.0/24"))
            eventually(lambda party=party: states(party) == ["running"], seconds=30)
            assert descendants(server.process.pid), "an instance runs, so some process must"
            groups = machine_state()["cgroups"]
            assert not groups or any(server.prefix() in g for g in groups), f"{server.prefix()} is in none of {groups}"
    with own_server_factory(data=tmp_path, packets=True) as server:
        party = Cloud(server.endpoint, checker).party(account)
        (of,) = [i["InstanceId"] for r in party.ec2.describe_instances()["Reservations"] for i in r["Instances"]]
        party.ec2.terminate_instances(InstanceIds=[of])
        eventually(lambda: states(party) == ["terminated"], seconds=30)


def test_a_kill_loses_no_acknowledged_write(own_server_factory, checker, tmp_path, new_account):
    account = new_account()
    made = set()
    for _ in range(5):
        server = own_server_factory(data=tmp_path).start()
        try:
            party = Cloud(server.endpoint, checker).party(account)
            found = {g["GroupId"] for g in party.ec2.describe_security_groups()["SecurityGroups"]}
            assert made <= found, f"lost {made - found}"
            vpc = party.ec2.describe_vpcs()["Vpcs"]
            vpc = vpc[0]["VpcId"] if vpc else party.vpc()
            made |= {party.group(vpc, f"g{len(made) + n}") for n in range(10)}
        finally:
            family = server.kill()
        assert not server.leftovers(family).get("processes"), "children outlived their parent"


def test_what_was_on_its_way_to_another_region_arrives_after_a_kill(own_server_factory, checker, tmp_path, new_account):
    accounts = new_account(), new_account()
    server = own_server_factory(data=tmp_path).start()
    try:
        cloud = Cloud(server.endpoint, checker)
        a, b = cloud.party(accounts[0]), cloud.party(accounts[1], AWAY)
        mine, theirs = a.vpc("10.0.0.0/16"), b.vpc("10.1.0.0/16")
        pcx = a.request(mine, b, theirs)
    finally:
        server.kill()
    with own_server_factory(data=tmp_path) as server:
        cloud = Cloud(server.endpoint, checker)
        a, b = cloud.party(accounts[0]), cloud.party(accounts[1], AWAY)
        a.until(pcx, "pending-acceptance")
        b.until(pcx, "pending-acceptance")
        b.ec2.accept_vpc_peering_connection(VpcPeeringConnectionId=pcx)
        a.until(pcx, "active")
        assert len(a.ec2.describe_vpc_peering_connections()["VpcPeeringConnections"]) == 1


def test_two_live_side_by_side(own_server_factory, checker, new_account):
    account = new_account()
    with own_server_factory() as one, own_server_factory() as two:
        vpc = Cloud(one.endpoint, checker).party(account).vpc()
        seen = Cloud(two.endpoint, checker).party(account).ec2.describe_vpcs()["Vpcs"]
        assert vpc not in {v["VpcId"] for v in seen}


def refused_start(server):
    """The output of a start that must fail at once."""
    done = subprocess.run(
        [server.binary, *server.arguments], capture_output=True, text=True, timeout=READY_S, stdin=subprocess.DEVNULL
    )
    said = done.stdout + done.stderr
    assert done.returncode not in (0, -signal.SIGABRT, 101), said
    assert "panicked" not in said
    return said


def test_what_stands_in_the_way_is_named(own_server_factory, tmp_path):
    with own_server_factory(data=tmp_path) as server:
        other = own_server_factory()
        other.arguments[other.arguments.index("--listen") + 1] = f"127.0.0.1:{server.port}"
        said = refused_start(other)
        assert str(server.port) in said and "--listen" in said
        again = own_server_factory(data=tmp_path)
        said = refused_start(again)
        assert str(tmp_path) in said and "--data" in said
    nonsense = own_server_factory()
    nonsense.arguments[nonsense.arguments.index("--listen") + 1] = f"nowhere:{free_port()}x"
    assert "--listen" in refused_start(nonsense)
