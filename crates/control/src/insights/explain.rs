//! A blocker in AWS's words: a code and what it is about (spec 11.5, 12.2.4).

use std::net::IpAddr;

use model::insights::Explanation;
use model::*;
use policy::{Denied, Step};
use reach::{Blocker, Cause, Mend};

use super::component::{Names, word};
use super::{LISTED_MAX, because};

/// What has no code of AWS's own.
const OTHER: &str = "NO_PATH";

/// Why this stands in the way.
pub(super) fn explain(names: &Names<'_>, blocker: &Blocker) -> Explanation {
    let place = &blocker.place;
    let of_place = Explanation {
        vpc: Some(names.vpc(place.vpc)),
        subnet: place.subnet.map(|subnet| names.subnet(subnet)),
        ..because(match blocker.analyzer_code() {
            "" => OTHER,
            code => code,
        })
    };
    match blocker.cause {
        Cause::Denied(denied) => of_denial(names, blocker, &denied, of_place),
        Cause::Elsewhere { interface, .. } => {
            let network_interface = interface.map(|interface| names.interface(interface));
            with_route(names, blocker, Explanation { network_interface, ..of_place })
        }
        Cause::Hidden => Explanation {
            component_account: Some(place.account),
            component_region: Some(place.region.to_string()),
            subnet: None,
            ..Explanation { code: "UNKNOWN_RESOURCE".into(), ..of_place }
        },
    }
}

fn of_denial(names: &Names<'_>, blocker: &Blocker, denied: &Denied, of_place: Explanation) -> Explanation {
    let (src, dst) = (blocker.flow.src, blocker.flow.dst);
    match *denied {
        Denied::GroupEgress { interface, .. } => of_groups(names, blocker, Direction::Egress, interface, of_place),
        Denied::GroupIngress { interface, .. } => of_groups(names, blocker, Direction::Ingress, interface, of_place),
        Denied::ReferenceNotApplicable { rule, group, .. } => {
            let holder = blocker.groups.iter().find(|holder| {
                names.world.find::<SecurityGroup>(holder).is_some_and(|holder| holder.rules.contains_key(&rule))
            });
            let group_rule = holder.and_then(|holder| names.group_rule(policy::RuleRef { group: *holder, rule }));
            Explanation {
                direction: Some(word(Direction::Ingress).into()),
                security_group: Some(names.group(group)),
                group_rule,
                security_groups: blocker.groups.iter().map(|group| names.group(*group)).collect(),
                ..of_place
            }
        }
        Denied::AclEgress { acl, number } => of_acl(names, Direction::Egress, acl, number, dst, of_place),
        Denied::AclIngress { acl, number } => of_acl(names, Direction::Ingress, acl, number, src, of_place),
        Denied::NoRoute { table } if of_place.code == "DISCONNECTED_VPCS" => {
            let other = blocker.mends.iter().find_map(|mend| match mend {
                Mend::CreatePeering { peer, .. } => Some(names.vpc(peer.vpc)),
                _ => None,
            });
            Explanation {
                source_vpc: of_place.vpc.clone(),
                destination_vpc: other,
                route_table: Some(names.table(table)),
                vpc: None,
                ..of_place
            }
        }
        Denied::NoRoute { table } => Explanation {
            route_table: Some(names.table(table)),
            address: Some(dst.to_string()),
            addresses: vec![host(dst)],
            ..of_place
        },
        Denied::Blackhole { .. } => {
            Explanation { state: Some("blackhole".into()), ..with_route(names, blocker, of_place) }
        }
        Denied::TargetNotCarried { .. } => with_route(names, blocker, of_place),
        Denied::PeeringNotActive { peering, status } => Explanation {
            component: peering.map(|peering| names.peering(peering)),
            peering: peering.map(|peering| names.peering(peering)),
            state: status.map(|status| status.code().into()),
            ..of_place
        },
        Denied::PeeringOfOthers { peering, .. } => {
            Explanation { peering: Some(names.peering(peering)), ..with_route(names, blocker, of_place) }
        }
        Denied::OutsidePeer { peering, address } => {
            of_blocks(names, blocker, peering, address, "DESTINATION_ADDRESS", of_place)
        }
        Denied::OutsideOwn { peering, address } => {
            of_blocks(names, blocker, peering, address, "SOURCE_ADDRESS", of_place)
        }
        Denied::SourceDown { interface } | Denied::DestinationDown { interface } => Explanation {
            component: Some(names.interface(interface)),
            network_interface: Some(names.interface(interface)),
            state: Some(state_of(names, interface).into()),
            ..of_place
        },
        Denied::SourceCheckEgress { interface, address } => {
            of_check(names, Direction::Egress, interface, address, "SOURCE_ADDRESS", of_place)
        }
        Denied::SourceCheckIngress { interface, address } => {
            of_check(names, Direction::Ingress, interface, address, "DESTINATION_ADDRESS", of_place)
        }
        Denied::GatewayNoPublicAddress => {
            Explanation { address: Some(src.to_string()), ..at_gateway(names, blocker, of_place) }
        }
        Denied::GatewayPrivateAddress { address, .. } | Denied::GatewayNoMapping { address } => {
            Explanation { address: Some(address.to_string()), ..at_gateway(names, blocker, of_place) }
        }
        Denied::NatExhausted { gateway, .. } => {
            let nat_gateway = names.nat_gateway_of(gateway);
            Explanation {
                component: nat_gateway.clone(),
                nat_gateway,
                network_interface: Some(names.interface(gateway)),
                ..of_place
            }
        }
        Denied::NoOwner { address, .. } | Denied::NotUnicast { address } => {
            Explanation { address: Some(address.to_string()), addresses: vec![host(address)], ..of_place }
        }
        Denied::SenderDisagrees { vpc, address } => Explanation {
            component: Some(names.vpc(vpc)),
            address: Some(address.to_string()),
            direction: Some(word(Direction::Ingress).into()),
            ..of_place
        },
        _ => of_place,
    }
}

