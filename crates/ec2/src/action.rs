//! The table of actions: one word for each, under the module of its shapes.

use crate::shapes;
use crate::{Error, FromQuery, Members, Node, Shape, ToXml, Xml, parameters};

/// The one version of the API.
pub const VERSION: &str = "2016-11-15";
const NAMESPACE: &str = "http://ec2.amazonaws.com/doc/2016-11-15/";

/// An action's request shape.
pub trait Operation: FromQuery {
    const NAME: &'static str;
    type Reply: Shape + ToXml;
}

/// Calls the macro with the table: `module: Action, Action; module: ...`.
#[macro_export]
macro_rules! for_each_action {
    ($callback:ident) => {
        $callback! {
            vpc: CreateVpc, DeleteVpc, DescribeVpcs, ModifyVpcAttribute, DescribeVpcAttribute, AssociateVpcCidrBlock,
                DisassociateVpcCidrBlock;
            subnet: CreateSubnet, DeleteSubnet, DescribeSubnets, ModifySubnetAttribute, AssociateSubnetCidrBlock,
                DisassociateSubnetCidrBlock;
            route: CreateRouteTable, DeleteRouteTable, DescribeRouteTables, AssociateRouteTable, DisassociateRouteTable,
                ReplaceRouteTableAssociation, CreateRoute, ReplaceRoute, DeleteRoute;
            gateway: CreateInternetGateway, DeleteInternetGateway, AttachInternetGateway, DetachInternetGateway,
                DescribeInternetGateways;
            nat_gateway: CreateNatGateway, DeleteNatGateway, DescribeNatGateways, AssociateNatGatewayAddress,
                DisassociateNatGatewayAddress, AssignPrivateNatGatewayAddress, UnassignPrivateNatGatewayAddress;
            egress_only_gateway: CreateEgressOnlyInternetGateway, DeleteEgressOnlyInternetGateway,
                DescribeEgressOnlyInternetGateways;
            address: AllocateAddress, ReleaseAddress, AssociateAddress, DisassociateAddress, DescribeAddresses,
                DescribeAddressesAttribute, ModifyAddressAttribute, ResetAddressAttribute;
            dhcp: DescribeDhcpOptions, CreateDhcpOptions, DeleteDhcpOptions, AssociateDhcpOptions;
            flow_log: CreateFlowLogs, DeleteFlowLogs, DescribeFlowLogs;
            tag: CreateTags, DeleteTags, DescribeTags;
            insights: CreateNetworkInsightsPath, DeleteNetworkInsightsPath, DescribeNetworkInsightsPaths,
                StartNetworkInsightsAnalysis, DescribeNetworkInsightsAnalyses, DeleteNetworkInsightsAnalysis;
            access_scope: CreateNetworkInsightsAccessScope, DeleteNetworkInsightsAccessScope,
                DescribeNetworkInsightsAccessScopes, GetNetworkInsightsAccessScopeContent,
                StartNetworkInsightsAccessScopeAnalysis, DeleteNetworkInsightsAccessScopeAnalysis,
                DescribeNetworkInsightsAccessScopeAnalyses, GetNetworkInsightsAccessScopeAnalysisFindings;
            peering: CreateVpcPeeringConnection, AcceptVpcPeeringConnection, RejectVpcPeeringConnection, DeleteVpcPeeringConnection, DescribeVpcPeeringConnections, ModifyVpcPeeringConnectionOptions;
            place: DescribeRegions, DescribeAvailabilityZones, DescribeAccountAttributes;
            interface: CreateNetworkInterface, DeleteNetworkInterface, DescribeNetworkInterfaces, ModifyNetworkInterfaceAttribute, DescribeNetworkInterfaceAttribute, AttachNetworkInterface, DetachNetworkInterface, ResetNetworkInterfaceAttribute;
            interface_address: AssignPrivateIpAddresses, UnassignPrivateIpAddresses, AssignIpv6Addresses,
                UnassignIpv6Addresses;
            interface_permission: CreateNetworkInterfacePermission, DeleteNetworkInterfacePermission,
                DescribeNetworkInterfacePermissions;
            instance: RunInstances, DescribeInstances, StartInstances, StopInstances, RebootInstances, TerminateInstances, DescribeInstanceStatus, DescribeInstanceAttribute, ModifyInstanceAttribute, DescribeInstanceCreditSpecifications;
            metadata: ModifyInstanceMetadataOptions;
            metadata_default: GetInstanceMetadataDefaults, ModifyInstanceMetadataDefaults;
            flow_log_template: GetFlowLogsIntegrationTemplate;
            group: CreateSecurityGroup, DeleteSecurityGroup, DescribeSecurityGroups, DescribeSecurityGroupRules,
                AuthorizeSecurityGroupIngress, AuthorizeSecurityGroupEgress, RevokeSecurityGroupIngress,
                RevokeSecurityGroupEgress, ModifySecurityGroupRules, UpdateSecurityGroupRuleDescriptionsIngress,
                UpdateSecurityGroupRuleDescriptionsEgress, DescribeSecurityGroupReferences, DescribeStaleSecurityGroups;
            acl: CreateNetworkAcl, DeleteNetworkAcl, DescribeNetworkAcls, CreateNetworkAclEntry, ReplaceNetworkAclEntry,
                DeleteNetworkAclEntry, ReplaceNetworkAclAssociation;
            private_dns: ModifyPrivateDnsNameOptions;
            catalogue: DescribeVolumes;
            prefix_list: CreateManagedPrefixList, DeleteManagedPrefixList, ModifyManagedPrefixList,
                RestoreManagedPrefixListVersion, DescribeManagedPrefixLists, GetManagedPrefixListEntries,
                GetManagedPrefixListAssociations, DescribePrefixLists;
            default_vpc: CreateDefaultVpc, CreateDefaultSubnet;
            vpc_extra: ModifyVpcTenancy, DescribeVpcClassicLink, DescribeVpcClassicLinkDnsSupport,
                DescribeVpcBlockPublicAccessOptions, ModifyVpcBlockPublicAccessOptions;
            reservation: CreateSubnetCidrReservation, DeleteSubnetCidrReservation, GetSubnetCidrReservations;
            group_vpc: AssociateSecurityGroupVpc, DisassociateSecurityGroupVpc, DescribeSecurityGroupVpcAssociations,
                GetSecurityGroupsForVpc;
            vpn_gateway: CreateVpnGateway, DeleteVpnGateway, DescribeVpnGateways, AttachVpnGateway, DetachVpnGateway,
                EnableVgwRoutePropagation, DisableVgwRoutePropagation;
            key_pair: CreateKeyPair, ImportKeyPair, DeleteKeyPair, DescribeKeyPairs;
            image: DescribeImages, DescribeImageAttribute, RegisterImage, DeregisterImage;
            instance_option: MonitorInstances, UnmonitorInstances, ModifyInstanceCreditSpecification,
                ModifyInstanceMaintenanceOptions, GetConsoleOutput;
            instance_type: DescribeInstanceTypes, DescribeInstanceTypeOfferings;
        }
    };
}

