//! A host, running: the shell around `dataplane`.
//!
//! ```text
//!   server ─stream─▶ link ── intent ──▶ force (tables and ports, swapped at once) ──▶ Applied
//!                                   └─▶ instances (sandboxes and devices, one after the other) ──▶ Report
//!   guest ─TAP─▶ engine: one thread per queue, each with a `dataplane::Worker` ─▶ TAP ─▶ guest
//!                  ├─ counted ─▶ flow_logs ─▶ files
//!                  ├─ questions to the VPC's own addresses ─▶ services (`dns`, `metadata`) ─▶ TAP
//!                  ├─ sealed ─UDP─▶ other hosts; keys by links (`tunnel::Agreement`) over sessions (mutual TLS)
//!                  └─ out of the cloud ─▶ uplink, if the operator wants one
//!   `peerway exec`, `status` ─Unix socket─▶ desk
//! ```
//!
//! The agent holds no authority but the last intent. What it made is written down (`files`, `kept`), so that the next start cleans up
//! what was left, or takes it over ([`Lifetime`]).

mod capture;
mod clock;
mod desk;
mod engine;
mod esp_keys;
mod files;
mod flow_logs;
mod flows;
mod force;
mod guest;
mod handover;
pub mod identity;
mod instances;
pub mod join;
mod kept;
mod link;
mod links;
mod metadata;
mod services;
pub mod session;
#[cfg(test)]
mod testing;
mod uplink;
mod upstream;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use dataplane::PortId;
use linux::sandbox::Limits;
use model::HostId;

pub use capture::{CAPTURES_MAX, CaptureFormat, CaptureOrder, CaptureSummary, CaptureTarget, ESP_KEYS_LIFE};
pub use desk::{
    Answer, HostStatus, InstanceStatus, InterfaceStatus, Question, SOCKET_NAME, Stopper, StrayStatus, Stream,
    TrackedStatus, ask, exec,
};
pub use files::end_instances;
pub use handover::{Predecessor, Successor};
pub use links::{LinkDirection, LinkStatus, PORT, Underlay};
pub use stream::{JoinToken, JoinTokenError};
pub use uplink::{UplinkError, UplinkStatus};
pub use upstream::{ServerError, Upstream};

use engine::Engine;
use flow_logs::FlowLogs;
use force::Force;
use handover::Received;
use identity::{Identity, IdentityError};
use link::Link;
use links::Links;
use services::Services;
use uplink::Uplink;

/// What an operator chose.
#[derive(Clone, Debug)]
pub struct Options {
    pub host: HostId,
    /// Where instances' files and the socket are.
    pub data: PathBuf,
    /// Threads that carry packets, and queues of each device.
    pub queues: usize,
    /// The largest IP packet inside a VPC, in bytes.
    pub mtu: u16,
    pub limits: Limits,
    /// Begins the names of what the agent makes outside of instances: control groups.
    pub prefix: String,
    /// How it reaches other hosts; `None`: it is the only one.
    pub underlay: Option<Underlay>,
    /// Keep the keys of links, so that `peerway capture --esp-keys` can show them. For tests.
    pub allow_esp_keys: bool,
    /// Who is asked about names that are not this cloud's; `None`: nobody.
    pub dns_upstream: Option<SocketAddr>,
    /// The device by which packets leave the cloud, made by the agent in this process's own network namespace; `None`: none leaves.
    pub uplink: Option<String>,
    pub lifetime: Lifetime,
}

/// How long instances live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// As long as their agent: it ends them when it stops, and the next one ends what a killed one left.
    EndWithAgent,
    /// Until somebody ends them: an agent that stops or is killed leaves them running, and the next one takes them over.
    OutliveAgent,
}

/// AWS's figure inside a region (spec 5.8.3).
pub const MTU: u16 = 9001;

