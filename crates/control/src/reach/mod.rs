//! Peerway's own answer to "why can't A reach B" (crate `reach`), over the Worlds of all regions.
//!
//! The operator's account sees everything; others ask from what is theirs, and see their own side (decision 0024). Nothing is stored:
//! `WhatIf` calls are made on copies ([`what_if`]).

mod resolve;
mod view;
mod what_if;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;
use std::sync::Arc;

use ec2::reach::{ExplainReachability, ReachAnswer, ReachResult};
use ec2::{Caller, Error};
use model::{
    AccountId, By, Cidr, HostId, IpProtocol, NetworkInterface, NetworkInterfaceId, PeeringStatus, Region, Time, Vpc,
    VpcId, World,
};
use policy::Internet;
use reach::{CLIENT_PORTS, Crowd, Ends, Goal, Kind, Network, QuestionError, Receivers, survey, survey_crowd};

use crate::{Config, Seed, plan};
use resolve::{End, Resolver, Source};

/// The regions of a cloud, each with what its operator decided.
pub type Cloud = BTreeMap<Region, (World, Config)>;

/// Answers one question.
///
/// # Errors
/// `InvalidParameterValue` and the like for ends that are not there or not the caller's; what a `WhatIf` call is refused with.
pub fn explain(
    cloud: &Cloud,
    caller: &Caller,
    request: &ExplainReachability,
    seed: Seed,
    now: Time,
) -> Result<ReachResult, Error> {
    let kind = kind(request)?;
    let as_it_is = ask(cloud, caller, request, &kind);
    if request.what_if.is_empty() {
        let answers = as_it_is?;
        return Ok(result(answers, None));
    }
    let changed = what_if::apply(cloud, caller, &request.what_if, seed, now)?;
    let answers = ask(&changed, caller, request, &kind)?;
    // An end that the calls make is not reachable without them.
    let now = as_it_is.is_ok_and(|answers| answers.iter().all(|answer| answer.reachable));
    Ok(result(answers, Some(now)))
}

fn result(answers: Vec<ReachAnswer>, reachable_now: Option<bool>) -> ReachResult {
    let reachable = answers.iter().all(|answer| answer.reachable);
    let verdict = match answers.as_slice() {
        [one] => one.verdict.clone(),
        [first, second] if first.verdict == second.verdict => format!("{} (IPv4 and IPv6)", first.verdict),
        several => {
            let lines = several.iter().map(|answer| format!("IPv{}: {}", answer.ip_version, answer.verdict));
            lines.collect::<Vec<_>>().join("; ")
        }
    };
    let mut assumptions = vec![
        "a host can be reached and keys can be agreed (D15), no table or queue is full (D06, D36, D37), packets fit (D16)".into(),
        "an interface without source/destination check forwards what it is sent, unchanged".into(),
        "the destination's own firewall and service are not asked".into(),
    ];
    if answers.iter().flat_map(|answer| &answer.cases).any(|case| !case.destinations.is_empty()) {
        assumptions.push("an interface does not send to itself; addresses that nobody has do not count".into());
    }
    ReachResult { reachable, verdict, reachable_now, answers, assumptions }
}

/// One answer for each family that was asked about.
fn ask(cloud: &Cloud, caller: &Caller, request: &ExplainReachability, kind: &Kind) -> Result<Vec<ReachAnswer>, Error> {
    let account = sight(caller);
    let resolver = Resolver { cloud, account };
    let source = resolver.source(&request.source)?;
    let destination = resolver.destination(&request.destination)?;
    let asked = asked_family(request)?;
    let is_one_way = request.one_way.unwrap_or(false);
    let families = match (&source, &destination) {
        (Source::Interface(source), End::Interface(_) | End::Address(_)) => families(asked, source, &destination)?,
        _ => families_of_sets(asked, &source, &destination)?,
    };
    let network = network(cloud, account, source.vpc(), &destination)?;
    let mut answers = Vec::new();
    for is_ipv6 in families {
        let survey = match (&source, &destination) {
            (Source::Interface(source), End::Interface(_) | End::Address(_)) => {
                let source_address = source.address.filter(|address| address.is_ipv6() == is_ipv6);
                let ends = Ends { from: source.id, source: source_address, to: goal(&destination, is_ipv6), is_ipv6 };
                let survey = survey(&network, &ends, kind, is_one_way).map_err(|error| question_error(&error))?;
                match account {
                    Some(account) => survey.seen_by(account),
                    None => survey,
                }
            }
            _ => {
                let senders = senders(&network, &source, is_ipv6)?;
                let receivers = receivers(&destination, is_ipv6);
                let crowd = Crowd { senders, receivers, kind, is_one_way, sight: account };
                survey_crowd(&network, &crowd).map_err(|error| question_error(&error))?
            }
        };
        answers.push(view::answer(&network, &survey, is_ipv6));
    }
    Ok(answers)
}

