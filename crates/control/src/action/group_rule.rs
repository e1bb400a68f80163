//! Rules of security groups (spec 6.2, 6.3). Every request here is whole or nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ec2::page::Page;
use ec2::shapes::group::*;
use ec2::shapes::{Done, TagSpecification};
use ec2::{Error, Filter};
use model::*;

use super::Handle;
use super::group::find;
use super::group_input::{checked, existing, match_of, names_rules, peer, referenced, wanted};
use super::group_view::{revoked_item, rule_item};
use super::prefix_list::counts_for;
use crate::Cloud;
use crate::describe::{Query, passes};
use crate::rules::texts;

impl Handle for AuthorizeSecurityGroupIngress {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<AuthorizeSecurityGroupResponse, Error> {
        authorize(cloud, Direction::Ingress, self.rules, &self.tag_specifications)
    }
}

impl Handle for AuthorizeSecurityGroupEgress {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<AuthorizeSecurityGroupResponse, Error> {
        authorize(cloud, Direction::Egress, self.rules, &self.tag_specifications)
    }
}

fn authorize(
    cloud: &mut Cloud<'_>,
    direction: Direction,
    input: RulesInput,
    tag_specifications: &[TagSpecification],
) -> Result<AuthorizeSecurityGroupResponse, Error> {
    let tags = TagSpecification::tags(tag_specifications, &["security-group-rule"], "security-group-rule")?;
    let (id, name) = (input.group_id, input.group_name.clone());
    let wanted = wanted(input, direction)?;
    let before = find(cloud, id, name.as_deref())?;
    // More than both families can take together: no need to look at each.
    if wanted.len() > 2 * cloud.config.quotas.rules_per_security_group {
        return Err(too_many(cloud, before.id, direction, wanted.len()));
    }
    let mut after = SecurityGroup::clone(&before);
    let mut made = Vec::new();
    for wanted in wanted {
        let rule = SecurityGroupRule {
            id: cloud.draw.id(),
            direction,
            protocol: wanted.protocol,
            ports: wanted.ports,
            peer: peer(cloud, &before, &wanted.peer)?,
            description: wanted.description,
            tags: tags.clone(),
        };
        check_unique(&after, &rule)?;
        made.push(rule.id);
        after.rules.insert(rule.id, rule);
    }
    check_quota(cloud, &before, &after)?;
    let rules = made.iter().filter_map(|id| after.rules.get(id)).map(|rule| rule_item(cloud, &after, rule));
    let reply = AuthorizeSecurityGroupResponse { result: true, security_group_rules: rules.collect() };
    cloud.put(after);
    Ok(reply)
}

/// No other rule of the group is the same (spec 6.3.5).
fn check_unique(group: &SecurityGroup, rule: &SecurityGroupRule) -> Result<(), Error> {
    if !group.rules.values().any(|other| other.id != rule.id && other.is_same(rule)) {
        return Ok(());
    }
    let peer = match rule.peer {
        RulePeer::Cidr(cidr) => cidr.to_string(),
        RulePeer::PrefixList(id) => id.to_string(),
        RulePeer::Group { group, .. } => group.to_string(),
    };
    let protocol = match rule.protocol {
        IpProtocol::All => "ALL".into(),
        protocol => protocol.name().to_uppercase(),
    };
    let ports = rule.ports.pair().map_or_else(String::new, |(from, to)| format!(" from port: {from}, to port: {to},"));
    let message = format!("the specified rule \"peer: {peer}, {protocol},{ports} ALLOW\" already exists");
    Err(Error::new("InvalidPermission.Duplicate", message))
}

/// For how many rules of a direction and family a group's rules count: a group in both, a prefix list for all that it may ever
/// have (spec 6.3.6).
pub(super) fn counted(cloud: &Cloud<'_>, group: &SecurityGroup, direction: Direction, is_ipv4: bool) -> usize {
    let count = |rule: &SecurityGroupRule| match rule.peer {
        RulePeer::Cidr(cidr) => usize::from(cidr.is_ipv4() == is_ipv4),
        RulePeer::Group { .. } => 1,
        RulePeer::PrefixList(list) => counts_for(cloud, list, is_ipv4),
    };
    group.rules(direction).map(count).sum()
}