/// Why an agent does not start. Each names what it needs.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("cannot {what} {path}")]
    File { what: &'static str, path: PathBuf, source: io::Error },
    #[error("the machine gives no randomness")]
    Randomness,
    #[error("cannot start a thread or poll")]
    Thread(#[source] io::Error),
    #[error("cannot use the connection to the server")]
    Connection(#[source] io::Error),
    #[error("a server elsewhere wants to know this host's underlay address")]
    NoUnderlay,
    #[error("cannot use {address} port {PORT} for the links to other hosts")]
    Underlay { address: IpAddr, source: io::Error },
    #[error("no uplink")]
    Uplink(#[from] UplinkError),
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error("the process that this one is to go on for does not hand over")]
    Predecessor(#[source] io::Error),
}

/// An agent that runs until [`Agent::stop`].
pub struct Agent {
    shared: Arc<Shared>,
    /// Where questions come in.
    desk: Arc<desk::Desk>,
    threads: Vec<JoinHandle<()>>,
}

/// What the agent's threads share.
pub(crate) struct Shared {
    options: Options,
    engine: Arc<Engine>,
    force: Arc<Force>,
    /// `None`: no packet leaves the cloud here.
    uplink: Option<Arc<Uplink>>,
    link: Link,
    /// `None`: there is no other host.
    links: Option<Links>,
    identity: Option<Mutex<Identity>>,
    instances: instances::Board,
    captures: capture::Slots,
    flow_logs: FlowLogs,
    flows: flows::Flows,
    services: Arc<Services>,
}

/// Reads a running agent's counters; may outlive the agent.
#[derive(Clone)]
pub struct Observer(Arc<Shared>);

impl Observer {
    pub fn status(&self) -> HostStatus {
        desk::status(&self.0)
    }
}

impl Agent {
    /// Cleans up or takes over what an earlier run left, then follows the server's word.
    ///
    /// # Errors
    /// [`StartError`]; nothing is left running then.
    pub fn start(options: Options, upstream: Upstream) -> Result<Agent, StartError> {
        Agent::start_after(None, options, upstream)
    }

    /// The same in the place of another process, which hands over what it has.
    ///
    /// # Errors
    /// [`StartError`]; instances run on then.
    pub fn start_after(
        predecessor: Option<Predecessor>,
        options: Options,
        upstream: Upstream,
    ) -> Result<Agent, StartError> {
        if matches!(upstream, Upstream::There(_)) && options.underlay.is_none() {
            return Err(StartError::NoUnderlay);
        }
        files::prepare(&options)?;
        let takes_over = options.lifetime == Lifetime::OutliveAgent || predecessor.is_some();
        if !takes_over {
            files::clean_up(&options);
        }
        let identity = match &options.underlay {
            Some(_) => Some(Mutex::new(Identity::open(options.host, Some(&options.data))?)),
            None => None,
        };
        let mut seed = [0; 8];
        getrandom::fill(&mut seed).map_err(|_| StartError::Randomness)?;
        let seed = flows::seed_of_before(&options).unwrap_or(u64::from_ne_bytes(seed));
        let mut config = dataplane::Config::new(options.host, seed);
        config.workers = options.queues;
        config.tunnel_mtu = options.underlay.as_ref().map(Underlay::tunnel_mtu);
        let early = dataplane::Shared::new(config);
        // All that takes long is done. From here on until the devices are plugged in nobody carries a packet.
        let received = predecessor.map(|predecessor| predecessor.receive(&options));
        let received = received.transpose().map_err(StartError::Predecessor)?;
        let is_successor = received.is_some();
        let received = received.unwrap_or_default();
        let Received { intent, wires, devices, uplink, keys, desk, captures: announced, rest } = received;
        let (uplink, uplink_queues) = match uplink::open(&options, uplink)? {
            Some((uplink, queues)) => (Some(Arc::new(uplink)), queues),
            None => (None, Vec::new()),
        };
        let closed = uplink.as_ref().map(|uplink| uplink.closed()).transpose().map_err(UplinkError::from)?;
        let flows = flows::open(&options, &mut config);
        let plane = Arc::new(if config.seed == seed { early } else { dataplane::Shared::new(config) });
        flows.restore(&plane);
        let (links, wires) = match &options.underlay {
            Some(underlay) => {
                let (opened, wires) = links::open(underlay, options.queues, is_successor.then_some(wires))?;
                (Some((opened, underlay)), wires.into_iter().map(Some).collect())
            }
            None => (None, (0..options.queues).map(|_| None).collect()),
        };
        let engine = Arc::new(Engine::start(&plane, wires).map_err(StartError::Thread)?);
        let start = |(opened, underlay): (links::Opened, &Underlay)| {
            opened.start(options.host, underlay, plane.clone(), engine.clone(), options.allow_esp_keys, keys.as_ref())
        };
        let links = links.map(start).transpose()?;
        let flow_logs = FlowLogs::start(plane.clone(), options.host, &options.data).map_err(StartError::Thread)?;
        let services = Services::start(&plane, engine.clone(), options.dns_upstream).map_err(StartError::Thread)?;
        let force = Arc::new(Force::new(plane, closed));
        if let Some(uplink) = &uplink {
            uplink.warn_unless_forwarded();
            engine.plug(PortId::UPLINK, uplink_queues);
        }
        let desk = Arc::new(desk::bind(&options, desk)?);
        let (instances, captures) = (instances::Board::default(), capture::Slots::default());
        let link = Link::default();
        let shared = Shared {
            options,
            engine,
            force,
            uplink,
            link,
            links,
            identity,
            instances,
            captures,
            flow_logs,
            flows,
            services,
        };
        let shared = Arc::new(shared);
        let waiting = capture::expect(&shared, announced);
        if takes_over {
            instances::take_over(&shared, intent, devices);
        }
        shared.engine.listen();
        let server = upstream::open(upstream, &shared.link).map_err(StartError::Connection)?;
        shared.uplink.iter().try_for_each(|uplink| uplink.watch(shared.force.clone()))?;
        if let Some(rest) = rest {
            // It ends when the predecessor does.
            thread("captures", &shared, move |shared| capture::go_on(shared, waiting, &rest))?;
        }
        let asked = desk.clone();
        let threads = [
            thread("instances", &shared, instances::run)?,
            thread("link", &shared, move |shared| upstream::run(shared, server))?,
            thread("desk", &shared, move |shared| desk::run(shared, &asked))?,
        ];
        Ok(Agent { shared, desk, threads: threads.into() })
    }

    /// What reads this host's counters.
    pub fn observer(&self) -> Observer {
        Observer(self.shared.clone())
    }

    /// Ends every instance, unless they are to outlive it (their files stay in any case), then every thread.
    pub fn stop(mut self) {
        self.quiesce(self.shared.options.lifetime == Lifetime::OutliveAgent);
        self.desk.close(&self.shared.options);
        if let Some(links) = &self.shared.links {
            links.stop();
        }
        self.shared.services.stop();
        self.shared.uplink.iter().for_each(|uplink| uplink.stop());
        self.shared.engine.stop();
        self.shared.flows.close(self.shared.options.lifetime == Lifetime::OutliveAgent);
        self.shared.flow_logs.stop();
    }

    /// Ends all that is not about packets. `leaves`: instances go on.
    fn quiesce(&mut self, leaves: bool) {
        self.shared.instances.stop(leaves);
        self.shared.link.close();
        if let Err(error) = self.desk.stop() {
            tracing::error!(%error, "the desk does not hear that the agent stops");
        }
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the agent ended in a panic");
            }
        }
    }
}

fn thread(
    name: &str,
    shared: &Arc<Shared>,
    work: impl FnOnce(&Arc<Shared>) + Send + 'static,
) -> Result<JoinHandle<()>, StartError> {
    let shared = shared.clone();
    std::thread::Builder::new().name(name.into()).spawn(move || work(&shared)).map_err(StartError::Thread)
}

/// An error with all its causes on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
