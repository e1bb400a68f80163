//! A path's findings as of now.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use model::insights::{Component, Explanation, Findings, NetworkInsightsPath, PacketHeader, PortRange};
use model::*;
use policy::{Internet, Step};
use reach::{Answer, Cause, Hop, Network, OUTSIDE, OUTSIDE_INTERFACE, Path, QuestionError, Stage};

use super::asked::{Packets, Place, place};
use super::component::{Names, word};
use super::end::Arn;
use super::explain::explain;
use super::fit::fit;
use super::search::{Found, Goal, Pair, leaves, search};
use super::stages::Stages;
use super::{BYTES_MAX, EXPLANATIONS_MAX, because, because_of, compiled};
use crate::rules::visible_peering;
use crate::{Cloud, plan};

/// Interfaces of one instance that are looked at.
const INTERFACES_MAX: usize = 16;

/// What the way must and must not go through, by ARN.
pub struct Via<'v> {
    pub through: &'v [String],
    pub around: &'v [String],
}

/// What becomes of the path's packets as things are.
pub fn analyse(cloud: &Cloud<'_>, path: &NetworkInsightsPath, via: &Via<'_>) -> Findings {
    let names = Names { world: cloud.world(), region: cloud.config.region, caller: cloud.caller.account };
    let analysis = Analysis { cloud, path, names };
    match analysis.run(via) {
        Ok(findings) => findings,
        Err(Fault::Failed(why)) => Findings { failure: Some(why), ..Findings::default() },
        Err(Fault::Blocked(explanation)) => {
            Findings { path_found: Some(false), explanations: vec![*explanation], ..Findings::default() }
        }
    }
}

/// Why there is no packet to look at.
enum Fault {
    /// No packet of the path passes, for this reason.
    Blocked(Box<Explanation>),
    /// Nothing can be said.
    Failed(String),
}

impl From<Explanation> for Fault {
    fn from(explanation: Explanation) -> Fault {
        Box::new(explanation).into()
    }
}

impl From<Box<Explanation>> for Fault {
    fn from(explanation: Box<Explanation>) -> Fault {
        Fault::Blocked(explanation)
    }
}

struct Analysis<'a> {
    cloud: &'a Cloud<'a>,
    path: &'a NetworkInsightsPath,
    names: Names<'a>,
}

/// Both ends, found.
struct Ends {
    from: Vec<NetworkInterfaceId>,
    source_vpc: VpcId,
    /// Where the packets shall come, one or several.
    to: Vec<Goal>,
    destination_vpc: Option<VpcId>,
    /// They come in by an Internet gateway, for these public addresses of whom they are meant for; `None`: they do not.
    doors: Option<Vec<(Goal, IpAddr)>>,
}

/// Classes of public addresses that are tried where the path names none.
const OUTSIDE_MAX: usize = 64;

