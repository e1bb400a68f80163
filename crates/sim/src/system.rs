//! One host's data plane, in memory, stepped; and the shapes in which a device may hand over a packet.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use dataplane::{Action, Binding, Config, PortId, Ports, Shared, Worker, router_mac};
use model::intent::Endpoint;
use model::{HostId, MacAddr, NetworkInterface, NetworkInterfaceId, Time};
use policy::{Limits, Tables};
use wire::ethernet::Link;
use wire::{build, vnet};

use crate::compare::Options;
use crate::dice::Dice;
use crate::packet::{ACK, Body, NextHop, Packet, Sent};
use crate::reference::Outcome;
use crate::scene::Scene;

/// In which shape a device hands over a packet; the law knows no difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dress {
    Plain,
    /// The checksum is left to the receiver.
    Unfinished,
    /// One frame that is cut later.
    SuperFrame,
    /// Several frames, in order.
    Fragments,
}

impl Dress {
    /// A shape that this packet may have.
    pub fn any(dice: &mut Dice, packet: &Packet) -> Dress {
        let dress = dice.weighted(&[
            (70, Dress::Plain),
            (14, Dress::Unfinished),
            (8, Dress::SuperFrame),
            (8, Dress::Fragments),
        ]);
        match packet.body {
            Body::Tcp { flags, .. } if flags == ACK || dress != Dress::SuperFrame => dress,
            Body::Udp { .. } if dress != Dress::SuperFrame => dress,
            _ => Dress::Plain,
        }
    }
}

/// A data plane and what is plugged into it.
pub struct System {
    shared: Arc<Shared>,
    worker: Worker,
    options: Options,
    ports: BTreeMap<NetworkInterfaceId, PortId>,
    next_port: u32,
    generation: u64,
    datagrams: u32,
    buffer: Vec<u8>,
    /// Cache hits of ports that are gone.
    hits: u64,
}

/// The longest frame of a run, and room for an answer.
const BUFFER_LEN: usize = 16 * 1024;

impl System {
    pub fn new(host: HostId, options: Options) -> System {
        let config = Config {
            workers: 1,
            shards: 2,
            limits: Limits { flows: 1 << 13, flows_per_interface: 1 << 13 },
            timeouts: options.timeouts,
            cache_lines: options.cache_lines,
            ..Config::new(host, options.secret)
        };
        let shared = Arc::new(Shared::new(config));
        System {
            worker: shared.worker(),
            shared,
            options,
            ports: BTreeMap::new(),
            next_port: 0,
            generation: 0,
            datagrams: 0,
            buffer: vec![0; BUFFER_LEN],
            hits: 0,
        }
    }

    /// Whether a guest can send from there.
    pub fn has_port(&self, interface: NetworkInterfaceId) -> bool {
        self.ports.contains_key(&interface)
    }

    /// How many frames were decided from memory.
    pub fn hits(&self) -> u64 {
        let counters = self.ports.values().filter_map(|port| self.shared.counters(*port));
        self.hits + counters.map(|counters| counters.cache_hits).sum::<u64>()
    }

    pub fn drop_cache(&mut self) {
        self.worker.drop_cache();
    }

    /// Plans, compiles and swaps. What is up is plugged in; of what is down, every second interface stays.
    pub fn configure(&mut self, scene: &Scene) {
        let mut slices = scene.slices();
        slices.iter_mut().for_each(self.options.doctor);
        self.generation += 1;
        let tables = Arc::new(Tables::compile(&slices, self.generation));
        let wanted =
            |(at, endpoint): (usize, &Endpoint)| (endpoint.is_up || at % 2 == 0).then_some(endpoint.interface.id);
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
        self.shared.apply(tables, Ports::new(&slices, &bindings));
    }