/// A group that has more from before may keep them.
fn check_quota(cloud: &Cloud<'_>, before: &SecurityGroup, after: &SecurityGroup) -> Result<(), Error> {
    for direction in [Direction::Ingress, Direction::Egress] {
        for is_ipv4 in [true, false] {
            let count = |group: &SecurityGroup| counted(cloud, group, direction, is_ipv4);
            if count(after) > cloud.config.quotas.rules_per_security_group.max(count(before)) {
                return Err(too_many(cloud, after.id, direction, count(after)));
            }
        }
    }
    Ok(())
}

fn too_many(cloud: &Cloud<'_>, group: SecurityGroupId, direction: Direction, count: usize) -> Error {
    let way = match direction {
        Direction::Ingress => "ingress",
        Direction::Egress => "egress",
    };
    let limit = cloud.config.quotas.rules_per_security_group;
    let message = format!(
        "The maximum number of rules per security group has been reached: {group} would have {count} {way} rules, \
         and the limit is {limit} for each of IPv4 and IPv6."
    );
    Error::new("RulesPerSecurityGroupLimitExceeded", message)
}

impl Handle for RevokeSecurityGroupIngress {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<RevokeSecurityGroupResponse, Error> {
        revoke(cloud, Direction::Ingress, self.rules, self.security_group_rule_ids)
    }
}

impl Handle for RevokeSecurityGroupEgress {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<RevokeSecurityGroupResponse, Error> {
        revoke(cloud, Direction::Egress, self.rules, self.security_group_rule_ids)
    }
}

/// Takes rules away, all or none.
///
/// A rule that is not there is `InvalidPermission.NotFound` in every VPC, the default VPC too, where AWS would take away the
/// others and name it in `unknownIpPermissionSet`: spec 6.2 leaves one behaviour for all to us, and the louder one is ours.
fn revoke(
    cloud: &mut Cloud<'_>,
    direction: Direction,
    input: RulesInput,
    ids: Vec<SecurityGroupRuleId>,
) -> Result<RevokeSecurityGroupResponse, Error> {
    let by_id = ids.into_iter().map(|id| RuleDescription { security_group_rule_id: id, description: None });
    let (group, chosen) = choose(cloud, direction, input, by_id.collect())?;
    let mut after = SecurityGroup::clone(&group);
    let revoked =
        chosen.keys().filter_map(|id| after.rules.remove(id)).map(|rule| revoked_item(&group, &rule)).collect();
    cloud.put(after);
    Ok(RevokeSecurityGroupResponse {
        result: true,
        unknown_ip_permissions: Vec::new(),
        revoked_security_group_rules: revoked,
    })
}

/// Rules and the descriptions that a request gives them.
type Described = BTreeMap<SecurityGroupRuleId, Option<String>>;

/// The rules that a request names, by their ids or by what they say, with the descriptions that it gives them.
fn choose(
    cloud: &Cloud<'_>,
    direction: Direction,
    input: RulesInput,
    by_id: Vec<RuleDescription>,
) -> Result<(Arc<SecurityGroup>, Described), Error> {
    let (id, name) = (input.group_id, input.group_name.clone());
    let by_permission = match (names_rules(&input), by_id.is_empty()) {
        (true, true) => wanted(input, direction)?,
        (false, false) => Vec::new(),
        (true, false) => {
            return Err(Error::invalid_combination("Rules are named by id or by IpPermissions, not by both"));
        }
        (false, true) => {
            let message = "Either 'ipPermissions' or 'securityGroupRuleIds' should be provided.";
            return Err(Error::new("MissingParameter", message));
        }
    };
    let group = find(cloud, id, name.as_deref())?;
    let mut chosen = BTreeMap::new();
    for RuleDescription { security_group_rule_id: id, description } in by_id {
        if !group.rules(direction).any(|rule| rule.id == id) {
            return Err(Error::not_found(id));
        }
        chosen.insert(id, checked(description)?);
    }
    for wanted in by_permission {
        let rule = existing(cloud, &group, direction, &wanted)?;
        chosen.insert(rule.id, wanted.description);
    }
    Ok((group, chosen))
}

