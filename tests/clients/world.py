"""The words the tests are written in: parties, VPCs, peerings, refusals, and waiting without sleeping blindly."""

import re
import time
from contextlib import contextmanager

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from raw import Wire

HOME, AWAY = "us-east-1", "eu-west-1"
WAIT_S_MAX = 10
NOBODY = "999999999999"
UNKNOWN = "0123456789abcdef0"
NOT_A_PCX = f"pcx-{UNKNOWN}"
FAILED = "Failed due to incorrect VPC-ID, Account ID, or overlapping CIDR range"


class Cloud:
    """Clients of one running endpoint, all of them checked."""

    def __init__(self, endpoint, checker):
        self.endpoint, self.checker = endpoint, checker
        self._session = boto3.Session(region_name=HOME, aws_access_key_id="1", aws_secret_access_key="any-secret")
        checker.install(self._session)
        self._clients = {}

    def client(self, account, region=HOME, service="ec2"):
        """A boto3 client that does not retry: a refusal is an answer."""
        key = (account, region, service)
        if key not in self._clients:
            self._clients[key] = self._session.client(
                service,
                region_name=region,
                endpoint_url=self.endpoint,
                aws_access_key_id=account,
                aws_secret_access_key="any-secret",
                config=Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=30),
            )
        return self._clients[key]

    def wire(self, account, region=HOME, service="ec2"):
        """Hand-written requests of this account."""
        return Wire(self.endpoint, account, region, service, self.checker)

    def party(self, account, region=HOME):
        return Party(self, account, region)

    def advance(self, seconds):
        """Moves the Worlds' clock (only with --allow-clock)."""
        reply = self.wire("000000000000", HOME, "peerway").call("AdvanceClock", {"Seconds": str(seconds)})
        assert reply.status == 200, reply


