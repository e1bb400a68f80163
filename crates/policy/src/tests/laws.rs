//! Laws over random worlds: the compiled tables say what the configuration says, a host's slice what the whole says, and
//! nothing that is missing opens a way.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use model::intent::VpcSlice;
use model::{Direction, IpProtocol, PeeringStatus, Ports, PrefixListId, ResourceId, RouteTarget, RulePeer};
use proptest::prelude::*;

use super::*;
use crate::testing::arbitrary;

/// What a security group rule is made of; a group of another VPC by its place among the VPCs.
#[derive(Clone, Debug)]
enum RandomPeer {
    Block(model::Cidr),
    Group(usize, usize),
    /// One of the two lists.
    List(usize),
    Nobody,
}

fn peer() -> impl Strategy<Value = RandomPeer> {
    prop_oneof![
        arbitrary::block().prop_map(RandomPeer::Block),
        (0_usize..3, 0_usize..2).prop_map(|(vpc, group)| RandomPeer::Group(vpc, group)),
        (0_usize..2).prop_map(RandomPeer::List),
        Just(RandomPeer::Nobody),
    ]
}

#[derive(Clone, Debug)]
struct RandomRule {
    group: (usize, usize),
    ingress: bool,
    ports: (IpProtocol, Ports),
    peer: RandomPeer,
}

fn rule() -> impl Strategy<Value = RandomRule> {
    ((0_usize..3, 0_usize..2), any::<bool>(), arbitrary::protocol_and_ports(), peer())
        .prop_map(|(group, ingress, ports, peer)| RandomRule { group, ingress, ports, peer })
}

/// Three VPCs on the addresses that [`arbitrary`] makes: 10.0, 10.1 and 10.2, two interfaces each, peered in a ring.
struct Ring {
    lab: Lab,
    vpcs: Vec<VpcId>,
    groups: Vec<[SecurityGroupId; 2]>,
    interfaces: Vec<NetworkInterfaceId>,
}

fn ring(
    rules: &[RandomRule],
    bear: &[(bool, bool)],
    status: &[PeeringStatus],
    routes: &[(usize, usize, model::Cidr)],
    lists: &[Vec<model::Cidr>; 2],
) -> Ring {
    let mut lab = Lab::default();
    let (mut vpcs, mut groups, mut interfaces) = (Vec::new(), Vec::new(), Vec::new());
    let list = |n: usize| PrefixListId::from_random(n as u128 + 10);
    for n in 0..3 {
        let block = |text: &str| text.replace('N', &alloc::format!("{n}"));
        let vpc = lab.vpc(&[&block("10.N.0.0/16"), &block("fd00:0:0:N::/64")]);
        let subnet = lab.subnet(vpc, &[&block("10.N.0.0/28"), &block("fd00:0:0:N::/64")]);
        groups.push([lab.group(vpc), lab.group(vpc)]);
        for host in 1..3 {
            let address = |text: &str| block(text).replace('H', &alloc::format!("{host}"));
            let x = lab.interface(subnet, &[&address("10.N.0.H"), &address("fd00:0:0:N::H")]);
            lab.endpoint(x).host = Some(p(if host == 1 { "left" } else { "right" }));
            let (first, second) = bear[interfaces.len() % bear.len()];
            let all = [(first, groups[n][0]), (second, groups[n][1])];
            lab.set_groups(x, &all.into_iter().filter(|(is, _)| *is).map(|(_, g)| g).collect::<Vec<_>>());
            interfaces.push(x);
        }
        lab.slice(vpc).prefix_lists = (0..).map(list).zip(lists.iter().cloned()).collect();
        vpcs.push(vpc);
    }
    let peerings: Vec<_> = [(0, 1), (1, 2), (2, 0)].map(|(a, b)| lab.peering(vpcs[a], vpcs[b])).into();
    for (n, status) in status.iter().enumerate() {
        lab.route_both(peerings[n]);
        lab.set_status(peerings[n], *status);
    }
    for (n, vpc) in vpcs.iter().enumerate() {
        lab.route_to_list(*vpc, list(n % 2), RouteTarget::Peering(peerings[n]));
    }
    for (vpc, peering, block) in routes {
        lab.route(vpcs[*vpc], &alloc::format!("{block}"), RouteTarget::Peering(peerings[*peering]));
    }
    for rule in rules {
        let direction = if rule.ingress { Direction::Ingress } else { Direction::Egress };
        let peer = match rule.peer {
            RandomPeer::Block(block) => RulePeer::Cidr(block),
            RandomPeer::Group(vpc, group) => lab.member_of(groups[vpc][group]),
            RandomPeer::List(n) => RulePeer::PrefixList(list(n)),
            RandomPeer::Nobody => RulePeer::PrefixList(ResourceId::from_random(1)),
        };
        lab.allow(groups[rule.group.0][rule.group.1], direction, rule.ports.0, rule.ports.1, peer);
    }
    Ring { lab, vpcs, groups, interfaces }
}

