//! Ranges of a subnet that are set aside.

use model::*;

use super::TagSpecification;
use crate::Filter;

operation! {
    CreateSubnetCidrReservation -> CreateSubnetCidrReservationResponse {
        subnet_id: SubnetId = "SubnetId",
        cidr: Cidr = "Cidr",
        reservation_type: String = "ReservationType",
        description: Option<String> = "Description",
        tag_specifications: Vec<TagSpecification> = "TagSpecification",
    }
}

output! {
    CreateSubnetCidrReservationResponse {
        subnet_cidr_reservation: SubnetCidrReservationItem = "subnetCidrReservation",
    }
}

output! {
    SubnetCidrReservationItem {
        subnet_cidr_reservation_id: SubnetCidrReservationId = "subnetCidrReservationId",
        subnet_id: SubnetId = "subnetId",
        cidr: Cidr = "cidr",
        reservation_type: &'static str = "reservationType",
        owner_id: AccountId = "ownerId",
        description: Option<String> = "description",
        tag_set: Tags = "tagSet",
    }
}

operation! {
    DeleteSubnetCidrReservation -> DeleteSubnetCidrReservationResponse {
        subnet_cidr_reservation_id: SubnetCidrReservationId = "SubnetCidrReservationId",
    }
}

output! {
    DeleteSubnetCidrReservationResponse {
        deleted_subnet_cidr_reservation: SubnetCidrReservationItem = "deletedSubnetCidrReservation",
    }
}

operation! {
    GetSubnetCidrReservations -> GetSubnetCidrReservationsResponse {
        subnet_id: SubnetId = "SubnetId",
        filters: Vec<Filter> = "Filter",
        max_results: Option<i32> = "MaxResults",
        next_token: Option<String> = "NextToken",
    }
}

output! {
    GetSubnetCidrReservationsResponse {
        subnet_ipv4_cidr_reservation_set: Vec<SubnetCidrReservationItem> = "subnetIpv4CidrReservationSet",
        subnet_ipv6_cidr_reservation_set: Vec<SubnetCidrReservationItem> = "subnetIpv6CidrReservationSet",
        next_token: Option<String> = "nextToken",
    }
}
