//! Security groups in VPCs beside their own (spec 6.1.5): interfaces there can bear them, and their rules hold there.

use std::collections::BTreeSet;
use std::sync::Arc;

use ec2::Error;
use ec2::page::Page;
use ec2::shapes::group_vpc::*;
use model::*;

use super::{Handle, place};
use crate::Cloud;
use crate::describe::passes;
use crate::rules::texts;
use crate::timing::Wait;

const ASSOCIATED: &str = "associated";

/// VPCs beside its own in which one group can be used.
const VPCS_MAX: usize = 10;

/// The group can be used in that VPC, which is not its own.
pub(crate) fn is_lent(world: &World, group: SecurityGroupId, vpc: VpcId) -> bool {
    world.find::<SecurityGroupVpcs>(&group).is_some_and(|lent| lent.vpcs.contains(&vpc))
}

/// A group is used in some VPC beside its own.
pub(super) fn is_lent_anywhere(world: &World, group: SecurityGroupId) -> bool {
    world.find::<SecurityGroupVpcs>(&group).is_some()
}

/// Some other VPC's group can be used in that VPC.
pub(super) fn borrows(world: &World, vpc: VpcId) -> bool {
    world.by::<SecurityGroupVpcs>(By::id(vpc)).next().is_some()
}

/// The groups of other VPCs as they hold in this one: what names a group that can be used here, means its members here.
pub(crate) fn lent_to(world: &World, vpc: VpcId) -> impl Iterator<Item = Arc<SecurityGroup>> {
    let lent = world.by::<SecurityGroupVpcs>(By::id(vpc));
    lent.filter_map(move |lent| {
        let mut group = SecurityGroup::clone(world.find::<SecurityGroup>(&lent.group)?);
        for rule in group.rules.values_mut() {
            if let RulePeer::Group { group: named, vpc: home, peering, .. } = &mut rule.peer
                && is_lent(world, *named, vpc)
            {
                (*home, *peering) = (vpc, None);
            }
        }
        group.vpc = vpc;
        Some(Arc::new(group))
    })
}

impl Handle for AssociateSecurityGroupVpc {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<GroupVpcState, Error> {
        let group = cloud.owned::<SecurityGroup>(self.group_id)?;
        let vpc = cloud.owned::<Vpc>(self.vpc_id)?;
        let refuse = |why: &str| Err(Error::invalid_value(format!("{} with {}: {why}", group.id, vpc.id)));
        if group.is_default() {
            return refuse("a default security group cannot be associated with another VPC");
        }
        if vpc.is_default || cloud.owned::<Vpc>(group.vpc)?.is_default {
            return refuse("security groups cannot be associated with or from a default VPC");
        }
        if group.vpc == vpc.id {
            return refuse("the security group already belongs to the VPC");
        }
        let mut lent = lent(cloud, &group);
        lent.vpcs.insert(vpc.id);
        if lent.vpcs.len() > VPCS_MAX {
            return refuse(&format!("a security group can be associated with at most {VPCS_MAX} VPCs"));
        }
        cloud.put(lent);
        cloud.takes_time(association(group.id, vpc.id), Phase::Associating, Wait::GroupVpc);
        Ok(GroupVpcState { state: "associating" })
    }
}

/// What a passage of the association is named.
fn association(group: SecurityGroupId, vpc: VpcId) -> String {
    format!("{group}/{vpc}")
}

fn lent(cloud: &Cloud<'_>, group: &SecurityGroup) -> SecurityGroupVpcs {
    let none = || SecurityGroupVpcs { group: group.id, owner: group.owner, vpcs: BTreeSet::new() };
    cloud.world().find::<SecurityGroupVpcs>(&group.id).map_or_else(none, |lent| SecurityGroupVpcs::clone(lent))
}

