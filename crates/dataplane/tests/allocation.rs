//! Nothing is allocated for a packet that is forwarded, remembered or not: a counting allocator says so.

#[path = "it/world/mod.rs"]
#[expect(dead_code, reason = "shared with the other tests, which use more of it")]
mod world;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use dataplane::{Action, HEADROOM, Memory};
use model::Duration;
use wire::vnet::VnetHeader;
use wire::{TcpFlags, build};
use world::cloud::*;
use world::pair::{self, Pair};
use world::{Host, link, port_of, to_router};

fn frames() -> Vec<Vec<u8>> {
    let socket = |guest: Guest, is_v6, port| SocketAddr::new(guest.address(is_v6), port);
    let mut frames = Vec::new();
    for is_v6 in [false, true] {
        for sport in 0..50 {
            let (src, dst) = (socket(A1, is_v6, 40_000 + sport), socket(B1, is_v6, 53));
            frames.push(build::with_vnet(&VnetHeader::default(), &build::udp(to_router(A1), src, dst, b"hello")));
            let dst = socket(B1, is_v6, 443);
            let syn = build::tcp(to_router(A1), src, dst, TcpFlags::SYN, b"");
            frames.push(build::with_vnet(&VnetHeader::default(), &syn));
            let (header, frame) = build::tcp_super_frame(to_router(A1), src, dst, &[7; 60_000], 1400);
            frames.push(build::with_vnet(&header, &frame));
        }
        let (x, y) = (A1.address(is_v6), B1.address(is_v6));
        frames.push(build::with_vnet(&VnetHeader::default(), &build::icmp_echo(link(A1, B1), x, y, true, 1, 1, b"x")));
    }
    let whole = build::udp(to_router(A1), socket(A1, false, 9), socket(B1, false, 53), &[7; 4000]);
    frames
        .extend(build::fragments(&whole, 1, 1400).iter().map(|frame| build::with_vnet(&VnetHeader::default(), frame)));
    frames
}

fn allocations(host: &mut Host, frames: &[Vec<u8>]) -> u64 {
    let measured = allocation_counter::measure(|| {
        for frame in frames {
            host.buf[..frame.len()].copy_from_slice(frame);
            let action = host.worker.guest_frame(port_of(A1), &mut host.buf, frame.len(), host.now);
            assert!(matches!(action, Action::Forward { .. }));
        }
    });
    measured.count_total
}

#[test]
fn forwarding_allocates_nothing() {
    // As much as both tables can hold, and no more than is sent: the tables must not grow while they fill.
    let mut host = Host::new(Cloud::guarded());
    let words = (0..world::config().memory_words()).map(|_| AtomicU64::new(0));
    let memory: Arc<dyn Memory> = Arc::new(words.collect::<Box<[_]>>());
    host.shared.remember(&memory, host.now);
    let frames = frames();
    let warm_up = build::udp(to_router(A1), "10.16.1.10:1".parse().unwrap(), "10.17.1.10:53".parse().unwrap(), b"x");
    for sport in 0..64_u16 {
        // The first flow of an interface in a shard makes its entry there.
        let mut frame = warm_up.clone();
        frame[34..36].copy_from_slice(&sport.to_be_bytes());
        host.send(A1, &frame).delivered();
    }
    assert_eq!(allocations(&mut host, &frames), 0, "new flows");
    assert_eq!(allocations(&mut host, &frames), 0, "remembered flows");
    host.pass_time(Duration::millis(5));
    assert_eq!(allocations(&mut host, &frames), 0, "remembered flows, later");
    host.apply();
    host.worker.handle_timeout(host.now);
    assert_eq!(allocations(&mut host, &frames), 0, "tracked flows under new tables");
    assert!(host.counters(A1).cache_hits > 300 && host.counters(A1).cache_misses > 300);
    assert!(allocation_counter::measure(|| drop(std::hint::black_box(vec![1]))).count_total > 0, "the counter counts");
}

