//! One packet from interface to interface, as the data plane judges it: `policy::egress`, `policy::ingress`, and what each leaves in
//! connection tracking.

use alloc::vec::Vec;
use core::net::IpAddr;

use model::{Direction, EgressOnlyInternetGatewayId, NatGatewayId, NetworkInterfaceId, Scope, Time, VpcId};
use policy::{
    Conntrack, Denied, Flow, L2, Limits, NatLimits, NatTable, Step, Timeouts, Trail, Translation, egress, ingress,
};

use crate::Network;

/// What connection tracking knows, and what NAT gateways translate, at one moment.
#[derive(Debug)]
pub struct Memory {
    pub conntrack: Conntrack,
    pub nat: NatTable,
    pub now: Time,
}

impl Default for Memory {
    /// Nothing yet; room for the packets of one question.
    fn default() -> Memory {
        let limits = Limits { flows: FLOWS, flows_per_interface: FLOWS };
        let nat = NatLimits { mappings: FLOWS, mappings_per_gateway: FLOWS, ..NatLimits::default() };
        let conntrack = Conntrack::new(limits, Timeouts::default(), 0);
        Memory { conntrack, nat: NatTable::new(nat, 0), now: Time::EPOCH }
    }
}

/// More than one packet and its reply leave on all their legs.
const FLOWS: u32 = 64;

/// A packet through more middleboxes than this goes round in a ring.
const LEGS_MAX: usize = 8;

/// A packet's whole way: a leg to each middlebox, each of which is taken to forward it unchanged, one to each NAT gateway, which
/// translates it, and the last one.
#[derive(Clone, Debug)]
pub struct Walk {
    /// At least one.
    pub legs: Vec<Leg>,
}

/// From one interface to the next.
#[derive(Clone, Debug)]
pub struct Leg {
    pub from: NetworkInterfaceId,
    /// The packet as it is sent.
    pub flow: Flow,
    /// What Internet gateways made of it, as far as it came.
    pub translation: Translation,
    pub steps: Vec<Step>,
    /// Who gets it.
    pub outcome: Result<NetworkInterfaceId, Denied>,
}

/// What becomes of a packet on one leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judged {
    /// Who gets it.
    pub outcome: Result<NetworkInterfaceId, Denied>,
    /// What Internet gateways make of it, as far as it comes.
    pub translation: Translation,
}

impl Leg {
    /// The packet as it was last.
    pub fn arrived(&self) -> Flow {
        self.translation.flow(&self.flow)
    }
}

impl Walk {
    /// The packet as whoever got it at last has it.
    pub fn arrived(&self) -> Flow {
        self.last().arrived()
    }

    /// Who got it at last.
    pub fn outcome(&self) -> Result<NetworkInterfaceId, Denied> {
        self.last().outcome
    }

    pub(crate) fn last(&self) -> &Leg {
        &self.legs[self.legs.len() - 1]
    }
}

impl Network {
    /// What becomes of a packet that an interface sends, up to the next interface, and what that leaves in `memory`.
    pub fn judge(
        &self,
        from: NetworkInterfaceId,
        flow: &Flow,
        l2: L2,
        memory: &mut Memory,
        trail: &mut impl Trail,
    ) -> Judged {
        let mut translation = Translation::NONE;
        let outcome = self.ask(from, flow, l2, memory, trail, &mut translation);
        Judged { outcome, translation }
    }

    fn ask(
        &self,
        from: NetworkInterfaceId,
        flow: &Flow,
        l2: L2,
        memory: &mut Memory,
        trail: &mut impl Trail,
        translation: &mut Translation,
    ) -> Result<NetworkInterfaceId, Denied> {
        let Memory { conntrack, now, .. } = memory;
        let here = self.vpc_of(from).and_then(|vpc| self.tables(vpc)).ok_or(Denied::SourceDown { interface: from })?;
        if let Some((step, denied)) = self.kept_by_router(from, flow) {
            trail.step(step);
            trail.step(Step::Denied(denied));
            return Err(denied);
        }
        let seen = conntrack.lookup(from, Direction::Egress, flow, *now);
        let next = egress(here, from, flow, l2, seen, trail)?;
        conntrack.commit(from, Direction::Egress, flow, next.track, *now)?;
        *translation = next.translation;
        let down = Denied::DestinationDown { interface: next.interface };
        let Some(there) = self.tables(next.vpc).filter(|_| next.host.is_some()) else {
            trail.step(Step::Denied(down));
            return Err(down);
        };
        let entered = there.arriving(&next, flow);
        let (to, whole) = entered.inspect_err(|denied| trail.step(Step::Denied(*denied)))?;
        *translation = whole;
        if next.origin.scope == Scope::Internet
            && let Some(gateway) = self.egress_only(next.vpc)
        {
            trail.step(Step::EgressOnly { direction: Direction::Ingress, gateway });
        }
        let flow = &whole.flow(flow);
        let seen = conntrack.lookup(to, Direction::Ingress, flow, *now);
        let admit = ingress(there, to, &next.origin, flow, seen, trail)?;
        conntrack.commit(to, Direction::Ingress, flow, admit.track, *now)?;
        Ok(to)
    }

