//! Tags (spec 1.4).

use super::{Done, TagInput};
use crate::Filter;

operation! {
    CreateTags -> Done {
        resources: Vec<String> = "ResourceId",
        tags: Vec<TagInput> = "Tag",
    }
}

operation! {
    DeleteTags -> Done {
        resources: Vec<String> = "ResourceId",
        /// None at all: every tag goes. One without a value: whatever its value is.
        tags: Vec<TagInput> = "Tag",
    }
}

operation! {
    DescribeTags -> DescribeTagsResponse {
        filters: Vec<Filter> = "Filter",
        max_results: Option<i32> = "MaxResults",
        next_token: Option<String> = "NextToken",
    }
}

output! {
    DescribeTagsResponse {
        tags: Vec<TagDescription> = "tagSet",
        next_token: Option<String> = "nextToken",
    }
}

output! {
    TagDescription {
        resource_id: String = "resourceId",
        resource_type: &'static str = "resourceType",
        key: String = "key",
        value: String = "value",
    }
}
