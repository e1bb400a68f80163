//! The paths of an access scope, read from a request: statements that say something, of things that a path can have.

use std::str::FromStr;

use ec2::Error;
use ec2::shapes::access_scope::*;
use model::access_scope::{AccessScopePath, HeaderStatement, PathStatement, ResourceStatement};
use model::{IpProtocol, PrefixListId};

use crate::insights::end::Arn;

pub(super) const MATCH_PATH: &str = "MatchPath";
const EXCLUDE_PATH: &str = "ExcludePath";

/// Addresses, ports, protocols and resources that one scope names in all.
const VALUES_MAX: usize = 500;
/// The longest ARN that AWS takes, in bytes.
const ARN_MAX: usize = 1283;

/// Where a resource statement stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    End,
    Through,
}

/// The kinds of things that a statement names: prefix of the id, CloudFormation type, and where a path can have it. AWS's list, with the
/// ends that Terraform's users name by type.
const KINDS: &[(&str, &str, &[At])] = &[
    ("i", "AWS::EC2::Instance", &[At::End]),
    ("eni", "AWS::EC2::NetworkInterface", &[At::End]),
    ("igw", "AWS::EC2::InternetGateway", &[At::End]),
    ("sg", "AWS::EC2::SecurityGroup", &[At::End]),
    ("subnet", "AWS::EC2::Subnet", &[At::End]),
    ("vpc", "AWS::EC2::VPC", &[At::End]),
    ("vgw", "AWS::EC2::VPNGateway", &[At::End]),
    ("nat", "AWS::EC2::NatGateway", &[At::Through]),
    ("pcx", "AWS::EC2::VPCPeeringConnection", &[At::End, At::Through]),
    ("tgw-attach", "AWS::EC2::TransitGatewayAttachment", &[At::End, At::Through]),
    ("vpce", "AWS::EC2::VPCEndpoint", &[At::End, At::Through]),
    ("vpce-svc", "AWS::EC2::VPCEndpointService", &[At::End, At::Through]),
];

/// Kinds of other services, of which there is nothing here: they are named by ARN.
const ELSEWHERE: &[(&str, &str, &[At])] = &[
    ("elasticloadbalancing", "AWS::ElasticLoadBalancing::LoadBalancer", &[At::Through]),
    ("elasticloadbalancing", "AWS::ElasticLoadBalancingV2::LoadBalancer", &[At::Through]),
    ("network-firewall", "AWS::NetworkFirewall::NetworkFirewall", &[At::Through]),
    ("resource-groups", "AWS::ResourceGroups::Group", &[At::End, At::Through]),
];

/// Both lists of a scope.
///
/// # Errors
/// `MissingParameter`, `InvalidParameterValue`, `InvalidParameterCombination`, with the full name of the parameter.
pub(super) fn parse_paths(
    match_paths: &[AccessScopePathInput],
    exclude_paths: &[AccessScopePathInput],
) -> Result<(Vec<AccessScopePath>, Vec<AccessScopePath>), Error> {
    let mut room = VALUES_MAX;
    let mut parse = |paths: &[AccessScopePathInput], list: &str| -> Result<Vec<AccessScopePath>, Error> {
        let numbered = paths.iter().zip(1..);
        numbered.map(|(input, number): (_, usize)| path(input, &format!("{list}.{number}"), &mut room)).collect()
    };
    Ok((parse(match_paths, MATCH_PATH)?, parse(exclude_paths, EXCLUDE_PATH)?))
}

/// `room`: so many values more are taken.
fn path(input: &AccessScopePathInput, name: &str, room: &mut usize) -> Result<AccessScopePath, Error> {
    let mut end = |input: &Option<PathStatementInput>, end: &str| {
        input.as_ref().map(|input| statement(input, &format!("{name}.{end}"), room)).transpose()
    };
    let (source, destination) = (end(&input.source, "Source")?, end(&input.destination, "Destination")?);
    let through = match input.through_resources.as_slice() {
        [] => None,
        [one] => {
            let name = format!("{name}.ThroughResource.1.ResourceStatement");
            let input = one.resource_statement.as_ref().ok_or_else(|| Error::missing_parameter(&name))?;
            Some(resources(input, &name, At::Through, room)?)
        }
        more => {
            let name = format!("{name}.ThroughResource");
            return Err(Error::invalid_parameter(&name, more.len(), "Name all that counts in one ResourceStatement."));
        }
    };
    if source.is_none() && destination.is_none() && through.is_none() {
        return Err(Error::missing_parameter(&format!("{name}.Source, {name}.Destination or {name}.ThroughResource")));
    }
    Ok(AccessScopePath { source, destination, through })
}

fn statement(input: &PathStatementInput, name: &str, room: &mut usize) -> Result<PathStatement, Error> {
    let header_name = format!("{name}.PacketHeaderStatement");
    let resource_name = format!("{name}.ResourceStatement");
    let header = input.packet_header_statement.as_ref().map(|input| header(input, &header_name, room)).transpose()?;
    let resources =
        input.resource_statement.as_ref().map(|input| resources(input, &resource_name, At::End, room)).transpose()?;
    if header.is_none() && resources.is_none() {
        return Err(Error::missing_parameter(&format!("{header_name} or {resource_name}")));
    }
    Ok(PathStatement { header, resources })
}

