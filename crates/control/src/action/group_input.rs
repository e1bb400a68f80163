//! From a request's permissions to rules (spec 6.3), and to the groups that they name (spec 6.5.3).

use ec2::Error;
use ec2::shapes::group::*;
use model::*;

use super::group::{check_text, named, no_such_name};
use super::group_vpc;
use crate::Cloud;
use crate::rules::{icmp, port_range, visible_peering};

/// One rule as a request names it; whether its peer exists is not known yet.
pub(super) struct Wanted {
    pub(super) protocol: IpProtocol,
    pub(super) ports: Ports,
    pub(super) peer: WantedPeer,
    pub(super) description: Option<String>,
}

pub(super) enum WantedPeer {
    Cidr(Cidr),
    PrefixList(PrefixListId),
    Group(UserIdGroupPair),
}

/// Whether the request names rules at all, in either form.
pub(super) fn names_rules(input: &RulesInput) -> bool {
    !input.ip_permissions.is_empty() || is_short(input)
}

fn is_short(input: &RulesInput) -> bool {
    let is_protocol = input.ip_protocol.is_some() || input.from_port.is_some() || input.to_port.is_some();
    let is_source = input.source_security_group_name.is_some() || input.source_security_group_owner_id.is_some();
    is_protocol || is_source || input.cidr_ip.is_some()
}

/// Every rule that the request names, in its order.
///
/// # Errors
/// `MissingParameter`, `InvalidParameterValue` and `InvalidParameterCombination` of spec 6.3.
pub(super) fn wanted(input: RulesInput, direction: Direction) -> Result<Vec<Wanted>, Error> {
    let permissions = if is_short(&input) { vec![from_short(input, direction)?] } else { input.ip_permissions };
    if permissions.is_empty() {
        return Err(Error::missing_parameter("IpPermissions"));
    }
    let mut all = Vec::new();
    for (number, permission) in (1..).zip(permissions) {
        let (protocol, ports) = match_of(permission.ip_protocol, permission.from_port, permission.to_port)?;
        let before = all.len();
        for (peer, description) in peers(permission) {
            all.push(Wanted { protocol, ports, peer, description: checked(description)? });
        }
        if all.len() == before {
            let name = format!("IpPermissions.{number} IpRanges, Ipv6Ranges, PrefixListIds or Groups");
            return Err(Error::missing_parameter(&name));
        }
    }
    Ok(all)
}

fn peers(permission: IpPermission) -> impl Iterator<Item = (WantedPeer, Option<String>)> {
    let ipv4 =
        permission.ip_ranges.into_iter().map(|range| (WantedPeer::Cidr(range.cidr_ip.into()), range.description));
    let ipv6 =
        permission.ipv6_ranges.into_iter().map(|range| (WantedPeer::Cidr(range.cidr_ipv6.into()), range.description));
    let lists = permission
        .prefix_list_ids
        .into_iter()
        .map(|list| (WantedPeer::PrefixList(list.prefix_list_id), list.description));
    let groups = permission.groups.into_iter().map(|mut pair| {
        let description = pair.description.take();
        (WantedPeer::Group(pair), description)
    });
    ipv4.chain(ipv6).chain(lists).chain(groups)
}

/// The old short form, on ingress only (spec 6.3.4).
fn from_short(input: RulesInput, direction: Direction) -> Result<IpPermission, Error> {
    if direction == Direction::Egress {
        return Err(Error::invalid_value(
            "Egress rules are named by IpPermissions only, not by parameters at the top level.",
        ));
    }
    if !input.ip_permissions.is_empty() {
        return Err(Error::invalid_combination("IpPermissions cannot be used together with a rule at the top level"));
    }
    let group_name = input.source_security_group_name;
    if input.cidr_ip.is_some() && group_name.is_some() {
        return Err(Error::invalid_combination("CidrIp cannot be used together with SourceSecurityGroupName"));
    }
    let user_id = input.source_security_group_owner_id;
    let group = group_name.map(|name| UserIdGroupPair {
        group_id: None,
        group_name: Some(name),
        user_id,
        vpc_peering_connection_id: None,
        description: None,
    });
    Ok(IpPermission {
        ip_protocol: input.ip_protocol,
        from_port: input.from_port,
        to_port: input.to_port,
        groups: group.into_iter().collect(),
        ip_ranges: input.cidr_ip.map(|cidr_ip| IpRange { cidr_ip, description: None }).into_iter().collect(),
        ipv6_ranges: Vec::new(),
        prefix_list_ids: Vec::new(),
    })
}

/// Protocol and ports of a rule (spec 6.3.2, 6.3.3). Ports count for TCP, UDP and the two ICMPs only.
///
/// # Errors
/// `InvalidParameterValue`.
pub(super) fn match_of(
    protocol: Option<IpProtocol>,
    from: Option<i32>,
    to: Option<i32>,
) -> Result<(IpProtocol, Ports), Error> {
    let explicitly = "Invalid value 'null' for protocol. VPC security group rules must specify protocols explicitly.";
    let protocol = protocol.ok_or_else(|| Error::invalid_value(explicitly))?;
    let both = |with: &str| {
        let missing = || {
            Error::invalid_value(format!(
                "Invalid value for portRange. Must specify both from and to ports with {with}."
            ))
        };
        from.zip(to).ok_or_else(missing)
    };
    let ports = match protocol {
        IpProtocol::TCP | IpProtocol::UDP => both("TCP/UDP").and_then(|(from, to)| port_range(from, to))?,
        IpProtocol::ICMP => both("ICMP").and_then(|(kind, code)| icmp(kind, code))?,
        // Here the ports are optional: without them, every type and code.
        IpProtocol::ICMPV6 => icmp(from.unwrap_or(-1), to.unwrap_or(-1))?,
        _ => Ports::Any,
    };
    Ok((protocol, ports))
}

