//! The stages of a packet's way, each by itself, then whole. All in nanoseconds for a packet, if nothing else is said.

use std::hint::black_box;

use aws_lc_rs::aead as aws;
use dataplane::{Action, HEADROOM};
use model::{Direction, Duration};
use policy::{Conntrack, L2, Tables, Timeouts, Track, Tracked, egress, ingress};
use ring::aead as ringed;
use wire::checksum::TransportSum;
use wire::coalesce::{Fit, Run};
use wire::esp::{HEADER_LEN, next_header, sealed_len};
use wire::segment::Segments;
use wire::vnet::VnetHeader;
use wire::{Kind, Packet, build};

use crate::Case;
use crate::clock::{each, nanoseconds};
use crate::stand::{self, Stand};
use crate::world::cloud::{A1, B1};
use crate::world::pair::{TUNNEL_MTU, address};
use crate::world::{Host, port_of, to_router};

/// Packets of one measurement.
const COUNT: usize = 8192;
/// Flows that take turns: those that a host is busy with at one moment.
const FLOWS: usize = 64;
/// Packets between two ticks of the clock, which has one a millisecond.
const PER_TICK: usize = 1024;
const BIG: usize = 1400;
const SMALL: usize = 64;
/// Data of the longest super-frame that a guest sends, and of its pieces on a path of 1,438 bytes.
const SUPER: usize = 62_370;
const PIECE: u16 = 1386;

const US: &str = "peerway";

pub fn cases() -> Vec<Case> {
    let mut cases = vec![parse(BIG), parse(SMALL), cached(), verdict(), tracked()];
    for len in [BIG, SMALL] {
        cases.extend([seal(len), seal_ring(len), seal_aws(len)]);
    }
    cases.extend([open(BIG), open(SMALL), segment(), coalesce()]);
    for len in [BIG, SMALL] {
        cases.extend([forwarded(len), sealed(len), written(len)]);
    }
    cases.extend([super_frame_forwarded(), super_frame_sealed(), super_frame_written()]);
    cases
}

fn parse(len: usize) -> Case {
    let bytes = build::with_vnet(&VnetHeader::default(), &stand::udp(0, len));
    Case::new(US, format!("parse, {len} B"), move || {
        each(COUNT, |_| {
            let (header, frame) = VnetHeader::split(black_box(&bytes)).ok()?;
            let packet = Packet::parse(frame).ok()?;
            header.check(&packet).ok().map(|()| packet)
        })
    })
}

fn cached() -> Case {
    let Stand { near: mut host, .. } = stand::pair();
    Case::new(US, "judge a remembered flow (memory and tracking, one end)", move || {
        host.pass_time(Duration::millis(1));
        let Host { worker, now, .. } = &mut host;
        each(COUNT, |n| assert!(worker.judge_flow(port_of(A1), &stand::any_flow(n, FLOWS), *now)))
    })
}

fn verdict() -> Case {
    let host = stand::alone();
    let slices = host.cloud.arcs();
    let tables = Tables::compile(slices.iter().map(|slice| &**slice), 1);
    Case::new(US, "verdict of the law (egress and ingress)", move || {
        each(COUNT, |n| {
            let flow = stand::any_flow(n, FLOWS);
            let next = egress(&tables, A1.eni(), &flow, L2::Router, None, &mut ()).expect("it may leave");
            ingress(&tables, next.interface, &next.origin, &flow, None, &mut ()).expect("it may come in")
        })
    })
}

fn tracked() -> Case {
    let (mut table, mut now) = (Conntrack::new(stand::limits(), Timeouts::default(), 7), crate::world::START);
    let (eni, out) = (A1.eni(), Direction::Egress);
    for n in 0..FLOWS {
        table.commit(eni, out, &stand::flow(n, FLOWS), Track::New, now).expect("there is room");
    }
    Case::new(US, "tracking: look up and refresh (one end)", move || {
        now = now + Duration::millis(1);
        each(COUNT, |n| {
            let flow = stand::any_flow(n, FLOWS);
            assert_eq!(table.lookup(eni, out, &flow, now), Some(Tracked::Established));
            table.commit(eni, out, &flow, Track::Established, now)
        })
    })
}

fn seal(len: usize) -> Case {
    let (sa, _) = stand::association();
    let mut room = vec![7; sealed_len(len)];
    Case::new(US, format!("seal {len} B"), move || {
        each(COUNT, |_| {
            let sequence = sa.reserve(1, len as u64).expect("it has a long life");
            sa.seal(sequence, black_box(&mut room), len, next_header::IPV4)
        })
    })
}

