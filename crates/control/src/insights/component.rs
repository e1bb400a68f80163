//! Things on the way, as the caller may see them named.

use std::net::IpAddr;

use model::insights::{AclRule, Component, GroupRule, PathEnd, PathResource, PortRange, RouteUsed};
use model::*;
use policy::{RouteState, RuleRef};

use super::end::arn;
use crate::cloud::Owned;
use crate::rules::attached_instance;

/// Looks things up for one caller.
#[derive(Clone, Copy)]
pub(super) struct Names<'w> {
    pub(super) world: &'w World,
    pub(super) region: Region,
    pub(super) caller: AccountId,
}

impl Names<'_> {
    pub(super) fn vpc(&self, id: VpcId) -> Component {
        match self.world.find::<Vpc>(&id) {
            Some(_) => self.of::<Vpc>("vpc", id),
            // In another region: a peering says whose it is.
            None => {
                let mut sides = self.world.peerings_of(id).map(|peering| match peering.side_of(id) {
                    Some(side) => peering.side(side),
                    None => &peering.requester,
                });
                let (region, owner) = sides.next().map_or((self.region, self.caller), |side| (side.region, side.owner));
                Component { id: id.to_string(), arn: arn(region, owner, "vpc", id), name: None }
            }
        }
    }

    pub(super) fn subnet(&self, id: SubnetId) -> Component {
        self.of::<Subnet>("subnet", id)
    }

    pub(super) fn interface(&self, id: NetworkInterfaceId) -> Component {
        self.of::<NetworkInterface>("network-interface", id)
    }

    pub(super) fn instance(&self, id: InstanceId) -> Component {
        self.of::<Instance>("instance", id)
    }

    /// The instance that an interface is attached to.
    pub(super) fn instance_of(&self, id: NetworkInterfaceId) -> Option<Component> {
        attached_instance(self.world, id).map(|instance| self.instance(instance.id))
    }

    pub(super) fn group(&self, id: SecurityGroupId) -> Component {
        self.of::<SecurityGroup>("security-group", id)
    }

    pub(super) fn acl(&self, id: NetworkAclId) -> Component {
        self.of::<NetworkAcl>("network-acl", id)
    }

    pub(super) fn table(&self, id: RouteTableId) -> Component {
        self.of::<RouteTable>("route-table", id)
    }

    pub(super) fn gateway(&self, id: InternetGatewayId) -> Component {
        self.of::<InternetGateway>("internet-gateway", id)
    }

    pub(super) fn nat_gateway(&self, id: NatGatewayId) -> Component {
        self.of::<NatGateway>("natgateway", id)
    }

    pub(super) fn egress_only(&self, id: EgressOnlyInternetGatewayId) -> Component {
        self.of::<EgressOnlyInternetGateway>("egress-only-internet-gateway", id)
    }

    /// The NAT gateway whose interface this is.
    pub(super) fn nat_gateway_of(&self, id: NetworkInterfaceId) -> Option<Component> {
        let gateways = self.world.all::<NatGateway>();
        let found = gateways.filter(|gateway| gateway.state == NatGatewayState::Available);
        let found = found.into_iter().find(|gateway| gateway.interface == Some(id));
        found.map(|gateway| self.nat_gateway(gateway.id))
    }

    /// Tags of a peering are each account's own.
    pub(super) fn peering(&self, id: PeeringId) -> Component {
        let found = self.world.find::<Peering>(&id);
        let name = found.and_then(|peering| named(peering.tags.get(&self.caller)?));
        let owner = found.map_or(self.caller, |peering| peering.requester.owner);
        Component { id: id.to_string(), arn: arn(self.region, owner, "vpc-peering-connection", id), name }
    }

    /// An end that the caller named: of another account it tells nothing that the caller did not say.
    pub(super) fn end(&self, end: PathEnd) -> Component {
        match end.resource {
            PathResource::Peering(id) => self.peering(id),
            PathResource::Instance(id) if end.owner == self.caller => self.instance(id),
            PathResource::NetworkInterface(id) if end.owner == self.caller => self.interface(id),
            PathResource::InternetGateway(id) if end.owner == self.caller => self.gateway(id),
            other => {
                Component { id: other.to_string(), arn: arn(self.region, end.owner, other.kind(), other), name: None }
            }
        }
    }

    /// What a route leads to.
    pub(super) fn target(&self, target: RouteTarget) -> Option<Component> {
        let foreign =
            |kind: &str, id: String| Some(Component { arn: arn(self.region, self.caller, kind, &id), id, name: None });
        match target {
            RouteTarget::Local => None,
            RouteTarget::Peering(id) => Some(self.peering(id)),
            RouteTarget::NetworkInterface(id) => Some(self.interface(id)),
            RouteTarget::InternetGateway(id) => Some(self.gateway(id)),
            RouteTarget::NatGateway(id) => Some(self.nat_gateway(id)),
            RouteTarget::EgressOnlyInternetGateway(id) => Some(self.egress_only(id)),
            RouteTarget::TransitGateway(id) => foreign("transit-gateway", id.to_string()),
        }
    }

    fn of<E: Owned>(&self, kind: &str, id: E::Id) -> Component
    where
        E::Id: std::fmt::Display,
    {
        let found = self.world.find::<E>(&id);
        let owner = found.map_or(self.caller, |found| found.owner());
        let name = found.filter(|_| owner == self.caller).and_then(|found| named(found.tags()));
        Component { arn: arn(self.region, owner, kind, &id), id: id.to_string(), name }
    }

    /// A numbered rule of an ACL, or the denial behind them all; `None`: there is no such rule.
    pub(super) fn acl_rule(
        &self,
        acl: NetworkAclId,
        direction: Direction,
        number: u16,
        address: IpAddr,
    ) -> Option<AclRule> {
        let everyone = if address.is_ipv4() { Ipv4Cidr::ALL.into() } else { Cidr::V6(Ipv6Cidr::ALL) };
        let last =
            NetworkAclEntry { protocol: IpProtocol::All, action: AclAction::Deny, cidr: everyone, ports: Ports::Any };
        let found = match number {
            acl::ACL_DENY_IPV4 | acl::ACL_DENY_IPV6 => &last,
            _ => self.world.find::<NetworkAcl>(&acl)?.entries(direction).get(&number)?,
        };
        Some(AclRule {
            cidr: found.cidr.to_string(),
            egress: direction == Direction::Egress,
            ports: ports(found.ports),
            protocol: match found.protocol {
                IpProtocol::All => "all".into(),
                protocol => protocol.number(),
            },
            action: if found.action == AclAction::Allow { "allow".into() } else { "deny".into() },
            number: number.into(),
        })
    }

    /// A rule of a security group, as long as it is there.
    pub(super) fn group_rule(&self, RuleRef { group, rule }: RuleRef) -> Option<GroupRule> {
        let rule = self.world.find::<SecurityGroup>(&group)?.rules.get(&rule)?;
        let mut found = GroupRule {
            direction: word(rule.direction).into(),
            ports: ports(rule.ports),
            protocol: rule.protocol.name(),
            ..GroupRule::default()
        };
        match &rule.peer {
            RulePeer::Cidr(cidr) => found.cidr = Some(cidr.to_string()),
            RulePeer::PrefixList(list) => found.prefix_list = Some(list.to_string()),
            RulePeer::Group { group, .. } => found.group = Some(group.to_string()),
        }
        Some(found)
    }

    /// The route of a table that was taken; `None`: there is no such route.
    pub(super) fn route(
        &self,
        id: RouteTableId,
        destination: Cidr,
        target: RouteTarget,
        state: RouteState,
    ) -> Option<RouteUsed> {
        let table = self.world.find::<RouteTable>(&id)?;
        let vpc = self.world.find::<Vpc>(&table.vpc)?;
        let of_list = |route: &Route| route.target == target && matches!(route.destination, Destination::PrefixList(_));
        let found = table.route(vpc, Destination::Cidr(destination)).or_else(|| table.all_routes(vpc).find(of_list))?;
        let mut used = RouteUsed {
            destination_cidr: Some(destination.to_string()),
            destination_prefix_list: match found.destination {
                Destination::PrefixList(list) => Some(list.to_string()),
                Destination::Cidr(_) => None,
            },
            origin: match found.origin {
                RouteOrigin::CreateRouteTable => "CreateRouteTable".into(),
                RouteOrigin::CreateRoute => "CreateRoute".into(),
            },
            state: match state {
                RouteState::Active => "active".into(),
                RouteState::Blackhole => "blackhole".into(),
            },
            ..RouteUsed::default()
        };
        match target {
            RouteTarget::Local => used.gateway = Some("local".into()),
            RouteTarget::Peering(id) => used.peering = Some(id.to_string()),
            RouteTarget::InternetGateway(id) => used.gateway = Some(id.to_string()),
            RouteTarget::NatGateway(id) => used.nat_gateway = Some(id.to_string()),
            RouteTarget::EgressOnlyInternetGateway(id) => used.egress_only_internet_gateway = Some(id.to_string()),
            RouteTarget::TransitGateway(id) => used.transit_gateway = Some(id.to_string()),
            RouteTarget::NetworkInterface(id) => {
                used.network_interface = Some(id.to_string());
                used.instance = attached_instance(self.world, id).map(|instance| instance.id.to_string());
            }
        }
        Some(used)
    }
}

fn named(tags: &Tags) -> Option<String> {
    tags.get("Name").cloned()
}

/// `ingress` or `egress`.
pub(super) fn word(direction: Direction) -> &'static str {
    match direction {
        Direction::Ingress => "ingress",
        Direction::Egress => "egress",
    }
}

fn ports(ports: Ports) -> Option<PortRange> {
    match ports {
        Ports::Range { from, to } => Some(PortRange { from, to }),
        Ports::Any | Ports::Icmp { .. } => None,
    }
}
