// Two VPCs of two accounts in two regions, peered: `npm ci`, then `node two_vpcs.mjs up`, and `node two_vpcs.mjs down`.
// Needs Node.js 20 and AWS_ENDPOINT_URL, as `peerway up` prints it. REQUESTER and ACCEPTER are account ids.
import {
  AcceptVpcPeeringConnectionCommand,
  AuthorizeSecurityGroupIngressCommand,
  CreateRouteCommand,
  CreateSecurityGroupCommand,
  CreateSubnetCommand,
  CreateVpcCommand,
  CreateVpcPeeringConnectionCommand,
  DeleteSecurityGroupCommand,
  DeleteSubnetCommand,
  DeleteVpcCommand,
  DeleteVpcPeeringConnectionCommand,
  DescribeRouteTablesCommand,
  DescribeVpcPeeringConnectionsCommand,
  EC2Client,
  RunInstancesCommand,
  TerminateInstancesCommand,
  paginateDescribeInstances,
  paginateDescribeSecurityGroups,
  paginateDescribeSubnets,
  paginateDescribeVpcPeeringConnections,
  paginateDescribeVpcs,
  waitUntilInstanceRunning,
  waitUntilInstanceTerminated,
  waitUntilVpcAvailable,
  waitUntilVpcPeeringConnectionDeleted,
  waitUntilVpcPeeringConnectionExists,
} from "@aws-sdk/client-ec2";
import { fromTemporaryCredentials } from "@aws-sdk/credential-providers";
import { setTimeout as sleep } from "node:timers/promises";

const NAME = "two-vpcs-javascript";
const IMAGE = "ami-0123456789abcdef0"; // a label only: Peerway starts sandboxes
const WEB = `#!/bin/sh
mkdir -p /srv && cd /srv && echo 'hello from the peer' > index.html && exec python3 -m http.server 80
`;
const requester = process.env.REQUESTER ?? "111111111111";
const accepter = process.env.ACCEPTER ?? "222222222222";
// Without --strict-auth an access key of twelve digits is that account.
const key = { accessKeyId: requester, secretAccessKey: "any-secret" };

const tags = (kind) => [{ ResourceType: kind, Tags: [{ Key: "Name", Value: NAME }] }];
const filter = (name, ...values) => ({ Name: name, Values: values });

async function all(pages, list) {
  const found = [];
  for await (const page of pages) found.push(...(list(page) ?? []));
  return found;
}

/** One account in one region, with one VPC in which everything carries our name. */
class Side {
  constructor(account, region, block, credentials) {
    Object.assign(this, { account, region, block });
    this.ec2 = new EC2Client({ region, credentials });
    this.wait = { client: this.ec2, maxWaitTime: 60, minDelay: 1, maxDelay: 2 };
  }

  inside(rest) {
    return this.block.replace("0.0/16", rest);
  }

  /** A VPC with a subnet, a group that lets the peer in on port 80, and an instance. */
  async build(peerBlock, userData = "") {
    const made = await this.ec2.send(
      new CreateVpcCommand({ CidrBlock: this.block, TagSpecifications: tags("vpc") }),
    );
    this.vpc = made.Vpc.VpcId;
    await waitUntilVpcAvailable(this.wait, { VpcIds: [this.vpc] });
    const { Subnet } = await this.ec2.send(
      new CreateSubnetCommand({ VpcId: this.vpc, CidrBlock: this.inside("1.0/24") }),
    );
    const { GroupId } = await this.ec2.send(
      new CreateSecurityGroupCommand({ VpcId: this.vpc, GroupName: "web", Description: "port 80 from the peer" }),
    );
    const IpRanges = [{ CidrIp: peerBlock }];
    await this.ec2.send(
      new AuthorizeSecurityGroupIngressCommand({
        GroupId,
        IpPermissions: [
          { IpProtocol: "tcp", FromPort: 80, ToPort: 80, IpRanges },
          { IpProtocol: "icmp", FromPort: -1, ToPort: -1, IpRanges },
        ],
      }),
    );
    const launch = await this.ec2.send(
      new RunInstancesCommand({
        ImageId: IMAGE,
        InstanceType: "t3.micro",
        MinCount: 1,
        MaxCount: 1,
        SubnetId: Subnet.SubnetId,
        SecurityGroupIds: [GroupId],
        PrivateIpAddress: this.inside("1.10"),
        UserData: Buffer.from(userData).toString("base64"),
        TagSpecifications: tags("instance"),
      }),
    );
    this.instance = launch.Instances[0].InstanceId;
    await waitUntilInstanceRunning(this.wait, { InstanceIds: [this.instance] });
  }

  /** The main route table sends what is meant for the peer into the peering. */
  async route(peerBlock, pcx) {
    const Filters = [filter("vpc-id", this.vpc), filter("association.main", "true")];
    const { RouteTables } = await this.ec2.send(new DescribeRouteTablesCommand({ Filters }));
    await this.ec2.send(
      new CreateRouteCommand({
        RouteTableId: RouteTables[0].RouteTableId,
        DestinationCidrBlock: peerBlock,
        VpcPeeringConnectionId: pcx,
      }),
    );
  }

