"""Does a peering live its life as on AWS? States, messages, who sees what, who may do what (spec 5.1-5.3, 5.5, 5.6)."""

import datetime
import re

import pytest
from botocore.exceptions import WaiterError

from world import AWAY, HOME, NOBODY, NOT_A_PCX, UNKNOWN, eventually, filtered, refused, same_message

ALL = {"OwnerId", "VpcId", "Region", "CidrBlock", "CidrBlockSet", "PeeringOptions"}
IDS = {"OwnerId", "VpcId", "Region"}
OFF = {
    "AllowDnsResolutionFromRemoteVpc": False,
    "AllowEgressFromLocalClassicLinkToRemoteVpc": False,
    "AllowEgressFromLocalVpcToRemoteClassicLink": False,
}
GONE = "InvalidVpcPeeringConnectionID.NotFound"
WRONG_STATE = "InvalidStateTransition"
NOT_YOURS = "OperationNotPermitted"


def not_found(pcx):
    return f"The vpcPeeringConnection ID '{pcx}' does not exist"


def two_vpcs(pair):
    first, second = pair
    return first.vpc("10.0.0.0/16", "10.64.0.0/16"), second.vpc("10.1.0.0/16", "10.65.0.0/16")


def has(info, keys):
    """Exactly these members, and with their true values."""
    assert set(info) == keys, f"{sorted(info)}, not {sorted(keys)}"
    if "PeeringOptions" in keys:
        assert OFF.items() <= info["PeeringOptions"].items()


def hides_all(peering):
    has(peering["RequesterVpcInfo"], IDS)
    has(peering["AccepterVpcInfo"], IDS)
    assert "ExpirationTime" not in peering


# The states, their messages and what each shows (5.3, 5.6.3).


def test_create_answers_at_once_and_shows_only_the_requester(pair):
    first, second = pair
    mine, theirs = two_vpcs(pair)
    made = first.ask(mine, second, theirs)
    assert re.fullmatch(r"pcx-[0-9a-f]{17}", made["VpcPeeringConnectionId"])
    assert made["Status"] == {"Code": "initiating-request", "Message": f"Initiating Request to {second.account}"}
    week = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=7)
    assert abs((made["ExpirationTime"] - week).total_seconds()) < 60
    has(made["RequesterVpcInfo"], ALL)
    has(made["AccepterVpcInfo"], IDS)
    assert made["RequesterVpcInfo"]["OwnerId"] == first.account
    assert made["RequesterVpcInfo"]["VpcId"] == mine
    assert made["RequesterVpcInfo"]["Region"] == first.region
    assert made["RequesterVpcInfo"]["CidrBlock"] == "10.0.0.0/16"
    assert {c["CidrBlock"] for c in made["RequesterVpcInfo"]["CidrBlockSet"]} == {"10.0.0.0/16", "10.64.0.0/16"}
    assert made["AccepterVpcInfo"] == {"OwnerId": second.account, "VpcId": theirs, "Region": second.region}
    assert made.get("Tags", []) == []


def test_pending_is_seen_by_both_with_the_accepters_blocks_hidden(pair):
    first, second = pair
    mine, theirs = two_vpcs(pair)
    pcx = first.request(mine, second, theirs)
    for party in pair:
        seen = party.until(pcx, "pending-acceptance")
        assert seen["Status"]["Message"] == f"Pending Acceptance by {second.account}"
        has(seen["RequesterVpcInfo"], ALL)
        has(seen["AccepterVpcInfo"], IDS)
        assert "ExpirationTime" in seen


