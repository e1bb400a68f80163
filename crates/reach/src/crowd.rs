//! A question about many senders or receivers at once ("any address of this subnet"): the same question, asked of one pair per class.
//!
//! Two addresses are of one class if they lie in the same of all blocks that the configuration names, and whoever has them is of one
//! subnet, of the same groups and in the same state. Then no rule, route or check can tell their packets apart, and the law answers for one
//! what it answers for all (decision 0052). An interface is not asked about itself.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::net::IpAddr;

use model::federation::Member;
use model::intent::Endpoint;
use model::{AccountId, Cidr, NetworkInterfaceId, RouteTarget, SecurityGroupId, SubnetId, VpcId};

use crate::Network;
use crate::addresses::{Blocks, Span, Within, next, previous};
use crate::answer::{Cause, Stage, Way};
use crate::explain::{explain, seen_obstacle};
use crate::question::{Ends, Goal, Question, QuestionError, Traffic};
use crate::survey::{CASES_MAX, Case, Cell, Grid, Kind, Rows, Survey, TRIES_MAX};

/// More addresses of one side than this are not told apart.
const POINTS_MAX: usize = 16_384;

/// Packets between many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crowd<'k> {
    /// Interfaces, each with an address that it sends from; all of one family, and not none.
    pub senders: Vec<(NetworkInterfaceId, IpAddr)>,
    pub receivers: Receivers,
    pub kind: &'k Kind,
    pub is_one_way: bool,
    /// Who looks: what is on another account's side does not tell classes apart. `None`: somebody who sees everything.
    pub sight: Option<AccountId>,
}

/// Whom packets are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receivers {
    One(Goal),
    /// Every address of the block: whoever has it where the packet goes, or, in this VPC, who has it there.
    Block {
        block: Cidr,
        vpc: Option<VpcId>,
    },
}

/// Asks about every packet of a set.
///
/// # Errors
/// See [`Ends::question`]; nobody to send, too many classes.
pub fn survey_crowd(network: &Network, crowd: &Crowd<'_>) -> Result<Survey, QuestionError> {
    let (senders, receivers) = classes(network, crowd)?;
    let grid = Grid::of(network, crowd.kind);
    let tries = senders.len().saturating_mul(receivers.len()).saturating_mul(grid.tries());
    if tries > TRIES_MAX {
        return Err(QuestionError::TooManyClasses);
    }
    // For each way in which receivers fare, the senders from which they do.
    let mut told: BTreeMap<Vec<Share>, Vec<usize>> = BTreeMap::new();
    for (at, sender) in senders.iter().enumerate() {
        let mut shares: BTreeMap<(bool, Rows<Told>), Vec<usize>> = BTreeMap::new();
        for (number, receiver) in receivers.iter().enumerate() {
            let Some(pair) = Pair::of(sender, receiver) else { continue };
            let rows = grid.rows(|traffic| Ok(tell(network, crowd, &pair.question(network, crowd, traffic)?)))?;
            // Who may not look there is not told that nobody is.
            let is_hidden = |row: &[(u16, Told)]| row.iter().any(|(_, told)| matches!(told, Told::Hidden(..)));
            let is_vacant = receiver.is_vacant && !rows.iter().any(|(_, row)| is_hidden(row));
            shares.entry((is_vacant, rows)).or_default().push(number);
        }
        let shares = shares.into_iter().map(|((is_vacant, rows), receivers)| Share { receivers, is_vacant, rows });
        let mut shares: Vec<Share> = shares.collect();
        shares.sort_unstable();
        told.entry(shares).or_default().push(at);
    }
    let mut told: Vec<(Vec<usize>, Vec<Share>)> = told.into_iter().map(|(shares, from)| (from, shares)).collect();
    told.sort_unstable();
    let mut cases = Vec::new();
    for (from, shares) in &told {
        for Share { receivers: to, is_vacant, rows } in shares {
            for Cell { source, destination, traffic } in grid.cells(rows) {
                if cases.len() == CASES_MAX {
                    return Err(QuestionError::TooManyClasses);
                }
                let pairs = from.iter().flat_map(|from| to.iter().map(move |to| (from, to)));
                let mut pairs = pairs.filter_map(|(from, to)| Pair::of(&senders[*from], &receivers[*to]));
                let Some(pair) = pairs.next() else { continue };
                let answer = explain(network, &pair.question(network, crowd, traffic)?);
                let answer = match crowd.sight {
                    Some(account) => answer.seen_by(account),
                    None => answer,
                };
                let spans = |all: &[Class], some: &[usize]| {
                    Span::joined(some.iter().flat_map(|at| all[*at].spans.iter().copied()).collect())
                };
                let is_vacant = *is_vacant;
                let (senders, receivers) = (spans(&senders, from), spans(&receivers, to));
                cases.push(Case { senders, receivers, is_vacant, source, destination, answer });
            }
        }
    }
    if cases.is_empty() { Err(QuestionError::Nobody) } else { Ok(Survey { cases }) }
}

