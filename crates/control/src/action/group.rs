//! Security groups (spec 6.1, 6.2). Their rules are in `group_rule`, who refers to them in `group_reference`.

use std::collections::BTreeMap;
use std::sync::Arc;

use ec2::page::Page;
use ec2::shapes::TagSpecification;
use ec2::shapes::group::*;
use ec2::{Error, IdCodes};
use model::group::DEFAULT_GROUP_NAME;
use model::*;

use super::group_view::item;
use super::{Handle, group_vpc};
use crate::Cloud;
use crate::describe::{Describe, Place, Query};
use crate::rules::texts;

impl Handle for CreateSecurityGroup {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<CreateSecurityGroupResponse, Error> {
        let name = self.group_name.trim_end().to_owned();
        check_name(&name)?;
        if self.description.is_empty() {
            return Err(Error::missing_parameter("GroupDescription"));
        }
        check_text("security group description", &self.description)?;
        let tags = TagSpecification::tags(&self.tag_specifications, &["security-group"], "security-group")?;
        let no_default = || Error::new("VPCIdNotSpecified", "No default VPC for this user");
        let vpc = match self.vpc_id {
            Some(id) => cloud.owned::<Vpc>(id)?,
            None => cloud.default_vpc().cloned().ok_or_else(no_default)?,
        };
        let is_called_so = |group: &Arc<SecurityGroup>| group.name.eq_ignore_ascii_case(&name);
        if cloud.own_by::<SecurityGroup>(By::id(vpc.id)).any(is_called_so) {
            let message = format!("The security group '{name}' already exists for VPC '{}'", vpc.id);
            return Err(Error::new("InvalidGroup.Duplicate", message));
        }
        if cloud.own_count::<SecurityGroup>() >= cloud.config.quotas.security_groups {
            let message = "The maximum number of security groups has been reached.";
            return Err(Error::new("SecurityGroupLimitExceeded", message));
        }
        let group = SecurityGroup {
            id: cloud.draw.id(),
            vpc: vpc.id,
            owner: vpc.owner,
            name,
            description: self.description,
            rules: first_rules(cloud, &vpc),
            tags,
        };
        cloud.put(group.clone());
        Ok(CreateSecurityGroupResponse {
            group_id: group.id,
            security_group_arn: cloud.arn("security-group", group.id),
            tag_set: group.tags,
        })
    }
}

/// What a new group has: everything may leave, nothing may enter (spec 6.1.3).
fn first_rules(cloud: &mut Cloud<'_>, vpc: &Vpc) -> BTreeMap<SecurityGroupRuleId, SecurityGroupRule> {
    let ipv6 = (!vpc.ipv6_cidrs.is_empty()).then_some(Cidr::V6(Ipv6Cidr::ALL));
    let everywhere = [Cidr::V4(Ipv4Cidr::ALL)].into_iter().chain(ipv6);
    let rule = |cidr| SecurityGroupRule {
        id: cloud.draw.id(),
        direction: Direction::Egress,
        protocol: IpProtocol::All,
        ports: Ports::Any,
        peer: RulePeer::Cidr(cidr),
        description: None,
        tags: Tags::new(),
    };
    everywhere.map(rule).map(|rule| (rule.id, rule)).collect()
}

fn check_name(name: &str) -> Result<(), Error> {
    if name.is_empty() {
        return Err(Error::missing_parameter("GroupName"));
    }
    if name.eq_ignore_ascii_case(DEFAULT_GROUP_NAME) {
        return Err(Error::new("InvalidGroup.Reserved", format!("Cannot use reserved security group name: {name}")));
    }
    if name.starts_with("sg-") {
        return Err(Error::invalid_parameter("GroupName", name, "Group names may not be in the format sg-*."));
    }
    check_text("security group name", name)
}

/// Names and descriptions of groups and rules have one alphabet (spec 6.2).
pub(super) fn check_text(noun: &str, text: &str) -> Result<(), Error> {
    const LETTERS: &str = " ._-:/()#,@[]+=&;{}!$*";
    let is_right = |letter: char| letter.is_ascii_alphanumeric() || LETTERS.contains(letter);
    if text.chars().count() <= 255 && text.chars().all(is_right) {
        return Ok(());
    }
    Err(Error::invalid_value(format!(
        "Invalid {noun} '{text}'. Valid are strings less than 256 characters from the following set: a-zA-Z0-9{LETTERS}"
    )))
}

/// The group that a request is about: by its id or, in the default VPC, by its name.
pub(super) fn find(
    cloud: &Cloud<'_>,
    id: Option<SecurityGroupId>,
    name: Option<&str>,
) -> Result<Arc<SecurityGroup>, Error> {
    match (id, name) {
        (Some(_), Some(_)) => {
            Err(Error::invalid_combination("The parameter GroupName cannot be used with the parameter GroupId"))
        }
        (Some(id), None) => cloud.owned::<SecurityGroup>(id),
        (None, Some(name)) => {
            let vpc = cloud.default_vpc().map(|vpc| vpc.id);
            vpc.and_then(|vpc| named(cloud, vpc, name)).cloned().ok_or_else(|| no_such_name(name))
        }
        (None, None) => Err(Error::missing_parameter("GroupId")),
    }
}

/// The caller's group of that name in a VPC.
pub(super) fn named<'c>(cloud: &'c Cloud<'_>, vpc: VpcId, name: &str) -> Option<&'c Arc<SecurityGroup>> {
    cloud.own_by::<SecurityGroup>(By::id(vpc)).find(|group| group.name == name)
}

pub(super) fn no_such_name(name: &str) -> Error {
    Error::new(SecurityGroupId::NOT_FOUND, format!("The security group '{name}' does not exist"))
}