def test_accept_makes_it_active_with_everything_shown(pair):
    first, second = pair
    mine, theirs = two_vpcs(pair)
    pcx = first.pending(mine, second, theirs)
    accepted = second.ec2.accept_vpc_peering_connection(VpcPeeringConnectionId=pcx)["VpcPeeringConnection"]
    assert accepted["VpcPeeringConnectionId"] == pcx
    assert accepted["Status"] in (
        {"Code": "provisioning", "Message": "Provisioning"},
        {"Code": "active", "Message": "Active"},
    )
    for party in pair:
        seen = party.until(pcx, "active")
        assert seen["Status"] == {"Code": "active", "Message": "Active"}
        has(seen["RequesterVpcInfo"], ALL)
        has(seen["AccepterVpcInfo"], ALL)
        assert "ExpirationTime" not in seen
        assert seen["AccepterVpcInfo"]["CidrBlock"] == "10.1.0.0/16"
        assert {c["CidrBlock"] for c in seen["AccepterVpcInfo"]["CidrBlockSet"]} == {"10.1.0.0/16", "10.65.0.0/16"}
        assert (seen["RequesterVpcInfo"]["VpcId"], seen["AccepterVpcInfo"]["VpcId"]) == (mine, theirs)


def test_reject_ends_it(pair):
    first, second = pair
    pcx = first.pending(two_vpcs(pair)[0], second, second.vpc("10.2.0.0/16"))
    second.ec2.reject_vpc_peering_connection(VpcPeeringConnectionId=pcx)
    for party in pair:
        seen = party.until(pcx, "rejected")
        assert seen["Status"]["Message"] == f"Rejected by {second.account}"
        hides_all(seen)


@pytest.mark.parametrize("by", ["requester", "accepter"])
def test_delete_of_an_active_one_by_either(pair, by):
    first, second = pair
    mine, theirs = two_vpcs(pair)
    pcx = first.peer(mine, second, theirs)
    actor = first if by == "requester" else second
    actor.ec2.delete_vpc_peering_connection(VpcPeeringConnectionId=pcx)
    for party in pair:
        seen = party.until(pcx, "deleted")
        assert seen["Status"]["Message"] == f"Deleted by {actor.account}"
        hides_all(seen)


def test_delete_of_a_pending_one_by_the_requester(pair):
    first, second = pair
    mine, theirs = two_vpcs(pair)
    pcx = first.pending(mine, second, theirs)
    first.ec2.delete_vpc_peering_connection(VpcPeeringConnectionId=pcx)
    for party in pair:
        seen = party.until(pcx, "deleted")
        assert seen["Status"]["Message"] == f"Deleted by {first.account}"
        hides_all(seen)


def test_a_deleted_pair_peers_again_under_a_new_id(pair):
    first, second = pair
    mine, theirs = two_vpcs(pair)
    old = first.peer(mine, second, theirs)
    first.ec2.delete_vpc_peering_connection(VpcPeeringConnectionId=old)
    first.until(old, "deleted")
    second.until(old, "deleted")
    new = first.peer(mine, second, theirs)
    assert new != old
    assert first.state(old) == "deleted"


# Who may do what (5.3.1, 5.3.2), requester and accepter in two accounts of one region.


def bring_to(state, a, b):
    """A connection in this state, as the requester sees it."""
    mine, theirs = a.vpc("10.0.0.0/16"), b.vpc("10.0.0.0/16" if state == "failed" else "10.1.0.0/16")
    if state == "failed":
        pcx = a.request(mine, b, theirs)
    elif state in ("active", "deleted"):
        pcx = a.peer(mine, b, theirs)
    else:
        pcx = a.pending(mine, b, theirs)
    if state == "rejected":
        b.ec2.reject_vpc_peering_connection(VpcPeeringConnectionId=pcx)
    if state == "deleted":
        a.ec2.delete_vpc_peering_connection(VpcPeeringConnectionId=pcx)
    a.until(pcx, state)
    return pcx


