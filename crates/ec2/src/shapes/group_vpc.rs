//! Security groups in VPCs beside their own (spec 6.1.5).

use model::*;

use crate::Filter;

operation! {
    AssociateSecurityGroupVpc -> GroupVpcState {
        group_id: SecurityGroupId = "GroupId",
        vpc_id: VpcId = "VpcId",
    }
}

operation! {
    DisassociateSecurityGroupVpc -> GroupVpcState {
        group_id: SecurityGroupId = "GroupId",
        vpc_id: VpcId = "VpcId",
    }
}

output! {
    GroupVpcState {
        state: &'static str = "state",
    }
}

operation! {
    DescribeSecurityGroupVpcAssociations -> DescribeSecurityGroupVpcAssociationsResponse {
        filters: Vec<Filter> = "Filter",
        max_results: Option<i32> = "MaxResults",
        next_token: Option<String> = "NextToken",
    }
}

output! {
    DescribeSecurityGroupVpcAssociationsResponse {
        security_group_vpc_association_set: Vec<GroupVpcAssociationItem> = "securityGroupVpcAssociationSet",
        next_token: Option<String> = "nextToken",
    }
}

output! {
    GroupVpcAssociationItem {
        group_id: SecurityGroupId = "groupId",
        vpc_id: VpcId = "vpcId",
        vpc_owner_id: AccountId = "vpcOwnerId",
        state: &'static str = "state",
        group_owner_id: AccountId = "groupOwnerId",
    }
}

operation! {
    GetSecurityGroupsForVpc -> GetSecurityGroupsForVpcResponse {
        vpc_id: VpcId = "VpcId",
        filters: Vec<Filter> = "Filter",
        max_results: Option<i32> = "MaxResults",
        next_token: Option<String> = "NextToken",
    }
}

output! {
    GetSecurityGroupsForVpcResponse {
        next_token: Option<String> = "nextToken",
        security_group_for_vpc_set: Vec<GroupForVpcItem> = "securityGroupForVpcSet",
    }
}

output! {
    GroupForVpcItem {
        description: String = "description",
        group_name: String = "groupName",
        owner_id: AccountId = "ownerId",
        group_id: SecurityGroupId = "groupId",
        tag_set: Tags = "tagSet",
        primary_vpc_id: VpcId = "primaryVpcId",
    }
}
