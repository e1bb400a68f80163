//! A question about many ports at once: the same question, asked of one port per class.

use alloc::vec::Vec;
use core::ops::RangeInclusive;

use model::AccountId;

use crate::Network;
use crate::addresses::Span;
use crate::answer::Answer;
use crate::classes::representatives;
use crate::explain::{explain, obstacle};
use crate::question::{Ends, QuestionError, Traffic};

/// A set of ports.
pub type Range = RangeInclusive<u16>;

/// The source ports that Linux gives to those who do not choose (`ip_local_port_range`).
pub const CLIENT_PORTS: Range = 32_768..=60_999;

/// More combinations of classes than this are not tried.
pub(crate) const TRIES_MAX: usize = 16_384;

/// More cases than this are not explained.
pub(crate) const CASES_MAX: usize = 128;

/// Protocol and ports of a set of packets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    Tcp { source: Range, destination: Range },
    Udp { source: Range, destination: Range },
    Echo,
    Protocol(u8),
}

/// The answers, by address where many were asked about, and by port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survey {
    /// At least one; senders first, then receivers, destination ports and source ports, each in order.
    pub cases: Vec<Case>,
}

/// Packets that share a fate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// From and to which addresses; empty: those of the question, one each.
    pub senders: Vec<Span>,
    pub receivers: Vec<Span>,
    /// Nobody that can be seen has any of the receivers' addresses: it does not count that such packets are lost.
    pub is_vacant: bool,
    /// `None`: the protocol has no ports.
    pub source: Option<Range>,
    pub destination: Option<Range>,
    /// For the first addresses and ports of the ranges.
    pub answer: Answer,
}

impl Survey {
    /// All of the packets pass that somebody is there to get.
    pub fn is_reachable(&self) -> bool {
        let mut counted = self.cases.iter().filter(|case| !case.is_vacant).peekable();
        counted.peek().is_some() && counted.all(|case| case.answer.is_reachable())
    }

    /// Some of the packets pass, and some do not.
    pub fn is_partly_reachable(&self) -> bool {
        !self.is_reachable() && self.cases.iter().any(|case| case.answer.is_reachable())
    }

    /// The first case that is blocked; where none is, the first.
    pub fn worst(&self) -> &Case {
        let is_blocked = |case: &&Case| !case.answer.is_reachable();
        let counted = self.cases.iter().filter(|case| !case.is_vacant).find(is_blocked);
        counted.or_else(|| self.cases.iter().find(|case| !case.is_vacant)).unwrap_or(&self.cases[0])
    }

    /// As an account may see it ([`Answer::seen_by`]).
    #[must_use]
    pub fn seen_by(mut self, account: AccountId) -> Survey {
        let seen = |case: Case| Case { answer: case.answer.seen_by(account), ..case };
        self.cases = self.cases.into_iter().map(seen).collect();
        self
    }
}

/// Asks about every packet of a set.
///
/// # Errors
/// See [`Ends::question`]; too many classes of ports.
pub fn survey(network: &Network, ends: &Ends, kind: &Kind, is_one_way: bool) -> Result<Survey, QuestionError> {
    let grid = Grid::of(network, kind);
    let rows = grid.rows(|traffic| Ok(obstacle(network, &ends.question(network, traffic, is_one_way)?)))?;
    let mut cases = Vec::new();
    for Cell { source, destination, traffic } in grid.cells(&rows) {
        let answer = explain(network, &ends.question(network, traffic, is_one_way)?);
        let (senders, receivers) = (Vec::new(), Vec::new());
        cases.push(Case { senders, receivers, is_vacant: false, source, destination, answer });
    }
    Ok(Survey { cases })
}

/// Rows of one destination port: the source ports from which packets share a fate.
pub(crate) type Rows<F> = Vec<(u16, Vec<(u16, F)>)>;

/// One of each class of ports.
pub(crate) struct Grid<'k> {
    kind: &'k Kind,
    sources: Vec<u16>,
    destinations: Vec<u16>,
}

/// Ports that share a fate, and the first packet of them.
pub(crate) struct Cell {
    pub(crate) source: Option<Range>,
    pub(crate) destination: Option<Range>,
    pub(crate) traffic: Traffic,
}

impl<'k> Grid<'k> {
    pub(crate) fn of(network: &Network, kind: &'k Kind) -> Grid<'k> {
        let (sources, destinations) = match kind {
            Kind::Tcp { source, destination } => {
                (representatives(network, 6, source), representatives(network, 6, destination))
            }
            Kind::Udp { source, destination } => {
                (representatives(network, 17, source), representatives(network, 17, destination))
            }
            // What has no ports is one class.
            Kind::Echo | Kind::Protocol(_) => (Vec::from([0]), Vec::from([0])),
        };
        Grid { kind, sources, destinations }
    }

    /// How many combinations there are.
    pub(crate) fn tries(&self) -> usize {
        self.sources.len() * self.destinations.len()
    }

    /// The fates of all, those that are alike together.
    pub(crate) fn rows<F: PartialEq>(
        &self,
        mut fate: impl FnMut(Traffic) -> Result<F, QuestionError>,
    ) -> Result<Rows<F>, QuestionError> {
        if self.tries() > TRIES_MAX {
            return Err(QuestionError::TooManyPorts);
        }
        let mut rows: Rows<F> = Vec::new();
        for port in &self.destinations {
            let mut row: Vec<(u16, F)> = Vec::new();
            for from in &self.sources {
                let fate = fate(self.traffic(*from, *port))?;
                if row.last().is_none_or(|(_, last)| *last != fate) {
                    row.push((*from, fate));
                }
            }
            if rows.last().is_none_or(|(_, last)| *last != row) {
                rows.push((*port, row));
            }
        }
        if rows.iter().map(|(_, row)| row.len()).sum::<usize>() > CASES_MAX {
            return Err(QuestionError::TooManyPorts);
        }
        Ok(rows)
    }

    pub(crate) fn cells<F>(&self, rows: &Rows<F>) -> Vec<Cell> {
        let (source, destination) = match self.kind {
            Kind::Tcp { source, destination } | Kind::Udp { source, destination } => (source, destination),
            Kind::Echo | Kind::Protocol(_) => {
                return Vec::from([Cell { source: None, destination: None, traffic: self.traffic(0, 0) }]);
            }
        };
        let mut cells = Vec::new();
        for (at, (port, row)) in rows.iter().enumerate() {
            let last = rows.get(at + 1).map_or(*destination.end(), |(next, _)| next - 1);
            for (at, (from, _)) in row.iter().enumerate() {
                let to = row.get(at + 1).map_or(*source.end(), |(next, _)| next - 1);
                let traffic = self.traffic(*from, *port);
                cells.push(Cell { source: Some(*from..=to), destination: Some(*port..=last), traffic });
            }
        }
        cells
    }

    fn traffic(&self, source: u16, destination: u16) -> Traffic {
        match self.kind {
            Kind::Tcp { .. } => Traffic::Tcp { source, destination },
            Kind::Udp { .. } => Traffic::Udp { source, destination },
            Kind::Echo => Traffic::Echo,
            Kind::Protocol(number) => Traffic::Protocol(*number),
        }
    }
}
