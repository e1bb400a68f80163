//! A process that is killed and started again: what was tracked is tracked, and nothing else is.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dataplane::{Config, Memory, Shared};
use model::{Direction, Duration, IpProtocol, Ports, Time};
use policy::Restored;
use wire::{TcpFlags, build};

use crate::world::cloud::*;
use crate::world::{Host, START, config, link, to_router};

fn memory(config: &Config) -> Arc<dyn Memory> {
    let words: Box<[AtomicU64]> = (0..config.memory_words()).map(|_| AtomicU64::new(0)).collect();
    Arc::new(words)
}

/// A host that begins with what lies in this memory.
fn start(cloud: Cloud, config: Config, memory: &Arc<dyn Memory>, now: Time) -> (Host, Restored) {
    let shared = Arc::new(Shared::new(config));
    let restored = shared.remember(memory, now);
    let worker = shared.worker();
    let mut host = Host { shared, worker, cloud, now, mtu: |_| 1500, buf: vec![0; 1 << 17] };
    host.apply();
    (host, restored)
}

fn tcp(from: (Guest, u16), to: (Guest, u16), flags: TcpFlags) -> Vec<u8> {
    let socket = |(guest, port): (Guest, u16)| SocketAddr::new(guest.address(false), port);
    build::tcp(to_router(from.0), socket(from), socket(to), flags, b"")
}

/// A host with an open connection from A1 to B1, whose rule is then revoked; and one that passes without being tracked.
fn with_connections(memory: &Arc<dyn Memory>) -> Host {
    let (mut host, restored) = start(Cloud::guarded(), config(), memory, START);
    assert_eq!(restored, Restored::default());
    for (from, to, flags) in [
        ((A1, 9), (B1, 443), TcpFlags::SYN),
        ((B1, 443), (A1, 9), TcpFlags::SYN | TcpFlags::ACK),
        ((A1, 9), (B1, 443), TcpFlags::ACK),
    ] {
        host.send(from.0, &tcp(from, to, flags)).delivered();
    }
    host
}

/// All rules of both ends are gone: only what is tracked passes.
fn closed() -> Cloud {
    let mut cloud = Cloud::guarded();
    cloud.rules(A, vec![]);
    cloud.rules(B, vec![]);
    cloud
}

#[test]
fn a_tracked_connection_survives_and_a_forged_one_does_not_begin() {
    let lent = memory(&config());
    drop(with_connections(&lent));
    for seed in [config().seed, 99] {
        let config = Config { seed, ..config() };
        let (mut host, restored) = start(closed(), config, &lent, START + Duration::seconds(100));
        assert_eq!(restored, Restored { flows: 2, ended: 0, refused: 0 }, "one at each end, whatever the seed");
        host.send(A1, &tcp((A1, 9), (B1, 443), TcpFlags::ACK)).delivered();
        host.send(B1, &tcp((B1, 443), (A1, 9), TcpFlags::ACK)).delivered();
        for (from, to) in [((A1, 10), (B1, 443)), ((A1, 9), (B1, 444)), ((A2, 9), (B1, 443)), ((B1, 443), (A2, 9))] {
            assert_eq!(host.send(from.0, &tcp(from, to, TcpFlags::ACK)).code(), "D05", "{from:?} {to:?}");
        }
        assert_eq!(host.send(A1, &tcp((A1, 9), (B1, 443), TcpFlags::SYN)).code(), "D05", "another one on its ports");
    }
}

#[test]
fn without_the_memory_it_does_not() {
    drop(with_connections(&memory(&config())));
    let (mut host, _) = start(closed(), config(), &memory(&config()), START);
    assert_eq!(host.send(A1, &tcp((A1, 9), (B1, 443), TcpFlags::ACK)).code(), "D05");
}

/// An answer that is on its way while the host restarts and the rule is revoked must not begin a tracked flow.
#[test]
fn who_began_an_untracked_flow_is_remembered_too() {
    for is_kept in [true, false] {
        let lent = memory(&config());
        let (mut host, _) = start(Cloud::open(), config(), &lent, START);
        host.send(B1, &tcp((B1, 7), (A1, 80), TcpFlags::SYN)).delivered();
        drop(host);
        // A lets nothing in any more.
        let lent = if is_kept { lent } else { memory(&config()) };
        let mut cloud = Cloud::open();
        let out = |block| rule(Direction::Egress, IpProtocol::All, Ports::Any, of_block(block));
        cloud.rules(A, vec![out("0.0.0.0/0"), out("::/0")]);
        let (mut host, _) = start(cloud, config(), &lent, START);
        host.send(A1, &tcp((A1, 80), (B1, 7), TcpFlags::SYN | TcpFlags::ACK)).delivered();
        let code = host.send(B1, &tcp((B1, 7), (A1, 80), TcpFlags::ACK)).code();
        assert_eq!(code, if is_kept { "D22" } else { "ok" });
    }
}

