//! Who answers at the VPC's own addresses on this host: the resolver (`dns`), over UDP and TCP, and
//! instance metadata ([`crate::metadata`]), over TCP.
//!
//! ```text
//!   packet thread ─ question over UDP ─▶ Resolver ─ known ───────────────────────────────▶ answered on the spot
//!                 │                         └─ not this cloud's ─▶ forward ═▶ upstream ─▶ Engine::say ─▶ packet thread
//!                 └ TCP packet ─▶ tcp::Stacks (one stack for each interface) ─▶ what it says at once goes back the same way;
//!                                      ▲ the clock thread: what time brings ─▶ Engine::say
//! ```
//!
//! A packet thread never waits here. The resolvers are one immutable value, swapped with each intent: they need no control plane.

mod forward;
mod resolve;
pub(crate) mod tcp;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::{JoinHandle, Thread};
use std::time::Duration;

use dataplane::{Asker, Late, Port, Served};
use model::intent::Intent;
use model::{NetworkInterfaceId, Time};

use crate::engine::{Engine, now};
use crate::metadata::Metadata;
use resolve::{Names, Resolved};
use tcp::Stacks;

/// Between two looks at connections that wait for something.
const TICK: Duration = Duration::from_millis(20);

/// Everything that answers. Ends with [`Services::stop`].
pub(crate) struct Services {
    names: Arc<Names>,
    metadata: Metadata,
    stacks: Stacks,
    engine: Arc<Engine>,
    is_stopped: AtomicBool,
    /// The clock thread, to be woken when there are connections.
    clock: OnceLock<Thread>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl fmt::Debug for Services {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Services").finish_non_exhaustive()
    }
}

impl Services {
    /// Begins to answer. `upstream`: who knows names that are not this cloud's.
    pub(crate) fn start(
        plane: &dataplane::Shared,
        engine: Arc<Engine>,
        upstream: Option<SocketAddr>,
    ) -> io::Result<Arc<Services>> {
        let names = Arc::new(Names::start(upstream)?);
        let metadata = Metadata::start()?;
        let listeners: Vec<Arc<dyn tcp::Listen>> =
            vec![Arc::new(resolve::OverTcp(names.clone())), Arc::new(metadata.clone())];
        let services = Arc::new(Services {
            names,
            metadata,
            stacks: Stacks::new(listeners),
            engine,
            is_stopped: AtomicBool::new(false),
            clock: OnceLock::new(),
            thread: Mutex::default(),
        });
        let ticking = services.clone();
        let thread = std::thread::Builder::new().name("services".into()).spawn(move || ticking.tick())?;
        let _ = services.clock.set(thread.thread().clone());
        *services.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
        plane.serve(services.clone());
        Ok(services)
    }

    /// Answers by this intent from here on.
    pub(crate) fn follow(&self, intent: &Arc<Intent>) {
        self.metadata.follow(intent);
        self.names.follow(intent);
        let endpoints = intent.vpcs.values().flat_map(|slice| &slice.endpoints);
        let here: BTreeSet<NetworkInterfaceId> = endpoints.map(|endpoint| endpoint.interface.id).collect();
        self.stacks.keep_only(|interface| here.contains(&interface));
    }

    pub(crate) fn stop(&self) {
        self.is_stopped.store(true, Ordering::Release);
        if let Some(clock) = self.clock.get() {
            clock.unpark();
        }
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread of the services ended in a panic");
        }
        self.names.stop();
    }

    /// The clock thread's work.
    fn tick(&self) {
        while !self.is_stopped.load(Ordering::Acquire) {
            let are_left = self.stacks.tick(now(), &mut |port, interface, packet| {
                self.engine.say(Late::Packet { port, interface, packet });
            });
            match are_left {
                true => std::thread::park_timeout(TICK),
                false => std::thread::park(),
            }
        }
    }
}

impl dataplane::Services for Services {
    fn question(&self, asker: &Asker, question: &[u8], answer: &mut [u8], now: Time) -> Served {
        let (engine, asker) = (self.engine.clone(), *asker);
        let later = move |message: Vec<u8>| {
            if !message.is_empty() {
                engine.say(Late::Answer { asker, message: message.into() });
            }
        };
        match self.names.resolve(asker.vpc, question, dns::Transport::Udp, now, later) {
            Resolved::Now(message) => match answer.get_mut(..message.len()) {
                Some(room) => {
                    room.copy_from_slice(&message);
                    Served::Answer(message.len())
                }
                None => Served::Silence,
            },
            Resolved::Later => Served::Later,
            Resolved::Silence => Served::Silence,
        }
    }

    fn segment(&self, port: &Port, packet: &[u8], now: Time, say: &mut dyn FnMut(&[u8])) -> bool {
        let is_taken = self.stacks.segment(port, packet, now, say);
        if let Some(clock) = self.clock.get().filter(|_| is_taken) {
            clock.unpark();
        }
        is_taken
    }
}
