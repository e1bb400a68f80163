//! Which actions of EC2 are there, and do they do what they say? One table for the command line, the documentation and its checks.
//!
//! An action of the table of [`action`](crate::action) is enforced unless it stands in [`RECORDED`]; what stands in a group and not in that
//! table is absent, like everything in no group.

use crate::action::NAMES;

/// How far an action is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Support {
    /// It does what EC2's does; where that concerns packets, packets obey.
    Enforced,
    /// What it says is kept and shown as EC2 shows it, and nothing acts on it. An action that only describes is recorded where what it
    /// describes is a label here.
    Recorded,
    /// `InvalidAction`.
    Absent,
}

impl Support {
    pub fn name(self) -> &'static str {
        match self {
            Support::Enforced => "enforced",
            Support::Recorded => "recorded",
            Support::Absent => "absent",
        }
    }

    /// Of the action of that name.
    pub fn of(action: &str) -> Support {
        if !NAMES.contains(&action) {
            Support::Absent
        } else if RECORDED.contains(&action) {
            Support::Recorded
        } else {
            Support::Enforced
        }
    }
}

/// Actions that belong together. Tier 1 is what a peering needs, 2 the rest of VPC networking, 3 what stands beside it.
#[derive(Clone, Copy, Debug)]
pub struct Group {
    pub tier: u8,
    pub name: &'static str,
    pub actions: &'static [&'static str],
}

/// An action with its place and how far it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    pub action: &'static str,
    pub tier: u8,
    pub group: &'static str,
    pub support: Support,
}

/// Every action of VPC networking, in order of tier and group.
pub fn rows() -> impl Iterator<Item = Row> {
    GROUPS.iter().flat_map(|group| {
        let row =
            |action: &&'static str| Row { action, tier: group.tier, group: group.name, support: Support::of(action) };
        group.actions.iter().map(row)
    })
}

/// Actions of the table that keep and show, and no more.
pub const RECORDED: &[&str] = &[
    // Labels: a sandbox has neither an image nor a size nor volumes.
    "DescribeImages",
    "DescribeImageAttribute",
    "RegisterImage",
    "DeregisterImage",
    "DescribeInstanceTypes",
    "DescribeInstanceTypeOfferings",
    "DescribeVolumes",
    "DescribeInstanceCreditSpecifications",
    "ModifyInstanceCreditSpecification",
    "MonitorInstances",
    "UnmonitorInstances",
    "ModifyInstanceMaintenanceOptions",
    // No sshd is told of a key.
    "CreateKeyPair",
    "ImportKeyPair",
    "DeleteKeyPair",
    "DescribeKeyPairs",
    "ModifyVpcTenancy",
    // No account has ClassicLink.
    "DescribeVpcClassicLink",
    "DescribeVpcClassicLinkDnsSupport",
    "DescribeVpcBlockPublicAccessOptions",
    "ModifyVpcBlockPublicAccessOptions",
    // Nobody runs the template here.
    "GetFlowLogsIntegrationTemplate",
    // No VPN ends here.
    "CreateVpnGateway",
    "DeleteVpnGateway",
    "DescribeVpnGateways",
    "AttachVpnGateway",
    "DetachVpnGateway",
    "EnableVgwRoutePropagation",
    "DisableVgwRoutePropagation",
];

macro_rules! groups {
    ($($tier:literal $name:literal: $($action:ident),+;)+) => {
        const GROUPS: &[Group] = &[$(Group { tier: $tier, name: $name, actions: &[$(stringify!($action)),+] },)+];
    };
}

