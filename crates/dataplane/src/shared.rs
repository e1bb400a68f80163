//! What do all workers of a host have in common? The tables and ports in force, the tracked flows, the counters.
//!
//! Tables and ports are swapped as one immutable [`View`] (arc-swap): a packet is judged by one generation from end to end, and no
//! reader waits. Tracked flows lie in shards by the hash of interface and flow, each behind a mutex that is held for one look-up or one
//! commit and never while the law is asked. They may outlive the process, in memory that the shell lends ([`Shared::remember`]).

use std::hash::BuildHasher;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use arc_swap::ArcSwap;
use foldhash::fast::FixedState;
use model::{Direction, Duration, HostId, NetworkInterfaceId, Time};
use policy::{
    Conntrack, Denied, Flow, FlowKey, L4, Life, Limits, Lives, NatLimits, NatTable, OwnTimeouts, Restored, Tables,
    Timeouts, Track, Tracked,
};

use crate::counters::{Counters, Meter};
use crate::flow_log::{Accounts, Logged, Taken};
use crate::fragment::Fragments;
use crate::memory::{Memory, Part, of_nat};
use crate::port::{Port, PortId, Ports};
use crate::ruling::{End, Ruling};
use crate::service::Services;
use crate::tunnels::Tunnels;
use crate::watch::{Fate, Seen, Watch, WatchId, Watches};
use crate::worker::Worker;

/// What is decided once, at the start.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// This host's name in the intent: what is elsewhere needs a secure channel.
    pub host: HostId,
    /// Random and secret: guests choose addresses and ports, and must not be able to choose where they are kept.
    pub seed: u64,
    /// Workers that count in lanes of their own; more than that share one.
    pub workers: usize,
    /// Parts of the table of tracked flows, each with its own lock.
    pub shards: usize,
    /// Tracked flows of the whole host and of one interface.
    pub limits: Limits,
    pub timeouts: Timeouts,
    /// The largest IP packet that is sealed for another host, in bytes, the same on every path of a region; `None`: there is no other
    /// host, and nothing is sealed.
    pub tunnel_mtu: Option<u16>,
    /// Flows whose verdicts a worker remembers; 0: none.
    pub cache_lines: usize,
    /// Flows that a worker counts for flow logs between two calls of [`Shared::take_flows`]; one interface has half of them.
    pub logged_flows: usize,
    /// What the NAT gateways of this host may have; reserved once there is one.
    pub nat: NatLimits,
}

impl Config {
    /// For a host of the size that architecture ch. 9 asks for: 1,000 interfaces and a million flows.
    pub fn new(host: HostId, seed: u64) -> Config {
        Config {
            host,
            seed,
            workers: 2,
            shards: 64,
            limits: Limits { flows: 1 << 20, flows_per_interface: 1 << 17 },
            timeouts: Timeouts::default(),
            tunnel_mtu: None,
            cache_lines: 1 << 20,
            logged_flows: 1 << 16,
            nat: NatLimits::default(),
        }
    }
}

/// The data plane of one host; the shell holds it in an [`Arc`] and gives every thread a [`Worker`].
#[derive(Debug)]
pub struct Shared {
    pub(crate) config: Config,
    view: Arc<ArcSwap<View>>,
    applying: Mutex<()>,
    shards: Box<[Shard]>,
    /// When the tracked flows of all shards end.
    pub(crate) lives: Arc<Lives>,
    hasher: FixedState,
    pub(crate) fragments: Mutex<Fragments<Ruling>>,
    /// The same for packets from other hosts, by the port that they are for.
    pub(crate) arrivals: Mutex<Fragments<Ruling>>,
    /// What is counted for flow logs, by worker; nothing until some interface is logged.
    accounts: OnceLock<Box<[AccountsOf]>>,
    /// What NAT gateways translate; nothing until this host carries one.
    nat: OnceLock<Mutex<NatTable>>,
    /// Where that is kept, once there is something.
    nat_memory: OnceLock<Arc<dyn Memory>>,
    pub(crate) strays: Strays,
    /// Frames of ports that nothing is known of.
    pub(crate) stray: Arc<Meter>,
    /// What came from outside of the cloud, what went there, and what was refused of the former.
    pub(crate) uplink: Arc<Meter>,
    workers: AtomicUsize,
    watches: AtomicU64,
    /// Who answers at the VPC's own addresses; nobody, until somebody is lent.
    pub(crate) services: OnceLock<Arc<dyn Services>>,
    pub(crate) sweep_due: Due,
    pub(crate) advertisement_due: Due,
}