class Party:
    """An account acting in a region."""

    def __init__(self, cloud, account, region=HOME):
        self.cloud, self.account, self.region = cloud, account, region
        self.ec2 = cloud.client(account, region)
        self.wire = cloud.wire(account, region)

    def elsewhere(self, region=AWAY):
        """The same account in another region."""
        return Party(self.cloud, self.account, region)

    def vpc(self, cidr="10.0.0.0/16", *blocks, **more):
        """An available VPC with these blocks."""
        vpc = self.ec2.create_vpc(CidrBlock=cidr, **more)["Vpc"]["VpcId"]
        eventually(lambda: self.ec2.describe_vpcs(VpcIds=[vpc])["Vpcs"][0]["State"] == "available")
        for block in blocks:
            self.ec2.associate_vpc_cidr_block(VpcId=vpc, CidrBlock=block)
        return vpc

    def subnet(self, vpc, cidr, **more):
        return self.ec2.create_subnet(VpcId=vpc, CidrBlock=cidr, **more)["Subnet"]["SubnetId"]

    def table(self, vpc):
        """A new route table."""
        return self.ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]

    def main_table(self, vpc):
        filters = filtered(vpc_id=vpc) + [{"Name": "association.main", "Values": ["true"]}]
        (table,) = self.ec2.describe_route_tables(Filters=filters)["RouteTables"]
        return table["RouteTableId"]

    def routes(self, table):
        """The routes of a table by destination."""
        found = self.ec2.describe_route_tables(RouteTableIds=[table])["RouteTables"][0]["Routes"]
        where = ("DestinationCidrBlock", "DestinationIpv6CidrBlock", "DestinationPrefixListId")
        return {next(r[w] for w in where if w in r): r for r in found}

    def group(self, vpc, name="web"):
        """A new security group."""
        return self.ec2.create_security_group(GroupName=name, Description=f"{name} servers", VpcId=vpc)["GroupId"]

    def default_group(self, vpc):
        filters = filtered(vpc_id=vpc, group_name="default")
        return self.ec2.describe_security_groups(Filters=filters)["SecurityGroups"][0]["GroupId"]

    def request(self, vpc, other, peer_vpc, **more):
        """Asks for a peering; the id of the connection."""
        return self.ask(vpc, other, peer_vpc, **more)["VpcPeeringConnectionId"]

    def ask(self, vpc, other, peer_vpc, **more):
        """Asks for a peering; the whole answer."""
        if other.account != self.account:
            more.setdefault("PeerOwnerId", other.account)
        if other.region != self.region:
            more.setdefault("PeerRegion", other.region)
        return self.ec2.create_vpc_peering_connection(VpcId=vpc, PeerVpcId=peer_vpc, **more)["VpcPeeringConnection"]

    def pending(self, vpc, other, peer_vpc):
        """A peering that waits for the other side, which sees it."""
        pcx = self.request(vpc, other, peer_vpc)
        self.until(pcx, "pending-acceptance")
        other.until(pcx, "pending-acceptance")
        return pcx

    def peer(self, vpc, other, peer_vpc):
        """An active peering, on both sides."""
        pcx = self.pending(vpc, other, peer_vpc)
        other.ec2.accept_vpc_peering_connection(VpcPeeringConnectionId=pcx)
        self.until(pcx, "active")
        other.until(pcx, "active")
        return pcx

    def peering(self, pcx):
        """What this party sees of a connection."""
        found = self.ec2.describe_vpc_peering_connections(VpcPeeringConnectionIds=[pcx])["VpcPeeringConnections"]
        assert len(found) == 1, found
        return found[0]

    def state(self, pcx):
        """The status code this party sees; None when it sees nothing."""
        try:
            return self.peering(pcx)["Status"]["Code"]
        except ClientError as e:
            if e.response["Error"]["Code"] == "InvalidVpcPeeringConnectionID.NotFound":
                return None
            raise

    def until(self, pcx, code):
        """Waits until this party sees that state, and returns what it then sees."""
        seen = []

        def there():
            now = self.state(pcx)
            if seen[-1:] != [now]:
                seen.append(now)
            return now == code

        try:
            eventually(there)
        except AssertionError:
            raise AssertionError(
                f"{pcx} went through {seen}, never {code}, for {self.account} in {self.region}"
            ) from None
        return self.peering(pcx) if code else None

    def sees(self, pcx):
        """Whether this party's list of connections has it."""
        pages = self.ec2.get_paginator("describe_vpc_peering_connections").paginate()
        return any(c["VpcPeeringConnectionId"] == pcx for page in pages for c in page["VpcPeeringConnections"])


def filtered(**named):
    """Filters from keywords: `filtered(vpc_id="vpc-1", status_code=["active", "failed"])`."""
    return [{"Name": k.replace("_", "-"), "Values": v if isinstance(v, list) else [v]} for k, v in named.items()]


def eventually(check, seconds=WAIT_S_MAX, every=0.02):
    """Asks until the answer is true, and returns it."""
    give_up = time.monotonic() + seconds
    while not (answer := check()):
        assert time.monotonic() < give_up, f"not within {seconds} s"
        time.sleep(every)
    return answer


@contextmanager
def refused(code, message=None, status=None):
    """The block must be refused with this code (or one of a tuple), and this message (text, or compiled pattern)."""
    codes = code if isinstance(code, tuple) else (code,)
    try:
        yield
    except ClientError as e:
        said = e.response["Error"]
        assert said["Code"] in codes, f"{said['Code']} ({said['Message']}), not {' or '.join(codes)}"
        same_message(said["Message"], message)
        if status is not None:
            got = e.response["ResponseMetadata"]["HTTPStatusCode"]
            assert got == status, f"{said['Code']} with {got}, not {status}"
    else:
        raise AssertionError(f"accepted, where {' or '.join(codes)} belongs")


def same_message(said, wanted):
    """`wanted` is the whole text, or a compiled pattern found in it."""
    if isinstance(wanted, re.Pattern):
        assert wanted.search(said), f"{said!r} does not match {wanted.pattern!r}"
    elif wanted is not None:
        assert said == wanted, f"{said!r}, not {wanted!r}"