ACTIONS = {
    "accept": (lambda p, pcx: p.ec2.accept_vpc_peering_connection(VpcPeeringConnectionId=pcx), "(provisioning|active)"),
    "reject": (lambda p, pcx: p.ec2.reject_vpc_peering_connection(VpcPeeringConnectionId=pcx), "rejected"),
    "delete": (lambda p, pcx: p.ec2.delete_vpc_peering_connection(VpcPeeringConnectionId=pcx), "deleting"),
}
FORBIDDEN = [
    # state, who, what, code; where party and state are both wrong, AWS does not document which it names
    ("pending-acceptance", "requester", "accept", NOT_YOURS),
    ("pending-acceptance", "requester", "reject", NOT_YOURS),
    ("pending-acceptance", "accepter", "delete", NOT_YOURS),
    ("active", "requester", "accept", (NOT_YOURS, WRONG_STATE)),
    ("active", "requester", "reject", (NOT_YOURS, WRONG_STATE)),
    ("active", "accepter", "accept", WRONG_STATE),
    ("active", "accepter", "reject", WRONG_STATE),
    ("failed", "requester", "accept", (NOT_YOURS, WRONG_STATE)),
    ("failed", "requester", "reject", (NOT_YOURS, WRONG_STATE)),
    ("failed", "requester", "delete", WRONG_STATE),
    ("failed", "accepter", "accept", GONE),
    ("failed", "accepter", "reject", GONE),
    ("failed", "accepter", "delete", GONE),
    ("rejected", "requester", "accept", (NOT_YOURS, WRONG_STATE)),
    ("rejected", "requester", "delete", WRONG_STATE),
    ("rejected", "accepter", "accept", WRONG_STATE),
    ("rejected", "accepter", "reject", WRONG_STATE),
    ("rejected", "accepter", "delete", WRONG_STATE),
    ("deleted", "requester", "delete", WRONG_STATE),
    ("deleted", "accepter", "accept", WRONG_STATE),
    ("deleted", "accepter", "reject", WRONG_STATE),
    ("deleted", "accepter", "delete", WRONG_STATE),
]


@pytest.mark.parametrize("state", sorted({row[0] for row in FORBIDDEN}))
def test_forbidden_in_this_state_and_nothing_changes(state, a, b):
    pcx = bring_to(state, a, b)
    for _, who, what, code in [row for row in FORBIDDEN if row[0] == state]:
        call, target = ACTIONS[what]
        text = {
            GONE: not_found(pcx),
            WRONG_STATE: re.compile(
                f"^Invalid state transition for {pcx}, attempted to transition from {state} to {target}$"
            ),
        }.get(code)
        if (state, who, what) == ("pending-acceptance", "requester", "accept"):
            text = f"User {a.account} cannot accept peering {pcx}"
        with refused(code, text, status=400):
            call(a if who == "requester" else b, pcx)
        assert a.state(pcx) == state


def test_an_outsider_sees_and_does_nothing(a, b, cloud, new_account):
    pcx = a.peer(a.vpc("10.0.0.0/16"), b, b.vpc("10.1.0.0/16"))
    outsider = cloud.party(new_account())
    for call, _ in ACTIONS.values():
        for party in (outsider, a.elsewhere(), b.elsewhere()):
            with refused(GONE, not_found(pcx)):
                call(party, pcx)
    with refused(GONE, not_found(pcx)):
        outsider.peering(pcx)
    assert not outsider.sees(pcx)
    assert not a.elsewhere().sees(pcx)
    with refused(GONE, not_found(pcx)):
        outsider.ec2.modify_vpc_peering_connection_options(
            VpcPeeringConnectionId=pcx, AccepterPeeringConnectionOptions={"AllowDnsResolutionFromRemoteVpc": True}
        )
    assert a.state(pcx) == "active"


@pytest.mark.parametrize("what", ["accept", "reject", "delete"])
def test_unknown_and_malformed_ids(a, what):
    call, _ = ACTIONS[what]
    with refused(GONE, not_found(NOT_A_PCX), status=400):
        call(a, NOT_A_PCX)
    for bad in ("pcx-1", "vpc-0123456789abcdef0", "pcx-0123456789ABCDEF0", "pcx-0123456789abcdef0 ", ""):
        with refused(
            ("InvalidVpcPeeringConnectionId.Malformed", "MissingParameter")
            if not bad
            else "InvalidVpcPeeringConnectionId.Malformed"
        ):
            call(a, bad)
    with refused(GONE):
        call(a, "pcx-01234567")  # the old, short form is well-formed


