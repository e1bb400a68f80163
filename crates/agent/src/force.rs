//! Puts an intent in force: tables and ports, compiled and swapped at once.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dataplane::{Binding, Ports};
use model::intent::Intent;
use policy::Tables;

pub(crate) struct Force {
    pub(crate) plane: Arc<dataplane::Shared>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    intent: Arc<Intent>,
    bindings: Vec<Binding>,
    generation: u64,
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
    }

    /// Another device was plugged in, or one was taken away.
    pub(crate) fn bind(&self, change: impl FnOnce(&mut Vec<Binding>)) {
        let mut state = self.state();
        change(&mut state.bindings);
        self.apply(&mut state);
    }

    fn apply(&self, state: &mut State) {
        state.generation += 1;
        let slices = || state.intent.vpcs.values().map(|slice| &**slice);
        let tables = Tables::compile(slices(), state.generation);
        self.plane.apply(Arc::new(tables), Ports::new(slices(), &state.bindings));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