impl Handle for UpdateSecurityGroupRuleDescriptionsIngress {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<Done, Error> {
        describe_rules(cloud, Direction::Ingress, self.rules, self.security_group_rule_descriptions)
    }
}

impl Handle for UpdateSecurityGroupRuleDescriptionsEgress {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<Done, Error> {
        describe_rules(cloud, Direction::Egress, self.rules, self.security_group_rule_descriptions)
    }
}

/// Gives the named rules the descriptions beside them; none takes a description away.
fn describe_rules(
    cloud: &mut Cloud<'_>,
    direction: Direction,
    input: RulesInput,
    by_id: Vec<RuleDescription>,
) -> Result<Done, Error> {
    let (group, chosen) = choose(cloud, direction, input, by_id)?;
    let mut after = SecurityGroup::clone(&group);
    for (id, description) in chosen {
        after.rules.entry(id).and_modify(|rule| rule.description = description);
    }
    cloud.put(after);
    Ok(Done::TRUE)
}

impl Handle for ModifySecurityGroupRules {
    /// Replaces whole rules in place; what counts is the group after all of them.
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<Done, Error> {
        if self.security_group_rules.is_empty() {
            return Err(Error::missing_parameter("SecurityGroupRule"));
        }
        let before = cloud.owned::<SecurityGroup>(self.group_id)?;
        let mut changed: BTreeMap<SecurityGroupRuleId, SecurityGroupRule> = BTreeMap::new();
        for update in self.security_group_rules {
            let id = update.security_group_rule_id;
            let rule = before.rules.get(&id).ok_or_else(|| Error::not_found(id))?;
            if changed.insert(id, replaced(cloud, &before, rule, update.security_group_rule)?).is_some() {
                return Err(Error::invalid_parameter("SecurityGroupRuleId", id, "The rule is named twice."));
            }
        }
        let mut after = SecurityGroup::clone(&before);
        after.rules.extend(changed.clone());
        changed.values().try_for_each(|rule| check_unique(&after, rule))?;
        check_quota(cloud, &before, &after)?;
        cloud.put(after);
        Ok(Done::TRUE)
    }
}

/// The rule as the request wants it; id, direction and tags stay.
fn replaced(
    cloud: &Cloud<'_>,
    group: &SecurityGroup,
    rule: &SecurityGroupRule,
    request: SecurityGroupRuleRequest,
) -> Result<SecurityGroupRule, Error> {
    let (ipv4, ipv6) = (request.cidr_ipv4.map(Cidr::V4), request.cidr_ipv6.map(Cidr::V6));
    let (list, referenced_group) = (request.prefix_list_id, request.referenced_group_id);
    let given = [ipv4.is_some(), ipv6.is_some(), list.is_some(), referenced_group.is_some()];
    if given.into_iter().filter(|is_given| *is_given).count() > 1 {
        let message = "Only one of cidrIp, cidrIpv6, prefixListId, or referencedGroupId can be specified";
        return Err(Error::invalid_combination(message));
    }
    let peer = match (ipv4.or(ipv6), list, referenced_group) {
        (Some(cidr), ..) => RulePeer::Cidr(cidr),
        (_, Some(list), _) => RulePeer::PrefixList(cloud.owned::<PrefixList>(list)?.id),
        // A rule may keep the group that it names, stale or not; another one must be within reach.
        (.., Some(id)) if matches!(rule.peer, RulePeer::Group { group, .. } if group == id) => rule.peer.clone(),
        (.., Some(id)) => referenced(cloud, group, id, None, None)?,
        (None, None, None) => {
            let message =
                "The request must contain exactly one of: cidrIp, cidrIpv6, prefixListId, or referencedGroupId";
            return Err(Error::new("MissingParameter", message));
        }
    };
    if let (RulePeer::Cidr(old), RulePeer::Cidr(new)) = (&rule.peer, &peer)
        && old.is_ipv4() != new.is_ipv4()
    {
        let message = format!(
            "The rule {} is for {old} and cannot change to {new}, of the other family; make a new rule.",
            rule.id
        );
        return Err(Error::invalid_value(message));
    }
    let (protocol, ports) = match_of(request.ip_protocol, request.from_port, request.to_port)?;
    Ok(SecurityGroupRule { protocol, ports, peer, description: checked(request.description)?, ..rule.clone() })
}