def test_describe_fails_whole_for_one_unknown_id(a, b):
    pcx = a.peer(a.vpc("10.0.0.0/16"), b, b.vpc("10.1.0.0/16"))
    with refused(GONE, not_found(NOT_A_PCX)):
        a.ec2.describe_vpc_peering_connections(VpcPeeringConnectionIds=[pcx, NOT_A_PCX])
    found = a.ec2.describe_vpc_peering_connections(Filters=filtered(vpc_peering_connection_id=NOT_A_PCX))
    assert found["VpcPeeringConnections"] == []


# Two regions (5.6; Appendix B.10).


def test_acceptance_belongs_to_the_accepters_region(a):
    there = a.elsewhere(AWAY)
    pcx = a.pending(a.vpc("10.0.0.0/16"), there, there.vpc("10.1.0.0/16"))
    wrong = f"Incorrect region ({HOME}) specified for this request. VPC peering connection {pcx} must be"
    with refused(NOT_YOURS, f"{wrong} accepted in region {AWAY}"):
        a.ec2.accept_vpc_peering_connection(VpcPeeringConnectionId=pcx)
    with refused(NOT_YOURS, f"{wrong} accepted or rejected in region {AWAY}"):
        a.ec2.reject_vpc_peering_connection(VpcPeeringConnectionId=pcx)
    assert a.state(pcx) == there.state(pcx) == "pending-acceptance"
    there.ec2.accept_vpc_peering_connection(VpcPeeringConnectionId=pcx)
    assert a.until(pcx, "active")["VpcPeeringConnectionId"] == there.until(pcx, "active")["VpcPeeringConnectionId"]


def test_the_accepting_account_must_come_to_its_own_region(a, far):
    pcx = a.pending(a.vpc("10.0.0.0/16"), far, far.vpc("10.1.0.0/16"))
    with refused(NOT_YOURS, re.compile(f"^Incorrect region \\({HOME}\\) specified")):
        far.elsewhere(HOME).ec2.accept_vpc_peering_connection(VpcPeeringConnectionId=pcx)
    with refused(NOT_YOURS):
        a.ec2.accept_vpc_peering_connection(VpcPeeringConnectionId=pcx)
    with refused(GONE, not_found(pcx)):
        a.elsewhere(AWAY).ec2.accept_vpc_peering_connection(VpcPeeringConnectionId=pcx)
    assert a.state(pcx) == "pending-acceptance"


# What Create refuses, and what becomes `failed` instead, so that nobody learns what exists (5.4.2, 5.5).


def test_create_refuses_what_it_may_tell(a, b):
    mine, foreign, gone = a.vpc("10.0.0.0/16"), b.vpc("10.1.0.0/16"), f"vpc-{UNKNOWN}"
    missing = lambda vpc: f"The vpc ID '{vpc}' does not exist"
    malformed = ("InvalidVpcId.Malformed", "InvalidVpcID.Malformed")
    table = [
        ({"PeerVpcId": gone}, "InvalidVpcID.NotFound", missing(gone)),
        ({"PeerVpcId": foreign}, "InvalidVpcID.NotFound", missing(foreign)),
        ({"VpcId": gone, "PeerVpcId": mine}, "InvalidVpcID.NotFound", missing(gone)),
        ({"VpcId": foreign, "PeerVpcId": mine}, "InvalidVpcID.NotFound", missing(foreign)),
        ({"PeerVpcId": "vpc-x"}, malformed, 'Invalid id: "vpc-x" (expecting "vpc-...")'),
        ({"VpcId": "subnet-0123456789abcdef0", "PeerVpcId": mine}, malformed, None),
        ({"PeerVpcId": mine}, "InvalidParameterValue", None),
        ({"PeerVpcId": mine, "PeerOwnerId": a.account}, "InvalidParameterValue", None),
        ({"PeerVpcId": foreign, "PeerOwnerId": "12345678901"}, "InvalidParameterValue", None),
        ({"PeerVpcId": foreign, "PeerOwnerId": "1234567890123"}, "InvalidParameterValue", None),
        ({"PeerVpcId": foreign, "PeerOwnerId": "amazon"}, "InvalidParameterValue", None),
        ({"PeerVpcId": foreign, "PeerRegion": "us-nowhere-1"}, ("InvalidParameterValue", "InvalidRegion"), None),
    ]
    for parameters, code, text in table:
        with refused(code, text, status=400):
            a.ec2.create_vpc_peering_connection(**{"VpcId": mine, **parameters})
    for left_out in ("VpcId", "PeerVpcId"):
        given = {k: v for k, v in {"VpcId": mine, "PeerVpcId": foreign}.items() if k != left_out}
        reply = a.wire.call("CreateVpcPeeringConnection", given)
        assert reply.code == "MissingParameter", reply
        same_message(reply.message, re.compile(re.escape(left_out), re.IGNORECASE))
    assert a.ec2.describe_vpc_peering_connections()["VpcPeeringConnections"] == []


