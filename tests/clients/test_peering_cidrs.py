"""Which blocks may meet in a peering, and when (spec 5.4; Appendix B.2, B.13)."""

import pytest

from world import FAILED, eventually, refused

# requester's blocks, accepter's blocks, may they peer?
OVERLAPS = {
    "the same block": (["10.0.0.0/16"], ["10.0.0.0/16"], False),
    "the accepter's is inside": (["10.0.0.0/16"], ["10.0.128.0/20"], False),
    "the requester's is inside": (["10.0.0.0/28"], ["10.0.0.0/16"], False),
    "one address in common": (["10.0.255.240/28"], ["10.0.0.0/16"], False),
    "a secondary of the requester": (["10.0.0.0/16", "10.5.0.0/16"], ["10.5.128.0/24"], False),
    "a secondary of the accepter": (["10.5.0.0/16"], ["10.0.0.0/16", "10.5.1.0/24"], False),
    "two secondaries": (["10.0.0.0/16", "10.9.0.0/16"], ["10.1.0.0/16", "10.9.0.0/16"], False),
    "neighbours": (["10.0.0.0/17"], ["10.0.128.0/17"], True),
    "last and first address": (["10.0.0.0/28"], ["10.0.0.16/28"], True),
    "many disjoint": (["10.0.0.0/16", "10.2.0.0/16"], ["10.1.0.0/16", "10.3.0.0/16"], True),
    "private and shared space": (["10.0.0.0/16"], ["100.64.0.0/16"], True),
}


@pytest.mark.parametrize("name", OVERLAPS)
@pytest.mark.parametrize("where", ["one region", "two regions"])
def test_overlap_is_a_state_and_not_an_error(name, where, a, b, far):
    mine, theirs, may = OVERLAPS[name]
    other = b if where == "one region" else far
    pcx = a.request(a.vpc(*mine), other, other.vpc(*theirs))
    if may:
        a.until(pcx, "pending-acceptance")
        return
    seen = a.until(pcx, "failed")
    assert seen["Status"]["Message"] == FAILED
    assert set(seen["RequesterVpcInfo"]) == set(seen["AccepterVpcInfo"]) == {"OwnerId", "VpcId", "Region"}
    assert "ExpirationTime" not in seen
    assert not other.sees(pcx)  # the accepter never sees it


def test_overlap_inside_one_account(a):
    pcx = a.request(a.vpc("10.0.0.0/16"), a, a.vpc("10.0.0.0/16"))
    a.until(pcx, "failed")
    text = f"Invalid state transition for {pcx}, attempted to transition from failed to deleting"
    with refused("InvalidStateTransition"):
        a.ec2.accept_vpc_peering_connection(VpcPeeringConnectionId=pcx)
    with refused("InvalidStateTransition", text):
        a.ec2.delete_vpc_peering_connection(VpcPeeringConnectionId=pcx)


def test_a_failed_request_does_not_stand_in_the_way(a, b):
    mine, theirs = a.vpc("10.0.0.0/16"), b.vpc("10.0.0.0/16")
    first, second = a.request(mine, b, theirs), a.request(mine, b, theirs)
    a.until(first, "failed")
    a.until(second, "failed")
    third = a.request(mine, b, theirs)
    assert third != first
    a.peer(mine, b, b.vpc("10.1.0.0/16"))


def test_two_peers_of_one_vpc_may_overlap_each_other(a, b, far):
    hub = a.vpc("10.0.0.0/16")
    a.peer(hub, b, b.vpc("10.1.0.0/16"))
    a.peer(hub, far, far.vpc("10.1.0.0/16"))


def test_ipv6_blocks_are_shown_and_never_collide(a, b):
    mine, theirs = (
        p.ec2.create_vpc(CidrBlock=c, AmazonProvidedIpv6CidrBlock=True)["Vpc"]["VpcId"]
        for p, c in ((a, "10.0.0.0/16"), (b, "10.1.0.0/16"))
    )
    block = eventually(
        lambda: [
            x["Ipv6CidrBlock"]
            for x in a.ec2.describe_vpcs(VpcIds=[mine])["Vpcs"][0].get("Ipv6CidrBlockAssociationSet", [])
            if x["Ipv6CidrBlockState"]["State"] == "associated"
        ]
    )[0]
    assert block.endswith("/56")
    pcx = a.peer(mine, b, theirs)
    seen = b.peering(pcx)
    assert seen["RequesterVpcInfo"]["Ipv6CidrBlockSet"] == [{"Ipv6CidrBlock": block}]
    assert seen["AccepterVpcInfo"]["Ipv6CidrBlockSet"] != seen["RequesterVpcInfo"]["Ipv6CidrBlockSet"]