/// A rule's description; an empty one is none.
pub(super) fn checked(description: Option<String>) -> Result<Option<String>, Error> {
    let description = description.filter(|text| !text.is_empty());
    description.iter().try_for_each(|text| check_text("rule description", text))?;
    Ok(description)
}

/// The peer of a new rule of this group.
///
/// # Errors
/// `InvalidPrefixListID.NotFound` for a list that is not the caller's, and what [`referenced`] refuses.
pub(super) fn peer(cloud: &Cloud<'_>, group: &SecurityGroup, wanted: &WantedPeer) -> Result<RulePeer, Error> {
    match wanted {
        WantedPeer::Cidr(cidr) => Ok(RulePeer::Cidr(*cidr)),
        WantedPeer::PrefixList(id) => Ok(RulePeer::PrefixList(cloud.owned::<PrefixList>(*id)?.id)),
        WantedPeer::Group(pair) => {
            let (id, owner) = group_and_owner(cloud, group, pair)?;
            referenced(cloud, group, id, Some(owner), pair.vpc_peering_connection_id)
        }
    }
}

/// Without UserId a group is the caller's own; a name is one in the same VPC.
fn group_and_owner(
    cloud: &Cloud<'_>,
    group: &SecurityGroup,
    pair: &UserIdGroupPair,
) -> Result<(SecurityGroupId, AccountId), Error> {
    let owner = pair.user_id.unwrap_or(cloud.caller.account);
    let id = match (pair.group_id, &pair.group_name) {
        (Some(id), _) => id,
        (None, Some(name)) => named(cloud, group.vpc, name).ok_or_else(|| no_such_name(name))?.id,
        (None, None) => return Err(Error::missing_parameter("GroupId")),
    };
    Ok((id, owner))
}

/// A group that rules of `group` may name: of the same VPC or associated with it, or of a VPC of this region at the other end of an active peering
/// (spec 6.5.3). `owner`: `None` where the request cannot say it. `over`: the peering that it must be named over.
///
/// # Errors
/// `InvalidGroup.NotFound`. What another account has outside of active peerings reads as unknown (spec 1.2.4).
pub(super) fn referenced(
    cloud: &Cloud<'_>,
    group: &SecurityGroup,
    id: SecurityGroupId,
    owner: Option<AccountId>,
    over: Option<PeeringId>,
) -> Result<RulePeer, Error> {
    if let Some(over) = over {
        visible_peering(cloud, over)?;
    }
    let found = cloud.world().find::<SecurityGroup>(&id).filter(|found| owner.is_none_or(|owner| owner == found.owner));
    let found = found.ok_or_else(|| Error::not_found(id))?;
    // One that can be used here means its members here.
    if over.is_none() && found.owner == cloud.caller.account && group_vpc::is_lent(cloud.world(), id, group.vpc) {
        return Ok(RulePeer::Group { group: id, owner: found.owner, vpc: group.vpc, peering: None });
    }
    let peering = cloud.active_peering(group.vpc, found.vpc).map(|peering| peering.id);
    let is_near = found.vpc == group.vpc || peering.is_some();
    if is_near && over.is_none_or(|over| peering == Some(over)) {
        return Ok(RulePeer::Group { group: id, owner: found.owner, vpc: found.vpc, peering });
    }
    if found.owner != cloud.caller.account {
        return Err(Error::not_found(id));
    }
    Err(Error::new("InvalidGroup.NotFound", "You have specified two resources that belong to different networks."))
}

/// The rule of the group that is exactly the wanted one, in this direction; a stale one too, for its peer is not looked up
/// (spec 6.6.4).
///
/// # Errors
/// `InvalidPermission.NotFound`.
pub(super) fn existing<'g>(
    cloud: &Cloud<'_>,
    group: &'g SecurityGroup,
    direction: Direction,
    wanted: &Wanted,
) -> Result<&'g SecurityGroupRule, Error> {
    let named = match &wanted.peer {
        WantedPeer::Group(pair) => Some(group_and_owner(cloud, group, pair)?),
        WantedPeer::Cidr(_) | WantedPeer::PrefixList(_) => None,
    };
    let is_peer = |peer: &RulePeer| match (peer, &wanted.peer) {
        (RulePeer::Cidr(a), WantedPeer::Cidr(b)) => a == b,
        (RulePeer::PrefixList(a), WantedPeer::PrefixList(b)) => a == b,
        (RulePeer::Group { group, owner, .. }, WantedPeer::Group(_)) => named == Some((*group, *owner)),
        _ => false,
    };
    let is_it = |rule: &&SecurityGroupRule| {
        (rule.protocol, rule.ports) == (wanted.protocol, wanted.ports) && is_peer(&rule.peer)
    };
    let not_found =
        || Error::new("InvalidPermission.NotFound", "The specified rule does not exist in this security group.");
    group.rules(direction).find(is_it).ok_or_else(not_found)
}
