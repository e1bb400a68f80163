//! A host in memory: one worker, a clock, a small cloud, and frames in and out.

pub(crate) mod cloud;
pub(crate) mod fuzz;
pub(crate) mod guards;
pub(crate) mod pair;

use std::sync::Arc;

use cloud::{Cloud, GUESTS, Guest, host};
use dataplane::{Action, Binding, Config, Counters, PortId, Ports, Shared, Transmit, Worker};
use model::{Duration, Time};
use policy::{Denied, Limits};
use wire::ethernet::Link;
use wire::vnet::VnetHeader;
use wire::{MacAddr, Packet, build};

/// What a test saw of a frame that it sent.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Outcome {
    Delivered(Guest, Vec<u8>),
    Answered(Vec<u8>),
    Denied(Denied),
    Held,
    /// For another host.
    Sealed,
}

impl Outcome {
    #[track_caller]
    pub(crate) fn delivered(self) -> (Guest, Vec<u8>) {
        match self {
            Outcome::Delivered(to, frame) => (to, frame),
            other => panic!("not delivered: {other:?}"),
        }
    }

    #[track_caller]
    pub(crate) fn answer(self) -> Vec<u8> {
        match self {
            Outcome::Answered(frame) => frame,
            other => panic!("not answered: {other:?}"),
        }
    }

    /// `ok` for a frame that came through, else the reason's code.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Outcome::Delivered(..) => "ok",
            Outcome::Answered(_) => "answered",
            Outcome::Denied(denied) => denied.code(),
            Outcome::Held => "held",
            Outcome::Sealed => "sealed",
        }
    }
}

pub(crate) const MTU: u16 = 1500;

/// The start of every test's time.
pub(crate) const START: Time = Time::from_unix_millis(1_000_000);

pub(crate) struct Host {
    pub(crate) shared: Arc<Shared>,
    pub(crate) worker: Worker,
    pub(crate) cloud: Cloud,
    pub(crate) now: Time,
    pub(crate) mtu: fn(Guest) -> u16,
    pub(crate) buf: Vec<u8>,
}

pub(crate) fn port_of(guest: Guest) -> PortId {
    let at = GUESTS.iter().position(|other| *other == guest).unwrap();
    PortId::new(u32::try_from(at).unwrap()).unwrap()
}

pub(crate) fn guest_of(port: PortId) -> Guest {
    GUESTS[port.index()]
}

pub(crate) fn config() -> Config {
    Config {
        limits: Limits { flows: 4096, flows_per_interface: 2048 },
        shards: 4,
        cache_lines: 1024,
        ..Config::new(host(1), 7)
    }
}

impl Host {
    pub(crate) fn new(cloud: Cloud) -> Host {
        Host::with(cloud, config())
    }

    pub(crate) fn with(cloud: Cloud, config: Config) -> Host {
        let shared = Arc::new(Shared::new(config));
        let worker = shared.worker();
        let mut host = Host { shared, worker, cloud, now: START, mtu: |_| MTU, buf: vec![0; 1 << 17] };
        host.apply();
        host
    }

    /// Puts the cloud as it is now in force.
    pub(crate) fn apply(&mut self) {
        Host::apply_to(&self.shared, &self.cloud, self.mtu);
    }

    pub(crate) fn apply_to(shared: &Shared, cloud: &Cloud, mtu: fn(Guest) -> u16) {
        let slices = cloud.arcs();
        let slices = || slices.iter().map(|slice| &**slice);
        let tables = cloud.tables(shared.generation() + 1);
        let bindings: Vec<Binding> = GUESTS.iter().map(|guest| binding(*guest, mtu(*guest))).collect();
        let before = shared.generation();
        assert_eq!(shared.apply(Arc::new(tables), Ports::new(slices(), &bindings)), before + 1);
    }

    pub(crate) fn edit(&mut self, edit: impl FnOnce(&mut Cloud)) {
        edit(&mut self.cloud);
        self.apply();
    }

    pub(crate) fn pass_time(&mut self, span: Duration) {
        self.now = self.now + span;
    }

    pub(crate) fn send(&mut self, from: Guest, frame: &[u8]) -> Outcome {
        self.send_with(from, &VnetHeader::default(), frame)
    }

    pub(crate) fn send_with(&mut self, from: Guest, header: &VnetHeader, frame: &[u8]) -> Outcome {
        self.send_raw(port_of(from), &build::with_vnet(header, frame))
    }

    /// Bytes as the device hands them over. What is delivered or answered must carry a header that the kernel takes.
    pub(crate) fn send_raw(&mut self, from: PortId, bytes: &[u8]) -> Outcome {
        self.buf[..bytes.len()].copy_from_slice(bytes);
        match self.worker.guest_frame(from, &mut self.buf, bytes.len(), self.now) {
            Action::Drop(denied) => Outcome::Denied(denied),
            Action::Forward { port, len } => Outcome::Delivered(guest_of(port), checked(&self.buf[..len])),
            Action::Reply { len } => Outcome::Answered(checked(&self.buf[..len])),
            Action::Held => Outcome::Held,
            Action::Sealed => Outcome::Sealed,
        }
    }

    pub(crate) fn transmits(&mut self) -> Vec<(Guest, Vec<u8>)> {
        let next = |worker: &mut Worker| worker.poll_transmit();
        std::iter::from_fn(|| next(&mut self.worker))
            .map(|Transmit { port, frame, .. }| (guest_of(port), checked(&frame)))
            .collect()
    }

    pub(crate) fn counters(&self, guest: Guest) -> Counters {
        self.shared.counters(port_of(guest)).unwrap()
    }
}

pub(crate) fn binding(guest: Guest, mtu: u16) -> Binding {
    Binding { port: port_of(guest), interface: guest.eni(), mtu, takes_uso: true }
}

/// The frame behind a header that holds against it.
pub(crate) fn checked(bytes: &[u8]) -> Vec<u8> {
    let (header, frame) = VnetHeader::split(bytes).unwrap();
    let packet = Packet::parse(frame).unwrap();
    assert_eq!(header.check(&packet), Ok(()));
    frame.to_vec()
}

/// From a guest to its router.
pub(crate) fn to_router(from: Guest) -> Link {
    Link { src: from.mac(), dst: router(from) }
}

pub(crate) fn router(guest: Guest) -> MacAddr {
    dataplane::router_mac(cloud::vpc_id(guest.vpc))
}

/// The link that leads from one guest to another.
pub(crate) fn link(from: Guest, to: Guest) -> Link {
    let is_neighbour = (from.vpc, from.subnet) == (to.vpc, to.subnet);
    Link { src: from.mac(), dst: if is_neighbour { to.mac() } else { router(from) } }
}