impl Analysis<'_> {
    fn run(&self, via: &Via<'_>) -> Result<Findings, Fault> {
        let mut packets = Packets::of(self.path)?;
        let ends = self.ends(&mut packets)?;
        let network = self.network(&ends, packets.destination);
        let (network, pairs) = self.pairs(network, &ends, &packets);
        let found = search(&network, &pairs, &packets).map_err(|why| self.no_question(&why))?;
        let mut findings = self.findings(found, &ends);
        self.hold(&mut findings, via);
        fit(&mut findings, BYTES_MAX);
        Ok(findings)
    }

    /// Who sends what to whom. Where one end is an Internet gateway, somebody outside stands behind it, who has the public addresses
    /// that are asked about, or one of each class.
    fn pairs(&self, network: Network, ends: &Ends, packets: &Packets) -> (Network, Vec<Pair>) {
        let is_ipv6 = packets.source.or(packets.destination).is_some_and(|address| address.is_ipv6());
        let Packets { source, destination, .. } = *packets;
        let Names { region, .. } = self.names;
        let outside = |network: Network, named: Option<IpAddr>| {
            let addresses =
                named.map_or_else(|| network.public_addresses(is_ipv6, &[], OUTSIDE_MAX), |named| vec![named]);
            let network = match Zone::all(region).next() {
                Some(zone) => network.with_outside(&addresses, region, zone),
                None => network,
            };
            (network, addresses)
        };
        if let Some(doors) = &ends.doors {
            let (network, addresses) = outside(network, source);
            let senders: Vec<IpAddr> = addresses.iter().filter_map(|at| network.outside_address(*at)).collect();
            let pair = |(goal, door): &(Goal, IpAddr), source: &IpAddr| Pair {
                from: OUTSIDE_INTERFACE,
                goal: *goal,
                source: Some(*source),
                destination: Some(*door),
            };
            let pairs = doors.iter().flat_map(|door| senders.iter().map(move |source| pair(door, source))).collect();
            return (network, pairs);
        }
        let gateway = ends.to.iter().find(|goal| matches!(goal, Goal::Gateway(_)));
        let (network, destinations) = match gateway {
            Some(_) => {
                let (network, addresses) = outside(network, destination);
                (network, addresses.into_iter().map(Some).collect())
            }
            None => (network, vec![destination]),
        };
        let mut pairs = Vec::new();
        for from in &ends.from {
            for goal in &ends.to {
                pairs.extend(destinations.iter().map(|destination| Pair {
                    from: *from,
                    goal: *goal,
                    source,
                    destination: *destination,
                }));
            }
        }
        (network, pairs)
    }

    fn ends(&self, packets: &mut Packets) -> Result<Ends, Fault> {
        let Names { world, caller, .. } = self.names;
        let source = self.path.source;
        let from = match place(&self.names, source, "NO_SOURCE_OR_DESTINATION")? {
            Place::Interfaces(interfaces) => interfaces,
            Place::Gateway(id) => return self.ends_from(id, packets),
            Place::Peering(id) => {
                return Err(Fault::Failed(format!(
                    "What comes out of {id} is not analysed from there: name the instance or interface that sends it"
                )));
            }
        };
        packets.source = packets.source.map(|address| private_of(world, &from, address));
        let from = owning(world, from, packets.source);
        let source_vpc = vpc_of(world, &from).ok_or_else(|| because("NO_SOURCE_OR_DESTINATION"))?;
        let mut ends = Ends { from, source_vpc, to: vec![Goal::Address], destination_vpc: None, doors: None };
        let Some(destination) = self.path.destination else { return Ok(ends) };
        match place(&self.names, destination, "UNKNOWN_DESTINATION")? {
            Place::Gateway(id) => {
                self.vpc_of_gateway(id, "UNKNOWN_DESTINATION")?;
                ends.to = vec![Goal::Gateway(id)];
            }
            Place::Peering(id) => {
                let unknown = || because_of("UNKNOWN_DESTINATION", self.names.end(destination));
                let peering = visible_peering(self.cloud, id).map_err(|_| unknown())?;
                let blocks =
                    peering.side_of(source_vpc).into_iter().flat_map(|side| peering.side(side.other()).blocks());
                let family = packets.source.is_none_or(|source| source.is_ipv4());
                let first = blocks.filter(|block| block.is_ipv4() == family).map(address_in).next();
                let disconnected = || Explanation {
                    source_vpc: Some(self.names.vpc(source_vpc)),
                    ..because_of("CANNOT_ROUTE", self.names.peering(id))
                };
                packets.destination = Some(packets.destination.or(first).ok_or_else(disconnected)?);
                ends.to = vec![Goal::Peering(id)];
            }
            Place::Interfaces(interfaces) => {
                let interfaces = owning(world, interfaces, packets.destination);
                ends.destination_vpc = vpc_of(world, &interfaces);
                ends.to = interfaces.into_iter().map(Goal::Interface).collect();
            }
        }
        let is_foreign = source.owner != caller || destination.owner != caller;
        if is_foreign && ends.destination_vpc.is_some_and(|vpc| !self.are_peered(source_vpc, vpc)) {
            // As if there were no such thing: another account's ids are not to be tried out here.
            let (end, code) = if source.owner == caller {
                (destination, "UNKNOWN_DESTINATION")
            } else {
                (source, "NO_SOURCE_OR_DESTINATION")
            };
            return Err(because_of(code, self.names.end(end)).into());
        }
        Ok(ends)
    }

    fn are_peered(&self, a: VpcId, b: VpcId) -> bool {
        a == b || self.names.world.peerings_between(a, b).any(|peering| peering.status.is_accepted())
    }

    /// From somewhere on the internet, in by this gateway: for the public address of who is meant.
    fn ends_from(&self, id: InternetGatewayId, packets: &mut Packets) -> Result<Ends, Fault> {
        let Names { world, .. } = self.names;
        let vpc = self.vpc_of_gateway(id, "NO_SOURCE_OR_DESTINATION")?;
        let interfaces = match self.path.destination {
            Some(destination) => match place(&self.names, destination, "UNKNOWN_DESTINATION")? {
                Place::Interfaces(interfaces) if vpc_of(world, &interfaces) == Some(vpc) => interfaces,
                Place::Interfaces(_) => {
                    return Err(with_gateway(because("CANNOT_ROUTE"), self.names.gateway(id)).into());
                }
                Place::Gateway(_) | Place::Peering(_) => {
                    return Err(Fault::Failed(format!(
                        "What comes in by {id} is for an instance or an interface: name it"
                    )));
                }
            },
            None => {
                let has =
                    |address| world.all::<NetworkInterface>().filter(move |at| at.vpc == vpc && owns(at, address));
                packets.destination.into_iter().flat_map(has).map(|interface| interface.id).collect()
            }
        };
        let found = interfaces.iter().filter_map(|interface| world.find::<NetworkInterface>(interface));
        let doors: Vec<(Goal, IpAddr)> = found
            .flat_map(|interface| doors(interface, packets.destination, packets.source))
            .map(|(interface, door)| (Goal::Interface(interface), door))
            .take(INTERFACES_MAX)
            .collect();
        if doors.is_empty() {
            let explanation = Explanation {
                network_interface: interfaces.first().map(|interface| self.names.interface(*interface)),
                address: packets.destination.map(|address| address.to_string()),
                direction: Some(word(Direction::Ingress).into()),
                ..because("IGW_PRIVATE_IP_ASSOCIATION_FOR_INGRESS")
            };
            return Err(with_gateway(explanation, self.names.gateway(id)).into());
        }
        let to = doors.iter().map(|(goal, _)| *goal).collect();
        let from = vec![OUTSIDE_INTERFACE];
        Ok(Ends { from, source_vpc: vpc, to, destination_vpc: Some(vpc), doors: Some(doors) })
    }

    /// The VPC that the gateway is attached to.
    fn vpc_of_gateway(&self, id: InternetGatewayId, unknown: &str) -> Result<VpcId, Fault> {
        let Names { world, caller, .. } = self.names;
        let own = world.find::<InternetGateway>(&id).filter(|gateway| gateway.owner == caller);
        let gateway = own.ok_or_else(|| because_of(unknown, self.names.gateway(id)))?;
        let unattached = || with_gateway(because("UNASSOCIATED_COMPONENT"), self.names.gateway(id));
        Ok(gateway.vpc.ok_or_else(unattached)?)
    }

    fn no_question(&self, why: &QuestionError) -> Fault {
        match why {
            QuestionError::NoAddress { interface, .. } => Explanation {
                network_interface: Some(self.names.interface(*interface)),
                ..because("ENI_ADDRESS_RESTRICTION")
            }
            .into(),
            QuestionError::Families { source, destination } => {
                let addresses = vec![source.to_string(), destination.to_string()];
                Explanation { addresses, ..because("NO_PATH") }.into()
            }
            other => Fault::Failed(other.to_string()),
        }
    }

    /// The VPCs that packet and reply can come to: both ends', and those that each is peered with in this region.
    fn network(&self, ends: &Ends, destination: Option<IpAddr>) -> Network {
        let Names { world, region, caller } = self.names;
        let near = |vpc: VpcId| {
            let active =
                world.peerings_of(vpc).filter(|pcx| pcx.status == PeeringStatus::Active && !pcx.is_inter_region());
            active.filter_map(move |pcx| Some(pcx.side(pcx.side_of(vpc)?.other())))
        };
        let has =
            |side: &PeeringSide| destination.is_some_and(|address| side.blocks().any(|block| block.contains(address)));
        let receiving: BTreeSet<VpcId> =
            near(ends.source_vpc).filter(|side| has(side)).map(|side| side.vpc).chain(ends.destination_vpc).collect();
        let vpcs: BTreeSet<VpcId> = [ends.source_vpc]
            .into_iter()
            .chain(receiving.iter().copied())
            .chain(near(ends.source_vpc).map(|side| side.vpc))
            .chain(receiving.iter().flat_map(|vpc| near(*vpc)).map(|side| side.vpc))
            .collect();
        let worlds = BTreeMap::from([(region, world.clone())]);
        let internet = Internet::new(&plan::public_places(&worlds), &plan::public_ipv6(&worlds));
        let on_internet = destination.and_then(|address| internet.find(address).flatten()).map(|at| at.vpc);
        let vpcs = vpcs.into_iter().chain(on_internet).collect();
        let slices = plan::vpc_slices(region, world, &vpcs);
        let network = compiled(self.cloud.config, slices);
        network.with_internet(internet).with_spares(plan::spares(&worlds, Some(caller)))
    }

    fn findings(&self, found: Found, ends: &Ends) -> Findings {
        let crossed = |wanted| leaves(found.answer.forward.hops.iter().filter_map(|hop| hop.step.as_ref()), wanted);
        let passes_by = match ends.to.first() {
            Some(Goal::Gateway(wanted)) => crossed(*wanted),
            _ => true,
        };
        let answer = found.answer.seen_by(self.names.caller);
        let cut = self.cut(&answer.forward, ends);
        let hops = cut.as_ref().map_or(&*answer.forward.hops, |cut| &answer.forward.hops[..cut.hops]);
        let back = answer.back.as_ref().filter(|_| cut.is_none()).map_or(&[][..], |back| &*back.hops);
        let mut said = self.blockers(&answer, hops.iter().chain(back), cut.is_some());
        match (&cut, ends.to.first()) {
            (Some(Cut { leaves_over: Some((peering, region)), .. }), _) => said.leaves(&self.names, *peering, *region),
            (None, Some(Goal::Peering(wanted))) if said.explanations.is_empty() => {
                said.explanations.push(because_of("CANNOT_ROUTE", self.names.peering(*wanted)));
            }
            (None, Some(Goal::Gateway(wanted))) if said.explanations.is_empty() && !passes_by => {
                said.explanations.push(with_gateway(because("CANNOT_ROUTE"), self.names.gateway(*wanted)));
            }
            _ => {}
        }
        if !found.is_exhaustive {
            said.warnings.push("There are too many classes of ports to try each; ask about fewer ports".into());
        }
        let ends_named = [Some(self.path.source), self.path.destination].into_iter().flatten();
        let stranger = ends_named.into_iter().find(|end| end.owner != self.names.caller);
        let stages = Stages { names: self.names, answer: &answer, stranger };
        let header = header(&answer.forward, self.path.protocol, found.source_ports, found.destination_ports);
        let hidden = answer.blockers.iter().filter(|blocker| blocker.cause == Cause::Hidden);
        let suggested: BTreeSet<AccountId> = hidden.map(|blocker| blocker.place.account).collect();
        Findings {
            failure: None,
            path_found: Some(said.explanations.is_empty()),
            // Who is outside is nobody's component.
            forward: stages.of(hops.iter().filter(|hop| hop.place.vpc != OUTSIDE), &header, &answer.forward.flow),
            back: match &answer.back {
                Some(path) => {
                    let hops = back.iter().filter(|hop| hop.place.vpc != OUTSIDE);
                    stages.of(hops, &header_back(&header), &path.flow)
                }
                None => Vec::new(),
            },
            suggested_accounts: suggested.into_iter().collect(),
            warning: said.warning(),
            explanations: said.explanations,
        }
    }

    /// What stands in the way at these hops; all there is, unless the look ended before the end.
    fn blockers<'h>(&self, answer: &Answer, hops: impl Iterator<Item = &'h Hop>, is_cut: bool) -> Said {
        let shown: BTreeSet<usize> = hops.flat_map(|hop| hop.blockers.iter().copied()).collect();
        let mut said = Said::default();
        for (at, blocker) in answer.blockers.iter().enumerate() {
            let explanation = explain(&self.names, blocker);
            if (!is_cut || shown.contains(&at)) && !said.explanations.contains(&explanation) {
                said.explanations.push(explanation);
            }
        }
        if !answer.is_complete && !is_cut && !said.explanations.is_empty() {
            said.warnings.push("There might be additional components blocking the path".into());
        }
        said
    }

    /// Where the look at the way there ends before its end.
    fn cut(&self, forward: &Path, ends: &Ends) -> Option<Cut> {
        let Names { world, region, .. } = self.names;
        let wanted = ends.to.iter().find_map(|goal| match goal {
            Goal::Peering(id) => Some(*id),
            _ => None,
        });
        forward.hops.iter().enumerate().find_map(|(at, hop)| {
            let Some(Step::Peering { direction: Direction::Egress, peering, .. }) = hop.step else { return None };
            if hop.stage != Stage::Peering(Direction::Egress) {
                return None;
            }
            if wanted == Some(peering) {
                return Some(Cut { hops: at + 1, leaves_over: None });
            }
            let other = world.find::<Peering>(&peering)?.other_region(region)?;
            Some(Cut { hops: at + 1, leaves_over: Some((peering, other)) })
        })
    }

    /// The components that the request wants on the way, or not there.
    fn hold(&self, findings: &mut Findings, via: &Via<'_>) {
        if findings.path_found != Some(true) {
            return;
        }
        let is_there = |arn: &String| {
            let id = Arn::parse(arn).map_or(arn.as_str(), |arn| arn.id);
            findings.forward.iter().any(|stage| stage.component.id == id)
        };
        let broken: Vec<&String> = via
            .through
            .iter()
            .filter(|arn| !is_there(arn))
            .chain(via.around.iter().filter(|arn| is_there(arn)))
            .take(EXPLANATIONS_MAX)
            .collect();
        let explanations: Vec<Explanation> = broken
            .into_iter()
            .map(|arn| {
                let id = Arn::parse(arn).map_or(arn.as_str(), |arn| arn.id).to_owned();
                because_of("COMPONENT_FILTER_RESTRICTION", Component { id, arn: arn.clone(), name: None })
            })
            .collect();
        if !explanations.is_empty() {
            findings.path_found = Some(false);
            findings.explanations = explanations;
        }
    }
}

