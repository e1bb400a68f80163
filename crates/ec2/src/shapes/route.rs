//! Route tables and routes (spec ch. 4).

use model::*;

use super::{Done, TagSpecification};
use crate::{Error, Filter, FromQuery, Node, Operation};

operation! {
    CreateRouteTable -> CreateRouteTableResponse {
        vpc_id: VpcId = "VpcId",
        client_token: Option<String> = "ClientToken",
        tag_specifications: Vec<TagSpecification> = "TagSpecification",
    }
}

output! {
    CreateRouteTableResponse {
        route_table: RouteTableItem = "routeTable",
        client_token: Option<String> = "clientToken",
    }
}

operation! {
    DeleteRouteTable -> Done {
        route_table_id: RouteTableId = "RouteTableId",
    }
}

operation! {
    DescribeRouteTables -> DescribeRouteTablesResponse {
        route_table_ids: Vec<RouteTableId> = "RouteTableId",
        filters: Vec<Filter> = "Filter",
        max_results: Option<i32> = "MaxResults",
        next_token: Option<String> = "NextToken",
    }
}

output! {
    DescribeRouteTablesResponse {
        route_tables: Vec<RouteTableItem> = "routeTableSet",
        next_token: Option<String> = "nextToken",
    }
}

operation! {
    AssociateRouteTable -> AssociateRouteTableResponse {
        route_table_id: RouteTableId = "RouteTableId",
        subnet_id: Option<SubnetId> = "SubnetId",
        gateway_id: Option<String> = "GatewayId",
    }
}

output! {
    AssociateRouteTableResponse {
        association_id: RouteTableAssociationId = "associationId",
        association_state: AssociationStateItem = "associationState",
    }
}

operation! {
    DisassociateRouteTable -> Done {
        association_id: RouteTableAssociationId = "AssociationId",
    }
}

operation! {
    ReplaceRouteTableAssociation -> ReplaceRouteTableAssociationResponse {
        association_id: RouteTableAssociationId = "AssociationId",
        route_table_id: RouteTableId = "RouteTableId",
    }
}

output! {
    ReplaceRouteTableAssociationResponse {
        new_association_id: RouteTableAssociationId = "newAssociationId",
        association_state: AssociationStateItem = "associationState",
    }
}

input! {
    /// A route as CreateRoute and ReplaceRoute ask for it: one destination, one target.
    RouteInput {
        route_table_id: RouteTableId = "RouteTableId",
        destination_cidr_block: Option<Ipv4Cidr> = "DestinationCidrBlock",
        destination_ipv6_cidr_block: Option<Ipv6Cidr> = "DestinationIpv6CidrBlock",
        destination_prefix_list_id: Option<PrefixListId> = "DestinationPrefixListId",
        /// Only ReplaceRoute has it.
        local_target: Option<bool> = "LocalTarget",
        /// `local`, or the id of an internet gateway, a VPN gateway or a gateway endpoint.
        gateway_id: Option<String> = "GatewayId",
        vpc_peering_connection_id: Option<PeeringId> = "VpcPeeringConnectionId",
        network_interface_id: Option<NetworkInterfaceId> = "NetworkInterfaceId",
        instance_id: Option<InstanceId> = "InstanceId",
        nat_gateway_id: Option<NatGatewayId> = "NatGatewayId",
        transit_gateway_id: Option<TransitGatewayId> = "TransitGatewayId",
        egress_only_internet_gateway_id: Option<EgressOnlyInternetGatewayId> = "EgressOnlyInternetGatewayId",
        vpc_endpoint_id: Option<VpcEndpointId> = "VpcEndpointId",
        local_gateway_id: Option<String> = "LocalGatewayId",
        carrier_gateway_id: Option<String> = "CarrierGatewayId",
        core_network_arn: Option<String> = "CoreNetworkArn",
        odb_network_arn: Option<String> = "OdbNetworkArn",
    }
}

macro_rules! route_operations {
    ($($name:ident),*) => {
        $(
            #[derive(Clone, Debug, PartialEq, Eq)]
            pub struct $name(pub RouteInput);

            impl FromQuery for $name {
                fn from_query(node: Option<&Node>, name: &str) -> Result<Self, Error> {
                    RouteInput::from_query(node, name).map($name)
                }

                fn reads() -> crate::Members {
                    RouteInput::reads()
                }
            }

            impl Operation for $name {
                const NAME: &'static str = stringify!($name);
                type Reply = Done;
            }
        )*
    };
}

route_operations!(CreateRoute, ReplaceRoute);

operation! {
    DeleteRoute -> Done {
        route_table_id: RouteTableId = "RouteTableId",
        destination_cidr_block: Option<Ipv4Cidr> = "DestinationCidrBlock",
        destination_ipv6_cidr_block: Option<Ipv6Cidr> = "DestinationIpv6CidrBlock",
        destination_prefix_list_id: Option<PrefixListId> = "DestinationPrefixListId",
    }
}

output! {
    RouteTableItem {
        route_table_id: RouteTableId = "routeTableId",
        vpc_id: VpcId = "vpcId",
        owner_id: AccountId = "ownerId",
        route_set: Vec<RouteItem> = "routeSet",
        association_set: Vec<RouteTableAssociationItem> = "associationSet",
        propagating_vgw_set: Vec<PropagatingVgwItem> = "propagatingVgwSet",
        tag_set: Tags = "tagSet",
    }
}

output! {
    PropagatingVgwItem {
        gateway_id: VpnGatewayId = "gatewayId",
    }
}

output! {
    RouteTableAssociationItem {
        route_table_association_id: RouteTableAssociationId = "routeTableAssociationId",
        route_table_id: RouteTableId = "routeTableId",
        subnet_id: Option<SubnetId> = "subnetId",
        gateway_id: Option<InternetGatewayId> = "gatewayId",
        main: bool = "main",
        association_state: AssociationStateItem = "associationState",
    }
}

output! {
    AssociationStateItem {
        state: &'static str = "state",
    }
}

output! {
    /// One destination and one target are there.
    #[derive(Default)]
    RouteItem {
        destination_cidr_block: Option<Ipv4Cidr> = "destinationCidrBlock",
        destination_ipv6_cidr_block: Option<Ipv6Cidr> = "destinationIpv6CidrBlock",
        destination_prefix_list_id: Option<PrefixListId> = "destinationPrefixListId",
        /// `local` or an internet gateway's id.
        gateway_id: Option<String> = "gatewayId",
        instance_id: Option<InstanceId> = "instanceId",
        instance_owner_id: Option<AccountId> = "instanceOwnerId",
        network_interface_id: Option<NetworkInterfaceId> = "networkInterfaceId",
        vpc_peering_connection_id: Option<PeeringId> = "vpcPeeringConnectionId",
        nat_gateway_id: Option<NatGatewayId> = "natGatewayId",
        egress_only_internet_gateway_id: Option<EgressOnlyInternetGatewayId> = "egressOnlyInternetGatewayId",
        transit_gateway_id: Option<TransitGatewayId> = "transitGatewayId",
        origin: &'static str = "origin",
        state: &'static str = "state",
    }
}
