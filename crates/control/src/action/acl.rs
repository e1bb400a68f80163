//! Network ACLs (spec ch. 7).

use std::collections::BTreeMap;

use ec2::page::Page;
use ec2::shapes::acl::*;
use ec2::shapes::{Done, TagSpecification};
use ec2::{Error, Operation};
use model::acl::{ACL_DENY_IPV4, ACL_DENY_IPV6};
use model::vpc::NetworkAclAssociation;
use model::*;

use super::Handle;
use crate::Cloud;
use crate::describe::{Describe, Place, Query};
use crate::rules::{icmp, port_range, texts};

impl Handle for CreateNetworkAcl {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<CreateNetworkAclResponse, Error> {
        const NAME: &str = "CreateNetworkAcl";
        let tags = TagSpecification::tags(&self.tag_specifications, &["network-acl"], "network-acl")?;
        let token = self.client_token.as_deref();
        if let Some(made) = cloud.replay::<NetworkAclId>(NAME, token)? {
            let acl = cloud.owned::<NetworkAcl>(made)?;
            return Ok(CreateNetworkAclResponse { network_acl: item(cloud, &acl), client_token: self.client_token });
        }
        let vpc = cloud.owned::<Vpc>(self.vpc_id)?;
        if cloud.world().count_by::<NetworkAcl>(By::id(vpc.id)) >= cloud.config.quotas.network_acls_per_vpc {
            return Err(Error::new("NetworkAclLimitExceeded", "The maximum number of network ACLs has been reached."));
        }
        let acl = NetworkAcl {
            id: cloud.draw.id(),
            vpc: vpc.id,
            owner: vpc.owner,
            is_default: false,
            ingress: BTreeMap::new(),
            egress: BTreeMap::new(),
            tags,
        };
        cloud.remember(NAME, token, acl.id);
        cloud.put(acl.clone());
        Ok(CreateNetworkAclResponse { network_acl: item(cloud, &acl), client_token: self.client_token })
    }
}

impl Handle for DeleteNetworkAcl {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<Done, Error> {
        let acl = cloud.owned::<NetworkAcl>(self.network_acl_id)?;
        if acl.is_default {
            return Err(Error::invalid_value(format!("cannot delete default network ACL {}", acl.id)));
        }
        if associations(cloud, &acl).next().is_some() {
            return Err(Error::has_dependencies("networkAcl", acl.id));
        }
        cloud.delete::<NetworkAcl>(acl.id);
        Ok(Done::TRUE)
    }
}

impl Handle for CreateNetworkAclEntry {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<Done, Error> {
        let (number, direction, entry) = parse(&self.0)?;
        let limit = cloud.config.quotas.entries_per_network_acl;
        cloud.update::<NetworkAcl, _>(self.0.network_acl_id, |acl| {
            let entries = acl.entries_mut(direction);
            if entries.contains_key(&number) {
                let message = format!("The network acl entry identified by {number} already exists.");
                return Err(Error::new("NetworkAclEntryAlreadyExists", message));
            }
            if entries.len() >= limit {
                let message =
                    format!("The maximum number of network ACL entries has been reached: {limit} in each direction.");
                return Err(Error::new("NetworkAclEntryLimitExceeded", message));
            }
            entries.insert(number, entry);
            Ok(Done::TRUE)
        })
    }
}

impl Handle for ReplaceNetworkAclEntry {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<Done, Error> {
        let (number, direction, entry) = parse(&self.0)?;
        cloud.update::<NetworkAcl, _>(self.0.network_acl_id, |acl| match acl.entries_mut(direction).get_mut(&number) {
            Some(old) => {
                *old = entry;
                Ok(Done::TRUE)
            }
            None => Err(no_such_entry(number, direction)),
        })
    }
}

