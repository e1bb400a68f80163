//! What does an access scope find? Every way from one of its sources to one of its destinations that the network permits, that one of its match
//! paths has and none of its exclude paths.
//!
//! Nothing is judged here: `reach` walks each packet by the law. Packets are IPv4, TCP and UDP, and go one way, as in AWS's Network Access
//! Analyzer; one is sent of each class that neither a rule nor a statement tells apart. What is another account's or in another region is no
//! finding: a path into a peering ends there.
//!
//! ```text
//!   scope ─ condition ─▶ pairs of terminals ─ packets ─ Network::walk ─▶ ways ─ trace, stages ─▶ findings
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use model::access_scope::{AccessScopeFindings, NetworkInsightsAccessScope};
use model::insights::{PacketHeader, PathComponent, PortRange};
use model::*;
use policy::{Denied, Internet, Step};
use reach::{Answer, Memory, NEW_GATEWAY, Network, OUTSIDE, OUTSIDE_INTERFACE, Question, Traffic, Walk, trace};

use super::compiled;
use super::component::Names;
use super::condition::{Condition, Seen};
use super::packets::{Addresses, PortClasses, addresses, divided};
use super::search::crosses;
use super::stages::Stages;
use super::terminal::{Kind, Terminal, terminals};
use crate::{Cloud, plan};

/// Sources times destinations of connected VPCs. An analysis runs in the region's writer.
const PAIRS_MAX: usize = 16_384;
/// Network interfaces of the VPCs that packets are sent in, those of a VPC once for each VPC that is sent from.
const INTERFACES_MAX: usize = 10_000;
/// Packets that are sent.
const TRIES_MAX: usize = 65_536;
/// Classes of public addresses, and of addresses in a peer's block, of which one is tried.
const ADDRESSES_MAX: usize = 64;
/// The findings in one record, as text, in bytes: what is more is left out with a warning.
const BYTES_MAX: usize = 512 * 1024;

const OF_PEERINGS: &str = "What comes out of a VPC peering connection is not analysed from there: name the VPC, subnet or network interface that sends";
const TOO_MANY_FINDINGS: &str =
    "There are more findings than one analysis keeps: name fewer sources, destinations or packets, in several scopes";
const TOO_MANY_ADDRESSES: &str = "Rules and statements tell too many addresses apart to try one of each: name fewer of them in PacketHeaderStatements";

/// What the scope finds as things are.
pub fn find(cloud: &Cloud<'_>, scope: &NetworkInsightsAccessScope) -> AccessScopeFindings {
    let interfaces = u32::try_from(cloud.own_count::<NetworkInterface>()).unwrap_or(u32::MAX);
    let found = AccessScopeFindings { interfaces, ..AccessScopeFindings::default() };
    match Conditions::of(cloud, scope).and_then(|conditions| Search::new(cloud, &conditions).run()) {
        Ok((findings, warnings)) => {
            let warning = (!warnings.is_empty()).then(|| Vec::from_iter(warnings).join(". "));
            AccessScopeFindings { findings, warning, ..found }
        }
        Err(why) => AccessScopeFindings { failure: Some(why), ..found },
    }
}

struct Conditions {
    matches: Vec<Condition>,
    excludes: Vec<Condition>,
    /// The blocks that their headers name.
    blocks: Vec<Cidr>,
}

impl Conditions {
    fn of(cloud: &Cloud<'_>, scope: &NetworkInsightsAccessScope) -> Result<Conditions, String> {
        let read = |paths: &[access_scope::AccessScopePath]| -> Result<Vec<Condition>, String> {
            paths.iter().map(|path| Condition::of(cloud, path)).collect()
        };
        let (matches, excludes) = (read(&scope.match_paths)?, read(&scope.exclude_paths)?);
        let blocks: BTreeSet<Cidr> = matches.iter().chain(&excludes).flat_map(Condition::blocks).collect();
        Ok(Conditions { matches, excludes, blocks: blocks.into_iter().collect() })
    }
}

/// A place where paths begin or end, and for which conditions they may: a mark for each.
struct Placed<'t> {
    at: &'t Terminal,
    begins: [Vec<bool>; 2],
    ends: [Vec<bool>; 2],
}

