//! Network Insights: paths and their analyses (spec 12.2).

use std::net::IpAddr;

use model::insights::{
    AclRule, AdditionalDetail, Component, Explanation, GroupRule, PacketHeader, PathComponent, PortRange, RouteUsed,
};
use model::*;

use super::TagSpecification;
use crate::{Filter, Member, Members, Shape, ToXml, Xml};

operation! {
    CreateNetworkInsightsPath -> CreateNetworkInsightsPathResponse {
        /// An id or an ARN, as Destination is.
        source: String = "Source",
        destination: Option<String> = "Destination",
        source_ip: Option<IpAddr> = "SourceIp",
        destination_ip: Option<IpAddr> = "DestinationIp",
        protocol: String = "Protocol",
        destination_port: Option<i32> = "DestinationPort",
        filter_at_source: Option<PathFilterInput> = "FilterAtSource",
        filter_at_destination: Option<PathFilterInput> = "FilterAtDestination",
        client_token: String = "ClientToken",
        tag_specifications: Vec<TagSpecification> = "TagSpecification",
    }
}

input! {
    PathFilterInput {
        source_address: Option<IpAddr> = "SourceAddress",
        source_port_range: Option<FilterPortRangeInput> = "SourcePortRange",
        destination_address: Option<IpAddr> = "DestinationAddress",
        destination_port_range: Option<FilterPortRangeInput> = "DestinationPortRange",
    }
}

input! {
    FilterPortRangeInput {
        from_port: Option<i32> = "FromPort",
        to_port: Option<i32> = "ToPort",
    }
}

output! {
    CreateNetworkInsightsPathResponse {
        network_insights_path: NetworkInsightsPathItem = "networkInsightsPath",
    }
}

output! {
    NetworkInsightsPathItem {
        network_insights_path_id: InsightsPathId = "networkInsightsPathId",
        network_insights_path_arn: String = "networkInsightsPathArn",
        created_date: Time = "createdDate",
        source: String = "source",
        destination: Option<String> = "destination",
        source_arn: String = "sourceArn",
        destination_arn: Option<String> = "destinationArn",
        source_ip: Option<IpAddr> = "sourceIp",
        destination_ip: Option<IpAddr> = "destinationIp",
        /// `tcp` or `udp`.
        protocol: String = "protocol",
        destination_port: Option<u16> = "destinationPort",
        tag_set: Tags = "tagSet",
        filter_at_source: Option<PathFilterItem> = "filterAtSource",
        filter_at_destination: Option<PathFilterItem> = "filterAtDestination",
    }
}

output! {
    PathFilterItem {
        source_address: Option<IpAddr> = "sourceAddress",
        source_port_range: Option<FilterPortRangeItem> = "sourcePortRange",
        destination_address: Option<IpAddr> = "destinationAddress",
        destination_port_range: Option<FilterPortRangeItem> = "destinationPortRange",
    }
}

output! {
    FilterPortRangeItem {
        from_port: u16 = "fromPort",
        to_port: u16 = "toPort",
    }
}

operation! {
    DeleteNetworkInsightsPath -> DeleteNetworkInsightsPathResponse {
        network_insights_path_id: InsightsPathId = "NetworkInsightsPathId",
    }
}

output! {
    DeleteNetworkInsightsPathResponse {
        network_insights_path_id: InsightsPathId = "networkInsightsPathId",
    }
}

operation! {
    DescribeNetworkInsightsPaths -> DescribeNetworkInsightsPathsResponse {
        network_insights_path_ids: Vec<InsightsPathId> = "NetworkInsightsPathId",
        filters: Vec<Filter> = "Filter",
        max_results: Option<i32> = "MaxResults",
        next_token: Option<String> = "NextToken",
    }
}

output! {
    DescribeNetworkInsightsPathsResponse {
        network_insights_paths: Vec<NetworkInsightsPathItem> = "networkInsightsPathSet",
        next_token: Option<String> = "nextToken",
    }
}

operation! {
    StartNetworkInsightsAnalysis -> StartNetworkInsightsAnalysisResponse {
        network_insights_path_id: InsightsPathId = "NetworkInsightsPathId",
        additional_accounts: Vec<AccountId> = "AdditionalAccount",
        filter_in_arns: Vec<String> = "FilterInArn",
        filter_out_arns: Vec<String> = "FilterOutArn",
        client_token: String = "ClientToken",
        tag_specifications: Vec<TagSpecification> = "TagSpecification",
    }
}

output! {
    StartNetworkInsightsAnalysisResponse {
        network_insights_analysis: NetworkInsightsAnalysisItem = "networkInsightsAnalysis",
    }
}

operation! {
    DeleteNetworkInsightsAnalysis -> DeleteNetworkInsightsAnalysisResponse {
        network_insights_analysis_id: InsightsAnalysisId = "NetworkInsightsAnalysisId",
    }
}

output! {
    DeleteNetworkInsightsAnalysisResponse {
        network_insights_analysis_id: InsightsAnalysisId = "networkInsightsAnalysisId",
    }
}

operation! {
    DescribeNetworkInsightsAnalyses -> DescribeNetworkInsightsAnalysesResponse {
        network_insights_analysis_ids: Vec<InsightsAnalysisId> = "NetworkInsightsAnalysisId",
        network_insights_path_id: Option<InsightsPathId> = "NetworkInsightsPathId",
        analysis_start_time: Option<Time> = "AnalysisStartTime",
        analysis_end_time: Option<Time> = "AnalysisEndTime",
        filters: Vec<Filter> = "Filter",
        max_results: Option<i32> = "MaxResults",
        next_token: Option<String> = "NextToken",
    }
}

