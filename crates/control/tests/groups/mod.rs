//! A VPC with a group, and the shortest way to ask about it.

#![allow(dead_code, unreachable_pub, clippy::allow_attributes, reason = "each test file uses its own part of this")]

use model::*;

use crate::common::*;
use crate::things::*;

/// A VPC of Alice's with the group `web`.
pub struct Net {
    pub cloud: Harness,
    pub vpc: String,
    pub group: String,
}

/// What every permission in these tests begins with.
pub const TCP22: &str = "IpPermissions.1.IpProtocol=tcp&IpPermissions.1.FromPort=22&IpPermissions.1.ToPort=22";

impl Net {
    pub fn new() -> Net {
        let mut cloud = Harness::new();
        let vpc = vpc(&mut cloud, ALICE, "10.0.0.0/16");
        let group = group(&mut cloud, ALICE, &vpc, "web");
        Net { cloud, vpc, group }
    }

    pub fn query(&self, action: &str, rest: &str) -> String {
        format!("Action={action}&GroupId={}&{rest}", self.group)
    }

    pub fn ok(&mut self, action: &str, rest: &str) -> String {
        let query = self.query(action, rest);
        self.cloud.ok(ALICE, &query)
    }

    pub fn error(&mut self, action: &str, rest: &str) -> ec2::Error {
        let query = self.query(action, rest);
        self.cloud.error(ALICE, &query)
    }

    pub fn code(&mut self, action: &str, rest: &str) -> String {
        self.error(action, rest).code.into_owned()
    }

    pub fn allow(&mut self, rest: &str) -> String {
        text(&self.ok("AuthorizeSecurityGroupIngress", rest), "securityGroupRuleId")
    }

    pub fn shown(&mut self) -> String {
        self.cloud.ok(ALICE, &format!("Action=DescribeSecurityGroups&GroupId.1={}", self.group))
    }

    pub fn rules(&mut self, rest: &str) -> String {
        self.cloud.ok(ALICE, &format!("Action=DescribeSecurityGroupRules&{rest}"))
    }

    pub fn make_default(&mut self) {
        let vpc = Vpc::clone(self.cloud.world.find::<Vpc>(&self.vpc.parse().unwrap()).unwrap());
        put(&mut self.cloud, Vpc { is_default: true, ..vpc });
    }
}

pub fn group(cloud: &mut Harness, account: &str, vpc: &str, name: &str) -> String {
    text(&cloud.ok(account, &create(vpc, name)), "groupId")
}

pub fn create(vpc: &str, name: &str) -> String {
    format!("Action=CreateSecurityGroup&VpcId={vpc}&GroupName={name}&GroupDescription=d")
}
