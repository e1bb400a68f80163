//! Which host may send what to which? The receiver's guard against a host that holds a valid certificate and lies (spec 14.8, I2).

use std::collections::{BTreeMap, BTreeSet};

use model::intent::VpcSlice;
use model::{Domain, HostId, NetworkInterfaceId, PeeringId, Scope, VpcId};
use policy::Internet;
use tunnel::{LinkDirection, Permits};

/// Who carries which VPC and which VPCs are linked, from the slices of one host's intent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entitled {
    here: HostId,
    carriers: BTreeMap<VpcId, BTreeSet<HostId>>,
    /// Both orders of each active peering.
    peerings: BTreeSet<(VpcId, VpcId, PeeringId)>,
    interfaces: BTreeMap<NetworkInterfaceId, (VpcId, HostId)>,
    /// Who carries what can be reached through an Internet gateway.
    on_internet: BTreeSet<(VpcId, HostId)>,
}

impl Entitled {
    /// As the host `here` sees it.
    pub fn new<'a>(here: HostId, slices: impl IntoIterator<Item = &'a VpcSlice>) -> Entitled {
        let mut entitled = Entitled {
            here,
            carriers: BTreeMap::new(),
            peerings: BTreeSet::new(),
            interfaces: BTreeMap::new(),
            on_internet: BTreeSet::new(),
        };
        for slice in slices {
            let own = slice.vpc.id;
            for endpoint in &slice.endpoints {
                entitled.carries(own, endpoint.interface.id, endpoint.host);
            }
            for peer in &slice.peers {
                entitled.peerings.extend([(own, peer.vpc, peer.peering), (peer.vpc, own, peer.peering)]);
                for member in &peer.members {
                    entitled.carries(peer.vpc, member.interface, member.host);
                }
            }
        }
        entitled
    }

    /// The same, with what can be reached through Internet gateways.
    #[must_use]
    pub fn with_internet(mut self, internet: &Internet) -> Entitled {
        self.on_internet = internet.all().filter_map(|at| Some((at.vpc, at.host?))).collect();
        self
    }

    /// Whether `sender` may seal packets of this domain for `receiver`: each carries its VPC, and the object that permits it stands.
    pub fn may_send(&self, domain: &Domain, sender: HostId, receiver: HostId) -> bool {
        let Domain { from, to, scope } = *domain;
        if scope == Scope::Internet {
            return self.on_internet.contains(&(from, sender)) && self.on_internet.contains(&(to, receiver));
        }
        let carries = |vpc, host: HostId| self.carriers.get(&vpc).is_some_and(|hosts| hosts.contains(&host));
        let is_permitted = match scope {
            Scope::Internet => false,
            Scope::Vpc => from == to,
            Scope::Peering(id) => self.peerings.contains(&(from, to, id)),
            Scope::RouteTarget(interface) => {
                let is_linked = from == to || self.peerings.iter().any(|(a, b, _)| (*a, *b) == (from, to));
                is_linked && self.interfaces.get(&interface) == Some(&(to, receiver))
            }
        };
        is_permitted && carries(from, sender) && carries(to, receiver)
    }

    fn carries(&mut self, vpc: VpcId, interface: NetworkInterfaceId, host: Option<HostId>) {
        if let Some(host) = host {
            self.carriers.entry(vpc).or_default().insert(host);
            self.interfaces.insert(interface, (vpc, host));
        }
    }
}

