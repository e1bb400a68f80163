//! Network ACLs (spec ch. 7).

use model::*;

use super::{Done, TagSpecification};
use crate::value::scalar;
use crate::{Error, Filter, FromQuery, Node};

operation! {
    CreateNetworkAcl -> CreateNetworkAclResponse {
        vpc_id: VpcId = "VpcId",
        client_token: Option<String> = "ClientToken",
        tag_specifications: Vec<TagSpecification> = "TagSpecification",
    }
}

output! {
    CreateNetworkAclResponse {
        network_acl: NetworkAclItem = "networkAcl",
        client_token: Option<String> = "clientToken",
    }
}

operation! {
    DeleteNetworkAcl -> Done {
        network_acl_id: NetworkAclId = "NetworkAclId",
    }
}

operation! {
    DescribeNetworkAcls -> DescribeNetworkAclsResponse {
        network_acl_ids: Vec<NetworkAclId> = "NetworkAclId",
        filters: Vec<Filter> = "Filter",
        max_results: Option<i32> = "MaxResults",
        next_token: Option<String> = "NextToken",
    }
}

output! {
    DescribeNetworkAclsResponse {
        network_acls: Vec<NetworkAclItem> = "networkAclSet",
        next_token: Option<String> = "nextToken",
    }
}

output! {
    NetworkAclItem {
        network_acl_id: NetworkAclId = "networkAclId",
        vpc_id: VpcId = "vpcId",
        owner_id: AccountId = "ownerId",
        is_default: bool = "default",
        entry_set: Vec<NetworkAclEntryItem> = "entrySet",
        association_set: Vec<NetworkAclAssociationItem> = "associationSet",
        tag_set: Tags = "tagSet",
    }
}

output! {
    NetworkAclEntryItem {
        rule_number: u16 = "ruleNumber",
        protocol: String = "protocol",
        rule_action: &'static str = "ruleAction",
        egress: bool = "egress",
        cidr_block: Option<Ipv4Cidr> = "cidrBlock",
        ipv6_cidr_block: Option<Ipv6Cidr> = "ipv6CidrBlock",
        icmp_type_code: Option<IcmpTypeCodeItem> = "icmpTypeCode",
        port_range: Option<PortRangeItem> = "portRange",
    }
}

output! {
    IcmpTypeCodeItem {
        code: i32 = "code",
        kind: i32 = "type",
    }
}

output! {
    PortRangeItem {
        from: i32 = "from",
        to: i32 = "to",
    }
}

output! {
    NetworkAclAssociationItem {
        network_acl_association_id: NetworkAclAssociationId = "networkAclAssociationId",
        network_acl_id: NetworkAclId = "networkAclId",
        subnet_id: SubnetId = "subnetId",
    }
}

input! {
    /// A numbered rule as it comes in.
    EntryInput {
        network_acl_id: NetworkAclId = "NetworkAclId",
        rule_number: i32 = "RuleNumber",
        protocol: IpProtocol = "Protocol",
        rule_action: AclAction = "RuleAction",
        egress: bool = "Egress",
        cidr_block: Option<Ipv4Cidr> = "CidrBlock",
        ipv6_cidr_block: Option<Ipv6Cidr> = "Ipv6CidrBlock",
        icmp: Option<IcmpTypeCode> = "Icmp",
        port_range: Option<PortRange> = "PortRange",
    }
}

input! {
    IcmpTypeCode {
        code: Option<i32> = "Code",
        kind: Option<i32> = "Type",
    }
}

input! {
    PortRange {
        from: Option<i32> = "From",
        to: Option<i32> = "To",
    }
}

/// Create and Replace ask for the same.
macro_rules! with_entry {
    ($($name:ident),*) => {
        $(
            #[derive(Clone, Debug, PartialEq, Eq)]
            pub struct $name(pub EntryInput);

            impl FromQuery for $name {
                fn from_query(node: Option<&Node>, name: &str) -> Result<Self, Error> {
                    FromQuery::from_query(node, name).map($name)
                }

                fn reads() -> crate::Members {
                    EntryInput::reads()
                }
            }

            impl crate::Operation for $name {
                const NAME: &'static str = stringify!($name);
                type Reply = Done;
            }
        )*
    };
}

with_entry!(CreateNetworkAclEntry, ReplaceNetworkAclEntry);

impl FromQuery for AclAction {
    fn from_query(node: Option<&Node>, name: &str) -> Result<Self, Error> {
        match scalar(node, name)? {
            "allow" => Ok(AclAction::Allow),
            "deny" => Ok(AclAction::Deny),
            text => Err(Error::invalid_parameter(name, text, "Expected allow or deny.")),
        }
    }
}

operation! {
    DeleteNetworkAclEntry -> Done {
        network_acl_id: NetworkAclId = "NetworkAclId",
        rule_number: i32 = "RuleNumber",
        egress: bool = "Egress",
    }
}

operation! {
    ReplaceNetworkAclAssociation -> ReplaceNetworkAclAssociationResponse {
        association_id: NetworkAclAssociationId = "AssociationId",
        network_acl_id: NetworkAclId = "NetworkAclId",
    }
}

output! {
    ReplaceNetworkAclAssociationResponse {
        new_association_id: NetworkAclAssociationId = "newAssociationId",
    }
}
