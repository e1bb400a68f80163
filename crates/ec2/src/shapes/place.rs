//! Regions, availability zones, and what an account may have (spec 1.1).

use model::*;

use crate::Filter;

operation! {
    DescribeRegions -> DescribeRegionsResponse {
        region_names: Vec<String> = "RegionName",
        filters: Vec<Filter> = "Filter",
    }
}

output! {
    DescribeRegionsResponse {
        regions: Vec<RegionItem> = "regionInfo",
    }
}

output! {
    RegionItem {
        region_name: Region = "regionName",
        region_endpoint: String = "regionEndpoint",
        opt_in_status: &'static str = "optInStatus",
    }
}

operation! {
    DescribeAvailabilityZones -> DescribeAvailabilityZonesResponse {
        zone_names: Vec<String> = "ZoneName",
        zone_ids: Vec<String> = "ZoneId",
        filters: Vec<Filter> = "Filter",
    }
}

output! {
    DescribeAvailabilityZonesResponse {
        availability_zones: Vec<AvailabilityZoneItem> = "availabilityZoneInfo",
    }
}

output! {
    AvailabilityZoneItem {
        zone_name: Zone = "zoneName",
        zone_id: String = "zoneId",
        zone_state: &'static str = "zoneState",
        zone_type: &'static str = "zoneType",
        region_name: Region = "regionName",
        group_name: String = "groupName",
        network_border_group: Region = "networkBorderGroup",
        opt_in_status: &'static str = "optInStatus",
        message_set: Vec<String> = "messageSet",
    }
}

operation! {
    DescribeAccountAttributes -> DescribeAccountAttributesResponse {
        attribute_names: Vec<String> = "AttributeName",
    }
}

output! {
    DescribeAccountAttributesResponse {
        account_attributes: Vec<AccountAttributeItem> = "accountAttributeSet",
    }
}

output! {
    AccountAttributeItem {
        attribute_name: String = "attributeName",
        attribute_value_set: Vec<AccountAttributeValueItem> = "attributeValueSet",
    }
}

output! {
    AccountAttributeValueItem {
        attribute_value: String = "attributeValue",
    }
}
