//! Volumes, as far as clients ask: sandboxes have none (spec 8.6).

use model::*;

use crate::Filter;

operation! {
    DescribeVolumes -> DescribeVolumesResponse {
        volume_ids: Vec<VolumeId> = "VolumeId",
        filters: Vec<Filter> = "Filter",
        max_results: Option<i32> = "MaxResults",
        next_token: Option<String> = "NextToken",
    }
}

output! {
    DescribeVolumesResponse {
        volume_set: Vec<String> = "volumeSet",
        next_token: Option<String> = "nextToken",
    }
}