/// So many hops are looked at: up to the peering where the path ends, or where it leaves the region.
struct Cut {
    hops: usize,
    leaves_over: Option<(PeeringId, Region)>,
}

/// What is told besides the components.
#[derive(Default)]
struct Said {
    explanations: Vec<Explanation>,
    warnings: Vec<String>,
}

impl Said {
    fn leaves(&mut self, names: &Names<'_>, peering: PeeringId, region: Region) {
        self.warnings
            .push(format!("The path leaves the region over {peering}: what is in {region} is not analysed here"));
        self.explanations.push(Explanation {
            peering: Some(names.peering(peering)),
            component_region: Some(region.to_string()),
            ..because_of("UNSUPPORTED_COMPONENT", names.peering(peering))
        });
    }

    /// The warnings in one text, once there are no more explanations than may be.
    fn warning(&mut self) -> Option<String> {
        let all = self.explanations.len();
        if all > EXPLANATIONS_MAX {
            self.explanations.truncate(EXPLANATIONS_MAX);
            self.warnings.push(format!("Only the first {EXPLANATIONS_MAX} of {all} explanations are shown"));
        }
        (!self.warnings.is_empty()).then(|| self.warnings.join(". "))
    }
}

/// Those of the interfaces that have the address; all, where none has, or none is named.
fn owning(world: &World, mut interfaces: Vec<NetworkInterfaceId>, address: Option<IpAddr>) -> Vec<NetworkInterfaceId> {
    let owns = |id: &NetworkInterfaceId| {
        address.zip(world.find::<NetworkInterface>(id)).is_some_and(|(address, interface)| interface.owns(address))
    };
    if interfaces.iter().any(owns) {
        interfaces.retain(owns);
    }
    interfaces.truncate(INTERFACES_MAX);
    interfaces
}