#[test]
fn what_ended_while_nobody_looked_is_gone() {
    let lent = memory(&config());
    let mut host = with_connections(&lent);
    host.send(A1, &tcp((A1, 9), (B1, 443), TcpFlags::RST)).delivered();
    drop(host);
    let (mut host, restored) = start(closed(), config(), &lent, START + Duration::seconds(10));
    assert_eq!(restored, Restored { flows: 0, ended: 2, refused: 0 });
    assert_eq!(host.send(A1, &tcp((A1, 9), (B1, 443), TcpFlags::ACK)).code(), "D05");
}

#[test]
fn a_flushed_interface_is_flushed_for_the_next_one_too() {
    let passes = |flush: fn(&Host)| {
        let lent = memory(&config());
        let host = with_connections(&lent);
        flush(&host);
        drop(host);
        let (mut host, restored) = start(closed(), config(), &lent, START);
        (restored.flows, host.send(A1, &tcp((A1, 9), (B1, 443), TcpFlags::ACK)).code())
    };
    assert_eq!(passes(|_| ()), (2, "ok"));
    assert_eq!(passes(|host| host.shared.flush(A1.eni())), (1, "D05"));
    assert_eq!(passes(|host| host.shared.flush(B1.eni())), (1, "D22"));
    assert_eq!(passes(|host| host.shared.keep_only(|eni| eni == B1.eni())), (1, "D05"));
}

#[test]
fn an_interface_that_is_not_here_any_more_is_forgotten() {
    let lent = memory(&config());
    drop(with_connections(&lent));
    let (host, restored) = start(closed(), config(), &lent, START);
    assert_eq!((restored.flows, host.shared.flows()), (2, 2));
    host.shared.keep_only(|eni| eni == A1.eni());
    let (_, restored) = start(closed(), config(), &lent, START);
    assert_eq!(restored.flows, 1);
}

#[test]
fn records_of_another_interface_admit_nothing_and_any_words_are_taken() {
    let lent = memory(&config());
    drop(with_connections(&lent));
    // Each word of each record in turn is not what was written.
    let written: Vec<usize> =
        (0..lent.words().len()).filter(|at| lent.words()[*at].load(Ordering::Relaxed) != 0).collect();
    assert!(written.len() > 10);
    for at in written {
        let word = &lent.words()[at];
        let was = word.fetch_xor(1 << 17, Ordering::Relaxed);
        let copy: Box<[AtomicU64]> =
            lent.words().iter().map(|word| AtomicU64::new(word.load(Ordering::Relaxed))).collect();
        let (mut host, restored) = start(closed(), config(), &(Arc::new(copy) as Arc<dyn Memory>), START);
        assert!(restored.flows <= 2);
        for (from, to) in [((A2, 9), (B1, 443)), ((A1, 9), (B2, 443)), ((B2, 443), (A1, 9))] {
            assert_ne!(host.send(from.0, &tcp(from, to, TcpFlags::ACK)).code(), "ok");
        }
        word.store(was, Ordering::Relaxed);
    }
    lent.words().iter().for_each(|word| word.store(u64::MAX, Ordering::Relaxed));
    let (_, restored) = start(closed(), config(), &lent, START);
    assert_eq!((restored.flows, restored.refused), (0, 4096), "all that fit, and no panic");
}

#[test]
fn memory_that_is_too_small_is_left_alone() {
    let words: Box<[AtomicU64]> = (0..config().memory_words() - 1).map(|_| AtomicU64::new(7)).collect();
    let lent: Arc<dyn Memory> = Arc::new(words);
    drop(with_connections(&lent));
    assert!(lent.words().iter().all(|word| word.load(Ordering::Relaxed) == 7));
}

#[test]
fn the_layout_names_what_cannot_be_read_by_another() {
    let limits = policy::Limits { flows: 8192, ..config().limits };
    let others = [Config { shards: 8, ..config() }, Config { limits, ..config() }];
    assert!(others.iter().all(|other| other.memory_layout() != config().memory_layout()));
    assert_eq!(Config { seed: 1, workers: 9, ..config() }.memory_layout(), config().memory_layout());
}

#[test]
fn neighbours_share_what_survives_as_well() {
    let lent = memory(&config());
    let (mut host, _) = start(Cloud::guarded(), config(), &lent, START);
    let socket = |guest: Guest, port| SocketAddr::new(guest.address(true), port);
    let ask = build::udp(link(A1, B1), socket(A1, 7), socket(B1, 53), b"?");
    host.send(A1, &ask).delivered();
    drop(host);
    let (mut host, _) = start(closed(), config(), &lent, START + Duration::seconds(20));
    host.send(B1, &build::udp(link(B1, A1), socket(B1, 53), socket(A1, 7), b"!")).delivered();
}
