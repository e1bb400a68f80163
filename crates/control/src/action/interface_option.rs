//! What an interface may be told that packets do not care about: ENA Express, queues, a primary IPv6 address. Recorded, and shown.

use ec2::Error;
use ec2::shapes::interface::{EnaSrdInput, EnaSrdItem, EnaSrdUdpItem};
use model::*;

use crate::Cloud;

/// Characters in a description.
const DESCRIPTION_MAX: usize = 255;
/// Queues of one interface.
const QUEUES_MAX: i32 = 32;

/// # Errors
/// `InvalidParameterValue` for one that is too long.
pub(super) fn check_description(description: &str) -> Result<(), Error> {
    let length = description.chars().count();
    if length <= DESCRIPTION_MAX {
        return Ok(());
    }
    Err(Error::invalid_value(format!(
        "The description of a network interface has at most {DESCRIPTION_MAX} characters; this one has {length}"
    )))
}

/// There is one card, and one kind of interface that users make.
///
/// # Errors
/// `InvalidParameterValue`, `UnsupportedOperation`.
pub(super) fn check_card(network_card_index: Option<i32>, interface_type: Option<&str>) -> Result<(), Error> {
    if let Some(other) = network_card_index.filter(|index| *index != 0) {
        return Err(Error::invalid_parameter("NetworkCardIndex", other, "The only network card has index 0."));
    }
    match interface_type {
        None | Some("interface") => Ok(()),
        Some(other) => Err(Error::new(
            "UnsupportedOperation",
            format!("Network interfaces of type '{other}' are not supported; leave InterfaceType out"),
        )),
    }
}

/// What was recorded, changed by what a request says; what it leaves out stays.
///
/// # Errors
/// `InvalidParameterValue` for queues out of range.
pub(super) fn changed_ena(
    before: EnaOptions,
    srd: Option<&EnaSrdInput>,
    queues: Option<i32>,
) -> Result<EnaOptions, Error> {
    let mut ena = before;
    if let Some(srd) = srd {
        ena.srd_enabled = srd.ena_srd_enabled.or(ena.srd_enabled);
        let udp = srd.ena_srd_udp_specification.as_ref().and_then(|udp| udp.ena_srd_udp_enabled);
        ena.srd_udp_enabled = udp.or(ena.srd_udp_enabled);
    }
    if let Some(count) = queues {
        let allowed = u32::try_from(count).ok().filter(|_| (1..=QUEUES_MAX).contains(&count));
        let why = || Error::invalid_parameter("EnaQueueCount", count, &format!("Expected 1 to {QUEUES_MAX}."));
        ena.queue_count = Some(allowed.ok_or_else(why)?);
    }
    Ok(ena)
}

/// Records what a request says of an interface that is attached.
pub(super) fn set_ena(cloud: &mut Cloud<'_>, id: NetworkInterfaceId, ena: EnaOptions) -> Result<(), Error> {
    if ena.is_default() {
        return Ok(());
    }
    cloud.update::<NetworkInterface, _>(id, |interface| {
        interface.attachment.iter_mut().for_each(|attachment| attachment.ena = ena);
        Ok(())
    })
}

/// As the API shows it; `None`: nothing was ever said.
pub(super) fn srd_item(ena: &EnaOptions) -> Option<EnaSrdItem> {
    let udp = ena.srd_udp_enabled.map(|ena_srd_udp_enabled| EnaSrdUdpItem { ena_srd_udp_enabled });
    (ena.srd_enabled.is_some() || udp.is_some())
        .then_some(EnaSrdItem { ena_srd_enabled: ena.srd_enabled, ena_srd_udp_specification: udp })
}

/// Makes the first IPv6 address the primary one, for good.
///
/// # Errors
/// `InvalidParameterValue` where there is none, or where there is a primary one and is to be none.
pub(super) fn set_primary_ipv6(interface: &mut NetworkInterface, wanted: Option<bool>) -> Result<(), Error> {
    match wanted {
        Some(true) if interface.ipv6_addresses.is_empty() => Err(Error::invalid_value(format!(
            "Network interface {} has no IPv6 address that could be the primary one; assign one first",
            interface.id
        ))),
        Some(false) if interface.has_primary_ipv6 => Err(Error::invalid_value(format!(
            "Network interface {} has a primary IPv6 address, which stays with it",
            interface.id
        ))),
        Some(wanted) => {
            interface.has_primary_ipv6 = wanted;
            Ok(())
        }
        None => Ok(()),
    }
}