    /// Hands over a packet, and says what became of it, and in the data plane's own words. All its frames must share one fate.
    pub fn send(&mut self, scene: &Scene, sent: &Sent, dress: Dress, now: Time) -> (Outcome, String) {
        let x = scene.find::<NetworkInterface>(&sent.from).map(|(_, x)| x.clone());
        let (Some(port), Some(x)) = (self.ports.get(&sent.from).copied(), x) else {
            return odd("no port", String::new());
        };
        let dst = match sent.to {
            NextHop::Mac(mac) => mac,
            NextHop::Router => MacAddr(router_mac(x.vpc).0),
        };
        let link = Link { src: wire::MacAddr(sent.src_mac.0), dst: wire::MacAddr(dst.0) };
        self.worker.handle_timeout(now);
        let mut fates = Vec::new();
        for frame in self.frames(&sent.packet, link, dress) {
            fates.push(self.hand_over(scene, &x, port, &frame, now));
            // Routers advertise themselves; that is nobody's packet.
            while self.worker.poll_transmit().is_some() {}
        }
        match fates.as_slice() {
            [first, rest @ ..] if rest.iter().all(|fate| fate.0 == first.0) => fates.swap_remove(0),
            _ => odd("torn apart", format!("{fates:?}")),
        }
    }

    fn frames(&mut self, packet: &Packet, link: Link, dress: Dress) -> Vec<Vec<u8>> {
        let plain = vnet::VnetHeader::default();
        match (dress, &packet.body) {
            (Dress::Plain, _) => vec![build::with_vnet(&plain, &packet.to_frame(link, 12))],
            (Dress::SuperFrame, Body::Tcp { sport, dport, .. }) => {
                let (src, dst) = (SocketAddr::new(packet.src, *sport), SocketAddr::new(packet.dst, *dport));
                let (header, frame) = build::tcp_super_frame(link, src, dst, &[7; 5000], 1400);
                vec![build::with_vnet(&header, &frame)]
            }
            (Dress::Unfinished | Dress::SuperFrame, _) => {
                let (header, frame) = build::with_partial_checksum(&packet.to_frame(link, 12));
                vec![build::with_vnet(&header, &frame)]
            }
            (Dress::Fragments, _) => {
                self.datagrams += 1;
                let pieces = build::fragments(&packet.to_frame(link, 150), self.datagrams, 64);
                pieces.iter().map(|piece| build::with_vnet(&plain, piece)).collect()
            }
        }
    }

    fn hand_over(
        &mut self,
        scene: &Scene,
        x: &NetworkInterface,
        port: PortId,
        frame: &[u8],
        now: Time,
    ) -> (Outcome, String) {
        self.buffer[..frame.len()].copy_from_slice(frame);
        match self.worker.guest_frame(port, &mut self.buffer, frame.len(), now) {
            Action::Drop(denied) => (Outcome::Denied(denied.code()), denied.to_string()),
            Action::Forward { port, len } => self.delivered(scene, x, port, frame, len),
            Action::Reply { .. } => odd("an answer", String::new()),
            Action::Held => odd("held", String::new()),
            Action::Sealed => odd("sealed", String::new()),
        }
    }

    /// A delivered frame is the one that was sent, with the addresses of its receiver's link.
    fn delivered(
        &self,
        scene: &Scene,
        x: &NetworkInterface,
        port: PortId,
        frame: &[u8],
        len: usize,
    ) -> (Outcome, String) {
        let to = self.ports.iter().find(|(_, other)| **other == port).map(|(interface, _)| *interface);
        let Some((_, y)) = to.and_then(|to| scene.find::<NetworkInterface>(&to)) else {
            return odd("delivered to nobody", port.to_string());
        };
        let got = &self.buffer[..len];
        let from = if x.subnet == y.subnet { x.mac } else { MacAddr(router_mac(y.vpc).0) };
        let (header, link) = (vnet::LEN, vnet::LEN + 12);
        let expected = [&frame[..header], &y.mac.0[..], &from.0[..], &frame[link..]].concat();
        if got != expected {
            return odd("delivered, but changed", format!("{frame:02x?} became {got:02x?}"));
        }
        (Outcome::Delivered(y.id), format!("delivered to {}", y.id))
    }
}

/// What a packet of a run never comes to.
fn odd(what: &'static str, said: String) -> (Outcome, String) {
    (Outcome::Denied(what), said)
}
