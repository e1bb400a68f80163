//! Where paths of an access scope can begin and end: network interfaces, Internet gateways and, as ends only, peerings.

use std::collections::BTreeSet;

use model::*;

use crate::Cloud;

/// One of them, and by what names a statement can mean it.
#[derive(Clone, Debug)]
pub(super) struct Terminal {
    pub(super) kind: Kind,
    /// The VPC that packets leave or come to there.
    pub(super) vpc: VpcId,
    /// Its id, and the ids of what it belongs to.
    ids: BTreeSet<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Interface(NetworkInterfaceId),
    /// Somebody outside, behind it.
    Gateway(InternetGatewayId),
    /// `is_foreign`: what is on the other side is not this account's in this region.
    Peering {
        id: PeeringId,
        is_foreign: bool,
    },
}

impl Terminal {
    /// One of these ids means it.
    pub(super) fn is_any_of(&self, ids: &BTreeSet<String>) -> bool {
        !self.ids.is_disjoint(ids)
    }

    /// The CloudFormation type means it: of the thing itself, or of what it belongs to.
    pub(super) fn is_of(&self, resource_type: &str) -> bool {
        match self.kind {
            Kind::Interface(_) => INTERFACE_TYPES.contains(&resource_type),
            Kind::Gateway(_) => resource_type == "AWS::EC2::InternetGateway",
            Kind::Peering { .. } => resource_type == "AWS::EC2::VPCPeeringConnection",
        }
    }
}

/// What an interface is, or belongs to, where packets come to it.
const INTERFACE_TYPES: [&str; 5] = [
    "AWS::EC2::Instance",
    "AWS::EC2::NetworkInterface",
    "AWS::EC2::SecurityGroup",
    "AWS::EC2::Subnet",
    "AWS::EC2::VPC",
];

/// All of the caller's in its region, those of one VPC together. The interfaces of NAT gateways are no ends.
pub(super) fn terminals(cloud: &Cloud<'_>) -> Vec<Terminal> {
    let region = cloud.config.region;
    let mut all = Vec::new();
    for vpc in cloud.own::<Vpc>().map(|vpc| vpc.id) {
        let interfaces = cloud.own_by::<NetworkInterface>(By::id(vpc)).filter(|interface| interface.kind.is_ordinary());
        all.extend(interfaces.map(|interface| {
            let instance = interface.attachment.as_ref().map(|attachment| attachment.instance.to_string());
            let groups = interface.groups.iter().map(ToString::to_string);
            let whole = [interface.id.to_string(), interface.subnet.to_string(), vpc.to_string()];
            let ids = whole.into_iter().chain(instance).chain(groups).collect();
            Terminal { kind: Kind::Interface(interface.id), vpc, ids }
        }));
        let gateways = cloud.own_by::<InternetGateway>(By::id(vpc)).filter(|gateway| gateway.vpc == Some(vpc));
        all.extend(gateways.map(|gateway| {
            let ids = BTreeSet::from([gateway.id.to_string()]);
            Terminal { kind: Kind::Gateway(gateway.id), vpc, ids }
        }));
        let active = cloud.world().peerings_of(vpc).filter(|peering| peering.status == PeeringStatus::Active);
        all.extend(active.filter_map(|peering| {
            let other = peering.side(peering.side_of(vpc)?.other());
            let is_foreign = other.owner != cloud.caller.account || other.region != region;
            let ids = BTreeSet::from([peering.id.to_string()]);
            Some(Terminal { kind: Kind::Peering { id: peering.id, is_foreign }, vpc, ids })
        }));
    }
    all
}