def test_what_another_account_or_region_has_is_not_told(a, b):
    mine, foreign, gone = a.vpc("10.0.0.0/16"), b.vpc("10.1.0.0/16"), f"vpc-{UNKNOWN}"
    wrong = [
        {"PeerVpcId": gone, "PeerOwnerId": b.account},
        {"PeerVpcId": foreign, "PeerOwnerId": NOBODY},
        {"PeerVpcId": gone, "PeerRegion": AWAY},
        {"PeerVpcId": foreign, "PeerOwnerId": b.account, "PeerRegion": AWAY},
        {"PeerVpcId": mine, "PeerOwnerId": b.account},
    ]
    answers = []
    for parameters in wrong:
        made = a.ec2.create_vpc_peering_connection(VpcId=mine, **parameters)["VpcPeeringConnection"]
        assert made["Status"]["Code"] in ("initiating-request", "failed")
        seen = a.until(made["VpcPeeringConnectionId"], "failed")
        hides_all(seen)
        answers.append(seen["Status"]["Message"])
        assert not b.sees(made["VpcPeeringConnectionId"])
    assert set(answers) == {"Failed due to incorrect VPC-ID, Account ID, or overlapping CIDR range"}


def test_same_direction_again_is_the_same_one(pair):
    first, second = pair
    mine, theirs = two_vpcs(pair)
    tags = [{"ResourceType": "vpc-peering-connection", "Tags": [{"Key": "n", "Value": "1"}]}]
    pcx = first.pending(mine, second, theirs)
    again = first.ask(mine, second, theirs, TagSpecifications=tags)
    assert again["VpcPeeringConnectionId"] == pcx
    assert again["Status"]["Code"] == "pending-acceptance"
    assert first.peering(pcx).get("Tags", []) == []
    second.ec2.accept_vpc_peering_connection(VpcPeeringConnectionId=pcx)
    first.until(pcx, "active")
    again = first.ask(mine, second, theirs)
    assert (again["VpcPeeringConnectionId"], again["Status"]["Code"]) == (pcx, "active")


def test_the_reverse_is_a_second_one_that_cannot_be_accepted(pair):
    first, second = pair
    mine, theirs = two_vpcs(pair)
    pcx = first.peer(mine, second, theirs)
    reverse = second.pending(theirs, first, mine)
    assert reverse != pcx
    text = f"The vpc peering connection identified by {reverse} already exists."
    with refused("VpcPeeringConnectionAlreadyExists", text):
        first.ec2.accept_vpc_peering_connection(VpcPeeringConnectionId=reverse)
    assert first.state(reverse) == "pending-acceptance"
    first.ec2.reject_vpc_peering_connection(VpcPeeringConnectionId=reverse)
    second.until(reverse, "rejected")
    assert first.state(pcx) == "active"


