//! One host's data plane, in memory: its own tables, ports and keys.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use dataplane::{Binding, Config, Counters, Entitled, HEADROOM, PortId, Ports, Shared, Tunnels, Worker};
use model::intent::{Endpoint, VpcSlice};
use model::{HostId, NetworkInterfaceId, Time};
use policy::{Denied, Internet, Limits, Tables};
use tunnel::Agreement;

use crate::compare::Options;
use crate::dice::Dice;
use crate::noun::START;

/// The largest IP packet on the way between two hosts.
const UNDERLAY_MTU: u16 = 1500;

/// A host and what is plugged into it.
pub struct Plane {
    pub host: HostId,
    pub worker: Worker,
    pub agreement: Agreement,
    /// What this host believes of links, for the agreement and for whoever wants to look.
    pub entitled: Entitled,
    shared: Arc<Shared>,
    ports: BTreeMap<NetworkInterfaceId, PortId>,
    next_port: u32,
    generation: u64,
    /// Cache hits of ports that are gone.
    hits: u64,
}

/// Frames that a receive brought out: to which interface, with virtio-net header.
pub type Delivered = Vec<(Option<NetworkInterfaceId>, Vec<u8>)>;

impl Plane {
    pub fn new(host: HostId, options: &Options) -> Plane {
        let config = Config {
            workers: 1,
            shards: 2,
            limits: Limits { flows: 1 << 13, flows_per_interface: 1 << 13 },
            timeouts: options.timeouts,
            cache_lines: options.cache_lines,
            tunnel_mtu: Some(tunnel::inner_mtu(UNDERLAY_MTU, false)),
            ..Config::new(host, options.secret)
        };
        let shared = Arc::new(Shared::new(config));
        let mut seed = [0; 32];
        let mut dice = Dice::new(crate::compare::digest(options.secret, host.to_string().as_bytes()));
        seed.fill_with(|| dice.u64() as u8);
        let agreement = Agreement::new(&tunnel::Config { host, underlay_mtu: UNDERLAY_MTU, seed }, START);
        Plane {
            host,
            worker: shared.worker(),
            agreement,
            entitled: Entitled::new(host, []),
            shared,
            ports: BTreeMap::new(),
            next_port: 0,
            generation: 0,
            hits: 0,
        }
    }

    /// Where a guest of this host sends.
    pub fn port(&self, interface: NetworkInterfaceId) -> Option<PortId> {
        self.ports.get(&interface).copied()
    }

    pub fn interface(&self, port: PortId) -> Option<NetworkInterfaceId> {
        self.ports.iter().find(|(_, other)| **other == port).map(|(interface, _)| *interface)
    }

    /// How many frames were decided from memory.
    pub fn hits(&self) -> u64 {
        self.hits + self.counters().map(|counters| counters.cache_hits).sum::<u64>()
    }

    /// How many packets of each reason were refused here, whoever's they were.
    pub fn denied(&self) -> Vec<u64> {
        let mut sum = vec![0; Denied::ALL.len()];
        for counters in self.counters().chain([self.shared.stray_counters()]) {
            sum.iter_mut().zip(counters.denied).for_each(|(sum, one)| *sum += one.packets);
        }
        sum
    }

    /// Compiles these slices and swaps. Of those whose interfaces are `here`, what is up is plugged in; of what is down, every second
    /// interface stays.
    pub fn configure(&mut self, slices: &[VpcSlice], internet: Internet, here: impl Fn(&Endpoint) -> bool, now: Time) {
        self.generation += 1;
        self.entitled = Entitled::new(self.host, slices).with_internet(&internet);
        let tables = Arc::new(Tables::compile(slices, self.generation).with_internet(Arc::new(internet)));
        let wanted = |(at, endpoint): (usize, &Endpoint)| {
            (here(endpoint) && (endpoint.is_up || at % 2 == 0)).then_some(endpoint.interface.id)
        };
        let wanted: Vec<NetworkInterfaceId> =
            slices.iter().flat_map(|slice| slice.endpoints.iter().enumerate().filter_map(wanted)).collect();
        let gone: Vec<NetworkInterfaceId> = self.ports.keys().copied().filter(|id| !wanted.contains(id)).collect();
        for id in gone {
            let counters = self.ports.remove(&id).and_then(|port| self.shared.counters(port));
            self.hits += counters.map_or(0, |counters| counters.cache_hits);
        }
        for id in wanted {
            // A number beyond the table's makes no port, and its packets a mismatch.
            let fresh = PortId::new(self.next_port);
            if let (false, Some(port)) = (self.ports.contains_key(&id), fresh) {
                self.ports.insert(id, port);
                self.next_port += 1;
            }
        }
        let binding = |(interface, port): (&NetworkInterfaceId, &PortId)| Binding {
            port: *port,
            interface: *interface,
            mtu: 8900,
            takes_uso: true,
        };
        let bindings: Vec<Binding> = self.ports.iter().map(binding).collect();
        self.shared.apply(tables, Ports::new(slices, &bindings));
        self.agreement.entitle(self.entitled.clone(), now);
    }

    /// Puts the keys that there are in force.
    pub fn connect(&self, address: impl Fn(HostId) -> Option<SocketAddr>) {
        self.shared.connect(Tunnels::new(self.agreement.sas(), address));
    }

    /// Opens and delivers the datagrams of one send.
    pub fn receive(&mut self, from: SocketAddr, datagrams: &[u8], segment: u16, now: Time) -> Delivered {
        let mut buffer = [&[0; HEADROOM][..], datagrams].concat();
        let mut delivered = Vec::new();
        let mut write = |port: PortId, frame: &[u8]| {
            delivered.push((port, frame.to_vec()));
            true
        };
        self.worker.datagrams(from, &mut buffer, segment, now, &mut write);
        self.worker.flush_deliveries(now, &mut write);
        delivered.into_iter().map(|(port, frame)| (self.interface(port), frame)).collect()
    }

    fn counters(&self) -> impl Iterator<Item = Counters> {
        self.ports.values().filter_map(|port| self.shared.counters(*port))
    }
}
