//! The third voice: what crate `reach` says of a packet, from the slices of all Worlds and what it remembers of flows.
//!
//! It knows nothing of hosts, frames, caches or keys. Of what it explains, everything is tried: see [`Analyser::explain`].

use std::sync::Arc;

use model::intent::{Endpoint, VpcSlice};
use model::{NetworkInterface, NetworkInterfaceId, Time};
use policy::{Conntrack, L2, Limits, Timeouts};
use reach::{Memory, Network, Question};

use crate::packet::{NextHop, Sent};
use crate::reference::Outcome;
use crate::scene::Scene;
use crate::slices::flow_of;

/// The analyser, and the flows that it has let through.
pub struct Analyser {
    network: Network,
    memory: Memory,
    up: Vec<NetworkInterfaceId>,
    doctor: fn(&mut VpcSlice),
}

/// As many flows as a run's data plane has room for.
const FLOWS: u32 = 1 << 13;

/// How an explanation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Explained {
    Reachable,
    /// Every mend of every blocker was made again, and then it was.
    Mended {
        blockers: usize,
    },
    /// Something in the way that nothing is known to mend.
    Stuck,
}

impl Analyser {
    /// `doctor` is what it is told wrongly, to see that it would be found.
    pub fn new(doctor: fn(&mut VpcSlice)) -> Analyser {
        let limits = Limits { flows: FLOWS, flows_per_interface: FLOWS };
        let memory = Memory { conntrack: Conntrack::new(limits, Timeouts::default(), 3), ..Memory::default() };
        Analyser { network: Network::default(), memory, up: Vec::new(), doctor }
    }

    pub fn configure(&mut self, scene: &Scene) {
        let mut slices = scene.slices();
        slices.iter_mut().for_each(self.doctor);
        self.network = Network::new(slices).with_internet(scene.internet());
        let endpoints = self.network.slices().flat_map(|slice| &slice.endpoints);
        let up: Vec<_> = endpoints.filter(|endpoint| endpoint.is_up).map(|endpoint| endpoint.interface.id).collect();
        for lost in self.up.iter().filter(|id| !up.contains(id)) {
            self.memory.conntrack.flush(*lost);
        }
        self.up = up;
        let of_own = |endpoint: &Endpoint| (endpoint.interface.id, endpoint.interface.connection_tracking);
        let own = self.network.slices().flat_map(|slice| slice.endpoints.iter().map(of_own)).collect();
        self.memory.conntrack.set_own_timeouts(Arc::new(own));
    }

    /// What becomes of a packet that a guest sends now, and the analyser's own words.
    pub fn judge(&mut self, scene: &Scene, sent: &Sent, now: Time) -> (Outcome, String) {
        let sender = scene.find::<NetworkInterface>(&sent.from);
        if sender.is_some_and(|(_, sender)| sender.mac != sent.src_mac) {
            return (Outcome::Denied("D01"), "another's address".into());
        }
        let is_to_many = matches!(sent.to, NextHop::Mac(mac) if mac.0[0] & 1 == 1);
        if is_to_many && self.network.endpoint(sent.from).is_some_and(|endpoint| endpoint.is_up) {
            return (Outcome::Denied("D04"), "a frame to many".into());
        }
        self.memory.now = now;
        let l2 = if sent.to == NextHop::Router { L2::Router } else { L2::Neighbour };
        match self.network.judge(sent.from, &flow_of(&sent.packet), l2, &mut self.memory, &mut ()).outcome {
            Ok(to) => (Outcome::Delivered(to), format!("reaches {to}")),
            Err(denied) => (Outcome::Denied(denied.code()), denied.to_string()),
        }
    }

    /// Explains why such a packet, were it the first one, does or does not pass, and tries whatever the explanation says.
    ///
    /// # Errors
    /// Where the explanation is wrong, in words.
    pub fn explain(&self, sent: &Sent) -> Result<Explained, String> {
        let flow = flow_of(&sent.packet);
        let question = Question { from: sent.from, to: None, flow, is_one_way: false };
        let answer = reach::explain(&self.network, &question);
        let first = self.network.walk(sent.from, &flow, &mut Memory::default()).outcome();
        let says = answer.forward.passed().count();
        match (first, answer.blockers.first()) {
            (Err(denied), None) => return Err(format!("refused for {denied}, and no blocker")),
            (Err(denied), Some(blocker)) if answer.denied() != Some(denied) => {
                return Err(format!("refused for {denied}, the first blocker is {:?}", blocker.cause));
            }
            (Ok(to), Some(blocker)) if blocker.way == reach::Way::Forward => {
                return Err(format!("{to} gets it, and yet {:?} after {says} hops", blocker.cause));
            }
            _ => {}
        }
        if answer.is_reachable() {
            return Ok(Explained::Reachable);
        }
        if !answer.is_complete {
            return Ok(Explained::Stuck);
        }
        let mends = answer.blockers.iter().flat_map(|blocker| blocker.mends.clone());
        let mended = self.network.mended(mends);
        let again = reach::explain(&mended, &question);
        match again.is_reachable() {
            true => Ok(Explained::Mended { blockers: answer.blockers.len() }),
            false => Err(format!("all mends made, and yet {:?}", again.blockers[0])),
        }
    }
}
