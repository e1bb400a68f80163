//! Security groups in VPCs beside their own, through the API and in what hosts are told (spec 6.1.5).

mod common;
mod things;

use common::*;
use model::*;
use things::*;

struct Scene {
    cloud: Harness,
    home: String,
    other: String,
    group: String,
}

fn scene() -> Scene {
    let mut cloud = Harness::new();
    let (home, other) = (vpc(&mut cloud, ALICE, "10.0.0.0/16"), vpc(&mut cloud, ALICE, "10.1.0.0/16"));
    let query = format!("Action=CreateSecurityGroup&GroupName=web&GroupDescription=d&VpcId={home}");
    let group = text(&cloud.ok(ALICE, &query), "groupId");
    cloud.ok(
        ALICE,
        &format!(
            "Action=AuthorizeSecurityGroupIngress&GroupId={group}&IpPermissions.1.IpProtocol=tcp\
             &IpPermissions.1.FromPort=80&IpPermissions.1.ToPort=80&IpPermissions.1.Groups.1.GroupId={group}"
        ),
    );
    Scene { cloud, home, other, group }
}

impl Scene {
    fn act(&self, action: &str) -> String {
        format!("Action={action}&GroupId={}&VpcId={}", self.group, self.other)
    }

    /// The groups that hosts know in the other VPC.
    fn told(&self) -> Vec<std::sync::Arc<SecurityGroup>> {
        let region = self.cloud.config.region;
        let slice = control::plan::vpc_slice(region, &self.cloud.world, self.other.parse().unwrap()).unwrap();
        slice.security_groups.iter().filter(|group| group.id.to_string() == self.group).cloned().collect()
    }
}

#[test]
fn an_associated_group_can_be_borne_and_holds_there() {
    let mut scene = scene();
    let subnet = subnet(&mut scene.cloud, ALICE, &scene.other, "10.1.1.0/24");
    let bear = format!("Action=CreateNetworkInterface&SubnetId={subnet}&SecurityGroupId.1={}", scene.group);
    assert_eq!(scene.cloud.code(ALICE, &bear), "InvalidParameter");
    assert!(scene.told().is_empty());
    let (on, off) = (scene.act("AssociateSecurityGroupVpc"), scene.act("DisassociateSecurityGroupVpc"));
    assert_eq!(text(&scene.cloud.ok(ALICE, &on), "state"), "associating");
    scene.cloud.ok(ALICE, &on);
    let interface = text(&scene.cloud.ok(ALICE, &bear), "networkInterfaceId");
    let told = scene.told();
    let other: VpcId = scene.other.parse().unwrap();
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].vpc, other, "there it is one of that VPC's");
    let ingress: Vec<_> = told[0].rules(Direction::Ingress).map(|rule| rule.peer.clone()).collect();
    assert!(matches!(ingress[..], [RulePeer::Group { vpc, peering: None, .. }] if vpc == other), "{ingress:?}");
    let shown = scene.cloud.ok(ALICE, &format!("Action=DescribeSecurityGroups&GroupId.1={}", scene.group));
    assert_eq!(text(&shown, "vpcId"), scene.home, "at home it stays what it is");
    assert_eq!(scene.cloud.code(ALICE, &off), "DependencyViolation");
    scene.cloud.ok(ALICE, &format!("Action=DeleteNetworkInterface&NetworkInterfaceId={interface}"));
    assert_eq!(text(&scene.cloud.ok(ALICE, &off), "state"), "disassociating");
    assert!(scene.told().is_empty());
    assert_eq!(scene.cloud.code(ALICE, &bear), "InvalidParameter");
    assert_eq!(scene.cloud.code(ALICE, &off), "InvalidParameterValue");
}