output! {
    DescribeNetworkInsightsAnalysesResponse {
        network_insights_analyses: Vec<NetworkInsightsAnalysisItem> = "networkInsightsAnalysisSet",
        next_token: Option<String> = "nextToken",
    }
}

output! {
    NetworkInsightsAnalysisItem {
        network_insights_analysis_id: InsightsAnalysisId = "networkInsightsAnalysisId",
        network_insights_analysis_arn: String = "networkInsightsAnalysisArn",
        network_insights_path_id: InsightsPathId = "networkInsightsPathId",
        additional_account_set: Vec<AccountId> = "additionalAccountSet",
        filter_in_arn_set: Vec<String> = "filterInArnSet",
        filter_out_arn_set: Vec<String> = "filterOutArnSet",
        start_date: Time = "startDate",
        /// `running`, `succeeded` or `failed`.
        status: &'static str = "status",
        status_message: Option<String> = "statusMessage",
        warning_message: Option<String> = "warningMessage",
        network_path_found: Option<bool> = "networkPathFound",
        forward_path_component_set: Vec<PathComponent> = "forwardPathComponentSet",
        return_path_component_set: Vec<PathComponent> = "returnPathComponentSet",
        explanation_set: Vec<Explanation> = "explanationSet",
        suggested_account_set: Vec<AccountId> = "suggestedAccountSet",
        tag_set: Tags = "tagSet",
    }
}

/// Declares how records of findings are written: members, and lists that are left out when they are empty.
macro_rules! written {
    ($($name:ident { $($field:ident = $wire:literal,)* $([$list:ident] = $list_wire:literal,)* })*) => {
        $(
            impl Shape for $name {
                fn members(&self, xml: &mut Xml) {
                    $(ToXml::write(&self.$field, $wire, xml);)*
                    $(if !self.$list.is_empty() {
                        ToXml::write(&self.$list, $list_wire, xml);
                    })*
                }
            }

            impl ToXml for $name {
                fn write(&self, name: &str, xml: &mut Xml) {
                    xml.element(name, |xml| self.members(xml));
                }

                fn writes() -> Members {
                    Members::Structure(vec![
                        $(member($wire, |value: &$name| &value.$field),)*
                        $(member($list_wire, |value: &$name| &value.$list),)*
                    ])
                }
            }
        )*
    };
}

/// The field's type says what it writes.
fn member<S, T: ToXml>(name: &'static str, _field: fn(&S) -> &T) -> Member {
    Member { name, members: T::writes, is_required: false }
}

written! {
    PortRange {
        from = "from",
        to = "to",
    }

    Component {
        id = "id",
        arn = "arn",
        name = "name",
    }

    PacketHeader {
        protocol = "protocol",
        [source_addresses] = "sourceAddressSet",
        [source_ports] = "sourcePortRangeSet",
        [destination_addresses] = "destinationAddressSet",
        [destination_ports] = "destinationPortRangeSet",
    }

    AclRule {
        cidr = "cidr",
        egress = "egress",
        ports = "portRange",
        protocol = "protocol",
        action = "ruleAction",
        number = "ruleNumber",
    }

    GroupRule {
        cidr = "cidr",
        direction = "direction",
        group = "securityGroupId",
        ports = "portRange",
        prefix_list = "prefixListId",
        protocol = "protocol",
    }

    RouteUsed {
        destination_cidr = "destinationCidr",
        destination_prefix_list = "destinationPrefixListId",
        egress_only_internet_gateway = "egressOnlyInternetGatewayId",
        gateway = "gatewayId",
        instance = "instanceId",
        nat_gateway = "natGatewayId",
        network_interface = "networkInterfaceId",
        origin = "origin",
        transit_gateway = "transitGatewayId",
        peering = "vpcPeeringConnectionId",
        state = "state",
    }

    AdditionalDetail {
        kind = "additionalDetailType",
    }

    PathComponent {
        sequence = "sequenceNumber",
        component = "component",
        attached_to = "attachedTo",
        acl_rule = "aclRule",
        group_rule = "securityGroupRule",
        route = "routeTableRoute",
        inbound = "inboundHeader",
        outbound = "outboundHeader",
        subnet = "subnet",
        vpc = "vpc",
        source_vpc = "sourceVpc",
        destination_vpc = "destinationVpc",
        [details] = "additionalDetailSet",
        [explanations] = "explanationSet",
    }

    Explanation {
        code = "explanationCode",
        direction = "direction",
        component = "component",
        component_account = "componentAccount",
        component_region = "componentRegion",
        state = "state",
        packet_field = "packetField",
        address = "address",
        acl = "acl",
        acl_rule = "aclRule",
        security_group = "securityGroup",
        group_rule = "securityGroupRule",
        route_table = "routeTable",
        route = "routeTableRoute",
        network_interface = "networkInterface",
        internet_gateway = "internetGateway",
        nat_gateway = "natGateway",
        peering = "vpcPeeringConnection",
        subnet = "subnet",
        vpc = "vpc",
        source_vpc = "sourceVpc",
        destination_vpc = "destinationVpc",
        [addresses] = "addressSet",
        [cidrs] = "cidrSet",
        [port_ranges] = "portRangeSet",
        [security_groups] = "securityGroupSet",
    }
}
