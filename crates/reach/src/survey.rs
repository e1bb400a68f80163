//! A question about many ports at once: the same question, asked of one port per class.

use alloc::vec::Vec;
use core::ops::RangeInclusive;

use crate::Network;
use crate::answer::{Answer, Cause, Stage, Way};
use crate::classes::representatives;
use crate::explain::{explain, obstacle};
use crate::question::{Ends, Question, QuestionError, Traffic};

/// A set of ports.
pub type Range = RangeInclusive<u16>;

/// The source ports that Linux gives to those who do not choose (`ip_local_port_range`).
pub const CLIENT_PORTS: Range = 32_768..=60_999;

/// More combinations of classes than this are not tried.
const TRIES_MAX: usize = 16_384;

/// More cases than this are not explained.
const CASES_MAX: usize = 128;

/// Protocol and ports of a set of packets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    Tcp { source: Range, destination: Range },
    Udp { source: Range, destination: Range },
    Echo,
    Protocol(u8),
}

/// The answers, by port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survey {
    /// At least one; destination ports first, then source ports, each in order.
    pub cases: Vec<Case>,
}

/// Packets that share a fate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// `None`: the protocol has no ports.
    pub source: Option<Range>,
    pub destination: Option<Range>,
    /// For the first ports of the ranges.
    pub answer: Answer,
}

impl Survey {
    /// All of the packets pass.
    pub fn is_reachable(&self) -> bool {
        self.cases.iter().all(|case| case.answer.is_reachable())
    }

    /// Some of the packets pass, and some do not.
    pub fn is_partly_reachable(&self) -> bool {
        !self.is_reachable() && self.cases.iter().any(|case| case.answer.is_reachable())
    }

    /// The first case that is blocked; where none is, the first.
    pub fn worst(&self) -> &Case {
        self.cases.iter().find(|case| !case.answer.is_reachable()).unwrap_or(&self.cases[0])
    }
}

/// Asks about every packet of a set.
///
/// # Errors
/// See [`Ends::question`]; too many classes of ports.
pub fn survey(network: &Network, ends: &Ends, kind: &Kind, is_one_way: bool) -> Result<Survey, QuestionError> {
    let (number, source, destination) = match kind {
        Kind::Tcp { source, destination } => (6, source, destination),
        Kind::Udp { source, destination } => (17, source, destination),
        Kind::Echo => return alone(network, &ends.question(network, Traffic::Echo, is_one_way)?),
        Kind::Protocol(n) => return alone(network, &ends.question(network, Traffic::Protocol(*n), is_one_way)?),
    };
    let sources = representatives(network, number, source);
    let destinations = representatives(network, number, destination);
    if sources.len() * destinations.len() > TRIES_MAX {
        return Err(QuestionError::TooManyPorts);
    }
    let traffic = |source, destination| match number {
        6 => Traffic::Tcp { source, destination },
        _ => Traffic::Udp { source, destination },
    };
    // Rows of one destination port: the source ports from which packets share a fate.
    let mut rows: Vec<(u16, Vec<(u16, Fate)>)> = Vec::new();
    for port in destinations {
        let mut row: Vec<(u16, Fate)> = Vec::new();
        for from in &sources {
            let fate = obstacle(network, &ends.question(network, traffic(*from, port), is_one_way)?);
            if row.last().is_none_or(|(_, last)| *last != fate) {
                row.push((*from, fate));
            }
        }
        if rows.last().is_none_or(|(_, last)| *last != row) {
            rows.push((port, row));
        }
    }
    if rows.iter().map(|(_, row)| row.len()).sum::<usize>() > CASES_MAX {
        return Err(QuestionError::TooManyPorts);
    }
    let mut cases = Vec::new();
    for (at, (port, row)) in rows.iter().enumerate() {
        let last = rows.get(at + 1).map_or(*destination.end(), |(next, _)| next - 1);
        for (at, (from, _)) in row.iter().enumerate() {
            let to = row.get(at + 1).map_or(*source.end(), |(next, _)| next - 1);
            let question = ends.question(network, traffic(*from, *port), is_one_way)?;
            let answer = explain(network, &question);
            cases.push(Case { source: Some(*from..=to), destination: Some(*port..=last), answer });
        }
    }
    Ok(Survey { cases })
}

/// What first stands in the way.
pub(crate) type Fate = Option<(Way, usize, Stage, Cause)>;

fn alone(network: &Network, question: &Question) -> Result<Survey, QuestionError> {
    let answer = explain(network, question);
    Ok(Survey { cases: Vec::from([Case { source: None, destination: None, answer }]) })
}
