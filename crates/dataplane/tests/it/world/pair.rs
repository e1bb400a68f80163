//! Two hosts in memory: VPC A's first subnet on one, all else on the other, and a wire between them that the test holds.

use std::net::SocketAddr;
use std::sync::Arc;

use dataplane::{Config, Entitled, HEADROOM, Ports, Shared, Tunnels, Want};
use model::{Domain, HostId, Scope};
use tunnel::{Cipher, Identity, Inbound, KeyMaterial, Outbound, Sas};
use wire::vnet::VnetHeader;

use super::cloud::{A, A1, A2, A3, B, B1, B2, Cloud, GUESTS, Guest, host, pcx, vpc_id};
use super::{Host, MTU, Outcome, START, binding, checked, config, guest_of};

/// The largest inner packet.
pub(crate) const TUNNEL_MTU: u16 = 1438;

pub(crate) struct Pair {
    pub(crate) hosts: [Host; 2],
    pub(crate) outbound: [Vec<Arc<Outbound>>; 2],
    pub(crate) inbound: [Vec<Arc<Inbound>>; 2],
}

/// What one send brought to the other host.
pub(crate) type Datagrams = (Vec<u8>, u16);

/// What a guest got: header and frame, which hold against one another.
pub(crate) type Delivery = (Guest, VnetHeader, Vec<u8>);

pub(crate) fn address(at: usize) -> SocketAddr {
    ([198, 18, 0, at as u8 + 1], 4500).into()
}

pub(crate) fn host_id(at: usize) -> HostId {
    host(at as u8 + 1)
}

/// Who is where.
pub(crate) fn place(guest: Guest) -> usize {
    usize::from(![A1, A2].contains(&guest))
}

pub(crate) fn peering(from: u32, to: u32) -> Domain {
    Domain { from: vpc_id(from), to: vpc_id(to), scope: Scope::Peering(pcx()) }
}

pub(crate) fn internet(from: u32, to: u32) -> Domain {
    Domain { from: vpc_id(from), to: vpc_id(to), scope: Scope::Internet }
}

pub(crate) fn inside(vpc: u32) -> Domain {
    Domain { from: vpc_id(vpc), to: vpc_id(vpc), scope: Scope::Vpc }
}

impl Pair {
    /// With keys for everything that the two may say to each other.
    pub(crate) fn new(cloud: Cloud) -> Pair {
        let mut pair = Pair::without_keys(cloud);
        for domain in [peering(A, B), inside(A)] {
            pair.agree(0, domain);
        }
        for domain in [peering(B, A), inside(A)] {
            pair.agree(1, domain);
        }
        pair
    }

    pub(crate) fn without_keys(mut cloud: Cloud) -> Pair {
        for guest in GUESTS {
            cloud.place(guest, host_id(place(guest)));
        }
        let host = |at: usize| {
            let config = Config { host: host_id(at), tunnel_mtu: Some(TUNNEL_MTU), ..config() };
            let shared = Arc::new(Shared::new(config));
            let worker = shared.worker();
            Host { shared, worker, cloud: cloud.clone(), now: START, mtu: |_| MTU, buf: vec![0; 1 << 17] }
        };
        let mut pair = Pair { hosts: [host(0), host(1)], outbound: Default::default(), inbound: Default::default() };
        pair.edit(|_| ());
        pair
    }

    pub(crate) fn edit(&mut self, edit: impl Fn(&mut Cloud)) {
        for (at, host) in self.hosts.iter_mut().enumerate() {
            edit(&mut host.cloud);
            plug(host, |guest| place(guest) == at);
        }
    }

    /// Takes a guest's device away; its interface stays.
    pub(crate) fn unplug(&mut self, gone: Guest) {
        let at = place(gone);
        plug(&self.hosts[at], |guest| place(guest) == at && guest != gone);
    }

    /// Gives both ends keys for what the host at `from` seals for the other.
    pub(crate) fn agree(&mut self, from: usize, domain: Domain) {
        let spi = 256 + self.inbound.iter().map(Vec::len).sum::<usize>() as u32;
        self.agree_as(from, domain, spi, spi as u8);
    }