/// Aligned, so that two cores on two shards never share a cache line.
#[derive(Debug)]
#[repr(align(128))]
struct Shard(Mutex<Conntrack>);

/// One worker's.
#[derive(Debug)]
#[repr(align(128))]
struct AccountsOf(Mutex<Accounts>);

/// What is in force, as one value.
#[derive(Clone, Debug)]
pub(crate) struct View {
    pub(crate) generation: u64,
    pub(crate) tables: Arc<Tables>,
    ports: Ports,
    plugs: Vec<Option<Plug>>,
    pub(crate) tunnels: Arc<Tunnels>,
    pub(crate) watches: Watches,
    /// Some interface is covered by a flow log.
    pub(crate) is_logging: bool,
}

/// A port with what it keeps over changes.
#[derive(Clone, Debug)]
pub(crate) struct Plug {
    pub(crate) port: Arc<Port>,
    pub(crate) meter: Arc<Meter>,
}

impl Shared {
    /// A data plane that knows no port yet: every frame is dropped until the first [`Shared::apply`].
    pub fn new(config: Config) -> Shared {
        let (shards, limits) = shards_and_limits(&config);
        let lives = Lives::new(shards.saturating_mul(limits.flows));
        let shard = |n: u32| {
            let (first, seed) = (n as usize * limits.flows as usize, config.seed ^ u64::from(n));
            Shard(Mutex::new(Conntrack::among(lives.clone(), first, limits, config.timeouts, seed)))
        };
        let view = View {
            generation: 0,
            tables: Arc::default(),
            ports: Ports::default(),
            plugs: Vec::new(),
            tunnels: Arc::default(),
            watches: Watches::default(),
            is_logging: false,
        };
        Shared {
            config,
            view: Arc::new(ArcSwap::from_pointee(view)),
            applying: Mutex::new(()),
            shards: (0..shards).map(shard).collect(),
            lives,
            hasher: FixedState::with_seed(config.seed),
            fragments: Mutex::new(Fragments::new(config.seed)),
            arrivals: Mutex::new(Fragments::new(config.seed)),
            accounts: OnceLock::new(),
            nat: OnceLock::new(),
            nat_memory: OnceLock::new(),
            strays: Strays::default(),
            stray: Arc::new(Meter::new(config.workers)),
            uplink: Arc::new(Meter::new(config.workers)),
            workers: AtomicUsize::new(0),
            watches: AtomicU64::new(0),
            services: OnceLock::new(),
            sweep_due: Due::default(),
            advertisement_due: Due::default(),
        }
    }

    /// Begins with the tracked flows that lie in this memory, and keeps them there from here on. Call it before the first frame: what was
    /// tracked before is forgotten. The shards are the same again if [`Config::seed`] is. Memory that is smaller than
    /// [`Config::memory_words`] is left alone.
    ///
    /// Whatever lies there is checked; a record that is not whole is dropped. An interface whose guest is not the one of then must be
    /// [flushed](Shared::flush), and those that are not here any more too ([`Shared::keep_only`]).
    pub fn remember(&self, memory: &Arc<dyn Memory>, now: Time) -> Restored {
        let _one_at_a_time = lock(&self.applying);
        let (_, limits) = shards_and_limits(&self.config);
        let parts = (0..self.shards.len()).map(|shard| Part::new(memory, shard, limits));
        let Some(parts) = parts.collect::<Option<Vec<_>>>() else { return Restored::default() };
        let (mut all, mut strays) = (Restored::default(), Vec::new());
        for (n, (shard, part)) in self.shards.iter().zip(parts).enumerate() {
            let is_mine = |interface, flow: &FlowKey| self.shard_of(self.hasher.hash_one((interface, *flow))) == n;
            let (restored, elsewhere) = lock(&shard.0).restore(Box::new(part), now, is_mine);
            all.flows += restored.flows;
            all.ended += restored.ended;
            all.refused += restored.refused;
            strays.extend(elsewhere);
        }
        for stray in strays {
            let (interface, flow) = stray.key();
            let shard = self.shard_of(self.hasher.hash_one((interface, flow)));
            let is_kept = lock(&self.shards[shard].0).adopt(stray, now);
            all.flows += usize::from(is_kept);
            all.refused += usize::from(!is_kept);
        }
        all
    }

