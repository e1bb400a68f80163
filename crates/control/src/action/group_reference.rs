//! Who refers to a group over a peering, and which references have lost what they name (spec 5.11, 6.6).

use std::collections::BTreeSet;

use ec2::Error;
use ec2::page::Page;
use ec2::shapes::group::*;
use model::*;

use super::Handle;
use super::group_view::permissions;
use crate::Cloud;

impl Handle for DescribeSecurityGroupReferences {
    /// The VPCs at the other end of active peerings with a rule that names the group; never the group with that rule.
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<DescribeSecurityGroupReferencesResponse, Error> {
        if self.group_ids.is_empty() {
            return Err(Error::missing_parameter("GroupId"));
        }
        let mut security_group_references = Vec::new();
        for id in self.group_ids.into_iter().collect::<BTreeSet<_>>() {
            let group = cloud.owned::<SecurityGroup>(id)?;
            let others = cloud.world().by::<SecurityGroup>(By::id(id)).filter(|other| names(other, id));
            let referencing = others.map(|other| other.vpc).collect::<BTreeSet<_>>();
            security_group_references.extend(referencing.into_iter().filter_map(|vpc| {
                let over = cloud.active_peering(group.vpc, vpc)?;
                Some(SecurityGroupReferenceItem {
                    group_id: id,
                    referencing_vpc_id: vpc,
                    vpc_peering_connection_id: over.id,
                })
            }));
        }
        Ok(DescribeSecurityGroupReferencesResponse { security_group_references })
    }
}

fn names(group: &SecurityGroup, wanted: SecurityGroupId) -> bool {
    group.rules.values().any(|rule| matches!(rule.peer, RulePeer::Group { group, .. } if group == wanted))
}

impl Handle for DescribeStaleSecurityGroups {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<DescribeStaleSecurityGroupsResponse, Error> {
        let vpc = cloud.owned::<Vpc>(self.vpc_id)?;
        let groups = cloud.own_by::<SecurityGroup>(By::id(vpc.id));
        let stale = groups.filter(|group| group.rules.values().any(|rule| is_stale(cloud, group.vpc, rule)));
        let page = Page { max_results: self.max_results, next_token: self.next_token.as_deref() };
        page.check::<SecurityGroupId>()?;
        let (groups, next_token) = page.cut(5..=255, stale, |group| group.id.to_string())?;
        let security_groups = groups.into_iter().map(|group| stale_item(cloud, group)).collect();
        Ok(DescribeStaleSecurityGroupsResponse { stale_security_groups: security_groups, next_token })
    }
}

/// The rule of a group in this VPC names a group that is gone, or that no active peering leads to (spec 6.6.2).
fn is_stale(cloud: &Cloud<'_>, vpc: VpcId, rule: &SecurityGroupRule) -> bool {
    let RulePeer::Group { group, vpc: other, .. } = rule.peer else { return false };
    let is_near = other == vpc || cloud.active_peering(vpc, other).is_some();
    !is_near || cloud.world().find::<SecurityGroup>(&group).is_none()
}

fn stale_item(cloud: &Cloud<'_>, group: &SecurityGroup) -> StaleSecurityGroupItem {
    let stale = |direction| {
        let rules = group.rules(direction).filter(|rule| is_stale(cloud, group.vpc, rule));
        permissions(cloud, group.vpc, rules).into_iter().map(Into::into).collect()
    };
    StaleSecurityGroupItem {
        group_id: group.id,
        group_name: group.name.clone(),
        description: group.description.clone(),
        vpc_id: group.vpc,
        stale_ip_permissions: stale(Direction::Ingress),
        stale_ip_permissions_egress: stale(Direction::Egress),
    }
}
