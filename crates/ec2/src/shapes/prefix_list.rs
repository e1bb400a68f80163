//! Managed prefix lists (spec 4.8).

use model::*;

use super::TagSpecification;
use crate::value::scalar;
use crate::{Error, Filter, FromQuery, Node};

operation! {
    CreateManagedPrefixList -> CreateManagedPrefixListResponse {
        prefix_list_name: String = "PrefixListName",
        address_family: AddressFamily = "AddressFamily",
        max_entries: i32 = "MaxEntries",
        entries: Vec<AddPrefixListEntry> = "Entry",
        client_token: Option<String> = "ClientToken",
        tag_specifications: Vec<TagSpecification> = "TagSpecification",
    }
}

input! {
    AddPrefixListEntry {
        cidr: Cidr = "Cidr",
        description: Option<String> = "Description",
    }
}

input! {
    RemovePrefixListEntry {
        cidr: Cidr = "Cidr",
    }
}

impl FromQuery for AddressFamily {
    fn from_query(node: Option<&Node>, name: &str) -> Result<Self, Error> {
        let text = scalar(node, name)?;
        text.parse().map_err(|_| Error::invalid_parameter(name, text, "Expected IPv4 or IPv6."))
    }
}

operation! {
    ModifyManagedPrefixList -> ModifyManagedPrefixListResponse {
        prefix_list_id: PrefixListId = "PrefixListId",
        current_version: Option<i32> = "CurrentVersion",
        prefix_list_name: Option<String> = "PrefixListName",
        add_entries: Vec<AddPrefixListEntry> = "AddEntry",
        remove_entries: Vec<RemovePrefixListEntry> = "RemoveEntry",
        max_entries: Option<i32> = "MaxEntries",
    }
}

operation! {
    RestoreManagedPrefixListVersion -> RestoreManagedPrefixListVersionResponse {
        prefix_list_id: PrefixListId = "PrefixListId",
        previous_version: i32 = "PreviousVersion",
        current_version: i32 = "CurrentVersion",
    }
}

operation! {
    DeleteManagedPrefixList -> DeleteManagedPrefixListResponse {
        prefix_list_id: PrefixListId = "PrefixListId",
    }
}

macro_rules! one_list {
    ($($name:ident)*) => {
        $(output! {
            $name {
                prefix_list: ManagedPrefixListItem = "prefixList",
            }
        })*
    };
}

one_list! {
    CreateManagedPrefixListResponse
    ModifyManagedPrefixListResponse
    RestoreManagedPrefixListVersionResponse
    DeleteManagedPrefixListResponse
}

operation! {
    DescribeManagedPrefixLists -> DescribeManagedPrefixListsResponse {
        prefix_list_ids: Vec<PrefixListId> = "PrefixListId",
        filters: Vec<Filter> = "Filter",
        max_results: Option<i32> = "MaxResults",
        next_token: Option<String> = "NextToken",
    }
}

output! {
    DescribeManagedPrefixListsResponse {
        prefix_lists: Vec<ManagedPrefixListItem> = "prefixListSet",
        next_token: Option<String> = "nextToken",
    }
}

operation! {
    GetManagedPrefixListEntries -> GetManagedPrefixListEntriesResponse {
        prefix_list_id: PrefixListId = "PrefixListId",
        target_version: Option<i32> = "TargetVersion",
        max_results: Option<i32> = "MaxResults",
        next_token: Option<String> = "NextToken",
    }
}

output! {
    GetManagedPrefixListEntriesResponse {
        entries: Vec<PrefixListEntryItem> = "entrySet",
        next_token: Option<String> = "nextToken",
    }
}

output! {
    PrefixListEntryItem {
        cidr: Cidr = "cidr",
        description: Option<String> = "description",
    }
}

operation! {
    GetManagedPrefixListAssociations -> GetManagedPrefixListAssociationsResponse {
        prefix_list_id: PrefixListId = "PrefixListId",
        max_results: Option<i32> = "MaxResults",
        next_token: Option<String> = "NextToken",
    }
}

output! {
    GetManagedPrefixListAssociationsResponse {
        prefix_list_associations: Vec<PrefixListAssociationItem> = "prefixListAssociationSet",
        next_token: Option<String> = "nextToken",
    }
}

output! {
    PrefixListAssociationItem {
        resource_id: String = "resourceId",
        resource_owner: AccountId = "resourceOwner",
    }
}

operation! {
    /// Of AWS's services, not of the users' lists.
    DescribePrefixLists -> DescribePrefixListsResponse {
        prefix_list_ids: Vec<PrefixListId> = "PrefixListId",
        filters: Vec<Filter> = "Filter",
        max_results: Option<i32> = "MaxResults",
        next_token: Option<String> = "NextToken",
    }
}

output! {
    DescribePrefixListsResponse {
        prefix_lists: Vec<PrefixListItem> = "prefixListSet",
        next_token: Option<String> = "nextToken",
    }
}

output! {
    PrefixListItem {
        cidrs: Vec<Cidr> = "cidrSet",
        prefix_list_id: PrefixListId = "prefixListId",
        prefix_list_name: String = "prefixListName",
    }
}

output! {
    ManagedPrefixListItem {
        prefix_list_id: PrefixListId = "prefixListId",
        address_family: &'static str = "addressFamily",
        state: &'static str = "state",
        prefix_list_arn: String = "prefixListArn",
        prefix_list_name: String = "prefixListName",
        max_entries: u32 = "maxEntries",
        version: u64 = "version",
        tag_set: Tags = "tagSet",
        owner_id: AccountId = "ownerId",
    }
}
