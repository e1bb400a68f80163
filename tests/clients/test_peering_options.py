"""Whose names may be resolved by the peer, and who may say so (spec 5.7; Appendix B.9)."""

import pytest

from world import AWAY, NOT_A_PCX, eventually, refused

DNS = "AllowDnsResolutionFromRemoteVpc"
NOT_YOURS = "OperationNotPermitted"


def hostnames(party, vpc, value=True):
    party.ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": value})


def modify(party, pcx, **sides):
    """`modify(a, pcx, requester=True)` sets that side's DNS option; the answer comes without its metadata."""
    names = {side: f"{side.capitalize()}PeeringConnectionOptions" for side in sides}
    answer = party.ec2.modify_vpc_peering_connection_options(
        VpcPeeringConnectionId=pcx, **{names[s]: {DNS: value} for s, value in sides.items()}
    )
    return {k: v for k, v in answer.items() if k != "ResponseMetadata"}


def option(party, pcx, side):
    return party.peering(pcx)[f"{side.capitalize()}VpcInfo"]["PeeringOptions"][DNS]


def ready(first, second):
    """An active peering of two VPCs with host names on."""
    mine, theirs = first.vpc("10.0.0.0/16"), second.vpc("10.1.0.0/16")
    hostnames(first, mine)
    hostnames(second, theirs)
    return first.peer(mine, second, theirs)


def test_each_side_sets_its_own_and_both_see_it(pair):
    first, second = pair
    pcx = ready(*pair)
    answer = modify(first, pcx, requester=True)
    assert set(answer) == {"RequesterPeeringConnectionOptions"}  # only the sides that were sent
    assert answer["RequesterPeeringConnectionOptions"][DNS] is True
    answer = modify(second, pcx, accepter=True)
    assert set(answer) == {"AccepterPeeringConnectionOptions"}
    for party in pair:
        for side in ("requester", "accepter"):
            eventually(lambda: option(party, pcx, side) is True)
    modify(first, pcx, requester=False)
    for party in pair:
        eventually(lambda: option(party, pcx, "requester") is False)
        assert option(party, pcx, "accepter") is True


def test_one_account_in_one_region_sets_both_at_once(a):
    pcx = ready(a, a)
    answer = modify(a, pcx, requester=True, accepter=True)
    assert answer["RequesterPeeringConnectionOptions"][DNS] and answer["AccepterPeeringConnectionOptions"][DNS]


@pytest.mark.parametrize("value", [True, False])
def test_the_other_accounts_side_is_closed_even_unchanged(a, b, value):
    pcx = ready(a, b)
    refusal = "User {} does not have permission to modify the {} side peering options"
    for party, side in ((a, "accepter"), (b, "requester")):
        with refused(NOT_YOURS, refusal.format(party.account, side)):
            modify(party, pcx, **{side: value})
    with refused(NOT_YOURS):
        modify(a, pcx, requester=True, accepter=value)
    assert option(a, pcx, "requester") is False, "half of a refused call was done"


def test_the_other_regions_side_is_closed(a):
    there = a.elsewhere(AWAY)
    pcx = ready(a, there)
    text = "{}'s VPC Peering connection options cannot be modified for a different region"
    with refused(NOT_YOURS, text.format("Requester")):
        modify(there, pcx, requester=True)
    with refused(NOT_YOURS, text.format("Accepter")):
        modify(a, pcx, accepter=True)
    with refused(NOT_YOURS):
        modify(a, pcx, requester=True, accepter=True)
    assert option(a, pcx, "requester") is False


def test_only_active_peerings_have_options(a, b):
    mine, theirs = a.vpc("10.0.0.0/16"), b.vpc("10.1.0.0/16")
    hostnames(a, mine)
    pcx = a.pending(mine, b, theirs)
    text = f"Peering {pcx} is not active. Peering options can be added only to active peerings."
    with refused(NOT_YOURS, text):
        modify(a, pcx, requester=True)
    b.ec2.accept_vpc_peering_connection(VpcPeeringConnectionId=pcx)
    a.until(pcx, "active")
    modify(a, pcx, requester=True)
    a.ec2.delete_vpc_peering_connection(VpcPeeringConnectionId=pcx)
    a.until(pcx, "deleted")
    with refused(NOT_YOURS, text):
        modify(a, pcx, requester=True)


def test_host_names_must_be_on_where_the_option_is_set(a, b):
    mine, theirs = a.vpc("10.0.0.0/16"), b.vpc("10.1.0.0/16")
    pcx = a.peer(mine, b, theirs)
    for party, side in ((a, "requester"), (b, "accepter")):
        with refused("InvalidVpcPeeringConnectionState.DnsHostnamesDisabled"):
            modify(party, pcx, **{side: True})
    hostnames(b, theirs)
    modify(b, pcx, accepter=True)  # on in that VPC alone is enough
    with refused("InvalidVpcPeeringConnectionState.DnsHostnamesDisabled"):
        modify(a, pcx, requester=True)
    hostnames(b, theirs, False)
    assert option(b, pcx, "accepter") is True  # stays stored


def test_nothing_to_modify(a, b):
    pcx = ready(a, b)
    with refused(("MissingParameter", "InvalidParameterCombination")):
        modify(a, pcx)
    with refused("InvalidVpcPeeringConnectionID.NotFound", f"The vpcPeeringConnection ID '{NOT_A_PCX}' does not exist"):
        modify(a, NOT_A_PCX, requester=True)
    with refused("InvalidVpcPeeringConnectionId.Malformed"):
        modify(a, "pcx-1", requester=True)


@pytest.mark.parametrize(
    "flag", ["AllowEgressFromLocalClassicLinkToRemoteVpc", "AllowEgressFromLocalVpcToRemoteClassicLink"]
)
def test_classic_link_is_a_thing_of_the_past(a, b, flag):
    pcx = ready(a, b)
    change = lambda value: a.ec2.modify_vpc_peering_connection_options(
        VpcPeeringConnectionId=pcx, RequesterPeeringConnectionOptions={flag: value}
    )
    change(False)
    with refused(("InvalidParameterValue", "UnsupportedOperation")):
        change(True)
    assert a.peering(pcx)["RequesterVpcInfo"]["PeeringOptions"][flag] is False


def test_a_dry_run_of_options(a, b):
    pcx = ready(a, b)
    with refused("DryRunOperation", status=412):
        a.ec2.modify_vpc_peering_connection_options(
            VpcPeeringConnectionId=pcx, RequesterPeeringConnectionOptions={DNS: True}, DryRun=True
        )
    assert option(a, pcx, "requester") is False