# Adding a block to a VPC that has peerings (5.4.5); all inside 10.0.0.0/8 and far from 10.0.0.0/15, so that only the
# peering can be the reason (2.3.3).


def blocks(party, vpc):
    found = party.ec2.describe_vpcs(VpcIds=[vpc])["Vpcs"][0]["CidrBlockAssociationSet"]
    return {x["CidrBlock"] for x in found if x["CidrBlockState"]["State"] in ("associated", "associating")}


@pytest.mark.parametrize("side", ["requester", "accepter"])
def test_adding_to_an_active_peering(pair, side):
    first, second = pair
    mine, theirs = first.vpc("10.20.0.0/16"), second.vpc("10.30.0.0/16")
    pcx = first.peer(mine, second, theirs)
    party, vpc, taken = (first, mine, "10.30.0.0/20") if side == "requester" else (second, theirs, "10.20.0.0/20")
    with refused("InvalidVpc.Range"):
        party.ec2.associate_vpc_cidr_block(VpcId=vpc, CidrBlock=taken)
    assert len(blocks(party, vpc)) == 1
    party.ec2.associate_vpc_cidr_block(VpcId=vpc, CidrBlock="10.9.0.0/16")
    info = "RequesterVpcInfo" if side == "requester" else "AccepterVpcInfo"
    for seer in pair:
        eventually(lambda: {"CidrBlock": "10.9.0.0/16"} in seer.peering(pcx)[info]["CidrBlockSet"])
        assert seer.state(pcx) == "active"


def test_a_requester_that_waits_may_add_nothing(pair):
    first, second = pair
    mine = first.vpc("10.20.0.0/16")
    pcx = first.pending(mine, second, second.vpc("10.30.0.0/16"))
    for block in ("10.9.0.0/16", "10.30.0.0/20"):
        with refused("OperationNotPermitted"):
            first.ec2.associate_vpc_cidr_block(VpcId=mine, CidrBlock=block)
    assert blocks(first, mine) == {"10.20.0.0/16"}
    first.ec2.delete_vpc_peering_connection(VpcPeeringConnectionId=pcx)
    first.until(pcx, "deleted")
    first.ec2.associate_vpc_cidr_block(VpcId=mine, CidrBlock="10.9.0.0/16")


def test_an_accepter_that_is_asked_may_add(pair):
    first, second = pair
    theirs = second.vpc("10.30.0.0/16")
    pcx = first.pending(first.vpc("10.20.0.0/16"), second, theirs)
    second.ec2.associate_vpc_cidr_block(VpcId=theirs, CidrBlock="10.9.0.0/16")
    assert first.state(pcx) == second.state(pcx) == "pending-acceptance"
    second.ec2.accept_vpc_peering_connection(VpcPeeringConnectionId=pcx)
    seen = first.until(pcx, "active")
    assert {c["CidrBlock"] for c in seen["AccepterVpcInfo"]["CidrBlockSet"]} == {"10.30.0.0/16", "10.9.0.0/16"}


def test_an_accepter_that_adds_an_overlap_fails_the_request(pair):
    first, second = pair
    theirs = second.vpc("10.30.0.0/16")
    pcx = first.pending(first.vpc("10.20.0.0/16"), second, theirs)
    second.ec2.associate_vpc_cidr_block(VpcId=theirs, CidrBlock="10.20.4.0/24")
    assert first.until(pcx, "failed")["Status"]["Message"]
    with refused(("InvalidStateTransition", "InvalidVpcPeeringConnectionID.NotFound")):
        second.ec2.accept_vpc_peering_connection(VpcPeeringConnectionId=pcx)


def test_a_removed_block_leaves_the_peering(a, b):
    theirs = b.vpc("10.1.0.0/16")
    added = b.ec2.associate_vpc_cidr_block(VpcId=theirs, CidrBlock="10.9.0.0/16")["CidrBlockAssociation"][
        "AssociationId"
    ]
    pcx = a.peer(a.vpc("10.0.0.0/16"), b, theirs)
    b.ec2.disassociate_vpc_cidr_block(AssociationId=added)
    eventually(lambda: a.peering(pcx)["AccepterVpcInfo"]["CidrBlockSet"] == [{"CidrBlock": "10.1.0.0/16"}])
    assert a.state(pcx) == "active"
