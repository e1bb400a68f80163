//! An answer as the service writes it.

use ec2::reach::{ReachAnswer, ReachBlocker, ReachCase, ReachHop, ReachMend};
use model::VpcId;
use model::peering::Side;
use reach::{Blocker, Case, Cause, Network, Path, Range, Span, Survey, Traffic, Way, commands, header};

pub(super) fn answer(network: &Network, survey: &Survey, is_ipv6: bool) -> ReachAnswer {
    let question = &survey.worst().answer.question;
    let flow = &question.flow;
    let source = network.vpc_of(question.from);
    ReachAnswer {
        ip_version: if is_ipv6 { 6 } else { 4 },
        reachable: survey.is_reachable(),
        verdict: verdict(network, survey, source),
        protocol: match flow.protocol {
            6 => "tcp".into(),
            17 => "udp".into(),
            1 | 58 => "icmp".into(),
            other => Traffic::Protocol(other).name(),
        },
        source_interface: question.from,
        source_address: flow.src.to_string(),
        destination_interface: question.to,
        destination_address: flow.dst.to_string(),
        cases: survey.cases.iter().map(|found| case(network, found, source)).collect(),
    }
}

/// One line.
fn verdict(network: &Network, survey: &Survey, source: Option<VpcId>) -> String {
    let ports = |range: &Option<Range>| range.as_ref().map(text).unwrap_or_default();
    if survey.is_reachable() {
        return "REACHABLE".into();
    }
    if survey.is_partly_reachable() {
        let open = survey.cases.iter().filter(|case| case.answer.is_reachable());
        let open: Vec<String> = open
            .map(|case| {
                let to = listed("to", &case.receivers);
                let from = listed("from", &case.senders);
                match case.destination {
                    Some(_) => {
                        let (destination, source) = (ports(&case.destination), ports(&case.source));
                        format!("{to}port {destination} {from}from source port {source}").trim_end().to_owned()
                    }
                    None => format!("{to}{from}").trim_end().to_owned(),
                }
            })
            .collect();
        return format!("REACHABLE IN PART: {}", open.join(", "));
    }
    let worst = survey.worst();
    let blockers = &worst.answer.blockers;
    let Some(first) = blockers.first() else { return "BLOCKED".into() };
    let way = if first.way == Way::Back { "on the way back, " } else { "" };
    let more = if blockers.len() > 1 { format!(" (and {} more)", blockers.len() - 1) } else { String::new() };
    format!("BLOCKED: {way}{}{more}", first.text(side(network, source, first).as_deref()))
}

fn case(network: &Network, case: &Case, source: Option<VpcId>) -> ReachCase {
    let answer = &case.answer;
    let blockers = answer.blockers.iter().enumerate();
    let spans = |spans: &[Span]| spans.iter().map(ToString::to_string).collect();
    ReachCase {
        sources: spans(&case.senders),
        destinations: spans(&case.receivers),
        vacant: case.is_vacant.then_some(true),
        source_ports: case.source.as_ref().map(text),
        destination_ports: case.destination.as_ref().map(text),
        reachable: answer.is_reachable(),
        complete: answer.is_complete,
        forward: hops(&answer.forward),
        back: answer.back.as_ref().map(hops).unwrap_or_default(),
        blockers: blockers.map(|(at, found)| blocker(network, at, found, source)).collect(),
    }
}

fn hops(path: &Path) -> Vec<ReachHop> {
    let number = |at: &usize| i32::try_from(at + 1).unwrap_or(i32::MAX);
    let hop = |hop: &reach::Hop| ReachHop {
        stage: hop.stage.name().into(),
        passes: hop.blockers.is_empty(),
        component: hop.component(),
        rule: hop.rule(),
        text: hop.text(),
        vpc: hop.place.vpc,
        account: hop.place.account,
        region: hop.place.region,
        header_before: header(&hop.before),
        header_after: header(&hop.after),
        blockers: hop.blockers.iter().map(number).collect(),
    };
    path.hops.iter().map(hop).collect()
}

fn blocker(network: &Network, at: usize, found: &Blocker, source: Option<VpcId>) -> ReachBlocker {
    let mend = |command: reach::Command| ReachMend {
        account: command.account,
        region: command.region,
        aws_cli: command.aws,
        terraform: command.terraform,
    };
    let explanation = found.analyzer_code();
    ReachBlocker {
        number: i32::try_from(at + 1).unwrap_or(i32::MAX),
        way: if found.way == Way::Back { "back" } else { "forward" }.into(),
        stage: found.stage.name().into(),
        reason: found.code().map(Into::into),
        explanation_code: (!explanation.is_empty()).then(|| explanation.into()),
        text: found.text(side(network, source, found).as_deref()),
        vpc: found.place.vpc,
        account: found.place.account,
        region: found.place.region,
        mends: commands(&found.mends).into_iter().map(mend).collect(),
    }
}

/// `to 10.0.0.4, 10.0.0.6-10.0.0.9 `; nothing of none.
fn listed(word: &str, spans: &[Span]) -> String {
    const SHOWN: usize = 4;
    let shown: Vec<String> = spans.iter().take(SHOWN).map(ToString::to_string).collect();
    match spans.len() {
        0 => String::new(),
        all if all > SHOWN => format!("{word} {} and {} more ", shown.join(", "), all - SHOWN),
        _ => format!("{word} {} ", shown.join(", ")),
    }
}

/// Which side of the peering a hidden blocker is on.
fn side(network: &Network, source: Option<VpcId>, found: &Blocker) -> Option<String> {
    if found.cause != Cause::Hidden {
        return None;
    }
    let slice = network.slice(source?)?;
    let sides = slice.peerings.iter().filter(|peering| peering.status.is_live());
    let side = sides.into_iter().find_map(|peering| peering.side_of(found.place.vpc))?;
    Some(match side {
        Side::Requester => "the requester's side".into(),
        Side::Accepter => "the accepter's side".into(),
    })
}

fn text(range: &Range) -> String {
    let (from, to) = (range.start(), range.end());
    if from == to { from.to_string() } else { format!("{from}-{to}") }
}