    /// With this SPI and a key of these bytes.
    pub(crate) fn agree_as(&mut self, from: usize, domain: Domain, spi: u32, byte: u8) {
        self.agree_on(from, Identity { spi, domain, host: host_id(1 - from), shard: 0, partial_sums: true }, byte);
    }

    /// With the identity that the sender has.
    pub(crate) fn agree_on(&mut self, from: usize, sender: Identity, byte: u8) {
        let to = 1 - from;
        let material = KeyMaterial::fill(|key| {
            key.fill(byte);
            Ok::<_, ()>(())
        })
        .unwrap();
        let receiver = Identity { host: host_id(from), ..sender };
        self.outbound[from].push(Arc::new(Outbound::new(sender, &material, Cipher::Ring)));
        self.inbound[to].push(Arc::new(Inbound::new(receiver, &material, Cipher::Ring)));
        self.connect();
    }

    pub(crate) fn connect(&self) {
        for at in 0..2 {
            let sas = Sas::new(self.outbound[at].iter().cloned(), self.inbound[at].iter().cloned(), 7);
            self.hosts[at].shared.connect(Tunnels::new(sas, |_| Some(address(1 - at))));
        }
    }

    pub(crate) fn entitled(&self, at: usize) -> Entitled {
        let slices = self.hosts[at].cloud.arcs();
        let internet = self.hosts[at].cloud.internet();
        Entitled::new(host_id(at), slices.iter().map(|slice| &**slice)).with_internet(&internet)
    }

    pub(crate) fn send(&mut self, from: Guest, header: &VnetHeader, frame: &[u8]) -> Outcome {
        self.hosts[place(from)].send_with(from, header, frame)
    }

    /// Everything that a host has to send.
    pub(crate) fn take(&mut self, at: usize) -> Vec<Datagrams> {
        let mut taken = Vec::new();
        while let Some(run) = self.hosts[at].worker.poll_datagrams(true) {
            assert_eq!(run.to, address(1 - at));
            taken.push((run.bytes.to_vec(), run.segment));
        }
        taken
    }

    /// One batch of receives.
    pub(crate) fn give(&mut self, at: usize, batch: &[Datagrams]) -> Vec<Delivery> {
        let Host { worker, now, .. } = &mut self.hosts[at];
        let mut delivered = Vec::new();
        let mut write = |port, bytes: &[u8]| {
            let (header, _) = VnetHeader::split(bytes).unwrap();
            delivered.push((guest_of(port), header, checked(bytes)));
            true
        };
        for (bytes, segment) in batch {
            let mut buffer = [&[0xee; HEADROOM][..], bytes].concat();
            worker.datagrams(address(1 - at), &mut buffer, *segment, *now, &mut write);
        }
        worker.flush_deliveries(*now, &mut write);
        delivered
    }

    /// From a guest to whoever gets it on the other host.
    pub(crate) fn carry(&mut self, from: Guest, header: &VnetHeader, frame: &[u8]) -> Vec<Delivery> {
        assert_eq!(self.send(from, header, frame), Outcome::Sealed);
        let batch = self.take(place(from));
        self.give(1 - place(from), &batch)
    }

    pub(crate) fn wants(&mut self, at: usize) -> Vec<Want> {
        std::iter::from_fn(|| self.hosts[at].worker.poll_want()).collect()
    }

    /// Hands frames whose wait is over back to the data plane.
    pub(crate) fn release(&mut self, at: usize) -> Vec<Outcome> {
        let host = &mut self.hosts[at];
        let mut outcomes = Vec::new();
        let mut buf = vec![0; 1 << 17];
        while let Some((port, len)) = host.worker.poll_released(&mut buf, host.now) {
            outcomes.push(host.send_raw(port, &buf[..len]));
        }
        outcomes
    }
}

/// The two on the other host that the first one's guests talk to.
pub(crate) const FAR: [Guest; 3] = [A3, B1, B2];

fn plug(host: &Host, is_here: impl Fn(Guest) -> bool) {
    let slices = host.cloud.arcs();
    let slices = || slices.iter().map(|slice| &**slice);
    let here: Vec<_> = GUESTS.into_iter().filter(|guest| is_here(*guest)).map(|guest| binding(guest, MTU)).collect();
    let tables = host.cloud.tables(host.shared.generation() + 1);
    host.shared.apply(Arc::new(tables), Ports::new(slices(), &here));
}
