//! Security groups, their rules and who refers to them (spec ch. 6).

use model::*;

use super::{Done, TagSpecification};
use crate::{Error, Filter, FromQuery, Member, Members, Node, Operation};

operation! {
    CreateSecurityGroup -> CreateSecurityGroupResponse {
        group_name: String = "GroupName",
        description: String = "GroupDescription",
        vpc_id: Option<VpcId> = "VpcId",
        tag_specifications: Vec<TagSpecification> = "TagSpecification",
    }
}

output! {
    CreateSecurityGroupResponse {
        group_id: SecurityGroupId = "groupId",
        tag_set: Tags = "tagSet",
        security_group_arn: String = "securityGroupArn",
    }
}

operation! {
    DeleteSecurityGroup -> DeleteSecurityGroupResponse {
        group_id: Option<SecurityGroupId> = "GroupId",
        group_name: Option<String> = "GroupName",
    }
}

output! {
    DeleteSecurityGroupResponse {
        result: bool = "return",
        group_id: SecurityGroupId = "groupId",
    }
}

operation! {
    DescribeSecurityGroups -> DescribeSecurityGroupsResponse {
        group_ids: Vec<SecurityGroupId> = "GroupId",
        /// Groups of the default VPC.
        group_names: Vec<String> = "GroupName",
        filters: Vec<Filter> = "Filter",
        max_results: Option<i32> = "MaxResults",
        next_token: Option<String> = "NextToken",
    }
}

output! {
    DescribeSecurityGroupsResponse {
        security_groups: Vec<SecurityGroupItem> = "securityGroupInfo",
        next_token: Option<String> = "nextToken",
    }
}

output! {
    SecurityGroupItem {
        owner_id: AccountId = "ownerId",
        group_id: SecurityGroupId = "groupId",
        group_name: String = "groupName",
        group_description: String = "groupDescription",
        vpc_id: VpcId = "vpcId",
        security_group_arn: String = "securityGroupArn",
        ip_permissions: Vec<IpPermissionItem> = "ipPermissions",
        ip_permissions_egress: Vec<IpPermissionItem> = "ipPermissionsEgress",
        tag_set: Tags = "tagSet",
    }
}

output! {
    /// The rules of one protocol and one range of ports, joined.
    IpPermissionItem {
        ip_protocol: String = "ipProtocol",
        from_port: Option<i32> = "fromPort",
        to_port: Option<i32> = "toPort",
        groups: Vec<UserIdGroupPairItem> = "groups",
        ip_ranges: Vec<IpRangeItem> = "ipRanges",
        ipv6_ranges: Vec<Ipv6RangeItem> = "ipv6Ranges",
        prefix_list_ids: Vec<PrefixListIdItem> = "prefixListIds",
    }
}

output! {
    /// A referenced group; the VPC and the peering stand only beside a group of another VPC (spec 6.5.7).
    UserIdGroupPairItem {
        description: Option<String> = "description",
        user_id: AccountId = "userId",
        group_id: SecurityGroupId = "groupId",
        vpc_id: Option<VpcId> = "vpcId",
        vpc_peering_connection_id: Option<PeeringId> = "vpcPeeringConnectionId",
        peering_status: Option<&'static str> = "peeringStatus",
    }
}

output! {
    IpRangeItem {
        cidr_ip: Ipv4Cidr = "cidrIp",
        description: Option<String> = "description",
    }
}

output! {
    Ipv6RangeItem {
        cidr_ipv6: Ipv6Cidr = "cidrIpv6",
        description: Option<String> = "description",
    }
}

output! {
    PrefixListIdItem {
        prefix_list_id: PrefixListId = "prefixListId",
        description: Option<String> = "description",
    }
}

input! {
    /// Rules by protocol and ports; each peer in the lists is one rule (spec 6.3.1).
    IpPermission {
        ip_protocol: Option<IpProtocol> = "IpProtocol",
        from_port: Option<i32> = "FromPort",
        to_port: Option<i32> = "ToPort",
        groups: Vec<UserIdGroupPair> = "Groups",
        ip_ranges: Vec<IpRange> = "IpRanges",
        ipv6_ranges: Vec<Ipv6Range> = "Ipv6Ranges",
        prefix_list_ids: Vec<PrefixListReference> = "PrefixListIds",
    }
}

input! {
    UserIdGroupPair {
        group_id: Option<SecurityGroupId> = "GroupId",
        group_name: Option<String> = "GroupName",
        user_id: Option<AccountId> = "UserId",
        vpc_peering_connection_id: Option<PeeringId> = "VpcPeeringConnectionId",
        description: Option<String> = "Description",
    }
}

input! {
    IpRange {
        cidr_ip: Ipv4Cidr = "CidrIp",
        description: Option<String> = "Description",
    }
}

input! {
    Ipv6Range {
        cidr_ipv6: Ipv6Cidr = "CidrIpv6",
        description: Option<String> = "Description",
    }
}