impl Handle for DisassociateSecurityGroupVpc {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<GroupVpcState, Error> {
        let group = cloud.owned::<SecurityGroup>(self.group_id)?;
        let vpc = cloud.owned::<Vpc>(self.vpc_id)?;
        let mut lent = lent(cloud, &group);
        if !lent.vpcs.remove(&vpc.id) {
            let message = format!("The security group '{}' is not associated with the VPC '{}'", group.id, vpc.id);
            return Err(Error::invalid_value(message));
        }
        let bears = |interface: &NetworkInterface| interface.vpc == vpc.id && interface.groups.contains(&group.id);
        let means = |rule: &SecurityGroupRule| matches!(rule.peer, RulePeer::Group { group: named, vpc: home, .. } if (named, home) == (group.id, vpc.id));
        let names = |other: &SecurityGroup| other.vpc == vpc.id && other.rules.values().any(means);
        let is_borne = cloud.world().by::<NetworkInterface>(By::id(group.id)).any(|interface| bears(interface));
        if is_borne || cloud.own_by::<SecurityGroup>(By::id(group.id)).any(|other| names(other)) {
            return Err(Error::new("DependencyViolation", format!("resource {} has a dependent object", group.id)));
        }
        if cloud.ends_later(association(group.id, vpc.id), Phase::Disassociating, Wait::GroupVpc) {
            return Ok(GroupVpcState { state: "disassociating" });
        }
        if lent.vpcs.is_empty() {
            cloud.delete::<SecurityGroupVpcs>(group.id);
        } else {
            cloud.put(lent);
        }
        Ok(GroupVpcState { state: "disassociating" })
    }
}

impl Handle for DescribeSecurityGroupVpcAssociations {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<DescribeSecurityGroupVpcAssociationsResponse, Error> {
        const FILTERS: [&str; 5] = ["group-id", "group-owner-id", "state", "vpc-id", "vpc-owner-id"];
        ec2::filter::check(&self.filters, &FILTERS)?;
        let own = cloud.world().by::<SecurityGroupVpcs>(By::account(cloud.caller.account));
        let items = own.flat_map(|lent| {
            lent.vpcs.iter().map(|vpc_id| GroupVpcAssociationItem {
                group_id: lent.group,
                vpc_id: *vpc_id,
                vpc_owner_id: lent.owner,
                state: cloud.word(association(lent.group, *vpc_id), ASSOCIATED),
                group_owner_id: lent.owner,
            })
        });
        let is_wanted = |item: &GroupVpcAssociationItem| {
            place::passes(&self.filters, |name| match name {
                "group-id" => texts([item.group_id]),
                "group-owner-id" => texts([item.group_owner_id]),
                "state" => texts([item.state]),
                "vpc-id" => texts([item.vpc_id]),
                "vpc-owner-id" => texts([item.vpc_owner_id]),
                _ => Vec::new(),
            })
        };
        let page = Page { max_results: self.max_results, next_token: self.next_token.as_deref() };
        let key = |item: &GroupVpcAssociationItem| format!("{}{}", item.group_id, item.vpc_id);
        let (set, next_token) = page.cut(5..=1000, items.filter(is_wanted), key)?;
        Ok(DescribeSecurityGroupVpcAssociationsResponse { security_group_vpc_association_set: set, next_token })
    }
}

impl Handle for GetSecurityGroupsForVpc {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<GetSecurityGroupsForVpcResponse, Error> {
        const FILTERS: [&str; 5] = ["description", "group-id", "group-name", "owner-id", "primary-vpc-id"];
        ec2::filter::check(&self.filters, &FILTERS)?;
        let vpc = cloud.owned::<Vpc>(self.vpc_id)?;
        let is_wanted = |group: &SecurityGroup| {
            passes(&self.filters, &group.tags, |name| match name {
                "description" => texts([&group.description]),
                "group-id" => texts([group.id]),
                "group-name" => texts([&group.name]),
                "owner-id" => texts([group.owner]),
                "primary-vpc-id" => texts([group.vpc]),
                _ => Vec::new(),
            })
        };
        let page = Page { max_results: self.max_results, next_token: self.next_token.as_deref() };
        let lent = cloud.world().by::<SecurityGroupVpcs>(By::id(vpc.id)).map(|lent| lent.group);
        let of_vpc = cloud.world().by::<SecurityGroup>(By::id(vpc.id)).map(|group| group.id);
        let usable: BTreeSet<SecurityGroupId> = of_vpc.chain(lent).collect();
        let found = usable.into_iter().filter_map(|id| cloud.owned::<SecurityGroup>(id).ok());
        let found = found.filter(|group| is_wanted(group));
        let (found, next_token) = page.cut(5..=1000, found, |group| group.id.to_string())?;
        let item = |group: Arc<SecurityGroup>| GroupForVpcItem {
            description: group.description.clone(),
            group_name: group.name.clone(),
            owner_id: group.owner,
            group_id: group.id,
            tag_set: group.tags.clone(),
            primary_vpc_id: group.vpc,
        };
        let security_group_for_vpc_set = found.into_iter().map(item).collect();
        Ok(GetSecurityGroupsForVpcResponse { next_token, security_group_for_vpc_set })
    }
}