/// The cipher alone, one packet under one key.
fn seal_ring(len: usize) -> Case {
    let key = ringed::UnboundKey::new(&ringed::AES_256_GCM, &[7; 32]).map(ringed::LessSafeKey::new).expect("a key");
    let mut room = vec![7; len];
    Case::new("ring", format!("seal {len} B"), move || {
        each(COUNT, |n| {
            let mut nonce = [0; 12];
            nonce[4..].copy_from_slice(&n.to_be_bytes());
            let nonce = ringed::Nonce::assume_unique_for_key(nonce);
            key.seal_in_place_separate_tag(nonce, ringed::Aad::from([7; 12]), black_box(&mut room)).expect("sealed")
        })
    })
}

fn seal_aws(len: usize) -> Case {
    let key = aws::UnboundKey::new(&aws::AES_256_GCM, &[7; 32]).map(aws::LessSafeKey::new).expect("a key");
    let mut room = vec![7; len];
    Case::new("aws-lc", format!("seal {len} B"), move || {
        each(COUNT, |n| {
            let mut nonce = [0; 12];
            nonce[4..].copy_from_slice(&n.to_be_bytes());
            let nonce = aws::Nonce::assume_unique_for_key(nonce);
            key.seal_in_place_separate_tag(nonce, aws::Aad::from([7; 12]), black_box(&mut room)).expect("sealed")
        })
    })
}

fn open(len: usize) -> Case {
    let (out, into) = stand::association();
    let (step, frame) = (sealed_len(len), stand::udp(0, len));
    let mut buffer = vec![0; step * 512];
    Case::new(US, format!("replay window and open {len} B"), move || {
        let mut spent = 0.0;
        for _ in 0..COUNT / 512 {
            for room in buffer.chunks_exact_mut(step) {
                room[HEADER_LEN..][..len].copy_from_slice(&frame[14..]);
                let sequence = out.reserve(1, len as u64).expect("it has a long life");
                out.seal(sequence, room, len, next_header::IPV4);
            }
            spent += nanoseconds(|| {
                let mut opener = into.lock();
                for at in 0..512 {
                    let datagram = at * step..(at + 1) * step;
                    let dest = datagram.start + HEADER_LEN;
                    opener.open(&mut buffer, datagram, dest).expect("it opens");
                }
            });
        }
        spent / COUNT as f64
    })
}

fn super_frame() -> (VnetHeader, Vec<u8>) {
    let (src, dst) = ((A1.address(false), 40_000).into(), (B1.address(false), 443).into());
    build::tcp_super_frame(to_router(A1), src, dst, &vec![7; SUPER], PIECE)
}

/// Pieces of [`super_frame`].
fn pieces() -> Vec<Vec<u8>> {
    let (header, frame) = super_frame();
    let packet = Packet::parse(&frame).expect("a frame");
    let Kind::Ip(ip) = packet.kind else { unreachable!("it is ip") };
    let segments = Segments::new(&header, &ip, &frame, TUNNEL_MTU).expect("it is cut");
    let piece = |n| {
        let mut room = vec![0; segments.len_of(n)];
        segments.write(n, &mut room).expect("there is room");
        room
    };
    (0..segments.count()).map(piece).collect()
}

fn segment() -> Case {
    let (header, frame) = super_frame();
    let mut room = vec![0; 2048];
    Case::new(US, "cut a super-frame of 62,370 B, for each of its 45 pieces", move || {
        let packet = Packet::parse(&frame).expect("a frame");
        let Kind::Ip(ip) = packet.kind else { unreachable!("it is ip") };
        let whole = each(64, |_| {
            let segments = Segments::new(&header, &ip, black_box(&frame), TUNNEL_MTU).expect("it is cut");
            for n in 0..segments.count() {
                segments.write(n, black_box(&mut room)).expect("there is room");
            }
            assert_eq!(segments.count(), 45);
        });
        whole / 45.0
    })
}

fn coalesce() -> Case {
    let pieces = pieces();
    let mut room = vec![0; 1 << 16];
    Case::new(US, "merge 45 pieces back, for each", move || {
        let whole = each(64, |_| {
            let mut run = Run::start(black_box(&pieces[0]), TransportSum::Whole).expect("a run begins");
            let mut len = pieces[0].len();
            room[..len].copy_from_slice(&pieces[0]);
            for packet in &pieces[1..] {
                let Fit::Joins(piece) = run.fit(black_box(packet), TransportSum::Whole) else {
                    unreachable!("it fits")
                };
                let data = &packet[piece.payload()];
                room[len..len + data.len()].copy_from_slice(data);
                len += data.len();
                run.append(piece);
            }
            run.finish(&mut room[..len], 14).expect("whole")
        });
        whole / 45.0
    })
}