/// Receivers that fare alike.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Share {
    receivers: Vec<usize>,
    is_vacant: bool,
    rows: Rows<Told>,
}

/// A fate without the names of those that it is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Told {
    Passes,
    /// On another account's side.
    Hidden(Way, VpcId),
    /// The reason, `elsewhere` for one that another gets.
    Stopped(Way, usize, Stage, &'static str),
}

pub(crate) fn tell(network: &Network, crowd: &Crowd<'_>, question: &Question) -> Told {
    let Some((way, leg, stage, cause, place)) = seen_obstacle(network, question) else { return Told::Passes };
    if let (Some(account), Some(place)) = (crowd.sight, place)
        && place.account != account
    {
        return Told::Hidden(way, place.vpc);
    }
    let reason = match cause {
        Cause::Denied(denied) => denied.code(),
        Cause::Elsewhere { .. } | Cause::Hidden => "elsewhere",
    };
    Told::Stopped(way, leg, stage, reason)
}

/// Addresses that nothing tells apart.
struct Class {
    /// Some of them, with whoever has them: more than one, so that two different ones can be found.
    samples: Vec<(IpAddr, Vec<NetworkInterfaceId>)>,
    spans: Vec<Span>,
    is_vacant: bool,
    goal: Goal,
    /// Who shall get it, where it is said in which VPC.
    vpc: Option<VpcId>,
}

/// So many of a class that one is nobody's own.
const SAMPLES: usize = 2;

impl Class {
    fn add(&mut self, span: Span, owners: &[NetworkInterfaceId]) {
        let is_new = || !self.samples.iter().any(|(_, known)| known == owners);
        if self.samples.len() < SAMPLES && is_new() {
            self.samples.push((span.first, owners.to_vec()));
        }
        self.spans.push(span);
    }
}

/// One of the senders and one of the receivers, who are two.
struct Pair {
    from: NetworkInterfaceId,
    source: IpAddr,
    goal: Goal,
    /// Who has the address, first of all in the VPC that is named.
    owner: Option<NetworkInterfaceId>,
    vpc: Option<VpcId>,
}

impl Pair {
    fn of(sender: &Class, receiver: &Class) -> Option<Pair> {
        for (source, interfaces) in &sender.samples {
            let from = *interfaces.first()?;
            for (address, owners) in &receiver.samples {
                if owners.contains(&from) {
                    continue;
                }
                let goal = match receiver.goal {
                    Goal::Interface(interface) => Goal::Interface(interface),
                    Goal::Address(_) => Goal::Address(*address),
                };
                let (owner, vpc) = (owners.first().copied(), receiver.vpc);
                return Some(Pair { from, source: *source, goal, owner, vpc });
            }
        }
        None
    }

    fn question(&self, network: &Network, crowd: &Crowd<'_>, traffic: Traffic) -> Result<Question, QuestionError> {
        let Pair { from, source, goal, owner, vpc } = *self;
        let to = owner.filter(|owner| vpc.is_some() && network.vpc_of(*owner) == vpc);
        let ends = Ends { from, source: Some(source), to: goal, is_ipv6: source.is_ipv6() };
        let question = ends.question(network, traffic, crowd.is_one_way)?;
        Ok(Question { to: question.to.or(to), ..question })
    }
}

fn classes(network: &Network, crowd: &Crowd<'_>) -> Result<(Vec<Class>, Vec<Class>), QuestionError> {
    let (_, first) = *crowd.senders.first().ok_or(QuestionError::Nobody)?;
    let census = Census::of(network, first.is_ipv6());
    if crowd.senders.len() > POINTS_MAX {
        return Err(QuestionError::TooManyClasses);
    }
    let mut senders: BTreeMap<(Option<Signature>, Within), Class> = BTreeMap::new();
    for (interface, address) in &crowd.senders {
        let key = (census.signature(*interface, *address), census.blocks.within(*address));
        let class = senders.entry(key).or_insert_with(|| Class::new(Goal::Address(*address), None));
        class.add(Span::one(*address), &[*interface]);
    }
    let receivers = match crowd.receivers {
        Receivers::One(goal) => {
            let mut class = Class::new(goal, None);
            let (address, owners) = match goal {
                Goal::Interface(to) => (network.address(to, first.is_ipv6())?, Vec::from([to])),
                Goal::Address(address) => (address, Vec::new()),
            };
            class.add(Span::one(address), &owners);
            Vec::from([class])
        }
        Receivers::Block { block, vpc } => census.receivers(Span::of(&block), vpc)?,
    };
    let mut senders: Vec<Class> = senders.into_values().collect();
    senders.sort_unstable_by_key(|class| class.spans.iter().min().copied());
    Ok((senders, receivers))
}