macro_rules! define {
    ($($module:ident: $($action:ident),+;)+) => {
        /// A request that parsed; every id and block in it is valid.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum Action {
            $($($action(Box<shapes::$module::$action>),)+)+
        }

        /// An answer, by the action that it answers.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum Reply {
            $($($action(Box<<shapes::$module::$action as Operation>::Reply>),)+)+
        }

        /// The names of all actions, in the order of the table.
        pub const NAMES: &[&str] = &[$($(stringify!($action),)+)+];

        /// What an action reads; `None`: it is not in the table.
        pub fn reads(name: &str) -> Option<Members> {
            match name {
                $($(stringify!($action) => Some(<shapes::$module::$action as FromQuery>::reads()),)+)+
                _ => None,
            }
        }

        /// What an action's answer may hold.
        pub fn writes(name: &str) -> Option<Members> {
            match name {
                $($(stringify!($action) => {
                    Some(<<shapes::$module::$action as Operation>::Reply as ToXml>::writes())
                })+)+
                _ => None,
            }
        }

        impl Action {
            pub(crate) fn parse(name: &str, node: &Node) -> Result<Action, Error> {
                match name {
                    $($(stringify!($action) => FromQuery::from_query(Some(node), "").map(|action| Action::$action(Box::new(action))),)+)+
                    _ => Err(Error::new("InvalidAction", format!("The action {name} is not valid for this web service."))),
                }
            }

            pub fn name(&self) -> &'static str {
                match self {
                    $($(Action::$action(_) => stringify!($action),)+)+
                }
            }
        }

        impl Reply {
            /// The response document (spec 1.3.4).
            pub fn render(&self, request_id: &str) -> String {
                match self {
                    $($(Reply::$action(reply) => render(stringify!($action), &**reply, request_id),)+)+
                }
            }
        }
    };
}

for_each_action!(define);

fn render(action: &str, reply: &impl Shape, request_id: &str) -> String {
    let mut xml = Xml::document();
    xml.root(&format!("{action}Response"), NAMESPACE, |xml| {
        xml.text("requestId", request_id);
        reply.members(xml);
    });
    xml.finish()
}

/// A request with what every action may carry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub action: Action,
    pub dry_run: bool,
    /// A digest of what is asked for, without ClientToken and what a query says about who asks: is a repeated token the same
    /// request?
    pub parameters: u64,
    /// Parameters that EC2's model does not know, and that nobody reads.
    pub unknown: Vec<String>,
}

impl Request {
    /// # Errors
    /// `MissingAction`, `InvalidAction`, `NoSuchVersion`, what the action's own parameters have wrong, and
    /// `UnsupportedOperation` for a parameter of EC2 that is not implemented here.
    pub fn parse(node: &Node) -> Result<Request, Error> {
        let name = node.text("Action").filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| Error::new("MissingAction", "The request must contain the parameter Action"))?;
        match node.text("Version") {
            Some(VERSION) => {}
            Some(other) => {
                let message =
                    format!("The requested version ({other}) of service AmazonEC2 does not exist; use {VERSION}");
                return Err(Error::new("NoSuchVersion", message));
            }
            None => return Err(Error::missing_parameter("Version")),
        }
        let dry_run = Option::<bool>::from_query(node.member("DryRun"), "DryRun")?.unwrap_or(false);
        let action = Action::parse(name, node)?;
        let unknown = parameters::check(action.name(), node)?;
        Ok(Request { action, dry_run, parameters: node.digest_where(parameters::is_what_is_asked), unknown })
    }
}
