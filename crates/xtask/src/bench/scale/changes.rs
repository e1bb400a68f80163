//! Changes as clients make them, each undone again, so that the region stays as large as it is.

use std::time::Instant;

use anyhow::{Context, Result};

use super::super::http::{Client, element};
use super::Times;
use super::fill::{Made, block};

/// Makes each change so often, each time about another VPC.
///
/// # Errors
/// The first answer that is an error.
pub(super) fn make(client: &mut Client, made: &[&Made], times: usize, round: usize) -> Result<Times> {
    let mut maker = Maker { client, took: Times::new() };
    for turn in 0..times {
        let of = made.get((turn * 7919 + round) % made.len().max(1)).context("nothing was made")?;
        maker.vpc(turn)?;
        maker.interface(of)?;
        maker.instance(of)?;
        maker.group(of)?;
        maker.routes(of)?;
        maker.others(of)?;
    }
    Ok(maker.took)
}

struct Maker<'c> {
    client: &'c mut Client,
    took: Times,
}

type Parameters<'p> = &'p [(&'p str, &'p str)];

impl Maker<'_> {
    fn call(&mut self, action: &str, parameters: Parameters<'_>) -> Result<String> {
        let began = Instant::now();
        let answer = self.client.call(action, parameters).with_context(|| format!("{parameters:?}"))?;
        let took = began.elapsed().as_secs_f64() * 1000.0;
        let answer = answer.to_owned();
        self.took.entry(action.to_owned()).or_default().push(took);
        Ok(answer)
    }

    fn id(&mut self, action: &str, parameters: Parameters<'_>, name: &str) -> Result<String> {
        let answer = self.call(action, parameters)?;
        element(&answer, name).map(String::from).with_context(|| format!("{action}: the answer has no <{name}>"))
    }

    /// Two VPCs, their subnets and their peering.
    fn vpc(&mut self, turn: usize) -> Result<()> {
        let blocks = [format!("10.200.{turn}"), format!("10.201.{turn}")];
        let [one, other] = [&blocks[0], &blocks[1]].map(|block| format!("{block}.0/24"));
        let vpc = self.id("CreateVpc", &[("CidrBlock", &one)], "vpcId")?;
        let peer = self.id("CreateVpc", &[("CidrBlock", &other)], "vpcId")?;
        let of_vpc = ("VpcId", vpc.as_str());
        self.call("ModifyVpcAttribute", &[of_vpc, ("EnableDnsHostnames.Value", "true")])?;
        let subnet = self.id("CreateSubnet", &[of_vpc, ("CidrBlock", &format!("{}.0/26", blocks[0]))], "subnetId")?;
        self.call("ModifySubnetAttribute", &[("SubnetId", &subnet), ("MapPublicIpOnLaunch.Value", "true")])?;
        let more = [of_vpc, ("CidrBlock", &format!("10.202.{turn}.0/24"))];
        let block = self.id("AssociateVpcCidrBlock", &more, "associationId")?;
        self.call("DisassociateVpcCidrBlock", &[("AssociationId", &block)])?;
        let request = [of_vpc, ("PeerVpcId", peer.as_str())];
        let peering = self.id("CreateVpcPeeringConnection", &request, "vpcPeeringConnectionId")?;
        let peering = [("VpcPeeringConnectionId", peering.as_str())];
        self.call("AcceptVpcPeeringConnection", &peering)?;
        self.call("DeleteVpcPeeringConnection", &peering)?;
        self.call("DeleteSubnet", &[("SubnetId", &subnet)])?;
        self.call("DeleteVpc", &[of_vpc])?;
        self.call("DeleteVpc", &[("VpcId", &peer)]).map(drop)
    }

    fn interface(&mut self, of: &Made) -> Result<()> {
        let subnet = of.subnets.first().context("there is no subnet")?;
        let instance = of.instances.first().context("there is no instance")?;
        let made = self.id("CreateNetworkInterface", &[("SubnetId", subnet)], "networkInterfaceId")?;
        let id = ("NetworkInterfaceId", made.as_str());
        let more = self.call("AssignPrivateIpAddresses", &[id, ("SecondaryPrivateIpAddressCount", "1")])?;
        let more = element(&more, "privateIpAddress").context("no address was assigned")?;
        self.call("UnassignPrivateIpAddresses", &[id, ("PrivateIpAddress.1", more)])?;
        self.call("ModifyNetworkInterfaceAttribute", &[id, ("Description.Value", "changed")])?;
        let attach = [id, ("InstanceId", instance.as_str()), ("DeviceIndex", "1")];
        let attachment = self.id("AttachNetworkInterface", &attach, "attachmentId")?;
        self.call("DetachNetworkInterface", &[("AttachmentId", &attachment)])?;
        let tag = [("ResourceId.1", made.as_str()), ("Tag.1.Key", "Owner"), ("Tag.1.Value", "somebody")];
        self.call("CreateTags", &tag)?;
        self.call("DeleteTags", &tag)?;
        self.call("DeleteNetworkInterface", &[id]).map(drop)
    }

    fn instance(&mut self, of: &Made) -> Result<()> {
        let subnet = of.subnets.first().context("there is no subnet")?;
        let image = ("ImageId", "ami-0123456789abcdef0");
        let launch = [image, ("MinCount", "1"), ("MaxCount", "1"), ("SubnetId", subnet.as_str())];
        let instance = self.id("RunInstances", &launch, "instanceId")?;
        let id = [("InstanceId.1", instance.as_str())];
        self.call("StopInstances", &id)?;
        self.call("TerminateInstances", &id).map(drop)
    }

    fn group(&mut self, of: &Made) -> Result<()> {
        let request =
            [("VpcId", of.vpc.as_str()), ("GroupName", "made and gone"), ("GroupDescription", "for a moment")];
        let group = self.id("CreateSecurityGroup", &request, "groupId")?;
        let id = ("GroupId", group.as_str());
        let rule = [id, ("IpProtocol", "tcp"), ("FromPort", "80"), ("ToPort", "80"), ("CidrIp", "10.0.0.0/8")];
        self.call("AuthorizeSecurityGroupIngress", &rule)?;
        self.call("RevokeSecurityGroupIngress", &rule)?;
        self.call("DeleteSecurityGroup", &[id]).map(drop)
    }

    fn routes(&mut self, of: &Made) -> Result<()> {
        let table = self.id("CreateRouteTable", &[("VpcId", &of.vpc)], "routeTableId")?;
        let id = ("RouteTableId", table.as_str());
        let far = format!("{}.0/24", block(of.n ^ 1));
        let to = [id, ("DestinationCidrBlock", far.as_str())];
        let route = [to[0], to[1], ("VpcPeeringConnectionId", of.peering.as_str())];
        self.call("CreateRoute", &route)?;
        self.call("ReplaceRoute", &route)?;
        self.call("DeleteRoute", &to)?;
        let subnet = of.subnets.get(1).context("there is no second subnet")?;
        let association = self.id("AssociateRouteTable", &[id, ("SubnetId", subnet)], "associationId")?;
        self.call("DisassociateRouteTable", &[("AssociationId", &association)])?;
        self.call("DeleteRouteTable", &[id]).map(drop)
    }

    fn others(&mut self, of: &Made) -> Result<()> {
        let gateway = self.id("CreateInternetGateway", &[], "internetGatewayId")?;
        self.call("DeleteInternetGateway", &[("InternetGatewayId", &gateway)])?;
        let address = self.id("AllocateAddress", &[], "allocationId")?;
        self.call("ReleaseAddress", &[("AllocationId", &address)])?;
        let acl = self.id("CreateNetworkAcl", &[("VpcId", &of.vpc)], "networkAclId")?;
        let id = ("NetworkAclId", acl.as_str());
        let entry = [id, ("RuleNumber", "100"), ("Protocol", "-1"), ("RuleAction", "allow"), ("Egress", "false")];
        self.call("CreateNetworkAclEntry", &[&entry[..], &[("CidrBlock", "10.0.0.0/8")]].concat())?;
        self.call("DeleteNetworkAcl", &[id])?;
        let log = [
            ("ResourceType", "VPC"),
            ("ResourceId.1", of.vpc.as_str()),
            ("TrafficType", "ALL"),
            ("LogDestinationType", "s3"),
            ("LogDestination", "arn:aws:s3:::logs"),
        ];
        let log = self.call("CreateFlowLogs", &log)?;
        let id = log.split_once("<flowLogIdSet>").and_then(|(_, rest)| element(rest, "item"));
        self.call("DeleteFlowLogs", &[("FlowLogId.1", id.context("no flow log was made")?)]).map(drop)
    }
}