fn header(input: &PacketHeaderStatementInput, name: &str, room: &mut usize) -> Result<HeaderStatement, Error> {
    const ADDRESS: &str = "Use an IPv4 address or block.";
    const PORT: &str = "Use a port from 0 to 65535, or a range such as 1000-2000.";
    for (addresses, lists, side) in [
        (&input.source_addresses, &input.source_prefix_lists, "Source"),
        (&input.destination_addresses, &input.destination_prefix_lists, "Destination"),
    ] {
        if !addresses.is_empty() && !lists.is_empty() {
            return Err(Error::invalid_combination(format!(
                "{name}.{side}Address cannot be used together with {name}.{side}PrefixList; use one of them"
            )));
        }
    }
    let statement = HeaderStatement {
        source_addresses: parsed(&input.source_addresses, &format!("{name}.SourceAddress"), ADDRESS)?,
        destination_addresses: parsed(&input.destination_addresses, &format!("{name}.DestinationAddress"), ADDRESS)?,
        source_ports: parsed(&input.source_ports, &format!("{name}.SourcePort"), PORT)?,
        destination_ports: parsed(&input.destination_ports, &format!("{name}.DestinationPort"), PORT)?,
        source_prefix_lists: lists(&input.source_prefix_lists, &format!("{name}.SourcePrefixList"))?,
        destination_prefix_lists: lists(&input.destination_prefix_lists, &format!("{name}.DestinationPrefixList"))?,
        protocols: protocols(&input.protocols, &format!("{name}.Protocol"))?,
    };
    let values = [
        statement.source_addresses.len() + statement.destination_addresses.len(),
        statement.source_ports.len() + statement.destination_ports.len(),
        statement.source_prefix_lists.len() + statement.destination_prefix_lists.len(),
        statement.protocols.len(),
    ];
    take(room, values.iter().sum(), name)?;
    Ok(statement)
}

fn resources(input: &ResourceStatementInput, name: &str, at: At, room: &mut usize) -> Result<ResourceStatement, Error> {
    let ResourceStatementInput { resources, resource_types } = input;
    if !resources.is_empty() && !resource_types.is_empty() {
        return Err(Error::invalid_combination(format!(
            "{name}.Resource cannot be used together with {name}.ResourceType; use one of them"
        )));
    }
    take(room, resources.len() + resource_types.len(), name)?;
    for resource in resources {
        if !names_kind(resource, at) {
            let why = match at {
                At::End => {
                    "A path begins or ends at an instance, network interface, security group, subnet, VPC, Internet gateway or VPC peering connection; name it by its id or ARN."
                }
                At::Through => {
                    "A path goes through a NAT gateway or a VPC peering connection; name it by its id or ARN."
                }
            };
            return Err(Error::invalid_parameter(&format!("{name}.Resource"), shown(resource), why));
        }
    }
    for wanted in resource_types {
        let is_it = |(_, known, places): &&(&str, &str, &[At])| known == wanted && places.contains(&at);
        if KINDS.iter().chain(ELSEWHERE).find(is_it).is_none() {
            let known = KINDS.iter().chain(ELSEWHERE).filter(|(.., places)| places.contains(&at));
            let known: Vec<&str> = known.map(|(_, known, _)| *known).collect();
            let why = format!("Use one of {}.", known.join(", "));
            return Err(Error::invalid_parameter(&format!("{name}.ResourceType"), shown(wanted), &why));
        }
    }
    Ok(ResourceStatement { resources: resources.clone(), resource_types: resource_types.clone() })
}

/// The text is the id or the ARN of a thing of a kind that may stand there. Whether there is such a thing is asked when the scope is analysed.
fn names_kind(text: &str, at: At) -> bool {
    if text.len() > ARN_MAX || !text.bytes().all(|b| b.is_ascii_graphic()) {
        return false;
    }
    let id = match Arn::parse(text) {
        Some(arn) => arn.id,
        None => match text.strip_prefix("arn:aws:").and_then(|rest| rest.split_once(':')) {
            Some((service, _)) => {
                return ELSEWHERE.iter().any(|(known, _, places)| *known == service && places.contains(&at));
            }
            None => text,
        },
    };
    let Some((prefix, digits)) = id.rsplit_once('-') else { return false };
    let is_kind = KINDS.iter().any(|(known, _, places)| *known == prefix && places.contains(&at));
    is_kind && !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_hexdigit())
}

fn parsed<T: FromStr>(values: &[String], name: &str, why: &str) -> Result<Vec<T>, Error> {
    let one = |text: &String| text.parse().map_err(|_| Error::invalid_parameter(name, shown(text), why));
    values.iter().map(one).collect()
}

fn protocols(values: &[String], name: &str) -> Result<Vec<IpProtocol>, Error> {
    let one = |text: &String| match text.to_ascii_lowercase().as_str() {
        "tcp" => Ok(IpProtocol::TCP),
        "udp" => Ok(IpProtocol::UDP),
        _ => Err(Error::invalid_parameter(name, shown(text), "Use tcp or udp.")),
    };
    values.iter().map(one).collect()
}

fn lists(values: &[String], name: &str) -> Result<Vec<String>, Error> {
    for text in values {
        let id = Arn::parse(text).filter(|_| text.len() <= ARN_MAX).map_or(text.as_str(), |arn| arn.id);
        if id.parse::<PrefixListId>().is_err() {
            return Err(Error::invalid_parameter(name, shown(text), "Use the id or the ARN of a prefix list."));
        }
    }
    Ok(values.to_vec())
}

/// A statement that names nothing says nothing; and a scope is one record.
fn take(room: &mut usize, values: usize, name: &str) -> Result<(), Error> {
    if values == 0 {
        return Err(Error::missing_parameter(name));
    }
    *room = room.checked_sub(values).ok_or_else(|| {
        let message =
            format!("An access scope names at most {VALUES_MAX} values; {name} is one too many. Use several scopes");
        Error::invalid_value(message)
    })?;
    Ok(())
}

/// No longer than an ARN.
fn shown(text: &str) -> String {
    text.chars().take(ARN_MAX).collect()
}
