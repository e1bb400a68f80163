//! Regions, availability zones, and what an account may have (spec 1.1).

use ec2::shapes::place::*;
use ec2::{Error, Filter};
use model::*;

use super::Handle;
use crate::Cloud;
use crate::rules::texts;

const OPT_IN: &str = "opt-in-not-required";

impl Handle for DescribeRegions {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<DescribeRegionsResponse, Error> {
        check(&self.filters, &["endpoint", "opt-in-status", "region-name"])?;
        let regions = &cloud.config.regions;
        if let Some(unknown) =
            self.region_names.iter().find(|name| !regions.iter().any(|region| region.as_str() == *name))
        {
            let known = texts(regions).join(", ");
            return Err(Error::invalid_parameter(
                "RegionName",
                unknown,
                &format!("The regions of this cloud are {known}."),
            ));
        }
        let named = |region: &&Region| {
            self.region_names.is_empty() || self.region_names.iter().any(|name| name == region.as_str())
        };
        let items = regions.iter().filter(named).map(|region| RegionItem {
            region_name: *region,
            region_endpoint: format!("ec2.{region}.amazonaws.com"),
            opt_in_status: OPT_IN,
        });
        let wanted = |item: &RegionItem| {
            passes(&self.filters, |name| match name {
                "endpoint" => vec![item.region_endpoint.clone()],
                "opt-in-status" => texts([item.opt_in_status]),
                "region-name" => texts([item.region_name]),
                _ => Vec::new(),
            })
        };
        Ok(DescribeRegionsResponse { regions: items.filter(wanted).collect() })
    }
}

impl Handle for DescribeAvailabilityZones {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<DescribeAvailabilityZonesResponse, Error> {
        const FILTERS: [&str; 12] = [
            "group-long-name",
            "group-name",
            "message",
            "opt-in-status",
            "parent-zone-id",
            "parent-zone-name",
            "region-name",
            "state",
            "zone-id",
            "zone-name",
            "zone-state",
            "zone-type",
        ];
        check(&self.filters, &FILTERS)?;
        let region = cloud.config.region;
        check_zones(&self.zone_names, &texts(Zone::all(region)))?;
        check_zones(&self.zone_ids, &Zone::all(region).map(|zone| zone.id()).collect::<Vec<_>>())?;
        let named = |asked: &[String], name: &String| asked.is_empty() || asked.contains(name);
        let asked = |zone: &Zone| named(&self.zone_names, &zone.to_string()) && named(&self.zone_ids, &zone.id());
        let items = Zone::all(region).filter(asked).map(zone_item);
        let wanted = |item: &AvailabilityZoneItem| passes(&self.filters, |name| zone_values(item, name));
        Ok(DescribeAvailabilityZonesResponse { availability_zones: items.filter(wanted).collect() })
    }
}

fn check_zones(asked: &[String], known: &[String]) -> Result<(), Error> {
    match asked.iter().find(|zone| !known.contains(zone)) {
        Some(zone) => {
            let message =
                format!("The zone '{zone}' does not exist; the zones of this region are {}", known.join(", "));
            Err(Error::new("InvalidZone.NotFound", message))
        }
        None => Ok(()),
    }
}

fn zone_item(zone: Zone) -> AvailabilityZoneItem {
    AvailabilityZoneItem {
        zone_name: zone,
        zone_id: zone.id(),
        zone_state: "available",
        zone_type: "availability-zone",
        region_name: zone.region(),
        group_name: format!("{}-zg-1", zone.region()),
        network_border_group: zone.region(),
        opt_in_status: OPT_IN,
        message_set: Vec::new(),
    }
}

fn zone_values(item: &AvailabilityZoneItem, filter: &str) -> Vec<String> {
    match filter {
        "group-name" => vec![item.group_name.clone()],
        "opt-in-status" => texts([item.opt_in_status]),
        "region-name" => texts([item.region_name]),
        "state" | "zone-state" => texts([item.zone_state]),
        "zone-id" => vec![item.zone_id.clone()],
        "zone-name" => texts([item.zone_name]),
        "zone-type" => texts([item.zone_type]),
        _ => Vec::new(),
    }
}

impl Handle for DescribeAccountAttributes {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<DescribeAccountAttributesResponse, Error> {
        let quotas = cloud.config.quotas;
        let default_vpc = cloud.default_vpc().map_or_else(|| "none".into(), |vpc| vpc.id.to_string());
        let all = [
            ("supported-platforms", "VPC".into()),
            ("default-vpc", default_vpc),
            ("max-instances", quotas.instances.to_string()),
            ("vpc-max-security-groups-per-interface", quotas.security_groups_per_interface.to_string()),
            // The first is EC2-Classic's, which AWS goes on telling.
            ("max-elastic-ips", quotas.elastic_ips.to_string()),
            ("vpc-max-elastic-ips", quotas.elastic_ips.to_string()),
        ];
        if let Some(unknown) = self.attribute_names.iter().find(|name| !all.iter().any(|(known, _)| known == name)) {
            let known = all.map(|(name, _)| name).join(", ");
            return Err(Error::invalid_parameter("AttributeName", unknown, &format!("Use one of {known}.")));
        }
        let asked =
            |name: &str| self.attribute_names.is_empty() || self.attribute_names.iter().any(|asked| asked == name);
        let items =
            all.into_iter().filter(|(name, _)| asked(name)).map(|(name, attribute_value)| AccountAttributeItem {
                attribute_name: name.into(),
                attribute_value_set: vec![AccountAttributeValueItem { attribute_value }],
            });
        Ok(DescribeAccountAttributesResponse { account_attributes: items.collect() })
    }
}

/// What is described here has no tags: their filters are unknown too.
fn check(filters: &[Filter], known: &[&str]) -> Result<(), Error> {
    ec2::filter::check(filters, known)?;
    match filters.iter().find(|filter| !known.contains(&filter.name.as_str())) {
        Some(filter) => Err(Error::invalid_value(format!("The filter '{}' is invalid", filter.name))),
        None => Ok(()),
    }
}

/// Every filter is passed by one of its values: for what is no [`Entity`] of the World.
pub(super) fn passes(filters: &[Filter], values: impl Fn(&str) -> Vec<String>) -> bool {
    let passes =
        |filter: &Filter| ec2::filter::any_matches(&filter.values, values(&filter.name).iter().map(String::as_str));
    filters.iter().all(passes)
}