fn frames(len: usize) -> Vec<Vec<u8>> {
    (0..FLOWS).map(|n| build::with_vnet(&VnetHeader::default(), &stand::udp(n, len))).collect()
}

/// Frames of A1 through a worker, read into its buffer as from a device.
fn send(host: &mut Host, frames: &[Vec<u8>], count: usize, wanted: fn(&Action) -> bool) -> f64 {
    let mut spent = 0.0;
    for _ in 0..count.div_ceil(PER_TICK) {
        host.pass_time(Duration::millis(1));
        let Host { worker, now, buf, .. } = host;
        spent += nanoseconds(|| {
            for n in 0..PER_TICK {
                let frame = &frames[n % frames.len()];
                buf[..frame.len()].copy_from_slice(frame);
                let action = worker.guest_frame(port_of(A1), buf, frame.len(), *now);
                assert!(wanted(&action), "{action:?}");
                while let Some(datagrams) = worker.poll_datagrams(false) {
                    black_box(datagrams);
                }
            }
            while let Some(datagrams) = worker.poll_datagrams(true) {
                black_box(datagrams);
            }
        });
    }
    spent / (count.div_ceil(PER_TICK) * PER_TICK) as f64
}

fn forwarded(len: usize) -> Case {
    let (mut host, frames) = (stand::alone(), frames(len));
    Case::new(US, format!("whole: frame of {len} B to its neighbour on this host"), move || {
        send(&mut host, &frames, COUNT, |action| matches!(action, Action::Forward { .. }))
    })
}

fn sealed(len: usize) -> Case {
    let (Stand { near: mut host, .. }, frames) = (stand::pair(), frames(len));
    Case::new(US, format!("whole: frame of {len} B to sealed datagram"), move || {
        send(&mut host, &frames, COUNT, |action| *action == Action::Sealed)
    })
}

fn written(len: usize) -> Case {
    let (mut stand, frames) = (stand::pair(), frames(len));
    Case::new(US, format!("whole: sealed datagram to frame of {len} B"), move || {
        receive(&mut stand, &frames, COUNT).0 / COUNT as f64
    })
}

/// Seals `count` frames, and times what the other host does with the datagrams; with how many frames were written.
fn receive(stand: &mut Stand, frames: &[Vec<u8>], count: usize) -> (f64, usize) {
    let Stand { near, far } = stand;
    let (mut spent, mut written) = (0.0, 0);
    for first in (0..count).step_by(FLOWS) {
        let mut batch = Vec::new();
        for n in first..(first + FLOWS).min(count) {
            let frame = &frames[n % frames.len()];
            near.buf[..frame.len()].copy_from_slice(frame);
            let action = near.worker.guest_frame(port_of(A1), &mut near.buf, frame.len(), near.now);
            assert_eq!(action, Action::Sealed);
        }
        while let Some(run) = near.worker.poll_datagrams(true) {
            batch.push(([&[0; HEADROOM][..], run.bytes].concat(), run.segment));
        }
        spent += nanoseconds(|| {
            for (bytes, segment) in &mut batch {
                let mut write = |port, bytes: &[u8]| {
                    assert_eq!(port, port_of(B1));
                    black_box(bytes);
                    written += 1;
                    true
                };
                far.worker.datagrams(address(0), bytes, *segment, far.now, &mut write);
                far.worker.flush_deliveries(far.now, &mut write);
            }
        });
    }
    for host in [near, far] {
        host.pass_time(Duration::millis(1));
    }
    (spent, written)
}

fn of_super_frames() -> Vec<Vec<u8>> {
    let (header, frame) = super_frame();
    vec![build::with_vnet(&header, &frame)]
}

fn super_frame_forwarded() -> Case {
    let (mut host, frames) = (stand::alone(), of_super_frames());
    Case::new(US, "whole: super-frame of 62,370 B to its neighbour on this host", move || {
        send(&mut host, &frames, PER_TICK, |action| matches!(action, Action::Forward { .. }))
    })
}

fn super_frame_sealed() -> Case {
    let (Stand { near: mut host, .. }, frames) = (stand::pair(), of_super_frames());
    Case::new(US, "whole: super-frame of 62,370 B to 45 sealed datagrams, for each", move || {
        send(&mut host, &frames, PER_TICK, |action| *action == Action::Sealed) / 45.0
    })
}

fn super_frame_written() -> Case {
    let (mut stand, frames) = (stand::pair(), of_super_frames());
    Case::new(US, "whole: 45 sealed datagrams to a super-frame of 62,370 B, for each", move || {
        let (spent, written) = receive(&mut stand, &frames, FLOWS);
        assert!(written <= 3 * FLOWS, "they were merged: {written}");
        spent / (FLOWS * 45) as f64
    })
}