def test_two_requests_towards_each_other_make_one_peering(a, b):
    mine, theirs = a.vpc("10.0.0.0/16"), b.vpc("10.1.0.0/16")
    there, back = a.pending(mine, b, theirs), b.pending(theirs, a, mine)
    assert there != back
    b.ec2.accept_vpc_peering_connection(VpcPeeringConnectionId=there)
    a.until(there, "active")
    with refused("VpcPeeringConnectionAlreadyExists"):
        a.ec2.accept_vpc_peering_connection(VpcPeeringConnectionId=back)
    b.ec2.delete_vpc_peering_connection(VpcPeeringConnectionId=back)
    b.until(back, "deleted")
    a.until(there, "active")


# Tags of each side (1.4.4, 5.12), filters, pages, waiters, dry runs.


def test_each_side_has_tags_of_its_own(pair):
    first, second = pair
    mine, theirs = two_vpcs(pair)
    spec = [{"ResourceType": "vpc-peering-connection", "Tags": [{"Key": "Side", "Value": "requester"}]}]
    made = first.ask(mine, second, theirs, TagSpecifications=spec)
    pcx, requester_tags = made["VpcPeeringConnectionId"], [{"Key": "Side", "Value": "requester"}]
    assert made["Tags"] == requester_tags
    first.until(pcx, "pending-acceptance")
    second.until(pcx, "pending-acceptance")
    together = first.account == second.account and first.region == second.region
    if not together:
        assert second.peering(pcx).get("Tags", []) == []
        second.ec2.create_tags(Resources=[pcx], Tags=[{"Key": "Side", "Value": "accepter"}])
        assert second.peering(pcx)["Tags"] == [{"Key": "Side", "Value": "accepter"}]
    assert first.peering(pcx)["Tags"] == requester_tags
    second.ec2.accept_vpc_peering_connection(VpcPeeringConnectionId=pcx)
    first.until(pcx, "active")
    first.ec2.delete_vpc_peering_connection(VpcPeeringConnectionId=pcx)
    assert first.until(pcx, "deleted")["Tags"] == requester_tags  # until purge
    if not together:
        assert second.until(pcx, "deleted")["Tags"] == [{"Key": "Side", "Value": "accepter"}]


def test_tagging_anothers_peering_is_not_possible(a, b, cloud, new_account):
    pcx = a.pending(a.vpc("10.0.0.0/16"), b, b.vpc("10.1.0.0/16"))
    with refused(GONE):
        cloud.party(new_account()).ec2.create_tags(Resources=[pcx], Tags=[{"Key": "mine", "Value": ""}])


def test_every_filter_of_describe(a, b):
    mine, other, theirs = a.vpc("10.0.0.0/16"), a.vpc("10.2.0.0/16"), b.vpc("10.1.0.0/16")
    active = a.peer(mine, b, theirs)
    waiting = a.pending(other, b, theirs)
    a.ec2.create_tags(Resources=[active], Tags=[{"Key": "Name", "Value": "blue"}])
    expires = a.wire.call("DescribeVpcPeeringConnections", {"VpcPeeringConnectionId.1": waiting}).text("expirationTime")

    def found(filters):
        return {
            p["VpcPeeringConnectionId"]
            for p in a.ec2.describe_vpc_peering_connections(Filters=filters)["VpcPeeringConnections"]
        }

    one = lambda name, *values: [{"Name": name, "Values": list(values)}]
    table = [
        (one("requester-vpc-info.vpc-id", mine), {active}),
        (one("requester-vpc-info.owner-id", a.account), {active, waiting}),
        (one("requester-vpc-info.cidr-block", "10.2.0.0/16"), {waiting}),
        (one("requester-vpc-info.cidr-block", "10.?.0.0/16"), {active, waiting}),
        (one("accepter-vpc-info.vpc-id", theirs), {active, waiting}),
        (one("accepter-vpc-info.owner-id", b.account), {active, waiting}),
        (one("accepter-vpc-info.owner-id", a.account), set()),
        (one("accepter-vpc-info.cidr-block", "10.1.0.0/16"), {active}),  # hidden while pending: no oracle
        (one("expiration-time", expires), {waiting}),
        (one("status-code", "active"), {active}),
        (one("status-code", "Active"), set()),  # values are case-sensitive
        (one("status-code", "active", "pending-acceptance"), {active, waiting}),
        (one("status-message", "Pending*"), {waiting}),
        (one("vpc-peering-connection-id", active), {active}),
        (one("tag:Name", "blue"), {active}),
        (one("tag:Name", "b*"), {active}),
        (one("tag:name", "blue"), set()),
        (one("tag-key", "Name"), {active}),
        (one("status-code", "active") + one("tag-key", "Name"), {active}),
        (one("status-code", "pending-acceptance") + one("tag-key", "Name"), set()),
    ]
    for filters, wanted in table:
        assert found(filters) == wanted, filters
    with refused("InvalidParameterValue", "The filter 'vpc-id' is invalid"):
        found(one("vpc-id", mine))