impl<'t> Placed<'t> {
    fn new(at: &'t Terminal, conditions: &Conditions) -> Placed<'t> {
        let lists = [&conditions.matches, &conditions.excludes];
        Placed {
            at,
            begins: lists.map(|list| list.iter().map(|condition| condition.begins_at(at)).collect()),
            ends: [
                conditions.matches.iter().map(|condition| condition.asks_for_end_at(at)).collect(),
                conditions.excludes.iter().map(|condition| condition.ends_at(at)).collect(),
            ],
        }
    }

    fn is_source(&self) -> bool {
        !matches!(self.at.kind, Kind::Peering { .. }) && self.begins[0].contains(&true)
    }

    fn is_destination(&self) -> bool {
        self.ends[0].contains(&true)
    }
}

/// One source and one destination, with the conditions that their packets are held against.
struct Pair<'p> {
    from: &'p Terminal,
    to: &'p Terminal,
    matches: Vec<&'p Condition>,
    excludes: Vec<&'p Condition>,
}

impl<'p> Pair<'p> {
    /// `None`: no path between the two is a finding.
    fn of(from: &Placed<'p>, to: &Placed<'p>, conditions: &'p Conditions) -> Option<Pair<'p>> {
        let chosen = |all: &'p [Condition], list: usize| -> Vec<&'p Condition> {
            let marks = from.begins[list].iter().zip(&to.ends[list]);
            all.iter().zip(marks).filter(|(_, (begins, ends))| **begins && **ends).map(|(found, _)| found).collect()
        };
        let (matches, excludes) = (chosen(&conditions.matches, 0), chosen(&conditions.excludes, 1));
        let is_open = !matches.is_empty() && !excludes.iter().any(|exclude| exclude.is_of_ends_only());
        (is_open && can_meet(from.at, to.at)).then_some(Pair { from: from.at, to: to.at, matches, excludes })
    }

    fn is_outside(&self) -> bool {
        [self.from, self.to].iter().any(|at| matches!(at.kind, Kind::Gateway(_)))
    }

    fn sender(&self) -> NetworkInterfaceId {
        match self.from.kind {
            Kind::Interface(id) => id,
            _ => OUTSIDE_INTERFACE,
        }
    }

    /// Who shall get it; `None`: whoever is behind the peering.
    fn receiver(&self) -> Option<NetworkInterfaceId> {
        match self.to.kind {
            Kind::Interface(id) => Some(id),
            Kind::Gateway(_) => Some(OUTSIDE_INTERFACE),
            Kind::Peering { .. } => None,
        }
    }

    /// So many steps are the path's: up to the peering where it ends.
    fn end<'s>(&self, mut steps: impl Iterator<Item = &'s Step>) -> usize {
        let Kind::Peering { id, .. } = self.to.kind else { return usize::MAX };
        let is_end =
            |step: &Step| matches!(step, Step::Peering { direction: Direction::Egress, peering, .. } if *peering == id);
        steps.position(is_end).map_or(usize::MAX, |at| at + 1)
    }

    /// What the packet meets. By which gateway somebody outside sends is no difference, nor for which of his addresses.
    fn steps(&self, walk: &Walk) -> Vec<Step> {
        let all = || walk.legs.iter().flat_map(|leg| &leg.steps);
        let is_outside = |step: &&Step| matches!(step, Step::Gateway { gateway, .. } if *gateway == NEW_GATEWAY);
        all().take(self.end(all())).filter(|step| !is_outside(step)).copied().collect()
    }

    /// The packet comes where it shall.
    fn is_passed(&self, walk: &Walk) -> bool {
        match self.to.kind {
            Kind::Interface(id) => walk.outcome() == Ok(id),
            // A VPC has one gateway that leads there.
            Kind::Gateway(_) => walk.outcome() == Ok(OUTSIDE_INTERFACE),
            Kind::Peering { id, .. } => crosses(walk.legs.iter().flat_map(|leg| &leg.steps), id),
        }
    }
}

/// A path leads from the one to the other by itself: not over the internet, nor from one gateway or peering into another.
fn can_meet(from: &Terminal, to: &Terminal) -> bool {
    match (from.kind, to.kind) {
        (Kind::Interface(from), Kind::Interface(to)) => from != to,
        (Kind::Interface(_), Kind::Gateway(_) | Kind::Peering { .. }) | (Kind::Gateway(_), Kind::Interface(_)) => {
            from.vpc == to.vpc
        }
        _ => false,
    }
}

/// Packets that go the same way: the first of them, and the ports of all.
struct Way {
    question: Question,
    steps: Vec<Step>,
    source_ports: PortRange,
    destination_ports: Vec<PortRange>,
}

