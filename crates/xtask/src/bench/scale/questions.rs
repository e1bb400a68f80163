//! Every action that shows a page, asked as clients ask it: by id, by filter, by tag, page after page.

use std::time::Instant;

use anyhow::{Context, Result};

use super::super::http::{Client, element};
use super::Times;
use super::fill::Made;

/// Which questions are asked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    All,
    /// What moto's server answers, too.
    Moto,
}

/// An action and what is said with it; `{..}` stands for what one VPC has.
type Question = (&'static str, &'static str);

/// What moto's server answers, too.
const OF_ALL: &[Question] = &[
    ("DescribeVpcs", "VpcId.1={vpc}"),
    ("DescribeVpcs", "Filter.1.Name=tag:Name&Filter.1.Value.1={name}"),
    ("DescribeVpcs", "Filter.1.Name=cidr-block&Filter.1.Value.1={block}.0/24"),
    ("DescribeVpcs", "MaxResults=100"),
    ("DescribeSubnets", "Filter.1.Name=vpc-id&Filter.1.Value.1={vpc}"),
    ("DescribeSubnets", "Filter.1.Name=tag:Environment&Filter.1.Value.1=production&MaxResults=100"),
    ("DescribeRouteTables", "Filter.1.Name=vpc-id&Filter.1.Value.1={vpc}"),
    ("DescribeRouteTables", "Filter.1.Name=association.subnet-id&Filter.1.Value.1={subnet}"),
    ("DescribeSecurityGroups", "Filter.1.Name=vpc-id&Filter.1.Value.1={vpc}"),
    ("DescribeSecurityGroups", "Filter.1.Name=group-name&Filter.1.Value.1=web-{n}"),
    ("DescribeSecurityGroupRules", "Filter.1.Name=group-id&Filter.1.Value.1={group}"),
    ("DescribeNetworkAcls", "Filter.1.Name=association.subnet-id&Filter.1.Value.1={subnet}"),
    ("DescribeNetworkInterfaces", "NetworkInterfaceId.1={interface}"),
    ("DescribeNetworkInterfaces", "Filter.1.Name=subnet-id&Filter.1.Value.1={subnet}"),
    ("DescribeNetworkInterfaces", "Filter.1.Name=group-id&Filter.1.Value.1={group}"),
    ("DescribeNetworkInterfaces", "Filter.1.Name=description&Filter.1.Value.1=spare+0+of+{n}"),
    ("DescribeInstances", "InstanceId.1={instance}"),
    ("DescribeInstances", "Filter.1.Name=vpc-id&Filter.1.Value.1={vpc}"),
    ("DescribeInstances", "Filter.1.Name=tag:Name&Filter.1.Value.1={name}"),
    ("DescribeInternetGateways", "Filter.1.Name=tag:Name&Filter.1.Value.1=n0"),
    ("DescribeNatGateways", "Filter.1.Name=vpc-id&Filter.1.Value.1={vpc}"),
    ("DescribeTags", "Filter.1.Name=resource-id&Filter.1.Value.1={vpc}"),
    ("DescribeVpcPeeringConnections", "VpcPeeringConnectionId.1={peering}"),
    ("DescribeVpcPeeringConnections", "Filter.1.Name=requester-vpc-info.vpc-id&Filter.1.Value.1={vpc}"),
];