/// It has the address, or a public one that stands for one of its own.
fn owns(interface: &NetworkInterface, address: IpAddr) -> bool {
    interface.owns(address) || interface.public.iter().any(|mapped| IpAddr::V4(mapped.public) == address)
}

/// The address by which a sender itself knows a public one of its own.
fn private_of(world: &World, interfaces: &[NetworkInterfaceId], address: IpAddr) -> IpAddr {
    let found = interfaces.iter().filter_map(|interface| world.find::<NetworkInterface>(interface));
    let mut mapped = found.flat_map(|interface| &interface.public);
    mapped.find(|mapped| IpAddr::V4(mapped.public) == address).map_or(address, |mapped| mapped.private.into())
}

/// The addresses by which an interface is known outside; of one that is named, private or public, just that.
fn doors(
    interface: &NetworkInterface,
    named: Option<IpAddr>,
    like: Option<IpAddr>,
) -> Vec<(NetworkInterfaceId, IpAddr)> {
    let is_ipv6 = named.or(like).is_some_and(|address| address.is_ipv6());
    let v4 = interface.public.iter().map(|mapped| (IpAddr::V4(mapped.private), IpAddr::V4(mapped.public)));
    let v6 = interface.ipv6_addresses.iter().map(|address| (IpAddr::V6(*address), IpAddr::V6(*address)));
    let all = v4.chain(v6).filter(|(_, public)| public.is_ipv6() == is_ipv6);
    let meant = all.filter(|(private, public)| named.is_none_or(|named| named == *private || named == *public));
    meant.map(|(_, public)| (interface.id, public)).collect()
}