    /// The same for what NAT gateways translate, in memory of [`Config::translations_words`]. Mappings of gateways that are not here any
    /// more are forgotten with [`Shared::keep_only`], not by the first tables.
    pub fn remember_translations(&self, memory: &Arc<dyn Memory>, now: Time) -> Restored {
        let _one_at_a_time = lock(&self.applying);
        let part = Part::new(memory, 0, of_nat(&self.config.nat));
        let Some(part) = part.filter(|_| self.nat_memory.set(memory.clone()).is_ok()) else {
            return Restored::default();
        };
        if policy::Mirror::used(&part) == 0 {
            // A host that carries no gateway needs no table.
            return Restored::default();
        }
        let (table, restored) = NatTable::restore(self.config.nat, self.config.seed, Box::new(part), now);
        if self.nat.set(Mutex::new(table)).is_err() {
            return Restored::default();
        }
        restored
    }

    /// Forgets the tracked flows of all interfaces but these, and what gateways translate that are not among these or not here.
    pub fn keep_only(&self, keeps: impl Fn(NetworkInterfaceId) -> bool) {
        for shard in &self.shards {
            let mut table = lock(&shard.0);
            let gone: Vec<NetworkInterfaceId> = table.interfaces().filter(|interface| !keeps(*interface)).collect();
            gone.into_iter().for_each(|interface| table.flush(interface));
        }
        let here = self.gateways_of(&self.view.load().tables);
        if let Some(mut table) = self.nat_table() {
            table.keep_only(|gateway| keeps(gateway) && here.contains(&gateway));
        }
    }

    /// Puts tables and ports in force, for every packet that is looked at from here on. Returns the generation.
    ///
    /// Call it with every new intent and whenever something was plugged in or out. Interfaces that are gone or down since the last time
    /// lose their tracked flows; all others keep theirs, as a changed rule never ends a tracked flow (spec 6.4.5).
    pub fn apply(&self, tables: Arc<Tables>, ports: Ports) -> u64 {
        let _one_at_a_time = lock(&self.applying);
        let old = self.view.load_full();
        let view = View::after(&old, tables, ports, self.config.workers);
        if view.ports.iter().any(|port| old.ports.port(port.id).is_none_or(|before| before.differs_on_link(port))) {
            self.advertisement_due.now();
        }
        if view.is_logging {
            self.accounts.get_or_init(|| {
                (0..self.config.workers.max(1)).map(|_| AccountsOf(Mutex::new(self.no_flows()))).collect()
            });
        }
        self.keep_gateways(&old.tables, &view.tables);
        let generation = view.generation;
        let own_timeouts = view.tables.own_timeouts();
        if old.tables.own_timeouts() != own_timeouts {
            self.set_own_timeouts(&Arc::new(own_timeouts));
        }
        let ended: Vec<NetworkInterfaceId> =
            old.ports.iter().filter(|port| view.has_lost(port)).map(|port| port.interface).collect();
        let emptied: Vec<&Plug> = old.plugs().filter(|plug| view.is_anothers(&plug.port)).collect();
        self.view.store(Arc::new(view));
        for interface in ended {
            self.flush(interface);
        }
        for plug in emptied {
            lock(&self.fragments).forget(plug.port.id);
            lock(&self.arrivals).forget(plug.port.id);
            // Sent while it ended: its own counters end with it.
            self.stray.inherit(&plug.meter, &Denied::SourceDown { interface: plug.port.interface });
        }
        generation
    }

    /// Puts other security associations in force. Returns the generation.
    pub fn connect(&self, tunnels: Tunnels) -> u64 {
        let _one_at_a_time = lock(&self.applying);
        let old = self.view.load_full();
        let generation = old.generation + 1;
        self.view.store(Arc::new(View { generation, tunnels: Arc::new(tunnels), ..View::clone(&old) }));
        generation
    }

    /// Lends who answers at the VPC's own addresses; until then what is sent there is dropped (D04). `false`: somebody was lent before.
    pub fn serve(&self, services: Arc<dyn Services>) -> bool {
        self.services.set(services).is_ok()
    }