fn goal(destination: &End, is_ipv6: bool) -> Goal {
    match destination {
        End::Interface(interface) => match interface.address.filter(|address| address.is_ipv6() == is_ipv6) {
            // An address that was named is who is meant, not just where.
            Some(address) if interface.is_exact => Goal::Address(address),
            _ => Goal::Interface(interface.id),
        },
        End::Address(address) => Goal::Address(*address),
        // Of a set without a block of the family, which is not asked about.
        End::Set(set) => Goal::Address(set.blocks.first().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), first_of)),
    }
}

/// Who of a set sends.
fn senders(network: &Network, source: &Source, is_ipv6: bool) -> Result<Vec<(NetworkInterfaceId, IpAddr)>, Error> {
    match source {
        Source::Set { members, .. } => {
            Ok(members.iter().copied().filter(|(_, address)| address.is_ipv6() == is_ipv6).collect())
        }
        Source::Interface(interface) => {
            let named = interface.address.filter(|address| address.is_ipv6() == is_ipv6);
            let address = named.map_or_else(|| network.address(interface.id, is_ipv6), Ok);
            Ok(vec![(interface.id, address.map_err(|error| question_error(&error))?)])
        }
    }
}

fn receivers(destination: &End, is_ipv6: bool) -> Receivers {
    match destination {
        End::Set(set) => {
            let block = set.blocks.iter().copied().find(|block| block.is_ipv4() != is_ipv6);
            block.map_or(Receivers::One(goal(destination, is_ipv6)), |block| Receivers::Block { block, vpc: set.vpc })
        }
        other => Receivers::One(goal(other, is_ipv6)),
    }
}

/// `None`: sees everything.
fn sight(caller: &Caller) -> Option<AccountId> {
    (caller.account != AccountId::OPERATOR).then_some(caller.account)
}

fn question_error(error: &QuestionError) -> Error {
    Error::invalid_value(error.to_string())
}

/// Which families: the one that is asked for, that of an address that is named, or those that both ends have.
fn families(asked: Option<bool>, source: &resolve::Interface, to: &End) -> Result<Vec<bool>, Error> {
    let named = source.address.filter(|_| source.is_exact).or(match to {
        End::Address(address) => Some(*address),
        End::Interface(interface) => interface.address.filter(|_| interface.is_exact),
        End::Set(_) => None,
    });
    match (asked, named) {
        (Some(asked), Some(named)) if asked != named.is_ipv6() => Err(Error::invalid_combination(format!(
            "{named} is no address of IP version {}",
            if asked { 6 } else { 4 }
        ))),
        (Some(asked), _) => Ok(vec![asked]),
        (None, Some(named)) => Ok(vec![named.is_ipv6()]),
        (None, None) => {
            let End::Interface(destination) = to else { return Ok(vec![false]) };
            Ok(if source.has_ipv6 && destination.has_ipv6 { vec![false, true] } else { vec![false] })
        }
    }
}

/// Whether IPv6 is asked about; `None`: whatever there is.
fn asked_family(request: &ExplainReachability) -> Result<Option<bool>, Error> {
    match request.ip_version {
        None => Ok(None),
        Some(4) => Ok(Some(false)),
        Some(6) => Ok(Some(true)),
        Some(other) => Err(Error::invalid_parameter("IpVersion", other, "It is 4 or 6.")),
    }
}

/// Those that both ends have, of which one at least is a set.
fn families_of_sets(asked: Option<bool>, source: &Source, to: &End) -> Result<Vec<bool>, Error> {
    let of_interface = |interface: &resolve::Interface, is_ipv6: bool| match interface.address {
        Some(address) if interface.is_exact => address.is_ipv6() == is_ipv6,
        _ => !is_ipv6 || interface.has_ipv6,
    };
    let has_source = |is_ipv6: bool| match source {
        Source::Interface(interface) => of_interface(interface, is_ipv6),
        Source::Set { members, .. } => members.iter().any(|(_, address)| address.is_ipv6() == is_ipv6),
    };
    let has_destination = |is_ipv6: bool| match to {
        End::Interface(interface) => of_interface(interface, is_ipv6),
        End::Address(address) => address.is_ipv6() == is_ipv6,
        End::Set(set) => set.blocks.iter().any(|block| block.is_ipv4() != is_ipv6),
    };
    let is_both = |is_ipv6: &bool| has_source(*is_ipv6) && has_destination(*is_ipv6);
    let families: Vec<bool> =
        [false, true].into_iter().filter(|family| asked.is_none_or(|asked| asked == *family)).filter(is_both).collect();
    if families.is_empty() {
        return Err(Error::invalid_combination(
            "The source and the destination have no addresses of one family that is asked about",
        ));
    }
    Ok(families)
}