impl Handle for DeleteNetworkAclEntry {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<Done, Error> {
        let (number, direction) = (rule_number(self.rule_number)?, direction(self.egress));
        cloud.update::<NetworkAcl, _>(self.network_acl_id, |acl| match acl.entries_mut(direction).remove(&number) {
            Some(_) => Ok(Done::TRUE),
            None => Err(no_such_entry(number, direction)),
        })
    }
}

fn no_such_entry(number: u16, direction: Direction) -> Error {
    let way = match direction {
        Direction::Ingress => "ingress",
        Direction::Egress => "egress",
    };
    Error::new(
        "InvalidNetworkAclEntry.NotFound",
        format!("The {way} network acl entry identified by {number} does not exist."),
    )
}

fn direction(is_egress: bool) -> Direction {
    if is_egress { Direction::Egress } else { Direction::Ingress }
}

/// A number that users may give; the deny rules at the end have the next ones.
fn rule_number(number: i32) -> Result<u16, Error> {
    let why = "Rule numbers are 1 to 32766; 32767 and 32768 are rules that cannot be changed.";
    let number_in = u16::try_from(number).ok().filter(|number| (1..ACL_DENY_IPV4).contains(number));
    number_in.ok_or_else(|| Error::invalid_parameter("RuleNumber", number, why))
}

fn parse(input: &EntryInput) -> Result<(u16, Direction, NetworkAclEntry), Error> {
    let number = rule_number(input.rule_number)?;
    let cidr = match (input.cidr_block, input.ipv6_cidr_block) {
        (Some(cidr), None) => Cidr::V4(cidr),
        (None, Some(cidr)) => Cidr::V6(cidr),
        (Some(_), Some(_)) => {
            return Err(Error::invalid_value("Only one of CidrBlock and Ipv6CidrBlock can be specified."));
        }
        (None, None) => return Err(Error::missing_parameter("CidrBlock or Ipv6CidrBlock")),
    };
    let ports = match input.protocol {
        IpProtocol::TCP | IpProtocol::UDP => {
            let range = input.port_range.as_ref();
            port_range(
                required(range.and_then(|range| range.from), "PortRange.From")?,
                required(range.and_then(|range| range.to), "PortRange.To")?,
            )?
        }
        // With IPv4, ICMPv6 has no meaning; AWS asks for no types there.
        IpProtocol::ICMPV6 if cidr.is_ipv4() && input.icmp.is_none() => icmp(-1, -1)?,
        IpProtocol::ICMP | IpProtocol::ICMPV6 => {
            let given = input.icmp.as_ref();
            icmp(
                required(given.and_then(|icmp| icmp.kind), "Icmp.Type")?,
                required(given.and_then(|icmp| icmp.code), "Icmp.Code")?,
            )?
        }
        _ => Ports::Any,
    };
    let entry = NetworkAclEntry { protocol: input.protocol, action: input.rule_action, cidr, ports };
    Ok((number, direction(input.egress), entry))
}

fn required(value: Option<i32>, name: &str) -> Result<i32, Error> {
    value.ok_or_else(|| Error::missing_parameter(name))
}

impl Handle for ReplaceNetworkAclAssociation {
    /// With the ACL that is in use already, nothing changes and the association keeps its id. Who lost the answer and asks again hears
    /// the same (spec 1.3.13).
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<ReplaceNetworkAclAssociationResponse, Error> {
        let by_id = |cloud: &Cloud<'_>, id| cloud.own_by::<Subnet>(By::id(id)).next().cloned();
        let token = self.association_id.to_string();
        let Some(subnet) = by_id(cloud, self.association_id) else {
            let earlier = cloud.replay::<NetworkAclAssociationId>(Self::NAME, Some(&token)).ok().flatten();
            let new_association_id = earlier.filter(|id| by_id(cloud, *id).is_some());
            let answer = new_association_id.map(|id| ReplaceNetworkAclAssociationResponse { new_association_id: id });
            return answer.ok_or_else(|| Error::not_found(self.association_id));
        };
        let acl = cloud.owned::<NetworkAcl>(self.network_acl_id)?;
        if acl.vpc != subnet.vpc {
            let message = format!("network ACL {} and subnet {} belong to different networks", acl.id, subnet.id);
            return Err(Error::invalid_value(message));
        }
        if subnet.network_acl.network_acl == acl.id {
            return Ok(ReplaceNetworkAclAssociationResponse { new_association_id: self.association_id });
        }
        let association = NetworkAclAssociation { id: cloud.draw.id(), network_acl: acl.id };
        cloud.update::<Subnet, _>(subnet.id, |subnet| {
            subnet.network_acl = association;
            Ok(())
        })?;
        cloud.remember(Self::NAME, Some(&token), association.id);
        Ok(ReplaceNetworkAclAssociationResponse { new_association_id: association.id })
    }
}