    /// Shows every frame of an interface to `watch`, until [`Shared::unwatch`]. Verdicts do not change, nor does the generation. `None`:
    /// there are [`crate::WATCHES_MAX`].
    pub fn watch(&self, interface: NetworkInterfaceId, watch: Arc<dyn Watch>) -> Option<WatchId> {
        let id = WatchId(self.watches.fetch_add(1, Ordering::Relaxed));
        let _one_at_a_time = lock(&self.applying);
        let old = self.view.load_full();
        let watches = old.watches.with(id, interface, watch)?;
        self.view.store(Arc::new(View { watches, ..View::clone(&old) }));
        Some(id)
    }

    /// A worker that is judging a frame may show that one still.
    pub fn unwatch(&self, id: WatchId) {
        let _one_at_a_time = lock(&self.applying);
        let old = self.view.load_full();
        self.view.store(Arc::new(View { watches: old.watches.without(id), ..View::clone(&old) }));
    }

    /// The generation in force; 0 before the first [`Shared::apply`].
    pub fn generation(&self) -> u64 {
        self.view.load().generation
    }

    /// A worker for one thread, with a lane of counters of its own.
    pub fn worker(self: &Arc<Self>) -> Worker {
        let lane = self.workers.fetch_add(1, Ordering::Relaxed);
        Worker::new(Arc::clone(self), Arc::clone(&self.view), lane)
    }

    /// What was counted at a port since its interface was plugged in; `None`: there is no such port.
    pub fn counters(&self, port: PortId) -> Option<Counters> {
        self.view.load().plug(port).map(|plug| plug.meter.read())
    }

    /// What was counted at ports that nothing is known of.
    pub fn stray_counters(&self) -> Counters {
        self.stray.read()
    }

    /// What was counted at the uplink: received is what came from outside, delivered what went there.
    pub fn uplink_counters(&self) -> Counters {
        self.uplink.read()
    }

    /// Where a frame of a port without an interface is counted.
    pub(crate) fn nobodys(&self, port: PortId) -> &Arc<Meter> {
        if port == PortId::UPLINK { &self.uplink } else { &self.stray }
    }

    /// Datagrams of other hosts that no association opens.
    pub fn stray_datagrams(&self) -> StrayDatagrams {
        self.strays.read()
    }

    /// Forgets the tracked flows of an interface (spec 6.4.5: an explicit flush may exist).
    pub fn flush(&self, interface: NetworkInterfaceId) {
        for shard in &self.shards {
            lock(&shard.0).flush(interface);
        }
    }

    /// Ends an interval of flow logs: what was counted since the last call. Every packet is in exactly one interval.
    pub fn take_flows(&self) -> Taken {
        let lanes = self.accounts.get().map(|lanes| &**lanes).unwrap_or_default();
        let take = |AccountsOf(accounts): &AccountsOf| {
            // Made before the lock is taken, so that no packet waits for it.
            let empty = self.no_flows();
            std::mem::replace(&mut *lock(accounts), empty)
        };
        Taken(lanes.iter().map(take).collect())
    }

    /// Forgets what gateways translated that are not here any more, and makes room for the first ones. The first tables may be those of an
    /// agent that knows nothing yet.
    fn keep_gateways(&self, old: &Tables, tables: &Tables) {
        let here = self.gateways_of(tables);
        if !here.is_empty() {
            self.nat.get_or_init(|| Mutex::new(self.no_translations()));
        }
        if old.generation() > 0
            && let Some(mut table) = self.nat_table()
        {
            table.keep_only(|gateway| here.contains(&gateway));
        }
    }

    fn gateways_of(&self, tables: &Tables) -> Vec<NetworkInterfaceId> {
        tables.nat_gateways_on(self.config.host).collect()
    }

    fn no_translations(&self) -> NatTable {
        let Config { nat, seed, .. } = self.config;
        let part = self.nat_memory.get().and_then(|memory| Part::new(memory, 0, of_nat(&nat)));
        match part {
            Some(part) => NatTable::restore(nat, seed, Box::new(part), Time::EPOCH).0,
            None => NatTable::new(nat, seed),
        }
    }

