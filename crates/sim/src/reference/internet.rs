//! Through Internet gateways: "stateless 1:1 NAT private↔public for IPv4 (guest never sees its public IP), pass-through for IPv6. Outbound
//! without a public mapping => drop. Drops RFC1918/RFC6598 sources inbound and destinations outbound. Traffic entering an IGW may only go
//! to ENIs of its own VPC" (8.8).

use std::net::IpAddr;

use model::{ElasticAddress, InternetGateway, NetworkInterface, NetworkInterfaceId, VpcId};

use super::{Place, Verdict, owns};
use crate::packet::Packet;
use crate::scene::Scene;

/// What stands for an address of this interface outside.
pub(super) fn public(eni: &NetworkInterface, private: IpAddr) -> Option<IpAddr> {
    match private {
        IpAddr::V4(private) => {
            let mapping = eni.public.iter().find(|mapping| mapping.private == private)?;
            Some(IpAddr::V4(mapping.public))
        }
        IpAddr::V6(_) => owns(eni, private).then_some(private),
    }
}

/// Out of the VPC: as which address, and to whom.
pub(super) fn leave(scene: &Scene, x: &Place<'_>, packet: &Packet) -> Verdict<(IpAddr, NetworkInterfaceId)> {
    // "D28: IGW: source without public mapping".
    let source = public(x.eni, packet.src).ok_or("D28")?;
    // "D29: IGW: private/shared destination".
    if is_private(packet.dst) {
        return Err("D29");
    }
    if let Some(holder) = holder(scene, packet.dst) {
        return Ok((source, holder));
    }
    // "D30: IGW: inbound destination without mapping": behind a gateway that is not there nobody is reached by a public address. Outside
    // of this cloud there is nobody.
    let is_mapped = |eni: &NetworkInterface| eni.public.iter().any(|mapping| IpAddr::V4(mapping.public) == packet.dst);
    let is_ours = scene.all::<NetworkInterface>().iter().any(|(_, eni)| is_mapped(eni))
        || scene.all::<ElasticAddress>().iter().any(|(_, held)| IpAddr::V4(held.public) == packet.dst);
    Err(if is_ours { "D30" } else { "D14" })
}

/// The interface that an address of the internet stands for, behind a gateway.
pub(super) fn holder(scene: &Scene, address: IpAddr) -> Option<NetworkInterfaceId> {
    let everyone = scene.all::<NetworkInterface>();
    let is_it = |eni: &NetworkInterface| {
        eni.addresses().any(|own| public(eni, own) == Some(address)) && has_gateway(scene, eni.vpc)
    };
    everyone.iter().find(|(_, eni)| is_it(eni)).map(|(_, eni)| eni.id)
}

/// The packet as whoever gets it sees it.
pub(super) fn arriving(packet: &Packet, source: IpAddr, y: &NetworkInterface) -> Packet {
    let dst = y.addresses().find(|own| public(y, *own) == Some(packet.dst)).unwrap_or(packet.dst);
    packet.readdressed(source, dst)
}

fn has_gateway(scene: &Scene, vpc: VpcId) -> bool {
    scene.all::<InternetGateway>().iter().any(|(_, gateway)| gateway.vpc == Some(vpc))
}

/// RFC 1918, RFC 6598, and their like in IPv6 (RFC 4193).
fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(a) => matches!(a.octets(), [10, ..] | [172, 16..=31, ..] | [192, 168, ..] | [100, 64..=127, ..]),
        IpAddr::V6(a) => matches!(a.segments(), [0xfc00..=0xfdff, ..]),
    }
}
