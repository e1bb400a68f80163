//! Ranges of a subnet that are set aside: no address in them is given out by itself, one that is asked for is.

use ec2::Error;
use ec2::page::Page;
use ec2::shapes::TagSpecification;
use ec2::shapes::reservation::*;
use model::*;

use super::Handle;
use crate::Cloud;
use crate::describe::passes;
use crate::rules::texts;

/// Reservations of one subnet.
const RESERVATIONS_MAX: usize = 100;

impl Handle for CreateSubnetCidrReservation {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<CreateSubnetCidrReservationResponse, Error> {
        let resource = "subnet-cidr-reservation";
        let tags = TagSpecification::tags(&self.tag_specifications, &[resource], resource)?;
        let kind = match self.reservation_type.as_str() {
            "prefix" => ReservationType::Prefix,
            "explicit" => ReservationType::Explicit,
            other => return Err(Error::invalid_parameter("ReservationType", other, "Use prefix or explicit.")),
        };
        let subnet = cloud.owned::<Subnet>(self.subnet_id)?;
        let is_inside = match self.cidr {
            Cidr::V4(cidr) => subnet.cidr.contains_all(&cidr),
            Cidr::V6(cidr) => subnet.ipv6.is_some_and(|ipv6| ipv6.cidr.contains_all(&cidr)),
        };
        if !is_inside {
            let why = format!("It is not within a CIDR block of subnet {}.", subnet.id);
            return Err(Error::invalid_parameter("Cidr", self.cidr, &why));
        }
        if let Some(other) = of_subnet(cloud.world(), subnet.id).find(|other| other.cidr.overlaps(&self.cidr)) {
            let why = format!("It overlaps the reservation {} ({}).", other.id, other.cidr);
            return Err(Error::invalid_parameter("Cidr", self.cidr, &why));
        }
        if of_subnet(cloud.world(), subnet.id).count() >= RESERVATIONS_MAX {
            let message = format!("Subnet {} has {RESERVATIONS_MAX} reservations; delete one first", subnet.id);
            return Err(Error::new("SubnetCidrReservationLimitExceeded", message));
        }
        let made = SubnetCidrReservation {
            id: cloud.draw.id(),
            owner: subnet.owner,
            subnet: subnet.id,
            cidr: self.cidr,
            kind,
            description: self.description,
            tags,
        };
        cloud.put(made.clone());
        Ok(CreateSubnetCidrReservationResponse { subnet_cidr_reservation: item(&made) })
    }
}

/// Whatever is set aside in a subnet.
pub(crate) fn of_subnet(world: &World, subnet: SubnetId) -> impl Iterator<Item = &SubnetCidrReservation> {
    world.by::<SubnetCidrReservation>(By::id(subnet)).map(|found| &**found)
}

impl Handle for DeleteSubnetCidrReservation {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<DeleteSubnetCidrReservationResponse, Error> {
        let found = cloud.owned::<SubnetCidrReservation>(self.subnet_cidr_reservation_id)?;
        cloud.delete::<SubnetCidrReservation>(found.id);
        Ok(DeleteSubnetCidrReservationResponse { deleted_subnet_cidr_reservation: item(&found) })
    }
}

impl Handle for GetSubnetCidrReservations {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<GetSubnetCidrReservationsResponse, Error> {
        ec2::filter::check(&self.filters, &["reservationType", "reservation-type", "subnet-id"])?;
        let subnet = cloud.owned::<Subnet>(self.subnet_id)?;
        let is_wanted = |found: &&SubnetCidrReservation| {
            passes(&self.filters, &found.tags, |name| match name {
                "reservationType" | "reservation-type" => texts([found.kind.name()]),
                "subnet-id" => texts([found.subnet]),
                _ => Vec::new(),
            })
        };
        let page = Page { max_results: self.max_results, next_token: self.next_token.as_deref() };
        page.check::<SubnetCidrReservationId>()?;
        let found = of_subnet(cloud.world(), subnet.id).filter(is_wanted);
        let (found, next_token) = page.cut(5..=1000, found, |found| found.id.to_string())?;
        let (ipv4, ipv6): (Vec<_>, Vec<_>) = found.into_iter().partition(|found| found.cidr.is_ipv4());
        Ok(GetSubnetCidrReservationsResponse {
            subnet_ipv4_cidr_reservation_set: ipv4.into_iter().map(item).collect(),
            subnet_ipv6_cidr_reservation_set: ipv6.into_iter().map(item).collect(),
            next_token,
        })
    }
}

fn item(found: &SubnetCidrReservation) -> SubnetCidrReservationItem {
    SubnetCidrReservationItem {
        subnet_cidr_reservation_id: found.id,
        subnet_id: found.subnet,
        cidr: found.cidr,
        reservation_type: found.kind.name(),
        owner_id: found.owner,
        description: found.description.clone(),
        tag_set: found.tags.clone(),
    }
}