    /// What this host's NAT gateways translate; `None`: it has had none.
    pub(crate) fn nat_table(&self) -> Option<MutexGuard<'_, NatTable>> {
        self.nat.get().map(lock)
    }

    /// Conversations that the NAT gateways of this host stand for, ended ones that were not yet given back among them.
    pub fn translations(&self) -> usize {
        self.nat_table().map_or(0, |table| table.len())
    }

    /// What a worker counts in; `None`: nothing is logged yet.
    pub(crate) fn accounts(&self, lane: usize) -> Option<MutexGuard<'_, Accounts>> {
        let lanes = self.accounts.get()?;
        Some(lock(&lanes[lane % lanes.len()].0))
    }

    fn no_flows(&self) -> Accounts {
        Accounts::new(self.config.logged_flows, self.config.seed)
    }

    /// Tracked flows, ended ones that were not yet given back among them.
    pub fn flows(&self) -> usize {
        self.shards.iter().map(|shard| lock(&shard.0).len()).sum()
    }

    /// Tracked flows of one interface, ended ones that were not yet given back among them.
    pub fn flows_of(&self, interface: NetworkInterfaceId) -> usize {
        self.shards.iter().map(|shard| lock(&shard.0).len_of(interface)).sum()
    }

    pub fn config(&self) -> &Config {
        &self.config
    }

    /// One interface's end of a packet.
    pub(crate) fn side(&self, interface: NetworkInterfaceId, direction: Direction, flow: &Flow) -> Side {
        let hash = self.hasher.hash_one((interface, key_at(direction, flow)));
        Side { interface, direction, hash }
    }

    pub(crate) fn lookup(&self, side: &Side, flow: &Flow, now: Time) -> Option<Tracked> {
        self.shard(side).lookup(side.interface, side.direction, flow, now)
    }

    /// Tells connection tracking of a packet, of which it said `seen`.
    pub(crate) fn commit(
        &self,
        side: &Side,
        flow: &Flow,
        (seen, track): (Option<Tracked>, Track),
        now: Time,
    ) -> Result<End, Denied> {
        let mut table = self.shard(side);
        table.commit(side.interface, side.direction, flow, track, now)?;
        let ticket = table.ticket(side.interface, side.direction, flow, (seen, track));
        Ok(End { seen, track, ticket })
    }

    /// Asks and tells connection tracking about one more packet of a remembered flow. `false`: it knows something else than then, or has no
    /// room; the law must be asked. `life`: what was read of it a moment ago.
    pub(crate) fn tell(
        &self,
        (interface, direction): (NetworkInterfaceId, Direction),
        end: &mut End,
        flow: &Flow,
        life: Option<Life>,
        now: Time,
    ) -> bool {
        if end.ticket.is_some_and(|ticket| self.lives.go_on(&ticket, life, now)) {
            return true;
        }
        let End { seen, track, .. } = *end;
        let mut table = self.shard(&self.side(interface, direction, flow));
        let is_told = table.lookup(interface, direction, flow, now) == seen
            && table.commit(interface, direction, flow, track, now).is_ok();
        if is_told {
            end.ticket = table.ticket(interface, direction, flow, (seen, track));
        }
        is_told
    }

    /// Gives back slots of ended flows: one part in so many of each shard, so that calls go round.
    pub(crate) fn expire(&self, now: Time, parts: usize) {
        for shard in &self.shards {
            let mut table = lock(&shard.0);
            let budget = (table.limits().flows as usize).div_ceil(parts);
            table.expire(now, budget);
        }
        if let Some(mut table) = self.nat_table() {
            let budget = (table.limits().mappings as usize).div_ceil(parts);
            table.expire(now, budget);
        }
    }

    fn set_own_timeouts(&self, own: &Arc<OwnTimeouts>) {
        for shard in &self.shards {
            lock(&shard.0).set_own_timeouts(Arc::clone(own));
        }
    }

    fn shard(&self, side: &Side) -> MutexGuard<'_, Conntrack> {
        lock(&self.shards[self.shard_of(side.hash)].0)
    }

    fn shard_of(&self, hash: u64) -> usize {
        (hash >> 32) as usize % self.shards.len()
    }
}

/// The number of shards, and what each of them holds.
pub(crate) fn shards_and_limits(config: &Config) -> (u32, Limits) {
    let shards = u32::try_from(config.shards.max(1)).unwrap_or(u32::MAX);
    let Limits { flows, flows_per_interface } = config.limits;
    (shards, Limits { flows: flows.div_ceil(shards), flows_per_interface: flows_per_interface.div_ceil(shards) })
}

