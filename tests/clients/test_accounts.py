"""Real keys, roles between accounts, TLS: `peerway up --strict-auth` as boto3 sees it (spec 1.5, 1.6)."""

import json
import os
import subprocess

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, SSLError

from raw import VERSIONS, Key, Wire, well_formed
from world import HOME

NETWORK, SHOP = "111111111111", "222222222222"
NETOPS = f"arn:aws:iam::{SHOP}:role/netops"
ONCE = Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=30)
IDENTITY = [("Action", "GetCallerIdentity"), ("Version", VERSIONS["sts"])]


class Strict:
    """A strict cloud, its operator's commands, and sessions of its accounts."""

    def __init__(self, server, checker, endpoint=None, verify=None):
        self.server, self.checker = server, checker
        self.endpoint, self.verify = endpoint or server.endpoint, verify

    def run(self, *arguments):
        """What an operator's command prints."""
        data = str(self.server.data / "state")
        command = [self.server.binary, *arguments, "--output", "json", "--data", data, "--endpoint", self.endpoint]
        env = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, env=env)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def key(self, account):
        made = self.run("key", "create", "--account", account)
        return made["access_key_id"], made["secret_access_key"]

    def session(self, key, secret, token=None):
        session = boto3.Session(key, secret, token, region_name=HOME)
        self.checker.install(session)
        return session

    def client(self, session, service):
        return session.client(service, endpoint_url=self.endpoint, config=ONCE, verify=self.verify)

    def assume(self, session, role=NETOPS, **more):
        given = self.client(session, "sts").assume_role(RoleArn=role, RoleSessionName="work", **more)["Credentials"]
        return self.session(given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"])


@pytest.fixture
def strict(own_server_factory, checker):
    with own_server_factory(clock=True, extra=("--strict-auth",)) as server:
        yield Strict(server, checker)


def code(call, *arguments, **parameters):
    with pytest.raises(ClientError) as refused:
        call(*arguments, **parameters)
    answer = refused.value.response
    return answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]


def test_two_accounts_and_a_role_between_them(strict):
    strict.run("account", "create", "shop", "--account", SHOP)
    network, shop = (strict.session(*strict.key(account)) for account in (NETWORK, SHOP))
    assert strict.client(network, "sts").get_caller_identity()["Account"] == NETWORK
    assert code(strict.assume, network) == ("AccessDenied", 403)
    strict.run("account", "trust", NETOPS, "--by", NETWORK, "--external-id", "shop-7")
    for more in ({}, {"ExternalId": "shop-8"}):
        assert code(strict.assume, network, **more) == ("AccessDenied", 403)
    assert code(strict.assume, shop, ExternalId="shop-7") == ("AccessDenied", 403), "the list is complete"
    netops = strict.assume(network, ExternalId="shop-7")
    me = strict.client(netops, "sts").get_caller_identity()
    assert (me["Account"], me["Arn"]) == (SHOP, f"arn:aws:sts::{SHOP}:assumed-role/netops/work")
    vpc = strict.client(netops, "ec2").create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]
    assert vpc["OwnerId"] == SHOP
    assert strict.client(shop, "ec2").describe_vpcs(VpcIds=[vpc["VpcId"]])["Vpcs"]
    assert code(strict.client(network, "ec2").describe_vpcs, VpcIds=[vpc["VpcId"]])[0] == "InvalidVpcID.NotFound"
    strict.run("account", "untrust", NETOPS)
    assert code(strict.client(netops, "ec2").describe_vpcs) == ("AuthFailure", 401)


def test_a_session_that_is_over(strict):
    own = strict.session(*strict.key(NETWORK))
    session = strict.client(own, "sts").get_session_token(DurationSeconds=900)["Credentials"]
    session = strict.session(session["AccessKeyId"], session["SecretAccessKey"], session["SessionToken"])
    assert strict.client(session, "sts").get_caller_identity()["Arn"] == f"arn:aws:iam::{NETWORK}:root"
    assert code(strict.client(session, "sts").get_session_token)[0] == "AccessDenied"
    key = own.get_credentials()
    wire = Wire(strict.endpoint, None, HOME, "peerway", key=Key(key.access_key, key.secret_key))
    assert wire.call("AdvanceClock", {"Seconds": "901"}).status == 200
    assert code(strict.client(session, "sts").get_caller_identity) == ("ExpiredToken", 403)
    assert code(strict.client(session, "ec2").describe_vpcs) == ("RequestExpired", 400)
    assert strict.client(own, "ec2").describe_vpcs()


def test_presigned_by_botocore(strict):
    sts = strict.client(strict.session(*strict.key(NETWORK)), "sts")
    url = sts.generate_presigned_url("get_caller_identity", ExpiresIn=60, HttpMethod="GET")
    query = url.partition("?")[2]
    wire = Wire(strict.endpoint, None, service="sts", key=Key("unused"))
    good = well_formed(wire.send("GET", query=query, sign=False), "sts", "GetCallerIdentity")
    assert (good.status, good.text("Account")) == (200, NETWORK)
    spoiled = wire.send("GET", query=query.replace("GetCallerIdentity", "GetSessionToken"), sign=False)
    assert (spoiled.code, spoiled.status) == ("SignatureDoesNotMatch", 403)
    added = wire.send("GET", query=f"{query}&DurationSeconds=900", sign=False)
    assert (added.code, added.status) == ("SignatureDoesNotMatch", 403)


def test_lenient_accounts_are_not_taken_from_a_query(cloud, new_account):
    wire = Wire(cloud.endpoint, new_account(), service="sts")
    assert wire.post(IDENTITY).status == 200
    refused = wire.presigned(IDENTITY)
    assert (refused.code, refused.status) == ("InvalidClientTokenId", 403)


def test_tls_with_an_authority_of_its_own(own_server_factory, checker):
    server = own_server_factory(extra=("--strict-auth", "--tls"))
    with server:
        ca = str(server.data / "state" / "api-ca.pem")
        for host in ("127.0.0.1", "localhost"):
            strict = Strict(server, checker, f"https://{host}:{server.port}", ca)
            session = strict.session(*strict.key(NETWORK))
            assert strict.client(session, "sts").get_caller_identity()["Account"] == NETWORK
        with pytest.raises(SSLError):
            Strict(server, checker, strict.endpoint, verify=True).client(session, "sts").get_caller_identity()
