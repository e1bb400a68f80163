//! What is counted of a packet at the NAT gateways that it passes on this host: noted while it is judged, counted when it goes.

use super::accounts::{FlowId, Mark};

/// In and out at the sender's gateway, and at the other end's.
const EDGES_MAX: usize = 4;

/// The edges of gateways that one packet came to, in order; what is behind them is not counted.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Passing {
    edges: [Option<(FlowId, Mark)>; EDGES_MAX],
    count: usize,
}

impl Passing {
    pub(crate) fn note(&mut self, edge: (FlowId, Mark)) {
        if let Some(place) = self.edges.get_mut(self.count) {
            *place = Some(edge);
            self.count += 1;
        }
    }

    pub(crate) fn clear(&mut self) {
        self.count = 0;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(crate) fn edges(&self) -> impl Iterator<Item = &(FlowId, Mark)> {
        self.edges.iter().take(self.count).flatten()
    }
}