impl Handle for DescribeSecurityGroupRules {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<DescribeSecurityGroupRulesResponse, Error> {
        let page = Page { max_results: self.max_results, next_token: self.next_token.as_deref() };
        let query = Query { ids: &self.security_group_rule_ids, filters: &self.filters, page };
        query.page.check::<SecurityGroupRuleId>()?;
        query.check(&["group-id", "security-group-rule-id"])?;
        if let Some(unknown) = query.ids.iter().find(|id| own_rule(cloud, **id).is_none()) {
            return Err(Error::not_found(*unknown));
        }
        let wanted = candidates(cloud, &query).filter(|(group, rule)| rule_passes(query.filters, group, rule));
        let (rules, next_token) = query.page.cut(5..=1000, wanted, |(_, rule)| rule.id.to_string())?;
        let security_group_rules = rules.into_iter().map(|(group, rule)| rule_item(cloud, group, rule)).collect();
        Ok(DescribeSecurityGroupRulesResponse { security_group_rules, next_token })
    }
}

type RuleOfGroup<'c> = (&'c Arc<SecurityGroup>, &'c SecurityGroupRule);

fn own_rule<'c>(cloud: &'c Cloud<'_>, id: SecurityGroupRuleId) -> Option<RuleOfGroup<'c>> {
    cloud.own_by::<SecurityGroup>(By::id(id)).find_map(|group| Some((group, group.rules.get(&id)?)))
}

/// The caller's rules among which all are that are asked for, in order of id.
fn candidates<'c>(
    cloud: &'c Cloud<'_>,
    query: &Query<'_, SecurityGroupRuleId>,
) -> Box<dyn Iterator<Item = RuleOfGroup<'c>> + 'c> {
    let values = |name: &str| query.filters.iter().find(|filter| filter.name == name).map(|filter| &filter.values);
    let exact = |name: &str| values(name).filter(|values| values.iter().all(|value| ec2::filter::is_exact(value)));
    let ids: BTreeSet<SecurityGroupRuleId> = if !query.ids.is_empty() {
        query.ids.iter().copied().collect()
    } else if let Some(ids) = exact("security-group-rule-id") {
        ids.iter().filter_map(|id| id.parse().ok()).collect()
    } else if let Some(groups) = exact("group-id") {
        let groups = groups.iter().filter_map(|id| cloud.world().find::<SecurityGroup>(&id.parse().ok()?));
        groups.flat_map(|group| group.rules.keys().copied()).collect()
    } else if query.filters.iter().any(|filter| filter.name.starts_with("tag")) {
        let groups = cloud.own_by::<SecurityGroup>(By::has_tagged_rules());
        groups.flat_map(|group| group.rules.keys().copied()).collect()
    } else {
        let after = query.page.after().and_then(|key| key.parse().ok());
        let named = cloud.world().named::<SecurityGroup, _>(after.unwrap_or(SecurityGroupRuleId::FIRST));
        let own = named.filter(|(_, group)| group.owner == cloud.caller.account);
        return Box::new(own.filter_map(|(id, group)| Some((group, group.rules.get(&id)?))));
    };
    Box::new(ids.into_iter().filter_map(|id| own_rule(cloud, id)))
}

fn rule_passes(filters: &[Filter], group: &SecurityGroup, rule: &SecurityGroupRule) -> bool {
    passes(filters, &rule.tags, |name| match name {
        "group-id" => texts([group.id]),
        "security-group-rule-id" => texts([rule.id]),
        _ => Vec::new(),
    })
}
