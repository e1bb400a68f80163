//! VPC peering connections (spec ch. 5, appendix A.1-A.3).

use model::*;

use super::{Done, TagSpecification};
use crate::value::scalar;
use crate::{Error, Filter, FromQuery, Node};

operation! {
    CreateVpcPeeringConnection -> CreateVpcPeeringConnectionResponse {
        vpc_id: VpcId = "VpcId",
        peer_vpc_id: PeerVpcId = "PeerVpcId",
        peer_owner_id: Option<AccountId> = "PeerOwnerId",
        peer_region: Option<Region> = "PeerRegion",
        requester_peering_connection_options: Option<PeeringOptionsInput> = "RequesterPeeringConnectionOptions",
        tag_specifications: Vec<TagSpecification> = "TagSpecification",
    }
}

/// The other VPC's id. A malformed one has a code of its own: `InvalidVpcId.Malformed` (spec 5.5.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerVpcId(pub VpcId);

impl FromQuery for PeerVpcId {
    fn from_query(node: Option<&Node>, name: &str) -> Result<Self, Error> {
        let malformed =
            |error: IdError| Error { code: "InvalidVpcId.Malformed".into(), ..Error::malformed::<VpcId>(&error) };
        scalar(node, name)?.parse().map(PeerVpcId).map_err(malformed)
    }
}

input! {
    /// What one side's owner may set; what is left out stays as it is.
    PeeringOptionsInput {
        allow_dns_resolution_from_remote_vpc: Option<bool> = "AllowDnsResolutionFromRemoteVpc",
        allow_egress_from_local_classic_link_to_remote_vpc: Option<bool> = "AllowEgressFromLocalClassicLinkToRemoteVpc",
        allow_egress_from_local_vpc_to_remote_classic_link: Option<bool> = "AllowEgressFromLocalVpcToRemoteClassicLink",
        allow_multipath_resilience: Option<bool> = "AllowMultipathResilience",
        multipath_resilience_mode: Option<String> = "MultipathResilienceMode",
    }
}

output! {
    CreateVpcPeeringConnectionResponse {
        vpc_peering_connection: VpcPeeringConnectionItem = "vpcPeeringConnection",
    }
}

operation! {
    AcceptVpcPeeringConnection -> AcceptVpcPeeringConnectionResponse {
        vpc_peering_connection_id: PeeringId = "VpcPeeringConnectionId",
    }
}

output! {
    AcceptVpcPeeringConnectionResponse {
        vpc_peering_connection: VpcPeeringConnectionItem = "vpcPeeringConnection",
    }
}

operation! {
    RejectVpcPeeringConnection -> Done {
        vpc_peering_connection_id: PeeringId = "VpcPeeringConnectionId",
    }
}

operation! {
    DeleteVpcPeeringConnection -> Done {
        vpc_peering_connection_id: PeeringId = "VpcPeeringConnectionId",
    }
}

operation! {
    DescribeVpcPeeringConnections -> DescribeVpcPeeringConnectionsResponse {
        vpc_peering_connection_ids: Vec<PeeringId> = "VpcPeeringConnectionId",
        filters: Vec<Filter> = "Filter",
        max_results: Option<i32> = "MaxResults",
        next_token: Option<String> = "NextToken",
    }
}

output! {
    DescribeVpcPeeringConnectionsResponse {
        vpc_peering_connections: Vec<VpcPeeringConnectionItem> = "vpcPeeringConnectionSet",
        next_token: Option<String> = "nextToken",
    }
}

operation! {
    ModifyVpcPeeringConnectionOptions -> ModifyVpcPeeringConnectionOptionsResponse {
        vpc_peering_connection_id: PeeringId = "VpcPeeringConnectionId",
        requester_peering_connection_options: Option<PeeringOptionsInput> = "RequesterPeeringConnectionOptions",
        accepter_peering_connection_options: Option<PeeringOptionsInput> = "AccepterPeeringConnectionOptions",
    }
}

output! {
    ModifyVpcPeeringConnectionOptionsResponse {
        requester_peering_connection_options: Option<PeeringOptionsItem> = "requesterPeeringConnectionOptions",
        accepter_peering_connection_options: Option<PeeringOptionsItem> = "accepterPeeringConnectionOptions",
    }
}

output! {
    VpcPeeringConnectionItem {
        vpc_peering_connection_id: PeeringId = "vpcPeeringConnectionId",
        requester_vpc_info: VpcPeeringConnectionVpcInfoItem = "requesterVpcInfo",
        accepter_vpc_info: VpcPeeringConnectionVpcInfoItem = "accepterVpcInfo",
        status: PeeringStatusItem = "status",
        expiration_time: Option<Time> = "expirationTime",
        tag_set: Tags = "tagSet",
    }
}

output! {
    /// What is hidden in the peering's state (spec 5.6.3) is absent.
    VpcPeeringConnectionVpcInfoItem {
        owner_id: AccountId = "ownerId",
        vpc_id: VpcId = "vpcId",
        region: Region = "region",
        cidr_block: Option<Ipv4Cidr> = "cidrBlock",
        cidr_block_set: Option<Vec<CidrBlockItem>> = "cidrBlockSet",
        ipv6_cidr_block_set: Option<Vec<Ipv6CidrBlockItem>> = "ipv6CidrBlockSet",
        peering_options: Option<PeeringOptionsItem> = "peeringOptions",
    }
}

output! {
    CidrBlockItem {
        cidr_block: Ipv4Cidr = "cidrBlock",
    }
}

output! {
    Ipv6CidrBlockItem {
        ipv6_cidr_block: Ipv6Cidr = "ipv6CidrBlock",
    }
}

output! {
    PeeringOptionsItem {
        allow_egress_from_local_classic_link_to_remote_vpc: Option<bool> = "allowEgressFromLocalClassicLinkToRemoteVpc",
        allow_egress_from_local_vpc_to_remote_classic_link: Option<bool> = "allowEgressFromLocalVpcToRemoteClassicLink",
        allow_dns_resolution_from_remote_vpc: Option<bool> = "allowDnsResolutionFromRemoteVpc",
    }
}

output! {
    PeeringStatusItem {
        code: &'static str = "code",
        message: String = "message",
    }
}