/// With the Internet gateway that the packet met last.
fn at_gateway(names: &Names<'_>, blocker: &Blocker, found: Explanation) -> Explanation {
    let gateway = blocker.steps.iter().rev().find_map(|step| match *step {
        Step::Gateway { direction, gateway, .. } if names.world.internet_gateways.contains_key(&gateway) => {
            Some((direction, names.gateway(gateway)))
        }
        _ => None,
    });
    // What is refused on its way in has met none of its own yet.
    let of_place = || {
        let mut gateways = names.world.all::<InternetGateway>();
        let gateway = gateways.find(|gateway| gateway.vpc == Some(blocker.place.vpc))?;
        Some((Direction::Ingress, names.gateway(gateway.id)))
    };
    let gateway = gateway.or_else(of_place);
    let Some((direction, gateway)) = gateway else { return found };
    Explanation {
        direction: Some(word(direction).into()),
        component: Some(gateway.clone()),
        internet_gateway: Some(gateway),
        ..found
    }
}

fn of_groups(
    names: &Names<'_>,
    blocker: &Blocker,
    direction: Direction,
    interface: NetworkInterfaceId,
    of_place: Explanation,
) -> Explanation {
    Explanation {
        direction: Some(word(direction).into()),
        network_interface: Some(names.interface(interface)),
        security_groups: blocker.groups.iter().take(LISTED_MAX).map(|group| names.group(*group)).collect(),
        ..of_place
    }
}

fn of_acl(
    names: &Names<'_>,
    direction: Direction,
    acl: NetworkAclId,
    number: u16,
    address: IpAddr,
    of_place: Explanation,
) -> Explanation {
    Explanation {
        direction: Some(word(direction).into()),
        acl: Some(names.acl(acl)),
        acl_rule: names.acl_rule(acl, direction, number, address),
        ..of_place
    }
}

fn of_check(
    names: &Names<'_>,
    direction: Direction,
    interface: NetworkInterfaceId,
    address: IpAddr,
    field: &str,
    of_place: Explanation,
) -> Explanation {
    Explanation {
        direction: Some(word(direction).into()),
        network_interface: Some(names.interface(interface)),
        address: Some(address.to_string()),
        addresses: vec![host(address)],
        packet_field: Some(field.into()),
        ..of_place
    }
}

/// An address that is in none of the blocks of the VPC that it should be in.
fn of_blocks(
    names: &Names<'_>,
    blocker: &Blocker,
    peering: PeeringId,
    address: IpAddr,
    field: &str,
    of_place: Explanation,
) -> Explanation {
    let own = blocker.place.vpc;
    let side = names.world.find::<Peering>(&peering).and_then(|found| {
        let side = found.side_of(own)?;
        Some(found.side(if field == "SOURCE_ADDRESS" { side } else { side.other() }).clone())
    });
    Explanation {
        peering: Some(names.peering(peering)),
        address: Some(address.to_string()),
        addresses: vec![host(address)],
        cidrs: side.iter().flat_map(PeeringSide::blocks).take(LISTED_MAX).map(|block| block.to_string()).collect(),
        vpc: side.map(|side| names.vpc(side.vpc)),
        subnet: None,
        packet_field: Some(field.into()),
        ..of_place
    }
}

/// With the route that the packet took last.
fn with_route(names: &Names<'_>, blocker: &Blocker, found: Explanation) -> Explanation {
    let taken = blocker.steps.iter().rev().find_map(|step| match *step {
        Step::Route { table, destination, target, state } => Some((table, destination, target, state)),
        _ => None,
    });
    let Some((table, destination, target, state)) = taken else { return found };
    Explanation {
        route_table: Some(names.table(table)),
        route: names.route(table, destination, target, state),
        component: names.target(target),
        peering: match target {
            RouteTarget::Peering(id) => Some(names.peering(id)),
            _ => found.peering,
        },
        internet_gateway: match target {
            RouteTarget::InternetGateway(id) => Some(names.gateway(id)),
            _ => None,
        },
        ..found
    }
}

/// What an interface's instance does, or that there is none.
fn state_of(names: &Names<'_>, interface: NetworkInterfaceId) -> &'static str {
    crate::rules::attached_instance(names.world, interface).map_or("available", |instance| instance.state.name())
}

fn host(address: IpAddr) -> String {
    Cidr::host(address).to_string()
}