impl Class {
    fn new(goal: Goal, vpc: Option<VpcId>) -> Class {
        Class { samples: Vec::new(), spans: Vec::new(), is_vacant: false, goal, vpc }
    }
}

/// All of an interface that the law looks at, but for the address in question.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Signature {
    vpc: VpcId,
    subnet: SubnetId,
    owner: AccountId,
    groups: BTreeSet<SecurityGroupId>,
    is_up: bool,
    is_placed: bool,
    source_dest_check: bool,
    /// The blocks of the public address that stands for this one.
    public: Option<Within>,
    /// What peers have heard of it.
    heard: BTreeSet<Heard>,
    /// A gateway's, or a route's target: like no other.
    alone: Option<NetworkInterfaceId>,
}

/// An address's owner in the eyes of a peer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Heard {
    by: VpcId,
    groups: BTreeSet<SecurityGroupId>,
    is_placed: bool,
}

/// Whom a public address stands for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Mapped {
    /// `None`: an interface that is not known here.
    signature: Option<Signature>,
    /// The blocks of the private address behind it.
    private: Option<Within>,
    vpc: VpcId,
    has_gateway: bool,
    is_placed: bool,
}

/// What there is to say of who has an address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fact {
    Own(Signature),
    Heard(Heard),
    /// On the internet: it stands for an address of somebody, or for nobody.
    Public(Option<Mapped>),
    /// The VPC's own, like no other.
    Service(IpAddr),
}

/// What is known of an address, and whoever has it.
#[derive(Default)]
struct Known {
    facts: BTreeSet<Fact>,
    owners: Vec<NetworkInterfaceId>,
}

/// Who is where, once for all classes.
struct Census<'n> {
    network: &'n Network,
    blocks: Blocks,
    targets: BTreeSet<NetworkInterfaceId>,
    heard: BTreeMap<(NetworkInterfaceId, IpAddr), BTreeSet<Heard>>,
    is_ipv6: bool,
}