input! {
    PrefixListReference {
        prefix_list_id: PrefixListId = "PrefixListId",
        description: Option<String> = "Description",
    }
}

input! {
    /// Which rules of which group: in lists, or one in the old short form at the top level (spec 6.3.4).
    RulesInput {
        group_id: Option<SecurityGroupId> = "GroupId",
        group_name: Option<String> = "GroupName",
        ip_permissions: Vec<IpPermission> = "IpPermissions",
        ip_protocol: Option<IpProtocol> = "IpProtocol",
        from_port: Option<i32> = "FromPort",
        to_port: Option<i32> = "ToPort",
        cidr_ip: Option<Ipv4Cidr> = "CidrIp",
        source_security_group_name: Option<String> = "SourceSecurityGroupName",
        source_security_group_owner_id: Option<AccountId> = "SourceSecurityGroupOwnerId",
    }
}

/// A request on a group's rules: what all have, which stands at the top level, and one member of its own.
macro_rules! on_rules {
    ($($name:ident -> $reply:ty { $field:ident: $kind:ty = $wire:literal })*) => {
        $(
            #[derive(Clone, Debug, PartialEq, Eq)]
            pub struct $name {
                pub rules: RulesInput,
                pub $field: $kind,
            }

            impl FromQuery for $name {
                fn from_query(node: Option<&Node>, name: &str) -> Result<Self, Error> {
                    let own = node.and_then(|node| node.member($wire));
                    Ok($name {
                        rules: FromQuery::from_query(node, name)?,
                        $field: FromQuery::from_query(own, &crate::value::path(name, $wire))?,
                    })
                }

                fn reads() -> Members {
                    RulesInput::reads().and(Members::Structure(vec![Member {
                        name: $wire,
                        members: <$kind as FromQuery>::reads,
                        is_required: <$kind as FromQuery>::IS_REQUIRED,
                    }]))
                }
            }

            impl Operation for $name {
                const NAME: &'static str = stringify!($name);
                type Reply = $reply;
            }
        )*
    };
}

on_rules! {
    AuthorizeSecurityGroupIngress -> AuthorizeSecurityGroupResponse {
        tag_specifications: Vec<TagSpecification> = "TagSpecification"
    }
    AuthorizeSecurityGroupEgress -> AuthorizeSecurityGroupResponse {
        tag_specifications: Vec<TagSpecification> = "TagSpecification"
    }
    RevokeSecurityGroupIngress -> RevokeSecurityGroupResponse {
        security_group_rule_ids: Vec<SecurityGroupRuleId> = "SecurityGroupRuleId"
    }
    RevokeSecurityGroupEgress -> RevokeSecurityGroupResponse {
        security_group_rule_ids: Vec<SecurityGroupRuleId> = "SecurityGroupRuleId"
    }
    UpdateSecurityGroupRuleDescriptionsIngress -> Done {
        security_group_rule_descriptions: Vec<RuleDescription> = "SecurityGroupRuleDescription"
    }
    UpdateSecurityGroupRuleDescriptionsEgress -> Done {
        security_group_rule_descriptions: Vec<RuleDescription> = "SecurityGroupRuleDescription"
    }
}

input! {
    RuleDescription {
        security_group_rule_id: SecurityGroupRuleId = "SecurityGroupRuleId",
        description: Option<String> = "Description",
    }
}

output! {
    AuthorizeSecurityGroupResponse {
        result: bool = "return",
        security_group_rules: Vec<SecurityGroupRuleItem> = "securityGroupRuleSet",
    }
}

output! {
    RevokeSecurityGroupResponse {
        result: bool = "return",
        /// Always empty: rules that are not there fail the whole call.
        unknown_ip_permissions: Vec<IpPermissionItem> = "unknownIpPermissionSet",
        revoked_security_group_rules: Vec<RevokedSecurityGroupRuleItem> = "revokedSecurityGroupRuleSet",
    }
}

output! {
    SecurityGroupRuleItem {
        security_group_rule_id: SecurityGroupRuleId = "securityGroupRuleId",
        group_id: SecurityGroupId = "groupId",
        group_owner_id: AccountId = "groupOwnerId",
        is_egress: bool = "isEgress",
        ip_protocol: String = "ipProtocol",
        from_port: i32 = "fromPort",
        to_port: i32 = "toPort",
        cidr_ipv4: Option<Ipv4Cidr> = "cidrIpv4",
        cidr_ipv6: Option<Ipv6Cidr> = "cidrIpv6",
        prefix_list_id: Option<PrefixListId> = "prefixListId",
        referenced_group_info: Option<UserIdGroupPairItem> = "referencedGroupInfo",
        description: Option<String> = "description",
        tag_set: Tags = "tagSet",
        security_group_rule_arn: String = "securityGroupRuleArn",
    }
}