/// Seals a guest's frames, and opens and delivers what comes of them.
fn carry(pair: &mut Pair, frames: &[Vec<u8>], buffer: &mut [u8]) -> usize {
    let [near, far] = &mut pair.hosts;
    let mut delivered = 0;
    for frame in frames {
        near.buf[..frame.len()].copy_from_slice(frame);
        let action = near.worker.guest_frame(port_of(A1), &mut near.buf, frame.len(), near.now);
        assert_eq!(action, Action::Sealed);
        while let Some(run) = near.worker.poll_datagrams(true) {
            let len = HEADROOM + run.bytes.len();
            buffer[HEADROOM..len].copy_from_slice(run.bytes);
            let mut write = |_, _: &[u8]| {
                delivered += 1;
                true
            };
            far.worker.datagrams(pair::address(0), &mut buffer[..len], run.segment, far.now, &mut write);
            far.worker.flush_deliveries(far.now, &mut write);
        }
    }
    delivered
}

#[test]
fn sealing_opening_and_merging_allocate_nothing() {
    let mut pair = Pair::new(Cloud::open());
    // Fragments are kept track of, which is not for free.
    let frames: Vec<Vec<u8>> =
        frames().into_iter().filter(|frame| frame.len() < 1_000 || frame.len() > 10_000).collect();
    let mut buffer = vec![0; 1 << 17];
    assert!(carry(&mut pair, &frames, &mut buffer) >= frames.len(), "the first round makes the buffers and the tables");
    let mut again = 0;
    let measured = allocation_counter::measure(|| again = carry(&mut pair, &frames, &mut buffer));
    assert!(again >= frames.len());
    assert_eq!(measured.count_total, 0);
}

#[test]
fn refusing_allocates_nothing() {
    let mut host = Host::new(Cloud::guarded());
    let refused = build::udp(to_router(A1), "10.16.1.10:1".parse().unwrap(), "10.17.1.10:54".parse().unwrap(), b"x");
    let bytes = build::with_vnet(&VnetHeader::default(), &refused);
    host.send(A1, &refused);
    let measured = allocation_counter::measure(|| {
        for _ in 0..100 {
            host.buf[..bytes.len()].copy_from_slice(&bytes);
            let action = host.worker.guest_frame(port_of(A1), &mut host.buf, bytes.len(), host.now);
            assert!(matches!(action, Action::Drop(_)));
        }
    });
    assert_eq!(measured.count_total, 0);
}

#[test]
fn counting_for_flow_logs_allocates_nothing() {
    let mut host = Host::new(Cloud::guarded().logged());
    let frames = frames();
    for sport in 0..64_u16 {
        let mut frame =
            build::udp(to_router(A1), SocketAddr::new(A1.v4().into(), 1), SocketAddr::new(B1.v4().into(), 53), b"x");
        frame[34..36].copy_from_slice(&sport.to_be_bytes());
        host.send(A1, &frame).delivered();
    }
    assert_eq!(allocations(&mut host, &frames), 0, "new flows");
    assert_eq!(allocations(&mut host, &frames), 0, "counted flows");
    let counted: u64 = host.shared.take_flows().records().flows.iter().map(|record| record.packets).sum();
    assert!(counted > 10_000, "they are counted: {counted}");
    assert_eq!(allocations(&mut host, &frames), 0, "in the next interval");
    let mut pair = Pair::new(Cloud::open().logged());
    let frames: Vec<Vec<u8>> = frames.into_iter().filter(|frame| frame.len() < 1_000 || frame.len() > 10_000).collect();
    let mut buffer = vec![0; 1 << 17];
    carry(&mut pair, &frames, &mut buffer);
    let measured = allocation_counter::measure(|| {
        carry(&mut pair, &frames, &mut buffer);
    });
    assert_eq!(measured.count_total, 0, "between hosts");
}
