//! May a packet ever pass from these interfaces to those? Read from the nouns, and held against what each host believes
//! (`dataplane::Entitled`): a link too many lets a host lie, a link too few loses packets.

use std::collections::BTreeMap;
use std::net::IpAddr;

use model::{
    Domain, HostId, Instance, InternetGateway, NetworkInterface, NetworkInterfaceId, Peering, PeeringId, PeeringStatus,
    Scope, Vpc, VpcId,
};
use tunnel::{LinkDirection, Permits};

use crate::dice::Dice;
use crate::scene::Scene;

/// Who is where, and which VPCs are linked, as the whole cloud knows it.
struct Map {
    vpcs: Vec<VpcId>,
    /// VPC and host of each interface that is on a host.
    interfaces: BTreeMap<NetworkInterfaceId, (VpcId, HostId)>,
    peerings: BTreeMap<PeeringId, (VpcId, VpcId, bool)>,
    /// VPC and host of each interface that has an address on the internet.
    on_internet: Vec<(VpcId, HostId)>,
}

impl Map {
    fn new(scene: &Scene) -> Map {
        let (mut interfaces, mut on_internet) = (BTreeMap::new(), Vec::new());
        let everyone = scene.all::<NetworkInterface>();
        let has_gateway = |vpc| scene.all::<InternetGateway>().iter().any(|(_, gateway)| gateway.vpc == Some(vpc));
        // Of an IPv6 address that two have, which no pool gives out, the first is the one.
        let is_on_internet = |eni: &NetworkInterface, own: IpAddr| match own {
            IpAddr::V4(private) => has_gateway(eni.vpc) && eni.public.iter().any(|at| at.private == private),
            IpAddr::V6(_) => {
                let first = everyone.iter().find(|(_, other)| other.owns(own) && has_gateway(other.vpc));
                first.is_some_and(|(_, first)| first.id == eni.id)
            }
        };
        for (region, eni) in everyone.clone() {
            let instance = eni.attachment.as_ref().map(|attachment| attachment.instance);
            let instance = instance.and_then(|id| scene.worlds[&region].find::<Instance>(&id));
            if let Some(host) = instance.and_then(|instance| instance.host) {
                interfaces.insert(eni.id, (eni.vpc, host));
                if eni.addresses().any(|own| is_on_internet(&eni, own)) {
                    on_internet.push((eni.vpc, host));
                }
            }
        }
        let mut peerings = BTreeMap::new();
        for (_, pcx) in scene.all::<Peering>() {
            let is_active = pcx.status == PeeringStatus::Active;
            // Of two records, in two regions, both must stand.
            let entry = peerings.entry(pcx.id).or_insert((pcx.requester.vpc, pcx.accepter.vpc, is_active));
            entry.2 &= is_active;
        }
        let vpcs = scene.all::<Vpc>().iter().map(|(_, vpc)| vpc.id).collect();
        Map { vpcs, interfaces, peerings, on_internet }
    }

    fn links(&self, from: VpcId, to: VpcId, id: PeeringId) -> bool {
        self.peerings
            .get(&id)
            .is_some_and(|(a, b, is_active)| *is_active && ((*a, *b) == (from, to) || (*b, *a) == (from, to)))
    }

    /// Whether the sender may carry a guest of the one VPC whose packet an interface of the other one on the receiver may get.
    fn may_pass(&self, domain: &Domain, sender: HostId, receiver: HostId) -> bool {
        let Domain { from, to, scope } = *domain;
        let carries = |vpc, host| self.interfaces.values().any(|place| *place == (vpc, host));
        let is_linked = match scope {
            Scope::Internet => self.on_internet.contains(&(from, sender)) && self.on_internet.contains(&(to, receiver)),
            Scope::Vpc => from == to,
            Scope::Peering(id) => self.links(from, to, id),
            Scope::RouteTarget(interface) => {
                let is_near = from == to || self.peerings.keys().any(|id| self.links(from, to, *id));
                is_near && self.interfaces.get(&interface) == Some(&(to, receiver))
            }
        };
        is_linked && carries(from, sender) && carries(to, receiver)
    }

    fn any(&self, dice: &mut Dice) -> Option<Domain> {
        let (mut from, mut to) = (*dice.pick(&self.vpcs)?, *dice.pick(&self.vpcs)?);
        let peerings: Vec<(&PeeringId, &(VpcId, VpcId, bool))> = self.peerings.iter().collect();
        let interfaces: Vec<(&NetworkInterfaceId, &(VpcId, HostId))> = self.interfaces.iter().collect();
        let scope = match dice.below(4) {
            0 => Scope::Vpc,
            3 => Scope::Internet,
            1 => {
                let (id, (a, b, _)) = dice.pick(&peerings)?;
                if dice.chance(60) {
                    (from, to) = if dice.chance(50) { (*a, *b) } else { (*b, *a) };
                }
                Scope::Peering(**id)
            }
            _ => {
                let (id, (vpc, _)) = dice.pick(&interfaces)?;
                if dice.chance(60) {
                    to = *vpc;
                }
                Scope::RouteTarget(**id)
            }
        };
        if scope == Scope::Vpc && dice.chance(60) {
            to = from;
        }
        Some(Domain { from, to, scope })
    }
}

/// Draws domains and pairs of hosts, and counts those that are permitted and those that are not.
///
/// # Errors
/// A host believes something else than the cloud.
pub fn check<'a>(
    scene: &Scene,
    hosts: impl Iterator<Item = (HostId, &'a dyn Permits)>,
    dice: &mut Dice,
    draws: usize,
) -> Result<[u64; 2], String> {
    let map = Map::new(scene);
    let views: BTreeMap<HostId, &dyn Permits> = hosts.collect();
    let names: Vec<HostId> = views.keys().copied().collect();
    let mut counts = [0; 2];
    for _ in 0..draws {
        let (Some(sender), Some(receiver)) = (dice.pick(&names).copied(), dice.pick(&names).copied()) else { continue };
        let Some(domain) = map.any(dice).filter(|_| sender != receiver) else { continue };
        let expected = map.may_pass(&domain, sender, receiver);
        let said = [
            views[&sender].permits(LinkDirection::Sending, receiver, domain),
            views[&receiver].permits(LinkDirection::Receiving, sender, domain),
        ];
        if said != [expected; 2] {
            return Err(format!(
                "{domain} from {sender} to {receiver}: expected {expected}, the two ends say {said:?}"
            ));
        }
        counts[usize::from(expected)] += 1;
    }
    Ok(counts)
}
