//! What a path asks about today: the interfaces at its ends, the packets between them.

use std::net::IpAddr;

use model::insights::{Explanation, NetworkInsightsPath, PathEnd, PathResource, PortRange};
use model::*;

use super::component::Names;
use super::{because, because_of};

/// The packets of a path: what both filters and the path itself say of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Packets {
    pub(super) protocol: IpProtocol,
    pub(super) source: Option<IpAddr>,
    pub(super) destination: Option<IpAddr>,
    pub(super) source_ports: PortRange,
    pub(super) destination_ports: PortRange,
}

impl Packets {
    /// No packet's header changes on its way here, so both filters look at the same one.
    ///
    /// # Errors
    /// Nothing is both: the explanation says where the two ends disagree.
    pub(super) fn of(path: &NetworkInsightsPath) -> Result<Packets, Box<Explanation>> {
        let at_source = path.filter_at_source.unwrap_or_default();
        let at_destination = path.filter_at_destination.unwrap_or_default();
        let ports = |first: Option<PortRange>, second: Option<PortRange>, code: &str| {
            let (first, second) = (first.unwrap_or(PortRange::ALL), second.unwrap_or(PortRange::ALL));
            let because = || Box::new(Explanation { port_ranges: vec![first, second], ..because(code) });
            first.and(second).ok_or_else(because)
        };
        let asked_port = path.destination_port.map(|port| PortRange { from: port, to: port });
        Ok(Packets {
            protocol: path.protocol,
            source: address(
                [path.source_ip, at_source.source_address, at_destination.source_address],
                "FILTER_AT_DESTINATION_SOURCE_ADDRESS",
            )?,
            destination: address(
                [path.destination_ip, at_source.destination_address, at_destination.destination_address],
                "FILTER_AT_DESTINATION_DESTINATION_ADDRESS",
            )?,
            source_ports: ports(
                at_source.source_ports,
                at_destination.source_ports,
                "FILTER_AT_DESTINATION_SOURCE_PORT_RANGE",
            )?,
            destination_ports: ports(
                asked_port.or(at_source.destination_ports),
                at_destination.destination_ports,
                "FILTER_AT_DESTINATION_DESTINATION_PORT_RANGE",
            )?,
        })
    }
}

/// The one address that all say which say any.
fn address(said: [Option<IpAddr>; 3], code: &str) -> Result<Option<IpAddr>, Box<Explanation>> {
    let mut said = said.into_iter().flatten();
    let Some(first) = said.next() else { return Ok(None) };
    match said.find(|other| *other != first) {
        None => Ok(Some(first)),
        Some(other) => {
            let addresses = vec![first.to_string(), other.to_string()];
            Err(Box::new(Explanation { addresses, ..because(code) }))
        }
    }
}

/// What there is at an end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// At least one, the primary one first.
    Interfaces(Vec<NetworkInterfaceId>),
    Peering(PeeringId),
    Gateway(InternetGatewayId),
}

/// What is at an end today.
///
/// # Errors
/// `code`, where the resource is gone, or no interface is attached to it.
pub(super) fn place(names: &Names<'_>, end: PathEnd, code: &str) -> Result<Place, Box<Explanation>> {
    let world = names.world;
    let missing = || Box::new(because_of(code, names.end(end)));
    let owned = |interface: &NetworkInterface| interface.owner == end.owner;
    match end.resource {
        PathResource::Peering(id) => Ok(Place::Peering(id)),
        PathResource::InternetGateway(id) => Ok(Place::Gateway(id)),
        PathResource::NetworkInterface(id) => {
            let found = world.find::<NetworkInterface>(&id).filter(|interface| owned(interface));
            found.map(|interface| Place::Interfaces(vec![interface.id])).ok_or_else(missing)
        }
        PathResource::Instance(id) => {
            let attached = |interface: &NetworkInterface| {
                let attachment = interface.attachment.as_ref().filter(|attachment| attachment.instance == id)?;
                Some((attachment.device_index, interface.id))
            };
            let interfaces = world.by::<NetworkInterface>(By::id(id)).filter(|interface| owned(interface));
            let mut found: Vec<_> = interfaces.filter_map(|interface| attached(interface)).collect();
            found.sort_unstable();
            if found.is_empty() {
                return Err(missing());
            }
            Ok(Place::Interfaces(found.into_iter().map(|(_, interface)| interface).collect()))
        }
    }
}

#[cfg(test)]
mod tests {
    use model::insights::PathFilter;

    use super::*;

    fn path() -> NetworkInsightsPath {
        let owner = "111111111111".parse().unwrap();
        let source = PathEnd { owner, resource: PathResource::NetworkInterface(NetworkInterfaceId::from_random(1)) };
        NetworkInsightsPath {
            id: InsightsPathId::from_random(1),
            owner,
            created: Time::EPOCH,
            source,
            destination: None,
            source_ip: None,
            destination_ip: None,
            protocol: IpProtocol::TCP,
            destination_port: None,
            filter_at_source: None,
            filter_at_destination: None,
            tags: Tags::new(),
        }
    }

    #[test]
    fn both_ends_filters_hold_at_once() {
        let range = |from, to| Some(PortRange { from, to });
        let (a, b): (IpAddr, IpAddr) = ("10.0.0.4".parse().unwrap(), "10.0.0.5".parse().unwrap());
        let at_source = PathFilter {
            source_address: Some(a),
            source_ports: range(1000, 2000),
            destination_address: Some(b),
            destination_ports: range(80, 443),
        };
        let asked = |at_destination: PathFilter| {
            Packets::of(&NetworkInsightsPath {
                filter_at_source: Some(at_source),
                filter_at_destination: Some(at_destination),
                ..path()
            })
        };
        let narrow = PathFilter { destination_ports: range(443, 500), source_ports: range(0, 1000), ..at_source };
        let packets = asked(narrow).unwrap();
        assert_eq!((packets.source, packets.destination), (Some(a), Some(b)));
        assert_eq!((Some(packets.source_ports), Some(packets.destination_ports)), (range(1000, 1000), range(443, 443)));
        for (other, code) in [
            (PathFilter { source_address: Some(b), ..at_source }, "FILTER_AT_DESTINATION_SOURCE_ADDRESS"),
            (PathFilter { destination_address: Some(a), ..at_source }, "FILTER_AT_DESTINATION_DESTINATION_ADDRESS"),
            (PathFilter { source_ports: range(1, 9), ..at_source }, "FILTER_AT_DESTINATION_SOURCE_PORT_RANGE"),
            (
                PathFilter { destination_ports: range(1, 9), ..at_source },
                "FILTER_AT_DESTINATION_DESTINATION_PORT_RANGE",
            ),
        ] {
            assert_eq!(asked(other).unwrap_err().code, code);
        }
        let port = NetworkInsightsPath { destination_port: Some(22), ..path() };
        assert_eq!(Some(Packets::of(&port).unwrap().destination_ports), range(22, 22));
    }
}