#[test]
fn associations_are_shown_and_keep_group_and_vpc() {
    let mut scene = scene();
    let (on, off) = (scene.act("AssociateSecurityGroupVpc"), scene.act("DisassociateSecurityGroupVpc"));
    scene.cloud.ok(ALICE, &on);
    let shown = scene.cloud.ok(
        ALICE,
        &format!("Action=DescribeSecurityGroupVpcAssociations&Filter.1.Name=group-id&Filter.1.Value.1={}", scene.group),
    );
    assert_eq!((text(&shown, "vpcId"), text(&shown, "state")), (scene.other.clone(), "associated".into()));
    assert!(texts(&scene.cloud.ok(BOB, "Action=DescribeSecurityGroupVpcAssociations"), "vpcId").is_empty());
    let usable = scene.cloud.ok(ALICE, &format!("Action=GetSecurityGroupsForVpc&VpcId={}", scene.other));
    assert_eq!(texts(&usable, "groupId").len(), 2);
    let lent = format!(
        "Action=GetSecurityGroupsForVpc&VpcId={}&Filter.1.Name=primary-vpc-id&Filter.1.Value.1={}",
        scene.other, scene.home
    );
    assert_eq!(texts(&scene.cloud.ok(ALICE, &lent), "groupName"), ["web"]);
    let delete_group = format!("Action=DeleteSecurityGroup&GroupId={}", scene.group);
    let delete_vpc = format!("Action=DeleteVpc&VpcId={}", scene.other);
    assert_eq!(scene.cloud.code(ALICE, &delete_group), "DependencyViolation");
    assert_eq!(scene.cloud.code(ALICE, &delete_vpc), "DependencyViolation");
    scene.cloud.ok(ALICE, &off);
    scene.cloud.ok(ALICE, &delete_vpc);
    scene.cloud.ok(ALICE, &delete_group);
}

#[test]
fn what_cannot_be_associated() {
    let mut scene = scene();
    let home = format!("Action=AssociateSecurityGroupVpc&GroupId={}&VpcId={}", scene.group, scene.home);
    assert_eq!(scene.cloud.code(ALICE, &home), "InvalidParameterValue");
    let shown =
        scene.cloud.ok(ALICE, "Action=DescribeSecurityGroups&Filter.1.Name=group-name&Filter.1.Value.1=default");
    let default = text(&shown, "groupId");
    for vpc in [&scene.home, &scene.other] {
        let query = format!("Action=AssociateSecurityGroupVpc&GroupId={default}&VpcId={vpc}");
        assert_eq!(scene.cloud.code(ALICE, &query), "InvalidParameterValue");
    }
    let made = text(&scene.cloud.ok(ALICE, "Action=CreateDefaultVpc"), "vpcId");
    let query = format!("Action=AssociateSecurityGroupVpc&GroupId={}&VpcId={made}", scene.group);
    assert_eq!(scene.cloud.code(ALICE, &query), "InvalidParameterValue");
    let bobs = vpc(&mut scene.cloud, BOB, "10.2.0.0/16");
    let query = format!("Action=AssociateSecurityGroupVpc&GroupId={}&VpcId={bobs}", scene.group);
    assert_eq!(scene.cloud.code(ALICE, &query), "InvalidVpcID.NotFound");
    let query = scene.act("AssociateSecurityGroupVpc");
    assert_eq!(scene.cloud.code(BOB, &query), "InvalidGroup.NotFound");
}

#[test]
fn rules_there_can_name_it() {
    let mut scene = scene();
    let query = format!("Action=CreateSecurityGroup&GroupName=db&GroupDescription=d&VpcId={}", scene.other);
    let db = text(&scene.cloud.ok(ALICE, &query), "groupId");
    let rule = format!(
        "GroupId={db}&IpPermissions.1.IpProtocol=tcp&IpPermissions.1.FromPort=5432&IpPermissions.1.ToPort=5432\
         &IpPermissions.1.Groups.1.GroupId={}",
        scene.group
    );
    let (on, off) = (scene.act("AssociateSecurityGroupVpc"), scene.act("DisassociateSecurityGroupVpc"));
    assert_eq!(
        scene.cloud.code(ALICE, &format!("Action=AuthorizeSecurityGroupIngress&{rule}")),
        "InvalidGroup.NotFound"
    );
    scene.cloud.ok(ALICE, &on);
    scene.cloud.ok(ALICE, &format!("Action=AuthorizeSecurityGroupIngress&{rule}"));
    let (other, group): (VpcId, SecurityGroupId) = (scene.other.parse().unwrap(), scene.group.parse().unwrap());
    let made = scene.cloud.world.find::<SecurityGroup>(&db.parse().unwrap()).unwrap().clone();
    let means_here = |rule: &SecurityGroupRule| matches!(rule.peer, RulePeer::Group { group: named, vpc, peering: None, .. } if (named, vpc) == (group, other));
    assert!(made.rules(Direction::Ingress).all(means_here), "{made:?}");
    assert_eq!(scene.cloud.code(ALICE, &off), "DependencyViolation");
    scene.cloud.ok(ALICE, &format!("Action=RevokeSecurityGroupIngress&{rule}"));
    scene.cloud.ok(ALICE, &off);
}