impl Handle for DescribeNetworkAcls {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<DescribeNetworkAclsResponse, Error> {
        let page = Page { max_results: self.max_results, next_token: self.next_token.as_deref() };
        let query = Query { ids: &self.network_acl_ids, filters: &self.filters, page };
        let (acls, next_token) = cloud.select::<NetworkAcl>(query, 5..=1000)?;
        let network_acls = acls.iter().map(|acl| item(cloud, acl)).collect();
        Ok(DescribeNetworkAclsResponse { network_acls, next_token })
    }
}

impl Describe for NetworkAcl {
    const FILTERS: &'static [&'static str] = &[
        "association.association-id",
        "association.network-acl-id",
        "association.subnet-id",
        "default",
        "entry.cidr",
        "entry.egress",
        "entry.icmp.code",
        "entry.icmp.type",
        "entry.ipv6-cidr",
        "entry.port-range.from",
        "entry.port-range.to",
        "entry.protocol",
        "entry.rule-action",
        "entry.rule-number",
        "network-acl-id",
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
        let of_entry = filter.strip_prefix("entry.");
        match filter {
            "association.association-id" => {
                texts(associations(cloud, self).map(|used| used.network_acl_association_id))
            }
            "association.network-acl-id" => texts(associations(cloud, self).map(|used| used.network_acl_id)),
            "association.subnet-id" => texts(associations(cloud, self).map(|used| used.subnet_id)),
            "default" => texts([self.is_default]),
            "network-acl-id" => texts([self.id]),
            "owner-id" => texts([self.owner]),
            "vpc-id" => texts([self.vpc]),
            _ => entries(cloud, self)
                .flat_map(|entry| of_entry.map_or_else(Vec::new, |name| entry_values(&entry, name)))
                .collect(),
        }
    }

    fn place(cloud: &Cloud<'_>, filter: &str, value: &str) -> Option<Place<Self::Id>> {
        match filter {
            "network-acl-id" | "association.network-acl-id" => Place::of_id(value),
            "vpc-id" => Place::naming::<VpcId>(value),
            "association.subnet-id" => {
                let subnet = cloud.world().find::<Subnet>(&value.parse().ok()?);
                Some(Place::At(subnet.map(|subnet| subnet.network_acl.network_acl).into_iter().collect()))
            }
            "association.association-id" => {
                let id = value.parse::<NetworkAclAssociationId>().ok()?;
                let subnets = cloud.world().by::<Subnet>(By::id(id));
                Some(Place::At(subnets.map(|subnet| subnet.network_acl.network_acl).collect()))
            }
            _ => None,
        }
    }
}

