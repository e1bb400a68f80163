//! Peerway's own answer to "why can't A reach B" (crate `reach`), over the Worlds of all regions.
//!
//! The operator's account sees everything; others ask from what is theirs, and see their own side (decision 0024). Nothing is stored:
//! `WhatIf` calls are made on copies ([`what_if`]).

mod resolve;
mod view;
mod what_if;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use ec2::reach::{ExplainReachability, ReachAnswer, ReachResult};
use ec2::{Caller, Error};
use model::{AccountId, HostId, IpProtocol, NetworkInterface, PeeringStatus, Region, Time, Vpc, VpcId, World};
use policy::Internet;
use reach::{CLIENT_PORTS, Ends, Goal, Kind, Network, QuestionError, Survey, survey};

use crate::{Config, Seed, plan};
use resolve::{End, Resolver};

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
    let assumptions = vec![
        "a host can be reached and keys can be agreed (D15), no table or queue is full (D06, D36, D37), packets fit (D16)".into(),
        "an interface without source/destination check forwards what it is sent, unchanged".into(),
        "the destination's own firewall and service are not asked".into(),
    ];
    ReachResult { reachable, verdict, reachable_now, answers, assumptions }
}

/// One answer for each family that was asked about.
fn ask(cloud: &Cloud, caller: &Caller, request: &ExplainReachability, kind: &Kind) -> Result<Vec<ReachAnswer>, Error> {
    let resolver = Resolver { cloud, account: sight(caller) };
    let source = resolver.source(&request.source)?;
    let destination = resolver.destination(&request.destination)?;
    let families = families(request, &source, &destination)?;
    let network = network(cloud, sight(caller), source.vpc, &destination);
    let is_one_way = request.one_way.unwrap_or(false);
    let mut answers = Vec::new();
    for is_ipv6 in families {
        let goal = match &destination {
            End::Interface(interface) => match interface.address.filter(|address| address.is_ipv6() == is_ipv6) {
                // An address that was named is who is meant, not just where.
                Some(address) if interface.is_exact => Goal::Address(address),
                _ => Goal::Interface(interface.id),
            },
            End::Address(address) => Goal::Address(*address),
        };
        let source_address = source.address.filter(|address| address.is_ipv6() == is_ipv6);
        let ends = Ends { from: source.id, source: source_address, to: goal, is_ipv6 };
        let survey = survey(&network, &ends, kind, is_one_way).map_err(|error| question_error(&error))?;
        let seen = match sight(caller) {
            Some(account) => seen(survey, account),
            None => survey,
        };
        answers.push(view::answer(&network, &seen, is_ipv6));
    }
    Ok(answers)
}

fn seen(survey: Survey, account: AccountId) -> Survey {
    let cases = survey.cases.into_iter().map(|mut case| {
        case.answer = case.answer.seen_by(account);
        case
    });
    Survey { cases: cases.collect() }
}

/// `None`: sees everything.
fn sight(caller: &Caller) -> Option<AccountId> {
    (caller.account != AccountId::OPERATOR).then_some(caller.account)
}

fn question_error(error: &QuestionError) -> Error {
    Error::invalid_value(error.to_string())
}

/// Which families: the one that is asked for, that of an address that is named, or those that both ends have.
fn families(request: &ExplainReachability, source: &resolve::Interface, to: &End) -> Result<Vec<bool>, Error> {
    let named = source.address.filter(|_| source.is_exact).or(match to {
        End::Address(address) => Some(*address),
        End::Interface(interface) => interface.address.filter(|_| interface.is_exact),
    });
    let asked = match request.ip_version {
        None => None,
        Some(4) => Some(false),
        Some(6) => Some(true),
        Some(other) => return Err(Error::invalid_parameter("IpVersion", other, "It is 4 or 6.")),
    };
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
fn network(cloud: &Cloud, account: Option<AccountId>, source: VpcId, destination: &End) -> Network {
    let mut ends = BTreeSet::from([source]);
    match destination {
        End::Interface(interface) => ends.extend([interface.vpc]),
        // Whoever has it, near or where no route leads yet.
        End::Address(address) => {
            let all = cloud.values().flat_map(|(world, _)| world.all::<NetworkInterface>());
            ends.extend(all.filter(|interface| interface.owns(*address)).map(|interface| interface.vpc));
        }
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
    if let End::Address(address) = destination {
        wanted.extend(internet.sender(*address).map(|at| at.vpc));
    }
    let slices = cloud.iter().flat_map(|(region, (world, _))| plan::vpc_slices(*region, world, &wanted));
    let network = match nowhere(cloud) {
        Some(host) => Network::without_hosts(slices, host),
        None => Network::new(slices),
    };
    network.with_internet(internet)
}

/// In a control plane without hosts all instances are taken to be on this one.
fn nowhere(cloud: &Cloud) -> Option<HostId> {
    let has_hosts = cloud.values().any(|(_, config)| config.needs_host || !config.hosts.is_empty());
    if has_hosts { None } else { "nowhere".parse().ok() }
}