impl Census<'_> {
    fn of(network: &Network, is_ipv6: bool) -> Census<'_> {
        let routes = network.slices().flat_map(|slice| &slice.route_tables).flat_map(|table| &table.routes);
        let targets = routes.filter_map(|route| match route.target {
            RouteTarget::NetworkInterface(id) => Some(id),
            _ => None,
        });
        let mut heard: BTreeMap<(NetworkInterfaceId, IpAddr), BTreeSet<Heard>> = BTreeMap::new();
        for (by, member) in members(network) {
            for address in &member.addresses {
                heard.entry((member.interface, *address)).or_default().insert(heard_of(by, member));
            }
        }
        Census { network, blocks: Blocks::of(network, is_ipv6), targets: targets.collect(), heard, is_ipv6 }
    }

    fn signature(&self, interface: NetworkInterfaceId, address: IpAddr) -> Option<Signature> {
        let Endpoint { interface, host, is_up } = self.network.endpoint(interface)?;
        let public = interface.public.iter().find(|mapped| IpAddr::V4(mapped.private) == address);
        let is_alone = self.targets.contains(&interface.id) || !interface.kind.is_ordinary();
        Some(Signature {
            vpc: interface.vpc,
            subnet: interface.subnet,
            owner: interface.owner,
            groups: interface.groups.clone(),
            is_up: *is_up,
            is_placed: host.is_some(),
            source_dest_check: interface.source_dest_check,
            public: public.map(|mapped| self.blocks.within(mapped.public.into())),
            heard: self.heard.get(&(interface.id, address)).cloned().unwrap_or_default(),
            alone: is_alone.then_some(interface.id),
        })
    }

    /// All addresses of a span, those together that nothing tells apart.
    fn receivers(&self, span: Span, vpc: Option<VpcId>) -> Result<Vec<Class>, QuestionError> {
        let known = self.known(span, vpc);
        let mut points = self.blocks.points(span);
        points.extend(known.keys().flat_map(|address| [Some(*address), next(*address)]).flatten());
        points.retain(|address| span.contains(*address));
        if points.len() > POINTS_MAX {
            return Err(QuestionError::TooManyClasses);
        }
        let nobody = Known::default();
        let mut classes: BTreeMap<(BTreeSet<Fact>, Within), Class> = BTreeMap::new();
        let points: Vec<IpAddr> = points.into_iter().collect();
        for (at, first) in points.iter().enumerate() {
            let last = points.get(at + 1).and_then(|next| previous(*next)).unwrap_or(span.last);
            let Known { facts, owners } = known.get(first).unwrap_or(&nobody);
            let key = (facts.clone(), self.blocks.within(*first));
            let class = classes.entry(key).or_insert_with(|| Class::new(Goal::Address(*first), vpc));
            class.is_vacant = facts.iter().all(|fact| matches!(fact, Fact::Service(_) | Fact::Public(None)));
            class.add(Span { first: *first, last }, owners);
        }
        let mut classes: Vec<Class> = classes.into_values().collect();
        classes.sort_unstable_by_key(|class| class.spans.iter().min().copied());
        Ok(classes)
    }

    /// What is known of the addresses of a span; owners in this VPC come first.
    fn known(&self, span: Span, vpc: Option<VpcId>) -> BTreeMap<IpAddr, Known> {
        let mut known: BTreeMap<IpAddr, Known> = BTreeMap::new();
        for endpoint in self.network.slices().flat_map(|slice| &slice.endpoints) {
            let interface = &endpoint.interface;
            for address in interface.addresses().filter(|address| span.contains(*address)) {
                let known = known.entry(address).or_default();
                known.facts.extend(self.signature(interface.id, address).map(Fact::Own));
                let at = if vpc == Some(interface.vpc) { 0 } else { known.owners.len() };
                known.owners.insert(at, interface.id);
            }
        }
        for (by, member) in members(self.network) {
            for address in member.addresses.iter().filter(|address| span.contains(**address)) {
                let known = known.entry(*address).or_default();
                known.facts.insert(Fact::Heard(heard_of(by, member)));
                if !known.owners.contains(&member.interface) {
                    known.owners.push(member.interface);
                }
            }
        }
        for (address, place) in self.network.internet().iter().filter(|(address, _)| span.contains(*address)) {
            let known = known.entry(address).or_default();
            let fact = place.map(|at| {
                let private = self.private(at.interface, address);
                let signature = self.signature(at.interface, private.unwrap_or(address));
                let private = private.map(|private| self.blocks.within(private));
                Mapped { signature, private, vpc: at.vpc, has_gateway: at.has_gateway, is_placed: at.host.is_some() }
            });
            known.facts.insert(Fact::Public(fact));
            known.owners.extend(place.map(|at| at.interface).filter(|id| !known.owners.contains(id)));
        }
        for address in self.services().filter(|address| span.contains(*address)) {
            known.entry(address).or_default().facts.insert(Fact::Service(address));
        }
        known
    }

    /// The private address that a public one stands for.
    fn private(&self, interface: NetworkInterfaceId, public: IpAddr) -> Option<IpAddr> {
        let interface = &self.network.endpoint(interface)?.interface;
        interface.public.iter().find(|at| IpAddr::V4(at.public) == public).map(|at| at.private.into())
    }

    /// Routers and resolvers.
    fn services(&self) -> impl Iterator<Item = IpAddr> {
        let resolvers = self.network.slices().map(|slice| IpAddr::V4(slice.vpc.resolver()));
        let subnets = || self.network.slices().flat_map(|slice| &slice.subnets);
        let routers = subnets().map(|subnet| IpAddr::V4(subnet.router()));
        let routers_v6 = subnets().filter_map(|subnet| Some(IpAddr::V6(subnet.ipv6.as_ref()?.cidr.nth(1)?)));
        let is_ipv6 = self.is_ipv6;
        resolvers.chain(routers).chain(routers_v6).filter(move |address| address.is_ipv6() == is_ipv6)
    }
}

/// What each VPC knows of its peers.
fn members(network: &Network) -> impl Iterator<Item = (VpcId, &Member)> {
    network.slices().flat_map(|slice| {
        slice.peers.iter().flat_map(move |peer| peer.members.iter().map(move |member| (slice.vpc.id, member)))
    })
}

fn heard_of(by: VpcId, member: &Member) -> Heard {
    Heard { by, groups: member.groups.clone(), is_placed: member.host.is_some() }
}