impl View {
    fn after(old: &View, tables: Arc<Tables>, ports: Ports, workers: usize) -> View {
        let mut plugs = Vec::with_capacity(old.plugs.len());
        for port in ports.iter() {
            let before = old.plug(port.id).filter(|before| before.port.interface == port.interface);
            let meter = before.map_or_else(|| Arc::new(Meter::new(workers)), |before| Arc::clone(&before.meter));
            let at = port.id.index();
            plugs.resize(plugs.len().max(at + 1), None);
            plugs[at] = Some(Plug { port: Arc::clone(port), meter });
        }
        let (tunnels, watches) = (Arc::clone(&old.tunnels), old.watches.clone());
        let is_logging = ports.is_any_logged();
        View { generation: old.generation + 1, tables, ports, plugs, tunnels, watches, is_logging }
    }

    pub(crate) fn plug(&self, id: PortId) -> Option<&Plug> {
        self.plugs.get(id.index())?.as_ref()
    }

    pub(crate) fn plug_of(&self, interface: NetworkInterfaceId) -> Option<&Plug> {
        self.plug(self.ports.of_interface(interface)?.id)
    }

    /// What flow logs want to know of a NAT gateway's interface.
    pub(crate) fn logged_gateway(&self, interface: NetworkInterfaceId) -> Logged {
        self.ports.logged_gateway(interface)
    }

    pub(crate) fn plugs(&self) -> impl Iterator<Item = &Plug> {
        self.plugs.iter().flatten()
    }

    /// Somebody looks at a frame of a port's.
    pub(crate) fn show(&self, plug: &Plug, direction: Direction, fate: Fate, frame: &[u8]) {
        self.watches.show(plug.port.interface, &Seen { direction, fate, frame });
    }

    /// Where this was plugged in there is nothing now, or another interface.
    fn is_anothers(&self, port: &Port) -> bool {
        self.plug(port.id).is_none_or(|plug| plug.port.interface != port.interface)
    }

    /// What was plugged in and up, and is no more.
    fn has_lost(&self, port: &Port) -> bool {
        let is_up = self.ports.of_interface(port.interface).is_some_and(|port| port.is_up);
        port.is_up && !is_up
    }
}

/// Datagrams of the underlay that were dropped where nobody knows whose they are (D17, if nothing else is said).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StrayDatagrams {
    /// Too short, a keep-alive, or another protocol.
    pub not_esp: u64,
    /// Of an association that this host does not have, or no longer.
    pub unknown_spi: u64,
    /// Sealed, and not taken by the socket (D37).
    pub unsent: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Strays {
    not_esp: AtomicU64,
    unknown_spi: AtomicU64,
    unsent: AtomicU64,
}

impl Strays {
    pub(crate) fn count_not_esp(&self) {
        self.not_esp.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_unknown_spi(&self) {
        self.unknown_spi.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_unsent(&self, datagrams: usize) {
        self.unsent.fetch_add(datagrams as u64, Ordering::Relaxed);
    }

    fn read(&self) -> StrayDatagrams {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        StrayDatagrams { not_esp: of(&self.not_esp), unknown_spi: of(&self.unknown_spi), unsent: of(&self.unsent) }
    }
}

/// One interface's end of a packet: where its tracked flow would be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Side {
    pub(crate) interface: NetworkInterfaceId,
    pub(crate) direction: Direction,
    /// Of interface and flow, the same for both directions.
    pub(crate) hash: u64,
}

/// The conversation as the interface's guest sends it; of an ICMP error, the one that it is about.
fn key_at(direction: Direction, flow: &Flow) -> FlowKey {
    match (flow.l4, direction) {
        (L4::IcmpError { embedded, .. }, Direction::Ingress) => embedded,
        (L4::IcmpError { embedded, .. }, Direction::Egress) => embedded.reversed(),
        (_, Direction::Egress) => flow.key(),
        (_, Direction::Ingress) => flow.key().reversed(),
    }
}

/// When something is to be done next, by whichever worker comes first.
#[derive(Debug, Default)]
pub(crate) struct Due(AtomicI64);

impl Due {
    /// `true` for one caller only, once the time has come. A clock set back by more than the interval makes it due.
    pub(crate) fn claim(&self, now: Time, interval: Duration) -> bool {
        let next = now + interval;
        let claimed = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |due| {
            (due <= now.as_unix_millis() || due > next.as_unix_millis()).then_some(next.as_unix_millis())
        });
        claimed.is_ok()
    }

    pub(crate) fn at(&self) -> Time {
        Time::from_unix_millis(self.0.load(Ordering::Relaxed))
    }

    fn now(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

/// A thread that panicked while it held a lock left a table that is still whole: each change of one is a single step.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