fn with_gateway(explanation: Explanation, gateway: Component) -> Explanation {
    Explanation { component: Some(gateway.clone()), internet_gateway: Some(gateway), ..explanation }
}

fn vpc_of(world: &World, interfaces: &[NetworkInterfaceId]) -> Option<VpcId> {
    Some(world.find::<NetworkInterface>(interfaces.first()?)?.vpc)
}

/// An address that stands for a block: the first that an interface may have.
fn address_in(block: Cidr) -> IpAddr {
    const FIRST: u8 = 4;
    match block {
        Cidr::V4(block) => block.nth(FIRST.into()).unwrap_or(block.network()).into(),
        Cidr::V6(block) => block.nth(FIRST.into()).unwrap_or(block.network()).into(),
    }
}

fn header(path: &Path, protocol: IpProtocol, source: PortRange, destination: PortRange) -> PacketHeader {
    PacketHeader {
        protocol: protocol.number(),
        source_addresses: vec![Cidr::host(path.flow.src).to_string()],
        source_ports: vec![source],
        destination_addresses: vec![Cidr::host(path.flow.dst).to_string()],
        destination_ports: vec![destination],
    }
}

fn header_back(header: &PacketHeader) -> PacketHeader {
    let header = header.clone();
    PacketHeader {
        protocol: header.protocol,
        source_addresses: header.destination_addresses,
        source_ports: header.destination_ports,
        destination_addresses: header.source_addresses,
        destination_ports: header.source_ports,
    }
}