impl Permits for Entitled {
    fn permits(&self, direction: LinkDirection, host: HostId, domain: Domain) -> bool {
        match direction {
            LinkDirection::Sending => self.may_send(&domain, self.here, host),
            LinkDirection::Receiving => self.may_send(&domain, host, self.here),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use policy::testing::{Lab, p};

    /// A in one host, B in another, peered; C in a third, peered with B only.
    struct Stage {
        lab: Lab,
        vpcs: [VpcId; 3],
        interfaces: [NetworkInterfaceId; 3],
        peerings: [PeeringId; 2],
    }

    fn host(n: usize) -> HostId {
        p(&format!("host-{n}"))
    }

    fn stage() -> Stage {
        let mut lab = Lab::default();
        let vpcs = ["10.16.0.0/16", "10.17.0.0/16", "10.18.0.0/16"].map(|cidr| lab.vpc(&[cidr]));
        let mut interfaces = Vec::new();
        for (n, vpc) in vpcs.into_iter().enumerate() {
            let subnet = lab.subnet(vpc, &[&format!("10.{}.1.0/24", 16 + n)]);
            let interface = lab.interface(subnet, &[&format!("10.{}.1.10", 16 + n)]);
            lab.endpoint(interface).host = Some(host(n));
            interfaces.push(interface);
        }
        let peerings = [lab.peering(vpcs[0], vpcs[1]), lab.peering(vpcs[1], vpcs[2])];
        Stage { lab, vpcs, interfaces: interfaces.try_into().unwrap(), peerings }
    }

    fn entitled(stage: &Stage, here: usize) -> Entitled {
        let slices = stage.lab.complete();
        Entitled::new(host(here), slices.get(&stage.vpcs[here]))
    }

    #[test]
    fn each_link_is_permitted_by_its_own_object_and_no_other() {
        let stage = stage();
        let [a, b, c] = stage.vpcs;
        let at_b = entitled(&stage, 1);
        let hears = |from: usize, domain: Domain| at_b.permits(LinkDirection::Receiving, host(from), domain);
        let by = |from, to, scope| Domain { from, to, scope };
        let [of_a, of_c] = stage.peerings;
        assert!(hears(0, by(a, b, Scope::Peering(of_a))));
        assert!(hears(2, by(c, b, Scope::Peering(of_c))));
        assert!(hears(0, by(a, b, Scope::RouteTarget(stage.interfaces[1]))));
        for (from, domain, why) in [
            (0, by(a, b, Scope::Peering(of_c)), "another's peering"),
            (2, by(a, b, Scope::Peering(of_a)), "a host that carries neither VPC of it"),
            (0, by(b, b, Scope::Vpc), "a VPC that the sender does not carry"),
            (0, by(a, b, Scope::Vpc), "two VPCs are not one"),
            (0, by(a, c, Scope::Peering(of_a)), "not transitive"),
            (0, by(a, b, Scope::RouteTarget(stage.interfaces[2])), "a target that is not here"),
            (2, by(c, b, Scope::RouteTarget(stage.interfaces[0])), "a target of another VPC"),
            (0, by(b, a, Scope::Peering(of_a)), "the other way round"),
        ] {
            assert!(!hears(from, domain), "{why}");
        }
        assert!(at_b.permits(LinkDirection::Sending, host(0), by(b, a, Scope::Peering(of_a))));
        assert!(!at_b.permits(LinkDirection::Sending, host(2), by(b, a, Scope::Peering(of_a))));
    }

    #[test]
    fn a_route_target_is_reached_only_from_a_vpc_that_is_linked_with_its_own() {
        let mut stage = stage();
        let [a, b, c] = stage.vpcs;
        // A has an interface on B's host too, which so carries all three.
        let subnet = stage.lab.subnet(a, &["10.16.2.0/24"]);
        let target = stage.lab.interface(subnet, &["10.16.2.10"]);
        stage.lab.endpoint(target).host = Some(host(1));
        let slices = stage.lab.complete();
        let at_b = Entitled::new(host(1), slices.values().filter(|slice| slice.vpc.id != c));
        let to_target = |from| Domain { from, to: a, scope: Scope::RouteTarget(target) };
        let hears = |from: usize, domain| at_b.permits(LinkDirection::Receiving, host(from), domain);
        assert!(hears(0, to_target(a)), "from its own VPC");
        assert!(at_b.may_send(&to_target(b), host(1), host(1)), "from a peer of it");
        assert!(!hears(2, to_target(c)), "C is peered with B alone");
    }

    #[test]
    fn a_peering_that_ends_ends_its_links() {
        let mut stage = stage();
        let domain = Domain { from: stage.vpcs[0], to: stage.vpcs[1], scope: Scope::Peering(stage.peerings[0]) };
        stage.lab.set_status(stage.peerings[0], model::PeeringStatus::Deleted);
        assert!(!entitled(&stage, 1).permits(LinkDirection::Receiving, host(0), domain));
    }
}