impl Handle for DeleteSecurityGroup {
    /// References from a peered VPC do not keep a group: they turn stale (spec 6.2).
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<DeleteSecurityGroupResponse, Error> {
        let group = find(cloud, self.group_id, self.group_name.as_deref())?;
        if group.is_default() {
            let message =
                format!("the specified group: \"{}\" name: \"{}\" cannot be deleted by a user", group.id, group.name);
            return Err(Error::new("CannotDelete", message));
        }
        let names =
            |rule: &SecurityGroupRule| matches!(rule.peer, RulePeer::Group { group: named, .. } if named == group.id);
        let refers =
            |other: &SecurityGroup| other.vpc == group.vpc && other.id != group.id && other.rules.values().any(names);
        let is_worn = cloud.world().count_by::<NetworkInterface>(By::id(group.id)) > 0;
        let is_lent = group_vpc::is_lent_anywhere(cloud.world(), group.id);
        if is_worn || is_lent || cloud.own_by::<SecurityGroup>(By::id(group.id)).any(|other| refers(other)) {
            return Err(Error::new("DependencyViolation", format!("resource {} has a dependent object", group.id)));
        }
        cloud.delete::<SecurityGroup>(group.id);
        Ok(DeleteSecurityGroupResponse { result: true, group_id: group.id })
    }
}

impl Handle for DescribeSecurityGroups {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<DescribeSecurityGroupsResponse, Error> {
        let mut ids = self.group_ids;
        for name in &self.group_names {
            ids.push(find(cloud, None, Some(name))?.id);
        }
        let page = Page { max_results: self.max_results, next_token: self.next_token.as_deref() };
        let query = Query { ids: &ids, filters: &self.filters, page };
        let (groups, next_token) = cloud.select::<SecurityGroup>(query, 5..=1000)?;
        let security_groups = groups.iter().map(|group| item(cloud, group)).collect();
        Ok(DescribeSecurityGroupsResponse { security_groups, next_token })
    }
}

impl Describe for SecurityGroup {
    const FILTERS: &'static [&'static str] = &[
        "description",
        "egress.ip-permission.cidr",
        "egress.ip-permission.from-port",
        "egress.ip-permission.group-id",
        "egress.ip-permission.group-name",
        "egress.ip-permission.ipv6-cidr",
        "egress.ip-permission.prefix-list-id",
        "egress.ip-permission.protocol",
        "egress.ip-permission.to-port",
        "egress.ip-permission.user-id",
        "group-id",
        "group-name",
        "ip-permission.cidr",
        "ip-permission.from-port",
        "ip-permission.group-id",
        "ip-permission.group-name",
        "ip-permission.ipv6-cidr",
        "ip-permission.prefix-list-id",
        "ip-permission.protocol",
        "ip-permission.to-port",
        "ip-permission.user-id",
        "owner-id",
        "vpc-id",
    ];

    fn is_visible(&self, cloud: &Cloud<'_>) -> bool {
        self.owner == cloud.caller.account
    }

    fn tags<'t>(&'t self, _: &Cloud<'_>) -> &'t Tags {
        &self.tags
    }

    fn values(&self, cloud: &Cloud<'_>, filter: &str) -> Vec<String> {
        let (direction, of_rule) = match filter {
            "description" => return texts([&self.description]),
            "group-id" => return texts([self.id]),
            "group-name" => return texts([&self.name]),
            "owner-id" => return texts([self.owner]),
            "vpc-id" => return texts([self.vpc]),
            _ => match filter.strip_prefix("egress.") {
                Some(rest) => (Direction::Egress, rest),
                None => (Direction::Ingress, filter),
            },
        };
        let of_rule = of_rule.strip_prefix("ip-permission.").unwrap_or_default();
        self.rules(direction).filter_map(|rule| rule_value(cloud, rule, of_rule)).collect()
    }

    fn place(_: &Cloud<'_>, filter: &str, value: &str) -> Option<Place<Self::Id>> {
        match filter {
            "group-id" => Place::of_id(value),
            "group-name" => Place::of_name(value),
            "vpc-id" => Place::naming::<VpcId>(value),
            "ip-permission.group-id" | "egress.ip-permission.group-id" => Place::naming::<SecurityGroupId>(value),
            "ip-permission.prefix-list-id" | "egress.ip-permission.prefix-list-id" => {
                Place::naming::<PrefixListId>(value)
            }
            _ => None,
        }
    }
}

/// What one rule has under the name of a filter.
fn rule_value(cloud: &Cloud<'_>, rule: &SecurityGroupRule, filter: &str) -> Option<String> {
    match (filter, &rule.peer) {
        ("protocol", _) => Some(rule.protocol.name()),
        ("from-port", _) => rule.ports.pair().map(|(from, _)| from.to_string()),
        ("to-port", _) => rule.ports.pair().map(|(_, to)| to.to_string()),
        ("cidr", RulePeer::Cidr(Cidr::V4(cidr))) => Some(cidr.to_string()),
        ("ipv6-cidr", RulePeer::Cidr(Cidr::V6(cidr))) => Some(cidr.to_string()),
        ("prefix-list-id", RulePeer::PrefixList(id)) => Some(id.to_string()),
        ("group-id", RulePeer::Group { group, .. }) => Some(group.to_string()),
        ("user-id", RulePeer::Group { owner, .. }) => Some(owner.to_string()),
        // The name of another account's group is its own affair.
        ("group-name", RulePeer::Group { group, .. }) => {
            cloud.owned::<SecurityGroup>(*group).ok().map(|group| group.name.clone())
        }
        _ => None,
    }
}