def test_pages_are_stable_and_complete(a, b, cloud, new_account):
    c = cloud.party(new_account())
    mine = [a.vpc(f"10.{n}.0.0/16") for n in range(3)]
    theirs = [(p, p.vpc(f"10.{10 + n}.0.0/16")) for p in (b, c) for n in range(2)]
    made = {a.request(vpc, party, peer) for vpc in mine for party, peer in theirs}
    assert len(made) == 12
    sizes, ids, token = [], [], None
    for _ in range(5):
        page = a.ec2.describe_vpc_peering_connections(MaxResults=5, **({"NextToken": token} if token else {}))
        sizes.append(len(page["VpcPeeringConnections"]))
        ids += [p["VpcPeeringConnectionId"] for p in page["VpcPeeringConnections"]]
        token = page.get("NextToken")
        if not token:
            break
    assert sizes == [5, 5, 2]
    assert len(ids) == 12 and set(ids) == made
    assert "NextToken" not in a.ec2.describe_vpc_peering_connections()
    for bad in ("4", "1001", "0", "-1", "ten", ""):
        reply = a.wire.call("DescribeVpcPeeringConnections", {"MaxResults": bad})
        assert reply.code in ("InvalidParameterValue", "InvalidMaxResults"), (bad, reply)
    with refused(("InvalidNextToken", "InvalidPaginationToken")):
        a.ec2.describe_vpc_peering_connections(MaxResults=5, NextToken="garbage")


def test_a_page_token_is_no_key_to_another_account(a, b):
    mine = [a.vpc(f"10.{n}.0.0/16") for n in range(3)]
    theirs = [b.vpc(f"10.{10 + n}.0.0/16") for n in range(2)]
    for vpc in mine:
        for peer in theirs:
            a.request(vpc, b, peer)
    token = a.ec2.describe_vpc_peering_connections(MaxResults=5)["NextToken"]
    stranger = b.cloud.party(NOBODY)
    reply = stranger.wire.call("DescribeVpcPeeringConnections", {"MaxResults": "5", "NextToken": token})
    assert b"pcx-" not in reply.body


def test_the_sdk_waiters(a, b):
    fast = {"WaiterConfig": {"Delay": 0.05, "MaxAttempts": 100}}
    pcx = a.request(a.vpc("10.0.0.0/16"), b, b.vpc("10.1.0.0/16"))
    for party in (a, b):
        party.ec2.get_waiter("vpc_peering_connection_exists").wait(VpcPeeringConnectionIds=[pcx], **fast)
    b.until(pcx, "pending-acceptance")
    b.ec2.accept_vpc_peering_connection(VpcPeeringConnectionId=pcx)
    a.until(pcx, "active")
    deleted = a.ec2.get_waiter("vpc_peering_connection_deleted")
    with pytest.raises(WaiterError):
        deleted.wait(VpcPeeringConnectionIds=[pcx], WaiterConfig={"Delay": 0.01, "MaxAttempts": 3})
    a.ec2.delete_vpc_peering_connection(VpcPeeringConnectionId=pcx)
    deleted.wait(VpcPeeringConnectionIds=[pcx], **fast)
    deleted.wait(VpcPeeringConnectionIds=[NOT_A_PCX], **fast)  # NotFound is success