    /// The packet's whole way. A guest sends to a neighbour in its subnet directly, as every IP stack does.
    pub fn walk(&self, from: NetworkInterfaceId, flow: &Flow, memory: &mut Memory) -> Walk {
        let mut legs: Vec<Leg> = Vec::new();
        let (mut at, mut flow, mut l2) = (from, *flow, L2::Neighbour);
        loop {
            let mut steps = Vec::new();
            let Judged { mut outcome, translation } = self.judge(at, &flow, l2, memory, &mut steps);
            let arrived = translation.flow(&flow);
            let translated = outcome.ok().and_then(|to| Some((to, self.translated(to, &arrived, memory)?)));
            if let Some((_, Err(denied))) = translated {
                steps.push(Step::Denied(denied));
                outcome = Err(denied);
            }
            if let Some((interface, Ok(_))) = translated
                && let Some(gateway) = self.nat_gateway(interface)
            {
                steps.push(Step::Nat { gateway, interface });
            }
            legs.push(Leg { from: at, flow, translation, steps, outcome });
            (flow, l2) = (arrived, L2::Neighbour);
            match outcome {
                Ok(to) if legs.len() < LEGS_MAX && translated.is_some() => {
                    // A gateway hands everything to the router.
                    let onward = translated.and_then(|(_, onward)| onward.ok()).unwrap_or(arrived);
                    (at, flow, l2) = (to, onward, L2::Router);
                }
                Ok(to) if !self.owns(to, &flow) && legs.len() < LEGS_MAX => at = to,
                _ => return Walk { legs },
            }
        }
    }

    /// What a NAT gateway makes of a packet that came to its interface; `None`: it is none's.
    fn translated(&self, at: NetworkInterfaceId, flow: &Flow, memory: &mut Memory) -> Option<Result<Flow, Denied>> {
        let own = self.tables(self.vpc_of(at)?)?.nat_gateway(at)?;
        let translated = match own.contains(&flow.dst) {
            true => memory.nat.inbound(at, own, flow, memory.now),
            false => memory.nat.outbound(at, own, flow, memory.now),
        };
        Some(translated.map_err(|cause| Denied::NatExhausted { gateway: at, cause }))
    }

    /// What the VPC's router keeps for itself, before the law is asked: packets for the resolver, which is not carried (D04), and for
    /// the router, whose addresses no interface owns (D14).
    fn kept_by_router(&self, from: NetworkInterfaceId, flow: &Flow) -> Option<(Step, Denied)> {
        let endpoint = self.endpoint(from).filter(|endpoint| endpoint.is_up && endpoint.interface.owns(flow.src))?;
        let interface = &endpoint.interface;
        let slice = self.slice(interface.vpc)?;
        let subnet = slice.subnets.iter().find(|subnet| subnet.id == interface.subnet)?;
        let denied = match flow.dst {
            IpAddr::V4(dst) if dst == slice.vpc.resolver() => Denied::NotUnicast { address: flow.dst },
            IpAddr::V4(dst) if dst != subnet.router() => return None,
            IpAddr::V6(dst) if subnet.ipv6.and_then(|block| block.cidr.nth(1)) != Some(dst) => return None,
            _ => Denied::NoOwner { vpc: interface.vpc, address: flow.dst },
        };
        let (subnet, vpc) = (interface.subnet, interface.vpc);
        Some((Step::Interface { direction: Direction::Egress, interface: from, subnet, vpc }, denied))
    }

    /// The egress-only gateway that lets answers in where nothing else does.
    fn egress_only(&self, vpc: VpcId) -> Option<EgressOnlyInternetGatewayId> {
        let slice = self.slice(vpc).filter(|slice| slice.internet_gateways.is_empty())?;
        slice.egress_only_internet_gateways.first().copied()
    }

    fn nat_gateway(&self, interface: NetworkInterfaceId) -> Option<NatGatewayId> {
        let slice = self.slice(self.vpc_of(interface)?)?;
        slice.nat_gateways.iter().find(|(_, at)| **at == interface).map(|(id, _)| *id)
    }

    fn owns(&self, interface: NetworkInterfaceId, flow: &Flow) -> bool {
        self.endpoint(interface).is_some_and(|endpoint| endpoint.interface.owns(flow.dst))
    }
}
