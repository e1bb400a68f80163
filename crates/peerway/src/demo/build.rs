//! The demo's cloud is built through the API: VPCs, subnets, groups, instances.

use agent::InstanceStatus;
use anyhow::{Context, bail};
use model::InstanceId;

use super::api::{Api, PATIENCE};
use super::probe::Guest;
use super::stage::{Actor, Vpc};
use crate::client::{Call, CallError, Side};

pub const REQUESTER: &str = "111111111111";
pub const ACCEPTER: &str = "222222222222";
pub const REGIONS: [&str; 2] = ["us-east-1", "eu-west-1"];

/// What is written before an instance's number is known.
#[derive(Debug)]
pub struct Blueprint {
    name: &'static str,
    account: &'static str,
    region: &'static str,
    cidr: &'static str,
    subnet: &'static str,
}

/// A and B in two regions, C beside B.
pub const MISSION: [Blueprint; 3] = [
    Blueprint { name: "A", account: REQUESTER, region: REGIONS[0], cidr: "10.16.0.0/16", subnet: "10.16.1.0/24" },
    Blueprint { name: "B", account: ACCEPTER, region: REGIONS[1], cidr: "10.17.0.0/16", subnet: "10.17.1.0/24" },
    Blueprint { name: "C", account: ACCEPTER, region: REGIONS[1], cidr: "10.18.0.0/16", subnet: "10.18.1.0/24" },
];

/// The same, with C beside A.
pub const NAMES: [Blueprint; 3] = [
    Blueprint { name: "A", account: REQUESTER, region: REGIONS[0], cidr: "10.16.0.0/16", subnet: "10.16.1.0/24" },
    Blueprint { name: "B", account: ACCEPTER, region: REGIONS[1], cidr: "10.17.0.0/16", subnet: "10.17.1.0/24" },
    Blueprint { name: "C", account: ACCEPTER, region: REGIONS[0], cidr: "10.18.0.0/16", subnet: "10.18.1.0/24" },
];

/// A VPC whose instances are on their way.
pub struct Plot<'b> {
    blueprint: &'b Blueprint,
    side: Side,
    id: String,
    table: String,
    group: String,
    instances: Vec<String>,
    addresses: Vec<String>,
    interfaces: Vec<String>,
}

impl<'b> Plot<'b> {
    /// # Errors
    /// What the API refused.
    pub fn make(api: &Api, blueprint: &'b Blueprint) -> anyhow::Result<Plot<'b>> {
        let side = Side { account: blueprint.account.parse()?, region: blueprint.region.parse()? };
        let tag = [
            ("TagSpecification.1.ResourceType", "vpc"),
            ("TagSpecification.1.Tag.1.Key", "Name"),
            ("TagSpecification.1.Tag.1.Value", blueprint.name),
        ];
        let reply = api.call(side, "CreateVpc", &[&[("CidrBlock", blueprint.cidr)][..], &tag].concat())?;
        let id = reply.must("vpc/vpcId")?;
        let reply = api.call(side, "CreateSubnet", &[("VpcId", &id), ("CidrBlock", blueprint.subnet)])?;
        let subnet = reply.must("subnet/subnetId")?;
        let reply = api.call(side, "DescribeRouteTables", &[("Filter.1.Name", "vpc-id"), ("Filter.1.Value.1", &id)])?;
        let table = reply.must("routeTableSet/item/routeTableId")?;
        let named = [("GroupName", "demo"), ("GroupDescription", "Lets pings in"), ("VpcId", id.as_str())];
        let group = api.call(side, "CreateSecurityGroup", &named)?.must("groupId")?;
        authorize(api, side, &group, "icmp", -1, "10.0.0.0/8")?;
        let image = format!("ami-{:017x}", 1);
        let wanted = [
            ("ImageId", image.as_str()),
            ("MinCount", "2"),
            ("MaxCount", "2"),
            ("SubnetId", &subnet),
            ("SecurityGroupId.1", &group),
        ];
        let reply = api.call(side, "RunInstances", &wanted)?;
        Ok(Plot {
            blueprint,
            side,
            id,
            table,
            group,
            instances: reply.texts("instancesSet/item/instanceId"),
            addresses: reply.texts("instancesSet/item/privateIpAddress"),
            interfaces: reply.texts("instancesSet/item/networkInterfaceSet/item/networkInterfaceId"),
        })
    }

    /// # Errors
    /// When they do not run in time.
    pub fn wait_until_running(&self, api: &Api) -> anyhow::Result<()> {
        let names: Vec<_> = (1..=self.instances.len()).map(|n| format!("InstanceId.{n}")).collect();
        let parameters: Vec<_> =
            names.iter().zip(&self.instances).map(|(name, id)| (name.as_str(), id.as_str())).collect();
        let call = Call::ec2(self.side, "DescribeInstances", &parameters);
        let seen = api.until(&call, "running", |reply| {
            let mut states = reply?.texts("reservationSet/item/instancesSet/item/instanceState/name");
            states.dedup();
            Ok(states.join(", "))
        })?;
        if seen != "running" {
            bail!("the instances of VPC {} are {seen} after {} s", self.blueprint.name, PATIENCE.as_secs());
        }
        Ok(())
    }

    /// # Errors
    /// When the agent does not know its instances.
    pub fn finish(self, running: &[InstanceStatus]) -> anyhow::Result<Vpc> {
        let mut actors = Vec::new();
        for ((number, instance), (address, interface)) in
            self.instances.iter().enumerate().zip(self.addresses.iter().zip(&self.interfaces))
        {
            let id: InstanceId = instance.parse()?;
            let status = running.iter().find(|status| status.instance == id);
            let status = status.with_context(|| format!("the agent does not know instance {id}"))?;
            let netns =
                linux::namespace::of_process(status.pid).with_context(|| format!("cannot look into instance {id}"))?;
            let guest = Guest { instance: id, interface: interface.parse()?, address: address.parse()?, netns };
            actors.push(Actor { name: format!("{}{}", self.blueprint.name, number + 1), guest });
        }
        let Ok(guests) = <[Actor; 2]>::try_from(actors) else {
            bail!("VPC {} was to have two instances", self.blueprint.name)
        };
        Ok(Vpc {
            side: self.side,
            cidr: self.blueprint.cidr,
            id: self.id,
            table: self.table,
            group: self.group,
            guests,
        })
    }
}

/// Opens a port to a block; -1 is every type of ICMP.
///
/// # Errors
/// [`CallError`].
pub fn authorize(api: &Api, side: Side, group: &str, protocol: &str, port: i32, cidr: &str) -> Result<(), CallError> {
    let port = port.to_string();
    let rule = [
        ("GroupId", group),
        ("IpPermissions.1.IpProtocol", protocol),
        ("IpPermissions.1.FromPort", &port),
        ("IpPermissions.1.ToPort", &port),
        ("IpPermissions.1.IpRanges.1.CidrIp", cidr),
    ];
    api.call(side, "AuthorizeSecurityGroupIngress", &rule).map(drop)
}