groups! {
    1 "VPC peering":
        CreateVpcPeeringConnection, AcceptVpcPeeringConnection, RejectVpcPeeringConnection,
        DeleteVpcPeeringConnection, DescribeVpcPeeringConnections, ModifyVpcPeeringConnectionOptions;
    1 "VPC":
        CreateVpc, DeleteVpc, DescribeVpcs, ModifyVpcAttribute, DescribeVpcAttribute,
        AssociateVpcCidrBlock, DisassociateVpcCidrBlock;
    1 "Subnet":
        CreateSubnet, DeleteSubnet, DescribeSubnets, ModifySubnetAttribute, AssociateSubnetCidrBlock,
        DisassociateSubnetCidrBlock;
    1 "Route tables":
        CreateRouteTable, DeleteRouteTable, DescribeRouteTables, AssociateRouteTable,
        DisassociateRouteTable, ReplaceRouteTableAssociation, CreateRoute, ReplaceRoute, DeleteRoute;
    1 "Security groups":
        CreateSecurityGroup, DeleteSecurityGroup, DescribeSecurityGroups, DescribeSecurityGroupRules,
        ModifySecurityGroupRules, AuthorizeSecurityGroupIngress, AuthorizeSecurityGroupEgress,
        RevokeSecurityGroupIngress, RevokeSecurityGroupEgress, UpdateSecurityGroupRuleDescriptionsIngress,
        UpdateSecurityGroupRuleDescriptionsEgress, DescribeSecurityGroupReferences,
        DescribeStaleSecurityGroups;
    1 "ENI and instance (light)":
        CreateNetworkInterface, DeleteNetworkInterface, DescribeNetworkInterfaces,
        ModifyNetworkInterfaceAttribute, DescribeNetworkInterfaceAttribute, AttachNetworkInterface,
        DetachNetworkInterface, RunInstances, DescribeInstances, TerminateInstances,
        DescribeInstanceAttribute, ModifyInstanceAttribute, DescribeInstanceTypes, DescribeImages,
        DescribeInstanceCreditSpecifications, DescribeVolumes, DescribeInstanceStatus;
    1 "Tags, regions, account":
        CreateTags, DeleteTags, DescribeTags, DescribeRegions, DescribeAvailabilityZones,
        DescribeAccountAttributes;
    1 "Read by Terraform aws_vpc":
        DescribeNetworkAcls;
    2 "Network ACL":
        CreateNetworkAcl, DeleteNetworkAcl, CreateNetworkAclEntry, DeleteNetworkAclEntry,
        ReplaceNetworkAclEntry, ReplaceNetworkAclAssociation;
    2 "Internet gateways":
        CreateInternetGateway, DeleteInternetGateway, AttachInternetGateway, DetachInternetGateway,
        DescribeInternetGateways, CreateEgressOnlyInternetGateway, DeleteEgressOnlyInternetGateway,
        DescribeEgressOnlyInternetGateways;
    2 "Elastic IP":
        AllocateAddress, ReleaseAddress, AssociateAddress, DisassociateAddress, DescribeAddresses,
        DescribeAddressesAttribute, ModifyAddressAttribute, ResetAddressAttribute;
    2 "DHCP options":
        CreateDhcpOptions, DeleteDhcpOptions, AssociateDhcpOptions, DescribeDhcpOptions;
    2 "Prefix lists":
        CreateManagedPrefixList, DeleteManagedPrefixList, ModifyManagedPrefixList,
        RestoreManagedPrefixListVersion, DescribeManagedPrefixLists, GetManagedPrefixListEntries,
        GetManagedPrefixListAssociations, DescribePrefixLists;
    2 "ENI full":
        AssignPrivateIpAddresses, UnassignPrivateIpAddresses, AssignIpv6Addresses, UnassignIpv6Addresses,
        ResetNetworkInterfaceAttribute, CreateNetworkInterfacePermission, DeleteNetworkInterfacePermission,
        DescribeNetworkInterfacePermissions;
    2 "Instances and keys":
        StartInstances, StopInstances, RebootInstances, DescribeInstanceTypeOfferings, CreateKeyPair,
        DeleteKeyPair, DescribeKeyPairs, ImportKeyPair, GetConsoleOutput, ModifyInstanceMetadataOptions,
        ModifyInstanceCreditSpecification, MonitorInstances, UnmonitorInstances, DescribeImageAttribute,
        RegisterImage, DeregisterImage, ModifyInstanceMaintenanceOptions, ModifyPrivateDnsNameOptions,
        GetInstanceMetadataDefaults, ModifyInstanceMetadataDefaults;
    2 "Defaults and VPC extras":
        CreateDefaultVpc, CreateDefaultSubnet, ModifyVpcTenancy, CreateSubnetCidrReservation,
        DeleteSubnetCidrReservation, GetSubnetCidrReservations, AssociateSecurityGroupVpc,
        DisassociateSecurityGroupVpc, DescribeSecurityGroupVpcAssociations, GetSecurityGroupsForVpc,
        DescribeVpcClassicLink, DescribeVpcClassicLinkDnsSupport, DescribeVpcBlockPublicAccessOptions,
        ModifyVpcBlockPublicAccessOptions;
    2 "VPN gateway (route propagation)":
        CreateVpnGateway, DeleteVpnGateway, DescribeVpnGateways, AttachVpnGateway, DetachVpnGateway,
        EnableVgwRoutePropagation, DisableVgwRoutePropagation;
    3 "Transit gateway":
        CreateTransitGateway, DeleteTransitGateway, ModifyTransitGateway, DescribeTransitGateways,
        DescribeTransitGatewayAttachments, CreateTransitGatewayVpcAttachment,
        DeleteTransitGatewayVpcAttachment, ModifyTransitGatewayVpcAttachment,
        DescribeTransitGatewayVpcAttachments, AcceptTransitGatewayVpcAttachment,
        RejectTransitGatewayVpcAttachment, CreateTransitGatewayPeeringAttachment,
        AcceptTransitGatewayPeeringAttachment, RejectTransitGatewayPeeringAttachment,
        DeleteTransitGatewayPeeringAttachment, DescribeTransitGatewayPeeringAttachments,
        CreateTransitGatewayRouteTable, DeleteTransitGatewayRouteTable, DescribeTransitGatewayRouteTables,
        AssociateTransitGatewayRouteTable, DisassociateTransitGatewayRouteTable,
        GetTransitGatewayRouteTableAssociations, GetTransitGatewayAttachmentPropagations,
        EnableTransitGatewayRouteTablePropagation, DisableTransitGatewayRouteTablePropagation,
        GetTransitGatewayRouteTablePropagations, CreateTransitGatewayRoute, DeleteTransitGatewayRoute,
        ReplaceTransitGatewayRoute, SearchTransitGatewayRoutes, ExportTransitGatewayRoutes,
        CreateTransitGatewayPrefixListReference, DeleteTransitGatewayPrefixListReference,
        ModifyTransitGatewayPrefixListReference, GetTransitGatewayPrefixListReferences;
    3 "NAT gateway":
        CreateNatGateway, DeleteNatGateway, DescribeNatGateways, AssociateNatGatewayAddress,
        DisassociateNatGatewayAddress, AssignPrivateNatGatewayAddress, UnassignPrivateNatGatewayAddress;
    3 "VPC endpoints":
        CreateVpcEndpoint, DeleteVpcEndpoints, ModifyVpcEndpoint, DescribeVpcEndpoints,
        DescribeVpcEndpointServices, DescribeVpcEndpointAssociations, CreateVpcEndpointServiceConfiguration,
        DeleteVpcEndpointServiceConfigurations, ModifyVpcEndpointServiceConfiguration,
        DescribeVpcEndpointServiceConfigurations, DescribeVpcEndpointServicePermissions,
        ModifyVpcEndpointServicePermissions, DescribeVpcEndpointConnections, AcceptVpcEndpointConnections,
        RejectVpcEndpointConnections, StartVpcEndpointServicePrivateDnsVerification;
    3 "Flow logs":
        CreateFlowLogs, DeleteFlowLogs, DescribeFlowLogs, GetFlowLogsIntegrationTemplate;
    3 "Reachability Analyzer / access scopes":
        CreateNetworkInsightsPath, DeleteNetworkInsightsPath, DescribeNetworkInsightsPaths,
        StartNetworkInsightsAnalysis, DeleteNetworkInsightsAnalysis, DescribeNetworkInsightsAnalyses,
        CreateNetworkInsightsAccessScope, DeleteNetworkInsightsAccessScope,
        DescribeNetworkInsightsAccessScopes, GetNetworkInsightsAccessScopeContent,
        StartNetworkInsightsAccessScopeAnalysis, DeleteNetworkInsightsAccessScopeAnalysis,
        DescribeNetworkInsightsAccessScopeAnalyses, GetNetworkInsightsAccessScopeAnalysisFindings;
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_action_of_the_table_has_one_place() {
        let places: Vec<&str> = rows().map(|row| row.action).collect();
        let once: BTreeSet<&str> = places.iter().copied().collect();
        assert_eq!(once.len(), places.len(), "an action stands in two groups");
        let homeless: Vec<_> = NAMES.iter().filter(|name| !once.contains(*name)).collect();
        assert!(homeless.is_empty(), "in no group: {homeless:?}");
        assert_eq!(NAMES.iter().collect::<BTreeSet<_>>().len(), NAMES.len(), "an action stands twice in the table");
    }

    #[test]
    fn what_is_recorded_is_there() {
        for name in RECORDED {
            assert_eq!(Support::of(name), Support::Recorded, "{name}");
        }
        assert_eq!(Support::of("CreateVpc"), Support::Enforced);
        assert_eq!(Support::of("CreateTransitGateway"), Support::Absent);
        assert_eq!(Support::of("createvpc"), Support::Absent);
    }
}
