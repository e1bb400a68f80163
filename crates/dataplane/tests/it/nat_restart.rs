//! A process that is killed and started again: what its NAT gateways translated they translate still, and nothing else.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dataplane::{Config, Memory, Ports, Shared};
use model::{Duration, Time};
use policy::{Restored, Tables};
use wire::TcpFlags;

use crate::nat::{address, cloud, from, gateway, port_outside, socket, tcp};
use crate::world::cloud::*;
use crate::world::{Host, START, config};

const ACK: TcpFlags = TcpFlags::ACK;

fn words(count: usize) -> Arc<dyn Memory> {
    let words: Box<[AtomicU64]> = (0..count).map(|_| AtomicU64::new(0)).collect();
    Arc::new(words)
}

/// Tracked flows and translations.
type Memories = [Arc<dyn Memory>; 2];

fn memories() -> Memories {
    [words(config().memory_words()), words(config().translations_words())]
}

/// A host that begins with what lies there.
fn shared_of(config: Config, memories: &Memories, now: Time) -> (Arc<Shared>, Restored) {
    let shared = Arc::new(Shared::new(config));
    shared.remember(&memories[0], now);
    let restored = shared.remember_translations(&memories[1], now);
    (shared, restored)
}

fn host_of(shared: Arc<Shared>, now: Time) -> Host {
    let worker = shared.worker();
    let mut host = Host { shared, worker, cloud: cloud(2, host(1)), now, mtu: |_| 1500, buf: vec![0; 1 << 17] };
    host.apply();
    host
}

fn start(config: Config, memories: &Memories, now: Time) -> (Host, Restored) {
    let (shared, restored) = shared_of(config, memories, now);
    (host_of(shared, now), restored)
}

fn inside() -> SocketAddr {
    socket(A1, 40_000)
}

fn server() -> SocketAddr {
    socket(B1, 443)
}

/// A connection from A1 to B1 through the gateway is open; where the gateway's end of it is.
fn with_connection(memories: &Memories) -> SocketAddr {
    let (mut host, restored) = start(config(), memories, START);
    assert_eq!(restored, Restored::default());
    let (_, frame) = host.send(A1, &tcp(inside(), server(), TcpFlags::SYN, b"")).delivered();
    let outside = SocketAddr::new(address(2), port_outside(&frame));
    host.send(B1, &from(B1, tcp(server(), outside, TcpFlags::SYN | ACK, b""))).delivered();
    outside
}

fn copy_of(memories: &Memories) -> Memories {
    memories.each_ref().map(|memory| {
        let copy = words(memory.words().len());
        for (copy, word) in copy.words().iter().zip(memory.words()) {
            copy.store(word.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        copy
    })
}

#[test]
fn a_connection_through_a_gateway_goes_on_from_either_side() {
    let lent = memories();
    let outside = with_connection(&lent);
    for seed in [config().seed, 99] {
        for inside_first in [true, false] {
            let (mut host, restored) =
                start(Config { seed, ..config() }, &copy_of(&lent), START + Duration::seconds(100));
            assert_eq!(restored, Restored { flows: 1, ended: 0, refused: 0 });
            if inside_first {
                let (_, frame) = host.send(A1, &tcp(inside(), server(), ACK, b"go on")).delivered();
                assert_eq!(port_outside(&frame), outside.port());
            }
            let (to, _) = host.send(B1, &from(B1, tcp(server(), outside, ACK, b"answer"))).delivered();
            assert_eq!(to, A1);
            let stranger = from(B1, tcp(socket(B1, 444), outside, ACK, b"unasked"));
            assert_eq!(host.send(B1, &stranger).code(), "D38");
        }
    }
}

#[test]
fn without_the_memory_or_too_late_it_is_reset() {
    let lent = memories();
    with_connection(&lent);
    let (mut host, _) = start(config(), &memories(), START);
    assert_eq!(host.send(A1, &tcp(inside(), server(), ACK, b"")).code(), "answered");
    let (mut host, restored) = start(config(), &lent, START + Duration::seconds(350));
    assert_eq!(restored, Restored { flows: 0, ended: 1, refused: 0 });
    assert_eq!(host.send(A1, &tcp(inside(), server(), ACK, b"")).code(), "answered");
}

/// An agent that starts without its last intent puts tables without anything in force first.
#[test]
fn tables_that_know_nothing_yet_end_no_translation_and_gateways_that_left_do() {
    let lent = memories();
    with_connection(&lent);
    let (shared, _) = shared_of(config(), &lent, START);
    shared.apply(Arc::new(Tables::compile([], 1)), Ports::default());
    assert_eq!(shared.translations(), 1);
    let mut host = host_of(shared, START);
    host.shared.keep_only(|interface| interface == gateway());
    assert_eq!(host.shared.translations(), 1);
    host.send(A1, &tcp(inside(), server(), ACK, b"")).delivered();
    host.shared.keep_only(|_| false);
    assert_eq!(host.shared.translations(), 0);
    assert_eq!(start(config(), &lent, START).1.flows, 0, "nor does the next one know it");

    // The first tables have no such gateway any more.
    let lent = memories();
    with_connection(&lent);
    let (shared, restored) = shared_of(config(), &lent, START);
    assert_eq!(restored.flows, 1);
    shared.apply(Arc::new(Tables::compile([], 1)), Ports::default());
    shared.keep_only(|_| true);
    assert_eq!(shared.translations(), 0, "what is on no host's list here is forgotten");
}

#[test]
fn a_host_without_gateways_asks_for_no_room_and_memory_that_is_too_small_is_left_alone() {
    let lent = memories();
    let (shared, _) = shared_of(config(), &lent, START);
    Host::apply_to(&shared, &Cloud::guarded(), |_| 1500);
    assert!(lent[1].words().iter().all(|word| word.load(Ordering::Relaxed) == 0));
    let small = [memories()[0].clone(), words(config().translations_words() - 1)];
    with_connection(&small);
    assert!(small[1].words().iter().all(|word| word.load(Ordering::Relaxed) == 0));
}

#[test]
fn the_layout_names_what_cannot_be_read_by_another() {
    let nat = policy::NatLimits { mappings: 1 << 10, ..config().nat };
    assert_ne!(Config { nat, ..config() }.translations_layout(), config().translations_layout());
    assert_eq!(Config { seed: 1, shards: 9, ..config() }.translations_layout(), config().translations_layout());
}
