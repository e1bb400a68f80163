//! Security groups and rules as the API shows them (spec 6.2, 6.5.7, A.5).

use std::collections::BTreeMap;

use ec2::shapes::group::*;
use model::*;

use crate::Cloud;

pub(super) fn item(cloud: &Cloud<'_>, group: &SecurityGroup) -> SecurityGroupItem {
    SecurityGroupItem {
        owner_id: group.owner,
        group_id: group.id,
        group_name: group.name.clone(),
        group_description: group.description.clone(),
        vpc_id: group.vpc,
        security_group_arn: cloud.arn("security-group", group.id),
        ip_permissions: permissions(cloud, group.vpc, group.rules(Direction::Ingress)),
        ip_permissions_egress: permissions(cloud, group.vpc, group.rules(Direction::Egress)),
        tag_set: group.tags.clone(),
    }
}

/// Rules of one direction of a group in this VPC, those of the same protocol and ports joined, in order of peer.
pub(super) fn permissions<'r>(
    cloud: &Cloud<'_>,
    vpc: VpcId,
    rules: impl Iterator<Item = &'r SecurityGroupRule>,
) -> Vec<IpPermissionItem> {
    let mut rules: Vec<_> = rules.collect();
    rules.sort_by(|a, b| a.peer.cmp(&b.peer));
    let mut joined: BTreeMap<(IpProtocol, Ports), IpPermissionItem> = BTreeMap::new();
    for rule in rules {
        let item = joined.entry((rule.protocol, rule.ports)).or_insert_with(|| IpPermissionItem {
            ip_protocol: rule.protocol.name(),
            from_port: rule.ports.pair().map(|(from, _)| from),
            to_port: rule.ports.pair().map(|(_, to)| to),
            groups: Vec::new(),
            ip_ranges: Vec::new(),
            ipv6_ranges: Vec::new(),
            prefix_list_ids: Vec::new(),
        });
        let description = rule.description.clone();
        match rule.peer {
            RulePeer::Cidr(Cidr::V4(cidr_ip)) => item.ip_ranges.push(IpRangeItem { cidr_ip, description }),
            RulePeer::Cidr(Cidr::V6(cidr_ipv6)) => item.ipv6_ranges.push(Ipv6RangeItem { cidr_ipv6, description }),
            RulePeer::PrefixList(prefix_list_id) => {
                item.prefix_list_ids.push(PrefixListIdItem { prefix_list_id, description });
            }
            RulePeer::Group { .. } => {
                let pair = pair(cloud, vpc, rule).map(|pair| UserIdGroupPairItem { description, ..pair });
                item.groups.extend(pair);
            }
        }
    }
    joined.into_values().collect()
}

/// The group that a rule of a group in this VPC names; over which peering, only where it is in another VPC.
///
/// The rule is bound to group and VPC: after a new peering of the two VPCs, that one is shown (spec 6.6.4).
fn pair(cloud: &Cloud<'_>, vpc: VpcId, rule: &SecurityGroupRule) -> Option<UserIdGroupPairItem> {
    let RulePeer::Group { group, owner, vpc: other, peering } = rule.peer else { return None };
    let is_peer = other != vpc;
    let status = |peering: &Peering| peering.status.code();
    let (over, peering_status) = match cloud.active_peering(vpc, other) {
        Some(active) => (Some(active.id), status(active)),
        // A peering that is no longer kept was deleted.
        None => (
            peering,
            peering.and_then(|id| cloud.world().find::<Peering>(&id)).map_or("deleted", |found| status(found)),
        ),
    };
    Some(UserIdGroupPairItem {
        description: None,
        user_id: owner,
        group_id: group,
        vpc_id: is_peer.then_some(other),
        vpc_peering_connection_id: over.filter(|_| is_peer),
        peering_status: is_peer.then_some(peering_status),
    })
}

/// One rule by itself; here a rule without ports has -1 for both.
pub(super) fn rule_item(cloud: &Cloud<'_>, group: &SecurityGroup, rule: &SecurityGroupRule) -> SecurityGroupRuleItem {
    let (from_port, to_port) = rule.ports.pair().unwrap_or((-1, -1));
    let peer = Peer::of(&rule.peer);
    SecurityGroupRuleItem {
        security_group_rule_id: rule.id,
        group_id: group.id,
        group_owner_id: group.owner,
        is_egress: rule.direction == Direction::Egress,
        ip_protocol: rule.protocol.name(),
        from_port,
        to_port,
        cidr_ipv4: peer.cidr_ipv4,
        cidr_ipv6: peer.cidr_ipv6,
        prefix_list_id: peer.prefix_list,
        referenced_group_info: pair(cloud, group.vpc, rule),
        description: rule.description.clone(),
        tag_set: rule.tags.clone(),
        security_group_rule_arn: cloud.arn("security-group-rule", rule.id),
    }
}

pub(super) fn revoked_item(group: &SecurityGroup, rule: &SecurityGroupRule) -> RevokedSecurityGroupRuleItem {
    let (from_port, to_port) = rule.ports.pair().unwrap_or((-1, -1));
    let peer = Peer::of(&rule.peer);
    RevokedSecurityGroupRuleItem {
        security_group_rule_id: rule.id,
        group_id: group.id,
        is_egress: rule.direction == Direction::Egress,
        ip_protocol: rule.protocol.name(),
        from_port,
        to_port,
        cidr_ipv4: peer.cidr_ipv4,
        cidr_ipv6: peer.cidr_ipv6,
        prefix_list_id: peer.prefix_list,
        referenced_group_id: peer.group,
        description: rule.description.clone(),
    }
}

/// The wire's four members of which one is there.
#[derive(Default)]
struct Peer {
    cidr_ipv4: Option<Ipv4Cidr>,
    cidr_ipv6: Option<Ipv6Cidr>,
    prefix_list: Option<PrefixListId>,
    group: Option<SecurityGroupId>,
}

impl Peer {
    fn of(peer: &RulePeer) -> Peer {
        match *peer {
            RulePeer::Cidr(Cidr::V4(cidr)) => Peer { cidr_ipv4: Some(cidr), ..Peer::default() },
            RulePeer::Cidr(Cidr::V6(cidr)) => Peer { cidr_ipv6: Some(cidr), ..Peer::default() },
            RulePeer::PrefixList(id) => Peer { prefix_list: Some(id), ..Peer::default() },
            RulePeer::Group { group, .. } => Peer { group: Some(group), ..Peer::default() },
        }
    }
}