struct Search<'a> {
    cloud: &'a Cloud<'a>,
    conditions: &'a Conditions,
    names: Names<'a>,
    /// The region's, once it was asked for.
    internet: Option<Internet>,
    tries: usize,
    /// The size of the findings, as text.
    bytes: usize,
    findings: Vec<Vec<PathComponent>>,
    warnings: BTreeSet<&'static str>,
}

type ByVpc<'p, 't> = BTreeMap<VpcId, Vec<&'p Placed<'t>>>;

/// There is room for no more findings.
struct Full;

impl<'a> Search<'a> {
    fn new(cloud: &'a Cloud<'a>, conditions: &'a Conditions) -> Search<'a> {
        let names = Names { world: cloud.world(), region: cloud.config.region, caller: cloud.caller.account };
        let (findings, warnings) = (Vec::new(), BTreeSet::new());
        Search { cloud, conditions, names, internet: None, tries: 0, bytes: 0, findings, warnings }
    }

    /// The findings, and what they do not cover.
    ///
    /// # Errors
    /// Why nothing can be found out: the value, the rule, the way out.
    fn run(mut self) -> Result<(Vec<Vec<PathComponent>>, BTreeSet<&'static str>), String> {
        if self.conditions.matches.iter().any(Condition::begins_at_peering) {
            self.warnings.insert(OF_PEERINGS);
        }
        let all = terminals(self.cloud);
        let placed: Vec<Placed<'_>> = all.iter().map(|at| Placed::new(at, self.conditions)).collect();
        let mut sources = ByVpc::new();
        let mut destinations = ByVpc::new();
        placed.iter().filter(|at| at.is_source()).for_each(|at| sources.entry(at.at.vpc).or_default().push(at));
        placed
            .iter()
            .filter(|at| at.is_destination())
            .for_each(|at| destinations.entry(at.at.vpc).or_default().push(at));
        let reached: BTreeMap<VpcId, Vec<VpcId>> = sources
            .keys()
            .map(|vpc| (*vpc, self.near(*vpc).into_iter().filter(|near| destinations.contains_key(near)).collect()))
            .collect();
        self.check_size(&sources, &destinations, &reached)?;
        for (vpc, near) in &reached {
            let from = sources.get(vpc).into_iter().flatten();
            let to: Vec<&&Placed<'_>> = near.iter().filter_map(|vpc| destinations.get(vpc)).flatten().collect();
            let pairs: Vec<Pair<'_>> =
                from.flat_map(|from| to.iter().filter_map(move |to| Pair::of(from, to, self.conditions))).collect();
            if self.of_vpc(*vpc, &pairs)?.is_err() {
                self.warnings.insert(TOO_MANY_FINDINGS);
                break;
            }
        }
        Ok((self.findings, self.warnings))
    }

    /// There is not more to look at than an analysis may.
    fn check_size(
        &self,
        sources: &ByVpc<'_, '_>,
        destinations: &ByVpc<'_, '_>,
        reached: &BTreeMap<VpcId, Vec<VpcId>>,
    ) -> Result<(), String> {
        let count = |vpc: &VpcId, at: &ByVpc<'_, '_>| at.get(vpc).map_or(0, Vec::len);
        let pairs_of = |(from, near): (&VpcId, &Vec<VpcId>)| {
            count(from, sources) * near.iter().map(|vpc| count(vpc, destinations)).sum::<usize>()
        };
        let pairs: usize = reached.iter().map(pairs_of).sum();
        if pairs > PAIRS_MAX {
            return Err(format!(
                "The scope has {pairs} pairs of a source and a destination, and at most {PAIRS_MAX} are analysed. Name fewer sources or destinations in a ResourceStatement, in several scopes"
            ));
        }
        let size = |vpc: &VpcId| self.names.world.count_by::<NetworkInterface>(By::id(*vpc));
        let interfaces: usize = reached
            .iter()
            .filter(|(_, near)| !near.is_empty())
            .map(|(from, near)| near.iter().chain([from]).collect::<BTreeSet<_>>().into_iter().map(size).sum::<usize>())
            .sum();
        if interfaces > INTERFACES_MAX {
            return Err(format!(
                "The scope's paths lead through VPCs with {interfaces} network interfaces, each VPC counted with every VPC that sends to it, and at most {INTERFACES_MAX} are analysed. Name fewer VPCs in a ResourceStatement, in several scopes"
            ));
        }
        Ok(())
    }

    /// The VPC, and those that it is peered with, whoever's.
    fn near(&self, vpc: VpcId) -> BTreeSet<VpcId> {
        let active = self.names.world.peerings_of(vpc).filter(|peering| peering.status == PeeringStatus::Active);
        let others = active.filter_map(|peering| Some(peering.side(peering.side_of(vpc)?.other()).vpc));
        others.chain([vpc]).collect()
    }

    /// What is sent from one VPC.
    fn of_vpc(&mut self, vpc: VpcId, pairs: &[Pair<'_>]) -> Result<Result<(), Full>, String> {
        let (outside, inside): (Vec<&Pair<'_>>, Vec<&Pair<'_>>) = pairs.iter().partition(|pair| pair.is_outside());
        if !inside.is_empty() {
            let vpcs: BTreeSet<VpcId> = inside.iter().map(|pair| pair.to.vpc).chain([vpc]).collect();
            let network = self.network(&vpcs);
            if self.of_pairs(&network, &inside, &[])?.is_err() {
                return Ok(Err(Full));
            }
        }
        if !outside.is_empty() {
            let Names { world, region, .. } = self.names;
            let internet = self.internet.get_or_insert_with(|| {
                let worlds = BTreeMap::from([(region, world.clone())]);
                Internet::new(&plan::public_places(&worlds), &plan::public_ipv6(&worlds))
            });
            let internet = internet.clone();
            // Whoever is outside has none of the VPC's own public addresses.
            let interfaces = world.by::<NetworkInterface>(By::id(vpc));
            let own: BTreeSet<IpAddr> =
                interfaces.flat_map(|found| &found.public).map(|mapped| mapped.public.into()).collect();
            let blocks: Vec<Cidr> =
                self.conditions.blocks.iter().copied().chain(own.iter().map(|address| Cidr::host(*address))).collect();
            let network = self.network(&BTreeSet::from([vpc])).with_internet(internet);
            let public = network.public_addresses(false, &blocks, ADDRESSES_MAX + 1 + own.len());
            let public = self.cut(public.into_iter().filter(|address| !own.contains(address)).collect());
            let network = match Zone::all(region).next() {
                Some(zone) => network.with_outside(&public, region, zone),
                None => network,
            };
            return self.of_pairs(&network, &outside, &public);
        }
        Ok(Ok(()))
    }

    fn network(&self, vpcs: &BTreeSet<VpcId>) -> Network {
        compiled(self.cloud.config, plan::vpc_slices(self.names.region, self.names.world, vpcs))
    }

    fn cut(&mut self, mut classes: Vec<IpAddr>) -> Vec<IpAddr> {
        if classes.len() > ADDRESSES_MAX {
            classes.truncate(ADDRESSES_MAX);
            self.warnings.insert(TOO_MANY_ADDRESSES);
        }
        classes
    }

    /// `public`: of who is outside.
    fn of_pairs(
        &mut self,
        network: &Network,
        pairs: &[&Pair<'_>],
        public: &[IpAddr],
    ) -> Result<Result<(), Full>, String> {
        let classes = PortClasses::of(network);
        for pair in pairs {
            let all = match pair.to.kind {
                Kind::Peering { id, .. } => {
                    let behind = self.behind(network, pair.from.vpc, id);
                    addresses(network, pair.from, pair.to, &behind)
                }
                _ => addresses(network, pair.from, pair.to, public),
            };
            for protocol in [IpProtocol::TCP, IpProtocol::UDP] {
                for way in self.ways(network, pair, protocol, &all, &classes)? {
                    if self.keep(network, pair, protocol, &way).is_err() {
                        return Ok(Err(Full));
                    }
                }
            }
        }
        Ok(Ok(()))
    }

    /// One address of each class that is behind the peering.
    fn behind(&mut self, network: &Network, vpc: VpcId, id: PeeringId) -> Vec<IpAddr> {
        let peering = self.names.world.find::<Peering>(&id);
        let other = peering.and_then(|peering| Some(peering.side(peering.side_of(vpc)?.other())));
        let blocks = other.into_iter().flat_map(|side| &side.cidrs);
        let one_of_each =
            |block: &Ipv4Cidr| network.addresses_in(Cidr::V4(*block), &self.conditions.blocks, ADDRESSES_MAX + 1);
        let all = blocks.flat_map(one_of_each).collect();
        self.cut(all)
    }

    /// The ways that packets of one protocol take between the two, those that are findings.
    fn ways(
        &mut self,
        network: &Network,
        pair: &Pair<'_>,
        protocol: IpProtocol,
        all: &[Addresses],
        classes: &PortClasses<'_>,
    ) -> Result<Vec<Way>, String> {
        let mut ways: Vec<Way> = Vec::new();
        if !pair.matches.iter().any(|condition| condition.has(protocol)) {
            return Ok(ways);
        }
        let conditions = || pair.matches.iter().chain(&pair.excludes);
        let sources = divided(conditions().flat_map(|condition| condition.source_ports()));
        let also: Vec<PortRange> = conditions().flat_map(|condition| condition.destination_ports()).collect();
        let destinations = classes.between(pair.from, pair.to, protocol, &also);
        for at in all {
            'ports: for source in &sources {
                for destination in &destinations {
                    let (source_port, destination_port) = (source.from, destination.from);
                    let traffic = match protocol {
                        IpProtocol::UDP => Traffic::Udp { source: source_port, destination: destination_port },
                        _ => Traffic::Tcp { source: source_port, destination: destination_port },
                    };
                    let flow = traffic.flow(at.src, at.dst);
                    let at_source = at.at_source(&flow);
                    if !pair.matches.iter().any(|condition| condition.admits_sent(&at_source)) {
                        continue;
                    }
                    if self.tries == TRIES_MAX {
                        return Err(format!(
                            "Rules and statements tell more than {TRIES_MAX} packets apart, which is the most that is analysed. Name fewer sources, destinations or ports, in several scopes"
                        ));
                    }
                    self.tries += 1;
                    let walk = network.walk(pair.sender(), &flow, &mut Memory::default());
                    if !pair.is_passed(&walk) {
                        if asks_for_ports(&walk) {
                            continue;
                        }
                        break 'ports;
                    }
                    let steps = pair.steps(&walk);
                    let last = walk.legs.last().map_or(flow, |leg| leg.flow);
                    let at_destination = at.at_destination(&last, &walk.arrived());
                    let seen = Seen { at_source, at_destination, steps: &steps };
                    let is_found = pair.matches.iter().any(|condition| condition.admits(&seen))
                        && !pair.excludes.iter().any(|condition| condition.admits(&seen));
                    if is_found {
                        let question = Question { from: pair.sender(), to: pair.receiver(), flow, is_one_way: true };
                        add(
                            &mut ways,
                            Way { question, steps, source_ports: *source, destination_ports: vec![*destination] },
                        );
                    }
                }
            }
        }
        Ok(ways)
    }

    /// Puts a way into the components of a finding.
    fn keep(&mut self, network: &Network, pair: &Pair<'_>, protocol: IpProtocol, way: &Way) -> Result<(), Full> {
        let forward = trace(network, &way.question);
        let header = PacketHeader {
            protocol: protocol.number(),
            source_addresses: Vec::new(),
            source_ports: vec![way.source_ports],
            destination_addresses: Vec::new(),
            destination_ports: way.destination_ports.clone(),
        };
        let answer =
            Answer { question: way.question.clone(), forward, back: None, blockers: Vec::new(), is_complete: true };
        let end = pair.end(answer.forward.hops.iter().filter_map(|hop| hop.step.as_ref()));
        let hops = answer.forward.hops.iter().take(end).filter(|hop| hop.place.vpc != OUTSIDE);
        let stages = Stages { names: self.names, answer: &answer, stranger: None };
        let components = stages.of(hops, &header, &way.question.flow);
        self.bytes += serde_json::to_vec(&components).map_or(0, |text| text.len());
        if self.bytes > BYTES_MAX {
            return Err(Full);
        }
        self.findings.push(components);
        Ok(())
    }
}

/// A way is kept once; packets between the same addresses that take it, too, add their ports to it.
fn add(ways: &mut Vec<Way>, new: Way) {
    let Some(way) = ways.iter_mut().find(|way| way.steps == new.steps) else { return ways.push(new) };
    let ends = |way: &Way| (way.question.flow.src, way.question.flow.dst, way.source_ports);
    if ends(way) != ends(&new) {
        return;
    }
    for range in new.destination_ports {
        match way.destination_ports.last_mut().filter(|last| last.to.checked_add(1) == Some(range.from)) {
            Some(last) => last.to = range.to,
            None => way.destination_ports.push(range),
        }
    }
}

/// Another port may fare otherwise.
fn asks_for_ports(walk: &Walk) -> bool {
    matches!(
        walk.outcome(),
        Err(Denied::GroupEgress { .. }
            | Denied::GroupIngress { .. }
            | Denied::ReferenceNotApplicable { .. }
            | Denied::AclEgress { .. }
            | Denied::AclIngress { .. })
    )
}
