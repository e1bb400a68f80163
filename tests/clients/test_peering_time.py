"""What time does to a peering: a request expires, what has ended is forgotten (spec 5.3.3, 5.3.4).

On a server of its own, whose clock the test moves; signatures keep real time.
"""

import pytest

from world import AWAY, HOME, refused

HOUR, DAY = 3600, 86400
GONE = "InvalidVpcPeeringConnectionID.NotFound"
SLACK = 300  # the test itself takes time


@pytest.fixture(params=["one region", "two regions"])
def sides(request, clocked, new_account):
    return clocked.party(new_account(), HOME), clocked.party(
        new_account(), HOME if request.param == "one region" else AWAY
    )


def test_a_request_left_alone_expires_after_seven_days(clocked, sides):
    first, second = sides
    mine, theirs = first.vpc("10.0.0.0/16"), second.vpc("10.1.0.0/16")
    pcx = first.pending(mine, second, theirs)
    clocked.advance(7 * DAY - SLACK)
    assert first.state(pcx) == second.state(pcx) == "pending-acceptance"
    clocked.advance(2 * SLACK)
    for party in sides:
        seen = party.until(pcx, "expired")
        assert seen["Status"]["Message"] == "Expired"
        assert set(seen["RequesterVpcInfo"]) == set(seen["AccepterVpcInfo"]) == {"OwnerId", "VpcId", "Region"}
        assert "ExpirationTime" not in seen
    for call in (second.ec2.accept_vpc_peering_connection, second.ec2.reject_vpc_peering_connection):
        with refused("InvalidStateTransition"):
            call(VpcPeeringConnectionId=pcx)
    text = f"Invalid state transition for {pcx}, attempted to transition from expired to deleting"
    with refused("InvalidStateTransition", text):
        first.ec2.delete_vpc_peering_connection(VpcPeeringConnectionId=pcx)
    again = first.pending(mine, second, theirs)
    assert again != pcx
    clocked.advance(2 * DAY + SLACK)
    for party in sides:
        party.until(pcx, None)
        assert party.state(again) == "pending-acceptance"


def test_an_accepted_request_does_not_expire(clocked, sides):
    first, second = sides
    pcx = first.peer(first.vpc("10.0.0.0/16"), second, second.vpc("10.1.0.0/16"))
    clocked.advance(30 * DAY)
    assert first.state(pcx) == second.state(pcx) == "active"


# How long each side still sees what has ended: state, requester's seconds, accepter's seconds.
MEMORY = [
    ("failed", 2 * HOUR, 0),
    ("rejected", 2 * DAY, 2 * HOUR),
    ("deleted by the requester", 2 * HOUR, 2 * DAY),
    ("deleted by the accepter", 2 * DAY, 2 * HOUR),
]


@pytest.mark.parametrize("end, requester_s, accepter_s", MEMORY)
def test_what_has_ended_is_forgotten_in_time(clocked, sides, end, requester_s, accepter_s):
    first, second = sides
    mine, theirs = first.vpc("10.0.0.0/16"), second.vpc("10.0.0.0/16" if end == "failed" else "10.1.0.0/16")
    if end == "failed":
        pcx = first.request(mine, second, theirs)
    elif end == "rejected":
        pcx = first.pending(mine, second, theirs)
        second.ec2.reject_vpc_peering_connection(VpcPeeringConnectionId=pcx)
    else:
        pcx = first.peer(mine, second, theirs)
        actor = first if "requester" in end else second
        actor.ec2.delete_vpc_peering_connection(VpcPeeringConnectionId=pcx)
    state = end.split()[0]
    first.until(pcx, state)
    second.until(pcx, state if accepter_s else None)
    passed = 0
    for until in sorted({requester_s, accepter_s} - {0}):
        clocked.advance(until - SLACK - passed)
        passed = until - SLACK
        for party, period in ((first, requester_s), (second, accepter_s)):
            assert party.state(pcx) == (state if period >= until else None), f"at {passed} s"
        clocked.advance(2 * SLACK)
        passed += 2 * SLACK
        for party, period in ((first, requester_s), (second, accepter_s)):
            party.until(pcx, state if period > until else None)
    for party in sides:
        with refused(GONE, f"The vpcPeeringConnection ID '{pcx}' does not exist"):
            party.peering(pcx)
        assert not party.sees(pcx)


@pytest.mark.parametrize("end", ["rejected", "deleted"])
def test_one_account_on_both_sides_forgets_in_two_hours(clocked, new_account, end):
    both = clocked.party(new_account())
    mine, theirs = both.vpc("10.0.0.0/16"), both.vpc("10.1.0.0/16")
    pcx = both.pending(mine, both, theirs)
    call = both.ec2.reject_vpc_peering_connection if end == "rejected" else both.ec2.delete_vpc_peering_connection
    call(VpcPeeringConnectionId=pcx)
    both.until(pcx, end)
    clocked.advance(2 * HOUR - SLACK)
    assert both.state(pcx) == end
    clocked.advance(2 * SLACK)
    both.until(pcx, None)


def test_the_clock_moves_only_where_it_may(cloud):
    """`up` without --allow-clock must not let anybody move time; and it never moves back."""
    reply = cloud.wire("000000000000", HOME, "peerway").call("AdvanceClock", {"Seconds": "60"})
    assert 400 <= reply.status < 500, reply


@pytest.mark.parametrize("seconds", ["-1", "soon", "", "1e3", "99999999999999999999"])
def test_the_clock_takes_only_sensible_steps(clocked, seconds):
    reply = clocked.wire("000000000000", HOME, "peerway").call("AdvanceClock", {"Seconds": seconds})
    assert 400 <= reply.status < 500, reply
