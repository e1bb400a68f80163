//! Puts an intent in force: tables and ports, compiled and swapped at once.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dataplane::{Binding, Ports};
use model::NetworkInterfaceId;
use model::intent::Intent;
use policy::{Internet, Tables};

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
    /// Flows of an earlier run whose interfaces are not here any more were looked for.
    is_cleared: bool,
}

impl Force {
    pub(crate) fn new(plane: Arc<dataplane::Shared>) -> Force {
        Force { plane, state: Mutex::default() }
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
                self.swap(&mut state);
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
        let internet = Internet::new(&state.intent.public, &state.intent.public_ipv6);
        let tables = state.tables.recompile(state.intent.vpcs.values(), state.generation);
        state.tables = Arc::new(tables.with_internet(Arc::new(internet)));
        self.swap(state);
    }

    fn swap(&self, state: &mut State) {
        state.ports = state.ports.renew(state.intent.vpcs.values(), &state.bindings);
        self.plane.apply(state.tables.clone(), state.ports.clone());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