/// What one entry has under the name of a filter; a protocol goes by its number and by its name.
fn entry_values(entry: &NetworkAclEntryItem, filter: &str) -> Vec<String> {
    match filter {
        "cidr" => texts(entry.cidr_block),
        "egress" => texts([entry.egress]),
        "icmp.code" => texts(entry.icmp_type_code.as_ref().map(|icmp| icmp.code)),
        "icmp.type" => texts(entry.icmp_type_code.as_ref().map(|icmp| icmp.kind)),
        "ipv6-cidr" => texts(entry.ipv6_cidr_block),
        "port-range.from" => texts(entry.port_range.as_ref().map(|ports| ports.from)),
        "port-range.to" => texts(entry.port_range.as_ref().map(|ports| ports.to)),
        "protocol" => {
            let name = IpProtocol::parse(&entry.protocol).map(IpProtocol::name);
            texts([Some(entry.protocol.clone()), name].into_iter().flatten())
        }
        "rule-action" => texts([entry.rule_action]),
        "rule-number" => texts([entry.rule_number]),
        _ => Vec::new(),
    }
}

fn item(cloud: &Cloud<'_>, acl: &NetworkAcl) -> NetworkAclItem {
    NetworkAclItem {
        network_acl_id: acl.id,
        vpc_id: acl.vpc,
        owner_id: acl.owner,
        is_default: acl.is_default,
        entry_set: entries(cloud, acl).collect(),
        association_set: associations(cloud, acl).collect(),
        tag_set: acl.tags.clone(),
    }
}

fn associations(cloud: &Cloud<'_>, acl: &NetworkAcl) -> impl Iterator<Item = NetworkAclAssociationItem> {
    let id = acl.id;
    let users = cloud.subnets_of(acl.vpc).filter(move |subnet| subnet.network_acl.network_acl == id);
    users.map(move |subnet| NetworkAclAssociationItem {
        network_acl_association_id: subnet.network_acl.id,
        network_acl_id: id,
        subnet_id: subnet.id,
    })
}

/// Egress before ingress, each in the order of evaluation, with the deny rules that are always last; the one for IPv6 is
/// shown from the VPC's first IPv6 block on (spec 2.6, 7.1).
fn entries(cloud: &Cloud<'_>, acl: &NetworkAcl) -> impl Iterator<Item = NetworkAclEntryItem> {
    let has_ipv6 = cloud.world().find::<Vpc>(&acl.vpc).is_some_and(|vpc| !vpc.ipv6_cidrs.is_empty());
    let deny = |cidr| NetworkAclEntry { protocol: IpProtocol::All, action: AclAction::Deny, cidr, ports: Ports::Any };
    let ipv4 = (ACL_DENY_IPV4, deny(Cidr::V4(Ipv4Cidr::ALL)));
    let ipv6 = has_ipv6.then(|| (ACL_DENY_IPV6, deny(Cidr::V6(Ipv6Cidr::ALL))));
    let last: Vec<_> = [ipv4].into_iter().chain(ipv6).collect();
    [Direction::Egress, Direction::Ingress].into_iter().flat_map(move |direction| {
        let own = acl.entries(direction).iter().map(move |(number, entry)| entry_item(*number, direction, entry));
        let last: Vec<_> = last.iter().map(|(number, entry)| entry_item(*number, direction, entry)).collect();
        own.chain(last)
    })
}

fn entry_item(number: u16, direction: Direction, entry: &NetworkAclEntry) -> NetworkAclEntryItem {
    let (cidr_block, ipv6_cidr_block) = match entry.cidr {
        Cidr::V4(cidr) => (Some(cidr), None),
        Cidr::V6(cidr) => (None, Some(cidr)),
    };
    let pair = entry.ports.pair();
    let is_icmp = matches!(entry.ports, Ports::Icmp { .. });
    NetworkAclEntryItem {
        rule_number: number,
        protocol: entry.protocol.number(),
        rule_action: match entry.action {
            AclAction::Allow => "allow",
            AclAction::Deny => "deny",
        },
        egress: direction == Direction::Egress,
        cidr_block,
        ipv6_cidr_block,
        icmp_type_code: pair.filter(|_| is_icmp).map(|(kind, code)| IcmpTypeCodeItem { code, kind }),
        port_range: pair.filter(|_| !is_icmp).map(|(from, to)| PortRangeItem { from, to }),
    }
}
