// What the AWS SDK for JavaScript makes of answers: exceptions by their codes, retries, waiters that end well and badly, pages, and the
// credentials of a role. Run by test_javascript.py; ends with 0 when every assertion holds.
import * as sdk from "@aws-sdk/client-ec2";
import { fromTemporaryCredentials } from "@aws-sdk/credential-providers";
import assert from "node:assert/strict";

const [account, other] = [process.env.ACCOUNT, process.env.OTHER];
const key = { accessKeyId: account, secretAccessKey: "any-secret" };
const client = new sdk.EC2Client({ region: "us-east-1", credentials: key });
const UNKNOWN = "0123456789abcdef0";
const done = [];

async function refused(command, name, status, from = client) {
  try {
    await from.send(command);
  } catch (e) {
    assert.equal(e.name, name, `${e.name}: ${e.message}`);
    assert.ok(e instanceof sdk.EC2ServiceException, `${name} is no EC2ServiceException`);
    assert.equal(e.$fault, "client");
    assert.equal(e.$metadata.httpStatusCode, status);
    assert.equal(e.$metadata.attempts, 1, `${name} was retried`);
    assert.match(e.$metadata.requestId ?? e.RequestID ?? "", /^[0-9a-f-]{36}$/);
    assert.ok(e.message.length > 0);
    return e;
  }
  assert.fail(`accepted, where ${name} belongs`);
}

async function exceptions() {
  await refused(new sdk.DescribeVpcsCommand({ VpcIds: [`vpc-${UNKNOWN}`] }), "InvalidVpcID.NotFound", 400);
  await refused(new sdk.CreateVpcCommand({ CidrBlock: "10.0.0.0/8" }), "InvalidVpc.Range", 400);
  await refused(new sdk.CreateVpcCommand({ CidrBlock: "10.0.0.0/16", DryRun: true }), "DryRunOperation", 412);
  const accept = new sdk.AcceptVpcPeeringConnectionCommand({ VpcPeeringConnectionId: `pcx-${UNKNOWN}` });
  await refused(accept, "InvalidVpcPeeringConnectionID.NotFound", 400);
  // An action that is not there must not be tried again.
  await refused(new sdk.DescribeFpgaImagesCommand({}), "InvalidAction", 400);
  const stranger = { accessKeyId: "AKIAUNKNOWNUNKNOWN00", secretAccessKey: "any" };
  const from = new sdk.EC2Client({ region: "us-east-1", credentials: stranger });
  await refused(new sdk.DescribeVpcsCommand({}), "AuthFailure", 401, from);
}

async function pages() {
  const { Vpc } = await client.send(new sdk.CreateVpcCommand({ CidrBlock: "10.0.0.0/16" }));
  for (let n = 0; n < 12; n++) {
    await client.send(new sdk.CreateSubnetCommand({ VpcId: Vpc.VpcId, CidrBlock: `10.0.${n}.0/24` }));
  }
  const inside = { Filters: [{ Name: "vpc-id", Values: [Vpc.VpcId] }] };
  const sizes = [];
  const blocks = new Set();
  for await (const page of sdk.paginateDescribeSubnets({ client, pageSize: 5 }, inside)) {
    sizes.push(page.Subnets.length);
    for (const subnet of page.Subnets) blocks.add(subnet.CidrBlock);
  }
  assert.deepEqual(sizes, [5, 5, 2]);
  assert.equal(blocks.size, 12);
}

async function waiters() {
  const wait = { client, maxWaitTime: 30, minDelay: 1, maxDelay: 1 };
  const { Vpc } = await client.send(new sdk.CreateVpcCommand({ CidrBlock: "10.1.0.0/16" }));
  const success = async (reason) => assert.equal((await reason).state, "SUCCESS");
  await success(sdk.waitUntilVpcExists(wait, { VpcIds: [Vpc.VpcId] }));
  await success(sdk.waitUntilVpcAvailable(wait, { VpcIds: [Vpc.VpcId] }));
  const { Subnet } = await client.send(new sdk.CreateSubnetCommand({ VpcId: Vpc.VpcId, CidrBlock: "10.1.0.0/24" }));
  await success(sdk.waitUntilSubnetAvailable(wait, { SubnetIds: [Subnet.SubnetId] }));
  const { Instances } = await client.send(
    new sdk.RunInstancesCommand({
      ImageId: `ami-${UNKNOWN}`,
      InstanceType: "t3.micro",
      MinCount: 1,
      MaxCount: 1,
      SubnetId: Subnet.SubnetId,
    }),
  );
  const which = { InstanceIds: [Instances[0].InstanceId] };
  await success(sdk.waitUntilInstanceExists(wait, which));
  await success(sdk.waitUntilInstanceRunning(wait, which));
  await success(sdk.waitUntilInstanceStatusOk(wait, which));
  await client.send(new sdk.TerminateInstancesCommand(which));
  await success(sdk.waitUntilInstanceTerminated(wait, which));
  // What can no longer come ends the wait at once.
  await assert.rejects(sdk.waitUntilInstanceRunning(wait, which), /FAILURE|terminated/);
  // What is not there yet is waited for, and not an error of its own: the code is the one that the waiter knows.
  const brief = { ...wait, maxWaitTime: 3 };
  const unknown = { VpcPeeringConnectionIds: [`pcx-${UNKNOWN}`] };
  await assert.rejects(sdk.waitUntilVpcPeeringConnectionExists(brief, unknown), { name: "TimeoutError" });
  await success(sdk.waitUntilVpcPeeringConnectionDeleted(wait, unknown));
}

async function roles() {
  const params = { RoleArn: `arn:aws:iam::${other}:role/network`, RoleSessionName: "sdk" };
  const credentials = fromTemporaryCredentials({ masterCredentials: key, params, clientConfig: { region: "eu-west-1" } });
  const entered = new sdk.EC2Client({ region: "eu-west-1", credentials });
  const { Vpc } = await entered.send(new sdk.CreateVpcCommand({ CidrBlock: "10.2.0.0/16" }));
  assert.equal(Vpc.OwnerId, other);
  const given = await entered.config.credentials();
  assert.ok(given.sessionToken && given.expiration > new Date());
  // A session is worth nothing without its token.
  const { sessionToken, ...bare } = given;
  const from = new sdk.EC2Client({ region: "eu-west-1", credentials: bare });
  await refused(new sdk.DescribeVpcsCommand({}), "AuthFailure", 401, from);
}

for (const part of [exceptions, pages, waiters, roles]) {
  await part();
  done.push(part.name);
}
console.log(JSON.stringify(done));
