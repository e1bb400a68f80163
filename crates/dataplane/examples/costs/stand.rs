//! Two hosts in memory with keys for what the first sends to the second, at the size of real ones.

use std::sync::Arc;

use dataplane::{Config, Tunnels};
use model::{Direction, IpProtocol, Ports};
use policy::{Flow, Limits};
use tunnel::{Cipher, Identity, Inbound, KeyMaterial, Outbound, Sas};

use crate::world::cloud::{A, A1, B, B1, Cloud, GUESTS, of_block, rule};
use crate::world::pair::{TUNNEL_MTU, address, host_id, peering, place};
use crate::world::{Host, to_router};

pub const CIPHER: Cipher = Cipher::for_underlay(1500);

pub struct Stand {
    pub near: Host,
    pub far: Host,
}

/// Tracked flows that each of both hosts has room for.
pub fn limits() -> Limits {
    Limits { flows: 1 << 20, flows_per_interface: 1 << 20 }
}

/// A sends what it likes and lets nothing in, B takes all UDP and TCP of A: so every flow is tracked at both ends.
fn cloud() -> Cloud {
    let mut cloud = Cloud::guarded();
    let within =
        |protocol| rule(Direction::Ingress, protocol, Ports::Range { from: 0, to: u16::MAX }, of_block("10.16.0.0/16"));
    cloud.rules(B, vec![within(IpProtocol::TCP), within(IpProtocol::UDP)]);
    cloud.rules(A, vec![rule(Direction::Egress, IpProtocol::All, Ports::Any, of_block("0.0.0.0/0"))]);
    cloud
}

/// One host with everybody on it.
pub fn alone() -> Host {
    Host::with(cloud(), Config { limits: limits(), ..Config::new(crate::world::cloud::host(1), 7) })
}

pub fn pair() -> Stand {
    let mut cloud = cloud();
    GUESTS.iter().for_each(|guest| cloud.place(*guest, host_id(place(*guest))));
    let host = |at| {
        let config = Config { limits: limits(), tunnel_mtu: Some(TUNNEL_MTU), ..Config::new(host_id(at), 7) };
        Host::with(cloud.clone(), config)
    };
    let stand = Stand { near: host(0), far: host(1) };
    let (out, into) = association();
    stand.near.shared.connect(Tunnels::new(Sas::new([Arc::new(out)], [], 7), |_| Some(address(1))));
    stand.far.shared.connect(Tunnels::new(Sas::new([], [Arc::new(into)], 7), |_| Some(address(0))));
    stand
}

/// Both ends of the link from A to B.
pub fn association() -> (Outbound, Inbound) {
    let material = KeyMaterial::fill(|key| {
        key.fill(7);
        Ok::<_, std::convert::Infallible>(())
    });
    let material = match material {
        Ok(material) => material,
        Err(never) => match never {},
    };
    let identity = |at| Identity { spi: 300, domain: peering(A, B), host: host_id(at), shard: 0, partial_sums: true };
    (Outbound::new(identity(1), &material, CIPHER), Inbound::new(identity(0), &material, CIPHER))
}

/// One of `count` flows from A1 to B1 (at most a million), each once before any comes again, in an order that no cache foresees.
pub fn flow(n: usize, count: usize) -> Flow {
    numbered(n.wrapping_mul(611_953) % count)
}

/// One of them by chance: without a division, which would cost as much as what is measured.
pub fn any_flow(n: usize, count: usize) -> Flow {
    let mixed = (n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let part = (mixed ^ (mixed >> 29)) & 0xffff_ffff;
    numbered(((part * count as u64) >> 32) as usize)
}

fn numbered(n: usize) -> Flow {
    let port = |n: usize| 10_000 + n as u16;
    Flow::udp(A1.address(false), port(n & 1023), B1.address(false), port(n >> 10))
}

/// A UDP packet of so many bytes from A1 to B1, in its frame.
pub fn udp(n: usize, bytes: usize) -> Vec<u8> {
    let (src, dst) = ((A1.address(false), 20_000 + n as u16).into(), (B1.address(false), 53).into());
    wire::build::udp(to_router(A1), src, dst, &vec![7; bytes - 28])
}
