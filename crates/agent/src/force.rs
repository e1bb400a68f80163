//! Puts an intent in force: tables and ports, compiled and swapped at once.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dataplane::{Binding, Ports};
use model::intent::Intent;
use model::{Cidr, NetworkInterfaceId};
use policy::{Internet, Outside, Tables};

pub(crate) struct Force {
    pub(crate) plane: Arc<dataplane::Shared>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    intent: Arc<Intent>,
    /// Those in force: what a change leaves as it was is taken over.
    tables: Arc<Tables>,
    ports: Ports,
    bindings: Vec<Binding>,
    generation: u64,
    /// What is not reached by the uplink of this host; `None`: nothing is, or that is not known.
    closed: Option<Vec<Cidr>>,
    /// Flows of an earlier run whose interfaces are not here any more were looked for.
    is_cleared: bool,
}

impl Force {
    pub(crate) fn new(plane: Arc<dataplane::Shared>, closed: Option<Vec<Cidr>>) -> Force {
        Force { plane, state: Mutex::new(State { closed, ..State::default() }) }
    }

    /// Packets leave by the uplink from here on, except to these; `None`: they do not.
    pub(crate) fn close(&self, closed: Option<Vec<Cidr>>) {
        let mut state = self.state();
        if state.closed != closed {
            state.closed = closed;
            self.apply(&mut state);
        }
    }

    pub(crate) fn intent(&self) -> Arc<Intent> {
        self.state().intent.clone()
    }

    pub(crate) fn bindings(&self) -> Vec<Binding> {
        self.state().bindings.clone()
    }

    /// Packets follow this intent from here on.
    pub(crate) fn follow(&self, intent: Arc<Intent>) {
        let mut state = self.state();
        state.intent = intent;
        self.apply(&mut state);
        if !std::mem::replace(&mut state.is_cleared, true) {
            let endpoints = state.intent.vpcs.values().flat_map(|slice| &slice.endpoints);
            let here: BTreeSet<NetworkInterfaceId> = endpoints.map(|endpoint| endpoint.interface.id).collect();
            self.plane.keep_only(|interface| here.contains(&interface));
        }
    }

    /// Packets follow this intent at these devices from here on: what an earlier agent left. `tables`: the intent's, compiled in time.
    pub(crate) fn resume(&self, intent: Arc<Intent>, tables: Option<Arc<Tables>>, bindings: Vec<Binding>) {
        let mut state = self.state();
        (state.intent, state.bindings) = (intent, bindings);
        match tables {
            Some(tables) => {
                state.generation = tables.generation();
                state.tables = tables;
                // They were compiled before the uplink was there.
                if state.closed.is_some() { self.apply(&mut state) } else { self.swap(&mut state) }
            }
            None => self.apply(&mut state),
        }
    }

    /// Another device was plugged in, or one was taken away.
    pub(crate) fn bind(&self, change: impl FnOnce(&mut Vec<Binding>)) {
        let mut state = self.state();
        change(&mut state.bindings);
        self.apply(&mut state);
    }

    fn apply(&self, state: &mut State) {
        state.generation += 1;
        let internet = Internet::new(&state.intent.public, &state.intent.public_ipv6).with_outside(self.outside(state));
        let tables = state.tables.recompile(state.intent.vpcs.values(), state.generation);
        state.tables = Arc::new(tables.with_internet(Arc::new(internet)));
        self.swap(state);
    }

    /// Neither this host nor another one is reached by the uplink: not even where hosts reach each other.
    fn outside(&self, state: &State) -> Option<Arc<Outside>> {
        let closed = state.closed.as_ref()?.iter().copied();
        let underlay = state.intent.hosts.values().map(|host| Cidr::host(host.underlay.ip()));
        Some(Arc::new(Outside::new(self.plane.config().host, closed.chain(underlay))))
    }

    fn swap(&self, state: &mut State) {
        state.ports = state.ports.renew(state.intent.vpcs.values(), &state.bindings);
        self.plane.apply(state.tables.clone(), state.ports.clone());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
