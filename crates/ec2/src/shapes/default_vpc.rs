//! The default VPC and its subnets, made anew after they were deleted (spec 2.5).

use super::subnet::SubnetItem;
use super::vpc::VpcItem;

operation! {
    CreateDefaultVpc -> CreateDefaultVpcResponse {
    }
}

output! {
    CreateDefaultVpcResponse {
        vpc: VpcItem = "vpc",
    }
}

operation! {
    CreateDefaultSubnet -> CreateDefaultSubnetResponse {
        availability_zone: Option<String> = "AvailabilityZone",
        availability_zone_id: Option<String> = "AvailabilityZoneId",
        ipv6_native: Option<bool> = "Ipv6Native",
    }
}

output! {
    CreateDefaultSubnetResponse {
        subnet: SubnetItem = "subnet",
    }
}
