//! Sets of DHCP options (spec 2.6).

use model::*;

use super::{Done, TagSpecification};
use crate::value::scalar;
use crate::{Error, Filter, FromQuery, Node};

operation! {
    CreateDhcpOptions -> CreateDhcpOptionsResponse {
        dhcp_configurations: Vec<DhcpConfigurationInput> = "DhcpConfiguration",
        tag_specifications: Vec<TagSpecification> = "TagSpecification",
    }
}

input! {
    DhcpConfigurationInput {
        key: String = "Key",
        values: Vec<String> = "Value",
    }
}

output! {
    CreateDhcpOptionsResponse {
        dhcp_options: DhcpOptionsItem = "dhcpOptions",
    }
}

operation! {
    DeleteDhcpOptions -> Done {
        dhcp_options_id: DhcpOptionsId = "DhcpOptionsId",
    }
}

operation! {
    DescribeDhcpOptions -> DescribeDhcpOptionsResponse {
        dhcp_options_ids: Vec<DhcpOptionsId> = "DhcpOptionsId",
        filters: Vec<Filter> = "Filter",
        max_results: Option<i32> = "MaxResults",
        next_token: Option<String> = "NextToken",
    }
}

output! {
    DescribeDhcpOptionsResponse {
        dhcp_options: Vec<DhcpOptionsItem> = "dhcpOptionsSet",
        next_token: Option<String> = "nextToken",
    }
}

operation! {
    AssociateDhcpOptions -> Done {
        dhcp_options_id: DhcpOptionsChoice = "DhcpOptionsId",
        vpc_id: VpcId = "VpcId",
    }
}

/// A set, or the word `default`: no set at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DhcpOptionsChoice {
    Default,
    Set(DhcpOptionsId),
}

impl FromQuery for DhcpOptionsChoice {
    fn from_query(node: Option<&Node>, name: &str) -> Result<Self, Error> {
        match scalar(node, name)? {
            "default" => Ok(DhcpOptionsChoice::Default),
            _ => DhcpOptionsId::from_query(node, name).map(DhcpOptionsChoice::Set),
        }
    }
}

output! {
    DhcpOptionsItem {
        dhcp_options_id: DhcpOptionsId = "dhcpOptionsId",
        owner_id: AccountId = "ownerId",
        dhcp_configuration_set: Vec<DhcpConfigurationItem> = "dhcpConfigurationSet",
        tag_set: Tags = "tagSet",
    }
}

output! {
    DhcpConfigurationItem {
        key: String = "key",
        value_set: Vec<DhcpValueItem> = "valueSet",
    }
}

output! {
    DhcpValueItem {
        value: String = "value",
    }
}