fn status() -> impl Strategy<Value = PeeringStatus> {
    prop_oneof![8 => Just(PeeringStatus::Active), 1 => Just(PeeringStatus::Deleted), 1 => Just(PeeringStatus::PendingAcceptance)]
}

prop_compose! {
    fn any_ring()(
        rules in prop::collection::vec(rule(), 0..100),
        bear in prop::collection::vec((prop::bool::weighted(0.8), prop::bool::weighted(0.8)), 1..6),
        status in prop::collection::vec(status(), 0..4),
        routes in prop::collection::vec((0_usize..3, 0_usize..3, arbitrary::block()), 0..6),
        lists in prop::array::uniform2(prop::collection::vec(arbitrary::block(), 0..4)),
    ) -> Ring {
        ring(&rules, &bear, &status, &routes, &lists)
    }
}

impl core::fmt::Debug for Ring {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.lab.slices.fmt(f)
    }
}

/// The sentences of spec 6.1.1, 6.3 and 6.5, read from the slices: does a rule of this interface admit the packet, whose other
/// end is in that VPC?
fn naive_groups(ring: &Ring, interface: NetworkInterfaceId, direction: Direction, flow: &Flow, other: VpcId) -> bool {
    let slices = &ring.lab.slices;
    let endpoints = || slices.values().flat_map(|s| &s.endpoints);
    let own = endpoints().find(|e| e.interface.id == interface).unwrap();
    let remote = if direction == Direction::Ingress { flow.src } else { flow.dst };
    let far = endpoints().find(|e| e.interface.vpc == other && e.interface.owns(remote));
    let all_groups = || slices.values().flat_map(|s| &s.security_groups);
    let rules = all_groups().filter(|g| own.interface.groups.contains(&g.id)).flat_map(|g| g.rules.values());
    rules.filter(|rule| rule.direction == direction).any(|rule| {
        let ports = match (rule.protocol, rule.ports) {
            (IpProtocol::All, _) => true,
            (IpProtocol::Number(n), _) if n != flow.protocol => false,
            (_, Ports::Range { from, to }) => flow.dst_port().is_some_and(|port| port >= from && port <= to),
            (_, Ports::Icmp { kind, code }) => {
                flow.icmp_type().is_some_and(|(k, c)| kind.unwrap_or(k) == k && code.unwrap_or(c) == c)
            }
            (_, Ports::Any) => true,
        };
        let peer = match &rule.peer {
            RulePeer::Cidr(block) => block.contains(remote),
            RulePeer::Group { group, vpc, .. } => {
                *vpc == other && far.is_some_and(|e| e.interface.groups.contains(group))
            }
            RulePeer::PrefixList(list) => {
                let entries = slices.values().find_map(|slice| slice.prefix_lists.get(list));
                entries.is_some_and(|entries| entries.iter().any(|block| block.contains(remote)))
            }
        };
        ports && peer
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn united_groups_say_what_their_rules_say(ring in any_ring(), flow in arbitrary::flow(), from in 0_usize..6, to in 0_usize..6) {
        let tables = ring.lab.compile();
        let (x, y) = (ring.interfaces[from], ring.interfaces[to]);
        let address = |id| {
            let mut all = ring.lab.slices.values().flat_map(|s| &s.endpoints);
            let endpoint = all.find(|e| e.interface.id == id).unwrap();
            endpoint.interface.addresses().find(|a| a.is_ipv4() == flow.src.is_ipv4()).unwrap()
        };
        let flow = Flow { src: address(x), dst: address(y), ..flow };
        match egress(&tables, x, &flow, L2::Router, None, &mut ()) {
            Ok(next) => {
                prop_assert_eq!(next.interface, y);
                prop_assert!(naive_groups(&ring, x, Direction::Egress, &flow, next.vpc));
                let arrived = ingress(&tables, y, &next.origin, &flow, None, &mut ());
                let admits = naive_groups(&ring, y, Direction::Ingress, &flow, next.origin.vpc);
                prop_assert_eq!(arrived.is_ok(), admits, "{:?}", arrived);
                // What crossed a peering crossed an active one between the two VPCs.
                if let Some(id) = next.peering {
                    let slice = &ring.lab.slices[&next.origin.vpc];
                    let record = slice.peerings.iter().find(|peering| peering.id == id).unwrap();
                    prop_assert_eq!(record.status, PeeringStatus::Active);
                    prop_assert!(record.is_between(next.vpc, next.origin.vpc));
                } else {
                    prop_assert_eq!(next.vpc, next.origin.vpc);
                }
            }
            Err(Denied::GroupEgress { .. }) => {
                let of_route = ring.vpcs.iter().any(|vpc| naive_groups(&ring, x, Direction::Egress, &flow, *vpc));
                // A route of the user's may lead even the VPC's own addresses to a peer, and references follow the route.
                let own_slice = &ring.lab.slices[&ring.vpcs[from / 2]];
                let leads_away = |route: &model::Route| {
                    let covers = matches!(route.destination, model::Destination::Cidr(block) if block.contains(flow.dst));
                    covers && matches!(route.target, RouteTarget::Peering(_))
                };
                let local = from / 2 == to / 2
                    && !own_slice.route_tables.iter().flat_map(|table| &table.routes).any(leads_away);
                if local {
                    prop_assert!(!naive_groups(&ring, x, Direction::Egress, &flow, ring.vpcs[to / 2]));
                } else {
                    // Only a group reference to a VPC that the route does not lead to can be left.
                    let blocks = ring.lab.slices.values().flat_map(|s| &s.security_groups).filter(|g| {
                        ring.groups.iter().flatten().any(|id| *id == g.id)
                    });
                    let has_references =
                        blocks.flat_map(|g| g.rules.values()).any(|r| matches!(r.peer, RulePeer::Group { .. }));
                    prop_assert!(!of_route || has_references);
                }
            }
            Err(_) => {}
        }
    }

    #[test]
    fn a_hosts_slice_judges_as_the_whole(ring in any_ring(), flow in arbitrary::flow(), from in 0_usize..6) {
        let whole = ring.lab.compile();
        let x = ring.interfaces[from];
        let endpoint = ring.lab.slices.values().flat_map(|s| &s.endpoints).find(|e| e.interface.id == x).unwrap();
        let src = endpoint.interface.addresses().find(|a| a.is_ipv4() == flow.dst.is_ipv4()).unwrap();
        let flow = Flow { src, ..flow };
        let part = ring.lab.compile_for(endpoint.host.unwrap());
        let next = egress(&whole, x, &flow, L2::Router, None, &mut ());
        prop_assert_eq!(next, egress(&part, x, &flow, L2::Router, None, &mut ()));
        if let Ok(Next { interface, host: Some(host), origin, .. }) = next {
            let there = ring.lab.compile_for(host);
            let arrived = ingress(&whole, interface, &origin, &flow, None, &mut ());
            prop_assert_eq!(arrived, ingress(&there, interface, &origin, &flow, None, &mut ()));
            // What a link from another host says is enough to know who sent it.
            prop_assert_eq!(there.origin(interface, origin.vpc, origin.scope, flow.src), origin);
        }
    }

    #[test]
    fn what_is_missing_never_panics_and_never_opens(
        ring in any_ring(),
        flow in arbitrary::flow(),
        missing in prop::collection::vec(any::<bool>(), 9),
        from in 0_usize..6,
    ) {
        let x = ring.interfaces[from];
        let whole = ring.lab.compile();
        let mut slices = ring.lab.complete();
        for slice in slices.values_mut() {
            let parts: [&dyn Fn(&mut VpcSlice); 9] = [
                &|s| s.subnets.clear(),
                &|s| s.route_tables.clear(),
                &|s| s.security_groups.clear(),
                &|s| s.network_acls.clear(),
                &|s| s.endpoints.clear(),
                &|s| s.peerings.clear(),
                &|s| s.peers.clear(),
                &|s| s.peers.iter_mut().for_each(|peer| peer.groups.clear()),
                &|s| s.prefix_lists.clear(),
            ];
            for (part, is_missing) in parts.iter().zip(&missing) {
                if *is_missing {
                    part(slice);
                }
            }
        }
        let holey = Tables::compile(slices.values(), 2);
        let judge = |tables: &Tables| {
            let next = egress(tables, x, &flow, L2::Router, None, &mut ())?;
            ingress(tables, next.interface, &next.origin, &flow, None, &mut ())
        };
        if judge(&holey).is_ok() {
            prop_assert!(judge(&whole).is_ok());
        }
    }

    #[test]
    fn a_trail_changes_nothing_and_ends_in_the_refusal(ring in any_ring(), flow in arbitrary::flow(), from in 0_usize..6) {
        let tables = ring.lab.compile();
        let mut trail = Vec::new();
        let quiet = egress(&tables, ring.interfaces[from], &flow, L2::Router, None, &mut ());
        prop_assert_eq!(quiet, egress(&tables, ring.interfaces[from], &flow, L2::Router, None, &mut trail));
        match (quiet, trail.last()) {
            (Err(denied), Some(Step::Denied(last))) => prop_assert_eq!(denied, *last),
            (Ok(_), Some(Step::Destination { .. })) => {}
            (_, last) => prop_assert!(false, "{last:?}"),
        }
    }
}

/// One change of a configuration, of those that compiling takes the short way for and of others.
#[derive(Clone, Debug)]
enum Change {
    AddRule(RandomRule),
    DropRules(usize, usize),
    RenameGroup(usize, usize),
    DropGroup(usize, usize),
    Bear(usize, bool, bool),
    Down(usize),
    Status(usize, PeeringStatus),
    Route(usize, usize, model::Cidr),
    /// The same, under other pointers.
    Copy,
    Nothing,
}

fn change() -> impl Strategy<Value = Change> {
    let group = || (0_usize..3, 0_usize..2);
    prop_oneof![
        6 => rule().prop_map(Change::AddRule),
        2 => group().prop_map(|(vpc, group)| Change::DropRules(vpc, group)),
        1 => group().prop_map(|(vpc, group)| Change::RenameGroup(vpc, group)),
        2 => group().prop_map(|(vpc, group)| Change::DropGroup(vpc, group)),
        2 => (0_usize..6, any::<bool>(), any::<bool>()).prop_map(|(eni, a, b)| Change::Bear(eni, a, b)),
        1 => (0_usize..6).prop_map(Change::Down),
        1 => (0_usize..3, status()).prop_map(|(peering, status)| Change::Status(peering, status)),
        1 => (0_usize..3, 0_usize..3, arbitrary::block()).prop_map(|(vpc, peering, block)| Change::Route(vpc, peering, block)),
        1 => Just(Change::Copy),
        1 => Just(Change::Nothing),
    ]
}

impl Ring {
    fn make(&mut self, change: &Change) {
        let peerings: Vec<PeeringId> = {
            let of = |vpc: &VpcId| self.lab.slices[vpc].peerings[0].id;
            self.vpcs.iter().map(of).collect()
        };
        let has = |lab: &Lab, id| lab.slices.values().flat_map(|s| &s.security_groups).any(|g| g.id == id);
        match change {
            Change::AddRule(rule) => {
                let group = self.groups[rule.group.0][rule.group.1];
                let direction = if rule.ingress { Direction::Ingress } else { Direction::Egress };
                let peer = match rule.peer {
                    RandomPeer::Block(block) => RulePeer::Cidr(block),
                    RandomPeer::Group(vpc, at) if has(&self.lab, self.groups[vpc][at]) => {
                        self.lab.member_of(self.groups[vpc][at])
                    }
                    _ => RulePeer::PrefixList(ResourceId::from_random(1)),
                };
                if has(&self.lab, group) {
                    self.lab.allow(group, direction, rule.ports.0, rule.ports.1, peer);
                }
            }
            Change::DropRules(vpc, at) if has(&self.lab, self.groups[*vpc][*at]) => {
                self.lab.edit_group(self.groups[*vpc][*at], |group| group.rules.clear());
            }
            Change::RenameGroup(vpc, at) if has(&self.lab, self.groups[*vpc][*at]) => {
                self.lab.edit_group(self.groups[*vpc][*at], |group| group.description.push('x'));
            }
            Change::DropGroup(vpc, at) => {
                let gone = self.groups[*vpc][*at];
                self.lab.slice(self.vpcs[*vpc]).security_groups.retain(|group| group.id != gone);
            }
            Change::Bear(eni, a, b) => {
                let all = [(*a, self.groups[eni / 2][0]), (*b, self.groups[eni / 2][1])];
                let borne: Vec<_> = all.into_iter().filter(|(is, _)| *is).map(|(_, group)| group).collect();
                self.lab.set_groups(self.interfaces[*eni], &borne);
            }
            Change::Down(eni) => self.lab.endpoint(self.interfaces[*eni]).is_up ^= true,
            Change::Status(at, status) => self.lab.set_status(peerings[*at], *status),
            Change::Route(vpc, at, block) => {
                let target = RouteTarget::Peering(peerings[*at]);
                self.lab.route(self.vpcs[*vpc], &alloc::format!("{block}"), target);
            }
            Change::DropRules(..) | Change::RenameGroup(..) | Change::Copy | Change::Nothing => {}
        }
    }
}

/// The slices after a change: those that it did not touch are the very same ones, as an agent has them.
fn follow(old: &BTreeMap<VpcId, Arc<VpcSlice>>, lab: &Lab, change: &Change) -> BTreeMap<VpcId, Arc<VpcSlice>> {
    let complete = lab.complete().into_iter();
    let kept = |id: &VpcId, slice: &VpcSlice| old.get(id).filter(|old| ***old == *slice).cloned();
    complete
        .map(|(id, slice)| match (kept(&id, &slice), change) {
            (Some(old), change) if !matches!(change, Change::Copy) => (id, old),
            _ => (id, Arc::new(slice)),
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_change_compiled_equals_the_whole_compiled(mut ring in any_ring(), changes in prop::collection::vec(change(), 1..12)) {
        let mut slices = follow(&BTreeMap::new(), &ring.lab, &Change::Copy);
        let mut tables = Tables::default().recompile(slices.values(), 1);
        for (change, generation) in changes.iter().zip(2..) {
            ring.make(change);
            slices = follow(&slices, &ring.lab, change);
            tables = tables.recompile(slices.values(), generation);
            let anew = Tables::compile(slices.values().map(|slice| &**slice), generation);
            prop_assert!(tables.is_same(&anew), "after {:?}", change);
            // A VPC less, and back again.
            let fewer = tables.recompile(slices.values().skip(1), generation);
            let anew = Tables::compile(slices.values().skip(1).map(|slice| &**slice), generation);
            prop_assert!(fewer.is_same(&anew));
            tables = fewer.recompile(slices.values(), generation);
        }
    }
}

#[test]
fn of_another_groups_rule_only_its_bearers_rules_are_made_anew() {
    let mut pair = Pair::new(false);
    let quiet = pair.lab.group(pair.b);
    let slices = |lab: &Lab, old: &BTreeMap<_, _>| follow(old, lab, &Change::Nothing);
    let before = slices(&pair.lab, &BTreeMap::new());
    let old = Tables::default().recompile(before.values(), 1);
    pair.lab.allow_tcp(quiet, 81, "10.16.0.0/16");
    let between = slices(&pair.lab, &before);
    let unborne = old.recompile(between.values(), 2);
    assert_eq!(unborne.shared_with(&old, pair.b), (true, 1), "nobody bears it");
    pair.lab.allow_tcp(pair.gy, 81, "10.16.0.0/16");
    let after = slices(&pair.lab, &between);
    let new = unborne.recompile(after.values(), 3);
    assert_eq!(new.shared_with(&old, pair.a), (true, 1));
    assert_eq!(new.shared_with(&old, pair.b), (true, 0), "the interfaces are shared, their rules are not");
    let flow = Flow { l4: L4::Tcp { src: 40_000, dst: 81, flags: TcpFlags::SYN }, ..pair.open() };
    let judge = |tables: &Tables| ingress(tables, pair.y, &pair.claim(), &flow, None, &mut ());
    assert_eq!((code(judge(&unborne)), code(judge(&new))), ("D22", "passes"));
    assert_eq!(new.generation(), 3);
}