def test_dry_runs_change_nothing(a, b):
    mine, theirs = a.vpc("10.0.0.0/16"), b.vpc("10.1.0.0/16")
    dry = lambda: refused("DryRunOperation", "Request would have succeeded, but DryRun flag is set.", status=412)
    with dry():
        a.ask(mine, b, theirs, DryRun=True)
    assert a.ec2.describe_vpc_peering_connections()["VpcPeeringConnections"] == []
    pcx = a.pending(mine, b, theirs)
    for party, call in [
        (b, b.ec2.accept_vpc_peering_connection),
        (b, b.ec2.reject_vpc_peering_connection),
        (a, a.ec2.delete_vpc_peering_connection),
    ]:
        with dry():
            call(VpcPeeringConnectionId=pcx, DryRun=True)
        assert party.state(pcx) == "pending-acceptance"
    with dry():
        a.ec2.describe_vpc_peering_connections(DryRun=True)


# Quotas (5.5.4, ch. 13).


def test_outstanding_requests_are_limited(a, cloud, new_account):
    mine = [a.vpc(f"10.{n}.0.0/16") for n in range(5)]
    others = [cloud.party(new_account()) for _ in range(2)]
    theirs = [(p, p.vpc(f"10.{10 + n}.0.0/16")) for p in others for n in range(3)]
    pairs = [(vpc, party, peer) for vpc in mine for party, peer in theirs]
    made = [a.request(*pair) for pair in pairs[:25]]
    for pcx in made:
        a.until(pcx, "pending-acceptance")
    limit = ("OutstandingVpcPeeringConnectionLimitExceeded", "PendingVpcPeeringConnectionLimitExceeded")
    with refused(limit):
        a.request(*pairs[25])
    assert a.request(*pairs[0]) == made[0]  # the one that is there already is no new request
    a.ec2.delete_vpc_peering_connection(VpcPeeringConnectionId=made[0])
    a.until(made[0], "deleted")
    a.request(*pairs[25])


def test_active_peerings_of_a_vpc_are_limited(a, cloud, new_account):
    hub = a.vpc("10.0.0.0/16")
    parties = [cloud.party(new_account()) for _ in range(11)]
    spokes = [(p, p.vpc(f"10.{1 + 5 * i + n}.0.0/16")) for i, p in enumerate(parties) for n in range(5)][:51]
    for party, vpc in spokes[:50]:
        party.peer(vpc, a, hub)
    party, vpc = spokes[50]
    pcx = party.pending(vpc, a, hub)
    limit = ("ActiveVpcPeeringConnectionPerVpcLimitExceeded", "VpcPeeringConnectionsPerVpcLimitExceeded")
    with refused(limit):
        a.ec2.accept_vpc_peering_connection(VpcPeeringConnectionId=pcx)
    assert a.state(pcx) == "pending-acceptance"


# The VPC underneath (2.7.2).


def test_a_vpc_with_an_active_peering_stays(pair):
    first, second = pair
    mine, theirs = first.vpc("10.0.0.0/16"), second.vpc("10.1.0.0/16")
    pcx = first.peer(mine, second, theirs)
    for party, vpc in ((first, mine), (second, theirs)):
        with refused("DependencyViolation", f"The vpc '{vpc}' has dependencies and cannot be deleted."):
            party.ec2.delete_vpc(VpcId=vpc)
    first.ec2.delete_vpc_peering_connection(VpcPeeringConnectionId=pcx)
    for party, vpc in ((first, mine), (second, theirs)):
        party.until(pcx, "deleted")
        party.ec2.delete_vpc(VpcId=vpc)


def test_a_vpc_with_a_pending_request(a, b):
    mine, theirs = a.vpc("10.0.0.0/16"), b.vpc("10.1.0.0/16")
    pcx = a.pending(mine, b, theirs)
    with refused("DependencyViolation"):
        b.ec2.delete_vpc(VpcId=theirs)
    a.ec2.delete_vpc(VpcId=mine)
    assert a.until(pcx, "deleted")
    assert b.until(pcx, "deleted")
    eventually(lambda: b.ec2.delete_vpc(VpcId=theirs))