const OF_OURS: &[Question] = &[
    ("DescribeVpcs", "Filter.1.Name=tag:Name&Filter.1.Value.1={name}*&MaxResults=100"),
    ("DescribeVpcClassicLinkDnsSupport", "MaxResults=100"),
    ("DescribeSubnets", "Filter.1.Name=cidr-block&Filter.1.Value.1={block}.64/26"),
    ("DescribeSubnets", "Filter.1.Name=tag:Name&Filter.1.Value.1=*{n}&MaxResults=100"),
    ("DescribeRouteTables", "Filter.1.Name=route.vpc-peering-connection-id&Filter.1.Value.1={peering}"),
    ("DescribeRouteTables", "Filter.1.Name=route.destination-cidr-block&Filter.1.Value.1={block}.0/24&MaxResults=100"),
    ("DescribeRouteTables", "Filter.1.Name=association.main&Filter.1.Value.1=true&MaxResults=100"),
    ("DescribeSecurityGroups", "Filter.1.Name=description&Filter.1.Value.1=web*&MaxResults=100"),
    ("DescribeSecurityGroups", "Filter.1.Name=ip-permission.cidr&Filter.1.Value.1=10.1.2.3/32&MaxResults=100"),
    ("DescribeSecurityGroupRules", "MaxResults=100"),
    ("DescribeSecurityGroupReferences", "GroupId.1={group}"),
    ("DescribeStaleSecurityGroups", "VpcId={vpc}"),
    ("GetSecurityGroupsForVpc", "VpcId={vpc}"),
    ("DescribeSecurityGroupVpcAssociations", "Filter.1.Name=vpc-id&Filter.1.Value.1={vpc}"),
    ("DescribeNetworkAcls", "Filter.1.Name=default&Filter.1.Value.1=true&MaxResults=100"),
    ("DescribeNetworkInterfaces", "Filter.1.Name=private-ip-address&Filter.1.Value.1={address}"),
    ("DescribeNetworkInterfaces", "Filter.1.Name=attachment.instance-id&Filter.1.Value.1={instance}"),
    ("DescribeNetworkInterfaces", "Filter.1.Name=tag:Name&Filter.1.Value.1={name}"),
    ("DescribeNetworkInterfaces", "Filter.1.Name=status&Filter.1.Value.1=in-use&MaxResults=100"),
    ("DescribeNetworkInterfaces", "Filter.1.Name=description&Filter.1.Value.1=*0+of+{n}&MaxResults=100"),
    ("DescribeNetworkInterfaces", "Filter.1.Name=requester-managed&Filter.1.Value.1=true&MaxResults=100"),
    ("DescribeNetworkInterfaces", "MaxResults=1000"),
    ("DescribeInstances", "Filter.1.Name=instance-state-name&Filter.1.Value.1=running&MaxResults=100"),
    ("DescribeInstances", "Filter.1.Name=instance-state-name&Filter.1.Value.1=stopped&MaxResults=100"),
    ("DescribeInstances", "Filter.1.Name=private-ip-address&Filter.1.Value.1={block}.10"),
    ("DescribeInstances", "Filter.1.Name=network-interface.subnet-id&Filter.1.Value.1={subnet}"),
    ("DescribeInstanceStatus", "InstanceId.1={instance}"),
    ("DescribeInstanceStatus", "MaxResults=100"),
    ("DescribeInstanceCreditSpecifications", "InstanceId.1={instance}"),
    ("DescribeInternetGateways", "Filter.1.Name=attachment.vpc-id&Filter.1.Value.1={vpc}"),
    ("DescribeNatGateways", "Filter.1.Name=state&Filter.1.Value.1=available&MaxResults=100"),
    ("DescribeEgressOnlyInternetGateways", "MaxResults=100"),
    ("DescribeAddresses", "Filter.1.Name=domain&Filter.1.Value.1=vpc"),
    ("DescribeDhcpOptions", "MaxResults=100"),
    ("DescribeFlowLogs", "Filter.1.Name=resource-id&Filter.1.Value.1={vpc}"),
    ("DescribeManagedPrefixLists", "MaxResults=100"),
    ("DescribeNetworkInterfacePermissions", "MaxResults=100"),
    ("DescribeTags", "Filter.1.Name=resource-type&Filter.1.Value.1=subnet&MaxResults=100"),
    ("DescribeTags", "Filter.1.Name=key&Filter.1.Value.1=Name&Filter.2.Name=value&Filter.2.Value.1={name}"),
    ("DescribeTags", "Filter.1.Name=value&Filter.1.Value.1=*{n}&MaxResults=100"),
    ("DescribeVpcPeeringConnections", "Filter.1.Name=status-code&Filter.1.Value.1=active&MaxResults=100"),
    (
        "DescribeVpcPeeringConnections",
        "Filter.1.Name=accepter-vpc-info.owner-id&Filter.1.Value.1=222222222222&MaxResults=100",
    ),
    ("DescribeVpcPeeringConnections", "Filter.1.Name=status-code&Filter.1.Value.1=pending-acceptance&MaxResults=100"),
    ("DescribeVpnGateways", "Filter.1.Name=attachment.vpc-id&Filter.1.Value.1={vpc}"),
    ("DescribeNetworkInsightsPaths", "MaxResults=100"),
    ("DescribeNetworkInsightsAnalyses", "MaxResults=100"),
    ("DescribeNetworkInsightsAccessScopes", "MaxResults=100"),
    ("DescribeNetworkInsightsAccessScopeAnalyses", "MaxResults=100"),
    ("GetSubnetCidrReservations", "SubnetId={subnet}"),
    ("DescribeAddressesAttribute", "MaxResults=100"),
    ("DescribeKeyPairs", "Filter.1.Name=key-name&Filter.1.Value.1={name}"),
    ("DescribeImages", "Filter.1.Name=name&Filter.1.Value.1=al2023-*"),
    ("DescribeInstanceTypes", "Filter.1.Name=instance-type&Filter.1.Value.1=t3.*"),
    ("DescribeInstanceTypeOfferings", "Filter.1.Name=instance-type&Filter.1.Value.1=t3.micro"),
    ("DescribeAvailabilityZones", "Filter.1.Name=state&Filter.1.Value.1=available"),
    ("DescribeRegions", "Filter.1.Name=region-name&Filter.1.Value.1=us-east-1"),
    ("DescribePrefixLists", "MaxResults=100"),
    ("DescribeVpcClassicLink", "Filter.1.Name=is-classic-link-enabled&Filter.1.Value.1=true"),
];