output! {
    RevokedSecurityGroupRuleItem {
        security_group_rule_id: SecurityGroupRuleId = "securityGroupRuleId",
        group_id: SecurityGroupId = "groupId",
        is_egress: bool = "isEgress",
        ip_protocol: String = "ipProtocol",
        from_port: i32 = "fromPort",
        to_port: i32 = "toPort",
        cidr_ipv4: Option<Ipv4Cidr> = "cidrIpv4",
        cidr_ipv6: Option<Ipv6Cidr> = "cidrIpv6",
        prefix_list_id: Option<PrefixListId> = "prefixListId",
        referenced_group_id: Option<SecurityGroupId> = "referencedGroupId",
        description: Option<String> = "description",
    }
}

operation! {
    ModifySecurityGroupRules -> Done {
        group_id: SecurityGroupId = "GroupId",
        security_group_rules: Vec<SecurityGroupRuleUpdate> = "SecurityGroupRule",
    }
}

input! {
    SecurityGroupRuleUpdate {
        security_group_rule_id: SecurityGroupRuleId = "SecurityGroupRuleId",
        security_group_rule: SecurityGroupRuleRequest = "SecurityGroupRule",
    }
}

input! {
    /// One rule, whole, with one peer.
    SecurityGroupRuleRequest {
        ip_protocol: Option<IpProtocol> = "IpProtocol",
        from_port: Option<i32> = "FromPort",
        to_port: Option<i32> = "ToPort",
        cidr_ipv4: Option<Ipv4Cidr> = "CidrIpv4",
        cidr_ipv6: Option<Ipv6Cidr> = "CidrIpv6",
        prefix_list_id: Option<PrefixListId> = "PrefixListId",
        referenced_group_id: Option<SecurityGroupId> = "ReferencedGroupId",
        description: Option<String> = "Description",
    }
}

operation! {
    DescribeSecurityGroupRules -> DescribeSecurityGroupRulesResponse {
        security_group_rule_ids: Vec<SecurityGroupRuleId> = "SecurityGroupRuleId",
        filters: Vec<Filter> = "Filter",
        max_results: Option<i32> = "MaxResults",
        next_token: Option<String> = "NextToken",
    }
}

output! {
    DescribeSecurityGroupRulesResponse {
        security_group_rules: Vec<SecurityGroupRuleItem> = "securityGroupRuleSet",
        next_token: Option<String> = "nextToken",
    }
}

operation! {
    DescribeSecurityGroupReferences -> DescribeSecurityGroupReferencesResponse {
        group_ids: Vec<SecurityGroupId> = "GroupId",
    }
}

output! {
    DescribeSecurityGroupReferencesResponse {
        security_group_references: Vec<SecurityGroupReferenceItem> = "securityGroupReferenceSet",
    }
}

output! {
    /// That some group of that VPC names this one; which group is not told.
    SecurityGroupReferenceItem {
        group_id: SecurityGroupId = "groupId",
        referencing_vpc_id: VpcId = "referencingVpcId",
        vpc_peering_connection_id: PeeringId = "vpcPeeringConnectionId",
    }
}

operation! {
    DescribeStaleSecurityGroups -> DescribeStaleSecurityGroupsResponse {
        vpc_id: VpcId = "VpcId",
        max_results: Option<i32> = "MaxResults",
        next_token: Option<String> = "NextToken",
    }
}

output! {
    DescribeStaleSecurityGroupsResponse {
        stale_security_groups: Vec<StaleSecurityGroupItem> = "staleSecurityGroupSet",
        next_token: Option<String> = "nextToken",
    }
}

output! {
    /// Stale rules of one protocol and one range of ports. Only groups go stale; the other lists are always empty.
    StaleIpPermissionItem {
        from_port: Option<i32> = "fromPort",
        ip_protocol: String = "ipProtocol",
        ip_ranges: Vec<String> = "ipRanges",
        prefix_list_ids: Vec<String> = "prefixListIds",
        to_port: Option<i32> = "toPort",
        groups: Vec<UserIdGroupPairItem> = "groups",
    }
}

impl From<IpPermissionItem> for StaleIpPermissionItem {
    fn from(permission: IpPermissionItem) -> StaleIpPermissionItem {
        StaleIpPermissionItem {
            from_port: permission.from_port,
            ip_protocol: permission.ip_protocol,
            ip_ranges: Vec::new(),
            prefix_list_ids: Vec::new(),
            to_port: permission.to_port,
            groups: permission.groups,
        }
    }
}

output! {
    StaleSecurityGroupItem {
        group_id: SecurityGroupId = "groupId",
        group_name: String = "groupName",
        description: String = "description",
        vpc_id: VpcId = "vpcId",
        stale_ip_permissions: Vec<StaleIpPermissionItem> = "staleIpPermissions",
        stale_ip_permissions_egress: Vec<StaleIpPermissionItem> = "staleIpPermissionsEgress",
    }
}