  /** Waits until this side sees the peering in that state. */
  async until(pcx, code) {
    await waitUntilVpcPeeringConnectionExists(this.wait, { VpcPeeringConnectionIds: [pcx] });
    for (let n = 0; n < 300; n++) {
      const { VpcPeeringConnections } = await this.ec2.send(
        new DescribeVpcPeeringConnectionsCommand({ VpcPeeringConnectionIds: [pcx] }),
      );
      const status = VpcPeeringConnections[0].Status;
      if (status.Code === code) return;
      if (["failed", "rejected", "expired"].includes(status.Code)) {
        throw new Error(`${pcx} is ${status.Code}: ${status.Message}`);
      }
      await sleep(100);
    }
    throw new Error(`${pcx} is still not ${code}`);
  }

  /** Deletes everything of ours, inside out. */
  async takeAway() {
    const { ec2: client } = this;
    for (const { VpcId } of await all(paginateDescribeVpcs({ client }, { Filters: [filter("tag:Name", NAME)] }), (p) => p.Vpcs)) {
      const inside = { Filters: [filter("vpc-id", VpcId)] };
      const reservations = await all(paginateDescribeInstances({ client }, inside), (p) => p.Reservations);
      const InstanceIds = reservations.flatMap((r) => r.Instances.map((i) => i.InstanceId));
      if (InstanceIds.length > 0) {
        await client.send(new TerminateInstancesCommand({ InstanceIds }));
        await waitUntilInstanceTerminated(this.wait, { InstanceIds });
      }
      for (const side of ["requester", "accepter"]) {
        const ours = { Filters: [filter(`${side}-vpc-info.vpc-id`, VpcId), filter("status-code", "active")] };
        const pages = paginateDescribeVpcPeeringConnections({ client }, ours);
        for (const { VpcPeeringConnectionId } of await all(pages, (p) => p.VpcPeeringConnections)) {
          await client.send(new DeleteVpcPeeringConnectionCommand({ VpcPeeringConnectionId }));
          await waitUntilVpcPeeringConnectionDeleted(this.wait, { VpcPeeringConnectionIds: [VpcPeeringConnectionId] });
        }
      }
      for (const { SubnetId } of await all(paginateDescribeSubnets({ client }, inside), (p) => p.Subnets)) {
        await client.send(new DeleteSubnetCommand({ SubnetId }));
      }
      for (const group of await all(paginateDescribeSecurityGroups({ client }, inside), (p) => p.SecurityGroups)) {
        if (group.GroupName !== "default") await client.send(new DeleteSecurityGroupCommand({ GroupId: group.GroupId }));
      }
      await this.deleteVpc(VpcId);
    }
  }

  /** The other region may not have told us yet that the peering is gone. */
  async deleteVpc(VpcId) {
    for (let n = 0; n < 100; n++) {
      try {
        return await this.ec2.send(new DeleteVpcCommand({ VpcId }));
      } catch (e) {
        if (e.name !== "DependencyViolation") throw e;
        await sleep(100);
      }
    }
    throw new Error(`${VpcId} still has dependencies`);
  }
}

async function up(a, b) {
  await a.build(b.block);
  await b.build(a.block, WEB);
  const { VpcPeeringConnection } = await a.ec2.send(
    new CreateVpcPeeringConnectionCommand({
      VpcId: a.vpc,
      PeerVpcId: b.vpc,
      PeerOwnerId: b.account,
      PeerRegion: b.region,
      TagSpecifications: tags("vpc-peering-connection"),
    }),
  );
  const pcx = VpcPeeringConnection.VpcPeeringConnectionId;
  await b.until(pcx, "pending-acceptance");
  await b.ec2.send(new AcceptVpcPeeringConnectionCommand({ VpcPeeringConnectionId: pcx }));
  for (const [side, peer] of [[a, b], [b, a]]) {
    await side.until(pcx, "active");
    await side.route(peer.block, pcx);
  }
  console.log(JSON.stringify({ peering: pcx, client: a.instance, web: b.instance }, null, 2));
  console.log(`try: peerway exec ${a.instance} -- curl -s http://${b.inside("1.10")}/`);
}

const a = new Side(requester, "us-east-1", "10.16.0.0/16", key);
// The other account is entered by its role, as people do on AWS.
const role = { RoleArn: `arn:aws:iam::${accepter}:role/network`, RoleSessionName: NAME };
const entered = fromTemporaryCredentials({ masterCredentials: key, params: role, clientConfig: { region: "us-east-1" } });
const b = new Side(accepter, "eu-west-1", "10.17.0.0/16", entered);
switch (process.argv[2]) {
  case "up":
    await up(a, b);
    break;
  case "down":
    await a.takeAway();
    await b.takeAway();
    break;
  default:
    console.error("usage: node two_vpcs.mjs up|down");
    process.exitCode = 2;
}
