//! Which packets are counted where: from a verdict to lines (spec 12.1.3, 12.1.6).

use model::{Direction, NetworkInterfaceId};
use policy::{Denied, Flow, FlowKey, L4, TcpFlags, Translation};
use wire::Ip;

use super::Logged;
use super::accounts::{Amount, Evidence, FlowId, Mark, Passage};
use crate::port::PortId;
use crate::router::{is_router, is_service};
use crate::ruling::{Hop, Left, Refused, Way};
use crate::shared::Plug;
use crate::step::Step;

/// An outcome that flow logs know.
#[derive(Clone, Copy)]
enum Outcome {
    Accepted(Passage),
    Rejected(Denied),
}

impl Step<'_> {
    /// Counts a packet that a guest sent, at its interface and, if it is for another guest of this host, at that one's.
    #[inline]
    pub(crate) fn log_departure(
        &self,
        plug: &Plug,
        flow: &Flow,
        verdict: &Result<Way, Refused>,
        amount: impl FnOnce() -> Amount,
    ) {
        if self.view.is_logging {
            self.log_both_ends(plug, flow, verdict, amount());
        }
    }

    /// Counts a packet from another host, at the interface that it is for.
    #[inline]
    pub(crate) fn log_arrival(&self, plug: &Plug, flow: &Flow, verdict: &Result<Way, Refused>, ip: &Ip) {
        if self.view.is_logging {
            let (outcome, amount) = (at_receiver(verdict).map(|(_, outcome)| outcome), Amount::of_packet(ip));
            self.log(plug, Direction::Ingress, &flow.key(), tcp_flags(flow), outcome, amount);
        }
    }

    /// Counts what was merged from packets of another host; none of them had a flag that lines show.
    pub(crate) fn log_stream(&self, to: PortId, key: &FlowKey, amount: Amount) {
        if let Some(plug) = self.view.plug(to) {
            self.log(plug, Direction::Ingress, key, 0, Some(Outcome::Accepted(Passage::None)), amount);
        }
    }

    #[inline(never)]
    fn log_both_ends(&self, plug: &Plug, flow: &Flow, verdict: &Result<Way, Refused>, amount: Amount) {
        let (key, flags) = (flow.key(), tcp_flags(flow));
        // Whoever forwards for others may send to the VPC's own services too.
        let is_logged = !is_service(&plug.port, flow.dst) && !is_router(&plug.port, flow.dst);
        let at_sender = at_sender(verdict).filter(|_| is_logged);
        self.log(plug, Direction::Egress, &key, flags, at_sender, amount);
        if let Some((to, outcome)) = at_receiver(verdict)
            && let Some(plug) = self.view.plug(to)
        {
            let key = translation(verdict).flow(flow).key();
            self.log(plug, Direction::Ingress, &key, flags, Some(outcome), amount);
        }
        self.log_passing(amount);
    }

    fn log(
        &self,
        plug: &Plug,
        direction: Direction,
        key: &FlowKey,
        tcp_flags: u8,
        outcome: Option<Outcome>,
        amount: Amount,
    ) {
        let (logged, interface) = (plug.port.logged, plug.port.interface);
        let Some((flow, mark)) = outcome.and_then(|outcome| outcome.at(interface, logged, direction, key, tcp_flags))
        else {
            return;
        };
        if let Some(mut accounts) = self.shared.accounts(self.lane) {
            accounts.count(flow, amount, &mark, self.now);
        }
    }

    /// Notes what became of a packet at an edge of a NAT gateway's interface; it is counted with the packet ([`Step::log_passing`]).
    pub(crate) fn note_passing(
        &mut self,
        gateway: NetworkInterfaceId,
        direction: Direction,
        flow: &Flow,
        outcome: Result<Passage, Denied>,
    ) {
        if !self.view.is_logging {
            return;
        }
        let outcome = match outcome {
            Ok(passage) => Outcome::Accepted(passage),
            Err(denied) if denied.is_filter() => Outcome::Rejected(denied),
            Err(_) => return,
        };
        let logged = self.view.logged_gateway(gateway);
        if let Some(edge) = outcome.at(gateway, logged, direction, &flow.key(), tcp_flags(flow)) {
            self.passing.note(edge);
        }
    }

    /// Counts what was noted at NAT gateways for one packet.
    pub(crate) fn log_passing(&self, amount: Amount) {
        if self.passing.is_empty() {
            return;
        }
        if let Some(mut accounts) = self.shared.accounts(self.lane) {
            self.passing.edges().for_each(|(flow, mark)| accounts.count(*flow, amount, mark, self.now));
        }
    }
}

impl Outcome {
    /// What is counted of it, if it is wanted.
    fn at(
        self,
        interface: NetworkInterfaceId,
        logged: Logged,
        direction: Direction,
        key: &FlowKey,
        tcp_flags: u8,
    ) -> Option<(FlowId, Mark)> {
        match self {
            Outcome::Accepted(passage) if logged.accepted => {
                let mark = Mark { tcp_flags, passage, evidence: None };
                Some((FlowId::new(interface, direction, key, None), mark))
            }
            Outcome::Rejected(denied) if logged.rejected => {
                let mark = Mark { tcp_flags, passage: Passage::None, evidence: Evidence::of(&denied) };
                Some((FlowId::new(interface, direction, key, Some(&denied)), mark))
            }
            _ => None,
        }
    }
}

/// What became of a packet at its sender's interface; `None`: nothing that a flow log tells.
fn at_sender(verdict: &Result<Way, Refused>) -> Option<Outcome> {
    match verdict {
        Ok(way) => Some(Outcome::Accepted(way.passage)),
        Err(Refused { left: Some(Left { passage, .. }), .. }) => Some(Outcome::Accepted(*passage)),
        Err(Refused { denied, .. }) if denied.is_filter() => Some(Outcome::Rejected(*denied)),
        Err(_) => None,
    }
}

/// What it was changed to on its way to the receiver.
fn translation(verdict: &Result<Way, Refused>) -> Translation {
    match verdict {
        Ok(way) => way.translation,
        Err(Refused { left, .. }) => left.map_or(Translation::NONE, |left| left.translation),
    }
}

/// And at its receiver's, if that is on this host.
fn at_receiver(verdict: &Result<Way, Refused>) -> Option<(PortId, Outcome)> {
    match verdict {
        Ok(Way { hop: Hop::Port { to, .. }, .. }) => Some((*to, Outcome::Accepted(Passage::None))),
        Err(Refused { denied, at: Some(to), .. }) if denied.is_filter() => Some((*to, Outcome::Rejected(*denied))),
        _ => None,
    }
}

/// FIN, SYN and RST; ACK only beside SYN.
fn tcp_flags(flow: &Flow) -> u8 {
    const SHOWN: u8 = TcpFlags::FIN.0 | TcpFlags::SYN.0 | TcpFlags::RST.0;
    match flow.l4 {
        L4::Tcp { flags, .. } if flags.contains(TcpFlags::SYN_ACK) => flags.0 & (SHOWN | TcpFlags::ACK.0),
        L4::Tcp { flags, .. } => flags.0 & SHOWN,
        _ => 0,
    }
}
