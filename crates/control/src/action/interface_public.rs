//! The public addresses of an interface, as the API shows them (spec 8.1, 8.7).

use std::net::Ipv4Addr;

use ec2::shapes::interface::AddressAssociationItem;
use model::*;

use crate::{Cloud, public};

/// What stands for the primary address.
pub(super) fn association(cloud: &Cloud<'_>, interface: &NetworkInterface) -> Option<AddressAssociationItem> {
    association_of(cloud, interface, interface.primary_ip())
}

/// What stands for one of its private addresses.
pub(super) fn association_of(
    cloud: &Cloud<'_>,
    interface: &NetworkInterface,
    private: Ipv4Addr,
) -> Option<AddressAssociationItem> {
    let found = interface.public.iter().find(|at| at.private == private);
    found.map(|at| association_item(cloud, interface, at))
}

pub(super) fn association_item(
    cloud: &Cloud<'_>,
    interface: &NetworkInterface,
    at: &PublicAssociation,
) -> AddressAssociationItem {
    let (allocation_id, association_id) = at.elastic.unzip();
    AddressAssociationItem {
        allocation_id,
        association_id,
        // What was assigned at launch is the provider's.
        ip_owner_id: if at.elastic.is_some() { interface.owner.to_string() } else { "amazon".into() },
        public_dns_name: public::name(cloud, interface.vpc, at.public).unwrap_or_default(),
        public_ip: at.public,
    }
}

/// An instance does not say of its public addresses what they are held as.
pub(super) fn without_ids(item: AddressAssociationItem) -> AddressAssociationItem {
    AddressAssociationItem { allocation_id: None, association_id: None, ..item }
}
