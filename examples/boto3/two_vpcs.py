#!/usr/bin/env python3
"""Two VPCs of two accounts in two regions, peered: `two_vpcs.py up` builds them, `two_vpcs.py down` takes them away.

Needs boto3 and AWS_ENDPOINT_URL, as `peerway up` prints it.
"""

import argparse
import json
import time

import boto3
from botocore.exceptions import ClientError

NAME = "two-vpcs-boto3"
IMAGE = "ami-0123456789abcdef0"  # a label only: Peerway starts sandboxes
WEB = (
    "#!/bin/sh\nmkdir -p /srv && cd /srv && echo 'hello from the peer' > index.html && exec python3 -m http.server 80\n"
)
WAIT = {"Delay": 1, "MaxAttempts": 60}


class Side:
    """One account in one region, with one VPC in which everything carries our name."""

    def __init__(self, account, region, block):
        self.account, self.region, self.block = account, region, block
        self.ec2 = boto3.client(
            "ec2", region_name=region, aws_access_key_id=account, aws_secret_access_key="any-secret"
        )

    def tags(self, kind):
        return [{"ResourceType": kind, "Tags": [{"Key": "Name", "Value": NAME}]}]

    def build(self, peer_block, user_data=""):
        """A VPC with a subnet, a group that lets the peer in on port 80, and an instance."""
        self.vpc = self.ec2.create_vpc(CidrBlock=self.block, TagSpecifications=self.tags("vpc"))["Vpc"]["VpcId"]
        self.ec2.get_waiter("vpc_available").wait(VpcIds=[self.vpc], WaiterConfig=WAIT)
        subnet = self.ec2.create_subnet(VpcId=self.vpc, CidrBlock=self.block.replace("0.0/16", "1.0/24"))["Subnet"][
            "SubnetId"
        ]
        group = self.ec2.create_security_group(GroupName="web", Description="port 80 from the peer", VpcId=self.vpc)[
            "GroupId"
        ]
        self.ec2.authorize_security_group_ingress(
            GroupId=group,
            IpPermissions=[
                {"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "IpRanges": [{"CidrIp": peer_block}]},
                {"IpProtocol": "icmp", "FromPort": -1, "ToPort": -1, "IpRanges": [{"CidrIp": peer_block}]},
            ],
        )
        self.instance = self.ec2.run_instances(
            ImageId=IMAGE,
            InstanceType="t3.micro",
            MinCount=1,
            MaxCount=1,
            SubnetId=subnet,
            SecurityGroupIds=[group],
            PrivateIpAddress=self.block.replace("0.0/16", "1.10"),
            UserData=user_data,
            TagSpecifications=self.tags("instance"),
        )["Instances"][0]["InstanceId"]
        self.ec2.get_waiter("instance_running").wait(InstanceIds=[self.instance], WaiterConfig=WAIT)

    def route(self, peer_block, pcx):
        """The main route table sends what is meant for the peer into the peering."""
        main = [{"Name": "vpc-id", "Values": [self.vpc]}, {"Name": "association.main", "Values": ["true"]}]
        table = self.ec2.describe_route_tables(Filters=main)["RouteTables"][0]["RouteTableId"]
        self.ec2.create_route(RouteTableId=table, DestinationCidrBlock=peer_block, VpcPeeringConnectionId=pcx)

    def until(self, pcx, code):
        """Waits until this side sees the peering in that state."""
        for _ in range(300):
            try:
                found = self.ec2.describe_vpc_peering_connections(VpcPeeringConnectionIds=[pcx])
                status = found["VpcPeeringConnections"][0]["Status"]
                if status["Code"] == code:
                    return
                if status["Code"] in ("failed", "rejected", "expired"):
                    raise SystemExit(f"{pcx} is {status['Code']}: {status['Message']}")
            except ClientError as e:  # the other region has not heard of it yet
                if e.response["Error"]["Code"] != "InvalidVpcPeeringConnectionID.NotFound":
                    raise
            time.sleep(0.1)
        raise SystemExit(f"{pcx} is still not {code}")

    def take_away(self):
        """Deletes everything of ours, inside out."""
        named = [{"Name": "tag:Name", "Values": [NAME]}]
        for vpc in self.ec2.describe_vpcs(Filters=named)["Vpcs"]:
            inside = [{"Name": "vpc-id", "Values": [vpc["VpcId"]]}]
            found = self.ec2.describe_instances(Filters=inside)["Reservations"]
            instances = [i["InstanceId"] for r in found for i in r["Instances"]]
            if instances:
                self.ec2.terminate_instances(InstanceIds=instances)
                self.ec2.get_waiter("instance_terminated").wait(InstanceIds=instances, WaiterConfig=WAIT)
            for side in ("requester", "accepter"):
                ours = [
                    {"Name": f"{side}-vpc-info.vpc-id", "Values": [vpc["VpcId"]]},
                    {"Name": "status-code", "Values": ["active"]},
                ]
                for pcx in self.ec2.describe_vpc_peering_connections(Filters=ours)["VpcPeeringConnections"]:
                    self.ec2.delete_vpc_peering_connection(VpcPeeringConnectionId=pcx["VpcPeeringConnectionId"])
                    self.until(pcx["VpcPeeringConnectionId"], "deleted")
            for subnet in self.ec2.describe_subnets(Filters=inside)["Subnets"]:
                self.ec2.delete_subnet(SubnetId=subnet["SubnetId"])
            for group in self.ec2.describe_security_groups(Filters=inside)["SecurityGroups"]:
                if group["GroupName"] != "default":
                    self.ec2.delete_security_group(GroupId=group["GroupId"])
            self.delete_vpc(vpc["VpcId"])

    def delete_vpc(self, vpc):
        """The other region may not have told us yet that the peering is gone."""
        for _ in range(100):
            try:
                return self.ec2.delete_vpc(VpcId=vpc)
            except ClientError as e:
                if e.response["Error"]["Code"] != "DependencyViolation":
                    raise
            time.sleep(0.1)
        raise SystemExit(f"{vpc} still has dependencies")


def up(a, b):
    a.build(b.block)
    b.build(a.block, WEB)
    request = a.ec2.create_vpc_peering_connection(
        VpcId=a.vpc,
        PeerVpcId=b.vpc,
        PeerOwnerId=b.account,
        PeerRegion=b.region,
        TagSpecifications=a.tags("vpc-peering-connection"),
    )
    pcx = request["VpcPeeringConnection"]["VpcPeeringConnectionId"]
    b.until(pcx, "pending-acceptance")
    b.ec2.accept_vpc_peering_connection(VpcPeeringConnectionId=pcx)
    for side, peer in ((a, b), (b, a)):
        side.until(pcx, "active")
        side.route(peer.block, pcx)
    print(json.dumps({"peering": pcx, "client": a.instance, "web": b.instance}, indent=2))
    print(f"try: peerway exec {a.instance} -- curl -s http://{b.block.replace('0.0/16', '1.10')}/")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["up", "down"])
    parser.add_argument("--requester", default="111111111111", help="account id, used as access key")
    parser.add_argument("--accepter", default="222222222222", help="account id, used as access key")
    arguments = parser.parse_args()
    a = Side(arguments.requester, "us-east-1", "10.16.0.0/16")
    b = Side(arguments.accepter, "eu-west-1", "10.17.0.0/16")
    if arguments.what == "up":
        up(a, b)
    else:
        a.take_away()
        b.take_away()


if __name__ == "__main__":
    main()