fn kind(request: &ExplainReachability) -> Result<Kind, Error> {
    let text = request.protocol.as_deref().unwrap_or("icmp");
    let protocol = match IpProtocol::parse(text) {
        Some(IpProtocol::Number(number)) => number,
        _ => return Err(Error::invalid_parameter("Protocol", text, "Use tcp, udp, icmp or a protocol number.")),
    };
    let has_ports = matches!(protocol, 6 | 17);
    let destination = ports("DestinationPort", request.destination_port.as_deref())?;
    let source = ports("SourcePort", request.source_port.as_deref())?;
    if !has_ports && (destination.is_some() || source.is_some()) {
        return Err(Error::invalid_combination(format!("Protocol {text} has no ports; ask about tcp or udp")));
    }
    let (source, destination) = (source.unwrap_or(CLIENT_PORTS), destination.unwrap_or(0..=u16::MAX));
    Ok(match protocol {
        6 => Kind::Tcp { source, destination },
        17 => Kind::Udp { source, destination },
        1 | 58 => Kind::Echo,
        other => Kind::Protocol(other),
    })
}

/// `443` or `1-1024`.
fn ports(name: &str, text: Option<&str>) -> Result<Option<RangeInclusive<u16>>, Error> {
    let Some(text) = text else { return Ok(None) };
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    let range = from.parse().ok().zip(to.parse().ok()).filter(|(from, to): &(u16, u16)| from <= to);
    let range = range.ok_or_else(|| Error::invalid_parameter(name, text, "Use a port or a range such as 1-1024."))?;
    Ok(Some(range.0..=range.1))
}

/// The VPCs that a packet and its reply can meet: those of the ends, and what these are peered with. `account`: only those that it may
/// know of, its own and the active peers of its own.
///
/// # Errors
/// A block that too many VPCs have addresses of.
fn network(cloud: &Cloud, account: Option<AccountId>, source: VpcId, destination: &End) -> Result<Network, Error> {
    let mut ends = BTreeSet::from([source]);
    match destination {
        End::Interface(interface) => ends.extend([interface.vpc]),
        // Whoever has it, near or where no route leads yet.
        End::Address(address) => {
            let all = cloud.values().flat_map(|(world, _)| world.by::<NetworkInterface>(By::address(*address)));
            ends.extend(all.filter(|interface| interface.owns(*address)).map(|interface| interface.vpc));
        }
        End::Set(set) => match set.vpc {
            Some(vpc) => ends.extend([vpc]),
            None => {
                let all = cloud.values().flat_map(|(world, _)| world.all::<NetworkInterface>());
                let has = |interface: &&Arc<NetworkInterface>| interface.addresses().any(|at| set.contains(at));
                ends.extend(all.filter(has).map(|interface| interface.vpc));
            }
        },
    }
    let is_own = |vpc: &VpcId| {
        let owner = cloud.values().find_map(|(world, _)| world.find::<Vpc>(vpc)).map(|vpc| vpc.owner);
        account.is_none_or(|account| owner == Some(account))
    };
    let mut wanted: BTreeSet<VpcId> = ends.iter().copied().filter(is_own).collect();
    let own = wanted.clone();
    for (vpc, (world, _)) in own.iter().flat_map(|vpc| cloud.values().map(move |region| (*vpc, region))) {
        let peers = world.peerings_of(vpc).filter_map(|peering| {
            let other = peering.side(peering.side_of(vpc)?.other()).vpc;
            (is_own(&other) || peering.status == PeeringStatus::Active).then_some(other)
        });
        wanted.extend(peers);
    }
    // Whoever has a public address can be reached from everywhere; of another's side `seen_by` shows no more than that.
    let worlds: BTreeMap<Region, World> = cloud.iter().map(|(region, (world, _))| (*region, world.clone())).collect();
    let internet = Internet::new(&plan::public_places(&worlds), &plan::public_ipv6(&worlds));
    match destination {
        End::Address(address) => wanted.extend(internet.find(*address).flatten().map(|at| at.vpc)),
        End::Set(set) => {
            let meant = internet.iter().filter(|(address, _)| set.contains(*address));
            wanted.extend(meant.filter_map(|(_, at)| Some(at?.vpc)));
        }
        End::Interface(_) => {}
    }
    if wanted.len() > VPCS_MAX {
        let why = format!(
            "{} VPCs have addresses there or are peered with those that have; ask about a smaller block, or write \
             BLOCK@VPC for one of a single VPC",
            wanted.len()
        );
        return Err(Error::invalid_value(why));
    }
    let slices = cloud.iter().flat_map(|(region, (world, _))| plan::vpc_slices(*region, world, &wanted));
    let network = match nowhere(cloud) {
        Some(host) => Network::without_hosts(slices, host),
        None => Network::new(slices),
    };
    Ok(network.with_internet(internet).with_spares(plan::spares(&worlds, account)))
}

/// VPCs of one question: each is compiled for it.
const VPCS_MAX: usize = 512;

fn first_of(block: &Cidr) -> IpAddr {
    match block {
        Cidr::V4(block) => block.network().into(),
        Cidr::V6(block) => block.network().into(),
    }
}

/// In a control plane without hosts all instances are taken to be on this one.
fn nowhere(cloud: &Cloud) -> Option<HostId> {
    let has_hosts = cloud.values().any(|(_, config)| config.needs_host || !config.hosts.is_empty());
    if has_hosts { None } else { "nowhere".parse().ok() }
}
