//! The switches of a VPC (spec 2.4).

use ec2::Error;
use ec2::shapes::Done;
use ec2::shapes::vpc::*;
use ec2::value::Attribute;
use model::*;

use super::Handle;
use crate::Cloud;
use crate::peering::blocks_changed;

impl Handle for ModifyVpcAttribute {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<Done, Error> {
        let given = [&self.enable_dns_support, &self.enable_dns_hostnames, &self.enable_network_address_usage_metrics];
        if given.into_iter().flatten().count() != 1 {
            let message = "Exactly one of EnableDnsSupport, EnableDnsHostnames and EnableNetworkAddressUsageMetrics must be specified";
            return Err(Error::invalid_combination(message));
        }
        cloud.update::<Vpc, _>(self.vpc_id, |vpc| {
            let change = |switch: &mut bool, attribute: Option<Attribute<bool>>| {
                *switch = attribute.map_or(*switch, |Attribute(value)| value);
            };
            change(&mut vpc.enable_dns_support, self.enable_dns_support);
            change(&mut vpc.enable_dns_hostnames, self.enable_dns_hostnames);
            change(&mut vpc.enable_network_address_usage_metrics, self.enable_network_address_usage_metrics);
            if vpc.enable_dns_hostnames && !vpc.enable_dns_support {
                let message = format!("DNS hostnames need DNS support in {}: switch EnableDnsSupport on first, or EnableDnsHostnames off first", vpc.id);
                return Err(Error::invalid_value(message));
            }
            Ok(())
        })?;
        // Whoever resolves names over a peering must know.
        blocks_changed(cloud, self.vpc_id);
        Ok(Done::TRUE)
    }
}

impl Handle for DescribeVpcAttribute {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<DescribeVpcAttributeResponse, Error> {
        const NAMES: [&str; 3] = ["enableDnsSupport", "enableDnsHostnames", "enableNetworkAddressUsageMetrics"];
        if !NAMES.contains(&self.attribute.as_str()) {
            return Err(Error::invalid_parameter(
                "Attribute",
                &self.attribute,
                &format!("Use one of {}.", NAMES.join(", ")),
            ));
        }
        let vpc = cloud.owned::<Vpc>(self.vpc_id)?;
        let shown = |name: &str, value: bool| (self.attribute == name).then_some(Attribute(value));
        Ok(DescribeVpcAttributeResponse {
            vpc_id: vpc.id,
            enable_dns_support: shown(NAMES[0], vpc.enable_dns_support),
            enable_dns_hostnames: shown(NAMES[1], vpc.enable_dns_hostnames),
            enable_network_address_usage_metrics: shown(NAMES[2], vpc.enable_network_address_usage_metrics),
        })
    }
}