/// Asks everything so often, each time about another VPC.
///
/// # Errors
/// The first answer that is an error.
pub(super) fn ask(client: &mut Client, made: &[&Made], times: usize, scope: Scope) -> Result<Times> {
    let ours = OF_OURS.iter().filter(|_| scope == Scope::All);
    let mut took = Times::new();
    for (action, parameters) in OF_ALL.iter().chain(ours) {
        let mut token = None::<String>;
        let mut all = Vec::with_capacity(times);
        for turn in 0..times {
            // Spread over all of them.
            let of = made.get(turn * 7919 % made.len().max(1)).context("nothing was made")?;
            let said = with(parameters, of);
            let mut said: Vec<(&str, &str)> = said.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
            said.extend(
                token.as_deref().filter(|_| parameters.starts_with("MaxResults")).map(|token| ("NextToken", token)),
            );
            let began = Instant::now();
            let answer = client.call(action, &said).with_context(|| parameters.to_string())?;
            all.push(began.elapsed().as_secs_f64() * 1000.0);
            token = element(answer, "nextToken").map(String::from);
        }
        took.insert(format!("{action} {}", shown(parameters)), all);
    }
    Ok(took)
}

/// The parameters with what this VPC has; a plus is a space.
fn with(parameters: &str, made: &Made) -> Vec<(String, String)> {
    let first = |list: &[String]| list.first().cloned().unwrap_or_default();
    let values = [
        ("{vpc}", made.vpc.clone()),
        ("{name}", format!("n{}", made.n)),
        ("{n}", made.n.to_string()),
        ("{block}", super::fill::block(made.n)),
        ("{subnet}", first(&made.subnets)),
        ("{group}", made.group.clone()),
        ("{interface}", first(&made.interfaces)),
        ("{instance}", first(&made.instances)),
        ("{address}", made.address.clone()),
        ("{peering}", made.peering.clone()),
    ];
    let fill = |text: &str| values.iter().fold(text.replace('+', " "), |text, (name, value)| text.replace(name, value));
    parameters
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(key, value)| (key.into(), fill(value)))
        .collect()
}

/// What it is about, in few words: filters by name, the size of the page.
fn shown(parameters: &str) -> String {
    let pairs = parameters.split('&').filter_map(|pair| pair.split_once('='));
    let words = pairs.filter_map(|(key, value)| match key {
        _ if key.ends_with(".Name") => Some(value.to_owned()),
        _ if key.contains(".Value.") && value.contains('*') => Some("(pattern)".to_owned()),
        _ if key.contains(".Value.") => (!value.contains('{')).then(|| value.to_owned()),
        "MaxResults" => Some(format!("page of {value}")),
        _ => Some("by id".to_owned()),
    });
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_are_filled_in_and_named() {
        let made = Made { n: 300, vpc: "vpc-1".into(), ..Made::default() };
        let said = with("Filter.1.Name=tag:Name&Filter.1.Value.1=*+{name}&VpcId={vpc}&X={block}.0", &made);
        let said: Vec<_> = said.iter().map(|(key, value)| format!("{key}={value}")).collect();
        assert_eq!(said, ["Filter.1.Name=tag:Name", "Filter.1.Value.1=* n300", "VpcId=vpc-1", "X=10.1.44.0"]);
        assert_eq!(shown("Filter.1.Name=tag:Name&Filter.1.Value.1=*&MaxResults=100"), "tag:Name (pattern) page of 100");
        assert_eq!(shown("VpcId.1={vpc}"), "by id");
    }

    #[test]
    fn no_two_have_one_name() {
        let names: std::collections::BTreeSet<String> = OF_ALL
            .iter()
            .chain(OF_OURS)
            .map(|(action, parameters)| format!("{action} {}", shown(parameters)))
            .collect();
        assert_eq!(names.len(), OF_ALL.len() + OF_OURS.len());
    }
}
